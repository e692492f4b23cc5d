//! The error of the engine and everything below it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::types::Lsn;

/// Why bytes from a disk or a client could not be decoded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DecodeError {
    /// Where the offending byte stands, counted from the start of the decoded unit.
    pub offset: u64,
    /// What is wrong, in a few words.
    pub reason: &'static str,
}

impl DecodeError {
    /// An error at `offset`.
    pub const fn new(offset: u64, reason: &'static str) -> DecodeError {
        DecodeError { offset, reason }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.reason, self.offset)
    }
}

impl std::error::Error for DecodeError {}

/// What can go wrong in the engine. `Display` is written for people and says what to do next.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an operation.
    Io {
        /// What was tried, as a verb: `open`, `write`, `sync`.
        op: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A checksum or a structural rule does not hold.
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// First byte that cannot be trusted.
        offset: u64,
        /// The LSNs that are lost with it (first, last), where known.
        lost: Option<(Lsn, Lsn)>,
        /// What is wrong, in a few words.
        reason: String,
    },
    /// The file was written by a version that this one cannot read.
    UnsupportedFormat {
        /// The file.
        path: PathBuf,
        /// Version or feature flag found.
        found: u32,
        /// Newest version supported.
        supported: u32,
    },
    /// Another process has the data directory open.
    Locked {
        /// The data directory.
        path: PathBuf,
    },
    /// The engine stopped after a failed sync or a panic; it must be reopened.
    Poisoned {
        /// What happened.
        reason: String,
    },
    /// A bound of `limits` or of the options would be exceeded.
    LimitExceeded {
        /// Which one.
        what: &'static str,
    },
    /// No space is left for the log; reads, deletes and flushes still work.
    DiskFull,
    /// The key holds another type than the operation needs.
    WrongType,
}

/// Result of an engine operation.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Wraps an I/O error with what was tried and where.
    pub fn io(op: &'static str, path: &Path, source: io::Error) -> Error {
        Error::Io { op, path: path.to_path_buf(), source }
    }

    /// Wraps a decode error with the file it was met in; `base` is the unit's offset in the file.
    pub fn corrupt(path: &Path, base: u64, error: &DecodeError) -> Error {
        Error::Corrupt {
            path: path.to_path_buf(),
            offset: base + error.offset,
            lost: None,
            reason: error.reason.to_string(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { op, path, source } => {
                write!(f, "cannot {op} {}: {source}", path.display())
            }
            Error::Corrupt { path, offset, lost, reason } => {
                write!(f, "{} is damaged at byte {offset}: {reason}", path.display())?;
                if let Some((first, last)) = lost {
                    write!(f, "; LSN {first} to {last} cannot be read")?;
                }
                write!(
                    f,
                    "; run `firn-inspect DIR verify` to see the extent, and `firn-server --repair \
                     DIR` to go on without what is lost"
                )
            }
            Error::UnsupportedFormat { path, found, supported } => write!(
                f,
                "{} needs format {found:#x}, this version reads up to {supported:#x}; \
                 use a newer Firn",
                path.display()
            ),
            Error::Locked { path } => write!(
                f,
                "{} is in use by another process; stop it or choose another directory",
                path.display()
            ),
            Error::Poisoned { reason } => write!(f, "the engine has stopped: {reason}"),
            Error::LimitExceeded { what } => write!(f, "limit exceeded: {what}"),
            Error::DiskFull => {
                write!(f, "no space left for the log; free disk space or delete keys")
            }
            Error::WrongType => write!(f, "the key holds another kind of value"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
