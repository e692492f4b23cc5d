//! The segment that is written: a file, a place in it, and a small buffer.

use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::checksum::{self, Salt};
use crate::format::file_name::SegmentName;
use crate::format::frame::{self, FragmentHeader, Kind, Place};
use crate::format::segment::{self, Seal};
use crate::io::File;
use crate::log::space::usable;
use crate::types::Lsn;

/// The buffer is written when it holds this much, in bytes.
const BUFFER_BYTES: usize = 1 << 20;
/// Pieces from this size on are written without a copy, in bytes.
const DIRECT_BYTES: usize = 64 << 10;
/// Bytes that the seal takes.
pub(super) const SEAL_BYTES: u64 = frame::stride(Seal::BYTES as u64);

/// The segment that is written.
pub(super) struct Active {
    pub(super) name: SegmentName,
    pub(super) salt: Salt,
    pub(super) file: Arc<dyn File>,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    /// Where the next byte goes, buffered ones counted.
    pub(super) offset: u64,
    pub(super) buffer: Vec<u8>,
    /// Bytes written to this segment and those before it since the log was opened.
    pub(super) total_bytes: u64,
}

impl Active {
    /// Bytes left for fragments.
    pub(super) fn room(&self) -> u64 {
        (self.bytes - self.offset).saturating_sub(SEAL_BYTES)
    }

    /// What frames can count on in this segment.
    pub(super) fn usable(&self) -> u64 {
        usable(self.bytes).saturating_sub(self.offset - segment::HEADER_BYTES as u64)
    }

    /// Adds bytes; they may stay in the buffer until [`Active::flush`].
    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.len() >= DIRECT_BYTES {
            return self.put_direct(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        self.offset += bytes.len() as u64;
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    /// Adds zeros up to the next place where a fragment may start.
    pub(super) fn pad(&mut self) -> Result<()> {
        let target = self.offset.next_multiple_of(frame::ALIGN_BYTES as u64);
        let zeros = [0; frame::ALIGN_BYTES];
        self.put(&zeros[..(target - self.offset) as usize])
    }

    /// Writes bytes at once, behind what is buffered.
    pub(super) fn put_direct(&mut self, bytes: &[u8]) -> Result<()> {
        self.flush()?;
        self.write_at(bytes, self.offset)?;
        self.offset += bytes.len() as u64;
        self.total_bytes += bytes.len() as u64;
        Ok(())
    }

    /// Writes what is buffered.
    pub(super) fn flush(&mut self) -> Result<()> {
        if !self.buffer.is_empty() {
            self.write_at(&self.buffer, self.offset - self.buffer.len() as u64)?;
            self.total_bytes += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        // Running over would need space that nobody reserved.
        assert!(
            offset + bytes.len() as u64 <= self.bytes,
            "a segment is never written past its end"
        );
        let written = self.file.write_at(bytes, offset);
        written.map_err(|source| Error::io("write", &self.path, source))
    }

    /// Adds a control fragment behind the frame `lsn`.
    pub(super) fn put_control(
        &mut self,
        kind: Kind,
        payload: &[u8],
        (lsn, synced_upto, wall_ms): (Lsn, Lsn, u64),
    ) -> Result<()> {
        let header = FragmentHeader {
            payload_bytes: payload.len() as u32,
            payload_crc: checksum::plain(payload),
            kind,
            place: Place::Full,
            lsn,
            synced_upto,
            wall_ms,
        };
        self.put(&header.encode(self.salt))?;
        self.put(payload)?;
        self.pad()
    }

    /// Makes everything written durable. The buffer must be empty.
    pub(super) fn sync(&self) -> Result<()> {
        assert!(self.buffer.is_empty(), "what is synced was flushed");
        self.file.sync_data().map_err(|source| Error::io("sync", &self.path, source))
    }
}
