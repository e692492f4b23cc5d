//! Directories are built by the engine; reports are read as a person would read them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::directory::Directory;
use super::keys::{Filter, Format, ValueFormat, get, keys};
use super::progress::Progress;
use super::{Failure, Outcome, log_view, overview, verify};
use crate::engine::Engine;
use crate::engine::begin::{Begin, Intent};
use crate::engine::unit::{Key, NewString, Unit};
use crate::format::edit::Edit;
use crate::format::file_name::{PART_FOLDER, encode_manifest};
use crate::io::Storage;
use crate::io::clock::SimClock;
use crate::io::sim::SimStorage;
use crate::log::reader::list_segments;
use crate::log::walk::{SegmentWalker, Step, segment_path};
use crate::options::Options;
use crate::types::ValueKind;
use crate::value::item::Item;
use crate::value::list_item;
use crate::value::score;

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

fn open(storage: &SimStorage) -> Engine {
    let clock = Arc::new(SimClock::new(NOW_MS));
    Engine::open_on(Arc::new(storage.clone()), clock, options(Path::new(""))).unwrap()
}

fn write(engine: &Engine, name: &[u8], body: impl Fn(&mut Unit<'_>, &Key<'_>)) {
    let key = engine.key(0, name);
    loop {
        match engine.begin(&[key], Intent::write(NOW_MS, 300_000)) {
            Begin::Ready(mut unit) => {
                body(&mut unit, &key);
                unit.finish();
                return engine.sync().unwrap();
            }
            Begin::Cold(fetch) => engine.fetch(fetch, Box::new(|done| done.unwrap())),
            Begin::Wait => engine.sync().unwrap(),
            Begin::Refused(error) => panic!("{error}"),
        }
    }
}

/// A part with five keys, and a log that changes some of them.
fn build() -> SimStorage {
    let storage = SimStorage::new(1);
    let engine = open(&storage);
    let large: Vec<u8> = (0..70_000u32).map(|at| (at % 251) as u8).collect();
    engine.set(0, b"paged", &large).unwrap();
    engine.set(0, b"cold", b"in the part").unwrap();
    engine.set(0, b"gone", b"deleted later").unwrap();
    engine.set(0, b"kept", b"changed later").unwrap();
    engine.set(3, b"other", b"of database 3").unwrap();
    engine.checkpoint().unwrap();
    engine.delete(0, b"gone").unwrap();
    let deadline = Some(NOW_MS + 5000);
    write(&engine, b"\xff\n\"", |unit, key| {
        unit.put(key, NewString::Copied(b"binary"), deadline);
    });
    write(&engine, b"paged", |unit, key| {
        unit.write_range(key, 69_990, NewString::Copied(b"0123456789abc"));
    });
    write(&engine, b"kept", |unit, key| {
        unit.set_expiry(key, Some(NOW_MS + 1_000_000));
    });
    engine.write_witness().unwrap();
    storage.kill_clone()
}

fn directory(storage: &SimStorage) -> Directory {
    Directory::on(Arc::new(storage.clone())).unwrap()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

fn verified(storage: &SimStorage) -> (Outcome, String) {
    let mut out = Vec::new();
    let outcome = verify::verify(&directory(storage), &mut Progress::silent(), &mut out).unwrap();
    (outcome, text(out))
}

fn logged(storage: &SimStorage, from: u64, to: u64) -> (Outcome, String) {
    let mut out = Vec::new();
    let outcome = log_view::log(&directory(storage), from..=to, &mut out).unwrap();
    (outcome, text(out))
}

/// Outcome, list and warnings.
fn listed(storage: &SimStorage, filter: &Filter, format: Format) -> (Outcome, String, String) {
    let (mut out, mut warn) = (Vec::new(), Vec::new());
    let mut progress = Progress::silent();
    let aside = (&mut progress, &mut warn as &mut dyn std::io::Write);
    let outcome = keys(&directory(storage), filter, format, NOW_MS, &mut out, aside).unwrap();
    (outcome, text(out), text(warn))
}

fn value(storage: &SimStorage, db: u32, key: &[u8]) -> (Result<Outcome, Failure>, Vec<u8>) {
    let (mut out, mut warn) = (Vec::new(), Vec::new());
    let mut progress = Progress::silent();
    let aside = (&mut progress, &mut warn as &mut dyn std::io::Write);
    let format = ValueFormat::Raw;
    let outcome = get(&directory(storage), db, key, format, &mut out, aside);
    (outcome, out)
}

/// The segment that holds the newest frames, and where a frame begins in it.
fn place_of(storage: &SimStorage, lsn: u64) -> (PathBuf, u64) {
    let name = *list_segments(storage).unwrap().last().unwrap();
    let (_, report) = logged(storage, lsn, lsn);
    let line = report.lines().find(|line| line.starts_with("frame")).unwrap();
    let place = line.split(" in ").nth(1).unwrap();
    let offset = place.split(['+', ':']).nth(1).unwrap();
    (segment_path(name), offset.parse().unwrap())
}

#[test]
fn a_sound_directory_verifies_and_stays_as_it_is() {
    let storage = build();
    let (names, operations) = (storage.file_names(), storage.operations());
    let (outcome, report) = verified(&storage);
    assert_eq!(outcome, Outcome::Sound, "{report}");
    assert!(report.contains("nothing is damaged"), "{report}");
    assert!(report.contains("sound, LSN 1 to 9"), "{report}");
    listed(&storage, &Filter::default(), Format::Text);
    overview::summary(&directory(&storage), &mut Progress::silent(), &mut Vec::new()).unwrap();
    assert_eq!((storage.file_names(), storage.operations()), (names, operations));
}

#[test]
fn keys_are_those_that_a_recovery_finds() {
    let storage = build();
    let (outcome, list, warnings) = listed(&storage, &Filter::default(), Format::Json);
    assert_eq!((outcome, warnings.as_str()), (Outcome::Sound, ""));
    let mut lines: Vec<&str> = list.lines().collect();
    lines.sort_unstable();
    let line = |db, key, bytes, expire_at, lsn| {
        format!(
            "{{\"db\":{db},{key},\"type\":\"string\",\"bytes\":{bytes},\
             \"expire_at\":{expire_at},\"expired\":false,\"lsn\":{lsn}}}"
        )
    };
    let soon = "\"2023-11-14T22:13:25.000Z\"";
    let later = "\"2023-11-14T22:30:00.000Z\"";
    let expected = [
        line(0, r#""key":"cold""#, 11, "null", 2),
        line(0, r#""key":"kept""#, 13, later, 9),
        line(0, r#""key":"paged""#, 70_003, "null", 8),
        line(0, r#""key_base64":"/woi""#, 6, soon, 7),
        line(3, r#""key":"other""#, 13, "null", 5),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn listings_are_filtered_and_escaped() {
    let storage = build();
    let filter = |pattern: &[u8], db| Filter { pattern: Some(pattern.to_vec()), kind: None, db };
    let (_, list, _) = listed(&storage, &filter(b"?[dt]*", None), Format::Text);
    assert_eq!(list, "\"other\"  db 3, string, 13 bytes\n");
    let (_, list, _) = listed(&storage, &filter(b"\xff*", Some(0)), Format::Text);
    let line = "\"\\xff\\n\\\"\"  db 0, string, 6 bytes, expires 2023-11-14T22:13:25.000Z\n";
    assert_eq!(list, line);
    let (_, list, _) = listed(&storage, &filter(b"*", Some(3)), Format::Csv);
    let csv = "db,key,key_base64,type,bytes,expire_at,expired,lsn\n\
               3,other,,string,13,,false,5\n";
    assert_eq!(list, csv);
    let lists = Filter { kind: Some("list".into()), ..Filter::default() };
    assert_eq!(listed(&storage, &lists, Format::Text).1, "");
}

#[test]
fn values_come_from_the_log_over_the_parts() {
    let storage = build();
    assert_eq!(value(&storage, 0, b"cold").1, b"in the part");
    assert_eq!(value(&storage, 3, b"other").1, b"of database 3");
    assert_eq!(value(&storage, 0, b"kept").1, b"changed later");
    let (_, paged) = value(&storage, 0, b"paged");
    assert_eq!((paged.len(), &paged[69_990..]), (70_003, &b"0123456789abc"[..]));
    // As `keys` writes it.
    assert_eq!(value(&storage, 0, br#""\xff\n\"""#).1, b"binary");
    for absent in [&b"gone"[..], b"never"] {
        assert_eq!(value(&storage, 0, absent).0.unwrap(), Outcome::Missing);
    }
    assert_eq!(value(&storage, 99_999, b"cold").0.unwrap(), Outcome::Missing);
}

#[test]
fn the_log_is_shown_frame_by_frame() {
    let storage = build();
    let (outcome, report) = logged(&storage, 5, 9);
    assert_eq!(outcome, Outcome::Sound);
    let lines = report.lines().filter(|line| !line.starts_with("segment"));
    let shown: Vec<&str> = lines.collect();
    let expected_records = [
        "  put keyspace 3 \"other\" = \"of database 3\", keys +1",
        "  delete keyspace 0 \"gone\", keys -1",
        "  put keyspace 0 \"\\xff\\n\\\"\" = \"binary\", expires 2023-11-14T22:13:25.000Z, \
         keys +1, expires +1",
        "  write-range keyspace 0 \"paged\" at 69990 = \"0123456789abc\"",
        "  expire keyspace 0 \"kept\" 2023-11-14T22:30:00.000Z, expires +1",
    ];
    let records: Vec<&str> = shown.iter().copied().filter(|line| line.starts_with(' ')).collect();
    assert_eq!(records, expected_records, "{report}");
    for lsn in 5..=9 {
        let frame = format!("frame LSN {lsn} at ");
        assert!(shown.iter().any(|line| line.starts_with(&frame)), "{report}");
    }
    assert!(report.contains("sync LSN 9 at"), "{report}");
    assert!(shown.last().unwrap().ends_with(": clean"), "{report}");
    assert!(!report.contains("frame LSN 4 "), "{report}");
}

#[test]
fn damage_in_the_log_is_named_and_passed_over() {
    let storage = build();
    let (path, offset) = place_of(&storage, 7);
    storage.flip_bit(&path, (offset + 50) * 8);
    let place = format!("DAMAGED {} byte {offset}: ", Path::new("sim").join(&path).display());
    let (outcome, report) = verified(&storage);
    assert_eq!(outcome, Outcome::Damaged);
    assert!(report.contains(&place) && report.contains("lost: LSN 7\n"), "{report}");
    assert!(report.ends_with("1 problems\n"), "{report}");
    let (outcome, report) = logged(&storage, 6, 9);
    assert_eq!(outcome, Outcome::Damaged);
    assert!(report.contains(&place), "{report}");
    for (lsn, there) in [(6, true), (7, false), (8, true), (9, true)] {
        assert_eq!(report.contains(&format!("frame LSN {lsn} at")), there, "{report}");
    }
    // The state is the one that a repair would leave: up to the damage.
    let (outcome, list, warnings) = listed(&storage, &Filter::default(), Format::Text);
    assert_eq!(outcome, Outcome::Damaged);
    assert!(warnings.contains("this is the state at LSN 6"), "{warnings}");
    assert!(list.contains("\"paged\"  db 0, string, 70000 bytes"), "{list}");
    assert!(!list.contains("gone") && !list.contains("\\xff"), "{list}");
}

/// The bytes of a segment that mean anything: not free space, nor what fills fragments up.
fn covered_bytes(storage: &SimStorage, path: &Path) -> Vec<u64> {
    let mut names = list_segments(storage).unwrap().into_iter();
    let name = names.find(|name| segment_path(*name) == path).unwrap();
    let mut walker = SegmentWalker::open(storage, name).unwrap();
    let mut covered: Vec<u64> = (0..4096).collect();
    while let Step::Fragment(fragment) = walker.step().unwrap() {
        let end = fragment.offset + 40 + u64::from(fragment.header.payload_bytes);
        covered.extend(fragment.offset..end);
    }
    covered
}

#[test]
fn every_flipped_bit_of_a_file_in_use_is_reported() {
    let clean = build();
    let mut flips = Vec::new();
    for path in clean.file_names() {
        let whole = 0..clean.bytes(&path).unwrap().len() as u64;
        let covered = match path.to_string_lossy() {
            name if name.ends_with(".spare") || name == "LOCK" => continue,
            name if name.ends_with(".log") => covered_bytes(&clean, &path),
            _ => whole.collect(),
        };
        let bytes = covered.into_iter().step_by(331);
        flips.extend(bytes.map(|byte| (path.clone(), byte * 8 + byte % 8)));
    }
    assert!(flips.len() > 50, "{}", flips.len());
    for (path, bit) in flips {
        let storage = clean.kill_clone();
        storage.flip_bit(&path, bit);
        let (outcome, report) = verified(&storage);
        assert_eq!(outcome, Outcome::Damaged, "bit {bit} of {}: {report}", path.display());
        let name = path.file_name().unwrap().to_string_lossy();
        let damaged = report.lines().filter(|line| line.starts_with("DAMAGED"));
        assert!(damaged.clone().any(|line| line.contains(&*name)), "{report}");
    }
}

#[test]
fn a_damaged_block_hides_its_keys_and_no_others() {
    let storage = SimStorage::new(1);
    let engine = open(&storage);
    let name = |number: u32| format!("a key with a long name {number:06}").into_bytes();
    for number in 0..3000 {
        engine.set(0, &name(number), b"v").unwrap();
    }
    engine.checkpoint().unwrap();
    engine.set(0, b"logged", b"v").unwrap();
    drop(engine);
    let storage = storage.kill_clone();
    let part = storage.file_names().into_iter().find(|name| name.starts_with(PART_FOLDER));
    let part = part.unwrap();
    let shared: Arc<dyn Storage> = Arc::new(storage.clone());
    let reader = crate::snapshot::part_reader::PartReader::open_unlisted(&shared, 1, 1, None);
    let blocks: Vec<_> = reader.unwrap().key_index().iter().map(|entry| entry.block).collect();
    assert!(blocks.len() > 2);
    storage.flip_bit(&part, (blocks[1].offset + 30) * 8);
    let (outcome, list, warnings) = listed(&storage, &Filter::default(), Format::Text);
    assert_eq!(outcome, Outcome::Damaged);
    let found = list.lines().count();
    assert!(found > 3001 / blocks.len() && found < 3001, "{found} of {} blocks", blocks.len());
    let place = format!("byte {}", blocks[1].offset);
    assert!(warnings.contains(&place), "{warnings}");
    assert_eq!(warnings.lines().count(), 1, "{warnings}");
}

/// Adds an item of this name to a collection, which may be new.
fn add(engine: &Engine, key: &str, kind: ValueKind, names: &[String]) {
    let mut items = Vec::new();
    for name in names {
        match kind {
            ValueKind::List => list_item::encode(name.as_bytes(), &mut items),
            ValueKind::Set => Item::new(name.as_bytes(), b"").encode(&mut items),
            ValueKind::Zset => {
                Item::new(name.as_bytes(), &score::encode(-1.5)).encode(&mut items);
            }
            _ => Item { member: name.as_bytes(), payload: b"v", deadline_ms: Some(NOW_MS + 5000) }
                .encode(&mut items),
        }
    }
    write(engine, key.as_bytes(), |unit, key| {
        let edit = match kind {
            ValueKind::List => Edit::Push { front: false, elements: &items },
            _ => Edit::Put { items: &items },
        };
        unit.edit(key, kind.shape(1), edit);
    });
}

#[test]
fn collections_are_shown_item_by_item() {
    let storage = SimStorage::new(1);
    let engine = open(&storage);
    let kinds = [
        ("list", ValueKind::List, "b", "\"a\"\n\"b\"\n"),
        ("set", ValueKind::Set, "plain", "\"a\"\n\"plain\"\n"),
        ("zset", ValueKind::Zset, "plain", "-1.5 \"a\"\n-1.5 \"plain\"\n"),
        (
            "hash",
            ValueKind::Hash,
            "b",
            "\"a\" = \"v\", expires 2023-11-14T22:13:25.000Z\n\
             \"b\" = \"v\", expires 2023-11-14T22:13:25.000Z\n",
        ),
    ];
    let many: Vec<String> = (0..1000).map(|number| format!("item {number}")).collect();
    for (name, kind, ..) in kinds {
        add(&engine, name, kind, &["a".into()]);
        add(&engine, &format!("large {name}"), kind, &many);
    }
    engine.checkpoint().unwrap();
    for (name, kind, second, _) in kinds {
        add(&engine, name, kind, &[second.into()]);
        add(&engine, &format!("large {name}"), kind, &["one more".into()]);
    }
    engine.write_witness().unwrap();
    let storage = storage.kill_clone();
    let (outcome, report) = verified(&storage);
    assert_eq!(outcome, Outcome::Sound, "{report}");
    for (name, _, _, items) in kinds {
        let filter = Filter { kind: Some(name.into()), ..Filter::default() };
        let (_, list, _) = listed(&storage, &filter, Format::Text);
        let lines: Vec<&str> = list.lines().collect();
        assert_eq!(lines.len(), 2, "{list}");
        for key in [format!("large {name}"), name.into()] {
            let start = format!("\"{key}\"  db 0, {name}, ");
            assert!(lines.iter().any(|line| line.starts_with(&start)), "{list}");
        }
        assert_eq!(text(value(&storage, 0, name.as_bytes()).1), items);
        let large = text(value(&storage, 0, format!("large {name}").as_bytes()).1);
        assert_eq!(large.lines().count(), 1001);
        assert!(large.contains("\"one more\"") && large.contains("\"item 999\""), "{large}");
    }
    let hashes = Filter { kind: Some("hash".into()), ..Filter::default() };
    let (_, list, _) = listed(&storage, &hashes, Format::Text);
    assert!(list.contains("\"hash\"  db 0, hash, 22 bytes"), "the items and nothing else: {list}");
    let (_, report) = logged(&storage, 1, 100);
    for record in [
        "create keyspace 0 \"list\" list, push to the tail [\"a\"], keys +1",
        "edit keyspace 0 \"zset\" zset, put [-1.5 \"plain\"]",
        "create keyspace 0 \"large set\" set, put [\"item 0\", \"item 1\", \"item 2\", \
         \"item 3\", ... (1000 items)], keys +1",
    ] {
        assert!(report.contains(record), "{report}");
    }
}

#[test]
fn without_a_manifest_the_rest_is_still_verified() {
    let storage = build();
    for generation in directory(&storage).generations().unwrap() {
        storage.flip_bit(Path::new(&encode_manifest(generation)), 100);
    }
    let (outcome, report) = verified(&storage);
    assert_eq!(outcome, Outcome::Damaged);
    assert!(report.contains("sound, LSN 1 to 9"), "{report}");
    assert!(report.contains("rows, "), "{report}");
    let mut out = Vec::new();
    let summary = overview::summary(&directory(&storage), &mut Progress::silent(), &mut out);
    assert!(matches!(summary, Err(Failure::Directory(_))));
}

#[test]
fn overviews_tell_what_there_is() {
    let storage = build();
    let mut out = Vec::new();
    let outcome = overview::summary(&directory(&storage), &mut Progress::silent(), &mut out);
    let report = text(out);
    assert_eq!(outcome.unwrap(), Outcome::Sound, "{report}");
    assert!(report.contains("last LSN     9, 4 frames to replay from LSN 6"), "{report}");
    assert!(report.contains("keys         db 0: 4, 2 with a deadline"), "{report}");
    assert!(report.contains("keys         db 3: 1, 0 with a deadline"), "{report}");
    let mut out = Vec::new();
    overview::parts(&directory(&storage), &mut out).unwrap();
    let report = text(out);
    assert!(report.contains("0000000000000001.part: run 1, 7 rows"), "{report}");
    assert!(report.contains("5 keys, 0 of them gone, 2 pages"), "{report}");
    let mut out = Vec::new();
    overview::manifest(&directory(&storage), &mut out).unwrap();
    let report = text(out);
    assert!(report.contains("MANIFEST-0000000000000002\n"), "{report}");
    assert!(report.contains("  log start LSN   6\n"), "{report}");
}

#[test]
fn flushed_and_swapped_databases_are_followed() {
    let storage = SimStorage::new(1);
    let engine = open(&storage);
    engine.set(0, b"flushed", b"v").unwrap();
    engine.set(1, b"swapped", b"v").unwrap();
    engine.checkpoint().unwrap();
    let Begin::Ready(mut unit) = engine.begin_all(&[], Intent::write(NOW_MS, 4096)) else {
        panic!("an idle engine is ready");
    };
    unit.flush_db(0);
    unit.swap_db(1, 2);
    unit.finish();
    engine.sync().unwrap();
    let (_, list, _) = listed(&storage, &Filter::default(), Format::Text);
    assert_eq!(list, "\"swapped\"  db 2, string, 1 bytes\n");
    let recovered = open(&storage.kill_clone());
    assert_eq!(recovered.get(2, b"swapped").unwrap().as_deref(), Some(&b"v"[..]));
    assert_eq!(recovered.get(0, b"flushed").unwrap(), None);
}

#[test]
fn what_is_no_database_is_told_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent");
    let file = folder.path().join("file");
    std::fs::write(&file, b"text").unwrap();
    for (path, reason) in [
        (absent.as_path(), "cannot open"),
        (&file, "is not a directory"),
        (folder.path(), "holds no Firn database"),
    ] {
        let failure = Directory::open(path).err().unwrap().to_string();
        assert!(failure.contains(reason) && failure.lines().count() == 1, "{failure}");
    }
}

#[test]
fn a_frame_that_was_cut_between_segments_is_no_damage() {
    let write = |cut: Option<u64>| {
        let storage = SimStorage::new(1);
        let engine = open(&storage);
        engine.set(0, b"before", b"1").unwrap();
        let begun = storage.operations();
        if let Some(cut) = cut {
            storage.power_off_at(begun + cut);
        }
        let written = engine.set(0, b"large", &[b'v'; 50_000]);
        assert_eq!(written.is_ok(), cut.is_none());
        let operations = storage.operations() - begun;
        (storage, operations)
    };
    let (_, operations) = write(None);
    let mut cut_inside = 0;
    for cut in 0..operations {
        let storage = write(Some(cut)).0.crash_clone(cut);
        let engine = open(&storage);
        cut_inside += usize::from(engine.get(0, b"large").unwrap().is_none());
        engine.set(0, b"after", b"2").unwrap();
        let (outcome, report) = verified(&storage.kill_clone());
        assert_eq!(outcome, Outcome::Sound, "cut at {cut} of {operations}: {report}");
    }
    assert!(cut_inside > 3, "{cut_inside} of {operations}");
}

#[test]
fn a_database_in_use_looks_sound_all_the_time() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(folder.path());
    options.background = true;
    options.checkpoint_log_bytes = 64 << 10;
    options.segment_bytes_min = 32 << 10;
    options.segment_bytes_max = 32 << 10;
    let engine = Engine::open(options).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0u32;
            while !stop.load(Ordering::Relaxed) {
                let key = format!("key {}", number % 500);
                engine.set(0, key.as_bytes(), &[b'v'; 300]).unwrap();
                if number.is_multiple_of(200) {
                    engine.checkpoint().unwrap();
                    engine.compact().unwrap();
                }
                number += 1;
            }
        });
        // Also when an assertion fails: the scope waits for the writer.
        let _stopping = StopOnDrop(&stop);
        let started = std::time::Instant::now();
        let mut looks = 0;
        while looks < 10 || started.elapsed() < Duration::from_secs(2) {
            let directory = Directory::open(folder.path()).unwrap();
            let (mut out, mut progress) = (Vec::new(), Progress::silent());
            let outcome = verify::verify(&directory, &mut progress, &mut out);
            let report = text(out);
            assert!(matches!(outcome, Ok(Outcome::Sound)), "{outcome:?} {report}");
            let (mut list, mut warn) = (Vec::new(), Vec::new());
            let aside = (&mut progress, &mut warn as &mut dyn std::io::Write);
            let all = Filter::default();
            let outcome = keys(&directory, &all, Format::Text, NOW_MS, &mut list, aside);
            let warnings = text(warn);
            assert!(matches!(outcome, Ok(Outcome::Sound)), "{outcome:?} {warnings}");
            looks += 1;
        }
    });
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn packed_collections_are_shown_in_both_layouts() {
    let shown = [
        (&b"\x11\x03one\x04\x03two\x04"[..], r#"list ["one", "two"]"#),
        (b"\x91\x03onetwo", r#"list ["one", "two"]"#),
        (b"\xb0\x03\x02one\x02two\x04", r#"zset [1 "one", 2 "two"]"#),
        (b"\xc1\x01\x02a1b2", r#"hash ["a" = "1", "b" = "2"]"#),
    ];
    for (blob, text) in shown {
        assert_eq!(super::collection::describe(blob), text);
    }
    assert!(super::collection::describe(b"\x91\x03onetw").starts_with("malformed "));
}
