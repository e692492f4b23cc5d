//! The machine's clock, and one that a simulation turns by hand.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::Clock;

/// The clocks of the machine.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    pub fn new() -> SystemClock {
        SystemClock { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> SystemClock {
        SystemClock::new()
    }
}

impl Clock for SystemClock {
    fn wall_ms(&self) -> u64 {
        // A machine whose clock stands before 1970 has no wall time worth more than zero.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        since_epoch.map_or(0, |elapsed| elapsed.as_millis() as u64)
    }

    fn monotonic_us(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }
}

/// A clock that moves only when it is told to.
#[derive(Debug)]
pub struct SimClock {
    wall_ms: AtomicU64,
    monotonic_us: AtomicU64,
}

impl SimClock {
    /// A clock at `wall_ms` since the Unix epoch; its monotonic time starts at zero.
    pub fn new(wall_ms: u64) -> SimClock {
        SimClock { wall_ms: AtomicU64::new(wall_ms), monotonic_us: AtomicU64::new(0) }
    }

    /// Lets time pass, on both clocks.
    pub fn advance_ms(&self, elapsed_ms: u64) {
        self.wall_ms.fetch_add(elapsed_ms, Ordering::SeqCst);
        self.monotonic_us.fetch_add(elapsed_ms * 1000, Ordering::SeqCst);
    }

    /// Sets the wall clock, backwards too, as an operator or a time server would.
    pub fn set_wall_ms(&self, wall_ms: u64) {
        self.wall_ms.store(wall_ms, Ordering::SeqCst);
    }
}

impl Clock for SimClock {
    fn wall_ms(&self) -> u64 {
        self.wall_ms.load(Ordering::SeqCst)
    }

    fn monotonic_us(&self) -> u64 {
        self.monotonic_us.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_clock_tells_milliseconds_of_this_century() {
        let clock = SystemClock::new();
        let year_2020_ms = 1_577_836_800_000;
        let year_2200_ms = 7_258_118_400_000;
        assert!((year_2020_ms..year_2200_ms).contains(&clock.wall_ms()));
        let before = clock.monotonic_us();
        assert!(clock.monotonic_us() >= before);
    }

    #[test]
    fn sim_clock_moves_only_when_told() {
        let clock = SimClock::new(5_000);
        assert_eq!((clock.wall_ms(), clock.monotonic_us()), (5_000, 0));
        clock.advance_ms(3);
        assert_eq!((clock.wall_ms(), clock.monotonic_us()), (5_003, 3_000));
    }

    #[test]
    fn setting_the_wall_clock_back_leaves_the_monotonic_one() {
        let clock = SimClock::new(5_000);
        clock.advance_ms(10);
        clock.set_wall_ms(100);
        assert_eq!((clock.wall_ms(), clock.monotonic_us()), (100, 10_000));
    }
}
