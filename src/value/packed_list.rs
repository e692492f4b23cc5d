//! Small lists: reading a blob (packed.rs), and writing its successor.
//!
//! Writers append a whole new blob to `out` in one pass, and nothing when they change nothing.

use crate::types::UNIFORM;
use crate::value::list_item::{Elements, Layout, encoded_len};
use crate::value::packed::{is_uniform, shape};

/// Offset of what follows the head byte.
const START: usize = 1;
/// Most bytes in front of the elements.
const HEAD_BYTES_MAX: usize = 6;

/// A packed list.
#[derive(Clone, Copy, Debug)]
pub struct PackedList<'a> {
    layout: Layout,
    data: &'a [u8],
}

impl<'a> PackedList<'a> {
    /// Reads a valid blob.
    #[inline]
    pub fn new(blob: &'a [u8]) -> PackedList<'a> {
        PackedList::read(blob).unwrap_or(PackedList { layout: Layout::PLAIN, data: &[] })
    }

    /// Reads a blob up to its elements. None where it is uniform without a length.
    #[inline]
    fn read(blob: &'a [u8]) -> Option<PackedList<'a>> {
        let (layout, start) = match is_uniform(blob) {
            true => Layout::decode(blob, START)?,
            false => (Layout::PLAIN, START),
        };
        Some(PackedList { layout, data: blob.get(start..)? })
    }

    /// The number of elements of a blob; None when it is not valid.
    pub(super) fn validate(blob: &[u8]) -> Option<u64> {
        let list = PackedList::read(blob)?;
        list.layout.validate(list.data)
    }

    /// The number of elements, O(n), and O(1) when uniform.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Bytes that the elements take when each is encoded for itself, O(1).
    pub fn plain_bytes(&self) -> usize {
        self.layout.plain_bytes(self.data)
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The element in place `index`, from 0, O(index).
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        self.iter().nth(index)
    }

    /// All elements, from either end.
    #[inline]
    pub fn iter(&self) -> Elements<'a> {
        Elements::within(self.layout, self.data)
    }

    /// The elements as they stand.
    pub fn data(&self) -> (Layout, &'a [u8]) {
        (self.layout, self.data)
    }

    /// The elements in front of place `index`, and from there on; None beyond the end.
    fn split_at(&self, index: usize) -> Option<(&'a [u8], &'a [u8])> {
        let mut elements = self.iter();
        if index > 0 {
            elements.nth(index - 1)?;
        }
        Some(self.data.split_at(elements.offset()))
    }

    /// The elements behind the first `count` of `rest`, which is a part of them.
    fn skip(&self, rest: &'a [u8], count: usize) -> &'a [u8] {
        let mut elements = Elements::within(self.layout, rest);
        if count > 0 {
            elements.nth(count - 1);
        }
        &rest[elements.offset()..]
    }

    /// Appends the blob that has `new` elements between some `front` and `behind` of these.
    fn write<'e>(
        &self,
        shape: u8,
        front: &[u8],
        new: impl Iterator<Item = &'e [u8]> + Clone,
        behind: &[u8],
        out: &mut Vec<u8>,
    ) {
        let lens = new.clone().map(<[u8]>::len);
        let layout = match front.is_empty() && behind.is_empty() {
            true => Layout::of_all(lens),
            false => self.layout.for_more(lens),
        };
        let added = new.clone().map(|element| encoded_len(element.len())).sum::<usize>();
        out.reserve(HEAD_BYTES_MAX + front.len() + behind.len() + added);
        out.push(if layout.is_uniform() { shape | UNIFORM } else { shape });
        layout.encode(out);
        layout.push_all(self.layout, front, out);
        new.for_each(|element| layout.push(element, out));
        layout.push_all(self.layout, behind, out);
    }
}

/// Pushes elements one after the other, so that the last one stands outermost.
pub fn list_push<E: AsRef<[u8]>>(blob: &[u8], front: bool, elements: &[E], out: &mut Vec<u8>) {
    let list = PackedList::new(blob);
    let new = elements.iter().map(AsRef::as_ref);
    match front {
        true => list.write(shape(blob), &[], new.rev(), list.data, out),
        false => list.write(shape(blob), list.data, new, &[], out),
    }
}

/// Replaces the element in place `index`. Answers whether there is one.
pub fn list_set(blob: &[u8], index: usize, element: &[u8], out: &mut Vec<u8>) -> bool {
    let list = PackedList::new(blob);
    let Some((front, rest)) = list.split_at(index).filter(|(_, rest)| !rest.is_empty()) else {
        return false;
    };
    list.write(shape(blob), front, [element].into_iter(), list.skip(rest, 1), out);
    true
}

/// Puts an element in front of the one in place `index`, or behind the last when `index` is their
/// number. Answers whether there is such a place.
pub fn list_insert(blob: &[u8], index: usize, element: &[u8], out: &mut Vec<u8>) -> bool {
    let list = PackedList::new(blob);
    let Some((front, behind)) = list.split_at(index) else {
        return false;
    };
    list.write(shape(blob), front, [element].into_iter(), behind, out);
    true
}

/// Removes up to `count` elements from place `start` on. Answers how many there were.
pub fn list_remove_range(blob: &[u8], start: usize, count: usize, out: &mut Vec<u8>) -> usize {
    let list = PackedList::new(blob);
    let Some((front, rest)) = list.split_at(start) else {
        return 0;
    };
    let removed = Elements::within(list.layout, rest).take(count).count();
    if removed > 0 {
        list.write(shape(blob), front, std::iter::empty(), list.skip(rest, removed), out);
    }
    removed
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::value::packed::{plain_len, validate};

    #[derive(Clone, Debug)]
    enum Edit {
        Push { front: bool, lens: Vec<usize> },
        Set { at: usize, len: usize },
        Insert { at: usize, len: usize },
        Remove { at: usize, count: usize },
    }

    fn edit() -> impl Strategy<Value = Edit> {
        let len = || prop_oneof![12 => Just(5usize), 1 => 0..20usize, 1 => 120..140usize];
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
                prop_assert_eq!(list.plain_bytes(), bytes);
                prop_assert_eq!(plain_len(&blob), 1 + bytes);
                prop_assert_eq!(list.get(3), model.get(3).map(|element| &element[..]));
                let count = Some(model.len() as u64).filter(|&count| count > 0);
                prop_assert_eq!((validate(&blob), shape(&blob)), (count, 0x15));
            }
        }
    }

    /// The example of the format.
    const UNIFORM_BLOB: &[u8] = &[0x91, 3, b'o', b'n', b'e', b't', b'w', b'o'];

    #[test]
    fn a_list_is_uniform_until_an_element_of_another_length_comes() {
        let edited = |blob: &[u8], edit: &dyn Fn(&[u8], &mut Vec<u8>)| {
            let mut out = Vec::new();
            edit(blob, &mut out);
            out
        };
        let push = |blob: &[u8], elements: &[&str]| {
            edited(blob, &|blob, out| list_push(blob, false, elements, out))
        };
        let uniform = push(&[0x11], &["one", "two"]);
        assert_eq!(uniform, UNIFORM_BLOB);
        assert_eq!(push(&push(&[0x11], &["one"]), &["two"]), uniform);
        let plain = push(&uniform, &["three"]);
        assert_eq!(plain, b"\x11\x03one\x04\x03two\x04\x05three\x06");
        assert_eq!(push(&[0x11], &["one", "two", "three"]), plain);
        let cut = |blob: &[u8], at, count| {
            edited(blob, &|blob, out| assert_eq!(list_remove_range(blob, at, count, out), count))
        };
        assert_eq!(cut(&plain, 2, 1), b"\x11\x03one\x04\x03two\x04", "it stays plain");
        assert_eq!(push(&cut(&plain, 0, 3), &["one", "two"]), uniform, "nothing of it was kept");
        let set = edited(&[0x91, 3, b'o', b'n', b'e'], &|blob, out| {
            list_set(blob, 0, b"four", out);
        });
        assert_eq!(set, b"\x91\x04four");
        assert_eq!(push(&[0x11], &["", ""]), [0x11, 0, 1, 0, 1], "no element has a byte");
    }

    #[test]
    fn uniform_lists_that_are_not_whole_are_refused() {
        assert_eq!(validate(UNIFORM_BLOB), Some(2));
        let refused: [(&[u8], &str); 6] = [
            (&[0x91], "no length"),
            (&[0x91, 3], "no element"),
            (&[0x91, 0, 0, 1], "elements without a byte"),
            (&UNIFORM_BLOB[..7], "an element that is cut off"),
            (&[0x91, 0x83, 0, b'o', b'n', b'e'], "a longer varint than needed"),
            (&[0xe1, 1, b'x'], "a stream is not packed"),
        ];
        for (blob, why) in refused {
            assert_eq!(validate(blob), None, "{why}");
        }
    }
}
