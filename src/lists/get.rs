//! Commands that read lists: LLEN, LINDEX, LRANGE, LPOS.

use crate::command::args::Args;
use crate::command::number::{integer, parse_integer};
use crate::command::row::{first_key, key_arg};
use crate::command::spec::key_flag::{ACCESS, RO};
use crate::command::spec::{Arg, ArgKind, Call, Command, Failure, Group, Spec, flag};
use crate::engine::unit::{Key, Unit};
use crate::value::view::ListRef;

use super::ends::known;

/// What the rows of this file have in common.
const ROW: Spec = Spec {
    arity: 3,
    flags: flag::READONLY,
    keys: &[first_key(RO | ACCESS)],
    group: Group::List,
    complexity: "O(N) for N elements on the way from the nearer end.",
    ..Spec::EMPTY
};

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "llen",
            arity: 2,
            flags: flag::READONLY | flag::FAST,
            keys: &[first_key(RO)],
            complexity: "O(1)",
            summary: "Counts the elements.",
            args: &[key_arg()],
            ..ROW
        },
        run: llen,
    },
    Command {
        spec: Spec {
            name: "lindex",
            summary: "Tells the element at an index, which counts from the tail below 0.",
            args: &[key_arg(), Arg::new("index", ArgKind::Integer)],
            ..ROW
        },
        run: lindex,
    },
    Command {
        spec: Spec {
            name: "lrange",
            arity: 4,
            complexity: "O(S+N) for N elements, S from the nearer end.",
            summary: "Tells the elements from one index to another.",
            args: &[
                key_arg(),
                Arg::new("start", ArgKind::Integer),
                Arg::new("stop", ArgKind::Integer),
            ],
            ..ROW
        },
        run: lrange,
    },
    Command {
        spec: Spec {
            name: "lpos",
            arity: -3,
            since: "6.0.6",
            complexity: "O(N) for N elements that are compared.",
            summary: "Tells where elements like a given one stand.",
            args: &[
                key_arg(),
                Arg::new("element", ArgKind::String),
                Arg::new("rank", ArgKind::Integer).behind("RANK").optional(),
                Arg::new("num-matches", ArgKind::Integer).behind("COUNT").optional(),
                Arg::new("len", ArgKind::Integer).behind("MAXLEN").optional(),
            ],
            ..ROW
        },
        run: lpos,
    },
];

/// The list that a command reads, none where there is no key.
pub fn read_list<'u>(
    unit: &'u mut Unit<'_>,
    key: &Key<'_>,
) -> Result<Option<ListRef<'u>>, Failure> {
    Ok(known(unit.get(key).as_ref())?.0)
}

/// The place in a list of `len` elements that an index names.
pub fn place(index: i64, len: u64) -> Option<u64> {
    let place = match u64::try_from(index) {
        Ok(place) => place,
        Err(_) => len.checked_sub(index.unsigned_abs())?,
    };
    (place < len).then_some(place)
}

/// The places in a list of `len` elements from one index to another: the first, and how many.
pub fn places(start: i64, stop: i64, len: u64) -> (u64, u64) {
    let at = |index: i64| match u64::try_from(index) {
        Ok(place) => Some(place),
        Err(_) => len.checked_sub(index.unsigned_abs()),
    };
    let first = at(start).unwrap_or(0);
    match at(stop) {
        Some(last) if first < len && first <= last => (first, last.min(len - 1) - first + 1),
        _ => (0, 0),
    }
}

fn llen(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    let len = read_list(call.unit, &key)?.map_or(0, |list| list.len());
    call.reply.integer(len as i64);
    Ok(())
}

fn lindex(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    let Some(list) = read_list(call.unit, &key)? else {
        call.reply.null();
        return Ok(());
    };
    let index = integer(call.args.get(2))?;
    match place(index, list.len()).and_then(|place| list.get(place)) {
        Some(element) => call.reply.bulk(element),
        None => call.reply.null(),
    }
    Ok(())
}

fn lrange(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let start = integer(call.args.get(2))?;
    let stop = integer(call.args.get(3))?;
    let key = call.unit.key(call.db, call.args.get(1));
    let Some(list) = read_list(call.unit, &key)? else {
        call.reply.array(0);
        return Ok(());
    };
    let (first, count) = places(start, stop, list.len());
    call.reply.array(count as usize);
    let elements = list.iter_from(first, false).take(count as usize);
    elements.for_each(|element| call.reply.bulk(element));
    Ok(())
}

/// What LPOS looks for beside the element.
struct Search {
    /// The first match that counts, from 1.
    rank: u64,
    from_tail: bool,
    /// None for a single match; 0 for all.
    count: Option<u64>,
    /// Elements to compare at most; 0 for all.
    compared: u64,
}

impl Search {
    fn parse(args: &Args<'_>) -> Result<Search, Failure> {
        let mut search = Search { rank: 1, from_tail: false, count: None, compared: 0 };
        for index in (3..args.len()).step_by(2) {
            if index + 1 == args.len() {
                return Err(Failure::Syntax);
            }
            let number = args.get(index + 1);
            if args.is(index, "RANK") {
                let rank = rank(number)?;
                (search.rank, search.from_tail) = (rank.unsigned_abs(), rank < 0);
            } else if args.is(index, "COUNT") {
                search.count = Some(not_negative(number, "ERR COUNT can't be negative")?);
            } else if args.is(index, "MAXLEN") {
                search.compared = not_negative(number, "ERR MAXLEN can't be negative")?;
            } else {
                return Err(Failure::Syntax);
            }
        }
        Ok(search)
    }

    /// The places of matches.
    fn find<'s>(&'s self, list: ListRef<'s>, wanted: &'s [u8]) -> impl Iterator<Item = u64> {
        let len = list.len();
        let start = if self.from_tail { len - 1 } else { 0 };
        let compared = if self.compared == 0 { len } else { self.compared };
        let matches = match self.count {
            None => 1,
            Some(0) => u64::MAX,
            Some(count) => count,
        };
        let elements = (0..).zip(list.iter_from(start, self.from_tail)).take(compared as usize);
        let found = elements.filter(move |(_, element)| *element == wanted);
        let places = found.map(move |(index, _)| match self.from_tail {
            true => len - 1 - index,
            false => index,
        });
        places.skip(self.rank as usize - 1).take(matches as usize)
    }
}

fn rank(number: &[u8]) -> Result<i64, Failure> {
    match integer(number)? {
        i64::MIN => Err(Failure::text(
            "ERR value is out of range, \
             value must between -9223372036854775807 and 9223372036854775807",
        )),
        0 => Err(Failure::text(
            "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... \
             or use negative to start from the end of the list",
        )),
        rank => Ok(rank),
    }
}

fn not_negative(number: &[u8], text: &'static str) -> Result<u64, Failure> {
    let number = parse_integer(number).and_then(|number| u64::try_from(number).ok());
    number.ok_or(Failure::text(text))
}

fn lpos(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let search = Search::parse(call.args)?;
    let key = call.unit.key(call.db, call.args.get(1));
    let list = read_list(call.unit, &key)?;
    let mut found = list.into_iter().flat_map(|list| search.find(list, call.args.get(2)));
    if search.count.is_none() {
        match found.next() {
            Some(place) => call.reply.integer(place as i64),
            None => call.reply.null(),
        }
        return Ok(());
    }
    let found: Vec<u64> = found.collect();
    call.reply.array(found.len());
    found.iter().for_each(|place| call.reply.integer(*place as i64));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{place, places};
    use crate::command::testing::{run, unit};

    #[test]
    fn indexes_count_from_either_end() {
        let at = |index| place(index, 3);
        assert_eq!([0, 2, 3, -1, -3, -4].map(at), [Some(0), Some(2), None, Some(2), Some(0), None]);
        assert_eq!(place(i64::MIN, 3), None);
    }

    #[test]
    fn ranges_are_cut_to_the_list() {
        for len in 0..5_i64 {
            let all: Vec<i64> = (0..len).collect();
            for start in -7..7 {
                for stop in -7..7 {
                    let at = |index: i64| if index < 0 { index + len } else { index };
                    let wanted: Vec<i64> = all
                        .iter()
                        .copied()
                        .filter(|&place| at(start) <= place && place <= at(stop))
                        .collect();
                    let (first, count) = places(start, stop, len as u64);
                    let found = &all[first as usize..(first + count) as usize];
                    assert_eq!(found, wanted, "{start} {stop} of {len}");
                }
            }
        }
        assert_eq!(places(i64::MIN, i64::MAX, 4), (0, 4));
    }

    #[test]
    fn readers_look_at_the_index_after_the_key() {
        let mut unit = unit();
        assert_eq!(run(&mut unit, &["LINDEX", "a", "x"]), "$-1");
        let no_integer = "-ERR value is not an integer or out of range";
        assert_eq!(run(&mut unit, &["LRANGE", "a", "0", "x"]), no_integer);
        assert_eq!(run(&mut unit, &["LRANGE", "a", "0", "1"]), "*0");
        run(&mut unit, &["RPUSH", "a", "1"]);
        assert_eq!(run(&mut unit, &["LINDEX", "a", "x"]), no_integer);
        assert_eq!(run(&mut unit, &["LLEN", "a"]), ":1");
        assert_eq!(run(&mut unit, &["LLEN", "no"]), ":0");
    }

    #[test]
    fn matches_are_told_by_place() {
        let mut unit = unit();
        run(&mut unit, &["RPUSH", "a", "x", "y", "x", "z", "x"]);
        let cases: [(&[&str], &str); 10] = [
            (&["x"], ":0"),
            (&["no"], "$-1"),
            (&["x", "RANK", "2"], ":2"),
            (&["x", "RANK", "-1"], ":4"),
            (&["x", "COUNT", "0"], "*3 :0 :2 :4"),
            (&["x", "COUNT", "2", "RANK", "-2"], "*2 :2 :0"),
            (&["x", "COUNT", "5", "MAXLEN", "3"], "*2 :0 :2"),
            (&["z", "MAXLEN", "3"], "$-1"),
            (&["no", "COUNT", "1"], "*0"),
            (&["x", "RANK", "9223372036854775807", "COUNT", "0"], "*0"),
        ];
        for (options, reply) in cases {
            let args = [&["LPOS", "a"], options].concat();
            assert_eq!(run(&mut unit, &args), reply, "{args:?}");
        }
        assert_eq!(run(&mut unit, &["LPOS", "none", "x"]), "$-1");
        assert_eq!(run(&mut unit, &["LPOS", "none", "x", "COUNT", "1"]), "*0");
    }

    #[test]
    fn bad_searches_are_refused_as_in_redis() {
        let cases: [(&[&str], &str); 6] = [
            (&["RANK", "0"], "-ERR RANK can't be zero: "),
            (&["RANK", "-9223372036854775808"], "-ERR value is out of range, value must between"),
            (&["COUNT", "-1"], "-ERR COUNT can't be negative"),
            (&["MAXLEN", "x"], "-ERR MAXLEN can't be negative"),
            (&["RANK"], "-ERR syntax error"),
            (&["FIRST", "1"], "-ERR syntax error"),
        ];
        for (options, reply) in cases {
            let args = [&["LPOS", "a", "x"], options].concat();
            assert!(run(&mut unit(), &args).starts_with(reply), "{args:?}");
        }
    }
}
