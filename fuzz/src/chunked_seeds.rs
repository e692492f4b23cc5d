//! Seeds with values that do not fit into one piece, taken from a database that had them: its log,
//! its parts and its MANIFEST.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use firn::format::file_name::{LOG_FOLDER, PART_FOLDER};
use firn::format::manifest::Manifest;
use firn::format::part::FOOTER_BYTES;
use firn::format::record::records;
use firn::format::segment::{HEADER_BYTES, SegmentHeader};
use firn::io::sim::SimStorage;
use firn::io::{OpenMode, Storage};
use firn::log;
use firn::snapshot::lookup::ColdContent;
use firn::snapshot::part_reader::PartReader;
use firn::snapshot::part_set::PartSet;
use firn::snapshot::verify::verify;
use firn::snapshot::{ChunkedHead, part_path};
use firn::types::Position;
use firn::value::collection::Collection;

use crate::chunked::{database, logged, names};
use crate::every_kind::open;
use crate::part::{PART_ID, hasher};
use crate::reading::contents;
use crate::seal;
use crate::seeds::Seed;

/// Where the header of a part has its id, and where its footer has it.
const PART_ID_AT: [usize; 2] = [40, 8];

/// All of them.
pub fn seeds() -> Vec<Seed> {
    let (database, logged) = (database(), logged());
    let mut seeds = vec![
        ("part_open", "chunked", part(&database, 1)),
        ("part_open", "chunked_again", part(&database, 2)),
        ("segment_scan", "chunked", segments(&logged)),
    ];
    seeds.extend(payloads(&logged));
    seeds.extend(manifests(&database));
    seeds
}

/// A part of the database, as if it were the one that the target reads.
fn part(storage: &SimStorage, id: u64) -> Vec<u8> {
    let mut bytes = storage.bytes(&part_path(id)).unwrap();
    let footer_at = bytes.len() - FOOTER_BYTES;
    for at in [PART_ID_AT[0], footer_at + PART_ID_AT[1]] {
        bytes[at..at + 8].copy_from_slice(&PART_ID.to_le_bytes());
    }
    seal::part(&mut bytes, PART_ID);
    bytes
}

/// All segments of the log, without most of the zeros at their ends.
fn segments(storage: &SimStorage) -> Vec<u8> {
    let mut out = [1u64.to_le_bytes(), 0u64.to_le_bytes()].concat();
    for path in storage.file_names().iter().filter(|path| path.starts_with(LOG_FOLDER)) {
        let bytes = storage.bytes(path).unwrap();
        let Ok(header) = SegmentHeader::decode(&bytes) else { continue };
        // A frame may end with zeros, too.
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 64);
        let mut body = header.epoch.to_le_bytes().to_vec();
        body.extend_from_slice(&header.first_lsn.to_le_bytes());
        body.extend_from_slice(&header.first_fragment.to_le_bytes());
        body.extend_from_slice(&header.salt.to_le_bytes());
        body.extend_from_slice(&bytes[HEADER_BYTES..used.clamp(HEADER_BYTES, bytes.len())]);
        out.extend_from_slice(&u16::try_from(body.len()).unwrap().to_le_bytes());
        out.extend_from_slice(&body);
    }
    out
}

/// For each key all that the log says of it, as the records of one frame.
fn payloads(storage: &SimStorage) -> Vec<Seed> {
    let keys = [
        ("chunked_list", &b"list"[..]),
        ("chunked_set", b"set"),
        ("chunked_zset", b"zset"),
        ("chunked_hash", b"hash"),
        ("chunked_stream", b"stream"),
        ("chunked_string", b"string"),
        ("chunked_stage", b"copy"),
    ];
    let mut payloads = keys.map(|_| 5u64.to_le_bytes().to_vec());
    let manifest = manifest(storage);
    log::read(storage, 1, 0, manifest.database, &mut |frame| {
        for record in records(frame.payload) {
            let record = record.unwrap();
            let place = keys.iter().position(|(_, key)| *key == record.key().unwrap_or_default());
            place.into_iter().for_each(|place| record.encode(&mut payloads[place]));
        }
        Ok(())
    })
    .unwrap();
    let seed = |((name, _), bytes)| ("log_frame", name, bytes);
    keys.into_iter().zip(payloads).map(seed).collect()
}

/// The MANIFEST of the database, and some that say something else of its parts and its log.
fn manifests(storage: &SimStorage) -> Vec<Seed> {
    let right = manifest(storage);
    let changed = |change: fn(&mut Manifest)| {
        let mut manifest = right.clone();
        change(&mut manifest);
        manifest.encode()
    };
    let seed = |name, bytes| ("manifest_decode", name, bytes);
    vec![
        seed("chunked", right.encode()),
        // Heads of the first part then hide those of the second, whose chunks are newer.
        seed(
            "chunked_runs_swapped",
            changed(|manifest| {
                let [first, second] = &mut manifest.parts[..] else { panic!("two parts") };
                std::mem::swap(&mut first.run, &mut second.run);
            }),
        ),
        seed("chunked_without_new_part", changed(|manifest| manifest.parts.truncate(1))),
        seed(
            "chunked_without_old_part",
            changed(|manifest| {
                manifest.parts.remove(0);
            }),
        ),
        seed("chunked_other_hashes", changed(|manifest| manifest.hash_seed.0[0] ^= 1)),
    ]
}

fn manifest(storage: &SimStorage) -> Manifest {
    let paths = storage.file_names();
    let is_manifest = |path: &&std::path::PathBuf| path.to_string_lossy().starts_with("MANIFEST");
    let path: &Path = paths.iter().rfind(is_manifest).unwrap();
    Manifest::decode(&storage.bytes(path).unwrap()).unwrap()
}

/// What the seeds are for: each kind of collection stands there in several chunks, which a reader
/// takes into memory, and in the newer part some are gone.
#[test]
fn parts_among_the_seeds_hold_chunks_of_every_kind() {
    let storage: Arc<dyn Storage> = Arc::new(database());
    let part = |id| Arc::new(PartReader::open_unlisted(&storage, id, id, None).unwrap());
    let (before, after) = (vec![part(1)], vec![part(1), part(2)]);
    let [before, after] = [before, after].map(|parts| chunk_counts(&PartSet::new(parts)));
    let kinds = before.keys().map(|(kind, _)| *kind).collect::<BTreeSet<_>>();
    assert_eq!(kinds.len(), 6, "{kinds:?}");
    assert!(before.values().all(|count| *count > 1), "{before:?}");
    for kind in ["list", "set", "zset", "hash", "stream"] {
        let key = &(kind, kind.as_bytes().to_vec());
        assert!(after[key] < before[key], "{key:?}");
    }
}

#[test]
fn parts_among_the_seeds_are_sound() {
    let database = database();
    for id in [1, 2] {
        let storage = SimStorage::new(1);
        storage.create_folder(PART_FOLDER.as_ref()).unwrap();
        let file = storage.open(&part_path(PART_ID), OpenMode::CreateNew).unwrap();
        file.write_at(&part(&database, id), 0).unwrap();
        let storage: Arc<dyn Storage> = Arc::new(storage);
        let part = PartReader::open_unlisted(&storage, PART_ID, 1, None).unwrap();
        verify(&part, &mut |error| panic!("part {id}: {error}"));
    }
}

#[test]
fn the_database_holds_the_same_in_its_parts_and_in_its_log() {
    let held = [database(), logged()].map(|storage| {
        let engine = open(Arc::new(storage)).unwrap();
        contents(&engine).unwrap()
    });
    assert!(held[0] == held[1]);
    let found: BTreeSet<_> = held[0].keys().map(|(_, name)| name.clone()).collect();
    assert_eq!(found, names().into_iter().collect());
}

/// Chunks or pages of each key, by its kind and name.
fn chunk_counts(set: &PartSet) -> BTreeMap<(&'static str, Vec<u8>), usize> {
    let (mut keys, mut counts) = (Vec::new(), BTreeMap::new());
    set.scan_keys(0, Position(0), None, |row| {
        keys.push((row.position, row.key.to_vec()));
        ControlFlow::Continue(())
    })
    .unwrap();
    for (position, key) in keys {
        let (kind, count) = match set.lookup(0, position, &key).unwrap().unwrap().content {
            ColdContent::Chunked { head, chunks } => {
                let ChunkedHead { shape, generation, len, .. } = head;
                let read = Collection::from_parts(shape, generation, len, hasher(), &chunks);
                (read.unwrap().kind().name(), chunks.len())
            }
            ColdContent::Paged { pages, .. } => ("string", pages.len()),
            content => panic!("{content:?}"),
        };
        counts.insert((kind, key), count);
    }
    counts
}
