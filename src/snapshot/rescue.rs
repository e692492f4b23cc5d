//! What is left of a damaged part, as another part of the same run. For a repair alone.
//!
//! Blocks are found by walking the file: each has its length in its header and a checksum over its
//! place, so neither indexes nor footer are needed, and those are made anew. A row whose value
//! cannot be read stays as one that says that the value is gone: no older row may come to light in
//! its place. Rows of a key block that cannot be read leave a hole.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::part_path;
use super::part_reader::PartReader;
use super::part_writer::PartWriter;
use super::{Place, RowKey};
use crate::error::{Error, Result};
use crate::format::manifest::PartMeta;
use crate::format::part::{FOOTER_BYTES, Footer, HEADER_BYTES, Header, VERSION};
use crate::format::part_block::{
    self, ALIGN_BYTES, BLOCK_HEADER_BYTES, BlockAt, BlockHeader, BlockKind,
};
use crate::format::part_rows::{KeyBlock, Row, RowKind, ValueAt};
use crate::io::{File, OpenMode, Storage};
use crate::types::{ChunkId, DatabaseId, KeyspaceId, Lsn, Position};

/// A damaged part and what takes its place.
pub struct Rescue<'a> {
    /// The directory.
    pub storage: &'a Arc<dyn Storage>,
    /// The database.
    pub database: DatabaseId,
    /// The part, as the MANIFEST names it.
    pub damaged: PartMeta,
    /// The same, open, where it can be opened.
    pub open: Option<Arc<PartReader>>,
    /// Id of the part to write.
    pub id: u64,
    /// When it is written, Unix milliseconds.
    pub wall_ms: u64,
    /// The head that the other parts have for chunks of this key and generation.
    pub head_of: &'a dyn Fn(&RowKey<'_>, u64) -> Result<Option<RowKind>>,
}

/// What became of a damaged part.
#[derive(Default)]
pub struct Rescued {
    /// The part with what is left; none when nothing is.
    pub part: Option<PartMeta>,
    /// Rows whose value is lost.
    pub hurt: Vec<HurtRow>,
    /// Where rows are lost that nobody can name.
    pub holes: Vec<Hole>,
    /// How many these are.
    pub lost_rows: u64,
}

/// A row whose value is lost.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct HurtRow {
    /// Keyspace and position.
    pub place: Place,
    /// The key.
    pub key: Box<[u8]>,
    /// LSN of the row.
    pub lsn: Lsn,
    /// Offset of the value's block in the file.
    pub offset: u64,
    /// Whether it is a page or chunk of a larger value.
    pub is_chunk: bool,
}

/// Places where a part had rows that are lost.
#[derive(Clone)]
pub struct Hole {
    /// First and last place that may be concerned.
    pub places: (Place, Place),
    /// First byte in the file that tells nothing any more.
    pub offset: u64,
    /// Run of the part: rows of newer runs are not concerned.
    pub run: u64,
    /// The part, where its filter is known.
    pub open: Option<Arc<PartReader>>,
}

impl Hole {
    /// Whether the part may have had a row of a place; false is certain.
    pub fn may_hide(&self, place: Place) -> bool {
        let (first, last) = self.places;
        let inside = (first..=last).contains(&place);
        inside && self.open.as_ref().is_none_or(|part| part.may_contain_place(place))
    }
}

/// Whether a failed read means that the medium has lost the bytes.
pub fn is_lost_medium(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(libc::EIO)
}

/// Saves what is left of a part. When this returns, the new part is durable.
///
/// # Errors
/// When the part cannot be judged (it is of a newer version, or cannot be read for another reason
/// than damage), or the new one cannot be written.
pub fn rescue(plan: &Rescue<'_>) -> Result<Rescued> {
    let path = part_path(plan.damaged.id);
    let shown = plan.storage.display_path(&path);
    let file = match plan.storage.open(&path, OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(all_lost(plan)),
        Err(error) => return Err(Error::io("open", &shown, error)),
    };
    let len = file.len().map_err(|source| Error::io("read", &shown, source))?;
    let mut raw = RawBlocks { file: &*file, shown, id: plan.damaged.id, end: len };
    let Some(footer) = raw.identify(plan, len)? else {
        return Ok(all_lost(plan));
    };
    raw.end = footer.map_or(len, |footer| footer.blocks_end);
    let blocks = raw.find()?;
    let mut copy = Copy {
        plan,
        raw: &raw,
        blocks: &blocks,
        writer: None,
        last: None,
        head: None,
        value: None,
        claimed: BTreeSet::new(),
        spans: Vec::new(),
        row_count: 0,
        rescued: Rescued::default(),
    };
    for (&offset, found) in blocks.iter().filter(|(_, found)| found.kind == BlockKind::Key) {
        copy.key_block(BlockAt { offset, total_bytes: found.total_bytes })?;
    }
    copy.finish(footer.is_some())
}

/// A part of which nothing can be used.
fn all_lost(plan: &Rescue<'_>) -> Rescued {
    let PartMeta { min, max, run, row_count, .. } = plan.damaged;
    let hole = Hole { places: (min, max), offset: 0, run, open: None };
    Rescued { holes: vec![hole], lost_rows: row_count, ..Rescued::default() }
}

/// A block whose checksum holds.
struct Found {
    total_bytes: u32,
    kind: BlockKind,
    raw_bytes: u32,
}

/// The blocks of a file whose indexes cannot be relied upon.
struct RawBlocks<'a> {
    file: &'a dyn File,
    shown: PathBuf,
    id: u64,
    /// Blocks end here, or at the file's end where nobody knows.
    end: u64,
}

impl RawBlocks<'_> {
    /// Reads up to `len` bytes, none where the medium has lost them.
    fn read(&self, offset: u64, len: usize) -> Result<Bytes> {
        let mut bytes = vec![0; len];
        match self.file.read_at(&mut bytes, offset) {
            Ok(count) => bytes.truncate(count),
            Err(error) if is_lost_medium(&error) => bytes.clear(),
            Err(source) => return Err(Error::io("read", &self.shown, source)),
        }
        Ok(Bytes::from(bytes))
    }

    /// Whether this is the part that the MANIFEST names, as far as header and footer tell; then the
    /// footer, if it can be read. None for another part's file.
    fn identify(&self, plan: &Rescue<'_>, len: u64) -> Result<Option<Option<Footer>>> {
        if let Ok(header) = Header::decode(&self.read(0, HEADER_BYTES)?) {
            if let Some(found) = header.unsupported() {
                let path = self.shown.clone();
                return Err(Error::UnsupportedFormat { path, found, supported: VERSION });
            }
            if (header.database, header.part_id) != (plan.database, self.id) {
                return Ok(None);
            }
        }
        let Some(offset) = len.checked_sub(FOOTER_BYTES as u64) else {
            return Ok(Some(None));
        };
        let encoded = self.read(offset, FOOTER_BYTES)?;
        let footer = Footer::decode(self.id, offset, &encoded).ok();
        Ok(match (footer, <&[u8; FOOTER_BYTES]>::try_from(&encoded[..])) {
            (Some(footer), Ok(encoded)) => {
                let meta = footer.meta(plan.damaged.run, len, encoded);
                (meta == plan.damaged).then_some(Some(footer))
            }
            _ => Some(None),
        })
    }

    /// All blocks whose checksum holds, by offset.
    fn find(&self) -> Result<BTreeMap<u64, Found>> {
        let (mut blocks, mut at) = (BTreeMap::new(), HEADER_BYTES as u64);
        while at < self.end {
            if let Some(found) = self.block_at(at)? {
                at += u64::from(found.total_bytes);
                blocks.insert(at - u64::from(found.total_bytes), found);
                continue;
            }
            // Mostly the length still holds, and the next block stands right behind.
            at = match self.stated_end(at)? {
                Some(behind) if self.block_at(behind)?.is_some() => behind,
                _ => at + ALIGN_BYTES as u64,
            };
        }
        Ok(blocks)
    }

    /// Where the block at an offset says that it ends, if it can say so.
    fn stated_end(&self, offset: u64) -> Result<Option<u64>> {
        let header = BlockHeader::decode(&self.read(offset, BLOCK_HEADER_BYTES)?);
        let end = header.ok().map(|header| offset + header.total_bytes() as u64);
        Ok(end.filter(|end| *end < self.end))
    }

    fn block_at(&self, offset: u64) -> Result<Option<Found>> {
        let header = match BlockHeader::decode(&self.read(offset, BLOCK_HEADER_BYTES)?) {
            Ok(header) if offset + header.total_bytes() as u64 <= self.end => header,
            _ => return Ok(None),
        };
        let kinds = [BlockKind::Value, BlockKind::Key, BlockKind::Deadline];
        let Some(kind) = kinds.into_iter().find(|kind| *kind as u8 == header.kind) else {
            return Ok(None);
        };
        let total_bytes = header.total_bytes() as u32;
        let content = self.content(kind, BlockAt { offset, total_bytes })?;
        Ok(content.map(|content| Found { total_bytes, kind, raw_bytes: content.len() as u32 }))
    }

    /// The content of a block, none where it is damaged. Padding is not asked about: nobody reads
    /// it, and it is written anew.
    fn content(&self, kind: BlockKind, at: BlockAt) -> Result<Option<Bytes>> {
        let mut bytes = self.read(at.offset, at.total_bytes as usize)?.to_vec();
        if let Ok(header) = BlockHeader::decode(&bytes) {
            let end = BLOCK_HEADER_BYTES + header.stored_bytes as usize;
            bytes.iter_mut().skip(end).for_each(|byte| *byte = 0);
        }
        Ok(part_block::decode(self.id, at.offset, kind, Bytes::from(bytes)).ok())
    }
}

/// Places that an intact key block begins and ends with.
struct Span {
    offset: u64,
    first: Place,
    last: Place,
}

/// The head under which chunks are written.
struct Head {
    generation: u64,
    next_chunk: Option<ChunkId>,
}

/// Writes the rows of all intact key blocks into the new part.
struct Copy<'a> {
    plan: &'a Rescue<'a>,
    raw: &'a RawBlocks<'a>,
    blocks: &'a BTreeMap<u64, Found>,
    writer: Option<PartWriter>,
    /// The key whose rows came last.
    last: Option<(KeyspaceId, Position, Vec<u8>)>,
    head: Option<Head>,
    /// The last value block read.
    value: Option<(u64, Bytes)>,
    /// Blocks that are intact key blocks, or that such a one names.
    claimed: BTreeSet<(u64, u64)>,
    spans: Vec<Span>,
    row_count: u64,
    rescued: Rescued,
}

impl Copy<'_> {
    fn key_block(&mut self, at: BlockAt) -> Result<()> {
        let Some(content) = self.raw.content(BlockKind::Key, at)? else {
            return Ok(());
        };
        let Ok(block) = KeyBlock::decode(content, self.raw.end) else {
            return Ok(());
        };
        // All rows must be sound before any is taken: half a block would leave a hole nobody sees.
        let (mut rows, mut cursor) = (Vec::new(), block.start());
        loop {
            match block.next(&mut cursor) {
                Ok(Some(row)) => rows.push(row),
                Ok(None) => break,
                Err(_) => return Ok(()),
            }
        }
        let place = |row: &Row| (block.keyspace(), row.position);
        let (Some(first), Some(last)) = (rows.first().map(place), rows.last().map(place)) else {
            return Ok(());
        };
        let claims = block.values().iter().chain([&at]);
        self.claimed.extend(claims.map(|at| (at.offset, at.offset + u64::from(at.total_bytes))));
        self.spans.push(Span { offset: at.offset, first, last });
        for row in rows {
            let (keyspace, position) = place(&row);
            let key = RowKey { keyspace, position, key: block.key(&row) };
            self.row(&key, row.lsn, row.kind)?;
        }
        Ok(())
    }

    /// Takes over a row, or says that its value is gone.
    fn row(&mut self, key: &RowKey<'_>, lsn: Lsn, kind: RowKind) -> Result<()> {
        let last = self.last.as_ref().map(|(keyspace, position, key)| RowKey {
            keyspace: *keyspace,
            position: *position,
            key,
        });
        let (is_next, is_same) = (last < Some(*key), last == Some(*key));
        if let RowKind::Chunk { generation, id, .. } = kind {
            let fits = |head: &Head| {
                head.generation == generation && head.next_chunk.is_some_and(|next| id >= next)
            };
            if !is_same && is_next {
                // Its own head is lost; where another part has one, the chunk still counts.
                if let Some(head) = (self.plan.head_of)(key, generation)? {
                    self.head(key, lsn, head, &[])?;
                }
            }
            let stands = self.last.as_ref().is_some_and(|last| last.2 == key.key);
            if !stands || !self.head.as_ref().is_some_and(fits) {
                return Ok(());
            }
        } else if !is_next {
            // Sound to its checksum, and still out of order (D11).
            return Ok(());
        }
        self.row_count += 1;
        let bytes = match kind.value() {
            Some(value) => self.value(value)?,
            None => Some(Bytes::new()),
        };
        if bytes.is_none() {
            self.rescued.hurt.push(HurtRow {
                place: key.place(),
                key: key.key.into(),
                lsn,
                offset: kind.value().map_or(0, |value| value.block.offset),
                is_chunk: kind.is_chunk(),
            });
        }
        match (kind, &bytes) {
            (RowKind::Chunk { id, .. }, bytes) => {
                let head = self.head.as_mut().expect("it was looked at");
                head.next_chunk = id.checked_add(1);
                let writer = self.writer.as_mut().expect("a head was written");
                writer.push_chunk(id, lsn, bytes.as_deref().unwrap_or_default())
            }
            (kind, Some(bytes)) => self.head(key, lsn, kind, bytes),
            (_, None) => self.head(key, lsn, RowKind::Tombstone, &[]),
        }
    }

    fn head(&mut self, key: &RowKey<'_>, lsn: Lsn, kind: RowKind, bytes: &[u8]) -> Result<()> {
        self.head = kind.generation().map(|generation| Head { generation, next_chunk: Some(0) });
        self.last = Some((key.keyspace, key.position, key.key.to_vec()));
        let writer = match &mut self.writer {
            Some(writer) => writer,
            slot => {
                let Rescue { storage, database, id, wall_ms, .. } = *self.plan;
                slot.insert(PartWriter::create(storage.clone(), database, id, wall_ms)?)
            }
        };
        writer.push_head(key, lsn, kind, bytes)
    }

    /// The bytes of a value, none where they are lost.
    fn value(&mut self, at: ValueAt) -> Result<Option<Bytes>> {
        if at.len == 0 {
            return Ok(Some(Bytes::new()));
        }
        let ValueAt { block, start, len } = at;
        let range = start as usize..start as usize + len as usize;
        let is_here = |found: &&Found| {
            let kind = found.kind == BlockKind::Value && found.total_bytes == block.total_bytes;
            kind && range.end <= found.raw_bytes as usize
        };
        if self.blocks.get(&block.offset).filter(is_here).is_none() {
            return Ok(None);
        }
        if self.value.as_ref().is_none_or(|(offset, _)| *offset != block.offset) {
            let content = self.raw.content(BlockKind::Value, block)?;
            self.value = content.map(|content| (block.offset, content));
        }
        Ok(self.value.as_ref().map(|(_, content)| content.slice(range)))
    }

    fn finish(mut self, knows_end: bool) -> Result<Rescued> {
        let PartMeta { run, row_count, .. } = self.plan.damaged;
        self.rescued.lost_rows = row_count.saturating_sub(self.row_count);
        if self.rescued.lost_rows > 0 {
            self.find_holes(knows_end);
        }
        self.rescued.part = match self.writer.take() {
            Some(writer) => Some(writer.finish(run)?),
            None => None,
        };
        Ok(self.rescued)
    }

    /// Bytes that no intact key block is or names were a key block, and its values, if rows are
    /// missing.
    fn find_holes(&mut self, knows_end: bool) {
        let PartMeta { min, max, run, .. } = self.plan.damaged;
        let mut at = HEADER_BYTES as u64;
        let mut gaps = Vec::new();
        for (start, end) in &self.claimed {
            if *start > at {
                gaps.push((at, *start));
            }
            at = at.max(*end);
        }
        if at < self.raw.end && (knows_end || gaps.is_empty()) {
            gaps.push((at, self.raw.end));
        }
        for (start, end) in gaps {
            let before = self.spans.iter().rev().find(|span| span.offset < start);
            let behind = self.spans.iter().find(|span| span.offset >= end);
            let first = before.map_or(min, |span| span.last);
            let last = behind.map_or(max, |span| span.first);
            let open = self.plan.open.clone();
            self.rescued.holes.push(Hole { places: (first, last), offset: start, run, open });
        }
    }
}
