//! A disk that the database itself has filled (D6): writes are refused before they change anything,
//! deletes go on, what they free comes back without anybody's help, and writes resume.

use std::collections::BTreeMap;

use firn::engine::begin::Intent;
use firn::engine::unit::{NewString, Unit};
use firn::error::Error;
use firn::format::edit::Edit;
use firn::format::record::DeleteReason;
use firn::io::random::Random;
use firn::types::ValueKind;
use firn::value::item::Item;
use firn::value::view::AnyItem;

#[allow(dead_code, reason = "shared with tests of rules")]
#[path = "rules/rig.rs"]
mod rig;

use rig::Rig;

const START_MS: u64 = 1_700_000_000_000;
/// A hash of this many fields is in chunks.
const FIELDS: u64 = 2000;

/// What has to be there: strings, and the fields of one large hash.
#[derive(Default)]
struct Model {
    strings: BTreeMap<String, Vec<u8>>,
    fields: BTreeMap<String, Vec<u8>>,
}

struct Full {
    rig: Rig,
    random: Random,
    model: Model,
}

impl Full {
    fn new(seed: u64, capacity_bytes: u64) -> Full {
        let rig = Rig::new();
        rig.storage.set_capacity_bytes(Some(capacity_bytes));
        Full { rig, random: Random::new(seed), model: Model::default() }
    }

    fn bytes(&mut self, len: u64) -> Vec<u8> {
        // Nothing that a block could be packed by.
        (0..len).map(|_| self.random.below(256) as u8).collect()
    }

    /// One unit; false when it is refused for lack of room.
    fn write(&self, name: &str, frees: bool, body: impl Fn(&mut Unit<'_>)) -> bool {
        let engine = &self.rig.engine;
        let key = engine.key(0, name.as_bytes());
        let intent = Intent { frees, ..Intent::write(engine.now_ms(), 6000) };
        match self.rig.try_begin(&[key], intent) {
            Ok(mut unit) => {
                body(&mut unit);
                unit.finish();
                true
            }
            Err(Error::DiskFull) => false,
            Err(error) => panic!("{error}"),
        }
    }

    /// Sets a key or a field; false when there is no room.
    fn add(&mut self) -> bool {
        let len = 1000 + self.random.below(4000);
        let value = self.bytes(len);
        if self.random.below(4) > 0 {
            let name = format!("key {}", self.random.below(1 << 40));
            let key = self.rig.engine.key(0, name.as_bytes());
            let done = self.write(&name, false, |unit| {
                unit.put(&key, NewString::Copied(&value), None);
            });
            if done {
                self.model.strings.insert(name, value);
            }
            return done;
        }
        let field = format!("field {}", self.random.below(FIELDS));
        let value = value[..100].to_vec();
        let mut items = Vec::new();
        Item::new(field.as_bytes(), &value).encode(&mut items);
        let key = self.rig.engine.key(0, b"hash");
        let done = self.write("hash", false, |unit| {
            unit.edit(&key, ValueKind::Hash.shape(1), Edit::Put { items: &items });
        });
        if done {
            self.model.fields.insert(field, value);
        }
        done
    }

    /// Deletes a key; false when there is no room even for that.
    fn delete_one(&mut self) -> bool {
        let count = self.model.strings.len() as u64;
        let skip = self.random.below(count) as usize;
        let name = self.model.strings.keys().nth(skip).unwrap().clone();
        let key = self.rig.engine.key(0, name.as_bytes());
        let done = self.write(&name, true, |unit| {
            assert!(unit.delete(&key, DeleteReason::Command));
        });
        if done {
            self.model.strings.remove(&name);
        }
        done
    }

    /// What the threads of a server do by themselves.
    fn maintain(&self) {
        let engine = &self.rig.engine;
        engine.checkpoint().unwrap();
        while engine.compact().unwrap() {}
        // Nothing stays in memory: what comes back comes from the parts.
        engine.reload().unwrap();
    }

    /// Writes until checkpoints and merges bring no more room; how many passed.
    fn fill(&mut self) -> usize {
        let mut count = 0;
        let mut idle = 0;
        while idle < 3 {
            match self.add() {
                true => (count, idle) = (count + 1, 0),
                false => {
                    self.maintain();
                    idle += 1;
                }
            }
        }
        count
    }

    fn assert_all_there(&self) {
        let Model { strings, fields } = &self.model;
        for (name, value) in strings {
            assert!(self.rig.read(name.as_bytes()).0.as_ref() == Some(value), "{name}");
        }
        let key = self.rig.engine.key(0, b"hash");
        let mut unit = self.rig.begin(&[key], Intent::read(self.rig.engine.now_ms()));
        let view = unit.get(&key).expect("the hash is there");
        let mut found = BTreeMap::new();
        for item in view.value.items() {
            let AnyItem::Field(item) = item else { panic!("{item:?}") };
            found.insert(String::from_utf8(item.member.to_vec()).unwrap(), item.payload.to_vec());
        }
        drop(unit);
        assert!(found == *fields, "the hash differs");
        assert_eq!(self.rig.counts().0, strings.len() as u64 + 1);
    }
}

#[test]
fn what_deletes_free_comes_back_on_a_disk_that_the_data_have_filled() {
    for seed in 0..3 {
        let mut full = Full::new(seed, 12 << 20);
        let first = full.fill();
        assert!(first > 1000, "seed {seed}: {first} writes filled the disk");
        for round in 0..4 {
            let half = full.model.strings.len() / 2;
            for _ in 0..half {
                let mut tries = 0;
                while !full.delete_one() {
                    full.maintain();
                    tries += 1;
                    assert!(tries < 3, "seed {seed}, round {round}: a delete is refused");
                }
            }
            let again = full.fill();
            assert!(again * 2 > half, "seed {seed}, round {round}: {half} went, {again} came");
            full.assert_all_there();
            if round % 2 == 1 {
                full.rig.engine.sync().unwrap();
                full.rig = full.rig.after_kill();
                full.assert_all_there();
            }
        }
    }
}
