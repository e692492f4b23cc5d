//! What the server does for itself, ten times a second and once a second.

use std::sync::Arc;
use std::time::Duration;

use crate::admin::persist;
use crate::engine::stats::Stats;
use crate::info::data::last_save_s;
use crate::info::facts::memory_use;
use crate::session::services::Services;

use super::start::follow_log_level;

const TICKS_PER_SECOND: u64 = 10;
/// After a checkpoint that failed the next one by time waits so long.
const RETRY_S: u64 = 5;

/// Runs until it is aborted.
pub async fn keep_house(services: Arc<Services>) {
    let mut tick = tokio::time::interval(Duration::from_millis(1000 / TICKS_PER_SECOND));
    for number in 0u64.. {
        tick.tick().await;
        services.upkeep.note_traffic(services.stats.traffic());
        if number.is_multiple_of(TICKS_PER_SECOND) {
            look_around(&services);
        }
    }
}

fn look_around(services: &Arc<Services>) {
    follow_log_level(&services.config);
    let settings = services.config.settings();
    let now_ms = services.engine.now_ms();
    if settings.timeout_ms > 0 {
        services.clients.kill_idle(now_ms, settings.timeout_ms);
    }
    if settings.output_bytes_soft > 0 {
        let (bytes, ms) = (settings.output_bytes_soft, settings.output_soft_ms);
        services.clients.kill_full(now_ms, bytes, ms);
    }
    let failures = services.upkeep.last_engine_stats().checkpoint_failures;
    let latency = (&services.latency, settings.latency_ms);
    services.upkeep.note_engine(&services.engine, latency, now_ms);
    let engine = services.upkeep.last_engine_stats();
    if engine.checkpoint_failures > failures {
        tracing::warn!("a checkpoint failed: {}", engine.last_failure);
    }
    memory_use(services, &engine, 0);
    save_by_time(services, &engine, now_ms);
}

/// Starts a checkpoint when the `save` directive asks for one.
fn save_by_time(services: &Arc<Services>, engine: &Stats, now_ms: u64) {
    let upkeep = &services.upkeep;
    let changes = upkeep.changes_since_save(engine.last_lsn);
    let seconds = (now_ms / 1000).saturating_sub(last_save_s(services, engine, now_ms));
    let failed = upkeep.save.last_failed() && upkeep.save.seconds_since_start(now_ms) < RETRY_S;
    if !failed && is_due(&services.config.get("save"), seconds, changes) {
        // One that runs already, or a thread that cannot be had, is another look's business.
        let _ = persist::checkpoint_in_background(services, now_ms);
    }
}

/// Whether one of the pairs of seconds and changes is reached.
fn is_due(pairs: &str, seconds: u64, changes: u64) -> bool {
    let mut numbers = pairs.split_whitespace().map(str::parse::<u64>);
    while let (Some(Ok(after_s)), Some(Ok(least))) = (numbers.next(), numbers.next()) {
        if changes > 0 && seconds >= after_s && changes >= least {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_by_time_needs_seconds_and_changes() {
        let pairs = "3600 1 300 100";
        assert!(!is_due(pairs, 3599, 99));
        assert!(!is_due(pairs, 299, 100));
        assert!(is_due(pairs, 300, 100));
        assert!(is_due(pairs, 3600, 1));
        assert!(!is_due(pairs, 3600, 0));
        assert!(!is_due("", 1 << 40, 1 << 40));
        assert!(!is_due("1 0", 9, 0));
    }
}
