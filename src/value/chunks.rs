//! The chunks of one large collection: what is dirty, what is gone, what a capture has taken.
//!
//! A chunk is the unit of dirtiness, of copy-on-write while a capture or a clone holds it, and of
//! flushing. The protocol is that of [`PagedString`](crate::value::string::PagedString), with
//! chunks that may also go away: those that a part may hold leave a tombstone.
//!
//! Nothing under a partition's lock takes time in proportion to the number of chunks. Time is
//! counted in *periods*, which captures end; every chunk knows in which it has changed, and which
//! periods are clean is a number of the whole. So making all dirty, taking what is dirty and
//! taking back a failed capture are a few numbers each, and a capture is walked later, as a clone.

use std::collections::BTreeSet;
use std::{fmt, sync};

use bytes::Bytes;
use triomphe::Arc;

use crate::types::ChunkId;
use crate::value::tree::{Cursor, SLOT_OVERHEAD_BYTES, Tree, Weigh};

/// The counter in front of what an [`Arc`] holds.
const ARC_BYTES: usize = 8;
/// A tombstone in its map, with the usual slack.
const GONE_BYTES: u64 = 32;

/// The content of a chunk.
pub trait Chunk: Clone + Send + Sync + 'static {
    /// Appends its items, each encoded for itself.
    fn encode_items(&self, out: &mut Vec<u8>);

    /// Appends what a part stores of it.
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(FORM_PLAIN);
        self.encode_items(out);
    }

    /// Memory that it takes, in bytes, itself included. O(1).
    fn memory_bytes(&self) -> u64;

    /// Number of items. O(1).
    fn count(&self) -> u64;
}

/// A chunk's key in memory; keys stand in the order of their ids.
pub trait ChunkKey: Ord + Copy + Send + Sync + 'static {
    /// The id on disk.
    fn id(self) -> ChunkId;
}

impl ChunkKey for u64 {
    fn id(self) -> ChunkId {
        ChunkId::from(self)
    }
}

/// What keyspace and checkpoints ask of the chunks of any collection.
pub trait ChunkSet {
    /// Which incarnation this is; 0 before the first capture.
    fn generation(&self) -> u64;

    /// Number of chunks.
    fn chunk_count(&self) -> usize;

    /// Memory of the dirty chunks and due tombstones, in bytes. O(1).
    fn dirty_bytes(&self) -> u64;

    /// Makes this handle an object of its own: all its chunks are dirty, and nothing of it is
    /// stored yet. O(1).
    fn recreate(&mut self);

    /// Takes the dirty chunks and the tombstones, to be walked off the lock; they count as clean
    /// from here on, until [`ChunkSet::end_capture`] tells otherwise. The first capture of an
    /// object gives it its generation. O(1).
    fn take_dirty(&mut self, generation: u64) -> Box<dyn DirtyChunks>;

    /// As [`ChunkSet::take_dirty`], walked at once.
    fn capture(&mut self, generation: u64) -> Vec<DirtyChunk> {
        self.take_dirty(generation).chunks().collect()
    }

    /// Ends a capture: when what it took was not installed, the chunks are dirty again, and the
    /// tombstones due again of chunks that have not come back. O(1), and O(tombstones) for what
    /// failed.
    fn end_capture(&mut self, installed: bool);

    /// All items, encoded chunk by chunk, as a record of the whole value ends.
    fn encoded(&self) -> Box<dyn Iterator<Item = Bytes> + '_>;
}

/// A captured chunk, whatever it holds; it is encoded later, off the lock.
pub trait ChunkBytes: Send + Sync {
    /// Appends what a part stores of it.
    fn encode(&self, out: &mut Vec<u8>);

    /// Memory that it takes, in bytes.
    fn memory_bytes(&self) -> u64;
}

impl<C: Chunk> ChunkBytes for Arc<C> {
    fn encode(&self, out: &mut Vec<u8>) {
        Chunk::encode(&**self, out);
    }

    fn memory_bytes(&self) -> u64 {
        Chunk::memory_bytes(&**self)
    }
}

/// The first byte of every chunk on disk: items as they are.
pub(super) const FORM_PLAIN: u8 = 0;
/// The first byte of a list's chunk whose elements have one length, which follows.
pub(super) const FORM_UNIFORM: u8 = 1;
/// A chunk without items, as it is on disk.
pub const EMPTY_CHUNK: &[u8] = &[FORM_PLAIN];

/// A chunk that a checkpoint has to write.
#[derive(Clone)]
pub struct DirtyChunk {
    /// Its id inside the collection.
    pub id: ChunkId,
    /// What it holds; None for a chunk that is gone.
    pub content: Option<sync::Arc<dyn ChunkBytes>>,
}

impl DirtyChunk {
    /// Memory that its content takes, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.content.as_ref().map_or(0, |content| content.memory_bytes())
    }
}

impl fmt::Debug for DirtyChunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.content.is_some() { "chunk" } else { "gone chunk" };
        write!(f, "{what} {:#x}", self.id)
    }
}

/// What a capture has taken of one collection.
pub trait DirtyChunks: Send + Sync {
    /// Chunks and tombstones in the order of their ids.
    fn chunks(&self) -> Box<dyn Iterator<Item = DirtyChunk> + '_>;
}

impl DirtyChunks for Vec<DirtyChunk> {
    fn chunks(&self) -> Box<dyn Iterator<Item = DirtyChunk> + '_> {
        Box::new(self.iter().cloned())
    }
}

impl fmt::Debug for dyn DirtyChunks + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.chunks()).finish()
    }
}

/// The items of a chunk from a disk. None where it has a form that nobody knows.
pub fn items_of(bytes: &[u8]) -> Option<&[u8]> {
    match bytes.split_first()? {
        (&FORM_PLAIN, items) => Some(items),
        _ => None,
    }
}

/// One chunk and what is known about it.
#[derive(Clone, Debug)]
pub struct Slot<C> {
    chunk: Arc<C>,
    /// The period in which it has changed last.
    changed: u32,
    /// The period in which a chunk came under this id; 0 where a part may have held one before.
    since: u32,
}

impl<C> Slot<C> {
    /// The content.
    pub fn chunk(&self) -> &C {
        &self.chunk
    }
}

impl<C: Chunk> Weigh for Slot<C> {
    fn weight(&self) -> u64 {
        self.chunk.count()
    }
}

/// The chunks of one collection in the order of their keys. See the module.
///
/// The *generation* names this incarnation of its key's value; chunks on disk carry it, so that
/// those of another are never taken for this one's. The first capture gives it.
#[derive(Clone, Debug)]
pub struct Chunks<K, C> {
    slots: Tree<K, Slot<C>>,
    /// 0 before the first capture.
    generation: u64,
    /// The period under way.
    period: u32,
    /// Chunks that have changed in a period up to this are clean.
    clean_upto: u32,
    /// The last period of which a part may hold something; 0 for none.
    stored_upto: u32,
    /// Chunks that went away and need a tombstone.
    gone: BTreeSet<K>,
    /// The capture under way.
    flight: Option<Flight<K>>,
    /// Memory of all chunks.
    bytes: u64,
    /// Memory of the dirty chunks.
    dirty_bytes: u64,
}

/// What a capture under way has taken.
#[derive(Clone, Debug)]
struct Flight<K> {
    /// Chunks that have changed in a period up to this were clean before it.
    clean_before: u32,
    /// Memory of the chunks that it took and that have not changed since.
    bytes: u64,
    gone: Arc<BTreeSet<K>>,
}

/// What a capture has taken: the tree as it stood, of which what has changed counts.
struct Taken<K, C> {
    slots: Tree<K, Slot<C>>,
    clean_before: u32,
    gone: Arc<BTreeSet<K>>,
}

impl<K: ChunkKey, C: Chunk> DirtyChunks for Taken<K, C> {
    fn chunks(&self) -> Box<dyn Iterator<Item = DirtyChunk> + '_> {
        let dirty = self.slots.iter().filter(|(_, slot)| slot.changed > self.clean_before);
        let mut dirty = dirty.map(|(key, slot)| {
            let content: sync::Arc<dyn ChunkBytes> = sync::Arc::new(slot.chunk.clone());
            DirtyChunk { id: key.id(), content: Some(content) }
        });
        // The keys of a stream's chunks need not ascend with their ids once chunks are gone.
        let mut gone: Vec<ChunkId> = self.gone.iter().map(|key| key.id()).collect();
        gone.sort_unstable();
        let mut gone = gone.into_iter().map(|id| DirtyChunk { id, content: None });
        let (mut next, mut next_gone) = (dirty.next(), gone.next());
        Box::new(std::iter::from_fn(move || match (&next, &next_gone) {
            (Some(chunk), Some(tombstone)) if tombstone.id < chunk.id => {
                std::mem::replace(&mut next_gone, gone.next())
            }
            (Some(_), _) => std::mem::replace(&mut next, dirty.next()),
            (None, _) => std::mem::replace(&mut next_gone, gone.next()),
        }))
    }
}

impl<K: ChunkKey, C: Chunk> Default for Chunks<K, C> {
    /// A new object without chunks.
    fn default() -> Chunks<K, C> {
        Chunks {
            slots: Tree::new(),
            generation: 0,
            period: 1,
            clean_upto: 0,
            stored_upto: 0,
            gone: BTreeSet::new(),
            flight: None,
            bytes: 0,
            dirty_bytes: 0,
        }
    }
}

impl<K: ChunkKey, C: Chunk> Chunks<K, C> {
    /// A new object, all its chunks dirty. None where keys do not ascend.
    pub fn create(chunks: Vec<(K, C)>) -> Option<Chunks<K, C>> {
        let mut created = Chunks::from_parts(0, chunks)?;
        created.recreate();
        Some(created)
    }

    /// A clean object as parts hold it: chunks in ascending order. None where keys do not ascend.
    pub fn from_parts(generation: u64, slots: Vec<(K, C)>) -> Option<Chunks<K, C>> {
        let (clean_upto, stored_upto) = (1, 1);
        let mut chunks = Chunks { generation, clean_upto, stored_upto, ..Chunks::default() };
        chunks.period = 2;
        let slots = slots.into_iter().map(|(key, chunk)| {
            chunks.bytes += Chunk::memory_bytes(&chunk);
            (key, Slot { chunk: Arc::new(chunk), changed: 1, since: 0 })
        });
        let slots = slots.collect();
        chunks.slots = Tree::from_sorted(slots)?;
        Some(chunks)
    }

    /// Number of items in all chunks.
    pub fn len(&self) -> u64 {
        self.slots.len()
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The slots in order, for reading.
    pub fn slots(&self) -> &Tree<K, Slot<C>> {
        &self.slots
    }

    /// All chunks in order.
    pub fn iter(&self) -> impl Iterator<Item = (K, &C)> {
        self.slots.iter().map(|(key, slot)| (*key, slot.chunk()))
    }

    /// The chunk under exactly this key. O(log chunks).
    pub fn get(&self, key: K) -> Option<&C> {
        self.slots.get(&key).map(Slot::chunk)
    }

    /// The last chunk whose key is not above `key`, else the first. O(log chunks).
    #[inline]
    pub fn covering(&self, key: K) -> Option<(K, &C)> {
        let (found, slot) = self.slots.slot_by(|low| low.cmp(&key))?;
        Some((*found, slot.chunk()))
    }

    /// Stands on the chunk that [`Chunks::covering`] finds.
    pub fn cursor(&self, key: K) -> Cursor<'_, K, Slot<C>> {
        self.slots.cursor_by(|low| low.cmp(&key))
    }

    /// The chunk that holds the item of this rank (from 0), and the item's index inside it.
    /// O(log chunks).
    pub fn at_rank(&self, rank: u64) -> Option<(K, &C, u64)> {
        let (key, slot, offset) = self.slots.at_rank(rank)?;
        Some((*key, slot.chunk(), offset))
    }

    /// Edits the chunk under exactly this key, a copy of it where somebody else holds it.
    /// O(log chunks).
    pub fn edit<R>(&mut self, key: K, edit: impl FnOnce(&mut C) -> R) -> Option<R> {
        self.slots.get(&key)?;
        self.edit_covering(key, |_, chunk| edit(chunk))
    }

    /// Edits the chunk that [`Chunks::covering`] finds, a copy of it where somebody else holds
    /// it. O(log chunks).
    pub fn edit_covering<R>(&mut self, key: K, edit: impl FnOnce(K, &mut C) -> R) -> Option<R> {
        self.edit_found(key, |_| Some(()), |key, chunk, ()| edit(key, chunk))
    }

    /// As [`Chunks::edit_covering`], where `find` finds in the chunk what is to be edited; else
    /// nothing changes.
    pub fn edit_found<F, R>(
        &mut self,
        key: K,
        find: impl FnOnce(&C) -> Option<F>,
        edit: impl FnOnce(K, &mut C, F) -> R,
    ) -> Option<R> {
        let Chunks { slots, bytes, dirty_bytes, clean_upto, period, flight, .. } = self;
        let edited = slots.edit_by(
            |low| low.cmp(&key),
            |&key, slot| {
                let found = find(&slot.chunk)?;
                // A copy may take less than what it was copied from.
                let before = Chunk::memory_bytes(&*slot.chunk);
                let chunk = Arc::make_mut(&mut slot.chunk);
                let result = edit(key, chunk, found);
                let after = Chunk::memory_bytes(chunk);
                *bytes = *bytes - before + after;
                *dirty_bytes += after;
                match flight {
                    _ if slot.changed > *clean_upto => *dirty_bytes -= before,
                    Some(flight) if slot.changed > flight.clean_before => flight.bytes -= before,
                    _ => {}
                }
                slot.changed = *period;
                Some(result)
            },
        );
        edited.flatten()
    }

    /// Adds a chunk under a key that no other has. O(log chunks).
    pub fn insert(&mut self, key: K, chunk: C) {
        let bytes = Chunk::memory_bytes(&chunk);
        let in_flight = self.flight.as_ref().is_some_and(|flight| flight.gone.contains(&key));
        let since = if self.gone.remove(&key) || in_flight { 0 } else { self.period };
        let slot = Slot { chunk: Arc::new(chunk), changed: self.period, since };
        let old = self.slots.insert(key, slot);
        assert!(old.is_none(), "a chunk has a key of its own");
        self.bytes += bytes;
        self.dirty_bytes += bytes;
    }

    /// Takes a chunk out; where a part may hold it, its tombstone is due. O(log chunks).
    pub fn remove(&mut self, key: K) -> Option<Arc<C>> {
        let slot = self.slots.remove(&key)?;
        let bytes = Chunk::memory_bytes(&*slot.chunk);
        self.bytes -= bytes;
        match &mut self.flight {
            _ if slot.changed > self.clean_upto => self.dirty_bytes -= bytes,
            Some(flight) if slot.changed > flight.clean_before => flight.bytes -= bytes,
            _ => {}
        }
        if self.stored_upto > 0 && slot.since <= self.stored_upto {
            self.gone.insert(key);
        }
        Some(slot.chunk)
    }

    /// Gives the chunks, in their order, new keys, which ascend and are as many. All become dirty,
    /// and tombstones of the old keys are due. O(chunks).
    pub fn rekey(&mut self, keys: impl IntoIterator<Item = K>) {
        let old: Vec<K> = self.slots.iter().map(|(key, _)| *key).collect();
        let take = |key| self.remove(key).expect("a key of the tree");
        let chunks: Vec<Arc<C>> = old.into_iter().map(take).collect();
        let mut keys = keys.into_iter();
        for chunk in chunks {
            let key = keys.next().expect("a key for each chunk");
            self.insert(key, Arc::unwrap_or_clone(chunk));
        }
        assert!(keys.next().is_none(), "no more keys than chunks");
    }

    /// Memory that chunks and their bookkeeping take, in bytes; chunks shared with other handles
    /// count in full. O(1).
    pub fn memory_bytes(&self) -> u64 {
        let slot = size_of::<K>() + size_of::<Slot<C>>() + ARC_BYTES;
        let slots = self.slots.chunks() as u64 * (slot as u64 + SLOT_OVERHEAD_BYTES);
        let gone = self.gone.len() + self.flight.as_ref().map_or(0, |flight| flight.gone.len());
        self.bytes + slots + gone as u64 * GONE_BYTES
    }
}

impl<K: ChunkKey, C: Chunk> ChunkSet for Chunks<K, C> {
    fn generation(&self) -> u64 {
        self.generation
    }

    fn chunk_count(&self) -> usize {
        self.slots.chunks()
    }

    fn dirty_bytes(&self) -> u64 {
        self.dirty_bytes + self.gone.len() as u64 * GONE_BYTES
    }

    fn recreate(&mut self) {
        (self.generation, self.clean_upto, self.stored_upto) = (0, 0, 0);
        self.dirty_bytes = self.bytes;
        self.gone = BTreeSet::new();
        self.flight = None;
    }

    fn take_dirty(&mut self, generation: u64) -> Box<dyn DirtyChunks> {
        if self.generation == 0 {
            self.generation = generation;
        }
        assert!(self.flight.is_none(), "no other capture");
        let (clean_before, bytes) = (self.clean_upto, self.dirty_bytes);
        let gone = Arc::new(std::mem::take(&mut self.gone));
        self.flight = Some(Flight { clean_before, bytes, gone: gone.clone() });
        (self.clean_upto, self.stored_upto) = (self.period, self.period);
        self.period = self.period.checked_add(1).expect("fewer captures than that");
        self.dirty_bytes = 0;
        Box::new(Taken { slots: self.slots.clone(), clean_before, gone })
    }

    fn end_capture(&mut self, installed: bool) {
        let Some(flight) = self.flight.take().filter(|_| !installed) else {
            return;
        };
        self.clean_upto = flight.clean_before;
        self.dirty_bytes += flight.bytes;
        let missing = flight.gone.iter().filter(|key| self.slots.get(key).is_none());
        self.gone.extend(missing);
    }

    fn encoded(&self) -> Box<dyn Iterator<Item = Bytes> + '_> {
        let encode = |(_, chunk): (K, &C)| {
            let mut bytes = Vec::new();
            chunk.encode_items(&mut bytes);
            Bytes::from(bytes)
        };
        Box::new(self.iter().map(encode))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use std::collections::BTreeMap;

    use super::*;

    #[derive(Clone, PartialEq, Debug)]
    struct Bag(Vec<u8>);

    impl Chunk for Bag {
        fn encode_items(&self, out: &mut Vec<u8>) {
            out.extend_from_slice(&self.0);
        }

        fn memory_bytes(&self) -> u64 {
            self.0.capacity() as u64 + 24
        }

        fn count(&self) -> u64 {
            self.0.len() as u64
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u64),
        Edit(u64),
        Remove(u64),
        Rekey,
        Clone,
        Capture,
        End(bool),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..30u64).prop_map(Step::Insert),
            4 => (0..30u64).prop_map(Step::Edit),
            3 => (0..30u64).prop_map(Step::Remove),
            1 => Just(Step::Rekey),
            1 => Just(Step::Clone),
            2 => Just(Step::Capture),
            2 => any::<bool>().prop_map(Step::End),
        ]
    }

    type Content = BTreeMap<u64, Vec<u8>>;

    /// Chunks beside a naive account of them and of a disk.
    struct Rig {
        chunks: Chunks<u64, Bag>,
        model: Content,
        disk: BTreeMap<ChunkId, Vec<u8>>,
        /// Keys changed since they were last captured and installed.
        changed: BTreeSet<u64>,
        flight: Option<(Vec<DirtyChunk>, BTreeSet<u64>)>,
        held: Vec<(Chunks<u64, Bag>, Content)>,
        steps: u64,
    }

    impl Rig {
        fn new() -> Rig {
            Rig {
                chunks: Chunks::default(),
                model: Content::new(),
                disk: BTreeMap::new(),
                changed: BTreeSet::new(),
                flight: None,
                held: Vec::new(),
                steps: 1,
            }
        }

        fn apply(&mut self, step: &Step) {
            self.steps += 1;
            let fill = vec![self.steps as u8; self.steps as usize % 7];
            match *step {
                Step::Insert(key) if !self.model.contains_key(&key) => {
                    self.chunks.insert(key, Bag(fill.clone()));
                    self.model.insert(key, fill);
                    self.changed.insert(key);
                }
                Step::Insert(key) | Step::Edit(key) => {
                    let present = self.model.get_mut(&key).map(|bytes| *bytes = fill.clone());
                    let edited = self.chunks.edit(key, |bag| {
                        bag.0.clear();
                        bag.0.extend_from_slice(&fill);
                    });
                    assert_eq!(present, edited);
                    present.map(|()| self.changed.insert(key));
                }
                Step::Remove(key) => {
                    let removed = self.chunks.remove(key);
                    assert_eq!(removed.map(|bag| bag.0.clone()), self.model.remove(&key));
                    self.changed.insert(key);
                }
                Step::Rekey => {
                    let keys = (0..self.model.len() as u64).map(|number| number * 2);
                    self.chunks.rekey(keys.clone());
                    let old = std::mem::take(&mut self.model);
                    self.changed.extend(old.keys().copied().chain(keys.clone()));
                    self.model = keys.zip(old.into_values()).collect();
                }
                Step::Clone => self.held.push((self.chunks.clone(), self.model.clone())),
                Step::Capture => self.capture(),
                Step::End(installed) => self.end(installed),
            }
            self.check();
        }

        fn capture(&mut self) {
            if self.flight.is_some() {
                return;
            }
            let taken = self.chunks.capture(1);
            assert!(taken.is_sorted_by(|one, next| one.id < next.id), "each id once");
            let ids =
                |gone: bool| taken.iter().filter(move |chunk| chunk.content.is_none() == gone);
            let filled: Vec<u64> = ids(false).map(|chunk| chunk.id as u64).collect();
            let changed = std::mem::take(&mut self.changed);
            let wanted = changed.iter().filter(|key| self.model.contains_key(*key));
            assert!(wanted.eq(&filled), "exactly what has changed");
            let due = self.disk.keys().filter(|id| !self.model.contains_key(&(**id as u64)));
            let gone: BTreeSet<ChunkId> = ids(true).map(|chunk| chunk.id).collect();
            assert!(due.copied().all(|id| gone.contains(&id)), "a tombstone for what is stored");
            self.flight = Some((taken, changed));
        }

        fn end(&mut self, installed: bool) {
            let Some((taken, changed)) = self.flight.take() else {
                return;
            };
            self.chunks.end_capture(installed);
            if !installed {
                self.changed.extend(changed);
                return;
            }
            for chunk in taken {
                match chunk.content {
                    None => drop(self.disk.remove(&chunk.id)),
                    Some(content) => {
                        let mut bytes = Vec::new();
                        content.encode(&mut bytes);
                        let items = items_of(&bytes).expect("a form that is known");
                        self.disk.insert(chunk.id, items.to_vec());
                    }
                }
            }
        }

        fn check(&self) {
            assert_content(&self.chunks, &self.model);
            let slots = self.chunks.slots.iter();
            let bytes: u64 = slots.map(|(_, slot)| Chunk::memory_bytes(slot.chunk())).sum();
            assert_eq!(self.chunks.bytes, bytes);
            let clean_upto = self.chunks.clean_upto;
            let dirty = self.chunks.slots.iter().filter(|(_, slot)| slot.changed > clean_upto);
            let dirty: u64 = dirty.map(|(_, slot)| Chunk::memory_bytes(slot.chunk())).sum();
            assert_eq!(self.chunks.dirty_bytes, dirty);
        }
    }

    fn assert_content(chunks: &Chunks<u64, Bag>, model: &Content) {
        let content = chunks.iter().map(|(key, bag)| (key, bag.0.clone()));
        assert!(content.eq(model.clone()));
        assert_eq!(chunks.len(), model.values().map(|bytes| bytes.len() as u64).sum::<u64>());
    }

    proptest! {
        #[test]
        fn a_disk_that_takes_the_captures_holds_the_chunks(
            steps in prop::collection::vec(step(), 0..120),
        ) {
            let mut rig = Rig::new();
            steps.iter().for_each(|step| rig.apply(step));
            rig.end(true);
            rig.capture();
            rig.end(true);
            prop_assert_eq!(rig.chunks.dirty_bytes(), 0);
            let parts = rig.disk.iter().map(|(id, bytes)| (*id as u64, Bag(bytes.clone())));
            let mut read: Chunks<u64, Bag> = Chunks::from_parts(1, parts.collect()).unwrap();
            assert_content(&read, &rig.model);
            prop_assert!(read.capture(1).is_empty());
            for (chunks, model) in rig.held {
                assert_content(&chunks, &model);
            }
        }
    }

    #[test]
    fn a_chunk_that_no_part_holds_leaves_no_tombstone() {
        let mut chunks = Chunks::default();
        for round in 0..1000u64 {
            chunks.insert(round, Bag(vec![1]));
            chunks.remove(round);
        }
        assert!(chunks.capture(1).is_empty());
        chunks.end_capture(true);
        chunks.insert(5, Bag(vec![1]));
        chunks.capture(1);
        chunks.remove(5);
        chunks.end_capture(false);
        let gone = chunks.capture(1);
        assert_eq!((gone.len(), gone[0].id), (1, 5));
        assert!(gone[0].content.is_none());
    }

    #[test]
    fn a_tombstone_in_flight_comes_back_only_when_its_chunk_does_not() {
        let mut chunks = Chunks::from_parts(1, vec![(1, Bag(vec![1])), (2, Bag(vec![2]))])
            .expect("ids that ascend");
        chunks.remove(1u64);
        chunks.remove(2);
        assert_eq!(chunks.capture(1).len(), 2);
        chunks.insert(1, Bag(vec![3]));
        chunks.end_capture(false);
        let taken = chunks.capture(1);
        let shown: Vec<_> = taken.iter().map(|one| (one.id, one.content.is_none())).collect();
        assert_eq!(shown, [(1, false), (2, true)]);
        chunks.end_capture(true);
        chunks.remove(1);
        assert_eq!(chunks.capture(1).len(), 1, "what came back is stored, too");
    }

    #[test]
    fn a_recreated_handle_is_an_object_of_its_own() {
        let parts = vec![(1, Bag(vec![1])), (2, Bag(vec![2]))];
        let mut chunks: Chunks<u64, Bag> = Chunks::from_parts(1, parts).expect("ascending ids");
        chunks.remove(1);
        let mut copy = chunks.clone();
        copy.recreate();
        assert_eq!((copy.generation(), chunks.generation()), (0, 1));
        let taken = copy.capture(9);
        assert_eq!(copy.generation(), 9, "the first capture gives it");
        assert_eq!((taken.len(), taken[0].id), (1, 2));
        assert_eq!(chunks.capture(1).len(), 1, "the tombstone of the original");
    }

    #[test]
    fn ids_out_of_order_are_refused() {
        let read = |ids: &[u64]| {
            let parts = ids.iter().map(|id| (*id, Bag(vec![1]))).collect();
            Chunks::<u64, Bag>::from_parts(1, parts).is_some()
        };
        assert!(read(&[0, 1]));
        assert!(!read(&[1, 1]));
        assert!(!read(&[1, 0]));
    }
}
