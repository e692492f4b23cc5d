//! One member with its payload, as packed collections and chunks hold it, and the varints that all
//! collections share.
//!
//! ```text
//! item = varint member length, varint (payload length << 1 | has deadline),
//!        member, [deadline in ms, 8 bytes little-endian], payload
//! ```

/// Bytes of a deadline.
const DEADLINE_BYTES: usize = 8;

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

    /// Bytes that [`Item::encode`] appends.
    pub fn encoded_len(&self) -> usize {
        let deadline = self.deadline_ms.map_or(0, |_| DEADLINE_BYTES);
        let lengths = varint_len(self.member.len() as u64) + varint_len(self.payload_word());
        lengths + self.member.len() + deadline + self.payload.len()
    }

    /// Appends the item.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(self.member.len() as u64, out);
        put_varint(self.payload_word(), out);
        out.extend_from_slice(self.member);
        if let Some(deadline) = self.deadline_ms {
            out.extend_from_slice(&deadline.to_le_bytes());
        }
        out.extend_from_slice(self.payload);
    }

    fn payload_word(&self) -> u64 {
        (self.payload.len() as u64) << 1 | u64::from(self.deadline_ms.is_some())
    }

    /// The item that begins at `at`, and where it ends. None where no whole item stands there.
    #[inline]
    pub fn decode(bytes: &'a [u8], at: usize) -> Option<(Item<'a>, usize)> {
        let (member_len, at) = varint(bytes, at)?;
        let (word, at) = varint(bytes, at)?;
        let (member, at) = piece(bytes, at, member_len)?;
        let (deadline_ms, at) = match word & 1 {
            0 => (None, at),
            _ => {
                let deadline = bytes.get(at..)?.first_chunk::<DEADLINE_BYTES>()?;
                (Some(u64::from_le_bytes(*deadline)), at + DEADLINE_BYTES)
            }
        };
        let (payload, at) = piece(bytes, at, word >> 1)?;
        Some((Item { member, payload, deadline_ms }, at))
    }
}

/// `len` bytes from `at`, and where they end.
#[inline]
fn piece(bytes: &[u8], at: usize, len: u64) -> Option<(&[u8], usize)> {
    let rest = bytes.get(at..)?;
    let len = usize::try_from(len).ok()?;
    Some((rest.get(..len)?, at + len))
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
