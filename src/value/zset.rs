//! Large sorted sets: members with their scores by hash, and the same in order.
//!
//! Only the members are persisted and captured; the order is built from them when they are loaded.

use crate::types::{ChunkId, ValueKind};
use crate::value::chunks::Chunks;
use crate::value::item::Item;
use crate::value::member_chunk::MemberChunk;
use crate::value::members::{MemberHasher, Members};
use crate::value::order::{Order, OrderIter};
use crate::value::score;

/// A large sorted set. Cloning it is O(1) but for lists of what is dirty.
#[derive(Clone, Debug)]
pub struct Zset {
    members: Members,
    order: Order,
}

impl Zset {
    /// An empty sorted set; `encoding` is below 16.
    pub fn new(encoding: u8, hasher: MemberHasher) -> Zset {
        let members = Members::new(ValueKind::Zset, encoding, hasher);
        Zset { members, order: Order::default() }
    }

    /// A sorted set, changed at `lsn`, with the members of a valid packed one. None where the blob
    /// is something else.
    pub fn from_packed(blob: &[u8], hasher: MemberHasher) -> Option<Zset> {
        Zset::with_order(Members::from_packed(blob, hasher)?)
    }

    /// A clean object as parts hold it: encoded chunks in the order of their ids with the LSN of
    /// their last change. None where they are not the chunks of a sorted set. O(n log n).
    pub fn from_parts(
        encoding: u8,
        hasher: MemberHasher,
        generation: u64,
        parts: &[(ChunkId, impl AsRef<[u8]>)],
    ) -> Option<Zset> {
        let kind = ValueKind::Zset;
        Zset::with_order(Members::from_parts(kind, encoding, hasher, generation, parts)?)
    }

    /// Members that are asked for their scores only.
    pub(super) fn without_order(members: Members) -> Zset {
        Zset { members, order: Order::default() }
    }

    /// Puts members in order, which are distinct.
    fn with_order(members: Members) -> Option<Zset> {
        if members.kind() != ValueKind::Zset {
            return None;
        }
        let items = members.iter().map(|item| Some((score::decode(item.payload)?, item.member)));
        let items: Option<Vec<_>> = items.collect();
        let mut items = items?;
        items.sort_unstable_by(|a, b| score::order(*a, *b));
        let order = Order::from_sorted(&items);
        Some(Zset { members, order })
    }

    /// A bound of the encoded bytes of each member with its score, O(1).
    pub fn longest_item_bytes(&self) -> u64 {
        self.members.longest_item_bytes()
    }

    /// The number of members, O(1).
    pub fn len(&self) -> u64 {
        self.order.len()
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The members by hash, for scans and random picks; payloads are scores (score.rs).
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// The score of a member. O(log n).
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        score::decode(self.members.get(member)?.payload)
    }

    /// Gives a member a score, and answers the one before. Nothing changes, and nothing becomes
    /// dirty, where both are the same. O(log n).
    ///
    /// # Panics
    /// When the score is NaN.
    pub fn insert(&mut self, member: &[u8], score: f64) -> Option<f64> {
        let old = self.score(member);
        if old.is_some_and(|old| old.to_bits() == score.to_bits()) {
            return old;
        }
        self.members.insert(&Item::new(member, &score::encode(score)));
        if let Some(old) = old {
            self.order.remove((old, member));
        }
        self.order.insert((score, member));
        old
    }

    /// Takes a member out, and answers its score. O(log n).
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let score = self.score(member)?;
        self.members.remove(member);
        self.order.remove((score, member));
        Some(score)
    }

    /// The number of members in front of a member, and its score. O(log n).
    pub fn rank(&self, member: &[u8]) -> Option<(u64, f64)> {
        let score = self.score(member)?;
        Some((self.order.rank((score, member)), score))
    }

    /// The number of members with a score below `score`, or with that score too. O(log n).
    pub fn count_below(&self, score: f64, or_equal: bool) -> u64 {
        self.order.count_below(score, or_equal)
    }

    /// The number of members below `member`, or equal to it, where all have one score; any number
    /// up to [`Zset::len`] where they have not. O(log n).
    pub fn count_below_lex(&self, member: &[u8], or_equal: bool) -> u64 {
        self.order.count_below_lex(member, or_equal)
    }

    /// Members with their scores upwards, from the lowest that has at least this score. O(log n)
    /// for the first, O(1) for each.
    pub fn iter_from_score(&self, score: f64) -> OrderIter<'_> {
        self.order.iter_from_score(score)
    }

    /// Members with their scores from the one of this rank on, upwards or, in `reverse`, downwards.
    /// Ranks count from the lowest in both cases. O(log n) for the first, O(1) for each.
    pub fn iter_from_rank(&self, rank: u64, reverse: bool) -> OrderIter<'_> {
        self.order.iter_from_rank(rank, reverse)
    }

    /// What `OBJECT ENCODING` is told, below 16.
    pub fn encoding(&self) -> u8 {
        self.members.encoding()
    }

    /// Tells `OBJECT ENCODING` something else; `encoding` is below 16.
    pub fn set_encoding(&mut self, encoding: u8) {
        self.members.set_encoding(encoding);
    }

    /// The chunks of its members.
    pub(super) fn chunks(&self) -> &Chunks<u64, MemberChunk> {
        self.members.chunks()
    }

    /// The chunks of its members, to be captured.
    pub(super) fn chunks_mut(&mut self) -> &mut Chunks<u64, MemberChunk> {
        self.members.chunks_mut()
    }

    /// Memory of members and order, in bytes. O(1).
    pub fn memory_bytes(&self) -> u64 {
        size_of::<Order>() as u64 + self.members.memory_bytes() + self.order.memory_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::types::HashSeed;
    use crate::value::chunks::ChunkSet;
    use crate::value::packed;
    use crate::value::packed_members::zset_insert;

    type Model = BTreeMap<Vec<u8>, f64>;
    type Disk = BTreeMap<ChunkId, Vec<u8>>;

    fn hasher() -> MemberHasher {
        MemberHasher::new(HashSeed([5; 16]))
    }

    /// Few distinct members, so that rounds meet them again.
    fn member(number: u32) -> Vec<u8> {
        let number = number % 1500;
        format!("{number:0width$}", width = 4 + number as usize % 30).into_bytes()
    }

    fn score_of(number: u32) -> f64 {
        let scores = [-0.0, 0.0, 0.5, f64::INFINITY, f64::NEG_INFINITY, 1e300];
        scores.get(number as usize % 64).copied().unwrap_or(f64::from(number >> 8 & 255) - 99.0)
    }

    fn edit(zset: &mut Zset, model: &mut Model, seed: u32, count: u32, inserts: u32) {
        for number in 0..count {
            let random = (seed ^ number).wrapping_mul(0x9e37_79b9).rotate_right(11);
            let name = member(random >> 3);
            let bits = |score: Option<f64>| score.map(f64::to_bits);
            if random % 8 < inserts {
                let score = score_of(random >> 5);
                let old = zset.insert(&name, score);
                assert_eq!(bits(old), bits(model.insert(name, score)));
            } else {
                let old = zset.remove(&name);
                assert_eq!(bits(old), bits(model.remove(&name)));
            }
        }
    }

    fn assert_same(zset: &Zset, model: &Model) {
        let mut sorted: Vec<_> =
            model.iter().map(|(member, score)| (*score, &member[..])).collect();
        sorted.sort_by(|a, b| score::order(*a, *b));
        assert_eq!(zset.len(), sorted.len() as u64);
        assert_eq!(zset.members().len(), zset.len());
        assert_eq!(zset.is_empty(), sorted.is_empty());
        assert!(zset.iter_from_rank(0, false).eq(sorted.iter().copied()));
        for (rank, (score, member)) in sorted.iter().enumerate().step_by(1 + sorted.len() / 20) {
            assert_eq!(zset.rank(member), Some((rank as u64, *score)));
            assert_eq!(zset.score(member).map(f64::to_bits), Some(score.to_bits()));
            let upto = sorted.partition_point(|item| item.0 <= *score) as u64;
            assert_eq!(zset.count_below(*score, true), upto);
            assert!(
                zset.iter_from_rank(rank as u64, true).eq(sorted[..=rank].iter().rev().copied())
            );
        }
        assert_eq!((zset.rank(b"nobody"), zset.score(b"nobody")), (None, None));
    }

    fn capture(zset: &mut Zset, model: &mut Model, disk: &mut Disk, installed: bool) {
        let taken = zset.chunks_mut().capture(1);
        zset.insert(b"behind the capture", 1.5);
        model.insert(b"behind the capture".to_vec(), 1.5);
        for chunk in taken.into_iter().filter(|_| installed) {
            match chunk.content {
                Some(content) => {
                    let mut bytes = Vec::new();
                    content.encode(&mut bytes);
                    disk.insert(chunk.id, bytes);
                }
                None => drop(disk.remove(&chunk.id)),
            }
        }
        zset.chunks_mut().end_capture(installed);
    }

    fn load(disk: &Disk) -> Option<Zset> {
        let parts = disk.iter().map(|(id, bytes)| (*id, bytes));
        Zset::from_parts(3, hasher(), 1, &parts.collect::<Vec<_>>())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn edits_are_those_of_a_map_and_reach_the_disk(
            rounds in prop::collection::vec(
                (any::<u32>(), 0..1500u32, 0..9u32, any::<Option<bool>>()), 0..8,
            ),
        ) {
            let (mut zset, mut model) = (Zset::new(3, hasher()), Model::new());
            let (mut disk, mut held) = (Disk::new(), Vec::new());
            for (seed, count, inserts, installed) in rounds {
                edit(&mut zset, &mut model, seed, count, inserts);
                match installed {
                    Some(installed) => capture(&mut zset, &mut model, &mut disk, installed),
                    None => held.push((zset.clone(), model.clone())),
                }
                assert_same(&zset, &model);
            }
            capture(&mut zset, &mut model, &mut disk, true);
            capture(&mut zset, &mut model, &mut disk, true);
            let loaded = load(&disk).expect("a sorted set");
            assert_same(&loaded, &model);
            prop_assert_eq!((loaded.encoding(), loaded.chunks().generation()), (3, 1));
            for (zset, model) in held {
                assert_same(&zset, &model);
            }
        }

        #[test]
        fn a_packed_sorted_set_is_taken_over(
            scores in prop::collection::vec((any::<u32>(), any::<u32>()), 0..60),
        ) {
            let mut blob = vec![packed::head(ValueKind::Zset, 2)];
            let mut model = Model::new();
            for (name, random) in scores {
                let mut out = Vec::new();
                zset_insert(&blob, &member(name), score_of(random), &mut out);
                model.insert(member(name), score_of(random));
                blob = out;
            }
            let zset = Zset::from_packed(&blob, hasher()).expect("a sorted set");
            assert_same(&zset, &model);
            prop_assert_eq!((zset.encoding(), zset.chunks().generation()), (2, 0));
        }

        #[test]
        fn any_chunk_is_judged_without_a_panic(
            bytes in prop::collection::vec(prop_oneof![0..6u8, any::<u8>()], 0..40),
        ) {
            let bytes = [&[0], &bytes[..]].concat();
            if let Some(zset) = load(&Disk::from([(0, bytes)])) {
                prop_assert_eq!(zset.iter_from_rank(0, false).count() as u64, zset.len());
            }
        }
    }

    #[test]
    fn the_same_score_again_makes_nothing_dirty() {
        let mut zset = Zset::new(3, hasher());
        zset.insert(b"a", 1.0);
        zset.chunks_mut().capture(1);
        zset.chunks_mut().end_capture(true);
        assert_eq!(zset.insert(b"a", 1.0), Some(1.0));
        assert_eq!(zset.chunks_mut().capture(1).len(), 0);
        zset.chunks_mut().end_capture(true);
        assert_eq!(zset.insert(b"a", 2.0), Some(1.0));
        assert_eq!(zset.chunks_mut().capture(1).len(), 1);
    }

    #[test]
    fn a_packed_hash_is_no_sorted_set() {
        let mut blob = vec![packed::head(ValueKind::Hash, 2)];
        Item::new(b"a", b"\x01").encode(&mut blob);
        assert!(Zset::from_packed(&blob, hasher()).is_none());
        blob[0] = packed::head(ValueKind::Zset, 2);
        assert!(Zset::from_packed(&blob, hasher()).is_some());
    }
}
