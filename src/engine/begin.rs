//! How a unit starts: space in the log is reserved, the partitions are locked in order, and every
//! key is hot or known to be absent before a handler runs.

use std::cell::Cell;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, MutexGuard};
use std::thread;
use std::time::Duration;

use smallvec::SmallVec;

use crate::error::{Error, Result};
use crate::format::record::Record;
use crate::io::random::Random;
use crate::keyspace::entry::EntryRef;
use crate::keyspace::object::ValueRef;
use crate::log::{Reservation, Reserve, SpaceClass};
use crate::snapshot::part_set::PartSet;
use crate::types::{KeyspaceId, Lsn, Position};
use crate::value::members::{Members, Near};

use super::core::Core;
use super::shard::Shard;
use super::staging::{Copied, Copying};
use super::throttle::Pace;
use super::unit::{Key, Unit};

/// What a unit is about to do.
#[derive(Clone, Copy, Debug)]
pub struct Intent {
    /// Whether it may change something.
    pub write: bool,
    /// Whether it frees space, and so may use the log's reserve when the disk is full.
    pub frees: bool,
    /// Whether it looks at none of its keys' values, which it removes or puts others in place of.
    pub replaces: bool,
    /// Upper bound of its frame's payload, in bytes, without the values that it copies (D6).
    pub frame_bytes: u64,
    /// Wall time of the unit in milliseconds, from [`super::Engine::now_ms`].
    pub now_ms: u64,
}

impl Intent {
    /// A unit that only reads.
    pub fn read(now_ms: u64) -> Intent {
        Intent { write: false, frees: false, replaces: false, frame_bytes: 0, now_ms }
    }

    /// A unit that writes a frame of at most `frame_bytes`.
    pub fn write(now_ms: u64, frame_bytes: u64) -> Intent {
        Intent { write: true, frees: false, replaces: false, frame_bytes, now_ms }
    }
}

/// Room for copied values that is reserved before any has been looked at, in bytes: small ones are
/// found to fit, and their units begin at once.
const COPIED_BYTES_GUESS: u64 = 4 << 10;

/// How often a taken partition is looked at before the thread rests: for about two microseconds,
/// which is longer than most units take.
const LOCK_SPINS: usize = 8;
/// Pauses of the processor between two looks.
const SPIN_PAUSES: usize = 16;
/// Rests before the thread waits to be woken. Who waits for a wake makes the holder pay for it,
/// with a call of the kernel for each unit; where all clients want one key, that costs as much as
/// what they want.
const LOCK_RESTS: usize = 40;
/// Length of a rest.
const LOCK_REST: Duration = Duration::from_micros(50);

/// The last number that was given to a thread that runs units.
static USERS: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// The number of this thread, from 1 on.
    static USER: u32 = USERS.fetch_add(1, Relaxed).wrapping_add(1);
    /// How often this thread has used a partition after another one.
    static TURNS: Cell<u64> = const { Cell::new(0) };
}

/// How often this thread has used a partition that another one had used before it.
pub(super) fn turns() -> u64 {
    TURNS.get()
}

fn note_user(shard: &mut Shard) {
    let last = std::mem::replace(&mut shard.last_user, USER.with(|user| *user));
    TURNS.set(TURNS.get() + u64::from(last != 0 && last != shard.last_user));
}

/// What came of the attempt.
pub enum Begin<'e> {
    /// The partitions are locked; run.
    Ready(Unit<'e>),
    /// Some keys are cold: fetch them, then begin again.
    Cold(ColdFetch),
    /// The queue of unwritten frames is full, or too much of the memory budget waits for a
    /// checkpoint: wait a little, then begin again.
    Wait,
    /// The unit may not run; nothing was changed.
    Refused(Error),
}

/// Cold keys of a unit, with the parts that were current when they were missed.
pub struct ColdFetch {
    pub(super) keys: Vec<ColdKey>,
}

impl ColdFetch {
    /// How many keys there are.
    pub fn key_count(&self) -> usize {
        self.keys.len()
    }
}

/// One key to be fetched.
pub(super) struct ColdKey {
    pub keyspace: KeyspaceId,
    pub position: Position,
    pub key: Box<[u8]>,
    pub parts: Arc<PartSet>,
    /// The partition's departures at the time of the miss: a load is void when something left
    /// since.
    pub departures: u64,
    /// Whether memory holds changes of it that wait for what is fetched.
    pub has_deltas: bool,
    /// Whether more is wanted than that the key is there, and its deadline.
    pub needs_value: bool,
}

/// What the log says to a unit that wants to start.
enum Admission<'e> {
    /// It writes nothing.
    Free,
    Granted(Reservation<'e>),
    Wait,
    Refused(Error),
}

/// Locked shards in ascending order.
pub(super) type Guards<'e> = SmallVec<[(usize, MutexGuard<'e, Shard>); 1]>;

impl Core {
    /// Locks the shards of `keys` and starts a unit on them.
    pub fn begin<'e>(&'e self, keys: &[Key<'_>], intent: Intent) -> Begin<'e> {
        let begin = self.begin_copying(keys, false, intent, None);
        begin.unwrap_or_else(|_| unreachable!("it copies nothing"))
    }

    /// Locks every shard and starts a unit on the whole keyspace; `keys` are those it will touch.
    pub fn begin_all<'e>(&'e self, keys: &[Key<'_>], intent: Intent) -> Begin<'e> {
        let begin = self.begin_copying(keys, true, intent, None);
        begin.unwrap_or_else(|_| unreachable!("it copies nothing"))
    }

    /// As [`Core::begin`], or [`Core::begin_all`] for `all`, for a unit that may copy values.
    ///
    /// # Errors
    /// With what must be logged ahead before it can begin.
    pub fn begin_copying<'e>(
        &'e self,
        keys: &[Key<'_>],
        all: bool,
        intent: Intent,
        copying: Option<&Copying<'_>>,
    ) -> Copied<Begin<'e>> {
        let mut frame_bytes = intent.frame_bytes;
        if intent.write {
            // A key past its deadline is removed in the same frame, before it is written (D13).
            let removals = keys.iter().map(|key| key.bytes.len() + Record::HEAD_BYTES_MAX);
            frame_bytes += removals.sum::<usize>() as u64;
        }
        let mut value_bytes = if copying.is_some() { COPIED_BYTES_GUESS } else { 0 };
        loop {
            let room = match self.admit(&intent, frame_bytes.saturating_add(value_bytes)) {
                Admission::Free => None,
                Admission::Granted(room) => Some(room),
                Admission::Wait => return Ok(Begin::Wait),
                Admission::Refused(error) => return Ok(Begin::Refused(error)),
            };
            let mut guards = Guards::new();
            let locked = match all {
                true => self.lock_all(&mut guards),
                false => self.lock_shards(keys, &mut guards),
            };
            if let Err(error) = locked {
                return Ok(Begin::Refused(error));
            }
            if let Some(fetch) = self.cold_keys(keys, intent.replaces, &guards) {
                return Ok(Begin::Cold(fetch));
            }
            let mut staged = Vec::new();
            if let Some(copying) = copying {
                staged = self.find_staged(keys, copying, &guards, intent.now_ms)?;
                let is_staged = |index: usize| staged.get(index).is_some_and(Option::is_some);
                let needed = (copying.bytes)(&|key| self.value(key, &guards), &is_staged);
                if needed > value_bytes {
                    // Room is reserved before the locks are taken, so both are taken anew.
                    value_bytes = needed;
                    continue;
                }
            }
            guards.iter_mut().for_each(|(_, shard)| note_user(shard));
            let first = if all { None } else { keys.first() };
            let mut unit = Unit::new(self, guards, intent.now_ms, room, first);
            unit.staged = staged.into_iter().flatten().collect();
            return Ok(Begin::Ready(unit));
        }
    }

    /// What must be fetched before a handler may look at `keys`, whose shards are locked.
    fn cold_keys(
        &self,
        keys: &[Key<'_>],
        replaces: bool,
        guards: &Guards<'_>,
    ) -> Option<ColdFetch> {
        let mut cold = Vec::new();
        for key in keys {
            self.locked(key, guards).note_if_cold(key, replaces, &mut cold);
        }
        (!cold.is_empty()).then_some(ColdFetch { keys: cold })
    }

    /// The value of a key whose shard is locked.
    fn value<'g>(&self, key: &Key<'_>, guards: &'g Guards<'_>) -> Option<ValueRef<'g>> {
        self.entry(key, guards).and_then(|entry| entry.value())
    }

    /// What memory knows of a key whose shard is locked.
    pub(super) fn entry<'g>(&self, key: &Key<'_>, guards: &'g Guards<'_>) -> Option<EntryRef<'g>> {
        let shard = self.locked(key, guards);
        let keyspace = shard.databases.keyspace(key.db);
        shard.partition.find(keyspace, key.position, key.bytes)
    }

    /// The shard of a key among those that are locked.
    pub(super) fn locked<'g>(&self, key: &Key<'_>, guards: &'g Guards<'_>) -> &'g Shard {
        if let [(_, shard)] = guards.as_slice() {
            return shard;
        }
        let wanted = self.shard_of(key.position);
        let found = guards.binary_search_by_key(&wanted, |(index, _)| *index);
        &guards[found.expect("the shards of all keys are locked")].1
    }

    /// Refuses a write before anything changed when memory or the log cannot take it (D5, D6).
    fn admit(&self, intent: &Intent, frame_bytes: u64) -> Admission<'_> {
        if !intent.write {
            return Admission::Free;
        }
        if !intent.frees {
            match self.pace(frame_bytes) {
                Pace::Go => {}
                Pace::Wait => return Admission::Wait,
                Pace::Refused(error) => return Admission::Refused(error),
            }
        }
        let class = if intent.frees { SpaceClass::Frees } else { SpaceClass::Normal };
        match self.reserve(frame_bytes, class) {
            Reserve::Granted(room) => Admission::Granted(room),
            Reserve::Wait => Admission::Wait,
            Reserve::Full => Admission::Refused(self.no_room()),
        }
    }

    /// Why the log has no room.
    pub(super) fn no_room(&self) -> Error {
        match self.log.poisoned() {
            Some(reason) => Error::Poisoned { reason: reason.into() },
            None => Error::DiskFull,
        }
    }

    /// As [`crate::log::Log::reserve`]; without background threads what it would wait for is done
    /// here.
    pub(super) fn reserve(&self, frame_bytes: u64, class: SpaceClass) -> Reserve<'_> {
        let reserve = self.log.reserve(frame_bytes, class);
        if self.options.background || matches!(reserve, Reserve::Granted(_)) {
            return reserve;
        }
        // A failure shows in the second answer: the log is full then, or has stopped.
        let _ = self.log.commit(true).and_then(|_| self.log.prepare_ahead());
        self.log.reserve(frame_bytes, class)
    }

    fn lock_shards<'e>(&'e self, keys: &[Key<'_>], guards: &mut Guards<'e>) -> Result<()> {
        if let [key] = keys {
            let index = self.shard_of(key.position);
            guards.push((index, self.lock(index)?));
            return Ok(());
        }
        let mut indexes: SmallVec<[usize; 16]> =
            keys.iter().map(|key| self.shard_of(key.position)).collect();
        indexes.sort_unstable();
        indexes.dedup();
        for index in indexes {
            guards.push((index, self.lock(index)?));
        }
        Ok(())
    }

    fn lock_all<'e>(&'e self, guards: &mut Guards<'e>) -> Result<()> {
        for index in 0..self.shards.len() {
            guards.push((index, self.lock(index)?));
        }
        Ok(())
    }

    /// One shard; an error when a panic under its lock has poisoned the engine (D5).
    pub(super) fn lock(&self, index: usize) -> Result<MutexGuard<'_, Shard>> {
        let shard = &self.shards[index].0;
        for round in 0..LOCK_SPINS + LOCK_RESTS {
            if let Ok(guard) = shard.try_lock() {
                return Ok(guard);
            }
            match round < LOCK_SPINS {
                true => (0..SPIN_PAUSES).for_each(|_| std::hint::spin_loop()),
                false => thread::park_timeout(LOCK_REST),
            }
        }
        shard.lock().map_err(|_| Error::Poisoned {
            reason: "a panic interrupted a change in memory; reopen the database".into(),
        })
    }
}

/// What a finished unit has seen and done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Highest LSN that its replies reveal; they wait until it is durable (D2).
    pub observed: Lsn,
    /// Whether it wrote a frame.
    pub wrote: bool,
    /// What its reads have met.
    pub lookups: Lookups,
}

/// Keys that reads have asked for. A write that looks at what it replaces counts nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lookups {
    /// Those that were live.
    pub hits: u64,
    /// Those that were not.
    pub misses: u64,
}

impl Unit<'_> {
    /// Random numbers of the unit's own, for what picks at random.
    pub fn random(&mut self) -> Random {
        match self.guards.first_mut() {
            Some((_, shard)) => shard.random.split(),
            // A command without keys locks none.
            None => Random::new(self.core.random()),
        }
    }

    /// Starts to bring members of large collections into the cache, so that their ways from memory
    /// overlap; in place of none, the one that the next handler to pick at random would take out.
    pub fn prefetch_members<'k>(
        &self,
        members: impl Iterator<Item = (&'k Key<'k>, Option<&'k [u8]>)>,
    ) {
        let mut near: SmallVec<[Near<'_>; 32]> = SmallVec::new();
        let mut last: Option<(&Key<'_>, Option<&Members>)> = None;
        let mut picks: Option<(Random, u64)> = None;
        for (key, member) in members {
            let found = match last {
                Some((last, found)) if last.position == key.position && last.bytes == key.bytes => {
                    found
                }
                _ => self.seen(key).and_then(|view| match view.value {
                    ValueRef::Collection(collection) => collection.members(),
                    ValueRef::Packed(_) | ValueRef::String(_) => None,
                }),
            };
            last = Some((key, found));
            let Some(found) = found else { continue };
            near.extend(match member {
                Some(member) => found.prefetch(member),
                None => {
                    let random = || (self.guards[0].1.random.clone(), 0);
                    let (random, picked) = picks.get_or_insert_with(random);
                    let left = found.len().saturating_sub(*picked).max(1);
                    *picked += 1;
                    found.prefetch_rank(random.split().below(left))
                }
            });
        }
        near.iter().for_each(|near| near.prefetch());
    }
}
