//! INFO on the data: `persistence`, `replication`, `cluster`, `keyspace`.

use crate::engine::stats::Stats as EngineStats;
use crate::session::services::Services;

use super::facts::{Facts, KeyCount};
use super::text::Text;

/// `# Persistence`: a checkpoint stands where Redis has its RDB file, the log where it has its AOF.
pub fn persistence(facts: &Facts<'_>, text: &mut Text) {
    text.zeros(&["loading", "async_loading"]);
    text.zeros(&["current_cow_peak", "current_cow_size", "current_cow_size_age"]);
    text.ratio("current_fork_perc", 0.0);
    text.zeros(&["current_save_keys_processed", "current_save_keys_total"]);
    checkpoints(facts, text);
    log(facts, text);
    text.zeros(&["module_fork_in_progress", "module_fork_last_cow_size"]);
}

fn checkpoints(facts: &Facts<'_>, text: &mut Text) {
    let engine = &facts.engine;
    let upkeep = &facts.services.upkeep;
    let save = &upkeep.save;
    // A frame is one change, or some of one EXEC.
    let changes = upkeep.changes_since_save(engine.last_lsn);
    text.line("rdb_changes_since_last_save", changes);
    text.line("rdb_bgsave_in_progress", u8::from(engine.checkpoint_running || save.is_running()));
    let last_save_s = last_save_s(facts.services, engine, facts.now_ms);
    text.line("rdb_last_save_time", last_save_s);
    text.line("rdb_last_bgsave_status", status(save.last_failed()));
    text.line("rdb_last_bgsave_time_sec", save.last_seconds());
    text.line("rdb_current_bgsave_time_sec", save.current_seconds(facts.now_ms));
    text.line("rdb_saves", engine.checkpoints);
    text.zeros(&["rdb_last_cow_size", "rdb_last_load_keys_expired", "rdb_last_load_keys_loaded"]);
}

fn log(facts: &Facts<'_>, text: &mut Text) {
    let engine = &facts.engine;
    let rewrite = &facts.services.upkeep.rewrite;
    let running = engine.compaction_running || rewrite.is_running();
    text.line("aof_enabled", 1);
    text.line("aof_rewrite_in_progress", u8::from(running));
    text.line("aof_rewrite_scheduled", 0);
    text.line("aof_last_rewrite_time_sec", rewrite.last_seconds());
    text.line("aof_current_rewrite_time_sec", rewrite.current_seconds(facts.now_ms));
    text.line("aof_last_bgrewrite_status", status(rewrite.last_failed()));
    text.line("aof_rewrites", rewrite.runs());
    // A failed write ends the server (D5), so one that still answers has seen none.
    text.line("aof_last_write_status", "ok");
    text.zeros(&["aof_last_cow_size"]);
    text.line("aof_current_size", engine.log.segment_bytes);
    text.line("aof_base_size", engine.parts_bytes);
    text.zeros(&["aof_pending_rewrite"]);
    text.line("aof_buffer_length", engine.log.queue_bytes);
    text.zeros(&["aof_pending_bio_fsync", "aof_delayed_fsync"]);
}

fn status(failed: bool) -> &'static str {
    if failed { "err" } else { "ok" }
}

/// Unix time of the last checkpoint in seconds, or of the start when there was none since.
pub fn last_save_s(services: &Services, engine: &EngineStats, now_ms: u64) -> u64 {
    let uptime_ms = services.identity.started.elapsed().as_millis() as u64;
    let started_ms = now_ms.saturating_sub(uptime_ms);
    engine.last_checkpoint_ms.max(started_ms) / 1000
}

/// `# Replication`: a primary without replicas.
pub fn replication(facts: &Facts<'_>, text: &mut Text) {
    text.line("role", "master");
    text.line("connected_slaves", 0);
    text.line("master_failover_state", "no-failover");
    text.line("master_replid", &facts.services.identity.run_id);
    text.line("master_replid2", "0".repeat(40));
    text.line("master_repl_offset", 0);
    text.line("second_repl_offset", -1);
    text.line("repl_backlog_active", 0);
    text.line("repl_backlog_size", facts.directive("repl-backlog-size"));
    text.zeros(&["repl_backlog_first_byte_offset", "repl_backlog_histlen"]);
}

/// `# Cluster`
pub fn cluster(_: &Facts<'_>, text: &mut Text) {
    text.line("cluster_enabled", 0);
}

/// `# Keyspace`
pub fn keyspace(facts: &Facts<'_>, text: &mut Text) {
    for count in &facts.keys {
        let KeyCount { keys, expires, ttl_ms_mean, .. } = count;
        let name = format!("db{}", count.db);
        text.line(&name, format_args!("keys={keys},expires={expires},avg_ttl={ttl_ms_mean}"));
    }
}
