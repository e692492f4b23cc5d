//! How an engine is opened.

use std::path::PathBuf;

use crate::types::Durability;

/// Options of [`crate::engine::Engine::open`]. The defaults suit a server.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data directory; created when missing.
    pub dir: PathBuf,
    /// When a write is acknowledged, unless a caller says otherwise.
    pub durability: Durability,
    /// Logical databases, at most [`crate::limits::DATABASES_MAX`].
    pub databases: u32,
    /// Budget for memory in bytes; 0 is unlimited. Clean entries leave memory above it.
    pub memory_bytes: u64,
    /// Log bytes since the last checkpoint that start the next one.
    pub checkpoint_log_bytes: u64,
    /// Size of the first log segment, in bytes; not above that which segments grow to.
    pub segment_bytes_min: u64,
    /// Size that log segments grow to, in bytes.
    pub segment_bytes_max: u64,
    /// Bound of log frames that are queued and not yet written, in bytes.
    pub log_queue_bytes: u64,
    /// Memory from which on a collection that is copied is logged ahead of the copy, in bytes, so
    /// that others do not wait for it; in frames of an eighth of this.
    pub stage_bytes: u64,
    /// Partitions of the keyspace, a power of two; 0 chooses by the number of cores.
    pub partitions: usize,
    /// Seed of all random choices, for simulations that must be reproducible; none asks the system.
    pub seed: Option<u64>,
    /// Whether threads for sync, checkpoint, compaction and expiry are started. Without them the
    /// caller drives these steps, as the simulation does.
    pub background: bool,
}

impl Options {
    /// Defaults for a data directory.
    pub fn new(dir: impl Into<PathBuf>) -> Options {
        Options {
            dir: dir.into(),
            durability: Durability::Always,
            databases: 16,
            memory_bytes: 0,
            checkpoint_log_bytes: 256 << 20,
            segment_bytes_min: 4 << 20,
            segment_bytes_max: 64 << 20,
            log_queue_bytes: 64 << 20,
            stage_bytes: 4 << 20,
            partitions: 0,
            seed: None,
            background: true,
        }
    }
}
