//! Cold lookups: what the parts say of one key, with or without its value.
//!
//! Runs are ordered by age, so the newest part that has a row for the key decides, and a filter
//! keeps the others from being read. Only the pages of a paged string are gathered from several.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::part_cursor::PartCursor;
use super::part_reader::{Caching, PartReader};
use super::part_set::PartSet;
use super::{RowKey, filter};
use crate::error::Result;
use crate::format::part_rows::{RowKind, ValueAt};
use crate::limits::STRING_PAGE_BYTES;
use crate::types::{KeyspaceId, Lsn, Position};

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
    /// Length of the string in bytes.
    pub len: u64,
    /// LSN of the creation of a paged string.
    pub generation: Option<Lsn>,
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
    pages: Vec<PageAt>,
}

/// A page in a part.
#[derive(Clone)]
struct PageAt {
    part: Arc<PartReader>,
    value: ValueAt,
}

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
fn page_bytes(len: u64, number: u64) -> u64 {
    let page = STRING_PAGE_BYTES as u64;
    len.saturating_sub(number.saturating_mul(page)).min(page)
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
            RowKind::Paged { .. } | RowKind::Page { .. } => {
                let head = self.gather(&key, found)?;
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
                self.gather(&key, found).map(Some)
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

    /// Finds all pages of the string whose newest head is `found`.
    fn gather(&self, key: &RowKey<'_>, found: Found<'_>) -> Result<PagedHead> {
        let newest = found.cursor.part();
        let RowKind::Paged { expire_at_ms, raw, len, generation } = found.kind else {
            return Err(newest.damaged(0, "a page has no head"));
        };
        let wanted = len.div_ceil(STRING_PAGE_BYTES as u64);
        let mut pages = BTreeMap::new();
        let (mut part_index, mut cursor) = (found.part_index, found.cursor);
        loop {
            let part = &self.parts()[part_index];
            self.gather_from(part, &mut cursor, generation, len, &mut pages)?;
            if pages.len() as u64 == wanted {
                break;
            }
            let older = self.find(key, part_index + 1)?;
            let same = older.filter(|older| is_head_of(older.kind, generation));
            let Some(older) = same else {
                return Err(newest.damaged(0, "a page of a string is in no part"));
            };
            (part_index, cursor) = (older.part_index, older.cursor);
        }
        Ok(PagedHead {
            lsn: found.lsn,
            expire_at_ms,
            raw,
            len,
            generation,
            pages: pages.into_values().collect(),
        })
    }

    /// Takes the pages behind a head that no newer part has.
    fn gather_from(
        &self,
        part: &Arc<PartReader>,
        cursor: &mut PartCursor<'_>,
        head_generation: Lsn,
        len: u64,
        pages: &mut BTreeMap<u32, PageAt>,
    ) -> Result<()> {
        loop {
            cursor.advance()?;
            let Some(RowKind::Page { generation, number, value }) = cursor.kind() else {
                return Ok(());
            };
            let expected_bytes = page_bytes(len, u64::from(number));
            // Pages of another incarnation, or beyond the end, are left-overs.
            if generation != head_generation || expected_bytes == 0 || pages.contains_key(&number) {
                continue;
            }
            if u64::from(value.len) != expected_bytes {
                return Err(part.damaged(value.block.offset, "a page has a wrong length"));
            }
            let part = part.clone();
            pages.insert(number, PageAt { part, value });
        }
    }
}

fn is_head_of(kind: RowKind, wanted: Lsn) -> bool {
    matches!(kind, RowKind::Paged { generation, .. } if generation == wanted)
}

fn live_meta(kind: RowKind) -> Option<LiveMeta> {
    match kind {
        RowKind::Tombstone | RowKind::Page { .. } => None,
        RowKind::String { expire_at_ms, raw, value } => {
            Some(LiveMeta { expire_at_ms, raw, len: u64::from(value.len), generation: None })
        }
        RowKind::Paged { expire_at_ms, raw, len, generation } => {
            Some(LiveMeta { expire_at_ms, raw, len, generation: Some(generation) })
        }
    }
}
