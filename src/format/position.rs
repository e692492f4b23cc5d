//! Where a key stands: its cluster slot, and its keyed hash below that.

use crc::{CRC_16_XMODEM, Crc, Table};
use siphasher::sip::SipHasher13;

use crate::types::{HashSeed, Position, SLOT_COUNT};

const CRC16: Crc<u16, Table<16>> = Crc::<u16, Table<16>>::new(&CRC_16_XMODEM);

/// The cluster slot of a key: CRC-16/XMODEM modulo 16384, over the part between the first `{` and
/// the next `}` when that part is not empty, else over the whole key (Redis Cluster specification).
pub fn slot_of(key: &[u8]) -> u16 {
    CRC16.checksum(hash_tag(key)) % SLOT_COUNT as u16
}

fn hash_tag(key: &[u8]) -> &[u8] {
    // Most keys have none. Without branches this takes a few vector instructions.
    let may_have = key.iter().fold(false, |any, byte| any | (*byte == b'{'));
    let find = || key.iter().position(|&byte| byte == b'{');
    let Some(open) = may_have.then(find).flatten() else {
        return key;
    };
    let rest = &key[open + 1..];
    match rest.iter().position(|&byte| byte == b'}') {
        Some(len) if len > 0 => &rest[..len],
        _ => key,
    }
}

/// Computes positions under one database's seed.
#[derive(Clone, Copy, Debug)]
pub struct Hasher(SipHasher13);

impl Hasher {
    /// A hasher for the seed that the MANIFEST keeps.
    pub fn new(seed: HashSeed) -> Hasher {
        Hasher(SipHasher13::new_with_key(&seed.0))
    }

    /// The position of a key: its slot above the low 50 bits of SipHash-1-3 of the whole key.
    pub fn position(&self, key: &[u8]) -> Position {
        Position::new(slot_of(key), self.0.hash(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis_cluster() {
        assert_eq!(slot_of(b"123456789"), 0x31c3);
        assert_eq!(slot_of(b"foo"), 12182);
        assert_eq!(slot_of(b""), 0);
    }

    #[test]
    fn only_a_closed_and_filled_tag_counts() {
        assert_eq!(slot_of(b"{user1000}.following"), slot_of(b"user1000"));
        assert_eq!(slot_of(b"a{user1000}{b}"), slot_of(b"user1000"));
        assert_eq!(slot_of(b"foo{{bar}}zap"), slot_of(b"{bar"));
        for whole in [&b"foo{}{bar}"[..], b"foo{bar", b"foo}bar{"] {
            assert_eq!(slot_of(whole), CRC16.checksum(whole) % 16384);
        }
    }

    #[test]
    fn the_hash_is_keyed_stable_and_covers_the_whole_key() {
        let seed: [u8; 16] = std::array::from_fn(|index| index as u8);
        let hasher = Hasher::new(HashSeed(seed));
        let position = hasher.position(b"foo");
        assert_eq!(position.slot(), 12182);
        // Parts and SCAN cursors outlive versions: this number must never change.
        assert_eq!(position.hash(), 148_289_694_631_896);
        assert_ne!(Hasher::new(HashSeed([9; 16])).position(b"foo"), position);
        let (a, b) = (hasher.position(b"{t}a"), hasher.position(b"{t}b"));
        assert_eq!(a.slot(), b.slot());
        assert_ne!(a.hash(), b.hash());
    }
}
