//! Parts that are damaged, block by block, and repaired: the inspector finds nothing wrong
//! afterwards, what can be read is as it was, and whatever is not as it was is named.
//!
//! By default a sample of the bytes is flipped; `FIRN_ALL_BITS=1` flips one bit of each.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[allow(dead_code, reason = "random changes are for the simulations")]
#[path = "simulation/content.rs"]
mod content;
#[path = "simulation/every_kind.rs"]
mod every_kind;
#[path = "simulation/stream_content.rs"]
mod stream_content;

use content::Content;
use every_kind::{
    Held, NOW_MS, build, change_collections, change_stream, names, open, put, read_all, scan, write,
};
use firn::engine::Engine;
use firn::engine::repair::{RepairReport, repair_on};
use firn::error::Error;
use firn::format::record::DeleteReason;
use firn::inspect::Outcome;
use firn::inspect::directory::Directory;
use firn::inspect::progress::Progress;
use firn::inspect::verify::verify;
use firn::io::Storage;
use firn::io::sim::SimStorage;

/// Runs `firn-inspect verify`; what it says when it finds anything.
fn inspect(storage: &SimStorage) -> Option<String> {
    let directory = Directory::on(Arc::new(storage.clone())).unwrap();
    let mut text = Vec::new();
    let outcome = verify(&directory, &mut Progress::silent(), &mut text).unwrap();
    (outcome != Outcome::Sound).then(|| String::from_utf8(text).unwrap())
}

fn repair(storage: &SimStorage) -> RepairReport {
    let shared: Arc<dyn Storage> = Arc::new(storage.clone());
    repair_on(&shared, NOW_MS).unwrap()
}

/// The names in a report of what is lost.
fn named(report: &RepairReport) -> BTreeSet<Vec<u8>> {
    let quoted = |loss: &Error| {
        let text = loss.to_string();
        let name = text.split_once("key \"")?.1.split_once('"')?.0;
        Some(name.as_bytes().to_vec())
    };
    report.losses.iter().filter_map(quoted).collect()
}

/// Whether a report says that rows are missing where this key would stand. No file tells the names
/// of keys that stood in a block of keys alone.
fn is_in_a_hole(report: &RepairReport, engine: &Engine, name: &[u8]) -> bool {
    let position = engine.key(0, name).position.0;
    report.losses.iter().any(|loss| {
        let text = loss.to_string();
        let ends = text.split("position ").skip(1);
        let ends: Vec<u64> =
            ends.map(|rest| u64::from_str_radix(&rest[..16], 16).unwrap()).collect();
        matches!(ends[..], [first, last] if (first..=last).contains(&position))
    })
}

fn parts(storage: &SimStorage) -> Vec<PathBuf> {
    let names = storage.file_names().into_iter();
    names.filter(|name| name.starts_with("parts")).collect()
}

fn data_files(storage: &SimStorage) -> Vec<Vec<u8>> {
    let names = storage.file_names().into_iter();
    let kept = names.filter(|name| name.extension().is_some_and(|kind| kind != "spare"));
    kept.map(|name| storage.bytes(&name).unwrap()).collect()
}

/// Flips a bit, repairs, and checks all that must hold then. Gives the report, and what is there.
fn flip_and_repair(
    sound: &SimStorage,
    expected: &Held,
    names: &[Vec<u8>],
    (path, bit): (&Path, u64),
) -> (RepairReport, Held) {
    let storage = sound.kill_clone();
    storage.flip_bit(path, bit);
    let at = format!("{} bit {bit}", path.display());
    assert!(inspect(&storage).is_some(), "{at} is not noticed");
    let before = data_files(&storage);
    let report = repair(&storage);
    let after = data_files(&storage);
    assert!(before.iter().all(|file| after.contains(file)), "{at}: a file is gone");

    let storage = storage.crash_clone(bit);
    if let Some(text) = inspect(&storage) {
        panic!("{at}: {text}");
    }
    assert!(repair(&storage).folder.is_none(), "{at}: nothing is left to do");
    let engine = open(Arc::new(storage)).unwrap();
    let (held, failures) = read_all(&engine, names);
    assert_eq!(failures, 0, "{at}");
    let named = named(&report);
    for name in names.iter().filter(|name| held.get(*name) != expected.get(*name)) {
        let text = String::from_utf8_lossy(name);
        let is_gone = !held.contains_key(name) && is_in_a_hole(&report, &engine, name);
        assert!(named.contains(name) || is_gone, "{at}: {text} changed silently\n{report}");
    }
    let scanned: BTreeSet<_> = scan(&engine).unwrap().into_iter().collect();
    let there: BTreeSet<_> = held.keys().cloned().collect();
    assert!(scanned == there, "{at}");
    assert_eq!(size(&engine), there.len(), "{at}");
    engine.checkpoint().unwrap();
    (report, held)
}

fn size(engine: &Engine) -> usize {
    use firn::engine::begin::{Begin, Intent};
    match engine.begin_all(&[], Intent::read(NOW_MS)) {
        Begin::Ready(mut unit) => unit.counts(0).0 as usize,
        _ => panic!("nothing needs the disk"),
    }
}

/// So that no older MANIFEST has all of it in its log.
fn seal(storage: SimStorage) -> SimStorage {
    let engine = open(Arc::new(storage.clone())).unwrap();
    for number in 0..2 {
        put(&engine, format!("filler {number}").as_bytes(), b"", None);
        engine.checkpoint().unwrap();
    }
    engine.close_without_checkpoint().unwrap();
    drop(engine);
    storage.kill_clone()
}

#[test]
fn any_flipped_bit_of_a_part_is_repaired_and_what_changes_by_it_is_named() {
    let storage = seal(build());
    let engine = open(Arc::new(storage.clone())).unwrap();
    // Changes in the log of what only the parts hold.
    change_collections(&engine, 3);
    change_stream(&engine, 3);
    engine.write_witness().unwrap();
    drop(engine);
    let storage = storage.kill_clone();
    let mut names = names();
    names.extend([b"filler 0".to_vec(), b"filler 1".to_vec()]);
    let (expected, _) = read_all(&open(Arc::new(storage.kill_clone())).unwrap(), &names);
    assert_eq!(expected.len(), 17);

    let step = if std::env::var_os("FIRN_ALL_BITS").is_some() { 1 } else { 29 };
    let (mut whole, mut cut, mut lost) = (0, 0, 0);
    for path in parts(&storage) {
        let len = storage.bytes(&path).unwrap().len() as u64;
        for byte in (0..len).step_by(step) {
            let at = (path.as_path(), byte * 8 + byte % 8);
            let (report, held) = flip_and_repair(&storage, &expected, &names, at);
            let changed = |name: &&Vec<u8>| held.get(*name) != expected.get(*name);
            whole += u64::from(report.losses.is_empty());
            lost += names.iter().filter(changed).filter(|name| !held.contains_key(*name)).count();
            cut += names.iter().filter(changed).filter(|name| held.contains_key(*name)).count();
        }
    }
    assert!(whole > 20 && cut > 20 && lost > 20, "{whole} whole, {cut} cut, {lost} lost");
}

/// Thousands of keys in two parts that overlap: the newer one changes a third, deletes a few.
fn many() -> (SimStorage, Vec<Vec<u8>>) {
    let storage = SimStorage::new(1);
    let engine = open(Arc::new(storage.clone())).unwrap();
    let names: Vec<Vec<u8>> =
        (0..2500).map(|number| format!("key:{number:05}").into_bytes()).collect();
    for name in &names {
        put(&engine, name, &[name, &b" as it was"[..]].concat(), None);
    }
    engine.checkpoint().unwrap();
    for name in names.iter().step_by(3) {
        put(&engine, name, &[name, &b" as it is"[..]].concat(), Some(NOW_MS + 1_000_000));
    }
    for name in names.iter().step_by(100) {
        write(&engine, &[name], |unit, keys| {
            unit.delete(&keys[0], DeleteReason::Command);
        });
    }
    engine.checkpoint().unwrap();
    engine.close().unwrap();
    drop(engine);
    let fillers = (0..2).map(|number| format!("filler {number}").into_bytes());
    let names = names.into_iter().chain(fillers).collect();
    (seal(storage.kill_clone()), names)
}

#[test]
fn a_damaged_block_of_many_costs_its_own_keys_and_no_others() {
    let (storage, names) = many();
    let (expected, _) = read_all(&open(Arc::new(storage.kill_clone())).unwrap(), &names);
    assert_eq!(expected.len(), 2477);
    let (mut harmless, mut partial, mut older) = (0, 0, 0);
    for path in parts(&storage) {
        let len = storage.bytes(&path).unwrap().len() as u64;
        for byte in (5..len).step_by(2000) {
            let at = (path.as_path(), byte * 8);
            let (report, held) = flip_and_repair(&storage, &expected, &names, at);
            let intact = names.iter().filter(|name| held.get(*name) == expected.get(*name));
            let intact = intact.count();
            match intact == names.len() {
                true => harmless += 1,
                false => partial += 1,
            }
            assert!(intact > 500, "{} byte {byte}: {intact} keys are left", path.display());
            // What is named beside what has changed: the filter takes few keys for others.
            let changed = names.len() - intact;
            assert!(named(&report).len() <= changed + names.len() / 25, "{report}");
            let is_old = |(name, value): &(&Vec<u8>, &Option<(Content, Option<u64>)>)| {
                value.is_some() && expected.get(*name) != Some(*value)
            };
            older += held.iter().filter(is_old).count();
        }
    }
    assert!(harmless > 0 && partial > 5, "{harmless} harmless, {partial} not");
    assert!(older > 0, "some keys are as they were before");
}

#[test]
fn a_part_that_is_gone_is_told_with_all_its_rows() {
    let (storage, names) = many();
    let (expected, _) = read_all(&open(Arc::new(storage.kill_clone())).unwrap(), &names);
    let newer = parts(&storage).remove(1);
    storage.remove(&newer).unwrap();
    let report = repair(&storage);
    let text = report.to_string();
    assert!(text.contains("850 rows cannot be read"), "{text}");
    assert!(text.contains("more, all of them are in"), "{text}");
    assert_eq!(inspect(&storage), None);
    let lost = report.folder.unwrap().join("lost.txt");
    let lost = storage.bytes(lost.strip_prefix("sim").unwrap()).unwrap();
    assert_eq!(lost.iter().filter(|byte| **byte == b'\n').count(), report.losses.len());
    let (held, _) = read_all(&open(Arc::new(storage)).unwrap(), &names);
    assert_eq!(held.len(), names.len());
    assert!(held != expected);
}

#[test]
fn a_repair_of_parts_that_is_cut_short_can_be_repeated() {
    let sound = seal(build());
    let expected = read_all(&open(Arc::new(sound.kill_clone())).unwrap(), &names()).0;
    let damaged = || {
        let storage = sound.kill_clone();
        // A value block, whose loss must be told by the last repair.
        storage.flip_bit(&parts(&storage)[1], 160 * 8);
        storage
    };
    let clean = damaged();
    let start = clean.operations();
    let report = repair(&clean).to_string();
    for cut in start..clean.operations() {
        let storage = damaged();
        storage.power_off_at(cut);
        let shared: Arc<dyn Storage> = Arc::new(storage.clone());
        repair_on(&shared, NOW_MS).unwrap_err();
        let storage = storage.crash_clone(cut);
        repair(&storage);
        assert_eq!(inspect(&storage), None, "cut {cut}");
        let (held, failures) = read_all(&open(Arc::new(storage)).unwrap(), &names());
        assert_eq!(failures, 0, "cut {cut}");
        for (name, value) in &expected {
            let text = String::from_utf8_lossy(name);
            let as_it_was = held.get(name) == Some(value);
            assert!(as_it_was || report.contains(&format!("\"{text}\"")), "cut {cut}: {text}");
        }
    }
}

#[test]
fn what_is_damaged_and_not_needed_is_set_aside() {
    let storage = build();
    let expected = read_all(&open(Arc::new(storage.kill_clone())).unwrap(), &names()).0;
    // A left-over that no MANIFEST names.
    let bytes = storage.bytes(&parts(&storage)[0]).unwrap();
    let file = storage
        .open(Path::new("parts/00000000000000ff.part"), firn::io::OpenMode::CreateNew)
        .unwrap();
    file.write_at(&bytes, 0).unwrap();
    assert!(inspect(&storage).is_some());
    let report = repair(&storage);
    assert!(report.losses.is_empty() && report.folder.is_some(), "{report}");
    assert_eq!(inspect(&storage), None);
    assert_eq!(read_all(&open(Arc::new(storage)).unwrap(), &names()).0, expected);
}
