//! Streams: entries in chunks by ranges of IDs, and facts about consumer groups in chunks by hash.
//!
//! Chunks of entries are numbered in the order in which they began; the first may have any number.
//! The last one carries the stream's numbers and is there even when it is empty. Facts
//! (stream_fact.rs) are members of a hash, chunked as those of other hashes, under identities from
//! 2^64 on. A stream has no packed form.

use std::sync::Arc;

use bytes::Bytes;

use crate::types::{ChunkId, ValueKind};
use crate::value::chunks::{ChunkKey, ChunkSet, Chunks, DirtyChunk, DirtyChunks, items_of};
use crate::value::item::{Item, put_varint, varint};
use crate::value::members::{MemberHasher, Members};
use crate::value::stream_chunk::{Entry, EntryChunk, NewEntry, Numbers};
use crate::value::stream_fact::{Fact, Topic};
use crate::value::stream_groups::Groups;
use crate::value::stream_id::StreamId;
use crate::value::stream_producers::Producers;

/// Lowest identity of a chunk of facts.
pub const FACTS: ChunkId = 1 << u64::BITS;

/// A chunk of entries: where it begins, and its number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct EntryKey {
    base: StreamId,
    number: u64,
}

impl EntryKey {
    /// A key that [`Chunks::covering`] takes for an ID.
    fn of(id: StreamId) -> EntryKey {
        EntryKey { base: id, number: u64::MAX }
    }
}

impl ChunkKey for EntryKey {
    fn id(self) -> ChunkId {
        ChunkId::from(self.number)
    }
}

/// A stream. Cloning it is O(1) but for lists of what is dirty.
#[derive(Clone, Debug)]
pub struct Stream {
    encoding: u8,
    hasher: MemberHasher,
    entries: Chunks<EntryKey, EntryChunk>,
    /// None before there ever was a group, or an entry that is added once.
    facts: Option<Box<Members>>,
    groups: Arc<Groups>,
    producers: Arc<Producers>,
    /// Encoded bytes of the longest item that it has had.
    longest_item_bytes: usize,
}

impl Stream {
    /// A stream without entries and groups; `encoding` is below 16.
    pub fn new(encoding: u8, hasher: MemberHasher) -> Stream {
        let mut entries = Chunks::default();
        let base = StreamId::ZERO;
        entries.insert(EntryKey { base, number: 0 }, EntryChunk::empty(base, Numbers::default()));
        Stream::without_facts(encoding, hasher, entries, 0)
    }

    /// A clean stream as parts hold it: encoded chunks in the order of their ids. None where they
    /// are not the chunks of a stream.
    pub fn from_parts(
        encoding: u8,
        hasher: MemberHasher,
        generation: u64,
        parts: &[(ChunkId, impl AsRef<[u8]>)],
    ) -> Option<Stream> {
        let (entries, facts) = parts.split_at(parts.partition_point(|(id, _)| *id < FACTS));
        let mut chunks = Vec::with_capacity(entries.len());
        for (id, bytes) in entries {
            let bytes = items_of(bytes.as_ref())?;
            let (chunk, end) = EntryChunk::decode(bytes, 0)?;
            if end != bytes.len() {
                return None;
            }
            chunks.push((u64::try_from(*id).ok()?, chunk));
        }
        let mut stream = Stream::of_chunks(encoding, hasher, generation, chunks)?;
        if !facts.is_empty() {
            let facts = facts.iter().map(|(id, bytes)| (id - FACTS, bytes.as_ref()));
            let facts: Vec<_> = facts.collect();
            let kind = ValueKind::Stream;
            let facts = Members::from_parts(kind, encoding, hasher, generation, &facts)?;
            let (groups, producers) = known_of(&facts)?;
            stream.groups = Arc::new(groups);
            stream.producers = Arc::new(producers);
            stream.longest_item_bytes =
                stream.longest_item_bytes.max(facts.longest_item_bytes() as usize);
            stream.facts = Some(Box::new(facts));
        }
        Some(stream)
    }

    /// A stream of these chunks alone, with their numbers. None where there are none, or they
    /// overlap, or one but the last is empty.
    fn of_chunks(
        encoding: u8,
        hasher: MemberHasher,
        generation: u64,
        chunks: Vec<(u64, EntryChunk)>,
    ) -> Option<Stream> {
        // A chunk's highest ID may be that of an entry that was deleted, and the last ID have been
        // set back since.
        let end = |chunk: &EntryChunk| chunk.iter().last().map(|entry| entry.id);
        let last = &chunks.last()?.1;
        let sound = end(last).is_none_or(|end| end <= last.numbers().last_id);
        let apart = chunks.windows(2).all(|pair| {
            let [(_, lower), (_, upper)] = pair else { return true };
            end(lower).is_some_and(|end| end < upper.base())
        });
        if !sound || !apart || encoding >= 16 {
            return None;
        }
        let longest = chunks.iter().map(|(_, chunk)| chunk.data_bytes()).max().unwrap_or(0);
        let keyed = chunks
            .into_iter()
            .map(|(number, chunk)| (EntryKey { base: chunk.base(), number }, chunk));
        let entries = Chunks::from_parts(generation, keyed.collect())?;
        Some(Stream::without_facts(encoding, hasher, entries, longest))
    }

    fn without_facts(
        encoding: u8,
        hasher: MemberHasher,
        entries: Chunks<EntryKey, EntryChunk>,
        longest_item_bytes: usize,
    ) -> Stream {
        let (groups, producers) = (Arc::default(), Arc::default());
        Stream { encoding, hasher, entries, facts: None, groups, producers, longest_item_bytes }
    }

    /// A stream from what [`Stream::encoded`] gave, all dirty. None where it is malformed.
    pub fn from_whole(encoding: u8, hasher: MemberHasher, whole: &[u8]) -> Option<Stream> {
        let (count, mut at) = varint(whole, 0)?;
        let mut chunks = Vec::new();
        for number in 0..count {
            let (chunk, end) = EntryChunk::decode(whole, at)?;
            chunks.push((number, chunk));
            at = end;
        }
        let mut stream = Stream::of_chunks(encoding, hasher, 0, chunks)?;
        stream.entries.recreate();
        while at < whole.len() {
            let (item, end) = Item::decode(whole, at)?;
            if !stream.put_fact(&Fact::decode(&item)?) {
                return None;
            }
            at = end;
        }
        Some(stream)
    }

    /// What `OBJECT ENCODING` is told, below 16.
    pub fn encoding(&self) -> u8 {
        self.encoding
    }

    /// Tells `OBJECT ENCODING` something else; `encoding` is below 16.
    pub fn set_encoding(&mut self, encoding: u8) {
        assert!(encoding < 16, "an encoding has four bits");
        self.encoding = encoding;
    }

    /// Number of entries. O(1).
    pub fn len(&self) -> u64 {
        self.entries.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Number of entries and facts. O(1).
    pub fn item_count(&self) -> u64 {
        self.len() + self.facts.as_ref().map_or(0, |facts| facts.len())
    }

    /// A bound of the encoded bytes of each item. O(1).
    pub fn longest_item_bytes(&self) -> u64 {
        self.longest_item_bytes as u64
    }

    /// Its numbers.
    pub fn numbers(&self) -> &Numbers {
        self.tail().1.numbers()
    }

    /// The last chunk.
    fn tail(&self) -> (EntryKey, &EntryChunk) {
        let (key, slot) = self.entries.slots().last().expect("a stream has a chunk");
        (*key, slot.chunk())
    }

    /// The chunk that the next entry would go to.
    pub fn tail_chunk(&self) -> &EntryChunk {
        self.tail().1
    }

    /// Its chunks of entries, in ascending order.
    pub fn entry_chunks(&self) -> impl Iterator<Item = &EntryChunk> {
        self.entries.iter().map(|(_, chunk)| chunk)
    }

    /// The groups.
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// Who added entries once.
    pub fn producers(&self) -> &Producers {
        &self.producers
    }

    /// The entry of an ID. O(log chunks + entries of a chunk).
    pub fn get(&self, id: StreamId) -> Option<Entry<'_>> {
        self.entries.covering(EntryKey::of(id))?.1.get(id)
    }

    /// Entries from one ID to another, both included, in ascending order.
    pub fn range(&self, from: StreamId, to: StreamId) -> impl Iterator<Item = Entry<'_>> {
        let chunks = self.entries.cursor(EntryKey::of(from)).forward();
        let chunks = chunks.take_while(move |(key, _)| key.base <= to);
        let entries = chunks.flat_map(|(_, slot)| slot.chunk().iter());
        entries.skip_while(move |entry| entry.id < from).take_while(move |entry| entry.id <= to)
    }

    /// The same backwards.
    pub fn range_back(&self, from: StreamId, to: StreamId) -> impl Iterator<Item = Entry<'_>> {
        let chunks = self.entries.cursor(EntryKey::of(to)).backward();
        let entries = chunks.flat_map(move |(_, slot)| slot.chunk().iter_back(to));
        entries.take_while(move |entry| entry.id >= from)
    }

    /// The first entry.
    pub fn first(&self) -> Option<Entry<'_>> {
        self.range(StreamId::ZERO, StreamId::MAX).next()
    }

    /// The last entry.
    pub fn last(&self) -> Option<Entry<'_>> {
        self.range_back(StreamId::ZERO, StreamId::MAX).next()
    }

    /// Number of entries below an ID. O(log chunks + entries of a chunk).
    pub fn count_below(&self, id: StreamId) -> u64 {
        let key = EntryKey::of(id);
        let found = self.entries.slots().find_by(|low| low.cmp(&key));
        let (_, slot, before) = found.expect("a stream has a chunk");
        let inside = slot.chunk().iter().take_while(|entry| entry.id < id).count();
        before + inside as u64
    }

    /// Number of entries from one ID to another, both included.
    pub fn count_between(&self, from: StreamId, to: StreamId) -> u64 {
        let behind = to.next().map_or(self.len(), |next| self.count_below(next));
        behind.saturating_sub(self.count_below(from))
    }

    /// Appends an entry, in a chunk of its own where `begins_chunk`; whether its ID was above the
    /// last. O(log chunks).
    pub fn append(&mut self, entry: &NewEntry<'_>, begins_chunk: bool) -> bool {
        let (tail, chunk) = self.tail();
        let mut numbers = *chunk.numbers();
        if entry.id <= numbers.last_id {
            return false;
        }
        numbers.last_id = entry.id;
        numbers.entries_added = numbers.entries_added.saturating_add(1);
        let is_empty = chunk.is_empty();
        self.longest_item_bytes = self.longest_item_bytes.max(entry.encoded_bytes_max());
        if !begins_chunk && !is_empty {
            self.entries.edit(tail, |chunk| {
                chunk.push(entry);
                *chunk.numbers_mut() = numbers;
            });
            return true;
        }
        match is_empty {
            true => drop(self.entries.remove(tail)),
            false => drop(self.entries.edit(tail, EntryChunk::seal)),
        }
        let key = EntryKey { base: entry.id, number: tail.number + 1 };
        self.entries.insert(key, EntryChunk::beginning(entry, numbers));
        true
    }

    /// Takes an entry out by its ID; whether it was there. O(log chunks + entries of a chunk).
    pub fn delete(&mut self, id: StreamId) -> bool {
        let (tail, _) = self.tail();
        let Some((key, chunk)) = self.entries.covering(EntryKey::of(id)) else {
            return false;
        };
        if chunk.get(id).is_none() {
            return false;
        }
        if chunk.len() == 1 && key != tail {
            self.entries.remove(key);
        } else {
            self.entries.edit(key, |chunk| chunk.remove(id));
        }
        self.change_numbers(|numbers| numbers.max_deleted_id = numbers.max_deleted_id.max(id));
        true
    }

    /// Takes the first entries out, at most all. O(chunks that go).
    pub fn trim(&mut self, count: u64) {
        let (tail, _) = self.tail();
        let mut left = count.min(self.len());
        while left > 0 {
            let (key, slot) = self.entries.slots().first().expect("a stream has a chunk");
            let (key, len) = (*key, slot.chunk().len());
            if len <= left && key != tail {
                self.entries.remove(key);
                left -= len;
            } else {
                self.entries.edit(key, |chunk| chunk.remove_first(left));
                left = 0;
            }
        }
    }

    /// Changes the numbers. The last ID stays at or above that of the last entry.
    pub fn set_numbers(&mut self, new: Numbers) {
        let high = self.last().map_or(StreamId::ZERO, |entry| entry.id);
        let new = Numbers { last_id: new.last_id.max(high), ..new };
        self.change_numbers(|numbers| *numbers = new);
    }

    fn change_numbers(&mut self, change: impl FnOnce(&mut Numbers)) {
        let (tail, _) = self.tail();
        self.entries.edit(tail, |chunk| change(chunk.numbers_mut()));
    }

    /// Takes a fact in, in place of the one of its topic; false, and nothing changes, where it does
    /// not go with the others.
    pub fn put_fact(&mut self, fact: &Fact<'_>) -> bool {
        let fits = match fact {
            Fact::Group { .. } | Fact::Consumer { .. } | Fact::Pending { .. } => {
                Arc::make_mut(&mut self.groups).put(fact)
            }
            _ => Arc::make_mut(&mut self.producers).put(fact),
        };
        if !fits {
            return false;
        }
        let mut bytes = Vec::new();
        fact.encode(&mut bytes);
        self.longest_item_bytes = self.longest_item_bytes.max(bytes.len());
        let (item, _) = Item::decode(&bytes, 0).expect("it was just encoded");
        let (encoding, hasher) = (self.encoding, self.hasher);
        let new = || Box::new(Members::new(ValueKind::Stream, encoding, hasher));
        self.facts.get_or_insert_with(new).insert(&item);
        true
    }

    /// Takes a fact out, with those that depend on it.
    pub fn remove_fact(&mut self, topic: &Topic<'_>) {
        let Some(facts) = &mut self.facts else { return };
        let gone = |gone: Topic<'_>| {
            facts.remove(&gone.encode());
        };
        match topic {
            Topic::Group { .. } | Topic::Consumer { .. } | Topic::Pending { .. } => {
                Arc::make_mut(&mut self.groups).remove(topic, gone);
            }
            _ => Arc::make_mut(&mut self.producers).remove(topic, gone),
        }
    }

    /// All facts: group by group, each followed by its consumers and its pending entries, then
    /// those of producers.
    pub fn known_facts(&self) -> impl Iterator<Item = Fact<'_>> {
        let groups = self.groups.iter().flat_map(|group| {
            let (name, state) = (group.name(), *group.state());
            let number = state.number;
            let consumers = group.consumers().map(move |consumer| {
                let (name, state) = (consumer.name(), *consumer.state());
                Fact::Consumer { group: number, name, state }
            });
            let pending = group.pending().iter().map(move |(id, delivery)| Fact::Pending {
                group: number,
                id: *id,
                delivery: *delivery,
            });
            std::iter::once(Fact::Group { name, state }).chain(consumers).chain(pending)
        });
        groups.chain(self.producers.facts())
    }

    /// All facts as items, in no order.
    fn facts(&self) -> impl Iterator<Item = Item<'_>> {
        self.facts.iter().flat_map(|facts| facts.iter())
    }

    /// Memory that it takes, in bytes. O(1).
    pub fn memory_bytes(&self) -> u64 {
        let facts = self.facts.as_ref().map_or(0, |facts| facts.memory_bytes());
        let own = size_of::<Stream>() as u64 + self.entries.memory_bytes();
        own + facts + self.groups.memory_bytes() + self.producers.memory_bytes()
    }
}

impl ChunkSet for Stream {
    fn generation(&self) -> u64 {
        self.entries.generation()
    }

    fn chunk_count(&self) -> usize {
        let facts = self.facts.as_ref().map_or(0, |facts| facts.chunks().chunk_count());
        self.entries.chunk_count() + facts
    }

    fn dirty_bytes(&self) -> u64 {
        let facts = self.facts.as_ref().map_or(0, |facts| facts.chunks().dirty_bytes());
        self.entries.dirty_bytes() + facts
    }

    fn recreate(&mut self) {
        self.entries.recreate();
        if let Some(facts) = &mut self.facts {
            facts.chunks_mut().recreate();
        }
    }

    fn take_dirty(&mut self, generation: u64) -> Box<dyn DirtyChunks> {
        let facts = self.facts.as_mut().map(|facts| facts.chunks_mut().take_dirty(generation));
        Box::new(Taken { entries: self.entries.take_dirty(generation), facts })
    }

    fn end_capture(&mut self, installed: bool) {
        self.entries.end_capture(installed);
        if let Some(facts) = &mut self.facts {
            facts.chunks_mut().end_capture(installed);
        }
    }

    /// `count:varint chunk* fact*`, chunks as stream_chunk says, in an order in which each fact
    /// follows those it depends on.
    fn encoded(&self) -> Box<dyn Iterator<Item = Bytes> + '_> {
        let mut count = Vec::new();
        put_varint(self.entries.chunk_count() as u64, &mut count);
        let mut pieces = vec![Bytes::from(count)];
        pieces.extend(self.entries.encoded());
        let mut facts: Vec<Item<'_>> = self.facts().collect();
        facts.sort_unstable_by_key(|item| item.member[0]);
        for some in facts.chunks(256) {
            let mut piece = Vec::new();
            some.iter().for_each(|item| item.encode(&mut piece));
            pieces.push(Bytes::from(piece));
        }
        Box::new(pieces.into_iter())
    }
}

/// What a capture has taken of a stream.
struct Taken {
    entries: Box<dyn DirtyChunks>,
    facts: Option<Box<dyn DirtyChunks>>,
}

impl DirtyChunks for Taken {
    fn chunks(&self) -> Box<dyn Iterator<Item = DirtyChunk> + '_> {
        let facts = self.facts.iter().flat_map(|facts| facts.chunks());
        let facts = facts.map(|chunk| DirtyChunk { id: chunk.id + FACTS, ..chunk });
        Box::new(self.entries.chunks().chain(facts))
    }
}

/// The groups and producers that facts tell of. None where a fact does not go with the others.
fn known_of(facts: &Members) -> Option<(Groups, Producers)> {
    let decoded: Option<Vec<Fact<'_>>> = facts.iter().map(|item| Fact::decode(&item)).collect();
    let mut decoded = decoded?;
    decoded.sort_by_key(Fact::rank);
    let (mut groups, mut producers) = (Groups::default(), Producers::default());
    let fit = decoded.iter().all(|fact| match fact {
        Fact::Group { .. } | Fact::Consumer { .. } | Fact::Pending { .. } => groups.put(fact),
        _ => producers.put(fact),
    });
    fit.then_some((groups, producers))
}
