//! Reading whole strings: GET, MGET, STRLEN, GETDEL, GETEX.

use crate::command::expire_time::{Expiry, OptionForm, parse_options};
use crate::command::row::{first_key, key_arg, keys_at, one_of, word};
use crate::command::spec::key_flag::{ACCESS, DELETE, RO, RW, UPDATE};
use crate::command::spec::{Arg, ArgKind, Call, Command, Failure, Group, Spec, flag};
use crate::format::record::DeleteReason;

use super::value::{reply_string, string_of};

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "get",
            arity: 2,
            flags: flag::READONLY | flag::FAST,
            keys: &[first_key(RO | ACCESS)],
            group: Group::String,
            summary: "Reads the string that a key holds.",
            args: &[key_arg()],
            ..Spec::EMPTY
        },
        run: get,
    },
    Command {
        spec: Spec {
            name: "mget",
            arity: -2,
            flags: flag::READONLY | flag::FAST,
            keys: &[keys_at(1, -1, 1, RO | ACCESS)],
            group: Group::String,
            complexity: "O(N), N being the number of keys.",
            summary: "Reads the strings of several keys at one point in time.",
            args: &[key_arg().multiple()],
            tips: &["request_policy:multi_shard"],
            ..Spec::EMPTY
        },
        run: mget,
    },
    Command {
        spec: Spec {
            name: "strlen",
            arity: 2,
            flags: flag::READONLY | flag::FAST,
            keys: &[first_key(RO)],
            group: Group::String,
            since: "2.2.0",
            summary: "Tells how many bytes a string has.",
            args: &[key_arg()],
            ..Spec::EMPTY
        },
        run: strlen,
    },
    Command {
        spec: Spec {
            name: "getdel",
            arity: 2,
            flags: flag::WRITE | flag::FAST,
            keys: &[first_key(RW | ACCESS | DELETE)],
            group: Group::String,
            since: "6.2.0",
            summary: "Reads a string and deletes its key.",
            args: &[key_arg()],
            ..Spec::EMPTY
        },
        run: getdel,
    },
    Command {
        spec: Spec {
            name: "getex",
            arity: -2,
            flags: flag::WRITE | flag::FAST,
            keys: &[
                first_key(RW | ACCESS | UPDATE).note("RW and UPDATE because it changes the TTL")
            ],
            group: Group::String,
            since: "6.2.0",
            summary: "Reads a string and sets, changes or removes its key's deadline.",
            args: &[
                key_arg(),
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
            ],
            ..Spec::EMPTY
        },
        run: getex,
    },
];

fn get(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    match call.unit.get(&key) {
        Some(view) => reply_string(call.reply, string_of(&view)?),
        None => call.reply.null(),
    }
    Ok(())
}

fn mget(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    call.reply.array(call.args.len() - 1);
    for bytes in call.args.iter_from(1) {
        let key = call.unit.key(call.db, bytes);
        // A key of another type counts as missing here.
        match call.unit.get(&key).map(|view| string_of(&view)) {
            Some(Ok(value)) => reply_string(call.reply, value),
            _ => call.reply.null(),
        }
    }
    Ok(())
}

fn strlen(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    let len = match call.unit.get(&key) {
        Some(view) => string_of(&view)?.len(),
        None => 0,
    };
    call.reply.integer(len as i64);
    Ok(())
}

fn getdel(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    let Some(view) = call.unit.get(&key) else {
        call.reply.null();
        return Ok(());
    };
    reply_string(call.reply, string_of(&view)?);
    call.unit.delete(&key, DeleteReason::Command);
    Ok(())
}

fn getex(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let options = parse_options(call.args, 2, OptionForm::GetEx)?;
    let now_ms = call.unit.now_ms();
    let key = call.unit.key(call.db, call.args.get(1));
    let Some(view) = call.unit.get(&key) else {
        call.reply.null();
        return Ok(());
    };
    let value = string_of(&view)?;
    let had_deadline = view.expire_at_ms.is_some();
    let deadline_ms = options.expiry.resolve(now_ms, "getex")?;
    reply_string(call.reply, value);
    match deadline_ms {
        Some(at) if at <= now_ms => {
            call.unit.delete(&key, DeleteReason::Command);
        }
        Some(at) => call.unit.set_expiry(&key, Some(at)),
        None if options.expiry == Expiry::Persist && had_deadline => {
            call.unit.set_expiry(&key, None);
        }
        None => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{run, unit};

    #[test]
    fn reads_follow_the_key() {
        let unit = &mut unit();
        assert_eq!(run(unit, &["GET", "k"]), "$-1");
        run(unit, &["SET", "k", "hello"]);
        assert_eq!(run(unit, &["GET", "k"]), "$5 hello");
        assert_eq!(run(unit, &["STRLEN", "k"]), ":5");
        assert_eq!(run(unit, &["STRLEN", "none"]), ":0");
        assert_eq!(run(unit, &["MGET", "k", "none", "k"]), "*3 $5 hello $-1 $5 hello");
        assert_eq!(run(unit, &["GETDEL", "k"]), "$5 hello");
        assert_eq!(run(unit, &["GETDEL", "k"]), "$-1");
    }

    #[test]
    fn getex_changes_the_deadline_only_as_asked() {
        let unit = &mut unit();
        run(unit, &["SET", "k", "v", "PXAT", "1700000000000"]);
        let deadline = |unit: &mut _| crate::command::testing::deadline(unit, "k");
        assert_eq!(run(unit, &["GETEX", "k"]), "$1 v");
        assert_eq!(deadline(unit), Some(1_700_000_000_000));
        assert_eq!(run(unit, &["GETEX", "k", "EX", "10"]), "$1 v");
        assert_eq!(deadline(unit), Some(1_600_000_010_000));
        assert_eq!(run(unit, &["GETEX", "k", "persist"]), "$1 v");
        assert_eq!(deadline(unit), None);
        assert_eq!(run(unit, &["GETEX", "k", "EXAT", "1"]), "$1 v");
        assert_eq!(run(unit, &["GET", "k"]), "$-1");
    }

    #[test]
    fn getex_refuses_bad_options_and_changes_nothing() {
        let unit = &mut unit();
        run(unit, &["SET", "k", "v"]);
        let bad: [&[&str]; 6] = [
            &["EX", "1", "PERSIST"],
            &["PERSIST", "EX", "1"],
            &["NX"],
            &["GET"],
            &["KEEPTTL"],
            &["EX"],
        ];
        for options in bad {
            let command = [&["GETEX", "k"], options].concat();
            assert_eq!(run(unit, &command), "-ERR syntax error", "{options:?}");
        }
        let error = "-ERR invalid expire time in 'getex' command";
        assert_eq!(run(unit, &["GETEX", "k", "EX", "0"]), error);
        assert_eq!(run(unit, &["GETEX", "none", "EX", "0"]), "$-1");
        assert_eq!(run(unit, &["GET", "k"]), "$1 v");
        assert_eq!(crate::command::testing::deadline(unit, "k"), None);
    }
}
