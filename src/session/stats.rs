//! Counters of what the workers do. Each worker writes its own; readers add them up.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::engine::Lookups;

use super::times::{TimeCounters, Times};

/// A counter with one writer: a plain addition, readable from everywhere.
#[derive(Default, Debug)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds; only the thread that owns the counter may call it.
    #[inline]
    pub fn add(&self, amount: u64) {
        let sum = self.0.load(Ordering::Relaxed).wrapping_add(amount);
        self.0.store(sum, Ordering::Relaxed);
    }

    /// The count.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How often and how long a command ran.
#[derive(Default, Debug)]
struct RowCounters {
    calls: Counter,
    nanos: Counter,
    rejected: Counter,
    failed: Counter,
    times: TimeCounters,
}

/// One command's figures (INFO commandstats).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CommandCount {
    /// Executions.
    pub calls: u64,
    /// Their time in nanoseconds.
    pub nanos: u64,
    /// Calls refused before they ran.
    pub rejected: u64,
    /// Executions that ended in an error.
    pub failed: u64,
}

impl CommandCount {
    fn combine(self, other: CommandCount, f: impl Fn(u64, u64) -> u64) -> CommandCount {
        CommandCount {
            calls: f(self.calls, other.calls),
            nanos: f(self.nanos, other.nanos),
            rejected: f(self.rejected, other.rejected),
            failed: f(self.failed, other.failed),
        }
    }
}

/// Figures of all connections (INFO stats).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Traffic {
    /// Commands executed.
    pub commands: u64,
    /// Bytes read from sockets.
    pub input_bytes: u64,
    /// Bytes written to sockets.
    pub output_bytes: u64,
    /// Read system calls that brought something.
    pub reads: u64,
    /// Write system calls that took something.
    pub writes: u64,
    /// Connections accepted.
    pub connections: u64,
    /// Keys that read commands have asked for.
    pub lookups: Lookups,
}

impl Traffic {
    fn combine(self, other: Traffic, f: impl Fn(u64, u64) -> u64) -> Traffic {
        Traffic {
            commands: f(self.commands, other.commands),
            input_bytes: f(self.input_bytes, other.input_bytes),
            output_bytes: f(self.output_bytes, other.output_bytes),
            reads: f(self.reads, other.reads),
            writes: f(self.writes, other.writes),
            connections: f(self.connections, other.connections),
            lookups: Lookups {
                hits: f(self.lookups.hits, other.lookups.hits),
                misses: f(self.lookups.misses, other.lookups.misses),
            },
        }
    }
}

/// The counters of one worker.
#[derive(Debug)]
pub struct WorkerStats {
    rows: Box<[RowCounters]>,
    commands: Counter,
    input_bytes: Counter,
    output_bytes: Counter,
    reads: Counter,
    writes: Counter,
    connections: Counter,
    hits: Counter,
    misses: Counter,
}

impl WorkerStats {
    fn new(row_count: usize) -> WorkerStats {
        WorkerStats {
            rows: (0..row_count).map(|_| RowCounters::default()).collect(),
            commands: Counter::default(),
            input_bytes: Counter::default(),
            output_bytes: Counter::default(),
            reads: Counter::default(),
            writes: Counter::default(),
            connections: Counter::default(),
            hits: Counter::default(),
            misses: Counter::default(),
        }
    }

    /// `calls` executions of a command took `nanos` together.
    #[inline]
    pub fn ran(&self, row: usize, calls: u64, nanos: u64) {
        self.rows[row].calls.add(calls);
        self.rows[row].nanos.add(nanos);
        self.rows[row].times.add(calls, nanos / calls.max(1));
        self.commands.add(calls);
    }

    /// A call was refused before it ran.
    pub fn rejected(&self, row: usize) {
        self.rows[row].rejected.add(1);
    }

    /// An execution ended in an error.
    pub fn failed(&self, row: usize) {
        self.rows[row].failed.add(1);
    }

    /// Bytes came from a socket.
    #[inline]
    pub fn read(&self, bytes: usize) {
        self.reads.add(1);
        self.input_bytes.add(bytes as u64);
    }

    /// Bytes went to a socket.
    #[inline]
    pub fn wrote(&self, bytes: usize) {
        self.writes.add(1);
        self.output_bytes.add(bytes as u64);
    }

    /// A connection was taken on.
    pub fn connected(&self) {
        self.connections.add(1);
    }

    /// Commands have looked for keys.
    #[inline]
    pub fn looked(&self, lookups: Lookups) {
        self.hits.add(lookups.hits);
        self.misses.add(lookups.misses);
    }

    fn row(&self, row: usize) -> CommandCount {
        let counters = &self.rows[row];
        CommandCount {
            calls: counters.calls.get(),
            nanos: counters.nanos.get(),
            rejected: counters.rejected.get(),
            failed: counters.failed.get(),
        }
    }

    fn traffic(&self) -> Traffic {
        Traffic {
            commands: self.commands.get(),
            input_bytes: self.input_bytes.get(),
            output_bytes: self.output_bytes.get(),
            reads: self.reads.get(),
            writes: self.writes.get(),
            connections: self.connections.get(),
            lookups: Lookups { hits: self.hits.get(), misses: self.misses.get() },
        }
    }
}

/// What RESETSTAT takes as zero: counters have one writer, so nobody else may clear them.
#[derive(Default)]
struct Baseline {
    rows: Vec<CommandCount>,
    times: Vec<Times>,
    traffic: Traffic,
}

/// The counters of all workers, and of what happens beside them.
pub struct Stats {
    workers: Vec<WorkerStats>,
    serving: AtomicUsize,
    baseline: Mutex<Baseline>,
    rejected_connections: AtomicU64,
    /// Lookups of reads off the workers, found and missed.
    aside: [AtomicU64; 2],
    errors: Mutex<BTreeMap<String, u64>>,
}

/// Most different prefixes in INFO errorstats, as in Redis.
const ERROR_PREFIXES_MAX: usize = 128;

impl Stats {
    /// Zeros for so many workers and commands.
    pub fn new(worker_count: usize, row_count: usize) -> Stats {
        Stats {
            workers: (0..worker_count).map(|_| WorkerStats::new(row_count)).collect(),
            serving: AtomicUsize::new(worker_count),
            baseline: Mutex::new(Baseline {
                rows: vec![CommandCount::default(); row_count],
                times: vec![Times::default(); row_count],
                traffic: Traffic::default(),
            }),
            rejected_connections: AtomicU64::new(0),
            aside: Default::default(),
            errors: Mutex::default(),
        }
    }

    /// The counters that worker `index` writes.
    pub fn worker(&self, index: usize) -> &WorkerStats {
        &self.workers[index]
    }

    /// How many workers there are.
    pub fn worker_count(&self) -> usize {
        self.workers.len()
    }

    /// Over how many of them connections spread.
    pub fn serving(&self) -> usize {
        self.serving.load(Ordering::Relaxed)
    }

    /// Sets [`Stats::serving`].
    pub fn set_serving(&self, workers: usize) {
        self.serving.store(workers, Ordering::Relaxed);
    }

    /// Figures of one command since the last reset.
    pub fn command(&self, row: usize) -> CommandCount {
        let base = self.baseline.lock().expect("a panic ends the process").rows[row];
        self.sum_of_row(row).combine(base, u64::wrapping_sub)
    }

    /// How long the calls of one command took since the last reset.
    pub fn times(&self, row: usize) -> Times {
        let baseline = self.baseline.lock().expect("a panic ends the process");
        self.times_of_row(row).combine(&baseline.times[row], u64::wrapping_sub)
    }

    /// Figures of all connections since the last reset.
    pub fn traffic(&self) -> Traffic {
        let base = self.baseline.lock().expect("a panic ends the process").traffic;
        self.sum_of_traffic().combine(base, u64::wrapping_sub)
    }

    /// A connection was turned away (`maxclients`).
    pub fn connection_rejected(&self) {
        self.rejected_connections.fetch_add(1, Ordering::Relaxed);
    }

    /// A read off the workers has looked for keys.
    pub fn looked_aside(&self, lookups: Lookups) {
        let [hits, misses] = &self.aside;
        hits.fetch_add(lookups.hits, Ordering::Relaxed);
        misses.fetch_add(lookups.misses, Ordering::Relaxed);
    }

    /// Connections turned away since the last reset.
    pub fn rejected_connections(&self) -> u64 {
        self.rejected_connections.load(Ordering::Relaxed)
    }

    /// An error reply with this text went out.
    pub fn error(&self, text: &str) {
        let prefix = text.split(' ').next().unwrap_or(text);
        let mut errors = self.errors.lock().expect("a panic ends the process");
        if errors.len() >= ERROR_PREFIXES_MAX && !errors.contains_key(prefix) {
            return;
        }
        *errors.entry(prefix.to_string()).or_default() += 1;
    }

    /// Error replies by prefix (INFO errorstats).
    pub fn errors(&self) -> BTreeMap<String, u64> {
        self.errors.lock().expect("a panic ends the process").clone()
    }

    /// Starts all figures at zero again (CONFIG RESETSTAT).
    pub fn reset(&self) {
        let mut baseline = self.baseline.lock().expect("a panic ends the process");
        for row in 0..baseline.rows.len() {
            baseline.rows[row] = self.sum_of_row(row);
            baseline.times[row] = self.times_of_row(row);
        }
        baseline.traffic = self.sum_of_traffic();
        self.rejected_connections.store(0, Ordering::Relaxed);
        self.errors.lock().expect("a panic ends the process").clear();
    }

    fn sum_of_row(&self, row: usize) -> CommandCount {
        let counts = self.workers.iter().map(|worker| worker.row(row));
        counts.fold(CommandCount::default(), |sum, count| sum.combine(count, u64::wrapping_add))
    }

    fn times_of_row(&self, row: usize) -> Times {
        let times = self.workers.iter().map(|worker| worker.rows[row].times.get());
        times.fold(Times::default(), |sum, times| sum.combine(&times, u64::wrapping_add))
    }

    fn sum_of_traffic(&self) -> Traffic {
        let parts = self.workers.iter().map(WorkerStats::traffic);
        let [hits, misses] = self.aside.each_ref().map(|count| count.load(Ordering::Relaxed));
        let aside = Traffic { lookups: Lookups { hits, misses }, ..Traffic::default() };
        parts.fold(aside, |sum, part| sum.combine(part, u64::wrapping_add))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_add_up_over_workers_and_start_again_at_a_reset() {
        let stats = Stats::new(2, 3);
        stats.worker(0).ran(1, 2, 100);
        stats.worker(1).ran(1, 1, 50);
        stats.worker(1).failed(1);
        stats.worker(0).looked(Lookups { hits: 2, misses: 1 });
        stats.worker(1).looked(Lookups { hits: 1, misses: 0 });
        stats.looked_aside(Lookups { hits: 4, misses: 5 });
        let expected = CommandCount { calls: 3, nanos: 150, rejected: 0, failed: 1 };
        assert_eq!(stats.command(1), expected);
        assert_eq!(stats.traffic().commands, 3);
        assert_eq!(stats.traffic().lookups, Lookups { hits: 7, misses: 6 });
        stats.reset();
        assert_eq!(stats.traffic().lookups, Lookups::default());
        assert_eq!(stats.command(1), CommandCount::default());
        stats.worker(0).ran(1, 1, 7);
        assert_eq!((stats.command(1).calls, stats.traffic().commands), (1, 1));
    }

    #[test]
    fn error_prefixes_are_counted_and_bounded() {
        let stats = Stats::new(1, 0);
        stats.error("ERR syntax error");
        stats.error("ERR no such key");
        assert_eq!(stats.errors()["ERR"], 2);
        (0..1000).for_each(|n| stats.error(&format!("E{n} x")));
        assert_eq!(stats.errors().len(), ERROR_PREFIXES_MAX);
    }
}
