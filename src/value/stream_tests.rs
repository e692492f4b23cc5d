//! Streams beside a naive account of them, and of a disk that takes their captures.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use crate::limits::STREAM_CHUNK_ENTRIES_MAX;
use crate::types::{ChunkId, HashSeed};
use crate::value::chunks::ChunkSet;
use crate::value::members::MemberHasher;
use crate::value::stream::Stream;
use crate::value::stream_chunk::{NewEntry, Numbers};
use crate::value::stream_fact::{
    Added, ConsumerState, Delivery, Fact, GroupState, Holder, Idempotence, Topic,
};
use crate::value::stream_id::StreamId;

type Texts = Vec<Vec<u8>>;

/// Group names, consumer names and their numbers are these digits.
const NAMES: [&[u8]; 3] = [b"0", b"1", b"2"];

fn hasher() -> MemberHasher {
    MemberHasher::new(HashSeed([7; 16]))
}

fn id(ms: u64, seq: u64) -> StreamId {
    StreamId { ms, seq }
}

/// A consumer, as all have their entries here.
fn holder(number: u64) -> Holder {
    Holder::Consumer { at_ms: 9, number }
}

fn entry_bytes(id: StreamId, texts: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    NewEntry::encode(id, texts.len() / 2, texts.iter().map(|text| &text[..]), &mut bytes);
    bytes
}

#[derive(Clone, Debug)]
enum Step {
    Append { ms: u64, seq: u64, texts: Texts, begins_chunk: bool },
    Delete(u64),
    Trim(u64),
    Renumber(Numbers),
    Group(u64, GroupState),
    Consumer(u64, u64, u64),
    Pending(u64, u64, u64),
    Released(u64, u64, u64),
    RemoveGroup(u64),
    RemoveConsumer(u64, u64),
    RemovePending(u64, u64),
    Idempotence(u64),
    Producer(u64, u64),
    Added(u64, u64, u64),
    RemoveIdempotence,
    RemoveProducer(u64),
    RemoveAdded(u64),
    Clone,
    Whole,
    Capture,
    End(bool),
}

fn texts() -> impl Strategy<Value = Texts> {
    let text = prop::sample::select(vec![&b"name"[..], b"other", b"", b"12", b"-1"]);
    prop::collection::vec(text.prop_map(<[u8]>::to_vec), 0..3).prop_map(|halves| {
        halves.iter().flat_map(|half| [half.clone(), b"value".to_vec()]).collect()
    })
}

fn step() -> impl Strategy<Value = Step> {
    let numbers = (0..60u64, 0..60u64, 0..100u64).prop_map(|(last, deleted, entries_added)| {
        Numbers { last_id: id(last, 0), max_deleted_id: id(deleted, 0), entries_added }
    });
    let group_state =
        (0..4u64, 0..60u64, prop::option::of(0..9u64)).prop_map(|(number, last, entries_read)| {
            GroupState { number, last_id: id(last, 1), entries_read }
        });
    prop_oneof![
        12 => (0..3u64, 0..3u64, texts(), prop::bool::weighted(0.1)).prop_map(
            |(ms, seq, texts, begins_chunk)| Step::Append { ms, seq, texts, begins_chunk }
        ),
        4 => (0..80u64).prop_map(Step::Delete),
        1 => (0..30u64).prop_map(Step::Trim),
        1 => numbers.prop_map(Step::Renumber),
        2 => (0..3u64, group_state).prop_map(|(name, state)| Step::Group(name, state)),
        3 => (0..4u64, 0..3u64, 0..4u64).prop_map(|(g, name, n)| Step::Consumer(g, name, n)),
        6 => (0..4u64, 0..40u64, 0..4u64).prop_map(|(g, ms, n)| Step::Pending(g, ms, n)),
        3 => (0..4u64, 0..40u64, 0..9u64).prop_map(|(g, ms, at)| Step::Released(g, ms, at)),
        1 => (0..3u64).prop_map(Step::RemoveGroup),
        1 => (0..4u64, 0..3u64).prop_map(|(g, name)| Step::RemoveConsumer(g, name)),
        3 => (0..4u64, 0..40u64).prop_map(|(g, ms)| Step::RemovePending(g, ms)),
        2 => (1..9u64).prop_map(Step::Idempotence),
        3 => (0..4u64, 0..3u64).prop_map(|(number, name)| Step::Producer(number, name)),
        6 => (0..9u64, 0..4u64, 0..3u64).prop_map(|(n, by, name)| Step::Added(n, by, name)),
        1 => Just(Step::RemoveIdempotence),
        1 => (0..4u64).prop_map(Step::RemoveProducer),
        2 => (0..9u64).prop_map(Step::RemoveAdded),
        1 => Just(Step::Clone),
        1 => Just(Step::Whole),
        2 => Just(Step::Capture),
        2 => any::<bool>().prop_map(Step::End),
    ]
}

/// Facts in lists, as a naive account has them.
#[derive(Clone, Default, Debug)]
struct Known {
    groups: Vec<(u64, GroupState)>,
    /// Group number, name, own number.
    consumers: Vec<(u64, u64, u64)>,
    /// Group number, entry, who has it.
    pending: Vec<(u64, StreamId, Holder)>,
    idempotence: Option<Idempotence>,
    /// Number, name.
    producers: Vec<(u64, u64)>,
    /// Number, producer number, name.
    added: Vec<(u64, u64, u64)>,
}

#[derive(Clone, Default, Debug)]
struct Model {
    entries: BTreeMap<StreamId, Texts>,
    numbers: Numbers,
    known: Known,
}

struct Rig {
    stream: Stream,
    model: Model,
    disk: BTreeMap<ChunkId, Bytes>,
    flight: Option<Vec<(ChunkId, Option<Vec<u8>>)>>,
    held: Vec<(Stream, Model)>,
}

impl Rig {
    fn new() -> Rig {
        Rig {
            stream: Stream::new(3, hasher()),
            model: Model::default(),
            disk: BTreeMap::new(),
            flight: None,
            held: Vec::new(),
        }
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Append { ms, seq, texts, begins_chunk } => {
                let last = self.model.numbers.last_id;
                let seq = if *ms == 0 { last.seq + seq } else { *seq };
                let (id, bytes) =
                    (id(last.ms + ms, seq), entry_bytes(id(last.ms + ms, seq), texts));
                let entry = NewEntry::decode(&bytes).unwrap();
                let is_new = id > last;
                let full = self.stream.tail_chunk().len_ever() >= STREAM_CHUNK_ENTRIES_MAX as u64;
                assert_eq!(self.stream.append(&entry, *begins_chunk || full), is_new);
                if is_new {
                    self.model.numbers.last_id = id;
                    self.model.numbers.entries_added += 1;
                    self.model.entries.insert(id, texts.clone());
                }
            }
            Step::Delete(number) => self.delete(*number),
            Step::Trim(count) => {
                self.stream.trim(*count);
                (0..*count).for_each(|_| drop(self.model.entries.pop_first()));
            }
            Step::Renumber(numbers) => {
                self.stream.set_numbers(*numbers);
                let last =
                    self.model.entries.last_key_value().map_or(StreamId::ZERO, |(id, _)| *id);
                self.model.numbers = Numbers { last_id: numbers.last_id.max(last), ..*numbers };
            }
            Step::Clone => self.held.push((self.stream.clone(), self.model.clone())),
            Step::Whole => {
                let whole: Vec<u8> = self.stream.encoded().collect::<Vec<_>>().concat();
                let read = Stream::from_whole(3, hasher(), &whole).unwrap();
                assert_same(&read, &self.model);
                for cut in [1, whole.len() / 2] {
                    let cut = Stream::from_whole(3, hasher(), &whole[..whole.len() - cut]);
                    assert!(cut.is_none_or(|cut| cut.item_count() < self.stream.item_count()));
                }
            }
            Step::Capture => self.capture(),
            Step::End(installed) => self.end(*installed),
            fact => self.apply_fact(fact),
        }
        assert_same(&self.stream, &self.model);
    }

    fn delete(&mut self, number: u64) {
        let there = self.model.entries.keys().nth(number as usize).copied();
        let id = there.unwrap_or(id(number, 0));
        let known = self.model.entries.remove(&id).is_some();
        assert_eq!(self.stream.delete(id), known);
        if known {
            let highest = &mut self.model.numbers.max_deleted_id;
            *highest = (*highest).max(id);
        }
    }

    fn apply_fact(&mut self, step: &Step) {
        let known = &mut self.model.known;
        match *step {
            Step::Group(name, state) => {
                let at = known.groups.iter().position(|(other, _)| *other == name);
                let taken = known.groups.iter().any(|(_, other)| other.number == state.number);
                let fits = match at {
                    Some(at) => known.groups[at].1.number == state.number,
                    None => !taken,
                };
                let fact = Fact::Group { name: NAMES[name as usize], state };
                assert_eq!(self.stream.put_fact(&fact), fits);
                if fits {
                    known.groups.retain(|(other, _)| *other != name);
                    known.groups.push((name, state));
                }
            }
            Step::Consumer(group, name, number) => {
                let there = known.groups.iter().any(|(_, state)| state.number == group);
                let same = |c: &&(u64, u64, u64)| c.0 == group && (c.1 == name || c.2 == number);
                let clash =
                    known.consumers.iter().find(same).is_some_and(|c| *c != (group, name, number));
                let state = ConsumerState { number, seen_ms: 5, active_ms: Some(number) };
                let fact = Fact::Consumer { group, name: NAMES[name as usize], state };
                assert_eq!(self.stream.put_fact(&fact), there && !clash);
                if there && !clash && !known.consumers.contains(&(group, name, number)) {
                    known.consumers.push((group, name, number));
                }
            }
            Step::RemoveGroup(name) => {
                self.stream.remove_fact(&Topic::Group { name: NAMES[name as usize] });
                if let Some(at) = known.groups.iter().position(|(other, _)| *other == name) {
                    let number = known.groups.remove(at).1.number;
                    known.consumers.retain(|c| c.0 != number);
                    known.pending.retain(|p| p.0 != number);
                }
            }
            Step::RemoveConsumer(group, name) => {
                self.stream.remove_fact(&Topic::Consumer { group, name: NAMES[name as usize] });
                let at = known.consumers.iter().position(|c| (c.0, c.1) == (group, name));
                if let Some(at) = at {
                    let number = known.consumers.remove(at).2;
                    known.pending.retain(|p| (p.0, p.2) != (group, holder(number)));
                }
            }
            _ => self.apply_pending(step),
        }
    }

    fn apply_pending(&mut self, step: &Step) {
        let known = &mut self.model.known;
        match *step {
            Step::Pending(group, ms, consumer) => {
                let there = known.consumers.iter().any(|c| c.0 == group && c.2 == consumer);
                let delivery = Delivery::to(consumer, 9, 2);
                let fact = Fact::Pending { group, id: id(ms, 0), delivery };
                assert_eq!(self.stream.put_fact(&fact), there);
                if there {
                    known.pending.retain(|p| (p.0, p.1) != (group, id(ms, 0)));
                    known.pending.push((group, id(ms, 0), holder(consumer)));
                }
            }
            Step::Released(group, ms, place) => {
                let there = known.groups.iter().any(|(_, state)| state.number == group);
                let (id, nobody) = (id(ms, 0), Holder::Nobody { place });
                let clash =
                    known.pending.iter().any(|p| (p.0, p.2) == (group, nobody) && p.1 != id);
                let delivery = Delivery { holder: nobody, count: 2 };
                let fact = Fact::Pending { group, id, delivery };
                assert_eq!(self.stream.put_fact(&fact), there && !clash);
                if there && !clash {
                    known.pending.retain(|p| (p.0, p.1) != (group, id));
                    known.pending.push((group, id, nobody));
                }
            }
            Step::RemovePending(group, ms) => {
                self.stream.remove_fact(&Topic::Pending { group, id: id(ms, 0) });
                known.pending.retain(|p| (p.0, p.1) != (group, id(ms, 0)));
            }
            _ => self.apply_produced(step),
        }
    }

    fn apply_produced(&mut self, step: &Step) {
        let known = &mut self.model.known;
        match *step {
            Step::Idempotence(duration_s) => {
                let state = Idempotence { duration_s, ..Idempotence::default() };
                assert!(self.stream.put_fact(&Fact::Idempotence { state }));
                known.idempotence = Some(state);
            }
            Step::Producer(number, name) => {
                let same = |p: &&(u64, u64)| p.0 == number || p.1 == name;
                let clash = known.producers.iter().find(same).is_some_and(|p| *p != (number, name));
                let fits = known.idempotence.is_some() && !clash;
                let fact = Fact::Producer { number, name: NAMES[name as usize] };
                assert_eq!(self.stream.put_fact(&fact), fits);
                if fits && !known.producers.contains(&(number, name)) {
                    known.producers.push((number, name));
                }
            }
            Step::Added(number, producer, name) => {
                let there = known.producers.iter().any(|p| p.0 == producer);
                let clash =
                    known.added.iter().any(|a| (a.1, a.2) == (producer, name) && a.0 != number);
                let added = Added { producer, id: id(name, producer), name: NAMES[name as usize] };
                let fact = Fact::Added { number, added };
                assert_eq!(self.stream.put_fact(&fact), there && !clash);
                if there && !clash {
                    known.added.retain(|a| a.0 != number);
                    known.added.push((number, producer, name));
                }
            }
            Step::RemoveIdempotence => {
                self.stream.remove_fact(&Topic::Idempotence);
                known.idempotence = None;
                known.producers.clear();
                known.added.clear();
            }
            Step::RemoveProducer(number) => {
                self.stream.remove_fact(&Topic::Producer { number });
                known.producers.retain(|p| p.0 != number);
                known.added.retain(|a| a.1 != number);
            }
            Step::RemoveAdded(number) => {
                self.stream.remove_fact(&Topic::Added { number });
                known.added.retain(|a| a.0 != number);
            }
            _ => unreachable!("the others are applied before"),
        }
    }

    fn capture(&mut self) {
        if self.flight.is_none() {
            let taken = self.stream.capture(4);
            assert!(taken.is_sorted_by(|one, next| one.id < next.id), "each id once");
            let encoded = taken.iter().map(|chunk| {
                let content = chunk.content.as_ref().map(|content| {
                    let mut bytes = Vec::new();
                    content.encode(&mut bytes);
                    bytes
                });
                (chunk.id, content)
            });
            self.flight = Some(encoded.collect());
        }
    }

    fn end(&mut self, installed: bool) {
        let Some(taken) = self.flight.take() else { return };
        self.stream.end_capture(installed);
        for (id, content) in taken.into_iter().filter(|_| installed) {
            match content {
                Some(bytes) => drop(self.disk.insert(id, Bytes::from(bytes))),
                None => drop(self.disk.remove(&id)),
            }
        }
    }
}

fn assert_same(stream: &Stream, model: &Model) {
    let shown = |entry: crate::value::stream_chunk::Entry<'_>| {
        let texts: Texts =
            entry.fields().flat_map(|(name, value)| [name.to_vec(), value.to_vec()]).collect();
        assert_eq!(texts.len() as u64, 2 * entry.len);
        (entry.id, texts)
    };
    let wanted: Vec<_> = model.entries.iter().map(|(id, texts)| (*id, texts.clone())).collect();
    let all: Vec<_> = stream.range(StreamId::ZERO, StreamId::MAX).map(shown).collect();
    assert_eq!(all, wanted);
    let mut back: Vec<_> = stream.range_back(StreamId::ZERO, StreamId::MAX).map(shown).collect();
    back.reverse();
    assert_eq!(back, wanted);
    assert_eq!((stream.len(), stream.numbers()), (wanted.len() as u64, &model.numbers));
    for edge in [id(0, 0), id(5, 1), id(9, 0), model.numbers.last_id] {
        let above: Vec<_> = stream.range(edge, StreamId::MAX).map(|entry| entry.id).collect();
        let below: Vec<_> = stream.range_back(StreamId::ZERO, edge).map(|entry| entry.id).collect();
        assert!(above.iter().eq(model.entries.range(edge..).map(|(id, _)| id)));
        assert!(below.iter().eq(model.entries.range(..=edge).rev().map(|(id, _)| id)));
        assert_eq!(stream.count_below(edge), model.entries.range(..edge).count() as u64);
        assert_eq!(stream.get(edge).is_some(), model.entries.contains_key(&edge));
    }
    assert_facts(stream, &model.known);
}

fn assert_facts(stream: &Stream, known: &Known) {
    let groups = stream.groups();
    assert_eq!(groups.iter().len(), known.groups.len());
    for (name, state) in &known.groups {
        let group = groups.get(NAMES[*name as usize]).unwrap();
        assert_eq!(group.state(), state);
        let mine = known.consumers.iter().filter(|c| c.0 == state.number);
        assert_eq!(group.consumers().len(), mine.clone().count());
        for (_, name, number) in mine {
            let consumer = group.consumer(NAMES[*name as usize]).unwrap();
            assert_eq!(consumer.state().number, *number);
            let mine = (state.number, holder(*number));
            let own = known.pending.iter().filter(|p| (p.0, p.2) == mine);
            let mut own: Vec<StreamId> = own.map(|p| p.1).collect();
            own.sort_unstable();
            assert!(consumer.pending().iter().eq(own.iter()));
        }
        let pending = known.pending.iter().filter(|p| p.0 == state.number);
        assert_eq!(group.pending().len(), pending.clone().count());
        let mut released = BTreeMap::new();
        for (_, id, holder) in pending {
            assert_eq!(group.pending()[id], Delivery { holder: *holder, count: 2 });
            if let Holder::Nobody { place } = holder {
                released.insert(*place, *id);
            }
        }
        assert_eq!(*group.released(), released);
        assert_eq!(group.free_place(), released.last_key_value().map_or(0, |(place, _)| place + 1));
    }
    assert_produced(stream, known);
    let produced = known.producers.len() + known.added.len();
    let facts = known.groups.len() + known.consumers.len() + known.pending.len() + produced;
    let facts = facts + usize::from(known.idempotence.is_some());
    assert_eq!(stream.item_count() - stream.len(), facts as u64);
    assert_eq!(stream.known_facts().count(), facts);
}

fn assert_produced(stream: &Stream, known: &Known) {
    let producers = stream.producers();
    assert_eq!(producers.state(), known.idempotence.unwrap_or_default());
    assert_eq!(producers.iter().len(), known.producers.len());
    assert_eq!(producers.is_empty(), known.added.is_empty());
    for (number, name) in &known.producers {
        assert_eq!(producers.number_of(NAMES[*name as usize]), Some(*number));
        let mut own: Vec<u64> =
            known.added.iter().filter(|a| a.1 == *number).map(|a| a.0).collect();
        own.sort_unstable();
        assert!(producers.get(*number).unwrap().numbers().iter().eq(own.iter()));
    }
    let mut by_id = Vec::new();
    for (number, producer, name) in &known.added {
        let (name, id) = (NAMES[*name as usize], id(*name, *producer));
        assert_eq!(producers.get(*producer).unwrap().find(name), Some(*number));
        let added = Added { producer: *producer, id, name };
        assert_eq!(producers.added(*number), Some(added));
        by_id.push((id, *number));
    }
    by_id.sort_unstable();
    assert!(producers.over(u64::MAX).eq(by_id.iter().map(|(_, number)| *number)));
    let next = by_id.iter().map(|(_, number)| number + 1).max();
    assert_eq!(producers.free_number(), next.unwrap_or(0));
    assert_eq!(producers.memory_bytes() > 0, !known.producers.is_empty());
}

fn read(disk: &BTreeMap<ChunkId, Bytes>) -> Option<Stream> {
    let parts: Vec<_> = disk.iter().map(|(id, bytes)| (*id, bytes.clone())).collect();
    Stream::from_parts(3, hasher(), 4, &parts)
}

#[test]
fn tombstones_ascend_though_the_last_id_was_set_back() {
    let mut rig = Rig::new();
    let append = |ms, seq| Step::Append { ms, seq, texts: Vec::new(), begins_chunk: false };
    let numbers = Numbers { last_id: id(7, 0), max_deleted_id: StreamId::ZERO, entries_added: 0 };
    let fail = [Step::Capture, Step::End(false)];
    rig.apply(&Step::Renumber(numbers));
    rig.apply(&append(1, 1));
    fail.iter().for_each(|step| rig.apply(step));
    rig.apply(&Step::Trim(1));
    rig.apply(&Step::Renumber(numbers));
    rig.apply(&append(1, 0));
    rig.apply(&Step::Delete(8));
    fail.iter().for_each(|step| rig.apply(step));
    rig.apply(&append(0, 1));
    rig.capture();
}

proptest! {
    #[test]
    fn a_stream_is_its_model_and_its_disk(steps in prop::collection::vec(step(), 0..150)) {
        let mut rig = Rig::new();
        steps.iter().for_each(|step| rig.apply(step));
        rig.end(true);
        rig.capture();
        rig.end(true);
        prop_assert_eq!(rig.stream.dirty_bytes(), 0);
        let back = read(&rig.disk).unwrap();
        assert_same(&back, &rig.model);
        prop_assert_eq!((back.generation(), back.encoding()), (4, 3));
        for (stream, model) in rig.held {
            assert_same(&stream, &model);
        }
    }

    #[test]
    fn damaged_chunks_are_refused_or_hold_together(
        steps in prop::collection::vec(step(), 0..60), chunk in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(), change in 1..=255u8, cut: bool,
    ) {
        let mut rig = Rig::new();
        steps.iter().for_each(|step| rig.apply(step));
        rig.end(true);
        rig.capture();
        rig.end(true);
        let ids: Vec<ChunkId> = rig.disk.keys().copied().collect();
        let id = ids[chunk.index(ids.len())];
        let mut bytes = rig.disk[&id].to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        bytes.truncate(if cut { at } else { bytes.len() });
        rig.disk.insert(id, Bytes::from(bytes));
        if let Some(mut back) = read(&rig.disk) {
            let entries = back.range(StreamId::ZERO, StreamId::MAX).count();
            prop_assert_eq!(entries as u64, back.len());
            let next = back.numbers().last_id.next();
            let bytes = next.map(|next| entry_bytes(next, &[b"a".to_vec(), b"b".to_vec()]));
            let new = bytes.iter().filter_map(|bytes| NewEntry::decode(bytes)).next();
            prop_assert!(new.is_none_or(|new| back.append(&new, false)));
            back.trim(3);
            let whole = back.encoded().collect::<Vec<_>>().concat();
            prop_assert!(Stream::from_whole(3, hasher(), &whole).is_some());
        }
    }
}
