//! What a random command looks like.
//!
//! One row a command: its name and the shapes of its arguments. Deadlines are far away or past, so
//! that no answer depends on timing, and nothing here makes a value of more than a few megabytes.

use crate::collections;
use crate::support::prng::Prng;

/// A key of the small pool, so that commands meet.
pub fn key(random: &mut Prng) -> Vec<u8> {
    const KEYS: [&[u8]; 18] = [
        b"a",
        b"b",
        b"c",
        b"d",
        b"e",
        b"key:1",
        b"key:2",
        b"key:3",
        b"{tag}1",
        b"{tag}2",
        b"",
        b"\x00",
        b"\xff\xfe\r\n",
        b"n1",
        b"n2",
        b"big",
        b"bits",
        b"a key that is longer than forty-four bytes, by some",
    ];
    match random.below(20) {
        0 => collections::set_key(random),
        1 => collections::hash_key(random),
        _ => random.pick(&KEYS).to_vec(),
    }
}

/// What stands at one place of a command.
#[derive(Clone, Copy)]
pub enum Shape {
    /// A key.
    Key,
    /// One to four keys.
    Keys,
    /// One to three keys, each with a value.
    Pairs,
    /// Any value.
    Value,
    /// An integer, as an argument.
    Integer,
    /// A decimal fraction.
    Float,
    /// A place in a string, from either end.
    Index,
    /// An offset to write at.
    Offset,
    /// An offset of a bit.
    Bit,
    /// 0 or 1.
    Binary,
    /// This word.
    Word(&'static str),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// The shapes, half of the time.
    Maybe(&'static [Shape]),
    /// One of these lists of shapes.
    Either(&'static [&'static [Shape]]),
    /// A number of a database.
    Database,
    /// Seconds or milliseconds from now, far away or past.
    Seconds,
    Milliseconds,
    /// Unix time in seconds or milliseconds, far away or past.
    AtSeconds,
    AtMilliseconds,
    /// The same, and never past, where a server may keep an expired key for a while.
    SecondsAhead,
    MillisecondsAhead,
    /// A pattern of KEYS.
    Pattern,
    /// One to four operations of BITFIELD.
    BitOps,
    /// One to three reading operations of BITFIELD.
    BitGets,
    /// What a function of a family appends.
    Made(fn(&mut Prng, &mut Vec<Vec<u8>>)),
}

use Shape::*;

/// (weight, name, arguments)
pub type Row = (u64, &'static str, &'static [Shape]);

const SET_EXPIRY: &[&[Shape]] = &[
    &[],
    &[],
    &[],
    &[Word("EX"), SecondsAhead],
    &[Word("PX"), MillisecondsAhead],
    &[Word("EXAT"), AtSeconds],
    &[Word("PXAT"), AtMilliseconds],
    &[Word("KEEPTTL")],
];
const SET_CONDITION: &[&[Shape]] =
    &[&[], &[], &[], &[Word("NX")], &[Word("XX")], &[Word("IFEQ"), Value]];
const SAMPLES: &[&[Shape]] =
    &[&[], &[Word("SAMPLES"), OneOf(&["0", "1", "5", "-1", "x", "9223372036854775808"])]];
const GETEX_OPTION: &[&[Shape]] = &[
    &[],
    &[Word("PERSIST")],
    &[Word("EX"), SecondsAhead],
    &[Word("PX"), MillisecondsAhead],
    &[Word("EXAT"), AtSeconds],
    &[Word("PXAT"), AtMilliseconds],
];
const RANGE_UNIT: &[&[Shape]] =
    &[&[], &[Index, Index], &[Index, Index, OneOf(&["BYTE", "BIT", "bit"])]];
const BITPOS_RANGE: &[&[Shape]] =
    &[&[], &[Index], &[Index, Index], &[Index, Index, OneOf(&["BYTE", "BIT"])]];
const EXPIRE_CONDITION: &[&[Shape]] =
    &[&[], &[], &[OneOf(&["NX", "XX", "GT", "LT"])], &[Word("XX"), OneOf(&["GT", "LT", "NX"])]];
const LCS_OPTIONS: &[&[Shape]] = &[
    &[],
    &[Word("LEN")],
    &[Word("IDX")],
    &[Word("IDX"), Word("MINMATCHLEN"), Integer, Word("WITHMATCHLEN")],
    &[Word("IDX"), Word("LEN")],
];

#[rustfmt::skip]
const ROWS: &[Row] = &[
    (60, "SET", &[Key, Value, Either(SET_CONDITION), Maybe(&[Word("GET")]), Either(SET_EXPIRY)]),
    (40, "GET", &[Key]),
    (8, "SETNX", &[Key, Value]),
    (6, "SETEX", &[Key, SecondsAhead, Value]),
    (6, "PSETEX", &[Key, MillisecondsAhead, Value]),
    (8, "GETSET", &[Key, Value]),
    (8, "GETDEL", &[Key]),
    (14, "GETEX", &[Key, Either(GETEX_OPTION)]),
    (12, "MSET", &[Pairs]),
    (8, "MSETNX", &[Pairs]),
    (12, "MGET", &[Keys]),
    (20, "APPEND", &[Key, Value]),
    (10, "STRLEN", &[Key]),
    (12, "INCR", &[Key]),
    (8, "DECR", &[Key]),
    (12, "INCRBY", &[Key, Integer]),
    (8, "DECRBY", &[Key, Integer]),
    (14, "INCRBYFLOAT", &[Key, Float]),
    (16, "GETRANGE", &[Key, Index, Index]),
    (4, "SUBSTR", &[Key, Index, Index]),
    (20, "SETRANGE", &[Key, Offset, Value]),
    (8, "LCS", &[Key, Key, Either(LCS_OPTIONS)]),
    (20, "SETBIT", &[Key, Bit, Binary]),
    (12, "GETBIT", &[Key, Bit]),
    (14, "BITCOUNT", &[Key, Either(RANGE_UNIT)]),
    (14, "BITPOS", &[Key, Binary, Either(BITPOS_RANGE)]),
    (14, "BITOP", &[OneOf(&["AND", "OR", "XOR", "and"]), Key, Keys]),
    (6, "BITOP", &[Word("NOT"), Key, Key]),
    (16, "BITFIELD", &[Key, BitOps]),
    (6, "BITFIELD_RO", &[Key, BitGets]),
    (14, "DEL", &[Keys]),
    (6, "UNLINK", &[Keys]),
    (8, "EXISTS", &[Keys]),
    (6, "TOUCH", &[Keys]),
    (8, "TYPE", &[Key]),
    (8, "EXPIRE", &[Key, Seconds, Either(EXPIRE_CONDITION)]),
    (8, "PEXPIRE", &[Key, Milliseconds, Either(EXPIRE_CONDITION)]),
    (8, "EXPIREAT", &[Key, AtSeconds, Either(EXPIRE_CONDITION)]),
    (8, "PEXPIREAT", &[Key, AtMilliseconds, Either(EXPIRE_CONDITION)]),
    (8, "PERSIST", &[Key]),
    (8, "TTL", &[Key]),
    (8, "PTTL", &[Key]),
    (6, "EXPIRETIME", &[Key]),
    (6, "PEXPIRETIME", &[Key]),
    (14, "RENAME", &[Key, Key]),
    (8, "RENAMENX", &[Key, Key]),
    (14, "COPY", &[Key, Key, Maybe(&[Word("DB"), Database]), Maybe(&[Word("REPLACE")])]),
    (8, "MOVE", &[Key, Database]),
    (8, "SELECT", &[Database]),
    (4, "SWAPDB", &[Database, Database]),
    (8, "DUMP", &[Key]),
    (14, "OBJECT", &[Word("ENCODING"), Key]),
    (2, "OBJECT", &[OneOf(&["REFCOUNT", "IDLETIME", "FREQ"]), Key]),
    (2, "MEMORY", &[Word("USAGE"), Key, Either(SAMPLES)]),
    (6, "KEYS", &[Pattern]),
    (8, "DBSIZE", &[]),
    (4, "RANDOMKEY", &[]),
    (2, "FLUSHDB", &[Maybe(&[OneOf(&["SYNC", "ASYNC"])])]),
    (1, "FLUSHALL", &[Maybe(&[OneOf(&["SYNC", "ASYNC"])])]),
    (2, "PING", &[Maybe(&[Value])]),
    (2, "ECHO", &[Value]),
    (1, "NOSUCHCOMMAND", &[Value, Value]),
    (1, "COMMAND", &[Word("GETKEYS"), OneOf(&["MSET", "BITOP", "COPY"]), Key, Key, Key]),
];

/// Rows of families that have sessions of their own, in which commands of all kinds are mixed.
pub const THEMES: &[&[Row]] = &[
    ROWS,
    collections::ROWS,
    crate::lists::ROWS,
    crate::zsets::ROWS,
    crate::streams::ROWS,
    crate::geo::ROWS,
];

/// A command with its arguments, mostly of a theme.
pub fn command(random: &mut Prng, theme: &[Row]) -> Vec<Vec<u8>> {
    let rows = if random.percent(75) { theme } else { ROWS };
    let total: u64 = rows.iter().map(|(weight, _, _)| weight).sum();
    let mut left = random.below(total);
    for (weight, name, shapes) in rows {
        if left < *weight {
            let mut args = vec![name.as_bytes().to_vec()];
            fill(random, &mut args, shapes);
            return args;
        }
        left -= weight;
    }
    unreachable!("a number below the sum of the weights falls on a row")
}

/// Appends what the shapes stand for.
pub fn fill(random: &mut Prng, args: &mut Vec<Vec<u8>>, shapes: &[Shape]) {
    for shape in shapes {
        match *shape {
            Keys => (0..=random.below(3)).for_each(|_| args.push(key(random))),
            Pairs => {
                for _ in 0..=random.below(2) {
                    args.push(key(random));
                    args.push(value(random));
                }
            }
            Maybe(inner) => {
                if random.percent(50) {
                    fill(random, args, inner);
                }
            }
            Either(lists) => {
                let inner = lists[random.below(lists.len() as u64) as usize];
                fill(random, args, inner);
            }
            Made(make) => make(random, args),
            BitOps => (0..=random.below(3)).for_each(|_| bit_operation(random, args, false)),
            BitGets => (0..=random.below(2)).for_each(|_| bit_operation(random, args, true)),
            single => args.push(one(random, single)),
        }
    }
}

fn one(random: &mut Prng, shape: Shape) -> Vec<u8> {
    let number = |number: i64| number.to_string().into_bytes();
    match shape {
        Key => key(random),
        Value => value(random),
        Word(word) => word.as_bytes().to_vec(),
        OneOf(words) => random.pick(words).as_bytes().to_vec(),
        Integer => integer(random),
        Float => float(random),
        Index => number(match random.below(10) {
            0 => 70_000 - random.between(0, 10_000),
            1 => random.between(-100_000, 100_000),
            _ => random.between(-12, 12),
        }),
        Offset => number(match random.below(20) {
            0 => random.between(65_500, 65_600),
            1 => random.between(0, 200_000),
            _ => random.between(0, 60),
        }),
        Bit => number(match random.below(20) {
            0 => random.between(524_200, 524_400),
            1 => random.between(0, 2_000_000),
            _ => random.between(0, 300),
        }),
        Binary => number(random.between(0, 1)),
        Database => number(match random.below(30) {
            0 => random.between(-1, 17),
            _ => random.between(0, 3),
        }),
        SecondsAhead => number(random.between(100_000, 200_000)),
        MillisecondsAhead => number(random.between(100_000_000, 200_000_000)),
        Seconds if random.percent(15) => number(random.between(-10, 0)),
        Milliseconds if random.percent(15) => number(random.between(-10_000, 0)),
        Seconds => one(random, SecondsAhead),
        Milliseconds => one(random, MillisecondsAhead),
        AtSeconds if random.percent(15) => number(random.between(1, 100_000)),
        AtMilliseconds if random.percent(15) => number(random.between(1, 100_000_000)),
        AtSeconds => number(random.between(4_102_444_800, 4_102_444_900)),
        AtMilliseconds => number(random.between(4_102_444_800_000, 4_102_444_900_000)),
        Pattern => {
            random.pick(&["*", "key:*", "?", "[ab]", "[^a-c]*", "{tag}?", "a", "*\\*"]).into()
        }
        Keys | Pairs | Maybe(_) | Either(_) | BitOps | BitGets | Made(_) => {
            unreachable!("lists are filled, not made one by one")
        }
    }
}

/// A value: number, text around the limits of encodings, bytes, now and then a large one.
pub fn value(random: &mut Prng) -> Vec<u8> {
    match random.below(100) {
        0..25 => random.between(-1000, 1000).to_string().into_bytes(),
        25..35 => integer(random),
        35..45 => float(random),
        45..55 => {
            let count = random.pick(&[&0, &1, &10, &19, &20, &21, &43, &44, &45, &64]);
            vec![b"abcz"[random.below(4) as usize]; *count]
        }
        55..85 => {
            let count = random.below(40) as usize;
            (0..count).map(|_| b"abcdefgh"[random.below(8) as usize]).collect()
        }
        85..96 => {
            let count = random.below(80) as usize;
            random.bytes(count)
        }
        96..98 => {
            let count = 1_000 + random.below(30_000) as usize;
            random.bytes(97).iter().copied().cycle().take(count).collect()
        }
        _ => {
            let count = random.pick(&[&65_535_usize, &65_536, &65_537, &131_072, &200_001]);
            random.bytes(251).iter().copied().cycle().take(*count).collect()
        }
    }
}

fn integer(random: &mut Prng) -> Vec<u8> {
    match random.below(10) {
        0 => {
            const EDGES: [&str; 12] = [
                "9223372036854775807",
                "-9223372036854775808",
                "9223372036854775808",
                "-9223372036854775809",
                "18446744073709551616",
                "4294967296",
                "-1",
                "+1",
                "01",
                "-0",
                " 1",
                "1 ",
            ];
            random.pick(&EDGES).as_bytes().to_vec()
        }
        1 => (random.next() as i64).to_string().into_bytes(),
        _ => random.between(-100, 100).to_string().into_bytes(),
    }
}

fn float(random: &mut Prng) -> Vec<u8> {
    match random.below(12) {
        0 => {
            const ODD: [&str; 12] = [
                "nan", "inf", "-inf", "1e400", "1e5000", "0x1p3", "1e3", "-2.5e-3", ".5", "5.",
                "1e17", "",
            ];
            random.pick(&ODD).as_bytes().to_vec()
        }
        1..6 => {
            let places = random.below(6) as usize;
            format!("{:.places$}", random.between(-100_000, 100_000) as f64 / 1000.0).into_bytes()
        }
        _ => {
            let whole = random.between(-1000, 1000);
            format!("{whole}.{}", random.between(0, 99)).into_bytes()
        }
    }
}

fn bit_operation(random: &mut Prng, args: &mut Vec<Vec<u8>>, only_get: bool) {
    let mut push = |text: String| args.push(text.into_bytes());
    let signed = random.percent(50);
    let width = match random.below(20) {
        0 => random.between(0, 66),
        1..4 => random.between(60, if signed { 64 } else { 63 }),
        _ => random.between(1, 20),
    };
    let kind = format!("{}{width}", if signed { 'i' } else { 'u' });
    let offset = match random.below(10) {
        0 => format!("#{}", random.between(0, 1000)),
        1..4 => format!("#{}", random.between(0, 5)),
        _ => random.between(0, 100).to_string(),
    };
    match random.below(10) {
        0..4 if !only_get => {
            if random.percent(40) {
                push("OVERFLOW".to_owned());
                push(random.pick(&["WRAP", "SAT", "FAIL", "sat"]).to_owned());
            }
            push("INCRBY".to_owned());
            push(kind);
            push(offset);
            push(String::from_utf8_lossy(&integer(random)).into_owned());
        }
        4..7 if !only_get => {
            push("SET".to_owned());
            push(kind);
            push(offset);
            push(String::from_utf8_lossy(&integer(random)).into_owned());
        }
        _ => {
            push("GET".to_owned());
            push(kind);
            push(offset);
        }
    }
}

/// Options of SCAN.
pub fn scan_options(random: &mut Prng) -> Vec<Vec<u8>> {
    let mut args = Vec::new();
    if random.percent(50) {
        args.push(b"COUNT".to_vec());
        args.push(random.pick(&["1", "3", "10", "1000"]).into());
    }
    if random.percent(40) {
        args.push(b"MATCH".to_vec());
        args.push(one(random, Pattern));
    }
    if random.percent(20) {
        args.push(b"TYPE".to_vec());
        args.push(random.pick(&["string", "list", "set", "hash"]).into());
    }
    args
}

/// Deadline and options of RESTORE, behind its payload (the deadline comes first).
pub fn restore_rest(random: &mut Prng) -> Vec<Vec<u8>> {
    let mut args = Vec::new();
    let absolute = random.percent(20);
    args.push(match (absolute, random.percent(50)) {
        (true, _) => one(random, AtMilliseconds),
        (false, true) => b"0".to_vec(),
        (false, false) => one(random, MillisecondsAhead),
    });
    if absolute {
        args.push(b"ABSTTL".to_vec());
    }
    if random.percent(70) {
        args.push(b"REPLACE".to_vec());
    }
    args
}

/// Makes a command wrong, most of the time.
pub fn bend(random: &mut Prng, args: &mut Vec<Vec<u8>>) {
    /// None of these is a short deadline or a size that fits.
    const JUNK: [&str; 16] = [
        "",
        "abc",
        "-1",
        "0",
        "1.5",
        " 7",
        "007x",
        "NX",
        "GET",
        "REPLACE",
        "KEEPTTL",
        "BIT",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "1e3",
    ];
    let junk = random.pick(&JUNK).as_bytes().to_vec();
    let at = 1 + random.below(args.len() as u64) as usize;
    match random.below(4) {
        0 => drop(args.pop().filter(|_| args.len() > 1)),
        1 => args.insert(at.min(args.len()), junk),
        2 if at < args.len() => args[at] = junk,
        _ => args.push(junk),
    }
    if args.is_empty() {
        args.push(b"PING".to_vec());
    }
}

/// Whether the command may leave a key that is past its deadline and not yet removed.
pub fn may_leave_an_expired_key(args: &[Vec<u8>]) -> bool {
    let has = |word: &str| args.iter().any(|arg| arg.eq_ignore_ascii_case(word.as_bytes()));
    args[0].eq_ignore_ascii_case(b"SET") && (has("EXAT") || has("PXAT"))
}
