//! The members of a large sorted set in the order of (score, member), counted by rank.
//!
//! It is not persisted: what a part holds are the members with their scores (members.rs), from
//! which this order is built in one go.

use std::cmp::Ordering;

use triomphe::Arc;

use crate::value::order_leaf::{OrderKey, OrderLeaf};
use crate::value::score::Scored;
use crate::value::tree::{Cursor, SLOT_OVERHEAD_BYTES, Tree, Weigh};

/// Memory of a leaf beside what it counts itself: its place in the tree, its key, its counters.
const LEAF_OVERHEAD_BYTES: u64 =
    SLOT_OVERHEAD_BYTES + (size_of::<OrderKey>() + 2 * size_of::<usize>()) as u64;

impl Weigh for Arc<OrderLeaf> {
    fn weight(&self) -> u64 {
        self.len() as u64
    }
}

/// Sorted members. The first leaf has the lowest key of all, and no leaf is empty.
///
/// Cloning is O(1); clones share what neither has changed.
#[derive(Clone, Debug, Default)]
pub struct Order {
    tree: Tree<OrderKey, Arc<OrderLeaf>>,
    /// Memory of the leaves.
    bytes: u64,
}

impl Order {
    /// Builds the order of `items`, which are sorted and distinct, in full leaves. O(n).
    pub fn from_sorted(mut items: &[Scored<'_>]) -> Order {
        let mut slots = Vec::new();
        let mut key = OrderKey::lowest();
        let mut bytes = 0;
        while !items.is_empty() {
            let (leaf, count) = OrderLeaf::fill(items);
            bytes += leaf.memory_bytes() as u64;
            slots.push((key, Arc::new(leaf)));
            if count == items.len() {
                break;
            }
            key = OrderKey::between(items[count - 1], items[count]);
            items = &items[count..];
        }
        Order { tree: Tree::from_sorted(slots).expect("sorted items have ascending keys"), bytes }
    }

    /// The number of members, O(1).
    pub fn len(&self) -> u64 {
        self.tree.len()
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.tree.is_empty()
    }

    /// Memory, in bytes, O(1). What clones share counts in full.
    pub fn memory_bytes(&self) -> u64 {
        self.bytes + self.tree.chunks() as u64 * LEAF_OVERHEAD_BYTES
    }

    /// Puts in an item that is not there. O(log n).
    pub fn insert(&mut self, item: Scored<'_>) {
        let edit = |_: &OrderKey, leaf: &mut Arc<OrderLeaf>| {
            let before = leaf.memory_bytes();
            let leaf = Arc::make_mut(leaf);
            let cut_off = leaf.insert(item);
            (cut_off, leaf.memory_bytes() as u64, before as u64)
        };
        match self.tree.edit_by(|key| key.order(item), edit) {
            Some((cut_off, after, before)) => {
                self.bytes = self.bytes + after - before;
                cut_off.into_iter().for_each(|(key, leaf)| self.insert_leaf(key, leaf));
            }
            None => self.insert_leaf(OrderKey::lowest(), OrderLeaf::fill(&[item]).0),
        }
    }

    fn insert_leaf(&mut self, key: OrderKey, leaf: OrderLeaf) {
        self.bytes += leaf.memory_bytes() as u64;
        self.tree.insert(key, Arc::new(leaf));
    }

    /// Takes an item out. Answers whether it was there. O(log n).
    pub fn remove(&mut self, item: Scored<'_>) -> bool {
        let edit = |_: &OrderKey, leaf: &mut Arc<OrderLeaf>| {
            let before = leaf.memory_bytes();
            let leaf = Arc::make_mut(leaf);
            let removed = leaf.remove(item);
            (removed, leaf.wants_merge(), leaf.memory_bytes() as u64, before as u64)
        };
        match self.tree.edit_by(|key| key.order(item), edit) {
            Some((removed, wants_merge, after, before)) => {
                self.bytes = self.bytes + after - before;
                if wants_merge {
                    self.merge(item);
                }
                removed
            }
            None => false,
        }
    }

    /// Keys of the leaf of an item and of a neighbour, the lower one first, when they could be one.
    fn mergeable(&self, item: Scored<'_>) -> Option<(OrderKey, OrderKey)> {
        let here = self.tree.cursor_by(|key| key.order(item));
        let (mut before, mut behind) = (here.clone(), here.clone());
        before.retreat();
        behind.advance();
        let (key, leaf) = here.get()?;
        match (before.get(), behind.get()) {
            (_, Some(next)) if leaf.could_merge(next.1) => Some((key.clone(), next.0.clone())),
            (Some(last), _) if last.1.could_merge(leaf) => Some((last.0.clone(), key.clone())),
            _ => None,
        }
    }

    /// Merges the leaf of an item with a neighbour when both together are small.
    fn merge(&mut self, item: Scored<'_>) {
        if self.is_empty() {
            *self = Order::default();
            return;
        }
        let Some(pair) = self.mergeable(item) else {
            return;
        };
        let Some(upper) = self.tree.remove(&pair.1) else {
            return;
        };
        let change = self.tree.edit(&pair.0, |lower| {
            let before = lower.memory_bytes() + upper.memory_bytes();
            let lower = Arc::make_mut(lower);
            lower.append(&upper);
            (lower.memory_bytes() as u64, before as u64)
        });
        if let Some((after, before)) = change {
            self.bytes = self.bytes + after - before;
        }
    }

    /// The rank of an item that is there: the number of items in front of it. O(log n).
    pub fn rank(&self, item: Scored<'_>) -> u64 {
        self.count(|key| key.order(item), |leaf| leaf.place_of_present(item))
    }

    /// The number of members with a score below `score`, or with that score too. O(log n).
    pub fn count_below(&self, score: f64, or_equal: bool) -> u64 {
        let order = |key: &OrderKey| {
            let below = if or_equal { key.score <= score } else { key.score < score };
            if below { Ordering::Less } else { Ordering::Greater }
        };
        self.count(order, |leaf| leaf.place_of_score(score, or_equal))
    }

    /// The number of members below `member`, or equal to it, where all have one score; any number
    /// up to [`Order::len`] where they have not. O(log n).
    pub fn count_below_lex(&self, member: &[u8], or_equal: bool) -> u64 {
        let order = |key: &OrderKey| {
            let below = if or_equal { *key.member <= *member } else { *key.member < *member };
            if below { Ordering::Less } else { Ordering::Greater }
        };
        self.count(order, |leaf| leaf.place_of_member(member, or_equal))
    }

    fn count(
        &self,
        order: impl Fn(&OrderKey) -> Ordering,
        place: impl FnOnce(&OrderLeaf) -> usize,
    ) -> u64 {
        let slot = self.tree.find_by(order);
        slot.map_or(0, |(_, leaf, before)| before + place(leaf) as u64)
    }

    /// Items upwards from the first with at least this score. O(log n) for the first, O(1) for
    /// each.
    pub fn iter_from_score(&self, score: f64) -> OrderIter<'_> {
        let cursor = self.tree.cursor_by(|key| match key.score < score {
            true => Ordering::Less,
            false => Ordering::Greater,
        });
        let leaf = cursor.get().map(|slot| &**slot.1);
        let index = leaf.map_or(0, |leaf| leaf.place_of_score(score, false));
        let mut items = OrderIter { cursor: Some(cursor), leaf, index, reverse: false };
        if leaf.is_some_and(|leaf| index == leaf.len()) {
            items.turn();
        }
        items
    }

    /// Items from the one of this rank on, upwards or, in `reverse`, downwards. Ranks count from
    /// the lowest item in both cases. O(log n) for the first, O(1) for each.
    pub fn iter_from_rank(&self, rank: u64, reverse: bool) -> OrderIter<'_> {
        let Some((cursor, index)) = self.tree.cursor_at_rank(rank) else {
            return OrderIter { cursor: None, leaf: None, index: 0, reverse };
        };
        let leaf = cursor.get().map(|slot| &**slot.1);
        OrderIter { cursor: Some(cursor), leaf, index: index as usize, reverse }
    }
}

/// Items of an [`Order`] in one direction.
#[derive(Clone, Debug)]
pub struct OrderIter<'a> {
    cursor: Option<Cursor<'a, OrderKey, Arc<OrderLeaf>>>,
    leaf: Option<&'a OrderLeaf>,
    index: usize,
    reverse: bool,
}

impl<'a> Iterator for OrderIter<'a> {
    type Item = Scored<'a>;

    #[inline]
    fn next(&mut self) -> Option<Scored<'a>> {
        let leaf = self.leaf?;
        let item = leaf.get(self.index)?;
        match self.reverse {
            true if self.index > 0 => self.index -= 1,
            false if self.index + 1 < leaf.len() => self.index += 1,
            _ => self.turn(),
        }
        Some(item)
    }
}

impl OrderIter<'_> {
    /// Goes on in the next leaf.
    fn turn(&mut self) {
        let Some(cursor) = &mut self.cursor else {
            return;
        };
        match self.reverse {
            true => cursor.retreat(),
            false => cursor.advance(),
        }
        self.leaf = cursor.get().map(|slot| &**slot.1);
        let last = self.leaf.map_or(0, |leaf| leaf.len() - 1);
        self.index = if self.reverse { last } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::value::score;

    type Model = Vec<(f64, Vec<u8>)>;

    fn by_order(a: &(f64, Vec<u8>), b: &(f64, Vec<u8>)) -> Ordering {
        score::order((a.0, &a.1), (b.0, &b.1))
    }

    fn scored(item: &(f64, Vec<u8>)) -> Scored<'_> {
        (item.0, &item.1)
    }

    fn assert_same(order: &Order, model: &Model) {
        assert_eq!(order.len(), model.len() as u64);
        assert!(order.iter_from_rank(0, false).eq(model.iter().map(scored)), "upwards");
        let last = order.len().saturating_sub(1);
        assert!(order.iter_from_rank(last, true).eq(model.iter().rev().map(scored)), "downwards");
        let leaves = order.tree.iter().map(|(_, leaf)| {
            assert!(!leaf.is_empty() && leaf.len() <= 128);
            leaf.memory_bytes() as u64
        });
        assert_eq!(order.bytes, leaves.sum::<u64>());
        for (rank, item) in model.iter().enumerate().step_by(1 + model.len() / 9) {
            assert_eq!(order.rank(scored(item)), rank as u64);
            let up = order.iter_from_rank(rank as u64, false);
            assert!(up.eq(model[rank..].iter().map(scored)));
            let down = order.iter_from_rank(rank as u64, true);
            assert!(down.eq(model[..=rank].iter().rev().map(scored)));
            for score in [item.0, item.0 + 0.5, -item.0] {
                let below = model.partition_point(|item| item.0 < score) as u64;
                let upto = model.partition_point(|item| item.0 <= score) as u64;
                assert_eq!(order.count_below(score, false), below);
                assert_eq!(order.count_below(score, true), upto);
                let up = order.iter_from_score(score);
                assert!(up.eq(model[below as usize..].iter().map(scored)));
            }
        }
        assert_eq!(order.iter_from_rank(order.len(), false).next(), None);
        assert_eq!(order.iter_from_rank(order.len(), true).next(), None);
        assert_eq!(order.count_below(f64::INFINITY, true), order.len());
        assert_eq!(order.count_below(f64::NEG_INFINITY, false), 0);
    }

    fn insert(order: &mut Order, model: &mut Model, score: f64, member: Vec<u8>) {
        let item = (score, member);
        if let Err(at) = model.binary_search_by(|other| by_order(other, &item)) {
            order.insert(scored(&item));
            model.insert(at, item);
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert { count: usize, seed: u32, len: usize, spread: u32 },
        Ascend { count: usize, from: u32 },
        Remove { at: usize, count: usize, every: usize },
        Hold,
    }

    fn step() -> impl Strategy<Value = Step> {
        let len = prop_oneof![5 => 4..40usize, 1 => 900..5000usize, 1 => 14_000..20_000usize];
        prop_oneof![
            3 => (0..400usize, any::<u32>(), 4..24usize, 1..2000u32)
                .prop_map(|(count, seed, len, spread)| Step::Insert { count, seed, len, spread }),
            3 => (0..5usize, any::<u32>(), len, 1..2000u32)
                .prop_map(|(count, seed, len, spread)| Step::Insert { count, seed, len, spread }),
            1 => (0..300usize, 0..2000u32).prop_map(|(count, from)| Step::Ascend { count, from }),
            3 => (any::<usize>(), 0..500usize, 1..4usize)
                .prop_map(|(at, count, every)| Step::Remove { at, count, every }),
            1 => Just(Step::Hold),
        ]
    }

    fn apply(order: &mut Order, model: &mut Model, step: &Step) {
        match *step {
            Step::Insert { count, seed, len, spread } => {
                for number in 0..count as u32 {
                    let random = (seed ^ number).wrapping_mul(0x9e37_79b9);
                    let mut member = random.to_le_bytes().to_vec();
                    member.resize(len, 7);
                    let score = f64::from(random >> 7 & 1023) % f64::from(spread) - 20.0;
                    // Zeros of both signs are one score.
                    let score = if score == 0.0 && random & 64 == 0 { -0.0 } else { score };
                    insert(order, model, score, member);
                }
            }
            Step::Ascend { count, from } => {
                for number in from..from + count as u32 {
                    insert(order, model, f64::from(number), b"member".to_vec());
                }
            }
            Step::Remove { at, count, every } => {
                let at = at % (model.len() + 1);
                let mut number = 0;
                model.retain(|item| {
                    let hit = (at..at + count).contains(&number) && number % every == 0;
                    number += 1;
                    assert!(!hit || order.remove(scored(item)));
                    !hit
                });
                assert!(!order.remove((1e9, b"nobody")));
            }
            Step::Hold => {}
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn it_is_that_of_a_sorted_vector(steps in prop::collection::vec(step(), 0..20)) {
            let (mut order, mut model) = (Order::default(), Model::new());
            let mut held = Vec::new();
            for step in steps {
                if matches!(step, Step::Hold) {
                    held.push((order.clone(), model.clone()));
                }
                apply(&mut order, &mut model, &step);
                assert_same(&order, &model);
            }
            let items: Vec<_> = model.iter().map(scored).collect();
            assert_same(&Order::from_sorted(&items), &model);
            for (order, model) in held {
                assert_same(&order, &model);
            }
            model.iter().for_each(|item| assert!(order.remove(scored(item))));
            assert_same(&order, &Model::new());
            prop_assert_eq!(order.memory_bytes(), 0);
        }

        #[test]
        fn members_of_one_score_are_counted_by_their_bytes(
            members in prop::collection::btree_set(prop::collection::vec(0..3u8, 0..9), 0..2000),
            bounds in prop::collection::vec(prop::collection::vec(0..3u8, 0..9), 8),
        ) {
            let mut order = Order::default();
            members.iter().rev().for_each(|member| order.insert((1.0, member)));
            for bound in bounds {
                let below = members.range(..bound.clone()).count() as u64;
                let upto = members.range(..=bound.clone()).count() as u64;
                prop_assert_eq!(order.count_below_lex(&bound, false), below);
                prop_assert_eq!(order.count_below_lex(&bound, true), upto);
            }
        }
    }

    #[test]
    fn inserting_in_order_fills_leaves() {
        let (mut up, mut down) = (Order::default(), Order::default());
        for number in 0..12_800 {
            up.insert((f64::from(number), b"member"));
            down.insert((-f64::from(number), b"member"));
        }
        assert_eq!((up.tree.chunks(), down.tree.chunks()), (100, 100));
    }

    #[test]
    fn a_thinned_order_has_few_leaves() {
        let mut order = Order::default();
        (0..12_800).for_each(|number| order.insert((f64::from(number), b"member")));
        for number in (0..12_800).filter(|number| number % 100 != 0) {
            assert!(order.remove((f64::from(number), b"member")));
        }
        assert_eq!(order.len(), 128);
        assert!(order.tree.chunks() <= 8, "{} leaves", order.tree.chunks());
    }
}
