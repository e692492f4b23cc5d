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
