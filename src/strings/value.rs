//! Strings between the keyspace, arguments and replies: by reference where they are large.

use bytes::Bytes;

use crate::command::args::Args;
use crate::command::spec::{Call, Failure};
use crate::engine::unit::{Key, NewString, Unit, ValueRef, View};
use crate::limits::{STRING_BYTES_MAX, STRING_PAGE_BYTES, VALUE_INLINE_BYTES_MAX};
use crate::resp::write::{Reply, SHARED_BULK_BYTES_MIN};
use crate::value::string::StringRef;

/// Longest string that `OBJECT ENCODING` calls `embstr`, in bytes.
const EMBEDDED_BYTES_MAX: usize = 44;

/// The string that a live key holds.
pub fn string_of<'u>(view: &View<'u>) -> Result<StringRef<'u>, Failure> {
    match view.value {
        ValueRef::String(value) => Ok(value),
        ValueRef::Packed(_) | ValueRef::Collection(_) => Err(Failure::WrongType),
    }
}

/// Argument `index` on its way into the keyspace: by reference when it will not stand inside its
/// entry.
pub fn new_string<'a>(args: &Args<'a>, index: usize) -> NewString<'a> {
    let bytes = args.get(index);
    if bytes.len() > VALUE_INLINE_BYTES_MAX {
        NewString::Shared(args.bytes(index))
    } else {
        NewString::Copied(bytes)
    }
}

/// Stores bytes that a command computed, without a deadline, with the encoding `raw` that Redis
/// reports for them. Long strings are `raw` anyway; a short one is written into an empty string.
pub fn put_raw(unit: &mut Unit<'_>, key: &Key<'_>, bytes: Vec<u8>) {
    if bytes.len() > EMBEDDED_BYTES_MAX {
        unit.put(key, NewString::Shared(Bytes::from(bytes)), None);
    } else {
        unit.put(key, NewString::Copied(b""), None);
        unit.write_range(key, 0, NewString::Copied(&bytes));
    }
}

/// Refuses a length above what a call may make.
pub fn check_length(call: &Call<'_, '_, '_>, len: u64) -> Result<(), Failure> {
    if len > call.string_bytes_max {
        return Err(Failure::text("ERR string exceeds maximum allowed size (proto-max-bulk-len)"));
    }
    Ok(())
}

/// A bound of the length of a string that had at most `before` bytes, after a call that writes up
/// to `end` or, with wrong arguments, nowhere. What would end beyond the limit is refused.
pub fn length_after_write(before: u64, end: Option<u64>) -> u64 {
    before.max(end.filter(|&end| end <= STRING_BYTES_MAX).unwrap_or(0))
}

/// Replies with a whole string.
pub fn reply_string(reply: &mut Reply<'_>, value: StringRef<'_>) {
    match value {
        StringRef::Flat { bytes, shared: Some(shared), .. }
            if bytes.len() >= SHARED_BULK_BYTES_MIN =>
        {
            reply.bulk_shared(shared.clone())
        }
        StringRef::Flat { bytes, .. } => reply.bulk(bytes),
        StringRef::Paged(paged) => {
            reply.bulk_pieces(paged.len() as usize, paged.pages().iter().cloned());
        }
    }
}

/// Replies with bytes `start..end` of a string; both are within it.
pub fn reply_range(reply: &mut Reply<'_>, value: StringRef<'_>, start: u64, end: u64) {
    match value {
        StringRef::Flat { bytes, shared, .. } => {
            let (start, end) = (start as usize, end as usize);
            match shared {
                Some(shared) if end - start >= SHARED_BULK_BYTES_MIN => {
                    reply.bulk_shared(shared.slice(start..end));
                }
                _ => reply.bulk(&bytes[start..end]),
            }
        }
        StringRef::Paged(paged) => {
            let page_bytes = STRING_PAGE_BYTES as u64;
            let pages = (start / page_bytes)..end.div_ceil(page_bytes);
            let pieces = pages.map(|number| {
                let page = &paged.pages()[number as usize];
                let base = number * page_bytes;
                let from = start.saturating_sub(base) as usize;
                let to = (end - base).min(page.len() as u64) as usize;
                page.slice(from..to)
            });
            reply.bulk_pieces((end - start) as usize, pieces);
        }
    }
}

/// Byte `index` of a string; zero behind its end.
pub fn byte_at(value: StringRef<'_>, index: u64) -> u8 {
    let byte = match value {
        StringRef::Flat { bytes, .. } => bytes.get(index as usize),
        StringRef::Paged(paged) => {
            let page = paged.pages().get((index / STRING_PAGE_BYTES as u64) as usize);
            page.and_then(|page| page.get((index % STRING_PAGE_BYTES as u64) as usize))
        }
    };
    byte.copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::write::{Output, Protocol};
    use crate::value::string::PagedString;

    fn range_of(value: StringRef<'_>, start: u64, end: u64) -> Vec<u8> {
        let mut output = Output::default();
        reply_range(&mut Reply::new(&mut output, Protocol::Resp2), value, start, end);
        output.pieces(0).flatten().copied().collect()
    }

    #[test]
    fn ranges_of_pages_equal_ranges_of_flat_bytes() {
        let bytes: Bytes = (0..200_000u32).map(|i| (i % 251) as u8).collect();
        let paged = PagedString::from_bytes(bytes.clone());
        let flat = |shared| StringRef::Flat { bytes: &bytes, shared, raw: false };
        let page = STRING_PAGE_BYTES as u64;
        let ends = [0, 1, 5, page - 1, page, page + 1, 2 * page, 3 * page, 199_999, 200_000];
        for start in ends {
            for end in ends.into_iter().filter(|end| *end >= start) {
                let want = range_of(flat(None), start, end);
                assert_eq!(range_of(StringRef::Paged(&paged), start, end), want);
                assert_eq!(range_of(flat(Some(&bytes)), start, end), want);
            }
            assert_eq!(
                byte_at(StringRef::Paged(&paged), start),
                bytes.get(start as usize).copied().unwrap_or(0)
            );
        }
        assert_eq!(byte_at(flat(None), u64::MAX), 0);
    }

    #[test]
    fn large_values_are_replied_by_reference() {
        let bytes = Bytes::from(vec![7; 100_000]);
        let paged = PagedString::from_bytes(bytes.clone());
        let flat = StringRef::Flat { bytes: &bytes, shared: Some(&bytes), raw: false };
        for value in [flat, StringRef::Paged(&paged)] {
            let mut output = Output::default();
            reply_string(&mut Reply::new(&mut output, Protocol::Resp2), value);
            assert!(output.pieces(0).any(|piece| bytes.as_ptr_range().contains(&piece.as_ptr())));
            assert_eq!(output.len(), bytes.len() + "$100000\r\n\r\n".len());
        }
    }
}
