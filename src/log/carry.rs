//! The beginning of an epoch: what the last epoch left unsealed is copied into a new segment.

use std::path::Path;

use crate::error::{Error, Result};
use crate::format::file_name::SegmentName;
use crate::format::frame::{FragmentHeader, Kind};
use crate::format::segment;
use crate::io::OpenMode;
use crate::log::active::{Active, SEAL_BYTES};
use crate::log::reader::{CarryStart, LogEnd};
use crate::log::segments::Shelf;
use crate::log::space::SEGMENT_SLACK_BYTES;
use crate::log::walk::{SegmentWalker, Step, segment_path};
use crate::types::Lsn;

/// Begins `epoch` behind `end`. When this returns the copied frames are durable under the new
/// epoch; until then the old epoch stands untouched.
pub(super) fn begin_epoch(
    shelf: &Shelf,
    epoch: u32,
    end: &LogEnd,
    bytes_min: u64,
    wall_ms: u64,
) -> Result<Active> {
    sync_all(shelf, end)?;
    let first_lsn = end.carry.map_or(end.last_lsn + 1, |carry| carry.lsn);
    let name = SegmentName { epoch, first_lsn, first_fragment: 0 };
    let mut carried_bytes = 0;
    each_fragment(shelf, end, |header, _| {
        carried_bytes += header.stride();
        Ok(())
    })?;
    let needed = carried_bytes + segment::HEADER_BYTES as u64 + SEGMENT_SLACK_BYTES + SEAL_BYTES;
    let (mut active, _) = shelf.begin(name, needed.max(bytes_min))?;
    each_fragment(shelf, end, |header, payload| {
        let header = FragmentHeader { synced_upto: end.last_lsn, ..*header };
        active.put(&header.encode(active.salt))?;
        active.put(payload)?;
        active.pad()
    })?;
    if carried_bytes > 0 {
        let last = (end.last_lsn, end.last_lsn, wall_ms);
        active.put_control(Kind::Sync, &[], last)?;
    }
    shelf.publish(&mut active)?;
    for info in &end.segments {
        // From the first copied frame on the new epoch stands for the old one.
        let mut info = *info;
        info.last_lsn = info.last_lsn.min(first_lsn - 1);
        shelf.retire(info, file_bytes(shelf, info.name)?);
    }
    Ok(active)
}

/// What recovery has read may never have been synced; it is about to be relied on.
fn sync_all(shelf: &Shelf, end: &LogEnd) -> Result<()> {
    for info in &end.segments {
        let path = segment_path(info.name);
        let file = shelf.storage.open(&path, OpenMode::Write);
        file.and_then(|file| file.sync_data())
            .map_err(|source| Error::io("sync", &shelf.storage.display_path(&path), source))?;
    }
    Ok(())
}

fn file_bytes(shelf: &Shelf, name: SegmentName) -> Result<u64> {
    let path = segment_path(name);
    let file = shelf.storage.open(&path, OpenMode::Read);
    file.and_then(|file| file.len())
        .map_err(|source| Error::io("open", &shelf.storage.display_path(&path), source))
}

/// The data fragments from the carried frame to the end of the log.
fn each_fragment(
    shelf: &Shelf,
    end: &LogEnd,
    mut sink: impl FnMut(&FragmentHeader, &[u8]) -> Result<()>,
) -> Result<()> {
    let Some(CarryStart { lsn, segment, offset }) = end.carry else {
        return Ok(());
    };
    let mut reached: Lsn = lsn - 1;
    let names = end.segments.iter().map(|info| info.name);
    for name in names.filter(|name| name.epoch == segment.epoch && *name >= segment) {
        let mut walker = SegmentWalker::open(&*shelf.storage, name)?;
        if name == segment {
            walker.rewind(offset);
        }
        loop {
            match walker.step()? {
                Step::Fragment(fragment) if fragment.header.kind == Kind::Data => {
                    sink(&fragment.header, fragment.payload)?;
                    if fragment.header.lsn == end.last_lsn && fragment.header.place.ends() {
                        return Ok(());
                    }
                    reached = fragment.header.lsn;
                }
                Step::Fragment(fragment) if fragment.header.kind == Kind::Seal => break,
                Step::Fragment(_) => {}
                // A damaged control fragment, or the end: the search shows which.
                Step::Break { .. } => {}
                Step::End { .. } => break,
            }
        }
    }
    Err(Error::Corrupt {
        path: shelf.storage.display_path(Path::new(&segment_path(segment))),
        offset,
        lost: Some((reached + 1, end.last_lsn)),
        reason: "frames that were read a moment ago are gone".to_string(),
    })
}
