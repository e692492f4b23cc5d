//! Clients that wait until a key holds something: served in the order in which they came, inside
//! the unit that makes the key ready, whatever made it so.
//!
//! Who waits is registered under the locks of the unit that found nothing, so no wake-up is lost.
//! What needs a key that the unit does not hold is woken instead, and tries in a unit of its own;
//! it keeps its place until it has been served.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use crate::error::Result;
use crate::log::{Reserve, SpaceClass};
use crate::types::{KeyspaceId, Lsn, Position};

use super::begin::{Begin, Intent};
use super::core::Core;
use super::handle::Engine;
use super::unit::{Key, Unit};

/// What a client waits for.
pub trait Serve: Send {
    /// A key beside the one that became ready, in which serving writes too.
    fn other_key(&self) -> Option<(u32, &[u8])>;

    /// Whether it is to be served, too, when a key has gone: then it has no use for waiting.
    fn minds_absence(&self) -> bool;

    /// Whether a live key may hold enough to serve from.
    fn is_ready(&self, unit: &mut Unit<'_>, key: &Key<'_>) -> bool;

    /// Bytes that serving from `key` may add to the frame.
    fn frame_bytes(&self, unit: &mut Unit<'_>, key: &Key<'_>) -> u64;

    /// Takes what is waited for from a key, live but where absence is minded; false when it holds
    /// nothing of it.
    fn serve(&mut self, unit: &mut Unit<'_>, key: &Key<'_>) -> bool;

    /// It was served, and what it took is in the log at this LSN.
    fn served(self: Box<Self>, lsn: Lsn);

    /// A key may be ready: begin a unit with [`Engine::begin_serving`].
    fn wake(&self);
}

/// A key that is waited for.
struct WaitedKey {
    db: u32,
    position: Position,
    bytes: Box<[u8]>,
}

impl WaitedKey {
    fn as_key(&self) -> Key<'_> {
        Key { db: self.db, position: self.position, bytes: &self.bytes }
    }
}

struct State {
    keys: Vec<WaitedKey>,
    minds_absence: bool,
    /// None once it was served or given up.
    serve: Mutex<Option<Box<dyn Serve>>>,
}

/// A client that waits. [`Engine::stop_waiting`] must be called in the end.
#[derive(Clone)]
pub struct Ticket(Arc<State>);

impl Ticket {
    /// Gives up, unless it has been served; whether it was in time.
    pub fn give_up(&self) -> bool {
        self.0.serve.lock().expect("a panic under it poisons the engine").take().is_some()
    }
}

/// One client at one key.
struct Waiter {
    /// Which of the ticket's keys.
    index: usize,
    /// As the ticket has it, to be seen without a look at it.
    minds_absence: bool,
    ticket: Ticket,
}

impl Waiter {
    fn key(&self) -> Key<'_> {
        self.ticket.0.keys[self.index].as_key()
    }
}

/// Who waits for keys of one partition.
#[derive(Default)]
pub struct Waiting {
    by_place: BTreeMap<(KeyspaceId, Position), VecDeque<Waiter>>,
}

impl Waiting {
    /// Whether there is anybody.
    pub fn is_waited_for(&self) -> bool {
        !self.by_place.is_empty()
    }

    /// Databases that stood for one keyspace stand for another: (from, to), all at once. Whoever
    /// waits there looks again.
    pub fn move_keyspaces(&mut self, moves: &[(KeyspaceId, KeyspaceId)]) {
        if self.by_place.is_empty() {
            return;
        }
        for ((keyspace, position), waiters) in std::mem::take(&mut self.by_place) {
            let moved = moves.iter().find(|(from, _)| *from == keyspace);
            if moved.is_some() {
                waiters.iter().for_each(|waiter| waiter.ticket.wake());
            }
            let keyspace = moved.map_or(keyspace, |(_, to)| *to);
            self.by_place.entry((keyspace, position)).or_default().extend(waiters);
        }
    }

    fn forget(&mut self, place: (KeyspaceId, Position), ticket: &Ticket) {
        if let Some(waiters) = self.by_place.get_mut(&place) {
            waiters.retain(|waiter| !Arc::ptr_eq(&waiter.ticket.0, &ticket.0));
            if waiters.is_empty() {
                self.by_place.remove(&place);
            }
        }
    }
}

impl Ticket {
    fn wake(&self) {
        let serve = self.0.serve.lock().expect("a panic under it poisons the engine");
        if let Some(serve) = &*serve {
            serve.wake();
        }
    }
}

/// What came of an attempt to serve a waiter.
enum Attempt {
    Served,
    /// It was served or has given up elsewhere.
    Gone,
    /// The key holds nothing for it.
    Nothing,
    /// It has to try in a unit of its own, and those behind it wait until then.
    Elsewhere,
    /// The key holds nothing for anybody.
    Empty,
}

impl Unit<'_> {
    /// Whether clients wait for keys of its partitions.
    pub fn is_waited_for(&self) -> bool {
        self.guards.iter().any(|(_, shard)| shard.waiting.is_waited_for())
    }

    /// Waits for the first of `keys` (all locked, none ready) from which `serve` can take what it
    /// wants. It may be served before this unit has ended, by what it does next.
    pub fn wait_for(&mut self, keys: &[Key<'_>], serve: Box<dyn Serve>) -> Ticket {
        let minds_absence = serve.minds_absence();
        let waited = keys.iter().map(|key| WaitedKey {
            db: key.db,
            position: key.position,
            bytes: key.bytes.into(),
        });
        let state = State { keys: waited.collect(), minds_absence, serve: Mutex::new(Some(serve)) };
        let ticket = Ticket(Arc::new(state));
        for (index, key) in keys.iter().enumerate() {
            let place = self.place_of(key);
            let guard = self.guard_of(key.position);
            let waiters = self.guards[guard].1.waiting.by_place.entry(place).or_default();
            waiters.push_back(Waiter { index, minds_absence, ticket: ticket.clone() });
        }
        ticket
    }

    fn place_of(&self, key: &Key<'_>) -> (KeyspaceId, Position) {
        let shard = &self.guards[self.guard_of(key.position)].1;
        (shard.databases.keyspace(key.db), key.position)
    }

    /// Serves a client that was woken, if one of its keys is ready. All its keys are locked.
    pub fn serve_woken(&mut self, ticket: &Ticket) {
        self.serve_from(&ticket.0.keys, ticket);
    }

    /// Serves those who wait for what this unit has made ready, and for what serving makes ready.
    pub(super) fn serve_waiting(&mut self) {
        if !self.is_waited_for() {
            return;
        }
        let mut looked_at = vec![0; self.guards.len()];
        loop {
            let touched = |(index, seen): (usize, &usize)| {
                let places = self.guards[index].1.partition.touched();
                places.get(*seen).map(|touched| (index, *touched))
            };
            let Some((index, touched)) = looked_at.iter().enumerate().find_map(touched) else {
                return;
            };
            looked_at[index] += 1;
            if touched.is_heard {
                self.serve_place(index, (touched.keyspace, touched.position));
            }
        }
    }

    fn serve_place(&mut self, index: usize, place: (KeyspaceId, Position)) {
        let waiting = &mut self.guards[index].1.waiting;
        let Some(mut waiters) = waiting.by_place.remove(&place) else {
            return;
        };
        let mut passed_over = Vec::new();
        while let Some(waiter) = waiters.pop_front() {
            match self.attempt_in_order(&waiter) {
                Attempt::Served | Attempt::Gone => {}
                Attempt::Nothing => passed_over.push(waiter),
                // Few queues have such clients; those that have are looked through.
                Attempt::Empty if waiters.iter().any(|next| next.minds_absence) => {
                    passed_over.push(waiter);
                }
                Attempt::Elsewhere | Attempt::Empty => {
                    passed_over.push(waiter);
                    break;
                }
            }
        }
        passed_over.into_iter().rev().for_each(|waiter| waiters.push_front(waiter));
        if !waiters.is_empty() {
            self.guards[index].1.waiting.by_place.insert(place, waiters);
        }
    }

    /// As [`Unit::attempt`], from the first of the call's keys: those in front may have become
    /// ready in this unit as well.
    fn attempt_in_order(&mut self, waiter: &Waiter) -> Attempt {
        let Waiter { index, ticket, .. } = waiter;
        match self.serve_from(&ticket.0.keys[..*index], ticket) {
            true => Attempt::Served,
            false => self.attempt(&waiter.key(), ticket),
        }
    }

    /// Serves a client from the first of these keys that is ready, of those that the unit holds;
    /// whether one was.
    fn serve_from(&mut self, keys: &[WaitedKey], ticket: &Ticket) -> bool {
        keys.iter()
            .map(WaitedKey::as_key)
            .any(|key| self.holds(&key) && matches!(self.attempt(&key, ticket), Attempt::Served))
    }

    fn attempt(&mut self, key: &Key<'_>, ticket: &Ticket) -> Attempt {
        if self.probe(key).is_none() && !ticket.0.minds_absence {
            return Attempt::Empty;
        }
        let mut slot = ticket.0.serve.lock().expect("a panic under it poisons the engine");
        let Some(serve) = slot.as_mut() else {
            return Attempt::Gone;
        };
        if !serve.is_ready(self, key) {
            return Attempt::Nothing;
        }
        let other_is_here = serve.other_key().is_none_or(|(db, bytes)| {
            let other = self.key(db, bytes);
            self.holds(&other)
        });
        let bytes = serve.frame_bytes(self, key);
        match self.core.log.reserve(bytes, SpaceClass::Normal) {
            Reserve::Granted(room) if other_is_here => self.join_room(room),
            _ => {
                serve.wake();
                return Attempt::Elsewhere;
            }
        }
        if !serve.serve(self, key) {
            return Attempt::Nothing;
        }
        self.served.extend(slot.take());
        Attempt::Served
    }

    /// Whether a key's partition is locked, and the key hot.
    pub fn holds(&self, key: &Key<'_>) -> bool {
        let shard = self.core.shard_of(key.position);
        let guard = self.guards.binary_search_by_key(&shard, |(index, _)| *index);
        guard.is_ok_and(|index| {
            let mut cold = Vec::new();
            self.guards[index].1.note_if_cold(key, false, &mut cold);
            cold.is_empty()
        })
    }
}

impl Core {
    fn stop_waiting(&self, ticket: &Ticket) -> Result<()> {
        for waited in &ticket.0.keys {
            let mut shard = self.lock(self.shard_of(waited.position))?;
            let place = (shard.databases.keyspace(waited.db), waited.position);
            shard.waiting.forget(place, ticket);
        }
        Ok(())
    }
}

impl Engine {
    /// A unit in which a client that was woken may be served ([`Unit::serve_woken`]).
    pub fn begin_serving<'e>(&'e self, ticket: &Ticket, now_ms: u64) -> Begin<'e> {
        let other = {
            let serve = ticket.0.serve.lock().expect("a panic under it poisons the engine");
            let other = serve.as_ref().and_then(|serve| serve.other_key());
            other.map(|(db, bytes)| (db, bytes.to_vec()))
        };
        let mut keys: Vec<Key<'_>> = ticket.0.keys.iter().map(WaitedKey::as_key).collect();
        keys.extend(other.iter().map(|(db, bytes)| self.key(*db, bytes)));
        self.begin(&keys, Intent::write(now_ms, 0))
    }

    /// Forgets who waited, served or not.
    ///
    /// # Errors
    /// `Poisoned`.
    pub fn stop_waiting(&self, ticket: &Ticket) -> Result<()> {
        self.core.stop_waiting(ticket)
    }
}
