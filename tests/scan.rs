//! SCAN's guarantee on the real engine with its threads: a key that stays for the whole scan is met
//! exactly once, whatever happens meanwhile, and across a reopening in the middle.
//!
//! `FIRN_SCAN_SEEDS=200 cargo test --release --test scan` runs more seeds, `FIRN_SCAN_SEED=7` one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use firn::engine::Engine;
use firn::engine::begin::{Begin, Intent};
use firn::io::random::Random;
use firn::options::Options;
use firn::types::Durability;

/// Seeds of the default run.
const SEEDS: u64 = 6;
/// Keys that stay for the whole scan.
const STAYING: u64 = 1500;
/// Of the staying keys, those that share one slot, so that its table splits.
const STAYING_IN_ONE_SLOT: u64 = 700;
/// Keys that come and go together, so that tables grow and shrink.
const TIDE: u64 = 1200;
/// Changes by others that the scan waits for after each page.
const CHANGES_PER_PAGE: u64 = 30;
/// The database that is scanned.
const DB: u32 = 0;
/// Databases that are flushed and swapped.
const OTHER_DBS: [u32; 2] = [1, 2];

fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    match (number("FIRN_SCAN_SEED"), number("FIRN_SCAN_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, count) => 0..count.unwrap_or(SEEDS),
    }
}

#[test]
fn a_key_that_stays_is_met_exactly_once_whatever_changes_around_it() {
    let mut seen = Happened::default();
    for seed in seeds() {
        let dir = tempfile::tempdir().unwrap();
        let mut scan = Scan::new(seed, Options { memory_bytes: budget(seed), ..options(&dir) });
        scan.load();
        scan.run_until(|scan| scan.met.len() as u64 >= STAYING / 2);
        scan.reopen(seed % 2 == 0);
        scan.run_until(|scan| scan.cursor == Some(0));
        scan.check();
        seen.add(&scan.happened);
    }
    // Without these the test would prove little.
    assert!(seen.checkpoints > 0, "{seen:?}");
    if seeds().count() as u64 >= SEEDS {
        assert!(seen.compactions > 0 && seen.unloaded_bytes > 0 && seen.flushes > 0, "{seen:?}");
        assert!(seen.tides > 0, "{seen:?}");
    }
}

/// What went on around the scans.
#[derive(Debug, Default)]
struct Happened {
    checkpoints: u64,
    compactions: u64,
    unloaded_bytes: u64,
    flushes: u64,
    tides: u64,
}

impl Happened {
    fn add(&mut self, other: &Happened) {
        self.checkpoints += other.checkpoints;
        self.compactions += other.compactions;
        self.unloaded_bytes += other.unloaded_bytes;
        self.flushes += other.flushes;
        self.tides += other.tides;
    }
}

/// Every third run keeps all keys in memory, the others next to none.
fn budget(seed: u64) -> u64 {
    if seed % 3 == 2 { 0 } else { 64 << 10 }
}

fn options(dir: &tempfile::TempDir) -> Options {
    Options {
        durability: Durability::No,
        databases: 3,
        partitions: 4,
        checkpoint_log_bytes: 200 << 10,
        segment_bytes_min: 64 << 10,
        segment_bytes_max: 256 << 10,
        ..Options::new(dir.path())
    }
}

/// A scan under way, and the keys it has met so far.
struct Scan {
    seed: u64,
    options: Options,
    engine: Option<Engine>,
    random: Random,
    /// None before the first page.
    cursor: Option<u64>,
    met: BTreeMap<Vec<u8>, u32>,
    happened: Happened,
}

impl Scan {
    fn new(seed: u64, options: Options) -> Scan {
        let engine = Some(Engine::open(options.clone()).unwrap());
        let random = Random::new(seed);
        let (met, happened) = (BTreeMap::new(), Happened::default());
        Scan { seed, options, engine, random, cursor: None, met, happened }
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("the scan has an open engine")
    }

    fn load(&mut self) {
        for number in 0..STAYING {
            self.engine().set(DB, &staying(number), &value(&mut Random::new(number))).unwrap();
        }
        for db in OTHER_DBS {
            self.engine().set(db, b"elsewhere", b"").unwrap();
        }
        // What stays must survive the reopening, at whatever level it was written.
        self.engine().sync().unwrap();
    }

    /// Scans while others write, until `done`.
    fn run_until(&mut self, done: impl Fn(&Scan) -> bool) {
        let engine = self.engine.take().expect("the scan has an open engine");
        let around = Around { engine: &engine, stop: AtomicBool::new(false), changes: 0.into() };
        let mut random = self.random.split();
        let tasks: [for<'a, 'e> fn(&'a Around<'e>, Random) -> u64; 4] = [
            |around, random| around.tide(random),
            |around, random| around.rewrite(random),
            |around, random| around.flush(random),
            |around, random| around.maintain(random),
        ];
        let counts = std::thread::scope(|scope| {
            let around = &around;
            // Ends the others also when this thread panics; the scope would wait for ever.
            let stop = StopOnDrop(&around.stop);
            let threads = tasks.map(|task| {
                let random = random.split();
                scope.spawn(move || {
                    let _stop = StopOnDrop(&around.stop);
                    task(around, random)
                })
            });
            while !done(self) && self.cursor != Some(0) {
                self.page(around);
            }
            drop(stop);
            threads.map(|thread| thread.join().unwrap())
        });
        self.happened.tides += counts[0];
        self.happened.flushes += counts[2];
        let stats = engine.stats();
        self.happened.checkpoints += stats.checkpoints;
        self.happened.compactions += stats.compactions;
        self.happened.unloaded_bytes += stats.unloaded_bytes;
        self.engine = Some(engine);
    }

    fn page(&mut self, around: &Around<'_>) {
        let count = 1 + self.random.below(40) as usize;
        let page = around.engine.scan(DB, self.cursor.unwrap_or(0), count).unwrap();
        for key in page.keys {
            *self.met.entry(key).or_default() += 1;
        }
        let ahead = page.next == 0 || Some(page.next) > self.cursor;
        assert!(ahead, "seed {}: the cursor goes forward", self.seed);
        self.cursor = Some(page.next);
        let before = around.changes.load(SeqCst);
        while around.changes.load(SeqCst) < before + CHANGES_PER_PAGE && !around.stops() {
            std::thread::sleep(Duration::from_micros(50));
        }
        assert!(!around.stops(), "seed {}: a thread beside the scan has failed", self.seed);
    }

    /// Ends the engine, cleanly or not, and opens it again.
    fn reopen(&mut self, cleanly: bool) {
        let engine = self.engine.take().expect("the scan has an open engine");
        if cleanly {
            engine.close().unwrap();
        }
        drop(engine);
        self.engine = Some(Engine::open(self.options.clone()).unwrap());
    }

    fn check(&self) {
        let seed = self.seed;
        for number in 0..STAYING {
            let key = staying(number);
            let times = self.met.get(&key).copied().unwrap_or(0);
            assert_eq!(times, 1, "seed {seed}: {} stayed", String::from_utf8_lossy(&key));
        }
        let twice: BTreeSet<_> = self.met.iter().filter(|(_, times)| **times > 1).collect();
        assert!(twice.is_empty(), "seed {seed}: met more than once: {twice:?}");
        assert!(!self.met.contains_key(&b"elsewhere"[..]), "seed {seed}: of another database");
    }
}

fn staying(number: u64) -> Vec<u8> {
    let tag = if number < STAYING_IN_ONE_SLOT { "{one}" } else { "" };
    format!("{tag}stays:{number}").into_bytes()
}

fn coming_and_going(number: u64) -> Vec<u8> {
    let tag = if number.is_multiple_of(2) { "{one}" } else { "" };
    format!("{tag}tide:{number}").into_bytes()
}

/// Mostly short values, some beyond what stands inline, a few in pages.
fn value(random: &mut Random) -> Vec<u8> {
    let len = match random.below(200) {
        0 => 70_000,
        1..10 => 4000,
        _ => random.below(100),
    };
    vec![b'v'; len as usize]
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// What runs beside the scan.
struct Around<'e> {
    engine: &'e Engine,
    stop: AtomicBool,
    changes: AtomicU64,
}

impl Around<'_> {
    fn stops(&self) -> bool {
        self.stop.load(SeqCst)
    }

    fn changed(&self) {
        self.changes.fetch_add(1, SeqCst);
    }

    /// Adds many keys and takes them away again; returns how often all were there.
    fn tide(&self, _: Random) -> u64 {
        let mut tides = 0;
        while !self.stops() {
            let in_time = |_: &u64| !self.stops();
            for number in (0..TIDE).take_while(in_time) {
                self.engine.set(DB, &coming_and_going(number), b"here").unwrap();
                self.changed();
            }
            tides += u64::from(!self.stops());
            for number in (0..TIDE).take_while(in_time) {
                self.engine.delete(DB, &coming_and_going(number)).unwrap();
                self.changed();
            }
        }
        tides
    }

    /// Gives staying keys other values and deadlines, and reads some, which loads them.
    fn rewrite(&self, mut random: Random) -> u64 {
        while !self.stops() {
            let key = staying(random.below(STAYING));
            match random.below(4) {
                0 => {
                    assert!(self.engine.get(DB, &key).unwrap().is_some(), "a staying key is there")
                }
                1 => {
                    let hour = Duration::from_secs(3600);
                    self.engine.set_for(DB, &key, b"for an hour", hour).unwrap();
                }
                _ => self.engine.set(DB, &key, &value(&mut random)).unwrap(),
            }
            self.changed();
        }
        0
    }

    /// Fills, flushes and swaps the other databases; returns how often.
    fn flush(&self, mut random: Random) -> u64 {
        let [a, b] = OTHER_DBS;
        let mut flushes = 0;
        while !self.stops() {
            for number in 0..20 {
                self.engine.set(a, format!("elsewhere:{number}").as_bytes(), b"").unwrap();
            }
            let intent = Intent { frees: true, ..Intent::write(self.engine.now_ms(), 100) };
            if let Begin::Ready(mut unit) = self.engine.begin_all(&[], intent) {
                match random.below(2) {
                    0 => unit.flush_db(a),
                    _ => unit.swap_db(a, b),
                }
                unit.finish();
                flushes += 1;
            }
            self.changed();
        }
        flushes
    }

    /// Hastens what the engine's own threads do in their time.
    fn maintain(&self, mut random: Random) -> u64 {
        while !self.stops() {
            match random.below(4) {
                0 => self.engine.checkpoint().unwrap(),
                1 => drop(self.engine.compact().unwrap()),
                _ => self.engine.shrink_to_budget().unwrap(),
            }
            self.changed();
        }
        0
    }
}
