//! Counters of the engine, for INFO and for embedders.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::error::Error;
use crate::format::record::DeleteReason;
use crate::log::LogStats;
use crate::types::Lsn;

/// What happens anywhere in the engine, counted without a lock.
#[derive(Default)]
pub(super) struct Counters {
    pub expired_keys: AtomicU64,
    pub expired_fields: AtomicU64,
    pub evicted_keys: AtomicU64,
    pub cold_hits: AtomicU64,
    pub cold_misses: AtomicU64,
    pub checkpoints: AtomicU64,
    pub checkpoint_failures: AtomicU64,
    pub last_failure: Mutex<String>,
    pub checkpoint_running: AtomicU64,
    pub last_checkpoint_ms: AtomicU64,
    pub last_checkpoint_took_us: AtomicU64,
    pub compactions: AtomicU64,
    pub compaction_failures: AtomicU64,
    pub compaction_running: AtomicU64,
    pub reads_under_lock: AtomicU64,
    pub unloaded_bytes: AtomicU64,
    pub delayed_writes: AtomicU64,
    pub refused_writes: AtomicU64,
}

impl Counters {
    /// Counts a checkpoint that failed, and keeps why.
    pub fn count_failure(&self, error: &Error) {
        add(&self.checkpoint_failures);
        let mut last = self.last_failure.lock().unwrap_or_else(|poison| poison.into_inner());
        *last = error.to_string();
    }

    /// Starts the figures of what clients did at zero again. Those of checkpoints and merges go on:
    /// others compare them over time.
    pub fn reset(&self) {
        let counters = [
            &self.expired_keys,
            &self.expired_fields,
            &self.evicted_keys,
            &self.cold_hits,
            &self.cold_misses,
            &self.reads_under_lock,
            &self.delayed_writes,
            &self.refused_writes,
        ];
        counters.into_iter().for_each(|counter| counter.store(0, Relaxed));
    }

    /// Counts a removal that no command asked for.
    pub fn count_removal(&self, reason: DeleteReason) {
        match reason {
            DeleteReason::Command => {}
            DeleteReason::Expired => add(&self.expired_keys),
            DeleteReason::Evicted => add(&self.evicted_keys),
        }
    }

    /// Counts a read of the parts for a key that memory did not know.
    pub fn count_cold_read(&self, found: bool) {
        add(if found { &self.cold_hits } else { &self.cold_misses });
    }
}

/// Adds one.
pub(super) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

/// What recovery did, for the start-up message and INFO.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoverySummary {
    /// Whether the directory was new.
    pub created: bool,
    /// Parts that were mapped.
    pub parts: usize,
    /// Log frames replayed.
    pub frames: u64,
    /// Bytes of a torn tail that were cut, none of them acknowledged as durable.
    pub torn_bytes: u64,
    /// Whether the newest MANIFEST was damaged and the previous one was used.
    pub used_previous_manifest: bool,
    /// Time from open to ready, in microseconds.
    pub took_us: u64,
}

/// A snapshot of the engine's counters.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// The log's counters.
    pub log: LogStats,
    /// Highest LSN given to a frame.
    pub last_lsn: Lsn,
    /// Highest LSN handed to the operating system: it survives the end of the process.
    pub written_lsn: Lsn,
    /// Highest LSN that survives a power cut.
    pub durable_lsn: Lsn,
    /// Keys in memory that are alive.
    pub resident_keys: u64,
    /// Live keys, in memory or not, over all databases.
    pub keys: u64,
    /// Bytes of entries, tables and values in memory.
    pub memory_bytes: u64,
    /// Bytes in memory that the next checkpoint will write.
    pub dirty_bytes: u64,
    /// Parts of the installed snapshot.
    pub parts: usize,
    /// Their bytes.
    pub parts_bytes: u64,
    /// Keys removed because their deadline passed.
    pub expired_keys: u64,
    /// Fields of hashes removed because their deadline passed.
    pub expired_fields: u64,
    /// Keys removed because memory was short.
    pub evicted_keys: u64,
    /// Keys fetched from parts.
    pub cold_hits: u64,
    /// Fetches that found nothing.
    pub cold_misses: u64,
    /// Checkpoints installed.
    pub checkpoints: u64,
    /// Checkpoints that failed and were discarded.
    pub checkpoint_failures: u64,
    /// Why the last one failed.
    pub last_failure: String,
    /// Whether a checkpoint runs.
    pub checkpoint_running: bool,
    /// Unix milliseconds of the last installed checkpoint.
    pub last_checkpoint_ms: u64,
    /// How long it took, in microseconds.
    pub last_checkpoint_took_us: u64,
    /// Merges installed.
    pub compactions: u64,
    /// Merges that failed and were discarded.
    pub compaction_failures: u64,
    /// Whether a merge runs.
    pub compaction_running: bool,
    /// Disk reads under a lock (scans inside EXEC).
    pub reads_under_lock: u64,
    /// Bytes that left memory because of the budget.
    pub unloaded_bytes: u64,
    /// Bytes that the checkpoint under way has captured: they leave memory after it.
    pub captured_bytes: u64,
    /// How often a write was told to wait for a checkpoint, because of the budget.
    pub delayed_writes: u64,
    /// Writes refused because of the budget: checkpoints failed.
    pub refused_writes: u64,
    /// What recovery did.
    pub recovery: RecoverySummary,
}
