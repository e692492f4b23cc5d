//! The parts that every connection uses, side by side. Each is a small struct of its own; functions
//! take the part they need.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::sync::Notify;

use crate::config::Config;
use crate::engine::Engine;

use super::clients::Clients;
use super::latency::LatencyMonitor;
use super::pause::Pause;
use super::slowlog::SlowLog;
use super::stats::Stats;
use super::table::Table;
use super::upkeep::Upkeep;

/// The parts.
pub struct Services {
    /// The data.
    pub engine: Arc<Engine>,
    /// The directives in force.
    pub config: Config,
    /// The commands.
    pub table: &'static Table,
    /// Who is connected.
    pub clients: Clients,
    /// What the workers did.
    pub stats: Stats,
    /// What was slow.
    pub slowlog: SlowLog,
    /// What took long.
    pub latency: LatencyMonitor,
    /// What is remembered from look to look.
    pub upkeep: Upkeep,
    /// CLIENT PAUSE.
    pub pause: Pause,
    /// Clients that wait for a key.
    pub blocked: AtomicUsize,
    /// The way out.
    pub stop: Stop,
    /// This run of the server.
    pub identity: Identity,
}

impl Services {
    /// Brings to the engine what CONFIG SET may have changed.
    pub fn tell_engine(&self) {
        let budget = self.config.get("maxmemory").parse();
        self.engine.set_memory_bytes(budget.unwrap_or(0));
        let by_frequency = self.config.get("maxmemory-policy").ends_with("-lfu");
        self.engine.set_unload_by_frequency(by_frequency);
        self.engine.set_durability(self.config.settings().durability);
    }
}

/// What names this run of the server.
pub struct Identity {
    /// 40 hex digits, drawn at start.
    pub run_id: String,
    /// When it started.
    pub started: Instant,
}

/// How the server is asked to end.
#[derive(Default)]
pub struct Stop {
    requested: AtomicBool,
    skip_checkpoint: AtomicBool,
    notify: Notify,
}

impl Stop {
    /// Asks for the end; a checkpoint is taken unless `skip_checkpoint`.
    pub fn request(&self, skip_checkpoint: bool) {
        self.skip_checkpoint.store(skip_checkpoint, Ordering::Relaxed);
        self.requested.store(true, Ordering::Release);
        self.notify.notify_one();
    }

    /// Whether the end was asked for.
    pub fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Acquire)
    }

    /// Whether the checkpoint on the way out is left away.
    pub fn skips_checkpoint(&self) -> bool {
        self.skip_checkpoint.load(Ordering::Relaxed)
    }

    /// Waits until somebody asks. One waiter only.
    pub async fn requested(&self) {
        while !self.is_requested() {
            self.notify.notified().await;
        }
    }
}
