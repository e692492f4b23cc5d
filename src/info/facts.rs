//! What one reply of INFO is made from, gathered once.

use std::sync::Arc;

use crate::config::settings::Settings;
use crate::engine::stats::Stats as EngineStats;
use crate::session::clients::Client;
use crate::session::services::Services;
use crate::session::stats::Traffic;
use crate::session::upkeep::MemoryMarks;

use super::host;

/// Keys of one database.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyCount {
    /// Its number.
    pub db: u32,
    /// Live keys.
    pub keys: u64,
    /// Those of them with a deadline.
    pub expires: u64,
    /// About the mean time that is left to these, in milliseconds.
    pub ttl_ms_mean: u64,
}

/// Bytes that stand in buffers of clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Buffers {
    /// The longest input that waits.
    pub input_bytes_max: u64,
    /// The longest output that waits.
    pub output_bytes_max: u64,
    /// All of them.
    pub total_bytes: u64,
}

/// Where the memory of the process goes, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MemoryUse {
    /// As system and allocator count.
    pub host: host::Memory,
    /// In use: what the allocator handed out, or the engine's own count without such an allocator.
    pub used_bytes: u64,
    /// At its worst and at its start.
    pub marks: MemoryMarks,
    /// Keys and values with their headers.
    pub dataset_bytes: u64,
    /// In buffers of clients.
    pub clients_bytes: u64,
    /// In frames of the log that are not written yet.
    pub log_bytes: u64,
}

impl MemoryUse {
    /// Everything but keys and values.
    pub fn overhead_bytes(&self) -> u64 {
        self.used_bytes.saturating_sub(self.dataset_bytes)
    }

    /// What came with data and clients.
    pub fn net_bytes(&self) -> u64 {
        self.used_bytes.saturating_sub(self.marks.startup_bytes)
    }
}

/// The facts.
pub struct Facts<'s> {
    /// The parts of the server.
    pub services: &'s Services,
    /// Directives.
    pub settings: &'s Settings,
    /// The engine's counters.
    pub engine: Arc<EngineStats>,
    /// Keys of the databases that have some; empty when nobody asked for them.
    pub keys: Vec<KeyCount>,
    /// Figures of all connections.
    pub traffic: Traffic,
    /// Buffers of clients.
    pub buffers: Buffers,
    /// Memory.
    pub memory: MemoryUse,
    /// Wall time in milliseconds.
    pub now_ms: u64,
}

impl<'s> Facts<'s> {
    /// Gathers the facts, given those for which the engine is asked.
    pub fn new(
        services: &'s Services,
        settings: &'s Settings,
        engine: Arc<EngineStats>,
        keys: Vec<KeyCount>,
        now_ms: u64,
    ) -> Facts<'s> {
        let buffers = buffers(&services.clients.all());
        let memory = memory_use(services, &engine, buffers.total_bytes);
        Facts {
            services,
            settings,
            engine,
            keys,
            traffic: services.stats.traffic(),
            buffers,
            memory,
            now_ms,
        }
    }

    /// The value of a directive.
    pub fn directive(&self, name: &str) -> String {
        self.services.config.get(name)
    }
}

/// Bytes in the buffers of clients.
pub fn buffers(clients: &[Arc<Client>]) -> Buffers {
    use std::sync::atomic::Ordering::Relaxed;
    clients.iter().fold(Buffers::default(), |sum, client| {
        let input = client.input_bytes.load(Relaxed) as u64;
        let output = client.output_bytes.load(Relaxed) as u64;
        Buffers {
            input_bytes_max: sum.input_bytes_max.max(input),
            output_bytes_max: sum.output_bytes_max.max(output),
            total_bytes: sum.total_bytes + input + output,
        }
    })
}

/// Where the memory goes.
pub fn memory_use(services: &Services, engine: &EngineStats, clients_bytes: u64) -> MemoryUse {
    let host = host::memory();
    let used_bytes = host.allocated_bytes.max(engine.memory_bytes);
    MemoryUse {
        host,
        used_bytes,
        marks: services.upkeep.note_memory(used_bytes),
        dataset_bytes: engine.memory_bytes,
        clients_bytes,
        log_bytes: engine.log.queue_bytes,
    }
}
