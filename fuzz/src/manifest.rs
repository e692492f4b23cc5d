//! MANIFESTs.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use firn::engine::Engine;
use firn::format::file_name::encode_manifest;
use firn::format::manifest::Manifest;
use firn::io::clock::SimClock;
use firn::io::sim::SimStorage;
use firn::io::{OpenMode, Storage};
use firn::options::Options;

use crate::{chunked, every_kind, reading, seal};

/// Decodes bytes as a MANIFEST, as they are and with the checksum repaired, and opens two databases
/// with it: one that has no other file, and one that has parts and a log.
pub fn manifest_decode(data: &[u8]) {
    check(data);
    let mut sealed = data.to_vec();
    seal::manifest(&mut sealed);
    check(&sealed);
}

fn check(bytes: &[u8]) {
    let Ok(manifest) = Manifest::decode(bytes) else {
        return;
    };
    assert_eq!(manifest.encode(), bytes, "a MANIFEST has one encoding");
    let databases = manifest.databases.changed.iter().map(|pair| pair.1);
    for keyspace in databases {
        assert!(!manifest.is_dead(keyspace), "a database stands for keyspace {keyspace}");
    }
    open(&manifest, bytes);
    open_over_parts(&manifest, bytes);
}

fn install(storage: &SimStorage, manifest: &Manifest, bytes: &[u8]) {
    let path = encode_manifest(manifest.generation);
    let file = storage.open(Path::new(&path), OpenMode::CreateNew).expect("the folder is empty");
    file.write_at(bytes, 0).expect("the simulation has no fault");
}

fn open(manifest: &Manifest, bytes: &[u8]) {
    let storage = SimStorage::new(1);
    install(&storage, manifest, bytes);
    let clock = Arc::new(SimClock::new(1_700_000_000_000));
    if let Ok(engine) = Engine::open_on(Arc::new(storage), clock, options()) {
        engine.set(0, b"key", b"value").expect("an open database takes writes");
        engine.checkpoint().expect("an open database takes a checkpoint");
        assert_eq!(engine.get(0, b"key").expect("the key is hot"), Some(b"value".to_vec()));
    }
}

/// A MANIFEST that is not that of its parts and its log may hide or mix what they hold. What it
/// shows must be values, and what it refuses must be an error.
fn open_over_parts(manifest: &Manifest, bytes: &[u8]) {
    static OTHER_FILES: LazyLock<SimStorage> = LazyLock::new(without_manifest);
    let storage = Arc::new(OTHER_FILES.kill_clone());
    install(&storage, manifest, bytes);
    let Ok(engine) = every_kind::open(storage) else {
        return;
    };
    for name in chunked::names() {
        let _ = reading::content(&engine, 0, &name);
    }
    // Both meet what could not be read, too.
    let _ = engine.checkpoint().and_then(|()| engine.compact());
    let _ = reading::contents(&engine);
}

fn without_manifest() -> SimStorage {
    let storage = chunked::database();
    for path in storage.file_names() {
        if path.to_string_lossy().starts_with("MANIFEST") {
            storage.remove(&path).expect("the simulation has no fault");
        }
    }
    storage
}

/// Options of a small database that the caller drives.
pub fn options() -> Options {
    Options {
        background: false,
        partitions: 2,
        databases: 2,
        segment_bytes_min: 16 << 10,
        segment_bytes_max: 64 << 10,
        seed: Some(1),
        ..Options::new("")
    }
}
