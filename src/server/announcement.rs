//! What the server says of itself when it starts.

use std::time::Duration;

use crate::engine::stats::{RecoverySummary, Stats};
use crate::session::services::Services;

/// The start-up block.
pub fn text(services: &Services, worker_count: usize, opened_in: Duration) -> String {
    let config = &services.config;
    let dir = config.get("dir");
    let dir = std::fs::canonicalize(&dir).map_or(dir, |dir| dir.display().to_string());
    let stats = services.engine.stats();
    format!(
        "Firn {}, {worker_count} workers\n  port        {} on {}\n  data        {dir}\n  \
         durability  {}\n  keys        {}\n  recovery    {:.1} ms: {}\n",
        env!("CARGO_PKG_VERSION"),
        config.get("port"),
        config.get("bind"),
        config.get("appendfsync"),
        stats.keys,
        opened_in.as_secs_f64() * 1000.0,
        recovered(&stats),
    )
}

/// What recovery did.
fn recovered(stats: &Stats) -> String {
    let RecoverySummary { created, parts, frames, torn_bytes, used_previous_manifest, .. } =
        stats.recovery;
    if created && frames == 0 {
        return "a new database".into();
    }
    let mut text =
        format!("{} opened, {} replayed", count(parts as u64, "part"), count(frames, "log frame"));
    if torn_bytes > 0 {
        text += &format!(", {} of a torn tail cut (never acknowledged)", count(torn_bytes, "byte"));
    }
    if used_previous_manifest {
        text += ", the newest MANIFEST is damaged and the one before it was used";
    }
    text
}

fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(recovery: RecoverySummary) -> String {
        recovered(&Stats { recovery, ..Stats::default() })
    }

    #[test]
    fn recovery_is_told_in_a_line() {
        let new = RecoverySummary { created: true, ..RecoverySummary::default() };
        assert_eq!(said(new), "a new database");
        let clean = RecoverySummary { parts: 1, ..RecoverySummary::default() };
        assert_eq!(said(clean.clone()), "1 part opened, 0 log frames replayed");
        let torn =
            RecoverySummary { frames: 7, torn_bytes: 48, used_previous_manifest: true, ..clean };
        assert_eq!(
            said(torn),
            "1 part opened, 7 log frames replayed, 48 bytes of a torn tail cut (never \
             acknowledged), the newest MANIFEST is damaged and the one before it was used"
        );
    }
}
