//! Small collections: one blob that stands inside its entry, in memory as on disk.
//!
//! ```text
//! blob = head byte (uniform << 7 | kind << 4 | encoding), items
//! items = elements (list_item.rs) of a list
//!       | items (item.rs) of a hash, a set, or a sorted set in the order of (score, member)
//! ```
//!
//! In a *uniform* blob all items have the same lengths, which stand once, behind the head byte, and
//! none in front of an item. A blob becomes uniform with its first item and plain with the first
//! one of other lengths, and stays plain while anything of it is kept.
//!
//! The encoding is what `OBJECT ENCODING` is told. Nothing here interprets it, but that a set of
//! [`SET_INTSET`] keeps its members in numeric order.

use crate::limits::{PACKED_BYTES_MAX, PACKED_ITEMS_MAX};
use crate::types::{UNIFORM, ValueKind};
use crate::value::packed_list::PackedList;
use crate::value::packed_members::{self, PackedMembers};

/// The encoding of a packed set whose members are integers.
pub const SET_INTSET: u8 = 0;

/// The head byte of a plain blob. `encoding` is below 16.
pub fn head(kind: ValueKind, encoding: u8) -> u8 {
    assert!(encoding < 16, "an encoding has four bits");
    (kind as u8) << 4 | encoding
}

/// The kind of a blob; None when its head names none that is packed.
pub fn kind(blob: &[u8]) -> Option<ValueKind> {
    let packed = [ValueKind::List, ValueKind::Set, ValueKind::Zset, ValueKind::Hash];
    ValueKind::of_packed(*blob.first()?).filter(|kind| packed.contains(kind))
}

/// The encoding of a blob.
///
/// # Panics
/// When the blob is empty.
pub fn encoding(blob: &[u8]) -> u8 {
    blob[0] & 15
}

/// Kind and encoding of a blob in one byte.
///
/// # Panics
/// When the blob is empty.
pub fn shape(blob: &[u8]) -> u8 {
    blob[0] & !UNIFORM
}

/// Tells `OBJECT ENCODING` something else.
///
/// # Panics
/// When the blob is empty, or of another kind.
pub fn set_shape(blob: &mut [u8], new: u8) {
    assert_eq!(new >> 4, shape(blob) >> 4, "the kind stays");
    blob[0] = new | blob[0] & UNIFORM;
}

/// Whether all items have the same lengths, which stand behind the head.
#[inline]
pub(super) fn is_uniform(blob: &[u8]) -> bool {
    blob.first().is_some_and(|head| head & UNIFORM != 0)
}

/// Bytes of a valid blob once each of its items is encoded for itself; O(1).
pub fn plain_len(blob: &[u8]) -> usize {
    let items = match kind(blob) {
        Some(ValueKind::List) => PackedList::new(blob).plain_bytes(),
        _ => PackedMembers::new(blob).plain_bytes(),
    };
    1 + items
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
        ValueKind::List => PackedList::validate(blob),
        kind => packed_members::validate(blob, kind),
    };
    count.filter(|&count| count > 0)
}
