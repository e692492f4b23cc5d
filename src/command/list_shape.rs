//! What OBJECT ENCODING tells of a list: `listpack` while Redis would keep it in one, `quicklist`
//! beyond. Redis 7.2 goes over to a quicklist when the listpack and the bytes of the elements to
//! come exceed `list-max-listpack-size`, and back when a shrinking list has half of that.
//!
//! Redis goes back only when one node of the quicklist is left. Firn has no such nodes and judges
//! the list as a whole.

use crate::types::ValueKind;
use crate::value::integer::listpack_bytes;
use crate::value::view::ListRef;

use super::encodings::{Encodings, list};

/// Bytes of an empty listpack.
const LISTPACK_EMPTY_BYTES: u64 = 7;
/// Longest listpack where `list-max-listpack-size` counts elements, in bytes.
const SAFE_BYTES_MAX: u64 = 8192;
/// Longest listpack of each size class, -1 to -5, in bytes.
const CLASS_BYTES_MAX: [u64; 5] = [4096, 8192, 16384, 32768, 65536];

/// What fits into one listpack.
struct Limit {
    bytes: u64,
    elements: u64,
}

impl Limit {
    /// Of a listpack that grows.
    fn growing(encodings: &Encodings) -> Limit {
        match usize::try_from(encodings.list_size) {
            Ok(elements) => Limit { bytes: SAFE_BYTES_MAX, elements: elements.max(1) as u64 },
            Err(_) => Limit { bytes: class_bytes(encodings.list_size), elements: u64::MAX },
        }
    }

    /// Of a quicklist that shrinks.
    fn shrinking(encodings: &Encodings) -> Limit {
        match usize::try_from(encodings.list_size) {
            Ok(elements) => Limit { bytes: u64::MAX, elements: elements.max(1) as u64 / 2 },
            Err(_) => Limit { bytes: class_bytes(encodings.list_size) / 2, elements: u64::MAX },
        }
    }
}

fn class_bytes(size: i64) -> u64 {
    let class = usize::try_from(size.unsigned_abs()).unwrap_or(usize::MAX);
    CLASS_BYTES_MAX[class.clamp(1, CLASS_BYTES_MAX.len()) - 1]
}

/// The encoding when `count` elements are about to be added to a list of encoding `encoding`, and
/// have `bytes` bytes together.
pub fn grown(
    encodings: &Encodings,
    known: Option<ListRef<'_>>,
    encoding: u8,
    (count, bytes): (u64, u64),
) -> u8 {
    if encoding != list::LISTPACK {
        return encoding;
    }
    match known {
        None => grown_from(encodings, encoding, (0, std::iter::empty()), (count, bytes)),
        Some(known) => {
            let limit = Limit::growing(encodings);
            if limit.elements == u64::MAX && !may_exceed(&known, limit.bytes.saturating_sub(bytes))
            {
                return encoding;
            }
            let elements = known.iter_from(0, false);
            grown_from(encodings, encoding, (known.len(), elements), (count, bytes))
        }
    }
}

/// As [`grown`], for a list of `len` elements, these ones.
pub fn grown_from<'e>(
    encodings: &Encodings,
    encoding: u8,
    (len, elements): (u64, impl Iterator<Item = &'e [u8]>),
    (count, bytes): (u64, u64),
) -> u8 {
    let limit = Limit::growing(encodings);
    let fits = encoding == list::LISTPACK
        && len.saturating_add(count) <= limit.elements
        && limit.bytes.checked_sub(bytes).is_some_and(|bytes| fit(elements, bytes));
    if fits { list::LISTPACK } else { list::QUICKLIST }
}

/// The encoding of a list of encoding `encoding` that has become `len` elements, these ones.
pub fn shrunk<'e>(
    encodings: &Encodings,
    encoding: u8,
    (len, elements): (u64, impl Iterator<Item = &'e [u8]>),
) -> u8 {
    if encoding == list::LISTPACK {
        return encoding;
    }
    let limit = Limit::shrinking(encodings);
    // No element of a listpack takes less than two bytes.
    let fits = len <= limit.elements
        && len.saturating_mul(2) <= limit.bytes
        && (limit.bytes == u64::MAX || fit(elements, limit.bytes));
    if fits { list::LISTPACK } else { encoding }
}

/// The encoding of a new list that Redis would push to the one node of a quicklist first.
pub fn stored<'e>(encodings: &Encodings, elements: impl Iterator<Item = &'e [u8]>) -> u8 {
    /// What Redis takes an element to need in a node beyond its own bytes.
    const OVERHEAD_BYTES: u64 = 8;
    let limit = Limit::growing(encodings);
    let (mut bytes, mut count) = (LISTPACK_EMPTY_BYTES, 0);
    for element in elements {
        let grown = bytes + element.len() as u64 + OVERHEAD_BYTES;
        count += 1;
        if count > limit.elements || count > 1 && grown > limit.bytes {
            return list::QUICKLIST;
        }
        bytes += listpack_bytes(element);
    }
    let fits = limit.elements < u64::MAX || bytes <= limit.bytes;
    if fits { list::LISTPACK } else { list::QUICKLIST }
}

/// The byte of kind and encoding.
pub fn shape(encoding: u8) -> u8 {
    ValueKind::List.shape(encoding)
}

/// Whether a listpack of these elements has at most `bytes_max` bytes.
fn fit<'e>(mut elements: impl Iterator<Item = &'e [u8]>, bytes_max: u64) -> bool {
    let left = bytes_max.checked_sub(LISTPACK_EMPTY_BYTES);
    left.and_then(|left| {
        elements.try_fold(left, |left, element| left.checked_sub(listpack_bytes(element)))
    })
    .is_some()
}

/// Whether a listpack of these elements may have more than `bytes_max` bytes. O(1): an element
/// takes in a listpack at most a twentieth more than its own bytes and two.
fn may_exceed(known: &ListRef<'_>, bytes_max: u64) -> bool {
    let bytes = match known {
        ListRef::Packed(list) => list.plain_bytes() as u64,
        ListRef::Large(list) => list.memory_bytes() + 2 * list.len(),
    };
    LISTPACK_EMPTY_BYTES + bytes + bytes / 20 > bytes_max
}

#[cfg(test)]
mod tests {
    use super::{class_bytes, listpack_bytes};
    #[test]
    fn a_listpack_is_at_most_a_twentieth_longer_than_elements_and_two_bytes_for_each() {
        for len in (0..600).chain(4000..4200).chain(16_000..16_500).chain(2_000_000..2_000_003) {
            let own = len as u64 + 2;
            let theirs = listpack_bytes(&vec![b'x'; len]);
            assert!(theirs <= own + own / 20, "{len}: {theirs}, {own}");
        }
    }

    #[test]
    fn size_classes_end_at_64_kib() {
        let sizes = [-1, -2, -3, -4, -5, -6, i64::MIN].map(class_bytes);
        assert_eq!(sizes, [4096, 8192, 16384, 32768, 65536, 65536, 65536]);
    }
}
