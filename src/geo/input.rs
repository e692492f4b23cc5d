//! Points, distances and units among the arguments of a call.

use crate::command::args::Args;
use crate::command::double;
use crate::command::row::{one_of, word};
use crate::command::spec::{Arg, ArgKind, Failure};
use crate::value::view::ZsetRef;

use super::cell;
use super::point::Point;

/// The argument that names a unit.
pub const UNIT: Arg =
    one_of("unit", &[word("m", "M"), word("km", "KM"), word("ft", "FT"), word("mi", "MI")]);
/// The argument of degrees east.
pub const LONGITUDE: Arg = Arg::new("longitude", ArgKind::Double);
/// The argument of degrees north.
pub const LATITUDE: Arg = Arg::new("latitude", ArgKind::Double);

/// The point whose longitude is argument `at`, and whose latitude follows.
pub fn point(args: &Args<'_>, at: usize) -> Result<Point, Failure> {
    let degrees = |at: usize| double::parse(args.get(at)).ok_or(Failure::NotFloat);
    let point = Point { longitude: degrees(at)?, latitude: degrees(at + 1)? };
    if !point.is_valid() {
        let Point { longitude, latitude } = point;
        let text = format!("ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}");
        return Err(Failure::Text(text.into()));
    }
    Ok(point)
}

/// Where a member is, which must be there.
pub fn member_point(zset: &ZsetRef<'_>, member: &[u8]) -> Result<Point, Failure> {
    let missing = Failure::text("ERR could not decode requested zset member");
    Ok(cell::decode(zset.score(member).ok_or(missing)?))
}

/// Meters of the unit that argument `at` names.
pub fn unit(args: &Args<'_>, at: usize) -> Result<f64, Failure> {
    let units = [("m", 1.0), ("km", 1000.0), ("ft", 0.3048), ("mi", 1609.34)];
    let unit = units.into_iter().find(|(name, _)| args.is(at, name));
    let (_, meters) =
        unit.ok_or(Failure::text("ERR unsupported unit provided. please use M, KM, FT, MI"))?;
    Ok(meters)
}

/// The radius that is argument `at`, in meters, and its unit behind it.
pub fn radius(args: &Args<'_>, at: usize) -> Result<(f64, f64), Failure> {
    let radius = length(args, at, "ERR need numeric radius")?;
    if radius < 0.0 {
        return Err(Failure::text("ERR radius cannot be negative"));
    }
    let unit = unit(args, at + 1)?;
    Ok((radius * unit, unit))
}

/// The width that is argument `at` and the height behind it, in meters, and their unit.
pub fn sides(args: &Args<'_>, at: usize) -> Result<((f64, f64), f64), Failure> {
    let width = length(args, at, "ERR need numeric width")?;
    let height = length(args, at + 1, "ERR need numeric height")?;
    if width < 0.0 || height < 0.0 {
        return Err(Failure::text("ERR height or width cannot be negative"));
    }
    let unit = unit(args, at + 2)?;
    Ok(((width * unit, height * unit), unit))
}

fn length(args: &Args<'_>, at: usize, wrong: &'static str) -> Result<f64, Failure> {
    double::parse(args.get(at)).ok_or(Failure::text(wrong))
}
