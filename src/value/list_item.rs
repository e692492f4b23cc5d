//! One element of a list, readable from both sides, as in Redis's listpack.
//!
//! ```text
//! element = varint length, bytes, back length
//! back length = the length of all before it, a varint with its bytes in reverse order
//! ```

use crate::value::item::{varint, varint_len};

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

/// Elements of valid data, from both ends.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    data: &'a [u8],
    start: usize,
    end: usize,
}

impl<'a> Elements<'a> {
    /// All elements of valid `data`.
    pub fn new(data: &'a [u8]) -> Elements<'a> {
        Elements { data, start: 0, end: data.len() }
    }

    /// Where the next element from the front begins.
    pub fn offset(&self) -> usize {
        self.start
    }

    /// Where the next element from the back ends.
    pub fn back_offset(&self) -> usize {
        self.end
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.start >= self.end {
            return None;
        }
        let (element, start) = next(self.data, self.start)?;
        self.start = start;
        Some(element)
    }
}

impl DoubleEndedIterator for Elements<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.start >= self.end {
            return None;
        }
        let (element, end) = previous(self.data, self.end)?;
        self.end = end;
        Some(element)
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
        fn any_bytes_are_judged_without_a_panic(
            bytes in prop::collection::vec(prop_oneof![0..4u8, any::<u8>()], 0..30),
        ) {
            if let Some(count) = validate(&bytes) {
                prop_assert_eq!(Elements::new(&bytes).count() as u64, count);
                prop_assert_eq!(Elements::new(&bytes).rev().count() as u64, count);
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
