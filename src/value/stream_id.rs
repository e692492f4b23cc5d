//! IDs of a stream's entries.

use std::fmt;

use crate::value::item::{put_varint, varint};

/// Name of an entry. IDs ascend as time does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct StreamId {
    /// Milliseconds since 1970, mostly.
    pub ms: u64,
    /// Which of the entries of that millisecond.
    pub seq: u64,
}

impl StreamId {
    /// The ID below that of any entry.
    pub const ZERO: StreamId = StreamId { ms: 0, seq: 0 };
    /// The highest ID.
    pub const MAX: StreamId = StreamId { ms: u64::MAX, seq: u64::MAX };

    /// The ID behind this one; none behind the highest.
    pub fn next(self) -> Option<StreamId> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(StreamId { ms: self.ms, seq }),
            None => Some(StreamId { ms: self.ms.checked_add(1)?, seq: 0 }),
        }
    }

    /// The ID in front of this one; none in front of the lowest.
    pub fn previous(self) -> Option<StreamId> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(StreamId { ms: self.ms, seq }),
            None => Some(StreamId { ms: self.ms.checked_sub(1)?, seq: u64::MAX }),
        }
    }

    /// Appends both numbers as varints.
    pub fn encode(self, out: &mut Vec<u8>) {
        put_varint(self.ms, out);
        put_varint(self.seq, out);
    }

    /// The ID at `at`, and where it ends.
    #[inline]
    pub fn decode(bytes: &[u8], at: usize) -> Option<(StreamId, usize)> {
        let (ms, at) = varint(bytes, at)?;
        let (seq, at) = varint(bytes, at)?;
        Some((StreamId { ms, seq }, at))
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_cross_the_edge_of_a_millisecond() {
        let edge = StreamId { ms: 4, seq: u64::MAX };
        let behind = StreamId { ms: 5, seq: 0 };
        assert_eq!((edge.next(), behind.previous()), (Some(behind), Some(edge)));
        assert_eq!(behind.next(), Some(StreamId { ms: 5, seq: 1 }));
        assert_eq!((StreamId::MAX.next(), StreamId::ZERO.previous()), (None, None));
    }
}
