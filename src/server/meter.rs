//! How long commands take. A run of quick commands of one kind shares two looks at the clock, so
//! that measuring costs a pipeline next to nothing.

use std::time::Instant;

use crate::config::settings::Settings;
use crate::session::stats::WorkerStats;
use crate::session::table::{Row, is_quick};

/// Below this `slowlog-log-slower-than`, each command is measured by itself, in microseconds.
const EXACT_BELOW_MICROS: i64 = 1000;

/// A measurement under way.
pub struct Meter<'m> {
    stats: &'m WorkerStats,
    exact: bool,
    started: Instant,
    row: Option<&'static Row>,
    count: u64,
}

impl<'m> Meter<'m> {
    /// Starts now.
    pub fn start(stats: &'m WorkerStats, settings: &Settings) -> Meter<'m> {
        let exact = (0..EXACT_BELOW_MICROS).contains(&settings.slow_micros);
        Meter { stats, exact, started: Instant::now(), row: None, count: 0 }
    }

    /// A command is about to run.
    #[inline]
    pub fn before(&mut self, row: &'static Row, request_bytes: usize) {
        let Some(last) = self.row else { return };
        if last.id != row.id || self.exact || !is_quick(row, request_bytes) {
            self.close();
        }
    }

    /// A command has run. Returns the microseconds it took when it was measured by itself.
    #[inline]
    pub fn after(&mut self, row: &'static Row, request_bytes: usize) -> Option<u64> {
        self.row = Some(row);
        self.count += 1;
        (self.exact || !is_quick(row, request_bytes)).then(|| self.close())
    }

    /// Ends the run of commands under way; its microseconds.
    pub fn close(&mut self) -> u64 {
        let now = Instant::now();
        let took = now - self.started;
        if let Some(row) = self.row.take() {
            self.stats.ran(row.id, self.count, took.as_nanos() as u64);
        }
        self.count = 0;
        self.started = now;
        took.as_micros() as u64
    }
}
