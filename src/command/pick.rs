//! Which items a command picks at random: HRANDFIELD, SRANDMEMBER, ZRANDMEMBER, SPOP.

use std::collections::HashSet;

use crate::io::random::Random;

use super::spec::Failure;

/// Picks places, uniformly.
pub struct Pick;

impl Pick {
    /// Refuses a count that Redis refuses.
    pub fn check(count: i64, with_values: bool) -> Result<(), Failure> {
        let most = if with_values { i64::MAX / 2 } else { i64::MAX };
        if !(-most..=most).contains(&count) {
            return Err(Failure::text("ERR value is out of range"));
        }
        Ok(())
    }

    /// One place of `len`, which is not 0.
    pub fn one(len: u64, random: &mut Random) -> u64 {
        random.below(len)
    }

    /// Places of `len`: up to `count` different ones in ascending order, or, of a negative count,
    /// that many, which may repeat. A repeated answer is cut at a bound of its own by the caller.
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
