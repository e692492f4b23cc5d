//! Commands on keys whatever they hold, and on whole databases: a table row and a function each.

pub mod copy;
pub mod database;
pub mod expire;
pub mod keys;
pub mod object;
pub mod scan;
pub mod sort;
