//! Cold lookups: what the parts say of one key, with or without its value.
//!
//! Runs are ordered by age, so the newest part that has a row for the key decides, and a filter
//! keeps the others from being read. Only pages and chunks are gathered from several.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::part_cursor::PartCursor;
use super::part_reader::{Caching, PartReader};
use super::part_set::PartSet;
use super::{RowKey, filter};
use crate::error::Result;
use crate::format::part_block::{BlockAt, BlockKind};
use crate::format::part_rows::{ChunkedHead, RowKind, ValueAt};
use crate::limits::STRING_PAGE_BYTES;
use crate::types::{ChunkId, KeyspaceId, Lsn, Position, ValueKind};

/// What the parts know of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ColdRow {
    /// LSN of its last change.
    pub lsn: Lsn,
    /// What it holds.
    pub content: ColdContent,
}

/// A key's content, loaded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ColdContent {
    /// The key is gone.
    Tombstone,
    /// A string in one piece.
    String {
        /// Deadline in Unix milliseconds.
        expire_at_ms: Option<u64>,
        /// Whether `OBJECT ENCODING` must answer `raw`.
        raw: bool,
        /// The bytes.
        bytes: Bytes,
    },
    /// A string in pages, all of them loaded.
    Paged {
        /// Deadline in Unix milliseconds.
        expire_at_ms: Option<u64>,
        /// Whether `OBJECT ENCODING` must answer `raw`.
        raw: bool,
        /// Length in bytes.
        len: u64,
        /// LSN of the string's creation.
        generation: Lsn,
        /// The pages in order; all but the last are full.
        pages: Vec<Bytes>,
    },
    /// A small collection.
    Packed {
        /// Deadline in Unix milliseconds.
        expire_at_ms: Option<u64>,
        /// Kind and encoding, then the items.
        blob: Vec<u8>,
    },
    /// A collection in chunks, all of them loaded.
    Chunked {
        /// The head.
        head: ChunkedHead,
        /// The chunks in order.
        chunks: Vec<(ChunkId, Bytes)>,
    },
}

/// What the parts know of a key, without its value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ColdMeta {
    /// LSN of its last change.
    pub lsn: Lsn,
    /// What is there, none for a tombstone.
    pub live: Option<LiveMeta>,
}

/// A live key without its value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LiveMeta {
    /// Deadline in Unix milliseconds.
    pub expire_at_ms: Option<u64>,
    /// Whether `OBJECT ENCODING` must answer `raw`.
    pub raw: bool,
    /// Length in bytes of a string, or of the items of a packed collection; items of one in chunks.
    pub len: u64,
    /// What it is.
    pub kind: ValueKind,
    /// Generation of a value in pages or chunks.
    pub generation: Option<u64>,
}

/// A paged string whose pages are found but not read. Keeps the parts that hold them.
#[derive(Clone)]
pub struct PagedHead {
    /// LSN of the key's last change.
    pub lsn: Lsn,
    /// Deadline in Unix milliseconds.
    pub expire_at_ms: Option<u64>,
    /// Whether `OBJECT ENCODING` must answer `raw`.
    pub raw: bool,
    /// Length in bytes.
    pub len: u64,
    /// LSN of the string's creation.
    pub generation: Lsn,
    pages: Vec<ChunkAt>,
}

/// A page or chunk in a part.
#[derive(Clone)]
struct ChunkAt {
    part: Arc<PartReader>,
    value: ValueAt,
}

/// The newest rows of a value's pages or chunks.
type Chunks = BTreeMap<ChunkId, ChunkAt>;

impl PagedHead {
    /// Pages of the string.
    pub fn page_count(&self) -> usize {
        self.pages.len()
    }

    /// Reads one page and no other.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    ///
    /// # Panics
    /// When there is no such page.
    pub fn read_page(&self, number: u32) -> Result<Bytes> {
        let page = &self.pages[number as usize];
        page.part.value(page.value, Caching::Pass)
    }
}

/// Length that page `number` of a string of `len` bytes has.
fn page_bytes(len: u64, number: ChunkId) -> u64 {
    let page = STRING_PAGE_BYTES as u64;
    let start = number.saturating_mul(ChunkId::from(page));
    len.saturating_sub(u64::try_from(start).unwrap_or(u64::MAX)).min(page)
}

/// The row of a key, and the cursor that stands on it.
struct Found<'p> {
    part_index: usize,
    cursor: PartCursor<'p>,
    lsn: Lsn,
    kind: RowKind,
}

impl PartSet {
    /// What the parts know of a key, with its value; none when they do not know it.
    ///
    /// # Errors
    /// When a block cannot be read or is damaged, or a page is nowhere. The same holds for all
    /// methods below.
    pub fn lookup(
        &self,
        keyspace: KeyspaceId,
        position: Position,
        key: &[u8],
    ) -> Result<Option<ColdRow>> {
        let key = RowKey { keyspace, position, key };
        let Some(mut found) = self.find(&key, 0)? else {
            return Ok(None);
        };
        let lsn = found.lsn;
        let content = match found.kind {
            RowKind::Tombstone => ColdContent::Tombstone,
            RowKind::String { expire_at_ms, raw, value } => {
                ColdContent::String { expire_at_ms, raw, bytes: found.cursor.value(value)? }
            }
            RowKind::Packed { expire_at_ms, head, value } => {
                let items = found.cursor.value(value)?;
                let blob = [&[head], &items[..]].concat();
                ColdContent::Packed { expire_at_ms, blob }
            }
            RowKind::Chunked(head) => {
                let chunks = read_chunks(self.gather(&key, found)?)?;
                ColdContent::Chunked { head, chunks }
            }
            RowKind::Paged { .. } | RowKind::Chunk { .. } => {
                let head = self.paged_head(&key, found)?;
                let numbers = 0..head.page_count() as u32;
                let pages = numbers.map(|number| head.read_page(number)).collect::<Result<_>>()?;
                ColdContent::Paged {
                    expire_at_ms: head.expire_at_ms,
                    raw: head.raw,
                    len: head.len,
                    generation: head.generation,
                    pages,
                }
            }
        };
        Ok(Some(ColdRow { lsn, content }))
    }

    /// As [`PartSet::lookup`] for a large hash, set or sorted set, but only the chunks are read in
    /// whose ranges these hashes lie. None where the key is something else, or `worth` says no to
    /// its number of chunks.
    pub fn lookup_members(
        &self,
        keyspace: KeyspaceId,
        position: Position,
        key: &[u8],
        hashes: &[u64],
        worth: impl FnOnce(u64) -> bool,
    ) -> Result<Option<ColdRow>> {
        let key = RowKey { keyspace, position, key };
        let Some(found) = self.find(&key, 0)? else { return Ok(None) };
        let RowKind::Chunked(head) = found.kind else { return Ok(None) };
        let has_members = matches!(
            ValueKind::of_shape(head.shape),
            Some(ValueKind::Hash | ValueKind::Set | ValueKind::Zset)
        );
        if !has_members || !worth(head.chunk_count) {
            return Ok(None);
        }
        let lsn = found.lsn;
        let places = self.gather(&key, found)?;
        let mut chunks = BTreeMap::new();
        for hash in hashes {
            if let Some((id, at)) = places.range(..=ChunkId::from(*hash)).next_back()
                && !chunks.contains_key(id)
            {
                chunks.insert(*id, at.part.value(at.value, Caching::Pass)?);
            }
        }
        let chunks = chunks.into_iter().collect();
        Ok(Some(ColdRow { lsn, content: ColdContent::Chunked { head, chunks } }))
    }

    /// What the parts know of a key; its value is not touched.
    pub fn lookup_meta(
        &self,
        keyspace: KeyspaceId,
        position: Position,
        key: &[u8],
    ) -> Result<Option<ColdMeta>> {
        let key = RowKey { keyspace, position, key };
        Ok(self
            .find(&key, 0)?
            .map(|found| ColdMeta { lsn: found.lsn, live: live_meta(found.kind) }))
    }

    /// The places of a paged string's pages, none when the key is none. For access to single pages.
    pub fn lookup_paged(
        &self,
        keyspace: KeyspaceId,
        position: Position,
        key: &[u8],
    ) -> Result<Option<PagedHead>> {
        let key = RowKey { keyspace, position, key };
        match self.find(&key, 0)? {
            Some(found) if matches!(found.kind, RowKind::Paged { .. }) => {
                self.paged_head(&key, found).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The newest row of a key among the parts from `from` on.
    fn find(&self, key: &RowKey<'_>, from: usize) -> Result<Option<Found<'_>>> {
        let hash = filter::hash(key.place());
        for (part_index, part) in self.parts().iter().enumerate().skip(from) {
            if !part.may_contain(key.place(), hash) {
                continue;
            }
            let mut cursor = PartCursor::seek(part, key.place(), Caching::Keep)?;
            if !cursor.find_key(key)? {
                continue;
            }
            if let Some(row) = cursor.row() {
                let (lsn, kind) = (row.lsn, row.kind);
                return Ok(Some(Found { part_index, cursor, lsn, kind }));
            }
        }
        Ok(None)
    }

    /// The places of the pages of the string whose newest head is `found`.
    fn paged_head(&self, key: &RowKey<'_>, found: Found<'_>) -> Result<PagedHead> {
        let (lsn, kind) = (found.lsn, found.kind);
        let RowKind::Paged { expire_at_ms, raw, len, generation } = kind else {
            return Err(found.cursor.part().damaged(0, "a chunk has no head"));
        };
        let pages = self.gather(key, found)?.into_values().collect();
        Ok(PagedHead { lsn, expire_at_ms, raw, len, generation, pages })
    }

    /// Finds all pages or chunks of the value whose newest head is `found`.
    fn gather(&self, key: &RowKey<'_>, found: Found<'_>) -> Result<Chunks> {
        let newest = found.cursor.part();
        match self.gather_remaining(key, found)? {
            (chunks, true) => Ok(chunks),
            (_, false) => Err(newest.damaged(0, "a chunk of a value is in no part")),
        }
    }

    /// As [`PartSet::gather`], but what is missing is only told: whether that is all.
    fn gather_remaining(&self, key: &RowKey<'_>, found: Found<'_>) -> Result<(Chunks, bool)> {
        let head = found.kind;
        let wanted = match head {
            RowKind::Paged { len, .. } => len.div_ceil(STRING_PAGE_BYTES as u64),
            RowKind::Chunked(head) => head.chunk_count,
            _ => 0,
        };
        let mut chunks = Chunks::new();
        let mut live = 0;
        let (mut part_index, mut cursor) = (found.part_index, found.cursor);
        let is_whole = loop {
            let part = &self.parts()[part_index];
            live += gather_from(part, &mut cursor, head, &mut chunks)?;
            if live == wanted {
                break true;
            }
            let older = self.find(key, part_index + 1)?;
            let same = older.filter(|older| older.kind.generation() == head.generation());
            let Some(older) = same else {
                break false;
            };
            (part_index, cursor) = (older.part_index, older.cursor);
        };
        chunks.retain(|_, chunk| chunk.value.len > 0);
        Ok((chunks, is_whole))
    }

    /// As [`PartSet::lookup`] for a collection in chunks, with those that are there, though others
    /// may be lost. None where the key is something else. For a repair.
    pub fn lookup_remaining(&self, key: &RowKey<'_>) -> Result<Option<ColdRow>> {
        let Some(found) = self.find(key, 0)? else { return Ok(None) };
        let (lsn, RowKind::Chunked(head)) = (found.lsn, found.kind) else { return Ok(None) };
        let (places, _) = self.gather_remaining(key, found)?;
        let chunks = read_chunks(places)?;
        Ok(Some(ColdRow { lsn, content: ColdContent::Chunked { head, chunks } }))
    }

    /// The oldest run that has a part of what a key holds. For a repair.
    pub fn oldest_run(&self, key: &RowKey<'_>) -> Result<Option<u64>> {
        let Some(found) = self.find(key, 0)? else { return Ok(None) };
        let newest = found.cursor.part().meta().run;
        let chunks = self.gather(key, found)?;
        let runs = chunks.values().map(|chunk| chunk.part.meta().run);
        Ok(runs.chain([newest]).min())
    }

    /// The newest head of this generation that a key has. For a repair.
    pub fn head_of(&self, key: &RowKey<'_>, generation: u64) -> Result<Option<RowKind>> {
        let mut from = 0;
        while let Some(found) = self.find(key, from)? {
            if found.kind.generation() == Some(generation) {
                return Ok(Some(found.kind));
            }
            from = found.part_index + 1;
        }
        Ok(None)
    }
}

/// Reads chunks in order. Neighbours mostly lie in one block of one part, which is read once.
fn read_chunks(places: Chunks) -> Result<Vec<(ChunkId, Bytes)>> {
    let mut last: BTreeMap<u64, (BlockAt, Bytes)> = BTreeMap::new();
    let read = |(id, ChunkAt { part, value }): (ChunkId, ChunkAt)| {
        let known = last.get(&part.meta().id).filter(|(at, _)| *at == value.block);
        let content = match known {
            Some((_, content)) => content.clone(),
            None => part.block(BlockKind::Value, value.block, Caching::Pass)?,
        };
        let bytes = part.cut_value(&content, value)?;
        last.insert(part.meta().id, (value.block, content));
        Ok((id, bytes))
    };
    places.into_iter().map(read).collect()
}

/// Takes the pages or chunks behind a head that no newer part has; how many of them have bytes.
fn gather_from(
    part: &Arc<PartReader>,
    cursor: &mut PartCursor<'_>,
    head: RowKind,
    chunks: &mut Chunks,
) -> Result<u64> {
    let mut live = 0;
    loop {
        cursor.advance()?;
        let Some(RowKind::Chunk { generation, id, value }) = cursor.kind() else {
            return Ok(live);
        };
        // Chunks of another incarnation are left-overs.
        if Some(generation) != head.generation() || chunks.contains_key(&id) {
            continue;
        }
        if let RowKind::Paged { len, .. } = head {
            let expected_bytes = page_bytes(len, id);
            // So are pages beyond the end.
            if expected_bytes == 0 {
                continue;
            }
            if u64::from(value.len) != expected_bytes {
                return Err(part.damaged(value.block.offset, "a page has a wrong length"));
            }
        }
        live += u64::from(value.len > 0);
        chunks.insert(id, ChunkAt { part: part.clone(), value });
    }
}

fn live_meta(row: RowKind) -> Option<LiveMeta> {
    let kind = row.value_kind()?;
    let (raw, len) = match row {
        RowKind::Paged { raw, len, .. } => (raw, len),
        RowKind::Chunked(head) => (false, head.len),
        RowKind::String { raw, value, .. } => (raw, u64::from(value.len)),
        _ => (false, u64::from(row.value().unwrap_or_default().len)),
    };
    let (expire_at_ms, generation) = (row.expire_at_ms(), row.generation());
    Some(LiveMeta { expire_at_ms, raw, len, kind, generation })
}
