//! XREADGROUP: entries for a consumer of a group, new ones or those that it has not acknowledged.

use crate::command::args::Args;
use crate::command::block::Block;
use crate::command::collection::stream_in;
use crate::command::row::{block, word};
use crate::command::spec::{Arg, ArgKind, Call, Command, Copies, Failure, Spec, flag};
use crate::engine::unit::{Key, Unit, ValueRef};
use crate::format::record::Record;
use crate::resp::write::{Output, Reply};
use crate::value::stream::Stream;
use crate::value::stream_fact::{ConsumerState, Delivery, Fact, GroupState};
use crate::value::stream_groups::Group;
use crate::value::stream_id::StreamId;

use super::id;
use super::read::{
    Asked, BLOCK_ARG, COUNT_ARG, STREAMS_ARG, count_behind, reply_key, reply_streams, stream_keys,
};
use super::value::{
    FACT_BYTES, NewFacts, entries_up_to, has_gap_behind, pending, quoted, read_stream, reply_entry,
    reply_id,
};

/// The rows of this file.
pub const COMMANDS: &[Command] = &[Command {
    spec: Spec {
        name: "xreadgroup",
        arity: -7,
        flags: flag::WRITE | flag::BLOCKING | flag::MOVABLE_KEYS | flag::COPIES,
        keys: &[stream_keys(4)],
        group: crate::command::spec::Group::Stream,
        since: "5.0.0",
        complexity: "O(M log N) for M entries that are returned, in a group with N pending.",
        summary: "Returns entries to a consumer of a group, or waits for new ones.",
        args: &[
            block(
                "group-block",
                &[Arg::new("group", ArgKind::String), Arg::new("consumer", ArgKind::String)],
            )
            .behind("GROUP"),
            COUNT_ARG,
            BLOCK_ARG,
            word("noack", "NOACK").optional(),
            STREAMS_ARG,
        ],
        copies: Copies::Chosen(frame_bytes),
        ..Spec::EMPTY
    },
    run: xreadgroup,
}];

/// A bound of what reading logs, where the longest of the streams is this one.
fn frame_bytes(args: &Args<'_>, value: ValueRef<'_>) -> u64 {
    let (Ok(asked), Ok(stream)) = (Asked::parse(args, true), stream_in(value)) else {
        return 0;
    };
    let Some(at) = asked.group_at else { return 0 };
    let pending = stream.groups().get(args.get(at)).map_or(0, |group| group.pending().len());
    let facts = (stream.len().max(pending as u64)).min(asked.count as u64) + 2;
    let names = args.get(at).len() + args.get(at + 1).len();
    let own = facts.saturating_mul(FACT_BYTES).saturating_add(names as u64);
    own.saturating_mul(asked.streams as u64)
}

/// Who reads, and how.
struct Reader<'a> {
    asked: &'a Asked,
    group: &'a [u8],
    consumer: &'a [u8],
    now_ms: u64,
}

/// Where a consumer reads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// What the group has not delivered (`>`).
    New,
    /// What the consumer has not acknowledged, behind an ID.
    History(StreamId),
}

impl Source {
    fn parse(text: &[u8]) -> Result<Source, Failure> {
        match text {
            b">" => Ok(Source::New),
            b"$" => Err(meaningless('$')),
            b"+" => Err(meaningless('+')),
            _ => id::parse(text, 0).map(Source::History),
        }
    }
}

fn meaningless(id: char) -> Failure {
    let why = "you want to read the history of this consumer by specifying a proper ID, or use the \
               > ID to get new messages.";
    let text = format!(
        "ERR The {id} ID is meaningless in the context of XREADGROUP: {why} The {id} ID would just \
         return an empty result set."
    );
    Failure::Text(text.into())
}

fn no_group(key: &[u8], group: &[u8]) -> Failure {
    let (key, group) = (quoted(key), quoted(group));
    let text = format!(
        "NOGROUP No such key '{key}' or consumer group '{group}' in XREADGROUP with GROUP option"
    );
    Failure::Text(text.into())
}

fn xreadgroup(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let asked = Asked::parse(call.args, true)?;
    let reader = Reader::of(&asked, call.args, call.unit.now_ms());
    let mut streams = Vec::with_capacity(asked.streams);
    for index in 0..asked.streams {
        let (key, text) = asked.stream(call.args, index);
        let key = call.unit.key(call.db, key);
        let stream = read_stream(call.unit, &key)?;
        if stream.and_then(|stream| stream.groups().get(reader.group)).is_none() {
            return Err(no_group(key.bytes, reader.group));
        }
        streams.push((key, Source::parse(text)?));
    }
    let (mut output, mut served) = (Output::default(), 0);
    let mut reply = Reply::new(&mut output, call.reply.protocol());
    for (key, from) in streams {
        served += usize::from(reader.read(call.unit, &mut reply, &key, from)?);
    }
    match asked.timeout_ms {
        _ if served > 0 => {
            reply_streams(call.reply, served);
            output.pieces(0).for_each(|piece| call.reply.output().push_bytes(piece));
        }
        None => call.reply.null_array(),
        Some(timeout_ms) => {
            let keys = asked.keys_at..asked.keys_at + asked.streams;
            let block = Block::new(keys, timeout_ms, serve, served_bytes);
            call.wait(Block { minds_absence: true, ..block });
        }
    }
    Ok(())
}

/// Answers from one stream; where the group is gone, there is nothing to wait for.
fn serve(call: &mut Call<'_, '_, '_>, key: &Key<'_>) -> Result<bool, Failure> {
    let asked = Asked::parse(call.args, true)?;
    let reader = Reader::of(&asked, call.args, call.unit.now_ms());
    let stream = read_stream(call.unit, key)?;
    let group = stream.and_then(|stream| Some((stream, stream.groups().get(reader.group)?)));
    let (stream, group) = group.ok_or_else(|| no_group(key.bytes, reader.group))?;
    if count_behind(stream, group.state().last_id) == 0 {
        return Ok(false);
    }
    reply_streams(call.reply, 1);
    reader.read(call.unit, call.reply, key, Source::New)
}

fn served_bytes(args: &Args<'_>, unit: &mut Unit<'_>, key: &Key<'_>) -> u64 {
    let facts = unit.probe(key).map_or(0, |view| frame_bytes(args, view.value));
    facts + (key.bytes.len() + Record::HEAD_BYTES_MAX) as u64
}

impl<'a> Reader<'a> {
    fn of(asked: &'a Asked, args: &Args<'a>, now_ms: u64) -> Reader<'a> {
        let at = asked.group_at.expect("XREADGROUP has a group");
        Reader { asked, group: args.get(at), consumer: args.get(at + 1), now_ms }
    }

    /// Reads a stream that has the group, and replies with what there is; whether there was
    /// something. The consumer is made where it is not there.
    fn read(
        &self,
        unit: &mut Unit<'_>,
        reply: &mut Reply<'_>,
        key: &Key<'_>,
        from: Source,
    ) -> Result<bool, Failure> {
        let Some(stream) = read_stream(unit, key)? else { return Ok(false) };
        let Some(group) = stream.groups().get(self.group) else { return Ok(false) };
        let known = group.consumer(self.consumer).map(|consumer| *consumer.state());
        let mut state = known.unwrap_or(ConsumerState {
            number: group.free_number(),
            seen_ms: self.now_ms,
            active_ms: None,
        });
        state.seen_ms = self.now_ms;
        let is_served = match from {
            Source::New => count_behind(stream, group.state().last_id) > 0,
            Source::History(_) => true,
        };
        let mut facts = NewFacts::default();
        if is_served && from == Source::New && !self.asked.no_ack {
            state.active_ms = Some(self.now_ms);
        }
        let (number, name) = (group.state().number, self.consumer);
        if known != Some(state) {
            facts.push(&Fact::Consumer { group: number, name, state });
        }
        if is_served {
            reply_key(reply, key.bytes);
            match from {
                Source::New => self.deliver(reply, stream, group, state.number, &mut facts),
                Source::History(id) => self.repeat(reply, stream, group, id, &mut facts),
            }
        }
        facts.put(unit, key);
        Ok(is_served)
    }

    /// Replies with what the group has not delivered, which the consumer has from here on.
    fn deliver(
        &self,
        reply: &mut Reply<'_>,
        stream: &Stream,
        group: &Group,
        consumer: u64,
        facts: &mut NewFacts,
    ) {
        let mut state = *group.state();
        let count = self.asked.count.min(count_behind(stream, state.last_id) as usize);
        reply.array(count);
        let from = state.last_id.next().unwrap_or(StreamId::MAX);
        for entry in stream.range(from, StreamId::MAX).take(count) {
            state = GroupState { entries_read: read_up_to(stream, &state, entry.id), ..state };
            state.last_id = entry.id;
            reply_entry(reply, &entry);
            if !self.asked.no_ack {
                let delivery = Delivery { consumer, at_ms: self.now_ms, count: 1 };
                facts.push(&pending(group, entry.id, delivery));
            }
        }
        facts.push(&Fact::Group { name: self.group, state });
    }

    /// Replies with what the consumer has not acknowledged; entries that are gone have no fields.
    fn repeat(
        &self,
        reply: &mut Reply<'_>,
        stream: &Stream,
        group: &Group,
        behind: StreamId,
        facts: &mut NewFacts,
    ) {
        let consumer = group.consumer(self.consumer);
        let own =
            consumer.zip(behind.next()).map(|(consumer, from)| consumer.pending().range(from..));
        let ids: Vec<StreamId> =
            own.into_iter().flatten().take(self.asked.count).copied().collect();
        reply.array(ids.len());
        for id in ids {
            let Some(entry) = stream.get(id) else {
                reply.array(2);
                reply_id(reply, id);
                reply.null_array();
                continue;
            };
            reply_entry(reply, &entry);
            let before = group.pending()[&id];
            let count = before.count.saturating_add(1);
            facts.push(&pending(group, id, Delivery { at_ms: self.now_ms, count, ..before }));
        }
    }
}

/// How many entries a group has read once it has delivered the one of this ID.
fn read_up_to(stream: &Stream, state: &GroupState, id: StreamId) -> Option<u64> {
    // A group that has not come to the first entry may have missed some that were trimmed.
    let may_miss = has_gap_behind(stream, state.last_id)
        || stream.first().is_some_and(|first| state.last_id < first.id);
    match state.entries_read {
        Some(count) if !may_miss => Some(count.saturating_add(1)),
        known if stream.numbers().entries_added == 0 => known,
        _ => entries_up_to(stream, id),
    }
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{run, unit};

    #[test]
    fn new_entries_go_to_one_consumer_and_stay_until_acknowledged() {
        let unit = &mut unit();
        ["1-1", "2-1", "3-1"].iter().for_each(|id| drop(run(unit, &["XADD", "s", id, "f", "v"])));
        run(unit, &["XGROUP", "CREATE", "s", "g", "0"]);
        let read = |unit: &mut _, consumer: &str, count: &str, id: &str| {
            let args = ["XREADGROUP", "GROUP", "g", consumer, "COUNT", count, "STREAMS", "s", id];
            run(unit, &args)
        };
        let entry = |id: &str| format!("*2 $3 {id} *2 $1 f $1 v");
        let both = format!("*1 *2 $1 s *2 {} {}", entry("1-1"), entry("2-1"));
        assert_eq!(read(unit, "c", "2", ">"), both);
        assert_eq!(read(unit, "d", "2", ">"), format!("*1 *2 $1 s *1 {}", entry("3-1")));
        assert_eq!(read(unit, "d", "2", ">"), "*-1");
        assert_eq!(read(unit, "c", "9", "0"), both);
        run(unit, &["XDEL", "s", "1-1"]);
        run(unit, &["XACK", "s", "g", "2-1"]);
        assert_eq!(read(unit, "c", "9", "0"), "*1 *2 $1 s *1 *2 $3 1-1 *-1");
        assert_eq!(read(unit, "c", "9", "1-1"), "*1 *2 $1 s *0");
        let pending = run(unit, &["XPENDING", "s", "g"]);
        assert_eq!(pending, "*4 :2 $3 1-1 $3 3-1 *2 *2 $1 c $1 1 *2 $1 d $1 1");
    }

    #[test]
    fn a_stream_that_is_named_twice_delivers_once() {
        let unit = &mut unit();
        run(unit, &["XADD", "s", "1-1", "f", "v"]);
        run(unit, &["XGROUP", "CREATE", "s", "g", "0"]);
        let reply =
            run(unit, &["XREADGROUP", "GROUP", "g", "c", "NOACK", "STREAMS", "s", "s", ">", ">"]);
        assert_eq!(reply, "*1 *2 $1 s *1 *2 $3 1-1 *2 $1 f $1 v");
        assert_eq!(run(unit, &["XPENDING", "s", "g"]), "*4 :0 $-1 $-1 *-1");
    }

    #[test]
    fn bad_calls_are_refused_as_in_redis() {
        let unit = &mut unit();
        run(unit, &["SET", "string", "1"]);
        run(unit, &["XGROUP", "CREATE", "s", "g", "$", "MKSTREAM"]);
        let cases: [(&[&str], &str); 6] = [
            (&["g", "c", "STREAMS", "s", "t", ">"], "-ERR Unbalanced 'xreadgroup' list of streams"),
            (&["h", "c", "STREAMS", "s", ">"], "-NOGROUP No such key 's' or consumer group 'h' in"),
            (&["g", "c", "STREAMS", "t", ">"], "-NOGROUP No such key 't' or consumer group 'g' in"),
            (&["g", "c", "STREAMS", "s", "$"], "-ERR The $ ID is meaningless in the context of"),
            (&["g", "c", "STREAMS", "s", "x"], "-ERR Invalid stream ID"),
            (&["g", "c", "STREAMS", "string", ">"], "-WRONGTYPE"),
        ];
        for (args, reply) in cases {
            let args = [&["XREADGROUP", "GROUP"], args].concat();
            assert!(run(unit, &args).starts_with(reply), "{args:?}: {}", run(unit, &args));
        }
        let missing = run(unit, &["XREADGROUP", "COUNT", "1", "NOACK", "STREAMS", "s", ">"]);
        assert_eq!(missing, "-ERR Missing GROUP option for XREADGROUP");
    }
}
