//! The commands that report on the server: INFO, MEMORY, SLOWLOG, LATENCY, COMMAND, ROLE, TIME,
//! LOLWUT. What they say is gathered in `info/` and `session/`.

pub mod command;
pub mod info;
pub mod latency;
pub mod latency_text;
pub mod lolwut;
pub mod memory;
pub mod memory_text;
pub mod server;
pub mod slowlog;

use std::sync::Arc;

use crate::engine::stats::Stats as EngineStats;
use crate::session::call::SessionCall;

/// The engine's counters; behind the locks of EXEC those of the last look.
fn engine_stats(call: &SessionCall<'_, '_, '_>) -> Arc<EngineStats> {
    let services = call.services();
    match call.unit {
        None => services.upkeep.engine_stats(&services.engine),
        Some(_) => services.upkeep.last_engine_stats(),
    }
}
