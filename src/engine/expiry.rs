//! Active expiry: keys whose deadline has passed are removed by logged deletes, hot and cold ones
//! (D13).

use crate::error::Result;
use crate::format::record::{DeleteReason, Record};
use crate::keyspace::expiry::DueKey;
use crate::keyspace::field_expiry::DueFields;
use crate::log::{Reserve, SpaceClass};
use crate::types::{KeyspaceId, Position};

use super::core::Core;
use super::unit::Unit;

/// Hashes of which one step removes fields in a partition.
const STEP_HASHES: usize = 16;
/// Keys that one step looks at in a partition, or in the parts.
const STEP_KEYS: usize = 64;
/// How often a cold key is read that others take out of memory before it is looked at.
const FETCHES_MAX: usize = 8;

impl Core {
    /// One bounded step over all partitions and over the deadlines of cold keys; returns how many
    /// keys were removed, or read in order to see their deadlines.
    pub fn expire_some(&self) -> Result<usize> {
        if !self.options.background {
            // Under a lock nobody may wait for room in the log (D10). Where no thread makes some,
            // the next step would find as little; a failure shows in what it is refused.
            let _ = self.log.prepare_ahead();
        }
        let mut removed = 0;
        for index in 0..self.shards.len() {
            removed += self.read_due_bases(index)?;
            removed += self.expire_resident(index)? + self.expire_fields(index)?;
        }
        Ok(removed + self.expire_cold()?)
    }

    /// Removes due keys that stand in memory, one frame for all of them.
    fn expire_resident(&self, index: usize) -> Result<usize> {
        let now_ms = self.now_ms();
        let mut due: Vec<DueKey> = Vec::new();
        let mut shard = self.lock(index)?;
        shard.partition.due(now_ms, STEP_KEYS, &mut due);
        let bytes: usize = due.iter().map(|key| key.key.len() + Record::HEAD_BYTES_MAX).sum();
        if due.is_empty() {
            return Ok(0);
        }
        let Reserve::Granted(room) = self.log.reserve(bytes as u64, SpaceClass::Frees) else {
            return Ok(0);
        };
        let mut unit = Unit::on_shard(self, index, shard, room, now_ms);
        for DueKey { keyspace, position, key, .. } in &due {
            unit.remove_from(*keyspace, *position, key, DeleteReason::Expired);
        }
        unit.finish();
        Ok(due.len())
    }

    /// Removes due fields of hashes that stand in memory, one frame for all of them; how many
    /// hashes that were.
    fn expire_fields(&self, index: usize) -> Result<usize> {
        let now_ms = self.now_ms();
        let mut shard = self.lock(index)?;
        let due = shard.partition.due_fields(now_ms, STEP_HASHES);
        let bytes = due.iter().map(|one| one.key.len() + one.gone.len() + Record::HEAD_BYTES_MAX);
        let bytes: usize = bytes.sum();
        if due.is_empty() {
            return Ok(0);
        }
        let Reserve::Granted(room) = self.log.reserve(bytes as u64, SpaceClass::Frees) else {
            return Ok(0);
        };
        let mut unit = Unit::on_shard(self, index, shard, room, now_ms);
        for DueFields { keyspace, position, key, shape, gone, count, are_all } in &due {
            unit.count_expired_fields(*count);
            match are_all {
                true => unit.take_out(*keyspace, *position, key, DeleteReason::Expired),
                false => unit.edit_at(*keyspace, *position, key, *shape, gone),
            }
            let partition = &mut unit.guards[0].1.partition;
            partition.renote_fields(*keyspace, *position, now_ms);
        }
        unit.finish();
        Ok(due.len())
    }

    /// Reads the base of keys whose deltas may bring a deadline that has passed; how many. They are
    /// queued with their bases.
    fn read_due_bases(&self, index: usize) -> Result<usize> {
        let mut shard = self.lock(index)?;
        let keys = shard.partition.due_pending(self.now_ms(), STEP_KEYS);
        let fetch = shard.pending_fetch(keys);
        drop(shard);
        // A damaged one stays as it is; who asks for it gets the error.
        Ok(fetch.keys.iter().filter(|cold| self.fetch_key(cold).is_ok()).count())
    }

    /// Removes cold keys whose row says that they are due, unless they were changed meanwhile.
    /// Returns how many were removed. Where the log has no room the next step begins with them.
    fn expire_cold(&self) -> Result<usize> {
        let now_ms = self.now_ms();
        let parts = self.lock(0)?.parts.clone();
        let mut due = Vec::new();
        let mut cursors = self.due.lock().map_err(|_| Core::closed())?;
        let before = cursors.clone();
        parts.due(&mut cursors, now_ms, STEP_KEYS, &mut due)?;
        let mut removed = 0;
        for row in due {
            let (from, to) = (row.position, Position(row.position.0.saturating_add(1)));
            let mut keys: Vec<Box<[u8]>> = Vec::new();
            let scanned = parts.scan_keys(row.keyspace, from, Some(to), |found| {
                if found.expire_at_ms.is_some_and(|at| at <= now_ms) {
                    keys.push(found.key.into());
                }
                std::ops::ControlFlow::Continue(())
            });
            // What is damaged stays; the keys beside it go nevertheless.
            if scanned.is_err() {
                continue;
            }
            for key in keys {
                match self.expire_if_due(row.keyspace, row.position, &key, now_ms) {
                    Ok(Some(gone)) => removed += usize::from(gone),
                    Ok(None) => {
                        *cursors = before;
                        return Ok(removed);
                    }
                    Err(_) => {}
                }
            }
        }
        Ok(removed)
    }

    /// Removes a key, resident or not, if it is past its deadline; whether it did. None where there
    /// was no room in the log, or others took the key out of memory all the time.
    fn expire_if_due(
        &self,
        keyspace: KeyspaceId,
        position: Position,
        key: &[u8],
        now_ms: u64,
    ) -> Result<Option<bool>> {
        let bytes = (key.len() + Record::HEAD_BYTES_MAX) as u64;
        let index = self.shard_of(position);
        for _ in 0..FETCHES_MAX {
            let Reserve::Granted(room) = self.log.reserve(bytes, SpaceClass::Frees) else {
                return Ok(None);
            };
            let shard = self.lock(index)?;
            if !shard.databases.is_live(keyspace) {
                return Ok(Some(false));
            }
            let known = shard.partition.find(keyspace, position, key);
            if let Some(entry) = known.filter(|entry| !entry.is_pending() || entry.is_known()) {
                let is_due = entry.expire_at_ms().is_some_and(|at| at <= now_ms);
                if is_due {
                    let mut unit = Unit::on_shard(self, index, shard, room, now_ms);
                    unit.remove_from(keyspace, position, key, DeleteReason::Expired);
                    unit.finish();
                }
                return Ok(Some(is_due));
            }
            let wanted = shard.cold_key(keyspace, position, key.into(), false);
            drop(shard);
            self.fetch_key(&wanted)?;
        }
        Ok(None)
    }
}
