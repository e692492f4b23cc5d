//! The keys of a transaction, found before it runs: what must be fetched, and how much it copies.

use std::collections::HashMap;
use std::ops::Range;

use smallvec::SmallVec;

use crate::command::args::Args;
use crate::command::spec::flag;
use crate::engine::staging::{Standing, WholeCopy};
use crate::engine::unit::{Key, ValueSize};
use crate::resp::parse::parse_integer;

use super::dispatch::Dispatcher;
use super::state::Session;
use super::table::{Row, Runner};

/// Which database each number means while the queued commands run, in the numbers of before.
struct Numbers {
    selected: u32,
    /// Empty until a SWAPDB is queued.
    swapped: Vec<u32>,
}

impl Numbers {
    fn before(&self, db: u32) -> u32 {
        self.swapped.get(db as usize).copied().unwrap_or(db)
    }

    /// Follows a queued session command or SWAPDB.
    fn follow(&mut self, row: &Row, args: &Args<'_>, databases: u32) {
        let number = |index: usize| {
            let number = parse_integer(args.get(index)).and_then(|db| u32::try_from(db).ok());
            number.filter(|&db| db < databases)
        };
        match row.spec.name {
            "select" => self.selected = number(1).unwrap_or(self.selected),
            "swapdb" => {
                if let (Some(first), Some(second)) = (number(1), number(2)) {
                    if self.swapped.is_empty() {
                        self.swapped = (0..databases).collect();
                    }
                    self.swapped.swap(first as usize, second as usize);
                }
            }
            _ => {}
        }
    }
}

/// One queued command that writes.
struct Step {
    row: &'static Row,
    /// Index of the command among the queued.
    index: usize,
    /// Where its keys are among all.
    keys: Range<usize>,
    frame_bytes: u64,
    /// Which of the whole copies it is.
    whole: Option<usize>,
}

/// What a transaction touches.
#[derive(Default)]
pub struct ExecKeys<'k> {
    /// The keys of all commands, in the numbers of the databases before any of them has run.
    pub keys: SmallVec<[Key<'k>; 8]>,
    /// A bound of the frame without values that are copied.
    pub frame_bytes: u64,
    /// Values that commands carry as a whole from key to key, where none before them has written
    /// the source.
    pub wholes: Vec<WholeCopy>,
    steps: Vec<Step>,
}

impl<'k> ExecKeys<'k> {
    /// Adds what the queued commands of a client touch.
    pub fn collect(
        &mut self,
        dispatcher: &Dispatcher<'_>,
        queued: impl Iterator<Item = (&'static Row, Args<'k>, usize)>,
        session: &Session,
    ) {
        let databases = dispatcher.settings.databases;
        let mut numbers = Numbers { selected: session.db, swapped: Vec::new() };
        let mut fieldsets = session.fieldsets.clone();
        for (index, (row, args, bytes)) in queued.enumerate() {
            let first = self.keys.len();
            dispatcher.collect_keys(row, &args, numbers.selected, &mut self.keys);
            for key in &mut self.keys[first..] {
                key.db = numbers.before(key.db);
            }
            let mut frame_bytes = dispatcher.frame_bytes(row, &args, bytes);
            if matches!(row.runner, Runner::Session(_)) {
                let bytes_max = dispatcher.settings.query_bytes_max;
                frame_bytes += fieldsets.follow(&row.name, &args, bytes_max) as u64;
            }
            self.frame_bytes += frame_bytes;
            if row.has(flag::WRITE) {
                let keys = first..self.keys.len();
                let whole = self.whole_copy(row, &args, keys.clone());
                self.steps.push(Step { row, index, keys, frame_bytes, whole });
            }
            if matches!(row.runner, Runner::Session(_)) || row.has(flag::ALL_KEYS) {
                numbers.follow(row, &args, databases);
            }
        }
    }

    /// Notes what a command copies as a whole, unless its source may have changed by then.
    fn whole_copy(&mut self, row: &Row, args: &Args<'_>, keys: Range<usize>) -> Option<usize> {
        let WholeCopy { from, to, keeps } = row.spec.whole_copy(args, keys.len())?;
        let (from, to) = (keys.start + from, keys.start + to);
        let is_source =
            |key: &Key<'_>| key.db == self.keys[from].db && key.bytes == self.keys[from].bytes;
        let writes_it = |step: &Step| {
            step.row.has(flag::ALL_KEYS) || self.keys[step.keys.clone()].iter().any(is_source)
        };
        if self.steps.iter().any(writes_it) {
            return None;
        }
        self.wholes.push(WholeCopy { from, to, keeps });
        Some(self.wholes.len() - 1)
    }

    /// Whether some command copies values.
    pub fn copies(&self) -> bool {
        self.steps.iter().any(|step| step.row.has(flag::COPIES))
    }

    /// A bound of the values that are copied, when each key has the value that `stands` tells and
    /// some whole copies are staged: the size of every value is followed from command to command.
    pub fn copied_bytes<'a>(
        &self,
        args: impl Fn(usize) -> Args<'a>,
        stands: Standing<'_, '_>,
        is_staged: &dyn Fn(usize) -> bool,
    ) -> u64 {
        let size_of = |key: &Key<'_>| stands(key).map_or(ValueSize::default(), |v| v.size());
        let mut sizes = Sizes::default();
        let mut copied: u64 = 0;
        for step in &self.steps {
            let (keys, args) = (&self.keys[step.keys.clone()], args(step.index));
            let spec = step.row.spec;
            let stand: SmallVec<[ValueSize; 8]> =
                keys.iter().map(|key| *sizes.of(key, &size_of)).collect();
            if !step.row.has(flag::COPIES) {
                for (key, size) in keys.iter().zip(stand) {
                    let bytes = spec.value_bytes_after(&args, size.bytes, step.frame_bytes);
                    let item_bytes = size.item_bytes.max(step.frame_bytes);
                    // Keys that share a size grow together.
                    *sizes.of(key, &size_of) = ValueSize { bytes, item_bytes };
                }
                continue;
            }
            let bytes = spec.copied_bytes_of(&args, &stand);
            if !step.whole.is_some_and(is_staged) {
                copied = copied.saturating_add(bytes);
            }
            if step.row.has(flag::POOLS) {
                sizes.pool(keys);
                continue;
            }
            let item_bytes = stand.iter().map(|size| size.item_bytes).max().unwrap_or(0);
            for (key, size) in keys.iter().zip(stand) {
                sizes.set(key, ValueSize { bytes: size.bytes.max(bytes), item_bytes });
            }
        }
        copied
    }
}

/// How large values may be. Keys between which items move share one size, that of all their values
/// together, which no further move between them changes.
#[derive(Default)]
struct Sizes<'k> {
    /// The size of a key, by index.
    of_key: HashMap<(u32, &'k [u8]), usize>,
    sizes: Vec<ValueSize>,
}

impl<'k> Sizes<'k> {
    /// The size of a key, at first of what stands there.
    fn of(&mut self, key: &Key<'k>, stands: &dyn Fn(&Key<'_>) -> ValueSize) -> &mut ValueSize {
        let sizes = &mut self.sizes;
        let index = *self.of_key.entry((key.db, key.bytes)).or_insert_with(|| {
            sizes.push(stands(key));
            sizes.len() - 1
        });
        &mut sizes[index]
    }

    /// The key gets a size of its own.
    fn set(&mut self, key: &Key<'k>, size: ValueSize) {
        self.of_key.insert((key.db, key.bytes), self.sizes.len());
        self.sizes.push(size);
    }

    /// These keys, which have sizes, and all that share theirs have one size from now on.
    fn pool(&mut self, keys: &[Key<'k>]) {
        let mut joined: SmallVec<[usize; 4]> =
            keys.iter().map(|key| self.of_key[&(key.db, key.bytes)]).collect();
        joined.sort_unstable();
        joined.dedup();
        let sum = joined.iter().fold(ValueSize::default(), |sum, &index| ValueSize {
            bytes: sum.bytes.saturating_add(self.sizes[index].bytes),
            item_bytes: sum.item_bytes.max(self.sizes[index].item_bytes),
        });
        let one = joined[0];
        self.sizes[one] = sum;
        if joined.len() > 1 {
            let shared = self.of_key.values_mut().filter(|index| joined.contains(index));
            shared.for_each(|index| *index = one);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Sizes;
    use crate::engine::unit::{Key, ValueSize};
    use crate::types::Position;

    fn size(bytes: u64) -> ValueSize {
        ValueSize { bytes, item_bytes: bytes }
    }

    #[test]
    fn moves_between_keys_do_not_make_them_longer_and_longer() {
        let key = |bytes| Key { db: 0, position: Position(0), bytes };
        let [a, b, c] = [b"a", b"b", b"c"].map(|bytes| key(bytes));
        let stands = |key: &Key<'_>| size(u64::from(key.bytes[0] - b'a') + 1);
        let mut sizes = Sizes::default();
        for key in [&a, &b, &c] {
            sizes.of(key, &stands);
        }
        for _ in 0..100 {
            sizes.pool(&[a, b]);
            sizes.pool(&[b, a]);
            sizes.pool(&[a, a]);
        }
        let bytes = |sizes: &mut Sizes<'_>| [&a, &b, &c].map(|key| sizes.of(key, &stands).bytes);
        assert_eq!(bytes(&mut sizes), [3, 3, 3]);
        sizes.set(&b, size(10));
        assert_eq!(bytes(&mut sizes), [3, 10, 3]);
        sizes.pool(&[a, c]);
        sizes.pool(&[c, b]);
        assert_eq!(bytes(&mut sizes), [16, 16, 16]);
    }
}
