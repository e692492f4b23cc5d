//! Huge values that are copied are logged ahead, in small frames, before the unit begins.
//!
//! COPY, RENAME and MOVE take a handle, but the log needs the bytes. In one frame they would be
//! encoded under the locks and stand in front of everybody's commits. So a *stage* is logged first,
//! off the worker and without a lock, one small frame after the other is durable; then the unit
//! begins again, and where the source is still what was staged its frame only names the stage
//! (`put-staged` in format-spec/log.md). A stage that is never named is garbage, which a replay
//! drops. A checkpoint between a stage and the record that names it must leave the log from the
//! stage's first frame on (R21).

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;

use crate::error::Result;
use crate::format::record::Record;
use crate::keyspace::entry::EntryRef;
use crate::keyspace::object::ValueRef;
use crate::log::{Frame, Log, Reservation, Reserve, SpaceClass};
use crate::types::{KeyspaceId, Lsn, ValueKind};
use crate::value::collection::Collection;

use super::begin::Guards;
use super::core::Core;
use super::unit::Key;
use super::unit_copy::whole;

/// How many frames a collection is logged in that is just large enough: others wait for the sync of
/// one of them.
const FRAMES_MIN: u64 = 8;
/// Keys that are longer have their collections copied in the frame of their unit, in bytes: each
/// frame of a stage names its key.
const KEY_BYTES_MAX: usize = 64 << 10;
/// A source that changes while it is staged is staged again, so often in all.
const ATTEMPTS_MAX: u32 = 2;
/// Longest wait before room in the log is asked for again.
const ROOM_WAIT: Duration = Duration::from_millis(2);

/// The outcome of what a huge value may have to be logged ahead for.
pub type Copied<T> = std::result::Result<T, Box<StageOrder>>;

/// The value of a key, live or past its deadline.
pub type Standing<'s, 'v> = &'s dyn Fn(&Key<'_>) -> Option<ValueRef<'v>>;

/// Bytes of values that a unit may copy into its frame (COPY, SPOP, BITOP), given the value that
/// stands at each of its keys when it begins, and which of its whole copies are staged (D6).
pub type CopiedBytes<'c> = &'c dyn for<'v> Fn(Standing<'_, 'v>, &dyn Fn(usize) -> bool) -> u64;

/// A value that goes as a whole from one of a unit's keys to another, which nothing that the unit
/// does before it changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WholeCopy {
    /// Index of the source among the keys.
    pub from: usize,
    /// Index of the destination.
    pub to: usize,
    /// Whether nothing is copied when the destination holds something.
    pub keeps: bool,
}

/// What a unit copies.
#[derive(Clone, Copy)]
pub struct Copying<'c> {
    /// How much its frame will have of it.
    pub bytes: CopiedBytes<'c>,
    /// The values that it copies as a whole.
    pub wholes: &'c [WholeCopy],
    /// What has been logged ahead for it so far.
    pub staged: &'c [Arc<Staged>],
}

/// A value to be logged ahead, as it stood when a unit wanted to begin.
#[derive(Debug)]
pub struct StageOrder {
    source: Source,
    collection: Box<Collection>,
    attempt: u32,
}

/// What is copied, and where to.
#[derive(Debug)]
struct Source {
    keyspace: KeyspaceId,
    key: Box<[u8]>,
    lsn: Lsn,
    to: Box<[u8]>,
}

/// A value that is in the log, for the unit that will give it to a key. Keeps that part of the log
/// for as long as it is there.
#[derive(Debug)]
pub struct Staged {
    number: u64,
    source: Source,
    attempt: u32,
    is_published: AtomicBool,
    stages: Arc<Stages>,
}

impl Staged {
    fn is_of(&self, keyspace: KeyspaceId, key: &[u8], to: &[u8]) -> bool {
        let Source { keyspace: of, key: from, to: given, .. } = &self.source;
        *of == keyspace && **from == *key && **given == *to
    }

    /// Whether a unit may publish it, for this source as it stands and this destination.
    fn holds(&self, (keyspace, key, lsn): (KeyspaceId, &[u8], Lsn), to: &[u8]) -> bool {
        let is_open = !self.is_published.load(Relaxed);
        is_open && self.source.lsn == lsn && self.is_of(keyspace, key, to)
    }

    /// Its number, once, where it holds that source.
    pub(super) fn publish(&self, source: (KeyspaceId, &[u8], Lsn), to: &[u8]) -> Option<u64> {
        let is_mine = self.holds(source, to) && !self.is_published.swap(true, Relaxed);
        is_mine.then_some(self.number)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        let mut stages = self.stages.lock();
        let first = stages.open.remove(&self.number).expect("it was open");
        if self.is_published.load(Relaxed) {
            // The log that another stage keeps may have the frame that names this one.
            stages.open.values_mut().for_each(|kept| *kept = first.min(*kept));
        }
    }
}

/// The stages that may still be published.
#[derive(Debug)]
pub struct Stages(Mutex<Open>);

#[derive(Debug)]
struct Open {
    /// With a bound of their first LSNs, and of those of all stages that were published since then.
    open: BTreeMap<u64, Lsn>,
    next: u64,
}

impl Stages {
    /// None yet. The epoch makes their numbers differ from those of all epochs before.
    pub fn new(epoch: u32) -> Stages {
        Stages(Mutex::new(Open { open: BTreeMap::new(), next: u64::from(epoch) << 32 }))
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().expect("nothing panics under this lock")
    }

    fn open(&self, log: &Log) -> u64 {
        let mut open = self.lock();
        let number = open.next;
        open.next += 1;
        // Its frames are appended behind this.
        open.open.insert(number, log.last_lsn() + 1);
        number
    }

    /// Where a checkpoint may cut the log, and from which LSN on the log is needed then: a stage
    /// that is not published up to the cut is needed as a whole, and so is every one that is
    /// published by a frame from there on (R21).
    pub fn cut(&self, log: &Log) -> (Lsn, Lsn) {
        let open = self.lock();
        // A stage that is no longer among the open ones was published by a frame below this.
        let cut = log.last_lsn();
        let first = open.open.values().min().copied();
        (cut, first.map_or(cut + 1, |first| first.min(cut + 1)))
    }
}

/// The collection of a live entry, where it can be logged in pieces.
fn divisible<'a>(entry: &EntryRef<'a>, now_ms: u64) -> Option<&'a Collection> {
    match entry.value() {
        // A whole stream is one change, which cannot be cut.
        Some(ValueRef::Collection(collection)) if collection.kind() != ValueKind::Stream => {
            is_live(entry, now_ms).then_some(collection)
        }
        _ => None,
    }
}

fn is_live(entry: &EntryRef<'_>, now_ms: u64) -> bool {
    !entry.is_tombstone() && entry.expire_at_ms().is_none_or(|at| at > now_ms)
}

impl Core {
    /// The stage of each whole copy of a unit whose keys are locked; none where its value enters
    /// the unit's frame, or will not be copied.
    ///
    /// # Errors
    /// With the first one that must be staged before.
    pub(super) fn find_staged(
        &self,
        keys: &[Key<'_>],
        copying: &Copying<'_>,
        guards: &Guards<'_>,
        now_ms: u64,
    ) -> Copied<Vec<Option<Arc<Staged>>>> {
        let mut free: Vec<&Arc<Staged>> = copying.staged.iter().collect();
        let mut found = Vec::new();
        for whole in copying.wholes {
            let (from, to) = (&keys[whole.from], &keys[whole.to]);
            let source = self.entry(from, guards);
            let collection = source.as_ref().and_then(|source| divisible(source, now_ms));
            let collection = collection.filter(|c| c.memory_bytes() >= self.options.stage_bytes);
            let is_taken = || self.entry(to, guards).is_some_and(|entry| is_live(&entry, now_ms));
            let (Some(source), Some(collection), false) =
                (source, collection, whole.keeps && is_taken() || to.bytes.len() > KEY_BYTES_MAX)
            else {
                found.push(None);
                continue;
            };
            let keyspace = self.locked(from, guards).databases.keyspace(from.db);
            let stands = (keyspace, from.bytes, source.lsn());
            let held = free.iter().position(|staged| staged.holds(stands, to.bytes));
            let earlier = copying.staged.iter().filter(|s| s.is_of(keyspace, from.bytes, to.bytes));
            let attempt = earlier.map(|staged| staged.attempt).max().unwrap_or(0) + 1;
            match held {
                Some(index) => found.push(Some(free.swap_remove(index).clone())),
                None if attempt > ATTEMPTS_MAX => found.push(None),
                None => {
                    let (key, to) = (from.bytes.into(), to.bytes.into());
                    let source = Source { keyspace, key, lsn: source.lsn(), to };
                    let collection = Box::new(collection.clone());
                    return Err(Box::new(StageOrder { source, collection, attempt }));
                }
            }
        }
        Ok(found)
    }

    /// Logs a collection ahead, frame by frame, each of them durable before the next.
    pub(super) fn stage(&self, order: StageOrder, is_wanted: &dyn Fn() -> bool) -> Result<Staged> {
        let StageOrder { source, collection, attempt } = order;
        let staged = Staged {
            number: self.stages.open(&self.log),
            source,
            attempt,
            is_published: AtomicBool::new(false),
            stages: self.stages.clone(),
        };
        let frame_bytes = (self.options.stage_bytes / FRAMES_MIN) as usize;
        let (mut run, mut run_bytes, mut begins) = (Vec::new(), 0, true);
        let mut chunks = collection.chunks().encoded().peekable();
        while let Some(chunk) = chunks.next() {
            run_bytes += chunk.len();
            run.push(chunk);
            if run_bytes > frame_bytes || run_bytes > 0 && chunks.peek().is_none() {
                if !is_wanted() {
                    return Err(Core::closed());
                }
                self.log_run(&staged, &collection, begins, &run)?;
                (run_bytes, begins) = (0, false);
                run.clear();
            }
        }
        Ok(staged)
    }

    fn log_run(
        &self,
        staged: &Staged,
        collection: &Collection,
        begins: bool,
        run: &[Bytes],
    ) -> Result<()> {
        let record = Record::Stage {
            key: &staged.source.to,
            stage: staged.number,
            begins,
            shape: collection.shape(),
            edit: whole(collection),
        };
        let mut frame = Frame::new(self.now_ms());
        frame.push_shared(&record, run);
        let room = self.room_for(frame.payload_bytes())?;
        let lsn = self.log.append_into(room, &mut frame);
        self.wait_durable(lsn)
    }

    /// Waits for room in the log.
    fn room_for(&self, frame_bytes: u64) -> Result<Reservation<'_>> {
        loop {
            match self.reserve(frame_bytes, SpaceClass::Normal) {
                Reserve::Granted(room) => return Ok(room),
                Reserve::Full => return Err(self.no_room()),
                Reserve::Wait if self.closing.load(Relaxed) => return Err(Core::closed()),
                Reserve::Wait => self.log.wait_for_room(ROOM_WAIT),
            }
        }
    }
}
