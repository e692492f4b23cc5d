//! The snapshot: immutable sorted parts and the MANIFEST that names the live ones.
//!
//! A part is written once ([`part_writer`]), opened ([`part_reader`]) and asked through the set of
//! all live parts ([`part_set`]). Nothing here knows what is in memory or in the log.

use std::path::{Path, PathBuf};

use crate::format::file_name::{PART_FOLDER, encode_part};
use crate::types::{KeyspaceId, Lsn, Position};

pub mod block_cache;
pub mod filter;
pub mod lookup;
pub mod manifest;
pub mod merge;
pub mod part_cursor;
mod part_output;
pub mod part_reader;
pub mod part_set;
pub mod part_writer;
pub mod rescue;
pub mod sweep;
pub mod verify;

pub use crate::format::manifest::{DatabaseMap, Manifest, PartMeta};
pub use crate::format::part::Place;
pub use crate::format::part_index::{Deadline, SlotCount};
pub use crate::format::part_rows::ChunkedHead;
pub use crate::value::chunks::{DirtyChunk, DirtyChunks};
pub use crate::value::string::DirtyPage;

/// Files that are not finished bear this in front of their name; they are worthless after a crash.
pub const TEMPORARY_PREFIX: &str = "tmp-";

/// A key with its place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct RowKey<'a> {
    /// Keyspace.
    pub keyspace: KeyspaceId,
    /// Place in the keyspace.
    pub position: Position,
    /// The key.
    pub key: &'a [u8],
}

impl RowKey<'_> {
    /// Keyspace and position.
    pub fn place(&self) -> Place {
        (self.keyspace, self.position)
    }
}

/// What a part says of a key.
#[derive(Clone, Copy, Debug)]
pub enum RowValue<'a> {
    /// The key is gone.
    Tombstone,
    /// A string in one piece.
    String {
        /// Deadline in Unix milliseconds.
        expire_at_ms: Option<u64>,
        /// Whether `OBJECT ENCODING` must answer `raw`.
        raw: bool,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// A string in pages of [`crate::limits::STRING_PAGE_BYTES`].
    Paged {
        /// Deadline in Unix milliseconds.
        expire_at_ms: Option<u64>,
        /// Whether `OBJECT ENCODING` must answer `raw`.
        raw: bool,
        /// Length in bytes.
        len: u64,
        /// LSN of the string's creation.
        generation: Lsn,
        /// The pages that changed since the last checkpoint, by number. The others are in older
        /// parts, under the same generation.
        pages: &'a [DirtyPage],
    },
    /// A small collection.
    Packed {
        /// Deadline in Unix milliseconds.
        expire_at_ms: Option<u64>,
        /// Kind and encoding, then the items.
        blob: &'a [u8],
    },
    /// A collection in chunks.
    Chunked {
        /// The head.
        head: ChunkedHead,
        /// The chunks that changed since the last checkpoint, by identity. The others are in older
        /// parts, under the same generation.
        chunks: &'a dyn DirtyChunks,
    },
}

/// Path of a part.
pub fn part_path(id: u64) -> PathBuf {
    Path::new(PART_FOLDER).join(encode_part(id))
}

/// Path of a part while it is written.
fn temporary_part_path(id: u64) -> PathBuf {
    Path::new(PART_FOLDER).join(format!("{TEMPORARY_PREFIX}{}", encode_part(id)))
}

#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod example_tests;
#[cfg(test)]
mod tests;
