//! What a random command on lists and HyperLogLogs looks like.

use crate::grammar::{Row, Shape, key, value};
use crate::support::prng::Prng;

use Shape::*;

/// A key of those that hold lists: whatever makes lists stays among these.
fn list_key(random: &mut Prng) -> Vec<u8> {
    random.pick(&["l1", "l2", "l3", "{l}4", "{l}5"]).as_bytes().to_vec()
}

/// A key of those that hold HyperLogLogs, which no other command writes into.
fn sketch_key(random: &mut Prng) -> Vec<u8> {
    random.pick(&["h1", "h2", "{l}h3", "h4"]).as_bytes().to_vec()
}

/// Leaves out what Redis gets wrong: LSET cuts an index to 32 bits, and replaces another element.
pub fn tame(args: &mut [Vec<u8>]) {
    if args[0] == b"LSET" && args.len() == 4 {
        args[2].truncate(9);
    }
}

const LIST: Shape = Made(|random, args| args.push(list_key(random)));
const LIST_OR_KEY: Shape = Made(|random, args| {
    args.push(if random.percent(10) { key(random) } else { list_key(random) });
});
const COUNTED_LISTS: Shape = Made(|random, args| {
    let count = 1 + random.below(3);
    args.push(count.to_string().into_bytes());
    (0..count).for_each(|_| args.push(list_key(random)));
});
const ELEMENT: Shape = Made(|random, args| args.push(element(random)));
const ELEMENTS: Shape = Made(elements);
const COUNT: Shape = Made(|random, args| {
    let count = match random.below(12) {
        0 => random.between(-3000, 3000),
        1 => random.between(-200, 200),
        _ => random.between(-6, 6),
    };
    args.push(count.to_string().into_bytes());
});
const END: Shape = OneOf(&["LEFT", "RIGHT", "left"]);
const LPOS_OPTIONS: &[&[Shape]] = &[
    &[],
    &[Word("RANK"), COUNT],
    &[Word("COUNT"), COUNT],
    &[Word("RANK"), COUNT, Word("COUNT"), COUNT],
    &[Word("MAXLEN"), COUNT, Word("COUNT"), Word("0")],
];
const SORT_PATTERN: Shape = OneOf(&["key:*", "n*", "*", "none", "h*->f", "#"]);
const LIMIT: Shape = Maybe(&[Word("LIMIT"), COUNT, COUNT]);

const SKETCH: Shape = Made(|random, args| args.push(sketch_key(random)));
const SKETCHES: Shape = Made(|random, args| {
    (0..=random.below(2)).for_each(|_| args.push(sketch_key(random)));
    if random.percent(5) {
        args.push(key(random));
    }
});

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    (30, "RPUSH", &[LIST, ELEMENTS]),
    (24, "LPUSH", &[LIST, ELEMENTS]),
    (6, "RPUSHX", &[LIST_OR_KEY, ELEMENTS]),
    (6, "LPUSHX", &[LIST_OR_KEY, ELEMENTS]),
    (12, "LPOP", &[LIST_OR_KEY, Maybe(&[COUNT])]),
    (12, "RPOP", &[LIST_OR_KEY, Maybe(&[COUNT])]),
    (8, "LLEN", &[LIST_OR_KEY]),
    (14, "LRANGE", &[LIST_OR_KEY, COUNT, COUNT]),
    (10, "LINDEX", &[LIST_OR_KEY, COUNT]),
    (12, "LSET", &[LIST_OR_KEY, COUNT, Value]),
    (14, "LINSERT", &[LIST_OR_KEY, OneOf(&["BEFORE", "AFTER"]), ELEMENT, Value]),
    (14, "LREM", &[LIST_OR_KEY, COUNT, ELEMENT]),
    (8, "LTRIM", &[LIST_OR_KEY, COUNT, COUNT]),
    (12, "LPOS", &[LIST_OR_KEY, ELEMENT, Either(LPOS_OPTIONS)]),
    (16, "LMOVE", &[LIST_OR_KEY, LIST, END, END]),
    (8, "RPOPLPUSH", &[LIST, LIST]),
    (10, "LMPOP", &[COUNTED_LISTS, END, Maybe(&[Word("COUNT"), COUNT])]),
    (8, "SORT", &[LIST_OR_KEY, Maybe(&[Word("BY"), SORT_PATTERN]), Maybe(&[Word("DESC")])]),
    (8, "SORT", &[LIST_OR_KEY, Word("ALPHA"), LIMIT, Maybe(&[Word("DESC")])]),
    (8, "SORT", &[LIST, Word("BY"), Word("none"), LIMIT, Word("GET"), SORT_PATTERN,
        Maybe(&[Word("GET"), SORT_PATTERN]), Maybe(&[Word("STORE"), LIST])]),
    // `GET #` shows the elements, so that those with zero bytes are known (see "collation-ro").
    (4, "SORT_RO", &[LIST_OR_KEY, Word("ALPHA"), Maybe(&[Word("GET"), SORT_PATTERN, Word("GET"),
        Word("#")])]),
    (12, "OBJECT", &[Word("ENCODING"), LIST]),
    (6, "GET", &[LIST]),
    (2, "APPEND", &[LIST, Value]),
    (3, "SET", &[LIST, Value]),
    (6, "SET", &[Key, Value]),
    (6, "DEL", &[LIST]),
    (4, "TYPE", &[LIST]),
    (6, "RENAME", &[LIST, LIST]),
    (6, "COPY", &[LIST, LIST, Maybe(&[Word("REPLACE")])]),
    (4, "PEXPIRE", &[LIST, Milliseconds]),
    (4, "PTTL", &[LIST]),
    (20, "PFADD", &[SKETCH, Maybe(&[ELEMENTS]), Maybe(&[ELEMENTS])]),
    (12, "PFCOUNT", &[SKETCHES]),
    (10, "PFMERGE", &[SKETCH, Maybe(&[SKETCHES])]),
    (4, "PFDEBUG", &[OneOf(&["ENCODING", "DECODE", "decode"]), SKETCH]),
    (2, "PFDEBUG", &[OneOf(&["GETREG", "TODENSE", "NOSUCH"]), SKETCH]),
    (6, "GET", &[SKETCH]),
    (3, "DEL", &[SKETCH]),
    (4, "COPY", &[SKETCH, SKETCH, Maybe(&[Word("REPLACE")])]),
    (4, "OBJECT", &[Word("ENCODING"), SKETCH]),
];

/// An element that lists often have.
fn element(random: &mut Prng) -> Vec<u8> {
    match random.below(4) {
        0 => random.pick(&["x", "y", ""]).as_bytes().to_vec(),
        _ => random.below(12).to_string().into_bytes(),
    }
}

/// One to four elements, now and then hundreds.
fn elements(random: &mut Prng, args: &mut Vec<Vec<u8>>) {
    let (count, len_max) = match random.below(40) {
        0 => (1000, 12),
        1 => (150, 200),
        2..4 => (100, 40),
        _ => (1 + random.below(4), 0),
    };
    for _ in 0..count {
        args.push(match random.below(5) {
            0..3 => element(random),
            _ if len_max == 0 => value(random),
            3 => random.between(-100_000, 100_000).to_string().into_bytes(),
            _ => vec![b"abc"[random.below(3) as usize]; random.below(len_max) as usize],
        });
    }
}
