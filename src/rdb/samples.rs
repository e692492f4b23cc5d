//! Payloads of every type and what servers show of them, and what becomes of them when damaged.
//!
//! The samples stand in `samples.txt`, which says where they come from.

use std::borrow::Cow;
use std::fmt::Write;

use crate::rdb::crc64;
use crate::rdb::object::Object;
use crate::rdb::payload::{
    PayloadError, decode, decode_object, encode_hash, encode_list, encode_set, encode_stream,
    encode_zset, value_bytes,
};
use crate::rdb::stream::{StreamData, StreamId};

/// Version and checksum.
const FOOTER_BYTES: usize = 10;

struct Sample {
    name: &'static str,
    payload: Vec<u8>,
    shown: &'static str,
}

fn samples() -> Vec<Sample> {
    let text = include_str!("samples.txt");
    let (_, blocks) = text.split_once("\n\n").expect("a head");
    let sample = |block: &'static str| {
        let (name, rest) = block.split_once('\n').expect("a name");
        let (hex, shown) = rest.split_once('\n').expect("a payload");
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex digits");
        let payload = (0..hex.len()).step_by(2).map(byte).collect();
        Sample { name, payload, shown }
    };
    blocks.trim_end().split("\n\n").map(sample).collect()
}

/// A payload of this body that no checksum keeps out.
fn sealed(body: &[u8], version: [u8; 2]) -> Vec<u8> {
    let summed = [body, &version].concat();
    [&summed[..], &crc64::sum(&summed).to_le_bytes()].concat()
}

/// A string as one word.
fn word(text: &[u8]) -> String {
    if text.is_empty() {
        return "%".to_owned();
    }
    if text.len() > 30 && text.iter().all(|byte| *byte == text[0]) {
        return format!("{}*{}", word(&text[..1]), text.len());
    }
    let mut out = String::new();
    for &byte in text {
        match byte {
            b'%' | b'*' | b'@' => write!(out, "%{byte:02x}"),
            0x21..=0x7e => write!(out, "{}", char::from(byte)),
            _ => write!(out, "%{byte:02x}"),
        }
        .expect("a string takes all");
    }
    out
}

fn number(score: f64) -> String {
    match score.fract() == 0.0 && score.abs() < 1e15 {
        true => format!("{score}"),
        false => format!("{score:?}"),
    }
}

fn joined(kind: &str, mut words: Vec<(&[u8], String)>, is_sorted: bool) -> String {
    if !is_sorted {
        words.sort();
    }
    words.iter().fold(kind.to_owned(), |line, (_, word)| line + " " + word)
}

/// A value as `samples.txt` shows it.
pub fn show(object: &Object<'_>) -> String {
    match object {
        Object::String(text) => format!("string {}", word(text)),
        Object::List(elements) => {
            joined("list", elements.iter().map(|text| (&text[..], word(text))).collect(), true)
        }
        Object::Set(members) => {
            joined("set", members.iter().map(|text| (&text[..], word(text))).collect(), false)
        }
        Object::Zset(members) => {
            let shown = members
                .iter()
                .map(|(member, score)| (&member[..], word(member) + " " + &number(*score)));
            joined("zset", shown.collect(), false)
        }
        Object::Hash(fields) => {
            let shown = fields.iter().map(|field| {
                let deadline = field.deadline_ms.map_or(String::new(), |at| format!("@{at}"));
                (&field.field[..], word(&field.field) + " " + &word(&field.value) + &deadline)
            });
            joined("hash", shown.collect(), false)
        }
        Object::Stream(stream) => show_stream(stream),
    }
}

fn id(id: StreamId) -> String {
    format!("{}-{}", id.ms, id.seq)
}

fn show_stream(stream: &StreamData) -> String {
    let [last, first, deleted] = [stream.last_id, stream.first_id, stream.max_deleted_id].map(id);
    let mut lines = vec![format!(
        "stream last {last} first {first} deleted {deleted} added {}",
        stream.entries_added
    )];
    for (entry_id, fields) in &stream.entries {
        let words = fields.iter().map(|(field, value)| format!(" {} {}", word(field), word(value)));
        lines.push(format!("entry {}{}", id(*entry_id), words.collect::<String>()));
    }
    let known = |number: Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
    let mut groups: Vec<_> = stream.groups.iter().collect();
    groups.sort_by_key(|group| &group.name);
    for group in groups {
        let read = known(group.entries_read);
        lines.push(format!("group {} last {} read {read}", word(&group.name), id(group.last_id)));
        for entry in &group.pending {
            let times = (entry.delivery_ms, entry.delivery_count);
            lines.push(format!("pending {} {} {}", id(entry.id), times.0, times.1));
        }
        let mut consumers: Vec<_> = group.consumers.iter().collect();
        consumers.sort_by_key(|consumer| &consumer.name);
        for consumer in consumers {
            let owned: String =
                consumer.pending.iter().map(|pending| format!(" {}", id(*pending))).collect();
            let (name, active) = (word(&consumer.name), known(consumer.active_ms));
            lines.push(format!("consumer {name} seen {} active {active}{owned}", consumer.seen_ms));
        }
    }
    lines.join("\n")
}

/// The payload that DUMP would make of a value.
pub fn encoded(object: &Object<'_>) -> Vec<u8> {
    let pieces = match object {
        Object::String(text) => {
            let value =
                crate::value::string::StringRef::Flat { bytes: text, shared: None, raw: false };
            crate::rdb::payload::encode_string(&value)
        }
        Object::List(elements) => {
            encode_list(elements.len() as u64, elements.iter().map(AsRef::as_ref))
        }
        Object::Set(members) => encode_set(members.len() as u64, members.iter().map(AsRef::as_ref)),
        Object::Zset(members) => {
            let scored = members.iter().map(|(member, score)| (&member[..], *score));
            encode_zset(members.len() as u64, scored)
        }
        Object::Hash(fields) => {
            let fields_of =
                fields.iter().map(|field| (&field.field[..], &field.value[..], field.deadline_ms));
            encode_hash(fields.len() as u64, fields_of)
        }
        Object::Stream(stream) => encode_stream(stream),
    };
    pieces.concat()
}

/// What [`value_bytes`] has to cover, and how much memory the value takes.
pub fn sizes(object: &Object<'_>) -> (usize, usize) {
    let lens = |texts: &[Cow<'_, [u8]>]| -> (usize, usize) {
        let bytes: usize = texts.iter().map(|text| text.len()).sum();
        (bytes + 3 * texts.len(), bytes + 24 * texts.len())
    };
    match object {
        Object::String(text) => (text.len(), text.len()),
        Object::List(texts) | Object::Set(texts) => lens(texts),
        Object::Zset(members) => {
            let bytes: usize = members.iter().map(|(member, _)| member.len()).sum();
            (bytes + 11 * members.len(), bytes + 32 * members.len())
        }
        Object::Hash(fields) => {
            let bytes: usize =
                fields.iter().map(|field| field.field.len() + field.value.len()).sum();
            let deadlines = fields.iter().filter(|field| field.deadline_ms.is_some()).count();
            (bytes + 6 * fields.len() + 8 * deadlines, bytes + 64 * fields.len())
        }
        Object::Stream(stream) => stream_sizes(stream),
    }
}

/// Memory without the names of fields, which entries share.
fn stream_sizes(stream: &StreamData) -> (usize, usize) {
    let (mut bytes, mut memory) = (48, 0);
    for (_, fields) in &stream.entries {
        bytes += 16 + 3;
        memory += 40;
        for (field, value) in fields {
            bytes += field.len() + value.len() + 6;
            memory += value.len() + 64;
        }
    }
    for group in &stream.groups {
        bytes += group.name.len() + 3 + 24 + 32 * group.pending.len();
        memory += bytes;
        for consumer in &group.consumers {
            bytes += consumer.name.len() + 3 + 16 + 16 * consumer.pending.len();
            memory += consumer.name.len() + 100 + 16 * consumer.pending.len();
        }
    }
    for producer in &stream.idempotence.producers {
        bytes += producer.name.len() + 3;
        memory += producer.name.len() + 100;
        for (name, _) in &producer.added {
            bytes += name.len() + 3 + 16;
            memory += name.len() + 64;
        }
    }
    (bytes, memory)
}

/// Holds for whatever is decoded: it is no larger than announced, in proportion to its payload, and
/// comes back from its own payload.
pub fn check(payload: &[u8], context: &str) -> bool {
    let bound = value_bytes(payload);
    let object = match decode(payload) {
        Ok(object) => object,
        Err(PayloadError::Value(_)) => return false,
        Err(PayloadError::Footer) => panic!("{context}: the footer is sound"),
    };
    let (bytes, memory) = sizes(&object);
    assert!(bytes as u64 <= bound, "{context}: {bytes} bytes where {bound} were announced");
    let most = payload.len() * 88 * 64;
    assert!(memory <= most, "{context}: {memory} bytes of {}", payload.len());
    assert_eq!(decode(&encoded(&object)).as_ref(), Ok(&object), "{context}");
    true
}

#[test]
fn samples_are_what_servers_show() {
    let samples = samples();
    assert!(samples.len() > 80);
    for sample in &samples {
        let object = decode(&sample.payload);
        let shown = object.as_ref().map(show);
        assert_eq!(shown.as_deref(), Ok(sample.shown), "{}", sample.name);
        assert!(check(&sample.payload, sample.name));
    }
}

#[test]
fn every_type_has_a_sample() {
    let mut kinds: Vec<u8> = samples().iter().map(|sample| sample.payload[0]).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let all: Vec<u8> = (0..=25).filter(|kind| !(6..=8).contains(kind)).collect();
    assert_eq!(kinds, all);
}

#[test]
fn truncated_samples_are_refused() {
    for sample in samples() {
        let body = &sample.payload[..sample.payload.len() - FOOTER_BYTES];
        for len in 0..body.len() {
            // In front of a footer, a value may reach into it, as in Redis.
            let context = format!("{} cut to {len}", sample.name);
            assert!(decode_object(&body[..len]).is_err(), "{context}");
            check(&sealed(&body[..len], [6, 0]), &context);
        }
    }
}

#[test]
fn samples_with_a_flipped_bit_are_read_or_refused() {
    for sample in samples() {
        let body = &sample.payload[..sample.payload.len() - FOOTER_BYTES];
        for bit in 0..body.len() * 8 {
            let mut damaged = body.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            check(&sealed(&damaged, [6, 0]), &format!("{}, bit {bit}", sample.name));
        }
    }
}
