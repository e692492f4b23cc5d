//! BITOP: whole strings combined bit by bit.

use crate::command::row::{keys_at, named_key, one_of, word};
use crate::command::spec::key_flag::{ACCESS, OW, RO, UPDATE};
use crate::command::spec::{Call, Command, Failure, Group, Spec, flag};
use crate::engine::unit::Key;
use crate::format::record::DeleteReason;

use super::value::{put_raw, string_of};

/// The rows of this file.
pub const COMMANDS: &[Command] = &[Command {
    spec: Spec {
        name: "bitop",
        arity: -4,
        flags: flag::WRITE | flag::DENYOOM | flag::COPIES,
        keys: &[keys_at(2, 0, 1, OW | UPDATE), keys_at(3, -1, 1, RO | ACCESS)],
        group: Group::Bitmap,
        since: "2.6.0",
        complexity: "O(N)",
        summary: "Combines strings bit by bit and stores the outcome.",
        args: &[
            one_of(
                "operation",
                &[
                    word("and", "AND"),
                    word("or", "OR"),
                    word("xor", "XOR"),
                    word("not", "NOT"),
                    word("diff", "DIFF").since("8.2.0"),
                    word("diff1", "DIFF1").since("8.2.0"),
                    word("andor", "ANDOR").since("8.2.0"),
                    word("one", "ONE").since("8.2.0"),
                ],
            ),
            named_key("destkey", 0),
            named_key("key", 1).multiple(),
        ],
        history: &[("8.2.0", "The operations `DIFF`, `DIFF1`, `ANDOR` and `ONE`.")],
        ..Spec::EMPTY
    },
    run: bitop,
}];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Operation {
    And,
    Or,
    Xor,
    Not,
    /// In the first and in none of the others.
    Diff,
    /// In any of the others and not in the first.
    Diff1,
    /// In the first and in any of the others.
    AndOr,
    /// In exactly one.
    One,
}

impl Operation {
    const ALL: [(&str, Operation); 8] = [
        ("AND", Operation::And),
        ("OR", Operation::Or),
        ("XOR", Operation::Xor),
        ("NOT", Operation::Not),
        ("DIFF", Operation::Diff),
        ("DIFF1", Operation::Diff1),
        ("ANDOR", Operation::AndOr),
        ("ONE", Operation::One),
    ];

    /// Whether the first source is weighed against the others, all taken together.
    fn sets_first_apart(self) -> bool {
        matches!(self, Operation::Diff | Operation::Diff1 | Operation::AndOr)
    }
}

fn bitop(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let mut operations = Operation::ALL.into_iter();
    let found = operations.find(|(word, _)| call.args.is(1, word));
    let (word, operation) = found.ok_or(Failure::Syntax)?;
    if operation == Operation::Not && call.args.len() != 4 {
        return Err(Failure::text("ERR BITOP NOT must be called with a single source key."));
    }
    if operation.sets_first_apart() && call.args.len() < 5 {
        let text = format!("ERR BITOP {word} must be called with at least two source keys.");
        return Err(Failure::Text(text.into()));
    }
    let result = combine_sources(call, operation)?;
    let target = call.unit.key(call.db, call.args.get(2));
    call.reply.integer(result.len() as i64);
    if result.is_empty() {
        call.unit.delete(&target, DeleteReason::Command);
    } else {
        put_raw(call.unit, &target, result);
    }
    Ok(())
}

/// The outcome, as long as the longest source; shorter ones, and missing ones, go on with zeros.
fn combine_sources(call: &mut Call<'_, '_, '_>, operation: Operation) -> Result<Vec<u8>, Failure> {
    let mut longest = 0;
    for bytes in call.args.iter_from(3) {
        let key = call.unit.key(call.db, bytes);
        longest = longest.max(length_of(call, &key)?);
    }
    let mut result = vec![0; longest as usize];
    if operation.sets_first_apart() {
        for index in 4..call.args.len() {
            add_source(call, index, Operation::Or, &mut result, &mut [])?;
        }
        add_source(call, 3, operation, &mut result, &mut [])?;
        return Ok(result);
    }
    let mut repeated = vec![0; if operation == Operation::One { result.len() } else { 0 }];
    // The first source is copied over the zeros.
    add_source(call, 3, Operation::Or, &mut result, &mut [])?;
    for index in 4..call.args.len() {
        add_source(call, index, operation, &mut result, &mut repeated)?;
    }
    match operation {
        Operation::Not => result.iter_mut().for_each(|byte| *byte = !*byte),
        Operation::One => combine(Operation::Diff1, &mut result, &repeated),
        _ => {}
    }
    Ok(result)
}

/// Combines what there is so far with the source that argument `index` names. ONE keeps bits that
/// were set before in `repeated`.
fn add_source(
    call: &mut Call<'_, '_, '_>,
    index: usize,
    operation: Operation,
    result: &mut [u8],
    repeated: &mut [u8],
) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(index));
    let mut done = 0;
    if let Some(view) = call.unit.get(&key) {
        let value = string_of(&view)?;
        for piece in value.pieces(0, value.len()) {
            let range = done..done + piece.len();
            let target = &mut result[range.clone()];
            if operation == Operation::One {
                let seen = repeated[range].iter_mut().zip(target.iter().zip(piece));
                seen.for_each(|(repeated, (target, source))| *repeated |= target & source);
            }
            combine(operation, target, piece);
            done += piece.len();
        }
    }
    // Zeros behind the end of the source.
    if matches!(operation, Operation::And | Operation::Diff | Operation::AndOr) {
        result[done..].fill(0);
    }
    Ok(())
}

fn length_of(call: &mut Call<'_, '_, '_>, key: &Key<'_>) -> Result<u64, Failure> {
    match call.unit.probe(key) {
        Some(view) => Ok(string_of(&view)?.len()),
        None => Ok(0),
    }
}

/// Combines equally long runs of bytes. Each loop is one operation on two slices, which the
/// compiler turns into vector instructions.
fn combine(operation: Operation, target: &mut [u8], source: &[u8]) {
    let pairs = target.iter_mut().zip(source);
    match operation {
        Operation::And => pairs.for_each(|(target, source)| *target &= source),
        Operation::Or | Operation::One => pairs.for_each(|(target, source)| *target |= source),
        Operation::Xor => pairs.for_each(|(target, source)| *target ^= source),
        Operation::Not => pairs.for_each(|(target, source)| *target = !source),
        Operation::Diff => pairs.for_each(|(target, source)| *target = source & !*target),
        Operation::Diff1 => pairs.for_each(|(target, source)| *target &= !source),
        Operation::AndOr => pairs.for_each(|(target, source)| *target &= source),
    }
}

#[cfg(test)]
mod tests {
    use super::Operation;
    use crate::command::testing::{deadline, run, run_bytes, unit};
    use proptest::prelude::*;

    #[test]
    fn bad_requests_leave_the_target_alone() {
        let unit = &mut unit();
        run(unit, &["SET", "d", "old"]);
        let error = "-ERR BITOP NOT must be called with a single source key.";
        assert_eq!(run(unit, &["BITOP", "NOT", "d", "a", "b"]), error);
        assert_eq!(run(unit, &["BITOP", "NOR", "d", "a"]), "-ERR syntax error");
        for word in ["DIFF", "DIFF1", "ANDOR"] {
            let error = format!("-ERR BITOP {word} must be called with at least two source keys.");
            assert_eq!(run(unit, &["BITOP", &word.to_lowercase(), "d", "a"]), error);
        }
        assert_eq!(run(unit, &["GET", "d"]), "$3 old");
    }

    #[test]
    fn an_empty_outcome_deletes_and_another_replaces_deadline_and_all() {
        let unit = &mut unit();
        run(unit, &["SET", "d", "old", "EX", "100"]);
        run(unit, &["SET", "a", "abc"]);
        assert_eq!(run(unit, &["BITOP", "or", "d", "a"]), ":3");
        assert_eq!(run(unit, &["GET", "d"]), "$3 abc");
        assert_eq!(deadline(unit, "d"), None);
        assert_eq!(run(unit, &["BITOP", "XOR", "a", "a", "d"]), ":3");
        assert_eq!(run(unit, &["GET", "a"]), "$3 \0\0\0");
        assert_eq!(run(unit, &["BITOP", "AND", "d", "none", "nothing"]), ":0");
        assert_eq!(run(unit, &["GET", "d"]), "$-1");
    }

    proptest! {
        #[test]
        fn outcomes_equal_a_byte_by_byte_model(
            sources in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..4),
            which in 0usize..8,
        ) {
            let (word, operation) = Operation::ALL[which];
            prop_assume!(!operation.sets_first_apart() || sources.len() > 1);
            let sources = if word == "NOT" { &sources[..1] } else { &sources[..] };
            let unit = &mut unit();
            let mut command: Vec<Vec<u8>> = vec![b"BITOP".into(), word.into(), b"d".into()];
            for (number, source) in sources.iter().enumerate() {
                let name = number.to_string().into_bytes();
                if !source.is_empty() {
                    run(unit, &[b"SET", &name[..], source]);
                }
                command.push(name);
            }
            let len = sources.iter().map(Vec::len).max().unwrap_or(0);
            let at = |source: &Vec<u8>, index: usize| source.get(index).copied().unwrap_or(0);
            let model: Vec<u8> = (0..len)
                .map(|index| {
                    let mut bytes = sources.iter().map(|source| at(source, index));
                    let bit = |byte: u8, bit: u8| byte >> bit & 1;
                    match word {
                        "DIFF" | "DIFF1" | "ANDOR" => {
                            let first = bytes.next().unwrap();
                            let others = bytes.fold(0, |a, b| a | b);
                            match word {
                                "DIFF" => first & !others,
                                "DIFF1" => others & !first,
                                _ => first & others,
                            }
                        }
                        "ONE" => (0..8u8)
                            .filter(|n| bytes.clone().map(|byte| bit(byte, *n)).sum::<u8>() == 1)
                            .fold(0, |byte, n| byte | 1 << n),
                        "AND" => bytes.reduce(|a, b| a & b).unwrap(),
                        "OR" => bytes.reduce(|a, b| a | b).unwrap(),
                        "XOR" => bytes.reduce(|a, b| a ^ b).unwrap(),
                        _ => !at(&sources[0], index),
                    }
                })
                .collect();
            prop_assert_eq!(run(unit, &command), format!(":{len}"));
            let mut want = format!("${len}\r\n").into_bytes();
            want.extend_from_slice(&model);
            want.extend_from_slice(b"\r\n");
            if len > 0 {
                prop_assert_eq!(run_bytes(unit, &["GET", "d"]), want);
            }
        }
    }
}
