//! Parts against a naive model: everything that a set of parts answers, before and after merges.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::lookup::{ColdContent, ColdRow, LiveMeta};
use super::merge::{Merge, merge};
use super::part_reader::PartReader;
use super::part_set::{DueCursors, PartSet};
use super::part_writer::PartWriter;
use super::verify::verify;
use super::*;
use crate::error::Result;
use crate::io::Storage;
use crate::io::sim::SimStorage;
use crate::limits::STRING_PAGE_BYTES;
use crate::types::{ChunkId, DatabaseId, ValueKind};
use crate::value::chunks::ChunkBytes;

pub(super) const DATABASE: DatabaseId = DatabaseId([3; 16]);
const DEAD: KeyspaceId = 9;

pub(super) type ModelKey = (KeyspaceId, Position, Vec<u8>);

/// A directory whose parts are made and asked.
pub(super) struct Rig {
    pub(super) sim: SimStorage,
    pub(super) storage: Arc<dyn Storage>,
    next_id: u64,
}

impl Rig {
    pub(super) fn new() -> Rig {
        let sim = SimStorage::new(1);
        let storage: Arc<dyn Storage> = Arc::new(sim.clone());
        storage.create_folder("parts".as_ref()).unwrap();
        storage.sync_folder("".as_ref()).unwrap();
        Rig { sim, storage, next_id: 1 }
    }

    pub(super) fn writer(&mut self) -> Result<PartWriter> {
        let id = self.next_id;
        self.next_id += 1;
        PartWriter::create(self.storage.clone(), DATABASE, id, 1_700_000_000_000)
    }

    pub(super) fn open(&self, meta: &PartMeta) -> Arc<PartReader> {
        Arc::new(PartReader::open(&self.storage, DATABASE, meta, None).unwrap())
    }

    fn part(&mut self, run: u64, rows: &Rows, counts: Vec<SlotCount>) -> Arc<PartReader> {
        let mut writer = self.writer().unwrap();
        for ((keyspace, position, key), row) in rows {
            let key = RowKey { keyspace: *keyspace, position: *position, key };
            row.push(&mut writer, &key);
        }
        writer.set_counts(counts);
        let meta = writer.finish(run).unwrap();
        self.open(&meta)
    }

    pub(super) fn part_files(&self) -> Vec<String> {
        self.storage.list("parts".as_ref()).unwrap()
    }
}

type Rows = BTreeMap<ModelKey, ModelRow>;

/// What one part is given for a key, and what the key then holds.
#[derive(Clone, Debug)]
struct ModelRow {
    whole: ColdRow,
    dirty: Vec<DirtyPage>,
    chunks: Vec<DirtyChunk>,
}

/// The bytes of a chunk, as a part keeps them.
struct RawChunk(Bytes);

impl ChunkBytes for RawChunk {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn memory_bytes(&self) -> u64 {
        self.0.len() as u64
    }
}

impl ModelRow {
    fn push(&self, writer: &mut PartWriter, key: &RowKey<'_>) {
        let value = match &self.whole.content {
            ColdContent::Tombstone => RowValue::Tombstone,
            ColdContent::String { expire_at_ms, raw, bytes } => {
                RowValue::String { expire_at_ms: *expire_at_ms, raw: *raw, bytes }
            }
            ColdContent::Paged { expire_at_ms, raw, len, generation, .. } => RowValue::Paged {
                expire_at_ms: *expire_at_ms,
                raw: *raw,
                len: *len,
                generation: *generation,
                pages: &self.dirty,
            },
            ColdContent::Packed { expire_at_ms, blob } => {
                RowValue::Packed { expire_at_ms: *expire_at_ms, blob }
            }
            ColdContent::Chunked { head, .. } => {
                RowValue::Chunked { head: *head, chunks: &self.chunks }
            }
        };
        writer.push(key, self.whole.lsn, &value).unwrap();
    }
}

#[derive(Clone, Debug)]
enum Change {
    Delete,
    Put(usize, Option<u64>, bool),
    PutPaged(u64, Option<u64>),
    /// Change a page of a paged string and perhaps append.
    Touch(u32, u64),
    PutPacked(u8, usize, Option<u64>),
    /// A new incarnation with these chunks.
    PutChunked(u8, BTreeMap<usize, usize>, Option<u64>),
    /// Change chunks of what is in chunks; none takes one away.
    TouchChunks(BTreeMap<usize, Option<usize>>, Option<u64>),
}

/// Identities of chunks, from one end of what there is to the other.
const IDS: [ChunkId; 8] =
    [0, 1, 2, 0x7fff_ffff, u64::MAX as ChunkId, 1 << 64, 3 << 100, ChunkId::MAX];

fn change() -> impl Strategy<Value = Change> {
    let expiry = || prop_oneof![Just(None), (1..50u64).prop_map(Some)];
    let page = STRING_PAGE_BYTES as u64;
    prop_oneof![
        2 => Just(Change::Delete),
        4 => (0..300usize, expiry(), any::<bool>()).prop_map(|(l, e, r)| Change::Put(l, e, r)),
        1 => (20_000..40_000usize, expiry(), any::<bool>())
            .prop_map(|(l, e, r)| Change::Put(l, e, r)),
        2 => (1..page * 3, expiry()).prop_map(|(l, e)| Change::PutPaged(l, e)),
        3 => (0..4u32, 0..page * 2).prop_map(|(page, more)| Change::Touch(page, more)),
        2 => (shape(), 0..2000usize, expiry()).prop_map(|(s, l, e)| Change::PutPacked(s, l, e)),
        3 => (shape(), chunks(), expiry()).prop_map(|(s, c, e)| Change::PutChunked(s, c, e)),
        12 => (prop::collection::btree_map(0..8usize, prop::option::of(1..9000usize), 0..6),
            expiry()).prop_map(|(chunks, e)| Change::TouchChunks(chunks, e)),
    ]
}

fn shape() -> impl Strategy<Value = u8> {
    prop::sample::select(vec![0x10u8, 0x21, 0x3f, 0x42])
}

fn chunks() -> impl Strategy<Value = BTreeMap<usize, usize>> {
    prop::collection::btree_map(0..8usize, 1..9000usize, 0..8)
}

/// Keys of several keyspaces; some share a position, one is longer than a block.
fn model_key(index: usize) -> ModelKey {
    let keyspace = [0, 1, DEAD, 70_000][index % 4];
    let position = Position([5, u64::MAX, 1 << 50, 77][index / 4 % 4]);
    let key = match index % 11 {
        0 => vec![b'k'; 20_000],
        1 => Vec::new(),
        _ => format!("key:{index}").into_bytes(),
    };
    (keyspace, position, key)
}

fn filled(len: usize, lsn: Lsn) -> Bytes {
    let byte = |index: usize| (index as u64 / 7 + lsn) as u8;
    Bytes::from((0..len).map(byte).collect::<Vec<u8>>())
}

/// What a key holds after a change.
fn changed(before: Option<&ColdRow>, change: &Change, lsn: Lsn) -> Option<ModelRow> {
    let page_bytes = STRING_PAGE_BYTES as u64;
    match (change, before.map(|row| &row.content)) {
        (Change::PutPacked(shape, len, expire_at_ms), _) => {
            let blob = [&[*shape], &filled(*len, lsn)[..]].concat();
            let content = ColdContent::Packed { expire_at_ms: *expire_at_ms, blob };
            let whole = ColdRow { lsn, content };
            return Some(ModelRow { whole, dirty: Vec::new(), chunks: Vec::new() });
        }
        (Change::PutChunked(shape, chunks, expire_at_ms), _) => {
            let head = ChunkedHead {
                expire_at_ms: *expire_at_ms,
                shape: *shape,
                len: 0,
                chunk_count: 0,
                generation: lsn,
            };
            let chunks = chunks.iter().map(|(id, len)| (*id, Some(*len)));
            return Some(chunked(head, Vec::new(), chunks.collect(), lsn));
        }
        (
            Change::TouchChunks(changes, expire_at_ms),
            Some(ColdContent::Chunked { head, chunks }),
        ) => {
            let head = ChunkedHead { expire_at_ms: *expire_at_ms, ..*head };
            return Some(chunked(head, chunks.clone(), changes.clone(), lsn));
        }
        (Change::TouchChunks(..), _) => return None,
        _ => {}
    }
    let (content, dirty) = match (change, before.map(|row| &row.content)) {
        (Change::Delete, _) => (ColdContent::Tombstone, Vec::new()),
        (Change::Put(len, expire_at_ms, raw), _) => {
            let content = ColdContent::String {
                expire_at_ms: *expire_at_ms,
                raw: *raw,
                bytes: filled(*len, lsn),
            };
            (content, Vec::new())
        }
        (Change::PutPaged(len, expire_at_ms), _) => {
            let bytes = filled(*len as usize, lsn);
            let pages: Vec<Bytes> = (0..*len)
                .step_by(STRING_PAGE_BYTES)
                .map(|at| bytes.slice(at as usize..(at + page_bytes).min(*len) as usize))
                .collect();
            let dirty = (0..).zip(&pages).map(|(number, bytes)| DirtyPage {
                number,
                bytes: bytes.clone(),
                lsn,
            });
            let dirty = dirty.collect();
            let content = ColdContent::Paged {
                expire_at_ms: *expire_at_ms,
                raw: false,
                len: *len,
                generation: lsn,
                pages,
            };
            (content, dirty)
        }
        (Change::Touch(number, more), Some(ColdContent::Paged { .. })) => {
            touched(before?.content.clone(), *number, *more, lsn)
        }
        _ => return None,
    };
    let whole = ColdRow { lsn, content };
    Some(ModelRow { whole, dirty, chunks: Vec::new() })
}

/// What is in chunks, with some of them changed or gone.
fn chunked(
    head: ChunkedHead,
    chunks: Vec<(ChunkId, Bytes)>,
    changes: BTreeMap<usize, Option<usize>>,
    lsn: Lsn,
) -> ModelRow {
    let mut chunks: BTreeMap<ChunkId, Bytes> = chunks.into_iter().collect();
    let mut dirty = Vec::new();
    for (index, len) in changes {
        let id = IDS[index];
        let content = len.map(|len| filled(len, lsn + index as u64));
        match &content {
            Some(bytes) => drop(chunks.insert(id, bytes.clone())),
            None => drop(chunks.remove(&id)),
        }
        let content = content.map(|bytes| Arc::new(RawChunk(bytes)) as Arc<dyn ChunkBytes>);
        dirty.push(DirtyChunk { id, content });
    }
    let head = ChunkedHead { len: lsn, chunk_count: chunks.len() as u64, ..head };
    let chunks = chunks.into_iter().collect();
    let whole = ColdRow { lsn, content: ColdContent::Chunked { head, chunks } };
    ModelRow { whole, dirty: Vec::new(), chunks: dirty }
}

fn touched(old: ColdContent, number: u32, more: u64, lsn: Lsn) -> (ColdContent, Vec<DirtyPage>) {
    let ColdContent::Paged { expire_at_ms, len, generation, mut pages, .. } = old else {
        unreachable!("only paged strings are touched")
    };
    let len = len + more;
    let wanted = len.div_ceil(STRING_PAGE_BYTES as u64);
    let mut dirty = Vec::new();
    for at in 0..wanted {
        let bytes = (len - at * STRING_PAGE_BYTES as u64).min(STRING_PAGE_BYTES as u64) as usize;
        let index = at as usize;
        let stays = pages.get(index).is_some_and(|page| page.len() == bytes);
        if stays && at != u64::from(number) {
            continue;
        }
        let page = filled(bytes, lsn + at);
        match pages.get_mut(index) {
            Some(old) => *old = page.clone(),
            None => pages.push(page.clone()),
        }
        dirty.push(DirtyPage { number: at as u32, bytes: page, lsn });
    }
    let content = ColdContent::Paged { expire_at_ms, raw: true, len, generation, pages };
    (content, dirty)
}

type Model = BTreeMap<ModelKey, ColdRow>;

fn deadline_of(row: &ColdRow) -> Option<u64> {
    match row.content {
        ColdContent::String { expire_at_ms, .. }
        | ColdContent::Paged { expire_at_ms, .. }
        | ColdContent::Packed { expire_at_ms, .. } => expire_at_ms,
        ColdContent::Chunked { head, .. } => head.expire_at_ms,
        ColdContent::Tombstone => None,
    }
}

fn check_lookups(set: &PartSet, model: &Model) {
    for index in 0..64 {
        let (keyspace, position, key) = model_key(index);
        let expected = model.get(&(keyspace, position, key.clone()));
        let found = set.lookup(keyspace, position, &key).unwrap();
        assert_eq!(found.as_ref(), expected);
        assert!(expected.is_none() || set.may_contain(keyspace, position));
        let meta = set.lookup_meta(keyspace, position, &key).unwrap();
        assert_eq!(meta.map(|meta| meta.lsn), expected.map(|row| row.lsn));
        let live = expected.and_then(|row| match &row.content {
            ColdContent::Tombstone => None,
            ColdContent::String { expire_at_ms, raw, bytes } => Some(LiveMeta {
                expire_at_ms: *expire_at_ms,
                raw: *raw,
                len: bytes.len() as u64,
                kind: ValueKind::String,
                generation: None,
            }),
            ColdContent::Paged { expire_at_ms, raw, len, generation, .. } => Some(LiveMeta {
                expire_at_ms: *expire_at_ms,
                raw: *raw,
                len: *len,
                kind: ValueKind::String,
                generation: Some(*generation),
            }),
            ColdContent::Packed { expire_at_ms, blob } => Some(LiveMeta {
                expire_at_ms: *expire_at_ms,
                raw: false,
                len: blob.len() as u64 - 1,
                kind: ValueKind::of_shape(blob[0]).unwrap(),
                generation: None,
            }),
            ColdContent::Chunked { head, .. } => Some(LiveMeta {
                expire_at_ms: head.expire_at_ms,
                raw: false,
                len: head.len,
                kind: ValueKind::of_shape(head.shape).unwrap(),
                generation: Some(head.generation),
            }),
        });
        assert_eq!(meta.and_then(|meta| meta.live), live);
        let head = set.lookup_paged(keyspace, position, &key).unwrap();
        let pages = match expected.map(|row| &row.content) {
            Some(ColdContent::Paged { pages, .. }) => Some(pages),
            _ => None,
        };
        assert_eq!(head.as_ref().map(|head| head.page_count()), pages.map(Vec::len));
        if let (Some(head), Some(pages)) = (head, pages) {
            let last = pages.len() - 1;
            assert_eq!(head.read_page(last as u32).unwrap(), pages[last]);
        }
    }
}

fn check_scans(set: &PartSet, model: &Model) {
    for keyspace in [0, 1, 2, DEAD, 70_000, 70_001] {
        for (from, to) in [(0, None), (6, None), (5, Some(77)), (77, Some(u64::MAX)), (6, Some(6))]
        {
            let mut found = Vec::new();
            set.scan_keys(keyspace, Position(from), to.map(Position), |row| {
                let expiry = row.expire_at_ms;
                found.push((row.position, row.key.to_vec(), row.lsn, row.kind.is_some(), expiry));
                ControlFlow::Continue(())
            })
            .unwrap();
            let within = |at: u64| from <= at && to.is_none_or(|to| at < to);
            let expected: Vec<_> = model
                .iter()
                .filter(|((space, at, _), _)| *space == keyspace && within(at.0))
                .map(|((_, at, key), row)| {
                    let live = row.content != ColdContent::Tombstone;
                    (*at, key.clone(), row.lsn, live, deadline_of(row))
                })
                .collect();
            assert_eq!(found, expected);
        }
    }
}

/// Every key with a deadline is found on time, in small steps, and none before.
fn check_due(set: &PartSet, model: &Model) {
    let mut cursors = DueCursors::default();
    let mut found = Vec::new();
    for now_ms in [0, 10, 30, 60] {
        while set.due(&mut cursors, now_ms, 3, &mut found).unwrap() {}
        assert!(found.iter().all(|row| row.deadline_ms <= now_ms));
        for ((keyspace, position, _), row) in model {
            if let Some(deadline_ms) = deadline_of(row).filter(|&at| at <= now_ms) {
                let expected = Deadline { deadline_ms, keyspace: *keyspace, position: *position };
                assert!(found.contains(&expected), "{expected:?}");
            }
        }
    }
}

fn check(set: &PartSet, model: &Model) {
    check_lookups(set, model);
    check_scans(set, model);
    check_due(set, model);
    for part in set.parts() {
        let verified = verify(part, &mut |error| panic!("{error}"));
        assert_eq!(verified.problem_count, 0);
        assert_eq!(verified.row_count, part.meta().row_count);
    }
}

/// Merges neighbours and returns the set with the outputs in their place.
fn merged(rig: &mut Rig, set: &PartSet, range: std::ops::Range<usize>, dead: bool) -> PartSet {
    let inputs = &set.parts()[range.clone()];
    let storage = rig.storage.clone();
    let plan = Merge {
        inputs,
        bottom: range.end == set.parts().len(),
        is_dead: &|keyspace| dead && keyspace == DEAD,
        part_bytes_max: 600,
        storage: &storage,
    };
    let mut pace = |_| ControlFlow::Continue(());
    let outputs = merge(&plan, &mut || rig.writer(), &mut pace).unwrap().unwrap();
    let mut parts: Vec<Arc<PartReader>> = set.parts().to_vec();
    let outputs: Vec<Arc<PartReader>> = outputs.iter().map(|meta| rig.open(meta)).collect();
    parts.splice(range, outputs);
    PartSet::new(parts)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn parts_answer_like_the_model_before_and_after_merges(
        runs in prop::collection::vec(
            prop::collection::vec((0..64usize, change()), 0..30), 1..5),
        cut in (0..5usize, 1..5usize),
    ) {
        let (mut rig, mut model, mut lsn) = (Rig::new(), Model::new(), 100);
        let mut counts = BTreeMap::new();
        let mut parts = Vec::new();
        for (run, changes) in (1..).zip(&runs) {
            let mut rows = Rows::new();
            for (index, change) in changes {
                let key = model_key(*index);
                // One part has one row a key: a key changes once between checkpoints here.
                if rows.contains_key(&key) {
                    continue;
                }
                lsn += 10;
                if let Some(row) = changed(model.get(&key), change, lsn) {
                    model.insert(key.clone(), row.whole.clone());
                    rows.insert(key, row);
                }
            }
            let slots = changes.iter().map(|change| change.0 as u16);
            let slots: std::collections::BTreeSet<u16> = slots.collect();
            let new: Vec<SlotCount> = slots
                .into_iter()
                .map(|slot| SlotCount { keyspace: 1, slot, keys: lsn, expires: run, lsn })
                .collect();
            counts.extend(new.iter().map(|count| (count.slot, *count)));
            parts.push(rig.part(run, &rows, new));
        }
        let counts: Vec<SlotCount> = counts.into_values().collect();
        let set = PartSet::new(parts);
        check(&set, &model);
        prop_assert_eq!(set.counts(), counts.clone());

        // Any neighbours in age may be merged; what is asked stays the same.
        let start = cut.0 % set.parts().len();
        let end = (start + cut.1).min(set.parts().len());
        let at_bottom = end == set.parts().len();
        let inputs = set.parts()[start..end].iter();
        let merged_lsn = inputs.map(|part| part.meta().max_lsn).max().unwrap();
        let set = merged(&mut rig, &set, start..end, false);
        let mut expected = model.clone();
        expected.retain(|_, row| {
            !at_bottom || row.lsn > merged_lsn || row.content != ColdContent::Tombstone
        });
        check(&set, &expected);
        prop_assert_eq!(set.counts(), counts.clone());

        // All of them, at the bottom: no tombstone and no dead keyspace is left.
        let all = 0..set.parts().len();
        let set = merged(&mut rig, &set, all, true);
        model.retain(|key, row| row.content != ColdContent::Tombstone && key.0 != DEAD);
        check(&set, &model);
        prop_assert_eq!(set.counts(), counts);
    }
}

/// A part of `count` short strings.
pub(super) fn plain_part(rig: &mut Rig, run: u64, count: u64) -> Arc<PartReader> {
    let mut writer = rig.writer().unwrap();
    for index in 0..count {
        let key = format!("key:{index:012}");
        let key = RowKey {
            keyspace: 0,
            position: Position(index.wrapping_mul(1 << 44)),
            key: key.as_bytes(),
        };
        let value = RowValue::String {
            expire_at_ms: (index % 10 == 0).then_some(index),
            raw: false,
            bytes: &filled(64, index),
        };
        writer.push(&key, index + 1, &value).unwrap();
    }
    let meta = writer.finish(run).unwrap();
    rig.open(&meta)
}

#[test]
fn a_cold_lookup_reads_two_blocks_and_a_filtered_one_none() {
    let mut rig = Rig::new();
    let meta = *plain_part(&mut rig, 1, 20_000).meta();
    let lookups = |budget: usize| {
        let cache = Arc::new(block_cache::BlockCache::new(budget));
        let part = PartReader::open(&rig.storage, DATABASE, &meta, Some(cache.clone())).unwrap();
        assert!(part.key_index().len() > 30, "{} key blocks", part.key_index().len());
        (PartSet::new(vec![Arc::new(part)]), cache)
    };
    let (set, cache) = lookups(0);
    for index in (0..20_000u64).step_by(97) {
        let before = cache.hits_and_misses().1;
        let position = Position(index.wrapping_mul(1 << 44));
        let key = format!("key:{index:012}");
        let found = set.lookup(0, position, key.as_bytes()).unwrap().unwrap();
        assert_eq!(found.lsn, index + 1);
        assert!(cache.hits_and_misses().1 - before <= 2);
    }
    let before = cache.hits_and_misses().1;
    let absent =
        (0..1000u64).filter(|n| set.lookup(0, Position(n << 40 | 1), b"x").unwrap().is_some());
    assert_eq!(absent.count(), 0);
    assert!(cache.hits_and_misses().1 - before < 30);

    let (set, cache) = lookups(1 << 24);
    for _ in 0..2 {
        assert!(set.lookup(0, Position(0), b"key:000000000000").unwrap().is_some());
    }
    assert_eq!(cache.hits_and_misses(), (2, 2));
}

#[test]
fn due_reads_only_the_blocks_that_are_due() {
    let mut rig = Rig::new();
    let meta = *plain_part(&mut rig, 1, 30_000).meta();
    let cache = Arc::new(block_cache::BlockCache::new(1 << 24));
    let part = PartReader::open(&rig.storage, DATABASE, &meta, Some(cache.clone())).unwrap();
    assert!(part.deadline_index().len() > 1);
    let set = PartSet::new(vec![Arc::new(part)]);
    let (mut cursors, mut out) = (DueCursors::default(), Vec::new());
    assert!(!set.due(&mut cursors, 100, 1000, &mut out).unwrap());
    assert_eq!((out.len(), cache.hits_and_misses().1), (11, 1));
    while set.due(&mut cursors, u64::MAX, 1000, &mut out).unwrap() {}
    assert_eq!(out.len(), 3000);
    assert!(out.is_sorted());
}

#[test]
fn a_merge_that_is_broken_off_leaves_no_file() {
    let mut rig = Rig::new();
    let inputs = [plain_part(&mut rig, 1, 10_000), plain_part(&mut rig, 2, 10_000)];
    let before = rig.part_files();
    let storage = rig.storage.clone();
    let plan = Merge {
        inputs: &inputs,
        bottom: true,
        is_dead: &|_| false,
        part_bytes_max: 40_000,
        storage: &storage,
    };
    for steps in [0, 1, 40] {
        let mut left = steps;
        let mut finished = 0;
        let mut pace = |_| {
            let files = storage.list("parts".as_ref()).unwrap();
            finished = files.iter().filter(|name| !name.starts_with("tmp-")).count();
            left -= 1;
            if left < 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        assert!(merge(&plan, &mut || rig.writer(), &mut pace).unwrap().is_none());
        assert_eq!(finished > before.len(), steps == 40, "outputs after {steps} steps");
        assert_eq!(rig.part_files().len(), before.len());
    }
}

#[test]
fn an_obsolete_part_is_unlinked_with_its_last_handle() {
    let mut rig = Rig::new();
    let (one, two) = (plain_part(&mut rig, 1, 3), plain_part(&mut rig, 2, 3));
    let set = PartSet::new(vec![one, two]);
    let handle = set.parts()[0].clone();
    set.retire_all_but(|id| id == 1);
    drop(set);
    assert_eq!(rig.part_files().len(), 2);
    assert!(handle.meta().id == 2 && verify(&handle, &mut |_| ()).problem_count == 0);
    drop(handle);
    assert_eq!(rig.part_files(), ["0000000000000001.part"]);
}

/// Parts with one paged string each: (length in pages, generation, pages flushed), oldest first.
fn paged_parts(rig: &mut Rig, heads: &[(u64, Lsn, &[u32])]) -> PartSet {
    let part = |(run, (pages, generation, flushed)): (u64, &(u64, Lsn, &[u32]))| {
        let mut writer = rig.writer().unwrap();
        let dirty: Vec<DirtyPage> = flushed
            .iter()
            .map(|&number| DirtyPage {
                number,
                bytes: filled(STRING_PAGE_BYTES, run),
                lsn: 100 + run,
            })
            .collect();
        let value = RowValue::Paged {
            expire_at_ms: None,
            raw: false,
            len: pages * STRING_PAGE_BYTES as u64,
            generation: *generation,
            pages: &dirty,
        };
        let key = RowKey { keyspace: 1, position: Position(5), key: b"long" };
        writer.push(&key, 100 + run, &value).unwrap();
        let meta = writer.finish(run).unwrap();
        rig.open(&meta)
    };
    PartSet::new((1..).zip(heads).map(part).collect())
}

#[test]
fn pages_of_another_generation_never_fill_a_gap() {
    let mut rig = Rig::new();
    let set = paged_parts(&mut rig, &[(2, 10, &[0, 1]), (2, 20, &[0])]);
    let lookup = |set: &PartSet| set.lookup(1, Position(5), b"long").map(|_| ());
    assert!(matches!(lookup(&set), Err(crate::error::Error::Corrupt { .. })));
    let set = merged(&mut rig, &set, 0..2, false);
    assert!(matches!(lookup(&set), Err(crate::error::Error::Corrupt { .. })));
    assert_eq!(set.parts()[0].meta().row_count, 2);

    // The newest head is alone, its pages are behind a head of another generation.
    let set = paged_parts(&mut rig, &[(1, 10, &[0]), (1, 20, &[])]);
    assert!(matches!(lookup(&set), Err(crate::error::Error::Corrupt { .. })));
}

/// What a part holds of a collection: (chunks it has, generation, what was flushed).
type Flush = (u64, u64, &'static [(ChunkId, &'static [u8])]);

/// Parts with one collection each, oldest first.
fn chunked_parts(rig: &mut Rig, heads: &[Flush]) -> PartSet {
    let part = |(run, (chunk_count, generation, flushed)): (u64, &Flush)| {
        let mut writer = rig.writer().unwrap();
        let chunk = |(id, bytes): &(ChunkId, &'static [u8])| {
            let content = Arc::new(RawChunk(Bytes::from_static(bytes))) as Arc<dyn ChunkBytes>;
            let content = (!bytes.is_empty()).then_some(content);
            DirtyChunk { id: *id, content }
        };
        let chunks: Vec<DirtyChunk> = flushed.iter().map(chunk).collect();
        let (chunk_count, generation) = (*chunk_count, *generation);
        let head = ChunkedHead { expire_at_ms: None, shape: 0x41, len: 9, chunk_count, generation };
        let key = RowKey { keyspace: 1, position: Position(5), key: b"large" };
        writer.push(&key, 100 + run, &RowValue::Chunked { head, chunks: &chunks }).unwrap();
        let meta = writer.finish(run).unwrap();
        rig.open(&meta)
    };
    PartSet::new((1..).zip(heads).map(part).collect())
}

fn chunks_of(set: &PartSet) -> Result<Vec<(ChunkId, Bytes)>> {
    let row = set.lookup(1, Position(5), b"large")?.unwrap();
    let ColdContent::Chunked { chunks, .. } = row.content else { panic!("{row:?}") };
    Ok(chunks.into_iter().collect())
}

#[test]
fn a_chunk_that_is_gone_hides_older_ones_until_the_bottom() {
    let mut rig = Rig::new();
    let rows: &[Flush] = &[
        (2, 7, &[(1, b"one"), (2, b"two")]),
        (1, 7, &[(2, b"")]),
        (2, 7, &[(3, b"three")]),
        (2, 7, &[(1, b""), (2, b"again")]),
    ];
    let set = chunked_parts(&mut rig, rows);
    let expected = vec![(2, Bytes::from("again")), (3, Bytes::from("three"))];
    assert_eq!(chunks_of(&set).unwrap(), expected);
    let above = merged(&mut rig, &set, 0..3, false);
    assert_eq!(chunks_of(&above).unwrap(), expected);
    assert_eq!(above.parts()[0].meta().row_count, 4, "a head, two chunks, one that is gone");
    let all = merged(&mut rig, &above, 0..2, false);
    assert_eq!(chunks_of(&all).unwrap(), expected);
    assert_eq!(all.parts()[0].meta().row_count, 3);
}

#[test]
fn chunks_of_another_incarnation_never_fill_a_gap() {
    let mut rig = Rig::new();
    let rows: &[Flush] = &[(2, 7, &[(1, b"one"), (2, b"two")]), (2, 8, &[(1, b"other")])];
    let set = chunked_parts(&mut rig, rows);
    chunks_of(&set).unwrap_err();
    let set = merged(&mut rig, &set, 0..2, false);
    chunks_of(&set).unwrap_err();
    // Nor do chunks of the same one behind a key that was something else in between.
    let rows: &[Flush] = &[(1, 7, &[(1, b"one")]), (0, 8, &[]), (1, 7, &[])];
    let set = chunked_parts(&mut rig, rows);
    chunks_of(&set).unwrap_err();
}

#[test]
fn pages_beyond_the_end_are_ignored_and_dropped_by_a_merge() {
    let mut rig = Rig::new();
    let set = paged_parts(&mut rig, &[(3, 10, &[0, 1, 2]), (1, 10, &[])]);
    let expected = set.lookup(1, Position(5), b"long").unwrap().unwrap();
    let ColdContent::Paged { pages, .. } = &expected.content else { panic!("{expected:?}") };
    assert_eq!(pages, &[filled(STRING_PAGE_BYTES, 1)]);
    let set = merged(&mut rig, &set, 0..2, false);
    assert_eq!(set.lookup(1, Position(5), b"long").unwrap(), Some(expected));
    assert_eq!(set.parts()[0].meta().row_count, 2);
}

#[test]
fn a_seek_reads_no_block_of_another_keyspace() {
    let mut rig = Rig::new();
    let mut writer = rig.writer().unwrap();
    for keyspace in [0, 4] {
        let key = RowKey { keyspace, position: Position(5), key: b"k" };
        writer.push(&key, 1, &RowValue::Tombstone).unwrap();
    }
    let meta = writer.finish(1).unwrap();
    let part = rig.open(&meta);
    let caching = part_reader::Caching::Pass;
    for (from, expected) in [((0, 5), Some(0)), ((1, 0), Some(4)), ((4, 6), None)] {
        let from = (from.0, Position(from.1));
        let mut cursor = part_cursor::PartCursor::seek(&part, from, caching).unwrap();
        assert_eq!(cursor.place().map(|place| place.0), expected);
        assert_eq!(cursor.take_blocks_read(), 1);
    }
}
