//! Firn: a durable, Redis-compatible server and an embeddable storage engine.
//!
//! Imports point down only; `ARCHITECTURE.md` draws the layers and `tests/tidy.rs` holds them.

// Simulations inside the crate and outside share their model of values.
#[cfg(test)]
extern crate self as firn;

pub mod error;
pub mod limits;
pub mod options;
mod prefetch;
pub mod types;

pub mod format;
pub mod value;

#[cfg(feature = "protocol")]
pub mod rdb;
#[cfg(feature = "protocol")]
pub mod resp;

pub mod io;
pub mod keyspace;

pub mod log;
pub mod snapshot;

pub mod engine;

#[cfg(feature = "server")]
pub mod admin;
#[cfg(feature = "server")]
pub mod catalog;
#[cfg(feature = "server")]
pub mod command;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
pub mod debug;
#[cfg(feature = "server")]
pub mod generic;
#[cfg(feature = "server")]
pub mod geo;
#[cfg(feature = "server")]
pub mod hashes;
#[cfg(feature = "server")]
pub mod hyperloglog;
#[cfg(feature = "server")]
pub mod info;
#[cfg(feature = "server")]
pub mod inspect;
#[cfg(feature = "server")]
pub mod lists;
#[cfg(feature = "server")]
pub mod report;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "server")]
pub mod session;
#[cfg(feature = "server")]
pub mod sets;
#[cfg(feature = "server")]
pub mod streams;
#[cfg(feature = "server")]
pub mod strings;
#[cfg(feature = "server")]
pub mod transfer;
#[cfg(feature = "server")]
pub mod zsets;
