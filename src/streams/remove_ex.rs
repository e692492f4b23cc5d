//! Commands that remove entries by name and mind what groups have pending of them: XDELEX, XACKDEL.

use std::collections::BTreeSet;

use crate::command::args::Args;
use crate::command::collection::stream_in;
use crate::command::number::parse_integer;
use crate::command::row::{block, first_key, key_arg};
use crate::command::spec::key_flag::{DELETE, RW, UPDATE};
use crate::command::spec::{Arg, ArgKind, Call, Command, Copies, Failure, Group, Spec, flag};
use crate::engine::unit::{Key, Unit, ValueRef};
use crate::resp::write::Reply;
use crate::value::stream::Stream;
use crate::value::stream_fact::Topic;
use crate::value::stream_groups::Group as ConsumerGroup;
use crate::value::stream_id::StreamId;

use super::id;
use super::references::{REFERENCES_ARG, References, is_referenced, references};
use super::value::{
    FACT_BYTES, delete_entries, key_bytes, remove_facts, stream_to_change, with_group,
};

/// What the rows of this file have in common.
const ROW: Spec = Spec {
    flags: flag::WRITE | flag::FAST | flag::FREES | flag::COPIES,
    group: Group::Stream,
    since: "8.2.0",
    complexity: "O(1) for each ID.",
    copies: Copies::Chosen(removed_bytes),
    ..Spec::EMPTY
};

const IDS: Arg = block(
    "ids",
    &[Arg::new("numids", ArgKind::Integer), Arg::new("id", ArgKind::String).multiple()],
)
.behind("IDS");

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "xackdel",
            arity: -6,
            keys: &[first_key(RW | UPDATE | DELETE)],
            summary: "Takes entries off what a group has pending, and deletes them.",
            args: &[key_arg(), Arg::new("group", ArgKind::String), REFERENCES_ARG, IDS],
            ..ROW
        },
        run: xackdel,
    },
    Command {
        spec: Spec {
            name: "xdelex",
            arity: -5,
            keys: &[first_key(RW | DELETE)],
            summary: "Deletes entries by their IDs, and what is pending of them if wanted.",
            args: &[key_arg(), REFERENCES_ARG, IDS],
            ..ROW
        },
        run: xdelex,
    },
];

/// A bound of what is logged of the facts that go with entries.
fn removed_bytes(args: &Args<'_>, value: ValueRef<'_>) -> u64 {
    let groups = stream_in(value).map_or(0, |stream| stream.groups().iter().len() as u64);
    groups.saturating_mul(args.len() as u64 * FACT_BYTES) + key_bytes(args)
}

/// What became of an ID, as the reply has it.
const UNKNOWN: i64 = -1;
const DELETED: i64 = 1;
const KEPT: i64 = 2;

/// Which entries are meant, and how they go.
struct Asked {
    references: References,
    /// Index of the first ID.
    ids_at: usize,
    /// Number of IDs.
    count: usize,
}

impl Asked {
    /// Reads the options from an index on.
    fn parse(args: &Args<'_>, mut index: usize) -> Result<Asked, Failure> {
        let (mut references, mut ids) = (None, None);
        while index < args.len() {
            let option = References::parse(args, index).filter(|_| references.is_none());
            if option.is_some() {
                references = option;
                index += 1;
            } else if args.is(index, "IDS") && index + 1 < args.len() {
                let count = parse_integer(args.get(index + 1)).filter(|count| *count > 0);
                let text = Failure::text("ERR Number of IDs must be a positive integer");
                let count = usize::try_from(count.ok_or(text)?).unwrap_or(usize::MAX);
                if count > args.len() - index - 2 {
                    return Err(Failure::text(
                        "ERR The `numids` parameter must match the number of arguments",
                    ));
                }
                ids = Some((index + 2, count));
                index += 2 + count;
            } else {
                return Err(Failure::Syntax);
            }
        }
        let (ids_at, count) = ids.ok_or(Failure::Syntax)?;
        Ok(Asked { references: references.unwrap_or_default(), ids_at, count })
    }

    /// The IDs, as they come.
    fn ids(&self, args: &Args<'_>) -> Result<Vec<StreamId>, Failure> {
        let ids = self.ids_at..self.ids_at + self.count;
        ids.map(|index| id::parse(args.get(index), 0)).collect()
    }

    /// Replies where there is nothing of the IDs.
    fn reply_unknown(&self, reply: &mut Reply<'_>) {
        reply.array(self.count);
        (0..self.count).for_each(|_| reply.integer(UNKNOWN));
    }
}

/// What is to go, each once.
#[derive(Default)]
struct Removal {
    entries: BTreeSet<StreamId>,
    /// What is pending: the number of the group, and the entry.
    pending: BTreeSet<(u64, StreamId)>,
}

impl Removal {
    /// Adds an entry and what the option says of what is pending of it. `acking` is the number of
    /// the group that acknowledges it here.
    fn add(
        &mut self,
        stream: &Stream,
        id: StreamId,
        option: References,
        acking: Option<u64>,
    ) -> i64 {
        match option {
            References::Acked if is_referenced(stream.groups(), id, acking) => return KEPT,
            References::Remove => {
                let topics = references(stream.groups(), id);
                self.pending.extend(topics.filter_map(|topic| match topic {
                    Topic::Pending { group, id } => Some((group, id)),
                    _ => None,
                }));
            }
            _ => {}
        }
        let goes = stream.get(id).is_some() && self.entries.insert(id);
        if goes { DELETED } else { UNKNOWN }
    }

    /// Logs and applies it.
    fn apply(&self, unit: &mut Unit<'_>, key: &Key<'_>) {
        delete_entries(unit, key, &self.entries);
        let topics = self.pending.iter().map(|&(group, id)| Topic::Pending { group, id });
        remove_facts(unit, key, topics);
    }
}

fn xdelex(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    let stream = stream_to_change(call.unit, &key)?;
    let asked = Asked::parse(call.args, 2)?;
    let Some(stream) = stream else {
        asked.reply_unknown(call.reply);
        return Ok(());
    };
    let (ids, mut removal) = (asked.ids(call.args)?, Removal::default());
    call.reply.array(ids.len());
    for id in ids {
        call.reply.integer(removal.add(stream, id, asked.references, None));
    }
    removal.apply(call.unit, &key);
    Ok(())
}

fn xackdel(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    let stream = stream_to_change(call.unit, &key)?;
    let asked = Asked::parse(call.args, 3)?;
    let Some((stream, group)) = with_group(stream, call.args.get(2)) else {
        asked.reply_unknown(call.reply);
        return Ok(());
    };
    let (ids, mut removal) = (asked.ids(call.args)?, Removal::default());
    call.reply.array(ids.len());
    for id in ids {
        call.reply.integer(acknowledge(&mut removal, stream, group, id, asked.references));
    }
    removal.apply(call.unit, &key);
    Ok(())
}

/// Acknowledges an entry that is pending, and adds it to what goes. One that was deleted before
/// counts as deleted here.
fn acknowledge(
    removal: &mut Removal,
    stream: &Stream,
    group: &ConsumerGroup,
    id: StreamId,
    option: References,
) -> i64 {
    let number = group.state().number;
    if !group.pending().contains_key(&id) || !removal.pending.insert((number, id)) {
        return UNKNOWN;
    }
    match removal.add(stream, id, option, Some(number)) {
        KEPT => KEPT,
        _ => DELETED,
    }
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{run, unit};
    use crate::engine::unit::Unit;

    /// Entries 1-1 to 4-1; the group g has read the first three, and h the first.
    fn fill(unit: &mut Unit<'_>) {
        let ids = ["1-1", "2-1", "3-1", "4-1"];
        ids.iter().for_each(|id| drop(run(unit, &["XADD", "s", id, "f", "v"])));
        for (group, count) in [("g", "3"), ("h", "1")] {
            run(unit, &["XGROUP", "CREATE", "s", group, "0"]);
            let read = ["XREADGROUP", "GROUP", group, "c", "COUNT", count, "STREAMS", "s", ">"];
            run(unit, &read);
        }
    }

    #[test]
    fn entries_go_with_or_without_what_is_pending() {
        let unit = &mut unit();
        fill(unit);
        let pending = |unit: &mut _, group: &str| {
            let summary = run(unit, &["XPENDING", "s", group]);
            summary.split(' ').nth(1).map(str::to_string).expect("a count")
        };
        assert_eq!(run(unit, &["XDELEX", "s", "IDS", "2", "2-1", "2-1"]), "*2 :1 :-1");
        assert_eq!(pending(unit, "g"), ":3");
        assert_eq!(run(unit, &["XDELEX", "s", "DELREF", "IDS", "2", "1-1", "2-1"]), "*2 :1 :-1");
        assert_eq!((pending(unit, "g"), pending(unit, "h")), (":1".into(), ":0".into()));
        assert_eq!(run(unit, &["XLEN", "s"]), ":2");
    }

    #[test]
    fn what_is_not_acknowledged_by_all_stays() {
        let unit = &mut unit();
        fill(unit);
        let acked = ["XDELEX", "s", "ACKED", "IDS", "3", "1-1", "4-1", "9-9"];
        assert_eq!(run(unit, &acked), "*3 :2 :2 :2");
        let ack = |unit: &mut _, group: &str| {
            run(unit, &["XACKDEL", "s", group, "ACKED", "IDS", "2", "1-1", "2-1"])
        };
        assert_eq!(ack(unit, "g"), "*2 :2 :2");
        assert_eq!(ack(unit, "g"), "*2 :-1 :-1");
        assert_eq!(ack(unit, "h"), "*2 :1 :-1");
        assert_eq!(run(unit, &["XLEN", "s"]), ":3", "h has not read 2-1");
        run(unit, &["XGROUP", "DESTROY", "s", "h"]);
        assert_eq!(run(unit, &["XDELEX", "s", "ACKED", "IDS", "2", "2-1", "3-1"]), "*2 :1 :2");
        run(unit, &["XGROUP", "DESTROY", "s", "g"]);
        assert_eq!(run(unit, &["XDELEX", "s", "ACKED", "IDS", "2", "3-1", "9-9"]), "*2 :1 :-1");
    }

    #[test]
    fn an_acknowledged_entry_that_is_gone_counts_as_deleted() {
        let unit = &mut unit();
        fill(unit);
        run(unit, &["XDEL", "s", "1-1"]);
        let both = ["XACKDEL", "s", "g", "IDS", "3", "1-1", "2-1", "1-1"];
        assert_eq!(run(unit, &both), "*3 :1 :1 :-1");
        assert_eq!(run(unit, &["XPENDING", "s", "h"]), "*4 :1 $3 1-1 $3 1-1 *1 *2 $1 c $1 1");
        let removed = ["XACKDEL", "s", "g", "IDS", "1", "3-1", "DELREF"];
        assert_eq!(run(unit, &removed), "*1 :1", "the option may come last");
    }

    #[test]
    fn bad_calls_are_refused() {
        let unit = &mut unit();
        fill(unit);
        run(unit, &["SET", "string", "1"]);
        let cases: [(&[&str], &str); 10] = [
            (&["s", "IDS", "x", "1-1"], "-ERR Number of IDs must be a positive integer"),
            (&["s", "IDS", "0", "1-1"], "-ERR Number of IDs must be a positive integer"),
            (&["s", "IDS", "3", "1-1", "2-1"], "-ERR The `numids` parameter must match the number"),
            (&["s", "IDS", "1", "1-1", "2-1"], "-ERR syntax error"),
            (&["s", "ACKED", "KEEPREF", "IDS", "1", "1-1"], "-ERR syntax error"),
            (&["s", "KEEPREF", "ACKED", "IDS"], "-ERR syntax error"),
            (&["s", "IDS", "2", "1-1", "x"], "-ERR Invalid stream ID"),
            (&["none", "IDS", "2", "1-1", "x"], "*2 :-1 :-1"),
            (&["none", "IDS", "x", "1-1"], "-ERR Number of IDs must be a positive integer"),
            (&["string", "IDS", "1", "1-1"], "-WRONGTYPE"),
        ];
        for (args, reply) in cases {
            let args = [&["XDELEX"], args].concat();
            assert!(run(unit, &args).starts_with(reply), "{args:?}: {}", run(unit, &args));
        }
        assert_eq!(run(unit, &["XACKDEL", "s", "none", "IDS", "1", "x"]), "*1 :-1");
        assert_eq!(run(unit, &["XLEN", "s"]), ":4");
    }
}
