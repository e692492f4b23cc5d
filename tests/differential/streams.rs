//! What a random command on streams looks like. IDs are small and written out: the servers' clocks
//! would make others.

use crate::grammar::{Row, Shape};
use crate::support::prng::Prng;
use crate::support::value::Value;

use Shape::*;

/// A key that mostly holds a stream. Errors quote keys, and those of Firn are text.
pub fn stream_key(random: &mut Prng) -> Vec<u8> {
    match random.below(40) {
        0 => random.pick(&["a", "b", "c"]).as_bytes().to_vec(),
        _ => random.pick(&["x1", "x2", "x3", "{x}4"]).as_bytes().to_vec(),
    }
}

/// An ID in the range in which entries are; now and then another, or none.
fn id(random: &mut Prng) -> Vec<u8> {
    match random.below(30) {
        0 => random.pick(&["0", "0-0", "-", "+", "x", "5-", "-5", "007", "1-+2", "(3"]).into(),
        1 => random
            .pick(&["18446744073709551615", "18446744073709551616-1", "9-18446744073709551615"])
            .into(),
        2..8 => random.between(0, 4).to_string().into_bytes(),
        8..14 => format!("1-{}", random.between(0, 200)).into_bytes(),
        _ => format!("{}-{}", random.between(1, 4), random.between(0, 12)).into_bytes(),
    }
}

/// An ID that is likely to be above the last.
fn next_id(random: &mut Prng) -> Vec<u8> {
    match random.below(20) {
        0 => id(random),
        1 => format!("{}-*", random.between(1, 4)).into_bytes(),
        2 => format!("1-{}", random.between(0, 200)).into_bytes(),
        _ => b"1-*".to_vec(),
    }
}

fn end(random: &mut Prng, edge: &str) -> Vec<u8> {
    match random.below(10) {
        0..4 => edge.as_bytes().to_vec(),
        4 | 5 => [b"(".to_vec(), id(random)].concat(),
        _ => id(random),
    }
}

fn text(random: &mut Prng) -> Vec<u8> {
    match random.below(30) {
        0 => vec![b'v'; random.below(3000) as usize],
        1 => crate::grammar::value(random),
        2..10 => random.between(-200, 70_000).to_string().into_bytes(),
        _ => random.pick(&["a", "b", "field", "value", ""]).as_bytes().to_vec(),
    }
}

const SKEY: Shape = Made(|random, args| args.push(stream_key(random)));
const ID: Shape = Made(|random, args| args.push(id(random)));
const IDS: Shape = Made(|random, args| (0..=random.below(4)).for_each(|_| args.push(id(random))));
const NEXT_ID: Shape = Made(|random, args| args.push(next_id(random)));
const FROM: Shape = Made(|random, args| args.push(end(random, "-")));
const TO: Shape = Made(|random, args| args.push(end(random, "+")));
const GROUP: Shape = OneOf(&["g1", "g2", "g3", ""]);
const CONSUMER: Shape = OneOf(&["c1", "c2", "c3", ""]);
const COUNT: Shape = Maybe(&[Word("COUNT"), OneOf(&["0", "1", "2", "5", "-1", "1000", "x"])]);
const FIELDS: Shape = Made(|random, args| match random.percent(60) {
    true => ["a", "1", "b", "2"].iter().for_each(|text| args.push(text.as_bytes().to_vec())),
    false => (0..2 * random.between(1, 4)).for_each(|_| args.push(text(random))),
});
const TRIM: Shape = Either(&[
    &[OneOf(&["MAXLEN", "maxlen"]), Maybe(&[OneOf(&["~", "="])]), LENGTH, LIMIT],
    &[OneOf(&["MINID", "minid"]), Maybe(&[OneOf(&["~", "="])]), ID, LIMIT],
]);
const LENGTH: Shape = OneOf(&["0", "3", "10", "50", "100", "150", "-1", "x"]);
const LIMIT: Shape = Made(|random, args| {
    if random.percent(15) {
        args.push(b"LIMIT".to_vec());
        args.push(random.pick(&["0", "1", "50", "100", "250", "-1"]).as_bytes().to_vec());
    }
});
/// Times between deliveries are a moment, or what XCLAIM made them.
const IDLE: Shape = OneOf(&["0", "0", "0", "1000000", "-1", "x"]);
const STREAMS: Shape = Made(|random, args| {
    let count = match random.below(10) {
        0 => 3,
        1 | 2 => 2,
        _ => 1,
    };
    args.push(b"STREAMS".to_vec());
    (0..count).for_each(|_| args.push(stream_key(random)));
    let is_group = args[0] == b"XREADGROUP";
    for _ in 0..count {
        let id = match random.below(10) {
            0..6 if is_group => b">".to_vec(),
            0 => random.pick(&["$", ">"]).as_bytes().to_vec(),
            // Valkey 8.1 has no last entry (`+`).
            _ => Some(id(random)).filter(|id| id != b"+").unwrap_or_default(),
        };
        args.push(id);
    }
});
const CLAIM_OPTIONS: Shape = Made(|random, args| {
    let mut maybe = |words: &[&str]| {
        if random.percent(20) {
            words.iter().for_each(|word| args.push(word.as_bytes().to_vec()));
        }
    };
    maybe(&["IDLE", "5000000"]);
    maybe(&["TIME", "100000"]);
    maybe(&["RETRYCOUNT", "7"]);
    maybe(&["FORCE"]);
    maybe(&["JUSTID"]);
    maybe(&["LASTID", "1-9"]);
});

/// Rows beside those of strings and keys.
#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    (120, "XADD", &[SKEY, NEXT_ID, FIELDS]),
    (20, "XADD", &[SKEY, Maybe(&[Word("NOMKSTREAM")]), TRIM, NEXT_ID, FIELDS]),
    (12, "XTRIM", &[SKEY, TRIM]),
    (20, "XDEL", &[SKEY, IDS]),
    (10, "XLEN", &[SKEY]),
    (14, "XRANGE", &[SKEY, FROM, TO, COUNT]),
    (14, "XREVRANGE", &[SKEY, TO, FROM, COUNT]),
    (14, "XREAD", &[COUNT, STREAMS]),
    (6, "XSETID", &[SKEY, ID, Maybe(&[Word("ENTRIESADDED"), OneOf(&["0", "50", "500"])]),
        Maybe(&[Word("MAXDELETEDID"), ID])]),
    (16, "XGROUP", &[Word("CREATE"), SKEY, GROUP, Either(&[&[ID], &[Word("$")], &[Word("0")]]),
        Maybe(&[Word("MKSTREAM")]), Maybe(&[Word("ENTRIESREAD"), OneOf(&["0", "3", "-1", "-2"])])]),
    (6, "XGROUP", &[Word("SETID"), SKEY, GROUP, Either(&[&[ID], &[Word("$")], &[Word("0")]]),
        Maybe(&[Word("ENTRIESREAD"), OneOf(&["0", "3", "-1"])])]),
    (2, "XGROUP", &[Word("DESTROY"), SKEY, GROUP]),
    (4, "XGROUP", &[Word("CREATECONSUMER"), SKEY, GROUP, CONSUMER]),
    (3, "XGROUP", &[Word("DELCONSUMER"), SKEY, GROUP, CONSUMER]),
    (60, "XREADGROUP", &[Word("GROUP"), GROUP, CONSUMER, COUNT, Maybe(&[Maybe(&[Word("NOACK")])]), STREAMS]),
    (16, "XACK", &[SKEY, GROUP, IDS]),
    (10, "XPENDING", &[SKEY, GROUP]),
    (16, "XPENDING", &[SKEY, GROUP, Maybe(&[Word("IDLE"), IDLE]), FROM, TO,
        OneOf(&["0", "1", "10", "1000", "-1"]), Maybe(&[CONSUMER])]),
    (20, "XCLAIM", &[SKEY, GROUP, CONSUMER, IDLE, IDS, CLAIM_OPTIONS]),
    (14, "XAUTOCLAIM", &[SKEY, GROUP, CONSUMER, IDLE, FROM, COUNT, Maybe(&[Word("JUSTID")])]),
    (10, "XINFO", &[Word("STREAM"), SKEY]),
    (12, "XINFO", &[Word("STREAM"), SKEY, Word("FULL"), COUNT]),
    (12, "XINFO", &[Word("GROUPS"), SKEY]),
    (8, "XINFO", &[Word("CONSUMERS"), SKEY, GROUP]),
    (4, "OBJECT", &[Word("ENCODING"), SKEY]),
    (2, "DEL", &[SKEY]),
    (3, "COPY", &[SKEY, SKEY, Maybe(&[Word("REPLACE")])]),
    (2, "RENAME", &[SKEY, SKEY]),
    (2, "EXPIRE", &[SKEY, Seconds]),
    (3, "TYPE", &[SKEY]),
];

const REFERENCES: Shape =
    Maybe(&[OneOf(&["KEEPREF", "DELREF", "ACKED", "delref", "acked", "ACKED"])]);
/// IDs behind their number, which is mostly right.
const COUNTED_IDS: Shape = Made(|random, args| {
    let ids: Vec<Vec<u8>> = (0..=random.below(5)).map(|_| id(random)).collect();
    let count = match random.below(30) {
        0 => random.pick(&["0", "-1", "x", "9", "1"]).to_owned(),
        _ => ids.len().to_string(),
    };
    args.extend([b"IDS".to_vec(), count.into_bytes()]);
    args.extend(ids);
});

/// Rows of what came after the oracles.
#[rustfmt::skip]
pub const LATER_ROWS: &[Row] = &[
    (60, "XADD", &[SKEY, NEXT_ID, FIELDS]),
    (30, "XADD", &[SKEY, TRIM, REFERENCES, NEXT_ID, FIELDS]),
    (16, "XTRIM", &[SKEY, REFERENCES, TRIM]),
    (6, "XTRIM", &[SKEY, TRIM, REFERENCES, REFERENCES]),
    (8, "XDEL", &[SKEY, IDS]),
    (30, "XDELEX", &[SKEY, REFERENCES, COUNTED_IDS, Maybe(&[REFERENCES])]),
    (30, "XACKDEL", &[SKEY, GROUP, REFERENCES, COUNTED_IDS]),
    (16, "XGROUP", &[Word("CREATE"), SKEY, GROUP, Either(&[&[ID], &[Word("0")]]),
        Maybe(&[Word("MKSTREAM")])]),
    (4, "XGROUP", &[Word("SETID"), SKEY, GROUP, Either(&[&[ID], &[Word("0")]])]),
    (2, "XGROUP", &[Word("DESTROY"), SKEY, GROUP]),
    (3, "XGROUP", &[Word("DELCONSUMER"), SKEY, GROUP, CONSUMER]),
    (40, "XREADGROUP", &[Word("GROUP"), GROUP, CONSUMER, COUNT, STREAMS]),
    (30, "XREADGROUP", &[Word("CLAIM"), IDLE, Word("GROUP"), GROUP, CONSUMER,
        Maybe(&[Word("NOACK")]), STREAMS]),
    (16, "XACK", &[SKEY, GROUP, IDS]),
    (14, "XCLAIM", &[SKEY, GROUP, CONSUMER, IDLE, IDS, CLAIM_OPTIONS]),
    (14, "XPENDING", &[SKEY, GROUP]),
    (10, "XPENDING", &[SKEY, GROUP, FROM, TO, OneOf(&["10", "1000"])]),
    (8, "XINFO", &[Word("STREAM"), SKEY]),
    (12, "XINFO", &[Word("STREAM"), SKEY, Word("FULL"), COUNT]),
    (12, "XRANGE", &[SKEY, FROM, TO, COUNT]),
    (20, "XNACK", &[SKEY, GROUP, OneOf(&["SILENT", "FAIL", "FATAL", "x"]), COUNTED_IDS,
        Maybe(&[Word("FORCE")]), Maybe(&[Word("RETRYCOUNT"), OneOf(&["0", "5", "-1"])])]),
    (6, "XIDMPRECORD", &[SKEY, PRODUCER, NAME, ID]),
    (2, "XADD", &[SKEY, Word("IDMP"), PRODUCER, NAME, NEXT_ID, FIELDS]),
    (2, "XCFGSET", &[SKEY, Maybe(&[Word("IDMP-DURATION"), OneOf(&["86400", "86401", "x"])]),
        Maybe(&[Word("IDMP-MAXSIZE"), OneOf(&["1", "3", "0", "10000"])])]),
    (2, "DEL", &[SKEY]),
];

const PRODUCER: Shape = OneOf(&["p1", "p2", ""]);
const NAME: Shape = OneOf(&["n1", "n2", "n3", "n4", ""]);

/// A difference that two clocks, or a call between them, may make, in milliseconds.
const CLOCK_TOLERANCE_MS: u64 = 10_000;
/// Times since 1970 are above, everything else is below.
const TIME_MIN: i64 = 1_000_000_000_000;
/// Names of facts that time or the layout of memory decides.
/// Of a node whose last entries were trimmed one by one, Redis keeps the shell.
const VAGUE: [&[u8]; 4] = [b"idle", b"inactive", b"radix-tree-keys", b"radix-tree-nodes"];

/// Pairs that Redis has since 8.6 and 8.8, which no oracle knows.
const NEWER: [&[u8]; 7] = [
    b"idmp-duration",
    b"idmp-maxsize",
    b"pids-tracked",
    b"iids-tracked",
    b"iids-added",
    b"iids-duplicates",
    b"nacked-count",
];

/// The items of a reply without the pairs that only newer servers tell.
fn without_newer(items: &[Value]) -> Vec<Value> {
    let is_newer = |at: usize| items[at].bytes().is_some_and(|name| NEWER.contains(&name));
    let stays = |at: &usize| !is_newer(*at) && !at.checked_sub(1).is_some_and(is_newer);
    (0..items.len()).filter(stays).map(|at| items[at].clone()).collect()
}

/// The same facts, where times are near and Redis's tree may have other nodes.
pub fn same_facts(left: &Value, right: &Value) -> bool {
    if let (Value::Integer(a), Value::Integer(b)) = (left, right) {
        return a == b || is_time(*a, *b);
    }
    let (a, b) = match (left, right) {
        (Value::Map(a), Value::Map(b)) => {
            let flat = |pairs: &[(Value, Value)]| -> Vec<Value> {
                pairs.iter().flat_map(|(name, value)| [name.clone(), value.clone()]).collect()
            };
            (flat(a), flat(b))
        }
        (Value::Array(a), Value::Array(b)) => (a.clone(), b.clone()),
        _ => return left == right,
    };
    let (a, b) = match a.len() == b.len() {
        true => (a, b),
        false => (without_newer(&a), without_newer(&b)),
    };
    let is_vague = |index: usize| {
        let name = index.checked_sub(1).and_then(|before| a[before].bytes());
        name.is_some_and(|name| VAGUE.contains(&name))
    };
    a.len() == b.len()
        && a.iter().zip(&b).enumerate().all(|(index, (left, right))| {
            let vague = is_vague(index) && signs(left) == signs(right);
            vague || same_facts(left, right)
        })
}

fn is_time(a: i64, b: i64) -> bool {
    a > TIME_MIN && b > TIME_MIN && a.abs_diff(b) < CLOCK_TOLERANCE_MS
}

fn signs(value: &Value) -> Option<bool> {
    value.integer().map(|number| number < 0)
}

/// The same pending entries, which were delivered at about the same time.
pub fn same_pending(left: &Value, right: &Value) -> bool {
    let idle = |a: &Value, b: &Value| {
        let both = a.integer().zip(b.integer());
        both.is_some_and(|(a, b)| a.abs_diff(b) < CLOCK_TOLERANCE_MS)
    };
    let same_entry = |a: &Value, b: &Value| match (a.items(), b.items()) {
        (Some([id, owner, at, count]), Some([other, other_owner, other_at, other_count])) => {
            (id, owner, count) == (other, other_owner, other_count) && idle(at, other_at)
        }
        _ => false,
    };
    match (left.items(), right.items()) {
        (Some(a), Some(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_entry(a, b)),
        _ => false,
    }
}

/// The same claimed entries. Which of them was delivered first may be a matter of a millisecond.
pub fn same_claims(left: &Value, right: &Value) -> bool {
    let by_id = |entries: &Value| {
        let mut entries = entries.items()?.to_vec();
        entries.sort_by_key(|entry| entry.items().map(|parts| parts[0].to_string()));
        Some(entries)
    };
    let same_entry = |a: &Value, b: &Value| match (a.items(), b.items()) {
        (Some([id, fields, idle, count]), Some([other, others, other_idle, other_count])) => {
            let idle = idle.integer().zip(other_idle.integer());
            (id, fields, count) == (other, others, other_count)
                && idle.is_some_and(|(a, b)| a.abs_diff(b) < CLOCK_TOLERANCE_MS)
        }
        _ => a == b,
    };
    let same_stream = |a: &Value, b: &Value| match (by_id(a), by_id(b)) {
        (Some(a), Some(b)) => a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| same_entry(a, b)),
        _ => false,
    };
    let pairs = |value: &Value| match value {
        Value::Map(pairs) => Some(pairs.clone()),
        _ => value
            .items()?
            .iter()
            .map(|pair| Some((pair.items()?[0].clone(), pair.items()?[1].clone())))
            .collect(),
    };
    match (pairs(left), pairs(right)) {
        (Some(a), Some(b)) => {
            let mut both = a.iter().zip(&b);
            a.len() == b.len() && both.all(|(a, b)| a.0 == b.0 && same_stream(&a.1, &b.1))
        }
        _ => false,
    }
}
