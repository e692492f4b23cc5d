//! The engine's threads: committer, maintenance, expiry, freeing, cold reads. Each runs bounded
//! steps and ends at [`Threads::stop`].

use std::io;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crate::error::{Error, Result};

use super::core::Core;
use super::pace::Haste;

/// How often maintenance looks whether a checkpoint, a merge or an unload is due.
const MAINTENANCE_PERIOD: Duration = Duration::from_millis(100);
/// How often deadlines are looked at.
const EXPIRY_PERIOD: Duration = Duration::from_millis(50);
/// Wait after a failed checkpoint or merge, so that a broken disk is not hammered.
const RETRY_PERIOD: Duration = Duration::from_secs(5);

/// Running threads and the bell that ends their naps.
pub struct Threads {
    handles: Vec<JoinHandle<()>>,
    bell: Arc<Bell>,
}

#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    /// Sleeps for `period`; false when the engine closes.
    fn nap(&self, period: Duration) -> bool {
        let rung = self.rung.lock().expect("nothing panics under this lock");
        let wait = self.changed.wait_timeout_while(rung, period, |rung| !*rung);
        !*wait.expect("nothing panics under this lock").0
    }

    fn ring(&self) {
        *self.rung.lock().expect("nothing panics under this lock") = true;
        self.changed.notify_all();
    }
}

impl Threads {
    /// Starts all threads.
    pub fn start(core: &Arc<Core>) -> Result<Threads> {
        let bell = Arc::new(Bell::default());
        let mut threads = Threads { handles: Vec::new(), bell };
        threads.start_all(core).map_err(|source| Error::Io {
            op: "start a thread for",
            path: core.options.dir.clone(),
            source,
        })?;
        Ok(threads)
    }

    fn start_all(&mut self, core: &Arc<Core>) -> io::Result<()> {
        self.handles = core.reads.start(core)?;
        self.spawn("firn-log", core, |core, _| core.log.run_committer())?;
        self.spawn("firn-maintain", core, maintain)?;
        self.spawn("firn-expire", core, expire)?;
        let (sender, receiver) = channel();
        *core.free.lock().expect("nothing panics under this lock") = Some(sender);
        let free = Builder::new().name("firn-free".into());
        self.handles.push(free.spawn(move || receiver.into_iter().for_each(drop))?);
        Ok(())
    }

    fn spawn(&mut self, name: &str, core: &Arc<Core>, body: fn(&Core, &Bell)) -> io::Result<()> {
        let (core, bell) = (core.clone(), self.bell.clone());
        let thread = Builder::new().name(name.into()).spawn(move || body(&core, &bell))?;
        self.handles.push(thread);
        Ok(())
    }

    /// Ends the threads and waits for them. What is queued in the log stays queued.
    pub fn stop(self, core: &Core) {
        core.closing.store(true, Release);
        self.bell.ring();
        core.log.close();
        core.reads.stop();
        core.free.lock().expect("nothing panics under this lock").take();
        for handle in self.handles {
            // A thread that panicked has poisoned the engine; there is nothing more to say here.
            let _ = handle.join();
        }
    }
}

fn maintain(core: &Core, bell: &Bell) {
    while bell.nap(MAINTENANCE_PERIOD) {
        let done = core.checkpoint_due().and_then(|due| match due {
            true => core.checkpoint(Haste::Idle),
            false => Ok(()),
        });
        let done = done.and_then(|()| match core.log.is_full() {
            true => core.release_previous(),
            false => Ok(()),
        });
        let done = done.and_then(|()| core.compact(Haste::Idle).map(drop));
        let done = done.and_then(|()| core.shrink_to_budget());
        if done.is_err() && !core.closing.load(Acquire) {
            // Checkpoints and merges have counted their failures.
            if !bell.nap(RETRY_PERIOD) {
                return;
            }
        }
    }
}

fn expire(core: &Core, bell: &Bell) {
    while bell.nap(EXPIRY_PERIOD) {
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
