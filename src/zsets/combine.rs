//! Commands on several sorted sets and sets: ZUNION, ZINTER, ZDIFF, their STORE forms, ZINTERCARD.

use crate::command::args::Args;
use crate::command::double;
use crate::command::number::{integer, parse_integer};
use crate::command::row::{counted_keys, key_arg, keys_at, named_key, one_of, word};
use crate::command::spec::key_flag::{ACCESS, OW, RO, UPDATE};
use crate::command::spec::{Arg, ArgKind, Call, Command, Copies, Failure, Group, Spec, flag};
use crate::command::zset::NewZset;

use super::merge::{Aggregate, Operation, Source, merged, shared_count};
use super::reply::reply_scored;

const NUMKEYS: Arg = Arg::new("numkeys", ArgKind::Integer);
const DESTINATION: Arg = named_key("destination", 0);
const WEIGHTS: Arg = Arg::new("weight", ArgKind::Integer).behind("WEIGHTS").optional().multiple();
const AGGREGATE: Arg = one_of(
    "aggregate",
    &[word("sum", "SUM"), word("min", "MIN"), word("max", "MAX"), word("count", "COUNT")],
)
.behind("AGGREGATE")
.optional();
const WITHSCORES: Arg = word("withscores", "WITHSCORES").optional();
const AGGREGATES: &[(&str, &str)] = &[("8.8.0", "The aggregate `COUNT`.")];

/// Commands that tell the outcome.
const ROW: Spec = Spec {
    arity: -3,
    flags: flag::READONLY | flag::MOVABLE_KEYS,
    keys: &[counted_keys(1, RO | ACCESS)],
    group: Group::SortedSet,
    since: "6.2.0",
    complexity: "O(N + M log M) for N members in all and M in the outcome.",
    args: &[NUMKEYS, key_arg().multiple(), WEIGHTS, AGGREGATE, WITHSCORES],
    ..Spec::EMPTY
};

/// Commands that keep the outcome.
const ROW_OF_STORE: Spec = Spec {
    arity: -4,
    flags: flag::WRITE | flag::DENYOOM | flag::COPIES | flag::MOVABLE_KEYS,
    keys: &[keys_at(1, 0, 1, OW | UPDATE), counted_keys(2, RO | ACCESS)],
    since: "2.0.0",
    args: &[DESTINATION, NUMKEYS, named_key("key", 1).multiple(), WEIGHTS, AGGREGATE],
    copies: Copies::Sources,
    ..ROW
};

const COMPLEXITY_OF_INTER: &str =
    "O(N K + M log M) for K keys, N members in the smallest and M in the outcome.";
const COMPLEXITY_OF_DIFF: &str =
    "O(L + (N - K) log N) at worst for L members in all, N in the first and K in the outcome.";

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "zunion",
            summary: "Tells the members that any of several sorted sets has.",
            history: AGGREGATES,
            ..ROW
        },
        run: zunion,
    },
    Command {
        spec: Spec {
            name: "zinter",
            complexity: COMPLEXITY_OF_INTER,
            summary: "Tells the members that all of several sorted sets have.",
            history: AGGREGATES,
            ..ROW
        },
        run: zinter,
    },
    Command {
        spec: Spec {
            name: "zdiff",
            complexity: COMPLEXITY_OF_DIFF,
            summary: "Tells the members of the first sorted set that no other has.",
            args: &[NUMKEYS, key_arg().multiple(), WITHSCORES],
            ..ROW
        },
        run: zdiff,
    },
    Command {
        spec: Spec {
            name: "zintercard",
            since: "7.0.0",
            complexity: "O(N K) for K keys and N members in the smallest.",
            summary: "Counts the members that all of several sorted sets have.",
            args: &[
                NUMKEYS,
                key_arg().multiple(),
                Arg::new("limit", ArgKind::Integer).behind("LIMIT").optional(),
            ],
            ..ROW
        },
        run: zintercard,
    },
    Command {
        spec: Spec {
            name: "zunionstore",
            summary: "Keeps the members that any of several sorted sets has.",
            history: AGGREGATES,
            ..ROW_OF_STORE
        },
        run: zunionstore,
    },
    Command {
        spec: Spec {
            name: "zinterstore",
            complexity: COMPLEXITY_OF_INTER,
            summary: "Keeps the members that all of several sorted sets have.",
            history: AGGREGATES,
            ..ROW_OF_STORE
        },
        run: zinterstore,
    },
    Command {
        spec: Spec {
            name: "zdiffstore",
            since: "6.2.0",
            complexity: COMPLEXITY_OF_DIFF,
            summary: "Keeps the members of the first sorted set that no other has.",
            args: &[DESTINATION, NUMKEYS, named_key("key", 1).multiple()],
            ..ROW_OF_STORE
        },
        run: zdiffstore,
    },
];

/// What is done with the outcome.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Purpose {
    Tell,
    Keep,
    Count,
}

fn zunion(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    combine(call, "zunion", Operation::Union, Purpose::Tell)
}

fn zinter(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    combine(call, "zinter", Operation::Inter, Purpose::Tell)
}

fn zdiff(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    combine(call, "zdiff", Operation::Diff, Purpose::Tell)
}

fn zintercard(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    combine(call, "zintercard", Operation::Inter, Purpose::Count)
}

fn zunionstore(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    combine(call, "zunionstore", Operation::Union, Purpose::Keep)
}

fn zinterstore(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    combine(call, "zinterstore", Operation::Inter, Purpose::Keep)
}

fn zdiffstore(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    combine(call, "zdiffstore", Operation::Diff, Purpose::Keep)
}

/// How many keys there are, told by argument `at`.
fn key_count(args: &Args<'_>, at: usize, name: &str) -> Result<usize, Failure> {
    let count = integer(args.get(at))?;
    if count < 1 {
        let text = format!("ERR at least 1 input key is needed for '{name}' command");
        return Err(Failure::Text(text.into()));
    }
    let count = usize::try_from(count).map_err(|_| Failure::Syntax)?;
    if count > args.len() - at - 1 {
        return Err(Failure::Syntax);
    }
    Ok(count)
}

/// The options behind the keys.
struct Options {
    weights: Vec<f64>,
    aggregate: Aggregate,
    with_scores: bool,
    limit: u64,
}

impl Options {
    fn parse(
        args: &Args<'_>,
        mut index: usize,
        key_count: usize,
        operation: Operation,
        purpose: Purpose,
    ) -> Result<Options, Failure> {
        let mut options = Options {
            weights: vec![1.0; key_count],
            aggregate: Aggregate::Sum,
            with_scores: false,
            limit: 0,
        };
        let weighs = operation != Operation::Diff && purpose != Purpose::Count;
        while index < args.len() {
            let rest = args.len() - index;
            if weighs && rest > key_count && args.is(index, "WEIGHTS") {
                let wrong = Failure::text("ERR weight value is not a float");
                for (number, weight) in options.weights.iter_mut().enumerate() {
                    let read = double::parse(args.get(index + 1 + number));
                    *weight = read.ok_or(wrong.clone())?;
                }
                index += 1 + key_count;
            } else if weighs && rest >= 2 && args.is(index, "AGGREGATE") {
                options.aggregate = match () {
                    () if args.is(index + 1, "SUM") => Aggregate::Sum,
                    () if args.is(index + 1, "MIN") => Aggregate::Min,
                    () if args.is(index + 1, "MAX") => Aggregate::Max,
                    () if args.is(index + 1, "COUNT") => Aggregate::Count,
                    () => return Err(Failure::Syntax),
                };
                index += 2;
            } else if purpose == Purpose::Tell && args.is(index, "WITHSCORES") {
                options.with_scores = true;
                index += 1;
            } else if purpose == Purpose::Count && rest >= 2 && args.is(index, "LIMIT") {
                let limit = parse_integer(args.get(index + 1));
                let limit = limit.and_then(|limit| u64::try_from(limit).ok());
                options.limit = limit.ok_or(Failure::text("ERR LIMIT can't be negative"))?;
                index += 2;
            } else {
                return Err(Failure::Syntax);
            }
        }
        Ok(options)
    }
}

fn combine(
    call: &mut Call<'_, '_, '_>,
    name: &str,
    operation: Operation,
    purpose: Purpose,
) -> Result<(), Failure> {
    let args = call.args;
    let count_at = if purpose == Purpose::Keep { 2 } else { 1 };
    let count = key_count(args, count_at, name)?;
    let first = count_at + 1;
    let names = || (first..first + count).map(|index| args.get(index));
    for name in names() {
        let key = call.unit.key(call.db, name);
        Source::of(call.unit.get(&key).as_ref())?;
    }
    let options = Options::parse(args, first + count, count, operation, purpose)?;
    let sources = names().zip(&options.weights).map(|(name, weight)| {
        let key = call.unit.key(call.db, name);
        Ok((Source::of(call.unit.seen(&key).as_ref())?, *weight))
    });
    let sources = sources.collect::<Result<Vec<_>, Failure>>()?;
    if purpose == Purpose::Count {
        call.reply.integer(shared_count(sources, options.limit) as i64);
        return Ok(());
    }
    let found = merged(operation, sources, options.aggregate);
    if purpose == Purpose::Tell {
        reply_scored(call.reply, found.len(), found.into_iter(), options.with_scores);
        return Ok(());
    }
    let stored = NewZset::whole(call.encodings, &found);
    let target = call.unit.key(call.db, args.get(1));
    let len = stored.put(call.unit, &target);
    call.reply.integer(len as i64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::collection::NewItems;
    use crate::command::testing::{run, unit};
    use crate::types::ValueKind;
    use crate::value::item::Item;

    #[test]
    fn outcomes_carry_weighed_and_joined_scores() {
        let unit = &mut unit();
        run(unit, &["ZADD", "a", "1", "x", "2", "y"]);
        run(unit, &["ZADD", "b", "10", "y", "20", "z"]);
        for (command, reply) in [
            ("ZUNION 2 a b WITHSCORES", "*6 $1 x $1 1 $1 y $2 12 $1 z $2 20"),
            ("ZUNION 2 a b WEIGHTS 2 -1 WITHSCORES", "*6 $1 z $3 -20 $1 y $2 -6 $1 x $1 2"),
            ("ZINTER 2 a b AGGREGATE MIN WITHSCORES", "*2 $1 y $1 2"),
            ("ZINTER 2 a b WITHSCORES AGGREGATE max", "*2 $1 y $2 10"),
            ("ZUNION 2 a b AGGREGATE count WITHSCORES", "*6 $1 x $1 1 $1 z $1 1 $1 y $1 2"),
            (
                "ZUNION 2 a b WEIGHTS 3 -1.5 AGGREGATE COUNT WITHSCORES",
                "*6 $1 z $4 -1.5 $1 y $3 1.5 $1 x $1 3",
            ),
            ("ZINTER 2 a b AGGREGATE COUNT WEIGHTS inf -inf WITHSCORES", "*2 $1 y $1 0"),
            ("ZDIFF 2 a b WITHSCORES", "*2 $1 x $1 1"),
            ("ZDIFF 2 a a", "*0"),
            ("ZUNION 2 a a WITHSCORES", "*4 $1 x $1 2 $1 y $1 4"),
            ("ZINTERCARD 2 a b", ":1"),
            ("ZINTERCARD 2 a a LIMIT 1", ":1"),
            ("ZINTERCARD 2 a none", ":0"),
            ("ZINTER 2 a none", "*0"),
        ] {
            assert_eq!(run(unit, &command.split(' ').collect::<Vec<_>>()), reply, "{command}");
        }
    }

    #[test]
    fn members_of_a_set_have_the_score_one() {
        let unit = &mut unit();
        run(unit, &["ZADD", "a", "5", "x", "2", "y"]);
        let mut members = NewItems::default();
        members.push(Item::new(b"x", b""));
        members.push(Item::new(b"z", b""));
        let key = unit.key(0, b"s");
        unit.put_edit(&key, ValueKind::Set.shape(1), members.edit());
        let reply = run(unit, &["ZUNION", "2", "a", "s", "WEIGHTS", "1", "3", "WITHSCORES"]);
        assert_eq!(reply, "*6 $1 y $1 2 $1 z $1 3 $1 x $1 8");
        assert_eq!(run(unit, &["ZINTER", "2", "s", "a", "WITHSCORES"]), "*2 $1 x $1 6");
        assert_eq!(run(unit, &["ZDIFF", "2", "s", "a", "WITHSCORES"]), "*2 $1 z $1 1");
        assert!(run(unit, &["ZRANGE", "s", "0", "-1"]).starts_with("-WRONGTYPE"));
    }

    #[test]
    fn what_is_no_number_counts_as_zero() {
        let unit = &mut unit();
        run(unit, &["ZADD", "a", "inf", "x", "0", "y"]);
        run(unit, &["ZADD", "b", "-inf", "x"]);
        let reply = run(unit, &["ZUNION", "2", "a", "b", "WITHSCORES"]);
        assert_eq!(reply, "*4 $1 x $1 0 $1 y $1 0");
        let reply = run(unit, &["ZUNION", "1", "a", "WEIGHTS", "0", "WITHSCORES"]);
        assert_eq!(reply, "*4 $1 x $1 0 $1 y $1 0");
    }

    #[test]
    fn an_outcome_is_kept_or_deletes_the_destination() {
        let unit = &mut unit();
        run(unit, &["ZADD", "a", "1", "x", "2", "y"]);
        run(unit, &["SET", "d", "old", "EX", "100"]);
        assert_eq!(run(unit, &["ZUNIONSTORE", "d", "2", "a", "none", "WEIGHTS", "3", "1"]), ":2");
        let reply = run(unit, &["ZRANGE", "d", "0", "-1", "WITHSCORES"]);
        assert_eq!(reply, "*4 $1 x $1 3 $1 y $1 6");
        assert_eq!(run(unit, &["TTL", "d"]), ":-1");
        assert_eq!(run(unit, &["ZINTERSTORE", "d", "2", "d", "a"]), ":2");
        assert_eq!(run(unit, &["ZSCORE", "d", "y"]), "$1 8");
        assert_eq!(run(unit, &["ZDIFFSTORE", "d", "2", "d", "a"]), ":0");
        assert_eq!(run(unit, &["EXISTS", "d"]), ":0");
    }

    #[test]
    fn keys_are_looked_at_before_options() {
        let unit = &mut unit();
        run(unit, &["SET", "s", "x"]);
        for (command, error) in [
            ("ZUNION 0 a", "-ERR at least 1 input key is needed for 'zunion' command"),
            ("ZDIFFSTORE d 0 a", "-ERR at least 1 input key is needed for 'zdiffstore' command"),
            ("ZUNION x a", "-ERR value is not an integer or out of range"),
            ("ZUNION 2 a", "-ERR syntax error"),
            ("ZUNION 9223372036854775807 a", "-ERR syntax error"),
            ("ZUNION 1 s NOPE", "-WRONGTYPE"),
            ("ZUNION 1 a NOPE", "-ERR syntax error"),
            ("ZUNION 2 a b WEIGHTS 1", "-ERR syntax error"),
            ("ZUNION 1 a WEIGHTS x", "-ERR weight value is not a float"),
            ("ZUNION 1 a AGGREGATE AVG", "-ERR syntax error"),
            ("ZUNION 1 a AGGREGATE", "-ERR syntax error"),
            ("ZDIFF 1 a AGGREGATE COUNT", "-ERR syntax error"),
            ("ZDIFF 1 a WEIGHTS 1", "-ERR syntax error"),
            ("ZUNIONSTORE d 1 a WITHSCORES", "-ERR syntax error"),
            ("ZINTERCARD 1 a LIMIT -1", "-ERR LIMIT can't be negative"),
            ("ZINTERCARD 1 a WITHSCORES", "-ERR syntax error"),
        ] {
            let reply = run(unit, &command.split(' ').collect::<Vec<_>>());
            assert!(reply.starts_with(error), "{command}: {reply}");
        }
    }
}
