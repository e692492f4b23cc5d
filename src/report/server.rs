//! Short questions to the server: TIME and ROLE.

use std::time::SystemTime;

use crate::admin::command;
use crate::command::spec::{Failure, Group, Spec, flag};
use crate::session::call::SessionCall;
use crate::session::table::SessionCommand;

/// The family.
pub const COMMANDS: &[SessionCommand] = &[
    command(
        Spec {
            name: "time",
            flags: flag::LOADING | flag::STALE | flag::FAST,
            group: Group::Server,
            since: "2.6.0",
            summary: "Tells the time of day in seconds and microseconds.",
            tips: &["nondeterministic_output"],
            ..Spec::EMPTY
        },
        time,
    ),
    command(
        Spec {
            name: "role",
            flags: flag::NOSCRIPT | flag::LOADING | flag::STALE | flag::FAST,
            acl: &["admin", "dangerous"],
            group: Group::Server,
            since: "2.8.12",
            summary: "Tells the server's part in replication.",
            ..Spec::EMPTY
        },
        role,
    ),
];

fn time(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = since_epoch.unwrap_or_default();
    call.reply.array(2);
    call.reply.bulk_integer(now.as_secs() as i64);
    call.reply.bulk_integer(i64::from(now.subsec_micros()));
    Ok(())
}

/// A primary that has sent nothing, to no replica.
fn role(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    call.reply.array(3);
    call.reply.bulk(b"master");
    call.reply.integer(0);
    call.reply.array(0);
    Ok(())
}
