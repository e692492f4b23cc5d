//! What all parts of the engine share: the shards, the log, the parts on disk.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};

use crate::error::{Error, Result};
use crate::format::position::Hasher;
use crate::format::record::Record;
use crate::io::random::Random;
use crate::io::{Clock, Storage};
use crate::keyspace::partition::{Dropped, Garbage};
use crate::log::{Frame, Log, Reservation, Reserve, Signal, SpaceClass};
use crate::options::Options;
use crate::snapshot::part_set::DueCursors;
use crate::types::{Lsn, Position, SLOT_COUNT};
use crate::value::members::MemberHasher;

use super::checkpoint::Snapshots;
use super::cold_read::{AsideReads, ReadPool};
use super::shard::Shard;
use super::staging::Stages;
use super::stats::Counters;
use super::throttle::Throttle;

/// Keeps neighbouring shards out of each other's cache lines.
#[repr(align(128))]
pub struct Padded<T>(pub T);

/// Memory that nobody can reach any more. Its only use is to be dropped, away from any lock.
pub enum Waste {
    /// Everything of a flushed database in one partition.
    Keyspace(#[expect(dead_code, reason = "held to be dropped")] Dropped),
    /// Large values that were overwritten or deleted.
    Values(#[expect(dead_code, reason = "held to be dropped")] Garbage),
}

/// A clock that stands this far below the time was set back, in milliseconds.
const STEP_MS: u64 = 1000;
/// Time that goes on slower goes so many milliseconds...
const SLEW_MS: u64 = 7;
/// ...in so many microseconds.
const SLEW_STEP_US: u64 = 8000;

/// What time it is.
#[derive(Default)]
pub struct Time {
    /// Highest wall time that a frame carries or a unit has seen: the clock never runs below (D13).
    floor_ms: AtomicU64,
    /// How that goes on while the machine's clock stands below it.
    slew: Mutex<Slew>,
    /// The newest frame that only carries the time, with that.
    mark: Mutex<(u64, Lsn)>,
}

impl Time {
    /// Time that goes on from here.
    pub fn from_ms(floor_ms: u64) -> Time {
        Time { floor_ms: AtomicU64::new(floor_ms), ..Time::default() }
    }
}

/// Time that goes on by itself, because the clock was set back.
#[derive(Default)]
struct Slew {
    /// The time, as it was made here.
    at_ms: u64,
    /// Monotonic time of that.
    at_us: u64,
}

/// The engine behind its handle.
pub struct Core {
    pub options: Options,
    pub storage: Arc<dyn Storage>,
    pub clock: Arc<dyn Clock>,
    pub hasher: Hasher,
    /// How members of large collections are hashed.
    pub member_hasher: MemberHasher,
    pub shards: Box<[Padded<Mutex<Shard>>]>,
    pub log: Log,
    pub snapshots: Mutex<Snapshots>,
    /// Held by the one merge at a time.
    pub compacting: Mutex<()>,
    /// How far the deadlines of cold keys have been read.
    pub due: Mutex<DueCursors>,
    pub reads: ReadPool,
    /// Collections of which members are read without loading them.
    pub aside_reads: AsideReads,
    pub stats: Counters,
    pub random: Mutex<Random>,
    pub closing: AtomicBool,
    /// Whether the expiry thread removes keys.
    pub active_expiry: AtomicBool,
    /// Budget for memory in bytes; 0 is none.
    pub memory_bytes: AtomicU64,
    /// How writers keep to it.
    pub throttle: Throttle,
    /// Collections that are logged ahead of the record that gives them to a key.
    pub stages: Arc<Stages>,
    /// What background threads are called for.
    pub news: Signal,
    /// Whether the least used leave memory first, and not those idle for longest.
    pub unload_by_frequency: AtomicBool,
    pub time: Time,
    /// Where memory goes to be freed off the lock; none frees in place.
    pub free: Mutex<Option<Sender<Waste>>>,
}

impl Core {
    /// The shard of a position. Shards are equal ranges of slots.
    pub fn shard_of(&self, position: Position) -> usize {
        position.slot() as usize * self.shards.len() / SLOT_COUNT
    }

    /// Wall time in milliseconds; never below an earlier answer or the log's last frame. While the
    /// clock stands below that, time goes on a little slower than it is, until both meet.
    pub fn now_ms(&self) -> u64 {
        let now = self.clock.wall_ms();
        let floor = self.time.floor_ms.load(Relaxed);
        if now == floor {
            // Most answers come within a millisecond of another: all cores share this line.
            return now;
        }
        if now + STEP_MS < floor {
            return self.slewed_ms(floor);
        }
        self.time.floor_ms.fetch_max(now, Relaxed).max(now)
    }

    /// The time where the clock stands far below it: it was set back.
    #[cold]
    fn slewed_ms(&self, floor_ms: u64) -> u64 {
        // Who finds another at it takes the time as it is.
        let Ok(mut slew) = self.time.slew.try_lock() else { return floor_ms };
        let now_us = self.clock.monotonic_us();
        if slew.at_ms != floor_ms {
            // The clock has moved the time since, so it was set back just now.
            *slew = Slew { at_ms: floor_ms, at_us: now_us };
            return floor_ms;
        }
        let elapsed_ms = now_us.saturating_sub(slew.at_us) / SLEW_STEP_US * SLEW_MS;
        if elapsed_ms > 0 {
            slew.at_us += elapsed_ms / SLEW_MS * SLEW_STEP_US;
            slew.at_ms = self.time.floor_ms.fetch_add(elapsed_ms, Relaxed) + elapsed_ms;
        }
        slew.at_ms
    }

    /// Whoever leaves something out because its deadline has passed, and does not remove it, makes
    /// the log carry that time: a clock that is set back beside a crash brings nothing back (D13).
    /// Returns the LSN that replies without it have to wait for; 0 where the log has no room.
    pub fn mark_time(&self, deadline_ms: u64, now_ms: u64) -> Lsn {
        let mut mark = self.time.mark.lock().expect("nothing panics under this lock");
        if mark.0 < deadline_ms {
            let Some(room) = self.room_now(0, SpaceClass::Frees) else { return 0 };
            *mark = (now_ms, self.log.append_into(room, &mut Frame::new(now_ms)));
        }
        mark.1
    }

    /// Room in the log for one more record, if there is any at once: `bytes` are those of its key
    /// and value.
    pub fn room_now(&self, bytes: usize, class: SpaceClass) -> Option<Reservation<'_>> {
        match self.log.reserve((bytes + Record::HEAD_BYTES_MAX) as u64, class) {
            Reserve::Granted(room) => Some(room),
            Reserve::Wait | Reserve::Full => None,
        }
    }

    /// Frees memory where nobody waits for it.
    pub fn free_later(&self, waste: Waste) {
        let sender = self.free.lock().expect("nothing panics under this lock");
        if let Some(sender) = sender.as_ref() {
            // A closed channel hands it back, and it is freed here.
            let _ = sender.send(waste);
        }
    }

    /// A random number, for sampling.
    pub fn random(&self) -> u64 {
        self.random.lock().expect("nothing panics under this lock").next_u64()
    }

    /// Waits until `lsn` is durable, committing in this thread when nobody else does.
    pub fn wait_durable(&self, lsn: Lsn) -> Result<()> {
        while self.log.durable_lsn() < lsn {
            self.log.commit(true)?;
        }
        Ok(())
    }

    /// Runs `step` on every shard in turn, one lock at a time.
    pub fn each_shard(&self, mut step: impl FnMut(&mut Shard)) -> Result<()> {
        (0..self.shards.len()).try_for_each(|index| {
            step(&mut *self.lock(index)?);
            Ok(())
        })
    }

    /// Whether some key of a database is not in memory.
    pub fn has_cold(&self) -> bool {
        let cold = |index| self.lock(index).is_ok_and(|shard| shard.partition.has_cold());
        (0..self.shards.len()).any(cold)
    }

    /// The error of a database that is being closed.
    pub fn closed() -> Error {
        Error::Poisoned { reason: "the engine is closed".into() }
    }
}
