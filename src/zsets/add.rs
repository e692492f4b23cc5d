//! Commands that set scores: ZADD, ZINCRBY.

use crate::command::double;
use crate::command::row::{block, first_key, key_arg, one_of, word};
use crate::command::spec::key_flag::{ACCESS, RW, UPDATE};
use crate::command::spec::{
    Arg, ArgKind, Call, Command, Failure, FirstMember, GROWS, Group, Spec, flag,
};
use crate::command::zset_scores::{Conditions, NewScores, Outcome, set_scores};

/// What the rows of this file have in common.
const ROW: Spec = Spec {
    flags: flag::WRITE | flag::DENYOOM | flag::FAST,
    group: Group::SortedSet,
    since: "1.2.0",
    length_after: Some(GROWS),
    ..Spec::EMPTY
};

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "zadd",
            arity: -4,
            keys: &[first_key(RW | UPDATE)],
            complexity: "O(log N) for each member, in a sorted set of N.",
            summary: "Sets the scores of members, new or not, under conditions if wanted.",
            args: &[
                key_arg(),
                one_of("condition", &[word("nx", "NX"), word("xx", "XX")])
                    .optional()
                    .since("3.0.2"),
                one_of("comparison", &[word("gt", "GT"), word("lt", "LT")])
                    .optional()
                    .since("6.2.0"),
                word("change", "CH").optional().since("3.0.2"),
                word("increment", "INCR").optional().since("3.0.2"),
                block(
                    "data",
                    &[Arg::new("score", ArgKind::Double), Arg::new("member", ArgKind::String)],
                )
                .multiple(),
            ],
            history: &[
                ("2.4.0", "Takes several members."),
                ("3.0.2", "Takes `XX`, `NX`, `CH` and `INCR`."),
                ("6.2.0", "Takes `GT` and `LT`."),
            ],
            first_member: FirstMember::Named(3),
            ..ROW
        },
        run: zadd,
    },
    Command {
        spec: Spec {
            name: "zincrby",
            arity: 4,
            keys: &[first_key(RW | ACCESS | UPDATE)],
            complexity: "O(log N) in a sorted set of N.",
            summary: "Adds to the score of a member; a missing one counts as 0.",
            args: &[
                key_arg(),
                Arg::new("increment", ArgKind::Integer),
                Arg::new("member", ArgKind::String),
            ],
            first_member: FirstMember::Named(3),
            ..ROW
        },
        run: zincrby,
    },
];

fn zadd(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    add(call, false)
}

/// ZADD of one pair with INCR, which takes its other options too: all are one argument too many.
fn zincrby(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    add(call, true)
}

fn add(call: &mut Call<'_, '_, '_>, incr: bool) -> Result<(), Failure> {
    let args = call.args;
    let mut conditions = Conditions { incr, ..Conditions::default() };
    let mut counts_changed = false;
    let mut first = 2;
    while first < args.len() {
        let known = [
            ("NX", &mut conditions.nx),
            ("XX", &mut conditions.xx),
            ("GT", &mut conditions.gt),
            ("LT", &mut conditions.lt),
            ("CH", &mut counts_changed),
            ("INCR", &mut conditions.incr),
        ];
        let Some((_, option)) = known.into_iter().find(|(name, _)| args.is(first, name)) else {
            break;
        };
        *option = true;
        first += 1;
    }
    let rest = args.len() - first;
    if rest == 0 || !rest.is_multiple_of(2) {
        return Err(Failure::Syntax);
    }
    let Conditions { nx, xx, gt, lt, incr } = conditions;
    if nx && xx {
        let text = "ERR XX and NX options at the same time are not compatible";
        return Err(Failure::text(text));
    }
    if [nx, gt, lt].into_iter().filter(|set| *set).count() > 1 {
        let text = "ERR GT, LT, and/or NX options at the same time are not compatible";
        return Err(Failure::text(text));
    }
    if incr && rest > 2 {
        let text = "ERR INCR option supports a single increment-element pair";
        return Err(Failure::text(text));
    }
    let pairs = (first..args.len()).step_by(2);
    let scores = pairs.map(|at| Some((double::parse(args.get(at))?, args.get(at + 1))));
    let scores: Option<NewScores<'_>> = scores.collect();
    let Outcome { added, updated, last } =
        set_scores(call, conditions, &scores.ok_or(Failure::NotFloat)?)?;
    match last {
        _ if !incr => call.reply.integer(if counts_changed { added + updated } else { added }),
        Some(score) => double::reply(call.reply, score),
        None => call.reply.null(),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{run, unit};

    #[test]
    fn scores_are_set_under_conditions() {
        let unit = &mut unit();
        assert_eq!(run(unit, &["ZADD", "z", "1", "a", "2", "b"]), ":2");
        assert_eq!(run(unit, &["ZADD", "z", "CH", "1", "a", "5", "b", "3", "c"]), ":2");
        assert_eq!(run(unit, &["ZADD", "z", "NX", "9", "a", "9", "d"]), ":1");
        assert_eq!(run(unit, &["ZADD", "z", "XX", "CH", "9", "a", "9", "e"]), ":1");
        assert_eq!(run(unit, &["ZADD", "z", "gt", "ch", "8", "a", "10", "d"]), ":1");
        assert_eq!(run(unit, &["ZADD", "z", "LT", "CH", "8", "a", "11", "d"]), ":1");
        assert_eq!(
            run(unit, &["ZMSCORE", "z", "a", "b", "c", "d", "e"]),
            "*5 $1 8 $1 5 $1 3 $2 10 $-1"
        );
        assert_eq!(run(unit, &["ZADD", "none", "XX", "1", "a"]), ":0");
        assert_eq!(run(unit, &["EXISTS", "none"]), ":0");
    }

    #[test]
    fn a_member_that_comes_again_builds_on_what_came_before() {
        let unit = &mut unit();
        assert_eq!(run(unit, &["ZADD", "z", "CH", "1", "a", "2", "a", "2", "a"]), ":2");
        assert_eq!(run(unit, &["ZADD", "z", "GT", "CH", "5", "a", "3", "a", "6", "a"]), ":2");
        assert_eq!(run(unit, &["ZSCORE", "z", "a"]), "$1 6");
        assert_eq!(run(unit, &["ZADD", "y", "NX", "1", "a", "2", "a"]), ":1");
        assert_eq!(run(unit, &["ZSCORE", "y", "a"]), "$1 1");
    }

    #[test]
    fn increments_tell_the_score_or_that_nothing_happened() {
        let unit = &mut unit();
        assert_eq!(run(unit, &["ZINCRBY", "z", "1.5", "a"]), "$3 1.5");
        assert_eq!(run(unit, &["ZADD", "z", "INCR", "-1.5", "a"]), "$1 0");
        assert_eq!(run(unit, &["ZADD", "z", "XX", "INCR", "1", "b"]), "$-1");
        assert_eq!(run(unit, &["ZADD", "z", "GT", "INCR", "-1", "a"]), "$-1");
        assert_eq!(run(unit, &["ZADD", "z", "INCR", "inf", "a"]), "$3 inf");
        let error = "-ERR resulting score is not a number (NaN)";
        assert_eq!(run(unit, &["ZINCRBY", "z", "-inf", "a"]), error);
        assert_eq!(run(unit, &["ZSCORE", "z", "a"]), "$3 inf");
    }

    #[test]
    fn a_listpack_has_no_negative_zero() {
        let unit = &mut unit();
        run(unit, &["ZADD", "small", "-0.0", "a"]);
        assert_eq!(run(unit, &["ZSCORE", "small", "a"]), "$1 0");
        let long = "l".repeat(65);
        run(unit, &["ZADD", "large", "1", &long, "-0.0", "a"]);
        assert_eq!(run(unit, &["ZSCORE", "large", "a"]), "$2 -0");
        assert_eq!(run(unit, &["ZADD", "large", "CH", "0", "a"]), ":0");
        assert_eq!(run(unit, &["ZSCORE", "large", "a"]), "$2 -0");
    }

    #[test]
    fn the_encoding_grows_with_members_and_their_length() {
        let unit = &mut unit();
        let mut command = vec!["ZADD".to_owned(), "z".to_owned()];
        for number in 0..128 {
            command.extend([number.to_string(), format!("m{number}")]);
        }
        run(unit, &command);
        assert_eq!(run(unit, &["OBJECT", "ENCODING", "z"]), "$8 listpack");
        run(unit, &["ZADD", "z", "1", "one more"]);
        assert_eq!(run(unit, &["OBJECT", "ENCODING", "z"]), "$8 skiplist");
        run(unit, &["ZREM", "z", "one more"]);
        assert_eq!(run(unit, &["OBJECT", "ENCODING", "z"]), "$8 skiplist");
        command[1] = "repeated".to_owned();
        command.extend(["1", "m0"].map(str::to_owned));
        run(unit, &command);
        assert_eq!(run(unit, &["OBJECT", "ENCODING", "repeated"]), "$8 skiplist");
        run(unit, &["ZADD", "kept", "1", "a"]);
        command[1] = "kept".to_owned();
        command.insert(2, "XX".to_owned());
        assert_eq!(run(unit, &command), ":0");
        assert_eq!(run(unit, &["OBJECT", "ENCODING", "kept"]), "$8 skiplist");
        assert_eq!(run(unit, &["ZRANGE", "kept", "0", "-1"]), "*1 $1 a");
    }

    #[test]
    fn bad_requests_change_nothing() {
        let unit = &mut unit();
        run(unit, &["SET", "s", "x"]);
        for (options, error) in [
            (&["NX", "XX", "1", "a"][..], "-ERR XX and NX options at the same time"),
            (&["GT", "LT", "1", "a"], "-ERR GT, LT, and/or NX options at the same time"),
            (&["NX", "GT", "1", "a"], "-ERR GT, LT, and/or NX options at the same time"),
            (&["INCR", "1", "a", "2", "b"], "-ERR INCR option supports a single"),
            (&["1", "a", "2"], "-ERR syntax error"),
            (&["NX", "CH"], "-ERR syntax error"),
            (&["1", "a", "x", "b"], "-ERR value is not a valid float"),
            (&["nan", "a"], "-ERR value is not a valid float"),
        ] {
            let command = [&["ZADD", "z"], options].concat();
            let reply = run(unit, &command);
            assert!(reply.starts_with(error), "{command:?}: {reply}");
        }
        assert_eq!(run(unit, &["ZINCRBY", "z", "NX", "a"]), "-ERR syntax error");
        assert_eq!(run(unit, &["ZINCRBY", "z", "x", "a"]), "-ERR value is not a valid float");
        assert_eq!(run(unit, &["EXISTS", "z"]), ":0");
        assert!(run(unit, &["ZADD", "s", "1", "a"]).starts_with("-WRONGTYPE"));
    }
}
