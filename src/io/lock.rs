//! The advisory lock that keeps a second process out of a data directory.

use std::fs::{File, OpenOptions};
use std::path::Path;

use fs2::FileExt;

use crate::error::{Error, Result};

/// Name of the lock file inside the data directory. It is empty, and stays when unlocked:
/// removing it would let two processes hold locks on two files of the same name.
pub const LOCK_FILE_NAME: &str = "LOCK";

/// Exclusive use of a data directory, until dropped or until the process ends, however it ends.
#[derive(Debug)]
pub struct DirectoryLock {
    // The lock belongs to the open file, so closing it is the release.
    _file: File,
}

impl DirectoryLock {
    /// Takes the lock of `root`, which is created when it is missing. Does not wait.
    ///
    /// # Errors
    /// [`Error::Locked`] when another process, or another handle of this one, holds it.
    pub fn acquire(root: &Path) -> Result<DirectoryLock> {
        std::fs::create_dir_all(root)
            .map_err(|source| Error::io("create the data directory", root, source))?;
        let path = root.join(LOCK_FILE_NAME);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|source| Error::io("open", &path, source))?;
        match file.try_lock_exclusive() {
            Ok(()) => Ok(DirectoryLock { _file: file }),
            Err(error) if error.kind() == fs2::lock_contended_error().kind() => {
                Err(Error::Locked { path: root.to_path_buf() })
            }
            Err(source) => Err(Error::io("lock", &path, source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_holder_is_refused_until_the_first_lets_go() {
        let folder = tempfile::tempdir().unwrap();
        let first = DirectoryLock::acquire(folder.path()).unwrap();
        match DirectoryLock::acquire(folder.path()) {
            Err(Error::Locked { path }) => assert_eq!(path, folder.path()),
            other => panic!("{other:?}"),
        }
        drop(first);
        DirectoryLock::acquire(folder.path()).unwrap();
    }

    #[test]
    fn missing_directory_is_created_and_an_impossible_one_is_an_error_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("absent/too");
        drop(DirectoryLock::acquire(&root).unwrap());
        let below_a_file = root.join(LOCK_FILE_NAME).join("dir");
        match DirectoryLock::acquire(&below_a_file) {
            Err(Error::Io { op, path, .. }) => {
                assert_eq!((op, path), ("create the data directory", below_a_file));
            }
            other => panic!("{other:?}"),
        }
    }
}
