//! The engine's threads: committer, checkpoints, merges, unloading, expiry, freeing, cold reads.
//! Each runs bounded steps and ends at [`Threads::stop`].
//!
//! Long work gives way to commands: it works in slices and rests as long as it worked, so that it
//! never takes more than half a core for long.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::mpsc::channel;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crate::error::{Error, Result};

use super::core::Core;

/// How often it is looked whether a checkpoint, a merge or an unload is due.
const MAINTENANCE_PERIOD: Duration = Duration::from_millis(100);
/// How often deadlines are looked at.
const EXPIRY_PERIOD: Duration = Duration::from_millis(50);
/// Wait after a failed checkpoint or merge, so that a broken disk is not hammered.
const RETRY_PERIOD: Duration = Duration::from_secs(5);

/// Work in a row, in microseconds.
const SLICE_US: u64 = 500;
/// Longest rest: what took longer waited for the disk.
const REST_US_MAX: u64 = 4 * SLICE_US;

/// Dirty entries take too much of the memory budget.
pub(super) const CHECKPOINT: u8 = 1;
/// There is more in memory than its budget.
pub(super) const UNLOAD: u8 = 2;
/// The engine closes.
pub(super) const CLOSE: u8 = 4;

/// Running threads.
pub struct Threads {
    handles: Vec<JoinHandle<()>>,
}

/// Sleeps until there is this news or the time is over; false when the engine closes.
fn nap(core: &Core, news: u8, period: Duration) -> bool {
    core.news.wait(news | CLOSE, period);
    core.news.take(news);
    !core.news.is_raised(CLOSE)
}

impl Threads {
    /// Starts all threads.
    pub fn start(core: &Arc<Core>) -> Result<Threads> {
        let mut threads = Threads { handles: Vec::new() };
        threads.start_all(core).map_err(|source| Error::Io {
            op: "start a thread for",
            path: core.options.dir.clone(),
            source,
        })?;
        Ok(threads)
    }

    fn start_all(&mut self, core: &Arc<Core>) -> io::Result<()> {
        self.handles = core.reads.start(core)?;
        self.spawn("firn-log", core, |core| core.log.run_committer())?;
        self.spawn("firn-maintain", core, maintain)?;
        self.spawn("firn-merge", core, merge)?;
        self.spawn("firn-unload", core, unload)?;
        self.spawn("firn-expire", core, expire)?;
        let (sender, receiver) = channel();
        *core.free.lock().expect("nothing panics under this lock") = Some(sender);
        let free = Builder::new().name("firn-free".into());
        self.handles.push(free.spawn(move || receiver.into_iter().for_each(drop))?);
        Ok(())
    }

    fn spawn(&mut self, name: &str, core: &Arc<Core>, body: fn(&Core)) -> io::Result<()> {
        let core = core.clone();
        let thread = Builder::new().name(name.into()).spawn(move || body(&core))?;
        self.handles.push(thread);
        Ok(())
    }

    /// Ends the threads and waits for them. What is queued in the log stays queued.
    pub fn stop(self, core: &Core) {
        core.closing.store(true, Release);
        core.news.raise(CLOSE);
        core.log.close();
        core.reads.stop();
        core.free.lock().expect("nothing panics under this lock").take();
        for handle in self.handles {
            // A thread that panicked has poisoned the engine; there is nothing more to say here.
            let _ = handle.join();
        }
    }
}

fn maintain(core: &Core) {
    while nap(core, CHECKPOINT, MAINTENANCE_PERIOD) {
        let done = core.checkpoint_due().and_then(|due| match due {
            true => core.checkpoint(Haste::Idle),
            false => Ok(()),
        });
        let done = done.and_then(|()| match core.log.is_full() {
            true => core.release_previous(),
            false => Ok(()),
        });
        // Checkpoints have counted their failures.
        if done.is_err() && !nap(core, 0, RETRY_PERIOD) {
            return;
        }
    }
}

/// Apart from checkpoints: a merge takes as long as its input is large, and writers may wait for a
/// checkpoint.
fn merge(core: &Core) {
    while nap(core, 0, MAINTENANCE_PERIOD) {
        // Merges have counted their failures.
        if core.compact(Haste::Idle).is_err() && !nap(core, 0, RETRY_PERIOD) {
            return;
        }
    }
}

fn unload(core: &Core) {
    while nap(core, UNLOAD, MAINTENANCE_PERIOD) {
        // An engine that is poisoned says so to everybody who asks.
        let _ = core.shrink_to_budget();
    }
}

fn expire(core: &Core) {
    while nap(core, 0, EXPIRY_PERIOD) {
        if !core.active_expiry.load(Acquire) {
            continue;
        }
        // A cold key whose block is damaged stays where it is; its reader gets the error.
        while core.expire_some().is_ok_and(|removed| removed > 0) {
            if core.closing.load(Acquire) {
                return;
            }
        }
    }
}

/// Whether somebody waits for the end of the work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Haste {
    /// As fast as it goes.
    Awaited,
    /// In the background.
    Idle,
}

/// Rests between slices of background work.
pub struct Pacer<'c> {
    core: &'c Core,
    rests: bool,
    since_us: u64,
}

impl<'c> Pacer<'c> {
    /// Starts a slice. Without background threads nobody could use the rests, so there are none.
    pub fn start(core: &'c Core, haste: Haste) -> Pacer<'c> {
        let rests = haste == Haste::Idle && core.options.background;
        Pacer { core, rests, since_us: core.clock.monotonic_us() }
    }

    /// Between two steps of the work; no lock may be held. Rests when the slice is used up, unless
    /// writers wait for what the work will release, or the engine closes.
    pub fn step(&mut self) {
        if !self.rests {
            return;
        }
        let worked_us = self.core.clock.monotonic_us().saturating_sub(self.since_us);
        if worked_us < SLICE_US {
            return;
        }
        let core = self.core;
        if core.log.is_full() || core.throttle.is_over() || core.closing.load(Relaxed) {
            return;
        }
        core.news.wait(CLOSE, Duration::from_micros(worked_us.min(REST_US_MAX)));
        self.since_us = core.clock.monotonic_us();
    }
}
