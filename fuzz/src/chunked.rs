//! A small database whose values do not fit into one piece: strings in pages, and collections of
//! every kind in several chunks, which come and go between its checkpoints.

use std::ops::Range;
use std::sync::Arc;

use firn::engine::Engine;
use firn::engine::unit::NewString;
use firn::format::edit::Edit;
use firn::format::record::DeleteReason;
use firn::io::random::Random;
use firn::io::sim::SimStorage;
use firn::types::ValueKind;
use firn::value::item::Item;
use firn::value::stream_chunk::NewEntry;
use firn::value::stream_fact::{ConsumerState, Delivery, Fact, GroupState, Holder};
use firn::value::stream_id::StreamId;
use firn::value::{list_item, score};

use crate::every_kind::{KINDS, NOW_MS, copy_staged, open, write};

/// Items of a collection, at first.
const ITEMS: u64 = 270;
/// Entries of the stream, at first.
const ENTRIES: u64 = 40;
/// Entries of one of its chunks.
const ENTRIES_OF_A_CHUNK: u64 = 10;
/// Entries that are pending, so many that they take several chunks, too.
const PENDING: u64 = 270;
/// A string of this length has two pages.
const STRING_BYTES: usize = 70_000;

/// A database of two parts and a log that goes on behind them. The second part has of most values
/// but the chunks that changed.
pub fn database() -> SimStorage {
    let storage = Arc::new(SimStorage::new(1));
    let engine = open(storage.clone()).expect("an empty storage opens");
    fill(&engine);
    engine.checkpoint().expect("the simulation has no fault");
    shrink(&engine);
    engine.checkpoint().expect("the simulation has no fault");
    grow_again(&engine);
    engine.sync().expect("the simulation has no fault");
    storage.kill_clone()
}

/// The same life without a checkpoint: all of it is in the log.
#[cfg(test)]
pub fn logged() -> SimStorage {
    let storage = Arc::new(SimStorage::new(1));
    let engine = open(storage.clone()).unwrap();
    fill(&engine);
    shrink(&engine);
    grow_again(&engine);
    engine.sync().unwrap();
    storage.kill_clone()
}

/// Names of all keys, those of collections first.
pub fn names() -> Vec<Vec<u8>> {
    let kinds = KINDS.iter().map(|(name, _)| name.as_bytes());
    let others = [&b"stream"[..], b"string", b"made again", b"copy"];
    kinds.chain(others).map(<[u8]>::to_vec).collect()
}

fn fill(engine: &Engine) {
    for (name, kind) in KINDS {
        edit(engine, name.as_bytes(), kind, &added(kind, 0..ITEMS));
    }
    for number in 1..=ENTRIES {
        append(engine, number);
    }
    let mut facts = Vec::new();
    let state = GroupState { number: 0, last_id: id(ENTRIES), entries_read: Some(ENTRIES) };
    Fact::Group { name: b"group", state }.encode(&mut facts);
    let state = ConsumerState { number: 0, seen_ms: 1, active_ms: None };
    Fact::Consumer { group: 0, name: b"consumer", state }.encode(&mut facts);
    for number in 1..=PENDING {
        let holder = Holder::Consumer { at_ms: 1, number: 0 };
        let delivery = Delivery { holder, count: 1 };
        Fact::Pending { group: 0, id: id(number), delivery }.encode(&mut facts);
    }
    let stream = ValueKind::Stream;
    edit(engine, b"stream", stream, &Edit::Put { items: &facts }.to_bytes());
    edit(engine, b"made again", ValueKind::List, &added(ValueKind::List, 0..ITEMS));
    put_range(engine, STRING_BYTES as u64);
}

/// Takes chunks away, and makes one collection anew, whose chunks of before are nobody's.
fn shrink(engine: &Engine) {
    edit(engine, b"list", ValueKind::List, &Edit::Cut { index: 50, count: 200 }.to_bytes());
    for kind in [ValueKind::Set, ValueKind::Zset, ValueKind::Hash] {
        let name = kind.name().as_bytes();
        let members = items(ValueKind::Set, 20..ITEMS - 20);
        edit(engine, name, kind, &Edit::Remove { members: &members }.to_bytes());
    }
    let trim = Edit::Trim { count: ENTRIES_OF_A_CHUNK + 5 }.to_bytes();
    edit(engine, b"stream", ValueKind::Stream, &trim);
    write(engine, &[b"made again"], |unit, keys| {
        unit.delete(&keys[0], DeleteReason::Command);
    });
    edit(engine, b"made again", ValueKind::List, &added(ValueKind::List, 9..ITEMS));
    put_range(engine, 5);
}

fn grow_again(engine: &Engine) {
    for (name, kind) in KINDS {
        edit(engine, name.as_bytes(), kind, &added(kind, ITEMS..ITEMS + 20));
    }
    append(engine, ENTRIES + 1);
    copy_staged(engine, b"made again", b"copy");
}

fn edit(engine: &Engine, name: &[u8], kind: ValueKind, bytes: &[u8]) {
    write(engine, &[name], |unit, keys| {
        unit.edit(&keys[0], kind.shape(1), Edit::from_bytes(bytes).expect("it was encoded here"));
    });
}

/// The change that adds items with these numbers.
fn added(kind: ValueKind, numbers: Range<u64>) -> Vec<u8> {
    let items = items(kind, numbers);
    match kind {
        ValueKind::List => Edit::Push { front: false, elements: &items }.to_bytes(),
        _ => Edit::Put { items: &items }.to_bytes(),
    }
}

/// Items that cannot be compressed: a part then has them as they are, where mutations meet them.
fn items(kind: ValueKind, numbers: Range<u64>) -> Vec<u8> {
    let mut items = Vec::new();
    for number in numbers {
        let (name, value) = random_texts(number);
        match kind {
            ValueKind::List => list_item::encode(&name, &mut items),
            ValueKind::Set => Item::new(&name, b"").encode(&mut items),
            ValueKind::Zset => {
                let score = f64::from(u32::from_le_bytes([0, 1, 2, 3].map(|at| value[at])));
                Item::new(&name, &score::encode(score)).encode(&mut items);
            }
            _ => {
                let deadline_ms = number.is_multiple_of(7).then_some(2 * NOW_MS);
                Item { member: &name, payload: &value, deadline_ms }.encode(&mut items);
            }
        }
    }
    items
}

/// Of some length each.
fn random_texts(number: u64) -> (Vec<u8>, Vec<u8>) {
    let mut random = Random::new(number);
    let mut texts = [(); 2].map(|()| vec![0; 10 + random.below(10) as usize]);
    texts.iter_mut().for_each(|text| random.fill(text));
    let [name, value] = texts;
    (name, value)
}

fn append(engine: &Engine, number: u64) {
    let mut entry = Vec::new();
    let (field, value) = random_texts(number);
    NewEntry::encode(id(number), 1, [&field[..], &value].into_iter(), &mut entry);
    let begins_chunk = number.is_multiple_of(ENTRIES_OF_A_CHUNK);
    let append = Edit::Append { begins_chunk, entry: &entry }.to_bytes();
    edit(engine, b"stream", ValueKind::Stream, &append);
}

/// Writes a few bytes of the string, which is zeros before them.
fn put_range(engine: &Engine, offset: u64) {
    write(engine, &[b"string"], |unit, keys| {
        if unit.get(&keys[0]).is_none() {
            unit.put(&keys[0], NewString::Copied(b"string"), None);
        }
        unit.write_range(&keys[0], offset, NewString::Copied(b"range"));
    });
}

fn id(ms: u64) -> StreamId {
    StreamId { ms, seq: 0 }
}
