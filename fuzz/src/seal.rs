//! Repairs checksums, so that bytes of the fuzzer's own reach what stands behind them.

use firn::format::checksum::{self, Salt};
use firn::format::frame::{
    self, ALIGN_BYTES, FragmentHeader, HEADER_BYTES as FRAGMENT_HEADER_BYTES,
};
use firn::format::part::{FOOTER_BYTES, HEADER_BYTES as PART_HEADER_BYTES};
use firn::format::part_block::{BlockHeader, crc_at};
use firn::rdb::crc64;

/// A stored checksum that stays wrong.
const KEPT: [u8; 4] = [0xff; 4];

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

fn put_crc(bytes: &mut [u8], at: usize, crc: u32) {
    if bytes[at..at + 4] != KEPT {
        bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
    }
}

/// Repairs a MANIFEST, whose last four bytes are a CRC of all before.
pub fn manifest(bytes: &mut [u8]) {
    if let Some(at) = bytes.len().checked_sub(4) {
        let crc = checksum::plain(&bytes[..at]);
        put_crc(bytes, at, crc);
    }
}

/// Puts the footer of a DUMP payload behind a body: the version, and the CRC-64.
pub fn rdb(body: &[u8], version: u16) -> Vec<u8> {
    let mut payload = [body, &version.to_le_bytes()].concat();
    let sum = crc64::sum(&payload);
    payload.extend_from_slice(&sum.to_le_bytes());
    payload
}

/// Repairs fragments of a log segment from the start of `bytes` on, each behind the one before.
pub fn fragments(bytes: &mut [u8], salt: u64) {
    let salt = Salt::new(salt);
    let mut at = 0;
    while bytes.len() - at >= FRAGMENT_HEADER_BYTES {
        let Ok(header) = FragmentHeader::decode_unstamped(&bytes[at..]) else {
            at += ALIGN_BYTES;
            continue;
        };
        let payload = at + FRAGMENT_HEADER_BYTES..;
        let payload = payload.start..payload.start + header.payload_bytes as usize;
        if payload.end > bytes.len() {
            return;
        }
        let crc = checksum::plain(&bytes[payload]);
        put_crc(bytes, at + 8, crc);
        if bytes[at..at + 4] != KEPT {
            frame::stamp(&mut bytes[at..], header.synced_upto, salt);
        }
        at += header.stride() as usize;
        if at > bytes.len() {
            return;
        }
    }
}

/// Repairs header, blocks, sections and footer of a part.
pub fn part(bytes: &mut [u8], part_id: u64) {
    let Some(footer_at) = bytes.len().checked_sub(FOOTER_BYTES) else {
        return;
    };
    if footer_at < PART_HEADER_BYTES {
        return;
    }
    let crc = crc_at(part_id, 0, &bytes[..PART_HEADER_BYTES - 4]);
    put_crc(bytes, PART_HEADER_BYTES - 4, crc);
    blocks(&mut bytes[..footer_at], part_id);
    for section in 0..4 {
        repair_section(bytes, part_id, footer_at + 104 + section * 20);
    }
    let sealed = bytes.len() - 4;
    let crc = crc_at(part_id, footer_at as u64, &bytes[footer_at..sealed]);
    put_crc(bytes, sealed, crc);
}

/// Repairs the section that the footer describes at `entry_at`: offset, length, checksum.
fn repair_section(bytes: &mut [u8], part_id: u64, entry_at: usize) {
    let (offset, len) = (word(bytes, entry_at), word(bytes, entry_at + 8));
    let (Some(offset), Some(len)) = (offset, len) else {
        return;
    };
    let end = offset.checked_add(len).filter(|&end| end <= bytes.len() as u64);
    if let Some(end) = end {
        let crc = crc_at(part_id, offset, &bytes[offset as usize..end as usize]);
        put_crc(bytes, entry_at + 16, crc);
    }
}

/// Repairs blocks, each behind the one before.
fn blocks(bytes: &mut [u8], part_id: u64) {
    let mut at = PART_HEADER_BYTES;
    while let Some(header) = bytes.get(at..).and_then(|rest| BlockHeader::decode(rest).ok()) {
        let stored_end = at + 16 + header.stored_bytes as usize;
        if header.stored_bytes == 0 || stored_end > bytes.len() {
            return;
        }
        let crc = crc_at(part_id, at as u64, &bytes[at + 4..stored_end]);
        put_crc(bytes, at, crc);
        at += header.total_bytes();
    }
}
