//! A few flags that a thread can wait for. Raising a flag that is already up costs one load.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// Flags and those who wait for them.
#[derive(Default)]
pub(crate) struct Signal {
    flags: AtomicU8,
    mutex: Mutex<()>,
    changed: Condvar,
}

impl Signal {
    /// Raises a flag, and wakes the waiter unless it was up.
    pub(crate) fn raise(&self, flag: u8) {
        if self.flags.load(Ordering::SeqCst) & flag == flag {
            return;
        }
        if self.flags.fetch_or(flag, Ordering::SeqCst) & flag != flag {
            // The lock orders this behind a waiter that has looked and does not sleep yet.
            drop(self.mutex.lock().expect("nothing panics under this lock"));
            self.changed.notify_all();
        }
    }

    /// Lowers a flag; whether it was up.
    pub(crate) fn take(&self, flag: u8) -> bool {
        self.flags.fetch_and(!flag, Ordering::SeqCst) & flag != 0
    }

    /// Whether a flag is up.
    pub(crate) fn is_raised(&self, flag: u8) -> bool {
        self.flags.load(Ordering::SeqCst) & flag != 0
    }

    /// Waits until one of `flags` is up or the time is over.
    pub(crate) fn wait(&self, flags: u8, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        let mut guard = self.mutex.lock().expect("nothing panics under this lock");
        while !self.is_raised(flags) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.changed.wait_timeout(guard, left);
            guard = waited.expect("nothing panics under this lock").0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raised_flag_ends_the_wait_and_is_taken_once() {
        let signal = Signal::default();
        std::thread::scope(|scope| {
            scope.spawn(|| signal.raise(2));
            signal.wait(2, Duration::from_secs(60));
        });
        assert!(!signal.is_raised(1));
        assert!(signal.take(2));
        assert!(!signal.take(2));
    }
}
