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
