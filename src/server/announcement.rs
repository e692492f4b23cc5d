//! What the server says of itself when it starts.

use std::time::Duration;

use crate::config::Config;
use crate::engine::stats::{RecoverySummary, Stats};
use crate::session::services::Services;

/// The start-up block.
pub fn text(services: &Services, worker_count: usize, opened_in: Duration) -> String {
    let config = &services.config;
    let dir = config.get("dir");
    let dir = std::fs::canonicalize(&dir).map_or(dir, |dir| dir.display().to_string());
    let stats = services.engine.stats();
    format!(
        "Firn {}, {worker_count} workers\n{}  data        {dir}\n  \
         durability  {}\n  keys        {}\n  recovery    {:.1} ms: {}\n",
        env!("CARGO_PKG_VERSION"),
        listening(config),
        config.get("appendfsync"),
        stats.keys,
        opened_in.as_secs_f64() * 1000.0,
        recovered(&stats),
    )
}

/// Where clients find it: a line for the port, and one for the Unix socket.
fn listening(config: &Config) -> String {
    let mut text = String::new();
    let port = config.get("port");
    if port != "0" {
        text += &format!("  port        {port} on {}\n", config.get("bind"));
    }
    let socket = config.get("unixsocket");
    if !socket.is_empty() {
        text += &format!("  socket      {socket}\n");
    }
    text
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
    use crate::config::{defaults, table::find};

    fn said(recovery: RecoverySummary) -> String {
        recovered(&Stats { recovery, ..Stats::default() })
    }

    #[test]
    fn every_place_to_connect_to_is_told() {
        let told = |port: &str, socket: &str| {
            let mut values = defaults();
            for (name, value) in [("port", port), ("unixsocket", socket), ("bind", "::1")] {
                values[find(name).unwrap()] = value.to_string();
            }
            listening(&Config::new(values, None))
        };
        assert_eq!(told("7", ""), "  port        7 on ::1\n");
        assert_eq!(told("0", "/s"), "  socket      /s\n");
        assert_eq!(told("7", "/s"), "  port        7 on ::1\n  socket      /s\n");
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
