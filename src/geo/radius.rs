//! GEORADIUS and its relatives, which GEOSEARCH replaces.

use crate::command::args::Args;
use crate::command::row::{first_key, key_arg, named_key, one_of};
use crate::command::spec::key_flag::{ACCESS, OW, RO, UPDATE};
use crate::command::spec::{
    Arg, ArgKind, BeginSearch, Command, Copies, Failure, FindKeys, Group, KeySpec, Spec, flag,
};
use crate::value::view::ZsetRef;

use super::answer::{Query, Store, answer};
use super::area::{Area, Shape};
use super::input::{LATITUDE, LONGITUDE, UNIT, member_point, point, radius};
use super::options::{COUNT, COUNT_BEFORE_ANY, ORDER, Options, WITHCOORD, WITHDIST, WITHHASH};

const MEMBER: Arg = Arg::new("member", ArgKind::String);
const RADIUS: Arg = Arg::new("radius", ArgKind::Double);
const STORE: Arg = one_of(
    "store",
    &[
        named_key("storekey", 1).shown_as("key").behind("STORE"),
        named_key("storedistkey", 2).shown_as("key").behind("STOREDIST"),
    ],
)
.optional();

/// The key behind a word among the options, which begin at argument `from`.
const fn key_behind(word: &'static str, from: i32) -> KeySpec {
    KeySpec {
        begin: BeginSearch::Keyword(word, from),
        find: FindKeys::Range { last: 0, step: 1, limit: 0 },
        flags: OW | UPDATE,
        notes: "",
    }
}

/// Commands that search and tell.
const ROW: Spec = Spec {
    arity: -6,
    flags: flag::READONLY,
    keys: &[first_key(RO | ACCESS)],
    group: Group::Geo,
    since: "3.2.10",
    complexity: "O(N + log M) for N members in the cells around the circle, in a sorted set of M.",
    deprecated: Some(("6.2.0", "`GEOSEARCH` with `BYRADIUS`")),
    history: &[("6.2.0", "`COUNT` takes `ANY`."), ("7.0.0", "Takes names of units in capitals.")],
    ..Spec::EMPTY
};

/// Commands that may store what they find.
const ROW_OF_STORE: Spec = Spec {
    flags: flag::WRITE | flag::DENYOOM | flag::MOVABLE_KEYS | flag::COPIES,
    since: "3.2.0",
    copies: Copies::Sized(|_, sizes| match sizes {
        [source, _, ..] => source.bytes,
        _ => 0,
    }),
    ..ROW
};

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "georadius",
            keys: &[first_key(RO | ACCESS), key_behind("STORE", 6), key_behind("STOREDIST", 6)],
            summary: "Tells the members in a circle around a point, or stores them.",
            args: &[
                key_arg(),
                LONGITUDE,
                LATITUDE,
                RADIUS,
                UNIT,
                WITHCOORD,
                WITHDIST,
                WITHHASH,
                COUNT_BEFORE_ANY,
                ORDER,
                STORE,
            ],
            deprecated: Some(("6.2.0", "`GEOSEARCH` and `GEOSEARCHSTORE` with `BYRADIUS`")),
            more_keys: Some(|args| Some((store_index(args, 6)?, OW | UPDATE))),
            ..ROW_OF_STORE
        },
        run: |call| answer(call, 1, |args, _| around_point(args, true)),
    },
    Command {
        spec: Spec {
            name: "georadius_ro",
            summary: "Tells the members in a circle around a point.",
            args: &[
                key_arg(),
                LONGITUDE,
                LATITUDE,
                RADIUS,
                UNIT,
                WITHCOORD,
                WITHDIST,
                WITHHASH,
                COUNT_BEFORE_ANY,
                ORDER,
            ],
            ..ROW
        },
        run: |call| answer(call, 1, |args, _| around_point(args, false)),
    },
    Command {
        spec: Spec {
            name: "georadiusbymember",
            arity: -5,
            keys: &[first_key(RO | ACCESS), key_behind("STORE", 5), key_behind("STOREDIST", 5)],
            summary: "Tells the members in a circle around one of them, or stores them.",
            args: &[
                key_arg(),
                MEMBER,
                RADIUS,
                UNIT,
                WITHCOORD,
                WITHDIST,
                WITHHASH,
                COUNT,
                ORDER,
                STORE,
            ],
            deprecated: Some((
                "6.2.0",
                "`GEOSEARCH` and `GEOSEARCHSTORE` with `BYRADIUS` and `FROMMEMBER`",
            )),
            more_keys: Some(|args| Some((store_index(args, 5)?, OW | UPDATE))),
            ..ROW_OF_STORE
        },
        run: |call| answer(call, 1, |args, zset| around_member(args, zset, true)),
    },
    Command {
        spec: Spec {
            name: "georadiusbymember_ro",
            arity: -5,
            summary: "Tells the members in a circle around one of them.",
            args: &[key_arg(), MEMBER, RADIUS, UNIT, WITHCOORD, WITHDIST, WITHHASH, COUNT, ORDER],
            deprecated: Some(("6.2.0", "`GEOSEARCH` with `BYRADIUS` and `FROMMEMBER`")),
            ..ROW
        },
        run: |call| answer(call, 1, |args, zset| around_member(args, zset, false)),
    },
];

/// Where the key stands at which a call stores; the last one counts.
fn store_index(args: &Args<'_>, from: usize) -> Option<usize> {
    let (mut found, mut index) = (None, from);
    while index + 1 < args.len() {
        if args.is(index, "STORE") || args.is(index, "STOREDIST") {
            index += 1;
            found = Some(index);
        }
        index += 1;
    }
    found
}

fn around_point<'a>(args: &Args<'a>, may_store: bool) -> Result<Query<'a>, Failure> {
    let middle = point(args, 2)?;
    let (radius, unit_meters) = radius(args, 4)?;
    let area = Area { middle, shape: Shape::Circle { radius } };
    parse(args, 6, may_store, Some(area), unit_meters)
}

/// Without a sorted set, radius and unit are not even looked at.
fn around_member<'a>(
    args: &Args<'a>,
    zset: Option<ZsetRef<'_>>,
    may_store: bool,
) -> Result<Query<'a>, Failure> {
    let Some(zset) = zset else {
        return parse(args, 5, may_store, None, 1.0);
    };
    let middle = member_point(&zset, args.get(2))?;
    let (radius, unit_meters) = radius(args, 3)?;
    let area = Area { middle, shape: Shape::Circle { radius } };
    parse(args, 5, may_store, Some(area), unit_meters)
}

/// Reads the options from argument `index` on.
fn parse<'a>(
    args: &Args<'a>,
    mut index: usize,
    may_store: bool,
    area: Option<Area>,
    unit_meters: f64,
) -> Result<Query<'a>, Failure> {
    let (mut options, mut store) = (Options::default(), None);
    while index < args.len() {
        let taken = options.take(args, index)?;
        if taken > 0 {
            index += taken;
            continue;
        }
        let by_distance = args.is(index, "STOREDIST");
        if !may_store || index + 1 == args.len() || !by_distance && !args.is(index, "STORE") {
            return Err(Failure::Syntax);
        }
        store = Some(Store { key: args.get(index + 1), by_distance });
        index += 2;
    }
    if store.is_some() {
        options.check_storing("STORE option in GEORADIUS")?;
    }
    options.check_any()?;
    Ok(Query { area, unit_meters, options, store })
}

#[cfg(test)]
mod tests {
    use super::store_index;
    use crate::command::spec::Spec;
    use crate::command::testing::{run, unit, with_args};
    use crate::engine::unit::{Unit, ValueSize};

    fn told(unit: &mut Unit<'_>, command: &str) -> String {
        run(unit, &command.split(' ').collect::<Vec<_>>())
    }

    #[test]
    fn circles_are_searched_and_stored() {
        let unit = &mut unit();
        told(unit, "GEOADD g 13.361389 38.115556 a 15.087269 37.502669 b");
        assert_eq!(told(unit, "GEORADIUS g 15 37 200 km ASC"), "*2 $1 b $1 a");
        assert_eq!(told(unit, "GEORADIUS_RO g 15 37 60 km WITHDIST"), "*1 *2 $1 b $7 56.4413");
        assert_eq!(told(unit, "GEORADIUSBYMEMBER g a 170 km COUNT 1 ANY"), "*1 $1 a");
        assert_eq!(told(unit, "GEORADIUSBYMEMBER_RO g a 170 km DESC"), "*2 $1 b $1 a");
        assert_eq!(told(unit, "GEORADIUS g 15 37 60 km STORE c STOREDIST d"), ":1");
        assert_eq!(told(unit, "ZRANGE d 0 -1 WITHSCORES"), "*2 $1 b $16 56.4412578701582");
        assert_eq!(told(unit, "GEORADIUSBYMEMBER g a 1 m STORE d"), ":1");
        assert_eq!(told(unit, "ZRANGE d 0 -1"), "*1 $1 a");
        assert_eq!(told(unit, "EXISTS c"), ":0");
        assert_eq!(told(unit, "GEORADIUS none 15 37 60 km STORE d"), ":0");
        assert_eq!(told(unit, "EXISTS d"), ":0");
    }

    #[test]
    fn arguments_are_read_in_the_order_of_redis() {
        let unit = &mut unit();
        told(unit, "SET s x");
        told(unit, "GEOADD g 1 1 a");
        for (command, error) in [
            ("GEORADIUS s x x x x", "-WRONGTYPE"),
            ("GEORADIUS none x 1 1 m", "-ERR value is not a valid float"),
            ("GEORADIUS none 1 1 x x", "-ERR need numeric radius"),
            ("GEORADIUSBYMEMBER none a x x", "*0"),
            ("GEORADIUSBYMEMBER none a x x ANY", "-ERR the ANY argument requires COUNT argument"),
            ("GEORADIUSBYMEMBER g x x x", "-ERR could not decode requested zset member"),
            ("GEORADIUSBYMEMBER g a x x", "-ERR need numeric radius"),
            ("GEORADIUS_RO g 1 1 1 m STORE d", "-ERR syntax error"),
            ("GEORADIUSBYMEMBER_RO g a 1 m STOREDIST d", "-ERR syntax error"),
            ("GEORADIUS g 1 1 1 m STORE", "-ERR syntax error"),
            (
                "GEORADIUS g 1 1 1 m WITHCOORD STORE d ANY",
                "-ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and \
                 WITHCOORD options",
            ),
        ] {
            let reply = told(unit, command);
            assert!(reply.starts_with(error), "{command}: {reply}");
        }
    }

    fn spec(name: &str) -> &'static Spec {
        &crate::catalog::table::lookup(name.as_bytes()).expect("a command").spec
    }

    fn places(command: &str) -> Vec<usize> {
        let mut found = Vec::new();
        let args: Vec<&str> = command.split(' ').collect();
        with_args(&args, |args| {
            crate::catalog::table::keys(spec(args_name(command)), args, |at, _| found.push(at))
        })
        .expect("the keys are there");
        found
    }

    fn args_name(command: &str) -> &str {
        command.split(' ').next().unwrap_or_default()
    }

    #[test]
    fn the_key_that_is_stored_at_is_found_among_the_options() {
        assert_eq!(places("GEORADIUS g 1 1 1 m ASC"), [1]);
        assert_eq!(places("GEORADIUS g 1 1 1 m STORE"), [1]);
        assert_eq!(places("GEORADIUS g 1 1 1 m STORE a STOREDIST b"), [1, 7, 9]);
        assert_eq!(places("GEORADIUS g 1 1 1 m STORE a store b"), [1, 7, 9]);
        assert_eq!(places("GEORADIUSBYMEMBER g STORE 1 m STOREDIST b"), [1, 6]);
        let args = ["GEORADIUS", "g", "1", "1", "1", "m", "STORE", "STOREDIST", "STORE", "b"];
        assert_eq!(with_args(&args, |args| store_index(args, 6)), Some(9));
    }

    #[test]
    fn only_a_search_that_stores_copies() {
        let size = |bytes| ValueSize { bytes, item_bytes: bytes };
        let copied = |command: &str, sizes: &[ValueSize]| {
            let args: Vec<&str> = command.split(' ').collect();
            with_args(&args, |args| spec(args_name(command)).copied_bytes_of(args, sizes))
        };
        assert_eq!(copied("GEORADIUS g 1 1 1 m", &[size(100)]), 0);
        assert_eq!(copied("GEORADIUS g 1 1 1 m STORE d", &[size(100), size(7)]), 100);
        assert_eq!(
            copied("GEOSEARCHSTORE d g FROMMEMBER a BYRADIUS 1 m", &[size(7), size(100)]),
            100
        );
    }
}
