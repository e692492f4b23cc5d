//! The threads of the log: one commits, one prepares segments. A log works without them too.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::error::Result;
use crate::log::writer::Log;
use crate::types::Lsn;

/// Somebody waits for a sync.
const SYNC: u8 = 1;
/// Frames wait to be written that nobody waits for.
const WRITE: u8 = 2;
/// The log is being closed.
const CLOSE: u8 = 4;
/// A spare may be needed.
pub(super) const PREPARE: u8 = 1;
/// Room for frames may have come back.
pub(super) const ROOM: u8 = 1;

/// Frames that nobody waits for are written at most this often, unless they are many.
const WRITE_INTERVAL: Duration = Duration::from_millis(2);
/// From this many bytes on they are written at once.
const WRITE_BYTES: u64 = 256 << 10;
/// After this time without a frame the log is idle, and its last group gets its witness.
const IDLE: Duration = Duration::from_millis(50);
/// How often the committer looks for frames that nobody announced.
const TICK: Duration = Duration::from_millis(100);
/// How long the preparer waits after a failure, a full disk above all.
const RETRY: Duration = Duration::from_millis(500);

impl Log {
    /// Waits until room may have come back after a reservation was answered with `Wait`, or the
    /// time is over.
    pub fn wait_for_room(&self, timeout: Duration) {
        self.room.wait(ROOM, timeout);
    }

    /// Asks the committer thread to make `lsn` durable. Cheap when that was asked before.
    pub fn request_sync(&self, lsn: Lsn) {
        if lsn > self.durable_lsn() {
            self.sync_requested.fetch_max(lsn, Ordering::SeqCst);
            self.signal.raise(SYNC);
        }
    }

    /// Asks the committer thread to write soon what is pending and nobody waits for.
    pub fn request_write(&self) {
        self.signal.raise(WRITE);
    }

    /// Makes [`Log::run_committer`] return, after a last commit.
    pub fn close(&self) {
        self.signal.raise(CLOSE);
    }

    /// Body of the committer thread: commits on request, and on time what nobody asked for. Starts
    /// a second thread that prepares segments. Returns after [`Log::close`], or when the log has
    /// stopped.
    pub fn run_committer(&self) {
        self.threaded.store(true, Ordering::Relaxed);
        std::thread::scope(|scope| {
            scope.spawn(|| self.run_preparer());
            // A failure has already stopped the log and told its listener.
            let _ = self.commit_loop();
            self.preparer.raise(CLOSE);
        });
        self.threaded.store(false, Ordering::Relaxed);
    }

    fn run_preparer(&self) {
        while !self.preparer.is_raised(CLOSE) {
            self.preparer.take(PREPARE);
            if self.prepare_ahead().is_err() {
                self.preparer.wait(CLOSE, RETRY);
            } else {
                self.preparer.wait(PREPARE | CLOSE, Duration::from_secs(1));
            }
        }
    }

    fn commit_loop(&self) -> Result<()> {
        let mut last_write_us = 0;
        let mut last_sync_us = self.clock.monotonic_us();
        loop {
            let closing = self.signal.is_raised(CLOSE);
            self.signal.take(SYNC);
            let now_us = self.clock.monotonic_us();
            let since = |then_us: u64| Duration::from_micros(now_us.saturating_sub(then_us));
            let interval = Duration::from_millis(self.sync_interval_ms.load(Ordering::Relaxed));
            let (durable, last) = (self.durable_lsn(), self.last_lsn());
            let asked = durable < self.sync_requested.load(Ordering::SeqCst).min(last);
            let due = durable < last && !interval.is_zero() && since(last_sync_us) >= interval;
            if asked || due || closing {
                self.signal.take(WRITE);
                self.commit(true)?;
                last_sync_us = now_us;
                if closing {
                    return self.write_witness();
                }
                continue;
            }
            let throttled =
                since(last_write_us) < WRITE_INTERVAL && self.queued_bytes() < WRITE_BYTES;
            if self.written_lsn() < last && !throttled {
                self.signal.take(WRITE);
                self.commit(false)?;
                last_write_us = now_us;
                continue;
            }
            if !throttled {
                self.signal.take(WRITE);
            }
            self.pause(throttled, last)?;
        }
    }

    /// Waits for requests; a log that stays idle gets its witness.
    fn pause(&self, throttled: bool, last: Lsn) -> Result<()> {
        if throttled {
            self.signal.wait(SYNC | CLOSE, WRITE_INTERVAL);
            return Ok(());
        }
        let idle = self.durable_lsn() == last;
        self.signal.wait(SYNC | WRITE | CLOSE, if idle { IDLE } else { TICK });
        if idle && self.last_lsn() == last {
            self.write_witness()?;
            self.signal.wait(SYNC | WRITE | CLOSE, TICK);
        }
        Ok(())
    }
}
