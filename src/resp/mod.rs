//! The Redis protocol, both ways, as pure functions over bytes.

pub mod parse;
pub mod write;
