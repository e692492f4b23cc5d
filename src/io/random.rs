//! A small seeded generator, for simulations, sampling and anything else that must replay.
//!
//! Not for secrets: salts and seeds that an adversary must not guess come from the system.

/// SplitMix64: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators"
/// (OOPSLA 2014). Equal seeds give equal sequences on every platform.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// A generator; every seed, zero too, is a good one.
    pub const fn new(seed: u64) -> Random {
        Random { state: seed }
    }

    /// The next 64 bits.
    pub const fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A uniform number in `0..bound`, by multiplication with rejection (Lemire, "Fast Random
    /// Integer Generation in an Interval", 2019).
    ///
    /// # Panics
    /// When `bound` is zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "no number is below zero");
        let excess = bound.wrapping_neg() % bound;
        loop {
            let wide = u128::from(self.next_u64()) * u128::from(bound);
            if wide as u64 >= excess {
                return (wide >> 64) as u64;
            }
        }
    }

    /// True in `numerator` of `denominator` cases.
    ///
    /// # Panics
    /// When `denominator` is zero.
    pub fn chance(&mut self, numerator: u64, denominator: u64) -> bool {
        self.below(denominator) < numerator
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }

    /// A generator whose sequence is unrelated to what this one gives from here on.
    pub const fn split(&mut self) -> Random {
        Random::new(self.next_u64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_is_that_of_the_reference_implementation() {
        let mut random = Random::new(1_234_567);
        let first: Vec<u64> = (0..3).map(|_| random.next_u64()).collect();
        let expected =
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!(first, expected);
    }

    #[test]
    fn below_covers_its_range_evenly() {
        let mut random = Random::new(7);
        let mut hits = [0u32; 6];
        for _ in 0..6000 {
            hits[random.below(6) as usize] += 1;
        }
        for count in hits {
            assert!((850..1150).contains(&count), "{hits:?}");
        }
        assert_eq!(random.below(1), 0);
        assert!(random.below(u64::MAX) < u64::MAX);
    }

    #[test]
    fn chance_of_none_and_all_is_certain() {
        let mut random = Random::new(0);
        assert!((0..100).all(|_| !random.chance(0, 3)));
        assert!((0..100).all(|_| random.chance(3, 3)));
    }

    #[test]
    fn fill_writes_every_byte_and_ends_within_a_word() {
        let mut bytes = [0u8; 13];
        Random::new(3).fill(&mut bytes);
        let mut again = Random::new(3);
        assert_eq!(bytes[..8], again.next_u64().to_le_bytes());
        assert_eq!(bytes[8..], again.next_u64().to_le_bytes()[..5]);
    }

    #[test]
    fn split_leaves_another_sequence() {
        let mut random = Random::new(9);
        let mut other = random.split();
        assert_ne!(random.next_u64(), other.next_u64());
    }
}
