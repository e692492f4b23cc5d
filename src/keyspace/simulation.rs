//! A partition under a small engine made of maps: a log, parts, captures, loads, crashes and scans
//! in any order, compared with a map of what the keys should hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use crate::format::edit::Edit;
use crate::format::part_rows::ChunkedHead;
use crate::format::record::{CountDelta, DeleteReason, Record, StringValue};
use crate::io::random::Random;
use crate::types::{ChunkId, HashSeed, KeyspaceId, Lsn, Position};
use crate::value::collection::Collection;
use crate::value::members::MemberHasher;
use crate::value::packed;
use crate::value::string::{PROVISIONAL_LSN, PagedString, StringHandle};

use super::capture::{Capture, CapturedValue};
use super::collection;
use super::counts::{Counts, SlotCount};
use super::field_expiry::DueFields;
use super::mutation::At;
use super::object::ValueHandle;
use super::partition::Partition;
use super::residency::{Cold, Coldness, Install};

#[allow(dead_code, reason = "some of it is for the simulation of the engine")]
#[path = "../../tests/simulation/content.rs"]
mod content;
#[path = "../../tests/simulation/stream_content.rs"]
mod stream_content;

use content::{Content, FIELD_LIFE_MS, items_of, random_edit, random_kind};

const KEYSPACE: KeyspaceId = 3;
const FIRST_SLOT: u16 = 100;
const SLOT_COUNT: usize = 4;
const NOW_MS: u64 = 1_800_000_000_000;

/// Keys of the simulation begin with their position.
pub fn position_of(key: &[u8]) -> Position {
    Position(u64::from_be_bytes(key[..8].try_into().expect("8 bytes")))
}

fn key_of(number: u16) -> Vec<u8> {
    let number = u64::from(number);
    // A third of the keys crowd in one slot with few bits to tell them apart; some share positions.
    let (slot, hash) = match number % 6 {
        0 => (1, number << 20),
        1 => (1, (number / 12) << 10),
        _ => (number % 4, number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 14),
    };
    let position = Position::new(FIRST_SLOT + slot as u16, hash);
    let mut key = position.0.to_be_bytes().to_vec();
    key.extend(number.to_be_bytes());
    key
}

#[derive(Clone, PartialEq, Debug)]
struct Truth {
    value: Content,
    /// Kind and encoding of a collection.
    shape: u8,
    raw: bool,
    expire_at_ms: Option<u64>,
}

/// A record as the log keeps it.
#[derive(Clone, Debug)]
enum Logged {
    Put(Vec<u8>, Vec<u8>, bool, Option<u64>, CountDelta),
    Delete(Vec<u8>, CountDelta),
    Expire(Vec<u8>, Option<u64>, CountDelta),
    WriteRange(Vec<u8>, u64, Vec<u8>),
    PutPacked(Vec<u8>, Vec<u8>, Option<u64>, CountDelta),
    /// Key, whether it creates, shape, the change encoded.
    Edit(Vec<u8>, bool, u8, Vec<u8>, CountDelta),
}

impl Logged {
    fn key(&self) -> &[u8] {
        match self {
            Logged::Put(key, ..)
            | Logged::Delete(key, ..)
            | Logged::Expire(key, ..)
            | Logged::WriteRange(key, ..)
            | Logged::PutPacked(key, ..)
            | Logged::Edit(key, ..) => key,
        }
    }

    fn record(&self) -> Record<'_> {
        let keyspace = KEYSPACE;
        match self {
            Logged::Put(key, bytes, raw, expire_at_ms, counts) => Record::Put {
                keyspace,
                key,
                expire_at_ms: *expire_at_ms,
                value: StringValue { bytes, raw: *raw },
                counts: *counts,
            },
            Logged::Delete(key, counts) => {
                Record::Delete { keyspace, key, reason: DeleteReason::Command, counts: *counts }
            }
            Logged::Expire(key, expire_at_ms, counts) => {
                Record::Expire { keyspace, key, expire_at_ms: *expire_at_ms, counts: *counts }
            }
            Logged::WriteRange(key, offset, bytes) => {
                Record::WriteRange { keyspace, key, offset: *offset, bytes }
            }
            Logged::PutPacked(key, blob, expire_at_ms, counts) => {
                let (expire_at_ms, counts) = (*expire_at_ms, *counts);
                Record::PutPacked { keyspace, key, expire_at_ms, blob, counts }
            }
            Logged::Edit(key, creates, shape, edit, counts) => {
                let edit = Edit::from_bytes(edit).expect("it was encoded here");
                let (creates, shape, counts) = (*creates, *shape, *counts);
                Record::Edit { keyspace, key, creates, shape, edit, counts }
            }
        }
    }

    /// Whether a replay takes it.
    fn is_sound(&self) -> bool {
        match self.record() {
            Record::PutPacked { blob, .. } => packed::validate(blob).is_some(),
            Record::Edit { shape, edit, .. } => collection::is_valid(shape, &edit),
            _ => true,
        }
    }
}

/// A row of the parts.
#[derive(Clone, Debug)]
enum Row {
    Tombstone,
    String(Option<u64>, bool, Bytes),
    Paged(Option<u64>, bool, u64, Lsn, BTreeMap<u32, (Bytes, Lsn)>),
    Packed(Option<u64>, Vec<u8>),
    /// A chunk of no bytes is gone.
    Chunked(ChunkedHead, BTreeMap<ChunkId, Bytes>),
}

type Parts = BTreeMap<Vec<u8>, (Lsn, Row)>;

#[derive(Default)]
struct Scan {
    cursor: u64,
    must: BTreeSet<Vec<u8>>,
    seen: Vec<Vec<u8>>,
}

struct InFlight {
    cut: Lsn,
    rows: Vec<(Vec<u8>, Lsn, Row)>,
    capture: Capture,
    is_whole: bool,
}

struct Engine {
    partition: Partition,
    truth: BTreeMap<Vec<u8>, Truth>,
    parts: Parts,
    part_counts: BTreeMap<u16, SlotCount>,
    log: Vec<(Lsn, Logged)>,
    lsn: Lsn,
    log_start: Lsn,
    in_flight: Option<InFlight>,
    /// Captures begun.
    captures: u64,
    /// What fields are past of; it only goes forward.
    now_ms: u64,
    scan: Option<Scan>,
}

#[derive(Clone, Debug)]
enum Step {
    Put(u16, usize, Option<u64>),
    Delete(u16),
    Expire(u16, Option<u64>),
    WriteRange(u16, u64, usize),
    /// A key, and where the choices of the change come from.
    Edit(u16, u64),
    PutCollection(u16, u64, Option<u64>),
    Rename(u16, u16),
    Copy(u16, u16),
    Read(u16),
    StaleLoad(u16, u16),
    Capture(usize),
    EndCapture(bool),
    Unload(u64),
    Scan(usize),
    Due(u64),
    DueFields(u64),
    Crash,
    Resolve(usize),
}

fn delta(keys: i8, expires: i8) -> CountDelta {
    CountDelta { keys, expires }
}

fn expires(expire_at_ms: Option<u64>) -> i8 {
    i8::from(expire_at_ms.is_some())
}

fn hasher() -> MemberHasher {
    MemberHasher::new(HashSeed([7; 16]))
}

impl Engine {
    fn new() -> Engine {
        Engine {
            partition: Partition::new(FIRST_SLOT, SLOT_COUNT, Arc::new(position_of), hasher()),
            truth: BTreeMap::new(),
            parts: BTreeMap::new(),
            part_counts: BTreeMap::new(),
            log: Vec::new(),
            lsn: 0,
            log_start: 1,
            in_flight: None,
            captures: 0,
            now_ms: NOW_MS,
            scan: None,
        }
    }

    fn may_be_cold(&self, key: &[u8]) -> bool {
        matches!(self.parts.get(key), Some((_, row)) if !matches!(row, Row::Tombstone))
    }

    fn cold(&self, key: &[u8]) -> Cold {
        match self.parts.get(key).cloned() {
            None => Cold::Absent { lsn: 0 },
            Some((lsn, Row::Tombstone)) => Cold::Absent { lsn },
            Some((lsn, Row::String(expire_at_ms, raw, bytes))) => {
                let value = ValueHandle::String(StringHandle::Flat(bytes));
                Cold::Live { lsn, expire_at_ms, raw, value }
            }
            Some((lsn, Row::Paged(expire_at_ms, raw, len, generation, pages))) => {
                let pages = pages.into_values().collect();
                let paged = PagedString::from_parts(generation, len, pages);
                let paged = StringHandle::Paged(paged.expect("all pages are on disk"));
                let value = ValueHandle::String(paged);
                Cold::Live { lsn, expire_at_ms, raw, value }
            }
            Some((lsn, Row::Packed(expire_at_ms, blob))) => {
                packed::validate(&blob).expect("a blob of a part is valid");
                Cold::Live { lsn, expire_at_ms, raw: false, value: ValueHandle::Packed(blob) }
            }
            Some((lsn, Row::Chunked(head, chunks))) => {
                let chunks: Vec<_> = chunks.into_iter().collect();
                let ChunkedHead { shape, generation, len, expire_at_ms, .. } = head;
                let read = Collection::from_parts(shape, generation, len, hasher(), &chunks);
                let value = ValueHandle::Collection(Box::new(read.expect("all its chunks")));
                Cold::Live { lsn, expire_at_ms, raw: false, value }
            }
        }
    }

    /// Makes memory know the key, and checks that it knows what is true.
    fn load(&mut self, key: &[u8]) -> Option<Truth> {
        let position = position_of(key);
        let found = self.partition.find(KEYSPACE, position, key);
        let asks = match found {
            Some(entry) => entry.is_pending(),
            None => self.may_be_cold(key),
        };
        if asks {
            let departures = self.partition.departures(KEYSPACE, position);
            let cold = self.cold(key);
            let done = self.partition.install(KEYSPACE, position, key, cold, departures, NOW_MS);
            assert_eq!(done, Install::Done);
        }
        let known = self.partition.access(KEYSPACE, position, key, NOW_MS);
        let live = known.filter(|entry| entry.is_live());
        let seen = live.and_then(|entry| {
            let (value, shape) = Content::of(entry.value()?);
            Some(Truth { value, shape, raw: entry.raw(), expire_at_ms: entry.expire_at_ms() })
        });
        assert!(seen.as_ref() == self.truth.get(key), "memory differs for {key:?}");
        seen
    }

    /// Applies the records of one frame and logs them.
    fn write(&mut self, records: Vec<(Logged, Option<ValueHandle>)>) {
        self.lsn += 1;
        for (logged, shared) in records {
            let key = logged.key().to_vec();
            let fresh = !self.may_be_cold(&key);
            let at = At { fresh, ..At::of_frame(PROVISIONAL_LSN, NOW_MS) };
            self.partition.apply(position_of(&key), &logged.record(), at, shared);
            self.log.push((self.lsn, logged));
        }
        self.partition.stamp(self.lsn);
    }

    fn set_truth(&mut self, key: Vec<u8>, truth: Option<Truth>) {
        match truth {
            Some(truth) => {
                self.truth.insert(key, truth);
            }
            None => {
                self.truth.remove(&key);
                if let Some(scan) = &mut self.scan {
                    scan.must.remove(&key);
                }
            }
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Put(number, len, expire_at_ms) => self.put(key_of(number), len, expire_at_ms),
            Step::Delete(number) => self.delete(key_of(number)),
            Step::Expire(number, expire_at_ms) => {
                let key = key_of(number);
                if let Some(mut before) = self.load(&key) {
                    let counts = delta(0, expires(expire_at_ms) - expires(before.expire_at_ms));
                    let logged = Logged::Expire(key.clone(), expire_at_ms, counts);
                    self.write(vec![(logged, None)]);
                    before.expire_at_ms = expire_at_ms;
                    self.set_truth(key, Some(before));
                }
            }
            Step::WriteRange(number, offset, len) => self.write_range(key_of(number), offset, len),
            Step::Edit(number, seed) => self.edit(key_of(number), &mut Random::new(seed)),
            Step::PutCollection(number, seed, expire_at_ms) => {
                self.put_collection(key_of(number), &mut Random::new(seed), expire_at_ms);
            }
            Step::Rename(from, to) => self.transfer(key_of(from), key_of(to), true),
            Step::Copy(from, to) => self.transfer(key_of(from), key_of(to), false),
            Step::Read(number) => {
                self.load(&key_of(number));
            }
            Step::StaleLoad(number, between) => self.stale_load(key_of(number), between),
            Step::Capture(budget) => self.capture(budget),
            Step::EndCapture(installed) => self.end_capture(installed),
            Step::Unload(bytes) => {
                self.partition.unload(bytes, NOW_MS, Coldness::Idle);
                drop(self.partition.take_garbage());
            }
            Step::Scan(count) => self.scan(count),
            Step::Due(now_ms) => self.due(now_ms),
            Step::DueFields(ms) => self.due_fields(ms),
            Step::Crash => self.crash(),
            Step::Resolve(count) => self.resolve(count),
        }
    }

    fn delete(&mut self, key: Vec<u8>) {
        if let Some(before) = self.load(&key) {
            let counts = delta(-1, -expires(before.expire_at_ms));
            self.write(vec![(Logged::Delete(key.clone(), counts), None)]);
            self.set_truth(key, None);
        }
    }

    /// Changes a collection, or begins one where there is none.
    fn edit(&mut self, key: Vec<u8>, random: &mut Random) {
        let before = self.load(&key);
        let mut below = |bound| random.below(bound);
        let is_string = |truth: &Truth| matches!(truth.value, Content::String(_));
        if before.as_ref().is_some_and(is_string) {
            return self.delete(key);
        }
        let (creates, expire_at_ms) = match &before {
            None => (true, None),
            Some(before) => (false, before.expire_at_ms),
        };
        let before = before.map(|before| before.value);
        let mut value = before.unwrap_or_else(|| Content::empty(random_kind(&mut below)));
        let edit = random_edit(&value, self.now_ms, &mut below);
        value.apply(&Edit::from_bytes(&edit).expect("it was encoded here"));
        if value.len() == 0 {
            return self.delete(key);
        }
        let (shape, counts) = (value.shape(), delta(i8::from(creates), 0));
        self.write(vec![(Logged::Edit(key.clone(), creates, shape, edit, counts), None)]);
        self.set_truth(key, Some(Truth { value, shape, raw: false, expire_at_ms }));
    }

    /// Puts a whole collection in place of whatever there was, mostly a large one.
    fn put_collection(&mut self, key: Vec<u8>, random: &mut Random, expire_at_ms: Option<u64>) {
        let before = self.load(&key);
        let mut below = |bound| random.below(bound);
        let mut value = Content::empty(random_kind(&mut below));
        while value.len() == 0 || below(4) > 0 {
            let edit = random_edit(&value, self.now_ms, &mut below);
            value.apply(&Edit::from_bytes(&edit).expect("it was encoded here"));
        }
        let handle = value.handle(hasher());
        let truth = Truth { shape: value.shape(), value, raw: false, expire_at_ms };
        self.put_handle(key, before, truth, handle);
    }

    /// The records of a whole value, as the engine writes them.
    fn put_handle(
        &mut self,
        key: Vec<u8>,
        before: Option<Truth>,
        truth: Truth,
        handle: ValueHandle,
    ) {
        let had = before.map_or((0, 0), |before| (1, expires(before.expire_at_ms)));
        let expire_at_ms = truth.expire_at_ms;
        let counts = |expire_at_ms| delta(1 - had.0, expires(expire_at_ms) - had.1);
        let records = match handle {
            ValueHandle::String(_) => {
                let Content::String(bytes) = &truth.value else { panic!("a string") };
                let (bytes, counts) = (bytes.clone(), counts(expire_at_ms));
                let put = Logged::Put(key.clone(), bytes, truth.raw, expire_at_ms, counts);
                vec![(put, Some(handle))]
            }
            ValueHandle::Packed(blob) => {
                let counts = counts(expire_at_ms);
                vec![(Logged::PutPacked(key.clone(), blob, expire_at_ms, counts), None)]
            }
            ValueHandle::Collection(_) => {
                let whole = truth.value.whole();
                let edit = Logged::Edit(key.clone(), true, truth.shape, whole, counts(None));
                let mut records = vec![(edit, Some(handle))];
                if expire_at_ms.is_some() {
                    records.push((Logged::Expire(key.clone(), expire_at_ms, delta(0, 1)), None));
                }
                records
            }
        };
        self.write(records);
        self.set_truth(key, Some(truth));
    }

    fn put(&mut self, key: Vec<u8>, len: usize, expire_at_ms: Option<u64>) {
        let before = self.load(&key);
        let had = before.map_or((0, 0), |before| (1, expires(before.expire_at_ms)));
        let counts = delta(1 - had.0, expires(expire_at_ms) - had.1);
        let value = vec![self.lsn as u8; len];
        let logged = Logged::Put(key.clone(), value.clone(), false, expire_at_ms, counts);
        let shared = (len % 2 == 1)
            .then(|| ValueHandle::String(StringHandle::create(value.clone().into(), 0)));
        self.write(vec![(logged, shared)]);
        let value = Content::String(value);
        self.set_truth(key, Some(Truth { value, shape: 0, raw: false, expire_at_ms }));
    }

    fn write_range(&mut self, key: Vec<u8>, offset: u64, len: usize) {
        let Some(mut before) = self.load(&key) else {
            return;
        };
        let Content::String(value) = &mut before.value else {
            return;
        };
        let bytes = vec![self.lsn as u8; len];
        self.write(vec![(Logged::WriteRange(key.clone(), offset, bytes.clone()), None)]);
        let end = offset as usize + len;
        value.resize(value.len().max(end), 0);
        value[offset as usize..end].copy_from_slice(&bytes);
        before.raw = true;
        self.set_truth(key, Some(before));
    }

    fn transfer(&mut self, from: Vec<u8>, to: Vec<u8>, is_move: bool) {
        let (source, target) = (self.load(&from), self.load(&to));
        let (Some(source), true) = (source, from != to) else {
            return;
        };
        let handle = self.partition.share(KEYSPACE, position_of(&from), &from);
        let has_deadline = expires(source.expire_at_ms);
        self.put_handle(to, target, source, handle.expect("a live value"));
        if is_move {
            self.write(vec![(Logged::Delete(from.clone(), delta(-1, -has_deadline)), None)]);
            self.set_truth(from, None);
        }
    }

    /// A load during which the key is written, captured and unloaded again.
    fn stale_load(&mut self, key: Vec<u8>, between: u16) {
        let position = position_of(&key);
        let departures = self.partition.departures(KEYSPACE, position);
        if self.partition.find(KEYSPACE, position, &key).is_some() || !self.may_be_cold(&key) {
            return;
        }
        let cold = self.cold(&key);
        match between % 3 {
            0 => self.step(Step::Delete(between)),
            1 => self.put(key.clone(), 10, None),
            _ => {}
        }
        self.capture(usize::MAX);
        self.end_capture(true);
        self.step(Step::Unload(u64::MAX));
        self.partition.install(KEYSPACE, position, &key, cold, departures, NOW_MS);
        self.load(&key);
    }

    fn capture(&mut self, budget: usize) {
        if self.in_flight.is_none() {
            self.resolve(usize::MAX);
        }
        let lsn = self.lsn;
        let in_flight = self.in_flight.get_or_insert_with(|| {
            self.captures += 1;
            self.partition.begin_capture(self.captures);
            InFlight { cut: lsn, rows: Vec::new(), capture: Capture::default(), is_whole: false }
        });
        if in_flight.is_whole {
            return;
        }
        in_flight.capture.clear();
        let more = self.partition.capture(KEYSPACE, budget, &mut in_flight.capture);
        for row in in_flight.capture.rows() {
            let order = |row: &(Vec<u8>, Lsn, Row)| (position_of(&row.0), row.0.clone());
            let last = in_flight.rows.last().map(order);
            let here = (row.position, row.key.to_vec());
            assert!(last.is_none_or(|last| last < here), "rows come in order");
            let value = match row.value {
                CapturedValue::Tombstone => Row::Tombstone,
                CapturedValue::String { expire_at_ms, raw, bytes } => {
                    Row::String(expire_at_ms, raw, Bytes::copy_from_slice(bytes))
                }
                CapturedValue::Paged { expire_at_ms, raw, len, generation, pages } => {
                    let pages = pages.iter().map(|p| (p.number, (p.bytes.clone(), p.lsn)));
                    Row::Paged(expire_at_ms, raw, len, generation, pages.collect())
                }
                CapturedValue::Packed { expire_at_ms, blob } => {
                    Row::Packed(expire_at_ms, blob.to_vec())
                }
                CapturedValue::Chunked { head, chunks } => {
                    assert!(chunks.chunks().is_sorted_by_key(|chunk| chunk.id));
                    let encoded = chunks.chunks().map(|chunk| {
                        let mut bytes = Vec::new();
                        chunk.content.iter().for_each(|content| content.encode(&mut bytes));
                        (chunk.id, Bytes::from(bytes))
                    });
                    Row::Chunked(head, encoded.collect())
                }
            };
            in_flight.rows.push((row.key.to_vec(), row.lsn, value));
        }
        in_flight.is_whole = !more;
    }

    fn end_capture(&mut self, installed: bool) {
        if self.in_flight.is_none() {
            return;
        }
        if installed {
            while self.in_flight.as_ref().is_some_and(|capture| !capture.is_whole) {
                self.capture(4096);
            }
        }
        let in_flight = self.in_flight.take().expect("a capture is under way");
        let counts = self.partition.changed_counts(KEYSPACE);
        if installed {
            in_flight.rows.into_iter().for_each(|row| self.install_row(row));
            self.part_counts.extend(counts.into_iter().map(|count| (count.slot, count)));
            self.log_start = in_flight.cut + 1;
        }
        while self.partition.end_capture(installed) {}
    }

    fn install_row(&mut self, (key, lsn, mut row): (Vec<u8>, Lsn, Row)) {
        let before = self.parts.get(&key);
        if let Some((before_lsn, before)) = before {
            assert!(*before_lsn <= lsn, "rows only get newer");
            if let (Row::Paged(_, _, _, now, pages), Row::Paged(_, _, _, then, old)) =
                (&mut row, before)
            {
                let same = now == then;
                for (number, page) in old.iter().filter(|_| same) {
                    pages.entry(*number).or_insert_with(|| page.clone());
                }
            }
            if let (Row::Chunked(head, chunks), Row::Chunked(old_head, old)) = (&mut row, before) {
                let same = head.generation == old_head.generation;
                for (id, chunk) in old.iter().filter(|_| same) {
                    chunks.entry(*id).or_insert_with(|| chunk.clone());
                }
            }
        }
        if let Row::Chunked(head, chunks) = &mut row {
            chunks.retain(|_, chunk| !chunk.is_empty());
            assert_eq!(chunks.len() as u64, head.chunk_count);
        }
        self.parts.insert(key, (lsn, row));
    }

    fn scan(&mut self, count: usize) {
        let must = || self.truth.keys().cloned().collect();
        let mut scan = self.scan.take().unwrap_or_else(|| Scan {
            cursor: self.partition.first_cursor(),
            must: must(),
            seen: Vec::new(),
        });
        let end = self.partition.end_cursor();
        let to = scan.cursor + (end - scan.cursor).div_ceil(2);
        let granule = self.partition.scan_granule(KEYSPACE, scan.cursor, to, count);
        assert!(granule.next_cursor > scan.cursor, "scans move on");
        let range = scan.cursor..granule.next_cursor;
        assert!(granule.entries.is_sorted_by_key(|entry| (entry.position, entry.key.clone())));
        let known: BTreeSet<&[u8]> = granule.entries.iter().map(|entry| &*entry.key).collect();
        for entry in &granule.entries {
            assert!(range.contains(&entry.position.cursor()));
            if entry.kind.is_some() || entry.pending {
                scan.seen.push(entry.key.to_vec());
            }
        }
        for (key, (_, row)) in &self.parts {
            let inside = range.contains(&position_of(key).cursor());
            if inside && !matches!(row, Row::Tombstone) && !known.contains(&key[..]) {
                scan.seen.push(key.clone());
            }
        }
        scan.cursor = granule.next_cursor;
        if scan.cursor < end {
            self.scan = Some(scan);
            return;
        }
        let mut met: BTreeMap<&[u8], usize> = BTreeMap::new();
        for key in &scan.seen {
            *met.entry(key).or_default() += 1;
        }
        for key in &scan.must {
            assert_eq!(met.get(&key[..]), Some(&1), "a key that stays is met exactly once");
        }
    }

    fn due(&mut self, now_ms: u64) {
        let mut due = Vec::new();
        // Sweeps and stale items take several calls.
        for _ in 0..3 {
            due.clear();
            self.partition.due(now_ms, 10_000, &mut due);
        }
        let due: Vec<(Vec<u8>, u64)> =
            due.into_iter().map(|due| (due.key.to_vec(), due.expire_at_ms)).collect();
        let mut listed = due.clone();
        listed.sort();
        let resident = |key: &[u8]| {
            let entry = self.partition.find(KEYSPACE, position_of(key), key);
            entry.is_some_and(|entry| entry.is_live())
        };
        let expected: Vec<(Vec<u8>, u64)> = self
            .truth
            .iter()
            .filter_map(|(key, truth)| Some((key.clone(), truth.expire_at_ms?)))
            .filter(|(key, deadline)| *deadline <= now_ms && resident(key))
            .collect();
        assert_eq!(listed, expected);
    }

    /// Time goes on, and what is past its deadline is removed from memory as the engine does it:
    /// keys first, then fields.
    fn due_fields(&mut self, ms: u64) {
        self.now_ms += ms;
        let now_ms = self.now_ms;
        let is_past = |truth: &Truth| truth.expire_at_ms.is_some_and(|at| at <= now_ms);
        let past = self.truth.iter().filter(|(_, truth)| is_past(truth));
        let past: Vec<Vec<u8>> = past.map(|(key, _)| key.clone()).collect();
        past.into_iter().for_each(|key| self.delete(key));
        loop {
            let due = self.partition.due_fields(now_ms, 10_000);
            if due.is_empty() {
                break;
            }
            for DueFields { keyspace, position, key, shape, gone, count, are_all } in due {
                assert_eq!(items_of(&gone).count() as u64, count);
                self.remove_fields(key.to_vec(), shape, gone, are_all, now_ms);
                self.partition.renote_fields(keyspace, position, now_ms);
            }
        }
        for (key, truth) in &self.truth {
            let entry = self.partition.find(KEYSPACE, position_of(key), key);
            if entry.is_some_and(|entry| entry.value().is_some()) {
                assert!(truth.value.clone().at(now_ms) == truth.value, "a field is past");
            }
        }
    }

    fn remove_fields(
        &mut self,
        key: Vec<u8>,
        shape: u8,
        gone: Vec<u8>,
        are_all: bool,
        now_ms: u64,
    ) {
        let mut truth = self.truth[&key].clone();
        let Content::Hash(fields) = &mut truth.value else { panic!("a hash") };
        for item in items_of(&gone) {
            let (_, deadline_ms) = fields.remove(item.member).expect("each field once");
            assert!(deadline_ms.is_some_and(|at| at <= now_ms), "a field goes before its time");
        }
        assert_eq!(are_all, fields.is_empty());
        if are_all {
            return self.delete(key);
        }
        let edit = Edit::Remove { members: &gone }.to_bytes();
        self.write(vec![(Logged::Edit(key.clone(), false, shape, edit, delta(0, 0)), None)]);
        self.set_truth(key, Some(truth));
    }

    /// Forgets memory and recovers from parts and log.
    fn crash(&mut self) {
        self.in_flight = None;
        self.partition = Partition::new(FIRST_SLOT, SLOT_COUNT, Arc::new(position_of), hasher());
        for count in self.part_counts.values() {
            self.partition.set_slot_counts(*count);
        }
        for (lsn, logged) in self.log.iter().filter(|(lsn, _)| *lsn >= self.log_start) {
            assert!(logged.is_sound(), "{logged:?}");
            let at = At::of_frame(*lsn, NOW_MS);
            self.partition.apply(position_of(logged.key()), &logged.record(), at, None);
        }
    }

    /// Reads the bases of up to so many pending keys.
    fn resolve(&mut self, mut count: usize) {
        while count > 0 {
            let pending = self.partition.pending_keys(count.min(3));
            if pending.is_empty() {
                break;
            }
            count = count.saturating_sub(pending.len());
            for (keyspace, position, key) in pending {
                let cold = self.cold(&key);
                let departures = self.partition.departures(keyspace, position);
                let done =
                    self.partition.install(keyspace, position, &key, cold, departures, NOW_MS);
                assert_eq!(done, Install::Done);
            }
        }
    }

    fn check(&mut self) {
        self.partition.check_invariants();
        let deadlines = self.truth.values().filter(|truth| truth.expire_at_ms.is_some());
        let expected = Counts { keys: self.truth.len() as u64, expires: deadlines.count() as u64 };
        assert_eq!(self.partition.totals(KEYSPACE), expected);
        for slot in FIRST_SLOT..FIRST_SLOT + SLOT_COUNT as u16 {
            let of_slot = self.truth.keys().filter(|key| position_of(key).slot() == slot);
            let counts = self.partition.slot_counts(KEYSPACE, slot);
            assert_eq!(counts.keys, of_slot.count() as u64);
        }
        let cold = self.truth.len() as u64 - self.partition.resident_keys();
        let waits = |key: &Vec<u8>| {
            let entry = self.partition.find(KEYSPACE, position_of(key), key);
            entry.is_some_and(|entry| entry.is_pending())
        };
        let pending = self.truth.keys().any(waits);
        assert_eq!(self.partition.has_cold(), cold > 0 || pending);
    }

    /// A whole checkpoint leaves nothing dirty, and parts that hold everything.
    fn checkpoint_holds_everything(&mut self) {
        self.end_capture(false);
        self.capture(usize::MAX);
        self.end_capture(true);
        self.check();
        assert_eq!(self.partition.dirty_bytes(), 0);
        let live = self.parts.iter().filter(|(_, (_, row))| !matches!(row, Row::Tombstone));
        assert!(live.map(|(key, _)| key).eq(self.truth.keys()), "the parts hold all keys");
        self.log.clear();
        self.crash();
        let keys: Vec<Vec<u8>> = self.truth.keys().cloned().collect();
        keys.iter().for_each(|key| drop(self.load(key)));
        self.check();
    }
}

fn value_len() -> impl Strategy<Value = usize> {
    prop_oneof![
        12 => 0..40usize,
        4 => 100..2100usize,
        2 => 2049..5000usize,
        1 => 65_530..140_000usize,
    ]
}

fn deadline() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![Just(None), (0..100u64).prop_map(|ms| Some(NOW_MS + ms))]
}

fn step(keys: u16) -> impl Strategy<Value = Step> {
    prop_oneof![
        30 => (0..keys, value_len(), deadline()).prop_map(|(k, l, d)| Step::Put(k, l, d)),
        14 => (0..keys).prop_map(Step::Delete),
        8 => (0..keys, deadline()).prop_map(|(k, d)| Step::Expire(k, d)),
        8 => (0..keys, 0..100u64, 1..100usize).prop_map(|(k, o, l)| Step::WriteRange(k, o, l)),
        2 => (0..keys, 0..140_000u64, 1..9usize).prop_map(|(k, o, l)| Step::WriteRange(k, o, l)),
        40 => (0..keys, any::<u64>()).prop_map(|(k, seed)| Step::Edit(k, seed)),
        8 => (0..keys, any::<u64>(), deadline())
            .prop_map(|(k, seed, d)| Step::PutCollection(k, seed, d)),
        3 => (1..5usize).prop_map(Step::Resolve),
        2 => (0..keys, 0..keys).prop_map(|(a, b)| Step::Rename(a, b)),
        2 => (0..keys, 0..keys).prop_map(|(a, b)| Step::Copy(a, b)),
        6 => (0..keys).prop_map(Step::Read),
        4 => (0..keys, 0..keys).prop_map(|(a, b)| Step::StaleLoad(a, b)),
        10 => (0..6000usize).prop_map(Step::Capture),
        4 => any::<bool>().prop_map(Step::EndCapture),
        6 => (1..20_000u64).prop_map(Step::Unload),
        8 => (1..9usize).prop_map(Step::Scan),
        3 => (0..120u64).prop_map(|ms| Step::Due(NOW_MS + ms)),
        3 => (0..FIELD_LIFE_MS / 2).prop_map(Step::DueFields),
        1 => Just(Step::Crash),
    ]
}

fn run(bulk: u16, steps: Vec<Step>) {
    let mut engine = Engine::new();
    (0..bulk).for_each(|number| engine.put(key_of(number), 8, None));
    for (number, step) in steps.into_iter().enumerate() {
        engine.step(step);
        if number % 16 == 0 {
            engine.check();
        }
    }
    engine.checkpoint_holds_everything();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn few_keys_meet_everything(steps in prop::collection::vec(step(24), 1..400)) {
        run(0, steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn many_keys_split_and_merge_meanwhile(
        bulk in 0..2500u16,
        steps in prop::collection::vec(step(3000), 1..200),
    ) {
        run(bulk, steps);
    }
}
