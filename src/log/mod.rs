//! The log: an append-only sequence of frames in segment files, made durable in groups.
//!
//! Writing: `frame` is built by the engine, `space` promises room, `writer` takes frames,
//! `group_commit` writes and syncs them to the `active` segment, `segments` provides the files,
//! `threads` drives it all, `carry` begins a new epoch. Reading: `walk` sees one segment, `replay`
//! the whole log, `damage` judges, `reader` is the way in. `format-spec/log.md` and `recovery.md`
//! are normative. What records mean is not the log's business.

mod active;
mod carry;
mod damage;
mod frame;
mod group_commit;
pub mod reader;
mod replay;
mod segments;
mod signal;
mod space;
pub mod stats;
mod threads;
pub mod walk;
mod writer;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_crash;
#[cfg(test)]
mod tests_damage;
#[cfg(test)]
mod tests_example;

pub use frame::Frame;
pub use reader::{FrameView, LogEnd, SegmentInfo, Tail, read};
pub(crate) use signal::Signal;
pub use space::{Reservation, Reserve, SpaceClass};
pub use stats::LogStats;
pub use writer::{Log, LogConfig};
