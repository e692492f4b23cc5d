//! The consumer groups of a stream, as they are looked up: made from the stream's facts, and kept
//! beside them in memory only.

use std::collections::{BTreeMap, BTreeSet};

use crate::value::stream_fact::{ConsumerState, Delivery, Fact, GroupState, Holder, Topic};
use crate::value::stream_id::StreamId;

/// The highest number that a group or a consumer may have, so that there is always a next one.
const NUMBER_MAX: u64 = u32::MAX as u64;
/// About what a fact takes here, in bytes, beside its names.
const GROUP_BYTES: u64 = 240;
const CONSUMER_BYTES: u64 = 180;
const PENDING_BYTES: u64 = 88;

/// A consumer of a group.
#[derive(Clone, Debug)]
pub struct Consumer {
    name: Box<[u8]>,
    state: ConsumerState,
    pending: BTreeSet<StreamId>,
}

impl Consumer {
    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// What is known of it.
    pub fn state(&self) -> &ConsumerState {
        &self.state
    }

    /// What it has not acknowledged.
    pub fn pending(&self) -> &BTreeSet<StreamId> {
        &self.pending
    }
}

/// A consumer group.
#[derive(Clone, Debug)]
pub struct Group {
    name: Box<[u8]>,
    state: GroupState,
    pending: BTreeMap<StreamId, Delivery>,
    /// What is pending and nobody has, by place.
    released: BTreeMap<u64, StreamId>,
    consumers: BTreeMap<u64, Consumer>,
    by_name: BTreeMap<Box<[u8]>, u64>,
}

impl Group {
    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// What is known of it.
    pub fn state(&self) -> &GroupState {
        &self.state
    }

    /// What was delivered and not acknowledged.
    pub fn pending(&self) -> &BTreeMap<StreamId, Delivery> {
        &self.pending
    }

    /// What of that nobody has, by place.
    pub fn released(&self) -> &BTreeMap<u64, StreamId> {
        &self.released
    }

    /// The consumer of this name.
    pub fn consumer(&self, name: &[u8]) -> Option<&Consumer> {
        self.consumers.get(self.by_name.get(name)?)
    }

    /// The name of the consumer that has an entry, empty where nobody has it.
    pub fn holder_name(&self, delivery: &Delivery) -> &[u8] {
        let holder = delivery.consumer().and_then(|number| self.consumers.get(&number));
        holder.map_or(b"", Consumer::name)
    }

    /// Its consumers, in the order of their names.
    pub fn consumers(&self) -> impl ExactSizeIterator<Item = &Consumer> {
        self.by_name.values().map(|number| &self.consumers[number])
    }

    /// A place behind those of all that nobody has.
    pub fn free_place(&self) -> u64 {
        self.released.last_key_value().map_or(0, |(last, _)| last + 1)
    }

    /// A number that no consumer has.
    pub fn free_number(&self) -> u64 {
        self.consumers.last_key_value().map_or(0, |(last, _)| last + 1)
    }
}

/// The groups of a stream.
#[derive(Clone, Default, Debug)]
pub struct Groups {
    groups: BTreeMap<u64, Group>,
    by_name: BTreeMap<Box<[u8]>, u64>,
    bytes: u64,
}

impl Groups {
    /// The group of this name.
    pub fn get(&self, name: &[u8]) -> Option<&Group> {
        self.groups.get(self.by_name.get(name)?)
    }

    /// All groups, in the order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Group> {
        self.by_name.values().map(|number| &self.groups[number])
    }

    /// A number that no group has.
    pub fn free_number(&self) -> u64 {
        self.groups.last_key_value().map_or(0, |(last, _)| last + 1)
    }

    /// About what they take, in bytes. O(1).
    pub fn memory_bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes a fact in, in place of the one of its topic; false, and nothing changes, where it does
    /// not go with the others: a group or consumer that is not there, or a number that changes.
    pub fn put(&mut self, fact: &Fact<'_>) -> bool {
        match *fact {
            Fact::Group { name, state } => self.put_group(name, state),
            Fact::Consumer { group, name, state } => {
                let added =
                    self.groups.get_mut(&group).and_then(|group| group.put_consumer(name, state));
                self.bytes += added.unwrap_or(0);
                added.is_some()
            }
            Fact::Pending { group, id, delivery } => {
                let added =
                    self.groups.get_mut(&group).and_then(|group| group.put_pending(id, delivery));
                self.bytes += added.unwrap_or(0);
                added.is_some()
            }
            _ => false,
        }
    }

    fn put_group(&mut self, name: &[u8], state: GroupState) -> bool {
        let held = self.by_name.get(name).copied();
        let is_taken = self.groups.contains_key(&state.number) || state.number > NUMBER_MAX;
        if held.is_none() && is_taken {
            return false;
        }
        if let Some(number) = held {
            let group = self.groups.get_mut(&number).expect("a name stands for a group");
            let fits = number == state.number;
            if fits {
                group.state = state;
            }
            return fits;
        }
        let group = Group {
            name: name.into(),
            state,
            pending: BTreeMap::new(),
            released: BTreeMap::new(),
            consumers: BTreeMap::new(),
            by_name: BTreeMap::new(),
        };
        self.bytes += group_bytes(name);
        self.by_name.insert(name.into(), state.number);
        self.groups.insert(state.number, group);
        true
    }

    /// Takes a fact out, with those that depend on it: consumers and pending entries of a group,
    /// pending entries of a consumer. `gone` is told the topic of each, those first that depend.
    pub fn remove(&mut self, topic: &Topic<'_>, mut gone: impl FnMut(Topic<'_>)) {
        match *topic {
            Topic::Group { name } => {
                let Some(number) = self.by_name.remove(name) else { return };
                let group = self.groups.remove(&number).expect("a name stands for a group");
                let group_number = number;
                for id in group.pending.keys() {
                    gone(Topic::Pending { group: group_number, id: *id });
                }
                for consumer in group.consumers.values() {
                    self.bytes -= consumer_bytes(&consumer.name);
                    gone(Topic::Consumer { group: group_number, name: &consumer.name });
                }
                self.bytes -= group_bytes(name) + group.pending.len() as u64 * PENDING_BYTES;
                gone(*topic);
            }
            Topic::Consumer { group: number, name } => {
                let Some(group) = self.groups.get_mut(&number) else { return };
                let Some(consumer) = group.by_name.remove(name) else { return };
                let consumer = group.consumers.remove(&consumer).expect("a name stands for one");
                for id in &consumer.pending {
                    group.pending.remove(id);
                    gone(Topic::Pending { group: number, id: *id });
                }
                self.bytes -= consumer_bytes(name) + consumer.pending.len() as u64 * PENDING_BYTES;
                gone(*topic);
            }
            Topic::Pending { group, id } => {
                let Some(group) = self.groups.get_mut(&group) else { return };
                let Some(delivery) = group.pending.remove(&id) else { return };
                group.leave(id, delivery);
                self.bytes -= PENDING_BYTES;
                gone(*topic);
            }
            _ => {}
        }
    }
}

impl Group {
    /// Bytes that are more; none where it was refused.
    fn put_consumer(&mut self, name: &[u8], state: ConsumerState) -> Option<u64> {
        if let Some(number) = self.by_name.get(name) {
            let consumer = self.consumers.get_mut(number).expect("a name stands for a consumer");
            return (consumer.state.number == state.number).then(|| {
                consumer.state = state;
                0
            });
        }
        if self.consumers.contains_key(&state.number) || state.number > NUMBER_MAX {
            return None;
        }
        let consumer = Consumer { name: name.into(), state, pending: BTreeSet::new() };
        self.consumers.insert(state.number, consumer);
        self.by_name.insert(name.into(), state.number);
        Some(consumer_bytes(name))
    }

    /// Bytes that are more; none where it was refused.
    fn put_pending(&mut self, id: StreamId, delivery: Delivery) -> Option<u64> {
        match delivery.holder {
            Holder::Consumer { number, .. } if !self.consumers.contains_key(&number) => {
                return None;
            }
            Holder::Nobody { place } if self.released.get(&place).is_some_and(|at| *at != id) => {
                return None;
            }
            // The last place stays free, so that there is always a next one.
            Holder::Nobody { place: u64::MAX } => return None,
            _ => {}
        }
        let before = self.pending.insert(id, delivery);
        if let Some(before) = before {
            self.leave(id, before);
        }
        match delivery.holder {
            Holder::Nobody { place } => drop(self.released.insert(place, id)),
            Holder::Consumer { number, .. } => {
                let consumer = self.consumers.get_mut(&number).expect("it was there");
                consumer.pending.insert(id);
            }
        }
        Some(if before.is_some() { 0 } else { PENDING_BYTES })
    }

    /// Takes an entry from who had it.
    fn leave(&mut self, id: StreamId, delivery: Delivery) {
        match delivery.holder {
            Holder::Nobody { place } => drop(self.released.remove(&place)),
            Holder::Consumer { number, .. } => {
                if let Some(consumer) = self.consumers.get_mut(&number) {
                    consumer.pending.remove(&id);
                }
            }
        }
    }
}

fn group_bytes(name: &[u8]) -> u64 {
    GROUP_BYTES + 2 * name.len() as u64
}

fn consumer_bytes(name: &[u8]) -> u64 {
    CONSUMER_BYTES + 2 * name.len() as u64
}
