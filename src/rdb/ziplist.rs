//! Ziplists, which Redis wrote before 7.0: read only.
//!
//! `total bytes (u32) offset of the last element (u32) count (u16) elements.. ff`, little-endian; a
//! count of 65535 is unknown. An element begins with the length of the one before it, one byte, or
//! `fe` and four bytes. By the byte that follows it is:
//!
//! | | |
//! |---|---|
//! | `00xxxxxx` | a string of up to 63 bytes |
//! | `01xxxxxx` | a string of up to 16383 bytes, with the next byte, big-endian |
//! | `10xxxxxx` | a string, its length in four bytes, big-endian |
//! | `fe` `c0` `f0` `d0` `e0` | a signed number of 8, 16, 24, 32 or 64 bits |
//! | `f1` to `fd` | the numbers 0 to 12 |

use super::packed::{Element, Fault, signed};

const HEADER_BYTES: usize = 10;
const END: u8 = 0xff;
const COUNT_UNKNOWN: u16 = u16::MAX;
const PREVIOUS_LONG: u8 = 0xfe;

/// The elements of a ziplist.
pub struct Elements<'p> {
    /// The ziplist without its end.
    body: &'p [u8],
    at: usize,
    /// Bytes of the element before.
    previous: usize,
    seen: usize,
    last: usize,
    count: u16,
    ended: bool,
}

impl<'p> Elements<'p> {
    /// The elements of `pack`.
    ///
    /// # Errors
    /// When its header or its end is wrong.
    pub fn new(pack: &'p [u8]) -> Result<Elements<'p>, Fault> {
        let [t0, t1, t2, t3, l0, l1, l2, l3, c0, c1, .., END] = *pack else {
            return Err("ziplist has no end");
        };
        if u32::from_le_bytes([t0, t1, t2, t3]) as usize != pack.len() {
            return Err("ziplist has another length than it says");
        }
        let last = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let count = u16::from_le_bytes([c0, c1]);
        let body = &pack[..pack.len() - 1];
        Ok(Elements { body, at: HEADER_BYTES, previous: 0, seen: 0, last, count, ended: false })
    }

    /// What is wrong with the header, now that all elements were seen.
    fn header_fault(&self) -> Option<Fault> {
        if self.count != COUNT_UNKNOWN && usize::from(self.count) != self.seen {
            return Some("ziplist has another count than it says");
        }
        let last_is_wrong = self.last != self.at - self.previous;
        last_is_wrong.then_some("ziplist has another last element than it says")
    }
}

impl<'p> Iterator for Elements<'p> {
    type Item = Result<Element<'p>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let rest = &self.body[self.at..];
        if rest.is_empty() {
            self.ended = true;
            return self.header_fault().map(Err);
        }
        let Some((element, len)) = first(rest, self.previous) else {
            self.ended = true;
            return Some(Err("malformed element of a ziplist"));
        };
        self.at += len;
        self.previous = len;
        self.seen += 1;
        Some(Ok(element))
    }
}

/// The element at the front, behind one of `previous` bytes, and how many bytes it takes.
fn first(rest: &[u8], previous: usize) -> Option<(Element<'_>, usize)> {
    let (said, entry) = match *rest {
        [said @ ..PREVIOUS_LONG, ref entry @ ..] => (usize::from(said), entry),
        [PREVIOUS_LONG, a, b, c, d, ref entry @ ..] => {
            (u32::from_le_bytes([a, b, c, d]) as usize, entry)
        }
        _ => return None,
    };
    if said != previous {
        return None;
    }
    let text = |head_bytes: usize, len: usize| {
        let text = entry[head_bytes..].get(..len)?;
        Some((Element::Text(text), head_bytes + len))
    };
    let integer = |width: usize| {
        let bytes = entry.get(1..1 + width)?;
        Some((Element::Integer(signed(bytes)), 1 + width))
    };
    let (element, len) = match *entry {
        [head @ ..0x40, ..] => text(1, usize::from(head)),
        [head @ ..0x80, low, ..] => text(2, usize::from(head & 0x3f) << 8 | usize::from(low)),
        [0x80..0xc0, a, b, c, d, ..] => text(5, u32::from_be_bytes([a, b, c, d]) as usize),
        [0xc0, ..] => integer(2),
        [0xd0, ..] => integer(4),
        [0xe0, ..] => integer(8),
        [0xf0, ..] => integer(3),
        [0xfe, ..] => integer(1),
        [head @ 0xf1..=0xfd, ..] => Some((Element::Integer(i64::from(head) - 0xf1), 1)),
        _ => None,
    }?;
    Some((element, rest.len() - entry.len() + len))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pack: &[u8]) -> Result<Vec<Vec<u8>>, Fault> {
        Elements::new(pack)?.map(|element| Ok(element?.text().into_owned())).collect()
    }

    #[test]
    fn damaged_packs_are_refused() {
        let sound = b"\x11\0\0\0\x0d\0\0\0\x02\0\0\x01a\x03\x01b\xff";
        assert_eq!(read(sound).unwrap(), [b"a", b"b"]);
        let cases: [(usize, u8, Fault); 9] = [
            (0, 16, "ziplist has another length than it says"),
            (4, 10, "ziplist has another last element than it says"),
            (8, 1, "ziplist has another count than it says"),
            (8, 3, "ziplist has another count than it says"),
            (10, 1, "malformed element of a ziplist"),
            (11, 0xff, "malformed element of a ziplist"),
            (13, 2, "malformed element of a ziplist"),
            (13, 0xff, "malformed element of a ziplist"),
            (16, 0, "ziplist has no end"),
        ];
        for (at, byte, fault) in cases {
            let mut pack = sound.to_vec();
            pack[at] = byte;
            assert_eq!(read(&pack), Err(fault), "byte {at}");
        }
        assert!(read(b"").is_err());
        assert!(read(&sound[..10]).is_err());
    }

    #[test]
    fn an_error_is_the_last_element() {
        let pack = b"\x11\0\0\0\x0d\0\0\0\x02\0\0\x01a\x07\x01b\xff";
        let mut elements = Elements::new(pack).unwrap();
        assert_eq!(elements.next(), Some(Ok(Element::Text(b"a"))));
        assert!(elements.next().unwrap().is_err());
        assert_eq!(elements.next(), None);
    }
}
