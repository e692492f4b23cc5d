//! The handle of an open database: what a server and the plain calls of `embed` are built on.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

use crate::error::Result;
use crate::io::clock::SystemClock;
use crate::io::disk::DiskStorage;
use crate::io::lock::DirectoryLock;
use crate::io::{Clock, Storage};
use crate::options::Options;
use crate::types::{Durability, Lsn, Position};

use super::background::{Haste, Threads};
use super::begin::{Begin, ColdFetch, Intent};
use super::core::Core;
use super::pins::Pinned;
use super::recovery::{recover, sync_interval_ms};
use super::staging::{Copied, Copying, StageOrder, Staged};
use super::stats::{RecoverySummary, Stats};
use super::unit::{Key, Unit};

/// An open database.
///
/// All methods may be called from any thread. Dropping an engine stops its threads without a
/// checkpoint: nothing acknowledged is lost, and the next open replays the log.
///
/// ```
/// use firn::engine::Engine;
/// use firn::engine::embed::Batch;
/// use firn::options::Options;
///
/// let dir = tempfile::tempdir().unwrap();
/// let engine = Engine::open(Options::new(dir.path()))?;
/// engine.set(0, b"snow", b"fresh")?; // on disk when it returns
/// assert_eq!(engine.get(0, b"snow")?.as_deref(), Some(&b"fresh"[..]));
/// let mut batch = Batch::new();
/// batch.set(0, b"ice", b"old").delete(0, b"snow");
/// assert_eq!(engine.apply(&batch)?, 1); // both, or neither
/// assert_eq!(engine.scan(0, 0, 10)?.keys, [b"ice"]);
/// engine.close()?;
/// # Ok::<(), firn::error::Error>(())
/// ```
pub struct Engine {
    pub(super) core: Arc<Core>,
    threads: Mutex<Option<Threads>>,
    recovery: RecoverySummary,
    _lock: Option<DirectoryLock>,
}

impl Engine {
    /// Opens the database in `options.dir`, creating it when the directory is empty or missing.
    /// Recovery is part of it: when this returns, everything that was acknowledged is served.
    ///
    /// # Errors
    /// `Locked` when another process has it open, `Corrupt` when acknowledged data cannot be read
    /// (nothing is changed then), `UnsupportedFormat`, `Io`.
    pub fn open(options: Options) -> Result<Engine> {
        let lock = DirectoryLock::acquire(&options.dir)?;
        let storage = Arc::new(DiskStorage::new(&options.dir));
        let mut engine = Engine::open_on(storage, Arc::new(SystemClock::new()), options)?;
        engine._lock = Some(lock);
        Ok(engine)
    }

    /// Opens a database on any storage, for simulations. Nobody else may use the storage.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub fn open_on(
        storage: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
        options: Options,
    ) -> Result<Engine> {
        let (core, recovery) = recover(storage, clock, options)?;
        let core = Arc::new(core);
        let threads = if core.options.background { Some(Threads::start(&core)?) } else { None };
        Ok(Engine { core, threads: Mutex::new(threads), recovery, _lock: None })
    }

    /// Writes a checkpoint, syncs the log and stops the threads. Everything written before is
    /// durable when this returns, whatever its level. Later calls fail.
    ///
    /// # Errors
    /// The first failure; the database is usable after a reopen in any case.
    pub fn close(&self) -> Result<()> {
        // Whatever runs in the background makes haste now, or ends.
        self.core.closing.store(true, Relaxed);
        let checkpointed = self.core.checkpoint(Haste::Awaited);
        let synced = self.sync().and_then(|()| self.core.log.begin_segment());
        self.stop();
        checkpointed.and(synced)
    }

    /// Syncs the log and stops the threads, without a checkpoint: the next open replays the log.
    /// Everything written before is durable when this returns. Later calls fail.
    ///
    /// # Errors
    /// As [`Engine::sync`].
    pub fn close_without_checkpoint(&self) -> Result<()> {
        let synced = self.sync();
        self.stop();
        synced
    }

    /// Changes how often the log is synced when nobody waits for it. What a single write waits for
    /// is its caller's choice.
    pub fn set_durability(&self, durability: Durability) {
        let interval = sync_interval_ms(durability);
        self.core.log.set_sync_interval_ms(interval);
    }

    /// Makes all writes so far durable.
    ///
    /// # Errors
    /// `Poisoned` when the sync failed: the database must be reopened.
    pub fn sync(&self) -> Result<()> {
        self.core.wait_durable(self.core.log.last_lsn())
    }

    fn stop(&self) {
        let threads = self.threads.lock().unwrap_or_else(|poison| poison.into_inner()).take();
        if let Some(threads) = threads {
            threads.stop(&self.core);
        }
    }

    /// Writes everything that changed since the last checkpoint into a part, so that the log before
    /// it is no longer needed. Does not stop readers or writers. On return the part is durable.
    ///
    /// # Errors
    /// `Io` when the part could not be written; it is discarded and the next attempt starts afresh.
    pub fn checkpoint(&self) -> Result<()> {
        self.core.checkpoint(Haste::Awaited)
    }

    /// As [`Engine::checkpoint`], but leaves the processors to commands at least half of the time.
    ///
    /// # Errors
    /// As [`Engine::checkpoint`].
    pub fn checkpoint_paced(&self) -> Result<()> {
        self.core.checkpoint(Haste::Idle)
    }

    /// Merges parts while there are more than a few; returns whether anything was merged.
    ///
    /// # Errors
    /// As [`Engine::checkpoint`].
    pub fn compact(&self) -> Result<bool> {
        self.core.compact(Haste::Awaited)
    }

    /// As [`Engine::compact`], but leaves the processors to commands at least half of the time.
    ///
    /// # Errors
    /// As [`Engine::checkpoint`].
    pub fn compact_paced(&self) -> Result<bool> {
        self.core.compact(Haste::Idle)
    }

    /// Removes keys whose deadline has passed, a bounded number of them; returns how many.
    ///
    /// # Errors
    /// `Io` when a cold key could not be read.
    pub fn expire_some(&self) -> Result<usize> {
        self.core.expire_some()
    }

    /// Changes the budget for memory in bytes; 0 is none. Entries leave memory soon after.
    pub fn set_memory_bytes(&self, bytes: u64) {
        if self.core.memory_bytes.swap(bytes, Relaxed) != bytes {
            self.core.throttle.budget_changed();
        }
    }

    /// Chooses what leaves memory first: what is used least, or what is idle for longest (the
    /// default).
    pub fn set_unload_by_frequency(&self, by_frequency: bool) {
        self.core.unload_by_frequency.store(by_frequency, Relaxed);
    }

    /// Drops clean entries from memory until it is within its budget.
    ///
    /// # Errors
    /// `Poisoned`.
    pub fn shrink_to_budget(&self) -> Result<()> {
        self.core.shrink_to_budget()
    }

    /// Counters.
    pub fn stats(&self) -> Stats {
        let mut stats = self.core.stats();
        stats.recovery = self.recovery.clone();
        stats
    }

    /// Starts the counts of removals by time and of cold keys at zero again.
    pub fn reset_counts(&self) {
        self.core.stats.reset();
    }

    /// What recovery did when the database was opened.
    pub fn recovery(&self) -> &RecoverySummary {
        &self.recovery
    }

    /// The options that it was opened with.
    pub fn options(&self) -> &Options {
        &self.core.options
    }

    /// Wall time in milliseconds; never below an earlier answer or the log's last frame.
    pub fn now_ms(&self) -> u64 {
        self.core.now_ms()
    }

    /// A key with its place in the keyspace.
    pub fn key<'k>(&self, db: u32, bytes: &'k [u8]) -> Key<'k> {
        Key { db, position: self.core.hasher.position(bytes), bytes }
    }

    /// Locks the partitions of `keys` and starts a unit. Handlers may touch these keys only.
    pub fn begin<'e>(&'e self, keys: &[Key<'_>], intent: Intent) -> Begin<'e> {
        self.core.begin(keys, intent)
    }

    /// Whether two places are in one partition.
    pub fn are_together(&self, one: Position, other: Position) -> bool {
        self.core.shard_of(one) == self.core.shard_of(other)
    }

    /// The partition that a position belongs to.
    pub fn partition_of(&self, position: Position) -> usize {
        self.core.shard_of(position)
    }

    /// How often this thread has used a partition that another one had used before it.
    pub fn turns() -> u64 {
        super::begin::turns()
    }

    /// Locks the whole keyspace and starts a unit; `keys` are those that its handlers will touch.
    pub fn begin_all<'e>(&'e self, keys: &[Key<'_>], intent: Intent) -> Begin<'e> {
        self.core.begin_all(keys, intent)
    }

    /// As [`Engine::begin`], or [`Engine::begin_all`] for `all`, for a unit that may copy values.
    ///
    /// # Errors
    /// With a huge value that must be logged ahead, by [`Engine::stage`], before it can begin.
    pub fn begin_copying<'e>(
        &'e self,
        keys: &[Key<'_>],
        all: bool,
        intent: Intent,
        copying: Option<&Copying<'_>>,
    ) -> Copied<Begin<'e>> {
        self.core.begin_copying(keys, all, intent, copying)
    }

    /// Logs a huge value ahead of the unit that will copy it. Takes long: not for workers. Stops
    /// early once nobody wants it any more.
    ///
    /// # Errors
    /// `DiskFull` when the log has no room for it, `Poisoned`; nothing was changed then.
    pub fn stage(&self, order: StageOrder, is_wanted: &dyn Fn() -> bool) -> Result<Staged> {
        self.core.stage(order, is_wanted)
    }

    /// A unit that only scans: it locks one partition at a time and may read the disk.
    pub fn begin_scan(&self) -> Unit<'_> {
        Unit::scanning(&self.core)
    }

    /// Reads cold keys on the read pool and calls `done` from there.
    pub fn fetch(&self, fetch: ColdFetch, done: Box<dyn FnOnce(Result<()>) + Send>) {
        self.core.reads.submit(&self.core, (fetch, done));
    }

    /// A unit for a handler that looks up `members` in the one key of a fetch, which is `key`, and
    /// nothing else. Of a large collection only their chunks are read, and nothing is kept. Reads
    /// the disk: not for workers.
    ///
    /// # Errors
    /// When the key cannot be read.
    pub fn begin_aside<'e>(
        &'e self,
        fetch: ColdFetch,
        key: &Key<'_>,
        members: &[&[u8]],
        now_ms: u64,
    ) -> Result<Unit<'e>> {
        self.core.begin_aside(fetch, key, members, now_ms)
    }

    /// Keeps the keys of a fetch in memory, once they are there, until the answer is dropped.
    /// Needed around a fetch of several keys: they must all be there at one time.
    pub fn pin(&self, fetch: &ColdFetch) -> Pinned {
        Pinned::new(&self.core, fetch)
    }

    /// Whether some keys are not in memory.
    pub fn has_cold(&self) -> bool {
        self.core.has_cold()
    }

    /// Starts to bring what units on these positions will need into the cache: first the table
    /// lines of all, then the entries, so that their ways from memory overlap.
    pub fn prefetch(&self, db: u32, positions: impl Iterator<Item = Position> + Clone) {
        for position in positions.clone() {
            if let Ok(shard) = self.core.shards[self.core.shard_of(position)].0.try_lock() {
                let keyspace = shard.databases.keyspace(db);
                shard.partition.prefetch(keyspace, position);
            }
        }
        for position in positions {
            if let Ok(shard) = self.core.shards[self.core.shard_of(position)].0.try_lock() {
                let keyspace = shard.databases.keyspace(db);
                shard.partition.prefetch_entry(keyspace, position);
            }
        }
    }

    /// Writes a checkpoint and lets everything that is clean leave memory, as after a restart: what
    /// is asked for next is read back from parts.
    ///
    /// # Errors
    /// As [`Engine::checkpoint`].
    pub fn reload(&self) -> Result<()> {
        self.core.checkpoint(Haste::Awaited)?;
        self.core.forget_clean()
    }

    /// Turns the removal of expired keys that nobody asks for off or on.
    pub fn set_active_expiry(&self, active: bool) {
        self.core.active_expiry.store(active, Relaxed);
    }

    /// LSN of the last write.
    pub fn last_lsn(&self) -> Lsn {
        self.core.log.last_lsn()
    }

    /// Highest LSN that survives a power cut.
    pub fn durable_lsn(&self) -> Lsn {
        self.core.log.durable_lsn()
    }

    /// Asks the committer thread to make `lsn` durable; returns at once.
    pub fn request_sync(&self, lsn: Lsn) {
        self.core.log.request_sync(lsn);
    }

    /// Commits in this thread; false when another thread is committing, or had better do so because
    /// there is much to write.
    ///
    /// # Errors
    /// `Poisoned` when the write or sync failed.
    pub fn commit_here(&self) -> Result<bool> {
        self.core.log.try_commit(true)
    }

    /// Calls `listener` with the durable LSN whenever it has advanced, from the committing thread.
    pub fn set_durable_listener(&self, listener: Box<dyn Fn(Lsn) + Send + Sync>) {
        self.core.log.set_listener(listener);
    }

    /// Gives the last durable frames a witness on disk, so that damage to them is never taken for a
    /// torn tail. Done by itself when the log goes idle and on close.
    ///
    /// # Errors
    /// `Poisoned` when the write or sync failed.
    pub fn write_witness(&self) -> Result<()> {
        self.core.log.write_witness()
    }

    /// Calls `listener` with the reason when the log stops for good: nothing is acknowledged any
    /// more, and the process should end (D5).
    pub fn set_fatal_listener(&self, listener: Box<dyn Fn(&str) + Send + Sync>) {
        self.core.log.set_fatal_listener(listener);
    }

    /// Sets `flag` when `key` changes later (WATCH).
    ///
    /// # Errors
    /// `Poisoned`.
    pub fn watch(&self, key: &Key<'_>, flag: &Arc<AtomicBool>) -> Result<()> {
        let mut shard = self.core.lock(self.core.shard_of(key.position))?;
        let keyspace = shard.databases.keyspace(key.db);
        shard.partition.watches_mut().watch(keyspace, key.position, key.bytes, flag.clone());
        Ok(())
    }

    /// Ends [`Engine::watch`] for one key.
    ///
    /// # Errors
    /// `Poisoned`.
    pub fn unwatch(&self, key: &Key<'_>, flag: &Arc<AtomicBool>) -> Result<()> {
        let mut shard = self.core.lock(self.core.shard_of(key.position))?;
        let keyspace = shard.databases.keyspace(key.db);
        shard.partition.watches_mut().unwatch(keyspace, key.position, key.bytes, flag);
        Ok(())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
    }
}
