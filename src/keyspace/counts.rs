//! Exact numbers of keys, hot and cold together, by slot.
//!
//! They follow the deltas that log records carry. A persisted count has the LSN that it stands at:
//! replay adds only what is newer.

pub use crate::format::part_index::SlotCount;
use crate::format::record::CountDelta;
use crate::types::{KeyspaceId, Lsn};
use crate::value::string::PROVISIONAL_LSN;

use super::entry::{CAPTURED, DIRTY};
use super::partition::Partition;

/// Keys of a slot or keyspace.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Counts {
    /// Keys.
    pub keys: u64,
    /// Keys that have a deadline.
    pub expires: u64,
}

impl Counts {
    /// Adds a record's delta.
    fn add(&mut self, delta: CountDelta) {
        self.keys = self.keys.saturating_add_signed(delta.keys.into());
        self.expires = self.expires.saturating_add_signed(delta.expires.into());
    }
}

/// Counts with the LSN of their last change and, in the low byte, the state bits of entries.
#[derive(Default)]
pub(super) struct SlotCounter {
    counts: Counts,
    lsn_state: u64,
}

impl SlotCounter {
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn lsn(&self) -> Lsn {
        self.lsn_state >> 8
    }

    fn state(&self) -> u8 {
        self.lsn_state as u8
    }

    fn set(&mut self, lsn: Lsn, state: u8) {
        self.lsn_state = lsn << 8 | u64::from(state);
    }

    /// Adds a record's delta, unless a persisted count contains it; whether it did. Records of one
    /// frame share an LSN: only counts as they were persisted contain their own LSN.
    fn add(&mut self, delta: CountDelta, lsn: Lsn) -> bool {
        let persisted = self.state() & DIRTY == 0;
        if lsn < self.lsn() || persisted && lsn == self.lsn() && lsn != PROVISIONAL_LSN {
            return false;
        }
        self.counts.add(delta);
        self.set(lsn, self.state() | DIRTY);
        true
    }

    pub fn stamp(&mut self, lsn: Lsn) {
        if self.lsn() == PROVISIONAL_LSN {
            self.set(lsn, self.state());
        }
    }

    fn capture(&mut self) -> Option<(Counts, Lsn)> {
        if self.state() & DIRTY == 0 {
            return None;
        }
        self.set(self.lsn(), CAPTURED);
        Some((self.counts, self.lsn()))
    }

    pub fn end_capture(&mut self, installed: bool) {
        if self.state() & CAPTURED != 0 {
            let again = if installed { 0 } else { DIRTY };
            self.set(self.lsn(), self.state() & !CAPTURED | again);
        }
    }
}

impl Partition {
    /// Adds the delta of a record.
    pub(super) fn count(&mut self, keyspace: KeyspaceId, slot: u16, delta: CountDelta, lsn: Lsn) {
        if delta == CountDelta::default() {
            return;
        }
        let space = self.space_or_new(keyspace);
        let counter = &mut space.slot_mut(slot).counter;
        let before = counter.counts;
        if counter.add(delta, lsn) {
            let after = counter.counts;
            space.totals.keys = space.totals.keys + after.keys - before.keys;
            space.totals.expires = space.totals.expires + after.expires - before.expires;
        }
    }

    /// Keys of a slot, hot and cold.
    pub fn slot_counts(&self, keyspace: KeyspaceId, slot: u16) -> Counts {
        let space = self.space(keyspace);
        space.map_or(Counts::default(), |space| space.slot(slot).counter.counts)
    }

    /// Keys of a keyspace in this partition, hot and cold.
    pub fn totals(&self, keyspace: KeyspaceId) -> Counts {
        self.space(keyspace).map_or(Counts::default(), |space| space.totals)
    }

    /// Sets a slot's counts as a part has them; recovery does so before it replays the log.
    pub fn set_slot_counts(&mut self, count: SlotCount) {
        let space = self.space_or_new(count.keyspace);
        let counter = &mut space.slot_mut(count.slot).counter;
        let before = counter.counts;
        counter.counts = Counts { keys: count.keys, expires: count.expires };
        counter.set(count.lsn, 0);
        space.totals.keys = space.totals.keys + count.keys - before.keys;
        space.totals.expires = space.totals.expires + count.expires - before.expires;
    }

    /// Keys of a slot that are not in memory.
    pub fn cold_keys(&self, keyspace: KeyspaceId, slot: u16) -> u64 {
        self.space(keyspace).map_or(0, |space| {
            let slot = space.slot(slot);
            slot.counter.counts.keys.saturating_sub(slot.resident.into())
        })
    }

    /// Whether any key's value has to be read from the parts.
    pub fn has_cold(&self) -> bool {
        let mut spaces = self.spaces.iter();
        spaces.any(|space| space.totals.keys > space.usage.resident || space.usage.pending > 0)
    }

    /// Entries in memory that are not tombstones.
    pub fn resident_keys(&self) -> u64 {
        self.spaces.iter().map(|space| space.usage.resident).sum()
    }

    /// Takes the counts that changed since they were last taken, for the checkpoint under way.
    pub fn changed_counts(&mut self, keyspace: KeyspaceId) -> Vec<SlotCount> {
        let first_slot = self.first_slot;
        let Some(space) = self.space_mut(keyspace) else {
            return Vec::new();
        };
        let slots = space.slots.iter_mut().zip(first_slot..);
        let taken = slots.filter_map(|(slot, number)| {
            let (counts, lsn) = slot.counter.capture()?;
            assert_ne!(lsn, PROVISIONAL_LSN, "captures see stamped counts");
            Some(SlotCount {
                keyspace,
                slot: number,
                keys: counts.keys,
                expires: counts.expires,
                lsn,
            })
        });
        taken.collect()
    }
}
