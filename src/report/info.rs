//! INFO.

use crate::admin::command;
use crate::command::spec::{Arg, ArgKind, Failure, Group, Spec, flag};
use crate::engine::unit::Unit;
use crate::engine::{Begin, Intent};
use crate::info::facts::{Facts, KeyCount};
use crate::info::{Selection, report};
use crate::session::call::{Outcome, SessionCall};
use crate::session::table::SessionCommand;
use crate::session::unknown::refusal_text;
use crate::types::Lsn;

use super::engine_stats;

/// The family.
pub const COMMANDS: &[SessionCommand] = &[command(
    Spec {
        name: "info",
        arity: -1,
        // All keys: counted under the locks of EXEC, when there.
        flags: flag::LOADING | flag::STALE | flag::ALL_KEYS,
        acl: &["dangerous"],
        group: Group::Server,
        summary: "Reports on the server in sections of lines.",
        args: &[Arg::new("section", ArgKind::String).optional().multiple()],
        tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
        history: &[("7.0.0", "Several sections may be named.")],
        ..Spec::EMPTY
    },
    info,
)];

fn info(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let selection = Selection::new(call.args.iter_from(1));
    let (keys, observed) = match selection.counts_keys() {
        true => count_keys(call)?,
        false => (Vec::new(), 0),
    };
    let engine = engine_stats(call);
    let dispatcher = call.dispatcher;
    let facts = Facts::new(call.services(), dispatcher.settings, engine, keys, dispatcher.now_ms);
    call.reply.verbatim("txt", &report(&selection, &facts));
    call.outcome = Outcome::Done(dispatcher.gate(call.session, observed));
    Ok(())
}

/// Keys of all databases that have some, and the LSN that this reveals (D2).
fn count_keys(call: &mut SessionCall<'_, '_, '_>) -> Result<(Vec<KeyCount>, Lsn), Failure> {
    if let Some(unit) = &mut call.unit {
        return Ok((counts(unit), 0));
    }
    let intent = Intent::read(call.dispatcher.now_ms);
    match call.services().engine.begin_all(&[], intent) {
        Begin::Ready(mut unit) => {
            let keys = counts(&mut unit);
            Ok((keys, unit.finish().observed))
        }
        Begin::Refused(error) => Err(Failure::Text(refusal_text(&error).into())),
        Begin::Cold(_) | Begin::Wait => unreachable!("no key was asked for, nothing is written"),
    }
}

fn counts(unit: &mut Unit<'_>) -> Vec<KeyCount> {
    let databases = 0..unit.databases();
    let counts = databases.map(|db| {
        let (keys, expires) = unit.counts(db);
        let ttl_ms_mean = if expires > 0 { unit.mean_ttl_ms(db) } else { 0 };
        KeyCount { db, keys, expires, ttl_ms_mean }
    });
    counts.filter(|count| count.keys > 0).collect()
}
