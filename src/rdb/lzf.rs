//! LZF, the compression inside RDB strings.
//!
//! A stream of two kinds of elements. A control byte below 32 is followed by that many literal
//! bytes and one more. Otherwise its top three bits are a match's length less 2 (7: the next byte
//! is added), and its low five bits with the following byte are the distance back less 1.

use crate::error::DecodeError;

/// Most bytes that one byte of a stream can stand for: a match of 3 bytes yields 264.
pub const EXPANSION_MAX: usize = 88;
const LITERALS_MAX: usize = 32;
const MATCH_MIN: usize = 3;
const MATCH_MAX: usize = 264;
const DISTANCE_MAX: usize = 1 << 13;
const HASH_BITS: u32 = 13;

/// The `len` bytes that `stream` stands for.
///
/// # Errors
/// When it stands for more or fewer bytes, or reaches back before its beginning. No more than `len`
/// bytes are allocated, and none when `stream` is too short to yield them.
pub fn decompress(stream: &[u8], len: usize) -> Result<Vec<u8>, DecodeError> {
    if len > stream.len().saturating_mul(EXPANSION_MAX) {
        return Err(DecodeError::new(0, "compressed string is too short for its length"));
    }
    let mut out = Vec::with_capacity(len);
    let mut rest = stream;
    while let [control, tail @ ..] = rest {
        let at = (stream.len() - rest.len()) as u64;
        let room = len - out.len();
        rest = element(*control, tail, room, &mut out)
            .ok_or(DecodeError::new(at, "compressed string is malformed"))?;
    }
    match out.len() == len {
        true => Ok(out),
        false => Err(DecodeError::new(stream.len() as u64, "compressed string ends early")),
    }
}

/// Decodes one element of at most `room` bytes; what follows it.
fn element<'s>(control: u8, tail: &'s [u8], room: usize, out: &mut Vec<u8>) -> Option<&'s [u8]> {
    if usize::from(control) < LITERALS_MAX {
        let (literals, rest) = tail.split_at_checked(usize::from(control) + 1)?;
        if literals.len() > room {
            return None;
        }
        out.extend_from_slice(literals);
        return Some(rest);
    }
    let mut len = usize::from(control >> 5) + 2;
    let mut rest = tail;
    if len == 9 {
        let (more, tail) = rest.split_first()?;
        len += usize::from(*more);
        rest = tail;
    }
    let (low, rest) = rest.split_first()?;
    let back = (usize::from(control & 0x1f) << 8 | usize::from(*low)) + 1;
    let from = out.len().checked_sub(back)?;
    if len > room {
        return None;
    }
    if back >= len {
        out.extend_from_within(from..from + len);
    } else {
        // The match overlaps what it writes: a run that repeats itself.
        (from..from + len).for_each(|at| out.push(out[at]));
    }
    Some(rest)
}

/// `input` compressed, or none when that would not take fewer than `input.len() - 4` bytes: the
/// bound under which Redis stores a string compressed.
pub fn compress(input: &[u8]) -> Option<Vec<u8>> {
    let budget = input.len().checked_sub(4)?;
    let mut seen = vec![0u32; 1 << HASH_BITS];
    let mut out = Vec::with_capacity(budget);
    let (mut at, mut literals_from) = (0, 0);
    while at + MATCH_MIN <= input.len() {
        let cell = &mut seen[hash(&input[at..at + MATCH_MIN])];
        // Places are kept plus one, so that 0 is "none yet".
        let candidate = (*cell as usize).checked_sub(1);
        *cell = u32::try_from(at + 1).ok()?;
        let len = candidate.map_or(0, |from| match_len(input, from, at));
        if len < MATCH_MIN {
            at += 1;
            continue;
        }
        push_literals(&mut out, &input[literals_from..at]);
        push_match(&mut out, at - candidate? - 1, len);
        at += len;
        literals_from = at;
        if out.len() >= budget {
            return None;
        }
    }
    push_literals(&mut out, &input[literals_from..]);
    (out.len() < budget).then_some(out)
}

fn hash(three: &[u8]) -> usize {
    let word = u32::from_le_bytes([three[0], three[1], three[2], 0]);
    (word.wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS)) as usize
}

/// How many bytes at `at` repeat those at `from`; 0 when `from` is out of reach.
fn match_len(input: &[u8], from: usize, at: usize) -> usize {
    if at - from > DISTANCE_MAX {
        return 0;
    }
    let pairs = input[from..].iter().zip(&input[at..]).take(MATCH_MAX);
    pairs.take_while(|(a, b)| a == b).count()
}

fn push_literals(out: &mut Vec<u8>, literals: &[u8]) {
    for run in literals.chunks(LITERALS_MAX) {
        out.push(run.len() as u8 - 1);
        out.extend_from_slice(run);
    }
}

fn push_match(out: &mut Vec<u8>, distance: usize, len: usize) {
    let high = (distance >> 8) as u8;
    match len - 2 {
        short @ ..=6 => out.push((short as u8) << 5 | high),
        long => out.extend_from_slice(&[7 << 5 | high, (long - 7) as u8]),
    }
    out.push(distance as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn redis_compressed_runs_are_read() {
        // DUMP of 100 times "x" by redis-server 7.0.
        assert_eq!(decompress(b"\x01xx\xe0\x57\x00\x01xx", 100).unwrap(), [b'x'; 100]);
    }

    #[test]
    fn wrong_lengths_and_distances_are_refused() {
        let run = b"\x01xx\xe0\x57\x00\x01xx";
        assert!(decompress(run, 99).is_err());
        assert!(decompress(run, 101).is_err());
        assert!(decompress(b"\x00x\x20\x01", 4).is_err(), "reaches back too far");
        assert!(decompress(b"\x05ab", 6).is_err(), "literals are cut");
        assert!(decompress(b"\x00x\xe0", 10).is_err(), "match is cut");
        assert!(decompress(b"\x00x", usize::MAX).is_err());
        assert_eq!(decompress(b"", 0).unwrap(), b"");
    }

    #[test]
    fn the_longest_matches_are_within_the_bound_of_expansion() {
        let stream = [&b"\0x"[..], &b"\xe0\xff\0".repeat(1000)].concat();
        assert_eq!(decompress(&stream, 264_001).unwrap(), [b'x'; 264_001]);
    }

    #[test]
    fn short_and_random_inputs_stay_raw() {
        assert_eq!(compress(b""), None);
        assert_eq!(compress(b"aaaa"), None);
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(compress(&bytes), None);
    }

    #[test]
    fn distances_reach_as_far_as_the_format() {
        for gap in [DISTANCE_MAX - 8, DISTANCE_MAX - 7, DISTANCE_MAX] {
            let mut input = b"ABCDEFGH".to_vec();
            input.resize(gap, b'.');
            input.extend_from_slice(b"ABCDEFGH");
            let stream = compress(&input).unwrap();
            assert_eq!(decompress(&stream, input.len()).unwrap(), input);
        }
    }

    proptest! {
        #[test]
        fn what_is_compressed_comes_back(
            words in proptest::collection::vec((0u8..4, 1usize..400), 0..60)
        ) {
            let mut input = Vec::new();
            for (kind, len) in words {
                match kind {
                    0 => input.extend(std::iter::repeat_n(b'a', len)),
                    1 => input.extend((0..len).map(|i| (i * i % 251) as u8)),
                    2 => input.extend(b"the same words ".iter().cycle().take(len)),
                    _ => input.extend((0..len).map(|i| ((i * 7919) >> 3) as u8)),
                }
            }
            if let Some(stream) = compress(&input) {
                prop_assert!(stream.len() < input.len() - 4);
                prop_assert_eq!(decompress(&stream, input.len()).unwrap(), input);
            }
        }

        #[test]
        fn any_stream_is_read_or_refused_within_its_length(
            stream: Vec<u8>, len in 0usize..5000
        ) {
            if let Ok(out) = decompress(&stream, len) {
                prop_assert_eq!(out.len(), len);
            }
        }
    }
}
