//! Rules of the design that look fussy, each with the scenario in which a simpler rule loses data
//! or brings it back. All on simulated storage; `tests/simulation.rs` looks for what nobody thought
//! of.
//!
//! The rules of the log alone (witnesses, salts, seals) have theirs in `src/log/tests_damage.rs`.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use firn::engine::begin::{Begin, Intent};
use firn::error::Error;
use firn::format::edit::Edit;
use firn::io::clock::SimClock;
use firn::io::fault::{Failure, Fault, Operation};
use firn::io::random::Random;
use firn::io::{Clock, OpenMode, Storage};
use firn::types::ValueKind;
use firn::value::item::Item;
use firn::value::score;

#[path = "rules/rig.rs"]
mod rig;

use rig::{Rig, fetch};

const START_MS: u64 = 1_700_000_000_000;

/// After a failed sync nobody knows which MANIFEST a restart would find. Whoever installed it, a
/// merge as well as a checkpoint, nothing may be acknowledged any more (D5).
#[test]
fn a_manifest_that_may_not_be_durable_stops_the_log() {
    for merges in [false, true] {
        let rig = Rig::new();
        for number in 0..if merges { 8 } else { 1 } {
            rig.set(format!("key {number}").as_bytes(), b"value", None);
            rig.engine.checkpoint().unwrap();
        }
        rig.set(b"key", b"value", None);
        rig.engine.sync().unwrap();
        let fault = Fault::nth(Operation::Sync, 0, Failure::Io).on_path("MANIFEST");
        rig.storage.inject(fault);
        let failed = match merges {
            true => rig.engine.compact().map(drop),
            false => rig.engine.checkpoint(),
        };
        assert!(failed.is_err(), "merges: {merges}");
        let key = rig.engine.key(0, b"key");
        let begin = rig.engine.begin(&[key], Intent::write(rig.engine.now_ms(), 1000));
        assert!(matches!(begin, Begin::Refused(Error::Poisoned { .. })), "merges: {merges}");
        drop(begin);
        let rig = rig.after_power_cut(1);
        assert_eq!(rig.get(b"key").as_deref(), Some("value"));
    }
}

/// A part may hold writes that nobody waited for. Were the MANIFEST installed before the log is
/// durable up to them, a power cut would leave rows from the future, and their LSNs would be given
/// to other writes, which recovery would then hold for older than the rows.
#[test]
fn a_manifest_follows_the_log() {
    for seed in 0..40 {
        let rig = Rig::new();
        rig.set(b"key", b"not waited for", None);
        rig.engine.checkpoint().unwrap();
        let rig = rig.after_power_cut(seed);
        assert_eq!(rig.get(b"key").as_deref(), Some("not waited for"), "seed {seed}");
        rig.set(b"key", b"newer", None);
        rig.engine.sync().unwrap();
        let rig = rig.after_power_cut(seed);
        assert_eq!(rig.get(b"key").as_deref(), Some("newer"), "seed {seed}");
    }
}

/// The numbers of frames that a power cut took are given out again. Only the epoch tells the old
/// frames, of which pieces may be left, from the new.
#[test]
fn an_lsn_of_another_epoch_is_another_frame() {
    for seed in 0..200 {
        let rig = Rig::new();
        rig.set(b"base", b"kept", None);
        rig.engine.sync().unwrap();
        for number in 0..20 {
            rig.set(format!("lost{number}").as_bytes(), &[b'l'; 700], None);
        }
        // Written, not synced: some of it reaches the disk.
        rig.storage.power_off_at(rig.storage.operations() + 1);
        rig.engine.sync().unwrap_err();
        let rig = rig.after_power_cut(seed);
        let before = rig.engine.last_lsn();
        rig.set(b"again", b"kept too", None);
        rig.engine.sync().unwrap();
        let rig = rig.after_power_cut(seed + 1);
        assert_eq!(rig.engine.last_lsn(), before + 1, "seed {seed}");
        assert_eq!(rig.get(b"again").as_deref(), Some("kept too"), "seed {seed}");
        assert_eq!(rig.get(b"base").as_deref(), Some("kept"), "seed {seed}");
    }
}

/// Replay does not read the parts, so a delta of a cold key waits until its base is asked for, and
/// an absolute record makes it needless.
#[test]
fn deltas_wait_for_their_base_and_absolute_records_do_not() {
    let rig = Rig::new();
    for name in [b"delta", b"put..", b"gone.", b"ttl.."] {
        rig.set(name, b"base", None);
    }
    rig.chill();
    let deadline = START_MS + 1_000_000;
    for name in [b"delta", b"put..", b"gone."] {
        rig.append(name, b" more");
    }
    rig.set(b"put..", b"anew", None);
    rig.append(b"put..", b" more");
    rig.delete(b"gone.");
    rig.write(b"ttl..", |unit, key| unit.set_expiry(key, Some(deadline)));
    rig.engine.sync().unwrap();
    let rig = rig.after_kill();
    let stats = rig.engine.stats();
    assert_eq!(stats.cold_hits + stats.cold_misses, 0, "replay reads no part");
    assert_eq!(rig.counts(), (3, 1), "and yet the counts are exact");
    assert_eq!(rig.get(b"delta").as_deref(), Some("base more"));
    assert_eq!(rig.get(b"put..").as_deref(), Some("anew more"));
    assert_eq!(rig.get(b"gone."), None);
    let rig = rig.after_kill();
    // A checkpoint that finds deltas still waiting loads what they need.
    rig.chill();
    assert_eq!(rig.get(b"delta").as_deref(), Some("base more"));
    rig.clock.set_wall_ms(deadline);
    assert_eq!(rig.get(b"ttl.."), None);
}

/// A checkpoint captures keys and counts while others write: what a part holds may be newer than
/// the LSN from which the log is replayed. Deltas and count deltas that it holds already must not
/// be applied a second time.
#[test]
fn nothing_that_a_part_holds_is_applied_again() {
    let rig = Rig::new();
    let stop = AtomicBool::new(false);
    let mut kills = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                rig.engine.checkpoint().unwrap();
                rig.engine.reload().unwrap();
            }
        });
        let mut live = BTreeSet::new();
        // Until checkpoints have run meanwhile, however slow their thread is.
        for round in 1.. {
            if kills.len() >= 30 && rig.engine.stats().checkpoints > 5 {
                break;
            }
            for key in 0..4 {
                rig.append(format!("grows{key}").as_bytes(), b"x");
            }
            let number = round * 7 % 200;
            let name = format!("key{number}");
            if live.remove(&number) {
                rig.delete(name.as_bytes());
            } else {
                rig.set(name.as_bytes(), b"here", Some(START_MS + 1_000_000));
                live.insert(number);
            }
            if round % 20 == 0 && round < 4000 {
                rig.engine.sync().unwrap();
                kills.push((rig.storage.kill_clone(), round as usize, live.len() as u64));
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    for (storage, appended, live) in kills {
        let rig = Rig::on(storage, SimClock::new(START_MS));
        assert_eq!(rig.counts(), (live + 4, live), "after {appended} rounds");
        for key in 0..4 {
            let value = rig.get(format!("grows{key}").as_bytes());
            assert_eq!(value.map(|value| value.len()), Some(appended));
        }
    }
}

fn elements(count: u32, round: u32) -> Vec<String> {
    (0..count).map(|number| format!("element {number} of round {round}")).collect()
}

/// Chunks of all lists have the same identities. A replay creates a list anew while a part holds
/// chunks of the list that the key held before, or of this very one as it was when the part was
/// written: only the generation, which a capture gives and not a record, tells them apart.
#[test]
fn a_replay_that_creates_a_collection_anew_never_mixes_its_chunks_with_older_ones() {
    let mut rig = Rig::new();
    rig.push(b"list", &elements(2000, 0));
    rig.chill();
    for (round, count) in (1..).zip([300, 1500, 200, 700]) {
        rig.delete(b"list");
        let mut expected = elements(count, round);
        rig.push(b"list", &expected);
        rig.engine.sync().unwrap();
        rig = rig.after_kill();
        assert_eq!(rig.list(b"list"), expected, "round {round}: replayed");
        rig.push(b"list", &elements(3, 99));
        expected.extend(elements(3, 99));
        rig.chill();
        assert_eq!(rig.list(b"list"), expected, "round {round}: from the parts");
        // Only the last chunk is dirty; the others are those of the part before.
        rig.push(b"list", &elements(2, 98));
        expected.extend(elements(2, 98));
        rig.chill();
        rig = rig.after_kill();
        assert_eq!(rig.list(b"list"), expected, "round {round}: from two parts");
    }
    while rig.engine.compact().unwrap() {}
    rig.chill();
    assert_eq!(rig.list(b"list").len(), 705);
}

/// As above, with checkpoints that capture lists which were created after the checkpoint began: the
/// replay begins below their creation.
#[test]
fn a_list_that_a_checkpoint_met_half_grown_is_whole_after_every_kill() {
    let rig = Rig::new();
    let stop = AtomicBool::new(false);
    let mut kills = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                rig.engine.checkpoint().unwrap();
                rig.engine.reload().unwrap();
            }
        });
        let mut held = vec![Vec::new(); 4];
        for round in 1.. {
            if kills.len() >= 20 && rig.engine.stats().checkpoints > 5 {
                break;
            }
            let list = &mut held[round as usize % 4];
            let name = format!("list{}", round % 4);
            if list.len() > 600 {
                rig.delete(name.as_bytes());
                list.clear();
            }
            rig.push(name.as_bytes(), &elements(90, round));
            list.extend(elements(90, round));
            if round % 10 == 4 && round < 2000 {
                rig.engine.sync().unwrap();
                kills.push((rig.storage.kill_clone(), held.clone()));
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    for (number, (storage, held)) in kills.into_iter().enumerate() {
        let rig = Rig::on(storage, SimClock::new(START_MS));
        rig.push(b"list0", &elements(1, 7));
        rig.chill();
        for (index, mut list) in held.into_iter().enumerate() {
            list.extend(elements(u32::from(index == 0), 7));
            let name = format!("list{index}");
            assert_eq!(rig.list(name.as_bytes()), list, "kill {number}, {name}");
        }
    }
}

/// A load that was under way while its key was deleted, the deletion checkpointed and its tombstone
/// dropped from memory must not bring the key back.
#[test]
fn a_late_load_does_not_bring_a_deleted_key_back() {
    let rig = Rig::new();
    rig.set(b"key", b"value", None);
    rig.set(b"other", b"value", None);
    rig.chill();
    let key = rig.engine.key(0, b"key");
    let Begin::Cold(load) = rig.engine.begin(&[key], Intent::read(rig.engine.now_ms())) else {
        panic!("the key is cold");
    };
    rig.delete(b"key");
    rig.chill();
    fetch(&rig.engine, load).unwrap();
    assert_eq!(rig.get(b"key"), None);
    assert_eq!(rig.counts(), (1, 0));
    assert_eq!(rig.get(b"other").as_deref(), Some("value"));
}

/// As above, but the key was written again: the load must not replace it.
#[test]
fn a_late_load_does_not_replace_a_newer_value() {
    let rig = Rig::new();
    rig.set(b"key", b"old", None);
    rig.chill();
    let key = rig.engine.key(0, b"key");
    let Begin::Cold(load) = rig.engine.begin(&[key], Intent::read(rig.engine.now_ms())) else {
        panic!("the key is cold");
    };
    rig.set(b"key", b"new", None);
    fetch(&rig.engine, load).unwrap();
    assert_eq!(rig.get(b"key").as_deref(), Some("new"));
}

/// Whoever was told that a key has expired must not see it again after a crash, though the clock
/// was set back; and what is written to it then starts from nothing.
#[test]
fn an_expired_key_is_removed_in_the_log_before_it_is_written() {
    for seed in 0..20 {
        let rig = Rig::new();
        let deadline = START_MS + 1000;
        rig.set(b"read", b"old", Some(deadline));
        rig.set(b"written", b"old", Some(deadline));
        rig.chill();
        rig.clock.set_wall_ms(deadline + 1);
        assert_eq!(rig.get(b"read"), None);
        rig.append(b"written", b"new");
        assert_eq!(rig.counts(), (1, 0));
        rig.engine.sync().unwrap();
        rig.clock.set_wall_ms(START_MS);
        let rig = rig.after_power_cut(seed);
        assert_eq!(rig.get(b"read"), None, "seed {seed}");
        assert_eq!(rig.get(b"written").as_deref(), Some("new"), "seed {seed}");
        assert_eq!(rig.counts(), (1, 0), "seed {seed}");
    }
}

/// Cold keys past their deadline go though memory is short, and though a value is damaged: theirs
/// are not read.
#[test]
fn cold_keys_past_their_deadline_are_removed_whatever_happens_beside_them() {
    for damaged in [false, true] {
        let rig = Rig::new();
        let deadline = START_MS + 1000;
        // Each value fills a block of its own, as it is.
        let value = |number: u64| -> Vec<u8> {
            let mut random = Random::new(number);
            (0..20_000).map(|_| random.below(256) as u8).collect()
        };
        for number in 0..100 {
            let name = format!("key {number}");
            rig.set(name.as_bytes(), &value(number), Some(deadline));
        }
        rig.chill();
        if damaged {
            rig.damage(&value(50)[..100]);
        }
        rig.clock.set_wall_ms(deadline + 1);
        for _ in 0..10 {
            rig.engine.expire_some().unwrap();
            // What was loaded leaves memory again.
            rig.engine.reload().unwrap();
        }
        assert_eq!(rig.counts(), (0, 0), "damaged: {damaged}");
    }
}

/// A deadline that a replay found in the log, for a key that only parts hold, is kept though nobody
/// asks for the key; so is that of a field.
#[test]
fn deadlines_that_wait_for_their_keys_are_kept() {
    let rig = Rig::new();
    let deadline = START_MS + 1000;
    let shape = ValueKind::Hash.shape(1);
    let mut items = Vec::new();
    Item::new(b"field", b"value").encode(&mut items);
    rig.set(b"key", b"value", None);
    rig.set(b"later", b"value", Some(deadline));
    rig.write(b"hash", |unit, key| unit.edit(key, shape, Edit::Put { items: &items }));
    rig.chill();
    rig.write(b"key", |unit, key| unit.set_expiry(key, Some(deadline)));
    rig.write(b"later", |unit, key| unit.set_expiry(key, Some(deadline + 5000)));
    items.clear();
    let field = Item { member: b"field", payload: b"value", deadline_ms: Some(deadline) };
    field.encode(&mut items);
    rig.write(b"hash", |unit, key| unit.edit(key, shape, Edit::Put { items: &items }));
    rig.engine.sync().unwrap();
    let rig = rig.after_kill();
    rig.clock.set_wall_ms(deadline + 1);
    while rig.engine.expire_some().unwrap() > 0 {}
    assert_eq!(rig.counts(), (1, 1));
    rig.clock.set_wall_ms(deadline + 5001);
    while rig.engine.expire_some().unwrap() > 0 {}
    assert_eq!(rig.counts(), (0, 0));
}

/// Fields leave by themselves, by logged removals, from hashes of any size and also when they came
/// back from disk; a hash goes with its last field, and a crash with the clock set back brings
/// nothing back.
#[test]
fn fields_past_their_deadline_leave_and_stay_away() {
    let deadline = START_MS + 1000;
    for (count, chilled) in [(4, false), (4, true), (2000, false), (2000, true)] {
        let rig = Rig::new();
        let put = |name: &[u8], numbers: std::ops::Range<u64>, deadline_ms: Option<u64>| {
            for number in numbers {
                let mut items = Vec::new();
                let field = number.to_string().into_bytes();
                Item { member: &field, payload: b"value", deadline_ms }.encode(&mut items);
                let shape = ValueKind::Hash.shape(1);
                rig.write(name, |unit, key| unit.edit(key, shape, Edit::Put { items: &items }));
            }
        };
        put(b"hash", 0..count / 2, Some(deadline));
        put(b"hash", count / 2..count, Some(deadline + 5000));
        put(b"hash", count..count + 1, None);
        put(b"all", 0..count, Some(deadline));
        if chilled {
            rig.chill();
        }
        let fields = |rig: &Rig, name: &[u8]| rig.item_count(name);
        assert_eq!(fields(&rig, b"all"), Some(count));
        assert_eq!(fields(&rig, b"hash"), Some(count + 1));
        rig.clock.set_wall_ms(deadline + 1);
        while rig.engine.expire_some().unwrap() > 0 {}
        assert_eq!(fields(&rig, b"hash"), Some(count / 2 + 1), "{count} {chilled}");
        assert_eq!((fields(&rig, b"all"), rig.counts()), (None, (1, 0)));
        rig.engine.sync().unwrap();
        rig.clock.set_wall_ms(START_MS);
        let rig = rig.after_kill();
        assert_eq!(fields(&rig, b"hash"), Some(count / 2 + 1));
        assert_eq!(fields(&rig, b"all"), None);
        rig.clock.set_wall_ms(deadline + 5001);
        while rig.engine.expire_some().unwrap() > 0 {}
        assert_eq!(fields(&rig, b"hash"), Some(1), "a replay queues deadlines, too");
    }
}

/// A few members of a large cold collection are read with their chunks alone; a collection whose
/// changes wait in memory for it, or that is asked for often, is loaded.
#[test]
fn members_of_a_cold_collection_are_read_without_loading_it() {
    for kind in [ValueKind::Hash, ValueKind::Set, ValueKind::Zset] {
        let rig = Rig::new();
        let item = |number: u64, items: &mut Vec<u8>| {
            let (member, score) = (format!("member {number}"), score::encode(number as f64));
            let payload = match kind {
                ValueKind::Zset => &score[..],
                ValueKind::Hash => member.as_bytes(),
                _ => b"",
            };
            Item::new(member.as_bytes(), payload).encode(items);
        };
        let put = |rig: &Rig, numbers: std::ops::Range<u64>| {
            for number in numbers.step_by(10) {
                let mut items = Vec::new();
                (number..number + 10).for_each(|number| item(number, &mut items));
                let edit = Edit::Put { items: &items };
                rig.write(b"key", |unit, key| unit.edit(key, kind.shape(1), edit));
            }
        };
        put(&rig, 0..20_000);
        rig.chill();
        let held = rig.engine.stats().memory_bytes;
        assert_eq!(
            rig.aside(&[b"member 7", b"member 19999", b"nobody"]),
            (true, [true, true, false])
        );
        assert_eq!(rig.aside(&[b"", b"member 20000", b"member 0"]), (true, [false, false, true]));
        assert!(rig.engine.stats().memory_bytes < held + 10_000, "nothing is kept");
        rig.engine.sync().unwrap();
        let rig = rig.after_kill();
        assert_eq!(rig.aside(&[b"member 7", b"x", b"y"]), (true, [true, false, false]));
        put(&rig, 20_000..20_010);
        rig.engine.sync().unwrap();
        let rig = rig.after_kill();
        let found = rig.aside(&[b"member 7", b"member 20001", b"member 20010"]);
        assert_eq!(found, (false, [true, true, false]), "a change waits in memory");
        rig.chill();
        let reads = (0..1000).take_while(|_| rig.aside(&[b"member 7", b"x", b"y"]).0).count();
        assert!((3..300).contains(&reads), "{reads} reads until it was loaded");
        assert_eq!(rig.item_count(b"key"), Some(20_010));
    }
}

/// The clock of a database does not run back over a restart: a deadline that had passed has passed.
#[test]
fn the_clock_does_not_run_below_the_log() {
    let rig = Rig::new();
    rig.clock.set_wall_ms(START_MS + 5000);
    rig.set(b"key", b"value", Some(START_MS + 6000));
    rig.engine.sync().unwrap();
    rig.clock.set_wall_ms(START_MS);
    let rig = rig.after_kill();
    assert!(rig.engine.now_ms() >= START_MS + 5000);
}

/// A scan leaves out what is past its deadline and removes nothing. So the log has to carry the
/// time of that, or a clock that is set back beside a crash brings back what was reported gone.
#[test]
fn what_a_scan_left_out_does_not_come_back() {
    for cold in [false, true] {
        let rig = Rig::new();
        rig.set(b"key", b"value", Some(START_MS + 1000));
        if cold {
            rig.chill();
        }
        rig.clock.set_wall_ms(START_MS + 1000);
        let mut unit = rig.engine.begin_scan();
        assert!(unit.scan(0, 0, 10).unwrap().keys.is_empty());
        let observed = unit.finish().observed;
        rig.engine.sync().unwrap();
        assert!((1..=rig.engine.durable_lsn()).contains(&observed));
        rig.clock.set_wall_ms(START_MS);
        let rig = rig.after_kill();
        assert!(rig.engine.scan(0, 0, 10).unwrap().keys.is_empty(), "cold: {cold}");
    }
}

/// A clock that was set back stands still for nobody: what is given a second to live now lives
/// about that long. Time goes on a little slower until the clock has caught up.
#[test]
fn time_goes_on_while_the_clock_is_behind() {
    const HOUR_MS: u64 = 3_600_000;
    let rig = Rig::new();
    rig.clock.set_wall_ms(START_MS + HOUR_MS);
    let start = rig.engine.now_ms();
    rig.clock.set_wall_ms(START_MS);
    assert_eq!(rig.engine.now_ms(), start);
    rig.set(b"key", b"value", Some(start + 1000));
    for _ in 0..100 {
        rig.clock.advance_ms(10);
        assert!(rig.engine.now_ms() >= start);
    }
    assert!(rig.get(b"key").is_some(), "not sooner than it was told");
    (0..30).for_each(|_| {
        rig.clock.advance_ms(10);
        rig.engine.now_ms();
    });
    assert_eq!(rig.get(b"key"), None);
    let mut minutes = 0;
    while rig.engine.now_ms() > rig.clock.wall_ms() {
        rig.clock.advance_ms(60_000);
        minutes += 1;
    }
    assert!((465..=481).contains(&minutes), "they met after {minutes} minutes");
    // Back once more: the time between the two steps does not count.
    let start = rig.engine.now_ms();
    rig.clock.set_wall_ms(START_MS);
    assert_eq!(rig.engine.now_ms(), start);
    rig.clock.advance_ms(80);
    assert_eq!(rig.engine.now_ms(), start + 70);
}

/// A reply waits for the entry that it shows, not for the log's end: reads beside a stream of
/// writes do not wait (D3), and a read of what is not durable does (D2), its absence included.
#[test]
fn replies_wait_for_what_they_show_and_for_nothing_else() {
    let rig = Rig::new();
    rig.set(b"durable", b"1", None);
    rig.set(b"deleted", b"1", None);
    rig.engine.sync().unwrap();
    let durable = rig.engine.durable_lsn();
    let written = rig.set(b"fresh", b"2", None).observed;
    let deleted = rig.delete(b"deleted").observed;
    assert!(durable < written && written < deleted);
    assert!(rig.read(b"durable").1 <= durable);
    assert_eq!(rig.read(b"fresh").1, written);
    assert_eq!(rig.read(b"deleted"), (None, deleted));
    assert!(rig.read(b"never there").1 <= durable);
    // A flush is seen in every key of its database.
    let Begin::Ready(mut unit) = rig.engine.begin_all(&[], Intent::write(rig.engine.now_ms(), 100))
    else {
        panic!("there is room");
    };
    unit.flush_db(0);
    let flushed = unit.finish().observed;
    assert_eq!(rig.read(b"durable"), (None, flushed));
}

/// With the newest MANIFEST damaged, the one before it and the log that it needs give everything.
#[test]
fn the_manifest_before_the_last_is_enough() {
    let rig = Rig::new();
    for round in 0..5 {
        for number in 0..50 {
            rig.set(format!("key{number}").as_bytes(), format!("{round}").as_bytes(), None);
        }
        rig.engine.checkpoint().unwrap();
    }
    rig.set(b"last", b"write", None);
    rig.engine.sync().unwrap();
    let names = rig.storage.list(Path::new("")).unwrap();
    let newest = names.iter().filter(|name| name.starts_with("MANIFEST-")).max().unwrap();
    let file = rig.storage.open(Path::new(newest), OpenMode::Write).unwrap();
    file.write_at(b"damage", 40).unwrap();
    let rig = rig.after_kill();
    assert!(rig.engine.recovery().used_previous_manifest);
    assert_eq!(rig.counts(), (51, 0));
    for number in 0..50 {
        assert_eq!(rig.get(format!("key{number}").as_bytes()).as_deref(), Some("4"));
    }
    assert_eq!(rig.get(b"last").as_deref(), Some("write"));
}
