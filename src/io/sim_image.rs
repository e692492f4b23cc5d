//! Content of a simulated file: sparse, and cheap to copy for a crash.
//!
//! Pages that hold only zeros are not kept, so a preallocated segment costs nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

const PAGE_BYTES: usize = 4096;

/// Bytes of a file. What was put past the end is invisible until the length grows over it.
#[derive(Clone, Default)]
pub(super) struct Image {
    len: u64,
    pages: BTreeMap<u64, Arc<[u8; PAGE_BYTES]>>,
}

/// The part of a byte range that lies in one page.
struct Piece {
    page: u64,
    page_offset: usize,
    range_offset: usize,
    len: usize,
}

fn pieces(offset: u64, len: usize) -> impl Iterator<Item = Piece> {
    let mut range_offset = 0;
    std::iter::from_fn(move || {
        if range_offset == len {
            return None;
        }
        let position = offset + range_offset as u64;
        let page_offset = (position % PAGE_BYTES as u64) as usize;
        let piece = Piece {
            page: position / PAGE_BYTES as u64,
            page_offset,
            range_offset,
            len: (PAGE_BYTES - page_offset).min(len - range_offset),
        };
        range_offset += piece.len;
        Some(piece)
    })
}

impl Image {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Copies bytes up to the end of the file; returns how many.
    pub(super) fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let available = self.len.saturating_sub(offset).min(buf.len() as u64) as usize;
        self.copy(&mut buf[..available], offset);
        available
    }

    /// Copies bytes whether or not the file reaches that far.
    pub(super) fn copy(&self, buf: &mut [u8], offset: u64) {
        for piece in pieces(offset, buf.len()) {
            let target = &mut buf[piece.range_offset..][..piece.len];
            match self.pages.get(&piece.page) {
                Some(page) => target.copy_from_slice(&page[piece.page_offset..][..piece.len]),
                None => target.fill(0),
            }
        }
    }

    /// Changes bytes and not the length.
    pub(super) fn put(&mut self, bytes: &[u8], offset: u64) {
        for piece in pieces(offset, bytes.len()) {
            let source = &bytes[piece.range_offset..][..piece.len];
            if !self.pages.contains_key(&piece.page) && source.iter().all(|byte| *byte == 0) {
                continue;
            }
            let page = self.pages.entry(piece.page);
            let page = Arc::make_mut(page.or_insert_with(|| Arc::new([0; PAGE_BYTES])));
            page[piece.page_offset..][..piece.len].copy_from_slice(source);
        }
    }

    /// Sets the length; what is cut off is zeros when the file grows again.
    pub(super) fn set_len(&mut self, len: u64) {
        let shrinks = len < self.len;
        self.len = len;
        if shrinks {
            self.trim();
        }
    }

    /// Forgets what was put past the end.
    pub(super) fn trim(&mut self) {
        let first_beyond = self.len.div_ceil(PAGE_BYTES as u64);
        self.pages.split_off(&first_beyond);
        let kept_bytes = (self.len % PAGE_BYTES as u64) as usize;
        if kept_bytes > 0
            && let Some(page) = self.pages.get_mut(&(first_beyond - 1))
        {
            Arc::make_mut(page)[kept_bytes..].fill(0);
        }
    }

    /// Inverts the bits of `mask` in one byte.
    pub(super) fn flip(&mut self, offset: u64, mask: u8) {
        let mut byte = [0];
        self.copy(&mut byte, offset);
        self.put(&[byte[0] ^ mask], offset);
    }

    /// All bytes of the file.
    pub(super) fn to_vec(&self) -> Vec<u8> {
        let len = usize::try_from(self.len).expect("a simulated file fits in memory");
        let mut bytes = vec![0; len];
        self.copy(&mut bytes, 0);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_across_pages_come_back() {
        let mut image = Image::default();
        let bytes: Vec<u8> = (0..10_000u32).map(|i| i as u8).collect();
        image.put(&bytes, 4_000);
        image.set_len(14_000);
        let mut found = vec![1; 10_000];
        assert_eq!(image.read(&mut found, 4_000), 10_000);
        assert_eq!(found, bytes);
        assert_eq!(image.to_vec()[..4_000], [0; 4_000]);
    }

    #[test]
    fn read_stops_at_the_end() {
        let mut image = Image::default();
        image.put(&[1; 100], 0);
        image.set_len(60);
        assert_eq!(image.read(&mut [0; 100], 50), 10);
        assert_eq!(image.read(&mut [0; 100], 60), 0);
        assert_eq!(image.read(&mut [0; 100], 99), 0);
    }

    #[test]
    fn shrinking_loses_what_was_cut() {
        let mut image = Image::default();
        image.put(&[1; 9_000], 0);
        image.set_len(9_000);
        image.set_len(10);
        image.set_len(9_000);
        assert_eq!(image.to_vec(), [[1; 10].as_slice(), &[0; 8_990]].concat());
    }

    #[test]
    fn zeros_take_no_pages() {
        let mut image = Image::default();
        image.set_len(1 << 40);
        image.put(&[0; 100_000], 1 << 30);
        assert!(image.pages.is_empty());
    }

    #[test]
    fn clone_keeps_its_bytes() {
        let mut image = Image::default();
        image.put(&[1], 0);
        image.set_len(1);
        let before = image.clone();
        image.flip(0, 0b110);
        assert_eq!((before.to_vec(), image.to_vec()), (vec![1], vec![0b111]));
    }
}
