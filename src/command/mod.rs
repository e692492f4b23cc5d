//! The commands on keys: a table row and a function each. Knows the engine's units and replies, no
//! socket.

pub mod args;
pub mod bitfield;
pub mod bitmap;
pub mod bitop;
pub mod copy;
pub mod counter;
pub mod database;
pub mod describe;
pub mod docs;
pub mod dump;
pub mod expire;
pub mod expire_time;
pub mod glob;
pub mod help;
pub mod introspect;
pub mod keys;
pub mod lcs;
pub mod long_double;
pub mod number;
pub mod object;
pub mod range;
pub mod row;
pub mod scan;
pub mod spec;
pub mod string_get;
pub mod string_set;
pub mod string_value;
pub mod table;
#[cfg(test)]
pub mod testing;
