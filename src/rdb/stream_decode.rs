//! Reads streams.
//!
//! Entries stand in nodes: a master ID, to which the IDs of the entries are relative, and a
//! listpack. It begins with the master entry, `live deleted n field.. 0`, whose n fields those
//! entries share that are flagged so. Each entry is `flags ms seq value.. elements` with these
//! fields, or `flags ms seq n, field value.. elements`; `elements` counts those in front of it.
//!
//! Redis checks the listpacks, and that names and pending entries fit together. Firn refuses as
//! well what no server writes: entries out of order or above the stream's last ID, a length or a
//! count of live entries that is wrong, a pending entry that two consumers have, and times before
//! 1970.

use std::borrow::Cow;

use bytes::Bytes;

use crate::error::DecodeError;

use super::collection::are_unique;
use super::listpack::Elements;
use super::packed::{Element, Fault};
use super::primitive::Reader;
use super::stream::{
    Consumer, Fields, Group, Idempotence, Pending, Producer, StreamData, StreamId,
};
use super::type_byte;

const FLAG_DELETED: i64 = 1;
/// The entry has the fields of the master entry.
pub const FLAG_SAME_FIELDS: i64 = 2;
/// Fewest bytes of a node: the key, its length and that of a listpack.
pub const NODE_BYTES_MIN: usize = 18;
/// Bytes of a pending entry at least: ID, time, count.
pub const PENDING_BYTES_MIN: usize = 25;
/// Fewest bytes of a group: name, ID, number of pending entries and of consumers.
pub const GROUP_BYTES_MIN: usize = 5;
/// Fewest bytes of a consumer: name, time, number of pending entries.
pub const CONSUMER_BYTES_MIN: usize = 10;
/// Fewest bytes of a producer: name, number of names.
pub const PRODUCER_BYTES_MIN: usize = 2;
/// Fewest bytes of the name of an entry: the name, an ID as two lengths.
pub const ADDED_BYTES_MIN: usize = 3;
/// Bytes of an ID that stands whole.
pub const ID_BYTES: usize = 16;
/// A count or a time that is not known.
pub const UNKNOWN: u64 = u64::MAX;

/// The stream of type `kind` at the front.
///
/// # Errors
/// When it is malformed. Memory is in proportion to the listpacks, decompressed: 64 bytes for
/// each value, which takes two there at least.
pub fn decode(kind: u8, reader: &mut Reader<'_>) -> Result<StreamData, DecodeError> {
    let mut stream = StreamData::default();
    for _ in 0..reader.count(NODE_BYTES_MIN)? {
        let (master, pack) = node(reader)?;
        let pack = Bytes::from(pack.into_owned());
        let entries = &mut stream.entries;
        each_entry(&pack, master, |id, fields| append(entries, id, fields, &pack))
            .map_err(|fault| reader.error(fault))?;
    }
    if reader.plain_length()? != stream.entries.len() as u64 {
        return Err(reader.error("stream has another length than it says"));
    }
    stream.last_id = short_id(reader)?;
    if stream.entries.last().is_some_and(|(id, _)| *id > stream.last_id) {
        return Err(reader.error("stream has entries above its last ID"));
    }
    // The recorded first ID is not needed: it is that of the first entry. Servers that have
    // upgraded an empty stream record one that is not.
    stream.first_id = stream.lowest_id();
    if kind == type_byte::STREAM {
        stream.entries_added = stream.entries.len() as u64;
    } else {
        short_id(reader)?;
        stream.max_deleted_id = short_id(reader)?;
        stream.entries_added = reader.plain_length()?;
    }
    for _ in 0..reader.count(GROUP_BYTES_MIN)? {
        let group = group(kind, &stream, reader)?;
        stream.groups.push(group);
    }
    if !are_unique(stream.groups.iter().map(|group| &group.name[..])) {
        return Err(reader.error("group comes twice"));
    }
    if kind >= type_byte::STREAM_4 {
        stream.idempotence = idempotence(reader)?;
    }
    Ok(stream)
}

/// Master ID and listpack of a node.
///
/// # Errors
/// When it is cut short, or its key is no ID.
pub fn node<'a>(reader: &mut Reader<'a>) -> Result<(StreamId, Cow<'a, [u8]>), DecodeError> {
    let key = reader.string()?;
    let key = key.as_ref().try_into().map_err(|_| reader.error("key of a node is not an ID"))?;
    Ok((whole_id(key), reader.string()?))
}

fn whole_id(bytes: [u8; ID_BYTES]) -> StreamId {
    let both = u128::from_be_bytes(bytes);
    StreamId { ms: (both >> 64) as u64, seq: both as u64 }
}

/// An ID as two lengths.
fn short_id(reader: &mut Reader<'_>) -> Result<StreamId, DecodeError> {
    Ok(StreamId { ms: reader.plain_length()?, seq: reader.plain_length()? })
}

/// Calls `each` with all live entries of a node.
///
/// # Errors
/// When the node is malformed, or `each` finds fault with an entry.
pub fn each_entry<'p>(
    pack: &'p [u8],
    master: StreamId,
    mut each: impl FnMut(StreamId, &[(Element<'p>, Element<'p>)]) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut pack = Node(Elements::new(pack)?);
    let (live, deleted) = (pack.count()?, pack.count()?);
    let mut shared = Vec::new();
    for _ in 0..pack.count()? {
        shared.push(pack.element()?);
    }
    if pack.integer()? != 0 {
        return Err("master entry of a stream has no end");
    }
    let mut live_left = live;
    let mut pairs = Vec::new();
    // Two numbers below 2^63.
    for _ in 0..live + deleted {
        let flags = pack.integer()?;
        let (ms, seq) = (pack.integer()? as u64, pack.integer()? as u64);
        let id = StreamId { ms: master.ms.wrapping_add(ms), seq: master.seq.wrapping_add(seq) };
        pack.entry(flags, &shared, &mut pairs)?;
        if flags & FLAG_DELETED == 0 {
            live_left = live_left.checked_sub(1).ok_or("more live entries than counted")?;
            each(id, &pairs)?;
        }
    }
    if live_left > 0 {
        return Err("fewer live entries than counted");
    }
    match pack.0.next() {
        None => Ok(()),
        Some(element) => element.and(Err("node of a stream goes on behind its entries")),
    }
}

/// The elements of a node's listpack.
struct Node<'p>(Elements<'p>);

impl<'p> Node<'p> {
    fn element(&mut self) -> Result<Element<'p>, Fault> {
        self.0.next().unwrap_or(Err("node of a stream is cut short"))
    }

    fn integer(&mut self) -> Result<i64, Fault> {
        self.element()?.integer().ok_or("text where a node of a stream has a number")
    }

    fn count(&mut self) -> Result<u64, Fault> {
        let count = u64::try_from(self.integer()?);
        count.map_err(|_| "node of a stream counts below zero")
    }

    /// Fields and values of an entry, and the count behind them.
    fn entry(
        &mut self,
        flags: i64,
        shared: &[Element<'p>],
        pairs: &mut Vec<(Element<'p>, Element<'p>)>,
    ) -> Result<(), Fault> {
        pairs.clear();
        let elements = if flags & FLAG_SAME_FIELDS != 0 {
            for &field in shared {
                pairs.push((field, self.element()?));
            }
            3 + pairs.len()
        } else {
            for _ in 0..self.count()? {
                pairs.push((self.element()?, self.element()?));
            }
            4 + 2 * pairs.len()
        };
        match self.integer()? == elements as i64 {
            true => Ok(()),
            false => Err("entry of a stream has another count than it says"),
        }
    }
}

fn append(
    entries: &mut Vec<(StreamId, Fields)>,
    id: StreamId,
    fields: &[(Element<'_>, Element<'_>)],
    pack: &Bytes,
) -> Result<(), Fault> {
    if id <= entries.last().map_or(StreamId::ZERO, |(last, _)| *last) {
        return Err("entries of a stream are out of order");
    }
    let owned = |element: Element<'_>| match element {
        Element::Text(text) => pack.slice_ref(text),
        Element::Integer(_) => Bytes::from(element.text().into_owned()),
    };
    let fields = fields.iter().map(|&(field, value)| (owned(field), owned(value)));
    entries.push((id, fields.collect()));
    Ok(())
}

fn group(kind: u8, stream: &StreamData, reader: &mut Reader<'_>) -> Result<Group, DecodeError> {
    let name = Bytes::from(reader.string()?.into_owned());
    let last_id = short_id(reader)?;
    let entries_read = match kind {
        type_byte::STREAM => stream.guessed_entries_read(last_id),
        // Below zero is unknown.
        _ => Some(reader.plain_length()?).filter(|&count| i64::try_from(count).is_ok()),
    };
    let mut pending = Vec::new();
    for _ in 0..reader.count(PENDING_BYTES_MIN)? {
        let id = whole_id(reader.array()?);
        let (delivery_ms, delivery_count) = (time(reader)?, reader.plain_length()?);
        pending.push(Pending { id, delivery_ms, delivery_count });
    }
    pending.sort_unstable_by_key(|entry| entry.id);
    if !pending.is_sorted_by(|a, b| a.id < b.id) {
        return Err(reader.error("pending entry comes twice"));
    }
    let mut consumers = Vec::new();
    for _ in 0..reader.count(CONSUMER_BYTES_MIN)? {
        consumers.push(consumer(kind, reader)?);
    }
    if !are_unique(consumers.iter().map(|consumer| &consumer.name[..])) {
        return Err(reader.error("consumer comes twice"));
    }
    let mut released = Vec::new();
    if kind >= type_byte::STREAM_5 {
        for _ in 0..reader.count(ID_BYTES)? {
            released.push(whole_id(reader.array()?));
        }
    }
    let mut owned: Vec<StreamId> =
        consumers.iter().flat_map(|consumer| consumer.pending.iter().copied()).collect();
    owned.extend(&released);
    owned.sort_unstable();
    if !owned.iter().eq(pending.iter().map(|entry| &entry.id)) {
        return Err(reader.error("pending entries of consumers are not those of their group"));
    }
    // Redis notes no time where nobody has an entry.
    for id in &released {
        if let Ok(at) = pending.binary_search_by_key(id, |entry| entry.id) {
            pending[at].delivery_ms = 0;
        }
    }
    Ok(Group { name, last_id, entries_read, pending, consumers, released })
}

fn consumer(kind: u8, reader: &mut Reader<'_>) -> Result<Consumer, DecodeError> {
    let name = Bytes::from(reader.string()?.into_owned());
    let seen_ms = time(reader)?;
    let active_ms = match kind {
        type_byte::STREAM_3.. => match u64::from_le_bytes(reader.array()?) {
            UNKNOWN => None,
            ms => Some(checked_time(reader, ms)?),
        },
        _ => Some(seen_ms),
    };
    let count = reader.count(ID_BYTES)?;
    let mut pending = Vec::with_capacity(count);
    for _ in 0..count {
        pending.push(whole_id(reader.array()?));
    }
    pending.sort_unstable();
    Ok(Consumer { name, seen_ms, active_ms, pending })
}

fn idempotence(reader: &mut Reader<'_>) -> Result<Idempotence, DecodeError> {
    let (duration_s, max_ids) = (reader.plain_length()?, reader.plain_length()?);
    let mut producers = Vec::new();
    for _ in 0..reader.count(PRODUCER_BYTES_MIN)? {
        let name = Bytes::from(reader.string()?.into_owned());
        let mut added = Vec::new();
        for _ in 0..reader.count(ADDED_BYTES_MIN)? {
            added.push((Bytes::from(reader.string()?.into_owned()), short_id(reader)?));
        }
        if !are_unique(added.iter().map(|(name, _)| &name[..])) {
            return Err(reader.error("name of an entry comes twice"));
        }
        // Redis has producers of which nothing is known any more, for a moment.
        if !added.is_empty() {
            producers.push(Producer { name, added });
        }
    }
    if !are_unique(producers.iter().map(|producer| &producer.name[..])) {
        return Err(reader.error("producer comes twice"));
    }
    let (added, duplicates) = (reader.plain_length()?, reader.plain_length()?);
    Ok(Idempotence { duration_s, max_ids, producers, added, duplicates })
}

fn time(reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
    let ms = u64::from_le_bytes(reader.array()?);
    checked_time(reader, ms)
}

fn checked_time(reader: &Reader<'_>, ms: u64) -> Result<u64, DecodeError> {
    match i64::try_from(ms) {
        Ok(_) => Ok(ms),
        Err(_) => Err(reader.error("time before 1970")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rdb::listpack::Builder;
    use crate::rdb::object::Object;
    use crate::rdb::payload::{self, PayloadError, encode_stream, value_bytes};

    fn id(ms: u64, seq: u64) -> StreamId {
        StreamId { ms, seq }
    }

    fn fields(names: &'static str) -> Fields {
        names.split(' ').map(|name| (Bytes::from(name), Bytes::from_static(b"v"))).collect()
    }

    /// Two entries, a group, two consumers, one pending entry.
    fn sample() -> StreamData {
        let consumer = |name, pending| Consumer {
            name: Bytes::from_static(name),
            seen_ms: 7,
            active_ms: None,
            pending,
        };
        let pending = Pending { id: id(1, 1), delivery_ms: 9, delivery_count: 2 };
        let group = Group {
            name: Bytes::from_static(b"g"),
            last_id: id(1, 1),
            entries_read: Some(1),
            pending: vec![pending],
            consumers: vec![consumer(b"a", vec![id(1, 1)]), consumer(b"b", vec![])],
            released: vec![],
        };
        StreamData {
            entries: vec![(id(1, 1), fields("x y")), (id(2, 0), fields("x"))],
            last_id: id(3, 0),
            first_id: id(1, 1),
            max_deleted_id: id(3, 0),
            entries_added: 3,
            groups: vec![group],
            ..StreamData::default()
        }
    }

    /// One that producers added to.
    fn produced() -> StreamData {
        let name = Bytes::from_static(b"p");
        let added =
            vec![(Bytes::from_static(b"12"), id(1, 1)), (Bytes::from_static(b"xx"), id(2, 0))];
        let producers = vec![Producer { name, added }];
        let idempotence =
            Idempotence { duration_s: 7, max_ids: 9, producers, added: 5, duplicates: 300 };
        StreamData { idempotence, ..sample() }
    }

    /// Why a stream is refused that its encoder wrote without looking.
    fn reason(change: impl Fn(&mut StreamData)) -> &'static str {
        let mut stream = sample();
        change(&mut stream);
        match payload::decode(&encode_stream(&stream).concat()) {
            Err(PayloadError::Value(error)) => error.reason,
            _ => "",
        }
    }

    #[test]
    fn streams_hold_together() {
        assert_eq!(reason(|_| ()), "");
        let disorder = "entries of a stream are out of order";
        assert_eq!(reason(|stream| stream.entries[1].0 = id(1, 1)), disorder);
        assert_eq!(reason(|stream| stream.entries.swap(0, 1)), disorder);
        assert_eq!(reason(|stream| stream.entries[0].0 = StreamId::ZERO), disorder);
        let above = "stream has entries above its last ID";
        assert_eq!(reason(|stream| stream.last_id = id(1, 9)), above);
        assert_eq!(reason(|stream| stream.last_id = id(2, 0)), "");
    }

    #[test]
    fn lengths_and_sizes_of_keys_are_checked() {
        let reason = |body: &[u8]| payload::decode_object(body).map_err(|error| error.reason).err();
        assert_eq!(reason(b"\x0f\0\0\0\0\0"), None);
        let length = Some("stream has another length than it says");
        assert_eq!(reason(b"\x0f\0\x01\0\0\0"), length);
        let key = Some("key of a node is not an ID");
        assert_eq!(reason(&[&b"\x0f\x01\x0f"[..], &[0; 30]].concat()), key);
    }

    #[test]
    fn groups_and_consumers_come_once() {
        let twice = |stream: &mut StreamData| stream.groups.push(stream.groups[0].clone());
        assert_eq!(reason(twice), "group comes twice");
        let twice = |stream: &mut StreamData| stream.groups[0].consumers[1].name = "a".into();
        assert_eq!(reason(twice), "consumer comes twice");
    }

    #[test]
    fn a_pending_entry_is_that_of_one_consumer() {
        let fault = "pending entries of consumers are not those of their group";
        let pending = |owner: usize, pending: Vec<StreamId>| {
            reason(|stream| stream.groups[0].consumers[owner].pending = pending.clone())
        };
        assert_eq!(pending(0, vec![]), fault, "nobody's");
        assert_eq!(pending(1, vec![id(1, 1)]), fault, "that of two");
        assert_eq!(pending(0, vec![id(1, 1), id(2, 0)]), fault, "not in the group");
        assert_eq!(pending(0, vec![id(1, 1), id(1, 1)]), fault, "twice that of one");
        let twice = |stream: &mut StreamData| {
            let group = &mut stream.groups[0];
            group.pending.push(group.pending[0]);
        };
        assert_eq!(reason(twice), "pending entry comes twice");
    }

    #[test]
    fn what_was_added_once_comes_back() {
        let stream = produced();
        let payload = encode_stream(&stream).concat();
        let Ok(Object::Stream(read)) = payload::decode(&payload) else { panic!("a stream") };
        assert_eq!(*read, stream);
        let reason = |change: fn(&mut Idempotence)| {
            let mut stream = produced();
            change(&mut stream.idempotence);
            match payload::decode(&encode_stream(&stream).concat()) {
                Err(PayloadError::Value(error)) => error.reason,
                _ => "",
            }
        };
        let twice = |known: &mut Idempotence| known.producers.push(known.producers[0].clone());
        assert_eq!(reason(twice), "producer comes twice");
        let twice = |known: &mut Idempotence| known.producers[0].added[1].0 = "12".into();
        assert_eq!(reason(twice), "name of an entry comes twice");
        // The layout that Redis 8.6 writes: settings, producers with what they added, two counts.
        let tail = b"\x07\x09\x01\x01p\x02\xc0\x0c\x01\x01\x02xx\x02\x00\x05\x41\x2c";
        let end = payload.len() - 10;
        assert_eq!((payload[0], &payload[end - tail.len()..end]), (26, &tail[..]));
        assert_eq!(payload[end..end + 2], [13, 0]);
    }

    #[test]
    fn a_pending_entry_may_be_nobodys() {
        let mut stream = sample();
        let group = &mut stream.groups[0];
        let pending = |ms| Pending { id: id(ms, 1), delivery_ms: 0, delivery_count: 3 };
        group.pending.extend([pending(2), pending(4)]);
        group.released = vec![id(4, 1), id(2, 1)];
        let payload = encode_stream(&stream).concat();
        let Ok(Object::Stream(read)) = payload::decode(&payload) else { panic!("a stream") };
        assert_eq!((*read, payload[0]), (stream.clone(), 27));
        let fault = "pending entries of consumers are not those of their group";
        let released = |released: Vec<StreamId>| {
            reason(|changed| {
                *changed = stream.clone();
                changed.groups[0].released = released.clone();
            })
        };
        assert_eq!(released(vec![id(4, 1)]), fault, "one is missing");
        assert_eq!(released(vec![id(4, 1), id(2, 1), id(2, 1)]), fault, "one comes twice");
        assert_eq!(released(vec![id(4, 1), id(2, 1), id(1, 1)]), fault, "one is a consumer's");
    }

    #[test]
    fn times_are_not_before_1970() {
        let fault = "time before 1970";
        let group = |change: fn(&mut Group)| reason(|stream| change(&mut stream.groups[0]));
        assert_eq!(group(|group| group.pending[0].delivery_ms = 1 << 63), fault);
        assert_eq!(group(|group| group.consumers[0].seen_ms = 1 << 63), fault);
        assert_eq!(group(|group| group.consumers[0].active_ms = Some(u64::MAX - 1)), fault);
    }

    /// Whether a node of these numbers is read; `f` stands for the text `f`.
    fn node_fault(numbers: &str) -> &'static str {
        let mut pack = Builder::new();
        numbers.split_whitespace().for_each(|word| pack.push(word.as_bytes()));
        each_entry(&pack.finish(), id(5, 5), |_, _| Ok(())).err().unwrap_or_default()
    }

    #[test]
    fn nodes_hold_what_they_count() {
        assert_eq!(node_fault("1 1 1 f 0  2 0 0 v 4  3 0 1 v 4"), "");
        assert_eq!(node_fault("1 0 0 0  0 0 0 1 f v 6"), "");
        assert_eq!(
            node_fault("1 0 0 0  0 0 0 1 f v 5"),
            "entry of a stream has another count than it says"
        );
        assert_eq!(
            node_fault("2 0 1 f 0  2 0 0 v 4  3 0 1 v 4"),
            "fewer live entries than counted"
        );
        assert_eq!(node_fault("0 1 1 f 0  2 0 0 v 4"), "more live entries than counted");
        assert_eq!(node_fault("1 1 1 f 0  2 0 0 v 4"), "node of a stream is cut short");
        assert_eq!(
            node_fault("1 0 1 f 0  2 0 0 v 4 1"),
            "node of a stream goes on behind its entries"
        );
        assert_eq!(node_fault("1 0 1 f 1  2 0 0 v 4"), "master entry of a stream has no end");
        assert_eq!(node_fault("1 0 -1 0"), "node of a stream counts below zero");
        assert_eq!(node_fault("1 0 f 0"), "text where a node of a stream has a number");
        assert_eq!(
            node_fault("9223372036854775807 9223372036854775807 0 0"),
            "node of a stream is cut short"
        );
        assert_eq!(node_fault(""), "node of a stream is cut short");
    }

    #[test]
    fn ids_are_relative_and_wrap() {
        let mut pack = Builder::new();
        for number in [2, 0, 0, 0, 2, 0, -5, 3, 2, 1, -6, 3] {
            pack.push_integer(number);
        }
        let mut ids = Vec::new();
        let taken = each_entry(&pack.finish(), id(5, 5), |id, _| {
            ids.push(id);
            Ok(())
        });
        assert_eq!((taken, ids), (Ok(()), vec![id(5, 0), id(6, u64::MAX)]));
    }

    #[test]
    fn names_that_entries_share_take_memory_once() {
        let name = Bytes::from(vec![b'n'; 1 << 20]);
        let entry = |at: u64| (id(at, 0), vec![(name.clone(), Bytes::from_static(b"v"))]);
        let entries: Vec<_> = (1..=100).map(entry).collect();
        let last_id = id(100, 0);
        let stream = StreamData {
            entries,
            last_id,
            first_id: id(1, 0),
            entries_added: 100,
            ..Default::default()
        };
        let payload = encode_stream(&stream).concat();
        assert!(payload.len() < 2 << 20, "{}", payload.len());
        assert!(value_bytes(&payload) > 100 << 20, "and count each time");
        let Ok(Object::Stream(read)) = payload::decode(&payload) else { panic!("a stream") };
        assert_eq!(*read, stream);
        let place = |at: usize| read.entries[at].1[0].0.as_ptr();
        assert_eq!(place(0), place(99));
    }
}
