//! Small hashes, sets and sorted sets: reading a blob (packed.rs), and writing its successor.
//!
//! Every operation walks the blob, which has at most a few kilobytes. Writers append a whole new
//! blob to `out` in one pass, and nothing when they change nothing.

use std::ops::Range;

use crate::types::ValueKind;
use crate::value::integer::parse_integer;
use crate::value::item::{Item, varint};
use crate::value::packed::{SET_INTSET, encoding, kind};
use crate::value::score;
use crate::value::stream_fact::Fact;

/// Offset of the first item.
const START: usize = 1;

/// A packed hash, set or sorted set.
#[derive(Clone, Copy, Debug)]
pub struct PackedMembers<'a> {
    blob: &'a [u8],
}

impl<'a> PackedMembers<'a> {
    /// Reads a valid blob.
    pub fn new(blob: &'a [u8]) -> PackedMembers<'a> {
        PackedMembers { blob }
    }

    /// The number of members, O(n).
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.blob.len() <= START
    }

    /// The item of a member, O(n).
    pub fn get(&self, member: &[u8]) -> Option<Item<'a>> {
        let place = find(self.blob, member)?;
        Some(Item::decode(self.blob, place.start)?.0)
    }

    /// The item in place `index`, from 0, O(n).
    pub fn at(&self, index: usize) -> Option<Item<'a>> {
        self.iter().nth(index)
    }

    /// All items as they stand: a sorted set in the order of (score, member).
    pub fn iter(&self) -> PackedItems<'a> {
        PackedItems { blob: self.blob, at: START }
    }
}

/// Items of a packed collection.
#[derive(Clone, Debug)]
pub struct PackedItems<'a> {
    blob: &'a [u8],
    at: usize,
}

impl<'a> Iterator for PackedItems<'a> {
    type Item = Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        let (item, end) = Item::decode(self.blob, self.at)?;
        self.at = end;
        Some(item)
    }
}

/// Puts a member into a hash or a set, at its numeric place in a set of [`SET_INTSET`] (a member
/// that is no integer goes to the end), over the item that it had before, or else at the end.
/// Answers the item before.
pub fn members_insert<'a>(blob: &'a [u8], item: &Item, out: &mut Vec<u8>) -> Option<Item<'a>> {
    match find(blob, item.member) {
        Some(place) => {
            let old = Item::decode(blob, place.start)?.0;
            splice(blob, place, item, out);
            Some(old)
        }
        None => {
            let at = if kind(blob) == Some(ValueKind::Set) && encoding(blob) == SET_INTSET {
                numeric_place(blob, item.member)
            } else {
                blob.len()
            };
            splice(blob, at..at, item, out);
            None
        }
    }
}

/// Takes a member out, of a sorted set too. Answers its item.
pub fn members_remove<'a>(blob: &'a [u8], member: &[u8], out: &mut Vec<u8>) -> Option<Item<'a>> {
    let place = find(blob, member)?;
    let old = Item::decode(blob, place.start)?.0;
    out.reserve(blob.len() - place.len());
    out.extend_from_slice(&blob[..place.start]);
    out.extend_from_slice(&blob[place.end..]);
    Some(old)
}

/// Puts a member into a sorted set, at the place of its score, which is not NaN. Answers the score
/// before.
pub fn zset_insert(blob: &[u8], member: &[u8], score: f64, out: &mut Vec<u8>) -> Option<f64> {
    let mut old = None;
    let mut place = None;
    let mut at = START;
    while let Some((item, end)) = Item::decode(blob, at) {
        let theirs = score::decode(item.payload).unwrap_or_default();
        if item.member == member {
            old = Some((at..end, theirs));
        } else if place.is_none() && score::order((score, member), (theirs, item.member)).is_lt() {
            place = Some(at);
        }
        at = end;
        if old.is_some() && place.is_some() {
            break;
        }
    }
    let place = place.unwrap_or(blob.len());
    let payload = score::encode(score);
    let item = Item::new(member, &payload);
    let (range, score) = match old {
        None => (place..place, None),
        Some((range, score)) => (range, Some(score)),
    };
    if range.start < place {
        out.extend_from_slice(&blob[..range.start]);
        splice(&blob[range.end..], place - range.end..place - range.end, &item, out);
    } else {
        out.reserve(blob.len() + item.encoded_len());
        out.extend_from_slice(&blob[..place]);
        item.encode(out);
        out.extend_from_slice(&blob[place..range.start]);
        out.extend_from_slice(&blob[range.end..]);
    }
    score
}

/// Appends `blob` with an item in place of a range.
fn splice(blob: &[u8], range: Range<usize>, item: &Item, out: &mut Vec<u8>) {
    out.reserve(blob.len() - range.len() + item.encoded_len());
    out.extend_from_slice(&blob[..range.start]);
    item.encode(out);
    out.extend_from_slice(&blob[range.end..]);
}

/// Where the item of a member stands. This is the inner loop of every access: lengths below 128
/// are read without a call, and a member's last byte is compared before the rest, because names
/// tend to begin alike.
fn find(blob: &[u8], member: &[u8]) -> Option<Range<usize>> {
    let mut at = START;
    loop {
        let (len, word, body) = match blob.get(at..)? {
            [len @ 0..0x80, word @ 0..0x80, ..] => (usize::from(*len), usize::from(*word), at + 2),
            [] => return None,
            _ => {
                let (len, word_at) = varint(blob, at)?;
                let (word, body) = varint(blob, word_at)?;
                (len as usize, word as usize, body)
            }
        };
        let body_end = body + len;
        let end = body_end + (word & 1) * 8 + (word >> 1);
        if len == member.len() {
            let theirs = blob.get(body..body_end)?;
            if theirs.last() == member.last() && theirs == member {
                return Some(at..end);
            }
        }
        at = end;
    }
}

/// Where an integer belongs among the integers of a set.
fn numeric_place(blob: &[u8], member: &[u8]) -> usize {
    let Some(value) = parse_integer(member) else {
        return blob.len();
    };
    let mut items = PackedMembers::new(blob).iter();
    loop {
        let at = items.at;
        match items.next() {
            Some(item) if parse_integer(item.member).is_some_and(|theirs| theirs < value) => {}
            _ => return at,
        }
    }
}

/// The number of items of a hash, set or sorted set; None when something is not as its kind wants
/// it. That members are distinct is not checked: nothing here relies on it for more than counts.
pub(super) fn validate(blob: &[u8], kind: ValueKind) -> Option<u64> {
    let mut at = START;
    let mut count = 0;
    let mut last_integer = None;
    let mut last_scored = None;
    while at < blob.len() {
        let (item, end) = Item::decode(blob, at)?;
        if !valid_item(kind, &item) {
            return None;
        }
        if kind == ValueKind::Set && encoding(blob) == SET_INTSET {
            let value = Some(parse_integer(item.member)?);
            if value <= last_integer {
                return None;
            }
            last_integer = value;
        }
        if kind == ValueKind::Zset {
            let scored = (score::decode(item.payload)?, item.member);
            if last_scored.is_some_and(|last| !score::order(last, scored).is_lt()) {
                return None;
            }
            last_scored = Some(scored);
        }
        at = end;
        count += 1;
    }
    Some(count)
}

/// Whether an item is one of its kind: only fields have values and deadlines, only members of
/// sorted sets a score, and a stream has facts.
pub fn valid_item(kind: ValueKind, item: &Item) -> bool {
    match kind {
        ValueKind::Hash => true,
        ValueKind::Set => item.payload.is_empty() && item.deadline_ms.is_none(),
        ValueKind::Zset => item.deadline_ms.is_none() && score::decode(item.payload).is_some(),
        ValueKind::Stream => Fact::decode(item).is_some(),
        ValueKind::String | ValueKind::List => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::value::packed::{head, validate};

    fn owned(item: Item) -> (Vec<u8>, Vec<u8>, Option<u64>) {
        (item.member.to_vec(), item.payload.to_vec(), item.deadline_ms)
    }

    /// Names that begin alike, and some on both sides of the length where a varint grows.
    fn member() -> impl Strategy<Value = Vec<u8>> {
        (0..20u8, prop_oneof![0..4usize, 126..130usize]).prop_map(|(byte, len)| {
            let mut member = vec![b'm'; len];
            member.push(byte);
            member
        })
    }

    type Payload = (usize, Option<u64>);

    proptest! {
        #[test]
        fn fields_are_those_of_a_vector(
            edits in prop::collection::vec(
                (member(), prop::option::weighted(0.7, (0..140usize, any::<Option<u64>>()))),
                0..80,
            ),
        ) {
            let mut blob = vec![head(ValueKind::Hash, 3)];
            let mut model: Vec<(Vec<u8>, Vec<u8>, Option<u64>)> = Vec::new();
            for (number, (member, edit)) in edits.into_iter().enumerate() {
                let edit: Option<Payload> = edit;
                let mut out = Vec::new();
                let place = model.iter().position(|item| item.0 == member);
                let old = place.map(|place| model[place].clone());
                if let Some((len, deadline_ms)) = edit {
                    let payload = vec![number as u8; len];
                    let item = Item { member: &member, payload: &payload, deadline_ms };
                    prop_assert_eq!(members_insert(&blob, &item, &mut out).map(owned), old);
                    let place = place.unwrap_or(model.len());
                    match model.get_mut(place) {
                        Some(there) => *there = owned(item),
                        None => model.push(owned(item)),
                    }
                    blob = out;
                } else {
                    prop_assert_eq!(members_remove(&blob, &member, &mut out).map(owned), old);
                    match place {
                        Some(place) => {
                            model.remove(place);
                            blob = out;
                        }
                        None => prop_assert!(out.is_empty()),
                    }
                }
                let read = PackedMembers::new(&blob);
                prop_assert!(read.iter().map(owned).eq(model.iter().cloned()));
                prop_assert_eq!((read.len(), read.is_empty()), (model.len(), model.is_empty()));
                prop_assert_eq!(read.get(&member).is_some(), edit.is_some());
                prop_assert_eq!(read.at(2).map(owned), model.get(2).cloned());
                let count = Some(model.len() as u64).filter(|&count| count > 0);
                prop_assert_eq!(validate(&blob), count);
            }
        }

        #[test]
        fn sorted_sets_stay_sorted(
            edits in prop::collection::vec(
                (member(), prop::option::weighted(0.7, -4..4i8)), 0..80,
            ),
        ) {
            let mut blob = vec![head(ValueKind::Zset, 1)];
            let mut model: BTreeMap<Vec<u8>, f64> = BTreeMap::new();
            for (member, edit) in edits {
                let mut out = Vec::new();
                if let Some(half) = edit {
                    let score = f64::from(half) / 2.0;
                    let old = zset_insert(&blob, &member, score, &mut out);
                    prop_assert_eq!(old, model.insert(member, score));
                    blob = out;
                } else {
                    let old = members_remove(&blob, &member, &mut out);
                    let old = old.and_then(|item| score::decode(item.payload));
                    prop_assert_eq!(old, model.remove(&member));
                    blob = if old.is_some() { out } else { blob };
                }
                let mut sorted: Vec<_> = model.iter().map(|(m, score)| (*score, &m[..])).collect();
                sorted.sort_by(|a, b| score::order(*a, *b));
                let items = PackedMembers::new(&blob).iter();
                let read = items.map(|item| (score::decode(item.payload).unwrap(), item.member));
                prop_assert!(read.eq(sorted));
                let count = Some(model.len() as u64).filter(|&count| count > 0);
                prop_assert_eq!(validate(&blob), count);
            }
        }

        #[test]
        fn sets_of_integers_stay_in_numeric_order(
            numbers in prop::collection::vec(prop_oneof![-20..20i64, any::<i64>()], 0..60),
        ) {
            let mut blob = vec![head(ValueKind::Set, SET_INTSET)];
            let mut model = std::collections::BTreeSet::new();
            for number in numbers {
                let (member, mut out) = (number.to_string(), Vec::new());
                let item = Item::new(member.as_bytes(), b"");
                let new = members_insert(&blob, &item, &mut out).is_none();
                prop_assert_eq!(new, model.insert(number));
                blob = out;
                let items = PackedMembers::new(&blob).iter();
                let read: Option<Vec<i64>> = items.map(|item| parse_integer(item.member)).collect();
                prop_assert_eq!(read, Some(model.iter().copied().collect()));
                prop_assert_eq!(validate(&blob), Some(model.len() as u64));
            }
            let mut out = Vec::new();
            members_insert(&blob, &Item::new(b"no number", b""), &mut out);
            let last = PackedMembers::new(&out).iter().last();
            prop_assert_eq!(last, Some(Item::new(b"no number", b"")));
            prop_assert_eq!(validate(&out), None, "it is no set of integers any more");
        }

        #[test]
        fn any_bytes_are_judged_without_a_panic(
            kind in 0..8u8,
            bytes in prop::collection::vec(prop_oneof![0..4u8, any::<u8>()], 0..40),
        ) {
            let mut blob = vec![kind << 4 | 1];
            blob.extend_from_slice(&bytes);
            if let Some(count) = validate(&blob) && kind > 1 {
                let read = PackedMembers::new(&blob);
                prop_assert_eq!(read.len() as u64, count);
                prop_assert!(read.iter().all(|item| read.get(item.member).is_some()));
                prop_assert!(read.get(b"\0\x01\x02").is_none_or(|item| item.member.len() == 3));
            }
        }
    }

    fn blob(kind: ValueKind, items: &[Item]) -> Vec<u8> {
        let mut blob = vec![head(kind, if kind == ValueKind::Set { SET_INTSET } else { 1 })];
        items.iter().for_each(|item| item.encode(&mut blob));
        blob
    }

    #[test]
    fn what_a_kind_cannot_hold_is_refused() {
        let (one, two) = (score::encode(1.0), score::encode(2.0));
        let zset = |items: &[Item]| validate(&blob(ValueKind::Zset, items));
        assert_eq!(zset(&[Item::new(b"b", &one), Item::new(b"a", &two)]), Some(2));
        assert_eq!(zset(&[Item::new(b"b", &two), Item::new(b"a", &one)]), None, "unsorted");
        assert_eq!(zset(&[Item::new(b"a", &one), Item::new(b"a", &one)]), None, "twice");
        assert_eq!(zset(&[Item::new(b"a", b"")]), None, "no score");
        assert_eq!(zset(&[Item { deadline_ms: Some(1), ..Item::new(b"a", &one) }]), None);
        let set = |items: &[Item]| validate(&blob(ValueKind::Set, items));
        assert_eq!(set(&[Item::new(b"-5", b""), Item::new(b"10", b"")]), Some(2));
        assert_eq!(set(&[Item::new(b"10", b""), Item::new(b"-5", b"")]), None, "unsorted");
        assert_eq!(set(&[Item::new(b"05", b"")]), None, "not canonical");
        assert_eq!(set(&[Item::new(b"5", b"x")]), None, "a payload");
        assert_eq!(validate(&[]), None);
        assert_eq!(validate(&[head(ValueKind::Hash, 1)]), None, "empty");
        assert_eq!(validate(&[head(ValueKind::Stream, 1), 0, 0]), None);
        assert_eq!(validate(&[0x51, 0, 0]), None, "no kind");
    }

    #[test]
    fn integers_have_one_form() {
        let bounds = ["0", "-1", "9223372036854775807", "-9223372036854775808"];
        assert!(bounds.iter().all(|text| parse_integer(text.as_bytes()).is_some()));
        let others = ["", "-", "+1", "-0", "01", "-01", "1 ", "9223372036854775808", "1x"];
        assert!(others.iter().all(|text| parse_integer(text.as_bytes()).is_none()));
    }
}
