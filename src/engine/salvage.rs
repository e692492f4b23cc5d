//! What a repair saves: the replayed state as rows of a new part, and exact counts of all keys.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::io::Storage;
use crate::keyspace::capture::head_of;
use crate::keyspace::counts::Counts;
use crate::keyspace::object::ValueHandle;
use crate::keyspace::scan::ScanEntry;
use crate::snapshot::part_writer::PartWriter;
use crate::snapshot::{DirtyPage, PartMeta, RowKey, RowValue, SlotCount};
use crate::types::{KeyspaceId, Lsn};
use crate::value::string::{PagedString, StringHandle};

use super::offline::Offline;
use super::offline_scan::Gaps;

/// The part to write.
#[derive(Clone, Copy)]
pub(super) struct NewPart {
    /// Its id.
    pub id: u64,
    /// The LSN that its counts stand at; no row has a higher one.
    pub lsn: Lsn,
    /// When it is written.
    pub wall_ms: u64,
}

/// Writes what was replayed, and exact counts of everything, into a part.
pub(super) fn write_part(
    storage: &Arc<dyn Storage>,
    offline: &mut Offline,
    NewPart { id, lsn, wall_ms }: NewPart,
) -> Result<(PartMeta, Gaps)> {
    let run = offline.manifest.parts.iter().map(|part| part.run).max();
    let database = offline.manifest.database;
    let mut writer = PartWriter::create(storage.clone(), database, id, wall_ms)?;
    let (mut gaps, mut counts) = (Gaps::default(), Vec::new());
    let databases = offline.databases();
    let mut keyspaces: Vec<KeyspaceId> = databases.iter().map(|(_, keyspace)| *keyspace).collect();
    keyspaces.sort_unstable();
    for keyspace in keyspaces {
        let mut failed = None;
        let _ = offline.each_entry(keyspace, &mut |offline, entry| match push_entry(
            offline,
            keyspace,
            entry,
            &mut writer,
        ) {
            Ok(None) => ControlFlow::Continue(()),
            Ok(Some(problem)) => {
                gaps.problems.push(problem);
                ControlFlow::Continue(())
            }
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        });
        if let Some(error) = failed {
            return Err(error);
        }
        let found = count_keys(offline, keyspace, lsn, &mut counts);
        gaps.problems.extend(found.problems);
        gaps.holes.extend(found.holes);
    }
    writer.set_counts(counts);
    Ok((writer.finish(run.unwrap_or(0) + 1)?, gaps))
}

/// Writes one entry of memory, unless a part knows something newer. Gives what is wrong with a key
/// that is lost.
fn push_entry(
    offline: &mut Offline,
    keyspace: KeyspaceId,
    entry: &ScanEntry,
    writer: &mut PartWriter,
) -> Result<Option<Error>> {
    let ScanEntry { position, key, .. } = entry;
    let position = *position;
    let row = RowKey { keyspace, position, key };
    if !offline.memory_decides(keyspace, position, key) {
        return Ok(None);
    }
    if let Err(problem) = offline.resolve(keyspace, position, key) {
        // An old value that was changed since must not come back as if it were the newest.
        writer.push(&row, entry.lsn, &RowValue::Tombstone)?;
        return Ok(Some(problem));
    }
    let Some(known) = offline.partition.find(keyspace, position, key) else {
        return Ok(None);
    };
    let (lsn, raw, expire_at_ms) = (known.lsn(), known.raw(), known.expire_at_ms());
    match offline.partition.share(keyspace, position, key) {
        None => writer.push(&row, lsn, &RowValue::Tombstone)?,
        Some(ValueHandle::Packed(blob)) => {
            writer.push(&row, lsn, &RowValue::Packed { expire_at_ms, blob: &blob })?;
        }
        Some(ValueHandle::Collection(mut collection)) => {
            // All of it, as another incarnation: what older parts hold of it is dead then.
            collection.chunks_mut().recreate();
            let chunks = collection.chunks_mut().capture(writer.part_id());
            let head = head_of(&collection, expire_at_ms);
            writer.push(&row, lsn, &RowValue::Chunked { head, chunks: &chunks })?;
        }
        Some(ValueHandle::String(StringHandle::Flat(bytes))) => {
            let bytes = &bytes[..];
            let value = RowValue::String { expire_at_ms, raw, bytes };
            writer.push(&row, lsn, &value)?;
        }
        Some(ValueHandle::String(StringHandle::Paged(paged))) => {
            let pages = pages(&paged);
            let value = RowValue::Paged {
                expire_at_ms,
                raw,
                len: paged.len(),
                generation: paged.generation(),
                pages: &pages,
            };
            writer.push(&row, lsn, &value)?;
        }
    }
    Ok(None)
}

fn pages(paged: &PagedString) -> Vec<DirtyPage> {
    let numbered = (0u32..).zip(paged.pages());
    let page = |(number, bytes): (u32, &bytes::Bytes)| DirtyPage {
        number,
        bytes: bytes.clone(),
        lsn: paged.page_lsn(number as usize),
    };
    numbered.map(page).collect()
}

/// Counts the keys of every slot anew. Where blocks cannot be read, what the counters say stays.
fn count_keys(
    offline: &mut Offline,
    keyspace: KeyspaceId,
    lsn: Lsn,
    out: &mut Vec<SlotCount>,
) -> Gaps {
    let mut slots: BTreeMap<u16, Counts> = BTreeMap::new();
    let gaps = offline.each_key(keyspace, &mut |key| {
        let counts = slots.entry(key.position.slot()).or_default();
        counts.keys += 1;
        counts.expires += u64::from(key.expire_at_ms.is_some());
        ControlFlow::Continue(())
    });
    // A count of nothing must be stated too, where an older part states another.
    let stated = offline.parts.counts().into_iter();
    let stated = stated.filter(|count| count.keyspace == keyspace);
    for count in stated {
        slots.entry(count.slot).or_default();
    }
    for (slot, mut counts) in slots {
        if gaps.touch_slot(keyspace, slot) {
            counts = offline.partition.slot_counts(keyspace, slot);
        }
        out.push(SlotCount { keyspace, slot, keys: counts.keys, expires: counts.expires, lsn });
    }
    gaps
}
