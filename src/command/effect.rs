//! What a call can lead to, judged by its arguments before it runs: the log's room for its frame is
//! reserved before anything changes (D6).

use crate::limits::STRING_BYTES_MAX;
use crate::rdb::payload;

use super::args::Args;
use super::bitfield;
use super::bitmap::bit_offset;
use super::long_double;
use super::number::parse_integer;

/// Most bytes that a database takes in the record of a flush: two numbers of 32 bits.
const FLUSHED_DATABASE_BYTES: u64 = 10;

/// Bytes that the frame of a call may have beyond those of its request, for rows with
/// [`super::spec::flag::EXPANDS`] on a server with so many databases.
pub fn extra_bytes(args: &Args<'_>, databases: u32) -> u64 {
    if args.is(0, "RESTORE") && args.len() > 3 {
        return payload::string_bytes(args.get(3));
    }
    if args.is(0, "INCRBYFLOAT") {
        return long_double::TEXT_BYTES_MAX as u64;
    }
    u64::from(databases) * FLUSHED_DATABASE_BYTES
}

/// A bound of the length of a value after a call that does not copy other values, when it had at
/// most `before` bytes and the frame of the call has at most `frame_bytes`.
///
/// Only a write at an offset makes a value longer than what is logged.
pub fn length_after(args: &Args<'_>, before: u64, frame_bytes: u64) -> u64 {
    let end = match args.len() {
        3 if args.is(0, "APPEND") => {
            return before.max((before + args.get(2).len() as u64).min(STRING_BYTES_MAX));
        }
        4 if args.is(0, "SETRANGE") => {
            let offset = parse_integer(args.get(2)).and_then(|offset| u64::try_from(offset).ok());
            offset.map(|offset| offset.saturating_add(args.get(3).len() as u64))
        }
        4 if args.is(0, "SETBIT") => bit_offset(args.get(2)).ok().map(|offset| (offset >> 3) + 1),
        _ if args.is(0, "BITFIELD") => bitfield::end_of(args),
        _ => Some(frame_bytes),
    };
    // What would end beyond the limit is refused by the command.
    before.max(end.filter(|&end| end <= STRING_BYTES_MAX.max(frame_bytes)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::super::testing::with_args;
    use super::{extra_bytes, length_after};

    #[test]
    fn writes_at_an_offset_reach_as_far_as_they_say() {
        let cases: [(&[&str], u64); 13] = [
            (&["SETRANGE", "a", "1000", "abc"], 1003),
            (&["setrange", "a", "2", "abc"], 7),
            (&["SETRANGE", "a", "536870911", "x"], 512 << 20),
            (&["SETRANGE", "a", "536870912", "x"], 7),
            (&["SETRANGE", "a", "9223372036854775807", "x"], 7),
            (&["SETRANGE", "a", "-1", "x"], 7),
            (&["SETBIT", "a", "4294967295", "1"], 512 << 20),
            (&["SETBIT", "a", "4294967296", "1"], 7),
            (&["BITFIELD", "a", "SET", "u8", "#99", "1", "GET", "u8", "0"], 100),
            (&["BITFIELD", "a", "INCRBY", "i64", "7992", "-1"], 1007),
            (&["BITFIELD", "a", "SET", "u99", "9", "1"], 7),
            (&["APPEND", "a", "abc"], 10),
            (&["SET", "a", "abc"], 300),
        ];
        for (args, expected) in cases {
            assert_eq!(with_args(args, |args| length_after(args, 7, 300)), expected, "{args:?}");
        }
    }

    #[test]
    fn appending_ends_at_the_limit() {
        let after = |before| with_args(&["APPEND", "a", "abc"], |a| length_after(a, before, 9));
        assert_eq!(after((512 << 20) - 1), 512 << 20);
        assert_eq!(after(600 << 20), 600 << 20);
    }

    #[test]
    fn a_float_may_have_thousands_of_digits() {
        let extra = with_args(&["INCRBYFLOAT", "a", "1e4932"], |args| extra_bytes(args, 16));
        assert!(extra >= 4933, "{extra}");
        assert_eq!(with_args(&["FLUSHALL"], |args| extra_bytes(args, 65_536)), 655_360);
    }
}
