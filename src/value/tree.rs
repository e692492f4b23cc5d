//! A counted B+tree: ordered slots, found by key or by the rank of the items inside them.
//!
//! A slot is a chunk of a collection and weighs as many items as it holds; every inner node knows
//! the weights of its children, so that an item is found by its rank as fast as by its key. Nodes
//! are shared between clones and copied when one of them changes: cloning a tree is O(1).

use std::cmp::Ordering;

use smallvec::SmallVec;
use triomphe::Arc;

/// Most children of a node, and most slots of a leaf.
const FANOUT: usize = 64;
/// A node below this is merged into a neighbour, where both together leave some room.
const MERGE_BELOW: usize = FANOUT / 4;
/// Most children of a node that two have been merged into.
const MERGED_MAX: usize = FANOUT * 3 / 4;

/// Bytes that the tree itself takes for a slot beside its key and value, with the usual slack.
pub const SLOT_OVERHEAD_BYTES: u64 = 16;

/// What stands in a slot of a [`Tree`].
pub trait Weigh {
    /// Number of items inside.
    fn weight(&self) -> u64;
}

/// Ordered slots with unique keys. See the module.
#[derive(Clone, Debug)]
pub struct Tree<K, V> {
    root: Arc<Node<K, V>>,
    len: u64,
    chunks: usize,
}

/// Three columns of equal length: searching reads keys alone, counting reads weights alone.
#[derive(Clone, Debug)]
struct Node<K, V> {
    /// Key of each slot, or the lowest key below each child.
    keys: Vec<K>,
    /// Items of each slot or below each child.
    weights: Vec<u64>,
    below: Below<K, V>,
}

#[derive(Clone, Debug)]
enum Below<K, V> {
    Slots(Vec<V>),
    Nodes(Vec<Arc<Node<K, V>>>),
}

/// What a node that became too large has cut off for its parent.
struct Cut<K, V> {
    node: Arc<Node<K, V>>,
    weight: u64,
}

impl<K, V> Default for Tree<K, V> {
    fn default() -> Tree<K, V> {
        Tree { root: Arc::new(Node::leaf()), len: 0, chunks: 0 }
    }
}

impl<K, V> Node<K, V> {
    fn leaf() -> Node<K, V> {
        Node { keys: Vec::new(), weights: Vec::new(), below: Below::Slots(Vec::new()) }
    }

    fn len(&self) -> usize {
        self.keys.len()
    }

    fn weight(&self) -> u64 {
        self.weights.iter().sum()
    }

    /// Index of the last key that is not above the target, or 0.
    fn place(&self, order: &impl Fn(&K) -> Ordering) -> usize {
        self.keys.partition_point(|key| order(key) != Ordering::Greater).saturating_sub(1)
    }

    /// Index of the slot or child with the item `offset`, which becomes the item's offset inside;
    /// from the nearer end of this node, whose weight is known.
    fn place_of_rank(&self, offset: &mut u64, weight: u64) -> usize {
        let mut at;
        if *offset < weight / 2 {
            at = 0;
            while *offset >= self.weights[at] {
                *offset -= self.weights[at];
                at += 1;
            }
        } else {
            let mut behind = weight - *offset;
            at = self.len() - 1;
            while behind > self.weights[at] {
                behind -= self.weights[at];
                at -= 1;
            }
            *offset = self.weights[at] - behind;
        }
        at
    }

    /// Cuts off everything from `at`.
    fn split_off(&mut self, at: usize) -> Node<K, V> {
        Node {
            keys: self.keys.split_off(at),
            weights: self.weights.split_off(at),
            below: match &mut self.below {
                Below::Slots(slots) => Below::Slots(slots.split_off(at)),
                Below::Nodes(nodes) => Below::Nodes(nodes.split_off(at)),
            },
        }
    }

    /// Halves a node that has become too large.
    fn cut(&mut self) -> Option<Cut<K, V>> {
        if self.len() <= FANOUT {
            return None;
        }
        let upper = self.split_off(self.len() / 2);
        Some(Cut { weight: upper.weight(), node: Arc::new(upper) })
    }
}

impl<K: Ord + Clone, V: Weigh + Clone> Node<K, V> {
    /// Appends a neighbour of the same height.
    fn append(&mut self, mut upper: Node<K, V>) {
        self.keys.append(&mut upper.keys);
        self.weights.append(&mut upper.weights);
        match (&mut self.below, upper.below) {
            (Below::Slots(slots), Below::Slots(mut more)) => slots.append(&mut more),
            (Below::Nodes(nodes), Below::Nodes(mut more)) => nodes.append(&mut more),
            _ => unreachable!("neighbours have one height"),
        }
    }

    /// Edits the slot at the place of `order`; the second value is to be added, wrapping, to the
    /// weight of this node.
    fn edit<R>(
        &mut self,
        order: &impl Fn(&K) -> Ordering,
        edit: impl FnOnce(&K, &mut V) -> R,
    ) -> (R, u64) {
        let at = self.place(order);
        let (result, change) = match &mut self.below {
            Below::Nodes(nodes) => Arc::make_mut(&mut nodes[at]).edit(order, edit),
            Below::Slots(slots) => {
                let result = edit(&self.keys[at], &mut slots[at]);
                (result, slots[at].weight().wrapping_sub(self.weights[at]))
            }
        };
        self.weights[at] = self.weights[at].wrapping_add(change);
        (result, change)
    }

    /// Puts a slot in its place: the value that stood there, and what this node had to cut off.
    fn insert(&mut self, key: K, value: V) -> (Option<V>, Option<Cut<K, V>>) {
        match &mut self.below {
            Below::Slots(slots) => match self.keys.binary_search(&key) {
                Ok(at) => {
                    self.weights[at] = value.weight();
                    (Some(std::mem::replace(&mut slots[at], value)), None)
                }
                Err(at) => {
                    self.keys.insert(at, key);
                    self.weights.insert(at, value.weight());
                    slots.insert(at, value);
                    (None, self.cut())
                }
            },
            Below::Nodes(nodes) => {
                let at = self.keys.partition_point(|low| *low <= key).saturating_sub(1);
                if key < self.keys[at] {
                    self.keys[at] = key.clone();
                }
                let node = Arc::make_mut(&mut nodes[at]);
                let (old, cut) = node.insert(key, value);
                self.weights[at] = node.weight();
                if let Some(cut) = cut {
                    self.keys.insert(at + 1, cut.node.keys[0].clone());
                    self.weights.insert(at + 1, cut.weight);
                    nodes.insert(at + 1, cut.node);
                }
                (old, self.cut())
            }
        }
    }

    fn remove(&mut self, key: &K) -> Option<V> {
        match &mut self.below {
            Below::Slots(slots) => {
                let at = self.keys.binary_search(key).ok()?;
                self.keys.remove(at);
                self.weights.remove(at);
                Some(slots.remove(at))
            }
            Below::Nodes(nodes) => {
                let at = self.keys.partition_point(|low| low <= key).checked_sub(1)?;
                let node = Arc::make_mut(&mut nodes[at]);
                let value = node.remove(key)?;
                self.weights[at] -= value.weight();
                if let Some(low) = node.keys.first()
                    && *low != self.keys[at]
                {
                    self.keys[at] = low.clone();
                }
                if node.len() < MERGE_BELOW {
                    self.mend(at);
                }
                Some(value)
            }
        }
    }

    /// Drops the child at `at` when it is empty, else merges it with a neighbour that has room.
    fn mend(&mut self, at: usize) {
        let Below::Nodes(nodes) = &mut self.below else {
            return;
        };
        if nodes[at].len() == 0 {
            self.keys.remove(at);
            self.weights.remove(at);
            nodes.remove(at);
            return;
        }
        let fits = |lower: usize| {
            nodes.get(lower + 1).is_some_and(|next| nodes[lower].len() + next.len() <= MERGED_MAX)
        };
        let Some(lower) = [at.checked_sub(1), Some(at)].into_iter().flatten().find(|at| fits(*at))
        else {
            return;
        };
        self.keys.remove(lower + 1);
        self.weights[lower] += self.weights.remove(lower + 1);
        let upper = Arc::unwrap_or_clone(nodes.remove(lower + 1));
        Arc::make_mut(&mut nodes[lower]).append(upper);
    }
}

impl<K: Ord + Clone, V: Weigh + Clone> Tree<K, V> {
    /// An empty tree.
    pub fn new() -> Tree<K, V> {
        Tree::default()
    }

    /// Builds a tree of full nodes from slots in ascending order, O(n). None where keys do not
    /// ascend.
    pub fn from_sorted(slots: Vec<(K, V)>) -> Option<Tree<K, V>> {
        if !slots.is_sorted_by(|one, next| one.0 < next.0) {
            return None;
        }
        let chunks = slots.len();
        if chunks == 0 {
            return Some(Tree::new());
        }
        let mut row = Vec::with_capacity(chunks.div_ceil(FANOUT));
        let mut rest = slots.into_iter();
        while rest.len() > 0 {
            let (keys, values): (Vec<K>, Vec<V>) = rest.by_ref().take(FANOUT).unzip();
            let weights = values.iter().map(Weigh::weight).collect();
            row.push(Arc::new(Node { keys, weights, below: Below::Slots(values) }));
        }
        while row.len() > 1 {
            let parents = row.chunks(FANOUT).map(|nodes| {
                let keys = nodes.iter().map(|node| node.keys[0].clone()).collect();
                let weights = nodes.iter().map(|node| node.weight()).collect();
                Arc::new(Node { keys, weights, below: Below::Nodes(nodes.to_vec()) })
            });
            row = parents.collect();
        }
        let root = row.pop().expect("a row of one node");
        Some(Tree { len: root.weight(), root, chunks })
    }

    /// Number of items in all slots.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of slots.
    pub fn chunks(&self) -> usize {
        self.chunks
    }

    /// The last slot whose key is not above the target, else the first slot, with the number of
    /// items in front of it; None in an empty tree. `order` compares a key with the target.
    /// O(log slots).
    pub fn find_by(&self, order: impl Fn(&K) -> Ordering) -> Option<(&K, &V, u64)> {
        let mut node = &*self.root;
        let mut before = 0;
        loop {
            let at = node.place(&order);
            before += node.weights.get(..at)?.iter().sum::<u64>();
            match &node.below {
                Below::Nodes(nodes) => node = &nodes[at],
                Below::Slots(slots) => return Some((node.keys.get(at)?, slots.get(at)?, before)),
            }
        }
    }

    /// The same slot without the count of what stands in front of it.
    #[inline]
    pub fn slot_by(&self, order: impl Fn(&K) -> Ordering) -> Option<(&K, &V)> {
        let mut node = &*self.root;
        loop {
            let at = node.place(&order);
            match &node.below {
                Below::Nodes(nodes) => node = &nodes[at],
                Below::Slots(slots) => return Some((node.keys.get(at)?, slots.get(at)?)),
            }
        }
    }

    /// The slot under exactly this key. O(log slots).
    pub fn get(&self, key: &K) -> Option<&V> {
        let (found, value) = self.slot_by(|low| low.cmp(key))?;
        (found == key).then_some(value)
    }

    /// The slot that holds the item of this rank (from 0), and the item's index inside the slot.
    /// O(log slots).
    pub fn at_rank(&self, rank: u64) -> Option<(&K, &V, u64)> {
        if rank >= self.len {
            return None;
        }
        let (mut node, mut offset, mut weight) = (&*self.root, rank, self.len);
        loop {
            let at = node.place_of_rank(&mut offset, weight);
            match &node.below {
                Below::Nodes(nodes) => (node, weight) = (&nodes[at], node.weights[at]),
                Below::Slots(slots) => return Some((&node.keys[at], &slots[at], offset)),
            }
        }
    }

    /// Edits the slot under exactly this key; weights follow. O(log slots).
    pub fn edit<R>(&mut self, key: &K, edit: impl FnOnce(&mut V) -> R) -> Option<R> {
        let exact = |found: &K, value: &mut V| (found == key).then(|| edit(value));
        self.edit_by(|low| low.cmp(key), exact).flatten()
    }

    /// Edits the slot that [`Tree::find_by`] finds; weights follow. O(log slots).
    pub fn edit_by<R>(
        &mut self,
        order: impl Fn(&K) -> Ordering,
        edit: impl FnOnce(&K, &mut V) -> R,
    ) -> Option<R> {
        if self.chunks == 0 {
            return None;
        }
        let (result, change) = Arc::make_mut(&mut self.root).edit(&order, edit);
        self.len = self.len.wrapping_add(change);
        Some(result)
    }

    /// Puts a slot in its place and returns the value that stood under its key. O(log slots).
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.len += value.weight();
        let (old, cut) = Arc::make_mut(&mut self.root).insert(key, value);
        match &old {
            Some(old) => self.len -= old.weight(),
            None => self.chunks += 1,
        }
        if let Some(cut) = cut {
            let lower = std::mem::replace(&mut self.root, Arc::new(Node::leaf()));
            self.root = Arc::new(Node {
                keys: vec![lower.keys[0].clone(), cut.node.keys[0].clone()],
                weights: vec![lower.weight(), cut.weight],
                below: Below::Nodes(vec![lower, cut.node]),
            });
        }
        old
    }

    /// Takes a slot out. O(log slots).
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let value = Arc::make_mut(&mut self.root).remove(key)?;
        self.len -= value.weight();
        self.chunks -= 1;
        while let Below::Nodes(nodes) = &self.root.below
            && nodes.len() == 1
        {
            let only = nodes[0].clone();
            self.root = only;
        }
        Some(value)
    }

    /// Takes all slots out.
    pub fn clear(&mut self) {
        *self = Tree::new();
    }

    /// The lowest slot.
    pub fn first(&self) -> Option<(&K, &V)> {
        self.slot_by(|_| Ordering::Greater)
    }

    /// The highest slot.
    pub fn last(&self) -> Option<(&K, &V)> {
        self.slot_by(|_| Ordering::Less)
    }

    /// All slots in order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.cursor_by(|_| Ordering::Greater).forward()
    }

    /// Stands on the slot that [`Tree::find_by`] finds.
    pub fn cursor_by(&self, order: impl Fn(&K) -> Ordering) -> Cursor<'_, K, V> {
        let mut cursor = Cursor { path: SmallVec::new() };
        cursor.descend(&self.root, |node| node.place(&order));
        cursor
    }

    /// Stands on the slot that holds the item of this rank; the second value is the item's index
    /// inside the slot. None where the tree has fewer items.
    pub fn cursor_at_rank(&self, rank: u64) -> Option<(Cursor<'_, K, V>, u64)> {
        if rank >= self.len {
            return None;
        }
        let (mut offset, mut weight) = (rank, self.len);
        let mut cursor = Cursor { path: SmallVec::new() };
        cursor.descend(&self.root, |node| {
            let at = node.place_of_rank(&mut offset, weight);
            weight = node.weights[at];
            at
        });
        Some((cursor, offset))
    }
}

/// A place in a [`Tree`]: on a slot, or nowhere once it has moved over an end.
#[derive(Clone, Debug)]
pub struct Cursor<'a, K, V> {
    /// Nodes from the root down to a leaf, each with the index that the way takes.
    path: SmallVec<[(&'a Node<K, V>, usize); 4]>,
}

impl<'a, K, V> Cursor<'a, K, V> {
    /// Extends the path to a leaf; `choose` picks the index in each node.
    fn descend(&mut self, from: &'a Node<K, V>, mut choose: impl FnMut(&Node<K, V>) -> usize) {
        let mut node = from;
        loop {
            let at = choose(node);
            self.path.push((node, at));
            match &node.below {
                Below::Nodes(nodes) => node = &nodes[at],
                Below::Slots(_) => return,
            }
        }
    }

    /// The slot here.
    pub fn get(&self) -> Option<(&'a K, &'a V)> {
        let (node, at) = *self.path.last()?;
        match &node.below {
            Below::Slots(slots) => Some((node.keys.get(at)?, slots.get(at)?)),
            Below::Nodes(_) => None,
        }
    }

    /// Moves to the next slot, or nowhere behind the last. Amortised O(1).
    pub fn advance(&mut self) {
        self.turn(|node, at| Some(at + 1).filter(|next| *next < node.len()), |_| 0);
    }

    /// Moves to the slot before, or nowhere in front of the first. Amortised O(1).
    pub fn retreat(&mut self) {
        self.turn(|_, at| at.checked_sub(1), |node| node.len().saturating_sub(1));
    }

    /// Climbs until a node has a neighbour in the direction, and goes down behind it.
    fn turn(
        &mut self,
        neighbour: impl Fn(&Node<K, V>, usize) -> Option<usize>,
        entrance: impl Fn(&Node<K, V>) -> usize,
    ) {
        while let Some((node, at)) = self.path.pop() {
            let Some(next) = neighbour(node, at) else {
                continue;
            };
            self.path.push((node, next));
            if let Below::Nodes(nodes) = &node.below {
                self.descend(&nodes[next], entrance);
            }
            return;
        }
    }

    /// The slot here and all behind it.
    pub fn forward(mut self) -> impl Iterator<Item = (&'a K, &'a V)> {
        std::iter::from_fn(move || {
            let slot = self.get()?;
            self.advance();
            Some(slot)
        })
    }

    /// The slot here and all in front of it, backwards.
    pub fn backward(mut self) -> impl Iterator<Item = (&'a K, &'a V)> {
        std::iter::from_fn(move || {
            let slot = self.get()?;
            self.retreat();
            Some(slot)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    impl Weigh for u64 {
        fn weight(&self) -> u64 {
            *self
        }
    }

    type Model = BTreeMap<u32, u64>;

    fn assert_same(tree: &Tree<u32, u64>, model: &Model) {
        assert!(tree.iter().eq(model.iter()), "forward");
        let back = tree.cursor_by(|_| Ordering::Less).backward();
        assert!(back.eq(model.iter().rev()), "backward");
        assert_eq!(tree.chunks(), model.len());
        assert_eq!(tree.len(), model.values().sum::<u64>());
        assert_eq!((tree.first(), tree.last()), (model.iter().next(), model.iter().next_back()));
        check_node(&tree.root, tree.chunks > 0);
    }

    /// Lowest keys and weights of inner nodes are exact, no node is empty or too large.
    fn check_node(node: &Node<u32, u64>, filled: bool) {
        assert!(node.len() <= FANOUT && (node.len() > 0) == filled);
        assert_eq!(node.weights.len(), node.len());
        match &node.below {
            Below::Slots(slots) => assert_eq!(*slots, node.weights),
            Below::Nodes(nodes) => {
                assert_eq!(nodes.len(), node.len());
                for (at, child) in nodes.iter().enumerate() {
                    assert_eq!((child.keys[0], child.weight()), (node.keys[at], node.weights[at]));
                    check_node(child, true);
                }
            }
        }
    }

    fn leaf_count(node: &Node<u32, u64>) -> usize {
        match &node.below {
            Below::Slots(_) => 1,
            Below::Nodes(nodes) => nodes.iter().map(|node| leaf_count(node)).sum(),
        }
    }

    fn assert_found(tree: &Tree<u32, u64>, model: &Model, target: u32) {
        let place = model.range(..=target).next_back().or_else(|| model.iter().next());
        let before = |key: &u32| model.range(..*key).map(|slot| slot.1).sum::<u64>();
        let wanted = place.map(|(key, value)| (key, value, before(key)));
        assert_eq!(tree.find_by(|key| key.cmp(&target)), wanted);
        assert_eq!(tree.slot_by(|key| key.cmp(&target)), place);
        assert_eq!(tree.get(&target), model.get(&target));
    }

    fn assert_ranked(tree: &Tree<u32, u64>, model: &Model, rank: u64) {
        let mut offset = rank;
        let wanted = model.iter().find_map(|(key, value)| match offset < *value {
            true => Some((key, value, offset)),
            false => {
                offset -= value;
                None
            }
        });
        assert_eq!(tree.at_rank(rank), wanted);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u32, u64),
        Remove(u32),
        /// Takes out what stands in a range, so that nodes empty and merge.
        Thin(u32, u32),
        Edit(u32, u64),
        Hold,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..9000u32, 0..5u64).prop_map(|(key, weight)| Step::Insert(key, weight)),
            2 => (0..9000u32).prop_map(Step::Remove),
            1 => (0..9000u32, 0..3000u32).prop_map(|(from, count)| Step::Thin(from, count)),
            2 => (0..9000u32, 0..9u64).prop_map(|(key, weight)| Step::Edit(key, weight)),
            1 => Just(Step::Hold),
        ]
    }

    fn apply(tree: &mut Tree<u32, u64>, model: &mut Model, step: &Step) {
        match *step {
            Step::Insert(key, value) => {
                assert_eq!(tree.insert(key, value), model.insert(key, value))
            }
            Step::Remove(key) => assert_eq!(tree.remove(&key), model.remove(&key)),
            Step::Thin(from, count) => {
                for key in from..from + count {
                    assert_eq!(tree.remove(&key), model.remove(&key));
                }
            }
            Step::Edit(target, value) => {
                let key = tree.edit_by(
                    |key| key.cmp(&target),
                    |key, slot| {
                        *slot = value;
                        *key
                    },
                );
                let before = model.range(..=target).next_back().map(|slot| *slot.0);
                assert_eq!(key, before.or_else(|| model.keys().next().copied()));
                key.map(|key| model.insert(key, value));
                assert_eq!(tree.edit(&target, |slot| *slot), model.get(&target).copied());
            }
            Step::Hold => {}
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn it_holds_what_a_sorted_map_holds(
            start in 0..9000u32,
            first in 0..9000u32,
            steps in prop::collection::vec(step(), 0..60),
            targets in prop::collection::vec(0..9000u32, 8),
            appended in 0..200u32,
        ) {
            let keys = first.min(start)..start;
            let slots: Vec<_> = keys.map(|key| (key, u64::from(key % 4))).collect();
            let mut model: Model = slots.iter().copied().collect();
            let mut tree = Tree::from_sorted(slots).unwrap();
            let mut held = Vec::new();
            assert_same(&tree, &model);
            for step in steps {
                if matches!(step, Step::Hold) {
                    held.push((tree.clone(), model.clone()));
                }
                apply(&mut tree, &mut model, &step);
            }
            for key in 9000..9000 + appended {
                apply(&mut tree, &mut model, &Step::Insert(key, 1));
            }
            assert_same(&tree, &model);
            for &target in &targets {
                assert_found(&tree, &model, target);
                assert_ranked(&tree, &model, u64::from(target) * 2);
                let rest = tree.cursor_by(|key| key.cmp(&target)).forward();
                let low = model.range(..=target).next_back().map_or(0, |slot| *slot.0);
                prop_assert!(rest.eq(model.range(low..)));
            }
            for (tree, model) in held {
                assert_same(&tree, &model);
            }
        }
    }

    #[test]
    fn ranks_are_those_of_the_items() {
        let slots: Vec<_> = (0..5000u32).map(|key| (key, u64::from(key % 3))).collect();
        let model: Model = slots.iter().copied().collect();
        let tree = Tree::from_sorted(slots).unwrap();
        for rank in (0..tree.len() + 3).step_by(7).chain(tree.len() - 2..tree.len() + 2) {
            assert_ranked(&tree, &model, rank);
        }
    }

    #[test]
    fn an_empty_tree_has_no_places() {
        let mut tree: Tree<u32, u64> = Tree::new();
        assert_eq!(tree.find_by(|key| key.cmp(&1)), None);
        assert_eq!((tree.first(), tree.last(), tree.at_rank(0)), (None, None, None));
        assert_eq!(tree.edit_by(|key| key.cmp(&1), |_, _| ()), None);
        assert_eq!((tree.iter().count(), tree.remove(&1)), (0, None));
        tree.insert(1, 1);
        tree.clear();
        assert_same(&tree, &Model::new());
    }

    #[test]
    fn a_tree_emptied_and_thinned_has_few_nodes() {
        let mut tree = Tree::from_sorted((0..8000).map(|key| (key, 1u64)).collect()).unwrap();
        (0..8000u32).filter(|key| key % 80 != 0).for_each(|key| {
            tree.remove(&key);
        });
        assert_eq!(tree.chunks(), 100);
        let leaves = leaf_count(&tree.root);
        assert!(leaves <= 8, "{leaves} leaves for 100 slots");
    }

    #[test]
    fn slots_out_of_order_build_no_tree() {
        assert!(Tree::from_sorted(vec![(1u32, 1u64), (1, 1)]).is_none());
        assert!(Tree::from_sorted(vec![(2u32, 1u64), (1, 1)]).is_none());
    }
}
