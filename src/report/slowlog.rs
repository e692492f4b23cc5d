//! SLOWLOG: the last commands that were slow.

use crate::admin::{command, container, help, integer};
use crate::command::help::{HELP_SUMMARY, miscalled};
use crate::command::spec::{Arg, ArgKind, Failure, Group, Spec, flag};
use crate::session::call::{SessionCall, SessionRun};
use crate::session::slowlog::SlowEntry;
use crate::session::table::{SessionCommand, specs};

/// Entries that SLOWLOG GET shows unless told otherwise.
const SHOWN_COUNT: usize = 10;

const BASE: Spec = Spec {
    arity: 2,
    flags: flag::ADMIN | flag::LOADING | flag::STALE,
    group: Group::Server,
    since: "2.2.12",
    ..Spec::EMPTY
};

/// The family.
pub const COMMANDS: &[SessionCommand] = &[SessionCommand {
    spec: Spec {
        name: "slowlog",
        arity: -2,
        flags: 0,
        complexity: "Depends on the subcommand.",
        summary: "Holds the commands on the slow log.",
        subcommands: &specs(SUBCOMMANDS),
        ..BASE
    },
    run: container,
    subcommands: SUBCOMMANDS,
}];

const fn sub(spec: Spec, run: SessionRun) -> SessionCommand {
    command(spec, run)
}

const SUBCOMMANDS: &[SessionCommand; 4] = &[
    sub(
        Spec {
            name: "get",
            arity: -2,
            complexity: "O(N), N being the number of entries returned.",
            summary: "Returns the newest entries.",
            args: &[Arg::new("count", ArgKind::Integer).optional()],
            tips: &["request_policy:all_nodes", "nondeterministic_output"],
            history: &[("4.0.0", "Entries tell the client's address and name.")],
            ..BASE
        },
        get,
    ),
    sub(
        Spec {
            name: "help",
            flags: flag::LOADING | flag::STALE,
            since: "6.2.0",
            summary: HELP_SUMMARY,
            ..BASE
        },
        show_help,
    ),
    sub(
        Spec {
            name: "len",
            summary: "Counts the entries.",
            tips: &[
                "request_policy:all_nodes",
                "response_policy:agg_sum",
                "nondeterministic_output",
            ],
            ..BASE
        },
        len,
    ),
    sub(
        Spec {
            name: "reset",
            complexity: "O(N), N being the number of entries.",
            summary: "Forgets all entries.",
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            ..BASE
        },
        reset,
    ),
];

fn get(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let count = match call.args.len() {
        2 => SHOWN_COUNT,
        3 => match integer(call, 2) {
            Some(-1) => usize::MAX,
            Some(count) if count >= 0 => count as usize,
            _ => {
                let text = "ERR count should be greater than or equal to -1";
                return Err(Failure::text(text));
            }
        },
        _ => return Err(miscalled("SLOWLOG", call.args.get(1))),
    };
    let entries = call.services().slowlog.newest(count);
    call.reply.array(entries.len());
    entries.iter().for_each(|entry| show(call, entry));
    Ok(())
}

fn show(call: &mut SessionCall<'_, '_, '_>, entry: &SlowEntry) {
    let reply = &mut *call.reply;
    reply.array(6);
    reply.integer(entry.id as i64);
    reply.integer(entry.time_s as i64);
    reply.integer(entry.micros as i64);
    reply.array(entry.args.len());
    entry.args.iter().for_each(|word| reply.bulk(word));
    reply.bulk(entry.client.as_bytes());
    reply.bulk(&entry.client_name);
}

fn len(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    call.reply.integer(call.services().slowlog.len() as i64);
    Ok(())
}

fn reset(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    call.services().slowlog.reset();
    call.reply.ok();
    Ok(())
}

fn show_help(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let lines = [
        ("GET [<count>]", "Show the newest entries: 10 unless told otherwise, all for -1."),
        ("LEN", "Count the entries."),
        ("RESET", "Forget all entries."),
    ];
    help(call, "SLOWLOG", &lines);
    Ok(())
}
