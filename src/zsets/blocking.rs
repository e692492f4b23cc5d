//! Commands that wait for members: BZPOPMIN, BZPOPMAX, BZMPOP.

use crate::command::args::Args;
use crate::command::block::{Block, timeout_ms};
use crate::command::collection::zset_of;
use crate::command::double;
use crate::command::row::{counted_keys, keys_at, named_key, one_of, word};
use crate::command::spec::key_flag::{ACCESS, DELETE, RW};
use crate::command::spec::{Arg, ArgKind, Call, Command, Copies, Failure, Group, Spec, flag};
use crate::engine::unit::{Key, Unit, ValueRef};
use crate::format::record::Record;
use crate::types::ValueKind;

use super::pop::{MultiPop, end_ranks, take};
use super::remove::remove_ranks;
use super::span::{members, removed_bytes};

/// What the rows of this file have in common.
const ROW: Spec = Spec {
    arity: -3,
    flags: flag::WRITE | flag::BLOCKING | flag::FAST | flag::COPIES,
    keys: &[keys_at(1, -2, 1, RW | ACCESS | DELETE)],
    group: Group::SortedSet,
    since: "5.0.0",
    complexity: "O(log(N)) for N members.",
    args: &[named_key("key", 0).multiple(), Arg::new("timeout", ArgKind::Double)],
    history: &[("6.0.0", "The timeout may have a fraction.")],
    ..Spec::EMPTY
};

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "bzpopmin",
            summary: "Takes the member of the lowest score, or waits for one.",
            copies: Copies::Chosen(|_, value| popped_bytes(value, false)),
            ..ROW
        },
        run: |call| {
            call.pop_or_wait(ValueKind::Zset, serve_lowest, |_, unit, key| {
                frame_bytes(unit, key, |value| popped_bytes(value, false))
            })
        },
    },
    Command {
        spec: Spec {
            name: "bzpopmax",
            summary: "Takes the member of the highest score, or waits for one.",
            copies: Copies::Chosen(|_, value| popped_bytes(value, true)),
            ..ROW
        },
        run: |call| {
            call.pop_or_wait(ValueKind::Zset, serve_highest, |_, unit, key| {
                frame_bytes(unit, key, |value| popped_bytes(value, true))
            })
        },
    },
    Command {
        spec: Spec {
            name: "bzmpop",
            arity: -5,
            flags: flag::WRITE | flag::BLOCKING | flag::MOVABLE_KEYS | flag::COPIES,
            keys: &[counted_keys(2, RW | ACCESS | DELETE)],
            since: "7.0.0",
            complexity: "O(K) + O(M*log(N)) for K keys, N members and M that are popped.",
            summary: "Takes members of the first sorted set that is there, or waits for one.",
            args: &[
                Arg::new("timeout", ArgKind::Double),
                Arg::new("numkeys", ArgKind::Integer),
                named_key("key", 0).multiple(),
                one_of("where", &[word("min", "MIN"), word("max", "MAX")]),
                Arg::new("count", ArgKind::Integer).behind("COUNT").optional(),
            ],
            history: &[],
            copies: Copies::Chosen(several_bytes),
            ..ROW
        },
        run: bzmpop,
    },
];

fn popped_bytes(value: ValueRef<'_>, from_highest: bool) -> u64 {
    removed_bytes(value, |zset| end_ranks(zset, 1, from_highest))
}

fn several_bytes(args: &Args<'_>, value: ValueRef<'_>) -> u64 {
    match MultiPop::parse(&args.tail(1)) {
        Ok(wanted) => {
            removed_bytes(value, |zset| end_ranks(zset, wanted.count, wanted.from_highest))
        }
        Err(_) => 0,
    }
}

/// A bound of the frame of a pop that took so many bytes of members.
fn frame_bytes(unit: &mut Unit<'_>, key: &Key<'_>, members: impl Fn(ValueRef<'_>) -> u64) -> u64 {
    // Small ones are bounded as wholes.
    let small = crate::limits::PACKED_BYTES_MAX + key.bytes.len() + Record::HEAD_BYTES_MAX;
    unit.probe(key).map_or(0, |view| members(view.value)) + small as u64
}

fn serve_lowest(call: &mut Call<'_, '_, '_>, key: &Key<'_>) -> Result<bool, Failure> {
    serve_one(call, key, false)
}

fn serve_highest(call: &mut Call<'_, '_, '_>, key: &Key<'_>) -> Result<bool, Failure> {
    serve_one(call, key, true)
}

fn serve_one(
    call: &mut Call<'_, '_, '_>,
    key: &Key<'_>,
    from_highest: bool,
) -> Result<bool, Failure> {
    if !call.holds(key, ValueKind::Zset) {
        return Ok(false);
    }
    let Some(view) = call.unit.get_to_change(key) else {
        return Ok(false);
    };
    let zset = zset_of(&view)?;
    let ranks = end_ranks(&zset, 1, from_highest);
    call.reply.array(3);
    call.reply.bulk(key.bytes);
    for (score, member) in members(zset, ranks.clone(), from_highest) {
        call.reply.bulk(member);
        double::reply(call.reply, score);
    }
    remove_ranks(call.unit, key, ranks)?;
    Ok(true)
}

fn bzmpop(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let wanted = MultiPop::parse(&call.args.tail(1))?;
    let timeout_ms = timeout_ms(call.args.get(1))?;
    let block =
        Block::new(3..3 + wanted.key_count, timeout_ms, serve_several, |args, unit, key| {
            frame_bytes(unit, key, |value| several_bytes(args, value))
        });
    call.serve_or_wait(ValueKind::Zset, block)
}

fn serve_several(call: &mut Call<'_, '_, '_>, key: &Key<'_>) -> Result<bool, Failure> {
    if !call.holds(key, ValueKind::Zset) {
        return Ok(false);
    }
    let wanted = MultiPop::parse(&call.args.tail(1))?;
    let Some(view) = call.unit.get_to_change(key) else {
        return Ok(false);
    };
    let ranks = end_ranks(&zset_of(&view)?, wanted.count, wanted.from_highest);
    call.reply.array(2);
    call.reply.bulk(key.bytes);
    take(call, key, ranks, wanted.from_highest, true)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{run, unit};

    #[test]
    fn a_sorted_set_that_is_there_is_popped_at_once() {
        let unit = &mut unit();
        run(unit, &["ZADD", "z", "1", "a", "2", "b", "3", "c", "4", "d"]);
        assert_eq!(run(unit, &["BZPOPMIN", "y", "z", "0"]), "*3 $1 z $1 a $1 1");
        assert_eq!(run(unit, &["BZPOPMAX", "y", "z", "0"]), "*3 $1 z $1 d $1 4");
        let reply = run(unit, &["BZMPOP", "0", "2", "y", "z", "MIN", "COUNT", "5"]);
        assert_eq!(reply, "*2 $1 z *2 *2 $1 b $1 2 *2 $1 c $1 3");
        assert_eq!(run(unit, &["EXISTS", "z"]), ":0");
        assert_eq!(run(unit, &["BZPOPMIN", "z", "0"]), "*-1");
    }

    #[test]
    fn bad_calls_are_refused_as_in_redis() {
        let unit = &mut unit();
        run(unit, &["SET", "s", "1"]);
        let cases: [(&[&str], &str); 3] = [
            (&["BZPOPMIN", "a", "x"], "-ERR timeout is not a float or out of range"),
            (&["BZPOPMIN", "a", "s", "0"], "-WRONGTYPE "),
            (&["BZMPOP", "0", "0", "a", "MIN"], "-ERR numkeys should be greater than 0"),
        ];
        for (args, reply) in cases {
            assert!(run(unit, args).starts_with(reply), "{args:?}: {}", run(unit, args));
        }
    }
}
