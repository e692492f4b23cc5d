//! Checkpoints, compaction and the way out: SAVE, BGSAVE, BGREWRITEAOF, LASTSAVE, SHUTDOWN.

use std::sync::Arc;

use crate::command::row::{block, one_of, word};
use crate::command::spec::{Arg, Failure, Group, Spec, flag};
use crate::engine::Engine;
use crate::error::Result as EngineResult;
use crate::resp::write::Reply;
use crate::session::call::{Outcome, SessionCall};
use crate::session::services::Services;
use crate::session::table::SessionCommand;
use crate::session::upkeep::{Task, Upkeep};

use super::{command, failure};

const ADMIN: u32 = flag::ADMIN | flag::NOSCRIPT;
const BASE: Spec =
    Spec { flags: ADMIN | flag::NO_ASYNC_LOADING, group: Group::Server, ..Spec::EMPTY };
const SAVE_UNDER_WAY: Failure = Failure::text("ERR Background save already in progress");
const REWRITE_UNDER_WAY: Failure =
    Failure::text("ERR Background append only file rewriting already in progress");

/// The family.
pub const COMMANDS: &[SessionCommand] = &[
    command(
        Spec {
            name: "save",
            flags: BASE.flags | flag::NO_MULTI,
            complexity: "O(N), N being the number of keys that changed since the last checkpoint.",
            summary: "Takes a checkpoint and waits for it.",
            ..BASE
        },
        save,
    ),
    command(
        Spec {
            name: "bgsave",
            arity: -1,
            summary: "Takes a checkpoint in the background.",
            args: &[word("schedule", "SCHEDULE").optional().since("3.2.2")],
            history: &[("3.2.2", "SCHEDULE is understood.")],
            ..BASE
        },
        bgsave,
    ),
    command(
        Spec {
            name: "bgrewriteaof",
            summary: "Takes a checkpoint and merges parts in the background, to free log and disk.",
            ..BASE
        },
        bgrewriteaof,
    ),
    command(
        Spec {
            name: "lastsave",
            flags: flag::LOADING | flag::STALE | flag::FAST,
            acl: &["admin", "dangerous"],
            summary: "Tells the Unix time of the last checkpoint.",
            tips: &["nondeterministic_output"],
            ..BASE
        },
        last_save,
    ),
    command(
        Spec {
            name: "shutdown",
            arity: -1,
            flags: ADMIN | flag::LOADING | flag::STALE | flag::NO_MULTI | flag::ALLOW_BUSY,
            complexity: "O(N), N being the number of keys that changed since the last checkpoint.",
            summary: "Takes a checkpoint and ends the server.",
            args: &[one_of("abort-selector", SHUTDOWN_ARGS).optional()],
            history: &[("7.0.0", "NOW, FORCE and ABORT are understood.")],
            ..BASE
        },
        shutdown,
    ),
];

const SHUTDOWN_ARGS: &[Arg] = &[
    block(
        "save-selector-block",
        &[
            one_of("save-selector", SAVE_ARGS).optional(),
            word("now", "NOW").optional().since("7.0.0"),
            word("force", "FORCE").optional().since("7.0.0"),
        ],
    ),
    word("abort", "ABORT").since("7.0.0"),
];
const SAVE_ARGS: &[Arg] = &[word("nosave", "NOSAVE"), word("save", "SAVE")];

/// Runs work on the engine and notes in `task` how it went.
fn run_task(services: &Services, task: &Task, work: fn(&Engine) -> EngineResult<()>) -> bool {
    let last_lsn = services.engine.last_lsn();
    let result = work(&services.engine);
    let failed = result.is_err();
    match result {
        Ok(()) => services.upkeep.note_saved(last_lsn),
        Err(error) => tracing::warn!("{error}"),
    }
    task.end(services.engine.now_ms(), failed);
    !failed
}

fn save(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let services: Arc<Services> = call.dispatcher.services.clone();
    if !services.upkeep.save.start(call.dispatcher.now_ms) {
        return Err(SAVE_UNDER_WAY);
    }
    call.outcome = Outcome::Job(Box::new(move |out, protocol| {
        let done = run_task(&services, &services.upkeep.save, Engine::checkpoint);
        let mut reply = Reply::new(out, protocol);
        match done {
            true => reply.ok(),
            false => reply.error("ERR"),
        }
        0
    }));
    Ok(())
}

fn bgsave(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    if call.args.len() > 2 || call.args.len() == 2 && !call.args.is(1, "SCHEDULE") {
        return Err(Failure::Syntax);
    }
    if !in_background(call, "checkpoint", |upkeep| &upkeep.save, Engine::checkpoint_paced)? {
        return Err(SAVE_UNDER_WAY);
    }
    call.reply.simple(match call.in_exec {
        true => "Background saving scheduled",
        false => "Background saving started",
    });
    Ok(())
}

fn bgrewriteaof(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let started = in_background(
        call,
        "compaction",
        |upkeep| &upkeep.rewrite,
        |engine| {
            engine.checkpoint_paced()?;
            while engine.compact_paced()? {}
            Ok(())
        },
    )?;
    if !started {
        return Err(REWRITE_UNDER_WAY);
    }
    call.reply.simple(match call.in_exec {
        true => "Background append only file rewriting scheduled",
        false => "Background append only file rewriting started",
    });
    Ok(())
}

/// Starts a task in a thread of its own; false when it runs already.
fn in_background(
    call: &SessionCall<'_, '_, '_>,
    name: &str,
    task: fn(&Upkeep) -> &Task,
    work: fn(&Engine) -> EngineResult<()>,
) -> Result<bool, Failure> {
    start_in_background(call.dispatcher.services, call.dispatcher.now_ms, name, task, work)
        .map_err(|error| failure(format!("ERR cannot start a thread: {error}")))
}

/// Starts a checkpoint in a thread of its own; false when one that was asked for runs already.
///
/// # Errors
/// When the system gives no thread.
pub fn checkpoint_in_background(services: &Arc<Services>, now_ms: u64) -> std::io::Result<bool> {
    let task: fn(&Upkeep) -> &Task = |upkeep| &upkeep.save;
    start_in_background(services, now_ms, "checkpoint", task, Engine::checkpoint)
}

fn start_in_background(
    services: &Arc<Services>,
    now_ms: u64,
    name: &str,
    task: fn(&Upkeep) -> &Task,
    work: fn(&Engine) -> EngineResult<()>,
) -> std::io::Result<bool> {
    if !task(&services.upkeep).start(now_ms) {
        return Ok(false);
    }
    let thread = std::thread::Builder::new().name(name.into());
    let of_thread = services.clone();
    let started = thread.spawn(move || {
        run_task(&of_thread, task(&of_thread.upkeep), work);
    });
    match started {
        Ok(_) => Ok(true),
        Err(error) => {
            task(&services.upkeep).end(now_ms, true);
            Err(error)
        }
    }
}

fn last_save(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let services = call.services();
    // Behind the locks of EXEC the engine is not asked anew.
    let engine = match call.unit {
        None => services.upkeep.engine_stats(&services.engine),
        Some(_) => services.upkeep.last_engine_stats(),
    };
    let time_s = crate::info::data::last_save_s(services, &engine, call.dispatcher.now_ms);
    call.reply.integer(time_s as i64);
    Ok(())
}

/// What SHUTDOWN was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Shutdown {
    save: bool,
    skip_save: bool,
    now: bool,
    force: bool,
    abort: bool,
}

impl Shutdown {
    fn parse<'w>(words: impl Iterator<Item = &'w [u8]>) -> Result<Shutdown, Failure> {
        let mut asked = Shutdown::default();
        for word in words {
            match word.to_ascii_lowercase().as_slice() {
                b"save" => asked.save = true,
                b"nosave" => asked.skip_save = true,
                b"now" => asked.now = true,
                b"force" => asked.force = true,
                b"abort" => asked.abort = true,
                _ => return Err(Failure::Syntax),
            }
        }
        let ends = asked.save || asked.skip_save || asked.now || asked.force;
        if asked.save && asked.skip_save || asked.abort && ends {
            return Err(Failure::Syntax);
        }
        Ok(asked)
    }
}

/// There is no reply but the end of the connection. A checkpoint that fails keeps the server
/// running unless it was forced: what is not in it would have to be replayed.
fn shutdown(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let asked = Shutdown::parse(call.args.iter_from(1))?;
    if asked.abort {
        // An end that was asked for is under way at once, as there is no replica to wait for.
        return Err(Failure::text("ERR No shutdown in progress."));
    }
    let services: Arc<Services> = call.dispatcher.services.clone();
    call.outcome = Outcome::Job(Box::new(move |out, protocol| {
        let saved = asked.skip_save || services.engine.checkpoint().is_ok();
        if saved || asked.force {
            services.stop.request(asked.skip_save);
        } else {
            let text = "ERR Errors trying to SHUTDOWN. Check logs.";
            Reply::new(out, protocol).error(text);
        }
        0
    }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Result<Shutdown, Failure> {
        Shutdown::parse(words.split_whitespace().map(str::as_bytes))
    }

    #[test]
    fn words_of_shutdown_may_not_contradict() {
        let asked = parse("NOW nosave Force").unwrap();
        assert!(asked.now && asked.skip_save && asked.force && !asked.save);
        assert_eq!(parse(""), Ok(Shutdown::default()));
        assert!(parse("save save").is_ok() && parse("abort").is_ok());
        for words in ["save nosave", "abort now", "now abort", "foo"] {
            assert_eq!(parse(words), Err(Failure::Syntax), "{words}");
        }
    }
}
