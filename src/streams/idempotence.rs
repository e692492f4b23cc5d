//! Entries that are added once, however often their producer sends them: IDMP and IDMPAUTO of XADD,
//! XCFGSET, XIDMPRECORD.

use xxhash_rust::xxh3::Xxh3;

use crate::command::args::Args;
use crate::command::number::integer;
use crate::command::row::{block, first_key, key_arg, one_of, word};
use crate::command::spec::key_flag::{RW, UPDATE};
use crate::command::spec::{Arg, ArgKind, Call, Command, Failure, GROWS, Group, Spec, flag};
use crate::engine::unit::{Key, Unit};
use crate::value::stream::Stream;
use crate::value::stream_fact::{Added, Fact, Idempotence, Topic};
use crate::value::stream_id::StreamId;

use super::id;
use super::value::{FACT_BYTES, NewFacts, key_bytes, remove_facts, stream_to_change};

/// What the rows of this file have in common.
const ROW: Spec = Spec {
    flags: flag::WRITE | flag::FAST,
    keys: &[first_key(RW | UPDATE)],
    group: Group::Stream,
    length_after: Some(GROWS),
    ..Spec::EMPTY
};

const DURATION: &[Arg] =
    &[word("idmp-duration-token", "IDMP-DURATION"), Arg::new("duration", ArgKind::Integer)];
const MAX_SIZE: &[Arg] =
    &[word("idmp-maxsize-token", "IDMP-MAXSIZE"), Arg::new("maxsize", ArgKind::Integer)];

/// The options of XADD, for COMMAND DOCS.
pub const ARG: Arg = one_of(
    "idempotency",
    &[
        Arg::new("producer-id", ArgKind::String).behind("IDMPAUTO"),
        block(
            "idmp",
            &[Arg::new("producer-id", ArgKind::String), Arg::new("idempotent-id", ArgKind::String)],
        )
        .behind("IDMP"),
    ],
)
.optional()
.since("8.6.0");

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "xcfgset",
            arity: -2,
            since: "8.6.0",
            summary: "Sets for how long, and how many, names of entries are known.",
            args: &[
                key_arg(),
                block("idmp-duration-block", DURATION).optional(),
                block("idmp-maxsize-block", MAX_SIZE).optional(),
            ],
            extra_bytes: Some(|args, _| 2 * FACT_BYTES + key_bytes(args)),
            ..ROW
        },
        run: xcfgset,
    },
    Command {
        spec: Spec {
            name: "xidmprecord",
            arity: 5,
            flags: ROW.flags | flag::DENYOOM,
            since: "8.6.2",
            summary: "Notes the name under which an entry was added.",
            args: &[
                key_arg(),
                Arg::new("pid", ArgKind::String),
                Arg::new("iid", ArgKind::String),
                Arg::new("stream-id", ArgKind::String),
            ],
            extra_bytes: Some(|args, _| NOTE_BYTES + key_bytes(args)),
            ..ROW
        },
        run: xidmprecord,
    },
];

/// Names that a note takes out at most because their time is over, and because their producer has
/// too many.
const GONE_MAX: usize = 16;
/// A bound of what a note logs, beside the names of producer and entry.
pub const NOTE_BYTES: u64 = (2 * GONE_MAX as u64 + 4) * FACT_BYTES;

/// How long a name may be known, in seconds, and how many of a producer.
const DURATIONS_S: std::ops::RangeInclusive<i64> = 1..=86_400;
const MAX_SIZES: std::ops::RangeInclusive<i64> = 1..=10_000;

/// What IDMP and IDMPAUTO say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sender {
    /// Index of the producer's name.
    producer_at: usize,
    /// Index of the entry's; none where its fields are its name.
    name_at: Option<usize>,
}

impl Sender {
    /// Takes the option at `index` if it is one; the index behind it.
    pub fn take(
        args: &Args<'_>,
        index: usize,
        known: &mut Option<Sender>,
    ) -> Result<Option<usize>, Failure> {
        let Some(next) = Sender::behind(args, index) else { return Ok(None) };
        let name_at = (next - index == 3).then_some(index + 2);
        if known.is_some() {
            return Err(Failure::text("ERR syntax error, IDMP/IDMPAUTO specified multiple times"));
        }
        if args.get(index + 1).is_empty() {
            return Err(Failure::text(match name_at {
                Some(_) => "ERR syntax error, IDMP requires a non-empty producer ID",
                None => "ERR syntax error, IDMPAUTO requires a non-empty producer ID",
            }));
        }
        if name_at.is_some_and(|at| args.get(at).is_empty()) {
            return Err(Failure::text("ERR syntax error, IDMP requires a non-empty idempotent ID"));
        }
        *known = Some(Sender { producer_at: index + 1, name_at });
        Ok(Some(next))
    }

    /// The index behind the option at `index`, if it is one and its arguments are there.
    pub fn behind(args: &Args<'_>, index: usize) -> Option<usize> {
        let words = [("IDMPAUTO", 2), ("IDMP", 3)];
        let (_, len) = words.into_iter().find(|(word, _)| args.is(index, word))?;
        let next = index + len;
        (next <= args.len()).then_some(next)
    }

    /// The names of producer and entry, whose fields begin at an index.
    pub fn names<'a>(&self, args: &Args<'a>, fields_at: usize) -> Names<'a> {
        let name = match self.name_at {
            Some(at) => args.get(at).to_vec(),
            None => name_of_fields(args, fields_at).to_vec(),
        };
        Names { producer: args.get(self.producer_at), name }
    }
}

/// The name of an entry that has none: Redis's hash of its fields and values, in any order.
fn name_of_fields(args: &Args<'_>, fields_at: usize) -> [u8; 16] {
    let (mut sums, mut mixed) = ([0u64; 2], [0u64; 2]);
    for at in (fields_at..args.len()).step_by(2) {
        let (field, value) = (args.get(at), args.get(at + 1));
        let mut state = Xxh3::new();
        state.update(field);
        state.update(&(field.len() as u64).to_le_bytes());
        state.update(value);
        let hash = state.digest128();
        for (at, half) in [hash as u64, (hash >> 64) as u64].into_iter().enumerate() {
            sums[at] = sums[at].wrapping_add(half);
            mixed[at] ^= half;
        }
    }
    let low = sums[0] ^ mixed[1].rotate_left(1);
    let high = sums[1] ^ mixed[0].rotate_left(1);
    (u128::from(high) << 64 | u128::from(low)).to_le_bytes()
}

/// A producer, and its name of an entry.
pub struct Names<'a> {
    producer: &'a [u8],
    name: Vec<u8>,
}

impl Names<'_> {
    /// The entry that has this name, as far as that is still known.
    pub fn find(&self, stream: &Stream, now_ms: u64) -> Option<StreamId> {
        let producers = stream.producers();
        let producer = producers.get(producers.number_of(self.producer)?)?;
        let added = producers.added(producer.find(&self.name)?)?;
        Some(added.id).filter(|id| !producers.is_over(*id, now_ms))
    }

    /// What is to change for a new entry of this name; there is none that has it.
    pub fn note(self, stream: Option<&Stream>, now_ms: u64) -> Note {
        let Some(known) = stream.map(Stream::producers) else {
            let (producer, name) = (self.producer.to_vec(), self.name);
            let state = Idempotence::default();
            return Note { gone: vec![], state, producer: (0, Some(producer)), number: 0, name };
        };
        let (state, own) = (known.state(), known.number_of(self.producer));
        let own_producer = own.and_then(|own| known.get(own));
        let mut gone: Vec<u64> = known.over(now_ms).take(GONE_MAX).collect();
        // One of this name is over, or there would be no other.
        gone.extend(own_producer.and_then(|own| own.find(&self.name)));
        gone.sort_unstable();
        gone.dedup();
        if let Some(own) = own_producer {
            let staying = |number: &&u64| gone.binary_search(number).is_err();
            let left: Vec<u64> = own.numbers().iter().filter(staying).copied().collect();
            let room = usize::try_from(state.max_ids).unwrap_or(usize::MAX);
            let excess = (left.len() + 1).saturating_sub(room).min(GONE_MAX);
            gone.extend(left.iter().take(excess));
        }
        Note {
            gone: gone_topics(stream, gone, own),
            state,
            producer: match own {
                Some(own) => (own, None),
                None => (known.free_producer(), Some(self.producer.to_vec())),
            },
            number: known.free_number(),
            name: self.name,
        }
    }
}

/// What is to be taken out for names to be gone: a producer that would have none goes as a whole,
/// unless it is to stay.
fn gone_topics(stream: Option<&Stream>, gone: Vec<u64>, stays: Option<u64>) -> Vec<Topic<'static>> {
    let Some(known) = stream.map(Stream::producers) else { return Vec::new() };
    let mut counts = std::collections::BTreeMap::<u64, usize>::new();
    let producer_of = |number: u64| known.added(number).map(|added| added.producer);
    for producer in gone.iter().filter_map(|number| producer_of(*number)) {
        *counts.entry(producer).or_default() += 1;
    }
    let is_whole = |producer: u64| {
        let all = known.get(producer).map(|producer| producer.numbers().len());
        stays != Some(producer) && counts.get(&producer).copied() == all
    };
    let whole = counts.keys().filter(|producer| is_whole(**producer));
    let mut topics: Vec<Topic<'static>> =
        whole.map(|number| Topic::Producer { number: *number }).collect();
    let single = gone.iter().filter(|number| !producer_of(**number).is_some_and(is_whole));
    topics.extend(single.map(|number| Topic::Added { number: *number }));
    topics
}

/// What changes with a new entry that has a name.
pub struct Note {
    gone: Vec<Topic<'static>>,
    state: Idempotence,
    /// Its number, and the name where it is new.
    producer: (u64, Option<Vec<u8>>),
    number: u64,
    name: Vec<u8>,
}

impl Note {
    /// Logs and applies it, for the entry of this ID.
    pub fn apply(mut self, unit: &mut Unit<'_>, key: &Key<'_>, id: StreamId) {
        remove_facts(unit, key, self.gone.into_iter());
        self.state.added = self.state.added.saturating_add(1);
        let mut facts = NewFacts::default();
        facts.push(&Fact::Idempotence { state: self.state });
        let (producer, new_name) = self.producer;
        if let Some(name) = &new_name {
            facts.push(&Fact::Producer { number: producer, name });
        }
        let added = Added { producer, id, name: &self.name };
        facts.push(&Fact::Added { number: self.number, added });
        facts.put(unit, key);
    }
}

/// Counts an entry that was not added because its name is known.
pub fn count_duplicate(unit: &mut Unit<'_>, key: &Key<'_>, state: Idempotence) {
    let duplicates = state.duplicates.saturating_add(1);
    let mut facts = NewFacts::default();
    facts.push(&Fact::Idempotence { state: Idempotence { duplicates, ..state } });
    facts.put(unit, key);
}

fn xcfgset(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let args = call.args;
    let key = call.unit.key(call.db, args.get(1));
    let stream = stream_to_change(call.unit, &key)?.ok_or(Failure::NoSuchKey)?;
    let (known, is_empty) = (stream.producers().state(), stream.producers().is_empty());
    let (duration_s, max_ids) = settings(args)?;
    let state = Idempotence {
        duration_s: duration_s.unwrap_or(known.duration_s),
        max_ids: max_ids.unwrap_or(known.max_ids),
        ..known
    };
    if state != known {
        // What is known under the old settings is forgotten.
        let gone = (!is_empty).then_some(Topic::Idempotence);
        remove_facts(call.unit, &key, gone.into_iter());
        let mut facts = NewFacts::default();
        facts.push(&Fact::Idempotence { state });
        facts.put(call.unit, &key);
    }
    call.reply.ok();
    Ok(())
}

/// The options of XCFGSET: seconds, and a number of names.
fn settings(args: &Args<'_>) -> Result<(Option<u64>, Option<u64>), Failure> {
    let (mut duration_s, mut max_ids) = (None, None);
    let mut index = 2;
    while index < args.len() {
        let more = index + 1 < args.len();
        let (setting, range, repeated, wrong) = if more && args.is(index, "IDMP-DURATION") {
            (
                &mut duration_s,
                DURATIONS_S,
                "ERR IDMP-DURATION specified multiple times",
                "ERR IDMP-DURATION must be between 1 and 86400 seconds",
            )
        } else if more && args.is(index, "IDMP-MAXSIZE") {
            (
                &mut max_ids,
                MAX_SIZES,
                "ERR IDMP-MAXSIZE specified multiple times",
                "ERR IDMP-MAXSIZE must be between 1 and 10000 entries",
            )
        } else {
            return Err(Failure::Syntax);
        };
        if setting.is_some() {
            return Err(Failure::text(repeated));
        }
        let number = integer(args.get(index + 1))?;
        *setting = Some(number as u64).filter(|_| range.contains(&number));
        if setting.is_none() {
            return Err(Failure::text(wrong));
        }
        index += 2;
    }
    if duration_s.is_none() && max_ids.is_none() {
        return Err(Failure::text("ERR At least one parameter must be specified"));
    }
    Ok((duration_s, max_ids))
}

fn xidmprecord(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let args = call.args;
    let id = id::parse(args.get(4), 0)?;
    let names = Names { producer: args.get(2), name: args.get(3).to_vec() };
    if names.producer.is_empty() {
        return Err(Failure::text("ERR producer ID must be non-empty"));
    }
    if names.name.is_empty() {
        return Err(Failure::text("ERR idempotent ID must be non-empty"));
    }
    let (key, now_ms) = (call.unit.key(call.db, args.get(1)), call.unit.now_ms());
    let stream = stream_to_change(call.unit, &key)?.ok_or(Failure::NoSuchKey)?;
    if stream.get(id).is_none() {
        return Err(Failure::text("ERR No such message in stream"));
    }
    match names.find(stream, now_ms) {
        Some(known) if known != id => {
            return Err(Failure::text(
                "ERR IID already exists for this producer with a different stream ID",
            ));
        }
        Some(_) => {}
        None => names.note(Some(stream), now_ms).apply(call.unit, &key, id),
    }
    call.reply.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{run, unit};
    use crate::engine::unit::Unit;

    fn add(unit: &mut Unit<'_>, rest: &[&str]) -> String {
        run(unit, &[&["XADD", "s"], rest].concat())
    }

    /// What XINFO STREAM tells of producers.
    fn known(unit: &mut Unit<'_>) -> String {
        let info = run(unit, &["XINFO", "STREAM", "s"]);
        let (_, from) = info.split_once("$13 idmp-duration ").expect("a duration");
        let (numbers, _) = from.split_once(" $6 groups").expect("groups");
        let words = numbers.split(' ').filter_map(|word| word.strip_prefix(':'));
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn an_entry_is_added_once_for_each_name_of_a_producer() {
        let unit = &mut unit();
        let first = add(unit, &["IDMP", "p", "n", "*", "a", "1"]);
        assert_eq!(first, "$15 1600000000000-0");
        assert_eq!(add(unit, &["IDMP", "p", "n", "MAXLEN", "9", "*", "a", "2"]), first);
        assert_eq!(add(unit, &["IDMP", "q", "n", "*", "a", "2"]), "$15 1600000000000-1");
        assert_eq!(
            add(unit, &["NOMKSTREAM", "IDMP", "p", "*", "*", "a", "2"]),
            "$15 1600000000000-2"
        );
        assert_eq!(
            run(unit, &["XRANGE", "s", "-", "+", "COUNT", "1"]),
            "*1 *2 $15 1600000000000-0 *2 $1 a $1 1"
        );
        assert_eq!(known(unit), "100 100 2 3 3 1");
        run(unit, &["XDEL", "s", "1600000000000-0"]);
        assert_eq!(add(unit, &["IDMP", "p", "n", "*", "a", "3"]), first, "though it is gone");
        assert_eq!(run(unit, &["XADD", "t", "NOMKSTREAM", "IDMP", "p", "n", "*", "a", "1"]), "$-1");
        assert_eq!(run(unit, &["EXISTS", "t"]), ":0");
    }

    #[test]
    fn fields_and_values_are_a_name_in_any_order() {
        let unit = &mut unit();
        let first = add(unit, &["IDMPAUTO", "p", "*", "a", "1", "b", "2"]);
        assert_eq!(add(unit, &["IDMPAUTO", "p", "*", "b", "2", "a", "1"]), first);
        for other in [["a", "2", "b", "1"], ["ab", "2", "", "1"], ["a", "1", "b", "12"]] {
            assert_ne!(add(unit, &[&["IDMPAUTO", "p", "*"], &other[..]].concat()), first);
        }
        assert_ne!(add(unit, &["IDMPAUTO", "q", "*", "a", "1", "b", "2"]), first);
    }

    #[test]
    fn a_producer_has_its_newest_names() {
        let unit = &mut unit();
        run(unit, &["XGROUP", "CREATE", "s", "g", "0", "MKSTREAM"]);
        assert_eq!(run(unit, &["XCFGSET", "s", "IDMP-MAXSIZE", "2"]), "+OK");
        let ids: Vec<String> = ["1", "2", "3"]
            .iter()
            .map(|name| add(unit, &["IDMP", "p", name, "*", "a", "1"]))
            .collect();
        assert_eq!(known(unit), "100 2 1 2 3 0");
        assert_eq!(add(unit, &["IDMP", "p", "2", "*", "a", "1"]), ids[1]);
        assert_eq!(add(unit, &["IDMP", "q", "1", "*", "a", "1"]), "$15 1600000000000-3");
        assert_eq!(add(unit, &["IDMP", "p", "1", "*", "a", "1"]), "$15 1600000000000-4");
        assert_eq!(add(unit, &["IDMP", "p", "3", "*", "a", "1"]), ids[2], "a duplicate is no news");
        assert_eq!(run(unit, &["XCFGSET", "s", "idmp-maxsize", "2"]), "+OK");
        assert_eq!(known(unit), "100 2 2 3 5 2", "the same setting changes nothing");
        assert_eq!(run(unit, &["XCFGSET", "s", "IDMP-MAXSIZE", "2", "IDMP-DURATION", "7"]), "+OK");
        assert_eq!(known(unit), "7 2 0 0 5 2");
    }

    #[test]
    fn names_are_forgotten_with_the_time_of_their_ids() {
        let unit = &mut unit();
        let record = |unit: &mut _, producer: &str, name: &str, id: &str| {
            run(unit, &["XIDMPRECORD", "s", producer, name, id])
        };
        for ms in ["1599999899999", "1599999900000", "1599999900001"] {
            add(unit, &[ms, "a", "1"]);
            assert_eq!(record(unit, "p", ms, ms), "+OK");
        }
        assert_eq!(record(unit, "q", "n", "1599999900000"), "+OK");
        assert_eq!(known(unit), "100 100 1 1 4 0");
        assert_eq!(
            add(unit, &["IDMP", "p", "1599999900001", "*", "a", "1"]),
            "$15 1599999900001-0"
        );
        assert_eq!(
            add(unit, &["IDMP", "p", "1599999900000", "*", "a", "1"]),
            "$15 1600000000000-0"
        );
        let facts = run(unit, &["DUMP", "s"]);
        assert!(!facts.contains("1599999899999"), "an addition takes out what is over: {facts}");
        assert_eq!(known(unit), "100 100 1 2 5 1");
    }

    #[test]
    fn a_name_is_noted_for_an_entry_that_is_there() {
        let unit = &mut unit();
        add(unit, &["1600000000000-1", "a", "1"]);
        add(unit, &["1600000000000-2", "a", "1"]);
        let record = |unit: &mut _, rest: &[&str]| run(unit, &[&["XIDMPRECORD"], rest].concat());
        assert_eq!(record(unit, &["s", "p", "n", "1600000000000-1"]), "+OK");
        assert_eq!(record(unit, &["s", "p", "n", "1600000000000-1"]), "+OK");
        assert_eq!(add(unit, &["IDMP", "p", "n", "*", "a", "1"]), "$15 1600000000000-1");
        run(unit, &["SET", "string", "1"]);
        let cases: [(&[&str], &str); 7] = [
            (&["s", "p", "n", "1600000000000-2"], "-ERR IID already exists for this producer with"),
            (&["s", "p", "n", "1600000000000-3"], "-ERR No such message in stream"),
            (&["s", "", "n", "1600000000000-1"], "-ERR producer ID must be non-empty"),
            (&["s", "p", "", "1600000000000-1"], "-ERR idempotent ID must be non-empty"),
            (&["t", "p", "n", "1-1"], "-ERR no such key"),
            (&["string", "p", "n", "1-1"], "-WRONGTYPE"),
            (&["t", "", "n", "x"], "-ERR Invalid stream ID"),
        ];
        for (args, reply) in cases {
            assert!(record(unit, args).starts_with(reply), "{args:?}: {}", record(unit, args));
        }
        assert_eq!(known(unit), "100 100 1 1 1 1", "none of them changed anything");
    }

    #[test]
    fn bad_options_are_refused_as_in_redis() {
        let unit = &mut unit();
        add(unit, &["5-5", "a", "1"]);
        let twice = "-ERR syntax error, IDMP/IDMPAUTO specified multiple times";
        let cases: [(&[&str], &str); 8] = [
            (&["IDMP", "p", "*", "f", "v"], "-ERR Invalid stream ID"),
            (&["IDMPAUTO", "p", "1-1", "f", "v"], "-ERR syntax error, IDMP/IDMPAUTO can be used"),
            (&["IDMP", "p", "n", "9-*", "f", "v"], "-ERR syntax error, IDMP/IDMPAUTO can be used"),
            (&["IDMP", "p", "n", "IDMP", "p", "n", "*", "f", "v"], twice),
            (&["IDMPAUTO", "p", "IDMP", "", "n", "*", "f", "v"], twice),
            (&["IDMP", "", "", "*", "f", "v"], "-ERR syntax error, IDMP requires a non-empty prod"),
            (
                &["IDMP", "p", "", "*", "f", "v"],
                "-ERR syntax error, IDMP requires a non-empty idem",
            ),
            (&["IDMPAUTO", "", "*", "f", "v"], "-ERR syntax error, IDMPAUTO requires a non-empty"),
        ];
        for (args, reply) in cases {
            assert!(add(unit, args).starts_with(reply), "{args:?}: {}", add(unit, args));
        }
        let integer = "-ERR value is not an integer or out of range";
        let duration = "-ERR IDMP-DURATION must be between 1 and 86400 seconds";
        let cases: [(&[&str], &str); 9] = [
            (&["none"], "-ERR no such key"),
            (&["s"], "-ERR At least one parameter must be specified"),
            (&["s", "IDMP-DURATION"], "-ERR syntax error"),
            (&["s", "IDMP-DURATION", "x", "IDMP-MAXSIZE"], integer),
            (&["s", "IDMP-DURATION", "86401"], duration),
            (&["s", "IDMP-DURATION", "-1"], duration),
            (&["s", "IDMP-MAXSIZE", "0"], "-ERR IDMP-MAXSIZE must be between 1 and 10000 entries"),
            (&["s", "IDMP-MAXSIZE", "5", "FOO", "1"], "-ERR syntax error"),
            (
                &["s", "IDMP-DURATION", "5", "IDMP-DURATION", "x"],
                "-ERR IDMP-DURATION specified multiple times",
            ),
        ];
        for (args, reply) in cases {
            assert_eq!(run(unit, &[&["XCFGSET"], args].concat()), reply, "{args:?}");
        }
        assert_eq!(known(unit), "100 100 0 0 0 0", "none of them changed anything");
    }
}
