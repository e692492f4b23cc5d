//! A position in encoded bytes: every read is length-checked, every error knows where it stands.

use crate::error::DecodeError;
use crate::format::varint;
use crate::types::{LSN_MAX, Lsn};

/// Reads fields one after another.
#[derive(Clone, Copy, Debug)]
pub struct Decoder<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Decoder<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Decoder<'a> {
        Decoder { bytes, at: 0 }
    }

    /// Goes on at a byte that an earlier decoder of the same bytes has reached.
    ///
    /// # Panics
    /// When `at` is beyond the end.
    pub fn starting_at(bytes: &'a [u8], at: usize) -> Decoder<'a> {
        assert!(at <= bytes.len());
        Decoder { bytes, at }
    }

    /// Bytes read so far.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// Bytes left.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// An error that stands `back` bytes before the next byte.
    pub fn error(&self, back: usize, reason: &'static str) -> DecodeError {
        DecodeError::new(self.at.saturating_sub(back) as u64, reason)
    }

    /// The next `len` bytes, by reference.
    ///
    /// # Errors
    /// Fewer are left. The same holds for all methods below.
    pub fn bytes(&mut self, len: u64) -> Result<&'a [u8], DecodeError> {
        if len > self.remaining() as u64 {
            return Err(self.error(0, "bytes end inside a field"));
        }
        let start = self.at;
        self.at += len as usize;
        Ok(&self.bytes[start..self.at])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let bytes = self.bytes(N as u64)?;
        Ok(bytes.try_into().expect("the length was asked for"))
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    /// Two bytes, little-endian.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_le_bytes)
    }

    /// Four bytes, little-endian.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    /// Eight bytes, little-endian.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_le_bytes)
    }

    /// An LSN in eight bytes, at most [`LSN_MAX`].
    pub fn lsn(&mut self) -> Result<Lsn, DecodeError> {
        let lsn = self.u64()?;
        self.in_range(lsn, 8)
    }

    /// An LSN as a varint, at most [`LSN_MAX`].
    pub fn varint_lsn(&mut self) -> Result<Lsn, DecodeError> {
        let start = self.at;
        let lsn = self.varint()?;
        self.in_range(lsn, self.at - start)
    }

    fn in_range(&self, lsn: Lsn, back: usize) -> Result<Lsn, DecodeError> {
        match lsn <= LSN_MAX {
            true => Ok(lsn),
            false => Err(self.error(back, "LSN is out of range")),
        }
    }

    /// Sixteen bytes.
    pub fn bytes16(&mut self) -> Result<[u8; 16], DecodeError> {
        self.array()
    }

    /// `count` reserved bytes, which are zero.
    pub fn zeros(&mut self, count: usize) -> Result<(), DecodeError> {
        let start = self.at;
        match self.bytes(count as u64)?.iter().position(|&byte| byte != 0) {
            Some(index) => {
                Err(DecodeError::new((start + index) as u64, "reserved byte is not zero"))
            }
            None => Ok(()),
        }
    }

    /// Nothing: all was read.
    pub fn end(&self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            _ => Err(self.error(0, "bytes follow the last field")),
        }
    }

    /// A varint.
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        match varint::decode(&self.bytes[self.at..]) {
            Ok((value, len)) => {
                self.at += len;
                Ok(value)
            }
            Err(error) => Err(DecodeError::new(self.at as u64 + error.offset, error.reason)),
        }
    }

    /// A varint that fits 32 bits.
    pub fn varint_u32(&mut self) -> Result<u32, DecodeError> {
        let start = self.at;
        u32::try_from(self.varint()?)
            .map_err(|_| DecodeError::new(start as u64, "number exceeds 32 bits"))
    }

    /// A varint of up to 128 bits.
    pub fn varint_wide(&mut self) -> Result<u128, DecodeError> {
        match varint::decode_wide(&self.bytes[self.at..]) {
            Ok((value, len)) => {
                self.at += len;
                Ok(value)
            }
            Err(error) => Err(DecodeError::new(self.at as u64 + error.offset, error.reason)),
        }
    }

    /// A varint length followed by that many bytes.
    pub fn prefixed(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.varint()?;
        self.bytes(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_in_order_and_the_end_is_an_error() {
        let bytes = [1, 2, 0, 3, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 2, b'h', b'i'];
        let mut decoder = Decoder::new(&bytes);
        assert_eq!(decoder.u8().unwrap(), 1);
        assert_eq!(decoder.u16().unwrap(), 2);
        assert_eq!(decoder.u32().unwrap(), 3);
        assert_eq!(decoder.u64().unwrap(), 4);
        assert_eq!(decoder.prefixed().unwrap(), b"hi");
        assert_eq!(decoder.remaining(), 0);
        assert_eq!(decoder.u8().unwrap_err().offset, bytes.len() as u64);
    }

    #[test]
    fn reserved_bytes_and_the_end_are_checked() {
        let mut decoder = Decoder::starting_at(&[9, 0, 0, 1], 1);
        decoder.zeros(2).unwrap();
        assert!(decoder.end().is_err());
        assert_eq!(decoder.zeros(1).unwrap_err().offset, 3);
        decoder.end().unwrap();
    }

    #[test]
    fn no_lsn_beyond_the_bound_is_read() {
        for (lsn, good) in [(0, true), (LSN_MAX, true), (LSN_MAX + 1, false), (u64::MAX, false)] {
            let mut short = Vec::new();
            varint::encode(lsn, &mut short);
            assert_eq!(Decoder::new(&lsn.to_le_bytes()).lsn().is_ok(), good, "{lsn}");
            assert_eq!(Decoder::new(&short).varint_lsn().is_ok(), good, "{lsn}");
        }
    }

    #[test]
    fn a_huge_length_is_an_error_before_anything_is_taken() {
        let bytes = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0];
        assert!(Decoder::new(&bytes).prefixed().is_err());
        assert_eq!(Decoder::new(&bytes).varint_u32().unwrap_err().reason, "number exceeds 32 bits");
    }
}
