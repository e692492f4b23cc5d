//! Reads of cold keys: on a bounded pool of threads, never on a worker and never under a lock
//! (D10).
//!
//! A lookup of a few members of a large collection reads their chunks only, and nothing is taken
//! into memory, until so many were asked for that the whole is worth it.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crate::error::{Error, Result};
use crate::format::file_name::PART_FOLDER;
use crate::keyspace::field_expiry::earliest_of_value;
use crate::keyspace::object::ValueHandle;
use crate::keyspace::residency::{Cold, Install};
use crate::snapshot::ChunkedHead;
use crate::snapshot::lookup::{ColdContent, ColdRow};
use crate::types::{KeyspaceId, Lsn, Position};
use crate::value::collection::Collection;
use crate::value::members::MemberHasher;
use crate::value::packed;
use crate::value::string::{PagedString, StringHandle};

use super::begin::{Begin, ColdFetch, ColdKey, Guards, Intent};
use super::core::Core;
use super::shard::Shard;
use super::stats::add;
use super::unit::{Key, Unit, View};

/// Threads that read blocks for cold keys.
const READERS: usize = 4;

/// A fetch and what is called when it is done.
type Job = (ColdFetch, Box<dyn FnOnce(Result<()>) + Send>);

/// The pool. Without threads (simulation) a fetch runs where it is asked for. The queue is as long
/// as there are clients at most: each waits for its fetch.
pub struct ReadPool {
    jobs: Mutex<Option<Sender<Job>>>,
}

impl ReadPool {
    /// A pool without threads.
    pub fn inline() -> ReadPool {
        ReadPool { jobs: Mutex::new(None) }
    }

    /// Starts the threads.
    pub fn start(&self, core: &Arc<Core>) -> std::io::Result<Vec<JoinHandle<()>>> {
        let (sender, receiver) = channel::<Job>();
        *self.jobs.lock().expect("nothing panics under this lock") = Some(sender);
        let receiver = Arc::new(Mutex::new(receiver));
        let spawn = |index| {
            let (core, receiver) = (core.clone(), receiver.clone());
            let name = format!("firn-read-{index}");
            std::thread::Builder::new().name(name).spawn(move || work(&core, &receiver))
        };
        (0..READERS).map(spawn).collect()
    }

    /// Lets the threads end once the queue is empty.
    pub fn stop(&self) {
        self.jobs.lock().expect("nothing panics under this lock").take();
    }

    /// Hands a fetch over; `done` is called from another thread, or at once without a pool.
    pub fn submit(&self, core: &Core, job: Job) {
        let sender = self.jobs.lock().expect("nothing panics under this lock").clone();
        let Some(sender) = sender else {
            let (fetch, done) = job;
            return done(core.fetch_now(fetch));
        };
        if let Err(stopped) = sender.send(job) {
            let (_, done) = stopped.0;
            done(Err(Error::Poisoned { reason: "the engine is closing".into() }));
        }
    }
}

fn work(core: &Core, jobs: &Mutex<Receiver<Job>>) {
    loop {
        let next = jobs.lock().expect("nothing panics under this lock").recv();
        let Ok((fetch, done)) = next else { return };
        done(core.fetch_now(fetch));
    }
}

impl Core {
    /// Reads the keys of a fetch and installs them. A load that came too late is dropped: the unit
    /// misses again and asks for another.
    pub fn fetch_now(&self, fetch: ColdFetch) -> Result<()> {
        fetch.keys.iter().try_for_each(|cold| self.fetch_key(cold))
    }

    /// As [`Core::fetch_now`], of one key.
    pub(super) fn fetch_key(&self, wanted: &ColdKey) -> Result<()> {
        if !wanted.needs_value && self.know_key(wanted)? {
            return Ok(());
        }
        let cold = self.read_key(wanted)?;
        let mut shard = self.lock(self.shard_of(wanted.position))?;
        let held_bytes = shard.partition.memory_bytes();
        let installed = self.install_key(wanted, cold, &mut shard);
        let loaded_bytes = shard.partition.memory_bytes().saturating_sub(held_bytes);
        drop(shard);
        self.note_loaded(loaded_bytes);
        installed
    }

    /// Reads a key and installs it in its shard, which is locked: the exception of D10.
    pub(super) fn fetch_under_lock(&self, wanted: &ColdKey, shard: &mut Shard) -> Result<()> {
        add(&self.stats.reads_under_lock);
        let cold = self.read_key(wanted)?;
        self.install_key(wanted, cold, shard)
    }

    /// Notes a key of the parts without its value, which is not read; whether they have it.
    fn know_key(&self, wanted: &ColdKey) -> Result<bool> {
        let ColdKey { keyspace, position, key, departures, .. } = wanted;
        let meta = wanted.parts.lookup_meta(*keyspace, *position, key)?;
        let Some((lsn, live)) = meta.and_then(|meta| Some((meta.lsn, meta.live?))) else {
            return Ok(false);
        };
        self.stats.count_cold_read(true);
        let mut shard = self.lock(self.shard_of(*position))?;
        if shard.databases.is_live(*keyspace) {
            let (target, row) = ((*keyspace, *position, &key[..]), (lsn, live.expire_at_ms));
            // A load that came too late is dropped.
            let _ = shard.partition.install_known(target, row, *departures, self.now_ms());
        }
        Ok(true)
    }

    fn read_key(&self, wanted: &ColdKey) -> Result<Cold> {
        let row = wanted.parts.lookup(wanted.keyspace, wanted.position, &wanted.key)?;
        self.stats.count_cold_read(row.is_some());
        row.map_or(Ok(Cold::Absent { lsn: 0 }), |row| self.cold(row))
    }

    fn install_key(&self, wanted: &ColdKey, cold: Cold, shard: &mut Shard) -> Result<()> {
        let ColdKey { keyspace, position, key, departures, .. } = wanted;
        if !shard.databases.is_live(*keyspace) {
            // The database was flushed meanwhile: what was fetched is nobody's.
            return Ok(());
        }
        let now_ms = self.now_ms();
        match shard.partition.install(*keyspace, *position, key, cold, *departures, now_ms) {
            Install::Done | Install::Changed => Ok(()),
            Install::NoBase => Err(self.no_base(key)),
        }
    }

    fn cold(&self, row: ColdRow) -> Result<Cold> {
        cold_of(row, self.member_hasher)
            .ok_or_else(|| self.damaged("the chunks of a value do not fit"))
    }

    /// The log changes a key that neither the log nor any part has: acknowledged data is missing.
    fn no_base(&self, key: &[u8]) -> Error {
        let key = key.escape_ascii();
        self.damaged(&format!("the log changes key \"{key}\", which no part holds"))
    }

    fn damaged(&self, reason: &str) -> Error {
        let path = self.storage.display_path(PART_FOLDER.as_ref());
        Error::Corrupt { path, offset: 0, lost: None, reason: reason.into() }
    }
}

/// What memory is given of a row; none when its pages or chunks are not what the head says.
pub(super) fn cold_of(row: ColdRow, hasher: MemberHasher) -> Option<Cold> {
    let lsn = row.lsn;
    let (expire_at_ms, raw, value) = match row.content {
        ColdContent::Tombstone => return Some(Cold::Absent { lsn }),
        ColdContent::String { expire_at_ms, raw, bytes } => {
            (expire_at_ms, raw, ValueHandle::String(StringHandle::Flat(bytes)))
        }
        ColdContent::Paged { expire_at_ms, raw, len, generation, pages } => {
            let pages = pages.into_iter().map(|page| (page, lsn)).collect();
            let paged = PagedString::from_parts(generation, len, pages)?;
            (expire_at_ms, raw, ValueHandle::String(StringHandle::Paged(paged)))
        }
        ColdContent::Packed { expire_at_ms, blob } => {
            packed::validate(&blob)?;
            (expire_at_ms, false, ValueHandle::Packed(blob))
        }
        ColdContent::Chunked { head, chunks } => {
            let ChunkedHead { expire_at_ms, shape, len, generation, .. } = head;
            let collection = Collection::from_parts(shape, generation, len, hasher, &chunks)?;
            (expire_at_ms, false, ValueHandle::Collection(Box::new(collection)))
        }
    };
    Some(Cold::Live { lsn, expire_at_ms, raw, value })
}

/// A collection of fewer chunks is loaded whole.
const CHUNKS_MIN: u64 = 8;
/// A collection is loaded whole after so many reads for each of its chunks, as a divisor.
const CHUNKS_PER_READ: u64 = 8;
/// Collections whose reads are counted at a time.
const COUNTED_MAX: usize = 1024;

/// How often collections have been read aside.
#[derive(Default)]
pub struct AsideReads(Mutex<HashMap<(KeyspaceId, Position), u64>>);

impl AsideReads {
    /// Counts a read of a collection of so many chunks; false once it is worth to load it.
    fn count(&self, place: (KeyspaceId, Position), chunk_count: u64) -> bool {
        let mut counts = self.0.lock().expect("nothing panics under this lock");
        if counts.len() >= COUNTED_MAX {
            counts.clear();
        }
        let count = counts.entry(place).or_insert(0);
        *count += 1;
        let goes_on = *count * CHUNKS_PER_READ < chunk_count;
        if !goes_on {
            counts.remove(&place);
        }
        goes_on
    }
}

/// What a unit shows of its one key: the chunks that it was begun with, as they stood when the key
/// was missed.
pub(super) struct Aside {
    key: Box<[u8]>,
    expire_at_ms: Option<u64>,
    lsn: Lsn,
    value: ValueHandle,
}

impl Aside {
    /// The key, which must be the one.
    pub fn view(&self, key: &Key<'_>) -> View<'_> {
        assert_eq!(key.bytes, &self.key[..], "a unit aside has one key");
        View::of_cold(self.expire_at_ms, self.lsn, self.value.as_value())
    }
}

impl Core {
    /// A unit for a handler that reads these members of a key that was missed, and nothing else.
    /// Reads the disk.
    ///
    /// # Errors
    /// When the key cannot be read.
    pub fn begin_aside<'e>(
        &'e self,
        mut fetch: ColdFetch,
        key: &Key<'_>,
        members: &[&[u8]],
        now_ms: u64,
    ) -> Result<Unit<'e>> {
        loop {
            if let Some(aside) = self.read_aside(&fetch, members, now_ms)? {
                let mut unit = Unit::new(self, Guards::new(), now_ms, None, None);
                unit.aside = Some(Box::new(aside));
                return Ok(unit);
            }
            self.fetch_now(fetch)?;
            match self.begin(&[*key], Intent::read(now_ms)) {
                Begin::Ready(unit) => return Ok(unit),
                Begin::Refused(error) => return Err(error),
                Begin::Cold(missed) => fetch = missed,
                Begin::Wait => unreachable!("a read waits for no room"),
            }
        }
    }

    /// The chunks of these members; none where the key is to be loaded whole.
    fn read_aside(
        &self,
        fetch: &ColdFetch,
        members: &[&[u8]],
        now_ms: u64,
    ) -> Result<Option<Aside>> {
        let [wanted] = &fetch.keys[..] else { return Ok(None) };
        if wanted.has_deltas {
            return Ok(None);
        }
        let (keyspace, position, key) = (wanted.keyspace, wanted.position, &wanted.key);
        let hasher = self.member_hasher;
        let hashes: Vec<u64> = members.iter().map(|member| hasher.hash(member)).collect();
        let worth = |chunk_count| {
            chunk_count >= CHUNKS_MIN && self.aside_reads.count((keyspace, position), chunk_count)
        };
        let row = wanted.parts.lookup_members(keyspace, position, key, &hashes, worth)?;
        let Some(row) = row else { return Ok(None) };
        let ColdContent::Chunked { head, chunks } = row.content else { return Ok(None) };
        let is_past = head.expire_at_ms.is_some_and(|at| at <= now_ms);
        let some = Collection::of_some_chunks(head.shape, hasher, &chunks);
        let Some(collection) = some.filter(|_| !is_past) else { return Ok(None) };
        self.stats.count_cold_read(true);
        let value = ValueHandle::Collection(Box::new(collection));
        // A field past its deadline may be among what was asked for.
        let hidden_ms = earliest_of_value(value.as_value()).filter(|at| *at <= now_ms);
        let marked = hidden_ms.map_or(0, |_| self.mark_time(now_ms, now_ms));
        let (key, lsn) = (key.clone(), row.lsn.max(marked));
        Ok(Some(Aside { key, expire_at_ms: head.expire_at_ms, lsn, value }))
    }
}
