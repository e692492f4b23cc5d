//! Sockets and threads: the only module that knows a connection. One worker a core, each with its
//! own connections and a current-thread runtime; commands run inline on it.

mod announcement;
mod batch;
mod blocked;
mod connection;
mod crowding;
mod gates;
mod housekeeping;
mod huge_pages;
mod input;
mod listener;
mod meter;
mod outbox;
mod spread;
pub mod start;
mod stream;
mod worker;
mod workers;

#[cfg(test)]
mod tests;
