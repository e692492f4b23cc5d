//! Large hashes and sets, and the members of large sorted sets: chunks by ranges of hashes.
//!
//! A chunk's id is the lowest hash of its range, which ends in front of the next chunk's; the first
//! id is 0. Ids stand on the edges of *granules*, of which a scan cursor counts: a granule never
//! lies in two chunks, whatever is split or merged.

use std::cell::Cell;

use crate::limits::{MEMBER_CHUNK_BYTES_MAX, MEMBER_CHUNK_ITEMS_MAX};
use crate::prefetch::prefetch_value;
use crate::types::{ChunkId, ValueKind};
use crate::value::chunks::{ChunkSet, Chunks, items_of};
use crate::value::item::Item;
use crate::value::member_chunk::{GRANULE_BITS, MemberChunk};
use crate::value::packed::{encoding, kind};
use crate::value::packed_members::{PackedMembers, valid_item};

pub use crate::value::member_chunk::MemberHasher;

/// A merge is tried each time that a chunk has lost so many items.
const MERGE_STEP: usize = 8;

/// Members with their payloads. See the module.
#[derive(Clone, Debug)]
pub struct Members {
    kind: ValueKind,
    encoding: u8,
    hasher: MemberHasher,
    chunks: Chunks<u64, MemberChunk>,
    /// Encoded bytes of the longest item that it has had.
    longest_item_bytes: usize,
}

/// A member whose chunk is on its way into the cache.
#[derive(Clone, Copy, Debug)]
pub struct Near<'m> {
    chunk: &'m MemberChunk,
    place: Place,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Hash(u64),
    Index(u64),
}

impl<'m> Near<'m> {
    fn new(chunk: &'m MemberChunk, place: Place) -> Near<'m> {
        prefetch_value(chunk);
        Near { chunk, place }
    }

    /// Starts to bring the member's item, or the place for it.
    pub fn prefetch(self) {
        let index = match self.place {
            Place::Hash(hash) => self.chunk.likely_index(hash),
            Place::Index(index) => Some(index as usize),
        };
        match index {
            Some(index) => self.chunk.prefetch(index),
            // It may be about to be put there.
            None => self.chunk.prefetch_end(),
        }
    }
}

impl Members {
    /// A new object without members; `encoding` is below 16.
    pub fn new(kind: ValueKind, encoding: u8, hasher: MemberHasher) -> Members {
        Members { kind, encoding, hasher, chunks: Chunks::default(), longest_item_bytes: 0 }
    }

    /// A new object, changed at `lsn`, with the members of a valid packed hash, set or sorted set.
    /// None where the blob is something else.
    pub fn from_packed(blob: &[u8], hasher: MemberHasher) -> Option<Members> {
        let kind = kind(blob).filter(|kind| *kind != ValueKind::List)?;
        let mut members = Members::new(kind, encoding(blob), hasher);
        for item in PackedMembers::new(blob).iter() {
            members.insert(&item);
        }
        Some(members)
    }

    /// A clean object as parts hold it: encoded chunks in the order of their ids with the LSN of
    /// their last change. None where they are not the chunks of such a collection.
    pub fn from_parts(
        kind: ValueKind,
        encoding: u8,
        hasher: MemberHasher,
        generation: u64,
        parts: &[(ChunkId, impl AsRef<[u8]>)],
    ) -> Option<Members> {
        let first = parts.first().map_or(0, |part| part.0);
        if first != 0 || encoding >= 16 {
            return None;
        }
        let mut chunks = Vec::with_capacity(parts.len());
        let longest = Cell::new(0);
        for (index, (id, bytes)) in parts.iter().enumerate() {
            let low = u64::try_from(*id).ok()?;
            let next = match parts.get(index + 1) {
                Some((next, _)) => u64::try_from(*next).ok()?,
                None => 0,
            };
            // Behind the last chunk the ids start again at 0.
            let range = (low, next.wrapping_sub(1));
            let valid = |item: &Item<'_>| {
                longest.set(longest.get().max(item.encoded_len()));
                valid_item(kind, item)
            };
            let chunk = MemberChunk::decode(items_of(bytes.as_ref())?, &hasher, range, valid)?;
            if low % (1 << GRANULE_BITS) != 0 || (chunk.is_empty() && low != 0) {
                return None;
            }
            chunks.push((low, chunk));
        }
        let chunks = Chunks::from_parts(generation, chunks)?;
        Some(Members { kind, encoding, hasher, chunks, longest_item_bytes: longest.get() })
    }

    /// Some chunks of such a collection, for [`Members::get`] of members in their ranges. None
    /// where they are no such chunks.
    pub fn of_some_chunks(
        kind: ValueKind,
        encoding: u8,
        hasher: MemberHasher,
        parts: &[(ChunkId, impl AsRef<[u8]>)],
    ) -> Option<Members> {
        let decode = |(id, bytes): &(ChunkId, _)| {
            let (low, bytes): (u64, &[u8]) = (u64::try_from(*id).ok()?, AsRef::as_ref(bytes));
            let valid = |item: &Item<'_>| valid_item(kind, item);
            let items = items_of(bytes)?;
            Some((low, MemberChunk::decode(items, &hasher, (low, u64::MAX), valid)?))
        };
        let chunks: Option<Vec<_>> = parts.iter().map(decode).collect();
        let chunks = Chunks::from_parts(0, chunks?)?;
        Some(Members { kind, encoding, hasher, chunks, longest_item_bytes: 0 })
    }

    /// Hash, set or sorted set.
    pub fn kind(&self) -> ValueKind {
        self.kind
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

    /// The hash that orders the members.
    pub fn hasher(&self) -> MemberHasher {
        self.hasher
    }

    /// Number of members.
    pub fn len(&self) -> u64 {
        self.chunks.len()
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// A bound of the encoded bytes of each item. O(1).
    pub fn longest_item_bytes(&self) -> u64 {
        self.longest_item_bytes as u64
    }

    /// The item of a member. O(log chunks).
    pub fn get(&self, member: &[u8]) -> Option<Item<'_>> {
        let hash = self.hasher.hash(member);
        self.chunks.covering(hash)?.1.get(hash, member)
    }

    /// Starts to bring the chunk of a member into the cache. [`Near::prefetch`] goes on, after the
    /// chunks of other members have been asked for as well.
    pub fn prefetch(&self, member: &[u8]) -> Option<Near<'_>> {
        let hash = self.hasher.hash(member);
        let (_, chunk) = self.chunks.covering(hash)?;
        Some(Near::new(chunk, Place::Hash(hash)))
    }

    /// As [`Members::prefetch`], of the item of this rank.
    pub fn prefetch_rank(&self, rank: u64) -> Option<Near<'_>> {
        let (_, chunk, index) = self.chunks.at_rank(rank)?;
        Some(Near::new(chunk, Place::Index(index)))
    }

    /// Puts an item in place of the one with its member, changed or not. Whether there was none.
    /// O(log chunks).
    pub fn insert(&mut self, item: &Item<'_>) -> bool {
        assert!(valid_item(self.kind, item), "items are those of the kind");
        self.longest_item_bytes = self.longest_item_bytes.max(item.encoded_len());
        if self.chunks.chunk_count() == 0 {
            self.chunks.insert(0, MemberChunk::default());
        }
        let hash = self.hasher.hash(item.member);
        let put = self.chunks.edit_covering(hash, |key, chunk| {
            (chunk.put(hash, item), chunk.is_over().then_some(key))
        });
        let (is_new, over) = put.expect("there is a chunk");
        if let Some(key) = over {
            self.split(key);
        }
        is_new
    }

    /// Splits a chunk until no part of it is too large.
    fn split(&mut self, key: u64) {
        let mut over = vec![key];
        while let Some(key) = over.pop() {
            let hasher = self.hasher;
            let range = (key, self.last_hash(key));
            let split = self.chunks.edit(key, |chunk| {
                let upper = chunk.split(&hasher, range);
                (upper, chunk.is_over())
            });
            let Some((Some((low, upper)), lower_is_over)) = split else {
                continue;
            };
            over.extend(lower_is_over.then_some(key));
            over.extend(upper.is_over().then_some(low));
            self.chunks.insert(low, upper);
        }
    }

    /// The highest hash of a chunk's range.
    fn last_hash(&self, key: u64) -> u64 {
        let mut next = self.chunks.cursor(key);
        next.advance();
        next.get().map_or(u64::MAX, |(next, _)| *next - 1)
    }

    /// Takes a member out. Whether it was there; nothing changes where it was not. O(log chunks).
    pub fn remove(&mut self, member: &[u8]) -> bool {
        let hash = self.hasher.hash(member);
        let find = |chunk: &MemberChunk| chunk.find(hash, member);
        let left = self.chunks.edit_found(hash, find, |key, chunk, found| {
            chunk.remove(found);
            (key, chunk.len())
        });
        let Some((key, len)) = left else {
            return false;
        };
        if len.is_multiple_of(MERGE_STEP) {
            self.merge(key);
        }
        true
    }

    /// Merges a chunk with a neighbour when both together are at most half full. The first chunk
    /// stays, even empty.
    fn merge(&mut self, key: u64) {
        let Some((lower, upper)) = self.pair(key) else {
            return;
        };
        let upper = self.chunks.remove(upper).expect("a neighbour");
        let hasher = self.hasher;
        self.chunks.edit(lower, |chunk| chunk.absorb(&upper, &hasher));
    }

    /// The keys of two neighbours, one of them `key`, that are to be one chunk.
    fn pair(&self, key: u64) -> Option<(u64, u64)> {
        let half = |lower: &MemberChunk, upper: &MemberChunk| {
            lower.len() + upper.len() <= MEMBER_CHUNK_ITEMS_MAX / 2
                && lower.data_bytes() + upper.data_bytes() <= MEMBER_CHUNK_BYTES_MAX / 2
        };
        let mut cursor = self.chunks.cursor(key);
        let chunk = cursor.get()?.1.chunk();
        let mut before = cursor.clone();
        before.retreat();
        if let Some((lower, slot)) = before.get()
            && (chunk.is_empty() || half(slot.chunk(), chunk))
        {
            return Some((*lower, key));
        }
        cursor.advance();
        let (upper, slot) = cursor.get()?;
        half(chunk, slot.chunk()).then_some((key, *upper))
    }

    /// All items, in no order.
    pub fn iter(&self) -> impl Iterator<Item = Item<'_>> {
        self.chunks.iter().flat_map(|(_, chunk)| chunk.iter())
    }

    /// One page of a scan: hands out items from the place of a cursor on, at least `count` of them
    /// where there are so many, and tells the cursor behind them. 0 begins a scan and ends it.
    ///
    /// Members that stay in the collection for the whole scan are handed out exactly once,
    /// whatever happens to others meanwhile.
    pub fn scan<'a>(&'a self, cursor: u64, count: usize, mut out: impl FnMut(Item<'a>)) -> u64 {
        let granules = 1 << (u64::BITS - GRANULE_BITS);
        if cursor >= granules || self.is_empty() {
            return 0;
        }
        let low = cursor << GRANULE_BITS;
        let mut handed = 0;
        let mut last = cursor;
        for (key, slot) in self.chunks.cursor(low).forward() {
            if handed >= count.max(1) {
                return key >> GRANULE_BITS;
            }
            for (hash, item) in slot.chunk().from_hash(&self.hasher, low) {
                let granule = hash >> GRANULE_BITS;
                if handed >= count.max(1) && granule != last {
                    return granule;
                }
                last = granule;
                handed += 1;
                out(item);
            }
        }
        0
    }

    /// A member picked by a number that is uniform over all u64. O(log chunks).
    pub fn random(&self, number: u64) -> Option<Item<'_>> {
        let rank = (u128::from(number) * u128::from(self.len())) >> u64::BITS;
        self.at_rank(rank as u64)
    }

    /// The item of this rank in the order of [`Members::iter`], from 0. O(log chunks).
    pub fn at_rank(&self, rank: u64) -> Option<Item<'_>> {
        let (_, chunk, index) = self.chunks.at_rank(rank)?;
        chunk.at(index as usize)
    }

    /// Items past their deadline, in no order. O(chunks) beside what is found.
    pub fn due(&self, now_ms: u64) -> impl Iterator<Item = Item<'_>> {
        let chunks = self.chunks.iter().map(|(_, chunk)| chunk);
        let due =
            move |chunk: &&MemberChunk| chunk.next_deadline_ms().is_some_and(|at| at <= now_ms);
        let items = chunks.filter(due).flat_map(|chunk| chunk.iter());
        items.filter(move |item| item.deadline_ms.is_some_and(|at| at <= now_ms))
    }

    /// Earliest deadline of a member, in Unix milliseconds. O(chunks).
    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.chunks.iter().filter_map(|(_, chunk)| chunk.next_deadline_ms()).min()
    }

    /// Its chunks.
    pub(super) fn chunks(&self) -> &Chunks<u64, MemberChunk> {
        &self.chunks
    }

    /// Its chunks, to be captured.
    pub(super) fn chunks_mut(&mut self) -> &mut Chunks<u64, MemberChunk> {
        &mut self.chunks
    }

    /// Memory that the members take, in bytes. O(1).
    pub fn memory_bytes(&self) -> u64 {
        size_of::<Members>() as u64 + self.chunks.memory_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::types::HashSeed;

    type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>;
    type Disk = BTreeMap<ChunkId, Vec<u8>>;

    fn hasher() -> MemberHasher {
        MemberHasher::new(HashSeed([5; 16]))
    }

    fn named(number: u32) -> Vec<u8> {
        format!("member {number}").into_bytes()
    }

    fn filled(count: u32) -> (Members, Model) {
        let mut members = Members::new(ValueKind::Hash, 1, hasher());
        let mut model = Model::new();
        for number in 0..count {
            assert!(members.insert(&Item::new(&named(number), b"first")));
            model.insert(named(number), (b"first".to_vec(), None));
        }
        (members, model)
    }

    fn assert_same(members: &Members, model: &Model) {
        let mut items: Vec<_> = members.iter().collect();
        items.sort_unstable_by_key(|item| item.member);
        let wanted = model.iter().map(|(member, (payload, deadline_ms))| Item {
            member,
            payload,
            deadline_ms: *deadline_ms,
        });
        assert!(items.into_iter().eq(wanted));
        assert_eq!(members.len(), model.len() as u64);
        let longest = members.iter().map(|item| item.encoded_len() as u64).max();
        assert!(longest.unwrap_or(0) <= members.longest_item_bytes());
        let deadlines = model.values().filter_map(|value| value.1);
        assert_eq!(members.next_deadline_ms(), deadlines.min());
        let keys: Vec<u64> = members.chunks.iter().map(|(key, _)| key).collect();
        assert!(keys.first().is_none_or(|first| *first == 0));
        for (key, chunk) in members.chunks.iter() {
            let next = keys.iter().find(|other| **other > key).copied();
            let held = |hash| hash >= key && next.is_none_or(|next| hash < next);
            assert!(chunk.iter().all(|item| held(hasher().hash(item.member))));
            assert!(!chunk.is_over() && (key == 0 || !chunk.is_empty()));
        }
    }

    #[test]
    fn chunks_hold_their_range_however_often_they_are_split_and_merged() {
        let (mut members, mut model) = filled(20_000);
        for (gone, back) in [(2_000..19_000, 2_000..15_000), (100..14_000, 100..20_000)] {
            for number in gone {
                assert!(members.remove(&named(number)));
                model.remove(&named(number));
            }
            assert_same(&members, &model);
            for number in back {
                members.insert(&Item::new(&named(number), b"again"));
                model.insert(named(number), (b"again".to_vec(), None));
            }
            assert_same(&members, &model);
        }
        assert!(model.keys().all(|member| members.get(member).is_some()));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u32, usize, Option<u64>),
        Remove(u32),
        Thin(u32, u32),
        Hold,
        Capture(bool),
    }

    fn step() -> impl Strategy<Value = Step> {
        let payload = prop_oneof![6 => 0..30usize, 2 => 0..3000usize, 1 => 9000..40_000usize];
        let deadline = prop_oneof![4 => Just(None), 1 => (0..100u64).prop_map(Some)];
        prop_oneof![
            8 => (0..3000u32, payload, deadline).prop_map(|(n, len, at)| Step::Insert(n, len, at)),
            2 => (0..3000u32).prop_map(Step::Remove),
            1 => (0..3000u32, 0..1500u32).prop_map(|(from, count)| Step::Thin(from, count)),
            1 => Just(Step::Hold),
            1 => any::<bool>().prop_map(Step::Capture),
        ]
    }

    fn capture(members: &mut Members, disk: &mut Disk, installed: bool) {
        for chunk in members.chunks_mut().capture(1) {
            let mut bytes = Vec::new();
            match chunk.content {
                Some(content) if installed => {
                    content.encode(&mut bytes);
                    disk.insert(chunk.id, bytes);
                }
                None if installed => drop(disk.remove(&chunk.id)),
                _ => {}
            }
        }
        members.chunks_mut().end_capture(installed);
    }

    fn read(kind: ValueKind, disk: &Disk) -> Option<Members> {
        let parts: Vec<_> = disk.iter().map(|(id, bytes)| (*id, bytes)).collect();
        Members::from_parts(kind, 1, hasher(), 1, &parts)
    }

    fn apply(members: &mut Members, model: &mut Model, step: &Step) {
        let remove = |members: &mut Members, model: &mut Model, number| {
            let removed = members.remove(&named(number));
            assert_eq!(removed, model.remove(&named(number)).is_some());
        };
        match *step {
            Step::Insert(number, len, deadline_ms) => {
                let payload = vec![number as u8; len];
                let item = Item { member: &named(number), payload: &payload, deadline_ms };
                let is_new = members.insert(&item);
                let old = model.insert(named(number), (payload.clone(), deadline_ms));
                assert_eq!(is_new, old.is_none());
                assert_eq!(members.get(&named(number)), Some(item));
            }
            Step::Remove(number) => remove(members, model, number),
            Step::Thin(from, count) => {
                (from..from + count).for_each(|number| remove(members, model, number));
            }
            Step::Hold | Step::Capture(_) => {}
        }
    }

    #[test]
    fn prefetches_find_every_chunk_and_are_harmless() {
        let (mut members, _) = filled(1000);
        members.insert(&Item::new(b"long", &[7; 70_000]));
        for number in 0..1100 {
            members.prefetch(&named(number)).expect("a chunk covers every hash").prefetch();
        }
        members.prefetch(b"long").unwrap().prefetch();
        (0..members.len()).for_each(|rank| members.prefetch_rank(rank).unwrap().prefetch());
        assert!(members.prefetch_rank(members.len()).is_none());
        assert!(Members::new(ValueKind::Set, 1, hasher()).prefetch(b"member").is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn they_hold_what_a_map_holds_in_memory_and_on_disk(
            start in 0..3000u32,
            steps in prop::collection::vec(step(), 0..80),
        ) {
            let (mut members, mut model) = filled(start);
            let mut disk = Disk::new();
            let mut held = Vec::new();
            assert_same(&members, &model);
            for step in &steps {
                apply(&mut members, &mut model, step);
                match step {
                    Step::Hold => held.push((members.clone(), model.clone())),
                    Step::Capture(installed) => capture(&mut members, &mut disk, *installed),
                    _ => {}
                }
            }
            assert_same(&members, &model);
            capture(&mut members, &mut disk, true);
            prop_assert_eq!(members.chunks().dirty_bytes(), 0);
            let back = read(ValueKind::Hash, &disk).unwrap();
            assert_same(&back, &model);
            prop_assert_eq!(back.chunks().chunk_count(), members.chunks().chunk_count());
            for (members, model) in held {
                assert_same(&members, &model);
            }
        }

        #[test]
        fn a_scan_hands_out_what_stays_exactly_once(
            start in 0..2000u32,
            pages in prop::collection::vec((1..400usize, 0..600u32, any::<bool>()), 1..40),
        ) {
            let (mut members, mut model) = filled(start);
            let mut stayed = model.clone();
            let mut seen: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
            let mut cursor = 0;
            for (count, number, grow) in pages.iter().cycle() {
                let mut handed = 0;
                cursor = members.scan(cursor, *count, |item| {
                    handed += 1;
                    *seen.entry(item.member.to_vec()).or_default() += 1;
                });
                prop_assert!(cursor < 1 << 53);
                if cursor == 0 {
                    break;
                }
                prop_assert!(handed >= *count, "a page is full but for the last");
                prop_assert!(handed < count + 3, "and no fuller than a granule makes it");
                for offset in 0..100 {
                    let number = if *grow { 5000 + number * 100 + offset } else { number + offset };
                    let step = match grow {
                        true => Step::Insert(number, 0, None),
                        false => Step::Remove(number),
                    };
                    stayed.remove(&named(number));
                    apply(&mut members, &mut model, &step);
                }
            }
            for member in stayed.keys() {
                prop_assert_eq!(seen.get(member), Some(&1));
            }
            prop_assert!(seen.values().all(|times| *times == 1));
        }

        #[test]
        fn damaged_parts_are_refused_or_whole(
            kind in prop::sample::select(vec![ValueKind::Hash, ValueKind::Set, ValueKind::Zset]),
            chunk in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(),
            change in any::<u8>(), moved in any::<ChunkId>(), action in 0..3u8,
        ) {
            let mut members = filled(700).0;
            let mut disk = Disk::new();
            capture(&mut members, &mut disk, true);
            let id = *disk.keys().nth(chunk.index(disk.len())).unwrap();
            let mut bytes = disk.remove(&id).unwrap();
            let at = at.index(bytes.len());
            match action {
                0 => bytes[at] ^= change,
                1 => bytes.truncate(at),
                _ => {}
            }
            disk.insert(if action == 2 { moved } else { id }, bytes);
            if let Some(members) = read(kind, &disk) {
                prop_assert_eq!(members.iter().count() as u64, members.len());
                for item in members.iter() {
                    prop_assert_eq!(members.get(item.member), Some(item));
                }
            }
        }
    }

    #[test]
    fn every_rank_is_a_member_and_every_member_is_drawn() {
        let (members, model) = filled(1000);
        let ranked: Vec<_> = (0..1000).map(|rank| members.at_rank(rank).unwrap().member).collect();
        assert!(
            ranked.iter().eq(members.iter().map(|item| item.member).collect::<Vec<_>>().iter())
        );
        assert_eq!(members.at_rank(1000), None);
        let step = u64::MAX / 1000;
        let drawn = (0..1000).map(|at| members.random(at * step + step / 2).unwrap().member);
        let drawn: std::collections::BTreeSet<_> = drawn.collect();
        assert!(drawn.into_iter().eq(model.keys().map(Vec::as_slice)));
        assert!(members.random(u64::MAX).is_some());
        assert_eq!(Members::new(ValueKind::Set, 1, hasher()).random(3), None);
    }

    #[test]
    fn one_changed_member_is_one_dirty_chunk() {
        let (mut members, _) = filled(10_000);
        members.chunks_mut().capture(1);
        members.chunks_mut().end_capture(true);
        members.insert(&Item::new(&named(77), b"other"));
        assert!(!members.remove(b"missing"), "and what is missing changes nothing");
        let taken = members.chunks_mut().capture(1);
        assert_eq!(taken.len(), 1);
    }

    #[test]
    fn chunks_that_have_shrunk_are_merged() {
        let (mut members, _) = filled(20_000);
        let before = members.chunks().chunk_count();
        (0..20_000).filter(|number| number % 100 != 0).for_each(|number| {
            members.remove(&named(number));
        });
        let after = members.chunks().chunk_count();
        assert!(before > 80 && after <= 6, "{before} chunks became {after}");
        (0..20_000).for_each(|number| {
            members.remove(&named(number));
        });
        assert_eq!((members.len(), members.chunks().chunk_count()), (0, 1));
        assert_eq!(members.scan(0, 10, |_| panic!("no members")), 0);
        assert!(members.insert(&Item::new(b"again", b"")));
    }

    #[test]
    fn an_empty_chunk_goes_however_full_its_neighbours_are() {
        let (mut members, mut model) = filled(20_000);
        let chunks: Vec<_> = members.chunks.iter().map(|(_, chunk)| chunk.clone()).collect();
        let full = |chunk: &MemberChunk| chunk.len() > MEMBER_CHUNK_ITEMS_MAX / 2;
        let mut between = chunks.windows(3).filter(|near| full(&near[0]) && full(&near[2]));
        for item in between.next().expect("full neighbours")[1].iter() {
            assert!(members.remove(item.member));
            model.remove(item.member);
        }
        assert_eq!(members.chunks().chunk_count(), chunks.len() - 1);
        assert_same(&members, &model);
    }

    #[test]
    fn a_page_of_a_scan_ends_between_granules() {
        // Found by a search for a collision.
        let pair = [0x0019_b751_cac9_f28c_u64, 0x0007_bb5f_b69c_8416].map(u64::to_le_bytes);
        let (mut members, _) = filled(100);
        pair.iter().for_each(|member| assert!(members.insert(&Item::new(member, b""))));
        let granule = hasher().hash(&pair[0]) >> GRANULE_BITS;
        for cursor in [granule, granule - 1] {
            let mut page = Vec::new();
            let next = members.scan(cursor, 1, |item| page.push(item.member.to_vec()));
            page.sort_unstable();
            assert_eq!(page, [pair[1], pair[0]], "both, though one was asked for");
            assert!(next > granule);
        }
        let next_page = |item: Item<'_>| assert!(pair.iter().all(|member| member != item.member));
        members.scan(granule + 1, 100, next_page);
        assert_eq!(members.scan(1 << 53, 1, |_| panic!("behind the end")), 0);
    }

    #[test]
    fn a_chunk_from_disk_that_is_too_large_is_split_by_the_next_change() {
        let mut bytes = vec![0];
        let mut model = Model::new();
        for number in 0..2000 {
            Item::new(&named(number), b"1").encode(&mut bytes);
            model.insert(named(number), (b"1".to_vec(), None));
        }
        let parts = [(0, bytes)];
        let mut members = Members::from_parts(ValueKind::Hash, 1, hasher(), 1, &parts).unwrap();
        members.insert(&Item::new(&named(7), b"1"));
        assert_same(&members, &model);
    }

    #[test]
    fn a_packed_collection_becomes_a_chunked_one() {
        let mut blob = vec![crate::value::packed::head(ValueKind::Hash, 2)];
        Item { member: b"a", payload: b"1", deadline_ms: Some(9) }.encode(&mut blob);
        Item::new(b"b", b"2").encode(&mut blob);
        let members = Members::from_packed(&blob, hasher()).unwrap();
        assert_eq!((members.kind(), members.encoding()), (ValueKind::Hash, 2));
        assert_eq!((members.len(), members.chunks().generation()), (2, 0));
        assert_eq!(members.next_deadline_ms(), Some(9));
        assert!(Members::from_packed(&[1 << 4], hasher()).is_none(), "a list has no members");
    }

    #[test]
    fn parts_that_are_no_collection_are_refused() {
        let hash = |parts: &[(ChunkId, Vec<u8>)]| {
            Members::from_parts(ValueKind::Hash, 1, hasher(), 1, parts).is_some()
        };
        let mut item = vec![0];
        Item::new(b"a", b"1").encode(&mut item);
        let aligned = ChunkId::from(hasher().hash(b"a") >> GRANULE_BITS << GRANULE_BITS);
        let empty = || (0, vec![0]);
        assert!(hash(&[]) && hash(&[empty()]) && hash(&[empty(), (aligned, item.clone())]));
        assert!(!hash(&[(aligned, item.clone())]), "the first id is 0");
        assert!(!hash(&[empty(), (aligned - 1, item.clone())]), "no edge of a granule");
        assert!(!hash(&[empty(), (aligned, vec![0])]), "empty");
        assert!(!hash(&[(0, Vec::new())]), "no form");
        assert!(!hash(&[(0, vec![1])]), "a form that nobody knows");
        assert!(!hash(&[empty(), (aligned + 2048, item.clone())]), "below its chunk");
        assert!(!hash(&[(0, item.clone()), (aligned, item.clone())]), "above its chunk");
        let kind = |kind| Members::from_parts(kind, 1, hasher(), 1, &[(0, &item)]).is_some();
        assert!(kind(ValueKind::Hash) && !kind(ValueKind::Set) && !kind(ValueKind::String));
    }
}
