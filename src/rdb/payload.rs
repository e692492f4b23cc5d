//! A value on its way between servers: type byte, RDB value, RDB version, CRC-64.
//!
//! Every version up to Redis 8.8's is read; the lowest one that expresses the value is written, so
//! that any server takes it. Collections and streams are read in `collection.rs` and
//! `stream_decode.rs` and written in `encode.rs`.

use bytes::Bytes;

use crate::error::DecodeError;
use crate::value::string::StringRef;

use super::primitive::{self, Reader};
use super::{bound, collection, crc64, stream_decode, type_byte};

pub use super::encode::{encode_hash, encode_list, encode_set, encode_stream, encode_zset};
pub use super::object::{HashField, Object};

/// The RDB version of Redis 8.8, the newest that is read.
pub const VERSION_MAX: u16 = 14;
/// The RDB version of Redis 2.6, the first server with RESTORE; it knows all of a string's
/// encodings.
const VERSION_STRING: u16 = 6;
/// Version (2 bytes) and CRC-64 (8 bytes), little-endian.
const FOOTER_BYTES: usize = 10;

/// Why a payload is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PayloadError {
    /// The version is unknown, or the checksum does not hold.
    Footer,
    /// The checksum holds, but the value is malformed or of an unknown type.
    Value(DecodeError),
}

/// The value of a payload. Bytes between it and the footer are ignored, and a value that reaches
/// into the footer is taken with the footer's bytes, as Redis does.
///
/// # Errors
/// When version, checksum or value are wrong. Memory stays in proportion to the payload: a
/// compressed string takes at most 88 times its size, and never more than
/// [`crate::limits::STRING_BYTES_MAX`]; a byte of a collection, decompressed, at most 64.
pub fn decode(payload: &[u8]) -> Result<Object<'_>, PayloadError> {
    match is_sound(payload) {
        Some(true) => decode_object(payload).map_err(PayloadError::Value),
        Some(false) | None => Err(PayloadError::Footer),
    }
}

/// A bound of what [`decode`] yields, in bytes; 0 when it can but refuse. Of a string it is the
/// length. Of anything else it covers all elements with three bytes upon each for their lengths,
/// and eight bytes for each score, deadline, time and count; entries of a stream count in full.
/// Costs a look at each length that the payload tells, and nothing inside packs of small
/// elements; but the nodes of a stream are read through, one at a time.
pub fn value_bytes(payload: &[u8]) -> u64 {
    bound::value_bytes(&mut Reader::new(payload)).unwrap_or(0)
}

/// Whether the footer knows its version and vouches for what is before it.
fn is_sound(payload: &[u8]) -> Option<bool> {
    let (body, footer) = payload.split_at_checked(payload.len().checked_sub(FOOTER_BYTES)?)?;
    let (version, crc) = footer.split_first_chunk::<2>()?;
    let crc = u64::from_le_bytes(crc.try_into().ok()?);
    let summed = &payload[..body.len() + version.len()];
    Some(u16::from_le_bytes(*version) <= VERSION_MAX && crc64::sum(summed) == crc)
}

/// The value at the front of `payload`.
pub(super) fn decode_object(payload: &[u8]) -> Result<Object<'_>, DecodeError> {
    let mut reader = Reader::new(payload);
    match reader.byte()? {
        type_byte::STRING => reader.string().map(Object::String),
        kind if type_byte::is_stream(kind) => {
            let stream = stream_decode::decode(kind, &mut reader)?;
            Ok(Object::Stream(Box::new(stream)))
        }
        kind => collection::decode(kind, &mut reader),
    }
}

/// The payload of a string, in pieces: pages go by reference.
pub fn encode_string(value: &StringRef<'_>) -> Vec<Bytes> {
    let mut head = vec![type_byte::STRING];
    let pages = match value.flat() {
        Some(bytes) => {
            primitive::encode_string(bytes, &mut head);
            Vec::new()
        }
        None => primitive::encode_pages(value, &mut head),
    };
    let mut pieces = vec![Bytes::from(head)];
    pieces.extend(pages);
    finish(pieces, VERSION_STRING)
}

/// Puts the footer behind an encoded value.
pub(super) fn finish(mut pieces: Vec<Bytes>, version: u16) -> Vec<Bytes> {
    let mut sum = crc64::Sum::new();
    pieces.iter().for_each(|piece| sum.update(piece));
    let version = version.to_le_bytes();
    sum.update(&version);
    let footer = [&version[..], &sum.finish().to_le_bytes()].concat();
    pieces.push(Bytes::from(footer));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::string::PagedString;
    use proptest::prelude::*;
    use std::borrow::Cow;

    fn encoded(bytes: &[u8]) -> Vec<u8> {
        encode_string(&StringRef::Flat { bytes, shared: None, raw: false }).concat()
    }

    fn with_footer(body: &[u8], version: u16) -> Vec<u8> {
        finish(vec![Bytes::copy_from_slice(body)], version).concat()
    }

    fn string(bytes: &[u8]) -> Result<Object<'_>, PayloadError> {
        Ok(Object::String(Cow::Borrowed(bytes)))
    }

    #[test]
    fn payloads_of_real_servers_are_read() {
        // `hello`, the integer 1 and 100 times `x`, dumped by Redis 7.0, Valkey 8.1 and Redis 8.0.
        let hello: [&[u8]; 3] = [
            b"\x00\x05hello\n\x00cr\xdfve4 \n",
            b"\x00\x05hello\x0b\x00\n\xadb\x05\x98\xab\xc9\x83",
            b"\x00\x05hello\x0c\x00\xa8\x04\xeb\xb6\x9f\x1e\xbeC",
        ];
        for payload in hello {
            assert_eq!(decode(payload), string(b"hello"));
        }
        assert_eq!(decode(b"\x00\xc0\x01\n\x00&x\xe7\xb6\xd1\x01\x11\xfc"), string(b"1"));
        let run = b"\x00\xc3\t@d\x01xx\xe0W\x00\x01xx\n\x00]\xb7\xf6c\xbb\x08b_";
        assert_eq!(decode(run), string(&[b'x'; 100]));
    }

    #[test]
    fn the_first_bytes_tell_how_long_a_string_is() {
        assert_eq!(value_bytes(b"\x00\x05hello\n\x00cr\xdfve4 \n"), 5);
        let run = b"\x00\xc3\t@d\x01xx\xe0W\x00\x01xx\n\x00]\xb7\xf6c\xbb\x08b_";
        assert_eq!(value_bytes(run), 100);
        let claims_512_mib = b"\x00\xc3\x80\xff\xff\xff\xff\x80\x20\0\0\0";
        assert_eq!(value_bytes(claims_512_mib), 0, "its stream is not there");
        assert_eq!(value_bytes(b""), 0);
        assert_eq!(value_bytes(b"\x06\x05hello"), 0, "no such type");
    }

    #[test]
    fn the_lowest_version_is_written() {
        let payload = encoded(b"hello");
        assert_eq!(payload[..9], *b"\x00\x05hello\x06\x00");
        assert_eq!(decode(&payload), string(b"hello"));
    }

    #[test]
    fn versions_are_read_up_to_that_of_redis_8() {
        for version in 0..=VERSION_MAX {
            assert_eq!(decode(&with_footer(b"\x00\x01x", version)), string(b"x"));
        }
        let newer = with_footer(b"\x00\x01x", VERSION_MAX + 1);
        assert_eq!(decode(&newer), Err(PayloadError::Footer));
    }

    #[test]
    fn damage_is_told_from_an_unreadable_value() {
        assert_eq!(decode(b""), Err(PayloadError::Footer));
        assert_eq!(decode(b"123456789"), Err(PayloadError::Footer));
        for body in [&b"\x00\x0cx"[..], b"\x00\xc5", b"\xff\x01x", b"\x01\x00"] {
            let payload = with_footer(body, VERSION_STRING);
            assert!(matches!(decode(&payload), Err(PayloadError::Value(_))), "{body:?}");
        }
        assert_eq!(decode(&with_footer(b"\x00\x01xrest", 6)), string(b"x"));
        assert_eq!(decode(&with_footer(b"\x00\x02x", 6)), string(b"x\x06"));
    }

    #[test]
    fn every_flipped_bit_is_detected() {
        let payload = encoded(&b"some words, some words, some words".repeat(3));
        for bit in 0..payload.len() * 8 {
            let mut damaged = payload.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&damaged), Err(PayloadError::Footer), "bit {bit}");
        }
    }

    #[test]
    fn pages_are_dumped_by_reference() {
        let whole = Bytes::from((0..200_000u32).map(|i| (i / 7) as u8).collect::<Vec<u8>>());
        let paged = PagedString::from_bytes(whole.clone());
        let pieces = encode_string(&StringRef::Paged(&paged));
        assert_eq!(pieces[1].as_ptr(), whole.as_ptr());
        assert_eq!(decode(&pieces.concat()), string(&whole));
    }

    proptest! {
        #[test]
        fn strings_come_back(bytes: Vec<u8>, times in 1usize..40) {
            let bytes = bytes.repeat(times);
            let payload = encoded(&bytes);
            prop_assert_eq!(decode(&payload), string(&bytes));
        }

        #[test]
        fn any_body_is_read_or_refused(
            body: Vec<u8>, encoding in proptest::option::of(0xc0u8..0xc5),
            version in 0..=VERSION_MAX
        ) {
            let body = [&[type_byte::STRING][..], encoding.as_slice(), &body].concat();
            let payload = with_footer(&body, version);
            match decode(&payload) {
                Ok(Object::String(value)) => {
                    prop_assert!(value.len() <= 88 * body.len() + 11);
                    prop_assert!(value.len() as u64 <= value_bytes(&payload));
                }
                Ok(other) => prop_assert!(false, "{other:?}"),
                Err(error) => prop_assert!(matches!(error, PayloadError::Value(_))),
            }
        }
    }
}
