//! OBJECT: what is known about a key's value beside its contents.

use crate::command::collection::encoding_of;
use crate::command::encodings;
use crate::command::help::{HELP_SUMMARY, help, unknown_subcommand};
use crate::command::number::parse_integer;
use crate::command::row::{key_arg, keys_at};
use crate::command::spec::key_flag::RO;
use crate::command::spec::{Call, Command, Failure, Spec, flag};
use crate::engine::unit::{ValueRef, View};
use crate::value::string::StringRef;

/// The rows of this family.
pub const COMMANDS: &[Command] = &[Command {
    spec: Spec {
        name: "object",
        arity: -2,
        since: "2.2.3",
        complexity: "Depends on the subcommand.",
        summary: "Holds the commands that look at how a value is kept.",
        subcommands: &[
            Spec {
                name: "encoding",
                summary: "Tells in what form a value is kept in memory.",
                ..SPEC_OF_SUBCOMMAND
            },
            Spec {
                name: "freq",
                since: "4.0.0",
                summary: "Tells how often a key was used of late, on a logarithmic scale.",
                ..SPEC_OF_SUBCOMMAND
            },
            Spec {
                name: "help",
                arity: 2,
                flags: flag::LOADING | flag::STALE,
                acl: &["keyspace"],
                since: "6.2.0",
                summary: HELP_SUMMARY,
                ..Spec::EMPTY
            },
            Spec {
                name: "idletime",
                summary: "Tells how many seconds ago a key was last used.",
                ..SPEC_OF_SUBCOMMAND
            },
            Spec {
                name: "refcount",
                summary: "Tells how many references to a value there are.",
                ..SPEC_OF_SUBCOMMAND
            },
        ],
        ..Spec::EMPTY
    },
    run: object,
}];

/// What the subcommands on a key have in common.
const SPEC_OF_SUBCOMMAND: Spec = Spec {
    arity: 3,
    flags: flag::READONLY,
    acl: &["keyspace"],
    keys: &[keys_at(2, 0, 1, RO)],
    since: "2.2.3",
    args: &[key_arg()],
    tips: &["nondeterministic_output"],
    ..Spec::EMPTY
};

const HELP: &[&str] = &[
    "ENCODING <key>",
    "    Tell in what form the value of <key> is kept in memory.",
    "FREQ <key>",
    "    Tell how often <key> was used of late, on a logarithmic scale. Needs an LFU",
    "    policy.",
    "IDLETIME <key>",
    "    Tell how many seconds ago <key> was last used.",
    "REFCOUNT <key>",
    "    Tell how many references to the value of <key> there are.",
];

/// Longest string that Redis keeps in one allocation with its header, in bytes.
const EMBEDDED_BYTES_MAX: usize = 44;
/// Redis shares integers below this among all keys, and shows a fixed count of references for them.
const SHARED_INTEGERS: i64 = 10_000;
const SHARED_REFERENCES: i64 = i32::MAX as i64;

const NO_FREQUENCY: Failure = Failure::text(
    "ERR An LFU maxmemory policy is not selected, access frequency not tracked. \
     Please note that when switching between policies at runtime LRU and LFU data \
     will take some time to adjust.",
);

const NO_IDLE_TIME: Failure = Failure::text(
    "ERR An LFU maxmemory policy is selected, idle time not tracked. \
     Please note that when switching between policies at runtime LRU and LFU data \
     will take some time to adjust.",
);

fn object(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    if call.args.is(1, "help") {
        help(call.reply, "OBJECT", HELP);
        return Ok(());
    }
    let fact: fn(&View<'_>, bool) -> Result<Fact, Failure> =
        match call.args.get(1).to_ascii_lowercase().as_slice() {
            b"encoding" => |view, _| Ok(Fact::Word(encoding(view.value))),
            b"freq" => frequency,
            b"idletime" => idle_time,
            b"refcount" => |view, _| Ok(Fact::Number(references(view.value))),
            _ => return Err(unknown_subcommand("OBJECT", call.args.get(1))),
        };
    let key = call.unit.key(call.db, call.args.get(2));
    let by_frequency = call.unit.unloads_by_frequency();
    match call.unit.peek(&key).map(|view| fact(&view, by_frequency)).transpose()? {
        None => call.reply.null(),
        Some(Fact::Word(word)) => call.reply.bulk(word.as_bytes()),
        Some(Fact::Number(number)) => call.reply.integer(number),
    }
    Ok(())
}

fn idle_time(view: &View<'_>, by_frequency: bool) -> Result<Fact, Failure> {
    if by_frequency {
        return Err(NO_IDLE_TIME);
    }
    Ok(Fact::Number(i64::try_from(view.idle_seconds()).unwrap_or(i64::MAX)))
}

fn frequency(view: &View<'_>, by_frequency: bool) -> Result<Fact, Failure> {
    if !by_frequency {
        return Err(NO_FREQUENCY);
    }
    Ok(Fact::Number(i64::from(view.frequency())))
}

/// What a subcommand tells.
enum Fact {
    Word(&'static str),
    Number(i64),
}

/// The name of the form in which Redis would keep the value.
pub fn encoding(value: ValueRef<'_>) -> &'static str {
    match value {
        ValueRef::String(StringRef::Flat { bytes, raw: false, .. }) => {
            if parse_integer(bytes).is_some() {
                "int"
            } else if bytes.len() <= EMBEDDED_BYTES_MAX {
                "embstr"
            } else {
                "raw"
            }
        }
        ValueRef::String(_) => "raw",
        collection => encodings::name(collection.kind(), encoding_of(collection)),
    }
}

/// The references that Redis would count.
pub fn references(value: ValueRef<'_>) -> i64 {
    match value {
        ValueRef::String(StringRef::Flat { bytes, raw: false, .. }) => match parse_integer(bytes) {
            Some(0..SHARED_INTEGERS) => SHARED_REFERENCES,
            _ => 1,
        },
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{run, unit};

    #[test]
    fn encodings_are_those_of_redis() {
        let embedded = "x".repeat(44);
        let raw = "x".repeat(45);
        let cases = [
            ("12345", "$3 int"),
            ("-9223372036854775808", "$3 int"),
            ("9223372036854775808", "$6 embstr"),
            ("007", "$6 embstr"),
            ("", "$6 embstr"),
            (&embedded, "$6 embstr"),
            (&raw, "$3 raw"),
        ];
        for (value, encoding) in cases {
            let mut unit = unit();
            run(&mut unit, &["SET", "a", value]);
            assert_eq!(run(&mut unit, &["OBJECT", "ENCODING", "a"]), encoding, "{value:?}");
        }
    }

    #[test]
    fn a_changed_string_is_raw() {
        let mut unit = unit();
        run(&mut unit, &["SET", "a", "5"]);
        run(&mut unit, &["APPEND", "a", "6"]);
        assert_eq!(run(&mut unit, &["OBJECT", "ENCODING", "a"]), "$3 raw");
        assert_eq!(run(&mut unit, &["OBJECT", "REFCOUNT", "a"]), ":1");
    }

    #[test]
    fn small_integers_count_as_shared() {
        let mut unit = unit();
        for (value, count) in [("0", ":2147483647"), ("9999", ":2147483647"), ("10000", ":1")] {
            run(&mut unit, &["SET", "a", value]);
            assert_eq!(run(&mut unit, &["OBJECT", "refcount", "a"]), count, "{value}");
        }
    }

    #[test]
    fn missing_keys_are_null_before_anything_else() {
        let mut unit = unit();
        for subcommand in ["ENCODING", "FREQ", "IDLETIME", "REFCOUNT"] {
            assert_eq!(run(&mut unit, &["OBJECT", subcommand, "no"]), "$-1", "{subcommand}");
        }
        run(&mut unit, &["SET", "a", "1"]);
        assert_eq!(run(&mut unit, &["OBJECT", "IDLETIME", "a"]), ":0");
        let reply = run(&mut unit, &["OBJECT", "FREQ", "a"]);
        assert!(reply.starts_with("-ERR An LFU maxmemory policy is not selected, "), "{reply}");
    }

    #[test]
    fn help_frames_the_subcommands() {
        let reply = run(&mut unit(), &["OBJECT", "HELP"]);
        let head = "*12 +OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are: ";
        assert!(reply.starts_with(head), "{reply}");
        assert!(reply.ends_with("+HELP +    Print this help."), "{reply}");
    }
}
