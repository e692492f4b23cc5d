//! The keys of a transaction, found before it runs: what must be fetched, and how much it copies.

use std::collections::HashMap;

use smallvec::SmallVec;

use crate::command::args::Args;
use crate::command::spec::{Copies, flag};
use crate::engine::Standing;
use crate::engine::unit::Key;
use crate::resp::parse::parse_integer;

use super::dispatch::Dispatcher;
use super::table::{Row, Runner};

/// Which database each number means while the queued commands run, in the numbers of before.
struct Numbers {
    selected: u32,
    /// Empty until a SWAPDB is queued.
    swapped: Vec<u32>,
}

impl Numbers {
    fn before(&self, db: u32) -> u32 {
        self.swapped.get(db as usize).copied().unwrap_or(db)
    }

    /// Follows a queued session command or SWAPDB.
    fn follow(&mut self, row: &Row, args: &Args<'_>, databases: u32) {
        let number = |index: usize| {
            let number = parse_integer(args.get(index)).and_then(|db| u32::try_from(db).ok());
            number.filter(|&db| db < databases)
        };
        match row.spec.name {
            "select" => self.selected = number(1).unwrap_or(self.selected),
            "swapdb" => {
                if let (Some(first), Some(second)) = (number(1), number(2)) {
                    if self.swapped.is_empty() {
                        self.swapped = (0..databases).collect();
                    }
                    self.swapped.swap(first as usize, second as usize);
                }
            }
            _ => {}
        }
    }
}

/// One queued command that writes.
struct Step {
    row: &'static Row,
    /// Index of the command among the queued.
    index: usize,
    /// Where its keys are among all.
    keys: std::ops::Range<usize>,
    frame_bytes: u64,
}

/// What a transaction touches.
#[derive(Default)]
pub struct ExecKeys<'k> {
    /// The keys of all commands, in the numbers of the databases before any of them has run.
    pub keys: SmallVec<[Key<'k>; 8]>,
    /// A bound of the frame without values that are copied.
    pub frame_bytes: u64,
    steps: Vec<Step>,
}

impl<'k> ExecKeys<'k> {
    /// Adds what the queued commands touch that a client in database `db` runs.
    pub fn collect(
        &mut self,
        dispatcher: &Dispatcher<'_>,
        queued: impl Iterator<Item = (&'static Row, Args<'k>, usize)>,
        db: u32,
    ) {
        let databases = dispatcher.settings.databases;
        let mut numbers = Numbers { selected: db, swapped: Vec::new() };
        for (index, (row, args, bytes)) in queued.enumerate() {
            let first = self.keys.len();
            dispatcher.collect_keys(row, &args, numbers.selected, &mut self.keys);
            for key in &mut self.keys[first..] {
                key.db = numbers.before(key.db);
            }
            let frame_bytes = dispatcher.frame_bytes(row, &args, bytes);
            self.frame_bytes += frame_bytes;
            if row.has(flag::WRITE) {
                self.steps.push(Step { row, index, keys: first..self.keys.len(), frame_bytes });
            }
            if matches!(row.runner, Runner::Session(_)) || row.has(flag::ALL_KEYS) {
                numbers.follow(row, &args, databases);
            }
        }
    }

    /// Whether some command copies values.
    pub fn copies(&self) -> bool {
        self.steps.iter().any(|step| step.row.has(flag::COPIES))
    }

    /// A bound of the values that are copied, when each key has the value that `stands`
    /// tells: the length of every value is followed from command to command.
    pub fn copied_bytes<'a>(
        &self,
        args: impl Fn(usize) -> Args<'a>,
        stands: Standing<'_, '_>,
    ) -> u64 {
        let mut lengths: HashMap<(u32, &[u8]), u64> = HashMap::new();
        let mut copied: u64 = 0;
        for step in &self.steps {
            let keys = &self.keys[step.keys.clone()];
            let (mut longest, mut sum) = (0, 0u64);
            for (number, key) in keys.iter().enumerate() {
                let len = lengths.entry((key.db, key.bytes)).or_insert_with(|| {
                    let value = stands(key);
                    value.map_or(0, |value| value.bytes())
                });
                if !step.row.has(flag::COPIES) {
                    let args = args(step.index);
                    *len = step.row.spec.value_bytes_after(&args, *len, step.frame_bytes);
                }
                longest = longest.max(*len);
                sum = sum.saturating_add(if number == 0 { 0 } else { *len });
            }
            if step.row.has(flag::COPIES) {
                let (bytes, written) = match step.row.spec.copies {
                    Copies::Longest => (longest, keys),
                    Copies::Sum => (sum, &keys[..keys.len().min(1)]),
                    // What it removes is no longer than the value that it leaves shorter.
                    Copies::Chosen(_) => (longest, &keys[..0]),
                };
                copied = copied.saturating_add(bytes);
                for key in written {
                    lengths.insert((key.db, key.bytes), bytes);
                }
            }
        }
        copied
    }
}
