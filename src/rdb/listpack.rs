//! Listpacks, both ways.
//!
//! `total bytes (u32) count (u16) elements.. ff`, little-endian; a count of 65535 is unknown.
//! Behind each element stands its length once more, so that a listpack can be walked backwards:
//! seven bits a byte, the most significant first, the top bit set in all bytes but the first. By
//! first byte:
//!
//! | | |
//! |---|---|
//! | `0xxxxxxx` | the number itself |
//! | `10xxxxxx` | a string of up to 63 bytes |
//! | `110xxxxx` | a signed number of 13 bits, with the next byte, big-endian |
//! | `1110xxxx` | a string of up to 4095 bytes, with the next byte, big-endian |
//! | `f0` | a string, its length in four bytes |
//! | `f1` to `f4` | a signed number of 16, 24, 32 or 64 bits |

use super::packed::{Element, Fault, signed};

const HEADER_BYTES: usize = 6;
const END: u8 = 0xff;
const COUNT_UNKNOWN: u16 = u16::MAX;
const TEXT_LONG: u8 = 0xf0;
/// First byte and bytes of the numbers that are kept whole.
const INTEGERS: [(u8, usize); 4] = [(0xf1, 2), (0xf2, 3), (0xf3, 4), (0xf4, 8)];

/// The elements of a listpack.
pub struct Elements<'p> {
    /// The listpack without its end.
    body: &'p [u8],
    at: usize,
    seen: usize,
    count: u16,
}

impl<'p> Elements<'p> {
    /// The elements of `pack`.
    ///
    /// # Errors
    /// When its header or its end is wrong.
    pub fn new(pack: &'p [u8]) -> Result<Elements<'p>, Fault> {
        let [t0, t1, t2, t3, c0, c1, .., END] = *pack else {
            return Err("listpack has no end");
        };
        if u32::from_le_bytes([t0, t1, t2, t3]) as usize != pack.len() {
            return Err("listpack has another length than it says");
        }
        let body = &pack[..pack.len() - 1];
        Ok(Elements { body, at: HEADER_BYTES, seen: 0, count: u16::from_le_bytes([c0, c1]) })
    }
}

impl<'p> Iterator for Elements<'p> {
    type Item = Result<Element<'p>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.body[self.at..];
        if rest.is_empty() {
            let counted = self.count == COUNT_UNKNOWN || usize::from(self.count) == self.seen;
            self.seen = usize::from(self.count);
            return (!counted).then_some(Err("listpack has another count than it says"));
        }
        let Some((element, len)) = first(rest) else {
            *self = Elements { at: self.body.len(), count: COUNT_UNKNOWN, ..*self };
            return Some(Err("malformed element of a listpack"));
        };
        self.at += len;
        self.seen += 1;
        Some(Ok(element))
    }
}

/// The element at the front and how many bytes it takes.
fn first(rest: &[u8]) -> Option<(Element<'_>, usize)> {
    let (element, len) = match *rest {
        [number @ ..0x80, ..] => (Element::Integer(i64::from(number)), 1),
        [head @ ..0xc0, ..] => text(rest, 1, usize::from(head & 0x3f))?,
        [head @ ..0xe0, low, ..] => {
            let number = i64::from(head & 0x1f) << 8 | i64::from(low);
            (Element::Integer(if number < 1 << 12 { number } else { number - (1 << 13) }), 2)
        }
        [head @ ..0xf0, low, ..] => {
            text(rest, 2, usize::from(head & 0x0f) << 8 | usize::from(low))?
        }
        [TEXT_LONG, a, b, c, d, ..] => text(rest, 5, u32::from_le_bytes([a, b, c, d]) as usize)?,
        [head, ..] => {
            let (_, width) = *INTEGERS.iter().find(|(form, _)| *form == head)?;
            (Element::Integer(signed(rest.get(1..1 + width)?)), 1 + width)
        }
        [] => return None,
    };
    let (back, width) = back_length(len);
    rest[len..].starts_with(&back[..width]).then_some((element, len + width))
}

/// The string of `len` bytes behind a head of `head_bytes`, and the bytes of both.
fn text(rest: &[u8], head_bytes: usize, len: usize) -> Option<(Element<'_>, usize)> {
    let text = rest[head_bytes..].get(..len)?;
    Some((Element::Text(text), head_bytes + len))
}

/// What stands behind an element of `len` bytes: the first so many of these bytes.
fn back_length(len: usize) -> ([u8; 5], usize) {
    // Redis takes one more byte from the last number on that would fit.
    let width = match len {
        0..=0x7f => 1,
        0x80..0x3fff => 2,
        0x3fff..0x1f_ffff => 3,
        0x1f_ffff..0x0fff_ffff => 4,
        _ => 5,
    };
    let mut bytes = [0; 5];
    for (at, byte) in bytes[..width].iter_mut().enumerate() {
        let bits = (len >> (7 * (width - 1 - at))) as u8 & 0x7f;
        *byte = if at == 0 { bits } else { bits | 0x80 };
    }
    (bytes, width)
}

/// Builds a listpack.
pub struct Builder {
    pack: Vec<u8>,
    count: usize,
}

impl Builder {
    /// An empty listpack.
    pub fn new() -> Builder {
        Builder { pack: vec![0; HEADER_BYTES], count: 0 }
    }

    /// Adds a string; a short number in canonical form is kept as a number, as Redis does.
    pub fn push(&mut self, text: &[u8]) {
        // The longest number has twenty characters.
        let number = if text.len() <= 20 { Element::Text(text).integer() } else { None };
        if let Some(number) = number {
            return self.push_integer(number);
        }
        let start = self.pack.len();
        let len = text.len();
        match len {
            0..0x40 => self.pack.push(0x80 | len as u8),
            0x40..0x1000 => self.pack.extend_from_slice(&(0xe000 | len as u16).to_be_bytes()),
            _ => {
                self.pack.push(TEXT_LONG);
                self.pack.extend_from_slice(&(len as u32).to_le_bytes());
            }
        }
        self.pack.extend_from_slice(text);
        self.end_element(start);
    }

    /// Adds a number.
    pub fn push_integer(&mut self, number: i64) {
        let start = self.pack.len();
        match number {
            0..=0x7f => self.pack.push(number as u8),
            -0x1000..=0xfff => {
                let bits = number as u16 & 0x1fff;
                self.pack.extend_from_slice(&(0xc000 | bits).to_be_bytes());
            }
            _ => {
                let bytes = number.to_le_bytes();
                let fits = |width: &usize| signed(&bytes[..*width]) == number;
                let form = INTEGERS.into_iter().find(|(_, width)| fits(width));
                let (head, width) = form.expect("eight bytes hold any number");
                self.pack.push(head);
                self.pack.extend_from_slice(&bytes[..width]);
            }
        }
        self.end_element(start);
    }

    fn end_element(&mut self, start: usize) {
        let (back, width) = back_length(self.pack.len() - start);
        self.pack.extend_from_slice(&back[..width]);
        self.count += 1;
    }

    /// The listpack.
    ///
    /// # Panics
    /// When it has more than 4 GiB.
    pub fn finish(mut self) -> Vec<u8> {
        self.pack.push(END);
        let total = u32::try_from(self.pack.len()).expect("a listpack has less than 4 GiB");
        let count = u16::try_from(self.count).unwrap_or(COUNT_UNKNOWN);
        self.pack[..4].copy_from_slice(&total.to_le_bytes());
        self.pack[4..HEADER_BYTES].copy_from_slice(&count.to_le_bytes());
        self.pack
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(pack: &[u8]) -> Result<Vec<Vec<u8>>, Fault> {
        Elements::new(pack)?.map(|element| Ok(element?.text().into_owned())).collect()
    }

    fn pack(elements: &[Vec<u8>]) -> Vec<u8> {
        let mut builder = Builder::new();
        elements.iter().for_each(|element| builder.push(element));
        builder.finish()
    }

    #[test]
    fn lengths_around_their_limits_come_back() {
        let lens = [0, 63, 64, 125, 126, 4095, 4096, 16_377, 16_378, 16_379, 2_097_145, 2_097_146];
        let elements: Vec<_> = lens.iter().map(|&len| vec![b'x'; len]).collect();
        assert_eq!(read(&pack(&elements)).unwrap(), elements);
    }

    #[test]
    fn back_lengths_are_those_of_redis() {
        let bytes = |len| {
            let (bytes, width) = back_length(len);
            bytes[..width].to_vec()
        };
        assert_eq!(bytes(127), [127]);
        assert_eq!(bytes(128), [1, 0x80]);
        assert_eq!(bytes(16_382), [0x7f, 0xfe]);
        assert_eq!(bytes(16_383), [0, 0xff, 0xff]);
        assert_eq!(bytes(2_097_151), [0, 0xff, 0xff, 0xff]);
        assert_eq!(bytes(268_435_455), [0, 0xff, 0xff, 0xff, 0xff]);
    }

    #[test]
    fn counts_that_two_bytes_cannot_hold_are_not_told() {
        for (count, told) in [(65_534, 65_534), (65_535, COUNT_UNKNOWN), (70_000, COUNT_UNKNOWN)] {
            let pack = pack(&vec![b"1".to_vec(); count]);
            assert_eq!(pack[4..6], told.to_le_bytes());
            assert_eq!(read(&pack).unwrap().len(), count);
        }
    }

    #[test]
    fn damaged_packs_are_refused() {
        let sound = b"\x0d\0\0\0\x02\0\x81a\x02\x81b\x02\xff";
        assert_eq!(read(sound).unwrap(), [b"a", b"b"]);
        let cases: [(usize, u8, Fault); 7] = [
            (0, 12, "listpack has another length than it says"),
            (4, 1, "listpack has another count than it says"),
            (4, 3, "listpack has another count than it says"),
            (6, 0xf5, "malformed element of a listpack"),
            (8, 3, "malformed element of a listpack"),
            (9, 0xff, "malformed element of a listpack"),
            (12, 0, "listpack has no end"),
        ];
        for (at, byte, fault) in cases {
            let mut pack = sound.to_vec();
            pack[at] = byte;
            assert_eq!(read(&pack), Err(fault), "byte {at}");
        }
        assert!(read(b"").is_err());
        assert!(read(b"\x06\0\0\0\0\xff").is_err());
        assert_eq!(read(b"\x07\0\0\0\0\0\xff").unwrap(), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn an_error_is_the_last_element() {
        let mut elements = Elements::new(b"\x0c\0\0\0\x09\0\x81a\x02\xf5\xf5\xff").unwrap();
        assert_eq!(elements.next(), Some(Ok(Element::Text(b"a"))));
        assert!(elements.next().unwrap().is_err());
        assert_eq!(elements.next(), None);
        let mut elements = Elements::new(b"\x07\0\0\0\x09\0\xff").unwrap();
        assert!(elements.next().unwrap().is_err());
        assert_eq!(elements.next(), None);
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_back(
            elements in proptest::collection::vec(
                prop_oneof![
                    any::<Vec<u8>>(),
                    (any::<i64>(), 0u32..64).prop_map(|(n, by)| (n >> by).to_string().into_bytes()),
                    (0usize..5000).prop_map(|len| vec![7; len]),
                ],
                0..20,
            )
        ) {
            prop_assert_eq!(read(&pack(&elements)).unwrap(), elements);
        }
    }
}
