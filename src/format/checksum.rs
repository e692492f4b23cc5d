//! CRC-32 (IEEE 802.3, as in zlib), plain and salted.
//!
//! A salt makes bytes of another place or another time fail: recycled log space, a frame hidden in
//! a client's value, a block read from the wrong offset.

use crc32fast::Hasher;

/// CRC of some bytes.
pub fn plain(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// CRC of several pieces, as if they stood one after another.
pub fn of_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    finish(Hasher::new(), parts)
}

/// CRC of the salt's eight little-endian bytes followed by the pieces.
pub fn salted<'a>(salt: u64, parts: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    Salt::new(salt).checksum(parts)
}

/// A salt whose own bytes are already digested; for many checksums under one salt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Salt(u32);

impl Salt {
    /// Digests the salt.
    pub fn new(salt: u64) -> Salt {
        Salt(crc32fast::hash(&salt.to_le_bytes()))
    }

    /// CRC of the salt followed by the pieces.
    pub fn checksum<'a>(self, parts: impl IntoIterator<Item = &'a [u8]>) -> u32 {
        finish(Hasher::new_with_initial(self.0), parts)
    }
}

fn finish<'a>(mut hasher: Hasher, parts: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    parts.into_iter().for_each(|part| hasher.update(part));
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_crc_32_ieee_holds() {
        assert_eq!(plain(b"123456789"), 0xcbf4_3926);
        assert_eq!(of_parts([&b"1234"[..], b"", b"56789"]), 0xcbf4_3926);
    }

    #[test]
    fn a_salt_stands_before_the_bytes() {
        let salt = 0x0123_4567_89ab_cdef_u64;
        let mut whole = salt.to_le_bytes().to_vec();
        whole.extend_from_slice(b"firn");
        assert_eq!(salted(salt, [&b"fi"[..], b"rn"]), plain(&whole));
        assert_ne!(salted(salt ^ 1, [&b"firn"[..]]), plain(&whole));
    }
}
