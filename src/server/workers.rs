//! All workers: who takes on a connection, and their end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::JoinHandle;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::session::services::Services;
use crate::session::state::Session;

use super::crowding::{Crowding, Home};
use super::gates::Bell;
use super::spread::{Team, ThreadClock};
use super::stream::Accepted;
use super::worker::{self, Intake};

/// A connection on its way to a worker.
pub struct Newcomer {
    /// The socket.
    pub socket: Accepted,
    /// The client's state.
    pub session: Session,
    /// How it comes.
    pub arrival: Arrival,
}

/// How a connection comes to a worker.
pub enum Arrival {
    /// From its listener.
    New(Home),
    /// From another worker, with how its batches went.
    Moved(Crowding),
}

/// What others see of a worker.
struct Desk {
    newcomers: UnboundedSender<Newcomer>,
    /// Connections that it has, or that are on their way to it.
    load: Arc<AtomicUsize>,
    /// Connections that belong to it, wherever they are.
    homes: Arc<AtomicUsize>,
    /// Set when it begins.
    clock: Arc<OnceLock<ThreadClock>>,
}

/// Where workers find each other, for as long as connections are taken on.
#[derive(Clone)]
pub struct Colleagues(Weak<Vec<Desk>>);

impl Colleagues {
    /// Reads the clocks of the workers that have begun; none when the server stops.
    pub fn clocks<T>(&self, read: impl Fn(&ThreadClock) -> Option<T>) -> Option<Vec<T>> {
        let desks = self.0.upgrade()?;
        Some(desks.iter().filter_map(|desk| desk.clock.get().and_then(&read)).collect())
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
            let (load, homes, clock) = Default::default();
            let desk = Desk { newcomers, load, homes, clock };
            intakes.push((receiver, desk.load.clone(), desk.clock.clone()));
            desks.push(desk);
        }
        let desks = Arc::new(desks);
        let mut workers = Workers { desks, threads: Vec::new(), bells: Vec::new() };
        for (index, (newcomers, load, clock)) in intakes.into_iter().enumerate() {
            let colleagues = workers.colleagues();
            let intake = Intake { newcomers, load, clock, colleagues };
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

    /// Where workers find each other.
    pub fn colleagues(&self) -> Colleagues {
        Colleagues(Arc::downgrade(&self.desks))
    }

    /// A new connection belongs to the worker that has the fewest, and goes to the one that takes
    /// its place.
    pub fn take_on(&self, socket: Accepted, session: Session, team: Team) {
        let homes = |index: &usize| self.desks[*index].homes.load(Ordering::Relaxed);
        let index = (0..self.desks.len()).min_by_key(homes);
        let index = index.expect("there is at least one worker");
        let home = Home::new(index, self.desks[index].homes.clone());
        let arrival = Arrival::New(home);
        self.desks[team.place(index, false)].take_on(Newcomer { socket, session, arrival });
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
