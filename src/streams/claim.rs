//! Commands that give pending entries to another consumer: XCLAIM, XAUTOCLAIM.

use std::collections::BTreeMap;

use crate::command::args::Args;
use crate::command::collection::stream_in;
use crate::command::number::parse_integer;
use crate::command::row::{first_key, key_arg, word};
use crate::command::spec::key_flag::{DELETE, RW, UPDATE};
use crate::command::spec::{
    Arg, ArgKind, Call, Command, Copies, Failure, Group as Family, Spec, flag, quoted,
};
use crate::engine::unit::{Key, Unit, ValueRef};
use crate::resp::write::{Output, Protocol, Reply};
use crate::value::stream_chunk::Entry;
use crate::value::stream_fact::{ConsumerState, DELIVERIES_MAX, Delivery, Fact, GroupState, Topic};
use crate::value::stream_groups::Group;
use crate::value::stream_id::StreamId;

use super::id;
use super::pending::no_key_or_group;
use super::value::{
    FACT_BYTES, NewFacts, key_bytes, pending, remove_facts, reply_entry, reply_id,
    stream_to_change, with_group,
};

/// What the rows of this file have in common.
const ROW: Spec = Spec {
    arity: -6,
    flags: flag::WRITE | flag::FAST,
    keys: &[first_key(RW | UPDATE)],
    group: Family::Stream,
    since: "5.0.0",
    tips: &["nondeterministic_output"],
    ..Spec::EMPTY
};

const GROUP: Arg = Arg::new("group", ArgKind::String);
const CONSUMER: Arg = Arg::new("consumer", ArgKind::String);
const MIN_IDLE: Arg = Arg::new("min-idle-time", ArgKind::String);
const JUST_ID: Arg = word("justid", "JUSTID").optional();

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "xautoclaim",
            flags: ROW.flags | flag::COPIES,
            keys: &[first_key(RW | DELETE)],
            since: "6.2.0",
            complexity: "O(N) for N pending entries that are looked at, ten times COUNT at most.",
            summary: "Gives a consumer what others have left pending for some time.",
            args: &[
                key_arg(),
                GROUP,
                CONSUMER,
                MIN_IDLE,
                Arg::new("start", ArgKind::String),
                Arg::new("count", ArgKind::Integer).behind("COUNT").optional(),
                JUST_ID,
            ],
            history: &[("7.0.0", "Tells which entries were found deleted.")],
            copies: Copies::Chosen(scan_bytes),
            ..ROW
        },
        run: xautoclaim,
    },
    Command {
        spec: Spec {
            name: "xclaim",
            complexity: "O(log N) for each ID, in a group with N pending entries.",
            summary: "Gives pending entries to a consumer.",
            args: &[
                key_arg(),
                GROUP,
                CONSUMER,
                MIN_IDLE,
                Arg::new("id", ArgKind::String).multiple(),
                Arg::new("ms", ArgKind::Integer).behind("IDLE").optional(),
                Arg::new("unix-time-milliseconds", ArgKind::UnixTime).behind("TIME").optional(),
                Arg::new("count", ArgKind::Integer).behind("RETRYCOUNT").optional(),
                word("force", "FORCE").optional(),
                JUST_ID,
                Arg::new("lastid", ArgKind::String).behind("LASTID").optional(),
            ],
            extra_bytes: Some(|args, _| (args.len() as u64 + 2) * FACT_BYTES + key_bytes(args)),
            ..ROW
        },
        run: xclaim,
    },
];

/// Entries that XAUTOCLAIM claims at most, where the call does not say.
const COUNT_DEFAULT: i64 = 100;
/// It looks at so many times what it may claim.
const ATTEMPTS_PER_CLAIM: i64 = 10;
/// The most that it may be told to claim.
const COUNT_MAX: i64 = i64::MAX / 16;

/// A bound of what XAUTOCLAIM logs.
fn scan_bytes(args: &Args<'_>, value: ValueRef<'_>) -> u64 {
    let (Ok(asked), Ok(stream)) = (Scan::parse(args), stream_in(value)) else { return 0 };
    let group = stream.groups().get(args.get(2));
    let pending = group.map_or(0, |group| group.pending().len() as u64);
    let names = (args.get(2).len() + args.get(3).len()) as u64;
    ((asked.count as u64).min(pending) + 2) * FACT_BYTES + names + key_bytes(args)
}

/// How entries are claimed.
struct Terms {
    /// Milliseconds since the last delivery, at least.
    idle_ms: u64,
    /// The time of delivery that is noted, in Unix milliseconds.
    at_ms: u64,
    /// The number of deliveries that is noted; None counts this one.
    count: Option<u64>,
    /// Whether entries are named only, and their deliveries not counted.
    just_id: bool,
    now_ms: u64,
}

impl Terms {
    fn are_met(&self, delivery: &Delivery) -> bool {
        let idle_ms = self.now_ms as i64 - delivery.at_ms() as i64;
        self.idle_ms == 0 || delivery.consumer().is_none() || idle_ms >= self.idle_ms as i64
    }

    /// The delivery to the consumer, after what was before.
    fn claimed(&self, consumer: u64, before: u64) -> Delivery {
        let count = match self.count {
            Some(count) => count,
            None if self.just_id => before,
            None => before.saturating_add(1).min(DELIVERIES_MAX),
        };
        Delivery::to(consumer, self.at_ms, count)
    }
}

/// What claiming has come to so far.
struct Claims {
    group: u64,
    consumer: ConsumerState,
    facts: NewFacts,
    /// Entries that are pending and gone.
    gone: Vec<StreamId>,
    output: Output,
    count: usize,
}

impl Claims {
    /// The consumer is made where it is not there.
    fn new(group: &Group, name: &[u8], now_ms: u64) -> Claims {
        let known = group.consumer(name).map(|consumer| *consumer.state());
        let new = ConsumerState { number: group.free_number(), seen_ms: 0, active_ms: None };
        Claims {
            group: group.state().number,
            consumer: ConsumerState { seen_ms: now_ms, ..known.unwrap_or(new) },
            facts: NewFacts::default(),
            gone: Vec::new(),
            output: Output::default(),
            count: 0,
        }
    }

    /// Claims an entry that was delivered so often before; its delivery now.
    fn claim(&mut self, group: &Group, entry: &Entry<'_>, before: u64, terms: &Terms) -> Delivery {
        let delivery = terms.claimed(self.consumer.number, before);
        self.facts.push(&pending(group, entry.id, delivery));
        self.consumer.active_ms = Some(terms.now_ms);
        self.count += 1;
        // Entries are the same in both protocols.
        let mut reply = Reply::new(&mut self.output, Protocol::Resp2);
        match terms.just_id {
            true => reply_id(&mut reply, entry.id),
            false => reply_entry(&mut reply, entry),
        }
        delivery
    }

    /// Logs and applies it all, and replies with what was claimed.
    fn finish(
        self,
        unit: &mut Unit<'_>,
        reply: &mut Reply<'_>,
        key: &Key<'_>,
        (name, moved): (&[u8], Option<Fact<'_>>),
    ) {
        let mut first = NewFacts::default();
        moved.iter().for_each(|fact| first.push(fact));
        first.push(&Fact::Consumer { group: self.group, name, state: self.consumer });
        first.put(unit, key);
        self.facts.put(unit, key);
        let group = self.group;
        remove_facts(unit, key, self.gone.iter().map(|id| Topic::Pending { group, id: *id }));
        reply.array(self.count);
        self.output.pieces(0).for_each(|piece| reply.output().push_bytes(piece));
    }
}

/// A number of milliseconds or times, with the text that tells what is wrong.
fn number(text: &[u8], failure: &'static str) -> Result<i64, Failure> {
    parse_integer(text).ok_or(Failure::text(failure))
}

/// The options of XCLAIM.
struct Claim {
    ids: Vec<StreamId>,
    terms: Terms,
    force: bool,
    last_id: StreamId,
}

impl Claim {
    fn parse(args: &Args<'_>, now_ms: u64) -> Result<Claim, Failure> {
        let idle_ms = number(args.get(4), "ERR Invalid min-idle-time argument for XCLAIM")?;
        let ids = args.iter_from(5).map_while(|text| id::parse(text, 0).ok());
        let ids: Vec<StreamId> = ids.collect();
        let (mut at_ms, mut count, mut last_id) = (-1, -1, StreamId::ZERO);
        let (mut force, mut just_id) = (false, false);
        let mut index = 5 + ids.len();
        while index < args.len() {
            let more = index + 1 < args.len();
            let mut takes_next = true;
            if more && args.is(index, "IDLE") {
                let text = "ERR Invalid IDLE option argument for XCLAIM";
                at_ms = (now_ms as i64).wrapping_sub(number(args.get(index + 1), text)?);
            } else if more && args.is(index, "TIME") {
                at_ms = number(args.get(index + 1), "ERR Invalid TIME option argument for XCLAIM")?;
            } else if more && args.is(index, "RETRYCOUNT") {
                let text = "ERR Invalid RETRYCOUNT option argument for XCLAIM";
                count = number(args.get(index + 1), text)?;
            } else if more && args.is(index, "LASTID") {
                last_id = id::parse(args.get(index + 1), 0)?;
            } else {
                takes_next = false;
                force |= args.is(index, "FORCE");
                just_id |= args.is(index, "JUSTID");
                if !args.is(index, "FORCE") && !args.is(index, "JUSTID") {
                    let option = quoted(args.get(index));
                    let text = b"ERR Unrecognized XCLAIM option '";
                    return Err(Failure::quoting(&[text, option, b"'"]));
                }
            }
            index += if takes_next { 2 } else { 1 };
        }
        // A time that cannot be is now.
        let at_ms = u64::try_from(at_ms).ok().filter(|at_ms| *at_ms <= now_ms).unwrap_or(now_ms);
        let (idle_ms, count) = (idle_ms.max(0) as u64, u64::try_from(count).ok());
        let terms = Terms { idle_ms, at_ms, count, just_id, now_ms };
        Ok(Claim { ids, terms, force, last_id })
    }
}

fn xclaim(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let (args, now_ms) = (call.args, call.unit.now_ms());
    let key = call.unit.key(call.db, args.get(1));
    let stream = stream_to_change(call.unit, &key)?;
    let found = with_group(stream, args.get(2));
    let (stream, group) = found.ok_or_else(|| no_key_or_group(key.bytes, args.get(2)))?;
    let asked = Claim::parse(args, now_ms)?;
    let state = GroupState { last_id: asked.last_id, ..*group.state() };
    let moved =
        (state.last_id > group.state().last_id).then_some(Fact::Group { name: args.get(2), state });
    let mut claims = Claims::new(group, args.get(3), now_ms);
    // An ID that is named again meets what this call has made of it.
    let mut claimed = BTreeMap::new();
    for id in asked.ids {
        let known = claimed.get(&id).or(group.pending().get(&id)).copied();
        let Some(entry) = stream.get(id) else {
            claims.gone.extend(known.map(|_| id));
            continue;
        };
        if known.map_or(asked.force, |known| asked.terms.are_met(&known)) {
            // One that is forced upon the consumer counts as delivered before.
            let before = known.map_or(1, |known| known.count);
            claimed.insert(id, claims.claim(group, &entry, before, &asked.terms));
        }
    }
    claims.finish(call.unit, call.reply, &key, (args.get(3), moved));
    Ok(())
}

/// What XAUTOCLAIM asks for.
struct Scan {
    idle_ms: u64,
    from: StreamId,
    count: i64,
    just_id: bool,
}

impl Scan {
    fn parse(args: &Args<'_>) -> Result<Scan, Failure> {
        let idle_ms = number(args.get(4), "ERR Invalid min-idle-time argument for XAUTOCLAIM")?;
        let from = id::parse_start(args.get(5))?;
        let (mut count, mut just_id, mut index) = (COUNT_DEFAULT, false, 6);
        while index < args.len() {
            if args.is(index, "COUNT") && index + 1 < args.len() {
                let given = parse_integer(args.get(index + 1));
                let given = given.filter(|count| (1..=COUNT_MAX).contains(count));
                count = given.ok_or(Failure::text("ERR COUNT must be > 0"))?;
                index += 1;
            } else if args.is(index, "JUSTID") {
                just_id = true;
            } else {
                return Err(Failure::Syntax);
            }
            index += 1;
        }
        Ok(Scan { idle_ms: idle_ms.max(0) as u64, from, count, just_id })
    }
}

fn xautoclaim(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let (args, now_ms) = (call.args, call.unit.now_ms());
    let asked = Scan::parse(args)?;
    let key = call.unit.key(call.db, args.get(1));
    let stream = stream_to_change(call.unit, &key)?;
    let found = with_group(stream, args.get(2));
    let (stream, group) = found.ok_or_else(|| no_key_or_group(key.bytes, args.get(2)))?;
    let Scan { idle_ms, just_id, .. } = asked;
    let terms = Terms { idle_ms, at_ms: now_ms, count: None, just_id, now_ms };
    let mut claims = Claims::new(group, args.get(3), now_ms);
    let (mut left, mut attempts) = (asked.count, asked.count * ATTEMPTS_PER_CLAIM);
    let mut waiting = group.pending().range(asked.from..);
    let next = loop {
        let Some((id, delivery)) = waiting.next() else { break None };
        if left == 0 || attempts == 0 {
            break Some(*id);
        }
        attempts -= 1;
        if let Some(entry) = stream.get(*id) {
            if !terms.are_met(delivery) {
                continue;
            }
            claims.claim(group, &entry, delivery.count, &terms);
        } else {
            claims.gone.push(*id);
        }
        left -= 1;
    };
    call.reply.array(3);
    reply_id(call.reply, next.unwrap_or(StreamId::ZERO));
    let gone = claims.gone.clone();
    claims.finish(call.unit, call.reply, &key, (args.get(3), None));
    call.reply.array(gone.len());
    gone.iter().for_each(|id| reply_id(call.reply, *id));
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{run, unit};

    fn read(unit: &mut crate::engine::unit::Unit<'_>) {
        ["1-1", "2-1", "3-1"].iter().for_each(|id| drop(run(unit, &["XADD", "s", id, "f", "v"])));
        run(unit, &["XGROUP", "CREATE", "s", "g", "0"]);
        run(unit, &["XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">"]);
    }

    #[test]
    fn claimed_entries_change_hands() {
        let unit = &mut unit();
        read(unit);
        let claim =
            |unit: &mut _, rest: &[&str]| run(unit, &[&["XCLAIM", "s", "g", "d"], rest].concat());
        assert_eq!(claim(unit, &["1", "1-1"]), "*0", "not idle for long enough");
        assert_eq!(claim(unit, &["0", "1-1"]), "*1 *2 $3 1-1 *2 $1 f $1 v");
        assert_eq!(claim(unit, &["0", "2-1", "2-1", "JUSTID"]), "*2 $3 2-1 $3 2-1");
        assert_eq!(claim(unit, &["0", "9-9", "FORCE"]), "*0", "there is no such entry");
        let listed = run(unit, &["XPENDING", "s", "g", "-", "+", "9", "d"]);
        assert_eq!(listed, "*2 *4 $3 1-1 $1 d :0 :2 *4 $3 2-1 $1 d :0 :1");
        run(unit, &["XACK", "s", "g", "3-1"]);
        assert_eq!(claim(unit, &["9", "3-1", "FORCE", "RETRYCOUNT", "7", "JUSTID"]), "*1 $3 3-1");
        run(unit, &["XDEL", "s", "1-1"]);
        assert_eq!(claim(unit, &["0", "1-1"]), "*0");
        let summary = run(unit, &["XPENDING", "s", "g"]);
        assert_eq!(summary, "*4 :2 $3 2-1 $3 3-1 *1 *2 $1 d $1 2");
    }

    #[test]
    fn a_scan_claims_what_is_there_and_forgets_what_is_gone() {
        let unit = &mut unit();
        read(unit);
        run(unit, &["XDEL", "s", "1-1"]);
        let scan = |unit: &mut _, rest: &[&str]| {
            run(unit, &[&["XAUTOCLAIM", "s", "g", "d"], rest].concat())
        };
        assert_eq!(scan(unit, &["5", "0"]), "*3 $3 0-0 *0 *1 $3 1-1");
        let first = scan(unit, &["0", "0", "COUNT", "1", "JUSTID"]);
        assert_eq!(first, "*3 $3 3-1 *1 $3 2-1 *0");
        assert_eq!(scan(unit, &["0", "(2-1"]), "*3 $3 0-0 *1 *2 $3 3-1 *2 $1 f $1 v *0");
        assert_eq!(scan(unit, &["0", "0", "COUNT", "0"]), "-ERR COUNT must be > 0");
        assert_eq!(scan(unit, &["0", "0", "FOO"]), "-ERR syntax error");
        assert!(scan(unit, &["x", "0"]).starts_with("-ERR Invalid min-idle-time argument"));
    }

    #[test]
    fn bad_claims_are_refused_as_in_redis() {
        let unit = &mut unit();
        read(unit);
        let cases: [(&[&str], &str); 6] = [
            (&["s", "h", "c", "0", "1"], "-NOGROUP No such key 's' or consumer group 'h'"),
            (&["t", "g", "c", "0", "1"], "-NOGROUP No such key 't' or consumer group 'g'"),
            (&["s", "g", "c", "x", "1"], "-ERR Invalid min-idle-time argument for XCLAIM"),
            (&["s", "g", "c", "0", "1", "FOO"], "-ERR Unrecognized XCLAIM option 'FOO'"),
            (&["s", "g", "c", "0", "1", "IDLE", "x"], "-ERR Invalid IDLE option argument"),
            (&["s", "g", "c", "0", "1", "LASTID", "x"], "-ERR Invalid stream ID"),
        ];
        for (args, reply) in cases {
            let args = [&["XCLAIM"], args].concat();
            assert!(run(unit, &args).starts_with(reply), "{args:?}: {}", run(unit, &args));
        }
    }
}
