//! Fields that count: HINCRBY, HINCRBYFLOAT.

use crate::command::long_double::{Finite, LongDouble, TEXT_BYTES_MAX};
use crate::command::number::{integer, parse_integer};
use crate::command::row::{first_key, key_arg};
use crate::command::spec::key_flag::{ACCESS, RW, UPDATE};
use crate::command::spec::{
    Arg, ArgKind, Call, Command, Failure, FirstMember, GROWS, Group, Spec, flag,
};
use crate::value::item::Item;

use super::value::{Before, hash_to_change, put_field};

/// What the rows of this file have in common.
const ROW: Spec = Spec {
    arity: 4,
    flags: flag::WRITE | flag::DENYOOM | flag::FAST,
    keys: &[first_key(RW | ACCESS | UPDATE)],
    group: Group::Hash,
    since: "2.0.0",
    length_after: Some(GROWS),
    ..Spec::EMPTY
};

/// The rows of this file.
pub const COMMANDS: &[Command] = &[
    Command {
        spec: Spec {
            name: "hincrby",
            summary: "Adds a number to the integer in a field; a missing field counts as 0.",
            args: &[
                key_arg(),
                Arg::new("field", ArgKind::String),
                Arg::new("increment", ArgKind::Integer),
            ],
            first_member: FirstMember::Named(2),
            ..ROW
        },
        run: hincrby,
    },
    Command {
        spec: Spec {
            name: "hincrbyfloat",
            since: "2.6.0",
            summary: "Adds a fraction to the number in a field; a missing field counts as 0.",
            args: &[
                key_arg(),
                Arg::new("field", ArgKind::String),
                Arg::new("increment", ArgKind::Double),
            ],
            extra_bytes: Some(|_, _| TEXT_BYTES_MAX as u64),
            first_member: FirstMember::Named(2),
            ..ROW
        },
        run: hincrbyfloat,
    },
];

fn hincrby(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let increment = integer(call.args.get(3))?;
    let mut new = 0;
    replace(call, |old| {
        let old = match old {
            Some(text) => {
                let text = parse_integer(text);
                text.ok_or(Failure::text("ERR hash value is not an integer"))?
            }
            None => 0,
        };
        let sum = old.checked_add(increment);
        new = sum.ok_or(Failure::text("ERR increment or decrement would overflow"))?;
        Ok(new.to_string())
    })?;
    call.reply.integer(new);
    Ok(())
}

fn hincrbyfloat(call: &mut Call<'_, '_, '_>) -> Result<(), Failure> {
    let increment = LongDouble::parse(call.args.get(3)).ok_or(Failure::NotFloat)?;
    if !matches!(increment, LongDouble::Finite(_)) {
        return Err(Failure::text("ERR value is NaN or Infinity"));
    }
    let text = replace(call, |old| {
        let old = match old {
            Some(text) => {
                LongDouble::parse(text).ok_or(Failure::text("ERR hash value is not a float"))?
            }
            None => LongDouble::Finite(Finite::ZERO),
        };
        let sum = old.plus(increment);
        let sum = sum.ok_or(Failure::text("ERR increment would produce NaN or Infinity"))?;
        Ok(sum.to_text())
    })?;
    call.reply.bulk(text.as_bytes());
    Ok(())
}

/// Replaces the value of the call's field by one made of it; the field's deadline stays.
fn replace(
    call: &mut Call<'_, '_, '_>,
    change: impl FnOnce(Option<&[u8]>) -> Result<String, Failure>,
) -> Result<String, Failure> {
    let field = call.args.get(2);
    let key = call.unit.key(call.db, call.args.get(1));
    let hash = hash_to_change(call.unit, &key)?;
    let before = Before::of(hash.as_ref());
    let is_new = hash.is_none_or(|hash| hash.members().get(field).is_none());
    let old = hash.and_then(|hash| hash.get(field));
    let text = change(old.map(|item| item.payload))?;
    let deadline_ms = old.and_then(|item| item.deadline_ms);
    let item = Item { member: field, payload: text.as_bytes(), deadline_ms };
    put_field(call, &key, &before, item, is_new);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use crate::command::testing::{run, unit};

    #[test]
    fn integers_are_counted() {
        let mut unit = unit();
        assert_eq!(run(&mut unit, &["HINCRBY", "h", "a", "5"]), ":5");
        assert_eq!(run(&mut unit, &["HINCRBY", "h", "a", "-7"]), ":-2");
        assert_eq!(run(&mut unit, &["HGETALL", "h"]), "*2 $1 a $2 -2");
        run(&mut unit, &["HSET", "h", "top", "9223372036854775807", "text", " 1", "half", "0.5"]);
        let overflow = "-ERR increment or decrement would overflow";
        assert_eq!(run(&mut unit, &["HINCRBY", "h", "top", "1"]), overflow);
        for field in ["text", "half"] {
            let reply = run(&mut unit, &["HINCRBY", "h", field, "1"]);
            assert_eq!(reply, "-ERR hash value is not an integer");
        }
        assert_eq!(run(&mut unit, &["HGET", "h", "top"]), "$19 9223372036854775807");
    }

    #[test]
    fn fractions_are_added() {
        let mut unit = unit();
        assert_eq!(run(&mut unit, &["HINCRBYFLOAT", "h", "a", "0.1"]), "$3 0.1");
        assert_eq!(run(&mut unit, &["HINCRBYFLOAT", "h", "a", "0.2"]), "$3 0.3");
        assert_eq!(run(&mut unit, &["HINCRBYFLOAT", "h", "a", "2.7"]), "$1 3");
        assert_eq!(run(&mut unit, &["HINCRBY", "h", "a", "1"]), ":4");
        run(&mut unit, &["HSET", "h", "text", "x"]);
        let reply = run(&mut unit, &["HINCRBYFLOAT", "h", "text", "1"]);
        assert_eq!(reply, "-ERR hash value is not a float");
        let reply = run(&mut unit, &["HINCRBYFLOAT", "h", "a", "inf"]);
        assert_eq!(reply, "-ERR value is NaN or Infinity");
    }

    #[test]
    fn the_increment_is_read_before_the_key() {
        let mut unit = unit();
        run(&mut unit, &["SET", "t", "1"]);
        let reply = run(&mut unit, &["HINCRBY", "t", "a", "x"]);
        assert_eq!(reply, "-ERR value is not an integer or out of range");
        let reply = run(&mut unit, &["HINCRBYFLOAT", "t", "a", "x"]);
        assert_eq!(reply, "-ERR value is not a valid float");
        for command in ["HINCRBY", "HINCRBYFLOAT"] {
            assert!(run(&mut unit, &[command, "t", "a", "1"]).starts_with("-WRONGTYPE"));
        }
        assert_eq!(run(&mut unit, &["DBSIZE"]), ":1", "a failure makes no key");
    }
}
