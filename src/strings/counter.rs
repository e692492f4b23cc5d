//! Strings that count: INCR and its relatives, INCRBYFLOAT.

use crate::command::long_double::{Finite, LongDouble, TEXT_BYTES_MAX};
use crate::command::number::{integer, parse_integer};
use crate::command::row::{first_key, key_arg};
use crate::command::spec::key_flag::{ACCESS, RW, UPDATE};
use crate::command::spec::{Arg, ArgKind, Call, Command, Failure, Group, Run, Spec, flag};
use crate::engine::unit::NewString;
use crate::value::string::StringRef;

use super::value::string_of;

const ROW: Spec = Spec {
    flags: flag::WRITE | flag::DENYOOM | flag::FAST,
    keys: &[first_key(RW | ACCESS | UPDATE)],
    group: Group::String,
    ..Spec::EMPTY
};

const fn command(spec: Spec, run: Run) -> Command {
    Command { spec, run }
}

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    command(
        Spec {
            name: "incr",
            arity: 2,
            summary: "Adds one to the integer in a string; a missing key counts as 0.",
            args: &[key_arg()],
            ..ROW
        },
        incr,
    ),
    command(
        Spec {
            name: "decr",
            arity: 2,
            summary: "Takes one from the integer in a string; a missing key counts as 0.",
            args: &[key_arg()],
            ..ROW
        },
        decr,
    ),
    command(
        Spec {
            name: "incrby",
            arity: 3,
            summary: "Adds a number to the integer in a string; a missing key counts as 0.",
            args: &[key_arg(), Arg::new("increment", ArgKind::Integer)],
            ..ROW
        },
        incrby,
    ),
    command(
        Spec {
            name: "decrby",
            arity: 3,
            summary: "Takes a number from the integer in a string; a missing key counts as 0.",
            args: &[key_arg(), Arg::new("decrement", ArgKind::Integer)],
            ..ROW
        },
        decrby,
    ),
    command(
        Spec {
            name: "incrbyfloat",
            arity: 3,
            since: "2.6.0",
            summary: "Adds a fraction to the number in a string; a missing key counts as 0.",
            args: &[key_arg(), Arg::new("increment", ArgKind::Double)],
            extra_bytes: Some(|_, _| TEXT_BYTES_MAX as u64),
            ..ROW
        },
        incrbyfloat,
    ),
];

fn incr(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    add(call, 1)
}

fn decr(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    add(call, -1)
}

fn incrby(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let increment = integer(call.args.get(2))?;
    add(call, increment)
}

fn decrby(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let increment = integer(call.args.get(2))?
        .checked_neg()
        .ok_or(Failure::text("ERR decrement would overflow"))?;
    add(call, increment)
}

fn add(call: &mut Call<'_, '_, '_>, increment: i64) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    let (old, deadline_ms) = match call.unit.get_to_change(&key) {
        Some(view) => {
            let digits = string_of(&view)?.flat();
            let number = digits.and_then(parse_integer).ok_or(Failure::NotInteger)?;
            (number, view.expire_at_ms)
        }
        None => (0, None),
    };
    let new = old
        .checked_add(increment)
        .ok_or(Failure::text("ERR increment or decrement would overflow"))?;
    let mut digits = itoa::Buffer::new();
    let text = digits.format(new).as_bytes();
    call.unit.put(&key, NewString::Copied(text), deadline_ms);
    call.reply.integer(new);
    Ok(())
}

fn incrbyfloat(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    let (old, deadline_ms) = match call.unit.get_to_change(&key) {
        Some(view) => (float_of(string_of(&view)?)?, view.expire_at_ms),
        None => (LongDouble::Finite(Finite::ZERO), None),
    };
    let increment = LongDouble::parse(call.args.get(2)).ok_or(Failure::NotFloat)?;
    let new =
        old.plus(increment).ok_or(Failure::text("ERR increment would produce NaN or Infinity"))?;
    let text = new.to_text();
    let value = NewString::Copied(text.as_bytes());
    call.unit.put(&key, value, deadline_ms);
    call.reply.bulk(text.as_bytes());
    Ok(())
}

fn float_of(value: StringRef<'_>) -> Result<LongDouble, Failure> {
    value.flat().and_then(LongDouble::parse).ok_or(Failure::NotFloat)
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{deadline, extra_frame_bytes, run, unit};

    const NOT_INTEGER: &str = "-ERR value is not an integer or out of range";
    const OVERFLOW: &str = "-ERR increment or decrement would overflow";

    #[test]
    fn counters_start_at_zero_and_keep_their_deadline() {
        let unit = &mut unit();
        assert_eq!(run(unit, &["INCR", "a"]), ":1");
        assert_eq!(run(unit, &["DECR", "b"]), ":-1");
        assert_eq!(run(unit, &["DECRBY", "b", "-11"]), ":10");
        run(unit, &["SET", "c", "5", "PXAT", "1700000000000"]);
        assert_eq!(run(unit, &["INCRBY", "c", "-7"]), ":-2");
        assert_eq!(run(unit, &["GET", "c"]), "$2 -2");
        assert_eq!(run(unit, &["INCRBYFLOAT", "c", "0.5"]), "$4 -1.5");
        assert_eq!(deadline(unit, "c"), Some(1_700_000_000_000));
    }

    #[test]
    fn counters_never_wrap() {
        let unit = &mut unit();
        run(unit, &["SET", "k", "9223372036854775807"]);
        assert_eq!(run(unit, &["INCR", "k"]), OVERFLOW);
        assert_eq!(run(unit, &["DECRBY", "k", "-1"]), OVERFLOW);
        assert_eq!(run(unit, &["GET", "k"]), "$19 9223372036854775807");
        run(unit, &["SET", "k", "-9223372036854775808"]);
        assert_eq!(run(unit, &["DECR", "k"]), OVERFLOW);
        let error = "-ERR decrement would overflow";
        assert_eq!(run(unit, &["DECRBY", "n", "-9223372036854775808"]), error);
        assert_eq!(run(unit, &["GET", "n"]), "$-1");
    }

    #[test]
    fn what_is_no_number_is_refused() {
        let unit = &mut unit();
        for text in ["", "01", " 1", "1 ", "+1", "-0", "1.0", "99999999999999999999999"] {
            run(unit, &["SET", "k", text]);
            assert_eq!(run(unit, &["INCR", "k"]), NOT_INTEGER, "{text:?}");
            assert_eq!(run(unit, &["INCRBY", "n", text]), NOT_INTEGER, "{text:?}");
        }
        let not_float = "-ERR value is not a valid float";
        for text in ["", "abc", " 1", "1 ", "nan", "1e5000", "1e-5000"] {
            run(unit, &["SET", "k", text]);
            assert_eq!(run(unit, &["INCRBYFLOAT", "k", "1"]), not_float, "{text:?}");
            assert_eq!(run(unit, &["INCRBYFLOAT", "n", text]), not_float, "{text:?}");
        }
        assert_eq!(run(unit, &["GET", "n"]), "$-1");
    }

    #[test]
    fn fractions_add_up_as_people_expect() {
        let unit = &mut unit();
        assert_eq!(run(unit, &["INCRBYFLOAT", "k", "0.1"]), "$3 0.1");
        assert_eq!(run(unit, &["INCRBYFLOAT", "k", "0.2"]), "$3 0.3");
        run(unit, &["SET", "k", "3.0e3"]);
        assert_eq!(run(unit, &["INCRBYFLOAT", "k", "2.0e2"]), "$4 3200");
        let error = "-ERR increment would produce NaN or Infinity";
        assert_eq!(run(unit, &["INCRBYFLOAT", "k", "inf"]), error);
        assert_eq!(run(unit, &["GET", "k"]), "$4 3200");
    }
    #[test]
    fn a_float_may_have_thousands_of_digits() {
        let extra = extra_frame_bytes(&["INCRBYFLOAT", "a", "1e4932"], 16);
        assert!(extra >= 4933, "{extra}");
    }
}
