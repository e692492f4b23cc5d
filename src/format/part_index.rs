//! What a part keeps beside its rows: where the key blocks begin, which keys have a deadline, and
//! the exact counts of the slots it changed.

use super::decoder::Decoder;
use super::part_block::{ALIGN_BYTES, BlockAt};
use super::varint;
use crate::error::DecodeError;
use crate::types::{KeyspaceId, Lsn, Position, SLOT_COUNT};

/// Bytes of one entry of the key index.
pub const KEY_ENTRY_BYTES: usize = 24;
/// Bytes of one entry of the deadline index.
pub const DEADLINE_ENTRY_BYTES: usize = 32;
const CONTINUES: u32 = 1 << 31;

/// One key block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyEntry {
    /// Keyspace of its rows.
    pub keyspace: KeyspaceId,
    /// Position of its first row.
    pub first: Position,
    /// Whether the block before it ends with rows of the same position.
    pub continues: bool,
    /// Where it stands.
    pub block: BlockAt,
}

/// Appends an entry of the key index.
pub fn put_key_entry(out: &mut Vec<u8>, entry: &KeyEntry) {
    assert!(entry.block.total_bytes < CONTINUES);
    let continues = if entry.continues { CONTINUES } else { 0 };
    out.extend_from_slice(&entry.keyspace.to_le_bytes());
    out.extend_from_slice(&(entry.block.total_bytes | continues).to_le_bytes());
    out.extend_from_slice(&entry.first.0.to_le_bytes());
    out.extend_from_slice(&entry.block.offset.to_le_bytes());
}

/// Decodes the key index. Blocks must lie in `from..to` of the file.
///
/// # Errors
/// When entries are out of order or out of range.
pub fn decode_key_index(bytes: &[u8], from: u64, to: u64) -> Result<Vec<KeyEntry>, DecodeError> {
    let mut input = Decoder::new(bytes);
    let mut entries: Vec<KeyEntry> = Vec::with_capacity(bytes.len() / KEY_ENTRY_BYTES);
    let mut free_from = from;
    while input.remaining() > 0 {
        let error = input.error(0, "key index is out of order");
        let keyspace = input.u32()?;
        let word = input.u32()?;
        let entry = KeyEntry {
            keyspace,
            first: Position(input.u64()?),
            continues: word & CONTINUES != 0,
            block: BlockAt { offset: input.u64()?, total_bytes: word & !CONTINUES },
        };
        free_from = end_of(entry.block, free_from, to).ok_or(error.clone())?;
        let ordered = match entries.last() {
            None => !entry.continues,
            Some(last) if entry.continues => last.keyspace == keyspace && last.first <= entry.first,
            Some(last) => (last.keyspace, last.first) < (keyspace, entry.first),
        };
        if !ordered {
            return Err(error);
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// End of a block that lies in `from..to` and is aligned.
fn end_of(block: BlockAt, from: u64, to: u64) -> Option<u64> {
    let end = block.offset.checked_add(u64::from(block.total_bytes))?;
    let align = ALIGN_BYTES as u64;
    let aligned = block.offset.is_multiple_of(align) && end.is_multiple_of(align);
    (aligned && block.total_bytes > 0 && block.offset >= from && end <= to).then_some(end)
}

/// A key with a deadline, by its place. Ordered by deadline.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Deadline {
    /// Unix milliseconds.
    pub deadline_ms: u64,
    /// Keyspace.
    pub keyspace: KeyspaceId,
    /// Place of the key.
    pub position: Position,
}

/// One deadline block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeadlineEntry {
    /// Its first row.
    pub first: Deadline,
    /// Where it stands.
    pub block: BlockAt,
}

/// Appends an entry of the deadline index.
pub fn put_deadline_entry(out: &mut Vec<u8>, entry: &DeadlineEntry) {
    out.extend_from_slice(&entry.first.deadline_ms.to_le_bytes());
    out.extend_from_slice(&entry.first.keyspace.to_le_bytes());
    out.extend_from_slice(&entry.block.total_bytes.to_le_bytes());
    out.extend_from_slice(&entry.first.position.0.to_le_bytes());
    out.extend_from_slice(&entry.block.offset.to_le_bytes());
}

/// Decodes the deadline index. The blocks must fill `from..to` of the file.
///
/// # Errors
/// When entries are out of order or do not fill their range.
pub fn decode_deadline_index(
    bytes: &[u8],
    from: u64,
    to: u64,
) -> Result<Vec<DeadlineEntry>, DecodeError> {
    let mut input = Decoder::new(bytes);
    let mut entries: Vec<DeadlineEntry> = Vec::with_capacity(bytes.len() / DEADLINE_ENTRY_BYTES);
    let mut at = from;
    while input.remaining() > 0 {
        let error = input.error(0, "deadline index is out of order");
        let deadline_ms = input.u64()?;
        let keyspace = input.u32()?;
        let total_bytes = input.u32()?;
        let position = Position(input.u64()?);
        let offset = input.u64()?;
        let entry = DeadlineEntry {
            first: Deadline { deadline_ms, keyspace, position },
            block: BlockAt { offset, total_bytes },
        };
        let ordered = entries.last().is_none_or(|last| last.first < entry.first);
        if !ordered || offset != at {
            return Err(error);
        }
        at = end_of(entry.block, at, to).ok_or(error)?;
        entries.push(entry);
    }
    match at == to {
        true => Ok(entries),
        false => Err(input.error(0, "deadline blocks do not fill their range")),
    }
}

/// Appends a row of a deadline block; `last_ms` is the deadline before it in the block, or 0.
pub fn put_deadline_row(out: &mut Vec<u8>, row: &Deadline, last_ms: u64) {
    varint::encode(row.deadline_ms - last_ms, out);
    varint::encode(u64::from(row.keyspace), out);
    out.extend_from_slice(&row.position.0.to_le_bytes());
}

/// Decodes the content of a deadline block and hands its rows out while `take` wants more.
///
/// # Errors
/// When rows are out of order or end too early.
pub fn decode_deadline_rows(
    content: &[u8],
    mut take: impl FnMut(Deadline) -> bool,
) -> Result<(), DecodeError> {
    let mut input = Decoder::new(content);
    let mut last: Option<Deadline> = None;
    while input.remaining() > 0 {
        let step = input.varint()?;
        let deadline_ms = last.map_or(0, |row| row.deadline_ms).checked_add(step);
        let row = Deadline {
            deadline_ms: deadline_ms.ok_or(input.error(0, "deadline out of range"))?,
            keyspace: input.varint_u32()?,
            position: Position(input.u64()?),
        };
        if last.is_some_and(|last| last >= row) {
            return Err(input.error(0, "deadlines are out of order"));
        }
        if !take(row) {
            return Ok(());
        }
        last = Some(row);
    }
    Ok(())
}

/// Exact counts of one slot of a keyspace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SlotCount {
    /// Keyspace.
    pub keyspace: KeyspaceId,
    /// Cluster slot.
    pub slot: u16,
    /// Live keys.
    pub keys: u64,
    /// Live keys with a deadline.
    pub expires: u64,
    /// LSN at which this was so.
    pub lsn: Lsn,
}

/// Encodes counts, which are in the order (keyspace, slot).
pub fn encode_counts(counts: &[SlotCount]) -> Vec<u8> {
    let mut out = Vec::with_capacity(counts.len() * 8);
    for count in counts {
        varint::encode(u64::from(count.keyspace), &mut out);
        varint::encode(u64::from(count.slot), &mut out);
        varint::encode(count.keys, &mut out);
        varint::encode(count.expires, &mut out);
        varint::encode(count.lsn, &mut out);
    }
    out
}

/// Decodes counts and hands them out in order.
///
/// # Errors
/// When they are out of order or end too early.
pub fn decode_counts(bytes: &[u8], mut each: impl FnMut(SlotCount)) -> Result<(), DecodeError> {
    let mut input = Decoder::new(bytes);
    let mut last = None;
    while input.remaining() > 0 {
        let keyspace = input.varint_u32()?;
        let slot = u16::try_from(input.varint()?).ok();
        let slot = slot.filter(|&slot| usize::from(slot) < SLOT_COUNT);
        let count = SlotCount {
            keyspace,
            slot: slot.ok_or(input.error(0, "no such slot"))?,
            keys: input.varint()?,
            expires: input.varint()?,
            lsn: input.varint_lsn()?,
        };
        let place = Some((count.keyspace, count.slot));
        if last >= place {
            return Err(input.error(0, "counts are out of order"));
        }
        last = place;
        each(count);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u64, total_bytes: u32) -> BlockAt {
        BlockAt { offset, total_bytes }
    }

    #[test]
    fn key_index_survives_and_order_is_checked() {
        let entry = |keyspace, first, continues, offset| KeyEntry {
            keyspace,
            first: Position(first),
            continues,
            block: at(offset, 16),
        };
        let encode = |entries: &[KeyEntry]| {
            let mut out = Vec::new();
            entries.iter().for_each(|entry| put_key_entry(&mut out, entry));
            out
        };
        let good = [
            entry(0, 5, false, 128),
            entry(0, 5, true, 160),
            entry(0, 6, false, 200),
            entry(3, 1, false, 216),
        ];
        let bytes = encode(&good);
        assert_eq!(decode_key_index(&bytes, 128, 232).unwrap(), good);
        assert!(decode_key_index(&bytes, 136, 232).is_err());
        assert!(decode_key_index(&bytes, 128, 224).is_err());
        assert!(decode_key_index(&bytes[..90], 128, 232).is_err());
        let twice = encode(&[good[0], entry(0, 5, false, 160)]);
        assert!(decode_key_index(&twice, 128, 232).is_err());
    }

    #[test]
    fn deadlines_survive_and_order_is_checked() {
        let row = |deadline_ms, position| Deadline {
            deadline_ms,
            keyspace: 1,
            position: Position(position),
        };
        let rows = [row(7, 3), row(7, 9), row(u64::MAX, 1)];
        let (mut out, mut last) = (Vec::new(), 0);
        for row in rows {
            put_deadline_row(&mut out, &row, last);
            last = row.deadline_ms;
        }
        let mut back = Vec::new();
        decode_deadline_rows(&out, |row| {
            back.push(row);
            back.len() < 3
        })
        .unwrap();
        assert_eq!(back, rows);
        assert!(decode_deadline_rows(&out[..out.len() - 1], |_| true).is_err());

        let entries = [(rows[0], at(128, 16)), (rows[2], at(144, 8))]
            .map(|(first, block)| DeadlineEntry { first, block });
        let mut out = Vec::new();
        entries.iter().for_each(|entry| put_deadline_entry(&mut out, entry));
        assert_eq!(decode_deadline_index(&out, 128, 152).unwrap(), entries);
        assert!(decode_deadline_index(&out, 128, 160).is_err());
        assert!(decode_deadline_index(&[], 128, 160).is_err());
    }

    #[test]
    fn counts_survive_and_order_is_checked() {
        let count =
            |keyspace, slot| SlotCount { keyspace, slot, keys: 1 << 40, expires: 2, lsn: 900 };
        let counts = [count(0, 16383), count(70_000, 0)];
        let bytes = encode_counts(&counts);
        let mut back = Vec::new();
        decode_counts(&bytes, |count| back.push(count)).unwrap();
        assert_eq!(back, counts);
        assert!(decode_counts(&bytes[..bytes.len() - 1], |_| ()).is_err());
        let swapped = encode_counts(&[counts[1], counts[0]]);
        assert!(decode_counts(&swapped, |_| ()).is_err());
        let beyond = encode_counts(&[count(0, 16384)]);
        assert!(decode_counts(&beyond, |_| ()).is_err());
    }
}
