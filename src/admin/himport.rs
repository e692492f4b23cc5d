//! HIMPORT: hashes from values alone, whose fields the client has named before.

use std::sync::Arc;

use crate::command::row::{key_arg, keys_at};
use crate::command::spec::key_flag::{OW, UPDATE};
use crate::command::spec::{Arg, ArgKind, Failure, Group, Spec, flag};
use crate::engine::{Begin, Intent};
use crate::hashes::import::{frame_bytes, replace};
use crate::session::call::{Outcome, SessionCall, Wait};
use crate::session::fieldsets::Fieldset;
use crate::session::table::{SessionCommand, specs};
use crate::session::unknown::refusal_text;

use super::{command, container, failure};

const BASE: Spec = Spec {
    acl: &["hash"],
    group: Group::Hash,
    since: "8.10.0",
    tips: &["request_policy:all_shards"],
    ..Spec::EMPTY
};
const NAME: Arg = Arg::new("fieldset-name", ArgKind::String);

/// The family.
pub const COMMANDS: &[SessionCommand] = &[SessionCommand {
    spec: Spec {
        name: "himport",
        arity: -2,
        complexity: "Depends on subcommand.",
        summary: "A container for commands that make hashes from values alone.",
        tips: &[],
        subcommands: &specs(SUBCOMMANDS),
        ..BASE
    },
    run: container,
    subcommands: SUBCOMMANDS,
}];

const SUBCOMMANDS: &[SessionCommand; 4] = &[
    command(
        Spec {
            name: "prepare",
            arity: -4,
            flags: flag::DENYOOM,
            complexity: "O(N*log(N)) for N fields.",
            summary: "Names the fields of hashes to come, for this connection.",
            args: &[NAME, Arg::new("field", ArgKind::String).multiple()],
            ..BASE
        },
        prepare,
    ),
    command(
        Spec {
            name: "set",
            arity: -5,
            flags: flag::WRITE | flag::DENYOOM,
            keys: &[keys_at(2, 0, 1, OW | UPDATE)],
            complexity: "O(N*log(N)) for N fields.",
            summary: "Stores a hash of named fields with these values.",
            args: &[key_arg(), NAME, Arg::new("value", ArgKind::String).multiple()],
            tips: &[],
            ..BASE
        },
        set,
    ),
    command(
        Spec {
            name: "discard",
            arity: 3,
            summary: "Forgets the names of fields.",
            args: &[NAME],
            ..BASE
        },
        discard,
    ),
    command(
        Spec {
            name: "discardall",
            arity: 2,
            complexity: "O(N) for N fieldsets.",
            summary: "Forgets all names of fields.",
            ..BASE
        },
        discard_all,
    ),
];

fn prepare(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let bytes_max = call.dispatcher.settings.query_bytes_max;
    call.session.fieldsets.prepare(call.args, bytes_max)?;
    call.reply.ok();
    Ok(())
}

fn discard(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let discarded = call.session.fieldsets.discard(call.args.get(2));
    call.reply.integer(i64::from(discarded));
    Ok(())
}

fn discard_all(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let count = call.session.fieldsets.discard_all();
    call.reply.integer(count as i64);
    Ok(())
}

fn set(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let args = call.args;
    let fieldset: Arc<Fieldset> = match call.session.fieldsets.get(args.get(3)) {
        Some(fieldset) => fieldset.clone(),
        None => return Err(Failure::text("ERR no such fieldset")),
    };
    if fieldset.fields().len() != args.len() - 4 {
        return Err(Failure::text("ERR value count does not match fieldset"));
    }
    let pairs: Vec<_> = fieldset.fields().zip(args.iter_from(4)).collect();
    let (dispatcher, db) = (call.dispatcher, call.session.db);
    let encodings = &dispatcher.settings.encodings;
    let key = dispatcher.services.engine.key(db, args.get(2));
    if let Some(unit) = call.unit.as_deref_mut() {
        replace(unit, encodings, &key, pairs)?;
        call.reply.ok();
        return Ok(());
    }
    let bytes = pairs.iter().map(|(field, value)| field.len() + value.len()).sum();
    let frame_bytes = frame_bytes(key.bytes, pairs.len(), bytes);
    let intent = Intent::write(dispatcher.now_ms, frame_bytes);
    let mut unit = match dispatcher.services.engine.begin(&[key], intent) {
        Begin::Ready(unit) => unit,
        Begin::Refused(error) => return Err(failure(refusal_text(&error))),
        Begin::Wait => {
            call.outcome = Outcome::Retry(Wait::LogRoom);
            return Ok(());
        }
        Begin::Cold(fetch) => match call.session.fetch_failure.take() {
            Some(text) => return Err(failure(text)),
            None => {
                call.outcome = Outcome::Retry(Wait::Cold(fetch));
                return Ok(());
            }
        },
    };
    let replaced = replace(&mut unit, encodings, &key, pairs);
    let finished = unit.finish();
    dispatcher.stats.looked(finished.lookups);
    call.outcome = Outcome::Done(dispatcher.gate(call.session, finished.observed));
    replaced?;
    call.reply.ok();
    Ok(())
}
