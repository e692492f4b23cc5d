//! What enters memory from the parts, and what leaves it.
//!
//! Only clean entries leave, so leaving never writes. A load races with deletion, checkpoint and
//! unloading: it is void when something has left its slot since the parts were taken, because what
//! left may have been newer.

use crate::types::{KeyspaceId, Lsn, Position};

use super::access::Access;
use super::entry::{Body, Entry, EntryRef};
use super::field_expiry::earliest_of_value;
use super::mutation::{NewBody, Target};
use super::object::{Delta, Object, Pending, ValueHandle};
use super::partition::Partition;
use super::table::Place;

/// What the parts hold for a key.
#[derive(Clone, Debug)]
pub enum Cold {
    /// Nothing, or a tombstone of this LSN.
    Absent {
        /// LSN of the tombstone, or 0.
        lsn: Lsn,
    },
    /// A value.
    Live {
        /// LSN of its last change.
        lsn: Lsn,
        /// Deadline in Unix milliseconds.
        expire_at_ms: Option<u64>,
        /// Whether `OBJECT ENCODING` answers `raw` however short the string is.
        raw: bool,
        /// The value, clean.
        value: ValueHandle,
    },
}

/// What came of a load.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Install {
    /// Memory knows the key now.
    Done,
    /// Something has left the slot meanwhile: the load is void, begin again.
    Changed,
    /// The log changed a value that the parts do not have: one of them is damaged.
    NoBase,
}

/// By what the entries to unload are chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Coldness {
    /// Longest without access first.
    Idle,
    /// Least frequently accessed first.
    Frequency,
}

/// Clean entries that are compared before some of them leave.
const SAMPLE_COUNT: usize = 16;
/// Leaves that a sample is taken from; one of so many entries leaves.
const SAMPLE_LEAVES: usize = 4;
/// Words that are looked at in one leaf.
const SAMPLE_WORDS_MAX: usize = 64;
/// Samples without a clean entry after which unloading gives up.
const FRUITLESS_MAX: usize = 8;

impl Partition {
    /// Puts into memory what the parts hold for a key, clean. Deltas that waited for it are
    /// applied, if they are newer. An absent key becomes a clean tombstone, so that the next look
    /// knows.
    ///
    /// `departures` was taken in the lock hold that saw the miss. The caller has made sure that the
    /// keyspace still belongs to a database.
    pub fn install(
        &mut self,
        keyspace: KeyspaceId,
        position: Position,
        key: &[u8],
        cold: Cold,
        departures: u64,
        now_ms: u64,
    ) -> Install {
        let target = Target { keyspace, position, key };
        match self.find(keyspace, position, key) {
            Some(entry) if entry.is_pending() => return self.resolve(target, cold),
            Some(_) => return Install::Done,
            None => {}
        }
        if self.departures(keyspace, position) != departures {
            return Install::Changed;
        }
        let access = Access::new(now_ms);
        let entry = match cold {
            Cold::Absent { lsn } => {
                let mut entry = Entry::new(key, None, Body::Tombstone, access);
                entry.set_lsn(lsn);
                entry
            }
            Cold::Live { lsn, expire_at_ms, raw, value } => {
                let deadline_ms = earliest_of_value(value.as_value());
                self.space_or_new(target.keyspace).fields.note(target.position, deadline_ms);
                let body = NewBody::cold(value);
                let mut entry = body.put(|body| Entry::new(key, expire_at_ms, body, access));
                entry.set_raw(raw);
                entry.set_lsn(lsn);
                entry
            }
        };
        self.add(target, entry, 0);
        Install::Done
    }

    /// Notes what the parts say of a live key but for its value: that it is there, with this LSN
    /// and deadline. Otherwise as [`Partition::install`].
    pub fn install_known(
        &mut self,
        (keyspace, position, key): (KeyspaceId, Position, &[u8]),
        (lsn, expire_at_ms): (Lsn, Option<u64>),
        departures: u64,
        now_ms: u64,
    ) -> Install {
        let target = Target { keyspace, position, key };
        match self.find(keyspace, position, key) {
            Some(entry) if entry.is_pending() => self.know_pending(target, lsn, expire_at_ms),
            Some(_) => {}
            None if self.departures(keyspace, position) != departures => return Install::Changed,
            None => {
                let waiting = Pending { deltas: Vec::new(), is_known: true };
                let body = Body::Object(Box::new(Object::Pending(waiting)));
                let mut entry = Entry::new(key, expire_at_ms, body, Access::new(now_ms));
                entry.set_lsn(lsn);
                self.add(target, entry, 0);
            }
        }
        Install::Done
    }

    /// What is pending gets the deadline that it will have with its base.
    fn know_pending(&mut self, target: Target<'_>, base_lsn: Lsn, base_deadline: Option<u64>) {
        let Target { keyspace, position, key } = target;
        let space = self.space_or_new(keyspace);
        let Some(place) = space.find(position, key) else {
            return;
        };
        let entry = space.entry(position.slot(), place);
        let newest = entry.pending_deadline().filter(|(lsn, _)| *lsn > base_lsn);
        let expire_at_ms = newest.map_or(base_deadline, |(_, deadline)| deadline);
        let queue = space.queue.note(position, entry.expire_at_ms(), expire_at_ms, entry.queue());
        space.edit(position.slot(), place, |entry| {
            entry.set_expire(expire_at_ms);
            entry.set_queue(queue);
            if let Some(Object::Pending(waiting)) = entry.object_mut() {
                waiting.is_known = true;
            }
        });
    }

    /// Puts the base under pending deltas and applies those that it does not contain.
    fn resolve(&mut self, target: Target<'_>, cold: Cold) -> Install {
        let Cold::Live { lsn: base_lsn, expire_at_ms, raw, value } = cold else {
            return Install::NoBase;
        };
        let Target { keyspace, position, key } = target;
        let hasher = self.member_hasher;
        let space = self.space_or_new(keyspace);
        let Some(place) = space.find(position, key) else {
            return Install::Changed;
        };
        space.fields.note(position, earliest_of_value(value.as_value()));
        let queue = space.queue.note(position, None, expire_at_ms, 0);
        let pending = space.edit(position.slot(), place, |entry| {
            let body = NewBody::cold(value);
            let pending = body.put(|body| entry.set_body(expire_at_ms, body));
            entry.set_raw(raw);
            entry.set_queue(queue);
            entry.set_lsn(base_lsn);
            pending
        });
        space.set_state(position.slot(), place, 0);
        for Delta { lsn, change } in deltas_of(pending) {
            if lsn > base_lsn {
                space.change(position, place, change.as_change(), lsn, &hasher);
            }
        }
        Install::Done
    }

    /// Up to `limit` keys whose deltas wait for their base.
    pub fn pending_keys(&mut self, limit: usize) -> Vec<(KeyspaceId, Position, Box<[u8]>)> {
        let mut keys = Vec::new();
        let mut listed = std::mem::take(&mut self.pending);
        let mut kept = Vec::new();
        while keys.len() < limit {
            let Some((keyspace, position)) = listed.pop() else {
                break;
            };
            let before = keys.len();
            if let Some(space) = self.space(keyspace) {
                for place in space.run(position) {
                    let entry = space.entry(position.slot(), place);
                    if entry.is_pending() && (self.position_of)(entry.key()) == position {
                        keys.push((keyspace, position, entry.key().into()));
                    }
                }
            }
            if keys.len() > before {
                kept.push((keyspace, position));
            }
        }
        listed.extend(kept);
        self.pending = listed;
        keys
    }

    /// Keeps a key in memory until [`Partition::unpin`], which must be called as often.
    pub fn pin(&mut self, keyspace: KeyspaceId, position: Position) {
        *self.pins.entry((keyspace, position)).or_default() += 1;
    }

    /// Undoes one [`Partition::pin`].
    ///
    /// # Panics
    /// When the key is not pinned.
    pub fn unpin(&mut self, keyspace: KeyspaceId, position: Position) {
        let count = self.pins.get_mut(&(keyspace, position)).expect("it was pinned");
        *count -= 1;
        if *count == 0 {
            self.pins.remove(&(keyspace, position));
        }
    }

    pub(super) fn is_pinned(&self, keyspace: KeyspaceId, key: &[u8]) -> bool {
        !self.pins.is_empty() && self.pins.contains_key(&(keyspace, (self.position_of)(key)))
    }

    /// Lets clean entries go until about `want_bytes` are free; the coldest of small samples first.
    /// Returns the bytes freed, fewer where samples find little that is clean.
    pub fn unload(&mut self, want_bytes: u64, now_ms: u64, by: Coldness) -> u64 {
        let before = self.memory_bytes();
        let mut freed = 0;
        let mut fruitless = 0;
        while freed < want_bytes && fruitless < FRUITLESS_MAX {
            let left = self.unload_sample(now_ms, by);
            fruitless = if left == 0 { fruitless + 1 } else { 0 };
            freed = before.saturating_sub(self.memory_bytes());
        }
        freed
    }

    /// Unloads the coldest of one sample; how many left.
    fn unload_sample(&mut self, now_ms: u64, by: Coldness) -> usize {
        let Some(index) = self.random_space() else {
            return 0;
        };
        let mut sample: Vec<(u64, u16, Place)> = Vec::new();
        // From several leaves: keys with one hash tag share a slot, and may be hot together.
        for _ in 0..SAMPLE_LEAVES {
            let near = self.random_position();
            self.sample_leaf(index, near, now_ms, by, &mut sample);
        }
        sample.sort_unstable_by(|one, other| other.cmp(one));
        sample.dedup();
        sample.truncate(sample.len().div_ceil(SAMPLE_LEAVES));
        // Places change with each removal; keys do not.
        let space = &self.spaces[index];
        let keys = sample.iter().map(|(_, slot, place)| space.entry(*slot, *place).key().into());
        let leaving: Vec<Box<[u8]>> = keys.collect();
        leaving.iter().for_each(|key| self.unload_key(index, key));
        leaving.len()
    }

    /// Adds clean entries of a leaf at or behind a position to a sample.
    fn sample_leaf(
        &self,
        index: usize,
        near: Position,
        now_ms: u64,
        by: Coldness,
        sample: &mut Vec<(u64, u16, Place)>,
    ) {
        let space = &self.spaces[index];
        let Some((slot, span)) = space.leaf_near(near) else {
            return;
        };
        let words = span.leaf.words();
        let start = (near.hash() as usize) % words.len();
        let order = (start..words.len()).chain(0..start);
        let full = sample.len() + SAMPLE_COUNT / SAMPLE_LEAVES;
        for at in order.take(SAMPLE_WORDS_MAX) {
            let Some(word) = &words[at] else { continue };
            if word.state() == 0 && !self.is_pinned(space.id, word.get().key()) {
                let coldness = coldness(word.get(), now_ms, by);
                sample.push((coldness, slot, span.place(at)));
                if sample.len() == full {
                    break;
                }
            }
        }
    }

    /// Takes a clean key out of memory, unless it is pinned.
    pub(super) fn unload_key(&mut self, index: usize, key: &[u8]) {
        let position = (self.position_of)(key);
        let space = &mut self.spaces[index];
        let pinned = self.pins.contains_key(&(space.id, position));
        if let (Some(place), false) = (space.find(position, key), pinned) {
            let mut entry = space.remove(position.slot(), place);
            if entry.get().object().is_some() {
                let object = entry.set_body(None, Body::Tombstone);
                object.into_iter().for_each(|object| self.garbage.discard(*object));
            }
        }
    }

    /// A keyspace by chance, in proportion to its entries.
    fn random_space(&mut self) -> Option<usize> {
        let total: u64 = self.spaces.iter().map(|space| space.usage.entry_bytes).sum();
        let mut at = self.next_random() % total.max(1);
        for (index, space) in self.spaces.iter().enumerate() {
            if at < space.usage.entry_bytes {
                return Some(index);
            }
            at -= space.usage.entry_bytes;
        }
        None
    }

    fn random_position(&mut self) -> Position {
        let slots = (self.end_cursor() - self.first_cursor()) >> 34;
        let slot = u64::from(self.first_slot) + self.next_random() % slots;
        Position::new(slot as u16, self.next_random() << 16 ^ self.next_random())
    }
}

fn deltas_of(object: Option<Box<Object>>) -> Vec<Delta> {
    match object.map(|object| *object) {
        Some(Object::Pending(waiting)) => waiting.deltas,
        _ => Vec::new(),
    }
}

fn coldness(entry: EntryRef<'_>, now_ms: u64, by: Coldness) -> u64 {
    match by {
        Coldness::Idle => entry.idle_seconds(now_ms),
        Coldness::Frequency => u64::from(u8::MAX - entry.frequency(now_ms)),
    }
}
