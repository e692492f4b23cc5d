//! `format-spec/examples/log.hex` is what this code writes and reads. After a change of the format
//! run the test with `FIRN_WRITE_EXAMPLES=1` and read the difference.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use super::Frame;
use super::active::SEAL_BYTES;
use super::reader::list_segments;
use super::tests::{DATABASE, SEGMENT_BYTES, config, read};
use super::walk::{SegmentWalker, Step, segment_path};
use super::writer::Log;
use crate::format::checksum::Salt;
use crate::format::edit::Edit;
use crate::format::frame::{HEADER_BYTES, Kind};
use crate::format::record::{CountDelta, DeleteReason, Record, StringValue, records};
use crate::format::segment::{self, Seal, SegmentHeader};
use crate::io::sim::{SimClock, SimStorage};
use crate::io::{OpenMode, Storage};
use crate::types::ValueKind;
use crate::value::view::packed_items;

const EXAMPLE: &str = include_str!("../../format-spec/examples/log.hex");

fn put(key: &'static [u8], value: &'static [u8], expire_at_ms: Option<u64>) -> Record<'static> {
    Record::Put {
        keyspace: 0,
        key,
        expire_at_ms,
        value: StringValue { bytes: value, raw: false },
        counts: CountDelta { keys: 1, expires: i8::from(expire_at_ms.is_some()) },
    }
}

/// A sorted set of two members.
const PEAKS: &[u8] = b"1\x03\x04Dom\x84G\x04\x10Rosaffff\xe6\x19\xb2\x40";

fn edit(key: &'static [u8], creates: bool, edit: Edit<'static>) -> Record<'static> {
    let counts = CountDelta { keys: i8::from(creates), expires: 0 };
    Record::Edit { keyspace: 0, key, creates, shape: ValueKind::List.shape(1), edit, counts }
}

/// Writes the example's segment; a long value fills it up.
fn write_log() -> SimStorage {
    let storage = SimStorage::new(1);
    let end = read(&storage, 0).unwrap().1;
    let clock = Arc::new(SimClock::new(1_700_000_000_600));
    let log = Log::create(Arc::new(storage.clone()), clock, config(1), &end).unwrap();
    let append = |wall_ms: u64, records: &[Record<'_>]| {
        let mut frame = Frame::new(wall_ms);
        records.iter().for_each(|record| frame.push(record));
        log.append(&mut frame);
        log.commit(true).unwrap();
    };
    append(1_700_000_000_000, &[put(b"name", b"Firn", None)]);
    let (keyspace, key) = (0, &b"name"[..]);
    let counts = CountDelta { keys: -1, expires: 0 };
    let gone = Record::Delete { keyspace, key, reason: DeleteReason::Command, counts };
    let changed = vec![(0, 1), (1, 0)];
    append(
        1_700_000_000_500,
        &[
            put(b"ice", b"blue", Some(1_700_000_060_000)),
            Record::Expire {
                keyspace,
                key: b"ice",
                expire_at_ms: None,
                counts: CountDelta { keys: 0, expires: -1 },
            },
            Record::WriteRange { keyspace, key: b"ice", offset: 4, bytes: b" and old" },
            gone,
            Record::PutPacked {
                keyspace,
                key: b"peaks",
                expire_at_ms: None,
                blob: PEAKS,
                counts: CountDelta { keys: 1, expires: 0 },
            },
            edit(b"melt", true, Edit::Push { front: false, elements: b"\x05drops\x06" }),
            edit(b"melt", false, Edit::Insert { index: 1, element: b"rill" }),
            edit(b"melt", false, Edit::Cut { index: 0, count: 1 }),
            Record::Stage {
                key: b"alps",
                stage: 1 << 32,
                begins: true,
                shape: ValueKind::Set.shape(2),
                edit: Edit::Put { items: b"\x05\x00Eiger" },
            },
            Record::PutStaged {
                keyspace,
                key: b"alps",
                expire_at_ms: Some(1_700_000_060_000),
                stage: 1 << 32,
                counts: CountDelta { keys: 1, expires: 1 },
            },
            Record::Databases { changed },
        ],
    );
    log.write_witness().unwrap();
    let long: &[u8] = vec![b'.'; SEGMENT_BYTES as usize].leak();
    append(1_700_000_001_000, &[put(b"long", long, None)]);
    storage
}

/// Bytes as hex, sixteen a line, runs of at least 32 equal bytes as `xx * count`.
fn dump(out: &mut String, offset: usize, bytes: &[u8], note: &str) {
    writeln!(out, "; {offset:#06x} {note}").unwrap();
    let mut at = 0;
    while at < bytes.len() {
        let run = bytes[at..].iter().take_while(|&&byte| byte == bytes[at]).count();
        if run >= 32 {
            writeln!(out, "{:02x} * {run}", bytes[at]).unwrap();
            at += run;
            continue;
        }
        let len = (bytes.len() - at).min(16);
        let run_at = (1..len).find(|&i| {
            bytes.len() - at - i >= 32
                && bytes[at + i..at + i + 32].iter().all(|b| *b == bytes[at + i])
        });
        let line = &bytes[at..at + run_at.unwrap_or(len)];
        let line: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(out, "{}", line.join(" ")).unwrap();
        at += line.len();
    }
}

fn parse(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with(';')) {
        let (digits, count) = line.split_once(" * ").unwrap_or((line, "1"));
        let piece: Vec<u8> =
            digits.split_whitespace().map(|hex| u8::from_str_radix(hex, 16).unwrap()).collect();
        (0..count.parse().unwrap()).for_each(|_| bytes.extend_from_slice(&piece));
    }
    bytes
}

fn describe(record: &Record<'_>) -> String {
    match record {
        Record::Put { key, value, expire_at_ms, .. } => format!(
            "put {} = {}, expires at {expire_at_ms:?}",
            key.escape_ascii(),
            value.bytes.escape_ascii()
        ),
        Record::Delete { key, reason, .. } => format!("delete {}, {reason:?}", key.escape_ascii()),
        Record::Expire { key, expire_at_ms, .. } => {
            format!("expire {} at {expire_at_ms:?}", key.escape_ascii())
        }
        Record::WriteRange { key, offset, bytes, .. } => {
            format!("write-range {} at {offset}: {}", key.escape_ascii(), bytes.escape_ascii())
        }
        Record::PutPacked { key, blob, .. } => {
            let items: Vec<String> = packed_items(blob).map(|item| format!("{item:?}")).collect();
            format!("put-packed {} = {}", key.escape_ascii(), items.join(", "))
        }
        Record::Edit { key, creates, shape, edit, .. } => {
            let verb = if *creates { "create" } else { "edit" };
            format!("{verb} {} of shape {shape:#x}: {edit:?}", key.escape_ascii())
        }
        Record::Stage { key, stage, begins, shape, edit } => {
            let verb = if *begins { "begin" } else { "go on with" };
            let key = key.escape_ascii();
            format!("{verb} stage {stage:#x} for {key}, of shape {shape:#x}: {edit:?}")
        }
        Record::PutStaged { key, expire_at_ms, stage, .. } => {
            let key = key.escape_ascii();
            format!("put-staged {key} = stage {stage:#x}, expires at {expire_at_ms:?}")
        }
        Record::Databases { changed } => format!("databases {changed:?} (database, keyspace)"),
    }
}

fn annotate(storage: &SimStorage) -> String {
    let name = list_segments(storage).unwrap()[0];
    let bytes = storage.bytes(&segment_path(name)).unwrap();
    let mut out = format!("; log/{}, a whole segment; see ../log.md\n", name.encode());
    dump(
        &mut out,
        0,
        &bytes[..80],
        "segment header: magic, version, features, database, epoch, fragment, LSN, salt, reserved",
    );
    dump(&mut out, 80, &bytes[80..4092], "reserved");
    dump(&mut out, 4092, &bytes[4092..4096], "crc of the segment header");
    let mut walker = SegmentWalker::open(storage, name).unwrap();
    let mut end = segment::HEADER_BYTES;
    while let Step::Fragment(fragment) = walker.step().unwrap() {
        let (at, header) = (fragment.offset as usize, fragment.header);
        let note = format!(
            "{:?} fragment, {:?}: LSN {}, synced up to {}, payload of {} bytes",
            header.kind, header.place, header.lsn, header.synced_upto, header.payload_bytes
        );
        dump(&mut out, at, &bytes[at..at + HEADER_BYTES], &note);
        let payload_at = at + HEADER_BYTES;
        let payload = &bytes[payload_at..payload_at + header.payload_bytes as usize];
        let is_data = header.kind == Kind::Data;
        let mut records = records(if is_data { payload } else { &[] });
        let mut from = 0;
        while let Some(Ok(record)) = records.next() {
            let note = describe(&record);
            dump(&mut out, payload_at + from, &payload[from..records.offset()], &note);
            from = records.offset();
        }
        if from < payload.len() {
            let what = if header.kind == Kind::Seal {
                "successor: LSN, salt, fragment"
            } else {
                "part of a record"
            };
            dump(&mut out, payload_at + from, &payload[from..], what);
        }
        end = at + header.stride() as usize;
        let padding = payload_at + payload.len();
        if padding < end {
            dump(&mut out, padding, &bytes[padding..end], "padding");
        }
    }
    if end < bytes.len() {
        dump(&mut out, end, &bytes[end..], "never written");
    }
    out
}

#[test]
fn the_example_is_what_is_written() {
    let text = annotate(&write_log());
    if std::env::var_os("FIRN_WRITE_EXAMPLES").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("format-spec/examples/log.hex");
        std::fs::write(path, &text).unwrap();
    }
    assert!(text == EXAMPLE, "log.hex differs from what is written; see the head of this file");
}

#[test]
fn the_example_is_read_and_encodes_to_the_same_bytes() {
    let bytes = parse(EXAMPLE);
    assert_eq!(bytes.len() as u64, SEGMENT_BYTES);
    let header = SegmentHeader::decode(&bytes).unwrap();
    assert_eq!((header.database, header.first_lsn, header.epoch), (DATABASE, 1, 1));
    assert_eq!(header.encode(), bytes[..segment::HEADER_BYTES]);
    let storage = SimStorage::new(2);
    storage.create_folder(Path::new("log")).unwrap();
    let file = storage.open(&segment_path(header.name()), OpenMode::CreateNew).unwrap();
    file.write_at(&bytes, 0).unwrap();
    let mut walker = SegmentWalker::open(&storage, header.name()).unwrap();
    let (mut again, mut kinds) = (header.encode(), Vec::new());
    while let Step::Fragment(fragment) = walker.step().unwrap() {
        again.extend_from_slice(&fragment.header.encode(Salt::new(header.salt)));
        kinds.push((fragment.header.kind, fragment.header.lsn));
        match (fragment.header.kind, fragment.header.lsn) {
            (Kind::Data, 1 | 2) => {
                for record in records(fragment.payload) {
                    record.unwrap().encode(&mut again);
                }
            }
            (Kind::Seal, _) => {
                let seal = Seal::decode(fragment.payload).unwrap();
                assert_eq!((seal.first_lsn, seal.first_fragment), (3, 1));
                again.extend_from_slice(&seal.encode());
            }
            _ => again.extend_from_slice(fragment.payload),
        }
        again.resize(again.len().next_multiple_of(8), 0);
    }
    let data = |lsn| (Kind::Data, lsn);
    assert_eq!(kinds, [data(1), data(2), (Kind::Sync, 2), data(3), (Kind::Seal, 3)]);
    assert_eq!(again, bytes[..again.len()]);
    assert!(bytes.len() - again.len() < SEAL_BYTES as usize);
}
