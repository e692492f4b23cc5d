//! Pure data structures of values.

pub mod string;
