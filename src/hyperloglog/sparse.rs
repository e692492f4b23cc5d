//! The sparse form: runs of registers of one value, in Redis's bytes.
//!
//! ```text
//! 00llllll           l + 1 registers of 0
//! 01llllll llllllll  l + 1 registers of 0
//! 1vvvvvll           l + 1 registers of v + 1
//! ```

use super::sketch::{Corrupted, HEADER_BYTES, REGISTERS};

/// Largest value of a register here.
pub const VALUE_MAX: u8 = 32;
/// Most registers of a run with a value.
const VALUE_RUN_MAX: usize = 4;
/// Most registers of a short run of zeros.
const ZEROS_MAX: usize = 64;
/// Runs that are looked at for neighbours to join.
const JOINED_MAX: usize = 5;

/// Registers of one value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// The value.
    pub value: u8,
    /// How many registers.
    pub len: usize,
    /// Bytes of its code.
    pub code_len: usize,
}

/// The run whose code begins at `at`; none at the end. A code that is cut off reads as followed by
/// a zero byte, as in Redis.
pub fn run_at(bytes: &[u8], at: usize) -> Option<Run> {
    let code = *bytes.get(at)?;
    let low = usize::from(code & 0x3f);
    Some(match code >> 6 {
        0 => Run { value: 0, len: low + 1, code_len: 1 },
        1 => {
            let next = usize::from(bytes.get(at + 1).copied().unwrap_or(0));
            Run { value: 0, len: (low << 8 | next) + 1, code_len: 2 }
        }
        _ => Run { value: (code >> 2 & 0x1f) + 1, len: usize::from(code & 3) + 1, code_len: 1 },
    })
}

/// All runs of a sketch.
pub fn runs(bytes: &[u8]) -> impl Iterator<Item = Run> {
    let mut at = HEADER_BYTES;
    std::iter::from_fn(move || {
        let run = run_at(bytes, at)?;
        at += run.code_len;
        Some(run)
    })
}

fn push_zeros(len: usize, out: &mut Vec<u8>) {
    if len > ZEROS_MAX {
        out.extend_from_slice(&[((len - 1) >> 8) as u8 | 0x40, (len - 1) as u8]);
    } else if len > 0 {
        out.push(len as u8 - 1);
    }
}

fn value_code(value: u8, len: usize) -> u8 {
    (value - 1) << 2 | (len as u8 - 1) | 0x80
}

fn push_run(value: u8, len: usize, out: &mut Vec<u8>) {
    match (value, len) {
        (0, len) => push_zeros(len, out),
        (_, 0) => {}
        (value, len) => out.push(value_code(value, len)),
    }
}

/// The bytes of an empty sketch behind its header.
pub fn empty(out: &mut Vec<u8>) {
    push_zeros(REGISTERS, out);
}

/// What came of setting a register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Set {
    /// It had at least that value.
    Unchanged,
    /// It has that value now.
    Changed,
    /// The sparse form cannot hold that.
    TooLarge,
}

/// Raises the value of a register in a sketch that may grow to `bytes_max` bytes.
pub fn raise(
    bytes: &mut Vec<u8>,
    index: usize,
    value: u8,
    bytes_max: usize,
) -> Result<Set, Corrupted> {
    if value > VALUE_MAX {
        return Ok(Set::TooLarge);
    }
    let (mut at, mut first, mut before) = (HEADER_BYTES, 0, None);
    let run = loop {
        let run = run_at(bytes, at).ok_or(Corrupted)?;
        if index < first + run.len {
            break run;
        }
        before = Some(at);
        at += run.code_len;
        first += run.len;
    };
    if run.value >= value {
        return Ok(Set::Unchanged);
    }
    let mut codes = Vec::with_capacity(5);
    push_run(run.value, index - first, &mut codes);
    codes.push(value_code(value, 1));
    push_run(run.value, first + run.len - 1 - index, &mut codes);
    let end = bytes.len().min(at + run.code_len);
    let grown = bytes.len() - (end - at) + codes.len();
    if grown > bytes.len() && grown > bytes_max {
        return Ok(Set::TooLarge);
    }
    bytes.splice(at..end, codes);
    join(bytes, before.unwrap_or(HEADER_BYTES));
    Ok(Set::Changed)
}

/// Joins runs of one value from `at` on, as far as Redis does.
fn join(bytes: &mut Vec<u8>, mut at: usize) {
    for _ in 0..JOINED_MAX {
        let Some(run) = run_at(bytes, at) else {
            return;
        };
        let next = run_at(bytes, at + run.code_len).filter(|next| {
            run.value > 0 && next.value == run.value && run.len + next.len <= VALUE_RUN_MAX
        });
        match next {
            Some(next) => {
                bytes[at + 1] = value_code(run.value, run.len + next.len);
                bytes.remove(at);
            }
            None => at += run.code_len,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn new() -> Vec<u8> {
        let mut bytes = vec![0; HEADER_BYTES];
        empty(&mut bytes);
        bytes
    }

    fn values(bytes: &[u8]) -> Vec<u8> {
        runs(bytes).flat_map(|run| std::iter::repeat_n(run.value, run.len)).collect()
    }

    #[test]
    fn runs_are_split_and_joined() {
        let mut bytes = new();
        let mut set = |index, value| {
            assert_eq!(raise(&mut bytes, index, value, 3000).ok(), Some(Set::Changed));
            runs(&bytes).map(|run| (run.value, run.len)).collect::<Vec<_>>()
        };
        assert_eq!(set(0, 1), [(1, 1), (0, 16383)]);
        assert_eq!(set(2, 1), [(1, 1), (0, 1), (1, 1), (0, 16381)]);
        assert_eq!(set(1, 1), [(1, 3), (0, 16381)]);
        assert_eq!(set(1, 2), [(1, 1), (2, 1), (1, 1), (0, 16381)]);
        assert_eq!(set(16383, 32).last(), Some(&(32, 1)));
    }

    #[test]
    fn what_does_not_fit_is_left_as_it_was() {
        let mut bytes = new();
        let before = bytes.clone();
        assert_eq!(raise(&mut bytes, 5, 33, 3000).ok(), Some(Set::TooLarge));
        assert_eq!(raise(&mut bytes, 5, 1, before.len() + 1).ok(), Some(Set::TooLarge));
        assert_eq!(bytes, before);
        assert!(raise(&mut vec![0; HEADER_BYTES + 3], 200, 1, 3000).is_err());
        assert!(raise(&mut vec![0; HEADER_BYTES], 0, 1, 3000).is_err());
    }

    proptest! {
        #[test]
        fn registers_are_those_of_an_array(
            steps in prop::collection::vec((0..300usize, 1..=VALUE_MAX), 0..300),
            spread in 1..54usize,
        ) {
            let (mut bytes, mut model) = (new(), vec![0; REGISTERS]);
            for (index, value) in steps {
                let index = index * spread;
                let set = raise(&mut bytes, index, value, 3000).ok();
                let changed = value > model[index];
                prop_assert_eq!(set, Some(if changed { Set::Changed } else { Set::Unchanged }));
                model[index] = value.max(model[index]);
            }
            prop_assert_eq!(values(&bytes), model);
        }

        #[test]
        fn any_bytes_are_judged_without_a_panic(
            rest in prop::collection::vec(any::<u8>(), 0..40), index in 0..REGISTERS,
            value in 1..64u8,
        ) {
            let mut bytes = [vec![0; HEADER_BYTES], rest].concat();
            let _ = raise(&mut bytes, index, value, 60);
        }
    }
}
