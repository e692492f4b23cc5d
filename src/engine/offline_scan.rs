//! All keys of a keyspace at rest: what was replayed, then what only the parts know. Rows stream
//! by; nothing is kept of them.

use std::ops::ControlFlow;

use crate::error::{Error, Result};
use crate::format::part::Place;
use crate::format::part_index::KeyEntry;
use crate::format::part_rows::RowKind;
use crate::keyspace::scan::ScanEntry;
use crate::snapshot::RowKey;
use crate::snapshot::part_cursor::PartCursor;
use crate::snapshot::part_reader::{Caching, PartReader};
use crate::types::{KeyspaceId, Lsn, Position, ValueKind};

use super::offline::Offline;

/// Entries of memory taken at a time.
const GRANULE_KEYS: usize = 1024;

/// A live key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyView<'a> {
    /// Place.
    pub position: Position,
    /// The key.
    pub key: &'a [u8],
    /// LSN of its last change.
    pub lsn: Lsn,
    /// Deadline in Unix milliseconds.
    pub expire_at_ms: Option<u64>,
    /// What it holds.
    pub kind: ValueKind,
    /// Length of a string, or of the items of a collection, in bytes. None for a collection in
    /// chunks that only parts know: that would take a look at all of them.
    pub value_bytes: Option<u64>,
    /// Whether its last change is in the log and not yet in a part.
    pub logged: bool,
}

/// What a listing could not read.
#[derive(Debug, Default)]
pub struct Gaps {
    /// Why.
    pub problems: Vec<Error>,
    /// Places whose keys are not known, from the first up to the second.
    pub holes: Vec<(Place, Place)>,
}

impl Gaps {
    /// Whether nothing is known of a place.
    pub fn contain(&self, place: Place) -> bool {
        let inside = |hole: &(Place, Place)| hole.0 <= place && place < hole.1;
        self.holes.iter().any(inside)
    }

    /// Whether some place of a slot is unknown.
    pub fn touch_slot(&self, keyspace: KeyspaceId, slot: u16) -> bool {
        let first = (keyspace, Position::new(slot, 0));
        let last = (keyspace, Position::new(slot, u64::MAX));
        let touches = |hole: &(Place, Place)| hole.0 <= last && first < hole.1;
        self.holes.iter().any(touches)
    }
}

impl Offline {
    /// Hands out the live keys of a keyspace, keys past their deadline included, each once, until
    /// `each` breaks: first those that the log has changed, in position order, then the others, in
    /// position order. Damage is passed over and told.
    pub fn each_key(
        &mut self,
        keyspace: KeyspaceId,
        each: &mut dyn FnMut(KeyView<'_>) -> ControlFlow<()>,
    ) -> Gaps {
        let mut gaps = Gaps::default();
        if self.each_logged(keyspace, each, &mut gaps).is_continue() {
            // An early end is the caller's wish.
            let _ = self.each_cold(keyspace, each, &mut gaps);
        }
        gaps
    }

    /// Memory's entries of a keyspace in order, in pieces; `each` may change memory's values.
    pub(super) fn each_entry(
        &mut self,
        keyspace: KeyspaceId,
        each: &mut dyn FnMut(&mut Offline, &ScanEntry) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let (mut cursor, end) = (0, self.partition.end_cursor());
        while cursor < end {
            let granule = self.partition.scan_granule(keyspace, cursor, end, GRANULE_KEYS);
            cursor = granule.next_cursor;
            for entry in &granule.entries {
                each(self, entry)?;
            }
        }
        ControlFlow::Continue(())
    }

    fn each_logged(
        &mut self,
        keyspace: KeyspaceId,
        each: &mut dyn FnMut(KeyView<'_>) -> ControlFlow<()>,
        gaps: &mut Gaps,
    ) -> ControlFlow<()> {
        self.each_entry(keyspace, &mut |offline, entry| {
            let (position, key) = (entry.position, &entry.key[..]);
            match offline.logged_value(keyspace, position, key) {
                Ok(Some(view)) => each(view),
                Ok(None) => ControlFlow::Continue(()),
                Err(problem) => {
                    gaps.problems.push(problem);
                    ControlFlow::Continue(())
                }
            }
        })
    }

    /// A live key, when memory decides about it.
    fn logged_value<'k>(
        &mut self,
        keyspace: KeyspaceId,
        position: Position,
        key: &'k [u8],
    ) -> Result<Option<KeyView<'k>>> {
        if !self.memory_decides(keyspace, position, key) {
            return Ok(None);
        }
        self.resolve(keyspace, position, key)?;
        let entry = self.partition.find(keyspace, position, key);
        Ok(entry.and_then(|entry| {
            let value = entry.value()?;
            Some(KeyView {
                position,
                key,
                lsn: entry.lsn(),
                expire_at_ms: entry.expire_at_ms(),
                kind: value.kind(),
                value_bytes: Some(value.stored_bytes()),
                logged: true,
            })
        }))
    }

    /// Keys whose newest row in the parts is newer than what memory knows.
    fn each_cold(
        &self,
        keyspace: KeyspaceId,
        each: &mut dyn FnMut(KeyView<'_>) -> ControlFlow<()>,
        gaps: &mut Gaps,
    ) -> ControlFlow<()> {
        let start = (keyspace, Position(0));
        let mut cursors: Vec<PartCursor<'_>> = Vec::new();
        for part in self.parts.parts() {
            cursors.extend(seek(part, start, gaps));
        }
        let mut key = Vec::new();
        loop {
            cursors.retain(|cursor| cursor.place().is_some_and(|place| place.0 == keyspace));
            let Some((position, lsn, kind)) = newest_of_first(&cursors, &mut key) else {
                return ControlFlow::Continue(());
            };
            let view = |value_kind| KeyView {
                position,
                key: &key,
                lsn,
                expire_at_ms: kind.expire_at_ms(),
                kind: value_kind,
                value_bytes: match kind {
                    RowKind::Paged { len, .. } => Some(len),
                    kind => kind.value().map(|value| u64::from(value.len)),
                },
                logged: false,
            };
            let known = self.partition.find(keyspace, position, &key);
            let decided = known.is_some_and(|entry| entry.lsn() >= lsn);
            if let (false, Some(kind)) = (decided, kind.value_kind())
                && !gaps.contain((keyspace, position))
            {
                each(view(kind))?;
            }
            let done = RowKey { keyspace, position, key: &key };
            step_over(&mut cursors, &done, gaps);
        }
    }
}

/// The newest row of the first key among the cursors; the key is left in `key`.
fn newest_of_first(
    cursors: &[PartCursor<'_>],
    key: &mut Vec<u8>,
) -> Option<(Position, Lsn, RowKind)> {
    let first = cursors.iter().filter_map(PartCursor::key).min()?;
    let same = cursors.iter().filter(|cursor| cursor.key() == Some(first));
    // Of rows with one LSN the last is taken, and that is the one of the newest run.
    let rows = same.rev().filter_map(PartCursor::row);
    let newest = rows.max_by_key(|row| row.lsn)?;
    key.clear();
    key.extend_from_slice(first.key);
    Some((first.position, newest.lsn, newest.kind))
}

/// Moves the cursors that stand on a key to the next one.
fn step_over(cursors: &mut Vec<PartCursor<'_>>, done: &RowKey<'_>, gaps: &mut Gaps) {
    let mut index = 0;
    while index < cursors.len() {
        let cursor = &mut cursors[index];
        let stepped = match cursor.key() == Some(*done) {
            true => cursor.advance_key(),
            false => Ok(()),
        };
        if let Err(error) = stepped {
            let (part, place) = (cursor.part(), done.place());
            match pass_over(part, place, error, gaps) {
                Some(resumed) => cursors[index] = resumed,
                None => {
                    cursors.remove(index);
                    continue;
                }
            }
        }
        index += 1;
    }
}

/// A cursor at or behind a place, past what is damaged there.
fn seek<'p>(part: &'p PartReader, from: Place, gaps: &mut Gaps) -> Option<PartCursor<'p>> {
    match PartCursor::seek(part, from, Caching::Pass) {
        Ok(cursor) => Some(cursor),
        Err(error) => pass_over(part, from, error, gaps),
    }
}

/// Notes a damaged key block and goes on behind it; none when nothing stands there.
fn pass_over<'p>(
    part: &'p PartReader,
    mut from: Place,
    mut error: Error,
    gaps: &mut Gaps,
) -> Option<PartCursor<'p>> {
    const END: Place = (KeyspaceId::MAX, Position(u64::MAX));
    loop {
        let index = part.key_index();
        let damaged = match &error {
            Error::Corrupt { offset, .. } => {
                index.iter().position(|entry| entry.block.offset == *offset)
            }
            _ => None,
        };
        gaps.problems.push(error);
        let starts = damaged.map(|at| place_of(&index[at]));
        // A block that goes on inside a key is no place to begin at.
        let begins = |entry: &&KeyEntry| !entry.continues && place_of(entry) > from;
        let next = damaged.and_then(|at| index[at + 1..].iter().find(begins));
        let behind = next.map_or(END, place_of);
        gaps.holes.push((starts.unwrap_or(from), behind));
        next?;
        from = behind;
        match PartCursor::seek(part, from, Caching::Pass) {
            Ok(cursor) => return Some(cursor),
            Err(again) => error = again,
        }
    }
}

fn place_of(entry: &KeyEntry) -> Place {
    (entry.keyspace, entry.first)
}
