//! Fragments, records and segments of the log, up to a database that recovers from them.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use firn::engine::Engine;
use firn::error::Error;
use firn::format::checksum::{self, Salt};
use firn::format::file_name::{LOG_FOLDER, SegmentName, encode_manifest};
use firn::format::frame::{ALIGN_BYTES, FragmentHeader, HEADER_BYTES, Kind, Place};
use firn::format::manifest::Manifest;
use firn::format::record::records;
use firn::format::segment::{Seal, SegmentHeader};
use firn::io::clock::SimClock;
use firn::io::sim::SimStorage;
use firn::io::{OpenMode, Storage};
use firn::log;
use firn::log::walk::{SegmentWalker, Step, segment_path};
use firn::types::{DatabaseId, HashSeed, Lsn};

use crate::input::Input;
use crate::manifest::options;
use crate::reading::{content, contents};
use crate::seal;

const DATABASE: DatabaseId = DatabaseId([7; 16]);
/// Most segments of one input.
const SEGMENTS_MAX: usize = 8;

/// A fragment header, records and the other small structures: what decodes is encoded to the same
/// bytes. The records are then replayed by a database.
pub fn log_frame(data: &[u8]) {
    let mut input = Input(data);
    let salt = input.u64();
    header(input.0, salt);
    let mut sealed = input.0.to_vec();
    seal::fragments(&mut sealed, salt);
    header(&sealed, salt);
    if let Ok(seal) = Seal::decode(input.0) {
        assert_eq!(seal.encode(), input.0);
    }
    let (mut payload, mut again) = (records(input.0), Vec::new());
    loop {
        let start = payload.offset();
        let Some(Ok(record)) = payload.next() else {
            break;
        };
        again.clear();
        record.encode(&mut again);
        assert_eq!(again, input.0[start..payload.offset()], "a record has one encoding");
    }
    replay(input.0);
}

fn header(bytes: &[u8], salt: u64) {
    if let Ok(header) = FragmentHeader::decode(bytes, Salt::new(salt)) {
        assert_eq!(header.encode(Salt::new(salt)), bytes[..HEADER_BYTES]);
        assert!(header.stride() >= HEADER_BYTES as u64);
    }
}

/// A database whose log holds one frame, twice: a record that is applied once more as part of a
/// later frame meets what the first one left.
fn replay(payload: &[u8]) {
    let name = SegmentName { epoch: 1, first_lsn: 1, first_fragment: 0 };
    let mut fragments = Vec::new();
    for lsn in 1..=2 {
        let header = FragmentHeader {
            payload_bytes: payload.len() as u32,
            payload_crc: checksum::plain(payload),
            kind: Kind::Data,
            place: Place::Full,
            lsn,
            synced_upto: lsn - 1,
            wall_ms: 1_700_000_000_000,
        };
        fragments.extend_from_slice(&header.encode(Salt::new(9)));
        fragments.extend_from_slice(payload);
        fragments.resize(fragments.len().next_multiple_of(ALIGN_BYTES), 0);
    }
    recover(&[(name, 9, fragments)], 1, 0);
}

/// Segments of arbitrary content under sound headers: walked, read, and recovered from.
///
/// The input is the first LSN to replay, the LSN known durable, and for each segment a length (u16)
/// of what follows: epoch (u32), first LSN (u64), first fragment (u32), salt (u64), fragments.
pub fn segment_scan(data: &[u8]) {
    let mut input = Input(data);
    let (from_lsn, durable_lsn) = (input.u64(), input.u64());
    let mut segments = Vec::new();
    while !input.is_empty() && segments.len() < SEGMENTS_MAX {
        let len = u16::from_le_bytes(input.array());
        let mut body = Input(input.take(len.into()));
        let name = SegmentName {
            epoch: u32::from_le_bytes(body.array()),
            first_lsn: body.u64(),
            first_fragment: u32::from_le_bytes(body.array()),
        };
        segments.push((name, body.u64(), body.0.to_vec()));
    }
    recover(&segments, from_lsn, durable_lsn);
    for (_, salt, fragments) in &mut segments {
        seal::fragments(fragments, *salt);
    }
    recover(&segments, from_lsn, durable_lsn);
}

/// A segment: name, salt, and what stands behind its header.
type Segment = (SegmentName, u64, Vec<u8>);

fn recover(segments: &[Segment], from_lsn: Lsn, durable_lsn: Lsn) {
    let storage = Arc::new(SimStorage::new(1));
    let mut names = BTreeSet::new();
    storage.create_folder(LOG_FOLDER.as_ref()).expect("the simulation has no fault");
    for (name, salt, fragments) in segments {
        if names.insert(*name) {
            let header = SegmentHeader::new(DATABASE, *name, *salt).encode();
            write(&storage, &segment_path(*name), &[&header[..], fragments].concat());
            walk(&*storage, *name);
        }
    }
    let frames = read(&*storage, from_lsn, durable_lsn);
    let Some(last_lsn) = reopen(&storage, from_lsn, durable_lsn) else {
        return;
    };
    assert_eq!(Some(last_lsn), frames, "the engine and the reader agree");
    let again = open(&storage).expect("what was recovered once is recovered again");
    assert_eq!(again.stats().last_lsn, last_lsn, "and nothing is lost on the way");
    // A sound log may still say that it changes a key which nobody has written.
    if let Err(error) = again.checkpoint() {
        return must_be_damage(&error);
    }
    let replayed = contents(&again).expect("what was checkpointed can be read");
    drop(again);
    let loaded = open(&storage).expect("what was checkpointed is opened");
    for ((db, name), held) in replayed {
        // Nobody asks for a key in a slot that counts none, as a log may say of any.
        let found = content(&loaded, db, &name).expect("what was checkpointed can be read");
        assert!(found.is_none_or(|found| found == held), "parts hold what was replayed");
    }
}

fn must_be_damage(error: &Error) {
    let damage = matches!(error, Error::Corrupt { .. } | Error::UnsupportedFormat { .. });
    assert!(damage, "neither corrupt nor unsupported: {error}");
}

fn write(storage: &SimStorage, path: &Path, bytes: &[u8]) {
    let file = storage.open(path, OpenMode::CreateNew).expect("the path is free");
    file.write_at(bytes, 0).expect("the simulation has no fault");
}

/// Steps come in order, stay within the file and come to an end.
fn walk(storage: &dyn Storage, name: SegmentName) {
    let mut walker = SegmentWalker::open(storage, name).expect("the header is sound");
    let mut next_offset = 0;
    loop {
        match walker.step().expect("the simulation has no fault") {
            Step::Fragment(fragment) => {
                assert!(fragment.offset >= next_offset, "offsets grow");
                assert_eq!(fragment.payload.len(), fragment.header.payload_bytes as usize);
                next_offset = fragment.offset + fragment.header.stride();
            }
            Step::Break { offset, .. } => {
                assert!(offset >= next_offset, "offsets grow");
                next_offset = offset + ALIGN_BYTES as u64;
            }
            Step::End { offset } => return assert!(offset + ALIGN_BYTES as u64 > next_offset),
        }
    }
}

/// The last LSN of the log, none when it is refused. Frames come without a gap.
fn read(storage: &dyn Storage, from_lsn: Lsn, durable_lsn: Lsn) -> Option<Lsn> {
    let mut last = from_lsn.saturating_sub(1);
    let end = log::read(storage, from_lsn, durable_lsn, DATABASE, &mut |frame| {
        assert_eq!(Some(frame.lsn), last.checked_add(1), "frames come without a gap");
        last = frame.lsn;
        Ok(())
    });
    match end {
        Ok(end) => {
            assert!(end.last_lsn >= durable_lsn, "what was durable is there");
            Some(end.last_lsn)
        }
        Err(error) => {
            must_be_damage(&error);
            None
        }
    }
}

/// Opens a database over the segments; its last LSN.
fn reopen(storage: &Arc<SimStorage>, from_lsn: Lsn, durable_lsn: Lsn) -> Option<Lsn> {
    let manifest = Manifest {
        generation: 1,
        epoch: 1,
        log_start_lsn: from_lsn,
        durable_lsn,
        ..Manifest::new(DATABASE, HashSeed([3; 16]))
    };
    write(storage, Path::new(&encode_manifest(1)), &manifest.encode());
    match open(storage) {
        Ok(engine) => Some(engine.stats().last_lsn),
        Err(error) => {
            must_be_damage(&error);
            None
        }
    }
}

fn open(storage: &Arc<SimStorage>) -> Result<Engine, Error> {
    let clock = Arc::new(SimClock::new(1_700_000_000_000));
    Engine::open_on(storage.clone(), clock, options())
}
