//! Which members a range means: by rank, by score, by the bytes of members.

use std::ops::Range;

use crate::command::double;
use crate::command::number::integer;
use crate::command::spec::Failure;
use crate::engine::unit::ValueRef;
use crate::limits::PACKED_BYTES_MAX;
use crate::value::score::Scored;
use crate::value::view::ZsetRef;

/// By what the ends of a range are told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    /// Ranks from either end.
    Rank,
    /// Scores.
    Score,
    /// Members, all with one score.
    Lex,
}

/// Both ends of a range.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Span<'a> {
    /// Ranks, negative ones from the end.
    Ranks(i64, i64),
    /// Scores, each with whether it is left out itself.
    Scores((f64, bool), (f64, bool)),
    /// Members.
    Lex(LexEnd<'a>, LexEnd<'a>),
}

/// One end of a range of members.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LexEnd<'a> {
    /// `-`
    Lowest,
    /// `+`
    Highest,
    /// `[member`, or `(member` that is left out itself.
    Member(&'a [u8], bool),
}

impl<'a> Span<'a> {
    /// Reads the lower and the upper end.
    pub fn parse(by: By, min: &'a [u8], max: &'a [u8]) -> Result<Span<'a>, Failure> {
        Ok(match by {
            By::Rank => Span::Ranks(integer(min)?, integer(max)?),
            By::Score => {
                let wrong = Failure::text("ERR min or max is not a float");
                let ends = score_end(min).zip(score_end(max));
                let (min, max) = ends.ok_or(wrong)?;
                Span::Scores(min, max)
            }
            By::Lex => {
                let wrong = Failure::text("ERR min or max not valid string range item");
                let ends = lex_end(min).zip(lex_end(max));
                let (min, max) = ends.ok_or(wrong)?;
                Span::Lex(min, max)
            }
        })
    }

    /// The ranks of the members inside, from the lowest; the ends of a range by rank count from the
    /// highest in `reverse`.
    pub fn ranks(&self, zset: &ZsetRef<'_>, reverse: bool) -> Range<u64> {
        let (start, end) = match *self {
            Span::Ranks(start, stop) => return ranks(start, stop, zset.len(), reverse),
            Span::Scores((min, without_min), (max, without_max)) => {
                (zset.count_below(min, without_min), zset.count_below(max, !without_max))
            }
            Span::Lex(min, max) => {
                (count_below_lex(zset, min, true), count_below_lex(zset, max, false))
            }
        };
        start..end.max(start)
    }
}

fn ranks(start: i64, stop: i64, len: u64, reverse: bool) -> Range<u64> {
    let signed_len = len as i64;
    let place = |at: i64| if at < 0 { at.saturating_add(signed_len) } else { at };
    let (start, stop) = (place(start).max(0), place(stop).min(signed_len - 1));
    if start > stop {
        return 0..0;
    }
    let (start, end) = (start as u64, stop as u64 + 1);
    if reverse { len - end..len - start } else { start..end }
}

/// The number of members below an end; `is_min` tells that the end is the lower one.
fn count_below_lex(zset: &ZsetRef<'_>, end: LexEnd<'_>, is_min: bool) -> u64 {
    match end {
        LexEnd::Lowest => 0,
        LexEnd::Highest => zset.len(),
        LexEnd::Member(member, without) => zset.count_below_lex(member, without == is_min),
    }
}

fn score_end(text: &[u8]) -> Option<(f64, bool)> {
    match text.split_first() {
        Some((b'(', rest)) => Some((double::parse_end(rest)?, true)),
        _ => Some((double::parse_end(text)?, false)),
    }
}

fn lex_end(text: &[u8]) -> Option<LexEnd<'_>> {
    match text {
        [b'-'] | [b'-', 0, ..] => Some(LexEnd::Lowest),
        [b'+'] | [b'+', 0, ..] => Some(LexEnd::Highest),
        [b'[', member @ ..] => Some(LexEnd::Member(member, false)),
        [b'(', member @ ..] => Some(LexEnd::Member(member, true)),
        _ => None,
    }
}

/// Members of these ranks with their scores, from the lowest or, in `reverse`, from the highest.
pub fn members<'a>(
    zset: ZsetRef<'a>,
    ranks: Range<u64>,
    reverse: bool,
) -> impl Iterator<Item = Scored<'a>> {
    let first = if reverse { ranks.end.saturating_sub(1) } else { ranks.start };
    let count = usize::try_from(ranks.end - ranks.start).unwrap_or(usize::MAX);
    zset.iter_from_rank(first, reverse).take(count)
}

/// Bytes beyond those of a member that its removal takes in a frame, at most.
const REMOVED_BYTES_PER_MEMBER: u64 = 8;

/// Room for the removal of any members of a small sorted set.
pub const REMOVED_BYTES: u64 = PACKED_BYTES_MAX as u64;

/// A bound of the bytes beyond [`REMOVED_BYTES`] that the removal of members of these ranks takes
/// in a frame.
pub fn removed_bytes(value: ValueRef<'_>, ranks: impl FnOnce(&ZsetRef<'_>) -> Range<u64>) -> u64 {
    let zset = match crate::command::collection::zset_in(value) {
        Ok(zset @ ZsetRef::Large(_)) => zset,
        _ => return 0,
    };
    let members = members(zset, ranks(&zset), false);
    let bytes = members.map(|(_, member)| member.len() as u64 + REMOVED_BYTES_PER_MEMBER);
    bytes.sum::<u64>().saturating_sub(REMOVED_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::testing::{run, unit};

    #[test]
    fn ranks_count_from_either_end() {
        let upwards = |start, stop| ranks(start, stop, 5, false);
        assert_eq!(upwards(0, -1), 0..5);
        assert_eq!(upwards(-2, 100), 3..5);
        assert_eq!(upwards(i64::MIN, i64::MAX), 0..5);
        assert_eq!([upwards(3, 2), upwards(5, 9), upwards(0, -6)], [0..0, 0..0, 0..0]);
        assert_eq!(ranks(0, 1, 5, true), 3..5);
        assert_eq!(ranks(-2, -1, 5, true), 0..2);
        assert_eq!(ranks(0, -1, 0, true), 0..0);
    }

    #[test]
    fn ends_are_read_as_redis_reads_them() {
        assert_eq!(score_end(b"(1.5"), Some((1.5, true)));
        assert_eq!(score_end(b"-inf"), Some((f64::NEG_INFINITY, false)));
        assert_eq!(score_end(b"("), Some((0.0, true)));
        assert_eq!((score_end(b"((1"), score_end(b"nan")), (None, None));
        assert_eq!(lex_end(b"[a"), Some(LexEnd::Member(b"a", false)));
        assert_eq!(lex_end(b"("), Some(LexEnd::Member(b"", true)));
        assert_eq!((lex_end(b"a"), lex_end(b""), lex_end(b"++")), (None, None, None));
    }

    #[test]
    fn what_a_removal_logs_is_bounded_by_what_it_removes() {
        let unit = &mut unit();
        let mut command = vec!["ZADD".to_owned(), "z".to_owned()];
        for number in 0..1000 {
            command.extend([number.to_string(), format!("{number:020}")]);
        }
        run(unit, &command);
        run(unit, &["ZADD", "small", "1", "a"]);
        let key = unit.key(0, b"z");
        let value = unit.probe(&key).expect("the key is there").value;
        assert_eq!(removed_bytes(value, |_| 0..10), 0, "within the room that is always there");
        assert_eq!(removed_bytes(value, |zset| 0..zset.len()), 28_000 - REMOVED_BYTES);
        let key = unit.key(0, b"small");
        let value = unit.probe(&key).expect("the key is there").value;
        assert_eq!(removed_bytes(value, |_| 0..1), 0);
    }
}
