//! Gathers memory that is in use throughout into huge pages.
//!
//! A random key lies where no cache has it, and where the processor does not know either which
//! page of memory that is: it asks the page tables, which costs as much as the bytes. Huge pages
//! need a 512th of the entries. Firn never forks, so nothing is copied by the page.
//!
//! Asking for huge pages ahead (MADV_HUGEPAGE) would let a worker wait while the system makes room
//! for one and clears it, and would hold memory that nobody uses. So a thread looks for blocks
//! whose pages are all in use, and has the system move each into a huge page (MADV_COLLAPSE, since
//! Linux 6.1), which takes no more memory than before. Whoever touches new memory meanwhile waits
//! for one block, a millisecond, or several where the machine is itself a guest that gets its
//! memory from a host. So the thread waits until hardly any new memory comes. Readers and writers
//! of what is there do not wait.

#![allow(unsafe_code)]

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use crate::info::host;
use crate::session::services::Services;

const BLOCK_BYTES: usize = 2 << 20;
const PAGE_BYTES: usize = 4 << 10;
const BLOCK_PAGES: usize = BLOCK_BYTES / PAGE_BYTES;
/// Pages of a block that may be missing: each costs memory that nobody asked for.
const HOLES_MAX: usize = BLOCK_PAGES / 64;
/// Time between two looks at how much memory has come.
const PERIOD: Duration = Duration::from_secs(5);
/// When a part of the pages is new, all blocks are looked at again.
const NEW_PART: u64 = 16;
/// For each moment of work so many of rest.
const REST: u32 = 4;
/// While memory comes faster than this, in pages a second, no block is gathered.
const BURST_PAGES: u128 = 4096;
/// A burst that a pass has met is over when so much time is without.
const CALM: Duration = Duration::from_millis(50);

/// Starts the thread, where the system has huge pages of 2 MiB. It ends with the process.
pub fn start(services: Arc<Services>) {
    let file = |name| fs::read_to_string(format!("/sys/kernel/mm/transparent_hugepage/{name}"));
    let never = file("enabled").is_ok_and(|modes| modes.contains("[never]"));
    let bytes = file("hpage_pmd_size").ok().and_then(|text| text.trim().parse().ok());
    if never || bytes != Some(BLOCK_BYTES) {
        return;
    }
    let thread = thread::Builder::new().name("firn-pages".into());
    // Without it, everything works at the speed of small pages.
    let _ = thread.spawn(move || gather(&services));
}

fn gather(services: &Services) {
    let Ok(memory) = Memory::open() else { return };
    let (mut faults, mut pages) = (0, 0);
    loop {
        wait_for_calm(PERIOD);
        let now = host::page_faults();
        if is_due(now.saturating_sub(faults), pages) && services.config.get("huge-pages") == "yes" {
            faults = now;
            let Ok(pass) = memory.gather() else { continue };
            pages = pass.pages;
            services.upkeep.huge_pages.store(pass.huge, Relaxed);
        }
    }
}

/// Waits for this long, and on until little memory came in as much time.
fn wait_for_calm(time: Duration) {
    let mut before = host::page_faults();
    loop {
        thread::park_timeout(time);
        let now = host::page_faults();
        if !is_burst(now.saturating_sub(before), time) {
            return;
        }
        before = now;
    }
}

/// Whether it is much that so many pages came in this time.
fn is_burst(came: u64, time: Duration) -> bool {
    u128::from(came) * 1_000_000 > BURST_PAGES * time.as_micros()
}

/// Whether so many pages that came make a pass worth its while, where the last one saw `pages`.
fn is_due(came: u64, pages: u64) -> bool {
    came >= (pages / NEW_PART).max(BLOCK_PAGES as u64)
}

/// What one pass over the memory found and did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Pass {
    /// Pages in use.
    pages: u64,
    /// Blocks that are huge pages now.
    huge: u64,
}

/// The memory of this process.
struct Memory {
    pagemap: File,
}

impl Memory {
    fn open() -> io::Result<Memory> {
        Ok(Memory { pagemap: File::open("/proc/self/pagemap")? })
    }

    /// Gathers what is full.
    fn gather(&self) -> io::Result<Pass> {
        let maps = fs::read_to_string("/proc/self/maps")?;
        let mut pass = Pass::default();
        for block in maps.lines().filter_map(region).flat_map(blocks) {
            // What has been unmapped since has no pages, or is not to be read at all.
            let pages = self.pages_in_use(block).unwrap_or(0);
            pass.pages += pages as u64;
            if pages < BLOCK_PAGES - HOLES_MAX {
                continue;
            }
            let (began, before) = (Instant::now(), host::page_faults());
            match collapse(block) {
                Ok(()) => pass.huge += 1,
                // Other blocks will not find room either.
                Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => break,
                // Somebody has a hand on one of its pages, or it is gone.
                Err(_) => {}
            }
            thread::park_timeout(REST * began.elapsed());
            if is_burst(host::page_faults().saturating_sub(before), began.elapsed()) {
                wait_for_calm(CALM);
            }
        }
        Ok(pass)
    }

    /// How many pages of a block have memory of their own.
    fn pages_in_use(&self, block: usize) -> io::Result<usize> {
        // Eight bytes a page, the highest bit of which says that it is there.
        let mut entries = [0; BLOCK_PAGES * 8];
        self.pagemap.read_exact_at(&mut entries, (block / PAGE_BYTES * 8) as u64)?;
        Ok(entries.chunks_exact(8).filter(|entry| entry[7] & 0x80 != 0).count())
    }
}

/// The addresses in a line of `/proc/self/maps`, if that is private writable memory without a file.
fn region(line: &str) -> Option<Range<usize>> {
    let mut words = line.split_ascii_whitespace();
    let (from, to) = words.next()?.split_once('-')?;
    let is_heap = words.next()? == "rw-p" && words.nth(2)? == "0";
    let address = |text| usize::from_str_radix(text, 16).ok();
    is_heap.then_some(address(from)?..address(to)?)
}

/// Where the blocks begin that lie in a region as a whole.
fn blocks(region: Range<usize>) -> impl Iterator<Item = usize> {
    let first = region.start.next_multiple_of(BLOCK_BYTES);
    (first..region.end).step_by(BLOCK_BYTES).filter(move |from| region.end - from >= BLOCK_BYTES)
}

/// Moves a block into a huge page, or finds it in one.
fn collapse(block: usize) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: the system changes where the bytes are kept and nothing that a program can see,
        // whatever is mapped at these addresses, and refuses addresses at which there is nothing.
        let answer = unsafe { libc::madvise(block as *mut _, BLOCK_BYTES, libc::MADV_COLLAPSE) };
        if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = block;
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heap_is_private_writable_and_without_a_file() {
        assert_eq!(region("7f00-8f00 rw-p 00000000 00:00 0 "), Some(0x7f00..0x8f00));
        assert_eq!(region("10-20 rw-p 00000000 00:00 0 [heap]"), Some(0x10..0x20));
        assert_eq!(region("10-20 rw-p 00001000 fe:00 326279 /usr/lib/libc.so.6"), None);
        assert_eq!(region("10-20 rw-s 00000000 00:00 0"), None);
        assert_eq!(region("10-20 r--p 00000000 00:00 0 [vvar]"), None);
        assert_eq!(region("10-20 ---p 00000000 00:00 0"), None);
        assert_eq!(region("something else"), None);
    }

    #[test]
    fn blocks_lie_in_their_region_as_a_whole() {
        let begin = |region| blocks(region).map(|at| at / BLOCK_BYTES).collect::<Vec<_>>();
        let block = BLOCK_BYTES;
        assert_eq!(begin(block..3 * block), [1, 2]);
        assert_eq!(begin(block + 1..3 * block + 1), [2]);
        assert_eq!(begin(block - PAGE_BYTES..3 * block - PAGE_BYTES), [1]);
        assert_eq!(begin(block + 1..2 * block), []);
    }

    #[test]
    fn a_burst_is_what_comes_fast() {
        assert!(!is_burst(4096, Duration::from_secs(1)));
        assert!(is_burst(4097, Duration::from_secs(1)));
        assert!(!is_burst(20_000, Duration::from_secs(5)));
        assert!(is_burst(205, Duration::from_millis(50)));
    }

    #[test]
    fn a_pass_waits_for_a_sixteenth_of_the_pages_and_a_block_at_least() {
        assert!(!is_due(511, 0));
        assert!(is_due(512, 0));
        assert!(!is_due(62_499, 1_000_000));
        assert!(is_due(62_500, 1_000_000));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_is_full_is_gathered_and_keeps_its_bytes() {
        const BLOCKS: usize = 8;
        let memory = Memory::open().unwrap();
        let mut bytes: Vec<u8> = Vec::with_capacity(BLOCKS * BLOCK_BYTES);
        let from = bytes.as_ptr() as usize;
        let inside: Vec<_> = blocks(from..from + BLOCKS * BLOCK_BYTES).collect();
        assert_eq!(memory.pages_in_use(inside[1]).unwrap(), 0);
        bytes.extend((0..BLOCKS * BLOCK_BYTES).map(|at| (at % 251) as u8));
        assert_eq!(memory.pages_in_use(inside[1]).unwrap(), BLOCK_PAGES);
        let collapses = collapse(inside[1]).is_ok();
        let pass = memory.gather().unwrap();
        assert!(pass.pages >= (inside.len() * BLOCK_PAGES) as u64);
        // Linux before 6.1 has no such call, and not every machine that tests has room.
        assert!(pass.huge >= u64::from(collapses), "{pass:?}");
        assert!(bytes.iter().enumerate().all(|(at, byte)| *byte == (at % 251) as u8));
    }
}
