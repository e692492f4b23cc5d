//! The CRC-64 that Redis puts behind a payload: the Jones polynomial, reflected, without inversion.

use crc::{CRC_64_REDIS, Crc, Table};

/// Sixteen tables: large payloads are summed while a partition is locked.
static CRC64: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_REDIS);

/// The checksum of bytes that come in pieces.
pub struct Sum(crc::Digest<'static, u64, Table<16>>);

impl Sum {
    /// The checksum of nothing.
    pub fn new() -> Sum {
        Sum(CRC64.digest())
    }

    /// Adds the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// The checksum of all pieces.
    pub fn finish(self) -> u64 {
        self.0.finalize()
    }
}

impl Default for Sum {
    fn default() -> Sum {
        Sum::new()
    }
}

/// The checksum of `bytes`.
pub fn sum(bytes: &[u8]) -> u64 {
    CRC64.checksum(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_redis_comes_out() {
        assert_eq!(sum(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
    }

    #[test]
    fn pieces_sum_as_the_whole() {
        let mut pieces = Sum::new();
        [&b"12"[..], b"", b"3456789"].iter().for_each(|piece| pieces.update(piece));
        assert_eq!(pieces.finish(), sum(b"123456789"));
    }
}
