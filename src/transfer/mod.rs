//! Commands that carry values of any type: DUMP and RESTORE.

pub mod dump;
mod restored;
mod stream;
