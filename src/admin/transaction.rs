//! MULTI, EXEC, DISCARD, WATCH, UNWATCH.

use smallvec::SmallVec;

use crate::command::row::key_arg;
use crate::command::spec::{BeginSearch, Failure, FindKeys, Group, KeySpec, Spec, flag, key_flag};
use crate::engine::{Begin, Intent};
use crate::session::call::{Outcome, SessionCall, Wait};
use crate::session::table::SessionCommand;
use crate::session::unknown::refusal_text;

use super::{command, failure};

const BASE: Spec = Spec {
    arity: 1,
    flags: flag::NOSCRIPT | flag::LOADING | flag::STALE | flag::FAST | flag::ALLOW_BUSY,
    group: Group::Transactions,
    acl: &["transaction"],
    ..Spec::EMPTY
};

const WATCHED: KeySpec = KeySpec {
    begin: BeginSearch::Index(1),
    find: FindKeys::Range { last: -1, step: 1, limit: 0 },
    flags: key_flag::RO,
    notes: "",
};

/// The family.
pub const COMMANDS: &[SessionCommand] = &[
    command(
        Spec {
            name: "multi",
            since: "1.2.0",
            summary: "Opens a transaction: the commands that follow are queued.",
            ..BASE
        },
        multi,
    ),
    command(
        Spec {
            name: "exec",
            flags: flag::NOSCRIPT | flag::LOADING | flag::STALE | flag::SKIP_SLOWLOG,
            since: "1.2.0",
            complexity: "Depends on the queued commands",
            summary: "Runs the queued commands as one atomic unit.",
            ..BASE
        },
        exec,
    ),
    command(
        Spec {
            name: "discard",
            since: "2.0.0",
            complexity: "O(N), when N is the number of queued commands",
            summary: "Drops the queued commands.",
            ..BASE
        },
        discard,
    ),
    command(
        Spec {
            name: "watch",
            arity: -2,
            since: "2.2.0",
            keys: &[WATCHED],
            complexity: "O(1) for every key",
            summary: "Makes the next transaction depend on keys staying as they are.",
            args: &[key_arg().multiple()],
            ..BASE
        },
        watch,
    ),
    command(
        Spec { name: "unwatch", since: "2.2.0", summary: "Forgets the watched keys.", ..BASE },
        unwatch,
    ),
];

fn multi(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    if call.session.transaction.is_some() {
        return Err(Failure::text("ERR MULTI calls can not be nested"));
    }
    call.session.open_transaction();
    call.reply.ok();
    Ok(())
}

fn exec(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    match &call.session.transaction {
        None => Err(Failure::text("ERR EXEC without MULTI")),
        Some(transaction) if transaction.is_spoiled() => {
            drop_transaction(call);
            Err(Failure::text("EXECABORT Transaction discarded because of previous errors."))
        }
        Some(_) => {
            call.outcome = call.dispatcher.exec(call.session, call.reply.output());
            Ok(())
        }
    }
}

fn drop_transaction(call: &mut SessionCall<'_, '_, '_>) {
    let engine = &call.services().engine;
    call.session.close_transaction();
    call.session.unwatch(engine);
}

fn discard(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    if call.session.transaction.is_none() {
        return Err(Failure::text("ERR DISCARD without MULTI"));
    }
    drop_transaction(call);
    call.reply.ok();
    Ok(())
}

/// Keys past their deadline are removed before they are watched: that removal is no change.
fn watch(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    if call.session.transaction.is_some() {
        return Err(Failure::text("ERR WATCH inside MULTI is not allowed"));
    }
    let engine = &call.services().engine;
    let db = call.session.db;
    let words = call.args.iter_from(1);
    let keys: SmallVec<[_; 8]> = words.map(|word| engine.key(db, word)).collect();
    let intent = Intent::read(call.dispatcher.now_ms);
    let failed = call.session.fetch_failure.take();
    match engine.begin(&keys, intent) {
        Begin::Ready(mut unit) => {
            for key in &keys {
                unit.probe(key);
            }
            unit.finish();
        }
        Begin::Wait => {
            call.outcome = Outcome::Retry(Wait::LogRoom);
            return Ok(());
        }
        Begin::Refused(error) => return Err(failure(refusal_text(&error))),
        Begin::Cold(fetch) => match failed {
            None => {
                call.outcome = Outcome::Retry(Wait::Cold(fetch));
                return Ok(());
            }
            Some(text) => return Err(failure(text)),
        },
    }
    for key in &keys {
        let added = call.session.watch(engine, key.bytes);
        added.map_err(|error| failure(refusal_text(&error)))?;
    }
    call.reply.ok();
    Ok(())
}

/// Inside EXEC nothing is watched any more; the watches are dropped once its locks are.
fn unwatch(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    if !call.in_exec {
        let engine = &call.services().engine;
        call.session.unwatch(engine);
    }
    call.reply.ok();
    Ok(())
}
