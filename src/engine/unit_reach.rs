//! What a unit finds out only while it runs: keys that nobody named, which SORT reaches through
//! patterns, and what it logs beyond the room that was reserved for it.

use crate::error::Result;
use crate::format::record::DeleteReason;
use crate::log::SpaceClass;

use super::begin::{ColdFetch, ColdKey};
use super::unit::{Key, NewString, Unit, View};

/// What a unit has come upon.
#[derive(Default)]
pub(super) struct Reach {
    /// Cold keys that it was not told of.
    missed: Vec<ColdKey>,
    /// It cannot run again, because it may have changed something.
    runs_once: bool,
}

impl Unit<'_> {
    /// From now on cold keys that nobody named are read under the locks, which INFO counts (D10).
    pub fn run_once(&mut self) {
        self.reach.runs_once = true;
    }

    /// A live key that nobody named when the unit began on all partitions. Where it is cold it
    /// counts as missing, and [`Unit::has_missed`] tells that the unit has to run again.
    ///
    /// # Errors
    /// When the key cannot be read.
    pub fn reach(&mut self, key: &Key<'_>) -> Result<Option<View<'_>>> {
        let core = self.core;
        assert_eq!(self.guards.len(), core.shards.len(), "needs all partitions locked");
        let (_, shard) = &mut self.guards[core.shard_of(key.position)];
        let missed_before = self.reach.missed.len();
        shard.note_if_cold(key, false, &mut self.reach.missed);
        if self.reach.missed.len() > missed_before {
            if !self.reach.runs_once {
                return Ok(None);
            }
            for cold in self.reach.missed.drain(..) {
                core.fetch_under_lock(&cold, shard)?;
            }
        }
        Ok(self.get(key))
    }

    /// Whether the unit has to run again, and so must not change anything.
    pub fn has_missed(&self) -> bool {
        !self.reach.missed.is_empty()
    }

    /// What has to be fetched before the unit runs again.
    pub fn take_missed(&mut self) -> Option<ColdFetch> {
        let keys = std::mem::take(&mut self.reach.missed);
        (!keys.is_empty()).then_some(ColdFetch { keys })
    }

    /// Whether the log has room for one more record, with so many bytes of key and value, beyond
    /// what was reserved when the unit began.
    pub fn make_room(&mut self, bytes: usize) -> bool {
        self.take_room(bytes, SpaceClass::Normal)
    }

    /// As [`Unit::write_range`] for what a reader keeps inside a value; left out without room.
    pub fn keep_range(&mut self, key: &Key<'_>, offset: u64, bytes: &[u8]) {
        if self.writes || self.take_room(key.bytes.len() + bytes.len(), SpaceClass::Normal) {
            self.write_range(key, offset, NewString::Copied(bytes));
        }
    }

    /// Logs the removal of an expired key that a reader met; without space for it in the log the
    /// key is just reported gone, and removed later.
    pub(super) fn expire_on_read(&mut self, key: &Key<'_>) {
        if self.writes || self.take_room(key.bytes.len(), SpaceClass::Frees) {
            self.remove(key, DeleteReason::Expired);
        }
    }

    fn take_room(&mut self, bytes: usize, class: SpaceClass) -> bool {
        self.core.room_now(bytes, class).map(|room| self.join_room(room)).is_some()
    }
}
