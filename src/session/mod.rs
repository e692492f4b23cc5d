//! What a connection does, without its socket: a client's state, the command table with both kinds
//! of commands, the checks before a command runs, transactions, and the registries behind CLIENT
//! and INFO.
//!
//! `server/` feeds parsed commands in and writes out what comes back; `admin/` holds the commands
//! on sessions and the server itself.

pub mod blocking;
pub mod call;
pub mod clients;
pub mod dispatch;
pub mod exec_keys;
pub mod fieldsets;
pub mod latency;
mod neighbours;
pub mod pause;
pub mod services;
pub mod slowlog;
pub mod state;
pub mod stats;
pub mod table;
pub mod times;
pub mod transaction;
pub mod unknown;
pub mod upkeep;
