//! How streams are cut at their old end: XTRIM, and what XADD takes of it.

use crate::command::args::Args;
use crate::command::encodings::Encodings;
use crate::command::number::integer;
use crate::command::row::{block, first_key, key_arg, one_of, word};
use crate::command::spec::key_flag::{DELETE, RW};
use crate::command::spec::{Arg, ArgKind, Call, Command, Failure, Group, Spec, flag};
use crate::engine::unit::{Key, Unit};
use crate::format::edit::Edit;
use crate::value::stream::Stream;
use crate::value::stream_id::StreamId;

use super::id;
use super::value::{SHAPE, stream_to_change};

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
];

/// The rows of this file.
pub const COMMANDS: &[Command] = &[Command {
    spec: Spec {
        name: "xtrim",
        arity: -4,
        flags: flag::WRITE | flag::FREES,
        keys: &[first_key(RW | DELETE)],
        group: Group::Stream,
        since: "5.0.0",
        complexity: "O(N) for N entries that go, by whole chunks where that is asked for.",
        summary: "Takes the oldest entries away, down to a length or up to an ID.",
        args: &[key_arg(), block("trim", ARGS)],
        tips: &["nondeterministic_output"],
        history: &[("6.2.0", "Takes `MINID` and `LIMIT`.")],
        ..Spec::EMPTY
    },
    run: xtrim,
}];

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
}

/// The options of a cut as they come.
#[derive(Default)]
pub struct TrimOptions {
    keep: Option<Keep>,
    by_node: bool,
    limit: Option<u64>,
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
        Ok(None)
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
        Ok(Some(Trim { keep, by_node: self.by_node, limit }))
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

    /// Cuts a live stream; how many entries went.
    pub fn apply(&self, unit: &mut Unit<'_>, key: &Key<'_>) -> Result<u64, Failure> {
        let stream = stream_to_change(unit, key)?;
        let count = stream.map_or(0, |stream| self.count(stream));
        if count > 0 {
            unit.edit(key, SHAPE, Edit::Trim { count });
        }
        Ok(count)
    }
}

fn xtrim(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let (mut options, mut index) = (TrimOptions::default(), 2);
    while index < call.args.len() {
        index = options.take(call.args, index)?.ok_or(Failure::Syntax)?;
    }
    let trim = options.finish(call.encodings, true)?.ok_or(Failure::Syntax)?;
    let key = call.unit.key(call.db, call.args.get(1));
    let count = trim.apply(call.unit, &key)?;
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

    #[test]
    fn bad_cuts_are_refused_as_in_redis() {
        let unit = &mut unit();
        run(unit, &["SET", "string", "1"]);
        let cases: [(&[&str], &str); 9] = [
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
            (&["string", "MAXLEN", "1"], "-WRONGTYPE"),
        ];
        for (args, reply) in cases {
            let args = [&["XTRIM"], args].concat();
            assert!(run(unit, &args).starts_with(reply), "{args:?}: {}", run(unit, &args));
        }
    }
}
