//! BITFIELD and BITFIELD_RO: integers of any width up to 64 bits at any bit of a string.

use std::collections::BTreeMap;

use crate::command::args::Args;
use crate::command::number::{integer, parse_integer};
use crate::command::row::{block, first_key, key_arg, one_of, word};
use crate::command::spec::key_flag::{ACCESS, RO, RW, UPDATE, VARIABLE_FLAGS};
use crate::command::spec::{Arg, ArgKind, Call, Command, Failure, Group, Spec, flag};
use crate::engine::unit::{Key, NewString, Unit};
use crate::limits::STRING_BYTES_MAX;

use super::bitmap::{BAD_OFFSET, check_bit_offset};
use super::value::{byte_at, length_after_write, string_of};

const ENCODING: Arg = Arg::new("encoding", ArgKind::String);
const OFFSET: Arg = Arg::new("offset", ArgKind::Integer);
const GET_BLOCK: Arg = block("get-block", &[ENCODING, OFFSET]).behind("GET");
const WRITE_BLOCK: Arg = block(
    "write",
    &[
        one_of("overflow-block", &[word("wrap", "WRAP"), word("sat", "SAT"), word("fail", "FAIL")])
            .behind("OVERFLOW")
            .optional(),
        one_of(
            "write-operation",
            &[
                block("set-block", &[ENCODING, OFFSET, Arg::new("value", ArgKind::Integer)])
                    .behind("SET"),
                block("incrby-block", &[ENCODING, OFFSET, Arg::new("increment", ArgKind::Integer)])
                    .behind("INCRBY"),
            ],
        ),
    ],
);

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "bitfield",
            arity: -2,
            flags: flag::WRITE | flag::DENYOOM,
            keys: &[first_key(RW | ACCESS | UPDATE | VARIABLE_FLAGS)
                .note("This command allows both access and modification of the key")],
            group: Group::Bitmap,
            since: "3.2.0",
            complexity: "O(1) for each operation.",
            summary: "Reads, sets and increments integers of any width inside a string.",
            args: &[
                key_arg(),
                one_of("operation", &[GET_BLOCK, WRITE_BLOCK]).optional().multiple(),
            ],
            length_after: Some(length_after),
            ..Spec::EMPTY
        },
        run: bitfield,
    },
    Command {
        spec: Spec {
            name: "bitfield_ro",
            arity: -2,
            flags: flag::READONLY | flag::FAST,
            keys: &[first_key(RO | ACCESS)],
            group: Group::Bitmap,
            since: "6.0.0",
            complexity: "O(1) for each operation.",
            summary: "Reads integers of any width inside a string.",
            args: &[key_arg(), Arg { multiple_token: true, ..GET_BLOCK.optional().multiple() }],
            ..Spec::EMPTY
        },
        run: bitfield_ro,
    },
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Action {
    Get,
    Set(i64),
    Increment(i64),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Overflow {
    Wrap,
    Saturate,
    Fail,
}

/// An integer type of 1 to 64 bits (unsigned: 63).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Width {
    signed: bool,
    bits: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Operation {
    action: Action,
    overflow: Overflow,
    width: Width,
    /// First bit.
    offset: u64,
}

impl Width {
    fn parse(text: &[u8]) -> Result<Width, Failure> {
        let (signed, digits, bits_max) = match text {
            [b'i', digits @ ..] => (true, digits, 64),
            [b'u', digits @ ..] => (false, digits, 63),
            _ => (false, &[][..], 0),
        };
        let bits = parse_integer(digits).filter(|bits| (1..=bits_max).contains(bits));
        let bits = bits.ok_or(Failure::text(
            "ERR Invalid bitfield type. Use something like i16 u8. \
             Note that u64 is not supported but i64 is.",
        ))?;
        Ok(Width { signed, bits: bits as u32 })
    }

    fn bounds(self) -> (i128, i128) {
        match self.signed {
            true => (-(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1),
            false => (0, (1 << self.bits) - 1),
        }
    }

    /// The value that the lowest bits of `raw` stand for.
    fn interpret(self, raw: u64) -> i64 {
        let unused = 64 - self.bits;
        match self.signed {
            true => ((raw << unused) as i64) >> unused,
            false => (raw << unused >> unused) as i64,
        }
    }

    /// The value that is stored for a wished one; none when the operation fails.
    fn fit(self, wished: i128, overflow: Overflow) -> Option<i64> {
        let (min, max) = self.bounds();
        if (min..=max).contains(&wished) {
            return Some(wished as i64);
        }
        match overflow {
            Overflow::Wrap => Some(self.interpret(wished as u64)),
            Overflow::Saturate => Some(wished.clamp(min, max) as i64),
            Overflow::Fail => None,
        }
    }

    /// What SET wishes to store. An unsigned field takes a negative value as the large number that
    /// its bits stand for. A signed one below 64 bits saturates upwards, as in Redis, when the
    /// value is so negative that its distance to the maximum does not fit 64 bits.
    fn wish(self, value: i64, overflow: Overflow) -> i128 {
        if !self.signed {
            return i128::from(value as u64);
        }
        let (_, max) = self.bounds();
        let is_far = self.bits < 64 && max - i128::from(value) > i128::from(i64::MAX);
        if is_far && overflow == Overflow::Saturate {
            return max;
        }
        i128::from(value)
    }
}

impl Operation {
    fn last_byte(&self) -> u64 {
        (self.offset + u64::from(self.width.bits) - 1) >> 3
    }
}

/// `n`, or `#n` for the n-th integer of this width.
fn parse_offset(text: &[u8], width: Width, bytes_max: u64) -> Result<u64, Failure> {
    let (digits, factor) = match text {
        [b'#', digits @ ..] => (digits, i64::from(width.bits)),
        _ => (text, 1),
    };
    let offset = parse_integer(digits).and_then(|offset| offset.checked_mul(factor));
    check_bit_offset(offset.ok_or(BAD_OFFSET)?, bytes_max)
}

fn parse_overflow(args: &Args<'_>, index: usize) -> Result<Overflow, Failure> {
    let words = [("WRAP", Overflow::Wrap), ("SAT", Overflow::Saturate), ("FAIL", Overflow::Fail)];
    let found = words.into_iter().find(|(word, _)| args.is(index, word));
    found.map(|(_, overflow)| overflow).ok_or(Failure::text("ERR Invalid OVERFLOW type specified"))
}

fn parse_operations(args: &Args<'_>, bytes_max: u64) -> Result<Vec<Operation>, Failure> {
    let mut operations = Vec::with_capacity((args.len() - 2) / 3);
    let mut overflow = Overflow::Wrap;
    let mut index = 2;
    while index < args.len() {
        let behind = args.len() - index - 1;
        if args.is(index, "OVERFLOW") && behind >= 1 {
            overflow = parse_overflow(args, index + 1)?;
            index += 2;
            continue;
        }
        let is_get = args.is(index, "GET") && behind >= 2;
        let is_set = args.is(index, "SET") && behind >= 3;
        let is_increment = args.is(index, "INCRBY") && behind >= 3;
        if !(is_get || is_set || is_increment) {
            return Err(Failure::Syntax);
        }
        let width = Width::parse(args.get(index + 1))?;
        let offset = parse_offset(args.get(index + 2), width, bytes_max)?;
        let action = if is_get {
            Action::Get
        } else if is_set {
            Action::Set(integer(args.get(index + 3))?)
        } else {
            Action::Increment(integer(args.get(index + 3))?)
        };
        operations.push(Operation { action, overflow, width, offset });
        index += if is_get { 3 } else { 4 };
    }
    Ok(operations)
}

fn length_after(args: &Args<'_>, before: u64, _frame_bytes: u64) -> u64 {
    let operations = parse_operations(args, STRING_BYTES_MAX).unwrap_or_default();
    let writes = operations.iter().filter(|operation| operation.action != Action::Get);
    length_after_write(before, writes.map(|operation| operation.last_byte() + 1).max())
}

fn bitfield(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let operations = parse_operations(call.args, call.string_bytes_max)?;
    execute(call, &operations)
}

fn bitfield_ro(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let operations = parse_operations(call.args, call.string_bytes_max)?;
    if operations.iter().any(|op| op.action != Action::Get) {
        return Err(Failure::text("ERR BITFIELD_RO only supports the GET subcommand"));
    }
    execute(call, &operations)
}

fn execute(call: &mut Call<'_, '_, '_>, operations: &[Operation]) -> Result<(), Failure> {
    let writes = operations.iter().filter(|op| op.action != Action::Get);
    let last_byte = writes.map(Operation::last_byte).max();
    // Redis lets a field at the very end of the longest string reach past it; here nothing does.
    if let Some(last_byte) = last_byte {
        check_bit_offset((last_byte * 8) as i64, STRING_BYTES_MAX)?;
    }
    let key = call.unit.key(call.db, call.args.get(1));
    let view = match last_byte {
        None => call.unit.get(&key),
        Some(_) => call.unit.get_to_change(&key),
    };
    let (len, is_raw) = match view {
        Some(view) => {
            let value = string_of(&view)?;
            (Some(value.len()), value.is_raw())
        }
        None => (None, false),
    };
    let mut written = Written::default();
    // The string grows to hold every field that is written, even when all writes fail.
    if let Some(last) = last_byte.filter(|last| *last >= len.unwrap_or(0)) {
        written.bytes.insert(last, 0);
    }
    let mut stored = false;
    call.reply.array(operations.len());
    for operation in operations {
        let raw = read_field(call.unit, &key, &written, operation);
        let old = operation.width.interpret(raw);
        match apply(operation, old) {
            Some((new, answer)) => {
                stored |= operation.action != Action::Get;
                if new != old {
                    written.write_field(call.unit, &key, operation, new as u64);
                }
                call.reply.integer(answer);
            }
            None => call.reply.null(),
        }
    }
    // A string that is opened for writing becomes raw, whatever is written.
    if written.bytes.is_empty() && last_byte.is_some() && !is_raw {
        call.unit.make_raw(&key);
    }
    let change = |unit: &mut Unit<'_>| {
        if len.is_none() && last_byte.is_some() {
            unit.put(&key, NewString::Copied(b""), None);
        }
        written.flush(unit, &key);
    };
    match stored {
        true => change(call.unit),
        // As in Redis, where growth for writes that all failed is no change.
        false => call.unit.unheard(change),
    }
    Ok(())
}

/// The new value of a field and the answer; none when the operation fails on overflow.
fn apply(operation: &Operation, old: i64) -> Option<(i64, i64)> {
    let (width, overflow) = (operation.width, operation.overflow);
    match operation.action {
        Action::Get => Some((old, old)),
        Action::Set(value) => {
            let wished = width.wish(value, overflow);
            width.fit(wished, overflow).map(|new| (new, old))
        }
        Action::Increment(by) => {
            let wished = i128::from(old) + i128::from(by);
            width.fit(wished, overflow).map(|new| (new, new))
        }
    }
}

/// Bytes that the operations of one command changed so far. They reach the keyspace together, so
/// that neighbouring fields become one write.
#[derive(Default)]
struct Written {
    bytes: BTreeMap<u64, u8>,
}

impl Written {
    fn write_field(&mut self, unit: &mut Unit<'_>, key: &Key<'_>, field: &Operation, new: u64) {
        let (first, last) = (field.offset >> 3, field.last_byte());
        // A field of 64 bits may lie in nine bytes.
        let below = 7 - ((field.offset + u64::from(field.width.bits) - 1) & 7);
        let mask = (u128::from(u64::MAX) >> (64 - field.width.bits)) << below;
        let new = (u128::from(new) << below) & mask;
        for index in first..=last {
            let shift = (last - index) * 8;
            let (mask, new) = ((mask >> shift) as u8, (new >> shift) as u8);
            let old = read_byte(unit, key, self, index);
            self.bytes.insert(index, old & !mask | new);
        }
    }

    fn flush(self, unit: &mut Unit<'_>, key: &Key<'_>) {
        let mut run: Vec<u8> = Vec::new();
        let mut start = 0;
        for (index, byte) in self.bytes {
            if index != start + run.len() as u64 {
                if !run.is_empty() {
                    unit.write_range(key, start, NewString::Copied(&run));
                    run.clear();
                }
                start = index;
            }
            run.push(byte);
        }
        if !run.is_empty() {
            unit.write_range(key, start, NewString::Copied(&run));
        }
    }
}

fn read_byte(unit: &mut Unit<'_>, key: &Key<'_>, written: &Written, index: u64) -> u8 {
    if let Some(byte) = written.bytes.get(&index) {
        return *byte;
    }
    let view = unit.probe(key);
    let value = view.and_then(|view| string_of(&view).ok());
    value.map_or(0, |value| byte_at(value, index))
}

/// The bits of a field, at the low end.
fn read_field(unit: &mut Unit<'_>, key: &Key<'_>, written: &Written, field: &Operation) -> u64 {
    let (first, last) = (field.offset >> 3, field.last_byte());
    let bytes = (first..=last)
        .fold(0u128, |bytes, index| bytes << 8 | u128::from(read_byte(unit, key, written, index)));
    let below = 7 - ((field.offset + u64::from(field.width.bits) - 1) & 7);
    (bytes >> below) as u64
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{deadline, run, run_bytes, unit, value_bytes_after};
    use proptest::prelude::*;

    #[test]
    fn writes_reach_to_their_last_integer() {
        let cases: [(&[&str], u64); 3] = [
            (&["BITFIELD", "a", "SET", "u8", "#99", "1", "GET", "u8", "0"], 100),
            (&["BITFIELD", "a", "INCRBY", "i64", "7992", "-1"], 1007),
            (&["BITFIELD", "a", "SET", "u99", "9", "1"], 7),
        ];
        for (args, expected) in cases {
            assert_eq!(value_bytes_after(args, 7, 300), expected, "{args:?}");
        }
    }

    #[test]
    fn fields_are_read_and_written_in_turn() {
        let unit = &mut unit();
        run(unit, &["SET", "k", "foobar", "PXAT", "1700000000000"]);
        for (operations, want) in [
            ("SET u8 0 -1 SET u8 0 5 GET u8 0", "*3 :102 :255 :5"),
            ("GET u8 #1 get u8 8 GET i64 0", "*3 :111 :111 :391654160936861696"),
            ("GET i8 4294967295", "*1 :0"),
            ("SET i4 3 -3 GET i4 3 GET u4 3", "*3 :2 :-3 :13"),
            ("", "*0"),
            ("OVERFLOW SAT", "*0"),
        ] {
            let command = format!("BITFIELD k {operations}");
            let args: Vec<&str> = command.split_whitespace().collect();
            assert_eq!(run(unit, &args), want, "{operations}");
        }
        assert_eq!(run(unit, &["BITFIELD_RO", "k", "GET", "u8", "8"]), "*1 :111");
        assert_eq!(run(unit, &["BITFIELD_RO", "none", "GET", "u8", "8"]), "*1 :0");
        assert_eq!(deadline(unit, "k"), Some(1_700_000_000_000));
    }

    #[test]
    fn overflow_is_treated_as_asked() {
        for (operations, want) in [
            (
                "OVERFLOW SAT SET u8 0 -1 SET u8 0 300 SET i8 0 300 GET i8 0 \
                 SET i8 0 -300 GET i8 0",
                "*6 :0 :255 :-1 :127 :127 :-128",
            ),
            ("OVERFLOW FAIL SET u8 0 300 INCRBY u8 0 255 INCRBY u8 0 1", "*3 $-1 :255 $-1"),
            (
                "INCRBY i64 0 9223372036854775807 INCRBY i64 0 1",
                "*2 :9223372036854775807 :-9223372036854775808",
            ),
            (
                "OVERFLOW SAT INCRBY i64 3 -9223372036854775808 INCRBY i64 3 -1",
                "*2 :-9223372036854775808 :-9223372036854775808",
            ),
            (
                "OVERFLOW SAT INCRBY i8 0 9223372036854775807 INCRBY i8 0 -9223372036854775808 \
                 INCRBY u8 0 -9223372036854775808 SET u63 0 -1 INCRBY u63 0 9223372036854775807",
                "*5 :127 :-128 :0 :0 :9223372036854775807",
            ),
            (
                "INCRBY u2 1 3 OVERFLOW FAIL INCRBY u2 1 1 OVERFLOW WRAP INCRBY u2 1 1",
                "*3 :3 $-1 :0",
            ),
        ] {
            let command = format!("BITFIELD k {operations}");
            let args: Vec<&str> = command.split_whitespace().collect();
            assert_eq!(run(&mut unit(), &args), want, "{operations}");
        }
    }

    #[test]
    fn a_failed_write_still_makes_room() {
        let unit = &mut unit();
        let write = ["BITFIELD", "k", "OVERFLOW", "FAIL", "INCRBY", "u2", "100", "5"];
        assert_eq!(run(unit, &write), "*1 $-1");
        assert_eq!(run(unit, &["STRLEN", "k"]), ":13");
        assert_eq!(run(unit, &["BITFIELD", "k2", "SET", "u8", "0", "0"]), "*1 :0");
        assert_eq!(run(unit, &["STRLEN", "k2"]), ":1");
        run(unit, &["BITFIELD", "none", "GET", "u8", "0"]);
        assert_eq!(run(unit, &["GET", "none"]), "$-1");
    }

    #[test]
    fn bad_operations_change_nothing() {
        let unit = &mut unit();
        let width = "-ERR Invalid bitfield type. Use something like i16 u8. \
                     Note that u64 is not supported but i64 is.";
        let offset = "-ERR bit offset is not an integer or out of range";
        for (operations, want) in [
            ("SET u8 0 1 GET u64 0", width),
            ("SET u8 0 1 GET i65 0", width),
            ("SET u8 0 1 GET u0 0", width),
            ("SET u8 0 1 GET i08 0", width),
            ("SET u8 0 1 GET I8 0", width),
            ("SET u8 0 1 GET i 0", width),
            ("SET u8 0 1 GET i8 #-1", offset),
            ("SET u8 0 1 GET i8 -1", offset),
            ("SET u8 0 1 GET i8 #", offset),
            ("SET u8 0 1 GET i8 4294967296", offset),
            ("SET u8 0 1 GET u63 #9223372036854775807", offset),
            ("SET u8 4294967295 1", offset),
            ("SET u8 0 1 SET u8 0", "-ERR syntax error"),
            ("SET u8 0 1 FOO", "-ERR syntax error"),
            ("SET u8 0 1 OVERFLOW", "-ERR syntax error"),
            ("SET u8 0 1 OVERFLOW X", "-ERR Invalid OVERFLOW type specified"),
            ("SET u8 0 x", "-ERR value is not an integer or out of range"),
        ] {
            let command = format!("BITFIELD k {operations}");
            let args: Vec<&str> = command.split_whitespace().collect();
            assert_eq!(run(unit, &args), want, "{operations}");
        }
        let error = "-ERR BITFIELD_RO only supports the GET subcommand";
        assert_eq!(run(unit, &["BITFIELD_RO", "k", "SET", "u8", "0", "1"]), error);
        assert_eq!(run(unit, &["GET", "k"]), "$-1");
    }

    /// Bits as booleans, first bit first.
    fn model_value(bits: &[bool], signed: bool) -> i128 {
        let raw = bits.iter().fold(0i128, |raw, bit| raw << 1 | i128::from(*bit));
        if signed && bits[0] { raw - (1 << bits.len()) } else { raw }
    }

    fn model_write(bits: &mut [bool], value: i128) {
        let len = bits.len();
        for (index, bit) in bits.iter_mut().enumerate() {
            *bit = value >> (len - 1 - index) & 1 == 1;
        }
    }

    /// What an operation wishes to store, brought into range by repeated steps of the modulus.
    fn model_fit(wished: i128, width: u32, signed: bool, overflow: &str) -> Option<i128> {
        let modulus = 1i128 << width;
        let min = if signed { -modulus / 2 } else { 0 };
        let max = min + modulus - 1;
        match overflow {
            "WRAP" => Some((wished - min).rem_euclid(modulus) + min),
            "SAT" => Some(wished.max(min).min(max)),
            _ => (min <= wished && wished <= max).then_some(wished),
        }
    }

    fn number() -> impl Strategy<Value = i64> {
        prop_oneof![any::<i64>(), -300i64..300, Just(i64::MIN), Just(i64::MAX)]
    }

    proptest! {
        #[test]
        fn operations_equal_a_model_of_booleans(
            start in prop::collection::vec(any::<u8>(), 1..20),
            operations in prop::collection::vec(
                (0usize..3, 0usize..3, any::<bool>(), 1u32..=64, 0usize..200, number()),
                1..12,
            ),
        ) {
            let unit = &mut unit();
            run(unit, &[b"SET", &b"k"[..], &start]);
            let mut model: Vec<bool> = start
                .iter()
                .flat_map(|byte| (0..8).map(move |bit| byte >> (7 - bit) & 1 == 1))
                .collect();
            let mut len = start.len();
            let mut args: Vec<String> = vec!["BITFIELD".into(), "k".into()];
            let mut want = format!("*{}", operations.len());
            model.resize(8 * 40, false);
            for (action, overflow, signed, width, offset, value) in operations {
                let width = if signed { width } else { width.min(63) };
                let overflow = ["WRAP", "SAT", "FAIL"][overflow];
                let action = ["GET", "SET", "INCRBY"][action];
                args.extend(["OVERFLOW".to_string(), overflow.to_string(), action.to_string()]);
                args.push(format!("{}{width}", if signed { 'i' } else { 'u' }));
                args.push(offset.to_string());
                let field = &mut model[offset..offset + width as usize];
                let old = model_value(field, signed);
                if action != "GET" {
                    args.push(value.to_string());
                    len = len.max((offset + width as usize).div_ceil(8));
                }
                let by = i128::from(value);
                let by = if signed || action == "INCRBY" || by >= 0 { by } else { by + (1 << 64) };
                let new = match action {
                    "GET" => Some(old),
                    "SET" if signed && width < 64 && overflow == "SAT" => {
                        let max = (1 << (width - 1)) - 1;
                        let is_far = i64::try_from(max - by).is_err();
                        model_fit(if is_far { max } else { by }, width, signed, overflow)
                    }
                    "SET" => model_fit(by, width, signed, overflow),
                    _ => model_fit(old + by, width, signed, overflow),
                };
                match new {
                    Some(new) => {
                        model_write(field, new);
                        want += &format!(" :{}", if action == "SET" { old } else { new });
                    }
                    None => want += " $-1",
                }
            }
            prop_assert_eq!(run(unit, &args), want);
            let bytes: Vec<u8> = model[..len * 8]
                .chunks(8)
                .map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit)))
                .collect();
            let reply = run_bytes(unit, &["GET", "k"]);
            prop_assert!(reply.ends_with(&[&bytes[..], b"\r\n"].concat()));
            prop_assert_eq!(reply.len(), format!("${len}\r\n\r\n").len() + len);
        }
    }
}
