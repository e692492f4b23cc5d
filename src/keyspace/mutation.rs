//! The one way in which memory changes: a record is applied, live and in replay (D8).
//!
//! Live, a record is applied before the log has given its frame a number: entries carry
//! [`PROVISIONAL_LSN`] until [`Partition::stamp`], within the same lock hold. In replay, a record
//! that is older than what memory holds changes nothing, and a delta whose value is cold is kept
//! until the value has been read.

use bytes::Bytes;
use smallvec::SmallVec;

use crate::format::edit::Edit;
use crate::format::record::{CountDelta, Record};
use crate::limits::{STRING_PAGED_ABOVE_BYTES, VALUE_INLINE_BYTES_MAX};
use crate::types::{KeyspaceId, Lsn, Position, ValueKind};
use crate::value::collection::Collection;
use crate::value::members::MemberHasher;
use crate::value::string::{PROVISIONAL_LSN, PagedString, StringHandle};

use super::access::Access;
use super::collection;
use super::entry::{Body, DIRTY, Entry};
use super::field_expiry::{earliest_of_edit, earliest_of_record};
use super::object::{Delta, DeltaChange, Object, Pending, ValueHandle};
use super::partition::{Partition, Seat, Touched};
use super::space::Space;
use super::table::Place;

/// Under which circumstances a record is applied.
#[derive(Clone, Copy, Debug)]
pub struct At {
    /// LSN of its frame, or [`PROVISIONAL_LSN`].
    pub lsn: Lsn,
    /// Wall time of its frame.
    pub now_ms: u64,
    /// Whether the parts' view of the key is "not there". Only looked at when memory does not know
    /// the key; false is always right, and may cost a tombstone on disk.
    pub fresh: bool,
    /// Where memory keeps what it knows about the key, if that has been looked for.
    pub seat: Option<Seat>,
    /// Whether those who watch the key, or wait for it, hear of it.
    pub is_heard: bool,
}

impl At {
    /// Those of a frame that is replayed: nobody has looked at anything.
    pub fn of_frame(lsn: Lsn, now_ms: u64) -> At {
        At { lsn, now_ms, fresh: false, seat: None, is_heard: true }
    }
}

/// Which key a record is about.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub keyspace: KeyspaceId,
    pub position: Position,
    pub key: &'a [u8],
}

/// The key of a record and what it does to the counts; none for records that belong to no key.
fn target_of<'a>(position: Position, record: &Record<'a>) -> Option<(Target<'a>, CountDelta)> {
    let (keyspace, key, counts) = match record {
        Record::Put { keyspace, key, counts, .. }
        | Record::PutPacked { keyspace, key, counts, .. }
        | Record::Edit { keyspace, key, counts, .. }
        | Record::Delete { keyspace, key, counts, .. }
        | Record::PutStaged { keyspace, key, counts, .. }
        | Record::Expire { keyspace, key, counts, .. } => (*keyspace, *key, *counts),
        Record::WriteRange { keyspace, key, .. } => (*keyspace, *key, CountDelta::default()),
        Record::Stage { .. } | Record::Databases { .. } => return None,
    };
    let target = Target { keyspace, position, key };
    Some((target, counts))
}

/// Whether those who watch the key hear of it. As in Redis they do not of what a live stream knows
/// of its groups and of its numbers: only its entries count.
fn is_told_to_watchers(record: &Record<'_>) -> bool {
    let Record::Edit { creates: false, shape, edit, .. } = record else { return true };
    let is_aside = matches!(edit, Edit::Put { .. } | Edit::Remove { .. } | Edit::Renumber { .. });
    !(is_aside && ValueKind::of_shape(*shape) == Some(ValueKind::Stream))
}

impl Partition {
    /// Changes memory as `record` says. A record that sets a value takes it from `shared` where
    /// that is given, by handle, and its own bytes are not looked at.
    ///
    /// # Panics
    /// When a live delta meets no live value, or a stage is not there: the caller had to look.
    pub fn apply(
        &mut self,
        position: Position,
        record: &Record<'_>,
        at: At,
        shared: Option<ValueHandle>,
    ) {
        if let Record::Stage { key, stage, begins, shape, edit } = record {
            return self.stages.log((key, *stage), *begins, *shape, edit, &self.member_hasher);
        }
        let Some((target, counts)) = target_of(position, record) else {
            return;
        };
        let shared = shared.or_else(|| self.stages.take(record));
        let Target { keyspace, key, .. } = target;
        self.count(keyspace, position.slot(), counts, at.lsn);
        if let Some(deadline_ms) = earliest_of_record(record, shared.as_ref()) {
            self.space_or_new(keyspace).fields.note(position, Some(deadline_ms));
        }
        match record {
            Record::Put { expire_at_ms, value, .. } => {
                let body = match shared {
                    Some(handle) => NewBody::from_handle(handle, at.lsn),
                    None => NewBody::from_bytes(value.bytes, at.lsn),
                };
                self.replace(target, *expire_at_ms, value.raw, body, at);
            }
            Record::PutPacked { expire_at_ms, blob, .. } => {
                let body = NewBody::CopiedPacked(blob);
                self.replace(target, *expire_at_ms, false, body, at);
            }
            Record::PutStaged { expire_at_ms, .. } => {
                let handle = shared.expect("the caller has looked for the stage");
                self.replace(
                    target,
                    *expire_at_ms,
                    false,
                    NewBody::from_handle(handle, at.lsn),
                    at,
                );
            }
            Record::Edit { creates: true, shape, edit, .. } => {
                let body = match shared {
                    Some(handle) => NewBody::from_handle(handle, at.lsn),
                    None => collection::created(*shape, edit, &self.member_hasher),
                };
                self.replace(target, None, false, body, at);
            }
            Record::Edit { shape, edit, .. } => {
                self.change(target, Change::Edit { shape: *shape, edit: *edit }, at);
            }
            Record::Delete { .. } => self.replace(target, None, false, NewBody::Tombstone, at),
            Record::Expire { expire_at_ms, .. } => {
                self.change(target, Change::Expire(*expire_at_ms), at);
            }
            Record::WriteRange { offset, bytes, .. } => {
                let offset = *offset;
                self.change(target, Change::WriteRange { offset, bytes }, at);
            }
            Record::Stage { .. } | Record::Databases { .. } => {}
        }
        if at.is_heard && is_told_to_watchers(record) {
            self.watches().mark(keyspace, position, key);
        }
        let touched = Touched { keyspace, position, is_heard: at.is_heard };
        if at.lsn == PROVISIONAL_LSN && self.touched.last() != Some(&touched) {
            self.touched.push(touched);
        }
    }

    /// Gives everything that was applied under [`PROVISIONAL_LSN`] its LSN.
    pub fn stamp(&mut self, lsn: Lsn) {
        for index in 0..self.touched.len() {
            let Touched { keyspace, position, .. } = self.touched[index];
            let Some(space) = self.space_mut(keyspace) else {
                continue;
            };
            let places = space.run(position);
            let slot = space.slot_mut(position.slot());
            slot.counter.stamp(lsn);
            for place in places {
                let entry = slot.table.entry_mut(place);
                if entry.get().lsn() == PROVISIONAL_LSN {
                    entry.set_lsn(lsn);
                    if let Some(object) = entry.object_mut() {
                        object.stamp(lsn);
                    }
                }
            }
        }
        if self.touched.spilled() {
            self.touched = SmallVec::new();
        } else {
            self.touched.clear();
        }
    }

    /// The keyspace of a target, and where memory keeps what it knows about the key.
    fn find_to_change(
        &mut self,
        target: Target<'_>,
        seat: Option<Seat>,
    ) -> (&mut Space, Option<Place>) {
        let Some(seat) = seat else {
            let space = self.space_or_new(target.keyspace);
            let place = space.find(target.position, target.key);
            return (space, place);
        };
        debug_assert_eq!(self.seated(seat).key(), target.key, "a seat holds until a key comes");
        (&mut self.spaces[seat.space as usize], Some(seat.place))
    }

    /// The key now holds this, whatever it held.
    fn replace(
        &mut self,
        target: Target<'_>,
        expire_at_ms: Option<u64>,
        raw: bool,
        body: NewBody<'_>,
        at: At,
    ) {
        let position = target.position;
        let (space, place) = self.find_to_change(target, at.seat);
        let Some(place) = place else {
            let access = Access::new(at.now_ms);
            let mut entry = body.put(|body| Entry::new(target.key, expire_at_ms, body, access));
            entry.set_fresh(at.fresh);
            entry.set_raw(raw);
            entry.set_lsn(at.lsn);
            return self.add(target, entry, DIRTY);
        };
        if space.entry(position.slot(), place).lsn() > at.lsn {
            return;
        }
        let queue = space.queue_for(position, place, expire_at_ms);
        let displaced = space.edit(position.slot(), place, |entry| {
            let displaced = body.put(|body| entry.set_body(expire_at_ms, body));
            let access = entry.get().access().with(at.now_ms, Some(0), None);
            entry.set_access(access);
            entry.set_raw(raw);
            entry.set_queue(queue);
            entry.set_lsn(at.lsn);
            displaced
        });
        space.mark_dirty(position, place);
        if let Some(object) = displaced {
            self.garbage.discard(*object);
        }
    }

    /// Adds an entry whose key is not there.
    pub(super) fn add(&mut self, target: Target<'_>, mut entry: Entry, state: u8) {
        let index = self.space_index(target.keyspace);
        let (space, position_of) = (&mut self.spaces[index], &*self.position_of);
        let deadline = entry.get().expire_at_ms();
        let queue = space.queue.note(target.position, None, deadline, 0);
        entry.set_queue(queue);
        let rehash = |key: &[u8]| position_of(key).hash();
        space.insert(target.position, entry, state, &rehash);
    }

    /// Changes a value, or keeps the change until the value has been read.
    fn change(&mut self, target: Target<'_>, change: Change<'_>, at: At) {
        let Target { keyspace, position, key } = target;
        let hasher = self.member_hasher;
        let (space, place) = self.find_to_change(target, at.seat);
        let known = place.map(|place| (place, space.entry(position.slot(), place)));
        if known.is_some_and(|(_, entry)| entry.lsn() > at.lsn) {
            return;
        }
        let live = known.is_some_and(|(_, entry)| entry.is_live());
        assert!(live || at.lsn != PROVISIONAL_LSN, "a live delta changes a live value");
        if !live {
            space.fields.note(position, change.deadline_ms());
        }
        let Some(place) = place else {
            let deltas = vec![change.to_delta(at.lsn)];
            let waiting = Pending { deltas, is_known: false };
            let body = Body::Object(Box::new(Object::Pending(waiting)));
            let mut entry = Entry::new(key, None, body, Access::new(at.now_ms));
            entry.set_lsn(at.lsn);
            self.pending.push((keyspace, position));
            return self.add(target, entry, DIRTY);
        };
        if live {
            space.change(position, place, change, at.lsn, &hasher);
        } else {
            space.edit(position.slot(), place, |entry| {
                if let Some(Object::Pending(waiting)) = entry.object_mut() {
                    waiting.deltas.push(change.to_delta(at.lsn));
                    entry.set_lsn(at.lsn);
                }
            });
        }
    }
}

impl Space {
    /// Changes a live value.
    pub(super) fn change(
        &mut self,
        position: Position,
        place: Place,
        change: Change<'_>,
        lsn: Lsn,
        hasher: &MemberHasher,
    ) {
        match change {
            Change::Expire(expire_at_ms) => {
                let queue = self.queue_for(position, place, expire_at_ms);
                self.edit(position.slot(), place, |entry| {
                    entry.set_expire(expire_at_ms);
                    entry.set_queue(queue);
                    entry.set_lsn(lsn);
                });
            }
            Change::Edit { shape, edit } => {
                self.fields.note(position, earliest_of_edit(shape, &edit));
                let slot = position.slot();
                let large = self.edit_collection(slot, place, |collection| {
                    collection::edit_large(collection, shape, &edit, hasher);
                });
                if large.is_none() {
                    self.edit(slot, place, |entry| {
                        collection::edit_entry(entry, shape, &edit, hasher);
                    });
                }
                self.slot_mut(slot).table.entry_mut(place).set_lsn(lsn);
            }
            Change::WriteRange { offset, bytes } => {
                self.edit(position.slot(), place, |entry| {
                    write_range(entry, offset, bytes, lsn);
                    entry.set_raw(true);
                    entry.set_lsn(lsn);
                });
            }
        }
        self.mark_dirty(position, place);
    }

    /// Queues a deadline that an entry is about to get; what to tell the entry about it.
    fn queue_for(&mut self, position: Position, place: Place, deadline: Option<u64>) -> u8 {
        let entry = self.entry(position.slot(), place);
        let (before, queued) = (entry.expire_at_ms(), entry.queue());
        self.queue.note(position, before, deadline, queued)
    }

    fn mark_dirty(&mut self, position: Position, place: Place) {
        let state = self.entry(position.slot(), place).state();
        self.set_state(position.slot(), place, state | DIRTY);
    }
}

/// Writes into the string of an entry, which moves out of the entry where it grows large.
fn write_range(entry: &mut Entry, offset: u64, bytes: &[u8], lsn: Lsn) {
    if let Some(Object::String(handle)) = entry.object_mut() {
        return handle.write_range(offset, bytes, lsn);
    }
    let expire_at_ms = entry.get().expire_at_ms();
    let Some(inline) = entry.inline_mut() else {
        return;
    };
    if bytes.is_empty() {
        return;
    }
    let end = offset.saturating_add(bytes.len() as u64);
    if end <= inline.len() as u64 {
        return inline[offset as usize..end as usize].copy_from_slice(bytes);
    }
    let mut handle = StringHandle::Flat(Bytes::copy_from_slice(inline));
    handle.write_range(offset, bytes, lsn);
    NewBody::cold(ValueHandle::String(handle)).put(|body| entry.set_body(expire_at_ms, body));
}

/// A delta on its way in.
#[derive(Clone, Copy)]
pub(super) enum Change<'a> {
    Expire(Option<u64>),
    WriteRange { offset: u64, bytes: &'a [u8] },
    Edit { shape: u8, edit: Edit<'a> },
}

impl Change<'_> {
    /// The earliest deadline that it brings, of the key or of fields.
    fn deadline_ms(&self) -> Option<u64> {
        match self {
            Change::Expire(expire_at_ms) => *expire_at_ms,
            Change::Edit { shape, edit } => earliest_of_edit(*shape, edit),
            Change::WriteRange { .. } => None,
        }
    }

    fn to_delta(self, lsn: Lsn) -> Delta {
        let change = match self {
            Change::Expire(expire_at_ms) => DeltaChange::Expire(expire_at_ms),
            Change::WriteRange { offset, bytes } => {
                let bytes = Bytes::copy_from_slice(bytes);
                DeltaChange::WriteRange { offset, bytes }
            }
            Change::Edit { shape, edit } => {
                DeltaChange::Edit { shape, edit: edit.to_bytes().into() }
            }
        };
        Delta { lsn, change }
    }
}

impl DeltaChange {
    pub(super) fn as_change(&self) -> Change<'_> {
        match self {
            DeltaChange::Expire(expire_at_ms) => Change::Expire(*expire_at_ms),
            DeltaChange::WriteRange { offset, bytes } => {
                let offset = *offset;
                Change::WriteRange { offset, bytes }
            }
            DeltaChange::Edit { shape, edit } => {
                let edit = Edit::from_bytes(edit).expect("it was encoded here");
                Change::Edit { shape: *shape, edit }
            }
        }
    }
}

/// A body on its way in, in the form that its size asks for.
pub(super) enum NewBody<'a> {
    Tombstone,
    Copied(&'a [u8]),
    Short(Bytes),
    CopiedPacked(&'a [u8]),
    Packed(Vec<u8>),
    Object(Box<Object>),
}

impl<'a> NewBody<'a> {
    /// A new string, copied.
    fn from_bytes(bytes: &'a [u8], lsn: Lsn) -> NewBody<'a> {
        if bytes.len() <= VALUE_INLINE_BYTES_MAX {
            return NewBody::Copied(bytes);
        }
        let handle = if bytes.len() <= STRING_PAGED_ABOVE_BYTES {
            StringHandle::Flat(Bytes::copy_from_slice(bytes))
        } else {
            // Page by page, so that no page keeps the memory of others alive.
            let mut paged = PagedString::create(Bytes::new(), lsn);
            paged.write_range(0, bytes, lsn);
            StringHandle::Paged(paged)
        };
        NewBody::Object(Box::new(Object::String(handle)))
    }

    /// A new value by handle.
    fn from_handle(handle: ValueHandle, lsn: Lsn) -> NewBody<'a> {
        NewBody::cold(match handle {
            ValueHandle::String(StringHandle::Flat(bytes)) => {
                ValueHandle::String(StringHandle::create(bytes, lsn))
            }
            ValueHandle::String(StringHandle::Paged(mut paged)) => {
                paged.recreate(lsn);
                ValueHandle::String(StringHandle::Paged(paged))
            }
            ValueHandle::Collection(mut collection) => {
                collection.chunks_mut().recreate();
                ValueHandle::Collection(collection)
            }
            ValueHandle::Packed(blob) => ValueHandle::Packed(blob),
        })
    }

    /// A value that keeps the LSNs it has.
    pub(super) fn cold(handle: ValueHandle) -> NewBody<'a> {
        match handle {
            ValueHandle::String(StringHandle::Flat(bytes))
                if bytes.len() <= VALUE_INLINE_BYTES_MAX =>
            {
                NewBody::Short(bytes)
            }
            ValueHandle::String(handle) => NewBody::Object(Box::new(Object::String(handle))),
            ValueHandle::Packed(blob) => NewBody::Packed(blob),
            ValueHandle::Collection(collection) => {
                NewBody::Object(Box::new(Object::Collection(collection)))
            }
        }
    }

    /// A large collection.
    pub(super) fn collection(collection: Collection) -> NewBody<'a> {
        NewBody::cold(ValueHandle::Collection(Box::new(collection)))
    }

    pub(super) fn put<R>(self, put: impl FnOnce(Body<'_>) -> R) -> R {
        match self {
            NewBody::Tombstone => put(Body::Tombstone),
            NewBody::Copied(bytes) => put(Body::Inline(bytes)),
            NewBody::Short(bytes) => put(Body::Inline(&bytes)),
            NewBody::CopiedPacked(blob) => put(Body::Packed(blob)),
            NewBody::Packed(blob) => put(Body::Packed(&blob)),
            NewBody::Object(object) => put(Body::Object(object)),
        }
    }
}
