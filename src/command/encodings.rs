//! In which form Redis would keep a collection: what OBJECT ENCODING answers. Firn's own forms are
//! others; the answer is carried beside the value, because it depends on how the value came about.

use crate::types::ValueKind;
use crate::value::stream_chunk::NodeLimits;

/// The directives that decide.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Encodings {
    /// `hash-max-listpack-entries`
    pub hash_entries: u64,
    /// `hash-max-listpack-value`, in bytes.
    pub hash_value_bytes: u64,
    /// `set-max-intset-entries`
    pub intset_entries: u64,
    /// `set-max-listpack-entries`
    pub set_entries: u64,
    /// `set-max-listpack-value`, in bytes.
    pub set_value_bytes: u64,
    /// `zset-max-listpack-entries`
    pub zset_entries: u64,
    /// `zset-max-listpack-value`, in bytes.
    pub zset_value_bytes: u64,
    /// `list-max-listpack-size`: elements, or where negative one of five sizes.
    pub list_size: i64,
    /// `hll-sparse-max-bytes`: longest sparse HyperLogLog.
    pub hll_sparse_bytes: u64,
    /// `stream-node-max-bytes`: fullest node of a stream, in bytes; 0 is no limit.
    pub stream_node_bytes: u64,
    /// `stream-node-max-entries`: most entries of a node of a stream; 0 is no limit.
    pub stream_node_entries: u64,
}

impl Default for Encodings {
    fn default() -> Encodings {
        Encodings {
            hash_entries: 512,
            hash_value_bytes: 64,
            intset_entries: 512,
            set_entries: 128,
            set_value_bytes: 64,
            zset_entries: 128,
            zset_value_bytes: 64,
            list_size: -2,
            hll_sparse_bytes: 3000,
            stream_node_bytes: 4096,
            stream_node_entries: 100,
        }
    }
}

impl Encodings {
    /// What a node of a stream holds.
    pub fn stream_node(&self) -> NodeLimits {
        let none_or = |limit: u64| if limit == 0 { u64::MAX } else { limit };
        NodeLimits {
            bytes: none_or(self.stream_node_bytes).min(NodeLimits::BYTES_MAX),
            entries: none_or(self.stream_node_entries),
        }
    }
}

/// Encodings of a hash.
pub mod hash {
    /// `listpack`
    pub const LISTPACK: u8 = 0;
    /// `hashtable`
    pub const HASHTABLE: u8 = 1;
    /// `listpackex`: with deadlines of fields.
    pub const LISTPACK_EX: u8 = 2;
}

/// Encodings of a set.
pub mod set {
    /// `intset`; its members stand in numeric order while it is packed.
    pub const INTSET: u8 = crate::value::packed::SET_INTSET;
    /// `listpack`
    pub const LISTPACK: u8 = 1;
    /// `hashtable`
    pub const HASHTABLE: u8 = 2;
}

/// Encodings of a sorted set.
pub mod zset {
    /// `listpack`
    pub const LISTPACK: u8 = 0;
    /// `skiplist`
    pub const SKIPLIST: u8 = 1;
}

/// Encodings of a list.
pub mod list {
    /// `listpack`
    pub const LISTPACK: u8 = 0;
    /// `quicklist`
    pub const QUICKLIST: u8 = 1;
}

/// The name of an encoding.
pub fn name(kind: ValueKind, encoding: u8) -> &'static str {
    match (kind, encoding) {
        (ValueKind::Hash, hash::LISTPACK) => "listpack",
        (ValueKind::Hash, hash::LISTPACK_EX) => "listpackex",
        (ValueKind::Hash, _) => "hashtable",
        (ValueKind::Set, set::INTSET) => "intset",
        (ValueKind::Set, set::LISTPACK) => "listpack",
        (ValueKind::Set, _) => "hashtable",
        (ValueKind::Zset, zset::LISTPACK) => "listpack",
        (ValueKind::Zset, _) => "skiplist",
        (ValueKind::List, list::LISTPACK) => "listpack",
        (ValueKind::List, _) => "quicklist",
        (ValueKind::Stream, _) => "stream",
        (ValueKind::String, _) => "raw",
    }
}
