//! Commands on several sets: SINTER, SUNION, SDIFF, their STORE and their CARD forms.

use smallvec::SmallVec;

use crate::command::args::Args;
use crate::command::collection::NewItems;
use crate::command::number::parse_integer;
use crate::command::row::{counted_keys, first_key, key_arg, keys_at, named_key, word};
use crate::command::spec::key_flag::{ACCESS, OW, RO, UPDATE};
use crate::command::spec::{Arg, ArgKind, Call, Command, Copies, Failure, Group, Spec, flag};
use crate::engine::unit::Key;
use crate::format::record::DeleteReason;
use crate::types::ValueKind;
use crate::value::item::Item;

use super::combine::{Operation, combine, difference_count, shared_count, union_count};
use super::value::{SetRef, read_sets};

/// Commands that tell the result.
const ROW: Spec = Spec {
    arity: -2,
    flags: flag::READONLY,
    keys: &[keys_at(1, -1, 1, RO | ACCESS)],
    group: Group::Set,
    complexity: "O(N) for N members in all sets.",
    args: &[key_arg().multiple()],
    tips: &["nondeterministic_output_order"],
    ..Spec::EMPTY
};

/// Commands that store it.
const ROW_OF_STORE: Spec = Spec {
    arity: -3,
    flags: flag::WRITE | flag::DENYOOM | flag::COPIES,
    keys: &[first_key(OW | UPDATE), keys_at(2, -1, 1, RO | ACCESS)],
    args: &[named_key("destination", 0), named_key("key", 1).multiple()],
    tips: &[],
    ..ROW
};

/// Commands that count its members.
const ROW_OF_CARD: Spec = Spec {
    arity: -3,
    flags: flag::READONLY | flag::MOVABLE_KEYS,
    keys: &[counted_keys(1, RO | ACCESS)],
    since: "8.10.0",
    args: &[NUMBER_OF_KEYS, key_arg().multiple(), LIMIT],
    tips: &[],
    ..ROW
};

const NUMBER_OF_KEYS: Arg = Arg::new("numkeys", ArgKind::Integer);
const LIMIT: Arg = Arg::new("limit", ArgKind::Integer).behind("LIMIT").optional();
const INTERSECTION_COST: &str = "O(N*M) for N members of the smallest of M sets.";

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "sinter",
            complexity: INTERSECTION_COST,
            summary: "Tells the members that several sets share.",
            ..ROW
        },
        run: |call| tell(call, Operation::Intersection),
    },
    Command {
        spec: Spec {
            name: "sintercard",
            since: "7.0.0",
            complexity: INTERSECTION_COST,
            summary: "Counts the members that several sets share.",
            ..ROW_OF_CARD
        },
        run: |call| card(call, Operation::Intersection),
    },
    Command {
        spec: Spec {
            name: "sinterstore",
            complexity: INTERSECTION_COST,
            summary: "Stores the members that several sets share.",
            ..ROW_OF_STORE
        },
        run: |call| store(call, Operation::Intersection),
    },
    Command {
        spec: Spec { name: "sunion", summary: "Tells the members of any of several sets.", ..ROW },
        run: |call| tell(call, Operation::Union),
    },
    Command {
        spec: Spec {
            name: "sunionstore",
            summary: "Stores the members of any of several sets.",
            copies: Copies::Sources,
            ..ROW_OF_STORE
        },
        run: |call| store(call, Operation::Union),
    },
    Command {
        spec: Spec {
            name: "sdiff",
            summary: "Tells the members of a set that are in no other.",
            ..ROW
        },
        run: |call| tell(call, Operation::Difference),
    },
    Command {
        spec: Spec {
            name: "sdiffstore",
            summary: "Stores the members of a set that are in no other.",
            ..ROW_OF_STORE
        },
        run: |call| store(call, Operation::Difference),
    },
    Command {
        spec: Spec {
            name: "sunioncard",
            summary: "Counts the members of any of several sets.",
            args: &[
                NUMBER_OF_KEYS,
                key_arg().multiple(),
                word("approx", "APPROX").optional(),
                LIMIT,
            ],
            ..ROW_OF_CARD
        },
        run: |call| card(call, Operation::Union),
    },
    Command {
        spec: Spec {
            name: "sdiffcard",
            summary: "Counts the members of a set that are in no other.",
            ..ROW_OF_CARD
        },
        run: |call| card(call, Operation::Difference),
    },
];

/// The keys of a call from one argument up to another.
fn keys_of<'c>(call: &Call<'c, '_, '_>, range: std::ops::Range<usize>) -> SmallVec<[Key<'c>; 8]> {
    range.map(|index| call.unit.key(call.db, call.args.get(index))).collect()
}

fn tell(call: &mut Call<'_, '_, '_>, operation: Operation) -> Result<(), Failure> {
    let keys = keys_of(call, 1..call.args.len());
    let sets = read_sets(call.unit, &keys)?;
    let combined = combine(operation, &sets, call.encodings);
    call.reply.set(combined.members.len());
    combined.members.iter().for_each(|member| call.reply.bulk(member));
    Ok(())
}

fn store(call: &mut Call<'_, '_, '_>, operation: Operation) -> Result<(), Failure> {
    let keys = keys_of(call, 2..call.args.len());
    let sets = read_sets(call.unit, &keys)?;
    let combined = combine(operation, &sets, call.encodings);
    let mut items = NewItems::default();
    combined.members.iter().for_each(|member| items.push(Item::new(member, b"")));
    let (count, shape) = (combined.members.len(), ValueKind::Set.shape(combined.encoding));
    let target = call.unit.key(call.db, call.args.get(1));
    if count > 0 {
        call.unit.put_edit(&target, shape, items.edit());
    } else {
        call.unit.delete(&target, DeleteReason::Command);
    }
    call.reply.integer(count as i64);
    Ok(())
}

fn card(call: &mut Call<'_, '_, '_>, operation: Operation) -> Result<(), Failure> {
    let args = call.args;
    let count = parse_integer(args.get(1)).and_then(|count| usize::try_from(count).ok());
    let count = count.filter(|count| *count > 0);
    let count = count.ok_or(Failure::text("ERR numkeys should be greater than 0"))?;
    if count > args.len() - 2 {
        return Err(Failure::text("ERR Number of keys can't be greater than number of args"));
    }
    let limit = parse_limit(args, 2 + count, operation)?;
    let keys = keys_of(call, 2..2 + count);
    let sets = read_sets(call.unit, &keys)?;
    let count = match operation {
        Operation::Intersection => {
            let sets: Option<Vec<SetRef<'_>>> = sets.into_iter().collect();
            sets.map_or(0, |sets| shared_count(sets, limit))
        }
        Operation::Union => union_count(&sets, limit),
        Operation::Difference => difference_count(&sets, limit),
    };
    call.reply.integer(count as i64);
    Ok(())
}

/// The limit that the options from `index` on state, which 0 lifts. A union may be counted
/// approximately (APPROX); the exact count is near enough.
fn parse_limit(args: &Args<'_>, mut index: usize, operation: Operation) -> Result<u64, Failure> {
    let mut limit = 0;
    while index < args.len() {
        if operation == Operation::Union && args.is(index, "APPROX") {
            index += 1;
            continue;
        }
        if !args.is(index, "LIMIT") || index + 1 == args.len() {
            return Err(Failure::Syntax);
        }
        let number = parse_integer(args.get(index + 1)).and_then(|limit| u64::try_from(limit).ok());
        limit = number.ok_or(Failure::text("ERR LIMIT can't be negative"))?;
        index += 2;
    }
    Ok(if limit == 0 { u64::MAX } else { limit })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use crate::command::testing::{deadline, run, run_bytes, unit};
    use crate::engine::unit::Unit;

    fn encoding(unit: &mut Unit<'_>, key: &str) -> String {
        let reply = run(unit, &["OBJECT", "ENCODING", key]);
        reply.split(' ').next_back().unwrap_or_default().to_owned()
    }

    /// SADD of numbers, and of these words.
    fn add(unit: &mut Unit<'_>, key: &str, numbers: std::ops::Range<u32>, words: &[&str]) {
        let mut args = vec!["SADD".to_owned(), key.to_owned()];
        args.extend(words.iter().map(ToString::to_string));
        args.extend(numbers.map(|number| number.to_string()));
        run(unit, &args);
    }

    /// The strings of a reply, sorted.
    fn sorted(unit: &mut Unit<'_>, args: &[&str]) -> Vec<String> {
        let reply = String::from_utf8(run_bytes(unit, args)).unwrap();
        let lines = reply.split("\r\n").skip(1).filter(|line| !line.starts_with('$'));
        let mut found: Vec<String> =
            lines.filter(|line| !line.is_empty()).map(str::to_owned).collect();
        found.sort();
        found
    }

    #[test]
    fn sets_are_combined() {
        let mut unit = unit();
        run(&mut unit, &["SADD", "a", "1", "2", "3", "x"]);
        run(&mut unit, &["SADD", "b", "2", "3", "y"]);
        run(&mut unit, &["SADD", "c", "3", "x"]);
        assert_eq!(sorted(&mut unit, &["SINTER", "a", "b", "c"]), ["3"]);
        assert_eq!(sorted(&mut unit, &["SUNION", "a", "no", "b"]), ["1", "2", "3", "x", "y"]);
        assert_eq!(sorted(&mut unit, &["SDIFF", "a", "no", "c", "b"]), ["1"]);
        assert_eq!(sorted(&mut unit, &["SDIFF", "a", "a"]), [""; 0]);
        assert_eq!(run(&mut unit, &["SINTER", "a", "no"]), "*0");
        assert_eq!(run(&mut unit, &["SDIFF", "no", "a"]), "*0");
        assert_eq!(run(&mut unit, &["SINTERCARD", "2", "a", "b"]), ":2");
        assert_eq!(run(&mut unit, &["SINTERCARD", "2", "a", "b", "LIMIT", "1"]), ":1");
        assert_eq!(run(&mut unit, &["SINTERCARD", "2", "a", "b", "limit", "0"]), ":2");
        assert_eq!(run(&mut unit, &["SINTERCARD", "2", "a", "no"]), ":0");
        let count =
            |unit: &mut Unit<'_>, args: &str| run(unit, &args.split(' ').collect::<Vec<_>>());
        assert_eq!(count(&mut unit, "SUNIONCARD 3 a no b"), ":5");
        assert_eq!(count(&mut unit, "SUNIONCARD 2 a b LIMIT 3"), ":3");
        assert_eq!(count(&mut unit, "SUNIONCARD 2 a b approx LIMIT 0 APPROX"), ":5");
        assert_eq!(count(&mut unit, "SUNIONCARD 1 no"), ":0");
        assert_eq!(count(&mut unit, "SDIFFCARD 3 a no b"), ":2");
        assert_eq!(count(&mut unit, "SDIFFCARD 2 a b LIMIT 1"), ":1");
        assert_eq!(count(&mut unit, "SDIFFCARD 2 a a"), ":0");
        assert_eq!(count(&mut unit, "SDIFFCARD 2 no a"), ":0");
        assert_eq!(count(&mut unit, "SDIFFCARD 1 a"), ":4");
    }

    #[test]
    fn a_result_replaces_what_was_there() {
        let mut unit = unit();
        run(&mut unit, &["SADD", "a", "1", "2"]);
        run(&mut unit, &["SET", "d", "text", "PXAT", "1700000000000"]);
        assert_eq!(run(&mut unit, &["SUNIONSTORE", "d", "a"]), ":2");
        assert_eq!(run(&mut unit, &["SMEMBERS", "d"]), "*2 $1 1 $1 2");
        assert_eq!(deadline(&mut unit, "d"), None);
        assert_eq!(run(&mut unit, &["SDIFFSTORE", "a", "a", "no"]), ":2");
        assert_eq!(run(&mut unit, &["SINTERSTORE", "a", "a", "d"]), ":2");
        assert_eq!(run(&mut unit, &["SINTERSTORE", "d", "a", "no"]), ":0");
        assert_eq!(run(&mut unit, &["EXISTS", "d"]), ":0");
        assert_eq!(run(&mut unit, &["SDIFFSTORE", "a", "a", "a"]), ":0");
        assert_eq!(run(&mut unit, &["DBSIZE"]), ":0");
    }

    #[test]
    fn every_source_is_a_set_or_missing() {
        let mut unit = unit();
        run(&mut unit, &["SET", "t", "a"]);
        run(&mut unit, &["SADD", "a", "1"]);
        for command in ["SINTER", "SUNION", "SDIFF"] {
            assert!(run(&mut unit, &[command, "no", "t"]).starts_with("-WRONGTYPE"));
            let store = format!("{command}STORE");
            assert!(run(&mut unit, &[&store, "a", "no", "t"]).starts_with("-WRONGTYPE"));
        }
        assert!(run(&mut unit, &["SINTERCARD", "2", "no", "t"]).starts_with("-WRONGTYPE"));
        assert_eq!(run(&mut unit, &["SMEMBERS", "a"]), "*1 $1 1");
    }

    #[test]
    fn options_of_counts_are_checked_before_the_keys() {
        let mut unit = unit();
        run(&mut unit, &["SET", "t", "a"]);
        for command in ["SINTERCARD", "SUNIONCARD", "SDIFFCARD"] {
            for count in ["0", "-1", "x", "01"] {
                let reply = run(&mut unit, &[command, count, "t"]);
                assert_eq!(reply, "-ERR numkeys should be greater than 0");
            }
            let reply = run(&mut unit, &[command, "2", "t"]);
            assert_eq!(reply, "-ERR Number of keys can't be greater than number of args");
            for limit in ["-1", "x"] {
                let reply = run(&mut unit, &[command, "1", "t", "LIMIT", limit]);
                assert_eq!(reply, "-ERR LIMIT can't be negative");
            }
            assert_eq!(run(&mut unit, &[command, "1", "t", "LIMIT"]), "-ERR syntax error");
            assert_eq!(run(&mut unit, &[command, "1", "t", "x"]), "-ERR syntax error");
            assert!(run(&mut unit, &[command, "2", "no", "t"]).starts_with("-WRONGTYPE"));
        }
        assert_eq!(run(&mut unit, &["SDIFFCARD", "1", "t", "APPROX"]), "-ERR syntax error");
    }

    /// What a valkey-server 8.1 answers.
    #[test]
    fn stored_results_have_redis_s_encodings() {
        let mut unit = unit();
        add(&mut unit, "i127", 0..127, &[]);
        add(&mut unit, "i128", 0..128, &[]);
        add(&mut unit, "i600", 0..600, &[]);
        add(&mut unit, "i599", 0..599, &[]);
        add(&mut unit, "x", 0..0, &["x"]);
        add(&mut unit, "m101", 0..100, &["x"]);
        add(&mut unit, "m301", 0..300, &["x"]);
        add(&mut unit, "m201", 0..200, &["x"]);
        let cases: [(&[&str], &str); 9] = [
            (&["SUNIONSTORE", "s", "i127", "x"], "listpack"),
            (&["SUNIONSTORE", "s", "i128", "x"], "hashtable"),
            (&["SUNIONSTORE", "s", "x", "i128"], "hashtable"),
            (&["SINTERSTORE", "s", "m301", "i600"], "intset"),
            (&["SINTERSTORE", "s", "m201", "m301"], "hashtable"),
            (&["SINTERSTORE", "s", "m101", "m301"], "listpack"),
            (&["SINTERSTORE", "s", "i600", "i600"], "hashtable"),
            (&["SDIFFSTORE", "s", "i600", "i599"], "intset"),
            (&["SDIFFSTORE", "s", "i600", "x", "i127", "x", "x"], "hashtable"),
        ];
        for (args, expected) in cases {
            run(&mut unit, args);
            assert_eq!(encoding(&mut unit, "s"), expected, "{args:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn results_are_those_of_a_model(
            sets in prop::collection::vec(prop::collection::btree_set(0..400u32, 0..300), 1..6),
        ) {
            let mut unit = unit();
            let mut names = Vec::new();
            for (index, set) in sets.iter().enumerate() {
                names.push(format!("s{index}"));
                let mut args = vec!["SADD".to_owned(), names[index].clone()];
                args.extend(set.iter().map(|number| format!("m{number}")));
                if !set.is_empty() {
                    run(&mut unit, &args);
                }
            }
            let fold = |each: fn(&BTreeSet<u32>, &BTreeSet<u32>) -> BTreeSet<u32>| {
                let (first, others) = sets.split_first().unwrap();
                others.iter().fold(first.clone(), |result, other| each(&result, other))
            };
            let expected = [
                ("SINTER", fold(|a, b| a & b)),
                ("SUNION", fold(|a, b| a | b)),
                ("SDIFF", fold(|a, b| a - b)),
            ];
            for (command, model) in expected {
                let mut model: Vec<String> = model.iter().map(|n| format!("m{n}")).collect();
                model.sort();
                let mut args = vec![command];
                args.extend(names.iter().map(String::as_str));
                prop_assert_eq!(sorted(&mut unit, &args), model.clone());
                let (card, number) = (format!("{command}CARD"), names.len().to_string());
                let mut args = vec![card.as_str(), &number];
                args.extend(names.iter().map(String::as_str));
                prop_assert_eq!(run(&mut unit, &args), format!(":{}", model.len()));
                let store = format!("{command}STORE");
                let mut args = vec![store.as_str(), "d"];
                args.extend(names.iter().map(String::as_str));
                prop_assert_eq!(run(&mut unit, &args), format!(":{}", model.len()));
                prop_assert_eq!(sorted(&mut unit, &["SMEMBERS", "d"]), model);
            }
        }
    }
}
