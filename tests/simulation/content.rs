//! What a key holds, as a naive model, and random changes of it. The simulation of the keyspace
//! (`src/keyspace/simulation.rs`) uses this file, too.

use std::collections::{BTreeMap, BTreeSet};

use firn::engine::unit::{ValueHandle, ValueRef};
use firn::format::edit::Edit;
use firn::limits::{PACKED_BYTES_MAX, PACKED_ITEMS_MAX};
use firn::types::{HashSeed, ValueKind};
use firn::value::chunks::ChunkSet;
use firn::value::collection::Collection;
use firn::value::item::Item;
use firn::value::list_item;
use firn::value::members::MemberHasher;
use firn::value::packed;
use firn::value::score;
use firn::value::view::AnyItem;

use super::stream_content::StreamContent;

/// Different members that random changes draw from.
pub const MEMBERS: u64 = 700;
/// Deadlines of fields are so far ahead at most, in milliseconds.
pub const FIELD_LIFE_MS: u64 = 600;

/// A value.
#[derive(Clone, PartialEq, Debug)]
pub enum Content {
    String(Vec<u8>),
    List(Vec<Vec<u8>>),
    Set(BTreeSet<Vec<u8>>),
    Zset(BTreeMap<Vec<u8>, f64>),
    Hash(BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>),
    Stream(StreamContent),
}

/// Numbers below a bound, from wherever the choices of a simulation come.
pub type Below<'a> = &'a mut dyn FnMut(u64) -> u64;

impl Content {
    /// An empty collection.
    pub fn empty(kind: ValueKind) -> Content {
        match kind {
            ValueKind::List => Content::List(Vec::new()),
            ValueKind::Set => Content::Set(BTreeSet::new()),
            ValueKind::Zset => Content::Zset(BTreeMap::new()),
            ValueKind::Hash => Content::Hash(BTreeMap::new()),
            ValueKind::Stream => Content::Stream(StreamContent::default()),
            _ => panic!("no collection"),
        }
    }

    /// A value as the engine shows it, and the byte of kind and encoding of a collection.
    pub fn of(value: ValueRef<'_>) -> (Content, u8) {
        let shape = match value {
            ValueRef::String(string) => return (Content::String(string.to_vec()), 0),
            ValueRef::Packed(blob) => packed::shape(blob),
            ValueRef::Collection(collection) => collection.shape(),
        };
        let mut content = Content::empty(value.kind());
        if let ValueRef::Collection(Collection::Stream(stream)) = value {
            content = Content::Stream(StreamContent::of(stream));
        }
        let mut count = 0;
        let mut last = None;
        for item in value.items() {
            count += 1;
            match (&mut content, item) {
                (Content::List(list), AnyItem::Element(element)) => list.push(element.to_vec()),
                (Content::Set(set), AnyItem::Member(member)) => drop(set.insert(member.to_vec())),
                (Content::Zset(zset), AnyItem::Scored(score, member)) => {
                    let here = Some((score, member.to_vec()));
                    assert!(last < here, "a sorted set is in order");
                    last = here;
                    zset.insert(member.to_vec(), score);
                }
                (Content::Hash(hash), AnyItem::Field(item)) => {
                    hash.insert(item.member.to_vec(), (item.payload.to_vec(), item.deadline_ms));
                }
                (Content::Stream(stream), AnyItem::Entry(entry)) => stream.note_entry(&entry),
                (Content::Stream(stream), AnyItem::Fact(fact)) => stream.note_fact(&fact),
                (content, item) => panic!("{item:?} in {content:?}"),
            }
        }
        assert_eq!(content.len(), count, "each member once");
        (content, shape)
    }

    /// What it is.
    pub fn kind(&self) -> ValueKind {
        match self {
            Content::String(_) => ValueKind::String,
            Content::List(_) => ValueKind::List,
            Content::Set(_) => ValueKind::Set,
            Content::Zset(_) => ValueKind::Zset,
            Content::Hash(_) => ValueKind::Hash,
            Content::Stream(_) => ValueKind::Stream,
        }
    }

    /// Items of a collection, bytes of a string.
    pub fn len(&self) -> usize {
        match self {
            Content::String(bytes) => bytes.len(),
            Content::List(list) => list.len(),
            Content::Set(set) => set.len(),
            Content::Zset(zset) => zset.len(),
            Content::Hash(hash) => hash.len(),
            Content::Stream(stream) => stream.len(),
        }
    }

    /// A bound of what a record of the whole value takes, in bytes.
    pub fn record_bytes(&self) -> u64 {
        let bytes = match self {
            Content::String(bytes) => bytes.len(),
            Content::List(list) => list.iter().map(|element| element.len() + 20).sum(),
            Content::Set(set) => set.iter().map(|member| member.len() + 20).sum(),
            Content::Zset(zset) => zset.keys().map(|member| member.len() + 30).sum(),
            Content::Hash(hash) => {
                hash.iter().map(|(field, value)| field.len() + value.0.len() + 30).sum()
            }
            Content::Stream(stream) => stream.record_bytes(),
        };
        bytes as u64 + 200
    }

    /// What is left of it at a time: a hash without the fields that are past their deadline.
    pub fn at(mut self, now_ms: u64) -> Content {
        if let Content::Hash(hash) = &mut self {
            hash.retain(|_, (_, deadline_ms)| deadline_ms.is_none_or(|at| at > now_ms));
        }
        self
    }

    /// The kind and encoding that it is given when it is written; the encoding tells little, but
    /// changes.
    pub fn shape(&self) -> u8 {
        self.kind().shape(1 + (self.len() / 100 % 15) as u8)
    }

    /// Changes a collection.
    pub fn apply(&mut self, edit: &Edit<'_>) {
        match (self, *edit) {
            (Content::List(list), Edit::Push { front, elements }) => {
                for element in list_item::Elements::new(elements) {
                    list.insert(if front { 0 } else { list.len() }, element.to_vec());
                }
            }
            (Content::List(list), Edit::Cut { index, count }) => {
                drop(list.drain(index as usize..(index + count) as usize));
            }
            (Content::List(list), Edit::Set { index, element }) => {
                list[index as usize] = element.to_vec();
            }
            (Content::List(list), Edit::Insert { index, element }) => {
                list.insert(index as usize, element.to_vec());
            }
            (Content::Stream(stream), edit) => stream.apply(&edit),
            (content, Edit::Put { items }) => items_of(items).for_each(|item| content.put(&item)),
            (content, Edit::Remove { members }) => {
                items_of(members).for_each(|item| content.remove(item.member));
            }
            (content, edit) => panic!("{edit:?} of {content:?}"),
        }
    }

    fn put(&mut self, item: &Item<'_>) {
        let member = item.member.to_vec();
        match self {
            Content::Set(set) => drop(set.insert(member)),
            Content::Zset(zset) => {
                zset.insert(member, score::decode(item.payload).expect("a score"));
            }
            Content::Hash(hash) => {
                hash.insert(member, (item.payload.to_vec(), item.deadline_ms));
            }
            _ => panic!("no members"),
        }
    }

    /// What goes with a member: nothing, its score, or the value of the field.
    pub fn payload_of(&self, member: &[u8]) -> Option<Vec<u8>> {
        match self {
            Content::Set(set) => set.contains(member).then(Vec::new),
            Content::Zset(zset) => zset.get(member).map(|score| score::encode(*score).to_vec()),
            Content::Hash(hash) => hash.get(member).map(|(payload, _)| payload.clone()),
            _ => panic!("no members"),
        }
    }

    fn remove(&mut self, member: &[u8]) {
        match self {
            Content::Set(set) => drop(set.remove(member)),
            Content::Zset(zset) => drop(zset.remove(member)),
            Content::Hash(hash) => drop(hash.remove(member)),
            _ => panic!("no members"),
        }
    }

    /// The edit that makes an empty collection this one, as its bytes.
    pub fn whole(&self) -> Vec<u8> {
        let mut items = Vec::new();
        match self {
            Content::String(_) => panic!("no collection"),
            Content::List(list) => {
                list.iter().for_each(|element| list_item::encode(element, &mut items));
                return Edit::Push { front: false, elements: &items }.to_bytes();
            }
            Content::Set(set) => {
                set.iter().for_each(|member| Item::new(member, b"").encode(&mut items));
            }
            Content::Zset(zset) => {
                let mut sorted: Vec<_> =
                    zset.iter().map(|(member, score)| (*score, &member[..])).collect();
                sorted.sort_by(|one, other| score::order(*one, *other));
                for (score, member) in sorted {
                    Item::new(member, &score::encode(score)).encode(&mut items);
                }
            }
            Content::Stream(stream) => {
                // Where members are hashed to does not show in a record.
                let hasher = MemberHasher::new(HashSeed([0; 16]));
                let whole = stream.stream(0, hasher).encoded().collect::<Vec<_>>().concat();
                return Edit::Stream { whole: &whole }.to_bytes();
            }
            Content::Hash(hash) => hash.iter().for_each(|(member, (payload, deadline_ms))| {
                Item { member, payload, deadline_ms: *deadline_ms }.encode(&mut items);
            }),
        }
        Edit::Put { items: &items }.to_bytes()
    }

    /// The collection in the form that its size asks for.
    pub fn handle(&self, hasher: MemberHasher) -> ValueHandle {
        if let Content::Stream(stream) = self {
            let stream = stream.stream(self.shape() & 0x0f, hasher);
            return ValueHandle::Collection(Box::new(Collection::Stream(stream)));
        }
        let whole = self.whole();
        let edit = Edit::from_bytes(&whole).expect("it was encoded here");
        let items = edit.trailing_bytes();
        let blob = [&[self.shape()], items].concat();
        if self.len() <= PACKED_ITEMS_MAX && blob.len() <= PACKED_BYTES_MAX {
            return ValueHandle::Packed(blob);
        }
        let mut collection = Collection::from_packed(&[self.shape()], hasher);
        match (&mut collection, self) {
            (Collection::List(list), Content::List(elements)) => {
                elements.iter().for_each(|element| list.push(false, element));
            }
            (Collection::Zset(zset), Content::Zset(scores)) => {
                scores.iter().for_each(|(member, score)| {
                    zset.insert(member, *score);
                });
            }
            (Collection::Set(members) | Collection::Hash(members), _) => {
                items_of(items).for_each(|item| {
                    members.insert(&item);
                });
            }
            _ => panic!("{collection:?}"),
        }
        ValueHandle::Collection(Box::new(collection))
    }
}

/// Member items, end to end.
pub fn items_of(bytes: &[u8]) -> impl Iterator<Item = Item<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (item, end) = (at < bytes.len()).then(|| Item::decode(bytes, at).expect("an item"))?;
        at = end;
        Some(item)
    })
}

/// A kind of collection.
pub fn random_kind(below: Below<'_>) -> ValueKind {
    let kinds =
        [ValueKind::List, ValueKind::Set, ValueKind::Zset, ValueKind::Hash, ValueKind::Stream];
    kinds[below(5) as usize]
}

/// A change of a collection, as the bytes of an edit. It may leave nothing of it. Deadlines of
/// fields are soon behind `now_ms`.
pub fn random_edit(before: &Content, now_ms: u64, below: Below<'_>) -> Vec<u8> {
    if let Content::Stream(stream) = before {
        return stream.random_edit(below);
    }
    let count = match below(8) {
        0..5 => 1 + below(4),
        5..7 => 1 + below(60),
        _ => 1 + below(500),
    };
    let len = before.len() as u64;
    if let Content::List(_) = before {
        return random_list_edit(len, count, below);
    }
    let mut items = Vec::new();
    if below(3) > 0 || len == 0 {
        for _ in 0..count {
            put_random_item(before.kind(), now_ms, below, &mut items);
        }
        return Edit::Put { items: &items }.to_bytes();
    }
    // Neighbours go together, so that whole chunks do; now and then nearly all of them.
    let count = if below(6) == 0 { MEMBERS } else { count };
    let from = below(MEMBERS);
    for number in from..from + count {
        Item::new(&member_of(number % MEMBERS), b"").encode(&mut items);
    }
    Edit::Remove { members: &items }.to_bytes()
}

/// A collection of several chunks.
pub fn random_large(now_ms: u64, below: Below<'_>) -> Content {
    let mut value = Content::empty(random_kind(below));
    let (count, mut items) = (300 + below(700), Vec::new());
    let edit = match &mut value {
        Content::Stream(stream) => {
            stream.fill(count, below);
            return value;
        }
        Content::List(_) => {
            (0..count).for_each(|_| list_item::encode(&random_bytes(below), &mut items));
            Edit::Push { front: false, elements: &items }
        }
        Content::Hash(_) => {
            // So many chunks that a lookup reads some of them only.
            for _ in 0..count {
                let (member, payload) = (member_of(below(MEMBERS)), vec![7; below(500) as usize]);
                let deadline_ms = (below(5) == 0).then(|| now_ms + 1 + below(FIELD_LIFE_MS));
                Item { member: &member, payload: &payload, deadline_ms }.encode(&mut items);
            }
            Edit::Put { items: &items }
        }
        value => {
            (0..count).for_each(|_| put_random_item(value.kind(), now_ms, below, &mut items));
            Edit::Put { items: &items }
        }
    };
    value.apply(&edit);
    value
}

fn random_list_edit(len: u64, count: u64, below: Below<'_>) -> Vec<u8> {
    let element = random_bytes(below);
    if len == 0 || below(3) > 0 {
        let mut elements = Vec::new();
        for number in 0..count {
            let element = if number % 16 == 0 { random_bytes(below) } else { number_of(number) };
            list_item::encode(&element, &mut elements);
        }
        return Edit::Push { front: below(2) == 0, elements: &elements }.to_bytes();
    }
    match below(4) {
        0..2 => {
            let index = below(len);
            let count = (if below(3) == 0 { len } else { count }).min(len - index);
            Edit::Cut { index, count }.to_bytes()
        }
        2 => Edit::Set { index: below(len), element: &element }.to_bytes(),
        _ => Edit::Insert { index: below(len + 1), element: &element }.to_bytes(),
    }
}

/// One of the members that random changes draw from, often of one length, so that collections are
/// uniform.
pub fn member_of(number: u64) -> Vec<u8> {
    let width = if number.is_multiple_of(2) { 16 } else { 1 + number as usize % 23 };
    format!("{number:0width$}").into_bytes()
}

fn number_of(number: u64) -> Vec<u8> {
    format!("{number:08}").into_bytes()
}

fn random_bytes(below: Below<'_>) -> Vec<u8> {
    let len = match below(40) {
        0..18 => 8,
        18..36 => below(30),
        36..39 => below(700),
        _ => below(20_000),
    };
    vec![below(256) as u8; len as usize]
}

fn put_random_item(kind: ValueKind, now_ms: u64, below: Below<'_>, out: &mut Vec<u8>) {
    let member = member_of(below(MEMBERS));
    match kind {
        ValueKind::Set => Item::new(&member, b"").encode(out),
        ValueKind::Zset => {
            let score = [0.5, -3.0, 1e300, f64::INFINITY, -0.0, 70.0][below(6) as usize];
            Item::new(&member, &score::encode(score + below(50) as f64)).encode(out);
        }
        _ => {
            let deadline_ms = (below(5) == 0).then(|| now_ms + 1 + below(FIELD_LIFE_MS));
            Item { member: &member, payload: &random_bytes(below), deadline_ms }.encode(out);
        }
    }
}
