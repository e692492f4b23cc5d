//! What the server remembers between two looks at itself: rates, peaks, background tasks.
//!
//! The server's housekeeping notes; INFO and its kin read.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::engine::Engine;
use crate::engine::stats::Stats as EngineStats;
use crate::types::Lsn;

use super::latency::{LOG_SYNC, LatencyMonitor, Sample};
use super::stats::Traffic;

/// Looks that a rate is the mean of, as in Redis.
const RATE_SAMPLES: usize = 16;

/// What happens in a second, lately.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Rates {
    /// Commands executed.
    pub commands: f64,
    /// Bytes read from sockets.
    pub input_bytes: f64,
    /// Bytes written to sockets.
    pub output_bytes: f64,
}

/// The last counts of traffic with their times.
#[derive(Default)]
struct RateWindow(VecDeque<(u64, Traffic)>);

impl RateWindow {
    fn add(&mut self, time_us: u64, traffic: Traffic) {
        if self.0.len() == RATE_SAMPLES {
            self.0.pop_front();
        }
        self.0.push_back((time_us, traffic));
    }

    fn rates(&self) -> Rates {
        let (Some((from_us, from)), Some((to_us, to))) = (self.0.front(), self.0.back()) else {
            return Rates::default();
        };
        let seconds = to_us.saturating_sub(*from_us) as f64 / 1e6;
        // Counts run backwards at CONFIG RESETSTAT.
        let rate = |from: u64, to: u64| match to.saturating_sub(from) {
            0 => 0.0,
            amount => amount as f64 / seconds.max(1e-6),
        };
        Rates {
            commands: rate(from.commands, to.commands),
            input_bytes: rate(from.input_bytes, to.input_bytes),
            output_bytes: rate(from.output_bytes, to.output_bytes),
        }
    }
}

/// Work that runs at most once at a time, and how it went (BGSAVE, BGREWRITEAOF).
pub struct Task {
    running: AtomicBool,
    started_ms: AtomicU64,
    last_took_ms: AtomicI64,
    last_failed: AtomicBool,
    runs: AtomicU64,
}

impl Default for Task {
    fn default() -> Task {
        Task {
            running: AtomicBool::new(false),
            started_ms: AtomicU64::new(0),
            last_took_ms: AtomicI64::new(-1),
            last_failed: AtomicBool::new(false),
            runs: AtomicU64::new(0),
        }
    }
}

impl Task {
    /// Starts the task, unless it runs already.
    pub fn start(&self, now_ms: u64) -> bool {
        let free = !self.running.swap(true, AcqRel);
        if free {
            self.started_ms.store(now_ms, Relaxed);
        }
        free
    }

    /// The task that was started has ended.
    pub fn end(&self, now_ms: u64, failed: bool) {
        let took = now_ms.saturating_sub(self.started_ms.load(Relaxed));
        self.last_took_ms.store(took as i64, Relaxed);
        self.last_failed.store(failed, Relaxed);
        if !failed {
            self.runs.fetch_add(1, Relaxed);
        }
        self.running.store(false, Release);
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        self.running.load(Acquire)
    }

    /// Seconds since it was started, -1 when it does not run.
    pub fn current_seconds(&self, now_ms: u64) -> i64 {
        match self.is_running() {
            true => (now_ms.saturating_sub(self.started_ms.load(Relaxed)) / 1000) as i64,
            false => -1,
        }
    }

    /// Seconds since it was last started; many when it never was.
    pub fn seconds_since_start(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.started_ms.load(Relaxed)) / 1000
    }

    /// Seconds that the last run took, -1 before the first.
    pub fn last_seconds(&self) -> i64 {
        self.last_took_ms.load(Relaxed).div_euclid(1000)
    }

    /// Whether the last run failed.
    pub fn last_failed(&self) -> bool {
        self.last_failed.load(Relaxed)
    }

    /// Runs that succeeded.
    pub fn runs(&self) -> u64 {
        self.runs.load(Relaxed)
    }
}

/// The memory of the process at its worst and at its start, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MemoryMarks {
    /// The most that was seen.
    pub peak_bytes: u64,
    /// What the server took before it served anybody.
    pub startup_bytes: u64,
}

/// What is remembered.
pub struct Upkeep {
    /// BGSAVE.
    pub save: Task,
    /// BGREWRITEAOF.
    pub rewrite: Task,
    /// Huge pages that the last look at the memory found or made.
    pub huge_pages: AtomicU64,
    saved_lsn: AtomicU64,
    started: Instant,
    window: Mutex<RateWindow>,
    engine: Mutex<Arc<EngineStats>>,
    memory: Mutex<MemoryMarks>,
}

impl Default for Upkeep {
    fn default() -> Upkeep {
        Upkeep {
            save: Task::default(),
            rewrite: Task::default(),
            huge_pages: AtomicU64::new(0),
            saved_lsn: AtomicU64::new(0),
            started: Instant::now(),
            window: Mutex::default(),
            engine: Mutex::default(),
            memory: Mutex::default(),
        }
    }
}

impl Upkeep {
    /// Notes the counts of traffic. Called ten times a second.
    pub fn note_traffic(&self, traffic: Traffic) {
        let time_us = self.started.elapsed().as_micros() as u64;
        self.window.lock().expect("a panic ends the process").add(time_us, traffic);
    }

    /// Looks at the engine. A sync that took longer than all before, and than the threshold (0 is
    /// none), is a latency event. Called once a second.
    pub fn note_engine(&self, engine: &Engine, latency: (&LatencyMonitor, u64), now_ms: u64) {
        let (monitor, threshold_ms) = latency;
        let before_us = self.last_engine_stats().log.sync_us_max;
        let longest_us = self.engine_stats(engine).log.sync_us_max;
        let millis = longest_us / 1000;
        if threshold_ms > 0 && millis >= threshold_ms && longest_us > before_us {
            let time_s = now_ms / 1000;
            monitor.record(LOG_SYNC, Sample { time_s, millis });
        }
    }

    /// What happens in a second.
    pub fn rates(&self) -> Rates {
        self.window.lock().expect("a panic ends the process").rates()
    }

    /// The engine's counters, fresh. The caller holds no partition.
    pub fn engine_stats(&self, engine: &Engine) -> Arc<EngineStats> {
        let stats = Arc::new(engine.stats());
        let before = std::mem::replace(
            &mut *self.engine.lock().expect("a panic ends the process"),
            stats.clone(),
        );
        if self.saved_lsn.load(Relaxed) == 0 {
            // What recovery has brought back is no change.
            self.note_saved(stats.last_lsn);
        } else if stats.checkpoints > before.checkpoints {
            self.note_saved(before.last_lsn);
        }
        stats
    }

    /// The engine's counters as last seen, for callers that hold partitions.
    pub fn last_engine_stats(&self) -> Arc<EngineStats> {
        self.engine.lock().expect("a panic ends the process").clone()
    }

    /// A checkpoint holds everything up to this LSN.
    pub fn note_saved(&self, lsn: Lsn) {
        self.saved_lsn.fetch_max(lsn, Relaxed);
    }

    /// Frames behind the last checkpoint, as far as it was noted.
    pub fn changes_since_save(&self, last_lsn: Lsn) -> u64 {
        last_lsn.saturating_sub(self.saved_lsn.load(Relaxed))
    }

    /// Notes how much memory is used; the first call tells what the start took.
    pub fn note_memory(&self, used_bytes: u64) -> MemoryMarks {
        let mut marks = self.memory.lock().expect("a panic ends the process");
        if marks.startup_bytes == 0 {
            marks.startup_bytes = used_bytes;
        }
        marks.peak_bytes = marks.peak_bytes.max(used_bytes);
        *marks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic(commands: u64) -> Traffic {
        Traffic { commands, ..Traffic::default() }
    }

    #[test]
    fn rates_are_the_mean_of_the_last_looks() {
        let mut window = RateWindow::default();
        assert_eq!(window.rates(), Rates::default());
        window.add(0, traffic(1_000_000));
        assert_eq!(window.rates().commands, 0.0);
        window.add(100_000, traffic(1_000_050));
        assert_eq!(window.rates().commands, 500.0);
        (2..40).for_each(|n| window.add(n * 100_000, traffic(1_000_050)));
        assert_eq!(window.rates().commands, 0.0);
        window.add(4_000_000, traffic(3));
        assert_eq!(window.rates().commands, 0.0);
    }

    #[test]
    fn a_task_runs_once_at_a_time_and_says_how_it_went() {
        let task = Task::default();
        assert_eq!((task.last_seconds(), task.current_seconds(0)), (-1, -1));
        assert!(task.start(1000));
        assert!(!task.start(2000));
        assert_eq!(task.current_seconds(3500), 2);
        task.end(4000, true);
        assert!(!task.is_running() && task.last_failed());
        assert_eq!((task.last_seconds(), task.runs()), (3, 0));
        assert!(task.start(5000));
        task.end(5500, false);
        assert!(!task.last_failed());
        assert_eq!((task.last_seconds(), task.runs()), (0, 1));
    }

    #[test]
    fn the_peak_of_memory_stays() {
        let upkeep = Upkeep::default();
        for bytes in [100, 900, 500] {
            upkeep.note_memory(bytes);
        }
        let expected = MemoryMarks { peak_bytes: 900, startup_bytes: 100 };
        assert_eq!(upkeep.note_memory(1), expected);
    }
}
