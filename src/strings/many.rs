//! Storing several strings in one step: MSET, MSETNX, MSETEX.

use crate::command::expire_time::{Condition, Expiry, OptionForm, parse_options};
use crate::command::number::parse_integer;
use crate::command::row::{block, key_arg, keys_at, one_of, word};
use crate::command::spec::key_flag::{INSERT, OW, UPDATE};
use crate::command::spec::{
    Arg, ArgKind, BeginSearch, Call, Command, Failure, FindKeys, Group, KeySpec, Spec, flag,
};

use super::set::store;
use super::value::new_string;

const DATA: Arg = block("data", &[key_arg(), Arg::new("value", ArgKind::String)]).multiple();

/// What the rows of this file have in common.
const ROW: Spec = Spec {
    arity: -3,
    flags: flag::WRITE | flag::DENYOOM,
    group: Group::String,
    since: "1.0.1",
    complexity: "O(N), N being the number of keys.",
    args: &[DATA],
    ..Spec::EMPTY
};

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "mset",
            flags: flag::WRITE | flag::DENYOOM | flag::REPLACES,
            keys: &[keys_at(1, -1, 2, OW | UPDATE)],
            summary: "Stores several strings in one step.",
            tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
            ..ROW
        },
        run: mset,
    },
    Command {
        spec: Spec {
            name: "msetnx",
            keys: &[keys_at(1, -1, 2, OW | INSERT)],
            summary: "Stores several strings in one step, or none when any of the keys is there.",
            ..ROW
        },
        run: msetnx,
    },
    Command {
        spec: Spec {
            name: "msetex",
            arity: -4,
            flags: ROW.flags | flag::MOVABLE_KEYS,
            keys: &[COUNTED_PAIRS],
            since: "8.4.0",
            summary: "Stores several strings in one step, with one deadline for all.",
            args: &[
                Arg::new("numkeys", ArgKind::Integer),
                DATA,
                one_of("condition", &[word("nx", "NX"), word("xx", "XX")]).optional(),
                one_of(
                    "expiration",
                    &[
                        Arg::new("seconds", ArgKind::Integer).behind("EX"),
                        Arg::new("milliseconds", ArgKind::Integer).behind("PX"),
                        Arg::new("unix-time-seconds", ArgKind::UnixTime).behind("EXAT"),
                        Arg::new("unix-time-milliseconds", ArgKind::UnixTime).behind("PXAT"),
                        word("keepttl", "KEEPTTL"),
                    ],
                )
                .optional(),
            ],
            tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
            ..ROW
        },
        run: msetex,
    },
];

/// A number of pairs, and behind it keys with a value each.
const COUNTED_PAIRS: KeySpec = KeySpec {
    begin: BeginSearch::Index(1),
    find: FindKeys::KeyNum { count: 0, first: 1, step: 2 },
    flags: OW | UPDATE,
    notes: "",
};

fn mset(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    check_pairs(call, "ERR wrong number of arguments for 'mset' command")?;
    put_pairs(call);
    call.reply.ok();
    Ok(())
}

fn msetnx(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    check_pairs(call, "ERR wrong number of arguments for 'msetnx' command")?;
    for bytes in call.args.iter_from(1).step_by(2) {
        let key = call.unit.key(call.db, bytes);
        if call.unit.get_to_change(&key).is_some() {
            call.reply.integer(0);
            return Ok(());
        }
    }
    put_pairs(call);
    call.reply.integer(1);
    Ok(())
}

fn check_pairs(call: &Call<'_, '_, '_>, error: &'static str) -> Result<(), Failure> {
    match call.args.len() % 2 {
        1 => Ok(()),
        _ => Err(Failure::text(error)),
    }
}

fn put_pairs(call: &mut Call<'_, '_, '_>) {
    for index in (1..call.args.len()).step_by(2) {
        let key = call.unit.key(call.db, call.args.get(index));
        call.unit.put(&key, new_string(call.args, index + 1), None);
    }
}

fn msetex(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let args = call.args;
    let count =
        parse_integer(args.get(1)).filter(|count| (1..=i64::from(i32::MAX)).contains(count));
    let count = count.ok_or(Failure::text("ERR invalid numkeys value"))? as usize;
    let pairs = 2..2 + 2 * count;
    if pairs.end > args.len() {
        return Err(Failure::text("ERR wrong number of key-value pairs"));
    }
    let options = parse_options(args, pairs.end, OptionForm::MSetEx)?;
    let stated_ms = options.expiry.resolve(call.unit.now_ms(), "msetex")?;
    let wanted = options.condition == Condition::Present;
    if options.condition != Condition::Always {
        for index in pairs.clone().step_by(2) {
            let key = call.unit.key(call.db, args.get(index));
            if call.unit.get_to_change(&key).is_some() != wanted {
                call.reply.integer(0);
                return Ok(());
            }
        }
    }
    for index in pairs.step_by(2) {
        let key = call.unit.key(call.db, args.get(index));
        let deadline_ms = match options.expiry {
            Expiry::Keep => call.unit.get_to_change(&key).and_then(|view| view.expire_at_ms),
            _ => stated_ms,
        };
        store(call, &key, index + 1, deadline_ms);
    }
    call.reply.integer(1);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{deadline, run, unit};

    #[test]
    fn several_keys_are_stored_together_or_not_at_all() {
        let unit = &mut unit();
        assert_eq!(run(unit, &["MSET", "a", "1", "b", "2", "a", "3"]), "+OK");
        assert_eq!(run(unit, &["MGET", "a", "b"]), "*2 $1 3 $1 2");
        assert_eq!(run(unit, &["MSETNX", "c", "1", "b", "9"]), ":0");
        assert_eq!(run(unit, &["MSETNX", "c", "1", "d", "9"]), ":1");
        assert_eq!(run(unit, &["MGET", "b", "c", "d"]), "*3 $1 2 $1 1 $1 9");
        let error = "-ERR wrong number of arguments for 'mset' command";
        assert_eq!(run(unit, &["MSET", "a", "1", "b"]), error);
        let error = "-ERR wrong number of arguments for 'msetnx' command";
        assert_eq!(run(unit, &["MSETNX", "e", "1", "f"]), error);
        assert_eq!(run(unit, &["MGET", "a", "e"]), "*2 $1 3 $-1");
    }

    #[test]
    fn one_deadline_goes_to_all_keys() {
        let unit = &mut unit();
        assert_eq!(run(unit, &["MSETEX", "2", "a", "1", "b", "2", "EX", "10"]), ":1");
        assert_eq!(run(unit, &["MGET", "a", "b"]), "*2 $1 1 $1 2");
        assert_eq!(deadline(unit, "b"), Some(1_600_000_010_000));
        assert_eq!(run(unit, &["MSETEX", "2", "a", "3", "c", "4", "KEEPTTL", "KEEPTTL"]), ":1");
        assert_eq!((deadline(unit, "a"), deadline(unit, "c")), (Some(1_600_000_010_000), None));
        assert_eq!(run(unit, &["MSETEX", "1", "a", "5"]), ":1");
        assert_eq!(deadline(unit, "a"), None);
        assert_eq!(run(unit, &["MSETEX", "2", "a", "6", "a", "7", "pxat", "1700000000000"]), ":1");
        assert_eq!(run(unit, &["GET", "a"]), "$1 7");
        assert_eq!(run(unit, &["MSETEX", "2", "a", "8", "b", "9", "EXAT", "1"]), ":1");
        assert_eq!(run(unit, &["EXISTS", "a", "b"]), ":0");
    }

    #[test]
    fn a_condition_is_on_all_keys_or_none_is_stored() {
        let unit = &mut unit();
        assert_eq!(run(unit, &["MSETEX", "2", "a", "1", "b", "1", "XX"]), ":0");
        assert_eq!(run(unit, &["MSETEX", "1", "a", "1", "NX", "PX", "50", "NX"]), ":1");
        assert_eq!(run(unit, &["MSETEX", "2", "a", "2", "b", "2", "XX"]), ":0");
        assert_eq!(run(unit, &["MSETEX", "2", "b", "2", "a", "2", "EX", "1", "NX"]), ":0");
        assert_eq!(run(unit, &["EXISTS", "b"]), ":0");
        run(unit, &["RPUSH", "b", "x"]);
        assert_eq!(run(unit, &["MSETEX", "2", "a", "3", "b", "4", "KEEPTTL", "XX"]), ":1");
        assert_eq!(run(unit, &["MGET", "a", "b"]), "*2 $1 3 $1 4");
        assert_eq!(deadline(unit, "a"), Some(1_600_000_000_050));
    }

    #[test]
    fn bad_calls_of_msetex_store_nothing() {
        let unit = &mut unit();
        let cases: [(&[&str], &str); 12] = [
            (&["0", "a", "1"], "-ERR invalid numkeys value"),
            (&["-1", "a", "1"], "-ERR invalid numkeys value"),
            (&["x", "a", "1"], "-ERR invalid numkeys value"),
            (&["2147483648", "a", "1"], "-ERR invalid numkeys value"),
            (&["2147483647", "a", "1"], "-ERR wrong number of key-value pairs"),
            (&["2", "a", "1", "b"], "-ERR wrong number of key-value pairs"),
            (&["1", "a", "1", "b", "2"], "-ERR syntax error"),
            (&["1", "a", "1", "NX", "XX"], "-ERR syntax error"),
            (&["1", "a", "1", "IFEQ", "1"], "-ERR syntax error"),
            (&["1", "a", "1", "EX", "1", "KEEPTTL"], "-ERR syntax error"),
            (&["1", "a", "1", "EX", "x"], "-ERR value is not an integer or out of range"),
            (&["1", "a", "1", "XX", "EX", "0"], "-ERR invalid expire time in 'msetex' command"),
        ];
        for (args, error) in cases {
            assert_eq!(run(unit, &[&["MSETEX"], args].concat()), error, "{args:?}");
        }
        assert_eq!(run(unit, &["DBSIZE"]), ":0");
    }
}
