//! Reads the log at recovery: every frame once, in order, whole (D4, D9). `format-spec/recovery.md`
//! states the rules; `replay` follows
//! the log and `damage` decides between a torn tail and corruption.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::format::file_name::{LOG_FOLDER, SegmentName};
use crate::io::Storage;
use crate::log::replay::{OpenFrame, Reader};
use crate::types::{DatabaseId, Lsn};

/// A frame as recovery sees it.
#[derive(Clone, Copy, Debug)]
pub struct FrameView<'a> {
    /// Its LSN.
    pub lsn: Lsn,
    /// Wall time in milliseconds since the Unix epoch.
    pub wall_ms: u64,
    /// Highest LSN known durable when it was written.
    pub synced_upto: Lsn,
    /// Its records.
    pub payload: &'a [u8],
    /// The segment that it ends in.
    pub segment: SegmentName,
    /// Where its last fragment starts there.
    pub offset: u64,
}

/// How the log ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Tail {
    /// Behind the last frame stands nothing.
    Clean,
    /// Behind the last frame stands what a crash left of frames that were never acknowledged.
    Torn {
        /// The segment.
        path: PathBuf,
        /// First byte that is cut off.
        offset: u64,
        /// Bytes up to the end of the last fragment that can still be made out.
        bytes: u64,
    },
}

/// A segment of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentInfo {
    /// Name.
    pub name: SegmentName,
    /// No frame above this needs the segment.
    pub last_lsn: Lsn,
}

/// Where the frames of the unsealed segment that are still needed begin, for a new epoch to copy
/// them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CarryStart {
    /// The first frame that was asked for and ends in the unsealed segment.
    pub lsn: Lsn,
    /// The segment it begins in.
    pub segment: SegmentName,
    /// Where it begins there.
    pub offset: u64,
}

/// What reading the log has found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogEnd {
    /// The last whole frame; one less than was asked for when there is none.
    pub last_lsn: Lsn,
    /// Its wall time, 0 when there is none.
    pub last_wall_ms: u64,
    /// Highest epoch of any segment, 0 when there is none.
    pub epoch: u32,
    /// How the log ends.
    pub tail: Tail,
    /// What must be copied to the next epoch, if anything.
    pub carry: Option<CarryStart>,
    /// All segments, in order.
    pub segments: Vec<SegmentInfo>,
    /// Damaged control fragments, and frames before those that were asked for, that were passed
    /// over, nothing being lost with them.
    pub repaired: Vec<(PathBuf, u64)>,
}

impl LogEnd {
    /// The end of a log that holds nothing, behind this LSN.
    pub fn behind(last_lsn: Lsn) -> LogEnd {
        LogEnd {
            last_lsn,
            last_wall_ms: 0,
            epoch: 0,
            tail: Tail::Clean,
            carry: None,
            segments: Vec::new(),
            repaired: Vec::new(),
        }
    }
}

/// Reads all frames from `from_lsn` on and hands them to `sink`. `durable_lsn` is what the MANIFEST
/// says the log was durable up to. Frames reach `sink` before the end is known: after an error
/// whatever was built from them must be thrown away.
///
/// # Errors
/// `Corrupt` with the range of lost LSNs, `UnsupportedFormat`, `Io`, and what `sink` returns.
pub fn read(
    storage: &dyn Storage,
    from_lsn: Lsn,
    durable_lsn: Lsn,
    database: DatabaseId,
    sink: &mut dyn FnMut(FrameView<'_>) -> Result<()>,
) -> Result<LogEnd> {
    let names = list_segments(storage)?;
    let durable_lsn = durable_lsn.max(from_lsn.saturating_sub(1));
    let start = names.iter().rposition(|name| covers(name, from_lsn));
    let Some(start) = start else {
        return match names.first() {
            // Only a database that was never opened to its end has no segment at all.
            None if durable_lsn == 0 => Ok(LogEnd::behind(from_lsn.saturating_sub(1))),
            first => {
                let last = first.map_or(durable_lsn, |name| name.first_lsn.saturating_sub(1));
                let path = storage.display_path(LOG_FOLDER.as_ref());
                Err(corrupt(path, 0, (from_lsn, last.max(from_lsn)), "log segments are missing"))
            }
        };
    };
    let mut reader = Reader {
        storage,
        database,
        durable_lsn,
        from_lsn,
        sink,
        next: names[start].first_lsn,
        open: (names[start].first_fragment > 0).then_some(OpenFrame::Skipped),
        fragments: names[start].first_fragment,
        assembled: Vec::new(),
        end: LogEnd::behind(from_lsn.saturating_sub(1)),
        synced_upto: 0,
    };
    reader.run(&names, start)?;
    let (last_lsn, mut end) = (reader.next - 1, reader.end);
    // Where the log ends below that, `damage` has refused it.
    assert!(last_lsn >= durable_lsn, "no durable frame is passed over");
    end.last_lsn = last_lsn;
    end.epoch = names[names.len() - 1].epoch;
    end.segments = infos(&names, last_lsn);
    Ok(end)
}

/// Names of the segments, in the order of the log. Other files of the folder are left out.
///
/// # Errors
/// `Io` when the folder cannot be read.
pub fn list_segments(storage: &dyn Storage) -> Result<Vec<SegmentName>> {
    let folder = LOG_FOLDER.as_ref();
    let listed = storage
        .list(folder)
        .map_err(|source| Error::io("list", &storage.display_path(folder), source))?;
    let mut names: Vec<SegmentName> =
        listed.iter().filter_map(|name| SegmentName::decode(name)).collect();
    names.sort_unstable();
    Ok(names)
}

fn covers(name: &SegmentName, lsn: Lsn) -> bool {
    name.first_lsn < lsn || (name.first_lsn == lsn && name.first_fragment == 0)
}

fn infos(names: &[SegmentName], last_lsn: Lsn) -> Vec<SegmentInfo> {
    let ends = names.iter().skip(1).map(last_before).chain([last_lsn]);
    let infos = names.iter().zip(ends);
    infos.map(|(&name, last_lsn)| SegmentInfo { name, last_lsn }).collect()
}

/// The last LSN of which anything stands before this segment.
pub(super) fn last_before(name: &SegmentName) -> Lsn {
    if name.first_fragment > 0 { name.first_lsn } else { name.first_lsn.saturating_sub(1) }
}

pub(super) fn corrupt(path: PathBuf, offset: u64, lost: (Lsn, Lsn), reason: &str) -> Error {
    let reason = reason.to_string();
    Error::Corrupt { path, offset, lost: Some((lost.0, lost.1.max(lost.0))), reason }
}
