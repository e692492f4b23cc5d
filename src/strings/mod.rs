//! Commands on strings, as text, numbers and bits: a table row and a function each.

pub mod bitfield;
pub mod bitmap;
pub mod bitop;
pub mod counter;
pub mod get;
pub mod lcs;
pub mod range;
pub mod set;
pub mod value;
