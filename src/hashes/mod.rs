//! Commands on hashes.

pub mod counter;
pub mod draft;
pub mod expiry;
pub mod get;
pub mod import;
pub mod scan;
pub mod set;
pub mod set_ex;
pub mod value;
