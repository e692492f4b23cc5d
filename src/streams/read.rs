//! XREAD, and the arguments that it shares with XREADGROUP.

use crate::command::args::Args;
use crate::command::block::{Block, whole_timeout_ms};
use crate::command::collection::stream_of;
use crate::command::number::{integer, parse_integer};
use crate::command::row::{block, named_key};
use crate::command::spec::key_flag::{ACCESS, RO};
use crate::command::spec::{
    Arg, ArgKind, BeginSearch, Call, Command, Failure, FindKeys, Group, KeySpec, Spec, flag,
};
use crate::engine::unit::{Key, Unit};
use crate::resp::write::{Protocol, Reply};
use crate::types::ValueKind;
use crate::value::stream::Stream;
use crate::value::stream_id::StreamId;

use super::id;
use super::value::{read_stream, reply_entry};

/// Arguments behind STREAMS, for COMMAND DOCS.
pub const STREAMS_ARG: Arg =
    block("streams", &[named_key("key", 0).multiple(), Arg::new("id", ArgKind::String).multiple()])
        .behind("STREAMS");
/// COUNT, for COMMAND DOCS.
pub const COUNT_ARG: Arg = Arg::new("count", ArgKind::Integer).behind("COUNT").optional();
/// BLOCK, for COMMAND DOCS.
pub const BLOCK_ARG: Arg = Arg::new("milliseconds", ArgKind::Integer).behind("BLOCK").optional();

/// The first half of the arguments behind STREAMS, which is searched from argument `from` on.
pub const fn stream_keys(from: i32) -> KeySpec {
    KeySpec {
        begin: BeginSearch::Keyword("STREAMS", from),
        find: FindKeys::Range { last: -1, step: 1, limit: 2 },
        flags: RO | ACCESS,
        notes: "",
    }
}

/// The rows of this file.
pub const COMMANDS: &[Command] = &[Command {
    spec: Spec {
        name: "xread",
        arity: -4,
        flags: flag::READONLY | flag::BLOCKING | flag::MOVABLE_KEYS,
        keys: &[stream_keys(1)],
        group: Group::Stream,
        since: "5.0.0",
        complexity: "O(N) for N entries that are returned.",
        summary: "Returns the entries behind an ID of each stream, or waits for one.",
        args: &[COUNT_ARG, BLOCK_ARG, STREAMS_ARG],
        ..Spec::EMPTY
    },
    run: xread,
}];

/// What XREAD and XREADGROUP ask for.
pub struct Asked {
    /// Entries of each stream at most.
    pub count: usize,
    /// Milliseconds to wait, none for ever; None where the call does not wait.
    pub timeout_ms: Option<Option<u64>>,
    /// Whether nothing becomes pending.
    pub no_ack: bool,
    /// How long others must have left entries pending, in milliseconds, for them to be claimed.
    pub claim_idle_ms: Option<u64>,
    /// Index of the group's name, which the consumer's follows.
    pub group_at: Option<usize>,
    /// Index of the first key.
    pub keys_at: usize,
    /// Number of streams.
    pub streams: usize,
}

impl Asked {
    /// Reads the arguments of XREADGROUP, or of XREAD.
    pub fn parse(args: &Args<'_>, is_group: bool) -> Result<Asked, Failure> {
        let mut asked = Asked {
            count: usize::MAX,
            timeout_ms: None,
            no_ack: false,
            claim_idle_ms: None,
            group_at: None,
            keys_at: 0,
            streams: 0,
        };
        let mut index = 1;
        while index < args.len() {
            let more = args.len() - 1 - index;
            if more > 0 && args.is(index, "BLOCK") {
                asked.timeout_ms = Some(whole_timeout_ms(args.get(index + 1))?);
                index += 1;
            } else if more > 0 && args.is(index, "COUNT") {
                let count = integer(args.get(index + 1))?;
                asked.count = if count > 0 { count as usize } else { usize::MAX };
                index += 1;
            } else if more > 0 && args.is(index, "STREAMS") {
                if !more.is_multiple_of(2) {
                    return Err(unbalanced(is_group));
                }
                (asked.keys_at, asked.streams) = (index + 1, more / 2);
                break;
            } else if more > 1 && args.is(index, "GROUP") {
                if !is_group {
                    return Err(only_of_groups("GROUP"));
                }
                asked.group_at = Some(index + 1);
                index += 2;
            } else if more > 0 && args.is(index, "CLAIM") {
                if !is_group {
                    return Err(only_of_groups("CLAIM"));
                }
                asked.claim_idle_ms = Some(min_idle_ms(args.get(index + 1))?);
                index += 1;
            } else if args.is(index, "NOACK") {
                if !is_group {
                    return Err(only_of_groups("NOACK"));
                }
                asked.no_ack = true;
            } else {
                return Err(Failure::Syntax);
            }
            index += 1;
        }
        if asked.streams == 0 {
            return Err(Failure::Syntax);
        }
        if is_group && asked.group_at.is_none() {
            return Err(Failure::text("ERR Missing GROUP option for XREADGROUP"));
        }
        Ok(asked)
    }

    /// Key and ID of the stream with this index, as they are written.
    pub fn stream<'a>(&self, args: &Args<'a>, index: usize) -> (&'a [u8], &'a [u8]) {
        let at = self.keys_at + index;
        (args.get(at), args.get(at + self.streams))
    }

    /// The key of a stream when a call that waited is served, where the unit holds a stream there.
    /// What it does not hold has not changed since it was found to have nothing.
    pub fn held<'a>(
        &self,
        unit: &mut Unit<'_>,
        (db, args): (u32, &Args<'a>),
        index: usize,
    ) -> Option<Key<'a>> {
        let key = unit.key(db, self.stream(args, index).0);
        if !unit.holds(&key) {
            return None;
        }
        let kind = unit.probe(&key).map(|view| view.value.kind());
        (kind == Some(ValueKind::Stream)).then_some(key)
    }
}

/// What CLAIM asks for.
fn min_idle_ms(text: &[u8]) -> Result<u64, Failure> {
    let ms = parse_integer(text).ok_or(Failure::text("ERR min-idle-time is not an integer"))?;
    u64::try_from(ms).map_err(|_| Failure::text("ERR min-idle-time must be a positive integer"))
}

fn unbalanced(is_group: bool) -> Failure {
    Failure::text(match is_group {
        true => {
            "ERR Unbalanced 'xreadgroup' list of streams: for each stream key an ID or '>' must be \
             specified."
        }
        false => {
            "ERR Unbalanced 'xread' list of streams: for each stream key an ID or '$' must be \
             specified."
        }
    })
}

fn only_of_groups(option: &str) -> Failure {
    let rest = "option is only supported by XREADGROUP. You called XREAD instead.";
    Failure::Text(format!("ERR The {option} {rest}").into())
}

/// Begins a reply about so many streams.
pub fn reply_streams(reply: &mut Reply<'_>, count: usize) {
    match reply.protocol() {
        Protocol::Resp2 => reply.array(count),
        Protocol::Resp3 => reply.map(count),
    }
}

/// Begins the reply about one of them, whose entries follow.
pub fn reply_key(reply: &mut Reply<'_>, key: &[u8]) {
    if reply.protocol() == Protocol::Resp2 {
        reply.array(2);
    }
    reply.bulk(key);
}

/// Number of entries behind an ID.
pub fn count_behind(stream: &Stream, id: StreamId) -> u64 {
    id.next().map_or(0, |next| stream.len() - stream.count_below(next))
}

/// Replies with the entries behind an ID.
fn reply_behind(reply: &mut Reply<'_>, stream: &Stream, id: StreamId, count: usize) {
    let count = count.min(count_behind(stream, id) as usize);
    reply.array(count);
    let entries = id.next().into_iter().flat_map(|next| stream.range(next, StreamId::MAX));
    entries.take(count).for_each(|entry| reply_entry(reply, &entry));
}

/// The ID behind which a stream, which may be missing, is read.
fn read_from(stream: Option<&Stream>, text: &[u8]) -> Result<StreamId, Failure> {
    let last_id = stream.map_or(StreamId::ZERO, |stream| stream.numbers().last_id);
    match text {
        b"$" => Ok(last_id),
        b"+" => {
            let last = stream.and_then(|stream| stream.last());
            Ok(last.and_then(|entry| entry.id.previous()).unwrap_or(last_id))
        }
        b">" => Err(Failure::text(
            "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> \
             <consumer> option.",
        )),
        _ => id::parse(text, 0),
    }
}

/// The ID behind which the stream of a key is read, and whether there is something.
fn look(unit: &mut Unit<'_>, key: &Key<'_>, text: &[u8]) -> Result<(StreamId, bool), Failure> {
    let stream = read_stream(unit, key)?;
    let from = read_from(stream, text)?;
    Ok((from, stream.is_some_and(|stream| count_behind(stream, from) > 0)))
}

fn xread(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let asked = Asked::parse(call.args, false)?;
    let (mut ready, mut resolved) = (Vec::new(), Vec::new());
    for index in 0..asked.streams {
        let (key, text) = asked.stream(call.args, index);
        let key = call.unit.key(call.db, key);
        let (from, is_ready) = look(call.unit, &key, text)?;
        if is_ready {
            ready.push((key, from));
        }
        if text == b"$" {
            let at = asked.keys_at + asked.streams + index;
            resolved.push((at, from.to_string().into_bytes()));
        }
    }
    if !ready.is_empty() {
        return tell(call, &ready, asked.count);
    }
    match asked.timeout_ms {
        None => call.reply.null_array(),
        Some(timeout_ms) => {
            let keys = asked.keys_at..asked.keys_at + asked.streams;
            let block = Block::new(keys, timeout_ms, serve, |_, _, _| 0);
            call.wait(Block { resolved, ..block });
        }
    }
    Ok(())
}

/// Replies with so many entries at most of each stream, from behind an ID on.
fn tell(
    call: &mut Call<'_, '_, '_>,
    ready: &[(Key<'_>, StreamId)],
    count: usize,
) -> Result<(), Failure> {
    reply_streams(call.reply, ready.len());
    for (key, from) in ready {
        reply_key(call.reply, key.bytes);
        if let Some(view) = call.unit.seen(key) {
            reply_behind(call.reply, stream_of(&view)?, *from, count);
        }
    }
    Ok(())
}

/// Answers from all streams that are ready now; what was `$` is an ID by now.
fn serve(call: &mut Call<'_, '_, '_>, _: &Key<'_>) -> Result<bool, Failure> {
    let asked = Asked::parse(call.args, false)?;
    let mut ready = Vec::new();
    for index in 0..asked.streams {
        let Some(key) = asked.held(call.unit, (call.db, call.args), index) else { continue };
        let (from, is_ready) = look(call.unit, &key, asked.stream(call.args, index).1)?;
        if is_ready {
            ready.push((key, from));
        }
    }
    if !ready.is_empty() {
        tell(call, &ready, asked.count)?;
    }
    Ok(!ready.is_empty())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{run, unit};

    #[test]
    fn streams_with_something_behind_the_id_are_told() {
        let unit = &mut unit();
        run(unit, &["XADD", "a", "1-1", "f", "v"]);
        run(unit, &["XADD", "a", "2-1", "f", "w"]);
        run(unit, &["XADD", "b", "1-1", "f", "x"]);
        let reply = run(unit, &["XREAD", "STREAMS", "a", "b", "c", "1", "$", "0"]);
        assert_eq!(reply, "*1 *2 $1 a *2 *2 $3 1-1 *2 $1 f $1 v *2 $3 2-1 *2 $1 f $1 w");
        let last = run(unit, &["XREAD", "COUNT", "9", "STREAMS", "a", "b", "+", "+"]);
        let entries = ["*2 $1 a *1 *2 $3 2-1 *2 $1 f $1 w", "*2 $1 b *1 *2 $3 1-1 *2 $1 f $1 x"];
        assert_eq!(last, format!("*2 {}", entries.join(" ")));
        assert_eq!(run(unit, &["XREAD", "STREAMS", "a", "2-1"]), "*-1");
        assert_eq!(run(unit, &["XREAD", "BLOCK", "0", "STREAMS", "a", "$"]), "*-1");
    }

    #[test]
    fn bad_calls_are_refused_as_in_redis() {
        let unit = &mut unit();
        run(unit, &["SET", "string", "1"]);
        let cases: [(&[&str], &str); 9] = [
            (&["STREAMS", "a", "b", "0"], "-ERR Unbalanced 'xread' list of streams: for each"),
            (&["COUNT", "1", "BLOCK", "1"], "-ERR syntax error"),
            (
                &["BLOCK", "x", "STREAMS", "a", "0"],
                "-ERR timeout is not an integer or out of range",
            ),
            (&["BLOCK", "-1", "STREAMS", "a", "0"], "-ERR timeout is negative"),
            (&["NOACK", "STREAMS", "a", "0"], "-ERR The NOACK option is only supported by"),
            (&["GROUP", "g", "c", "STREAMS", "a", "0"], "-ERR The GROUP option is only supported"),
            (&["STREAMS", "a", ">"], "-ERR The > ID can be specified only when calling XREADGROUP"),
            (&["STREAMS", "a", "x"], "-ERR Invalid stream ID"),
            (&["STREAMS", "string", "x"], "-WRONGTYPE"),
        ];
        for (args, reply) in cases {
            let args = [&["XREAD"], args].concat();
            assert!(run(unit, &args).starts_with(reply), "{args:?}: {}", run(unit, &args));
        }
    }
}
