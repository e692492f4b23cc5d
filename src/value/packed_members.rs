//! Small hashes, sets and sorted sets: reading a blob (packed.rs), and writing its successor.
//!
//! Every operation walks the blob, which has at most a few kilobytes. Writers append a whole new
//! blob to `out` in one pass, and nothing when they change nothing.

use std::ops::Range;

use crate::types::{UNIFORM, ValueKind};
use crate::value::integer::parse_integer;
use crate::value::item::{Item, Lengths};
use crate::value::packed::{SET_INTSET, encoding, is_uniform, kind, shape};
use crate::value::score;
use crate::value::stream_fact::Fact;

/// Offset of what follows the head byte.
const START: usize = 1;
/// Most bytes in front of the items: lengths have at most ten each.
const HEAD_BYTES_MAX: usize = 21;

/// A packed hash, set or sorted set.
#[derive(Clone, Copy, Debug)]
pub struct PackedMembers<'a> {
    blob: &'a [u8],
    /// The lengths of each item, where the blob is uniform.
    lengths: Option<Lengths>,
    /// Offset of the first item.
    start: usize,
}

impl<'a> PackedMembers<'a> {
    /// Reads a valid blob.
    #[inline]
    pub fn new(blob: &'a [u8]) -> PackedMembers<'a> {
        let none = PackedMembers { blob: &[], lengths: None, start: 0 };
        PackedMembers::read(blob).unwrap_or(none)
    }

    /// Reads a blob up to its items. None where it is uniform without lengths, or of items without
    /// a byte.
    #[inline]
    fn read(blob: &'a [u8]) -> Option<PackedMembers<'a>> {
        if !is_uniform(blob) {
            return Some(PackedMembers { blob, lengths: None, start: START });
        }
        let (lengths, start) = Lengths::decode(blob, START)?;
        (lengths.body() > 0).then_some(PackedMembers { blob, lengths: Some(lengths), start })
    }

    /// The number of members, O(n), and O(1) when uniform.
    pub fn len(&self) -> usize {
        match self.lengths {
            Some(lengths) => (self.blob.len() - self.start) / lengths.body(),
            None => self.iter().count(),
        }
    }

    /// Bytes that the items take when each is encoded for itself, O(1).
    pub fn plain_bytes(&self) -> usize {
        let lengths = self.lengths.map_or(0, |lengths| self.len() * lengths.encoded_len());
        self.blob.len() - self.start + lengths
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.blob.len() <= self.start
    }

    /// The item of a member, O(n).
    pub fn get(&self, member: &[u8]) -> Option<Item<'a>> {
        let place = self.find(member)?;
        Some(self.decode(place.start)?.0)
    }

    /// The item in place `index`, from 0, O(n).
    pub fn at(&self, index: usize) -> Option<Item<'a>> {
        self.iter().nth(index)
    }

    /// All items as they stand: a sorted set in the order of (score, member).
    #[inline]
    pub fn iter(&self) -> PackedItems<'a> {
        PackedItems { members: *self, at: self.start }
    }

    /// The item that begins at `at`, and where it ends. None at the end.
    #[inline]
    fn decode(&self, at: usize) -> Option<(Item<'a>, usize)> {
        match self.lengths {
            Some(lengths) => Item::decode_body(self.blob, at, lengths),
            None => Item::decode(self.blob, at),
        }
    }

    /// Where the item of a member stands. This is the inner loop of every access: a member's last
    /// byte is compared before the rest, because names tend to begin alike.
    fn find(&self, member: &[u8]) -> Option<Range<usize>> {
        let is_wanted = |theirs: &[u8]| theirs.last() == member.last() && theirs == member;
        let mut at = self.start;
        if let Some(lengths) = self.lengths {
            if lengths.member != member.len() {
                return None;
            }
            let mut items = self.blob[at..].chunks_exact(lengths.body());
            let index = items.position(|item| is_wanted(&item[..member.len()]))?;
            at += index * lengths.body();
            return Some(at..at + lengths.body());
        }
        loop {
            let (lengths, body) = Lengths::decode(self.blob, at)?;
            let end = body + lengths.body();
            if lengths.member == member.len()
                && is_wanted(self.blob.get(body..body + member.len())?)
            {
                return Some(at..end);
            }
            at = end;
        }
    }

    /// Where an integer belongs among the integers of a set.
    fn numeric_place(&self, member: &[u8]) -> usize {
        let Some(value) = parse_integer(member) else {
            return self.blob.len();
        };
        let mut items = self.iter();
        loop {
            let at = items.at;
            match items.next() {
                Some(item) if parse_integer(item.member).is_some_and(|theirs| theirs < value) => {}
                _ => return at,
            }
        }
    }

    /// Appends the blob without the items in `gone`, and with a new one in front of the item that
    /// begins at its place, or at the end. The place is not inside of `gone`.
    fn write(&self, gone: Range<usize>, new: Option<(usize, &Item)>, out: &mut Vec<u8>) {
        let is_rest = self.blob.len() - self.start > gone.len();
        let lengths = match new {
            Some((_, item)) if !is_rest => Some(item.lengths()).filter(|own| own.body() > 0),
            Some((_, item)) => self.lengths.filter(|all| *all == item.lengths()),
            None => self.lengths.filter(|_| is_rest),
        };
        let place = new.map_or(self.blob.len(), |(place, _)| place);
        out.reserve(HEAD_BYTES_MAX + self.blob.len() + new.map_or(0, |(_, i)| i.encoded_len()));
        out.push(lengths.map_or(0, |_| UNIFORM) | shape(self.blob));
        if let Some(lengths) = lengths {
            lengths.encode(out);
        }
        self.copy(self.start..place.min(gone.start), lengths, out);
        self.copy(gone.end..place, lengths, out);
        if let Some((_, item)) = new {
            match lengths {
                Some(_) => item.encode_body(out),
                None => item.encode(out),
            }
        }
        self.copy(place..gone.start, lengths, out);
        self.copy(place.max(gone.end)..self.blob.len(), lengths, out);
    }

    /// Appends the items in a range, which may end before it starts, to a blob whose items have
    /// these lengths: the same, or each its own.
    #[inline]
    fn copy(&self, range: Range<usize>, lengths: Option<Lengths>, out: &mut Vec<u8>) {
        match self.blob.get(range.clone()) {
            Some([]) | None => {}
            Some(items) if lengths == self.lengths => out.extend_from_slice(items),
            Some(_) => self.copy_plain(range, out),
        }
    }

    #[cold]
    fn copy_plain(&self, range: Range<usize>, out: &mut Vec<u8>) {
        let items = PackedItems { members: *self, at: range.start };
        let count = range.len() / self.lengths.map_or(1, Lengths::body);
        items.take(count).for_each(|item| item.encode(out));
    }
}

/// Items of a packed collection.
#[derive(Clone, Debug)]
pub struct PackedItems<'a> {
    members: PackedMembers<'a>,
    at: usize,
}

impl<'a> Iterator for PackedItems<'a> {
    type Item = Item<'a>;

    #[inline]
    fn next(&mut self) -> Option<Item<'a>> {
        let (item, end) = self.members.decode(self.at)?;
        self.at = end;
        Some(item)
    }

    #[inline]
    fn nth(&mut self, n: usize) -> Option<Item<'a>> {
        match self.members.lengths {
            Some(lengths) => {
                let skipped = n.saturating_mul(lengths.body());
                self.at = self.at.saturating_add(skipped).min(self.members.blob.len());
            }
            None => (0..n).try_for_each(|_| self.next().map(drop))?,
        }
        self.next()
    }
}

/// Puts a member into a hash or a set, at its numeric place in a set of [`SET_INTSET`] (a member
/// that is no integer goes to the end), over the item that it had before, or else at the end.
/// Answers the item before.
pub fn members_insert<'a>(blob: &'a [u8], item: &Item, out: &mut Vec<u8>) -> Option<Item<'a>> {
    let members = PackedMembers::new(blob);
    match members.find(item.member) {
        Some(place) => {
            let old = members.decode(place.start)?.0;
            members.write(place.clone(), Some((place.start, item)), out);
            Some(old)
        }
        None => {
            let at = if kind(blob) == Some(ValueKind::Set) && encoding(blob) == SET_INTSET {
                members.numeric_place(item.member)
            } else {
                blob.len()
            };
            members.write(at..at, Some((at, item)), out);
            None
        }
    }
}

/// Takes a member out, of a sorted set too. Answers its item.
pub fn members_remove<'a>(blob: &'a [u8], member: &[u8], out: &mut Vec<u8>) -> Option<Item<'a>> {
    let members = PackedMembers::new(blob);
    let place = members.find(member)?;
    let old = members.decode(place.start)?.0;
    members.write(place, None, out);
    Some(old)
}

/// Puts a member into a sorted set, at the place of its score, which is not NaN. Answers the score
/// before.
pub fn zset_insert(blob: &[u8], member: &[u8], score: f64, out: &mut Vec<u8>) -> Option<f64> {
    let members = PackedMembers::new(blob);
    let (mut old, mut place) = (None, None);
    let mut at = members.start;
    while let Some((item, end)) = members.decode(at) {
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
    let (gone, before) = match old {
        None => (place..place, None),
        Some((gone, score)) => (gone, Some(score)),
    };
    members.write(gone, Some((place, &Item::new(member, &score::encode(score)))), out);
    before
}

/// The number of items of a hash, set or sorted set; None when something is not as its kind wants
/// it. That members are distinct is not checked: nothing here relies on it for more than counts.
pub(super) fn validate(blob: &[u8], kind: ValueKind) -> Option<u64> {
    let members = PackedMembers::read(blob)?;
    let mut at = members.start;
    let mut count = 0;
    let mut last_integer = None;
    let mut last_scored = None;
    while at < blob.len() {
        let (item, end) = members.decode(at)?;
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
    use crate::value::packed::{head, plain_len, validate};

    fn owned(item: Item) -> (Vec<u8>, Vec<u8>, Option<u64>) {
        (item.member.to_vec(), item.payload.to_vec(), item.deadline_ms)
    }

    /// Names that begin alike, and some on both sides of the length where a varint grows.
    fn member() -> impl Strategy<Value = Vec<u8>> {
        let len = prop_oneof![12 => Just(3usize), 1 => 0..4usize, 1 => 126..130usize];
        (0..20u8, len).prop_map(|(byte, len)| {
            let mut member = vec![b'm'; len];
            member.push(byte);
            member
        })
    }

    type Payload = (usize, Option<u64>);

    fn payload() -> impl Strategy<Value = Payload> {
        prop_oneof![12 => Just((2, None)), 1 => (0..140usize, any::<Option<u64>>())]
    }

    proptest! {
        #[test]
        fn fields_are_those_of_a_vector(
            edits in prop::collection::vec(
                (member(), prop::option::weighted(0.7, payload())),
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
                let plain: usize = read.iter().map(|item| item.encoded_len()).sum();
                prop_assert_eq!((read.plain_bytes(), plain_len(&blob)), (plain, 1 + plain));
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
            kind in 0..16u8,
            bytes in prop::collection::vec(prop_oneof![0..4u8, any::<u8>()], 0..40),
        ) {
            let mut blob = vec![kind << 4 | 1];
            blob.extend_from_slice(&bytes);
            if let Some(count) = validate(&blob) && kind & 7 > 1 {
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

    /// The example of the format: a sorted set of `one` and `two` with the scores 1 and 2.
    const UNIFORM_BLOB: &[u8] = &[0xb0, 3, 2, b'o', b'n', b'e', 2, b't', b'w', b'o', 4];

    #[test]
    fn a_blob_is_uniform_until_an_item_of_other_lengths_comes() {
        let put = |blob: &[u8], member: &str, payload: &str| {
            let mut out = Vec::new();
            members_insert(blob, &Item::new(member.as_bytes(), payload.as_bytes()), &mut out);
            out
        };
        let uniform = put(&put(&[0x41], "a", "1"), "b", "2");
        assert_eq!(uniform, b"\xc1\x01\x02a1b2");
        assert_eq!(put(&uniform, "a", "3"), b"\xc1\x01\x02a3b2");
        assert_eq!(put(&uniform, "c", "33"), b"\x41\x01\x02a1\x01\x02b2\x01\x04c33");
        assert_eq!(put(&uniform, "a", "33"), b"\x41\x01\x04a33\x01\x02b2");
        assert_eq!(put(&uniform, "b", "33"), b"\x41\x01\x02a1\x01\x04b33");
        assert_eq!(put(b"\xc1\x01\x02a1", "a", "33"), b"\xc1\x01\x04a33", "nothing is kept");
        assert_eq!(put(&[0x21], "", ""), [0x21, 0, 0], "no item has a byte");
        let (mut out, mut last) = (Vec::new(), Vec::new());
        members_remove(&uniform, b"a", &mut out);
        members_remove(&out, b"b", &mut last);
        assert_eq!((&out[..], &last[..]), (&b"\xc1\x01\x02b2"[..], &[0x41][..]));
        let mut zset = vec![0x30];
        for (member, score) in [(&b"two"[..], 0.0), (b"one", 1.0), (b"two", 2.0)] {
            let mut out = Vec::new();
            zset_insert(&zset, member, score, &mut out);
            zset = out;
        }
        assert_eq!(zset, UNIFORM_BLOB);
    }

    #[test]
    fn uniform_blobs_that_are_not_whole_are_refused() {
        assert_eq!(validate(UNIFORM_BLOB), Some(2));
        let swapped = [&UNIFORM_BLOB[..3], &UNIFORM_BLOB[7..], &UNIFORM_BLOB[3..7]].concat();
        let vast = b"\xc1\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x02a";
        let refused: [(&[u8], &str); 10] = [
            (&UNIFORM_BLOB[..1], "no lengths"),
            (&UNIFORM_BLOB[..2], "one length"),
            (&UNIFORM_BLOB[..3], "no item"),
            (&UNIFORM_BLOB[..10], "an item that is cut off"),
            (&swapped, "unsorted"),
            (b"\xa0\x01\x00\x32\x31", "unsorted integers"),
            (b"\xa0\x02\x00\x30\x31", "an integer in another form"),
            (b"\xa1\x01\x02ab", "a set with payloads"),
            (b"\xa1\x00\x00\x00", "items without a byte"),
            (vast, "no memory is that large"),
        ];
        for (blob, why) in refused {
            assert_eq!(validate(blob), None, "{why}");
        }
        assert_eq!(validate(b"\xa0\x01\x00\x31\x32"), Some(2), "integers");
        assert_eq!(validate(b"\xc1\x01\x01adeadlinebdeadline"), Some(2), "deadlines");
    }

    #[test]
    fn integers_have_one_form() {
        let bounds = ["0", "-1", "9223372036854775807", "-9223372036854775808"];
        assert!(bounds.iter().all(|text| parse_integer(text.as_bytes()).is_some()));
        let others = ["", "-", "+1", "-0", "01", "-01", "1 ", "9223372036854775808", "1x"];
        assert!(others.iter().all(|text| parse_integer(text.as_bytes()).is_none()));
    }
}
