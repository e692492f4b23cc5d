//! A connection whose client waits for a key, or for replicas.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::Instant;

use crate::engine::Begin;
use crate::engine::waiting::Ticket;
use crate::resp::write::{Output, Reply};
use crate::session::blocking::{Blocked, Event};
use crate::session::call::{Job, Wait};
use crate::session::clients::Unblock;
use crate::types::{Durability, Lsn};

use super::connection::Connection;

/// The end of a time that nobody waits for.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

/// The reply of a client that CLIENT UNBLOCK has given an error.
const UNBLOCKED: &str = "UNBLOCKED client unblocked via CLIENT UNBLOCK";

/// Why the waiting is over.
enum End {
    Served(Output, Lsn),
    TimedOut,
    Unblocked,
}

impl Connection {
    /// Waits until the call is answered, its time is over, or somebody ends it. None when the
    /// client has gone.
    pub(super) async fn wait_for_key(&mut self, mut blocked: Blocked) -> Option<()> {
        let services = self.worker.services.clone();
        let client = self.session.client.clone();
        client.begin_block();
        services.blocked.fetch_add(1, Relaxed);
        let end = self.until_served(&mut blocked).await;
        let unblock = client.end_block();
        services.blocked.fetch_sub(1, Relaxed);
        // Whoever has been served must have its reply, whatever ended the waiting.
        let end = match end {
            Some(End::Served(output, lsn)) => Some(End::Served(output, lsn)),
            end if blocked.ticket.give_up() => end,
            _ => served_already(&mut blocked).await,
        };
        // An engine that has stopped lets nobody wait.
        let _ = services.engine.stop_waiting(&blocked.ticket);
        let protocol = self.session.protocol;
        let (output, lsn) = match end? {
            End::Served(output, lsn) => (output, lsn),
            End::TimedOut => {
                let mut output = Output::default();
                Reply::new(&mut output, protocol).null_array();
                (output, 0)
            }
            End::Unblocked => {
                let mut output = Output::default();
                let mut reply = Reply::new(&mut output, protocol);
                match unblock {
                    Unblock::Error => reply.error(UNBLOCKED),
                    _ => reply.null_array(),
                }
                (output, 0)
            }
        };
        if !blocked.is_silent {
            let level = self.session.durability.unwrap_or(self.worker.settings().durability);
            self.append(&output, if level == Durability::Always { lsn } else { 0 });
        }
        Some(())
    }

    /// Waits until the time is over, or somebody ends it, and answers then. None when the client
    /// has gone.
    pub(super) async fn wait_for_time(&mut self, ms: Option<u64>, job: Job) -> Option<()> {
        let services = self.worker.services.clone();
        let client = self.session.client.clone();
        client.begin_block();
        services.blocked.fetch_add(1, Relaxed);
        let time = ms.map_or(FOR_EVER, Duration::from_millis);
        let over = self.while_there(tokio::time::timeout(time, client.unblocked())).await;
        let unblock = client.end_block();
        services.blocked.fetch_sub(1, Relaxed);
        over.map(drop)?;
        let mut output = Output::default();
        let lsn = job(&mut output, self.session.protocol);
        // A job that answers nothing was silenced.
        if unblock == Unblock::Error && !output.is_empty() {
            output = Output::default();
            Reply::new(&mut output, self.session.protocol).error(UNBLOCKED);
        }
        self.append(&output, lsn);
        Some(())
    }

    async fn until_served(&mut self, blocked: &mut Blocked) -> Option<End> {
        let time = blocked.timeout_ms.map_or(FOR_EVER, Duration::from_millis);
        let deadline = Instant::now().checked_add(time).unwrap_or(Instant::now() + FOR_EVER);
        let client = self.session.client.clone();
        let after = |ms: u64| Instant::now().checked_add(Duration::from_millis(ms));
        let mut retry = blocked.retry_ms.and_then(after);
        loop {
            let until = retry.map_or(deadline, |retry| retry.min(deadline));
            let next = {
                let events = &mut blocked.events;
                let client = client.clone();
                let told = async {
                    tokio::select! {
                        biased;
                        event = events.recv() => event,
                        () = client.unblocked() => None,
                    }
                };
                self.while_connected(tokio::time::timeout_at(until, told)).await?
            };
            match next {
                Err(_) if until == deadline => return Some(End::TimedOut),
                Err(_) => {
                    retry = None;
                    self.serve_by_myself(&blocked.ticket).await?;
                }
                Ok(None) => return Some(End::Unblocked),
                Ok(Some(Event::Served(output, lsn))) => return Some(End::Served(output, lsn)),
                Ok(Some(Event::Ready)) => self.serve_by_myself(&blocked.ticket).await?,
                // Each of its keys may tell a time of its own.
                Ok(Some(Event::RetryIn(ms))) => retry = retry.into_iter().chain(after(ms)).min(),
            }
        }
    }

    /// Tries to be served in a unit of its own.
    async fn serve_by_myself(&mut self, ticket: &Ticket) -> Option<()> {
        let engine = self.worker.services.engine.clone();
        loop {
            let wait = match engine.begin_serving(ticket, engine.now_ms()) {
                Begin::Ready(mut unit) => {
                    unit.serve_woken(ticket);
                    unit.finish();
                    return Some(());
                }
                Begin::Wait => Wait::LogRoom,
                Begin::Cold(fetch) => Wait::Cold(fetch),
                // What cannot be written now may be later: whoever makes a key ready tries again.
                Begin::Refused(_) => return Some(()),
            };
            self.wait(wait).await?;
            if self.session.fetch_failure.take().is_some() {
                return Some(());
            }
        }
    }
}

/// The reply of a call that was served while its waiting ended.
async fn served_already(blocked: &mut Blocked) -> Option<End> {
    loop {
        match blocked.events.recv().await? {
            Event::Served(output, lsn) => return Some(End::Served(output, lsn)),
            Event::Ready | Event::RetryIn(_) => {}
        }
    }
}
