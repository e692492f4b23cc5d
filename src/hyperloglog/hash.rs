//! From an element to its register and the length of its run of zeros: MurmurHash64A (Austin
//! Appleby) under Redis's seed.

use super::sketch::REGISTERS;

const SEED: u64 = 0xadc8_3b19;
/// Bits of a hash that choose the register.
const INDEX_BITS: u32 = REGISTERS.trailing_zeros();
/// Bits of a hash that are left; a run of zeros in them has one more value.
pub const RUN_BITS: u32 = 64 - INDEX_BITS;

fn murmur(data: &[u8]) -> u64 {
    const FACTOR: u64 = 0xc6a4_a793_5bd1_e995;
    const SHIFT: u32 = 47;
    let mut hash = SEED ^ (data.len() as u64).wrapping_mul(FACTOR);
    let (words, rest) = data.as_chunks::<8>();
    for word in words {
        let mut word = u64::from_le_bytes(*word).wrapping_mul(FACTOR);
        word ^= word >> SHIFT;
        hash = (hash ^ word.wrapping_mul(FACTOR)).wrapping_mul(FACTOR);
    }
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u64::from_le_bytes(last)).wrapping_mul(FACTOR);
    }
    hash ^= hash >> SHIFT;
    hash = hash.wrapping_mul(FACTOR);
    hash ^ hash >> SHIFT
}

/// The register of an element, and the value that it asks for there.
pub fn register_of(element: &[u8]) -> (usize, u8) {
    let hash = murmur(element);
    let index = hash as usize % REGISTERS;
    let run = (hash >> INDEX_BITS | 1 << RUN_BITS).trailing_zeros();
    (index, run as u8 + 1)
}

#[cfg(test)]
mod tests {
    use super::{murmur, register_of};

    /// Seen in Redis's registers, one element each (`PFADD`, then `PFDEBUG GETREG`).
    #[test]
    fn registers_are_those_of_redis() {
        let cases: [(&[u8], usize, u8); 4] =
            [(b"", 5938, 2), (b"a", 12711, 2), (b"12345678", 10579, 3), (b"hello, world", 5834, 2)];
        for (element, index, value) in cases {
            assert_eq!(register_of(element), (index, value), "{element:?}");
        }
    }

    #[test]
    fn every_byte_counts() {
        let data = [7_u8; 24];
        for len in 0..data.len() {
            let mut other = data;
            other[len] ^= 1;
            assert_ne!(murmur(&data[..len + 1]), murmur(&other[..len + 1]), "{len}");
            assert_ne!(murmur(&data[..len]), murmur(&data[..len + 1]), "{len}");
        }
    }
}
