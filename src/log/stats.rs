//! Counters of the log, cheap enough to be always on.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Number of histogram buckets: bucket `i` holds times below `2^i` microseconds.
const BUCKETS: usize = 32;

/// Times in powers of two of a microsecond.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [AtomicU64; BUCKETS],
}

impl Histogram {
    pub(crate) fn record(&self, us: u64) {
        let bucket = (u64::BITS - us.leading_zeros()) as usize;
        self.buckets[bucket.min(BUCKETS - 1)].fetch_add(1, Relaxed);
    }

    /// Upper bound in microseconds of the given share of all times, 0 when there are none.
    pub(crate) fn percentile(&self, percent: u64) -> u64 {
        let counts: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        let wanted = (total * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let found = counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        found.map_or(0, |bucket| 1 << bucket)
    }
}

/// What the log counts while it runs.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) frames: AtomicU64,
    pub(crate) frame_bytes: AtomicU64,
    pub(crate) written_bytes: AtomicU64,
    pub(crate) groups: AtomicU64,
    pub(crate) syncs: AtomicU64,
    pub(crate) sync_us: Histogram,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Relaxed);
    }
}

/// A snapshot of the log's state and counters since it was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LogStats {
    /// Frames appended.
    pub frames: u64,
    /// Bytes of their payloads.
    pub frame_bytes: u64,
    /// Bytes written to segments.
    pub written_bytes: u64,
    /// Groups of frames written together; `frames / groups` is the mean size of a group.
    pub groups: u64,
    /// Syncs of the active segment.
    pub syncs: u64,
    /// Half of the syncs took less than this, in microseconds (a power of two).
    pub sync_us_p50: u64,
    /// 99 of 100 syncs took less than this, in microseconds (a power of two).
    pub sync_us_p99: u64,
    /// All syncs took less than this, in microseconds (a power of two).
    pub sync_us_max: u64,
    /// Bytes of frames that are not written yet.
    pub queue_bytes: u64,
    /// Segments in use.
    pub segments: u64,
    /// Bytes of files in use, allocated space included.
    pub segment_bytes: u64,
    /// Segments prepared ahead.
    pub spares: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_upper_bounds_in_powers_of_two() {
        let histogram = Histogram::default();
        assert_eq!(histogram.percentile(50), 0);
        (0..99).for_each(|_| histogram.record(100));
        histogram.record(5000);
        assert_eq!(histogram.percentile(50), 128);
        assert_eq!(histogram.percentile(99), 128);
        assert_eq!(histogram.percentile(100), 8192);
        histogram.record(u64::MAX);
        assert_eq!(histogram.percentile(100), 1 << 31);
    }
}
