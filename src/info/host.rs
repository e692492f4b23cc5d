//! What the operating system and the allocator know about the process.

use std::fs;

use tikv_jemalloc_ctl::{epoch, stats};

/// Memory of the process, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Memory {
    /// Resident, as the system counts.
    pub resident_bytes: u64,
    /// Handed out by the allocator.
    pub allocated_bytes: u64,
    /// In pages that hold something handed out.
    pub active_bytes: u64,
    /// Resident, as the allocator counts.
    pub allocator_resident_bytes: u64,
}

/// The name and version of the allocator.
pub const ALLOCATOR: &str = "jemalloc-5.3.1";

/// Memory of the process now. What cannot be read is 0.
pub fn memory() -> Memory {
    // The allocator's figures stand still until its epoch is advanced.
    let _ = epoch::advance();
    let figure = |read: tikv_jemalloc_ctl::Result<usize>| read.unwrap_or(0) as u64;
    Memory {
        resident_bytes: read("/proc/self/status", |text| kib_field(text, "VmRSS:")),
        allocated_bytes: figure(stats::allocated::read()),
        active_bytes: figure(stats::active::read()),
        allocator_resident_bytes: figure(stats::resident::read()),
    }
}

/// Memory of the machine, in bytes.
pub fn total_memory_bytes() -> u64 {
    read("/proc/meminfo", |text| kib_field(text, "MemTotal:"))
}

/// Pages of memory that the process has come by one at a time.
pub fn page_faults() -> u64 {
    read("/proc/self/stat", |text| stat_fields(text)?.nth(7)?.parse().ok()).unwrap_or_default()
}

/// The kernel, as `uname -srm` names it.
pub fn system() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("Linux {} {}", release.trim(), std::env::consts::ARCH)
}

/// Time that the processor spent on something, in seconds.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct CpuTime {
    /// In the kernel.
    pub system_s: f64,
    /// In the program.
    pub user_s: f64,
}

/// Processor time of the process, of children it waited for, and of the thread that asks.
pub fn cpu_times() -> [CpuTime; 3] {
    let process = read("/proc/self/stat", stat_times).unwrap_or_default();
    let thread = read("/proc/thread-self/stat", stat_times).unwrap_or_default();
    [process[0], process[1], thread[0]]
}

fn read<T: Default>(path: &str, parse: impl FnOnce(&str) -> T) -> T {
    fs::read_to_string(path).map(|text| parse(&text)).unwrap_or_default()
}

/// A line `name   123 kB`, in bytes.
fn kib_field(text: &str, name: &str) -> u64 {
    let mut lines = text.lines();
    let line = lines.find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number.and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// What stands in a `stat` file behind the name of the program, which is in parentheses and may
/// hold blanks and parentheses itself.
fn stat_fields(text: &str) -> Option<impl Iterator<Item = &str>> {
    Some(text[text.rfind(')')? + 1..].split_whitespace())
}

/// Times of a `stat` file: its own and those of children.
fn stat_times(text: &str) -> Option<[CpuTime; 2]> {
    // Linux counts in hundredths of a second, whatever its timer does.
    const TICKS_PER_SECOND: f64 = 100.0;
    let mut fields = stat_fields(text)?.skip(11);
    let mut next = || Some(fields.next()?.parse::<f64>().ok()? / TICKS_PER_SECOND);
    let mut pair = || Some(CpuTime { user_s: next()?, system_s: next()? });
    Some([pair()?, pair()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name() {
        let text = "VmPeak:\t  100 kB\nVmRSS:\t   13608 kB\n";
        assert_eq!(kib_field(text, "VmRSS:"), 13_934_592);
        assert_eq!(kib_field(text, "VmSwap:"), 0);
        assert_eq!(kib_field("VmRSS: x", "VmRSS:"), 0);
    }

    #[test]
    fn times_stand_behind_the_name_of_the_program() {
        let text = "7 (a) b) c) S 1 1 1 0 -1 4194304 100 0 0 0 250 50 300 4 20 0";
        let [own, children] = stat_times(text).unwrap();
        assert_eq!((own.user_s, own.system_s), (2.5, 0.5));
        assert_eq!((children.user_s, children.system_s), (3.0, 0.04));
        assert_eq!(stat_times("7 (a) S 1"), None);
        assert_eq!(stat_times(""), None);
    }

    #[test]
    fn this_process_takes_memory() {
        let (faults, pages) = (page_faults(), vec![1u8; 1 << 22]);
        assert!(memory().resident_bytes > pages.len() as u64);
        assert!(page_faults() > faults);
        assert!(total_memory_bytes() > memory().resident_bytes);
        assert!(system().starts_with("Linux "));
    }
}
