//! The 4096-byte header of a log segment.

use crate::error::DecodeError;
use crate::format::checksum;
use crate::format::decoder::Decoder;
use crate::format::file_name::SegmentName;
use crate::types::{DatabaseId, Lsn};

/// Size of the header; fragments begin here.
pub const HEADER_BYTES: usize = 4096;
/// First bytes of every segment.
pub const MAGIC: [u8; 8] = *b"FIRNLOG\n";
/// The version this code writes, and the newest that it reads.
pub const VERSION: u32 = 1;

const CRC_AT: usize = HEADER_BYTES - 4;

/// What a segment says about itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentHeader {
    /// Format version.
    pub version: u32,
    /// Features that any reader and writer may ignore.
    pub features_harmless: u32,
    /// Features that a reader may ignore, a writer may not.
    pub features_read_only: u32,
    /// Features without which the segment cannot be read.
    pub features_required: u32,
    /// The database.
    pub database: DatabaseId,
    /// Epoch.
    pub epoch: u32,
    /// LSN of the first data fragment that it may hold.
    pub first_lsn: Lsn,
    /// Which fragment of that frame it is.
    pub first_fragment: u32,
    /// Enters the checksum of every fragment header; random.
    pub salt: u64,
    /// Reserved: cipher, key id, compression, dictionary; all 0.
    pub transforms: [u32; 4],
}

impl SegmentHeader {
    /// A header of this version without any feature.
    pub fn new(database: DatabaseId, name: SegmentName, salt: u64) -> SegmentHeader {
        SegmentHeader {
            version: VERSION,
            features_harmless: 0,
            features_read_only: 0,
            features_required: 0,
            database,
            epoch: name.epoch,
            first_lsn: name.first_lsn,
            first_fragment: name.first_fragment,
            salt,
            transforms: [0; 4],
        }
    }

    /// The name of the segment's file.
    pub fn name(&self) -> SegmentName {
        SegmentName {
            epoch: self.epoch,
            first_lsn: self.first_lsn,
            first_fragment: self.first_fragment,
        }
    }

    /// The bytes on disk.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(&MAGIC);
        for word in
            [self.version, self.features_harmless, self.features_read_only, self.features_required]
        {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&self.database.0);
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(&self.first_fragment.to_le_bytes());
        out.extend_from_slice(&self.first_lsn.to_le_bytes());
        out.extend_from_slice(&self.salt.to_le_bytes());
        for word in self.transforms {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.resize(CRC_AT, 0);
        out.extend_from_slice(&checksum::plain(&out).to_le_bytes());
        out
    }

    /// Reads what [`SegmentHeader::encode`] writes. Whether version and features are known is the
    /// caller's question ([`SegmentHeader::unsupported`]): an inspector reads them all the same.
    ///
    /// # Errors
    /// The length, the magic or the checksum is wrong.
    pub fn decode(bytes: &[u8]) -> Result<SegmentHeader, DecodeError> {
        if bytes.len() < HEADER_BYTES {
            return Err(DecodeError::new(bytes.len() as u64, "segment header is cut short"));
        }
        let mut decoder = Decoder::new(&bytes[..HEADER_BYTES]);
        if decoder.bytes(8)? != MAGIC {
            return Err(DecodeError::new(0, "not a log segment"));
        }
        let stored = Decoder::new(&bytes[CRC_AT..]).u32()?;
        if stored != checksum::plain(&bytes[..CRC_AT]) {
            return Err(DecodeError::new(0, "segment header fails its checksum"));
        }
        Ok(SegmentHeader {
            version: decoder.u32()?,
            features_harmless: decoder.u32()?,
            features_read_only: decoder.u32()?,
            features_required: decoder.u32()?,
            database: DatabaseId(decoder.bytes16()?),
            epoch: decoder.u32()?,
            first_fragment: decoder.u32()?,
            first_lsn: decoder.u64()?,
            salt: decoder.u64()?,
            transforms: [decoder.u32()?, decoder.u32()?, decoder.u32()?, decoder.u32()?],
        })
    }

    /// The version, feature or transform that keeps this code from reading (or, with `writing`,
    /// from writing to the same database), if any.
    pub fn unsupported(&self, writing: bool) -> Option<u32> {
        let read_only = if writing { self.features_read_only } else { 0 };
        let words = [self.features_required, read_only].into_iter().chain(self.transforms);
        let unknown_version = (self.version != VERSION).then_some(self.version);
        unknown_version.or_else(|| words.into_iter().find(|&word| word != 0))
    }
}

/// Payload of a seal: the segment that comes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seal {
    /// Its first LSN.
    pub first_lsn: Lsn,
    /// Its first fragment.
    pub first_fragment: u32,
    /// Its salt.
    pub salt: u64,
}

impl Seal {
    /// Size of the payload.
    pub const BYTES: usize = 20;

    /// The payload.
    pub fn encode(&self) -> [u8; Seal::BYTES] {
        let mut out = [0; Seal::BYTES];
        out[..8].copy_from_slice(&self.first_lsn.to_le_bytes());
        out[8..16].copy_from_slice(&self.salt.to_le_bytes());
        out[16..].copy_from_slice(&self.first_fragment.to_le_bytes());
        out
    }

    /// Reads what [`Seal::encode`] writes.
    ///
    /// # Errors
    /// The length is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Seal, DecodeError> {
        if bytes.len() != Seal::BYTES {
            return Err(DecodeError::new(0, "seal has the wrong length"));
        }
        let mut decoder = Decoder::new(bytes);
        Ok(Seal { first_lsn: decoder.u64()?, salt: decoder.u64()?, first_fragment: decoder.u32()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        let name = SegmentName { epoch: 3, first_lsn: 77, first_fragment: 2 };
        SegmentHeader::new(DatabaseId([7; 16]), name, 0xfeed_f00d_dead_beef)
    }

    #[test]
    fn a_header_reads_back_and_knows_its_name() {
        let bytes = header().encode();
        assert_eq!(bytes.len(), HEADER_BYTES);
        let read = SegmentHeader::decode(&bytes).unwrap();
        assert_eq!(read, header());
        assert_eq!(read.name().encode(), "00000003-000000000000004d_00000002.log");
        assert_eq!(read.unsupported(true), None);
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_detected() {
        let bytes = header().encode();
        for bit in 0..HEADER_BYTES * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&damaged).is_err(), "bit {bit}");
        }
        assert!(SegmentHeader::decode(&bytes[..HEADER_BYTES - 1]).is_err());
    }

    #[test]
    fn unknown_features_keep_out_those_they_concern() {
        let harmless = SegmentHeader { features_harmless: 1, ..header() };
        let read_only = SegmentHeader { features_read_only: 2, ..header() };
        let required = SegmentHeader { features_required: 4, ..header() };
        let newer = SegmentHeader { version: 9, ..header() };
        let encrypted = SegmentHeader { transforms: [1, 0, 0, 0], ..header() };
        assert_eq!(harmless.unsupported(true), None);
        assert_eq!((read_only.unsupported(false), read_only.unsupported(true)), (None, Some(2)));
        assert_eq!(required.unsupported(false), Some(4));
        assert_eq!(newer.unsupported(false), Some(9));
        assert_eq!(encrypted.unsupported(false), Some(1));
    }

    #[test]
    fn a_seal_reads_back() {
        let seal = Seal { first_lsn: 1 << 40, first_fragment: 3, salt: 5 };
        assert_eq!(Seal::decode(&seal.encode()).unwrap(), seal);
        assert!(Seal::decode(&seal.encode()[1..]).is_err());
    }
}
