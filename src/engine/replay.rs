//! Replay of the log: every record newer than the snapshot, by the functions that live execution
//! uses (D8), in parallel by partition. Needs no clock, no random source and no disk but the log.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use crate::error::{Error, Result};
use crate::format::position::Hasher;
use crate::format::record::{Record, records};
use crate::io::Storage;
use crate::keyspace::collection;
use crate::keyspace::mutation::At;
use crate::keyspace::partition::Partition;
use crate::log::{self, FrameView, LogEnd};
use crate::snapshot::Manifest;
use crate::types::{Lsn, Position, SLOT_COUNT};
use crate::value::packed;

use super::databases::Databases;

/// Frames travel to the replaying threads in batches of about this size, in bytes.
const BATCH_BYTES: usize = 1 << 20;
/// Batches that may wait for a thread.
const QUEUE_BATCHES: usize = 4;

/// What replay needs.
pub struct Replay<'a> {
    pub storage: &'a dyn Storage,
    pub manifest: &'a Manifest,
    pub hasher: &'a Hasher,
}

/// What replay has found.
pub struct Replayed {
    pub end: LogEnd,
    pub databases: Databases,
    pub frames: u64,
    /// Their payloads.
    pub bytes: u64,
}

/// Frames on their way to all threads; each takes the records of its partitions.
#[derive(Default)]
struct Batch {
    payloads: Vec<u8>,
    frames: Vec<FrameAt>,
}

struct FrameAt {
    end: usize,
    lsn: Lsn,
    wall_ms: u64,
}

impl Batch {
    fn push(&mut self, frame: &FrameView<'_>) {
        self.payloads.extend_from_slice(frame.payload);
        let end = self.payloads.len();
        self.frames.push(FrameAt { end, lsn: frame.lsn, wall_ms: frame.wall_ms });
    }

    fn frames(&self) -> impl Iterator<Item = (&FrameAt, &[u8])> {
        let starts = std::iter::once(0).chain(self.frames.iter().map(|frame| frame.end));
        starts.zip(&self.frames).map(|(start, frame)| (frame, &self.payloads[start..frame.end]))
    }
}

impl Replay<'_> {
    /// Replays the log onto the partitions; `parallel` uses a thread a core.
    pub fn run(
        &self,
        partitions: &mut [Partition],
        databases: Databases,
        parallel: bool,
    ) -> Result<Replayed> {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let threads = if parallel { cores.min(partitions.len()) } else { 1 };
        let total = partitions.len();
        std::thread::scope(|scope| {
            let (mut senders, mut handles) = (Vec::new(), Vec::new());
            for (index, own) in partitions.chunks_mut(total.div_ceil(threads)).enumerate() {
                let (sender, receiver) = sync_channel::<Arc<Batch>>(QUEUE_BATCHES);
                senders.push(sender);
                let map = (index == 0).then(|| databases.clone());
                let first = index * total.div_ceil(threads);
                let hasher = self.hasher;
                let mut thread = Thread { hasher, own, first, total, databases: map };
                handles.push(scope.spawn(move || thread.run(&receiver).map(|()| thread.databases)));
            }
            let (mut frames, mut bytes) = (0, 0);
            let read = self.read(|batch| {
                frames += batch.frames.len() as u64;
                bytes += batch.payloads.len() as u64;
                let batch = Arc::new(batch);
                // A thread that is gone has met a bad record, which it reports below.
                senders.iter().for_each(|sender| drop(sender.send(batch.clone())));
            });
            drop(senders);
            let mut map = None;
            for handle in handles {
                let outcome =
                    handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                map = map.or(outcome.map_err(|bad| self.bad_record(&bad))?);
            }
            let databases = map.expect("the first thread keeps the map");
            Ok(Replayed { end: read?, databases, frames, bytes })
        })
    }

    fn read(&self, mut hand_over: impl FnMut(Batch)) -> Result<LogEnd> {
        let mut batch = Batch::default();
        let manifest = self.manifest;
        let (from, durable) = (manifest.log_start_lsn, manifest.durable_lsn);
        let end = log::read(self.storage, from, durable, manifest.database, &mut |frame| {
            batch.push(&frame);
            if batch.payloads.len() >= BATCH_BYTES {
                hand_over(std::mem::take(&mut batch));
            }
            Ok(())
        })?;
        hand_over(batch);
        Ok(end)
    }

    fn bad_record(&self, bad: &BadRecord) -> Error {
        Error::Corrupt {
            path: self.storage.display_path(crate::format::file_name::LOG_FOLDER.as_ref()),
            offset: bad.offset,
            lost: Some((bad.lsn, bad.lsn)),
            reason: format!("the frame with LSN {} holds a bad record: {}", bad.lsn, bad.reason),
        }
    }
}

/// A record that its checksum vouches for and that makes no sense.
struct BadRecord {
    lsn: Lsn,
    offset: u64,
    reason: &'static str,
}

/// What is wrong with a record that is not [`is_sound`].
pub(super) const MALFORMED_ITEMS: &str = "the items of a collection are malformed";

/// What is wrong with a record that [`lacks_stage`].
pub(super) const MISSING_STAGE: &str = "a collection that was logged ahead is not there";

/// Whether a record gives a key the collection of a stage that no record before it holds.
fn lacks_stage(partition: &Partition, record: &Record<'_>) -> bool {
    matches!(record, Record::PutStaged { key, stage, .. } if !partition.has_stage(key, *stage))
}

/// Whether what a record holds of a collection may be walked without further checks.
pub(super) fn is_sound(record: &Record<'_>) -> bool {
    match record {
        Record::PutPacked { blob, .. } => packed::validate(blob).is_some(),
        Record::Edit { creates, shape, edit, .. } => {
            collection::is_valid(*shape, edit) && (!creates || collection::can_create(edit))
        }
        Record::Stage { shape, edit, .. } => {
            collection::is_valid(*shape, edit) && collection::can_create(edit)
        }
        _ => true,
    }
}

struct Thread<'a> {
    hasher: &'a Hasher,
    own: &'a mut [Partition],
    first: usize,
    total: usize,
    /// The map of databases, kept by one of the threads.
    databases: Option<Databases>,
}

impl Thread<'_> {
    fn run(&mut self, batches: &Receiver<Arc<Batch>>) -> std::result::Result<(), BadRecord> {
        for batch in batches {
            for (frame, payload) in batch.frames() {
                self.apply_frame(frame, payload)?;
            }
            for partition in &mut *self.own {
                drop(partition.take_garbage());
            }
        }
        Ok(())
    }

    fn apply_frame(
        &mut self,
        frame: &FrameAt,
        payload: &[u8],
    ) -> std::result::Result<(), BadRecord> {
        // A frame may change the map more than once (FLUSHDB and SWAPDB in one MULTI).
        let map_lsn = self.databases.as_ref().map_or(Lsn::MAX, Databases::lsn);
        for record in records(payload) {
            let record = record.map_err(|error| BadRecord {
                lsn: frame.lsn,
                offset: error.offset,
                reason: error.reason,
            })?;
            if let (Record::Databases { changed }, Some(databases)) = (&record, &mut self.databases)
                && map_lsn < frame.lsn
            {
                databases.set(changed, frame.lsn);
            }
            if !is_sound(&record) {
                return Err(BadRecord { lsn: frame.lsn, offset: 0, reason: MALFORMED_ITEMS });
            }
            if let Some(key) = record.key() {
                self.apply(self.hasher.position(key), &record, frame)?;
            }
        }
        Ok(())
    }

    fn apply(
        &mut self,
        position: Position,
        record: &Record<'_>,
        frame: &FrameAt,
    ) -> std::result::Result<(), BadRecord> {
        let index = position.slot() as usize * self.total / SLOT_COUNT;
        let own = index.checked_sub(self.first).and_then(|index| self.own.get_mut(index));
        if let Some(partition) = own {
            if lacks_stage(partition, record) {
                return Err(BadRecord { lsn: frame.lsn, offset: 0, reason: MISSING_STAGE });
            }
            let at = At::of_frame(frame.lsn, frame.wall_ms);
            partition.apply(position, record, at, None);
        }
        Ok(())
    }
}
