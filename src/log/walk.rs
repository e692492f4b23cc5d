//! One segment, fragment by fragment, without judgement: what is valid, what is not, and what can
//! still be found behind damage. The reader and the inspector decide what it means.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::checksum::{self, Salt};
use crate::format::file_name::{LOG_FOLDER, SegmentName};
use crate::format::frame::{self, ALIGN_BYTES, FragmentHeader, HEADER_BYTES};
use crate::format::segment::{self, SegmentHeader};
use crate::io::{File, OpenMode, Storage};

/// Bytes read at a time; larger than any fragment.
const WINDOW_BYTES: u64 = 4 << 20;

/// A valid fragment.
#[derive(Clone, Copy, Debug)]
pub struct Fragment<'a> {
    /// Where its header starts in the file.
    pub offset: u64,
    /// Its header.
    pub header: FragmentHeader,
    /// Its payload.
    pub payload: &'a [u8],
}

/// What stands next in a segment.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// A valid fragment.
    Fragment(Fragment<'a>),
    /// No valid fragment at this place. Further steps search for one at every aligned offset.
    Break {
        /// The place.
        offset: u64,
        /// Why; none where the place is all zeros, as space is that was never used.
        reason: Option<&'static str>,
        /// The header, when it is the payload that fails.
        header: Option<FragmentHeader>,
    },
    /// The file ends.
    End {
        /// Its length, in bytes.
        offset: u64,
    },
}

/// Walks through a segment.
pub struct SegmentWalker {
    path: PathBuf,
    header: SegmentHeader,
    salt: Salt,
    window: Window,
    offset: u64,
    searching: bool,
}

/// The path of a segment, relative to the data directory.
pub fn segment_path(name: SegmentName) -> PathBuf {
    Path::new(LOG_FOLDER).join(name.encode())
}

impl SegmentWalker {
    /// Opens a segment and reads its header. Version and features are not judged.
    ///
    /// # Errors
    /// `Corrupt` when the header is damaged, `Io` when it cannot be read.
    pub fn open(storage: &dyn Storage, name: SegmentName) -> Result<SegmentWalker> {
        let relative = segment_path(name);
        let path = storage.display_path(&relative);
        let open = || -> std::io::Result<Window> {
            let file = storage.open(&relative, OpenMode::Read)?;
            Ok(Window { len: file.len()?, file, bytes: Vec::new(), at: 0 })
        };
        let mut window = open().map_err(|source| Error::io("open", &path, source))?;
        let header = window
            .get(0, segment::HEADER_BYTES as u64)
            .map_err(|source| Error::io("read", &path, source))?
            .unwrap_or_default();
        let header = SegmentHeader::decode(header).map_err(|e| Error::corrupt(&path, 0, &e))?;
        Ok(SegmentWalker {
            path,
            salt: Salt::new(header.salt),
            header,
            window,
            offset: segment::HEADER_BYTES as u64,
            searching: false,
        })
    }

    /// The segment's header.
    pub fn header(&self) -> &SegmentHeader {
        &self.header
    }

    /// The segment's path, for people.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Goes back to a valid fragment that a search has found.
    pub fn rewind(&mut self, offset: u64) {
        self.offset = offset;
        self.searching = false;
    }

    /// The next step. After `End` it is `End` again.
    ///
    /// # Errors
    /// `Io` when the file cannot be read.
    pub fn step(&mut self) -> Result<Step<'_>> {
        if self.searching {
            self.search()?;
        }
        let (offset, salt) = (self.offset, self.salt);
        let window = &mut self.window;
        let io = |source| Error::io("read", &self.path, source);
        let Some(bytes) = window.get(offset, HEADER_BYTES as u64).map_err(io)? else {
            return Ok(Step::End { offset: window.len });
        };
        let zero = bytes.iter().all(|&byte| byte == 0);
        let header = match FragmentHeader::decode(bytes, salt) {
            Ok(header) => header,
            Err(error) => {
                self.searching = true;
                self.offset += ALIGN_BYTES as u64;
                let reason = (!zero).then_some(error.reason);
                return Ok(Step::Break { offset, reason, header: None });
            }
        };
        // The header is trusted: whatever became of the payload, the next fragment is behind it.
        self.offset += header.stride();
        let payload_at = offset + HEADER_BYTES as u64;
        let reason = match window.get(payload_at, u64::from(header.payload_bytes)).map_err(io)? {
            None => "fragment is cut short by the end of the file",
            Some(payload) if checksum::plain(payload) != header.payload_crc => {
                "payload of a fragment fails its checksum"
            }
            Some(_) => {
                let payload = window.held(payload_at, header.payload_bytes as usize);
                return Ok(Step::Fragment(Fragment { offset, header, payload }));
            }
        };
        self.searching = true;
        Ok(Step::Break { offset, reason: Some(reason), header: Some(header) })
    }

    /// Moves to the next aligned offset where a header is valid, or to the end.
    fn search(&mut self) -> Result<()> {
        self.searching = false;
        loop {
            let io = |source| Error::io("read", &self.path, source);
            let bytes = self.window.get(self.offset, HEADER_BYTES as u64).map_err(io)?;
            match bytes {
                None => return Ok(()),
                Some(bytes)
                    if frame::is_plausible(bytes)
                        && FragmentHeader::decode(bytes, self.salt).is_ok() =>
                {
                    return Ok(());
                }
                Some(_) => self.offset += ALIGN_BYTES as u64,
            }
        }
    }
}

/// A piece of the file in memory.
struct Window {
    file: Arc<dyn File>,
    len: u64,
    bytes: Vec<u8>,
    at: u64,
}

impl Window {
    /// Bytes of the file, or nothing when it ends before them.
    fn get(&mut self, offset: u64, len: u64) -> std::io::Result<Option<&[u8]>> {
        let end = offset.saturating_add(len);
        if end > self.len {
            return Ok(None);
        }
        if offset < self.at || end > self.at + self.bytes.len() as u64 {
            let wanted = WINDOW_BYTES.max(len).min(self.len - offset);
            self.bytes.resize(wanted as usize, 0);
            let read = self.file.read_at(&mut self.bytes, offset)?;
            self.bytes.truncate(read);
            self.at = offset;
            if end > offset + read as u64 {
                self.len = offset + read as u64;
                return Ok(None);
            }
        }
        Ok(Some(self.held(offset, len as usize)))
    }

    /// Bytes that the last [`Window::get`] has made sure of.
    fn held(&self, offset: u64, len: usize) -> &[u8] {
        let start = (offset - self.at) as usize;
        &self.bytes[start..start + len]
    }
}
