//! Small lists: reading a blob (packed.rs), and writing its successor.
//!
//! Writers append a whole new blob to `out` in one pass, and nothing when they change nothing.

use crate::value::list_item::{Elements, encode, encoded_len};

/// Offset of the first element.
const START: usize = 1;

/// A packed list.
#[derive(Clone, Copy, Debug)]
pub struct PackedList<'a> {
    blob: &'a [u8],
}

impl<'a> PackedList<'a> {
    /// Reads a valid blob.
    pub fn new(blob: &'a [u8]) -> PackedList<'a> {
        PackedList { blob }
    }

    /// The number of elements, O(n).
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Bytes that the elements take, O(1).
    pub fn bytes(&self) -> usize {
        self.blob.len() - START
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.blob.len() <= START
    }

    /// The element in place `index`, from 0, O(index).
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        self.iter().nth(index)
    }

    /// All elements, from either end.
    pub fn iter(&self) -> Elements<'a> {
        Elements::new(&self.blob[START..])
    }
}

/// Pushes elements one after the other, so that the last one stands outermost.
pub fn list_push<E: AsRef<[u8]>>(blob: &[u8], front: bool, elements: &[E], out: &mut Vec<u8>) {
    let added = elements.iter().map(|element| encoded_len(element.as_ref().len())).sum::<usize>();
    out.reserve(blob.len() + added);
    if front {
        out.push(blob[0]);
        elements.iter().rev().for_each(|element| encode(element.as_ref(), out));
        out.extend_from_slice(&blob[START..]);
    } else {
        out.extend_from_slice(blob);
        elements.iter().for_each(|element| encode(element.as_ref(), out));
    }
}

/// Replaces the element in place `index`. Answers whether there is one.
pub fn list_set(blob: &[u8], index: usize, element: &[u8], out: &mut Vec<u8>) -> bool {
    let Some((start, rest)) = split_at(blob, index) else {
        return false;
    };
    let mut elements = Elements::new(rest);
    if elements.next().is_none() {
        return false;
    }
    let behind = &rest[elements.offset()..];
    out.reserve(start.len() + encoded_len(element.len()) + behind.len());
    out.extend_from_slice(start);
    encode(element, out);
    out.extend_from_slice(behind);
    true
}

/// Puts an element in front of the one in place `index`, or behind the last when `index` is their
/// number. Answers whether there is such a place.
pub fn list_insert(blob: &[u8], index: usize, element: &[u8], out: &mut Vec<u8>) -> bool {
    let Some((start, rest)) = split_at(blob, index) else {
        return false;
    };
    out.reserve(blob.len() + encoded_len(element.len()));
    out.extend_from_slice(start);
    encode(element, out);
    out.extend_from_slice(rest);
    true
}

/// Removes up to `count` elements from place `start` on. Answers how many there were.
pub fn list_remove_range(blob: &[u8], start: usize, count: usize, out: &mut Vec<u8>) -> usize {
    let Some((front, rest)) = split_at(blob, start) else {
        return 0;
    };
    let mut elements = Elements::new(rest);
    let removed = elements.by_ref().take(count).count();
    if removed > 0 {
        out.reserve(front.len() + rest.len() - elements.offset());
        out.extend_from_slice(front);
        out.extend_from_slice(&rest[elements.offset()..]);
    }
    removed
}

/// The blob in front of place `index`, and from there on; None beyond the end.
fn split_at(blob: &[u8], index: usize) -> Option<(&[u8], &[u8])> {
    let mut elements = PackedList::new(blob).iter();
    if index > 0 {
        elements.nth(index - 1)?;
    }
    Some(blob.split_at(START + elements.offset()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::value::packed::validate;

    #[derive(Clone, Debug)]
    enum Edit {
        Push { front: bool, lens: Vec<usize> },
        Set { at: usize, len: usize },
        Insert { at: usize, len: usize },
        Remove { at: usize, count: usize },
    }

    fn edit() -> impl Strategy<Value = Edit> {
        let len = || prop_oneof![0..20usize, 120..140usize];
        prop_oneof![
            (any::<bool>(), prop::collection::vec(len(), 0..4))
                .prop_map(|(front, lens)| Edit::Push { front, lens }),
            (0..20usize, len()).prop_map(|(at, len)| Edit::Set { at, len }),
            (0..20usize, len()).prop_map(|(at, len)| Edit::Insert { at, len }),
            (0..20usize, 0..3usize).prop_map(|(at, count)| Edit::Remove { at, count }),
        ]
    }

    /// Applies an edit to both; answers whether something changed.
    fn apply(
        blob: &[u8],
        model: &mut Vec<Vec<u8>>,
        byte: u8,
        edit: &Edit,
        out: &mut Vec<u8>,
    ) -> bool {
        match *edit {
            Edit::Push { front, ref lens } => {
                let elements: Vec<_> = lens.iter().map(|&len| vec![byte; len]).collect();
                list_push(blob, front, &elements, out);
                for element in elements {
                    model.insert(if front { 0 } else { model.len() }, element);
                }
                true
            }
            Edit::Set { at, len } => {
                let set = list_set(blob, at, &vec![byte; len], out);
                assert_eq!(set, at < model.len());
                if set {
                    model[at] = vec![byte; len];
                }
                set
            }
            Edit::Insert { at, len } => {
                let inserted = list_insert(blob, at, &vec![byte; len], out);
                assert_eq!(inserted, at <= model.len());
                if inserted {
                    model.insert(at, vec![byte; len]);
                }
                inserted
            }
            Edit::Remove { at, count } => {
                let removed = list_remove_range(blob, at, count, out);
                let start = at.min(model.len());
                let end = (start + count).min(model.len());
                assert_eq!(removed, end - start);
                model.drain(start..end);
                removed > 0
            }
        }
    }

    proptest! {
        #[test]
        fn edits_are_those_of_a_vector(edits in prop::collection::vec(edit(), 0..60)) {
            let mut blob = vec![0x15];
            let mut model = Vec::new();
            for (byte, edit) in edits.iter().enumerate() {
                let mut out = b"front".to_vec();
                let changed = apply(&blob, &mut model, byte as u8, edit, &mut out);
                prop_assert_eq!(&out[..5], b"front");
                match changed {
                    true => blob = out.split_off(5),
                    false => prop_assert_eq!(out.len(), 5),
                }
                let list = PackedList::new(&blob);
                prop_assert!(list.iter().eq(model.iter()));
                prop_assert!(list.iter().rev().eq(model.iter().rev()));
                prop_assert_eq!((list.len(), list.is_empty()), (model.len(), model.is_empty()));
                let bytes: usize = model.iter().map(|e| encoded_len(e.len())).sum();
                prop_assert_eq!(list.bytes(), bytes);
                prop_assert_eq!(list.get(3), model.get(3).map(|element| &element[..]));
                let count = Some(model.len() as u64).filter(|&count| count > 0);
                prop_assert_eq!((validate(&blob), blob[0]), (count, 0x15));
            }
        }
    }
}
