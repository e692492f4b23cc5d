//! What the engine asks of a machine: files and clocks, as traits, so that a simulation can
//! stand in.
//!
//! Paths are relative to the data directory. Nothing here knows a format.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

pub mod clock;
pub mod disk;
pub mod fault;
mod freeing;
pub mod lock;
pub mod mmap;
pub mod random;
pub mod sim;
mod sim_file;
mod sim_image;
mod sim_names;
mod sim_state;

#[cfg(test)]
mod contract_tests;
#[cfg(test)]
mod sim_tests;

/// One open file. All methods may be called from several threads at once.
pub trait File: Send + Sync {
    /// Reads until `buf` is full or the file ends; returns the bytes read.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `bytes`, extending the file where needed. A failed write may have written
    /// any part of them.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes written bytes, and the length that they need, durable (fdatasync). The file's name is
    /// another matter: see [`Storage::sync_folder`]. After an error the bytes may never become
    /// durable, and syncing again proves nothing (design D5).
    fn sync_data(&self) -> io::Result<()>;
    /// Makes bytes and metadata durable (fsync).
    fn sync_all(&self) -> io::Result<()>;
    /// Reserves disk space for the first `len` bytes and extends the file to them with zeros.
    /// Never shortens; not durable before a sync. When space runs out the length stays.
    fn allocate(&self, len: u64) -> io::Result<()>;
    /// Sets the length.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Number of names (hard links) of the file.
    fn link_count(&self) -> io::Result<u64>;
}

/// How a file is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpenMode {
    /// Must exist.
    Read,
    /// Must exist; reads and writes.
    Write,
    /// Must not exist; reads and writes.
    CreateNew,
}

/// A data directory.
pub trait Storage: Send + Sync {
    /// Opens a file.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>>;
    /// Bytes of a whole immutable file, mapped where the platform can.
    fn map(&self, path: &Path) -> io::Result<Mapping>;
    /// Renames within the directory, replacing the target.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes one name of a file. The space of a large one is free a little later.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Names of the files in a folder (`""` is the directory itself), unordered. Missing folders
    /// are empty.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;
    /// Creates a folder, and its parents, when missing; durable when its parent is synced.
    fn create_folder(&self, folder: &Path) -> io::Result<()>;
    /// Makes creations, renames and removals in a folder durable. Until then a power cut may take
    /// back any of them, whatever was synced inside the files.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
    /// Bytes that may still be written, as the file system tells.
    fn free_bytes(&self) -> io::Result<u64>;
    /// The path to print for people.
    fn display_path(&self, path: &Path) -> std::path::PathBuf;
}

/// Read-only bytes of a file; cheap to clone. Unmapped when the last clone drops.
pub type Mapping = Bytes;

/// Time, so that a simulation can turn it.
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch.
    fn wall_ms(&self) -> u64;
    /// Microseconds of a clock that never steps back.
    fn monotonic_us(&self) -> u64;
}
