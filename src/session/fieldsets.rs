//! Fieldsets: names of fields that a client has prepared for HIMPORT SET.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::command::args::Args;
use crate::command::spec::Failure;

/// Index of the name of a fieldset in HIMPORT PREPARE and HIMPORT DISCARD.
const NAME: usize = 2;

/// The fields of one fieldset, in the order in which their values are given.
#[derive(Debug)]
pub struct Fieldset {
    fields: Vec<Box<[u8]>>,
    bytes: usize,
}

impl Fieldset {
    /// The fields.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.fields.iter().map(|field| &field[..])
    }

    /// Bytes of all names together.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// The fieldsets of one client, by name.
#[derive(Clone, Default, Debug)]
pub struct Fieldsets {
    by_name: BTreeMap<Box<[u8]>, Arc<Fieldset>>,
    bytes: usize,
}

impl Fieldsets {
    /// HIMPORT PREPARE: the fieldset of this name is now this one. All together may have
    /// `bytes_max` bytes.
    ///
    /// # Errors
    /// Nothing has changed then.
    pub fn prepare(&mut self, args: &Args<'_>, bytes_max: usize) -> Result<(), Failure> {
        let mut seen = BTreeSet::new();
        if !args.iter_from(NAME + 1).all(|field| seen.insert(field)) {
            return Err(Failure::text("ERR duplicate field name in fieldset"));
        }
        let name = args.get(NAME);
        let fields: Vec<Box<[u8]>> = args.iter_from(NAME + 1).map(Box::from).collect();
        let bytes = fields.iter().map(|field| field.len()).sum();
        let new = Fieldset { fields, bytes };
        let replaced = self.by_name.get(name).map_or(0, |old| size_of(name, old));
        let size = size_of(name, &new);
        if self.bytes - replaced + size > bytes_max {
            return Err(Failure::text("ERR the fieldsets of this connection are too large"));
        }
        self.bytes = self.bytes - replaced + size;
        self.by_name.insert(name.into(), Arc::new(new));
        Ok(())
    }

    /// The fieldset of this name.
    pub fn get(&self, name: &[u8]) -> Option<&Arc<Fieldset>> {
        self.by_name.get(name)
    }

    /// HIMPORT DISCARD: whether there was a fieldset of this name.
    pub fn discard(&mut self, name: &[u8]) -> bool {
        let discarded = self.by_name.remove(name);
        self.bytes -= discarded.as_ref().map_or(0, |old| size_of(name, old));
        discarded.is_some()
    }

    /// HIMPORT DISCARDALL: how many fieldsets there were.
    pub fn discard_all(&mut self) -> usize {
        let count = self.by_name.len();
        *self = Fieldsets::default();
        count
    }

    /// Follows a queued command by the name of its row; bytes of the names that it will store.
    pub fn follow(&mut self, row: &str, args: &Args<'_>, bytes_max: usize) -> usize {
        match row {
            // One that fails changes nothing now, and will not then.
            "himport|prepare" => drop(self.prepare(args, bytes_max)),
            "himport|discard" => drop(self.discard(args.get(NAME))),
            "himport|discardall" => drop(self.discard_all()),
            "himport|set" => return self.get(args.get(3)).map_or(0, |fieldset| fieldset.bytes()),
            _ => {}
        }
        0
    }
}

/// Bytes that count for a fieldset: its names, and a little for each.
fn size_of(name: &[u8], fieldset: &Fieldset) -> usize {
    const OVERHEAD_BYTES: usize = 64;
    let names = 1 + fieldset.fields.len();
    name.len() + fieldset.bytes + names * OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepare(sets: &mut Fieldsets, words: &str) -> Result<(), Failure> {
        let input = format!("HIMPORT PREPARE {words}");
        let mut ranges = Vec::new();
        let mut start = 0;
        for word in input.split(' ') {
            ranges.push((start, start + word.len() as u32));
            start += word.len() as u32 + 1;
        }
        sets.prepare(&Args::new(input.as_bytes(), &ranges, None), 1000)
    }

    fn fields(sets: &Fieldsets, name: &str) -> Option<Vec<String>> {
        let fields = sets.get(name.as_bytes())?.fields();
        Some(fields.map(|field| String::from_utf8_lossy(field).into_owned()).collect())
    }

    #[test]
    fn a_fieldset_is_prepared_replaced_and_discarded() {
        let mut sets = Fieldsets::default();
        prepare(&mut sets, "one b a").unwrap();
        prepare(&mut sets, "two x").unwrap();
        assert_eq!(fields(&sets, "one").unwrap(), ["b", "a"]);
        prepare(&mut sets, "one c").unwrap();
        assert_eq!(fields(&sets, "one").unwrap(), ["c"]);
        assert!(sets.discard(b"one") && !sets.discard(b"one"));
        assert_eq!((fields(&sets, "one"), sets.discard_all()), (None, 1));
        assert_eq!((sets.discard_all(), sets.bytes), (0, 0));
    }

    #[test]
    fn what_is_refused_changes_nothing() {
        let mut sets = Fieldsets::default();
        prepare(&mut sets, "one a").unwrap();
        assert!(prepare(&mut sets, "one b c b").is_err());
        assert!(prepare(&mut sets, &format!("one {}", "x".repeat(1000))).is_err());
        assert_eq!(fields(&sets, "one").unwrap(), ["a"]);
        let room = sets.bytes;
        for _ in 0..100 {
            prepare(&mut sets, "one b").unwrap();
        }
        assert_eq!(sets.bytes, room);
        assert!((0..100).any(|number| prepare(&mut sets, &format!("s{number} a")).is_err()));
        assert!(sets.bytes <= 1000);
    }
}
