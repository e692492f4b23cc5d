//! A deterministic machine in memory, for tests of everything above it.
//!
//! [`SimStorage`] keeps apart what was written and what was synced. [`SimStorage::crash_clone`]
//! gives what a power cut might leave: everything synced, and of the rest an arbitrary part,
//! torn at sector boundaries and out of order. It is meaner than a real file system on purpose:
//! a file's name is durable only after [`Storage::sync_folder`], never by syncing the file.
//!
//! A test that visits every crash point of some work:
//!
//! ```
//! use std::path::Path;
//! use firn::io::sim::SimStorage;
//! use firn::io::{OpenMode, Storage};
//!
//! fn work(storage: &SimStorage) -> std::io::Result<()> {
//!     let file = storage.open(Path::new("data"), OpenMode::CreateNew)?;
//!     file.write_at(b"hello", 0)?;
//!     file.sync_data()?;
//!     storage.sync_folder(Path::new(""))
//! }
//!
//! let storage = SimStorage::new(1);
//! work(&storage).unwrap();
//! for crash_point in 0..storage.operations() {
//!     let storage = SimStorage::new(1);
//!     storage.power_off_at(crash_point);
//!     work(&storage).unwrap_err();
//!     let left = storage.crash_clone(crash_point);
//!     // Here recovery runs on `left`, and what it finds is checked.
//!     assert!(left.file_names().len() <= 1);
//! }
//! ```

use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::fault::{Fault, Operation, Verdict, power_error};
use super::sim_names::InodeId;
use super::sim_state::SimState;
use super::{File, Mapping, OpenMode, Storage};

pub use super::clock::SimClock;

/// A data directory in memory. Clones are handles of the same directory.
///
/// Equal seeds and equal operations give equal results. With several threads that holds as far
/// as their order is the same.
#[derive(Clone)]
pub struct SimStorage {
    state: Arc<Mutex<SimState>>,
}

impl SimStorage {
    /// An empty directory of unbounded capacity.
    pub fn new(seed: u64) -> SimStorage {
        SimStorage::with_state(SimState::new(seed))
    }

    fn with_state(state: SimState) -> SimStorage {
        SimStorage { state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, SimState> {
        lock(&self.state)
    }

    /// A new storage with what a power cut right now might leave: every synced byte and name,
    /// and of the unsynced ones what `seed` picks, among the picks all, none and those before
    /// some moment. It has no faults, no open files and a fresh operation counter.
    ///
    /// After a power cut by [`SimStorage::power_off_at`] this is the state to recover from.
    pub fn crash_clone(&self, seed: u64) -> SimStorage {
        SimStorage::with_state(self.state().after_power_cut(seed))
    }

    /// A new storage with what a killed process leaves to the next one: all that was written,
    /// durable or not. It has no faults, no open files and a fresh operation counter.
    pub fn kill_clone(&self) -> SimStorage {
        SimStorage::with_state(self.state().after_kill())
    }

    /// Adds a fault.
    pub fn inject(&self, fault: Fault) {
        self.state().plan.faults.push(fault);
    }

    /// Takes all faults back. The power stays off if it is.
    pub fn clear_faults(&self) {
        self.state().plan.faults.clear();
    }

    /// Cuts the power during operation `number`, counted from 0 as [`SimStorage::operations`]
    /// does. That operation and all later ones fail; its own effect may survive like anything
    /// unsynced. When `number` has passed already, the next operation is the last.
    pub fn power_off_at(&self, number: u64) {
        self.state().plan.cut_at = Some(number);
    }

    /// Whether the power is off.
    pub fn is_off(&self) -> bool {
        self.state().plan.off
    }

    /// Operations so far that could change what the disk holds (all but open, read, list and
    /// questions), failed ones too. So crash points are `0..operations()` of a clean run.
    pub fn operations(&self) -> u64 {
        self.state().plan.operations
    }

    /// Bounds the space of all files, `None` for no bound. Space comes back when the last name
    /// and the last handle of a file have gone. Below what is used, nothing more fits.
    pub fn set_capacity_bytes(&self, capacity_bytes: Option<u64>) {
        self.state().capacity_bytes = capacity_bytes;
    }

    /// Space taken by all files, in bytes.
    pub fn used_bytes(&self) -> u64 {
        self.state().used_bytes()
    }

    /// Paths of all files, sorted.
    pub fn file_names(&self) -> Vec<PathBuf> {
        self.state().file_names()
    }

    /// The bytes that a reader of the file sees.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn bytes(&self, path: &Path) -> io::Result<Vec<u8>> {
        let state = self.state();
        let id = state.names.find(path)?;
        Ok(state.inode(id).current().to_vec())
    }

    /// Inverts bit `bit % 8` of byte `bit / 8`, on the medium and for readers.
    ///
    /// # Panics
    /// When there is no such file or bit.
    pub fn flip_bit(&self, path: &Path, bit: u64) {
        let mut state = self.state();
        let id = state.names.find(path).expect("the file to damage exists");
        let inode = state.inode_mut(id);
        assert!(bit / 8 < inode.current().len(), "no bit {bit} in the file");
        inode.flip(bit / 8, 1 << (bit % 8));
    }

    /// Gives a file one more name, as a backup by hard links does.
    ///
    /// # Errors
    /// When `from` is missing or `to` exists.
    pub fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.run(Operation::Link, check(from), |state| state.link(from, check(to)))
    }
}

// A test thread that panicked with the lock held leaves no half-done change worth hiding.
fn lock(state: &Mutex<SimState>) -> MutexGuard<'_, SimState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn check(path: &Path) -> &Path {
    let inside = |part: Component<'_>| matches!(part, Component::Normal(_));
    assert!(path.components().all(inside), "{} leaves the data directory", path.display());
    path
}

impl Storage for SimStorage {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let path = check(path);
        let mut state = self.state();
        if mode == OpenMode::CreateNew {
            // Refused before it counts as a change: nothing happens on the disk.
            state.names.check_vacant(path)?;
            state.run(Operation::Create, path, |state| state.create(path))?;
        }
        let inode = match mode {
            OpenMode::CreateNew => state.open(path)?,
            _ => state.run(Operation::Open, path, |state| state.open(path))?,
        };
        Ok(Arc::new(SimFile {
            state: Arc::clone(&self.state),
            inode,
            path: path.to_path_buf(),
            writable: mode != OpenMode::Read,
        }))
    }

    fn map(&self, path: &Path) -> io::Result<Mapping> {
        let mut state = self.state();
        state.run(Operation::Read, check(path), |state| {
            let id = state.names.find(path)?;
            Ok(Mapping::from(state.inode(id).current().to_vec()))
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.run(Operation::Rename, check(from), |state| state.rename(from, check(to)))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.run(Operation::Remove, check(path), |state| state.remove(path))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.run(Operation::List, check(folder), |state| Ok(state.names.list(folder)))
    }

    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.run(Operation::CreateFolder, check(folder), |state| state.create_folder(folder))
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.state().sync_folder(check(folder))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(self.state().free_bytes())
    }

    fn display_path(&self, path: &Path) -> PathBuf {
        Path::new("sim").join(check(path))
    }
}

struct SimFile {
    state: Arc<Mutex<SimState>>,
    inode: InodeId,
    /// The name it was opened under, which faults go by.
    path: PathBuf,
    writable: bool,
}

impl SimFile {
    fn state_for_change(&self) -> io::Result<MutexGuard<'_, SimState>> {
        if self.writable {
            Ok(lock(&self.state))
        } else {
            Err(io::Error::from_raw_os_error(libc::EBADF))
        }
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        lock(&self.state).close(self.inode);
    }
}

impl File for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = lock(&self.state);
        let verdict = state.plan.judge(Operation::Read, &self.path);
        let image = state.inode(self.inode).current();
        match verdict {
            Verdict::Succeeds => Ok(image.read(buf, offset)),
            Verdict::Short => {
                let available = image.len().saturating_sub(offset).min(buf.len() as u64);
                Ok(image.read(&mut buf[..available as usize / 2], offset))
            }
            Verdict::Fails(error) => Err(error),
            Verdict::CutShort | Verdict::Off => Err(power_error()),
        }
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let end = offset.checked_add(bytes.len() as u64);
        if end.is_none_or(|end| end > i64::MAX as u64) {
            return Err(io::Error::from(ErrorKind::InvalidInput));
        }
        let mut state = self.state_for_change()?;
        state.write(self.inode, &self.path, bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        lock(&self.state).sync(self.inode, &self.path)
    }

    fn sync_all(&self) -> io::Result<()> {
        lock(&self.state).sync(self.inode, &self.path)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let mut state = self.state_for_change()?;
        state.run(Operation::Allocate, &self.path, |state| state.allocate(self.inode, len))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state_for_change()?;
        state.run(Operation::SetLen, &self.path, |state| {
            state.set_len(self.inode, len);
            Ok(())
        })
    }

    fn len(&self) -> io::Result<u64> {
        let state = lock(&self.state);
        Ok(state.inode(self.inode).current().len())
    }

    fn link_count(&self) -> io::Result<u64> {
        Ok(lock(&self.state).names.link_count(self.inode))
    }
}
