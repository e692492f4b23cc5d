//! Log fragments: the 40-byte header and the rules of its fields.

use crate::error::DecodeError;
use crate::format::checksum::Salt;
use crate::format::decoder::Decoder;
use crate::limits::FRAGMENT_BYTES_MAX;
use crate::types::Lsn;

/// Size of a fragment's header.
pub const HEADER_BYTES: usize = 40;
/// Fragments start at multiples of this.
pub const ALIGN_BYTES: usize = 8;

const SYNCED_AT: usize = 24;
const LSN_AT: usize = 16;

/// What a fragment is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Records, whole or in part.
    Data = 1,
    /// Only states how far the log was durable.
    Sync = 2,
    /// Ends a segment and names the next.
    Seal = 3,
}

/// Where a fragment stands in its frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// The only one.
    Full = 1,
    /// The first of several.
    First = 2,
    /// Neither first nor last.
    Middle = 3,
    /// The last of several.
    Last = 4,
}

impl Place {
    /// The place of a fragment that is or is not at its frame's ends.
    pub fn of(first: bool, last: bool) -> Place {
        match (first, last) {
            (true, true) => Place::Full,
            (true, false) => Place::First,
            (false, false) => Place::Middle,
            (false, true) => Place::Last,
        }
    }

    /// Whether a frame begins here.
    pub fn begins(self) -> bool {
        matches!(self, Place::Full | Place::First)
    }

    /// Whether a frame ends here.
    pub fn ends(self) -> bool {
        matches!(self, Place::Full | Place::Last)
    }
}

/// Header of a fragment, without its own checksum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FragmentHeader {
    /// Bytes of payload, at most `FRAGMENT_BYTES_MAX`.
    pub payload_bytes: u32,
    /// Plain CRC of the payload.
    pub payload_crc: u32,
    /// Kind.
    pub kind: Kind,
    /// Place.
    pub place: Place,
    /// The frame; a control fragment repeats the last data fragment's.
    pub lsn: Lsn,
    /// Highest LSN known durable when this was written.
    pub synced_upto: Lsn,
    /// Wall time in milliseconds since the Unix epoch.
    pub wall_ms: u64,
}

impl FragmentHeader {
    /// The bytes, with a header checksum under `salt`.
    pub fn encode(&self, salt: Salt) -> [u8; HEADER_BYTES] {
        let mut out = self.encode_unstamped();
        stamp(&mut out, self.synced_upto, salt);
        out
    }

    /// The bytes with the header checksum still 0; [`stamp`] completes them.
    pub fn encode_unstamped(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[4..8].copy_from_slice(&self.payload_bytes.to_le_bytes());
        out[8..12].copy_from_slice(&self.payload_crc.to_le_bytes());
        out[12] = self.kind as u8;
        out[13] = self.place as u8;
        out[LSN_AT..LSN_AT + 8].copy_from_slice(&self.lsn.to_le_bytes());
        out[SYNCED_AT..SYNCED_AT + 8].copy_from_slice(&self.synced_upto.to_le_bytes());
        out[32..40].copy_from_slice(&self.wall_ms.to_le_bytes());
        out
    }

    /// Reads a header and checks it under `salt`.
    ///
    /// # Errors
    /// A field is out of its range or the checksum is wrong.
    pub fn decode(bytes: &[u8], salt: Salt) -> Result<FragmentHeader, DecodeError> {
        let header = FragmentHeader::decode_unstamped(bytes)?;
        let stored = Decoder::new(bytes).u32()?;
        if stored != salt.checksum([&bytes[4..HEADER_BYTES]]) {
            return Err(DecodeError::new(0, "fragment header fails its checksum"));
        }
        Ok(header)
    }

    /// Reads a header without its checksum; only for bytes that never left this process.
    ///
    /// # Errors
    /// A field is out of its range.
    pub fn decode_unstamped(bytes: &[u8]) -> Result<FragmentHeader, DecodeError> {
        let mut decoder = Decoder::new(bytes);
        decoder.u32()?;
        let payload_bytes = decoder.u32()?;
        if payload_bytes as usize > FRAGMENT_BYTES_MAX {
            return Err(DecodeError::new(4, "fragment is longer than allowed"));
        }
        let payload_crc = decoder.u32()?;
        let kind = match decoder.u8()? {
            1 => Kind::Data,
            2 => Kind::Sync,
            3 => Kind::Seal,
            _ => return Err(DecodeError::new(12, "unknown kind of fragment")),
        };
        let place = match decoder.u8()? {
            1 => Place::Full,
            2 => Place::First,
            3 => Place::Middle,
            4 => Place::Last,
            _ => return Err(DecodeError::new(13, "unknown place of fragment")),
        };
        if decoder.u16()? != 0 {
            return Err(DecodeError::new(14, "reserved bytes of a fragment are in use"));
        }
        Ok(FragmentHeader {
            payload_bytes,
            payload_crc,
            kind,
            place,
            lsn: decoder.lsn()?,
            synced_upto: decoder.lsn()?,
            wall_ms: decoder.u64()?,
        })
    }

    /// Bytes from this fragment's start to the next one's.
    pub fn stride(&self) -> u64 {
        stride(u64::from(self.payload_bytes))
    }
}

/// Bytes that a fragment with such a payload takes, padding included.
pub const fn stride(payload_bytes: u64) -> u64 {
    (HEADER_BYTES as u64 + payload_bytes).next_multiple_of(ALIGN_BYTES as u64)
}

/// Puts `synced_upto` and the header checksum into an encoded header at the start of `bytes`.
pub fn stamp(bytes: &mut [u8], synced_upto: Lsn, salt: Salt) {
    bytes[SYNCED_AT..SYNCED_AT + 8].copy_from_slice(&synced_upto.to_le_bytes());
    let crc = salt.checksum([&bytes[4..HEADER_BYTES]]);
    bytes[..4].copy_from_slice(&crc.to_le_bytes());
}

/// Whether bytes could be a header at all: a cheap test before the checksum, for searches.
pub fn is_plausible(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER_BYTES
        && matches!(bytes[12], 1..=3)
        && matches!(bytes[13], 1..=4)
        && bytes[14..16] == [0, 0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> FragmentHeader {
        FragmentHeader {
            payload_bytes: 300,
            payload_crc: 0x1234_5678,
            kind: Kind::Data,
            place: Place::First,
            lsn: 99,
            synced_upto: 98,
            wall_ms: 1_700_000_000_000,
        }
    }

    #[test]
    fn a_header_reads_back_under_its_salt_only() {
        let bytes = header().encode(Salt::new(5));
        assert_eq!(FragmentHeader::decode(&bytes, Salt::new(5)).unwrap(), header());
        assert!(FragmentHeader::decode(&bytes, Salt::new(6)).is_err());
        assert!(FragmentHeader::decode(&bytes[..39], Salt::new(5)).is_err());
        assert_eq!(header().stride(), 344);
        assert!(is_plausible(&bytes));
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_detected() {
        let bytes = header().encode(Salt::new(5));
        for bit in 0..HEADER_BYTES * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(FragmentHeader::decode(&damaged, Salt::new(5)).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn stamping_completes_an_unstamped_header() {
        let mut bytes = FragmentHeader { synced_upto: 0, ..header() }.encode_unstamped();
        assert!(FragmentHeader::decode(&bytes, Salt::new(5)).is_err());
        stamp(&mut bytes, 98, Salt::new(5));
        assert_eq!(bytes, header().encode(Salt::new(5)));
    }

    #[test]
    fn zeros_and_oversized_lengths_are_no_header() {
        assert!(FragmentHeader::decode_unstamped(&[0; 40]).is_err());
        assert!(!is_plausible(&[0; 40]));
        let long = FragmentHeader { payload_bytes: (1 << 20) + 1, ..header() };
        assert!(FragmentHeader::decode(&long.encode(Salt::new(5)), Salt::new(5)).is_err());
    }

    #[test]
    fn places_follow_from_the_ends() {
        for (first, last) in [(true, true), (true, false), (false, true), (false, false)] {
            let place = Place::of(first, last);
            assert_eq!((place.begins(), place.ends()), (first, last));
        }
    }
}
