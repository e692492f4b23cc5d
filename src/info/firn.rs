//! INFO on what only Firn has: LSNs, the log's syncs, parts, checkpoints, cold keys, recovery.

use std::sync::atomic::Ordering::Relaxed;

use crate::types::Durability;

use super::facts::Facts;
use super::text::{Text, ratio};

/// `# Firn`
pub fn firn(facts: &Facts<'_>, text: &mut Text) {
    text.line(
        "durability",
        match facts.settings.durability {
            Durability::Always => "always",
            Durability::EverySec => "everysec",
            Durability::No => "no",
        },
    );
    log(facts, text);
    snapshot(facts, text);
    keys(facts, text);
    recovery(facts, text);
}

fn log(facts: &Facts<'_>, text: &mut Text) {
    let engine = &facts.engine;
    let log = &engine.log;
    text.lines(&[
        ("last_lsn", engine.last_lsn),
        ("written_lsn", engine.written_lsn),
        ("durable_lsn", engine.durable_lsn),
        ("log_frames", log.frames),
        ("log_frame_bytes", log.frame_bytes),
        ("log_written_bytes", log.written_bytes),
        ("log_queue_bytes", log.queue_bytes),
        ("log_segments", log.segments),
        ("log_segment_bytes", log.segment_bytes),
        ("log_spare_segments", log.spares),
        ("log_groups", log.groups),
    ]);
    text.ratio("log_group_frames_mean", ratio(log.frames, log.groups));
    text.lines(&[
        ("log_syncs", log.syncs),
        ("log_sync_usec_p50", log.sync_us_p50),
        ("log_sync_usec_p99", log.sync_us_p99),
        ("log_sync_usec_max", log.sync_us_max),
    ]);
}

fn snapshot(facts: &Facts<'_>, text: &mut Text) {
    let engine = &facts.engine;
    text.lines(&[
        ("parts", engine.parts as u64),
        ("parts_bytes", engine.parts_bytes),
        ("checkpoint_in_progress", u64::from(engine.checkpoint_running)),
        ("checkpoints", engine.checkpoints),
        ("checkpoint_failures", engine.checkpoint_failures),
        ("checkpoint_last_unix_msec", engine.last_checkpoint_ms),
        ("checkpoint_last_usec", engine.last_checkpoint_took_us),
        ("checkpoint_dirty_bytes", engine.dirty_bytes),
        ("checkpoint_captured_bytes", engine.captured_bytes),
        ("compaction_in_progress", u64::from(engine.compaction_running)),
        ("compactions", engine.compactions),
        ("compaction_failures", engine.compaction_failures),
    ]);
}

fn keys(facts: &Facts<'_>, text: &mut Text) {
    let engine = &facts.engine;
    text.lines(&[
        ("keys", engine.keys),
        ("resident_keys", engine.resident_keys),
        ("memory_bytes", engine.memory_bytes),
        ("huge_pages", facts.services.upkeep.huge_pages.load(Relaxed)),
        ("unloaded_bytes", engine.unloaded_bytes),
        ("delayed_writes", engine.delayed_writes),
        ("refused_writes", engine.refused_writes),
        ("cold_hits", engine.cold_hits),
        ("cold_misses", engine.cold_misses),
        ("reads_under_lock", engine.reads_under_lock),
    ]);
}

fn recovery(facts: &Facts<'_>, text: &mut Text) {
    let recovery = &facts.engine.recovery;
    text.lines(&[
        ("recovery_created", u64::from(recovery.created)),
        ("recovery_usec", recovery.took_us),
        ("recovery_parts", recovery.parts as u64),
        ("recovery_frames", recovery.frames),
        ("recovery_torn_bytes", recovery.torn_bytes),
        ("recovery_used_previous_manifest", u64::from(recovery.used_previous_manifest)),
    ]);
}
