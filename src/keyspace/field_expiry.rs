//! Which resident hashes have fields past their deadline.
//!
//! Each place of a hash whose fields have deadlines is queued once, at the earliest of them or
//! before. It is noted when fields come with deadlines, and set right when it comes up.
//!
//! So are places of deltas that wait for their base: at the deadlines that they bring, of fields or
//! of the key.

use std::collections::{BTreeMap, BTreeSet};

use crate::format::edit::Edit;
use crate::format::record::Record;
use crate::types::{KeyspaceId, Position, ValueKind};
use crate::value::collection::Collection;
use crate::value::item::Item;
use crate::value::packed;
use crate::value::packed_members::PackedMembers;

use super::collection::items;
use super::entry::EntryRef;
use super::object::{ValueHandle, ValueRef};
use super::partition::Partition;
use super::space::Space;

/// Fields of one hash that a step takes.
const STEP_FIELDS: usize = 64;
/// What a queued place takes in both maps, with the usual slack, in bytes.
const QUEUED_BYTES: u64 = 64;

/// Deadlines of places, in Unix milliseconds.
#[derive(Default)]
pub(super) struct FieldQueue {
    by_deadline: BTreeSet<(u64, u64)>,
    by_cursor: BTreeMap<u64, u64>,
}

impl FieldQueue {
    /// Fields with this earliest deadline have come to a place.
    pub fn note(&mut self, position: Position, deadline_ms: Option<u64>) {
        let Some(deadline_ms) = deadline_ms else {
            return;
        };
        let cursor = position.cursor();
        if self.by_cursor.get(&cursor).is_none_or(|known| deadline_ms < *known) {
            self.set(cursor, Some(deadline_ms));
        }
    }

    fn set(&mut self, cursor: u64, deadline_ms: Option<u64>) {
        if let Some(known) = self.by_cursor.remove(&cursor) {
            self.by_deadline.remove(&(known, cursor));
        }
        if let Some(deadline_ms) = deadline_ms {
            self.by_cursor.insert(cursor, deadline_ms);
            self.by_deadline.insert((deadline_ms, cursor));
        }
    }

    pub fn memory_bytes(&self) -> u64 {
        self.by_cursor.len() as u64 * QUEUED_BYTES
    }
}

fn earliest<'a>(items: impl Iterator<Item = Item<'a>>) -> Option<u64> {
    items.filter_map(|item| item.deadline_ms).min()
}

/// The earliest deadline of the fields that a change brings.
pub(super) fn earliest_of_edit(shape: u8, edit: &Edit<'_>) -> Option<u64> {
    match edit {
        Edit::Put { items: bytes } if ValueKind::of_shape(shape) == Some(ValueKind::Hash) => {
            earliest(items(bytes))
        }
        _ => None,
    }
}

/// The earliest deadline of the fields of a value.
pub fn earliest_of_value(value: ValueRef<'_>) -> Option<u64> {
    match value {
        ValueRef::Packed(blob) if packed::kind(blob) == Some(ValueKind::Hash) => {
            earliest(PackedMembers::new(blob).iter())
        }
        ValueRef::Collection(Collection::Hash(members)) => members.next_deadline_ms(),
        _ => None,
    }
}

/// The earliest deadline of the fields that a record makes a key begin with, the value being
/// `shared` where that is given.
pub(super) fn earliest_of_record(record: &Record<'_>, shared: Option<&ValueHandle>) -> Option<u64> {
    match (shared, record) {
        (Some(handle), _) => earliest_of_value(handle.as_value()),
        (None, Record::PutPacked { blob, .. }) => earliest_of_value(ValueRef::Packed(blob)),
        (None, Record::Edit { creates: true, shape, edit, .. }) => earliest_of_edit(*shape, edit),
        _ => None,
    }
}

/// Fields of a resident hash that are past their deadline.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DueFields {
    /// Keyspace.
    pub keyspace: KeyspaceId,
    /// Place.
    pub position: Position,
    /// Key.
    pub key: Box<[u8]>,
    /// Kind and encoding of the hash.
    pub shape: u8,
    /// The fields, as [`Edit::Remove`] names them; so many of them at most in one step.
    pub gone: Vec<u8>,
    /// How many they are.
    pub count: u64,
    /// Whether they are all that the hash has.
    pub are_all: bool,
}

impl Space {
    /// Places that have come up, at most `limit`.
    fn due_cursors(&self, now_ms: u64, limit: usize) -> Vec<u64> {
        let due = self.fields.by_deadline.iter().take(limit);
        due.take_while(|(at, _)| *at <= now_ms).map(|(_, cursor)| *cursor).collect()
    }
}

/// The fields of a hash that are past their deadline, how many, and whether they are all.
fn due_of(value: ValueRef<'_>, now_ms: u64) -> (Vec<u8>, u64, bool) {
    let is_due = |item: &Item<'_>| item.deadline_ms.is_some_and(|at| at <= now_ms);
    let (mut gone, mut count) = (Vec::new(), 0);
    let mut take = |item: Item<'_>| {
        Item::new(item.member, b"").encode(&mut gone);
        count += 1;
    };
    let len = match value {
        ValueRef::Packed(blob) if packed::kind(blob) == Some(ValueKind::Hash) => {
            let members = PackedMembers::new(blob);
            members.iter().filter(is_due).take(STEP_FIELDS).for_each(&mut take);
            members.len() as u64
        }
        ValueRef::Collection(Collection::Hash(members)) => {
            members.due(now_ms).take(STEP_FIELDS).for_each(&mut take);
            members.len()
        }
        _ => 0,
    };
    (gone, count, count == len)
}

impl Partition {
    /// Keys at about `limit` places whose deltas wait for their base and may bring a deadline that
    /// has passed. Each is told once: with its base it is queued anew.
    pub fn due_pending(
        &mut self,
        now_ms: u64,
        limit: usize,
    ) -> Vec<(KeyspaceId, Position, Box<[u8]>)> {
        self.come_up(now_ms, limit, true, |keyspace, position, entry| {
            entry.is_pending().then(|| (keyspace, position, entry.key().into()))
        })
    }

    /// Hashes with fields past their deadline, at about `limit` places. They come again until
    /// [`Partition::renote_fields`] is told that the fields have been removed.
    pub fn due_fields(&mut self, now_ms: u64, limit: usize) -> Vec<DueFields> {
        self.come_up(now_ms, limit, false, |keyspace, position, entry| {
            let lives = entry.expire_at_ms().is_none_or(|at| at > now_ms);
            let value = entry.value().filter(|_| lives)?;
            let (gone, count, are_all) = due_of(value, now_ms);
            let shape = shape_of(value).filter(|_| !gone.is_empty())?;
            let key = entry.key().into();
            Some(DueFields { keyspace, position, key, shape, gone, count, are_all })
        })
    }

    /// What `pick` makes of the entries at about `limit` places that have come up. A place is set
    /// right where it picked some, or where it picked none, as `when_picked` says.
    fn come_up<T>(
        &mut self,
        now_ms: u64,
        limit: usize,
        when_picked: bool,
        pick: impl Fn(KeyspaceId, Position, EntryRef<'_>) -> Option<T>,
    ) -> Vec<T> {
        let position_of = self.position_of.clone();
        let mut picked = Vec::new();
        for space in &mut self.spaces {
            for cursor in space.due_cursors(now_ms, limit) {
                let before = picked.len();
                let position = Position::from_cursor(cursor);
                for place in space.run(position) {
                    let entry = space.entry(position.slot(), place);
                    let at = position_of(entry.key());
                    if at.cursor() == cursor {
                        picked.extend(pick(space.id, at, entry));
                    }
                }
                if (picked.len() > before) == when_picked {
                    let next = space.next_fields(cursor, &*position_of, now_ms);
                    space.fields.set(cursor, next);
                }
            }
        }
        picked
    }

    /// Queues a place anew, after fields of its hashes have been removed.
    pub fn renote_fields(&mut self, keyspace: KeyspaceId, position: Position, now_ms: u64) {
        let position_of = self.position_of.clone();
        if let Some(space) = self.space_mut(keyspace) {
            let next = space.next_fields(position.cursor(), &*position_of, now_ms);
            space.fields.set(position.cursor(), next);
        }
    }
}

/// Kind and encoding of a collection.
fn shape_of(value: ValueRef<'_>) -> Option<u8> {
    match value {
        ValueRef::String(_) => None,
        ValueRef::Packed(blob) => Some(packed::shape(blob)),
        ValueRef::Collection(collection) => Some(collection.shape()),
    }
}

impl Space {
    /// The earliest deadline of a field at a place. Keys past a deadline of their own have none.
    fn next_fields(
        &self,
        cursor: u64,
        position_of: &dyn Fn(&[u8]) -> Position,
        now_ms: u64,
    ) -> Option<u64> {
        let position = Position::from_cursor(cursor);
        let entries = self.run(position).map(|place| self.entry(position.slot(), place));
        let here = entries.filter(|entry| {
            let lives = entry.expire_at_ms().is_none_or(|at| at > now_ms);
            lives && position_of(entry.key()).cursor() == cursor
        });
        here.filter_map(|entry| earliest_of_value(entry.value()?)).min()
    }
}
