//! Elements of a list, readable from both sides.
//!
//! ```text
//! element = varint length, bytes, back length
//! back length = the length of all before it, a varint with its bytes in reverse order
//! ```
//!
//! That is the *plain* layout, as in Redis's listpack. Where all elements have one length, they may
//! stand in the *uniform* one instead: only their bytes, and the length once, in front of them all.

use crate::value::item::{put_varint, varint, varint_len};

/// Longest element whose lengths take a byte each.
const SHORT_BYTES_MAX: usize = 126;
/// Longest varint, in bytes.
const VARINT_BYTES_MAX: usize = 10;

/// The two lengths around the bytes of an element.
struct Lengths {
    front: [u8; VARINT_BYTES_MAX],
    front_len: usize,
    back: [u8; VARINT_BYTES_MAX],
    back_len: usize,
}

impl Lengths {
    fn new(len: usize) -> Lengths {
        let (front, front_len) = varint_bytes(len as u64);
        let (mut back, back_len) = varint_bytes((front_len + len) as u64);
        back[..back_len].reverse();
        Lengths { front, front_len, back, back_len }
    }
}

fn varint_bytes(mut value: u64) -> ([u8; VARINT_BYTES_MAX], usize) {
    let mut bytes = [0; VARINT_BYTES_MAX];
    let mut len = 0;
    while value >= 0x80 {
        bytes[len] = value as u8 | 0x80;
        value >>= 7;
        len += 1;
    }
    bytes[len] = value as u8;
    (bytes, len + 1)
}

/// Bytes that an element of `len` bytes takes.
#[inline]
pub fn encoded_len(len: usize) -> usize {
    if len <= SHORT_BYTES_MAX {
        return len + 2;
    }
    let front = varint_len(len as u64) + len;
    front + varint_len(front as u64)
}

/// Appends an element.
#[inline]
pub fn encode(element: &[u8], out: &mut Vec<u8>) {
    if element.len() <= SHORT_BYTES_MAX {
        out.push(element.len() as u8);
        out.extend_from_slice(element);
        out.push(element.len() as u8 + 1);
    } else {
        encode_long(element, out);
    }
}

fn encode_long(element: &[u8], out: &mut Vec<u8>) {
    let lengths = Lengths::new(element.len());
    out.extend_from_slice(&lengths.front[..lengths.front_len]);
    out.extend_from_slice(element);
    out.extend_from_slice(&lengths.back[..lengths.back_len]);
}

/// Writes an element over `place`, which has its [`encoded_len`].
///
/// # Panics
/// When `place` has another length.
pub fn encode_at(element: &[u8], place: &mut [u8]) {
    if element.len() <= SHORT_BYTES_MAX {
        let [front, bytes @ .., back] = place else { panic!("room for the lengths") };
        bytes.copy_from_slice(element);
        (*front, *back) = (element.len() as u8, element.len() as u8 + 1);
        return;
    }
    let lengths = Lengths::new(element.len());
    let (front, rest) = place.split_at_mut(lengths.front_len);
    let (bytes, back) = rest.split_at_mut(element.len());
    front.copy_from_slice(&lengths.front[..lengths.front_len]);
    bytes.copy_from_slice(element);
    back.copy_from_slice(&lengths.back[..lengths.back_len]);
}

/// The number of elements that fill `data`; None when it holds anything else.
pub fn validate(data: &[u8]) -> Option<u64> {
    let mut at = 0;
    let mut count = 0;
    while at < data.len() {
        let (len, body) = varint(data, at)?;
        let behind = data.get(body..)?.get(usize::try_from(len).ok()?..)?;
        let lengths = Lengths::new(len as usize);
        if !behind.starts_with(&lengths.back[..lengths.back_len]) {
            return None;
        }
        at = data.len() - behind.len() + lengths.back_len;
        count += 1;
    }
    Some(count)
}

/// The element that begins at `at` of valid `data`, and where the next one begins. None at the end.
#[inline]
pub fn next(data: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let (len, body) = varint(data, at)?;
    let body_end = body + len as usize;
    let short = len as usize <= SHORT_BYTES_MAX;
    let back_len = if short { 1 } else { varint_len((body_end - at) as u64) };
    Some((data.get(body..body_end)?, body_end + back_len))
}

/// The element that ends at `end` of valid `data`, and where it begins. None at the start.
#[inline]
pub fn previous(data: &[u8], end: usize) -> Option<(&[u8], usize)> {
    let mut back_start = end.checked_sub(1)?;
    let mut front = u64::from(*data.get(back_start)?);
    if front >= 0x80 {
        front &= 0x7f;
        let mut shift = 7;
        loop {
            back_start = back_start.checked_sub(1)?;
            let byte = data[back_start];
            front |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
    }
    let start = back_start.checked_sub(front as usize)?;
    let (_, body) = varint(data, start)?;
    Some((data.get(body..back_start)?, start))
}

/// How elements stand one behind the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// The length of each element when uniform; 0 when plain.
    element_len: u32,
}

impl Layout {
    /// Each element between its lengths.
    pub const PLAIN: Layout = Layout { element_len: 0 };

    /// Uniform, for elements of this length; for empty ones plain.
    #[inline]
    pub fn of(len: usize) -> Layout {
        Layout { element_len: u32::try_from(len).unwrap_or(0) }
    }

    /// The shortest one for elements of these lengths.
    pub fn of_all(mut lens: impl Iterator<Item = usize>) -> Layout {
        let layout = lens.next().map_or(Layout::PLAIN, Layout::of);
        layout.for_more(lens)
    }

    /// The one that takes elements of these lengths, too.
    #[inline]
    pub fn for_more(self, mut lens: impl Iterator<Item = usize>) -> Layout {
        if lens.all(|len| self.takes(len)) { self } else { Layout::PLAIN }
    }

    /// The layout in front of the elements, of a uniform one its length, and where they begin. None
    /// where there is none.
    pub fn decode(bytes: &[u8], at: usize) -> Option<(Layout, usize)> {
        let (len, at) = varint(bytes, at)?;
        let element_len = u32::try_from(len).ok().filter(|&len| len > 0)?;
        Some((Layout { element_len }, at))
    }

    /// Appends what [`Layout::decode`] reads; nothing when plain.
    pub fn encode(self, out: &mut Vec<u8>) {
        if self.is_uniform() {
            put_varint(u64::from(self.element_len), out);
        }
    }

    /// Whether all elements have one length, which stands in front of them.
    #[inline]
    pub fn is_uniform(self) -> bool {
        self.element_len > 0
    }

    /// Whether an element of this length may stand here.
    #[inline]
    pub fn takes(self, len: usize) -> bool {
        !self.is_uniform() || self.element_len as usize == len
    }

    /// Bytes that an element of this length takes.
    #[inline]
    pub fn width(self, len: usize) -> usize {
        if self.is_uniform() { len } else { encoded_len(len) }
    }

    /// Appends an element, which the layout takes.
    #[inline]
    pub fn push(self, element: &[u8], out: &mut Vec<u8>) {
        match self.is_uniform() {
            true => out.extend_from_slice(element),
            false => encode(element, out),
        }
    }

    /// Writes an element over `place`, which has its [`Layout::width`].
    ///
    /// # Panics
    /// When `place` has another length.
    #[inline]
    pub fn write(self, element: &[u8], place: &mut [u8]) {
        match self.is_uniform() {
            true => place.copy_from_slice(element),
            false => encode_at(element, place),
        }
    }

    /// Appends the elements of valid `data` of another layout. This one takes them.
    #[inline]
    pub fn push_all(self, from: Layout, data: &[u8], out: &mut Vec<u8>) {
        match data {
            [] => {}
            _ if self == from => out.extend_from_slice(data),
            _ => self.push_others(Elements::within(from, data), out),
        }
    }

    #[cold]
    fn push_others(self, elements: Elements<'_>, out: &mut Vec<u8>) {
        elements.for_each(|element| self.push(element, out));
    }

    /// The number of elements that fill `data`; None when it holds anything else.
    pub fn validate(self, data: &[u8]) -> Option<u64> {
        if !self.is_uniform() {
            return validate(data);
        }
        let element_len = self.element_len as usize;
        data.len().is_multiple_of(element_len).then_some((data.len() / element_len) as u64)
    }

    /// Bytes that the elements of valid `data` take in the plain layout. O(1).
    pub fn plain_bytes(self, data: &[u8]) -> usize {
        match self.element_len as usize {
            0 => data.len(),
            len => data.len() / len * encoded_len(len),
        }
    }
}

/// Elements of valid data, from both ends. Those that are skipped cost nothing when uniform.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    data: &'a [u8],
    layout: Layout,
    start: usize,
    end: usize,
}

impl<'a> Elements<'a> {
    /// All elements of valid plain `data`.
    pub fn new(data: &'a [u8]) -> Elements<'a> {
        Elements::within(Layout::PLAIN, data)
    }

    /// All elements of valid `data` of a layout.
    #[inline]
    pub fn within(layout: Layout, data: &'a [u8]) -> Elements<'a> {
        Elements { data, layout, start: 0, end: data.len() }
    }

    /// Where the next element from the front begins.
    pub fn offset(&self) -> usize {
        self.start
    }

    /// Where the next element from the back ends.
    pub fn back_offset(&self) -> usize {
        self.end
    }

    /// Bytes that so many of the elements that are left take, all of them at most, when uniform.
    #[inline]
    fn uniform_bytes(&self, count: usize) -> Option<usize> {
        let left = self.end - self.start;
        let bytes = count.saturating_mul(self.layout.element_len as usize).min(left);
        self.layout.is_uniform().then_some(bytes)
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.start >= self.end {
            return None;
        }
        let (element, start) = match self.layout.element_len as usize {
            0 => next(self.data, self.start)?,
            len => (self.data.get(self.start..self.start + len)?, self.start + len),
        };
        self.start = start;
        Some(element)
    }

    #[inline]
    fn nth(&mut self, n: usize) -> Option<&'a [u8]> {
        match self.uniform_bytes(n) {
            Some(bytes) => self.start += bytes,
            None => (0..n).try_for_each(|_| self.next().map(drop))?,
        }
        self.next()
    }

    #[inline]
    fn count(self) -> usize {
        match self.layout.element_len as usize {
            0 => self.fold(0, |count, _| count + 1),
            len => (self.end - self.start) / len,
        }
    }
}

impl DoubleEndedIterator for Elements<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.start >= self.end {
            return None;
        }
        let (element, end) = match self.layout.element_len as usize {
            0 => previous(self.data, self.end)?,
            len => (self.data.get(self.end - len..self.end)?, self.end - len),
        };
        self.end = end;
        Some(element)
    }

    #[inline]
    fn nth_back(&mut self, n: usize) -> Option<Self::Item> {
        match self.uniform_bytes(n) {
            Some(bytes) => self.end -= bytes,
            None => (0..n).try_for_each(|_| self.next_back().map(drop))?,
        }
        self.next_back()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Lengths around those at which a varint grows.
    fn element() -> impl Strategy<Value = Vec<u8>> {
        let len = prop_oneof![0..300usize, 16_370..16_390usize];
        (any::<u8>(), len).prop_map(|(byte, len)| vec![byte; len])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn elements_are_read_from_both_sides(
            elements in prop::collection::vec(element(), 0..20), from_back in any::<u32>(),
        ) {
            let mut data = Vec::new();
            for element in &elements {
                let start = data.len();
                encode(element, &mut data);
                prop_assert_eq!(data.len() - start, encoded_len(element.len()));
                let mut place = vec![0; encoded_len(element.len())];
                encode_at(element, &mut place);
                prop_assert_eq!(&place[..], &data[start..]);
            }
            prop_assert_eq!(validate(&data), Some(elements.len() as u64));
            prop_assert!(Elements::new(&data).eq(elements.iter()));
            prop_assert!(Elements::new(&data).rev().eq(elements.iter().rev()));
            let (mut read, mut model) = (Elements::new(&data), elements.iter());
            for bit in 0..=elements.len() {
                if from_back >> (bit % 32) & 1 == 1 {
                    prop_assert_eq!(read.next_back(), model.next_back().map(|e| &e[..]));
                } else {
                    prop_assert_eq!(read.next(), model.next().map(|e| &e[..]));
                }
            }
        }

        #[test]
        fn elements_of_both_layouts_are_those_of_a_slice(
            len in 0..5usize, odd in prop::option::of((0..12usize, 0..200usize)), count in 0..12u8,
            steps in prop::collection::vec((any::<bool>(), prop::option::of(0..4usize)), 0..12),
        ) {
            let mut elements: Vec<_> = (0..count).map(|byte| vec![byte; len]).collect();
            if let Some((at, len)) = odd.filter(|(at, _)| *at < elements.len()) {
                elements[at] = vec![b'x'; len];
            }
            let lens = || elements.iter().map(Vec::len);
            let layout = Layout::of_all(lens());
            let same = count > 0 && lens().all(|len| len > 0 && len == elements[0].len());
            prop_assert_eq!(layout.is_uniform(), same);
            let (mut data, mut place) = (Vec::new(), [0; 210]);
            for element in &elements {
                let start = data.len();
                layout.push(element, &mut data);
                let place = &mut place[..layout.width(element.len())];
                layout.write(element, place);
                prop_assert_eq!(&data[start..], &place[..]);
            }
            prop_assert_eq!(layout.validate(&data), Some(u64::from(count)));
            let (mut read, mut model) = (Elements::within(layout, &data), elements.iter());
            for (from_back, skipped) in steps {
                let (own, theirs) = match (from_back, skipped) {
                    (false, None) => (read.next(), model.next()),
                    (false, Some(n)) => (read.nth(n), model.nth(n)),
                    (true, None) => (read.next_back(), model.next_back()),
                    (true, Some(n)) => (read.nth_back(n), model.nth_back(n)),
                };
                prop_assert_eq!(own, theirs.map(|element| &element[..]));
                prop_assert_eq!(read.clone().count(), model.len());
            }
            let mut plain = Vec::new();
            Layout::PLAIN.push_all(layout, &data, &mut plain);
            prop_assert!(Elements::new(&plain).eq(elements.iter()));
            prop_assert_eq!(plain.len(), layout.plain_bytes(&data));
        }

        #[test]
        fn any_bytes_are_judged_without_a_panic(
            bytes in prop::collection::vec(prop_oneof![0..4u8, any::<u8>()], 0..30),
            len in 0..8usize,
        ) {
            for layout in [Layout::PLAIN, Layout::of(len)] {
                if let Some(count) = layout.validate(&bytes) {
                    prop_assert_eq!(Elements::within(layout, &bytes).count() as u64, count);
                    prop_assert_eq!(Elements::within(layout, &bytes).rev().count() as u64, count);
                }
            }
        }

        #[test]
        fn one_changed_length_is_found(flip in 0..22usize, bit in 0..8u32) {
            let mut data = Vec::new();
            encode(b"the first", &mut data);
            encode(b"a second", &mut data);
            let is_length = [0, 10, 11, 20].contains(&flip);
            if flip < data.len() {
                data[flip] ^= 1 << bit;
                prop_assert_eq!(validate(&data).is_none(), is_length, "at {}", flip);
            }
        }
    }
}
