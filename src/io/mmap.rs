//! Read-only file mappings: the one place of this layer that needs `unsafe`.
//!
//! Only files that never change once they have their name may be mapped: parts. Superseded ones
//! are unlinked, never overwritten, and shortened only when nobody can read them any more.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;

use memmap2::Mmap;

use super::Mapping;

/// Maps the whole of `file`. The mapping outlives the handle and is undone when its last clone
/// drops.
///
/// Should an outsider truncate the file meanwhile, touching a page behind its new end raises
/// SIGBUS and ends the process; should one overwrite it, the bytes change under the reader.
/// Checksums catch the second where bytes are copied out and checked; against the first, read
/// what is served while commands run through [`super::File::read_at`].
///
/// # Errors
/// The system's answer to `fstat` or `mmap`, such as a file system that cannot map.
pub fn map(file: &File) -> io::Result<Mapping> {
    if file.metadata()?.len() == 0 {
        return Ok(Mapping::new());
    }
    // SAFETY: the mapping is read-only and private to `Mmap`, which unmaps it on drop and owns
    // nothing but the address range, so no alias of it can be written through this process's
    // memory. What remains is the file itself changing under the shared reference:
    // - Firn maps published files alone, and these are immutable: parts are written under a
    //   handle that is closed before the part is named in a MANIFEST, are never reopened for
    //   writing, and leave by `unlink`, which keeps the inode while it is mapped. Their space is
    //   freed bit by bit only where `has_one_handle` says that no mapping is left.
    // - Other processes of Firn are kept out by `DirectoryLock`; the inspector only reads.
    // - Any other program that writes into the directory breaks the contract stated above; the
    //   length is taken once, so no index derived from it can leave the mapped range.
    let mapping = unsafe { Mmap::map(file)? };
    Ok(Mapping::from_owner(mapping))
}

/// Whether nobody but this handle has the file open or mapped, in any process. Where the system
/// cannot tell, the answer is no. It stays true for a file that has no name any more.
///
/// It asks for a write lease, which Linux grants to the only handle of a file, and returns it.
pub fn has_one_handle(file: &File) -> bool {
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd;
        // Missing from libc; the number is that of every architecture that Rust supports.
        const F_SETSIG: libc::c_int = 10;
        let fd = file.as_raw_fd();
        // SAFETY: three calls on a descriptor that `file` keeps open, with arguments that are
        // plain numbers. Somebody who opened the file before the lease is returned would have the
        // system send a signal; SIGURG is one that a process ignores unless it asks for it.
        unsafe {
            libc::fcntl(fd, F_SETSIG, libc::SIGURG) == 0
                && libc::fcntl(fd, libc::F_SETLEASE, libc::F_WRLCK) == 0
                && libc::fcntl(fd, libc::F_SETLEASE, libc::F_UNLCK) == 0
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = file;
        false
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn mapping_outlives_handle_and_name() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&[7; 10_000]).unwrap();
        let mapping = map(file.as_file()).unwrap();
        let slice = mapping.slice(9_000..);
        drop(mapping);
        file.close().unwrap();
        assert_eq!(slice[..], [7; 1_000]);
    }

    #[test]
    fn empty_file_maps_to_no_bytes() {
        assert!(map(&tempfile::tempfile().unwrap()).unwrap().is_empty());
    }
}
