//! Commands that tell scores, ranks and counts: ZSCORE and its relatives.

use crate::command::double;
use crate::command::row::{first_key, key_arg, word};
use crate::command::spec::key_flag::{ACCESS, RO};
use crate::command::spec::{Arg, ArgKind, Call, Command, Failure, FirstMember, Group, Spec, flag};
use crate::command::zset::read_zset;

use super::span::{By, Span};

/// What the rows of this file have in common.
const ROW: Spec = Spec {
    arity: 3,
    flags: flag::READONLY | flag::FAST,
    keys: &[first_key(RO | ACCESS)],
    group: Group::SortedSet,
    since: "1.2.0",
    args: &[key_arg(), Arg::new("member", ArgKind::String)],
    ..Spec::EMPTY
};

/// Commands that tell a rank.
const ROW_OF_RANK: Spec = Spec {
    arity: -3,
    since: "2.0.0",
    complexity: "O(log N) in a sorted set of N.",
    args: &[
        key_arg(),
        Arg::new("member", ArgKind::String),
        word("withscore", "WITHSCORE").optional(),
    ],
    history: &[("7.2.0", "Takes `WITHSCORE`.")],
    ..ROW
};

/// Commands that count a range.
const ROW_OF_COUNT: Spec = Spec { arity: 4, complexity: "O(log N) in a sorted set of N.", ..ROW };

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "zscore",
            flags: ROW.flags | flag::MEMBERS,
            summary: "Tells the score of a member.",
            first_member: FirstMember::Named(2),
            ..ROW
        },
        run: zscore,
    },
    Command {
        spec: Spec {
            name: "zmscore",
            flags: ROW.flags | flag::MEMBERS,
            arity: -3,
            since: "6.2.0",
            complexity: "O(N) for N members asked for.",
            summary: "Tells the scores of several members.",
            args: &[key_arg(), Arg::new("member", ArgKind::String).multiple()],
            first_member: FirstMember::Named(2),
            ..ROW
        },
        run: zmscore,
    },
    Command {
        spec: Spec {
            name: "zcard",
            arity: 2,
            keys: &[first_key(RO)],
            summary: "Counts the members.",
            args: &[key_arg()],
            ..ROW
        },
        run: zcard,
    },
    Command {
        spec: Spec {
            name: "zcount",
            since: "2.0.0",
            summary: "Counts the members with scores in a range.",
            args: &[key_arg(), Arg::new("min", ArgKind::Double), Arg::new("max", ArgKind::Double)],
            ..ROW_OF_COUNT
        },
        run: zcount,
    },
    Command {
        spec: Spec {
            name: "zlexcount",
            since: "2.8.9",
            summary: "Counts the members between two, where all have one score.",
            args: &[key_arg(), Arg::new("min", ArgKind::String), Arg::new("max", ArgKind::String)],
            ..ROW_OF_COUNT
        },
        run: zlexcount,
    },
    Command {
        spec: Spec {
            name: "zrank",
            summary: "Tells how many members stand below one.",
            first_member: FirstMember::Named(2),
            ..ROW_OF_RANK
        },
        run: zrank,
    },
    Command {
        spec: Spec {
            name: "zrevrank",
            summary: "Tells how many members stand above one.",
            first_member: FirstMember::Named(2),
            ..ROW_OF_RANK
        },
        run: zrevrank,
    },
];

fn zscore(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    match read_zset(call.unit, &key)?.and_then(|zset| zset.score(call.args.get(2))) {
        Some(score) => double::reply(call.reply, score),
        None => call.reply.null(),
    }
    Ok(())
}

fn zmscore(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    let zset = read_zset(call.unit, &key)?;
    call.reply.array(call.args.len() - 2);
    for member in call.args.iter_from(2) {
        match zset.and_then(|zset| zset.score(member)) {
            Some(score) => double::reply(call.reply, score),
            None => call.reply.null(),
        }
    }
    Ok(())
}

fn zcard(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    let len = read_zset(call.unit, &key)?.map_or(0, |zset| zset.len());
    call.reply.integer(len as i64);
    Ok(())
}

fn zcount(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    count(call, By::Score)
}

fn zlexcount(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    count(call, By::Lex)
}

fn count(call: &mut Call<'_, '_, '_>, by: By) -> Result<(), Failure> {
    let span = Span::parse(by, call.args.get(2), call.args.get(3))?;
    let key = call.unit.key(call.db, call.args.get(1));
    let ranks = read_zset(call.unit, &key)?.map_or(0..0, |zset| span.ranks(&zset, false));
    call.reply.integer((ranks.end - ranks.start) as i64);
    Ok(())
}

fn zrank(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    rank(call, "zrank", false)
}

fn zrevrank(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    rank(call, "zrevrank", true)
}

fn rank(call: &mut Call<'_, '_, '_>, name: &str, reverse: bool) -> Result<(), Failure> {
    let args = call.args;
    if args.len() > 4 {
        let text = format!("ERR wrong number of arguments for '{name}' command");
        return Err(Failure::Text(text.into()));
    }
    let with_score = args.len() > 3;
    if with_score && !args.is(3, "WITHSCORE") {
        return Err(Failure::Syntax);
    }
    let key = call.unit.key(call.db, args.get(1));
    let zset = read_zset(call.unit, &key)?;
    let found = zset.and_then(|zset| Some((zset.rank(args.get(2))?, zset.len())));
    let Some(((rank, score), len)) = found else {
        if with_score {
            call.reply.null_array();
        } else {
            call.reply.null();
        }
        return Ok(());
    };
    let rank = if reverse { len - 1 - rank } else { rank };
    if with_score {
        call.reply.array(2);
    }
    call.reply.integer(rank as i64);
    if with_score {
        double::reply(call.reply, score);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{run, unit};

    #[test]
    fn scores_and_ranks_are_those_of_the_members() {
        let unit = &mut unit();
        run(unit, &["ZADD", "z", "1", "a", "2", "b", "2", "c"]);
        assert_eq!(run(unit, &["ZSCORE", "z", "b"]), "$1 2");
        assert_eq!(run(unit, &["ZSCORE", "z", "x"]), "$-1");
        assert_eq!(run(unit, &["ZMSCORE", "none", "a", "b"]), "*2 $-1 $-1");
        assert_eq!(run(unit, &["ZCARD", "z"]), ":3");
        assert_eq!(run(unit, &["ZCARD", "none"]), ":0");
        assert_eq!(run(unit, &["ZRANK", "z", "c"]), ":2");
        assert_eq!(run(unit, &["ZREVRANK", "z", "c", "WITHSCORE"]), "*2 :0 $1 2");
        assert_eq!(run(unit, &["ZRANK", "z", "x"]), "$-1");
        assert_eq!(run(unit, &["ZRANK", "none", "x", "withscore"]), "*-1");
        assert_eq!(run(unit, &["ZRANK", "z", "a", "WITHSCORES"]), "-ERR syntax error");
        let error = "-ERR wrong number of arguments for 'zrevrank' command";
        assert_eq!(run(unit, &["ZREVRANK", "z", "a", "WITHSCORE", "x"]), error);
    }

    #[test]
    fn ranges_are_counted_with_and_without_their_ends() {
        let unit = &mut unit();
        run(unit, &["ZADD", "z", "1", "a", "2", "b", "3", "c"]);
        for (min, max, count) in [
            ("1", "3", 3),
            ("(1", "3", 2),
            ("1", "(3", 2),
            ("(1", "(2", 0),
            ("-inf", "+inf", 3),
            ("3", "1", 0),
        ] {
            assert_eq!(run(unit, &["ZCOUNT", "z", min, max]), format!(":{count}"), "{min} {max}");
        }
        let error = "-ERR min or max is not a float";
        assert_eq!(run(unit, &["ZCOUNT", "none", "1", "x"]), error);
        run(unit, &["ZADD", "y", "0", "a", "0", "b", "0", "c"]);
        for (min, max, count) in [
            ("-", "+", 3),
            ("[a", "(c", 2),
            ("(a", "[c", 2),
            ("(b", "(b", 0),
            ("+", "-", 0),
            ("[bb", "+", 1),
        ] {
            let reply = run(unit, &["ZLEXCOUNT", "y", min, max]);
            assert_eq!(reply, format!(":{count}"), "{min} {max}");
        }
        let error = "-ERR min or max not valid string range item";
        assert_eq!(run(unit, &["ZLEXCOUNT", "y", "a", "+"]), error);
        run(unit, &["SET", "s", "x"]);
        assert!(run(unit, &["ZCOUNT", "s", "1", "2"]).starts_with("-WRONGTYPE"));
    }
}
