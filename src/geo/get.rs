//! Commands that tell where members are: GEOPOS, GEOHASH, GEODIST.

use crate::command::row::{first_key, key_arg};
use crate::command::spec::key_flag::{ACCESS, RO};
use crate::command::spec::{Arg, ArgKind, Call, Command, Failure, Group, Spec, flag};
use crate::command::zset::read_zset;

use super::cell;
use super::input::{UNIT, unit};
use super::point::reply_distance;

/// What the rows of this file have in common.
const ROW: Spec = Spec {
    arity: -2,
    flags: flag::READONLY,
    keys: &[first_key(RO | ACCESS)],
    group: Group::Geo,
    since: "3.2.0",
    complexity: "O(1) for each member asked for.",
    args: &[key_arg(), Arg::new("member", ArgKind::String).optional().multiple()],
    ..Spec::EMPTY
};

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec { name: "geopos", summary: "Tells longitude and latitude of members.", ..ROW },
        run: geopos,
    },
    Command {
        spec: Spec {
            name: "geohash",
            summary: "Tells the places of members as geohashes of eleven characters.",
            ..ROW
        },
        run: geohash,
    },
    Command {
        spec: Spec {
            name: "geodist",
            arity: -4,
            complexity: "O(1)",
            summary: "Tells how far two members are apart.",
            args: &[
                key_arg(),
                Arg::new("member1", ArgKind::String),
                Arg::new("member2", ArgKind::String),
                UNIT.optional(),
            ],
            ..ROW
        },
        run: geodist,
    },
];

fn geopos(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    let zset = read_zset(call.unit, &key)?;
    call.reply.array(call.args.len() - 2);
    for member in call.args.iter_from(2) {
        match zset.and_then(|zset| zset.score(member)) {
            Some(score) => cell::decode(score).reply(call.reply),
            None => call.reply.null_array(),
        }
    }
    Ok(())
}

fn geohash(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    let zset = read_zset(call.unit, &key)?;
    call.reply.array(call.args.len() - 2);
    for member in call.args.iter_from(2) {
        match zset.and_then(|zset| zset.score(member)) {
            Some(score) => call.reply.bulk(&cell::text(score)),
            None => call.reply.null(),
        }
    }
    Ok(())
}

fn geodist(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let args = call.args;
    let unit_meters = match args.len() {
        4 => 1.0,
        5 => unit(args, 4)?,
        _ => return Err(Failure::Syntax),
    };
    let key = call.unit.key(call.db, args.get(1));
    let zset = read_zset(call.unit, &key)?;
    let place = |at: usize| zset.and_then(|zset| zset.score(args.get(at))).map(cell::decode);
    match place(2).zip(place(3)) {
        Some((one, other)) => reply_distance(call.reply, one.meters_to(&other) / unit_meters),
        None => call.reply.null(),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{run, unit};

    #[test]
    fn places_are_told_in_three_ways() {
        let unit = &mut unit();
        let (a, b) = (["13.361389", "38.115556", "a"], ["15.087269", "37.502669", "b"]);
        run(unit, &[&["GEOADD", "g"], &a[..], &b[..]].concat());
        assert_eq!(
            run(unit, &["GEOPOS", "g", "a", "x"]),
            "*2 *2 $20 13.36138933897018433 $20 38.11555639549629859 *-1"
        );
        assert_eq!(run(unit, &["GEOHASH", "g", "x", "b"]), "*2 $-1 $11 sqdtr74hyu0");
        assert_eq!(run(unit, &["GEODIST", "g", "a", "b"]), "$11 166274.1516");
        assert_eq!(run(unit, &["GEODIST", "g", "a", "b", "Mi"]), "$8 103.3182");
        assert_eq!(run(unit, &["GEODIST", "g", "a", "x", "ft"]), "$-1");
        assert_eq!(run(unit, &["GEODIST", "none", "a", "b"]), "$-1");
        assert_eq!(run(unit, &["GEOPOS", "none", "a"]), "*1 *-1");
        assert_eq!(run(unit, &["GEOHASH", "g"]), "*0");
    }

    #[test]
    fn a_wrong_unit_is_told_before_a_wrong_type() {
        let unit = &mut unit();
        run(unit, &["SET", "s", "x"]);
        let error = "-ERR unsupported unit provided. please use M, KM, FT, MI";
        assert_eq!(run(unit, &["GEODIST", "s", "a", "b", "cm"]), error);
        assert_eq!(run(unit, &["GEODIST", "s", "a", "b", "m", "m"]), "-ERR syntax error");
        for command in [&["GEODIST", "s", "a", "b"][..], &["GEOPOS", "s"], &["GEOHASH", "s", "a"]] {
            assert!(run(unit, command).starts_with("-WRONGTYPE"));
        }
    }
}
