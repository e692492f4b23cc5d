//! A command that gives pending entries back to their group: XNACK.

use std::collections::BTreeMap;

use crate::command::args::Args;
use crate::command::number::{integer, parse_integer};
use crate::command::row::{block, first_key, key_arg, one_of, word};
use crate::command::spec::key_flag::{RW, UPDATE};
use crate::command::spec::{
    Arg, ArgKind, Call, Command, Failure, Group as Family, Spec, flag, quoted,
};
use crate::value::stream_fact::{DELIVERIES_MAX, Delivery, Holder};
use crate::value::stream_id::StreamId;

use super::id;
use super::pending::no_key_or_group;
use super::value::{FACT_BYTES, NewFacts, key_bytes, pending, stream_to_change, with_group};

/// The rows of this file.
pub const COMMANDS: &[Command] = &[Command {
    spec: Spec {
        name: "xnack",
        arity: -7,
        flags: flag::WRITE | flag::FAST,
        keys: &[first_key(RW | UPDATE)],
        group: Family::Stream,
        since: "8.8.0",
        complexity: "O(log N) for each ID, in a group with N pending entries.",
        summary: "Gives pending entries back to their group, for any consumer to claim.",
        args: &[
            key_arg(),
            Arg::new("group", ArgKind::String),
            one_of(
                "mode",
                &[word("silent", "SILENT"), word("fail", "FAIL"), word("fatal", "FATAL")],
            ),
            block(
                "ids",
                &[Arg::new("numids", ArgKind::Integer), Arg::new("id", ArgKind::String).multiple()],
            )
            .behind("IDS"),
            Arg::new("count", ArgKind::Integer).behind("RETRYCOUNT").optional(),
            word("force", "FORCE").optional(),
        ],
        extra_bytes: Some(|args, _| args.len() as u64 * FACT_BYTES + key_bytes(args)),
        ..Spec::EMPTY
    },
    run: xnack,
}];

/// What becomes of the number of deliveries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    /// This one did not count.
    Silent,
    /// This one counts.
    Fail,
    /// There is to be no other.
    Fatal,
}

impl Mode {
    fn parse(args: &Args<'_>, index: usize) -> Result<Mode, Failure> {
        let modes = [("SILENT", Mode::Silent), ("FAIL", Mode::Fail), ("FATAL", Mode::Fatal)];
        let found = modes.into_iter().find(|(name, _)| args.is(index, name));
        let found = found.map(|(_, mode)| mode);
        found.ok_or(Failure::text("ERR mode must be SILENT, FAIL, or FATAL"))
    }
}

/// What is given back, and how.
struct Release {
    mode: Mode,
    /// The number of deliveries that is noted, whatever the mode.
    count: Option<u64>,
    /// Whether entries that are not pending become so.
    force: bool,
    ids: Vec<StreamId>,
}

impl Release {
    fn parse(args: &Args<'_>) -> Result<Release, Failure> {
        let mode = Mode::parse(args, 3)?;
        let (mut ids, mut count, mut force, mut index) = (None, None, false, 4);
        while index < args.len() {
            let more = index + 1 < args.len();
            if more && args.is(index, "IDS") {
                let given = parse_integer(args.get(index + 1));
                let given = given.filter(|given| (1..=i64::from(i32::MAX)).contains(given));
                let text = Failure::text("ERR numids must be a positive integer");
                let given = given.ok_or(text)? as usize;
                if given > args.len() - index - 2 {
                    return Err(Failure::text("ERR number of IDs doesn't match numids"));
                }
                ids = Some(index + 2..index + 2 + given);
                index += 2 + given;
            } else if args.is(index, "FORCE") {
                force = true;
                index += 1;
            } else if more && args.is(index, "RETRYCOUNT") {
                let given = u64::try_from(integer(args.get(index + 1))?);
                let text = Failure::text("ERR Invalid RETRYCOUNT value, must be >= 0");
                count = Some(given.map_err(|_| text)?);
                index += 2;
            } else {
                let option = quoted(args.get(index));
                return Err(Failure::quoting(&[b"ERR Unrecognized XNACK option '", option, b"'"]));
            }
        }
        let ids = ids.ok_or(Failure::text("ERR syntax error, expected IDS keyword"))?;
        let ids: Result<Vec<StreamId>, Failure> =
            ids.map(|index| id::parse(args.get(index), 0)).collect();
        Ok(Release { mode, count, force, ids: ids? })
    }

    /// How often an entry was delivered that was so often before.
    fn count(&self, before: u64) -> u64 {
        match (self.count, self.mode) {
            (Some(count), _) => count,
            (None, Mode::Silent) => before.saturating_sub(1),
            (None, Mode::Fail) => before,
            (None, Mode::Fatal) => DELIVERIES_MAX,
        }
    }
}

fn xnack(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let args = call.args;
    let key = call.unit.key(call.db, args.get(1));
    let stream = stream_to_change(call.unit, &key)?;
    let found = with_group(stream, args.get(2));
    let (stream, group) = found.ok_or_else(|| no_key_or_group(key.bytes, args.get(2)))?;
    let asked = Release::parse(args)?;
    // What this call has made of an entry: one that is named again moves behind the others.
    let mut released = BTreeMap::new();
    let mut count = 0;
    for (place, id) in (group.free_place()..).zip(&asked.ids) {
        let known = released.get(id).or(group.pending().get(id));
        let before = match known {
            Some(delivery) => delivery.count,
            // One that was never delivered.
            None if asked.force && stream.get(*id).is_some() => 0,
            None => continue,
        };
        let delivery = Delivery { holder: Holder::Nobody { place }, count: asked.count(before) };
        released.insert(*id, delivery);
        count += 1;
    }
    let mut facts = NewFacts::default();
    released.iter().for_each(|(id, delivery)| facts.push(&pending(group, *id, *delivery)));
    facts.put(call.unit, &key);
    call.reply.integer(count);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{run, unit};
    use crate::engine::unit::Unit;

    /// Four entries, of which a consumer has three.
    fn read(unit: &mut Unit<'_>) {
        for id in ["1-1", "2-1", "3-1", "4-1"] {
            run(unit, &["XADD", "s", id, "f", "v"]);
        }
        run(unit, &["XGROUP", "CREATE", "s", "g", "0"]);
        run(unit, &["XREADGROUP", "GROUP", "g", "c", "COUNT", "3", "STREAMS", "s", ">"]);
    }

    fn nack(unit: &mut Unit<'_>, rest: &[&str]) -> String {
        run(unit, &[&["XNACK", "s", "g"], rest].concat())
    }

    fn listed(unit: &mut Unit<'_>, rest: &[&str]) -> String {
        run(unit, &[&["XPENDING", "s", "g"], rest].concat())
    }

    #[test]
    fn what_is_given_back_is_nobodys_and_its_deliveries_are_counted() {
        let unit = &mut unit();
        read(unit);
        assert_eq!(nack(unit, &["SILENT", "IDS", "2", "1-1", "9-9"]), ":1");
        assert_eq!(nack(unit, &["FAIL", "IDS", "1", "2-1"]), ":1");
        assert_eq!(nack(unit, &["fatal", "FORCE", "IDS", "3", "3-1", "4-1", "9-9"]), ":2");
        let (none, highest) = ("$0  :-1", "9223372036854775807");
        let all = format!(
            "*4 *4 $3 1-1 {none} :0 *4 $3 2-1 {none} :1 *4 $3 3-1 {none} :{highest} \
             *4 $3 4-1 {none} :{highest}"
        );
        assert_eq!(listed(unit, &["-", "+", "9"]), all);
        assert_eq!(listed(unit, &["IDLE", "99", "-", "+", "9"]), all, "however long ago that was");
        assert_eq!(listed(unit, &["-", "+", "9", "c"]), "*0");
        assert_eq!(listed(unit, &[]), "*4 :4 $3 1-1 $3 4-1 *0");
        assert_eq!(nack(unit, &["FATAL", "RETRYCOUNT", "7", "IDS", "2", "1-1", "1-1"]), ":2");
        assert_eq!(nack(unit, &["SILENT", "IDS", "2", "2-1", "2-1"]), ":2");
        let one = |id: &str, count: u64| format!("*1 *4 $3 {id} {none} :{count}");
        assert_eq!(listed(unit, &["1-1", "1-1", "9"]), one("1-1", 7));
        assert_eq!(listed(unit, &["2-1", "2-1", "9"]), one("2-1", 0));
        let full = run(unit, &["XINFO", "STREAM", "s", "FULL"]);
        assert!(
            full.contains("$9 pel-count :4 $12 nacked-count :4 $7 pending *4 *4 $3 1-1 $0  :0")
        );
        assert_eq!(run(unit, &["XACK", "s", "g", "1-1", "2-1"]), ":2");
        assert_eq!(run(unit, &["XGROUP", "DELCONSUMER", "s", "g", "c"]), ":0");
        assert_eq!(listed(unit, &[]), "*4 :2 $3 3-1 $3 4-1 *0");
    }

    #[test]
    fn what_is_nobodys_is_claimed_first_and_at_once() {
        let unit = &mut unit();
        read(unit);
        run(unit, &["XCLAIM", "s", "g", "c", "0", "1-1", "TIME", "0", "JUSTID"]);
        nack(unit, &["FAIL", "IDS", "2", "3-1", "2-1"]);
        nack(unit, &["FAIL", "IDS", "1", "3-1"]);
        let claim = |unit: &mut _, command: &str, rest: &[&str]| {
            run(unit, &[&[command, "s", "g", "d", "99999999999999"], rest].concat())
        };
        let read = |unit: &mut _, count: &str, claim: &str| {
            let call = ["GROUP", "g", "d", "COUNT", count, "CLAIM", claim, "STREAMS", "s", ">"];
            run(unit, &[&["XREADGROUP"], &call[..]].concat())
        };
        let first = read(unit, "2", "1500000000000");
        let entry = |id: &str| format!("*4 $3 {id} *2 $1 f $1 v :1600000000000 :1");
        assert_eq!(first, format!("*1 *2 $1 s *2 {} {}", entry("2-1"), entry("3-1")));
        nack(unit, &["FATAL", "IDS", "2", "2-1", "3-1"]);
        assert_eq!(claim(unit, "XCLAIM", &["2-1"]), "*1 *2 $3 2-1 *2 $1 f $1 v");
        let scanned = claim(unit, "XAUTOCLAIM", &["-", "JUSTID"]);
        assert_eq!(scanned, "*3 $3 0-0 *1 $3 3-1 *0", "what others have is not idle for so long");
        let highest = "9223372036854775807";
        let own = format!("*2 *4 $3 2-1 $1 d :0 :{highest} *4 $3 3-1 $1 d :0 :{highest}");
        assert_eq!(listed(unit, &["-", "+", "9", "d"]), own, "the highest number stays");
        nack(unit, &["SILENT", "IDS", "1", "2-1"]);
        run(unit, &["XDEL", "s", "2-1"]);
        assert_eq!(claim(unit, "XCLAIM", &["2-1"]), "*0", "one that is gone is forgotten");
        assert_eq!(listed(unit, &["2-1", "2-1", "9"]), "*0");
    }

    #[test]
    fn what_is_nobodys_survives_a_payload() {
        let unit = &mut unit();
        read(unit);
        nack(unit, &["FATAL", "IDS", "2", "3-1", "1-1"]);
        let reply = crate::command::testing::run_bytes(unit, &["DUMP", "s"]);
        let head = reply.iter().position(|&byte| byte == b'\n').expect("a length") + 1;
        let payload = &reply[head..reply.len() - 2];
        let restore: [&[u8]; 5] = [b"RESTORE", b"s", b"0", payload, b"REPLACE"];
        let before = listed(unit, &["-", "+", "9"]);
        assert_eq!(run(unit, &restore), "+OK");
        assert_eq!(listed(unit, &["-", "+", "9"]), before);
        let call = ["GROUP", "g", "d", "COUNT", "1", "CLAIM", "5", "STREAMS", "s", ">"];
        let first = run(unit, &[&["XREADGROUP"], &call[..]].concat());
        assert!(first.starts_with("*1 *2 $1 s *1 *4 $3 3-1"), "in the same order: {first}");
    }

    #[test]
    fn bad_calls_are_refused_and_change_nothing() {
        let unit = &mut unit();
        read(unit);
        run(unit, &["SET", "string", "1"]);
        let before = listed(unit, &["-", "+", "9"]);
        let cases: [(&[&str], &str); 13] = [
            (
                &["t", "g", "MAYBE", "IDS", "1", "1"],
                "-NOGROUP No such key 't' or consumer group 'g'",
            ),
            (
                &["s", "h", "FAIL", "IDS", "1", "1"],
                "-NOGROUP No such key 's' or consumer group 'h'",
            ),
            (&["string", "g", "FAIL", "IDS", "1", "1"], "-WRONGTYPE"),
            (&["s", "g", "MAYBE", "IDS", "1", "1"], "-ERR mode must be SILENT, FAIL, or FATAL"),
            (&["s", "g", "FAIL", "IDS", "0", "1"], "-ERR numids must be a positive integer"),
            (&["s", "g", "FAIL", "IDS", "x", "1"], "-ERR numids must be a positive integer"),
            (&["s", "g", "FAIL", "IDS", "2147483648", "1"], "-ERR numids must be a positive"),
            (&["s", "g", "FAIL", "IDS", "3", "1-1"], "-ERR number of IDs doesn't match numids"),
            (&["s", "g", "FAIL", "IDS", "2", "1-1", "x"], "-ERR Invalid stream ID"),
            (&["s", "g", "FAIL", "IDS", "1", "1-1", "2-1"], "-ERR Unrecognized XNACK option '2-1'"),
            (&["s", "g", "FAIL", "FORCE", "FORCE", "FORCE"], "-ERR syntax error, expected IDS"),
            (
                &["s", "g", "FAIL", "IDS", "1", "1-1", "RETRYCOUNT", "-1"],
                "-ERR Invalid RETRYCOUNT value, must be >= 0",
            ),
            (
                &["s", "g", "FAIL", "RETRYCOUNT", "x", "IDS", "1", "1-1"],
                "-ERR value is not an integer",
            ),
        ];
        for (args, reply) in cases {
            let found = run(unit, &[&["XNACK"], args].concat());
            assert!(found.starts_with(reply), "{args:?}: {found}");
        }
        assert_eq!(listed(unit, &["-", "+", "9"]), before);
    }
}
