//! Commands on sorted sets.

pub mod add;
pub mod blocking;
pub mod combine;
pub mod get;
pub mod merge;
pub mod pop;
pub mod range;
pub mod remove;
pub mod reply;
pub mod scan;
pub mod span;
