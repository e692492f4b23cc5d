//! Commands that wait for a key: what they ask for, and how long.

use std::ops::Range;

use crate::engine::unit::{Key, Unit};
use crate::types::ValueKind;

use super::args::Args;
use super::double;
use super::long_double::LongDouble;
use super::number::parse_integer;
use super::spec::{Call, Failure};

/// Tries to answer a call from one of its keys, which is live; false when the key holds nothing
/// for it (a key of another type, above all), and nothing was changed or replied.
pub type ServeFrom = fn(call: &mut Call<'_, '_, '_>, key: &Key<'_>) -> Result<bool, Failure>;

/// A bound of the frame that [`ServeFrom`] writes.
pub type ServedBytes = fn(args: &Args<'_>, unit: &mut Unit<'_>, key: &Key<'_>) -> u64;

/// Whether a key that is there holds enough for a call.
pub type IsEnough = fn(args: &Args<'_>, unit: &mut Unit<'_>, key: &Key<'_>) -> bool;

/// What a command asks for that found nothing. The call is kept, and [`Block::serve`] runs once one
/// of the keys holds something, in the order of those who wait.
#[derive(Clone, Debug)]
pub struct Block {
    /// The arguments that are the keys.
    pub keys: Range<usize>,
    /// An argument that is a key in which serving writes too.
    pub other_key: Option<usize>,
    /// Arguments that mean something else by the time the call is served, with what they mean now.
    pub resolved: Vec<(usize, Vec<u8>)>,
    /// Whether [`Block::serve`] is to run, too, when a key has gone.
    pub minds_absence: bool,
    /// Milliseconds to wait; none is for ever.
    pub timeout_ms: Option<u64>,
    /// Milliseconds after which [`Block::serve`] is to run though nobody touched a key. It may put
    /// a block with another time into a call for which it found nothing.
    pub retry_ms: Option<u64>,
    /// For a call to which not every value of the right type is enough. Those who wait behind it
    /// are served meanwhile.
    pub is_enough: Option<IsEnough>,
    /// Answers the call.
    pub serve: ServeFrom,
    /// Bounds its frame.
    pub served_bytes: ServedBytes,
}

impl Block {
    /// Waits for the first of these keys that holds something, and writes in no other.
    pub fn new(
        keys: Range<usize>,
        timeout_ms: Option<u64>,
        serve: ServeFrom,
        served_bytes: ServedBytes,
    ) -> Block {
        let (other_key, resolved, minds_absence) = (None, Vec::new(), false);
        let (is_enough, retry_ms) = (None, None);
        Block {
            keys,
            other_key,
            resolved,
            minds_absence,
            timeout_ms,
            retry_ms,
            is_enough,
            serve,
            served_bytes,
        }
    }
}

impl Call<'_, '_, '_> {
    /// Waits, unless the call must not (in EXEC): then, and when the time is over, the reply is the
    /// null array.
    pub fn wait(&mut self, block: Block) {
        if self.may_block {
            self.block = Some(block);
        } else {
            self.reply.null_array();
        }
    }

    /// Answers from the first of the block's keys that is there, which must hold a value of `kind`,
    /// or waits for one.
    pub fn serve_or_wait(&mut self, kind: ValueKind, block: Block) -> Result<(), Failure> {
        for index in block.keys.clone() {
            let key = self.unit.key(self.db, self.args.get(index));
            match self.unit.get_to_change(&key).map(|view| view.value.kind()) {
                None => continue,
                Some(held) if held == kind => return (block.serve)(self, &key).map(drop),
                Some(_) => return Err(Failure::WrongType),
            }
        }
        self.wait(block);
        Ok(())
    }

    /// [`Call::serve_or_wait`] for all keys in front of the timeout, which comes last.
    pub fn pop_or_wait(
        &mut self,
        kind: ValueKind,
        serve: ServeFrom,
        served_bytes: ServedBytes,
    ) -> Result<(), Failure> {
        let last = self.args.len() - 1;
        let timeout_ms = timeout_ms(self.args.get(last))?;
        let block = Block::new(1..last, timeout_ms, serve, served_bytes);
        self.serve_or_wait(kind, block)
    }

    /// Whether a key holds a value of `kind`, without a trace in any figure.
    pub fn holds(&mut self, key: &Key<'_>, kind: ValueKind) -> bool {
        self.unit.probe(key).is_some_and(|view| view.value.kind() == kind)
    }
}

/// Redis refuses a timeout whose end does not fit its clock. Until 2109 that is what is above this.
const TIMEOUT_MS_MAX: i64 = i64::MAX - (1 << 42);

/// The timeout of a blocking command, seconds with a fraction: milliseconds, none for ever.
pub fn timeout_ms(text: &[u8]) -> Result<Option<u64>, Failure> {
    // Redis reads a long double, so what only a double is too small for is a number, too.
    let is_huge = || LongDouble::parse(text).is_some();
    let huge = || double::parse_end(text).filter(|seconds| seconds.is_infinite() && is_huge());
    let seconds = double::parse(text).or_else(huge);
    let seconds = seconds.ok_or(Failure::text("ERR timeout is not a float or out of range"))?;
    // What exceeds an integer is its maximum.
    checked_timeout((seconds * 1000.0).ceil() as i64)
}

/// The timeout of a command that takes milliseconds; none for ever.
pub fn whole_timeout_ms(text: &[u8]) -> Result<Option<u64>, Failure> {
    let ms = parse_integer(text);
    checked_timeout(ms.ok_or(Failure::text("ERR timeout is not an integer or out of range"))?)
}

fn checked_timeout(ms: i64) -> Result<Option<u64>, Failure> {
    if ms > TIMEOUT_MS_MAX {
        return Err(Failure::text("ERR timeout is out of range"));
    }
    let ms = u64::try_from(ms).map_err(|_| Failure::text("ERR timeout is negative"))?;
    Ok((ms > 0).then_some(ms))
}

#[cfg(test)]
mod tests {
    use super::timeout_ms;

    #[test]
    fn timeouts_are_seconds_with_a_fraction() {
        assert_eq!(timeout_ms(b"0"), Ok(None));
        assert_eq!(timeout_ms(b"1.5"), Ok(Some(1500)));
        assert_eq!(timeout_ms(b"0.0001"), Ok(Some(1)));
        for (text, part) in [("-1", "negative"), ("x", "not a float"), ("1e300", "out of range")] {
            let failure = format!("{:?}", timeout_ms(text.as_bytes()).unwrap_err());
            assert!(failure.contains(part), "{text}: {failure}");
        }
    }
}
