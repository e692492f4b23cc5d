//! What a session command is handed, and what it may ask of its connection.

use crate::command::args::Args;
use crate::command::spec::Failure;
use crate::engine::ColdFetch;
use crate::engine::staging::StageOrder;
use crate::engine::unit::Unit;
use crate::resp::write::{Output, Protocol, Reply};
use crate::types::Lsn;

use super::blocking::Blocked;
use super::dispatch::Dispatcher;
use super::services::Services;
use super::state::Session;

/// Work that may block; it runs off the worker and returns the highest LSN that its reply observed.
pub type Job = Box<dyn FnOnce(&mut Output, Protocol) -> Lsn + Send>;

/// What the connection does behind a command.
pub enum Outcome {
    /// Goes on; the reply waits until this LSN is durable (D2).
    Done(Lsn),
    /// Goes on; the command was queued or refused, and counts as no call.
    NotRun,
    /// Runs work whose output is the reply, after this many milliseconds, or never (WAIT). The work
    /// is short and may run on the worker.
    Later(Option<u64>, Job),
    /// Sends what is waiting, then closes.
    Close,
    /// Calls the same command again later.
    Retry(Wait),
    /// Runs work off the worker; its output is the reply.
    Job(Job),
    /// Waits for a key.
    Blocked(Blocked),
}

/// What a command waits for before it is called again.
pub enum Wait {
    /// Keys that are not in memory.
    Cold(ColdFetch),
    /// A huge value that is logged ahead of its copy.
    Stage(Box<StageOrder>),
    /// Room in the log's queue.
    LogRoom,
    /// The end of CLIENT PAUSE, at most this many milliseconds.
    Pause(u64),
}

/// The call of a session command.
pub struct SessionCall<'c, 'd, 'o> {
    /// The way to other commands, and the worker's view of the server.
    pub dispatcher: &'c Dispatcher<'d>,
    /// The client's state.
    pub session: &'c mut Session,
    /// Arguments; 0 is the command's name.
    pub args: &'c Args<'c>,
    /// Where the reply goes.
    pub reply: &'c mut Reply<'o>,
    /// Whether the command runs between MULTI and EXEC.
    pub in_exec: bool,
    /// What EXEC holds locked; the engine is asked for no partition beside it.
    pub unit: Option<&'c mut Unit<'d>>,
    /// What the connection does next; `Done(0)` unless the command says otherwise.
    pub outcome: Outcome,
}

impl<'d> SessionCall<'_, 'd, '_> {
    /// The parts of the server.
    pub fn services(&self) -> &'d Services {
        self.dispatcher.services
    }
}

/// A session command's function. After a [`Failure`] its reply is the error alone.
pub type SessionRun = fn(&mut SessionCall<'_, '_, '_>) -> Result<(), Failure>;
