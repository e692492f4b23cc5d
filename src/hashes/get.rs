//! Commands that read hashes: HGET and its relatives.

use crate::command::row::{first_key, key_arg};
use crate::command::spec::key_flag::{ACCESS, RO};
use crate::command::spec::{Arg, ArgKind, Call, Command, Failure, FirstMember, Group, Spec, flag};
use crate::value::item::Item;

use super::value::read_hash;

/// What the rows of this file have in common.
const ROW: Spec = Spec {
    arity: 3,
    flags: flag::READONLY | flag::FAST,
    keys: &[first_key(RO)],
    group: Group::Hash,
    since: "2.0.0",
    args: &[key_arg(), Arg::new("field", ArgKind::String)],
    ..Spec::EMPTY
};

/// Commands on all fields.
const ROW_OF_ALL: Spec = Spec {
    arity: 2,
    flags: flag::READONLY,
    keys: &[first_key(RO | ACCESS)],
    complexity: "O(N) for N fields.",
    args: &[key_arg()],
    tips: &["nondeterministic_output_order"],
    ..ROW
};

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "hget",
            flags: ROW.flags | flag::MEMBERS,
            keys: &[first_key(RO | ACCESS)],
            summary: "Tells the value of a field.",
            first_member: FirstMember::Named(2),
            ..ROW
        },
        run: hget,
    },
    Command {
        spec: Spec {
            name: "hmget",
            flags: ROW.flags | flag::MEMBERS,
            arity: -3,
            keys: &[first_key(RO | ACCESS)],
            complexity: "O(N) for N fields asked for.",
            summary: "Tells the values of several fields.",
            args: &[key_arg(), Arg::new("field", ArgKind::String).multiple()],
            first_member: FirstMember::Named(2),
            ..ROW
        },
        run: hmget,
    },
    Command {
        spec: Spec {
            name: "hgetall",
            summary: "Tells all fields with their values.",
            ..ROW_OF_ALL
        },
        run: hgetall,
    },
    Command {
        spec: Spec { name: "hkeys", summary: "Tells all fields.", ..ROW_OF_ALL },
        run: hkeys,
    },
    Command {
        spec: Spec { name: "hvals", summary: "Tells the values of all fields.", ..ROW_OF_ALL },
        run: hvals,
    },
    Command {
        spec: Spec {
            name: "hlen",
            arity: 2,
            summary: "Counts the fields.",
            args: &[key_arg()],
            ..ROW
        },
        run: hlen,
    },
    Command {
        spec: Spec {
            name: "hexists",
            flags: ROW.flags | flag::MEMBERS,
            summary: "Tells whether a field is there.",
            first_member: FirstMember::Named(2),
            ..ROW
        },
        run: hexists,
    },
    Command {
        spec: Spec {
            name: "hstrlen",
            flags: ROW.flags | flag::MEMBERS,
            since: "3.2.0",
            summary: "Tells the length of a field's value in bytes.",
            first_member: FirstMember::Named(2),
            ..ROW
        },
        run: hstrlen,
    },
];

fn hget(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    match read_hash(call.unit, &key)?.and_then(|hash| hash.get(call.args.get(2))) {
        Some(item) => call.reply.bulk(item.payload),
        None => call.reply.null(),
    }
    Ok(())
}

fn hmget(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    let hash = read_hash(call.unit, &key)?;
    call.reply.array(call.args.len() - 2);
    for field in call.args.iter_from(2) {
        match hash.and_then(|hash| hash.get(field)) {
            Some(item) => call.reply.bulk(item.payload),
            None => call.reply.null(),
        }
    }
    Ok(())
}

fn hgetall(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    let Some(hash) = read_hash(call.unit, &key)? else {
        call.reply.map(0);
        return Ok(());
    };
    call.reply.map(hash.live_len());
    for item in hash.iter() {
        call.reply.bulk(item.member);
        call.reply.bulk(item.payload);
    }
    Ok(())
}

fn hkeys(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    reply_each(call, |item| item.member)
}

fn hvals(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    reply_each(call, |item| item.payload)
}

/// Replies with one half of each field.
fn reply_each(
    call: &mut Call<'_, '_, '_>,
    half: for<'a> fn(&Item<'a>) -> &'a [u8],
) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    let hash = read_hash(call.unit, &key)?;
    call.reply.array(hash.map_or(0, |hash| hash.live_len()));
    hash.iter().flat_map(|hash| hash.iter()).for_each(|item| call.reply.bulk(half(&item)));
    Ok(())
}

fn hlen(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    let len = read_hash(call.unit, &key)?.map_or(0, |hash| hash.field_count());
    call.reply.integer(len as i64);
    Ok(())
}

fn hexists(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    let found = read_hash(call.unit, &key)?.and_then(|hash| hash.get(call.args.get(2)));
    call.reply.integer(i64::from(found.is_some()));
    Ok(())
}

fn hstrlen(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    let found = read_hash(call.unit, &key)?.and_then(|hash| hash.get(call.args.get(2)));
    call.reply.integer(found.map_or(0, |item| item.payload.len() as i64));
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{run, unit};

    #[test]
    fn fields_are_told() {
        let mut unit = unit();
        run(&mut unit, &["HSET", "h", "b", "xyz", "", "", "a", "1"]);
        assert_eq!(run(&mut unit, &["HGET", "h", "b"]), "$3 xyz");
        assert_eq!(run(&mut unit, &["HGET", "h", "c"]), "$-1");
        assert_eq!(run(&mut unit, &["HMGET", "h", "a", "c", "a"]), "*3 $1 1 $-1 $1 1");
        assert_eq!(run(&mut unit, &["HGETALL", "h"]), "*6 $1 b $3 xyz $0  $0  $1 a $1 1");
        assert_eq!(run(&mut unit, &["HKEYS", "h"]), "*3 $1 b $0  $1 a");
        assert_eq!(run(&mut unit, &["HVALS", "h"]), "*3 $3 xyz $0  $1 1");
        assert_eq!(run(&mut unit, &["HLEN", "h"]), ":3");
        assert_eq!(run(&mut unit, &["HEXISTS", "h", ""]), ":1");
        assert_eq!(run(&mut unit, &["HEXISTS", "h", "c"]), ":0");
        assert_eq!(run(&mut unit, &["HSTRLEN", "h", "b"]), ":3");
        assert_eq!(run(&mut unit, &["HSTRLEN", "h", "c"]), ":0");
    }

    #[test]
    fn a_missing_key_is_an_empty_hash() {
        let mut unit = unit();
        assert_eq!(run(&mut unit, &["HGET", "no", "a"]), "$-1");
        assert_eq!(run(&mut unit, &["HMGET", "no", "a", "b"]), "*2 $-1 $-1");
        for command in ["HGETALL", "HKEYS", "HVALS"] {
            assert_eq!(run(&mut unit, &[command, "no"]), "*0");
        }
        assert_eq!(run(&mut unit, &["HLEN", "no"]), ":0");
        assert_eq!(run(&mut unit, &["HEXISTS", "no", "a"]), ":0");
        assert_eq!(run(&mut unit, &["HSTRLEN", "no", "a"]), ":0");
    }

    #[test]
    fn other_types_are_refused() {
        let mut unit = unit();
        run(&mut unit, &["SET", "t", "a"]);
        run(&mut unit, &["SADD", "s", "a"]);
        for key in ["t", "s"] {
            for command in ["HGETALL", "HKEYS", "HVALS", "HLEN"] {
                assert!(run(&mut unit, &[command, key]).starts_with("-WRONGTYPE"), "{command}");
            }
            for command in ["HGET", "HMGET", "HEXISTS", "HSTRLEN"] {
                let reply = run(&mut unit, &[command, key, "a"]);
                assert!(reply.starts_with("-WRONGTYPE"), "{command}");
            }
        }
    }
}
