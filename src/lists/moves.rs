//! Commands that move an element from list to list: LMOVE, RPOPLPUSH.

use crate::command::row::{first_key, keys_at, named_key, one_of, word};
use crate::command::spec::key_flag::{ACCESS, DELETE, INSERT, RW};
use crate::command::spec::{Call, Command, Copies, Failure, Group, Spec, flag};

use super::ends::{End, move_element};

/// What the rows of this file have in common.
const ROW: Spec = Spec {
    flags: flag::WRITE | flag::DENYOOM | flag::COPIES | flag::POOLS,
    keys: &[first_key(RW | ACCESS | DELETE), keys_at(2, 0, 1, RW | INSERT)],
    group: Group::List,
    complexity: "O(1)",
    copies: Copies::Sized(|_, sizes| sizes.first().map_or(0, |source| source.item_bytes)),
    ..Spec::EMPTY
};

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "lmove",
            arity: 5,
            since: "6.2.0",
            summary: "Moves an element from an end of a list to an end of another.",
            args: &[
                named_key("source", 0),
                named_key("destination", 1),
                one_of("wherefrom", &[word("left", "LEFT"), word("right", "RIGHT")]),
                one_of("whereto", &[word("left", "LEFT"), word("right", "RIGHT")]),
            ],
            ..ROW
        },
        run: lmove,
    },
    Command {
        spec: Spec {
            name: "rpoplpush",
            arity: 3,
            since: "1.2.0",
            summary: "Moves an element from the tail of a list to the head of another.",
            args: &[named_key("source", 0), named_key("destination", 1)],
            deprecated: Some(("6.2.0", "`LMOVE` with the `RIGHT` and `LEFT` arguments")),
            ..ROW
        },
        run: |call| move_between(call, End::Tail, End::Head),
    },
];

fn lmove(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let from = End::parse(call.args.get(3))?;
    let to = End::parse(call.args.get(4))?;
    move_between(call, from, to)
}

fn move_between(call: &mut Call<'_, '_, '_>, from: End, to: End) -> Result<(), Failure> {
    let source = call.unit.key(call.db, call.args.get(1));
    let destination = call.unit.key(call.db, call.args.get(2));
    match move_element(call.unit, call.encodings, (&source, from), (&destination, to))? {
        Some(moved) => moved.iter().for_each(|element| call.reply.bulk(element)),
        None => call.reply.null(),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{deadline, run, unit};

    #[test]
    fn an_element_goes_from_end_to_end() {
        let cases = [
            ("LEFT", "LEFT", "$1 1", "*2 $1 2 $1 3", "*2 $1 1 $1 x"),
            ("left", "right", "$1 1", "*2 $1 2 $1 3", "*2 $1 x $1 1"),
            ("RIGHT", "LEFT", "$1 3", "*2 $1 1 $1 2", "*2 $1 3 $1 x"),
            ("RIGHT", "RIGHT", "$1 3", "*2 $1 1 $1 2", "*2 $1 x $1 3"),
        ];
        for (from, to, moved, source, destination) in cases {
            let mut unit = unit();
            run(&mut unit, &["RPUSH", "a", "1", "2", "3"]);
            run(&mut unit, &["RPUSH", "b", "x"]);
            assert_eq!(run(&mut unit, &["LMOVE", "a", "b", from, to]), moved);
            assert_eq!(run(&mut unit, &["LRANGE", "a", "0", "-1"]), source);
            assert_eq!(run(&mut unit, &["LRANGE", "b", "0", "-1"]), destination);
        }
    }

    #[test]
    fn a_list_is_turned_in_itself() {
        let cases = [
            ("LEFT", "LEFT", "*3 $1 1 $1 2 $1 3"),
            ("LEFT", "RIGHT", "*3 $1 2 $1 3 $1 1"),
            ("RIGHT", "LEFT", "*3 $1 3 $1 1 $1 2"),
            ("RIGHT", "RIGHT", "*3 $1 1 $1 2 $1 3"),
        ];
        for (from, to, all) in cases {
            let mut unit = unit();
            run(&mut unit, &["RPUSH", "a", "1", "2", "3"]);
            run(&mut unit, &["LMOVE", "a", "a", from, to]);
            assert_eq!(run(&mut unit, &["LRANGE", "a", "0", "-1"]), all, "{from} {to}");
        }
    }

    #[test]
    fn a_list_of_one_element_keeps_its_deadline_when_it_is_turned() {
        let mut unit = unit();
        run(&mut unit, &["RPUSH", "a", "1"]);
        run(&mut unit, &["PEXPIREAT", "a", "1700000000000"]);
        assert_eq!(run(&mut unit, &["RPOPLPUSH", "a", "a"]), "$1 1");
        assert_eq!(run(&mut unit, &["LRANGE", "a", "0", "-1"]), "*1 $1 1");
        assert_eq!(deadline(&mut unit, "a"), Some(1_700_000_000_000));
    }

    #[test]
    fn the_last_element_takes_its_key_along() {
        let mut unit = unit();
        run(&mut unit, &["RPUSH", "a", "1"]);
        assert_eq!(run(&mut unit, &["RPOPLPUSH", "a", "b"]), "$1 1");
        assert_eq!(run(&mut unit, &["EXISTS", "a", "b"]), ":1");
        assert_eq!(run(&mut unit, &["RPOPLPUSH", "a", "b"]), "$-1");
    }

    #[test]
    fn nothing_moves_to_what_is_no_list() {
        let mut unit = unit();
        run(&mut unit, &["SET", "s", "1"]);
        assert_eq!(run(&mut unit, &["RPOPLPUSH", "no", "s"]), "$-1");
        run(&mut unit, &["RPUSH", "a", "1"]);
        for (from, to) in [("a", "s"), ("s", "a")] {
            assert!(run(&mut unit, &["RPOPLPUSH", from, to]).starts_with("-WRONGTYPE "));
        }
        assert_eq!(run(&mut unit, &["LLEN", "a"]), ":1");
        assert_eq!(run(&mut unit, &["LMOVE", "a", "b", "LEFT", "UP"]), "-ERR syntax error");
    }
}
