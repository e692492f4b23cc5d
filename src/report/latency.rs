//! LATENCY: events that took long, and how long commands take.

use crate::admin::{command, container, help};
use crate::command::help::HELP_SUMMARY;
use crate::command::spec::{Arg, ArgKind, Failure, Group, Spec, flag, quoted};
use crate::session::call::{SessionCall, SessionRun};
use crate::session::table::{Row, SessionCommand, specs};
use crate::session::times::Times;

use super::latency_text::{doctor, graph};

const BASE: Spec = Spec {
    arity: 2,
    flags: flag::ADMIN | flag::NOSCRIPT | flag::LOADING | flag::STALE,
    group: Group::Server,
    since: "2.8.13",
    tips: &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
    ..Spec::EMPTY
};
const EVENT: Arg = Arg::new("event", ArgKind::String);

/// The family.
pub const COMMANDS: &[SessionCommand] = &[SessionCommand {
    spec: Spec {
        name: "latency",
        arity: -2,
        flags: 0,
        complexity: "Depends on the subcommand.",
        summary: "Holds the commands on latency.",
        tips: &[],
        subcommands: &specs(SUBCOMMANDS),
        ..BASE
    },
    run: container,
    subcommands: SUBCOMMANDS,
}];

const fn sub(
    name: &'static str,
    summary: &'static str,
    run: SessionRun,
    change: Spec,
) -> SessionCommand {
    command(Spec { name, summary, ..change }, run)
}

const SUBCOMMANDS: &[SessionCommand; 7] = &[
    sub("doctor", "Explains the events to people.", show_doctor, BASE),
    sub("graph", "Draws the samples of an event.", show_graph, ONE_EVENT),
    sub("help", HELP_SUMMARY, show_help, HELP),
    sub("histogram", "Counts the calls of commands by time.", histogram, HISTOGRAM),
    sub("history", "Returns the samples of an event.", history, ONE_EVENT),
    sub("latest", "Returns the newest sample of each event.", latest, BASE),
    sub("reset", "Forgets events.", reset, RESET),
];
const ONE_EVENT: Spec = Spec { arity: 3, args: &[EVENT], ..BASE };
const HELP: Spec = Spec { flags: flag::LOADING | flag::STALE, tips: &[], ..BASE };
const HISTOGRAM: Spec = Spec {
    arity: -2,
    since: "7.0.0",
    complexity: "O(N), N being the number of commands asked for.",
    args: &[Arg::new("command", ArgKind::String).optional().multiple()],
    ..BASE
};
const RESET: Spec = Spec {
    arity: -2,
    args: &[EVENT.optional().multiple()],
    tips: &["request_policy:all_nodes", "response_policy:agg_sum"],
    ..BASE
};

fn show_doctor(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let events = call.services().latency.events();
    let threshold_ms = call.dispatcher.settings.latency_ms;
    call.reply.verbatim("txt", &doctor(&events, threshold_ms));
    Ok(())
}

fn show_graph(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let name = call.args.get(2);
    let Some(event) = call.services().latency.event(name) else {
        let text = b"ERR No samples available for event '";
        return Err(Failure::quoting(&[text, quoted(name), b"'"]));
    };
    let name = String::from_utf8_lossy(name);
    let now_s = call.dispatcher.now_ms / 1000;
    call.reply.verbatim("txt", &graph(&name, &event, now_s));
    Ok(())
}

fn history(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let event = call.services().latency.event(call.args.get(2));
    let samples = event.unwrap_or_default().samples;
    call.reply.array(samples.len());
    for sample in samples {
        call.reply.array(2);
        call.reply.integer(sample.time_s as i64);
        call.reply.integer(sample.millis as i64);
    }
    Ok(())
}

fn latest(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let events = call.services().latency.events();
    call.reply.array(events.len());
    for (name, event) in events {
        let last = event.samples.back();
        let (time_s, millis) = last.map_or((0, 0), |last| (last.time_s, last.millis));
        call.reply.array(4);
        call.reply.bulk(name.as_bytes());
        call.reply.integer(time_s as i64);
        call.reply.integer(millis as i64);
        call.reply.integer(event.worst_millis as i64);
    }
    Ok(())
}

fn reset(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let monitor = &call.services().latency;
    let count = match call.args.len() {
        2 => monitor.reset(None),
        _ => {
            let names = call.args.iter_from(2);
            names.map(|name| monitor.reset(Some(name))).sum()
        }
    };
    call.reply.integer(count as i64);
    Ok(())
}

fn histogram(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let stats = &call.services().stats;
    let rows = call.services().table.rows().iter();
    let found: Vec<(&Row, Times)> = rows
        .filter(|row| call.args.len() == 2 || call.args.iter_from(2).any(|name| means(name, row)))
        .map(|row| (row, stats.times(row.id)))
        .filter(|(_, times)| times.calls() > 0)
        .collect();
    call.reply.map(found.len());
    for (row, times) in found {
        let doublings = times.doublings();
        call.reply.bulk(row.name.as_bytes());
        call.reply.map(2);
        call.reply.bulk(b"calls");
        call.reply.integer(times.calls() as i64);
        call.reply.bulk(b"histogram_usec");
        call.reply.map(doublings.len());
        for (nanos, below) in doublings {
            call.reply.integer((nanos / 1000) as i64);
            call.reply.integer(below as i64);
        }
    }
    Ok(())
}

/// Whether a name means this row: its own, or that of its container.
fn means(name: &[u8], row: &Row) -> bool {
    let container = row.name.split('|').next().unwrap_or_default();
    [row.name.as_str(), container]
        .iter()
        .any(|candidate| candidate.as_bytes().eq_ignore_ascii_case(name))
}

fn show_help(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let lines = [
        ("DOCTOR", "Explain the events to people."),
        ("GRAPH <event>", "Draw the samples of an event."),
        ("HISTORY <event>", "Show the samples of an event with their times."),
        ("LATEST", "Show the newest sample of each event, and its worst."),
        ("RESET [<event> ...]", "Forget these events, or all."),
        (
            "HISTOGRAM [<command> ...]",
            "Count the calls of these commands, or of all, by the time they took.",
        ),
    ];
    help(call, "LATENCY", &lines);
    Ok(())
}
