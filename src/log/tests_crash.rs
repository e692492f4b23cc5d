//! Power cuts at every step, and random histories against a naive model.

use proptest::prelude::*;

use super::tests::*;
use super::writer::Log;
use crate::error::Result;
use crate::io::fault::{Failure, Fault, Operation};
use crate::io::sim::SimStorage;
use crate::types::Lsn;

/// Appends, commits, reopens and releases; returns the highest LSN that was reported durable.
fn work(storage: &SimStorage, acknowledged: &mut Lsn) -> Result<()> {
    let mut lsn = 0;
    for round in 0..2u64 {
        let (frames, log) = reopen(storage)?;
        assert_eq!(frames.len() as u64, lsn);
        for index in 0..6u64 {
            for len in [900, 30, 9_000] {
                lsn += 1;
                append(&log, &payload(lsn, len * (index as usize % 3)));
            }
            let durable = log.commit((index + round) % 2 == 0)?;
            *acknowledged = (*acknowledged).max(durable);
        }
        log.commit(true)?;
        *acknowledged = lsn;
        log.write_witness()?;
    }
    Ok(())
}

fn expected(count: u64) -> Frames {
    let lens = (0..).flat_map(|index: usize| [900, 30, 9_000].map(|len| len * (index % 6 % 3)));
    (1..=count).zip(lens).map(|(lsn, len)| (lsn, payload(lsn, len))).collect()
}

#[test]
fn a_power_cut_at_any_step_keeps_a_prefix_with_everything_acknowledged() {
    let storage = SimStorage::new(1);
    work(&storage, &mut 0).unwrap();
    for crash_point in 0..storage.operations() {
        let storage = SimStorage::new(1);
        storage.power_off_at(crash_point);
        let mut acknowledged = 0;
        work(&storage, &mut acknowledged).unwrap_err();
        for seed in 0..2 {
            let left = storage.crash_clone(crash_point * 2 + seed);
            let (frames, _) = read(&left, acknowledged).unwrap_or_else(|error| {
                panic!("crash at {crash_point}, seed {seed}: {error}");
            });
            assert!(frames.len() as u64 >= acknowledged, "crash at {crash_point}");
            assert_eq!(frames, expected(frames.len() as u64), "crash at {crash_point}");
            // Recovery goes on from there, and what it serves survives the next cut.
            let (again, log) = reopen(&left).unwrap();
            assert_eq!(again, frames);
            append(&log, b"on");
            log.commit(true).unwrap();
            let (after, _) = read(&left.crash_clone(seed), again.len() as Lsn + 1).unwrap();
            assert_eq!(after[..frames.len()], frames);
            assert_eq!(after[frames.len()].1, b"on");
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    Commit(bool),
    Witness,
    Kill,
    Crash(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0usize..3000).prop_map(Step::Append),
        1 => (10_000usize..60_000).prop_map(Step::Append),
        3 => any::<bool>().prop_map(Step::Commit),
        1 => Just(Step::Witness),
        1 => Just(Step::Kill),
        1 => any::<u64>().prop_map(Step::Crash),
    ]
}

struct Model {
    storage: SimStorage,
    log: Log,
    frames: Frames,
    salt: u64,
}

impl Model {
    fn restart(&mut self, storage: SimStorage, at_least: Lsn) {
        let (frames, log) = reopen(&storage).unwrap();
        assert!(frames.len() as Lsn >= at_least);
        assert_eq!(frames, self.frames[..frames.len()]);
        self.frames.truncate(frames.len());
        (self.storage, self.log) = (storage, log);
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Append(len) => {
                self.salt += 1;
                let content = payload(self.salt, len);
                let lsn = append(&self.log, &content);
                assert_eq!(lsn, self.frames.len() as Lsn + 1);
                self.frames.push((lsn, content));
            }
            Step::Commit(sync) => {
                self.log.commit(sync).unwrap();
                assert_eq!(self.log.written_lsn(), self.frames.len() as Lsn);
            }
            Step::Witness => self.log.write_witness().unwrap(),
            Step::Kill => self.restart(self.storage.kill_clone(), self.log.written_lsn()),
            Step::Crash(seed) => {
                self.restart(self.storage.crash_clone(seed), self.log.durable_lsn());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn random_histories_keep_what_they_promised(steps in proptest::collection::vec(step(), 1..60)) {
        let (storage, log) = new_log();
        let mut model = Model { storage, log, frames: Vec::new(), salt: 0 };
        steps.iter().for_each(|step| model.run(step));
        model.run(&Step::Crash(7));
    }
}

#[test]
fn what_was_read_is_synced_before_a_new_epoch_begins() {
    let (storage, log) = new_log();
    append(&log, b"only written");
    log.commit(false).unwrap();
    let storage = storage.kill_clone();
    // Only the old segment, opened under its own name, cannot be synced.
    storage.inject(Fault::nth(Operation::Sync, 0, Failure::Io).on_path("00000001-"));
    assert!(reopen(&storage).is_err());
    storage.clear_faults();
    let (frames, _log) = reopen(&storage).unwrap();
    assert_eq!(frames, vec![(1, b"only written".to_vec())]);
    assert_eq!(read(&storage.crash_clone(1), 1).unwrap().0, frames);
}
