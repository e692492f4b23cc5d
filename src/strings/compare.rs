//! Strings compared with what a client expects: DIGEST, DELEX, DELIFEQ.

use crate::command::comparison::{Comparison, digest_text};
use crate::command::row::{first_key, key_arg, one_of};
use crate::command::spec::key_flag::{ACCESS, DELETE, RM, RO, RW, VARIABLE_FLAGS};
use crate::command::spec::{Arg, ArgKind, Call, Command, Failure, Group, Spec, flag};
use crate::format::record::DeleteReason;

use super::value::string_of;

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "digest",
            arity: 2,
            flags: flag::READONLY | flag::FAST,
            keys: &[first_key(RO | ACCESS)],
            group: Group::String,
            since: "8.4.0",
            complexity: "O(N), N being the length of the string.",
            summary: "Tells the XXH3 digest of a string.",
            args: &[key_arg()],
            ..Spec::EMPTY
        },
        run: digest,
    },
    Command {
        spec: Spec {
            name: "delex",
            arity: -2,
            flags: flag::WRITE | flag::FAST | flag::FREES,
            keys: &[first_key(RW | DELETE | VARIABLE_FLAGS)],
            group: Group::String,
            since: "8.4.0",
            complexity: "O(1); O(N) with a digest, N being the length of the string.",
            summary: "Deletes a key if its string, or the digest of it, is as expected.",
            args: &[
                key_arg(),
                one_of(
                    "condition",
                    &[
                        Arg::new("ifeq-value", ArgKind::String).behind("IFEQ"),
                        Arg::new("ifne-value", ArgKind::String).behind("IFNE"),
                        Arg::new("ifdeq-digest", ArgKind::Integer).behind("IFDEQ"),
                        Arg::new("ifdne-digest", ArgKind::Integer).behind("IFDNE"),
                    ],
                )
                .optional(),
            ],
            ..Spec::EMPTY
        },
        run: delex,
    },
    Command {
        spec: Spec {
            name: "delifeq",
            arity: 3,
            flags: flag::WRITE | flag::FAST | flag::FREES,
            keys: &[first_key(RM | DELETE)],
            group: Group::String,
            since: "9.0.0",
            summary: "Deletes a key if its string is as expected; a command of Valkey.",
            args: &[key_arg(), Arg::new("value", ArgKind::String)],
            ..Spec::EMPTY
        },
        run: delifeq,
    },
];

fn digest(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    match call.unit.get(&key) {
        Some(view) => call.reply.bulk(digest_text(string_of(&view)?).as_bytes()),
        None => call.reply.null(),
    }
    Ok(())
}

fn delex(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    let deletes = match call.args.len() {
        2 => true,
        4 => match call.unit.get(&key) {
            Some(view) => {
                let value = string_of(&view).map_err(|_| {
                    Failure::text("ERR Key should be of string type if conditions are specified")
                })?;
                let comparison = Comparison::at(call.args, 2).ok_or(Failure::text(
                    "ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE",
                ))?;
                comparison.holds(value)?
            }
            None => false,
        },
        _ => return Err(Failure::text("ERR wrong number of arguments for 'delex' command")),
    };
    let deleted = deletes && call.unit.delete(&key, DeleteReason::Command);
    call.reply.integer(i64::from(deleted));
    Ok(())
}

fn delifeq(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    let deletes = match call.unit.get_to_change(&key) {
        Some(view) => Comparison::equal_to(call.args.get(2)).holds(string_of(&view)?)?,
        None => false,
    };
    let deleted = deletes && call.unit.delete(&key, DeleteReason::Command);
    call.reply.integer(i64::from(deleted));
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{run, unit};

    #[test]
    fn a_digest_is_that_of_the_bytes() {
        let unit = &mut unit();
        assert_eq!(run(unit, &["DIGEST", "k"]), "$-1");
        run(unit, &["SET", "k", "Hello world"]);
        assert_eq!(run(unit, &["DIGEST", "k"]), "$16 b6acb9d84a38ff74");
        run(unit, &["SET", "k", "12"]);
        let of_text = run(unit, &["DIGEST", "k"]);
        run(unit, &["SET", "n", "11"]);
        run(unit, &["INCR", "n"]);
        assert_eq!(run(unit, &["DIGEST", "n"]), of_text);
        run(unit, &["RPUSH", "l", "1"]);
        assert!(run(unit, &["DIGEST", "l"]).starts_with("-WRONGTYPE"));
    }

    #[test]
    fn a_key_is_deleted_when_the_condition_holds() {
        let unit = &mut unit();
        let digest = "b6acb9d84a38ff74";
        let other = "0000000000000000";
        let cases = [
            ("IFEQ", "Hello world", "Hello"),
            ("ifne", "Hello", "Hello world"),
            ("IFDEQ", digest, other),
            ("IFDNE", other, digest),
        ];
        for (word, holds, fails) in cases {
            assert_eq!(run(unit, &["DELEX", "k", word, holds]), ":0");
            run(unit, &["SET", "k", "Hello world"]);
            assert_eq!(run(unit, &["DELEX", "k", word, fails]), ":0", "{word}");
            assert_eq!(run(unit, &["DELEX", "k", word, holds]), ":1", "{word}");
            assert_eq!(run(unit, &["EXISTS", "k"]), ":0");
        }
        run(unit, &["RPUSH", "l", "1"]);
        assert_eq!(run(unit, &["DELEX", "l"]), ":1");
        assert_eq!(run(unit, &["DELEX", "l"]), ":0");
        run(unit, &["SET", "k", "v"]);
        assert_eq!(run(unit, &["DELIFEQ", "k", "w"]), ":0");
        assert_eq!(run(unit, &["DELIFEQ", "k", "v"]), ":1");
        assert_eq!(run(unit, &["DELIFEQ", "k", "v"]), ":0");
    }

    #[test]
    fn bad_calls_delete_nothing() {
        let unit = &mut unit();
        run(unit, &["SET", "k", "v"]);
        run(unit, &["RPUSH", "l", "v"]);
        let arity = "-ERR wrong number of arguments for 'delex' command";
        let wrong = "-ERR Key should be of string type if conditions are specified";
        let cases: [(&[&str], &str); 6] = [
            (&["DELEX", "k", "IFEQ"], arity),
            (&["DELEX", "none", "IFEQ", "v", "x"], arity),
            (&["DELEX", "k", "IF", "v"], "-ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE"),
            (&["DELEX", "l", "IF", "v"], wrong),
            (&["DELEX", "none", "IF", "v"], ":0"),
            (&["DELEX", "k", "IFDNE", "abc"], "-ERR must be exactly 16 hexadecimal characters"),
        ];
        for (args, reply) in cases {
            assert_eq!(run(unit, args), reply, "{args:?}");
        }
        assert!(run(unit, &["DELIFEQ", "l", "v"]).starts_with("-WRONGTYPE"));
        assert_eq!(run(unit, &["EXISTS", "k", "l"]), ":2");
    }
}
