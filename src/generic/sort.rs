//! SORT and SORT_RO: the elements of a list, a set or a sorted set in an order of their own, or in
//! that of values at other keys.
//!
//! The patterns of `BY` and `GET` lead to keys that no argument names: all partitions are locked,
//! and a key that turns out to be cold is fetched before the command runs again.

use std::cmp::Ordering;

use crate::command::args::Args;
use crate::command::collection::{list_of, members_of, zset_of};
use crate::command::double;
use crate::command::list_shape::{shape, stored};
use crate::command::number::integer;
use crate::command::row::{block, first_key, key_arg, one_of, word};
use crate::command::spec::key_flag::{ACCESS, OW, RO, UPDATE};
use crate::command::spec::{
    Arg, ArgKind, BeginSearch, Call, Command, Failure, FindKeys, KeySpec, Spec, flag,
};
use crate::engine::unit::{ValueHandle, ValueRef, View};
use crate::error::Error;
use crate::format::record::DeleteReason;
use crate::types::ValueKind;
use crate::value::collection::Collection;
use crate::value::list::List;
use crate::value::packed_list::list_push;
use crate::value::{list_item, packed};

/// Keys that depend on what is sorted.
const PATTERN_KEYS: KeySpec = KeySpec {
    begin: BeginSearch::Unknown,
    find: FindKeys::Unknown,
    flags: RO | ACCESS,
    notes: "The keys of BY and GET depend on the elements that are sorted",
};

/// The destination.
const STORE_KEY: KeySpec = KeySpec {
    flags: OW | UPDATE,
    notes: "The key of STORE may stand anywhere among the options",
    ..PATTERN_KEYS
};

const BY: Arg = Arg {
    key_spec: Some(1),
    ..Arg::new("by-pattern", ArgKind::Pattern).shown_as("pattern").behind("BY").optional()
};
const LIMIT: Arg =
    block("limit", &[Arg::new("offset", ArgKind::Integer), Arg::new("count", ArgKind::Integer)])
        .behind("LIMIT")
        .optional();
const GET: Arg = Arg {
    key_spec: Some(1),
    multiple_token: true,
    ..Arg::new("get-pattern", ArgKind::Pattern)
        .shown_as("pattern")
        .behind("GET")
        .optional()
        .multiple()
};
const ORDER: Arg = one_of("order", &[word("asc", "ASC"), word("desc", "DESC")]).optional();
const ALPHA: Arg = word("sorting", "ALPHA").optional();
const STORE: Arg =
    Arg { key_spec: Some(2), ..Arg::new("destination", ArgKind::Key).behind("STORE").optional() };

/// What both rows have in common.
const ROW: Spec = Spec {
    arity: -2,
    acl: &["set", "sortedset", "list", "dangerous"],
    complexity: "O(N+M*log(M)) for N elements, M of which are sorted.",
    ..Spec::EMPTY
};

/// The rows of this family.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "sort",
            flags: flag::WRITE | flag::DENYOOM | flag::MOVABLE_KEYS | flag::REACHES,
            keys: &[first_key(RO | ACCESS), PATTERN_KEYS, STORE_KEY],
            summary: "Tells the elements of a collection in order, or stores them as a list.",
            args: &[key_arg(), BY, LIMIT, GET, ORDER, ALPHA, STORE],
            more_keys: Some(|args| Some((store_index(args)?, OW | UPDATE))),
            ..ROW
        },
        run: |call| sort(call, true),
    },
    Command {
        spec: Spec {
            name: "sort_ro",
            flags: flag::READONLY | flag::MOVABLE_KEYS | flag::REACHES,
            keys: &[first_key(RO | ACCESS), PATTERN_KEYS],
            since: "7.0.0",
            summary: "Tells the elements of a collection in order.",
            args: &[key_arg(), BY, LIMIT, GET, ORDER, ALPHA],
            ..ROW
        },
        run: |call| sort(call, false),
    },
];

/// Where the destination stands; the last one counts.
fn store_index(args: &Args<'_>) -> Option<usize> {
    let (mut found, mut index) = (None, 2);
    while index < args.len() {
        if args.is(index, "LIMIT") {
            index += 2;
        } else if args.is(index, "GET") || args.is(index, "BY") {
            index += 1;
        } else if args.is(index, "STORE") && index + 1 < args.len() {
            index += 1;
            found = Some(index);
        }
        index += 1;
    }
    found
}

#[derive(Default)]
struct Options<'a> {
    by: Option<&'a [u8]>,
    /// Whether elements stay in the order in which they stand: a `BY` has no `*`, though not the
    /// last one perhaps.
    keeps_order: bool,
    limit: Option<(i64, i64)>,
    gets: Vec<&'a [u8]>,
    descending: bool,
    alpha: bool,
    store: Option<&'a [u8]>,
}

impl<'a> Options<'a> {
    fn parse(args: &Args<'a>, may_store: bool) -> Result<Options<'a>, Failure> {
        let mut options = Options::default();
        let mut index = 2;
        while index < args.len() {
            let left = args.len() - index - 1;
            if args.is(index, "ASC") {
                options.descending = false;
            } else if args.is(index, "DESC") {
                options.descending = true;
            } else if args.is(index, "ALPHA") {
                options.alpha = true;
            } else if args.is(index, "LIMIT") && left >= 2 {
                let (start, count) = (integer(args.get(index + 1))?, integer(args.get(index + 2))?);
                options.limit = Some((start, count));
                index += 2;
            } else if may_store && args.is(index, "STORE") && left >= 1 {
                options.store = Some(args.get(index + 1));
                index += 1;
            } else if args.is(index, "BY") && left >= 1 {
                let pattern = args.get(index + 1);
                options.by = Some(pattern);
                options.keeps_order |= !pattern.contains(&b'*');
                index += 1;
            } else if args.is(index, "GET") && left >= 1 {
                options.gets.push(args.get(index + 1));
                index += 1;
            } else {
                return Err(Failure::Syntax);
            }
            index += 1;
        }
        Ok(options)
    }

    /// The first of `len` elements in order that is wanted, and how many are.
    fn range(&self, len: usize) -> (usize, usize) {
        let (start, count) = self.limit.unwrap_or((0, -1));
        let start = usize::try_from(start).unwrap_or(0).min(len);
        let count = usize::try_from(count).unwrap_or(len);
        (start, count.min(len - start))
    }
}

type Element = Box<[u8]>;

fn sort(call: &mut Call<'_, '_, '_>, may_store: bool) -> Result<(), Failure> {
    let mut options = Options::parse(call.args, may_store)?;
    let key = call.unit.key(call.db, call.args.get(1));
    let mut elements = match call.unit.get(&key) {
        Some(view) => elements_of(&view, &mut options)?,
        None => Vec::new(),
    };
    let (start, count) = options.range(elements.len());
    if !options.keeps_order {
        elements = sorted(call, &options, elements)?;
    }
    let wanted = elements.into_iter().skip(start).take(count);
    let results: Vec<Option<Element>> = match options.gets.is_empty() {
        true => wanted.map(Some).collect(),
        false => {
            let mut results = Vec::new();
            for element in wanted {
                for pattern in &options.gets {
                    results.push(follow(call, pattern, &element)?);
                }
            }
            results
        }
    };
    if call.unit.has_missed() {
        return Ok(());
    }
    match options.store {
        Some(destination) => store(call, destination, &results),
        None => {
            call.reply.array(results.len());
            for result in &results {
                match result {
                    Some(element) => call.reply.bulk(element),
                    None => call.reply.null(),
                }
            }
            Ok(())
        }
    }
}

/// All elements as they stand; those of lists and sorted sets in the order asked for.
fn elements_of(view: &View<'_>, options: &mut Options<'_>) -> Result<Vec<Element>, Failure> {
    let reverse = options.keeps_order && options.descending;
    Ok(match view.value.kind() {
        ValueKind::List => {
            let list = list_of(view)?;
            let first = if reverse { list.len() - 1 } else { 0 };
            list.iter_from(first, reverse).map(Element::from).collect()
        }
        ValueKind::Zset => {
            let zset = zset_of(view)?;
            let first = if reverse { zset.len() - 1 } else { 0 };
            zset.iter_from_rank(first, reverse).map(|(_, member)| Element::from(member)).collect()
        }
        _ => {
            let members = members_of(view, ValueKind::Set)?;
            if options.keeps_order && options.store.is_some() {
                // A set has no order of its own that could be stored.
                (options.by, options.alpha, options.keeps_order) = (None, true, false);
            }
            members.iter().map(|item| Element::from(item.member)).collect()
        }
    })
}

/// What an element is sorted by.
enum Weight {
    /// A number; elements of one weight stand in their own order.
    Number(f64),
    /// Bytes at another key; what has none comes first.
    Bytes(Option<Element>),
    /// The element itself.
    Own,
}

impl Weight {
    fn cmp(&self, other: &Weight, own: impl FnOnce() -> Ordering) -> Ordering {
        match (self, other) {
            (Weight::Number(a), Weight::Number(b)) => {
                a.partial_cmp(b).unwrap_or(Ordering::Equal).then_with(own)
            }
            (Weight::Bytes(a), Weight::Bytes(b)) => a.cmp(b),
            _ => own(),
        }
    }
}

fn sorted(
    call: &mut Call<'_, '_, '_>,
    options: &Options<'_>,
    elements: Vec<Element>,
) -> Result<Vec<Element>, Failure> {
    let mut weighed = Vec::with_capacity(elements.len());
    let mut all_numbers = true;
    for element in elements {
        let outer = match options.by {
            Some(pattern) => follow(call, pattern, &element)?,
            None => None,
        };
        let weight = match (options.alpha, options.by) {
            (true, Some(_)) => Weight::Bytes(outer),
            (true, None) => Weight::Own,
            (false, by) => {
                let text = if by.is_some() { outer.as_deref() } else { Some(&element[..]) };
                let number = text.map_or(Some(0.0), number);
                all_numbers &= number.is_some();
                Weight::Number(number.unwrap_or_default())
            }
        };
        weighed.push((weight, element));
    }
    if !all_numbers && !call.unit.has_missed() {
        return Err(Failure::text("ERR One or more scores can't be converted into double"));
    }
    weighed.sort_by(|(a, own), (b, other)| {
        let order = a.cmp(b, || own.cmp(other));
        if options.descending { order.reverse() } else { order }
    });
    Ok(weighed.into_iter().map(|(_, element)| element).collect())
}

/// A number as C reads one: up to a zero byte, blanks may stand in front of it, and nothing at all
/// is 0. Decimal digits so small that a double loses some are out of range.
fn number(text: &[u8]) -> Option<f64> {
    let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
    if text.is_empty() {
        return Some(0.0);
    }
    let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t'..=b'\r')).count();
    let is_hexadecimal = text.iter().any(|byte| byte.eq_ignore_ascii_case(&b'x'));
    double::parse(&text[blanks..]).filter(|number| is_hexadecimal || !number.is_subnormal())
}

/// The value that a pattern leads to: of the key with the element in place of the `*`, or of a
/// field of the hash there.
fn follow(
    call: &mut Call<'_, '_, '_>,
    pattern: &[u8],
    element: &[u8],
) -> Result<Option<Element>, Failure> {
    if pattern == b"#" {
        return Ok(Some(element.into()));
    }
    let Some(star) = pattern.iter().position(|&byte| byte == b'*') else {
        return Ok(None);
    };
    let (front, rest) = (&pattern[..star], &pattern[star + 1..]);
    let arrow = rest.windows(2).position(|pair| pair == b"->");
    let (behind, field) = match arrow.filter(|at| at + 2 < rest.len()) {
        Some(at) => (&rest[..at], Some(&rest[at + 2..])),
        None => (rest, None),
    };
    let name = [front, element, behind].concat();
    let key = call.unit.key(call.db, &name);
    let now_ms = call.unit.now_ms();
    let unreadable = |error: Error| Failure::Text(format!("ERR {error}").into());
    let Some(view) = call.unit.reach(&key).map_err(unreadable)? else {
        return Ok(None);
    };
    Ok(match (field, view.value) {
        (None, ValueRef::String(string)) => Some(string.to_vec().into()),
        (Some(field), _) => members_of(&view, ValueKind::Hash)
            .ok()
            .and_then(|hash| hash.get(field))
            .filter(|item| item.deadline_ms.is_none_or(|at| at > now_ms))
            .map(|item| item.payload.into()),
        _ => None,
    })
}

/// Puts results at a key as a list; what was not found is an empty element.
fn store(
    call: &mut Call<'_, '_, '_>,
    destination: &[u8],
    results: &[Option<Element>],
) -> Result<(), Failure> {
    let elements = || results.iter().map(|result| result.as_deref().unwrap_or_default());
    let key = call.unit.key(call.db, destination);
    if results.is_empty() {
        call.unit.delete(&key, DeleteReason::Command);
        call.reply.integer(0);
        return Ok(());
    }
    let encoding = stored(call.encodings, elements());
    let bytes = 1 + elements().map(|element| list_item::encoded_len(element.len())).sum::<usize>();
    let value = if packed::fits(bytes, results.len()) {
        let mut blob = Vec::new();
        list_push(&[shape(encoding)], false, &elements().collect::<Vec<_>>(), &mut blob);
        ValueHandle::Packed(blob)
    } else {
        let mut list = List::new(encoding);
        elements().for_each(|element| list.push(false, element));
        ValueHandle::Collection(Box::new(Collection::List(list)))
    };
    if !call.unit.make_room(destination.len() + value.as_value().size().bytes as usize) {
        return Err(Failure::text("ERR the log has no room for the result now; try again"));
    }
    call.unit.put_collection(&key, value, None);
    call.reply.integer(results.len() as i64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{number, store_index};
    use crate::command::testing::{run, unit, with_args};

    #[test]
    fn elements_are_told_in_order() {
        let mut unit = unit();
        run(&mut unit, &["RPUSH", "l", "3", "1", "10", "2"]);
        let cases: [(&[&str], &str); 9] = [
            (&[], "*4 $1 1 $1 2 $1 3 $2 10"),
            (&["DESC"], "*4 $2 10 $1 3 $1 2 $1 1"),
            (&["ALPHA"], "*4 $1 1 $2 10 $1 2 $1 3"),
            (&["LIMIT", "1", "2"], "*2 $1 2 $1 3"),
            (&["LIMIT", "-5", "1"], "*1 $1 1"),
            (&["LIMIT", "3", "-1"], "*1 $2 10"),
            (&["LIMIT", "9", "1"], "*0"),
            (&["BY", "none", "DESC", "LIMIT", "1", "2"], "*2 $2 10 $1 1"),
            (&["BY", "none", "GET", "#", "GET", "w"], "*8 $1 3 $-1 $1 1 $-1 $2 10 $-1 $1 2 $-1"),
        ];
        for (options, reply) in cases {
            assert_eq!(run(&mut unit, &[&["SORT_RO", "l"], options].concat()), reply);
        }
        assert_eq!(run(&mut unit, &["SORT", "no"]), "*0");
    }

    #[test]
    fn patterns_lead_to_strings_and_fields() {
        let mut unit = unit();
        run(&mut unit, &["SADD", "s", "a", "b", "c"]);
        run(&mut unit, &["MSET", "w_a", "3", "w_b", "1", "t_b-x", "B"]);
        run(&mut unit, &["HSET", "h_a", "f", "1", "g", "A"]);
        run(&mut unit, &["HSET", "h_b", "f", "2"]);
        let sort = |unit: &mut _, args: &[&str]| run(unit, &[&["SORT", "s"], args].concat());
        assert_eq!(sort(&mut unit, &["BY", "w_*"]), "*3 $1 c $1 b $1 a");
        assert_eq!(sort(&mut unit, &["BY", "h_*->f", "DESC"]), "*3 $1 b $1 a $1 c");
        let reply = sort(&mut unit, &["ALPHA", "GET", "h_*->g", "GET", "t_*-x"]);
        assert_eq!(reply, "*6 $1 A $-1 $-1 $1 B $-1 $-1");
        assert_eq!(sort(&mut unit, &["ALPHA", "BY", "w_*"]), "*3 $1 c $1 b $1 a");
    }

    #[test]
    fn results_are_stored_as_a_list() {
        let mut unit = unit();
        run(&mut unit, &["ZADD", "z", "1", "x", "2", "y"]);
        run(&mut unit, &["SET", "d", "before"]);
        let args = ["SORT", "z", "BY", "none", "DESC", "GET", "#", "GET", "w_*", "STORE", "d"];
        assert_eq!(run(&mut unit, &args), ":4");
        assert_eq!(run(&mut unit, &["LRANGE", "d", "0", "-1"]), "*4 $1 y $0  $1 x $0");
        assert_eq!(run(&mut unit, &["SORT", "no", "STORE", "d"]), ":0");
        assert_eq!(run(&mut unit, &["EXISTS", "d"]), ":0");
        for number in 0..1000 {
            run(&mut unit, &["RPUSH", "l", &number.to_string()]);
        }
        assert_eq!(run(&mut unit, &["SORT", "l", "DESC", "STORE", "l"]), ":1000");
        assert_eq!(run(&mut unit, &["LINDEX", "l", "0"]), "$3 999");
    }

    #[test]
    fn bad_calls_are_refused_as_in_redis() {
        let mut unit = unit();
        run(&mut unit, &["RPUSH", "l", "1", "x"]);
        run(&mut unit, &["SET", "s", "x"]);
        let cases: [(&[&str], &str); 7] = [
            (&["SORT", "l"], "-ERR One or more scores can't be converted into double"),
            (&["SORT", "l", "LIMIT", "1"], "-ERR syntax error"),
            (&["SORT", "l", "LIMIT", "x", "1"], "-ERR value is not an integer or out of range"),
            (&["SORT", "l", "BY"], "-ERR syntax error"),
            (&["SORT_RO", "l", "STORE", "d"], "-ERR syntax error"),
            (&["SORT", "s", "UP"], "-ERR syntax error"),
            (&["SORT", "s"], "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ];
        for (args, reply) in cases {
            assert_eq!(run(&mut unit, args), reply, "{args:?}");
        }
    }

    #[test]
    fn numbers_are_those_of_c() {
        let cases: [(&str, Option<f64>); 12] = [
            ("", Some(0.0)),
            ("\0x", Some(0.0)),
            ("7\0x", Some(7.0)),
            (" \t5", Some(5.0)),
            ("-1e3", Some(-1000.0)),
            ("0x10", Some(16.0)),
            (" ", None),
            ("5 ", None),
            ("nan", None),
            ("1e400", None),
            ("5e-324", None),
            ("0x1p-1074", Some(5e-324)),
        ];
        for (text, value) in cases {
            assert_eq!(number(text.as_bytes()), value, "{text:?}");
        }
    }

    #[test]
    fn the_last_destination_counts() {
        let index = |args: &[&str]| with_args(args, store_index);
        assert_eq!(index(&["SORT", "l"]), None);
        assert_eq!(index(&["SORT", "l", "BY", "store", "STORE", "d"]), Some(5));
        assert_eq!(
            index(&["SORT", "l", "STORE", "a", "LIMIT", "store", "x", "store", "b"]),
            Some(8)
        );
        assert_eq!(index(&["SORT", "l", "STORE"]), None);
    }
}
