//! What the traits promise, held against the real directory and the simulated one alike.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use super::disk::DiskStorage;
use super::sim::SimStorage;
use super::{File, OpenMode, Storage};

fn on_both(test: impl Fn(&dyn Storage)) {
    let folder = tempfile::tempdir().unwrap();
    test(&DiskStorage::new(folder.path()));
    test(&SimStorage::new(1));
}

fn create(storage: &dyn Storage, path: &str) -> Arc<dyn File> {
    storage.open(Path::new(path), OpenMode::CreateNew).unwrap()
}

fn put(storage: &dyn Storage, path: &str, bytes: &[u8]) {
    create(storage, path).write_at(bytes, 0).unwrap();
}

fn content(file: &dyn File) -> Vec<u8> {
    let mut bytes = vec![0; file.len().unwrap() as usize];
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), bytes.len());
    bytes
}

fn error_kind(storage: &dyn Storage, path: &str, mode: OpenMode) -> ErrorKind {
    match storage.open(Path::new(path), mode) {
        Ok(_) => panic!("{path} opens"),
        Err(error) => error.kind(),
    }
}

#[test]
fn reads_stop_at_the_end_of_the_file() {
    on_both(|storage| {
        let file = create(storage, "a");
        assert!(file.is_empty().unwrap());
        file.write_at(b"0123456789", 0).unwrap();
        let mut buf = [b'-'; 8];
        assert_eq!(file.read_at(&mut buf, 1).unwrap(), 8);
        assert_eq!(&buf, b"12345678");
        assert_eq!(file.read_at(&mut buf, 7).unwrap(), 3);
        assert_eq!(&buf[..3], b"789");
        assert_eq!(file.read_at(&mut buf, 10).unwrap(), 0);
        assert_eq!(file.read_at(&mut buf, 1 << 40).unwrap(), 0);
    });
}

#[test]
fn gap_before_a_write_reads_as_zeros() {
    on_both(|storage| {
        let file = create(storage, "a");
        file.write_at(b"x", 5000).unwrap();
        assert_eq!(file.len().unwrap(), 5001);
        let mut buf = [1; 5000];
        file.read_at(&mut buf, 0).unwrap();
        assert_eq!(buf, [0; 5000]);
    });
}

#[test]
fn open_modes_decide_on_existence_and_writing() {
    on_both(|storage| {
        let missing = ErrorKind::NotFound;
        assert_eq!(error_kind(storage, "a", OpenMode::Read), missing);
        assert_eq!(error_kind(storage, "a", OpenMode::Write), missing);
        put(storage, "a", b"bytes");
        let exists = ErrorKind::AlreadyExists;
        assert_eq!(error_kind(storage, "a", OpenMode::CreateNew), exists);
        let writer = storage.open(Path::new("a"), OpenMode::Write).unwrap();
        writer.write_at(b"B", 0).unwrap();
        let reader = storage.open(Path::new("a"), OpenMode::Read).unwrap();
        assert!(reader.write_at(b"x", 0).is_err());
        assert!(reader.allocate(100).is_err());
        assert!(reader.set_len(0).is_err());
        assert_eq!(content(&*reader), b"Bytes");
    });
}

#[test]
fn folders_are_created_with_parents_and_not_by_files() {
    on_both(|storage| {
        let missing = ErrorKind::NotFound;
        assert_eq!(error_kind(storage, "x/y/a", OpenMode::CreateNew), missing);
        storage.create_folder(Path::new("x/y")).unwrap();
        storage.create_folder(Path::new("x/y")).unwrap();
        put(storage, "x/y/a", b"1");
        storage.sync_folder(Path::new("x/y")).unwrap();
        storage.sync_folder(Path::new("")).unwrap();
        assert!(storage.sync_folder(Path::new("z")).is_err());
        assert!(storage.create_folder(Path::new("x/y/a")).is_err());
    });
}

#[test]
fn list_names_the_files_of_one_folder() {
    on_both(|storage| {
        storage.create_folder(Path::new("log/deeper")).unwrap();
        put(storage, "log/b", b"");
        put(storage, "log/a", b"");
        put(storage, "log/deeper/c", b"");
        put(storage, "top", b"");
        let mut names = storage.list(Path::new("log")).unwrap();
        names.sort();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(storage.list(Path::new("")).unwrap(), ["top"]);
        assert!(storage.list(Path::new("absent")).unwrap().is_empty());
    });
}

#[test]
fn allocation_extends_with_zeros_and_never_shortens() {
    on_both(|storage| {
        let file = create(storage, "a");
        file.write_at(b"head", 0).unwrap();
        file.allocate(5 << 20).unwrap();
        file.allocate(10).unwrap();
        file.allocate(0).unwrap();
        let bytes = content(&*file);
        assert_eq!(bytes.len(), 5 << 20);
        assert_eq!(&bytes[..4], b"head");
        assert!(bytes[4..].iter().all(|byte| *byte == 0));
    });
}

#[test]
fn shrinking_and_growing_leaves_zeros() {
    on_both(|storage| {
        let file = create(storage, "a");
        file.write_at(&[1; 10], 0).unwrap();
        file.set_len(4).unwrap();
        file.set_len(8).unwrap();
        assert_eq!(content(&*file), [1, 1, 1, 1, 0, 0, 0, 0]);
    });
}

#[test]
fn rename_replaces_the_target_and_handles_keep_their_file() {
    on_both(|storage| {
        put(storage, "new", b"new");
        put(storage, "current", b"old");
        let old = storage.open(Path::new("current"), OpenMode::Read).unwrap();
        let new = storage.open(Path::new("new"), OpenMode::Read).unwrap();
        storage.rename(Path::new("new"), Path::new("current")).unwrap();
        assert_eq!(storage.list(Path::new("")).unwrap(), ["current"]);
        assert_eq!(&storage.map(Path::new("current")).unwrap()[..], b"new");
        assert_eq!(content(&*old), b"old");
        assert_eq!(content(&*new), b"new");
        assert_eq!(old.link_count().unwrap(), 0);
        assert_eq!(new.link_count().unwrap(), 1);
    });
}

#[test]
fn rename_of_or_into_what_is_missing_is_refused() {
    on_both(|storage| {
        let rename = |from, to| storage.rename(Path::new(from), Path::new(to));
        let missing = ErrorKind::NotFound;
        assert_eq!(rename("absent", "b").unwrap_err().kind(), missing);
        put(storage, "a", b"1");
        assert_eq!(rename("a", "absent/a").unwrap_err().kind(), missing);
        rename("a", "a").unwrap();
        assert_eq!(storage.list(Path::new("")).unwrap(), ["a"]);
    });
}

#[test]
fn removed_file_stays_readable_and_mapped() {
    on_both(|storage| {
        put(storage, "a", b"bytes");
        let file = storage.open(Path::new("a"), OpenMode::Read).unwrap();
        let mapping = storage.map(Path::new("a")).unwrap();
        storage.remove(Path::new("a")).unwrap();
        let again = storage.remove(Path::new("a")).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::NotFound);
        assert_eq!(content(&*file), b"bytes");
        assert_eq!(&mapping[..], b"bytes");
        assert_eq!(file.link_count().unwrap(), 0);
    });
}

#[test]
fn mapping_of_an_empty_file_is_empty_and_of_none_an_error() {
    on_both(|storage| {
        put(storage, "a", b"");
        assert!(storage.map(Path::new("a")).unwrap().is_empty());
        let missing = storage.map(Path::new("b")).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn handles_of_one_file_share_its_bytes() {
    on_both(|storage| {
        let first = create(storage, "a");
        let second = storage.open(Path::new("a"), OpenMode::Write).unwrap();
        first.write_at(b"one", 0).unwrap();
        second.write_at(b"two", 3).unwrap();
        first.sync_data().unwrap();
        second.sync_all().unwrap();
        assert_eq!(content(&*first), b"onetwo");
    });
}
