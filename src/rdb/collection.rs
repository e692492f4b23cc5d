//! Reads lists, sets, sorted sets and hashes, in every encoding that Redis has written.
//!
//! What Redis refuses when it checks payloads deeply is refused: empty collections, members and
//! fields that come twice, names without values, malformed packs, deadlines out of range or out
//! of order, scores that are no numbers. What only Firn refuses, because no server writes it:
//! unused bytes behind a zipmap's end, and packed scores that are NaN or no numbers from their
//! first to their last byte.

use std::borrow::Cow;

use crate::error::DecodeError;

use super::object::{HashField, Object};
use super::packed::Form;
use super::primitive::Reader;
use super::type_byte;

/// Nodes of a quicklist: one element, or a listpack.
const NODE_PLAIN: u64 = 1;
const NODE_PACKED: u64 = 2;
/// Length bytes that stand for a score without text.
const SCORE_NAN: u8 = 253;
const SCORE_INFINITY: u8 = 254;
const SCORE_MINUS_INFINITY: u8 = 255;
/// Latest deadline of a field that Redis takes, in milliseconds since 1970.
const FIELD_DEADLINE_MAX_MS: u64 = (1 << 48) - 1;

type Strings<'a> = Vec<Cow<'a, [u8]>>;
type Scored<'a> = Vec<(Cow<'a, [u8]>, f64)>;

/// The collection of type `kind` at the front.
///
/// # Errors
/// When it is malformed, or `kind` is no collection.
pub fn decode<'a>(kind: u8, reader: &mut Reader<'a>) -> Result<Object<'a>, DecodeError> {
    match kind {
        type_byte::LIST => strings(reader).map(Object::List),
        type_byte::SET => strings(reader).and_then(|members| set(reader, members)),
        type_byte::ZSET | type_byte::ZSET_BINARY => {
            let members = scored(kind, reader)?;
            zset(reader, members)
        }
        type_byte::HASH => {
            let count = reader.count_some(2)?;
            fields(reader, count, |_| Ok(None))
        }
        type_byte::HASH_METADATA_EARLY => {
            let count = reader.count_some(3)?;
            fields(reader, count, |reader| Ok(Some(reader.plain_length()?).filter(|&at| at > 0)))
        }
        type_byte::HASH_METADATA => fields_with_deadlines(reader),
        type_byte::LIST_ZIPLIST => pack(reader, Form::Ziplist).map(Object::List),
        type_byte::LIST_QUICKLIST => {
            quicklist(reader, 1, |_| Ok(NODE_PACKED), Form::Ziplist).map(Object::List)
        }
        type_byte::LIST_QUICKLIST_2 => {
            quicklist(reader, 2, Reader::plain_length, Form::Listpack).map(Object::List)
        }
        type_byte::SET_INTSET => pack(reader, Form::Intset).map(Object::Set),
        type_byte::SET_LISTPACK => {
            pack(reader, Form::Listpack).and_then(|members| set(reader, members))
        }
        type_byte::ZSET_ZIPLIST => packed_zset(reader, Form::Ziplist),
        type_byte::ZSET_LISTPACK => packed_zset(reader, Form::Listpack),
        type_byte::HASH_ZIPMAP => packed_hash(reader, Form::Zipmap, 2),
        type_byte::HASH_ZIPLIST => packed_hash(reader, Form::Ziplist, 2),
        type_byte::HASH_LISTPACK => packed_hash(reader, Form::Listpack, 2),
        type_byte::HASH_LISTPACK_EX_EARLY => packed_hash(reader, Form::Listpack, 3),
        type_byte::HASH_LISTPACK_EX => {
            // The earliest deadline, which the fields tell as well.
            reader.array::<8>()?;
            packed_hash(reader, Form::Listpack, 3)
        }
        _ => Err(reader.error("unknown type of value")),
    }
}

fn strings<'a>(reader: &mut Reader<'a>) -> Result<Strings<'a>, DecodeError> {
    let count = reader.count_some(1)?;
    let mut strings = Vec::with_capacity(count);
    for _ in 0..count {
        strings.push(reader.string()?);
    }
    Ok(strings)
}

/// The elements of a pack, of which there is at least one.
fn pack<'a>(reader: &mut Reader<'a>, form: Form) -> Result<Strings<'a>, DecodeError> {
    let packed = reader.string()?;
    let mut elements = Vec::new();
    form.unpack(packed, &mut elements).map_err(|fault| reader.error(fault))?;
    match elements.is_empty() {
        true => Err(reader.error("collection is empty")),
        false => Ok(elements),
    }
}

/// The elements of a list in nodes of at least `node_bytes_min`, of which each begins with its
/// kind. Redis takes packs without elements, as long as another node has some.
fn quicklist<'a>(
    reader: &mut Reader<'a>,
    node_bytes_min: usize,
    node_kind: impl Fn(&mut Reader<'a>) -> Result<u64, DecodeError>,
    form: Form,
) -> Result<Strings<'a>, DecodeError> {
    let mut elements = Vec::new();
    for _ in 0..reader.count_some(node_bytes_min)? {
        let kind = node_kind(reader)?;
        let node = reader.string()?;
        match kind {
            NODE_PLAIN if node.is_empty() => {
                return Err(reader.error("node of a list is empty"));
            }
            NODE_PLAIN => elements.push(node),
            NODE_PACKED => {
                form.unpack(node, &mut elements).map_err(|fault| reader.error(fault))?;
            }
            _ => return Err(reader.error("unknown kind of a list's node")),
        }
    }
    match elements.is_empty() {
        true => Err(reader.error("collection is empty")),
        false => Ok(elements),
    }
}

/// Whether no name comes twice.
pub fn are_unique<'n>(names: impl Iterator<Item = &'n [u8]>) -> bool {
    let mut names: Vec<&[u8]> = names.collect();
    names.sort_unstable();
    names.is_sorted_by(|a, b| a < b)
}

fn set<'a>(reader: &Reader<'a>, members: Strings<'a>) -> Result<Object<'a>, DecodeError> {
    match are_unique(members.iter().map(AsRef::as_ref)) {
        true => Ok(Object::Set(members)),
        false => Err(reader.error("member comes twice")),
    }
}

/// Members and scores that stand as strings and numbers.
fn scored<'a>(kind: u8, reader: &mut Reader<'a>) -> Result<Scored<'a>, DecodeError> {
    let binary = kind == type_byte::ZSET_BINARY;
    let count = reader.count_some(if binary { 9 } else { 2 })?;
    let mut members = Vec::with_capacity(count);
    for _ in 0..count {
        let member = reader.string()?;
        let score = match binary {
            true => f64::from_le_bytes(reader.array()?),
            false => text_score(reader)?,
        };
        members.push((member, score));
    }
    Ok(members)
}

/// A score as text behind its length, or a length byte that stands for a score.
fn text_score(reader: &mut Reader<'_>) -> Result<f64, DecodeError> {
    match reader.byte()? {
        SCORE_NAN => Ok(f64::NAN),
        SCORE_INFINITY => Ok(f64::INFINITY),
        SCORE_MINUS_INFINITY => Ok(f64::NEG_INFINITY),
        len => {
            let text = reader.take(u64::from(len))?;
            score(text).ok_or(reader.error("score is not a number"))
        }
    }
}

fn score(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn zset<'a>(reader: &Reader<'a>, members: Scored<'a>) -> Result<Object<'a>, DecodeError> {
    if members.iter().any(|(_, score)| score.is_nan()) {
        return Err(reader.error("score is not a number"));
    }
    match are_unique(members.iter().map(|(member, _)| member.as_ref())) {
        true => Ok(Object::Zset(members)),
        false => Err(reader.error("member comes twice")),
    }
}

fn packed_zset<'a>(reader: &mut Reader<'a>, form: Form) -> Result<Object<'a>, DecodeError> {
    let elements = pack(reader, form)?;
    if elements.len() % 2 != 0 {
        return Err(reader.error("member without a score"));
    }
    let mut members = Vec::with_capacity(elements.len() / 2);
    let mut elements = elements.into_iter();
    while let (Some(member), Some(text)) = (elements.next(), elements.next()) {
        let score = score(&text).ok_or(reader.error("score is not a number"))?;
        members.push((member, score));
    }
    zset(reader, members)
}

/// Fields in front of which `deadline` reads when they expire.
fn fields<'a>(
    reader: &mut Reader<'a>,
    count: usize,
    deadline: impl Fn(&mut Reader<'a>) -> Result<Option<u64>, DecodeError>,
) -> Result<Object<'a>, DecodeError> {
    let mut fields = Vec::with_capacity(count);
    for _ in 0..count {
        let deadline_ms = deadline(reader)?;
        let (field, value) = (reader.string()?, reader.string()?);
        fields.push(HashField { field, value, deadline_ms });
    }
    hash(reader, fields)
}

/// Fields whose deadlines are kept relative to the earliest, plus one; 0 is none.
fn fields_with_deadlines<'a>(reader: &mut Reader<'a>) -> Result<Object<'a>, DecodeError> {
    let earliest_ms = u64::from_le_bytes(reader.array()?);
    let count = reader.count_some(3)?;
    fields(reader, count, |reader| match reader.plain_length()? {
        0 => Ok(None),
        after => match earliest_ms.checked_add(after - 1) {
            Some(at) => Ok(Some(at)),
            None => Err(reader.error("deadline is out of range")),
        },
    })
}

/// A pack whose elements come by `width`: name, value and, with three of them, deadline.
fn packed_hash<'a>(
    reader: &mut Reader<'a>,
    form: Form,
    width: usize,
) -> Result<Object<'a>, DecodeError> {
    let elements = pack(reader, form)?;
    if elements.len() % width != 0 {
        return Err(reader.error("field without a value"));
    }
    let mut fields = Vec::with_capacity(elements.len() / width);
    let mut elements = elements.into_iter();
    while let (Some(field), Some(value)) = (elements.next(), elements.next()) {
        let deadline_ms = match width {
            3 => deadline(reader, elements.next())?,
            _ => None,
        };
        fields.push(HashField { field, value, deadline_ms });
    }
    let never_last = |field: &HashField<'_>| field.deadline_ms.unwrap_or(u64::MAX);
    if !fields.is_sorted_by_key(never_last) {
        return Err(reader.error("fields are not in the order of their deadlines"));
    }
    hash(reader, fields)
}

/// A deadline as a number; 0 is none.
fn deadline(reader: &Reader<'_>, text: Option<Cow<'_, [u8]>>) -> Result<Option<u64>, DecodeError> {
    let number = text.and_then(|text| std::str::from_utf8(&text).ok()?.parse::<u64>().ok());
    let at = number.ok_or(reader.error("deadline is not a number"))?;
    Ok((at > 0).then_some(at))
}

fn hash<'a>(reader: &Reader<'a>, fields: Vec<HashField<'a>>) -> Result<Object<'a>, DecodeError> {
    if fields.iter().any(|field| field.deadline_ms.is_some_and(|at| at > FIELD_DEADLINE_MAX_MS)) {
        return Err(reader.error("deadline is out of range"));
    }
    match are_unique(fields.iter().map(|field| field.field.as_ref())) {
        true => Ok(Object::Hash(fields)),
        false => Err(reader.error("field comes twice")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rdb::listpack::Builder;
    use crate::rdb::payload::decode_object;

    /// A type byte and a listpack.
    fn packed(kind: u8, elements: &[&str]) -> Vec<u8> {
        [&[kind][..], &node(elements)].concat()
    }

    fn node(elements: &[&str]) -> Vec<u8> {
        let mut pack = Builder::new();
        elements.iter().for_each(|element| pack.push(element.as_bytes()));
        let pack = pack.finish();
        [&[pack.len() as u8][..], &pack].concat()
    }

    fn reason(body: &[u8]) -> &'static str {
        decode_object(body).map_or_else(|error| error.reason, |_| "")
    }

    #[test]
    fn empty_collections_are_refused() {
        let empty = "collection is empty";
        for kind in [1, 2, 3, 4, 5, 14, 18, 22] {
            assert_eq!(reason(&[kind, 0]), empty, "type {kind}");
        }
        for kind in [16, 17, 20, 23] {
            assert_eq!(reason(&packed(kind, &[])), empty, "type {kind}");
        }
        for kind in [10, 12, 13] {
            let ziplist = b"\x0b\x0b\0\0\0\x0a\0\0\0\0\0\xff";
            assert_eq!(reason(&[&[kind][..], ziplist].concat()), empty, "type {kind}");
        }
        assert_eq!(reason(b"\x09\x02\x00\xff"), empty);
        assert_eq!(reason(b"\x0b\x08\x02\0\0\0\0\0\0\0"), empty);
        assert_eq!(reason(b"\x18\0\0\0\0\0\0\0\0\0"), empty);
        assert_eq!(reason(&[&[25; 9][..], &node(&[])].concat()), empty);
        assert_eq!(reason(&[&b"\x12\x01\x02"[..], &node(&[])].concat()), empty);
        assert_eq!(reason(b"\x12\x02\x01\x00\x01\x01x"), "node of a list is empty");
    }

    #[test]
    fn members_and_fields_come_once() {
        let twice = "member comes twice";
        assert_eq!(reason(b"\x02\x03\x01a\x01b\x01a"), twice);
        assert_eq!(reason(b"\x02\x02\xc0\x07\x017"), twice, "a number and its text");
        assert_eq!(reason(b"\x03\x02\x01a\x011\x01a\x012"), twice);
        assert_eq!(reason(&packed(20, &["a", "b", "a"])), twice);
        assert_eq!(reason(&packed(17, &["a", "1", "a", "2"])), twice);
        assert_eq!(reason(b"\x04\x02\x01a\x011\x01a\x012"), "field comes twice");
        assert_eq!(reason(&packed(16, &["a", "1", "a", "2"])), "field comes twice");
        assert_eq!(reason(b"\x01\x02\x01a\x01a"), "", "elements of a list may be equal");
    }

    #[test]
    fn members_and_fields_come_with_their_other_half() {
        assert_eq!(reason(&packed(16, &["a", "1", "b"])), "field without a value");
        assert_eq!(reason(&packed(17, &["a", "1", "b"])), "member without a score");
        assert_eq!(reason(&packed(23, &["a", "1", "0", "b"])), "field without a value");
    }

    #[test]
    fn scores_are_numbers() {
        let not = "score is not a number";
        for text in ["nan", "NaN", "-nan", "", "x", "1x", " 1", "0x10"] {
            assert_eq!(reason(&packed(17, &["a", text])), not, "{text:?}");
        }
        assert_eq!(reason(b"\x03\x01\x01a\xfd"), not);
        assert_eq!(reason(b"\x03\x01\x01a\x03nan"), not);
        let nan = [&b"\x05\x01\x01a"[..], &f64::NAN.to_le_bytes()].concat();
        assert_eq!(reason(&nan), not);
        for text in ["inf", "-inf", "1e400", "-0", "1e-7"] {
            assert_eq!(reason(&packed(17, &["a", text])), "", "{text:?}");
        }
    }

    #[test]
    fn deadlines_are_in_range_and_in_order() {
        let out_of_range = "deadline is out of range";
        let relative = |earliest: u64, after: &[u8]| {
            [&[24][..], &earliest.to_le_bytes(), b"\x01", after, b"\x01a\x01b"].concat()
        };
        assert_eq!(reason(&relative(FIELD_DEADLINE_MAX_MS - 1, b"\x02")), "");
        assert_eq!(reason(&relative(FIELD_DEADLINE_MAX_MS - 1, b"\x03")), out_of_range);
        assert_eq!(reason(&relative(u64::MAX, b"\x02")), out_of_range);
        assert_eq!(reason(&relative(u64::MAX, b"\x00")), "");
        let ex = |words: &[&str]| reason(&packed(23, words));
        assert_eq!(ex(&["a", "1", "281474976710655"]), "");
        assert_eq!(ex(&["a", "1", "281474976710656"]), out_of_range);
        assert_eq!(ex(&["a", "1", "-5"]), "deadline is not a number");
        let disorder = "fields are not in the order of their deadlines";
        assert_eq!(ex(&["a", "1", "7", "b", "1", "7", "c", "1", "8", "d", "1", "0"]), "");
        assert_eq!(ex(&["a", "1", "7", "b", "1", "6"]), disorder);
        assert_eq!(ex(&["a", "1", "0", "b", "1", "6"]), disorder);
    }

    #[test]
    fn nodes_of_lists_are_plain_or_packed() {
        assert_eq!(reason(b"\x12\x01\x03\x01x"), "unknown kind of a list's node");
        assert_eq!(reason(b"\x12\x01\x01\x01x"), "");
    }

    #[test]
    fn counts_reserve_no_more_than_there_is() {
        for kind in [1, 2, 3, 4, 5, 14, 18, 22] {
            let body = [&[kind, 0x80][..], &[0xff; 4], &[0; 50]].concat();
            assert_eq!(reason(&body), "more elements than bytes", "type {kind}");
            let body = [&[kind, 51][..], &[0; 50]].concat();
            assert_eq!(reason(&body), "more elements than bytes", "type {kind}");
        }
    }

    #[test]
    fn unknown_types_are_refused() {
        for kind in [6, 7, 8, 28, 29, 255] {
            assert_eq!(reason(&[kind, 1, 1, b'a']), "unknown type of value", "type {kind}");
        }
    }

    #[test]
    fn elements_are_borrowed_where_their_pack_is() {
        let body = packed(20, &["member"]);
        let Ok(Object::Set(members)) = decode_object(&body) else { panic!("a set") };
        assert!(matches!(&members[..], [Cow::Borrowed(b"member")]));
    }
}
