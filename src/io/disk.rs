//! Files of a real directory.
//!
//! What is synced when is the caller's business; this file only makes each call mean what the
//! traits say.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt as _, MetadataExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::freeing::Freeing;
use super::{File, Mapping, OpenMode, Storage, mmap};

/// Zeros are written in pieces of this size, in bytes, and synced after each, so that the fdatasync
/// of a commit never finds a whole segment of zeros in front of it.
const ZERO_STEP_BYTES: usize = 1 << 20;
/// Each piece is written by calls of this size, in bytes. Linux caches what one call wrote in a
/// folio as large as that, and each small write and sync in it later looks at all of its blocks.
const ZERO_WRITE_BYTES: usize = 16 << 10;
static ZEROS: [u8; ZERO_STEP_BYTES] = [0; ZERO_STEP_BYTES];

/// A data directory on a file system.
#[derive(Debug)]
pub struct DiskStorage {
    root: PathBuf,
    freeing: Freeing,
}

impl DiskStorage {
    /// Uses `root`, which need not exist yet: `create_folder("")` creates it.
    pub fn new(root: impl Into<PathBuf>) -> DiskStorage {
        DiskStorage { root: root.into(), freeing: Freeing::default() }
    }

    /// The data directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn resolve(&self, path: &Path) -> PathBuf {
        let inside = |part: Component<'_>| matches!(part, Component::Normal(_));
        assert!(path.components().all(inside), "{} leaves the data directory", path.display());
        // Joining an empty path would append a separator, which ends up in messages.
        if path.as_os_str().is_empty() { self.root.clone() } else { self.root.join(path) }
    }
}

impl Storage for DiskStorage {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let file = OpenOptions::new()
            .read(true)
            .write(mode != OpenMode::Read)
            .create_new(mode == OpenMode::CreateNew)
            .open(self.resolve(path))?;
        Ok(Arc::new(DiskFile { file }))
    }

    fn map(&self, path: &Path) -> io::Result<Mapping> {
        mmap::map(&fs::File::open(self.resolve(path))?)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(self.resolve(from), self.resolve(to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let path = self.resolve(path);
        let file = OpenOptions::new().write(true).open(&path);
        fs::remove_file(path)?;
        if let Ok(file) = file
            && file.metadata().is_ok_and(|metadata| metadata.nlink() == 0)
        {
            self.freeing.free(file);
        }
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.resolve(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            if !entry.file_type()?.is_file() {
                continue;
            }
            // Firn's names are ASCII; a name that is not even UTF-8 cannot be one of them.
            if let Ok(name) = entry.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        create_durably(&self.resolve(folder))
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        sync_directory(&self.resolve(folder))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        fs2::available_space(&self.root)
    }

    fn display_path(&self, path: &Path) -> PathBuf {
        self.resolve(path)
    }
}

/// Creates a directory and its missing parents. Each is synced into its parent at once, for the
/// root's own parent is nobody else's to sync, and it happens once in a database's life.
fn create_durably(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    // A relative path of one name has the empty parent, which stands for the current directory.
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    create_durably(parent)?;
    match fs::create_dir(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => {}
        result => result?,
    }
    sync_directory(parent)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

struct DiskFile {
    file: fs::File,
}

impl DiskFile {
    // Not `fs2::allocate`: it reports errno, which posix_fallocate does not set.
    fn reserve(&self, len: u64) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        let fallocate = || rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, len);
        match rustix::io::retry_on_intr(fallocate) {
            // File systems that cannot reserve still take the zeros.
            Err(Errno::OPNOTSUPP) => Ok(()),
            result => Ok(result?),
        }
    }

    fn write_zeros(&self, from: u64, to: u64) -> io::Result<()> {
        let mut offset = from;
        while offset < to {
            let step = (to - offset).min(ZERO_STEP_BYTES as u64);
            for zeros in ZEROS[..step as usize].chunks(ZERO_WRITE_BYTES) {
                self.file.write_all_at(zeros, offset)?;
                offset += zeros.len() as u64;
            }
            self.file.sync_data()?;
        }
        Ok(())
    }
}

impl File for DiskFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buf.len() {
            match self.file.read_at(&mut buf[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    // Extents that are reserved but not written must be converted at the first commit into each
    // of them, which costs that commit a journal transaction. So zeros are written as well.
    fn allocate(&self, len: u64) -> io::Result<()> {
        let old_len = self.len()?;
        let reserve_then_zero = || {
            self.reserve(len)?;
            self.write_zeros(old_len, len)
        };
        reserve_then_zero().inspect_err(|_| {
            // Give back what was taken: the caller has nothing but an error to release.
            let _ = self.file.set_len(old_len);
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn link_count(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.nlink())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn storage() -> (tempfile::TempDir, DiskStorage) {
        let folder = tempfile::tempdir().unwrap();
        let storage = DiskStorage::new(folder.path());
        (folder, storage)
    }

    #[test]
    fn allocated_bytes_take_space_on_the_disk() {
        let (folder, storage) = storage();
        let file = storage.open(Path::new("segment"), OpenMode::CreateNew).unwrap();
        file.allocate(6 << 20).unwrap();
        file.sync_all().unwrap();
        let metadata = fs::metadata(folder.path().join("segment")).unwrap();
        assert_eq!(metadata.len(), 6 << 20);
        assert!(metadata.blocks() * 512 >= 6 << 20);
    }

    #[test]
    fn allocated_zeros_are_written_and_not_merely_reserved() {
        let (folder, storage) = storage();
        let file = storage.open(Path::new("segment"), OpenMode::CreateNew).unwrap();
        file.allocate(3 << 20).unwrap();
        // Where the file system can tell, extents without written data are holes.
        let file = fs::File::open(folder.path().join("segment")).unwrap();
        let hole = rustix::fs::seek(&file, rustix::fs::SeekFrom::Hole(0)).unwrap();
        assert_eq!(hole, 3 << 20);
    }

    #[test]
    fn refused_allocation_leaves_the_length() {
        let (_folder, storage) = storage();
        let file = storage.open(Path::new("segment"), OpenMode::CreateNew).unwrap();
        file.write_at(b"head", 0).unwrap();
        // More than any file system here has.
        file.allocate(1 << 60).unwrap_err();
        assert_eq!(file.len().unwrap(), 4);
    }

    #[test]
    fn link_count_follows_hard_links() {
        let (folder, storage) = storage();
        let file = storage.open(Path::new("a"), OpenMode::CreateNew).unwrap();
        fs::hard_link(folder.path().join("a"), folder.path().join("b")).unwrap();
        assert_eq!(file.link_count().unwrap(), 2);
    }

    #[test]
    fn missing_root_is_created_with_its_parents() {
        let (folder, _) = storage();
        let root = folder.path().join("one/two");
        let storage = DiskStorage::new(&root);
        storage.create_folder(Path::new("")).unwrap();
        assert!(root.is_dir());
        assert_eq!(storage.display_path(Path::new("")), root);
    }

    #[test]
    fn file_in_place_of_a_folder_is_an_error() {
        let (_folder, storage) = storage();
        storage.open(Path::new("log"), OpenMode::CreateNew).unwrap();
        storage.create_folder(Path::new("log")).unwrap_err();
    }

    #[test]
    #[should_panic(expected = "leaves the data directory")]
    fn path_out_of_the_directory_is_a_bug() {
        let (_folder, storage) = storage();
        let _ = storage.remove(Path::new("../elsewhere"));
    }

    #[test]
    fn free_bytes_are_those_of_the_file_system() {
        let (folder, storage) = storage();
        assert!(storage.free_bytes().unwrap() > 0);
        assert!(DiskStorage::new(folder.path().join("absent")).free_bytes().is_err());
    }
}
