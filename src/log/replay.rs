//! Follows the log through its segments and epochs, and puts frames together.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::format::file_name::SegmentName;
use crate::format::frame::Kind;
use crate::format::segment::{self, Seal};
use crate::io::Storage;
use crate::log::damage::Place;
use crate::log::reader::{CarryStart, FrameView, LogEnd, corrupt, last_before};
use crate::log::walk::{Fragment, SegmentWalker, Step};
use crate::types::{DatabaseId, Lsn};

/// A frame whose first fragment was read and whose last was not.
pub(super) enum OpenFrame {
    /// It began before the first segment that is read.
    Skipped,
    /// Its payload is being put together.
    Begun { start: CarryStart, wall_ms: u64, synced_upto: Lsn },
}

/// How a segment came to its end.
pub(super) enum SegmentEnd {
    /// The next segment goes on.
    Continued,
    /// The next epoch takes over.
    Superseded,
    /// The log ends here.
    Tail,
}

pub(super) struct Reader<'a> {
    pub(super) storage: &'a dyn Storage,
    pub(super) database: DatabaseId,
    pub(super) durable_lsn: Lsn,
    pub(super) from_lsn: Lsn,
    pub(super) sink: &'a mut dyn FnMut(FrameView<'_>) -> Result<()>,
    /// The frame that is expected, or that is open.
    pub(super) next: Lsn,
    pub(super) open: Option<OpenFrame>,
    /// Fragments of the open frame so far.
    pub(super) fragments: u32,
    pub(super) assembled: Vec<u8>,
    pub(super) end: LogEnd,
    /// Of the last valid fragment.
    pub(super) synced_upto: Lsn,
}

/// The segments behind the one that is read.
#[derive(Clone, Copy)]
pub(super) struct Ahead<'a> {
    /// The next segment of the same epoch.
    pub(super) successor: Option<&'a SegmentName>,
    /// The first segment of the next epoch.
    pub(super) next_epoch: Option<&'a SegmentName>,
}

impl Ahead<'_> {
    /// The highest LSN that these segments prove durable.
    pub(super) fn witness(&self) -> Lsn {
        let ahead = [self.successor, self.next_epoch];
        ahead.into_iter().flatten().map(last_before).max().unwrap_or(0)
    }
}

impl Reader<'_> {
    pub(super) fn run(&mut self, names: &[SegmentName], start: usize) -> Result<()> {
        let mut index = start;
        loop {
            let name = names[index];
            let next_epoch = names[index..].iter().find(|other| other.epoch > name.epoch);
            let successor = names.get(index + 1).filter(|other| other.epoch == name.epoch);
            let ahead = Ahead { successor, next_epoch };
            match self.segment(name, ahead)? {
                SegmentEnd::Continued => index += 1,
                SegmentEnd::Superseded => {
                    let epoch = next_epoch.expect("a next epoch has superseded this one").epoch;
                    index = names.partition_point(|other| other.epoch < epoch);
                }
                SegmentEnd::Tail => return Ok(()),
            }
        }
    }

    fn segment(&mut self, name: SegmentName, ahead: Ahead<'_>) -> Result<SegmentEnd> {
        self.end.carry = None;
        let mut walker = self.open_segment(name, ahead)?;
        let path = walker.path().to_path_buf();
        loop {
            if self.superseded(ahead) {
                // A frame that lies across the border was carried whole, or cut.
                self.open = None;
                return Ok(SegmentEnd::Superseded);
            }
            match walker.step()? {
                Step::Fragment(fragment) => {
                    self.synced_upto = fragment.header.synced_upto;
                    if fragment.header.kind == Kind::Data {
                        self.data(name, fragment, &path)?;
                    } else {
                        self.control(&fragment, &path)?;
                    }
                    if fragment.header.kind == Kind::Seal {
                        return self.sealed(&fragment, ahead, path);
                    }
                }
                Step::Break { offset, reason, header } => {
                    let place = Place { offset, reason, header };
                    if let Some(end) = self.broken(&mut walker, ahead, place)? {
                        return Ok(end);
                    }
                }
                Step::End { offset } => {
                    let place = Place { offset, reason: None, header: None };
                    let end = self.broken(&mut walker, ahead, place)?;
                    return Ok(end.expect("nothing is found behind the end"));
                }
            }
        }
    }

    fn superseded(&self, ahead: Ahead<'_>) -> bool {
        ahead.next_epoch.is_some_and(|name| self.next >= name.first_lsn)
    }

    fn open_segment(&self, name: SegmentName, ahead: Ahead<'_>) -> Result<SegmentWalker> {
        let walker = SegmentWalker::open(self.storage, name).map_err(|error| match error {
            Error::Corrupt { path, offset, reason, .. } => {
                let last = ahead.witness().max(self.durable_lsn);
                corrupt(path, offset, (self.next, last), &reason)
            }
            other => other,
        })?;
        let header = walker.header();
        if let Some(found) = header.unsupported(true) {
            let path = walker.path().to_path_buf();
            let supported = segment::VERSION;
            return Err(Error::UnsupportedFormat { path, found, supported });
        }
        if header.name() != name || header.database != self.database {
            let last = ahead.witness().max(self.durable_lsn);
            let reason = "segment belongs to another place or another database";
            return Err(corrupt(walker.path().to_path_buf(), 0, (self.next, last), reason));
        }
        if (name.first_lsn, name.first_fragment) != self.position() {
            let lost = (self.next, last_before(&name));
            let reason = "the segment before this one is missing";
            return Err(corrupt(walker.path().to_path_buf(), 0, lost, reason));
        }
        Ok(walker)
    }

    fn data(&mut self, name: SegmentName, fragment: Fragment<'_>, path: &Path) -> Result<()> {
        let Fragment { offset, header, payload } = fragment;
        if header.lsn != self.next || header.place.begins() == self.open.is_some() {
            let lost = (self.next, header.lsn.saturating_sub(1));
            return Err(corrupt(
                path.to_path_buf(),
                offset,
                lost,
                "frames are missing or out of order",
            ));
        }
        let start = CarryStart { lsn: header.lsn, segment: name, offset };
        let whole = header.place.begins() && header.place.ends();
        if header.place.begins() && !whole {
            self.assembled.clear();
            self.fragments = 0;
            let (wall_ms, synced_upto) = (header.wall_ms, header.synced_upto);
            self.open = Some(OpenFrame::Begun { start, wall_ms, synced_upto });
        }
        if !whole {
            self.fragments += 1;
            if !matches!(self.open, Some(OpenFrame::Skipped)) {
                self.assembled.extend_from_slice(payload);
            }
        }
        if !header.place.ends() {
            return Ok(());
        }
        self.next = self.next.saturating_add(1);
        let (start, wall_ms, synced_upto) = match self.open.take() {
            Some(OpenFrame::Skipped) => return Ok(()),
            Some(OpenFrame::Begun { start, wall_ms, synced_upto }) => (start, wall_ms, synced_upto),
            None => (start, header.wall_ms, header.synced_upto),
        };
        self.end.last_wall_ms = wall_ms;
        if header.lsn < self.from_lsn {
            return Ok(());
        }
        self.end.carry.get_or_insert(start);
        let payload = if whole { payload } else { &self.assembled };
        let lsn = header.lsn;
        (self.sink)(FrameView { lsn, wall_ms, synced_upto, payload, segment: name, offset })
    }

    /// The frame and the fragment of it that come next.
    pub(super) fn position(&self) -> (Lsn, u32) {
        (self.next, self.open.as_ref().map_or(0, |_| self.fragments))
    }

    /// The LSN that a control fragment must repeat here.
    pub(super) fn last_begun(&self) -> Lsn {
        if self.open.is_some() { self.next } else { self.next - 1 }
    }

    fn control(&self, fragment: &Fragment<'_>, path: &Path) -> Result<()> {
        let lsn = fragment.header.lsn;
        if lsn == self.last_begun() {
            return Ok(());
        }
        let reason = "a control fragment does not follow its frame";
        Err(corrupt(path.to_path_buf(), fragment.offset, (self.next, lsn), reason))
    }

    fn sealed(
        &mut self,
        fragment: &Fragment<'_>,
        ahead: Ahead<'_>,
        path: PathBuf,
    ) -> Result<SegmentEnd> {
        let seal = Seal::decode(fragment.payload)
            .map_err(|error| Error::corrupt(&path, fragment.offset, &error))?;
        let named = |name: &&SegmentName| {
            (name.first_lsn, name.first_fragment) == (seal.first_lsn, seal.first_fragment)
        };
        if let Some(successor) = ahead.successor.filter(named) {
            let walker = self.open_segment(*successor, Ahead { successor: None, ..ahead })?;
            if walker.header().salt == seal.salt {
                return Ok(SegmentEnd::Continued);
            }
        }
        let last = ahead.witness().max(self.durable_lsn).max(self.next);
        let reason = "the segment that the seal names is missing";
        Err(corrupt(path, fragment.offset, (self.next, last), reason))
    }
}
