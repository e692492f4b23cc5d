//! Commands that put an element inside a list: LSET, LINSERT.

use crate::command::collection::{encoding_of, list_of};
use crate::command::number::integer;
use crate::command::row::{first_key, key_arg, one_of, word};
use crate::command::spec::key_flag::{INSERT, RW, UPDATE};
use crate::command::spec::{Arg, ArgKind, Call, Command, Failure, GROWS, Group, Spec, flag};
use crate::format::edit::Edit;

use super::get::place;
use crate::command::list_shape::{grown, shape, shrunk};

/// What the rows of this file have in common.
const ROW: Spec = Spec {
    flags: flag::WRITE | flag::DENYOOM,
    group: Group::List,
    complexity: "O(N) for N elements on the way.",
    length_after: Some(GROWS),
    ..Spec::EMPTY
};

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "lset",
            arity: 4,
            keys: &[first_key(RW | UPDATE)],
            summary: "Replaces the element at an index.",
            args: &[
                key_arg(),
                Arg::new("index", ArgKind::Integer),
                Arg::new("element", ArgKind::String),
            ],
            ..ROW
        },
        run: lset,
    },
    Command {
        spec: Spec {
            name: "linsert",
            arity: 5,
            keys: &[first_key(RW | INSERT)],
            since: "2.2.0",
            summary: "Puts an element in front of another, or behind it.",
            args: &[
                key_arg(),
                one_of("where", &[word("before", "BEFORE"), word("after", "AFTER")]),
                Arg::new("pivot", ArgKind::String),
                Arg::new("element", ArgKind::String),
            ],
            ..ROW
        },
        run: linsert,
    },
];

fn lset(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    let view = call.unit.get_to_change(&key).ok_or(Failure::NoSuchKey)?;
    let (list, encoding) = (list_of(&view)?, encoding_of(view.value));
    let element = call.args.get(3);
    let len = list.len();
    let index = place(integer(call.args.get(2))?, len);
    let index = index.ok_or(Failure::text("ERR index out of range"))?;
    let encoding = grown(call.encodings, Some(list), encoding, (1, element.len() as u64));
    let all = (0..).zip(list.iter_from(0, false));
    let all = all.map(|(at, old)| if at == index { element } else { old });
    let encoding = shrunk(call.encodings, encoding, (len, all));
    call.unit.edit(&key, shape(encoding), Edit::Set { index, element });
    call.reply.ok();
    Ok(())
}

fn linsert(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let args = call.args;
    let behind = args.is(2, "AFTER");
    if !behind && !args.is(2, "BEFORE") {
        return Err(Failure::Syntax);
    }
    let key = call.unit.key(call.db, args.get(1));
    let Some(view) = call.unit.get_to_change(&key) else {
        call.reply.integer(0);
        return Ok(());
    };
    let (list, encoding) = (list_of(&view)?, encoding_of(view.value));
    let (pivot, element) = (args.get(3), args.get(4));
    let Some(found) = list.iter_from(0, false).position(|known| known == pivot) else {
        call.reply.integer(-1);
        return Ok(());
    };
    let len = list.len();
    let encoding = grown(call.encodings, Some(list), encoding, (1, element.len() as u64));
    let index = found as u64 + u64::from(behind);
    call.unit.edit(&key, shape(encoding), Edit::Insert { index, element });
    call.reply.integer(len as i64 + 1);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{run, unit};

    #[test]
    fn an_element_is_replaced_in_its_place() {
        let mut unit = unit();
        run(&mut unit, &["RPUSH", "a", "1", "2", "3"]);
        assert_eq!(run(&mut unit, &["LSET", "a", "0", "x"]), "+OK");
        assert_eq!(run(&mut unit, &["LSET", "a", "-1", "z"]), "+OK");
        assert_eq!(run(&mut unit, &["LRANGE", "a", "0", "-1"]), "*3 $1 x $1 2 $1 z");
        for index in ["3", "-4", "9223372036854775807", "-9223372036854775808"] {
            assert_eq!(run(&mut unit, &["LSET", "a", index, "x"]), "-ERR index out of range");
        }
        let no_integer = "-ERR value is not an integer or out of range";
        assert_eq!(run(&mut unit, &["LSET", "a", "x", "y"]), no_integer);
        assert_eq!(run(&mut unit, &["LSET", "no", "x", "y"]), "-ERR no such key");
    }

    #[test]
    fn an_element_stands_beside_the_first_pivot() {
        let mut unit = unit();
        run(&mut unit, &["RPUSH", "a", "p", "p"]);
        assert_eq!(run(&mut unit, &["LINSERT", "a", "before", "p", "1"]), ":3");
        assert_eq!(run(&mut unit, &["LINSERT", "a", "AFTER", "p", "2"]), ":4");
        assert_eq!(run(&mut unit, &["LRANGE", "a", "0", "-1"]), "*4 $1 1 $1 p $1 2 $1 p");
        assert_eq!(run(&mut unit, &["LINSERT", "a", "AFTER", "no", "3"]), ":-1");
        assert_eq!(run(&mut unit, &["LINSERT", "no", "AFTER", "p", "3"]), ":0");
        assert_eq!(run(&mut unit, &["LINSERT", "no", "at", "p", "3"]), "-ERR syntax error");
    }
}
