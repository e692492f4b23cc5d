//! The directives. One row drives the file, the flags, the environment, `--help` and CONFIG.

use super::directive::flag::{ADDS_UP, IMMUTABLE, INERT, PROTECTED, SENSITIVE};
use super::directive::{Directive, Kind};

const MAX: i64 = i64::MAX;
const ANY_BYTES: Kind = Kind::Bytes(0, u64::MAX);
const ENTRIES: Kind = Kind::Integer(0, MAX);
const LIST_SIZE: Kind = Kind::Integer(i32::MIN as i64, i32::MAX as i64);

const fn row(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    help: &'static str,
) -> Directive {
    Directive { name, alias: "", kind, default, flags: 0, help }
}

impl Directive {
    const fn with(mut self, flags: u8) -> Directive {
        self.flags |= flags;
        self
    }

    const fn or(mut self, alias: &'static str) -> Directive {
        self.alias = alias;
        self
    }
}

/// A row that Redis knows and Firn has no use for.
const fn inert(name: &'static str, kind: Kind, default: &'static str) -> Directive {
    row(name, kind, default, "").with(INERT)
}

const fn inert_bool(name: &'static str, default: &'static str) -> Directive {
    inert(name, Kind::Bool, default)
}

const fn inert_integer(name: &'static str, default: &'static str) -> Directive {
    inert(name, Kind::Integer(i64::MIN, MAX), default)
}

const fn inert_text(name: &'static str, default: &'static str) -> Directive {
    inert(name, Kind::Words, default)
}

const ADMINS: &[&str] = &["no", "yes", "local"];
const POLICIES: &[&str] = &[
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "noeviction",
];
const LEVELS: &[&str] = &["debug", "verbose", "notice", "warning", "nothing"];
const SYNCS: &[&str] = &["everysec", "always", "no"];
const SHUTDOWNS: &[&str] = &["default", "save", "nosave", "now", "force"];

/// Rows with a meaning, in the order of `--help`.
const LIVE: &[Directive] = &[
    row("bind", Kind::Words, "127.0.0.1 -::1", "addresses to listen on; a leading - may fail")
        .with(IMMUTABLE),
    row("port", Kind::Integer(0, 65535), "6379", "TCP port; 0 listens on none").with(IMMUTABLE),
    row("unixsocket", Kind::Text, "", "path of a Unix socket to listen on").with(IMMUTABLE),
    row("unixsocketperm", Kind::Octal, "0", "file mode of the Unix socket, octal").with(IMMUTABLE),
    row("tcp-backlog", Kind::Integer(0, 2147483647), "511", "connections that may wait for accept")
        .with(IMMUTABLE),
    row("tcp-keepalive", Kind::Integer(0, 2147483647), "300", "seconds between probes; 0 for none"),
    row("timeout", Kind::Integer(0, 2147483647), "0", "seconds until an idle client is closed"),
    row("maxclients", Kind::Integer(1, 4294967295), "10000", "clients at once"),
    row("protected-mode", Kind::Bool, "yes", "refuse strangers while no password is set"),
    row("requirepass", Kind::Text, "", "password of the default user").with(SENSITIVE),
    row("io-threads", Kind::Integer(0, 1024), "0", "worker threads; 0 for one a core")
        .with(IMMUTABLE),
    row("dir", Kind::Text, "firn-data", "data directory, created when missing")
        .with(IMMUTABLE | PROTECTED),
    row(
        "huge-pages",
        Kind::Bool,
        "yes",
        "gather memory into huge pages, where the system has them",
    ),
    row("databases", Kind::Integer(1, 65536), "16", "logical databases").with(IMMUTABLE),
    row("appendfsync", Kind::OneOf(SYNCS), "always", "when a write is acknowledged"),
    row("save", Kind::Save, "3600 1 300 100 60 10000", "checkpoint after seconds and changes")
        .with(ADDS_UP),
    row(
        "checkpoint-log-bytes",
        Kind::Bytes(1 << 20, u64::MAX),
        "268435456",
        "checkpoint after so many bytes of log",
    )
    .with(IMMUTABLE),
    row(
        "log-segment-bytes",
        Kind::Bytes(1 << 20, 1 << 32),
        "67108864",
        "size that log segments grow to",
    )
    .with(IMMUTABLE),
    row(
        "log-queue-bytes",
        Kind::Bytes(1 << 20, 1 << 34),
        "67108864",
        "log frames that may wait to be written",
    )
    .with(IMMUTABLE),
    row(
        "partitions",
        Kind::PowerOfTwo(4096),
        "0",
        "partitions of the keyspace, a power of two; 0 chooses",
    )
    .with(IMMUTABLE),
    row(
        "maxmemory",
        ANY_BYTES,
        "0",
        "budget of memory in bytes, 0 for none; what is above it stays on disk, nothing is deleted",
    ),
    row(
        "maxmemory-policy",
        Kind::OneOf(POLICIES),
        "noeviction",
        "what leaves memory first: with -lfu what is used least, else what is idle for longest",
    ),
    row("maxmemory-samples", Kind::Integer(1, 64), "5", "keys looked at for one that goes"),
    row(
        "proto-max-bulk-len",
        Kind::Bytes(1 << 20, u32::MAX as u64),
        "536870912",
        "longest argument",
    ),
    row(
        "client-query-buffer-limit",
        Kind::Bytes(1 << 20, u32::MAX as u64),
        "1073741824",
        "longest command",
    ),
    row(
        "client-output-buffer-limit",
        Kind::OutputLimits,
        "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
        "replies that may wait, for each class of clients",
    )
    .with(ADDS_UP),
    row(
        "slowlog-log-slower-than",
        Kind::Integer(-1, MAX),
        "10000",
        "microseconds that make a command slow; -1 for none",
    ),
    row("slowlog-max-len", Kind::Integer(0, MAX), "128", "slow commands that are kept"),
    row(
        "latency-monitor-threshold",
        Kind::Integer(0, MAX),
        "0",
        "milliseconds that make a latency event; 0 for none",
    ),
    row("hash-max-listpack-entries", ENTRIES, "512", "longest hash that is told to be a listpack")
        .or("hash-max-ziplist-entries"),
    row("hash-max-listpack-value", ANY_BYTES, "64", "longest field or value of such a hash")
        .or("hash-max-ziplist-value"),
    row("list-max-listpack-size", LIST_SIZE, "-2", "elements, or the size class, of such a list")
        .or("list-max-ziplist-size"),
    row("set-max-intset-entries", ENTRIES, "512", "longest set that is told to be an intset"),
    row("set-max-listpack-entries", ENTRIES, "128", "longest set that is told to be a listpack"),
    row("set-max-listpack-value", ANY_BYTES, "64", "longest member of such a set"),
    row("zset-max-listpack-entries", ENTRIES, "128", "longest sorted set that is told to be one")
        .or("zset-max-ziplist-entries"),
    row("zset-max-listpack-value", ANY_BYTES, "64", "longest member of such a sorted set")
        .or("zset-max-ziplist-value"),
    row("stream-node-max-bytes", ANY_BYTES, "4096", "fullest chunk of a stream, at most 16 KiB"),
    row("stream-node-max-entries", Kind::Integer(0, MAX), "100", "entries of such a chunk"),
    row("hll-sparse-max-bytes", ANY_BYTES, "3000", "longest HyperLogLog that is kept sparse"),
    row("enable-debug-command", Kind::OneOf(ADMINS), "no", "who may use DEBUG").with(IMMUTABLE),
    row("enable-protected-configs", Kind::OneOf(ADMINS), "no", "who may set protected directives")
        .with(IMMUTABLE),
    row("loglevel", Kind::OneOf(LEVELS), "notice", "what is printed"),
    row("logfile", Kind::Text, "", "file to print to instead of the terminal").with(IMMUTABLE),
    row("shutdown-on-sigint", Kind::Shutdown(SHUTDOWNS), "default", "how SIGINT ends the server"),
    row("shutdown-on-sigterm", Kind::Shutdown(SHUTDOWNS), "default", "how SIGTERM ends the server"),
];

/// Rows without a meaning, so that files and clients made for Redis work.
const FOREIGN: &[Directive] = &[
    inert_text("acl-pubsub-default", "resetchannels"),
    inert_text("aclfile", ""),
    inert_integer("acllog-max-len", "128"),
    inert_integer("active-defrag-cycle-max", "25"),
    inert_integer("active-defrag-cycle-min", "1"),
    inert("active-defrag-ignore-bytes", ANY_BYTES, "104857600"),
    inert_integer("active-defrag-max-scan-fields", "1000"),
    inert_integer("active-defrag-threshold-lower", "10"),
    inert_integer("active-defrag-threshold-upper", "100"),
    inert_integer("active-expire-effort", "1"),
    inert_bool("activedefrag", "no"),
    inert_bool("activerehashing", "yes"),
    inert_bool("always-show-logo", "no"),
    inert_bool("aof-load-truncated", "yes"),
    inert_text("aof-rewrite-cpulist", "").or("aof_rewrite_cpulist"),
    inert_bool("aof-rewrite-incremental-fsync", "yes"),
    inert_bool("aof-timestamp-enabled", "no"),
    inert_bool("aof-use-rdb-preamble", "yes"),
    inert_text("appenddirname", "appendonlydir"),
    inert_text("appendfilename", "appendonly.aof"),
    inert_bool("appendonly", "yes"),
    inert("auto-aof-rewrite-min-size", ANY_BYTES, "67108864"),
    inert_integer("auto-aof-rewrite-percentage", "100"),
    inert_text("bgsave-cpulist", "").or("bgsave_cpulist"),
    inert_text("bind-source-addr", ""),
    inert_text("bio-cpulist", "").or("bio_cpulist"),
    inert_integer("busy-reply-threshold", "5000").or("lua-time-limit"),
    inert_bool("cluster-enabled", "no"),
    inert_text("cluster-config-file", "nodes.conf"),
    inert_integer("cluster-node-timeout", "15000"),
    inert_bool("crash-log-enabled", "yes"),
    inert_bool("crash-memcheck-enabled", "yes"),
    inert_bool("daemonize", "no").with(IMMUTABLE),
    inert_text("dbfilename", "dump.rdb"),
    inert_bool("disable-thp", "yes"),
    inert_bool("dynamic-hz", "yes"),
    inert_text("enable-module-command", "no").with(IMMUTABLE),
    inert("hz", Kind::Clamped(1, 500), "10"),
    inert_text("ignore-warnings", ""),
    inert_bool("io-threads-do-reads", "no"),
    inert_bool("jemalloc-bg-thread", "yes"),
    inert_bool("latency-tracking", "yes"),
    inert_text("latency-tracking-info-percentiles", "50 99 99.9"),
    inert_bool("lazyfree-lazy-eviction", "no"),
    inert_bool("lazyfree-lazy-expire", "no"),
    inert_bool("lazyfree-lazy-server-del", "no"),
    inert_bool("lazyfree-lazy-user-del", "no"),
    inert_bool("lazyfree-lazy-user-flush", "no"),
    inert_integer("lfu-decay-time", "1"),
    inert_integer("lfu-log-factor", "10"),
    inert_integer("list-compress-depth", "0"),
    inert_text("locale-collate", ""),
    inert_text("masterauth", "").with(SENSITIVE),
    inert_text("masteruser", "").with(SENSITIVE),
    inert_text("maxmemory-clients", "0"),
    inert_integer("maxmemory-eviction-tenacity", "10"),
    inert_integer("min-replicas-max-lag", "10").or("min-slaves-max-lag"),
    inert_integer("min-replicas-to-write", "0").or("min-slaves-to-write"),
    inert_bool("no-appendfsync-on-rewrite", "no"),
    inert_text("notify-keyspace-events", ""),
    inert_text("oom-score-adj", "no"),
    inert_text("oom-score-adj-values", "0 200 800"),
    inert_text("pidfile", ""),
    inert_text("proc-title-template", "{title} {listen-addr} {server-mode}"),
    inert_bool("rdb-del-sync-files", "no"),
    inert_bool("rdb-save-incremental-fsync", "yes"),
    inert_bool("rdbchecksum", "yes"),
    inert_bool("rdbcompression", "yes"),
    inert("repl-backlog-size", ANY_BYTES, "1048576"),
    inert_integer("repl-backlog-ttl", "3600"),
    inert_bool("repl-disable-tcp-nodelay", "no"),
    inert_text("repl-diskless-load", "disabled"),
    inert_bool("repl-diskless-sync", "yes"),
    inert_integer("repl-diskless-sync-delay", "5"),
    inert_integer("repl-ping-replica-period", "10").or("repl-ping-slave-period"),
    inert_integer("repl-timeout", "60"),
    inert_text("replica-announce-ip", "").or("slave-announce-ip"),
    inert_integer("replica-announce-port", "0").or("slave-announce-port"),
    inert_bool("replica-ignore-maxmemory", "yes").or("slave-ignore-maxmemory"),
    inert_bool("replica-lazy-flush", "no").or("slave-lazy-flush"),
    inert_integer("replica-priority", "100").or("slave-priority"),
    inert_bool("replica-read-only", "yes").or("slave-read-only"),
    inert_bool("replica-serve-stale-data", "yes").or("slave-serve-stale-data"),
    inert_text("sanitize-dump-payload", "no"),
    inert_text("server-cpulist", "").or("server_cpulist"),
    inert_text("replicaof", "").or("slaveof").with(IMMUTABLE),
    inert_bool("set-proc-title", "yes").with(IMMUTABLE),
    inert_integer("shutdown-timeout", "10"),
    inert_bool("stop-writes-on-bgsave-error", "yes"),
    inert_text("supervised", "no"),
    inert_bool("syslog-enabled", "no").with(IMMUTABLE),
    inert_text("syslog-facility", "local0"),
    inert_text("syslog-ident", "redis"),
    inert_integer("tls-port", "0"),
    inert_integer("tracking-table-max-keys", "1000000"),
];

const COUNT: usize = LIVE.len() + FOREIGN.len();

/// All directives: those with a meaning first.
pub static DIRECTIVES: [Directive; COUNT] = {
    let mut all = [LIVE[0]; COUNT];
    let mut index = 0;
    while index < COUNT {
        all[index] = if index < LIVE.len() { LIVE[index] } else { FOREIGN[index - LIVE.len()] };
        index += 1;
    }
    all
};

/// The number of a directive, by name or older name, whatever the case.
pub fn find(name: &str) -> Option<usize> {
    let matches = |other: &str| !other.is_empty() && other.eq_ignore_ascii_case(name);
    DIRECTIVES.iter().position(|directive| matches(directive.name) || matches(directive.alias))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_occur_once() {
        let names = DIRECTIVES.iter().flat_map(|row| [row.name, row.alias]);
        let mut names: Vec<_> = names.filter(|name| !name.is_empty()).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn defaults_are_canonical() {
        for row in &DIRECTIVES {
            let words = [row.default.to_string()];
            let parsed = row.parse(row.default, &words);
            assert_eq!(parsed.as_deref(), Ok(row.default), "{}", row.name);
        }
    }

    #[test]
    fn rows_with_a_meaning_explain_themselves() {
        for row in &DIRECTIVES {
            assert_eq!(row.help.is_empty(), row.has(INERT), "{}", row.name);
        }
    }
}
