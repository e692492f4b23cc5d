//! What RDB values are made of: lengths and strings, both ways.
//!
//! A length's first byte tells its form by its top two bits: 00 six bits, 01 fourteen bits, 10 four
//! or eight big-endian bytes that follow, 11 no length but an encoded string: an integer of one,
//! two or four little-endian bytes, or LZF.

use std::borrow::Cow;

use bytes::Bytes;

use crate::error::DecodeError;
use crate::limits::{STRING_BYTES_MAX, STRING_PAGED_ABOVE_BYTES};
use crate::value::string::StringRef;

use super::lzf;

const LENGTH_32_BITS: u8 = 0x80;
const LENGTH_64_BITS: u8 = 0x81;
const ENCODED: u8 = 0xc0;
const ENCODED_INT8: u8 = 0;
const ENCODED_INT16: u8 = 1;
const ENCODED_INT32: u8 = 2;
const ENCODED_LZF: u8 = 3;

/// Longest decimal form of a 32-bit integer, in bytes.
const INT32_TEXT_BYTES_MAX: usize = 11;
/// Redis compresses strings longer than this, in bytes.
const COMPRESS_ABOVE_BYTES: usize = 20;

/// A length, or the code of an encoded string.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Length {
    /// So many bytes or elements.
    Plain(u64),
    /// A string in the encoding of this code.
    Encoded(u8),
}

/// Reads primitives off the front of a slice.
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the beginning of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    /// An error at the place that was reached.
    pub fn error(&self, reason: &'static str) -> DecodeError {
        DecodeError::new(self.at as u64, reason)
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn take(&mut self, len: u64) -> Result<&'a [u8], DecodeError> {
        let rest = &self.bytes[self.at..];
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        let taken = rest.get(..len).ok_or(self.error("value is cut short"))?;
        self.at += len;
        Ok(taken)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let taken = self.take(N as u64)?;
        Ok(taken.try_into().expect("N bytes were taken"))
    }

    /// The next byte.
    ///
    /// # Errors
    /// When none is left.
    pub fn byte(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A length or the code of an encoding.
    ///
    /// # Errors
    /// When it is cut short or of an unknown form.
    pub fn length(&mut self) -> Result<Length, DecodeError> {
        let first = self.byte()?;
        let low = first & 0x3f;
        Ok(match first {
            0x00..=0x3f => Length::Plain(u64::from(low)),
            0x40..=0x7f => Length::Plain(u64::from(low) << 8 | u64::from(self.byte()?)),
            LENGTH_32_BITS => Length::Plain(u64::from(u32::from_be_bytes(self.array()?))),
            LENGTH_64_BITS => Length::Plain(u64::from_be_bytes(self.array()?)),
            ENCODED.. => Length::Encoded(low),
            _ => return Err(self.error("unknown form of length")),
        })
    }

    /// A length that must not be an encoding.
    ///
    /// # Errors
    /// As [`Reader::length`], and for encodings.
    pub fn plain_length(&mut self) -> Result<u64, DecodeError> {
        match self.length()? {
            Length::Plain(len) => Ok(len),
            Length::Encoded(_) => Err(self.error("an encoding where a length is due")),
        }
    }

    /// How many elements follow, of which each takes `element_bytes_min` bytes at least: what it
    /// says may be reserved without harm.
    ///
    /// # Errors
    /// As [`Reader::plain_length`], and when so many elements cannot be there.
    pub fn count(&mut self, element_bytes_min: usize) -> Result<usize, DecodeError> {
        let count = self.plain_length()?;
        let room = (self.bytes.len() - self.at) / element_bytes_min;
        let count = usize::try_from(count).ok().filter(|&count| count <= room);
        count.ok_or(self.error("more elements than bytes"))
    }

    /// As [`Reader::count`], of a collection that cannot be empty.
    ///
    /// # Errors
    /// As [`Reader::count`], and when no element follows.
    pub fn count_some(&mut self, element_bytes_min: usize) -> Result<usize, DecodeError> {
        match self.count(element_bytes_min)? {
            0 => Err(self.error("collection is empty")),
            count => Ok(count),
        }
    }

    /// A string in any encoding; borrowed where it stands as it is.
    ///
    /// # Errors
    /// When it is cut short, malformed, or longer than a string may be.
    pub fn string(&mut self) -> Result<Cow<'a, [u8]>, DecodeError> {
        let integer = match self.length()? {
            Length::Plain(len) if len > STRING_BYTES_MAX => {
                return Err(self.error("string is too long"));
            }
            Length::Plain(len) => return self.take(len).map(Cow::Borrowed),
            Length::Encoded(ENCODED_INT8) => i32::from(i8::from_le_bytes(self.array()?)),
            Length::Encoded(ENCODED_INT16) => i32::from(i16::from_le_bytes(self.array()?)),
            Length::Encoded(ENCODED_INT32) => i32::from_le_bytes(self.array()?),
            Length::Encoded(ENCODED_LZF) => return self.compressed().map(Cow::Owned),
            Length::Encoded(_) => return Err(self.error("unknown encoding of a string")),
        };
        Ok(Cow::Owned(integer.to_string().into_bytes()))
    }

    /// Skips a string and tells how long it is at most; it need not be sound.
    ///
    /// # Errors
    /// When it is cut short, or malformed at its beginning.
    pub fn string_bytes(&mut self) -> Result<u64, DecodeError> {
        Ok(match self.length()? {
            Length::Plain(len) => self.take(len)?.len() as u64,
            Length::Encoded(ENCODED_LZF) => {
                let (stream, len) = self.compressed_head()?;
                len.min((stream.len() * lzf::EXPANSION_MAX) as u64)
            }
            Length::Encoded(code @ ENCODED_INT8..=ENCODED_INT32) => {
                self.take(1 << code)?;
                INT32_TEXT_BYTES_MAX as u64
            }
            Length::Encoded(_) => return Err(self.error("unknown encoding of a string")),
        })
    }

    fn compressed(&mut self) -> Result<Vec<u8>, DecodeError> {
        let (stream, len) = self.compressed_head()?;
        let start = (self.at - stream.len()) as u64;
        lzf::decompress(stream, len as usize)
            .map_err(|error| DecodeError::new(start + error.offset, error.reason))
    }

    /// The stream of a compressed string, and the length that it should yield.
    fn compressed_head(&mut self) -> Result<(&'a [u8], u64), DecodeError> {
        let stream_len = self.plain_length()?;
        let len = self.plain_length()?;
        if len > STRING_BYTES_MAX {
            return Err(self.error("string is too long"));
        }
        Ok((self.take(stream_len)?, len))
    }
}

/// Appends a length.
pub fn encode_length(len: u64, out: &mut Vec<u8>) {
    match len {
        0..=0x3f => out.push(len as u8),
        0x40..=0x3fff => out.extend_from_slice(&((len as u16) | 0x4000).to_be_bytes()),
        _ => match u32::try_from(len) {
            Ok(len) => {
                out.push(LENGTH_32_BITS);
                out.extend_from_slice(&len.to_be_bytes());
            }
            Err(_) => {
                out.push(LENGTH_64_BITS);
                out.extend_from_slice(&len.to_be_bytes());
            }
        },
    }
}

/// Appends a string that stands in one piece: as an integer or compressed where Redis would.
///
/// Strings that Firn keeps in pages stay as they are, for compressing them would take its time
/// while their partition is locked; every server reads both.
pub fn encode_string(bytes: &[u8], out: &mut Vec<u8>) {
    if encode_integer(bytes, out) {
        return;
    }
    let worthwhile = bytes.len() > COMPRESS_ABOVE_BYTES && bytes.len() <= STRING_PAGED_ABOVE_BYTES;
    match worthwhile.then(|| lzf::compress(bytes)).flatten() {
        Some(stream) => {
            out.push(ENCODED | ENCODED_LZF);
            encode_length(stream.len() as u64, out);
            encode_length(bytes.len() as u64, out);
            out.extend_from_slice(&stream);
        }
        None => {
            encode_length(bytes.len() as u64, out);
            out.extend_from_slice(bytes);
        }
    }
}

/// Appends an element of a collection: as an integer where Redis would, and never compressed, for
/// the time of the many elements that may stand beside it; every server reads both.
pub fn encode_element(bytes: &[u8], out: &mut Vec<u8>) {
    if !encode_integer(bytes, out) {
        encode_length(bytes.len() as u64, out);
        out.extend_from_slice(bytes);
    }
}

/// Appends a string in pages: `out` gets its length, the pages are to follow by reference.
pub fn encode_pages(value: &StringRef<'_>, out: &mut Vec<u8>) -> Vec<Bytes> {
    encode_length(value.len(), out);
    match value {
        StringRef::Paged(paged) => paged.pages().to_vec(),
        StringRef::Flat { bytes, .. } => vec![Bytes::copy_from_slice(bytes)],
    }
}

/// Appends the canonical decimal form of a 32-bit integer in its short form; whether it is one.
fn encode_integer(bytes: &[u8], out: &mut Vec<u8>) -> bool {
    let parsed = (bytes.len() <= INT32_TEXT_BYTES_MAX)
        .then(|| std::str::from_utf8(bytes).ok()?.parse::<i32>().ok())
        .flatten();
    let Some(integer) = parsed.filter(|number| number.to_string().as_bytes() == bytes) else {
        return false;
    };
    if let Ok(small) = i8::try_from(integer) {
        out.push(ENCODED | ENCODED_INT8);
        out.extend_from_slice(&small.to_le_bytes());
    } else if let Ok(small) = i16::try_from(integer) {
        out.push(ENCODED | ENCODED_INT16);
        out.extend_from_slice(&small.to_le_bytes());
    } else {
        out.push(ENCODED | ENCODED_INT32);
        out.extend_from_slice(&integer.to_le_bytes());
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode_string(bytes, &mut out);
        out
    }

    #[test]
    fn lengths_take_the_shortest_form_and_come_back() {
        for (len, bytes) in [(0u64, 1), (63, 1), (64, 2), (0x3fff, 2), (0x4000, 5)] {
            let mut out = Vec::new();
            encode_length(len, &mut out);
            assert_eq!((out.len(), Reader::new(&out).length()), (bytes, Ok(Length::Plain(len))));
        }
        for len in [u64::from(u32::MAX), u64::from(u32::MAX) + 1, u64::MAX] {
            let mut out = Vec::new();
            encode_length(len, &mut out);
            assert_eq!(Reader::new(&out).length(), Ok(Length::Plain(len)));
        }
        assert!(Reader::new(b"\x82\0\0\0\0").length().is_err());
    }

    #[test]
    fn integers_are_encoded_only_in_their_canonical_form() {
        assert_eq!(encoded(b"1"), b"\xc0\x01");
        assert_eq!(encoded(b"-129"), b"\xc1\x7f\xff");
        assert_eq!(encoded(b"-2147483648"), b"\xc2\0\0\0\x80");
        for text in ["2147483648", "007", "+1", "-0", "", " 1"] {
            let mut raw = vec![text.len() as u8];
            raw.extend_from_slice(text.as_bytes());
            assert_eq!(encoded(text.as_bytes()), raw, "{text:?}");
        }
    }

    #[test]
    fn lengths_above_that_of_a_string_are_refused_before_anything_is_read() {
        let mut long = Vec::new();
        encode_length(STRING_BYTES_MAX + 1, &mut long);
        let compressed = [b"\xc3\x0a", &long[..]].concat();
        for body in [long, compressed] {
            let error = Reader::new(&body).string().unwrap_err();
            assert_eq!(error.reason, "string is too long");
        }
    }

    #[test]
    fn claimed_lengths_allocate_nothing() {
        assert!(Reader::new(b"\x81\xff\xff\xff\xff\xff\xff\xff\xffx").string().is_err());
        assert!(Reader::new(b"\xc3\x02\x81\0\0\0\0\x20\0\0\x01\0x").string().is_err());
        assert!(Reader::new(b"\xc3\x02\x80\x10\0\0\0\0x").string().is_err());
        assert!(Reader::new(b"\xc3\xc0\x01x").string().is_err());
        assert!(Reader::new(b"\xc4\x01").string().is_err());
    }

    proptest! {
        #[test]
        fn strings_come_back(
            bytes in prop_oneof![
                any::<Vec<u8>>(),
                any::<i64>().prop_map(|n| n.to_string().into_bytes()),
                (any::<[u8; 7]>(), 0usize..200).prop_map(|(word, n)| word.repeat(n)),
            ]
        ) {
            let out = encoded(&bytes);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.string().unwrap().into_owned(), bytes);
            prop_assert_eq!(reader.at, out.len());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            if let Ok(value) = Reader::new(&bytes).string() {
                prop_assert!(value.len() <= 88 * bytes.len() + 11);
            }
        }
    }
}
