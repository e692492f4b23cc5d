//! The registry of connected clients: what CLIENT LIST shows and CLIENT KILL reaches.
//!
//! A connection writes its entry now and then (once a batch); others only read it, or ask it to go.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::task::Waker;

use tokio::sync::Notify;

/// What a client says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Names {
    /// CLIENT SETNAME.
    pub name: Vec<u8>,
    /// CLIENT SETINFO LIB-NAME.
    pub lib_name: Vec<u8>,
    /// CLIENT SETINFO LIB-VER.
    pub lib_version: Vec<u8>,
}

/// Where a connection comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// The other side: `ip:port`, or `path:0`.
    pub peer: String,
    /// This side, written likewise.
    pub local: String,
    /// The socket's descriptor.
    pub fd: i32,
    /// Whether it is a Unix socket.
    pub unix: bool,
}

impl Endpoint {
    /// Whether the client runs on this machine.
    pub fn is_local(&self) -> bool {
        self.unix || self.peer.starts_with("127.") || self.peer.starts_with("[::1]:")
    }
}

/// How CLIENT UNBLOCK ends the waiting of a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unblock {
    /// As if its time were over.
    TimedOut,
    /// With an error.
    Error,
}

/// One client as others see it.
pub struct Client {
    /// Number, ever increasing.
    pub id: u64,
    /// Where it comes from.
    pub endpoint: Endpoint,
    /// When it connected, in Unix milliseconds.
    pub connected_ms: u64,
    /// When it last sent something, in Unix milliseconds.
    pub active_ms: AtomicU64,
    /// Selected database.
    pub db: AtomicU32,
    /// Whether it speaks RESP3.
    pub resp3: AtomicBool,
    /// CLIENT NO-EVICT.
    pub no_evict: AtomicBool,
    /// CLIENT NO-TOUCH: its commands, TOUCH aside, are no accesses of keys.
    pub no_touch: AtomicBool,
    /// CLIENT PAUSE makes it wait.
    pub is_paused: AtomicBool,
    /// Bytes of input that wait.
    pub input_bytes: AtomicUsize,
    /// Bytes of output that wait.
    pub output_bytes: AtomicUsize,
    /// When more output than the soft limit was seen to wait, in Unix milliseconds; 0 for never
    /// since there was less.
    full_since_ms: AtomicU64,
    /// Row of its last command; `usize::MAX` before the first.
    pub last_row: AtomicUsize,
    queued: AtomicI64,
    names: Mutex<Names>,
    watch_changed: Mutex<Arc<AtomicBool>>,
    killed: AtomicBool,
    waker: Mutex<Option<Waker>>,
    /// While it waits for a key: how it was asked to stop, if it was.
    block: Mutex<Option<Option<Unblock>>>,
    unblocked: Notify,
}

impl Client {
    fn new(id: u64, endpoint: Endpoint, now_ms: u64) -> Client {
        Client {
            id,
            endpoint,
            connected_ms: now_ms,
            active_ms: AtomicU64::new(now_ms),
            db: AtomicU32::new(0),
            resp3: AtomicBool::new(false),
            no_evict: AtomicBool::new(false),
            no_touch: AtomicBool::new(false),
            is_paused: AtomicBool::new(false),
            input_bytes: AtomicUsize::new(0),
            output_bytes: AtomicUsize::new(0),
            full_since_ms: AtomicU64::new(0),
            last_row: AtomicUsize::new(usize::MAX),
            queued: AtomicI64::new(-1),
            names: Mutex::default(),
            watch_changed: Mutex::default(),
            killed: AtomicBool::new(false),
            waker: Mutex::new(None),
            block: Mutex::new(None),
            unblocked: Notify::new(),
        }
    }

    /// Commands queued since MULTI; -1 outside of a transaction.
    pub fn queued(&self) -> i64 {
        self.queued.load(Relaxed)
    }

    /// Notes how many commands are queued.
    pub fn set_queued(&self, count: i64) {
        self.queued.store(count, Relaxed);
    }

    /// What the client says of itself.
    pub fn names(&self) -> Names {
        self.names.lock().expect("a panic ends the process").clone()
    }

    /// Changes what the client says of itself.
    pub fn rename(&self, change: impl FnOnce(&mut Names)) {
        change(&mut self.names.lock().expect("a panic ends the process"));
    }

    /// Notes what tells that a key which it watches was changed.
    pub fn watch(&self, changed: Arc<AtomicBool>) {
        *self.watch_changed.lock().expect("a panic ends the process") = changed;
    }

    /// Whether a key that it watches was changed.
    pub fn is_watch_changed(&self) -> bool {
        self.watch_changed.lock().expect("a panic ends the process").load(Acquire)
    }

    /// RESET: name and modes are those of a fresh client; what the library is stays.
    pub fn reset(&self) {
        self.rename(|names| names.name.clear());
        self.no_evict.store(false, Relaxed);
        self.no_touch.store(false, Relaxed);
    }

    /// It waits from here on, for a key or for replicas.
    pub fn begin_block(&self) {
        *self.block.lock().expect("a panic ends the process") = Some(None);
    }

    /// It waits no more; how it was asked to stop, if it was.
    pub fn end_block(&self) -> Unblock {
        let block = self.block.lock().expect("a panic ends the process").take();
        block.flatten().unwrap_or(Unblock::TimedOut)
    }

    /// Whether it waits for a key or for replicas.
    pub fn is_blocked(&self) -> bool {
        self.block.lock().expect("a panic ends the process").is_some()
    }

    /// Asks it to wait no more; whether it was waiting.
    pub fn unblock(&self, how: Unblock) -> bool {
        let mut block = self.block.lock().expect("a panic ends the process");
        match &mut *block {
            Some(asked @ None) => {
                *asked = Some(how);
                self.unblocked.notify_one();
                true
            }
            _ => false,
        }
    }

    /// Ends when it has been asked to wait no more.
    pub async fn unblocked(&self) {
        loop {
            if let Some(Some(_)) = *self.block.lock().expect("a panic ends the process") {
                return;
            }
            self.unblocked.notified().await;
        }
    }

    /// Asks the connection to go, from any thread.
    pub fn kill(&self) {
        self.killed.store(true, Release);
        if let Some(waker) = self.waker.lock().expect("a panic ends the process").take() {
            waker.wake();
        }
    }

    /// Whether the connection was asked to go.
    #[inline]
    pub fn is_killed(&self) -> bool {
        self.killed.load(Acquire)
    }

    /// Whom [`Client::kill`] wakes. The connection looks at [`Client::is_killed`] afterwards.
    pub fn set_waker(&self, waker: &Waker) {
        *self.waker.lock().expect("a panic ends the process") = Some(waker.clone());
    }
}

/// All connected clients.
#[derive(Default)]
pub struct Clients {
    by_id: Mutex<BTreeMap<u64, Arc<Client>>>,
    last_id: AtomicU64,
    count: AtomicUsize,
    most: AtomicUsize,
}

impl Clients {
    /// Takes on a client, unless there are `max` already.
    pub fn connect(&self, endpoint: Endpoint, now_ms: u64, max: usize) -> Option<Arc<Client>> {
        let count = self.count.fetch_add(1, AcqRel) + 1;
        if count > max {
            self.count.fetch_sub(1, AcqRel);
            return None;
        }
        self.most.fetch_max(count, Relaxed);
        let id = self.last_id.fetch_add(1, Relaxed) + 1;
        let client = Arc::new(Client::new(id, endpoint, now_ms));
        self.by_id.lock().expect("a panic ends the process").insert(id, client.clone());
        Some(client)
    }

    /// Forgets a client.
    pub fn disconnect(&self, id: u64) {
        if self.by_id.lock().expect("a panic ends the process").remove(&id).is_some() {
            self.count.fetch_sub(1, AcqRel);
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count.load(Relaxed)
    }

    /// How many there were at once, at most.
    pub fn most(&self) -> usize {
        self.most.load(Relaxed)
    }

    /// All of them, oldest first.
    pub fn all(&self) -> Vec<Arc<Client>> {
        self.by_id.lock().expect("a panic ends the process").values().cloned().collect()
    }

    /// One of them.
    pub fn get(&self, id: u64) -> Option<Arc<Client>> {
        self.by_id.lock().expect("a panic ends the process").get(&id).cloned()
    }

    /// Asks those to go that have been silent for longer than `timeout_ms`, unless it is their turn
    /// to be answered.
    pub fn kill_idle(&self, now_ms: u64, timeout_ms: u64) {
        for client in self.by_id.lock().expect("a panic ends the process").values() {
            if client.is_blocked() || client.is_paused.load(Relaxed) {
                continue;
            }
            if now_ms.saturating_sub(client.active_ms.load(Relaxed)) > timeout_ms {
                client.kill();
            }
        }
    }

    /// Asks those to go of whose output more than `bytes` has waited for longer than `ms`. To be
    /// called now and then.
    pub fn kill_full(&self, now_ms: u64, bytes: usize, ms: u64) {
        for client in self.by_id.lock().expect("a panic ends the process").values() {
            let since_ms = match client.full_since_ms.load(Relaxed) {
                _ if client.output_bytes.load(Relaxed) <= bytes => 0,
                0 => now_ms,
                since_ms => since_ms,
            };
            client.full_since_ms.store(since_ms, Relaxed);
            if since_ms > 0 && now_ms.saturating_sub(since_ms) > ms {
                client.kill();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn endpoint() -> Endpoint {
        Endpoint {
            peer: "127.0.0.1:5000".into(),
            local: "127.0.0.1:6379".into(),
            fd: 7,
            unix: false,
        }
    }

    #[test]
    fn no_more_than_the_most_are_taken_on() {
        let clients = Clients::default();
        let first = clients.connect(endpoint(), 0, 2).unwrap();
        assert!(clients.connect(endpoint(), 0, 2).is_some());
        assert!(clients.connect(endpoint(), 0, 2).is_none());
        clients.disconnect(first.id);
        clients.disconnect(first.id);
        assert_eq!(clients.count(), 1);
        assert_eq!(clients.connect(endpoint(), 0, 2).unwrap().id, 3);
    }

    #[test]
    fn output_above_the_soft_limit_may_wait_for_a_while() {
        let clients = Clients::default();
        let client = clients.connect(endpoint(), 0, 9).unwrap();
        let look = |now_ms, waiting| {
            client.output_bytes.store(waiting, Relaxed);
            clients.kill_full(now_ms, 100, 2000);
            client.is_killed()
        };
        let looks = [(1000, 101), (3000, 101), (4000, 100), (5000, 101), (7000, 101)];
        assert!(looks.iter().all(|(now_ms, waiting)| !look(*now_ms, *waiting)));
        assert!(look(7001, 101));
    }

    #[test]
    fn only_the_silent_are_asked_to_go() {
        let clients = Clients::default();
        let silent = clients.connect(endpoint(), 0, 9).unwrap();
        let busy = clients.connect(endpoint(), 0, 9).unwrap();
        let waiting = clients.connect(endpoint(), 0, 9).unwrap();
        busy.active_ms.store(900, Relaxed);
        waiting.begin_block();
        clients.kill_idle(1000, 500);
        let killed = [&silent, &busy, &waiting].map(|client| client.is_killed());
        assert_eq!(killed, [true, false, false]);
    }
}
