//! A database on simulated storage, driven by a seed.

mod large;

use std::sync::{Arc, Mutex};

use firn::engine::Engine;
use firn::engine::begin::{Begin, ColdFetch, Intent};
use firn::engine::unit::{Key, NewString, Unit};
use firn::error::{Error, Result};
use firn::format::edit::Edit;
use firn::format::record::DeleteReason;
use firn::io::Clock;
use firn::io::clock::SimClock;
use firn::io::fault::{self, Failure, Operation};
use firn::io::sim::SimStorage;
use firn::options::Options;
use firn::types::{Durability, ValueKind};

use super::Choices;
use super::content::{Below, Content, random_edit, random_kind};
use super::model::{Change, DATABASES, Held, History, Name};
use large::Ahead;
pub use large::Reached;

/// What goes wrong while operations run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    PowerCut,
    IoError,
    DiskFull,
}

/// The database, its model, and what was acknowledged as durable.
pub struct World {
    seed: u64,
    random: Choices,
    clock: Arc<SimClock>,
    storage: Arc<SimStorage>,
    engine: Option<Engine>,
    history: History,
    acknowledged: u64,
    /// Collections that are logged ahead of their copies.
    ahead: Vec<Ahead>,
    /// What has been met.
    pub reached: Reached,
}

impl World {
    /// A new database; `seed` picks its secrets and what its disk does, `random` all else.
    pub fn driven_by(seed: u64, random: Choices) -> World {
        let storage = Arc::new(SimStorage::new(seed));
        let mut world = World {
            seed,
            random,
            clock: Arc::new(SimClock::new(1_700_000_000_000)),
            storage,
            engine: None,
            history: History::default(),
            acknowledged: 0,
            ahead: Vec::new(),
            reached: Reached::default(),
        };
        world.engine = Some(world.open().expect("an empty storage opens"));
        world
    }

    fn open(&self) -> Result<Engine> {
        let mut options = Options::new("");
        options.background = false;
        options.databases = DATABASES;
        options.partitions = 4;
        options.durability = Durability::No;
        options.segment_bytes_max = 64 << 10;
        options.memory_bytes = 1;
        options.stage_bytes = 1;
        options.seed = Some(self.seed);
        options.segment_bytes_min = 16 << 10;
        Engine::open_on(self.storage.clone(), self.clock.clone(), options)
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("the world has an open engine")
    }

    /// Runs random steps until one of them meets the fault.
    pub fn run(&mut self, steps: u64, fault: Fault) {
        self.arm(fault, steps);
        for _ in 0..steps {
            self.clock.advance_ms(self.random.below(40));
            match self.step() {
                Ok(()) => {}
                Err(Error::DiskFull) if fault == Fault::DiskFull => {}
                Err(error) => {
                    assert!(fault != Fault::None, "nothing was wrong, and yet: {error}");
                    if fault != Fault::DiskFull {
                        return;
                    }
                }
            }
        }
        if fault == Fault::DiskFull {
            self.make_room();
        }
    }

    fn arm(&mut self, fault: Fault, steps: u64) {
        let soon = self.storage.operations() + 1 + self.random.below(steps * 3);
        match fault {
            Fault::None => {}
            Fault::PowerCut => self.storage.power_off_at(soon),
            Fault::IoError => {
                let kind = [Operation::Write, Operation::Sync][self.random.below(2) as usize];
                let skip = self.random.below(steps);
                self.storage.inject(fault::Fault::from_nth(kind, skip, Failure::Io));
            }
            Fault::DiskFull => {
                let left = self.random.below(200_000);
                self.storage.set_capacity_bytes(Some(self.storage.used_bytes() + left));
            }
        }
    }

    /// With space back, writes must go on by themselves, without a reopening.
    fn make_room(&mut self) {
        self.storage.set_capacity_bytes(None);
        let value = vec![b'r'; 100];
        self.unit(&[(0, b"room".to_vec())], self.writes(1000), |unit, keys| {
            unit.put(&keys[0], NewString::Copied(&value), None);
            vec![put(0, b"room", &value, None)]
        })
        .expect("writes resume when there is space again");
        self.sync().expect("nothing has failed");
    }

    fn step(&mut self) -> Result<()> {
        // Corpora of the fuzzer choose by these numbers: new steps come behind the old ones.
        match self.random.below(124) {
            0..16 => self.write_one(),
            16..42 => self.edit_one(),
            42..46 => self.put_collection(),
            46..50 => self.change_one(),
            50..54 => self.carry_one(),
            54..58 => self.write_many(),
            58..60 => self.change_databases(),
            60..75 => self.read_one(),
            75..78 => self.scan_all(),
            78..86 => self.sync(),
            86..91 => self.engine().checkpoint(),
            91..94 => self.engine().compact().map(drop),
            94..97 => self.engine().expire_some().map(drop),
            97..100 => self.engine().shrink_to_budget(),
            100..106 => self.put_large(),
            106..110 => self.edit_large(),
            110..114 => self.carry_large(),
            114..117 => self.stage_large(),
            117..120 => self.publish(),
            _ => self.ask_large(),
        }
    }

    fn sync(&mut self) -> Result<()> {
        let last = self.engine().stats().last_lsn;
        self.engine().sync()?;
        self.acknowledged = last;
        Ok(())
    }

    fn random_key(&mut self) -> (u32, Vec<u8>) {
        let db = self.random.below(u64::from(DATABASES)) as u32;
        let number = self.random.below(24);
        // Some keys share a hash tag, so that one slot holds many.
        let key = if number < 12 { format!("k{number}") } else { format!("{{t}}{number}") };
        (db, key.into_bytes())
    }

    fn random_bytes(&mut self) -> Vec<u8> {
        let len = match self.random.below(20) {
            0 => 0,
            1..16 => self.random.below(60),
            16..19 => self.random.below(5000),
            _ => 60_000 + self.random.below(120_000),
        };
        let fill = self.random.next_u64() as u8;
        (0..len).map(|i| fill.wrapping_add((i / 7) as u8)).collect()
    }

    fn random_deadline(&mut self) -> Option<u64> {
        let soon = self.engine().now_ms() + 1 + self.random.below(800);
        self.random.chance(1, 4).then_some(soon)
    }

    fn writes(&self, frame_bytes: u64) -> Intent {
        Intent::write(self.engine().now_ms(), frame_bytes)
    }

    /// For a unit that looks at nothing of what it removes or replaces.
    fn replaces(&self, frame_bytes: u64) -> Intent {
        Intent { replaces: true, ..self.writes(frame_bytes) }
    }

    /// Runs one unit and enters its changes into the history under the LSN of its frame.
    fn unit(
        &mut self,
        names: &[(u32, Vec<u8>)],
        intent: Intent,
        body: impl Fn(&mut Unit<'_>, &[Key<'_>]) -> Vec<Change>,
    ) -> Result<()> {
        let engine = self.engine.as_ref().expect("open");
        let keys: Vec<Key<'_>> = names.iter().map(|(db, key)| engine.key(*db, key)).collect();
        loop {
            match engine.begin(&keys, intent) {
                Begin::Ready(mut unit) => {
                    let changes = body(&mut unit, &keys);
                    unit.finish();
                    self.history.push(engine.stats().last_lsn, changes);
                    return Ok(());
                }
                Begin::Cold(cold) => fetch(engine, cold)?,
                Begin::Wait => engine.sync()?,
                Begin::Refused(error) => return Err(error),
            }
        }
    }

    fn write_one(&mut self) -> Result<()> {
        let (db, key) = self.random_key();
        let (value, deadline) = (self.random_bytes(), self.random_deadline());
        let bytes = value.len() as u64 + 200;
        let (delete, gives_up) = (self.random.chance(1, 4), self.random.chance(1, 8));
        self.unit(&[(db, key.clone())], self.replaces(bytes), |unit, keys| {
            if gives_up {
                return Vec::new();
            }
            if delete {
                unit.delete(&keys[0], DeleteReason::Command);
                return vec![Change::Delete { db, key: key.clone() }];
            }
            unit.put(&keys[0], NewString::Copied(&value), deadline);
            vec![put(db, &key, &value, deadline)]
        })
    }

    fn change_one(&mut self) -> Result<()> {
        let (db, key) = self.random_key();
        let (bytes, deadline) = (self.random_bytes(), self.random_deadline());
        let (kind, at) = (self.random.below(2), self.random.below(1000));
        let before = self.history.stored(db, &key, self.engine().now_ms());
        let is_string = before.is_some_and(|held| matches!(held.0, Content::String(_)));
        let held = before.map_or(0, |held| held.0.len());
        let bound = before.map_or(0, |held| held.0.record_bytes()) + bytes.len() as u64 + 400;
        let offset = if held == 0 { at } else { at * held as u64 / 999 };
        self.unit(&[(db, key.clone())], self.writes(bound), |unit, keys| {
            if unit.get(&keys[0]).is_none() {
                return Vec::new();
            }
            match kind {
                0 => {
                    unit.set_expiry(&keys[0], deadline);
                    vec![Change::Expire { db, key: key.clone(), deadline }]
                }
                _ if bytes.is_empty() || !is_string => Vec::new(),
                _ => {
                    unit.write_range(&keys[0], offset, NewString::Copied(&bytes));
                    let (key, offset) = (key.clone(), offset as usize);
                    vec![Change::WriteRange { db, key, offset, bytes: bytes.clone() }]
                }
            }
        })
    }

    /// Changes a collection, or begins one where there is none; what is left without an item, and
    /// what is no collection, goes.
    fn edit_one(&mut self) -> Result<()> {
        let ((db, key), now_ms) = (self.random_key(), self.engine().now_ms());
        let before = self.history.get(db, &key, now_ms).map(|held| held.0);
        let random = &mut self.random;
        let edited = random_edited(before, now_ms, &mut |bound| random.below(bound));
        self.edit_key((db, key), edited)
    }

    fn edit_key(&mut self, (db, key): Name, edited: Edited) -> Result<()> {
        let Edited { begins, edit, value } = edited;
        let shape = value.shape();
        let intent = self.writes(edit.len() as u64 + 400);
        self.unit(&[(db, key.clone())], intent, |unit, keys| {
            if value.len() == 0 {
                unit.delete(&keys[0], DeleteReason::Command);
                return vec![Change::Delete { db, key: key.clone() }];
            }
            if begins.is_some() {
                // A hash whose fields are all past their deadline may still stand there (D13).
                unit.delete(&keys[0], DeleteReason::Expired);
            }
            unit.edit(&keys[0], shape, Edit::from_bytes(&edit).expect("it was encoded here"));
            let (key, begins, edit) = (key.clone(), begins.clone(), edit.clone());
            vec![Change::Edit { db, key, begins, edit }]
        })
    }

    /// Puts a whole collection in place of whatever there was.
    fn put_collection(&mut self) -> Result<()> {
        let ((db, key), deadline) = (self.random_key(), self.random_deadline());
        let now_ms = self.engine().now_ms();
        let random = &mut self.random;
        let mut below = |bound| random.below(bound);
        let mut value = Content::empty(random_kind(&mut below));
        while value.len() == 0 || below(3) > 0 {
            let edit = random_edit(&value, now_ms, &mut below);
            value.apply(&Edit::from_bytes(&edit).expect("it was encoded here"));
        }
        self.put_value((db, key), value, deadline)
    }

    fn put_value(&mut self, (db, key): Name, value: Content, deadline: Option<u64>) -> Result<()> {
        let intent = self.replaces(value.record_bytes() + 400);
        self.unit(&[(db, key.clone())], intent, |unit, keys| {
            let handle = value.handle(unit.member_hasher());
            unit.put_collection(&keys[0], handle, deadline);
            vec![Change::Put { db, key: key.clone(), value: value.clone(), deadline }]
        })
    }

    fn write_many(&mut self) -> Result<()> {
        let names: Vec<_> = (0..2 + self.random.below(5)).map(|_| self.random_key()).collect();
        let value = self.random_bytes();
        let bound = names.len() as u64 * (value.len() as u64 + 300);
        self.unit(&names, self.replaces(bound), |unit, keys| {
            for key in keys {
                unit.put(key, NewString::Copied(&value), None);
            }
            names.iter().map(|(db, key)| put(*db, key, &value, None)).collect()
        })
    }

    fn change_databases(&mut self) -> Result<()> {
        let a = self.random.below(u64::from(DATABASES)) as u32;
        let b = self.random.below(u64::from(DATABASES)) as u32;
        let engine = self.engine.as_ref().expect("open");
        let mut intent = Intent::write(engine.now_ms(), 100);
        intent.frees = true;
        let change = match engine.begin_all(&[], intent) {
            Begin::Ready(mut unit) => {
                let flush = a == b;
                if flush {
                    unit.flush_db(a)
                } else {
                    unit.swap_db(a, b)
                }
                unit.finish();
                if flush { Change::Flush { db: a } } else { Change::Swap { a, b } }
            }
            Begin::Refused(error) => return Err(error),
            Begin::Wait => return engine.sync(),
            Begin::Cold(_) => unreachable!("no key was named"),
        };
        self.history.push(engine.stats().last_lsn, vec![change]);
        Ok(())
    }

    fn read_one(&mut self) -> Result<()> {
        let (db, key) = self.random_key();
        self.check_key(db, &key)
    }

    fn check_key(&mut self, db: u32, name: &[u8]) -> Result<()> {
        let engine = self.engine.as_ref().expect("open");
        let now_ms = engine.now_ms();
        let expected = self.history.get(db, name, now_ms);
        let keys = [engine.key(db, name)];
        loop {
            match engine.begin(&keys, Intent::read(now_ms)) {
                Begin::Ready(mut unit) => {
                    let found = unit.get(&keys[0]).map(|view| {
                        self.reached.note(view.value);
                        let (value, shape) = Content::of(view.value);
                        let kind = ValueKind::of_shape(shape).unwrap_or(ValueKind::String);
                        assert_eq!(kind, value.kind());
                        let was_empty = value.len() == 0;
                        (was_empty, value.at(now_ms), view.expire_at_ms)
                    });
                    let is_left = |(was_empty, value, deadline): (bool, Content, _)| {
                        (was_empty || value.len() > 0).then_some((value, deadline))
                    };
                    let found = found.and_then(is_left);
                    let name = String::from_utf8_lossy(name);
                    assert!(
                        found == expected,
                        "seed {}: db {db} {name}: {} {}",
                        self.seed,
                        brief(found.as_ref()),
                        brief(expected.as_ref())
                    );
                    return Ok(());
                }
                Begin::Cold(cold) => fetch(engine, cold)?,
                Begin::Wait => unreachable!("a read does not wait for the log"),
                Begin::Refused(error) => return Err(error),
            }
        }
    }

    fn scan_all(&mut self) -> Result<()> {
        let db = self.random.below(u64::from(DATABASES)) as u32;
        let count = 1 + self.random.below(12) as usize;
        self.check_scan(db, count)
    }

    fn check_scan(&self, db: u32, count: usize) -> Result<()> {
        let engine = self.engine();
        let mut found = Vec::new();
        let mut cursor = 0;
        loop {
            let page = engine.begin_scan().scan(db, cursor, count)?;
            found.extend(page.keys);
            cursor = page.next;
            if cursor == 0 {
                break;
            }
        }
        found.sort();
        let (live, now_ms) = (self.history.live(db, engine.now_ms()), engine.now_ms());
        // A hash whose fields are all past their deadline is there until somebody removes them.
        found
            .retain(|key| live.contains_key(key) || self.history.stored(db, key, now_ms).is_none());
        let expected: Vec<_> = live.into_keys().collect();
        assert_eq!(found, expected, "seed {}: scan of database {db}", self.seed);
        Ok(())
    }

    /// The power goes: what was not synced may be gone, torn or out of order.
    pub fn crash(&mut self) {
        drop(self.engine.take());
        let seed = self.random.next_u64();
        self.storage = Arc::new(self.storage.crash_clone(seed));
        self.reopen();
    }

    /// The process dies: what was written is there.
    pub fn kill(&mut self) {
        let written = self.engine().stats().written_lsn;
        self.acknowledged = self.acknowledged.max(written);
        drop(self.engine.take());
        self.storage = Arc::new(self.storage.kill_clone());
        self.reopen();
    }

    pub fn close_and_open(&mut self) {
        self.engine().close().expect("nothing is wrong");
        self.acknowledged = self.engine().stats().last_lsn;
        drop(self.engine.take());
        self.reopen();
    }

    fn reopen(&mut self) {
        let back = self.random.below(5000);
        // A clock that steps back must not bring back what was gone.
        self.clock.set_wall_ms(self.clock.wall_ms() - back);
        let engine = self.open().unwrap_or_else(|error| {
            panic!("seed {}: recovery needs no human, but: {error}", self.seed)
        });
        let lsn = engine.stats().last_lsn;
        assert!(
            lsn >= self.acknowledged,
            "seed {}: acknowledged up to LSN {}, recovered to {lsn}",
            self.seed,
            self.acknowledged
        );
        self.history.cut_to(lsn);
        self.acknowledged = lsn;
        self.engine = Some(engine);
        self.note_reopening();
    }

    /// Compares every key, every count and every scan with the model.
    pub fn check_everything(&mut self) {
        for db in 0..DATABASES {
            self.check_scan(db, 1 + db as usize * 5).expect("nothing is wrong");
            for number in 0..24 {
                let tagged = number >= 12;
                let key = if tagged { format!("{{t}}{number}") } else { format!("k{number}") };
                self.check_key(db, key.as_bytes()).expect("nothing is wrong");
                // Fields are removed of hashes in memory, where this one is now.
                self.expire_all();
                self.check_no_field_is_past(db, key.as_bytes());
            }
            self.check_counts(db);
        }
    }

    /// What has expired is removed of a hash that stands in memory, and only that.
    fn check_no_field_is_past(&self, db: u32, name: &[u8]) {
        let engine = self.engine();
        let now_ms = engine.now_ms();
        let keys = [engine.key(db, name)];
        let Begin::Ready(mut unit) = engine.begin(&keys, Intent::read(now_ms)) else {
            panic!("the key was just read");
        };
        if let Some(view) = unit.get(&keys[0]) {
            let (value, _) = Content::of(view.value);
            assert!(value.clone().at(now_ms) == value, "seed {}: a field is past", self.seed);
        }
    }

    /// Removes all that has expired. Where the log had no room at hand, nothing was removed: once
    /// it is synced there is some.
    fn expire_all(&self) {
        loop {
            while self.engine().expire_some().expect("nothing is wrong") > 0 {}
            self.engine().sync().expect("nothing is wrong");
            if self.engine().expire_some().expect("nothing is wrong") == 0 {
                return;
            }
        }
    }

    /// Counts are exact once what has expired is removed.
    fn check_counts(&self, db: u32) {
        let engine = self.engine();
        self.expire_all();
        let now_ms = engine.now_ms();
        let live = self.history.live(db, now_ms);
        let deadlines = live.values().filter(|held| held.1.is_some()).count() as u64;
        let Begin::Ready(mut unit) = engine.begin_all(&[], Intent::read(now_ms)) else {
            panic!("a read of the counts waits for nothing");
        };
        assert_eq!(unit.counts(db), (live.len() as u64, deadlines), "seed {}", self.seed);
    }
}

/// A change of a collection and what it leaves.
struct Edited {
    /// The collection that begins with it.
    begins: Option<Content>,
    edit: Vec<u8>,
    value: Content,
}

/// A change of a collection; of another value, that it goes.
fn random_edited(before: Option<Content>, now_ms: u64, below: Below<'_>) -> Edited {
    let begins = match before {
        None => Some(Content::empty(random_kind(below))),
        Some(_) => None,
    };
    let mut value = begins.clone().or(before).expect("one of both");
    let mut edit = Vec::new();
    if let Content::String(bytes) = &mut value {
        bytes.clear();
    } else {
        edit = random_edit(&value, now_ms, below);
        value.apply(&Edit::from_bytes(&edit).expect("it was encoded here"));
    }
    Edited { begins, edit, value }
}

/// Fetches cold keys as a server would, and reports what went wrong.
fn fetch(engine: &Engine, cold: ColdFetch) -> Result<()> {
    let outcome = Arc::new(Mutex::new(Ok(())));
    let slot = outcome.clone();
    engine.fetch(cold, Box::new(move |done| *slot.lock().unwrap() = done));
    std::mem::replace(&mut *outcome.lock().unwrap(), Ok(()))
}

fn put(db: u32, key: &[u8], value: &[u8], deadline: Option<u64>) -> Change {
    Change::Put { db, key: key.to_vec(), value: Content::String(value.to_vec()), deadline }
}

fn brief(held: Option<&Held>) -> String {
    held.map_or("absent".into(), |(value, deadline)| {
        let shown: String = format!("{value:?}").chars().take(80).collect();
        format!("{} of {} {shown}.. until {deadline:?}", value.kind().name(), value.len())
    })
}
