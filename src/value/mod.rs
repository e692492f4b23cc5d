//! Pure data structures of values.

pub mod item;
pub mod string;
pub mod tree;
