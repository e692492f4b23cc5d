//! What a random command on sorted sets looks like.

use crate::grammar::{Row, Shape};
use crate::support::prng::Prng;

use Shape::*;

/// A key that mostly holds a sorted set.
pub fn zset_key(random: &mut Prng) -> Vec<u8> {
    random.pick(&["z1", "z2", "z3", "{z}4", "{z}5"]).as_bytes().to_vec()
}

/// A key whose members all have the score 0: other scores leave ranges of members undefined.
pub fn lex_key(random: &mut Prng) -> Vec<u8> {
    random.pick(&["lex1", "lex2"]).as_bytes().to_vec()
}

/// A key that holds a set, which is a source too.
fn set_key(random: &mut Prng) -> Vec<u8> {
    random.pick(&["set1", "set2"]).as_bytes().to_vec()
}

/// Whether a command has such a key, and must not be bent.
pub fn is_delicate(args: &[Vec<u8>]) -> bool {
    args.iter().any(|arg| arg.starts_with(b"lex") || arg.starts_with(b"set"))
}

/// Leaves out what Redis 7.2 and Valkey 8.1 answer differently: in ZADD, Valkey lets a long member
/// decide about the form of the sorted set even where it is not added, and before its turn; and it
/// takes cursors with blanks in front.
pub fn tame(args: &mut [Vec<u8>]) {
    if args[0].eq_ignore_ascii_case(b"ZSCAN") && args.len() > 2 && args[2].starts_with(b" ") {
        args[2] = b"x".to_vec();
    }
    if !args[0].eq_ignore_ascii_case(b"ZADD") || args.iter().all(|arg| arg.len() <= 64) {
        return;
    }
    let only_known = args.iter().any(|arg| arg.eq_ignore_ascii_case(b"XX"));
    for arg in &mut args[2..] {
        if arg.starts_with(b"-0") || only_known && arg.len() > 64 {
            *arg = b"0".to_vec();
        }
    }
}

const ZKEY: Shape = Made(|random, args| {
    args.push(match random.below(20) {
        0 => crate::grammar::key(random),
        _ => zset_key(random),
    });
});
/// A key that is written: a plain one, so that no string command meets what DUMP has not yet.
const TARGET: Shape = Made(|random, args| args.push(zset_key(random)));
const LEX_KEY: Shape = Made(|random, args| args.push(lex_key(random)));
const SET_KEY: Shape = Made(|random, args| args.push(set_key(random)));
const MEMBER: Shape = Made(|random, args| args.push(member(random)));
const MEMBERS: Shape =
    Made(|random, args| (0..=random.below(5)).for_each(|_| args.push(member(random))));
const SCORE: Shape = Made(|random, args| args.push(score(random)));
const PAIRS: Shape = Made(|random, args| {
    let count = match random.below(40) {
        0 => random.between(120, 135) as u64,
        1 => random.between(200, 1000) as u64,
        2..6 => random.between(5, 60) as u64,
        _ => random.between(1, 4) as u64,
    };
    for _ in 0..count {
        args.push(score(random));
        args.push(if count > 60 { many_member(random) } else { member(random) });
    }
});
const LEX_PAIRS: Shape = Made(|random, args| {
    let count = if random.percent(5) { 150 } else { random.between(1, 8) };
    for _ in 0..count {
        args.push(b"0".to_vec());
        args.push(if count > 60 { many_member(random) } else { member(random) });
    }
});
const RANK: Shape = Made(|random, args| {
    let rank = match random.below(8) {
        0 => random.between(-1000, 1000),
        _ => random.between(-6, 6),
    };
    args.push(rank.to_string().into_bytes());
});
const SCORE_END: Shape = Made(|random, args| {
    let end = match random.below(10) {
        0 => random.pick(&["-inf", "+inf", "(inf", "", " 1", "1e400", "nan", "x", "((1"]).into(),
        1 | 2 => b"-inf".to_vec(),
        3 | 4 => b"+inf".to_vec(),
        5 | 6 => [b"(".to_vec(), score(random)].concat(),
        _ => score(random),
    };
    args.push(end);
});
const LEX_END: Shape = Made(|random, args| {
    let end = match random.below(12) {
        0 | 1 => b"-".to_vec(),
        2 | 3 => b"+".to_vec(),
        4..7 => [b"(".to_vec(), member(random)].concat(),
        7 => random.pick(&["", "a", "++", "-a", "[", "("]).as_bytes().to_vec(),
        _ => [b"[".to_vec(), member(random)].concat(),
    };
    args.push(end);
});
/// The offset is no negative one, which Valkey 8.1 counts from the end of a skiplist.
const LIMIT: Shape = Made(|random, args| {
    if random.percent(40) {
        let offset = random.pick(&["0", "0", "1", "2", "10", "1000", "x"]);
        let count = random.pick(&["-1", "0", "1", "3", "50", "-5"]);
        args.extend(["LIMIT", offset, count].map(|word| word.as_bytes().to_vec()));
    }
});
const COUNT: Shape = Made(|random, args| {
    let count = random.pick(&["0", "1", "2", "5", "20", "300", "-1", "x"]);
    args.push(count.as_bytes().to_vec());
});
/// One to four sources behind their number, which is seldom wrong, with a weight each.
const SOURCES: Shape = Made(|random, args| sources(random, args, true));
const PLAIN_SOURCES: Shape = Made(|random, args| sources(random, args, false));
const WITHSCORES: Shape = Maybe(&[Word("WITHSCORES")]);
const ADD_OPTIONS: &[&[Shape]] = &[
    &[],
    &[],
    &[],
    &[Word("CH")],
    &[OneOf(&["NX", "XX", "GT", "LT"])],
    &[OneOf(&["XX", "gt", "LT", "CH"]), OneOf(&["GT", "CH", "XX", "NX"])],
];
const RANGE_BY: &[&[Shape]] = &[
    &[RANK, RANK, Maybe(&[Word("REV")])],
    &[SCORE_END, SCORE_END, Word("BYSCORE"), Maybe(&[Word("REV")]), LIMIT],
    &[RANK, RANK, LIMIT],
    &[Word("-"), Word("+"), Word("BYLEX"), Word("WITHSCORES")],
    &[SCORE_END, SCORE_END, Word("BYSCORE"), Word("BYSCORE")],
];

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    (60, "ZADD", &[TARGET, Either(ADD_OPTIONS), PAIRS]),
    (10, "ZADD", &[TARGET, Either(ADD_OPTIONS), Word("INCR"), SCORE, MEMBER]),
    (12, "ZINCRBY", &[TARGET, SCORE, MEMBER]),
    (12, "ZREM", &[ZKEY, MEMBERS]),
    (10, "ZSCORE", &[ZKEY, MEMBER]),
    (8, "ZMSCORE", &[ZKEY, MEMBERS]),
    (8, "ZCARD", &[ZKEY]),
    (10, "ZCOUNT", &[ZKEY, SCORE_END, SCORE_END]),
    (10, "ZRANK", &[ZKEY, MEMBER, Maybe(&[Word("WITHSCORE")])]),
    (10, "ZREVRANK", &[ZKEY, MEMBER, Maybe(&[Word("WITHSCORE")])]),
    (24, "ZRANGE", &[ZKEY, Either(RANGE_BY), WITHSCORES]),
    (12, "ZREVRANGE", &[ZKEY, RANK, RANK, WITHSCORES]),
    (10, "ZRANGEBYSCORE", &[ZKEY, SCORE_END, SCORE_END, WITHSCORES, LIMIT]),
    (10, "ZREVRANGEBYSCORE", &[ZKEY, SCORE_END, SCORE_END, LIMIT, WITHSCORES]),
    (12, "ZRANGESTORE", &[TARGET, ZKEY, Either(RANGE_BY)]),
    (6, "ZREMRANGEBYRANK", &[ZKEY, RANK, RANK]),
    (6, "ZREMRANGEBYSCORE", &[ZKEY, SCORE_END, SCORE_END]),
    (8, "ZPOPMIN", &[ZKEY, Maybe(&[COUNT])]),
    (8, "ZPOPMAX", &[ZKEY, Maybe(&[COUNT])]),
    (10, "ZMPOP", &[PLAIN_SOURCES, OneOf(&["MIN", "MAX", "min"]), Maybe(&[Word("COUNT"), COUNT])]),
    (8, "ZRANDMEMBER", &[ZKEY, Maybe(&[COUNT, WITHSCORES])]),
    (8, "ZSCAN", &[ZKEY, Word("0"), Maybe(&[Word("MATCH"), Word("*1*")]), Word("COUNT"), Word("100000")]),
    (10, "ZUNION", &[SOURCES, WITHSCORES]),
    (10, "ZINTER", &[SOURCES, WITHSCORES]),
    (10, "ZDIFF", &[PLAIN_SOURCES, WITHSCORES]),
    (8, "ZINTERCARD", &[PLAIN_SOURCES, Maybe(&[Word("LIMIT"), COUNT])]),
    (10, "ZUNIONSTORE", &[TARGET, SOURCES]),
    (10, "ZINTERSTORE", &[TARGET, SOURCES]),
    (8, "ZDIFFSTORE", &[TARGET, PLAIN_SOURCES]),
    (24, "ZADD", &[LEX_KEY, LEX_PAIRS]),
    (4, "ZREM", &[LEX_KEY, MEMBERS]),
    (8, "ZLEXCOUNT", &[LEX_KEY, LEX_END, LEX_END]),
    (8, "ZRANGEBYLEX", &[LEX_KEY, LEX_END, LEX_END, LIMIT]),
    (8, "ZREVRANGEBYLEX", &[LEX_KEY, LEX_END, LEX_END, LIMIT]),
    (8, "ZRANGE", &[LEX_KEY, LEX_END, LEX_END, Word("BYLEX"), Maybe(&[Word("REV")]), LIMIT]),
    (6, "ZRANGESTORE", &[TARGET, LEX_KEY, LEX_END, LEX_END, Word("BYLEX"), LIMIT]),
    (4, "ZREMRANGEBYLEX", &[LEX_KEY, LEX_END, LEX_END]),
    (2, "DEL", &[LEX_KEY]),
    (8, "SADD", &[SET_KEY, MEMBERS]),
    (3, "SREM", &[SET_KEY, MEMBERS]),
    (2, "ZSCORE", &[SET_KEY, MEMBER]),
    (14, "OBJECT", &[Word("ENCODING"), ZKEY]),
    (4, "TYPE", &[ZKEY]),
    (8, "DEL", &[TARGET]),
    (6, "RENAME", &[TARGET, TARGET]),
    (6, "COPY", &[TARGET, TARGET, Maybe(&[Word("REPLACE")])]),
    (4, "PEXPIRE", &[TARGET, MillisecondsAhead]),
    (4, "PTTL", &[TARGET]),
    (2, "GET", &[TARGET]),
    (2, "APPEND", &[TARGET, Value]),
    (2, "SET", &[TARGET, Value]),
];

/// One of few, so that commands meet.
fn member(random: &mut Prng) -> Vec<u8> {
    match random.below(30) {
        0 => vec![b'l'; *random.pick(&[&63_usize, &64, &65, &200])],
        1 => random.pick(&["", "\0", "-", "12", "-0"]).as_bytes().to_vec(),
        2..6 => many_member(random),
        _ => vec![b"abcdefghijkl"[random.below(12) as usize]],
    }
}

/// One of a thousand, of 1 to 200 bytes.
fn many_member(random: &mut Prng) -> Vec<u8> {
    let number = random.below(1000);
    let width = if number.is_multiple_of(50) { 1 + number as usize / 5 } else { 2 };
    format!("{number:0width$}").into_bytes()
}

fn score(random: &mut Prng) -> Vec<u8> {
    match random.below(16) {
        0 => {
            const ODD: [&str; 18] = [
                "inf",
                "-inf",
                "+inf",
                "-0",
                "0",
                "-0.0",
                "1e300",
                "-1e300",
                "5e-324",
                "0x1p3",
                "nan",
                "1e17",
                "123456789012345680000",
                "3.0",
                "1e-7",
                "0.1",
                "1e400",
                "x",
            ];
            random.pick(&ODD).as_bytes().to_vec()
        }
        1..4 => format!("{}", random.between(-1000, 1000) as f64 / 8.0).into_bytes(),
        4 => format!("{}", f64::from_bits(random.next()) % 1e9).into_bytes(),
        5 => (random.next() as i64 >> random.below(64)).to_string().into_bytes(),
        _ => random.between(-10, 10).to_string().into_bytes(),
    }
}

fn sources(random: &mut Prng, args: &mut Vec<Vec<u8>>, weighted: bool) {
    let count = 1 + random.below(4);
    let told = if random.percent(4) { random.below(6) } else { count };
    args.push(told.to_string().into_bytes());
    for _ in 0..count {
        args.push(match random.below(40) {
            0 => crate::grammar::key(random),
            1..4 => lex_key(random),
            4..8 => set_key(random),
            _ => zset_key(random),
        });
    }
    if weighted && random.percent(40) {
        args.push(b"WEIGHTS".to_vec());
        for _ in 0..count {
            args.push(random.pick(&["1", "2", "0", "-1", "0.5", "inf", "3"]).as_bytes().to_vec());
        }
    }
    if weighted && random.percent(40) {
        args.push(b"AGGREGATE".to_vec());
        args.push(random.pick(&["SUM", "MIN", "MAX", "min"]).as_bytes().to_vec());
    }
}
