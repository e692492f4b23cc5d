//! Checkpoints: dirty entries are taken in position order, in bounded steps.
//!
//! The capture is fuzzy between keys (what changes behind it is dirty again, what changes before
//! it is taken as it is then) and exact within one: head and dirty pages of an object are taken in
//! one step. Taken entries are marked until the end of the capture, so that a failed one makes
//! them dirty again. Tombstones that a successful capture took leave memory: the parts know them,
//! or never knew the key.

use bytes::Bytes;
use smallvec::SmallVec;

use crate::format::part_rows::ChunkedHead;
use crate::types::{HASH_BITS, KeyspaceId, Lsn, Position};
use crate::value::chunks::DirtyChunks;
use crate::value::collection::Collection;
use crate::value::string::{DirtyPage, PROVISIONAL_LSN, StringHandle};

use super::entry::{CAPTURED, DIRTY, Entry, EntryRef, prefetch_entry};
use super::object::Object;
use super::partition::Partition;
use super::space::Space;
use super::table::Place;

/// What a step has taken. Reused from step to step.
#[derive(Default)]
pub struct Capture {
    /// Keys and short values, end to end.
    bytes: Vec<u8>,
    rows: Vec<Row>,
    /// Highest LSN that the capture reveals, also by tombstones that need no row.
    pub max_lsn: Lsn,
    /// For collections that are taken for the first time.
    generation: u64,
}

struct Row {
    keyspace: KeyspaceId,
    position: Position,
    lsn: Lsn,
    key_at: usize,
    key_end: usize,
    expire_at_ms: Option<u64>,
    raw: bool,
    value: RowValue,
}

enum RowValue {
    Tombstone,
    /// The bytes stand behind the key up to here.
    Inline(usize),
    Flat(Bytes),
    Paged {
        len: u64,
        generation: Lsn,
        pages: Vec<DirtyPage>,
    },
    /// The blob stands behind the key up to here.
    Packed(usize),
    Chunked(ChunkedHead, TakenChunks),
}

/// One row for the part.
#[derive(Clone, Copy, Debug)]
pub struct CapturedRow<'a> {
    /// Keyspace.
    pub keyspace: KeyspaceId,
    /// Place.
    pub position: Position,
    /// Key.
    pub key: &'a [u8],
    /// LSN of the last change.
    pub lsn: Lsn,
    /// Value.
    pub value: CapturedValue<'a>,
}

/// What a row holds.
#[derive(Clone, Copy, Debug)]
pub enum CapturedValue<'a> {
    /// The key is gone.
    Tombstone,
    /// A string in one piece.
    String {
        /// Deadline in Unix milliseconds.
        expire_at_ms: Option<u64>,
        /// Whether `OBJECT ENCODING` answers `raw` however short it is.
        raw: bool,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// A large string.
    Paged {
        /// Deadline in Unix milliseconds.
        expire_at_ms: Option<u64>,
        /// Whether `OBJECT ENCODING` answers `raw` however short it is.
        raw: bool,
        /// Length of the whole string in bytes.
        len: u64,
        /// LSN of the object's creation.
        generation: Lsn,
        /// The pages that changed since the capture before, in order.
        pages: &'a [DirtyPage],
    },
    /// A small collection.
    Packed {
        /// Deadline in Unix milliseconds.
        expire_at_ms: Option<u64>,
        /// Kind and encoding, then the items.
        blob: &'a [u8],
    },
    /// A large collection.
    Chunked {
        /// The head.
        head: ChunkedHead,
        /// The chunks that changed since the capture before, in order.
        chunks: &'a dyn DirtyChunks,
    },
}

impl Capture {
    /// The rows in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = CapturedRow<'_>> {
        self.rows.iter().map(|row| CapturedRow {
            keyspace: row.keyspace,
            position: row.position,
            key: &self.bytes[row.key_at..row.key_end],
            lsn: row.lsn,
            value: self.value(row),
        })
    }

    fn value<'a>(&'a self, row: &'a Row) -> CapturedValue<'a> {
        let (expire_at_ms, raw) = (row.expire_at_ms, row.raw);
        let bytes = match &row.value {
            RowValue::Tombstone => return CapturedValue::Tombstone,
            RowValue::Paged { len, generation, pages } => {
                return CapturedValue::Paged {
                    expire_at_ms,
                    raw,
                    len: *len,
                    generation: *generation,
                    pages,
                };
            }
            RowValue::Packed(end) => {
                let blob = &self.bytes[row.key_end..*end];
                return CapturedValue::Packed { expire_at_ms, blob };
            }
            RowValue::Chunked(head, chunks) => {
                return CapturedValue::Chunked { head: *head, chunks: &*chunks.chunks };
            }
            RowValue::Inline(end) => &self.bytes[row.key_end..*end],
            RowValue::Flat(bytes) => bytes,
        };
        CapturedValue::String { expire_at_ms, raw, bytes }
    }

    /// Forgets the rows, for the next step.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.rows.clear();
    }

    /// Memory that the step holds, in bytes, pages and flat values by handle included.
    pub fn memory_bytes(&self) -> u64 {
        let held = self.rows.iter().map(|row| match &row.value {
            RowValue::Flat(bytes) => bytes.len() as u64,
            RowValue::Paged { pages, .. } => pages.iter().map(|p| p.bytes.len() as u64).sum(),
            RowValue::Chunked(_, chunks) => chunks.bytes,
            _ => 0,
        });
        self.bytes.len() as u64 + held.sum::<u64>()
    }

    /// Adds an entry, with what was taken of a large value.
    fn push(
        &mut self,
        keyspace: KeyspaceId,
        position: Position,
        entry: EntryRef<'_>,
        taken: Taken,
    ) {
        let key_at = self.bytes.len();
        self.bytes.extend_from_slice(entry.key());
        let key_end = self.bytes.len();
        let value = match (entry.object(), taken) {
            _ if entry.is_tombstone() => RowValue::Tombstone,
            (Some(Object::String(StringHandle::Flat(bytes))), _) => RowValue::Flat(bytes.clone()),
            (Some(Object::String(StringHandle::Paged(paged))), Taken::Pages(pages)) => {
                RowValue::Paged { len: paged.len(), generation: paged.generation(), pages }
            }
            (Some(Object::Collection(collection)), Taken::Chunks(chunks)) => {
                RowValue::Chunked(head_of(collection, entry.expire_at_ms()), chunks)
            }
            (Some(_), _) => unreachable!("pending keys are resolved before, large values taken"),
            (None, _) => match entry.packed() {
                Some(blob) => {
                    self.bytes.extend_from_slice(blob);
                    RowValue::Packed(self.bytes.len())
                }
                None => {
                    self.bytes.extend_from_slice(entry.inline().unwrap_or_default());
                    RowValue::Inline(self.bytes.len())
                }
            },
        };
        self.rows.push(Row {
            keyspace,
            position,
            lsn: entry.lsn(),
            key_at,
            key_end,
            expire_at_ms: entry.expire_at_ms(),
            raw: entry.raw(),
            value,
        });
    }
}

/// The head row of a collection.
pub fn head_of(collection: &Collection, expire_at_ms: Option<u64>) -> ChunkedHead {
    ChunkedHead {
        expire_at_ms,
        shape: collection.shape(),
        len: collection.len(),
        chunk_count: collection.chunks().chunk_count() as u64,
        generation: collection.chunks().generation(),
    }
}

/// What was taken of a large value, by handle.
enum Taken {
    Nothing,
    Pages(Vec<DirtyPage>),
    Chunks(TakenChunks),
}

/// Chunks of a collection, which are walked off the lock.
struct TakenChunks {
    chunks: Box<dyn DirtyChunks>,
    /// Memory that they take.
    bytes: u64,
}

impl Taken {
    /// Takes what is dirty.
    fn of(object: Option<&mut Object>, generation: u64) -> Taken {
        match object {
            Some(Object::String(StringHandle::Paged(paged))) => Taken::Pages(paged.capture()),
            Some(Object::Collection(collection)) => {
                let bytes = collection.chunks().dirty_bytes();
                let chunks = collection.chunks_mut().take_dirty(generation);
                Taken::Chunks(TakenChunks { chunks, bytes })
            }
            _ => Taken::Nothing,
        }
    }

    /// What it costs of a step's budget, in bytes: handles, since what is bounded is the time.
    fn cost(&self) -> usize {
        match self {
            Taken::Nothing | Taken::Chunks(_) => 0,
            Taken::Pages(pages) => size_of_val(&pages[..]),
        }
    }
}

/// How far the capture under way has come.
#[derive(Default)]
pub(super) struct CaptureProgress {
    /// Names the incarnations of collections that are taken for the first time.
    generation: u64,
    /// Where the next step of the capture goes on.
    next: Option<(KeyspaceId, Position)>,
    /// Where the next step of the end goes on.
    end: Option<(KeyspaceId, Position)>,
}

/// What a leaf or slot without anything to take costs of a step's budget, in bytes.
const SKIP_COST: usize = 16;
/// What a row costs beside its bytes.
const ROW_COST: usize = 64;
/// How many words ahead of a walk entries are asked for.
const PREFETCH_DISTANCE: usize = 8;
/// Leaves and entries that one step of the end looks at.
const END_STEPS: usize = 1024;

impl Partition {
    /// Starts a capture for a part. Collections that are taken for the first time get `generation`,
    /// which no capture of this database had before: not the LSN of their creation, since a replay
    /// creates them again, with other chunks than those of the same LSN on disk.
    pub fn begin_capture(&mut self, generation: u64) {
        self.capture = CaptureProgress { generation, ..CaptureProgress::default() };
    }

    /// Takes dirty entries of a keyspace, in order from where the last call stopped, for about
    /// `budget_bytes`; whether there may be more. All pending keys have been resolved.
    ///
    /// # Panics
    /// When a pending entry or one without its LSN is met.
    pub fn capture(
        &mut self,
        keyspace: KeyspaceId,
        budget_bytes: usize,
        out: &mut Capture,
    ) -> bool {
        let mut at = match self.capture.next.take() {
            Some((of, at)) if of == keyspace => at,
            _ => Position::from_cursor(self.first_cursor()),
        };
        let position_of = self.position_of.clone();
        let generation = self.capture.generation;
        let Some(space) = self.space_mut(keyspace) else {
            return false;
        };
        let mut budget = Budget { left_bytes: budget_bytes };
        out.generation = generation;
        while let Some(next) = space.capture_run(at, &*position_of, &mut budget, out) {
            at = next;
            if budget.left_bytes == 0 {
                self.capture.next = Some((keyspace, at));
                return true;
            }
        }
        false
    }

    /// Ends a capture, in bounded steps: call until it answers false. When what was taken has not
    /// been installed it is dirty again. When it has (and cold reads of this partition ask the new
    /// parts), it is clean, and tombstones that have not changed since leave memory.
    pub fn end_capture(&mut self, installed: bool) -> bool {
        let first = Position::from_cursor(self.first_cursor());
        let mut steps = 0;
        let mut resume = self.capture.end.take();
        for index in 0..self.spaces.len() {
            let id = self.spaces[index].id;
            let mut at = match resume {
                Some((of, _)) if of > id => continue,
                Some((of, at)) if of == id => at,
                _ => first,
            };
            resume = None;
            while let Some(next) = self.end_run(index, at, installed, &mut steps) {
                at = next;
                if steps > END_STEPS {
                    self.capture.end = Some((id, at));
                    return true;
                }
            }
        }
        false
    }

    /// Ends the capture of the first leaf or entries at or behind `at`; where to go on.
    fn end_run(
        &mut self,
        index: usize,
        at: Position,
        installed: bool,
        steps: &mut usize,
    ) -> Option<Position> {
        *steps += 1;
        let space = &mut self.spaces[index];
        if at.hash() == 0 {
            space.slot_mut(at.slot()).counter.end_capture(installed);
        }
        let (places, next) = space.next_run(at, CAPTURED);
        let mut leaving: SmallVec<[Box<[u8]>; 4]> = SmallVec::new();
        for place in places {
            *steps += 1;
            let state = space.entry(at.slot(), place).state();
            if state & CAPTURED == 0 {
                continue;
            }
            let again = if installed { 0 } else { DIRTY };
            space.edit(at.slot(), place, |entry| {
                if let Some(object) = entry.object_mut() {
                    object.end_capture(installed);
                }
            });
            let state = state & !CAPTURED | again;
            space.set_state(at.slot(), place, state);
            let entry = space.entry(at.slot(), place);
            if state == 0 && entry.is_tombstone() {
                leaving.push(entry.key().into());
            }
        }
        let following = space.following(at.slot(), next);
        for key in leaving {
            self.unload_key(index, &key);
        }
        following
    }
}

/// What one step may still take.
struct Budget {
    left_bytes: usize,
}

impl Budget {
    fn spend(&mut self, bytes: usize) {
        self.left_bytes = self.left_bytes.saturating_sub(bytes);
    }
}

impl Space {
    /// Takes the dirty entries of the first tag that has any, at or behind `at` in its leaf; where
    /// to go on, unless this was the end.
    fn capture_run(
        &mut self,
        at: Position,
        position_of: &dyn Fn(&[u8]) -> Position,
        budget: &mut Budget,
        out: &mut Capture,
    ) -> Option<Position> {
        let slot = at.slot();
        let (places, next) = self.next_run(at, DIRTY);
        budget.spend(SKIP_COST);
        let dirty = places.filter(|place| self.entry(slot, *place).is_dirty());
        let placed = dirty.map(|place| (position_of(self.entry(slot, place).key()), place));
        // A leaf that has merged since the last step may show what was taken then.
        let mut run: SmallVec<[_; 4]> = placed.filter(|(position, _)| *position >= at).collect();
        run.sort_unstable_by_key(|(position, place)| (*position, self.entry(slot, *place).key()));
        for (position, place) in run {
            let taken = self.capture_entry(position, place, out);
            budget.spend(ROW_COST + taken);
        }
        self.following(slot, next)
    }

    /// Takes one dirty entry; the bytes it has.
    fn capture_entry(&mut self, position: Position, place: Place, out: &mut Capture) -> usize {
        let slot = position.slot();
        let entry = self.entry(slot, place);
        assert_ne!(entry.lsn(), PROVISIONAL_LSN, "captures see stamped entries");
        assert!(!entry.is_pending(), "pending keys are resolved before a capture");
        out.max_lsn = out.max_lsn.max(entry.lsn());
        let state = entry.state() & !DIRTY | CAPTURED;
        let before = out.bytes.len();
        let mut taken = 0;
        // A key that the parts never knew may go without a trace once this is durable.
        if !(entry.is_tombstone() && entry.is_fresh()) {
            let generation = out.generation;
            let large = self.edit(slot, place, |entry| {
                entry.set_fresh(entry.get().is_fresh() && entry.get().is_tombstone());
                Taken::of(entry.object_mut(), generation)
            });
            taken = large.cost();
            out.push(self.id, position, self.entry(slot, place), large);
        }
        self.set_state(slot, place, state);
        taken + out.bytes.len() - before
    }

    /// All places of the first tag, at or behind `at` in its leaf, of which an entry has a state of
    /// `mask`, and the first hash behind it; no places and the leaf's end when there is none.
    fn next_run(&self, at: Position, mask: u8) -> (impl Iterator<Item = Place> + use<>, u64) {
        let span = self.slot(at.slot()).table.span(at.hash());
        let words = span.leaf.words();
        let marked =
            |word: &Option<Entry>| word.as_ref().is_some_and(|entry| entry.state() & mask != 0);
        let none = mask == DIRTY && span.leaf.dirty() == 0
            || mask == CAPTURED && span.leaf.captured() == 0;
        let from = span.leaf.lower_bound(span.tag(at.hash()));
        let first = if none { None } else { words[from..].iter().position(marked) };
        let Some(first) = first else {
            return (span.place(0).following(0), span.end);
        };
        let tag = words[from + first].as_ref().map_or(0, Entry::tag);
        let start = span.leaf.lower_bound(tag);
        prefetch_entry(words, start + PREFETCH_DISTANCE);
        let of_tag = |word: &&Option<Entry>| word.as_ref().is_some_and(|e| e.tag() == tag);
        let count = words[start..].iter().take_while(of_tag).count();
        (span.place(start).following(count), span.tag_end(tag))
    }

    /// The position of a hash, or the next slot's first where the hash is behind all; none behind
    /// the last slot.
    fn following(&self, slot: u16, hash: u64) -> Option<Position> {
        if hash < 1 << HASH_BITS {
            return Some(Position::new(slot, hash));
        }
        let more = self.index_of(slot) + 1 < self.slots.len();
        more.then(|| Position::new(slot + 1, 0))
    }
}
