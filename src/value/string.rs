//! Strings: flat while small, in pages of 64 KiB behind reference counts when large.
//!
//! A page is the unit of dirtiness, of copy-on-write while a checkpoint or a copy of the value
//! holds it, and of flushing. Nothing here knows keys, deadlines or files.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use crate::limits::{STRING_PAGE_BYTES, STRING_PAGED_ABOVE_BYTES};
use crate::types::Lsn;

/// Stands for the LSN of a frame that is still being made; replaced by [`PagedString::stamp`] and
/// its kin once the log has given the frame its number.
pub const PROVISIONAL_LSN: Lsn = (1 << 56) - 1;

/// Zeros are shared until somebody writes between them.
static ZERO_PAGE: [u8; STRING_PAGE_BYTES] = [0; STRING_PAGE_BYTES];

/// A page that a checkpoint has to write.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DirtyPage {
    /// Number of the page, from 0.
    pub number: u32,
    /// Its bytes.
    pub bytes: Bytes,
    /// LSN of its last change.
    pub lsn: Lsn,
}

/// What is known about one page beside its bytes.
#[derive(Clone, Copy, Debug)]
struct Mark {
    lsn: Lsn,
    dirty: bool,
}

/// A large string. Every page but the last is full.
///
/// The *generation* is the LSN of the object's creation; pages on disk carry it, so that pages of
/// an earlier value under the same key are never taken for this one's.
#[derive(Clone, Debug, Default)]
pub struct PagedString {
    pages: Vec<Bytes>,
    marks: Vec<Mark>,
    len: u64,
    generation: Lsn,
    /// Numbers of the dirty pages, each once, in no order.
    dirty: Vec<u32>,
    /// Pages taken by the capture under way.
    captured: Vec<u32>,
    /// Covers the pages whose LSN is still provisional.
    unstamped: Range<u32>,
}

impl PagedString {
    /// Cuts shared bytes into pages without a copy.
    pub fn from_bytes(bytes: Bytes) -> PagedString {
        PagedString::create(bytes, 0)
    }

    /// A new object of generation `lsn`: cuts shared bytes into pages without a copy; all are
    /// dirty.
    pub fn create(bytes: Bytes, lsn: Lsn) -> PagedString {
        let len = bytes.len();
        let pages = (0..len)
            .step_by(STRING_PAGE_BYTES)
            .map(|at| bytes.slice(at..(at + STRING_PAGE_BYTES).min(len)))
            .collect();
        let mut paged = PagedString { pages, len: len as u64, ..PagedString::default() };
        paged.recreate(lsn);
        paged
    }

    /// A clean object as parts hold it: pages in order with the LSN of their last change. None when
    /// the pages are not those of a string of `len` bytes.
    pub fn from_parts(generation: Lsn, len: u64, pages: Vec<(Bytes, Lsn)>) -> Option<PagedString> {
        let page_bytes = STRING_PAGE_BYTES as u64;
        if pages.len() as u64 != len.div_ceil(page_bytes) {
            return None;
        }
        for (number, (bytes, _)) in pages.iter().enumerate() {
            let rest = len - number as u64 * page_bytes;
            if bytes.len() as u64 != rest.min(page_bytes) {
                return None;
            }
        }
        let clean = |lsn| Mark { lsn, dirty: false };
        Some(PagedString {
            marks: pages.iter().map(|(_, lsn)| clean(*lsn)).collect(),
            pages: pages.into_iter().map(|(bytes, _)| bytes).collect(),
            len,
            generation,
            ..PagedString::default()
        })
    }

    /// Makes this handle an object of its own, created at `lsn`: all its pages are dirty.
    pub fn recreate(&mut self, lsn: Lsn) {
        let count = page_number(self.pages.len());
        self.generation = lsn;
        self.marks = vec![Mark { lsn, dirty: true }; self.pages.len()];
        self.dirty = (0..count).collect();
        self.captured = Vec::new();
        self.unstamped = if lsn == PROVISIONAL_LSN { 0..count } else { 0..0 };
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pages in order.
    pub fn pages(&self) -> &[Bytes] {
        &self.pages
    }

    /// LSN of the object's creation.
    pub fn generation(&self) -> Lsn {
        self.generation
    }

    /// LSN of the last change of a page.
    pub fn page_lsn(&self, number: usize) -> Lsn {
        self.marks[number].lsn
    }

    /// Replaces what stands at `offset`, growing with zeros as needed. Pages that somebody else
    /// holds are copied, one by one.
    ///
    /// # Panics
    /// When the end is beyond 2^32 pages.
    pub fn write_range(&mut self, offset: u64, bytes: &[u8], lsn: Lsn) {
        if bytes.is_empty() {
            return;
        }
        self.extend_zeros(offset, lsn);
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let number = (at / STRING_PAGE_BYTES as u64) as usize;
            let start = (at % STRING_PAGE_BYTES as u64) as usize;
            let (piece, after) = rest.split_at(rest.len().min(STRING_PAGE_BYTES - start));
            if number == self.pages.len() {
                self.push_page(Bytes::copy_from_slice(piece), lsn);
            } else {
                let page = std::mem::take(&mut self.pages[number]);
                self.pages[number] = written(page, start, piece);
                self.touch(number, lsn);
            }
            at += piece.len() as u64;
            rest = after;
        }
        self.len = self.len.max(at);
    }

    /// Grows to `len` bytes with zeros.
    fn extend_zeros(&mut self, len: u64, lsn: Lsn) {
        while self.len < len {
            let start = (self.len % STRING_PAGE_BYTES as u64) as usize;
            let count = (len - self.len).min((STRING_PAGE_BYTES - start) as u64) as usize;
            if start == 0 {
                self.push_page(Bytes::from_static(&ZERO_PAGE[..count]), lsn);
            } else {
                let last = self.pages.len() - 1;
                let page = std::mem::take(&mut self.pages[last]);
                self.pages[last] = written(page, start, &ZERO_PAGE[..count]);
                self.touch(last, lsn);
            }
            self.len += count as u64;
        }
    }

    fn push_page(&mut self, bytes: Bytes, lsn: Lsn) {
        self.pages.push(bytes);
        self.marks.push(Mark { lsn, dirty: false });
        self.touch(self.pages.len() - 1, lsn);
    }

    fn touch(&mut self, index: usize, lsn: Lsn) {
        let number = page_number(index);
        let mark = &mut self.marks[index];
        mark.lsn = lsn;
        if !mark.dirty {
            mark.dirty = true;
            self.dirty.push(number);
        }
        if lsn == PROVISIONAL_LSN {
            self.unstamped = if self.unstamped.is_empty() {
                number..number + 1
            } else {
                self.unstamped.start.min(number)..self.unstamped.end.max(number + 1)
            };
        }
    }

    /// Gives everything changed under [`PROVISIONAL_LSN`] its LSN.
    pub fn stamp(&mut self, lsn: Lsn) {
        if self.generation == PROVISIONAL_LSN {
            self.generation = lsn;
        }
        for number in std::mem::take(&mut self.unstamped) {
            let mark = &mut self.marks[number as usize];
            if mark.lsn == PROVISIONAL_LSN {
                mark.lsn = lsn;
            }
        }
    }

    /// Takes handles of the dirty pages in order; they count as clean from here on, until
    /// [`PagedString::end_capture`] tells otherwise.
    pub fn capture(&mut self) -> Vec<DirtyPage> {
        assert!(self.captured.is_empty(), "the capture before has ended");
        self.captured = std::mem::take(&mut self.dirty);
        self.captured.sort_unstable();
        let taken = self.captured.iter().map(|&number| {
            let mark = &mut self.marks[number as usize];
            assert_ne!(mark.lsn, PROVISIONAL_LSN, "captures see stamped pages");
            mark.dirty = false;
            DirtyPage { number, bytes: self.pages[number as usize].clone(), lsn: mark.lsn }
        });
        taken.collect()
    }

    /// Ends a capture: when what it took was not installed, the pages are dirty again.
    pub fn end_capture(&mut self, installed: bool) {
        let captured = std::mem::take(&mut self.captured);
        if installed {
            return;
        }
        for number in captured {
            let mark = &mut self.marks[number as usize];
            if !mark.dirty {
                mark.dirty = true;
                self.dirty.push(number);
            }
        }
    }

    /// Upper bound of the bytes of dirty pages.
    pub fn dirty_bytes(&self) -> u64 {
        (self.dirty.len() * STRING_PAGE_BYTES) as u64
    }

    /// Memory that pages and their bookkeeping take, in bytes. Pages shared with other handles
    /// count in full.
    pub fn memory_bytes(&self) -> u64 {
        let page = size_of::<Bytes>() + size_of::<Mark>();
        self.len + (self.pages.len() * page) as u64
    }
}

/// The page with `piece` written at `start`, in place where nobody else holds it.
fn written(page: Bytes, start: usize, piece: &[u8]) -> Bytes {
    let end = start + piece.len();
    if start == 0 && end >= page.len() {
        return Bytes::copy_from_slice(piece);
    }
    let mut page = page.try_into_mut().unwrap_or_else(|shared| {
        let mut copy = BytesMut::with_capacity(shared.len().max(end));
        copy.extend_from_slice(&shared);
        copy
    });
    if page.len() < end {
        page.resize(end, 0);
    }
    page[start..end].copy_from_slice(piece);
    page.freeze()
}

fn page_number(index: usize) -> u32 {
    u32::try_from(index).expect("a string has fewer than 2^32 pages")
}

/// A string value by handle: cloning it copies no bytes.
#[derive(Clone, Debug)]
pub enum StringHandle {
    /// In one piece.
    Flat(Bytes),
    /// In pages.
    Paged(PagedString),
}

impl StringHandle {
    /// Takes shared bytes, in pages where they are large. Generation and pages carry `lsn`.
    pub fn create(bytes: Bytes, lsn: Lsn) -> StringHandle {
        if bytes.len() > STRING_PAGED_ABOVE_BYTES {
            StringHandle::Paged(PagedString::create(bytes, lsn))
        } else {
            StringHandle::Flat(bytes)
        }
    }

    /// The value as a reader sees it.
    pub fn as_string(&self) -> StringRef<'_> {
        match self {
            StringHandle::Flat(bytes) => StringRef::Flat { bytes, shared: Some(bytes), raw: false },
            StringHandle::Paged(paged) => StringRef::Paged(paged),
        }
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.as_string().len()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Replaces what stands at `offset`, growing with zeros as needed; a flat string that grows
    /// large becomes a paged object of generation `lsn`. Writing no bytes changes nothing.
    pub fn write_range(&mut self, offset: u64, bytes: &[u8], lsn: Lsn) {
        let end = offset.saturating_add(bytes.len() as u64);
        match self {
            StringHandle::Paged(paged) => paged.write_range(offset, bytes, lsn),
            StringHandle::Flat(_) if bytes.is_empty() => {}
            StringHandle::Flat(flat) if end > STRING_PAGED_ABOVE_BYTES as u64 => {
                let mut paged = PagedString::create(std::mem::take(flat), lsn);
                paged.write_range(offset, bytes, lsn);
                *self = StringHandle::Paged(paged);
            }
            StringHandle::Flat(flat) => {
                let mut value = std::mem::take(flat);
                if value.len() < offset as usize {
                    let gap = offset as usize - value.len();
                    value = appended(value, &ZERO_PAGE[..gap]);
                }
                let start = offset as usize;
                *flat = if start == value.len() {
                    appended(value, bytes)
                } else {
                    written(value, start, bytes)
                };
            }
        }
    }
}

impl From<Bytes> for StringHandle {
    fn from(bytes: Bytes) -> StringHandle {
        StringHandle::create(bytes, 0)
    }
}

/// `value` with `bytes` behind it, in place where nobody else holds it.
fn appended(value: Bytes, bytes: &[u8]) -> Bytes {
    let mut value = value.try_into_mut().unwrap_or_else(|shared| {
        let mut copy = BytesMut::with_capacity(shared.len() + bytes.len());
        copy.extend_from_slice(&shared);
        copy
    });
    value.extend_from_slice(bytes);
    value.freeze()
}

/// A string value as a reader sees it.
#[derive(Clone, Copy, Debug)]
pub enum StringRef<'a> {
    /// In one piece.
    Flat {
        /// The bytes.
        bytes: &'a [u8],
        /// The bytes' owner, when they are refcounted.
        shared: Option<&'a Bytes>,
        /// Whether `OBJECT ENCODING` answers `raw` however short the value is.
        raw: bool,
    },
    /// In pages.
    Paged(&'a PagedString),
}

impl<'a> StringRef<'a> {
    /// Length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            StringRef::Flat { bytes, .. } => bytes.len() as u64,
            StringRef::Paged(paged) => paged.len(),
        }
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it is marked as `raw`, or too large to be anything else.
    pub fn is_raw(&self) -> bool {
        match self {
            StringRef::Flat { raw, .. } => *raw,
            StringRef::Paged(_) => true,
        }
    }

    /// The bytes, when they stand in one piece.
    pub fn flat(&self) -> Option<&'a [u8]> {
        match self {
            StringRef::Flat { bytes, .. } => Some(bytes),
            StringRef::Paged(_) => None,
        }
    }

    /// Pieces of `start..end` in order.
    pub fn pieces(&self, start: u64, end: u64) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let value = *self;
        let count = match value {
            StringRef::Flat { .. } => 1,
            StringRef::Paged(paged) => paged.pages.len(),
        };
        (0..count).filter_map(move |index| {
            let (base, piece): (u64, &'a [u8]) = match value {
                StringRef::Flat { bytes, .. } => (0, bytes),
                StringRef::Paged(paged) => {
                    ((index * STRING_PAGE_BYTES) as u64, &paged.pages[index][..])
                }
            };
            let from = start.saturating_sub(base).min(piece.len() as u64) as usize;
            let to = end.saturating_sub(base).min(piece.len() as u64) as usize;
            (from < to).then(|| &piece[from..to])
        })
    }

    /// The whole string in one piece, copied.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut whole = Vec::with_capacity(self.len() as usize);
        self.pieces(0, self.len()).for_each(|piece| whole.extend_from_slice(piece));
        whole
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const PAGE: u64 = STRING_PAGE_BYTES as u64;

    fn write_model(model: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len();
        model.resize(model.len().max(end), 0);
        model[offset..end].copy_from_slice(bytes);
    }

    fn whole(handle: &StringHandle) -> Vec<u8> {
        handle.as_string().to_vec()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn ranges_are_written_as_into_a_vector(
            start in 0..200_000usize,
            writes in prop::collection::vec((0..300_000u64, 0..150_000usize, 0..4u8), 0..12),
        ) {
            let mut model = vec![1; start];
            let mut handle = StringHandle::create(Bytes::from(model.clone()), 1);
            let mut held: Vec<(StringHandle, Vec<u8>)> = Vec::new();
            for (number, (offset, len, action)) in writes.into_iter().enumerate() {
                if action == 0 {
                    held.push((handle.clone(), model.clone()));
                }
                let offset = if action == 1 { model.len() as u64 } else { offset };
                let bytes = vec![number as u8 + 2; len];
                handle.write_range(offset, &bytes, 2);
                write_model(&mut model, offset as usize, &bytes);
                prop_assert_eq!(handle.len(), model.len() as u64);
            }
            prop_assert!(whole(&handle) == model);
            for (copy, then) in held {
                prop_assert!(whole(&copy) == then, "a copy keeps its bytes");
            }
        }

        #[test]
        fn captures_take_exactly_the_changed_pages(
            rounds in prop::collection::vec(
                (prop::collection::vec((0..400_000u64, 1..70_000usize), 0..5), any::<bool>()),
                1..8,
            ),
        ) {
            let mut paged = PagedString::create(Bytes::from(vec![1; 100_000]), 1);
            let mut model = vec![1; 100_000];
            let mut disk: BTreeMap<u32, Bytes> = BTreeMap::new();
            for (round, (writes, installed)) in rounds.into_iter().enumerate() {
                let lsn = round as u64 + 2;
                for (offset, len) in writes {
                    let bytes = vec![lsn as u8; len];
                    paged.write_range(offset, &bytes, PROVISIONAL_LSN);
                    write_model(&mut model, offset as usize, &bytes);
                }
                paged.stamp(lsn);
                let taken = paged.capture();
                prop_assert!(taken.is_sorted_by_key(|page| page.number));
                prop_assert!(taken.iter().all(|page| page.lsn <= lsn));
                paged.write_range(0, b"behind the capture", PROVISIONAL_LSN);
                write_model(&mut model, 0, b"behind the capture");
                paged.stamp(lsn);
                if installed {
                    disk.extend(taken.into_iter().map(|page| (page.number, page.bytes)));
                }
                paged.end_capture(installed);
            }
            let last = paged.capture();
            disk.extend(last.into_iter().map(|page| (page.number, page.bytes)));
            let pages: Vec<u8> = disk.values().flat_map(|bytes| bytes.to_vec()).collect();
            prop_assert!(pages == model);
            paged.end_capture(true);
            prop_assert_eq!(paged.dirty_bytes(), 0);
        }
    }

    #[test]
    fn writing_one_byte_touches_one_page() {
        let mut paged = PagedString::create(Bytes::from(vec![1; 10 * STRING_PAGE_BYTES]), 1);
        paged.capture();
        paged.end_capture(true);
        let before: Vec<_> = paged.pages().iter().map(|page| page.as_ptr()).collect();
        paged.write_range(5 * PAGE + 3, b"x", 9);
        let after: Vec<_> = paged.pages().iter().map(|page| page.as_ptr()).collect();
        let moved = (0..10).filter(|&page| before[page] != after[page]);
        assert_eq!(moved.collect::<Vec<_>>(), [5]);
        assert_eq!((paged.page_lsn(5), paged.page_lsn(4)), (9, 1));
        assert_eq!(paged.dirty_bytes(), PAGE);
        paged.write_range(5 * PAGE + 4, b"x", 10);
        assert_eq!(paged.pages()[5].as_ptr(), after[5], "a page of one owner stays");
    }

    #[test]
    fn zeros_far_ahead_take_no_memory_of_their_own() {
        let mut paged = PagedString::create(Bytes::new(), 1);
        paged.write_range(1000 * PAGE, b"end", 2);
        assert_eq!(paged.len(), 1000 * PAGE + 3);
        let shared = paged.pages()[..1000].iter().all(|page| page.as_ptr() == ZERO_PAGE.as_ptr());
        assert!(shared);
    }

    #[test]
    fn a_recreated_handle_is_an_object_of_its_own() {
        let mut paged = PagedString::create(Bytes::from(vec![1; 200_000]), 1);
        paged.capture();
        paged.end_capture(true);
        let mut copy = paged.clone();
        copy.recreate(PROVISIONAL_LSN);
        copy.stamp(7);
        assert_eq!((copy.generation(), paged.generation()), (7, 1));
        let taken = copy.capture();
        assert_eq!(taken.len(), 4);
        assert!(taken.iter().all(|page| page.lsn == 7));
        assert!(paged.capture().is_empty());
    }

    #[test]
    fn pages_that_do_not_add_up_are_refused() {
        let page = |len: usize| (Bytes::from(vec![0; len]), 1);
        let full = STRING_PAGE_BYTES;
        assert!(PagedString::from_parts(1, PAGE + 5, vec![page(full), page(5)]).is_some());
        assert!(PagedString::from_parts(1, PAGE + 5, vec![page(full), page(6)]).is_none());
        assert!(PagedString::from_parts(1, PAGE + 5, vec![page(full - 1), page(5)]).is_none());
        assert!(PagedString::from_parts(1, PAGE + 5, vec![page(full)]).is_none());
        assert!(PagedString::from_parts(1, u64::MAX, vec![]).is_none());
    }
}
