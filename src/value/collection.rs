//! A large collection of any kind, as the keyspace and checkpoints handle it.

use crate::types::{ChunkId, Lsn, ValueKind};
use crate::value::chunks::DirtyChunk;
use crate::value::list::List;
use crate::value::members::{MemberHasher, Members};
use crate::value::packed;
use crate::value::zset::Zset;

/// A chunked list, set, sorted set or hash. Cloning it is O(1) but for lists of what is dirty.
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

/// One expression for whichever kind it is.
macro_rules! whichever {
    ($collection:expr, $value:ident => $result:expr) => {
        match $collection {
            Collection::List($value) => $result,
            Collection::Set($value) | Collection::Hash($value) => $result,
            Collection::Zset($value) => $result,
        }
    };
}

impl Collection {
    /// A new object of generation `lsn` with the items of a valid packed collection. None where
    /// the blob is no collection.
    pub fn from_packed(blob: &[u8], hasher: MemberHasher, lsn: Lsn) -> Option<Collection> {
        let collection = match packed::kind(blob)? {
            ValueKind::List => Collection::List(List::from_packed(blob, lsn)),
            ValueKind::Set => Collection::Set(Members::from_packed(blob, hasher, lsn)?),
            ValueKind::Zset => Collection::Zset(Zset::from_packed(blob, hasher, lsn)?),
            ValueKind::Hash => Collection::Hash(Members::from_packed(blob, hasher, lsn)?),
            ValueKind::String | ValueKind::Stream => return None,
        };
        Some(collection)
    }

    /// A clean object of `len` items as parts hold it: encoded chunks in the order of their ids
    /// with the LSN of their last change. None where the chunks are not all those of such a
    /// collection: whatever stands in them, what comes back is whole.
    pub fn from_parts(
        kind: ValueKind,
        encoding: u8,
        generation: Lsn,
        len: u64,
        hasher: MemberHasher,
        parts: &[(ChunkId, Lsn, impl AsRef<[u8]>)],
    ) -> Option<Collection> {
        if encoding >= 16 {
            return None;
        }
        let members = || Members::from_parts(kind, encoding, hasher, generation, parts);
        let collection = match kind {
            ValueKind::List => {
                let mut list = List::from_parts(generation, parts)?;
                list.set_encoding(encoding);
                Collection::List(list)
            }
            ValueKind::Set => Collection::Set(members()?),
            ValueKind::Zset => {
                Collection::Zset(Zset::from_parts(encoding, hasher, generation, parts)?)
            }
            ValueKind::Hash => Collection::Hash(members()?),
            ValueKind::String | ValueKind::Stream => return None,
        };
        (collection.len() == len).then_some(collection)
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
        whichever!(self, value => value.encoding())
    }

    /// Tells `OBJECT ENCODING` something else; `encoding` is below 16.
    pub fn set_encoding(&mut self, encoding: u8) {
        whichever!(self, value => value.set_encoding(encoding));
    }

    /// Number of items. O(1).
    pub fn len(&self) -> u64 {
        whichever!(self, value => value.len())
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// LSN of the object's creation; its chunks on disk carry it.
    pub fn generation(&self) -> Lsn {
        whichever!(self, value => value.generation())
    }

    /// Number of chunks.
    pub fn chunk_count(&self) -> usize {
        whichever!(self, value => value.chunk_count())
    }

    /// Makes this handle an object of its own, created at `lsn`: all its chunks are dirty.
    /// O(chunks).
    pub fn recreate(&mut self, lsn: Lsn) {
        whichever!(self, value => value.recreate(lsn));
    }

    /// Gives everything changed under
    /// [`PROVISIONAL_LSN`](crate::value::string::PROVISIONAL_LSN) its LSN. O(changed chunks).
    pub fn stamp(&mut self, lsn: Lsn) {
        whichever!(self, value => value.stamp(lsn));
    }

    /// Takes handles of the dirty chunks and the tombstones, in the order of their ids; they count
    /// as clean from here on, until [`Collection::end_capture`] tells otherwise.
    pub fn capture(&mut self) -> Vec<DirtyChunk> {
        whichever!(self, value => value.capture())
    }

    /// Ends a capture: when what it took was not installed, it is dirty again.
    pub fn end_capture(&mut self, installed: bool) {
        whichever!(self, value => value.end_capture(installed));
    }

    /// Memory of dirty chunks and due tombstones, in bytes. O(1).
    pub fn dirty_bytes(&self) -> u64 {
        whichever!(self, value => value.dirty_bytes())
    }

    /// Memory that it takes, in bytes. O(1).
    pub fn memory_bytes(&self) -> u64 {
        whichever!(self, value => value.memory_bytes())
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
    use crate::value::string::PROVISIONAL_LSN;

    type Parts = Vec<(ChunkId, Lsn, Vec<u8>)>;

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
    fn add(collection: &mut Collection, number: u32, lsn: Lsn) {
        let name = format!("item {number}").into_bytes();
        match collection {
            Collection::List(list) => list.push(number.is_multiple_of(2), &name, lsn),
            Collection::Set(members) => drop(members.insert(&Item::new(&name, b""), lsn)),
            Collection::Zset(zset) => drop(zset.insert(&name, f64::from(number) / 2.0, lsn)),
            Collection::Hash(members) => drop(members.insert(&Item::new(&name, &name), lsn)),
        }
    }

    fn filled(kind: ValueKind, count: u32) -> Collection {
        let mut collection = Collection::from_packed(&packed_of(kind), hasher(), 2).unwrap();
        (0..count).for_each(|number| add(&mut collection, number, PROVISIONAL_LSN));
        collection.stamp(5);
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
        let parts = collection.capture().into_iter().filter_map(|chunk| {
            let mut bytes = Vec::new();
            chunk.content?.encode(&mut bytes);
            Some((chunk.id, chunk.lsn, bytes))
        });
        let parts = parts.collect();
        collection.end_capture(true);
        parts
    }

    fn read(kind: ValueKind, len: u64, parts: &Parts) -> Option<Collection> {
        Collection::from_parts(kind, 3, 2, len, hasher(), parts)
    }

    #[test]
    fn every_kind_comes_back_from_its_parts() {
        for kind in KINDS {
            let mut collection = filled(kind, 1000);
            assert_eq!((collection.kind(), collection.encoding()), (kind, 3));
            assert_eq!((collection.len(), collection.generation()), (1001, 2));
            assert!(collection.dirty_bytes() > 0);
            assert!(collection.memory_bytes() >= collection.dirty_bytes());
            let parts = parts_of(&mut collection);
            assert_eq!((parts.len(), collection.dirty_bytes()), (collection.chunk_count(), 0));
            let back = read(kind, 1001, &parts).unwrap();
            assert_eq!((back.kind(), back.encoding(), back.generation()), (kind, 3, 2));
            assert_eq!(content(&back), content(&collection));
            assert!(read(kind, 1000, &parts).is_none(), "another number of items");
            for other in KINDS.into_iter().filter(|other| *other != kind) {
                // Members of a set would do for a hash, and scores for values.
                assert!(other == ValueKind::Hash || read(other, 1001, &parts).is_none());
            }
            assert!(read(ValueKind::String, 1001, &parts).is_none());
            let encoding = |number| Collection::from_parts(kind, number, 2, 1001, hasher(), &parts);
            assert!(encoding(15).is_some() && encoding(16).is_none());
        }
    }

    #[test]
    fn a_clone_keeps_its_items_and_becomes_an_object_of_its_own() {
        for kind in KINDS {
            let mut collection = filled(kind, 1000);
            parts_of(&mut collection);
            let mut copy = collection.clone();
            let before = content(&copy);
            (1000..1100).for_each(|number| add(&mut collection, number, 7));
            assert_eq!(content(&copy), before);
            copy.recreate(PROVISIONAL_LSN);
            copy.stamp(8);
            copy.set_encoding(1);
            assert_eq!((copy.generation(), copy.encoding(), collection.encoding()), (8, 1, 3));
            let count = copy.chunk_count();
            assert_eq!(copy.capture().len(), count);
            copy.end_capture(false);
            assert_eq!(parts_of(&mut copy).len(), count, "a failed capture takes nothing");
        }
    }

    #[test]
    fn what_is_no_packed_collection_is_refused() {
        for head in [0x00, 0x60, 0x70] {
            assert!(Collection::from_packed(&[head], hasher(), 1).is_none());
        }
        assert!(Collection::from_packed(&[], hasher(), 1).is_none());
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
            let bytes = &mut parts[index].2;
            let at = at.index(bytes.len());
            bytes[at] ^= change;
            bytes.truncate(if cut { at } else { bytes.len() });
            for len in 399..=401 {
                if let Some(mut back) = read(read_as, len, &parts) {
                    prop_assert_eq!(content(&back).len() as u64, len);
                    add(&mut back, 7, 9);
                    back.capture();
                }
            }
        }
    }
}
