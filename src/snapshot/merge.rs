//! Compaction: several parts become fewer. The newest row of a key stays; chunks of dead
//! incarnations and rows of dead keyspaces go; tombstones go when nothing older is left that they
//! hide.
//!
//! Inputs are neighbours in age: where their ranges reach, no part outside them is of the run of an
//! input, or newer than one input and older than another. Whole runs always satisfy that. The
//! outputs take the run of the newest input.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use smallvec::SmallVec;

use super::RowKey;
use super::part_cursor::PartCursor;
use super::part_path;
use super::part_reader::{Caching, PartReader};
use super::part_set::{live_counts, newest_of_first};
use super::part_writer::PartWriter;
use crate::error::Result;
use crate::format::manifest::PartMeta;
use crate::format::part::Place;
use crate::format::part_rows::{RowKind, ValueAt};
use crate::io::Storage;
use crate::limits::STRING_PAGE_BYTES;
use crate::types::{ChunkId, KeyspaceId, Lsn, Position};

/// What to merge and how.
pub struct Merge<'a> {
    /// The parts.
    pub inputs: &'a [Arc<PartReader>],
    /// Whether no part outside the inputs is older than they are, so that tombstones can go.
    pub bottom: bool,
    /// Whether a keyspace is dead by the installed MANIFEST.
    pub is_dead: &'a dyn Fn(KeyspaceId) -> bool,
    /// A part is finished with the first key at which it reaches this size.
    pub part_bytes_max: u64,
    /// The directory, to take unwanted outputs back.
    pub storage: &'a Arc<dyn Storage>,
}

/// What a pacing callback is told.
#[derive(Clone, Copy, Debug, Default)]
pub struct MergeProgress {
    /// Blocks read since the last call.
    pub blocks: u64,
    /// Keys handled since the beginning.
    pub keys: u64,
}

/// Merges. `new_part` starts each output; `pace` is called after about every block and may wait or
/// break. The outputs are durable but no MANIFEST names them yet; none when `pace` broke.
///
/// # Errors
/// When an input is damaged or an output cannot be written. Like a break, that leaves no file.
pub fn merge(
    plan: &Merge<'_>,
    new_part: &mut dyn FnMut() -> Result<PartWriter>,
    pace: &mut dyn FnMut(MergeProgress) -> ControlFlow<()>,
) -> Result<Option<Vec<PartMeta>>> {
    let run = plan.inputs.iter().map(|part| part.meta().run).max().unwrap_or(0);
    let mut outputs =
        Outputs { plan, new_part, run, writer: None, finished: Vec::new(), complete: false };
    let mut inputs: Vec<&PartReader> = plan.inputs.iter().map(|part| &**part).collect();
    inputs.sort_by_key(|part| std::cmp::Reverse(part.meta().run));
    let mut cursors = Vec::with_capacity(inputs.len());
    for part in inputs {
        cursors.push(PartCursor::seek(part, (0, Position(0)), Caching::Pass)?);
    }
    let mut progress = MergeProgress::default();
    let mut last = LastKey::default();
    while let Some(newest) = newest_of_first(&cursors) {
        merge_key(plan, &mut cursors, newest, &mut last, &mut outputs)?;
        progress.keys += 1;
        progress.blocks += cursors.iter_mut().map(PartCursor::take_blocks_read).sum::<u64>();
        if progress.blocks > 0 && pace(progress).is_break() {
            return Ok(None);
        }
        progress.blocks = 0;
    }
    outputs.finish().map(Some)
}

/// The key that was merged last.
#[derive(Default)]
struct LastKey {
    place: Option<Place>,
    key: Vec<u8>,
}

impl LastKey {
    /// Goes on to a key; false when it is not behind the last one.
    fn advance(&mut self, next: &RowKey<'_>) -> bool {
        let last = self.place.map(|place| (place, &self.key[..]));
        let ordered = last < Some((next.place(), next.key));
        self.place = Some(next.place());
        self.key.clear();
        self.key.extend_from_slice(next.key);
        ordered
    }
}

/// Merges the rows of the key at `cursors[newest]`, which has its newest row.
fn merge_key(
    plan: &Merge<'_>,
    cursors: &mut [PartCursor<'_>],
    newest: usize,
    last: &mut LastKey,
    outputs: &mut Outputs<'_, '_>,
) -> Result<()> {
    let cursor = &mut cursors[newest];
    let (Some(found), Some(row)) = (cursor.key(), cursor.row()) else {
        return Ok(());
    };
    // An input may be sound to its checksums and still out of order (D11).
    if !last.advance(&found) {
        return Err(cursor.part().damaged(0, "keys are out of order"));
    }
    let (lsn, kind, (keyspace, position)) = (row.lsn, row.kind, found.place());
    let key = RowKey { keyspace, position, key: &last.key };
    let dropped = (plan.is_dead)(keyspace) || (plan.bottom && kind == RowKind::Tombstone);
    if !dropped {
        let value = match kind {
            RowKind::Chunk { .. } => return Err(cursor.part().damaged(0, "a chunk has no head")),
            kind => cursor.value(kind.value().unwrap_or_default())?,
        };
        outputs.writer()?.push_head(&key, lsn, kind, &value)?;
    }
    // All inputs leave their head; what follows of this key are its chunks.
    let mut holders: SmallVec<[&mut PartCursor<'_>; 8]> = SmallVec::new();
    for cursor in cursors {
        if cursor.key() == Some(key) {
            cursor.advance()?;
            holders.push(cursor);
        }
    }
    match kind.generation() {
        Some(_) if !dropped => merge_chunks(plan, &mut holders, kind, outputs),
        _ => holders.into_iter().try_for_each(skip_chunks),
    }
}

fn skip_chunks(cursor: &mut PartCursor<'_>) -> Result<()> {
    while cursor.kind().is_some_and(|kind| kind.is_chunk()) {
        cursor.advance()?;
    }
    Ok(())
}

/// The page or chunk that a cursor stands on, none when the key has no more.
pub(super) fn chunk_of(cursor: &PartCursor<'_>) -> Option<(ChunkId, Lsn, u64, ValueAt)> {
    match cursor.row()?.kind {
        RowKind::Chunk { generation, id, value } => {
            Some((id, cursor.row()?.lsn, generation, value))
        }
        _ => None,
    }
}

/// Writes for each page or chunk the newest row of the head's generation.
fn merge_chunks(
    plan: &Merge<'_>,
    holders: &mut [&mut PartCursor<'_>],
    head: RowKind,
    outputs: &mut Outputs<'_, '_>,
) -> Result<()> {
    let writer = outputs.current();
    let mut next_id = Some(0);
    loop {
        let chunks = holders.iter().filter_map(|holder| chunk_of(holder));
        let Some(id) = chunks.map(|chunk| chunk.0).min() else {
            return Ok(());
        };
        if next_id.is_none_or(|next| id < next) {
            return Err(holders[0].part().damaged(0, "chunks are out of order"));
        }
        next_id = id.checked_add(1);
        let mut newest: Option<(Lsn, usize, ValueAt)> = None;
        for (index, holder) in holders.iter().enumerate() {
            if let Some((at, lsn, generation, value)) = chunk_of(holder)
                && at == id
                && Some(generation) == head.generation()
                && newest.is_none_or(|newest| newest.0 < lsn)
            {
                newest = Some((lsn, index, value));
            }
        }
        if let Some((lsn, index, value)) = newest
            && is_kept(plan.bottom, head, id, value)
        {
            let bytes = holders[index].value(value)?;
            writer.push_chunk(id, lsn, &bytes)?;
        }
        for holder in holders.iter_mut() {
            if chunk_of(holder).is_some_and(|chunk| chunk.0 == id) {
                holder.advance()?;
            }
        }
    }
}

/// Whether a page or chunk is still needed: pages up to the string's end, and chunks, also those
/// that are gone where older parts may have them.
pub(super) fn is_kept(bottom: bool, head: RowKind, id: ChunkId, value: ValueAt) -> bool {
    match head {
        RowKind::Paged { len, .. } => {
            id.saturating_mul(STRING_PAGE_BYTES as ChunkId) < ChunkId::from(len)
        }
        _ => value.len > 0 || !bottom,
    }
}

/// The parts that a merge writes. Dropped before it is complete, it removes them.
struct Outputs<'a, 'p> {
    plan: &'a Merge<'p>,
    new_part: &'a mut dyn FnMut() -> Result<PartWriter>,
    run: u64,
    writer: Option<PartWriter>,
    finished: Vec<PartMeta>,
    complete: bool,
}

impl Outputs<'_, '_> {
    /// The part for the next key.
    fn writer(&mut self) -> Result<&mut PartWriter> {
        let full = |writer: &PartWriter| writer.file_bytes() >= self.plan.part_bytes_max;
        if self.writer.as_ref().is_some_and(full) {
            self.finish_part()?;
        }
        match &mut self.writer {
            Some(writer) => Ok(writer),
            slot => Ok(slot.insert((self.new_part)()?)),
        }
    }

    /// The part of the key whose head came last: a key never spans two parts.
    fn current(&mut self) -> &mut PartWriter {
        self.writer.as_mut().expect("a head was written")
    }

    fn finish_part(&mut self) -> Result<()> {
        if let Some(writer) = self.writer.take() {
            self.finished.push(writer.finish(self.run)?);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<PartMeta>> {
        let counts = live_counts(self.plan.inputs, self.plan.is_dead);
        if !counts.is_empty() {
            // Zero counts stay too: their LSN keeps replay from counting twice.
            match &mut self.writer {
                Some(writer) => writer.set_counts(counts),
                slot => slot.insert((self.new_part)()?).set_counts(counts),
            }
        }
        self.finish_part()?;
        self.complete = true;
        Ok(std::mem::take(&mut self.finished))
    }
}

impl Drop for Outputs<'_, '_> {
    fn drop(&mut self) {
        let unwanted: Vec<PathBuf> = match self.complete {
            true => Vec::new(),
            false => self.finished.iter().map(|meta| part_path(meta.id)).collect(),
        };
        for path in unwanted {
            // What cannot be removed now is swept at the next start.
            let _ = self.plan.storage.remove(&path);
        }
    }
}
