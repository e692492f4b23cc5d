//! Commands that pick members at random: SPOP, SRANDMEMBER.

use crate::command::collection::{GoneMembers, edit_or_delete};
use crate::command::encodings::{Encodings, set};
use crate::command::number::parse_integer;
use crate::command::pick::Pick;
use crate::command::row::{first_key, key_arg};
use crate::command::spec::key_flag::{ACCESS, DELETE, RO, RW};
use crate::command::spec::{
    Arg, ArgKind, Call, Command, Copies, Failure, FirstMember, Group, Spec, flag,
};
use crate::types::ValueKind;

use super::value::{Growth, SetRef, read_set, set_of};

/// Redis makes a new set of what is left when that is no more than a fifth of what is popped.
const POPPED_PER_LEFT: u64 = 5;

/// What the rows of this file have in common.
const ROW: Spec =
    Spec { arity: -2, group: Group::Set, tips: &["nondeterministic_output"], ..Spec::EMPTY };

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "spop",
            flags: flag::WRITE | flag::FAST | flag::FREES | flag::COPIES,
            keys: &[first_key(RW | ACCESS | DELETE)],
            complexity: "O(N) for N members that are popped.",
            summary: "Removes and tells members that are picked at random.",
            args: &[key_arg(), Arg::new("count", ArgKind::Integer).optional().since("3.2.0")],
            history: &[("3.2.0", "Takes a `count`.")],
            copies: Copies::Sized(|args, sizes| {
                let count = if args.len() > 2 { parse_integer(args.get(2)) } else { Some(1) };
                let count = count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0);
                sizes.iter().map(|size| size.of_items(count)).max().unwrap_or(0)
            }),
            first_member: FirstMember::Random,
            ..ROW
        },
        run: spop,
    },
    Command {
        spec: Spec {
            name: "srandmember",
            flags: flag::READONLY,
            keys: &[first_key(RO | ACCESS)],
            complexity: "O(N) for N members that are told.",
            summary: "Tells members that are picked at random.",
            args: &[key_arg(), Arg::new("count", ArgKind::Integer).optional().since("2.6.0")],
            history: &[("2.6.0", "Takes a `count`.")],
            first_member: FirstMember::Random,
            ..ROW
        },
        run: srandmember,
    },
];

fn spop(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let args = call.args;
    if args.len() > 3 {
        return Err(Failure::Syntax);
    }
    let count = (args.len() == 3).then(|| positive(args.get(2))).transpose()?;
    let key = call.unit.key(call.db, args.get(1));
    let mut random = call.unit.random();
    let view = call.unit.get_to_change(&key);
    let Some(set) = view.map(|view| set_of(&view)).transpose()? else {
        match count {
            Some(_) => call.reply.set(0),
            None => call.reply.null(),
        }
        return Ok(());
    };
    let len = set.card();
    let wanted = count.map_or(1, |count| count.min(len as i64));
    let places = Pick::many(wanted, len, &mut random);
    let encoding = encoding_without(&set, &places, count.is_some(), call.encodings);
    if count.is_some() {
        call.reply.set(places.len());
    }
    let mut gone = GoneMembers::default();
    for place in &places {
        let member = set.at(*place);
        call.reply.bulk(member);
        if (places.len() as u64) < len {
            gone.push(member);
        }
    }
    let (shape, gone_count) = (ValueKind::Set.shape(encoding), places.len() as u64);
    edit_or_delete(call.unit, &key, shape, gone.edit(), (len, gone_count));
    Ok(())
}

/// A count that is not negative.
fn positive(text: &[u8]) -> Result<i64, Failure> {
    let count = parse_integer(text).filter(|count| *count >= 0);
    count.ok_or(Failure::text("ERR value is out of range, must be positive"))
}

/// The encoding of a set after members in ascending `places` were popped.
fn encoding_without(
    set: &SetRef<'_>,
    places: &[u64],
    has_count: bool,
    encodings: &Encodings,
) -> u8 {
    let popped = places.len() as u64;
    let left = set.card() - popped;
    let is_new_set = has_count && left * POPPED_PER_LEFT <= popped;
    if !is_new_set || set.encoding != set::HASHTABLE || left > encodings.set_entries {
        return set.encoding;
    }
    let mut growth = Growth::new(encodings, set::LISTPACK);
    let mut places = places.iter().peekable();
    for (place, member) in (0..).zip(set.iter()) {
        if places.next_if(|popped| **popped == place).is_none() {
            growth.add(member);
        }
    }
    growth.encoding()
}

fn srandmember(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let args = call.args;
    if args.len() > 3 {
        return Err(Failure::Syntax);
    }
    let count = (args.len() == 3).then(|| Pick::count(args.get(2))).transpose()?;
    let key = call.unit.key(call.db, args.get(1));
    let mut random = call.unit.random();
    let set = read_set(call.unit, &key)?;
    match (set, count) {
        (None, None) => call.reply.null(),
        (None, Some(_)) => call.reply.array(0),
        (Some(set), None) => call.reply.bulk(set.at(Pick::one(set.card(), &mut random))),
        (Some(set), Some(count)) => {
            call.reply.array(Pick::told(count, set.card())? as usize);
            Pick::each(count, set.card(), &mut random, |place| {
                let member = set.at(place);
                call.reply.bulk(member);
                member.len()
            })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::command::testing::{run, run_bytes, unit};
    use crate::engine::unit::Unit;

    fn encoding(unit: &mut Unit<'_>, key: &str) -> String {
        let reply = run(unit, &["OBJECT", "ENCODING", key]);
        reply.split(' ').next_back().unwrap_or_default().to_owned()
    }

    fn add(unit: &mut Unit<'_>, key: &str, prefix: &str, count: u32) {
        let mut args = vec!["SADD".to_owned(), key.to_owned()];
        args.extend((0..count).map(|number| format!("{prefix}{number}")));
        run(unit, &args);
    }

    /// The strings of an array reply.
    fn strings(unit: &mut Unit<'_>, args: &[&str]) -> Vec<String> {
        let reply = String::from_utf8(run_bytes(unit, args)).unwrap();
        let lines = reply.split("\r\n").skip(1).filter(|line| !line.starts_with('$'));
        lines.filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn what_is_popped_is_gone() {
        for count in [20, 100, 1000] {
            let mut unit = unit();
            add(&mut unit, "s", "member ", count);
            let mut seen = BTreeSet::new();
            seen.extend(strings(&mut unit, &["SPOP", "s", "7"]));
            assert_eq!(seen.len(), 7);
            let one = run(&mut unit, &["SPOP", "s"]);
            assert!(one.contains("member "));
            assert_eq!(run(&mut unit, &["SCARD", "s"]), format!(":{}", count - 8));
            for member in &seen {
                assert_eq!(run(&mut unit, &["SISMEMBER", "s", member]), ":0");
            }
            let rest = strings(&mut unit, &["SPOP", "s", "9223372036854775807"]);
            assert_eq!(rest.len() as u32, count - 8);
            assert!(rest.iter().all(|member| !seen.contains(member)));
            assert_eq!(run(&mut unit, &["EXISTS", "s"]), ":0");
        }
    }

    #[test]
    fn a_pop_of_nothing_changes_nothing() {
        let mut unit = unit();
        add(&mut unit, "s", "", 3);
        run(&mut unit, &["SET", "t", "x"]);
        assert_eq!(run(&mut unit, &["SPOP", "s", "0"]), "*0");
        assert_eq!(run(&mut unit, &["SPOP", "no"]), "$-1");
        assert_eq!(run(&mut unit, &["SPOP", "no", "5"]), "*0");
        let text = "-ERR value is out of range, must be positive";
        assert_eq!(run(&mut unit, &["SPOP", "t", "-1"]), text);
        assert_eq!(run(&mut unit, &["SPOP", "t", "x"]), text);
        assert_eq!(run(&mut unit, &["SPOP", "t", "1", "2"]), "-ERR syntax error");
        assert!(run(&mut unit, &["SPOP", "t", "0"]).starts_with("-WRONGTYPE"));
        assert_eq!(run(&mut unit, &["SCARD", "s"]), ":3");
    }

    /// What a valkey-server 8.1 answers.
    #[test]
    fn most_of_a_table_popped_leaves_a_listpack() {
        let cases = [
            ("m", 200, "166", "hashtable"),
            ("m", 200, "167", "listpack"),
            ("m", 1000, "850", "hashtable"),
            ("", 600, "590", "listpack"),
            ("", 200, "190", "intset"),
            ("m", 100, "99", "listpack"),
        ];
        for (prefix, len, count, expected) in cases {
            let mut unit = unit();
            add(&mut unit, "s", prefix, len);
            run(&mut unit, &["SPOP", "s", count]);
            assert_eq!(encoding(&mut unit, "s"), expected, "{len} {count}");
        }
        let mut unit = unit();
        run(&mut unit, &["SADD", "s", &"x".repeat(65), &"y".repeat(65)]);
        run(&mut unit, &["SPOP", "s"]);
        assert_eq!(encoding(&mut unit, "s"), "hashtable");
    }

    #[test]
    fn a_positive_count_tells_each_member_once() {
        for len in [20, 1000] {
            let mut unit = unit();
            add(&mut unit, "s", "m", len);
            for count in [0, 1, 5, 19, 20, 5000] {
                let told = strings(&mut unit, &["SRANDMEMBER", "s", &count.to_string()]);
                let distinct: BTreeSet<&String> = told.iter().collect();
                assert_eq!((told.len(), distinct.len() as u32), (distinct.len(), count.min(len)));
            }
            let told = strings(&mut unit, &["SRANDMEMBER", "s", "-3000"]);
            let distinct: BTreeSet<&String> = told.iter().collect();
            assert_eq!(told.len(), 3000);
            assert!(distinct.len() as u32 > len * 9 / 10);
            assert_eq!(run(&mut unit, &["SCARD", "s"]), format!(":{len}"));
        }
    }

    #[test]
    fn counts_that_no_reply_can_hold_are_refused() {
        let mut unit = unit();
        run(&mut unit, &["SADD", "s", "x"]);
        for count in ["-9223372036854775807", "-16777217"] {
            let reply = run(&mut unit, &["SRANDMEMBER", "s", count]);
            assert_eq!(reply, "-ERR value is out of range", "{count}");
            assert_eq!(run(&mut unit, &["SRANDMEMBER", "no", count]), "*0");
        }
        assert_eq!(
            run(&mut unit, &["SRANDMEMBER", "s", "-9223372036854775808"]),
            "-ERR value is out of range, value must between -9223372036854775807 and \
             9223372036854775807"
        );
        let reply = run(&mut unit, &["SRANDMEMBER", "s", "x"]);
        assert_eq!(reply, "-ERR value is not an integer or out of range");
        assert_eq!(run(&mut unit, &["SRANDMEMBER", "s", "x", "y"]), "-ERR syntax error");
        assert_eq!(run(&mut unit, &["SRANDMEMBER", "no"]), "$-1");
    }
}
