//! The MANIFEST: which parts are the snapshot, and from which LSN the log is needed.
//! `format-spec/manifest.md` is normative.

use super::checksum;
use super::decoder::Decoder;
use super::part::Place;
use crate::error::DecodeError;
use crate::limits::DATABASES_MAX;
use crate::types::{DatabaseId, EPOCH_MAX, HashSeed, KeyspaceId, Lsn, Position};

/// Newest version of the format.
pub const VERSION: u32 = 1;
/// First keyspace id that a flush may hand out; those below stand for databases never flushed.
pub const FIRST_FRESH_KEYSPACE: KeyspaceId = 1 << 16;

const MAGIC: &[u8; 8] = b"FIRNMANI";
const PART_BYTES: usize = 72;
const DATABASE_BYTES: usize = 8;
const RESERVED_BYTES: usize = 32;
/// Generations and part ids end here.
const NUMBER_END: u64 = 1 << 63;

/// Which keyspace each logical database stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DatabaseMap {
    /// LSN of its last change.
    pub lsn: Lsn,
    /// (database, keyspace) pairs by database; database i that is not named stands for keyspace i.
    pub changed: Vec<(u32, KeyspaceId)>,
    /// The next fresh id.
    pub next_keyspace: KeyspaceId,
}

impl Default for DatabaseMap {
    fn default() -> DatabaseMap {
        DatabaseMap { lsn: 0, changed: Vec::new(), next_keyspace: FIRST_FRESH_KEYSPACE }
    }
}

/// A part as the MANIFEST names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PartMeta {
    /// Identity; the file's name.
    pub id: u64,
    /// Length of the file.
    pub file_bytes: u64,
    /// Age: of two parts that hold the same key, the one of the higher run is newer. Parts of one
    /// run have no key in common.
    pub run: u64,
    /// Rows of all kinds.
    pub row_count: u64,
    /// Lowest place.
    pub min: Place,
    /// Highest place.
    pub max: Place,
    /// Highest LSN of a row or count.
    pub max_lsn: Lsn,
    /// Checksum of the footer, which covers the checksums of all metadata.
    pub footer_crc: u32,
}

/// The content of a MANIFEST.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Manifest {
    /// Features that an older reader and writer may ignore.
    pub harmless: u32,
    /// Features that an older version may read but not write.
    pub read_only: u32,
    /// The database.
    pub database: DatabaseId,
    /// Seed of the keyed hash.
    pub hash_seed: HashSeed,
    /// Number of this MANIFEST, +1 with each.
    pub generation: u64,
    /// Epoch of the log.
    pub epoch: u32,
    /// First LSN that must be replayed.
    pub log_start_lsn: Lsn,
    /// The log was durable up to here when this was installed.
    pub durable_lsn: Lsn,
    /// When it was installed, Unix milliseconds.
    pub wall_ms: u64,
    /// The next part id that was never given out.
    pub next_part_id: u64,
    /// Databases.
    pub databases: DatabaseMap,
    /// The live parts.
    pub parts: Vec<PartMeta>,
}

/// Why a MANIFEST cannot be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ManifestError {
    /// It is not as it was written.
    Damaged(DecodeError),
    /// It needs a version or feature that is not known.
    Unsupported(u32),
}

impl From<DecodeError> for ManifestError {
    fn from(error: DecodeError) -> ManifestError {
        ManifestError::Damaged(error)
    }
}

impl Manifest {
    /// Length of the longest file among the parts; 0 without parts.
    pub fn largest_part_bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.file_bytes).max().unwrap_or(0)
    }

    /// The MANIFEST of an empty database, before its first installation.
    pub fn new(database: DatabaseId, hash_seed: HashSeed) -> Manifest {
        Manifest {
            harmless: 0,
            read_only: 0,
            database,
            hash_seed,
            generation: 0,
            epoch: 0,
            log_start_lsn: 1,
            durable_lsn: 0,
            wall_ms: 0,
            next_part_id: 1,
            databases: DatabaseMap::default(),
            parts: Vec::new(),
        }
    }

    /// The file's bytes.
    ///
    /// # Panics
    /// When the databases or parts are more than 2^32.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256 + self.parts.len() * PART_BYTES);
        out.extend_from_slice(MAGIC);
        for word in [VERSION, self.harmless, self.read_only, 0] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&self.database.0);
        out.extend_from_slice(&self.hash_seed.0);
        for word in [
            self.generation,
            self.log_start_lsn,
            self.durable_lsn,
            self.wall_ms,
            self.next_part_id,
            self.databases.lsn,
        ] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        let count = |len: usize| u32::try_from(len).expect("counts of a MANIFEST are 32 bits");
        for word in [
            self.epoch,
            self.databases.next_keyspace,
            count(self.databases.changed.len()),
            count(self.parts.len()),
        ] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.resize(out.len() + RESERVED_BYTES, 0);
        for (database, keyspace) in &self.databases.changed {
            out.extend_from_slice(&database.to_le_bytes());
            out.extend_from_slice(&keyspace.to_le_bytes());
        }
        self.parts.iter().for_each(|part| put_part(&mut out, part));
        let crc = checksum::plain(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    /// Decodes and checks a whole file.
    ///
    /// # Errors
    /// When any bit is not as it was written, or a newer version is needed.
    pub fn decode(bytes: &[u8]) -> Result<Manifest, ManifestError> {
        let mut input = Decoder::new(bytes);
        if input.bytes(8)? != MAGIC {
            return Err(DecodeError::new(0, "not a MANIFEST").into());
        }
        let sealed = bytes.len() - 4;
        if Decoder::starting_at(bytes, sealed).u32()? != checksum::plain(&bytes[..sealed]) {
            return Err(DecodeError::new(0, "checksum does not match").into());
        }
        let (version, harmless) = (input.u32()?, input.u32()?);
        let (read_only, required) = (input.u32()?, input.u32()?);
        if version != VERSION || required != 0 {
            let found = if version != VERSION { version } else { required };
            return Err(ManifestError::Unsupported(found));
        }
        let mut manifest = Manifest::new(DatabaseId(input.bytes16()?), HashSeed(input.bytes16()?));
        (manifest.harmless, manifest.read_only) = (harmless, read_only);
        manifest.generation = input.u64()?;
        manifest.log_start_lsn = input.lsn()?;
        manifest.durable_lsn = input.lsn()?;
        manifest.wall_ms = input.u64()?;
        manifest.next_part_id = input.u64()?;
        manifest.databases.lsn = input.lsn()?;
        manifest.epoch = input.u32()?;
        manifest.databases.next_keyspace = input.u32()?;
        let (database_count, part_count) = (input.u32()? as usize, input.u32()? as usize);
        input.zeros(RESERVED_BYTES)?;
        let lists = database_count
            .checked_mul(DATABASE_BYTES)
            .zip(part_count.checked_mul(PART_BYTES))
            .and_then(|(databases, parts)| databases.checked_add(parts));
        if lists.and_then(|lists| lists.checked_add(4)) != Some(input.remaining()) {
            return Err(input.error(0, "length does not fit the counts").into());
        }
        for _ in 0..database_count {
            let pair = (input.u32()?, input.u32()?);
            let changed = &mut manifest.databases.changed;
            if changed.last().is_some_and(|last| last.0 >= pair.0) {
                return Err(input.error(0, "databases are out of order").into());
            }
            changed.push(pair);
        }
        for _ in 0..part_count {
            manifest.parts.push(decode_part(&mut input)?);
        }
        match manifest.contradiction() {
            None => Ok(manifest),
            Some(reason) => Err(DecodeError::new(0, reason).into()),
        }
    }

    /// What no writer says, if anything: it would break what builds on a MANIFEST (D11).
    fn contradiction(&self) -> Option<&'static str> {
        let numbers = [self.generation, self.next_part_id];
        let map = &self.databases;
        let checks = [
            (self.log_start_lsn > 0, "LSNs begin at 1"),
            (self.log_start_lsn <= self.durable_lsn + 1, "the log is needed from beyond its end"),
            (map.lsn <= self.durable_lsn, "the databases are newer than the durable log"),
            (self.epoch <= EPOCH_MAX, "epoch is out of range"),
            (self.next_part_id > 0, "part ids begin at 1"),
            (
                numbers.iter().all(|&number| number < NUMBER_END),
                "generation or part id is out of range",
            ),
            (
                map.changed.iter().all(|pair| pair.0 < DATABASES_MAX),
                "database number is out of range",
            ),
            (map.changed.iter().all(|pair| pair.1 < KeyspaceId::MAX), "keyspace is out of range"),
            (
                self.parts.iter().all(|part| part.max_lsn <= self.durable_lsn),
                "a part is newer than the durable log",
            ),
        ];
        checks.into_iter().find(|(holds, _)| !holds).map(|(_, reason)| reason)
    }

    /// Whether a keyspace is what no database stands for any more.
    pub fn is_dead(&self, keyspace: KeyspaceId) -> bool {
        let map = &self.databases;
        if map.changed.iter().any(|&(_, live)| live == keyspace) {
            return false;
        }
        let named = map.changed.binary_search_by_key(&keyspace, |pair| pair.0);
        // A keyspace not yet handed out when this was installed cannot be judged by it.
        let handed_out = keyspace < map.next_keyspace;
        match keyspace < FIRST_FRESH_KEYSPACE {
            true => named.is_ok(),
            false => handed_out,
        }
    }
}

fn put_part(out: &mut Vec<u8>, part: &PartMeta) {
    for word in [part.id, part.file_bytes, part.run, part.row_count, part.max_lsn] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    for (keyspace, position) in [part.min, part.max] {
        out.extend_from_slice(&keyspace.to_le_bytes());
        out.extend_from_slice(&position.0.to_le_bytes());
    }
    out.extend_from_slice(&part.footer_crc.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
}

fn decode_part(input: &mut Decoder<'_>) -> Result<PartMeta, DecodeError> {
    let mut part = PartMeta {
        id: input.u64()?,
        file_bytes: input.u64()?,
        run: input.u64()?,
        row_count: input.u64()?,
        max_lsn: input.lsn()?,
        ..PartMeta::default()
    };
    part.min = (input.u32()?, Position(input.u64()?));
    part.max = (input.u32()?, Position(input.u64()?));
    part.footer_crc = input.u32()?;
    input.zeros(4)?;
    Ok(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Manifest {
        let part = PartMeta {
            id: 3,
            file_bytes: 5000,
            run: 2,
            row_count: 10,
            min: (0, Position(1)),
            max: (70_000, Position(u64::MAX)),
            max_lsn: 41,
            footer_crc: 0xdead_beef,
        };
        let mut manifest = Manifest::new(DatabaseId([1; 16]), HashSeed([2; 16]));
        manifest.generation = 7;
        manifest.epoch = 3;
        manifest.durable_lsn = 44;
        manifest.databases =
            DatabaseMap { lsn: 12, changed: vec![(0, 65_537), (5, 65_536)], next_keyspace: 65_539 };
        manifest.parts = vec![part, PartMeta { id: 4, ..part }];
        manifest
    }

    #[test]
    fn a_manifest_survives() {
        assert_eq!(Manifest::decode(&sample().encode()), Ok(sample()));
        let empty = Manifest::new(DatabaseId([0; 16]), HashSeed([0; 16]));
        assert_eq!(Manifest::decode(&empty.encode()), Ok(empty));
    }

    #[test]
    fn every_bit_flip_and_every_cut_is_detected() {
        let good = sample().encode();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Manifest::decode(&bad).is_err(), "bit {bit}");
        }
        for cut in 0..good.len() {
            assert!(Manifest::decode(&good[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn what_no_writer_says_is_refused_though_its_checksum_is_right() {
        let changes: [fn(&mut Manifest); 12] = [
            |manifest| manifest.log_start_lsn = 0,
            |manifest| manifest.log_start_lsn = u64::MAX,
            |manifest| manifest.durable_lsn = u64::MAX,
            |manifest| manifest.databases.lsn = u64::MAX,
            |manifest| manifest.log_start_lsn = manifest.durable_lsn + 2,
            |manifest| manifest.databases.lsn = manifest.durable_lsn + 1,
            |manifest| manifest.epoch = u32::MAX,
            |manifest| manifest.generation = u64::MAX,
            |manifest| manifest.next_part_id = u64::MAX,
            |manifest| manifest.databases.changed[1].0 = u32::MAX,
            |manifest| manifest.databases.changed[1].1 = u32::MAX,
            |manifest| manifest.parts[1].max_lsn = manifest.durable_lsn + 1,
        ];
        for (index, change) in changes.into_iter().enumerate() {
            let mut manifest = sample();
            change(&mut manifest);
            let decoded = Manifest::decode(&manifest.encode());
            assert!(matches!(decoded, Err(ManifestError::Damaged(_))), "change {index}");
        }
    }

    #[test]
    fn keyspaces_without_a_database_are_dead() {
        let manifest = sample();
        let dead: Vec<KeyspaceId> = [0, 1, 5, 65_535, 65_536, 65_537, 65_538, 65_539]
            .into_iter()
            .filter(|&keyspace| manifest.is_dead(keyspace))
            .collect();
        assert_eq!(dead, [0, 5, 65_538]);
    }
}
