//! DEBUG POPULATE: many keys at once, for tests that need some.

use std::sync::Arc;

use bytes::Bytes;

use crate::admin::integer;
use crate::command::spec::Failure;
use crate::engine::unit::{Key, NewString};
use crate::engine::{Engine, Intent};
use crate::limits::STRING_BYTES_MAX;
use crate::resp::write::Reply;
use crate::session::call::{Outcome, SessionCall};
use crate::types::Lsn;

use super::blocking::with_unit;

/// Keys that are made in one frame, while their values are small.
const KEYS_AT_ONCE: u64 = 64;
/// Bytes of values in one frame, unless one value has more.
const BYTES_AT_ONCE: u64 = 1 << 20;
/// Bytes of a record beyond key and value.
const RECORD_BYTES: u64 = 64;

/// What to make.
struct Plan {
    db: u32,
    count: u64,
    prefix: Vec<u8>,
    /// Length of the values; without it each is as long as its text.
    value_bytes: Option<u64>,
}

impl Plan {
    fn key(&self, number: u64) -> Vec<u8> {
        [&self.prefix[..], format!(":{number}").as_bytes()].concat()
    }

    fn value(&self, number: u64) -> Bytes {
        let mut value = format!("value:{number}").into_bytes();
        if let Some(bytes) = self.value_bytes {
            value.resize(bytes as usize, 0);
        }
        value.into()
    }

    fn keys_at_once(&self) -> u64 {
        let bytes = self.value_bytes.unwrap_or(0).max(1);
        (BYTES_AT_ONCE / bytes).clamp(1, KEYS_AT_ONCE)
    }
}

/// Makes the keys that are missing.
pub fn populate(call: &mut SessionCall<'_, '_, '_>) -> Result<(), Failure> {
    let not_positive = Failure::text("ERR value is out of range, must be positive");
    let number = |index| {
        let number = integer(call, index).and_then(|number| u64::try_from(number).ok());
        number.ok_or(not_positive.clone())
    };
    let count = number(2)?;
    let value_bytes = match call.args.len() {
        5 => Some(number(4)?).filter(|bytes| *bytes > 0),
        _ => None,
    };
    if value_bytes.is_some_and(|bytes| bytes > STRING_BYTES_MAX) {
        return Err(Failure::text("ERR string exceeds maximum allowed size (proto-max-bulk-len)"));
    }
    let plan = Plan {
        db: call.session.db,
        count,
        prefix: match call.args.len() {
            3 => b"key".to_vec(),
            _ => call.args.get(3).to_vec(),
        },
        value_bytes,
    };
    let engine: Arc<Engine> = call.services().engine.clone();
    let gate = call.dispatcher.gate(call.session, Lsn::MAX);
    call.outcome = Outcome::Job(Box::new(move |out, protocol| {
        let mut reply = Reply::new(out, protocol);
        match make(&engine, &plan) {
            Ok(written) => {
                reply.ok();
                written.min(gate)
            }
            Err(text) => {
                reply.error(&text);
                0
            }
        }
    }));
    Ok(())
}

fn make(engine: &Engine, plan: &Plan) -> Result<Lsn, String> {
    let mut highest = 0;
    let mut first = 0;
    while first < plan.count {
        let numbers = first..plan.count.min(first + plan.keys_at_once());
        first = numbers.end;
        let made: Vec<(Vec<u8>, Bytes)> =
            numbers.map(|number| (plan.key(number), plan.value(number))).collect();
        let keys: Vec<Key<'_>> = made.iter().map(|(key, _)| engine.key(plan.db, key)).collect();
        let each = |(key, value): &(Vec<u8>, Bytes)| (key.len() + value.len()) as u64;
        let frame_bytes = made.iter().map(|pair| each(pair) + 2 * RECORD_BYTES).sum();
        let intent = || Intent::write(engine.now_ms(), frame_bytes);
        let ((), observed) = with_unit(engine, &keys, intent, |unit| {
            for (key, (_, value)) in keys.iter().zip(&made) {
                if unit.probe(key).is_none() {
                    unit.put(key, NewString::Shared(value.clone()), None);
                }
            }
        })?;
        highest = highest.max(observed);
    }
    Ok(highest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(value_bytes: Option<u64>) -> Plan {
        Plan { db: 0, count: 3, prefix: b"p".to_vec(), value_bytes }
    }

    #[test]
    fn values_are_cut_or_filled_to_their_size() {
        assert_eq!(plan(None).key(12), b"p:12");
        assert_eq!(plan(None).value(12), "value:12");
        assert_eq!(plan(Some(10)).value(0), "value:0\0\0\0");
        assert_eq!(plan(Some(3)).value(0), "val");
    }

    #[test]
    fn frames_stay_small_unless_one_value_is_large() {
        assert_eq!(plan(None).keys_at_once(), 64);
        assert_eq!(plan(Some(1 << 18)).keys_at_once(), 4);
        assert_eq!(plan(Some(1 << 29)).keys_at_once(), 1);
    }
}
