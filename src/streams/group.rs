//! XGROUP: the groups of a stream, and their consumers.

use crate::command::args::Args;
use crate::command::help::{HELP_SUMMARY, help, miscalled};
use crate::command::number::integer;
use crate::command::row::{key_arg, keys_at, one_of, word};
use crate::command::spec::key_flag::{DELETE, INSERT, RW, UPDATE};
use crate::command::spec::{Arg, ArgKind, Call, Command, Failure, GROWS, Group, Spec, flag};
use crate::engine::unit::Key;
use crate::value::stream::Stream;
use crate::value::stream_fact::{ConsumerState, Fact, GroupState, Topic};
use crate::value::stream_id::StreamId;

use super::id;
use super::value::{NewFacts, no_group, remove_facts, stream_to_change};

/// What the subcommands on a group have in common.
const ROW: Spec = Spec {
    flags: flag::WRITE,
    group: Group::Stream,
    since: "5.0.0",
    keys: &[keys_at(2, 0, 1, RW | UPDATE)],
    length_after: Some(GROWS),
    ..Spec::EMPTY
};

const GROUP: Arg = Arg::new("group", ArgKind::String);
const CONSUMER: Arg = Arg::new("consumer", ArgKind::String);
const ID: Arg = one_of("id-selector", &[Arg::new("id", ArgKind::String), word("new-id", "$")]);
const ENTRIES_READ: Arg = Arg::new("entriesread", ArgKind::Integer)
    .shown_as("entries-read")
    .behind("ENTRIESREAD")
    .optional();

/// The rows of this file.
pub const COMMANDS: &[Command] = &[Command {
    spec: Spec {
        name: "xgroup",
        arity: -2,
        group: Group::Stream,
        since: "5.0.0",
        complexity: "Depends on the subcommand.",
        summary: "Holds the commands that manage the groups of a stream.",
        subcommands: &[
            Spec {
                name: "create",
                arity: -5,
                flags: flag::WRITE | flag::DENYOOM,
                keys: &[keys_at(2, 0, 1, RW | INSERT)],
                summary: "Makes a group that reads on from an ID.",
                args: &[
                    key_arg(),
                    GROUP,
                    ID,
                    word("mkstream", "MKSTREAM").optional(),
                    ENTRIES_READ,
                ],
                history: &[("7.0.0", "Takes `ENTRIESREAD`.")],
                ..ROW
            },
            Spec {
                name: "createconsumer",
                arity: 5,
                flags: flag::WRITE | flag::DENYOOM,
                keys: &[keys_at(2, 0, 1, RW | INSERT)],
                since: "6.2.0",
                summary: "Makes a consumer of a group.",
                args: &[key_arg(), GROUP, CONSUMER],
                ..ROW
            },
            Spec {
                name: "delconsumer",
                arity: 5,
                flags: flag::WRITE | flag::FREES,
                keys: &[keys_at(2, 0, 1, RW | DELETE)],
                complexity: "O(M log N) for M entries that it has pending, of N of the group.",
                summary: "Removes a consumer, and what it has pending.",
                args: &[key_arg(), GROUP, CONSUMER],
                ..ROW
            },
            Spec {
                name: "destroy",
                arity: 4,
                flags: flag::WRITE | flag::FREES,
                keys: &[keys_at(2, 0, 1, RW | DELETE)],
                complexity: "O(N) for N entries that the group has pending.",
                summary: "Removes a group with its consumers.",
                args: &[key_arg(), GROUP],
                ..ROW
            },
            Spec {
                name: "help",
                arity: 2,
                flags: flag::LOADING | flag::STALE,
                keys: &[],
                acl: &["stream"],
                summary: HELP_SUMMARY,
                length_after: None,
                ..ROW
            },
            Spec {
                name: "setid",
                arity: -5,
                summary: "Lets a group read on from an ID.",
                args: &[key_arg(), GROUP, ID, ENTRIES_READ],
                history: &[("7.0.0", "Takes `ENTRIESREAD`.")],
                ..ROW
            },
        ],
        ..Spec::EMPTY
    },
    run: xgroup,
}];

const HELP: &[&str] = &[
    "CREATE <key> <groupname> <id|$> [option]",
    "    Make a group that reads on behind <id>. Options are:",
    "    * MKSTREAM",
    "      Make an empty stream where there is none.",
    "    * ENTRIESREAD entries_read",
    "      Tell how many entries the group has read.",
    "CREATECONSUMER <key> <groupname> <consumer>",
    "    Make a consumer of the group.",
    "DELCONSUMER <key> <groupname> <consumer>",
    "    Remove the consumer, and what it has pending.",
    "DESTROY <key> <groupname>",
    "    Remove the group with its consumers.",
    "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
    "    Let the group read on behind <id>.",
];

/// What XGROUP does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Deed {
    Create,
    SetId,
    Destroy,
    CreateConsumer,
    DelConsumer,
}

impl Deed {
    /// None for HELP, the one that is left.
    fn of(name: &[u8]) -> Option<Deed> {
        match name.to_ascii_lowercase().as_slice() {
            b"create" => Some(Deed::Create),
            b"setid" => Some(Deed::SetId),
            b"destroy" => Some(Deed::Destroy),
            b"createconsumer" => Some(Deed::CreateConsumer),
            b"delconsumer" => Some(Deed::DelConsumer),
            _ => None,
        }
    }
}

/// The options of CREATE and SETID.
#[derive(Default)]
struct Options {
    makes_stream: bool,
    entries_read: Option<u64>,
}

fn xgroup(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let Some(deed) = Deed::of(call.args.get(1)) else {
        help(call.reply, "XGROUP", HELP);
        return Ok(());
    };
    let options = Options::parse(call.args, deed)?;
    let key = call.unit.key(call.db, call.args.get(2));
    let stream = stream_to_change(call.unit, &key)?;
    let name = call.args.get(3);
    let Some(stream) = stream else {
        if !options.makes_stream {
            return Err(Failure::text(
                "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may \
                 want to use the MKSTREAM option to create an empty stream automatically.",
            ));
        }
        let last_id = group_id(call.args, None, deed)?;
        let state = GroupState { number: 0, last_id, entries_read: options.entries_read };
        return put_group(call, &key, state);
    };
    let group = stream.groups().get(name);
    let state = group.map(|group| *group.state());
    match (deed, group, state) {
        (Deed::Create, group, _) => {
            let last_id = group_id(call.args, Some(stream), deed)?;
            if group.is_some() {
                return Err(Failure::text("BUSYGROUP Consumer Group name already exists"));
            }
            let number = stream.groups().free_number();
            let entries_read = options.entries_read;
            put_group(call, &key, GroupState { number, last_id, entries_read })
        }
        (Deed::SetId, _, Some(state)) => {
            let last_id = group_id(call.args, Some(stream), deed)?;
            let entries_read = options.entries_read;
            let state = GroupState { last_id, entries_read, ..state };
            // As in Redis those who wait get what is behind the ID with the next entry.
            call.unit.unheard(|unit| group_fact(name, state).put(unit, &key));
            call.reply.ok();
            Ok(())
        }
        (Deed::Destroy, group, _) => {
            let there = group.is_some();
            let topic = there.then_some(Topic::Group { name });
            remove_facts(call.unit, &key, topic.into_iter());
            call.reply.integer(i64::from(there));
            Ok(())
        }
        (Deed::CreateConsumer, Some(group), Some(state)) => {
            let is_new = group.consumer(call.args.get(4)).is_none();
            let number = group.free_number();
            if is_new {
                put_consumer(call, &key, state.number, number);
            }
            call.reply.integer(i64::from(is_new));
            Ok(())
        }
        (Deed::DelConsumer, Some(group), Some(state)) => {
            let name = call.args.get(4);
            let pending = group.consumer(name).map(|consumer| consumer.pending().len());
            let topic = pending.map(|_| Topic::Consumer { group: state.number, name });
            remove_facts(call.unit, &key, topic.into_iter());
            call.reply.integer(pending.unwrap_or(0) as i64);
            Ok(())
        }
        _ => Err(no_group(&key, name)),
    }
}

impl Options {
    fn parse(args: &Args<'_>, deed: Deed) -> Result<Options, Failure> {
        let mut options = Options::default();
        let sets_id = matches!(deed, Deed::Create | Deed::SetId);
        let mut index = 5;
        while index < args.len() {
            if deed == Deed::Create && args.is(index, "MKSTREAM") {
                options.makes_stream = true;
                index += 1;
            } else if sets_id && args.is(index, "ENTRIESREAD") && index + 1 < args.len() {
                let count = integer(args.get(index + 1))?;
                if count < -1 {
                    let text = "ERR value for ENTRIESREAD must be positive or -1";
                    return Err(Failure::text(text));
                }
                options.entries_read = u64::try_from(count).ok();
                index += 2;
            } else {
                return Err(miscalled("XGROUP", args.get(1)));
            }
        }
        Ok(options)
    }
}

/// The ID behind which a group reads on, in a call of CREATE or SETID.
fn group_id(args: &Args<'_>, stream: Option<&Stream>, deed: Deed) -> Result<StreamId, Failure> {
    // Options may be repeated; that there are too many comes out behind key and group.
    if args.len() > if deed == Deed::Create { 8 } else { 7 } {
        return Err(miscalled("XGROUP", args.get(1)));
    }
    match args.get(4) {
        b"$" => Ok(stream.map_or(StreamId::ZERO, |stream| stream.numbers().last_id)),
        text if deed == Deed::SetId => id::parse_edge(text, 0),
        text => id::parse(text, 0),
    }
}

fn put_group(call: &mut Call<'_, '_, '_>, key: &Key<'_>, state: GroupState) -> Result<(), Failure> {
    group_fact(call.args.get(3), state).put(call.unit, key);
    call.reply.ok();
    Ok(())
}

fn group_fact(name: &[u8], state: GroupState) -> NewFacts {
    let mut facts = NewFacts::default();
    facts.push(&Fact::Group { name, state });
    facts
}

/// Adds the consumer that a call names, under a number that no other has.
fn put_consumer(call: &mut Call<'_, '_, '_>, key: &Key<'_>, group: u64, number: u64) {
    let (name, seen_ms) = (call.args.get(4), call.unit.now_ms());
    let state = ConsumerState { number, seen_ms, active_ms: None };
    let mut facts = NewFacts::default();
    facts.push(&Fact::Consumer { group, name, state });
    facts.put(call.unit, key);
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{run, unit};

    #[test]
    fn groups_and_consumers_come_and_go() {
        let unit = &mut unit();
        assert_eq!(run(unit, &["XGROUP", "CREATE", "s", "g", "$", "MKSTREAM"]), "+OK");
        assert_eq!(run(unit, &["TYPE", "s"]), "+stream");
        assert_eq!(run(unit, &["XGROUP", "CREATECONSUMER", "s", "g", "c"]), ":1");
        assert_eq!(run(unit, &["XGROUP", "CREATECONSUMER", "s", "g", "c"]), ":0");
        run(unit, &["XADD", "s", "1-1", "f", "v"]);
        run(unit, &["XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">"]);
        assert_eq!(run(unit, &["XGROUP", "DELCONSUMER", "s", "g", "c"]), ":1");
        assert_eq!(run(unit, &["XGROUP", "DELCONSUMER", "s", "g", "c"]), ":0");
        assert_eq!(run(unit, &["XPENDING", "s", "g"]), "*4 :0 $-1 $-1 *-1");
        assert_eq!(run(unit, &["XGROUP", "SETID", "s", "g", "-", "ENTRIESREAD", "-1"]), "+OK");
        let again = run(unit, &["XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">"]);
        assert!(again.starts_with("*1 *2 $1 s *1"), "{again}");
        assert_eq!(run(unit, &["XGROUP", "DESTROY", "s", "g"]), ":1");
        assert_eq!(run(unit, &["XGROUP", "DESTROY", "s", "g"]), ":0");
    }

    #[test]
    fn bad_calls_are_refused_as_in_redis() {
        let unit = &mut unit();
        run(unit, &["SET", "string", "1"]);
        run(unit, &["XGROUP", "CREATE", "s", "g", "$", "MKSTREAM"]);
        let no_key = "-ERR The XGROUP subcommand requires the key to exist.";
        let cases: [(&[&str], &str); 10] = [
            (&["CREATE", "none", "g", "0"], no_key),
            (&["DESTROY", "none", "g"], no_key),
            (&["CREATE", "s", "g", "0"], "-BUSYGROUP Consumer Group name already exists"),
            (&["CREATE", "s", "h", "+"], "-ERR Invalid stream ID"),
            (&["CREATE", "s", "h", "0", "FOO"], "-ERR unknown subcommand or wrong number of"),
            (&["SETID", "s", "g", "0", "MKSTREAM"], "-ERR unknown subcommand or wrong number"),
            (&["SETID", "s", "h", "0"], "-NOGROUP No such consumer group 'h' for key name 's'"),
            (&["SETID", "s", "g", "0", "ENTRIESREAD", "-2"], "-ERR value for ENTRIESREAD must"),
            (&["CREATECONSUMER", "s", "h", "c"], "-NOGROUP No such consumer group 'h'"),
            (&["CREATE", "string", "g", "0"], "-WRONGTYPE"),
        ];
        for (args, reply) in cases {
            let args = [&["XGROUP"], args].concat();
            assert!(run(unit, &args).starts_with(reply), "{args:?}: {}", run(unit, &args));
        }
    }
}
