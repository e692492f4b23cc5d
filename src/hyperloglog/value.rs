//! HyperLogLogs between the keyspace and commands.

use bytes::Bytes;

use crate::command::spec::Failure;
use crate::engine::unit::{Key, NewString, Unit, ValueRef, View};
use crate::format::record::Record;

use super::sketch::{Corrupted, HEADER_BYTES, REGISTERS, Sketch};

/// Longest string that is a HyperLogLog: two bytes for each register.
pub const SKETCH_BYTES_MAX: usize = HEADER_BYTES + 2 * REGISTERS;

impl From<Corrupted> for Failure {
    fn from(_: Corrupted) -> Failure {
        Failure::text("INVALIDOBJ Corrupted HLL object detected")
    }
}

/// The HyperLogLog that a live key holds.
pub fn sketch_of(view: &View<'_>) -> Result<Sketch, Failure> {
    let ValueRef::String(string) = view.value else {
        return Err(Failure::WrongType);
    };
    let end = string.len().min(SKETCH_BYTES_MAX as u64 + 1);
    let sketch = Sketch::from_bytes(string.pieces(0, end).collect::<Vec<_>>().concat());
    let text = "WRONGTYPE Key is not a valid HyperLogLog string value.";
    match sketch.ok_or(Failure::text(text))? {
        _ if string.len() > SKETCH_BYTES_MAX as u64 => Err(Corrupted.into()),
        sketch => Ok(sketch),
    }
}

/// A HyperLogLog as it stands at a key, to be changed.
pub struct Stored {
    /// Its string; none where there is no key.
    before: Option<Vec<u8>>,
    expire_at_ms: Option<u64>,
    /// What it is to become.
    pub sketch: Sketch,
}

impl Stored {
    /// What a live key holds, an empty one where there is none.
    pub fn read(unit: &mut Unit<'_>, key: &Key<'_>) -> Result<Stored, Failure> {
        let Some(view) = unit.get_to_change(key) else {
            return Ok(Stored { before: None, expire_at_ms: None, sketch: Sketch::new() });
        };
        let sketch = sketch_of(&view)?;
        let before = Some(sketch.bytes().to_vec());
        Ok(Stored { before, expire_at_ms: view.expire_at_ms, sketch })
    }

    /// Whether there is a key.
    pub fn exists(&self) -> bool {
        self.before.is_some()
    }

    /// Puts the sketch at its key. What is logged is what changed, and no longer than the sketch.
    pub fn write(&self, unit: &mut Unit<'_>, key: &Key<'_>) {
        let after = self.sketch.bytes();
        match &self.before {
            Some(before) if before.len() <= after.len() => {
                let gap = Record::HEAD_BYTES_MAX + key.bytes.len();
                let mut changed = changes(before, after, gap);
                if changed.is_empty() {
                    // A write all the same: who watches the key is told.
                    changed.push((0, 1));
                }
                for (from, to) in changed {
                    unit.write_range(key, from as u64, NewString::Copied(&after[from..to]));
                }
            }
            _ => {
                // A string that is written into is told to be `raw`, however short it is.
                unit.put(key, NewString::Copied(b""), self.expire_at_ms);
                unit.write_range(key, 0, NewString::Shared(Bytes::copy_from_slice(after)));
            }
        }
    }
}

/// Where `after` differs from `before`, which is not longer. Ranges that are at most `gap` bytes
/// from each other are one: that takes less room in the log.
fn changes(before: &[u8], after: &[u8], gap: usize) -> Vec<(usize, usize)> {
    let differs = |at: &usize| before.get(*at) != Some(&after[*at]);
    let mut found: Vec<(usize, usize)> = Vec::new();
    for at in (0..after.len()).filter(differs) {
        match found.last_mut() {
            Some((_, end)) if at <= *end + gap => *end = at + 1,
            _ => found.push((at, at + 1)),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::changes;

    #[test]
    fn changes_that_are_near_are_one() {
        let before = vec![0; 1000];
        let mut after = before.clone();
        assert_eq!(changes(&before, &after, 10), []);
        after[3] = 1;
        after[14] = 1;
        after[500] = 1;
        after.push(0);
        assert_eq!(changes(&before, &after, 10), [(3, 15), (500, 501), (1000, 1001)]);
    }
}
