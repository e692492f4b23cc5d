//! Commands that move several elements from list to list: LMOVEM, BLMOVEM.

use crate::command::args::Args;
use crate::command::block::{Block, timeout_ms};
use crate::command::collection::list_of;
use crate::command::row::{block, first_key, keys_at, named_key, one_of, word};
use crate::command::spec::key_flag::{ACCESS, DELETE, INSERT, RW};
use crate::command::spec::{Arg, ArgKind, Call, Command, Copies, Failure, Group, Spec, flag};
use crate::engine::unit::{Key, Unit};
use crate::format::record::Record;
use crate::types::ValueKind;

use super::ends::{End, Portion, known, move_elements};
use super::pop::{positive, reply_popped};

const SOURCE: Arg = named_key("source", 0);
const DESTINATION: Arg = named_key("destination", 1);
const FROM: Arg = one_of("wherefrom", &[word("left", "LEFT"), word("right", "RIGHT")]);
const TO: Arg = one_of("whereto", &[word("left", "LEFT"), word("right", "RIGHT")]);
const HOW_MANY: Arg = block(
    "how-many",
    &[
        one_of(
            "selector",
            &[
                Arg::new("count", ArgKind::Integer).behind("COUNT"),
                Arg::new("exactly", ArgKind::Integer).behind("EXACTLY"),
            ],
        ),
        one_of("ordering", &[word("obo", "OBO"), word("bulk", "BULK")]),
    ],
)
.optional();

/// What the rows of this file have in common.
const ROW: Spec = Spec {
    flags: flag::WRITE | flag::DENYOOM | flag::COPIES | flag::POOLS,
    keys: &[first_key(RW | ACCESS | DELETE), keys_at(2, 0, 1, RW | INSERT)],
    group: Group::List,
    since: "8.10.0",
    complexity: "O(N) for N elements that are moved.",
    ..Spec::EMPTY
};

/// Index of the first argument behind the ends, and behind the timeout.
const BEHIND_ENDS: usize = 5;
const BEHIND_TIMEOUT: usize = 6;

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "lmovem",
            arity: -5,
            summary: "Moves elements from an end of a list to an end of another.",
            args: &[SOURCE, DESTINATION, FROM, TO, HOW_MANY],
            copies: Copies::Sized(|args, sizes| {
                sizes.first().map_or(0, |source| source.of_items(count_of(args, BEHIND_ENDS)))
            }),
            ..ROW
        },
        run: lmovem,
    },
    Command {
        spec: Spec {
            name: "blmovem",
            arity: -6,
            flags: ROW.flags | flag::BLOCKING,
            summary: "Moves elements from list to list, or waits for enough of them.",
            args: &[SOURCE, DESTINATION, FROM, TO, Arg::new("timeout", ArgKind::Double), HOW_MANY],
            copies: Copies::Sized(|args, sizes| {
                sizes.first().map_or(0, |source| source.of_items(count_of(args, BEHIND_TIMEOUT)))
            }),
            ..ROW
        },
        run: blmovem,
    },
];

/// What a call asks for.
struct Asked {
    from: End,
    to: End,
    portion: Portion,
    /// EXACTLY: all of them or none.
    exactly: bool,
}

impl Asked {
    /// Reads the ends, and how many elements from argument `index` on.
    fn parse(args: &Args<'_>, index: usize) -> Result<Asked, Failure> {
        let (from, to) = (End::parse(args.get(3))?, End::parse(args.get(4))?);
        if args.len() == index {
            let portion = Portion { count: 1, keeps_order: true };
            return Ok(Asked { from, to, portion, exactly: false });
        }
        let exactly = args.is(index, "EXACTLY");
        if args.len() != index + 3 || !exactly && !args.is(index, "COUNT") {
            return Err(Failure::Syntax);
        }
        let no_count = Failure::text("ERR count should be greater than 0");
        let count = positive(args.get(index + 1)).ok_or(no_count)?;
        let keeps_order = args.is(index + 2, "BULK");
        if !keeps_order && !args.is(index + 2, "OBO") {
            return Err(Failure::Syntax);
        }
        let portion = Portion { count, keeps_order };
        Ok(Asked { from, to, portion, exactly })
    }

    /// Whether a list of `len` elements has as many as are asked for.
    fn is_met_by(&self, len: u64) -> bool {
        len >= if self.exactly { self.portion.count } else { 1 }
    }

    /// Moves and replies; there are as many elements as are asked for.
    fn serve(&self, call: &mut Call<'_, '_, '_>, source: &Key<'_>) -> Result<(), Failure> {
        let target = call.unit.key(call.db, call.args.get(2));
        let (from, to) = ((source, self.from), (&target, self.to));
        let moved = move_elements(call.unit, call.encodings, from, to, self.portion)?;
        reply_popped(call, &moved.unwrap_or_default());
        Ok(())
    }
}

/// How many elements a call moves at most; none of a call that is refused.
fn count_of(args: &Args<'_>, index: usize) -> u64 {
    Asked::parse(args, index).map_or(0, |asked| asked.portion.count)
}

fn lmovem(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let asked = Asked::parse(call.args, BEHIND_ENDS)?;
    let source = call.unit.key(call.db, call.args.get(1));
    let (list, _) = known(call.unit.get_to_change(&source).as_ref())?;
    let len = list.map_or(0, |list| list.len());
    if asked.is_met_by(len) {
        return asked.serve(call, &source);
    }
    match asked.exactly {
        true => call.reply.null_array(),
        false => call.reply.array(0),
    }
    Ok(())
}

fn blmovem(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    [3, 4].into_iter().try_for_each(|index| End::parse(call.args.get(index)).map(drop))?;
    let timeout_ms = timeout_ms(call.args.get(5))?;
    let asked = Asked::parse(call.args, BEHIND_TIMEOUT)?;
    let source = call.unit.key(call.db, call.args.get(1));
    let (list, _) = known(call.unit.get_to_change(&source).as_ref())?;
    let len = list.map_or(0, |list| list.len());
    if asked.is_met_by(len) {
        return asked.serve(call, &source);
    }
    let block = Block::new(1..2, timeout_ms, serve, served_bytes);
    call.wait(Block { other_key: Some(2), is_enough: Some(has_enough), ..block });
    Ok(())
}

fn serve(call: &mut Call<'_, '_, '_>, key: &Key<'_>) -> Result<bool, Failure> {
    if !has_enough(call.args, call.unit, key) {
        return Ok(false);
    }
    Asked::parse(call.args, BEHIND_TIMEOUT)?.serve(call, key).map(|()| true)
}

fn has_enough(args: &Args<'_>, unit: &mut Unit<'_>, key: &Key<'_>) -> bool {
    let view = unit.probe(key).filter(|view| view.value.kind() == ValueKind::List);
    let list = view.and_then(|view| list_of(&view).ok());
    let asked = Asked::parse(args, BEHIND_TIMEOUT);
    list.is_some_and(|list| asked.is_ok_and(|asked| asked.is_met_by(list.len())))
}

/// A move logs where it cuts, and what it pushes.
fn served_bytes(args: &Args<'_>, unit: &mut Unit<'_>, key: &Key<'_>) -> u64 {
    let count = count_of(args, BEHIND_TIMEOUT);
    let elements = unit.probe(key).map_or(0, |view| view.value.size().of_items(count));
    let keys = key.bytes.len() + 2 * args.get(2).len() + 3 * Record::HEAD_BYTES_MAX;
    elements + keys as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::testing::{deadline, run, unit};

    fn ask(unit: &mut Unit<'_>, command: &str) -> String {
        run(unit, &command.split(' ').collect::<Vec<_>>())
    }

    fn all(unit: &mut Unit<'_>, key: &str) -> String {
        let reply = run(unit, &["LRANGE", key, "0", "-1"]);
        reply.split(' ').skip(1).filter(|word| !word.starts_with('$')).collect()
    }

    #[test]
    fn elements_keep_their_order_or_are_turned_around() {
        let cases = [
            ("LEFT LEFT COUNT 3 OBO", "cba", "de", "cbaxy"),
            ("LEFT LEFT COUNT 3 BULK", "abc", "de", "abcxy"),
            ("RIGHT RIGHT COUNT 3 OBO", "edc", "ab", "xyedc"),
            ("RIGHT RIGHT COUNT 3 BULK", "cde", "ab", "xycde"),
            ("LEFT RIGHT COUNT 3 OBO", "abc", "de", "xyabc"),
            ("left right count 3 bulk", "abc", "de", "xyabc"),
            ("RIGHT LEFT EXACTLY 3 OBO", "cde", "ab", "cdexy"),
            ("RIGHT LEFT EXACTLY 3 BULK", "cde", "ab", "cdexy"),
            ("LEFT LEFT COUNT 100 BULK", "abcde", "", "abcdexy"),
            ("RIGHT LEFT", "e", "abcd", "exy"),
        ];
        for (asked, moved, source, target) in cases {
            let unit = &mut unit();
            ask(unit, "RPUSH s a b c d e");
            ask(unit, "RPUSH t x y");
            let reply = ask(unit, &format!("LMOVEM s t {asked}"));
            let shown: Vec<String> =
                moved.chars().map(|element| format!(" $1 {element}")).collect();
            assert_eq!(reply, format!("*{}{}", moved.len(), shown.concat()), "{asked}");
            assert_eq!((all(unit, "s"), all(unit, "t")), (source.into(), target.into()), "{asked}");
        }
    }

    #[test]
    fn a_list_is_turned_in_itself() {
        let cases = [
            ("LEFT LEFT COUNT 2 BULK", "abcd"),
            ("LEFT LEFT COUNT 2 OBO", "bacd"),
            ("LEFT RIGHT COUNT 2 BULK", "cdab"),
            ("LEFT RIGHT COUNT 3 OBO", "dabc"),
            ("RIGHT LEFT COUNT 3 BULK", "bcda"),
            ("RIGHT RIGHT COUNT 2 OBO", "abdc"),
            ("RIGHT RIGHT EXACTLY 4 BULK", "abcd"),
            ("RIGHT RIGHT COUNT 9 OBO", "dcba"),
        ];
        for (asked, expected) in cases {
            let unit = &mut unit();
            ask(unit, "RPUSH s a b c d");
            ask(unit, "PEXPIREAT s 1700000000000");
            ask(unit, &format!("LMOVEM s s {asked}"));
            assert_eq!(all(unit, "s"), expected, "{asked}");
            assert_eq!(deadline(unit, "s"), Some(1_700_000_000_000), "{asked}");
        }
    }

    #[test]
    fn where_too_few_are_there_nothing_moves() {
        let unit = &mut unit();
        ask(unit, "SET string x");
        assert_eq!(ask(unit, "LMOVEM s t LEFT LEFT"), "*0");
        assert_eq!(ask(unit, "LMOVEM s t LEFT LEFT COUNT 2 OBO"), "*0");
        assert_eq!(ask(unit, "LMOVEM s string LEFT LEFT EXACTLY 1 OBO"), "*-1");
        ask(unit, "RPUSH s a b");
        assert_eq!(ask(unit, "LMOVEM s t LEFT LEFT EXACTLY 3 OBO"), "*-1");
        assert_eq!(ask(unit, "BLMOVEM s t LEFT LEFT 0 EXACTLY 3 OBO"), "*-1");
        assert_eq!(ask(unit, "BLMOVEM no t LEFT LEFT 0"), "*-1");
        for source_and_target in ["string t", "s string"] {
            let command = format!("LMOVEM {source_and_target} LEFT LEFT COUNT 2 BULK");
            assert!(ask(unit, &command).starts_with("-WRONGTYPE"));
        }
        assert_eq!((all(unit, "s"), ask(unit, "EXISTS t")), ("ab".into(), ":0".into()));
        assert_eq!(ask(unit, "BLMOVEM s t LEFT LEFT 0 EXACTLY 2 OBO"), "*2 $1 b $1 a");
        assert_eq!((all(unit, "t"), ask(unit, "EXISTS s")), ("ba".into(), ":0".into()));
    }

    #[test]
    fn bad_calls_are_refused() {
        let unit = &mut unit();
        ask(unit, "RPUSH s a b");
        let (syntax, count) = ("-ERR syntax error", "-ERR count should be greater than 0");
        for (rest, error) in [
            ("UP LEFT", syntax),
            ("LEFT UP COUNT 1 OBO", syntax),
            ("LEFT LEFT COUNT 1", syntax),
            ("LEFT LEFT COUNT 1 OBO x", syntax),
            ("LEFT LEFT LIMIT 1 OBO", syntax),
            ("LEFT LEFT COUNT 1 ALL", syntax),
            ("LEFT LEFT COUNT 0 OBO", count),
            ("LEFT LEFT EXACTLY -1 BULK", count),
            ("LEFT LEFT EXACTLY x BULK", count),
        ] {
            assert_eq!(ask(unit, &format!("LMOVEM s t {rest}")), error, "{rest}");
        }
        let error = "-ERR timeout is negative";
        assert_eq!(ask(unit, "BLMOVEM s t LEFT LEFT -1 COUNT 0 OBO"), error);
        assert_eq!(ask(unit, "BLMOVEM s t LEFT LEFT 0 COUNT 0 OBO"), count);
        assert_eq!(all(unit, "s"), "ab");
    }
}
