//! Latency events as text for people. Pure.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::session::latency::{COMMAND, Event, FAST_COMMAND, LOG_SYNC};

/// Columns and rows of a graph.
const GRAPH_COLUMNS: usize = 80;
const GRAPH_ROWS: usize = 4;
/// Heights that one character tells apart, lowest first.
const HEIGHTS: [char; 3] = ['_', 'o', '#'];

/// LATENCY DOCTOR.
pub fn doctor(events: &BTreeMap<&'static str, Event>, threshold_ms: u64) -> String {
    if threshold_ms == 0 {
        return "The latency monitor is off. CONFIG SET latency-monitor-threshold <milliseconds> \
                turns it on; events that take longer than that are noted from then on.\n"
            .into();
    }
    if events.is_empty() {
        return format!("Nothing has taken longer than {threshold_ms} ms so far.\n");
    }
    let mut text = format!("Events that took {threshold_ms} ms or longer:\n\n");
    for (number, (name, event)) in (1..).zip(events) {
        let samples = event.samples.iter().map(|sample| sample.millis);
        let count = event.samples.len();
        let mean = samples.sum::<u64>() as f64 / count.max(1) as f64;
        writeln!(
            text,
            "{number}. {name}: {count} samples, {mean:.1} ms on average, {} ms at worst. {}",
            event.worst_millis,
            advice(name)
        )
        .expect("a String takes everything");
    }
    text
}

fn advice(event: &str) -> &'static str {
    match event {
        COMMAND => "SLOWLOG GET shows the commands; KEYS and values of many megabytes are usual.",
        FAST_COMMAND => "Quick commands were held up: look for a lack of processor time or swap.",
        LOG_SYNC => "The disk was slow to sync the log: look for other writers on it.",
        _ => "Compare its times with those of the other events.",
    }
}

/// LATENCY GRAPH.
pub fn graph(name: &str, event: &Event, now_s: u64) -> String {
    let columns: Vec<(u64, String)> = event
        .samples
        .iter()
        .map(|sample| (sample.millis, age(now_s.saturating_sub(sample.time_s))))
        .collect();
    let values = columns.iter().map(|(millis, _)| *millis);
    let (low, high) = (values.clone().min().unwrap_or(0), values.max().unwrap_or(0));
    let worst = event.worst_millis;
    let mut text = format!("{name} - high {high} ms, low {low} ms (all time high {worst} ms)\n");
    text.push_str(&"-".repeat(GRAPH_COLUMNS));
    text.push('\n');
    for columns in columns.chunks(GRAPH_COLUMNS) {
        draw(columns, low, high, &mut text);
    }
    text
}

/// One stretch of a graph: bars, and below them ages that read downwards.
fn draw(columns: &[(u64, String)], low: u64, high: u64, text: &mut String) {
    let levels = (GRAPH_ROWS * HEIGHTS.len()) as u64;
    let range = (high - low).max(1);
    let level = |value: u64| ((value - low) * levels / range).min(levels - 1) as usize;
    for row in (0..GRAPH_ROWS).rev() {
        let base = row * HEIGHTS.len();
        let bars = columns.iter().map(|(value, _)| match level(*value).checked_sub(base) {
            None => ' ',
            Some(above) => HEIGHTS.get(above).copied().unwrap_or('|'),
        });
        push_line(bars, text);
    }
    let deepest = columns.iter().map(|(_, label)| label.len()).max();
    text.push('\n');
    for depth in 0..deepest.unwrap_or(0) {
        let letters = columns
            .iter()
            .map(|(_, label)| label.as_bytes().get(depth).map_or(' ', |&letter| letter.into()));
        push_line(letters, text);
    }
}

fn push_line(letters: impl Iterator<Item = char>, text: &mut String) {
    let line: String = letters.collect();
    text.push_str(line.trim_end());
    text.push('\n');
}

/// A time in its largest unit.
fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::latency::Sample;

    fn event(samples: &[(u64, u64)]) -> Event {
        let sample = |&(time_s, millis)| Sample { time_s, millis };
        Event { samples: samples.iter().map(sample).collect(), worst_millis: 500 }
    }

    #[test]
    fn a_graph_has_a_bar_and_an_age_for_each_sample() {
        let drawn = graph("command", &event(&[(0, 100), (90, 200), (99, 400)]), 100);
        let rule = "-".repeat(80);
        let expected = format!(
            "command - high 400 ms, low 100 ms (all time high 500 ms)\n{rule}\n\
             \x20 #\n  |\n o|\n_||\n\n111\nm0s\n s\n"
        );
        assert_eq!(drawn, expected);
    }

    #[test]
    fn ages_are_told_in_their_largest_unit() {
        assert_eq!([59, 60, 7200, 200_000].map(age), ["59s", "1m", "2h", "2d"]);
    }

    #[test]
    fn the_doctor_says_whether_it_looks_and_what_it_saw() {
        assert!(doctor(&BTreeMap::new(), 0).contains("latency-monitor-threshold"));
        assert!(doctor(&BTreeMap::new(), 7).contains("longer than 7 ms"));
        let events = BTreeMap::from([(COMMAND, event(&[(0, 100), (1, 201)]))]);
        let report = doctor(&events, 7);
        let expected = "1. command: 2 samples, 150.5 ms on average, 500 ms at worst.";
        assert!(report.contains(expected), "{report}");
    }
}
