//! What a stream knows about its consumer groups and its producers, each fact an item: the member
//! says what it is about, the payload what is known.
//!
//! ```text
//! group       = 1 name                      payload: number last-id:id (entries read + 1, or 0)
//! consumer    = 2 group name                payload: number seen-ms (active-ms + 1, or 0)
//! pending     = 3 group ms:u64be seq:u64be  payload: consumer delivery-ms delivery-count
//!                                           or, of nobody: 2^32 place delivery-count
//! idempotence = 4                           payload: duration-s max-ids added duplicates
//! producer    = 5 number                    payload: its name
//! added       = 6 number:u64be              payload: producer id:id its name
//! ```
//!
//! All other numbers are varints. Groups have numbers of their own in a stream, consumers in a
//! group. Producers and what they added are about numbers, so that taking them out names little.

use crate::value::item::{Item, put_varint, varint};
use crate::value::stream_id::StreamId;

const GROUP: u8 = 1;
const CONSUMER: u8 = 2;
const PENDING: u8 = 3;
const IDEMPOTENCE: u8 = 4;
const PRODUCER: u8 = 5;
const ADDED: u8 = 6;
/// What stands for a consumer's number where nobody has an entry: above all of those.
const NOBODY: u64 = 1 << 32;

/// What a fact is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Topic<'a> {
    /// A group, by its name.
    Group {
        /// Its name.
        name: &'a [u8],
    },
    /// A consumer, by its name.
    Consumer {
        /// Number of its group.
        group: u64,
        /// Its name.
        name: &'a [u8],
    },
    /// An entry that was delivered and not acknowledged.
    Pending {
        /// Number of its group.
        group: u64,
        /// The entry, which may be gone.
        id: StreamId,
    },
    /// How entries are added once.
    Idempotence,
    /// A producer, by its number.
    Producer {
        /// Its number.
        number: u64,
    },
    /// What a producer added under a name of its own, by a number.
    Added {
        /// Its number, which is above that of what was added before.
        number: u64,
    },
}

/// What is known of a group.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct GroupState {
    /// Its number.
    pub number: u64,
    /// The last ID that it delivered.
    pub last_id: StreamId,
    /// How many entries it has read, where that is known.
    pub entries_read: Option<u64>,
}

/// What is known of a consumer.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ConsumerState {
    /// Its number.
    pub number: u64,
    /// When it was heard of last, in Unix milliseconds.
    pub seen_ms: u64,
    /// When it got or claimed something last, in Unix milliseconds, if it ever did.
    pub active_ms: Option<u64>,
}

/// What is known of a pending entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// Who has it.
    pub holder: Holder,
    /// How often it was delivered.
    pub count: u64,
}

/// Who has a pending entry. What nobody has comes before all others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Holder {
    /// Nobody: it was given back.
    Nobody {
        /// Its place among those, no two of which have the same.
        place: u64,
    },
    /// A consumer.
    Consumer {
        /// When it was delivered last, in Unix milliseconds.
        at_ms: u64,
        /// Its number.
        number: u64,
    },
}

impl Delivery {
    /// The delivery to the consumer of a number.
    pub fn to(number: u64, at_ms: u64, count: u64) -> Delivery {
        Delivery { holder: Holder::Consumer { at_ms, number }, count }
    }

    /// The number of the consumer that has it.
    pub fn consumer(&self) -> Option<u64> {
        match self.holder {
            Holder::Nobody { .. } => None,
            Holder::Consumer { number, .. } => Some(number),
        }
    }

    /// When it was delivered last, in Unix milliseconds; 0 where nobody has it.
    pub fn at_ms(&self) -> u64 {
        match self.holder {
            Holder::Nobody { .. } => 0,
            Holder::Consumer { at_ms, .. } => at_ms,
        }
    }

    /// How often it will have been delivered after the next time.
    pub fn count_after(&self) -> u64 {
        self.count.saturating_add(1).min(DELIVERIES_MAX)
    }
}

/// The highest number of deliveries, which stands for an entry that is not to be delivered again.
pub const DELIVERIES_MAX: u64 = i64::MAX as u64;

/// How entries are added once, and how often that came up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Idempotence {
    /// Seconds for which the name of an entry is known.
    pub duration_s: u64,
    /// Names that are known of a producer at most.
    pub max_ids: u64,
    /// Entries that were ever added under a name.
    pub added: u64,
    /// Entries that were not, because their name was known.
    pub duplicates: u64,
}

impl Default for Idempotence {
    fn default() -> Idempotence {
        Idempotence { duration_s: 100, max_ids: 100, added: 0, duplicates: 0 }
    }
}

/// An entry that a producer added under a name, so that it is not added again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Added<'a> {
    /// Number of the producer.
    pub producer: u64,
    /// The entry, which may be gone.
    pub id: StreamId,
    /// The name, which the producer chose.
    pub name: &'a [u8],
}

/// A fact.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fact<'a> {
    /// Of a group.
    Group {
        /// Its name.
        name: &'a [u8],
        /// What is known of it.
        state: GroupState,
    },
    /// Of a consumer.
    Consumer {
        /// Number of its group.
        group: u64,
        /// Its name.
        name: &'a [u8],
        /// What is known of it.
        state: ConsumerState,
    },
    /// Of a pending entry.
    Pending {
        /// Number of its group.
        group: u64,
        /// The entry.
        id: StreamId,
        /// What is known of its delivery.
        delivery: Delivery,
    },
    /// How entries are added once.
    Idempotence {
        /// What is known of it.
        state: Idempotence,
    },
    /// Of a producer.
    Producer {
        /// Its number.
        number: u64,
        /// Its name.
        name: &'a [u8],
    },
    /// Of an entry that was added under a name.
    Added {
        /// Its number.
        number: u64,
        /// What is known of it.
        added: Added<'a>,
    },
}

impl<'a> Topic<'a> {
    /// The member of its item.
    pub fn encode(&self) -> Vec<u8> {
        let mut member = Vec::with_capacity(24);
        match *self {
            Topic::Group { name } => {
                member.push(GROUP);
                member.extend_from_slice(name);
            }
            Topic::Consumer { group, name } => {
                member.push(CONSUMER);
                put_varint(group, &mut member);
                member.extend_from_slice(name);
            }
            Topic::Pending { group, id } => {
                member.push(PENDING);
                put_varint(group, &mut member);
                member.extend_from_slice(&id.ms.to_be_bytes());
                member.extend_from_slice(&id.seq.to_be_bytes());
            }
            Topic::Idempotence => member.push(IDEMPOTENCE),
            Topic::Producer { number } => {
                member.push(PRODUCER);
                put_varint(number, &mut member);
            }
            Topic::Added { number } => {
                member.push(ADDED);
                member.extend_from_slice(&number.to_be_bytes());
            }
        }
        member
    }

    /// What a member is about. None where it is malformed.
    pub fn decode(member: &'a [u8]) -> Option<Topic<'a>> {
        let (&kind, rest) = member.split_first()?;
        match kind {
            GROUP => return Some(Topic::Group { name: rest }),
            IDEMPOTENCE => return rest.is_empty().then_some(Topic::Idempotence),
            ADDED => {
                let number = u64::from_be_bytes(rest.try_into().ok()?);
                return Some(Topic::Added { number });
            }
            _ => {}
        }
        let (group, at) = varint(rest, 0)?;
        let rest = &rest[at..];
        match kind {
            CONSUMER => Some(Topic::Consumer { group, name: rest }),
            PRODUCER => rest.is_empty().then_some(Topic::Producer { number: group }),
            PENDING => {
                let both = u128::from_be_bytes(rest.try_into().ok()?);
                let id = StreamId { ms: (both >> u64::BITS) as u64, seq: both as u64 };
                Some(Topic::Pending { group, id })
            }
            _ => None,
        }
    }
}

impl<'a> Fact<'a> {
    /// What it is about.
    pub fn topic(&self) -> Topic<'a> {
        match *self {
            Fact::Group { name, .. } => Topic::Group { name },
            Fact::Consumer { group, name, .. } => Topic::Consumer { group, name },
            Fact::Pending { group, id, .. } => Topic::Pending { group, id },
            Fact::Idempotence { .. } => Topic::Idempotence,
            Fact::Producer { number, .. } => Topic::Producer { number },
            Fact::Added { number, .. } => Topic::Added { number },
        }
    }

    /// Its place among facts that depend on one another: each follows those it depends on.
    pub fn rank(&self) -> u8 {
        match self {
            Fact::Group { .. } => GROUP,
            Fact::Consumer { .. } => CONSUMER,
            Fact::Pending { .. } => PENDING,
            Fact::Idempotence { .. } => IDEMPOTENCE,
            Fact::Producer { .. } => PRODUCER,
            Fact::Added { .. } => ADDED,
        }
    }

    /// Appends its item.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut payload = Vec::with_capacity(24);
        match self {
            Fact::Group { state, .. } => {
                put_varint(state.number, &mut payload);
                state.last_id.encode(&mut payload);
                put_optional(state.entries_read, &mut payload);
            }
            Fact::Consumer { state, .. } => {
                put_varint(state.number, &mut payload);
                put_varint(state.seen_ms, &mut payload);
                put_optional(state.active_ms, &mut payload);
            }
            Fact::Pending { delivery, .. } => {
                let holder = match delivery.holder {
                    Holder::Nobody { place } => [NOBODY, place],
                    Holder::Consumer { at_ms, number } => [number, at_ms],
                };
                let numbers = [holder[0], holder[1], delivery.count];
                numbers.iter().for_each(|number| put_varint(*number, &mut payload));
            }
            Fact::Idempotence { state } => {
                let numbers = [state.duration_s, state.max_ids, state.added, state.duplicates];
                numbers.iter().for_each(|number| put_varint(*number, &mut payload));
            }
            Fact::Producer { name, .. } => payload.extend_from_slice(name),
            Fact::Added { added, .. } => {
                put_varint(added.producer, &mut payload);
                added.id.encode(&mut payload);
                payload.extend_from_slice(added.name);
            }
        }
        Item::new(&self.topic().encode(), &payload).encode(out);
    }

    /// The fact that an item is. None where it is malformed.
    pub fn decode(item: &Item<'a>) -> Option<Fact<'a>> {
        let payload = item.payload;
        let fact = match Topic::decode(item.member)? {
            Topic::Group { name } => {
                let (number, at) = varint(payload, 0)?;
                let (last_id, at) = StreamId::decode(payload, at)?;
                let (entries_read, at) = optional(payload, at)?;
                (Fact::Group { name, state: GroupState { number, last_id, entries_read } }, at)
            }
            Topic::Consumer { group, name } => {
                let (number, at) = varint(payload, 0)?;
                let (seen_ms, at) = varint(payload, at)?;
                let (active_ms, at) = optional(payload, at)?;
                let state = ConsumerState { number, seen_ms, active_ms };
                (Fact::Consumer { group, name, state }, at)
            }
            Topic::Pending { group, id } => {
                let (consumer, at) = varint(payload, 0)?;
                let (at_ms, at) = varint(payload, at)?;
                let (count, at) = varint(payload, at)?;
                let delivery = match consumer {
                    NOBODY => Delivery { holder: Holder::Nobody { place: at_ms }, count },
                    consumer => Delivery::to(consumer, at_ms, count),
                };
                (Fact::Pending { group, id, delivery }, at)
            }
            Topic::Idempotence => {
                let (duration_s, at) = varint(payload, 0)?;
                let (max_ids, at) = varint(payload, at)?;
                let (added, at) = varint(payload, at)?;
                let (duplicates, at) = varint(payload, at)?;
                let state = Idempotence { duration_s, max_ids, added, duplicates };
                (Fact::Idempotence { state }, at)
            }
            Topic::Producer { number } => (Fact::Producer { number, name: payload }, payload.len()),
            Topic::Added { number } => {
                let (producer, at) = varint(payload, 0)?;
                let (id, at) = StreamId::decode(payload, at)?;
                let added = Added { producer, id, name: &payload[at..] };
                (Fact::Added { number, added }, payload.len())
            }
        };
        (fact.1 == payload.len() && item.deadline_ms.is_none()).then_some(fact.0)
    }
}

/// Appends a number plus 1, or 0 for none. The highest number there is has no form.
fn put_optional(number: Option<u64>, out: &mut Vec<u8>) {
    put_varint(number.map_or(0, |number| number.saturating_add(1)), out);
}

fn optional(bytes: &[u8], at: usize) -> Option<(Option<u64>, usize)> {
    let (word, at) = varint(bytes, at)?;
    Some((word.checked_sub(1), at))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id() -> impl Strategy<Value = StreamId> {
        (any::<u64>(), any::<u64>()).prop_map(|(ms, seq)| StreamId { ms, seq })
    }

    /// The examples of format-spec/values.md.
    #[test]
    fn facts_are_written_as_specified() {
        let id = StreamId { ms: 5, seq: 1 };
        let holder = Holder::Nobody { place: 2 };
        let pending = Fact::Pending { group: 0, id, delivery: Delivery { holder, count: 3 } };
        let added = Fact::Added { number: 3, added: Added { producer: 0, id, name: b"n" } };
        let of_nobody = b"\x12\x0e\x03\0\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x01\x80\x80\
            \x80\x80\x10\x02\x03";
        let named = b"\x09\x08\x06\0\0\0\0\0\0\0\x03\0\x05\x01n";
        for (fact, bytes) in [(pending, &of_nobody[..]), (added, named)] {
            let mut written = Vec::new();
            fact.encode(&mut written);
            assert_eq!(written, bytes, "{fact:?}");
        }
    }

    proptest! {
        #[test]
        fn facts_come_back(
            kind in 0..6u8, group: u64, number: u64, name: Vec<u8>, id in id(),
            optional in prop::option::of(0..u64::MAX), at_ms: u64, count: u64,
        ) {
            let name = &name[..];
            let fact = match kind {
                0 => {
                    let state = GroupState { number, last_id: id, entries_read: optional };
                    Fact::Group { name, state }
                }
                1 => {
                    let state = ConsumerState { number, seen_ms: at_ms, active_ms: optional };
                    Fact::Consumer { group, name, state }
                }
                2 => {
                    let holder = match number % 2 {
                        0 => Holder::Nobody { place: at_ms },
                        _ => Holder::Consumer { at_ms, number },
                    };
                    let delivery = Delivery { holder, count };
                    Fact::Pending { group, id, delivery }
                }
                3 => {
                    let (duration_s, max_ids) = (at_ms, count);
                    let (added, duplicates) = (number, group);
                    let state = Idempotence { duration_s, max_ids, added, duplicates };
                    Fact::Idempotence { state }
                }
                4 => Fact::Producer { number, name },
                _ => Fact::Added { number, added: Added { producer: group, id, name } },
            };
            let mut bytes = Vec::new();
            fact.encode(&mut bytes);
            let (item, end) = Item::decode(&bytes, 0).unwrap();
            prop_assert_eq!(end, bytes.len());
            prop_assert_eq!(Fact::decode(&item), Some(fact));
            prop_assert_eq!(Topic::decode(item.member), Some(fact.topic()));
            if kind < 4 {
                let cut = Item { payload: &item.payload[..item.payload.len() - 1], ..item };
                prop_assert_eq!(Fact::decode(&cut), None);
            }
            prop_assert_eq!(Fact::decode(&Item { deadline_ms: Some(1), ..item }), None);
        }

        #[test]
        fn any_item_is_judged_without_a_panic(member: Vec<u8>, payload: Vec<u8>) {
            if let Some(fact) = Fact::decode(&Item::new(&member, &payload)) {
                prop_assert_eq!(fact.topic().encode(), member);
            }
        }
    }
}
