//! Small collections: one blob that stands inside its entry, in memory as on disk.
//!
//! ```text
//! blob = head byte (kind << 4 | encoding), items
//! items = elements (list_item.rs) of a list
//!       | items (item.rs) of a hash, a set, or a sorted set in the order of (score, member)
//! ```
//!
//! The encoding is what `OBJECT ENCODING` is told. Nothing here interprets it, but that a set of
//! [`SET_INTSET`] keeps its members in numeric order.

use crate::limits::{PACKED_BYTES_MAX, PACKED_ITEMS_MAX};
use crate::types::ValueKind;
use crate::value::list_item;
use crate::value::packed_members;

/// The encoding of a packed set whose members are integers.
pub const SET_INTSET: u8 = 0;

/// The head byte. `encoding` is below 16.
pub fn head(kind: ValueKind, encoding: u8) -> u8 {
    assert!(encoding < 16, "an encoding has four bits");
    (kind as u8) << 4 | encoding
}

/// The kind of a blob; None when its head names none that is packed.
pub fn kind(blob: &[u8]) -> Option<ValueKind> {
    let packed = [ValueKind::List, ValueKind::Set, ValueKind::Zset, ValueKind::Hash];
    ValueKind::from_number(blob.first()? >> 4).filter(|kind| packed.contains(kind))
}

/// The encoding of a blob.
///
/// # Panics
/// When the blob is empty.
pub fn encoding(blob: &[u8]) -> u8 {
    blob[0] & 15
}

/// Whether a blob of `blob_len` bytes and `count` items may stay packed.
pub fn fits(blob_len: usize, count: usize) -> bool {
    blob_len <= PACKED_BYTES_MAX && count <= PACKED_ITEMS_MAX
}

/// The number of items of a blob from a disk or a client; None when it is not a valid one. It may
/// be larger than what [`fits`], but is not empty.
///
/// Readers and writers of this module and its siblings take only what passed here, or what they
/// wrote themselves.
pub fn validate(blob: &[u8]) -> Option<u64> {
    let count = match kind(blob)? {
        ValueKind::List => list_item::validate(&blob[1..]),
        kind => packed_members::validate(blob, kind),
    };
    count.filter(|&count| count > 0)
}
