//! Deadlines of keys: EXPIRE and its kin, TTL and its kin, PERSIST.
//!
//! A deadline is kept in absolute Unix milliseconds; one that has passed deletes the key at once.

use crate::command::args::Args;
use crate::command::expire_time::{TimeUnit, absolute_ms, invalid_expire_time};
use crate::command::number::integer;
use crate::command::row::{first_key, key_arg, one_of, word};
use crate::command::spec::key_flag::{ACCESS, RO, RW, UPDATE};
use crate::command::spec::{Arg, ArgKind, Call, Command, Failure, Spec, flag, quoted};
use crate::format::record::DeleteReason;

/// The rows of this family.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "expire",
            summary: "Lets a key expire after so many seconds.",
            args: &[key_arg(), Arg::new("seconds", ArgKind::Integer), CONDITION],
            ..SPEC_OF_EXPIRE
        },
        run: |call| expire(call, "expire", TimeUnit::Seconds, true),
    },
    Command {
        spec: Spec {
            name: "pexpire",
            since: "2.6.0",
            summary: "Lets a key expire after so many milliseconds.",
            args: &[key_arg(), Arg::new("milliseconds", ArgKind::Integer), CONDITION],
            ..SPEC_OF_EXPIRE
        },
        run: |call| expire(call, "pexpire", TimeUnit::Milliseconds, true),
    },
    Command {
        spec: Spec {
            name: "expireat",
            since: "1.2.0",
            summary: "Lets a key expire at a Unix time in seconds.",
            args: &[key_arg(), Arg::new("unix-time-seconds", ArgKind::UnixTime), CONDITION],
            ..SPEC_OF_EXPIRE
        },
        run: |call| expire(call, "expireat", TimeUnit::Seconds, false),
    },
    Command {
        spec: Spec {
            name: "pexpireat",
            since: "2.6.0",
            summary: "Lets a key expire at a Unix time in milliseconds.",
            args: &[key_arg(), Arg::new("unix-time-milliseconds", ArgKind::UnixTime), CONDITION],
            ..SPEC_OF_EXPIRE
        },
        run: |call| expire(call, "pexpireat", TimeUnit::Milliseconds, false),
    },
    Command {
        spec: Spec {
            name: "ttl",
            summary: "Tells in how many seconds a key expires.",
            tips: &["nondeterministic_output"],
            history: &[("2.8.0", "Answers -2 for a missing key.")],
            ..SPEC_OF_TTL
        },
        run: |call| remaining(call, TimeUnit::Seconds),
    },
    Command {
        spec: Spec {
            name: "pttl",
            since: "2.6.0",
            summary: "Tells in how many milliseconds a key expires.",
            tips: &["nondeterministic_output"],
            history: &[("2.8.0", "Answers -2 for a missing key.")],
            ..SPEC_OF_TTL
        },
        run: |call| remaining(call, TimeUnit::Milliseconds),
    },
    Command {
        spec: Spec {
            name: "expiretime",
            since: "7.0.0",
            summary: "Tells at what Unix time in seconds a key expires.",
            ..SPEC_OF_TTL
        },
        run: |call| deadline(call, TimeUnit::Seconds),
    },
    Command {
        spec: Spec {
            name: "pexpiretime",
            since: "7.0.0",
            summary: "Tells at what Unix time in milliseconds a key expires.",
            ..SPEC_OF_TTL
        },
        run: |call| deadline(call, TimeUnit::Milliseconds),
    },
    Command {
        spec: Spec {
            name: "persist",
            arity: 2,
            flags: flag::WRITE | flag::FAST,
            acl: &["keyspace"],
            keys: &[first_key(RW | UPDATE)],
            since: "2.2.0",
            summary: "Takes the deadline from a key, which then stays.",
            args: &[key_arg()],
            ..Spec::EMPTY
        },
        run: persist,
    },
];

/// What the commands that set a deadline have in common.
const SPEC_OF_EXPIRE: Spec = Spec {
    arity: -3,
    flags: flag::WRITE | flag::FAST,
    acl: &["keyspace"],
    keys: &[first_key(RW | UPDATE)],
    history: &[("7.0.0", "Takes `NX`, `XX`, `GT` and `LT`.")],
    ..Spec::EMPTY
};

/// What the commands that read a deadline have in common.
const SPEC_OF_TTL: Spec = Spec {
    arity: 2,
    flags: flag::READONLY | flag::FAST,
    acl: &["keyspace"],
    keys: &[first_key(RO | ACCESS)],
    args: &[key_arg()],
    ..Spec::EMPTY
};

const CONDITION: Arg =
    one_of("condition", &[word("nx", "NX"), word("xx", "XX"), word("gt", "GT"), word("lt", "LT")])
        .since("7.0.0")
        .optional();

/// When a deadline is set.
#[derive(Clone, Copy, Default)]
struct Conditions {
    /// NX: only where there is none.
    absent: bool,
    /// XX: only where there is one.
    present: bool,
    /// GT: only a later one.
    later: bool,
    /// LT: only an earlier one.
    earlier: bool,
}

impl Conditions {
    /// The options behind the time; the error with the client's own bytes when there is another
    /// word.
    fn parse<'a>(args: &Args<'a>) -> Result<Conditions, &'a [u8]> {
        let mut found = Conditions::default();
        for at in 3..args.len() {
            let option = match args.get(at).to_ascii_lowercase().as_slice() {
                b"nx" => &mut found.absent,
                b"xx" => &mut found.present,
                b"gt" => &mut found.later,
                b"lt" => &mut found.earlier,
                _ => return Err(args.get(at)),
            };
            *option = true;
        }
        Ok(found)
    }

    fn check(&self) -> Result<(), Failure> {
        if self.absent && (self.present || self.later || self.earlier) {
            return Err(Failure::text(
                "ERR NX and XX, GT or LT options at the same time are not compatible",
            ));
        }
        if self.later && self.earlier {
            return Err(Failure::text("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(())
    }

    /// Whether a deadline may replace `current`. A key without one counts as expiring never.
    fn allow(&self, current: Option<i64>, new: i64) -> bool {
        match current {
            None => !self.present && !self.later,
            Some(at) => !self.absent && (!self.later || new > at) && (!self.earlier || new < at),
        }
    }
}

fn expire(
    call: &mut Call<'_, '_, '_>,
    command: &str,
    unit: TimeUnit,
    relative: bool,
) -> Result<(), Failure> {
    let conditions = match Conditions::parse(call.args) {
        Ok(conditions) => conditions,
        Err(word) => return Err(Failure::quoting(&[b"ERR Unsupported option ", quoted(word)])),
    };
    conditions.check()?;
    let amount = integer(call.args.get(2))?;
    let now_ms = call.unit.now_ms();
    let base_ms = if relative { now_ms } else { 0 };
    let at = absolute_ms(amount, unit, base_ms).ok_or_else(|| invalid_expire_time(command))?;
    let key = call.unit.key(call.db, call.args.get(1));
    let view = call.unit.get_to_change(&key);
    let current = view.map(|view| view.expire_at_ms.map(signed));
    let allowed = current.is_some_and(|current| conditions.allow(current, at));
    if allowed {
        match u64::try_from(at) {
            Ok(at) if at > now_ms => call.unit.set_expiry(&key, Some(at)),
            _ => {
                call.unit.delete(&key, DeleteReason::Command);
            }
        }
    }
    call.reply.integer(i64::from(allowed));
    Ok(())
}

/// Replies with what `of` makes of a key's deadline; -2 for a missing key, -1 for one that stays.
fn report(call: &mut Call<'_, '_, '_>, of: impl Fn(u64) -> u64) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    let number = match call.unit.peek(&key).map(|view| view.expire_at_ms) {
        None => -2,
        Some(None) => -1,
        Some(Some(at)) => signed(of(at)),
    };
    call.reply.integer(number);
    Ok(())
}

fn remaining(call: &mut Call<'_, '_, '_>, unit: TimeUnit) -> Result<(), Failure> {
    let now_ms = call.unit.now_ms();
    report(call, |at| in_unit(at.saturating_sub(now_ms), unit))
}

fn deadline(call: &mut Call<'_, '_, '_>, unit: TimeUnit) -> Result<(), Failure> {
    report(call, |at| in_unit(at, unit))
}

/// Seconds are rounded to the nearest.
fn in_unit(ms: u64, unit: TimeUnit) -> u64 {
    match unit {
        TimeUnit::Seconds => ms / 1000 + u64::from(ms % 1000 >= 500),
        TimeUnit::Milliseconds => ms,
    }
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

fn persist(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    let expires = call.unit.get_to_change(&key).is_some_and(|view| view.expire_at_ms.is_some());
    if expires {
        call.unit.set_expiry(&key, None);
    }
    call.reply.integer(i64::from(expires));
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{deadline, run, unit};

    const NOW_MS: u64 = 1_600_000_000_000;

    #[test]
    fn the_four_forms_set_the_same_deadline() {
        let at_ms = (NOW_MS + 5000).to_string();
        let at = (NOW_MS / 1000 + 5).to_string();
        let forms: [(&str, &str); 4] =
            [("EXPIRE", "5"), ("PEXPIRE", "5000"), ("EXPIREAT", &at), ("PEXPIREAT", &at_ms)];
        for (command, time) in forms {
            let mut unit = unit();
            run(&mut unit, &["SET", "a", "1"]);
            assert_eq!(run(&mut unit, &[command, "a", time]), ":1", "{command}");
            assert_eq!(deadline(&mut unit, "a"), Some(NOW_MS + 5000), "{command}");
            assert_eq!(run(&mut unit, &["TTL", "a"]), ":5");
            assert_eq!(run(&mut unit, &["PTTL", "a"]), ":5000");
            assert_eq!(run(&mut unit, &["EXPIRETIME", "a"]), format!(":{at}"));
            assert_eq!(run(&mut unit, &["PEXPIRETIME", "a"]), format!(":{at_ms}"));
        }
    }

    #[test]
    fn a_deadline_in_the_past_deletes_the_key() {
        for (command, time) in [("EXPIRE", "0"), ("PEXPIRE", "-1"), ("EXPIREAT", "-5")] {
            let mut unit = unit();
            run(&mut unit, &["SET", "a", "1"]);
            assert_eq!(run(&mut unit, &[command, "a", time]), ":1", "{command}");
            assert_eq!(run(&mut unit, &["EXISTS", "a"]), ":0", "{command}");
        }
    }

    #[test]
    fn conditions_compare_with_the_present_deadline() {
        // (present deadline, condition, new deadline, whether it is set)
        let cases = [
            (None, "NX", "10", true),
            (None, "XX", "10", false),
            (None, "GT", "10", false),
            (None, "LT", "10", true),
            (Some("20"), "NX", "10", false),
            (Some("20"), "XX", "10", true),
            (Some("20"), "GT", "10", false),
            (Some("20"), "GT", "20", false),
            (Some("20"), "GT", "30", true),
            (Some("20"), "LT", "10", true),
            (Some("20"), "LT", "20", false),
            (Some("20"), "LT", "-30", true),
        ];
        for (present, condition, new, set) in cases {
            let mut unit = unit();
            run(&mut unit, &["SET", "a", "1"]);
            if let Some(seconds) = present {
                run(&mut unit, &["EXPIRE", "a", seconds]);
            }
            let reply = run(&mut unit, &["EXPIRE", "a", new, condition]);
            assert_eq!(reply, format!(":{}", set as u8), "{present:?} {condition} {new}");
        }
        let mut unit = unit();
        run(&mut unit, &["SET", "a", "1"]);
        assert_eq!(run(&mut unit, &["EXPIRE", "a", "10", "XX", "LT"]), ":0");
    }

    #[test]
    fn errors_come_in_the_order_of_redis() {
        let incompatible = "-ERR NX and XX, GT or LT options at the same time are not compatible";
        let cases: [(&[&str], &str); 7] = [
            (&["EXPIRE", "a", "x", "FOO"], "-ERR Unsupported option FOO"),
            (&["EXPIRE", "a", "x", "NX", "GT"], incompatible),
            (
                &["EXPIRE", "a", "1", "GT", "LT"],
                "-ERR GT and LT options at the same time are not compatible",
            ),
            (&["EXPIRE", "a", "x"], "-ERR value is not an integer or out of range"),
            (
                &["PEXPIRE", "a", "9223372036854775807"],
                "-ERR invalid expire time in 'pexpire' command",
            ),
            (
                &["EXPIREAT", "a", "-9223372036854775808"],
                "-ERR invalid expire time in 'expireat' command",
            ),
            (&["EXPIREAT", "a", "9223372036854775"], ":0"),
        ];
        for (args, reply) in cases {
            assert_eq!(run(&mut unit(), args), reply, "{args:?}");
        }
    }

    #[test]
    fn seconds_are_rounded_to_the_nearest() {
        let mut unit = unit();
        run(&mut unit, &["SET", "a", "1"]);
        for (ms, seconds) in [("1499", ":1"), ("1500", ":2"), ("1", ":0")] {
            run(&mut unit, &["PEXPIRE", "a", ms]);
            assert_eq!(run(&mut unit, &["TTL", "a"]), seconds, "{ms}");
        }
        run(&mut unit, &["PEXPIREAT", "a", "9223372036854775807"]);
        assert_eq!(run(&mut unit, &["EXPIRETIME", "a"]), ":9223372036854776");
    }

    #[test]
    fn keys_that_stay_and_missing_ones_are_told_apart() {
        let mut unit = unit();
        run(&mut unit, &["SET", "a", "1"]);
        for command in ["TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME"] {
            assert_eq!(run(&mut unit, &[command, "a"]), ":-1");
            assert_eq!(run(&mut unit, &[command, "no"]), ":-2");
        }
        assert_eq!(run(&mut unit, &["PERSIST", "a"]), ":0");
        assert_eq!(run(&mut unit, &["PERSIST", "no"]), ":0");
        run(&mut unit, &["EXPIRE", "a", "10"]);
        assert_eq!(run(&mut unit, &["PERSIST", "a"]), ":1");
        assert_eq!(run(&mut unit, &["TTL", "a"]), ":-1");
    }
}
