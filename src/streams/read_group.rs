//! XREADGROUP: entries for a consumer of a group, new ones or those that it has not acknowledged.

use crate::command::args::Args;
use crate::command::block::Block;
use crate::command::collection::stream_in;
use crate::command::row::{block, word};
use crate::command::spec::{Arg, ArgKind, Call, Command, Copies, Failure, Spec, flag, quoted};
use crate::engine::unit::{Key, Unit, ValueRef};
use crate::format::record::Record;
use crate::resp::write::{Output, Reply};
use crate::value::stream::Stream;
use crate::value::stream_chunk::Entry;
use crate::value::stream_fact::{ConsumerState, Delivery, Fact, GroupState, Holder, Topic};
use crate::value::stream_groups::Group;
use crate::value::stream_id::StreamId;

use super::id;
use super::read::{
    Asked, BLOCK_ARG, COUNT_ARG, STREAMS_ARG, count_behind, reply_key, reply_streams, stream_keys,
};
use super::value::{
    FACT_BYTES, NewFacts, entries_up_to, has_gap_behind, pending, read_stream, remove_facts,
    reply_entry, reply_fields, reply_id, with_group,
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
            Arg::new("min-idle-time", ArgKind::Integer).behind("CLAIM").optional().since("8.4.0"),
            word("noack", "NOACK").optional(),
            STREAMS_ARG,
        ],
        history: &[("8.4.0", "Takes `CLAIM`.")],
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
    let (count, pending) = (asked.count as u64, pending as u64);
    let facts = match asked.claim_idle_ms {
        None => stream.len().max(pending).min(count) + 2,
        Some(_) => stream.len().min(count).saturating_add(pending.min(count)) + 2,
    };
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
    /// What the group has not delivered: `>`, or the highest ID, which is what Redis keeps for it.
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
            _ => Ok(match id::parse(text, 0)? {
                StreamId::MAX => Source::New,
                id => Source::History(id),
            }),
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
    let (text, end) = (b"NOGROUP No such key '", b"' in XREADGROUP with GROUP option");
    Failure::quoting(&[text, key, b"' or consumer group '", group, end])
}

fn xreadgroup(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let asked = Asked::parse(call.args, true)?;
    let reader = Reader::of(&asked, call.args, call.unit.now_ms());
    let (mut streams, mut retry_ms) = (Vec::with_capacity(asked.streams), None);
    for index in 0..asked.streams {
        let (key, text) = asked.stream(call.args, index);
        let key = call.unit.key(call.db, key);
        let stream = read_stream(call.unit, &key)?;
        let found = with_group(stream, reader.group);
        let (stream, group) = found.ok_or_else(|| no_group(key.bytes, reader.group))?;
        let idle_in_ms = reader.idle_in_ms(stream, group);
        retry_ms = retry_ms.map_or(idle_in_ms, |ms: u64| Some(ms.min(idle_in_ms?)));
        streams.push((key, Source::parse(text)?));
    }
    let (mut output, mut served) = (Output::default(), 0);
    let mut reply = Reply::new(&mut output, call.reply.protocol());
    for (key, from) in streams {
        served += usize::from(reader.read(call.unit, &mut reply, &key, from)?);
    }
    match asked.timeout_ms {
        _ if served > 0 => reply_served(call.reply, served, &output),
        None => call.reply.null_array(),
        Some(timeout_ms) => {
            let keys = asked.keys_at..asked.keys_at + asked.streams;
            let block = Block::new(keys, timeout_ms, serve, served_bytes);
            call.wait(Block { minds_absence: true, retry_ms, ..block });
        }
    }
    Ok(())
}

/// Answers from all streams that are ready now; where the group of the one that changed is gone,
/// there is nothing to wait for.
fn serve(call: &mut Call<'_, '_, '_>, key: &Key<'_>) -> Result<bool, Failure> {
    let asked = Asked::parse(call.args, true)?;
    let reader = Reader::of(&asked, call.args, call.unit.now_ms());
    let stream = read_stream(call.unit, key)?;
    let group = with_group(stream, reader.group);
    let (stream, group) = group.ok_or_else(|| no_group(key.bytes, reader.group))?;
    if !reader.finds(stream, group) {
        let retry_ms = reader.idle_in_ms(stream, group);
        call.block = Some(Block { retry_ms, ..Block::new(0..0, None, serve, served_bytes) });
        return Ok(false);
    }
    let (mut output, mut served) = (Output::default(), 0);
    let mut reply = Reply::new(&mut output, call.reply.protocol());
    for index in 0..asked.streams {
        if let Some(key) = asked.held(call.unit, (call.db, call.args), index) {
            served += usize::from(reader.read(call.unit, &mut reply, &key, Source::New)?);
        }
    }
    reply_served(call.reply, served, &output);
    Ok(true)
}

/// Replies with what so many streams have told.
fn reply_served(reply: &mut Reply<'_>, served: usize, output: &Output) {
    reply_streams(reply, served);
    output.pieces(0).for_each(|piece| reply.output().push_bytes(piece));
}

fn served_bytes(args: &Args<'_>, unit: &mut Unit<'_>, key: &Key<'_>) -> u64 {
    let Ok(asked) = Asked::parse(args, true) else { return 0 };
    let mut bytes = 0;
    for index in 0..asked.streams {
        if let Some(key) = asked.held(unit, (key.db, args), index) {
            let facts = unit.probe(&key).map_or(0, |view| frame_bytes(args, view.value));
            bytes += facts + (key.bytes.len() + Record::HEAD_BYTES_MAX) as u64;
        }
    }
    bytes
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
        let is_new = from == Source::New;
        let claims = if is_new { self.claims(stream, group) } else { Claims::default() };
        let is_served =
            !is_new || !claims.ids.is_empty() || count_behind(stream, group.state().last_id) > 0;
        let mut facts = NewFacts::default();
        if is_served && is_new && !(self.asked.no_ack && claims.ids.is_empty()) {
            state.active_ms = Some(self.now_ms);
        }
        let (number, name) = (group.state().number, self.consumer);
        if known != Some(state) {
            facts.push(&Fact::Consumer { group: number, name, state });
        }
        if is_served {
            reply_key(reply, key.bytes);
            match from {
                Source::New => {
                    self.deliver(reply, (stream, group), &claims.ids, state.number, &mut facts);
                }
                Source::History(id) => self.repeat(reply, stream, group, id, &mut facts),
            }
        }
        facts.put(unit, key);
        let gone = claims.gone.into_iter().map(|id| Topic::Pending { group: number, id });
        remove_facts(unit, key, gone);
        Ok(is_served)
    }

    /// Whether an entry that is pending has been so for long enough to be claimed.
    fn may_claim(&self, delivery: &Delivery) -> bool {
        let idle_ms = self.now_ms.saturating_sub(delivery.at_ms());
        self.asked.claim_idle_ms.is_some_and(|least_ms| idle_ms >= least_ms)
    }

    /// Whether there is something to deliver or to claim.
    fn finds(&self, stream: &Stream, group: &Group) -> bool {
        let may_claim = |(id, delivery): (&StreamId, &Delivery)| {
            self.may_claim(delivery) && stream.get(*id).is_some()
        };
        count_behind(stream, group.state().last_id) > 0 || group.pending().iter().any(may_claim)
    }

    /// Milliseconds until there may be something to claim; none where nothing is claimed.
    fn idle_in_ms(&self, stream: &Stream, group: &Group) -> Option<u64> {
        let least_ms = self.asked.claim_idle_ms?;
        let there = group.pending().iter().filter(|(id, _)| stream.get(**id).is_some());
        let idle_at = there.map(|(_, delivery)| delivery.at_ms().saturating_add(least_ms)).min();
        let ms = idle_at.map_or(least_ms, |at_ms| at_ms.saturating_sub(self.now_ms));
        Some(ms.max(1))
    }

    /// What is claimed: what nobody has comes first, then what has been pending for longest.
    fn claims(&self, stream: &Stream, group: &Group) -> Claims {
        let idle = group.pending().iter().filter(|(_, delivery)| self.may_claim(delivery));
        let mut idle: Vec<(Holder, StreamId)> =
            idle.map(|(id, from)| (without_number(from.holder), *id)).collect();
        idle.sort_unstable();
        idle.truncate(self.asked.count);
        let (ids, gone) =
            idle.into_iter().map(|(_, id)| id).partition(|id| stream.get(*id).is_some());
        Claims { ids, gone }
    }

    /// Replies with an entry of the stream that is delivered here for the first time since
    /// `idle_ms`, and was so `count` times before; both are told where CLAIM asks for them.
    fn reply(&self, reply: &mut Reply<'_>, entry: &Entry<'_>, idle_ms: u64, count: u64) {
        if self.asked.claim_idle_ms.is_none() {
            return reply_entry(reply, entry);
        }
        reply.array(4);
        reply_id(reply, entry.id);
        reply_fields(reply, entry);
        reply.integer(idle_ms as i64);
        reply.integer(count as i64);
    }

    /// Replies with what is claimed, then with what the group has not delivered; the consumer has
    /// both from here on.
    fn deliver(
        &self,
        reply: &mut Reply<'_>,
        (stream, group): (&Stream, &Group),
        claimed: &[StreamId],
        consumer: u64,
        facts: &mut NewFacts,
    ) {
        let mut state = *group.state();
        let room = self.asked.count - claimed.len();
        let count = room.min(count_behind(stream, state.last_id) as usize);
        reply.array(claimed.len() + count);
        for id in claimed {
            let before = group.pending()[id];
            let entry = stream.get(*id).expect("what is claimed is there");
            let idle_ms = self.now_ms.saturating_sub(before.at_ms());
            self.reply(reply, &entry, idle_ms, before.count);
            let delivery = Delivery::to(consumer, self.now_ms, before.count_after());
            facts.push(&pending(group, *id, delivery));
        }
        if count == 0 {
            return;
        }
        let from = state.last_id.next().unwrap_or(StreamId::MAX);
        for entry in stream.range(from, StreamId::MAX).take(count) {
            state = GroupState { entries_read: read_up_to(stream, &state, entry.id), ..state };
            state.last_id = entry.id;
            self.reply(reply, &entry, 0, 0);
            if !self.asked.no_ack {
                let delivery = Delivery::to(consumer, self.now_ms, 1);
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
            let Some(number) = before.consumer() else { continue };
            let delivery = Delivery::to(number, self.now_ms, before.count_after());
            facts.push(&pending(group, id, delivery));
        }
    }
}

/// What a reader takes over from others.
#[derive(Default)]
struct Claims {
    /// Entries, in the order in which they are told.
    ids: Vec<StreamId>,
    /// Entries that are pending and gone.
    gone: Vec<StreamId>,
}

/// Who has an entry, where of those that were delivered at the same time all are alike.
fn without_number(holder: Holder) -> Holder {
    match holder {
        Holder::Consumer { at_ms, .. } => Holder::Consumer { at_ms, number: 0 },
        nobody => nobody,
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
    fn what_others_left_pending_comes_before_what_is_new() {
        let unit = &mut unit();
        ["1-1", "2-1", "3-1"].iter().for_each(|id| drop(run(unit, &["XADD", "s", id, "f", "v"])));
        run(unit, &["XGROUP", "CREATE", "s", "g", "0"]);
        run(unit, &["XREADGROUP", "GROUP", "g", "c", "COUNT", "2", "STREAMS", "s", ">"]);
        run(unit, &["XCLAIM", "s", "g", "c", "0", "2-1", "IDLE", "70", "JUSTID"]);
        run(unit, &["XCLAIM", "s", "g", "c", "0", "1-1", "IDLE", "50"]);
        let claim = |unit: &mut _, least: &str, rest: &[&str]| {
            let args = ["XREADGROUP", "GROUP", "g", "d", "CLAIM", least];
            run(unit, &[&args, rest, &["STREAMS", "s", ">"]].concat())
        };
        let entry = |id: &str, rest: &str| format!("*4 $3 {id} *2 $1 f $1 v {rest}");
        let (oldest, new) = (entry("2-1", ":70 :1"), entry("3-1", ":0 :0"));
        assert_eq!(claim(unit, "60", &["COUNT", "1"]), format!("*1 *2 $1 s *1 {oldest}"));
        assert_eq!(claim(unit, "60", &["NOACK"]), format!("*1 *2 $1 s *1 {new}"));
        assert_eq!(claim(unit, "60", &[]), "*-1");
        let older = entry("1-1", ":50 :2");
        assert_eq!(claim(unit, "50", &["NOACK"]), format!("*1 *2 $1 s *1 {older}"));
        let listed = run(unit, &["XPENDING", "s", "g", "-", "+", "9"]);
        assert_eq!(listed, "*2 *4 $3 1-1 $1 d :0 :3 *4 $3 2-1 $1 d :0 :2");
        let both = format!("*1 *2 $1 s *2 {} {}", entry("1-1", ":0 :3"), entry("2-1", ":0 :2"));
        assert_eq!(claim(unit, "0", &["CLAIM", "0"]), both);
        run(unit, &["XDEL", "s", "1-1", "2-1"]);
        assert_eq!(claim(unit, "0", &[]), "*-1");
        assert_eq!(run(unit, &["XPENDING", "s", "g"]), "*4 :0 $-1 $-1 *-1");
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
        let cases: [(&[&str], &str); 10] = [
            (&["g", "c", "CLAIM", "x", "STREAMS", "s", ">"], "-ERR min-idle-time is not an int"),
            (&["g", "c", "CLAIM", "-0", "STREAMS", "s", ">"], "-ERR min-idle-time is not an int"),
            (&["g", "c", "CLAIM", "-1", "STREAMS", "s", ">"], "-ERR min-idle-time must be a pos"),
            (&["g", "CLAIM", "5", "c", "STREAMS", "s", ">"], "-ERR syntax error"),
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
