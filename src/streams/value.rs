//! Streams between the keyspace and commands.

use crate::command::args::Args;
use crate::command::collection::{GoneMembers, stream_of};
use crate::command::spec::{Failure, quoted};
use crate::engine::unit::{Key, Unit};
use crate::format::edit::Edit;
use crate::resp::write::Reply;
use crate::types::ValueKind;
use crate::value::stream::Stream;
use crate::value::stream_chunk::{Entry, Numbers};
use crate::value::stream_fact::{Delivery, Fact, Topic};
use crate::value::stream_groups::Group;
use crate::value::stream_id::StreamId;

/// The byte of kind and encoding: there is one encoding.
pub const SHAPE: u8 = ValueKind::Stream.shape(0);

/// A bound of what a fact takes in a record, in bytes, beside its name.
pub const FACT_BYTES: u64 = 96;

/// What the key adds to the frame of a call that writes up to five records, each of which names it;
/// the request has it once.
pub fn key_bytes(args: &Args<'_>) -> u64 {
    4 * args.get(1).len() as u64
}

/// The stream that a command reads, none where there is no key.
pub fn read_stream<'u>(
    unit: &'u mut Unit<'_>,
    key: &Key<'_>,
) -> Result<Option<&'u Stream>, Failure> {
    unit.get(key).map(|view| stream_of(&view)).transpose()
}

/// The stream that a command changes, none where there is no key.
pub fn stream_to_change<'u>(
    unit: &'u mut Unit<'_>,
    key: &Key<'_>,
) -> Result<Option<&'u Stream>, Failure> {
    unit.get_to_change(key).map(|view| stream_of(&view)).transpose()
}

/// Facts on their way into a stream.
#[derive(Default)]
pub struct NewFacts(Vec<u8>);

impl NewFacts {
    /// Adds one.
    pub fn push(&mut self, fact: &Fact<'_>) {
        fact.encode(&mut self.0);
    }

    /// Puts them there; a key that is not live becomes a stream.
    pub fn put(&self, unit: &mut Unit<'_>, key: &Key<'_>) {
        if !self.0.is_empty() {
            unit.edit(key, SHAPE, Edit::Put { items: &self.0 });
        }
    }
}

/// The stream with the group that a command names, none where either is not there.
pub fn with_group<'u>(stream: Option<&'u Stream>, name: &[u8]) -> Option<(&'u Stream, &'u Group)> {
    stream.and_then(|stream| Some((stream, stream.groups().get(name)?)))
}

/// Deletes entries that are there, each named once and ascending.
pub fn delete_entries<'i>(
    unit: &mut Unit<'_>,
    key: &Key<'_>,
    ids: impl IntoIterator<Item = &'i StreamId>,
) {
    let mut bytes = Vec::new();
    ids.into_iter().for_each(|id| id.encode(&mut bytes));
    if !bytes.is_empty() {
        unit.edit(key, SHAPE, Edit::Delete { ids: &bytes });
    }
}

/// Takes facts out, with those that depend on them.
pub fn remove_facts<'t>(
    unit: &mut Unit<'_>,
    key: &Key<'_>,
    topics: impl Iterator<Item = Topic<'t>>,
) {
    let mut gone = GoneMembers::default();
    topics.for_each(|topic| gone.push(&topic.encode()));
    if !gone.is_empty() {
        unit.edit(key, SHAPE, gone.edit());
    }
}

/// How many entries were added up to an ID, as Redis counts for groups; none where that cannot be
/// told. The cases are those of `streamEstimateDistanceFromFirstEverEntry`.
pub fn entries_up_to(stream: &Stream, id: StreamId) -> Option<u64> {
    let Numbers { last_id, max_deleted_id, entries_added } = *stream.numbers();
    if entries_added == 0 {
        return Some(0);
    }
    if stream.is_empty() && id <= last_id {
        return Some(entries_added);
    }
    if id != StreamId::ZERO && id < max_deleted_id || id > last_id {
        return None;
    }
    if id == last_id {
        return Some(entries_added);
    }
    let first_id = stream.first().map_or(StreamId::ZERO, |entry| entry.id);
    let is_whole = max_deleted_id == StreamId::ZERO || max_deleted_id < first_id;
    let before = entries_added.saturating_sub(stream.len());
    match id.cmp(&first_id) {
        std::cmp::Ordering::Less if is_whole => Some(before),
        std::cmp::Ordering::Equal if is_whole => Some(before + 1),
        _ => None,
    }
}

/// Whether entries behind an ID were deleted by name.
pub fn has_gap_behind(stream: &Stream, id: StreamId) -> bool {
    let highest = stream.numbers().max_deleted_id;
    !stream.is_empty() && highest != StreamId::ZERO && id <= highest
}

/// What XGROUP and XINFO say where a stream has no such group.
pub fn no_group(key: &Key<'_>, group: &[u8]) -> Failure {
    let (key, group) = (quoted(key.bytes), quoted(group));
    let text = b"NOGROUP No such consumer group '";
    Failure::quoting(&[text, group, b"' for key name '", key, b"'"])
}

/// What is pending of a group, for the record of a delivery.
pub fn pending(group: &Group, id: StreamId, delivery: Delivery) -> Fact<'static> {
    Fact::Pending { group: group.state().number, id, delivery }
}

/// Replies with an ID.
pub fn reply_id(reply: &mut Reply<'_>, id: StreamId) {
    // Two numbers of twenty digits, and what is between them.
    let mut text = [0; 41];
    let mut at = text.len();
    for (number, mark) in [(id.seq, b'-'), (id.ms, 0)] {
        let mut left = number;
        loop {
            at -= 1;
            text[at] = b'0' + (left % 10) as u8;
            left /= 10;
            if left == 0 {
                break;
            }
        }
        if mark != 0 {
            at -= 1;
            text[at] = mark;
        }
    }
    reply.bulk(&text[at..]);
}

/// Replies with an entry: its ID, then fields and values.
pub fn reply_entry(reply: &mut Reply<'_>, entry: &Entry<'_>) {
    reply.array(2);
    reply_id(reply, entry.id);
    reply_fields(reply, entry);
}

/// Replies with the fields and values of an entry.
pub fn reply_fields(reply: &mut Reply<'_>, entry: &Entry<'_>) {
    reply.array(2 * entry.len as usize);
    for (field, value) in entry.fields() {
        reply.bulk(field);
        reply.bulk(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::write::{Output, Protocol};

    #[test]
    fn ids_are_written_in_decimal() {
        let highest = "18446744073709551615-18446744073709551615";
        let cases =
            [(0, 0, "0-0"), (1526985054069, 10, "1526985054069-10"), (u64::MAX, u64::MAX, highest)];
        for (ms, seq, text) in cases {
            let mut output = Output::default();
            reply_id(&mut Reply::new(&mut output, Protocol::Resp2), StreamId { ms, seq });
            let reply = format!("${}\r\n{text}\r\n", text.len());
            assert_eq!(output.plain(), Some(reply.as_bytes()));
        }
    }
}
