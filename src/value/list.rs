//! Large lists: chunks of elements under keys that keep their order.
//!
//! The first chunk stands in the middle of all keys, chunks at the ends one step beyond, and one
//! that is cut off takes a key halfway to the next. Where there is none, chunks nearby get new
//! keys; at the ends of the key space, or in a crowd, all do.

use std::ops::Range;

use triomphe::Arc;

use crate::limits::LIST_CHUNK_BYTES_MAX;
use crate::types::ChunkId;
use crate::value::chunks::{ChunkSet, Chunks, Slot};
use crate::value::list_chunk::ListChunk;
use crate::value::list_item::{Elements, encoded_len};
use crate::value::packed::encoding;
use crate::value::packed_list::PackedList;
use crate::value::tree::Cursor;

/// Key of a list's first chunk.
const MIDDLE: u64 = 1 << 63;
/// Between the keys of chunks at the ends.
const STEP: u64 = 1 << 32;
/// Chunks that get new keys where two neighbours have no key between them.
const RESPREAD_CHUNKS: usize = 32;
/// They are crowded when their new keys would stand closer than this.
const RESPREAD_STEP_MIN: u64 = 1 << 16;

/// A large list. Cloning it is O(1) but for lists of what is dirty.
#[derive(Clone, Debug)]
pub struct List {
    encoding: u8,
    chunks: Chunks<u64, ListChunk>,
    /// Encoded bytes of the longest element that it has had.
    longest_item_bytes: usize,
}

impl List {
    /// An empty list; `encoding` is below 16.
    pub fn new(encoding: u8) -> List {
        List { chunks: Chunks::default(), encoding, longest_item_bytes: 0 }
    }

    /// A list with the elements of a valid packed one.
    pub fn from_packed(blob: &[u8]) -> List {
        let mut list = List::new(encoding(blob));
        let (layout, data) = PackedList::new(blob).data();
        if let Some(chunk) = ListChunk::with_elements(layout, data) {
            list.longest_item_bytes = chunk.plain_bytes();
            list.chunks.insert(MIDDLE, chunk);
        }
        list
    }

    /// A clean list as parts hold it: encoded chunks in the order of their ids. None where they are
    /// not the chunks of a list.
    pub fn from_parts(
        encoding: u8,
        generation: u64,
        parts: &[(ChunkId, impl AsRef<[u8]>)],
    ) -> Option<List> {
        let decode = |(id, bytes): &(_, _)| {
            let bytes: &[u8] = AsRef::as_ref(bytes);
            Some((u64::try_from(*id).ok()?, ListChunk::decode(bytes)?))
        };
        let parts: Option<Vec<_>> = parts.iter().map(decode).collect();
        let parts = parts?;
        let longest = parts.iter().map(|(_, chunk)| chunk.plain_bytes()).max();
        let chunks = Chunks::from_parts(generation, parts)?;
        Some(List { chunks, encoding, longest_item_bytes: longest.unwrap_or(0) })
    }

    /// A bound of the encoded bytes of each element. O(1).
    pub fn longest_item_bytes(&self) -> u64 {
        self.longest_item_bytes as u64
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

    /// The number of elements, O(1).
    pub fn len(&self) -> u64 {
        self.chunks.len()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The element in place `index`, from 0. O(log n).
    pub fn get(&self, index: u64) -> Option<&[u8]> {
        let (_, chunk, offset) = self.chunks.at_rank(index)?;
        chunk.get(offset as usize)
    }

    /// Elements from place `index` on, towards the end or, in `reverse`, towards the front.
    pub fn iter_from(&self, index: u64, reverse: bool) -> ListIter<'_> {
        let Some((cursor, offset)) = self.chunks.slots().cursor_at_rank(index) else {
            return ListIter { cursor: None, elements: Elements::new(&[]), reverse };
        };
        let offset = offset as usize;
        let elements = match cursor.get() {
            Some((_, slot)) if reverse => slot.chunk().split_iter(offset + 1).1,
            Some((_, slot)) => slot.chunk().split_iter(offset).0,
            None => Elements::new(&[]),
        };
        ListIter { cursor: Some(cursor), elements, reverse }
    }

    /// Puts an element in front of the first or behind the last. Amortised O(log n).
    pub fn push(&mut self, front: bool, element: &[u8]) {
        self.note_len(element.len());
        // One way down the tree: an outermost chunk that turns out to be full is dirty for it, but
        // mostly has been before.
        let full = self.chunks.edit_covering(outermost(front), |key, chunk| {
            if !chunk.has_room(element.len()) {
                return Some(key);
            }
            match front {
                true => chunk.push_front(element),
                false => chunk.push_back(element),
            }
            None
        });
        let neighbours = match full {
            Some(None) => return,
            Some(Some(key)) if front => (None, Some(key)),
            Some(Some(key)) => (Some(key), None),
            None => (None, None),
        };
        let key = between(neighbours).unwrap_or_else(|| {
            self.renumber();
            let slots = self.chunks.slots();
            let outermost = if front { slots.first() } else { slots.last() };
            let key = outermost.map(|slot| *slot.0);
            between(if front { (None, key) } else { (key, None) }).expect("renumbered keys")
        });
        self.chunks.insert(key, ListChunk::with_element(element));
    }

    /// Takes the first or the last element. O(log n).
    pub fn pop(&mut self, front: bool) -> Option<Vec<u8>> {
        let (element, emptied) = self.chunks.edit_covering(outermost(front), |key, chunk| {
            let index = if front { 0 } else { chunk.len() - 1 };
            let element = chunk.get(index).map(<[u8]>::to_vec);
            chunk.remove_range(index..index + 1);
            (element, chunk.is_empty().then_some(key))
        })?;
        if let Some(key) = emptied {
            self.chunks.remove(key);
        }
        element
    }

    /// Replaces the element in place `index`. Answers whether there is one. O(log n).
    pub fn set(&mut self, index: u64, element: &[u8]) -> bool {
        let Some((key, chunk, offset)) = self.chunks.at_rank(index) else {
            return false;
        };
        let offset = offset as usize;
        let has_room = chunk.has_room_at(offset, element.len());
        self.note_len(element.len());
        if has_room {
            self.chunks.edit_covering(key, |_, chunk| chunk.set(offset, element));
        } else {
            self.chunks.edit_covering(key, |_, chunk| chunk.remove_range(offset..offset + 1));
            self.insert(index, element);
        }
        true
    }

    /// Puts an element in front of the one in place `index`, or behind the last when `index` is
    /// their number. Answers whether there is such a place. Amortised O(log n).
    pub fn insert(&mut self, index: u64, element: &[u8]) -> bool {
        if index == 0 || index == self.len() {
            self.push(index == 0, element);
            return true;
        }
        self.note_len(element.len());
        while let Some((key, chunk, offset)) = self.chunks.at_rank(index) {
            let (offset, half) = (offset as usize, chunk.len() / 2);
            if chunk.has_room(element.len()) {
                self.chunks.edit_covering(key, |_, chunk| chunk.insert(offset, element));
                return true;
            }
            if offset > 0 {
                let cut = if element.len() > LIST_CHUNK_BYTES_MAX / 2 { offset } else { half };
                self.split(key, cut);
            } else if self.insert_in_front(key, element) {
                return true;
            }
        }
        false
    }

    /// Puts an element between a chunk and the one in front of it, which there is, and in which it
    /// goes where it has room. Answers false when keys had to change: try again.
    fn insert_in_front(&mut self, key: u64, element: &[u8]) -> bool {
        let mut cursor = self.chunks.cursor(key);
        cursor.retreat();
        let before = cursor.get().map(|(before, slot)| {
            let has_room = slot.chunk().has_room(element.len());
            (*before, has_room)
        });
        drop(cursor);
        if let Some((before, true)) = before {
            self.chunks.edit_covering(before, |_, chunk| chunk.push_back(element));
            return true;
        }
        match between((before.map(|before| before.0), Some(key))) {
            Some(new) => {
                self.chunks.insert(new, ListChunk::with_element(element));
                true
            }
            None => {
                self.respread(key);
                false
            }
        }
    }

    /// Moves the elements of a chunk from `at` on into a new chunk behind it, or changes keys so
    /// that the next try can.
    fn split(&mut self, key: u64, at: usize) {
        let mut cursor = self.chunks.cursor(key);
        cursor.advance();
        let next = cursor.get().map(|slot| *slot.0);
        drop(cursor);
        match between((Some(key), next)) {
            Some(new) => {
                let upper = self.chunks.edit(key, |chunk| chunk.split_off(at));
                self.chunks.insert(new, upper.expect("the chunk of a key at hand"));
            }
            None => self.respread(key),
        }
    }

    /// Notes the length of an element that comes in.
    fn note_len(&mut self, len: usize) {
        self.longest_item_bytes = self.longest_item_bytes.max(encoded_len(len));
    }

    /// Removes up to `count` elements from place `start` on. Answers how many there were.
    /// O(log n) for each chunk.
    pub fn remove_range(&mut self, start: u64, count: u64) -> u64 {
        let mut left = count;
        while left > 0
            && let Some((key, chunk, offset)) = self.chunks.at_rank(start)
        {
            let offset = offset as usize;
            let len = chunk.len();
            let end = len.min(offset.saturating_add(left as usize));
            self.remove_in(key, offset..end, len);
            left -= (end - offset) as u64;
        }
        // Chunks at the ends are small while they grow, and go away when they shrink.
        if start > 0 && start < self.len() && left < count {
            self.merge_around(start);
            self.merge_around(start - 1);
        }
        count - left
    }

    /// Removes elements of one chunk, and the chunk when they are all it has.
    fn remove_in(&mut self, key: u64, range: Range<usize>, len: usize) {
        if range.len() == len {
            self.chunks.remove(key);
        } else {
            self.chunks.edit_covering(key, |_, chunk| chunk.remove_range(range));
        }
    }

    /// Merges the chunk of an element with a neighbour when both together are small.
    fn merge_around(&mut self, index: u64) {
        let Some((here, _)) = self.chunks.slots().cursor_at_rank(index) else {
            return;
        };
        let (mut before, mut behind) = (here.clone(), here.clone());
        before.retreat();
        behind.advance();
        let pairs = [(before.get(), here.get()), (here.get(), behind.get())];
        let pair = pairs.into_iter().find_map(|pair| match pair {
            (Some((&key, lower)), Some((&next, upper))) => {
                lower.chunk().could_merge(upper.chunk()).then_some((key, next))
            }
            _ => None,
        });
        drop((here, before, behind));
        if let Some((key, next)) = pair
            && let Some(upper) = self.chunks.remove(next)
        {
            self.chunks.edit(key, |lower| lower.append(&upper));
        }
    }

    /// Gives the chunks around one keys of equal distances, so that there are keys between them.
    fn respread(&mut self, key: u64) {
        let mut cursor = self.chunks.cursor(key);
        for _ in 0..RESPREAD_CHUNKS / 2 {
            let mut before = cursor.clone();
            before.retreat();
            if before.get().is_none() {
                break;
            }
            cursor = before;
        }
        let mut outer = cursor.clone();
        outer.retreat();
        let low = outer.get().map(|slot| *slot.0);
        let mut keys: Vec<u64> =
            cursor.forward().map(|slot| *slot.0).take(RESPREAD_CHUNKS + 1).collect();
        drop(outer);
        let high = if keys.len() > RESPREAD_CHUNKS { keys.pop() } else { None };
        // Where there is no chunk beyond, there is room for as many steps.
        let room = keys.len() as u64 * STEP;
        let low = low.unwrap_or_else(|| keys[0].saturating_sub(room));
        let high = high.unwrap_or_else(|| keys[keys.len() - 1].saturating_add(room));
        let step = (high - low) / (keys.len() as u64 + 1);
        if step < RESPREAD_STEP_MIN {
            return self.renumber();
        }
        let take = |&key| self.chunks.remove(key).expect("the chunk of a key at hand");
        let taken: Vec<_> = keys.iter().map(take).collect();
        for (number, chunk) in (1..).zip(taken) {
            self.chunks.insert(low + number * step, Arc::unwrap_or_clone(chunk));
        }
    }

    /// Gives all chunks keys as far from each other, and the list from the ends, as can be.
    fn renumber(&mut self) {
        let count = self.chunks.chunk_count() as u64;
        let first = MIDDLE - count / 2 * STEP;
        self.chunks.rekey((0..count).map(|number| first + number * STEP));
    }

    /// Its chunks.
    pub(super) fn chunks(&self) -> &Chunks<u64, ListChunk> {
        &self.chunks
    }

    /// Its chunks, to be captured.
    pub(super) fn chunks_mut(&mut self) -> &mut Chunks<u64, ListChunk> {
        &mut self.chunks
    }

    /// Memory that the elements take, in bytes. O(1).
    pub fn memory_bytes(&self) -> u64 {
        size_of::<List>() as u64 + self.chunks.memory_bytes()
    }
}

/// A key that the first or the last chunk covers.
fn outermost(front: bool) -> u64 {
    if front { 0 } else { u64::MAX }
}

/// A key between two neighbours, one step from a single one; None when there is none.
fn between(neighbours: (Option<u64>, Option<u64>)) -> Option<u64> {
    match neighbours {
        (Some(low), Some(high)) => (high - low > 1).then(|| low + (high - low) / 2),
        (Some(low), None) => low.checked_add(STEP),
        (None, Some(high)) => high.checked_sub(STEP),
        (None, None) => Some(MIDDLE),
    }
}

/// Elements of a [`List`] in one direction.
#[derive(Clone, Debug)]
pub struct ListIter<'a> {
    cursor: Option<Cursor<'a, u64, Slot<ListChunk>>>,
    /// Those of the chunk at hand.
    elements: Elements<'a>,
    reverse: bool,
}

impl<'a> Iterator for ListIter<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let next = match self.reverse {
                true => self.elements.next_back(),
                false => self.elements.next(),
            };
            if next.is_some() {
                return next;
            }
            let cursor = self.cursor.as_mut()?;
            match self.reverse {
                true => cursor.retreat(),
                false => cursor.advance(),
            }
            self.elements = cursor.get()?.1.chunk().iter();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::limits::LIST_CHUNK_ITEMS_MAX;
    use crate::value::list_item;

    /// Elements of a full chunk.
    const FULL: usize = LIST_CHUNK_ITEMS_MAX;

    type Model = Vec<Vec<u8>>;
    type Disk = BTreeMap<ChunkId, Vec<u8>>;

    #[derive(Clone, Debug)]
    enum Step {
        Push { front: bool, count: usize, len: usize },
        Pop { front: bool, count: usize },
        Insert { at: usize, count: usize, len: usize },
        Set { at: usize, len: usize },
        Remove { at: usize, count: usize },
        Capture { installed: bool },
        Hold,
    }

    fn step() -> impl Strategy<Value = Step> {
        let short = || prop_oneof![3 => Just(7usize), 1 => 0..40usize];
        let len = || prop_oneof![4 => short(), 1 => 900..5000usize, 1 => 8000..9000usize];
        let (at, flag) = (any::<usize>, any::<bool>);
        prop_oneof![
            3 => (flag(), 0..600usize, short())
                .prop_map(|(front, count, len)| Step::Push { front, count, len }),
            2 => (flag(), 0..5usize, len())
                .prop_map(|(front, count, len)| Step::Push { front, count, len }),
            2 => (flag(), 0..300usize).prop_map(|(front, count)| Step::Pop { front, count }),
            2 => (at(), 0..200usize, short())
                .prop_map(|(at, count, len)| Step::Insert { at, count, len }),
            2 => (at(), 0..4usize, len())
                .prop_map(|(at, count, len)| Step::Insert { at, count, len }),
            3 => (at(), len()).prop_map(|(at, len)| Step::Set { at, len }),
            2 => (at(), 0..400usize).prop_map(|(at, count)| Step::Remove { at, count }),
            2 => flag().prop_map(|installed| Step::Capture { installed }),
            1 => Just(Step::Hold),
        ]
    }

    fn apply(list: &mut List, model: &mut Model, byte: u8, step: &Step) {
        match *step {
            Step::Push { front, count, len } => {
                for _ in 0..count {
                    list.push(front, &vec![byte; len]);
                    model.insert(if front { 0 } else { model.len() }, vec![byte; len]);
                }
            }
            Step::Pop { front, count } => {
                for _ in 0..count {
                    let popped = match front {
                        true if !model.is_empty() => Some(model.remove(0)),
                        true => None,
                        false => model.pop(),
                    };
                    assert_eq!(list.pop(front), popped);
                }
            }
            Step::Insert { at, count, len } => {
                let at = at % (model.len() + 1);
                for _ in 0..count {
                    assert!(list.insert(at as u64, &vec![byte; len]));
                    model.insert(at, vec![byte; len]);
                }
            }
            Step::Set { at, len } => {
                let at = at % (model.len() + 1);
                let set = list.set(at as u64, &vec![byte; len]);
                assert_eq!(set, at < model.len());
                if set {
                    model[at] = vec![byte; len];
                }
            }
            Step::Remove { at, count } => {
                let at = at % (model.len() + 1);
                let end = (at + count).min(model.len());
                let removed = list.remove_range(at as u64, count as u64);
                assert_eq!(removed, (end - at) as u64);
                model.drain(at..end);
            }
            Step::Capture { .. } | Step::Hold => {}
        }
    }

    /// Captures, pushes behind the capture, and puts what was taken on the disk.
    fn capture(list: &mut List, model: &mut Model, disk: &mut Disk, installed: bool) {
        let taken = list.chunks_mut().capture(1);
        list.push(false, b"behind the capture");
        model.push(b"behind the capture".to_vec());
        if installed {
            for chunk in taken {
                match chunk.content {
                    Some(content) => {
                        let mut bytes = Vec::new();
                        content.encode(&mut bytes);
                        disk.insert(chunk.id, bytes);
                    }
                    None => drop(disk.remove(&chunk.id)),
                }
            }
        }
        list.chunks_mut().end_capture(installed);
    }

    fn load(disk: &Disk) -> List {
        let parts = disk.iter().map(|(id, bytes)| (*id, bytes));
        List::from_parts(0, 1, &parts.collect::<Vec<_>>()).expect("a list")
    }

    fn assert_same(list: &List, model: &Model) {
        assert_eq!(list.len(), model.len() as u64);
        assert!(list.iter_from(0, false).eq(model.iter()), "forward");
        let last = list.len().saturating_sub(1);
        assert!(list.iter_from(last, true).eq(model.iter().rev()), "backward");
        for at in (0..model.len() + 2).step_by(1 + model.len() / 7) {
            assert_eq!(list.get(at as u64), model.get(at).map(|element| &element[..]));
            assert!(list.iter_from(at as u64, false).eq(model.iter().skip(at)));
            let upto = model.iter().take(at + 1).rev();
            let upto = upto.take(if at < model.len() { at + 1 } else { 0 });
            assert!(list.iter_from(at as u64, true).eq(upto));
        }
        for (_, chunk) in list.chunks.iter() {
            let (len, bytes) = (chunk.len(), chunk.used_bytes());
            let fits = len <= LIST_CHUNK_ITEMS_MAX && bytes <= LIST_CHUNK_BYTES_MAX;
            assert!(len == 1 || len > 1 && fits, "{len} elements, {bytes} bytes");
            let longest = chunk.iter().map(|element| encoded_len(element.len())).max();
            assert!(longest <= Some(list.longest_item_bytes));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn edits_are_those_of_a_vector_and_reach_the_disk(
            steps in prop::collection::vec(step(), 0..30),
        ) {
            let (mut list, mut model) = (List::new(0), Model::new());
            let (mut disk, mut held) = (Disk::new(), Vec::new());
            for (byte, step) in steps.iter().enumerate() {
                apply(&mut list, &mut model, byte as u8, step);
                match step {
                    Step::Capture { installed } => {
                        capture(&mut list, &mut model, &mut disk, *installed);
                    }
                    Step::Hold => held.push((list.clone(), model.clone())),
                    _ => {}
                }
                assert_same(&list, &model);
            }
            capture(&mut list, &mut model, &mut disk, true);
            capture(&mut list, &mut model, &mut disk, true);
            model.pop();
            assert_same(&load(&disk), &model);
            for (list, model) in held {
                assert_same(&list, &model);
            }
        }
    }

    #[test]
    fn inserting_in_one_place_leaves_chunks_far_away_clean() {
        let mut list = List::new(0);
        (0..100_000).for_each(|number: u32| list.push(false, &number.to_le_bytes()));
        list.chunks_mut().capture(1);
        list.chunks_mut().end_capture(true);
        for number in 0..20_000 {
            assert!(list.insert(50_000, &[7; 20]));
            if number % 4000 == 3999 {
                let dirty = list.chunks_mut().capture(1).len();
                assert!(dirty < 200, "{dirty} of {} chunks", list.chunks().chunk_count());
                list.chunks_mut().end_capture(true);
            }
        }
        assert!(list.iter_from(50_000, false).take(20_000).all(|element| element == [7; 20]));
        assert_eq!(list.get(49_999), Some(&49_999u32.to_le_bytes()[..]));
        assert_eq!(list.get(70_000), Some(&50_000u32.to_le_bytes()[..]));
    }

    #[test]
    fn a_list_at_the_ends_of_all_keys_goes_on() {
        let full = || {
            let mut bytes = vec![0];
            (0..FULL).for_each(|_| list_item::encode(b"x", &mut bytes));
            bytes
        };
        let parts = [(0, full()), (1, full()), (u128::from(u64::MAX), full())];
        let mut list = List::from_parts(0, 1, &parts).expect("a list");
        let mut model = vec![b"x".to_vec(); 3 * FULL];
        let places = [0, 3 * FULL, FULL, FULL + 2, FULL + FULL / 2, 2 * FULL];
        for (byte, at) in places.into_iter().enumerate() {
            let step = Step::Insert { at, count: 300, len: 3 };
            let mut list = list.clone();
            apply(&mut list, &mut model.clone(), byte as u8, &step);
            assert!(list.iter_from(at as u64, false).take(300).all(|e| *e == [byte as u8; 3]));
        }
        apply(&mut list, &mut model, 1, &Step::Push { front: true, count: 500, len: 3 });
        apply(&mut list, &mut model, 2, &Step::Push { front: false, count: 500, len: 3 });
        assert_same(&list, &model);
    }

    #[test]
    fn a_crowd_of_keys_is_renumbered() {
        let mut bytes = vec![0];
        (0..FULL).for_each(|_| list_item::encode(b"x", &mut bytes));
        let parts: Vec<_> = (0..100).map(|id| (1000 + id, bytes.clone())).collect();
        let mut list = List::from_parts(0, 1, &parts).expect("a list");
        let (len, place) = (100 * FULL as u64, 50 * FULL as u64 + 5);
        assert!(list.insert(place, b"y"));
        assert_eq!((list.len(), list.get(place)), (len + 1, Some(&b"y"[..])));
        assert_eq!(list.chunks_mut().capture(1).len(), 201, "101 chunks and the tombstones of 100");
    }

    #[test]
    fn inserting_in_front_of_a_full_chunk_fills_chunks() {
        let mut list = List::new(1);
        (0..2 * FULL).for_each(|_| list.push(false, b"x"));
        for number in 0..10 * FULL {
            assert!(list.insert((FULL + number) as u64, b"y"));
        }
        assert_eq!(list.chunks().chunk_count(), 12);
    }

    #[test]
    fn chunks_that_are_not_those_of_a_list_are_refused() {
        let mut good = vec![0];
        list_item::encode(b"x", &mut good);
        let unknown_form = [&[2], &good[1..]].concat();
        let load = |parts: &[(ChunkId, &[u8])]| {
            let parts: Vec<_> = parts.iter().map(|(id, bytes)| (*id, *bytes)).collect();
            List::from_parts(0, 1, &parts).map(|list| list.len())
        };
        assert_eq!(load(&[(3, &good), (9, &good)]), Some(2));
        assert_eq!(load(&[]), Some(0));
        assert_eq!(load(&[(9, &good), (3, &good)]), None, "out of order");
        assert_eq!(load(&[(3, &good), (3, &good)]), None, "twice");
        assert_eq!(load(&[(1 << 64, &good)]), None, "no key");
        assert_eq!(load(&[(3, &good[..good.len() - 1])]), None, "no elements");
        assert_eq!(load(&[(3, &[1, 2, b'a', b'b']), (9, &good)]), Some(2), "uniform");
        assert_eq!(load(&[(3, &unknown_form)]), None, "a form that nobody knows");
        assert_eq!(load(&[(3, &[0])]), None, "an empty chunk");
        assert_eq!(load(&[(3, &[])]), None, "not even a form");
    }

    #[test]
    fn a_thinned_list_has_few_chunks() {
        let mut list = List::new(0);
        (0..10_000).for_each(|number: u32| list.push(false, &number.to_le_bytes()));
        for kept in 0..100 {
            assert_eq!(list.remove_range(kept, 99), 99);
        }
        assert_eq!(list.len(), 100);
        assert!(list.chunks().chunk_count() <= 4, "{} chunks", list.chunks().chunk_count());
    }

    #[test]
    fn a_packed_list_becomes_one_chunk() {
        let mut blob = vec![0x10];
        list_item::encode(b"a", &mut blob);
        list_item::encode(b"b", &mut blob);
        let uniform = [0x90, 1, b'a', b'b'];
        for blob in [&blob[..], &uniform] {
            assert_same(&List::from_packed(blob), &vec![b"a".to_vec(), b"b".to_vec()]);
        }
        let mut list = List::from_packed(&blob);
        assert_eq!((list.chunks_mut().capture(9).len(), list.chunks().generation()), (1, 9));
        assert!(List::from_packed(&blob[..1]).is_empty());
    }
}
