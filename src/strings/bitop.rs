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
                &[word("and", "AND"), word("or", "OR"), word("xor", "XOR"), word("not", "NOT")],
            ),
            named_key("destkey", 0),
            named_key("key", 1).multiple(),
        ],
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
}

fn bitop(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let operation = [
        ("AND", Operation::And),
        ("OR", Operation::Or),
        ("XOR", Operation::Xor),
        ("NOT", Operation::Not),
    ]
    .into_iter()
    .find(|(word, _)| call.args.is(1, word))
    .map(|(_, operation)| operation)
    .ok_or(Failure::Syntax)?;
    if operation == Operation::Not && call.args.len() != 4 {
        return Err(Failure::text("ERR BITOP NOT must be called with a single source key."));
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
    for (number, bytes) in call.args.iter_from(3).enumerate() {
        let key = call.unit.key(call.db, bytes);
        let mut done = 0;
        if let Some(view) = call.unit.get(&key) {
            let value = string_of(&view)?;
            for piece in value.pieces(0, value.len()) {
                let target = &mut result[done..done + piece.len()];
                // The first source is copied over the zeros.
                let operation = if number == 0 { Operation::Or } else { operation };
                combine(operation, target, piece);
                done += piece.len();
            }
        }
        if operation == Operation::And {
            result[done..].fill(0);
        }
    }
    if operation == Operation::Not {
        result.iter_mut().for_each(|byte| *byte = !*byte);
    }
    Ok(result)
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
        Operation::Or => pairs.for_each(|(target, source)| *target |= source),
        Operation::Xor => pairs.for_each(|(target, source)| *target ^= source),
        Operation::Not => pairs.for_each(|(target, source)| *target = !source),
    }
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{deadline, run, run_bytes, unit};
    use proptest::prelude::*;

    #[test]
    fn bad_requests_leave_the_target_alone() {
        let unit = &mut unit();
        run(unit, &["SET", "d", "old"]);
        let error = "-ERR BITOP NOT must be called with a single source key.";
        assert_eq!(run(unit, &["BITOP", "NOT", "d", "a", "b"]), error);
        assert_eq!(run(unit, &["BITOP", "NOR", "d", "a"]), "-ERR syntax error");
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
            which in 0usize..4,
        ) {
            let word = ["AND", "OR", "XOR", "NOT"][which];
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
                    let bytes = sources.iter().map(|source| at(source, index));
                    match word {
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
