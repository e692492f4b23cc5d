//! Repair: makes a damaged directory openable with the least loss, and deletes nothing. Never
//! implicit: a verb of its own (D12).
//!
//! Where an older MANIFEST still stands for an undamaged state, that becomes the current one.
//! Otherwise the log is cut before the first LSN that is lost: what can be replayed before it goes
//! into a new part, over the parts that are sound and what is left of those that are not, and a new
//! log begins behind every LSN that was ever given out. Whatever is not needed any more is moved to
//! `damaged-<unix seconds>/`, and all that is lost is listed there.
//!
//! A crash in the middle leaves either the damaged database or the repaired one with remainders of
//! the log in the way; repairing again finishes it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::file_name::{
    LOG_FOLDER, PART_FOLDER, SegmentName, decode_manifest, decode_part, encode_manifest,
};
use crate::io::clock::SystemClock;
use crate::io::disk::DiskStorage;
use crate::io::lock::DirectoryLock;
use crate::io::{Clock, OpenMode, Storage};
use crate::log::reader::list_segments;
use crate::log::walk::{SegmentWalker, Step};
use crate::log::{Log, LogEnd};
use crate::options::Options;
use crate::snapshot::manifest::{Loaded, ManifestStore, load, read_generation};
use crate::snapshot::part_reader::PartReader;
use crate::snapshot::rescue::is_lost_medium;
use crate::snapshot::verify::verify;
use crate::snapshot::{Manifest, PartMeta};
use crate::types::Lsn;

use super::offline::Offline;
use super::offline_scan::Gaps;
use super::recovery::{Entropy, log_config, refuse_orphans};
use super::salvage::{NewPart, rescue_parts, write_part};

/// Bytes copied at a time.
const COPY_BYTES: usize = 1 << 20;
/// Losses that a report shows; all of them stand in a file beside what was set aside.
const LOSSES_SHOWN: usize = 20;
/// The name of that file.
const LOSSES_FILE: &str = "lost.txt";

/// What a repair did and what was lost.
#[derive(Debug, Default)]
pub struct RepairReport {
    /// Where damaged and superseded files are now; none when nothing was wrong.
    pub folder: Option<PathBuf>,
    /// Files that were moved or copied there, by their old names.
    pub set_aside: Vec<PathBuf>,
    /// Damaged parts, each made again from what could be read of it.
    pub remade: Vec<PathBuf>,
    /// What is lost, as errors that name file, offset and LSN range.
    pub losses: Vec<Error>,
    /// The last LSN whose effect is kept, when the log was cut.
    pub cut_behind: Option<Lsn>,
    /// Generation of the MANIFEST that an older one was taken for, with nothing lost.
    pub fell_back_to: Option<u64>,
}

impl fmt::Display for RepairReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(folder) = &self.folder else {
            return writeln!(f, "nothing to repair: every file is sound");
        };
        if let Some(generation) = self.fell_back_to {
            let name = encode_manifest(generation);
            writeln!(f, "{name} is whole and was taken; nothing is lost")?;
        }
        for path in &self.remade {
            writeln!(f, "made again, from what could be read: {}", path.display())?;
        }
        for loss in self.losses.iter().take(LOSSES_SHOWN) {
            writeln!(f, "lost: {}", describe(loss))?;
        }
        if let Some(more) = self.losses.len().checked_sub(LOSSES_SHOWN).filter(|more| *more > 0) {
            let file = folder.join(LOSSES_FILE);
            writeln!(f, "lost: {more} more, all of them are in {}", file.display())?;
        }
        if let Some(lsn) = self.cut_behind {
            writeln!(f, "kept: everything up to LSN {lsn} that could be read")?;
        }
        for path in &self.set_aside {
            let name = path.display();
            writeln!(f, "set aside: {name} -> {}", folder.join(path).display())?;
        }
        Ok(())
    }
}

/// An error without the advice that its `Display` ends with.
pub fn describe(error: &Error) -> String {
    let Error::Corrupt { path, offset, lost, reason } = error else {
        return error.to_string();
    };
    let lsns = lost.map_or(String::new(), |(first, last)| format!("LSN {first} to {last}, "));
    format!("{lsns}{} at byte {offset}: {reason}", path.display())
}

/// Repairs the database in a directory, holding its lock. On return the result is durable.
///
/// # Errors
/// `Locked` when it is open elsewhere; `Corrupt` when no MANIFEST can be read: then nothing was
/// changed; `UnsupportedFormat`; `Io`.
pub fn repair(dir: &Path) -> Result<RepairReport> {
    if !dir.is_dir() {
        let text = "there is no such directory; name the data directory of the server (its --dir)";
        let source = std::io::Error::new(std::io::ErrorKind::NotFound, text);
        return Err(Error::io("repair", dir, source));
    }
    let _lock = DirectoryLock::acquire(dir)?;
    let storage: Arc<dyn Storage> = Arc::new(DiskStorage::new(dir));
    repair_on(&storage, SystemClock::new().wall_ms())
}

/// As [`repair`], on any storage that nobody else uses.
///
/// # Errors
/// As [`repair`], without `Locked`.
pub fn repair_on(storage: &Arc<dyn Storage>, wall_ms: u64) -> Result<RepairReport> {
    let loaded = load(&**storage).map_err(hopeless)?;
    let Some(current) = &loaded.current else {
        refuse_orphans(&**storage).map_err(hopeless)?;
        return Ok(RepairReport::default());
    };
    let newest_durable = current.durable_lsn;
    let mut states = Vec::new();
    let mut judged = BTreeMap::new();
    for manifest in loaded.current.iter().chain(&loaded.previous) {
        let mut offline = Offline::read(storage, manifest.clone(), newest_durable, &mut |_| {})?;
        let damaged = damaged_parts(&mut offline, &mut judged)?;
        let is_whole = offline.log.damage.is_none() && damaged.is_empty();
        states.push((offline, damaged, is_whole));
    }
    let mut repair = Repair::new(storage, wall_ms);
    let is_newest = loaded.generations.first() == Some(&current.generation);
    match states.iter().position(|(_, _, is_whole)| *is_whole) {
        Some(0) if is_newest => {
            let is_clean = states.iter().all(|(_, _, is_whole)| *is_whole);
            repair.retire_damaged(&loaded, current, is_clean)?;
        }
        Some(index) => repair.fall_back(&loaded, &states.swap_remove(index).0.manifest)?,
        None => {
            let (offline, damaged, _) = states.swap_remove(0);
            repair.rebuild(&loaded, offline, &damaged)?;
        }
    }
    repair.note_all_losses()?;
    Ok(repair.report)
}

/// The parts of a state that are missing or not sound to the last byte. `judged` remembers those
/// that were looked at.
fn damaged_parts(offline: &mut Offline, judged: &mut BTreeMap<u64, bool>) -> Result<Vec<PartMeta>> {
    let mut damaged = Vec::new();
    for (meta, error) in std::mem::take(&mut offline.lost_parts) {
        refuse_unjudged(error)?;
        damaged.push(meta);
    }
    for part in offline.parts.parts() {
        let is_sound = match judged.get(&part.meta().id) {
            Some(known) => *known,
            None => is_sound(part)?,
        };
        judged.insert(part.meta().id, is_sound);
        if !is_sound {
            damaged.push(*part.meta());
        }
    }
    Ok(damaged)
}

fn is_sound(part: &PartReader) -> Result<bool> {
    let mut problems = Vec::new();
    verify(part, &mut |problem| problems.push(problem));
    let is_sound = problems.is_empty();
    problems.into_iter().try_for_each(refuse_unjudged)?;
    Ok(is_sound)
}

/// Whether a file is damaged or gone, and not merely refused by the system.
pub fn is_damage(error: &Error) -> bool {
    match error {
        Error::Corrupt { .. } => true,
        Error::Io { source, .. } => {
            source.kind() == std::io::ErrorKind::NotFound || is_lost_medium(source)
        }
        _ => false,
    }
}

/// A part that could not be read for another reason than damage must not be given up.
fn refuse_unjudged(error: Error) -> Result<()> {
    if is_damage(&error) { Ok(()) } else { Err(error) }
}

/// Without any MANIFEST nobody can tell what the files mean.
fn hopeless(error: Error) -> Error {
    match error {
        Error::Corrupt { path, offset, lost, reason } => Error::Corrupt {
            path,
            offset,
            lost,
            reason: format!(
                "{reason}; without a MANIFEST that can be read there is no repair, \
                 restore one from a backup"
            ),
        },
        other => other,
    }
}

/// A repair under way.
struct Repair<'a> {
    storage: &'a Arc<dyn Storage>,
    wall_ms: u64,
    folder: PathBuf,
    report: RepairReport,
}

impl<'a> Repair<'a> {
    fn new(storage: &'a Arc<dyn Storage>, wall_ms: u64) -> Repair<'a> {
        Repair { storage, wall_ms, folder: PathBuf::new(), report: RepairReport::default() }
    }

    /// Makes `good`, which stands for a whole state, the newest MANIFEST.
    fn fall_back(&mut self, loaded: &Loaded, good: &Manifest) -> Result<()> {
        self.make_folder()?;
        self.report.fell_back_to = Some(good.generation);
        // What this one does not name was made after it, and its log makes it again. Parts go
        // first: until the newer MANIFESTs are gone too, a repair can be repeated.
        let named: BTreeSet<u64> = good.parts.iter().map(|part| part.id).collect();
        self.move_parts(|id| !named.contains(&id))?;
        let newer = loaded.generations.iter();
        for &generation in newer.filter(|generation| **generation > good.generation) {
            self.set_aside(Path::new(""), &encode_manifest(generation))?;
        }
        self.sync()
    }

    /// Sets aside what is damaged and not needed: the newest MANIFEST, `current`, stands for a
    /// whole state. `is_clean` is whether the one before it does, too.
    fn retire_damaged(
        &mut self,
        loaded: &Loaded,
        current: &Manifest,
        is_clean: bool,
    ) -> Result<()> {
        let is_named = |id: u64| current.parts.iter().any(|part| part.id == id);
        let mut broken = BTreeSet::new();
        for id in self.list(PART_FOLDER)?.iter().filter_map(|name| decode_part(name)) {
            if is_named(id) {
                continue;
            }
            let is_sound = match PartReader::open_unlisted(self.storage, id, 0, None) {
                Ok(part) => is_sound(&part)?,
                Err(error) => refuse_unjudged(error).map(|()| false)?,
            };
            if !is_sound {
                broken.insert(id);
            }
        }
        let older = loaded.generations.iter().skip(1);
        let mut read = older.map(|&generation| read_generation(&**self.storage, generation));
        if is_clean && broken.is_empty() && read.all(|read| read.is_ok()) {
            return Ok(());
        }
        self.make_folder()?;
        self.copy_manifests(loaded)?;
        self.install_twice(current)?;
        self.move_parts(|id| broken.contains(&id))?;
        self.sync()
    }

    fn copy_manifests(&mut self, loaded: &Loaded) -> Result<()> {
        let names = loaded.generations.iter().map(|&generation| encode_manifest(generation));
        names.into_iter().try_for_each(|name| self.copy(&name))
    }

    /// Twice, because the one before the newest is kept as a second way in: it must not name what
    /// is about to be moved.
    fn install_twice(&self, manifest: &Manifest) -> Result<()> {
        let mut store = ManifestStore::open(self.storage.clone())?;
        store.install(manifest.clone())?;
        store.install(manifest.clone())?;
        Ok(())
    }

    /// Puts what can be read into new parts, and begins a new log.
    fn rebuild(
        &mut self,
        loaded: &Loaded,
        mut offline: Offline,
        damaged: &[PartMeta],
    ) -> Result<()> {
        self.make_folder()?;
        self.copy_manifests(loaded)?;
        let high = highest_lsn(&**self.storage, loaded, &offline)?;
        let id = self.next_part_id(&offline.manifest)?;
        let at = NewPart { id, lsn: high, wall_ms: self.wall_ms };
        let (remade, lost) = rescue_parts(self.storage, &mut offline, damaged, at)?;
        self.report.remade = remade;
        let kept = metas(&offline);
        let at = NewPart { id: id + damaged.len() as u64, ..at };
        let (part, gaps) = write_part(self.storage, &mut offline, at)?;
        self.note_losses(&mut offline, lost, gaps, high);
        let mut manifest = offline.manifest.clone();
        manifest.parts = kept;
        manifest.parts.push(part);
        manifest.next_part_id = at.id + 1;
        manifest.databases = offline.databases.to_manifest();
        manifest.log_start_lsn = high + 1;
        manifest.durable_lsn = high;
        manifest.epoch = manifest.epoch.max(self.newest_epoch()?) + 1;
        manifest.wall_ms = self.wall_ms.max(manifest.wall_ms).max(offline.log.last_wall_ms);
        let named: BTreeSet<u64> = manifest.parts.iter().map(|part| part.id).collect();
        drop(offline);
        self.install_twice(&manifest)?;
        for name in self.list(LOG_FOLDER)? {
            if SegmentName::decode(&name).is_some() {
                self.set_aside(Path::new(LOG_FOLDER), &name)?;
            }
        }
        self.move_parts(|id| !named.contains(&id))?;
        self.sync()?;
        self.begin_log(&manifest)
    }

    /// Begins the log behind everything that was read: a database without any log is damaged (R7).
    fn begin_log(&self, manifest: &Manifest) -> Result<()> {
        let mut entropy = Entropy::new(None);
        let config = log_config(&Options::new(""), manifest, manifest.epoch, entropy.number()?);
        let end = LogEnd {
            last_wall_ms: manifest.wall_ms,
            epoch: manifest.epoch - 1,
            ..LogEnd::behind(manifest.durable_lsn)
        };
        Log::create(self.storage.clone(), Arc::new(SystemClock::new()), config, &end).map(drop)
    }

    /// Notes what is lost of a log that went up to `high`.
    fn note_losses(&mut self, offline: &mut Offline, lost: Vec<Error>, gaps: Gaps, high: Lsn) {
        self.report.cut_behind = Some(offline.log.last_lsn);
        let damage = offline.log.damage.take().map(|error| match error {
            // Frames behind those that cannot be read go too: what they change may be missing.
            Error::Corrupt { path, offset, lost: Some((_, last)), reason } => {
                let lost = Some((offline.log.last_lsn + 1, last.max(high)));
                Error::Corrupt { path, offset, lost, reason }
            }
            other => other,
        });
        self.report.losses.extend(damage);
        self.report.losses.extend(lost);
        let mut problems = gaps.problems;
        // Writing and counting meet the same damage.
        problems.sort_by_cached_key(Error::to_string);
        problems.dedup_by_key(|problem| problem.to_string());
        self.report.losses.append(&mut problems);
    }

    /// Writes down all losses, beside what was set aside.
    fn note_all_losses(&self) -> Result<()> {
        if self.report.losses.is_empty() {
            return Ok(());
        }
        let mut text = String::new();
        for loss in &self.report.losses {
            text.push_str(&describe(loss));
            text.push('\n');
        }
        let path = self.folder.join(LOSSES_FILE);
        let write = || -> std::io::Result<()> {
            let file = self.storage.open(&path, OpenMode::CreateNew)?;
            file.write_at(text.as_bytes(), 0)?;
            file.sync_all()?;
            self.storage.sync_folder(&self.folder)
        };
        write().map_err(|source| Error::io("write", &self.storage.display_path(&path), source))
    }

    /// An id above every part there is.
    fn next_part_id(&self, manifest: &Manifest) -> Result<u64> {
        let names = self.list(PART_FOLDER)?;
        let highest = names.iter().filter_map(|name| decode_part(name)).max();
        Ok(manifest.next_part_id.max(highest.unwrap_or(0) + 1))
    }

    fn newest_epoch(&self) -> Result<u32> {
        let names = list_segments(&**self.storage)?;
        Ok(names.last().map_or(0, |name| name.epoch))
    }

    fn list(&self, folder: &str) -> Result<Vec<String>> {
        let path = Path::new(folder);
        let listed = self.storage.list(path);
        let mut names =
            listed.map_err(|source| Error::io("list", &self.storage.display_path(path), source))?;
        names.sort_unstable();
        Ok(names)
    }

    /// Makes the folder that takes what is set aside. Its name is new, whatever the clock says.
    fn make_folder(&mut self) -> Result<()> {
        let taken = |folder: &Path| -> std::io::Result<bool> {
            let inside = ["", LOG_FOLDER, PART_FOLDER].map(|inner| folder.join(inner));
            let lists = inside.iter().map(|inner| self.storage.list(inner));
            lists
                .map(|list| list.map(|names| !names.is_empty()))
                .try_fold(false, |any, filled| Ok(any | filled?))
        };
        let mut seconds = self.wall_ms / 1000;
        let mut folder = PathBuf::from(format!("damaged-{seconds}"));
        let fail = |folder: &Path| {
            let shown = self.storage.display_path(folder);
            move |source| Error::io("create", &shown, source)
        };
        while taken(&folder).map_err(fail(&folder))? {
            seconds += 1;
            folder = PathBuf::from(format!("damaged-{seconds}"));
        }
        for inner in ["", LOG_FOLDER, PART_FOLDER] {
            let inner = match inner {
                "" => folder.clone(),
                inner => folder.join(inner),
            };
            self.storage.create_folder(&inner).map_err(fail(&inner))?;
        }
        for synced in [Path::new(""), &folder] {
            self.storage.sync_folder(synced).map_err(fail(synced))?;
        }
        self.report.folder = Some(self.storage.display_path(&folder));
        self.folder = folder;
        Ok(())
    }

    fn move_parts(&mut self, goes: impl Fn(u64) -> bool) -> Result<()> {
        for name in self.list(PART_FOLDER)? {
            if decode_part(&name).is_some_and(&goes) {
                self.set_aside(Path::new(PART_FOLDER), &name)?;
            }
        }
        Ok(())
    }

    fn set_aside(&mut self, folder: &Path, name: &str) -> Result<()> {
        let from = folder.join(name);
        let to = self.folder.join(&from);
        self.storage
            .rename(&from, &to)
            .map_err(|source| Error::io("move", &self.storage.display_path(&from), source))?;
        self.report.set_aside.push(from);
        Ok(())
    }

    /// Copies a small file of the root; the original goes with the next MANIFESTs.
    fn copy(&mut self, name: &str) -> Result<()> {
        assert!(decode_manifest(name).is_some(), "only MANIFESTs are copied");
        let (from, to) = (PathBuf::from(name), self.folder.join(name));
        let copy = || -> std::io::Result<()> {
            let source = self.storage.open(&from, OpenMode::Read)?;
            let target = self.storage.open(&to, OpenMode::CreateNew)?;
            let (mut offset, mut buffer) = (0, vec![0; COPY_BYTES]);
            loop {
                let count = source.read_at(&mut buffer, offset)?;
                if count == 0 {
                    return target.sync_all();
                }
                target.write_at(&buffer[..count], offset)?;
                offset += count as u64;
            }
        };
        copy()
            .and_then(|()| self.storage.sync_folder(&self.folder))
            .map_err(|source| Error::io("copy", &self.storage.display_path(&from), source))?;
        self.report.set_aside.push(from);
        Ok(())
    }

    /// Makes all moves durable: where things went first.
    fn sync(&self) -> Result<()> {
        let aside = &self.folder;
        let folders = [
            aside.clone(),
            aside.join(LOG_FOLDER),
            aside.join(PART_FOLDER),
            PathBuf::from(LOG_FOLDER),
            PathBuf::from(PART_FOLDER),
            PathBuf::new(),
        ];
        for folder in &folders {
            let synced = self.storage.sync_folder(folder);
            match synced {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                synced => synced.map_err(|source| {
                    Error::io("sync", &self.storage.display_path(folder), source)
                })?,
            }
        }
        Ok(())
    }
}

/// The parts that could be opened, as the MANIFEST names them.
fn metas(offline: &Offline) -> Vec<PartMeta> {
    let parts = offline.parts.parts().iter();
    parts.map(|part| *part.meta()).collect()
}

/// No LSN above this was ever given out, as far as anything tells.
fn highest_lsn(storage: &dyn Storage, loaded: &Loaded, offline: &Offline) -> Result<Lsn> {
    let manifests = loaded.current.iter().chain(&loaded.previous);
    let stated = manifests.flat_map(|manifest| {
        let parts = manifest.parts.iter().map(|part| part.max_lsn);
        parts.chain([manifest.durable_lsn, manifest.databases.lsn])
    });
    let lost = match &offline.log.damage {
        Some(Error::Corrupt { lost, .. }) => lost.map_or(0, |(_, last)| last),
        _ => 0,
    };
    let known = stated.chain([lost, offline.log.last_lsn]);
    let mut highest = known.max().unwrap_or(0);
    for name in list_segments(storage)? {
        // A segment that cannot be opened tells nothing but its name.
        highest = highest.max(name.first_lsn.saturating_sub(1));
        let Ok(mut walker) = SegmentWalker::open(storage, name) else {
            continue;
        };
        loop {
            match walker.step()? {
                Step::End { .. } => break,
                Step::Fragment(fragment) => highest = highest.max(fragment.header.lsn),
                Step::Break { header, .. } => {
                    highest = highest.max(header.map_or(0, |header| header.lsn));
                }
            }
        }
    }
    Ok(highest)
}
