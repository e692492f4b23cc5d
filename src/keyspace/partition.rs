//! A range of slots of every keyspace: a pure state machine behind its owner's lock.
//!
//! Time, LSNs and positions are arguments. This file finds keys; what changes them is in
//! `mutation`, what moves them in and out of memory in `residency`, and checkpoints, scans, counts
//! and deadlines have files of their own.

use std::collections::BTreeMap;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::types::{CURSOR_SHIFT, HASH_BITS, KeyspaceId, Position};
use crate::value::members::MemberHasher;

use super::capture::CaptureProgress;
use super::entry::{EntryRef, prefetch_entry};
use super::object::{Object, ValueHandle};
use super::space::Space;
use super::stages::Stages;
use super::table::Place;
use super::watch::Watches;

/// Computes the position of a key. Lookups are told positions; this is for keys met on the way:
/// where leaves split, and in captures, scans and the deadline queue.
pub type PositionOf = Arc<dyn Fn(&[u8]) -> Position + Send + Sync>;

/// Keys of a range of slots.
pub struct Partition {
    pub(super) first_slot: u16,
    slot_count: usize,
    pub(super) position_of: PositionOf,
    /// Sorted by id.
    pub(super) spaces: Vec<Space>,
    /// Changed under a provisional LSN.
    pub(super) touched: SmallVec<[Touched; 4]>,
    /// Positions where pending entries may stand.
    pub(super) pending: Vec<(KeyspaceId, Position)>,
    pub(super) pins: BTreeMap<(KeyspaceId, Position), u32>,
    pub(super) capture: CaptureProgress,
    pub(super) garbage: Garbage,
    removed_count: u32,
    random: u64,
    watches: Watches,
    pub(super) member_hasher: MemberHasher,
    /// Only while a log is replayed.
    pub(super) stages: Stages,
}

/// A key that has changed under a provisional LSN.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Touched {
    /// Its keyspace.
    pub keyspace: KeyspaceId,
    /// Where it stands there, as others of the same hash do.
    pub position: Position,
    /// Whether those who wait for it hear of the change.
    pub is_heard: bool,
}

/// The place of an entry in its partition.
#[derive(Clone, Copy, Debug)]
pub struct Seat {
    pub(super) space: u32,
    slot: u16,
    pub(super) place: Place,
}

/// Large values that were displaced; to be dropped when the lock is no longer held.
#[derive(Default)]
pub struct Garbage(Vec<Object>);

impl Garbage {
    /// Keeps what takes long to free; frees the rest at once.
    pub(super) fn discard(&mut self, object: Object) {
        if object.is_large() {
            self.0.push(object);
        }
    }

    /// Whether there is nothing to free.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A whole keyspace's entries; to be dropped when the lock is no longer held.
pub struct Dropped(#[expect(dead_code, reason = "owned to be dropped")] Option<Space>);

impl Partition {
    /// An empty partition of `slot_count` slots.
    pub fn new(
        first_slot: u16,
        slot_count: usize,
        position_of: PositionOf,
        member_hasher: MemberHasher,
    ) -> Partition {
        Partition {
            first_slot,
            slot_count,
            position_of,
            spaces: Vec::new(),
            touched: SmallVec::new(),
            pending: Vec::new(),
            pins: BTreeMap::new(),
            capture: CaptureProgress::default(),
            garbage: Garbage::default(),
            removed_count: 0,
            random: 0x9e37_79b9_7f4a_7c15 ^ u64::from(first_slot),
            watches: Watches::default(),
            member_hasher,
            stages: Stages::default(),
        }
    }

    pub(super) fn space(&self, keyspace: KeyspaceId) -> Option<&Space> {
        self.spaces.iter().find(|space| space.id == keyspace)
    }

    pub(super) fn space_mut(&mut self, keyspace: KeyspaceId) -> Option<&mut Space> {
        self.spaces.iter_mut().find(|space| space.id == keyspace)
    }

    /// Index of a keyspace, new where it has no keys yet.
    pub(super) fn space_index(&mut self, keyspace: KeyspaceId) -> usize {
        let index = self.spaces.partition_point(|space| space.id < keyspace);
        if self.spaces.get(index).is_none_or(|space| space.id != keyspace) {
            let space = Space::new(keyspace, self.first_slot, self.slot_count);
            self.spaces.insert(index, space);
        }
        index
    }

    pub(super) fn space_or_new(&mut self, keyspace: KeyspaceId) -> &mut Space {
        let index = self.space_index(keyspace);
        &mut self.spaces[index]
    }

    /// The first slot's first cursor.
    pub fn first_cursor(&self) -> u64 {
        u64::from(self.first_slot) << (HASH_BITS - CURSOR_SHIFT)
    }

    /// First cursor behind this partition.
    pub fn end_cursor(&self) -> u64 {
        (u64::from(self.first_slot) + self.slot_count as u64) << (HASH_BITS - CURSOR_SHIFT)
    }

    /// Keyspaces that have, or had, keys here.
    pub fn keyspaces(&self) -> impl Iterator<Item = KeyspaceId> + '_ {
        self.spaces.iter().map(|space| space.id)
    }

    /// What memory knows about a key: a value, a tombstone, or pending deltas.
    pub fn find(
        &self,
        keyspace: KeyspaceId,
        position: Position,
        key: &[u8],
    ) -> Option<EntryRef<'_>> {
        Some(self.seated(self.seat(keyspace, position, key)?))
    }

    /// Where memory keeps what it knows about a key; holds until the partition changes.
    #[inline]
    pub fn seat(&self, keyspace: KeyspaceId, position: Position, key: &[u8]) -> Option<Seat> {
        let space = self.spaces.iter().position(|space| space.id == keyspace)?;
        let place = self.spaces[space].find(position, key)?;
        Some(Seat { space: space as u32, slot: position.slot(), place })
    }

    /// What stands at a seat.
    #[inline]
    pub fn seated(&self, seat: Seat) -> EntryRef<'_> {
        self.spaces[seat.space as usize].entry(seat.slot, seat.place)
    }

    /// As [`Partition::find`], counted as an access.
    pub fn access(
        &mut self,
        keyspace: KeyspaceId,
        position: Position,
        key: &[u8],
        now_ms: u64,
    ) -> Option<EntryRef<'_>> {
        let seat = self.seat(keyspace, position, key)?;
        Some(self.access_seated(seat, now_ms))
    }

    /// As [`Partition::seated`], counted as an access.
    #[inline]
    pub fn access_seated(&mut self, seat: Seat, now_ms: u64) -> EntryRef<'_> {
        let random = self.next_random();
        let space = &mut self.spaces[seat.space as usize];
        let entry = space.slot_mut(seat.slot).table.entry_mut(seat.place);
        let access = entry.get().access().touched(now_ms, random);
        entry.set_access(access);
        entry.get()
    }

    /// Sets when and how often a key was used; none keeps what stands.
    pub fn set_access(
        &mut self,
        keyspace: KeyspaceId,
        position: Position,
        key: &[u8],
        now_ms: u64,
        idle_seconds: Option<u64>,
        frequency: Option<u8>,
    ) {
        let Some(space) = self.space_mut(keyspace) else {
            return;
        };
        let Some(place) = space.find(position, key) else {
            return;
        };
        let entry = space.slot_mut(position.slot()).table.entry_mut(place);
        let access = entry.get().access().with(now_ms, idle_seconds, frequency);
        entry.set_access(access);
    }

    /// The string of a key in memory counts as raw from here on; its bytes stay as they are.
    pub fn make_raw(&mut self, keyspace: KeyspaceId, position: Position, key: &[u8]) {
        if let Some(space) = self.space_mut(keyspace)
            && let Some(place) = space.find(position, key)
        {
            space.slot_mut(position.slot()).table.entry_mut(place).set_raw(true);
        }
    }

    /// Asks the processor to fetch the table line of a key, ahead of [`Partition::find`].
    pub fn prefetch(&self, keyspace: KeyspaceId, position: Position) {
        if let Some(space) = self.space(keyspace) {
            let span = space.slot(position.slot()).table.span(position.hash());
            span.leaf.prefetch(span.tag(position.hash()));
        }
    }

    /// Asks the processor to fetch the entry's line; once the table line has had time to arrive.
    pub fn prefetch_entry(&self, keyspace: KeyspaceId, position: Position) {
        let Some(space) = self.space(keyspace) else {
            return;
        };
        let span = space.slot(position.slot()).table.span(position.hash());
        let index = span.leaf.lower_bound(span.tag(position.hash()));
        prefetch_entry(span.leaf.words(), index);
    }

    /// How members of large collections are hashed.
    pub fn member_hasher(&self) -> MemberHasher {
        self.member_hasher
    }

    /// A handle of a live key's value, for a record of it elsewhere.
    pub fn share(
        &self,
        keyspace: KeyspaceId,
        position: Position,
        key: &[u8],
    ) -> Option<ValueHandle> {
        self.find(keyspace, position, key)?.handle()
    }

    /// Whether replay has met such a stage for a key, and no record that gave it to the key.
    pub fn has_stage(&self, key: &[u8], stage: u64) -> bool {
        self.stages.has(key, stage)
    }

    /// Forgets the stages that nobody has published: at the end of a log they were never there.
    pub fn forget_stages(&mut self) {
        self.stages = Stages::default();
    }

    /// What has changed under a provisional LSN, in order.
    pub fn touched(&self) -> &[Touched] {
        &self.touched
    }

    /// Whose flags go up when a key changes.
    pub fn watches(&self) -> &Watches {
        &self.watches
    }

    /// As [`Partition::watches`].
    pub fn watches_mut(&mut self) -> &mut Watches {
        &mut self.watches
    }

    /// The database that stood for keyspace `from` is about to stand for `to`: raises the flags of
    /// the watched keys that exist in one of them, in memory or, for keys that memory does not
    /// know, by `exists_cold`. A key that went past its deadline while it was watched counts as
    /// changed; one that comes past its deadline counts as missing.
    pub fn mark_watched(
        &self,
        from: KeyspaceId,
        to: KeyspaceId,
        now_ms: u64,
        exists_cold: impl Fn(KeyspaceId, Position, &[u8]) -> bool,
    ) {
        self.watches.mark_where(from, |position, key| {
            [from, to].into_iter().any(|keyspace| match self.find(keyspace, position, key) {
                Some(entry) => {
                    let is_due = entry.expire_at_ms().is_some_and(|at| at <= now_ms);
                    !entry.is_tombstone() && (keyspace == from || !is_due)
                }
                None => exists_cold(keyspace, position, key),
            })
        });
    }

    /// Large values that were displaced since the last call.
    pub fn take_garbage(&mut self) -> Garbage {
        std::mem::take(&mut self.garbage)
    }

    /// Forgets a keyspace; its entries are the caller's to drop.
    pub fn remove_keyspace(&mut self, keyspace: KeyspaceId) -> Dropped {
        let index = self.spaces.iter().position(|space| space.id == keyspace);
        self.removed_count += u32::from(index.is_some());
        Dropped(index.map(|index| self.spaces.remove(index)))
    }

    /// Changes whenever something has left memory where this position belongs: what was read from
    /// the parts before may then be out of date.
    pub fn departures(&self, keyspace: KeyspaceId, position: Position) -> u64 {
        let space = self.space(keyspace);
        let departures = space.map_or(0, |space| space.slot(position.slot()).departures);
        u64::from(self.removed_count) << 32 | u64::from(departures)
    }

    /// Memory of entries, tables and queues, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.spaces.iter().map(Space::memory_bytes).sum()
    }

    /// What a checkpoint would write, about, in bytes.
    pub fn dirty_bytes(&self) -> u64 {
        self.spaces.iter().map(|space| space.usage.dirty_bytes).sum()
    }

    /// Pseudo-random numbers (xorshift64) for samples and access frequency; always the same ones.
    pub(super) fn next_random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// Checks structure and sums; for tests and debugging, it walks everything.
    ///
    /// # Panics
    /// When something does not hold.
    pub fn check_invariants(&self) {
        let position_of = &*self.position_of;
        for space in &self.spaces {
            space.check_invariants(&|key| position_of(key).hash());
        }
    }
}
