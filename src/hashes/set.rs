//! Commands that set and remove fields: HSET, HMSET, HSETNX, HDEL.

use crate::command::collection::{GoneMembers, NewItems, distinct, edit_or_delete};
use crate::command::row::{block, first_key, key_arg};
use crate::command::spec::key_flag::{DELETE, INSERT, RW, UPDATE};
use crate::command::spec::{Arg, ArgKind, Call, Command, Failure, GROWS, Group, Spec, flag};
use crate::value::item::Item;

use super::value::{Before, hash_of, put_field};

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
            ..ROW
        },
        run: hset,
    },
    Command {
        spec: Spec {
            name: "hmset",
            summary: "Sets several fields.",
            deprecated: Some(("4.0.0", "`HSET` with several fields")),
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
    let now_ms = call.unit.now_ms();
    let view = call.unit.get_to_change(&key);
    let before = Before::of(view.as_ref())?;
    let hash = view.map(|view| hash_of(&view, now_ms)).transpose()?;
    let fields = distinct((2..args.len()).step_by(2).map(|index| args.get(index)));
    let (mut new_count, mut counted) = (0, 0);
    for field in fields {
        new_count += u64::from(hash.is_none_or(|hash| hash.members().get(field).is_none()));
        counted += u64::from(hash.is_none_or(|hash| hash.get(field).is_none()));
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
    let now_ms = call.unit.now_ms();
    let view = call.unit.get_to_change(&key);
    let before = Before::of(view.as_ref())?;
    let hash = view.map(|view| hash_of(&view, now_ms)).transpose()?;
    let live = hash.and_then(|hash| hash.get(args.get(2))).is_some();
    let is_new = hash.is_none_or(|hash| hash.members().get(args.get(2)).is_none());
    if !live {
        put_field(call, &key, &before, Item::new(args.get(2), args.get(3)), is_new);
    }
    call.reply.integer(i64::from(!live));
    Ok(())
}

fn hdel(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let args = call.args;
    let key = call.unit.key(call.db, args.get(1));
    let now_ms = call.unit.now_ms();
    let Some(view) = call.unit.get_to_change(&key) else {
        call.reply.integer(0);
        return Ok(());
    };
    let before = Before::of(Some(&view))?;
    let hash = hash_of(&view, now_ms)?;
    let (mut gone, mut gone_count, mut live_count) = (GoneMembers::default(), 0, 0);
    for field in distinct(args.iter_from(2)) {
        if hash.members().get(field).is_some() {
            gone.push(field);
            gone_count += 1;
            live_count += i64::from(hash.get(field).is_some());
        }
    }
    let shape = before.shape_with(call.encodings, 0, 0);
    edit_or_delete(call.unit, &key, shape, gone.edit(), (before.len, gone_count));
    call.reply.integer(live_count);
    Ok(())
}
