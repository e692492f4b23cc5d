//! A chunk of a large list: elements in one buffer that grows at both ends.
//!
//! ```text
//! data = [gap of `head` bytes] elements (list_item.rs), [spare capacity]
//! ```
//!
//! A chunk begins uniform, and turns plain with the first element of another length.

use std::ops::Range;

use crate::limits::{LIST_CHUNK_BYTES_MAX, LIST_CHUNK_ITEMS_MAX};
use crate::value::chunks::{Chunk, FORM_PLAIN, FORM_UNIFORM};
use crate::value::list_item::{Elements, Layout};

/// Least number of bytes that a full buffer grows by.
const GROWTH_BYTES_MIN: usize = 64;

/// Elements that stand next to each other in a list.
#[derive(Debug)]
pub struct ListChunk {
    data: Vec<u8>,
    /// Bytes in front of the first element.
    head: u32,
    count: u32,
    layout: Layout,
}

impl Clone for ListChunk {
    fn clone(&self) -> ListChunk {
        ListChunk { data: self.used().to_vec(), head: 0, ..*self }
    }
}

impl ListChunk {
    /// The chunk of one element.
    pub fn with_element(element: &[u8]) -> ListChunk {
        let layout = Layout::of(element.len());
        let mut chunk = ListChunk { data: Vec::new(), head: 0, count: 0, layout };
        chunk.data.reserve_exact(layout.width(element.len()).max(GROWTH_BYTES_MIN));
        chunk.push_back(element);
        chunk
    }

    /// The chunk of the elements of `data`. None when it holds anything else, or no element.
    pub fn with_elements(layout: Layout, data: &[u8]) -> Option<ListChunk> {
        let count = u32::try_from(layout.validate(data)?).ok()?;
        (count > 0).then(|| ListChunk { data: data.to_vec(), head: 0, count, layout })
    }

    /// A chunk from a disk. None when the bytes are not those of a chunk, or hold no element.
    pub fn decode(bytes: &[u8]) -> Option<ListChunk> {
        let (layout, start) = match *bytes.first()? {
            FORM_PLAIN => (Layout::PLAIN, 1),
            FORM_UNIFORM => Layout::decode(bytes, 1)?,
            _ => return None,
        };
        ListChunk::with_elements(layout, &bytes[start..])
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn used(&self) -> &[u8] {
        &self.data[self.head as usize..]
    }

    /// Bytes of all elements, as they stand.
    pub(super) fn used_bytes(&self) -> usize {
        self.data.len() - self.head as usize
    }

    /// Bytes of all elements in a layout that takes them: the chunk's own, or the plain one.
    fn bytes_in(&self, layout: Layout) -> usize {
        if layout == self.layout { self.used_bytes() } else { self.plain_bytes() }
    }

    /// Bytes of all elements when each is encoded for itself.
    pub fn plain_bytes(&self) -> usize {
        self.layout.plain_bytes(self.used())
    }

    /// Whether an element of `len` bytes may join. The first one always may.
    pub fn has_room(&self, len: usize) -> bool {
        let layout = self.layout.for_more([len].into_iter());
        let bytes = self.bytes_in(layout) + layout.width(len);
        self.is_empty() || self.len() < LIST_CHUNK_ITEMS_MAX && bytes <= LIST_CHUNK_BYTES_MAX
    }

    /// Whether an element of `len` bytes may stand in place `index`, which there is.
    pub fn has_room_at(&self, index: usize, len: usize) -> bool {
        let layout = self.layout.for_more([len].into_iter());
        let old = layout.width(self.get(index).map_or(0, <[u8]>::len));
        let bytes = self.bytes_in(layout) - old + layout.width(len);
        self.len() == 1 || bytes <= LIST_CHUNK_BYTES_MAX
    }

    /// Whether the chunk stays at most half full together with another one.
    pub fn could_merge(&self, other: &ListChunk) -> bool {
        let layout = if self.layout == other.layout { self.layout } else { Layout::PLAIN };
        self.len() + other.len() <= LIST_CHUNK_ITEMS_MAX / 2
            && self.bytes_in(layout) + other.bytes_in(layout) <= LIST_CHUNK_BYTES_MAX / 2
    }

    /// The elements, from either end.
    pub fn iter(&self) -> Elements<'_> {
        Elements::within(self.layout, self.used())
    }

    /// The elements from place `index` to the end, and those in front of it.
    pub fn split_iter(&self, index: usize) -> (Elements<'_>, Elements<'_>) {
        let (before, behind) = self.used().split_at(self.offset(index) - self.head as usize);
        (Elements::within(self.layout, behind), Elements::within(self.layout, before))
    }

    /// The element in place `index`.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        if index >= self.len() {
            return None;
        }
        let from_back = self.len() - 1 - index;
        match index <= from_back {
            true => self.iter().nth(index),
            false => self.iter().nth_back(from_back),
        }
    }

    /// Where the element in place `index` begins in `data`, found from the nearer end; the end of
    /// the last one when `index` is their number.
    fn offset(&self, index: usize) -> usize {
        let from_back = self.len() - index;
        let mut elements = self.iter();
        let base = self.head as usize;
        if from_back == 0 {
            self.data.len()
        } else if index == 0 {
            base
        } else if index < from_back {
            elements.nth(index - 1);
            base + elements.offset()
        } else {
            elements.nth_back(from_back - 1);
            base + elements.back_offset()
        }
    }

    /// Puts an element behind the last, amortised O(1).
    pub fn push_back(&mut self, element: &[u8]) {
        self.suit(element.len());
        self.reserve_back(self.layout.width(element.len()));
        self.layout.push(element, &mut self.data);
        self.grew();
    }

    /// Puts an element in front of the first, amortised O(1).
    pub fn push_front(&mut self, element: &[u8]) {
        self.suit(element.len());
        let bytes = self.layout.width(element.len());
        self.reserve_front(bytes);
        let head = self.head as usize;
        self.layout.write(element, &mut self.data[head - bytes..head]);
        self.head = small(head - bytes);
        self.grew();
    }

    /// Puts an element in front of the one in place `index`, which is at most their number.
    pub fn insert(&mut self, index: usize, element: &[u8]) {
        if index == 0 {
            return self.push_front(element);
        }
        self.suit(element.len());
        let at = self.offset(index);
        self.replace(at..at, element);
        self.grew();
    }

    /// Replaces the element in place `index`, which there is.
    pub fn set(&mut self, index: usize, element: &[u8]) {
        self.suit(element.len());
        let range = self.offset(index)..self.offset(index + 1);
        self.replace(range, element);
    }

    /// Removes elements, which there are.
    pub fn remove_range(&mut self, range: Range<usize>) {
        let (start, end) = (self.offset(range.start), self.offset(range.end));
        if start == self.head as usize {
            self.head = small(end);
        } else if end == self.data.len() {
            self.data.truncate(start);
        } else {
            self.data.drain(start..end);
        }
        self.count -= range.len() as u32;
    }

    /// Cuts off the elements from place `index` on.
    pub fn split_off(&mut self, index: usize) -> ListChunk {
        let at = self.offset(index);
        let (data, count) = (self.data[at..].to_vec(), small(self.len() - index));
        let behind = ListChunk { data, head: 0, count, layout: self.layout };
        self.data.truncate(at);
        self.count = small(index);
        self.trim();
        behind
    }

    /// Puts all elements of another chunk behind these.
    pub fn append(&mut self, other: &ListChunk) {
        if self.layout != other.layout {
            self.turn_plain();
        }
        self.reserve_back(other.bytes_in(self.layout));
        self.layout.push_all(other.layout, other.used(), &mut self.data);
        self.count += other.count;
    }

    /// Makes the layout one that takes an element of `len` bytes.
    fn suit(&mut self, len: usize) {
        if !self.layout.takes(len) {
            self.turn_plain();
        }
    }

    fn turn_plain(&mut self) {
        let mut data = Vec::with_capacity(self.plain_bytes());
        Layout::PLAIN.push_all(self.layout, self.used(), &mut data);
        *self = ListChunk { data, head: 0, layout: Layout::PLAIN, ..*self };
    }

    /// Counts a new element; a chunk that takes no more gives its spare memory back.
    fn grew(&mut self) {
        self.count += 1;
        if self.len() == LIST_CHUNK_ITEMS_MAX {
            self.trim();
        }
    }

    fn trim(&mut self) {
        self.data.drain(..self.head as usize);
        self.head = 0;
        self.data.shrink_to_fit();
    }

    /// Puts the bytes of an element in place of a range of `data`.
    fn replace(&mut self, range: Range<usize>, element: &[u8]) {
        let bytes = self.layout.width(element.len());
        let old_head = self.head as usize;
        let old_len = self.data.len() - old_head;
        if bytes > range.len() {
            self.reserve_back(bytes - range.len());
        }
        // Making room may have closed the gap.
        let start = range.start - old_head + self.head as usize;
        let end = start + range.len();
        let used_end = self.head as usize + old_len;
        if bytes > range.len() {
            self.data.resize(used_end + bytes - range.len(), 0);
        }
        self.data.copy_within(end..used_end, start + bytes);
        self.data.truncate(used_end + bytes - range.len());
        self.layout.write(element, &mut self.data[start..start + bytes]);
    }

    /// What a full buffer grows by to take `bytes` more: a quarter, but not beyond what the chunk
    /// may hold.
    fn growth(&self, bytes: usize) -> usize {
        let used = self.used_bytes();
        let room = LIST_CHUNK_BYTES_MAX.saturating_sub(used);
        bytes.max((used / 4).max(GROWTH_BYTES_MIN).min(room))
    }

    fn reserve_back(&mut self, bytes: usize) {
        if self.data.capacity() - self.data.len() >= bytes {
            return;
        }
        let used = self.used_bytes();
        let gap = self.head as usize;
        if gap >= bytes.max(used / 4) {
            // Half of the gap stays, so that pushes at both ends do not move all to and fro.
            let head = (gap - bytes) / 2;
            self.data.copy_within(gap.., head);
            self.data.truncate(head + used);
            self.head = small(head);
        } else {
            self.data.reserve_exact(self.growth(bytes));
        }
    }

    fn reserve_front(&mut self, bytes: usize) {
        let head = self.head as usize;
        if head >= bytes {
            return;
        }
        let used = self.used_bytes();
        let spare = self.data.capacity() - used;
        if spare >= bytes.max(used / 4) {
            let gap = bytes.max(spare / 2);
            self.data.resize(self.data.len().max(gap + used), 0);
            self.data.copy_within(head..head + used, gap);
            self.data.truncate(gap + used);
            self.head = small(gap);
        } else {
            let gap = self.growth(bytes);
            let mut data = Vec::with_capacity(gap + used);
            data.resize(gap, 0);
            data.extend_from_slice(self.used());
            self.data = data;
            self.head = small(gap);
        }
    }
}

/// A count or an offset: an element has at most half a gigabyte, and only one that stands alone
/// has more than a chunk's share.
fn small(number: usize) -> u32 {
    u32::try_from(number).expect("a chunk is far smaller than 4 GiB")
}

impl Chunk for ListChunk {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(if self.layout.is_uniform() { FORM_UNIFORM } else { FORM_PLAIN });
        self.layout.encode(out);
        out.extend_from_slice(self.used());
    }

    fn encode_items(&self, out: &mut Vec<u8>) {
        Layout::PLAIN.push_all(self.layout, self.used(), out);
    }

    fn memory_bytes(&self) -> u64 {
        (size_of::<ListChunk>() + self.data.capacity()) as u64
    }

    fn count(&self) -> u64 {
        u64::from(self.count)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::value::list_item::encoded_len;

    #[derive(Clone, Debug)]
    enum Edit {
        Push { front: bool, len: usize },
        Insert { at: usize, len: usize },
        Set { at: usize, len: usize },
        Remove { at: usize, count: usize },
        Split { at: usize },
        Clone,
    }

    fn edit() -> impl Strategy<Value = Edit> {
        let len = || prop_oneof![60 => Just(20usize), 2 => 0..40usize, 1 => 120..140usize];
        prop_oneof![
            4 => (any::<bool>(), len()).prop_map(|(front, len)| Edit::Push { front, len }),
            2 => (any::<usize>(), len()).prop_map(|(at, len)| Edit::Insert { at, len }),
            2 => (any::<usize>(), len()).prop_map(|(at, len)| Edit::Set { at, len }),
            3 => (any::<usize>(), 0..4usize).prop_map(|(at, count)| Edit::Remove { at, count }),
            1 => any::<usize>().prop_map(|at| Edit::Split { at }),
            1 => Just(Edit::Clone),
        ]
    }

    fn empty() -> ListChunk {
        let mut chunk = ListChunk::with_element(&[0; 20]);
        chunk.remove_range(0..1);
        chunk
    }

    fn apply(chunk: &mut ListChunk, model: &mut Vec<Vec<u8>>, byte: u8, edit: Edit) {
        match edit {
            Edit::Push { front: true, len } => {
                chunk.push_front(&vec![byte; len]);
                model.insert(0, vec![byte; len]);
            }
            Edit::Push { front: false, len } => {
                chunk.push_back(&vec![byte; len]);
                model.push(vec![byte; len]);
            }
            Edit::Insert { at, len } => {
                let at = at % (model.len() + 1);
                chunk.insert(at, &vec![byte; len]);
                model.insert(at, vec![byte; len]);
            }
            Edit::Set { at, len } if !model.is_empty() => {
                let at = at % model.len();
                chunk.set(at, &vec![byte; len]);
                model[at] = vec![byte; len];
            }
            Edit::Remove { at, count } => {
                let at = at % (model.len() + 1);
                let end = (at + count).min(model.len());
                chunk.remove_range(at..end);
                model.drain(at..end);
            }
            Edit::Split { at } => {
                let at = at % (model.len() + 1);
                let behind = chunk.split_off(at);
                assert!(behind.iter().eq(model[at..].iter()));
                assert_eq!(behind.len(), model.len() - at);
                chunk.append(&behind);
            }
            Edit::Clone => *chunk = chunk.clone(),
            Edit::Set { .. } => {}
        }
    }

    proptest! {
        #[test]
        fn edits_are_those_of_a_vector(edits in prop::collection::vec(edit(), 0..200)) {
            let mut chunk = empty();
            let mut model: Vec<Vec<u8>> = Vec::new();
            for (byte, edit) in edits.into_iter().enumerate() {
                apply(&mut chunk, &mut model, byte as u8, edit);
                prop_assert_eq!(chunk.len(), model.len());
                prop_assert!(chunk.iter().eq(model.iter()));
                prop_assert!(chunk.iter().rev().eq(model.iter().rev()));
                let at = byte % (model.len() + 1);
                prop_assert_eq!(chunk.get(at), model.get(at).map(|element| &element[..]));
                let (behind, before) = chunk.split_iter(at);
                prop_assert!(before.eq(model[..at].iter()) && behind.eq(model[at..].iter()));
                let plain: usize = model.iter().map(|element| encoded_len(element.len())).sum();
                prop_assert_eq!(chunk.plain_bytes(), plain);
                let (len, one_len) = (byte % 40, model.iter().all(|element| element.len() == 20));
                prop_assert!(chunk.layout.is_uniform() <= one_len);
                let bytes = match chunk.layout.is_uniform() && len == 20 {
                    true => chunk.used_bytes() + len,
                    false => plain + encoded_len(len),
                };
                let has_room = model.len() < LIST_CHUNK_ITEMS_MAX && bytes <= LIST_CHUNK_BYTES_MAX;
                prop_assert_eq!(chunk.has_room(len), model.is_empty() || has_room);
            }
            let (mut bytes, mut items) = (Vec::new(), Vec::new());
            chunk.encode(&mut bytes);
            match ListChunk::decode(&bytes) {
                Some(back) => {
                    prop_assert!(back.iter().eq(model.iter()));
                    prop_assert_eq!(back.layout, chunk.layout);
                }
                None => prop_assert!(model.is_empty()),
            }
            chunk.encode_items(&mut items);
            prop_assert!(Elements::new(&items).eq(model.iter()));
        }
    }

    #[test]
    fn a_queue_within_a_chunk_stays_small() {
        for front in [true, false] {
            let mut chunk = empty();
            for number in 0..10_000usize {
                match front {
                    true => chunk.push_front(&[7; 50]),
                    false => chunk.push_back(&[7; 50]),
                }
                if chunk.len() > 20 {
                    let at = if front { 20 } else { 0 };
                    chunk.remove_range(at..at + 1);
                }
                assert!(chunk.memory_bytes() < 2 * 21 * 52 + 100, "at {number}");
            }
        }
    }

    #[test]
    fn a_full_chunk_keeps_no_spare_memory() {
        for front in [true, false] {
            for (first, expected) in [(20, 20), (19, encoded_len(20))] {
                let mut chunk = ListChunk::with_element(&vec![1; first]);
                while chunk.has_room(20) {
                    match front {
                        true => chunk.push_front(&[1; 20]),
                        false => chunk.push_back(&[1; 20]),
                    }
                }
                let exact = size_of::<ListChunk>() + LIST_CHUNK_ITEMS_MAX * expected;
                assert_eq!(chunk.memory_bytes(), (exact - (20 - first)) as u64);
            }
        }
    }

    #[test]
    fn neighbours_merge_in_a_layout_that_takes_both() {
        let chunk_of = |lens: &[usize]| {
            let mut chunk = ListChunk::with_element(&vec![7; lens[0]]);
            lens[1..].iter().for_each(|&len| chunk.push_back(&vec![7; len]));
            chunk
        };
        let cases: [(&[usize], &[usize], Layout); 5] = [
            (&[3, 3], &[3], Layout::of(3)),
            (&[3, 3], &[4, 4], Layout::PLAIN),
            (&[3, 4], &[4, 4], Layout::PLAIN),
            (&[3, 3], &[3, 4], Layout::PLAIN),
            (&[3, 4], &[0], Layout::PLAIN),
        ];
        for (lower, upper, layout) in cases {
            let mut chunk = chunk_of(lower);
            chunk.append(&chunk_of(upper));
            let lens: Vec<usize> = chunk.iter().map(<[u8]>::len).collect();
            assert_eq!((lens, chunk.layout), ([lower, upper].concat(), layout));
        }
        // Half of a chunk's bytes in the uniform layout, more than that in the plain one.
        let quarter = || chunk_of(&[64; 32]);
        assert!(quarter().could_merge(&quarter()) && !quarter().could_merge(&chunk_of(&[63; 32])));
    }

    #[test]
    fn a_set_may_make_a_full_chunk_plain_and_too_large() {
        let mut chunk = ListChunk::with_element(&[7; 64]);
        while chunk.has_room(64) {
            chunk.push_back(&[7; 64]);
        }
        assert_eq!(chunk.used_bytes(), LIST_CHUNK_BYTES_MAX);
        assert!(chunk.has_room_at(5, 64) && !chunk.has_room_at(5, 63) && !chunk.has_room(1));
    }

    #[test]
    fn chunks_in_other_forms_are_refused() {
        let uniform = [1, 3, b'o', b'n', b'e', b't', b'w', b'o'];
        let chunk = ListChunk::decode(&uniform).expect("two elements");
        assert!(chunk.iter().eq([b"one", b"two"]));
        let mut again = Vec::new();
        chunk.encode(&mut again);
        assert_eq!(again, uniform, "the example of the format");
        let refused: [(&[u8], &str); 7] = [
            (&[], "not even a form"),
            (&[1], "no length"),
            (&[1, 3], "no element"),
            (&[1, 0, b'x'], "elements without a byte"),
            (&uniform[..7], "an element that is cut off"),
            (&[1, 0x81, 0, b'x'], "a longer varint than needed"),
            (&[2, 3, b'o', b'n', b'e'], "a form that nobody knows"),
        ];
        for (bytes, why) in refused {
            assert!(ListChunk::decode(bytes).is_none(), "{why}");
        }
    }

    #[test]
    fn one_element_of_any_size_has_room() {
        let mut chunk = empty();
        assert!(chunk.has_room(1 << 20));
        chunk.push_back(&vec![1; 1 << 20]);
        assert!(!chunk.has_room(1));
        assert!(chunk.memory_bytes() < (1 << 20) + 100);
    }
}
