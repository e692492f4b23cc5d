//! Gives the blocks of removed files back to the file system bit by bit.
//!
//! Whoever frees blocks may make the disk discard them, and while it does it serves nothing else:
//! on a file system mounted with `discard`, a file of 64 MiB that went at once was measured to hold
//! up every sync for 75 ms. A file that has lost its name is cut from its end instead, by a thread
//! that rests as long as it worked. Nothing depends on how far it got: the rest goes with the last
//! handle, at the latest when the process ends.

use std::fs::File;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::mmap;

/// Bytes that are freed at once.
const STEP_BYTES: u64 = 1 << 20;
/// Files that wait to be cut; one more is freed at once, so that a disk is never full of them.
const QUEUE_FILES: usize = 16;
/// How often it is asked whether the last reader has gone, and how long between.
const TRIES: usize = 20;
const BETWEEN_TRIES: Duration = Duration::from_millis(5);

/// The thread that cuts files, which begins with the first of them.
#[derive(Debug, Default)]
pub(super) struct Freeing {
    queue: OnceLock<Option<SyncSender<File>>>,
}

impl Freeing {
    /// Takes a file that has no name any more, open for writing.
    pub(super) fn free(&self, file: File) {
        if file.metadata().is_ok_and(|metadata| metadata.len() <= STEP_BYTES) {
            return;
        }
        let queue = self.queue.get_or_init(|| {
            let (queue, files) = sync_channel(QUEUE_FILES);
            let thread = thread::Builder::new().name("firn-freeing".into());
            thread.spawn(move || cut_all(&files)).ok().map(|_| queue)
        });
        if let Some(queue) = queue {
            match queue.try_send(file) {
                Ok(()) => {}
                Err(TrySendError::Full(file) | TrySendError::Disconnected(file)) => drop(file),
            }
        }
    }
}

fn cut_all(files: &Receiver<File>) {
    for file in files {
        cut(&file);
    }
}

/// Shortens a file to nothing, unless somebody else still reads it: a reader keeps what it opened.
fn cut(file: &File) {
    let Ok(metadata) = file.metadata() else { return };
    let is_alone = || {
        let alone = mmap::has_one_handle(file);
        if !alone {
            thread::park_timeout(BETWEEN_TRIES);
        }
        alone
    };
    if !(0..TRIES).any(|_| is_alone()) {
        return;
    }
    let mut bytes = metadata.len();
    while bytes > 0 {
        let began = Instant::now();
        bytes = bytes.saturating_sub(STEP_BYTES);
        if file.set_len(bytes).is_err() {
            return;
        }
        thread::park_timeout(began.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;

    fn nameless(bytes: u64) -> (tempfile::TempDir, std::path::PathBuf, File) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let file = File::create_new(&path).unwrap();
        file.set_len(bytes).unwrap();
        file.write_all_at(b"end", bytes - 3).unwrap();
        (folder, path, file)
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn nameless_file_is_cut_to_nothing() {
        let (_folder, path, file) = nameless(5 * STEP_BYTES / 2);
        std::fs::remove_file(path).unwrap();
        cut(&file);
        assert_eq!(file.metadata().unwrap().len(), 0);
    }

    #[test]
    fn file_that_somebody_reads_or_maps_stays_whole() {
        let bytes = 5 * STEP_BYTES / 2;
        let (_folder, path, file) = nameless(bytes);
        let reader = File::open(&path).unwrap();
        let mapping = mmap::map(&File::open(&path).unwrap()).unwrap();
        std::fs::remove_file(path).unwrap();
        cut(&file);
        drop(reader);
        cut(&file);
        assert_eq!(mapping[bytes as usize - 3..], *b"end");
    }
}
