//! Commands that remove members: ZREM, ZREMRANGEBYRANK, ZREMRANGEBYSCORE, ZREMRANGEBYLEX.

use std::ops::Range;

use crate::command::args::Args;
use crate::command::collection::{GoneMembers, distinct, edit_or_delete, zset_of};
use crate::command::row::{first_key, key_arg};
use crate::command::spec::key_flag::{DELETE, RW};
use crate::command::spec::{
    Arg, ArgKind, Call, Command, Copies, Failure, FirstMember, Group, Spec, flag,
};
use crate::command::zset::Form;
use crate::engine::unit::{Key, Unit, ValueRef};

use super::span::{By, REMOVED_BYTES, Span, members, removed_bytes};

/// What the rows of this file have in common.
const ROW: Spec = Spec {
    arity: 4,
    flags: flag::WRITE | flag::FREES | flag::COPIES,
    keys: &[first_key(RW | DELETE)],
    group: Group::SortedSet,
    since: "1.2.0",
    complexity: "O(log N + M) in a sorted set of N for M members that are removed.",
    extra_bytes: Some(|_, _| REMOVED_BYTES),
    ..Spec::EMPTY
};

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "zrem",
            arity: -3,
            flags: flag::WRITE | flag::FAST | flag::FREES,
            complexity: "O(M log N) in a sorted set of N for M members that are removed.",
            summary: "Removes members, and the sorted set with its last one.",
            args: &[key_arg(), Arg::new("member", ArgKind::String).multiple()],
            history: &[("2.4.0", "Takes several members.")],
            extra_bytes: None,
            first_member: FirstMember::Named(2),
            ..ROW
        },
        run: zrem,
    },
    Command {
        spec: Spec {
            name: "zremrangebyrank",
            since: "2.0.0",
            summary: "Removes the members with ranks in a range.",
            args: &[
                key_arg(),
                Arg::new("start", ArgKind::Integer),
                Arg::new("stop", ArgKind::Integer),
            ],
            copies: Copies::Chosen(|args, value| range_bytes(By::Rank, args, value)),
            ..ROW
        },
        run: zremrangebyrank,
    },
    Command {
        spec: Spec {
            name: "zremrangebyscore",
            summary: "Removes the members with scores in a range.",
            args: &[key_arg(), Arg::new("min", ArgKind::Double), Arg::new("max", ArgKind::Double)],
            copies: Copies::Chosen(|args, value| range_bytes(By::Score, args, value)),
            ..ROW
        },
        run: zremrangebyscore,
    },
    Command {
        spec: Spec {
            name: "zremrangebylex",
            since: "2.8.9",
            summary: "Removes the members between two, where all have one score.",
            args: &[key_arg(), Arg::new("min", ArgKind::String), Arg::new("max", ArgKind::String)],
            copies: Copies::Chosen(|args, value| range_bytes(By::Lex, args, value)),
            ..ROW
        },
        run: zremrangebylex,
    },
];

fn zrem(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    let Some(view) = call.unit.get_to_change(&key) else {
        call.reply.integer(0);
        return Ok(());
    };
    let (zset, form) = (zset_of(&view)?, Form::of(&view)?);
    let (mut gone, mut count) = (GoneMembers::default(), 0);
    for member in distinct(call.args.iter_from(2)) {
        if zset.score(member).is_some() {
            gone.push(member);
            count += 1;
        }
    }
    edit_or_delete(call.unit, &key, form.shape(), gone.edit(), (form.len, count));
    call.reply.integer(count as i64);
    Ok(())
}

fn zremrangebyrank(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    remove_range(call, By::Rank)
}

fn zremrangebyscore(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    remove_range(call, By::Score)
}

fn zremrangebylex(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    remove_range(call, By::Lex)
}

fn remove_range(call: &mut Call<'_, '_, '_>, by: By) -> Result<(), Failure> {
    let span = Span::parse(by, call.args.get(2), call.args.get(3))?;
    let key = call.unit.key(call.db, call.args.get(1));
    let ranks = match call.unit.get_to_change(&key) {
        None => 0..0,
        Some(view) => span.ranks(&zset_of(&view)?, false),
    };
    let count = ranks.end - ranks.start;
    if count > 0 {
        remove_ranks(call.unit, &key, ranks)?;
    }
    call.reply.integer(count as i64);
    Ok(())
}

/// What [`remove_range`] logs beyond [`REMOVED_BYTES`].
fn range_bytes(by: By, args: &Args<'_>, value: ValueRef<'_>) -> u64 {
    match Span::parse(by, args.get(2), args.get(3)) {
        Ok(span) => removed_bytes(value, |zset| span.ranks(zset, false)),
        Err(_) => 0,
    }
}

/// Removes the members of these ranks, of which there is at least one, from a live key that the
/// unit has looked at.
pub fn remove_ranks(unit: &mut Unit<'_>, key: &Key<'_>, ranks: Range<u64>) -> Result<(), Failure> {
    let Some(view) = unit.seen(key) else {
        return Ok(());
    };
    let (zset, form) = (zset_of(&view)?, Form::of(&view)?);
    let count = ranks.end - ranks.start;
    let mut gone = GoneMembers::default();
    if count < form.len {
        members(zset, ranks, false).for_each(|(_, member)| gone.push(member));
    }
    edit_or_delete(unit, key, form.shape(), gone.edit(), (form.len, count));
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{run, unit};

    #[test]
    fn a_sorted_set_goes_with_its_last_member() {
        let unit = &mut unit();
        run(unit, &["ZADD", "z", "1", "a", "2", "b", "3", "c"]);
        assert_eq!(run(unit, &["ZREM", "z", "a", "a", "x"]), ":1");
        assert_eq!(run(unit, &["ZREM", "z", "x"]), ":0");
        assert_eq!(run(unit, &["ZREM", "z", "b", "c"]), ":2");
        assert_eq!(run(unit, &["EXISTS", "z"]), ":0");
        assert_eq!(run(unit, &["ZREM", "z", "b"]), ":0");
        run(unit, &["SET", "s", "x"]);
        assert!(run(unit, &["ZREM", "s", "b"]).starts_with("-WRONGTYPE"));
    }

    #[test]
    fn ranges_are_removed_from_small_and_large_sorted_sets() {
        for count in [5, 1000] {
            let unit = &mut unit();
            let mut command = vec!["ZADD".to_owned(), "z".to_owned()];
            for number in 0..count {
                command.extend([number.to_string(), format!("m{number:04}")]);
            }
            run(unit, &command);
            assert_eq!(run(unit, &["ZREMRANGEBYRANK", "z", "-1", "-1"]), ":1");
            assert_eq!(run(unit, &["ZREMRANGEBYSCORE", "z", "(0", "1"]), ":1");
            let left = run(unit, &["ZRANGE", "z", "0", "1"]);
            assert_eq!(left, "*2 $5 m0000 $5 m0002");
            assert_eq!(run(unit, &["ZREMRANGEBYSCORE", "z", "7", "6"]), ":0");
            let all = run(unit, &["ZREMRANGEBYRANK", "z", "0", "-1"]);
            assert_eq!(all, format!(":{}", count - 2));
            assert_eq!(run(unit, &["EXISTS", "z"]), ":0");
        }
        let unit = &mut unit();
        run(unit, &["ZADD", "z", "0", "a", "0", "b", "0", "c"]);
        assert_eq!(run(unit, &["ZREMRANGEBYLEX", "z", "[b", "+"]), ":2");
        assert_eq!(run(unit, &["ZRANGE", "z", "0", "-1"]), "*1 $1 a");
        let error = "-ERR value is not an integer or out of range";
        assert_eq!(run(unit, &["ZREMRANGEBYRANK", "z", "0", "x"]), error);
    }
}
