//! Commands that add, remove and move members: SADD, SREM, SMOVE.

use crate::command::collection::{GoneMembers, NewItems, distinct, edit_or_delete};
use crate::command::row::{first_key, key_arg, keys_at, named_key};
use crate::command::spec::key_flag::{ACCESS, DELETE, INSERT, RW};
use crate::command::spec::{
    Arg, ArgKind, Call, Command, Failure, FirstMember, GROWS, Group, Spec, flag,
};
use crate::types::ValueKind;
use crate::value::item::Item;

use super::value::{Growth, set_of};

/// What the rows of this file have in common.
const ROW: Spec = Spec {
    arity: -3,
    flags: flag::WRITE | flag::FAST,
    group: Group::Set,
    args: &[key_arg(), Arg::new("member", ArgKind::String).multiple()],
    ..Spec::EMPTY
};

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "sadd",
            flags: flag::WRITE | flag::DENYOOM | flag::FAST,
            keys: &[first_key(RW | INSERT)],
            complexity: "O(N) for N members that are added.",
            summary: "Adds members, and makes the set where there is none.",
            history: &[("2.4.0", "Takes several members.")],
            length_after: Some(GROWS),
            first_member: FirstMember::Named(2),
            ..ROW
        },
        run: sadd,
    },
    Command {
        spec: Spec {
            name: "srem",
            flags: flag::WRITE | flag::FAST | flag::FREES,
            keys: &[first_key(RW | DELETE)],
            complexity: "O(N) for N members that are removed.",
            summary: "Removes members, and the set with its last one.",
            history: &[("2.4.0", "Takes several members.")],
            first_member: FirstMember::Named(2),
            ..ROW
        },
        run: srem,
    },
    Command {
        spec: Spec {
            name: "smove",
            arity: 4,
            keys: &[first_key(RW | ACCESS | DELETE), keys_at(2, 0, 1, RW | INSERT)],
            summary: "Moves a member from one set to another.",
            args: &[
                named_key("source", 0),
                named_key("destination", 1),
                Arg::new("member", ArgKind::String),
            ],
            // The member is logged with each of the two sets.
            extra_bytes: Some(|args, _| args.get(3).len() as u64),
            length_after: Some(GROWS),
            ..ROW
        },
        run: smove,
    },
];

fn sadd(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let args = call.args;
    let key = call.unit.key(call.db, args.get(1));
    let view = call.unit.get_to_change(&key);
    let set = view.map(|view| set_of(&view)).transpose()?;
    let count = args.len() as u64 - 2;
    let mut growth = Growth::with(call.encodings, set.as_ref(), args.get(2), count);
    let (mut items, mut added) = (NewItems::default(), 0);
    for member in distinct(args.iter_from(2)) {
        if set.is_none_or(|set| !set.has(member)) {
            growth.add(member);
            items.push(Item::new(member, b""));
            added += 1;
        }
    }
    if added > 0 {
        call.unit.edit(&key, growth.shape(), items.edit());
    }
    call.reply.integer(added);
    Ok(())
}

fn srem(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let args = call.args;
    let key = call.unit.key(call.db, args.get(1));
    let Some(view) = call.unit.get_to_change(&key) else {
        call.reply.integer(0);
        return Ok(());
    };
    let set = set_of(&view)?;
    let (mut gone, mut gone_count) = (GoneMembers::default(), 0);
    for member in distinct(args.iter_from(2)) {
        if set.has(member) {
            gone.push(member);
            gone_count += 1;
        }
    }
    let (shape, len) = (ValueKind::Set.shape(set.encoding), set.card());
    edit_or_delete(call.unit, &key, shape, gone.edit(), (len, gone_count));
    call.reply.integer(gone_count as i64);
    Ok(())
}

fn smove(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let args = call.args;
    let member = args.get(3);
    let from = call.unit.key(call.db, args.get(1));
    let to = call.unit.key(call.db, args.get(2));
    let Some(view) = call.unit.get_to_change(&from) else {
        call.reply.integer(0);
        return Ok(());
    };
    let source = set_of(&view)?;
    let (shape, len, is_there) =
        (ValueKind::Set.shape(source.encoding), source.card(), source.has(member));
    let target = call.unit.get_to_change(&to).map(|view| set_of(&view)).transpose()?;
    let mut growth = Growth::with(call.encodings, target.as_ref(), member, 1);
    let is_new = target.is_none_or(|target| !target.has(member));
    if is_there && from.bytes != to.bytes {
        let mut gone = GoneMembers::default();
        gone.push(member);
        edit_or_delete(call.unit, &from, shape, gone.edit(), (len, 1));
        if is_new {
            growth.add(member);
            let mut items = NewItems::default();
            items.push(Item::new(member, b""));
            call.unit.edit(&to, growth.shape(), items.edit());
        }
    }
    call.reply.integer(i64::from(is_there));
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{deadline, extra_frame_bytes, run, unit};
    use crate::engine::unit::Unit;

    fn encoding(unit: &mut Unit<'_>, key: &str) -> String {
        let reply = run(unit, &["OBJECT", "ENCODING", key]);
        reply.split(' ').next_back().unwrap_or_default().to_owned()
    }

    /// SADD of numbers below `count`, each behind a prefix.
    fn add(unit: &mut Unit<'_>, key: &str, prefix: &str, numbers: std::ops::Range<u32>) {
        let mut args = vec!["SADD".to_owned(), key.to_owned()];
        args.extend(numbers.map(|number| format!("{prefix}{number}")));
        run(unit, &args);
    }

    #[test]
    fn members_are_added_once() {
        let mut unit = unit();
        assert_eq!(run(&mut unit, &["SADD", "s", "a", "b", "a"]), ":2");
        assert_eq!(run(&mut unit, &["SADD", "s", "b", "c"]), ":1");
        assert_eq!(run(&mut unit, &["SADD", "s", "a"]), ":0");
        assert_eq!(run(&mut unit, &["SMEMBERS", "s"]), "*3 $1 a $1 b $1 c");
        run(&mut unit, &["PEXPIREAT", "s", "1700000000000"]);
        run(&mut unit, &["SADD", "s", "d"]);
        assert_eq!(deadline(&mut unit, "s"), Some(1_700_000_000_000));
    }

    #[test]
    fn a_set_leaves_with_its_last_member() {
        let mut unit = unit();
        run(&mut unit, &["SADD", "s", "a", "b", "c"]);
        assert_eq!(run(&mut unit, &["SREM", "s", "a", "x", "a"]), ":1");
        assert_eq!(run(&mut unit, &["SREM", "s", "x"]), ":0");
        assert_eq!(run(&mut unit, &["SREM", "s", "c", "b"]), ":2");
        assert_eq!(run(&mut unit, &["EXISTS", "s"]), ":0");
        assert_eq!(run(&mut unit, &["SREM", "s", "a"]), ":0");
    }

    #[test]
    fn a_member_moves() {
        let mut unit = unit();
        run(&mut unit, &["SADD", "a", "1", "2"]);
        run(&mut unit, &["SADD", "b", "2", "x"]);
        assert_eq!(run(&mut unit, &["SMOVE", "a", "b", "3"]), ":0");
        assert_eq!(run(&mut unit, &["SMOVE", "a", "b", "2"]), ":1");
        assert_eq!(run(&mut unit, &["SMEMBERS", "a"]), "*1 $1 1");
        assert_eq!(run(&mut unit, &["SMEMBERS", "b"]), "*2 $1 2 $1 x");
        assert_eq!(run(&mut unit, &["SMOVE", "a", "c", "1"]), ":1");
        assert_eq!(run(&mut unit, &["EXISTS", "a"]), ":0");
        assert_eq!(encoding(&mut unit, "c"), "intset");
        assert_eq!(run(&mut unit, &["SMOVE", "c", "c", "1"]), ":1");
        assert_eq!(run(&mut unit, &["SMOVE", "c", "c", "2"]), ":0");
        assert_eq!(run(&mut unit, &["SCARD", "c"]), ":1");
        assert_eq!(extra_frame_bytes(&["SMOVE", "a", "b", "0123456789"], 16), 10);
    }

    #[test]
    fn both_ends_of_a_move_are_sets_or_missing() {
        let mut unit = unit();
        run(&mut unit, &["SET", "t", "a"]);
        run(&mut unit, &["SADD", "s", "a"]);
        assert!(run(&mut unit, &["SADD", "t", "a"]).starts_with("-WRONGTYPE"));
        assert!(run(&mut unit, &["SREM", "t", "a"]).starts_with("-WRONGTYPE"));
        assert!(run(&mut unit, &["SMOVE", "t", "s", "a"]).starts_with("-WRONGTYPE"));
        assert!(run(&mut unit, &["SMOVE", "t", "no", "a"]).starts_with("-WRONGTYPE"));
        assert!(run(&mut unit, &["SMOVE", "s", "t", "no"]).starts_with("-WRONGTYPE"));
        assert_eq!(run(&mut unit, &["SMOVE", "no", "t", "a"]), ":0");
        assert_eq!(run(&mut unit, &["SMEMBERS", "s"]), "*1 $1 a");
    }

    /// What a valkey-server 8.1 answers.
    #[test]
    fn encodings_are_redis_s() {
        let mut unit = unit();
        add(&mut unit, "i", "", 0..512);
        assert_eq!(encoding(&mut unit, "i"), "intset");
        run(&mut unit, &["SADD", "i", "512"]);
        assert_eq!(encoding(&mut unit, "i"), "hashtable");
        run(&mut unit, &["SREM", "i", "512"]);
        assert_eq!(encoding(&mut unit, "i"), "hashtable");
        add(&mut unit, "l", "m", 0..128);
        assert_eq!(encoding(&mut unit, "l"), "listpack");
        run(&mut unit, &["SADD", "l", "x"]);
        assert_eq!(encoding(&mut unit, "l"), "hashtable");
        for (count, expected) in [(127, "listpack"), (128, "hashtable")] {
            let key = format!("mixed{count}");
            add(&mut unit, &key, "", 0..count);
            run(&mut unit, &["SADD", &key, "x"]);
            assert_eq!(encoding(&mut unit, &key), expected);
        }
        run(&mut unit, &["SADD", "v", "1", &"x".repeat(64)]);
        assert_eq!(encoding(&mut unit, "v"), "listpack");
        run(&mut unit, &["SADD", "v", &"x".repeat(65)]);
        assert_eq!(encoding(&mut unit, "v"), "hashtable");
    }

    #[test]
    fn large_sets_hold_what_was_added() {
        let mut unit = unit();
        add(&mut unit, "s", "a member of some length, the number ", 0..1000);
        add(&mut unit, "s", "a member of some length, the number ", 500..1500);
        assert_eq!(run(&mut unit, &["SCARD", "s"]), ":1500");
        let member = "a member of some length, the number 1499";
        assert_eq!(run(&mut unit, &["SREM", "s", member, member, "x"]), ":1");
        assert_eq!(run(&mut unit, &["SISMEMBER", "s", member]), ":0");
        assert_eq!(run(&mut unit, &["SCARD", "s"]), ":1499");
    }
}
