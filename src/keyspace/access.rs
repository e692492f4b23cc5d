//! When and how often a key was used, packed into 32 bits: the second of the last access (24 bits,
//! 194 days before it wraps) above a logarithmic frequency counter (8 bits, as Redis's LFU).

use super::entry::EntryRef;

/// Counter of a new key, so that it is not the first to go.
const FREQUENCY_START: u8 = 5;
/// How much slower the counter grows the higher it stands (`lfu-log-factor`).
const LOG_FACTOR: u64 = 10;
/// Minutes without an access that lower the counter by one (`lfu-decay-time`).
const DECAY_MINUTES: u64 = 1;

const SECONDS_MASK: u64 = (1 << 24) - 1;

/// The packed word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access(pub u32);

impl Access {
    /// A key that came into being at `now_ms`.
    pub fn new(now_ms: u64) -> Access {
        Access::pack(now_ms, FREQUENCY_START)
    }

    fn pack(now_ms: u64, frequency: u8) -> Access {
        let seconds = (now_ms / 1000) & SECONDS_MASK;
        Access((seconds as u32) << 8 | u32::from(frequency))
    }

    /// A key last used `idle_seconds` ago, with this counter; none keeps what stands.
    pub fn with(self, now_ms: u64, idle_seconds: Option<u64>, frequency: Option<u8>) -> Access {
        let idle = idle_seconds.unwrap_or_else(|| self.idle_seconds(now_ms));
        let last_ms = now_ms.saturating_sub(idle.min(SECONDS_MASK) * 1000);
        Access::pack(last_ms, frequency.unwrap_or(self.0 as u8))
    }

    /// Seconds since the last access.
    pub fn idle_seconds(self, now_ms: u64) -> u64 {
        let idle = (now_ms / 1000).wrapping_sub(u64::from(self.0 >> 8)) & SECONDS_MASK;
        // The clock may have stepped back a little; that is not half a year of idleness.
        if idle > SECONDS_MASK / 2 { 0 } else { idle }
    }

    /// The counter, lowered for the minutes that have begun since the last access.
    pub fn frequency(self, now_ms: u64) -> u8 {
        let now_seconds = now_ms / 1000;
        let last_seconds = now_seconds.saturating_sub(self.idle_seconds(now_ms));
        let minutes = now_seconds / 60 - last_seconds / 60;
        (self.0 as u8).saturating_sub((minutes / DECAY_MINUTES).min(255) as u8)
    }

    /// The word after one more access. `random`, uniform in its low 32 bits, decides whether the
    /// counter grows: with probability 1 / (1 + factor * (counter - start)).
    pub fn touched(self, now_ms: u64, random: u64) -> Access {
        let frequency = self.frequency(now_ms);
        let above = u64::from(frequency.saturating_sub(FREQUENCY_START));
        // A product instead of a division.
        let drawn = u64::from(random as u32) * (1 + LOG_FACTOR * above);
        let grows = frequency < u8::MAX && drawn >> 32 == 0;
        Access::pack(now_ms, frequency + u8::from(grows))
    }
}

impl EntryRef<'_> {
    /// Seconds since the last access.
    pub fn idle_seconds(self, now_ms: u64) -> u64 {
        self.access().idle_seconds(now_ms)
    }

    /// Access frequency, Redis's logarithmic counter.
    pub fn frequency(self, now_ms: u64) -> u8 {
        self.access().frequency(now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_800_000_000_000;

    #[test]
    fn idle_time_counts_from_the_last_access() {
        let access = Access::new(NOW_MS);
        assert_eq!(access.idle_seconds(NOW_MS + 90_000), 90);
        assert_eq!(access.touched(NOW_MS + 90_000, 1).idle_seconds(NOW_MS + 95_000), 5);
        assert_eq!(access.idle_seconds(NOW_MS - 5_000), 0);
    }

    #[test]
    fn frequency_grows_by_chance_and_decays_by_the_minute() {
        let mut access = Access::new(NOW_MS);
        assert_eq!(access.frequency(NOW_MS), 5);
        access = access.touched(NOW_MS, 0);
        assert_eq!(access.frequency(NOW_MS), 6);
        assert_eq!(access.touched(NOW_MS, u64::MAX).frequency(NOW_MS), 6);
        assert_eq!(access.touched(NOW_MS, (1 << 32) / 11 + 1).frequency(NOW_MS), 6);
        assert_eq!(access.touched(NOW_MS, (1 << 32) / 11).frequency(NOW_MS), 7);
        assert_eq!(access.frequency(NOW_MS + 3 * 60_000), 3);
        assert_eq!(access.frequency(NOW_MS + 3_600_000), 0);
    }

    #[test]
    fn restored_metadata_is_told_again() {
        let access = Access::new(NOW_MS).with(NOW_MS, Some(1000), Some(77));
        assert_eq!(access.idle_seconds(NOW_MS), 1000);
        assert_eq!(access.with(NOW_MS, Some(0), None).frequency(NOW_MS), 77);
        let kept = access.with(NOW_MS, None, Some(9));
        assert_eq!(kept.idle_seconds(NOW_MS), 1000);
    }
}
