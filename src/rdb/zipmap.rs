//! Zipmaps, in which Redis before 2.6 kept small hashes: read only.
//!
//! `count (u8) pairs.. ff`; a count of 254 is unknown. A pair is `length name length spare value`
//! and unused bytes, which the byte `spare` counts. A length is a byte below 254, or for longer
//! ones `fe` and four bytes, little-endian.

use super::packed::{Element, Fault};

const END: u8 = 0xff;
const COUNT_UNKNOWN: u8 = 254;
const LENGTH_LONG: u8 = 0xfe;

/// Names and values of a zipmap, in turns.
pub struct Elements<'p> {
    /// What is left, without the end.
    rest: &'p [u8],
    /// Pairs that are still to come; none when their count is unknown.
    pairs_left: Option<u8>,
    value_is_next: bool,
    ended: bool,
}

impl<'p> Elements<'p> {
    /// The elements of `pack`.
    ///
    /// # Errors
    /// When it has no end.
    pub fn new(pack: &'p [u8]) -> Result<Elements<'p>, Fault> {
        let [count, ref rest @ .., END] = *pack else {
            return Err("zipmap has no end");
        };
        let pairs_left = (count != COUNT_UNKNOWN).then_some(count);
        Ok(Elements { rest, pairs_left, value_is_next: false, ended: false })
    }

    /// Whether the end has come where the count says.
    fn is_complete(&self) -> bool {
        !self.value_is_next && self.pairs_left.is_none_or(|left| left == 0)
    }

    fn step(&mut self) -> Option<Element<'p>> {
        let (len, rest) = length(self.rest)?;
        let (spare, rest) = match self.value_is_next {
            true => rest.split_first().map(|(spare, rest)| (usize::from(*spare), rest))?,
            false => (0, rest),
        };
        let (text, rest) = rest.split_at_checked(len)?;
        self.rest = rest.get(spare..)?;
        if let (true, Some(left)) = (self.value_is_next, &mut self.pairs_left) {
            *left = left.checked_sub(1)?;
        }
        self.value_is_next = !self.value_is_next;
        Some(Element::Text(text))
    }
}

impl<'p> Iterator for Elements<'p> {
    type Item = Result<Element<'p>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        if self.rest.is_empty() {
            self.ended = true;
            return (!self.is_complete()).then_some(Err("zipmap has another count than it says"));
        }
        let element = self.step();
        self.ended = element.is_none();
        Some(element.ok_or("malformed element of a zipmap"))
    }
}

fn length(rest: &[u8]) -> Option<(usize, &[u8])> {
    match *rest {
        [len @ ..LENGTH_LONG, ref rest @ ..] => Some((usize::from(len), rest)),
        [LENGTH_LONG, a, b, c, d, ref rest @ ..] => {
            let len = u32::from_le_bytes([a, b, c, d]);
            (len >= u32::from(LENGTH_LONG)).then_some((len as usize, rest))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pack: &[u8]) -> Result<Vec<Vec<u8>>, Fault> {
        Elements::new(pack)?.map(|element| Ok(element?.text().into_owned())).collect()
    }

    #[test]
    fn damaged_maps_are_refused() {
        assert_eq!(read(b"\x01\x01a\x01\x01b-\xff").unwrap(), [b"a", b"b"]);
        assert_eq!(read(b"\xfe\x01a\x01\x00b\xff").unwrap(), [b"a", b"b"]);
        let count = Err("zipmap has another count than it says");
        assert_eq!(read(b"\x02\x01a\x01\x00b\xff"), count);
        assert_eq!(read(b"\xff\x01a\x01\x00b\xff"), count);
        assert_eq!(read(b"\xfe\x01a\xff"), count, "a name without a value");
        let malformed = Err("malformed element of a zipmap");
        assert_eq!(read(b"\x00\x01a\x01\x00b\xff"), malformed);
        assert_eq!(read(b"\x01\x01a\x01\x02b-\xff"), malformed, "more spare bytes than left");
        assert_eq!(read(b"\x01\x05a\xff"), malformed);
        assert_eq!(read(b"\x01\x01a\x01\x00b\xff\xff"), malformed, "bytes behind the end");
        assert_eq!(read(b"\x01\xfe\x01\0\0\0a\x01\x00b\xff"), malformed, "a longer length");
        assert_eq!(read(b"\x01\x01a\x01\x00b"), Err("zipmap has no end"));
        assert_eq!(read(b"\xff"), Err("zipmap has no end"));
    }
}
