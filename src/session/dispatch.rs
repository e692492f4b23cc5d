//! From a parsed command to its reply: what must hold before it runs, and how it runs.
//!
//! The plain way (an authenticated client outside of MULTI) costs two branches before the engine is
//! asked. Everything unusual is behind [`Session::needs_attention`].

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use smallvec::SmallVec;

use crate::catalog::table::keys;
use crate::command::args::Args;
use crate::command::block::Block;
use crate::command::encodings::Encodings;
use crate::command::spec::{Call, Failure, Run, flag};
use crate::config::settings::Settings;
use crate::engine::staging::{Copied, Copying};
use crate::engine::unit::{Key, Unit};
use crate::engine::{Begin, ColdFetch, Intent};
use crate::generic::copy::key_elsewhere;
use crate::resp::write::{Output, Protocol, Reply};
use crate::types::{Durability, Lsn, Position};

use super::blocking::{Blocked, Waiting};
use super::call::{Job, Outcome, SessionCall, SessionRun, Wait};
use super::services::Services;
use super::state::{ReplyMode, Session};
use super::stats::WorkerStats;
use super::table::{KeyPlan, Lookup, Row, Runner};
use super::transaction::OwnedArgs;
use super::unknown::{
    NOAUTH, failure_text, refusal_text, unknown_command, unknown_subcommand, wrong_arity,
};

/// Bytes of a frame beyond those of the request: a bound for headers and numbers.
const FRAME_BYTES_BASE: u64 = 256;
/// The same for each argument.
const FRAME_BYTES_PER_ARGUMENT: u64 = 64;

/// One parsed command.
#[derive(Clone, Copy)]
pub struct Request<'r> {
    /// What its name stands for.
    pub lookup: Lookup,
    /// Its arguments.
    pub args: &'r Args<'r>,
    /// The place of its key, for rows with [`KeyPlan::First`].
    pub position: Position,
    /// Bytes that it took on the wire, about.
    pub bytes: usize,
}

/// Runs commands for the connections of one worker.
pub struct Dispatcher<'d> {
    /// The parts of the server.
    pub services: &'d Arc<Services>,
    /// The counters of the worker.
    pub stats: &'d WorkerStats,
    /// The directives in force.
    pub settings: &'d Settings,
    /// Wall time, read once for a batch.
    pub now_ms: u64,
}

impl<'d> Dispatcher<'d> {
    /// Runs one command and appends its reply to `out`.
    #[inline]
    pub fn run(&self, session: &mut Session, request: &Request<'_>, out: &mut Output) -> Outcome {
        if session.needs_attention() || self.services.pause.is_active() {
            return self.run_attentively(session, request, out);
        }
        let Lookup::Found(row) = request.lookup else {
            return self.unknown(session, request, out);
        };
        if !row.takes(request.args.len()) {
            return self.reject(session, row, out, &wrong_arity(&row.name));
        }
        self.execute(row, session, request, out)
    }

    /// The way of clients in some special state. CLIENT REPLY is obeyed here.
    #[cold]
    fn run_attentively(
        &self,
        session: &mut Session,
        request: &Request<'_>,
        out: &mut Output,
    ) -> Outcome {
        let mark = out.mark();
        if session.reply_mode() == ReplyMode::Skip {
            session.set_reply_mode(ReplyMode::Skipping);
        }
        let was_muted = session.is_muted();
        let outcome = self.run_checked(session, request, out);
        // CLIENT REPLY ON is answered itself; EXEC has seen to what it holds.
        if !was_muted || session.reply_mode() == ReplyMode::On {
            return outcome;
        }
        if session.reply_mode() == ReplyMode::Skipping {
            session.set_reply_mode(match outcome {
                Outcome::Retry(_) => ReplyMode::Skip,
                _ => ReplyMode::On,
            });
        }
        out.truncate(mark);
        match outcome {
            Outcome::Job(job) => Outcome::Job(silenced(job)),
            Outcome::Later(ms, job) => Outcome::Later(ms, silenced(job)),
            Outcome::Blocked(blocked) => Outcome::Blocked(Blocked { is_silent: true, ..blocked }),
            outcome => outcome,
        }
    }

    fn run_checked(
        &self,
        session: &mut Session,
        request: &Request<'_>,
        out: &mut Output,
    ) -> Outcome {
        let Lookup::Found(row) = request.lookup else {
            return self.unknown(session, request, out);
        };
        if !row.takes(request.args.len()) {
            return self.reject(session, row, out, &wrong_arity(&row.name));
        }
        if self.lacks_authentication(session) && !row.has(flag::NO_AUTH) {
            return self.reject(session, row, out, NOAUTH);
        }
        let queues = session.transaction.is_some();
        if queues && row.has(flag::NO_MULTI) {
            let text = "ERR Command not allowed inside a transaction";
            return self.reject(session, row, out, text);
        }
        if let Some(ms) = self.pause_ms(session, row) {
            return Outcome::Retry(Wait::Pause(ms));
        }
        if queues && !ends_or_shapes_transaction(row) {
            return self.queue(row, session, request, out);
        }
        self.execute(row, session, request, out)
    }

    fn pause_ms(&self, session: &Session, row: &Row) -> Option<u64> {
        if !self.services.pause.is_active() {
            return None;
        }
        let may_write = |row: &Row| row.spec.flags & (flag::WRITE | flag::MAY_REPLICATE) != 0;
        let transaction = session.transaction.as_ref();
        let writes = may_write(row)
            || row.spec.name == "exec" && transaction.is_some_and(|t| t.rows().any(may_write));
        let ms = self.services.pause.remaining_ms(writes, self.now_ms);
        (ms > 0).then_some(ms)
    }

    #[inline]
    fn execute(
        &self,
        row: &'static Row,
        session: &mut Session,
        request: &Request<'_>,
        out: &mut Output,
    ) -> Outcome {
        match row.runner {
            Runner::Data(run) => self.execute_data(row, run, session, request, out),
            Runner::Session(run) => {
                self.execute_session(row, run, session, request.args, out, None)
            }
        }
    }

    #[inline]
    fn execute_data(
        &self,
        row: &'static Row,
        run: Run,
        session: &mut Session,
        request: &Request<'_>,
        out: &mut Output,
    ) -> Outcome {
        if row.has(flag::SCANS) {
            return self.scan(row, run, session, request, out);
        }
        // A unit is large: it is moved once.
        match self.begin(row, session, request) {
            Ok(Begin::Ready(mut unit)) => {
                let may_block = row.has(flag::BLOCKING);
                let (db, args, mark) = (session.db, request.args, out.mark());
                let block = self.run_in_unit((row, run), &mut unit, session, args, out, may_block);
                if let Some(block) = block {
                    let call = Waiting { args, db, protocol: session.protocol };
                    return Outcome::Blocked(self.wait_for(&mut unit, call, block));
                }
                if let Some(fetch) = unit.take_missed() {
                    out.truncate(mark);
                    drop(unit);
                    return self.wait(row, session, Wait::Cold(fetch), out);
                }
                let finished = unit.finish();
                self.stats.looked(finished.lookups);
                Outcome::Done(self.gate(session, finished.observed))
            }
            Ok(Begin::Wait) => Outcome::Retry(Wait::LogRoom),
            Ok(Begin::Refused(error)) => self.reject(session, row, out, &refusal_text(&error)),
            Ok(Begin::Cold(fetch)) if row.has(flag::MEMBERS) => {
                self.read_aside(run, session, request, fetch)
            }
            Ok(Begin::Cold(fetch)) => self.wait(row, session, Wait::Cold(fetch), out),
            Err(order) => self.wait(row, session, Wait::Stage(order), out),
        }
    }

    /// Looks up members of a cold key off the worker.
    #[cold]
    fn read_aside(
        &self,
        run: Run,
        session: &Session,
        request: &Request<'_>,
        fetch: ColdFetch,
    ) -> Outcome {
        let kept = KeptRead::of(self, session, request);
        Outcome::Job(Box::new(move |out, protocol| {
            let args = kept.args.get();
            let engine = &kept.services.engine;
            let key = engine.key(kept.db, args.get(1));
            let now_ms = engine.now_ms();
            let members: Vec<&[u8]> = args.iter_from(2).collect();
            match engine.begin_aside(fetch, &key, &members, now_ms) {
                Ok(unit) => kept.run(run, unit, out, protocol),
                Err(error) => {
                    Reply::new(out, protocol).error(&refusal_text(&error));
                    0
                }
            }
        }))
    }

    /// What is missing is waited for before the command is tried again, unless that just failed.
    fn wait(
        &self,
        row: &'static Row,
        session: &mut Session,
        wait: Wait,
        out: &mut Output,
    ) -> Outcome {
        match session.fetch_failure.take() {
            None => Outcome::Retry(wait),
            Some(text) => self.reject(session, row, out, &text),
        }
    }

    #[inline]
    fn begin(&self, row: &Row, session: &Session, request: &Request<'_>) -> Copied<Begin<'_>> {
        let engine = &self.services.engine;
        let args = request.args;
        let intent = Intent {
            write: row.has(flag::WRITE),
            frees: row.has(flag::FREES),
            replaces: row.spec.replaces(args),
            frame_bytes: self.frame_bytes(row, args, request.bytes),
            now_ms: self.now_ms,
        };
        match row.keys {
            KeyPlan::First => {
                let key = Key { db: session.db, position: request.position, bytes: args.get(1) };
                match row.has(flag::COPIES) {
                    true => self.begin_copying(row, session, args, &[key], intent),
                    false => engine.begin_copying(&[key], false, intent, None),
                }
            }
            _ if row.has(flag::ALL_KEYS) => engine.begin_copying(&[], true, intent, None),
            KeyPlan::None => engine.begin_copying(&[], false, intent, None),
            KeyPlan::Specs => {
                let mut keys = SmallVec::new();
                self.collect_keys(row, args, session.db, &mut keys);
                let reaches = row.has(flag::REACHES) && args.len() > 2;
                match row.has(flag::COPIES) && !reaches {
                    true => self.begin_copying(row, session, args, &keys, intent),
                    false => engine.begin_copying(&keys, reaches, intent, None),
                }
            }
        }
    }

    fn begin_copying(
        &self,
        row: &Row,
        session: &Session,
        args: &Args<'_>,
        keys: &[Key<'_>],
        intent: Intent,
    ) -> Copied<Begin<'_>> {
        let whole = row.spec.whole_copy(args, keys.len());
        let copying = Copying {
            bytes: &|stands, is_staged| match is_staged(0) {
                true => 0,
                false => row.spec.copied_bytes(args, keys.iter().map(stands)),
            },
            wholes: whole.as_slice(),
            staged: &session.staged,
        };
        self.services.engine.begin_copying(keys, false, intent, Some(&copying))
    }

    /// A bound of the frame that a request can lead to, without values that it copies and removals
    /// of keys past their deadline, which the engine adds.
    #[inline]
    pub fn frame_bytes(&self, row: &Row, args: &Args<'_>, request_bytes: usize) -> u64 {
        let extra = row.spec.extra_frame_bytes(args, self.settings.databases);
        let arguments = FRAME_BYTES_PER_ARGUMENT * args.len() as u64 + request_bytes as u64;
        FRAME_BYTES_BASE + arguments + extra
    }

    /// Appends the keys of a call.
    pub fn collect_keys<'k>(
        &self,
        row: &Row,
        args: &Args<'k>,
        db: u32,
        found: &mut SmallVec<[Key<'k>; 8]>,
    ) {
        // Arguments that do not fit their specification are a syntax error, which the command finds
        // before it looks at a key.
        let _ = keys(row.spec, args, |index, _| {
            if index < args.len() {
                found.push(self.services.engine.key(db, args.get(index)));
            }
        });
        if row.has(flag::OTHER_DATABASE)
            && let Some((db, index)) = key_elsewhere(args)
            && db < self.settings.databases
        {
            found.push(self.services.engine.key(db, args.get(index)));
        }
    }

    /// Runs a data command under the locks of `unit`; what it waits for, if it may and has to.
    #[inline]
    pub fn run_in_unit(
        &self,
        (row, run): (&Row, Run),
        unit: &mut Unit<'_>,
        session: &Session,
        args: &Args<'_>,
        out: &mut Output,
        may_block: bool,
    ) -> Option<Block> {
        let mark = out.mark();
        unit.set_touches(!session.client.no_touch.load(Relaxed) || row.spec.name == "touch");
        let mut call = Call {
            unit,
            db: session.db,
            args,
            encodings: &self.settings.encodings,
            string_bytes_max: self.settings.bulk_bytes_max,
            reply: &mut Reply::new(out, session.protocol),
            may_block,
            block: None,
        };
        match run(&mut call) {
            Ok(()) => call.block,
            Err(failure) => {
                out.truncate(mark);
                self.fail(row, session, failure, out);
                None
            }
        }
    }

    /// Runs a session command; in EXEC beside the unit of the transaction, if it has one.
    pub fn execute_session(
        &self,
        row: &'static Row,
        run: SessionRun,
        session: &mut Session,
        args: &Args<'_>,
        out: &mut Output,
        exec: Option<&mut Option<Unit<'d>>>,
    ) -> Outcome {
        session.client.last_row.store(row.id, Relaxed);
        let mark = out.mark();
        let protocol = session.protocol;
        let mut call = SessionCall {
            dispatcher: self,
            session: &mut *session,
            args,
            reply: &mut Reply::new(out, protocol),
            in_exec: exec.is_some(),
            unit: exec.and_then(|unit| unit.as_mut()),
            outcome: Outcome::Done(0),
        };
        match run(&mut call) {
            Ok(()) => {
                let outcome = call.outcome;
                if matches!(outcome, Outcome::NotRun) {
                    self.stats.rejected(row.id);
                }
                outcome
            }
            Err(failure) => {
                let outcome = call.outcome;
                out.truncate(mark);
                self.fail(row, session, failure, out);
                outcome
            }
        }
    }

    /// A command that walks the keyspace: off the worker when it may have to read the disk.
    fn scan(
        &self,
        row: &'static Row,
        run: Run,
        session: &mut Session,
        request: &Request<'_>,
        out: &mut Output,
    ) -> Outcome {
        let engine = &self.services.engine;
        if !engine.has_cold() {
            let mut unit = engine.begin_scan();
            self.run_in_unit((row, run), &mut unit, session, request.args, out, false);
            return Outcome::Done(self.gate(session, unit.finish().observed));
        }
        let kept = KeptRead::of(self, session, request);
        Outcome::Job(Box::new(move |out, protocol| {
            kept.run(run, kept.services.engine.begin_scan(), out, protocol)
        }))
    }

    /// Whether the client must authenticate first. It need not once the password was taken away.
    pub fn lacks_authentication(&self, session: &Session) -> bool {
        !session.is_authenticated() && !self.settings.password.is_empty()
    }

    /// The level at which this client is answered.
    #[inline]
    pub fn durability(&self, session: &Session) -> Durability {
        session.durability.unwrap_or(self.settings.durability)
    }

    /// The LSN that a reply waits for, having observed this one.
    #[inline]
    pub fn gate(&self, session: &Session, observed: Lsn) -> Lsn {
        match self.durability(session) {
            Durability::Always => observed,
            Durability::EverySec | Durability::No => 0,
        }
    }

    /// The error reply of a command that ran and failed.
    #[cold]
    pub fn fail(&self, row: &Row, session: &Session, failure: Failure, out: &mut Output) {
        let text = failure_text(failure);
        self.stats.failed(row.id);
        self.services.stats.error(&String::from_utf8_lossy(&text));
        Reply::new(out, session.protocol).error_bytes(&text);
    }

    /// The error reply of a command that does not run. A transaction is spoiled by it, and EXEC
    /// ends it.
    #[cold]
    pub fn reject(
        &self,
        session: &mut Session,
        row: &Row,
        out: &mut Output,
        text: &str,
    ) -> Outcome {
        self.stats.rejected(row.id);
        if row.spec.name == "exec" {
            return self.abort(session, out, text);
        }
        self.refuse(session, out, text.as_bytes())
    }

    #[cold]
    fn unknown(&self, session: &mut Session, request: &Request<'_>, out: &mut Output) -> Outcome {
        let name = request.args.get(0);
        if name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:") {
            // A browser that was tricked into talking to us; it gets no further.
            return Outcome::Close;
        }
        let text = match request.lookup {
            Lookup::UnknownSubcommand => unknown_subcommand(request.args),
            _ => unknown_command(request.args),
        };
        self.refuse(session, out, &text)
    }

    fn refuse(&self, session: &mut Session, out: &mut Output, text: &[u8]) -> Outcome {
        if let Some(transaction) = &mut session.transaction {
            transaction.spoil();
        }
        self.services.stats.error(&String::from_utf8_lossy(text));
        Reply::new(out, session.protocol).error_bytes(text);
        Outcome::NotRun
    }
}

/// A call that reads off the worker.
struct KeptRead {
    services: Arc<Services>,
    args: OwnedArgs,
    encodings: Encodings,
    string_bytes_max: u64,
    db: u32,
    /// Whether its reply waits until what it shows is durable.
    waits: bool,
}

impl KeptRead {
    fn of(dispatcher: &Dispatcher<'_>, session: &Session, request: &Request<'_>) -> KeptRead {
        KeptRead {
            services: dispatcher.services.clone(),
            args: OwnedArgs::copy(request.args),
            encodings: dispatcher.settings.encodings,
            string_bytes_max: dispatcher.settings.bulk_bytes_max,
            db: session.db,
            waits: dispatcher.durability(session) == Durability::Always,
        }
    }

    /// Runs it; the LSN that its reply waits for.
    fn run(&self, run: Run, mut unit: Unit<'_>, out: &mut Output, protocol: Protocol) -> Lsn {
        let mark = out.mark();
        let mut call = Call {
            unit: &mut unit,
            db: self.db,
            args: &self.args.get(),
            encodings: &self.encodings,
            string_bytes_max: self.string_bytes_max,
            reply: &mut Reply::new(out, protocol),
            may_block: false,
            block: None,
        };
        if let Err(failure) = run(&mut call) {
            out.truncate(mark);
            Reply::new(out, protocol).error_bytes(&failure_text(failure));
        }
        let finished = unit.finish();
        self.services.stats.looked_aside(finished.lookups);
        if self.waits { finished.observed } else { 0 }
    }
}

/// The same work without its reply.
fn silenced(job: Job) -> Job {
    Box::new(move |_, protocol| job(&mut Output::default(), protocol))
}

/// Commands that act at once even between MULTI and EXEC.
fn ends_or_shapes_transaction(row: &Row) -> bool {
    matches!(row.spec.name, "exec" | "discard" | "multi" | "watch" | "quit" | "reset")
}
