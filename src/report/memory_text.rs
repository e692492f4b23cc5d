//! MEMORY DOCTOR: the use of memory explained to people. Pure.

use crate::info::facts::MemoryUse;
use crate::info::text::{human, ratio};

/// A server that uses less than this has nothing to explain, in bytes.
const SMALL_BYTES: u64 = 5 << 20;

/// The report.
pub fn doctor(memory: &MemoryUse) -> String {
    if memory.used_bytes < SMALL_BYTES {
        return "There is hardly any data in memory yet, so there is nothing to judge.\n".into();
    }
    let used = memory.used_bytes;
    let host = &memory.host;
    let wasted = host.resident_bytes.saturating_sub(used);
    let findings: Vec<String> = [
        (ratio(memory.marks.peak_bytes, used) > 1.5).then(|| {
            format!(
                "Peak: {} were in use once, {} are now. The resident size may stay high until the \
                 allocator has given pages back.",
                human(memory.marks.peak_bytes),
                human(used)
            )
        }),
        (ratio(host.resident_bytes, used) > 1.4 && wasted > 10 << 20).then(|| {
            format!(
                "Fragmentation: the process takes {} for {} in use. Values that change their size \
                 often leave gaps; a restart closes them.",
                human(host.resident_bytes),
                human(used)
            )
        }),
        (memory.clients_bytes > memory.dataset_bytes / 4).then(|| {
            format!(
                "Clients: {} stand in buffers of connections. CLIENT LIST shows whose.",
                human(memory.clients_bytes)
            )
        }),
        (memory.log_bytes > 32 << 20).then(|| {
            format!(
                "Log: {} wait to be written. The disk is slower than the writers.",
                human(memory.log_bytes)
            )
        }),
    ]
    .into_iter()
    .flatten()
    .collect();
    if findings.is_empty() {
        return "Nothing stands out: memory goes to keys and values.\n".into();
    }
    let items = findings.iter().map(|finding| format!(" * {finding}\n"));
    format!("What stands out:\n\n{}", items.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::info::host::Memory;
    use crate::session::upkeep::MemoryMarks;

    fn healthy() -> MemoryUse {
        MemoryUse {
            host: Memory { resident_bytes: 110 << 20, ..Memory::default() },
            used_bytes: 100 << 20,
            marks: MemoryMarks { peak_bytes: 100 << 20, startup_bytes: 1 << 20 },
            dataset_bytes: 80 << 20,
            ..MemoryUse::default()
        }
    }

    #[test]
    fn what_stands_out_is_named() {
        assert!(doctor(&MemoryUse::default()).contains("hardly any data"));
        assert!(doctor(&healthy()).contains("Nothing stands out"));
        let mut memory = healthy();
        memory.marks.peak_bytes = 200 << 20;
        assert!(doctor(&memory).contains(" * Peak: 200.00M were in use once, 100.00M are now."));
        assert!(!doctor(&memory).contains("Fragmentation"));
        memory.host.resident_bytes = 150 << 20;
        memory.clients_bytes = 30 << 20;
        memory.log_bytes = 40 << 20;
        let report = doctor(&memory);
        assert!(["Fragmentation:", "Clients:", "Log:"].iter().all(|word| report.contains(word)));
    }
}
