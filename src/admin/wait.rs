//! WAIT and WAITAOF, as on a server without replicas.

use crate::command::block::whole_timeout_ms;
use crate::command::spec::{Arg, ArgKind, Failure, Group, Spec, flag};
use crate::resp::write::Reply;
use crate::session::call::{Job, Outcome, SessionCall};
use crate::session::table::SessionCommand;
use crate::types::Lsn;

use super::{command, integer};

const BASE: Spec = Spec {
    flags: flag::BLOCKING,
    acl: &["connection"],
    group: Group::Generic,
    tips: &["request_policy:all_shards", "response_policy:agg_min"],
    ..Spec::EMPTY
};
const REPLICAS: Arg = Arg::new("numreplicas", ArgKind::Integer);
const TIMEOUT: Arg = Arg::new("timeout", ArgKind::Integer);

/// The family.
pub const COMMANDS: &[SessionCommand] = &[
    command(
        Spec {
            name: "wait",
            arity: 3,
            since: "3.0.0",
            summary: "Waits until replicas have the connection's writes; there are none.",
            args: &[REPLICAS, TIMEOUT],
            ..BASE
        },
        wait,
    ),
    command(
        Spec {
            name: "waitaof",
            arity: 4,
            since: "7.2.0",
            summary: "Waits until the connection's writes are on disk, here and on replicas.",
            args: &[Arg::new("numlocal", ArgKind::Integer), REPLICAS, TIMEOUT],
            ..BASE
        },
        wait_aof,
    ),
];

fn wait(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let replicas = integer(call, 1).ok_or(Failure::NotInteger)?;
    let timeout = whole_timeout_ms(call.args.get(2))?;
    if replicas <= 0 || call.in_exec {
        call.reply.integer(0);
        return Ok(());
    }
    let job: Job = Box::new(|out, protocol| {
        Reply::new(out, protocol).integer(0);
        0
    });
    call.outcome = Outcome::Later(timeout, job);
    Ok(())
}

fn wait_aof(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let local = integer(call, 1).ok_or(Failure::NotInteger)?;
    if !(0..=1).contains(&local) {
        return Err(Failure::text("ERR value is out of range, value must between 0 and 1"));
    }
    let replicas = integer(call, 2).filter(|count| *count >= 0);
    let replicas = replicas.ok_or(Failure::text("ERR value is out of range, must be positive"))?;
    let timeout = whole_timeout_ms(call.args.get(3))?;
    // Whatever the connection has written is among all that was written.
    let written = call.services().engine.last_lsn();
    let durable = call.services().engine.durable_lsn();
    if call.in_exec || local == 0 && replicas == 0 {
        reply_counts(call.reply, durable >= written);
        return Ok(());
    }
    if replicas == 0 {
        reply_counts(call.reply, true);
        call.outcome = Outcome::Done(written);
        return Ok(());
    }
    let job: Job = Box::new(move |out, protocol| -> Lsn {
        reply_counts(&mut Reply::new(out, protocol), true);
        written
    });
    call.outcome = Outcome::Later(timeout, job);
    Ok(())
}

/// Servers that have the writes on disk: this one, or none; and no replica.
fn reply_counts(reply: &mut Reply<'_>, is_durable: bool) {
    reply.array(2);
    reply.integer(i64::from(is_durable));
    reply.integer(0);
}
