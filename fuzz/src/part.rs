//! Parts: opened, verified, scanned, asked and merged.

use std::ops::ControlFlow;
use std::sync::Arc;

use firn::engine::unit::ValueRef;
use firn::error::Error;
use firn::format::file_name::PART_FOLDER;
use firn::io::sim::SimStorage;
use firn::io::{OpenMode, Storage};
use firn::snapshot::lookup::ColdContent;
use firn::snapshot::merge::{Merge, merge};
use firn::snapshot::part_reader::PartReader;
use firn::snapshot::part_set::{DueCursors, PartSet};
use firn::snapshot::part_writer::PartWriter;
use firn::snapshot::verify::verify;
use firn::snapshot::{ChunkedHead, RowKey, part_path};
use firn::types::{DatabaseId, HashSeed, KeyspaceId, Position, ValueKind};
use firn::value::collection::Collection;
use firn::value::members::MemberHasher;
use firn::value::packed;
use firn::value::string::PagedString;

use crate::content::Content;
use crate::seal;

/// Id of the part that the bytes are taken for.
pub const PART_ID: u64 = 1;
/// Most keys and deadlines that one input is asked for.
const KEYS_MAX: usize = 200;

/// Where members of collections are hashed to, in the parts among the seeds.
pub const HASH_SEED: HashSeed = HashSeed([
    0x5e, 0x55, 0x32, 0xfb, 0xee, 0xa2, 0x93, 0xf8, 0x0b, 0xc9, 0x42, 0xee, 0x90, 0x86, 0xc1, 0x71,
]);

/// A key as a scan has found it.
type Found = (KeyspaceId, Position, Vec<u8>);

/// Reads bytes as a part in every way there is, as they are and with all checksums repaired.
pub fn part_open(data: &[u8]) {
    check(data);
    let mut sealed = data.to_vec();
    seal::part(&mut sealed, PART_ID);
    check(&sealed);
}

fn check(bytes: &[u8]) {
    let sim = SimStorage::new(1);
    sim.create_folder(PART_FOLDER.as_ref()).expect("the simulation has no fault");
    let file = sim.open(&part_path(PART_ID), OpenMode::CreateNew).expect("the folder is empty");
    file.write_at(bytes, 0).expect("the simulation has no fault");
    let storage: Arc<dyn Storage> = Arc::new(sim);
    let part = match PartReader::open_unlisted(&storage, PART_ID, 1, None) {
        Ok(part) => Arc::new(part),
        Err(error) => return must_be_damage(&error),
    };
    let mut problems = 0;
    let verified = verify(&part, &mut |error| {
        must_be_damage(&error);
        problems += 1;
    });
    assert_eq!(verified.problem_count, problems);
    let set = PartSet::new(vec![part.clone()]);
    let sound = problems == 0;
    let keys = scan(&set, &part, sound);
    lookups(&set, &keys, sound);
    due(&set, sound);
    let _ = set.counts();
    merged(&storage, &part, &keys, sound);
}

fn must_be_damage(error: &Error) {
    let damage = matches!(error, Error::Corrupt { .. } | Error::UnsupportedFormat { .. });
    assert!(damage, "neither corrupt nor unsupported: {error}");
}

/// The first keys of the keyspaces that the part claims to hold.
fn scan(set: &PartSet, part: &PartReader, sound: bool) -> Vec<Found> {
    let mut keys: Vec<Found> = Vec::new();
    let (first, last) = (part.meta().min.0, part.meta().max.0);
    for keyspace in [first, first.saturating_add(1), last] {
        if keys.last().is_some_and(|last| last.0 >= keyspace) {
            continue;
        }
        let scanned = set.scan_keys(keyspace, Position(0), None, |row| {
            keys.push((keyspace, row.position, row.key.to_vec()));
            if keys.len() < KEYS_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        assert!(scanned.is_ok() || !sound, "a sound part can be scanned");
    }
    assert!(keys.is_sorted() || !sound, "keys of a sound part are in order");
    keys
}

fn lookups(set: &PartSet, keys: &[Found], sound: bool) {
    for (keyspace, position, key) in keys {
        let meta = set.lookup_meta(*keyspace, *position, key);
        // Pages may lie in other parts, so only the row itself must be found.
        let found = matches!(meta, Ok(Some(_)));
        assert!(found || !sound, "what a scan finds in a sound part a lookup finds too");
        if let Ok(Some(row)) = set.lookup(*keyspace, *position, key) {
            value(row.content);
        }
        remaining(set, &RowKey { keyspace: *keyspace, position: *position, key });
        some_chunks(set, (*keyspace, *position), key);
        let _ = set.lookup_paged(*keyspace, *position, key);
        let _ = set.lookup(*keyspace, Position(position.0 ^ 1), key);
    }
}

/// What a server would take into memory: if it does, it can be read from one end to the other.
fn value(content: ColdContent) {
    match content {
        ColdContent::Tombstone | ColdContent::String { .. } => {}
        ColdContent::Paged { len, generation, pages, .. } => {
            let pages = pages.into_iter().map(|page| (page, generation)).collect();
            if let Some(string) = PagedString::from_parts(generation, len, pages) {
                assert_eq!(string.len(), len, "a string is as long as its head says");
            }
        }
        ColdContent::Packed { blob, .. } => {
            if packed::validate(&blob).is_some() {
                Content::of(ValueRef::Packed(&blob));
            }
        }
        ColdContent::Chunked { head, chunks } => {
            let ChunkedHead { shape, generation, len, .. } = head;
            let read = Collection::from_parts(shape, generation, len, hasher(), &chunks);
            if let Some(collection) = read {
                let (content, shown) = Content::of(ValueRef::Collection(&collection));
                assert_eq!((shown, collection.len()), (shape, len), "it is what its head says");
                let kind = ValueKind::of_shape(shape);
                assert!(Some(content.kind()) == kind, "{kind:?}");
            }
        }
    }
}

/// What a repair would make of it.
fn remaining(set: &PartSet, key: &RowKey<'_>) {
    let Ok(Some(row)) = set.lookup_remaining(key) else { return };
    let ColdContent::Chunked { head, chunks } = row.content else {
        panic!("only a collection has chunks that are left");
    };
    let ChunkedHead { shape, generation, .. } = head;
    if let Some(left) = Collection::of_remaining_chunks(shape, generation, hasher(), &chunks) {
        assert!(!left.is_empty(), "an empty collection is no key");
        Content::of(ValueRef::Collection(&left));
    }
}

/// What a lookup of some members reads of it.
fn some_chunks(set: &PartSet, (keyspace, position): (KeyspaceId, Position), key: &[u8]) {
    let members = [&b"one"[..], b"two", b"three"];
    let hashes = members.map(|member| hasher().hash(member));
    let Ok(Some(row)) = set.lookup_members(keyspace, position, key, &hashes, |_| true) else {
        return;
    };
    let ColdContent::Chunked { head, chunks } = row.content else {
        panic!("only a collection has members");
    };
    let some = Collection::of_some_chunks(head.shape, hasher(), &chunks);
    if let Some(found) = some.as_ref().and_then(Collection::members) {
        let _ = members.map(|member| found.get(member));
    }
}

/// That of the databases whose parts are the seeds.
pub fn hasher() -> MemberHasher {
    MemberHasher::new(HASH_SEED)
}

fn due(set: &PartSet, sound: bool) {
    let (mut cursors, mut rows) = (DueCursors::default(), Vec::new());
    for now_ms in [1_700_000_000_000, u64::MAX] {
        while rows.len() < KEYS_MAX {
            match set.due(&mut cursors, now_ms, 7, &mut rows) {
                Ok(true) => {}
                Ok(false) => break,
                Err(_) => return assert!(!sound, "deadlines of a sound part can be read"),
            }
        }
    }
}

/// Merges the part alone: what was sound stays sound and keeps its keys.
fn merged(storage: &Arc<dyn Storage>, part: &Arc<PartReader>, keys: &[Found], sound: bool) {
    let plan = Merge {
        inputs: std::slice::from_ref(part),
        bottom: false,
        is_dead: &|_| false,
        part_bytes_max: u64::MAX,
        storage,
    };
    let mut new_part = || PartWriter::create(storage.clone(), DatabaseId([7; 16]), PART_ID + 1, 1);
    let mut pace = |_| ControlFlow::Continue(());
    let outputs = match merge(&plan, &mut new_part, &mut pace) {
        Ok(outputs) => outputs.expect("nobody broke it off"),
        Err(error) => {
            must_be_damage(&error);
            return assert!(!sound, "a sound part can be merged: {error}");
        }
    };
    if !sound {
        return;
    }
    let Some(meta) = outputs.first() else {
        return assert!(keys.is_empty(), "keys do not vanish");
    };
    let output = PartReader::open_unlisted(storage, meta.id, 1, None).map(Arc::new);
    let output = output.expect("a merged part opens");
    verify(&output, &mut |error| panic!("a merged part is sound: {error}"));
    let set = PartSet::new(vec![output.clone()]);
    assert_eq!(scan(&set, &output, true), keys, "keys are those of the input");
}
