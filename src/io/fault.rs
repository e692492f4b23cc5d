//! What goes wrong in a simulation: injected errors, and what a power cut leaves behind.

use std::io;
use std::path::Path;

use super::random::Random;

/// An operation of [`super::Storage`] or [`super::File`] that can be made to fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// Opening an existing file.
    Open,
    /// Creating a file.
    Create,
    /// Reading or mapping bytes.
    Read,
    /// Writing bytes.
    Write,
    /// Syncing a file, data alone or all.
    Sync,
    /// Reserving space.
    Allocate,
    /// Setting a length.
    SetLen,
    /// Renaming a file.
    Rename,
    /// Removing a name.
    Remove,
    /// Giving a file one more name.
    Link,
    /// Listing a folder.
    List,
    /// Creating a folder.
    CreateFolder,
    /// Syncing a folder.
    SyncFolder,
}

impl Operation {
    /// Whether the operation can change what the disk holds, and so counts as a crash point.
    pub(super) fn is_change(self) -> bool {
        !matches!(self, Operation::Open | Operation::Read | Operation::List)
    }
}

/// How an operation fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// EIO. A write has then written a random part of its bytes; the changes that a sync was to
    /// save are dropped, as a kernel drops the dirty pages.
    Io,
    /// ENOSPC, with the same consequences.
    NoSpace,
    /// A read ends early, after half of what it would have given; other operations succeed.
    ShortRead,
}

impl Failure {
    fn error(self) -> io::Error {
        match self {
            Failure::NoSpace => io::Error::from_raw_os_error(libc::ENOSPC),
            Failure::Io | Failure::ShortRead => io::Error::from_raw_os_error(libc::EIO),
        }
    }
}

/// Which operations fail, and how. Faults are asked in the order in which they were injected;
/// each counts the operations that match it.
///
/// ```
/// use firn::io::fault::{Failure, Fault, Operation};
/// let third_sync_of_the_log = Fault::nth(Operation::Sync, 2, Failure::Io).on_path("log/");
/// # let _ = third_sync_of_the_log;
/// ```
#[derive(Clone, Debug)]
pub struct Fault {
    operation: Operation,
    failure: Failure,
    path_part: String,
    /// Matching operations that still succeed.
    skip_count: u64,
    /// Matching operations that fail after those.
    fail_count: u64,
}

impl Fault {
    /// One failure, of the operation after `skip_count` that succeed.
    pub fn nth(operation: Operation, skip_count: u64, failure: Failure) -> Fault {
        Fault { operation, failure, path_part: String::new(), skip_count, fail_count: 1 }
    }

    /// After `skip_count` operations that succeed, all fail.
    pub fn from_nth(operation: Operation, skip_count: u64, failure: Failure) -> Fault {
        Fault { fail_count: u64::MAX, ..Fault::nth(operation, skip_count, failure) }
    }

    /// Only operations whose path contains `part`. A file keeps the path that it was opened
    /// under; a rename is known by its source.
    pub fn on_path(mut self, part: &str) -> Fault {
        self.path_part = part.to_string();
        self
    }

    fn applies(&self, operation: Operation, path: &Path) -> bool {
        operation == self.operation
            && (self.failure != Failure::ShortRead || operation == Operation::Read)
            && path.to_string_lossy().contains(&self.path_part)
    }

    /// Counts a matching operation; whether it fails.
    fn strikes(&mut self) -> bool {
        if self.skip_count > 0 {
            self.skip_count -= 1;
            return false;
        }
        let fails = self.fail_count > 0;
        // "All from now on" must not run out.
        if fails && self.fail_count != u64::MAX {
            self.fail_count -= 1;
        }
        fails
    }
}

/// What becomes of one operation.
pub(super) enum Verdict {
    Succeeds,
    Fails(io::Error),
    /// A read that ends early.
    Short,
    /// The power goes while it is under way: it takes effect, unsynced, and nobody is told.
    CutShort,
    /// The power is off.
    Off,
}

pub(super) fn power_error() -> io::Error {
    io::Error::other("simulated power cut")
}

pub(super) fn no_space_error() -> io::Error {
    Failure::NoSpace.error()
}

/// The faults of a storage, its operation counter and its power switch.
#[derive(Default)]
pub(super) struct FaultPlan {
    pub(super) faults: Vec<Fault>,
    /// Changing operations so far.
    pub(super) operations: u64,
    pub(super) cut_at: Option<u64>,
    pub(super) off: bool,
}

impl FaultPlan {
    pub(super) fn judge(&mut self, operation: Operation, path: &Path) -> Verdict {
        if self.off {
            return Verdict::Off;
        }
        if operation.is_change() {
            let number = self.operations;
            self.operations += 1;
            if self.cut_at.is_some_and(|cut_at| number >= cut_at) {
                self.off = true;
                return Verdict::CutShort;
            }
        }
        let mut verdict = Verdict::Succeeds;
        for fault in &mut self.faults {
            // Every fault counts every operation that matches it, also one that failed already.
            if fault.applies(operation, path)
                && fault.strikes()
                && matches!(verdict, Verdict::Succeeds)
            {
                verdict = match fault.failure {
                    Failure::ShortRead => Verdict::Short,
                    failure => Verdict::Fails(failure.error()),
                };
            }
        }
        verdict
    }
}

/// Chooses which unsynced changes a power cut lets through. Changes are numbered in the order
/// in which they were made, across all files and folders.
pub(super) enum Survival {
    /// What a disk that writes in order would hold: all changes below a number.
    Before(u64),
    /// Each change by chance, data and names with odds of their own (in quarters), so that names
    /// without data and data without names occur too.
    Scattered { random: Random, data_odds: u64, name_odds: u64 },
}

impl Survival {
    /// Draws a way to crash; `pending` has the lowest number and one past the highest of the
    /// changes at stake.
    pub(super) fn draw(random: &mut Random, pending: std::ops::Range<u64>) -> Survival {
        match random.below(8) {
            0 => Survival::Before(0),
            1 => Survival::Before(u64::MAX),
            2 | 3 => {
                let span = pending.end.saturating_sub(pending.start);
                Survival::Before(pending.start + random.below(span + 1))
            }
            _ => Survival::Scattered {
                data_odds: random.below(5),
                name_odds: random.below(5),
                random: random.split(),
            },
        }
    }

    pub(super) fn keeps_data(&mut self, number: u64) -> bool {
        match self {
            Survival::Before(end) => number < *end,
            Survival::Scattered { random, data_odds, .. } => random.chance(*data_odds, 4),
        }
    }

    pub(super) fn keeps_name(&mut self, number: u64) -> bool {
        match self {
            Survival::Before(end) => number < *end,
            Survival::Scattered { random, name_odds, .. } => random.chance(*name_odds, 4),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(plan: &mut FaultPlan, operation: Operation, path: &str) -> String {
        let letter = |verdict| match verdict {
            Verdict::Succeeds => '.',
            Verdict::Fails(_) => 'x',
            Verdict::Short => 's',
            Verdict::CutShort => 'c',
            Verdict::Off => '-',
        };
        (0..6).map(|_| letter(plan.judge(operation, Path::new(path)))).collect()
    }

    fn plan(fault: Fault) -> FaultPlan {
        FaultPlan { faults: vec![fault], ..FaultPlan::default() }
    }

    #[test]
    fn nth_fails_once() {
        let mut plan = plan(Fault::nth(Operation::Sync, 2, Failure::Io));
        assert_eq!(outcomes(&mut plan, Operation::Write, "a"), "......");
        assert_eq!(outcomes(&mut plan, Operation::Sync, "a"), "..x...");
    }

    #[test]
    fn from_nth_fails_for_good() {
        let mut plan = plan(Fault::from_nth(Operation::Write, 1, Failure::NoSpace));
        assert_eq!(outcomes(&mut plan, Operation::Write, "a"), ".xxxxx");
    }

    #[test]
    fn fault_on_a_path_leaves_the_others() {
        let mut plan = plan(Fault::from_nth(Operation::Write, 0, Failure::Io).on_path("log/"));
        assert_eq!(outcomes(&mut plan, Operation::Write, "parts/1"), "......");
        assert_eq!(outcomes(&mut plan, Operation::Write, "log/1"), "xxxxxx");
    }

    #[test]
    fn short_reads_are_for_reads() {
        let mut plan = plan(Fault::from_nth(Operation::Read, 0, Failure::ShortRead));
        assert_eq!(outcomes(&mut plan, Operation::Read, "a"), "ssssss");
        assert_eq!(outcomes(&mut plan, Operation::Write, "a"), "......");
    }

    #[test]
    fn power_goes_in_the_middle_of_a_change() {
        let mut plan = FaultPlan { cut_at: Some(3), ..FaultPlan::default() };
        assert_eq!(outcomes(&mut plan, Operation::Read, "a"), "......");
        assert_eq!(outcomes(&mut plan, Operation::Write, "a"), "...c--");
        assert_eq!(plan.operations, 4);
    }

    #[test]
    fn ways_to_crash_include_all_none_and_a_prefix() {
        let mut random = Random::new(1);
        let (mut all, mut none, mut prefix, mut mixed) = (0, 0, 0, 0);
        for _ in 0..200 {
            let mut survival = Survival::draw(&mut random, 10..20);
            let kept: Vec<bool> = (10..20).map(|n| survival.keeps_data(n)).collect();
            match kept.iter().filter(|kept| **kept).count() {
                0 => none += 1,
                10 => all += 1,
                _ if kept.is_sorted_by(|a, b| a >= b) => prefix += 1,
                _ => mixed += 1,
            }
        }
        assert!(all.min(none).min(prefix).min(mixed) >= 10);
    }
}
