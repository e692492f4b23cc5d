//! The file of a part while it is written: buffered, synced as it grows, removed unless finished.

use std::path::PathBuf;
use std::sync::Arc;

use super::{part_path, temporary_part_path};
use crate::error::{Error, Result};
use crate::format::file_name::PART_FOLDER;
use crate::format::part_block::ALIGN_BYTES;
use crate::io::{File, OpenMode, Storage};

/// Bytes that are gathered before a write.
const WRITE_BYTES: usize = 256 << 10;
/// Bytes after which the file is synced, so that the log's fdatasync never waits behind a lot.
const SYNC_BYTES: u64 = 256 << 10;

/// Appends to a part's temporary file.
pub struct PartOutput {
    storage: Arc<dyn Storage>,
    file: Arc<dyn File>,
    temporary: PathBuf,
    path: PathBuf,
    pending: Vec<u8>,
    written_bytes: u64,
    synced_bytes: u64,
    renamed: bool,
}

impl PartOutput {
    /// Creates the temporary file in the folder of the parts, over what a crash may have left.
    pub fn create(storage: Arc<dyn Storage>, id: u64) -> Result<PartOutput> {
        let temporary = temporary_part_path(id);
        // What a crash left under this name is worthless; mostly there is nothing.
        let _ = storage.remove(&temporary);
        let file = storage
            .open(&temporary, OpenMode::CreateNew)
            .map_err(|source| Error::io("create", &storage.display_path(&temporary), source))?;
        Ok(PartOutput {
            storage,
            file,
            temporary,
            path: part_path(id),
            pending: Vec::with_capacity(WRITE_BYTES * 2),
            written_bytes: 0,
            synced_bytes: 0,
            renamed: false,
        })
    }

    /// Offset of the next byte.
    pub fn offset(&self) -> u64 {
        self.written_bytes + self.pending.len() as u64
    }

    /// Appends through `fill`, which gets the buffer and may only append to it.
    pub fn append<R>(&mut self, fill: impl FnOnce(&mut Vec<u8>) -> R) -> Result<R> {
        let result = fill(&mut self.pending);
        if self.pending.len() >= WRITE_BYTES {
            self.write()?;
            if self.written_bytes - self.synced_bytes >= SYNC_BYTES {
                self.sync(false)?;
            }
        }
        Ok(result)
    }

    /// Appends zeros up to the alignment.
    pub fn align(&mut self) {
        let padded = self.offset().next_multiple_of(ALIGN_BYTES as u64);
        let zeros = (padded - self.offset()) as usize;
        self.pending.resize(self.pending.len() + zeros, 0);
    }

    fn write(&mut self) -> Result<()> {
        let result = self.file.write_at(&self.pending, self.written_bytes);
        result.map_err(|source| self.error("write", source))?;
        self.written_bytes += self.pending.len() as u64;
        self.pending.clear();
        self.pending.shrink_to(WRITE_BYTES * 2);
        Ok(())
    }

    fn sync(&mut self, all: bool) -> Result<()> {
        let result = match all {
            true => self.file.sync_all(),
            false => self.file.sync_data(),
        };
        self.synced_bytes = self.written_bytes;
        result.map_err(|source| self.error("sync", source))
    }

    fn error(&self, op: &'static str, source: std::io::Error) -> Error {
        Error::io(op, &self.storage.display_path(&self.temporary), source)
    }

    /// Makes the file durable under its name; returns its length in bytes.
    pub fn finish(mut self) -> Result<u64> {
        self.write()?;
        self.sync(true)?;
        self.storage
            .rename(&self.temporary, &self.path)
            .map_err(|source| self.error("rename", source))?;
        self.renamed = true;
        let folder = PART_FOLDER.as_ref();
        self.storage.sync_folder(folder).map_err(|source| {
            // The name may or may not survive; nobody will ask for it.
            let _ = self.storage.remove(&self.path);
            Error::io("sync", &self.storage.display_path(folder), source)
        })?;
        Ok(self.written_bytes)
    }
}

impl Drop for PartOutput {
    fn drop(&mut self) {
        if !self.renamed {
            // A leftover is swept at the next start.
            let _ = self.storage.remove(&self.temporary);
        }
    }
}
