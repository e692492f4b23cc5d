//! GEOADD, which is ZADD with places for scores.

use crate::command::row::{block, first_key, key_arg, one_of, word};
use crate::command::spec::key_flag::{RW, UPDATE};
use crate::command::spec::{Arg, ArgKind, Call, Command, Failure, GROWS, Group, Spec, flag};
use crate::command::zset_scores::{Conditions, NewScores, Outcome, set_scores};

use super::cell;
use super::input::{LATITUDE, LONGITUDE, point};

/// The rows of this file.
pub const COMMANDS: &[Command] = &[Command {
    spec: Spec {
        name: "geoadd",
        arity: -5,
        flags: flag::WRITE | flag::DENYOOM,
        keys: &[first_key(RW | UPDATE)],
        group: Group::Geo,
        since: "3.2.0",
        complexity: "O(log N) for each member, in a sorted set of N.",
        summary: "Sets the places of members, new or not, under conditions if wanted.",
        args: &[
            key_arg(),
            one_of("condition", &[word("nx", "NX"), word("xx", "XX")]).optional().since("6.2.0"),
            word("change", "CH").optional().since("6.2.0"),
            block("data", &[LONGITUDE, LATITUDE, Arg::new("member", ArgKind::String)]).multiple(),
        ],
        history: &[("6.2.0", "Takes `CH`, `NX` and `XX`.")],
        length_after: Some(GROWS),
        ..Spec::EMPTY
    },
    run: geoadd,
}];

fn geoadd(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let args = call.args;
    let mut conditions = Conditions::default();
    let mut counts_changed = false;
    let mut first = 2;
    while first < args.len() {
        if args.is(first, "NX") {
            conditions.nx = true;
        } else if args.is(first, "XX") {
            conditions.xx = true;
        } else if args.is(first, "CH") {
            counts_changed = true;
        } else {
            break;
        }
        first += 1;
    }
    let rest = args.len() - first;
    if rest == 0 || !rest.is_multiple_of(3) || conditions.nx && conditions.xx {
        return Err(Failure::Syntax);
    }
    let mut scores = NewScores::new();
    for at in (first..args.len()).step_by(3) {
        scores.push((cell::encode(&point(args, at)?), args.get(at + 2)));
    }
    let Outcome { added, updated, .. } = set_scores(call, conditions, &scores)?;
    call.reply.integer(if counts_changed { added + updated } else { added });
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{run, unit};

    #[test]
    fn places_are_scores_that_are_set_under_conditions() {
        let unit = &mut unit();
        assert_eq!(run(unit, &["GEOADD", "g", "13.361389", "38.115556", "a"]), ":1");
        assert_eq!(run(unit, &["ZSCORE", "g", "a"]), "$16 3479099956230698");
        assert_eq!(run(unit, &["GEOADD", "g", "ch", "1", "1", "a", "2", "2", "b"]), ":2");
        assert_eq!(run(unit, &["GEOADD", "g", "NX", "CH", "3", "3", "a", "3", "3", "c"]), ":1");
        assert_eq!(run(unit, &["GEOADD", "g", "XX", "CH", "4", "4", "a", "4", "4", "d"]), ":1");
        assert_eq!(run(unit, &["ZCARD", "g"]), ":3");
        assert_eq!(run(unit, &["OBJECT", "ENCODING", "g"]), "$8 listpack");
    }

    #[test]
    fn bad_requests_change_nothing() {
        let unit = &mut unit();
        run(unit, &["SET", "s", "x"]);
        for (rest, error) in [
            (&["1", "1", "a", "2"][..], "-ERR syntax error"),
            (&["NX", "XX", "1", "1", "a"], "-ERR syntax error"),
            (&["NX", "CH", "CH"], "-ERR syntax error"),
            (&["GT", "1", "1", "a"], "-ERR syntax error"),
            (&["1", "1", "a", "x", "1", "b"], "-ERR value is not a valid float"),
            (
                &["1", "1", "a", "180.5", "-90", "b"],
                "-ERR invalid longitude,latitude pair 180.500000,-90.000000",
            ),
            (&["inf", "0", "a"], "-ERR invalid longitude,latitude pair inf,0.000000"),
        ] {
            assert_eq!(run(unit, &[&["GEOADD", "g"], rest].concat()), error);
        }
        assert_eq!(run(unit, &["EXISTS", "g"]), ":0");
        assert!(run(unit, &["GEOADD", "s", "1", "1", "a"]).starts_with("-WRONGTYPE"));
        assert_eq!(run(unit, &["GEOADD", "s", "1", "x", "a"]), "-ERR value is not a valid float");
    }
}
