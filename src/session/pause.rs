//! CLIENT PAUSE: until when which commands wait.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Which commands wait.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum PauseKind {
    /// Those that may change data.
    Writes,
    /// All.
    All,
}

#[derive(Clone, Copy)]
struct Until {
    ms: u64,
    kind: PauseKind,
}

/// The pause in force, if any.
#[derive(Default)]
pub struct Pause {
    active: AtomicBool,
    until: Mutex<Option<Until>>,
    ended: Notify,
}

impl Pause {
    /// Whether a pause may be in force: the cheap question before [`Pause::remaining_ms`].
    #[inline]
    pub fn is_active(&self) -> bool {
        self.active.load(Ordering::Relaxed)
    }

    /// Starts a pause. One under way is never shortened or weakened.
    pub fn start(&self, until_ms: u64, kind: PauseKind, now_ms: u64) {
        let mut until = self.until.lock().expect("a panic ends the process");
        let old = until.filter(|old| old.ms > now_ms);
        *until = Some(Until {
            ms: old.map_or(until_ms, |old| old.ms.max(until_ms)),
            kind: old.map_or(kind, |old| old.kind.max(kind)),
        });
        self.active.store(true, Ordering::Relaxed);
    }

    /// Ends the pause.
    pub fn end(&self) {
        *self.until.lock().expect("a panic ends the process") = None;
        self.active.store(false, Ordering::Relaxed);
        self.ended.notify_waiters();
    }

    /// Milliseconds that a command still has to wait; 0 when it need not.
    pub fn remaining_ms(&self, writes: bool, now_ms: u64) -> u64 {
        let until = *self.until.lock().expect("a panic ends the process");
        match until {
            None => 0,
            Some(until) if until.ms <= now_ms => {
                self.end();
                0
            }
            Some(until) if writes || until.kind == PauseKind::All => until.ms - now_ms,
            Some(_) => 0,
        }
    }

    /// Waits for the end, at most this long.
    pub async fn wait(&self, at_most_ms: u64) {
        let limit = std::time::Duration::from_millis(at_most_ms);
        let ended = self.ended.notified();
        // It may have ended since the command was told to wait.
        if self.is_active() {
            let _ = tokio::time::timeout(limit, ended).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_pause_only_lengthens_and_strengthens() {
        let pause = Pause::default();
        pause.start(100, PauseKind::All, 0);
        pause.start(50, PauseKind::Writes, 0);
        assert_eq!(pause.remaining_ms(false, 10), 90);
        assert_eq!(pause.remaining_ms(false, 100), 0);
        assert!(!pause.is_active());
        pause.start(300, PauseKind::Writes, 200);
        assert_eq!(pause.remaining_ms(false, 200), 0);
        assert_eq!(pause.remaining_ms(true, 200), 100);
        pause.end();
        assert_eq!(pause.remaining_ms(true, 200), 0);
    }
}
