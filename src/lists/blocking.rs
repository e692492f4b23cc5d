//! Commands that wait for elements: BLPOP, BRPOP, BLMPOP, BLMOVE, BRPOPLPUSH.

use crate::command::args::Args;
use crate::command::block::{Block, timeout_ms};
use crate::command::row::{counted_keys, first_key, keys_at, named_key, one_of, word};
use crate::command::spec::key_flag::{ACCESS, DELETE, INSERT, RW};
use crate::command::spec::{Arg, ArgKind, Call, Command, Copies, Failure, Group, Spec, flag};
use crate::engine::unit::{Key, Unit};
use crate::format::record::Record;
use crate::types::ValueKind;

use super::ends::{End, move_element, pop};
use super::pop::{PopFirst, reply_popped};

/// What the rows of this file have in common.
const ROW: Spec = Spec { flags: flag::WRITE | flag::BLOCKING, group: Group::List, ..Spec::EMPTY };

/// What BLPOP and BRPOP have in common.
const POP: Spec = Spec {
    arity: -3,
    keys: &[keys_at(1, -2, 1, RW | ACCESS | DELETE)],
    since: "2.0.0",
    complexity: "O(N) for N keys.",
    args: &[named_key("key", 0).multiple(), Arg::new("timeout", ArgKind::Double)],
    history: &[("6.0.0", "The timeout may have a fraction.")],
    ..ROW
};

/// What BLMOVE and BRPOPLPUSH have in common.
const MOVE: Spec = Spec {
    flags: ROW.flags | flag::DENYOOM | flag::COPIES | flag::POOLS,
    keys: &[first_key(RW | ACCESS | DELETE), keys_at(2, 0, 1, RW | INSERT)],
    copies: Copies::Sized(|_, sizes| sizes.first().map_or(0, |source| source.item_bytes)),
    ..ROW
};

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec { name: "blpop", summary: "Takes an element from a head, or waits.", ..POP },
        run: |call| call.pop_or_wait(ValueKind::List, serve_head, cut_bytes),
    },
    Command {
        spec: Spec { name: "brpop", summary: "Takes an element from a tail, or waits.", ..POP },
        run: |call| call.pop_or_wait(ValueKind::List, serve_tail, cut_bytes),
    },
    Command {
        spec: Spec {
            name: "blmpop",
            arity: -5,
            flags: flag::WRITE | flag::BLOCKING | flag::MOVABLE_KEYS,
            keys: &[counted_keys(2, RW | ACCESS | DELETE)],
            since: "7.0.0",
            complexity: "O(N+M) for N keys and M elements that are popped.",
            summary: "Takes elements from the first list that is there, or waits for one.",
            args: &[
                Arg::new("timeout", ArgKind::Double),
                Arg::new("numkeys", ArgKind::Integer),
                named_key("key", 0).multiple(),
                one_of("where", &[word("left", "LEFT"), word("right", "RIGHT")]),
                Arg::new("count", ArgKind::Integer).behind("COUNT").optional(),
            ],
            ..ROW
        },
        run: blmpop,
    },
    Command {
        spec: Spec {
            name: "blmove",
            arity: 6,
            since: "6.2.0",
            summary: "Moves an element from list to list, or waits for one.",
            args: &[
                named_key("source", 0),
                named_key("destination", 1),
                one_of("wherefrom", &[word("left", "LEFT"), word("right", "RIGHT")]),
                one_of("whereto", &[word("left", "LEFT"), word("right", "RIGHT")]),
                Arg::new("timeout", ArgKind::Double),
            ],
            ..MOVE
        },
        run: blmove,
    },
    Command {
        spec: Spec {
            name: "brpoplpush",
            arity: 4,
            since: "2.2.0",
            summary: "Moves an element from a tail to a head, or waits for one.",
            args: &[
                named_key("source", 0),
                named_key("destination", 1),
                Arg::new("timeout", ArgKind::Double),
            ],
            history: &[("6.0.0", "The timeout may have a fraction.")],
            deprecated: Some(("6.2.0", "`BLMOVE` with the `RIGHT` and `LEFT` arguments")),
            ..MOVE
        },
        run: |call| {
            let timeout_ms = timeout_ms(call.args.get(3))?;
            move_or_wait(call, (End::Tail, End::Head), timeout_ms)
        },
    },
];

/// A pop logs where it cuts.
fn cut_bytes(_: &Args<'_>, _: &mut Unit<'_>, key: &Key<'_>) -> u64 {
    (key.bytes.len() + Record::HEAD_BYTES_MAX) as u64
}

fn serve_head(call: &mut Call<'_, '_, '_>, key: &Key<'_>) -> Result<bool, Failure> {
    serve_pop(call, key, End::Head)
}

fn serve_tail(call: &mut Call<'_, '_, '_>, key: &Key<'_>) -> Result<bool, Failure> {
    serve_pop(call, key, End::Tail)
}

fn serve_pop(call: &mut Call<'_, '_, '_>, key: &Key<'_>, end: End) -> Result<bool, Failure> {
    if !call.holds(key, ValueKind::List) {
        return Ok(false);
    }
    let popped = pop(call.unit, call.encodings, (key, end), 1)?.unwrap_or_default();
    call.reply.array(2);
    call.reply.bulk(key.bytes);
    popped.iter().for_each(|element| call.reply.bulk(element));
    Ok(true)
}

fn blmpop(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let asked = PopFirst::parse(call.args, 2)?;
    let timeout_ms = timeout_ms(call.args.get(1))?;
    let keys = asked.first_key..asked.first_key + asked.keys;
    let block = Block::new(keys, timeout_ms, serve_several, cut_bytes);
    call.serve_or_wait(ValueKind::List, block)
}

fn serve_several(call: &mut Call<'_, '_, '_>, key: &Key<'_>) -> Result<bool, Failure> {
    if !call.holds(key, ValueKind::List) {
        return Ok(false);
    }
    let asked = PopFirst::parse(call.args, 2)?;
    let popped = pop(call.unit, call.encodings, (key, asked.end), asked.count)?;
    call.reply.array(2);
    call.reply.bulk(key.bytes);
    reply_popped(call, &popped.unwrap_or_default());
    Ok(true)
}

fn blmove(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let ends = ends_of(call.args)?;
    let timeout_ms = timeout_ms(call.args.get(5))?;
    move_or_wait(call, ends, timeout_ms)
}

/// The ends that a call names, or means.
fn ends_of(args: &Args<'_>) -> Result<(End, End), Failure> {
    match args.len() {
        6 => Ok((End::parse(args.get(3))?, End::parse(args.get(4))?)),
        _ => Ok((End::Tail, End::Head)),
    }
}

fn move_or_wait(
    call: &mut Call<'_, '_, '_>,
    (from, to): (End, End),
    timeout_ms: Option<u64>,
) -> Result<(), Failure> {
    let [source, target] = [1, 2].map(|index| call.unit.key(call.db, call.args.get(index)));
    let moved = move_element(call.unit, call.encodings, (&source, from), (&target, to))?;
    match moved {
        Some(moved) => moved.iter().for_each(|element| call.reply.bulk(element)),
        None if !call.may_block => call.reply.null(),
        None => {
            let block = Block::new(1..2, timeout_ms, serve_move, moved_bytes);
            call.wait(Block { other_key: Some(2), ..block });
        }
    }
    Ok(())
}

fn serve_move(call: &mut Call<'_, '_, '_>, key: &Key<'_>) -> Result<bool, Failure> {
    if !call.holds(key, ValueKind::List) {
        return Ok(false);
    }
    let (from, to) = ends_of(call.args)?;
    let target = call.unit.key(call.db, call.args.get(2));
    let moved = move_element(call.unit, call.encodings, (key, from), (&target, to))?;
    let Some(moved) = moved else { return Ok(false) };
    moved.iter().for_each(|element| call.reply.bulk(element));
    Ok(true)
}

/// A move logs where it cuts, and what it pushes.
fn moved_bytes(args: &Args<'_>, unit: &mut Unit<'_>, key: &Key<'_>) -> u64 {
    let element = unit.probe(key).map_or(0, |view| view.value.size().item_bytes);
    let keys = key.bytes.len() + 2 * args.get(2).len() + 3 * Record::HEAD_BYTES_MAX;
    element + keys as u64
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{run, unit};

    #[test]
    fn a_list_that_is_there_is_popped_at_once() {
        let unit = &mut unit();
        run(unit, &["RPUSH", "b", "1", "2", "3", "4", "5"]);
        assert_eq!(run(unit, &["BLPOP", "a", "b", "0"]), "*2 $1 b $1 1");
        assert_eq!(run(unit, &["BRPOP", "a", "b", "0.5"]), "*2 $1 b $1 5");
        let reply = run(unit, &["BLMPOP", "0", "2", "a", "b", "RIGHT", "COUNT", "2"]);
        assert_eq!(reply, "*2 $1 b *2 $1 4 $1 3");
        assert_eq!(run(unit, &["BLMOVE", "b", "c", "LEFT", "RIGHT", "0"]), "$1 2");
        assert_eq!(run(unit, &["BRPOPLPUSH", "c", "b", "0"]), "$1 2");
        assert_eq!(run(unit, &["LRANGE", "b", "0", "-1"]), "*1 $1 2");
    }

    #[test]
    fn where_nobody_may_wait_the_answer_is_null() {
        let unit = &mut unit();
        assert_eq!(run(unit, &["BLPOP", "a", "0"]), "*-1");
        assert_eq!(run(unit, &["BLMPOP", "0", "1", "a", "LEFT"]), "*-1");
        assert_eq!(run(unit, &["BLMOVE", "a", "b", "LEFT", "LEFT", "0"]), "$-1");
    }

    #[test]
    fn bad_calls_are_refused_as_in_redis() {
        let unit = &mut unit();
        run(unit, &["SET", "s", "1"]);
        let cases: [(&[&str], &str); 5] = [
            (&["BLPOP", "a", "x"], "-ERR timeout is not a float or out of range"),
            (&["BLPOP", "a", "-1"], "-ERR timeout is negative"),
            (&["BRPOP", "a", "s", "0"], "-WRONGTYPE "),
            (&["BLMPOP", "0", "0", "a", "LEFT"], "-ERR numkeys should be greater than 0"),
            (&["BLMOVE", "a", "b", "UP", "LEFT", "0"], "-ERR syntax error"),
        ];
        for (args, reply) in cases {
            assert!(run(unit, args).starts_with(reply), "{args:?}: {}", run(unit, args));
        }
    }
}
