//! The storage engine: log, parts and keyspace put together. Embedders stop here.
//!
//! [`Engine`] is what a program opens; `embed` holds its plain get and set. A server starts units
//! with [`Engine::begin`] instead and decides itself what waits for durability.

pub mod begin;
pub mod embed;
pub mod offline;
pub mod offline_scan;
pub mod repair;
pub mod staging;
pub mod stats;
pub mod unit;

mod background;
mod budget;
mod checkpoint;
mod cold_read;
mod compaction;
mod core;
mod databases;
mod expiry;
mod handle;
mod pins;
mod recovery;
#[cfg(test)]
mod repair_tests;
mod replay;
mod salvage;
mod scan;
mod shard;
mod throttle;
mod unit_all;
mod unit_copy;
mod unit_reach;
pub mod waiting;

pub use self::begin::{Begin, ColdFetch, Finished, Intent, Lookups};
pub use self::handle::Engine;
pub use self::pins::Pinned;
