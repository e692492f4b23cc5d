//! Which resident keys are past their deadline.
//!
//! A heap of (deadline, cursor) of 12 bytes a key that has a deadline. It is lazy: a deadline that
//! moves later leaves its item where it is (the item is put back when it comes up), one that moves
//! earlier adds an item, and items of keys that went away are dropped when they come up. When most
//! items are stale, a new generation of the heap begins and the old one is swept in small steps; an
//! entry knows in which generation its item waits, so that each key gets only one.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use crate::types::{KeyspaceId, Position};

use super::partition::Partition;
use super::space::Space;

/// A resident key past its deadline.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DueKey {
    /// Keyspace.
    pub keyspace: KeyspaceId,
    /// Place.
    pub position: Position,
    /// Key.
    pub key: Box<[u8]>,
    /// The deadline.
    pub expire_at_ms: u64,
}

/// Deadline (48 bits) above cursor (48 bits), in 12 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Item([u32; 3]);

const DEADLINE_MAX: u64 = (1 << 48) - 1;
/// Stale items that are not worth a sweep.
const STALE_MIN: usize = 1024;

impl Item {
    fn new(deadline_ms: u64, cursor: u64) -> Item {
        let word = u128::from(deadline_ms.min(DEADLINE_MAX)) << 48 | u128::from(cursor);
        Item([(word >> 64) as u32, (word >> 32) as u32, word as u32])
    }

    fn word(self) -> u128 {
        let [high, middle, low] = self.0.map(u128::from);
        high << 64 | middle << 32 | low
    }

    fn deadline_ms(self) -> u64 {
        (self.word() >> 48) as u64
    }

    fn cursor(self) -> u64 {
        self.word() as u64 & DEADLINE_MAX
    }
}

/// Deadlines of one keyspace's resident keys.
pub(super) struct DeadlineQueue {
    heap: BinaryHeap<Reverse<Item>>,
    /// Items of the generation before, still to be looked at.
    sweep: Vec<Reverse<Item>>,
    /// 1 or 2, as entries keep it.
    generation: u8,
}

impl Default for DeadlineQueue {
    fn default() -> DeadlineQueue {
        DeadlineQueue { heap: BinaryHeap::new(), sweep: Vec::new(), generation: 1 }
    }
}

impl DeadlineQueue {
    /// Notes the deadline of a key that changed from `before`, queued in generation `queued` (0:
    /// not at all). Returns the generation that its item is in now.
    pub fn note(
        &mut self,
        position: Position,
        before: Option<u64>,
        now: Option<u64>,
        queued: u8,
    ) -> u8 {
        let Some(deadline_ms) = now else { return 0 };
        if queued != 0 && before.is_some_and(|before| before <= deadline_ms) {
            return queued;
        }
        self.push(deadline_ms, position.cursor());
        self.generation
    }

    fn push(&mut self, deadline_ms: u64, cursor: u64) {
        if self.heap.len() == self.heap.capacity() {
            self.heap.reserve_exact(self.heap.len() / 4 + 16);
        }
        self.heap.push(Reverse(Item::new(deadline_ms, cursor)));
    }

    pub fn memory_bytes(&self) -> u64 {
        ((self.heap.capacity() + self.sweep.capacity()) * size_of::<Item>()) as u64
    }

    /// Starts a new generation when most items must be stale.
    fn renew(&mut self, queued: u64) {
        if self.sweep.is_empty() && self.heap.len() as u64 > 2 * queued + STALE_MIN as u64 {
            self.sweep = std::mem::take(&mut self.heap).into_vec();
            self.generation = 3 - self.generation;
        }
    }
}

impl Space {
    /// Moves up to `limit` items of the old generation over; drops those nobody waits for.
    fn sweep(&mut self, limit: usize, position_of: &dyn Fn(&[u8]) -> Position) {
        let generation = self.queue.generation;
        for _ in 0..limit {
            let Some(Reverse(item)) = self.queue.sweep.pop() else {
                break;
            };
            let position = Position::from_cursor(item.cursor());
            for place in self.run(position) {
                let entry = self.entry(position.slot(), place);
                let Some(deadline_ms) = entry.expire_at_ms() else {
                    continue;
                };
                let here = position_of(entry.key()).cursor() == item.cursor();
                if here && entry.queue() == 3 - generation {
                    self.queue.push(deadline_ms, item.cursor());
                    let table = &mut self.slot_mut(position.slot()).table;
                    table.entry_mut(place).set_queue(generation);
                }
            }
        }
        if self.queue.sweep.is_empty() {
            self.queue.sweep = Vec::new();
        }
    }

    /// Looks at the items that came up; those whose key still waits go to `again`.
    fn come_up(
        &mut self,
        now_ms: u64,
        limit: usize,
        position_of: &dyn Fn(&[u8]) -> Position,
        out: &mut Vec<DueKey>,
    ) {
        let mut again = BTreeSet::new();
        let mut last = None;
        for _ in 0..4 * limit {
            if out.len() >= limit {
                break;
            }
            let Some(&Reverse(item)) = self.queue.heap.peek() else {
                break;
            };
            if item.deadline_ms() > now_ms {
                break;
            }
            self.queue.heap.pop();
            if last.replace(item) == Some(item) {
                continue;
            }
            let position = Position::from_cursor(item.cursor());
            for place in self.run(position) {
                let entry = self.entry(position.slot(), place);
                let Some(expire_at_ms) = entry.expire_at_ms() else {
                    continue;
                };
                let key_position = position_of(entry.key());
                if key_position.cursor() != item.cursor() || entry.queue() == 0 {
                    continue;
                }
                let first = again.insert((expire_at_ms, item.cursor(), place));
                if first && expire_at_ms <= now_ms {
                    out.push(DueKey {
                        keyspace: self.id,
                        position: key_position,
                        key: entry.key().into(),
                        expire_at_ms,
                    });
                }
            }
        }
        for (deadline_ms, cursor, _) in again {
            self.queue.push(deadline_ms, cursor);
        }
    }
}

impl Partition {
    /// The mean time that is left to resident keys with a deadline, in milliseconds, from a sample
    /// of about `count`, and how many keys it stands for.
    pub fn sample_ttl(&self, keyspace: KeyspaceId, now_ms: u64, count: usize) -> (u64, u64) {
        let Some(space) = self.space(keyspace) else {
            return (0, 0);
        };
        let items = space.queue.heap.as_slice();
        let (mut sum, mut found) = (0, 0);
        // Across the whole heap: its front has the nearest deadlines.
        for Reverse(item) in items.iter().step_by(items.len().div_ceil(count).max(1)) {
            let position = Position::from_cursor(item.cursor());
            for place in space.run(position) {
                let entry = space.entry(position.slot(), place);
                let here = (self.position_of)(entry.key()).cursor() == item.cursor();
                if let (Some(at), true) = (entry.expire_at_ms(), here) {
                    sum += u128::from(at.saturating_sub(now_ms));
                    found += 1;
                }
            }
        }
        match found {
            0 => (0, 0),
            _ => ((sum / found) as u64, space.usage.queued),
        }
    }

    /// Appends resident keys past their deadline until `out` holds `limit`. They come again until
    /// they are deleted or get another deadline. Work is bounded by `limit`.
    pub fn due(&mut self, now_ms: u64, limit: usize, out: &mut Vec<DueKey>) {
        let position_of = self.position_of.clone();
        for space in &mut self.spaces {
            space.queue.renew(space.usage.queued);
            space.sweep(4 * limit, &*position_of);
            space.come_up(now_ms, limit, &*position_of, out);
        }
    }
}
