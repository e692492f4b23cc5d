//! Behaviour of the simulated storage: what survives, what fails, and that it repeats itself.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::fault::{Failure, Fault, Operation};
use super::sim::SimStorage;
use super::{File, OpenMode, Storage};

const A: &str = "a";

fn root() -> &'static Path {
    Path::new("")
}

fn path() -> &'static Path {
    Path::new(A)
}

/// A file that is durable, name and all.
fn durable_file(storage: &SimStorage, bytes: &[u8]) -> Arc<dyn File> {
    let file = storage.open(path(), OpenMode::CreateNew).unwrap();
    file.write_at(bytes, 0).unwrap();
    file.sync_data().unwrap();
    storage.sync_folder(root()).unwrap();
    file
}

/// What the file holds after crashes with many seeds; `None` where it has no name.
fn outcomes(storage: &SimStorage) -> BTreeSet<Option<Vec<u8>>> {
    let crash = |seed| storage.crash_clone(seed).bytes(path()).ok();
    (0..100).map(crash).collect()
}

fn one(bytes: &[u8]) -> BTreeSet<Option<Vec<u8>>> {
    BTreeSet::from([Some(bytes.to_vec())])
}

#[test]
fn synced_write_under_a_synced_name_always_survives() {
    let storage = SimStorage::new(1);
    durable_file(&storage, b"hello");
    assert_eq!(outcomes(&storage), one(b"hello"));
}

#[test]
fn unsynced_write_may_vanish() {
    let storage = SimStorage::new(1);
    let file = durable_file(&storage, b"old");
    file.write_at(b"new", 0).unwrap();
    let both = BTreeSet::from([Some(b"old".to_vec()), Some(b"new".to_vec())]);
    assert_eq!(outcomes(&storage), both);
}

#[test]
fn synced_file_without_a_synced_name_may_vanish() {
    let storage = SimStorage::new(1);
    let file = storage.open(path(), OpenMode::CreateNew).unwrap();
    file.write_at(b"hello", 0).unwrap();
    file.sync_all().unwrap();
    let expected = BTreeSet::from([None, Some(b"hello".to_vec())]);
    assert_eq!(outcomes(&storage), expected);
}

#[test]
fn name_may_survive_without_its_unsynced_bytes() {
    let storage = SimStorage::new(1);
    let file = storage.open(path(), OpenMode::CreateNew).unwrap();
    file.write_at(b"hello", 0).unwrap();
    storage.sync_folder(root()).unwrap();
    let [empty, zeros, whole] = [vec![], vec![0; 5], b"hello".to_vec()].map(Some);
    assert_eq!(outcomes(&storage), BTreeSet::from([empty, zeros, whole]));
}

#[test]
fn allocated_length_is_durable_after_a_sync() {
    let storage = SimStorage::new(1);
    let file = durable_file(&storage, b"");
    file.allocate(2000).unwrap();
    let expected = BTreeSet::from([Some(vec![]), Some(vec![0; 2000])]);
    assert_eq!(outcomes(&storage), expected);
    file.sync_data().unwrap();
    assert_eq!(outcomes(&storage), one(&[0; 2000]));
}

#[test]
fn kill_loses_nothing_that_was_written() {
    let storage = SimStorage::new(1);
    let file = storage.open(path(), OpenMode::CreateNew).unwrap();
    file.write_at(b"hello", 0).unwrap();
    let next = storage.kill_clone();
    assert_eq!(next.bytes(path()).unwrap(), b"hello");
    // Written is still not durable: the next process must sync what it builds upon.
    assert!(outcomes(&next).contains(&None));
    let file = next.open(path(), OpenMode::Read).unwrap();
    file.sync_data().unwrap();
    next.sync_folder(root()).unwrap();
    assert_eq!(outcomes(&next), one(b"hello"));
}

#[test]
fn clones_are_separate_from_their_origin() {
    let storage = SimStorage::new(1);
    let file = durable_file(&storage, b"before");
    let crashed = storage.crash_clone(3);
    let killed = storage.kill_clone();
    file.write_at(b"after!", 0).unwrap();
    file.sync_data().unwrap();
    assert_eq!(crashed.bytes(path()).unwrap(), b"before");
    assert_eq!(killed.bytes(path()).unwrap(), b"before");
}

#[test]
fn equal_seeds_crash_equally() {
    let run = |seed| {
        let storage = SimStorage::new(9);
        let file = durable_file(&storage, &[1; 8000]);
        file.write_at(&[2; 8000], 0).unwrap();
        storage.crash_clone(seed).bytes(path()).unwrap()
    };
    assert!((0..20).all(|seed| run(seed) == run(seed)));
    let distinct: BTreeSet<_> = (0..20).map(run).collect();
    assert!(distinct.len() > 5);
}

#[test]
fn failed_sync_keeps_the_new_bytes_readable_but_never_durable() {
    let storage = SimStorage::new(1);
    let file = durable_file(&storage, b"old");
    storage.inject(Fault::nth(Operation::Sync, 0, Failure::Io));
    file.write_at(b"new", 0).unwrap();
    let error = file.sync_data().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EIO));
    file.sync_data().unwrap();
    assert_eq!(storage.bytes(path()).unwrap(), b"new");
    assert_eq!(outcomes(&storage), one(b"old"));
    // The next process reads the page cache too; another sync does not help it.
    let next = storage.kill_clone();
    assert_eq!(next.bytes(path()).unwrap(), b"new");
    next.open(path(), OpenMode::Read).unwrap().sync_all().unwrap();
    assert_eq!(outcomes(&next), one(b"old"));
}

#[test]
fn failed_write_leaves_a_part_of_its_bytes() {
    let lengths = (0..40).map(|seed| {
        let storage = SimStorage::new(seed);
        let file = durable_file(&storage, &[1; 1024]);
        storage.inject(Fault::nth(Operation::Write, 0, Failure::Io));
        file.write_at(&[2; 1024], 0).unwrap_err();
        let bytes = storage.bytes(path()).unwrap();
        assert!(bytes.is_sorted_by(|a, b| a >= b));
        bytes.iter().filter(|byte| **byte == 2).count()
    });
    assert_eq!(lengths.collect::<BTreeSet<_>>(), BTreeSet::from([0, 512, 1024]));
}

#[test]
fn failed_rename_create_and_remove_change_nothing() {
    let storage = SimStorage::new(1);
    durable_file(&storage, b"1");
    for operation in [Operation::Rename, Operation::Create, Operation::Remove] {
        storage.inject(Fault::from_nth(operation, 0, Failure::NoSpace));
    }
    let full = ErrorKind::StorageFull;
    let renamed = storage.rename(path(), Path::new("b")).unwrap_err();
    assert_eq!(renamed.kind(), full);
    assert_eq!(storage.remove(path()).unwrap_err().kind(), full);
    assert!(storage.open(Path::new("c"), OpenMode::CreateNew).is_err());
    assert_eq!(storage.file_names(), [path()]);
    storage.clear_faults();
    storage.remove(path()).unwrap();
}

#[test]
fn reads_fail_or_end_early_as_told() {
    let storage = SimStorage::new(1);
    let file = durable_file(&storage, &[5; 100]);
    storage.inject(Fault::nth(Operation::Read, 0, Failure::ShortRead));
    storage.inject(Fault::nth(Operation::Read, 1, Failure::Io).on_path(A));
    let mut buf = [0; 80];
    assert_eq!(file.read_at(&mut buf, 0).unwrap(), 40);
    file.read_at(&mut buf, 0).unwrap_err();
    assert_eq!(file.read_at(&mut buf, 0).unwrap(), 80);
}

#[test]
fn space_ends_at_the_capacity_and_comes_back() {
    let storage = SimStorage::new(1);
    storage.set_capacity_bytes(Some(4096));
    let first = durable_file(&storage, &[1; 1000]);
    assert_eq!(storage.free_bytes().unwrap(), 3072);
    let second = storage.open(Path::new("b"), OpenMode::CreateNew).unwrap();
    let error = second.allocate(3073).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert_eq!(second.len().unwrap(), 0);
    second.allocate(3072).unwrap();
    assert_eq!(storage.free_bytes().unwrap(), 0);
    // Overwriting what is allocated takes no space.
    second.write_at(&[2; 3072], 0).unwrap();
    first.write_at(&[3; 1024], 1000).unwrap_err();
    assert_eq!(first.len().unwrap(), 1024);
    storage.remove(path()).unwrap();
    assert_eq!(storage.free_bytes().unwrap(), 0);
    drop(first);
    assert_eq!(storage.free_bytes().unwrap(), 1024);
}

#[test]
fn capacity_outlives_a_crash_and_unlinked_files_do_not() {
    let storage = SimStorage::new(1);
    storage.set_capacity_bytes(Some(4096));
    let file = durable_file(&storage, &[1; 1024]);
    storage.remove(path()).unwrap();
    storage.sync_folder(root()).unwrap();
    assert_eq!(storage.used_bytes(), 1024);
    assert_eq!(storage.crash_clone(1).free_bytes().unwrap(), 4096);
    assert_eq!(storage.kill_clone().free_bytes().unwrap(), 4096);
    drop(file);
}

#[test]
fn operations_count_changes_and_not_questions() {
    let storage = SimStorage::new(1);
    let file = durable_file(&storage, b"1");
    assert_eq!(storage.operations(), 4);
    file.read_at(&mut [0], 0).unwrap();
    storage.list(root()).unwrap();
    storage.open(path(), OpenMode::Read).unwrap();
    assert_eq!(storage.operations(), 4);
}

#[test]
fn power_cut_fails_everything_and_may_keep_the_operation_it_hit() {
    // Operations 0 to 3 make the file durable; 4 writes, 5 syncs.
    let run = |crash_point| {
        let storage = SimStorage::new(1);
        let file = durable_file(&storage, b"old");
        storage.power_off_at(crash_point);
        let written = file.write_at(b"new", 0);
        let synced = file.sync_data();
        assert!(file.read_at(&mut [0], 0).is_err() && storage.is_off());
        assert!(storage.list(root()).is_err());
        assert!(synced.is_err());
        (written.is_ok(), outcomes(&storage))
    };
    let both = BTreeSet::from([Some(b"old".to_vec()), Some(b"new".to_vec())]);
    assert_eq!(run(4), (false, both.clone()));
    assert_eq!(run(5), (true, both.clone()));
    // A point that has passed already is now.
    assert_eq!(run(0), (false, both));
}

#[test]
fn power_cut_during_a_folder_sync_leaves_its_names_open() {
    let storage = SimStorage::new(1);
    durable_file(&storage, b"1");
    storage.rename(path(), Path::new("b")).unwrap();
    storage.power_off_at(storage.operations());
    storage.sync_folder(root()).unwrap_err();
    let names = (0..50).map(|seed| storage.crash_clone(seed).file_names());
    let expected = ["a", "b"].map(|name| vec![name.into()]);
    assert_eq!(names.collect::<BTreeSet<_>>(), BTreeSet::from(expected));
}

#[test]
fn flipped_bit_is_there_for_readers_and_after_a_crash() {
    let storage = SimStorage::new(1);
    durable_file(&storage, &[0; 3]);
    storage.flip_bit(path(), 9);
    assert_eq!(storage.bytes(path()).unwrap(), [0, 0b10, 0]);
    assert_eq!(outcomes(&storage), one(&[0, 0b10, 0]));
    storage.flip_bit(path(), 9);
    assert_eq!(storage.bytes(path()).unwrap(), [0; 3]);
}

#[test]
fn linked_file_counts_its_names() {
    let storage = SimStorage::new(1);
    let file = durable_file(&storage, b"1");
    storage.link(path(), Path::new("backup")).unwrap();
    assert_eq!(file.link_count().unwrap(), 2);
    storage.link(path(), Path::new("backup")).unwrap_err();
    storage.remove(path()).unwrap();
    assert_eq!(storage.bytes(Path::new("backup")).unwrap(), b"1");
}

#[test]
fn write_past_any_file_offset_is_an_error() {
    let storage = SimStorage::new(1);
    let file = durable_file(&storage, b"1");
    file.write_at(b"xx", u64::MAX).unwrap_err();
    file.write_at(b"xx", i64::MAX as u64).unwrap_err();
}

#[derive(Clone, Debug)]
enum Step {
    Write { offset: usize, len: usize },
    SetLen(usize),
    Allocate(usize),
    Sync,
}

const MODEL_BYTES_MAX: usize = 6000;

fn write_or_sync() -> impl Strategy<Value = Step> {
    let range = (0..4000usize, 0..MODEL_BYTES_MAX - 4000);
    prop_oneof![
        4 => range.prop_map(|(offset, len)| Step::Write { offset, len }),
        1 => Just(Step::Sync),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => write_or_sync(),
        1 => (0..MODEL_BYTES_MAX).prop_map(Step::SetLen),
        1 => (0..MODEL_BYTES_MAX).prop_map(Step::Allocate),
    ]
}

fn take_step(file: &dyn File, model: &mut Vec<u8>, step: &Step, fill: u8) {
    match *step {
        Step::Write { offset, len } => {
            file.write_at(&vec![fill; len], offset as u64).unwrap();
            if len > 0 {
                model.resize(model.len().max(offset + len), 0);
                model[offset..offset + len].fill(fill);
            }
        }
        Step::SetLen(len) => {
            file.set_len(len as u64).unwrap();
            model.resize(len, 0);
        }
        Step::Allocate(len) => {
            file.allocate(len as u64).unwrap();
            model.resize(model.len().max(len), 0);
        }
        Step::Sync => file.sync_data().unwrap(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn file_reads_like_a_vector(steps in prop::collection::vec(step(), 0..20)) {
        let storage = SimStorage::new(1);
        let file = durable_file(&storage, b"");
        let mut model = Vec::new();
        for (step, fill) in steps.iter().zip(1..) {
            take_step(&*file, &mut model, step, fill);
            prop_assert_eq!(&storage.bytes(path()).unwrap(), &model);
        }
        file.sync_data().unwrap();
        prop_assert_eq!(outcomes(&storage), one(&model));
    }

    #[test]
    fn crash_leaves_a_version_of_every_sector_since_the_last_sync(
        steps in prop::collection::vec(write_or_sync(), 0..20),
        seed: u64,
    ) {
        let storage = SimStorage::new(1);
        let mut model = vec![0; MODEL_BYTES_MAX];
        let file = durable_file(&storage, &model);
        let mut versions = vec![model.clone()];
        for (step, fill) in steps.iter().zip(1..) {
            take_step(&*file, &mut model, step, fill);
            if matches!(step, Step::Sync) {
                versions.clear();
            }
            versions.push(model.clone());
        }
        let left = storage.crash_clone(seed).bytes(path()).unwrap();
        prop_assert_eq!(left.len(), MODEL_BYTES_MAX);
        for (number, sector) in left.chunks(512).enumerate() {
            let mut known = versions.iter().filter_map(|version| version.chunks(512).nth(number));
            prop_assert!(known.any(|known| known == sector), "sector {}", number);
        }
    }
}
