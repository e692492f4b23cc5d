//! INCREX: a number in a string, counted within bounds, and its deadline in one step.

use std::ops::RangeInclusive;

use crate::command::args::Args;
use crate::command::expire_time::Expiry;
use crate::command::long_double::{Finite, LongDouble, TEXT_BYTES_MAX};
use crate::command::number::parse_integer;
use crate::command::row::{first_key, key_arg, one_of, word};
use crate::command::spec::key_flag::{ACCESS, RW, UPDATE};
use crate::command::spec::{Arg, ArgKind, Call, Command, Failure, Group, Spec, flag};
use crate::engine::unit::{Key, NewString};
use crate::format::record::DeleteReason;
use crate::value::string::StringRef;

use super::value::string_of;

/// The rows of this file.
pub const COMMANDS: &[Command] = &[Command {
    spec: Spec {
        name: "increx",
        arity: -2,
        flags: flag::WRITE | flag::DENYOOM | flag::FAST,
        keys: &[first_key(RW | ACCESS | UPDATE)],
        group: Group::String,
        since: "8.8.0",
        summary: "Adds to the number in a string, within bounds, and sets its deadline.",
        args: &[
            key_arg(),
            one_of(
                "increment",
                &[
                    Arg::new("float", ArgKind::Double).behind("BYFLOAT"),
                    Arg::new("integer", ArgKind::Integer).behind("BYINT"),
                ],
            )
            .optional(),
            word("saturate", "SATURATE").optional(),
            Arg::new("lowerbound", ArgKind::String).behind("LBOUND").optional(),
            Arg::new("upperbound", ArgKind::String).behind("UBOUND").optional(),
            one_of(
                "expiration",
                &[
                    Arg::new("seconds", ArgKind::Integer).behind("EX"),
                    Arg::new("milliseconds", ArgKind::Integer).behind("PX"),
                    Arg::new("unix-time-seconds", ArgKind::UnixTime).behind("EXAT"),
                    Arg::new("unix-time-milliseconds", ArgKind::UnixTime).behind("PXAT"),
                    word("persist", "PERSIST"),
                ],
            )
            .optional(),
            word("enx", "ENX").optional(),
        ],
        extra_bytes: Some(|_, _| TEXT_BYTES_MAX as u64),
        ..Spec::EMPTY
    },
    run: increx,
}];

/// The options of a call; numbers are not read yet.
#[derive(Default)]
struct Options<'a> {
    /// BYINT or BYFLOAT, and its argument.
    increment: Option<(Kind, &'a [u8])>,
    lower: Option<&'a [u8]>,
    upper: Option<&'a [u8]>,
    saturate: bool,
    expiry: Expiry<'a>,
    /// ENX: a deadline that is there stays.
    keeps_deadline: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    Integer,
    Float,
}

impl<'a> Options<'a> {
    /// Each word may be said once.
    fn parse(args: &Args<'a>) -> Result<Options<'a>, Failure> {
        let mut options = Options::default();
        let mut index = 2;
        while index < args.len() {
            index += options.take(args, index).ok_or(Failure::Syntax)?;
        }
        if options.keeps_deadline && options.expiry == Expiry::Persist {
            return Err(Failure::Syntax);
        }
        if options.keeps_deadline && options.expiry == Expiry::Unstated {
            return Err(Failure::text("ERR ENX flag requires an expiration"));
        }
        Ok(options)
    }

    /// Takes the option at `index`; the number of its arguments, or none where it is not in place.
    fn take(&mut self, args: &Args<'a>, index: usize) -> Option<usize> {
        let operand = (index + 1 < args.len()).then(|| args.get(index + 1));
        let is = |word| args.is(index, word);
        if is("SATURATE") {
            return (!std::mem::replace(&mut self.saturate, true)).then_some(1);
        }
        if is("ENX") {
            return (!std::mem::replace(&mut self.keeps_deadline, true)).then_some(1);
        }
        let was_stated = if is("BYINT") {
            self.increment.replace((Kind::Integer, operand?)).is_some()
        } else if is("BYFLOAT") {
            self.increment.replace((Kind::Float, operand?)).is_some()
        } else if is("LBOUND") {
            self.lower.replace(operand?).is_some()
        } else if is("UBOUND") {
            self.upper.replace(operand?).is_some()
        } else {
            let (expiry, taken) = match is("PERSIST") {
                true => (Expiry::Persist, 1),
                false => Expiry::at(args, index)?,
            };
            let is_first = self.expiry == Expiry::Unstated;
            self.expiry = expiry;
            return is_first.then_some(taken);
        };
        (!was_stated).then_some(2)
    }
}

/// A kind of numbers to count in.
trait Number: Copy + Ord {
    const NOT_A_NUMBER: Failure;
    const NOT_AN_INCREMENT: &'static str;
    const NOT_A_LOWER_BOUND: &'static str;
    const NOT_AN_UPPER_BOUND: &'static str;
    /// All numbers of the kind.
    const LOWEST: Self;
    const HIGHEST: Self;
    const ZERO: Self;

    fn parse(text: &[u8]) -> Option<Self>;
    /// A number that counts may start from.
    fn check_start(self) -> Result<Self, Failure>;
    /// An increment.
    fn check_increment(self) -> Result<Self, Failure>;
    /// The sum; none beyond the kind's limits.
    fn plus(self, increment: Self) -> Option<Self>;
    /// What was added to get from `start` to `self`.
    fn since(self, start: Self) -> Result<Self, Failure>;
    fn is_negative(self) -> bool;
    fn text(self) -> String;
    fn reply(self, call: &mut Call<'_, '_, '_>);
}

impl Number for i64 {
    const NOT_A_NUMBER: Failure = Failure::NotInteger;
    const NOT_AN_INCREMENT: &'static str = "ERR Increment is not an integer or out of range";
    const NOT_A_LOWER_BOUND: &'static str = "ERR LBOUND is not an integer or out of range";
    const NOT_AN_UPPER_BOUND: &'static str = "ERR UBOUND is not an integer or out of range";
    const LOWEST: i64 = i64::MIN;
    const HIGHEST: i64 = i64::MAX;
    const ZERO: i64 = 0;

    fn parse(text: &[u8]) -> Option<i64> {
        parse_integer(text)
    }

    fn check_start(self) -> Result<i64, Failure> {
        Ok(self)
    }

    fn check_increment(self) -> Result<i64, Failure> {
        Ok(self)
    }

    fn plus(self, increment: i64) -> Option<i64> {
        self.checked_add(increment)
    }

    fn since(self, start: i64) -> Result<i64, Failure> {
        self.checked_sub(start).ok_or(Failure::text("ERR applied increment would overflow"))
    }

    fn is_negative(self) -> bool {
        self < 0
    }

    fn text(self) -> String {
        self.to_string()
    }

    fn reply(self, call: &mut Call<'_, '_, '_>) {
        call.reply.integer(self);
    }
}

impl Number for LongDouble {
    const NOT_A_NUMBER: Failure = Failure::NotFloat;
    const NOT_AN_INCREMENT: &'static str = "ERR Increment is not a valid float";
    const NOT_A_LOWER_BOUND: &'static str = "ERR LBOUND is not a valid float";
    const NOT_AN_UPPER_BOUND: &'static str = "ERR UBOUND is not a valid float";
    const LOWEST: LongDouble = LongDouble::Finite(Finite::MAX.negated());
    const HIGHEST: LongDouble = LongDouble::Finite(Finite::MAX);
    const ZERO: LongDouble = LongDouble::Finite(Finite::ZERO);

    fn parse(text: &[u8]) -> Option<LongDouble> {
        LongDouble::parse(text)
    }

    fn check_start(self) -> Result<LongDouble, Failure> {
        self.finite().map_or(Err(Failure::text("ERR value cannot be Infinity")), |_| Ok(self))
    }

    fn check_increment(self) -> Result<LongDouble, Failure> {
        let failure = Failure::text("ERR BYFLOAT increment cannot be Infinity");
        self.finite().map_or(Err(failure), |_| Ok(self))
    }

    fn plus(self, increment: LongDouble) -> Option<LongDouble> {
        LongDouble::plus(self, increment).map(LongDouble::Finite)
    }

    fn since(self, start: LongDouble) -> Result<LongDouble, Failure> {
        let difference = start.finite().and_then(|start| self.minus(start));
        let failure = Failure::text("ERR applied increment would be Infinity");
        difference.map(LongDouble::Finite).ok_or(failure)
    }

    fn is_negative(self) -> bool {
        self < Self::ZERO
    }

    fn text(self) -> String {
        self.finite().expect("what is stored or told is finite").to_text()
    }

    fn reply(self, call: &mut Call<'_, '_, '_>) {
        call.reply.double_text(&self.text());
    }
}

fn increx(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let options = Options::parse(call.args)?;
    match options.increment {
        Some((Kind::Float, increment)) => count::<LongDouble>(call, &options, increment),
        Some((Kind::Integer, increment)) => count::<i64>(call, &options, increment),
        None => count::<i64>(call, &options, b"1"),
    }
}

fn count<N: Number>(
    call: &mut Call<'_, '_, '_>,
    options: &Options<'_>,
    increment: &[u8],
) -> Result<(), Failure> {
    let increment =
        N::parse(increment).ok_or(Failure::text(N::NOT_AN_INCREMENT))?.check_increment()?;
    let bounds = bounds::<N>(options)?;
    let stated_ms = options.expiry.resolve(call.unit.now_ms(), "increx")?;
    let key = call.unit.key(call.db, call.args.get(1));
    let (old, old_deadline_ms) = match call.unit.get_to_change(&key) {
        Some(view) => (number_in::<N>(string_of(&view)?)?, view.expire_at_ms),
        None => (N::ZERO, None),
    };
    let Some(new) = sum(old, increment, &bounds, options.saturate) else {
        reply(call, old, N::ZERO);
        return Ok(());
    };
    let applied = new.since(old)?;
    let deadline_ms = match options.expiry {
        Expiry::At { .. } if !options.keeps_deadline || old_deadline_ms.is_none() => stated_ms,
        Expiry::Persist => None,
        _ => old_deadline_ms,
    };
    store(call, &key, &new.text(), deadline_ms);
    reply(call, new, applied);
    Ok(())
}

fn bounds<N: Number>(options: &Options<'_>) -> Result<RangeInclusive<N>, Failure> {
    let lower = options.lower.map_or(Some(N::LOWEST), N::parse);
    let lower = lower.ok_or(Failure::text(N::NOT_A_LOWER_BOUND))?;
    let upper = options.upper.map_or(Some(N::HIGHEST), N::parse);
    let upper = upper.ok_or(Failure::text(N::NOT_AN_UPPER_BOUND))?;
    match lower <= upper {
        true => Ok(lower..=upper),
        false => Err(Failure::text("ERR LBOUND can't be greater than UBOUND")),
    }
}

fn number_in<N: Number>(value: StringRef<'_>) -> Result<N, Failure> {
    value.flat().and_then(N::parse).ok_or(N::NOT_A_NUMBER)?.check_start()
}

/// The new number; none where it would be out of bounds and they do not hold it back.
fn sum<N: Number>(old: N, increment: N, bounds: &RangeInclusive<N>, saturate: bool) -> Option<N> {
    let sum = old.plus(increment);
    if let Some(sum) = sum.filter(|sum| bounds.contains(sum)) {
        return Some(sum);
    }
    let limit = if increment.is_negative() { N::LOWEST } else { N::HIGHEST };
    saturate.then(|| sum.unwrap_or(limit).clamp(*bounds.start(), *bounds.end()))
}

/// Stores a number; a deadline that has passed deletes its key instead.
fn store(call: &mut Call<'_, '_, '_>, key: &Key<'_>, text: &str, deadline_ms: Option<u64>) {
    if deadline_ms.is_some_and(|at| at <= call.unit.now_ms()) {
        call.unit.delete(key, DeleteReason::Command);
    } else {
        call.unit.put(key, NewString::Copied(text.as_bytes()), deadline_ms);
    }
}

fn reply<N: Number>(call: &mut Call<'_, '_, '_>, value: N, applied: N) {
    call.reply.array(2);
    value.reply(call);
    applied.reply(call);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::testing::{deadline, extra_frame_bytes, run, unit};
    use crate::engine::unit::Unit;

    const NOW_MS: u64 = 1_600_000_000_000;

    /// INCREX of `k`, which holds `value` before.
    fn count_from(unit: &mut Unit<'_>, value: &str, options: &str) -> String {
        run(unit, &["SET", "k", value]);
        count(unit, options)
    }

    fn count(unit: &mut Unit<'_>, options: &str) -> String {
        let args: Vec<&str> = ["INCREX", "k"].into_iter().chain(options.split(' ')).collect();
        run(unit, &args)
    }

    #[test]
    fn integers_are_counted_within_bounds() {
        let unit = &mut unit();
        assert_eq!(run(unit, &["INCREX", "k"]), "*2 :1 :1");
        for (value, options, reply, after) in [
            ("10", "BYINT -15", "*2 :-5 :-15", "-5"),
            ("10", "BYINT 5 UBOUND 15", "*2 :15 :5", "15"),
            ("10", "BYINT 6 UBOUND 15", "*2 :10 :0", "10"),
            ("10", "BYINT 6 ubound 15 saturate", "*2 :15 :5", "15"),
            ("10", "BYINT -9 LBOUND 5", "*2 :10 :0", "10"),
            ("10", "SATURATE BYINT -9 LBOUND 5", "*2 :5 :-5", "5"),
            ("10", "BYINT 5 UBOUND 5 SATURATE", "*2 :5 :-5", "5"),
            ("10", "BYINT -5 LBOUND 20 SATURATE", "*2 :20 :10", "20"),
            ("50", "BYINT -25 UBOUND 30", "*2 :25 :-25", "25"),
            ("9223372036854775800", "BYINT 8", "*2 :9223372036854775800 :0", "9223372036854775800"),
            (
                "9223372036854775800",
                "BYINT 8 SATURATE",
                "*2 :9223372036854775807 :7",
                "9223372036854775807",
            ),
            (
                "-9223372036854775800",
                "BYINT -9 SATURATE",
                "*2 :-9223372036854775808 :-8",
                "-9223372036854775808",
            ),
            ("10", "BYINT 9223372036854775807 UBOUND 100 SATURATE", "*2 :100 :90", "100"),
        ] {
            assert_eq!(count_from(unit, value, options), reply, "{value} {options}");
            assert_eq!(run(unit, &["GET", "k"]), format!("${} {after}", after.len()), "{options}");
        }
    }

    #[test]
    fn fractions_are_counted_within_bounds() {
        let unit = &mut unit();
        for (value, options, reply, after) in [
            ("1.5", "BYFLOAT 0.25", "*2 $4 1.75 $4 0.25", "1.75"),
            ("10", "BYFLOAT 100 UBOUND 42.5 SATURATE", "*2 $4 42.5 $4 32.5", "42.5"),
            ("10", "BYFLOAT 100 UBOUND 42.5", "*2 $2 10 $1 0", "10"),
            ("0", "BYFLOAT -100 LBOUND -5.5 SATURATE", "*2 $4 -5.5 $4 -5.5", "-5.5"),
            ("10", "BYFLOAT 1e4932 UBOUND 100", "*2 $2 10 $1 0", "10"),
            ("10", "BYFLOAT 1 UBOUND inf LBOUND -inf", "*2 $2 11 $1 1", "11"),
            ("10", "BYFLOAT 1 LBOUND inf UBOUND inf", "*2 $2 10 $1 0", "10"),
        ] {
            assert_eq!(count_from(unit, value, options), reply, "{value} {options}");
            assert_eq!(run(unit, &["GET", "k"]), format!("${} {after}", after.len()), "{options}");
        }
        let largest = Finite::MAX.to_text();
        let reply = count_from(unit, "1e4932", "BYFLOAT 1e4932 SATURATE");
        assert!(reply.starts_with(&format!("*2 ${} {largest}", largest.len())), "{reply}");
        let extra = extra_frame_bytes(&["INCREX", "k", "BYFLOAT", "1"], 16);
        assert!(extra >= largest.len() as u64);
    }

    #[test]
    fn what_is_refused_makes_no_key_and_saturation_does() {
        let unit = &mut unit();
        for options in ["UBOUND 0", "LBOUND 5", "BYFLOAT 1 UBOUND 0.5", "UBOUND 0 EX 10"] {
            let reply = count(unit, options);
            assert!(["*2 :0 :0", "*2 $1 0 $1 0"].contains(&reply.as_str()), "{options}");
            assert_eq!(run(unit, &["EXISTS", "k"]), ":0", "{options}");
        }
        assert_eq!(count(unit, "UBOUND 0 SATURATE"), "*2 :0 :0");
        assert_eq!(run(unit, &["GET", "k"]), "$1 0");
    }

    #[test]
    fn deadlines_are_set_kept_and_removed() {
        let unit = &mut unit();
        let (kept, new) = (Some(NOW_MS + 500_000), Some(NOW_MS + 10_000));
        for (before, options, after) in [
            (kept, "BYINT 1", kept),
            (kept, "EX 10", new),
            (None, "px 10000", new),
            (kept, "EXAT 1600000010", new),
            (kept, "PXAT 1600000010000 BYFLOAT 1", new),
            (kept, "PERSIST", None),
            (None, "PERSIST", None),
            (kept, "EX 10 ENX", kept),
            (None, "ENX EX 10", new),
            (kept, "EXAT 1 ENX", kept),
            (kept, "BYINT 9 UBOUND 2 PERSIST", kept),
            (None, "BYINT 9 UBOUND 2 EX 10", None),
            (None, "BYINT 9 UBOUND 2 SATURATE EX 10", new),
        ] {
            run(unit, &["SET", "k", "1"]);
            if before.is_some() {
                run(unit, &["EXPIRE", "k", "500"]);
            }
            assert!(count(unit, options).starts_with("*2 "), "{options}");
            assert_eq!(deadline(unit, "k"), after, "{options}");
        }
        assert_eq!(count_from(unit, "1", "EXAT 1"), "*2 :2 :1");
        assert_eq!(run(unit, &["EXISTS", "k"]), ":0");
        assert_eq!(count(unit, "PXAT 1 ENX"), "*2 :1 :1");
        assert_eq!(run(unit, &["EXISTS", "k"]), ":0");
    }

    #[test]
    fn bad_options_change_nothing() {
        let unit = &mut unit();
        let syntax = "-ERR syntax error";
        let greater = "-ERR LBOUND can't be greater than UBOUND";
        for (options, error) in [
            ("FOO", syntax),
            ("BYINT", syntax),
            ("BYINT 1 BYFLOAT 1", syntax),
            ("BYINT 1 BYINT 1", syntax),
            ("LBOUND 1 LBOUND 1", syntax),
            ("SATURATE SATURATE", syntax),
            ("EX 1 EX 1", syntax),
            ("EX 1 PERSIST", syntax),
            ("PERSIST ENX", syntax),
            ("ENX PERSIST", syntax),
            ("KEEPTTL", syntax),
            ("NX", syntax),
            ("ENX", "-ERR ENX flag requires an expiration"),
            ("BYINT 1.5", "-ERR Increment is not an integer or out of range"),
            ("BYFLOAT x", "-ERR Increment is not a valid float"),
            ("BYFLOAT nan", "-ERR Increment is not a valid float"),
            ("BYFLOAT -inf", "-ERR BYFLOAT increment cannot be Infinity"),
            ("LBOUND 1.5", "-ERR LBOUND is not an integer or out of range"),
            ("UBOUND inf", "-ERR UBOUND is not an integer or out of range"),
            ("BYFLOAT 1 LBOUND x", "-ERR LBOUND is not a valid float"),
            ("BYFLOAT 1 UBOUND x", "-ERR UBOUND is not a valid float"),
            ("LBOUND 10 UBOUND 5", greater),
            ("BYFLOAT 1 LBOUND inf", greater),
            ("EX 0", "-ERR invalid expire time in 'increx' command"),
            ("EX x", "-ERR value is not an integer or out of range"),
        ] {
            assert_eq!(count_from(unit, "5", options), error, "{options}");
            assert_eq!(run(unit, &["GET", "k"]), "$1 5", "{options}");
        }
    }

    #[test]
    fn what_cannot_be_counted_is_refused() {
        let unit = &mut unit();
        for (value, options, error) in [
            ("x", "BYINT 1", "-ERR value is not an integer or out of range"),
            ("1.5", "BYINT 1", "-ERR value is not an integer or out of range"),
            ("x", "BYFLOAT 1", "-ERR value is not a valid float"),
            ("inf", "BYFLOAT 1", "-ERR value cannot be Infinity"),
            (
                "9223372036854775800",
                "SATURATE UBOUND -9223372036854775808",
                "-ERR applied increment would overflow",
            ),
            (
                "10",
                "BYFLOAT 1 LBOUND inf UBOUND inf SATURATE",
                "-ERR applied increment would be Infinity",
            ),
            (
                "-1e4932",
                "BYFLOAT 1e4932 LBOUND 1e4932 SATURATE",
                "-ERR applied increment would be Infinity",
            ),
        ] {
            assert_eq!(count_from(unit, value, options), error, "{value} {options}");
            assert_eq!(run(unit, &["GET", "k"]), format!("${} {value}", value.len()));
        }
        run(unit, &["DEL", "k"]);
        run(unit, &["RPUSH", "k", "1"]);
        assert!(run(unit, &["INCREX", "k"]).starts_with("-WRONGTYPE"));
    }
}
