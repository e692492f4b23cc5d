//! Commands that take the ends off sorted sets: ZPOPMIN, ZPOPMAX, ZMPOP.

use std::ops::Range;

use crate::command::args::Args;
use crate::command::collection::zset_of;
use crate::command::double;
use crate::command::number::parse_integer;
use crate::command::row::{counted_keys, first_key, key_arg, one_of, word};
use crate::command::spec::key_flag::{ACCESS, DELETE, RW};
use crate::command::spec::{Arg, ArgKind, Call, Command, Copies, Failure, Group, Spec, flag};
use crate::engine::unit::{Key, ValueRef};
use crate::resp::write::Protocol;
use crate::value::view::ZsetRef;

use super::remove::remove_ranks;
use super::span::{REMOVED_BYTES, members, removed_bytes};

/// What the rows of this file have in common.
const ROW: Spec = Spec {
    arity: -2,
    flags: flag::WRITE | flag::FAST | flag::FREES | flag::COPIES,
    keys: &[first_key(RW | ACCESS | DELETE)],
    group: Group::SortedSet,
    since: "5.0.0",
    complexity: "O(M log N) in a sorted set of N for M members that are taken.",
    args: &[key_arg(), Arg::new("count", ArgKind::Integer).optional()],
    extra_bytes: Some(|_, _| REMOVED_BYTES),
    ..Spec::EMPTY
};

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "zpopmin",
            summary: "Takes the members with the lowest scores away.",
            copies: Copies::Chosen(|args, value| popped_bytes(args, false, value)),
            ..ROW
        },
        run: zpopmin,
    },
    Command {
        spec: Spec {
            name: "zpopmax",
            summary: "Takes the members with the highest scores away.",
            copies: Copies::Chosen(|args, value| popped_bytes(args, true, value)),
            ..ROW
        },
        run: zpopmax,
    },
    Command {
        spec: Spec {
            name: "zmpop",
            arity: -4,
            flags: flag::WRITE | flag::FREES | flag::COPIES | flag::MOVABLE_KEYS,
            keys: &[counted_keys(1, RW | ACCESS | DELETE)],
            since: "7.0.0",
            complexity: "O(K + M log N) for K keys and M members taken of N.",
            summary: "Takes members off an end of the first sorted set that is there.",
            args: &[
                Arg::new("numkeys", ArgKind::Integer),
                key_arg().multiple(),
                one_of("where", &[word("min", "MIN"), word("max", "MAX")]),
                Arg::new("count", ArgKind::Integer).behind("COUNT").optional(),
            ],
            copies: Copies::Chosen(multi_popped_bytes),
            ..ROW
        },
        run: zmpop,
    },
];

/// The ranks of up to `count` members at an end.
pub(super) fn end_ranks(zset: &ZsetRef<'_>, count: u64, from_highest: bool) -> Range<u64> {
    let len = zset.len();
    let count = count.min(len);
    if from_highest { len - count..len } else { 0..count }
}

fn zpopmin(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    pop(call, false)
}

fn zpopmax(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    pop(call, true)
}

/// The count of ZPOPMIN and ZPOPMAX, none where there is no such argument.
fn pop_count(args: &Args<'_>) -> Result<Option<u64>, Failure> {
    match args.len() {
        2 => Ok(None),
        3 => {
            let count = parse_integer(args.get(2)).and_then(|count| u64::try_from(count).ok());
            let wrong = Failure::text("ERR value is out of range, must be positive");
            Ok(Some(count.ok_or(wrong)?))
        }
        _ => Err(Failure::Syntax),
    }
}

fn popped_bytes(args: &Args<'_>, from_highest: bool, value: ValueRef<'_>) -> u64 {
    match pop_count(args) {
        Ok(count) => removed_bytes(value, |zset| end_ranks(zset, count.unwrap_or(1), from_highest)),
        Err(_) => 0,
    }
}

fn pop(call: &mut Call<'_, '_, '_>, from_highest: bool) -> Result<(), Failure> {
    let count = pop_count(call.args)?;
    let key = call.unit.key(call.db, call.args.get(1));
    let Some(view) = call.unit.get_to_change(&key) else {
        call.reply.array(0);
        return Ok(());
    };
    let ranks = end_ranks(&zset_of(&view)?, count.unwrap_or(1), from_highest);
    let as_pairs = call.reply.protocol() == Protocol::Resp3 && count.is_some();
    take(call, &key, ranks, from_highest, as_pairs)
}

/// Replies with the members of these ranks and removes them.
pub(super) fn take(
    call: &mut Call<'_, '_, '_>,
    key: &Key<'_>,
    ranks: Range<u64>,
    from_highest: bool,
    as_pairs: bool,
) -> Result<(), Failure> {
    let count = (ranks.end - ranks.start) as usize;
    call.reply.array(if as_pairs { count } else { 2 * count });
    if count == 0 {
        return Ok(());
    }
    let view = call.unit.seen(key).ok_or(Failure::NoSuchKey)?;
    for (score, member) in members(zset_of(&view)?, ranks.clone(), from_highest) {
        if as_pairs {
            call.reply.array(2);
        }
        call.reply.bulk(member);
        double::reply(call.reply, score);
    }
    remove_ranks(call.unit, key, ranks)
}

/// What a call of ZMPOP asks for.
pub(super) struct MultiPop {
    pub(super) key_count: usize,
    pub(super) from_highest: bool,
    pub(super) count: u64,
}

impl MultiPop {
    pub(super) fn parse(args: &Args<'_>) -> Result<MultiPop, Failure> {
        let positive = |text: &[u8]| parse_integer(text).filter(|number| *number > 0);
        let numkeys = positive(args.get(1));
        let numkeys = numkeys.ok_or(Failure::text("ERR numkeys should be greater than 0"))?;
        let key_count = usize::try_from(numkeys).map_err(|_| Failure::Syntax)?;
        if key_count >= args.len() - 2 {
            return Err(Failure::Syntax);
        }
        let mut index = 2 + key_count;
        let from_highest = match () {
            () if args.is(index, "MIN") => false,
            () if args.is(index, "MAX") => true,
            () => return Err(Failure::Syntax),
        };
        index += 1;
        let mut count = None;
        while index < args.len() {
            if count.is_some() || !args.is(index, "COUNT") || index + 1 == args.len() {
                return Err(Failure::Syntax);
            }
            let wrong = Failure::text("ERR count should be greater than 0");
            count = Some(positive(args.get(index + 1)).ok_or(wrong)? as u64);
            index += 2;
        }
        Ok(MultiPop { key_count, from_highest, count: count.unwrap_or(1) })
    }
}

fn multi_popped_bytes(args: &Args<'_>, value: ValueRef<'_>) -> u64 {
    match MultiPop::parse(args) {
        Ok(wanted) => {
            removed_bytes(value, |zset| end_ranks(zset, wanted.count, wanted.from_highest))
        }
        Err(_) => 0,
    }
}

fn zmpop(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let wanted = MultiPop::parse(call.args)?;
    for index in 2..2 + wanted.key_count {
        let name = call.args.get(index);
        let key = call.unit.key(call.db, name);
        let Some(view) = call.unit.get_to_change(&key) else {
            continue;
        };
        let ranks = end_ranks(&zset_of(&view)?, wanted.count, wanted.from_highest);
        call.reply.array(2);
        call.reply.bulk(name);
        return take(call, &key, ranks, wanted.from_highest, true);
    }
    call.reply.null_array();
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{run, unit};

    #[test]
    fn members_are_taken_off_either_end() {
        let unit = &mut unit();
        run(unit, &["ZADD", "z", "1", "a", "2", "b", "3", "c", "4", "d"]);
        assert_eq!(run(unit, &["ZPOPMIN", "z"]), "*2 $1 a $1 1");
        assert_eq!(run(unit, &["ZPOPMAX", "z", "2"]), "*4 $1 d $1 4 $1 c $1 3");
        assert_eq!(run(unit, &["ZPOPMIN", "z", "0"]), "*0");
        assert_eq!(run(unit, &["ZPOPMIN", "z", "9223372036854775807"]), "*2 $1 b $1 2");
        assert_eq!(run(unit, &["EXISTS", "z"]), ":0");
        assert_eq!(run(unit, &["ZPOPMIN", "z"]), "*0");
        let error = "-ERR value is out of range, must be positive";
        assert_eq!(run(unit, &["ZPOPMIN", "z", "-1"]), error);
        assert_eq!(run(unit, &["ZPOPMIN", "z", "1", "2"]), "-ERR syntax error");
    }

    #[test]
    fn the_first_sorted_set_that_is_there_is_popped() {
        let unit = &mut unit();
        run(unit, &["ZADD", "z", "1", "a", "2", "b", "3", "c"]);
        run(unit, &["SET", "s", "x"]);
        let reply = run(unit, &["ZMPOP", "2", "none", "z", "MAX", "COUNT", "2"]);
        assert_eq!(reply, "*2 $1 z *2 *2 $1 c $1 3 *2 $1 b $1 2");
        assert_eq!(run(unit, &["ZMPOP", "2", "z", "s", "min"]), "*2 $1 z *1 *2 $1 a $1 1");
        assert_eq!(run(unit, &["ZMPOP", "1", "z", "MIN"]), "*-1");
        assert!(run(unit, &["ZMPOP", "2", "z", "s", "MIN"]).starts_with("-WRONGTYPE"));
        for (arguments, error) in [
            (&["0", "z", "MIN"][..], "-ERR numkeys should be greater than 0"),
            (&["x", "z", "MIN"], "-ERR numkeys should be greater than 0"),
            (&["2", "z", "MIN"], "-ERR syntax error"),
            (&["9223372036854775807", "z", "MIN"], "-ERR syntax error"),
            (&["1", "z", "MID"], "-ERR syntax error"),
            (&["1", "z", "MIN", "COUNT"], "-ERR syntax error"),
            (&["1", "z", "MIN", "COUNT", "0"], "-ERR count should be greater than 0"),
            (&["1", "z", "MIN", "COUNT", "1", "COUNT", "1"], "-ERR syntax error"),
        ] {
            let command = [&["ZMPOP"], arguments].concat();
            assert_eq!(run(unit, &command), error, "{command:?}");
        }
    }
}
