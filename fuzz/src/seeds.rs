//! The seeds that are made by code. `FIRN_SEEDS=write cargo test` in this folder writes them anew;
//! without it the test makes sure that they fit the formats of today.

use std::fs;
use std::sync::Arc;

use bytes::Bytes;
use firn::engine::Engine;
use firn::format::checksum::{self, Salt};
use firn::format::edit::Edit;
use firn::format::file_name::PART_FOLDER;
use firn::format::frame::{ALIGN_BYTES, FragmentHeader, Kind, Place};
use firn::format::manifest::{DatabaseMap, Manifest, PartMeta};
use firn::format::record::{CountDelta, DeleteReason, Record, StringValue};
use firn::format::segment::Seal;
use firn::io::clock::SimClock;
use firn::io::random::Random;
use firn::io::sim::SimStorage;
use firn::snapshot::part_writer::PartWriter;
use firn::snapshot::{DirtyPage, RowKey, RowValue, SlotCount, part_path};
use firn::types::{DatabaseId, HashSeed, Position, ValueKind};
use firn::value::string::StringRef;

use crate::chunked_seeds;
use crate::corpus::folder;
use crate::manifest::options;
use crate::part::PART_ID;

/// A seed: its target, its name, its bytes.
pub type Seed = (&'static str, &'static str, Vec<u8>);

#[test]
fn committed_seeds_are_those_of_todays_formats() {
    let write = std::env::var("FIRN_SEEDS").is_ok_and(|mode| mode == "write");
    for (target, name, bytes) in seeds() {
        let path = folder(target).join(name);
        if write {
            fs::create_dir_all(folder(target)).unwrap();
            fs::write(&path, &bytes).unwrap();
        }
        let committed = fs::read(&path).unwrap_or_default();
        assert!(committed == bytes, "{} is out of date: see README.md", path.display());
    }
}

fn seeds() -> Vec<Seed> {
    [
        protocol(),
        frames(),
        segments(),
        parts(),
        manifests(),
        payloads(),
        operations(),
        chunked_seeds::seeds(),
    ]
    .concat()
}

fn protocol() -> Vec<Seed> {
    let seed = |name, settings: u8, text: &[u8]| ("resp_parse", name, [&[settings], text].concat());
    vec![
        seed("set", 0, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nvalue\r\n"),
        seed("pipeline", 9, b"*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$0\r\n\r\n*0\r\n*-1\r\n"),
        seed("inline", 4, b"SET k \"a \\x41\\n\" 'b\\'c'\r\n\r\nPING\n"),
        seed("limits", 3, b"*11\r\n$16385\r\n"),
        seed("lengths", 2, b"*2\r\n$101\r\n*9223372036854775808\r\n$-1\r\n"),
    ]
}

/// One record of each kind.
fn all_records() -> [Record<'static>; 7] {
    let counts = CountDelta { keys: 1, expires: 1 };
    let value = StringValue { bytes: b"value", raw: true };
    [
        Record::Put { keyspace: 0, key: b"k", expire_at_ms: Some(1 << 41), value, counts },
        Record::WriteRange { keyspace: 0, key: b"k", offset: 70, bytes: b"range" },
        Record::Expire {
            keyspace: 0,
            key: b"k",
            expire_at_ms: None,
            counts: CountDelta { keys: 0, expires: -1 },
        },
        Record::Delete {
            keyspace: 0,
            key: b"k",
            reason: DeleteReason::Expired,
            counts: CountDelta { keys: -1, expires: 0 },
        },
        Record::Databases { changed: vec![(0, 1 << 16), (1, 0)] },
        Record::Stage {
            key: b"k",
            stage: 1 << 32,
            begins: true,
            shape: ValueKind::Set.shape(1),
            edit: Edit::Put { items: b"\x01\x00m" },
        },
        Record::PutStaged { keyspace: 0, key: b"k", expire_at_ms: None, stage: 1 << 32, counts },
    ]
}

fn payload(records: &[Record<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    records.iter().for_each(|record| record.encode(&mut out));
    out
}

fn frames() -> Vec<Seed> {
    let [put, range, expire, delete, databases, stage, staged] = all_records();
    let seed = |name, records: &[Record<'_>]| {
        ("log_frame", name, [&5u64.to_le_bytes()[..], &payload(records)].concat())
    };
    let fragment = fragment(5, Kind::Data, Place::Full, 3, b"abc");
    vec![
        seed("put", &[put]),
        seed("delta", &[range.clone(), expire]),
        seed("delete", &[delete]),
        seed("databases", &[databases]),
        seed("staged", &[stage, staged]),
        seed("all", &all_records()),
        seed("cold_range", &[range]),
        ("log_frame", "fragment", [&5u64.to_le_bytes()[..], &fragment].concat()),
    ]
}

fn fragment(salt: u64, kind: Kind, place: Place, lsn: u64, payload: &[u8]) -> Vec<u8> {
    let header = FragmentHeader {
        payload_bytes: payload.len() as u32,
        payload_crc: checksum::plain(payload),
        kind,
        place,
        lsn,
        synced_upto: lsn - 1,
        wall_ms: 1_700_000_000_000 + lsn,
    };
    let mut out = [&header.encode(Salt::new(salt))[..], payload].concat();
    out.resize(out.len().next_multiple_of(ALIGN_BYTES), 0);
    out
}

fn segment(epoch: u32, first: (u64, u32), salt: u64, fragments: &[Vec<u8>]) -> Vec<u8> {
    let mut body = epoch.to_le_bytes().to_vec();
    body.extend_from_slice(&first.0.to_le_bytes());
    body.extend_from_slice(&first.1.to_le_bytes());
    body.extend_from_slice(&salt.to_le_bytes());
    body.extend(fragments.concat());
    [&(body.len() as u16).to_le_bytes()[..], &body].concat()
}

fn segments() -> Vec<Seed> {
    let records = payload(&all_records()[..5]);
    let (head, tail) = records.split_at(20);
    let seal = Seal { first_lsn: 2, first_fragment: 1, salt: 22 }.encode();
    let (data, sync) = (Kind::Data, Kind::Sync);
    let one = segment(
        1,
        (1, 0),
        11,
        &[
            fragment(11, data, Place::Full, 1, &records),
            fragment(11, data, Place::Full, 2, &payload(&all_records()[..1])),
            fragment(11, sync, Place::Full, 2, b""),
        ],
    );
    let first = segment(
        1,
        (1, 0),
        11,
        &[
            fragment(11, data, Place::Full, 1, &records),
            fragment(11, data, Place::First, 2, head),
            fragment(11, Kind::Seal, Place::Full, 2, &seal),
        ],
    );
    let second = segment(
        1,
        (2, 1),
        22,
        &[
            fragment(22, data, Place::Last, 2, tail),
            fragment(22, data, Place::Full, 3, &payload(&all_records()[1..2])),
            vec![0; 40],
        ],
    );
    let carried = segment(
        2,
        (2, 0),
        33,
        &[
            fragment(33, data, Place::First, 2, head),
            fragment(33, data, Place::Last, 2, tail),
            fragment(33, sync, Place::Full, 2, b""),
            fragment(33, data, Place::Full, 3, &records),
        ],
    );
    let mut torn = one.clone();
    let payload_at = torn.len() - 100;
    torn[payload_at] ^= 1;
    let seed = |name, from: u64, durable: u64, segments: &[&Vec<u8>]| {
        let lsns = [from.to_le_bytes(), durable.to_le_bytes()].concat();
        let segments = segments.iter().flat_map(|segment| segment.iter().copied());
        ("segment_scan", name, lsns.into_iter().chain(segments).collect())
    };
    vec![
        seed("one", 1, 1, &[&one]),
        seed("torn", 1, 1, &[&torn]),
        seed("sealed", 1, 2, &[&first, &second]),
        seed("later", 3, 2, &[&first, &second]),
        seed("epochs", 1, 0, &[&first, &second, &carried]),
        seed("empty", 1, 0, &[]),
    ]
}

/// What a writer makes of rows: (keyspace, position, key) and value.
fn part(rows: &[(RowKey<'_>, RowValue<'_>)], counts: Vec<SlotCount>) -> Vec<u8> {
    let storage = Arc::new(SimStorage::new(1));
    firn::io::Storage::create_folder(&*storage, PART_FOLDER.as_ref()).unwrap();
    let mut writer = PartWriter::create(storage.clone(), DatabaseId([7; 16]), PART_ID, 1).unwrap();
    for (lsn, (key, value)) in (10..).zip(rows) {
        writer.push(key, lsn, value).unwrap();
    }
    writer.set_counts(counts);
    writer.finish(1).unwrap();
    storage.bytes(&part_path(PART_ID)).unwrap()
}

fn row_key(keyspace: u32, position: u64, key: &[u8]) -> RowKey<'_> {
    RowKey { keyspace, position: Position(position), key }
}

fn string(bytes: &[u8], expire_at_ms: Option<u64>) -> RowValue<'_> {
    RowValue::String { expire_at_ms, raw: expire_at_ms.is_some(), bytes }
}

fn parts() -> Vec<Seed> {
    let page = |number: u32, len: usize| DirtyPage { number, bytes: vec![7; len].into(), lsn: 9 };
    let pages = [page(0, 64 << 10), page(1, 5)];
    let paged =
        |len, pages| RowValue::Paged { expire_at_ms: None, raw: true, len, generation: 4, pages };
    let count = |keyspace, slot, keys| SlotCount { keyspace, slot, keys, expires: 1, lsn: 12 };
    let mixed = part(
        &[
            (row_key(0, 1 << 50, b"a"), string(b"value of a", None)),
            (row_key(0, 1 << 50, b"b"), string(b"", Some(1_600_000_000_000))),
            (row_key(0, 3 << 50, b"c"), RowValue::Tombstone),
            (row_key(0, 4 << 50, b"d"), paged((64 << 10) + 5, &pages)),
            (row_key(5, 1, b"e"), string(b"another keyspace", Some(1 << 41))),
        ],
        vec![count(0, 1, 2), count(0, 3, 0), count(5, 0, 1)],
    );
    let tiny = part(&[(row_key(0, 9, b"k"), string(b"v", None))], Vec::new());
    let pages_only = part(&[(row_key(0, 9, b"k"), paged(1 << 20, &pages[..1]))], Vec::new());
    vec![
        ("part_open", "mixed", mixed),
        ("part_open", "tiny", tiny),
        ("part_open", "empty", part(&[], Vec::new())),
        ("part_open", "counts", part(&[], vec![count(0, 1, 2)])),
        ("part_open", "partly_paged", pages_only),
        ("part_open", "blocks", many_blocks()),
    ]
}

/// Several key blocks, one of them in the middle of a position, and none of them compressed.
fn many_blocks() -> Vec<u8> {
    let mut random = Random::new(1);
    let mut keys: Vec<Vec<u8>> = (0..9)
        .map(|_| {
            let mut key = vec![0; 4000];
            random.fill(&mut key);
            key
        })
        .collect();
    keys.sort();
    let rows: Vec<_> =
        keys.iter().map(|key| (row_key(0, 7, key), string(&key[..10], None))).collect();
    part(&rows, Vec::new())
}

fn manifests() -> Vec<Seed> {
    let new = Manifest::new(DatabaseId([1; 16]), HashSeed([2; 16]));
    let changed = vec![(0, 65_536), (2, 1)];
    let full = Manifest {
        generation: 3,
        epoch: 2,
        log_start_lsn: 10,
        durable_lsn: 20,
        wall_ms: 1_700_000_000_000,
        next_part_id: 5,
        databases: DatabaseMap { lsn: 19, changed: changed.clone(), next_keyspace: 65_537 },
        parts: vec![PartMeta { id: 4, file_bytes: 1000, run: 1, ..PartMeta::default() }],
        ..new.clone()
    };
    let databases = DatabaseMap { lsn: 0, changed, next_keyspace: 65_537 };
    let flushed = Manifest { generation: 1, databases, ..new.clone() };
    vec![
        ("manifest_decode", "new", new.encode()),
        ("manifest_decode", "flushed", flushed.encode()),
        ("manifest_decode", "full", full.encode()),
        ("manifest_decode", "installed", installed()),
    ]
}

/// The MANIFEST of a real database.
fn installed() -> Vec<u8> {
    let storage = Arc::new(SimStorage::new(1));
    let clock = Arc::new(SimClock::new(1_700_000_000_000));
    let engine = Engine::open_on(storage.clone(), clock, options()).unwrap();
    engine.set(1, b"k", b"v").unwrap();
    engine.close().unwrap();
    let is_manifest = |path: &&std::path::PathBuf| path.to_string_lossy().starts_with("MANIFEST");
    let paths = storage.file_names();
    storage.bytes(paths.iter().rfind(is_manifest).unwrap()).unwrap()
}

fn payloads() -> Vec<Seed> {
    let dump = |bytes: &[u8]| {
        let value = StringRef::Flat { bytes, shared: None, raw: false };
        payload_pieces(&value).concat()
    };
    let seed = |name, bytes: Vec<u8>| ("rdb_payload", name, bytes);
    let sealed = |name, body: &[u8]| ("rdb_payload", name, [&[11], body].concat());
    let strings = vec![
        seed("hello", dump(b"hello")),
        seed("number", dump(b"-70000")),
        seed("compressed", dump(&b"abc".repeat(100))),
        sealed("body_plain", b"\x00\x05hello"),
        sealed("body_long_length", b"\x00\x80\x00\x00\x00\x05hello"),
        sealed("body_int16", b"\x00\xc1\x39\x30"),
        sealed("body_lzf", b"\x00\xc3\x09@d\x01xx\xe0W\x00\x01xx"),
        sealed("body_list", b"\x0e\x00"),
    ];
    strings.into_iter().chain(samples()).collect()
}

/// The first of the library's samples of each type, their footers replaced by a version in front,
/// so that mutants get through.
fn samples() -> Vec<Seed> {
    #[rustfmt::skip]
    const NAMES: [&str; 26] = [
        "type_0", "type_1", "type_2", "type_3", "type_4", "type_5", "type_6", "type_7", "type_8",
        "type_9", "type_10", "type_11", "type_12", "type_13", "type_14", "type_15", "type_16",
        "type_17", "type_18", "type_19", "type_20", "type_21", "type_22", "type_23", "type_24",
        "type_25",
    ];
    let lines = include_str!("../../src/rdb/samples.txt").lines();
    let is_hex = |line: &&str| line.len() > 20 && line.bytes().all(|b| b.is_ascii_hexdigit());
    let mut seeds: Vec<Seed> = Vec::new();
    for line in lines.filter(is_hex) {
        let byte = |at: usize| u8::from_str_radix(&line[at..at + 2], 16).unwrap();
        let payload: Vec<u8> = (0..line.len()).step_by(2).map(byte).collect();
        let name = NAMES[usize::from(payload[0])];
        if seeds.iter().all(|(_, other, _)| *other != name) {
            let body = &payload[..payload.len() - 10];
            seeds.push(("rdb_payload", name, [&[12], body].concat()));
        }
    }
    seeds
}

fn payload_pieces(value: &StringRef<'_>) -> Vec<Bytes> {
    firn::rdb::payload::encode_string(value)
}

/// Random choices: what they mean is the model's business.
fn operations() -> Vec<Seed> {
    let names = ["random_1", "random_2", "random_3", "random_4", "random_5", "random_6"];
    let seed = |(number, name)| {
        let mut bytes = vec![0; 150usize << (number % 3)];
        Random::new(number as u64).fill(&mut bytes);
        ("engine_model", name, bytes)
    };
    // Chosen from many: they make large collections, log them ahead, and crash in between.
    let large = [("large_1", 1054), ("large_2", 1640), ("large_3", 1939), ("large_4", 2116)];
    let large = large.into_iter().map(|(name, number)| {
        let mut bytes = vec![0; 400];
        Random::new(number).fill(&mut bytes);
        ("engine_model", name, bytes)
    });
    names.into_iter().enumerate().map(seed).chain(large).collect()
}
