//! Commands that tell a range of members: ZRANGE with its older relatives, and ZRANGESTORE.

use crate::command::args::Args;
use crate::command::collection::zset_of;
use crate::command::number::integer;
use crate::command::row::{block, first_key, key_arg, keys_at, named_key, one_of, word};
use crate::command::spec::key_flag::{ACCESS, OW, RO, UPDATE};
use crate::command::spec::{Arg, ArgKind, Call, Command, Copies, Failure, Group, Spec, flag};
use crate::command::zset::{NewZset, read_zset};
use crate::value::score::Scored;
use crate::value::view::ZsetRef;

use super::reply::reply_scored;
use super::span::{By, Span, members};

const LIMIT: Arg =
    block("limit", &[Arg::new("offset", ArgKind::Integer), Arg::new("count", ArgKind::Integer)])
        .behind("LIMIT")
        .optional();
const SORT_BY: Arg =
    one_of("sortby", &[word("byscore", "BYSCORE"), word("bylex", "BYLEX")]).optional();
const REV: Arg = word("rev", "REV").optional();
const WITHSCORES: Arg = word("withscores", "WITHSCORES").optional();

const fn integer_arg(name: &'static str) -> Arg {
    Arg::new(name, ArgKind::Integer)
}

const fn double_arg(name: &'static str) -> Arg {
    Arg::new(name, ArgKind::Double)
}

const fn string_arg(name: &'static str) -> Arg {
    Arg::new(name, ArgKind::String)
}

/// What the rows of this file have in common.
const ROW: Spec = Spec {
    arity: -4,
    flags: flag::READONLY,
    keys: &[first_key(RO | ACCESS)],
    group: Group::SortedSet,
    since: "2.8.9",
    complexity: "O(log N + M) in a sorted set of N for M members that are told.",
    ..Spec::EMPTY
};

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "zrange",
            since: "1.2.0",
            summary: "Tells the members in a range of ranks, scores or members.",
            args: &[
                key_arg(),
                string_arg("start"),
                string_arg("stop"),
                SORT_BY.since("6.2.0"),
                REV.since("6.2.0"),
                LIMIT.since("6.2.0"),
                WITHSCORES,
            ],
            history: &[("6.2.0", "Takes `REV`, `BYSCORE`, `BYLEX` and `LIMIT`.")],
            ..ROW
        },
        run: zrange,
    },
    Command {
        spec: Spec {
            name: "zrangestore",
            arity: -5,
            flags: flag::WRITE | flag::DENYOOM | flag::COPIES,
            keys: &[keys_at(1, 0, 1, OW | UPDATE), keys_at(2, 0, 1, RO | ACCESS)],
            since: "6.2.0",
            complexity: "O(log N + M) in a sorted set of N for M members that are stored.",
            summary: "Keeps the members in a range as a sorted set of their own.",
            args: &[
                named_key("dst", 0),
                named_key("src", 1),
                string_arg("min"),
                string_arg("max"),
                SORT_BY,
                REV,
                LIMIT,
            ],
            copies: Copies::Sources,
            ..ROW
        },
        run: zrangestore,
    },
    Command {
        spec: Spec {
            name: "zrevrange",
            since: "1.2.0",
            summary: "Tells the members in a range of ranks from the highest score.",
            args: &[key_arg(), integer_arg("start"), integer_arg("stop"), WITHSCORES],
            deprecated: Some(("6.2.0", "`ZRANGE` with `REV`")),
            ..ROW
        },
        run: zrevrange,
    },
    Command {
        spec: Spec {
            name: "zrangebyscore",
            since: "1.0.5",
            summary: "Tells the members with scores in a range.",
            args: &[
                key_arg(),
                double_arg("min"),
                double_arg("max"),
                WITHSCORES.since("2.0.0"),
                LIMIT,
            ],
            deprecated: Some(("6.2.0", "`ZRANGE` with `BYSCORE`")),
            history: &[("2.0.0", "Takes `WITHSCORES`.")],
            ..ROW
        },
        run: zrangebyscore,
    },
    Command {
        spec: Spec {
            name: "zrevrangebyscore",
            since: "2.2.0",
            summary: "Tells the members with scores in a range, from the highest.",
            args: &[key_arg(), double_arg("max"), double_arg("min"), WITHSCORES, LIMIT],
            deprecated: Some(("6.2.0", "`ZRANGE` with `REV` and `BYSCORE`")),
            history: &[("2.1.6", "Takes ends that are left out themselves.")],
            ..ROW
        },
        run: zrevrangebyscore,
    },
    Command {
        spec: Spec {
            name: "zrangebylex",
            summary: "Tells the members between two, where all have one score.",
            args: &[key_arg(), string_arg("min"), string_arg("max"), LIMIT],
            deprecated: Some(("6.2.0", "`ZRANGE` with `BYLEX`")),
            ..ROW
        },
        run: zrangebylex,
    },
    Command {
        spec: Spec {
            name: "zrevrangebylex",
            summary: "Tells the members between two from the last, where all have one score.",
            args: &[key_arg(), string_arg("max"), string_arg("min"), LIMIT],
            deprecated: Some(("6.2.0", "`ZRANGE` with `REV` and `BYLEX`")),
            ..ROW
        },
        run: zrevrangebylex,
    },
];

/// What a call asks for.
struct Wanted<'a> {
    span: Span<'a>,
    reverse: bool,
    with_scores: bool,
    /// Members that are left out at the beginning, and how many follow; negative is all.
    limit: (i64, i64),
}

impl<'a> Wanted<'a> {
    /// Reads the two ends from argument `at` on, and the options behind them. `by` and `reverse`
    /// are none where options tell them.
    fn parse(
        args: &Args<'a>,
        at: usize,
        mut by: Option<By>,
        mut reverse: Option<bool>,
        stores: bool,
    ) -> Result<Wanted<'a>, Failure> {
        let (mut with_scores, mut limit) = (false, (0, -1));
        let mut index = at + 2;
        while index < args.len() {
            if !stores && args.is(index, "WITHSCORES") {
                with_scores = true;
            } else if args.is(index, "LIMIT") && index + 2 < args.len() {
                limit = (integer(args.get(index + 1))?, integer(args.get(index + 2))?);
                index += 2;
            } else if reverse.is_none() && args.is(index, "REV") {
                reverse = Some(true);
            } else if by.is_none() && args.is(index, "BYLEX") {
                by = Some(By::Lex);
            } else if by.is_none() && args.is(index, "BYSCORE") {
                by = Some(By::Score);
            } else {
                return Err(Failure::Syntax);
            }
            index += 1;
        }
        let (by, reverse) = (by.unwrap_or(By::Rank), reverse.unwrap_or(false));
        if by == By::Rank && limit.1 != -1 {
            return Err(Failure::text(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or \
                 BYLEX",
            ));
        }
        if by == By::Lex && with_scores {
            return Err(Failure::text(
                "ERR syntax error, WITHSCORES not supported in combination with BYLEX",
            ));
        }
        if by == By::Rank {
            limit = (0, -1);
        }
        let (mut min, mut max) = (args.get(at), args.get(at + 1));
        if reverse && by != By::Rank {
            (min, max) = (max, min);
        }
        Ok(Wanted { span: Span::parse(by, min, max)?, reverse, with_scores, limit })
    }

    /// How many members there are, and these.
    fn find<'z>(&self, zset: ZsetRef<'z>) -> (usize, impl Iterator<Item = Scored<'z>> + use<'z>) {
        let mut ranks = self.span.ranks(&zset, self.reverse);
        let len = ranks.end - ranks.start;
        // Nothing follows an offset that is no number of members.
        let offset = u64::try_from(self.limit.0).map_or(len, |offset| offset.min(len));
        let count = u64::try_from(self.limit.1).unwrap_or(len).min(len - offset);
        if self.reverse {
            ranks.end -= offset;
            ranks.start = ranks.end - count;
        } else {
            ranks.start += offset;
            ranks.end = ranks.start + count;
        }
        (count as usize, members(zset, ranks, self.reverse))
    }
}

fn zrange(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    reply_range(call, None, None)
}

fn zrevrange(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    reply_range(call, Some(By::Rank), Some(true))
}

fn zrangebyscore(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    reply_range(call, Some(By::Score), Some(false))
}

fn zrevrangebyscore(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    reply_range(call, Some(By::Score), Some(true))
}

fn zrangebylex(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    reply_range(call, Some(By::Lex), Some(false))
}

fn zrevrangebylex(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    reply_range(call, Some(By::Lex), Some(true))
}

fn reply_range(
    call: &mut Call<'_, '_, '_>,
    by: Option<By>,
    reverse: Option<bool>,
) -> Result<(), Failure> {
    let wanted = Wanted::parse(call.args, 2, by, reverse, false)?;
    let key = call.unit.key(call.db, call.args.get(1));
    let Some(zset) = read_zset(call.unit, &key)? else {
        call.reply.array(0);
        return Ok(());
    };
    let (count, members) = wanted.find(zset);
    reply_scored(call.reply, count, members, wanted.with_scores);
    Ok(())
}

fn zrangestore(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let wanted = Wanted::parse(call.args, 3, None, None, true)?;
    let source = call.unit.key(call.db, call.args.get(2));
    let target = call.unit.key(call.db, call.args.get(1));
    let (encodings, by_rank) = (call.encodings, matches!(wanted.span, Span::Ranks(..)));
    let stored = match call.unit.get(&source) {
        None => NewZset::whole(encodings, &[]),
        Some(view) => {
            let (count, members) = wanted.find(zset_of(&view)?);
            // How many members a range by rank has is known before they are met.
            NewZset::in_steps(encodings, if by_rank { count as u64 } else { 0 }, members)
        }
    };
    let count = stored.put(call.unit, &target);
    call.reply.integer(count as i64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{run, unit};

    #[test]
    fn ranges_are_told_from_either_end() {
        let unit = &mut unit();
        run(unit, &["ZADD", "z", "1", "a", "2", "b", "3", "c"]);
        for (command, reply) in [
            ("ZRANGE z 0 1", "*2 $1 a $1 b"),
            ("ZRANGE z 0 0 REV WITHSCORES", "*2 $1 c $1 3"),
            ("ZREVRANGE z 1 5", "*2 $1 b $1 a"),
            ("ZRANGE z (1 +inf BYSCORE", "*2 $1 b $1 c"),
            ("ZRANGE z 3 (1 BYSCORE REV LIMIT 1 5", "*1 $1 b"),
            ("ZRANGEBYSCORE z 1 3 LIMIT 1 1", "*1 $1 b"),
            ("ZRANGEBYSCORE z 1 3 LIMIT 5 -1", "*0"),
            ("ZRANGEBYSCORE z 1 3 LIMIT -1 5", "*0"),
            ("ZRANGEBYSCORE z 1 3 LIMIT 0 0", "*0"),
            ("ZREVRANGEBYSCORE z 3 2 LIMIT 0 -7 WITHSCORES", "*4 $1 c $1 3 $1 b $1 2"),
            ("ZRANGE none 0 -1", "*0"),
            ("ZRANGE z 5 9", "*0"),
        ] {
            assert_eq!(run(unit, &command.split(' ').collect::<Vec<_>>()), reply, "{command}");
        }
        run(unit, &["ZADD", "y", "0", "a", "0", "b", "0", "c"]);
        for (command, reply) in [
            ("ZRANGEBYLEX y [b +", "*2 $1 b $1 c"),
            ("ZREVRANGEBYLEX y (c -", "*2 $1 b $1 a"),
            ("ZRANGE y + [a BYLEX REV LIMIT 1 1", "*1 $1 b"),
        ] {
            assert_eq!(run(unit, &command.split(' ').collect::<Vec<_>>()), reply, "{command}");
        }
    }

    #[test]
    fn options_that_contradict_are_refused() {
        let unit = &mut unit();
        run(unit, &["SET", "s", "x"]);
        for (command, error) in [
            ("ZRANGE s 0 1 LIMIT 0 1", "-ERR syntax error, LIMIT is only supported in combination"),
            ("ZRANGE s - + BYLEX WITHSCORES", "-ERR syntax error, WITHSCORES not supported"),
            ("ZRANGE s 0 1 BYSCORE BYLEX", "-ERR syntax error"),
            ("ZRANGE s 0 1 REV REV", "-ERR syntax error"),
            ("ZREVRANGE s 0 1 REV", "-ERR syntax error"),
            ("ZRANGEBYSCORE s 0 1 LIMIT 0", "-ERR syntax error"),
            ("ZRANGEBYSCORE s 0 1 LIMIT x 1", "-ERR value is not an integer"),
            ("ZRANGEBYSCORE s a 1", "-ERR min or max is not a float"),
            ("ZRANGE s a 1", "-ERR value is not an integer"),
            ("ZRANGE s a 1 BYLEX", "-ERR min or max not valid string range item"),
            ("ZRANGESTORE d s 0 1 WITHSCORES", "-ERR syntax error"),
            ("ZRANGE s 0 1", "-WRONGTYPE"),
        ] {
            let reply = run(unit, &command.split(' ').collect::<Vec<_>>());
            assert!(reply.starts_with(error), "{command}: {reply}");
        }
    }

    #[test]
    fn a_stored_range_replaces_what_was_there() {
        let unit = &mut unit();
        run(unit, &["ZADD", "z", "1", "a", "2", "b", "3", "c"]);
        run(unit, &["SET", "d", "x", "EX", "100"]);
        assert_eq!(run(unit, &["ZRANGESTORE", "d", "z", "0", "1", "REV"]), ":2");
        let reply = run(unit, &["ZRANGE", "d", "0", "-1", "WITHSCORES"]);
        assert_eq!(reply, "*4 $1 b $1 2 $1 c $1 3");
        assert_eq!(run(unit, &["TTL", "d"]), ":-1");
        assert_eq!(run(unit, &["ZRANGESTORE", "d", "d", "0", "0"]), ":1");
        assert_eq!(run(unit, &["ZRANGESTORE", "d", "none", "0", "-1"]), ":0");
        assert_eq!(run(unit, &["EXISTS", "d"]), ":0");
    }
}
