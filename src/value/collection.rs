//! A large collection, whatever its kind: what keyspace and checkpoints ask of all of them.

use bytes::Bytes;

use crate::types::{ChunkId, ValueKind};
use crate::value::chunks::{ChunkSet, EMPTY_CHUNK};
use crate::value::list::List;
use crate::value::members::{MemberHasher, Members};
use crate::value::packed;
use crate::value::stream::{FACTS, Stream};
use crate::value::zset::Zset;

/// A large collection.
#[derive(Clone, Debug)]
pub enum Collection {
    /// A list.
    List(List),
    /// A set.
    Set(Members),
    /// A sorted set.
    Zset(Zset),
    /// A hash.
    Hash(Members),
    /// A stream.
    Stream(Stream),
}

/// Calls a method of the value inside.
macro_rules! inner {
    ($collection:expr, $inner:ident => $call:expr) => {
        match $collection {
            Collection::List($inner) => $call,
            Collection::Set($inner) | Collection::Hash($inner) => $call,
            Collection::Zset($inner) => $call,
            Collection::Stream($inner) => $call,
        }
    };
}

impl Collection {
    /// The large form of a valid packed collection, all dirty.
    ///
    /// # Panics
    /// When the blob's kind is none of a collection.
    pub fn from_packed(blob: &[u8], hasher: MemberHasher) -> Collection {
        let members = || Members::from_packed(blob, hasher).expect("the kind was looked at");
        match packed::kind(blob) {
            Some(ValueKind::List) => Collection::List(List::from_packed(blob)),
            Some(ValueKind::Set) => Collection::Set(members()),
            Some(ValueKind::Hash) => Collection::Hash(members()),
            Some(ValueKind::Zset) => {
                let zset = Zset::from_packed(blob, hasher);
                Collection::Zset(zset.expect("the kind was looked at"))
            }
            _ => panic!("a packed value is a collection"),
        }
    }

    /// A clean collection as parts hold it: its chunks in order, with the LSN of their last change.
    /// None where they are not those of such a collection with `len` items.
    pub fn from_parts(
        shape: u8,
        generation: u64,
        len: u64,
        hasher: MemberHasher,
        parts: &[(ChunkId, Bytes)],
    ) -> Option<Collection> {
        let collection = Collection::of_all_chunks(shape, generation, hasher, parts)?;
        let may_be_empty = collection.kind() == ValueKind::Stream;
        // Generation 0 would be replaced by the next capture, which takes but what is dirty.
        (collection.len() == len && (len > 0 || may_be_empty) && generation > 0)
            .then_some(collection)
    }

    /// What these chunks hold, however many items that is.
    fn of_all_chunks(
        shape: u8,
        generation: u64,
        hasher: MemberHasher,
        parts: &[(ChunkId, Bytes)],
    ) -> Option<Collection> {
        let (kind, encoding) = (ValueKind::of_shape(shape)?, shape & 0x0f);
        Some(match kind {
            ValueKind::List => Collection::List(List::from_parts(encoding, generation, parts)?),
            ValueKind::Zset => {
                Collection::Zset(Zset::from_parts(encoding, hasher, generation, parts)?)
            }
            ValueKind::Set | ValueKind::Hash => {
                let members = Members::from_parts(kind, encoding, hasher, generation, parts)?;
                match kind {
                    ValueKind::Set => Collection::Set(members),
                    _ => Collection::Hash(members),
                }
            }
            ValueKind::Stream => {
                Collection::Stream(Stream::from_parts(encoding, hasher, generation, parts)?)
            }
            ValueKind::String => return None,
        })
    }

    /// What is left of a collection that has lost some chunks: the items of the others. A stream
    /// whose facts do not go together any more loses all its groups. None where nothing is left.
    pub fn of_remaining_chunks(
        shape: u8,
        generation: u64,
        hasher: MemberHasher,
        chunks: &[(ChunkId, Bytes)],
    ) -> Option<Collection> {
        let read = |chunks: &[_]| Collection::of_all_chunks(shape, generation, hasher, chunks);
        // Chunks of members begin with that of the lowest hash, which may be empty.
        let from_lowest = |lowest: ChunkId, chunks: &[(ChunkId, Bytes)]| {
            let is_there = chunks.first().is_none_or(|(id, _)| *id == lowest);
            let empty = (!is_there).then(|| (lowest, Bytes::from_static(EMPTY_CHUNK)));
            empty.into_iter().chain(chunks.iter().cloned()).collect::<Vec<_>>()
        };
        let collection = match ValueKind::of_shape(shape)? {
            ValueKind::Set | ValueKind::Zset | ValueKind::Hash => read(&from_lowest(0, chunks)),
            ValueKind::Stream => {
                let (entries, facts) =
                    chunks.split_at(chunks.partition_point(|(id, _)| *id < FACTS));
                let whole = [entries, &from_lowest(FACTS, facts)].concat();
                read(&whole).or_else(|| read(entries))
            }
            ValueKind::List | ValueKind::String => read(chunks),
        }?;
        (!collection.is_empty()).then_some(collection)
    }

    /// A large hash, set or sorted set of which only these chunks are there: it answers for members
    /// in their ranges, and for nothing else. None where they are no such chunks.
    pub fn of_some_chunks(
        shape: u8,
        hasher: MemberHasher,
        chunks: &[(ChunkId, Bytes)],
    ) -> Option<Collection> {
        let (kind, encoding) = (ValueKind::of_shape(shape)?, shape & 0x0f);
        let members = Members::of_some_chunks(kind, encoding, hasher, chunks)?;
        match kind {
            ValueKind::Hash => Some(Collection::Hash(members)),
            ValueKind::Set => Some(Collection::Set(members)),
            ValueKind::Zset => Some(Collection::Zset(Zset::without_order(members))),
            _ => None,
        }
    }

    /// What it is.
    pub fn kind(&self) -> ValueKind {
        match self {
            Collection::List(_) => ValueKind::List,
            Collection::Set(_) => ValueKind::Set,
            Collection::Zset(_) => ValueKind::Zset,
            Collection::Hash(_) => ValueKind::Hash,
            Collection::Stream(_) => ValueKind::Stream,
        }
    }

    /// The members, where they are found by their hash.
    pub fn members(&self) -> Option<&Members> {
        match self {
            Collection::Set(members) | Collection::Hash(members) => Some(members),
            Collection::Zset(zset) => Some(zset.members()),
            Collection::List(_) | Collection::Stream(_) => None,
        }
    }

    /// What `OBJECT ENCODING` is told, below 16.
    pub fn encoding(&self) -> u8 {
        inner!(self, inner => inner.encoding())
    }

    /// Tells `OBJECT ENCODING` something else; `encoding` is below 16.
    pub fn set_encoding(&mut self, encoding: u8) {
        inner!(self, inner => inner.set_encoding(encoding))
    }

    /// The byte of kind and encoding.
    pub fn shape(&self) -> u8 {
        self.kind().shape(self.encoding())
    }

    /// Number of items: of a stream, entries and facts about its groups.
    pub fn len(&self) -> u64 {
        match self {
            Collection::List(list) => list.len(),
            Collection::Set(members) | Collection::Hash(members) => members.len(),
            Collection::Zset(zset) => zset.len(),
            Collection::Stream(stream) => stream.item_count(),
        }
    }

    /// Whether there are no items. Only a stream may be without.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its chunks.
    pub fn chunks(&self) -> &dyn ChunkSet {
        match self {
            Collection::List(list) => list.chunks(),
            Collection::Set(members) | Collection::Hash(members) => members.chunks(),
            Collection::Zset(zset) => zset.chunks(),
            Collection::Stream(stream) => stream,
        }
    }

    /// Its chunks, to be captured.
    pub fn chunks_mut(&mut self) -> &mut dyn ChunkSet {
        match self {
            Collection::List(list) => list.chunks_mut(),
            Collection::Set(members) | Collection::Hash(members) => members.chunks_mut(),
            Collection::Zset(zset) => zset.chunks_mut(),
            Collection::Stream(stream) => stream,
        }
    }

    /// Memory behind it, in bytes. O(1).
    pub fn memory_bytes(&self) -> u64 {
        inner!(self, inner => inner.memory_bytes())
    }

    /// A bound of the encoded bytes of each item. O(1).
    pub fn longest_item_bytes(&self) -> u64 {
        inner!(self, inner => inner.longest_item_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::types::HashSeed;
    use crate::value::item::Item;
    use crate::value::list_item;
    use crate::value::score;
    use crate::value::stream_chunk::{Entry, NewEntry};
    use crate::value::stream_id::StreamId;

    type Parts = Vec<(ChunkId, Bytes)>;

    const KINDS: [ValueKind; 5] =
        [ValueKind::List, ValueKind::Set, ValueKind::Zset, ValueKind::Hash, ValueKind::Stream];

    fn hasher() -> MemberHasher {
        MemberHasher::new(HashSeed([9; 16]))
    }

    fn packed_of(kind: ValueKind) -> Vec<u8> {
        let mut blob = vec![packed::head(kind, 3)];
        match kind {
            ValueKind::List => list_item::encode(b"element", &mut blob),
            ValueKind::Set => Item::new(b"member", b"").encode(&mut blob),
            ValueKind::Zset => Item::new(b"member", &score::encode(0.5)).encode(&mut blob),
            _ => Item::new(b"member", b"value").encode(&mut blob),
        }
        blob
    }

    /// Adds an item of this number.
    fn add(collection: &mut Collection, number: u32) {
        let name = format!("item {number}").into_bytes();
        match collection {
            Collection::List(list) => list.push(number.is_multiple_of(2), &name),
            Collection::Set(members) => drop(members.insert(&Item::new(&name, b""))),
            Collection::Zset(zset) => drop(zset.insert(&name, f64::from(number) / 2.0)),
            Collection::Hash(members) => drop(members.insert(&Item::new(&name, &name))),
            Collection::Stream(stream) => {
                let mut entry = Vec::new();
                let texts = [&name[..], &name];
                let id = stream.numbers().last_id.next().unwrap();
                NewEntry::encode(id, 1, texts.into_iter(), &mut entry);
                let begins_chunk = number.is_multiple_of(100);
                stream.append(&NewEntry::decode(&entry).unwrap(), begins_chunk);
            }
        }
    }

    fn filled(kind: ValueKind, count: u32) -> Collection {
        let mut collection = match kind {
            ValueKind::Stream => {
                let mut stream = Collection::Stream(Stream::new(3, hasher()));
                add(&mut stream, count);
                stream
            }
            _ => Collection::from_packed(&packed_of(kind), hasher()),
        };
        (0..count).for_each(|number| add(&mut collection, number));
        collection
    }

    /// Everything that it holds.
    fn content(collection: &Collection) -> Vec<(Vec<u8>, Vec<u8>)> {
        let owned = |item: Item<'_>| (item.member.to_vec(), item.payload.to_vec());
        match collection {
            Collection::Stream(stream) => {
                let shown = |entry: Entry<'_>| {
                    let texts = entry.fields().flat_map(|(name, value)| [name, value].concat());
                    (entry.id.to_string().into_bytes(), texts.collect())
                };
                stream.range(StreamId::ZERO, StreamId::MAX).map(shown).collect()
            }
            Collection::List(list) => {
                list.iter_from(0, false).map(|element| (element.to_vec(), Vec::new())).collect()
            }
            Collection::Set(members) | Collection::Hash(members) => {
                let sorted: BTreeMap<_, _> = members.iter().map(owned).collect();
                sorted.into_iter().collect()
            }
            Collection::Zset(zset) => {
                let ranked = zset.iter_from_rank(0, false);
                ranked
                    .map(|(score, member)| (member.to_vec(), score::encode(score).to_vec()))
                    .collect()
            }
        }
    }

    fn parts_of(collection: &mut Collection) -> Parts {
        let parts = collection.chunks_mut().capture(2).into_iter().filter_map(|chunk| {
            let mut bytes = Vec::new();
            chunk.content?.encode(&mut bytes);
            Some((chunk.id, Bytes::from(bytes)))
        });
        let parts = parts.collect();
        collection.chunks_mut().end_capture(true);
        parts
    }

    fn read(kind: ValueKind, len: u64, parts: &Parts) -> Option<Collection> {
        Collection::from_parts((kind as u8) << 4 | 3, 2, len, hasher(), parts)
    }

    #[test]
    fn every_kind_comes_back_from_its_parts() {
        for kind in KINDS {
            let mut collection = filled(kind, 1000);
            assert_eq!((collection.kind(), collection.encoding()), (kind, 3));
            assert_eq!((collection.len(), collection.chunks().generation()), (1001, 0));
            assert!(collection.chunks().dirty_bytes() > 0);
            assert!(collection.memory_bytes() >= collection.chunks().dirty_bytes());
            let parts = parts_of(&mut collection);
            assert_eq!(
                (parts.len(), collection.chunks().dirty_bytes()),
                (collection.chunks().chunk_count(), 0)
            );
            let back = read(kind, 1001, &parts).unwrap();
            assert_eq!((back.kind(), back.encoding(), back.chunks().generation()), (kind, 3, 2));
            assert_eq!(content(&back), content(&collection));
            assert!(read(kind, 1000, &parts).is_none(), "another number of items");
            for other in KINDS.into_iter().filter(|other| *other != kind) {
                // Members of a set would do for a hash, and scores for values.
                assert!(other == ValueKind::Hash || read(other, 1001, &parts).is_none());
            }
            assert!(read(ValueKind::String, 1001, &parts).is_none());
            let shape = kind.shape(3);
            assert!(Collection::from_parts(shape, 0, 1001, hasher(), &parts).is_none());
        }
    }

    #[test]
    fn a_clone_keeps_its_items_and_becomes_an_object_of_its_own() {
        for kind in KINDS {
            let mut collection = filled(kind, 1000);
            parts_of(&mut collection);
            let mut copy = collection.clone();
            let before = content(&copy);
            (1000..1100).for_each(|number| add(&mut collection, number));
            assert_eq!(content(&copy), before);
            copy.chunks_mut().recreate();
            copy.set_encoding(1);
            assert_eq!(
                (copy.chunks().generation(), copy.encoding(), collection.encoding()),
                (0, 1, 3)
            );
            let count = copy.chunks().chunk_count();
            assert_eq!(copy.chunks_mut().capture(2).len(), count);
            copy.chunks_mut().end_capture(false);
            assert_eq!(parts_of(&mut copy).len(), count, "a failed capture takes nothing");
        }
    }

    proptest! {
        #[test]
        fn damaged_parts_are_refused_or_whole(
            written in prop::sample::select(KINDS.to_vec()),
            read_as in prop::sample::select(KINDS.to_vec()),
            chunk in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(),
            change in any::<u8>(), cut in any::<bool>(),
        ) {
            let mut collection = filled(written, 400);
            let mut parts = parts_of(&mut collection);
            let index = chunk.index(parts.len());
            let mut bytes = parts[index].1.to_vec();
            let at = at.index(bytes.len());
            bytes[at] ^= change;
            bytes.truncate(if cut { at } else { bytes.len() });
            parts[index].1 = Bytes::from(bytes);
            for len in 399..=401 {
                if let Some(mut back) = read(read_as, len, &parts) {
                    prop_assert_eq!(content(&back).len() as u64, len);
                    add(&mut back, 7);
                    back.chunks_mut().capture(2);
                }
            }
        }
    }
}
