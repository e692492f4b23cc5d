//! What random commands on sets and hashes look like.

use crate::grammar::Row;
use crate::grammar::Shape::{self, *};
use crate::grammar::{self};
use crate::support::prng::Prng;

/// Most members or fields that one command adds.
const BULK_MAX: u64 = 1000;

/// A key that holds a set, most of the time.
pub fn set_key(random: &mut Prng) -> Vec<u8> {
    typed(random, &["s1", "s2", "s3", "s4", "{tag}s"])
}

/// A key that holds a hash, most of the time.
pub fn hash_key(random: &mut Prng) -> Vec<u8> {
    typed(random, &["h1", "h2", "h3", "{tag}h"])
}

fn typed(random: &mut Prng, keys: &[&str]) -> Vec<u8> {
    match random.percent(4) {
        true => grammar::key(random),
        false => random.pick(keys).as_bytes().to_vec(),
    }
}

/// A member of a small pool, so that sets meet; now and then anything.
fn member(random: &mut Prng) -> Vec<u8> {
    match random.below(100) {
        0..40 => random.between(-5, 30).to_string().into_bytes(),
        40..75 => format!("m{}", random.below(30)).into_bytes(),
        75..80 => random.pick(&["", "007", "+1", "-0", " 1", "9223372036854775807"]).into(),
        80..84 => vec![b'v'; 62 + random.below(5) as usize],
        84..88 => vec![b'w'; random.below(200) as usize],
        88..95 => random.between(0, 700).to_string().into_bytes(),
        _ => grammar::value(random),
    }
}

/// Appends members that follow one another.
fn bulk(random: &mut Prng, mut each: impl FnMut(&mut Prng, Vec<u8>)) {
    let first = random.below(600);
    let count = match random.below(4) {
        0 => random.between(100, 140) as u64,
        1 => random.between(500, 520) as u64,
        _ => 1 + random.below(BULK_MAX),
    };
    let (prefix, width) = match random.below(4) {
        0 | 1 => ("", 0),
        2 => ("m", 0),
        _ => ("number ", random.below(80) as usize),
    };
    for number in first..first + count {
        each(random, format!("{prefix}{number:0width$}").into_bytes());
    }
}

const SET_KEY: Shape = Made(|random, args| args.push(set_key(random)));
const SET_KEYS: Shape = Made(|random, args| {
    (0..=random.below(4)).for_each(|_| args.push(set_key(random)));
});
const COUNTED_SET_KEYS: Shape = Made(|random, args| {
    let count = 1 + random.below(4);
    args.push(count.to_string().into_bytes());
    (0..count).for_each(|_| args.push(set_key(random)));
});
const HASH_KEY: Shape = Made(|random, args| args.push(hash_key(random)));
const MEMBER: Shape = Made(|random, args| args.push(member(random)));
const MEMBERS: Shape = Made(|random, args| match random.percent(8) {
    true => bulk(random, |_, member| args.push(member)),
    false => (0..=random.below(5)).for_each(|_| args.push(member(random))),
});
const FIELDS_AND_VALUES: Shape = Made(|random, args| match random.percent(8) {
    true => bulk(random, |random, field| {
        args.push(field);
        args.push(short_value(random));
    }),
    false => (0..=random.below(5)).for_each(|_| {
        args.push(member(random));
        args.push(short_value(random));
    }),
});
const VALUE: Shape = Made(|random, args| args.push(short_value(random)));
const COUNT: Shape = Made(|random, args| {
    let count = match random.below(10) {
        0 => random.between(100, 2000),
        1 => random.between(-300, 0),
        _ => random.between(-6, 12),
    };
    args.push(count.to_string().into_bytes());
});

fn short_value(random: &mut Prng) -> Vec<u8> {
    match random.percent(60) {
        true => random.between(-100, 100).to_string().into_bytes(),
        false => member(random),
    }
}

/// Rows beside those of strings and keys.
#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    (40, "SADD", &[SET_KEY, MEMBERS]),
    (20, "SREM", &[SET_KEY, MEMBERS]),
    (10, "SISMEMBER", &[SET_KEY, MEMBER]),
    (8, "SMISMEMBER", &[SET_KEY, MEMBERS]),
    (10, "SMEMBERS", &[SET_KEY]),
    (8, "SCARD", &[SET_KEY]),
    (2, "SPOP", &[SET_KEY, OneOf(&["0", "-1", "100000", "9223372036854775807"])]),
    (10, "SRANDMEMBER", &[SET_KEY, Maybe(&[COUNT])]),
    (14, "SMOVE", &[SET_KEY, SET_KEY, MEMBER]),
    (10, "SINTER", &[SET_KEYS]),
    (10, "SINTERCARD", &[COUNTED_SET_KEYS, Maybe(&[Word("LIMIT"), COUNT])]),
    (12, "SINTERSTORE", &[SET_KEY, SET_KEYS]),
    (10, "SUNION", &[SET_KEYS]),
    (12, "SUNIONSTORE", &[SET_KEY, SET_KEYS]),
    (10, "SDIFF", &[SET_KEYS]),
    (14, "SDIFFSTORE", &[SET_KEY, SET_KEYS]),
    (16, "OBJECT", &[Word("ENCODING"), SET_KEY]),
    (6, "DEL", &[SET_KEY]),
    (6, "COPY", &[SET_KEY, SET_KEY, Maybe(&[Word("REPLACE")])]),
    (4, "RENAME", &[SET_KEY, SET_KEY]),
    (4, "EXPIRE", &[SET_KEY, Seconds]),
    (4, "TYPE", &[SET_KEY]),
    (40, "HSET", &[HASH_KEY, FIELDS_AND_VALUES]),
    (8, "HMSET", &[HASH_KEY, FIELDS_AND_VALUES]),
    (8, "HSETNX", &[HASH_KEY, MEMBER, VALUE]),
    (20, "HDEL", &[HASH_KEY, MEMBERS]),
    (10, "HGET", &[HASH_KEY, MEMBER]),
    (8, "HMGET", &[HASH_KEY, MEMBERS]),
    (8, "HGETALL", &[HASH_KEY]),
    (6, "HKEYS", &[HASH_KEY]),
    (6, "HVALS", &[HASH_KEY]),
    (8, "HLEN", &[HASH_KEY]),
    (6, "HEXISTS", &[HASH_KEY, MEMBER]),
    (6, "HSTRLEN", &[HASH_KEY, MEMBER]),
    (14, "HINCRBY", &[HASH_KEY, MEMBER, Integer]),
    (14, "HINCRBYFLOAT", &[HASH_KEY, MEMBER, Float]),
    (10, "HRANDFIELD", &[HASH_KEY, Maybe(&[COUNT, Maybe(&[Word("WITHVALUES")])])]),
    (16, "OBJECT", &[Word("ENCODING"), HASH_KEY]),
    (6, "DEL", &[HASH_KEY]),
    (6, "COPY", &[HASH_KEY, HASH_KEY, Maybe(&[Word("REPLACE")])]),
    (4, "RENAME", &[HASH_KEY, HASH_KEY]),
    (4, "EXPIRE", &[HASH_KEY, Seconds]),
    (4, "TYPE", &[HASH_KEY]),
];

/// SSCAN or HSCAN and its key.
pub fn scan_words(random: &mut Prng) -> Vec<Vec<u8>> {
    match random.percent(50) {
        true => vec![b"SSCAN".to_vec(), set_key(random)],
        false => vec![b"HSCAN".to_vec(), hash_key(random)],
    }
}

/// Options of such a scan.
pub fn scan_options(random: &mut Prng) -> Vec<Vec<u8>> {
    let mut args = Vec::new();
    if random.percent(50) {
        args.push(b"COUNT".to_vec());
        args.push(random.pick(&["0", "1", "3", "10", "1000"]).into());
    }
    if random.percent(40) {
        args.push(b"MATCH".to_vec());
        args.push(random.pick(&["*", "m*", "?", "[0-9]*", "*7", "number*1", ""]).into());
    }
    if random.percent(20) {
        args.push(random.pick(&["NOVALUES", "novalues", "TYPE"]).into());
    }
    args
}
