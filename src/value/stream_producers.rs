//! Who adds entries to a stream under names, and which names are known: made from the stream's
//! facts, and kept beside them in memory only.
//!
//! A name is known until its time is over or its producer has added too many others; both are for
//! commands to decide, and to log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::value::stream_fact::{Added, Fact, Idempotence, Topic};
use crate::value::stream_id::StreamId;

/// The highest number that a producer or a name may have, so that there is always a next one.
const NUMBER_MAX: u64 = u64::MAX - 1;
/// About what a fact takes here, in bytes, beside its name.
const PRODUCER_BYTES: u64 = 260;
const ADDED_BYTES: u64 = 260;

/// A producer.
#[derive(Clone, Debug)]
pub struct Producer {
    name: Arc<[u8]>,
    /// Number by name.
    added: BTreeMap<Arc<[u8]>, u64>,
    /// In the order in which they were added.
    numbers: BTreeSet<u64>,
}

impl Producer {
    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// The number of what it added under a name.
    pub fn find(&self, name: &[u8]) -> Option<u64> {
        self.added.get(name).copied()
    }

    /// The numbers of what it added, the oldest first.
    pub fn numbers(&self) -> &BTreeSet<u64> {
        &self.numbers
    }
}

/// What a producer added under a name.
#[derive(Clone, Debug)]
struct Known {
    producer: u64,
    id: StreamId,
    name: Arc<[u8]>,
}

/// The producers of a stream.
#[derive(Clone, Default, Debug)]
pub struct Producers {
    state: Option<Idempotence>,
    producers: BTreeMap<u64, Producer>,
    by_name: BTreeMap<Arc<[u8]>, u64>,
    added: BTreeMap<u64, Known>,
    /// By the time in the ID, with which it is forgotten.
    by_id: BTreeSet<(StreamId, u64)>,
    bytes: u64,
}

impl Producers {
    /// How entries are added once: as it was set, or as a new stream does.
    pub fn state(&self) -> Idempotence {
        self.state.unwrap_or_default()
    }

    /// The number of the producer of this name.
    pub fn number_of(&self, name: &[u8]) -> Option<u64> {
        self.by_name.get(name).copied()
    }

    /// The producer of this number.
    pub fn get(&self, number: u64) -> Option<&Producer> {
        self.producers.get(&number)
    }

    /// All producers, in the order of their numbers.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Producer> {
        self.producers.values()
    }

    /// A number that no producer has.
    pub fn free_producer(&self) -> u64 {
        self.producers.last_key_value().map_or(0, |(last, _)| last + 1)
    }

    /// A number above those of all that was added.
    pub fn free_number(&self) -> u64 {
        self.added.last_key_value().map_or(0, |(last, _)| last + 1)
    }

    /// What was added under a number.
    pub fn added(&self, number: u64) -> Option<Added<'_>> {
        self.added.get(&number).map(Known::view)
    }

    /// Whether nothing is known by a name.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty()
    }

    /// Whether what was added with this ID is to be forgotten by now.
    pub fn is_over(&self, id: StreamId, now_ms: u64) -> bool {
        id.ms.saturating_add(self.state().duration_s.saturating_mul(1000)) <= now_ms
    }

    /// The numbers of what is to be forgotten by now, the oldest first.
    pub fn over(&self, now_ms: u64) -> impl Iterator<Item = u64> {
        let over = self.by_id.iter().take_while(move |(id, _)| self.is_over(*id, now_ms));
        over.map(|(_, number)| *number)
    }

    /// About what they take, in bytes. O(1).
    pub fn memory_bytes(&self) -> u64 {
        self.bytes
    }

    /// All facts, each behind those it depends on.
    pub fn facts(&self) -> impl Iterator<Item = Fact<'_>> {
        let state = self.state.iter().map(|state| Fact::Idempotence { state: *state });
        let producers = self.producers.iter();
        let producers = producers
            .map(|(number, producer)| Fact::Producer { number: *number, name: &producer.name });
        let added = self.added.iter();
        let added =
            added.map(|(number, known)| Fact::Added { number: *number, added: known.view() });
        state.chain(producers).chain(added)
    }

    /// Takes a fact in, in place of the one of its topic; false, and nothing changes, where it does
    /// not go with the others: producers need to know how long, names a producer, and each name is
    /// known once.
    pub fn put(&mut self, fact: &Fact<'_>) -> bool {
        match *fact {
            Fact::Idempotence { state } => {
                self.state = Some(state);
                true
            }
            Fact::Producer { number, name } => self.put_producer(number, name),
            Fact::Added { number, added } => self.put_added(number, added),
            _ => false,
        }
    }

    fn put_producer(&mut self, number: u64, name: &[u8]) -> bool {
        if let Some(held) = self.by_name.get(name) {
            return *held == number;
        }
        let is_taken = self.producers.contains_key(&number) || number > NUMBER_MAX;
        if is_taken || self.state.is_none() {
            return false;
        }
        let name: Arc<[u8]> = name.into();
        self.bytes += PRODUCER_BYTES + name.len() as u64;
        self.by_name.insert(name.clone(), number);
        let producer = Producer { name, added: BTreeMap::new(), numbers: BTreeSet::new() };
        self.producers.insert(number, producer);
        true
    }

    fn put_added(&mut self, number: u64, added: Added<'_>) -> bool {
        let Some(producer) = self.producers.get(&added.producer) else { return false };
        if number > NUMBER_MAX || producer.find(added.name).is_some_and(|held| held != number) {
            return false;
        }
        self.forget(number);
        let name: Arc<[u8]> = added.name.into();
        self.bytes += ADDED_BYTES + name.len() as u64;
        let producer = self.producers.get_mut(&added.producer).expect("it was there");
        producer.added.insert(name.clone(), number);
        producer.numbers.insert(number);
        self.by_id.insert((added.id, number));
        let known = Known { producer: added.producer, id: added.id, name };
        self.added.insert(number, known);
        true
    }

    /// Whether something was known under the number.
    fn forget(&mut self, number: u64) -> bool {
        let Some(known) = self.added.remove(&number) else { return false };
        self.by_id.remove(&(known.id, number));
        let producer = self.producers.get_mut(&known.producer).expect("a name has a producer");
        producer.added.remove(&known.name);
        producer.numbers.remove(&number);
        self.bytes -= ADDED_BYTES + known.name.len() as u64;
        true
    }

    /// Takes a fact out, with those that depend on it: names of a producer, and everything where
    /// it is no longer known how entries are added once. `gone` is told the topic of each, those
    /// first that depend.
    pub fn remove(&mut self, topic: &Topic<'_>, mut gone: impl FnMut(Topic<'_>)) {
        match *topic {
            Topic::Idempotence => {
                if self.state.is_none() {
                    return;
                }
                self.added.keys().for_each(|number| gone(Topic::Added { number: *number }));
                self.producers.keys().for_each(|number| gone(Topic::Producer { number: *number }));
                *self = Producers::default();
                gone(*topic);
            }
            Topic::Producer { number } => {
                let Some(producer) = self.producers.get(&number) else { return };
                for added in producer.numbers.clone() {
                    self.forget(added);
                    gone(Topic::Added { number: added });
                }
                let producer = self.producers.remove(&number).expect("it was there");
                self.by_name.remove(&producer.name);
                self.bytes -= PRODUCER_BYTES + producer.name.len() as u64;
                gone(*topic);
            }
            Topic::Added { number } => {
                let was_known = self.forget(number);
                if was_known {
                    gone(*topic);
                }
            }
            _ => {}
        }
    }
}

impl Known {
    fn view(&self) -> Added<'_> {
        Added { producer: self.producer, id: self.id, name: &self.name }
    }
}
