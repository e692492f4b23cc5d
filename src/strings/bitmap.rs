//! Single bits of strings: SETBIT, GETBIT, BITCOUNT, BITPOS.

use crate::command::args::Args;
use crate::command::number::{integer, parse_integer};
use crate::command::row::{block, first_key, key_arg, one_of, word};
use crate::command::spec::key_flag::{ACCESS, RO, RW, UPDATE};
use crate::command::spec::{Arg, ArgKind, Call, Command, Failure, Group, Spec, flag};
use crate::engine::unit::NewString;
use crate::limits::STRING_BYTES_MAX;
use crate::value::string::StringRef;

use super::range::{clamp_range, is_reversed};
use super::value::{byte_at, length_after_write, string_of};

const OFFSET: Arg = Arg::new("offset", ArgKind::Integer);
const START: Arg = Arg::new("start", ArgKind::Integer);
const END: Arg = Arg::new("end", ArgKind::Integer);
const UNIT: Arg =
    one_of("unit", &[word("byte", "BYTE"), word("bit", "BIT")]).since("7.0.0").optional();
const UNIT_HISTORY: &[(&str, &str)] = &[("7.0.0", "The option `BYTE|BIT`.")];

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "setbit",
            arity: 4,
            flags: flag::WRITE | flag::DENYOOM,
            keys: &[first_key(RW | ACCESS | UPDATE)],
            group: Group::Bitmap,
            since: "2.2.0",
            summary: "Sets or clears one bit of a string, which grows to hold it.",
            args: &[key_arg(), OFFSET, Arg::new("value", ArgKind::Integer)],
            length_after: Some(length_after_setbit),
            ..Spec::EMPTY
        },
        run: setbit,
    },
    Command {
        spec: Spec {
            name: "getbit",
            arity: 3,
            flags: flag::READONLY | flag::FAST,
            keys: &[first_key(RO | ACCESS)],
            group: Group::Bitmap,
            since: "2.2.0",
            summary: "Reads one bit of a string.",
            args: &[key_arg(), OFFSET],
            ..Spec::EMPTY
        },
        run: getbit,
    },
    Command {
        spec: Spec {
            name: "bitcount",
            arity: -2,
            flags: flag::READONLY,
            keys: &[first_key(RO | ACCESS)],
            group: Group::Bitmap,
            since: "2.6.0",
            complexity: "O(N)",
            summary: "Counts the bits that are set in a string or in a part of it.",
            args: &[key_arg(), block("range", &[START, END, UNIT]).optional()],
            history: UNIT_HISTORY,
            ..Spec::EMPTY
        },
        run: bitcount,
    },
    Command {
        spec: Spec {
            name: "bitpos",
            arity: -3,
            flags: flag::READONLY,
            keys: &[first_key(RO | ACCESS)],
            group: Group::Bitmap,
            since: "2.8.7",
            complexity: "O(N)",
            summary: "Finds the first set or the first clear bit of a string.",
            args: &[
                key_arg(),
                Arg::new("bit", ArgKind::Integer),
                block("range", &[START, block("end-unit-block", &[END, UNIT]).optional()])
                    .optional(),
            ],
            history: UNIT_HISTORY,
            ..Spec::EMPTY
        },
        run: bitpos,
    },
];

/// The failure of an offset that is no integer, negative or past the longest string.
pub const BAD_OFFSET: Failure = Failure::text("ERR bit offset is not an integer or out of range");

/// Checks that a bit stands within a string of at most so many bytes.
pub fn check_bit_offset(offset: i64, bytes_max: u64) -> Result<u64, Failure> {
    u64::try_from(offset).ok().filter(|offset| offset >> 3 < bytes_max).ok_or(BAD_OFFSET)
}

/// The bit that an argument names, within a string of at most so many bytes.
fn bit_offset(text: &[u8], bytes_max: u64) -> Result<u64, Failure> {
    check_bit_offset(parse_integer(text).ok_or(BAD_OFFSET)?, bytes_max)
}

fn length_after_setbit(args: &Args<'_>, before: u64, _frame_bytes: u64) -> u64 {
    let end = bit_offset(args.get(2), STRING_BYTES_MAX).ok().map(|offset| (offset >> 3) + 1);
    length_after_write(before, end)
}

fn setbit(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let offset = bit_offset(call.args.get(2), call.string_bytes_max)?;
    let on = match parse_integer(call.args.get(3)) {
        Some(0) => false,
        Some(1) => true,
        _ => return Err(Failure::text("ERR bit is not an integer or out of range")),
    };
    let (index, mask) = (offset >> 3, 0x80u8 >> (offset & 7));
    let key = call.unit.key(call.db, call.args.get(1));
    let (len, raw, old) = match call.unit.get_to_change(&key) {
        Some(view) => {
            let value = string_of(&view)?;
            (Some(value.len()), value.is_raw(), byte_at(value, index))
        }
        None => (None, false, 0),
    };
    let new = if on { old | mask } else { old & !mask };
    if len.is_none() {
        call.unit.put(&key, NewString::Copied(b""), None);
    }
    if new != old || index >= len.unwrap_or(0) {
        call.unit.write_range(&key, index, NewString::Copied(&[new]));
    } else if !raw {
        call.unit.make_raw(&key);
    }
    call.reply.integer(i64::from(old & mask != 0));
    Ok(())
}

fn getbit(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let offset = bit_offset(call.args.get(2), call.string_bytes_max)?;
    let key = call.unit.key(call.db, call.args.get(1));
    let byte = match call.unit.get(&key) {
        Some(view) => byte_at(string_of(&view)?, offset >> 3),
        None => 0,
    };
    call.reply.integer(i64::from(byte >> (7 - (offset & 7)) & 1));
    Ok(())
}

/// Whether the unit word at `index`, if there is one, says BIT.
fn unit_is_bit(args: &Args<'_>, index: usize) -> Result<bool, Failure> {
    if args.len() <= index || args.is(index, "BYTE") {
        return Ok(false);
    }
    if args.is(index, "BIT") {
        return Ok(true);
    }
    Err(Failure::Syntax)
}

/// Bits `start..end` for inclusive indexes in bits or bytes.
fn bit_range(start: i64, end: i64, is_bit: bool, len: u64) -> Option<(u64, u64)> {
    if is_bit {
        clamp_range(start, end, len << 3)
    } else {
        clamp_range(start, end, len).map(|(start, end)| (start << 3, end << 3))
    }
}

fn bitcount(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let args = call.args;
    let (start, end, is_bit) = match args.len() {
        2 => (0, -1, false),
        3 | 6.. => return Err(Failure::Syntax),
        _ => {
            let (start, end) = (integer(args.get(2))?, integer(args.get(3))?);
            (start, end, unit_is_bit(args, 4)?)
        }
    };
    let key = call.unit.key(call.db, args.get(1));
    let count = match call.unit.get(&key) {
        Some(view) => {
            let value = string_of(&view)?;
            match bit_range(start, end, is_bit, value.len()) {
                Some((from, to)) if !is_reversed(start, end) => count_bits(value, from, to),
                _ => 0,
            }
        }
        None => 0,
    };
    call.reply.integer(count as i64);
    Ok(())
}

fn bitpos(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let args = call.args;
    let bit = match integer(args.get(2))? {
        0 => false,
        1 => true,
        _ => return Err(Failure::text("ERR The bit argument must be 1 or 0.")),
    };
    if args.len() > 6 {
        return Err(Failure::Syntax);
    }
    let start = if args.len() > 3 { integer(args.get(3))? } else { 0 };
    // The unit is checked before the end, as in Redis.
    let is_bit = unit_is_bit(args, 5)?;
    let end = match args.len() > 4 {
        true => Some(integer(args.get(4))?),
        false => None,
    };
    let key = call.unit.key(call.db, args.get(1));
    let Some(view) = call.unit.get(&key) else {
        // A missing key is an endless row of clear bits.
        call.reply.integer(if bit { -1 } else { 0 });
        return Ok(());
    };
    let value = string_of(&view)?;
    let found = match bit_range(start, end.unwrap_or(-1), is_bit, value.len()) {
        Some((from, to)) => match find_bit(value, bit, from, to) {
            // Without an end, clear bits follow the string.
            None if !bit && end.is_none() => Some(to),
            found => found,
        },
        None => None,
    };
    call.reply.integer(found.map_or(-1, |at| at as i64));
    Ok(())
}

/// Set bits among `start..end`, which are within the string and not empty.
fn count_bits(value: StringRef<'_>, start: u64, end: u64) -> u64 {
    let pieces = value.pieces(start >> 3, end.div_ceil(8));
    let whole: u64 = pieces.map(count_ones).sum();
    let before = byte_at(value, start >> 3) & !(0xff >> (start & 7));
    let behind = match end & 7 {
        0 => 0,
        used => byte_at(value, end >> 3) & 0xff >> used,
    };
    whole - u64::from(before.count_ones()) - u64::from(behind.count_ones())
}

fn count_ones(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    // Four counters keep the additions independent of each other.
    let mut counts = [0u64; 4];
    let (groups, last) = words.as_chunks::<4>();
    for group in groups {
        for (count, word) in counts.iter_mut().zip(group) {
            *count += u64::from(u64::from_ne_bytes(*word).count_ones());
        }
    }
    let last = last.iter().map(|word| u64::from_ne_bytes(*word).count_ones());
    let rest = rest.iter().map(|byte| byte.count_ones());
    counts.iter().sum::<u64>() + u64::from(last.chain(rest).sum::<u32>())
}

/// The first bit of this value among `start..end`, which are within the string and not empty.
fn find_bit(value: StringRef<'_>, bit: bool, start: u64, end: u64) -> Option<u64> {
    // Bytes are turned so that the search is always for a set bit.
    let turn = if bit { 0 } else { 0xff };
    let first = (byte_at(value, start >> 3) ^ turn) & 0xff >> (start & 7);
    let place = |index: u64, byte: u8| index * 8 + u64::from(byte.leading_zeros());
    if first != 0 {
        return Some(place(start >> 3, first)).filter(|at| *at < end);
    }
    let mut base = (start >> 3) + 1;
    for piece in value.pieces(base, end.div_ceil(8)) {
        if let Some(index) = first_other_byte(piece, turn) {
            let at = place(base + index as u64, piece[index] ^ turn);
            return Some(at).filter(|at| *at < end);
        }
        base += piece.len() as u64;
    }
    None
}

/// Index of the first byte that differs from `byte`.
fn first_other_byte(bytes: &[u8], byte: u8) -> Option<usize> {
    let (words, _) = bytes.as_chunks::<8>();
    let same = [byte; 8];
    let skipped = 8 * words.iter().take_while(|word| **word == same).count();
    let rest = bytes[skipped..].iter().position(|other| *other != byte)?;
    Some(skipped + rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::testing::{run, unit, value_bytes_after};
    use crate::limits::STRING_PAGE_BYTES;
    use crate::value::string::PagedString;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn bit_of(bytes: &[u8], at: u64) -> bool {
        bytes[(at >> 3) as usize] >> (7 - (at & 7)) & 1 == 1
    }

    #[test]
    fn a_bit_reaches_as_far_as_its_offset() {
        let after = |offset| value_bytes_after(&["SETBIT", "a", offset, "1"], 7, 300);
        assert_eq!(after("4294967295"), 512 << 20);
        assert_eq!(after("4294967296"), 7);
        assert_eq!(after("55"), 7);
        assert_eq!(after("56"), 8);
    }

    #[test]
    fn bits_are_set_and_read_and_strings_grow() {
        let unit = &mut unit();
        assert_eq!(run(unit, &["SETBIT", "k", "7", "1"]), ":0");
        assert_eq!(run(unit, &["SETBIT", "k", "7", "1"]), ":1");
        assert_eq!(run(unit, &["SETBIT", "k", "7", "0"]), ":1");
        assert_eq!(run(unit, &["SETBIT", "k", "17", "0"]), ":0");
        assert_eq!(run(unit, &["STRLEN", "k"]), ":3");
        run(unit, &["SET", "k", "a"]);
        assert_eq!(run(unit, &["GETBIT", "k", "1"]), ":1");
        assert_eq!(run(unit, &["GETBIT", "k", "0"]), ":0");
        assert_eq!(run(unit, &["GETBIT", "k", "4294967295"]), ":0");
        assert_eq!(run(unit, &["GETBIT", "none", "1"]), ":0");
    }

    #[test]
    fn bad_bit_arguments_create_nothing() {
        let unit = &mut unit();
        let offset = "-ERR bit offset is not an integer or out of range";
        for text in ["-1", "4294967296", "x", "01", "#1", ""] {
            assert_eq!(run(unit, &["SETBIT", "k", text, "1"]), offset, "{text:?}");
            assert_eq!(run(unit, &["GETBIT", "k", text]), offset, "{text:?}");
        }
        let bit = "-ERR bit is not an integer or out of range";
        for text in ["2", "-1", "x", ""] {
            assert_eq!(run(unit, &["SETBIT", "k", "0", text]), bit, "{text:?}");
        }
        assert_eq!(run(unit, &["GET", "k"]), "$-1");
    }

    #[test]
    fn counts_cover_the_asked_range() {
        let unit = &mut unit();
        run(unit, &["SET", "k", "foobar"]);
        for (range, want) in [
            (&[][..], ":26"),
            (&["0", "0"], ":4"),
            (&["1", "1", "BYTE"], ":6"),
            (&["5", "30", "bit"], ":17"),
            (&["-2", "-3"], ":0"),
            (&["0", "-100"], ":4"),
            (&["-100", "-200"], ":0"),
            (&["3", "-100", "BIT"], ":0"),
            (&["-9223372036854775808", "9223372036854775807", "BIT"], ":26"),
            (&["0"], "-ERR syntax error"),
            (&["0", "1", "FOO"], "-ERR syntax error"),
            (&["0", "1", "BIT", "x"], "-ERR syntax error"),
            (&["a", "1", "BIT", "x"], "-ERR syntax error"),
            (&["0", "a", "FOO"], "-ERR value is not an integer or out of range"),
        ] {
            assert_eq!(run(unit, &[&["BITCOUNT", "k"], range].concat()), want, "{range:?}");
        }
        assert_eq!(run(unit, &["BITCOUNT", "none"]), ":0");
        assert_eq!(run(unit, &["BITCOUNT", "none", "0", "1", "X"]), "-ERR syntax error");
    }

    #[test]
    fn clear_bits_follow_a_string_only_without_an_end() {
        let unit = &mut unit();
        let ones: &[u8] = b"\xff\xff\xff";
        run(unit, &[b"SET", &b"k"[..], ones]);
        for (range, want) in [
            (&["0"][..], ":24"),
            (&["0", "0"], ":24"),
            (&["0", "0", "-1"], ":-1"),
            (&["0", "3"], ":-1"),
            (&["0", "2"], ":24"),
            (&["1", "8", "-1", "BIT"], ":8"),
            (&["1", "9", "-1", "BIT"], ":9"),
            (&["0", "0", "-1", "BIT"], ":-1"),
            (&["1", "-1", "-2"], ":-1"),
            (&["1", "-100", "-200"], ":0"),
            (&["2"], "-ERR The bit argument must be 1 or 0."),
            (&["0", "8", "9", "FOO"], "-ERR syntax error"),
            (&["1", "0", "-1", "BYTE", "x"], "-ERR syntax error"),
            (&["1", "x", "0", "BYTE", "y"], "-ERR syntax error"),
            (&["1", "0", "x", "FOO"], "-ERR syntax error"),
            (&["1", "0", "x"], "-ERR value is not an integer or out of range"),
        ] {
            assert_eq!(run(unit, &[&["BITPOS", "k"], range].concat()), want, "{range:?}");
        }
        run(unit, &["SET", "empty", ""]);
        assert_eq!(run(unit, &["BITPOS", "empty", "0"]), ":-1");
        assert_eq!(run(unit, &["BITPOS", "none", "0"]), ":0");
        assert_eq!(run(unit, &["BITPOS", "none", "1"]), ":-1");
        assert_eq!(run(unit, &["BITPOS", "none", "1", "x"]).as_bytes()[0], b'-');
    }

    #[test]
    fn pages_are_searched_and_counted_across_their_borders() {
        let page_bits = 8 * STRING_PAGE_BYTES as u64;
        let mut bytes = vec![0; 2 * STRING_PAGE_BYTES + 100];
        let bits = [page_bits - 1, page_bits, 2 * page_bits + 13];
        for bit in bits {
            bytes[(bit >> 3) as usize] |= 0x80 >> (bit & 7);
        }
        let paged = PagedString::from_bytes(Bytes::from(bytes));
        let value = StringRef::Paged(&paged);
        let end = value.len() * 8;
        let mut from = 0;
        for (seen, bit) in bits.into_iter().enumerate() {
            assert_eq!(find_bit(value, true, from, end), Some(bit));
            assert_eq!(find_bit(value, true, from, bit), None);
            assert_eq!(count_bits(value, 0, bit + 1), seen as u64 + 1);
            from = bit + 1;
        }
        assert_eq!(find_bit(value, true, from, end), None);
        assert_eq!(find_bit(value, false, page_bits - 1, end), Some(page_bits + 1));
    }

    proptest! {
        #[test]
        fn counting_and_searching_equal_a_bit_by_bit_model(
            bytes in prop::collection::vec(prop_oneof![Just(0), Just(0xff), any::<u8>()], 1..90),
            a: prop::sample::Index,
            b: prop::sample::Index,
            bit: bool,
        ) {
            let value = StringRef::Flat { bytes: &bytes, shared: None, raw: false };
            let (a, b) = (a.index(bytes.len() * 8) as u64, b.index(bytes.len() * 8) as u64);
            let (start, end) = (a.min(b), a.max(b) + 1);
            let count = (start..end).filter(|at| bit_of(&bytes, *at)).count() as u64;
            prop_assert_eq!(count_bits(value, start, end), count);
            let found = (start..end).find(|at| bit_of(&bytes, *at) == bit);
            prop_assert_eq!(find_bit(value, bit, start, end), found);
        }
    }
}
