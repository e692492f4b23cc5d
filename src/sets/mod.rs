//! Commands on sets.

pub mod algebra;
pub mod change;
pub mod combine;
pub mod get;
pub mod random;
pub mod scan;
pub mod value;
