//! Reads of cold keys: on a bounded pool of threads, never on a worker and never under a lock
//! (D10).

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use crate::error::{Error, Result};
use crate::format::file_name::PART_FOLDER;
use crate::keyspace::object::ValueHandle;
use crate::keyspace::residency::{Cold, Install};
use crate::snapshot::ChunkedHead;
use crate::snapshot::lookup::{ColdContent, ColdRow};
use crate::value::collection::Collection;
use crate::value::members::MemberHasher;
use crate::value::packed;
use crate::value::string::{PagedString, StringHandle};

use super::begin::{ColdFetch, ColdKey};
use super::core::Core;
use super::shard::Shard;
use super::stats::add;

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

    fn fetch_key(&self, wanted: &ColdKey) -> Result<()> {
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
