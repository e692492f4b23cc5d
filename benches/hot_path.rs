//! The steps of the hot path, each alone: `cargo bench`, or `cargo bench -- table` for some.
//! `benches/peers` measures whole servers.

use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use divan::{Bencher, counter::ItemsCount};
use firn::engine::Engine;
use firn::engine::begin::{Begin, Intent};
use firn::engine::unit::{Key, NewString, Unit};
use firn::format::file_name::PART_FOLDER;
use firn::format::position::{Hasher, slot_of};
use firn::format::record::{CountDelta, Record, StringValue};
use firn::io::Storage;
use firn::io::clock::SystemClock;
use firn::io::disk::DiskStorage;
use firn::io::random::Random;
use firn::io::sim::SimStorage;
use firn::keyspace::access::Access;
use firn::keyspace::entry::{Body, Entry};
use firn::keyspace::table::Table;
use firn::log::{self, Frame, Log, LogConfig};
use firn::options::Options;
use firn::snapshot::block_cache::BlockCache;
use firn::snapshot::part_set::PartSet;
use firn::snapshot::part_writer::PartWriter;
use firn::snapshot::{RowKey, RowValue};
use firn::types::{DatabaseId, Durability, HashSeed, Position};
use tempfile::TempDir;

/// Keys that are looked up, inserted, stored.
const KEYS: usize = 100_000;
/// Log frames between two commits, about what a busy server groups.
const GROUP_FRAMES: usize = 50;
/// The value of all benches, as redis-benchmark sends it with `-d 64`.
const VALUE: [u8; 64] = [b'v'; 64];

fn main() {
    divan::main();
}

fn key(number: usize) -> Vec<u8> {
    format!("key:{number:012}").into_bytes()
}

fn hasher() -> Hasher {
    Hasher::new(HashSeed([7; 16]))
}

/// Keys in an order that no cache foresees.
fn shuffled_keys() -> Vec<Vec<u8>> {
    let mut keys: Vec<Vec<u8>> = (0..KEYS).map(key).collect();
    let mut random = Random::new(1);
    for last in (1..keys.len()).rev() {
        keys.swap(last, random.below(last as u64 + 1) as usize);
    }
    keys
}

fn put(key: &[u8]) -> Record<'_> {
    Record::Put {
        keyspace: 0,
        key,
        expire_at_ms: None,
        value: StringValue { bytes: &VALUE, raw: false },
        counts: CountDelta::default(),
    }
}

#[divan::bench_group]
mod position {
    use super::*;

    #[divan::bench]
    fn of_a_key(bencher: Bencher<'_, '_>) {
        let (hasher, key) = (hasher(), key(1));
        bencher.bench_local(|| hasher.position(black_box(&key)));
    }

    #[divan::bench]
    fn slot_of_a_tagged_key() -> u16 {
        slot_of(black_box(b"user:{4711}:name"))
    }
}

#[divan::bench_group]
mod table {
    use super::*;

    fn hash(key: &[u8]) -> u64 {
        hasher().position(key).hash()
    }

    fn entry(key: &[u8]) -> Entry {
        Entry::new(key, None, Body::Inline(&VALUE), Access::new(0))
    }

    fn filled(keys: &[Vec<u8>]) -> Table {
        let mut table = Table::default();
        for key in keys {
            table.insert(hash(key), entry(key), &hash);
        }
        table
    }

    /// One slot of a million keys in 16384 holds about 60.
    #[divan::bench(args = [60, KEYS])]
    fn find(bencher: Bencher<'_, '_>, count: usize) {
        let keys = shuffled_keys().split_off(KEYS - count);
        let table = filled(&keys);
        let hashed: Vec<(u64, Vec<u8>)> = keys.into_iter().map(|key| (hash(&key), key)).collect();
        let mut next = hashed.iter().cycle();
        bencher.bench_local(|| {
            let (hash, key) = next.next().expect("it starts again at its end");
            table.find(*hash, key).is_some()
        });
    }

    #[divan::bench(args = [60, KEYS])]
    fn insert_all(bencher: Bencher<'_, '_>, count: usize) {
        let keys = shuffled_keys().split_off(KEYS - count);
        bencher.counter(ItemsCount::new(count)).bench_local(|| filled(&keys));
    }
}

#[divan::bench_group]
mod frame {
    use super::*;

    #[divan::bench]
    fn encode_a_put(bencher: Bencher<'_, '_>) {
        let key = key(1);
        let mut frame = Frame::new(0);
        bencher.bench_local(|| {
            frame.clear();
            frame.push(black_box(&put(&key)));
            frame.payload_bytes()
        });
    }

    /// Append and its share of a commit without a sync.
    #[divan::bench]
    fn append_and_commit_a_group(bencher: Bencher<'_, '_>) {
        let dir = TempDir::new().expect("the system has a place for temporary files");
        let log = open_log(&dir);
        let key = key(1);
        let mut frame = Frame::new(0);
        bencher.counter(ItemsCount::new(GROUP_FRAMES)).bench_local(|| {
            for _ in 0..GROUP_FRAMES {
                frame.push(&put(&key));
                log.append(&mut frame);
            }
            log.commit(false).expect("the disk takes it");
            // Segments are used again, so that the bench runs in bounded space.
            log.release_before(log.last_lsn()).expect("the disk takes it");
        });
    }

    fn open_log(dir: &TempDir) -> Log {
        let storage: Arc<dyn Storage> = Arc::new(DiskStorage::new(dir.path()));
        storage.create_folder(Path::new("log")).expect("the folder is new");
        let database = DatabaseId([1; 16]);
        let end = log::read(&*storage, 1, 0, database, &mut |_| Ok(())).expect("nothing is there");
        let config = LogConfig {
            database,
            epoch: 1,
            salt_seed: 1,
            segment_bytes_min: 16 << 20,
            segment_bytes_max: 16 << 20,
            queue_bytes_max: 64 << 20,
            sync_interval_ms: 0,
        };
        Log::create(storage, Arc::new(SystemClock::new()), config, &end).expect("the disk takes it")
    }
}

#[divan::bench_group]
mod part {
    use super::*;

    /// A part of all keys, with the places in it.
    fn part() -> (PartSet, Vec<(Position, Vec<u8>)>) {
        let hasher = hasher();
        let mut rows: Vec<_> = (0..KEYS).map(key).map(|key| (hasher.position(&key), key)).collect();
        rows.sort();
        let storage: Arc<dyn Storage> = Arc::new(SimStorage::new(1));
        storage.create_folder(Path::new(PART_FOLDER)).expect("nothing fails");
        let database = DatabaseId([1; 16]);
        let mut writer =
            PartWriter::create(storage.clone(), database, 1, 0).expect("nothing fails");
        for (position, key) in &rows {
            let key = RowKey { keyspace: 0, position: *position, key };
            let value = RowValue::String { expire_at_ms: None, raw: false, bytes: &VALUE };
            writer.push(&key, 1, &value).expect("nothing fails");
        }
        let meta = writer.finish(1).expect("nothing fails");
        let cache = Arc::new(BlockCache::new(64 << 20));
        let set = PartSet::open(&storage, database, &[meta], Some(&cache)).expect("it is sound");
        (set, rows)
    }

    #[divan::bench]
    fn look_up_in_cached_blocks(bencher: Bencher<'_, '_>) {
        let (set, mut rows) = part();
        rows.truncate(1000);
        let mut next = rows.iter().cycle();
        bencher.bench_local(|| {
            let (position, key) = next.next().expect("it starts again at its end");
            set.lookup(0, *position, key).expect("it is sound").is_some()
        });
    }

    #[divan::bench]
    fn miss_in_the_filter(bencher: Bencher<'_, '_>) {
        let (set, rows) = part();
        let mut next = rows.iter().cycle();
        bencher.bench_local(|| {
            let (position, _) = next.next().expect("it starts again at its end");
            set.may_contain(0, Position(position.0 ^ 1))
        });
    }

    #[divan::bench]
    fn scan_a_thousand_keys(bencher: Bencher<'_, '_>) {
        let (set, _) = part();
        bencher.counter(ItemsCount::new(1000usize)).bench_local(|| {
            let mut left = 1000;
            let scanned = set.scan_keys(0, Position(0), None, |_| {
                left -= 1;
                if left > 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            scanned.expect("it is sound");
        });
    }
}

#[cfg(feature = "server")]
#[divan::bench_group]
mod resp {
    use super::*;
    use firn::resp::parse::{Found, Limits, Parser};
    use firn::resp::write::{Output, Protocol, Reply};

    /// Commands of one batch, as of a client that pipelines.
    const DEPTH: usize = 16;

    #[divan::bench]
    fn parse_sixteen_sets(bencher: Bencher<'_, '_>) {
        let command = [b"*3\r\n$3\r\nSET\r\n$16\r\n", &key(1)[..], b"\r\n$64\r\n", &VALUE, b"\r\n"];
        let input = command.concat().repeat(DEPTH);
        let limits = Limits { bulk_bytes_max: 512 << 20, authenticated: true };
        let (mut parser, mut ranges) = (Parser::default(), Vec::new());
        bencher.counter(ItemsCount::new(DEPTH)).bench_local(|| {
            let (mut at, mut commands) = (0, 0);
            loop {
                ranges.clear();
                match parser.next(black_box(&input), at, &limits, &mut ranges) {
                    Ok(Found::Command(end)) => at = end,
                    _ => break,
                }
                commands += 1;
            }
            assert_eq!(commands, DEPTH);
        });
    }

    #[divan::bench]
    fn write_sixteen_values(bencher: Bencher<'_, '_>) {
        let mut output = Output::default();
        bencher.counter(ItemsCount::new(DEPTH)).bench_local(|| {
            output.clear(1 << 16);
            for _ in 0..DEPTH {
                Reply::new(&mut output, Protocol::Resp2).bulk(black_box(&VALUE));
            }
            output.len()
        });
    }

    #[divan::bench]
    fn write_sixteen_integers(bencher: Bencher<'_, '_>) {
        let mut output = Output::default();
        bencher.counter(ItemsCount::new(DEPTH)).bench_local(|| {
            output.clear(1 << 16);
            for number in 0..DEPTH {
                Reply::new(&mut output, Protocol::Resp2).integer(black_box(number as i64));
            }
            output.len()
        });
    }
}

#[divan::bench_group]
mod engine {
    use super::*;

    fn open(dir: &TempDir) -> Engine {
        let options = Options { durability: Durability::No, ..Options::new(dir.path()) };
        let engine = Engine::open(options).expect("the directory is new");
        for number in 0..KEYS {
            engine.set(0, &key(number), &VALUE).expect("the disk takes it");
        }
        engine
    }

    /// One unit over one key.
    fn run<T>(
        engine: &Engine,
        name: &[u8],
        write: bool,
        body: impl Fn(&mut Unit<'_>, &Key<'_>) -> T,
    ) -> T {
        let keys = [engine.key(0, name)];
        let intent = if write { Intent::write(1, 200) } else { Intent::read(1) };
        loop {
            match engine.begin(&keys, intent) {
                Begin::Ready(mut unit) => {
                    let answer = body(&mut unit, &keys[0]);
                    unit.finish();
                    return answer;
                }
                _ => engine.sync().expect("the disk takes it"),
            }
        }
    }

    #[divan::bench]
    fn get(bencher: Bencher<'_, '_>) {
        let dir = TempDir::new().expect("the system has a place for temporary files");
        let (engine, keys) = (open(&dir), shuffled_keys());
        let mut next = keys.iter().cycle();
        bencher.bench_local(|| {
            let name = next.next().expect("it starts again at its end");
            run(&engine, name, false, |unit, key| unit.get(key).is_some())
        });
    }

    #[divan::bench]
    fn set(bencher: Bencher<'_, '_>) {
        let dir = TempDir::new().expect("the system has a place for temporary files");
        let (engine, keys) = (open(&dir), shuffled_keys());
        let mut next = keys.iter().cycle();
        bencher.bench_local(|| {
            let name = next.next().expect("it starts again at its end");
            run(&engine, name, true, |unit, key| unit.put(key, NewString::Copied(&VALUE), None));
        });
    }
}
