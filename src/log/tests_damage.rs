//! Tests of reading what is cut, flipped, lost or left over.

use std::path::Path;

use super::reader::{LogEnd, Tail, list_segments};
use super::tests::*;
use super::walk::{SegmentWalker, Step, segment_path};
use crate::error::{Error, Result};
use crate::format::checksum::{self, Salt};
use crate::format::frame::{self, FragmentHeader, Kind, Place};
use crate::format::segment::{HEADER_BYTES, SegmentHeader};
use crate::io::sim::SimStorage;
use crate::io::{OpenMode, Storage};
use crate::types::Lsn;

/// Offsets and headers of the fragments of a segment.
fn fragments(storage: &SimStorage, index: usize) -> Vec<(u64, FragmentHeader)> {
    let name = list_segments(storage).unwrap()[index];
    let mut walker = SegmentWalker::open(storage, name).unwrap();
    let mut found = Vec::new();
    while let Step::Fragment(fragment) = walker.step().unwrap() {
        found.push((fragment.offset, fragment.header));
    }
    found
}

fn write(storage: &SimStorage, path: &Path, offset: u64, bytes: &[u8]) {
    let file = storage.open(path, OpenMode::Write).unwrap();
    file.write_at(bytes, offset).unwrap();
}

fn lost(result: Result<(Frames, LogEnd)>) -> (Lsn, Lsn) {
    match result {
        Err(Error::Corrupt { lost: Some(lost), .. }) => lost,
        other => panic!("expected corruption, got {other:?}"),
    }
}

/// Three groups, the first with two frames; a witness for the last when asked.
fn three_groups(witness: bool) -> (SimStorage, Frames) {
    let (storage, log) = new_log();
    let payloads: Vec<_> = [5, 77, 0, 130].map(|len| payload(len as Lsn, len)).to_vec();
    append(&log, &payloads[0]);
    for payload in &payloads[1..] {
        append(&log, payload);
        log.commit(true).unwrap();
    }
    if witness {
        log.write_witness().unwrap();
    }
    (storage, numbered(&payloads))
}

#[test]
fn a_segment_cut_at_every_byte_gives_the_frames_before_the_cut() {
    let (storage, frames) = three_groups(true);
    let (_, path) = last_segment(&storage);
    let whole = storage.bytes(&path).unwrap();
    let places = fragments(&storage, 0);
    let (last_at, last) = *places.last().unwrap();
    for cut in (0..=last_at + last.stride()).rev() {
        let storage = storage.kill_clone();
        let file = storage.open(&path, OpenMode::Write).unwrap();
        file.set_len(cut).unwrap();
        let data = places.iter().filter(|(_, header)| header.kind == Kind::Data);
        let payload_end = |(at, header): &(u64, FragmentHeader)| {
            at + frame::HEADER_BYTES as u64 + u64::from(header.payload_bytes)
        };
        let data: Vec<_> = data.map(|place| (place.0, payload_end(place))).collect();
        for zeros_behind in [false, true] {
            if zeros_behind {
                file.set_len(whole.len() as u64).unwrap();
            }
            // Zeros may stand in for bytes that were zero.
            let left = storage.bytes(&path).unwrap();
            let intact = |&&(from, to): &&(u64, u64)| {
                let range = from as usize..to as usize;
                left.get(range.clone()) == whole.get(range)
            };
            let whole_count = data.iter().take_while(intact).count();
            let result = read(&storage, 0);
            if cut < HEADER_BYTES as u64 {
                assert_eq!(lost(result), (1, 1), "cut at {cut}");
                continue;
            }
            let (frames_read, end) = result.unwrap();
            assert_eq!(frames_read, frames[..whole_count], "cut at {cut}");
            assert_eq!(end.last_lsn, whole_count as Lsn);
            // The MANIFEST may know better.
            assert_eq!(lost(read(&storage, 5)), (whole_count as Lsn + 1, 5));
        }
    }
}

#[test]
fn every_flipped_bit_is_detected_or_harmless() {
    for witness in [true, false] {
        let (storage, frames) = three_groups(witness);
        let (_, path) = last_segment(&storage);
        let (last_at, last) = *fragments(&storage, 0).last().unwrap();
        let header_bits = (0..HEADER_BYTES as u64 * 8).step_by(97);
        let end = (last_at + last.stride() + 64) * 8;
        let (mut harmless, mut detected, mut torn) = (0, 0, 0);
        for bit in header_bits.chain(HEADER_BYTES as u64 * 8..end) {
            storage.flip_bit(&path, bit);
            match read(&storage, 0) {
                Ok((read, _)) if read == frames => harmless += 1,
                Ok((read, end)) => {
                    // Only the last group may be taken for a torn tail, and only without witness.
                    assert!(!witness, "bit {bit}");
                    assert!(read == frames[..3], "bit {bit}");
                    assert!(matches!(end.tail, Tail::Torn { .. }), "bit {bit}");
                    torn += 1;
                }
                Err(Error::Corrupt { lost: Some((first, last)), .. }) => {
                    assert!(first <= last && last <= 4, "bit {bit}");
                    detected += 1;
                }
                Err(error) => panic!("bit {bit}: {error}"),
            }
            storage.flip_bit(&path, bit);
        }
        // Padding, the bytes behind the end, and the sync frame.
        assert!(harmless < (64 + 40 + 3 * 7) * 8 + 1, "{harmless}");
        assert!(detected > 1000 && (torn > 1000) != witness, "{detected} {torn}");
    }
}

#[test]
fn damage_in_the_middle_names_exactly_what_is_lost() {
    let (storage, log) = new_log();
    for lsn in 1..=60 {
        append(&log, &payload(lsn, 900));
        log.commit(true).unwrap();
    }
    let names = list_segments(&storage).unwrap();
    assert!(names.len() >= 3);
    let first = segment_path(names[0]);
    let places = fragments(&storage, 0);
    // One frame, then three in a row, then the last before the seal.
    for (from, to) in [(4, 4), (4, 6), (places.len() - 2, places.len() - 2)] {
        let clone = storage.kill_clone();
        for (at, _) in &places[from..=to] {
            clone.flip_bit(&first, (at + 50) * 8);
        }
        assert_eq!(lost(read(&clone, 0)), (places[from].1.lsn, places[to].1.lsn));
    }
    // A hole of zeros.
    let clone = storage.kill_clone();
    write(&clone, &first, places[2].0, &vec![0; 2 * 944]);
    assert_eq!(lost(read(&clone, 0)), (3, 4));
    // A whole segment.
    storage.remove(&segment_path(names[1])).unwrap();
    assert_eq!(lost(read(&storage, 0)), (names[1].first_lsn, last_before(names[2])));
}

#[test]
fn damage_before_what_is_asked_for_is_passed_over() {
    let (storage, log) = new_log();
    for lsn in 1..=60 {
        append(&log, &payload(lsn, 900));
        log.commit(true).unwrap();
    }
    let path = segment_path(list_segments(&storage).unwrap()[0]);
    for (at, _) in &fragments(&storage, 0)[4..=6] {
        storage.flip_bit(&path, (at + 50) * 8);
    }
    // Frames 5 to 7 are damaged, all in the segment that is read first.
    for (from, reads) in [(4, false), (7, false), (8, true), (9, true)] {
        let result = read_from(&storage, from, 60);
        if !reads {
            assert_eq!(lost(result), (5, 7), "from {from}");
            continue;
        }
        let (frames, end) = result.unwrap();
        assert!(frames.iter().map(|frame| frame.0).eq(from..=60), "from {from}");
        assert_eq!((end.last_lsn, end.repaired.len()), (60, 1));
    }
}

fn last_before(name: crate::format::file_name::SegmentName) -> Lsn {
    if name.first_fragment > 0 { name.first_lsn } else { name.first_lsn - 1 }
}

#[test]
fn the_last_group_has_a_witness_at_the_end_of_a_segment_too() {
    for len in (9_000..12_200).step_by(60) {
        let (storage, log) = new_log();
        append(&log, &payload(1, len));
        log.commit(true).unwrap();
        append(&log, &payload(2, 20));
        log.commit(true).unwrap();
        log.write_witness().unwrap();
        let held = |index: usize| {
            fragments(&storage, index).into_iter().find(|(_, header)| header.lsn == 2)
        };
        let names = list_segments(&storage).unwrap();
        let found = (0..names.len()).find_map(|index| Some((names[index], held(index)?)));
        let (name, (at, _)) = found.unwrap();
        storage.flip_bit(&segment_path(name), (at + 45) * 8);
        assert_eq!(lost(read(&storage, 0)), (2, 2), "a first frame of {len} bytes");
    }
}

#[test]
fn a_damaged_control_fragment_costs_nothing() {
    let (storage, log) = new_log();
    for lsn in 1..=4 {
        append(&log, &payload(lsn, 100));
        log.commit(true).unwrap();
        log.write_witness().unwrap();
    }
    let (_, path) = last_segment(&storage);
    let whole = read(&storage, 4).unwrap().0;
    for (at, header) in fragments(&storage, 0) {
        if header.kind == Kind::Sync {
            let clone = storage.kill_clone();
            clone.flip_bit(&path, (at + 20) * 8);
            let (frames, end) = read(&clone, 4).unwrap();
            assert_eq!(frames, whole);
            assert_eq!(end.repaired.len(), usize::from(header.lsn < 4));
            // The next epoch copies what was read around the damage.
            let (frames, _log) = reopen(&clone).unwrap();
            assert_eq!(frames, whole);
            assert_eq!(read(&clone, 4).unwrap().0, whole);
        }
    }
}

#[test]
fn a_damaged_seal_costs_nothing_while_the_successor_is_there() {
    let (storage, log) = new_log();
    for lsn in 1..=60 {
        append(&log, &payload(lsn, 900));
        log.commit(true).unwrap();
    }
    let whole = read(&storage, 60).unwrap().0;
    let (at, seal) = *fragments(&storage, 0).last().unwrap();
    assert_eq!(seal.kind, Kind::Seal);
    let names = list_segments(&storage).unwrap();
    for bit in [at * 8, (at + 41) * 8] {
        storage.flip_bit(&segment_path(names[0]), bit);
        assert_eq!(read(&storage, 60).unwrap().0, whole);
        storage.flip_bit(&segment_path(names[0]), bit);
    }
    storage.remove(&segment_path(names[1])).unwrap();
    for name in &names[2..] {
        storage.remove(&segment_path(*name)).unwrap();
    }
    assert_eq!(lost(read(&storage, 0)).0, names[1].first_lsn);
}

#[test]
fn old_frames_behind_the_tail_of_a_recycled_segment_are_not_seen() {
    let (storage, log) = new_log();
    let mut lsn = 0;
    let mut recycled = None;
    while recycled.is_none() {
        lsn += 1;
        append(&log, &payload(lsn, 900));
        log.commit(true).unwrap();
        log.release_before(lsn.saturating_sub(20)).unwrap();
        let (name, path) = last_segment(&storage);
        let tail = fragments(&storage, list_segments(&storage).unwrap().len() - 1);
        let end = tail.last().map_or(HEADER_BYTES as u64, |(at, header)| at + header.stride());
        let behind = storage.bytes(&path).unwrap()[end as usize..].to_vec();
        if behind.iter().any(|&byte| byte != 0) && tail.len() >= 2 {
            recycled = Some((name, tail, end));
        }
        assert!(lsn < 1000, "nothing is recycled");
    }
    let (name, tail, end) = recycled.unwrap();
    let (frames, log_end) = read_from(&storage, name.first_lsn, lsn).unwrap();
    assert_eq!(frames.last().unwrap().0, lsn);
    assert_eq!(log_end.last_lsn, lsn);
    // Torn, too, the old frames behind are no witness and no continuation.
    let (at, header) = *tail.last().unwrap();
    assert!(end > at);
    storage.flip_bit(&segment_path(name), (at + 45) * 8);
    let (frames, log_end) = read_from(&storage, name.first_lsn, 0).unwrap();
    assert_eq!(frames.last().unwrap().0, header.lsn - 1);
    assert!(matches!(log_end.tail, Tail::Torn { .. }));
}

#[test]
fn a_frame_image_inside_a_value_is_never_taken_for_a_frame() {
    let (storage, log) = new_log();
    append(&log, b"before");
    log.commit(true).unwrap();
    let (_, path) = last_segment(&storage);
    let real = SegmentHeader::decode(&storage.bytes(&path).unwrap()).unwrap().salt;
    let image = |salt: u64, lsn: Lsn| {
        let inner = b"injected";
        let header = FragmentHeader {
            payload_bytes: inner.len() as u32,
            payload_crc: checksum::plain(inner),
            kind: Kind::Data,
            place: Place::Full,
            lsn,
            synced_upto: 1000,
            wall_ms: 0,
        };
        [&header.encode(Salt::new(salt))[..], inner].concat()
    };
    // Every aligned place of the value holds an image; the salt cannot be known.
    let value = [image(0, 2), image(1, 3), image(real ^ 1, 2), image(real ^ (1 << 63), 3)].concat();
    append(&log, &value);
    log.commit(true).unwrap();
    let (at, _) = *fragments(&storage, 0).last().unwrap();
    storage.flip_bit(&path, at * 8);
    let (frames, end) = read(&storage, 0).unwrap();
    assert_eq!(frames, vec![(1, b"before".to_vec())]);
    assert!(matches!(end.tail, Tail::Torn { offset, .. } if offset == at));
    // The search does look there: with the salt it would be a witness.
    write(&storage, &path, at + 40 + 2 * 48, &image(real, 7));
    assert_eq!(lost(read(&storage, 0)), (2, 6));
}

#[test]
fn lsns_that_were_cut_and_given_out_again_are_never_confused() {
    let (storage, log) = new_log();
    for lsn in 1..=30 {
        append(&log, &payload(lsn, 900));
    }
    log.commit(true).unwrap();
    append(&log, b"cut");
    append(&log, b"cut too");
    log.commit(false).unwrap();
    drop(log);
    let (_, path) = last_segment(&storage);
    let index = list_segments(&storage).unwrap().len() - 1;
    let cut_at = fragments(&storage, index).iter().find(|(_, header)| header.lsn == 31).unwrap().0;
    storage.flip_bit(&path, cut_at * 8);
    let (frames, log) = reopen(&storage).unwrap();
    assert_eq!(frames.len(), 30);
    append(&log, b"again");
    log.commit(true).unwrap();
    // The damage heals: the old frames 31 and 32 stand there whole again.
    storage.flip_bit(&path, cut_at * 8);
    let (frames, end) = read(&storage, 31).unwrap();
    assert_eq!(frames.len(), 31);
    assert_eq!(frames[30], (31, b"again".to_vec()));
    assert_eq!((end.last_lsn, end.epoch), (31, 2));
    drop(log);
    // A third epoch, and nothing but its own segments is needed from its first frame on.
    let (_, log) = reopen(&storage).unwrap();
    let first =
        list_segments(&storage).unwrap().iter().find(|name| name.epoch == 3).unwrap().first_lsn;
    append(&log, b"third");
    log.commit(true).unwrap();
    log.release_before(first).unwrap();
    assert!(list_segments(&storage).unwrap().iter().all(|name| name.epoch == 3));
    assert_eq!(read_from(&storage, first, 32).unwrap().0.last().unwrap().1, b"third");
}

#[test]
fn an_incomplete_large_frame_is_cut_whole() {
    let (storage, log) = new_log();
    append(&log, b"kept");
    log.commit(true).unwrap();
    append(&log, &payload(2, 60_000));
    log.commit(true).unwrap();
    let names = list_segments(&storage).unwrap();
    let (_, path) = last_segment(&storage);
    let (at, header) = *fragments(&storage, names.len() - 1).last().unwrap();
    assert_eq!(header.place, Place::Last);
    storage.flip_bit(&path, (at + 60) * 8);
    let (frames, end) = read(&storage, 0).unwrap();
    assert_eq!((frames.len(), end.last_lsn), (1, 1));
    assert!(matches!(end.tail, Tail::Torn { .. }));
    let (_, log) = reopen(&storage).unwrap();
    assert_eq!(append(&log, b"instead"), 2);
    log.commit(true).unwrap();
    let expected = vec![(1, b"kept".to_vec()), (2, b"instead".to_vec())];
    assert_eq!(read(&storage, 2).unwrap().0, expected);
}

#[test]
fn segments_of_another_database_or_a_newer_format_are_refused() {
    let (storage, frames) = three_groups(true);
    assert_eq!(frames.len(), 4);
    let (name, path) = last_segment(&storage);
    let header = SegmentHeader::decode(&storage.bytes(&path).unwrap()).unwrap();
    let foreign = SegmentHeader { database: crate::types::DatabaseId([8; 16]), ..header };
    write(&storage, &path, 0, &foreign.encode());
    assert_eq!(lost(read(&storage, 4)), (1, 4));
    let newer = SegmentHeader { version: 2, ..header };
    write(&storage, &path, 0, &newer.encode());
    assert!(matches!(read(&storage, 0), Err(Error::UnsupportedFormat { found: 2, .. })));
    let harmless = SegmentHeader { features_harmless: 1, ..header };
    write(&storage, &path, 0, &harmless.encode());
    assert_eq!(read(&storage, 0).unwrap().0, frames);
    // A segment under a name that is not its own.
    write(&storage, &path, 0, &header.encode());
    let other = crate::format::file_name::SegmentName { first_lsn: 2, ..name };
    storage.rename(&path, &segment_path(other)).unwrap();
    assert_eq!(lost(read_from(&storage, 2, 4)), (2, 4));
}

#[test]
fn an_empty_log_is_one_only_where_nothing_was_durable() {
    let storage = SimStorage::new(1);
    let (frames, end) = read_from(&storage, 1, 0).unwrap();
    assert!(frames.is_empty() && end.last_lsn == 0);
    assert_eq!(lost(read_from(&storage, 9, 8)), (9, 9));
    assert_eq!(lost(read_from(&storage, 9, 12)), (9, 12));
}
