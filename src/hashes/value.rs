//! Hashes between the keyspace and commands.

use crate::command::collection::{NewItems, encoding_of, members_of};
use crate::command::encodings::{Encodings, hash};
use crate::command::spec::{Call, Failure};
use crate::engine::unit::{Key, Unit, View};
use crate::types::ValueKind;
use crate::value::item::Item;
use crate::value::view::MembersRef;

/// A hash as a reader sees it: fields past their deadline are not there.
#[derive(Clone, Copy)]
pub struct HashRef<'u> {
    members: MembersRef<'u>,
    now_ms: u64,
    encoding: u8,
}

impl<'u> HashRef<'u> {
    /// Number of fields; those past their deadline count until they are removed, as in Redis.
    pub fn field_count(&self) -> u64 {
        self.members.len()
    }

    /// Number of fields that [`HashRef::iter`] gives. O(n) where fields have deadlines.
    pub fn live_len(&self) -> usize {
        let has_deadlines = match self.members {
            MembersRef::Packed(members) => members.iter().any(|item| item.deadline_ms.is_some()),
            MembersRef::Large(members) => members.next_deadline_ms().is_some(),
        };
        match has_deadlines {
            false => self.members.len() as usize,
            true => self.iter().count(),
        }
    }

    /// A field, with its value and deadline.
    pub fn get(&self, field: &[u8]) -> Option<Item<'u>> {
        self.members.get(field).filter(|item| is_live(item, self.now_ms))
    }

    /// All fields.
    pub fn iter(&self) -> impl Iterator<Item = Item<'u>> + use<'u> {
        let now_ms = self.now_ms;
        self.members.iter().filter(move |item| is_live(item, now_ms))
    }

    /// Whether a field is not past its deadline.
    pub fn is_live(&self, item: &Item<'_>) -> bool {
        is_live(item, self.now_ms)
    }

    /// Its encoding ([`hash`]).
    pub fn encoding(&self) -> u8 {
        self.encoding
    }

    /// All fields, also those past their deadline, by place.
    pub fn members(&self) -> MembersRef<'u> {
        self.members
    }
}

fn is_live(item: &Item<'_>, now_ms: u64) -> bool {
    item.deadline_ms.is_none_or(|at| at > now_ms)
}

/// The hash that a live key holds.
fn hash_of<'u>(view: &View<'u>, now_ms: u64) -> Result<HashRef<'u>, Failure> {
    let members = members_of(view, ValueKind::Hash)?;
    Ok(HashRef { members, now_ms, encoding: encoding_of(view.value) })
}

/// The hash that a command reads, none where there is no key.
pub fn read_hash<'u>(
    unit: &'u mut Unit<'_>,
    key: &Key<'_>,
) -> Result<Option<HashRef<'u>>, Failure> {
    let now_ms = unit.now_ms();
    unit.get(key).map(|view| hash_of(&view, now_ms)).transpose()
}

/// The hash that a command changes, none where there is no key.
pub fn hash_to_change<'u>(
    unit: &'u mut Unit<'_>,
    key: &Key<'_>,
) -> Result<Option<HashRef<'u>>, Failure> {
    let now_ms = unit.now_ms();
    unit.get_to_change(key).map(|view| hash_of(&view, now_ms)).transpose()
}

/// What a hash is before a command changes it.
pub struct Before {
    /// Number of fields; 0 where there is no key.
    pub len: u64,
    /// Its encoding ([`hash`]).
    pub encoding: u8,
}

impl Before {
    /// Of a hash, or none.
    pub fn of(hash: Option<&HashRef<'_>>) -> Before {
        hash.map_or(Before { len: 0, encoding: hash::LISTPACK }, |hash| Before {
            len: hash.field_count(),
            encoding: hash.encoding(),
        })
    }

    /// The byte of kind and encoding when the hash has `len` fields, the longest of the new fields
    /// and values being `longest` bytes.
    pub fn shape_with(&self, encodings: &Encodings, len: u64, longest: usize) -> u8 {
        let is_table = self.encoding == hash::HASHTABLE
            || len > encodings.hash_entries
            || longest as u64 > encodings.hash_value_bytes;
        ValueKind::Hash.shape(if is_table { hash::HASHTABLE } else { self.encoding })
    }
}

/// Writes one field over what it was; `is_new` tells whether there was none.
pub fn put_field(
    call: &mut Call<'_, '_, '_>,
    key: &Key<'_>,
    before: &Before,
    item: Item<'_>,
    is_new: bool,
) {
    let longest = item.member.len().max(item.payload.len());
    let shape = before.shape_with(call.encodings, before.len + u64::from(is_new), longest);
    let mut items = NewItems::default();
    items.push(item);
    call.unit.edit(key, shape, items.edit());
}
