//! Commands that carry a value to another key or database: COPY, MOVE.

use crate::command::args::Args;
use crate::command::number::parse_integer;
use crate::command::row::{first_key, key_arg, keys_at, named_key, word};
use crate::command::spec::key_flag::{ACCESS, OW, RO, RW, UPDATE};
use crate::command::spec::{Arg, ArgKind, Call, Command, Copies, Failure, Spec, flag};

use super::database::{database_arg, same_object};

/// The rows of this family.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "copy",
            arity: -3,
            flags: flag::WRITE | flag::DENYOOM | flag::COPIES | flag::OTHER_DATABASE,
            acl: &["keyspace"],
            keys: &[first_key(RO | ACCESS), keys_at(2, 0, 1, OW | UPDATE)],
            since: "6.2.0",
            complexity: "O(1) for strings, O(N) for collections of N items.",
            summary: "Copies a value and its deadline to another key.",
            args: &[
                named_key("source", 0),
                named_key("destination", 1),
                Arg::new("destination-db", ArgKind::Integer).behind("DB").optional(),
                word("replace", "REPLACE").optional(),
            ],
            copies: Copies::Whole(|args| Some(!Options::of(args, |_| Ok(0)).ok()?.replace)),
            ..Spec::EMPTY
        },
        run: copy,
    },
    Command {
        spec: Spec {
            name: "move",
            arity: 3,
            flags: flag::WRITE | flag::FAST | flag::COPIES | flag::OTHER_DATABASE,
            acl: &["keyspace"],
            keys: &[first_key(RW | ACCESS | UPDATE)],
            summary: "Moves a key to another database, unless it has that key already.",
            args: &[key_arg(), Arg::new("db", ArgKind::Integer)],
            copies: Copies::Whole(|_| Some(true)),
            ..Spec::EMPTY
        },
        run: move_key,
    },
];

/// The key in another database that a call of this family may touch: the number of the database,
/// which need not exist, and the index of the argument with the key.
pub fn key_elsewhere(args: &Args<'_>) -> Option<(u32, usize)> {
    let number = |index: usize| u32::try_from(parse_integer(args.get(index))?).ok();
    if args.is(0, "MOVE") {
        return Some((number(2)?, 1));
    }
    let named = (3..args.len().saturating_sub(1)).rev();
    let mut dbs = named.filter(|&index| args.is(index, "DB"));
    dbs.next().and_then(|index| Some((number(index + 1)?, 2)))
}

/// The options of COPY.
struct Options {
    /// The database of the destination.
    db: Option<u32>,
    replace: bool,
}

impl Options {
    /// From the words of a call; `check` looks at each database as it is met, because Redis tells
    /// the first thing that is wrong.
    fn of(
        args: &Args<'_>,
        check: impl Fn(&[u8]) -> Result<u32, Failure>,
    ) -> Result<Options, Failure> {
        let mut options = Options { db: None, replace: false };
        let mut index = 3;
        while index < args.len() {
            if args.is(index, "REPLACE") {
                options.replace = true;
            } else if args.is(index, "DB") && index + 1 < args.len() {
                index += 1;
                options.db = Some(check(args.get(index))?);
            } else {
                return Err(Failure::Syntax);
            }
            index += 1;
        }
        Ok(options)
    }
}

fn copy(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let args = call.args;
    let Options { db, replace } = Options::of(args, |db| database_arg(call.unit, db))?;
    let db = db.unwrap_or(call.db);
    let from = call.unit.key(call.db, args.get(1));
    let to = call.unit.key(db, args.get(2));
    if from.db == to.db && from.bytes == to.bytes {
        return Err(same_object());
    }
    let wanted = call.unit.get(&from).is_some() && (replace || call.unit.probe(&to).is_none());
    if wanted {
        call.unit.copy(&from, &to);
    }
    call.reply.integer(i64::from(wanted));
    Ok(())
}

fn move_key(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let db = database_arg(call.unit, call.args.get(2))?;
    if db == call.db {
        return Err(same_object());
    }
    let from = call.unit.key(call.db, call.args.get(1));
    let to = call.unit.key(db, call.args.get(1));
    let wanted = call.unit.get_to_change(&from).is_some() && call.unit.probe(&to).is_none();
    if wanted {
        call.unit.rename(&from, &to);
    }
    call.reply.integer(i64::from(wanted));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::key_elsewhere;
    use crate::command::testing::{deadline, run, unit, with_args};

    #[test]
    fn a_copy_has_value_and_deadline_of_its_own() {
        let mut unit = unit();
        run(&mut unit, &["SET", "a", "1", "PXAT", "1700000000000"]);
        assert_eq!(run(&mut unit, &["COPY", "a", "b"]), ":1");
        run(&mut unit, &["APPEND", "a", "2"]);
        assert_eq!(run(&mut unit, &["GET", "b"]), "$1 1");
        assert_eq!(deadline(&mut unit, "b"), Some(1_700_000_000_000));
    }

    #[test]
    fn a_copy_replaces_only_when_told_to() {
        let mut unit = unit();
        run(&mut unit, &["MSET", "a", "1", "b", "2"]);
        assert_eq!(run(&mut unit, &["COPY", "a", "b"]), ":0");
        assert_eq!(run(&mut unit, &["GET", "b"]), "$1 2");
        assert_eq!(run(&mut unit, &["COPY", "a", "b", "replace"]), ":1");
        assert_eq!(run(&mut unit, &["GET", "b"]), "$1 1");
        assert_eq!(run(&mut unit, &["COPY", "no", "b", "REPLACE"]), ":0");
        assert_eq!(run(&mut unit, &["GET", "b"]), "$1 1");
    }

    #[test]
    fn copies_reach_other_databases() {
        let mut unit = unit();
        run(&mut unit, &["SET", "a", "1"]);
        assert_eq!(run(&mut unit, &["COPY", "a", "a", "DB", "1"]), ":1");
        assert_eq!(run(&mut unit, &["COPY", "a", "a", "DB", "1"]), ":0");
        let key = unit.key(1, b"a");
        assert!(unit.peek(&key).is_some());
    }

    #[test]
    fn a_moved_key_leaves_its_database() {
        let mut unit = unit();
        run(&mut unit, &["SET", "a", "1"]);
        assert_eq!(run(&mut unit, &["MOVE", "a", "1"]), ":1");
        assert_eq!(run(&mut unit, &["MOVE", "a", "1"]), ":0");
        run(&mut unit, &["SET", "a", "2"]);
        assert_eq!(run(&mut unit, &["MOVE", "a", "1"]), ":0");
        assert_eq!(run(&mut unit, &["GET", "a"]), "$1 2");
    }

    #[test]
    fn keys_of_other_databases_are_named() {
        type Case<'a> = (&'a [&'a str], Option<(u32, usize)>);
        let cases: [Case<'_>; 6] = [
            (&["move", "a", "3"], Some((3, 1))),
            (&["MOVE", "a", "-3"], None),
            (&["COPY", "a", "b"], None),
            (&["COPY", "a", "b", "DB"], None),
            (&["copy", "a", "b", "db", "7", "REPLACE"], Some((7, 2))),
            (&["COPY", "a", "b", "DB", "7", "DB", "8"], Some((8, 2))),
        ];
        for (args, expected) in cases {
            assert_eq!(with_args(args, key_elsewhere), expected, "{args:?}");
        }
    }

    #[test]
    fn bad_targets_are_refused_as_in_redis() {
        let same = "-ERR source and destination objects are the same";
        let bounds = "-ERR value is out of range, value must between -2147483648 and 2147483647";
        let cases: [(&[&str], &str); 9] = [
            (&["COPY", "a", "a"], same),
            (&["COPY", "a", "a", "DB", "0"], same),
            (&["COPY", "a", "b", "DB", "16"], "-ERR DB index is out of range"),
            (&["COPY", "a", "b", "DB", "99999999999"], bounds),
            (&["COPY", "a", "b", "DB"], "-ERR syntax error"),
            (&["COPY", "a", "b", "NX"], "-ERR syntax error"),
            (&["MOVE", "a", "0"], same),
            (&["MOVE", "a", "-1"], "-ERR DB index is out of range"),
            (&["MOVE", "a", "x"], "-ERR value is not an integer or out of range"),
        ];
        for (args, reply) in cases {
            assert_eq!(run(&mut unit(), args), reply, "{args:?}");
        }
    }

    #[test]
    fn the_first_thing_that_is_wrong_with_a_copy_is_told() {
        let mut unit = unit();
        let reply = run(&mut unit, &["COPY", "a", "b", "DB", "x", "y"]);
        assert_eq!(reply, "-ERR value is not an integer or out of range");
        assert_eq!(run(&mut unit, &["COPY", "a", "b", "y", "DB", "x"]), "-ERR syntax error");
    }
}
