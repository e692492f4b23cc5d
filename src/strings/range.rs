//! Parts of strings: GETRANGE, SUBSTR, SETRANGE, APPEND.

use crate::command::args::Args;
use crate::command::number::{integer, parse_integer};
use crate::command::row::{first_key, key_arg};
use crate::command::spec::key_flag::{ACCESS, INSERT, RO, RW, UPDATE};
use crate::command::spec::{Arg, ArgKind, Call, Command, Failure, Group, Spec, flag};
use crate::engine::unit::NewString;
use crate::limits::STRING_BYTES_MAX;

use super::value::{check_length, length_after_write, new_string, reply_range, string_of};

const VALUE: Arg = Arg::new("value", ArgKind::String);
const GETRANGE: Spec = Spec {
    name: "getrange",
    arity: 4,
    flags: flag::READONLY,
    keys: &[first_key(RO | ACCESS)],
    group: Group::String,
    since: "2.4.0",
    complexity: "O(N), N being the length of the answer.",
    summary: "Reads the bytes between two offsets of a string.",
    args: &[key_arg(), Arg::new("start", ArgKind::Integer), Arg::new("end", ArgKind::Integer)],
    ..Spec::EMPTY
};

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command { spec: GETRANGE, run: getrange },
    Command {
        spec: Spec {
            name: "substr",
            since: "1.0.0",
            summary: "Reads the bytes between two offsets of a string, under its older name.",
            deprecated: Some(("2.0.0", "`GETRANGE`")),
            ..GETRANGE
        },
        run: getrange,
    },
    Command {
        spec: Spec {
            name: "setrange",
            arity: 4,
            flags: flag::WRITE | flag::DENYOOM,
            keys: &[first_key(RW | UPDATE)],
            group: Group::String,
            since: "2.2.0",
            complexity: "O(M), M being the length of the value.",
            summary: "Overwrites a string from an offset on; zeros fill a gap.",
            args: &[key_arg(), Arg::new("offset", ArgKind::Integer), VALUE],
            length_after: Some(length_after_setrange),
            ..Spec::EMPTY
        },
        run: setrange,
    },
    Command {
        spec: Spec {
            name: "append",
            arity: 3,
            flags: flag::WRITE | flag::DENYOOM | flag::FAST,
            keys: &[first_key(RW | INSERT)],
            group: Group::String,
            since: "2.0.0",
            complexity: "O(M), M being the length of the value.",
            summary: "Adds bytes to the end of a string, or stores them under a new key.",
            args: &[key_arg(), VALUE],
            length_after: Some(length_after_append),
            ..Spec::EMPTY
        },
        run: append,
    },
];

/// Turns inclusive indexes, negative ones counted from the end, into `start..end` within `len`.
pub fn clamp_range(start: i64, end: i64, len: u64) -> Option<(u64, u64)> {
    let place = |index: i64| match u64::try_from(index) {
        Ok(index) => index,
        Err(_) => len.saturating_sub(index.unsigned_abs()),
    };
    let (start, end) = (place(start), place(end).min(len.checked_sub(1)?));
    (start <= end).then_some((start, end + 1))
}

/// Whether both indexes count from the end and stand the wrong way round: an empty range even where
/// clamping would make them meet at the first byte.
pub fn is_reversed(start: i64, end: i64) -> bool {
    start < 0 && end < 0 && start > end
}

fn getrange(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let start = integer(call.args.get(2))?;
    let end = integer(call.args.get(3))?;
    let key = call.unit.key(call.db, call.args.get(1));
    let Some(view) = call.unit.get(&key) else {
        call.reply.bulk(b"");
        return Ok(());
    };
    let value = string_of(&view)?;
    match clamp_range(start, end, value.len()) {
        Some((start_at, end_at)) if !is_reversed(start, end) => {
            reply_range(call.reply, value, start_at, end_at);
        }
        _ => call.reply.bulk(b""),
    }
    Ok(())
}

fn setrange(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let offset = u64::try_from(integer(call.args.get(2))?)
        .map_err(|_| Failure::text("ERR offset is out of range"))?;
    let added = call.args.get(3).len() as u64;
    let key = call.unit.key(call.db, call.args.get(1));
    let old_len = match call.unit.get_to_change(&key) {
        Some(view) => Some(string_of(&view)?.len()),
        None => None,
    };
    if added == 0 {
        call.reply.integer(old_len.unwrap_or(0) as i64);
        return Ok(());
    }
    let end = offset.saturating_add(added);
    check_length(call, end)?;
    if old_len.is_none() {
        call.unit.put(&key, NewString::Copied(b""), None);
    }
    call.unit.write_range(&key, offset, new_string(call.args, 3));
    call.reply.integer(end.max(old_len.unwrap_or(0)) as i64);
    Ok(())
}

fn length_after_setrange(args: &Args<'_>, before: u64, _frame_bytes: u64) -> u64 {
    let offset = parse_integer(args.get(2)).and_then(|offset| u64::try_from(offset).ok());
    let end = offset.map(|offset| offset.saturating_add(args.get(3).len() as u64));
    length_after_write(before, end)
}

fn append(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let added = call.args.get(2).len() as u64;
    let key = call.unit.key(call.db, call.args.get(1));
    let old_len = match call.unit.get_to_change(&key) {
        Some(view) => Some(string_of(&view)?.len()),
        None => None,
    };
    let len = old_len.unwrap_or(0) + added;
    match old_len {
        None => call.unit.put(&key, new_string(call.args, 2), None),
        Some(end) => {
            check_length(call, len)?;
            call.unit.write_range(&key, end, new_string(call.args, 2));
        }
    }
    call.reply.integer(len as i64);
    Ok(())
}

fn length_after_append(args: &Args<'_>, before: u64, _frame_bytes: u64) -> u64 {
    before.max((before + args.get(2).len() as u64).min(STRING_BYTES_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::testing::{deadline, run, unit, value_bytes_after};
    use proptest::prelude::*;

    #[test]
    fn ranges_are_inclusive_and_clamped() {
        let unit = &mut unit();
        run(unit, &["SET", "k", "0123456789"]);
        for (start, end, want) in [
            ("0", "-1", "$10 0123456789"),
            ("2", "4", "$3 234"),
            ("-3", "-2", "$2 78"),
            ("5", "100", "$5 56789"),
            ("-100", "1", "$2 01"),
            ("-200", "-100", "$1 0"),
            ("-100", "-200", "$0"),
            ("4", "3", "$0"),
            ("10", "11", "$0"),
            ("-9223372036854775808", "9223372036854775807", "$10 0123456789"),
        ] {
            assert_eq!(run(unit, &["GETRANGE", "k", start, end]), want, "{start} {end}");
            assert_eq!(run(unit, &["SUBSTR", "k", start, end]), want);
        }
        assert_eq!(run(unit, &["GETRANGE", "none", "0", "-1"]), "$0");
        let error = "-ERR value is not an integer or out of range";
        assert_eq!(run(unit, &["GETRANGE", "none", "0", "x"]), error);
    }

    #[test]
    fn setrange_fills_gaps_and_keeps_the_deadline() {
        let unit = &mut unit();
        assert_eq!(run(unit, &["SETRANGE", "none", "5", ""]), ":0");
        assert_eq!(run(unit, &["GET", "none"]), "$-1");
        assert_eq!(run(unit, &["SETRANGE", "new", "2", "ab"]), ":4");
        assert_eq!(run(unit, &["GET", "new"]), "$4 \0\0ab");
        run(unit, &["SET", "k", "Hello World", "PXAT", "1700000000000"]);
        assert_eq!(run(unit, &["SETRANGE", "k", "6", "Redis"]), ":11");
        assert_eq!(run(unit, &["SETRANGE", "k", "0", "J"]), ":11");
        assert_eq!(run(unit, &["SETRANGE", "k", "12", "!"]), ":13");
        assert_eq!(run(unit, &["SETRANGE", "k", "0", ""]), ":13");
        assert_eq!(run(unit, &["GET", "k"]), "$13 Jello Redis\0!");
        assert_eq!(deadline(unit, "k"), Some(1_700_000_000_000));
    }

    #[test]
    fn strings_do_not_grow_past_the_limit() {
        let unit = &mut unit();
        let too_large = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)";
        for offset in ["536870912", "9223372036854775807"] {
            assert_eq!(run(unit, &["SETRANGE", "k", offset, "x"]), too_large);
            assert_eq!(run(unit, &["SETRANGE", "k", offset, ""]), ":0");
        }
        let range = "-ERR offset is out of range";
        assert_eq!(run(unit, &["SETRANGE", "k", "-1", ""]), range);
        assert_eq!(run(unit, &["GET", "k"]), "$-1");
        assert_eq!(run(unit, &["SETRANGE", "k", "536870911", "x"]), ":536870912");
        assert_eq!(run(unit, &["APPEND", "k", "x"]), too_large);
        assert_eq!(run(unit, &["STRLEN", "k"]), ":536870912");
    }

    #[test]
    fn append_creates_and_extends() {
        let unit = &mut unit();
        assert_eq!(run(unit, &["APPEND", "k", "ab"]), ":2");
        assert_eq!(run(unit, &["APPEND", "k", "cd"]), ":4");
        assert_eq!(run(unit, &["APPEND", "k", ""]), ":4");
        assert_eq!(run(unit, &["GET", "k"]), "$4 abcd");
        assert_eq!(run(unit, &["APPEND", "empty", ""]), ":0");
        assert_eq!(run(unit, &["GET", "empty"]), "$0");
    }

    #[test]
    fn a_write_at_an_offset_reaches_as_far_as_it_says() {
        let cases: [(&[&str], u64); 6] = [
            (&["SETRANGE", "a", "1000", "abc"], 1003),
            (&["setrange", "a", "2", "abc"], 7),
            (&["SETRANGE", "a", "536870911", "x"], 512 << 20),
            (&["SETRANGE", "a", "536870912", "x"], 7),
            (&["SETRANGE", "a", "9223372036854775807", "x"], 7),
            (&["SETRANGE", "a", "-1", "x"], 7),
        ];
        for (args, expected) in cases {
            assert_eq!(value_bytes_after(args, 7, 300), expected, "{args:?}");
        }
    }

    #[test]
    fn appending_ends_at_the_limit() {
        let after = |before| value_bytes_after(&["APPEND", "a", "abc"], before, 9);
        assert_eq!(after(7), 10);
        assert_eq!(after((512 << 20) - 1), 512 << 20);
        assert_eq!(after(600 << 20), 600 << 20);
    }

    proptest! {
        #[test]
        fn clamped_ranges_equal_a_signed_model(
            start: i64,
            end: i64,
            near in -9i64..9,
            len in 0u64..6,
        ) {
            for (start, end) in [(start, end), (near, end % 9), (near, near), (start % 9, near)] {
                let whole = i128::from(len);
                let place = |i: i64| if i < 0 { whole + i128::from(i) } else { i128::from(i) };
                let (from, to) = (place(start).max(0), place(end).max(0).min(whole - 1));
                let model = (from <= to).then(|| (from as u64, to as u64 + 1));
                prop_assert_eq!(clamp_range(start, end, len), model);
            }
        }
    }
}
