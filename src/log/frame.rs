//! A frame while it is built: encoded records, with large values by reference.

use bytes::Bytes;

use crate::format::record::Record;

/// Values below this are copied into the frame, in bytes; above, they are kept by reference.
const SHARED_BYTES_MIN: usize = 4 << 10;

/// The effects of one atomic unit. Reusable: an append leaves it empty.
#[derive(Debug, Default)]
pub struct Frame {
    /// Wall time in milliseconds since the Unix epoch.
    pub wall_ms: u64,
    /// Everything but the shared pieces.
    pub(super) bytes: Vec<u8>,
    /// Shared pieces; each stands behind the first `usize` of `bytes`.
    pub(super) pieces: Vec<(usize, Bytes)>,
    pieces_bytes: usize,
}

impl Frame {
    /// An empty frame.
    pub fn new(wall_ms: u64) -> Frame {
        Frame { wall_ms, ..Frame::default() }
    }

    /// An empty frame that uses this memory.
    pub fn reusing(wall_ms: u64, mut bytes: Vec<u8>) -> Frame {
        bytes.clear();
        Frame { wall_ms, bytes, ..Frame::default() }
    }

    /// The memory of an empty frame, to be used again.
    pub fn take_memory(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// Adds a record.
    pub fn push(&mut self, record: &Record<'_>) {
        record.encode(&mut self.bytes);
    }

    /// Adds a record that ends with `pieces` instead of the bytes it holds itself.
    pub fn push_shared(&mut self, record: &Record<'_>, pieces: &[Bytes]) {
        let len: usize = pieces.iter().map(Bytes::len).sum();
        record.encode_head(len as u64, &mut self.bytes);
        self.push_pieces(pieces);
    }

    pub(super) fn push_pieces(&mut self, pieces: &[Bytes]) {
        for piece in pieces {
            if piece.len() < SHARED_BYTES_MIN {
                self.bytes.extend_from_slice(piece);
            } else {
                self.pieces_bytes += piece.len();
                self.pieces.push((self.bytes.len(), piece.clone()));
            }
        }
    }

    /// Bytes of the payload.
    pub fn payload_bytes(&self) -> u64 {
        (self.bytes.len() + self.pieces_bytes) as u64
    }

    /// Whether there is nothing to log.
    pub fn is_empty(&self) -> bool {
        self.payload_bytes() == 0
    }

    /// Takes all records out again.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.pieces.clear();
        self.pieces_bytes = 0;
    }

    /// Moves the content out.
    pub(super) fn take(&mut self) -> (Vec<u8>, Vec<(usize, Bytes)>) {
        self.pieces_bytes = 0;
        (std::mem::take(&mut self.bytes), std::mem::take(&mut self.pieces))
    }
}

/// The payload's pieces in order.
pub(super) fn slices<'a>(bytes: &'a [u8], pieces: &'a [(usize, Bytes)]) -> Vec<&'a [u8]> {
    let mut slices = Vec::with_capacity(2 * pieces.len() + 1);
    let mut at = 0;
    for (behind, piece) in pieces {
        slices.push(&bytes[at..*behind]);
        slices.push(&piece[..]);
        at = *behind;
    }
    slices.push(&bytes[at..]);
    slices.retain(|slice| !slice.is_empty());
    slices
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::record::{CountDelta, StringValue};

    #[test]
    fn shared_values_give_the_same_payload_as_copied_ones() {
        let large = Bytes::from(vec![7; 9000]);
        let small = Bytes::from_static(b"end");
        let whole = [&large[..], &small[..]].concat();
        let put = |bytes| Record::Put {
            keyspace: 1,
            key: b"key",
            expire_at_ms: None,
            value: StringValue { bytes, raw: false },
            counts: CountDelta::default(),
        };
        let (mut copied, mut shared) = (Frame::new(1), Frame::new(1));
        for _ in 0..2 {
            copied.push(&put(&whole));
            shared.push_shared(&put(b""), &[large.clone(), small.clone()]);
        }
        assert_eq!(shared.pieces.len(), 2);
        assert_eq!(slices(&shared.bytes, &shared.pieces).concat(), copied.bytes);
        assert_eq!(shared.payload_bytes(), copied.payload_bytes());
        shared.clear();
        assert!(shared.is_empty());
    }
}
