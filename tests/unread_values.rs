//! What removes a cold key, or puts something else in its place, does not read its value: so it
//! passes where that is damaged, and costs one read less.

use firn::engine::begin::Intent;
use firn::error::{Error, Result};
use firn::io::random::Random;

#[allow(dead_code, reason = "shared with tests of rules")]
#[path = "rules/rig.rs"]
mod rig;

use rig::Rig;

const START_MS: u64 = 1_700_000_000_000;

/// A value that fills a block of its own, as it is.
fn value(number: u64) -> Vec<u8> {
    let mut random = Random::new(number);
    (0..20_000).map(|_| random.below(256) as u8).collect()
}

fn is_corrupt<T: std::fmt::Debug>(result: Result<T>) -> bool {
    matches!(result, Err(Error::Corrupt { .. }))
}

#[test]
fn a_key_whose_value_is_damaged_can_be_removed_and_replaced() {
    let rig = Rig::new();
    let deadline = START_MS + 1_000_000;
    for number in 0..4 {
        let expires = number % 2 == 1;
        rig.set(format!("key {number}").as_bytes(), &value(number), expires.then_some(deadline));
    }
    rig.chill();
    (0..4).for_each(|number| rig.damage(&value(number)[..100]));
    assert!(is_corrupt(rig.engine.get(0, b"key 0")));
    assert!(rig.engine.delete(0, b"key 0").unwrap());
    assert!(!rig.engine.delete(0, b"key 0").unwrap(), "it went");
    assert!(rig.engine.delete(0, b"key 1").unwrap());
    rig.engine.set(0, b"key 2", b"new").unwrap();
    rig.engine.set(0, b"key 3", b"new").unwrap();
    assert_eq!(rig.counts(), (2, 0), "the deadline of key 3 went with its value");
    for restarted in [false, true] {
        assert_eq!(rig.engine.get(0, b"key 1").unwrap(), None, "restarted: {restarted}");
        assert_eq!(rig.engine.get(0, b"key 2").unwrap().as_deref(), Some(&b"new"[..]));
        rig.chill();
    }
    let rig = rig.after_kill();
    assert_eq!(rig.engine.get(0, b"key 3").unwrap().as_deref(), Some(&b"new"[..]));
    assert_eq!(rig.counts(), (2, 0));
}

/// Changes that a replay found wait for a base that nobody can read. They keep checkpoints from
/// running, until the key goes.
#[test]
fn changes_that_wait_for_a_damaged_value_go_with_their_key() {
    for deletes in [true, false] {
        let rig = Rig::new();
        let deadline = START_MS + 1_000_000;
        rig.set(b"key", &value(1), None);
        rig.set(b"other", b"value", None);
        rig.chill();
        rig.append(b"key", b"more");
        rig.write(b"key", |unit, key| unit.set_expiry(key, Some(deadline)));
        rig.engine.sync().unwrap();
        rig.damage(&value(1)[..100]);
        let rig = rig.after_kill();
        assert_eq!(rig.counts(), (2, 1));
        assert!(is_corrupt(rig.engine.checkpoint()));
        assert!(is_corrupt(rig.engine.get(0, b"key")));
        match deletes {
            true => assert!(rig.engine.delete(0, b"key").unwrap()),
            false => rig.engine.set(0, b"key", b"new").unwrap(),
        }
        rig.engine.checkpoint().unwrap();
        let left = if deletes { 1 } else { 2 };
        assert_eq!(rig.counts(), (left, 0));
        let rig = rig.after_kill();
        assert_eq!(rig.counts(), (left, 0));
        assert_eq!(rig.engine.get(0, b"key").unwrap().is_some(), left == 2);
    }
}

/// What is known of a key but for its value is as good as nothing for those who want that, and
/// enough to see its deadline pass.
#[test]
fn a_value_that_was_not_read_is_read_when_it_is_wanted() {
    let rig = Rig::new();
    let deadline = START_MS + 1_000_000;
    for number in 0..3 {
        let name = format!("key {number}");
        rig.set(name.as_bytes(), b"value", (number == 1).then_some(deadline));
    }
    rig.chill();
    rig.write(b"key 2", |unit, key| unit.set_expiry(key, Some(deadline)));
    rig.engine.sync().unwrap();
    let rig = rig.after_kill();
    for number in 0..3 {
        let name = format!("key {number}");
        let key = rig.engine.key(0, name.as_bytes());
        let intent = Intent::write(rig.engine.now_ms(), 1000);
        // It changes nothing after all.
        drop(rig.begin(&[key], Intent { replaces: true, ..intent }));
    }
    assert_eq!(rig.counts(), (3, 2));
    let page = rig.engine.scan(0, 0, 100).unwrap();
    assert_eq!((page.next, page.keys.len()), (0, 3));
    assert_eq!(rig.engine.get(0, b"key 0").unwrap().as_deref(), Some(&b"value"[..]));
    rig.append(b"key 0", b" and more");
    assert_eq!(rig.get(b"key 0").as_deref(), Some("value and more"));
    rig.clock.set_wall_ms(deadline + 1);
    while rig.engine.expire_some().unwrap() > 0 {}
    assert_eq!(rig.counts(), (1, 0));
    rig.chill();
    let rig = rig.after_kill();
    assert_eq!(rig.counts(), (1, 0));
    assert_eq!(rig.get(b"key 0").as_deref(), Some("value and more"));
}
