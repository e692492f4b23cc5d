//! One keyspace's share of a partition: a table for each slot, and sums over them.
//!
//! All changes of entries pass through here, so that the sums are right at any time.

use std::cell::Cell;

use crate::types::{HASH_BITS, KeyspaceId, Position};
use crate::value::collection::Collection;

use super::counts::{Counts, SlotCounter};
use super::entry::{DIRTY, Entry, EntryRef};
use super::expiry::DeadlineQueue;
use super::field_expiry::FieldQueue;
use super::object::Object;
use super::table::{Place, Rehash, Span, Table};

/// One slot.
#[derive(Default)]
pub(super) struct Slot {
    pub table: Table,
    pub counter: SlotCounter,
    /// Entries that are not tombstones.
    pub resident: u32,
    /// How many entries have left memory, wrapping.
    pub departures: u32,
}

/// One keyspace.
pub(super) struct Space {
    pub id: KeyspaceId,
    first_slot: u16,
    pub slots: Box<[Slot]>,
    pub queue: DeadlineQueue,
    pub fields: FieldQueue,
    /// Sum of the slots' counts.
    pub totals: Counts,
    pub usage: Usage,
    /// What was found last, until an entry comes or goes: a command looks its key up, looks at what
    /// it replaces, and writes.
    found: Cell<Option<(Position, Place)>>,
}

/// Sums over all entries.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Usage {
    /// Entries and their objects, in bytes.
    pub entry_bytes: u64,
    /// Directories and words, in bytes.
    pub table_bytes: u64,
    /// What a checkpoint would write, about, in bytes.
    pub dirty_bytes: u64,
    /// Entries that are not tombstones.
    pub resident: u64,
    /// Entries whose deltas wait for their base.
    pub pending: u64,
    /// Entries that have an item in the deadline queue.
    pub queued: u64,
}

impl Usage {
    fn add(&mut self, entry: EntryRef<'_>) {
        let memory_bytes = entry.memory_bytes();
        self.entry_bytes += memory_bytes;
        self.dirty_bytes += dirty_bytes(entry, memory_bytes);
        self.resident += u64::from(!entry.is_tombstone());
        self.pending += u64::from(entry.is_pending());
        self.queued += u64::from(entry.queue() != 0);
    }

    fn sub(&mut self, entry: EntryRef<'_>) {
        let memory_bytes = entry.memory_bytes();
        self.entry_bytes -= memory_bytes;
        self.dirty_bytes -= dirty_bytes(entry, memory_bytes);
        self.resident -= u64::from(!entry.is_tombstone());
        self.pending -= u64::from(entry.is_pending());
        self.queued -= u64::from(entry.queue() != 0);
    }
}

fn dirty_bytes(entry: EntryRef<'_>, memory_bytes: u64) -> u64 {
    if !entry.is_dirty() {
        return 0;
    }
    entry.object().and_then(Object::dirty_bytes).unwrap_or(memory_bytes)
}

impl Space {
    pub fn new(id: KeyspaceId, first_slot: u16, slot_count: usize) -> Space {
        let slots: Box<[Slot]> = (0..slot_count).map(|_| Slot::default()).collect();
        let usage = Usage { table_bytes: size_of_val(&slots[..]) as u64, ..Usage::default() };
        Space {
            id,
            first_slot,
            slots,
            queue: DeadlineQueue::default(),
            fields: FieldQueue::default(),
            totals: Counts::default(),
            usage,
            found: Cell::new(None),
        }
    }

    pub fn index_of(&self, slot: u16) -> usize {
        usize::from(slot - self.first_slot)
    }

    pub fn slot(&self, slot: u16) -> &Slot {
        &self.slots[self.index_of(slot)]
    }

    pub fn slot_mut(&mut self, slot: u16) -> &mut Slot {
        let index = self.index_of(slot);
        &mut self.slots[index]
    }

    pub fn find(&self, position: Position, key: &[u8]) -> Option<Place> {
        if let Some((found, place)) = self.found.get()
            && found == position
            && self.entry(position.slot(), place).key() == key
        {
            return Some(place);
        }
        let place = self.slot(position.slot()).table.find(position.hash(), key)?;
        self.found.set(Some((position, place)));
        Some(place)
    }

    pub fn entry(&self, slot: u16, place: Place) -> EntryRef<'_> {
        self.slot(slot).table.entry(place).get()
    }

    /// The places of all entries that share leaf and tag with a position: few, mostly one.
    pub fn run(&self, position: Position) -> impl Iterator<Item = Place> + use<> {
        let span = self.slot(position.slot()).table.span(position.hash());
        let tag = span.tag(position.hash());
        let first = span.leaf.lower_bound(tag);
        let words = span.leaf.words()[first..].iter();
        let count =
            words.take_while(|word| word.as_ref().is_some_and(|entry| entry.tag() == tag)).count();
        span.place(first).following(count)
    }

    /// A leaf with entries at or behind a position, wrapping around; its slot.
    pub fn leaf_near(&self, position: Position) -> Option<(u16, Span<'_>)> {
        let first = self.index_of(position.slot());
        let order = (first..self.slots.len()).chain(0..first);
        for index in order {
            let table = &self.slots[index].table;
            let mut hash = position.hash();
            while !table.is_empty() {
                let span = table.span(hash);
                if !span.leaf.is_empty() {
                    return Some((self.first_slot + index as u16, span));
                }
                hash = if span.end < 1 << HASH_BITS { span.end } else { 0 };
            }
        }
        None
    }

    /// Adds an entry whose key is not there.
    pub fn insert(
        &mut self,
        position: Position,
        entry: Entry,
        state: u8,
        rehash: Rehash<'_>,
    ) -> Place {
        let index = self.index_of(position.slot());
        let slot = &mut self.slots[index];
        let before = slot.table.bytes() as u64;
        let place = slot.table.insert(position.hash(), entry, rehash);
        self.found.set(Some((position, place)));
        let slot = &mut self.slots[index];
        slot.table.set_state(place, state);
        let after = slot.table.bytes() as u64;
        let entry = slot.table.entry(place).get();
        slot.resident += u32::from(!entry.is_tombstone());
        let mut usage = self.usage;
        usage.table_bytes = usage.table_bytes + after - before;
        usage.add(self.entry(position.slot(), place));
        self.usage = usage;
        place
    }

    /// Changes an entry; `edit` may do anything but touch tag and state.
    pub fn edit<R>(&mut self, slot: u16, place: Place, edit: impl FnOnce(&mut Entry) -> R) -> R {
        let index = self.index_of(slot);
        let slot = &mut self.slots[index];
        let entry = slot.table.entry_mut(place);
        let was_tombstone = entry.get().is_tombstone();
        self.usage.sub(entry.get());
        let result = edit(entry);
        self.usage.add(entry.get());
        match (was_tombstone, entry.get().is_tombstone()) {
            (true, false) => slot.resident += 1,
            (false, true) => slot.resident -= 1,
            _ => {}
        }
        result
    }

    /// As [`Space::edit`], of a large collection that stays one; none where something else stands
    /// there. Only what the collection takes is counted anew.
    pub fn edit_collection<R>(
        &mut self,
        slot: u16,
        place: Place,
        edit: impl FnOnce(&mut Collection) -> R,
    ) -> Option<R> {
        let index = self.index_of(slot);
        let entry = self.slots[index].table.entry_mut(place);
        let is_dirty = entry.get().is_dirty();
        let Some(Object::Collection(collection)) = entry.object_mut() else { return None };
        let size = |collection: &Collection| {
            (collection.memory_bytes(), collection.chunks().dirty_bytes())
        };
        let before = size(collection);
        let result = edit(collection);
        let after = size(collection);
        self.usage.entry_bytes = self.usage.entry_bytes + after.0 - before.0;
        if is_dirty {
            self.usage.dirty_bytes = self.usage.dirty_bytes + after.1 - before.1;
        }
        Some(result)
    }

    /// Replaces the state of an entry.
    pub fn set_state(&mut self, slot: u16, place: Place, state: u8) {
        let index = self.index_of(slot);
        let table = &mut self.slots[index].table;
        let before = table.entry(place).state();
        if before == state {
            return;
        }
        if (before ^ state) & DIRTY == 0 {
            table.set_state(place, state);
        } else {
            self.usage.sub(table.entry(place).get());
            table.set_state(place, state);
            self.usage.add(table.entry(place).get());
        }
    }

    /// Takes an entry out of memory.
    pub fn remove(&mut self, slot: u16, place: Place) -> Entry {
        let index = self.index_of(slot);
        self.found.set(None);
        let slot = &mut self.slots[index];
        let before = slot.table.bytes() as u64;
        let entry = slot.table.remove(place);
        let after = slot.table.bytes() as u64;
        slot.resident -= u32::from(!entry.get().is_tombstone());
        slot.departures = slot.departures.wrapping_add(1);
        self.usage.table_bytes = self.usage.table_bytes + after - before;
        self.usage.sub(entry.get());
        entry
    }

    pub fn memory_bytes(&self) -> u64 {
        let queues = self.queue.memory_bytes() + self.fields.memory_bytes();
        self.usage.entry_bytes + self.usage.table_bytes + queues
    }

    pub fn check_invariants(&self, rehash: Rehash<'_>) {
        let mut usage =
            Usage { table_bytes: size_of_val(&self.slots[..]) as u64, ..Usage::default() };
        let mut totals = Counts::default();
        for slot in &self.slots {
            slot.table.check_invariants(rehash);
            usage.table_bytes += slot.table.bytes() as u64;
            let counts = slot.counter.counts();
            totals.keys += counts.keys;
            totals.expires += counts.expires;
            let before = usage.resident;
            let mut hash = 0;
            while hash < 1 << HASH_BITS {
                let span = slot.table.span(hash);
                let entries = span.leaf.words().iter().flatten();
                entries.for_each(|entry| usage.add(entry.get()));
                hash = span.end;
            }
            assert_eq!(usage.resident - before, u64::from(slot.resident));
        }
        assert_eq!((usage, totals), (self.usage, self.totals), "sums");
    }
}
