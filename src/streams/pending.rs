//! XPENDING: what a group has delivered, and nobody acknowledged.

use crate::command::args::Args;
use crate::command::number::integer;
use crate::command::row::{block, first_key, key_arg};
use crate::command::spec::key_flag::{ACCESS, RO};
use crate::command::spec::{
    Arg, ArgKind, Call, Command, Failure, Group as Family, Spec, flag, quoted,
};
use crate::resp::write::Reply;
use crate::value::stream_fact::Delivery;
use crate::value::stream_groups::Group;
use crate::value::stream_id::StreamId;

use super::id;
use super::value::{read_stream, reply_id};

/// The rows of this file.
pub const COMMANDS: &[Command] = &[Command {
    spec: Spec {
        name: "xpending",
        arity: -3,
        flags: flag::READONLY,
        keys: &[first_key(RO | ACCESS)],
        group: Family::Stream,
        since: "5.0.0",
        complexity: "O(N) for N entries that are looked at, or for N consumers without a range.",
        summary: "Tells which entries of a group are not acknowledged.",
        args: &[
            key_arg(),
            Arg::new("group", ArgKind::String),
            block(
                "filters",
                &[
                    Arg::new("min-idle-time", ArgKind::Integer)
                        .behind("IDLE")
                        .optional()
                        .since("6.2.0"),
                    Arg::new("start", ArgKind::String),
                    Arg::new("end", ArgKind::String),
                    Arg::new("count", ArgKind::Integer),
                    Arg::new("consumer", ArgKind::String).optional(),
                ],
            )
            .optional(),
        ],
        tips: &["nondeterministic_output"],
        history: &[("6.2.0", "Takes `IDLE`, and IDs that are left out themselves, behind `(`.")],
        ..Spec::EMPTY
    },
    run: xpending,
}];

/// The reply where a key or its group is missing.
pub fn no_key_or_group(key: &[u8], group: &[u8]) -> Failure {
    let (key, group) = (quoted(key), quoted(group));
    Failure::quoting(&[b"NOGROUP No such key '", key, b"' or consumer group '", group, b"'"])
}

/// Which entries are asked for.
struct Filter<'a> {
    idle_ms: i64,
    from: StreamId,
    to: StreamId,
    count: usize,
    consumer: Option<&'a [u8]>,
}

impl<'a> Filter<'a> {
    /// None where only a summary is asked for.
    fn parse(args: &Args<'a>) -> Result<Option<Filter<'a>>, Failure> {
        match args.len() {
            3 => return Ok(None),
            6..=9 => {}
            _ => return Err(Failure::Syntax),
        }
        let (mut at, mut idle_ms) = (3, 0);
        if args.is(3, "IDLE") {
            idle_ms = integer(args.get(4))?;
            if args.len() < 8 {
                return Err(Failure::Syntax);
            }
            at = 5;
        }
        let count = integer(args.get(at + 2))?.max(0) as usize;
        let (from, to) = (id::parse_start(args.get(at))?, id::parse_end(args.get(at + 1))?);
        let consumer = (at + 3 < args.len()).then(|| args.get(at + 3));
        Ok(Some(Filter { idle_ms, from, to, count, consumer }))
    }
}

fn xpending(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let filter = Filter::parse(call.args)?;
    let (key, name) = (call.unit.key(call.db, call.args.get(1)), call.args.get(2));
    let now_ms = call.unit.now_ms();
    let stream = read_stream(call.unit, &key)?;
    let group = stream.and_then(|stream| stream.groups().get(name));
    let group = group.ok_or_else(|| no_key_or_group(key.bytes, name))?;
    match filter {
        None => summarize(call.reply, group),
        Some(filter) => list(call.reply, group, &filter, now_ms),
    }
    Ok(())
}

fn summarize(reply: &mut Reply<'_>, group: &Group) {
    let pending = group.pending();
    reply.array(4);
    reply.integer(pending.len() as i64);
    let (Some((first, _)), Some((last, _))) = (pending.first_key_value(), pending.last_key_value())
    else {
        reply.null();
        reply.null();
        return reply.null_array();
    };
    reply_id(reply, *first);
    reply_id(reply, *last);
    let busy = || group.consumers().filter(|consumer| !consumer.pending().is_empty());
    reply.array(busy().count());
    for consumer in busy() {
        reply.array(2);
        reply.bulk(consumer.name());
        reply.bulk_integer(consumer.pending().len() as i64);
    }
}

fn list(reply: &mut Reply<'_>, group: &Group, filter: &Filter<'_>, now_ms: u64) {
    let consumer = filter.consumer.map(|name| group.consumer(name));
    if filter.from > filter.to || matches!(consumer, Some(None)) {
        return reply.array(0);
    }
    let range = filter.from..=filter.to;
    let deliveries: Box<dyn Iterator<Item = (&StreamId, &Delivery)>> = match consumer.flatten() {
        None => Box::new(group.pending().range(range)),
        Some(consumer) => {
            let ids = consumer.pending().range(range);
            Box::new(ids.map(|id| (id, &group.pending()[id])))
        }
    };
    let idle_ms = |delivery: &Delivery| now_ms as i64 - delivery.at_ms() as i64;
    let is_listed = |delivery: &Delivery| {
        let is_idle = filter.idle_ms == 0 || idle_ms(delivery) >= filter.idle_ms;
        is_idle || delivery.consumer().is_none()
    };
    let listed = deliveries.filter(|(_, delivery)| is_listed(delivery));
    let listed: Vec<_> = listed.take(filter.count).collect();
    reply.array(listed.len());
    for (id, delivery) in listed {
        reply.array(4);
        reply_id(reply, *id);
        reply.bulk(group.holder_name(delivery));
        reply.integer(delivery.consumer().map_or(-1, |_| idle_ms(delivery).max(0)));
        reply.integer(delivery.count as i64);
    }
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{run, unit};

    #[test]
    fn pending_entries_are_listed_by_id_time_and_consumer() {
        let unit = &mut unit();
        ["1-1", "2-1", "3-1"].iter().for_each(|id| drop(run(unit, &["XADD", "s", id, "f", "v"])));
        run(unit, &["XGROUP", "CREATE", "s", "g", "0"]);
        run(unit, &["XREADGROUP", "GROUP", "g", "c", "COUNT", "2", "STREAMS", "s", ">"]);
        run(unit, &["XREADGROUP", "GROUP", "g", "d", "STREAMS", "s", ">"]);
        let listed =
            |unit: &mut _, rest: &[&str]| run(unit, &[&["XPENDING", "s", "g"], rest].concat());
        let one = |id: &str, owner: &str| format!("*4 $3 {id} $1 {owner} :0 :1");
        let all = [one("1-1", "c"), one("2-1", "c"), one("3-1", "d")];
        assert_eq!(listed(unit, &["-", "+", "9"]), format!("*3 {}", all.join(" ")));
        assert_eq!(listed(unit, &["(1-1", "(3-1", "9"]), format!("*1 {}", all[1]));
        assert_eq!(listed(unit, &["-", "+", "1", "d"]), format!("*1 {}", all[2]));
        assert_eq!(listed(unit, &["IDLE", "1", "-", "+", "9"]), "*0");
        let own = format!("*2 {}", all[..2].join(" "));
        assert_eq!(listed(unit, &["IDLE", "-1", "-", "+", "9", "c"]), own);
        for rest in [&["-", "+", "9", "none"][..], &["5", "1", "9"], &["-", "+", "0"]] {
            assert_eq!(listed(unit, rest), "*0", "{rest:?}");
        }
        for rest in [&["-", "+"][..], &["IDLE", "1", "-", "+"], &["-"]] {
            assert_eq!(listed(unit, rest), "-ERR syntax error", "{rest:?}");
        }
        let none = run(unit, &["XPENDING", "s", "h"]);
        assert_eq!(none, "-NOGROUP No such key 's' or consumer group 'h'");
    }
}
