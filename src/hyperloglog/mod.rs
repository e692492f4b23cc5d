//! HyperLogLogs: estimates of how many different elements were added, in strings of Redis's own
//! form, so that values move between servers and count the same.

pub mod commands;
pub mod debug;
pub mod estimate;
pub mod hash;
pub mod sketch;
pub mod sparse;
pub mod value;
