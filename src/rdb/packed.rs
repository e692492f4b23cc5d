//! Small collections in one string: what listpacks, ziplists, zipmaps and intsets have in common.
//!
//! All four are sequences of elements, which are read from the front and checked on the way. An
//! element with something wrong is the last one. Errors have no place: a pack may be a compressed
//! part of its payload.

use std::borrow::Cow;

use super::{intset, listpack, ziplist, zipmap};

/// What is wrong with a pack, in a few words.
pub type Fault = &'static str;

/// An element of a pack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Element<'p> {
    /// Bytes of the pack.
    Text(&'p [u8]),
    /// A number, which stands for its decimal form.
    Integer(i64),
}

impl<'p> Element<'p> {
    /// The string that it is.
    pub fn text(self) -> Cow<'p, [u8]> {
        match self {
            Element::Text(text) => Cow::Borrowed(text),
            Element::Integer(number) => Cow::Owned(number.to_string().into_bytes()),
        }
    }

    /// The number that it is, if it is written as Redis writes numbers.
    pub fn integer(self) -> Option<i64> {
        match self {
            Element::Integer(number) => Some(number),
            Element::Text(text) => {
                let number: i64 = std::str::from_utf8(text).ok()?.parse().ok()?;
                (number.to_string().as_bytes() == text).then_some(number)
            }
        }
    }
}

/// The forms of packs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// Since Redis 7.0.
    Listpack,
    /// Before Redis 7.0.
    Ziplist,
    /// Hashes before Redis 2.6: names and values in turns.
    Zipmap,
    /// Sets of integers, in ascending order.
    Intset,
}

/// The elements of a pack; an error ends them.
pub enum Elements<'p> {
    /// Of a listpack.
    Listpack(listpack::Elements<'p>),
    /// Of a ziplist.
    Ziplist(ziplist::Elements<'p>),
    /// Of a zipmap.
    Zipmap(zipmap::Elements<'p>),
    /// Of an intset.
    Intset(intset::Elements<'p>),
}

impl Form {
    /// The elements of `pack`.
    ///
    /// # Errors
    /// When its header or its end is wrong.
    pub fn elements(self, pack: &[u8]) -> Result<Elements<'_>, Fault> {
        Ok(match self {
            Form::Listpack => Elements::Listpack(listpack::Elements::new(pack)?),
            Form::Ziplist => Elements::Ziplist(ziplist::Elements::new(pack)?),
            Form::Zipmap => Elements::Zipmap(zipmap::Elements::new(pack)?),
            Form::Intset => Elements::Intset(intset::Elements::new(pack)?),
        })
    }

    /// Appends the elements of `pack`; they are copied when it is owned.
    ///
    /// # Errors
    /// When the pack is malformed. What was appended by then stays.
    pub fn unpack<'a>(
        self,
        pack: Cow<'a, [u8]>,
        out: &mut Vec<Cow<'a, [u8]>>,
    ) -> Result<(), Fault> {
        match pack {
            Cow::Borrowed(bytes) => {
                for element in self.elements(bytes)? {
                    out.push(element?.text());
                }
            }
            Cow::Owned(bytes) => {
                for element in self.elements(&bytes)? {
                    out.push(Cow::Owned(element?.text().into_owned()));
                }
            }
        }
        Ok(())
    }
}

impl<'p> Iterator for Elements<'p> {
    type Item = Result<Element<'p>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Elements::Listpack(elements) => elements.next(),
            Elements::Ziplist(elements) => elements.next(),
            Elements::Zipmap(elements) => elements.next(),
            Elements::Intset(elements) => elements.next(),
        }
    }
}

/// The little-endian two's complement number of one to eight bytes.
pub fn signed(bytes: &[u8]) -> i64 {
    let mut wide = [0; 8];
    wide[8 - bytes.len()..].copy_from_slice(bytes);
    i64::from_le_bytes(wide) >> (64 - 8 * bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_width_keep_their_sign() {
        assert_eq!(signed(&[0xff]), -1);
        assert_eq!(signed(&[0xfe, 0x7f]), 32_766);
        assert_eq!(signed(&[0, 0, 0x80]), -8_388_608);
        assert_eq!(signed(&i64::MIN.to_le_bytes()), i64::MIN);
    }

    #[test]
    fn only_canonical_text_is_a_number() {
        assert_eq!(Element::Text(b"-12").integer(), Some(-12));
        for text in [&b"+1"[..], b"01", b"", b" 1", b"9223372036854775808"] {
            assert_eq!(Element::Text(text).integer(), None, "{text:?}");
        }
    }
}
