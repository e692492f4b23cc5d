//! Commands that set and remove fields: HSET, HMSET, HSETNX, HDEL.

use crate::command::collection::{GoneMembers, NewItems, distinct, edit_or_delete};
use crate::command::row::{block, first_key, key_arg};
use crate::command::spec::key_flag::{DELETE, INSERT, RW, UPDATE};
use crate::command::spec::{
    Arg, ArgKind, Call, Command, Failure, FirstMember, GROWS, Group, Spec, flag,
};
use crate::value::item::Item;

use super::value::{Before, hash_to_change, put_field};

/// What the rows of this file have in common.
const ROW: Spec = Spec {
    arity: -4,
    flags: flag::WRITE | flag::DENYOOM | flag::FAST,
    keys: &[first_key(RW | UPDATE)],
    group: Group::Hash,
    since: "2.0.0",
    complexity: "O(N) for N fields that are set.",
    args: &[
        key_arg(),
        block("data", &[Arg::new("field", ArgKind::String), Arg::new("value", ArgKind::String)])
            .multiple(),
    ],
    length_after: Some(GROWS),
    ..Spec::EMPTY
};

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "hset",
            summary: "Sets fields, new or not, and makes the hash where there is none.",
            history: &[("4.0.0", "Takes several fields.")],
            first_member: FirstMember::Named(2),
            ..ROW
        },
        run: hset,
    },
    Command {
        spec: Spec {
            name: "hmset",
            summary: "Sets several fields.",
            deprecated: Some(("4.0.0", "`HSET` with several fields")),
            first_member: FirstMember::Named(2),
            ..ROW
        },
        run: hmset,
    },
    Command {
        spec: Spec {
            name: "hsetnx",
            arity: 4,
            keys: &[first_key(RW | INSERT)],
            complexity: "O(1)",
            summary: "Sets a field, unless it is there already.",
            args: &[
                key_arg(),
                Arg::new("field", ArgKind::String),
                Arg::new("value", ArgKind::String),
            ],
            first_member: FirstMember::Named(2),
            ..ROW
        },
        run: hsetnx,
    },
    Command {
        spec: Spec {
            name: "hdel",
            arity: -3,
            flags: flag::WRITE | flag::FAST | flag::FREES,
            keys: &[first_key(RW | DELETE)],
            complexity: "O(N) for N fields that are removed.",
            summary: "Removes fields, and the hash with its last one.",
            args: &[key_arg(), Arg::new("field", ArgKind::String).multiple()],
            history: &[("2.4.0", "Takes several fields.")],
            length_after: None,
            first_member: FirstMember::Named(2),
            ..ROW
        },
        run: hdel,
    },
];

fn hset(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let added = set_fields(call, "hset")?;
    call.reply.integer(added as i64);
    Ok(())
}

fn hmset(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    set_fields(call, "hmset")?;
    call.reply.ok();
    Ok(())
}

/// Sets the fields of a call; how many are new.
fn set_fields(call: &mut Call<'_, '_, '_>, name: &str) -> Result<u64, Failure> {
    let args = call.args;
    if !args.len().is_multiple_of(2) {
        let text = format!("ERR wrong number of arguments for '{name}' command");
        return Err(Failure::Text(text.into()));
    }
    let key = call.unit.key(call.db, args.get(1));
    let hash = hash_to_change(call.unit, &key)?;
    let before = Before::of(hash.as_ref());
    let fields = distinct((2..args.len()).step_by(2).map(|index| args.get(index)));
    let (mut new_count, mut counted) = (0, 0);
    for field in fields {
        let live = hash.and_then(|hash| Some(hash.is_live(&hash.members().get(field)?)));
        new_count += u64::from(live.is_none());
        counted += u64::from(live != Some(true));
    }
    let (mut items, mut longest) = (NewItems::default(), 0);
    for index in (2..args.len()).step_by(2) {
        let item = Item::new(args.get(index), args.get(index + 1));
        longest = longest.max(item.member.len()).max(item.payload.len());
        items.push(item);
    }
    // Redis looks at the number of pairs before it looks which fields are new.
    let len = (before.len + new_count).max(args.len() as u64 / 2 - 1);
    let shape = before.shape_with(call.encodings, len, longest);
    call.unit.edit(&key, shape, items.edit());
    Ok(counted)
}

fn hsetnx(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let args = call.args;
    let key = call.unit.key(call.db, args.get(1));
    let hash = hash_to_change(call.unit, &key)?;
    let before = Before::of(hash.as_ref());
    let live = hash.and_then(|hash| Some(hash.is_live(&hash.members().get(args.get(2))?)));
    if live != Some(true) {
        let item = Item::new(args.get(2), args.get(3));
        put_field(call, &key, &before, item, live.is_none());
    }
    call.reply.integer(i64::from(live != Some(true)));
    Ok(())
}

fn hdel(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let args = call.args;
    let key = call.unit.key(call.db, args.get(1));
    let Some(hash) = hash_to_change(call.unit, &key)? else {
        call.reply.integer(0);
        return Ok(());
    };
    let before = Before::of(Some(&hash));
    let (mut gone, mut gone_count, mut live_count) = (GoneMembers::default(), 0, 0);
    for field in distinct(args.iter_from(2)) {
        if let Some(item) = hash.members().get(field) {
            gone.push(field);
            gone_count += 1;
            live_count += i64::from(hash.is_live(&item));
        }
    }
    let shape = before.shape_with(call.encodings, 0, 0);
    edit_or_delete(call.unit, &key, shape, gone.edit(), (before.len, gone_count));
    call.reply.integer(live_count);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{deadline, run, unit};
    use crate::engine::unit::Unit;

    fn encoding(unit: &mut Unit<'_>, key: &str) -> String {
        let reply = run(unit, &["OBJECT", "ENCODING", key]);
        reply.split(' ').next_back().unwrap_or_default().to_owned()
    }

    /// HSET of fields with these numbers.
    fn fill(unit: &mut Unit<'_>, key: &str, numbers: std::ops::Range<u32>) {
        let mut args = vec!["HSET".to_owned(), key.to_owned()];
        args.extend(numbers.flat_map(|number| [format!("field {number}"), number.to_string()]));
        run(unit, &args);
    }

    #[test]
    fn new_fields_are_counted_once() {
        let mut unit = unit();
        assert_eq!(run(&mut unit, &["HSET", "h", "a", "1", "b", "2", "a", "3"]), ":2");
        assert_eq!(run(&mut unit, &["HSET", "h", "b", "4", "c", "5"]), ":1");
        assert_eq!(run(&mut unit, &["HMSET", "h", "d", "6"]), "+OK");
        assert_eq!(run(&mut unit, &["HVALS", "h"]), "*4 $1 3 $1 4 $1 5 $1 6");
        run(&mut unit, &["PEXPIREAT", "h", "1700000000000"]);
        run(&mut unit, &["HSET", "h", "a", "7"]);
        assert_eq!(deadline(&mut unit, "h"), Some(1_700_000_000_000));
    }

    #[test]
    fn a_field_without_a_value_is_refused_before_the_key_is_looked_at() {
        let mut unit = unit();
        run(&mut unit, &["SET", "t", "a"]);
        let text = "-ERR wrong number of arguments for 'hset' command";
        assert_eq!(run(&mut unit, &["HSET", "t", "a", "1", "b"]), text);
        let text = "-ERR wrong number of arguments for 'hmset' command";
        assert_eq!(run(&mut unit, &["HMSET", "t", "a", "1", "b"]), text);
        for command in ["HSET", "HMSET", "HSETNX"] {
            let reply = run(&mut unit, &[command, "t", "a", "1"]);
            assert!(reply.starts_with("-WRONGTYPE"), "{command}");
        }
        assert!(run(&mut unit, &["HDEL", "t", "a"]).starts_with("-WRONGTYPE"));
    }

    #[test]
    fn a_field_that_is_there_stays() {
        let mut unit = unit();
        assert_eq!(run(&mut unit, &["HSETNX", "h", "a", "1"]), ":1");
        assert_eq!(run(&mut unit, &["HSETNX", "h", "a", "2"]), ":0");
        assert_eq!(run(&mut unit, &["HGETALL", "h"]), "*2 $1 a $1 1");
    }

    #[test]
    fn a_hash_leaves_with_its_last_field() {
        let mut unit = unit();
        for count in [3, 1000] {
            fill(&mut unit, "h", 0..count);
            assert_eq!(run(&mut unit, &["HDEL", "h", "field 0", "x", "field 0"]), ":1");
            assert_eq!(run(&mut unit, &["HLEN", "h"]), format!(":{}", count - 1));
            let mut args = vec!["HDEL".to_owned(), "h".to_owned()];
            args.extend((0..count).map(|number| format!("field {number}")));
            assert_eq!(run(&mut unit, &args), format!(":{}", count - 1));
            assert_eq!(run(&mut unit, &["EXISTS", "h"]), ":0");
            assert_eq!(run(&mut unit, &["HDEL", "h", "a"]), ":0");
        }
    }

    /// What a valkey-server 8.1 answers.
    #[test]
    fn encodings_are_redis_s() {
        let mut unit = unit();
        fill(&mut unit, "h", 0..512);
        assert_eq!(encoding(&mut unit, "h"), "listpack");
        fill(&mut unit, "h", 512..513);
        assert_eq!(encoding(&mut unit, "h"), "hashtable");
        run(&mut unit, &["HDEL", "h", "field 0", "field 1", "field 2"]);
        assert_eq!(encoding(&mut unit, "h"), "hashtable");
        let (short, long) = ("x".repeat(64), "x".repeat(65));
        run(&mut unit, &["HSET", "s", &short, &short]);
        assert_eq!(encoding(&mut unit, "s"), "listpack");
        run(&mut unit, &["HSETNX", "s", "a", &long]);
        assert_eq!(encoding(&mut unit, "s"), "hashtable");
        run(&mut unit, &["HSET", "f", &long, "1"]);
        assert_eq!(encoding(&mut unit, "f"), "hashtable");
        let pairs = [&["HSET", "same"][..], &["a", "b"].repeat(513)].concat();
        assert_eq!(run(&mut unit, &pairs), ":1");
        assert_eq!(encoding(&mut unit, "same"), "hashtable");
    }
}
