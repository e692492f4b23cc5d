//! Scans in position order over memory and parts.
//!
//! A page is made of granules. For each, the entries in memory, its tombstones and the set of parts
//! are taken under one lock hold; the parts are read after it. Granules end on cursor boundaries
//! that do not depend on any table's size, so a key that stays is met exactly once.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::error::Result;
use crate::snapshot::part_set::PartSet;
use crate::types::{CURSOR_SHIFT, HASH_BITS, KeyspaceId, Lsn, Position, ValueKind};

use super::shard::{Shard, known_lsn};

/// Bits of a SCAN cursor: the slot and the upper part of the hash.
pub const CURSOR_BITS: u32 = 64 - CURSOR_SHIFT;
/// First cursor behind the last position.
const CURSOR_END: u64 = 1 << CURSOR_BITS;
/// Cursors of one slot.
const CURSORS_PER_SLOT: u64 = 1 << (HASH_BITS - CURSOR_SHIFT);

/// One page of a scan.
#[derive(Clone, Debug, Default)]
pub struct ScanPage {
    /// Cursor of the next page; 0 at the end.
    pub next: u64,
    /// Live keys of this page.
    pub keys: Vec<Vec<u8>>,
    /// What each of them holds.
    pub kinds: Vec<ValueKind>,
}

/// A page while it is gathered.
pub struct Page {
    cursor: u64,
    count: usize,
    now_ms: u64,
    observed: Lsn,
    /// The latest deadline of the keys that were left out because theirs has passed.
    hidden_ms: Option<u64>,
    keys: Vec<Vec<u8>>,
    kinds: Vec<ValueKind>,
}

/// What memory says of a key that parts may hold too.
enum Known {
    /// All there is to say.
    Decided,
    /// That its deadline is this since an LSN, and its value in the parts.
    Deadline(Lsn, Option<u64>),
}

/// What one lock hold has seen.
pub struct Granule {
    keyspace: KeyspaceId,
    from: u64,
    to: u64,
    /// Keys that memory knows something of.
    known: HashMap<Box<[u8]>, Known>,
    parts: Option<Arc<PartSet>>,
}

impl Granule {
    /// Whether parts must be read to complete it.
    pub fn has_cold(&self) -> bool {
        self.parts.is_some()
    }
}

impl Page {
    pub fn new(cursor: u64, count: usize, now_ms: u64) -> Page {
        let (cursor, count) = (cursor.min(CURSOR_END), count.max(1));
        let (keys, kinds) = (Vec::new(), Vec::new());
        Page { cursor, count, now_ms, observed: 0, hidden_ms: None, keys, kinds }
    }

    pub fn is_done(&self) -> bool {
        self.cursor >= CURSOR_END || self.keys.len() >= self.count
    }

    pub fn position(&self) -> Position {
        Position::from_cursor(self.cursor)
    }

    pub fn observed(&self) -> Lsn {
        self.observed
    }

    pub fn hidden_ms(&self) -> Option<u64> {
        self.hidden_ms
    }

    /// Adds a key, unless its deadline has passed.
    fn push(&mut self, key: &[u8], kind: ValueKind, expire_at_ms: Option<u64>) {
        if expire_at_ms.is_some_and(|at| at <= self.now_ms) {
            self.hidden_ms = self.hidden_ms.max(expire_at_ms);
            return;
        }
        self.keys.push(key.to_vec());
        self.kinds.push(kind);
    }

    pub fn into_page(self) -> ScanPage {
        let next = if self.cursor >= CURSOR_END { 0 } else { self.cursor };
        ScanPage { next, keys: self.keys, kinds: self.kinds }
    }

    /// Takes the next granule of a locked shard. Live keys in memory go to the page at once.
    pub fn gather(&mut self, shard: &Shard, db: u32) -> Granule {
        let keyspace = shard.databases.keyspace(db);
        self.observed = self.observed.max(shard.floor(db));
        let wanted = self.count - self.keys.len();
        let limit = cold_limit(shard, keyspace, self.cursor, wanted);
        let has_cold = shard.partition.has_cold();
        let mut known = HashMap::new();
        let granule = shard.partition.scan_granule(keyspace, self.cursor, limit, wanted);
        for entry in granule.entries {
            self.observed = self.observed.max(known_lsn(entry.lsn));
            if let Some(kind) = entry.kind {
                self.push(&entry.key, kind, entry.expire_at_ms);
            }
            match entry.pending_deadline {
                _ if !has_cold => {}
                Some((lsn, at)) => drop(known.insert(entry.key, Known::Deadline(lsn, at))),
                None if entry.pending => {}
                None => drop(known.insert(entry.key, Known::Decided)),
            }
        }
        let parts = has_cold.then(|| shard.parts.clone());
        Granule { keyspace, from: self.cursor, to: granule.next_cursor, known, parts }
    }

    /// Adds the granule's keys that only parts know, with no lock held.
    pub fn finish_granule(&mut self, granule: Granule) -> Result<()> {
        let Granule { keyspace, from, to, known, parts } = granule;
        self.cursor = to;
        let Some(parts) = parts else { return Ok(()) };
        let end = (to < CURSOR_END).then(|| Position::from_cursor(to));
        parts.scan_keys(keyspace, Position::from_cursor(from), end, |row| {
            let expire_at_ms = match known.get(row.key) {
                Some(Known::Decided) => return ControlFlow::Continue(()),
                Some(Known::Deadline(lsn, at)) if *lsn > row.lsn => *at,
                _ => row.expire_at_ms,
            };
            if let Some(kind) = row.kind {
                self.push(row.key, kind, expire_at_ms);
            }
            ControlFlow::Continue(())
        })
    }
}

/// Where a granule must end so that about `wanted` cold keys stand in it. The exact counts of the
/// slots and the uniform hash tell without a look at the parts.
fn cold_limit(shard: &Shard, keyspace: KeyspaceId, cursor: u64, wanted: usize) -> u64 {
    let mut left = wanted as u64;
    let mut at = cursor;
    let end = shard.partition.end_cursor();
    while at < end {
        let slot = Position::from_cursor(at).slot();
        let slot_end = (u64::from(slot) + 1) * CURSORS_PER_SLOT;
        let cold = shard.partition.cold_keys(keyspace, slot);
        let share = cold as u128 * u128::from(slot_end - at) / u128::from(CURSORS_PER_SLOT);
        if share > u128::from(left) {
            let step = u128::from(CURSORS_PER_SLOT) * u128::from(left.max(1)) / u128::from(cold);
            return (at + (step as u64).max(1)).min(slot_end);
        }
        left -= share as u64;
        at = slot_end;
    }
    end
}
