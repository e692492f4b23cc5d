//! How streams are cut at their old end: XTRIM, and what XADD takes of it.

use std::collections::BTreeSet;

use crate::command::args::Args;
use crate::command::collection::stream_in;
use crate::command::encodings::Encodings;
use crate::command::number::integer;
use crate::command::row::{block, first_key, key_arg, one_of, word};
use crate::command::spec::key_flag::{DELETE, RW};
use crate::command::spec::{Arg, ArgKind, Call, Command, Copies, Failure, Group, Spec, flag};
use crate::engine::unit::{Key, Unit, ValueRef};
use crate::format::edit::Edit;
use crate::value::stream::Stream;
use crate::value::stream_chunk::{EntryChunk, Numbers};
use crate::value::stream_fact::Topic;
use crate::value::stream_id::StreamId;

use super::id;
use super::references::{REFERENCES_ARG, References, is_referenced, references};
use super::value::{FACT_BYTES, SHAPE, delete_entries, key_bytes, remove_facts, stream_to_change};

/// Nodes whose entries an approximate cut takes at most, where the call does not say.
const NODES_PER_CUT: u64 = 100;
/// Entries that an approximate cut takes at most, where nodes have no limit.
const ENTRIES_PER_CUT: u64 = 10_000;
/// The same, whatever the limit of a node.
const ENTRIES_PER_CUT_MAX: u64 = 1_000_000;

/// The arguments of a cut, for COMMAND DOCS.
pub const ARGS: &[Arg] = &[
    one_of("strategy", &[word("maxlen", "MAXLEN"), word("minid", "MINID").since("6.2.0")]),
    one_of("operator", &[word("equal", "="), word("approximately", "~")]).optional(),
    Arg::new("threshold", ArgKind::String),
    Arg::new("count", ArgKind::Integer).behind("LIMIT").optional().since("6.2.0"),
    REFERENCES_ARG.since("8.2.0"),
];

/// The version that brought the options about what is pending.
pub const REFERENCES_SINCE: (&str, &str) = ("8.2.0", "Takes `KEEPREF`, `DELREF` and `ACKED`.");

/// The rows of this file.
pub const COMMANDS: &[Command] = &[Command {
    spec: Spec {
        name: "xtrim",
        arity: -4,
        flags: flag::WRITE | flag::FREES | flag::COPIES,
        keys: &[first_key(RW | DELETE)],
        group: Group::Stream,
        since: "5.0.0",
        complexity: "O(N) for N entries that go, by whole chunks where that is asked for.",
        summary: "Takes the oldest entries away, down to a length or up to an ID.",
        args: &[key_arg(), block("trim", ARGS)],
        tips: &["nondeterministic_output"],
        history: &[("6.2.0", "Takes `MINID` and `LIMIT`."), REFERENCES_SINCE],
        copies: Copies::Chosen(removed_bytes),
        ..Spec::EMPTY
    },
    run: xtrim,
}];

/// A bound of what a cut logs that names what goes.
fn removed_bytes(args: &Args<'_>, value: ValueRef<'_>) -> u64 {
    let names_all = (2..args.len()).any(|index| {
        matches!(References::parse(args, index), Some(References::Remove | References::Acked))
    });
    let Some(stream) = stream_in(value).ok().filter(|_| names_all) else { return 0 };
    let pending: u64 = stream.groups().iter().map(|group| group.pending().len() as u64).sum();
    stream.len().saturating_add(pending).saturating_mul(FACT_BYTES) + key_bytes(args)
}

/// What stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keep {
    /// So many entries.
    Length(u64),
    /// Entries from this ID on.
    From(StreamId),
}

/// A cut at the old end of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trim {
    keep: Keep,
    /// Only whole nodes go.
    by_node: bool,
    /// So many entries go at most; 0 is no limit.
    limit: u64,
    references: References,
}

/// The options of a cut as they come.
#[derive(Default)]
pub struct TrimOptions {
    keep: Option<Keep>,
    by_node: bool,
    limit: Option<u64>,
    references: Option<References>,
}

impl TrimOptions {
    /// Takes the option at `index`; the index behind it, none where it is no option of a cut.
    pub fn take(&mut self, args: &Args<'_>, index: usize) -> Result<Option<usize>, Failure> {
        let more = args.len() - 1 - index;
        let is_length = args.is(index, "MAXLEN");
        if more > 0 && (is_length || args.is(index, "MINID")) {
            if self.keep.is_some() {
                return Err(Failure::text(
                    "ERR syntax error, MAXLEN and MINID options at the same time are not \
                     compatible",
                ));
            }
            let operator = if more > 1 { args.get(index + 1) } else { b"" };
            self.by_node = operator == b"~";
            let at = if matches!(operator, b"~" | b"=") { index + 2 } else { index + 1 };
            self.keep = Some(match is_length {
                true => {
                    let text = Failure::text("ERR The MAXLEN argument must be >= 0.");
                    Keep::Length(u64::try_from(integer(args.get(at))?).map_err(|_| text)?)
                }
                false => Keep::From(id::parse(args.get(at), 0)?),
            });
            return Ok(Some(at + 1));
        }
        if more > 0 && args.is(index, "LIMIT") {
            let text = Failure::text("ERR The LIMIT argument must be >= 0.");
            let limit = integer(args.get(index + 1))?;
            self.limit = Some(u64::try_from(limit).map_err(|_| text)?);
            return Ok(Some(index + 2));
        }
        let option = References::parse(args, index).filter(|_| self.references.is_none());
        self.references = self.references.or(option);
        Ok(option.map(|_| index + 1))
    }

    /// The cut that they ask for; there must be one where it is `required`.
    pub fn finish(self, encodings: &Encodings, required: bool) -> Result<Option<Trim>, Failure> {
        let fails = |text| Err(Failure::text(text));
        if self.keep.is_none() && self.limit.is_some_and(|limit| limit > 0) {
            return fails(
                "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
            );
        }
        if self.keep.is_none() && required {
            return fails("ERR syntax error, XTRIM must be called with a trimming strategy");
        }
        if self.limit.is_some() && !self.by_node {
            return fails("ERR syntax error, LIMIT cannot be used without the special ~ option");
        }
        let Some(keep) = self.keep else { return Ok(None) };
        let per_cut = match encodings.stream_node_entries.saturating_mul(NODES_PER_CUT) {
            0 => ENTRIES_PER_CUT,
            entries => entries.min(ENTRIES_PER_CUT_MAX),
        };
        let limit = self.limit.unwrap_or(if self.by_node { per_cut } else { 0 });
        let references = self.references.unwrap_or_default();
        Ok(Some(Trim { keep, by_node: self.by_node, limit, references }))
    }
}

impl Trim {
    /// How many of the first entries go.
    fn count(&self, stream: &Stream) -> u64 {
        let exact = match self.keep {
            Keep::Length(len) => stream.len().saturating_sub(len),
            Keep::From(id) => stream.count_below(id),
        };
        if !self.by_node {
            return exact;
        }
        let mut gone = 0;
        for chunk in stream.entry_chunks() {
            let next = gone + chunk.len();
            let goes_whole = match self.keep {
                Keep::Length(_) => next <= exact,
                Keep::From(id) => chunk.high() < id,
            };
            if !goes_whole || (self.limit > 0 && next > self.limit) {
                break;
            }
            gone = next;
        }
        gone
    }

    /// Cuts a live stream; how many entries went. What is logged by name, where that is needed, is
    /// `log_bytes` at most, and what is left stays.
    pub fn apply(
        &self,
        unit: &mut Unit<'_>,
        key: &Key<'_>,
        log_bytes: u64,
    ) -> Result<u64, Failure> {
        let Some(stream) = stream_to_change(unit, key)? else { return Ok(0) };
        if self.references == References::Keep || stream.groups().iter().len() == 0 {
            let count = self.count(stream);
            if count > 0 {
                unit.edit(key, SHAPE, Edit::Trim { count });
            }
            return Ok(count);
        }
        let mut named = NamedCut { facts_left: log_bytes / FACT_BYTES, ..NamedCut::default() };
        self.choose(stream, &mut named);
        let numbers = *stream.numbers();
        named.apply(unit, key, numbers);
        Ok(named.entries.len() as u64)
    }

    /// Chooses what goes, chunk by chunk. Entries that stay because of what is pending count as
    /// there, so that younger ones may go in their place; but a chunk of which only a part goes is
    /// the last.
    fn choose(&self, stream: &Stream, named: &mut NamedCut) {
        for chunk in stream.entry_chunks() {
            let left = stream.len() - named.entries.len() as u64;
            let gone = named.entries.len() as u64;
            let is_short = matches!(self.keep, Keep::Length(len) if left <= len);
            let is_enough = self.limit > 0 && gone + chunk.len() > self.limit;
            if is_short || is_enough {
                break;
            }
            let goes_whole = match self.keep {
                Keep::Length(len) => left - chunk.len() >= len,
                Keep::From(id) => chunk.high() < id,
            };
            if !self.choose_of(stream, chunk, named) || !goes_whole {
                break;
            }
        }
    }

    /// Chooses what goes of a chunk; false where the log has no more room.
    fn choose_of(&self, stream: &Stream, chunk: &EntryChunk, named: &mut NamedCut) -> bool {
        for entry in chunk.iter() {
            let is_done = match self.keep {
                Keep::Length(len) => stream.len() - named.entries.len() as u64 <= len,
                Keep::From(id) => entry.id >= id,
            };
            if is_done {
                break;
            }
            let is_acked = self.references == References::Acked;
            if is_acked && is_referenced(stream.groups(), entry.id, None) {
                continue;
            }
            if !named.add(stream, entry.id) {
                return false;
            }
        }
        true
    }
}

/// A cut that is logged entry by entry, with what is pending of them.
#[derive(Default)]
struct NamedCut {
    entries: BTreeSet<StreamId>,
    pending: Vec<Topic<'static>>,
    /// How many more names the log has room for.
    facts_left: u64,
}

impl NamedCut {
    /// Adds an entry; false where the log has no more room.
    fn add(&mut self, stream: &Stream, id: StreamId) -> bool {
        let before = self.pending.len();
        self.pending.extend(references(stream.groups(), id));
        let names = 1 + (self.pending.len() - before) as u64;
        let fits = names <= self.facts_left;
        if fits {
            self.facts_left -= names;
            self.entries.insert(id);
        } else {
            self.pending.truncate(before);
        }
        fits
    }

    /// Logs and applies it. A cut leaves the highest deleted ID as it was.
    fn apply(&self, unit: &mut Unit<'_>, key: &Key<'_>, before: Numbers) {
        if self.entries.is_empty() {
            return;
        }
        delete_entries(unit, key, &self.entries);
        let mut numbers = Vec::new();
        before.encode(&mut numbers);
        unit.edit(key, SHAPE, Edit::Renumber { numbers: &numbers });
        remove_facts(unit, key, self.pending.iter().copied());
    }
}

fn xtrim(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let (mut options, mut index) = (TrimOptions::default(), 2);
    while index < call.args.len() {
        index = options.take(call.args, index)?.ok_or(Failure::Syntax)?;
    }
    let trim = options.finish(call.encodings, true)?.ok_or(Failure::Syntax)?;
    let key = call.unit.key(call.db, call.args.get(1));
    let count = trim.apply(call.unit, &key, u64::MAX)?;
    call.reply.integer(count as i64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{run, unit};

    fn fill(unit: &mut crate::engine::unit::Unit<'_>, count: u64) {
        (1..=count).for_each(|ms| drop(run(unit, &["XADD", "s", &ms.to_string(), "f", "v"])));
    }

    #[test]
    fn an_exact_cut_goes_to_the_entry_and_an_approximate_one_to_the_node() {
        let mut unit = unit();
        fill(&mut unit, 250);
        assert_eq!(run(&mut unit, &["XTRIM", "s", "MAXLEN", "240"]), ":10");
        assert_eq!(run(&mut unit, &["XTRIM", "s", "MAXLEN", "~", "151"]), ":0");
        assert_eq!(run(&mut unit, &["XTRIM", "s", "MAXLEN", "~", "150", "LIMIT", "89"]), ":0");
        assert_eq!(run(&mut unit, &["XTRIM", "s", "MAXLEN", "~", "150", "LIMIT", "90"]), ":90");
        assert_eq!(run(&mut unit, &["XTRIM", "s", "MINID", "~", "200"]), ":0");
        assert_eq!(run(&mut unit, &["XTRIM", "s", "MINID", "~", "201"]), ":100");
        assert_eq!(run(&mut unit, &["XTRIM", "s", "MINID", "=", "203"]), ":2");
        assert_eq!(run(&mut unit, &["XTRIM", "s", "MAXLEN", "0"]), ":48");
        assert_eq!(run(&mut unit, &["XLEN", "s"]), ":0");
        assert_eq!(run(&mut unit, &["EXISTS", "s"]), ":1");
    }

    /// Two groups, of which `g` has read so many entries, and `h` all, which it has acknowledged.
    fn read(unit: &mut crate::engine::unit::Unit<'_>, count: &str) {
        for (group, count) in [("g", count), ("h", "1000")] {
            run(unit, &["XGROUP", "CREATE", "s", group, "0"]);
            run(unit, &["XREADGROUP", "GROUP", group, "c", "COUNT", count, "STREAMS", "s", ">"]);
        }
        let ids: Vec<String> = (1..=1000).map(|ms| ms.to_string()).collect();
        let ids = ids.iter().map(String::as_str);
        run(unit, &["XACK", "s", "h"].into_iter().chain(ids).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_not_acknowledged_stays_and_others_go_in_its_place() {
        let unit = &mut unit();
        fill(unit, 10);
        read(unit, "8");
        run(unit, &["XACK", "s", "g", "2", "4", "6", "8"]);
        assert_eq!(run(unit, &["XTRIM", "s", "MAXLEN", "9", "ACKED"]), ":1");
        assert_eq!(run(unit, &["XTRIM", "s", "ACKED", "MINID", "7"]), ":2");
        assert_eq!(run(unit, &["XTRIM", "s", "ACKED", "MAXLEN", "0"]), ":1", "g has not read 9");
        let left = run(unit, &["XRANGE", "s", "-", "+"]);
        let ids: Vec<&str> = left.split(' ').filter(|word| word.ends_with("-0")).collect();
        assert_eq!(ids, ["1-0", "3-0", "5-0", "7-0", "9-0", "10-0"]);
        let stream = run(unit, &["XINFO", "STREAM", "s"]);
        assert!(stream.contains("$20 max-deleted-entry-id $3 0-0"), "{stream}");
        assert_eq!(run(unit, &["XTRIM", "s", "MAXLEN", "8", "KEEPREF"]), ":0");
        assert_eq!(run(unit, &["XTRIM", "s", "MAXLEN", "5", "KEEPREF"]), ":1");
        let pending = run(unit, &["XPENDING", "s", "g"]);
        assert!(pending.starts_with("*4 :4 $3 1-0"), "{pending}");
    }

    #[test]
    fn what_is_pending_goes_with_its_entry() {
        let unit = &mut unit();
        fill(unit, 250);
        read(unit, "240");
        assert_eq!(run(unit, &["XTRIM", "s", "MAXLEN", "~", "30", "DELREF", "LIMIT", "99"]), ":0");
        let first = run(unit, &["XTRIM", "s", "MAXLEN", "~", "130", "DELREF", "LIMIT", "100"]);
        assert_eq!(first, ":100");
        let pending = |unit: &mut _| run(unit, &["XPENDING", "s", "g"]);
        assert!(pending(unit).starts_with("*4 :140 $5 101-0"), "{}", pending(unit));
        let added = run(unit, &["XADD", "s", "DELREF", "MAXLEN", "5", "251", "f", "v"]);
        assert_eq!((&added[..], &pending(unit)[..]), ("$5 251-0", "*4 :0 $-1 $-1 *-1"));
        assert_eq!(run(unit, &["XLEN", "s"]), ":5");
    }

    #[test]
    fn an_entry_that_is_added_takes_away_no_more_than_the_log_has_room_for() {
        let unit = &mut unit();
        fill(unit, 12_000);
        read(unit, "12000");
        let added = ["XADD", "s", "DELREF", "MAXLEN", "0", "99999", "f", "v"];
        assert_eq!(run(unit, &added), "$7 99999-0");
        // Each entry has two names in the log: its own, and that of what is pending.
        assert_eq!(run(unit, &["XLEN", "s"]), ":6540");
        assert_eq!(run(unit, &["XTRIM", "s", "DELREF", "MAXLEN", "0"]), ":6540");
    }

    #[test]
    fn bad_cuts_are_refused_as_in_redis() {
        let unit = &mut unit();
        run(unit, &["SET", "string", "1"]);
        let cases: [(&[&str], &str); 11] = [
            (&["s", "MAXLEN", "-1"], "-ERR The MAXLEN argument must be >= 0."),
            (&["s", "MAXLEN", "x"], "-ERR value is not an integer or out of range"),
            (&["s", "MINID", "x"], "-ERR Invalid stream ID specified as stream command argument"),
            (&["s", "LIMIT", "5"], "-ERR syntax error, LIMIT cannot be used without specifying"),
            (
                &["s", "MAXLEN", "1", "LIMIT", "5"],
                "-ERR syntax error, LIMIT cannot be used without the",
            ),
            (&["s", "MAXLEN", "~", "1", "LIMIT", "-5"], "-ERR The LIMIT argument must be >= 0."),
            (&["s", "MAXLEN", "1", "MINID", "1"], "-ERR syntax error, MAXLEN and MINID options"),
            (&["s", "FOO", "1"], "-ERR syntax error"),
            (&["s", "MAXLEN", "1", "ACKED", "DELREF"], "-ERR syntax error"),
            (&["s", "ACKED", "DELREF"], "-ERR syntax error"),
            (&["string", "MAXLEN", "1"], "-WRONGTYPE"),
        ];
        for (args, reply) in cases {
            let args = [&["XTRIM"], args].concat();
            assert!(run(unit, &args).starts_with(reply), "{args:?}: {}", run(unit, &args));
        }
    }
}
