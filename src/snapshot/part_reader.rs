//! An open part: metadata in memory, blocks read one by one through positional reads, so that a bad
//! disk is an error for one key and a page fault never stalls a worker.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::block_cache::BlockCache;
use super::filter::{self, Filter};
use super::part_path;
use crate::error::{DecodeError, Error, Result};
use crate::format::manifest::PartMeta;
use crate::format::part::{FOOTER_BYTES, Footer, HEADER_BYTES, Header, Place, Section, VERSION};
use crate::format::part_block::{self, BlockAt, BlockKind, crc_at};
use crate::format::part_index::{
    Deadline, DeadlineEntry, KeyEntry, SlotCount, decode_counts, decode_deadline_index,
    decode_deadline_rows, decode_key_index,
};
use crate::format::part_rows::{KeyBlock, ValueAt};
use crate::io::{File, OpenMode, Storage};
use crate::types::DatabaseId;

/// Whether blocks go through the cache: lookups do, passes over a whole part do not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Caching {
    /// Ask the cache and fill it.
    Keep,
    /// Ask the cache, but do not fill it.
    Pass,
}

/// A part that can be asked.
pub struct PartReader {
    storage: Arc<dyn Storage>,
    file: Arc<dyn File>,
    path: PathBuf,
    meta: PartMeta,
    header: Header,
    footer: Footer,
    key_index: Vec<KeyEntry>,
    deadline_index: Vec<DeadlineEntry>,
    counts: Bytes,
    pub(super) filter: Filter,
    cache: Option<Arc<BlockCache>>,
    obsolete: AtomicBool,
}

impl PartReader {
    /// Opens the part that a MANIFEST names and checks all its metadata. Blocks are not read.
    ///
    /// # Errors
    /// When it is missing, damaged, of another database or not the one that was installed.
    pub fn open(
        storage: &Arc<dyn Storage>,
        database: DatabaseId,
        meta: &PartMeta,
        cache: Option<Arc<BlockCache>>,
    ) -> Result<PartReader> {
        let part = PartReader::open_unlisted(storage, meta.id, meta.run, cache)?;
        if part.header.database != database {
            return Err(part.damaged(24, "belongs to another database"));
        }
        if part.meta != *meta {
            return Err(part.damaged(0, "not the part that the MANIFEST names"));
        }
        Ok(part)
    }

    /// Opens a part that no MANIFEST vouches for, as the inspector does.
    ///
    /// # Errors
    /// When it is missing or damaged.
    pub fn open_unlisted(
        storage: &Arc<dyn Storage>,
        id: u64,
        run: u64,
        cache: Option<Arc<BlockCache>>,
    ) -> Result<PartReader> {
        let path = part_path(id);
        let shown = storage.display_path(&path);
        let io = |op| move |source| Error::io(op, &shown.clone(), source);
        let file = storage.open(&path, OpenMode::Read).map_err(io.clone()("open"))?;
        let file_bytes = file.len().map_err(io("read"))?;
        let shown = storage.display_path(&path);
        let raw = RawPart { file: &*file, shown, id };
        let header = raw.header()?;
        let (footer, encoded) = raw.footer(file_bytes)?;
        let [counts, key_index, deadline_index, filter] = raw.sections(&footer)?;
        let wrong = |section: Section| {
            let shown = &raw.shown;
            move |error: DecodeError| Error::corrupt(shown, section.offset, &error)
        };
        decode_counts(&counts, |_| ()).map_err(wrong(footer.counts))?;
        let first = HEADER_BYTES as u64;
        let key_index = decode_key_index(&key_index, first, footer.blocks_end)
            .map_err(wrong(footer.key_index))?;
        let deadlines_end = footer.counts.offset;
        let deadline_index =
            decode_deadline_index(&deadline_index, footer.blocks_end, deadlines_end)
                .map_err(wrong(footer.deadline_index))?;
        let filter = Filter::decode(filter).map_err(wrong(footer.filter))?;
        Ok(PartReader {
            meta: footer.meta(run, file_bytes, &encoded),
            storage: storage.clone(),
            file,
            path,
            header,
            footer,
            key_index,
            deadline_index,
            counts,
            filter,
            cache,
            obsolete: AtomicBool::new(false),
        })
    }

    /// What the MANIFEST says of it.
    pub fn meta(&self) -> &PartMeta {
        &self.meta
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The footer.
    pub fn footer(&self) -> &Footer {
        &self.footer
    }

    /// Where the key blocks begin.
    pub fn key_index(&self) -> &[KeyEntry] {
        &self.key_index
    }

    /// Where the deadline blocks begin.
    pub fn deadline_index(&self) -> &[DeadlineEntry] {
        &self.deadline_index
    }

    /// Memory of the metadata, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.filter.memory_bytes()
            + self.counts.len()
            + self.key_index.len() * size_of::<KeyEntry>()
            + self.deadline_index.len() * size_of::<DeadlineEntry>()
    }

    /// The file is unlinked when the last handle drops: no MANIFEST that is kept names it any more.
    pub fn mark_obsolete(&self) {
        self.obsolete.store(true, Ordering::Release);
    }

    /// Whether a key of this place may be here; false is certain. `hash` is that of the place.
    pub fn may_contain(&self, place: Place, hash: u64) -> bool {
        self.meta.row_count > 0
            && (self.meta.min..=self.meta.max).contains(&place)
            && self.filter.may_contain(hash)
    }

    /// The same for a place alone.
    pub fn may_contain_place(&self, place: Place) -> bool {
        self.may_contain(place, filter::hash(place))
    }

    /// Hands out the exact counts of the slots that this part knows.
    pub fn counts(&self, each: impl FnMut(SlotCount)) {
        decode_counts(&self.counts, each).expect("counts were checked when the part was opened");
    }

    /// The part is damaged at a byte.
    pub(super) fn damaged(&self, offset: u64, reason: &'static str) -> Error {
        let shown = self.storage.display_path(&self.path);
        Error::corrupt(&shown, offset, &DecodeError::new(0, reason))
    }

    /// The content of a block that an index or a key block names.
    pub(super) fn block(&self, kind: BlockKind, at: BlockAt, caching: Caching) -> Result<Bytes> {
        let id = self.meta.id;
        if let Some(cache) = &self.cache
            && let Some(content) = cache.get(id, at.offset)
        {
            return Ok(content);
        }
        let shown = || self.storage.display_path(&self.path);
        // The bound was checked against the file's length when the place was decoded (D11).
        let mut bytes = vec![0; at.total_bytes as usize];
        let read = self.file.read_at(&mut bytes, at.offset);
        let length = read.map_err(|source| Error::io("read", &shown(), source))?;
        bytes.truncate(length);
        let content = part_block::decode(id, at.offset, kind, Bytes::from(bytes))
            .map_err(|error| Error::corrupt(&shown(), at.offset, &error))?;
        if let Some(cache) = &self.cache
            && caching == Caching::Keep
        {
            cache.insert(id, at.offset, content.clone());
        }
        Ok(content)
    }

    /// Key block `index` of the key index.
    pub(super) fn key_block(&self, index: usize, caching: Caching) -> Result<KeyBlock> {
        let entry = &self.key_index[index];
        let content = self.block(BlockKind::Key, entry.block, caching)?;
        let block = KeyBlock::decode(content, self.footer.blocks_end)
            .map_err(|error| self.wrong_content(entry.block, &error))?;
        match (block.keyspace(), block.first_position()) == (entry.keyspace, entry.first) {
            true => Ok(block),
            false => Err(self.damaged(entry.block.offset, "key block and index differ")),
        }
    }

    /// An error within the content of a block; its offset counts from the content's start.
    pub(super) fn wrong_content(&self, at: BlockAt, error: &DecodeError) -> Error {
        self.damaged(at.offset, error.reason)
    }

    /// The bytes of a value.
    pub(super) fn value(&self, value: ValueAt, caching: Caching) -> Result<Bytes> {
        if value.len == 0 {
            return Ok(Bytes::new());
        }
        let content = self.block(BlockKind::Value, value.block, caching)?;
        self.cut_value(&content, value)
    }

    /// A value out of the content of its block.
    pub(super) fn cut_value(&self, content: &Bytes, value: ValueAt) -> Result<Bytes> {
        let start = value.start as usize;
        let end = start + value.len as usize;
        if end > content.len() {
            return Err(self.damaged(value.block.offset, "value reaches beyond its block"));
        }
        // A slice keeps the whole block in memory; a small value is better copied.
        match value.len as usize * 2 < content.len() {
            true => Ok(Bytes::copy_from_slice(&content[start..end])),
            false => Ok(content.slice(start..end)),
        }
    }

    /// Hands out the rows of the deadline index after `after`, up to `until_ms`, in order, while
    /// `take` wants more. Only blocks with such rows are read.
    ///
    /// # Errors
    /// When a block cannot be read or is damaged.
    pub fn due(
        &self,
        after: Option<Deadline>,
        until_ms: u64,
        mut take: impl FnMut(Deadline) -> bool,
    ) -> Result<()> {
        let index = &self.deadline_index;
        let first = index.partition_point(|entry| Some(entry.first) <= after).saturating_sub(1);
        for entry in &index[first..] {
            if entry.first.deadline_ms > until_ms {
                break;
            }
            let content = self.block(BlockKind::Deadline, entry.block, Caching::Keep)?;
            let mut goes_on = true;
            decode_deadline_rows(&content, |row| {
                if Some(row) > after {
                    goes_on = row.deadline_ms <= until_ms && take(row);
                }
                goes_on
            })
            .map_err(|error| self.wrong_content(entry.block, &error))?;
            if !goes_on {
                break;
            }
        }
        Ok(())
    }
}

impl Drop for PartReader {
    fn drop(&mut self) {
        if let Some(cache) = &self.cache {
            cache.remove_part(self.meta.id);
        }
        if self.obsolete.load(Ordering::Acquire) {
            // What cannot be removed now is swept at the next start.
            let _ = self.storage.remove(&self.path);
        }
    }
}

/// A part whose metadata is not read yet.
struct RawPart<'a> {
    file: &'a dyn File,
    shown: PathBuf,
    id: u64,
}

impl RawPart<'_> {
    /// Reads a range that lies within the file.
    fn read(&self, offset: u64, len: u64) -> Result<Bytes> {
        let mut bytes = vec![0; len as usize];
        let read = self.file.read_at(&mut bytes, offset);
        let length = read.map_err(|source| Error::io("read", &self.shown, source))?;
        match length == bytes.len() {
            true => Ok(Bytes::from(bytes)),
            false => Err(self.damaged(offset, "file ends too early")),
        }
    }

    fn damaged(&self, offset: u64, reason: &'static str) -> Error {
        Error::corrupt(&self.shown, offset, &DecodeError::new(0, reason))
    }

    fn header(&self) -> Result<Header> {
        let bytes = self.read(0, HEADER_BYTES as u64)?;
        let header =
            Header::decode(&bytes).map_err(|error| Error::corrupt(&self.shown, 0, &error))?;
        if let Some(found) = header.unsupported() {
            return Err(Error::UnsupportedFormat {
                path: self.shown.clone(),
                found,
                supported: VERSION,
            });
        }
        match header.part_id == self.id {
            true => Ok(header),
            false => Err(self.damaged(40, "file of another part")),
        }
    }

    fn footer(&self, file_bytes: u64) -> Result<(Footer, [u8; FOOTER_BYTES])> {
        let least = (HEADER_BYTES + FOOTER_BYTES) as u64;
        if file_bytes < least {
            return Err(self.damaged(file_bytes, "file ends too early"));
        }
        let offset = file_bytes - FOOTER_BYTES as u64;
        let bytes = self.read(offset, FOOTER_BYTES as u64)?;
        let footer = Footer::decode(self.id, offset, &bytes)
            .map_err(|error| Error::corrupt(&self.shown, offset, &error))?;
        let encoded = bytes[..].try_into().expect("a footer was read");
        Ok((footer, encoded))
    }

    /// Reads all sections at once and checks them with their padding.
    fn sections(&self, footer: &Footer) -> Result<[Bytes; 4]> {
        let sections = footer.sections();
        let start = sections[0].offset;
        let padded = |section: &Section| section.padded_bytes().expect("checked with the footer");
        let all = self.read(start, sections.iter().map(padded).sum())?;
        for section in &sections {
            let from = (section.offset - start) as usize;
            let to = from + section.len as usize;
            if crc_at(self.id, section.offset, &all[from..to]) != section.crc {
                return Err(self.damaged(section.offset, "section checksum does not match"));
            }
            let end = from + padded(section) as usize;
            if all[to..end].iter().any(|&byte| byte != 0) {
                return Err(self.damaged(start + to as u64, "padding is not zero"));
            }
        }
        Ok(sections.map(|section| {
            let from = (section.offset - start) as usize;
            all.slice(from..from + section.len as usize)
        }))
    }
}
