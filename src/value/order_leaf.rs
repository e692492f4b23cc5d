//! A leaf of the order of a large sorted set, in three columns: searching reads scores alone.

use std::cmp::Ordering;

use crate::value::score::{self, Scored};

/// Most items of a leaf.
const LEAF_ITEMS_MAX: usize = 128;
/// Most member bytes of a leaf, but for one that stands alone. Offsets have 16 bits.
const LEAF_BYTES_MAX: usize = 16 << 10;
/// Leaves that stay at most half full together are merged.
const MERGED_ITEMS_MAX: usize = LEAF_ITEMS_MAX / 2;
/// Below this many items, a leaf is looked at for a merge now and then.
const MERGE_BELOW: usize = LEAF_ITEMS_MAX / 4;

/// What separates a leaf from the one in front of it: not above the first item of the leaf, and
/// above the last one in front. Mostly a score without a member.
#[derive(Clone, Debug)]
pub struct OrderKey {
    pub(super) score: f64,
    pub(super) member: Box<[u8]>,
}

impl OrderKey {
    /// Below every item.
    pub(super) fn lowest() -> OrderKey {
        OrderKey { score: f64::NEG_INFINITY, member: Box::default() }
    }

    /// The shortest key between two items.
    pub(super) fn between(lower: Scored<'_>, upper: Scored<'_>) -> OrderKey {
        let member = if lower.0 == upper.0 {
            let same = lower.1.iter().zip(upper.1).take_while(|(a, b)| a == b).count();
            &upper.1[..upper.1.len().min(same + 1)]
        } else {
            &[]
        };
        OrderKey { score: upper.0, member: member.into() }
    }

    /// How the key stands to an item.
    #[inline]
    pub(super) fn order(&self, item: Scored<'_>) -> Ordering {
        score::order((self.score, &self.member), item)
    }
}

impl Ord for OrderKey {
    fn cmp(&self, other: &OrderKey) -> Ordering {
        self.order((other.score, &other.member))
    }
}

impl PartialOrd for OrderKey {
    fn partial_cmp(&self, other: &OrderKey) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for OrderKey {
    fn eq(&self, other: &OrderKey) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for OrderKey {}

/// Items next to each other in the order of a sorted set.
#[derive(Clone, Debug, Default)]
pub struct OrderLeaf {
    scores: Vec<f64>,
    /// Where each member begins in `data`; it ends where the next one begins.
    starts: Vec<u16>,
    data: Vec<u8>,
}

impl OrderLeaf {
    /// A leaf without spare memory from the front of sorted items, and the number of those taken.
    pub(super) fn fill(items: &[Scored<'_>]) -> (OrderLeaf, usize) {
        let mut bytes = 0;
        let fits = |(count, item): &(usize, &Scored<'_>)| {
            bytes += item.1.len();
            *count == 0 || *count < LEAF_ITEMS_MAX && bytes <= LEAF_BYTES_MAX
        };
        let count = items.iter().enumerate().take_while(fits).count();
        let items = &items[..count];
        let mut leaf = OrderLeaf {
            scores: items.iter().map(|item| item.0).collect(),
            starts: Vec::with_capacity(count),
            data: Vec::with_capacity(items.iter().map(|item| item.1.len()).sum()),
        };
        for (_, member) in items {
            leaf.starts.push(leaf.data.len() as u16);
            leaf.data.extend_from_slice(member);
        }
        (leaf, count)
    }

    pub(super) fn len(&self) -> usize {
        self.scores.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.scores.is_empty()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let columns = self.scores.capacity() * 8 + self.starts.capacity() * 2;
        size_of::<OrderLeaf>() + columns + self.data.capacity()
    }

    fn start(&self, index: usize) -> usize {
        self.starts.get(index).map_or(self.data.len(), |&start| usize::from(start))
    }

    #[inline]
    fn member(&self, index: usize) -> &[u8] {
        &self.data[self.start(index)..self.start(index + 1)]
    }

    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<Scored<'_>> {
        let score = *self.scores.get(index)?;
        Some((score, self.member(index)))
    }

    /// The number of items below this one.
    pub(super) fn place(&self, item: Scored<'_>) -> usize {
        let low = self.place_of_score(item.0, false);
        self.place_among_equals(low, item)
    }

    /// The number of items below one that is there, mostly without a look at a member.
    pub(super) fn place_of_present(&self, item: Scored<'_>) -> usize {
        let low = self.place_of_score(item.0, false);
        match self.scores.get(low + 1) {
            Some(next) if *next == item.0 => self.place_among_equals(low, item),
            _ => low,
        }
    }

    fn place_among_equals(&self, low: usize, item: Scored<'_>) -> usize {
        let high = low + self.scores[low..].partition_point(|score| *score <= item.0);
        self.partition(low, high, |at| self.member(at) < item.1)
    }

    /// The number of items whose score is below `score`, or equal to it.
    pub(super) fn place_of_score(&self, score: f64, or_equal: bool) -> usize {
        match or_equal {
            true => self.scores.partition_point(|other| *other <= score),
            false => self.scores.partition_point(|other| *other < score),
        }
    }

    /// The number of items whose member is below `member`, or equal to it.
    pub(super) fn place_of_member(&self, member: &[u8], or_equal: bool) -> usize {
        self.partition(0, self.len(), |at| match or_equal {
            true => self.member(at) <= member,
            false => self.member(at) < member,
        })
    }

    /// The first place in `low..high` for which `below` does not hold, else `high`.
    fn partition(&self, mut low: usize, mut high: usize, below: impl Fn(usize) -> bool) -> usize {
        while low < high {
            let middle = (low + high) / 2;
            match below(middle) {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        low
    }

    fn has_room(&self, member: &[u8]) -> bool {
        self.is_empty()
            || self.len() < LEAF_ITEMS_MAX && self.data.len() + member.len() <= LEAF_BYTES_MAX
    }

    /// Puts an item in its place. Answers the leaves that were cut off to make room, in order, each
    /// with its key.
    pub(super) fn insert(&mut self, item: Scored<'_>) -> Vec<(OrderKey, OrderLeaf)> {
        let at = self.place(item);
        if self.has_room(item.1) {
            self.put(at, item);
            return Vec::new();
        }
        // What is inserted in order leaves full leaves behind.
        let cut = if at == 0 || at == self.len() { at } else { self.len() / 2 };
        let mut upper = self.split_off(cut);
        let alone = || OrderLeaf::fill(&[item]).0;
        let leaves = if at <= cut && self.has_room(item.1) {
            self.put(at, item);
            vec![upper]
        } else if at >= cut && upper.has_room(item.1) {
            upper.put(at - cut, item);
            vec![upper]
        } else if at < cut {
            let tail = self.split_off(at);
            vec![alone(), tail, upper]
        } else {
            let tail = upper.split_off(at - cut);
            vec![upper, alone(), tail]
        };
        let mut keyed: Vec<(OrderKey, OrderLeaf)> = Vec::with_capacity(leaves.len());
        for leaf in leaves {
            let front = keyed.last().map_or(&*self, |keyed| &keyed.1);
            // A cut at the end of a leaf leaves nothing behind it.
            if let (Some(lower), Some(upper)) = (front.last(), leaf.get(0)) {
                keyed.push((OrderKey::between(lower, upper), leaf));
            }
        }
        keyed
    }

    fn last(&self) -> Option<Scored<'_>> {
        self.get(self.len().checked_sub(1)?)
    }

    fn put(&mut self, at: usize, (score, member): Scored<'_>) {
        let (start, end) = (self.start(at), self.data.len());
        grow(&mut self.scores, 1);
        grow(&mut self.starts, 1);
        grow(&mut self.data, member.len());
        self.scores.insert(at, score);
        self.starts.insert(at, start as u16);
        self.starts[at + 1..].iter_mut().for_each(|start| *start += member.len() as u16);
        self.data.resize(end + member.len(), 0);
        self.data.copy_within(start..end, start + member.len());
        self.data[start..start + member.len()].copy_from_slice(member);
    }

    /// Takes an item out. Answers whether it was there.
    pub(super) fn remove(&mut self, item: Scored<'_>) -> bool {
        let at = self.place(item);
        if self.get(at).is_none_or(|found| score::order(found, item).is_ne()) {
            return false;
        }
        let start = self.start(at);
        self.data.drain(start..start + item.1.len());
        self.scores.remove(at);
        self.starts.remove(at);
        self.starts[at..].iter_mut().for_each(|start| *start -= item.1.len() as u16);
        if self.data.capacity() / 2 > self.data.len() {
            self.trim();
        }
        true
    }

    /// Whether so many items have gone that a merge is worth a look, which costs a search.
    pub(super) fn wants_merge(&self) -> bool {
        self.len() < MERGE_BELOW && self.len().is_multiple_of(8)
    }

    /// Whether two neighbours can become one leaf that is not soon split again.
    pub(super) fn could_merge(&self, other: &OrderLeaf) -> bool {
        self.is_empty()
            || other.is_empty()
            || self.len() + other.len() <= MERGED_ITEMS_MAX
                && self.data.len() + other.data.len() <= LEAF_BYTES_MAX / 2
    }

    /// Puts all items of the leaf behind at the end of this one.
    pub(super) fn append(&mut self, upper: &OrderLeaf) {
        let base = self.data.len();
        self.scores.extend_from_slice(&upper.scores);
        self.starts.extend(upper.starts.iter().map(|start| start + base as u16));
        self.data.extend_from_slice(&upper.data);
        self.trim();
    }

    /// Cuts off the items from `at` on.
    fn split_off(&mut self, at: usize) -> OrderLeaf {
        let start = self.start(at);
        let upper = OrderLeaf {
            scores: self.scores[at..].to_vec(),
            starts: self.starts[at..].iter().map(|own| own - start as u16).collect(),
            data: self.data[start..].to_vec(),
        };
        self.scores.truncate(at);
        self.starts.truncate(at);
        self.data.truncate(start);
        self.trim();
        upper
    }

    fn trim(&mut self) {
        self.scores.shrink_to_fit();
        self.starts.shrink_to_fit();
        self.data.shrink_to_fit();
    }
}

/// Makes room for `more` values, and an eighth beyond when the vector has to move.
fn grow<T>(column: &mut Vec<T>, more: usize) {
    if column.capacity() - column.len() < more {
        column.reserve_exact(more + column.len() / 8 + 4);
    }
}
