//! The files of the log: the active segment, spares prepared ahead, and what waits for release.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::error::{Error, Result};
use crate::format::checksum::Salt;
use crate::format::file_name::{self, LOG_FOLDER, SegmentName};
use crate::format::frame::Kind;
use crate::format::segment::{Seal, SegmentHeader};
use crate::io::{OpenMode, Storage};
use crate::log::active::Active;
use crate::log::reader::SegmentInfo;
use crate::log::space::Space;
use crate::log::walk::segment_path;
use crate::types::{DatabaseId, Lsn};

/// Sizes of segments are multiples of this, in bytes.
const SEGMENT_UNIT_BYTES: u64 = 4096;
/// Segments are as small as this where the disk lacks room for larger ones, in bytes: enough for
/// what frees space.
const SHORT_SEGMENT_BYTES: u64 = 256 << 10;
/// Spares kept for reuse; more are removed. With segments and checkpoints of their default sizes,
/// a log under steady load reuses what a checkpoint releases instead of zeroing new files.
const SPARES_MAX: usize = 6;

/// Space without a place in the log yet.
struct Spare {
    path: PathBuf,
    bytes: u64,
}

struct State {
    spares: Vec<Spare>,
    /// Segments that are no longer written, with their sizes.
    sealed: VecDeque<(SegmentInfo, u64)>,
    next_number: u64,
    next_bytes: u64,
    active_bytes: u64,
    salts: u64,
}

/// All files of the log but the active one.
pub(super) struct Shelf {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) space: Arc<Space>,
    database: DatabaseId,
    bytes_min: u64,
    bytes_max: u64,
    /// What the engine wants free beside checkpoints, in bytes.
    pub(super) kept_bytes: AtomicU64,
    state: Mutex<State>,
    /// Only one thread prepares at a time.
    preparing: Mutex<()>,
}

fn fail(storage: &dyn Storage, op: &'static str, path: &Path, source: io::Error) -> Error {
    Error::io(op, &storage.display_path(path), source)
}

impl Shelf {
    /// Looks through the log folder: spares are adopted, unfinished ones removed.
    pub(super) fn open(
        storage: Arc<dyn Storage>,
        space: Arc<Space>,
        database: DatabaseId,
        (bytes_min, bytes_max): (u64, u64),
        salt_seed: u64,
    ) -> Result<Shelf> {
        let folder = Path::new(LOG_FOLDER);
        let bytes_min = bytes_min.next_multiple_of(SEGMENT_UNIT_BYTES);
        let mut state = State {
            spares: Vec::new(),
            sealed: VecDeque::new(),
            next_number: 1,
            next_bytes: bytes_min,
            active_bytes: 0,
            salts: salt_seed,
        };
        let adopt = |state: &mut State| -> io::Result<()> {
            storage.create_folder(folder)?;
            storage.sync_folder(Path::new(""))?;
            for name in storage.list(folder)? {
                let (spare, unfinished) =
                    (file_name::decode_spare(&name), file_name::decode_unfinished(&name));
                let Some(number) = spare.or(unfinished) else {
                    continue;
                };
                state.next_number = state.next_number.max(number.saturating_add(1));
                let path = folder.join(&name);
                let file = storage.open(&path, OpenMode::Read)?;
                let bytes = file.len()? / SEGMENT_UNIT_BYTES * SEGMENT_UNIT_BYTES;
                if spare.is_some() && bytes >= bytes_min && file.link_count()? == 1 {
                    state.spares.push(Spare { path, bytes });
                } else {
                    storage.remove(&path)?;
                }
            }
            Ok(())
        };
        adopt(&mut state).map_err(|source| fail(&*storage, "open", folder, source))?;
        state.spares.iter().for_each(|spare| space.add_spare(spare.bytes));
        let bytes_max = bytes_max.next_multiple_of(SEGMENT_UNIT_BYTES).max(bytes_min);
        let (state, preparing) = (Mutex::new(state), Mutex::new(()));
        Ok(Shelf {
            storage,
            space,
            database,
            bytes_min,
            bytes_max,
            kept_bytes: AtomicU64::new(0),
            state,
            preparing,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics under this lock")
    }

    /// Whether a spare should be prepared.
    pub(super) fn needs_spare(&self) -> bool {
        !self.has_spare() || self.space.is_short()
    }

    /// Whether a segment could be begun without preparing one.
    pub(super) fn has_spare(&self) -> bool {
        !self.state().spares.is_empty()
    }

    /// Spares, segments that wait for release, and the bytes of all files of the log.
    pub(super) fn counts(&self) -> (u64, u64, u64) {
        let state = self.state();
        let spare_bytes: u64 = state.spares.iter().map(|spare| spare.bytes).sum();
        let sealed_bytes: u64 = state.sealed.iter().map(|(_, bytes)| bytes).sum();
        let bytes = spare_bytes + sealed_bytes + state.active_bytes;
        (state.spares.len() as u64, state.sealed.len() as u64, bytes)
    }

    /// Makes one spare ready while that leaves the disk room for a checkpoint, unless another
    /// thread has meanwhile made it needless. Smaller ones than usual where room is short.
    ///
    /// # Errors
    /// `Io` with `StorageFull` where it does not, or as the disk says.
    pub(super) fn prepare_ahead(&self, unsaved_bytes: u64) -> Result<()> {
        let _one_at_a_time = self.preparing.lock().expect("nothing panics under this lock");
        if !self.needs_spare() {
            return Ok(());
        }
        let (least, room) = (self.bytes_least(), self.room_for_segments(unsaved_bytes));
        let mut bytes = self.state().next_bytes;
        // Once for the log, once for the part.
        while room / 2 < bytes {
            if bytes <= least {
                let full = io::ErrorKind::StorageFull.into();
                return Err(fail(&*self.storage, "prepare", Path::new(LOG_FOLDER), full));
            }
            bytes = (bytes / 2).next_multiple_of(SEGMENT_UNIT_BYTES).max(least);
        }
        self.prepare_one(bytes)
    }

    /// Size of the smallest segments.
    fn bytes_least(&self) -> u64 {
        self.bytes_min.min(SHORT_SEGMENT_BYTES)
    }

    /// What the disk would have left after a checkpoint, were all of the log's room used before.
    /// What stands in the log and in no part has to fit into one, so that a log that filled the
    /// disk can give its space back (D6).
    pub(super) fn room_beside_checkpoint(&self, unsaved_bytes: u64) -> u64 {
        // What cannot be asked is found out by the write.
        let free_bytes = self.storage.free_bytes().unwrap_or(u64::MAX);
        // A little for the MANIFEST, and for what parts add.
        let part_bytes = unsaved_bytes + self.space.writable() + self.bytes_least();
        free_bytes.saturating_sub(part_bytes)
    }

    /// What new segments may take of that.
    pub(super) fn room_for_segments(&self, unsaved_bytes: u64) -> u64 {
        let room = self.room_beside_checkpoint(unsaved_bytes);
        room.saturating_sub(self.kept_bytes.load(Relaxed))
    }

    /// Makes one spare of at least `bytes_min` bytes ready, unless another thread has meanwhile
    /// made it needless. What is promised already has to be written: nothing is left over for
    /// checkpoints.
    fn prepare(&self, bytes_min: u64, needed: impl Fn() -> bool) -> Result<()> {
        let _one_at_a_time = self.preparing.lock().expect("nothing panics under this lock");
        let bytes = self.state().next_bytes.max(bytes_min.next_multiple_of(SEGMENT_UNIT_BYTES));
        if needed() { self.prepare_one(bytes) } else { Ok(()) }
    }

    /// Allocates, zeroes and syncs, and only then gives the file a spare's name.
    fn prepare_one(&self, bytes: u64) -> Result<()> {
        let number = {
            let mut state = self.state();
            state.next_number += 1;
            state.next_number - 1
        };
        let folder = Path::new(LOG_FOLDER);
        let unfinished = folder.join(file_name::encode_unfinished(number));
        let path = folder.join(file_name::encode_spare(number));
        let prepared = self.zero(&unfinished, bytes).and_then(|()| {
            self.storage.rename(&unfinished, &path)?;
            self.storage.sync_folder(folder)
        });
        if let Err(source) = prepared {
            // Whatever is left over is removed by the next open at the latest.
            let _ = self.storage.remove(&unfinished);
            return Err(fail(&*self.storage, "prepare", &unfinished, source));
        }
        let mut state = self.state();
        state.next_bytes = (state.next_bytes.min(bytes) * 2).min(self.bytes_max);
        state.spares.push(Spare { path, bytes });
        self.space.add_spare(bytes);
        Ok(())
    }

    /// Blocks that were written once make later syncs cheaper than blocks only reserved: the
    /// storage writes the zeros, and syncs them every few MiB so that the log's own syncs do not
    /// wait long.
    fn zero(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let file = self.storage.open(path, OpenMode::CreateNew)?;
        file.allocate(bytes)?;
        file.sync_all()
    }

    /// Takes a spare of at least `bytes_min` bytes (preparing one if need be) and writes the
    /// header. Until [`Shelf::publish`] the file keeps its old name: nothing reads it as log.
    pub(super) fn begin(&self, name: SegmentName, bytes_min: u64) -> Result<(Active, u64)> {
        let find = || {
            let state = self.state();
            let mut sizes = state.spares.iter().map(|spare| spare.bytes);
            sizes.position(|bytes| bytes >= bytes_min)
        };
        // Only the committer takes spares: what is found stays.
        let index = loop {
            match find() {
                Some(index) => break index,
                None => self.prepare(bytes_min, || find().is_none())?,
            }
        };
        let spare = self.state().spares.remove(index);
        self.space.take_spare(spare.bytes);
        let raw_salt = self.salt();
        let file = self
            .storage
            .open(&spare.path, OpenMode::Write)
            .map_err(|source| fail(&*self.storage, "open", &spare.path, source))?;
        let mut active = Active {
            name,
            salt: Salt::new(raw_salt),
            file,
            path: spare.path,
            bytes: spare.bytes,
            offset: 0,
            buffer: Vec::new(),
            total_bytes: 0,
        };
        self.state().active_bytes = spare.bytes;
        active.put(&SegmentHeader::new(self.database, name, raw_salt).encode())?;
        Ok((active, raw_salt))
    }

    /// Makes a begun segment durable, then gives it its name in the log, durably too.
    pub(super) fn publish(&self, active: &mut Active) -> Result<()> {
        active.flush()?;
        active.sync()?;
        let path = segment_path(active.name);
        let folder = Path::new(LOG_FOLDER);
        let renamed = self.storage.rename(&active.path, &path);
        renamed
            .and_then(|()| self.storage.sync_folder(folder))
            .map_err(|source| fail(&*self.storage, "rename", &active.path, source))?;
        active.path = path;
        Ok(())
    }

    /// Salts of one opening are the SplitMix64 sequence of its seed: all different.
    fn salt(&self) -> u64 {
        let mut state = self.state();
        state.salts = state.salts.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state.salts;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Remembers a segment that is no longer written, until it is released.
    pub(super) fn retire(&self, info: SegmentInfo, bytes: u64) {
        self.state().sealed.push_back((info, bytes));
    }

    /// Goes on in a new segment: what was written before is durable first, then the successor
    /// exists, then the seal names it. `lsn` and `fragment` are what comes next.
    pub(super) fn switch(
        &self,
        active: &mut Active,
        (lsn, first_fragment): (Lsn, u32),
        (synced_upto, wall_ms): (Lsn, u64),
    ) -> Result<()> {
        active.flush()?;
        active.sync()?;
        let name = SegmentName { epoch: active.name.epoch, first_lsn: lsn, first_fragment };
        let (mut next, salt) = self.begin(name, 0)?;
        self.publish(&mut next)?;
        let last_lsn = if first_fragment > 0 { lsn } else { lsn - 1 };
        let seal = Seal { first_lsn: lsn, first_fragment, salt };
        active.put_control(Kind::Seal, &seal.encode(), (last_lsn, synced_upto, wall_ms))?;
        active.flush()?;
        active.sync()?;
        next.buffer = std::mem::take(&mut active.buffer);
        next.total_bytes += active.total_bytes;
        let old = std::mem::replace(active, next);
        self.retire(SegmentInfo { name: old.name, last_lsn }, old.bytes);
        Ok(())
    }

    /// Recycles or removes the segments that hold nothing from `lsn` on; recycles none that
    /// checkpoints need the room of. A file that has another name (a backup's link) only loses
    /// this one.
    pub(super) fn release_before(&self, lsn: Lsn, unsaved_bytes: u64) -> Result<()> {
        let folder = Path::new(LOG_FOLDER);
        let mut room = self.room_for_segments(unsaved_bytes);
        let mut recycled = Vec::new();
        let mut changed = false;
        loop {
            let (name, bytes, number, wanted) = {
                let mut state = self.state();
                let (info, bytes) = match state.sealed.front() {
                    Some(&(info, bytes)) if info.last_lsn < lsn => (info, bytes),
                    _ => break,
                };
                state.sealed.pop_front();
                state.next_number += 1;
                let fits = bytes * 2 >= state.next_bytes || self.space.is_full();
                let spares = state.spares.len() + recycled.len();
                let wanted = fits && spares < SPARES_MAX && bytes <= room;
                room = room.saturating_sub(if wanted { bytes } else { 0 });
                (info.name, bytes, state.next_number - 1, wanted)
            };
            let path = segment_path(name);
            let spare = folder.join(file_name::encode_spare(number));
            let released = self.release(&path, wanted.then_some(&spare));
            match released {
                Ok(true) => recycled.push(Spare { path: spare, bytes }),
                Ok(false) => {}
                Err(source) => return Err(fail(&*self.storage, "release", &path, source)),
            }
            changed = true;
        }
        if changed {
            let synced = self.storage.sync_folder(folder);
            synced.map_err(|source| fail(&*self.storage, "sync", folder, source))?;
        }
        // Only now: a file that may yet come back under its old name must keep its old content.
        let mut state = self.state();
        for spare in recycled {
            self.space.add_spare(spare.bytes);
            state.spares.push(spare);
        }
        Ok(())
    }

    /// Whether the file has become the spare.
    fn release(&self, path: &Path, spare: Option<&PathBuf>) -> io::Result<bool> {
        let links = self.storage.open(path, OpenMode::Read)?.link_count()?;
        match spare.filter(|_| links == 1) {
            Some(spare) => self.storage.rename(path, spare).map(|()| true),
            None => self.storage.remove(path).map(|()| false),
        }
    }
}
