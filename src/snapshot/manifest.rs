//! The MANIFEST on disk: installed whole, the generation before it stays usable.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::TEMPORARY_PREFIX;
use crate::error::{DecodeError, Error, Result};
use crate::format::file_name::{PART_FOLDER, decode_manifest, decode_part, encode_manifest};
use crate::format::manifest::{Manifest, ManifestError, PartMeta, VERSION};
use crate::io::{OpenMode, Storage};
use crate::types::Lsn;

/// A MANIFEST longer than this is not read, in bytes.
const MANIFEST_BYTES_MAX: u64 = 64 << 20;

/// What the directory says of the snapshot.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The newest MANIFEST that can be used.
    pub current: Option<Manifest>,
    /// The one before it.
    pub previous: Option<Manifest>,
    /// Why newer ones cannot be used. The log is kept for the one before, so nothing is lost.
    pub damaged: Vec<Error>,
    /// Generations of all files, good and bad, newest first.
    pub generations: Vec<u64>,
}

/// Reads the MANIFESTs and changes nothing.
///
/// # Errors
/// When there are some but none is whole, or the newest was written by a later version.
pub fn load(storage: &dyn Storage) -> Result<Loaded> {
    let root = Path::new("");
    let names = storage
        .list(root)
        .map_err(|source| Error::io("list", &storage.display_path(root), source))?;
    let mut generations: Vec<u64> = names.iter().filter_map(|name| decode_manifest(name)).collect();
    generations.sort_unstable_by(|a, b| b.cmp(a));
    let mut loaded = Loaded::default();
    for &generation in &generations {
        match read_generation(storage, generation) {
            Ok(manifest) if loaded.current.is_none() => loaded.current = Some(manifest),
            Ok(manifest) => {
                loaded.previous = Some(manifest);
                break;
            }
            // Written by a later version: what it says cannot be judged, so nothing older is used.
            Err(error @ Error::UnsupportedFormat { .. }) => return Err(error),
            Err(error) if loaded.current.is_none() => loaded.damaged.push(error),
            // An older one is not needed; whether another stands behind it does not matter.
            Err(_) => {}
        }
    }
    loaded.generations = generations;
    if loaded.current.is_none()
        && let Some(error) = loaded.damaged.pop()
    {
        return Err(error);
    }
    Ok(loaded)
}

/// Reads one MANIFEST.
///
/// # Errors
/// When it is missing, damaged, or was written by a later version.
pub fn read_generation(storage: &dyn Storage, generation: u64) -> Result<Manifest> {
    let path = PathBuf::from(encode_manifest(generation));
    let shown = storage.display_path(&path);
    let damaged = |reason| Error::corrupt(&shown, 0, &DecodeError::new(0, reason));
    let read = || {
        let file = storage.open(&path, OpenMode::Read)?;
        let length = file.len()?;
        if length > MANIFEST_BYTES_MAX {
            return Ok(None);
        }
        let mut bytes = vec![0; length as usize];
        let count = file.read_at(&mut bytes, 0)?;
        bytes.truncate(count);
        Ok(Some(bytes))
    };
    let bytes = read().map_err(|source| Error::io("read", &shown, source))?;
    let bytes = bytes.ok_or_else(|| damaged("longer than any MANIFEST"))?;
    let manifest = Manifest::decode(&bytes).map_err(|error| match error {
        ManifestError::Damaged(error) => Error::corrupt(&shown, 0, &error),
        ManifestError::Unsupported(found) => {
            Error::UnsupportedFormat { path: shown.clone(), found, supported: VERSION }
        }
    })?;
    if manifest.generation != generation {
        return Err(damaged("file of another generation"));
    }
    match runs_are_disjoint(&manifest.parts) {
        true => Ok(manifest),
        false => Err(damaged("parts of one run overlap")),
    }
}

/// The MANIFESTs of an open database.
pub struct ManifestStore {
    storage: Arc<dyn Storage>,
    loaded: Loaded,
    poisoned: bool,
}

impl ManifestStore {
    /// Loads what is there and makes the folder of the parts. A new directory has no current
    /// MANIFEST yet.
    ///
    /// # Errors
    /// As for [`load`], or when a later version allows this one only to read.
    pub fn open(storage: Arc<dyn Storage>) -> Result<ManifestStore> {
        let loaded = load(&*storage)?;
        let alien = loaded.current.as_ref().filter(|manifest| manifest.read_only != 0);
        if let Some(manifest) = alien {
            let name = encode_manifest(manifest.generation);
            return Err(Error::UnsupportedFormat {
                path: storage.display_path(Path::new(&name)),
                found: manifest.read_only,
                supported: 0,
            });
        }
        let folder = Path::new(PART_FOLDER);
        storage
            .create_folder(folder)
            .and_then(|()| storage.sync_folder(Path::new("")))
            .map_err(|source| Error::io("create", &storage.display_path(folder), source))?;
        Ok(ManifestStore { storage, loaded, poisoned: false })
    }

    /// The installed MANIFEST.
    pub fn current(&self) -> Option<&Manifest> {
        self.loaded.current.as_ref()
    }

    /// The one before it, kept usable.
    pub fn previous(&self) -> Option<&Manifest> {
        self.loaded.previous.as_ref()
    }

    /// Whether a sync has failed, so that every later call fails.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }

    /// Why newer MANIFESTs were passed over when the store was opened.
    pub fn damaged(&self) -> &[Error] {
        &self.loaded.damaged
    }

    fn kept(&self) -> impl Iterator<Item = &Manifest> {
        self.loaded.current.iter().chain(&self.loaded.previous)
    }

    /// Ids of the parts that the kept MANIFESTs name.
    pub fn kept_parts(&self) -> BTreeSet<u64> {
        let parts = self.kept().flat_map(|manifest| &manifest.parts);
        parts.map(|part| part.id).collect()
    }

    /// The log is needed from here by the kept MANIFESTs; none before the first.
    pub fn log_needed_from(&self) -> Option<Lsn> {
        self.kept().map(|manifest| manifest.log_start_lsn).min()
    }

    /// Makes a MANIFEST the current one and keeps the one before it. Its generation is given here.
    /// When this returns, it is durable. The caller has seen to it that its parts are, and the log
    /// up to its `durable_lsn`, which covers their LSNs.
    ///
    /// # Errors
    /// When it could not be written: then the current one stays. After a failed sync nobody knows
    /// which of the two a restart would find (D5), and every later call fails too.
    ///
    /// # Panics
    /// When a part holds LSNs above `durable_lsn`, or parts of one run overlap.
    pub fn install(&mut self, mut manifest: Manifest) -> Result<&Manifest> {
        if self.poisoned {
            return Err(poisoned());
        }
        let covered = |lsn: Lsn| lsn <= manifest.durable_lsn;
        assert!(manifest.parts.iter().all(|part| covered(part.max_lsn)));
        assert!(runs_are_disjoint(&manifest.parts));
        let newest = self.loaded.generations.first().copied().unwrap_or(0);
        manifest.generation = newest + 1;
        let path = PathBuf::from(encode_manifest(manifest.generation));
        self.write(&path, &manifest.encode())?;
        self.loaded.previous = self.loaded.current.take();
        self.loaded.generations.insert(0, manifest.generation);
        self.loaded.damaged.clear();
        self.remove_older();
        Ok(self.loaded.current.insert(manifest))
    }

    fn write(&mut self, path: &Path, bytes: &[u8]) -> Result<()> {
        let storage = self.storage.clone();
        let name = path.to_string_lossy();
        let temporary = PathBuf::from(format!("{TEMPORARY_PREFIX}{name}"));
        let shown = storage.display_path(path);
        let error = |op| {
            let shown = shown.clone();
            move |source| Error::io(op, &shown, source)
        };
        // A crash may have left one.
        let _ = storage.remove(&temporary);
        let discard = |failure: Error| {
            let _ = storage.remove(&temporary);
            failure
        };
        let file = storage.open(&temporary, OpenMode::CreateNew).map_err(error("create"))?;
        file.write_at(bytes, 0).map_err(error("write")).map_err(discard)?;
        self.poisoned = true;
        file.sync_all().map_err(error("sync"))?;
        self.poisoned = false;
        storage.rename(&temporary, path).map_err(error("rename")).map_err(discard)?;
        self.poisoned = true;
        storage.sync_folder(Path::new("")).map_err(error("sync"))?;
        self.poisoned = false;
        Ok(())
    }

    /// Removes all files but the newest and the one that was current before.
    fn remove_older(&mut self) {
        let previous = self.loaded.previous.as_ref().map(|manifest| manifest.generation);
        let (newest, storage) = (self.loaded.generations[0], &self.storage);
        self.loaded.generations.retain(|&generation| {
            let kept = generation == newest || Some(generation) == previous;
            // One that cannot be removed now goes with the next installation.
            kept || storage.remove(Path::new(&encode_manifest(generation))).is_err()
        });
    }

    /// Removes what a crash left: unfinished files, and parts that no kept MANIFEST names. After a
    /// fall back such parts stay until another MANIFEST is installed. Returns how many files went.
    ///
    /// # Errors
    /// When a folder cannot be listed.
    pub fn sweep(&self) -> Result<usize> {
        let kept = self.kept_parts();
        let part_goes = |name: &str| {
            self.loaded.damaged.is_empty()
                && decode_part(name).is_some_and(|id| !kept.contains(&id))
        };
        let mut removed = 0;
        for folder in ["", PART_FOLDER].map(Path::new) {
            let names = self
                .storage
                .list(folder)
                .map_err(|source| Error::io("list", &self.storage.display_path(folder), source))?;
            let in_parts = folder == Path::new(PART_FOLDER);
            for name in names {
                if name.starts_with(TEMPORARY_PREFIX) || (in_parts && part_goes(&name)) {
                    removed += usize::from(self.storage.remove(&folder.join(name)).is_ok());
                }
            }
        }
        Ok(removed)
    }
}

/// Whether parts of one run have at most a place in common; two keys may share that.
fn runs_are_disjoint(parts: &[PartMeta]) -> bool {
    let mut order: Vec<&PartMeta> = parts.iter().filter(|part| part.row_count > 0).collect();
    order.sort_unstable_by_key(|part| (part.run, part.min, part.max));
    let apart = |pair: &[&PartMeta]| pair[0].run != pair[1].run || pair[0].max <= pair[1].min;
    order.windows(2).all(apart)
}

fn poisoned() -> Error {
    Error::Poisoned {
        reason: "the MANIFEST could not be made durable; restart to recover".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::fault::{Failure, Fault, Operation};
    use crate::io::sim::SimStorage;
    use crate::types::{DatabaseId, HashSeed, Position};

    fn manifest(log_start_lsn: Lsn) -> Manifest {
        let mut manifest = Manifest::new(DatabaseId([1; 16]), HashSeed([2; 16]));
        manifest.log_start_lsn = log_start_lsn;
        manifest.durable_lsn = log_start_lsn;
        manifest
    }

    fn open(sim: &SimStorage) -> ManifestStore {
        ManifestStore::open(Arc::new(sim.clone())).unwrap()
    }

    fn start_of(manifest: Option<&Manifest>) -> Option<Lsn> {
        manifest.map(|manifest| manifest.log_start_lsn)
    }

    #[test]
    fn two_generations_are_kept() {
        let sim = SimStorage::new(1);
        let mut store = open(&sim);
        assert!(store.current().is_none() && store.log_needed_from().is_none());
        for lsn in [10, 20, 30] {
            store.install(manifest(lsn)).unwrap();
        }
        for store in [store, open(&sim)] {
            assert_eq!(start_of(store.current()), Some(30));
            assert_eq!(start_of(store.previous()), Some(20));
            assert_eq!(store.log_needed_from(), Some(20));
        }
        assert_eq!(sim.file_names().len(), 2);
    }

    #[test]
    fn a_damaged_manifest_falls_back_to_the_one_before() {
        let sim = SimStorage::new(1);
        let mut store = open(&sim);
        (1..=2).for_each(|lsn| drop(store.install(manifest(lsn * 10)).cloned()));
        sim.flip_bit(Path::new(&encode_manifest(2)), 300);
        let mut store = open(&sim);
        assert_eq!(start_of(store.current()), Some(10));
        assert_eq!((store.damaged().len(), store.previous().is_none()), (1, true));
        store.install(manifest(30)).unwrap();
        let store = open(&sim);
        assert_eq!(store.current().map(|manifest| manifest.generation), Some(3));
        assert_eq!(start_of(store.previous()), Some(10));
        assert!(store.damaged().is_empty());

        sim.flip_bit(Path::new(&encode_manifest(1)), 9);
        let store = open(&sim);
        assert_eq!(start_of(store.current()), Some(30));
        assert!(store.previous().is_none() && store.damaged().is_empty());

        sim.flip_bit(Path::new(&encode_manifest(3)), 0);
        let error = load(&sim).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    }

    #[test]
    fn a_crash_anywhere_leaves_the_old_or_the_new() {
        let run = |sim: &SimStorage| -> (Lsn, Lsn) {
            let (mut tried, mut done) = (0, 0);
            let Ok(mut store) = ManifestStore::open(Arc::new(sim.clone())) else {
                return (0, 0);
            };
            for lsn in [10, 20, 30, 40] {
                tried = lsn;
                if store.install(manifest(lsn)).is_err() {
                    break;
                }
                done = lsn;
            }
            (tried, done)
        };
        let clean = SimStorage::new(1);
        assert_eq!(run(&clean), (40, 40));
        for cut in 0..clean.operations() {
            for seed in 0..20 {
                let sim = SimStorage::new(seed);
                sim.power_off_at(cut);
                let (tried, done) = run(&sim);
                let after = sim.crash_clone(seed);
                let mut store = open(&after);
                let found = start_of(store.current()).unwrap_or(0);
                assert!(found == done || found == tried, "{found} of {done}, {tried}; cut {cut}");
                assert!(store.damaged().is_empty(), "cut {cut}");
                store.sweep().unwrap();
                store.install(manifest(50)).unwrap();
                let expected = if found == 0 { 1 } else { 2 };
                assert_eq!(after.file_names().len(), expected, "cut {cut}");
            }
        }
    }

    #[test]
    fn a_failed_sync_poisons_and_a_full_disk_does_not() {
        let sim = SimStorage::new(1);
        let mut store = open(&sim);
        store.install(manifest(10)).unwrap();
        sim.inject(Fault::nth(Operation::Write, 0, Failure::NoSpace));
        assert!(matches!(store.install(manifest(20)), Err(Error::Io { op: "write", .. })));
        store.install(manifest(20)).unwrap();
        for operation in [Operation::Sync, Operation::SyncFolder] {
            let mut store = open(&sim);
            sim.inject(Fault::nth(operation, 0, Failure::Io));
            assert!(matches!(store.install(manifest(30)), Err(Error::Io { op: "sync", .. })));
            assert!(matches!(store.install(manifest(30)), Err(Error::Poisoned { .. })));
        }
    }

    #[test]
    fn a_database_that_may_only_be_read_is_not_opened_for_writing() {
        let sim = SimStorage::new(1);
        let mut later = manifest(10);
        later.read_only = 4;
        open(&sim).install(later).unwrap();
        assert!(load(&sim).unwrap().current.is_some());
        let error = ManifestStore::open(Arc::new(sim.clone())).err().unwrap();
        assert!(matches!(error, Error::UnsupportedFormat { found: 4, .. }), "{error}");
    }

    #[test]
    fn parts_of_one_run_may_not_overlap() {
        let part = |run, min, max| PartMeta {
            run,
            row_count: 1,
            min: (0, Position(min)),
            max: (0, Position(max)),
            ..PartMeta::default()
        };
        assert!(runs_are_disjoint(&[part(1, 5, 9), part(2, 0, 20), part(1, 0, 5)]));
        assert!(!runs_are_disjoint(&[part(1, 5, 9), part(2, 0, 20), part(1, 0, 6)]));
    }

    #[test]
    fn a_sweep_removes_only_what_nobody_names() {
        let sim = SimStorage::new(1);
        let mut store = open(&sim);
        let mut named = manifest(10);
        named.parts = vec![PartMeta { id: 1, ..Default::default() }];
        store.install(named).unwrap();
        let create = |path: &str| {
            sim.open(Path::new(path), OpenMode::CreateNew).unwrap();
        };
        for name in ["0000000000000001.part", "0000000000000002.part", "tmp-x", "notes"] {
            create(&format!("{PART_FOLDER}/{name}"));
        }
        create("tmp-MANIFEST-0000000000000009");
        assert_eq!(store.sweep().unwrap(), 3);
        let names: Vec<String> =
            sim.file_names().iter().map(|path| path.display().to_string()).collect();
        let expected = ["MANIFEST-0000000000000001", "parts/0000000000000001.part", "parts/notes"];
        assert_eq!(names, expected);
    }
}
