//! MULTI to EXEC: commands are queued as they came, and run as one unit, which is one frame (D9).

use bytes::Bytes;

use crate::command::args::Args;
use crate::command::spec::flag;
use crate::engine::staging::{Copied, Copying};
use crate::engine::unit::Unit;
use crate::engine::{Begin, Intent};
use crate::resp::parse::Range;
use crate::resp::write::{Output, Reply};
use crate::types::Lsn;

use super::call::{Outcome, Wait};
use super::dispatch::{Dispatcher, Request};
use super::exec_keys::ExecKeys;
use super::state::Session;
use super::table::{Row, Runner};
use super::unknown::refusal_text;

/// Arguments that outlive the input they came in.
pub struct OwnedArgs {
    bytes: Bytes,
    ranges: Box<[Range]>,
}

impl OwnedArgs {
    /// A copy.
    pub fn copy(args: &Args<'_>) -> OwnedArgs {
        OwnedArgs::of(&args.iter_from(0).collect::<Vec<_>>())
    }

    fn of(args: &[&[u8]]) -> OwnedArgs {
        let len = args.iter().map(|argument| argument.len()).sum();
        let mut bytes = Vec::with_capacity(len);
        let ranges = args.iter().map(|argument| {
            let start = bytes.len() as u32;
            bytes.extend_from_slice(argument);
            (start, bytes.len() as u32)
        });
        let ranges = ranges.collect();
        OwnedArgs { bytes: bytes.into(), ranges }
    }

    /// A copy with other bytes in the place of some arguments.
    pub fn with(args: &Args<'_>, others: &[(usize, Vec<u8>)]) -> OwnedArgs {
        let mut all: Vec<&[u8]> = args.iter_from(0).collect();
        others.iter().for_each(|(index, other)| all[*index] = other);
        OwnedArgs::of(&all)
    }

    /// One argument.
    pub fn get_bytes(&self, index: usize) -> &[u8] {
        let (start, end) = self.ranges[index];
        &self.bytes[start as usize..end as usize]
    }

    /// The arguments.
    pub fn get(&self) -> Args<'_> {
        Args::new(&self.bytes, &self.ranges, Some(&self.bytes))
    }
}

struct Queued {
    row: &'static Row,
    args: OwnedArgs,
}

/// The commands queued since MULTI.
#[derive(Default)]
pub struct Transaction {
    queued: Vec<Queued>,
    bytes: usize,
    spoiled: bool,
}

impl Transaction {
    /// EXEC will refuse: a command could not be queued.
    pub fn spoil(&mut self) {
        self.spoiled = true;
    }

    /// Whether EXEC will refuse.
    pub fn is_spoiled(&self) -> bool {
        self.spoiled
    }

    /// The rows of the queued commands.
    pub fn rows(&self) -> impl Iterator<Item = &'static Row> {
        self.queued.iter().map(|queued| queued.row)
    }

    fn writes(&self) -> bool {
        self.rows().any(|row| row.has(flag::WRITE))
    }

    fn needs_all_keys(&self) -> bool {
        self.rows().any(|row| row.spec.flags & (flag::ALL_KEYS | flag::SCANS | flag::REACHES) != 0)
    }

    fn has_data_commands(&self) -> bool {
        self.rows().any(|row| matches!(row.runner, Runner::Data(_)) || row.has(flag::WRITE))
    }

    fn intent(&self, now_ms: u64, frame_bytes: u64) -> Intent {
        let mut writers = self.rows().filter(|row| row.has(flag::WRITE));
        let frees = writers.all(|row| row.has(flag::FREES));
        Intent { write: self.writes(), frees, replaces: false, frame_bytes, now_ms }
    }
}

impl<'d> Dispatcher<'d> {
    /// Queues a command.
    pub fn queue(
        &self,
        row: &'static Row,
        session: &mut Session,
        request: &Request<'_>,
        out: &mut Output,
    ) -> Outcome {
        let Some(transaction) = &mut session.transaction else {
            unreachable!("commands are queued behind MULTI only");
        };
        if transaction.bytes + request.bytes > self.settings.query_bytes_max {
            // The commands of one transaction are input that waits, and bounded like it.
            return self.reject(session, row, out, "ERR Transaction is too large");
        }
        transaction.bytes += request.bytes;
        transaction.queued.push(Queued { row, args: OwnedArgs::copy(request.args) });
        let count = transaction.queued.len() as i64;
        session.client.set_queued(count);
        Reply::new(out, session.protocol).simple("QUEUED");
        Outcome::NotRun
    }

    /// Runs the queued commands. The session is in a transaction that is not spoiled.
    ///
    /// Watched keys are looked at under the same locks: a deadline that passed counts as a change,
    /// and an empty answer waits for what it reveals (D2).
    pub fn exec(&self, session: &mut Session, out: &mut Output) -> Outcome {
        let failure = session.fetch_failure.take();
        let begin = match self.begin_exec(session).transpose() {
            Ok(begin) => begin,
            Err(order) => {
                return match failure {
                    None => Outcome::Retry(Wait::Stage(order)),
                    Some(text) => self.abort(session, out, &text),
                };
            }
        };
        let mut unit = match begin {
            None => None,
            Some(Begin::Ready(unit)) => Some(unit),
            Some(Begin::Wait) => return Outcome::Retry(Wait::LogRoom),
            Some(Begin::Refused(error)) => return self.abort(session, out, &refusal_text(&error)),
            Some(Begin::Cold(fetch)) => {
                return match failure {
                    None => Outcome::Retry(Wait::Cold(fetch)),
                    Some(text) => self.abort(session, out, &text),
                };
            }
        };
        if let Some(unit) = &mut unit {
            unit.run_once();
            for (db, key) in session.watches.keys() {
                let key = unit.key(db, key);
                unit.probe(&key);
            }
        }
        let changed = session.watches.changed();
        let transaction = session.close_transaction().unwrap_or_default();
        let outcome = if changed {
            Reply::new(out, session.protocol).null_array();
            Outcome::Done(0)
        } else {
            self.run_queued(session, &transaction, &mut unit, out)
        };
        let observed = unit.map_or(0, |unit| {
            let finished = unit.finish();
            self.stats.looked(finished.lookups);
            finished.observed
        });
        session.unwatch(&self.services.engine);
        match outcome {
            Outcome::Done(lsn) => Outcome::Done(lsn.max(self.gate(session, observed))),
            outcome => outcome,
        }
    }

    /// Locks what the transaction needs; none when it needs nothing.
    fn begin_exec(&self, session: &Session) -> Option<Copied<Begin<'d>>> {
        let engine = &self.services.engine;
        let transaction = session.transaction.as_ref()?;
        let watches = &session.watches;
        let mut touched = ExecKeys::default();
        touched.keys.extend(watches.keys().map(|(db, key)| engine.key(db, key)));
        if watches.changed() {
            return Some(Ok(engine.begin(&touched.keys, Intent::read(self.now_ms))));
        }
        if touched.keys.is_empty() && !transaction.has_data_commands() {
            return None;
        }
        let queued = transaction.queued.iter();
        let calls = queued.map(|queued| (queued.row, queued.args.get(), queued.args.bytes.len()));
        touched.collect(self, calls, session);
        let intent = transaction.intent(self.now_ms, touched.frame_bytes);
        let all = transaction.needs_all_keys();
        let args = |index: usize| transaction.queued[index].args.get();
        let copying = Copying {
            bytes: &|stands, is_staged| touched.copied_bytes(args, stands, is_staged),
            wholes: &touched.wholes,
            staged: &session.staged,
        };
        let copying = touched.copies().then_some(&copying);
        Some(engine.begin_copying(&touched.keys, all, intent, copying))
    }

    fn run_queued(
        &self,
        session: &mut Session,
        transaction: &Transaction,
        unit: &mut Option<Unit<'d>>,
        out: &mut Output,
    ) -> Outcome {
        let start = out.mark();
        Reply::new(out, session.protocol).array(transaction.queued.len());
        if session.is_muted() {
            out.truncate(start);
        }
        let mut gate: Lsn = 0;
        let mut close = false;
        for Queued { row, args } in &transaction.queued {
            let started = std::time::Instant::now();
            let (args, mark) = (args.get(), out.mark());
            match (row.runner, &mut *unit) {
                (Runner::Data(run), Some(unit)) => {
                    self.run_in_unit((row, run), unit, session, &args, out, false);
                }
                (Runner::Data(_), None) => unreachable!("data commands run in a unit"),
                (Runner::Session(run), unit) => {
                    match self.execute_session(row, run, session, &args, out, Some(unit)) {
                        Outcome::Done(lsn) => gate = gate.max(lsn),
                        Outcome::Close => close = true,
                        // Work off the worker could not be part of the frame.
                        Outcome::NotRun
                        | Outcome::Retry(_)
                        | Outcome::Job(_)
                        | Outcome::Later(..)
                        | Outcome::Blocked(_) => {
                            let text = "ERR Command not allowed inside a transaction";
                            self.reject(session, row, out, text);
                        }
                    }
                }
            }
            if session.is_muted() {
                out.truncate(mark);
            }
            let took = started.elapsed();
            self.stats.ran(row.id, 1, took.as_nanos() as u64);
            self.note_slow(session, row, &args, took.as_micros() as u64);
        }
        if close { Outcome::Close } else { Outcome::Done(gate) }
    }

    /// Ends the transaction, if there is one, because EXEC could not run.
    pub fn abort(&self, session: &mut Session, out: &mut Output, text: &str) -> Outcome {
        session.close_transaction();
        session.unwatch(&self.services.engine);
        let reason = text.strip_prefix("ERR ").unwrap_or(text);
        let text = format!("EXECABORT Transaction discarded because of: {reason}");
        self.services.stats.error(&text);
        Reply::new(out, session.protocol).error(&text);
        Outcome::NotRun
    }
}
