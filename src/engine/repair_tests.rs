//! Damage, the refusal to open, the repair, and what opens afterwards.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::repair::{RepairReport, describe, repair, repair_on};
use crate::engine::Engine;
use crate::engine::begin::{Begin, Intent};
use crate::engine::unit::{Unit, ValueRef};
use crate::error::{Error, Result};
use crate::format::edit::Edit;
use crate::format::file_name::{PART_FOLDER, encode_manifest, encode_part};
use crate::io::Storage;
use crate::io::clock::SimClock;
use crate::io::disk::DiskStorage;
use crate::io::sim::SimStorage;
use crate::log::reader::list_segments;
use crate::log::walk::{SegmentWalker, Step, segment_path};
use crate::options::Options;
use crate::snapshot::manifest::load;
use crate::types::{Lsn, ValueKind};
use crate::value::collection::Collection;
use crate::value::item::Item;
use crate::value::stream_chunk::NewEntry;
use crate::value::stream_fact::{ConsumerState, Delivery, Fact, GroupState};
use crate::value::stream_id::StreamId;

const NOW_MS: u64 = 1_700_000_000_000;

fn options(dir: &Path) -> Options {
    let mut options = Options::new(dir);
    options.background = false;
    options.partitions = 2;
    options.seed = Some(1);
    options.segment_bytes_min = 16 << 10;
    options.segment_bytes_max = 16 << 10;
    options
}

fn open(storage: &SimStorage) -> Result<Engine> {
    let clock = Arc::new(SimClock::new(NOW_MS));
    Engine::open_on(Arc::new(storage.clone()), clock, options(Path::new("")))
}

fn repair_sim(storage: &SimStorage) -> Result<RepairReport> {
    let storage: Arc<dyn Storage> = Arc::new(storage.clone());
    repair_on(&storage, NOW_MS)
}

/// Length and checksum of a value, so that a failure can be read.
type Digest = (usize, u32);

fn digest(value: &[u8]) -> Digest {
    (value.len(), crc32fast::hash(value))
}

/// All keys with their values, and what DBSIZE says.
fn content(engine: &Engine) -> (BTreeMap<Vec<u8>, Digest>, usize) {
    let (mut cursor, mut found) = (0, BTreeMap::new());
    loop {
        let page = engine.scan(0, cursor, 100).unwrap();
        for key in page.keys {
            let value = engine.get(0, &key).unwrap().unwrap();
            found.insert(key, digest(&value));
        }
        cursor = page.next;
        if cursor == 0 {
            break;
        }
    }
    let Begin::Ready(mut unit) = engine.begin_all(&[], Intent::read(engine.now_ms())) else {
        panic!("nothing needs the disk");
    };
    let size = unit.counts(0).0 as usize;
    (found, size)
}

fn key(number: u32) -> Vec<u8> {
    format!("key {number}").into_bytes()
}

fn value(number: u32) -> Vec<u8> {
    // Number 3 is large enough for pages.
    let len = if number == 3 { 150_000 } else { 100 };
    (0..len).map(|at| (at % 251 + number) as u8).collect()
}

/// Keys 0..10 in a part, 10..30 in the log, one frame each.
fn build() -> SimStorage {
    let storage = SimStorage::new(1);
    let engine = open(&storage).unwrap();
    (0..10).for_each(|number| engine.set(0, &key(number), &value(number)).unwrap());
    engine.checkpoint().unwrap();
    (10..30).for_each(|number| engine.set(0, &key(number), &value(number)).unwrap());
    engine.write_witness().unwrap();
    storage.kill_clone()
}

fn model(numbers: impl Iterator<Item = u32>) -> BTreeMap<Vec<u8>, Digest> {
    numbers.map(|number| (key(number), digest(&value(number)))).collect()
}

/// Where the frame with an LSN begins.
fn frame_at(storage: &SimStorage, lsn: Lsn) -> (PathBuf, u64) {
    for name in list_segments(storage).unwrap().into_iter().rev() {
        let mut walker = SegmentWalker::open(storage, name).unwrap();
        loop {
            match walker.step().unwrap() {
                Step::Fragment(fragment) if fragment.header.lsn == lsn => {
                    return (segment_path(name), fragment.offset);
                }
                Step::End { .. } => break,
                _ => {}
            }
        }
    }
    panic!("no frame {lsn}");
}

/// The bytes of all files, whatever their names. `LOCK` and free log space do not count.
fn all_files(storage: &SimStorage) -> Vec<Vec<u8>> {
    let kept = |path: &PathBuf| path.extension().is_none_or(|kind| kind != "spare");
    let names = storage.file_names().into_iter().filter(kept);
    names.map(|name| storage.bytes(&name).unwrap()).collect()
}

fn assert_nothing_deleted(before: &SimStorage, after: &SimStorage) {
    let after = all_files(after);
    let lost = |file: &&Vec<u8>| !after.contains(file);
    assert_eq!(all_files(before).iter().filter(lost).count(), 0);
}

#[test]
fn a_sound_database_is_left_alone() {
    let storage = build();
    let names = storage.file_names();
    let report = repair_sim(&storage).unwrap();
    assert!(report.folder.is_none() && report.losses.is_empty());
    assert!(report.to_string().contains("nothing to repair"));
    assert_eq!(storage.file_names(), names);
    let empty = repair_sim(&SimStorage::new(1)).unwrap();
    assert!(empty.folder.is_none());
}

#[test]
fn damage_to_frames_that_parts_hold_costs_nothing() {
    let storage = build();
    let (path, offset) = frame_at(&storage, 5);
    storage.flip_bit(&path, (offset + 60) * 8);
    assert_eq!(content(&open(&storage.kill_clone()).unwrap()), (model(0..30), 30));
    let report = repair_sim(&storage).unwrap();
    assert!(report.losses.is_empty() && report.cut_behind.is_none(), "{report}");
    assert_eq!(content(&open(&storage).unwrap()), (model(0..30), 30));
}

#[test]
fn a_damaged_log_is_cut_before_the_first_lost_frame() {
    let storage = build();
    let (path, offset) = frame_at(&storage, 20);
    storage.flip_bit(&path, (offset + 60) * 8);
    let Err(Error::Corrupt { path: named, offset: at, lost, .. }) = open(&storage) else {
        panic!("opened a log with a hole");
    };
    assert_eq!((named, at), (Path::new("sim").join(&path), offset));
    assert_eq!(lost, Some((20, 20)));

    let before = storage.kill_clone();
    let report = repair_sim(&storage).unwrap();
    assert_eq!(report.cut_behind, Some(19));
    assert_eq!(report.losses.len(), 1);
    let text = report.to_string();
    assert!(text.contains("LSN 20 to 30"), "what stands behind is not applied: {text}");
    assert!(text.contains("up to LSN 19"), "{text}");
    assert_nothing_deleted(&before, &storage);

    let storage = storage.crash_clone(7);
    let engine = open(&storage).unwrap();
    let (found, size) = content(&engine);
    // Frame n holds key n - 1.
    assert_eq!(found, model(0..19));
    assert_eq!(size, 19);
    // New frames do not take the numbers of lost ones.
    engine.set(0, b"new", b"value").unwrap();
    assert!(engine.durable_lsn() > 30);
    engine.checkpoint().unwrap();
    assert_eq!(content(&engine).1, 20);
    drop(engine);
    assert!(repair_sim(&storage).unwrap().folder.is_none());
}

#[test]
fn every_kind_of_change_before_the_cut_is_kept() {
    let storage = SimStorage::new(1);
    let engine = open(&storage).unwrap();
    for number in 0..4 {
        engine.set(0, &key(number), &value(number)).unwrap();
    }
    engine.set(1, b"elsewhere", b"other database").unwrap();
    engine.checkpoint().unwrap();
    engine.delete(0, &key(0)).unwrap();
    let hour = std::time::Duration::from_secs(3600);
    engine.set_for(0, &key(1), b"soon gone", hour).unwrap();
    engine.set(0, &key(7), &value(3)).unwrap();
    engine.set(0, b"last", b"lost").unwrap();
    engine.set(0, b"witness", b"lost").unwrap();
    engine.write_witness().unwrap();
    drop(engine);
    let storage = storage.kill_clone();
    let (path, offset) = frame_at(&storage, 9);
    storage.flip_bit(&path, (offset + 45) * 8 + 3);
    repair_sim(&storage).unwrap();
    let engine = open(&storage).unwrap();
    let mut expected = model(2..4);
    expected.insert(key(1), digest(b"soon gone"));
    expected.insert(key(7), digest(&value(3)));
    assert_eq!(content(&engine), (expected, 4));
    let other = engine.get(1, b"elsewhere").unwrap();
    assert_eq!(other.as_deref(), Some(&b"other database"[..]));
}

#[test]
fn a_damaged_part_is_made_again_from_the_log_where_that_is_kept() {
    let storage = build();
    let part = newest_part(&storage);
    storage.flip_bit(&part, 8 * 40);
    assert!(matches!(open(&storage), Err(Error::Corrupt { .. })));
    let before = storage.kill_clone();
    let report = repair_sim(&storage).unwrap();
    assert!(report.fell_back_to.is_some() && report.losses.is_empty());
    assert_nothing_deleted(&before, &storage);
    assert_eq!(content(&open(&storage).unwrap()), (model(0..30), 30));
}

fn newest_part(storage: &SimStorage) -> PathBuf {
    let names = storage.file_names().into_iter();
    let mut parts = names.filter(|name| name.starts_with(PART_FOLDER));
    parts.next_back().expect("there is a part")
}

#[test]
fn a_damaged_part_that_nothing_can_replace_is_dropped_and_named() {
    let storage = build();
    let engine = open(&storage).unwrap();
    engine.set(0, &key(30), &value(30)).unwrap();
    engine.checkpoint().unwrap();
    engine.set(0, &key(31), &value(31)).unwrap();
    engine.checkpoint().unwrap();
    engine.write_witness().unwrap();
    drop(engine);
    let storage = storage.kill_clone();
    let first = Path::new(PART_FOLDER).join(encode_part(1));
    let sound = storage.kill_clone();

    // Its footer is made again, and all its rows are there.
    let len = storage.bytes(&first).unwrap().len() as u64;
    storage.flip_bit(&first, (len - 100) * 8);
    assert!(open(&storage).is_err());
    let before = storage.kill_clone();
    let report = repair_sim(&storage).unwrap();
    assert_nothing_deleted(&before, &storage);
    assert_eq!((report.losses.len(), &report.remade[..]), (0, &[first.clone()][..]));
    assert_eq!(content(&open(&storage).unwrap()), (model(0..32), 32));

    // Nothing can be made again of what is not there.
    let storage = sound;
    storage.remove(&first).unwrap();
    let report = repair_sim(&storage).unwrap();
    assert_eq!(report.losses.len(), 2);
    let text = report.to_string();
    assert!(text.contains("parts/0000000000000001.part"), "{text}");
    assert!(text.contains("13 rows cannot be read"), "{text}");
    assert!(text.contains("rows are missing from keyspace 0, position "), "{text}");
    let (found, size) = content(&open(&storage).unwrap());
    assert_eq!((found, size), (model(10..32), 22));
}

#[test]
fn a_damaged_newest_manifest_is_set_aside() {
    let storage = build();
    let newest = load(&storage).unwrap().generations[0];
    let name = PathBuf::from(encode_manifest(newest));
    storage.flip_bit(&name, 99);
    let before = storage.kill_clone();
    let report = repair_sim(&storage).unwrap();
    assert_eq!(report.set_aside.last(), Some(&name));
    assert_nothing_deleted(&before, &storage);
    assert_eq!(content(&open(&storage).unwrap()), (model(0..30), 30));
}

#[test]
fn without_any_manifest_nothing_is_touched() {
    let storage = build();
    for generation in load(&storage).unwrap().generations {
        storage.flip_bit(Path::new(&encode_manifest(generation)), 99);
    }
    let names = storage.file_names();
    let error = describe(&repair_sim(&storage).unwrap_err());
    assert!(error.contains("restore one from a backup"), "{error}");
    assert!(!error.contains("--repair"), "{error}");
    assert_eq!(storage.file_names(), names);
}

#[test]
fn a_directory_that_is_not_there_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let error = describe(&repair(&folder.path().join("no")).unwrap_err());
    assert!(error.contains("there is no such directory; name the data directory"), "{error}");
}

#[test]
fn a_repair_that_is_cut_short_can_be_repeated() {
    let damaged = || {
        let storage = build();
        let (path, offset) = frame_at(&storage, 20);
        storage.flip_bit(&path, (offset + 60) * 8);
        storage
    };
    let clean = damaged();
    let start = clean.operations();
    repair_sim(&clean).unwrap();
    for cut in start..clean.operations() {
        let storage = damaged();
        storage.power_off_at(cut);
        repair_sim(&storage).unwrap_err();
        let storage = storage.crash_clone(cut);
        let before = storage.kill_clone();
        repair_sim(&storage).unwrap();
        let finished: Vec<Vec<u8>> = all_files(&storage);
        let is_data = |file: &&Vec<u8>| file.starts_with(b"FIRNLOG\n");
        for file in all_files(&before).iter().filter(is_data) {
            assert!(finished.contains(file), "cut {cut}");
        }
        let (found, size) = content(&open(&storage).unwrap());
        assert_eq!((found.len(), size), (19, 19), "cut {cut}");
    }
}

#[test]
fn a_log_that_is_gone_is_damage_and_the_parts_are_kept() {
    let storage = build();
    open(&storage).unwrap().checkpoint().unwrap();
    let (before, size) = content(&open(&storage).unwrap());
    for name in list_segments(&storage).unwrap() {
        storage.remove(&segment_path(name)).unwrap();
    }
    let Err(Error::Corrupt { reason, .. }) = open(&storage) else {
        panic!("acknowledged writes may be lost");
    };
    assert!(reason.contains("log segments are missing"), "{reason}");
    let report = repair_sim(&storage).unwrap();
    assert!(report.folder.is_some() && !report.losses.is_empty());
    assert_eq!(content(&open(&storage).unwrap()), (before, size));
}

#[test]
fn a_directory_on_disk_is_repaired_under_its_lock() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(options(folder.path())).unwrap();
    (0..30).for_each(|number| engine.set(0, &key(number), &value(number)).unwrap());
    engine.write_witness().unwrap();
    assert!(matches!(repair(folder.path()), Err(Error::Locked { .. })));
    drop(engine);
    let storage = DiskStorage::new(folder.path());
    let name = *list_segments(&storage).unwrap().last().unwrap();
    let path = folder.path().join(segment_path(name));
    let mut bytes = fs::read(&path).unwrap();
    bytes[4096 + 200] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert!(Engine::open(options(folder.path())).is_err());
    let report = repair(folder.path()).unwrap();
    let aside = report.folder.unwrap();
    assert!(aside.join(segment_path(name)).is_file());
    let engine = Engine::open(options(folder.path())).unwrap();
    let (found, size) = content(&engine);
    assert_eq!(found.len(), size);
    assert!(size < 30 && found == model(0..size as u32), "{size} keys");
    assert!(matches!(repair(&folder.path().join("absent")), Err(Error::Io { .. })));
}

/// Changes one collection, in a frame of its own.
fn change(engine: &Engine, name: &[u8], body: impl Fn(&mut Unit<'_>, &[u8])) {
    let key = engine.key(0, name);
    match engine.begin(&[key], Intent::write(NOW_MS, 1 << 16)) {
        Begin::Ready(mut unit) => {
            body(&mut unit, name);
            unit.finish();
            engine.sync().unwrap();
        }
        _ => panic!("nothing needs the disk"),
    }
}

/// Adds to a hash and a stream, each in more than one chunk: two frames. The stream's group has
/// half of its entries pending.
fn change_collections(engine: &Engine, round: u64) {
    let numbers = || 300 * round..300 * (round + 1);
    change(engine, b"hash", |unit, name| {
        let mut items = Vec::new();
        for number in numbers() {
            Item::new(&key(number as u32), &value(number as u32)[..60]).encode(&mut items);
        }
        let key = unit.key(0, name);
        unit.edit(&key, ValueKind::Hash.shape(1), Edit::Put { items: &items });
    });
    change(engine, b"stream", |unit, name| {
        let (key, shape) = (unit.key(0, name), ValueKind::Stream.shape(0));
        let mut facts = Vec::new();
        let state = GroupState { number: 0, last_id: StreamId::MAX, entries_read: Some(round) };
        Fact::Group { name: b"group", state }.encode(&mut facts);
        let state = ConsumerState { number: 0, seen_ms: NOW_MS, active_ms: None };
        Fact::Consumer { group: 0, name: b"consumer", state }.encode(&mut facts);
        for number in numbers() {
            let id = StreamId { ms: 1 + number, seq: 0 };
            let mut entry = Vec::new();
            NewEntry::encode(id, 1, [&b"field"[..], b"value"].into_iter(), &mut entry);
            unit.edit(&key, shape, Edit::Append { begins_chunk: number % 70 == 0, entry: &entry });
            let delivery = Delivery::to(0, NOW_MS, 1);
            if number % 2 == 0 {
                Fact::Pending { group: 0, id, delivery }.encode(&mut facts);
            }
        }
        unit.edit(&key, shape, Edit::Put { items: &facts });
        unit.edit(&key, shape, Edit::Trim { count: 30 });
    });
}

/// What hash and stream hold: how many lines tell it, and their checksum.
fn lines(engine: &Engine) -> Digest {
    let mut lines = Vec::new();
    for name in [&b"hash"[..], b"stream"] {
        let key = engine.key(0, name);
        let mut unit = loop {
            match engine.begin(&[key], Intent::read(NOW_MS)) {
                Begin::Ready(unit) => break unit,
                Begin::Cold(fetch) => engine.fetch(fetch, Box::new(|done| done.unwrap())),
                _ => panic!("reads are let in"),
            }
        };
        let Some(ValueRef::Collection(held)) = unit.get(&key).map(|view| view.value) else {
            panic!("a large collection is there");
        };
        let chunks = held.chunks().chunk_count();
        assert!(chunks > 1, "{} in {chunks} chunks", String::from_utf8_lossy(name));
        let mut own: Vec<String> = match held {
            Collection::Hash(hash) => hash.iter().map(|item| format!("{item:?}")).collect(),
            Collection::Stream(stream) => {
                let entries = stream.range(StreamId::ZERO, StreamId::MAX);
                let entries = entries.map(|entry| format!("{} {}", entry.id, entry.len));
                let facts = stream.known_facts().map(|fact| format!("{fact:?}"));
                let numbers = format!("{:?}", stream.numbers());
                entries.chain(facts).chain([numbers]).collect()
            }
            _ => panic!("a hash and a stream"),
        };
        own.sort();
        lines.append(&mut own);
    }
    (lines.len(), crc32fast::hash(lines.concat().as_bytes()))
}

#[test]
fn collections_in_chunks_are_made_again_or_kept_up_to_the_cut() {
    let storage = SimStorage::new(1);
    let engine = open(&storage).unwrap();
    change_collections(&engine, 0);
    let first = lines(&engine);
    engine.checkpoint().unwrap();
    change_collections(&engine, 1);
    let second = lines(&engine);
    let next_lsn = 5;
    change_collections(&engine, 2);
    engine.write_witness().unwrap();
    let third = lines(&engine);
    drop(engine);
    assert!(first.0 < second.0 && second.0 < third.0);
    let sound = storage.kill_clone();
    assert_eq!(lines(&open(&sound.kill_clone()).unwrap()), third);

    let storage = sound.kill_clone();
    storage.flip_bit(&newest_part(&storage), 8 * 40);
    assert!(open(&storage).is_err());
    repair_sim(&storage).unwrap();
    assert_eq!(lines(&open(&storage).unwrap()), third, "the log has it all");

    let storage = sound.kill_clone();
    let (path, offset) = frame_at(&storage, next_lsn);
    storage.flip_bit(&path, (offset + 45) * 8 + 3);
    repair_sim(&storage).unwrap();
    assert_eq!(lines(&open(&storage).unwrap()), second, "the part, and the log up to the cut");
}
