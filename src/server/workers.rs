//! All workers: who takes on a connection, and their end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::session::services::Services;
use crate::session::state::Session;

use super::crowding::Crowding;
use super::gates::Bell;
use super::stream::Accepted;
use super::worker::{self, Intake};

/// A connection on its way to a worker.
pub struct Newcomer {
    /// The socket.
    pub socket: Accepted,
    /// The client's state.
    pub session: Session,
    /// How its batches went at other workers; none of a new one.
    pub crowding: Option<Crowding>,
}

/// What others see of a worker.
struct Desk {
    newcomers: UnboundedSender<Newcomer>,
    /// Connections that it has, or that are on their way to it.
    load: Arc<AtomicUsize>,
}

/// Where workers find each other, for as long as connections are taken on.
#[derive(Clone)]
pub struct Colleagues(Weak<Vec<Desk>>);

impl Colleagues {
    /// How many workers there are.
    pub fn count(&self) -> usize {
        self.0.upgrade().map_or(1, |desks| desks.len())
    }

    /// Hands a connection over to worker `index`; none when the server stops, which ends it.
    pub fn hand_over(&self, newcomer: Newcomer, index: usize) -> Option<()> {
        self.0.upgrade()?[index].take_on(newcomer);
        Some(())
    }
}

impl Desk {
    fn take_on(&self, newcomer: Newcomer) {
        self.load.fetch_add(1, Ordering::Relaxed);
        // A worker that is gone drops the socket, which closes it.
        let _ = self.newcomers.send(newcomer);
    }
}

/// All workers of a server.
pub struct Workers {
    desks: Arc<Vec<Desk>>,
    threads: Vec<JoinHandle<()>>,
    bells: Vec<Arc<Bell>>,
}

impl Workers {
    /// Starts as many workers as `services` counts statistics for.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn spawn(count: usize, services: &Arc<Services>) -> std::io::Result<Workers> {
        let (mut desks, mut intakes) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let (newcomers, receiver) = unbounded_channel();
            let load = Arc::new(AtomicUsize::new(0));
            desks.push(Desk { newcomers, load: load.clone() });
            intakes.push((receiver, load));
        }
        let desks = Arc::new(desks);
        let mut workers = Workers { desks, threads: Vec::new(), bells: Vec::new() };
        for (index, (newcomers, load)) in intakes.into_iter().enumerate() {
            let colleagues = Colleagues(Arc::downgrade(&workers.desks));
            let intake = Intake { newcomers, load, colleagues };
            let (services, bell) = (services.clone(), Bell::silent());
            workers.bells.push(bell.clone());
            let thread = std::thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || worker::run(index, services, bell, intake))?;
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    /// Rung for each commit, one for each worker.
    pub fn bells(&self) -> Vec<Arc<Bell>> {
        self.bells.clone()
    }

    /// Hands a new connection to the worker that has the fewest.
    pub fn take_on(&self, socket: Accepted, session: Session) {
        let least = self.desks.iter().min_by_key(|desk| desk.load.load(Ordering::Relaxed));
        let desk = least.expect("there is at least one worker");
        desk.take_on(Newcomer { socket, session, crowding: None });
    }

    /// Connections of each.
    #[cfg(test)]
    pub fn loads(&self) -> Vec<usize> {
        self.desks.iter().map(|desk| desk.load.load(Ordering::Relaxed)).collect()
    }

    /// Takes no more connections, and waits until those that are left have gone.
    pub fn join(self) {
        drop(self.desks);
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}
