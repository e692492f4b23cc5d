//! Latencies by magnitude: 128 steps for each power of two, so that a percentile is exact to 1 %.

use std::time::Duration;

const STEP_BITS: u32 = 7;

/// Counts of durations.
#[derive(Clone, Default)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    pub fn record(&mut self, duration: Duration) {
        let at = bucket(duration.as_nanos().min(u128::from(u64::MAX)) as u64);
        if self.counts.len() <= at {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] += 1;
        self.total += 1;
    }

    /// The duration that this share of all stays below, in microseconds.
    pub fn percentile_us(&self, percent: f64) -> Option<f64> {
        let rank = (self.total as f64 * percent / 100.0).ceil().max(1.0) as u64;
        let mut sum = 0;
        for (at, count) in self.counts.iter().enumerate() {
            sum += count;
            if sum >= rank {
                return Some(upper_ns(at) as f64 / 1000.0);
            }
        }
        None
    }
}

fn bucket(ns: u64) -> usize {
    let shift = (63 - ns.max(1).leading_zeros()).saturating_sub(STEP_BITS);
    (((shift as u64) << STEP_BITS) + (ns >> shift)) as usize
}

/// Highest nanoseconds that fall into a bucket.
fn upper_ns(at: usize) -> u64 {
    let at = at as u64;
    let shift = (at >> STEP_BITS).saturating_sub(1);
    let step = at - (shift << STEP_BITS);
    (step << shift) + (1 << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_falls_into_it() {
        for ns in (0..100_000).chain([1 << 20, 123_456_789, 1 << 40]) {
            let upper = upper_ns(bucket(ns));
            assert!(upper >= ns && upper <= ns + ns / 64, "{ns} {upper}");
        }
    }

    #[test]
    fn percentiles_are_ranks() {
        let mut histogram = Histogram::default();
        (1..=1000).for_each(|us| histogram.record(Duration::from_micros(us)));
        let p99 = histogram.percentile_us(99.0).unwrap();
        assert!((985.0..1005.0).contains(&p99), "{p99}");
        assert_eq!(Histogram::default().percentile_us(99.0), None);
    }
}
