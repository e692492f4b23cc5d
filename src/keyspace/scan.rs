//! Scans: what memory holds of a range of cursors, in position order.
//!
//! A granule ends where a tag ends (or at the caller's bound), which is a cursor boundary whatever
//! shape the tables have now or will have later: a cursor stands for a position, not for a place
//! in a table, so a key that stays is met exactly once.

use crate::types::{CURSOR_SHIFT, HASH_BITS, KeyspaceId, Lsn, Position, ValueKind};

use super::entry::{EntryRef, prefetch_entry};
use super::partition::Partition;

const SLOT_CURSOR_BITS: u32 = HASH_BITS - CURSOR_SHIFT;

/// One entry of a granule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScanEntry {
    /// Place.
    pub position: Position,
    /// Key.
    pub key: Box<[u8]>,
    /// LSN of the last change.
    pub lsn: Lsn,
    /// Deadline in Unix milliseconds, of a live entry.
    pub expire_at_ms: Option<u64>,
    /// What the key holds, when its value is in memory. Neither that nor pending: the key is gone.
    pub kind: Option<ValueKind>,
    /// Whether the key's value waits for its cold base.
    pub pending: bool,
    /// The deadline that a pending entry sets, with its LSN, where it does: it holds unless the
    /// base is newer.
    pub pending_deadline: Option<(Lsn, Option<u64>)>,
}

/// A range of cursors with everything that memory knows in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Granule {
    /// First cursor behind the granule.
    pub next_cursor: u64,
    /// Entries in position order.
    pub entries: Vec<ScanEntry>,
}

impl Partition {
    /// Entries from `from_cursor` on, until about `count` are found or `to_cursor` (exclusive) or
    /// the end of the partition is reached.
    pub fn scan_granule(
        &self,
        keyspace: KeyspaceId,
        from_cursor: u64,
        to_cursor: u64,
        count: usize,
    ) -> Granule {
        let to = to_cursor.min(self.end_cursor());
        let mut granule = Granule { next_cursor: to.max(from_cursor), entries: Vec::new() };
        let Some(space) = self.space(keyspace) else {
            return granule;
        };
        let mut at = from_cursor.max(self.first_cursor());
        while at < to {
            if granule.entries.len() >= count {
                granule.next_cursor = at;
                break;
            }
            let position = Position::from_cursor(at);
            let table = &space.slot(position.slot()).table;
            let span = table.span(position.hash());
            let from = span.leaf.lower_bound(span.tag(position.hash()));
            prefetch_entry(span.leaf.words(), from + 8);
            let mut rest = span.leaf.words()[from..].iter().flatten().peekable();
            let end = match rest.peek().map(|entry| entry.tag()) {
                None => span.end,
                Some(tag) => {
                    let run = rest.take_while(|entry| entry.tag() == tag);
                    let run = run.map(|entry| self.scan_entry(entry.get()));
                    let inside = |entry: &ScanEntry| (at..to).contains(&entry.position.cursor());
                    let start = granule.entries.len();
                    granule.entries.extend(run.filter(inside));
                    granule.entries[start..]
                        .sort_unstable_by(|a, b| (a.position, &a.key).cmp(&(b.position, &b.key)));
                    span.tag_end(tag)
                }
            };
            at = (u64::from(position.slot()) << SLOT_CURSOR_BITS) + (end >> CURSOR_SHIFT);
        }
        granule
    }

    fn scan_entry(&self, entry: EntryRef<'_>) -> ScanEntry {
        ScanEntry {
            position: (self.position_of)(entry.key()),
            key: entry.key().into(),
            lsn: entry.lsn(),
            expire_at_ms: entry.expire_at_ms(),
            kind: entry.value().map(|value| value.kind()),
            pending: entry.is_pending(),
            pending_deadline: entry.pending_deadline(),
        }
    }
}
