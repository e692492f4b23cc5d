//! Storing a whole string: SET and its older relatives.

use crate::command::args::Args;
use crate::command::expire_time::{
    Condition, Expiry, OptionForm, StringOptions, TimeUnit, deadline_ms, parse_options,
};
use crate::command::row::{first_key, key_arg, one_of, word};
use crate::command::spec::key_flag::{ACCESS, INSERT, OW, RW, UPDATE, VARIABLE_FLAGS};
use crate::command::spec::{Arg, ArgKind, Call, Command, Failure, Group, Spec, flag};
use crate::engine::unit::{Key, View};
use crate::format::record::DeleteReason;

use super::value::{new_string, reply_string, string_of};

const VALUE: Arg = Arg::new("value", ArgKind::String);

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "set",
            arity: -3,
            flags: flag::WRITE | flag::DENYOOM | flag::REPLACES,
            keys: &[first_key(RW | ACCESS | UPDATE | VARIABLE_FLAGS)
                .note("RW and ACCESS due to the optional `GET` argument")],
            group: Group::String,
            summary: "Stores a string under a key, whatever the key held.",
            args: &[
                key_arg(),
                VALUE,
                one_of(
                    "condition",
                    &[
                        word("nx", "NX"),
                        word("xx", "XX"),
                        Arg::new("ifeq-value", ArgKind::String).behind("IFEQ").since("8.4.0"),
                        Arg::new("ifne-value", ArgKind::String).behind("IFNE").since("8.4.0"),
                        Arg::new("ifdeq-digest", ArgKind::Integer).behind("IFDEQ").since("8.4.0"),
                        Arg::new("ifdne-digest", ArgKind::Integer).behind("IFDNE").since("8.4.0"),
                    ],
                )
                .since("2.6.12")
                .optional(),
                word("get", "GET").since("6.2.0").optional(),
                one_of(
                    "expiration",
                    &[
                        Arg::new("seconds", ArgKind::Integer).behind("EX").since("2.6.12"),
                        Arg::new("milliseconds", ArgKind::Integer).behind("PX").since("2.6.12"),
                        Arg::new("unix-time-seconds", ArgKind::UnixTime)
                            .behind("EXAT")
                            .since("6.2.0"),
                        Arg::new("unix-time-milliseconds", ArgKind::UnixTime)
                            .behind("PXAT")
                            .since("6.2.0"),
                        word("keepttl", "KEEPTTL").since("6.0.0"),
                    ],
                )
                .optional(),
            ],
            history: &[
                ("2.6.12", "The options `EX`, `PX`, `NX` and `XX`."),
                ("6.0.0", "The option `KEEPTTL`."),
                ("6.2.0", "The options `GET`, `EXAT` and `PXAT`."),
                ("7.0.0", "`NX` and `GET` may stand together."),
                ("8.4.0", "The options `IFEQ`, `IFNE`, `IFDEQ` and `IFDNE`."),
            ],
            looks: Some(looks_at_old),
            ..Spec::EMPTY
        },
        run: set,
    },
    Command {
        spec: Spec {
            name: "setex",
            arity: 4,
            flags: flag::WRITE | flag::DENYOOM | flag::REPLACES,
            keys: &[first_key(OW | UPDATE)],
            group: Group::String,
            since: "2.0.0",
            summary: "Stores a string that expires after some seconds.",
            args: &[key_arg(), Arg::new("seconds", ArgKind::Integer), VALUE],
            deprecated: Some(("2.6.12", "`SET` with the `EX` argument")),
            ..Spec::EMPTY
        },
        run: setex,
    },
    Command {
        spec: Spec {
            name: "psetex",
            arity: 4,
            flags: flag::WRITE | flag::DENYOOM | flag::REPLACES,
            keys: &[first_key(OW | UPDATE)],
            group: Group::String,
            since: "2.6.0",
            summary: "Stores a string that expires after some milliseconds.",
            args: &[key_arg(), Arg::new("milliseconds", ArgKind::Integer), VALUE],
            deprecated: Some(("2.6.12", "`SET` with the `PX` argument")),
            ..Spec::EMPTY
        },
        run: psetex,
    },
    Command {
        spec: Spec {
            name: "setnx",
            arity: 3,
            flags: flag::WRITE | flag::DENYOOM | flag::FAST,
            keys: &[first_key(OW | INSERT)],
            group: Group::String,
            summary: "Stores a string unless the key is there already.",
            args: &[key_arg(), VALUE],
            deprecated: Some(("2.6.12", "`SET` with the `NX` argument")),
            ..Spec::EMPTY
        },
        run: setnx,
    },
    Command {
        spec: Spec {
            name: "getset",
            arity: 3,
            flags: flag::WRITE | flag::DENYOOM | flag::FAST,
            keys: &[first_key(RW | ACCESS | UPDATE)],
            group: Group::String,
            summary: "Stores a string and returns the one that it replaces.",
            args: &[key_arg(), VALUE],
            deprecated: Some(("6.2.0", "`SET` with the `!GET` argument")),
            ..Spec::EMPTY
        },
        run: getset,
    },
];

/// Whether SET has an option beside a deadline: most of them depend on what the key holds.
fn looks_at_old(args: &Args<'_>) -> bool {
    match args.len() {
        ..=3 => false,
        5 => !["EX", "PX", "EXAT", "PXAT"].iter().any(|word| args.is(3, word)),
        _ => true,
    }
}

fn set(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    if call.args.len() > 3 {
        let options = parse_options(call.args, 3, OptionForm::Set)?;
        return set_with_options(call, options);
    }
    let key = call.unit.key(call.db, call.args.get(1));
    call.unit.put(&key, new_string(call.args, 2), None);
    call.reply.ok();
    Ok(())
}

fn set_with_options(
    call: &mut Call<'_, '_, '_>,
    options: StringOptions<'_>,
) -> Result<(), Failure> {
    let stated_ms = options.expiry.resolve(call.unit.now_ms(), "set")?;
    let key = call.unit.key(call.db, call.args.get(1));
    let mut old_deadline_ms = None;
    let mut stores = true;
    if options.condition != Condition::Always || options.get || options.expiry == Expiry::Keep {
        let view = match options.get {
            true => call.unit.get(&key),
            false => call.unit.get_to_change(&key),
        };
        stores = may_store(options.condition, view.as_ref())?;
        old_deadline_ms = view.and_then(|view| view.expire_at_ms);
        match view {
            Some(view) if options.get => reply_string(call.reply, string_of(&view)?),
            None if options.get => call.reply.null(),
            _ => {}
        }
    }
    if !stores {
        if !options.get {
            call.reply.null();
        }
        return Ok(());
    }
    let deadline_ms = match options.expiry {
        Expiry::Keep => old_deadline_ms,
        _ => stated_ms,
    };
    store(call, &key, 2, deadline_ms);
    if !options.get {
        call.reply.ok();
    }
    Ok(())
}

/// Whether a condition lets a key be overwritten that holds this, or nothing.
fn may_store(condition: Condition<'_>, view: Option<&View<'_>>) -> Result<bool, Failure> {
    match (condition, view) {
        (Condition::Always, _) => Ok(true),
        (Condition::Absent, view) => Ok(view.is_none()),
        (Condition::Present, view) => Ok(view.is_some()),
        (Condition::If(comparison), None) => Ok(comparison.holds_for_none()),
        (Condition::If(comparison), Some(view)) => comparison.holds(string_of(view)?),
    }
}

/// Stores argument `index`; a deadline that has passed deletes the key instead.
pub(super) fn store(
    call: &mut Call<'_, '_, '_>,
    key: &Key<'_>,
    index: usize,
    deadline_ms: Option<u64>,
) {
    if deadline_ms.is_some_and(|at| at <= call.unit.now_ms()) {
        call.unit.delete(key, DeleteReason::Command);
    } else {
        call.unit.put(key, new_string(call.args, index), deadline_ms);
    }
}

fn setex(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    set_for(call, TimeUnit::Seconds, "setex")
}

fn psetex(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    set_for(call, TimeUnit::Milliseconds, "psetex")
}

fn set_for(
    call: &mut Call<'_, '_, '_>,
    unit: TimeUnit,
    command: &'static str,
) -> Result<(), Failure> {
    let at = deadline_ms(call.args.get(2), unit, call.unit.now_ms(), command)?;
    let key = call.unit.key(call.db, call.args.get(1));
    store(call, &key, 3, Some(at));
    call.reply.ok();
    Ok(())
}

fn setnx(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    let absent = call.unit.get_to_change(&key).is_none();
    if absent {
        call.unit.put(&key, new_string(call.args, 2), None);
    }
    call.reply.integer(i64::from(absent));
    Ok(())
}

fn getset(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let options = StringOptions { get: true, ..StringOptions::default() };
    set_with_options(call, options)
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{deadline, run, unit};

    #[test]
    fn conditions_decide_and_get_returns_the_old_string() {
        let unit = &mut unit();
        assert_eq!(run(unit, &["SET", "k", "a", "XX"]), "$-1");
        assert_eq!(run(unit, &["GET", "k"]), "$-1");
        assert_eq!(run(unit, &["SET", "k", "a", "nx", "get"]), "$-1");
        assert_eq!(run(unit, &["SET", "k", "b", "NX", "GET", "GET", "NX"]), "$1 a");
        assert_eq!(run(unit, &["SET", "k", "b", "NX"]), "$-1");
        assert_eq!(run(unit, &["GET", "k"]), "$1 a");
        assert_eq!(run(unit, &["SET", "k", "b", "XX", "GET"]), "$1 a");
        assert_eq!(run(unit, &["SET", "k", "c", "XX"]), "+OK");
        assert_eq!(run(unit, &["GETSET", "k", "d"]), "$1 c");
        assert_eq!(run(unit, &["SETNX", "k", "e"]), ":0");
        assert_eq!(run(unit, &["SETNX", "new", "e"]), ":1");
        assert_eq!(run(unit, &["MGET", "k", "new"]), "*2 $1 d $1 e");
    }

    #[test]
    fn deadlines_are_set_kept_and_discarded() {
        let unit = &mut unit();
        let now_ms = 1_600_000_000_000;
        for (options, want) in [
            (&["EX", "10"][..], Some(now_ms + 10_000)),
            (&["px", "10"], Some(now_ms + 10)),
            (&["KEEPTTL", "KEEPTTL"], Some(now_ms + 10)),
            (&["EXAT", "1700000000"], Some(1_700_000_000_000)),
            (&["PXAT", "1700000000001"], Some(1_700_000_000_001)),
            (&["EX", "1", "EX", "2"], Some(now_ms + 2000)),
            (&[], None),
            (&["KEEPTTL"], None),
        ] {
            assert_eq!(run(unit, &[&["SET", "k", "v"], options].concat()), "+OK");
            assert_eq!(deadline(unit, "k"), want, "{options:?}");
        }
        assert_eq!(run(unit, &["SETEX", "k", "3", "w"]), "+OK");
        assert_eq!(deadline(unit, "k"), Some(now_ms + 3000));
        assert_eq!(run(unit, &["PSETEX", "k", "3", "w"]), "+OK");
        assert_eq!(deadline(unit, "k"), Some(now_ms + 3));
        assert_eq!(run(unit, &["GETSET", "k", "x"]), "$1 w");
        assert_eq!(deadline(unit, "k"), None);
    }

    #[test]
    fn a_deadline_in_the_past_deletes() {
        let unit = &mut unit();
        run(unit, &["SET", "k", "v"]);
        assert_eq!(run(unit, &["SET", "k", "w", "GET", "EXAT", "1"]), "$1 v");
        assert_eq!(run(unit, &["GET", "k"]), "$-1");
        assert_eq!(run(unit, &["SET", "k", "w", "PXAT", "1600000000000"]), "+OK");
        assert_eq!(run(unit, &["GET", "k"]), "$-1");
    }

    #[test]
    fn bad_options_change_nothing() {
        let unit = &mut unit();
        run(unit, &["SET", "k", "v", "EX", "100"]);
        let bad: [&[&str]; 10] = [
            &["NX", "XX"],
            &["XX", "NX"],
            &["EX", "1", "PX", "1"],
            &["EX", "1", "EXAT", "1"],
            &["EX", "1", "KEEPTTL"],
            &["KEEPTTL", "EX", "1"],
            &["PERSIST"],
            &["EX"],
            &["FOO"],
            &["EX", "abc", "FOO"],
        ];
        for options in bad {
            let command = [&["SET", "k", "w"], options].concat();
            assert_eq!(run(unit, &command), "-ERR syntax error", "{options:?}");
        }
        let not_integer = "-ERR value is not an integer or out of range";
        let invalid = "-ERR invalid expire time in 'set' command";
        for (options, error) in [
            (["EX", "abc"], not_integer),
            (["EX", "0"], invalid),
            (["PXAT", "-1"], invalid),
            (["EX", "9223372036854775807"], invalid),
            (["PX", "9223372036854775807"], invalid),
        ] {
            let command = [&["SET", "k", "w"], &options[..]].concat();
            assert_eq!(run(unit, &command), error, "{options:?}");
        }
        let invalid = "-ERR invalid expire time in 'psetex' command";
        assert_eq!(run(unit, &["PSETEX", "k", "0", "w"]), invalid);
        assert_eq!(run(unit, &["GET", "k"]), "$1 v");
        assert_eq!(deadline(unit, "k"), Some(1_600_000_100_000));
    }

    #[test]
    fn comparisons_with_the_old_string_decide() {
        let unit = &mut unit();
        assert_eq!(run(unit, &["SET", "k", "a", "IFEQ", "x"]), "$-1");
        assert_eq!(run(unit, &["SET", "k", "a", "IFDEQ", "short"]), "$-1");
        assert_eq!(run(unit, &["EXISTS", "k"]), ":0");
        assert_eq!(run(unit, &["SET", "k", "Hello world", "IFNE", "x"]), "+OK");
        assert_eq!(run(unit, &["SET", "k", "b", "ifne", "Hello world"]), "$-1");
        assert_eq!(run(unit, &["SET", "k", "b", "IFDEQ", "B6ACB9D84A38FF74", "EX", "9"]), "+OK");
        assert_eq!(deadline(unit, "k"), Some(1_600_000_009_000));
        assert_eq!(run(unit, &["SET", "k", "c", "IFEQ", "x", "GET"]), "$1 b");
        assert_eq!(run(unit, &["SET", "k", "c", "GET", "IFEQ", "b", "KEEPTTL"]), "$1 b");
        assert_eq!(run(unit, &["GET", "k"]), "$1 c");
        assert_eq!(deadline(unit, "k"), Some(1_600_000_009_000));
        assert_eq!(run(unit, &["SET", "n", "1", "GET", "IFNE", ""]), "$-1");
        assert_eq!(run(unit, &["SET", "n", "2", "IFDNE", "0000000000000000"]), "+OK");
        assert_eq!(run(unit, &["INCR", "n"]), ":3");
        assert_eq!(run(unit, &["SET", "n", "4", "IFEQ", "9", "IFEQ", "3"]), "+OK");
    }

    #[test]
    fn comparisons_want_strings_and_whole_digests() {
        let unit = &mut unit();
        run(unit, &["SET", "k", "v"]);
        run(unit, &["RPUSH", "l", "v"]);
        for word in ["IFEQ", "IFNE", "IFDEQ", "IFDNE"] {
            let reply = run(unit, &["SET", "l", "w", word, "v"]);
            assert!(reply.starts_with("-WRONGTYPE"), "{word}");
            let reply = run(unit, &["SET", "l", "w", word, "v", "GET"]);
            assert!(reply.starts_with("-WRONGTYPE"), "{word}");
            for other in [&["NX"][..], &["XX"], &["IFEQ", "v"], &["IFDNE", "v"]] {
                if other[0] != word {
                    let command = [&["SET", "k", "w", word, "v"], other].concat();
                    assert_eq!(run(unit, &command), "-ERR syntax error", "{command:?}");
                }
            }
            assert_eq!(run(unit, &["SET", "k", "w", word]), "-ERR syntax error");
            assert_eq!(run(unit, &["GETEX", "k", word, "v"]), "-ERR syntax error");
        }
        for word in ["IFDEQ", "IFDNE"] {
            let error = "-ERR must be exactly 16 hexadecimal characters";
            assert_eq!(run(unit, &["SET", "k", "w", word, "b6acb9d84a38ff7"]), error);
            assert_eq!(run(unit, &["SET", "k", "w", word, "b6acb9d84a38ff7", "GET"]), error);
        }
        assert_eq!(run(unit, &["GET", "k"]), "$1 v");
    }
}
