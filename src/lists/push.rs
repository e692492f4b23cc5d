//! Commands that push elements: LPUSH, RPUSH, LPUSHX, RPUSHX.

use crate::command::row::{first_key, key_arg};
use crate::command::spec::key_flag::{INSERT, RW};
use crate::command::spec::{Arg, ArgKind, Call, Command, Failure, GROWS, Group, Spec, flag};

use super::ends::{End, push};

/// What the rows of this file have in common.
const ROW: Spec = Spec {
    arity: -3,
    flags: flag::WRITE | flag::DENYOOM | flag::FAST,
    keys: &[first_key(RW | INSERT)],
    group: Group::List,
    complexity: "O(N) for N elements that are pushed.",
    args: &[key_arg(), Arg::new("element", ArgKind::String).multiple()],
    history: &[("2.4.0", "Takes several elements.")],
    length_after: Some(GROWS),
    ..Spec::EMPTY
};

/// What the rows have in common that make no list.
const ROW_IF_THERE: Spec =
    Spec { since: "2.2.0", history: &[("4.0.0", "Takes several elements.")], ..ROW };

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "lpush",
            summary: "Pushes elements at the head, and makes the list where there is none.",
            ..ROW
        },
        run: |call| push_args(call, End::Head, false),
    },
    Command {
        spec: Spec {
            name: "rpush",
            summary: "Pushes elements at the tail, and makes the list where there is none.",
            ..ROW
        },
        run: |call| push_args(call, End::Tail, false),
    },
    Command {
        spec: Spec {
            name: "lpushx",
            summary: "Pushes elements at the head of a list that is there.",
            ..ROW_IF_THERE
        },
        run: |call| push_args(call, End::Head, true),
    },
    Command {
        spec: Spec {
            name: "rpushx",
            summary: "Pushes elements at the tail of a list that is there.",
            ..ROW_IF_THERE
        },
        run: |call| push_args(call, End::Tail, true),
    },
];

fn push_args(call: &mut Call<'_, '_, '_>, end: End, must_exist: bool) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    let elements = call.args.iter_from(2);
    let len = push(call.unit, call.encodings, (&key, end), elements, must_exist)?;
    call.reply.integer(len as i64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{run, unit};

    #[test]
    fn the_last_one_pushed_stands_outermost() {
        let mut unit = unit();
        assert_eq!(run(&mut unit, &["RPUSH", "a", "1", "2"]), ":2");
        assert_eq!(run(&mut unit, &["LPUSH", "a", "3", "4"]), ":4");
        let all = run(&mut unit, &["LRANGE", "a", "0", "-1"]);
        assert_eq!(all, "*4 $1 4 $1 3 $1 1 $1 2");
    }

    #[test]
    fn only_a_list_that_is_there_is_pushed_to() {
        let mut unit = unit();
        for name in ["LPUSHX", "RPUSHX"] {
            assert_eq!(run(&mut unit, &[name, "a", "1"]), ":0");
            assert_eq!(run(&mut unit, &["EXISTS", "a"]), ":0");
        }
        run(&mut unit, &["RPUSH", "a", "1"]);
        assert_eq!(run(&mut unit, &["LPUSHX", "a", "0"]), ":2");
        assert_eq!(run(&mut unit, &["RPUSHX", "a", "2", "3"]), ":4");
        assert_eq!(run(&mut unit, &["LRANGE", "a", "0", "-1"]), "*4 $1 0 $1 1 $1 2 $1 3");
    }

    #[test]
    fn a_string_is_no_list() {
        let mut unit = unit();
        run(&mut unit, &["SET", "a", "1"]);
        for name in ["LPUSH", "RPUSH", "LPUSHX", "RPUSHX"] {
            assert!(run(&mut unit, &[name, "a", "1"]).starts_with("-WRONGTYPE "), "{name}");
        }
    }
}
