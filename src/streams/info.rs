//! XINFO: what is known of a stream, its groups and their consumers.

use crate::command::args::Args;
use crate::command::help::{HELP_SUMMARY, help, miscalled};
use crate::command::number::integer;
use crate::command::row::{block, key_arg, keys_at, word};
use crate::command::spec::key_flag::{ACCESS, RO};
use crate::command::spec::{Arg, ArgKind, Call, Command, Failure, Group, Spec, flag};
use crate::resp::write::Reply;
use crate::value::stream::Stream;
use crate::value::stream_chunk::Entry;
use crate::value::stream_id::StreamId;
use crate::value::stream_producers::Producers;

use super::group_info::{reply_consumers, reply_full, reply_groups};
use super::value::{no_group, read_stream, reply_entry, reply_id};

/// What the subcommands on a stream have in common.
const ROW: Spec = Spec {
    flags: flag::READONLY,
    group: Group::Stream,
    since: "5.0.0",
    keys: &[keys_at(2, 0, 1, RO | ACCESS)],
    ..Spec::EMPTY
};

/// The rows of this file.
pub const COMMANDS: &[Command] = &[Command {
    spec: Spec {
        name: "xinfo",
        arity: -2,
        group: Group::Stream,
        since: "5.0.0",
        complexity: "Depends on the subcommand.",
        summary: "Holds the commands that look at how a stream stands.",
        subcommands: &[
            Spec {
                name: "consumers",
                arity: 4,
                complexity: "O(N) for N consumers.",
                summary: "Describes the consumers of a group.",
                args: &[key_arg(), Arg::new("group", ArgKind::String)],
                tips: &["nondeterministic_output"],
                history: &[("7.2.0", "Has `inactive`, and `idle` means something else.")],
                ..ROW
            },
            Spec {
                name: "groups",
                arity: 3,
                complexity: "O(N) for N groups.",
                summary: "Describes the groups of a stream.",
                args: &[key_arg()],
                history: &[("7.0.0", "Has `entries-read` and `lag`.")],
                ..ROW
            },
            Spec {
                name: "help",
                arity: 2,
                flags: flag::LOADING | flag::STALE,
                keys: &[],
                acl: &["stream"],
                summary: HELP_SUMMARY,
                ..ROW
            },
            Spec {
                name: "stream",
                arity: -3,
                summary: "Describes a stream, with what is in it if wanted.",
                args: &[
                    key_arg(),
                    block(
                        "full-block",
                        &[
                            word("full", "FULL"),
                            Arg::new("count", ArgKind::Integer).behind("COUNT").optional(),
                        ],
                    )
                    .optional(),
                ],
                history: &[
                    ("6.0.0", "Takes `FULL`."),
                    (
                        "7.0.0",
                        "Has `max-deleted-entry-id`, `entries-added`, `recorded-first-entry-id`, \
                         `entries-read` and `lag`.",
                    ),
                    ("7.2.0", "Has `active-time`, and `seen-time` means something else."),
                    (
                        "8.6.0",
                        "Has `idmp-duration`, `idmp-maxsize`, `pids-tracked`, `iids-tracked`, \
                         `iids-added` and `iids-duplicates`.",
                    ),
                    ("8.8.0", "Has `nacked-count`."),
                ],
                ..ROW
            },
        ],
        ..Spec::EMPTY
    },
    run: xinfo,
}];

const HELP: &[&str] = &[
    "CONSUMERS <key> <groupname>",
    "    Describe the consumers of <groupname>.",
    "GROUPS <key>",
    "    Describe the groups of the stream.",
    "STREAM <key> [FULL [COUNT <count>]",
    "    Describe the stream.",
];

/// Entries that FULL shows, where the call does not say.
const FULL_COUNT_DEFAULT: i64 = 10;

fn xinfo(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let args = call.args;
    if args.is(1, "HELP") {
        help(call.reply, "XINFO", HELP);
        return Ok(());
    }
    let (key, now_ms) = (call.unit.key(call.db, args.get(2)), call.unit.now_ms());
    let stream = read_stream(call.unit, &key)?.ok_or(Failure::NoSuchKey)?;
    if args.is(1, "CONSUMERS") {
        let group = args.get(3);
        let group = stream.groups().get(group).ok_or_else(|| no_group(&key, group))?;
        reply_consumers(call.reply, group, now_ms);
    } else if args.is(1, "GROUPS") {
        reply_groups(call.reply, stream);
    } else {
        let full = full_count(args)?;
        describe(call.reply, stream, full, now_ms);
    }
    Ok(())
}

/// How many entries FULL shows; none without it.
fn full_count(args: &Args<'_>) -> Result<Option<usize>, Failure> {
    let count = match args.len() {
        3 => return Ok(None),
        4 if args.is(3, "FULL") => FULL_COUNT_DEFAULT,
        6 if args.is(3, "FULL") && args.is(4, "COUNT") => integer(args.get(5))?,
        _ => return Err(miscalled("XINFO", args.get(1))),
    };
    Ok(Some(match count {
        ..0 => FULL_COUNT_DEFAULT as usize,
        0 => usize::MAX,
        count => count as usize,
    }))
}

fn describe(reply: &mut Reply<'_>, stream: &Stream, full: Option<usize>, now_ms: u64) {
    let numbers = stream.numbers();
    reply.map(if full.is_some() { 15 } else { 16 });
    reply.bulk(b"length");
    reply.integer(stream.len() as i64);
    // Redis's tree has a node for each chunk and one above them, or more where IDs share prefixes.
    let chunks = stream.entry_chunks().filter(|chunk| !chunk.is_empty()).count() as i64;
    reply.bulk(b"radix-tree-keys");
    reply.integer(chunks);
    reply.bulk(b"radix-tree-nodes");
    reply.integer(chunks + 1);
    reply.bulk(b"last-generated-id");
    reply_id(reply, numbers.last_id);
    reply.bulk(b"max-deleted-entry-id");
    reply_id(reply, numbers.max_deleted_id);
    reply.bulk(b"entries-added");
    reply.integer(numbers.entries_added as i64);
    let first = stream.first();
    reply.bulk(b"recorded-first-entry-id");
    reply_id(reply, first.map_or(StreamId::ZERO, |entry| entry.id));
    reply_producers(reply, stream.producers(), now_ms);
    match full {
        None => {
            reply.bulk(b"groups");
            reply.integer(stream.groups().iter().len() as i64);
            reply.bulk(b"first-entry");
            reply_edge(reply, first);
            reply.bulk(b"last-entry");
            reply_edge(reply, stream.last());
        }
        Some(count) => {
            reply.bulk(b"entries");
            reply.array((stream.len() as usize).min(count));
            let entries = stream.range(StreamId::ZERO, StreamId::MAX).take(count);
            entries.for_each(|entry| reply_entry(reply, &entry));
            reply.bulk(b"groups");
            reply_full(reply, stream, count);
        }
    }
}

/// Who added entries once, and how many names of theirs are known: six pairs.
fn reply_producers(reply: &mut Reply<'_>, known: &Producers, now_ms: u64) {
    let state = known.state();
    let over = known.over(now_ms).count();
    let names = known.iter().map(|producer| producer.numbers().len()).sum::<usize>() - over;
    let is_known =
        |number: &u64| known.added(*number).is_some_and(|added| !known.is_over(added.id, now_ms));
    // The newest name of a producer is mostly the last to be forgotten.
    let producers = known.iter().filter(|producer| producer.numbers().iter().rev().any(is_known));
    for (name, number) in [
        ("idmp-duration", state.duration_s),
        ("idmp-maxsize", state.max_ids),
        ("pids-tracked", producers.count() as u64),
        ("iids-tracked", names as u64),
        ("iids-added", state.added),
        ("iids-duplicates", state.duplicates),
    ] {
        reply.bulk(name.as_bytes());
        reply.integer(number as i64);
    }
}

fn reply_edge(reply: &mut Reply<'_>, entry: Option<Entry<'_>>) {
    match entry {
        Some(entry) => reply_entry(reply, &entry),
        None => reply.null(),
    }
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{run, unit};

    #[test]
    fn streams_groups_and_consumers_are_described() {
        let unit = &mut unit();
        ["1-1", "2-1"].iter().for_each(|id| drop(run(unit, &["XADD", "s", id, "f", "v"])));
        run(unit, &["XGROUP", "CREATE", "s", "g", "0"]);
        run(unit, &["XREADGROUP", "GROUP", "g", "c", "COUNT", "1", "STREAMS", "s", ">"]);
        let groups = run(unit, &["XINFO", "GROUPS", "s"]);
        assert!(groups.ends_with("$12 entries-read :1 $3 lag :1"), "{groups}");
        let consumers = run(unit, &["XINFO", "CONSUMERS", "s", "g"]);
        assert_eq!(consumers, "*1 *8 $4 name $1 c $7 pending :1 $4 idle :0 $8 inactive :0");
        let stream = run(unit, &["XINFO", "STREAM", "s"]);
        assert!(stream.starts_with("*32 $6 length :2 $15 radix-tree-keys :1"), "{stream}");
        assert!(stream.contains("$10 last-entry *2 $3 2-1"), "{stream}");
        let full = run(unit, &["XINFO", "STREAM", "s", "FULL", "COUNT", "1"]);
        assert!(full.contains("$7 entries *1 *2 $3 1-1 *2 $1 f $1 v $6 groups *1 *16"), "{full}");
        assert!(full.ends_with("$7 pending *1 *3 $3 1-1 :1600000000000 :1"), "{full}");
        assert_eq!(run(unit, &["XINFO", "STREAM", "none"]), "-ERR no such key");
        let bad = run(unit, &["XINFO", "STREAM", "s", "FULL", "COUNT"]);
        assert!(bad.starts_with("-ERR unknown subcommand or wrong number"), "{bad}");
        let none = run(unit, &["XINFO", "CONSUMERS", "s", "h"]);
        assert_eq!(none, "-NOGROUP No such consumer group 'h' for key name 's'");
    }
}
