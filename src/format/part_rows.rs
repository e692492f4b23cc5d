//! Key blocks of a part: rows of one keyspace in the order (position, key, chunk), apart from their
//! values. A block names the value blocks that its rows lie in; rows take their values from them
//! end to end, so that a row stores a length and no place.

use std::ops::Range;

use bytes::Bytes;

use super::decoder::Decoder;
use super::part_block::{ALIGN_BYTES, BLOCK_RAW_BYTES_MAX, BlockAt};
use super::varint;
use crate::error::DecodeError;
use crate::types::{ChunkId, KeyspaceId, LSN_MAX, Lsn, Position, ValueKind};

const TOMBSTONE: u8 = 0;
const STRING: u8 = 1;
/// A string in pages, or a collection in chunks.
const HEAD: u8 = 2;
const CHUNK: u8 = 3;
const KIND_MASK: u8 = 0b0000_0011;
const EXPIRES: u8 = 0b0000_0100;
const RAW: u8 = 0b0000_1000;
const NEXT_BLOCK: u8 = 0b0001_0000;
/// A collection: a byte with its kind and encoding follows.
const COLLECTION: u8 = 0b0010_0000;
const KNOWN: u8 = 0b0011_1111;

/// Where a value's bytes are. A value without bytes is nowhere: its block is all zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ValueAt {
    /// The value block.
    pub block: BlockAt,
    /// First byte within the block's content.
    pub start: u32,
    /// Length in bytes.
    pub len: u32,
}

/// What a row says of its key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RowKind {
    /// The key is gone.
    Tombstone,
    /// A string in one piece.
    String {
        /// Deadline in Unix milliseconds.
        expire_at_ms: Option<u64>,
        /// Whether `OBJECT ENCODING` must answer `raw`.
        raw: bool,
        /// The bytes.
        value: ValueAt,
    },
    /// The head of a paged string; its pages are rows of their own, here or in older parts.
    Paged {
        /// Deadline in Unix milliseconds.
        expire_at_ms: Option<u64>,
        /// Whether `OBJECT ENCODING` must answer `raw`.
        raw: bool,
        /// Length in bytes.
        len: u64,
        /// LSN of the string's creation.
        generation: Lsn,
    },
    /// A small collection in one piece.
    Packed {
        /// Deadline in Unix milliseconds.
        expire_at_ms: Option<u64>,
        /// The first byte of its blob.
        head: u8,
        /// The rest.
        value: ValueAt,
    },
    /// The head of a large collection; its chunks are rows of their own, here or in older parts.
    Chunked(ChunkedHead),
    /// One page of a paged string, or one chunk of a collection, whose head stands before it.
    Chunk {
        /// Generation of the head it belongs to.
        generation: u64,
        /// Number of the page, from 0, or identity of the chunk.
        id: ChunkId,
        /// The bytes; a chunk of a collection without bytes is gone.
        value: ValueAt,
    },
}

/// The head of a collection in chunks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChunkedHead {
    /// Deadline in Unix milliseconds.
    pub expire_at_ms: Option<u64>,
    /// Its kind and encoding, as [`crate::value::packed`] puts them into one byte.
    pub shape: u8,
    /// Items.
    pub len: u64,
    /// Chunks that it has.
    pub chunk_count: u64,
    /// Which incarnation of the key's value this is.
    pub generation: u64,
}

impl RowKind {
    /// The deadline, if the row has one.
    pub fn expire_at_ms(&self) -> Option<u64> {
        match *self {
            RowKind::String { expire_at_ms, .. }
            | RowKind::Paged { expire_at_ms, .. }
            | RowKind::Packed { expire_at_ms, .. }
            | RowKind::Chunked(ChunkedHead { expire_at_ms, .. }) => expire_at_ms,
            RowKind::Tombstone | RowKind::Chunk { .. } => None,
        }
    }

    /// Whether it is a page or chunk and not the row of a key.
    pub fn is_chunk(&self) -> bool {
        matches!(self, RowKind::Chunk { .. })
    }

    /// What the key holds; none for tombstones, chunks, and kinds that nobody knows.
    pub fn value_kind(&self) -> Option<ValueKind> {
        match *self {
            RowKind::Tombstone | RowKind::Chunk { .. } => None,
            RowKind::String { .. } | RowKind::Paged { .. } => Some(ValueKind::String),
            RowKind::Packed { head, .. } => ValueKind::of_packed(head),
            RowKind::Chunked(ChunkedHead { shape, .. }) => ValueKind::of_shape(shape),
        }
    }

    /// Where its bytes are, for rows that have bytes.
    pub fn value(&self) -> Option<ValueAt> {
        match *self {
            RowKind::String { value, .. }
            | RowKind::Packed { value, .. }
            | RowKind::Chunk { value, .. } => Some(value),
            _ => None,
        }
    }

    /// As [`RowKind::value`].
    pub fn value_mut(&mut self) -> Option<&mut ValueAt> {
        match self {
            RowKind::String { value, .. }
            | RowKind::Packed { value, .. }
            | RowKind::Chunk { value, .. } => Some(value),
            _ => None,
        }
    }

    /// The generation of what chunks follow it, for heads.
    pub fn generation(&self) -> Option<u64> {
        match *self {
            RowKind::Paged { generation, .. }
            | RowKind::Chunked(ChunkedHead { generation, .. }) => Some(generation),
            _ => None,
        }
    }

    /// The flags byte, but for [`NEXT_BLOCK`].
    fn flags(&self) -> u8 {
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        let kind = match *self {
            RowKind::Tombstone => TOMBSTONE,
            RowKind::String { raw, .. } => STRING | bit(raw, RAW),
            RowKind::Paged { raw, .. } => HEAD | bit(raw, RAW),
            RowKind::Packed { .. } => STRING | COLLECTION,
            RowKind::Chunked(_) => HEAD | COLLECTION,
            RowKind::Chunk { .. } => CHUNK,
        };
        kind | bit(self.expire_at_ms().is_some(), EXPIRES)
    }
}

/// One decoded row. The key is a range of the block's content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// Place of the key.
    pub position: Position,
    /// Where the key stands in the block's content.
    pub key: Range<usize>,
    /// LSN of the row's last change.
    pub lsn: Lsn,
    /// What it says.
    pub kind: RowKind,
}

/// A row to encode; values are already in their value block.
#[derive(Clone, Copy, Debug)]
pub struct NewRow<'a> {
    /// Place of the key.
    pub position: Position,
    /// The key.
    pub key: &'a [u8],
    /// LSN of the row's last change.
    pub lsn: Lsn,
    /// What it says; of its [`ValueAt`] only `len` counts.
    pub kind: RowKind,
    /// Whether the value is the first of the next value block.
    pub next_block: bool,
}

/// Collects the rows of one key block; its buffers are reused.
#[derive(Debug, Default)]
pub struct KeyBlockBuilder {
    rows: Vec<u8>,
    row_count: u64,
    first_position: Position,
    last_position: Position,
    last_lsn: Lsn,
}

impl KeyBlockBuilder {
    /// Bytes of the rows so far.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row yet.
    pub fn is_empty(&self) -> bool {
        self.row_count == 0
    }

    /// Position of the first row.
    pub fn first_position(&self) -> Position {
        self.first_position
    }

    /// Position of the last row.
    pub fn last_position(&self) -> Position {
        self.last_position
    }

    /// Adds a row. Rows come in order; a chunk follows a row of its key, unless it is the first.
    pub fn push(&mut self, row: &NewRow<'_>) {
        let first = self.is_empty();
        if first {
            self.first_position = row.position;
            self.last_position = row.position;
            self.last_lsn = 0;
        }
        let out = &mut self.rows;
        out.push(row.kind.flags() | if row.next_block { NEXT_BLOCK } else { 0 });
        if first || !row.kind.is_chunk() {
            varint::encode(row.position.0 - self.last_position.0, out);
            varint::encode(row.key.len() as u64, out);
            out.extend_from_slice(row.key);
        }
        varint::encode(zigzag(row.lsn.wrapping_sub(self.last_lsn) as i64), out);
        if let Some(at) = row.kind.expire_at_ms() {
            varint::encode(at, out);
        }
        encode_body(&row.kind, out);
        self.last_position = row.position;
        self.last_lsn = row.lsn;
        self.row_count += 1;
    }

    /// Appends the block's content to `out` and starts anew. `values` are the value blocks that the
    /// rows lie in, in order.
    pub fn finish(&mut self, keyspace: KeyspaceId, values: &[BlockAt], out: &mut Vec<u8>) {
        varint::encode(u64::from(keyspace), out);
        out.extend_from_slice(&self.first_position.0.to_le_bytes());
        varint::encode(self.row_count, out);
        varint::encode(values.len() as u64, out);
        let mut last = 0;
        for block in values {
            let at = block.offset / ALIGN_BYTES as u64;
            varint::encode(at - last, out);
            varint::encode(u64::from(block.total_bytes) / ALIGN_BYTES as u64, out);
            last = at;
        }
        out.extend_from_slice(&self.rows);
        self.rows.clear();
        self.row_count = 0;
    }
}

/// What follows the deadline of a row.
fn encode_body(kind: &RowKind, out: &mut Vec<u8>) {
    match *kind {
        RowKind::Tombstone => {}
        RowKind::String { value, .. } => varint::encode(u64::from(value.len), out),
        RowKind::Paged { len, generation, .. } => {
            varint::encode(len, out);
            varint::encode(generation, out);
        }
        RowKind::Packed { head, value, .. } => {
            out.push(head);
            varint::encode(u64::from(value.len), out);
        }
        RowKind::Chunked(head) => {
            out.push(head.shape);
            varint::encode(head.len, out);
            varint::encode(head.chunk_count, out);
            varint::encode(head.generation, out);
        }
        RowKind::Chunk { generation, id, value } => {
            varint::encode(generation, out);
            varint::encode_wide(id, out);
            varint::encode(u64::from(value.len), out);
        }
    }
}

/// The content of a key block, with its table decoded. Rows are decoded one by one.
#[derive(Clone, Debug)]
pub struct KeyBlock {
    content: Bytes,
    keyspace: KeyspaceId,
    first_position: Position,
    row_count: u64,
    values: Vec<BlockAt>,
    rows_at: usize,
}

/// A place between two rows of a [`KeyBlock`].
#[derive(Clone, Debug)]
pub struct RowCursor {
    at: usize,
    rows_read: u64,
    position: Position,
    lsn: Lsn,
    key: Range<usize>,
    values_used: usize,
    value_end: u32,
}

impl KeyBlock {
    /// Decodes the table in front of the rows. Value blocks must end by `blocks_end` of the file.
    ///
    /// # Errors
    /// When the content breaks a rule of the format.
    pub fn decode(content: Bytes, blocks_end: u64) -> Result<KeyBlock, DecodeError> {
        let mut input = Decoder::new(&content);
        let keyspace = input.varint_u32()?;
        let first_position = Position(input.u64()?);
        let row_count = input.varint()?;
        let count = input.varint()?;
        if count > input.remaining() as u64 {
            return Err(input.error(0, "more value blocks than bytes"));
        }
        let mut values = Vec::with_capacity(count.min(64) as usize);
        let mut last = 0u64;
        for _ in 0..count {
            let block = decode_value_block(&mut input, last, blocks_end)?;
            last = block.offset;
            values.push(block);
        }
        let rows_at = input.offset();
        Ok(KeyBlock { keyspace, first_position, row_count, values, rows_at, content })
    }

    /// Keyspace of all rows.
    pub fn keyspace(&self) -> KeyspaceId {
        self.keyspace
    }

    /// Position of the first row.
    pub fn first_position(&self) -> Position {
        self.first_position
    }

    /// The value blocks that the rows lie in.
    pub fn values(&self) -> &[BlockAt] {
        &self.values
    }

    /// The key of a row of this block.
    pub fn key(&self, row: &Row) -> &[u8] {
        &self.content[row.key.clone()]
    }

    /// The place before the first row.
    pub fn start(&self) -> RowCursor {
        RowCursor {
            at: self.rows_at,
            rows_read: 0,
            position: self.first_position,
            lsn: 0,
            key: 0..0,
            values_used: 0,
            value_end: 0,
        }
    }

    /// Skips the rows before a position, without a look at what they say.
    ///
    /// # Errors
    /// When the content breaks a rule of the format.
    pub fn skip_before(&self, cursor: &mut RowCursor, to: Position) -> Result<(), DecodeError> {
        while cursor.rows_read < self.row_count {
            let before = (cursor.at, cursor.position);
            let mut input = Decoder::starting_at(&self.content, cursor.at);
            let flags = self.decode_place(&mut input, cursor)?;
            if cursor.position >= to {
                (cursor.at, cursor.position) = before;
                return Ok(());
            }
            self.decode_rest(&mut input, flags, cursor)?;
        }
        Ok(())
    }

    /// The next row; none after the last.
    ///
    /// # Errors
    /// When the content breaks a rule of the format.
    pub fn next(&self, cursor: &mut RowCursor) -> Result<Option<Row>, DecodeError> {
        let mut input = Decoder::starting_at(&self.content, cursor.at);
        if cursor.rows_read == self.row_count {
            if cursor.values_used != self.values.len() {
                return Err(input.error(0, "a value block has no row"));
            }
            input.end()?;
            return Ok(None);
        }
        let flags = self.decode_place(&mut input, cursor)?;
        let kind = self.decode_rest(&mut input, flags, cursor)?;
        Ok(Some(Row { position: cursor.position, key: cursor.key.clone(), lsn: cursor.lsn, kind }))
    }

    /// Reads flags, position and key of a row; gives the flags.
    #[inline]
    fn decode_place(
        &self,
        input: &mut Decoder<'_>,
        cursor: &mut RowCursor,
    ) -> Result<u8, DecodeError> {
        let flags = input.u8()?;
        if flags & !KNOWN != 0 {
            return Err(input.error(0, "unknown row flags"));
        }
        if cursor.rows_read == 0 || flags & KIND_MASK != CHUNK {
            let step = input.varint()?;
            let position = cursor.position.0.checked_add(step);
            cursor.position = Position(position.ok_or(input.error(0, "position out of range"))?);
            let length = input.prefixed()?.len();
            cursor.key = input.offset() - length..input.offset();
        }
        Ok(flags)
    }

    /// Reads what follows the key of a row, and steps over it.
    #[inline]
    fn decode_rest(
        &self,
        input: &mut Decoder<'_>,
        flags: u8,
        cursor: &mut RowCursor,
    ) -> Result<RowKind, DecodeError> {
        let step = unzigzag(input.varint()?);
        cursor.lsn = cursor.lsn.wrapping_add(step as u64);
        if cursor.lsn > LSN_MAX {
            return Err(input.error(0, "LSN is out of range"));
        }
        let kind = self.decode_kind(input, flags, cursor)?;
        cursor.rows_read += 1;
        cursor.at = input.offset();
        Ok(kind)
    }

    #[inline]
    fn decode_kind(
        &self,
        input: &mut Decoder<'_>,
        flags: u8,
        cursor: &mut RowCursor,
    ) -> Result<RowKind, DecodeError> {
        let kind = flags & KIND_MASK;
        let lives = kind == STRING || kind == HEAD;
        let has_value = kind == STRING || kind == CHUNK;
        let is_collection = flags & COLLECTION != 0;
        if (flags & (EXPIRES | RAW | COLLECTION) != 0 && !lives)
            || (flags & NEXT_BLOCK != 0 && !has_value)
            || (is_collection && flags & RAW != 0)
        {
            return Err(input.error(0, "row flags do not go with its kind"));
        }
        let expire_at_ms = match flags & EXPIRES {
            0 => None,
            _ => Some(input.varint()?),
        };
        let raw = flags & RAW != 0;
        Ok(match (kind, is_collection) {
            (TOMBSTONE, _) => RowKind::Tombstone,
            (STRING, false) => RowKind::String {
                expire_at_ms,
                raw,
                value: self.decode_value(input, flags, cursor)?,
            },
            (STRING, true) => RowKind::Packed {
                expire_at_ms,
                head: input.u8()?,
                value: self.decode_value(input, flags, cursor)?,
            },
            (HEAD, false) => RowKind::Paged {
                expire_at_ms,
                raw,
                len: input.varint()?,
                generation: input.varint_lsn()?,
            },
            (HEAD, true) => RowKind::Chunked(ChunkedHead {
                expire_at_ms,
                shape: input.u8()?,
                len: input.varint()?,
                chunk_count: input.varint()?,
                generation: input.varint()?,
            }),
            _ => RowKind::Chunk {
                generation: input.varint()?,
                id: input.varint_wide()?,
                value: self.decode_value(input, flags, cursor)?,
            },
        })
    }

    #[inline]
    fn decode_value(
        &self,
        input: &mut Decoder<'_>,
        flags: u8,
        cursor: &mut RowCursor,
    ) -> Result<ValueAt, DecodeError> {
        let len = input.varint_u32()?;
        let next = flags & NEXT_BLOCK != 0;
        if len == 0 {
            return match next {
                true => Err(input.error(0, "an empty value has no block")),
                false => Ok(ValueAt::default()),
            };
        }
        if next {
            cursor.values_used += 1;
            cursor.value_end = 0;
        }
        let block = cursor.values_used.checked_sub(1).and_then(|used| self.values.get(used));
        let block = *block.ok_or(input.error(0, "value without a block"))?;
        let start = cursor.value_end;
        let end = start.checked_add(len).filter(|&end| end as usize <= BLOCK_RAW_BYTES_MAX);
        cursor.value_end = end.ok_or(input.error(0, "value too long"))?;
        Ok(ValueAt { block, start, len })
    }
}

/// Folds a signed difference so that small ones are small numbers.
fn zigzag(difference: i64) -> u64 {
    ((difference << 1) ^ (difference >> 63)) as u64
}

fn unzigzag(folded: u64) -> i64 {
    (folded >> 1) as i64 ^ -((folded & 1) as i64)
}

fn decode_value_block(
    input: &mut Decoder<'_>,
    last: u64,
    blocks_end: u64,
) -> Result<BlockAt, DecodeError> {
    let align = ALIGN_BYTES as u64;
    let error = input.error(0, "value block out of range");
    let (step, units) = (input.varint()?, input.varint_u32()?);
    let offset = step.checked_mul(align).and_then(|bytes| bytes.checked_add(last));
    let total_bytes = units.checked_mul(ALIGN_BYTES as u32);
    let (Some(offset), Some(total_bytes)) = (offset, total_bytes) else {
        return Err(error);
    };
    match offset.checked_add(u64::from(total_bytes)) {
        Some(end) if end <= blocks_end && total_bytes > 0 => Ok(BlockAt { offset, total_bytes }),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(len: u32) -> RowKind {
        RowKind::String {
            expire_at_ms: None,
            raw: false,
            value: ValueAt { len, ..ValueAt::default() },
        }
    }

    fn new_row(position: u64, key: &'static [u8], lsn: Lsn, kind: RowKind) -> NewRow<'static> {
        NewRow { position: Position(position), key, lsn, kind, next_block: false }
    }

    fn sample() -> (Vec<NewRow<'static>>, Vec<BlockAt>) {
        let value = |len| ValueAt { len, ..ValueAt::default() };
        let chunk = |id, len| RowKind::Chunk { generation: 90, id, value: value(len) };
        let paged = RowKind::Paged {
            expire_at_ms: Some(u64::MAX),
            raw: true,
            len: 1 << 20,
            generation: 90,
        };
        let head = RowKind::Chunked(ChunkedHead {
            expire_at_ms: Some(5),
            shape: 0x41,
            len: 1000,
            chunk_count: 8,
            generation: 90,
        });
        let packed = RowKind::Packed { expire_at_ms: None, head: 0x20, value: value(3) };
        let mut rows = vec![
            new_row(10, b"a", 100, string(5)),
            new_row(10, b"b", 99, string(0)),
            new_row(10, b"b2", LSN_MAX, RowKind::Tombstone),
            new_row(11, b"", 1, paged),
            new_row(11, b"", 95, chunk(3, 7)),
            new_row(11, b"", 96, chunk(9, 1)),
            new_row(12, b"h", 97, head),
            new_row(12, b"h", 97, chunk(0, 0)),
            new_row(12, b"h", 98, chunk(ChunkId::MAX, 4)),
            new_row(13, b"s", 98, packed),
            new_row(u64::MAX, b"z", 96, string(2)),
        ];
        rows[0].next_block = true;
        rows[4].next_block = true;
        let blocks =
            [(128, 24), (160, 48)].map(|(offset, total_bytes)| BlockAt { offset, total_bytes });
        (rows, blocks.to_vec())
    }

    fn encoded() -> Vec<u8> {
        let (rows, blocks) = sample();
        let mut builder = KeyBlockBuilder::default();
        rows.iter().for_each(|row| builder.push(row));
        let mut out = Vec::new();
        builder.finish(70_000, &blocks, &mut out);
        out
    }

    #[test]
    fn rows_survive_with_their_places() {
        let block = KeyBlock::decode(Bytes::from(encoded()), 208).unwrap();
        assert_eq!((block.keyspace(), block.first_position()), (70_000, Position(10)));
        let (mut cursor, mut starts) = (block.start(), Vec::new());
        let (rows, blocks) = sample();
        for expected in rows {
            let row = block.next(&mut cursor).unwrap().unwrap();
            assert_eq!((row.position, row.lsn), (expected.position, expected.lsn));
            assert_eq!(block.key(&row), expected.key);
            if let Some(value) = row.kind.value() {
                starts.push((value.block, value.start, value.len));
            }
            let without_places = |mut kind: RowKind| {
                if let Some(value) = kind.value_mut() {
                    *value = ValueAt { len: value.len, ..ValueAt::default() };
                }
                kind
            };
            assert_eq!(without_places(row.kind), expected.kind);
        }
        assert_eq!(block.next(&mut cursor).unwrap(), None);
        let (one, two) = (blocks[0], blocks[1]);
        let none = BlockAt::default();
        let expected = [
            (one, 0, 5),
            (none, 0, 0),
            (two, 0, 7),
            (two, 7, 1),
            (none, 0, 0),
            (two, 8, 4),
            (two, 12, 3),
            (two, 15, 2),
        ];
        assert_eq!(starts, expected);
    }

    #[test]
    fn damaged_content_never_panics() {
        let good = encoded();
        for cut in 0..good.len() {
            walk(good[..cut].to_vec()).unwrap_err();
        }
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let _ = walk(bad);
        }
    }

    fn walk(content: Vec<u8>) -> Result<(), DecodeError> {
        let block = KeyBlock::decode(Bytes::from(content), 208)?;
        let mut cursor = block.start();
        while block.next(&mut cursor)?.is_some() {}
        Ok(())
    }
}
