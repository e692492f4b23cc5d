//! From a directory to a running engine: MANIFEST, parts, log, a new epoch. The R rules that this
//! follows are in `format-spec/recovery.md`.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::format::file_name::{LOG_FOLDER, PART_FOLDER};
use crate::format::position::Hasher;
use crate::io::random::Random;
use crate::io::{Clock, Storage};
use crate::keyspace::partition::Partition;
use crate::log::{Log, LogConfig, LogEnd, Signal, Tail};
use crate::options::Options;
use crate::snapshot::Manifest;
use crate::snapshot::block_cache::BlockCache;
use crate::snapshot::manifest::ManifestStore;
use crate::snapshot::part_set::PartSet;
use crate::types::{DatabaseId, Durability, HashSeed, KeyspaceId, SLOT_COUNT};
use crate::value::members::MemberHasher;

use super::checkpoint::Snapshots;
use super::cold_read::{AsideReads, ReadPool};
use super::core::{Core, Padded, Time};
use super::databases::Databases;
use super::replay::{Replay, Replayed};
use super::shard::Shard;
use super::staging::Stages;
use super::stats::{Counters, RecoverySummary};
use super::throttle::Throttle;
use super::waiting::Waiting;

/// How often the log is synced at level `everysec`.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);
/// Decompressed blocks of parts that are kept, in bytes, without a memory budget.
const BLOCK_CACHE_BYTES: usize = 64 << 20;
/// Part of the memory budget that the block cache may take.
const BLOCK_CACHE_SHARE: u64 = 16;
/// Partitions for each core: enough that two cores rarely meet at one.
const PARTITIONS_PER_CORE: usize = 8;

/// Brings a directory up and returns the engine's core, ready to serve.
pub fn recover(
    storage: Arc<dyn Storage>,
    clock: Arc<dyn Clock>,
    options: Options,
) -> Result<(Core, RecoverySummary)> {
    let started_us = clock.monotonic_us();
    let mut summary = RecoverySummary::default();
    let mut entropy = Entropy::new(options.seed);
    let store = ManifestStore::open(storage.clone())?;
    summary.used_previous_manifest = !store.damaged().is_empty();
    summary.created = store.current().is_none();
    let manifest = match store.current() {
        Some(manifest) => manifest.clone(),
        None => new_manifest(&*storage, &mut entropy, clock.wall_ms())?,
    };
    let cache = Arc::new(BlockCache::new(cache_bytes(&options)));
    let parts = PartSet::open(&storage, manifest.database, &manifest.parts, Some(&cache))?;
    summary.parts = parts.parts().len();
    let hasher = Hasher::new(manifest.hash_seed);
    let member_hasher = MemberHasher::new(manifest.hash_seed);
    let mut partitions = partitions(&options, &hasher, member_hasher);
    set_counts(&mut partitions, &parts, &manifest);
    let databases = Databases::restore(options.databases, &manifest.databases);
    let replay = Replay { storage: &*storage, manifest: &manifest, hasher: &hasher };
    let Replayed { end, databases, frames, bytes } =
        replay.run(&mut partitions, databases, options.background)?;
    summary.frames = frames;
    if let Tail::Torn { bytes, .. } = end.tail {
        summary.torn_bytes = bytes;
    }
    let parts = Arc::new(parts);
    let mut snapshots = snapshots(store, parts.clone(), cache, &manifest);
    let epoch = raise_epoch(&mut snapshots, &manifest, &end)?;
    // No epoch is used twice, so even with one seed for all openings no salt is: under an old salt
    // the old bytes of a recycled file would be valid.
    let config = log_config(&options, &manifest, epoch, entropy.number()? ^ u64::from(epoch));
    let log = Log::create(storage.clone(), clock.clone(), config, &end)?;
    log.note_replayed(bytes);
    log.keep_free(manifest.largest_part_bytes());
    release(&snapshots.store, &log, summary.used_previous_manifest)?;
    let shards = shards(partitions, &parts, &Arc::new(databases), entropy.number()?);
    let now_ms = clock.wall_ms().max(end.last_wall_ms).max(manifest.wall_ms);
    summary.took_us = clock.monotonic_us().saturating_sub(started_us);
    let core = Core {
        memory_bytes: AtomicU64::new(options.memory_bytes),
        options,
        storage,
        clock,
        hasher,
        member_hasher,
        shards,
        log,
        snapshots: Mutex::new(snapshots),
        compacting: Mutex::new(()),
        reads: ReadPool::inline(),
        aside_reads: AsideReads::default(),
        stats: Counters::default(),
        random: Mutex::new(Random::new(entropy.number()?)),
        due: Mutex::default(),
        closing: AtomicBool::new(false),
        active_expiry: AtomicBool::new(true),
        throttle: Throttle::default(),
        stages: Arc::new(Stages::new(epoch)),
        news: Signal::default(),
        unload_by_frequency: AtomicBool::new(false),
        time: Time::from_ms(now_ms),
        free: Mutex::new(None),
    };
    Ok((core, summary))
}

fn new_manifest(storage: &dyn Storage, entropy: &mut Entropy, wall_ms: u64) -> Result<Manifest> {
    refuse_orphans(storage)?;
    let new = Manifest::new(DatabaseId(entropy.bytes()?), HashSeed(entropy.bytes()?));
    Ok(Manifest { wall_ms, ..new })
}

/// Gives up what nobody needs any more, and what a crash left behind. After a fall back nothing
/// goes: what only the damaged MANIFEST names may help a repair.
fn release(store: &ManifestStore, log: &Log, fell_back: bool) -> Result<()> {
    if fell_back {
        return Ok(());
    }
    // What cannot be removed now is found again at the next start.
    let _ = store.sweep();
    log.release_before(store.log_needed_from().unwrap_or(0))
}

/// A directory without a MANIFEST but with data is damaged, not new (R1).
pub(super) fn refuse_orphans(storage: &dyn Storage) -> Result<()> {
    for folder in [LOG_FOLDER, PART_FOLDER] {
        let shown = storage.display_path(Path::new(folder));
        let names =
            storage.list(Path::new(folder)).map_err(|source| Error::io("list", &shown, source))?;
        let is_data = |name: &String| name.ends_with(".log") || name.ends_with(".part");
        if let Some(name) = names.into_iter().find(is_data) {
            return Err(Error::Corrupt {
                path: shown.join(name),
                offset: 0,
                lost: None,
                reason: "there is data but no MANIFEST".into(),
            });
        }
    }
    Ok(())
}

/// Random choices that a database is born with: the system's, or a simulation's.
pub(super) struct Entropy(Option<Random>);

impl Entropy {
    pub(super) fn new(seed: Option<u64>) -> Entropy {
        Entropy(seed.map(Random::new))
    }

    fn bytes(&mut self) -> Result<[u8; 16]> {
        let mut bytes = [0; 16];
        match &mut self.0 {
            Some(random) => random.fill(&mut bytes),
            None => getrandom::fill(&mut bytes).map_err(|error| {
                Error::io("draw random bytes from", Path::new("the system"), error.into())
            })?,
        }
        Ok(bytes)
    }

    pub(super) fn number(&mut self) -> Result<u64> {
        self.bytes().map(|bytes| u128::from_le_bytes(bytes) as u64)
    }
}

fn cache_bytes(options: &Options) -> usize {
    match options.memory_bytes {
        0 => BLOCK_CACHE_BYTES,
        budget => BLOCK_CACHE_BYTES.min((budget / BLOCK_CACHE_SHARE) as usize),
    }
}

fn partitions(options: &Options, hasher: &Hasher, members: MemberHasher) -> Vec<Partition> {
    let count = match options.partitions {
        0 => {
            let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
            (cores * PARTITIONS_PER_CORE).next_power_of_two().min(256)
        }
        count => count,
    };
    assert!(count.is_power_of_two() && count <= SLOT_COUNT, "partitions are a power of two");
    let slots = SLOT_COUNT / count;
    let hasher = *hasher;
    let position_of: Arc<dyn Fn(&[u8]) -> _ + Send + Sync> =
        Arc::new(move |key: &[u8]| hasher.position(key));
    let partition =
        |index| Partition::new((index * slots) as u16, slots, position_of.clone(), members);
    (0..count).map(partition).collect()
}

/// The exact counts that the parts hold; replay adds what is newer.
fn set_counts(partitions: &mut [Partition], parts: &PartSet, manifest: &Manifest) {
    for count in parts.counts() {
        if !manifest.is_dead(count.keyspace) {
            let index = count.slot as usize * partitions.len() / SLOT_COUNT;
            partitions[index].set_slot_counts(count);
        }
    }
}

/// Partitions with what is exchanged under their locks; keyspaces that died in the log are dropped.
fn shards(
    partitions: Vec<Partition>,
    parts: &Arc<PartSet>,
    databases: &Arc<Databases>,
    seed: u64,
) -> Box<[Padded<Mutex<Shard>>]> {
    let mut random = Random::new(seed);
    let shard = |mut partition: Partition| {
        partition.forget_stages();
        let held: Vec<KeyspaceId> = partition.keyspaces().collect();
        for dead in held.into_iter().filter(|keyspace| !databases.is_live(*keyspace)) {
            partition.remove_keyspace(dead);
        }
        let (parts, databases) = (parts.clone(), databases.clone());
        let waiting = Waiting::default();
        let random = random.split();
        Padded(Mutex::new(Shard { partition, parts, databases, waiting, random, last_user: 0 }))
    };
    partitions.into_iter().map(shard).collect()
}

fn snapshots(
    store: ManifestStore,
    parts: Arc<PartSet>,
    cache: Arc<BlockCache>,
    manifest: &Manifest,
) -> Snapshots {
    let next_part_id = manifest.next_part_id;
    Snapshots { store, parts, previous_parts: Arc::default(), cache, next_part_id }
}

/// Raises the epoch in the MANIFEST, before any segment carries it.
fn raise_epoch(snapshots: &mut Snapshots, manifest: &Manifest, end: &LogEnd) -> Result<u32> {
    let mut next = manifest.clone();
    next.epoch = manifest.epoch.max(end.epoch) + 1;
    next.next_part_id = snapshots.next_part_id;
    let epoch = next.epoch;
    snapshots.store.install(next)?;
    Ok(epoch)
}

pub(super) fn log_config(
    options: &Options,
    manifest: &Manifest,
    epoch: u32,
    salt_seed: u64,
) -> LogConfig {
    LogConfig {
        database: manifest.database,
        epoch,
        salt_seed,
        segment_bytes_min: options.segment_bytes_min.min(options.segment_bytes_max),
        segment_bytes_max: options.segment_bytes_max,
        queue_bytes_max: options.log_queue_bytes,
        sync_interval_ms: sync_interval_ms(options.durability),
    }
}

/// How often the log is synced when nobody waits for it, in milliseconds; 0 is never.
pub fn sync_interval_ms(durability: Durability) -> u64 {
    match durability {
        Durability::No => 0,
        Durability::Always | Durability::EverySec => SYNC_INTERVAL.as_millis() as u64,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::engine::Engine;
    use crate::io::OpenMode;
    use crate::io::clock::SimClock;
    use crate::io::clock::SystemClock;
    use crate::io::sim::SimStorage;
    use crate::log::reader::list_segments;
    use crate::log::walk::SegmentWalker;

    #[test]
    fn the_first_manifest_tells_when_it_was_installed() {
        let (sim, clock) = (SimStorage::new(1), SimClock::new(5));
        let options = Options { background: false, ..Options::new("") };
        let wall_ms = clock.wall_ms();
        Engine::open_on(Arc::new(sim.clone()), Arc::new(clock), options).unwrap();
        let store = ManifestStore::open(Arc::new(sim)).unwrap();
        assert_eq!(store.current().map(|manifest| manifest.wall_ms), Some(wall_ms));
    }

    #[test]
    fn segments_may_grow_to_less_than_the_first_one_is_wont_to_have() {
        let open = |storage: SimStorage| {
            let options =
                Options { background: false, segment_bytes_max: 1 << 20, ..Options::new("") };
            Engine::open_on(Arc::new(storage), Arc::new(SystemClock::new()), options).unwrap()
        };
        let sim = SimStorage::new(1);
        let engine = open(sim.clone());
        (0..30).for_each(|_| engine.set(0, b"key", &[b'x'; 100_000]).unwrap());
        drop(engine);
        assert_eq!(open(sim).get(0, b"key").unwrap().map(|value| value.len()), Some(100_000));
    }

    #[test]
    fn parts_that_a_crash_left_and_segments_that_nobody_needs_go_at_the_next_start() {
        let sim = SimStorage::new(1);
        let open = || {
            let options = Options {
                background: false,
                segment_bytes_min: 64 << 10,
                segment_bytes_max: 64 << 10,
                ..Options::new("")
            };
            Engine::open_on(Arc::new(sim.clone()), Arc::new(SystemClock::new()), options).unwrap()
        };
        let engine = open();
        engine.set(0, b"key", b"value").unwrap();
        engine.close().unwrap();
        drop(engine);
        let parts = || sim.list(Path::new(PART_FOLDER)).unwrap();
        let before = parts();
        assert_eq!(before.len(), 1);
        for name in ["tmp-0000000000000007.part", "0000000000000008.part"] {
            let path = Path::new(PART_FOLDER).join(name);
            sim.open(&path, OpenMode::CreateNew).unwrap();
        }
        let engine = open();
        assert_eq!(parts(), before);
        let segments = sim.list(Path::new(LOG_FOLDER)).unwrap();
        let needed = segments.iter().filter(|name| name.ends_with(".log"));
        assert_eq!(needed.count(), 1, "{segments:?}");
        assert_eq!(engine.get(0, b"key").unwrap().as_deref(), Some(&b"value"[..]));
    }

    #[test]
    fn openings_with_the_same_seed_use_different_salts() {
        let storage = Arc::new(SimStorage::new(1));
        let clock = Arc::new(SimClock::new(1_700_000_000_000));
        let mut salts = BTreeSet::new();
        for _ in 0..3 {
            let mut options = Options::new("");
            options.background = false;
            options.seed = Some(1);
            let engine = Engine::open_on(storage.clone(), clock.clone(), options).unwrap();
            drop(engine);
            let newest = *list_segments(&*storage).unwrap().last().unwrap();
            let walker = SegmentWalker::open(&*storage, newest).unwrap();
            assert!(salts.insert(walker.header().salt), "{newest:?} repeats a salt");
        }
    }
}
