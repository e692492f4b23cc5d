//! A chunk of a large list: elements in one buffer that grows at both ends.
//!
//! ```text
//! data = [gap of `head` bytes] elements (list_item.rs), [spare capacity]
//! ```
//!
//! On disk a chunk is its elements alone.

use std::ops::Range;

use crate::limits::{LIST_CHUNK_BYTES_MAX, LIST_CHUNK_ITEMS_MAX};
use crate::value::chunks::Chunk;
use crate::value::list_item::{self, Elements, encode, encode_at, encoded_len};

/// Least number of bytes that a full buffer grows by.
const GROWTH_BYTES_MIN: usize = 64;

/// Elements that stand next to each other in a list.
#[derive(Debug, Default)]
pub struct ListChunk {
    data: Vec<u8>,
    /// Bytes in front of the first element.
    head: u32,
    count: u32,
}

impl Clone for ListChunk {
    fn clone(&self) -> ListChunk {
        ListChunk { data: self.used().to_vec(), head: 0, count: self.count }
    }
}

impl ListChunk {
    /// The chunk of one element.
    pub fn with_element(element: &[u8]) -> ListChunk {
        let mut chunk = ListChunk::default();
        chunk.data.reserve_exact(encoded_len(element.len()).max(GROWTH_BYTES_MIN));
        chunk.push_back(element);
        chunk
    }

    /// A chunk from a disk. None when the bytes are not those of a chunk, or hold no element.
    pub fn decode(bytes: &[u8]) -> Option<ListChunk> {
        let count = u32::try_from(list_item::validate(bytes)?).ok()?;
        (count > 0).then(|| ListChunk { data: bytes.to_vec(), head: 0, count })
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

    /// Bytes of all elements, encoded.
    pub fn used_bytes(&self) -> usize {
        self.data.len() - self.head as usize
    }

    /// Whether `count` elements of `bytes` encoded bytes may join. One element always may.
    pub fn has_room(&self, count: usize, bytes: usize) -> bool {
        let count = self.len() + count;
        count <= 1
            || count <= LIST_CHUNK_ITEMS_MAX && self.used_bytes() + bytes <= LIST_CHUNK_BYTES_MAX
    }

    /// Whether the chunk stays at most half full together with another one.
    pub fn could_merge(&self, other: &ListChunk) -> bool {
        self.len() + other.len() <= LIST_CHUNK_ITEMS_MAX / 2
            && self.used_bytes() + other.used_bytes() <= LIST_CHUNK_BYTES_MAX / 2
    }

    /// The elements, from either end.
    pub fn iter(&self) -> Elements<'_> {
        Elements::new(self.used())
    }

    /// The elements from place `index` to the end, and those in front of it.
    pub fn split_iter(&self, index: usize) -> (Elements<'_>, Elements<'_>) {
        let at = self.offset(index);
        (Elements::new(&self.data[at..]), Elements::new(&self.data[self.head as usize..at]))
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
        self.reserve_back(encoded_len(element.len()));
        encode(element, &mut self.data);
        self.grew();
    }

    /// Puts an element in front of the first, amortised O(1).
    pub fn push_front(&mut self, element: &[u8]) {
        let bytes = encoded_len(element.len());
        self.reserve_front(bytes);
        let head = self.head as usize;
        encode_at(element, &mut self.data[head - bytes..head]);
        self.head = small(head - bytes);
        self.grew();
    }

    /// Puts an element in front of the one in place `index`, which is at most their number.
    pub fn insert(&mut self, index: usize, element: &[u8]) {
        if index == 0 {
            return self.push_front(element);
        }
        let at = self.offset(index);
        self.replace(at..at, element);
        self.grew();
    }

    /// Replaces the element in place `index`, which there is.
    pub fn set(&mut self, index: usize, element: &[u8]) {
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
        let behind =
            ListChunk { data: self.data[at..].to_vec(), head: 0, count: small(self.len() - index) };
        self.data.truncate(at);
        self.count = small(index);
        self.trim();
        behind
    }

    /// Puts all elements of another chunk behind these.
    pub fn append(&mut self, other: &ListChunk) {
        self.reserve_back(other.used_bytes());
        self.data.extend_from_slice(other.used());
        self.count += other.count;
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
        let bytes = encoded_len(element.len());
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
        encode_at(element, &mut self.data[start..start + bytes]);
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
        out.extend_from_slice(self.used());
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
        let len = || prop_oneof![0..40usize, 120..140usize];
        prop_oneof![
            4 => (any::<bool>(), len()).prop_map(|(front, len)| Edit::Push { front, len }),
            2 => (any::<usize>(), len()).prop_map(|(at, len)| Edit::Insert { at, len }),
            2 => (any::<usize>(), len()).prop_map(|(at, len)| Edit::Set { at, len }),
            3 => (any::<usize>(), 0..4usize).prop_map(|(at, count)| Edit::Remove { at, count }),
            1 => any::<usize>().prop_map(|at| Edit::Split { at }),
            1 => Just(Edit::Clone),
        ]
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
            let mut chunk = ListChunk::default();
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
            }
            let mut bytes = Vec::new();
            chunk.encode(&mut bytes);
            match ListChunk::decode(&bytes) {
                Some(back) => prop_assert!(back.iter().eq(model.iter())),
                None => prop_assert!(model.is_empty()),
            }
        }
    }

    #[test]
    fn a_queue_within_a_chunk_stays_small() {
        for front in [true, false] {
            let mut chunk = ListChunk::default();
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
            let mut chunk = ListChunk::default();
            while chunk.has_room(1, encoded_len(20)) {
                match front {
                    true => chunk.push_front(&[1; 20]),
                    false => chunk.push_back(&[1; 20]),
                }
            }
            let exact = size_of::<ListChunk>() + LIST_CHUNK_ITEMS_MAX * encoded_len(20);
            assert_eq!(chunk.memory_bytes(), exact as u64);
        }
    }

    #[test]
    fn one_element_of_any_size_has_room() {
        let mut chunk = ListChunk::default();
        assert!(chunk.has_room(1, 1 << 20));
        chunk.push_back(&vec![1; 1 << 20]);
        assert!(!chunk.has_room(1, 3));
        assert!(chunk.memory_bytes() < (1 << 20) + 100);
    }
}
