//! A database on simulated storage, and what tests of rules do with it.

use firn::engine::Engine;
use firn::engine::begin::{Begin, ColdFetch, Finished, Intent};
use firn::engine::unit::{Key, NewString, Unit, ValueRef};
use firn::error::Result;
use firn::format::edit::Edit;
use firn::format::record::DeleteReason;
use firn::io::clock::SimClock;
use firn::io::sim::SimStorage;
use firn::io::{Clock, Storage};
use firn::options::Options;
use firn::types::{Durability, ValueKind};
use firn::value::collection::Collection;
use firn::value::list_item;
use firn::value::view::AnyItem;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::START_MS;

/// A database without threads, whose writes are durable when a test says so.
pub struct Rig {
    pub storage: SimStorage,
    pub clock: Arc<SimClock>,
    pub engine: Engine,
}

impl Rig {
    pub fn new() -> Rig {
        Rig::on(SimStorage::new(1), SimClock::new(START_MS))
    }

    pub fn on(storage: SimStorage, clock: SimClock) -> Rig {
        let clock = Arc::new(clock);
        let mut options = Options::new("");
        options.background = false;
        options.partitions = 4;
        options.durability = Durability::No;
        options.segment_bytes_min = 64 << 10;
        options.segment_bytes_max = 64 << 10;
        options.stage_bytes = 8 << 10;
        options.seed = Some(7);
        let engine = Engine::open_on(Arc::new(storage.clone()), clock.clone(), options);
        Rig { storage, clock, engine: engine.expect("recovery needs no human") }
    }

    /// The power goes, and comes back: of what was not synced, `seed` says what is left.
    pub fn after_power_cut(self, seed: u64) -> Rig {
        let storage = self.storage.crash_clone(seed);
        Rig::on(storage, SimClock::new(self.clock.wall_ms()))
    }

    /// The process dies and starts again.
    pub fn after_kill(self) -> Rig {
        let storage = self.storage.kill_clone();
        Rig::on(storage, SimClock::new(self.clock.wall_ms()))
    }

    pub fn begin<'e>(&'e self, keys: &[Key<'_>], intent: Intent) -> Unit<'e> {
        self.try_begin(keys, intent).unwrap_or_else(|error| panic!("{error}"))
    }

    /// A unit, or why it may not run; what it waits for does not fail.
    pub fn try_begin<'e>(&'e self, keys: &[Key<'_>], intent: Intent) -> Result<Unit<'e>> {
        loop {
            match self.engine.begin(keys, intent) {
                Begin::Ready(unit) => return Ok(unit),
                Begin::Cold(cold) => fetch(&self.engine, cold).unwrap(),
                Begin::Wait => self.engine.sync().unwrap(),
                Begin::Refused(error) => return Err(error),
            }
        }
    }

    pub fn write(&self, name: &[u8], body: impl FnOnce(&mut Unit<'_>, &Key<'_>)) -> Finished {
        let key = self.engine.key(0, name);
        let mut unit = self.begin(&[key], Intent::write(self.engine.now_ms(), 1000));
        body(&mut unit, &key);
        unit.finish()
    }

    /// Pushes elements to a list, which may be new.
    pub fn push(&self, name: &[u8], elements: &[String]) {
        let mut bytes = Vec::new();
        elements.iter().for_each(|element| list_item::encode(element.as_bytes(), &mut bytes));
        let key = self.engine.key(0, name);
        let intent = Intent::write(self.engine.now_ms(), bytes.len() as u64 + 1000);
        let mut unit = self.begin(&[key], intent);
        let edit = Edit::Push { front: false, elements: &bytes };
        unit.edit(&key, ValueKind::List.shape(0), edit);
        unit.finish();
    }

    pub fn list(&self, name: &[u8]) -> Vec<String> {
        let key = self.engine.key(0, name);
        let mut unit = self.begin(&[key], Intent::read(self.engine.now_ms()));
        let view = unit.get(&key).expect("the list is there");
        let text = |item: AnyItem<'_>| {
            let AnyItem::Element(element) = item else { panic!("{item:?}") };
            String::from_utf8(element.to_vec()).unwrap()
        };
        view.value.items().map(text).collect()
    }

    /// Whether `key` was read without being loaded, and which of the members it has.
    pub fn aside(&self, members: &[&[u8]; 3]) -> (bool, [bool; 3]) {
        let key = self.engine.key(0, b"key");
        let now_ms = self.engine.now_ms();
        let Begin::Cold(cold) = self.engine.begin(&[key], Intent::read(now_ms)) else {
            return (false, [false; 3]);
        };
        let mut unit = self.engine.begin_aside(cold, &key, members, now_ms).unwrap();
        let view = unit.get(&key).expect("the key is there");
        let ValueRef::Collection(collection) = view.value else { panic!("it is large") };
        let found = members.map(|member| match collection {
            Collection::Hash(hash) => hash.get(member).is_some_and(|item| item.payload == member),
            Collection::Set(set) => set.get(member).is_some(),
            Collection::Zset(zset) => {
                let number = zset.score(member).map(|score| format!("member {score}"));
                number.is_some_and(|number| number.as_bytes() == member)
            }
            _ => panic!("{collection:?}"),
        });
        drop(unit);
        let is_cold = matches!(self.engine.begin(&[key], Intent::read(now_ms)), Begin::Cold(_));
        (is_cold, found)
    }

    /// Items of a collection, none where there is no key.
    pub fn item_count(&self, name: &[u8]) -> Option<u64> {
        let key = self.engine.key(0, name);
        let mut unit = self.begin(&[key], Intent::read(self.engine.now_ms()));
        unit.get(&key).map(|view| view.value.items().count() as u64)
    }

    pub fn set(&self, name: &[u8], value: &[u8], deadline: Option<u64>) -> Finished {
        let key = self.engine.key(0, name);
        let intent = Intent::write(self.engine.now_ms(), value.len() as u64 + 1000);
        let mut unit = self.begin(&[key], intent);
        unit.put(&key, NewString::Copied(value), deadline);
        unit.finish()
    }

    pub fn append(&self, name: &[u8], bytes: &[u8]) {
        self.write(name, |unit, key| {
            let len = unit.get(key).map_or(0, |view| view.value.size().bytes);
            match len {
                0 => unit.put(key, NewString::Copied(bytes), None),
                len => unit.write_range(key, len, NewString::Copied(bytes)),
            }
        });
    }

    pub fn delete(&self, name: &[u8]) -> Finished {
        self.write(name, |unit, key| assert!(unit.delete(key, DeleteReason::Command)))
    }

    /// The value, and the LSN that a reply with it has to wait for.
    pub fn read(&self, name: &[u8]) -> (Option<Vec<u8>>, u64) {
        let key = self.engine.key(0, name);
        let mut unit = self.begin(&[key], Intent::read(self.engine.now_ms()));
        let value = unit.get(&key).map(|view| {
            let ValueRef::String(value) = view.value else { panic!("no string") };
            value.to_vec()
        });
        (value, unit.finish().observed)
    }

    pub fn get(&self, name: &[u8]) -> Option<String> {
        self.read(name).0.map(|value| String::from_utf8(value).unwrap())
    }

    /// Keys, and keys with a deadline.
    pub fn counts(&self) -> (u64, u64) {
        match self.engine.begin_all(&[], Intent::read(self.engine.now_ms())) {
            Begin::Ready(mut unit) => unit.counts(0),
            _ => panic!("a read of the counts waits for nothing"),
        }
    }

    /// Flips a bit of the parts where these bytes stand.
    pub fn damage(&self, wanted: &[u8]) {
        let folder = Path::new("parts");
        for name in self.storage.list(folder).unwrap() {
            let path = folder.join(name);
            let bytes = self.storage.bytes(&path).unwrap();
            if let Some(at) = bytes.windows(wanted.len()).position(|window| window == wanted) {
                return self.storage.flip_bit(&path, 8 * at as u64);
            }
        }
        panic!("no part has these bytes as they are");
    }

    /// Everything to the parts and out of memory.
    pub fn chill(&self) {
        self.engine.checkpoint().unwrap();
        self.engine.reload().unwrap();
    }
}

pub fn fetch(engine: &Engine, cold: ColdFetch) -> Result<()> {
    let outcome = Arc::new(Mutex::new(Ok(())));
    let slot = outcome.clone();
    engine.fetch(cold, Box::new(move |done| *slot.lock().unwrap() = done));
    std::mem::replace(&mut *outcome.lock().unwrap(), Ok(()))
}
