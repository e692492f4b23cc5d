//! The live parts as one: newest first, immutable, shared. Lookups of single keys are in `lookup`.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::block_cache::BlockCache;
use super::part_cursor::PartCursor;
use super::part_reader::{Caching, PartReader};
use super::{RowKey, filter};
use crate::error::Result;
use crate::format::manifest::PartMeta;
use crate::format::part::Place;
use crate::format::part_index::{Deadline, SlotCount};
use crate::io::Storage;
use crate::types::{DatabaseId, KeyspaceId, Lsn, Position, ValueKind};

/// The parts of a snapshot.
#[derive(Default)]
pub struct PartSet {
    parts: Vec<Arc<PartReader>>,
}

/// A key as a scan meets it; the newest row of all parts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScanRow<'a> {
    /// Place of the key.
    pub position: Position,
    /// The key.
    pub key: &'a [u8],
    /// LSN of its last change.
    pub lsn: Lsn,
    /// What it holds, none for a tombstone.
    pub kind: Option<ValueKind>,
    /// Deadline in Unix milliseconds.
    pub expire_at_ms: Option<u64>,
}

/// How far the deadlines of each part are read. Parts that are new begin at their start.
#[derive(Clone, Debug, Default)]
pub struct DueCursors {
    after: BTreeMap<u64, Deadline>,
}

impl PartSet {
    /// A set of parts, in any order.
    pub fn new(mut parts: Vec<Arc<PartReader>>) -> PartSet {
        parts.sort_by_key(|part| (std::cmp::Reverse(part.meta().run), part.meta().min));
        PartSet { parts }
    }

    /// Opens the parts that a MANIFEST names.
    ///
    /// # Errors
    /// When one of them is missing or damaged.
    pub fn open(
        storage: &Arc<dyn Storage>,
        database: DatabaseId,
        metas: &[PartMeta],
        cache: Option<&Arc<BlockCache>>,
    ) -> Result<PartSet> {
        let open = |meta| PartReader::open(storage, database, meta, cache.cloned()).map(Arc::new);
        Ok(PartSet::new(metas.iter().map(open).collect::<Result<_>>()?))
    }

    /// The parts, newest run first.
    pub fn parts(&self) -> &[Arc<PartReader>] {
        &self.parts
    }

    /// Memory of all metadata, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.parts.iter().map(|part| part.memory_bytes()).sum()
    }

    /// Whether a key of this place may be in a part; false is certain. Asks filters in memory only.
    pub fn may_contain(&self, keyspace: KeyspaceId, position: Position) -> bool {
        let place = (keyspace, position);
        let hash = filter::hash(place);
        self.parts.iter().any(|part| part.may_contain(place, hash))
    }

    /// Hands out the keys of a keyspace from `from` on and before `to` (none: to the end), in the
    /// order (position, key), tombstones too, until `each` breaks. Values are not touched.
    ///
    /// # Errors
    /// When a block cannot be read or is damaged.
    pub fn scan_keys(
        &self,
        keyspace: KeyspaceId,
        from: Position,
        to: Option<Position>,
        mut each: impl FnMut(ScanRow<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let start = (keyspace, from);
        let end = |place: Place| place.0 != keyspace || to.is_some_and(|to| place.1 >= to);
        let mut cursors = Vec::new();
        for part in &self.parts {
            let meta = part.meta();
            if meta.row_count == 0 || meta.max < start || meta.min.0 > keyspace {
                continue;
            }
            if to.is_some_and(|to| meta.min >= (keyspace, to)) {
                continue;
            }
            let cursor = PartCursor::seek(part, start, Caching::Keep)?;
            if cursor.place().is_some_and(|place| !end(place)) {
                cursors.push(cursor);
            }
        }
        let mut key = Vec::new();
        while let Some(newest) = newest_of_first(&cursors) {
            let cursor = &cursors[newest];
            let (Some(found), Some(row)) = (cursor.key(), cursor.row()) else {
                break;
            };
            key.clear();
            key.extend_from_slice(found.key);
            let scanned = ScanRow {
                position: row.position,
                key: &key,
                lsn: row.lsn,
                kind: row.kind.value_kind(),
                expire_at_ms: row.kind.expire_at_ms(),
            };
            if each(scanned).is_break() {
                break;
            }
            let position = scanned.position;
            let done = RowKey { keyspace, position, key: &key };
            for cursor in &mut cursors {
                if cursor.key() == Some(done) {
                    cursor.advance_key()?;
                }
            }
            cursors.retain(|cursor| cursor.place().is_some_and(|place| !end(place)));
        }
        Ok(())
    }

    /// Appends up to `limit` keys whose deadline is at most `now_ms` and that `cursors` has not
    /// passed. A key may have a newer row elsewhere: the caller looks it up. True when there may
    /// be more.
    ///
    /// # Errors
    /// When a block cannot be read or is damaged.
    pub fn due(
        &self,
        cursors: &mut DueCursors,
        now_ms: u64,
        limit: usize,
        out: &mut Vec<Deadline>,
    ) -> Result<bool> {
        let live = |id: &u64| self.parts.iter().any(|part| part.meta().id == *id);
        cursors.after.retain(|id, _| live(id));
        let end = out.len().saturating_add(limit);
        for part in &self.parts {
            let id = part.meta().id;
            let mut after = cursors.after.get(&id).copied();
            let mut full = false;
            let result = part.due(after, now_ms, |deadline| {
                full = out.len() >= end;
                if !full {
                    out.push(deadline);
                    after = Some(deadline);
                }
                !full
            });
            if let Some(after) = after {
                cursors.after.insert(id, after);
            }
            result?;
            if full {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The newest exact count of every slot that a part knows, in the order (keyspace, slot).
    pub fn counts(&self) -> Vec<SlotCount> {
        newest_counts(&self.parts)
    }

    /// Marks the parts that are not in `kept`: their files go when their last handle drops.
    pub fn retire_all_but(&self, kept: impl Fn(u64) -> bool) {
        let gone = self.parts.iter().filter(|part| !kept(part.meta().id));
        gone.for_each(|part| part.mark_obsolete());
    }
}

/// Index of the cursor with the newest row of the first key, none at the end.
pub(super) fn newest_of_first(cursors: &[PartCursor<'_>]) -> Option<usize> {
    let rank = |cursor: &PartCursor<'_>| cursor.row().map(|row| row.lsn);
    let mut best: Option<usize> = None;
    for (index, cursor) in cursors.iter().enumerate() {
        let Some(key) = cursor.key() else {
            continue;
        };
        let better = match best.and_then(|best| Some((best, cursors[best].key()?))) {
            None => true,
            Some((best, best_key)) => match key.cmp(&best_key) {
                std::cmp::Ordering::Less => true,
                std::cmp::Ordering::Equal => rank(cursor) > rank(&cursors[best]),
                std::cmp::Ordering::Greater => false,
            },
        };
        if better {
            best = Some(index);
        }
    }
    best
}

/// As [`PartSet::counts`], of the keyspaces that are not dead: what a part that takes the place of
/// these has to carry on.
pub(super) fn live_counts(
    parts: &[Arc<PartReader>],
    is_dead: &dyn Fn(KeyspaceId) -> bool,
) -> Vec<SlotCount> {
    let mut counts = newest_counts(parts);
    counts.retain(|count| !is_dead(count.keyspace));
    counts
}

/// For each slot the count with the highest LSN.
fn newest_counts(parts: &[Arc<PartReader>]) -> Vec<SlotCount> {
    let mut newest: BTreeMap<(KeyspaceId, u16), SlotCount> = BTreeMap::new();
    for part in parts {
        part.counts(|count| {
            let known = newest.entry((count.keyspace, count.slot)).or_insert(count);
            if known.lsn < count.lsn {
                *known = count;
            }
        });
    }
    newest.into_values().collect()
}
