//! One member with its payload, as packed collections and chunks hold it, and the varints that all
//! collections share.
//!
//! ```text
//! item = varint member length, varint (payload length << 1 | has deadline),
//!        member, [deadline in ms, 8 bytes little-endian], payload
//! ```

/// Bytes of a deadline.
const DEADLINE_BYTES: usize = 8;

/// What stands in front of an item's bytes: the lengths of its pieces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lengths {
    /// Bytes of the member.
    pub member: usize,
    /// Bytes of the payload, times two, plus one where there is a deadline.
    word: usize,
}

impl Lengths {
    /// The lengths that begin at `at`, and where they end. None where there are none, or an item
    /// of these lengths would not fit into memory.
    #[inline]
    pub fn decode(bytes: &[u8], at: usize) -> Option<(Lengths, usize)> {
        match *bytes.get(at..)? {
            [member @ 0..0x80, word @ 0..0x80, ..] => {
                Some((Lengths { member: usize::from(member), word: usize::from(word) }, at + 2))
            }
            _ => Lengths::decode_long(bytes, at),
        }
    }

    fn decode_long(bytes: &[u8], at: usize) -> Option<(Lengths, usize)> {
        let (member, at) = varint(bytes, at)?;
        let (word, at) = varint(bytes, at)?;
        let (member, word) = (usize::try_from(member).ok()?, usize::try_from(word).ok()?);
        member.checked_add(DEADLINE_BYTES)?.checked_add(word >> 1)?;
        Some((Lengths { member, word }, at))
    }

    /// Appends them.
    #[inline]
    pub fn encode(self, out: &mut Vec<u8>) {
        if self.member < 0x80 && self.word < 0x80 {
            return out.extend_from_slice(&[self.member as u8, self.word as u8]);
        }
        put_varint(self.member as u64, out);
        put_varint(self.word as u64, out);
    }

    /// Bytes that [`Lengths::encode`] appends.
    pub fn encoded_len(self) -> usize {
        varint_len(self.member as u64) + varint_len(self.word as u64)
    }

    /// Bytes of the item behind its lengths.
    #[inline]
    pub fn body(self) -> usize {
        self.member + (self.word & 1) * DEADLINE_BYTES + (self.word >> 1)
    }
}

/// A member of a hash, a set or a sorted set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Item<'a> {
    /// The member (the field of a hash).
    pub member: &'a [u8],
    /// Nothing (set), the encoded score (sorted set) or the value of the field (hash).
    pub payload: &'a [u8],
    /// When the member ends, in Unix milliseconds.
    pub deadline_ms: Option<u64>,
}

impl<'a> Item<'a> {
    /// An item without a deadline.
    pub fn new(member: &'a [u8], payload: &'a [u8]) -> Item<'a> {
        Item { member, payload, deadline_ms: None }
    }

    /// Its lengths.
    #[inline]
    pub fn lengths(&self) -> Lengths {
        let word = self.payload.len() << 1 | usize::from(self.deadline_ms.is_some());
        Lengths { member: self.member.len(), word }
    }

    /// Bytes that [`Item::encode`] appends.
    pub fn encoded_len(&self) -> usize {
        let lengths = self.lengths();
        lengths.encoded_len() + lengths.body()
    }

    /// Appends the item.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.lengths().encode(out);
        self.encode_body(out);
    }

    /// Appends the item without its lengths.
    pub fn encode_body(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.member);
        if let Some(deadline) = self.deadline_ms {
            out.extend_from_slice(&deadline.to_le_bytes());
        }
        out.extend_from_slice(self.payload);
    }

    /// The item that begins at `at`, and where it ends. None where no whole item stands there.
    #[inline]
    pub fn decode(bytes: &'a [u8], at: usize) -> Option<(Item<'a>, usize)> {
        let (lengths, at) = Lengths::decode(bytes, at)?;
        Item::decode_body(bytes, at, lengths)
    }

    /// As [`Item::decode`], of an item whose lengths are known.
    #[inline]
    pub fn decode_body(bytes: &'a [u8], at: usize, lengths: Lengths) -> Option<(Item<'a>, usize)> {
        let body = bytes.get(at..)?.get(..lengths.body())?;
        let (member, rest) = body.split_at(lengths.member);
        if lengths.word & 1 == 0 {
            return Some((Item::new(member, rest), at + body.len()));
        }
        let (deadline, payload) = rest.split_first_chunk::<DEADLINE_BYTES>()?;
        let deadline_ms = Some(u64::from_le_bytes(*deadline));
        Some((Item { member, payload, deadline_ms }, at + body.len()))
    }
}

/// Appends `value` in LEB128, seven bits a byte from the lowest.
pub fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Bytes that [`put_varint`] appends.
pub fn varint_len(value: u64) -> usize {
    let bits = u64::BITS - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// The varint at `at`, and where it ends. None where the bytes end, the value exceeds 64 bits, or
/// its form is not the shortest.
#[inline]
pub fn varint(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    match bytes.get(at) {
        Some(&byte) if byte < 0x80 => Some((u64::from(byte), at + 1)),
        _ => long_varint(bytes, at),
    }
}

fn long_varint(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for (index, &byte) in bytes.get(at..)?.iter().take(10).enumerate() {
        if index == 9 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return (byte != 0 || index == 0).then_some((value, at + index + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn items_come_back_and_know_their_length(
            member in prop::collection::vec(any::<u8>(), 0..300),
            payload in prop::collection::vec(any::<u8>(), 0..300),
            deadline_ms in any::<Option<u64>>(),
            front in 0..5usize,
        ) {
            let item = Item { member: &member, payload: &payload, deadline_ms };
            let mut bytes = vec![0xff; front];
            item.encode(&mut bytes);
            prop_assert_eq!(bytes.len(), front + item.encoded_len());
            prop_assert_eq!(Item::decode(&bytes, front), Some((item, bytes.len())));
            for end in 0..bytes.len() {
                prop_assert_eq!(Item::decode(&bytes[..end], front), None, "cut at {}", end);
            }
        }

        #[test]
        fn varints_come_back(shift in 0..64u32, low in any::<u64>()) {
            let value = low >> shift;
            let mut bytes = Vec::new();
            put_varint(value, &mut bytes);
            prop_assert_eq!(bytes.len(), varint_len(value));
            prop_assert_eq!(varint(&bytes, 0), Some((value, bytes.len())));
        }

        #[test]
        fn any_bytes_decode_without_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..40), at in any::<usize>(),
        ) {
            if let Some((item, end)) = Item::decode(&bytes, at % 50) {
                prop_assert_eq!(end - at % 50, item.encoded_len());
            }
            Item::decode(&bytes, at);
        }
    }

    #[test]
    fn varints_in_other_forms_are_refused() {
        assert_eq!(varint(&[0x80, 0], 0), None, "longer than needed");
        assert_eq!(varint(&[0xff; 11], 0), None, "beyond 64 bits");
        let beyond = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2];
        assert_eq!(varint(&beyond, 0), None, "one bit beyond");
        let largest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(varint(&largest, 0), Some((u64::MAX, 10)));
    }
}
