//! Lists.

pub mod blocking;
pub mod ends;
pub mod get;
pub mod move_many;
pub mod moves;
pub mod places;
pub mod pop;
pub mod push;
pub mod remove;
