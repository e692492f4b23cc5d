//! One connection: reads all there is, runs all complete commands, sends all that may be sent.
//!
//! While replies wait for a commit the connection goes on reading and executing (D3), until too
//! much waits. A command that has to wait stops its connection only; the rest of its input is kept.

use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

use crate::config::settings::Settings;
use crate::engine::Pinned;
use crate::resp::parse::Parser;
use crate::resp::write::Output;
use crate::session::blocking::Blocked;
use crate::session::call::{Job, Wait};
use crate::session::state::Session;
use crate::session::unknown::refusal_text;
use crate::types::Lsn;

use super::batch::{OUTPUT_BYTES_MAX, Plan};
use super::crowding::Crowding;
use super::input::{Batch, Input};
use super::outbox::{Outbox, Stopped};
use super::stream::Stream;
use super::worker::{Scratch, Worker};

/// A command for which the log has no room is tried again after this time at the latest.
const ROOM_RETRY: Duration = Duration::from_millis(2);

/// A client that waits for a time of its own choice is looked after this often.
const LOOK_PERIOD: Duration = Duration::from_millis(500);

/// Why a connection interrupts its batch.
pub(super) enum Interrupt {
    Wait(Wait),
    Job(Job),
    Later(Option<u64>, Job),
    Blocked(Blocked),
}

/// What the connection's task does next.
enum Turn {
    Closed,
    /// Another worker had better go on.
    Leaves(usize),
    Interrupted(Interrupt),
}

/// One client's connection.
pub(super) struct Connection {
    pub(super) stream: Stream,
    pub(super) session: Session,
    pub(super) worker: Rc<Worker>,
    pub(super) parser: Parser,
    pub(super) input: Input,
    pub(super) outbox: Outbox,
    pub(super) crowding: Crowding,
    /// Keys that were fetched for the command that waits, kept until it has run.
    pins: Vec<Pinned>,
    /// The LSN that the task is registered for at the worker's gates; 0 for none.
    pub(super) registered: Lsn,
    /// Nothing is read any more; the connection ends once all replies are sent.
    pub(super) is_closing: bool,
}

/// A connection that leaves its worker, between two batches and with nothing owed.
pub(super) struct Left {
    pub(super) stream: Stream,
    pub(super) session: Session,
    pub(super) crowding: Crowding,
    /// The worker that it goes to.
    pub(super) wanted: usize,
}

/// Serves a client until it goes, or had better be served by another worker.
pub(super) async fn serve(
    stream: Stream,
    session: Session,
    crowding: Crowding,
    worker: Rc<Worker>,
) -> Option<Left> {
    std::future::poll_fn(|cx| {
        session.client.set_waker(cx.waker());
        Poll::Ready(())
    })
    .await;
    let mut connection = Connection {
        stream,
        session,
        worker,
        parser: Parser::default(),
        input: Input::default(),
        outbox: Outbox::default(),
        crowding,
        pins: Vec::new(),
        registered: 0,
        is_closing: false,
    };
    loop {
        match std::future::poll_fn(|cx| connection.poll(cx)).await {
            Turn::Closed => break,
            Turn::Leaves(wanted) => {
                let Connection { stream, session, crowding, .. } = connection;
                return Some(Left { stream, session, crowding, wanted });
            }
            Turn::Interrupted(interrupt) => {
                if connection.resolve(interrupt).await.is_none() {
                    break;
                }
            }
        }
    }
    let engine = connection.worker.services.engine.clone();
    connection.session.unwatch(&engine);
    None
}

impl Connection {
    /// Sends what may be sent, reads once and runs what came. The replies are sent at the task's
    /// next turn, when all connections that were ready have run: who waits for them is woken once,
    /// and finds more to do.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        if self.session.client.is_killed() {
            return Poll::Ready(Turn::Closed);
        }
        match self.poll_send(cx) {
            Err(_) => return Poll::Ready(Turn::Closed),
            Ok(Stopped::Empty) if self.is_closing => return Poll::Ready(Turn::Closed),
            Ok(_) => self.publish(),
        }
        let settings = self.worker.settings();
        if self.is_overfull(&settings) {
            return Poll::Ready(Turn::Closed);
        }
        if self.is_closing || self.outbox.waiting_bytes() > OUTPUT_BYTES_MAX {
            return Poll::Pending;
        }
        let interrupt = match self.input.take_unread() {
            Some(bytes) => self.run_owned(bytes, &settings),
            None => match self.poll_input(cx, &settings) {
                Poll::Pending => return self.better_worker().map_or(Poll::Pending, Poll::Ready),
                Poll::Ready(None) => {
                    // Replies that wait for a commit are still owed.
                    self.is_closing = true;
                    None
                }
                Poll::Ready(Some(interrupt)) => interrupt,
            },
        };
        if let Some(interrupt) = interrupt {
            return Poll::Ready(Turn::Interrupted(interrupt));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether another worker had better go on, now that there is nothing to read.
    fn better_worker(&mut self) -> Option<Turn> {
        let owes_nothing = self.outbox.waiting_bytes() == 0 && self.pins.is_empty();
        if !owes_nothing || self.input.len() > 0 {
            return None;
        }
        self.crowding.better_worker(self.worker.index, self.worker.team()).map(Turn::Leaves)
    }

    /// Reads once and runs what came; none at the end of the stream.
    fn poll_input(
        &mut self,
        cx: &mut Context<'_>,
        settings: &Settings,
    ) -> Poll<Option<Option<Interrupt>>> {
        let worker = self.worker.clone();
        let scratch = &mut *worker.scratch.borrow_mut();
        let missing = self.parser.missing_bytes(self.input.len());
        let read = self.input.poll_read(cx, &mut self.stream, &mut scratch.input, missing);
        let (batch, count) = match read {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(_) | Ok(None)) => return Poll::Ready(None),
            Poll::Ready(Ok(Some(read))) => read,
        };
        worker.stats().read(count);
        let Scratch { input, ranges, planned } = scratch;
        let plan = Plan { ranges, planned };
        let interrupt = match batch {
            Batch::Nothing => None,
            Batch::Scratch(len) => {
                let input = &input[..len];
                let ran = self.run_batch(input, None, plan, settings);
                self.input.keep(&input[ran.rest..], ran.is_unread);
                ran.interrupt
            }
            Batch::Owned(bytes) => self.run_and_keep(bytes, plan, settings),
        };
        worker.note_batch(self.session.client.id, self.outbox.highest_gate() > 0);
        Poll::Ready(Some(interrupt))
    }

    fn run_owned(&mut self, bytes: Bytes, settings: &Settings) -> Option<Interrupt> {
        let worker = self.worker.clone();
        let Scratch { ranges, planned, .. } = &mut *worker.scratch.borrow_mut();
        self.run_and_keep(bytes, Plan { ranges, planned }, settings)
    }

    fn run_and_keep(
        &mut self,
        bytes: Bytes,
        plan: Plan<'_>,
        settings: &Settings,
    ) -> Option<Interrupt> {
        let ran = self.run_batch(&bytes, Some(&bytes), plan, settings);
        if ran.rest > 0 || !matches!(ran.interrupt, Some(Interrupt::Wait(_))) {
            // The command that they were fetched for has run.
            self.pins.clear();
            self.session.staged.clear();
        }
        self.input.keep_owned(bytes, ran.rest, ran.is_unread);
        ran.interrupt
    }

    /// Whether more waits than the directives allow; the client is closed then.
    fn is_overfull(&self, settings: &Settings) -> bool {
        let output_bytes_max = match settings.output_bytes_max {
            0 => usize::MAX,
            max => max,
        };
        self.outbox.waiting_bytes() > output_bytes_max
            || self.input.len() > settings.query_bytes_max
    }

    /// Tells the registry how the client stands.
    fn publish(&self) {
        let client = &self.session.client;
        client.input_bytes.store(self.input.len(), Relaxed);
        client.output_bytes.store(self.outbox.waiting_bytes(), Relaxed);
    }

    /// Sends what may be sent, and sees to it that the task is woken when more may be.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> std::io::Result<Stopped> {
        if self.outbox.waiting_bytes() == 0 {
            return Ok(Stopped::Empty);
        }
        let worker = &*self.worker;
        let mut pool = worker.pool.borrow_mut();
        loop {
            let durable = worker.services.engine.durable_lsn();
            let (count, stopped) = self.outbox.send(&self.stream, durable, &mut pool)?;
            if count > 0 {
                worker.stats().wrote(count);
            }
            match stopped {
                Stopped::Empty => return Ok(stopped),
                Stopped::Full => match self.stream.poll_write_ready(cx)? {
                    Poll::Ready(()) => continue,
                    Poll::Pending => return Ok(stopped),
                },
                Stopped::Gated(lsn) => {
                    worker.want_durable(self.outbox.highest_gate());
                    if std::mem::replace(&mut self.registered, lsn) == lsn {
                        return Ok(stopped);
                    }
                    worker.gates.wait(lsn, cx.waker());
                }
            }
        }
    }

    /// Waits, or works off the worker, and sends replies meanwhile. None when the client is gone.
    async fn resolve(&mut self, interrupt: Interrupt) -> Option<()> {
        match interrupt {
            Interrupt::Wait(wait) => self.wait(wait).await,
            Interrupt::Job(job) => self.work(job).await,
            Interrupt::Later(ms, job) => self.wait_for_time(ms, job).await,
            Interrupt::Blocked(blocked) => self.wait_for_key(blocked).await,
        }
    }

    pub(super) async fn wait(&mut self, wait: Wait) -> Option<()> {
        let services = self.worker.services.clone();
        match wait {
            Wait::Pause(ms) => {
                let client = self.session.client.clone();
                client.is_paused.store(true, Relaxed);
                let ended = self.while_there(services.pause.wait(ms)).await;
                client.is_paused.store(false, Relaxed);
                ended
            }
            Wait::LogRoom => {
                let worker = self.worker.clone();
                let durable = services.engine.durable_lsn();
                worker.want_durable(durable + 1);
                let mut is_registered = false;
                let commit = std::future::poll_fn(|cx| {
                    if services.engine.durable_lsn() > durable {
                        return Poll::Ready(());
                    }
                    if !std::mem::replace(&mut is_registered, true) {
                        worker.gates.wait(durable + 1, cx.waker());
                        cx.waker().wake_by_ref();
                    }
                    Poll::Pending
                });
                // Room comes from commits, but also from segments that are prepared meanwhile.
                let tried = tokio::time::timeout(ROOM_RETRY, commit);
                self.meanwhile(tried).await.map(drop)
            }
            Wait::Stage(order) => {
                let (sender, receiver) = tokio::sync::oneshot::channel();
                let engine = services.engine.clone();
                tokio::task::spawn_blocking(move || {
                    // The client may go meanwhile.
                    let staged = engine.stage(*order, &|| !sender.is_closed());
                    let _ = sender.send(staged);
                });
                match self.meanwhile(receiver).await? {
                    Ok(Ok(staged)) => self.session.staged.push(Arc::new(staged)),
                    Ok(Err(error)) => self.session.fetch_failure = Some(refusal_text(&error)),
                    // It panicked, which aborts the process in release builds.
                    Err(_) => return None,
                }
                Some(())
            }
            Wait::Cold(fetch) => {
                if fetch.key_count() > 1 {
                    self.pins.push(services.engine.pin(&fetch));
                }
                let (sender, receiver) = tokio::sync::oneshot::channel();
                let done = move |result: crate::error::Result<()>| {
                    let _ = sender.send(result.map_err(|error| error.to_string()));
                };
                services.engine.fetch(fetch, Box::new(done));
                let fetched = self.meanwhile(receiver).await?;
                if let Ok(Err(text)) = fetched {
                    self.session.fetch_failure = Some(format!("ERR {text}"));
                }
                Some(())
            }
        }
    }

    async fn work(&mut self, job: Job) -> Option<()> {
        let protocol = self.session.protocol;
        let work = tokio::task::spawn_blocking(move || {
            let mut output = Output::default();
            let lsn = job(&mut output, protocol);
            (output, lsn)
        });
        // A job that panicked aborts the process in release builds; elsewhere the client is closed.
        let (output, lsn) = self.meanwhile(work).await?.ok()?;
        self.append(&output, lsn);
        Some(())
    }

    pub(super) fn append(&mut self, output: &Output, lsn: Lsn) {
        let offset = self.outbox.end();
        let worker = self.worker.clone();
        let filling = self.outbox.filling(&mut worker.pool.borrow_mut());
        output.pieces(0).for_each(|piece| filling.push_bytes(piece));
        if lsn > self.worker.services.engine.durable_lsn() {
            self.outbox.gate(offset, lsn);
        }
    }

    /// As [`Connection::meanwhile`], for what may take for ever; none also when the client has
    /// ended its stream. Behind input that is not read yet only the socket's state tells that, so
    /// it is looked at from time to time.
    pub(super) async fn while_there<F: Future>(&mut self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        loop {
            let timed = tokio::time::timeout(LOOK_PERIOD, future.as_mut());
            if let Ok(output) = self.meanwhile(timed).await? {
                return Some(output);
            }
            let ended = tokio::time::timeout(Duration::ZERO, self.stream.is_ended()).await;
            if !matches!(ended, Err(_) | Ok(Ok(false))) {
                return None;
            }
        }
    }

    /// As [`Connection::while_there`], without a look from time to time, unless input waits that is
    /// not read yet.
    pub(super) async fn while_connected<F: Future>(&mut self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        let first = std::future::poll_fn(|cx| {
            if self.session.client.is_killed() || self.poll_send(cx).is_err() {
                return Poll::Ready(None);
            }
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(Some(output)));
            }
            if self.stream.poll_read_ready(cx).is_pending() {
                return Poll::Pending;
            }
            match pin!(self.stream.is_ended()).poll(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Ok(false)) => Poll::Ready(Some(None)),
                Poll::Ready(_) => Poll::Ready(None),
            }
        });
        match first.await? {
            Some(output) => Some(output),
            None => self.while_there(future).await,
        }
    }

    /// Runs `future` and goes on sending; none when the client has been killed or lost.
    async fn meanwhile<F: Future>(&mut self, future: F) -> Option<F::Output> {
        let mut future: Pin<&mut F> = pin!(future);
        std::future::poll_fn(|cx| {
            if self.session.client.is_killed() || self.poll_send(cx).is_err() {
                return Poll::Ready(None);
            }
            future.as_mut().poll(cx).map(Some)
        })
        .await
    }
}
