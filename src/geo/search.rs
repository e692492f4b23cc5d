//! GEOSEARCH and GEOSEARCHSTORE.

use crate::command::args::Args;
use crate::command::row::{block, first_key, key_arg, keys_at, named_key, one_of, word};
use crate::command::spec::key_flag::{ACCESS, OW, RO, UPDATE};
use crate::command::spec::{Arg, ArgKind, Call, Command, Copies, Failure, Group, Spec, flag};
use crate::value::view::ZsetRef;

use super::answer::{Query, Store, answer};
use super::area::{Area, Shape};
use super::input::{LATITUDE, LONGITUDE, UNIT, member_point, point, radius, sides};
use super::options::{COUNT, ORDER, Options, WITHCOORD, WITHDIST, WITHHASH};
use super::point::Point;

const FROM: Arg = one_of(
    "from",
    &[
        Arg::new("member", ArgKind::String).behind("FROMMEMBER"),
        block("fromlonlat", &[LONGITUDE, LATITUDE]).behind("FROMLONLAT"),
    ],
);
const BY: Arg = one_of(
    "by",
    &[
        block("circle", &[Arg::new("radius", ArgKind::Double).behind("BYRADIUS"), UNIT]),
        block(
            "box",
            &[
                Arg::new("width", ArgKind::Double).behind("BYBOX"),
                Arg::new("height", ArgKind::Double),
                UNIT,
            ],
        ),
    ],
);

/// What both rows have in common.
const ROW: Spec = Spec {
    group: Group::Geo,
    since: "6.2.0",
    complexity: "O(N + log M) for N members in the cells around the area, in a sorted set of M.",
    history: &[("7.0.0", "Takes names of units in capitals.")],
    ..Spec::EMPTY
};

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "geosearch",
            arity: -7,
            flags: flag::READONLY,
            keys: &[first_key(RO | ACCESS)],
            summary: "Tells the members in a circle or a box.",
            args: &[key_arg(), FROM, BY, ORDER, COUNT, WITHCOORD, WITHDIST, WITHHASH],
            ..ROW
        },
        run: |call| answer(call, 1, |args, zset| parse(args, zset, None)),
    },
    Command {
        spec: Spec {
            name: "geosearchstore",
            arity: -8,
            flags: flag::WRITE | flag::DENYOOM | flag::COPIES,
            keys: &[keys_at(1, 0, 1, OW | UPDATE), keys_at(2, 0, 1, RO | ACCESS)],
            summary: "Keeps the members in a circle or a box as a sorted set of their own.",
            args: &[
                named_key("destination", 0),
                named_key("source", 1),
                FROM,
                BY,
                ORDER,
                COUNT,
                word("storedist", "STOREDIST").optional(),
            ],
            copies: Copies::Sources,
            ..ROW
        },
        run: geosearchstore,
    },
];

fn geosearchstore(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let store = Store { key: call.args.get(1), by_distance: false };
    answer(call, 2, |args, zset| parse(args, zset, Some(store)))
}

/// The middle of an area.
#[derive(Clone, Copy)]
enum Middle {
    /// Where a member is; none of a key that is not there.
    Member(Option<Point>),
    /// As the call gives it.
    Given(Point),
}

/// The area, as far as it is read.
struct Draft<'z> {
    zset: Option<ZsetRef<'z>>,
    middle: Option<Middle>,
    /// With meters of the unit that it is given in.
    shape: Option<(Shape, f64)>,
}

impl Draft<'_> {
    /// Takes the option at `index`; the number of its arguments. The second kind of a middle or a
    /// shape is a syntax error, another one of the same kind is not.
    fn take(&mut self, args: &Args<'_>, index: usize) -> Result<usize, Failure> {
        let left = args.len() - index - 1;
        let first = index + 1;
        let is = |word: &str, count: usize| left >= count && args.is(index, word);
        let is_given = matches!(self.middle, Some(Middle::Given(_)));
        let is_member = matches!(self.middle, Some(Middle::Member(_)));
        let is_circle = matches!(self.shape, Some((Shape::Circle { .. }, _)));
        let is_box = matches!(self.shape, Some((Shape::Box { .. }, _)));
        if is("FROMMEMBER", 1) && !is_given {
            let point = self.zset.map(|zset| member_point(&zset, args.get(first))).transpose()?;
            self.middle = Some(Middle::Member(point));
            Ok(2)
        } else if is("FROMLONLAT", 2) && !is_member {
            self.middle = Some(Middle::Given(point(args, first)?));
            Ok(3)
        } else if is("BYRADIUS", 2) && !is_box {
            let (radius, unit_meters) = radius(args, first)?;
            self.shape = Some((Shape::Circle { radius }, unit_meters));
            Ok(3)
        } else if is("BYBOX", 3) && !is_circle {
            let ((width, height), unit_meters) = sides(args, first)?;
            self.shape = Some((Shape::Box { width, height }, unit_meters));
            Ok(4)
        } else {
            Err(Failure::Syntax)
        }
    }
}

fn parse<'a>(
    args: &Args<'a>,
    zset: Option<ZsetRef<'_>>,
    mut store: Option<Store<'a>>,
) -> Result<Query<'a>, Failure> {
    let mut options = Options::default();
    let mut draft = Draft { zset, middle: None, shape: None };
    let mut index = if store.is_some() { 3 } else { 2 };
    while index < args.len() {
        let taken = options.take(args, index)?;
        index += match &mut store {
            _ if taken > 0 => taken,
            Some(store) if args.is(index, "STOREDIST") => {
                store.by_distance = true;
                1
            }
            _ => draft.take(args, index)?,
        };
    }
    if store.is_some() {
        options.check_storing("GEOSEARCHSTORE")?;
    }
    let lacks = |what: &str| {
        let name = String::from_utf8_lossy(args.get(0));
        Failure::Text(format!("ERR exactly one of {what} can be specified for {name}").into())
    };
    let middle = draft.middle.ok_or_else(|| lacks("FROMMEMBER or FROMLONLAT"))?;
    let (shape, unit_meters) = draft.shape.ok_or_else(|| lacks("BYRADIUS and BYBOX"))?;
    options.check_any()?;
    let middle = match middle {
        Middle::Member(point) => point,
        Middle::Given(point) => Some(point),
    };
    let area = middle.map(|middle| Area { middle, shape });
    Ok(Query { area, unit_meters, options, store })
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{run, unit};
    use crate::engine::unit::Unit;

    fn sicily() -> Unit<'static> {
        let mut unit = unit();
        let places = "GEOADD g 13.361389 38.115556 a 15.087269 37.502669 b 12.758489 38.788135 c";
        run(&mut unit, &places.split(' ').collect::<Vec<_>>());
        unit
    }

    fn told(unit: &mut Unit<'_>, command: &str) -> String {
        run(unit, &command.split(' ').collect::<Vec<_>>())
    }

    #[test]
    fn members_inside_are_told() {
        let unit = &mut sicily();
        for (rest, reply) in [
            ("FROMLONLAT 15 37 BYRADIUS 200 km ASC", "*2 $1 b $1 a"),
            ("FROMMEMBER a BYRADIUS 100 KM DESC", "*2 $1 c $1 a"),
            ("BYBOX 400 400 km FROMLONLAT 15 37 COUNT 1", "*1 $1 b"),
            ("FROMMEMBER a BYRADIUS 0 m WITHDIST", "*1 *2 $1 a $6 0.0000"),
            (
                "FROMLONLAT 15 37 BYRADIUS 60 km WITHHASH WITHDIST",
                "*1 *3 $1 b $7 56.4413 :3479447370796909",
            ),
            ("FROMLONLAT 15 37 BYRADIUS inf m COUNT 2 ANY DESC", "*2 $1 c $1 a"),
            ("FROMLONLAT 0 0 BYRADIUS 1 m", "*0"),
        ] {
            assert_eq!(told(unit, &format!("GEOSEARCH g {rest}")), reply, "{rest}");
        }
        assert_eq!(told(unit, "GEOSEARCH none FROMMEMBER x BYRADIUS 1 m"), "*0");
    }

    #[test]
    fn what_redis_loses_near_the_ends_of_the_globe_is_found() {
        let unit = &mut unit();
        told(unit, "GEOADD pole -8.04 76.36 west 8 76.36 east 180 85 behind");
        let beyond_the_pole = "GEOSEARCH pole FROMLONLAT 1 79.9478 BYRADIUS 1124.3 km ASC";
        assert_eq!(told(unit, beyond_the_pole), "*2 $4 east $4 west");
        told(unit, "GEOADD edge 180 0 east -180 0 west 180 85.05112878 top");
        let near = "GEOSEARCH edge FROMLONLAT 179.99 0 BYRADIUS 10 km ASC";
        assert_eq!(told(unit, near), "*2 $4 east $4 west");
        let top = "GEOSEARCH edge FROMLONLAT -179.99 85.0511 BYBOX 10 10 km";
        assert_eq!(told(unit, top), "*1 $3 top");
    }

    #[test]
    fn what_is_found_is_stored() {
        let unit = &mut sicily();
        told(unit, "SET d x EX 100");
        assert_eq!(told(unit, "GEOSEARCHSTORE d g FROMLONLAT 15 37 BYRADIUS 200 km"), ":2");
        let both = "*4 $1 a $16 3479099956230698 $1 b $16 3479447370796909";
        assert_eq!(told(unit, "ZRANGE d 0 -1 WITHSCORES"), both);
        assert_eq!(told(unit, "TTL d"), ":-1");
        let command = "GEOSEARCHSTORE g g FROMLONLAT 15 37 BYRADIUS 60 km STOREDIST";
        assert_eq!(told(unit, command), ":1");
        assert_eq!(told(unit, "ZRANGE g 0 -1 WITHSCORES"), "*2 $1 b $16 56.4412578701582");
        assert_eq!(told(unit, "GEOSEARCHSTORE d none FROMMEMBER x BYBOX 1 1 m"), ":0");
        assert_eq!(told(unit, "EXISTS d"), ":0");
    }

    #[test]
    fn options_that_contradict_are_refused() {
        let unit = &mut sicily();
        told(unit, "SET s x");
        for (command, error) in [
            ("GEOSEARCH s x x x x x", "-WRONGTYPE"),
            ("GEOSEARCH g FROMMEMBER x ASC ASC ASC", "-ERR could not decode requested zset member"),
            ("GEOSEARCH g FROMMEMBER a FROMLONLAT 1 1 BYRADIUS 1 m", "-ERR syntax error"),
            ("GEOSEARCH g FROMMEMBER a BYRADIUS 1 m BYBOX 1 1 m", "-ERR syntax error"),
            ("GEOSEARCH g FROMMEMBER a BYRADIUS 1 m STOREDIST", "-ERR syntax error"),
            ("GEOSEARCH g FROMMEMBER a BYRADIUS 1 m COUNT", "-ERR syntax error"),
            ("GEOSEARCH g FROMMEMBER a BYRADIUS x m", "-ERR need numeric radius"),
            ("GEOSEARCH g FROMMEMBER a BYRADIUS -1 x", "-ERR radius cannot be negative"),
            ("GEOSEARCH g FROMMEMBER a BYRADIUS 1 x", "-ERR unsupported unit provided."),
            ("GEOSEARCH g FROMMEMBER a BYBOX x 1 m", "-ERR need numeric width"),
            ("GEOSEARCH g FROMMEMBER a BYBOX 1 x m", "-ERR need numeric height"),
            ("GEOSEARCH g FROMMEMBER a BYBOX 1 -1 m", "-ERR height or width cannot be negative"),
            ("GEOSEARCH g FROMMEMBER a BYRADIUS 1 m COUNT 0", "-ERR COUNT must be > 0"),
            ("GEOSEARCH g FROMMEMBER a BYRADIUS 1 m COUNT x", "-ERR value is not an integer"),
            ("GEOSEARCH g FROMMEMBER a BYRADIUS 1 m ANY", "-ERR the ANY argument requires COUNT"),
            (
                "GEOsearch g BYRADIUS 1 m ASC ASC",
                "-ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for GEOsearch",
            ),
            (
                "GEOSEARCH none FROMMEMBER a ASC ANY ASC",
                "-ERR exactly one of BYRADIUS and BYBOX can be specified for GEOSEARCH",
            ),
            (
                "GEOSEARCHSTORE d g FROMMEMBER a WITHDIST ASC ASC",
                "-ERR GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD",
            ),
        ] {
            let reply = told(unit, command);
            assert!(reply.starts_with(error), "{command}: {reply}");
        }
    }
}
