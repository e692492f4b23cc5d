//! Commands that read entries: XLEN, XRANGE, XREVRANGE.

use crate::command::number::integer;
use crate::command::row::{first_key, key_arg};
use crate::command::spec::key_flag::{ACCESS, RO};
use crate::command::spec::{Arg, ArgKind, Call, Command, Failure, Group, Spec, flag};

use super::id;
use super::value::{read_stream, reply_entry};

/// What the rows of this file have in common.
const ROW: Spec = Spec {
    arity: -4,
    flags: flag::READONLY,
    keys: &[first_key(RO | ACCESS)],
    group: Group::Stream,
    since: "5.0.0",
    complexity: "O(N) for N entries that are returned.",
    history: &[("6.2.0", "Takes IDs that are left out themselves, behind `(`.")],
    ..Spec::EMPTY
};

const START: Arg = Arg::new("start", ArgKind::String);
const END: Arg = Arg::new("end", ArgKind::String);
const COUNT: Arg = Arg::new("count", ArgKind::Integer).behind("COUNT").optional();

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "xlen",
            arity: 2,
            flags: flag::READONLY | flag::FAST,
            keys: &[first_key(RO)],
            complexity: "O(1)",
            summary: "Counts the entries.",
            args: &[key_arg()],
            history: &[],
            ..ROW
        },
        run: xlen,
    },
    Command {
        spec: Spec {
            name: "xrange",
            summary: "Returns the entries between two IDs.",
            args: &[key_arg(), START, END, COUNT],
            ..ROW
        },
        run: |call| range(call, false),
    },
    Command {
        spec: Spec {
            name: "xrevrange",
            summary: "Returns the entries between two IDs, the last one first.",
            args: &[key_arg(), END, START, COUNT],
            ..ROW
        },
        run: |call| range(call, true),
    },
];

fn xlen(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    let stream = read_stream(call.unit, &key)?;
    call.reply.integer(stream.map_or(0, |stream| stream.len()) as i64);
    Ok(())
}

fn range(call: &mut Call<'_, '_, '_>, backwards: bool) -> Result<(), Failure> {
    let args = call.args;
    let (start, end) = if backwards { (3, 2) } else { (2, 3) };
    let (from, to) = (id::parse_start(args.get(start))?, id::parse_end(args.get(end))?);
    let (mut count, mut index) = (u64::MAX, 4);
    while index < args.len() {
        if !args.is(index, "COUNT") || index + 1 == args.len() {
            return Err(Failure::Syntax);
        }
        count = integer(args.get(index + 1))?.max(0) as u64;
        index += 2;
    }
    let key = call.unit.key(call.db, args.get(1));
    let Some(stream) = read_stream(call.unit, &key)? else {
        call.reply.array(0);
        return Ok(());
    };
    if count == 0 {
        call.reply.null_array();
        return Ok(());
    }
    let count = if from > to { 0 } else { stream.count_between(from, to).min(count) as usize };
    call.reply.array(count);
    let reply = |entry| reply_entry(call.reply, &entry);
    match backwards {
        false => stream.range(from, to).take(count).for_each(reply),
        true => stream.range_back(from, to).take(count).for_each(reply),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{run, unit};

    #[test]
    fn ranges_go_both_ways_and_leave_ends_out() {
        let unit = &mut unit();
        ["1-1", "1-2", "2-1"].iter().for_each(|id| drop(run(unit, &["XADD", "s", id, "f", id])));
        assert_eq!(run(unit, &["XLEN", "s"]), ":3");
        let ids = |reply: String| {
            let words = reply.split(' ').map(str::to_owned).filter(|word| word.contains('-'));
            words.step_by(2).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(ids(run(unit, &["XRANGE", "s", "-", "+"])), "1-1 1-2 2-1");
        assert_eq!(ids(run(unit, &["XRANGE", "s", "1", "1"])), "1-1 1-2");
        assert_eq!(ids(run(unit, &["XRANGE", "s", "(1-1", "(2-1"])), "1-2");
        assert_eq!(ids(run(unit, &["XREVRANGE", "s", "+", "-", "COUNT", "2"])), "2-1 1-2");
        assert_eq!(run(unit, &["XRANGE", "s", "3", "1"]), "*0");
        assert_eq!(run(unit, &["XRANGE", "s", "-", "+", "COUNT", "0"]), "*-1");
        assert_eq!(run(unit, &["XRANGE", "none", "-", "+", "COUNT", "0"]), "*0");
        let one = run(unit, &["XRANGE", "s", "-", "+", "COUNT", "1"]);
        assert_eq!(one, "*1 *2 $3 1-1 *2 $1 f $3 1-1");
        assert!(run(unit, &["XRANGE", "s", "-", "+", "FOO", "1"]).starts_with("-ERR syntax"));
    }
}
