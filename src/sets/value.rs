//! Sets between the keyspace and commands, and which encoding a set comes to.

use crate::command::collection::{encoding_of, members_of};
use crate::command::encodings::{Encodings, set};
use crate::command::number::parse_integer;
use crate::command::spec::Failure;
use crate::engine::unit::{Key, Unit, View};
use crate::types::ValueKind;
use crate::value::item::Item;
use crate::value::view::MembersRef;

/// No integer is longer than this as text, in bytes.
const INTEGER_BYTES_MAX: u64 = 20;
/// Redis lets no intset grow beyond this, whatever the directive says.
const INTSET_ENTRIES_MAX: u64 = 1 << 30;

/// A set as a reader sees it.
#[derive(Clone, Copy)]
pub struct SetRef<'u> {
    /// Its members.
    pub members: MembersRef<'u>,
    /// Its encoding ([`set`]).
    pub encoding: u8,
}

impl<'u> SetRef<'u> {
    /// Number of members.
    pub fn card(&self) -> u64 {
        self.members.len()
    }

    /// Whether a member is there.
    pub fn has(&self, member: &[u8]) -> bool {
        self.members.get(member).is_some()
    }

    /// The member in a place below the length.
    pub fn at(&self, place: u64) -> &'u [u8] {
        self.members.at(place).expect("the place is below the length").member
    }

    /// All members.
    pub fn iter(&self) -> impl Iterator<Item = &'u [u8]> + use<'u> {
        self.members.iter().map(|item: Item<'u>| item.member)
    }
}

/// The set that a live key holds.
pub fn set_of<'u>(view: &View<'u>) -> Result<SetRef<'u>, Failure> {
    let members = members_of(view, ValueKind::Set)?;
    Ok(SetRef { members, encoding: encoding_of(view.value) })
}

/// The set that a command reads, none where there is no key.
pub fn read_set<'u>(unit: &'u mut Unit<'_>, key: &Key<'_>) -> Result<Option<SetRef<'u>>, Failure> {
    unit.get(key).map(|view| set_of(&view)).transpose()
}

/// The sets that a command reads side by side, none where there is no key.
pub fn read_sets<'u>(
    unit: &'u mut Unit<'_>,
    keys: &[Key<'_>],
) -> Result<Vec<Option<SetRef<'u>>>, Failure> {
    for key in keys {
        read_set(unit, key)?;
    }
    let unit: &'u Unit<'_> = unit;
    keys.iter().map(|key| unit.seen(key).map(|view| set_of(&view)).transpose()).collect()
}

/// The encoding of a set while members are added, as Redis's `setTypeAdd` would have it: an intset
/// becomes a listpack with its first member that is no integer, and both become a hash table when
/// they are full.
pub struct Growth<'e> {
    encodings: &'e Encodings,
    encoding: u8,
    len: u64,
    /// Length of the longest integer; only known of an intset, and where it may decide.
    longest_integer: u64,
}

impl<'e> Growth<'e> {
    /// An empty set of this encoding.
    pub fn new(encodings: &'e Encodings, encoding: u8) -> Growth<'e> {
        Growth { encodings, encoding, len: 0, longest_integer: 0 }
    }

    /// The set to which a command adds `count` members, `first` being the first: the one there is,
    /// or a new one. Redis looks at the count before it looks which members are new.
    pub fn with(
        encodings: &'e Encodings,
        set: Option<&SetRef<'_>>,
        first: &[u8],
        count: u64,
    ) -> Growth<'e> {
        let (encoding, len) = match set {
            Some(set) => (set.encoding, set.card()),
            None if parse_integer(first).is_some() && count <= encodings.intset_entries => {
                (set::INTSET, 0)
            }
            None => (set::LISTPACK, 0),
        };
        let is_over = match encoding {
            set::INTSET => count > encodings.intset_entries,
            set::LISTPACK => count > encodings.set_entries,
            _ => false,
        };
        let encoding = if is_over { set::HASHTABLE } else { encoding };
        let mut growth = Growth { len, ..Growth::new(encodings, encoding) };
        if encoding == set::INTSET && encodings.set_value_bytes < INTEGER_BYTES_MAX {
            let integers = set.iter().flat_map(|set| set.iter());
            growth.longest_integer = integers.map(<[u8]>::len).max().unwrap_or(0) as u64;
        }
        growth
    }

    /// A member that was not there.
    pub fn add(&mut self, member: &[u8]) {
        let (encodings, len) = (self.encodings, member.len() as u64);
        if self.encoding == set::INTSET && parse_integer(member).is_some() {
            self.len += 1;
            self.longest_integer = self.longest_integer.max(len);
            if self.len > intset_entries_max(encodings) {
                self.encoding = set::HASHTABLE;
            }
            return;
        }
        if self.encoding != set::HASHTABLE {
            let is_short = |len| len <= encodings.set_value_bytes;
            let fits = self.len < encodings.set_entries
                && is_short(len)
                && (self.encoding == set::LISTPACK || is_short(self.longest_integer));
            self.encoding = if fits { set::LISTPACK } else { set::HASHTABLE };
        }
        self.len += 1;
    }

    /// All members are added: a set of integers may end as an intset, whatever it was before
    /// (SINTERSTORE).
    pub fn end_with_integers(&mut self) {
        if self.len <= intset_entries_max(self.encodings) {
            self.encoding = set::INTSET;
        }
    }

    /// The encoding by now.
    pub fn encoding(&self) -> u8 {
        self.encoding
    }

    /// The byte of kind and encoding by now.
    pub fn shape(&self) -> u8 {
        ValueKind::Set.shape(self.encoding)
    }
}

fn intset_entries_max(encodings: &Encodings) -> u64 {
    encodings.intset_entries.min(INTSET_ENTRIES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The encoding of a set that grows by these members from nothing, each by a command.
    fn grown(encodings: &Encodings, members: &[&str]) -> u8 {
        let mut growth = Growth::with(encodings, None, members[0].as_bytes(), 1);
        members.iter().for_each(|member| growth.add(member.as_bytes()));
        growth.encoding()
    }

    #[test]
    fn the_longest_integer_of_an_intset_counts_as_a_text() {
        let encodings = Encodings { set_value_bytes: 3, ..Encodings::default() };
        assert_eq!(grown(&encodings, &["1", "-12", "x"]), set::LISTPACK);
        assert_eq!(grown(&encodings, &["1", "-123", "x"]), set::HASHTABLE);
        assert_eq!(grown(&encodings, &["1", "-1234"]), set::INTSET);
        assert_eq!(grown(&encodings, &["x", "abcd"]), set::HASHTABLE);
    }

    #[test]
    fn directives_bound_every_encoding() {
        let encodings = Encodings { intset_entries: 2, set_entries: 3, ..Encodings::default() };
        assert_eq!(grown(&encodings, &["1", "2"]), set::INTSET);
        assert_eq!(grown(&encodings, &["1", "2", "3"]), set::HASHTABLE);
        assert_eq!(grown(&encodings, &["x", "2", "3"]), set::LISTPACK);
        assert_eq!(grown(&encodings, &["x", "2", "3", "4"]), set::HASHTABLE);
        let none = Encodings { intset_entries: 0, ..encodings };
        assert_eq!(grown(&none, &["1", "2"]), set::LISTPACK);
    }

    #[test]
    fn the_number_of_arguments_decides_before_they_are_looked_at() {
        let encodings = Encodings::default();
        let of = |count| Growth::with(&encodings, None, b"1", count).encoding();
        assert_eq!((of(512), of(513)), (set::INTSET, set::HASHTABLE));
        let of = |count| Growth::with(&encodings, None, b"x", count).encoding();
        assert_eq!((of(128), of(129)), (set::LISTPACK, set::HASHTABLE));
    }
}
