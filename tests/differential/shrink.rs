//! Cuts a failing session down to the operations that are needed, and says how to replay it.

use std::fmt::Write;

use crate::compare::NORMALISATIONS;
use crate::generate::Op;
use crate::run::{Mismatch, Pair};

/// Sessions that shrinking may run.
const RUNS_MAX: usize = 600;

/// Operations that a report shows, from the end.
const SHOWN_MAX: usize = 60;

/// Removes runs of operations, halving their length, as long as something still differs.
pub fn shrink(pair: &mut Pair, mut ops: Vec<Op>, mut found: Mismatch) -> (Vec<Op>, Mismatch) {
    ops.truncate(found.at + 1);
    let mut runs = 0;
    let mut width = ops.len().div_ceil(2);
    while width > 0 && runs < RUNS_MAX {
        let mut end = ops.len();
        while end > 0 && runs < RUNS_MAX {
            let start = end.saturating_sub(width);
            let mut fewer = ops.clone();
            fewer.drain(start..end);
            runs += 1;
            if let Some(mismatch) = pair.session(&fewer).filter(|other| alike(&found, other)) {
                fewer.truncate(mismatch.at + 1);
                end = start.min(fewer.len());
                ops = fewer;
                found = mismatch;
            } else {
                end = start;
            }
        }
        width = if width == 1 { 0 } else { width.div_ceil(2) };
    }
    (ops, found)
}

/// Whether two mismatches are of the same kind: about the same command, with as many words.
fn alike(a: &Mismatch, b: &Mismatch) -> bool {
    let kind = |mismatch: &Mismatch| {
        let words = mismatch.what.split(' ').skip(1);
        words.take_while(|word| word.bytes().all(|b| b.is_ascii_uppercase())).count()
    };
    let name = |mismatch: &Mismatch| mismatch.what.split(' ').nth(1).map(str::to_uppercase);
    name(a) == name(b)
        && kind(a) == kind(b)
        && a.left.split(' ').count() == b.left.split(' ').count()
}

/// The text of a failure.
pub fn report(seed: u64, ops: &[Op], mismatch: &Mismatch, printed: &str) -> String {
    let mut text = format!("the servers differ\n\n{mismatch}\n\nafter these operations:\n");
    let from = ops.len().saturating_sub(SHOWN_MAX);
    for op in &ops[from..] {
        let _ = writeln!(text, "  {op}");
    }
    let names: Vec<&str> = NORMALISATIONS.iter().map(|rule| rule.name).collect();
    let _ = writeln!(text, "\nnot compared literally: {}", names.join(", "));
    let named = |word: &str| mismatch.what.split(' ').any(|w| w.eq_ignore_ascii_case(word));
    for rule in NORMALISATIONS.iter().filter(|rule| named(rule.command[0])) {
        let _ = writeln!(text, "  {}: {}", rule.name, rule.reason);
    }
    let _ = writeln!(text, "replay: FIRN_DIFF_SEED={seed} cargo test --test differential");
    if !printed.is_empty() {
        let _ = writeln!(text, "\nlast lines of the server:\n{printed}");
    }
    text
}
