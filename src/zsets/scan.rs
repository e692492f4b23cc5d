//! Commands that walk sorted sets or pick from them: ZSCAN, ZRANDMEMBER.

use crate::command::collection::{encoding_of, zset_of};
use crate::command::double;
use crate::command::encodings::zset;
use crate::command::member_scan::{self, MemberScan};
use crate::command::pick::Pick;
use crate::command::row::{block, first_key, key_arg, word};
use crate::command::spec::key_flag::{ACCESS, RO};
use crate::command::spec::{Arg, ArgKind, Call, Command, Failure, Group, Spec, flag};
use crate::command::zset::read_zset;
use crate::value::score::{self, Scored};
use crate::value::view::ZsetRef;

use super::reply::reply_scored;

/// What the rows of this file have in common.
const ROW: Spec = Spec {
    flags: flag::READONLY,
    keys: &[first_key(RO | ACCESS)],
    group: Group::SortedSet,
    tips: &["nondeterministic_output"],
    ..Spec::EMPTY
};

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "zscan",
            arity: -3,
            since: "2.8.0",
            complexity: "O(1) for each call, O(N) for a whole scan of N members.",
            summary: "Walks the members of a sorted set page by page.",
            args: &[
                key_arg(),
                Arg::new("cursor", ArgKind::Integer),
                Arg::new("pattern", ArgKind::Pattern).behind("MATCH").optional(),
                Arg::new("count", ArgKind::Integer).behind("COUNT").optional(),
            ],
            ..ROW
        },
        run: zscan,
    },
    Command {
        spec: Spec {
            name: "zrandmember",
            arity: -2,
            since: "6.2.0",
            complexity: "O(N) for N members that are told.",
            summary: "Tells members that are picked at random.",
            args: &[
                key_arg(),
                block(
                    "options",
                    &[
                        Arg::new("count", ArgKind::Integer),
                        word("withscores", "WITHSCORES").optional(),
                    ],
                )
                .optional(),
            ],
            ..ROW
        },
        run: zrandmember,
    },
];

fn zscan(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let cursor = member_scan::cursor(call.args)?;
    let key = call.unit.key(call.db, call.args.get(1));
    let Some(view) = call.unit.get(&key) else {
        member_scan::reply_end(call.reply);
        return Ok(());
    };
    let (members, is_small) = (zset_of(&view)?, encoding_of(view.value) == zset::LISTPACK);
    let scan = MemberScan::parse(cursor, call.args, false)?;
    let mut found: Vec<Scored<'_>> = Vec::new();
    let next = match members {
        ZsetRef::Large(zset) if !is_small => scan.page(zset.members(), |item| {
            found.push((score::decode(item.payload).unwrap_or_default(), item.member));
        }),
        _ => {
            let all = members.iter_from_rank(0, false);
            found.extend(all.filter(|(_, member)| scan.accepts(member)));
            0
        }
    };
    let text_of = if is_small { double::text } else { double::seventeen_digits };
    call.reply.array(2);
    call.reply.bulk_integer(next as i64);
    call.reply.array(2 * found.len());
    for (score, member) in found {
        call.reply.bulk(member);
        call.reply.bulk(text_of(score).as_bytes());
    }
    Ok(())
}

/// The member in a place of no particular order, in constant or logarithmic time.
fn member_at<'a>(zset: &ZsetRef<'a>, place: u64) -> Option<Scored<'a>> {
    match zset {
        ZsetRef::Packed(_) => zset.iter_from_rank(place, false).next(),
        ZsetRef::Large(zset) => {
            let item = zset.members().at_rank(place)?;
            Some((score::decode(item.payload).unwrap_or_default(), item.member))
        }
    }
}

fn zrandmember(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let args = call.args;
    let key = call.unit.key(call.db, args.get(1));
    let mut random = call.unit.random();
    if args.len() == 2 {
        let zset = read_zset(call.unit, &key)?;
        match zset.and_then(|zset| member_at(&zset, Pick::one(zset.len(), &mut random))) {
            Some((_, member)) => call.reply.bulk(member),
            None => call.reply.null(),
        }
        return Ok(());
    }
    let count = Pick::count(args.get(2))?;
    let with_scores = args.len() > 3;
    if args.len() > 4 || (with_scores && !args.is(3, "WITHSCORES")) {
        return Err(Failure::Syntax);
    }
    Pick::check(count, with_scores)?;
    let Some(zset) = read_zset(call.unit, &key)? else {
        call.reply.array(0);
        return Ok(());
    };
    let mut found: Vec<Scored<'_>> = Vec::new();
    Pick::each(count, zset.len(), &mut random, |place| {
        found.extend(member_at(&zset, place));
        found.last().map_or(0, |(_, member)| member.len())
    })?;
    reply_scored(call.reply, found.len(), found.into_iter(), with_scores);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{run, unit};

    #[test]
    fn scores_are_written_as_the_encoding_has_them() {
        let unit = &mut unit();
        run(unit, &["ZADD", "z", "0.1", "a"]);
        assert_eq!(run(unit, &["ZSCAN", "z", "0"]), "*2 $1 0 *2 $1 a $3 0.1");
        let long = "l".repeat(65);
        run(unit, &["ZADD", "z", "1", &long]);
        let reply = run(unit, &["ZSCAN", "z", "0", "MATCH", "a"]);
        assert_eq!(reply, "*2 $1 0 *2 $1 a $19 0.10000000000000001");
    }

    #[test]
    fn a_scan_looks_at_the_cursor_then_the_key_then_options() {
        let unit = &mut unit();
        run(unit, &["SET", "s", "x"]);
        run(unit, &["ZADD", "z", "1", "a"]);
        assert_eq!(run(unit, &["ZSCAN", "none", "x"]), "-ERR invalid cursor");
        assert_eq!(run(unit, &["ZSCAN", "none", "7 "]), "-ERR invalid cursor");
        assert_eq!(run(unit, &["ZSCAN", "none", " 7"]), "*2 $1 0 *0");
        assert_eq!(run(unit, &["ZSCAN", "none", "0", "COUNT", "x"]), "*2 $1 0 *0");
        assert!(run(unit, &["ZSCAN", "s", "0", "COUNT", "x"]).starts_with("-WRONGTYPE"));
        assert_eq!(run(unit, &["ZSCAN", "z", "0", "COUNT", "0"]), "-ERR syntax error");
        assert_eq!(
            run(unit, &["ZSCAN", "z", "0", "NOVALUES"]),
            "-ERR NOVALUES option can only be used in HSCAN"
        );
    }

    #[test]
    fn every_member_of_a_large_sorted_set_is_scanned_once_and_may_be_picked() {
        let unit = &mut unit();
        let mut command = vec!["ZADD".to_owned(), "z".to_owned()];
        (0..1000).for_each(|n| command.extend([n.to_string(), format!("m{n:04}")]));
        run(unit, &command);
        let (mut cursor, mut seen) = ("0".to_owned(), Vec::new());
        loop {
            let reply = run(unit, &["ZSCAN", "z", &cursor, "COUNT", "20"]);
            let words: Vec<&str> = reply.split(' ').collect();
            seen.extend(words.iter().filter(|w| w.starts_with('m')).map(|w| (*w).to_owned()));
            cursor = words[2].to_owned();
            if cursor == "0" {
                break;
            }
        }
        seen.sort_unstable();
        assert!(seen.iter().eq(command[3..].iter().step_by(2)));
        assert!(run(unit, &["ZRANDMEMBER", "z"]).starts_with("$5 m"));
        assert!(run(unit, &["ZRANDMEMBER", "z", "10", "WITHSCORES"]).starts_with("*20 $5 m"));
        assert!(run(unit, &["ZRANDMEMBER", "z", "5000"]).starts_with("*1000 "));
        assert!(run(unit, &["ZRANDMEMBER", "z", "-3000"]).starts_with("*3000 "));
        let error = "-ERR value is out of range";
        assert_eq!(run(unit, &["ZRANDMEMBER", "z", "-9223372036854775807"]), error);
    }

    #[test]
    fn what_is_not_there_is_not_picked() {
        let unit = &mut unit();
        assert_eq!(run(unit, &["ZRANDMEMBER", "none"]), "$-1");
        assert_eq!(run(unit, &["ZRANDMEMBER", "none", "3"]), "*0");
        assert_eq!(run(unit, &["ZRANDMEMBER", "none", "3", "x"]), "-ERR syntax error");
    }
}
