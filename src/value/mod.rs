//! Pure data structures of values.

pub mod chunks;
pub mod item;
pub mod score;
pub mod string;
pub mod tree;
