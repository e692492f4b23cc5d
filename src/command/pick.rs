//! Which items a command picks at random: HRANDFIELD, SRANDMEMBER, ZRANDMEMBER, SPOP.

use std::collections::HashSet;

use crate::io::random::Random;

use super::number::integer;
use super::spec::Failure;

/// Most items that are told to a client that wants repetitions.
const REPEATED_MAX: u64 = 1 << 24;
/// Most bytes of such items.
const REPEATED_BYTES_MAX: usize = 1 << 30;

/// Picks places, uniformly.
pub struct Pick;

impl Pick {
    /// A count as an argument gives it; negative, items may repeat.
    pub fn count(text: &[u8]) -> Result<i64, Failure> {
        match integer(text)? {
            i64::MIN => Err(Failure::text(
                "ERR value is out of range, value must between -9223372036854775807 and \
                 9223372036854775807",
            )),
            count => Ok(count),
        }
    }

    /// Refuses a count that Redis refuses.
    pub fn check(count: i64, with_values: bool) -> Result<(), Failure> {
        let most = if with_values { i64::MAX / 2 } else { i64::MAX };
        if !(-most..=most).contains(&count) {
            return Err(out_of_range());
        }
        Ok(())
    }

    /// How many items of `len` are told to a client that asks for `count`. So many that the reply
    /// would fill memory are refused; Redis tries.
    pub fn told(count: i64, len: u64) -> Result<u64, Failure> {
        let wanted = count.unsigned_abs();
        match count < 0 {
            _ if len == 0 => Ok(0),
            false => Ok(wanted.min(len)),
            true if wanted <= REPEATED_MAX => Ok(wanted),
            true => Err(out_of_range()),
        }
    }

    /// Calls `each` with [`Pick::told`] places of `len`; it tells how many bytes it has made of a
    /// place. Places of a positive count differ and ascend.
    pub fn each(
        count: i64,
        len: u64,
        random: &mut Random,
        mut each: impl FnMut(u64) -> usize,
    ) -> Result<(), Failure> {
        if count >= 0 {
            Pick::many(count, len, random).into_iter().for_each(|place| {
                each(place);
            });
            return Ok(());
        }
        let mut bytes = 0;
        for _ in 0..Pick::told(count, len)? {
            bytes += each(random.below(len));
            if bytes > REPEATED_BYTES_MAX {
                return Err(out_of_range());
            }
        }
        Ok(())
    }

    /// One place of `len`, which is not 0.
    pub fn one(len: u64, random: &mut Random) -> u64 {
        random.below(len)
    }

    /// Places of `len`: up to `count` different ones in ascending order. None of a negative count;
    /// [`Pick::each`] is for those.
    pub fn many(count: i64, len: u64, random: &mut Random) -> Vec<u64> {
        let wanted = u64::try_from(count).unwrap_or(0);
        if wanted >= len {
            return (0..len).collect();
        }
        if wanted == 1 {
            return vec![Pick::one(len, random)];
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

fn out_of_range() -> Failure {
    Failure::text("ERR value is out of range")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(count: i64, len: u64) -> Vec<u64> {
        let mut found = Vec::new();
        let told = Pick::told(count, len).unwrap();
        Pick::each(count, len, &mut Random::new(7), |place| {
            found.push(place);
            1
        })
        .unwrap();
        assert_eq!(told, found.len() as u64);
        found
    }

    #[test]
    fn places_of_a_positive_count_ascend() {
        for (count, len) in [(0, 5), (3, 5), (5, 5), (9, 5), (3, 1000), (990, 1000), (4, 0)] {
            let found = places(count, len);
            assert_eq!(found.len() as u64, (count as u64).min(len));
            assert!(found.is_sorted_by(|a, b| a < b) && found.iter().all(|place| *place < len));
        }
    }

    #[test]
    fn places_of_a_negative_count_are_uniform() {
        assert_eq!(places(-7, 0), [0; 0]);
        let found = places(-10_000, 10);
        for place in 0..10 {
            let count = found.iter().filter(|found| **found == place).count();
            assert!((900..1100).contains(&count), "{place}: {count}");
        }
    }

    #[test]
    fn a_reply_that_would_fill_memory_is_refused() {
        assert!(Pick::told(-(1 << 24), 1).is_ok() && Pick::told(-(1 << 24) - 1, 1).is_err());
        assert!(Pick::told(i64::MAX, 1).is_ok() && Pick::told(i64::MIN, 0).is_ok());
        let each = |bytes| Pick::each(-4, 1, &mut Random::new(7), |_| bytes);
        assert!(each(1 << 28).is_ok() && each((1 << 28) + 1).is_err());
    }
}
