//! One batch of input: its commands are found, their keys fetched near, and then they run.

use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::command::args::Args;
use crate::command::spec::flag;
use crate::config::settings::Settings;
use crate::engine::Engine;
use crate::resp::parse::{Found, Limits, Parser, ProtocolError};
use crate::resp::write::Reply;
use crate::session::call::Outcome;
use crate::session::dispatch::{Dispatcher, Request};
use crate::session::state::{ReplyMode, Session};
use crate::session::table::{KeyPlan, Lookup, Row};
use crate::types::{Lsn, Position};

use super::connection::{Connection, Interrupt};
use super::input::owner_for;
use super::meter::Meter;
use super::outbox::{Outbox, Pool};

/// Commands that are parsed and prefetched before the first of them runs.
const GROUP_MAX: usize = 32;

/// Replies that wait beyond this stop reading and running, in bytes.
pub(super) const OUTPUT_BYTES_MAX: usize = 64 << 20;

/// A parsed command of a group.
pub struct Planned {
    lookup: Lookup,
    position: Position,
    /// Its ranges.
    ranges: (u32, u32),
    /// Its bytes in the batch.
    bytes: (u32, u32),
    is_inline: bool,
}

impl Planned {
    /// Whether this call is of the same command, as far as its name tells.
    fn is_named(&self, args: &Args<'_>, input: &[u8], ranges: &[(u32, u32)]) -> bool {
        let (start, end) = ranges[self.ranges.0 as usize];
        matches!(self.lookup, Lookup::Found(row) if row.is_plain())
            && args.get(0) == &input[start as usize..end as usize]
    }
}

/// Where a group ends in its batch.
enum GroupEnd {
    /// The next command starts here.
    Full(usize),
    /// An incomplete command starts here.
    Incomplete(usize),
    /// What stands behind is no command.
    Violation(ProtocolError),
}

/// How far a batch got.
pub(super) struct Ran {
    /// Where the rest of the input begins.
    pub(super) rest: usize,
    /// Whether the rest may hold whole commands.
    pub(super) is_unread: bool,
    /// Why it stopped early, where that is a command.
    pub(super) interrupt: Option<Interrupt>,
}

impl Ran {
    fn up_to(rest: usize) -> Ran {
        Ran { rest, is_unread: false, interrupt: None }
    }
}

/// The worker's memory for parsed commands.
pub(super) struct Plan<'p> {
    pub(super) ranges: &'p mut Vec<(u32, u32)>,
    pub(super) planned: &'p mut Vec<Planned>,
}

/// The partition that all commands of a group use, if there are several, and whether they write.
fn used_partition(planned: &[Planned], engine: &Engine) -> Option<(usize, bool)> {
    let [first, .., last] = planned else { return None };
    let writes = |planned: &Planned| match planned.lookup {
        Lookup::Found(row) if row.keys == KeyPlan::First => Some(row.has(flag::WRITE)),
        _ => None,
    };
    // Who mixes partitions shows it at the ends of some group soon.
    if !engine.are_together(first.position, last.position) {
        return None;
    }
    let writes = writes(first)? | writes(last)?;
    Some((engine.partition_of(first.position), writes))
}

fn plan_start(planned: &[Planned], at: usize) -> usize {
    planned.first().map_or(at, |first| first.bytes.0 as usize)
}

/// Whether so much waits that nothing more may run.
fn is_full(outbox: &Outbox) -> bool {
    outbox.waiting_bytes() > OUTPUT_BYTES_MAX
}

/// Gives the memory back that one command of very many arguments needed.
fn shrink(ranges: &mut Vec<(u32, u32)>) {
    const KEPT: usize = 64 << 10;
    if ranges.capacity() > KEPT {
        ranges.clear();
        ranges.shrink_to(KEPT);
    }
}

impl Connection {
    /// Runs the complete commands of `input`.
    pub(super) fn run_batch(
        &mut self,
        input: &[u8],
        owner: Option<&Bytes>,
        plan: Plan<'_>,
        settings: &Settings,
    ) -> Ran {
        let worker = self.worker.clone();
        let dispatcher = Dispatcher {
            services: &worker.services,
            stats: worker.stats(),
            settings,
            now_ms: worker.services.engine.now_ms(),
        };
        let client = self.session.client.clone();
        client.active_ms.store(dispatcher.now_ms, Relaxed);
        let mut at = 0;
        loop {
            plan.ranges.clear();
            plan.planned.clear();
            let end = self.plan_group(input, at, &dispatcher, plan.ranges, plan.planned);
            self.fetch_near(&worker.services.engine, plan.planned);
            let turns = Engine::turns();
            let (done, interrupt) = self.run_group(input, owner, &dispatcher, &plan);
            let is_shared = Engine::turns() > turns;
            worker.note_turns(is_shared);
            let used = used_partition(plan.planned, &worker.services.engine);
            self.crowding.note(used, is_shared, self.outbox.highest_gate() > 0);
            if let Some(last) = plan.planned[..done].last()
                && let Lookup::Found(row) = last.lookup
            {
                client.last_row.store(row.id, Relaxed);
            }
            if self.is_closing {
                return Ran::up_to(input.len());
            }
            if interrupt.is_some() || done < plan.planned.len() {
                // Everything behind is parsed anew when the connection goes on.
                let last = plan.planned[..done].last();
                let from = last.map_or(plan_start(plan.planned, at), |last| last.bytes.1 as usize);
                self.parser = Parser::default();
                return Ran { rest: from, is_unread: true, interrupt };
            }
            match end {
                GroupEnd::Full(next) if is_full(&self.outbox) => {
                    return Ran { rest: next, is_unread: true, interrupt: None };
                }
                GroupEnd::Full(next) => at = next,
                GroupEnd::Incomplete(start) => {
                    shrink(plan.ranges);
                    return Ran::up_to(start);
                }
                GroupEnd::Violation(error) => {
                    self.refuse(error);
                    return Ran::up_to(input.len());
                }
            }
        }
    }

    /// Parses a group of commands and finds the places of their keys.
    fn plan_group(
        &mut self,
        input: &[u8],
        mut at: usize,
        dispatcher: &Dispatcher<'_>,
        ranges: &mut Vec<(u32, u32)>,
        planned: &mut Vec<Planned>,
    ) -> GroupEnd {
        let authenticated = !dispatcher.lacks_authentication(&self.session);
        let limits = Limits { bulk_bytes_max: dispatcher.settings.bulk_bytes_max, authenticated };
        let engine = &dispatcher.services.engine;
        // Whether a stranger's next command is allowed depends on the one before.
        let most = if authenticated { GROUP_MAX } else { 1 };
        // Neighbours often want the same key.
        let mut last_key: Option<(&[u8], Position)> = None;
        while planned.len() < most {
            let first = ranges.len();
            let (end, is_inline) = match self.parser.next(input, at, &limits, ranges) {
                Ok(Found::Command(end)) => (end, false),
                Ok(Found::Inline(end)) => (end, true),
                Ok(Found::Incomplete(start)) => return GroupEnd::Incomplete(start),
                Err(error) => return GroupEnd::Violation(error),
            };
            let text = if is_inline { self.parser.inline() } else { input };
            let args = Args::new(text, &ranges[first..], None);
            let lookup = match planned.last() {
                // Pipelines repeat themselves: the same name means the same row.
                Some(last) if last.is_named(&args, input, ranges) => last.lookup,
                _ => dispatcher.services.table.find(&args),
            };
            let mut position = Position::default();
            if let Lookup::Found(row) = lookup
                && row.keys == KeyPlan::First
                && args.len() > 1
            {
                let key = args.get(1);
                position = match last_key {
                    Some((known, position)) if known == key => position,
                    _ => engine.key(self.session.db, key).position,
                };
                if !is_inline {
                    let (start, end) = ranges[first + 1];
                    last_key = Some((&input[start as usize..end as usize], position));
                }
            }
            planned.push(Planned {
                lookup,
                position,
                ranges: (first as u32, ranges.len() as u32),
                bytes: (at as u32, end as u32),
                is_inline,
            });
            at = end;
            if is_inline {
                // The parser holds the words of one inline command at a time.
                break;
            }
        }
        GroupEnd::Full(at)
    }

    /// Asks for the keys of a group to be brought into the cache. A single command would wait for
    /// its own key anyway.
    fn fetch_near(&self, engine: &Engine, planned: &[Planned]) {
        if planned.len() < 2 {
            return;
        }
        let with_key = |planned: &&Planned| match planned.lookup {
            Lookup::Found(row) => row.keys == KeyPlan::First,
            _ => false,
        };
        let mut last = None;
        let positions = planned.iter().filter(with_key).map(|one| one.position);
        let others: SmallVec<[Position; GROUP_MAX]> =
            positions.filter(|position| last.replace(*position) != Some(*position)).collect();
        if others.len() > 1 {
            engine.prefetch(self.session.db, others.iter().copied());
        }
    }

    /// Runs a group until too many replies wait; how many commands are done, and why it stopped
    /// early.
    fn run_group(
        &mut self,
        input: &[u8],
        owner: Option<&Bytes>,
        dispatcher: &Dispatcher<'_>,
        plan: &Plan<'_>,
    ) -> (usize, Option<Interrupt>) {
        let Connection { parser, session, outbox, worker, is_closing, .. } = self;
        let args = plan.planned.iter().map(|command| {
            let ranges = &plan.ranges[command.ranges.0 as usize..command.ranges.1 as usize];
            match command.is_inline {
                true => Args::new(parser.inline(), ranges, None),
                false => Args::new(input, ranges, owner_for(owner, ranges)),
            }
        });
        // Room for a group is large: it is filled where it stands, and never moved.
        let mut all: SmallVec<[Args<'_>; GROUP_MAX]> = SmallVec::new();
        all.extend(args);
        let requests = plan.planned.iter().zip(&all).map(|(command, args)| Request {
            lookup: command.lookup,
            args,
            position: command.position,
            bytes: (command.bytes.1 - command.bytes.0) as usize,
        });
        let mut group: SmallVec<[Request<'_>; GROUP_MAX]> = SmallVec::new();
        group.extend(requests);
        let mut run = Run {
            dispatcher,
            session,
            outbox,
            pool: &mut worker.pool.borrow_mut(),
            meter: Meter::start(dispatcher.stats, dispatcher.settings),
            durable: dispatcher.services.engine.durable_lsn(),
            across: worker.is_alone(),
            is_closing,
        };
        let (mut done, mut interrupt) = (0, None);
        while done < group.len() && interrupt.is_none() && !*run.is_closing && !is_full(run.outbox)
        {
            let together = run.together(&group[done..]);
            done += match together {
                0 => run.one(&group[done], &mut interrupt),
                count => count,
            };
        }
        run.meter.close();
        (done, interrupt)
    }

    /// Answers a violation of the protocol and ends the connection.
    fn refuse(&mut self, error: ProtocolError) {
        self.is_closing = true;
        let text = format!("ERR Protocol error: {error}");
        self.worker.services.stats.error(&text);
        if self.session.reply_mode() == ReplyMode::On {
            let out = self.outbox.filling(&mut self.worker.pool.borrow_mut());
            Reply::new(out, self.session.protocol).error(&text);
        }
    }
}

/// Commands of a group on their way.
struct Run<'r, 'd> {
    dispatcher: &'r Dispatcher<'d>,
    session: &'r mut Session,
    outbox: &'r mut Outbox,
    pool: &'r mut Pool,
    meter: Meter<'r>,
    /// What was durable when the group began.
    durable: Lsn,
    /// Whether neighbours of several partitions may run in one unit.
    across: bool,
    is_closing: &'r mut bool,
}

impl Run<'_, '_> {
    /// Runs one command; how many are done.
    fn one(&mut self, request: &Request<'_>, interrupt: &mut Option<Interrupt>) -> usize {
        if let Lookup::Found(row) = request.lookup {
            self.meter.before(row, request.bytes);
        }
        let offset = self.outbox.end();
        let out = self.outbox.filling(self.pool);
        match self.dispatcher.run(self.session, request, out) {
            Outcome::Retry(wait) => {
                *interrupt = Some(Interrupt::Wait(wait));
                return 0;
            }
            Outcome::NotRun => return 1,
            Outcome::Done(lsn) => self.gate(offset, lsn),
            Outcome::Close => *self.is_closing = true,
            Outcome::Job(job) => *interrupt = Some(Interrupt::Job(job)),
            Outcome::Later(ms, job) => *interrupt = Some(Interrupt::Later(ms, job)),
            Outcome::Blocked(blocked) => *interrupt = Some(Interrupt::Blocked(blocked)),
        }
        if let Lookup::Found(row) = request.lookup {
            self.measured(row, request);
        }
        1
    }

    /// Runs the first requests that may run as one unit, if there are several; how many.
    fn together(&mut self, requests: &[Request<'_>]) -> usize {
        let dispatcher = self.dispatcher;
        let [first, others @ ..] = requests else { return 0 };
        if !dispatcher.joins(self.session) {
            return 0;
        }
        let joined = dispatcher.joined(first, others, self.across);
        let requests = &requests[..1 + joined];
        if joined == 0 {
            return 0;
        }
        let Some(mut unit) = dispatcher.begin_together(self.session, requests) else {
            // The next attempt may well fail for the same key, and each looks at all of them.
            self.across = false;
            return 0;
        };
        let start = self.outbox.end();
        let mut writes = false;
        let mut done = 0;
        for request in requests {
            let row = request.joined_row();
            self.meter.before(row, request.bytes);
            let offset = self.outbox.end();
            let out = self.outbox.filling(self.pool);
            let lsn = dispatcher.run_together(row, &mut unit, self.session, request, out);
            writes = row.has(flag::WRITE);
            if !writes {
                self.gate(offset, lsn);
            }
            self.measured(row, request);
            done += 1;
            if is_full(self.outbox) {
                break;
            }
        }
        let lsn = dispatcher.finish_together(self.session, unit);
        if writes {
            self.gate(start, lsn);
        }
        done
    }

    /// Holds replies from an offset on back until an LSN is durable.
    fn gate(&mut self, offset: u64, lsn: Lsn) {
        if lsn > self.durable {
            self.outbox.gate(offset, lsn);
        }
    }

    /// A command has run.
    fn measured(&mut self, row: &'static Row, request: &Request<'_>) {
        if let Some(micros) = self.meter.after(row, request.bytes) {
            self.dispatcher.note_slow(self.session, row, request.args, micros);
        }
    }
}
