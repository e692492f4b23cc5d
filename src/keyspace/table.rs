//! The table of one slot: leaves by the upper bits of the hash.
//!
//! Most slots have one leaf, kept inline. A leaf that would pass [`LEAF_ENTRIES_MAX`] splits by
//! its next hash bit (extendible hashing: a directory of leaves by prefix), so no step ever moves
//! more than one leaf's words; leaves that empty merge back. The tag of an entry is the 16 hash
//! bits behind its leaf's prefix. Leaf and tag order together are position order, and the hashes
//! of equal leaf and tag form an aligned range of at least one SCAN cursor.

use crate::types::{CURSOR_SHIFT, HASH_BITS};

use super::entry::Entry;
use super::leaf::Leaf;

/// Entries at which a leaf splits.
pub const LEAF_ENTRIES_MAX: usize = 512;
/// Two halves with fewer entries than this merge.
const MERGE_BELOW: usize = LEAF_ENTRIES_MAX * 3 / 8;
/// Deepest prefix: with it the tag reaches down to the bits that cursors leave out.
const DEPTH_MAX: u32 = HASH_BITS - CURSOR_SHIFT - TAG_BITS;
const TAG_BITS: u32 = 16;
/// The directory may have so many times as many places as leaves. Uniform hashes need less; hashes
/// that no bit tells apart must not double it for ever.
const DIRECTORY_FACTOR: usize = 8;

/// Computes the hash of a key; needed only where a leaf splits.
pub type Rehash<'a> = &'a dyn Fn(&[u8]) -> u64;

/// Where an entry stands, until the table changes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    leaf: u32,
    index: u32,
}

impl Place {
    /// So many places of the same leaf from here.
    pub fn following(self, count: usize) -> impl Iterator<Item = Place> + use<> {
        (self.index..self.index + count as u32).map(move |index| Place { index, ..self })
    }
}

/// All entries of one slot.
pub struct Table {
    root: Root,
}

enum Root {
    One(Leaf),
    Many(Box<Directory>),
}

struct Directory {
    depth: u32,
    /// Leaf number for each prefix of `depth` bits.
    index: Vec<u32>,
    leaves: Vec<Branch>,
    /// Numbers in `leaves` that are not in use.
    free: Vec<u32>,
    entries: usize,
    leaf_bytes: usize,
}

#[derive(Default)]
struct Branch {
    leaf: Leaf,
    depth: u32,
    prefix: u32,
}

/// A leaf with the range of hashes that it covers.
pub struct Span<'a> {
    /// The leaf.
    pub leaf: &'a Leaf,
    number: u32,
    /// Lowest hash.
    pub start: u64,
    /// First hash behind it.
    pub end: u64,
    depth: u32,
}

impl Span<'_> {
    /// Tag of a hash in this leaf.
    pub fn tag(&self, hash: u64) -> u16 {
        tag_of(hash, self.depth)
    }

    /// First hash behind those that have this tag.
    pub fn tag_end(&self, tag: u16) -> u64 {
        self.start + ((u64::from(tag) + 1) << (HASH_BITS - TAG_BITS - self.depth))
    }

    /// The place of an index in this leaf.
    pub fn place(&self, index: usize) -> Place {
        Place { leaf: self.number, index: index as u32 }
    }
}

fn tag_of(hash: u64, depth: u32) -> u16 {
    (hash >> (HASH_BITS - TAG_BITS - depth)) as u16
}

impl Default for Table {
    fn default() -> Table {
        Table { root: Root::One(Leaf::default()) }
    }
}

impl Table {
    /// Number of entries.
    pub fn len(&self) -> usize {
        match &self.root {
            Root::One(leaf) => leaf.len(),
            Root::Many(directory) => directory.entries,
        }
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory of words and directory, in bytes.
    pub fn bytes(&self) -> usize {
        match &self.root {
            Root::One(leaf) => leaf.bytes(),
            Root::Many(directory) => directory.bytes(),
        }
    }

    /// The leaf that covers a hash.
    pub fn span(&self, hash: u64) -> Span<'_> {
        match &self.root {
            Root::One(leaf) => Span { leaf, number: 0, start: 0, end: 1 << HASH_BITS, depth: 0 },
            Root::Many(directory) => {
                let number = directory.number_of(hash);
                let branch = &directory.leaves[number as usize];
                let shift = HASH_BITS - branch.depth;
                Span {
                    leaf: &branch.leaf,
                    number,
                    start: u64::from(branch.prefix) << shift,
                    end: (u64::from(branch.prefix) + 1) << shift,
                    depth: branch.depth,
                }
            }
        }
    }

    fn leaf(&self, number: u32) -> &Leaf {
        match &self.root {
            Root::One(leaf) => leaf,
            Root::Many(directory) => &directory.leaves[number as usize].leaf,
        }
    }

    fn leaf_mut(&mut self, number: u32) -> &mut Leaf {
        match &mut self.root {
            Root::One(leaf) => leaf,
            Root::Many(directory) => &mut directory.leaves[number as usize].leaf,
        }
    }

    /// The place of a key.
    pub fn find(&self, hash: u64, key: &[u8]) -> Option<Place> {
        let span = self.span(hash);
        let index = span.leaf.find(span.tag(hash), key)?;
        Some(span.place(index))
    }

    /// The entry at a place.
    pub fn entry(&self, place: Place) -> &Entry {
        self.leaf(place.leaf).entry(place.index as usize)
    }

    /// As [`Table::entry`]. Tag and state must be left alone.
    pub fn entry_mut(&mut self, place: Place) -> &mut Entry {
        self.leaf_mut(place.leaf).entry_mut(place.index as usize)
    }

    /// Replaces the state of an entry.
    pub fn set_state(&mut self, place: Place, state: u8) {
        self.leaf_mut(place.leaf).set_state(place.index as usize, state);
    }

    /// Adds an entry whose key is not there.
    pub fn insert(&mut self, hash: u64, mut entry: Entry, rehash: Rehash<'_>) -> Place {
        while self.span(hash).leaf.len() >= LEAF_ENTRIES_MAX {
            if !self.split(hash, rehash) {
                break;
            }
        }
        let span = self.span(hash);
        let number = span.number;
        entry.set_tag(span.tag(hash));
        let leaf = self.leaf_mut(number);
        let before = leaf.bytes();
        let index = leaf.insert(entry);
        let after = leaf.bytes();
        if let Root::Many(directory) = &mut self.root {
            directory.entries += 1;
            directory.leaf_bytes = directory.leaf_bytes + after - before;
        }
        Place { leaf: number, index: index as u32 }
    }

    /// Takes an entry out.
    pub fn remove(&mut self, place: Place) -> Entry {
        let leaf = self.leaf_mut(place.leaf);
        let before = leaf.bytes();
        let entry = leaf.remove(place.index as usize);
        let after = leaf.bytes();
        if let Root::Many(directory) = &mut self.root {
            directory.entries -= 1;
            directory.leaf_bytes = directory.leaf_bytes + after - before;
            directory.merge(place.leaf);
            if let Some(leaf) = directory.take_last() {
                self.root = Root::One(leaf);
            }
        }
        entry
    }

    /// Halves the leaf that covers `hash`; false when that cannot help.
    fn split(&mut self, hash: u64, rehash: Rehash<'_>) -> bool {
        if let Root::One(leaf) = &mut self.root {
            self.root = Root::Many(Box::new(Directory::new(std::mem::take(leaf))));
        }
        match &mut self.root {
            Root::Many(directory) => directory.split(hash, rehash),
            Root::One(_) => false,
        }
    }

    /// Checks the structure, and that every entry stands where its hash belongs.
    ///
    /// # Panics
    /// When that does not hold.
    pub fn check_invariants(&self, rehash: Rehash<'_>) {
        let (mut at, mut entries, mut leaf_bytes) = (0, 0, 0);
        while at < 1 << HASH_BITS {
            let span = self.span(at);
            assert_eq!(span.start, at, "leaves tile the hashes");
            span.leaf.check_invariants();
            for entry in span.leaf.words().iter().flatten() {
                let hash = rehash(entry.get().key());
                assert!((span.start..span.end).contains(&hash), "leaf of an entry");
                assert_eq!(span.tag(hash), entry.tag(), "tag of an entry");
            }
            entries += span.leaf.len();
            leaf_bytes += span.leaf.bytes();
            at = span.end;
        }
        assert_eq!(entries, self.len());
        if let Root::Many(directory) = &self.root {
            assert_eq!(leaf_bytes, directory.leaf_bytes);
        }
    }
}

impl Directory {
    fn new(leaf: Leaf) -> Directory {
        Directory {
            depth: 0,
            index: vec![0],
            entries: leaf.len(),
            leaf_bytes: leaf.bytes(),
            leaves: vec![Branch { leaf, depth: 0, prefix: 0 }],
            free: Vec::new(),
        }
    }

    fn bytes(&self) -> usize {
        size_of::<Directory>()
            + self.index.capacity() * size_of::<u32>()
            + self.leaves.capacity() * size_of::<Branch>()
            + self.free.capacity() * size_of::<u32>()
            + self.leaf_bytes
    }

    fn number_of(&self, hash: u64) -> u32 {
        self.index[(hash >> (HASH_BITS - self.depth)) as usize]
    }

    fn used(&self) -> usize {
        self.leaves.len() - self.free.len()
    }

    fn split(&mut self, hash: u64, rehash: Rehash<'_>) -> bool {
        let number = self.number_of(hash);
        let depth = self.leaves[number as usize].depth;
        if depth == DEPTH_MAX || depth == self.depth && !self.deepen() {
            return false;
        }
        let branch = &mut self.leaves[number as usize];
        self.leaf_bytes -= branch.leaf.bytes();
        let mut entries = std::mem::take(&mut branch.leaf).into_sorted();
        let middle = entries.partition_point(|entry| entry.tag() < 1 << (TAG_BITS - 1));
        for entry in &mut entries {
            let tag = tag_of(rehash(entry.get().key()), depth + 1);
            entry.set_tag(tag);
        }
        entries[..middle].sort_by_key(Entry::tag);
        entries[middle..].sort_by_key(Entry::tag);
        let upper = Leaf::from_sorted(entries.split_off(middle));
        let lower = Leaf::from_sorted(entries);
        self.leaf_bytes += upper.bytes() + lower.bytes();
        let prefix = branch.prefix << 1;
        *branch = Branch { leaf: lower, depth: depth + 1, prefix };
        self.add(Branch { leaf: upper, depth: depth + 1, prefix: prefix | 1 });
        true
    }

    /// Doubles the directory, if its leaves are worth it.
    fn deepen(&mut self) -> bool {
        if self.index.len() * 2 > DIRECTORY_FACTOR * (self.used() + 1) {
            return false;
        }
        self.index = self.index.iter().flat_map(|&n| [n, n]).collect();
        self.depth += 1;
        true
    }

    fn add(&mut self, branch: Branch) {
        let number = match self.free.pop() {
            Some(number) => {
                self.leaves[number as usize] = branch;
                number
            }
            None => {
                self.leaves.push(branch);
                (self.leaves.len() - 1) as u32
            }
        };
        self.point(number);
    }

    /// Points the prefixes of a leaf to it.
    fn point(&mut self, number: u32) {
        let branch = &self.leaves[number as usize];
        let spread = self.depth - branch.depth;
        let first = (branch.prefix as usize) << spread;
        self.index[first..first + (1 << spread)].fill(number);
    }

    /// Merges a leaf with its other half, and the result again, while both are nearly empty.
    fn merge(&mut self, mut number: u32) {
        loop {
            let branch = &self.leaves[number as usize];
            if branch.depth == 0 || branch.leaf.len() >= MERGE_BELOW {
                return;
            }
            let (prefix, depth) = (branch.prefix, branch.depth);
            let buddy = self.number_of(u64::from(prefix ^ 1) << (HASH_BITS - depth));
            let other = &self.leaves[buddy as usize];
            if other.depth != depth || other.leaf.len() + branch.leaf.len() >= MERGE_BELOW {
                return;
            }
            if prefix & 1 == 0 {
                self.join(number, buddy);
            } else {
                self.join(buddy, number);
            }
            // Joining may renumber.
            number = self.number_of(u64::from(prefix) << (HASH_BITS - depth));
        }
    }

    fn join(&mut self, lower: u32, upper: u32) {
        let upper_branch = std::mem::take(&mut self.leaves[upper as usize]);
        self.free.push(upper);
        let branch = &mut self.leaves[lower as usize];
        self.leaf_bytes -= branch.leaf.bytes() + upper_branch.leaf.bytes();
        let mut entries = std::mem::take(&mut branch.leaf).into_sorted();
        let middle = entries.len();
        entries.extend(upper_branch.leaf.into_sorted());
        for (index, entry) in entries.iter_mut().enumerate() {
            let bit = u16::from(index >= middle) << (TAG_BITS - 1);
            entry.set_tag(entry.tag() >> 1 | bit);
        }
        branch.leaf = Leaf::from_sorted(entries);
        branch.depth -= 1;
        branch.prefix >>= 1;
        self.leaf_bytes += branch.leaf.bytes();
        self.point(lower);
        self.tighten();
    }

    /// Gives memory back: halves a directory that no leaf needs so deep, and closes holes.
    fn tighten(&mut self) {
        if self.index.len() > 2 * DIRECTORY_FACTOR * self.used() {
            let deepest = self.index.iter().map(|&n| self.leaves[n as usize].depth);
            let deepest = deepest.max().unwrap_or(0);
            if deepest < self.depth {
                let step = 1 << (self.depth - deepest);
                self.index = self.index.iter().copied().step_by(step).collect();
                self.depth = deepest;
            }
        }
        if self.free.len() > 16 && self.free.len() > self.used() {
            self.compact();
        }
    }

    /// Renumbers the leaves in hash order, without holes.
    fn compact(&mut self) {
        let mut old = std::mem::take(&mut self.leaves);
        self.free = Vec::new();
        let mut at = 0;
        while at < self.index.len() {
            let branch = std::mem::take(&mut old[self.index[at] as usize]);
            let spread = 1 << (self.depth - branch.depth);
            let number = self.leaves.len() as u32;
            self.index[at..at + spread].fill(number);
            self.leaves.push(branch);
            at += spread;
        }
    }

    /// The last leaf, when it covers everything.
    fn take_last(&mut self) -> Option<Leaf> {
        let number = self.index[0] as usize;
        let branch = &mut self.leaves[number];
        (branch.depth == 0).then(|| std::mem::take(&mut branch.leaf))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::access::Access;
    use super::super::entry::Body;
    use super::*;

    /// Keys of the tests begin with their hash.
    fn rehash(key: &[u8]) -> u64 {
        u64::from_be_bytes(key[..8].try_into().expect("8 bytes"))
    }

    fn key(hash: u64, number: u8) -> Vec<u8> {
        let mut key = hash.to_be_bytes().to_vec();
        key.push(number);
        key
    }

    fn entry(key: &[u8]) -> Entry {
        Entry::new(key, None, Body::Inline(b"v"), Access(0))
    }

    fn spread(number: u64) -> u64 {
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - HASH_BITS)
    }

    fn hash() -> impl Strategy<Value = u64> {
        let top = (1 << HASH_BITS) - 1u64;
        prop_oneof![
            10 => 0..=top,
            2 => (0..16u64).prop_map(move |low| top - low),
            2 => (0..3u64).prop_map(|high| high << 30),
            1 => Just(0u64),
        ]
    }

    fn all_in_order(table: &Table) -> Vec<Vec<u8>> {
        let (mut keys, mut at) = (Vec::new(), 0);
        while at < 1 << HASH_BITS {
            let span = table.span(at);
            let mut of_leaf: Vec<(u16, Vec<u8>)> = Vec::new();
            for entry in span.leaf.words().iter().flatten() {
                of_leaf.push((entry.tag(), entry.get().key().to_vec()));
            }
            // Keys of one tag are in no order; everything else is in that of the hash.
            of_leaf.sort();
            keys.extend(of_leaf.into_iter().map(|(_, key)| key));
            at = span.end;
        }
        keys
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn a_table_behaves_as_a_sorted_map(
            steps in prop::collection::vec((hash(), 0..3u8, 0..5u8), 1..3000),
            bulk in 0..3000u64,
        ) {
            let mut table = Table::default();
            let mut model = BTreeMap::new();
            for number in 0..bulk {
                let key = key(spread(number), 9);
                table.insert(spread(number), entry(&key), &rehash);
                model.insert(key, ());
            }
            for (hash, number, action) in steps {
                let key = key(hash, number);
                let found = table.find(hash, &key);
                prop_assert_eq!(found.is_some(), model.contains_key(&key));
                match found {
                    Some(place) if action > 2 => {
                        let taken = table.remove(place);
                        prop_assert_eq!(taken.get().key(), &key[..]);
                        model.remove(&key);
                    }
                    None => {
                        let place = table.insert(hash, entry(&key), &rehash);
                        prop_assert_eq!(table.entry(place).get().key(), &key[..]);
                        model.insert(key, ());
                    }
                    Some(_) => {}
                }
            }
            table.check_invariants(&rehash);
            prop_assert_eq!(all_in_order(&table), model.keys().cloned().collect::<Vec<_>>());
            for key in model.keys() {
                let place = table.find(rehash(key), key).expect("it is there");
                table.remove(place);
            }
            table.check_invariants(&rehash);
            prop_assert_eq!((table.len(), table.bytes()), (0, 0));
        }
    }

    #[test]
    fn a_large_slot_splits_into_bounded_leaves_and_shrinks_back() {
        let mut table = Table::default();
        let count = if cfg!(miri) { 2_000 } else { 200_000 };
        for number in 0..count {
            let hash = spread(number);
            table.insert(hash, entry(&key(hash, 0)), &rehash);
        }
        table.check_invariants(&rehash);
        let mut at = 0;
        while at < 1 << HASH_BITS {
            let span = table.span(at);
            assert!(span.leaf.len() <= LEAF_ENTRIES_MAX);
            at = span.end;
        }
        let each = table.bytes() as f64 / count as f64;
        assert!(each < 11.0, "{each} bytes an entry");
        for number in 1..count {
            let hash = spread(number);
            let place = table.find(hash, &key(hash, 0)).expect("it is there");
            table.remove(place);
        }
        table.check_invariants(&rehash);
        assert!(table.bytes() <= 64, "{} bytes for one entry", table.bytes());
    }

    #[test]
    fn equal_hashes_do_not_deepen_the_directory_for_ever() {
        let mut table = Table::default();
        for number in 0..2000u32 {
            let mut key = 0u64.to_be_bytes().to_vec();
            key.extend(number.to_be_bytes());
            table.insert(0, entry(&key), &rehash);
        }
        table.check_invariants(&rehash);
        assert!(table.bytes() < 2000 * 16, "{} bytes", table.bytes());
    }
}
