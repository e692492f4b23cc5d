//! DEBUG: what tests of servers and clients ask for. Refused unless `enable-debug-command` admits
//! it.
//!
//! Redis has no rows of DEBUG's subcommands, so COMMAND has none here: they are a table of their
//! own.

mod blocking;
mod data;
mod digest;
mod help;
mod populate;
mod protocol;
mod small;

use crate::admin::command;
use crate::admin::config::is_admitted;
use crate::command::help::miscalled;
use crate::command::spec::{Failure, Group, Spec, flag};
use crate::session::call::{SessionCall, SessionRun};
use crate::session::table::SessionCommand;

/// The family.
pub const COMMANDS: &[SessionCommand] = &[command(
    Spec {
        name: "debug",
        arity: -2,
        flags: flag::ADMIN | flag::NOSCRIPT | flag::LOADING | flag::STALE | flag::SYSTEM,
        group: Group::Server,
        complexity: "Depends on the subcommand.",
        summary: "Holds the commands that tests need.",
        ..Spec::EMPTY
    },
    debug,
)];

const NOT_ADMITTED: Failure = Failure::text(
    "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you \
     can run it from a local connection, otherwise you need to set this option in the \
     configuration file, and then restart the server.",
);

/// A subcommand: its name, its least and most arguments with `DEBUG` and the name, its function.
type Subcommand = (&'static str, usize, usize, SessionRun);

const SUBCOMMANDS: &[Subcommand] = &[
    ("help", 2, 2, help::show),
    ("sleep", 3, 3, small::sleep),
    ("jmap", 2, 2, small::nothing),
    ("object", 3, 4, data::object),
    ("digest", 2, 2, data::digest),
    ("digest-value", 2, usize::MAX, data::digest_value),
    ("populate", 3, 5, populate::populate),
    ("reload", 2, usize::MAX, data::reload),
    ("loadaof", 2, 2, data::load_log),
    ("set-active-expire", 3, 3, small::set_active_expire),
    ("protocol", 3, 3, protocol::protocol),
    ("error", 3, 3, small::error),
    ("log", 3, 3, small::log),
    ("stringmatch-len", 4, 4, small::string_match),
    ("quicklist-packed-threshold", 3, 3, small::packed_threshold),
    ("segfault", 2, 2, small::crash),
    ("panic", 2, 2, small::crash),
    ("assert", 2, 2, small::crash),
    ("oom", 2, 2, small::crash),
    // What they turn in Redis does not exist here.
    ("aof-flush-sleep", 3, 3, small::nothing),
    ("change-repl-id", 2, 2, small::nothing),
    ("client-enforce-reply-list", 3, 3, small::nothing),
    ("config-rewrite-force-all", 2, 2, small::nothing),
    ("delay-rdb-client-free-second", 3, 3, small::nothing),
    ("dict-resizing", 3, 3, small::nothing),
    ("leak", 3, 3, small::nothing),
    ("pause-cron", 3, 3, small::nothing),
    ("replicate", 3, usize::MAX, small::nothing),
    ("replybuffer", 4, 4, small::nothing),
    ("set-disable-deny-scripts", 3, 3, small::nothing),
    ("set-skip-checksum-validation", 3, 3, small::nothing),
];

fn debug(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    if !is_admitted(call, "enable-debug-command") {
        return Err(NOT_ADMITTED);
    }
    let count = call.args.len();
    let mut subcommands = SUBCOMMANDS.iter();
    match subcommands
        .find(|(name, least, most, _)| call.args.is(1, name) && (*least..=*most).contains(&count))
    {
        Some((.., run)) => run(call),
        None => Err(miscalled("DEBUG", call.args.get(1))),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::small::seconds;
    use super::*;

    #[test]
    fn seconds_are_read_as_c_reads_them() {
        let words: [&[u8]; 5] = [b"0.25", b"x", b"-1", b"nan", b"1e300"];
        let expected = [Duration::from_millis(250), Duration::ZERO, Duration::ZERO, Duration::ZERO];
        assert_eq!(words.map(seconds)[..4], expected);
        assert_eq!(seconds(words[4]), Duration::MAX);
    }

    #[test]
    fn every_subcommand_has_one_row() {
        let mut names: Vec<&str> = SUBCOMMANDS.iter().map(|row| row.0).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), SUBCOMMANDS.len());
        assert!(SUBCOMMANDS.iter().all(|(_, least, most, _)| least <= most && *least >= 2));
    }
}
