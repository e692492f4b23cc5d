//! Keys in memory: pure state machines without I/O, clock, threads or global state.
//!
//! A [`partition::Partition`] owns a range of slots of every keyspace; each slot has a
//! [`table::Table`] of [`leaf::Leaf`]s of [`entry::Entry`]s, all in position order.

pub mod access;
pub mod capture;
pub mod collection;
pub mod counts;
pub mod entry;
pub mod expiry;
pub mod field_expiry;
mod flags;
pub mod leaf;
pub mod mutation;
pub mod object;
pub mod partition;
pub mod residency;
pub mod scan;
pub mod shape;
mod space;
mod stages;
pub mod table;
pub mod watch;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
