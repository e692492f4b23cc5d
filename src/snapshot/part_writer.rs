//! Writes one part: rows come in order, blocks leave as they fill. Memory is bounded but for the
//! indexes: 8 bytes a key for the filter, 24 for each deadline, 24 for each key block.

use std::sync::Arc;

use super::filter;
use super::part_output::PartOutput;
use super::{ChunkedHead, DirtyChunks, RowKey, RowValue, temporary_part_path};
use crate::error::{Error, Result};
use crate::format::manifest::PartMeta;
use crate::format::part::{Footer, Header, Place, Section};
use crate::format::part_block::{BLOCK_RAW_BYTES_MAX, BlockAt, BlockEncoder, BlockKind, crc_at};
use crate::format::part_index::{
    Deadline, DeadlineEntry, KeyEntry, SlotCount, encode_counts, put_deadline_entry,
    put_deadline_row, put_key_entry,
};
use crate::format::part_rows::{KeyBlockBuilder, NewRow, RowKind, ValueAt};
use crate::io::Storage;
use crate::limits::{BLOCK_BYTES, KEY_BYTES_MAX};
use crate::types::{ChunkId, DatabaseId, KeyspaceId, Lsn, Position};

/// A key block closes with a value block once it has this many bytes, so that few value blocks are
/// cut short.
const KEY_BLOCK_CLOSES_FROM: usize = BLOCK_BYTES / 4 * 3;

/// A part that is being written. Dropped before [`PartWriter::finish`], it leaves nothing.
pub struct PartWriter {
    output: PartOutput,
    encoder: BlockEncoder,
    rows: KeyBlockBuilder,
    /// Content of the value block under way.
    values: Vec<u8>,
    /// Finished value blocks of the key block under way.
    value_blocks: Vec<BlockAt>,
    scratch: Vec<u8>,
    key_index: Vec<u8>,
    /// Last place of the last finished key block.
    indexed: Option<Place>,
    last: LastKey,
    hashes: Vec<u64>,
    deadlines: Vec<Deadline>,
    counts: Vec<SlotCount>,
    footer: Footer,
}

/// The key whose rows came last.
#[derive(Default)]
struct LastKey {
    started: bool,
    keyspace: KeyspaceId,
    position: Position,
    key: Vec<u8>,
    /// The identity that its next chunk must reach, behind a head.
    next_chunk: Option<ChunkId>,
    generation: u64,
}

impl PartWriter {
    /// Starts part `id` of a database.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn create(
        storage: Arc<dyn Storage>,
        database: DatabaseId,
        id: u64,
        wall_ms: u64,
    ) -> Result<PartWriter> {
        let encoder = BlockEncoder::new(id).map_err(|source| {
            let path = storage.display_path(&temporary_part_path(id));
            Error::io("compress", &path, source)
        })?;
        let mut output = PartOutput::create(storage, id)?;
        let header = Header::new(database, id, wall_ms).encode();
        output.append(|out| out.extend_from_slice(&header))?;
        Ok(PartWriter {
            output,
            encoder,
            rows: KeyBlockBuilder::default(),
            values: Vec::with_capacity(BLOCK_BYTES * 2),
            value_blocks: Vec::new(),
            scratch: Vec::with_capacity(BLOCK_BYTES * 2),
            key_index: Vec::new(),
            indexed: None,
            last: LastKey::default(),
            hashes: Vec::new(),
            deadlines: Vec::new(),
            counts: Vec::new(),
            footer: Footer { part_id: id, min_lsn: Lsn::MAX, ..Footer::default() },
        })
    }

    /// Adds what is known of a key.
    ///
    /// # Errors
    /// When the file cannot be written.
    ///
    /// # Panics
    /// When keys are out of order, or a key or value is longer than any may be.
    pub fn push(&mut self, key: &RowKey<'_>, lsn: Lsn, value: &RowValue<'_>) -> Result<()> {
        match *value {
            RowValue::Tombstone => self.push_head(key, lsn, RowKind::Tombstone, &[]),
            RowValue::String { expire_at_ms, raw, bytes } => {
                let value = ValueAt::default();
                let kind = RowKind::String { expire_at_ms, raw, value };
                self.push_head(key, lsn, kind, bytes)
            }
            RowValue::Paged { expire_at_ms, raw, len, generation, pages } => {
                let kind = RowKind::Paged { expire_at_ms, raw, len, generation };
                self.push_head(key, lsn, kind, &[])?;
                pages.iter().try_for_each(|page| {
                    self.push_chunk(ChunkId::from(page.number), page.lsn, &page.bytes)
                })
            }
            RowValue::Packed { expire_at_ms, blob } => {
                let (head, items) = blob.split_first().expect("a blob begins with its kind");
                let value = ValueAt::default();
                let kind = RowKind::Packed { expire_at_ms, head: *head, value };
                self.push_head(key, lsn, kind, items)
            }
            RowValue::Chunked { head, chunks } => {
                self.push_chunked(key, lsn, head, chunks, &mut || {})
            }
        }
    }

    /// As [`PartWriter::push`] of a collection in chunks, with `rest` called between them.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn push_chunked(
        &mut self,
        key: &RowKey<'_>,
        lsn: Lsn,
        head: ChunkedHead,
        chunks: &dyn DirtyChunks,
        rest: &mut dyn FnMut(),
    ) -> Result<()> {
        self.push_head(key, lsn, RowKind::Chunked(head), &[])?;
        let mut bytes = Vec::new();
        chunks.chunks().try_for_each(|chunk| {
            rest();
            bytes.clear();
            chunk.content.iter().for_each(|content| content.encode(&mut bytes));
            self.push_chunk(chunk.id, lsn, &bytes)
        })
    }

    /// Adds the row of a key. Its [`ValueAt`] is not read; `value` is what counts.
    pub(super) fn push_head(
        &mut self,
        key: &RowKey<'_>,
        lsn: Lsn,
        kind: RowKind,
        value: &[u8],
    ) -> Result<()> {
        self.begin_key(key)?;
        if let Some(generation) = kind.generation() {
            (self.last.next_chunk, self.last.generation) = (Some(0), generation);
        }
        if let Some(deadline_ms) = kind.expire_at_ms() {
            self.deadlines.push(Deadline {
                deadline_ms,
                keyspace: key.keyspace,
                position: key.position,
            });
        }
        self.footer.key_count += 1;
        self.footer.tombstone_count += u64::from(kind == RowKind::Tombstone);
        self.put(lsn, kind, value)
    }

    /// Adds a page or chunk of the value whose head came last.
    pub(super) fn push_chunk(&mut self, id: ChunkId, lsn: Lsn, bytes: &[u8]) -> Result<()> {
        let next = self.last.next_chunk.expect("chunks follow their head");
        assert!(id >= next, "chunks come in order");
        self.last.next_chunk = id.checked_add(1);
        let (generation, value) = (self.last.generation, ValueAt::default());
        self.put(lsn, RowKind::Chunk { generation, id, value }, bytes)
    }

    fn begin_key(&mut self, key: &RowKey<'_>) -> Result<()> {
        assert!(key.key.len() <= KEY_BYTES_MAX);
        let last = &self.last;
        let last_key = RowKey { keyspace: last.keyspace, position: last.position, key: &last.key };
        assert!(!last.started || last_key < *key, "rows come in order");
        if last.started && last.keyspace != key.keyspace {
            self.finish_key_block()?;
        }
        if !self.last.started {
            self.footer.min = key.place();
        }
        self.footer.max = key.place();
        let last = &mut self.last;
        last.started = true;
        (last.keyspace, last.position) = key.place();
        last.key.clear();
        last.key.extend_from_slice(key.key);
        last.next_chunk = None;
        self.hashes.push(filter::hash(key.place()));
        Ok(())
    }

    fn put(&mut self, lsn: Lsn, mut kind: RowKind, bytes: &[u8]) -> Result<()> {
        assert!(bytes.len() <= BLOCK_RAW_BYTES_MAX);
        if !self.values.is_empty() && self.values.len() + bytes.len() > BLOCK_BYTES {
            self.finish_value_block()?;
            if self.rows.len() >= KEY_BLOCK_CLOSES_FROM {
                self.finish_key_block()?;
            }
        }
        if let Some(value) = kind.value_mut() {
            value.len = bytes.len() as u32;
        }
        self.rows.push(&NewRow {
            position: self.last.position,
            key: &self.last.key,
            lsn,
            kind,
            next_block: !bytes.is_empty() && self.values.is_empty(),
        });
        self.values.extend_from_slice(bytes);
        let footer = &mut self.footer;
        footer.row_count += 1;
        footer.value_bytes += bytes.len() as u64;
        footer.min_lsn = footer.min_lsn.min(lsn);
        footer.max_lsn = footer.max_lsn.max(lsn);
        if self.rows.len() >= BLOCK_BYTES {
            self.finish_key_block()?;
        }
        Ok(())
    }

    fn finish_value_block(&mut self) -> Result<()> {
        if self.values.is_empty() {
            return Ok(());
        }
        let at = self.output.offset();
        let (encoder, values) = (&mut self.encoder, &self.values);
        let block = self.output.append(|out| encoder.encode(BlockKind::Value, at, values, out))?;
        self.value_blocks.push(block);
        self.values.clear();
        self.values.shrink_to(BLOCK_BYTES * 8);
        Ok(())
    }

    fn finish_key_block(&mut self) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        self.finish_value_block()?;
        let (keyspace, first) = (self.last.keyspace, self.rows.first_position());
        let last = (keyspace, self.rows.last_position());
        self.scratch.clear();
        self.rows.finish(keyspace, &self.value_blocks, &mut self.scratch);
        self.value_blocks.clear();
        let block = self.append_block(BlockKind::Key)?;
        let entry =
            KeyEntry { keyspace, first, continues: self.indexed == Some((keyspace, first)), block };
        put_key_entry(&mut self.key_index, &entry);
        self.indexed = Some(last);
        Ok(())
    }

    /// Appends a block with the scratch buffer's content.
    fn append_block(&mut self, kind: BlockKind) -> Result<BlockAt> {
        let at = self.output.offset();
        let (encoder, content) = (&mut self.encoder, &self.scratch);
        let block = self.output.append(|out| encoder.encode(kind, at, content, out))?;
        self.scratch.shrink_to(BLOCK_BYTES * 8);
        Ok(block)
    }

    /// Bytes of the file so far, about.
    pub fn file_bytes(&self) -> u64 {
        self.output.offset() + (self.values.len() + self.rows.len()) as u64
    }

    /// Its id.
    pub fn part_id(&self) -> u64 {
        self.footer.part_id
    }

    /// Keys so far.
    pub fn key_count(&self) -> u64 {
        self.footer.key_count
    }

    /// Sets the counts of slots that go with this part, in the order (keyspace, slot).
    pub fn set_counts(&mut self, counts: Vec<SlotCount>) {
        let ordered = |pair: &[SlotCount]| {
            (pair[0].keyspace, pair[0].slot) < (pair[1].keyspace, pair[1].slot)
        };
        assert!(counts.windows(2).all(ordered), "counts come in order");
        self.counts = counts;
    }

    /// Completes the part as one of a run (its age). When this returns, the file is durable.
    ///
    /// # Errors
    /// When the file cannot be written or synced; then nothing is left of it.
    pub fn finish(mut self, run: u64) -> Result<PartMeta> {
        self.finish_key_block()?;
        self.footer.blocks_end = self.output.offset();
        let deadline_index = self.write_deadlines()?;
        let counts_lsn = self.counts.iter().map(|count| count.lsn).max();
        self.footer.max_lsn = self.footer.max_lsn.max(counts_lsn.unwrap_or(0));
        if self.footer.row_count == 0 {
            self.footer.min_lsn = 0;
        }
        let counts = encode_counts(&self.counts);
        self.footer.counts = self.write_section(&counts)?;
        let key_index = std::mem::take(&mut self.key_index);
        self.footer.key_index = self.write_section(&key_index)?;
        self.footer.deadline_index = self.write_section(&deadline_index)?;
        self.footer.filter = self.write_section(&filter::build(&self.hashes))?;
        let footer = self.footer;
        let encoded = footer.encode(self.output.offset());
        self.output.append(|out| out.extend_from_slice(&encoded))?;
        let file_bytes = self.output.finish()?;
        Ok(footer.meta(run, file_bytes, &encoded))
    }

    /// Writes the deadline blocks; returns their index.
    fn write_deadlines(&mut self) -> Result<Vec<u8>> {
        let mut deadlines = std::mem::take(&mut self.deadlines);
        deadlines.sort_unstable();
        // Two keys of one position and deadline are found together.
        deadlines.dedup();
        self.footer.deadline_count = deadlines.len() as u64;
        let (mut index, mut at) = (Vec::new(), 0);
        while at < deadlines.len() {
            let first = deadlines[at];
            let mut last_ms = 0;
            self.scratch.clear();
            while at < deadlines.len() && self.scratch.len() < BLOCK_BYTES {
                put_deadline_row(&mut self.scratch, &deadlines[at], last_ms);
                last_ms = deadlines[at].deadline_ms;
                at += 1;
            }
            let block = self.append_block(BlockKind::Deadline)?;
            put_deadline_entry(&mut index, &DeadlineEntry { first, block });
        }
        Ok(index)
    }

    fn write_section(&mut self, bytes: &[u8]) -> Result<Section> {
        let offset = self.output.offset();
        self.output.append(|out| out.extend_from_slice(bytes))?;
        self.output.align();
        Ok(Section {
            offset,
            len: bytes.len() as u64,
            crc: crc_at(self.footer.part_id, offset, bytes),
        })
    }
}
