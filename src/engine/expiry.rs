//! Active expiry: keys whose deadline has passed are removed by logged deletes, hot and cold ones
//! (D13).

use crate::error::Result;
use crate::format::record::{DeleteReason, Record};
use crate::keyspace::expiry::DueKey;
use crate::keyspace::field_expiry::DueFields;
use crate::log::{Reserve, SpaceClass};
use crate::types::{KeyspaceId, Position};

use super::begin::{ColdFetch, ColdKey};
use super::core::Core;
use super::unit::Unit;

/// Hashes of which one step removes fields in a partition.
const STEP_HASHES: usize = 16;
/// Keys that one step looks at in a partition, or in the parts.
const STEP_KEYS: usize = 64;

impl Core {
    /// One bounded step over all partitions and over the deadlines of cold keys; returns how many
    /// keys were removed.
    pub fn expire_some(&self) -> Result<usize> {
        if !self.options.background {
            // Under a lock nobody may wait for room in the log (D10). Where no thread makes some,
            // the next step would find as little; a failure shows in what it is refused.
            let _ = self.log.prepare_ahead();
        }
        let mut removed = 0;
        for index in 0..self.shards.len() {
            removed += self.expire_resident(index)? + self.expire_fields(index)?;
        }
        Ok(removed + self.load_due_cold_keys()?)
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

    /// Fetches cold keys whose row says that they are due; the next step removes them from memory
    /// and disk alike, unless they were changed meanwhile. Returns how many were fetched.
    fn load_due_cold_keys(&self) -> Result<usize> {
        let now_ms = self.now_ms();
        let parts = self.lock(0)?.parts.clone();
        let mut due = Vec::new();
        let mut cursors = self.due.lock().map_err(|_| Core::closed())?;
        parts.due(&mut cursors, now_ms, STEP_KEYS, &mut due)?;
        let mut fetched = 0;
        for row in due {
            let (from, to) = (row.position, Position(row.position.0.saturating_add(1)));
            let mut keys: Vec<Box<[u8]>> = Vec::new();
            parts.scan_keys(row.keyspace, from, Some(to), |found| {
                if found.expire_at_ms.is_some_and(|at| at <= now_ms) {
                    keys.push(found.key.into());
                }
                std::ops::ControlFlow::Continue(())
            })?;
            for key in keys {
                fetched += usize::from(self.load_if_cold(row.keyspace, row.position, key)?);
            }
        }
        Ok(fetched)
    }

    fn load_if_cold(
        &self,
        keyspace: KeyspaceId,
        position: Position,
        key: Box<[u8]>,
    ) -> Result<bool> {
        let shard = self.lock(self.shard_of(position))?;
        let live = shard.databases.is_live(keyspace);
        if !live || shard.partition.find(keyspace, position, &key).is_some() {
            return Ok(false);
        }
        let departures = shard.partition.departures(keyspace, position);
        let parts = shard.parts.clone();
        drop(shard);
        self.fetch_now(ColdFetch {
            keys: vec![ColdKey { keyspace, position, key, parts, departures, has_deltas: false }],
        })?;
        Ok(true)
    }
}
