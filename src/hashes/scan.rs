//! Commands that walk hashes or pick from them: HSCAN, HRANDFIELD.

use crate::command::encodings::hash;
use crate::command::member_scan::{self, MemberScan};
use crate::command::pick::Pick;
use crate::command::row::{block, first_key, key_arg, word};
use crate::command::spec::key_flag::{ACCESS, RO};
use crate::command::spec::{Arg, ArgKind, Call, Command, Failure, Group, Spec, flag};
use crate::io::random::Random;
use crate::resp::write::{Protocol, Reply};
use crate::value::item::Item;

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
                word("novalues", "NOVALUES").optional(),
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
    let cursor = member_scan::cursor(call.args)?;
    let key = call.unit.key(call.db, call.args.get(1));
    let Some(hash) = read_hash(call.unit, &key)? else {
        member_scan::reply_end(call.reply);
        return Ok(());
    };
    let scan = MemberScan::parse(cursor, call.args, true)?;
    let mut found: Vec<Item<'_>> = Vec::new();
    let at_once = hash.encoding() != hash::HASHTABLE;
    let next = scan.walk(hash.members(), at_once, |item| {
        if hash.is_live(&item) {
            found.push(item);
        }
    });
    call.reply.array(2);
    call.reply.bulk_integer(next as i64);
    call.reply.array(found.len() * if scan.without_values { 1 } else { 2 });
    for item in found {
        call.reply.bulk(item.member);
        if !scan.without_values {
            call.reply.bulk(item.payload);
        }
    }
    Ok(())
}

fn hrandfield(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let args = call.args;
    let count = (args.len() > 2).then(|| Pick::count(args.get(2))).transpose()?;
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
    match (hash, count) {
        (None, None) => call.reply.null(),
        (None, Some(_)) => call.reply.array(0),
        (Some(hash), None) => {
            let picked = Pick::one(hash.field_count(), &mut random);
            // One that is past its deadline gives way to the first that is not.
            let picked = hash.members().at(picked).filter(|item| hash.is_live(item));
            match picked.or(hash.iter().next()) {
                Some(item) => call.reply.bulk(item.member),
                None => call.reply.null(),
            }
        }
        (Some(hash), Some(count)) if hash.live_len() as u64 == hash.field_count() => {
            let at = |place| hash.members().at(place).expect("the place is below the length");
            reply_picked(call.reply, count, with_values, (hash.field_count(), &mut random), at)?;
        }
        (Some(hash), Some(count)) => {
            let live: Vec<Item<'_>> = hash.iter().collect();
            let at = |place| live[place as usize];
            reply_picked(call.reply, count, with_values, (live.len() as u64, &mut random), at)?;
        }
    }
    Ok(())
}

/// Replies with fields that are picked among so many.
fn reply_picked<'u>(
    reply: &mut Reply<'_>,
    count: i64,
    with_values: bool,
    (len, random): (u64, &mut Random),
    at: impl Fn(u64) -> Item<'u>,
) -> Result<(), Failure> {
    let as_pairs = with_values && reply.protocol() == Protocol::Resp3;
    let replies = if with_values && !as_pairs { 2 } else { 1 };
    reply.array(Pick::told(count, len)? as usize * replies);
    Pick::each(count, len, random, |place| {
        let item = at(place);
        if as_pairs {
            reply.array(2);
        }
        reply.bulk(item.member);
        if with_values {
            reply.bulk(item.payload);
        }
        item.member.len() + if with_values { item.payload.len() } else { 0 }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::command::testing::{run, run_bytes, unit};
    use crate::engine::unit::Unit;

    /// HSET of so many fields, whose values are their numbers.
    fn fill(unit: &mut Unit<'_>, count: u32) {
        let mut args = vec!["HSET".to_owned(), "h".to_owned()];
        args.extend((0..count).flat_map(|number| [format!("f{number}"), number.to_string()]));
        run(unit, &args);
    }

    /// The strings of a reply, in order.
    fn strings(unit: &mut Unit<'_>, args: &[&str]) -> Vec<String> {
        let reply = String::from_utf8(run_bytes(unit, args)).unwrap();
        let lines = reply.split("\r\n").filter(|line| !line.starts_with(['$', '*']));
        lines.filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn a_scan_tells_every_field_once() {
        let mut unit = unit();
        fill(&mut unit, 1000);
        let (mut cursor, mut found, mut pages) = ("0".to_owned(), Vec::new(), 0);
        loop {
            let page = strings(&mut unit, &["HSCAN", "h", &cursor, "COUNT", "30"]);
            assert!(page[1..].chunks(2).all(|pair| pair[0] == format!("f{}", pair[1])));
            found.extend(page[1..].iter().step_by(2).cloned());
            (cursor, pages) = (page[0].clone(), pages + 1);
            if cursor == "0" {
                break;
            }
        }
        assert!(pages > 10, "{pages}");
        assert_eq!((found.len(), found.iter().collect::<BTreeSet<_>>().len()), (1000, 1000));
    }

    #[test]
    fn what_redis_keeps_in_one_piece_comes_in_one_page() {
        let mut unit = unit();
        fill(&mut unit, 512);
        let page = strings(&mut unit, &["HSCAN", "h", "0", "COUNT", "1"]);
        assert_eq!((page[0].as_str(), page.len()), ("0", 1 + 2 * 512));
        let page = strings(&mut unit, &["HSCAN", "h", "0", "MATCH", "f1?", "novalues"]);
        assert_eq!(page.len(), 1 + 10);
    }

    #[test]
    fn options_are_looked_at_behind_the_key() {
        let mut unit = unit();
        fill(&mut unit, 1);
        run(&mut unit, &["SET", "t", "x"]);
        assert_eq!(run(&mut unit, &["HSCAN", "no", "x"]), "-ERR invalid cursor");
        assert_eq!(run(&mut unit, &["HSCAN", "no", "0", "BAD"]), "*2 $1 0 *0");
        assert!(run(&mut unit, &["HSCAN", "t", "0", "BAD"]).starts_with("-WRONGTYPE"));
        assert_eq!(run(&mut unit, &["HSCAN", "h", "0", "BAD"]), "-ERR syntax error");
        assert_eq!(run(&mut unit, &["HSCAN", "h", "0", "COUNT", "0"]), "-ERR syntax error");
    }

    #[test]
    fn fields_are_picked() {
        for len in [20, 1000] {
            let mut unit = unit();
            fill(&mut unit, len);
            assert!(strings(&mut unit, &["HRANDFIELD", "h"])[0].starts_with('f'));
            for count in [0, 1, 5, 19, 20, 5000] {
                let args = ["HRANDFIELD", "h", &count.to_string(), "withvalues"];
                let told = strings(&mut unit, &args);
                assert!(told.chunks(2).all(|pair| pair[0] == format!("f{}", pair[1])));
                let distinct: BTreeSet<&String> = told.iter().step_by(2).collect();
                assert_eq!(distinct.len() as u32, count.min(len));
                assert_eq!(told.len(), 2 * distinct.len());
            }
            assert_eq!(strings(&mut unit, &["HRANDFIELD", "h", "-3000"]).len(), 3000);
        }
    }

    #[test]
    fn bad_counts_are_refused() {
        let mut unit = unit();
        fill(&mut unit, 3);
        let out_of_range = "-ERR value is out of range";
        let least = "-9223372036854775807";
        assert_eq!(run(&mut unit, &["HRANDFIELD", "no", least, "WITHVALUES"]), out_of_range);
        assert_eq!(run(&mut unit, &["HRANDFIELD", "no", least]), "*0");
        assert_eq!(run(&mut unit, &["HRANDFIELD", "h", least]), out_of_range);
        let reply = run(&mut unit, &["HRANDFIELD", "h", "-9223372036854775808", "x"]);
        assert!(reply.starts_with("-ERR value is out of range, value must between"));
        assert_eq!(run(&mut unit, &["HRANDFIELD", "h", "1", "x"]), "-ERR syntax error");
        let reply = run(&mut unit, &["HRANDFIELD", "h", "x", "x"]);
        assert_eq!(reply, "-ERR value is not an integer or out of range");
        assert_eq!(run(&mut unit, &["HRANDFIELD", "no"]), "$-1");
    }
}
