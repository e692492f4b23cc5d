//! Streams between memory and payloads.

use bytes::Bytes;

use crate::command::encodings::Encodings;
use crate::command::spec::Failure;
use crate::rdb::stream::{self as plain, Fields, StreamData};
use crate::value::members::MemberHasher;
use crate::value::stream::Stream;
use crate::value::stream_chunk::{NewEntry, Numbers};
use crate::value::stream_fact::{
    Added, ConsumerState, Delivery, Fact, GroupState, Holder, Idempotence,
};
use crate::value::stream_groups::Group;
use crate::value::stream_id::StreamId;
use crate::value::stream_producers::Producers;

/// The stream that a payload holds.
///
/// # Errors
/// When it is none of ours: an entry named 0-0, or counts that no stream reaches.
pub fn from_payload(
    data: &StreamData,
    encodings: &Encodings,
    hasher: MemberHasher,
) -> Result<Stream, Failure> {
    let mut stream = Stream::new(0, hasher);
    let mut bytes = Vec::new();
    for (id, fields) in &data.entries {
        bytes.clear();
        let texts = fields.iter().flat_map(|(field, value)| [&field[..], &value[..]]);
        NewEntry::encode(*id, fields.len(), texts, &mut bytes);
        let entry = NewEntry::decode(&bytes).expect("it was just encoded");
        let begins_chunk = stream.tail_chunk().is_full(bytes.len() as u64, encodings.stream_node());
        if !stream.append(&entry, begins_chunk) {
            return Err(bad_data());
        }
    }
    stream.set_numbers(Numbers {
        last_id: data.last_id,
        max_deleted_id: data.max_deleted_id,
        entries_added: data.entries_added,
    });
    for (number, group) in (0..).zip(&data.groups) {
        put_group(&mut stream, number, group).ok_or_else(bad_data)?;
    }
    put_idempotence(&mut stream, &data.idempotence).ok_or_else(bad_data)?;
    Ok(stream)
}

fn bad_data() -> Failure {
    Failure::text("ERR Bad data format")
}

/// Adds a group under a number that no other has.
fn put_group(stream: &mut Stream, number: u64, group: &plain::Group) -> Option<()> {
    let state = GroupState { number, last_id: group.last_id, entries_read: group.entries_read };
    let mut put = |fact: Fact<'_>| stream.put_fact(&fact).then_some(());
    put(Fact::Group { name: &group.name, state })?;
    for (own_number, consumer) in (0..).zip(&group.consumers) {
        let (seen_ms, active_ms) = (consumer.seen_ms, consumer.active_ms);
        let state = ConsumerState { number: own_number, seen_ms, active_ms };
        put(Fact::Consumer { group: number, name: &consumer.name, state })?;
        for id in &consumer.pending {
            // Both lists ascend by ID, and the payload was checked: it is there.
            let at = group.pending.binary_search_by_key(id, |pending| pending.id).ok()?;
            let known = group.pending[at];
            let (at_ms, count) = (known.delivery_ms, known.delivery_count);
            let delivery = Delivery::to(own_number, at_ms, count);
            put(Fact::Pending { group: number, id: *id, delivery })?;
        }
    }
    for (place, id) in (0..).zip(&group.released) {
        let at = group.pending.binary_search_by_key(id, |pending| pending.id).ok()?;
        let holder = Holder::Nobody { place };
        let delivery = Delivery { holder, count: group.pending[at].delivery_count };
        put(Fact::Pending { group: number, id: *id, delivery })?;
    }
    Some(())
}

/// Adds what is known of entries that are added once, unless that is as in any new stream.
fn put_idempotence(stream: &mut Stream, known: &plain::Idempotence) -> Option<()> {
    if *known == plain::Idempotence::default() {
        return Some(());
    }
    let mut put = |fact: Fact<'_>| stream.put_fact(&fact).then_some(());
    let plain::Idempotence { duration_s, max_ids, added, duplicates, .. } = *known;
    put(Fact::Idempotence { state: Idempotence { duration_s, max_ids, added, duplicates } })?;
    let mut number = 0;
    for (own_number, producer) in (0..).zip(&known.producers) {
        put(Fact::Producer { number: own_number, name: &producer.name })?;
        for (name, id) in &producer.added {
            let added = Added { producer: own_number, id: *id, name };
            put(Fact::Added { number, added })?;
            number += 1;
        }
    }
    Some(())
}

/// A stream as a payload has it.
pub fn to_payload(stream: &Stream) -> StreamData {
    let entries = stream.range(StreamId::ZERO, StreamId::MAX).map(|entry| {
        let own = |text: &[u8]| Bytes::copy_from_slice(text);
        let fields: Fields = entry.fields().map(|(name, value)| (own(name), own(value))).collect();
        (entry.id, fields)
    });
    let numbers = stream.numbers();
    StreamData {
        entries: entries.collect(),
        last_id: numbers.last_id,
        first_id: stream.first().map_or(StreamId::ZERO, |entry| entry.id),
        max_deleted_id: numbers.max_deleted_id,
        entries_added: numbers.entries_added,
        groups: stream.groups().iter().map(group_to_payload).collect(),
        idempotence: idempotence_to_payload(stream.producers()),
    }
}

fn idempotence_to_payload(known: &Producers) -> plain::Idempotence {
    let producers = known.iter().map(|producer| {
        let added = producer.numbers().iter().filter_map(|number| known.added(*number));
        plain::Producer {
            name: Bytes::copy_from_slice(producer.name()),
            added: added.map(|added| (Bytes::copy_from_slice(added.name), added.id)).collect(),
        }
    });
    let Idempotence { duration_s, max_ids, added, duplicates } = known.state();
    plain::Idempotence { duration_s, max_ids, producers: producers.collect(), added, duplicates }
}

fn group_to_payload(group: &Group) -> plain::Group {
    let pending = group.pending().iter().map(|(id, delivery)| plain::Pending {
        id: *id,
        delivery_ms: delivery.at_ms(),
        delivery_count: delivery.count,
    });
    let consumers = group.consumers().map(|consumer| plain::Consumer {
        name: Bytes::copy_from_slice(consumer.name()),
        seen_ms: consumer.state().seen_ms,
        active_ms: consumer.state().active_ms,
        pending: consumer.pending().iter().copied().collect(),
    });
    plain::Group {
        name: Bytes::copy_from_slice(group.name()),
        last_id: group.state().last_id,
        entries_read: group.state().entries_read,
        pending: pending.collect(),
        consumers: consumers.collect(),
        released: group.released().values().copied().collect(),
    }
}
