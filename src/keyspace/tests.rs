//! What a partition promises, one case at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use crate::format::edit::Edit;
use crate::format::record::{CountDelta, DeleteReason, Record, StringValue};
use crate::types::{HashSeed, Lsn, Position, ValueKind};
use crate::value::item::Item;
use crate::value::list_item;
use crate::value::members::MemberHasher;
use crate::value::string::{PROVISIONAL_LSN, StringHandle};

use super::capture::{Capture, CapturedValue};
use super::counts::{Counts, SlotCount};
use super::mutation::At;
use super::object::ValueHandle;
use super::partition::Partition;
use super::residency::{Cold, Coldness, Install};
use super::simulation::position_of;

const NOW_MS: u64 = 1_800_000_000_000;

fn key(number: u64) -> Vec<u8> {
    let hash = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 14;
    let mut key = Position::new((number % 8) as u16, hash).0.to_be_bytes().to_vec();
    key.extend(number.to_be_bytes());
    key
}

fn partition() -> Partition {
    Partition::new(0, 8, Arc::new(position_of), MemberHasher::new(HashSeed([7; 16])))
}

fn at(lsn: Lsn) -> At {
    At::of_frame(lsn, NOW_MS)
}

fn put<'a>(key: &'a [u8], bytes: &'a [u8], expire_at_ms: Option<u64>) -> Record<'a> {
    Record::Put {
        keyspace: 0,
        key,
        expire_at_ms,
        value: StringValue { bytes, raw: false },
        counts: CountDelta { keys: 1, expires: 0 },
    }
}

fn delete(key: &[u8]) -> Record<'_> {
    Record::Delete {
        keyspace: 0,
        key,
        reason: DeleteReason::Command,
        counts: CountDelta { keys: -1, expires: 0 },
    }
}

fn apply(partition: &mut Partition, key: &[u8], record: &Record<'_>, at: At) {
    partition.apply(position_of(key), record, at, None);
}

fn checkpoint(partition: &mut Partition) -> usize {
    let mut capture = Capture::default();
    partition.begin_capture(1);
    while partition.capture(0, 1 << 20, &mut capture) {}
    while partition.end_capture(true) {}
    capture.rows().len()
}

#[test]
fn short_keys_and_values_take_little_more_than_their_bytes() {
    let mut partition = partition();
    let empty = partition.memory_bytes();
    let (mut sum, mut samples) = (0.0, 0.0);
    for number in 0..40_000 {
        let key = key(number);
        apply(&mut partition, &key, &put(&key, &[7; 64], None), at(number + 1));
        // Over one doubling, so that leaves are met at every load.
        if number >= 20_000 && number % 500 == 0 {
            sum += (partition.memory_bytes() - empty) as f64 / (number + 1) as f64;
            samples += 1.0;
        }
    }
    let each = sum / samples;
    // 16 + 64 bytes in one allocation of 96, and a word at a load of about 0.75.
    assert!(each < 96.0 + 11.0, "{each} bytes a key");
    assert!(each > 96.0 + 8.0, "{each} bytes a key");
    partition.check_invariants();
}

#[test]
fn deadlines_cost_at_most_32_bytes_beyond_the_rest() {
    let (mut without, mut with) = (partition(), partition());
    let count = 20_000;
    for number in 0..count {
        let deadline = Some(NOW_MS + number);
        apply(&mut without, &key(number), &put(&key(number), &[7; 64], None), at(number + 1));
        apply(&mut with, &key(number), &put(&key(number), &[7; 64], deadline), at(number + 1));
    }
    let each = (with.memory_bytes() - without.memory_bytes()) as f64 / count as f64;
    assert!(each <= 32.0, "{each} bytes a deadline");
}

#[test]
fn stamping_reaches_everything_that_one_frame_changed() {
    let mut partition = partition();
    let records = [put(b"\0\0\0\0\0\0\0\x01a", b"1", None), delete(b"\0\0\0\0\0\0\0\x01b")];
    let large = vec![1; 100_000];
    for record in &records {
        let (Record::Put { key, .. } | Record::Delete { key, .. }) = record else {
            continue;
        };
        apply(&mut partition, key, record, at(PROVISIONAL_LSN));
    }
    apply(&mut partition, &key(9), &put(&key(9), &large, None), at(PROVISIONAL_LSN));
    partition.stamp(42);
    let lsn = |key: &[u8]| partition.find(0, position_of(key), key).map(|entry| entry.lsn());
    assert_eq!(lsn(b"\0\0\0\0\0\0\0\x01a"), Some(42));
    assert_eq!(lsn(b"\0\0\0\0\0\0\0\x01b"), Some(42));
    assert_eq!(lsn(&key(9)), Some(42));
    let mut capture = Capture::default();
    partition.begin_capture(1);
    partition.capture(0, usize::MAX, &mut capture);
    assert_eq!(capture.max_lsn, 42);
    let paged = capture.rows().find_map(|row| match row.value {
        CapturedValue::Paged { generation, pages, .. } => Some((generation, pages)),
        _ => None,
    });
    let (generation, pages) = paged.expect("the large string");
    assert_eq!((generation, pages.len()), (42, 2));
    assert!(pages.iter().all(|page| page.lsn == 42));
}

#[test]
fn replay_skips_what_the_counts_already_contain() {
    let mut partition = partition();
    let (one, other) = (key(8), key(16));
    partition.set_slot_counts(SlotCount { keyspace: 0, slot: 0, keys: 5, expires: 0, lsn: 10 });
    apply(&mut partition, &one, &put(&one, b"v", None), at(10));
    assert_eq!(partition.slot_counts(0, 0).keys, 5);
    // Two records of one frame both count.
    apply(&mut partition, &one, &put(&one, b"v", None), at(11));
    apply(&mut partition, &other, &put(&other, b"v", None), at(11));
    assert_eq!(partition.totals(0), Counts { keys: 7, expires: 0 });
}

#[test]
fn older_records_change_nothing() {
    let mut partition = partition();
    let key = key(1);
    apply(&mut partition, &key, &put(&key, b"new", None), at(20));
    apply(&mut partition, &key, &delete(&key), at(19));
    let entry = partition.find(0, position_of(&key), &key).expect("it is there");
    assert_eq!((entry.lsn(), entry.is_live()), (20, true));
}

#[test]
fn a_tombstone_the_parts_never_needed_leaves_without_a_row() {
    for (fresh, rows) in [(true, 0), (false, 1)] {
        let mut partition = partition();
        let key = key(1);
        let at = At { fresh, ..at(5) };
        apply(&mut partition, &key, &put(&key, b"v", None), at);
        apply(&mut partition, &key, &delete(&key), At { lsn: 6, ..at });
        let departures = partition.departures(0, position_of(&key));
        assert_eq!(checkpoint(&mut partition), rows);
        assert!(partition.find(0, position_of(&key), &key).is_none());
        assert_ne!(partition.departures(0, position_of(&key)), departures);
    }
}

#[test]
fn a_key_captured_once_leaves_a_tombstone_row() {
    let mut partition = partition();
    let key = key(1);
    apply(&mut partition, &key, &put(&key, b"v", None), At { fresh: true, ..at(5) });
    assert_eq!(checkpoint(&mut partition), 1);
    apply(&mut partition, &key, &delete(&key), at(6));
    assert_eq!(checkpoint(&mut partition), 1);
}

#[test]
fn a_failed_capture_is_dirty_again() {
    let mut partition = partition();
    (0..100).for_each(|number| {
        apply(&mut partition, &key(number), &put(&key(number), b"v", None), at(number + 1));
    });
    let dirty_bytes = partition.dirty_bytes();
    let mut capture = Capture::default();
    partition.begin_capture(1);
    while partition.capture(0, 1000, &mut capture) {}
    assert_eq!((partition.dirty_bytes(), capture.rows().len()), (0, 100));
    assert_eq!(partition.changed_counts(0).len(), 8);
    while partition.end_capture(false) {}
    assert_eq!(partition.dirty_bytes(), dirty_bytes);
    assert_eq!(partition.changed_counts(0).len(), 8);
    assert_eq!(checkpoint(&mut partition), 100);
    assert_eq!((checkpoint(&mut partition), partition.changed_counts(0).len()), (0, 0));
}

#[test]
fn capture_steps_are_bounded() {
    let mut partition = partition();
    (0..5000).for_each(|number| {
        apply(&mut partition, &key(number), &put(&key(number), &[7; 100], None), at(number + 1));
    });
    partition.begin_capture(1);
    let mut capture = Capture::default();
    let (mut steps, mut rows) = (1, 0);
    while partition.capture(0, 10_000, &mut capture) {
        assert!(capture.rows().len() <= 10_000 / 100);
        rows += capture.rows().len();
        capture.clear();
        steps += 1;
    }
    assert_eq!(rows + capture.rows().len(), 5000);
    assert!(steps > 50, "{steps} steps");
}

#[test]
fn deltas_without_a_base_are_told_as_damage() {
    let mut partition = partition();
    let key = key(1);
    let record = Record::WriteRange { keyspace: 0, key: &key, offset: 1, bytes: b"xy" };
    apply(&mut partition, &key, &record, at(5));
    let entry = partition.find(0, position_of(&key), &key).expect("it waits");
    assert!(entry.is_pending() && !entry.is_live() && entry.string().is_none());
    let departures = partition.departures(0, position_of(&key));
    let done =
        partition.install(0, position_of(&key), &key, Cold::Absent { lsn: 0 }, departures, NOW_MS);
    assert_eq!(done, Install::NoBase);
}

#[test]
fn pending_deltas_meet_their_base_once() {
    for (base_lsn, expected, dirty) in [(4, &b"axyd"[..], true), (5, b"abcd", false)] {
        let mut partition = partition();
        let key = key(1);
        let record = Record::WriteRange { keyspace: 0, key: &key, offset: 1, bytes: b"xy" };
        apply(&mut partition, &key, &record, at(5));
        let cold = Cold::Live {
            lsn: base_lsn,
            expire_at_ms: None,
            raw: false,
            value: ValueHandle::String(StringHandle::Flat(Bytes::from_static(b"abcd"))),
        };
        let done = partition.install(0, position_of(&key), &key, cold, 0, NOW_MS);
        assert_eq!(done, Install::Done);
        let entry = partition.find(0, position_of(&key), &key).expect("it is resident");
        assert_eq!(entry.string().expect("it is live").to_vec(), expected);
        assert_eq!((entry.is_dirty(), entry.lsn()), (dirty, 5));
        partition.check_invariants();
    }
}

#[test]
fn only_clean_unpinned_keys_are_unloaded() {
    let mut partition = partition();
    for number in 0..200 {
        apply(&mut partition, &key(number), &put(&key(number), &[7; 64], None), at(number + 1));
    }
    assert_eq!(partition.unload(u64::MAX, NOW_MS, Coldness::Idle), 0);
    checkpoint(&mut partition);
    apply(&mut partition, &key(5), &put(&key(5), b"dirty", None), at(300));
    partition.pin(0, position_of(&key(6)));
    while partition.unload(u64::MAX, NOW_MS, Coldness::Frequency) > 0 {}
    let stays = |partition: &Partition, number| {
        partition.find(0, position_of(&key(number)), &key(number)).is_some()
    };
    assert!(stays(&partition, 5) && stays(&partition, 6));
    assert_eq!(partition.resident_keys(), 2);
    assert_eq!(partition.totals(0).keys, 201);
    partition.unpin(0, position_of(&key(6)));
    while partition.unload(u64::MAX, NOW_MS, Coldness::Idle) > 0 {}
    assert!(!stays(&partition, 6));
    partition.check_invariants();
}

#[test]
fn the_coldest_leave_first() {
    let mut partition = partition();
    let count = 2000;
    for number in 0..count {
        apply(&mut partition, &key(number), &put(&key(number), &[7; 64], None), at(number + 1));
    }
    checkpoint(&mut partition);
    let later = NOW_MS + 1_000_000;
    for number in (0..count).step_by(2) {
        partition.access(0, position_of(&key(number)), &key(number), later);
    }
    partition.unload(50_000, later, Coldness::Idle);
    let gone = |parity: u64| {
        let numbers = (0..count).filter(move |number| number % 2 == parity);
        let absent =
            |number: &u64| partition.find(0, position_of(&key(*number)), &key(*number)).is_none();
        numbers.filter(absent).count()
    };
    let (hot, cold) = (gone(0), gone(1));
    assert!(cold > 300 && hot * 10 < cold, "{hot} hot and {cold} cold keys left");
}

#[test]
fn a_load_is_void_when_its_slot_lost_something() {
    let mut partition = partition();
    let (loaded, other) = (key(8), key(16));
    let departures = partition.departures(0, position_of(&loaded));
    apply(&mut partition, &other, &put(&other, b"v", None), at(1));
    checkpoint(&mut partition);
    while partition.unload(u64::MAX, NOW_MS, Coldness::Idle) > 0 {}
    let cold = Cold::Absent { lsn: 0 };
    let at = position_of(&loaded);
    let done = partition.install(0, at, &loaded, cold.clone(), departures, NOW_MS);
    assert_eq!(done, Install::Changed);
    let departures = partition.departures(0, at);
    let done = partition.install(0, at, &loaded, cold.clone(), departures, NOW_MS);
    assert_eq!(done, Install::Done);
    let known = partition.find(0, at, &loaded).expect("it is known to be absent");
    assert!(known.is_tombstone() && !known.is_dirty());
    // Removing a keyspace makes loads of all of them void.
    drop(partition.remove_keyspace(0));
    let done = partition.install(0, at, &loaded, cold, departures, NOW_MS);
    assert_eq!(done, Install::Changed);
}

#[test]
fn a_removed_keyspace_takes_its_memory_along() {
    let mut partition = partition();
    apply(&mut partition, &key(1), &put(&key(1), &[7; 100_000], None), at(1));
    assert!(partition.memory_bytes() > 100_000 && partition.dirty_bytes() > 100_000);
    let dropped = partition.remove_keyspace(0);
    assert_eq!((partition.memory_bytes(), partition.dirty_bytes()), (0, 0));
    assert!(partition.find(0, position_of(&key(1)), &key(1)).is_none());
    assert_eq!(partition.keyspaces().count(), 0);
    drop(dropped);
}

#[test]
fn large_values_are_left_for_the_caller_to_free() {
    let mut partition = partition();
    apply(&mut partition, &key(1), &put(&key(1), &[7; 100_000], None), at(1));
    assert!(partition.take_garbage().is_empty());
    apply(&mut partition, &key(1), &delete(&key(1)), at(2));
    assert!(!partition.take_garbage().is_empty());
    assert!(partition.take_garbage().is_empty());
}

fn edit(key: &[u8], creates: bool, kind: ValueKind, edit: Edit<'_>) -> Record<'static> {
    let (key, bytes) = (key.to_vec().leak(), edit.to_bytes().leak());
    let edit = Edit::from_bytes(bytes).unwrap();
    let counts = CountDelta { keys: i8::from(creates), expires: 0 };
    Record::Edit { keyspace: 0, key, creates, shape: kind.shape(1), edit, counts }
}

#[test]
fn a_change_of_another_kind_leaves_a_collection_as_it_is() {
    let (mut members, mut elements) = (Vec::new(), Vec::new());
    for number in 0..200 {
        Item::new(format!("member {number}").as_bytes(), b"").encode(&mut members);
        list_item::encode(format!("element {number}").as_bytes(), &mut elements);
    }
    let one = &members[..Item::decode(&members, 0).unwrap().1];
    for (number, items) in [one, &members].into_iter().enumerate() {
        let (mut partition, key) = (partition(), key(number as u64));
        let set = edit(&key, true, ValueKind::Set, Edit::Put { items });
        apply(&mut partition, &key, &set, at(1));
        let push = Edit::Push { front: true, elements: &elements };
        let wrong = [
            edit(&key, false, ValueKind::List, push),
            edit(&key, false, ValueKind::List, Edit::Cut { index: 0, count: 9 }),
            edit(&key, false, ValueKind::Hash, Edit::Put { items: &members }),
            edit(&key, false, ValueKind::Zset, Edit::Remove { members: &members }),
        ];
        let held = partition.share(0, position_of(&key), &key).unwrap();
        for (lsn, record) in (2..).zip(&wrong) {
            apply(&mut partition, &key, record, at(lsn));
            let now = partition.share(0, position_of(&key), &key).unwrap();
            let (now, held) = (now.as_value(), held.as_value());
            assert_eq!((now.kind(), now.items().count()), (held.kind(), held.items().count()));
        }
        partition.check_invariants();
    }
}

#[test]
fn every_mutation_raises_the_flag_of_a_watched_key() {
    let mut partition = partition();
    let key = key(1);
    let position = position_of(&key);
    let expire = Record::Expire {
        keyspace: 0,
        key: &key,
        expire_at_ms: Some(1),
        counts: CountDelta::default(),
    };
    let range = Record::WriteRange { keyspace: 0, key: &key, offset: 0, bytes: b"x" };
    let records = [put(&key, b"v", None), expire, range, delete(&key)];
    for (record, lsn) in records.iter().zip(1..) {
        let flag = Arc::new(AtomicBool::new(false));
        partition.watches_mut().watch(0, position, &key, flag.clone());
        apply(&mut partition, &key, record, at(lsn));
        assert!(flag.load(Ordering::Acquire), "{record:?}");
        partition.watches_mut().unwatch(0, position, &key, &flag);
    }
}

#[test]
fn a_flush_marks_only_watched_keys_that_exist() {
    let mut partition = partition();
    let flags: Vec<_> = (0..4).map(|_| Arc::new(AtomicBool::new(false))).collect();
    for (number, flag) in flags.iter().enumerate() {
        let key = key(number as u64);
        partition.watches_mut().watch(0, position_of(&key), &key, flag.clone());
    }
    flags.iter().for_each(|flag| flag.store(false, Ordering::Release));
    apply(&mut partition, &key(0), &put(&key(0), b"v", None), at(1));
    apply(&mut partition, &key(1), &delete(&key(1)), at(2));
    flags.iter().for_each(|flag| flag.store(false, Ordering::Release));
    partition.mark_watched(0, 9, NOW_MS, |keyspace, _, cold| keyspace == 0 && cold == key(2));
    let raised: Vec<bool> = flags.iter().map(|flag| flag.load(Ordering::Acquire)).collect();
    assert_eq!(raised, [true, false, true, false]);
}

#[test]
fn an_exchange_marks_watched_keys_that_exist_on_the_other_side() {
    let mut partition = partition();
    let flags: Vec<_> = (0..4).map(|_| Arc::new(AtomicBool::new(false))).collect();
    for (number, flag) in flags.iter().enumerate() {
        let key = key(number as u64);
        let place = position_of(&key);
        partition.watches_mut().watch(9, place, &key, flag.clone());
    }
    apply(&mut partition, &key(0), &put(&key(0), b"v", None), at(1));
    let other = key(1);
    let due = put(&other, b"v", Some(NOW_MS - 1));
    apply(&mut partition, &other, &due, at(2));
    partition.mark_watched(9, 0, NOW_MS, |keyspace, _, cold| keyspace == 0 && cold == key(2));
    let raised = flags.iter().map(|flag| flag.load(Ordering::Acquire));
    assert_eq!(raised.collect::<Vec<_>>(), [true, false, true, false]);
}

#[test]
fn access_metadata_can_be_restored() {
    let mut partition = partition();
    let key = key(1);
    apply(&mut partition, &key, &put(&key, b"v", None), at(1));
    partition.set_access(0, position_of(&key), &key, NOW_MS, Some(500), Some(99));
    let entry = partition.find(0, position_of(&key), &key).expect("it is there");
    assert_eq!((entry.idle_seconds(NOW_MS), entry.frequency(NOW_MS + 1)), (500, 90));
    let entry = partition.access(0, position_of(&key), &key, NOW_MS).expect("it is there");
    assert_eq!(entry.idle_seconds(NOW_MS), 0);
}

#[test]
fn prefetches_are_harmless_for_any_key() {
    let mut partition = partition();
    partition.prefetch(0, Position(0));
    apply(&mut partition, &key(1), &put(&key(1), b"v", None), at(1));
    for number in 0..20 {
        partition.prefetch(0, position_of(&key(number)));
        partition.prefetch_entry(0, position_of(&key(number)));
    }
}

#[test]
fn churning_deadlines_do_not_pile_up() {
    let mut partition = partition();
    let key = key(1);
    for lsn in 1..20_000 {
        apply(&mut partition, &key, &put(&key, b"v", Some(NOW_MS + 1_000_000)), at(2 * lsn));
        apply(&mut partition, &key, &delete(&key), at(2 * lsn + 1));
        let mut due = Vec::new();
        partition.due(NOW_MS, 10, &mut due);
        assert!(due.is_empty());
    }
    assert!(partition.memory_bytes() < 64 << 10, "{} bytes", partition.memory_bytes());
}

#[test]
fn a_sample_tells_the_mean_time_that_is_left() {
    let mut partition = partition();
    assert_eq!(partition.sample_ttl(0, NOW_MS, 100), (0, 0));
    for number in 0..1000 {
        let key = key(number);
        let deadline = Some(NOW_MS + 1000 * number);
        apply(&mut partition, &key, &put(&key, b"v", deadline), at(number + 1));
    }
    let (mean, keys) = partition.sample_ttl(0, NOW_MS, 100);
    assert!((400_000..600_000).contains(&mean), "{mean}");
    assert_eq!(keys, 1000);
    // Deadlines that have moved count as they are now.
    for number in 0..1000 {
        let key = key(number);
        apply(&mut partition, &key, &put(&key, b"v", Some(NOW_MS + 7)), at(number + 2000));
    }
    assert_eq!(partition.sample_ttl(0, NOW_MS + 2, 100).0, 5);
    assert_eq!(partition.sample_ttl(0, NOW_MS + 9, 100).0, 0);
}

#[test]
fn one_slot_takes_a_great_many_keys() {
    let mut partition = partition();
    let count = 100_000u64;
    let key = |number: u64| {
        let hash = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 14;
        Position::new(3, hash).0.to_be_bytes().to_vec()
    };
    for number in 0..count {
        apply(&mut partition, &key(number), &put(&key(number), b"v", None), at(number + 1));
    }
    let (mut cursor, mut met, mut largest) = (partition.first_cursor(), 0, 0);
    while cursor < partition.end_cursor() {
        let granule = partition.scan_granule(0, cursor, u64::MAX, 10);
        met += granule.entries.len();
        largest = largest.max(granule.entries.len());
        cursor = granule.next_cursor;
    }
    assert_eq!(met as u64, count);
    assert!(largest < 20, "{largest} keys in one granule");
    partition.check_invariants();
}

/// Enough keys in one slot for its leaf to split, and two more that share the tag of the unsplit
/// leaf but not those of the halves.
fn crowd() -> (Vec<Vec<u8>>, Vec<u8>, Vec<u8>) {
    let key = |hash: u64| Position::new(0, hash).0.to_be_bytes().to_vec();
    let twins = 5 << 40;
    let many = (1..=700).map(|number| key(number << 40 | 1)).collect();
    (many, key(twins | 2), key(twins | 1 << 33))
}

#[test]
fn a_cursor_inside_a_merged_tag_skips_what_was_met() {
    let mut partition = partition();
    let (many, one, other) = crowd();
    for (key, lsn) in many.iter().chain([&one, &other]).zip(1..) {
        apply(&mut partition, key, &put(key, b"v", None), at(lsn));
    }
    let mut met = Vec::new();
    let mut cursor = 0;
    while !met.contains(&one) {
        let granule = partition.scan_granule(0, cursor, u64::MAX, 1);
        met.extend(granule.entries.iter().map(|entry| entry.key.to_vec()));
        cursor = granule.next_cursor;
    }
    assert!(!met.contains(&other), "the halves tell the twins apart");
    for (key, lsn) in many.iter().zip(1000..) {
        apply(&mut partition, key, &delete(key), at(lsn));
    }
    checkpoint(&mut partition);
    let rest = partition.scan_granule(0, cursor, u64::MAX, 100);
    let rest: Vec<&[u8]> = rest.entries.iter().map(|entry| &*entry.key).collect();
    assert_eq!(rest, [&other[..]]);
}

#[test]
fn a_capture_inside_a_merged_tag_takes_nothing_twice() {
    let mut partition = partition();
    let (many, one, other) = crowd();
    for (key, lsn) in many.iter().chain([&one, &other]).zip(1..) {
        apply(&mut partition, key, &put(key, b"v", None), at(lsn));
    }
    checkpoint(&mut partition);
    for (key, lsn) in [(&one, 1000), (&other, 1001)] {
        apply(&mut partition, key, &put(key, b"w", None), at(lsn));
    }
    let mut capture = Capture::default();
    partition.begin_capture(1);
    while capture.rows().len() == 0 {
        assert!(partition.capture(0, 0, &mut capture));
    }
    assert_eq!(capture.rows().map(|row| row.lsn).collect::<Vec<_>>(), [1000]);
    apply(&mut partition, &one, &put(&one, b"x", None), at(1002));
    while partition.unload(u64::MAX, NOW_MS, Coldness::Idle) > 0 {}
    while partition.capture(0, 0, &mut capture) {}
    assert_eq!(capture.rows().map(|row| row.lsn).collect::<Vec<_>>(), [1000, 1001]);
    while partition.end_capture(true) {}
    assert_eq!(checkpoint(&mut partition), 1);
}
