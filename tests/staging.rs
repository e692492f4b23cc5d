//! Collections that are logged ahead of their copy: what others see of it, what a crash leaves of
//! it, and what the log keeps for it.

use std::cell::Cell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use firn::engine::begin::{Begin, Intent};
use firn::engine::staging::{Copying, StageOrder, Staged, WholeCopy};
use firn::engine::unit::ValueRef;
use firn::error::{Error, Result};
use firn::format::edit::Edit;
use firn::types::ValueKind;
use firn::value::item::Item;
use firn::value::view::AnyItem;
use firn::value::{list_item, score};

#[allow(dead_code, reason = "some of it is for other tests")]
#[path = "rules/rig.rs"]
mod rig;

use rig::{Rig, fetch};

const START_MS: u64 = 1_700_000_000_000;
const KINDS: [ValueKind; 4] = [ValueKind::List, ValueKind::Set, ValueKind::Zset, ValueKind::Hash];

/// Adds items to a collection, which may be new.
fn add(rig: &Rig, name: &[u8], kind: ValueKind, numbers: std::ops::Range<u64>) {
    let mut items = Vec::new();
    for number in numbers {
        let name = format!("an item of some length, {number:05}").into_bytes();
        match kind {
            ValueKind::List => list_item::encode(&name, &mut items),
            ValueKind::Set => Item::new(&name, b"").encode(&mut items),
            ValueKind::Zset => Item::new(&name, &score::encode(0.5)).encode(&mut items),
            _ => {
                let deadline_ms = (number % 7 == 0).then_some(START_MS * 2 + number);
                Item { member: &name, payload: b"value", deadline_ms }.encode(&mut items);
            }
        }
    }
    let edit = match kind {
        ValueKind::List => Edit::Push { front: false, elements: &items },
        _ => Edit::Put { items: &items },
    };
    let key = rig.engine.key(0, name);
    let intent = Intent::write(rig.engine.now_ms(), items.len() as u64 + 1000);
    let mut unit = rig.begin(&[key], intent);
    unit.edit(&key, kind.shape(1), edit);
    unit.finish();
}

/// What a key holds: how many items, a digest of them, and its deadline.
type Content = (usize, u64, Option<u64>);

fn content(rig: &Rig, name: &[u8]) -> Option<Content> {
    let key = rig.engine.key(0, name);
    let mut unit = rig.begin(&[key], Intent::read(rig.engine.now_ms()));
    let view = unit.get(&key)?;
    assert!(!matches!(view.value, ValueRef::String(_)), "it is a collection");
    let shown = view.value.items().map(|item: AnyItem<'_>| format!("{item:?}"));
    let mut shown: Vec<String> = shown.collect();
    if view.value.kind() != ValueKind::List {
        shown.sort();
    }
    let mut digest = DefaultHasher::new();
    shown.hash(&mut digest);
    Some((shown.len(), digest.finish(), view.expire_at_ms))
}

/// One attempt to copy `big`, or to rename it.
fn carry(
    rig: &Rig,
    to: &[u8],
    renames: bool,
    staged: &[Arc<Staged>],
) -> std::result::Result<(), Box<StageOrder>> {
    let keys = [rig.engine.key(0, b"big"), rig.engine.key(0, to)];
    let copying = Copying {
        bytes: &|stands, is_staged| match is_staged(0) {
            true => 0,
            false => stands(&keys[0]).map_or(0, |value| value.size().bytes),
        },
        wholes: &[WholeCopy { from: 0, to: 1, keeps: false }],
        staged,
    };
    loop {
        let intent = Intent::write(rig.engine.now_ms(), 1000);
        match rig.engine.begin_copying(&keys, false, intent, Some(&copying))? {
            Begin::Ready(mut unit) => {
                match renames {
                    true => unit.rename(&keys[0], &keys[1]),
                    false => unit.copy(&keys[0], &keys[1]),
                }
                unit.finish();
                return Ok(());
            }
            Begin::Cold(cold) => fetch(&rig.engine, cold).unwrap(),
            Begin::Wait => rig.engine.sync().unwrap(),
            Begin::Refused(error) => panic!("{error}"),
        }
    }
}

fn ordered(rig: &Rig, to: &[u8], staged: &[Arc<Staged>]) -> Box<StageOrder> {
    carry(rig, to, false, staged).expect_err("it is too large to be copied at once")
}

fn stage(rig: &Rig, to: &[u8]) -> Arc<Staged> {
    let order = ordered(rig, to, &[]);
    Arc::new(rig.engine.stage(*order, &|| true).unwrap())
}

/// Frames logged and their bytes, once all are durable.
fn logged(rig: &Rig) -> (u64, u64) {
    rig.engine.sync().unwrap();
    let log = rig.engine.stats().log;
    (log.frames, log.frame_bytes)
}

fn with_big(kind: ValueKind) -> Rig {
    let rig = Rig::new();
    add(&rig, b"big", kind, 0..1500);
    rig.engine.sync().unwrap();
    rig
}

#[test]
fn a_staged_collection_is_copied_by_a_frame_that_names_it() {
    for (number, kind) in KINDS.into_iter().enumerate() {
        for is_cold in [false, true] {
            let rig = with_big(kind);
            let deadline = (number % 2 == 0).then_some(START_MS + 1_000_000);
            rig.write(b"big", |unit, key| unit.set_expiry(key, deadline));
            if is_cold {
                rig.chill();
            }
            let (before, expected) = (logged(&rig), content(&rig, b"big"));
            let staged = stage(&rig, b"to");
            let ahead = logged(&rig);
            assert!(ahead.0 - before.0 > 2 && ahead.1 - before.1 > 30_000, "{ahead:?}");
            assert_eq!(content(&rig, b"to"), None, "nobody sees it yet");
            carry(&rig, b"to", is_cold, &[staged]).unwrap();
            let after = logged(&rig);
            assert!(after.0 == ahead.0 + 1 && after.1 - ahead.1 < 100, "{after:?}");
            let counts = if is_cold { 1 } else { 2 };
            for _ in 0..2 {
                assert_eq!(content(&rig, b"to"), expected, "{kind:?}");
                assert_eq!(rig.counts().0, counts);
                assert_eq!(content(&rig, b"big").is_none(), is_cold);
            }
            let rig = rig.after_kill();
            assert_eq!(content(&rig, b"to"), expected, "{kind:?} after a kill");
            assert_eq!(rig.counts(), (counts, deadline.map_or(0, |_| counts)));
            add(&rig, b"to", kind, 5000..5001);
            rig.chill();
            let grown = content(&rig, b"to").unwrap();
            assert_eq!(grown.0, expected.unwrap().0 + 1, "{kind:?} from a part");
        }
    }
}

/// The log is cut behind what a part holds. A stage is in no part, so a cut behind its first frame
/// would leave the frame that publishes it without what it names.
#[test]
fn the_log_is_not_cut_inside_a_stage_nor_before_its_publication() {
    for checkpoints_inside in [false, true] {
        for publishes_before in [false, true] {
            let rig = with_big(ValueKind::Set);
            let order = ordered(&rig, b"to", &[]);
            let frames = Cell::new(0);
            let is_wanted = || {
                frames.set(frames.get() + 1);
                if checkpoints_inside {
                    rig.set(b"other", format!("{frames:?}").as_bytes(), None);
                    rig.engine.checkpoint().unwrap();
                }
                true
            };
            let staged = Arc::new(rig.engine.stage(*order, &is_wanted).unwrap());
            assert!(frames.get() > 2);
            // Twice, because the log that the MANIFEST before needs is kept, too.
            for round in 0..3 {
                rig.set(b"other", format!("between {round}").as_bytes(), None);
                rig.engine.checkpoint().unwrap();
            }
            let expected = content(&rig, b"big");
            carry(&rig, b"to", false, &[staged]).unwrap();
            if publishes_before {
                rig.engine.checkpoint().unwrap();
            }
            rig.engine.sync().unwrap();
            let rig = rig.after_kill();
            assert_eq!(content(&rig, b"to"), expected);
            let rig = rig.after_power_cut(3);
            assert_eq!(content(&rig, b"to"), expected);
            assert_eq!(rig.get(b"other").as_deref(), Some("between 2"));
            rig.engine.checkpoint().unwrap();
            let rig = rig.after_kill();
            assert_eq!(content(&rig, b"to"), expected);
            assert_eq!(rig.counts(), (3, 0));
        }
    }
}

/// What one stage keeps of the log may name another, of which the log then must have all.
#[test]
fn the_log_kept_for_an_open_stage_has_the_stages_that_it_names() {
    let rig = with_big(ValueKind::Set);
    let expected = content(&rig, b"big");
    let first = stage(&rig, b"first");
    let second = stage(&rig, b"second");
    carry(&rig, b"first", false, &[first]).unwrap();
    let third = stage(&rig, b"third");
    carry(&rig, b"second", false, &[second]).unwrap();
    // Twice, because the log that the MANIFEST before needs is kept, too.
    for round in 0..2 {
        rig.set(b"other", format!("{round}").as_bytes(), None);
        rig.engine.checkpoint().unwrap();
    }
    let rig = rig.after_kill();
    drop(third);
    for name in [&b"first"[..], b"second"] {
        assert_eq!(content(&rig, name), expected);
    }
    assert_eq!((content(&rig, b"third"), rig.counts()), (None, (4, 0)));
    for round in 0..2 {
        rig.set(b"other", format!("{round}").as_bytes(), None);
        rig.engine.checkpoint().unwrap();
    }
    assert_eq!(rig.engine.stats().log.segments, 1, "nothing keeps the log any more");
}

#[test]
fn a_stage_that_nobody_publishes_leaves_nothing() {
    let rig = with_big(ValueKind::Hash);
    let (staged, expected) = (stage(&rig, b"to"), content(&rig, b"big"));
    let segments = |rig: &Rig| {
        for round in 0..3 {
            rig.set(b"other", format!("{round}").as_bytes(), None);
            rig.engine.checkpoint().unwrap();
        }
        rig.engine.stats().log.segments
    };
    assert!(segments(&rig) > 1, "the stage keeps the log");
    drop(staged);
    assert_eq!(segments(&rig), 1, "and lets it go");
    drop(stage(&rig, b"to"));
    let rig = rig.after_kill();
    for _ in 0..2 {
        assert_eq!(content(&rig, b"to"), None);
        assert_eq!(content(&rig, b"big"), expected);
        assert_eq!(rig.counts(), (2, 0));
        // What the log still holds of the old stage does not get in the way of a new one.
        carry(&rig, b"to", false, &[stage(&rig, b"to")]).unwrap();
        rig.delete(b"to");
    }
    assert_eq!(segments(&rig), 1, "what is dead in the log does not keep it");
}

#[test]
fn a_source_that_changes_is_staged_again_and_then_copied_at_once() {
    let rig = with_big(ValueKind::List);
    let mut staged = vec![stage(&rig, b"to")];
    add(&rig, b"big", ValueKind::List, 0..1);
    let order = ordered(&rig, b"to", &staged);
    staged.push(Arc::new(rig.engine.stage(*order, &|| true).unwrap()));
    add(&rig, b"big", ValueKind::List, 1..2);
    let before = logged(&rig);
    carry(&rig, b"to", false, &staged).unwrap();
    let after = logged(&rig);
    assert!(after.0 == before.0 + 1 && after.1 - before.1 > 30_000, "{before:?} {after:?}");
    let expected = content(&rig, b"big");
    assert_eq!(expected.map(|content| content.0), Some(1502));
    assert_eq!(content(&rig, b"to"), expected);
    let rig = rig.after_kill();
    assert_eq!(content(&rig, b"to"), expected);
}

#[test]
fn a_stage_is_published_once_and_for_its_own_keys() {
    let rig = with_big(ValueKind::Zset);
    let staged = [stage(&rig, b"to")];
    assert!(carry(&rig, b"elsewhere", false, &staged).is_err());
    carry(&rig, b"to", false, &staged).unwrap();
    rig.delete(b"to");
    let order = ordered(&rig, b"to", &staged);
    let again = Arc::new(rig.engine.stage(*order, &|| true).unwrap());
    carry(&rig, b"to", false, &[staged[0].clone(), again]).unwrap();
    let expected = content(&rig, b"big");
    assert_eq!(content(&rig, b"to"), expected);
    rig.engine.sync().unwrap();
    let rig = rig.after_kill();
    assert_eq!(content(&rig, b"to"), expected);
}

#[test]
fn nothing_is_staged_for_a_copy_that_keeps_what_is_there() {
    let rig = with_big(ValueKind::Set);
    rig.set(b"to", b"there", None);
    let keys = [rig.engine.key(0, b"big"), rig.engine.key(0, b"to")];
    let begins = |keeps: bool| {
        let copying = Copying {
            bytes: &|_, _| 0,
            wholes: &[WholeCopy { from: 0, to: 1, keeps }],
            staged: &[],
        };
        let intent = Intent::write(rig.engine.now_ms(), 1000);
        rig.engine.begin_copying(&keys, false, intent, Some(&copying)).is_ok()
    };
    assert_eq!((begins(true), begins(false)), (true, false));
    rig.delete(b"to");
    assert!(!begins(true));
}

#[test]
fn a_full_disk_or_a_client_that_goes_ends_a_stage_and_changes_nothing() {
    let rig = with_big(ValueKind::Set);
    let expected = content(&rig, b"big");
    let order = ordered(&rig, b"to", &[]);
    let frames = Cell::new(0);
    let is_wanted = || {
        frames.set(frames.get() + 1);
        frames.get() < 3
    };
    rig.engine.stage(*order, &is_wanted).unwrap_err();
    rig.storage.set_capacity_bytes(Some(rig.storage.used_bytes()));
    let mut full: Result<()> = Ok(());
    for _ in 0..10 {
        let order = ordered(&rig, b"to", &[]);
        if let Err(error) = rig.engine.stage(*order, &|| true) {
            full = Err(error);
            break;
        }
    }
    assert!(matches!(full, Err(Error::DiskFull)), "{full:?}");
    assert_eq!((content(&rig, b"to"), rig.counts()), (None, (1, 0)));
    rig.storage.set_capacity_bytes(None);
    carry(&rig, b"to", true, &[stage(&rig, b"to")]).unwrap();
    rig.engine.sync().unwrap();
    let rig = rig.after_kill();
    assert_eq!(content(&rig, b"to"), expected);
    assert_eq!((content(&rig, b"big"), rig.counts()), (None, (1, 0)));
}
