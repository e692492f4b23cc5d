//! Who waits for which LSN to become durable, on one worker.
//!
//! The engine tells the worker once for each commit that somebody waits for; the worker then wakes
//! its own connections, which costs no other thread anything.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

use tokio::sync::Notify;

use crate::types::Lsn;

/// The part of a worker's gates that the committing thread touches.
pub struct Bell {
    /// Lowest LSN that somebody waits for; `Lsn::MAX` for nobody.
    lowest: AtomicU64,
    notify: Notify,
}

impl Bell {
    /// A bell that nobody waits for.
    pub fn silent() -> Arc<Bell> {
        Arc::new(Bell { lowest: AtomicU64::new(Lsn::MAX), notify: Notify::new() })
    }

    /// Called by whoever commits: all up to `durable` is durable.
    pub fn ring(&self, durable: Lsn) {
        if self.lowest.load(Ordering::SeqCst) <= durable {
            self.notify.notify_one();
        }
    }

    /// Waits for the next ring.
    pub async fn rung(&self) {
        self.notify.notified().await;
    }
}

struct Waiter {
    lsn: Reverse<Lsn>,
    waker: Waker,
}

impl PartialEq for Waiter {
    fn eq(&self, other: &Waiter) -> bool {
        self.lsn == other.lsn
    }
}
impl Eq for Waiter {}
impl PartialOrd for Waiter {
    fn partial_cmp(&self, other: &Waiter) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Waiter {
    fn cmp(&self, other: &Waiter) -> std::cmp::Ordering {
        self.lsn.cmp(&other.lsn)
    }
}

/// The waiters of one worker.
pub struct Gates {
    bell: Arc<Bell>,
    waiters: RefCell<BinaryHeap<Waiter>>,
}

impl Gates {
    /// Gates that this bell opens.
    pub fn new(bell: Arc<Bell>) -> Gates {
        Gates { bell, waiters: RefCell::default() }
    }

    /// Wakes `waker` once `lsn` is durable. The caller must look at the durable LSN again
    /// afterwards: a commit that ended meanwhile rings for nobody.
    pub fn wait(&self, lsn: Lsn, waker: &Waker) {
        let mut waiters = self.waiters.borrow_mut();
        waiters.push(Waiter { lsn: Reverse(lsn), waker: waker.clone() });
        self.publish_lowest(&waiters);
    }

    /// Wakes all that wait for no more than `durable`.
    pub fn open(&self, durable: Lsn) {
        let mut waiters = self.waiters.borrow_mut();
        while waiters.peek().is_some_and(|waiter| waiter.lsn.0 <= durable) {
            if let Some(waiter) = waiters.pop() {
                waiter.waker.wake();
            }
        }
        self.publish_lowest(&waiters);
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiters.borrow().len()
    }

    fn publish_lowest(&self, waiters: &BinaryHeap<Waiter>) {
        let lowest = waiters.peek().map_or(Lsn::MAX, |waiter| waiter.lsn.0);
        self.bell.lowest.store(lowest, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Count>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn those_wake_whose_lsn_is_durable() {
        let gates = Gates::new(Bell::silent());
        let counts = [5, 3, 9].map(|lsn| {
            let count = Arc::new(Count::default());
            gates.wait(lsn, &Waker::from(count.clone()));
            count
        });
        let woken = || counts.each_ref().map(|count| count.0.load(Ordering::Relaxed));
        assert_eq!(gates.bell.lowest.load(Ordering::Relaxed), 3);
        gates.open(2);
        assert_eq!(woken(), [0, 0, 0]);
        gates.open(5);
        assert_eq!(woken(), [1, 1, 0]);
        assert_eq!(gates.bell.lowest.load(Ordering::Relaxed), 9);
        gates.open(9);
        assert_eq!((woken(), gates.len()), ([1, 1, 1], 0));
        assert_eq!(gates.bell.lowest.load(Ordering::Relaxed), Lsn::MAX);
    }
}
