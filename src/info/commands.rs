//! INFO on commands: `commandstats`, `errorstats`, `latencystats`.

use crate::session::stats::CommandCount;

use super::facts::Facts;
use super::text::{Text, ratio};

/// `# Commandstats`
pub fn command_stats(facts: &Facts<'_>, text: &mut Text) {
    for row in facts.services.table.rows() {
        let count = facts.services.stats.command(row.id);
        if count != CommandCount::default() {
            text.line(&format!("cmdstat_{}", row.name), command_line(&count));
        }
    }
}

fn command_line(count: &CommandCount) -> String {
    let micros = count.nanos / 1000;
    format!(
        "calls={},usec={micros},usec_per_call={:.2},rejected_calls={},failed_calls={}",
        count.calls,
        ratio(micros, count.calls),
        count.rejected,
        count.failed
    )
}

/// `# Errorstats`
pub fn error_stats(facts: &Facts<'_>, text: &mut Text) {
    for (prefix, count) in facts.services.stats.errors() {
        text.line(&format!("errorstat_{prefix}"), format_args!("count={count}"));
    }
}

/// `# Latencystats`
pub fn latency_stats(facts: &Facts<'_>, text: &mut Text) {
    let percentiles = facts.directive("latency-tracking-info-percentiles");
    for row in facts.services.table.rows() {
        let times = facts.services.stats.times(row.id);
        if times.calls() == 0 {
            continue;
        }
        let values: Vec<String> = percentiles
            .split(' ')
            .filter_map(|word| {
                let micros = times.percentile_nanos(word.parse().ok()?) as f64 / 1000.0;
                Some(format!("p{word}={micros:.3}"))
            })
            .collect();
        text.line(&format!("latency_percentiles_usec_{}", row.name), values.join(","));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_told_in_one_line() {
        let count = CommandCount { calls: 3, nanos: 27_900, rejected: 1, failed: 2 };
        let expected = "calls=3,usec=27,usec_per_call=9.00,rejected_calls=1,failed_calls=2";
        assert_eq!(command_line(&count), expected);
    }
}
