//! How long the calls of a command took: counts by time, four steps to a doubling.

use super::stats::Counter;

/// Times below this share one count, in nanoseconds (a power of two).
const FIRST_NANOS: u64 = 1 << FIRST_OCTAVE;
const FIRST_OCTAVE: u32 = 10;
/// Doublings that are told apart; what takes longer (a second) is counted with the last.
const OCTAVES: usize = 20;
const STEPS: usize = 4;
const BUCKETS: usize = 1 + OCTAVES * STEPS;

/// The bucket of a time.
fn bucket_of(nanos: u64) -> usize {
    if nanos < FIRST_NANOS {
        return 0;
    }
    let octave = nanos.ilog2();
    let step = (nanos >> (octave - 2)) as usize % STEPS;
    let bucket = 1 + (octave - FIRST_OCTAVE) as usize * STEPS + step;
    bucket.min(BUCKETS - 1)
}

/// What all times of a bucket are below, in nanoseconds.
fn bound_of(bucket: usize) -> u64 {
    match bucket.checked_sub(1) {
        None => FIRST_NANOS,
        Some(above) => {
            let octave = FIRST_OCTAVE as usize + above / STEPS;
            ((STEPS + above % STEPS + 1) as u64) << (octave - 2)
        }
    }
}

/// The counters of one worker and command.
#[derive(Debug)]
pub struct TimeCounters([Counter; BUCKETS]);

impl Default for TimeCounters {
    fn default() -> TimeCounters {
        TimeCounters(std::array::from_fn(|_| Counter::default()))
    }
}

impl TimeCounters {
    /// `calls` took `nanos` each, about.
    #[inline]
    pub fn add(&self, calls: u64, nanos: u64) {
        self.0[bucket_of(nanos)].add(calls);
    }

    /// The counts.
    pub fn get(&self) -> Times {
        Times(std::array::from_fn(|bucket| self.0[bucket].get()))
    }
}

/// Counts of calls by time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Times([u64; BUCKETS]);

impl Default for Times {
    fn default() -> Times {
        Times([0; BUCKETS])
    }
}

impl Times {
    /// Both, count by count.
    pub fn combine(&self, other: &Times, f: impl Fn(u64, u64) -> u64) -> Times {
        Times(std::array::from_fn(|at| f(self.0[at], other.0[at])))
    }

    /// All calls.
    pub fn calls(&self) -> u64 {
        self.0.iter().sum()
    }

    /// What a share of the calls in percent stayed below, in nanoseconds; 0 without calls.
    pub fn percentile_nanos(&self, percent: f64) -> u64 {
        let calls = self.calls();
        let wanted = ((calls as f64 * percent / 100.0).ceil() as u64).clamp(1, calls.max(1));
        let mut seen = 0;
        let found = self.0.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        found.map_or(0, bound_of)
    }

    /// Times in doublings, in nanoseconds, with the calls that stayed below; only those that add
    /// some.
    pub fn doublings(&self) -> Vec<(u64, u64)> {
        let mut below = self.0[0];
        let mut rows = vec![(FIRST_NANOS, below)];
        for octave in self.0[1..].chunks(STEPS) {
            let bound = 2 * rows[rows.len() - 1].0;
            below += octave.iter().sum::<u64>();
            rows.push((bound, below));
        }
        let mut last = 0;
        rows.retain(|&(_, below)| std::mem::replace(&mut last, below) < below);
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn times(nanos: &[u64]) -> Times {
        let counters = TimeCounters::default();
        nanos.iter().for_each(|&nanos| counters.add(1, nanos));
        counters.get()
    }

    #[test]
    fn shares_are_bounded_from_above() {
        assert_eq!(Times::default().percentile_nanos(50.0), 0);
        let times = times(&[500, 1500, 3000, 1_000_000]);
        let percents = [0.0, 25.0, 50.0, 75.0, 99.9, 100.0];
        let expected = [1024, 1024, 1536, 3072, 1 << 20, 1 << 20];
        assert_eq!(percents.map(|percent| times.percentile_nanos(percent)), expected);
    }

    #[test]
    fn doublings_add_up_and_leave_out_the_empty() {
        assert_eq!(times(&[]).doublings(), []);
        let rows = times(&[1, 1024, 2000, 5000]).doublings();
        assert_eq!(rows, [(1024, 1), (2048, 3), (8192, 4)]);
    }

    proptest! {
        #[test]
        fn a_time_lies_below_the_bound_of_its_bucket(nanos in 0u64..1 << 30) {
            let bucket = bucket_of(nanos);
            prop_assert!(nanos < bound_of(bucket));
            prop_assert!(bucket == 0 || nanos >= bound_of(bucket - 1));
        }

        #[test]
        fn any_time_has_a_bucket(nanos: u64) {
            prop_assert!(bucket_of(nanos) < BUCKETS);
        }
    }
}
