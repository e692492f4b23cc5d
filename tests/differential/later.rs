//! What a random command looks like that came after the oracles. Two servers under test answer it,
//! one of which is made to forget its memory; or `FIRN_ORACLE_LATER` does, a server that knows it.

use crate::collections::{hash_key, set_key};
use crate::grammar::{Row, Shape, key, value};
use crate::support::prng::Prng;
use crate::zsets::zset_key;

use Shape::*;

const LIST: Shape = Made(|random, args| {
    args.push(random.pick(&["l1", "l2", "a"]).as_bytes().to_vec());
});
const SETS: Shape = Made(|random, args| {
    let count = 1 + random.below(3);
    args.push(count.to_string().into_bytes());
    (0..count).for_each(|_| args.push(set_key(random)));
});
const SORTED: Shape = Made(|random, args| args.push(zset_key(random)));
const SCORE: Shape = OneOf(&["0", "1", "2.5", "-3", "inf"]);
/// Sets and sorted sets with weights, where how many have a member counts.
const COUNTED: Shape = Made(|random, args| {
    let count = 1 + random.below(3);
    args.push(count.to_string().into_bytes());
    for _ in 0..count {
        args.push(if random.percent(30) { set_key(random) } else { zset_key(random) });
    }
    if random.percent(50) {
        args.push(b"WEIGHTS".to_vec());
        for _ in 0..count {
            args.push(random.pick(&["1", "0", "-0.5", "inf", "-inf"]).as_bytes().to_vec());
        }
    }
    args.extend([b"AGGREGATE".to_vec(), random.pick(&["COUNT", "count"]).as_bytes().to_vec()]);
});
const HASH: Shape = Made(|random, args| args.push(hash_key(random)));
const SMALL: Shape = Made(|random, args| args.push(random.below(7).to_string().into_bytes()));
const SHORT: Shape = Made(|random, args| {
    args.push(random.pick(&["", "x", "7", "Hello world"]).as_bytes().to_vec());
});
/// A digest of one of the short values, of none, or no digest.
const DIGEST: Shape = OneOf(&[
    "2d06800538d394c2",
    "B6ACB9D84A38FF74",
    "b6acb9d84a38ff74",
    "0000000000000000",
    "zzzzzzzzzzzzzzzz",
    "abc",
]);
const COMPARISON: Shape = Either(&[
    &[OneOf(&["IFEQ", "ifne"]), SHORT],
    &[OneOf(&["IFEQ", "IFNE"]), Value],
    &[OneOf(&["IFDEQ", "IFDNE"]), DIGEST],
]);
const EXPIRY: Shape = Either(&[
    &[],
    &[],
    &[Word("EX"), SecondsAhead],
    &[Word("PX"), MillisecondsAhead],
    &[Word("EXAT"), AtSeconds],
    &[Word("PXAT"), AtMilliseconds],
]);
const KEEPTTL: Shape = Maybe(&[Word("KEEPTTL")]);
const BITOP: Shape = OneOf(&["DIFF", "DIFF1", "ANDOR", "ONE", "one", "AND", "OR", "XOR", "NOT"]);
const END: Shape = OneOf(&["LEFT", "RIGHT"]);
const HOW_MANY: Shape = Maybe(&[OneOf(&["COUNT", "EXACTLY"]), SMALL, OneOf(&["OBO", "BULK"])]);
const FIELDSET: Shape = OneOf(&["one", "two"]);
const FIELD: Shape = OneOf(&["f", "g", "h", "i", "", "j"]);

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    (20, "SET", &[Key, SHORT, Maybe(&[COMPARISON]), Maybe(&[Word("GET")]), EXPIRY]),
    (20, "SET", &[Key, Value, COMPARISON, KEEPTTL]),
    (8, "SET", &[Key, Value, COMPARISON, OneOf(&["NX", "XX", "GET"])]),
    (16, "DIGEST", &[Key]),
    (10, "DELEX", &[Key, COMPARISON]),
    (2, "DELEX", &[Key]),
    (6, "DELIFEQ", &[Key, SHORT]),
    (8, "MSETEX", &[Word("1"), Key, Value, EXPIRY]),
    (8, "MSETEX", &[Word("2"), Key, SHORT, Key, Value, Maybe(&[OneOf(&["NX", "XX"])]), KEEPTTL]),
    (2, "MSETEX", &[Integer, Pairs, EXPIRY]),
    (60, "INCREX", &[Key, Made(increx_options)]),
    (20, "BITOP", &[BITOP, Key, Keys]),
    (6, "SADD", &[Made(|random, args| args.push(set_key(random))), Value, SHORT]),
    (8, "SUNIONCARD", &[SETS, Maybe(&[Word("APPROX")]), Maybe(&[Word("LIMIT"), SMALL])]),
    (8, "SDIFFCARD", &[SETS, Maybe(&[Word("LIMIT"), SMALL])]),
    (10, "ZADD", &[SORTED, SCORE, SHORT, SCORE, SHORT]),
    (6, "ZUNION", &[COUNTED, Maybe(&[Word("WITHSCORES")])]),
    (6, "ZINTER", &[COUNTED, Maybe(&[Word("WITHSCORES")])]),
    (2, "ZUNIONSTORE", &[SORTED, COUNTED]),
    (2, "ZINTERSTORE", &[SORTED, COUNTED]),
    (14, "RPUSH", &[LIST, SHORT, Value, SHORT]),
    (20, "LMOVEM", &[LIST, LIST, END, END, HOW_MANY]),
    (8, "BLMOVEM", &[LIST, LIST, END, END, Word("0.001"), HOW_MANY]),
    (8, "HIMPORT", &[Word("PREPARE"), FIELDSET, FIELD, Maybe(&[FIELD, FIELD])]),
    (12, "HIMPORT", &[Word("SET"), HASH, FIELDSET, Value, Maybe(&[SHORT, Value])]),
    (2, "HIMPORT", &[Word("SET"), Key, FIELDSET, SHORT]),
    (1, "HIMPORT", &[Word("DISCARD"), FIELDSET]),
    (1, "HIMPORT", &[Word("DISCARDALL")]),
];

fn increx_options(random: &mut Prng, args: &mut Vec<Vec<u8>>) {
    let mut push = |words: &[&str]| args.extend(words.iter().map(|word| word.as_bytes().to_vec()));
    let number = |random: &mut Prng, floats: bool| match (random.below(12), floats) {
        (0, _) => random.pick(&["9223372036854775807", "-9223372036854775808"]).to_owned(),
        (1, true) => random.pick(&["inf", "-inf", "1e4932", "-1e4932", "nan"]).to_owned(),
        (2, _) => "x".to_owned(),
        (3..7, true) => format!("{}.25", random.between(-40, 40)),
        _ => random.between(-40, 40).to_string(),
    };
    let floats = random.percent(40);
    if floats || random.percent(80) {
        push(&[if floats { "BYFLOAT" } else { "BYINT" }, &number(random, floats)]);
    }
    for bound in ["LBOUND", "UBOUND"] {
        if random.percent(30) {
            push(&[bound, &number(random, floats)]);
        }
    }
    if random.percent(40) {
        push(&["SATURATE"]);
    }
    match random.below(8) {
        0 => push(&["PERSIST"]),
        1 => push(&["EX", "100000"]),
        2 => push(&["PXAT", "4102444800000", "ENX"]),
        3 => push(&["ENX", "EXAT", "1"]),
        _ => {}
    }
    if random.percent(3) {
        args.push(value(random));
    }
    if random.percent(2) {
        args.push(key(random));
    }
}
