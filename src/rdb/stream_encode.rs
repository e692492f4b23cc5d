//! Writes streams, in the lowest version that expresses them.

use super::encode::Pieces;
use super::listpack::Builder;
use super::primitive::{encode_element, encode_length};
use super::stream::{Fields, Group, Idempotence, StreamData, StreamId};
use super::stream_decode::{FLAG_SAME_FIELDS, UNKNOWN};
use super::type_byte;

/// Most entries of a node, and the bytes behind its master entry from which on it is full: Redis's
/// defaults, but that long names of fields do not fill a node.
const NODE_ENTRIES_MAX: usize = 100;
const NODE_FULL_BYTES: usize = 4096;

/// The lowest type that expresses `stream`.
pub fn type_of(stream: &StreamData) -> u8 {
    if stream.groups.iter().any(|group| !group.released.is_empty()) {
        return type_byte::STREAM_5;
    }
    if stream.idempotence != Idempotence::default() {
        return type_byte::STREAM_4;
    }
    let mut consumers = stream.groups.iter().flat_map(|group| &group.consumers);
    if consumers.any(|consumer| consumer.active_ms != Some(consumer.seen_ms)) {
        return type_byte::STREAM_3;
    }
    let mut groups = stream.groups.iter();
    // Of a stream without entries Redis guesses that the highest ID comes first.
    let is_guessed = !stream.entries.is_empty()
        && stream.first_id == stream.lowest_id()
        && stream.max_deleted_id == StreamId::ZERO
        && stream.entries_added == stream.entries.len() as u64
        && groups.all(|group| group.entries_read == stream.guessed_entries_read(group.last_id));
    if is_guessed { type_byte::STREAM } else { type_byte::STREAM_2 }
}

/// Appends a stream as type `kind`, without its type byte.
pub fn encode(kind: u8, stream: &StreamData, out: &mut Pieces) {
    let mut nodes = Vec::new();
    let mut rest = &stream.entries[..];
    while !rest.is_empty() {
        let (node, tail) = rest.split_at(node_len(rest));
        nodes.push(node);
        rest = tail;
    }
    encode_length(nodes.len() as u64, out.open());
    for entries in nodes {
        let bytes = out.open();
        encode_length(16, bytes);
        put_id(entries[0].0, bytes);
        let pack = pack(entries);
        encode_length(pack.len() as u64, bytes);
        bytes.extend_from_slice(&pack);
    }
    let bytes = out.open();
    encode_length(stream.entries.len() as u64, bytes);
    put_short_id(stream.last_id, bytes);
    if kind != type_byte::STREAM {
        put_short_id(stream.first_id, bytes);
        put_short_id(stream.max_deleted_id, bytes);
        encode_length(stream.entries_added, bytes);
    }
    encode_length(stream.groups.len() as u64, bytes);
    stream.groups.iter().for_each(|group| put_group(kind, group, out));
    if kind >= type_byte::STREAM_4 {
        put_idempotence(&stream.idempotence, out);
    }
}

/// How many of the entries the first node takes.
fn node_len(entries: &[(StreamId, Fields)]) -> usize {
    let master = &entries[0].1;
    let mut bytes = 0;
    let full = entries.iter().position(|(_, fields)| {
        let is_full = bytes >= NODE_FULL_BYTES;
        let names = if has_fields_of(master, fields) { 0 } else { names_bytes(fields) };
        bytes += names + fields.iter().map(|(_, value)| value.len()).sum::<usize>();
        is_full
    });
    full.unwrap_or(entries.len()).min(NODE_ENTRIES_MAX)
}

fn names_bytes(fields: &Fields) -> usize {
    fields.iter().map(|(field, _)| field.len()).sum()
}

fn has_fields_of(master: &Fields, fields: &Fields) -> bool {
    master.iter().map(|(field, _)| field).eq(fields.iter().map(|(field, _)| field))
}

/// The listpack of a node whose master ID and fields are those of its first entry.
fn pack(entries: &[(StreamId, Fields)]) -> Vec<u8> {
    let (first_id, master) = &entries[0];
    let mut pack = Builder::new();
    pack.push_integer(entries.len() as i64);
    pack.push_integer(0);
    pack.push_integer(master.len() as i64);
    master.iter().for_each(|(field, _)| pack.push(field));
    pack.push_integer(0);
    for (id, fields) in entries {
        let same = has_fields_of(master, fields);
        pack.push_integer(if same { FLAG_SAME_FIELDS } else { 0 });
        pack.push_integer(id.ms.wrapping_sub(first_id.ms) as i64);
        pack.push_integer(id.seq.wrapping_sub(first_id.seq) as i64);
        if !same {
            pack.push_integer(fields.len() as i64);
        }
        for (field, value) in fields {
            if !same {
                pack.push(field);
            }
            pack.push(value);
        }
        let elements = if same { 3 + fields.len() } else { 4 + 2 * fields.len() };
        pack.push_integer(elements as i64);
    }
    pack.finish()
}

fn put_group(kind: u8, group: &Group, out: &mut Pieces) {
    let bytes = out.open();
    encode_element(&group.name, bytes);
    put_short_id(group.last_id, bytes);
    if kind != type_byte::STREAM {
        encode_length(group.entries_read.unwrap_or(UNKNOWN), bytes);
    }
    encode_length(group.pending.len() as u64, bytes);
    for pending in &group.pending {
        let bytes = out.open();
        put_id(pending.id, bytes);
        bytes.extend_from_slice(&pending.delivery_ms.to_le_bytes());
        encode_length(pending.delivery_count, bytes);
    }
    encode_length(group.consumers.len() as u64, out.open());
    for consumer in &group.consumers {
        let bytes = out.open();
        encode_element(&consumer.name, bytes);
        bytes.extend_from_slice(&consumer.seen_ms.to_le_bytes());
        if kind >= type_byte::STREAM_3 {
            bytes.extend_from_slice(&consumer.active_ms.unwrap_or(UNKNOWN).to_le_bytes());
        }
        encode_length(consumer.pending.len() as u64, bytes);
        consumer.pending.iter().for_each(|&id| put_id(id, out.open()));
    }
    if kind >= type_byte::STREAM_5 {
        encode_length(group.released.len() as u64, out.open());
        group.released.iter().for_each(|&id| put_id(id, out.open()));
    }
}

fn put_idempotence(known: &Idempotence, out: &mut Pieces) {
    let bytes = out.open();
    encode_length(known.duration_s, bytes);
    encode_length(known.max_ids, bytes);
    encode_length(known.producers.len() as u64, bytes);
    for producer in &known.producers {
        let bytes = out.open();
        encode_element(&producer.name, bytes);
        encode_length(producer.added.len() as u64, bytes);
        for (name, id) in &producer.added {
            let bytes = out.open();
            encode_element(name, bytes);
            put_short_id(*id, bytes);
        }
    }
    let bytes = out.open();
    encode_length(known.added, bytes);
    encode_length(known.duplicates, bytes);
}

/// An ID whole.
fn put_id(id: StreamId, out: &mut Vec<u8>) {
    out.extend_from_slice(&id.ms.to_be_bytes());
    out.extend_from_slice(&id.seq.to_be_bytes());
}

/// An ID as two lengths.
fn put_short_id(id: StreamId, out: &mut Vec<u8>) {
    encode_length(id.ms, out);
    encode_length(id.seq, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    /// The lengths of the nodes of entries with these names and lengths of values.
    fn nodes(entries: impl Iterator<Item = (String, usize)>) -> Vec<usize> {
        let entry = |(ms, (name, len)): (u64, (String, usize))| {
            let fields: Fields = vec![(Bytes::from(name), Bytes::from(vec![b'v'; len]))];
            (StreamId { ms, seq: 0 }, fields)
        };
        let entries: Vec<_> = (1..).zip(entries).map(entry).collect();
        let mut rest = &entries[..];
        let mut lens = Vec::new();
        while !rest.is_empty() {
            lens.push(node_len(rest));
            rest = &rest[node_len(rest)..];
        }
        lens
    }

    #[test]
    fn nodes_are_as_small_as_those_of_redis() {
        let same = |len| std::iter::repeat_n(("name".to_owned(), len), 250);
        assert_eq!(nodes(same(1)), [100, 100, 50]);
        assert_eq!(nodes(same(500))[..2], [9, 9], "full with 4500 bytes");
        assert_eq!(nodes(same(10_000))[..2], [1, 1]);
        let long = "n".repeat(100_000);
        assert_eq!(nodes(std::iter::repeat_n((long.clone(), 1), 100)), [100], "a shared name");
        let others = (0..3).map(|at| (format!("{at}{long}"), 1));
        assert_eq!(nodes(others), [2, 1], "names that are not shared fill a node");
    }
}
