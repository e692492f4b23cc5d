//! The directives that running code reads, as numbers.

use crate::command::encodings::Encodings;
use crate::limits::STRING_BYTES_MAX;
use crate::types::Durability;

/// A copy of what connections need of the directives; a new one is made by each CONFIG SET.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Level of clients that did not choose one (`appendfsync`).
    pub durability: Durability,
    /// `databases`
    pub databases: u32,
    /// `proto-max-bulk-len`
    pub bulk_bytes_max: u64,
    /// `client-query-buffer-limit`
    pub query_bytes_max: usize,
    /// The hard limit of class normal in `client-output-buffer-limit`; 0 is none.
    pub output_bytes_max: usize,
    /// The soft limit of that class; 0 is none.
    pub output_bytes_soft: usize,
    /// How long more than the soft limit may wait, in milliseconds.
    pub output_soft_ms: u64,
    /// `timeout`, in milliseconds; 0 is none.
    pub timeout_ms: u64,
    /// `tcp-keepalive`, in seconds; 0 is none.
    pub keepalive_s: u32,
    /// `maxclients`
    pub clients_max: usize,
    /// `requirepass`; empty is none.
    pub password: Vec<u8>,
    /// `protected-mode`
    pub protected_mode: bool,
    /// `slowlog-log-slower-than`, in microseconds; negative is never.
    pub slow_micros: i64,
    /// `slowlog-max-len`
    pub slowlog_len_max: usize,
    /// `latency-monitor-threshold`, in milliseconds; 0 is never.
    pub latency_ms: u64,
    /// `*-max-listpack-*` and `set-max-intset-entries`
    pub encodings: Encodings,
}

impl Settings {
    /// The settings that canonical values mean.
    pub fn new<'v>(value: impl Fn(&str) -> &'v str) -> Settings {
        let number = |name: &str| -> i64 {
            let value = value(name).parse();
            value.unwrap_or_else(|_| unreachable!("{name} was checked to be a number"))
        };
        let limits = value("client-output-buffer-limit").split(' ').skip(1);
        let mut limits = limits.map(|word| word.parse().unwrap_or(0));
        let mut limit = || limits.next().unwrap_or(0);
        Settings {
            durability: match value("appendfsync") {
                "always" => Durability::Always,
                "everysec" => Durability::EverySec,
                _ => Durability::No,
            },
            databases: number("databases") as u32,
            // Nothing longer could be kept.
            bulk_bytes_max: (number("proto-max-bulk-len") as u64).min(STRING_BYTES_MAX),
            query_bytes_max: number("client-query-buffer-limit") as usize,
            output_bytes_max: limit() as usize,
            output_bytes_soft: limit() as usize,
            output_soft_ms: limit() * 1000,
            timeout_ms: number("timeout") as u64 * 1000,
            keepalive_s: number("tcp-keepalive") as u32,
            clients_max: number("maxclients") as usize,
            password: value("requirepass").into(),
            protected_mode: value("protected-mode") == "yes",
            slow_micros: number("slowlog-log-slower-than"),
            slowlog_len_max: number("slowlog-max-len") as usize,
            latency_ms: number("latency-monitor-threshold") as u64,
            encodings: Encodings {
                hash_entries: number("hash-max-listpack-entries") as u64,
                hash_value_bytes: number("hash-max-listpack-value") as u64,
                intset_entries: number("set-max-intset-entries") as u64,
                set_entries: number("set-max-listpack-entries") as u64,
                set_value_bytes: number("set-max-listpack-value") as u64,
                zset_entries: number("zset-max-listpack-entries") as u64,
                zset_value_bytes: number("zset-max-listpack-value") as u64,
                list_size: number("list-max-listpack-size"),
                hll_sparse_bytes: number("hll-sparse-max-bytes") as u64,
                stream_node_bytes: number("stream-node-max-bytes") as u64,
                stream_node_entries: number("stream-node-max-entries") as u64,
            },
        }
    }
}
