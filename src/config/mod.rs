//! Configuration: directives as Redis users know them, from a file, the environment and flags, and
//! their values while the server runs. Knows no socket and no command.

pub mod directive;
mod live;
pub mod rewrite;
pub mod settings;
pub mod sources;
pub mod table;

pub use live::{Config, SetError};
use table::DIRECTIVES;

/// Canonical values, one for each row of the table.
pub type Values = Vec<String>;

/// The values when nobody gives any.
pub fn defaults() -> Values {
    let defaults = DIRECTIVES.iter().map(|row| row.default.to_string());
    defaults.collect()
}
