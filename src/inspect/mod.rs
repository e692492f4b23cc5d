//! Reads a data directory offline, also a damaged one, also one that a server has open.
//!
//! Never writes, locks or repairs (D12). Files may come, go and grow between a look at the folder
//! and a look into the file: whatever seems wrong is looked at again, from the MANIFEST on, and
//! counts only when it is found twice (`directory`). Each verb writes its report into any `Write`:
//! `verify`, `keys` (and get), `log_view`, `overview` (summary, parts, manifest).

mod collection;
pub mod directory;
pub mod keys;
pub mod log_view;
mod log_walk;
pub mod overview;
pub mod progress;
mod text;
pub mod verify;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;

use crate::error::Error;

/// What a report has found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Nothing is wrong.
    Sound,
    /// Something is damaged; the report says what.
    Damaged,
    /// What was asked for is not there.
    Missing,
}

/// Why a report ended early.
#[derive(Debug)]
pub enum Failure {
    /// The directory could not be read.
    Directory(Error),
    /// There is no database.
    NoDatabase(String),
    /// The report could not be written.
    Output(io::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Directory(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Output(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Directory(error) => error.fmt(f),
            Failure::NoDatabase(reason) => f.write_str(reason),
            Failure::Output(error) => write!(f, "cannot write the report: {error}"),
        }
    }
}

impl std::error::Error for Failure {}
