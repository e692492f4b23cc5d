//! The log as the engine holds it: takes frames, numbers them, and says how far they are durable.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::format::checksum;
use crate::format::frame::{self, FragmentHeader, Kind, Place};
use crate::io::{Clock, Storage};
use crate::log::carry;
use crate::log::frame::Frame;
use crate::log::group_commit::Committer;
use crate::log::reader::LogEnd;
use crate::log::segments::Shelf;
use crate::log::signal::Signal;
use crate::log::space::{self, Reservation, Reserve, Space, SpaceClass};
use crate::log::stats::{Counters, LogStats};
use crate::log::threads::{PREPARE, ROOM};
use crate::types::{DatabaseId, Lsn};

/// Payloads up to this are copied into the pending group, in bytes; larger ones are handed over.
pub(super) const COPIED_BYTES_MAX: usize = 16 << 10;
/// The reserve that only frees may use, at most, in bytes.
const FREES_BYTES_MAX: u64 = 1 << 20;
/// Segments must hold more than their slack.
const SEGMENT_BYTES_MIN: u64 = 16 << 10;

/// How a log is opened.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// The database.
    pub database: DatabaseId,
    /// Higher than any epoch before.
    pub epoch: u32,
    /// Random; salts of segments follow from it.
    pub salt_seed: u64,
    /// Size of the first segment, in bytes; each next one is twice as large.
    pub segment_bytes_min: u64,
    /// Size that segments grow to, in bytes.
    pub segment_bytes_max: u64,
    /// Bound of frames that are appended and not yet written, in bytes.
    pub queue_bytes_max: u64,
    /// How often what nobody waits for is synced, in milliseconds; 0 is never.
    pub sync_interval_ms: u64,
}

type DurableListener = Box<dyn Fn(Lsn) + Send + Sync>;
type FatalListener = Box<dyn Fn(&str) + Send + Sync>;

/// The log. Appends come from any thread; one thread at a time commits.
///
/// A log without a thread in [`Log::run_committer`] does all its work inside the calls, in an order
/// that only depends on them.
pub struct Log {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) space: Arc<Space>,
    pub(super) shelf: Shelf,
    pub(super) pending: Mutex<Pending>,
    pub(super) committer: Mutex<Committer>,
    pub(super) last: AtomicU64,
    pub(super) written: AtomicU64,
    pub(super) durable: AtomicU64,
    /// Highest LSN that somebody waits for.
    pub(super) sync_requested: AtomicU64,
    pub(super) sync_interval_ms: AtomicU64,
    pub(super) signal: Signal,
    pub(super) preparer: Signal,
    pub(super) room: Signal,
    pub(super) threaded: AtomicBool,
    pub(super) poison: OnceLock<String>,
    pub(super) on_durable: OnceLock<DurableListener>,
    pub(super) on_fatal: OnceLock<FatalListener>,
    pub(super) counters: Counters,
    /// Bytes of frames that parts hold, of those that were counted.
    pub(super) saved: AtomicU64,
}

/// Frames that wait for the committer, as they will stand on disk.
#[derive(Default)]
pub(super) struct Pending {
    /// Small frames, complete but for `synced_upto` and the header checksum.
    pub(super) bytes: Vec<u8>,
    /// Large frames, each behind the first `at` of `bytes`.
    pub(super) large: Vec<Large>,
    pub(super) last_lsn: Lsn,
    pub(super) frames: u64,
    pub(super) payload_bytes: u64,
    pub(super) cost: u64,
}

/// A frame that is written by reference.
pub(super) struct Large {
    pub(super) at: usize,
    pub(super) lsn: Lsn,
    pub(super) wall_ms: u64,
    pub(super) bytes: Vec<u8>,
    pub(super) pieces: Vec<(usize, Bytes)>,
}

impl Log {
    /// Begins a new epoch behind what [`crate::log::read`] has found. What was read is synced, and
    /// the frames of the unsealed segment are copied and durable, when this returns.
    ///
    /// # Errors
    /// `Io`, or `Corrupt` when the old segments changed meanwhile.
    ///
    /// # Panics
    /// When the epoch was used before or the sizes of segments make no sense.
    pub fn create(
        storage: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
        config: LogConfig,
        end: &LogEnd,
    ) -> Result<Log> {
        assert!(config.epoch > end.epoch, "an epoch is used once");
        let (bytes_min, bytes_max) = (config.segment_bytes_min, config.segment_bytes_max);
        assert!(bytes_min >= SEGMENT_BYTES_MIN && bytes_min <= bytes_max, "sizes of segments");
        let frees_bytes = (bytes_min / 4).min(FREES_BYTES_MAX);
        let space = Arc::new(Space::new(config.queue_bytes_max, frees_bytes));
        let sizes = (bytes_min, bytes_max);
        let (database, seed) = (config.database, config.salt_seed);
        let shelf = Shelf::open(storage, space.clone(), database, sizes, seed)?;
        let active = carry::begin_epoch(&shelf, config.epoch, end, bytes_min, end.last_wall_ms)?;
        space.written(0, active.usable());
        let last = end.last_lsn;
        let log = Log {
            clock,
            space,
            shelf,
            pending: Mutex::new(Pending { last_lsn: last, ..Pending::default() }),
            committer: Mutex::new(Committer::new(active, last)),
            last: AtomicU64::new(last),
            written: AtomicU64::new(last),
            durable: AtomicU64::new(last),
            sync_requested: AtomicU64::new(0),
            sync_interval_ms: AtomicU64::new(config.sync_interval_ms),
            signal: Signal::default(),
            preparer: Signal::default(),
            room: Signal::default(),
            threaded: AtomicBool::new(false),
            poison: OnceLock::new(),
            on_durable: OnceLock::new(),
            on_fatal: OnceLock::new(),
            counters: Counters::default(),
            saved: AtomicU64::new(0),
        };
        Ok(log)
    }

    /// Takes a frame and gives it the next LSN. Does not write, sync or wake: the caller then asks
    /// for a commit, or for a sync. The frame is empty afterwards and may be used again.
    pub fn append(&self, frame: &mut Frame) -> Lsn {
        self.space.queue(space::cost(frame.payload_bytes()));
        self.take_in(frame)
    }

    /// As [`Log::append`], into room that was reserved; what is left of it is given back.
    pub fn append_into(&self, room: Reservation<'_>, frame: &mut Frame) -> Lsn {
        // The room stays in the account for as long as the frame is in the queue, so a commit that
        // is quicker than this thread finds it there.
        let cost = space::cost(frame.payload_bytes());
        room.turn_into(cost);
        self.take_in(frame)
    }

    fn take_in(&self, frame: &mut Frame) -> Lsn {
        let payload_bytes = frame.payload_bytes();
        let cost = space::cost(payload_bytes);
        if !frame.pieces.is_empty() || frame.bytes.len() > COPIED_BYTES_MAX {
            let (bytes, pieces) = frame.take();
            let wall_ms = frame.wall_ms;
            return self.enqueue((cost, payload_bytes), |pending, lsn| {
                let at = pending.bytes.len();
                pending.large.push(Large { at, lsn, wall_ms, bytes, pieces });
            });
        }
        let mut header = FragmentHeader {
            payload_bytes: frame.bytes.len() as u32,
            payload_crc: checksum::plain(&frame.bytes),
            kind: Kind::Data,
            place: Place::Full,
            lsn: 0,
            synced_upto: 0,
            wall_ms: frame.wall_ms,
        };
        let padded = frame.bytes.len().next_multiple_of(frame::ALIGN_BYTES);
        let lsn = self.enqueue((cost, payload_bytes), |pending, lsn| {
            header.lsn = lsn;
            pending.bytes.extend_from_slice(&header.encode_unstamped());
            pending.bytes.extend_from_slice(&frame.bytes);
            let padding = padded - frame.bytes.len();
            pending.bytes.extend_from_slice(&[0; frame::ALIGN_BYTES][..padding]);
        });
        frame.clear();
        lsn
    }

    fn enqueue(
        &self,
        (cost, payload_bytes): (u64, u64),
        put: impl FnOnce(&mut Pending, Lsn),
    ) -> Lsn {
        let mut pending = self.pending.lock().expect("an append never panics");
        let lsn = pending.last_lsn + 1;
        put(&mut pending, lsn);
        pending.last_lsn = lsn;
        pending.frames += 1;
        pending.payload_bytes += payload_bytes;
        pending.cost += cost;
        self.last.store(lsn, Ordering::Release);
        lsn
    }

    /// Asks for room for a frame with a payload of at most `payload_bytes`, before anything changes
    /// (D6). The reservation is held until the frame is appended, or given up.
    pub fn reserve(&self, payload_bytes: u64, class: SpaceClass) -> Reserve<'_> {
        if self.poison.get().is_some() {
            return Reserve::Full;
        }
        match self.space.reserve(payload_bytes, class) {
            Reserve::Granted(reservation) => Reserve::Granted(reservation),
            _ => {
                // Asked again after the flag is down, so that no news is missed.
                self.ask_for_room();
                self.space.reserve(payload_bytes, class)
            }
        }
    }

    /// The last frame appended.
    pub fn last_lsn(&self) -> Lsn {
        self.last.load(Ordering::Acquire)
    }

    /// The last frame handed to the operating system.
    pub fn written_lsn(&self) -> Lsn {
        self.written.load(Ordering::Acquire)
    }

    /// The last frame that a crash cannot take back.
    pub fn durable_lsn(&self) -> Lsn {
        self.durable.load(Ordering::Acquire)
    }

    /// Bytes that frames in the queue will take in segments.
    pub(super) fn queued_bytes(&self) -> u64 {
        self.pending.lock().expect("an append never panics").cost
    }

    /// Changes how often what nobody waits for is synced; 0 is never.
    pub fn set_sync_interval_ms(&self, interval_ms: u64) {
        self.sync_interval_ms.store(interval_ms, Ordering::Relaxed);
    }

    /// Sets what is called, once for each time, after the durable LSN has advanced: from the thread
    /// that committed, without locks. Only the first listener counts.
    pub fn set_listener(&self, listener: DurableListener) {
        let _ = self.on_durable.set(listener);
    }

    /// Sets what is called when the log stops for good (D5). Only the first listener counts.
    pub fn set_fatal_listener(&self, listener: FatalListener) {
        let _ = self.on_fatal.set(listener);
    }

    /// Whether no segment could be prepared for want of space.
    pub fn is_full(&self) -> bool {
        self.space.is_full()
    }

    /// Why the log has stopped, if it has.
    pub fn poisoned(&self) -> Option<&str> {
        self.poison.get().map(String::as_str)
    }

    /// So many of the [unsaved bytes](Log::unsaved_bytes) are in parts now.
    pub fn note_saved(&self, bytes: u64) {
        self.saved.fetch_add(bytes, Ordering::Release);
    }

    /// So many bytes of frames were replayed, which are in no part either.
    pub fn note_replayed(&self, bytes: u64) {
        self.saved.fetch_sub(bytes, Ordering::Release);
    }

    /// No new segment leaves less than so many bytes of the disk free beside what a checkpoint
    /// needs.
    pub fn keep_free(&self, bytes: u64) {
        self.shelf.kept_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Bytes of the disk that a checkpoint of all that the log has room for would leave.
    pub fn room_beside_checkpoint(&self) -> u64 {
        self.shelf.room_beside_checkpoint(self.unsaved_bytes())
    }

    /// What new segments may take of that.
    pub fn room_for_segments(&self) -> u64 {
        self.shelf.room_for_segments(self.unsaved_bytes())
    }

    /// Bytes of frames that are in no part, as far as is known: a checkpoint needs room for them.
    pub fn unsaved_bytes(&self) -> u64 {
        // In this order: what is saved was counted before. Below zero while it was replayed only.
        let saved = self.saved.load(Ordering::Acquire);
        self.counters.frame_bytes.load(Ordering::Relaxed).wrapping_sub(saved)
    }

    /// Recycles or removes the segments that hold nothing from `lsn` on.
    ///
    /// # Errors
    /// `Io`; what was not released then is found again at the next open.
    pub fn release_before(&self, lsn: Lsn) -> Result<()> {
        let released = self.shelf.release_before(lsn, self.unsaved_bytes());
        self.preparer.raise(PREPARE);
        self.room.raise(ROOM);
        released
    }

    /// State and counters.
    pub fn stats(&self) -> LogStats {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (counters, (spares, sealed, file_bytes)) = (&self.counters, self.shelf.counts());
        LogStats {
            frames: load(&counters.frames),
            frame_bytes: load(&counters.frame_bytes),
            written_bytes: load(&counters.written_bytes),
            groups: load(&counters.groups),
            syncs: load(&counters.syncs),
            sync_us_p50: counters.sync_us.percentile(50),
            sync_us_p99: counters.sync_us.percentile(99),
            sync_us_max: counters.sync_us.percentile(100),
            queue_bytes: self.queued_bytes(),
            segments: sealed + 1,
            segment_bytes: file_bytes,
            spares,
        }
    }

    pub(super) fn check_poison(&self) -> Result<()> {
        match self.poison.get() {
            Some(reason) => Err(Error::Poisoned { reason: reason.clone() }),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("last_lsn", &self.last_lsn())
            .field("durable_lsn", &self.durable_lsn())
            .field("poisoned", &self.poisoned())
            .finish_non_exhaustive()
    }
}
