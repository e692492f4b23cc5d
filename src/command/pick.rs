//! Which items a command picks at random: HRANDFIELD, SRANDMEMBER, ZRANDMEMBER, SPOP.

use std::collections::HashSet;

use crate::io::random::Random;

use super::spec::Failure;

/// Most places that are picked with repetition: what a client asks for beyond its collection's size
/// costs memory that only its number bounds.
const REPEATED_MAX: i64 = 1 << 22;

/// Picks places, uniformly.
pub struct Pick;

impl Pick {
    /// Refuses a count that Redis refuses, or that it would run out of memory for.
    pub fn check(count: i64, with_values: bool) -> Result<(), Failure> {
        if count == i64::MIN {
            return Err(Failure::text(
                "ERR value is out of range, value must between -9223372036854775807 and \
                 9223372036854775807",
            ));
        }
        let most = if with_values { i64::MAX / 2 } else { i64::MAX };
        if !(-REPEATED_MAX..=most).contains(&count) {
            return Err(Failure::text("ERR value is out of range"));
        }
        Ok(())
    }

    /// One place of `len`, which is not 0.
    pub fn one(len: u64, random: &mut Random) -> u64 {
        random.below(len)
    }

    /// Places of `len`: up to `count` different ones in ascending order, or, of a negative count,
    /// that many, which may repeat.
    pub fn many(count: i64, len: u64, random: &mut Random) -> Vec<u64> {
        if len == 0 {
            return Vec::new();
        }
        let wanted = count.unsigned_abs();
        if count < 0 {
            return (0..wanted).map(|_| random.below(len)).collect();
        }
        if wanted >= len {
            return (0..len).collect();
        }
        // Few are drawn; of many, those that are left out are drawn.
        let draws = wanted.min(len - wanted);
        let mut drawn = HashSet::with_capacity(draws as usize);
        while (drawn.len() as u64) < draws {
            drawn.insert(random.below(len));
        }
        let takes_drawn = draws == wanted;
        let mut places: Vec<u64> = match takes_drawn {
            true => drawn.into_iter().collect(),
            false => (0..len).filter(|place| !drawn.contains(place)).collect(),
        };
        places.sort_unstable();
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_bounded_by_what_memory_holds() {
        assert_eq!(Pick::check(i64::MAX, false), Ok(()));
        assert_eq!(Pick::check(-REPEATED_MAX, true), Ok(()));
        let refused = Err(Failure::text("ERR value is out of range"));
        assert_eq!(Pick::check(-REPEATED_MAX - 1, false), refused);
        assert_eq!(Pick::check(i64::MAX, true), refused);
        assert!(matches!(Pick::check(i64::MIN, true), Err(Failure::Text(text)) if text.len() > 40));
    }

    #[test]
    fn as_many_places_are_picked_as_there_are() {
        let mut random = Random::new(1);
        for count in [1, 5, 9, 10, 11, i64::MAX] {
            let places = Pick::many(count, 10, &mut random);
            assert_eq!(places.len(), 10.min(count as usize));
            assert!(places.is_sorted_by(|a, b| a < b) && places.iter().all(|place| *place < 10));
        }
        let places = Pick::many(-100, 10, &mut random);
        assert!(places.len() == 100 && places.iter().all(|place| *place < 10));
        assert_eq!(Pick::many(-5, 0, &mut random), []);
    }
}
