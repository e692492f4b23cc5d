//! Commands that walk hashes or pick from them: HSCAN, HRANDFIELD.

use crate::command::member_scan::MemberScan;
use crate::command::number::integer;
use crate::command::pick::Pick;
use crate::command::row::{block, first_key, key_arg, word};
use crate::command::spec::key_flag::{ACCESS, RO};
use crate::command::spec::{Arg, ArgKind, Call, Command, Failure, Group, Spec, flag};
use crate::resp::write::Protocol;
use crate::value::item::Item;
use crate::value::view::MembersRef;

use super::value::read_hash;

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "hscan",
            arity: -3,
            flags: flag::READONLY,
            keys: &[first_key(RO | ACCESS)],
            group: Group::Hash,
            since: "2.8.0",
            complexity: "O(1) for each call, O(N) for a whole scan of N fields.",
            summary: "Walks the fields of a hash page by page.",
            args: &[
                key_arg(),
                Arg::new("cursor", ArgKind::Integer),
                Arg::new("pattern", ArgKind::Pattern).behind("MATCH").optional(),
                Arg::new("count", ArgKind::Integer).behind("COUNT").optional(),
                word("novalues", "NOVALUES").optional().since("7.4.0"),
            ],
            tips: &["nondeterministic_output"],
            history: &[("7.4.0", "Takes `NOVALUES`.")],
            ..Spec::EMPTY
        },
        run: hscan,
    },
    Command {
        spec: Spec {
            name: "hrandfield",
            arity: -2,
            flags: flag::READONLY,
            keys: &[first_key(RO | ACCESS)],
            group: Group::Hash,
            since: "6.2.0",
            complexity: "O(N) for N fields that are told.",
            summary: "Tells fields that are picked at random.",
            args: &[
                key_arg(),
                block(
                    "options",
                    &[
                        Arg::new("count", ArgKind::Integer),
                        word("withvalues", "WITHVALUES").optional(),
                    ],
                )
                .optional(),
            ],
            tips: &["nondeterministic_output"],
            ..Spec::EMPTY
        },
        run: hrandfield,
    },
];

fn hscan(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let cursor = MemberScan::cursor(call.args)?;
    let key = call.unit.key(call.db, call.args.get(1));
    let mut found: Vec<Item<'_>> = Vec::new();
    let (mut next, mut without_values) = (0, false);
    if let Some(hash) = read_hash(call.unit, &key)? {
        let scan = MemberScan::parse(cursor, call.args, true)?;
        without_values = scan.without_values;
        match hash.members() {
            MembersRef::Packed(_) => {
                found.extend(hash.iter().filter(|item| scan.accepts(item.member)));
            }
            MembersRef::Large(members) => {
                next = scan.page(members, |item| {
                    if hash.is_live(&item) {
                        found.push(item);
                    }
                });
            }
        }
    }
    call.reply.array(2);
    call.reply.bulk_integer(next as i64);
    call.reply.array(found.len() * if without_values { 1 } else { 2 });
    for item in found {
        call.reply.bulk(item.member);
        if !without_values {
            call.reply.bulk(item.payload);
        }
    }
    Ok(())
}

fn hrandfield(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let args = call.args;
    let count = (args.len() > 2).then(|| integer(args.get(2))).transpose()?;
    if let Some(count) = count {
        Pick::check(count, false)?;
    }
    let with_values = args.len() > 3;
    if args.len() > 4 || (with_values && !args.is(3, "WITHVALUES")) {
        return Err(Failure::Syntax);
    }
    if let Some(count) = count {
        Pick::check(count, with_values)?;
    }
    let key = call.unit.key(call.db, args.get(1));
    let mut random = call.unit.random();
    let hash = read_hash(call.unit, &key)?;
    let Some(count) = count else {
        let item = hash.and_then(|hash| {
            let picked = Pick::one(hash.field_count(), &mut random);
            // One that is past its deadline gives way to the next that is not.
            hash.members().at(picked).filter(|item| hash.is_live(item)).or(hash.iter().next())
        });
        match item {
            Some(item) => call.reply.bulk(item.member),
            None => call.reply.null(),
        }
        return Ok(());
    };
    let picked: Vec<Item<'_>> = match hash {
        None => Vec::new(),
        Some(hash) if hash.live_len() as u64 == hash.field_count() => {
            let places = Pick::many(count, hash.field_count(), &mut random);
            places.into_iter().filter_map(|place| hash.members().at(place)).collect()
        }
        Some(hash) => {
            let live: Vec<Item<'_>> = hash.iter().collect();
            let places = Pick::many(count, live.len() as u64, &mut random);
            places.into_iter().map(|place| live[place as usize]).collect()
        }
    };
    let as_pairs = with_values && call.reply.protocol() == Protocol::Resp3;
    let replies = if with_values && !as_pairs { 2 } else { 1 };
    call.reply.array(picked.len() * replies);
    for item in picked {
        if as_pairs {
            call.reply.array(2);
        }
        call.reply.bulk(item.member);
        if with_values {
            call.reply.bulk(item.payload);
        }
    }
    Ok(())
}
