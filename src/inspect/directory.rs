//! A data directory as the inspector opens it: read only, without the lock.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::engine::offline::Offline;
use crate::error::{Error, Result};
use crate::format::file_name::{
    LOG_FOLDER, PART_FOLDER, SegmentName, decode_manifest, decode_part,
};
use crate::io::Storage;
use crate::io::disk::DiskStorage;
use crate::snapshot::manifest::{Loaded, load};

use super::Failure;
use super::progress::Progress;

/// Looks at something that a server keeps changing, before it is taken as it is.
const LOOKS_MAX: usize = 20;

/// A data directory, open for reading.
pub struct Directory {
    storage: Arc<dyn Storage>,
    shown: PathBuf,
}

impl Directory {
    /// Looks whether there is a database in a directory.
    ///
    /// # Errors
    /// With one line that says what is there instead.
    pub fn open(path: &Path) -> std::result::Result<Directory, Failure> {
        let shown = path.display();
        match std::fs::metadata(path) {
            Err(error) => return Err(Failure::NoDatabase(format!("cannot open {shown}: {error}"))),
            Ok(found) if !found.is_dir() => {
                return Err(Failure::NoDatabase(format!("{shown} is not a directory")));
            }
            Ok(_) => {}
        }
        Directory::on(Arc::new(DiskStorage::new(path)))
    }

    /// As [`Directory::open`], on any storage.
    ///
    /// # Errors
    /// As [`Directory::open`].
    pub fn on(storage: Arc<dyn Storage>) -> std::result::Result<Directory, Failure> {
        let directory = Directory { shown: storage.display_path(Path::new("")), storage };
        let root = directory.list("")?.into_iter();
        let log = directory.list(LOG_FOLDER)?.into_iter();
        let parts = directory.list(PART_FOLDER)?.into_iter();
        let found = root.map(|name| decode_manifest(&name).is_some());
        let found = found.chain(log.map(|name| SegmentName::decode(&name).is_some()));
        let mut found = found.chain(parts.map(|name| decode_part(&name).is_some()));
        match found.any(|is_firn| is_firn) {
            true => Ok(directory),
            false => Err(Failure::NoDatabase(format!(
                "{} holds no Firn database: there is no MANIFEST, no log and no part",
                directory.shown.display()
            ))),
        }
    }

    /// The directory's path.
    pub fn path(&self) -> &Path {
        &self.shown
    }

    pub(super) fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// Names of the files in a folder, sorted.
    pub(super) fn list(&self, folder: &str) -> Result<Vec<String>> {
        let path = Path::new(folder);
        let listed = self.storage.list(path);
        let mut names =
            listed.map_err(|source| Error::io("list", &self.storage.display_path(path), source))?;
        names.sort_unstable();
        Ok(names)
    }

    /// Generations of the MANIFESTs, newest first.
    pub(super) fn generations(&self) -> Result<Vec<u64>> {
        let names = self.list("")?;
        let found = names.iter().rev();
        Ok(found.filter_map(|name| decode_manifest(name)).collect())
    }

    /// The MANIFESTs. One that goes between listing and reading is not missed.
    pub(super) fn manifests(&self) -> Result<Loaded> {
        settled(
            || load(&*self.storage),
            |loaded| loaded.damaged.iter().map(Error::to_string).collect(),
        )
    }

    /// The state that a recovery would produce.
    pub(super) fn state(&self, progress: &mut Progress) -> std::result::Result<Offline, Failure> {
        let read = || {
            let loaded = self.manifests()?;
            let Some(manifest) = loaded.current else {
                let path = self.storage.display_path(Path::new(""));
                let reason = "there is data but no MANIFEST".to_owned();
                return Err(Error::Corrupt { path, offset: 0, lost: None, reason });
            };
            let durable_lsn = manifest.durable_lsn;
            Offline::read(&self.storage, manifest, durable_lsn, &mut |frames| {
                progress.tell(|| format!("replaying the log: {frames} frames"));
            })
        };
        Ok(settled(read, |state: &Offline| {
            let lost = state.lost_parts.iter().map(|(_, error)| error);
            let problems = lost.chain(&state.log.damage);
            problems.map(Error::to_string).collect()
        })?)
    }
}

/// Looks until nothing is wrong, or the same is wrong twice in a row: a server that has the
/// directory open removes files and writes others at any moment.
pub(super) fn settled<T>(
    mut look: impl FnMut() -> Result<T>,
    problems: impl Fn(&T) -> Vec<String>,
) -> Result<T> {
    let mut before: Option<Vec<String>> = None;
    for _ in 1..LOOKS_MAX {
        let seen = look();
        let wrong = match &seen {
            Ok(found) => problems(found),
            Err(error) => vec![error.to_string()],
        };
        if wrong.is_empty() || before.as_ref() == Some(&wrong) {
            return seen;
        }
        before = Some(wrong);
    }
    look()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_once_only_is_not_wrong() {
        let mut looks = vec![vec![], vec!["gone".to_owned()], vec!["torn".to_owned()]];
        let seen = settled(|| Ok(looks.pop().unwrap()), Clone::clone).unwrap();
        assert!(seen.is_empty() && looks.is_empty());
        let mut count = 0;
        let look = || {
            count += 1;
            Ok(vec!["always".to_owned()])
        };
        assert_eq!(settled(look, Clone::clone).unwrap(), ["always"]);
        assert_eq!(count, 2);
    }
}
