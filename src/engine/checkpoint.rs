//! Checkpoints: dirty entries become one new part, and the log before them may go.
//!
//! The capture is fuzzy between keys: every row carries the LSN to which it is current, and
//! recovery replays only what is newer. Nothing is stopped; a lock is held for a bounded number of
//! entries.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, MutexGuard};

use crate::error::Result;
use crate::keyspace::capture::{Capture, CapturedValue};
use crate::snapshot::block_cache::BlockCache;
use crate::snapshot::manifest::ManifestStore;
use crate::snapshot::part_reader::PartReader;
use crate::snapshot::part_set::PartSet;
use crate::snapshot::part_writer::PartWriter;
use crate::snapshot::{Manifest, PartMeta, RowKey, RowValue, SlotCount};
use crate::types::{KeyspaceId, Lsn};

use super::background::{Haste, Pacer};
use super::core::Core;
use super::stats::add;

/// Bytes that one lock hold may capture.
const CAPTURE_BYTES: usize = 64 << 10;
/// No checkpoint begins for less because of a disk that fills, in bytes.
const LOGGED_BYTES_MIN: u64 = 1 << 20;
/// Pending keys that one lock hold may list.
const PENDING_KEYS: usize = 256;

/// The installed snapshot and what the next one builds on. Its mutex makes checkpoints and
/// compactions take turns.
pub struct Snapshots {
    pub store: ManifestStore,
    pub parts: Arc<PartSet>,
    /// Open parts that only the previous MANIFEST names: it stays usable until the next is
    /// installed.
    pub previous_parts: Arc<PartSet>,
    pub cache: Arc<BlockCache>,
    pub next_part_id: u64,
}

impl Snapshots {
    /// The installed MANIFEST.
    pub fn manifest(&self) -> &Manifest {
        self.store.current().expect("recovery has installed one")
    }
}

/// What a capture has put into the new part.
#[derive(Default)]
struct Captured {
    part: Option<PartMeta>,
    max_lsn: Lsn,
}

impl Core {
    /// Writes all dirty entries into a new part and installs it.
    pub fn checkpoint(&self, haste: Haste) -> Result<()> {
        let mut snapshots = self.lock_snapshots()?;
        let started_us = self.clock.monotonic_us();
        self.stats.checkpoint_running.store(1, Relaxed);
        let result = self.checkpoint_locked(&mut snapshots, haste);
        self.stats.checkpoint_running.store(0, Relaxed);
        self.throttle.checkpoint_ended(result.is_err());
        if let Err(error) = &result {
            self.stats.count_failure(error);
        } else {
            add(&self.stats.checkpoints);
            let took_us = self.clock.monotonic_us().saturating_sub(started_us);
            self.stats.last_checkpoint_took_us.store(took_us, Relaxed);
            self.stats.last_checkpoint_ms.store(self.now_ms(), Relaxed);
        }
        result
    }

    fn checkpoint_locked(&self, snapshots: &mut Snapshots, haste: Haste) -> Result<()> {
        self.resolve_pending()?;
        // Whatever has an LSN up to here was applied under its shard's lock before that shard is
        // captured, so the part holds it (or something newer).
        let (cut, log_start_lsn) = self.stages.cut(&self.log);
        if cut < snapshots.manifest().log_start_lsn {
            return Ok(());
        }
        let logged = self.log.unsaved_bytes();
        // The part that is about to be written takes this id, and no other ever does.
        let generation = snapshots.next_part_id;
        self.each_shard(|shard| shard.partition.begin_capture(generation))?;
        let installed = self.capture_and_install(snapshots, (cut, log_start_lsn), haste);
        self.end_capture(installed.is_ok(), haste)?;
        if installed.is_ok() {
            self.log.note_saved(logged);
        }
        installed
    }

    fn end_capture(&self, installed: bool, haste: Haste) -> Result<()> {
        let mut pacer = Pacer::start(self, haste);
        for index in 0..self.shards.len() {
            while self.lock(index)?.partition.end_capture(installed) {
                pacer.step();
            }
        }
        Ok(())
    }

    fn capture_and_install(
        &self,
        snapshots: &mut Snapshots,
        (cut, log_start_lsn): (Lsn, Lsn),
        haste: Haste,
    ) -> Result<()> {
        let captured = self.capture(snapshots, haste)?;
        let databases = self.lock(0)?.databases.clone();
        // The MANIFEST may only name what the log can prove, at every durability level (D4).
        self.wait_durable(captured.max_lsn.max(databases.lsn()).max(cut))?;
        let mut next = snapshots.manifest().clone();
        next.databases = databases.to_manifest();
        next.log_start_lsn = log_start_lsn;
        next.parts.extend(captured.part);
        self.install(snapshots, next)
    }

    /// Makes `next` the MANIFEST and its parts the set that is asked for cold keys. What only the
    /// MANIFEST before the previous one needed is given back.
    pub(super) fn install(&self, snapshots: &mut Snapshots, mut next: Manifest) -> Result<()> {
        next.durable_lsn = self.log.durable_lsn();
        next.wall_ms = self.now_ms();
        next.next_part_id = snapshots.next_part_id;
        let parts = Arc::new(self.open_parts(snapshots, &next)?);
        self.log.keep_free(next.largest_part_bytes());
        if let Err(error) = snapshots.store.install(next) {
            if snapshots.store.is_poisoned() {
                // Nobody knows which MANIFEST a restart would find (D5).
                self.log.stop(&error.to_string());
            }
            return Err(error);
        }
        let kept = snapshots.store.kept_parts();
        snapshots.previous_parts.retire_all_but(|id| kept.contains(&id));
        snapshots.previous_parts = std::mem::replace(&mut snapshots.parts, parts);
        self.each_shard(|shard| shard.parts = snapshots.parts.clone())?;
        self.log.release_before(snapshots.store.log_needed_from().unwrap_or(0))
    }

    /// The parts that `next` names: those that are open already, and the new ones.
    fn open_parts(&self, snapshots: &Snapshots, next: &Manifest) -> Result<PartSet> {
        let open = |meta: &PartMeta| {
            let known = snapshots.parts.parts().iter().find(|part| part.meta().id == meta.id);
            if let Some(known) = known {
                return Ok(known.clone());
            }
            let cache = Some(snapshots.cache.clone());
            PartReader::open(&self.storage, next.database, meta, cache).map(Arc::new)
        };
        Ok(PartSet::new(next.parts.iter().map(open).collect::<Result<_>>()?))
    }

    fn capture(&self, snapshots: &mut Snapshots, haste: Haste) -> Result<Captured> {
        let mut keyspaces = BTreeSet::new();
        self.each_shard(|shard| keyspaces.extend(shard.partition.keyspaces()))?;
        let mut writer = self.new_part(snapshots)?;
        let mut pacer = Pacer::start(self, haste);
        let (mut max_lsn, mut counts) = (0, Vec::new());
        for keyspace in keyspaces {
            let of = self.capture_keyspace(keyspace, &mut writer, &mut counts, &mut pacer)?;
            max_lsn = max_lsn.max(of);
        }
        if writer.key_count() == 0 {
            return Ok(Captured { part: None, max_lsn });
        }
        let newest = snapshots.manifest().parts.iter().map(|part| part.run).max();
        writer.set_counts(counts);
        let part = writer.finish(newest.unwrap_or(0) + 1)?;
        Ok(Captured { part: Some(part), max_lsn })
    }

    /// Starts a part under a fresh id. An id that fails is not used again.
    pub(super) fn new_part(&self, snapshots: &mut Snapshots) -> Result<PartWriter> {
        let id = snapshots.next_part_id;
        snapshots.next_part_id += 1;
        let database = snapshots.manifest().database;
        PartWriter::create(self.storage.clone(), database, id, self.now_ms())
    }

    /// Captures a keyspace; the highest LSN that was met.
    fn capture_keyspace(
        &self,
        keyspace: KeyspaceId,
        writer: &mut PartWriter,
        counts: &mut Vec<SlotCount>,
        pacer: &mut Pacer<'_>,
    ) -> Result<Lsn> {
        let mut max_lsn = 0;
        let mut capture = Capture::default();
        for index in 0..self.shards.len() {
            let mut more = true;
            while more {
                capture.clear();
                more = self.capture_step(index, keyspace, &mut capture)?;
                max_lsn = max_lsn.max(capture.max_lsn);
                write_rows(&capture, writer, pacer)?;
                pacer.step();
            }
            counts.extend(self.lock(index)?.partition.changed_counts(keyspace));
        }
        Ok(counts.iter().fold(max_lsn, |max, count| max.max(count.lsn)))
    }

    /// Captures a little of one shard, in one lock hold; whether there may be more.
    fn capture_step(
        &self,
        index: usize,
        keyspace: KeyspaceId,
        capture: &mut Capture,
    ) -> Result<bool> {
        let mut shard = self.lock(index)?;
        let dirty_bytes = shard.partition.dirty_bytes();
        let more = shard.partition.capture(keyspace, CAPTURE_BYTES, capture);
        self.throttle.captured(dirty_bytes.saturating_sub(shard.partition.dirty_bytes()));
        Ok(more)
    }

    /// Loads the bases of deltas that recovery left pending, so that everything dirty is whole.
    fn resolve_pending(&self) -> Result<()> {
        for index in 0..self.shards.len() {
            loop {
                let mut shard = self.lock(index)?;
                let keys = shard.partition.pending_keys(PENDING_KEYS);
                let fetch = shard.pending_fetch(keys);
                drop(shard);
                if fetch.keys.is_empty() {
                    break;
                }
                self.fetch_now(fetch)?;
            }
        }
        Ok(())
    }

    /// Whether enough was logged since the last checkpoint, or enough is dirty, or the log needs
    /// the space back that a checkpoint releases, or will soon.
    pub fn checkpoint_due(&self) -> Result<bool> {
        let since = self.log.unsaved_bytes();
        let is_short = since > 0 && self.log.is_full();
        let enough = self.log.room_for_segments().max(LOGGED_BYTES_MIN);
        if is_short || since >= enough.min(self.options.checkpoint_log_bytes) {
            return Ok(true);
        }
        Ok(self.too_much_is_dirty()? && !self.merge_is_behind()?)
    }

    /// Gives up what only the previous MANIFEST needs, so that a full log gets its space back
    /// without waiting for another checkpoint: the same snapshot is installed once more.
    pub fn release_previous(&self) -> Result<()> {
        let mut snapshots = self.lock_snapshots()?;
        let current = snapshots.manifest().clone();
        let kept = snapshots.store.kept_parts().len();
        let log_needed_from = snapshots.store.log_needed_from();
        if log_needed_from == Some(current.log_start_lsn) && kept == current.parts.len() {
            return Ok(());
        }
        self.install(&mut snapshots, current)
    }

    pub(super) fn lock_snapshots(&self) -> Result<MutexGuard<'_, Snapshots>> {
        self.snapshots.lock().map_err(|_| Core::closed())
    }
}

fn write_rows(capture: &Capture, writer: &mut PartWriter, pacer: &mut Pacer<'_>) -> Result<()> {
    for row in capture.rows() {
        let key = RowKey { keyspace: row.keyspace, position: row.position, key: row.key };
        let value = match row.value {
            CapturedValue::Tombstone => RowValue::Tombstone,
            CapturedValue::String { expire_at_ms, raw, bytes } => {
                RowValue::String { expire_at_ms, raw, bytes }
            }
            CapturedValue::Paged { expire_at_ms, raw, len, generation, pages } => {
                RowValue::Paged { expire_at_ms, raw, len, generation, pages }
            }
            CapturedValue::Packed { expire_at_ms, blob } => RowValue::Packed { expire_at_ms, blob },
            CapturedValue::Chunked { head, chunks } => {
                writer.push_chunked(&key, row.lsn, head, chunks, &mut || pacer.step())?;
                continue;
            }
        };
        writer.push(&key, row.lsn, &value)?;
    }
    Ok(())
}
