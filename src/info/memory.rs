//! INFO on memory.

use super::facts::Facts;
use super::host;
use super::text::{Text, percent, ratio};

/// `# Memory`
pub fn memory(facts: &Facts<'_>, text: &mut Text) {
    let memory = &facts.memory;
    text.bytes("used_memory", memory.used_bytes);
    text.bytes("used_memory_rss", memory.host.resident_bytes);
    text.bytes("used_memory_peak", memory.marks.peak_bytes);
    text.line("used_memory_peak_perc", percent(memory.used_bytes, memory.marks.peak_bytes));
    text.line("used_memory_overhead", memory.overhead_bytes());
    text.line("used_memory_startup", memory.marks.startup_bytes);
    text.line("used_memory_dataset", memory.dataset_bytes);
    text.line("used_memory_dataset_perc", percent(memory.dataset_bytes, memory.net_bytes()));
    text.line("allocator_allocated", memory.host.allocated_bytes);
    text.line("allocator_active", memory.host.active_bytes);
    text.line("allocator_resident", memory.host.allocator_resident_bytes);
    text.bytes("total_system_memory", host::total_memory_bytes());
    text.bytes("used_memory_lua", 0);
    text.bytes("used_memory_scripts", 0);
    text.zeros(&["number_of_cached_scripts", "number_of_functions", "number_of_libraries"]);
    let maxmemory = facts.directive("maxmemory").parse().unwrap_or(0);
    text.bytes("maxmemory", maxmemory);
    text.line("maxmemory_policy", facts.directive("maxmemory-policy"));
    fragmentation(facts, text);
    text.zeros(&[
        "mem_not_counted_for_evict",
        "mem_replication_backlog",
        "mem_total_replication_buffers",
        "mem_clients_slaves",
    ]);
    text.line("mem_clients_normal", memory.clients_bytes);
    text.zeros(&["mem_cluster_links"]);
    text.line("mem_aof_buffer", memory.log_bytes);
    text.line("mem_allocator", host::ALLOCATOR);
    text.zeros(&["active_defrag_running", "lazyfree_pending_objects", "lazyfreed_objects"]);
}

fn fragmentation(facts: &Facts<'_>, text: &mut Text) {
    let host = &facts.memory.host;
    let pairs = [
        ("allocator_frag", host.active_bytes, host.allocated_bytes),
        ("allocator_rss", host.allocator_resident_bytes, host.active_bytes),
        ("rss_overhead", host.resident_bytes, host.allocator_resident_bytes),
        ("mem_fragmentation", host.resident_bytes, facts.memory.used_bytes),
    ];
    for (name, outer, inner) in pairs {
        text.ratio(&format!("{name}_ratio"), ratio(outer, inner));
        text.line(&format!("{name}_bytes"), outer as i64 - inner as i64);
    }
}
