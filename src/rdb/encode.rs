//! Writes payloads of collections and streams.
//!
//! Of the encodings of a value the plainest is written, which the most servers read; they pack
//! small values again by themselves. Elements are not compressed, see [`encode_element`].

use bytes::Bytes;

use super::payload::finish;
use super::primitive::{encode_element, encode_length};
use super::stream::StreamData;
use super::{stream_encode, type_byte};

/// The RDB version of Redis 2.6, the first server with RESTORE.
const VERSION_PLAIN: u16 = 6;
/// The RDB version of Redis 4.0.
const VERSION_ZSET_BINARY: u16 = 8;
/// The RDB version of Redis 7.4.
const VERSION_HASH_METADATA: u16 = 12;

/// Size from which on a piece is closed, in bytes.
const PIECE_BYTES: usize = 1 << 20;

/// A payload that grows in pieces, so that a large one need not move.
pub struct Pieces {
    closed: Vec<Bytes>,
    open: Vec<u8>,
}

impl Pieces {
    fn new(kind: u8) -> Pieces {
        Pieces { closed: Vec::new(), open: vec![kind] }
    }

    /// Where the next bytes go.
    pub fn open(&mut self) -> &mut Vec<u8> {
        if self.open.len() >= PIECE_BYTES {
            let full = std::mem::replace(&mut self.open, Vec::with_capacity(PIECE_BYTES));
            self.closed.push(Bytes::from(full));
        }
        &mut self.open
    }

    fn element(&mut self, bytes: &[u8]) {
        encode_element(bytes, self.open());
    }

    fn finish(mut self, version: u16) -> Vec<Bytes> {
        self.closed.push(Bytes::from(self.open));
        finish(self.closed, version)
    }
}

/// The payload of a list of `count` elements, for servers since Redis 2.6.
///
/// # Panics
/// When there are more or fewer elements.
pub fn encode_list<'v>(count: u64, elements: impl Iterator<Item = &'v [u8]>) -> Vec<Bytes> {
    encode_strings(type_byte::LIST, count, elements)
}

/// The payload of a set of `count` members, for servers since Redis 2.6.
///
/// # Panics
/// When there are more or fewer members.
pub fn encode_set<'v>(count: u64, members: impl Iterator<Item = &'v [u8]>) -> Vec<Bytes> {
    encode_strings(type_byte::SET, count, members)
}

fn encode_strings<'v>(kind: u8, count: u64, strings: impl Iterator<Item = &'v [u8]>) -> Vec<Bytes> {
    let mut out = Pieces::new(kind);
    encode_length(count, out.open());
    let mut left = Countdown(count);
    for string in strings {
        left.step();
        out.element(string);
    }
    left.end();
    out.finish(VERSION_PLAIN)
}

/// The payload of a sorted set of `count` members, for servers since Redis 4.0: those before know
/// scores as text only.
///
/// # Panics
/// When there are more or fewer members.
pub fn encode_zset<'v>(count: u64, members: impl Iterator<Item = (&'v [u8], f64)>) -> Vec<Bytes> {
    let mut out = Pieces::new(type_byte::ZSET_BINARY);
    encode_length(count, out.open());
    let mut left = Countdown(count);
    for (member, score) in members {
        left.step();
        out.element(member);
        out.open().extend_from_slice(&score.to_le_bytes());
    }
    left.end();
    out.finish(VERSION_ZSET_BINARY)
}

/// The payload of a hash of `count` fields (field, value, deadline in milliseconds since 1970):
/// for servers since Redis 2.6 when no field has a deadline, else since Redis 7.4.
///
/// # Panics
/// When there are more or fewer fields.
pub fn encode_hash<'v>(
    count: u64,
    fields: impl Iterator<Item = (&'v [u8], &'v [u8], Option<u64>)> + Clone,
) -> Vec<Bytes> {
    let earliest_ms = fields.clone().filter_map(|(_, _, deadline_ms)| deadline_ms).min();
    let kind = if earliest_ms.is_some() { type_byte::HASH_METADATA } else { type_byte::HASH };
    let mut out = Pieces::new(kind);
    if let Some(earliest_ms) = earliest_ms {
        out.open().extend_from_slice(&earliest_ms.to_le_bytes());
    }
    encode_length(count, out.open());
    let mut left = Countdown(count);
    for (field, value, deadline_ms) in fields {
        left.step();
        if let Some(earliest_ms) = earliest_ms {
            // How long after the earliest, plus one; 0 is "never".
            let after = deadline_ms.map_or(0, |at| (at - earliest_ms).saturating_add(1));
            encode_length(after, out.open());
        }
        out.element(field);
        out.element(value);
    }
    left.end();
    out.finish(if earliest_ms.is_some() { VERSION_HASH_METADATA } else { VERSION_PLAIN })
}

/// The payload of a stream: for servers since Redis 5.0 when it is as if nothing had ever been
/// deleted from it and all consumers were active when last seen; else since 7.0 or, for consumers
/// that were not, 7.2, or 8.6 where entries are added once, or 8.8 where entries are pending that
/// nobody has.
///
/// # Panics
/// When an entry has 4 GiB; Redis takes entries below 1 GiB.
pub fn encode_stream(stream: &StreamData) -> Vec<Bytes> {
    let kind = stream_encode::type_of(stream);
    let mut out = Pieces::new(kind);
    stream_encode::encode(kind, stream, &mut out);
    out.finish(match kind {
        type_byte::STREAM => 9,
        type_byte::STREAM_2 => 10,
        type_byte::STREAM_3 => 11,
        type_byte::STREAM_4 => 13,
        _ => 14,
    })
}

/// Elements that are still to come.
struct Countdown(u64);

impl Countdown {
    fn step(&mut self) {
        self.0 = self.0.checked_sub(1).expect("no more elements than counted");
    }

    fn end(self) {
        assert!(self.0 == 0, "{} elements fewer than counted", self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rdb::object::Object;
    use crate::rdb::payload::decode;
    use crate::rdb::samples::check;
    use crate::rdb::stream::{Consumer, Group, Pending, Producer, StreamId};
    use proptest::collection::{btree_map, btree_set, vec};
    use proptest::prelude::*;

    fn version(pieces: &[Bytes]) -> u8 {
        pieces.last().expect("a footer")[0]
    }

    #[test]
    fn the_lowest_versions_are_written() {
        let list = encode_list(2, [&b"a"[..], b"7"].into_iter());
        assert_eq!(list.concat()[..8], *b"\x01\x02\x01a\xc0\x07\x06\x00");
        let set = encode_set(1, [&b"a"[..]].into_iter());
        assert_eq!(set.concat()[..6], *b"\x02\x01\x01a\x06\x00");
        let zset = encode_zset(1, [(&b"a"[..], 1.0)].into_iter());
        assert_eq!(zset.concat()[..14], *b"\x05\x01\x01a\0\0\0\0\0\0\xf0\x3f\x08\0");
        let hash = encode_hash(1, [(&b"a"[..], &b"b"[..], None)].into_iter());
        assert_eq!(hash.concat()[..8], *b"\x04\x01\x01a\x01b\x06\x00");
        let fields =
            [(&b"a"[..], &b"b"[..], Some(258)), (b"c", b"d", None), (b"e", b"f", Some(260))];
        let hash = encode_hash(3, fields.into_iter());
        let body = b"\x18\x02\x01\0\0\0\0\0\0\x03\x01\x01a\x01b\x00\x01c\x01d\x03\x01e\x01f\x0c";
        assert_eq!(hash.concat()[..body.len()], *body);
    }

    #[test]
    fn streams_take_the_lowest_version_that_expresses_them() {
        let id = StreamId { ms: 1, seq: 1 };
        let plain = StreamData {
            entries: vec![(id, vec![(Bytes::from_static(b"f"), Bytes::from_static(b"v"))])],
            last_id: id,
            first_id: id,
            entries_added: 1,
            groups: vec![Group { last_id: id, entries_read: Some(1), ..Group::default() }],
            ..StreamData::default()
        };
        let written = |change: &dyn Fn(&mut StreamData)| {
            let mut stream = plain.clone();
            change(&mut stream);
            let pieces = encode_stream(&stream);
            (pieces[0][0], version(&pieces))
        };
        assert_eq!(written(&|_| ()), (15, 9));
        assert_eq!(written(&|stream| stream.entries_added = 2), (19, 10));
        assert_eq!(written(&|stream| stream.max_deleted_id = id), (19, 10));
        assert_eq!(written(&|stream| stream.first_id = StreamId::ZERO), (19, 10));
        assert_eq!(written(&|stream| stream.groups[0].entries_read = None), (19, 10));
        let is_empty = |stream: &mut StreamData| {
            *stream = StreamData { last_id: id, ..StreamData::default() };
        };
        assert_eq!(written(&is_empty), (19, 10));
        let consumer = |seen_ms, active_ms| {
            move |stream: &mut StreamData| {
                let consumer = Consumer { seen_ms, active_ms, ..Consumer::default() };
                stream.groups[0].consumers.push(consumer);
            }
        };
        assert_eq!(written(&consumer(5, Some(5))), (15, 9));
        assert_eq!(written(&consumer(5, Some(4))), (21, 11));
        assert_eq!(written(&consumer(5, None)), (21, 11));
        assert_eq!(written(&|stream| stream.idempotence.max_ids = 99), (26, 13));
        assert_eq!(written(&|stream| stream.idempotence.duplicates = 1), (26, 13));
        let released = |stream: &mut StreamData| {
            let pending = Pending { id, delivery_ms: 0, delivery_count: 2 };
            stream.groups[0].pending.push(pending);
            stream.groups[0].released.push(id);
        };
        assert_eq!(written(&released), (27, 14));
    }

    #[test]
    fn large_collections_come_in_pieces() {
        let element = vec![b'x'; 100_000];
        let pieces = encode_list(50, std::iter::repeat_n(&element[..], 50));
        assert!(pieces.len() >= 5, "{}", pieces.len());
        let payload = pieces.concat();
        let Ok(Object::List(elements)) = decode(&payload) else { panic!("a list") };
        assert!(elements.len() == 50 && elements.iter().all(|read| **read == element));
    }

    #[test]
    #[should_panic(expected = "1 elements fewer than counted")]
    fn too_few_elements_are_a_bug() {
        encode_list(3, [&b"a"[..], b"b"].into_iter());
    }

    #[test]
    #[should_panic(expected = "no more elements than counted")]
    fn too_many_elements_are_a_bug() {
        encode_list(1, [&b"a"[..], b"b"].into_iter());
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            vec(any::<u8>(), 0..12),
            (any::<i64>(), 0u32..64).prop_map(|(n, by)| (n >> by).to_string().into_bytes()),
            (any::<u8>(), 0usize..5000).prop_map(|(byte, len)| vec![byte; len]),
        ]
    }

    fn score() -> impl Strategy<Value = f64> {
        any::<u64>().prop_map(f64::from_bits).prop_filter("a number", |score| !score.is_nan())
    }

    /// IDs with small gaps, and now and then a large one.
    fn ids(len: std::ops::Range<usize>) -> impl Strategy<Value = Vec<StreamId>> {
        let ms = prop_oneof![0u64..20, any::<u64>()];
        let set = btree_set((ms, prop_oneof![1u64..4, 1..u64::MAX]), len);
        set.prop_map(|set| set.into_iter().map(|(ms, seq)| StreamId { ms, seq }).collect())
    }

    fn group() -> impl Strategy<Value = Group> {
        let times = (0u64..1 << 50, proptest::option::of(0u64..1 << 50));
        let pending = (ids(0..6), 0u64..1 << 45, any::<u64>(), vec(0usize..3, 6));
        let read = proptest::option::of(0u64..1 << 60);
        (ids(1..2), read, pending, times).prop_map(|(last, entries_read, pending, times)| {
            let (ids, delivery_ms, delivery_count, owners) = pending;
            let names = [&b"one"[..], b"two", b""];
            let consumer = |at: usize| Consumer {
                name: Bytes::from_static(names[at]),
                seen_ms: times.0,
                active_ms: times.1,
                pending: ids
                    .iter()
                    .zip(&owners)
                    .filter(|(_, owner)| **owner == at)
                    .map(|(id, _)| *id)
                    .collect(),
            };
            let consumers = (0..3).map(consumer).collect();
            let pending =
                ids.iter().map(|&id| Pending { id, delivery_ms, delivery_count }).collect();
            Group {
                name: Bytes::new(),
                last_id: last[0],
                entries_read,
                pending,
                consumers,
                released: vec![],
            }
        })
    }

    type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

    fn stream() -> impl Strategy<Value = StreamData> {
        let fields = || (0usize..3, vec((text(), text()), 0..4));
        let entries = ids(0..260).prop_flat_map(move |ids| {
            let count = ids.len();
            (Just(ids), vec(fields(), count))
        });
        let groups = vec(group(), 0..3);
        let producers = vec((0u64..9, vec(text(), 1..5)), 0..3);
        (entries, groups, producers, 0u64..3, any::<u64>()).prop_map(
            |((ids, fields), groups, producers, extra, deleted)| {
                // Most entries have the same names, so that nodes share them.
                let shared = [vec![], vec!["a"], vec!["a", "b", "17"]];
                let entry = |(id, (kind, pairs)): (StreamId, (usize, Pairs))| {
                    let names = shared[kind].iter().map(|name| name.as_bytes().to_vec());
                    let fields: Vec<_> = match kind {
                        0 => pairs.into_iter().map(|(f, v)| (f.into(), v.into())).collect(),
                        _ => names.zip(pairs).map(|(f, (_, v))| (f.into(), v.into())).collect(),
                    };
                    (id, fields)
                };
                let entries: Vec<_> = ids.into_iter().zip(fields).map(entry).collect();
                let last_id = entries.last().map_or(StreamId::ZERO, |(id, _)| *id);
                let mut stream = StreamData { last_id, entries, ..StreamData::default() };
                stream.first_id = stream.lowest_id();
                stream.entries_added = stream.entries.len() as u64 + extra;
                if extra > 0 {
                    stream.max_deleted_id = StreamId { ms: deleted, seq: extra };
                }
                stream.groups = groups;
                for (at, group) in stream.groups.iter_mut().enumerate() {
                    group.name = Bytes::from(at.to_string());
                }
                for (at, (ms, names)) in producers.into_iter().enumerate() {
                    let known = &mut stream.idempotence;
                    known.duration_s = deleted;
                    let names = names.into_iter().collect::<std::collections::BTreeSet<_>>();
                    let ids = (1..).map(|seq| StreamId { ms, seq });
                    let added = names.into_iter().map(Bytes::from).zip(ids).collect();
                    known.producers.push(Producer { name: Bytes::from(at.to_string()), added });
                }
                stream
            },
        )
    }

    proptest! {
        #[test]
        fn lists_come_back(elements in vec(text(), 1..50)) {
            let slices = elements.iter().map(|element| &element[..]);
            let payload = encode_list(elements.len() as u64, slices).concat();
            let list = elements.iter().map(|element| element.into()).collect();
            prop_assert_eq!(decode(&payload), Ok(Object::List(list)));
            prop_assert!(check(&payload, "list"));
        }

        #[test]
        fn sets_come_back(members in btree_set(text(), 1..50)) {
            let slices = members.iter().map(|member| &member[..]);
            let payload = encode_set(members.len() as u64, slices).concat();
            let set = members.iter().map(|member| member.into()).collect();
            prop_assert_eq!(decode(&payload), Ok(Object::Set(set)));
            prop_assert!(check(&payload, "set"));
        }

        #[test]
        fn zsets_come_back(members in btree_map(text(), score(), 1..50)) {
            let pairs = members.iter().map(|(member, score)| (&member[..], *score));
            let payload = encode_zset(members.len() as u64, pairs).concat();
            let Ok(Object::Zset(read)) = decode(&payload) else { panic!("a sorted set") };
            let bits = |score: f64| score.to_bits();
            prop_assert!(read.iter().map(|(m, s)| (m.as_ref(), bits(*s)))
                .eq(members.iter().map(|(m, s)| (&m[..], bits(*s)))));
            prop_assert!(check(&payload, "sorted set"));
        }

        #[test]
        fn hashes_come_back(
            fields in btree_map(text(), (text(), proptest::option::of(1u64..1 << 48)), 1..50)
        ) {
            let parts = fields.iter().map(|(field, (value, at))| (&field[..], &value[..], *at));
            let payload = encode_hash(fields.len() as u64, parts.clone()).concat();
            let Ok(Object::Hash(read)) = decode(&payload) else { panic!("a hash") };
            let read = read.iter();
            let read = read.map(|f| (f.field.as_ref(), f.value.as_ref(), f.deadline_ms));
            prop_assert!(read.eq(parts));
            prop_assert!(check(&payload, "hash"));
        }

        #[test]
        fn streams_come_back(stream in stream()) {
            let payload = encode_stream(&stream).concat();
            prop_assert_eq!(decode(&payload), Ok(Object::Stream(Box::new(stream))));
            prop_assert!(check(&payload, "stream"));
        }

        #[test]
        fn any_body_of_any_type_is_read_or_refused(
            kind in 0u8..27, body in vec(any::<u8>(), 0..60)
        ) {
            let body = [&[kind][..], &body].concat();
            check(&finish(vec![Bytes::from(body)], 12).concat(), "random body");
        }
    }
}
