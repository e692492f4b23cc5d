//! Over how many workers the connections spread.
//!
//! Over all of them, as long as each gets a core when it wants one: then nobody waits for a
//! neighbour's long command. Where threads have to wait for cores, because clients or others run on
//! the same machine, more workers do less: each finds fewer commands at a turn, commits smaller
//! groups, and fetches from the other's cache what a single one would have had in its own. So the
//! connections gather on as many workers as get cores, until one of these never rests or there is
//! little to do.
//!
//! The times are those of the kernel's scheduler; where it tells none, connections stay spread.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::session::services::Services;
use crate::session::stats::Stats;

use super::workers::Colleagues;

/// Time between two looks at the workers.
const PERIOD: Duration = Duration::from_millis(100);
/// So many looks in a row have to agree before connections gather.
const LOOKS_TO_GATHER: u32 = 2;
/// And so many before they spread: what waits between two bursts will be back.
const LOOKS_TO_SPREAD: u32 = 10;
/// Looks after a change before connections that gathered spread again over a worker that never
/// rests: more workers may have been worse just before.
const REST: u32 = 100;
/// A part of their running time that workers spend waiting for a core; more is too much. Two
/// workers beside one client on two cores wait a fifth of it when they read, and nine tenths when
/// they write and sync.
const WAITS_MAX: f64 = 0.2;
/// Less than this, in cores, is hardly anything to do.
const CALM: f64 = 0.3;
/// More than this, in cores, takes something to do.
const BUSY: f64 = 0.5;
/// A worker that runs for more than this part of the time never rests.
const RESTLESS: f64 = 0.97;

/// The workers, and over how many of them connections spread.
#[derive(Clone, Copy, Debug)]
pub struct Team {
    /// How many there are.
    pub workers: usize,
    /// How many of them serve those who wait for the disk, from the first on, and how many the
    /// others, to the last. Readers have few neighbours who write, then, and a worker of writers
    /// commits by itself.
    pub serving: usize,
}

impl Team {
    /// As they are now.
    pub fn of(stats: &Stats) -> Team {
        Team { workers: stats.worker_count(), serving: stats.serving() }
    }

    /// Which worker serves a client that belongs to `home`.
    pub fn place(self, home: usize, waits: bool) -> usize {
        let first = if waits { 0 } else { self.workers - self.serving };
        first + home % self.serving
    }
}

/// A thread's time on and off its core, as the kernel counts it.
#[derive(Debug)]
pub struct ThreadClock(File);

impl ThreadClock {
    /// The clock of the calling thread; any other may read it.
    pub fn of_this_thread() -> Option<ThreadClock> {
        File::open("/proc/thread-self/schedstat").ok().map(ThreadClock)
    }

    /// How long the thread has run, and how long it has waited for a core.
    fn read(&self) -> Option<(Duration, Duration)> {
        let mut buffer = [0; 96];
        let len = self.0.read_at(&mut buffer, 0).ok()?;
        times(std::str::from_utf8(&buffer[..len]).ok()?)
    }
}

fn times(text: &str) -> Option<(Duration, Duration)> {
    let mut words = text.split_ascii_whitespace().map(|word| word.parse().ok());
    let mut next = || words.next()?.map(Duration::from_nanos);
    Some((next()?, next()?))
}

/// What the workers did between two looks, in cores.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    running: f64,
    waiting: f64,
    /// How much of the time the worker ran that ran most.
    busiest: f64,
}

/// Decides over how many workers the connections spread.
#[derive(Debug)]
struct Spread {
    workers: usize,
    serving: usize,
    /// What the last looks would have wanted, and how many of them in a row.
    wanted: (usize, u32),
    rest: u32,
}

impl Spread {
    fn new(workers: usize) -> Spread {
        Spread { workers, serving: workers, wanted: (workers, 0), rest: 0 }
    }

    /// Takes a look; how many workers shall serve from now on.
    fn look(&mut self, load: Load) -> usize {
        self.rest = self.rest.saturating_sub(1);
        let wanted = self.wanted(load);
        let in_a_row = if wanted == self.wanted.0 { self.wanted.1 + 1 } else { 1 };
        self.wanted = (wanted, in_a_row);
        let gathers = wanted < self.serving;
        let enough = if gathers { LOOKS_TO_GATHER } else { LOOKS_TO_SPREAD };
        if wanted != self.serving && in_a_row >= enough {
            self.serving = wanted;
            self.rest = REST;
        }
        self.serving
    }

    fn wanted(&self, load: Load) -> usize {
        if load.running < CALM {
            return self.workers;
        }
        if load.running > BUSY && load.waiting > WAITS_MAX * load.running {
            // What runs on so many cores does not need one more for its last tenth.
            let cores = (load.running - 0.1).ceil() as usize;
            return cores.clamp(1, self.serving);
        }
        if load.busiest > RESTLESS && self.rest == 0 {
            return (2 * self.serving).min(self.workers);
        }
        self.serving
    }
}

/// Looks at the workers until none are left, and tells them how many shall serve. A single one
/// always does.
pub async fn watch(colleagues: Colleagues, services: Arc<Services>) {
    let stats = &services.stats;
    if stats.worker_count() == 1 {
        return;
    }
    let mut spread = Spread::new(stats.serving());
    let mut times = Vec::new();
    let mut looked = Instant::now();
    let mut tick = tokio::time::interval(PERIOD);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let Some(now) = colleagues.clocks(ThreadClock::read) else { return };
        let passed = std::mem::replace(&mut looked, Instant::now()).elapsed();
        let before = std::mem::replace(&mut times, now);
        // A worker that has not begun yet, or a system that counts no such times.
        if times.len() < spread.workers || before.len() < times.len() {
            continue;
        }
        let load = load(&before, &times, passed);
        stats.set_serving(spread.look(load));
    }
}

fn load(before: &[(Duration, Duration)], now: &[(Duration, Duration)], passed: Duration) -> Load {
    let cores = |from: Duration, to: Duration| {
        to.saturating_sub(from).as_secs_f64() / passed.as_secs_f64().max(1e-3)
    };
    before.iter().zip(now).fold(Load::default(), |load, (before, now)| {
        let running = cores(before.0, now.0);
        Load {
            running: load.running + running,
            waiting: load.waiting + cores(before.1, now.1),
            busiest: load.busiest.max(running),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(spread: &mut Spread, count: u32, running: f64, waiting: f64) -> usize {
        let busiest = running / spread.serving as f64;
        (0..count).map(|_| spread.look(Load { running, waiting, busiest })).last().unwrap()
    }

    #[test]
    fn connections_gather_on_as_many_workers_as_get_cores() {
        let mut spread = Spread::new(2);
        assert_eq!(looks(&mut spread, 9, 1.9, 0.1), 2, "each has its core");
        assert_eq!(looks(&mut spread, 9, 0.4, 0.4), 2, "little to do");
        assert_eq!(looks(&mut spread, 1, 0.9, 0.7), 2, "one look may be wrong");
        assert_eq!(looks(&mut spread, 1, 0.9, 0.7), 1);
        assert_eq!(looks(&mut spread, 99, 0.9, 0.02), 1, "it rests now and then");
        let mut many = Spread::new(32);
        assert_eq!(looks(&mut many, LOOKS_TO_GATHER, 15.7, 9.0), 16);
        assert_eq!(looks(&mut many, LOOKS_TO_GATHER, 15.7, 9.0), 16, "never more than serve");
    }

    #[test]
    fn they_spread_when_one_never_rests_or_all_do() {
        let mut spread = Spread::new(8);
        looks(&mut spread, LOOKS_TO_GATHER, 0.9, 0.7);
        assert_eq!(looks(&mut spread, REST, 1.0, 0.0), 1, "it may have been worse before");
        assert_eq!(looks(&mut spread, LOOKS_TO_SPREAD, 1.0, 0.0), 2);
        assert_eq!(looks(&mut spread, REST + LOOKS_TO_SPREAD, 2.0, 0.0), 4);
        looks(&mut spread, LOOKS_TO_GATHER, 0.9, 0.7);
        assert_eq!(looks(&mut spread, LOOKS_TO_SPREAD - 1, 0.1, 0.1), 1, "between two bursts");
        assert_eq!(looks(&mut spread, 1, 0.1, 0.1), 8);
    }

    #[test]
    fn who_waits_for_the_disk_and_who_does_not_meet_apart() {
        let places = |serving, waits| {
            [0, 1, 2, 3].map(|home| Team { workers: 4, serving }.place(home, waits))
        };
        assert_eq!(places(4, true), [0, 1, 2, 3]);
        assert_eq!(places(4, false), [0, 1, 2, 3]);
        assert_eq!(places(2, true), [0, 1, 0, 1]);
        assert_eq!(places(2, false), [2, 3, 2, 3]);
        assert_eq!(places(1, false), [3; 4]);
    }

    #[test]
    fn the_kernel_counts_running_before_waiting() {
        let nanos = Duration::from_nanos;
        assert_eq!(times("12 34 5\n"), Some((nanos(12), nanos(34))));
        assert_eq!(times("12"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_that_runs_is_seen_to_run() {
        let clock = ThreadClock::of_this_thread().unwrap();
        let (start, before) = (Instant::now(), clock.read().unwrap());
        let mut after = before;
        while after.0 < before.0 + Duration::from_millis(5) {
            assert!(start.elapsed() < Duration::from_secs(60));
            after = clock.read().unwrap();
        }
        let load = load(&[before], &[after], start.elapsed());
        assert!(load.running > 0.0 && load.busiest == load.running, "{load:?}");
    }
}
