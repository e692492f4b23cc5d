//! MEMORY: what takes how much.

use crate::admin::{command, container, help, integer};
use crate::command::help::HELP_SUMMARY;
use crate::command::row::{key_arg, keys_at};
use crate::command::spec::{Arg, ArgKind, Failure, Group, Spec, flag, key_flag};
use crate::engine::unit::Unit;
use crate::engine::{Begin, Intent};
use crate::info::facts::{MemoryUse, memory_use};
use crate::info::text::ratio;
use crate::session::call::{Outcome, SessionCall, Wait};
use crate::session::table::{SessionCommand, specs};
use crate::session::unknown::refusal_text;

use super::engine_stats;
use super::memory_text::doctor;

const BASE: Spec = Spec { arity: 2, group: Group::Server, since: "4.0.0", ..Spec::EMPTY };
const REPORT_TIPS: &[&str] =
    &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"];
const ALLOCATOR_COMPLEXITY: &str = "O(N), N being what the allocator holds.";

/// The family.
pub const COMMANDS: &[SessionCommand] = &[SessionCommand {
    spec: Spec {
        name: "memory",
        arity: -2,
        complexity: "Depends on the subcommand.",
        summary: "Holds the commands on memory.",
        subcommands: &specs(SUBCOMMANDS),
        ..BASE
    },
    run: container,
    subcommands: SUBCOMMANDS,
}];

const SUBCOMMANDS: &[SessionCommand; 6] = &[
    command(
        Spec {
            name: "doctor",
            summary: "Explains the use of memory to people.",
            tips: REPORT_TIPS,
            ..BASE
        },
        show_doctor,
    ),
    command(
        Spec { name: "help", flags: flag::LOADING | flag::STALE, summary: HELP_SUMMARY, ..BASE },
        show_help,
    ),
    command(
        Spec {
            name: "malloc-stats",
            flags: flag::LOADING,
            complexity: ALLOCATOR_COMPLEXITY,
            summary: "Returns the report of the allocator.",
            tips: REPORT_TIPS,
            ..BASE
        },
        malloc_stats,
    ),
    command(
        Spec {
            name: "purge",
            flags: flag::LOADING,
            complexity: ALLOCATOR_COMPLEXITY,
            summary: "Asks the allocator to give back free memory.",
            tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
            ..BASE
        },
        purge,
    ),
    command(
        Spec {
            name: "stats",
            summary: "Returns what uses how much memory.",
            tips: REPORT_TIPS,
            ..BASE
        },
        stats,
    ),
    command(
        Spec {
            name: "usage",
            arity: -3,
            flags: flag::READONLY,
            keys: &[keys_at(2, 0, 1, key_flag::RO)],
            complexity: "O(N), N being the number of samples.",
            summary: "Returns the bytes that a key and its value take in memory.",
            args: &[key_arg(), Arg::new("count", ArgKind::Integer).behind("SAMPLES").optional()],
            ..BASE
        },
        usage,
    ),
];

fn usage(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    for at in (3..call.args.len()).step_by(2) {
        if !call.args.is(at, "SAMPLES") || at + 1 == call.args.len() {
            return Err(Failure::Syntax);
        }
        let samples = integer(call, at + 1).ok_or(Failure::NotInteger)?;
        if samples < 0 {
            return Err(Failure::Syntax);
        }
    }
    if let Some(unit) = &mut call.unit {
        let bytes = memory_of(unit, call.session.db, call.args.get(2));
        reply_bytes(call, bytes);
        return Ok(());
    }
    let engine = &call.services().engine;
    let key = engine.key(call.session.db, call.args.get(2));
    let intent = Intent::read(call.dispatcher.now_ms);
    match engine.begin(&[key], intent) {
        Begin::Ready(mut unit) => {
            let bytes = memory_of(&mut unit, call.session.db, call.args.get(2));
            let observed = unit.finish().observed;
            reply_bytes(call, bytes);
            call.outcome = Outcome::Done(call.dispatcher.gate(call.session, observed));
        }
        Begin::Cold(fetch) => match call.session.fetch_failure.take() {
            None => call.outcome = Outcome::Retry(Wait::Cold(fetch)),
            Some(text) => return Err(Failure::Text(text.into())),
        },
        Begin::Wait => call.outcome = Outcome::Retry(Wait::LogRoom),
        Begin::Refused(error) => return Err(Failure::Text(refusal_text(&error).into())),
    }
    Ok(())
}

fn memory_of(unit: &mut Unit<'_>, db: u32, key: &[u8]) -> Option<u64> {
    let key = unit.key(db, key);
    unit.probe(&key).map(|view| view.memory_bytes())
}

fn reply_bytes(call: &mut SessionCall<'_, '_, '_>, bytes: Option<u64>) {
    match bytes {
        Some(bytes) => call.reply.integer(bytes as i64),
        None => call.reply.null(),
    }
}

fn used(call: &SessionCall<'_, '_, '_>) -> (MemoryUse, u64) {
    let services = call.services();
    let engine = engine_stats(call);
    let clients = services.clients.all();
    let buffers = crate::info::facts::buffers(&clients);
    (memory_use(services, &engine, buffers.total_bytes), engine.keys)
}

fn show_doctor(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let (memory, _) = used(call);
    call.reply.verbatim("txt", &doctor(&memory));
    Ok(())
}

/// A figure of MEMORY STATS.
enum Figure {
    Bytes(u64),
    Difference(u64, u64),
    Quotient(f64),
}

/// What the process takes beyond what is in use, from the allocator to the system.
fn overheads(memory: &MemoryUse) -> Vec<(&'static str, Figure)> {
    let host = &memory.host;
    let layers = [
        (
            ["allocator-fragmentation.ratio", "allocator-fragmentation.bytes"],
            host.active_bytes,
            host.allocated_bytes,
        ),
        (
            ["allocator-rss.ratio", "allocator-rss.bytes"],
            host.allocator_resident_bytes,
            host.active_bytes,
        ),
        (
            ["rss-overhead.ratio", "rss-overhead.bytes"],
            host.resident_bytes,
            host.allocator_resident_bytes,
        ),
        (["fragmentation", "fragmentation.bytes"], host.resident_bytes, memory.used_bytes),
    ];
    let figures = layers.into_iter().flat_map(|(names, outer, inner)| {
        [
            (names[0], Figure::Quotient(ratio(outer, inner))),
            (names[1], Figure::Difference(outer, inner)),
        ]
    });
    figures.collect()
}

fn stats(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    use Figure::{Bytes, Quotient};
    let (memory, keys) = used(call);
    let host = memory.host;
    let share = |part, whole| Quotient(100.0 * ratio(part, whole));
    let figures = [
        ("peak.allocated", Bytes(memory.marks.peak_bytes)),
        ("total.allocated", Bytes(memory.used_bytes)),
        ("startup.allocated", Bytes(memory.marks.startup_bytes)),
        ("replication.backlog", Bytes(0)),
        ("clients.slaves", Bytes(0)),
        ("clients.normal", Bytes(memory.clients_bytes)),
        ("cluster.links", Bytes(0)),
        ("aof.buffer", Bytes(memory.log_bytes)),
        ("lua.caches", Bytes(0)),
        ("functions.caches", Bytes(0)),
        ("overhead.total", Bytes(memory.overhead_bytes())),
        ("keys.count", Bytes(keys)),
        ("keys.bytes-per-key", Bytes(memory.net_bytes().checked_div(keys).unwrap_or(0))),
        ("dataset.bytes", Bytes(memory.dataset_bytes)),
        ("dataset.percentage", share(memory.dataset_bytes, memory.net_bytes())),
        ("peak.percentage", share(memory.used_bytes, memory.marks.peak_bytes)),
        ("allocator.allocated", Bytes(host.allocated_bytes)),
        ("allocator.active", Bytes(host.active_bytes)),
        ("allocator.resident", Bytes(host.allocator_resident_bytes)),
    ];
    let overheads = overheads(&memory);
    call.reply.map(figures.len() + overheads.len());
    for (name, figure) in figures.into_iter().chain(overheads) {
        call.reply.bulk(name.as_bytes());
        match figure {
            Bytes(bytes) => call.reply.integer(bytes as i64),
            Figure::Difference(outer, inner) => call.reply.integer(outer as i64 - inner as i64),
            Quotient(value) => call.reply.double_text(&value.to_string()),
        }
    }
    Ok(())
}

fn malloc_stats(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let mut report = Vec::new();
    tikv_jemalloc_ctl::stats_print::stats_print(&mut report, Default::default()).map_err(
        |error| Failure::Text(format!("ERR the allocator's report failed: {error}").into()),
    )?;
    call.reply.verbatim("txt", &String::from_utf8_lossy(&report));
    Ok(())
}

/// The allocator returns free pages by itself within ten seconds, so there is nothing to hurry.
fn purge(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    call.reply.ok();
    Ok(())
}

fn show_help(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let lines = [
        ("DOCTOR", "Explain the use of memory to people."),
        ("MALLOC-STATS", "Show the report of the allocator."),
        ("PURGE", "Ask the allocator to give back free memory."),
        ("STATS", "Show what uses how much memory."),
        (
            "USAGE <key> [SAMPLES <count>]",
            "Show the bytes that a key and its value take. Strings are counted without samples.",
        ),
    ];
    help(call, "MEMORY", &lines);
    Ok(())
}
