//! What containers of subcommands have in common: HELP, and the answer to a word that they do not
//! know.

use crate::resp::write::Reply;

use super::spec::{Failure, quoted};

/// What every HELP says of itself.
pub const HELP_SUMMARY: &str = "Explains the subcommands.";

/// The reply of a container's HELP: `lines` in the frame that all of them have.
pub fn help(reply: &mut Reply<'_>, container: &str, lines: &[&str]) {
    reply.array(lines.len() + 3);
    let head = "<subcommand> [<arg> [value] [opt] ...]. Subcommands are:";
    reply.simple(&format!("{container} {head}"));
    lines.iter().for_each(|line| reply.simple(line));
    reply.simple("HELP");
    reply.simple("    Print this help.");
}

/// `ERR unknown subcommand '<name>'. Try <CONTAINER> HELP.`
pub fn unknown_subcommand(container: &str, name: &[u8]) -> Failure {
    see_help("unknown subcommand", container, name)
}

/// What a subcommand says itself to arguments that it does not take.
pub fn miscalled(container: &str, name: &[u8]) -> Failure {
    see_help("unknown subcommand or wrong number of arguments for", container, name)
}

fn see_help(what: &str, container: &str, name: &[u8]) -> Failure {
    let name = quoted(name);
    let name = &name[..name.len().min(128)];
    let container = container.to_ascii_uppercase();
    let (what, container) = (what.as_bytes(), container.as_bytes());
    Failure::quoting(&[b"ERR ", what, b" '", name, b"'. Try ", container, b" HELP."])
}
