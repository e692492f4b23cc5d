//! A small data directory with all kinds of records, rows and sections, and what it holds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::content::Content;
use firn::engine::Engine;
use firn::engine::begin::{Begin, Intent};
use firn::engine::staging::{Copying, WholeCopy};
use firn::engine::unit::{Key, NewString, Unit};
use firn::error::Result;
use firn::format::edit::Edit;
use firn::format::record::DeleteReason;
use firn::io::clock::SimClock;
use firn::io::sim::SimStorage;
use firn::options::Options;
use firn::types::ValueKind;
use firn::value::item::Item;
use firn::value::list_item;
use firn::value::score;
use firn::value::stream_chunk::{NewEntry, Numbers};
use firn::value::stream_fact::{
    Added, ConsumerState, Delivery, Fact, GroupState, Holder, Idempotence, Topic,
};
use firn::value::stream_id::StreamId;

pub const NOW_MS: u64 = 1_700_000_000_000;

/// None stands for a key that could not be read.
pub type Held = BTreeMap<Vec<u8>, Option<(Content, Option<u64>)>>;

pub const KINDS: [(&str, ValueKind); 4] = [
    ("list", ValueKind::List),
    ("set", ValueKind::Set),
    ("zset", ValueKind::Zset),
    ("hash", ValueKind::Hash),
];

pub fn open(storage: Arc<SimStorage>) -> Result<Engine> {
    let mut options = Options::new("");
    options.background = false;
    options.databases = 2;
    options.partitions = 2;
    options.stage_bytes = 1 << 10;
    options.seed = Some(1);
    options.segment_bytes_min = 16 << 10;
    options.segment_bytes_max = 16 << 10;
    Engine::open_on(storage, Arc::new(SimClock::new(NOW_MS)), options)
}

pub fn write(engine: &Engine, names: &[&[u8]], body: impl Fn(&mut Unit<'_>, &[Key<'_>])) {
    let keys: Vec<Key<'_>> = names.iter().map(|name| engine.key(0, name)).collect();
    loop {
        match engine.begin(&keys, Intent::write(NOW_MS, 300_000)) {
            Begin::Ready(mut unit) => {
                body(&mut unit, &keys);
                unit.finish();
                return;
            }
            Begin::Cold(fetch) => engine.fetch(fetch, Box::new(|done| done.unwrap())),
            Begin::Wait => engine.sync().unwrap(),
            Begin::Refused(error) => panic!("{error}"),
        }
    }
}

/// Copies a large collection, which is logged ahead.
pub fn copy_staged(engine: &Engine, from: &[u8], to: &[u8]) {
    let keys = [engine.key(0, from), engine.key(0, to)];
    let mut staged = Vec::new();
    for _ in 0..2 {
        let copying = Copying {
            bytes: &|_, is_staged| u64::from(!is_staged(0)) << 20,
            wholes: &[WholeCopy { from: 0, to: 1, keeps: false }],
            staged: &staged,
        };
        match engine.begin_copying(&keys, false, Intent::write(NOW_MS, 1000), Some(&copying)) {
            Err(order) => staged.push(Arc::new(engine.stage(*order, &|| true).unwrap())),
            Ok(Begin::Ready(mut unit)) if !staged.is_empty() => {
                return unit.copy(&keys[0], &keys[1]);
            }
            Ok(_) => panic!("it is large, there is room, and nothing is cold"),
        }
    }
    panic!("what has been staged is there");
}

pub fn put(engine: &Engine, name: &[u8], value: &[u8], deadline: Option<u64>) {
    write(engine, &[name], |unit, keys| unit.put(&keys[0], NewString::Copied(value), deadline));
}

/// The change that adds items with these numbers. The first of a list or a set has a length of its
/// own, so that what holds it is plain, and the rest uniform.
fn added(kind: ValueKind, numbers: std::ops::Range<u64>) -> Vec<u8> {
    let mut items = Vec::new();
    for number in numbers {
        let is_odd = number == 0 && matches!(kind, ValueKind::List | ValueKind::Set);
        let name =
            format!("item {number:0width$}", width = if is_odd { 6 } else { 4 }).into_bytes();
        match kind {
            ValueKind::List => list_item::encode(&name, &mut items),
            ValueKind::Set => Item::new(&name, b"").encode(&mut items),
            ValueKind::Zset => Item::new(&name, &score::encode(1.5)).encode(&mut items),
            _ => Item { member: &name, payload: b"value", deadline_ms: Some(NOW_MS * 2) }
                .encode(&mut items),
        }
    }
    match kind {
        ValueKind::List => Edit::Push { front: true, elements: &items }.to_bytes(),
        _ => Edit::Put { items: &items }.to_bytes(),
    }
}

/// A small and a large collection of every kind, the lists in two chunks, changed `round` by round.
pub fn change_collections(engine: &Engine, round: u64) {
    for (name, kind) in KINDS {
        let large = if kind == ValueKind::List { 260 } else { 140 };
        for (size, count) in [("small", 2), ("large", large)] {
            let name = format!("{size} {name}");
            let numbers = if round == 0 { 0..count } else { count + round..count + round + 1 };
            let edit = added(kind, numbers);
            write(engine, &[name.as_bytes()], |unit, keys| {
                unit.edit(&keys[0], kind.shape(1), Edit::from_bytes(&edit).unwrap());
            });
        }
    }
}

/// A stream in two chunks with a group, changed `round` by round.
pub fn change_stream(engine: &Engine, round: u64) {
    let shape = ValueKind::Stream.shape(0);
    let id = |ms| StreamId { ms, seq: 0 };
    let (mut ids, mut facts, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
    let change = |edit: Edit<'_>| {
        write(engine, &[b"stream"], |unit, keys| unit.edit(&keys[0], shape, edit));
    };
    for ms in 1 + 20 * round..21 + 20 * round {
        let mut entry = Vec::new();
        NewEntry::encode(id(ms), 1, [&b"field"[..], b"value"].into_iter(), &mut entry);
        change(Edit::Append { begins_chunk: ms == 15, entry: &entry });
    }
    let state = GroupState { number: 0, last_id: id(round), entries_read: Some(round) };
    Fact::Group { name: b"group", state }.encode(&mut facts);
    let state = ConsumerState { number: 0, seen_ms: NOW_MS, active_ms: None };
    Fact::Consumer { group: 0, name: b"consumer", state }.encode(&mut facts);
    for ms in 1..10 {
        let holder = match ms % 4 {
            1 => Holder::Nobody { place: ms },
            _ => Holder::Consumer { at_ms: NOW_MS, number: 0 },
        };
        let delivery = Delivery { holder, count: 1 + round };
        Fact::Pending { group: 0, id: id(ms), delivery }.encode(&mut facts);
    }
    let state = Idempotence { added: round, ..Idempotence::default() };
    Fact::Idempotence { state }.encode(&mut facts);
    Fact::Producer { number: 0, name: b"producer" }.encode(&mut facts);
    let name = format!("name {round}");
    let added = Added { producer: 0, id: id(1 + round), name: name.as_bytes() };
    Fact::Added { number: round, added }.encode(&mut facts);
    change(Edit::Put { items: &facts });
    let topic = Topic::Pending { group: 0, id: id(3) }.encode();
    let mut gone = Vec::new();
    Item::new(&topic, b"").encode(&mut gone);
    change(Edit::Remove { members: &gone });
    id(7 + round).encode(&mut ids);
    change(Edit::Delete { ids: &ids });
    change(Edit::Trim { count: 1 });
    Numbers { last_id: id(100 * round + 99), max_deleted_id: id(50), entries_added: 500 }
        .encode(&mut numbers);
    if round == 2 {
        change(Edit::Renumber { numbers: &numbers });
    }
}

/// All kinds of records, rows and sections, in the log and in two parts.
pub fn build() -> SimStorage {
    let storage = Arc::new(SimStorage::new(1));
    let engine = open(storage.clone()).unwrap();
    let large: Vec<u8> = (0..70_000u32).map(|i| (i % 251) as u8).collect();
    put(&engine, b"paged", &large, None);
    put(&engine, b"kept", b"from the first part", Some(NOW_MS + 1_000_000));
    put(&engine, b"gone", b"soon deleted", None);
    change_collections(&engine, 0);
    change_stream(&engine, 0);
    engine.checkpoint().unwrap();
    put(&engine, b"flat", &large[..3000], None);
    write(&engine, &[b"gone"], |unit, keys| {
        unit.delete(&keys[0], DeleteReason::Command);
    });
    write(&engine, &[b"paged"], |unit, keys| {
        unit.write_range(&keys[0], 66_000, NewString::Copied(b"changed"));
    });
    change_collections(&engine, 1);
    change_stream(&engine, 1);
    engine.checkpoint().unwrap();
    change_collections(&engine, 2);
    change_stream(&engine, 2);
    put(&engine, b"logged", b"only in the log", None);
    put(&engine, b"to be renamed", b"elsewhere", None);
    write(&engine, &[b"to be renamed", b"renamed"], |unit, keys| unit.rename(&keys[0], &keys[1]));
    write(&engine, &[b"flat"], |unit, keys| unit.set_expiry(&keys[0], Some(NOW_MS + 5_000_000)));
    write(&engine, &[b"kept"], |unit, keys| {
        unit.write_range(&keys[0], 5, NewString::Copied(b"THE"));
    });
    copy_staged(&engine, b"large set", b"staged");
    engine.sync().unwrap();
    engine.write_witness().unwrap();
    storage.kill_clone()
}

/// Every key that can be read, and whether some read failed. An error is an answer; silence is not.
pub fn read_all(engine: &Engine, names: &[Vec<u8>]) -> (Held, usize) {
    let (mut held, mut failures) = (Held::new(), 0);
    for name in names {
        match read(engine, name) {
            Ok(Some(value)) => drop(held.insert(name.clone(), Some(value))),
            Ok(None) => {}
            Err(_) => {
                failures += 1;
                held.insert(name.clone(), None);
            }
        }
    }
    (held, failures)
}

fn read(engine: &Engine, name: &[u8]) -> Result<Option<(Content, Option<u64>)>> {
    let keys = [engine.key(0, name)];
    loop {
        match engine.begin(&keys, Intent::read(NOW_MS)) {
            Begin::Ready(mut unit) => {
                let view = unit.get(&keys[0]);
                return Ok(view.map(|view| (Content::of(view.value).0, view.expire_at_ms)));
            }
            Begin::Cold(fetch) => {
                let failed = Arc::new(Mutex::new(None));
                let slot = failed.clone();
                engine.fetch(fetch, Box::new(move |done| *slot.lock().unwrap() = done.err()));
                if let Some(error) = failed.lock().unwrap().take() {
                    return Err(error);
                }
            }
            Begin::Wait => unreachable!("a read does not wait for the log"),
            Begin::Refused(error) => return Err(error),
        }
    }
}

pub fn scan(engine: &Engine) -> Result<Vec<Vec<u8>>> {
    let (mut keys, mut cursor) = (Vec::new(), 0);
    loop {
        let page = engine.scan(0, cursor, 10)?;
        keys.extend(page.keys);
        cursor = page.next;
        if cursor == 0 {
            keys.sort();
            return Ok(keys);
        }
    }
}

/// Names of all keys that there are, and of some that are gone.
pub fn names() -> Vec<Vec<u8>> {
    let plain = [&b"paged"[..], b"kept", b"gone", b"flat", b"logged", b"to be renamed", b"renamed"];
    let mut names: Vec<Vec<u8>> = plain.iter().map(|name| name.to_vec()).collect();
    names.extend([&b"stream"[..], b"staged"].map(<[u8]>::to_vec));
    for (kind, _) in KINDS {
        names.extend(["small", "large"].map(|size| format!("{size} {kind}").into_bytes()));
    }
    names
}
