//! Commands that add entries, and set what is known of them: XADD, XSETID.

use crate::command::args::Args;
use crate::command::encodings::Encodings;
use crate::command::number::integer;
use crate::command::row::{block, first_key, key_arg, one_of, word};
use crate::command::spec::key_flag::{RW, UPDATE};
use crate::command::spec::{Arg, ArgKind, Call, Command, Failure, GROWS, Group, Spec, flag};
use crate::format::edit::Edit;
use crate::value::stream_chunk::{NewEntry, NodeLimits, Numbers};
use crate::value::stream_id::StreamId;

use super::id::{self, PartialId};
use super::idempotence::{self, NOTE_BYTES, Sender, count_duplicate};
use super::references::References;
use super::trim::{self, Trim, TrimOptions};
use super::value::{FACT_BYTES, SHAPE, key_bytes, reply_id, stream_to_change};

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "xadd",
            arity: -5,
            flags: flag::WRITE | flag::DENYOOM | flag::FAST,
            keys: &[first_key(RW | UPDATE)
                .note("UPDATE instead of INSERT because of the optional trimming feature")],
            group: Group::Stream,
            since: "5.0.0",
            complexity: "O(1) for the entry, O(N) for N old ones that are taken away.",
            summary: "Appends an entry, and takes old ones away if wanted.",
            args: &[
                key_arg(),
                word("nomkstream", "NOMKSTREAM").optional().since("6.2.0"),
                idempotence::ARG,
                block("trim", trim::ARGS).optional(),
                one_of("id-selector", &[word("auto-id", "*"), Arg::new("id", ArgKind::String)]),
                block(
                    "data",
                    &[Arg::new("field", ArgKind::String), Arg::new("value", ArgKind::String)],
                )
                .multiple(),
            ],
            tips: &["nondeterministic_output"],
            history: &[
                ("6.2.0", "Takes `NOMKSTREAM`, `MINID` and `LIMIT`."),
                ("7.0.0", "Takes IDs whose second number is left to the server (`<ms>-*`)."),
                trim::REFERENCES_SINCE,
                ("8.6.0", "Takes `IDMP` and `IDMPAUTO`."),
            ],
            extra_bytes: Some(|args, _| option_bytes(args) + key_bytes(args)),
            length_after: Some(GROWS),
            ..Spec::EMPTY
        },
        run: xadd,
    },
    Command {
        spec: Spec {
            name: "xsetid",
            arity: -3,
            flags: flag::WRITE | flag::DENYOOM | flag::FAST,
            keys: &[first_key(RW | UPDATE)],
            group: Group::Stream,
            since: "5.0.0",
            summary: "Sets the last ID of a stream, and its counters.",
            args: &[
                key_arg(),
                Arg::new("last-id", ArgKind::String),
                Arg::new("entries-added", ArgKind::Integer)
                    .behind("ENTRIESADDED")
                    .optional()
                    .since("7.0.0"),
                Arg::new("max-deleted-id", ArgKind::String)
                    .behind("MAXDELETEDID")
                    .optional()
                    .since("7.0.0"),
            ],
            history: &[("7.0.0", "Takes `ENTRIESADDED` and `MAXDELETEDID`.")],
            length_after: Some(GROWS),
            ..Spec::EMPTY
        },
        run: xsetid,
    },
];

/// What XADD logs at most of a cut that names what goes.
const NAMED_CUT_BYTES: u64 = 1 << 20;

/// The room that a call reserves for such a cut, and for the name of the entry.
fn option_bytes(args: &Args<'_>) -> u64 {
    let (mut index, mut bytes) = (2, 0);
    while index < args.len() && args.get(index) != b"*" {
        if let Some(next) = Sender::behind(args, index) {
            (index, bytes) = (next, bytes + NOTE_BYTES);
            continue;
        }
        bytes += match References::parse(args, index) {
            Some(References::Remove | References::Acked) => NAMED_CUT_BYTES + FACT_BYTES,
            _ => 0,
        };
        index += 1;
    }
    bytes
}

/// What a call of XADD asks for.
struct Adding {
    /// None where the server chooses it.
    id: Option<PartialId>,
    creates: bool,
    trim: Option<Trim>,
    sender: Option<Sender>,
    /// Index of the first field.
    fields_at: usize,
}

impl Adding {
    fn parse(args: &Args<'_>, encodings: &Encodings) -> Result<Adding, Failure> {
        let (mut options, mut creates, mut index) = (TrimOptions::default(), true, 2);
        let (mut id, mut sender) = (None, None);
        while index < args.len() && args.get(index) != b"*" {
            if let Some(next) = options.take(args, index)? {
                index = next;
            } else if args.is(index, "NOMKSTREAM") {
                (creates, index) = (false, index + 1);
            } else if let Some(next) = Sender::take(args, index, &mut sender)? {
                index = next;
            } else {
                id = Some(id::parse_partial(args.get(index))?);
                if sender.is_some() {
                    return Err(Failure::text(
                        "ERR syntax error, IDMP/IDMPAUTO can be used only with auto-generated IDs",
                    ));
                }
                break;
            }
        }
        let trim = options.finish(encodings, false)?;
        let texts = args.len().saturating_sub(index + 1);
        if texts == 0 || !texts.is_multiple_of(2) {
            let text = "ERR wrong number of arguments for 'xadd' command";
            return Err(Failure::text(text));
        }
        if id == Some(PartialId::Whole(StreamId::ZERO)) {
            return Err(Failure::text("ERR The ID specified in XADD must be greater than 0-0"));
        }
        Ok(Adding { id, creates, trim, sender, fields_at: index + 1 })
    }

    /// The ID of the entry that is the next.
    fn next_id(&self, last: StreamId, now_ms: u64) -> Result<StreamId, Failure> {
        if last == StreamId::MAX {
            return Err(Failure::text(
                "ERR The stream has exhausted the last possible ID, unable to add more items",
            ));
        }
        let next = match self.id {
            None if now_ms > last.ms => Some(StreamId { ms: now_ms, seq: 0 }),
            None => last.next(),
            Some(PartialId::Whole(id)) => Some(id),
            Some(PartialId::Millisecond(ms)) if ms == last.ms => {
                last.seq.checked_add(1).map(|seq| StreamId { ms, seq })
            }
            Some(PartialId::Millisecond(ms)) => Some(StreamId { ms, seq: 0 }),
        };
        next.filter(|next| *next > last).ok_or(Failure::text(
            "ERR The ID specified in XADD is equal or smaller than the target stream top item",
        ))
    }
}

fn xadd(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let asked = Adding::parse(call.args, call.encodings)?;
    let (key, now_ms) = (call.unit.key(call.db, call.args.get(1)), call.unit.now_ms());
    let texts = || call.args.iter_from(asked.fields_at);
    let bytes: u64 = texts().map(|text| text.len() as u64).sum();
    let stream = stream_to_change(call.unit, &key)?;
    if stream.is_none() && !asked.creates {
        call.reply.null();
        return Ok(());
    }
    let names = asked.sender.map(|sender| sender.names(call.args, asked.fields_at));
    let known = names.as_ref().zip(stream).and_then(|(names, stream)| {
        let id = names.find(stream, now_ms)?;
        Some((id, stream.producers().state()))
    });
    if let Some((id, state)) = known {
        count_duplicate(call.unit, &key, state);
        reply_id(call.reply, id);
        return Ok(());
    }
    let last = stream.map_or(StreamId::ZERO, |stream| stream.numbers().last_id);
    let id = asked.next_id(last, now_ms)?;
    if bytes > NodeLimits::BYTES_MAX {
        return Err(Failure::text("ERR Elements are too large to be stored"));
    }
    let node = call.encodings.stream_node();
    let begins_chunk = stream.is_some_and(|stream| stream.tail_chunk().is_full(bytes, node));
    let note = names.map(|names| names.note(stream, now_ms));
    let pairs = (call.args.len() - asked.fields_at) / 2;
    let mut entry = Vec::with_capacity(bytes as usize + 24 + 4 * pairs);
    NewEntry::encode(id, pairs, texts(), &mut entry);
    call.unit.edit(&key, SHAPE, Edit::Append { begins_chunk, entry: &entry });
    if let Some(trim) = asked.trim {
        trim.apply(call.unit, &key, NAMED_CUT_BYTES)?;
    }
    if let Some(note) = note {
        note.apply(call.unit, &key, id);
    }
    reply_id(call.reply, id);
    Ok(())
}

fn xsetid(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let args = call.args;
    let last_id = id::parse(args.get(2), 0)?;
    let (mut entries_added, mut max_deleted_id) = (None, None);
    let mut index = 3;
    while index < args.len() {
        let more = index + 1 < args.len();
        if more && args.is(index, "ENTRIESADDED") {
            let added = u64::try_from(integer(args.get(index + 1))?);
            let added = added.map_err(|_| Failure::text("ERR entries_added must be positive"))?;
            entries_added = Some(added);
        } else if more && args.is(index, "MAXDELETEDID") {
            let deleted = id::parse(args.get(index + 1), 0)?;
            if last_id < deleted {
                return Err(Failure::text(
                    "ERR The ID specified in XSETID is smaller than the provided \
                     max_deleted_entry_id",
                ));
            }
            max_deleted_id = Some(deleted).filter(|deleted| *deleted != StreamId::ZERO);
        } else {
            return Err(Failure::Syntax);
        }
        index += 2;
    }
    let key = call.unit.key(call.db, args.get(1));
    let stream = stream_to_change(call.unit, &key)?.ok_or(Failure::NoSuchKey)?;
    let known = *stream.numbers();
    if last_id < known.max_deleted_id {
        return Err(Failure::text(
            "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id",
        ));
    }
    if stream.last().is_some_and(|entry| last_id < entry.id) {
        return Err(Failure::text(
            "ERR The ID specified in XSETID is smaller than the target stream top item",
        ));
    }
    if !stream.is_empty() && entries_added.is_some_and(|added| added < stream.len()) {
        return Err(Failure::text(
            "ERR The entries_added specified in XSETID is smaller than the target stream length",
        ));
    }
    let numbers = Numbers {
        last_id,
        max_deleted_id: max_deleted_id.unwrap_or(known.max_deleted_id),
        entries_added: entries_added.unwrap_or(known.entries_added),
    };
    let mut bytes = Vec::new();
    numbers.encode(&mut bytes);
    call.unit.edit(&key, SHAPE, Edit::Renumber { numbers: &bytes });
    call.reply.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{run, unit};

    #[test]
    fn ids_ascend_whoever_chooses_them() {
        let unit = &mut unit();
        assert_eq!(run(unit, &["XADD", "s", "*", "a", "1"]), "$15 1600000000000-0");
        assert_eq!(run(unit, &["XADD", "s", "*", "a", "1"]), "$15 1600000000000-1");
        assert_eq!(run(unit, &["XADD", "s", "1600000000000-*", "a", "1"]), "$15 1600000000000-2");
        assert_eq!(run(unit, &["XADD", "s", "1600000000001-*", "a", "1"]), "$15 1600000000001-0");
        assert_eq!(run(unit, &["XADD", "s", "*", "a", "1"]), "$15 1600000000001-1");
        let low = run(unit, &["XADD", "s", "5-*", "a", "1"]);
        assert!(low.starts_with("-ERR The ID specified in XADD is equal or smaller"), "{low}");
        assert_eq!(run(unit, &["XADD", "t", "0-*", "a", "1"]), "$3 0-1");
        assert_eq!(run(unit, &["XADD", "u", "NOMKSTREAM", "*", "a", "1"]), "$-1");
        assert_eq!(run(unit, &["EXISTS", "u"]), ":0");
    }

    #[test]
    fn the_last_id_there_is_exhausts_a_stream() {
        let unit = &mut unit();
        let highest = "18446744073709551615";
        run(unit, &["XADD", "s", &format!("{highest}-{highest}"), "a", "1"]);
        let reply = run(unit, &["XADD", "s", "*", "a", "1"]);
        assert!(reply.starts_with("-ERR The stream has exhausted the last possible ID"), "{reply}");
        run(unit, &["XADD", "t", &format!("5-{highest}"), "a", "1"]);
        assert!(run(unit, &["XADD", "t", "5-*", "a", "1"]).starts_with("-ERR The ID"));
        assert_eq!(run(unit, &["XADD", "t", "6-*", "a", "1"]), "$3 6-0");
    }

    #[test]
    fn bad_calls_are_refused_as_in_redis() {
        let unit = &mut unit();
        run(unit, &["SET", "string", "1"]);
        run(unit, &["XADD", "s", "5-5", "a", "1"]);
        let wrong = "-ERR wrong number of arguments for 'xadd' command";
        let cases: [(&[&str], &str); 10] = [
            (&["XADD", "s", "*", "a", "1", "b"], wrong),
            (&["XADD", "s", "NOMKSTREAM", "*", "a"], wrong),
            (&["XADD", "s", "0-0", "a", "1"], "-ERR The ID specified in XADD must be greater"),
            (&["XADD", "s", "x", "a", "1"], "-ERR Invalid stream ID"),
            (&["XADD", "string", "*", "a", "1"], "-WRONGTYPE"),
            (&["XSETID", "none", "1"], "-ERR no such key"),
            (&["XSETID", "s", "5-4"], "-ERR The ID specified in XSETID is smaller than the target"),
            (&["XSETID", "s", "6", "ENTRIESADDED", "0"], "-ERR The entries_added specified"),
            (
                &["XSETID", "s", "6", "MAXDELETEDID", "7"],
                "-ERR The ID specified in XSETID is smaller",
            ),
            (&["XSETID", "s", "6", "FOO"], "-ERR syntax error"),
        ];
        for (args, reply) in cases {
            assert!(run(unit, args).starts_with(reply), "{args:?}: {}", run(unit, args));
        }
        assert_eq!(
            run(unit, &["XSETID", "s", "6", "ENTRIESADDED", "9", "MAXDELETEDID", "3"]),
            "+OK"
        );
        assert!(run(unit, &["XSETID", "s", "2"]).contains("smaller than current max_deleted"));
    }
}
