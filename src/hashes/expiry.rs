//! Deadlines of fields: HEXPIRE and its relatives, HTTL and its relatives, HPERSIST, HGETDEL,
//! HGETEX.
//!
//! A field past its deadline is not there, and its removal is logged before a write on it (D13).

use crate::command::args::Args;
use crate::command::expire_time::{Expiry, TimeUnit, invalid_expire_time};
use crate::command::number::{integer, parse_integer};
use crate::command::row::{block, first_key, key_arg, one_of, word};
use crate::command::spec::key_flag::{ACCESS, DELETE, RO, RW, UPDATE};
use crate::command::spec::{Arg, ArgKind, Call, Command, Copies, Failure, Group, Spec, flag};
use crate::value::item::Item;

use super::draft::{Draft, change_fields};
use super::value::read_hash;

/// Latest deadline of a field, in Unix milliseconds.
const DEADLINE_MS_MAX: i64 = (1 << 46) - 1;

/// Replies for a field: it is not there, it has no deadline, its deadline stays, is set or removed,
/// and it is past the new one and gone.
const NO_FIELD: i64 = -2;
const NO_DEADLINE: i64 = -1;
const UNCHANGED: i64 = 0;
const CHANGED: i64 = 1;
const GONE: i64 = 2;

/// Fields with a new deadline are logged with their values.
const COPIED_FIELDS: Copies = Copies::Sized(|args, sizes| {
    let count = args.len() as u64;
    sizes.iter().map(|size| size.of_items(count)).max().unwrap_or(0)
});

const FIELDS: Arg = block(
    "fields",
    &[Arg::new("numfields", ArgKind::Integer), Arg::new("field", ArgKind::String).multiple()],
)
.behind("FIELDS");
const CONDITION: Arg =
    one_of("condition", &[word("nx", "NX"), word("xx", "XX"), word("gt", "GT"), word("lt", "LT")])
        .optional();
const SECONDS: Arg = Arg::new("seconds", ArgKind::Integer);
const MILLISECONDS: Arg = Arg::new("milliseconds", ArgKind::Integer);
const AT_SECONDS: Arg = Arg::new("unix-time-seconds", ArgKind::UnixTime);
const AT_MILLISECONDS: Arg = Arg::new("unix-time-milliseconds", ArgKind::UnixTime);

/// Commands that change fields which they name.
const ROW: Spec = Spec {
    arity: -5,
    flags: flag::WRITE | flag::FAST | flag::COPIES,
    keys: &[first_key(RW | UPDATE)],
    group: Group::Hash,
    since: "7.4.0",
    complexity: "O(N) for N fields that are named.",
    args: &[key_arg(), FIELDS],
    copies: COPIED_FIELDS,
    ..Spec::EMPTY
};

/// Commands that set a deadline.
const ROW_OF_EXPIRE: Spec =
    Spec { arity: -6, summary: "Sets when fields end, if a condition holds.", ..ROW };

/// Commands that tell a deadline.
const ROW_OF_TTL: Spec =
    Spec { flags: flag::READONLY | flag::FAST, keys: &[first_key(RO | ACCESS)], ..ROW };

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "hexpire",
            args: &[key_arg(), SECONDS, CONDITION, FIELDS],
            ..ROW_OF_EXPIRE
        },
        run: |call| expire(call, "hexpire", TimeUnit::Seconds, true),
    },
    Command {
        spec: Spec {
            name: "hpexpire",
            args: &[key_arg(), MILLISECONDS, CONDITION, FIELDS],
            ..ROW_OF_EXPIRE
        },
        run: |call| expire(call, "hpexpire", TimeUnit::Milliseconds, true),
    },
    Command {
        spec: Spec {
            name: "hexpireat",
            args: &[key_arg(), AT_SECONDS, CONDITION, FIELDS],
            ..ROW_OF_EXPIRE
        },
        run: |call| expire(call, "hexpireat", TimeUnit::Seconds, false),
    },
    Command {
        spec: Spec {
            name: "hpexpireat",
            args: &[key_arg(), AT_MILLISECONDS, CONDITION, FIELDS],
            ..ROW_OF_EXPIRE
        },
        run: |call| expire(call, "hpexpireat", TimeUnit::Milliseconds, false),
    },
    Command {
        spec: Spec {
            name: "httl",
            summary: "Tells in how many seconds fields end.",
            tips: &["nondeterministic_output"],
            ..ROW_OF_TTL
        },
        run: |call| report(call, |at, now_ms| (at - now_ms).div_ceil(1000)),
    },
    Command {
        spec: Spec {
            name: "hpttl",
            summary: "Tells in how many milliseconds fields end.",
            tips: &["nondeterministic_output"],
            ..ROW_OF_TTL
        },
        run: |call| report(call, |at, now_ms| at - now_ms),
    },
    Command {
        spec: Spec {
            name: "hexpiretime",
            summary: "Tells when fields end, in Unix seconds.",
            ..ROW_OF_TTL
        },
        run: |call| report(call, |at, _| at.div_ceil(1000)),
    },
    Command {
        spec: Spec {
            name: "hpexpiretime",
            summary: "Tells when fields end, in Unix milliseconds.",
            ..ROW_OF_TTL
        },
        run: |call| report(call, |at, _| at),
    },
    Command {
        spec: Spec {
            name: "hpersist",
            summary: "Takes the deadline from fields, which then stay.",
            ..ROW
        },
        run: hpersist,
    },
    Command {
        spec: Spec {
            name: "hgetdel",
            flags: flag::WRITE | flag::FAST | flag::FREES,
            keys: &[first_key(RW | ACCESS | DELETE)],
            since: "8.0.0",
            summary: "Tells the values of fields and removes them.",
            ..ROW
        },
        run: hgetdel,
    },
    Command {
        spec: Spec {
            name: "hgetex",
            keys: &[
                first_key(RW | ACCESS | UPDATE).note("RW and UPDATE because it changes the TTL")
            ],
            since: "8.0.0",
            summary: "Tells the values of fields and sets or removes their deadline.",
            args: &[
                key_arg(),
                one_of(
                    "expiration",
                    &[
                        SECONDS.behind("EX"),
                        MILLISECONDS.behind("PX"),
                        AT_SECONDS.behind("EXAT"),
                        AT_MILLISECONDS.behind("PXAT"),
                        word("persist", "PERSIST"),
                    ],
                )
                .optional(),
                FIELDS,
            ],
            ..ROW
        },
        run: hgetex,
    },
];

/// A deadline of fields from the argument that gives it. One that is past is a right one.
pub fn deadline_ms(
    argument: &[u8],
    unit: TimeUnit,
    base_ms: u64,
    command: &str,
) -> Result<u64, Failure> {
    let amount = integer(argument)?;
    if amount < 0 {
        return Err(Failure::text("ERR invalid expire time, must be >= 0"));
    }
    let scale = if unit == TimeUnit::Seconds { 1000 } else { 1 };
    let at = amount.checked_mul(scale).and_then(|ms| ms.checked_add_unsigned(base_ms));
    let at = at.filter(|at| *at <= DEADLINE_MS_MAX);
    at.map(i64::unsigned_abs).ok_or_else(|| invalid_expire_time(command))
}

/// The fields of a call, whose word FIELDS stands at `at`; `few` is the failure of a number below
/// one.
fn fields_of<'c>(
    args: &Args<'c>,
    at: usize,
    few: &'static str,
) -> Result<impl ExactSizeIterator<Item = &'c [u8]> + use<'c>, Failure> {
    if at >= args.len() || !args.is(at, "FIELDS") {
        return Err(Failure::text(
            "ERR Mandatory argument FIELDS is missing or not at the right position",
        ));
    }
    let number = if at + 1 < args.len() { parse_integer(args.get(at + 1)) } else { None };
    let number = number.and_then(|number| usize::try_from(number).ok());
    let number = number.filter(|number| *number > 0).ok_or(Failure::text(few))?;
    if number != args.len() - at - 2 {
        return Err(Failure::text(
            "ERR The `numfields` parameter must match the number of arguments",
        ));
    }
    let args = args.tail(at + 2);
    Ok((0..args.len()).map(move |index| args.get(index)))
}

/// What most commands say to a number of fields below one.
const NOT_POSITIVE: &str = "ERR Number of fields must be a positive integer";

/// When a deadline is set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Condition {
    Always,
    Absent,
    Present,
    Later,
    Earlier,
}

impl Condition {
    /// The condition at `index`, if one stands there.
    fn at(args: &Args<'_>, index: usize) -> Option<Condition> {
        let words = [
            ("NX", Condition::Absent),
            ("XX", Condition::Present),
            ("GT", Condition::Later),
            ("LT", Condition::Earlier),
        ];
        words.into_iter().find(|(word, _)| args.is(index, word)).map(|(_, condition)| condition)
    }

    /// Whether a deadline may replace `current`. A field without one counts as ending never.
    fn allows(self, current: Option<u64>, new: u64) -> bool {
        match (self, current) {
            (Condition::Always, _) => true,
            (Condition::Absent, current) => current.is_none(),
            (Condition::Present, current) => current.is_some(),
            (Condition::Later, current) => current.is_some_and(|at| new > at),
            (Condition::Earlier, current) => current.is_none_or(|at| new < at),
        }
    }
}

fn expire(
    call: &mut Call<'_, '_, '_>,
    command: &str,
    unit: TimeUnit,
    relative: bool,
) -> Result<(), Failure> {
    let args = call.args;
    let now_ms = call.unit.now_ms();
    let base_ms = if relative { now_ms } else { 0 };
    change_fields(call, |draft, reply| {
        let at = deadline_ms(args.get(2), unit, base_ms, command)?;
        let condition = Condition::at(args, 3);
        let fields_at = if condition.is_some() { 4 } else { 3 };
        let few = "ERR Parameter `numFields` should be greater than 0";
        let fields = fields_of(args, fields_at, few)?;
        let condition = condition.unwrap_or(Condition::Always);
        reply.array(fields.len());
        draft.may_get_deadlines();
        fields.for_each(|field| {
            reply.integer(match draft.get(field) {
                None => NO_FIELD,
                Some(item) if !condition.allows(item.deadline_ms, at) => UNCHANGED,
                Some(item) => set_deadline(draft, field, item, at, now_ms),
            });
        });
        Ok(())
    })
}

/// Sets the deadline of a field, or removes the field where that is past.
fn set_deadline<'c, 'u>(
    draft: &mut Draft<'c, 'u>,
    field: &'c [u8],
    item: Item<'u>,
    at: u64,
    now_ms: u64,
) -> i64 {
    if at <= now_ms {
        draft.expire(field);
        return GONE;
    }
    draft.set(field, Item { deadline_ms: Some(at), ..item });
    CHANGED
}

/// Replies with what `of` makes of the deadline of each field and the time.
fn report(call: &mut Call<'_, '_, '_>, of: fn(u64, u64) -> u64) -> Result<(), Failure> {
    let key = call.unit.key(call.db, call.args.get(1));
    let now_ms = call.unit.now_ms();
    let hash = read_hash(call.unit, &key)?;
    let fields = fields_of(call.args, 2, NOT_POSITIVE)?;
    call.reply.array(fields.len());
    for field in fields {
        let item = hash.and_then(|hash| hash.get(field));
        call.reply.integer(match item.map(|item| item.deadline_ms) {
            None => NO_FIELD,
            Some(None) => NO_DEADLINE,
            Some(Some(at)) => of(at, now_ms) as i64,
        });
    }
    Ok(())
}

fn hpersist(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let args = call.args;
    change_fields(call, |draft, reply| {
        let fields = fields_of(args, 2, NOT_POSITIVE)?;
        reply.array(fields.len());
        fields.for_each(|field| {
            reply.integer(match draft.get(field) {
                None => NO_FIELD,
                Some(item) if item.deadline_ms.is_none() => NO_DEADLINE,
                Some(item) => {
                    draft.set(field, Item { deadline_ms: None, ..item });
                    CHANGED
                }
            });
        });
        Ok(())
    })
}

fn hgetdel(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let args = call.args;
    change_fields(call, |draft, reply| {
        let fields = fields_of(args, 2, NOT_POSITIVE)?;
        reply.array(fields.len());
        fields.for_each(|field| match draft.get(field) {
            None => reply.null(),
            Some(item) => {
                reply.bulk(item.payload);
                draft.remove(field);
            }
        });
        Ok(())
    })
}

fn hgetex(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let args = call.args;
    let now_ms = call.unit.now_ms();
    change_fields(call, |draft, reply| {
        let (expiry, taken) = Expiry::at(args, 2).unwrap_or_default();
        let at = match expiry {
            Expiry::At { argument, unit, relative } => {
                let base_ms = if relative { now_ms } else { 0 };
                Some(deadline_ms(argument, unit, base_ms, "hgetex")?)
            }
            _ => None,
        };
        let is_persist = args.is(2, "PERSIST");
        let taken = if is_persist { 1 } else { taken };
        let fields = fields_of(args, 2 + taken, NOT_POSITIVE)?;
        reply.array(fields.len());
        if at.is_some() {
            draft.may_get_deadlines();
        }
        fields.for_each(|field| {
            let Some(item) = draft.get(field) else {
                reply.null();
                return;
            };
            reply.bulk(item.payload);
            if let Some(at) = at {
                set_deadline(draft, field, item, at, now_ms);
            } else if is_persist && item.deadline_ms.is_some() {
                draft.set(field, Item { deadline_ms: None, ..item });
            }
        });
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{run, unit};
    use crate::engine::unit::Unit;
    use crate::types::ValueKind;
    use crate::value::item::Item;

    /// Wall time of the unit.
    const NOW_MS: u64 = 1_600_000_000_000;

    fn encoding(unit: &mut Unit<'_>, key: &str) -> String {
        let reply = run(unit, &["OBJECT", "ENCODING", key]);
        reply.split(' ').next_back().unwrap_or_default().to_owned()
    }

    /// A hash `h` of the fields `past`, whose deadline is over, `late` and `free`.
    fn with_expired(unit: &mut Unit<'_>) {
        let mut items = Vec::new();
        for (member, deadline_ms) in
            [("past", Some(NOW_MS)), ("late", Some(NOW_MS + 5_500)), ("free", None)]
        {
            Item { member: member.as_bytes(), payload: b"1", deadline_ms }.encode(&mut items);
        }
        let key = unit.key(0, b"h");
        let edit = crate::format::edit::Edit::Put { items: &items };
        unit.edit(&key, ValueKind::Hash.shape(crate::command::encodings::hash::LISTPACK_EX), edit);
    }

    #[test]
    fn deadlines_are_set_and_told() {
        let mut unit = unit();
        run(&mut unit, &["HSET", "h", "a", "1", "b", "2"]);
        let hexpire = &["HEXPIRE", "h", "10", "FIELDS", "3", "a", "x", "a"];
        assert_eq!(run(&mut unit, hexpire), "*3 :1 :-2 :1");
        assert_eq!(run(&mut unit, &["HTTL", "h", "FIELDS", "3", "a", "b", "x"]), "*3 :10 :-1 :-2");
        assert_eq!(run(&mut unit, &["HPEXPIRE", "h", "1001", "FIELDS", "1", "a"]), "*1 :1");
        assert_eq!(run(&mut unit, &["HTTL", "h", "FIELDS", "1", "a"]), "*1 :2");
        assert_eq!(run(&mut unit, &["HPTTL", "h", "FIELDS", "1", "a"]), "*1 :1001");
        let at = "1600000000001";
        assert_eq!(run(&mut unit, &["HPEXPIREAT", "h", at, "FIELDS", "1", "a"]), "*1 :1");
        assert_eq!(run(&mut unit, &["HPEXPIRETIME", "h", "FIELDS", "1", "a"]), "*1 :1600000000001");
        assert_eq!(run(&mut unit, &["HEXPIRETIME", "h", "FIELDS", "1", "a"]), "*1 :1600000001");
        let persist = &["HPERSIST", "h", "FIELDS", "3", "a", "a", "x"];
        assert_eq!(run(&mut unit, persist), "*3 :1 :-1 :-2");
        assert_eq!(run(&mut unit, &["HGETALL", "h"]), "*4 $1 a $1 1 $1 b $1 2");
        assert_eq!(encoding(&mut unit, "h"), "listpackex");
        assert_eq!(run(&mut unit, &["HTTL", "no", "FIELDS", "1", "a"]), "*1 :-2");
        assert_eq!(run(&mut unit, &["HEXPIRE", "no", "1", "FIELDS", "1", "a"]), "*1 :-2");
        assert_eq!(run(&mut unit, &["DBSIZE"]), ":1");
    }

    #[test]
    fn large_hashes_keep_deadlines_too() {
        let mut unit = unit();
        let mut args = vec!["HSET".to_owned(), "h".to_owned()];
        args.extend((0..600).flat_map(|n| [format!("f{n}"), n.to_string()]));
        run(&mut unit, &args);
        assert_eq!(run(&mut unit, &["HEXPIRE", "h", "10", "FIELDS", "1", "f7"]), "*1 :1");
        assert_eq!(run(&mut unit, &["HTTL", "h", "FIELDS", "2", "f7", "f8"]), "*2 :10 :-1");
        assert_eq!(run(&mut unit, &["HGET", "h", "f7"]), "$1 7");
        assert_eq!(encoding(&mut unit, "h"), "hashtable");
    }

    #[test]
    fn conditions_look_at_the_deadline_that_there_is() {
        let mut unit = unit();
        run(&mut unit, &["HSET", "h", "a", "1", "b", "2"]);
        let mut expire = |seconds: &str, condition: &str| {
            run(&mut unit, &["HEXPIRE", "h", seconds, condition, "FIELDS", "1", "a"])
        };
        assert_eq!((expire("10", "XX"), expire("10", "GT")), ("*1 :0".into(), "*1 :0".into()));
        assert_eq!((expire("10", "NX"), expire("20", "NX")), ("*1 :1".into(), "*1 :0".into()));
        assert_eq!((expire("5", "GT"), expire("20", "GT")), ("*1 :0".into(), "*1 :1".into()));
        assert_eq!((expire("30", "LT"), expire("9", "lt")), ("*1 :0".into(), "*1 :1".into()));
        assert_eq!(run(&mut unit, &["HEXPIRE", "h", "9", "LT", "FIELDS", "1", "b"]), "*1 :1");
    }

    #[test]
    fn a_deadline_that_is_past_removes_the_field() {
        let mut unit = unit();
        run(&mut unit, &["HSET", "h", "a", "1", "b", "2", "c", "3"]);
        assert_eq!(run(&mut unit, &["HEXPIRE", "h", "0", "FIELDS", "2", "a", "a"]), "*2 :2 :-2");
        assert_eq!(run(&mut unit, &["HGETEX", "h", "EXAT", "1", "FIELDS", "1", "b"]), "*1 $1 2");
        assert_eq!(run(&mut unit, &["HKEYS", "h"]), "*1 $1 c");
        assert_eq!(run(&mut unit, &["HPEXPIREAT", "h", "1", "FIELDS", "1", "c"]), "*1 :2");
        assert_eq!(run(&mut unit, &["EXISTS", "h"]), ":0");
    }

    #[test]
    fn values_are_told_and_removed() {
        let mut unit = unit();
        run(&mut unit, &["HSET", "h", "a", "1", "b", "2"]);
        let args = &["HGETDEL", "h", "FIELDS", "3", "a", "x", "a"];
        assert_eq!(run(&mut unit, args), "*3 $1 1 $-1 $-1");
        assert_eq!(run(&mut unit, &["HGETEX", "h", "EX", "9", "FIELDS", "1", "b"]), "*1 $1 2");
        assert_eq!(run(&mut unit, &["HTTL", "h", "FIELDS", "1", "b"]), "*1 :9");
        assert_eq!(run(&mut unit, &["HGETEX", "h", "FIELDS", "2", "b", "a"]), "*2 $1 2 $-1");
        assert_eq!(run(&mut unit, &["HTTL", "h", "FIELDS", "1", "b"]), "*1 :9");
        assert_eq!(run(&mut unit, &["HGETEX", "h", "PERSIST", "FIELDS", "1", "b"]), "*1 $1 2");
        assert_eq!(run(&mut unit, &["HTTL", "h", "FIELDS", "1", "b"]), "*1 :-1");
        assert_eq!(run(&mut unit, &["HGETDEL", "h", "FIELDS", "1", "b"]), "*1 $1 2");
        assert_eq!(run(&mut unit, &["EXISTS", "h"]), ":0");
        assert_eq!(run(&mut unit, &["HGETDEL", "h", "FIELDS", "1", "b"]), "*1 $-1");
    }

    #[test]
    fn a_field_past_its_deadline_is_not_there_and_leaves_when_it_is_written() {
        for args in [
            &["HEXPIRE", "h", "10", "FIELDS", "1", "past"][..],
            &["HPERSIST", "h", "FIELDS", "1", "past"],
            &["HGETDEL", "h", "FIELDS", "1", "past"],
            &["HGETEX", "h", "EX", "10", "FIELDS", "1", "past"],
        ] {
            let mut unit = unit();
            with_expired(&mut unit);
            assert_eq!(run(&mut unit, &["HTTL", "h", "FIELDS", "2", "past", "late"]), "*2 :-2 :6");
            assert_eq!(run(&mut unit, &["HKEYS", "h"]), "*2 $4 late $4 free");
            assert_eq!(run(&mut unit, &["HLEN", "h"]), ":3");
            assert!(["*1 :-2", "*1 $-1"].contains(&run(&mut unit, args).as_str()), "{args:?}");
            assert_eq!(run(&mut unit, &["HLEN", "h"]), ":2", "{args:?}");
        }
    }

    #[test]
    fn arguments_are_checked_behind_the_type() {
        let mut unit = unit();
        run(&mut unit, &["SET", "t", "x"]);
        for key in ["t", "no"] {
            let cases: [(&[&str], &str); 9] = [
                (&["HEXPIRE", key, "x", "FIELDS", "1", "a"], "ERR value is not an integer"),
                (&["HEXPIRE", key, "-1", "FIELDS", "1", "a"], "ERR invalid expire time, must"),
                (&["HPEXPIREAT", key, "70368744177664", "FIELDS", "1", "a"], "ERR invalid expire"),
                (&["HEXPIRE", key, "1", "NX", "XX", "1", "a"], "ERR Mandatory argument FIELDS"),
                (&["HEXPIRE", key, "1", "FIELDS", "0", "a"], "ERR Parameter `numFields` should"),
                (&["HTTL", key, "FIELDS", "2", "a"], "ERR The `numfields` parameter must match"),
                (&["HPERSIST", key, "FIELDS", "x", "a"], "ERR Number of fields must be a pos"),
                (&["HGETDEL", key, "FOO", "1", "a"], "ERR Mandatory argument FIELDS"),
                (&["HGETEX", key, "EX", "FIELDS", "1", "a"], "ERR value is not an integer"),
            ];
            for (args, text) in cases {
                let text = if key == "t" { "WRONGTYPE" } else { text };
                let reply = run(&mut unit, args);
                assert!(reply[1..].starts_with(text), "{args:?}: {reply}");
            }
        }
    }
}
