//! The memory budget, and what the engine tells of itself.

use std::sync::atomic::Ordering::Relaxed;

use crate::error::Result;
use crate::keyspace::residency::Coldness;

use super::core::Core;
use super::stats::Stats;
use super::throttle::dirty_bytes_max;

/// Part of the memory budget that may be dirty before a checkpoint makes it clean.
pub(super) const DIRTY_SHARE: u64 = 4;
/// Less than this is not worth a checkpoint, in bytes.
pub(super) const DIRTY_BYTES_MIN: u64 = 1 << 20;

/// What all partitions hold together.
#[derive(Default)]
pub(super) struct Held {
    pub memory_bytes: u64,
    /// Changed, and not captured by a checkpoint since.
    pub dirty_bytes: u64,
}

impl Core {
    /// Sums up what is in memory, one lock at a time.
    pub(super) fn held(&self) -> Result<Held> {
        let mut held = Held::default();
        self.each_shard(|shard| {
            held.memory_bytes += shard.partition.memory_bytes();
            held.dirty_bytes += shard.partition.dirty_bytes();
        })?;
        Ok(held)
    }

    /// Whether so much is dirty that the budget could not be kept: only clean entries leave memory.
    pub fn too_much_is_dirty(&self) -> Result<bool> {
        let budget = self.memory_bytes.load(Relaxed);
        if budget == 0 {
            return Ok(false);
        }
        Ok(self.held()?.dirty_bytes >= dirty_bytes_max(budget))
    }

    /// Lets clean entries leave memory until it is within the budget, or nothing clean is left.
    /// What leaves stays readable from parts.
    pub fn shrink_to_budget(&self) -> Result<()> {
        let budget = self.memory_bytes.load(Relaxed);
        if budget == 0 {
            return Ok(());
        }
        let held = self.held()?.memory_bytes;
        let excess = held.saturating_sub(budget);
        if excess == 0 {
            return Ok(());
        }
        let now_ms = self.now_ms();
        let by = match self.unload_by_frequency.load(Relaxed) {
            true => Coldness::Frequency,
            false => Coldness::Idle,
        };
        self.each_shard(|shard| {
            let partition = &mut shard.partition;
            let share = u128::from(excess) * u128::from(partition.memory_bytes());
            let want_bytes = (share / u128::from(held.max(1))) as u64 + 1;
            let freed = partition.unload(want_bytes, now_ms, by);
            self.stats.unloaded_bytes.fetch_add(freed, Relaxed);
        })
    }

    /// Lets everything that is clean leave memory.
    pub fn forget_clean(&self) -> Result<()> {
        let now_ms = self.now_ms();
        self.each_shard(
            |shard| while shard.partition.unload(u64::MAX, now_ms, Coldness::Idle) > 0 {},
        )
    }

    /// Counters, gathered over all shards.
    pub fn stats(&self) -> Stats {
        let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Relaxed);
        let counters = &self.stats;
        let mut stats = Stats {
            log: self.log.stats(),
            last_lsn: self.log.last_lsn(),
            written_lsn: self.log.written_lsn(),
            durable_lsn: self.log.durable_lsn(),
            expired_keys: load(&counters.expired_keys),
            expired_fields: load(&counters.expired_fields),
            evicted_keys: load(&counters.evicted_keys),
            cold_hits: load(&counters.cold_hits),
            cold_misses: load(&counters.cold_misses),
            checkpoints: load(&counters.checkpoints),
            checkpoint_failures: load(&counters.checkpoint_failures),
            checkpoint_running: load(&counters.checkpoint_running) > 0,
            last_checkpoint_ms: load(&counters.last_checkpoint_ms),
            last_checkpoint_took_us: load(&counters.last_checkpoint_took_us),
            compactions: load(&counters.compactions),
            compaction_failures: load(&counters.compaction_failures),
            compaction_running: load(&counters.compaction_running) > 0,
            reads_under_lock: load(&counters.reads_under_lock),
            unloaded_bytes: load(&counters.unloaded_bytes),
            captured_bytes: self.throttle.captured_bytes(),
            delayed_writes: load(&counters.delayed_writes),
            refused_writes: load(&counters.refused_writes),
            ..Stats::default()
        };
        let failure = counters.last_failure.lock();
        stats.last_failure = failure.map_or_else(|_| String::new(), |text| text.clone());
        self.add_shards(&mut stats);
        stats
    }

    /// Adds what the shards hold; a poisoned shard counts nothing.
    fn add_shards(&self, stats: &mut Stats) {
        for index in 0..self.shards.len() {
            let Ok(shard) = self.lock(index) else {
                continue;
            };
            let partition = &shard.partition;
            stats.resident_keys += partition.resident_keys();
            stats.memory_bytes += partition.memory_bytes();
            stats.dirty_bytes += partition.dirty_bytes();
            for keyspace in partition.keyspaces() {
                stats.keys += partition.totals(keyspace).keys;
            }
            if index == 0 {
                stats.parts = shard.parts.parts().len();
                let bytes = shard.parts.parts().iter().map(|part| part.meta().file_bytes);
                stats.parts_bytes = bytes.sum();
            }
        }
    }
}
