//! Commands on sessions and on the server itself: a table row and a function each.
//!
//! A new one is a row in its family and a function; a new family is a line in [`COMMANDS`].

mod client;
mod client_args;
mod client_kill;
mod client_list;
pub mod config;
mod connection;
mod himport;
pub mod persist;
mod transaction;
mod wait;

use crate::command::spec::{Failure, Spec};
use crate::debug;
use crate::report;
use crate::session::call::SessionCall;
use crate::session::table::SessionCommand;

/// All families.
pub const COMMANDS: &[&[SessionCommand]] = &[
    connection::COMMANDS,
    client::COMMANDS,
    transaction::COMMANDS,
    config::COMMANDS,
    himport::COMMANDS,
    persist::COMMANDS,
    wait::COMMANDS,
    report::command::COMMANDS,
    report::info::COMMANDS,
    report::latency::COMMANDS,
    report::lolwut::COMMANDS,
    report::memory::COMMANDS,
    report::server::COMMANDS,
    report::slowlog::COMMANDS,
    debug::COMMANDS,
];

/// A row without subcommands.
pub const fn command(spec: Spec, run: crate::session::call::SessionRun) -> SessionCommand {
    SessionCommand { spec, run, subcommands: &[] }
}

/// The function of containers, which are never called without a subcommand.
pub fn container(_: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    Err(Failure::Syntax)
}

/// The reply of HELP: `lines` alternate between usage and explanation.
pub fn help(call: &mut SessionCall<'_, '_, '_>, name: &str, lines: &[(&str, &str)]) {
    let reply = &mut *call.reply;
    reply.array(1 + 2 * lines.len() + 2);
    let title = format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    reply.simple(&title);
    for (usage, explanation) in lines.iter().chain(&[("HELP", "Print this help.")]) {
        reply.simple(usage);
        reply.simple(&format!("    {explanation}"));
    }
}

/// An error of our own making.
pub fn failure(text: String) -> Failure {
    Failure::Text(text.into())
}

/// Argument `index` as an integer.
pub fn integer(call: &SessionCall<'_, '_, '_>, index: usize) -> Option<i64> {
    crate::resp::parse::parse_integer(call.args.get(index))
}
