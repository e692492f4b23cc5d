//! Scores of sorted sets: their order, and the payload that holds one.
//!
//! ```text
//! score = zigzag varint of an integer in i32's range (1 to 5 bytes), but not -0.0
//!       | f64, 8 bytes little-endian, never NaN
//! ```

use std::cmp::Ordering;
use std::ops::Deref;

/// Longest encoded score, in bytes. This length tells a float from an integer.
pub const SCORE_BYTES_MAX: usize = 8;

/// An encoded score.
#[derive(Clone, Copy, Debug)]
pub struct ScorePayload {
    bytes: [u8; SCORE_BYTES_MAX],
    len: u8,
}

impl Deref for ScorePayload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// Encodes a score, which is not NaN.
pub fn encode(score: f64) -> ScorePayload {
    let integer = score as i32;
    if f64::from(integer).to_bits() != score.to_bits() {
        return ScorePayload { bytes: score.to_le_bytes(), len: SCORE_BYTES_MAX as u8 };
    }
    let mut rest = (integer << 1 ^ integer >> 31) as u32;
    let mut bytes = [0; SCORE_BYTES_MAX];
    let mut len = 0;
    while rest >= 0x80 {
        bytes[len] = rest as u8 | 0x80;
        rest >>= 7;
        len += 1;
    }
    bytes[len] = rest as u8;
    ScorePayload { bytes, len: len as u8 + 1 }
}

/// The score of a payload; None when it is not one.
#[inline]
pub fn decode(payload: &[u8]) -> Option<f64> {
    if let Ok(bytes) = <[u8; SCORE_BYTES_MAX]>::try_from(payload) {
        let score = f64::from_le_bytes(bytes);
        return (!score.is_nan()).then_some(score);
    }
    let (&last, front) = payload.split_last()?;
    let ends = last < 0x80 && (last != 0 || front.is_empty());
    if front.len() > 4 || !ends || front.iter().any(|&byte| byte < 0x80) {
        return None;
    }
    let groups = payload.iter().rev();
    let word = groups.fold(0u64, |word, &byte| word << 7 | u64::from(byte & 0x7f));
    let word = u32::try_from(word).ok()?;
    Some(f64::from((word >> 1) as i32 ^ -((word & 1) as i32)))
}

/// A member of a sorted set with its score.
pub type Scored<'a> = (f64, &'a [u8]);

/// The order of a sorted set: by score, then by the bytes of the member. -0.0 and 0.0 are one
/// score, NaN is none.
#[inline]
pub fn order(a: Scored<'_>, b: Scored<'_>) -> Ordering {
    if a.0 == b.0 {
        return a.1.cmp(b.1);
    }
    // Only the rare tie is a branch of a binary search.
    if a.0 < b.0 { Ordering::Less } else { Ordering::Greater }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn back(score: f64) -> Option<u64> {
        decode(&encode(score)).map(f64::to_bits)
    }

    proptest! {
        #[test]
        fn scores_come_back_to_the_bit(bits in any::<u64>(), integer in any::<i32>()) {
            let score = f64::from_bits(bits);
            prop_assert_eq!(back(score), (!score.is_nan()).then_some(bits));
            let score = f64::from(integer);
            prop_assert_eq!(back(score), Some(score.to_bits()));
            prop_assert!(encode(score).len() <= 5);
        }

        #[test]
        fn what_decodes_has_one_form_below_eight_bytes(
            bytes in prop::collection::vec(any::<u8>(), 0..10),
        ) {
            if let Some(score) = decode(&bytes) {
                prop_assert!(!score.is_nan());
                prop_assert!(bytes.len() == 8 || encode(score)[..] == bytes[..]);
            }
        }
    }

    #[test]
    fn small_integers_take_a_byte_and_odd_scores_eight() {
        let len = |score: f64| encode(score).len();
        assert_eq!([0.0, 1.0, -1.0, 63.0, -64.0].map(len), [1; 5]);
        assert_eq!([64.0, -65.0].map(len), [2; 2]);
        assert_eq!([2147483647.0, -2147483648.0].map(len), [5; 2]);
        assert_eq!([-0.0, 0.5, 2147483648.0, f64::INFINITY, 1e300].map(len), [8; 5]);
        assert_eq!(back(-0.0), Some((-0.0f64).to_bits()));
    }

    #[test]
    fn zeros_are_equal_and_infinities_are_the_ends() {
        assert_eq!(order((-0.0, b"a"), (0.0, b"a")), Ordering::Equal);
        assert_eq!(order((0.0, b"a"), (-0.0, b"b")), Ordering::Less);
        assert_eq!(order((f64::NEG_INFINITY, b"b"), (f64::MIN, b"a")), Ordering::Less);
        assert_eq!(order((f64::INFINITY, b"a"), (f64::MAX, b"b")), Ordering::Greater);
    }

    #[test]
    fn payloads_in_other_forms_are_refused() {
        assert_eq!(decode(&f64::NAN.to_le_bytes()), None);
        assert_eq!(decode(&[]), None);
        assert_eq!(decode(&[0x80, 0]), None, "longer than needed");
        assert_eq!(decode(&[1, 1]), None, "two varints");
        assert_eq!(decode(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Some(-2147483648.0));
        assert_eq!(decode(&[0xff, 0xff, 0xff, 0xff, 0x1f]), None, "beyond 32 bits");
        assert_eq!(decode(&[0xff, 0xff, 0xff, 0xff, 0xff, 1]), None, "six bytes");
    }
}
