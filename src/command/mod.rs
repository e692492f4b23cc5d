//! What every command on keys is made of: its row, its arguments, its replies' common words. Which
//! commands there are is told by the families above; [`crate::catalog`] puts them together.

pub mod args;
pub mod block;
pub mod collection;
pub mod comparison;
pub mod double;
pub mod encodings;
pub mod expire_time;
pub mod glob;
pub mod grisu;
pub mod help;
pub mod list_shape;
pub mod long_double;
pub mod member_scan;
pub mod number;
pub mod pick;
pub mod row;
pub mod spec;
#[cfg(test)]
pub mod testing;
pub mod zset;
pub mod zset_scores;
