//! Blocks of a part: a checked header of 16 bytes, the bytes (compressed where that helps), zeros
//! up to a multiple of 8. `format-spec/part.md` has the table.

use std::cell::RefCell;

use bytes::Bytes;

use super::checksum;
use super::decoder::Decoder;
use crate::error::DecodeError;
use crate::limits::{KEY_BYTES_MAX, STRING_BYTES_MAX};

/// Bytes before a block's content.
pub const BLOCK_HEADER_BYTES: usize = 16;
/// Blocks and sections start at multiples of this, in bytes.
pub const ALIGN_BYTES: usize = 8;
/// Most bytes of one block before compression: the longest key, or the longest field with the
/// longest value, with what goes with it.
pub const BLOCK_RAW_BYTES_MAX: usize = KEY_BYTES_MAX + STRING_BYTES_MAX as usize + (1 << 20);
/// Compression is kept when it saves at least one byte in this many.
const WORTHWHILE_SHARE: usize = 16;
const ZSTD_LEVEL: i32 = 1;
const RAW: u8 = 0;
const ZSTD: u8 = 1;

/// What a block holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum BlockKind {
    /// Bytes of values, end to end.
    Value = 1,
    /// Key rows.
    Key = 2,
    /// Deadline rows.
    Deadline = 3,
}

/// Where a block stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BlockAt {
    /// Offset in the file.
    pub offset: u64,
    /// Header, content and padding together, in bytes.
    pub total_bytes: u32,
}

/// The checksum of bytes that stand at `offset` of part `part_id`.
pub fn crc_at(part_id: u64, offset: u64, bytes: &[u8]) -> u32 {
    checksum::salted(part_id, [&offset.to_le_bytes()[..], bytes])
}

/// Compresses and frames blocks; its buffers are reused.
pub struct BlockEncoder {
    part_id: u64,
    compressor: zstd::bulk::Compressor<'static>,
    scratch: Vec<u8>,
}

impl BlockEncoder {
    /// An encoder for the blocks of one part.
    ///
    /// # Errors
    /// When the compressor cannot get its memory.
    pub fn new(part_id: u64) -> std::io::Result<BlockEncoder> {
        Ok(BlockEncoder {
            part_id,
            compressor: zstd::bulk::Compressor::new(ZSTD_LEVEL)?,
            scratch: Vec::new(),
        })
    }

    /// Appends the block with content `raw` to `out`; it will stand at `offset` of the file.
    ///
    /// # Panics
    /// When `raw` is longer than [`BLOCK_RAW_BYTES_MAX`] or `offset` is not aligned.
    pub fn encode(
        &mut self,
        kind: BlockKind,
        offset: u64,
        raw: &[u8],
        out: &mut Vec<u8>,
    ) -> BlockAt {
        assert!(raw.len() <= BLOCK_RAW_BYTES_MAX && offset.is_multiple_of(ALIGN_BYTES as u64));
        let (start, part_id) = (out.len(), self.part_id);
        let (compression, stored) = self.compress(raw);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&[kind as u8, compression, 0, 0]);
        out.extend_from_slice(&(stored.len() as u32).to_le_bytes());
        out.extend_from_slice(&(raw.len() as u32).to_le_bytes());
        out.extend_from_slice(stored);
        let crc = crc_at(part_id, offset, &out[start + 4..]);
        out[start..start + 4].copy_from_slice(&crc.to_le_bytes());
        let total = (out.len() - start).next_multiple_of(ALIGN_BYTES);
        out.resize(start + total, 0);
        BlockAt { offset, total_bytes: total as u32 }
    }

    fn compress<'b>(&'b mut self, raw: &'b [u8]) -> (u8, &'b [u8]) {
        // A target buffer without room for a poor result makes the compressor give up early.
        let room = raw.len() - raw.len() / WORTHWHILE_SHARE;
        self.scratch.clear();
        self.scratch.reserve(zstd::zstd_safe::compress_bound(raw.len()));
        match self.compressor.compress_to_buffer(raw, &mut self.scratch) {
            Ok(stored) if stored < room => (ZSTD, &self.scratch),
            _ => (RAW, raw),
        }
    }
}

/// A block's header as it stands in the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BlockHeader {
    /// Checksum of everything after it but the padding.
    pub crc: u32,
    /// What the block holds: a [`BlockKind`].
    pub kind: u8,
    /// 0 as it is, 1 zstd.
    pub compression: u8,
    /// Bytes of the content in the file.
    pub stored_bytes: u32,
    /// Bytes of the content once decompressed.
    pub raw_bytes: u32,
}

impl BlockHeader {
    /// Decodes the first [`BLOCK_HEADER_BYTES`] of a block. The lengths are within bounds but not
    /// yet to be trusted: the checksum needs the content.
    ///
    /// # Errors
    /// When bytes are missing or a field has a value that no writer gives it.
    pub fn decode(bytes: &[u8]) -> Result<BlockHeader, DecodeError> {
        let mut input = Decoder::new(bytes);
        let crc = input.u32()?;
        let kind = input.u8()?;
        let compression = input.u8()?;
        input.zeros(2)?;
        let stored_bytes = input.u32()?;
        let raw_bytes = input.u32()?;
        if stored_bytes as usize > BLOCK_RAW_BYTES_MAX || raw_bytes as usize > BLOCK_RAW_BYTES_MAX {
            return Err(DecodeError::new(8, "block is longer than any may be"));
        }
        Ok(BlockHeader { crc, kind, compression, stored_bytes, raw_bytes })
    }

    /// Bytes of the whole block with header and padding.
    pub fn total_bytes(&self) -> usize {
        (BLOCK_HEADER_BYTES + self.stored_bytes as usize).next_multiple_of(ALIGN_BYTES)
    }
}

thread_local! {
    // Creating a decompressor costs more than decompressing a block.
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> =
        const { RefCell::new(None) };
}

/// Checks the block `bytes`, which stand at `offset` of part `part_id`, and gives its content.
///
/// # Errors
/// When any bit is not as it was written, or the block is of another kind.
pub fn decode(
    part_id: u64,
    offset: u64,
    kind: BlockKind,
    bytes: Bytes,
) -> Result<Bytes, DecodeError> {
    let header = BlockHeader::decode(&bytes)?;
    if header.total_bytes() != bytes.len() {
        return Err(DecodeError::new(8, "block has another length than its index says"));
    }
    let end = BLOCK_HEADER_BYTES + header.stored_bytes as usize;
    if crc_at(part_id, offset, &bytes[4..end]) != header.crc {
        return Err(DecodeError::new(0, "block checksum does not match"));
    }
    Decoder::starting_at(&bytes, end).zeros(bytes.len() - end)?;
    if header.kind != kind as u8 {
        return Err(DecodeError::new(4, "block is of another kind"));
    }
    let stored = bytes.slice(BLOCK_HEADER_BYTES..end);
    match header.compression {
        RAW if header.raw_bytes == header.stored_bytes => Ok(stored),
        ZSTD => decompress(&stored, header.raw_bytes as usize),
        _ => Err(DecodeError::new(5, "unknown compression")),
    }
}

fn decompress(stored: &[u8], raw_bytes: usize) -> Result<Bytes, DecodeError> {
    DECOMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = zstd::bulk::Decompressor::new().ok();
        }
        let decompressor =
            slot.as_mut().ok_or(DecodeError::new(0, "no memory for the decompressor"))?;
        let mut raw = Vec::with_capacity(raw_bytes);
        match decompressor.decompress_to_buffer(stored, &mut raw) {
            Ok(length) if length == raw_bytes => Ok(Bytes::from(raw)),
            _ => Err(DecodeError::new(
                BLOCK_HEADER_BYTES as u64,
                "block does not decompress to its length",
            )),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(raw: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let at = BlockEncoder::new(7).unwrap().encode(BlockKind::Value, 128, raw, &mut out);
        assert_eq!(at.total_bytes as usize, out.len());
        out
    }

    fn random(count: usize) -> Vec<u8> {
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
            (state >> 56) as u8
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn blocks_survive_and_shrink_where_they_can() {
        for raw in [vec![], b"x".to_vec(), vec![b'a'; 20_000], random(20_000)] {
            let out = encoded(&raw);
            let back = decode(7, 128, BlockKind::Value, Bytes::from(out.clone())).unwrap();
            assert_eq!(back, raw);
            assert_eq!(out.len() < raw.len() / 4, raw.first() == Some(&b'a'));
        }
    }

    #[test]
    fn a_block_elsewhere_or_of_another_kind_is_refused() {
        let out = Bytes::from(encoded(b"some value"));
        assert!(decode(7, 128, BlockKind::Value, out.clone()).is_ok());
        assert!(decode(8, 128, BlockKind::Value, out.clone()).is_err());
        assert!(decode(7, 136, BlockKind::Value, out.clone()).is_err());
        assert!(decode(7, 128, BlockKind::Key, out.clone()).is_err());
        assert!(decode(7, 128, BlockKind::Value, out.slice(..out.len() - 8)).is_err());
    }

    #[test]
    fn every_bit_flip_is_detected() {
        for raw in [b"thirteen byte".to_vec(), vec![b'a'; 300]] {
            let good = encoded(&raw);
            for bit in 0..good.len() * 8 {
                let mut bad = good.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                let result = decode(7, 128, BlockKind::Value, Bytes::from(bad));
                assert!(result.is_err(), "bit {bit}");
            }
        }
    }
}
