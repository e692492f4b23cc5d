//! Commands on hashes.

pub mod counter;
pub mod get;
pub mod scan;
pub mod set;
pub mod value;
