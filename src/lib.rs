//! Firn: a durable, Redis-compatible server and an embeddable storage engine.
//!
//! Imports point down only; `ARCHITECTURE.md` draws the layers and `tests/tidy.rs` holds them.

pub mod error;
pub mod limits;
pub mod options;
pub mod types;

pub mod format;
pub mod value;

pub mod io;
pub mod keyspace;

pub mod log;
pub mod snapshot;

pub mod engine;

