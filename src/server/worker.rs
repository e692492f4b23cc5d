//! One thread with its own runtime, connections and scratch memory.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::LocalSet;

use crate::config::settings::Settings;
use crate::resp::parse::Range;
use crate::session::services::Services;
use crate::session::stats::WorkerStats;
use crate::types::Lsn;

use super::batch::Planned;
use super::connection::{self, Left};
use super::crowding::Crowding;
use super::gates::{Bell, Gates};
use super::outbox::Pool;
use super::spread::{Team, ThreadClock};
use super::workers::{Arrival, Colleagues, Newcomer};

/// Bytes read from a socket at once.
const READ_BYTES: usize = 64 << 10;
/// Batches in a row of one client, and of nobody else, after which its worker commits by itself.
const LONELY_BATCHES: u32 = 8;
/// Batches in a row that all wait for the disk, of any clients, after which the same holds: whoever
/// is here writes.
const WRITING_BATCHES: u32 = 64;
/// Groups of commands in a row that met no other worker in any partition, after which there is
/// none, in effect: they take about a millisecond.
const LONELY_GROUPS: u32 = 64;

/// Memory that a batch needs while it runs; shared by all connections of a worker.
#[derive(Default)]
pub struct Scratch {
    /// Where sockets are read into.
    pub input: Vec<u8>,
    /// Arguments of the commands of a group.
    pub ranges: Vec<Range>,
    /// The commands of a group.
    pub planned: Vec<Planned>,
}

/// What the connections of one thread share.
pub struct Worker {
    /// The parts of the server.
    pub services: Arc<Services>,
    /// Replies that wait for a commit.
    pub gates: Gates,
    /// Memory of the batch under way.
    pub scratch: RefCell<Scratch>,
    /// Buffers of replies.
    pub pool: RefCell<Pool>,
    /// Its number.
    pub index: usize,
    settings: RefCell<(u64, Rc<Settings>)>,
    wanted: Cell<Lsn>,
    wants: Notify,
    last_client: Cell<u64>,
    batches_in_a_row: Cell<u32>,
    writes_in_a_row: Cell<u32>,
    lonely_groups_in_a_row: Cell<u32>,
}

impl Worker {
    /// The counters of this worker.
    pub fn stats(&self) -> &WorkerStats {
        self.services.stats.worker(self.index)
    }

    /// The workers, and how many of them serve.
    pub fn team(&self) -> Team {
        Team::of(&self.services.stats)
    }

    /// The directives in force.
    ///
    /// A copy of the worker's own: a count of references that all cores share would cost each
    /// batch.
    pub fn settings(&self) -> Rc<Settings> {
        let config = &self.services.config;
        let mut cached = self.settings.borrow_mut();
        let version = config.version();
        if cached.0 != version {
            *cached = (version, Rc::new(Settings::clone(&config.settings())));
        }
        cached.1.clone()
    }

    /// Notes that a client sent something, and whether its replies wait for the disk.
    pub fn note_batch(&self, client: u64, waits: bool) {
        let again = self.last_client.replace(client) == client;
        count_in_a_row(&self.batches_in_a_row, again);
        count_in_a_row(&self.writes_in_a_row, waits);
    }

    /// Notes a group of commands, and whether it used a partition after another worker.
    pub fn note_turns(&self, is_shared: bool) {
        count_in_a_row(&self.lonely_groups_in_a_row, !is_shared);
    }

    /// Whether nobody else wants partitions that this worker locks, as far as it has seen. Who
    /// waits for one may wait for as long as this thread waits for a core.
    pub fn is_alone(&self) -> bool {
        self.services.stats.serving() == 1 && self.lonely_groups_in_a_row.get() >= LONELY_GROUPS
    }

    /// Asks for a commit of all up to `lsn`, once the batches that are ready have joined it.
    pub fn want_durable(&self, lsn: Lsn) {
        if lsn > self.wanted.get() {
            self.wanted.set(lsn);
            self.wants.notify_one();
        }
    }

    /// Whether nobody who reads could be kept waiting by a commit on this thread (D3). Handing it
    /// over costs two wakes of threads, which is more than a quick disk takes for the sync itself.
    /// The first reader to come waits for one commit at most; then this is over.
    fn may_commit(&self) -> bool {
        let is_alone = self.batches_in_a_row.get() >= LONELY_BATCHES && self.gates.len() <= 1;
        is_alone || self.writes_in_a_row.get() >= WRITING_BATCHES
    }
}

fn count_in_a_row(count: &Cell<u32>, again: bool) {
    count.set(if again { count.get().saturating_add(1) } else { 0 });
}

/// How connections come to a worker.
pub struct Intake {
    /// Those on their way.
    pub newcomers: UnboundedReceiver<Newcomer>,
    /// How many it has, or will have soon.
    pub load: Arc<AtomicUsize>,
    /// Where it shows how long it runs.
    pub clock: Arc<OnceLock<ThreadClock>>,
    /// Who takes over those that had better be elsewhere.
    pub colleagues: Colleagues,
}

/// Runs a worker until no more connections can come and all have gone.
pub fn run(index: usize, services: Arc<Services>, bell: Arc<Bell>, intake: Intake) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = match builder.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => super::start::fail(&format!("cannot start a worker: {error}")),
    };
    if let Some(clock) = ThreadClock::of_this_thread() {
        intake.clock.get_or_init(|| clock);
    }
    let settings = Settings::clone(&services.config.settings());
    let settings = (services.config.version(), Rc::new(settings));
    let worker = Rc::new(Worker {
        gates: Gates::new(bell.clone()),
        scratch: RefCell::new(Scratch { input: vec![0; READ_BYTES], ..Scratch::default() }),
        pool: RefCell::default(),
        index,
        settings: RefCell::new(settings),
        wanted: Cell::new(0),
        wants: Notify::new(),
        last_client: Cell::new(0),
        batches_in_a_row: Cell::new(0),
        writes_in_a_row: Cell::new(0),
        // It has met nobody yet.
        lonely_groups_in_a_row: Cell::new(LONELY_GROUPS),
        services,
    });
    let local = LocalSet::new();
    local.spawn_local(open_gates(worker.clone(), bell));
    local.spawn_local(ask_for_commits(worker.clone()));
    runtime.block_on(local.run_until(take_on(worker, intake)));
}

/// Runs connections until no more can come and all have gone.
async fn take_on(worker: Rc<Worker>, intake: Intake) {
    let Intake { mut newcomers, load, colleagues, .. } = intake;
    let gone = Rc::new(Notify::new());
    while let Some(newcomer) = newcomers.recv().await {
        let (worker, load, gone) = (worker.clone(), load.clone(), gone.clone());
        let colleagues = colleagues.clone();
        tokio::task::spawn_local(async move {
            let id = newcomer.session.client.id;
            if serve(newcomer, &worker, &colleagues).await.is_none() {
                worker.services.clients.disconnect(id);
            }
            load.fetch_sub(1, Ordering::Relaxed);
            gone.notify_one();
        });
    }
    while load.load(Ordering::Relaxed) > 0 {
        gone.notified().await;
    }
}

/// Serves a connection until it goes to a colleague, or until its end: none then.
async fn serve(newcomer: Newcomer, worker: &Rc<Worker>, colleagues: &Colleagues) -> Option<()> {
    let Newcomer { socket, session, arrival } = newcomer;
    let crowding = match arrival {
        Arrival::New(home) => {
            worker.stats().connected();
            Crowding::new(home)
        }
        Arrival::Moved(crowding) => crowding,
    };
    let stream = socket.attach().ok()?;
    let left = connection::serve(stream, session, crowding, worker.clone()).await?;
    let Left { stream, session, crowding, wanted } = left;
    let arrival = Arrival::Moved(crowding);
    let newcomer = Newcomer { socket: stream.detach().ok()?, session, arrival };
    colleagues.hand_over(newcomer, wanted)
}

/// Wakes connections when what they wait for is durable.
async fn open_gates(worker: Rc<Worker>, bell: Arc<Bell>) {
    loop {
        bell.rung().await;
        worker.gates.open(worker.services.engine.durable_lsn());
    }
}

/// Asks for commits on behalf of the connections, or commits.
///
/// It yields first: whatever sockets have brought meanwhile runs before, and shares the commit.
async fn ask_for_commits(worker: Rc<Worker>) {
    let engine = &worker.services.engine;
    loop {
        worker.wants.notified().await;
        tokio::task::yield_now().await;
        let wanted = worker.wanted.get();
        if wanted <= engine.durable_lsn() {
            continue;
        }
        let done = worker.may_commit()
            && match engine.commit_here() {
                Ok(done) => done,
                // The log is lost: nothing may be acknowledged any more (D5).
                Err(error) => super::start::fail(&error.to_string()),
            };
        if !done || engine.durable_lsn() < wanted {
            engine.request_sync(wanted);
        }
    }
}
