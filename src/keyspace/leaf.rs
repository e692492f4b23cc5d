//! One array of table words, sorted by tag, with gaps.
//!
//! The home of a tag is its share of the array (`tag * homes >> 16`); an entry stands at its home
//! or behind it, with no gap in between. Since homes grow with tags, the array is sorted, so
//! iterating it is iterating in position order. Nothing wraps around: words behind the last home
//! take what overflows, and where they are too few the homes are drawn together. Keys are compared
//! only after their tags. Resizing moves words and never touches entries.

use super::entry::{CAPTURED, DIRTY, Entry, prefetch_word};
use super::shape::size_class;

/// Fewest words of a leaf that has any.
const WORDS_MIN: usize = 2;
/// Arrays of so many bytes grow by every second class of the allocator.
const COARSE_BYTES: usize = 2 << 10;

/// Sorted words with counts of their states.
#[derive(Default)]
pub struct Leaf {
    words: Box<[Option<Entry>]>,
    homes: u32,
    len: u32,
    dirty: u32,
    captured: u32,
}

/// Number of entries that `words` may hold before the array grows.
fn fill_max(words: usize) -> usize {
    words - words / 13
}

/// The array size behind `words`: the next class of the allocator, 1.14 to 1.25 times as large;
/// every second one where arrays are large.
///
/// All leaves have about the same number of entries. So they leave a class at about the same time,
/// and what is left there holds slabs that are mostly empty; the classes that are left out have
/// eight places in a slab, the others four at most.
fn larger(words: usize) -> usize {
    let (bytes, next) = (words * 8, |bytes: usize| size_class(bytes + 1));
    let larger = match bytes < COARSE_BYTES {
        true => next(bytes).max(WORDS_MIN * 8),
        false => next(next(bytes)),
    };
    larger / 8
}

/// The smallest array size that takes `len` entries and one in eight more.
fn words_for(len: usize) -> usize {
    let mut words = WORDS_MIN;
    while fill_max(words) < len + len / 8 {
        words = larger(words);
    }
    words
}

fn home(tag: u16, homes: u32) -> usize {
    (usize::from(tag) * homes as usize) >> 16
}

/// Index behind the last of `tags` (sorted), were they placed with so many homes.
fn end_of(tags: impl Iterator<Item = u16>, homes: u32) -> usize {
    tags.fold(0, |next, tag| next.max(home(tag, homes)) + 1)
}

impl Leaf {
    /// A leaf of entries sorted by tag.
    pub fn from_sorted(entries: Vec<Entry>) -> Leaf {
        let mut leaf = Leaf::default();
        if !entries.is_empty() {
            leaf.fill(words_for(entries.len()), entries);
        }
        leaf
    }

    /// Takes all entries out, sorted by tag.
    pub fn into_sorted(self) -> Vec<Entry> {
        self.words.into_iter().flatten().collect()
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of [`DIRTY`] entries.
    pub fn dirty(&self) -> usize {
        self.dirty as usize
    }

    /// Number of [`CAPTURED`] entries.
    pub fn captured(&self) -> usize {
        self.captured as usize
    }

    /// Size of the array in bytes.
    pub fn bytes(&self) -> usize {
        size_of_val(&self.words[..])
    }

    /// All words, some empty.
    pub fn words(&self) -> &[Option<Entry>] {
        &self.words
    }

    /// The entry at an index that holds one.
    pub fn entry(&self, index: usize) -> &Entry {
        self.words[index].as_ref().expect("the place holds an entry")
    }

    /// As [`Leaf::entry`]. Its tag and state must be left alone.
    pub fn entry_mut(&mut self, index: usize) -> &mut Entry {
        self.words[index].as_mut().expect("the place holds an entry")
    }

    /// Replaces the state of an entry.
    pub fn set_state(&mut self, index: usize, state: u8) {
        let entry = self.entry_mut(index);
        let before = entry.state();
        entry.set_state(state);
        self.uncount(before);
        self.count(state);
    }

    fn count(&mut self, state: u8) {
        self.dirty += u32::from(state & DIRTY != 0);
        self.captured += u32::from(state & CAPTURED != 0);
    }

    fn uncount(&mut self, state: u8) {
        self.dirty -= u32::from(state & DIRTY != 0);
        self.captured -= u32::from(state & CAPTURED != 0);
    }

    /// Where a search for `tag` begins.
    pub fn home(&self, tag: u16) -> usize {
        home(tag, self.homes)
    }

    /// Asks the processor to fetch the line where a search for `tag` begins.
    pub fn prefetch(&self, tag: u16) {
        prefetch_word(&self.words, self.home(tag));
    }

    /// Index of the first entry whose tag is not below `tag`.
    pub fn lower_bound(&self, tag: u16) -> usize {
        let mut index = self.home(tag);
        while let Some(Some(entry)) = self.words.get(index) {
            if entry.tag() >= tag {
                break;
            }
            index += 1;
        }
        index
    }

    /// Index of a key.
    pub fn find(&self, tag: u16, key: &[u8]) -> Option<usize> {
        let mut index = self.home(tag);
        while let Some(Some(entry)) = self.words.get(index) {
            let other = entry.tag();
            if other > tag {
                return None;
            }
            if other == tag && entry.get().key() == key {
                return Some(index);
            }
            index += 1;
        }
        None
    }

    /// Adds an entry whose key is not there; its index.
    pub fn insert(&mut self, mut entry: Entry) -> usize {
        if self.len() + 1 > fill_max(self.words.len()) {
            self.resize(larger(self.words.len()), Some(entry.tag()));
        }
        loop {
            match self.insert_within(entry) {
                Ok(index) => return index,
                Err(refused) => entry = refused,
            }
            // The words behind the last home are full.
            self.resize(self.words.len(), Some(entry.tag()));
        }
    }

    fn insert_within(&mut self, entry: Entry) -> Result<usize, Entry> {
        let tag = entry.tag();
        let mut index = self.home(tag);
        while let Some(Some(other)) = self.words.get(index) {
            if other.tag() > tag {
                break;
            }
            index += 1;
        }
        let gap = self.words[index..].iter().position(Option::is_none);
        let Some(gap) = gap else { return Err(entry) };
        self.words[index..=index + gap].rotate_right(1);
        self.len += 1;
        self.count(entry.state());
        self.words[index] = Some(entry);
        Ok(index)
    }

    /// Takes an entry out. What was displaced moves back towards its home.
    pub fn remove(&mut self, index: usize) -> Entry {
        let entry = self.words[index].take().expect("the place holds an entry");
        self.len -= 1;
        self.uncount(entry.state());
        let mut end = index + 1;
        while let Some(Some(next)) = self.words.get(end) {
            if self.home(next.tag()) == end {
                break;
            }
            end += 1;
        }
        self.words[index..end].rotate_left(1);
        self.shrink();
        entry
    }

    fn shrink(&mut self) {
        if self.is_empty() {
            *self = Leaf::default();
        } else if self.len() < self.words.len() / 2 {
            let words = words_for(self.len());
            if words < self.words.len() {
                self.resize(words, None);
            }
        }
    }

    /// Moves all words into an array of `words`, with room for `extra`.
    fn resize(&mut self, words: usize, extra: Option<u16>) {
        let tags = self.words.iter().flatten().map(Entry::tag);
        let mut tags: Vec<u16> = tags.chain(extra).collect();
        tags.sort_unstable();
        let homes = homes_that_fit(&tags, words);
        let old = std::mem::take(&mut self.words);
        self.place(words, homes, old.into_iter().flatten());
    }

    fn fill(&mut self, words: usize, entries: Vec<Entry>) {
        let tags: Vec<u16> = entries.iter().map(Entry::tag).collect();
        let homes = homes_that_fit(&tags, words);
        self.len = u32::try_from(entries.len()).expect("leaves are small");
        entries.iter().for_each(|entry| self.count(entry.state()));
        self.place(words, homes, entries.into_iter());
    }

    fn place(&mut self, words: usize, homes: u32, entries: impl Iterator<Item = Entry>) {
        let mut placed: Vec<Option<Entry>> = Vec::with_capacity(words);
        for entry in entries {
            let index = placed.len().max(home(entry.tag(), homes));
            placed.resize_with(index, || None);
            placed.push(Some(entry));
        }
        placed.resize_with(words, || None);
        self.words = placed.into_boxed_slice();
        self.homes = homes;
    }

    /// Checks what the header of this file promises.
    ///
    /// # Panics
    /// When it does not hold.
    pub fn check_invariants(&self) {
        let mut last = None;
        let (mut len, mut dirty, mut captured) = (0, 0, 0);
        for (index, word) in self.words.iter().enumerate() {
            let Some(entry) = word else { continue };
            let tag = entry.tag();
            assert!(last.is_none_or(|last| last <= tag), "sorted by tag");
            let home = self.home(tag);
            assert!(home <= index, "no entry stands before its home");
            let gap = self.words[home..index].iter().any(Option::is_none);
            assert!(!gap, "no gap between an entry and its home");
            last = Some(tag);
            len += 1;
            dirty += usize::from(entry.state() & DIRTY != 0);
            captured += usize::from(entry.state() & CAPTURED != 0);
        }
        assert_eq!((len, dirty, captured), (self.len(), self.dirty(), self.captured()), "counts");
    }
}

/// The most homes with which the sorted tags fit: by default all words but a few for overflow.
fn homes_that_fit(tags: &[u16], words: usize) -> u32 {
    assert!(tags.len() <= words, "the words are enough");
    let mut homes = (words - (words / 16 + 1).min(words - 1)) as u32;
    let mut step = homes / 64 + 1;
    while end_of(tags.iter().copied(), homes) > words {
        homes = homes.saturating_sub(step).max(1);
        step *= 2;
    }
    homes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::access::Access;
    use super::super::entry::Body;
    use super::*;

    fn entry(tag: u16, number: usize) -> Entry {
        let key = number.to_be_bytes();
        let mut entry = Entry::new(&key, None, Body::Inline(b"v"), Access(0));
        entry.set_tag(tag);
        entry
    }

    /// Tags that are uniform, crowded at either end, or all the same.
    fn tags() -> impl Strategy<Value = Vec<u16>> {
        let one = prop_oneof![
            8 => any::<u16>(),
            1 => 0..4u16,
            1 => 0xfff0..=u16::MAX,
            1 => Just(0x8000u16),
        ];
        prop_oneof![
            prop::collection::vec(one, 0..300),
            prop::collection::vec(any::<u16>(), 0..600),
            prop::collection::vec(Just(u16::MAX), 0..100),
        ]
    }

    proptest! {
        #[test]
        fn a_leaf_finds_what_was_inserted_and_not_removed(
            tags in tags(),
            removed in prop::collection::vec(any::<prop::sample::Index>(), 0..600),
        ) {
            let mut leaf = Leaf::default();
            let mut model: Vec<(u16, usize)> = Vec::new();
            for (number, tag) in tags.into_iter().enumerate() {
                let index = leaf.insert(entry(tag, number));
                prop_assert_eq!(leaf.entry(index).tag(), tag);
                model.push((tag, number));
            }
            leaf.check_invariants();
            for index in removed {
                if model.is_empty() {
                    break;
                }
                let (tag, number) = model.swap_remove(index.index(model.len()));
                let at = leaf.find(tag, &number.to_be_bytes()).expect("it is there");
                leaf.remove(at);
                prop_assert!(leaf.find(tag, &number.to_be_bytes()).is_none());
            }
            leaf.check_invariants();
            prop_assert_eq!(leaf.len(), model.len());
            for (tag, number) in &model {
                let at = leaf.find(*tag, &number.to_be_bytes());
                prop_assert!(at.is_some_and(|at| leaf.entry(at).tag() == *tag));
                prop_assert!(leaf.lower_bound(*tag) <= at.unwrap());
            }
        }
    }

    #[test]
    fn arrays_grow_by_classes_and_large_ones_by_every_second() {
        let sizes = std::iter::successors(Some(WORDS_MIN), |words| Some(larger(*words)));
        let bytes: Vec<usize> =
            sizes.map(|words| words * 8).take_while(|size| *size < 9000).collect();
        let large = bytes.iter().position(|size| *size == 1024).unwrap();
        assert_eq!(bytes[large..], [1024, 1280, 1536, 1792, 2048, 3072, 4096, 6144, 8192]);
        assert!(bytes[..=large].iter().all(|size| *size == size_class(*size)));
    }

    #[test]
    fn uniform_tags_fill_a_leaf_before_it_grows() {
        let mut leaf = Leaf::default();
        let mut tag = 0u16;
        for number in 0..512 {
            tag = tag.wrapping_add(40503);
            leaf.insert(entry(tag, number));
            let words = leaf.words().len();
            assert!(number < fill_max(words));
            let least = if words * 8 > COARSE_BYTES { 61 } else { 72 };
            assert!(words < 16 || (number + 1) * 100 >= words * least, "{number} of {words}");
        }
    }

    #[test]
    fn an_emptied_leaf_gives_its_memory_back() {
        let mut leaf = Leaf::default();
        (0..100).for_each(|number| {
            leaf.insert(entry(number * 600, number.into()));
        });
        let full = leaf.bytes();
        for number in 0..90 {
            let at = leaf.find(number * 600, &usize::from(number).to_be_bytes());
            leaf.remove(at.expect("it is there"));
            leaf.check_invariants();
        }
        assert!(leaf.bytes() * 5 < full, "{} of {full}", leaf.bytes());
        for number in 90..100 {
            let at = leaf.find(number * 600, &usize::from(number).to_be_bytes());
            leaf.remove(at.expect("it is there"));
        }
        assert_eq!(leaf.bytes(), 0);
    }
}
