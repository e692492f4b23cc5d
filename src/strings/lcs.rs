//! LCS: the longest common subsequence of two strings.
//!
//! Textbook dynamic programming, with Redis's choice between equally long answers: walking back
//! from the ends, a step goes up only where the upper neighbour is strictly longer. One bit for
//! each pair of bytes remembers that, so the table takes a 32nd of Redis's; lengths alone need one
//! row.

use crate::command::args::Args;
use crate::command::number::integer;
use crate::command::row::{keys_at, named_key, word};
use crate::command::spec::key_flag::{ACCESS, RO};
use crate::command::spec::{Arg, ArgKind, Call, Command, Failure, Group, Spec, flag};
use crate::limits::STRING_BYTES_MAX;

use super::value::string_of;

/// The rows of this file.
pub const COMMANDS: &[Command] = &[Command {
    spec: Spec {
        name: "lcs",
        arity: -3,
        flags: flag::READONLY,
        keys: &[keys_at(1, 1, 1, RO | ACCESS)],
        group: Group::String,
        since: "7.0.0",
        complexity: "O(N*M), N and M being the lengths of the strings.",
        summary: "Finds the longest common subsequence of two strings.",
        args: &[
            named_key("key1", 0),
            named_key("key2", 0),
            word("len", "LEN").optional(),
            word("idx", "IDX").optional(),
            Arg::new("min-match-len", ArgKind::Integer).behind("MINMATCHLEN").optional(),
            word("withmatchlen", "WITHMATCHLEN").optional(),
        ],
        ..Spec::EMPTY
    },
    run: lcs,
}];

/// Bytes that Redis's table takes for a pair of bytes; the same pairs of strings are refused.
const REDIS_CELL_BYTES: u64 = 4;

#[derive(Clone, Copy, Default)]
struct Options {
    len: bool,
    index: bool,
    with_match_len: bool,
    match_len_min: u64,
}

fn parse_options(args: &Args<'_>) -> Result<Options, Failure> {
    let mut options = Options::default();
    let mut at = 3;
    while at < args.len() {
        if args.is(at, "IDX") {
            options.index = true;
        } else if args.is(at, "LEN") {
            options.len = true;
        } else if args.is(at, "WITHMATCHLEN") {
            options.with_match_len = true;
        } else if args.is(at, "MINMATCHLEN") && at + 1 < args.len() {
            at += 1;
            options.match_len_min = u64::try_from(integer(args.get(at))?).unwrap_or(0);
        } else {
            return Err(Failure::Syntax);
        }
        at += 1;
    }
    if options.len && options.index {
        return Err(Failure::text(
            "ERR If you want both the length and indexes, please just use IDX.",
        ));
    }
    Ok(options)
}

fn lcs(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let len_a = source_len(call, 1)?;
    let len_b = source_len(call, 2)?;
    let options = parse_options(call.args)?;
    // Both are at most 2^29, so this cannot overflow.
    if (len_a + 1) * (len_b + 1) * REDIS_CELL_BYTES > STRING_BYTES_MAX {
        return Err(Failure::text(
            "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
        ));
    }
    let (a, b) = (source(call, 1)?, source(call, 2)?);
    if options.len {
        let len = fill(&a, &b, |_, _| {});
        call.reply.integer(i64::from(len));
        return Ok(());
    }
    let matches = matches_of(&a, &b);
    if options.index {
        reply_matches(call, &matches, options);
    } else {
        let parts = matches.iter().rev();
        let common: Vec<u8> =
            parts.flat_map(|found| &a[found.a..found.a + found.len]).copied().collect();
        call.reply.bulk(&common);
    }
    Ok(())
}

fn source_len(call: &mut Call<'_, '_, '_>, index: usize) -> Result<u64, Failure> {
    let key = call.unit.key(call.db, call.args.get(index));
    match call.unit.probe(&key) {
        Some(view) => match string_of(&view) {
            Ok(value) => Ok(value.len()),
            Err(_) => Err(Failure::text("ERR The specified keys must contain string values")),
        },
        None => Ok(0),
    }
}

fn source(call: &mut Call<'_, '_, '_>, index: usize) -> Result<Vec<u8>, Failure> {
    let key = call.unit.key(call.db, call.args.get(index));
    match call.unit.get(&key) {
        Some(view) => Ok(string_of(&view)?.to_vec()),
        None => Ok(Vec::new()),
    }
}

/// A run of bytes that both strings have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Match {
    /// Start in the first string.
    a: usize,
    /// Start in the second string.
    b: usize,
    len: usize,
}

fn reply_matches(call: &mut Call<'_, '_, '_>, matches: &[Match], options: Options) {
    let is_long = |found: &&Match| found.len as u64 >= options.match_len_min;
    let reply = &mut *call.reply;
    reply.map(2);
    reply.bulk(b"matches");
    reply.array(matches.iter().filter(is_long).count());
    for found in matches.iter().filter(is_long) {
        reply.array(2 + usize::from(options.with_match_len));
        for start in [found.a, found.b] {
            reply.array(2);
            reply.integer(start as i64);
            reply.integer((start + found.len - 1) as i64);
        }
        if options.with_match_len {
            reply.integer(found.len as i64);
        }
    }
    reply.bulk(b"len");
    reply.integer(matches.iter().map(|found| found.len as i64).sum());
}

/// Fills the table row by row, calls `up(i, j)` for each pair of differing bytes where the walk
/// back leaves byte `i` of `a`, and returns the length.
fn fill(a: &[u8], b: &[u8], mut up: impl FnMut(usize, usize)) -> u32 {
    let mut row = vec![0u32; b.len() + 1];
    for (i, byte) in a.iter().enumerate() {
        let mut diagonal = 0;
        for (j, other) in b.iter().enumerate() {
            let (above, left) = (row[j + 1], row[j]);
            row[j + 1] = if byte == other {
                diagonal + 1
            } else {
                if above > left {
                    up(i, j);
                }
                above.max(left)
            };
            diagonal = above;
        }
    }
    row[b.len()]
}

/// The runs of the common subsequence, last one first.
fn matches_of(a: &[u8], b: &[u8]) -> Vec<Match> {
    let mut ups = vec![0u64; (a.len() * b.len()).div_ceil(64)];
    let place = |i: usize, j: usize| i * b.len() + j;
    fill(a, b, |i, j| {
        let at = place(i, j);
        ups[at / 64] |= 1 << (at % 64);
    });
    let mut matches: Vec<Match> = Vec::new();
    let (mut i, mut j) = (a.len(), b.len());
    let mut extends = false;
    while i > 0 && j > 0 {
        let at = place(i - 1, j - 1);
        let is_match = a[i - 1] == b[j - 1];
        if is_match {
            (i, j) = (i - 1, j - 1);
            match matches.last_mut() {
                Some(last) if extends => (last.a, last.b, last.len) = (i, j, last.len + 1),
                _ => matches.push(Match { a: i, b: j, len: 1 }),
            }
        } else if ups[at / 64] >> (at % 64) & 1 == 1 {
            i -= 1;
        } else {
            j -= 1;
        }
        extends = is_match;
    }
    matches
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::testing::{run, unit};
    use proptest::prelude::*;

    #[test]
    fn answers_come_as_string_length_or_indexes() {
        let unit = &mut unit();
        run(unit, &["MSET", "a", "ohmytext", "b", "mynewtext"]);
        for (options, want) in [
            (&[][..], "$6 mytext"),
            (&["WITHMATCHLEN"], "$6 mytext"),
            (&["len"], ":6"),
            (&["IDX"], "*4 $7 matches *2 *2 *2 :4 :7 *2 :5 :8 *2 *2 :2 :3 *2 :0 :1 $3 len :6"),
            (
                &["IDX", "MINMATCHLEN", "4", "WITHMATCHLEN"],
                "*4 $7 matches *1 *3 *2 :4 :7 *2 :5 :8 :4 $3 len :6",
            ),
            (&["IDX", "MINMATCHLEN", "9"], "*4 $7 matches *0 $3 len :6"),
            (&["LEN", "IDX"], "-ERR If you want both the length and indexes, please just use IDX."),
            (&["MINMATCHLEN"], "-ERR syntax error"),
            (&["FOO"], "-ERR syntax error"),
            (&["MINMATCHLEN", "x"], "-ERR value is not an integer or out of range"),
        ] {
            assert_eq!(run(unit, &[&["LCS", "a", "b"], options].concat()), want, "{options:?}");
        }
        assert_eq!(run(unit, &["LCS", "a", "none"]), "$0");
        assert_eq!(run(unit, &["LCS", "none", "b", "LEN"]), ":0");
    }

    #[test]
    fn pairs_beyond_the_transient_memory_of_redis_are_refused() {
        let unit = &mut unit();
        let (a, b) = ("a".repeat(1 << 14), "b".repeat(1 << 13));
        run(unit, &["MSET", "a", &a, "b", &b]);
        let error = "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len";
        assert_eq!(run(unit, &["LCS", "a", "b", "LEN"]), error);
    }

    /// Redis's own table, cell by cell, and its walk back.
    fn model(a: &[u8], b: &[u8]) -> (usize, Vec<(usize, usize)>) {
        let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
        for i in 1..=a.len() {
            for j in 1..=b.len() {
                table[i][j] = match a[i - 1] == b[j - 1] {
                    true => table[i - 1][j - 1] + 1,
                    false => table[i - 1][j].max(table[i][j - 1]),
                };
            }
        }
        let (mut i, mut j, mut pairs) = (a.len(), b.len(), vec![]);
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                (i, j) = (i - 1, j - 1);
                pairs.push((i, j));
            } else if table[i - 1][j] > table[i][j - 1] {
                i -= 1;
            } else {
                j -= 1;
            }
        }
        (table[a.len()][b.len()], pairs)
    }

    proptest! {
        #[test]
        fn runs_equal_the_walk_through_a_full_table(a in "[a-c]{0,40}", b in "[a-c]{0,40}") {
            let (len, pairs) = model(a.as_bytes(), b.as_bytes());
            let matches = matches_of(a.as_bytes(), b.as_bytes());
            let found: Vec<(usize, usize)> = matches
                .iter()
                .flat_map(|m| (0..m.len).rev().map(|at| (m.a + at, m.b + at)))
                .collect();
            prop_assert_eq!(found, pairs);
            prop_assert_eq!(fill(a.as_bytes(), b.as_bytes(), |_, _| {}) as usize, len);
            for pair in matches.windows(2) {
                let (last, earlier) = (pair[0], pair[1]);
                let touches_a = earlier.a + earlier.len == last.a;
                let touches_b = earlier.b + earlier.len == last.b;
                prop_assert!(!(touches_a && touches_b));
            }
        }
    }
}
