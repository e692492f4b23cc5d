//! The state that a recovery would produce, read without changing anything: open parts, and the log
//! replayed in memory over them. Goes on past damage and tells what it met.
//!
//! The inspector looks at a directory through this, and the repair builds on it. Nothing here
//! writes, locks, or starts an epoch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::manifest::PartMeta;
use crate::format::position::Hasher;
use crate::format::record::{Record, records};
use crate::io::Storage;
use crate::keyspace::counts::Counts;
use crate::keyspace::entry::EntryRef;
use crate::keyspace::mutation::At;
use crate::keyspace::object::ValueHandle;
use crate::keyspace::partition::Partition;
use crate::keyspace::residency::{Cold, Install};
use crate::limits::DATABASES_MAX;
use crate::log::{self, FrameView, LogEnd, reader};
use crate::snapshot::Manifest;
use crate::snapshot::part_reader::PartReader;
use crate::snapshot::part_set::PartSet;
use crate::types::{KeyspaceId, Lsn, Position, SLOT_COUNT};
use crate::value::members::MemberHasher;

use super::cold_read::cold_of;
use super::databases::Databases;
use super::replay::{MALFORMED_ITEMS, MISSING_STAGE, is_sound};

/// Progress is told after so many frames.
const PROGRESS_FRAMES: u64 = 4096;

/// How far the log could be read.
#[derive(Debug, Default)]
pub struct LogState {
    /// The last frame that was replayed, or one less than the first that is needed.
    pub last_lsn: Lsn,
    /// Its wall time, 0 when there is none.
    pub last_wall_ms: u64,
    /// Frames replayed.
    pub frames: u64,
    /// How the log ends, when all of it could be read.
    pub end: Option<LogEnd>,
    /// Why reading stopped before the end. What came before it is in the state.
    pub damage: Option<Error>,
}

/// A value with what belongs to it.
#[derive(Clone, Debug)]
pub struct StoredValue {
    /// LSN of its last change.
    pub lsn: Lsn,
    /// Deadline in Unix milliseconds.
    pub expire_at_ms: Option<u64>,
    /// Whether `OBJECT ENCODING` must answer `raw` however short it is.
    pub raw: bool,
    /// The value.
    pub value: ValueHandle,
}

/// A database at rest.
pub struct Offline {
    /// The MANIFEST that it is read from.
    pub manifest: Manifest,
    /// How far the log could be read.
    pub log: LogState,
    /// Parts that cannot be opened, and why. What they hold is missing, and older values of their
    /// keys may come to light.
    pub lost_parts: Vec<(PartMeta, Error)>,
    pub(super) parts: PartSet,
    pub(super) partition: Partition,
    pub(super) databases: Databases,
    hasher: Hasher,
    storage: Arc<dyn Storage>,
}

impl Offline {
    /// Reads the state that `manifest` and the log describe. `durable_lsn` is the highest LSN that
    /// any MANIFEST states to be durable. `progress` gets the number of frames now and then.
    ///
    /// # Errors
    /// `Io` when the log cannot be read, `UnsupportedFormat` when it is of a newer format. Damage
    /// is no error here: it is told in `log` and `lost_parts`.
    pub fn read(
        storage: &Arc<dyn Storage>,
        manifest: Manifest,
        durable_lsn: Lsn,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Offline> {
        let (mut parts, mut lost_parts) = (Vec::new(), Vec::new());
        for meta in &manifest.parts {
            match PartReader::open(storage, manifest.database, meta, None) {
                Ok(part) => parts.push(Arc::new(part)),
                Err(error) => lost_parts.push((*meta, error)),
            }
        }
        let hasher = Hasher::new(manifest.hash_seed);
        let position_of = Arc::new(move |key: &[u8]| hasher.position(key));
        let members = MemberHasher::new(manifest.hash_seed);
        let mut offline = Offline {
            databases: Databases::restore(DATABASES_MAX, &manifest.databases),
            partition: Partition::new(0, SLOT_COUNT, position_of, members),
            parts: PartSet::new(parts),
            storage: storage.clone(),
            log: LogState::default(),
            manifest,
            lost_parts,
            hasher,
        };
        for count in offline.parts.counts() {
            if !offline.manifest.is_dead(count.keyspace) {
                offline.partition.set_slot_counts(count);
            }
        }
        offline.replay(durable_lsn, progress)?;
        Ok(offline)
    }

    fn replay(&mut self, durable_lsn: Lsn, progress: &mut dyn FnMut(u64)) -> Result<()> {
        let (from, database) = (self.manifest.log_start_lsn, self.manifest.database);
        let durable_lsn = durable_lsn.max(self.manifest.durable_lsn);
        self.log.last_lsn = from.saturating_sub(1);
        let storage = self.storage.clone();
        let read = reader::read(&*storage, from, durable_lsn, database, &mut |frame| {
            self.apply(&frame)?;
            if self.log.frames.is_multiple_of(PROGRESS_FRAMES) {
                progress(self.log.frames);
            }
            Ok(())
        });
        match read {
            Ok(end) => self.log.end = Some(end),
            Err(error @ Error::Corrupt { .. }) => self.log.damage = Some(error),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Applies a frame, whole or not at all (D9).
    fn apply(&mut self, frame: &FrameView<'_>) -> Result<()> {
        let mut stages = BTreeMap::new();
        for record in records(frame.payload) {
            let record = record.map_err(|error| self.bad_record(frame, error.reason))?;
            if !is_sound(&record) {
                return Err(self.bad_record(frame, MALFORMED_ITEMS));
            }
            let is_there = match record {
                Record::Stage { key, stage, begins: true, .. } => {
                    stages.insert((key, stage), true);
                    true
                }
                Record::PutStaged { key, stage, .. } => {
                    let known = stages.insert((key, stage), false);
                    known.unwrap_or_else(|| self.partition.has_stage(key, stage))
                }
                _ => true,
            };
            if !is_there {
                return Err(self.bad_record(frame, MISSING_STAGE));
            }
        }
        // A frame may change the map more than once.
        let changes_map = self.databases.lsn() < frame.lsn;
        for record in records(frame.payload).flatten() {
            if let (Record::Databases { changed }, true) = (&record, changes_map) {
                self.databases.set(changed, frame.lsn);
            }
            let Some(key) = record.key() else { continue };
            let at = At::of_frame(frame.lsn, frame.wall_ms);
            self.partition.apply(self.hasher.position(key), &record, at, None);
        }
        drop(self.partition.take_garbage());
        self.log.last_lsn = frame.lsn;
        self.log.last_wall_ms = frame.wall_ms;
        self.log.frames += 1;
        Ok(())
    }

    fn bad_record(&self, frame: &FrameView<'_>, reason: &str) -> Error {
        Error::Corrupt {
            path: self.storage.display_path(&log::walk::segment_path(frame.segment)),
            offset: frame.offset,
            lost: Some((frame.lsn, frame.lsn)),
            reason: format!("a frame holds a bad record: {reason}"),
        }
    }

    /// Whether nothing is damaged as far as this reading goes; blocks of parts are not read.
    pub fn is_whole(&self) -> bool {
        self.log.damage.is_none() && self.lost_parts.is_empty()
    }

    /// Databases that may hold keys, with their keyspaces.
    pub fn databases(&self) -> Vec<(u32, KeyspaceId)> {
        let known: BTreeSet<KeyspaceId> = self.partition.keyspaces().collect();
        let all = self.databases.keyspaces().iter();
        let named = (0..).zip(all.copied());
        named.filter(|(_, keyspace)| known.contains(keyspace)).collect()
    }

    /// The keyspace that a database stands for.
    pub fn keyspace(&self, db: u32) -> Option<KeyspaceId> {
        self.databases.keyspaces().get(db as usize).copied()
    }

    /// Keys of a keyspace as the counters have them, keys past their deadline included.
    pub fn totals(&self, keyspace: KeyspaceId) -> Counts {
        self.partition.totals(keyspace)
    }

    /// Open parts, newest first.
    pub fn parts(&self) -> &PartSet {
        &self.parts
    }

    /// The value of a key.
    ///
    /// # Errors
    /// When its block is damaged, or the log changes a value that no part holds.
    pub fn value(&mut self, keyspace: KeyspaceId, key: &[u8]) -> Result<Option<StoredValue>> {
        let position = self.hasher.position(key);
        if self.memory_decides(keyspace, position, key) {
            self.resolve(keyspace, position, key)?;
            let entry = self.partition.find(keyspace, position, key);
            let shared = self.partition.share(keyspace, position, key);
            return Ok(entry.zip(shared).map(|(entry, value)| StoredValue {
                lsn: entry.lsn(),
                expire_at_ms: entry.expire_at_ms(),
                raw: entry.raw(),
                value,
            }));
        }
        Ok(match self.cold(keyspace, position, key)? {
            Cold::Absent { .. } => None,
            Cold::Live { lsn, expire_at_ms, raw, value } => {
                Some(StoredValue { lsn, expire_at_ms, raw, value })
            }
        })
    }

    /// Whether what was replayed is the newest that is known of a key. Only a log that was cut
    /// short leaves memory behind the parts.
    pub(super) fn memory_decides(
        &self,
        keyspace: KeyspaceId,
        position: Position,
        key: &[u8],
    ) -> bool {
        let Some(entry) = self.partition.find(keyspace, position, key) else {
            return false;
        };
        if self.log.damage.is_none() {
            return true;
        }
        let lsn = entry.lsn();
        let cold = self.parts.lookup_meta(keyspace, position, key);
        // Where a block cannot be read, what the log says up to its cut still holds.
        !matches!(cold, Ok(Some(cold)) if cold.lsn > lsn)
    }

    /// Reads the base of deltas that wait for it.
    pub(super) fn resolve(
        &mut self,
        keyspace: KeyspaceId,
        position: Position,
        key: &[u8],
    ) -> Result<()> {
        let pending = self.partition.find(keyspace, position, key);
        if !pending.is_some_and(EntryRef::is_pending) {
            return Ok(());
        }
        let stale = |meta: &PartMeta| (meta.min..=meta.max).contains(&(keyspace, position));
        if self.lost_parts.iter().any(|(meta, _)| stale(meta)) {
            let reason = "is changed by the log, and its value may be in a part that is damaged";
            return Err(self.lost_key(key, reason));
        }
        let cold = self.cold(keyspace, position, key)?;
        let departures = self.partition.departures(keyspace, position);
        let installed = self.partition.install(keyspace, position, key, cold, departures, 0);
        match installed {
            Install::Done => Ok(()),
            Install::NoBase | Install::Changed => {
                Err(self.lost_key(key, "is changed by the log, and no part holds it"))
            }
        }
    }

    fn cold(&self, keyspace: KeyspaceId, position: Position, key: &[u8]) -> Result<Cold> {
        match self.parts.lookup(keyspace, position, key)? {
            None => Ok(Cold::Absent { lsn: 0 }),
            Some(row) => {
                let cold = cold_of(row, self.partition.member_hasher());
                cold.ok_or_else(|| self.lost_key(key, "has chunks that do not fit"))
            }
        }
    }

    fn lost_key(&self, key: &[u8], reason: &str) -> Error {
        let folder = crate::format::file_name::PART_FOLDER.as_ref();
        Error::Corrupt {
            path: self.storage.display_path(folder),
            offset: 0,
            lost: None,
            reason: format!("key \"{}\" {reason}", key.escape_ascii()),
        }
    }
}
