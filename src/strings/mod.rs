//! Commands on strings, as text, numbers and bits: a table row and a function each.

pub mod bitfield;
pub mod bitmap;
pub mod bitop;
pub mod compare;
pub mod counter;
pub mod get;
pub mod increx;
pub mod lcs;
pub mod many;
pub mod range;
pub mod set;
pub mod value;
