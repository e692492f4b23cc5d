//! What a random command on places looks like.

use crate::grammar::{Row, Shape};
use crate::support::prng::Prng;

use Shape::*;

/// A key that mostly holds places.
fn geo_key(random: &mut Prng) -> Vec<u8> {
    random.pick(&["geo1", "geo2", "{geo}3", "{geo}4"]).as_bytes().to_vec()
}

/// Leaves out what Redis 7.2 and Valkey 8.1 answer differently: Valkey lets a long member decide
/// about the form of a sorted set even where it is not added.
pub fn tame(args: &mut [Vec<u8>]) {
    if !args[0].eq_ignore_ascii_case(b"GEOADD") {
        return;
    }
    if args.iter().any(|arg| arg.eq_ignore_ascii_case(b"XX")) {
        args[2..].iter_mut().filter(|arg| arg.len() > 64).for_each(|arg| *arg = b"0".to_vec());
    }
}

const GKEY: Shape = Made(|random, args| {
    args.push(match random.below(20) {
        0 => crate::grammar::key(random),
        _ => geo_key(random),
    });
});
/// A key that is written: a plain one, so that no string command meets what DUMP has not yet.
const TARGET: Shape = Made(|random, args| args.push(geo_key(random)));
const MEMBER: Shape = Made(|random, args| args.push(member(random)));
const MEMBERS: Shape =
    Made(|random, args| (0..random.below(6)).for_each(|_| args.push(member(random))));
const POINT: Shape = Made(|random, args| {
    let [longitude, latitude] = point(random);
    args.extend([longitude, latitude]);
});
const PLACES: Shape = Made(|random, args| {
    let count = match random.below(30) {
        0 => random.between(120, 135) as u64,
        1 | 2 => random.between(200, 1000) as u64,
        3..8 => random.between(5, 60) as u64,
        _ => random.between(1, 4) as u64,
    };
    for _ in 0..count {
        args.extend(if count > 60 { valid_point(random) } else { point(random) });
        args.push(if count > 60 { many_member(random) } else { member(random) });
    }
});
/// Scores, which are places too.
const SCORES: Shape = Made(|random, args| {
    for _ in 0..=random.below(4) {
        let score = match random.below(8) {
            0 => random.pick(&["0", "0.5", "1e-300", "4503599627370494"]).to_string(),
            _ => (random.next() >> random.between(12, 20)).to_string(),
        };
        args.extend([score.into_bytes(), member(random)]);
    }
});
/// A key of scores that are no places. No search begins at them: it would be at the very end of the
/// globe, where Redis loses members.
const ODD_KEY: Shape = Word("odd");
const ODD_SCORES: Shape = Made(|random, args| {
    const ODD: [&str; 16] = [
        "-1",
        "-0",
        "4503599627370496",
        "9007199254740993",
        "inf",
        "-inf",
        "9223372036854775807",
        "9223372036854775808",
        "9.3e18",
        "1.8e19",
        "18446744073709551615",
        "1.9e19",
        "1e300",
        "-9.3e18",
        "-5e17",
        "-1e30",
    ];
    for _ in 0..=random.below(4) {
        let score = match random.percent(50) {
            true => random.pick(&ODD).to_string(),
            false => (random.next() >> random.below(12)).to_string(),
        };
        args.extend([score.into_bytes(), member(random)]);
    }
});
const UNIT: Shape = Made(|random, args| args.push(unit(random)));
const RADIUS: Shape = Made(|random, args| {
    args.push(length(random));
    args.push(unit(random));
});
const COUNT: Shape = Made(|random, args| {
    let count = random.pick(&["1", "2", "3", "5", "5", "10", "20", "100", "0", "-1", "x", "3000"]);
    args.extend([b"COUNT".to_vec(), count.as_bytes().to_vec()]);
});
/// Where a search begins, seldom twice.
const FROM: &[&[Shape]] = &[
    &[Word("FROMMEMBER"), MEMBER],
    &[Word("frommember"), MEMBER],
    &[Word("FROMLONLAT"), POINT],
    &[Word("FromLonLat"), POINT],
    &[Word("FROMLONLAT"), POINT],
];
const BY: &[&[Shape]] = &[
    &[Word("BYRADIUS"), RADIUS],
    &[Word("byradius"), RADIUS],
    &[Word("BYBOX"), Made(|random, args| args.push(length(random))), RADIUS],
];
const WITH: &[&[Shape]] = &[
    &[],
    &[],
    &[Word("WITHDIST")],
    &[Word("WITHCOORD"), Word("WITHHASH")],
    &[Word("withhash"), Word("WITHDIST"), Word("WITHCOORD")],
];
const ORDER: &[&[Shape]] =
    &[&[], &[], &[Word("ASC")], &[Word("DESC")], &[Word("asc"), Word("desc")]];
const LIMIT: &[&[Shape]] = &[&[], &[COUNT], &[COUNT], &[COUNT, Word("ANY")], &[Word("any"), COUNT]];
const STORE: &[&[Shape]] = &[
    &[],
    &[],
    &[Word("STORE"), TARGET],
    &[Word("STOREDIST"), TARGET],
    &[Word("store"), TARGET, Word("STOREDIST"), TARGET],
];
/// Options of which a search has one too many or too few.
const ODDITIES: &[&[Shape]] = &[
    &[],
    &[Word("ANY")],
    &[Word("COUNT")],
    &[Either(FROM)],
    &[Either(BY)],
    &[Word("STOREDIST")],
    &[Word("STORE")],
    &[Word("WITHDIST")],
    &[Word("BYPOLYGON")],
];
const ODDITY: Shape = Made(|random, args| {
    if random.percent(8) {
        let shapes = ODDITIES[random.below(ODDITIES.len() as u64) as usize];
        crate::grammar::fill(random, args, shapes);
    }
});
const ADD_OPTIONS: &[&[Shape]] = &[
    &[],
    &[],
    &[],
    &[Word("CH")],
    &[OneOf(&["NX", "XX", "xx", "GT"])],
    &[OneOf(&["XX", "ch", "NX"]), OneOf(&["CH", "nx"])],
];

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    (70, "GEOADD", &[TARGET, Either(ADD_OPTIONS), PLACES]),
    (10, "ZADD", &[TARGET, SCORES]),
    (5, "ZADD", &[ODD_KEY, ODD_SCORES]),
    (3, "GEOPOS", &[ODD_KEY, MEMBERS]),
    (3, "GEOHASH", &[ODD_KEY, MEMBERS]),
    (3, "GEODIST", &[ODD_KEY, MEMBER, MEMBER]),
    (10, "ZREM", &[GKEY, MEMBERS]),
    (14, "GEODIST", &[GKEY, MEMBER, MEMBER, Maybe(&[UNIT])]),
    (10, "GEOHASH", &[GKEY, MEMBERS]),
    (12, "GEOPOS", &[GKEY, MEMBERS]),
    (60, "GEOSEARCH", &[GKEY, Either(FROM), Either(BY), Either(ORDER), Either(LIMIT), Either(WITH), ODDITY]),
    (16, "GEOSEARCH", &[GKEY, Either(LIMIT), Either(WITH), ODDITY, Either(BY), Either(FROM), Either(ORDER)]),
    (24, "GEOSEARCHSTORE", &[TARGET, GKEY, Either(FROM), Either(BY), Either(ORDER), Either(LIMIT), Maybe(&[Word("STOREDIST")]), ODDITY]),
    (24, "GEORADIUS", &[GKEY, POINT, RADIUS, Either(WITH), Either(LIMIT), Either(ORDER), ODDITY]),
    (16, "GEORADIUS", &[GKEY, POINT, RADIUS, Either(LIMIT), Either(STORE), Either(ORDER), ODDITY]),
    (14, "GEORADIUS_RO", &[GKEY, POINT, RADIUS, Either(ORDER), Either(WITH), Either(LIMIT), ODDITY]),
    (20, "GEORADIUSBYMEMBER", &[GKEY, MEMBER, RADIUS, Either(WITH), Either(LIMIT), Either(ORDER), ODDITY]),
    (14, "GEORADIUSBYMEMBER", &[GKEY, MEMBER, RADIUS, Either(LIMIT), Either(STORE), Either(ORDER), ODDITY]),
    (14, "GEORADIUSBYMEMBER_RO", &[GKEY, MEMBER, RADIUS, Either(ORDER), Either(WITH), Either(LIMIT), ODDITY]),
    (2, "COMMAND", &[OneOf(&["GETKEYS", "GETKEYSANDFLAGS"]), Word("GEORADIUS"), GKEY, POINT, RADIUS, Either(LIMIT), Either(STORE)]),
    (2, "COMMAND", &[OneOf(&["GETKEYS", "GETKEYSANDFLAGS"]), Word("GEORADIUSBYMEMBER"), GKEY, MEMBER, RADIUS, Either(STORE)]),
    (2, "COMMAND", &[OneOf(&["GETKEYS", "GETKEYSANDFLAGS"]), Word("GEOSEARCHSTORE"), TARGET, GKEY, Either(FROM), Either(BY)]),
    (10, "ZRANGE", &[GKEY, Word("0"), Word("-1"), Word("WITHSCORES")]),
    (8, "OBJECT", &[Word("ENCODING"), GKEY]),
    (6, "DEL", &[TARGET]),
    (3, "RENAME", &[TARGET, TARGET]),
    (3, "PEXPIRE", &[TARGET, MillisecondsAhead]),
    (2, "PTTL", &[TARGET]),
    (2, "SET", &[TARGET, Value]),
];

/// One of few, so that commands meet.
fn member(random: &mut Prng) -> Vec<u8> {
    match random.below(40) {
        0 => vec![b'l'; *random.pick(&[&63_usize, &64, &65, &200])],
        1 => random.pick(&["", "\0", "12", "-0"]).as_bytes().to_vec(),
        2..8 => many_member(random),
        _ => vec![b"abcdefghijkl"[random.below(12) as usize]],
    }
}

/// One of a thousand.
fn many_member(random: &mut Prng) -> Vec<u8> {
    format!("{:02}", random.below(1000)).into_bytes()
}

/// A point, seldom a wrong one.
fn point(random: &mut Prng) -> [Vec<u8>; 2] {
    const ODD: [[&str; 2]; 10] = [
        ["179.999999", "0"],
        ["-180", "-85.05112878"],
        ["180.0001", "0"],
        ["0", "-85.0512"],
        ["nan", "0"],
        ["inf", "1e300"],
        ["x", "1"],
        ["1", ""],
        ["0x10", "1e1"],
        ["-0", "0"],
    ];
    match random.below(30) {
        0 => one_of(random, &ODD).map(|degrees| degrees.as_bytes().to_vec()),
        _ => valid_point(random),
    }
}

/// A point of a city, of its surroundings, or anywhere. Some come again, so that distances are
/// equal.
///
/// No circle around one of them goes just beyond a pole, from 78.7 to 80 degrees or above 84.4, and
/// none has the highest longitude or latitude: there Redis loses members.
fn valid_point(random: &mut Prng) -> [Vec<u8>; 2] {
    const CITIES: [(f64, f64); 10] = [
        (13.361389, 38.115556),
        (15.087269, 37.502669),
        (2.349, 48.864),
        (179.99, -17.1),
        (-179.99, -16.9),
        (10.0, 82.4),
        (-170.0, 82.2),
        (25.0, -82.1),
        (0.0, 0.0),
        (-0.0001, 66.1),
    ];
    let (city_longitude, city_latitude) = one_of(random, &CITIES);
    let offset = |random: &mut Prng, most: i64| {
        random.between(-most * 1000, most * 1000) as f64 / 1_000_000.0
    };
    let (longitude, latitude) = match random.below(10) {
        0..2 => (city_longitude, city_latitude),
        2..5 => (city_longitude + offset(random, 9), city_latitude + offset(random, 9)),
        5..8 => (city_longitude + offset(random, 5000), city_latitude + offset(random, 1900)),
        _ => (offset(random, 179_999), offset(random, 78_000)),
    };
    let longitude = if longitude.abs() >= 180.0 { -longitude % 180.0 } else { longitude };
    [longitude, latitude].map(|degrees| degrees.to_string().into_bytes())
}

fn length(random: &mut Prng) -> Vec<u8> {
    const ODD: [&str; 10] =
        ["0", "-1", "inf", "1e300", "5e-324", "x", "", "nan", "20037726.37", "-0"];
    match random.below(20) {
        0 => random.pick(&ODD).as_bytes().to_vec(),
        1..4 => random.between(1, 25_000_000).to_string().into_bytes(),
        4..8 => (random.between(1, 20_000) as f64 / 10.0).to_string().into_bytes(),
        _ => random.between(1, 2000).to_string().into_bytes(),
    }
}

fn unit(random: &mut Prng) -> Vec<u8> {
    let unit = match random.below(40) {
        0 => random.pick(&["", "cm", "kmm", "M ", "METERS"]),
        _ => random.pick(&["m", "km", "km", "KM", "mi", "ft", "Mi"]),
    };
    unit.as_bytes().to_vec()
}

fn one_of<T: Copy>(random: &mut Prng, choices: &[T]) -> T {
    choices[random.below(choices.len() as u64) as usize]
}
