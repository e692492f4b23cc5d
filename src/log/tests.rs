//! Tests of writing, and the tools that the other tests of the log share.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;

use super::reader::{self, LogEnd, Tail, list_segments};
use super::walk::segment_path;
use super::writer::{Log, LogConfig};
use super::{Frame, Reserve, SpaceClass};
use crate::error::{Error, Result};
use crate::format::file_name::SegmentName;
use crate::io::clock::SystemClock;
use crate::io::fault::{Failure, Fault, Operation};
use crate::io::sim::{SimClock, SimStorage};
use crate::io::{OpenMode, Storage};
use crate::types::{DatabaseId, Lsn};

pub(super) const DATABASE: DatabaseId = DatabaseId([7; 16]);
pub(super) const SEGMENT_BYTES: u64 = 16 << 10;

pub(super) type Frames = Vec<(Lsn, Vec<u8>)>;

pub(super) fn config(epoch: u32) -> LogConfig {
    LogConfig {
        database: DATABASE,
        epoch,
        salt_seed: 1000 + u64::from(epoch),
        segment_bytes_min: SEGMENT_BYTES,
        segment_bytes_max: 2 * SEGMENT_BYTES,
        queue_bytes_max: 1 << 20,
        sync_interval_ms: 0,
    }
}

/// Reads the log from the start.
pub(super) fn read(storage: &SimStorage, durable: Lsn) -> Result<(Frames, LogEnd)> {
    read_from(storage, 1, durable)
}

pub(super) fn read_from(storage: &SimStorage, from: Lsn, durable: Lsn) -> Result<(Frames, LogEnd)> {
    let mut frames = Vec::new();
    let end = reader::read(storage, from, durable, DATABASE, &mut |frame| {
        frames.push((frame.lsn, frame.payload.to_vec()));
        Ok(())
    })?;
    Ok((frames, end))
}

/// Reads and goes on in the next epoch.
pub(super) fn reopen(storage: &SimStorage) -> Result<(Frames, Log)> {
    let (frames, end) = read(storage, 0)?;
    let clock = Arc::new(SimClock::new(1_700_000_000_000));
    let log = Log::create(Arc::new(storage.clone()), clock, config(end.epoch + 1), &end)?;
    Ok((frames, log))
}

pub(super) fn new_log() -> (SimStorage, Log) {
    let storage = SimStorage::new(1);
    let (frames, log) = reopen(&storage).unwrap();
    assert!(frames.is_empty());
    (storage, log)
}

pub(super) fn append(log: &Log, payload: &[u8]) -> Lsn {
    let mut frame = Frame::new(1_700_000_000_000);
    frame.bytes.extend_from_slice(payload);
    log.append(&mut frame)
}

/// A payload that tells its LSN.
pub(super) fn payload(lsn: Lsn, len: usize) -> Vec<u8> {
    (0..len).map(|index| (lsn as usize * 31 + index * 7) as u8).collect()
}

pub(super) fn last_segment(storage: &SimStorage) -> (SegmentName, PathBuf) {
    let name = *list_segments(storage).unwrap().last().unwrap();
    (name, segment_path(name))
}

pub(super) fn numbered(payloads: &[Vec<u8>]) -> Frames {
    (1..).zip(payloads.iter().cloned()).collect()
}

#[test]
fn frames_read_back_in_order_and_whole() {
    let (storage, log) = new_log();
    let payloads: Vec<_> = (1..=50).map(|lsn| payload(lsn, lsn as usize * 13)).collect();
    for (index, payload) in payloads.iter().enumerate() {
        assert_eq!(append(&log, payload), index as Lsn + 1);
        if index % 7 == 0 {
            assert_eq!(log.commit(true).unwrap(), index as Lsn + 1);
        }
    }
    assert_eq!((log.last_lsn(), log.durable_lsn()), (50, 50));
    append(&log, b"later");
    assert_eq!((log.last_lsn(), log.written_lsn(), log.durable_lsn()), (51, 50, 50));
    log.commit(false).unwrap();
    assert_eq!((log.written_lsn(), log.durable_lsn()), (51, 50));
    let (frames, end) = read(&storage.kill_clone(), 0).unwrap();
    assert_eq!(frames[..50], numbered(&payloads));
    assert_eq!(frames[50], (51, b"later".to_vec()));
    assert_eq!((end.last_lsn, end.tail, end.last_wall_ms), (51, Tail::Clean, 1_700_000_000_000));
    // What was not synced is gone with the power, what was is not.
    let (frames, _) = read(&storage.crash_clone(3), 50).unwrap();
    assert_eq!(frames[..50], numbered(&payloads));
}

#[test]
fn a_group_of_small_frames_is_one_write_and_one_sync() {
    let (storage, log) = new_log();
    append(&log, b"first");
    log.commit(true).unwrap();
    (0..20).for_each(|_| {
        append(&log, b"small");
    });
    let before = storage.operations();
    log.commit(true).unwrap();
    assert_eq!(storage.operations() - before, 2);
    let stats = log.stats();
    assert_eq!((stats.frames, stats.groups, stats.syncs), (21, 2, 2));
    log.commit(true).unwrap();
    assert_eq!(storage.operations() - before, 2, "nothing is left to do");
}

#[test]
fn large_frames_span_fragments_and_segments() {
    let (storage, log) = new_log();
    let shared = Bytes::from(payload(9, 150_000));
    let mut expected = Vec::new();
    for round in 0..4u64 {
        let mut frame = Frame::new(round);
        frame.bytes.extend_from_slice(&payload(round, 300));
        frame.push_pieces(&[shared.slice(..70_000), shared.slice(70_000..)]);
        frame.bytes.extend_from_slice(b"behind");
        let whole = [&payload(round, 300)[..], &shared, b"behind"].concat();
        assert_eq!(frame.payload_bytes(), whole.len() as u64);
        log.append(&mut frame);
        expected.push(whole);
        expected.push(payload(round, 20_000));
        append(&log, &expected[expected.len() - 1]);
        expected.push(payload(round, 0));
        append(&log, b"");
        log.commit(round % 2 == 0).unwrap();
    }
    let names = list_segments(&storage).unwrap();
    assert!(names.iter().any(|name| name.first_fragment > 2), "{names:?}");
    let (frames, end) = read(&storage.kill_clone(), log.durable_lsn()).unwrap();
    assert_eq!(frames, numbered(&expected));
    assert_eq!(end.tail, Tail::Clean);
    // A new epoch in the middle of all this changes nothing.
    let storage = storage.kill_clone();
    let (_, log) = reopen(&storage).unwrap();
    append(&log, b"on");
    log.commit(true).unwrap();
    expected.push(b"on".to_vec());
    assert_eq!(read(&storage, 13).unwrap().0, numbered(&expected));
    assert_eq!(read_from(&storage, 8, 13).unwrap().0, numbered(&expected)[7..]);
}

#[test]
fn segments_grow_are_recycled_and_are_read_from_any_frame() {
    let (storage, log) = new_log();
    for lsn in 1..=200u64 {
        append(&log, &payload(lsn, 900));
        log.commit(true).unwrap();
        if lsn > 60 {
            log.release_before(lsn - 40).unwrap();
        }
    }
    log.write_witness().unwrap();
    let names = list_segments(&storage).unwrap();
    assert!(names[0].first_lsn > 100 && names[0].first_lsn <= 160, "{names:?}");
    assert!(log.stats().spares <= 2 && log.stats().segments == names.len() as u64);
    assert!(log.stats().segment_bytes <= 7 * 2 * SEGMENT_BYTES);
    let (frames, end) = read_from(&storage, 161, 200).unwrap();
    let expected: Frames = (161..=200).map(|lsn| (lsn, payload(lsn, 900))).collect();
    assert_eq!(frames, expected);
    assert_eq!(end.tail, Tail::Clean);
    let missing = read_from(&storage, 50, 200).unwrap_err();
    let Error::Corrupt { lost, .. } = missing else { panic!("{missing}") };
    assert_eq!(lost, Some((50, names[0].first_lsn - 1)));
}

#[test]
fn a_segment_with_another_name_is_removed_and_never_recycled() {
    let (storage, log) = new_log();
    let (_, first) = last_segment(&storage);
    storage.link(&first, Path::new("backup")).unwrap();
    for lsn in 1..=40u64 {
        append(&log, &payload(lsn, 900));
    }
    log.commit(true).unwrap();
    let before = storage.bytes(Path::new("backup")).unwrap();
    log.release_before(40).unwrap();
    assert!(!storage.file_names().contains(&first));
    for lsn in 1..=200u64 {
        append(&log, &payload(lsn, 900));
        log.commit(true).unwrap();
    }
    assert!(storage.bytes(Path::new("backup")).unwrap() == before);
}

#[test]
fn a_failed_sync_or_write_stops_the_log_for_good() {
    for operation in [Operation::Sync, Operation::Write] {
        let (storage, log) = new_log();
        let told = Arc::new(AtomicU64::new(0));
        let listener = told.clone();
        log.set_fatal_listener(Box::new(move |_| {
            listener.fetch_add(1, Ordering::Relaxed);
        }));
        append(&log, b"good");
        log.commit(true).unwrap();
        append(&log, b"bad");
        storage.inject(Fault::nth(operation, 0, Failure::Io));
        assert!(matches!(log.commit(true), Err(Error::Io { .. })));
        storage.clear_faults();
        for _ in 0..2 {
            assert!(matches!(log.commit(true), Err(Error::Poisoned { .. })));
        }
        assert!(matches!(log.write_witness(), Err(Error::Poisoned { .. })));
        assert!(matches!(log.reserve(1, SpaceClass::Frees), Reserve::Full));
        assert_eq!((log.durable_lsn(), told.load(Ordering::Relaxed)), (1, 1));
        assert!(log.poisoned().is_some());
        let (frames, _) = read(&storage.crash_clone(1), 1).unwrap();
        assert_eq!(frames[0].1, b"good");
    }
}

#[test]
fn a_full_disk_refuses_before_the_append_and_frees_still_pass() {
    let (storage, log) = new_log();
    log.prepare_ahead().unwrap();
    storage.set_capacity_bytes(Some(storage.used_bytes() + 100_000));
    let mut count = 0u64;
    while let Reserve::Granted(_reservation) = log.reserve(900, SpaceClass::Normal) {
        append(&log, &payload(count, 900));
        log.commit(count.is_multiple_of(3)).unwrap();
        count += 1;
        assert!(count < 1000, "the disk is never full");
    }
    assert!(count > 20, "{count}");
    assert!(matches!(log.reserve(900, SpaceClass::Normal), Reserve::Full));
    let mut frees = 0u64;
    while let Reserve::Granted(_reservation) = log.reserve(60, SpaceClass::Frees) {
        append(&log, &payload(frees, 60));
        log.commit(true).unwrap();
        frees += 1;
    }
    assert!(frees > 20, "{frees}");
    assert_eq!(log.durable_lsn(), count + frees);
    assert_eq!(read(&storage.kill_clone(), count + frees).unwrap().0.len() as u64, count + frees);
    // A checkpoint gives the space back.
    log.note_saved(log.unsaved_bytes());
    log.release_before(log.last_lsn()).unwrap();
    log.prepare_ahead().unwrap();
    assert!(matches!(log.reserve(900, SpaceClass::Normal), Reserve::Granted(_)));
}

#[test]
fn room_for_one_huge_frame_is_prepared_before_it_is_granted() {
    let (storage, log) = new_log();
    assert!(matches!(log.reserve(200_000, SpaceClass::Normal), Reserve::Wait));
    log.prepare_ahead().unwrap();
    let Reserve::Granted(reservation) = log.reserve(200_000, SpaceClass::Normal) else {
        panic!("there is room now");
    };
    append(&log, &payload(1, 200_000));
    drop(reservation);
    let before = storage.file_names();
    storage.set_capacity_bytes(Some(storage.used_bytes()));
    log.commit(true).unwrap();
    assert_eq!(storage.file_names().len(), before.len(), "only what was prepared is used");
    assert_eq!(read(&storage, 1).unwrap().0, vec![(1, payload(1, 200_000))]);
}

#[test]
fn a_witness_is_written_once_and_only_when_one_is_missing() {
    let (storage, log) = new_log();
    log.write_witness().unwrap();
    let start = storage.operations();
    append(&log, b"one");
    log.write_witness().unwrap();
    assert_eq!(storage.operations(), start, "nothing is durable that lacks one");
    log.commit(true).unwrap();
    let committed = storage.operations();
    log.write_witness().unwrap();
    assert_eq!(storage.operations(), committed + 2);
    log.write_witness().unwrap();
    assert_eq!(storage.operations(), committed + 2);
}

#[test]
fn a_segment_begun_before_the_end_leaves_nothing_to_read_or_to_copy() {
    let (storage, log) = new_log();
    for lsn in 1..=20 {
        append(&log, &payload(lsn, 500));
    }
    log.begin_segment().unwrap();
    assert_eq!(list_segments(&storage).unwrap().len(), 1, "frames are pending");
    log.commit(true).unwrap();
    log.prepare_ahead().unwrap();
    let Reserve::Granted(promise) = log.reserve(100, SpaceClass::Normal) else {
        panic!("there is room");
    };
    log.begin_segment().unwrap();
    assert_eq!(list_segments(&storage).unwrap().len(), 1, "room is promised");
    drop(promise);
    log.begin_segment().unwrap();
    let (name, path) = last_segment(&storage);
    assert_eq!((name.first_lsn, name.first_fragment), (21, 0));
    let read_from_there = read_from(&storage.crash_clone(1), 21, 20).unwrap();
    assert_eq!((read_from_there.0.len(), read_from_there.1.carry), (0, None));
    let before = storage.operations();
    log.begin_segment().unwrap();
    log.write_witness().unwrap();
    assert_eq!(storage.operations(), before, "{path:?} is empty, and the seal is the witness");
    append(&log, b"more");
    log.commit(true).unwrap();
    assert_eq!(read(&storage.crash_clone(1), 21).unwrap().0.len(), 21);
}

#[test]
fn only_frames_that_are_asked_for_are_copied_to_the_next_epoch() {
    let (storage, log) = new_log();
    for lsn in 1..=20 {
        append(&log, &payload(lsn, 100));
    }
    log.commit(true).unwrap();
    drop(log);
    let (_, end) = read_from(&storage, 15, 20).unwrap();
    let clock = Arc::new(SimClock::new(1_700_000_000_000));
    let log = Log::create(Arc::new(storage.clone()), clock, config(2), &end).unwrap();
    let (name, _) = last_segment(&storage);
    assert_eq!((name.epoch, name.first_lsn), (2, 15));
    assert_eq!(read(&storage, 20).unwrap().0.len(), 20, "the old epoch has the rest");
    // Nothing needs the old epoch once nothing needs what is before the copy.
    log.release_before(15).unwrap();
    let (frames, _) = read_from(&storage, 15, 20).unwrap();
    let expected: Frames = (15..=20).map(|lsn| (lsn, payload(lsn, 100))).collect();
    assert_eq!(frames, expected);
    assert_eq!(list_segments(&storage).unwrap(), [name]);
}

#[test]
fn four_threads_append_and_commit_and_nothing_is_lost_or_torn() {
    let (storage, log) = new_log();
    let given: Mutex<Frames> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let (log, given) = (&log, &given);
            scope.spawn(move || {
                let mut mine = Vec::new();
                for index in 0..300u64 {
                    let len = if index % 50 == 0 { 40_000 } else { (index * 7 % 400) as usize };
                    let content = payload(thread * 1000 + index, len);
                    let lsn = append(log, &content);
                    mine.push((lsn, content));
                    match index % 3 {
                        0 => assert!(log.commit(true).unwrap() >= lsn),
                        1 => drop(log.try_commit(false).unwrap()),
                        _ => {}
                    }
                }
                assert!(mine.is_sorted());
                given.lock().unwrap().extend(mine);
            });
        }
    });
    log.commit(true).unwrap();
    let mut given = given.into_inner().unwrap();
    given.sort();
    assert_eq!(log.durable_lsn(), 1200);
    assert!(read(&storage.crash_clone(5), 1200).unwrap().0 == given);
}

#[test]
fn the_committer_thread_syncs_on_request_and_closes_with_a_witness() {
    let storage = SimStorage::new(1);
    let end = read(&storage, 0).unwrap().1;
    let clock = Arc::new(SystemClock::new());
    let log = Log::create(Arc::new(storage.clone()), clock, config(1), &end).unwrap();
    let told = Arc::new(AtomicU64::new(0));
    let listener = told.clone();
    log.set_listener(Box::new(move |lsn| {
        listener.fetch_max(lsn, Ordering::SeqCst);
    }));
    std::thread::scope(|scope| {
        scope.spawn(|| log.run_committer());
        for index in 0..200u64 {
            let lsn = append(&log, &payload(index, 500));
            log.request_sync(lsn);
            if index % 10 == 0 {
                while told.load(Ordering::SeqCst) < lsn {
                    std::thread::yield_now();
                }
            }
        }
        append(&log, b"nobody waits");
        log.request_write();
        while log.written_lsn() < 201 {
            log.wait_for_room(Duration::from_millis(5));
        }
        log.set_sync_interval_ms(1);
        append(&log, b"the interval syncs");
        while log.durable_lsn() < 202 {
            std::thread::yield_now();
        }
        append(&log, b"the close syncs");
        log.close();
    });
    assert_eq!(log.durable_lsn(), 203);
    let clone = storage.crash_clone(9);
    let (name, path) = last_segment(&clone);
    let (frames, end) = read(&clone, 203).unwrap();
    assert_eq!((frames.len(), end.tail), (203, Tail::Clean));
    // The last frame has its witness: damage to it is corruption, never a torn tail.
    let bytes = clone.bytes(&path).unwrap();
    let at = bytes.windows(15).position(|window| window == b"the close syncs").unwrap();
    clone.flip_bit(&path, at as u64 * 8);
    let error = read_from(&clone, name.first_lsn + 1, 0).unwrap_err();
    assert!(matches!(error, Error::Corrupt { lost: Some((203, 203)), .. }), "{error}");
}

#[test]
fn leftovers_of_preparation_are_removed_and_spares_used_again() {
    let (storage, log) = new_log();
    log.prepare_ahead().unwrap();
    drop(log);
    let unfinished = Path::new("log/00000000000000ff.new");
    storage.open(unfinished, OpenMode::CreateNew).unwrap();
    let files = storage.file_names().len();
    let (_, log) = reopen(&storage).unwrap();
    assert!(!storage.file_names().contains(&unfinished.to_path_buf()));
    assert_eq!(storage.file_names().len(), files - 1, "the spare became the segment");
    drop(log);
}
