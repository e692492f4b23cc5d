//! Sets of integers: read only.
//!
//! `width (u32: 2, 4 or 8) count (u32) numbers..`, little-endian, in ascending order.

use std::slice::ChunksExact;

use super::packed::{Element, Fault, signed};

const HEADER_BYTES: usize = 8;

/// The members of an intset.
pub struct Elements<'p> {
    numbers: ChunksExact<'p, u8>,
    previous: Option<i64>,
}

impl<'p> Elements<'p> {
    /// The members of `pack`.
    ///
    /// # Errors
    /// When its header is wrong or does not fit its length.
    pub fn new(pack: &'p [u8]) -> Result<Elements<'p>, Fault> {
        let [w0, w1, w2, w3, c0, c1, c2, c3, ref body @ ..] = *pack else {
            return Err("intset is cut short");
        };
        let width @ (2 | 4 | 8) = u32::from_le_bytes([w0, w1, w2, w3]) as usize else {
            return Err("intset has numbers of an unknown width");
        };
        let count = u64::from(u32::from_le_bytes([c0, c1, c2, c3]));
        if count * width as u64 != (pack.len() - HEADER_BYTES) as u64 {
            return Err("intset has another length than it says");
        }
        Ok(Elements { numbers: body.chunks_exact(width), previous: None })
    }
}

impl<'p> Iterator for Elements<'p> {
    type Item = Result<Element<'p>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        let number = signed(self.numbers.next()?);
        if self.previous.is_some_and(|previous| previous >= number) {
            self.numbers = [].chunks_exact(1);
            return Some(Err("intset is not in ascending order"));
        }
        self.previous = Some(number);
        Some(Ok(Element::Integer(number)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pack: &[u8]) -> Result<Vec<i64>, Fault> {
        Elements::new(pack)?
            .map(|element| Ok(element?.integer().expect("members are numbers")))
            .collect()
    }

    #[test]
    fn members_ascend() {
        assert_eq!(read(b"\x02\0\0\0\x02\0\0\0\xff\xff\x01\0").unwrap(), [-1, 1]);
        let disorder = Err("intset is not in ascending order");
        assert_eq!(read(b"\x02\0\0\0\x02\0\0\0\x01\0\xff\xff"), disorder);
        assert_eq!(read(b"\x02\0\0\0\x02\0\0\0\x01\0\x01\0"), disorder);
    }

    #[test]
    fn headers_fit_what_follows() {
        let other = Err("intset has another length than it says");
        assert_eq!(read(b"\x02\0\0\0\x01\0\0\0\x01\0\x02\0"), other);
        assert_eq!(read(b"\x02\0\0\0\x02\0\0\0\x01\0\x02"), other);
        assert_eq!(read(b"\x08\0\0\0\xff\xff\xff\xff\x01\0"), other);
        let width = Err("intset has numbers of an unknown width");
        assert_eq!(read(b"\x03\0\0\0\x01\0\0\0\x01\0\0"), width);
        assert_eq!(read(b"\x02\0\0\0\x01\0\0"), Err("intset is cut short"));
    }
}
