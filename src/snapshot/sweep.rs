//! Sweeping: one part is written anew without the rows that newer parts hide. A merge needs room
//! for all that its inputs hold; a sweep needs it for what stays of one part, and gives more back.

use std::ops::ControlFlow;
use std::sync::Arc;

use smallvec::SmallVec;

use super::RowKey;
use super::merge::{chunk_of, is_kept};
use super::part_cursor::PartCursor;
use super::part_reader::{Caching, PartReader};
use super::part_set::live_counts;
use super::part_writer::PartWriter;
use crate::error::Result;
use crate::format::manifest::PartMeta;
use crate::format::part_rows::RowKind;
use crate::types::{ChunkId, KeyspaceId, Lsn, Position};

/// What a row takes in a part beside its key and value, about, in bytes.
const ROW_BYTES: u64 = 16;

/// Which part to sweep.
pub struct Sweep<'a> {
    /// The part.
    pub part: &'a Arc<PartReader>,
    /// The parts of newer runs.
    pub newer: &'a [Arc<PartReader>],
    /// Whether no part is older, so that tombstones can go.
    pub bottom: bool,
    /// Whether a keyspace is dead by the installed MANIFEST.
    pub is_dead: &'a dyn Fn(KeyspaceId) -> bool,
}

/// What a sweep would leave and take, before compression, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Survey {
    /// Rows that stay.
    pub live_bytes: u64,
    /// Rows that nobody can see any more.
    pub dead_bytes: u64,
}

/// Called after about every block; may wait or break.
pub type Pace<'a> = &'a mut dyn FnMut() -> ControlFlow<()>;

type Holders<'c, 'p> = SmallVec<[&'c mut PartCursor<'p>; 8]>;

impl Sweep<'_> {
    /// Looks what there would be to gain; reads keys and no values. None when `pace` broke.
    ///
    /// # Errors
    /// When a part is damaged.
    pub fn survey(&self, pace: Pace<'_>) -> Result<Option<Survey>> {
        let mut survey = Survey::default();
        let complete = self.walk(pace, &mut |cursor, key, stays| {
            let value = cursor.kind().and_then(|kind| kind.value()).unwrap_or_default();
            let bytes = ROW_BYTES + key.key.len() as u64 + u64::from(value.len);
            *(if stays { &mut survey.live_bytes } else { &mut survey.dead_bytes }) += bytes;
            Ok(())
        })?;
        Ok(complete.then_some(survey))
    }

    /// Writes what stays, as a part of the same run. It is durable, but no MANIFEST names it yet.
    /// None when `pace` broke; then, as after an error, no file is left.
    ///
    /// # Errors
    /// When a part is damaged or the new one cannot be written.
    pub fn write(&self, mut writer: PartWriter, pace: Pace<'_>) -> Result<Option<PartMeta>> {
        let complete = self.walk(pace, &mut |cursor, key, stays| {
            let Some((lsn, kind)) = cursor.row().map(|row| (row.lsn, row.kind)).filter(|_| stays)
            else {
                return Ok(());
            };
            let value = cursor.value(kind.value().unwrap_or_default())?;
            match kind {
                RowKind::Chunk { id, .. } => writer.push_chunk(id, lsn, &value),
                kind => writer.push_head(key, lsn, kind, &value),
            }
        })?;
        if !complete {
            return Ok(None);
        }
        writer.set_counts(live_counts(std::slice::from_ref(self.part), self.is_dead));
        writer.finish(self.part.meta().run).map(Some)
    }

    /// Shows `each` every row of the part, the cursor at it, with its key and whether it stays;
    /// false when `pace` broke.
    fn walk<'p>(
        &'p self,
        pace: Pace<'_>,
        each: &mut dyn FnMut(&mut PartCursor<'p>, &RowKey<'_>, bool) -> Result<()>,
    ) -> Result<bool> {
        let meta = self.part.meta();
        let mut cursor = PartCursor::seek(self.part, (0, Position(0)), Caching::Pass)?;
        let mut newer = Vec::new();
        for part in self.newer.iter().filter(|part| part.meta().max >= meta.min) {
            newer.push(PartCursor::seek(part, meta.min, Caching::Pass)?);
        }
        let mut bytes = Vec::new();
        while let Some(found) = cursor.key() {
            bytes.clear();
            bytes.extend_from_slice(found.key);
            let key = RowKey { key: &bytes, ..found };
            self.walk_key(&key, &mut cursor, &mut newer, each)?;
            let read = |cursors: &mut [PartCursor<'_>]| -> u64 {
                cursors.iter_mut().map(PartCursor::take_blocks_read).sum()
            };
            if cursor.take_blocks_read() + read(&mut newer) > 0 && pace().is_break() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn walk_key<'p>(
        &self,
        key: &RowKey<'_>,
        cursor: &mut PartCursor<'p>,
        newer: &mut [PartCursor<'p>],
        each: &mut dyn FnMut(&mut PartCursor<'p>, &RowKey<'_>, bool) -> Result<()>,
    ) -> Result<()> {
        let Some((lsn, kind)) = cursor.row().map(|row| (row.lsn, row.kind)) else {
            return Ok(());
        };
        if kind.is_chunk() {
            return Err(cursor.part().damaged(0, "a chunk has no head"));
        }
        let mut holders = Holders::new();
        let mut newest: Option<(Lsn, RowKind)> = None;
        for holder in newer {
            if !holder.find_key(key)? {
                continue;
            }
            let row = holder.row().map(|row| (row.lsn, row.kind));
            newest = newest.filter(|newest| Some(newest.0) >= row.map(|row| row.0)).or(row);
            holder.advance()?;
            holders.push(holder);
        }
        let head = newest.filter(|newest| newest.0 >= lsn).map_or(kind, |(_, newest)| newest);
        // The head of a collection stays for its chunks, though a newer one has the last word.
        let stays = match kind.generation() {
            _ if (self.is_dead)(key.keyspace) => false,
            Some(generation) => head.generation() == Some(generation),
            None if newest.is_some_and(|newest| newest.0 >= lsn) => false,
            None => !(self.bottom && kind == RowKind::Tombstone),
        };
        each(cursor, key, stays)?;
        cursor.advance()?;
        while let Some((id, lsn, generation, value)) = chunk_of(cursor) {
            let stays = stays
                && Some(generation) == head.generation()
                && is_kept(self.bottom, head, id, value)
                && !is_hidden(&mut holders, id, generation, lsn)?;
            each(cursor, key, stays)?;
            cursor.advance()?;
        }
        Ok(())
    }
}

/// Whether one of the newer parts has this page or chunk. Asked for ids in their order.
fn is_hidden(
    holders: &mut Holders<'_, '_>,
    id: ChunkId,
    generation: u64,
    lsn: Lsn,
) -> Result<bool> {
    let mut hidden = false;
    for holder in holders {
        while chunk_of(holder).is_some_and(|chunk| chunk.0 < id) {
            holder.advance()?;
        }
        hidden |= chunk_of(holder)
            .is_some_and(|(at, newer_lsn, of, _)| at == id && of == generation && newer_lsn >= lsn);
    }
    Ok(hidden)
}
