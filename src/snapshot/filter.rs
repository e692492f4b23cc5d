//! A blocked Bloom filter over places: all bits of a place lie in one cache line.
//!
//! Positions are keyed hashes already, so a place only needs mixing. Source: Putze, Sanders and
//! Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", 2007.

use bytes::Bytes;

use crate::error::DecodeError;
use crate::format::part::Place;
use crate::limits::FILTER_BITS_PER_KEY;

const LINE_BYTES: usize = 64;
const LINE_BITS: usize = LINE_BYTES * 8;
const PROBES: u32 = 6;

/// The hash of a place; stable, it stands on disk.
pub fn hash((keyspace, position): Place) -> u64 {
    mix(position.0 ^ mix(u64::from(keyspace).wrapping_add(0x9e37_79b9_7f4a_7c15)))
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood, 2014).
fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// The line of a hash, and the bits in it: 9 bits of a second hash for each probe.
fn probes(hash: u64, line_count: usize) -> (usize, impl Iterator<Item = usize>) {
    let line = ((u128::from(hash) * line_count as u128) >> 64) as usize;
    let bits = mix(hash);
    (line, (0..PROBES).map(move |probe| (bits >> (9 * probe)) as usize % LINE_BITS))
}

/// The filter's bytes for a set of hashes.
pub fn build(hashes: &[u64]) -> Vec<u8> {
    let line_count = (hashes.len() * FILTER_BITS_PER_KEY).div_ceil(LINE_BITS);
    let mut bytes = vec![0; line_count * LINE_BYTES];
    for &hash in hashes {
        let (line, bits) = probes(hash, line_count);
        for bit in bits {
            bytes[line * LINE_BYTES + bit / 8] |= 1 << (bit % 8);
        }
    }
    bytes
}

/// A filter in memory.
#[derive(Clone, Debug)]
pub struct Filter {
    bytes: Bytes,
}

impl Filter {
    /// Takes checked bytes of a part.
    ///
    /// # Errors
    /// When the length is not a whole number of lines.
    pub fn decode(bytes: Bytes) -> Result<Filter, DecodeError> {
        match bytes.len() % LINE_BYTES {
            0 => Ok(Filter { bytes }),
            _ => Err(DecodeError::new(0, "filter has a broken length")),
        }
    }

    /// Whether a place with this hash may be in the set; false is certain.
    pub fn may_contain(&self, hash: u64) -> bool {
        let line_count = self.bytes.len() / LINE_BYTES;
        if line_count == 0 {
            return false;
        }
        let (line, mut bits) = probes(hash, line_count);
        let line = &self.bytes[line * LINE_BYTES..][..LINE_BYTES];
        bits.all(|bit| line[bit / 8] & 1 << (bit % 8) != 0)
    }

    /// Memory in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Position;

    #[test]
    fn members_pass_and_few_others_do() {
        let places = |from: u64| (from..from + 20_000).map(|n| hash((3, Position(n << 40))));
        let members: Vec<u64> = places(0).collect();
        let filter = Filter::decode(Bytes::from(build(&members))).unwrap();
        assert!(members.iter().all(|&hash| filter.may_contain(hash)));
        let wrong = places(20_000).filter(|&hash| filter.may_contain(hash)).count();
        assert!(wrong < 20_000 * 2 / 100, "{wrong} of 20000 pass wrongly");
        assert_eq!(filter.memory_bytes(), (20_000usize * 10).div_ceil(512) * 64);
    }

    #[test]
    fn an_empty_filter_holds_nothing() {
        let filter = Filter::decode(Bytes::from(build(&[]))).unwrap();
        assert!(!filter.may_contain(0) && !filter.may_contain(u64::MAX));
        assert!(Filter::decode(Bytes::from_static(b"abc")).is_err());
    }

    #[test]
    fn hashes_on_disk_do_not_change() {
        assert_eq!(hash((0, Position(0))), 5_197_578_548_964_807_871);
        assert_ne!(hash((0, Position(1))), hash((1, Position(0))));
    }
}
