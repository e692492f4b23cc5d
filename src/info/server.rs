//! INFO on the process and its clients: `server`, `clients`, `stats`, `cpu`.

use super::facts::Facts;
use super::host;
use super::text::Text;
use super::{FIRN_VERSION, REDIS_VERSION};

/// `# Server`
pub fn server(facts: &Facts<'_>, text: &mut Text) {
    let identity = &facts.services.identity;
    let uptime_s = identity.started.elapsed().as_secs();
    let executable = std::env::current_exe().unwrap_or_default();
    let file = facts.services.config.file().unwrap_or("".as_ref());
    text.line("redis_version", REDIS_VERSION);
    text.line("firn_version", FIRN_VERSION);
    text.line("redis_git_sha1", "00000000");
    text.line("redis_git_dirty", 0);
    text.line("redis_build_id", FIRN_VERSION);
    text.line("redis_mode", "standalone");
    text.line("os", host::system());
    text.line("arch_bits", usize::BITS);
    text.line("monotonic_clock", "POSIX clock_gettime");
    text.line("multiplexing_api", "epoll");
    text.line("process_id", std::process::id());
    text.line("process_supervised", "no");
    text.line("run_id", &identity.run_id);
    text.line("tcp_port", facts.directive("port"));
    text.line("server_time_usec", facts.now_ms * 1000);
    text.line("uptime_in_seconds", uptime_s);
    text.line("uptime_in_days", uptime_s / 86400);
    text.line("hz", facts.directive("hz"));
    text.line("configured_hz", facts.directive("hz"));
    text.line("lru_clock", lru_clock(facts.now_ms));
    text.line("executable", executable.display());
    text.line("config_file", file.display());
    text.line("io_threads_active", facts.services.stats.serving());
    listeners(facts, text);
}

/// Redis's clock of seconds in 24 bits.
pub fn lru_clock(now_ms: u64) -> u64 {
    (now_ms / 1000) & ((1 << 24) - 1)
}

fn listeners(facts: &Facts<'_>, text: &mut Text) {
    let [port, socket] = ["port", "unixsocket"].map(|name| facts.directive(name));
    let mut index = 0;
    if port != "0" {
        let addresses = facts.directive("bind");
        let binds: String = addresses.split(' ').map(|to| format!("bind={to},")).collect();
        text.line("listener0", format_args!("name=tcp,{binds}port={port}"));
        index = 1;
    }
    if !socket.is_empty() {
        let name = format!("listener{index}");
        text.line(&name, format_args!("name=unix,bind={socket}"));
    }
}

/// `# Clients`
pub fn clients(facts: &Facts<'_>, text: &mut Text) {
    text.line("connected_clients", facts.services.clients.count());
    text.zeros(&["cluster_connections"]);
    text.line("maxclients", facts.settings.clients_max);
    text.line("client_recent_max_input_buffer", facts.buffers.input_bytes_max);
    text.line("client_recent_max_output_buffer", facts.buffers.output_bytes_max);
    let blocked = facts.services.blocked.load(std::sync::atomic::Ordering::Relaxed);
    text.line("blocked_clients", blocked);
    text.zeros(&[
        "tracking_clients",
        "clients_in_timeout_table",
        "total_blocking_keys",
        "total_blocking_keys_on_nokey",
    ]);
}

/// `# Stats`
pub fn stats(facts: &Facts<'_>, text: &mut Text) {
    let traffic = &facts.traffic;
    let rates = facts.services.upkeep.rates();
    text.line("total_connections_received", traffic.connections);
    text.line("total_commands_processed", traffic.commands);
    text.line("instantaneous_ops_per_sec", rates.commands.round() as u64);
    text.line("total_net_input_bytes", traffic.input_bytes);
    text.line("total_net_output_bytes", traffic.output_bytes);
    text.zeros(&["total_net_repl_input_bytes", "total_net_repl_output_bytes"]);
    text.ratio("instantaneous_input_kbps", rates.input_bytes / 1024.0);
    text.ratio("instantaneous_output_kbps", rates.output_bytes / 1024.0);
    text.ratio("instantaneous_input_repl_kbps", 0.0);
    text.ratio("instantaneous_output_repl_kbps", 0.0);
    text.line("rejected_connections", facts.services.stats.rejected_connections());
    text.zeros(&["sync_full", "sync_partial_ok", "sync_partial_err"]);
    text.line("expired_subkeys", facts.engine.expired_fields);
    text.line("expired_keys", facts.engine.expired_keys);
    text.line("evicted_keys", facts.engine.evicted_keys);
    text.line("keyspace_hits", traffic.lookups.hits);
    text.line("keyspace_misses", traffic.lookups.misses);
    text.zeros(&[
        "evicted_clients",
        "pubsub_channels",
        "pubsub_patterns",
        "pubsubshard_channels",
        "latest_fork_usec",
        "total_forks",
        "migrate_cached_sockets",
        "slave_expires_tracked_keys",
        "active_defrag_hits",
        "active_defrag_misses",
        "active_defrag_key_hits",
        "active_defrag_key_misses",
        "tracking_total_keys",
        "tracking_total_items",
        "tracking_total_prefixes",
        "unexpected_error_replies",
    ]);
    let errors: u64 = facts.services.stats.errors().values().sum();
    text.line("total_error_replies", errors);
    text.zeros(&["dump_payload_sanitizations"]);
    text.line("total_reads_processed", traffic.reads);
    text.line("total_writes_processed", traffic.writes);
    text.zeros(&["io_threaded_reads_processed", "io_threaded_writes_processed"]);
}

/// `# CPU`
pub fn cpu(_: &Facts<'_>, text: &mut Text) {
    let names = ["", "_children", "_main_thread"];
    for (name, time) in names.into_iter().zip(host::cpu_times()) {
        text.line(&format!("used_cpu_sys{name}"), format_args!("{:.6}", time.system_s));
        text.line(&format!("used_cpu_user{name}"), format_args!("{:.6}", time.user_s));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_of_seconds_wraps_at_24_bits() {
        assert_eq!(lru_clock(0), 0);
        assert_eq!(lru_clock(((1 << 24) + 7) * 1000), 7);
    }
}
