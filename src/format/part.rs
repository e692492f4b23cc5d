//! Frame of a part file: the header at its start, the footer at its end, and the sections that the
//! footer points to. `format-spec/part.md` is normative.

use super::checksum;
use super::decoder::Decoder;
use super::manifest::PartMeta;
use super::part_block::{ALIGN_BYTES, crc_at};
use crate::error::DecodeError;
use crate::types::{DatabaseId, KeyspaceId, Lsn, Position};

/// Bytes of the header.
pub const HEADER_BYTES: usize = 128;
/// Bytes of the footer.
pub const FOOTER_BYTES: usize = 192;
/// Newest version of the format.
pub const VERSION: u32 = 1;
/// Compression kind: zstd, where a block says so.
pub const COMPRESSION_ZSTD: u32 = 1;

const HEADER_MAGIC: &[u8; 8] = b"FIRNPART";
const FOOTER_MAGIC: &[u8; 8] = b"FIRNFOOT";
const HEADER_RESERVED: usize = 52;

/// First bytes of a part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Version of the format.
    pub version: u32,
    /// Features that an older reader and writer may ignore.
    pub harmless: u32,
    /// Features that an older version may read but not write.
    pub read_only: u32,
    /// Features that a reader must know.
    pub required: u32,
    /// The database.
    pub database: DatabaseId,
    /// Identity of the part within its database.
    pub part_id: u64,
    /// When it was written, Unix milliseconds.
    pub wall_ms: u64,
    /// Cipher; 0 is none.
    pub cipher: u32,
    /// Key of the cipher.
    pub cipher_key: u32,
    /// Kind of compression that blocks may use.
    pub compression: u32,
    /// Dictionary of the compression; 0 is none.
    pub dictionary: u32,
}

impl Header {
    /// The header that this version writes.
    pub fn new(database: DatabaseId, part_id: u64, wall_ms: u64) -> Header {
        Header {
            version: VERSION,
            harmless: 0,
            read_only: 0,
            required: 0,
            database,
            part_id,
            wall_ms,
            cipher: 0,
            cipher_key: 0,
            compression: COMPRESSION_ZSTD,
            dictionary: 0,
        }
    }

    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(HEADER_MAGIC);
        for word in [self.version, self.harmless, self.read_only, self.required] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&self.database.0);
        out.extend_from_slice(&self.part_id.to_le_bytes());
        out.extend_from_slice(&self.wall_ms.to_le_bytes());
        for word in [self.cipher, self.cipher_key, self.compression, self.dictionary] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.resize(out.len() + HEADER_RESERVED, 0);
        sealed(self.part_id, 0, out)
    }

    /// Decodes and checks a header; whether its version is supported is for the caller to see
    /// ([`Header::unsupported`]).
    ///
    /// # Errors
    /// When any bit is not as it was written.
    pub fn decode(bytes: &[u8]) -> Result<Header, DecodeError> {
        let mut input = Decoder::new(bytes);
        if input.bytes(8)? != HEADER_MAGIC {
            return Err(DecodeError::new(0, "not a part"));
        }
        let header = Header {
            version: input.u32()?,
            harmless: input.u32()?,
            read_only: input.u32()?,
            required: input.u32()?,
            database: DatabaseId(input.bytes16()?),
            part_id: input.u64()?,
            wall_ms: input.u64()?,
            cipher: input.u32()?,
            cipher_key: input.u32()?,
            compression: input.u32()?,
            dictionary: input.u32()?,
        };
        let reserved = input.bytes(HEADER_RESERVED as u64)?;
        let sealed_bytes = input.offset();
        if crc_at(header.part_id, 0, &bytes[..sealed_bytes]) != input.u32()? {
            return Err(DecodeError::new(0, "header checksum does not match"));
        }
        input.end()?;
        if header.version <= VERSION {
            Decoder::new(reserved).zeros(HEADER_RESERVED)?;
        }
        Ok(header)
    }

    /// The version, feature, cipher or compression that this version cannot read, if any.
    pub fn unsupported(&self) -> Option<u32> {
        if self.version != VERSION {
            return Some(self.version);
        }
        let alien = [self.required, self.cipher, self.dictionary];
        let compression = Some(self.compression).filter(|&kind| kind > COMPRESSION_ZSTD);
        alien.into_iter().find(|&word| word != 0).or(compression)
    }
}

/// Appends the checksum of `bytes`, which stand at `offset`.
fn sealed<const N: usize>(part_id: u64, offset: u64, mut bytes: Vec<u8>) -> [u8; N] {
    let crc = crc_at(part_id, offset, &bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.try_into().expect("the layout has a fixed size")
}

/// A checked run of bytes between the blocks and the footer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Section {
    /// Offset in the file, aligned.
    pub offset: u64,
    /// Length in bytes, without the zeros that fill it up to the next section.
    pub len: u64,
    /// Checksum, salted with part id and offset.
    pub crc: u32,
}

impl Section {
    /// Bytes with the padding.
    pub fn padded_bytes(&self) -> Option<u64> {
        self.len.checked_next_multiple_of(ALIGN_BYTES as u64)
    }
}

/// A keyspace and a position in it: the order of a part.
pub type Place = (KeyspaceId, Position);

/// Last bytes of a part.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Footer {
    /// The part.
    pub part_id: u64,
    /// Value blocks and key blocks lie between the header and here.
    pub blocks_end: u64,
    /// Rows of all kinds.
    pub row_count: u64,
    /// Rows that are not pages: one a key.
    pub key_count: u64,
    /// Rows that say that a key is gone.
    pub tombstone_count: u64,
    /// Rows of the deadline blocks.
    pub deadline_count: u64,
    /// Bytes of all values.
    pub value_bytes: u64,
    /// Lowest LSN of a row; 0 without rows.
    pub min_lsn: Lsn,
    /// Highest LSN of a row or count.
    pub max_lsn: Lsn,
    /// Lowest place.
    pub min: Place,
    /// Highest place.
    pub max: Place,
    /// Exact counts of slots.
    pub counts: Section,
    /// First place of each key block.
    pub key_index: Section,
    /// First row of each deadline block.
    pub deadline_index: Section,
    /// The filter.
    pub filter: Section,
}

impl Footer {
    /// The sections in the order of the file.
    pub fn sections(&self) -> [Section; 4] {
        [self.counts, self.key_index, self.deadline_index, self.filter]
    }

    /// What the MANIFEST keeps of the part; `encoded` are this footer's bytes.
    pub fn meta(&self, run: u64, file_bytes: u64, encoded: &[u8; FOOTER_BYTES]) -> PartMeta {
        PartMeta {
            id: self.part_id,
            file_bytes,
            run,
            row_count: self.row_count,
            min: self.min,
            max: self.max,
            max_lsn: self.max_lsn,
            footer_crc: checksum::plain(encoded),
        }
    }

    /// The footer's bytes; it stands at `offset`.
    pub fn encode(&self, offset: u64) -> [u8; FOOTER_BYTES] {
        let mut out = Vec::with_capacity(FOOTER_BYTES);
        out.extend_from_slice(FOOTER_MAGIC);
        for word in [
            self.part_id,
            self.blocks_end,
            self.row_count,
            self.key_count,
            self.tombstone_count,
            self.deadline_count,
            self.value_bytes,
            self.min_lsn,
            self.max_lsn,
        ] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        for (keyspace, position) in [self.min, self.max] {
            out.extend_from_slice(&keyspace.to_le_bytes());
            out.extend_from_slice(&position.0.to_le_bytes());
        }
        for section in self.sections() {
            out.extend_from_slice(&section.offset.to_le_bytes());
            out.extend_from_slice(&section.len.to_le_bytes());
            out.extend_from_slice(&section.crc.to_le_bytes());
        }
        out.resize(FOOTER_BYTES - 4, 0);
        sealed(self.part_id, offset, out)
    }

    /// Decodes and checks a footer that stands at `offset` of part `part_id`.
    ///
    /// # Errors
    /// When any bit is not as it was written, or the sections do not fill the file.
    pub fn decode(part_id: u64, offset: u64, bytes: &[u8]) -> Result<Footer, DecodeError> {
        let mut input = Decoder::new(bytes);
        if input.bytes(8)? != FOOTER_MAGIC {
            return Err(DecodeError::new(0, "the part has no footer"));
        }
        let mut footer = Footer {
            part_id: input.u64()?,
            blocks_end: input.u64()?,
            row_count: input.u64()?,
            key_count: input.u64()?,
            tombstone_count: input.u64()?,
            deadline_count: input.u64()?,
            value_bytes: input.u64()?,
            min_lsn: input.lsn()?,
            max_lsn: input.lsn()?,
            min: (input.u32()?, Position(input.u64()?)),
            max: (input.u32()?, Position(input.u64()?)),
            ..Footer::default()
        };
        for section in [
            &mut footer.counts,
            &mut footer.key_index,
            &mut footer.deadline_index,
            &mut footer.filter,
        ] {
            *section = Section { offset: input.u64()?, len: input.u64()?, crc: input.u32()? };
        }
        input.zeros(FOOTER_BYTES - 4 - input.offset())?;
        let sealed_bytes = input.offset();
        if crc_at(part_id, offset, &bytes[..sealed_bytes]) != input.u32()? {
            return Err(DecodeError::new(0, "footer checksum does not match"));
        }
        input.end()?;
        footer.check(part_id, offset)?;
        Ok(footer)
    }

    fn check(&self, part_id: u64, offset: u64) -> Result<(), DecodeError> {
        if self.part_id != part_id {
            return Err(DecodeError::new(8, "footer of another part"));
        }
        let mut at = self.counts.offset;
        let blocks = HEADER_BYTES as u64..=at;
        if !blocks.contains(&self.blocks_end) || !at.is_multiple_of(ALIGN_BYTES as u64) {
            return Err(DecodeError::new(16, "blocks overlap the sections"));
        }
        for section in self.sections() {
            let end = section.padded_bytes().and_then(|bytes| bytes.checked_add(at));
            if section.offset != at {
                return Err(DecodeError::new(104, "sections do not follow each other"));
            }
            at = end.ok_or(DecodeError::new(104, "section too long"))?;
        }
        match at == offset {
            true => Ok(()),
            false => Err(DecodeError::new(104, "sections do not end at the footer")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header::new(DatabaseId([9; 16]), 77, 1_700_000_000_000)
    }

    fn footer() -> Footer {
        let section = |offset, len| Section { offset, len, crc: 5 };
        Footer {
            part_id: 77,
            blocks_end: 256,
            row_count: 3,
            key_count: 2,
            max_lsn: 12,
            min: (0, Position(5)),
            max: (4, Position(2)),
            counts: section(512, 13),
            key_index: section(528, 24),
            deadline_index: section(552, 0),
            filter: section(552, 64),
            ..Footer::default()
        }
    }

    #[test]
    fn header_and_footer_survive() {
        assert_eq!(Header::decode(&header().encode()), Ok(header()));
        assert_eq!(Footer::decode(77, 616, &footer().encode(616)), Ok(footer()));
        assert!(Footer::decode(77, 624, &footer().encode(624)).is_err());
        assert!(Footer::decode(78, 616, &footer().encode(616)).is_err());
    }

    #[test]
    fn every_bit_flip_is_detected() {
        let (head, foot) = (header().encode(), footer().encode(616));
        for bit in 0..HEADER_BYTES * 8 {
            let mut bad = head;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&bad).is_err(), "header bit {bit}");
        }
        for bit in 0..FOOTER_BYTES * 8 {
            let mut bad = foot;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Footer::decode(77, 616, &bad).is_err(), "footer bit {bit}");
        }
    }

    #[test]
    fn what_a_reader_must_know_is_told() {
        assert_eq!(header().unsupported(), None);
        assert_eq!(Header { version: 2, ..header() }.unsupported(), Some(2));
        assert_eq!(Header { required: 8, ..header() }.unsupported(), Some(8));
        assert_eq!(Header { cipher: 1, ..header() }.unsupported(), Some(1));
        assert_eq!(Header { compression: 3, ..header() }.unsupported(), Some(3));
        assert_eq!(Header { harmless: 3, ..header() }.unsupported(), None);
        let newer = Header { version: 2, ..header() };
        assert_eq!(Header::decode(&newer.encode()), Ok(newer));
    }
}
