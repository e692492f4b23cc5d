//! Payloads of RESTORE.

use std::borrow::Cow;

use bytes::Bytes;
use firn::rdb::payload::{self, Object, VERSION_MAX};
use firn::rdb::stream::StreamData;
use firn::value::string::StringRef;

use crate::seal;

/// Decodes bytes as RESTORE does, as they are and under a sound footer; what decodes must come back
/// the same through DUMP, and be no larger than was announced.
pub fn rdb_payload(data: &[u8]) {
    check(data);
    let Some((&version, body)) = data.split_first() else {
        return;
    };
    let payload = seal::rdb(body, u16::from(version) % (VERSION_MAX + 2));
    check(&payload);
}

fn check(bytes: &[u8]) {
    let announced = payload::value_bytes(bytes);
    let Ok(object) = payload::decode(bytes) else {
        return;
    };
    let size = size(&object);
    assert!(size <= announced, "{size} where {announced} were announced");
    if !matches!(object, Object::Stream(_)) {
        // The promise of `decode`: memory in proportion to what was sent. In a pack two bytes can
        // be a number of three digits; the fields of streams share memory instead.
        let most = bytes.len() * 88 * 2;
        assert!(size <= most as u64, "{size} of {}", bytes.len());
    }
    let dumped = dump(&object).concat();
    assert_eq!(payload::decode(&dumped).as_ref(), Ok(&object));
}

/// Bytes of all strings.
fn size(object: &Object<'_>) -> u64 {
    let sum = |strings: &[Cow<'_, [u8]>]| strings.iter().map(|string| string.len() as u64).sum();
    match object {
        Object::String(string) => string.len() as u64,
        Object::List(strings) | Object::Set(strings) => sum(strings),
        Object::Zset(members) => members.iter().map(|(member, _)| member.len() as u64).sum(),
        Object::Hash(fields) => {
            fields.iter().map(|field| (field.field.len() + field.value.len()) as u64).sum()
        }
        Object::Stream(stream) => stream_size(stream),
    }
}

fn stream_size(stream: &StreamData) -> u64 {
    let pairs = stream.entries.iter().flat_map(|(_, fields)| fields);
    let entries: u64 = pairs.map(|(field, value)| (field.len() + value.len()) as u64).sum();
    let groups = stream.groups.iter().map(|group| group.name.len() + 24 * group.pending.len());
    let producers = stream.idempotence.producers.iter().map(|producer| {
        let names = producer.added.iter().map(|(name, _)| name.len() + 16);
        producer.name.len() + names.sum::<usize>()
    });
    entries + (groups.sum::<usize>() + producers.sum::<usize>()) as u64
}

fn dump(object: &Object<'_>) -> Vec<Bytes> {
    match object {
        Object::String(bytes) => {
            payload::encode_string(&StringRef::Flat { bytes, shared: None, raw: false })
        }
        Object::List(elements) => {
            payload::encode_list(elements.len() as u64, elements.iter().map(AsRef::as_ref))
        }
        Object::Set(members) => {
            payload::encode_set(members.len() as u64, members.iter().map(AsRef::as_ref))
        }
        Object::Zset(members) => {
            let pairs = members.iter().map(|(member, score)| (member.as_ref(), *score));
            payload::encode_zset(members.len() as u64, pairs)
        }
        Object::Hash(fields) => {
            let parts = fields
                .iter()
                .map(|field| (field.field.as_ref(), field.value.as_ref(), field.deadline_ms));
            payload::encode_hash(fields.len() as u64, parts)
        }
        Object::Stream(stream) => payload::encode_stream(stream),
    }
}
