//! CONFIG.

use crate::command::glob;
use crate::command::row::block;
use crate::command::spec::{Arg, ArgKind, Failure, Group, Spec, flag, quoted};
use crate::config::SetError;
use crate::session::call::SessionCall;
use crate::session::table::{SessionCommand, specs};

use super::{command, container, failure, help};

const BASE: Spec = Spec {
    arity: 2,
    flags: flag::ADMIN | flag::NOSCRIPT | flag::LOADING | flag::STALE,
    group: Group::Server,
    since: "2.0.0",
    ..Spec::EMPTY
};

/// What to do with a command on a cluster.
pub const ALL_NODES: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

/// The family.
pub const COMMANDS: &[SessionCommand] = &[SessionCommand {
    spec: Spec {
        name: "config",
        arity: -2,
        flags: 0,
        complexity: "Depends on subcommand.",
        summary: "A container for commands on the directives of the server.",
        subcommands: &specs(SUBCOMMANDS),
        ..BASE
    },
    run: container,
    subcommands: SUBCOMMANDS,
}];

const SUBCOMMANDS: &[SessionCommand; 5] = &[
    command(
        Spec {
            name: "get",
            arity: -3,
            complexity: "O(N) when N is the number of directives",
            summary: "Names and values of the directives that match.",
            args: &[Arg::new("parameter", ArgKind::String).multiple()],
            history: &[("7.0.0", "Several patterns may be given.")],
            ..BASE
        },
        get,
    ),
    command(
        Spec {
            name: "set",
            arity: -4,
            complexity: "O(N) when N is the number of directives",
            summary: "Sets directives, all of them or none.",
            args: &[block(
                "data",
                &[Arg::new("parameter", ArgKind::String), Arg::new("value", ArgKind::String)],
            )
            .multiple()],
            history: &[("7.0.0", "Several directives may be given.")],
            tips: ALL_NODES,
            ..BASE
        },
        set,
    ),
    command(
        Spec {
            name: "rewrite",
            since: "2.8.0",
            summary: "Writes the directives in force into the configuration file.",
            tips: ALL_NODES,
            ..BASE
        },
        rewrite,
    ),
    command(
        Spec {
            name: "resetstat",
            summary: "Starts the counters of INFO at zero again.",
            tips: ALL_NODES,
            ..BASE
        },
        reset_stat,
    ),
    command(
        Spec {
            name: "help",
            flags: flag::LOADING | flag::STALE,
            since: "5.0.0",
            summary: "Lists the subcommands.",
            ..BASE
        },
        show_help,
    ),
];

/// A name without wildcards is answered as it was asked for.
fn get(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let args = call.args;
    let asked = |name: &str| {
        let matches = |pattern: &&[u8]| glob::matches(pattern, name.as_bytes(), true);
        args.iter_from(2).find(matches)
    };
    let config = &call.services().config;
    let found = config.matching(|name| asked(name).is_some());
    call.reply.map(found.len());
    for (name, value) in found {
        let same = asked(name).filter(|word| word.eq_ignore_ascii_case(name.as_bytes()));
        call.reply.bulk(same.unwrap_or(name.as_bytes()));
        call.reply.bulk(value.as_bytes());
    }
    Ok(())
}

fn set(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let words: Vec<String> =
        call.args.iter_from(2).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    if !words.len().is_multiple_of(2) {
        return Err(Failure::Syntax);
    }
    let pairs: Vec<_> = words.chunks(2).map(|p| (p[0].clone(), p[1].clone())).collect();
    let may_protected = is_admitted(call, "enable-protected-configs");
    match call.services().config.set(&pairs, may_protected) {
        Ok(()) => {
            call.services().tell_engine();
            call.reply.ok();
        }
        Err(SetError::Unknown(name)) => {
            let mut words = call.args.iter_from(2);
            let word = words.find(|word| String::from_utf8_lossy(word) == name);
            let text = b"ERR Unknown option or number of arguments for CONFIG SET - '";
            return Err(Failure::quoting(&[text, quoted(word.unwrap_or_default()), b"'"]));
        }
        Err(SetError::Refused { name, reason }) => {
            return Err(failure(format!(
                "ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}"
            )));
        }
    }
    Ok(())
}

/// Whether a directive of the values `no`, `yes` and `local` admits this client.
pub fn is_admitted(call: &SessionCall<'_, '_, '_>, directive: &str) -> bool {
    match call.services().config.get(directive).as_str() {
        "yes" => true,
        "local" => call.session.client.endpoint.is_local(),
        _ => false,
    }
}

fn rewrite(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let rewritten = call.services().config.rewrite();
    rewritten.map_err(|reason| failure(format!("ERR {reason}")))?;
    call.reply.ok();
    Ok(())
}

fn reset_stat(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    call.services().stats.reset();
    call.services().engine.reset_counts();
    call.reply.ok();
    Ok(())
}

fn show_help(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    help(
        call,
        "CONFIG",
        &[
            ("GET <pattern>", "Names and values of the directives that match the pattern."),
            ("SET <directive> <value>", "Give the directive this value."),
            ("RESETSTAT", "Start the counters of INFO at zero again."),
            ("REWRITE", "Write the directives in force into the configuration file."),
        ],
    );
    Ok(())
}
