//! Log records: the effect of a write on one key, deterministic, with absolute times (D8).
//!
//! A frame's payload is a sequence of records. *Absolute* records are applied blind; *delta*
//! records need the value they change and are filtered by its LSN when that value was cold.

use crate::error::DecodeError;
use crate::format::decoder::Decoder;
use crate::format::edit::Edit;
use crate::format::varint;
use crate::limits::{DATABASES_MAX, STRING_BYTES_MAX};
use crate::types::KeyspaceId;

/// Why a key was removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeleteReason {
    /// A command asked for it.
    Command,
    /// Its deadline has passed.
    Expired,
    /// Memory was short and the policy chose it.
    Evicted,
}

/// What a record does to the exact counts of its slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CountDelta {
    /// -1, 0 or 1 keys.
    pub keys: i8,
    /// -1, 0 or 1 keys with a deadline.
    pub expires: i8,
}

/// A string value as a record carries it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StringValue<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// Whether `OBJECT ENCODING` must answer `raw` however short the value is (APPEND and others).
    pub raw: bool,
}

/// One effect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record<'a> {
    /// Absolute: the key now holds this string and this deadline.
    Put {
        /// Keyspace.
        keyspace: KeyspaceId,
        /// Key.
        key: &'a [u8],
        /// Deadline in Unix milliseconds.
        expire_at_ms: Option<u64>,
        /// Value.
        value: StringValue<'a>,
        /// Counts.
        counts: CountDelta,
    },
    /// Absolute: the key is gone.
    Delete {
        /// Keyspace.
        keyspace: KeyspaceId,
        /// Key.
        key: &'a [u8],
        /// Why.
        reason: DeleteReason,
        /// Counts.
        counts: CountDelta,
    },
    /// Delta: only the deadline changed.
    Expire {
        /// Keyspace.
        keyspace: KeyspaceId,
        /// Key.
        key: &'a [u8],
        /// The new deadline; none removes it.
        expire_at_ms: Option<u64>,
        /// Counts.
        counts: CountDelta,
    },
    /// Delta: `bytes` replace what stands at `offset` of an existing string, which grows (with
    /// zeros before `offset` if need be) when they reach past its end. The deadline stays. The
    /// value becomes `raw`.
    WriteRange {
        /// Keyspace.
        keyspace: KeyspaceId,
        /// Key.
        key: &'a [u8],
        /// First byte written.
        offset: u64,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// Absolute: the key now holds this small collection and this deadline.
    PutPacked {
        /// Keyspace.
        keyspace: KeyspaceId,
        /// Key.
        key: &'a [u8],
        /// Deadline in Unix milliseconds.
        expire_at_ms: Option<u64>,
        /// Kind and encoding, then the items.
        blob: &'a [u8],
        /// Counts.
        counts: CountDelta,
    },
    /// Delta: a collection changed. The deadline stays. Absolute where it `creates`: then the key
    /// was an empty collection without a deadline before.
    Edit {
        /// Keyspace.
        keyspace: KeyspaceId,
        /// Key.
        key: &'a [u8],
        /// Whether the collection begins with this record, whatever the key held.
        creates: bool,
        /// Kind and encoding of the collection after the change.
        shape: u8,
        /// What changed.
        edit: Edit<'a>,
        /// Counts.
        counts: CountDelta,
    },
    /// Neither: a run of a collection, logged ahead of the record that gives the collection to a
    /// key. Until then nobody sees it; if that record does not come, it was never there.
    Stage {
        /// The key that it will be given to.
        key: &'a [u8],
        /// Which stage it belongs to: no two stages of a log have one number.
        stage: u64,
        /// Whether the collection begins with this run.
        begins: bool,
        /// Kind and encoding of the collection.
        shape: u8,
        /// The run.
        edit: Edit<'a>,
    },
    /// Absolute: the key now holds the collection of a stage and this deadline.
    PutStaged {
        /// Keyspace.
        keyspace: KeyspaceId,
        /// Key.
        key: &'a [u8],
        /// Deadline in Unix milliseconds.
        expire_at_ms: Option<u64>,
        /// The stage, which ends with this.
        stage: u64,
        /// Counts.
        counts: CountDelta,
    },
    /// Absolute: databases now stand for these keyspaces (FLUSHDB, FLUSHALL, SWAPDB). Databases not
    /// named keep theirs. The only record that belongs to every partition.
    Databases {
        /// (database, keyspace) pairs.
        changed: Vec<(u32, KeyspaceId)>,
    },
}

/// Kind bytes on disk. Each later type of value takes new ones; none is ever reused.
mod kind {
    pub const PUT: u8 = 1;
    pub const DELETE: u8 = 2;
    pub const EXPIRE: u8 = 3;
    pub const WRITE_RANGE: u8 = 4;
    pub const DATABASES: u8 = 5;
    pub const PUT_PACKED: u8 = 6;
    pub const EDIT: u8 = 7;
    pub const STAGE: u8 = 8;
    pub const PUT_STAGED: u8 = 9;
}

/// Bits of the flags byte above the two count deltas.
const HAS_EXPIRY: u8 = 1 << 4;
const RAW: u8 = 1 << 5;
const CREATES: u8 = 1 << 4;
const BEGINS: u8 = 1 << 4;
const REASON_SHIFT: u32 = 4;
const COUNTS_MASK: u8 = 0x0f;

impl Record<'_> {
    /// Appends the whole record.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let bytes = self.trailing_bytes();
        self.encode_head(bytes.len() as u64, out);
        out.extend_from_slice(bytes);
    }

    /// Appends the record without the bytes it ends with (the value of a put, the bytes of a
    /// range, the items of an edit), of which `trailing_len` will follow by reference, whatever the
    /// record itself holds.
    pub fn encode_head(&self, trailing_len: u64, out: &mut Vec<u8>) {
        match self {
            Record::Put { keyspace, key, expire_at_ms, value, counts } => {
                let raw = if value.raw { RAW } else { 0 };
                let flags = counts.encode() | expiry_flag(*expire_at_ms) | raw;
                encode_key(out, kind::PUT, flags, *keyspace, key);
                encode_expiry(out, *expire_at_ms);
                varint::encode(trailing_len, out);
            }
            Record::Delete { keyspace, key, reason, counts } => {
                let flags = counts.encode() | (*reason as u8) << REASON_SHIFT;
                encode_key(out, kind::DELETE, flags, *keyspace, key);
            }
            Record::Expire { keyspace, key, expire_at_ms, counts } => {
                let flags = counts.encode() | expiry_flag(*expire_at_ms);
                encode_key(out, kind::EXPIRE, flags, *keyspace, key);
                encode_expiry(out, *expire_at_ms);
            }
            Record::WriteRange { keyspace, key, offset, .. } => {
                assert!(range_fits(*offset, trailing_len), "such a range is not read back");
                encode_key(out, kind::WRITE_RANGE, 0, *keyspace, key);
                varint::encode(*offset, out);
                varint::encode(trailing_len, out);
            }
            Record::PutPacked { keyspace, key, expire_at_ms, counts, .. } => {
                let flags = counts.encode() | expiry_flag(*expire_at_ms);
                encode_key(out, kind::PUT_PACKED, flags, *keyspace, key);
                encode_expiry(out, *expire_at_ms);
                varint::encode(trailing_len, out);
            }
            Record::Edit { keyspace, key, creates, shape, edit, counts } => {
                let flags = counts.encode() | if *creates { CREATES } else { 0 };
                encode_key(out, kind::EDIT, flags, *keyspace, key);
                out.push(*shape);
                edit.encode_head(trailing_len, out);
            }
            Record::Stage { key, stage, begins, shape, edit } => {
                out.extend_from_slice(&[kind::STAGE, if *begins { BEGINS } else { 0 }]);
                encode_prefixed(out, key);
                out.extend_from_slice(&stage.to_le_bytes());
                out.push(*shape);
                edit.encode_head(trailing_len, out);
            }
            Record::PutStaged { keyspace, key, expire_at_ms, stage, counts } => {
                let flags = counts.encode() | expiry_flag(*expire_at_ms);
                encode_key(out, kind::PUT_STAGED, flags, *keyspace, key);
                encode_expiry(out, *expire_at_ms);
                out.extend_from_slice(&stage.to_le_bytes());
            }
            Record::Databases { changed } => {
                out.extend_from_slice(&[kind::DATABASES, 0]);
                varint::encode(changed.len() as u64, out);
                for (database, keyspace) in changed {
                    varint::encode(u64::from(*database), out);
                    varint::encode(u64::from(*keyspace), out);
                }
            }
        }
    }

    /// Upper bound of what a head takes beyond its key, in bytes (a map of databases excepted).
    pub const HEAD_BYTES_MAX: usize = 2 + 5 + varint::BYTES_MAX + 8 + 2 * varint::BYTES_MAX;

    /// The key that it is about; none for a map of databases.
    pub fn key(&self) -> Option<&[u8]> {
        match self {
            Record::Put { key, .. }
            | Record::Delete { key, .. }
            | Record::Expire { key, .. }
            | Record::WriteRange { key, .. }
            | Record::PutPacked { key, .. }
            | Record::Edit { key, .. }
            | Record::Stage { key, .. }
            | Record::PutStaged { key, .. } => Some(key),
            Record::Databases { .. } => None,
        }
    }

    fn trailing_bytes(&self) -> &[u8] {
        match self {
            Record::Put { value, .. } => value.bytes,
            Record::WriteRange { bytes, .. } => bytes,
            Record::PutPacked { blob, .. } => blob,
            Record::Edit { edit, .. } | Record::Stage { edit, .. } => edit.trailing_bytes(),
            _ => &[],
        }
    }
}

/// The records of a frame's payload, in order. Ends after the first error.
pub fn records(payload: &[u8]) -> Records<'_> {
    Records { decoder: Decoder::new(payload) }
}

/// Iterator of [`records`].
#[derive(Clone, Debug)]
pub struct Records<'a> {
    decoder: Decoder<'a>,
}

impl<'a> Records<'a> {
    /// Offset of the next record in the payload.
    pub fn offset(&self) -> usize {
        self.decoder.offset()
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.decoder.remaining() == 0 {
            return None;
        }
        let record = decode(&mut self.decoder);
        if record.is_err() {
            self.decoder = Decoder::new(&[]);
        }
        Some(record)
    }
}

fn decode<'a>(decoder: &mut Decoder<'a>) -> Result<Record<'a>, DecodeError> {
    let kind = decoder.u8()?;
    let flags = decoder.u8()?;
    let known = match kind {
        kind::PUT => COUNTS_MASK | HAS_EXPIRY | RAW,
        kind::DELETE => COUNTS_MASK | 3 << REASON_SHIFT,
        kind::WRITE_RANGE | kind::DATABASES => 0,
        kind::EXPIRE | kind::PUT_PACKED | kind::PUT_STAGED => COUNTS_MASK | HAS_EXPIRY,
        kind::STAGE => BEGINS,
        kind::EDIT => COUNTS_MASK | CREATES,
        _ => return Err(decoder.error(2, "unknown kind of record")),
    };
    if flags & !known != 0 {
        return Err(decoder.error(1, "unknown flags of a record"));
    }
    let counts =
        CountDelta::decode(flags).ok_or_else(|| decoder.error(1, "invalid count delta"))?;
    match kind {
        kind::DATABASES => return decode_databases(decoder),
        kind::STAGE => return decode_stage(decoder, flags & BEGINS != 0),
        _ => {}
    }
    let flags_at = decoder.offset() as u64 - 1;
    let keyspace = decoder.varint_u32()?;
    let key = decoder.prefixed()?;
    let expiry = |decoder: &mut Decoder<'a>| match flags & HAS_EXPIRY {
        0 => Ok(None),
        _ => decoder.u64().map(Some),
    };
    Ok(match kind {
        kind::PUT => Record::Put {
            keyspace,
            key,
            expire_at_ms: expiry(decoder)?,
            value: StringValue { bytes: decoder.prefixed()?, raw: flags & RAW != 0 },
            counts,
        },
        kind::DELETE => {
            let reason = match flags >> REASON_SHIFT {
                0 => DeleteReason::Command,
                1 => DeleteReason::Expired,
                2 => DeleteReason::Evicted,
                _ => return Err(DecodeError::new(flags_at, "unknown reason of a delete")),
            };
            Record::Delete { keyspace, key, reason, counts }
        }
        kind::EXPIRE => Record::Expire { keyspace, key, expire_at_ms: expiry(decoder)?, counts },
        kind::PUT_PACKED => {
            let (expire_at_ms, blob) = (expiry(decoder)?, decoder.prefixed()?);
            Record::PutPacked { keyspace, key, expire_at_ms, blob, counts }
        }
        kind::PUT_STAGED => {
            let (expire_at_ms, stage) = (expiry(decoder)?, decoder.u64()?);
            Record::PutStaged { keyspace, key, expire_at_ms, stage, counts }
        }
        kind::EDIT => {
            let (creates, shape) = (flags & CREATES != 0, decoder.u8()?);
            let edit = Edit::decode(decoder)?;
            Record::Edit { keyspace, key, creates, shape, edit, counts }
        }
        _ => {
            let (offset, bytes) = (decoder.varint()?, decoder.prefixed()?);
            // The string grows to the end of the range: the bound comes before that (D11).
            if !range_fits(offset, bytes.len() as u64) {
                return Err(decoder.error(0, "range ends beyond the longest string"));
            }
            Record::WriteRange { keyspace, key, offset, bytes }
        }
    })
}

fn range_fits(offset: u64, len: u64) -> bool {
    offset.checked_add(len).is_some_and(|end| end <= STRING_BYTES_MAX)
}

fn decode_stage<'a>(decoder: &mut Decoder<'a>, begins: bool) -> Result<Record<'a>, DecodeError> {
    let (key, stage, shape) = (decoder.prefixed()?, decoder.u64()?, decoder.u8()?);
    Ok(Record::Stage { key, stage, begins, shape, edit: Edit::decode(decoder)? })
}

fn decode_databases<'a>(decoder: &mut Decoder<'a>) -> Result<Record<'a>, DecodeError> {
    let count = decoder.varint()?;
    // Each pair takes two bytes at least: the bound comes before the allocation (D11).
    if count > u64::from(DATABASES_MAX) || count > decoder.remaining() as u64 / 2 {
        return Err(decoder.error(0, "too many databases"));
    }
    let mut changed = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let database = decoder.varint_u32()?;
        if database >= DATABASES_MAX {
            return Err(decoder.error(0, "database number is out of range"));
        }
        let keyspace = decoder.varint_u32()?;
        // The next one must still have a number.
        if keyspace == KeyspaceId::MAX {
            return Err(decoder.error(0, "keyspace is out of range"));
        }
        changed.push((database, keyspace));
    }
    Ok(Record::Databases { changed })
}

fn encode_key(out: &mut Vec<u8>, kind: u8, flags: u8, keyspace: KeyspaceId, key: &[u8]) {
    out.extend_from_slice(&[kind, flags]);
    varint::encode(u64::from(keyspace), out);
    encode_prefixed(out, key);
}

fn encode_prefixed(out: &mut Vec<u8>, bytes: &[u8]) {
    varint::encode(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn expiry_flag(expire_at_ms: Option<u64>) -> u8 {
    if expire_at_ms.is_some() { HAS_EXPIRY } else { 0 }
}

fn encode_expiry(out: &mut Vec<u8>, expire_at_ms: Option<u64>) {
    if let Some(at) = expire_at_ms {
        out.extend_from_slice(&at.to_le_bytes());
    }
}

impl CountDelta {
    /// Two bits each: 0, 1 for +1, 2 for -1.
    fn encode(self) -> u8 {
        let bits = |delta: i8| match delta {
            0 => 0,
            1 => 1,
            -1 => 2,
            _ => panic!("a record changes a count by one at most"),
        };
        bits(self.keys) | bits(self.expires) << 2
    }

    fn decode(flags: u8) -> Option<CountDelta> {
        let delta = |bits: u8| [Some(0), Some(1), Some(-1), None][usize::from(bits & 3)];
        Some(CountDelta { keys: delta(flags)?, expires: delta(flags >> 2)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    type Owned = (u8, u32, Vec<u8>, Option<u64>, Vec<u8>, (i8, i8), u64);

    fn record(
        (kind, keyspace, key, expire_at_ms, bytes, (keys, expires), number): &Owned,
    ) -> Record<'_> {
        let (keyspace, expire_at_ms) = (*keyspace, *expire_at_ms);
        let counts = CountDelta { keys: *keys, expires: *expires };
        match kind {
            0 => {
                let value = StringValue { bytes, raw: number % 2 == 1 };
                Record::Put { keyspace, key, expire_at_ms, value, counts }
            }
            1 => {
                let reasons = [DeleteReason::Command, DeleteReason::Expired, DeleteReason::Evicted];
                let reason = reasons[*number as usize % 3];
                Record::Delete { keyspace, key, reason, counts }
            }
            2 => Record::Expire { keyspace, key, expire_at_ms, counts },
            3 => Record::WriteRange { keyspace, key, offset: *number, bytes },
            4 => Record::PutPacked { keyspace, key, expire_at_ms, blob: bytes, counts },
            5 => {
                let index = *number;
                let edit = match number % 7 {
                    0 => Edit::Put { items: bytes },
                    1 => Edit::Remove { members: bytes },
                    2 => Edit::Push { front: true, elements: bytes },
                    3 => Edit::Push { front: false, elements: bytes },
                    4 => Edit::Cut { index, count: u64::from(keyspace) },
                    5 => Edit::Set { index, element: bytes },
                    _ => Edit::Insert { index, element: bytes },
                };
                let (creates, shape) = (number % 2 == 0, keys.unsigned_abs());
                Record::Edit { keyspace, key, creates, shape, edit, counts }
            }
            6 => {
                let (begins, edit) = (number % 2 == 1, Edit::Put { items: bytes });
                Record::Stage { key, stage: *number, begins, shape: keys.unsigned_abs(), edit }
            }
            7 => Record::PutStaged { keyspace, key, expire_at_ms, stage: *number, counts },
            _ => Record::Databases {
                changed: bytes.iter().map(|&byte| (u32::from(byte), keyspace)).collect(),
            },
        }
    }

    #[test]
    fn a_range_beyond_the_longest_string_is_refused() {
        for (offset, good) in
            [(STRING_BYTES_MAX - 1, true), (STRING_BYTES_MAX, false), (u64::MAX, false)]
        {
            let mut payload = vec![kind::WRITE_RANGE, 0, 0, 0];
            varint::encode(offset, &mut payload);
            payload.extend_from_slice(&[1, b'x']);
            let record = records(&payload).next().unwrap();
            assert_eq!(record.is_ok(), good, "offset {offset}");
        }
    }

    #[test]
    fn a_keyspace_after_which_there_is_none_is_refused() {
        let changed = vec![(0, KeyspaceId::MAX)];
        let mut payload = Vec::new();
        Record::Databases { changed }.encode(&mut payload);
        assert!(records(&payload).next().unwrap().is_err());
    }

    proptest! {
        #[test]
        fn records_read_back_in_order(
            owned in vec((0u8..9, 0..KeyspaceId::MAX, vec(any::<u8>(), 0..40), any::<Option<u64>>(),
                vec(any::<u8>(), 0..300), (-1i8..=1, -1i8..=1), 0..=STRING_BYTES_MAX - 300), 0..6)
        ) {
            let written: Vec<Record<'_>> = owned.iter().map(record).collect();
            let mut payload = Vec::new();
            written.iter().for_each(|record| record.encode(&mut payload));
            let read: Vec<Record<'_>> = records(&payload).map(Result::unwrap).collect();
            prop_assert_eq!(written, read);
        }

        #[test]
        fn whatever_decodes_encodes_to_the_same_bytes(
            payload in vec(any::<u8>(), 0..80), kind in 1u8..10
        ) {
            let mut payload = payload;
            if let Some(first) = payload.first_mut() {
                *first = kind;
            }
            let mut again = Vec::new();
            let mut iterator = records(&payload);
            let mut end = 0;
            while let Some(Ok(record)) = iterator.next() {
                record.encode(&mut again);
                end = iterator.offset();
            }
            prop_assert_eq!(&payload[..end], &again[..]);
        }
    }

    #[test]
    fn a_head_with_its_value_by_reference_is_the_whole_record() {
        let value = StringValue { bytes: b"value", raw: true };
        let (keyspace, key) = (300, &b"key"[..]);
        let put = Record::Put {
            keyspace,
            key,
            expire_at_ms: Some(7),
            value,
            counts: CountDelta::default(),
        };
        let (mut whole, mut pieces) = (Vec::new(), Vec::new());
        put.encode(&mut whole);
        put.encode_head(5, &mut pieces);
        assert!(pieces.len() <= key.len() + Record::HEAD_BYTES_MAX);
        pieces.extend_from_slice(b"value");
        assert_eq!(whole, pieces);
    }

    #[test]
    fn unknown_kinds_flags_and_lengths_are_errors_and_end_the_records() {
        for payload in [
            &[0, 0, 1, 1, b'k'][..],
            &[10, 0, 1, 1, b'k'],
            &[8, 0x01, 1, b'k', 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 1, 0],
            &[8, 0x20, 1, b'k', 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 1, 0],
            &[8, 0, 1, b'k', 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0, 0],
            &[8, 0, 1, b'k', 0, 0, 0, 0, 0, 0, 0],
            &[9, 0x20, 1, 1, b'k', 0, 0, 0, 0, 0, 0, 0, 0],
            &[9, 0x10, 1, 1, b'k', 0, 0, 0, 0, 0, 0, 0, 0],
            &[6, 0x20, 1, 1, b'k', 0],
            &[7, 0x20, 1, 1, b'k', 0x40, 1, 0],
            &[7, 0, 1, 1, b'k', 0x40, 0, 0],
            &[7, 0, 1, 1, b'k', 0x40, 14, 0],
            &[1, 0x40, 1, 1, b'k', 0],
            &[1, 0x03, 1, 1, b'k', 0],
            &[2, 0x30, 1, 1, b'k'],
            &[3, 0x20, 1, 1, b'k'],
            &[4, 0x01, 1, 1, b'k', 0, 0],
            &[5, 0, 3, 1, 1, 1, 1],
            &[5, 0, 1, 0x80, 0x80, 4, 1],
            &[1, 0, 1, 9, b'k'],
            &[1],
        ] {
            let read: Vec<_> = records(payload).collect();
            assert_eq!(read.len(), 1, "{payload:?}");
            assert!(read[0].is_err(), "{payload:?}");
        }
    }
}
