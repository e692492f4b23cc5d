//! Commands that remove entries, and what is pending of them: XDEL, XACK.

use crate::command::args::Args;
use crate::command::row::{first_key, key_arg};
use crate::command::spec::key_flag::{DELETE, RW, UPDATE};
use crate::command::spec::{Arg, ArgKind, Call, Command, Failure, Group, Spec, flag};
use crate::value::stream_fact::Topic;
use crate::value::stream_id::StreamId;

use super::id;
use super::value::{delete_entries, remove_facts, stream_to_change};

/// What the rows of this file have in common.
const ROW: Spec = Spec {
    flags: flag::WRITE | flag::FAST | flag::FREES,
    group: Group::Stream,
    since: "5.0.0",
    complexity: "O(1) for each ID.",
    ..Spec::EMPTY
};

const IDS: Arg = Arg::new("id", ArgKind::String).multiple();

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "xack",
            arity: -4,
            keys: &[first_key(RW | UPDATE)],
            summary: "Takes entries off what a group has pending.",
            args: &[key_arg(), Arg::new("group", ArgKind::String), IDS],
            ..ROW
        },
        run: xack,
    },
    Command {
        spec: Spec {
            name: "xdel",
            arity: -3,
            keys: &[first_key(RW | DELETE)],
            summary: "Deletes entries by their IDs.",
            args: &[key_arg(), IDS],
            ..ROW
        },
        run: xdel,
    },
];

/// The IDs from an argument on, each once and ascending.
fn ids(args: &Args<'_>, from: usize) -> Result<Vec<StreamId>, Failure> {
    let ids: Result<Vec<StreamId>, Failure> =
        args.iter_from(from).map(|text| id::parse(text, 0)).collect();
    let mut ids = ids?;
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

fn xdel(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    let Some(stream) = stream_to_change(call.unit, &key)? else {
        call.reply.integer(0);
        return Ok(());
    };
    let mut ids = ids(call.args, 2)?;
    ids.retain(|id| stream.get(*id).is_some());
    delete_entries(call.unit, &key, &ids);
    call.reply.integer(ids.len() as i64);
    Ok(())
}

fn xack(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    let stream = stream_to_change(call.unit, &key)?;
    let Some(group) = stream.and_then(|stream| stream.groups().get(call.args.get(2))) else {
        call.reply.integer(0);
        return Ok(());
    };
    let mut ids = ids(call.args, 3)?;
    ids.retain(|id| group.pending().contains_key(id));
    let (number, count) = (group.state().number, ids.len());
    let topics = ids.into_iter().map(|id| Topic::Pending { group: number, id });
    remove_facts(call.unit, &key, topics);
    call.reply.integer(count as i64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{run, unit};

    #[test]
    fn an_id_that_is_named_twice_counts_once() {
        let unit = &mut unit();
        ["1-1", "2-1"].iter().for_each(|id| drop(run(unit, &["XADD", "s", id, "f", "v"])));
        run(unit, &["XGROUP", "CREATE", "s", "g", "0"]);
        run(unit, &["XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">"]);
        assert_eq!(run(unit, &["XACK", "s", "g", "1-1", "1-1", "7-7"]), ":1");
        assert_eq!(run(unit, &["XACK", "s", "none", "x"]), ":0");
        assert!(run(unit, &["XACK", "s", "g", "2-1", "x"]).starts_with("-ERR Invalid stream ID"));
        assert_eq!(run(unit, &["XDEL", "s", "2-1", "2-1", "3-1"]), ":1");
        assert!(run(unit, &["XDEL", "s", "1-1", "x"]).starts_with("-ERR Invalid stream ID"));
        assert_eq!(run(unit, &["XDEL", "none", "x"]), ":0");
        assert_eq!(run(unit, &["XLEN", "s"]), ":1");
        assert_eq!(run(unit, &["XDEL", "s", "1-1"]), ":1");
        assert_eq!(run(unit, &["EXISTS", "s"]), ":1", "a stream stays, empty");
        assert_eq!(run(unit, &["XACK", "s", "g", "2-1"]), ":1", "of an entry that is gone");
    }
}
