//! The first word of an entry: its LSN (56 bits) above eight flags.

use crate::types::Lsn;

use super::entry::EntryRef;

/// The key is known to be absent.
pub(super) const TOMBSTONE: u64 = 1 << 0;
/// A deadline follows the first word.
pub(super) const HAS_EXPIRY: u64 = 1 << 1;
/// `OBJECT ENCODING` answers `raw` however short the string is.
pub(super) const RAW: u64 = 1 << 2;
/// The body is a pointer to an object.
pub(super) const OBJECT: u64 = 1 << 3;
/// The parts' view of the key is "not there": its tombstone needs no row.
pub(super) const FRESH: u64 = 1 << 4;
/// The object holds pending deltas; kept here so that asking needs no second cache line. Without
/// OBJECT, the inline value is a packed collection.
pub(super) const PENDING: u64 = 1 << 5;
pub(super) const PACKED: u64 = PENDING;
/// In which of the two generations of the deadline queue the key waits (bits 6 and 7), or 0.
pub(super) const QUEUE_SHIFT: u32 = 6;
pub(super) const QUEUE: u64 = 0b11 << QUEUE_SHIFT;
pub(super) const BODY_FLAGS: u64 = TOMBSTONE | OBJECT | PENDING | HAS_EXPIRY;
pub(super) const LSN_SHIFT: u32 = 8;

impl EntryRef<'_> {
    /// LSN of the last change.
    pub fn lsn(self) -> Lsn {
        self.meta() >> LSN_SHIFT
    }

    /// Whether the key is known to be absent.
    pub fn is_tombstone(self) -> bool {
        self.meta() & TOMBSTONE != 0
    }

    /// Whether deltas wait for the cold base; the value is not known yet.
    pub fn is_pending(self) -> bool {
        self.meta() & (PENDING | OBJECT) == PENDING | OBJECT
    }

    /// Whether the key holds a value that can be read.
    pub fn is_live(self) -> bool {
        !self.is_tombstone() && !self.is_pending()
    }

    /// Whether the inline value is a packed collection.
    pub(super) fn is_packed(self) -> bool {
        self.meta() & (PACKED | OBJECT) == PACKED
    }

    /// Whether the parts' view of the key is "not there".
    pub fn is_fresh(self) -> bool {
        self.meta() & FRESH != 0
    }

    /// `OBJECT ENCODING` answers `raw` however short the string is.
    pub fn raw(self) -> bool {
        self.meta() & RAW != 0
    }

    /// Generation of the deadline queue that the key waits in, or 0.
    pub fn queue(self) -> u8 {
        ((self.meta() & QUEUE) >> QUEUE_SHIFT) as u8
    }
}
