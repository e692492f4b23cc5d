//! How long commands take. A run of quick commands of one kind shares two looks at the clock, so
//! that measuring costs a pipeline next to nothing.

use std::time::Instant;

use crate::command::args::Args;
use crate::command::spec::flag;
use crate::config::settings::Settings;
use crate::session::latency::{COMMAND, FAST_COMMAND, Sample};
use crate::session::services::Services;
use crate::session::slowlog::{SlowEntry, shortened};
use crate::session::state::Session;
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

/// Notes a command that took this long, if that is slow.
#[inline]
pub fn note_slow(
    services: &Services,
    settings: &Settings,
    session: &Session,
    row: &Row,
    args: &Args<'_>,
    micros: u64,
) {
    let millis = micros / 1000;
    if settings.latency_ms > 0 && millis >= settings.latency_ms {
        let event = if row.has(flag::FAST) { FAST_COMMAND } else { COMMAND };
        let time_s = services.engine.now_ms() / 1000;
        services.latency.record(event, Sample { time_s, millis });
    }
    let limit = settings.slow_micros;
    // AUTH and HELLO carry passwords.
    let is_hidden = row.spec.flags & (flag::SKIP_SLOWLOG | flag::NO_AUTH) != 0;
    if limit < 0 || micros < limit as u64 || is_hidden {
        return;
    }
    let entry = SlowEntry {
        id: 0,
        time_s: std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs()),
        micros,
        args: shortened(args),
        client: session.client.endpoint.peer.clone(),
        client_name: session.client.names().name,
    };
    services.slowlog.push(entry, settings.slowlog_len_max);
}
