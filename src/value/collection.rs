//! A large collection, whatever its kind: what keyspace and checkpoints ask of all of them.

use bytes::Bytes;

use crate::types::{ChunkId, ValueKind};
use crate::value::chunks::DirtyChunk;
use crate::value::list::List;
use crate::value::members::{MemberHasher, Members};
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
}

/// Calls a method of the value inside.
macro_rules! inner {
    ($collection:expr, $inner:ident => $call:expr) => {
        match $collection {
            Collection::List($inner) => $call,
            Collection::Set($inner) | Collection::Hash($inner) => $call,
            Collection::Zset($inner) => $call,
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
        match ValueKind::of_shape(blob[0]) {
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
        let (kind, encoding) = (ValueKind::of_shape(shape)?, shape & 0x0f);
        let collection = match kind {
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
            ValueKind::String | ValueKind::Stream => return None,
        };
        // Generation 0 would be replaced by the next capture, which takes but what is dirty.
        (collection.len() == len && len > 0 && generation > 0).then_some(collection)
    }

    /// What it is.
    pub fn kind(&self) -> ValueKind {
        match self {
            Collection::List(_) => ValueKind::List,
            Collection::Set(_) => ValueKind::Set,
            Collection::Zset(_) => ValueKind::Zset,
            Collection::Hash(_) => ValueKind::Hash,
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

    /// Number of items.
    pub fn len(&self) -> u64 {
        inner!(self, inner => inner.len())
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Which incarnation of its key's value this is; 0 before the first capture.
    pub fn generation(&self) -> u64 {
        inner!(self, inner => inner.chunks().generation())
    }

    /// Number of chunks.
    pub fn chunk_count(&self) -> u64 {
        inner!(self, inner => inner.chunks().chunk_count() as u64)
    }

    /// Memory behind it, in bytes. O(1).
    pub fn memory_bytes(&self) -> u64 {
        inner!(self, inner => inner.memory_bytes())
    }

    /// A bound of the encoded bytes of each item. O(1).
    pub fn longest_item_bytes(&self) -> u64 {
        match self {
            Collection::List(list) => list.longest_item_bytes(),
            Collection::Set(members) | Collection::Hash(members) => members.longest_item_bytes(),
            Collection::Zset(zset) => zset.longest_item_bytes(),
        }
    }

    /// What a checkpoint would write, about, in bytes. O(1).
    pub fn dirty_bytes(&self) -> u64 {
        inner!(self, inner => inner.chunks().dirty_bytes())
    }

    /// Makes this handle an object of its own, all dirty. O(chunks).
    pub fn recreate(&mut self) {
        inner!(self, inner => inner.chunks_mut().recreate())
    }

    /// Takes handles of what is dirty; `generation` is for a collection that is taken for the
    /// first time. O(dirty chunks).
    pub fn capture(&mut self, generation: u64) -> Vec<DirtyChunk> {
        inner!(self, inner => inner.chunks_mut().capture(generation))
    }

    /// Ends a capture: when what it took was not installed, it is dirty again.
    pub fn end_capture(&mut self, installed: bool) {
        inner!(self, inner => inner.chunks_mut().end_capture(installed))
    }

    /// All items, encoded chunk by chunk, as a record of the whole value ends.
    pub fn encoded_chunks(&self) -> Vec<Bytes> {
        inner!(self, inner => inner.chunks().encoded())
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
    use crate::value::packed;
    use crate::value::score;

    type Parts = Vec<(ChunkId, Bytes)>;

    const KINDS: [ValueKind; 4] =
        [ValueKind::List, ValueKind::Set, ValueKind::Zset, ValueKind::Hash];

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
        }
    }

    fn filled(kind: ValueKind, count: u32) -> Collection {
        let mut collection = Collection::from_packed(&packed_of(kind), hasher());
        (0..count).for_each(|number| add(&mut collection, number));
        collection
    }

    /// Everything that it holds.
    fn content(collection: &Collection) -> Vec<(Vec<u8>, Vec<u8>)> {
        let owned = |item: Item<'_>| (item.member.to_vec(), item.payload.to_vec());
        match collection {
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
        let parts = collection.capture(2).into_iter().filter_map(|chunk| {
            let mut bytes = Vec::new();
            chunk.content?.encode(&mut bytes);
            Some((chunk.id, Bytes::from(bytes)))
        });
        let parts = parts.collect();
        collection.end_capture(true);
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
            assert_eq!((collection.len(), collection.generation()), (1001, 0));
            assert!(collection.dirty_bytes() > 0);
            assert!(collection.memory_bytes() >= collection.dirty_bytes());
            let parts = parts_of(&mut collection);
            assert_eq!(
                (parts.len() as u64, collection.dirty_bytes()),
                (collection.chunk_count(), 0)
            );
            let back = read(kind, 1001, &parts).unwrap();
            assert_eq!((back.kind(), back.encoding(), back.generation()), (kind, 3, 2));
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
            copy.recreate();
            copy.set_encoding(1);
            assert_eq!((copy.generation(), copy.encoding(), collection.encoding()), (0, 1, 3));
            let count = copy.chunk_count() as usize;
            assert_eq!(copy.capture(2).len(), count);
            copy.end_capture(false);
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
                    back.capture(2);
                }
            }
        }
    }
}
