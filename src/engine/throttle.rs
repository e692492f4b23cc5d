//! Writers keep to the memory budget. What no part holds yet cannot leave memory, so a writer that
//! is faster than checkpoints waits for them, and is refused when they fail. What frees space
//! always passes.
//!
//! The sum over all partitions is too dear for each write. A measurement gives an allowance of
//! bytes; who uses up the last of it measures again.

use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use crate::error::{Error, Result};

use super::background::{CHECKPOINT, Haste, UNLOAD};
use super::budget::{DIRTY_BYTES_MIN, DIRTY_SHARE};
use super::core::Core;
use super::stats::add;

/// Part of the memory budget that may be in no part before writers wait. A checkpoint starts at
/// half of it, so that it may be done before.
const PINNED_SHARE: u64 = DIRTY_SHARE / 2;
/// Part of the memory budget that may be written before memory is measured again.
const ALLOWANCE_SHARE: u64 = 16;
/// While writers wait, memory is measured this often at most, in microseconds.
const MEASURE_PERIOD_US: u64 = 500;
/// How long one wait for a checkpoint is at most; deletes make room too.
const RELIEF_WAIT: Duration = Duration::from_millis(5);
/// More than a frame can have, so that sums of them stay in range, in bytes.
const UNIT_BYTES_MAX: u64 = 1 << 40;

/// What is known of the memory that writers take.
#[derive(Default)]
pub struct Throttle {
    /// Bytes that may be written before memory is measured again.
    allowance: AtomicI64,
    measured: Mutex<Measured>,
    /// Memory is no longer over, as far as is known.
    relief: Condvar,
    /// What the checkpoint under way has captured: no longer dirty, and in no installed part.
    captured_bytes: AtomicU64,
    /// Whether the last checkpoint failed: nobody waits for the next.
    checkpoint_failed: AtomicBool,
}

#[derive(Default)]
struct Measured {
    at_us: u64,
    is_over: bool,
}

impl Throttle {
    /// A checkpoint has taken entries of so many bytes.
    pub fn captured(&self, bytes: u64) {
        self.captured_bytes.fetch_add(bytes, Relaxed);
    }

    /// Bytes that a checkpoint under way has taken.
    pub fn captured_bytes(&self) -> u64 {
        self.captured_bytes.load(Relaxed)
    }

    /// Whether writers wait.
    pub fn is_over(&self) -> bool {
        self.measured().is_over
    }

    /// A checkpoint has ended, and what it took is clean, or dirty again.
    pub fn checkpoint_ended(&self, failed: bool) {
        self.captured_bytes.store(0, Relaxed);
        self.checkpoint_failed.store(failed, Relaxed);
        self.relieve();
    }

    /// The next write measures.
    pub fn budget_changed(&self) {
        self.allowance.store(0, Relaxed);
        self.relieve();
    }

    fn relieve(&self) {
        self.measured().is_over = false;
        self.relief.notify_all();
    }

    fn wait(&self, timeout: Duration) {
        let waited = self.relief.wait_timeout_while(self.measured(), timeout, |m| m.is_over);
        drop(waited);
    }

    fn measured(&self) -> MutexGuard<'_, Measured> {
        self.measured.lock().unwrap_or_else(|poison| poison.into_inner())
    }
}

/// Whether a unit that adds data may begin.
pub(super) enum Pace {
    Go,
    /// A checkpoint makes room.
    Wait,
    Refused(Error),
}

impl Core {
    /// Whether a unit may begin that adds about so many bytes. The caller holds no lock.
    #[inline]
    pub(super) fn pace(&self, bytes: u64) -> Pace {
        if self.memory_bytes.load(Relaxed) == 0 {
            return Pace::Go;
        }
        let bytes = bytes.min(UNIT_BYTES_MAX) as i64;
        match self.throttle.allowance.fetch_sub(bytes, Relaxed) > 0 {
            true => Pace::Go,
            false => self.pace_by_measure(),
        }
    }

    #[cold]
    fn pace_by_measure(&self) -> Pace {
        match self.has_room() {
            Ok(true) => return Pace::Go,
            Ok(false) if self.closing.load(Acquire) || self.snapshots.is_poisoned() => {
                return Pace::Refused(Core::closed());
            }
            Ok(false) => {}
            Err(error) => return Pace::Refused(error),
        }
        if self.throttle.checkpoint_failed.load(Relaxed) && self.options.background {
            add(&self.stats.refused_writes);
            return Pace::Refused(Error::LimitExceeded { what: "maxmemory" });
        }
        add(&self.stats.delayed_writes);
        if self.options.background {
            return Pace::Wait;
        }
        // There is nobody to wait for.
        let made = self.checkpoint(Haste::Awaited).and_then(|()| self.shrink_to_budget());
        match made.and_then(|()| self.has_room()) {
            Ok(true) => Pace::Go,
            Ok(false) | Err(_) => {
                add(&self.stats.refused_writes);
                Pace::Refused(Error::LimitExceeded { what: "maxmemory" })
            }
        }
    }

    /// Bytes came back into memory. Readers never wait, but something else may have to leave soon.
    pub(super) fn note_loaded(&self, bytes: u64) {
        if self.memory_bytes.load(Relaxed) > 0
            && self.throttle.allowance.fetch_sub(bytes as i64, Relaxed) <= 0
        {
            // Whoever is told that there is no room has called for it.
            let _ = self.has_room();
        }
    }

    /// Measures memory, calls for what is needed to keep the budget, and grants the next allowance;
    /// false when writers must wait.
    fn has_room(&self) -> Result<bool> {
        let mut measured = self.throttle.measured();
        if self.throttle.allowance.load(Relaxed) > 0 {
            // Somebody else has measured meanwhile.
            return Ok(true);
        }
        let now_us = self.clock.monotonic_us();
        if measured.is_over && now_us < measured.at_us.saturating_add(MEASURE_PERIOD_US) {
            return Ok(false);
        }
        let budget = self.memory_bytes.load(Relaxed);
        let held = self.held()?;
        if held.memory_bytes > budget {
            self.news.raise(UNLOAD);
        }
        if held.dirty_bytes >= dirty_bytes_max(budget) {
            self.news.raise(CHECKPOINT);
        }
        let pinned = held.dirty_bytes + self.throttle.captured_bytes();
        let room = pinned_bytes_max(budget).saturating_sub(pinned);
        let allowance = room.min((budget / ALLOWANCE_SHARE).max(DIRTY_BYTES_MIN / 4));
        *measured = Measured { at_us: now_us, is_over: room == 0 };
        self.throttle.allowance.store(allowance as i64, Relaxed);
        Ok(room > 0)
    }

    /// Waits a little for what a unit could not begin without: room in the log, or in memory.
    pub(super) fn wait_for_room(&self, timeout: Duration) {
        let budget = self.memory_bytes.load(Relaxed);
        if budget > 0 && self.throttle.allowance.load(Relaxed) <= 0 {
            self.throttle.wait(timeout.min(RELIEF_WAIT));
        } else {
            self.log.wait_for_room(timeout);
        }
    }
}

/// Dirty bytes at which a checkpoint starts.
pub(super) fn dirty_bytes_max(budget: u64) -> u64 {
    (budget / DIRTY_SHARE).max(DIRTY_BYTES_MIN)
}

/// Bytes in no part at which writers wait. Above [`dirty_bytes_max`]: while they wait, a checkpoint
/// is due or under way.
fn pinned_bytes_max(budget: u64) -> u64 {
    (budget / PINNED_SHARE).max(2 * DIRTY_BYTES_MIN)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering::Relaxed;

    use crate::engine::Engine;
    use crate::error::{Error, Result};
    use crate::io::clock::{SimClock, SystemClock};
    use crate::io::fault::{Failure, Fault, Operation};
    use crate::io::sim::SimStorage;
    use crate::io::{Clock, Storage};
    use crate::options::Options;
    use crate::types::Durability;

    const BUDGET: u64 = 8 << 20;
    const VALUE_BYTES: usize = 10_000;

    fn open(storage: &Arc<SimStorage>, background: bool) -> Engine {
        let mut options = Options::new("");
        options.background = background;
        options.partitions = 4;
        options.seed = Some(1);
        options.memory_bytes = BUDGET;
        options.durability = Durability::No;
        options.checkpoint_log_bytes = 1 << 40;
        let storage: Arc<dyn Storage> = storage.clone();
        let clock: Arc<dyn Clock> = match background {
            true => Arc::new(SystemClock::new()),
            false => Arc::new(SimClock::new(1_700_000_000_000)),
        };
        Engine::open_on(storage, clock, options).unwrap()
    }

    fn value(number: usize) -> Vec<u8> {
        (0..VALUE_BYTES).map(|at| (at * 7 + number) as u8).collect()
    }

    fn set(engine: &Engine, number: usize) -> Result<()> {
        engine.set(0, format!("key:{number}").as_bytes(), &value(number))
    }

    fn assert_all_there(engine: &Engine, count: usize) {
        for number in 0..count {
            let found = engine.get(0, format!("key:{number}").as_bytes()).unwrap();
            assert!(found == Some(value(number)), "key {number}");
        }
    }

    fn is_refused(result: &Result<()>) -> bool {
        matches!(result, Err(Error::LimitExceeded { what: "maxmemory" }))
    }

    /// Bytes that no installed part holds.
    fn pinned_bytes(engine: &Engine) -> u64 {
        let stats = engine.stats();
        stats.dirty_bytes + stats.captured_bytes
    }

    #[test]
    fn without_threads_a_writer_makes_room_itself() {
        let engine = open(&Arc::new(SimStorage::new(1)), false);
        for number in 0..3000 {
            set(&engine, number).unwrap();
            let (pinned, held) = (pinned_bytes(&engine), engine.stats().memory_bytes);
            assert!(pinned <= BUDGET / 2 + (64 << 10), "{pinned} bytes are pinned");
            assert!(held <= BUDGET + BUDGET / 2 + (64 << 10), "{held} bytes are held");
        }
        assert!(engine.stats().checkpoints >= 5);
        assert_all_there(&engine, 3000);
    }

    #[test]
    fn without_a_budget_nobody_waits() {
        let engine = open(&Arc::new(SimStorage::new(1)), false);
        engine.set_memory_bytes(0);
        (0..3000).for_each(|number| set(&engine, number).unwrap());
        let stats = engine.stats();
        assert_eq!((stats.checkpoints, stats.delayed_writes), (0, 0));
        assert!(stats.dirty_bytes > 3 * BUDGET);
    }

    #[test]
    fn writers_wait_for_checkpoints_and_not_for_ever() {
        let engine = Arc::new(open(&Arc::new(SimStorage::new(1)), true));
        let next = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let writers: Vec<_> = (0..4)
            .map(|_| {
                let (engine, next) = (engine.clone(), next.clone());
                std::thread::spawn(move || {
                    loop {
                        let number = next.fetch_add(1, Relaxed);
                        if number >= 6000 {
                            return;
                        }
                        set(&engine, number).unwrap();
                    }
                })
            })
            .collect();
        let mut most = 0;
        while writers.iter().any(|writer| !writer.is_finished()) {
            // Its two terms are not of one moment: what a checkpoint takes meanwhile counts twice.
            most = most.max(pinned_bytes(&engine).min(pinned_bytes(&engine)));
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        assert!(engine.stats().delayed_writes > 0, "nobody ever had to wait");
        // What is counted is what was asked for, and each writer may be under way with one more.
        assert!(most <= BUDGET / 2 + BUDGET / 8, "{most} bytes were pinned");
        assert_all_there(&engine, 6000);
        engine.close().unwrap();
    }

    #[test]
    fn checkpoints_that_fail_lead_to_refusals_and_deletes_still_pass() {
        for background in [false, true] {
            let storage = Arc::new(SimStorage::new(1));
            let engine = open(&storage, background);
            let fault = Fault::from_nth(Operation::Create, 0, Failure::Io).on_path("part");
            storage.inject(fault);
            let written = (0..3000).take_while(|&number| {
                let result = set(&engine, number);
                assert!(result.is_ok() || is_refused(&result), "{result:?}");
                result.is_ok()
            });
            let written = written.count();
            assert!(written < 1000, "{written} writes passed with {BUDGET} bytes of budget");
            assert!(engine.stats().refused_writes > 0);
            assert_all_there(&engine, written);
            assert!(engine.delete(0, b"key:0").unwrap());
            storage.clear_faults();
            engine.checkpoint().unwrap();
            (0..3000).for_each(|number| set(&engine, number).unwrap());
            assert_all_there(&engine, 3000);
        }
    }

    #[test]
    fn a_writer_that_waits_is_released_when_the_engine_closes() {
        let engine = Arc::new(open(&Arc::new(SimStorage::new(1)), true));
        let writer = engine.clone();
        let writer = std::thread::spawn(move || (0..).find_map(|n| set(&writer, n).err()));
        std::thread::sleep(std::time::Duration::from_millis(50));
        engine.close_without_checkpoint().unwrap();
        assert!(writer.join().unwrap().is_some());
    }
}
