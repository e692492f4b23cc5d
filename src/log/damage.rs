//! The judgement of damage: torn tail, corruption, or nothing lost. The rules are those of
//! `format-spec/recovery.md`.

use crate::error::Result;
use crate::format::file_name::SegmentName;
use crate::format::frame::{FragmentHeader, Kind};
use crate::format::segment;
use crate::log::reader::{Tail, corrupt, last_before};
use crate::log::replay::{Ahead, OpenFrame, Reader, SegmentEnd};
use crate::log::walk::{Fragment, SegmentWalker, Step};
use crate::types::Lsn;

impl Reader<'_> {
    /// Judges a place where no valid fragment stands. Nothing is returned when reading can go on
    /// behind it, because only a control fragment was damaged, or frames that nobody asked for.
    pub(super) fn broken(
        &mut self,
        walker: &mut SegmentWalker,
        ahead: Ahead<'_>,
        Place { offset, reason, header }: Place,
    ) -> Result<Option<SegmentEnd>> {
        let here = self.position();
        let continues = |name: &SegmentName| (name.first_lsn, name.first_fragment) == here;
        let found = self.search(walker)?;
        if let Some((at, next)) = found.resume_at {
            self.end.repaired.push((walker.path().to_path_buf(), offset));
            if next != self.next {
                // The frame that was open is among those that nobody needs.
                self.open = None;
                self.next = next;
            }
            walker.rewind(at);
            return Ok(None);
        }
        if ahead.successor.is_some_and(continues) {
            // The crash came between the successor's creation and the seal.
            return Ok(Some(SegmentEnd::Continued));
        }
        let witness = found.witness.max(ahead.witness()).max(self.durable_lsn);
        let path = walker.path().to_path_buf();
        if witness >= self.next {
            let last = found.last_lost.or_else(|| ahead.successor.map(last_before));
            let last = last.unwrap_or(witness);
            let reason = reason.unwrap_or("zeros stand where a frame was durable");
            return Err(corrupt(path, offset, (self.next, last), reason));
        }
        let own_witness = self.synced_upto.saturating_add(1) >= self.next;
        let begun = header.map_or(0, |header| offset + header.stride());
        let bytes_end = found.end.max(begun);
        let clean = self.open.is_none() && bytes_end == 0 && (reason.is_none() || own_witness);
        self.end.tail = if clean {
            Tail::Clean
        } else {
            let offset = self.cut_offset(walker.header().name(), offset);
            Tail::Torn { path, offset, bytes: bytes_end.saturating_sub(offset) }
        };
        self.open = None;
        Ok(Some(SegmentEnd::Tail))
    }

    /// Where an incomplete frame begins in this segment, or else the broken place.
    fn cut_offset(&self, name: SegmentName, offset: u64) -> u64 {
        match self.open {
            Some(OpenFrame::Begun { start, .. }) if start.segment == name => start.offset,
            Some(_) => segment::HEADER_BYTES as u64,
            None => offset,
        }
    }

    /// Looks through the rest of a segment behind a broken place.
    fn search(&self, walker: &mut SegmentWalker) -> Result<Found> {
        let mut found = Found::default();
        loop {
            match walker.step()? {
                Step::End { .. } => return Ok(found),
                Step::Break { offset, header, .. } => {
                    if let Some(header) = header {
                        found.see(&header, offset);
                    }
                }
                Step::Fragment(fragment) => {
                    let Fragment { offset, header, .. } = fragment;
                    if found.last_lost.is_none() {
                        let begins = header.kind == Kind::Data && header.place.begins();
                        let intact = self.open.is_none()
                            && if header.kind == Kind::Data {
                                begins && header.lsn == self.next
                            } else {
                                header.lsn == self.last_begun()
                            };
                        if intact && found.end == 0 {
                            found.resume_at = Some((offset, self.next));
                            return Ok(found);
                        }
                        let last_lost = header.lsn.saturating_sub(u64::from(begins));
                        if last_lost < self.from_lsn && (begins || header.kind != Kind::Data) {
                            found.resume_at = Some((offset, last_lost + 1));
                            return Ok(found);
                        }
                        found.last_lost = Some(last_lost);
                    }
                    found.see(&header, offset);
                }
            }
        }
    }
}

/// A place where no valid fragment stands.
pub(super) struct Place {
    pub(super) offset: u64,
    /// None where it is all zeros.
    pub(super) reason: Option<&'static str>,
    /// The header, when it is valid and its payload is not.
    pub(super) header: Option<FragmentHeader>,
}

/// What stands behind a broken place.
#[derive(Default)]
struct Found {
    /// A fragment that directly follows what was read before, or follows frames that parts hold:
    /// nothing is lost. With the frame that is expected there.
    resume_at: Option<(u64, Lsn)>,
    /// The last frame before the first valid fragment.
    last_lost: Option<Lsn>,
    /// Highest LSN stated to be durable.
    witness: Lsn,
    /// End of the last fragment.
    end: u64,
}

impl Found {
    fn see(&mut self, header: &FragmentHeader, offset: u64) {
        // A segment is sealed only when all that it holds is durable.
        let sealed = if header.kind == Kind::Seal { header.lsn } else { 0 };
        self.witness = self.witness.max(header.synced_upto).max(sealed);
        self.end = offset + header.stride();
    }
}
