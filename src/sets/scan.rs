//! SSCAN.

use crate::command::encodings::set;
use crate::command::member_scan::{self, MemberScan};
use crate::command::row::{first_key, key_arg};
use crate::command::spec::key_flag::{ACCESS, RO};
use crate::command::spec::{Arg, ArgKind, Call, Command, Failure, Group, Spec, flag};

use super::value::read_set;

/// The rows of this file.
pub const COMMANDS: &[Command] = &[Command {
    spec: Spec {
        name: "sscan",
        arity: -3,
        flags: flag::READONLY,
        keys: &[first_key(RO | ACCESS)],
        group: Group::Set,
        since: "2.8.0",
        complexity: "O(1) for each call, O(N) for a whole scan of N members.",
        summary: "Walks the members of a set page by page.",
        args: &[
            key_arg(),
            Arg::new("cursor", ArgKind::Integer),
            Arg::new("pattern", ArgKind::Pattern).behind("MATCH").optional(),
            Arg::new("count", ArgKind::Integer).behind("COUNT").optional(),
        ],
        tips: &["nondeterministic_output"],
        ..Spec::EMPTY
    },
    run: sscan,
}];

fn sscan(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let cursor = member_scan::cursor(call.args)?;
    let key = call.unit.key(call.db, call.args.get(1));
    let Some(set) = read_set(call.unit, &key)? else {
        member_scan::reply_end(call.reply);
        return Ok(());
    };
    let scan = MemberScan::parse(cursor, call.args, false)?;
    let mut found: Vec<&[u8]> = Vec::new();
    let at_once = set.encoding != set::HASHTABLE;
    let next = scan.walk(set.members, at_once, |item| found.push(item.member));
    call.reply.array(2);
    call.reply.bulk_integer(next as i64);
    call.reply.array(found.len());
    found.iter().for_each(|member| call.reply.bulk(member));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::command::testing::{run, run_bytes, unit};
    use crate::engine::unit::Unit;

    fn add(unit: &mut Unit<'_>, prefix: &str, count: u32) {
        let mut args = vec!["SADD".to_owned(), "s".to_owned()];
        args.extend((0..count).map(|number| format!("{prefix}{number}")));
        run(unit, &args);
    }

    /// Cursor and members of a page.
    fn page(unit: &mut Unit<'_>, args: &[&str]) -> (String, Vec<String>) {
        let reply = String::from_utf8(run_bytes(unit, args)).unwrap();
        let mut lines = reply.split("\r\n").filter(|line| !line.starts_with(['$', '*']));
        let cursor = lines.next().unwrap_or_default().to_owned();
        (cursor, lines.filter(|line| !line.is_empty()).map(str::to_owned).collect())
    }

    #[test]
    fn a_scan_tells_every_member_once() {
        let mut unit = unit();
        add(&mut unit, "m", 1000);
        let (mut cursor, mut found, mut pages) = ("0".to_owned(), Vec::new(), 0);
        loop {
            let (next, members) = page(&mut unit, &["SSCAN", "s", &cursor, "COUNT", "30"]);
            found.extend(members);
            (cursor, pages) = (next, pages + 1);
            if cursor == "0" {
                break;
            }
        }
        assert!(pages > 10, "{pages}");
        assert_eq!((found.len(), found.iter().collect::<BTreeSet<_>>().len()), (1000, 1000));
    }

    #[test]
    fn what_redis_keeps_in_one_piece_comes_in_one_page() {
        for (prefix, count) in [("", 512), ("m", 128)] {
            let mut unit = unit();
            add(&mut unit, prefix, count);
            let (cursor, members) = page(&mut unit, &["SSCAN", "s", "0", "COUNT", "1"]);
            assert_eq!((cursor.as_str(), members.len() as u32), ("0", count));
            let pattern = format!("{prefix}1?");
            let (_, members) = page(&mut unit, &["SSCAN", "s", "0", "MATCH", &pattern]);
            assert_eq!(members.len(), 10);
        }
    }

    #[test]
    fn options_are_looked_at_behind_the_key() {
        let mut unit = unit();
        add(&mut unit, "m", 1);
        run(&mut unit, &["SET", "t", "x"]);
        assert_eq!(run(&mut unit, &["SSCAN", "no", "x"]), "-ERR invalid cursor");
        assert_eq!(run(&mut unit, &["SSCAN", "no", "0", "BAD"]), "*2 $1 0 *0");
        assert!(run(&mut unit, &["SSCAN", "t", "0", "BAD"]).starts_with("-WRONGTYPE"));
        for options in [&["BAD"][..], &["COUNT"], &["COUNT", "0"], &["TYPE", "set"]] {
            let args = [&["SSCAN", "s", "0"], options].concat();
            assert_eq!(run(&mut unit, &args), "-ERR syntax error");
        }
        let reply = run(&mut unit, &["SSCAN", "s", "0", "NOVALUES"]);
        assert_eq!(reply, "-ERR NOVALUES option can only be used in HSCAN");
    }
}
