//! How large a value is at most, found by skipping through its payload.
//!
//! Nothing is unpacked but the nodes of streams, one at a time: the names of fields, which their
//! entries share, make the decoded entries larger than any useful bound of a node's size.

use crate::error::DecodeError;

use super::primitive::Reader;
use super::stream_decode::{
    ADDED_BYTES_MIN, CONSUMER_BYTES_MIN, GROUP_BYTES_MIN, ID_BYTES, NODE_BYTES_MIN,
    PENDING_BYTES_MIN, PRODUCER_BYTES_MIN, each_entry, node,
};
use super::type_byte;

/// What comes upon an element that stands alone, for its lengths.
const ELEMENT_BYTES: u64 = 16;
/// A score, a deadline, a time or a count.
const NUMBER_BYTES: u64 = 8;
/// What a byte of a list, set or hash in a pack becomes at most, with three bytes upon each
/// element: numbers take two bytes for three digits.
const PACK_FACTOR: u64 = 3;
/// The same where some elements are scores or deadlines, of eight bytes.
const PACK_FACTOR_NUMBERS: u64 = 4;
/// The same of an intset, where numbers of two bytes have six characters.
const INTSET_FACTOR: u64 = 5;

/// A bound of the value at the front of a payload, its type byte included.
pub fn value_bytes(reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
    let kind = reader.byte()?;
    let mut total = 0u64;
    match kind {
        type_byte::STRING => return reader.string_bytes(),
        type_byte::LIST | type_byte::SET => repeated(reader, 1, &mut total, element)?,
        type_byte::ZSET => repeated(reader, 2, &mut total, |reader| {
            let member = element(reader)?;
            match reader.byte()? {
                253.. => {}
                len => drop(reader.take(u64::from(len))?),
            }
            Ok(member + NUMBER_BYTES)
        })?,
        type_byte::ZSET_BINARY => repeated(reader, 9, &mut total, |reader| {
            let member = element(reader)?;
            reader.array::<8>()?;
            Ok(member + NUMBER_BYTES)
        })?,
        type_byte::HASH => {
            repeated(reader, 2, &mut total, |reader| Ok(element(reader)? + element(reader)?))?;
        }
        type_byte::HASH_METADATA_EARLY | type_byte::HASH_METADATA => {
            if kind == type_byte::HASH_METADATA {
                reader.array::<8>()?;
            }
            repeated(reader, 3, &mut total, |reader| {
                reader.plain_length()?;
                Ok(NUMBER_BYTES + element(reader)? + element(reader)?)
            })?;
        }
        type_byte::LIST_QUICKLIST => {
            repeated(reader, 1, &mut total, |reader| pack(reader, PACK_FACTOR))?;
        }
        type_byte::LIST_QUICKLIST_2 => repeated(reader, 2, &mut total, |reader| {
            reader.plain_length()?;
            Ok(pack(reader, PACK_FACTOR)?.saturating_add(ELEMENT_BYTES))
        })?,
        type_byte::LIST_ZIPLIST
        | type_byte::HASH_ZIPMAP
        | type_byte::HASH_ZIPLIST
        | type_byte::HASH_LISTPACK
        | type_byte::SET_LISTPACK => total = pack(reader, PACK_FACTOR)?,
        type_byte::ZSET_ZIPLIST | type_byte::ZSET_LISTPACK | type_byte::HASH_LISTPACK_EX_EARLY => {
            total = pack(reader, PACK_FACTOR_NUMBERS)?;
        }
        type_byte::HASH_LISTPACK_EX => {
            reader.array::<8>()?;
            total = pack(reader, PACK_FACTOR_NUMBERS)?;
        }
        type_byte::SET_INTSET => total = pack(reader, INTSET_FACTOR)?,
        kind if type_byte::is_stream(kind) => total = stream(kind, reader)?,
        _ => return Err(reader.error("unknown type of value")),
    }
    Ok(total)
}

/// Adds what as many calls of `one` yield as the reader says.
fn repeated<'a>(
    reader: &mut Reader<'a>,
    bytes_min: usize,
    total: &mut u64,
    mut one: impl FnMut(&mut Reader<'a>) -> Result<u64, DecodeError>,
) -> Result<(), DecodeError> {
    for _ in 0..reader.count(bytes_min)? {
        *total = total.saturating_add(one(reader)?);
    }
    Ok(())
}

fn element(reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
    Ok(reader.string_bytes()? + ELEMENT_BYTES)
}

fn pack(reader: &mut Reader<'_>, factor: u64) -> Result<u64, DecodeError> {
    Ok(reader.string_bytes()?.saturating_mul(factor))
}

fn stream(kind: u8, reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
    let mut total = 0u64;
    repeated(reader, NODE_BYTES_MIN, &mut total, node_bytes)?;
    // Length and last ID, then first ID, highest deleted ID and how many were added.
    for _ in 0..if kind == type_byte::STREAM { 3 } else { 8 } {
        reader.plain_length()?;
    }
    total = total.saturating_add(8 * NUMBER_BYTES);
    repeated(reader, GROUP_BYTES_MIN, &mut total, |reader| group_bytes(kind, reader))?;
    if kind >= type_byte::STREAM_4 {
        total = total.saturating_add(idempotence_bytes(reader)?);
    }
    Ok(total)
}

fn idempotence_bytes(reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
    let mut total = 6 * NUMBER_BYTES;
    for _ in 0..2 {
        reader.plain_length()?;
    }
    repeated(reader, PRODUCER_BYTES_MIN, &mut total, |reader| {
        let mut total = element(reader)? + NUMBER_BYTES;
        repeated(reader, ADDED_BYTES_MIN, &mut total, |reader| {
            let name = element(reader)?;
            reader.plain_length()?;
            reader.plain_length()?;
            Ok(name + ID_BYTES as u64 + 2 * NUMBER_BYTES)
        })?;
        Ok(total)
    })?;
    Ok(total)
}

fn node_bytes(reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
    let (master, pack) = node(reader)?;
    let mut total = 0u64;
    each_entry(&pack, master, |_, fields| {
        let len = |element: super::packed::Element<'_>| element.text().len() as u64;
        let of_pair = |&(field, value): &_| len(field) + len(value) + 2 * ELEMENT_BYTES;
        let fields: u64 = fields.iter().map(of_pair).sum();
        total = total.saturating_add(fields + ID_BYTES as u64 + ELEMENT_BYTES);
        Ok(())
    })
    .map_err(|fault| reader.error(fault))?;
    Ok(total)
}

fn group_bytes(kind: u8, reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
    let mut total = element(reader)? + 3 * NUMBER_BYTES;
    // Last ID and how many entries were read.
    for _ in 0..if kind == type_byte::STREAM { 2 } else { 3 } {
        reader.plain_length()?;
    }
    repeated(reader, PENDING_BYTES_MIN, &mut total, |reader| {
        reader.array::<{ ID_BYTES + 8 }>()?;
        reader.plain_length()?;
        Ok(ID_BYTES as u64 + 2 * NUMBER_BYTES)
    })?;
    repeated(reader, CONSUMER_BYTES_MIN, &mut total, |reader| {
        let mut total = element(reader)? + 2 * NUMBER_BYTES;
        reader.take(if kind >= type_byte::STREAM_3 { 16 } else { 8 })?;
        repeated(reader, ID_BYTES, &mut total, |reader| {
            reader.array::<ID_BYTES>()?;
            Ok(ID_BYTES as u64)
        })?;
        Ok(total)
    })?;
    if kind >= type_byte::STREAM_5 {
        // Places are numbers, in the facts that were counted as pending.
        repeated(reader, ID_BYTES, &mut total, |reader| {
            reader.array::<ID_BYTES>()?;
            Ok(ID_BYTES as u64)
        })?;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use crate::rdb::listpack::Builder;
    use crate::rdb::payload::{decode_object, value_bytes};
    use crate::rdb::samples::sizes;

    /// What has to be covered of a value, and the bound.
    fn covered(body: &[u8]) -> (u64, u64) {
        let object = decode_object(body).unwrap();
        (sizes(&object).0 as u64, value_bytes(body))
    }

    /// Numbers of three digits in two bytes each, by turns with others.
    fn packed(kind: u8, others: &[i64]) -> Vec<u8> {
        let mut pack = Builder::new();
        for number in 100..=127 {
            pack.push_integer(number);
            others.iter().for_each(|other| pack.push_integer(*other));
        }
        let pack = pack.finish();
        [&[kind, 0x40, pack.len() as u8][..], &pack].concat()
    }

    #[test]
    fn numbers_in_packs_are_longer_as_text() {
        for body in [packed(20, &[]), packed(16, &[127]), packed(17, &[1]), packed(23, &[127, 1])] {
            let (size, bound) = covered(&body);
            assert!(size <= bound && bound <= 2 * size, "{size} and {bound}");
        }
        let numbers: Vec<u8> = (-32_768i16..-32_700).flat_map(i16::to_le_bytes).collect();
        let body = [&b"\x0b\x40\x90\x02\0\0\0\x44\0\0\0"[..], &numbers].concat();
        let (size, bound) = covered(&body);
        assert!(size <= bound && bound <= 2 * size, "{size} and {bound}");
    }

    #[test]
    fn compressed_packs_count_at_their_own_length() {
        // A node of a list that says that its twenty bytes unpack to a thousand.
        let node = [&b"\x02\xc3\x14\x43\xe8"[..], &[0; 20]].concat();
        let body = [&b"\x12\x02"[..], &node, &node].concat();
        assert_eq!(value_bytes(&body), 2 * (3 * 1000 + 16));
        assert_eq!(value_bytes(&body[..body.len() - 1]), 0, "a node is cut short");
    }

    #[test]
    fn a_value_that_is_refused_counts_nothing() {
        for body in [&b"\x01\x05\x01a"[..], b"\x04\x01\x01a", b"\x0f\x01\x00", b"\x07", b""] {
            assert_eq!(value_bytes(body), 0, "{body:?}");
        }
    }
}
