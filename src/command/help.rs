//! What containers of subcommands have in common: HELP, and the answer to a word that they do not
//! know.

use crate::resp::write::Reply;

use super::spec::Failure;

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
    let name = String::from_utf8_lossy(&name[..name.len().min(128)]);
    let container = container.to_ascii_uppercase();
    Failure::Text(format!("ERR unknown subcommand '{name}'. Try {container} HELP.").into())
}
