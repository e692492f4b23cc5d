//! IDs as clients write them.

use crate::command::number::parse_unsigned;
use crate::command::spec::Failure;
use crate::value::stream_id::StreamId;

/// Longest text that is read as an ID, in bytes.
const TEXT_BYTES_MAX: usize = 127;

const INVALID: Failure =
    Failure::text("ERR Invalid stream ID specified as stream command argument");

/// An ID whose second number may be left to the stream (`ms-*`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PartialId {
    /// Both numbers.
    Whole(StreamId),
    /// The first number.
    Millisecond(u64),
}

/// `ms-seq`, or `ms`, whose missing seq is `seq`.
pub fn parse(text: &[u8], seq: u64) -> Result<StreamId, Failure> {
    let (ms, given) = halves(text)?;
    let seq = given.map_or(Some(seq), parse_unsigned).ok_or(INVALID)?;
    Ok(StreamId { ms: parse_unsigned(ms).ok_or(INVALID)?, seq })
}

/// As [`parse`], or `ms-*`.
pub fn parse_partial(text: &[u8]) -> Result<PartialId, Failure> {
    match halves(text)? {
        (ms, Some(b"*")) => Ok(PartialId::Millisecond(parse_unsigned(ms).ok_or(INVALID)?)),
        _ => parse(text, 0).map(PartialId::Whole),
    }
}

/// As [`parse`], or `-` and `+` for the lowest and the highest ID.
pub fn parse_edge(text: &[u8], seq: u64) -> Result<StreamId, Failure> {
    match text {
        b"-" => Ok(StreamId::ZERO),
        b"+" => Ok(StreamId::MAX),
        _ => parse(text, seq),
    }
}

/// Where an interval begins: as [`parse_edge`], or behind an ID (`(ms-seq`).
pub fn parse_start(text: &[u8]) -> Result<StreamId, Failure> {
    let invalid = Failure::text("ERR invalid start ID for the interval");
    match text {
        [b'(', rest @ ..] if !rest.is_empty() => parse(rest, 0)?.next().ok_or(invalid),
        _ => parse_edge(text, 0),
    }
}

/// Where an interval ends: as [`parse_edge`], or in front of an ID (`(ms-seq`).
pub fn parse_end(text: &[u8]) -> Result<StreamId, Failure> {
    let invalid = Failure::text("ERR invalid end ID for the interval");
    match text {
        [b'(', rest @ ..] if !rest.is_empty() => parse(rest, u64::MAX)?.previous().ok_or(invalid),
        _ => parse_edge(text, u64::MAX),
    }
}

/// The texts of both numbers.
fn halves(text: &[u8]) -> Result<(&[u8], Option<&[u8]>), Failure> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(INVALID);
    }
    // Redis reads up to the first zero byte.
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    match text.iter().position(|byte| *byte == b'-') {
        Some(at) => Ok((&text[..at], Some(&text[at + 1..]))),
        None => Ok((text, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(ms: u64, seq: u64) -> StreamId {
        StreamId { ms, seq }
    }

    /// As a Valkey 8.1 takes them in XADD and XRANGE.
    #[test]
    fn ids_are_read_as_redis_reads_them() {
        assert_eq!(parse(b"5", 9), Ok(id(5, 9)));
        assert_eq!(parse(b"5-3", 9), Ok(id(5, 3)));
        assert_eq!(parse(b" 5-+3", 9), Ok(id(5, 3)));
        assert_eq!(parse(b"007-007\0x", 9), Ok(id(7, 7)));
        assert_eq!(parse(b"1--02", 0), Ok(id(1, u64::MAX - 1)));
        assert_eq!(parse(b"18446744073709551615-0", 0), Ok(id(u64::MAX, 0)));
        let bad: [&[u8]; 9] =
            [b"", b"-", b"+", b"x", b"5-", b"5-x", b"-5", b"1--2", b"18446744073709551616"];
        for text in bad {
            assert_eq!(parse(text, 0), Err(INVALID), "{}", String::from_utf8_lossy(text));
        }
        assert!(parse(&[b'1'; 128], 0).is_err());
    }

    #[test]
    fn forms_beyond_a_plain_id() {
        assert_eq!(parse_partial(b"5-*"), Ok(PartialId::Millisecond(5)));
        assert_eq!(parse_partial(b"5"), Ok(PartialId::Whole(id(5, 0))));
        assert!(parse_partial(b"*").is_err() && parse_partial(b"5-**").is_err());
        assert_eq!((parse_start(b"-"), parse_end(b"+")), (Ok(id(0, 0)), Ok(StreamId::MAX)));
        assert_eq!((parse_start(b"(5"), parse_end(b"(5")), (Ok(id(5, 1)), Ok(id(5, u64::MAX - 1))));
        assert!(parse_start(b"(").is_err() && parse_start(b"(+").is_err());
        assert!(parse_start(b"(18446744073709551615-18446744073709551615").is_err());
        assert!(parse_end(b"(0-0").is_err());
    }
}
