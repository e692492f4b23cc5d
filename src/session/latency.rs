//! The latency monitor: events that took longer than `latency-monitor-threshold`, by name.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

/// Samples kept of one event, as in Redis.
const SAMPLES_MAX: usize = 160;

/// A command that is not constant or logarithmic in time took long.
pub const COMMAND: &str = "command";
/// A command that should be quick took long.
pub const FAST_COMMAND: &str = "fast-command";
/// A sync of the log took long; the name is that of Redis for its append-only file.
pub const LOG_SYNC: &str = "aof-fsync-always";

/// The worst of one second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sample {
    /// Unix time in seconds.
    pub time_s: u64,
    /// How long the event took, in milliseconds.
    pub millis: u64,
}

/// What is known of one event.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Event {
    /// The last samples, oldest first.
    pub samples: VecDeque<Sample>,
    /// The longest since the last reset, in milliseconds.
    pub worst_millis: u64,
}

impl Event {
    fn add(&mut self, sample: Sample) {
        self.worst_millis = self.worst_millis.max(sample.millis);
        if let Some(last) = self.samples.back_mut()
            && last.time_s == sample.time_s
        {
            last.millis = last.millis.max(sample.millis);
            return;
        }
        if self.samples.len() == SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }
}

/// All events.
#[derive(Default)]
pub struct LatencyMonitor(Mutex<BTreeMap<&'static str, Event>>);

impl LatencyMonitor {
    /// Notes an event. The caller has compared it with the threshold.
    pub fn record(&self, event: &'static str, sample: Sample) {
        self.0.lock().expect("a panic ends the process").entry(event).or_default().add(sample);
    }

    /// What is known, by name.
    pub fn events(&self) -> BTreeMap<&'static str, Event> {
        self.0.lock().expect("a panic ends the process").clone()
    }

    /// What is known of one event, whatever the case of its name.
    pub fn event(&self, name: &[u8]) -> Option<Event> {
        let events = self.0.lock().expect("a panic ends the process");
        let mut named = events.iter();
        let found = named.find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name));
        found.map(|(_, event)| event.clone())
    }

    /// Forgets one event, or all; how many were known.
    pub fn reset(&self, name: Option<&[u8]>) -> usize {
        let mut events = self.0.lock().expect("a panic ends the process");
        let before = events.len();
        events.retain(|known, _| {
            name.is_some_and(|name| !known.as_bytes().eq_ignore_ascii_case(name))
        });
        before - events.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(time_s: u64, millis: u64) -> Sample {
        Sample { time_s, millis }
    }

    #[test]
    fn the_worst_of_a_second_is_one_sample() {
        let monitor = LatencyMonitor::default();
        monitor.record(COMMAND, sample(1, 20));
        monitor.record(COMMAND, sample(1, 50));
        monitor.record(COMMAND, sample(1, 30));
        monitor.record(COMMAND, sample(2, 10));
        let event = monitor.event(b"COMMAND").unwrap();
        assert_eq!(event.samples, [sample(1, 50), sample(2, 10)]);
        assert_eq!(event.worst_millis, 50);
    }

    #[test]
    fn old_samples_go_and_the_worst_stays() {
        let monitor = LatencyMonitor::default();
        monitor.record(COMMAND, sample(0, 999));
        (1..=SAMPLES_MAX as u64).for_each(|s| monitor.record(COMMAND, sample(s, 1)));
        let event = monitor.event(b"command").unwrap();
        assert_eq!((event.samples.len(), event.samples[0]), (SAMPLES_MAX, sample(1, 1)));
        assert_eq!(event.worst_millis, 999);
    }

    #[test]
    fn a_reset_forgets_what_it_names() {
        let monitor = LatencyMonitor::default();
        monitor.record(COMMAND, sample(1, 1));
        monitor.record(LOG_SYNC, sample(1, 1));
        assert_eq!(monitor.reset(Some(b"nothing")), 0);
        assert_eq!(monitor.reset(Some(b"Command")), 1);
        assert_eq!(monitor.reset(None), 1);
        assert_eq!(monitor.reset(None), 0);
    }
}
