//! DEBUG HELP.

use crate::admin::help;
use crate::command::spec::Failure;
use crate::session::call::SessionCall;

const LINES: &[(&str, &str)] = &[
    ("ASSERT | OOM | PANIC | SEGFAULT", "Crash the server."),
    ("DIGEST", "Show a digest of all databases, the same as Redis would."),
    ("DIGEST-VALUE [<key> ...]", "Show a digest of each of these keys' values."),
    ("ERROR <text>", "Reply with this error."),
    ("JMAP", "Do nothing."),
    ("LOADAOF", "Forget what is in memory and recover it, without a checkpoint before."),
    ("LOG <text>", "Print this line."),
    ("OBJECT <key>", "Show how a value is kept."),
    (
        "POPULATE <count> [<prefix>] [<size>]",
        "Create keys <prefix>:0, <prefix>:1 and so on that are missing, with values of this size.",
    ),
    ("PROTOCOL <type>", "Reply with a value of this type of the protocol."),
    ("QUICKLIST-PACKED-THRESHOLD <size>", "Look at the size, and do nothing."),
    (
        "RELOAD [NOSAVE] [MERGE] [NOFLUSH]",
        "Take a checkpoint, forget what is in memory, and recover it.",
    ),
    ("SET-ACTIVE-EXPIRE <0|1>", "Turn off or on that keys go at their time though nobody asks."),
    ("SLEEP <seconds>", "Serve nobody for a while. Decimals are allowed."),
    ("STRINGMATCH-LEN <pattern> <text>", "Tell whether the pattern matches."),
    (
        "AOF-FLUSH-SLEEP | CHANGE-REPL-ID | DICT-RESIZING | PAUSE-CRON | REPLICATE | ...",
        "Do nothing: what they turn in Redis does not exist here.",
    ),
];

/// Replies with the subcommands.
pub fn show(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    help(call, "DEBUG", LINES);
    Ok(())
}
