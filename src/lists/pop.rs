//! Commands that pop elements: LPOP, RPOP, LMPOP.

use crate::command::args::Args;
use crate::command::number::parse_integer;
use crate::command::row::{counted_keys, first_key, key_arg, named_key, one_of, word};
use crate::command::spec::key_flag::{ACCESS, DELETE, RW};
use crate::command::spec::{Arg, ArgKind, Call, Command, Failure, Group, Spec, flag};

use super::ends::{End, Popped, known, pop};

/// What LPOP and RPOP have in common.
const ROW: Spec = Spec {
    arity: -2,
    flags: flag::WRITE | flag::FAST | flag::FREES,
    keys: &[first_key(RW | ACCESS | DELETE)],
    group: Group::List,
    complexity: "O(N) for N elements that are popped.",
    args: &[key_arg(), Arg::new("count", ArgKind::Integer).optional().since("6.2.0")],
    history: &[("6.2.0", "Takes `count`.")],
    ..Spec::EMPTY
};

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec { name: "lpop", summary: "Takes elements from the head.", ..ROW },
        run: |call| pop_end(call, End::Head, "lpop"),
    },
    Command {
        spec: Spec { name: "rpop", summary: "Takes elements from the tail.", ..ROW },
        run: |call| pop_end(call, End::Tail, "rpop"),
    },
    Command {
        spec: Spec {
            name: "lmpop",
            arity: -4,
            flags: flag::WRITE | flag::MOVABLE_KEYS | flag::FREES,
            keys: &[counted_keys(1, RW | ACCESS | DELETE)],
            group: Group::List,
            since: "7.0.0",
            complexity: "O(N+M) for N keys and M elements that are popped.",
            summary: "Takes elements from the first list that is there.",
            args: &[
                Arg::new("numkeys", ArgKind::Integer),
                named_key("key", 0).multiple(),
                one_of("where", &[word("left", "LEFT"), word("right", "RIGHT")]),
                Arg::new("count", ArgKind::Integer).behind("COUNT").optional(),
            ],
            ..Spec::EMPTY
        },
        run: lmpop,
    },
];

fn pop_end(call: &mut Call<'_, '_, '_>, end: End, name: &str) -> Result<(), Failure> {
    let args = call.args;
    if args.len() > 3 {
        let text = format!("ERR wrong number of arguments for '{name}' command");
        return Err(Failure::Text(text.into()));
    }
    let out_of_range = Failure::text("ERR value is out of range, must be positive");
    let count = match args.len() {
        3 => Some(parse_integer(args.get(2)).and_then(|count| u64::try_from(count).ok())),
        _ => None,
    };
    let count = count.map(|count| count.ok_or(out_of_range)).transpose()?;
    let key = call.unit.key(call.db, args.get(1));
    let popped = pop(call.unit, call.encodings, (&key, end), count.unwrap_or(1))?;
    match (popped, count) {
        (None, None) => call.reply.null(),
        (None, Some(_)) => call.reply.null_array(),
        (Some(popped), None) => popped.iter().for_each(|element| call.reply.bulk(element)),
        (Some(popped), Some(_)) => reply_popped(call, &popped),
    }
    Ok(())
}

pub(super) fn reply_popped(call: &mut Call<'_, '_, '_>, popped: &Popped) {
    call.reply.array(popped.len());
    popped.iter().for_each(|element| call.reply.bulk(element));
}

/// What a call that pops from the first of several lists asks for.
pub struct PopFirst {
    /// Index of the argument with the first key.
    pub first_key: usize,
    /// Number of keys.
    pub keys: usize,
    /// Where to pop.
    pub end: End,
    /// How many elements at most.
    pub count: u64,
}

impl PopFirst {
    /// Reads the arguments from the number of keys on, which stands at `index`.
    pub fn parse(args: &Args<'_>, index: usize) -> Result<PopFirst, Failure> {
        let no_keys = Failure::text("ERR numkeys should be greater than 0");
        let keys = positive(args.get(index)).ok_or(no_keys)?;
        let behind = usize::try_from(keys).ok().and_then(|keys| keys.checked_add(index + 1));
        let place = behind.filter(|&place| place < args.len()).ok_or(Failure::Syntax)?;
        let end = End::parse(args.get(place))?;
        let has_count = args.len() > place + 2 && args.is(place + 1, "COUNT");
        let no_count = Failure::text("ERR count should be greater than 0");
        let count = match has_count {
            true => positive(args.get(place + 2)).ok_or(no_count)?,
            false => 1,
        };
        if args.len() > place + if has_count { 3 } else { 1 } {
            return Err(Failure::Syntax);
        }
        Ok(PopFirst { first_key: index + 1, keys: keys as usize, end, count })
    }
}

/// A number above 0.
pub(super) fn positive(text: &[u8]) -> Option<u64> {
    parse_integer(text).and_then(|number| u64::try_from(number).ok()).filter(|&number| number > 0)
}

fn lmpop(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let asked = PopFirst::parse(call.args, 1)?;
    for index in asked.first_key..asked.first_key + asked.keys {
        let key = call.unit.key(call.db, call.args.get(index));
        if let (None, _) = known(call.unit.get_to_change(&key).as_ref())? {
            continue;
        }
        let popped = pop(call.unit, call.encodings, (&key, asked.end), asked.count)?;
        call.reply.array(2);
        call.reply.bulk(key.bytes);
        reply_popped(call, &popped.unwrap_or_default());
        return Ok(());
    }
    call.reply.null_array();
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{run, unit};

    #[test]
    fn elements_leave_from_their_end_in_order() {
        let mut unit = unit();
        run(&mut unit, &["RPUSH", "a", "1", "2", "3", "4", "5", "6"]);
        assert_eq!(run(&mut unit, &["LPOP", "a"]), "$1 1");
        assert_eq!(run(&mut unit, &["RPOP", "a", "2"]), "*2 $1 6 $1 5");
        assert_eq!(run(&mut unit, &["LPOP", "a", "0"]), "*0");
        assert_eq!(run(&mut unit, &["LPOP", "a", "9223372036854775807"]), "*3 $1 2 $1 3 $1 4");
        assert_eq!(run(&mut unit, &["EXISTS", "a"]), ":0");
        assert_eq!(run(&mut unit, &["LPOP", "a"]), "$-1");
        assert_eq!(run(&mut unit, &["LPOP", "a", "1"]), "*-1");
    }

    #[test]
    fn long_lists_are_popped_as_short_ones() {
        let mut unit = unit();
        for number in 0..2000 {
            run(&mut unit, &["RPUSH", "a", &number.to_string()]);
        }
        run(&mut unit, &["LPOP", "a", "500"]);
        assert_eq!(run(&mut unit, &["LPOP", "a"]), "$3 500");
        run(&mut unit, &["RPOP", "a", "500"]);
        assert_eq!(run(&mut unit, &["RPOP", "a"]), "$4 1499");
        assert_eq!(run(&mut unit, &["LLEN", "a"]), ":998");
    }

    #[test]
    fn the_first_list_that_is_there_is_popped() {
        let mut unit = unit();
        run(&mut unit, &["RPUSH", "b", "1", "2", "3"]);
        let reply = run(&mut unit, &["LMPOP", "2", "a", "b", "LEFT", "COUNT", "2"]);
        assert_eq!(reply, "*2 $1 b *2 $1 1 $1 2");
        assert_eq!(run(&mut unit, &["LMPOP", "2", "a", "b", "right"]), "*2 $1 b *1 $1 3");
        assert_eq!(run(&mut unit, &["LMPOP", "2", "a", "b", "right"]), "*-1");
    }

    #[test]
    fn bad_calls_are_refused_as_in_redis() {
        let syntax = "-ERR syntax error";
        let keys = "-ERR numkeys should be greater than 0";
        let count = "-ERR count should be greater than 0";
        let positive = "-ERR value is out of range, must be positive";
        let cases: [(&[&str], &str); 11] = [
            (&["LPOP", "a", "-1"], positive),
            (&["LPOP", "a", "x"], positive),
            (&["LPOP", "a", "1", "2"], "-ERR wrong number of arguments for 'lpop' command"),
            (&["LMPOP", "0", "a", "LEFT"], keys),
            (&["LMPOP", "x", "a", "LEFT"], keys),
            (&["LMPOP", "9223372036854775807", "a", "LEFT"], syntax),
            (&["LMPOP", "1", "a", "UP"], syntax),
            (&["LMPOP", "2", "a", "LEFT"], syntax),
            (&["LMPOP", "1", "a", "LEFT", "COUNT"], syntax),
            (&["LMPOP", "1", "a", "LEFT", "COUNT", "0"], count),
            (&["LMPOP", "1", "a", "LEFT", "COUNT", "1", "COUNT", "1"], syntax),
        ];
        for (args, reply) in cases {
            assert_eq!(run(&mut unit(), args), reply, "{args:?}");
        }
    }
}
