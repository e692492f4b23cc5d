//! Commands that remove elements by value or place: LREM, LTRIM.

use std::ops::Range;

use crate::command::collection::{encoding_of, list_of};
use crate::command::number::{integer, parse_integer};
use crate::command::row::{first_key, key_arg};
use crate::command::spec::key_flag::{DELETE, RW};
use crate::command::spec::{Arg, ArgKind, Call, Command, Copies, Failure, Group, Spec, flag};
use crate::engine::unit::{Key, Unit, ValueHandle};
use crate::format::edit::Edit;
use crate::format::record::{DeleteReason, Record};
use crate::value::collection::Collection;
use crate::value::list::List;
use crate::value::packed_list::list_push;
use crate::value::view::ListRef;

use super::get::places;
use crate::command::list_shape::{shape, shrunk};

/// What the rows of this file have in common.
const ROW: Spec =
    Spec { arity: 4, keys: &[first_key(RW | DELETE)], group: Group::List, ..Spec::EMPTY };

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "lrem",
            flags: flag::WRITE | flag::FREES | flag::COPIES,
            complexity: "O(N) for a list of N elements.",
            summary: "Removes elements like a given one.",
            copies: Copies::Sized(|args, sizes| {
                // A cut for each element, or the whole list without them.
                let count = parse_integer(args.get(2)).filter(|&count| count != 0);
                let cut_bytes = (args.get(1).len() + Record::HEAD_BYTES_MAX) as u64;
                let cuts = count.map(|count| count.unsigned_abs().saturating_mul(cut_bytes));
                let whole = sizes.first().map_or(0, |list| list.bytes);
                whole.min(cuts.unwrap_or(u64::MAX))
            }),
            args: &[
                key_arg(),
                Arg::new("count", ArgKind::Integer),
                Arg::new("element", ArgKind::String),
            ],
            ..ROW
        },
        run: lrem,
    },
    Command {
        spec: Spec {
            name: "ltrim",
            flags: flag::WRITE | flag::FREES,
            complexity: "O(N) for N elements that are removed.",
            summary: "Keeps only the elements from one index to another.",
            args: &[
                key_arg(),
                Arg::new("start", ArgKind::Integer),
                Arg::new("stop", ArgKind::Integer),
            ],
            ..ROW
        },
        run: ltrim,
    },
];

/// Cuts that need no more room in the log than a call has anyway.
const FEW_CUTS: usize = 2;

/// Places of elements that are removed, in ascending order.
type Runs = Vec<Range<u64>>;

fn lrem(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let count = integer(call.args.get(2))?;
    if count == i64::MIN {
        return Err(Failure::text(
            "ERR value is out of range, \
             value must between -9223372036854775807 and 9223372036854775807",
        ));
    }
    let key = call.unit.key(call.db, call.args.get(1));
    let Some(view) = call.unit.get_to_change(&key) else {
        call.reply.integer(0);
        return Ok(());
    };
    let (list, encoding) = (list_of(&view)?, encoding_of(view.value));
    let len = list.len();
    let runs = matches(&list, count, call.args.get(3));
    let removed: u64 = runs.iter().map(|run| run.end - run.start).sum();
    call.reply.integer(removed as i64);
    if removed == len {
        call.unit.delete(&key, DeleteReason::Command);
        return Ok(());
    }
    if removed == 0 {
        return Ok(());
    }
    let encoding = shrunk(call.encodings, encoding, (len - removed, kept(&list, &runs)));
    let cuts_bytes = runs.len() * (key.bytes.len() + Record::HEAD_BYTES_MAX);
    if runs.len() <= FEW_CUTS || (cuts_bytes as u64) < view.value.size().bytes {
        cut(call.unit, &key, shape(encoding), &runs);
    } else {
        let deadline = view.expire_at_ms;
        let value = rebuilt(&list, &runs, encoding);
        call.unit.put_collection(&key, value, deadline);
    }
    Ok(())
}

/// Where elements like `wanted` stand: up to `count` from the head, below 0 from the tail; all
/// at 0.
fn matches(list: &ListRef<'_>, count: i64, wanted: &[u8]) -> Runs {
    let from_tail = count < 0;
    let (len, most) = (list.len(), if count == 0 { u64::MAX } else { count.unsigned_abs() });
    let start = if from_tail { len - 1 } else { 0 };
    let elements = (0..).zip(list.iter_from(start, from_tail));
    let found = elements.filter(|(_, element)| *element == wanted).take(most as usize);
    let mut runs = Runs::new();
    for (index, _) in found {
        let place = if from_tail { len - 1 - index } else { index };
        match runs.last_mut() {
            Some(run) if run.end == place => run.end += 1,
            Some(run) if run.start == place + 1 => run.start = place,
            _ => runs.push(place..place + 1),
        }
    }
    if from_tail {
        runs.reverse();
    }
    runs
}

/// The elements in no run.
fn kept<'l>(list: &ListRef<'l>, runs: &[Range<u64>]) -> impl Iterator<Item = &'l [u8]> {
    let mut runs = runs.iter().peekable();
    let elements = (0..).zip(list.iter_from(0, false));
    elements.filter_map(move |(place, element): (u64, _)| {
        while runs.next_if(|run| run.end <= place).is_some() {}
        let gone = runs.peek().is_some_and(|run| run.start <= place);
        (!gone).then_some(element)
    })
}

/// Removes runs, the last one first, so that places in front of it stay what they are.
fn cut(unit: &mut Unit<'_>, key: &Key<'_>, shape: u8, runs: &[Range<u64>]) {
    for run in runs.iter().rev() {
        unit.edit(key, shape, Edit::Cut { index: run.start, count: run.end - run.start });
    }
}

/// The list without runs: what is left takes less room in the log than so many cuts.
fn rebuilt(list: &ListRef<'_>, runs: &[Range<u64>], encoding: u8) -> ValueHandle {
    match list {
        ListRef::Packed(_) => {
            let mut blob = Vec::new();
            let kept: Vec<&[u8]> = kept(list, runs).collect();
            list_push(&[shape(encoding)], false, &kept, &mut blob);
            ValueHandle::Packed(blob)
        }
        ListRef::Large(_) => {
            let mut new = List::new(encoding);
            kept(list, runs).for_each(|element| new.push(false, element));
            ValueHandle::Collection(Box::new(Collection::List(new)))
        }
    }
}

fn ltrim(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let start = integer(call.args.get(2))?;
    let stop = integer(call.args.get(3))?;
    let key = call.unit.key(call.db, call.args.get(1));
    call.reply.ok();
    let Some(view) = call.unit.get_to_change(&key) else {
        return Ok(());
    };
    let (list, encoding) = (list_of(&view)?, encoding_of(view.value));
    let len = list.len();
    let (first, count) = places(start, stop, len);
    if count == 0 {
        call.unit.delete(&key, DeleteReason::Command);
        return Ok(());
    }
    let left = list.iter_from(first, false).take(count as usize);
    let shape = shape(shrunk(call.encodings, encoding, (count, left)));
    // A trim that removes nothing counts as a change all the same, as in Redis.
    let runs: &[Range<u64>] = &[0..first, first + count..len];
    let runs = match (first, first + count) {
        (_, end) if end == len => &runs[..1],
        (0, _) => &runs[1..],
        _ => runs,
    };
    cut(call.unit, &key, shape, runs);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{deadline, run, unit};

    fn all(unit: &mut crate::engine::unit::Unit<'_>) -> String {
        run(unit, &["LRANGE", "a", "0", "-1"])
    }

    #[test]
    fn as_many_are_removed_as_asked_for_from_their_end() {
        let cases = [
            ("0", ":3", "*2 $1 y $1 z"),
            ("1", ":1", "*4 $1 y $1 x $1 z $1 x"),
            ("2", ":2", "*3 $1 y $1 z $1 x"),
            ("-1", ":1", "*4 $1 x $1 y $1 x $1 z"),
            ("-2", ":2", "*3 $1 x $1 y $1 z"),
            ("9", ":3", "*2 $1 y $1 z"),
            ("-9223372036854775807", ":3", "*2 $1 y $1 z"),
        ];
        for (count, reply, left) in cases {
            let mut unit = unit();
            run(&mut unit, &["RPUSH", "a", "x", "y", "x", "z", "x"]);
            assert_eq!(run(&mut unit, &["LREM", "a", count, "x"]), reply, "{count}");
            assert_eq!(all(&mut unit), left, "{count}");
        }
    }

    #[test]
    fn many_scattered_elements_leave_a_list_of_any_size() {
        for len in [8, 60, 400, 5000] {
            let mut unit = unit();
            for number in 0..len {
                let element = if number % 2 == 0 { "x".to_string() } else { number.to_string() };
                run(&mut unit, &["RPUSH", "a", &element]);
            }
            run(&mut unit, &["PEXPIREAT", "a", "1700000000000"]);
            assert_eq!(run(&mut unit, &["LREM", "a", "-2", "x"]), ":2");
            assert_eq!(run(&mut unit, &["LREM", "a", "0", "x"]), format!(":{}", len / 2 - 2));
            let left: Vec<String> = (1..len).step_by(2).map(|number| number.to_string()).collect();
            let left: Vec<String> =
                left.iter().map(|text| format!("${} {text}", text.len())).collect();
            assert_eq!(all(&mut unit), format!("*{} {}", len / 2, left.join(" ")));
            assert_eq!(deadline(&mut unit, "a"), Some(1_700_000_000_000));
        }
    }

    #[test]
    fn the_last_element_takes_its_key_along() {
        let mut unit = unit();
        run(&mut unit, &["RPUSH", "a", "x", "x"]);
        assert_eq!(run(&mut unit, &["LREM", "a", "0", "y"]), ":0");
        assert_eq!(run(&mut unit, &["LREM", "a", "0", "x"]), ":2");
        assert_eq!(run(&mut unit, &["EXISTS", "a"]), ":0");
        assert_eq!(run(&mut unit, &["LREM", "a", "0", "x"]), ":0");
        let reply = run(&mut unit, &["LREM", "a", "-9223372036854775808", "x"]);
        assert!(reply.starts_with("-ERR value is out of range, value must between"), "{reply}");
    }

    #[test]
    fn a_list_is_trimmed_at_both_ends() {
        let cases = [
            ("1", "2", "*2 $1 2 $1 3"),
            ("0", "-1", "*4 $1 1 $1 2 $1 3 $1 4"),
            ("-9", "9", "*4 $1 1 $1 2 $1 3 $1 4"),
            ("-2", "-1", "*2 $1 3 $1 4"),
            ("0", "0", "*1 $1 1"),
            ("2", "1", "*0"),
            ("4", "9", "*0"),
        ];
        for (start, stop, left) in cases {
            let mut unit = unit();
            run(&mut unit, &["RPUSH", "a", "1", "2", "3", "4"]);
            assert_eq!(run(&mut unit, &["LTRIM", "a", start, stop]), "+OK");
            assert_eq!(all(&mut unit), left, "{start} {stop}");
            assert_eq!(run(&mut unit, &["EXISTS", "a"]) == ":0", left == "*0");
        }
    }
}
