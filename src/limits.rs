//! Bounds, each with its unit, stated once.

/// Longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 512 << 20;
/// Longest string value, in bytes (`proto-max-bulk-len` may lower or raise it for the protocol).
pub const STRING_BYTES_MAX: u64 = 512 << 20;
/// Strings longer than this are kept, logged and flushed in pages, in bytes.
pub const STRING_PAGED_ABOVE_BYTES: usize = 64 << 10;
/// Size of one page of a paged string, in bytes.
pub const STRING_PAGE_BYTES: usize = 64 << 10;
/// Values up to this stand inside their entry's allocation, in bytes.
pub const VALUE_INLINE_BYTES_MAX: usize = 2 << 10;
/// Most items of a packed collection.
pub const PACKED_ITEMS_MAX: usize = 128;
/// Longest blob of a packed collection, in bytes.
pub const PACKED_BYTES_MAX: usize = 1900;
/// Most elements of a chunk of a list.
pub const LIST_CHUNK_ITEMS_MAX: usize = 256;
/// Most encoded bytes of a chunk of a list, but for an element that stands alone.
pub const LIST_CHUNK_BYTES_MAX: usize = 8 << 10;
/// Most members of a chunk of a hash, a set or a sorted set.
pub const MEMBER_CHUNK_ITEMS_MAX: usize = 256;
/// Most encoded bytes of such a chunk, but for a member that stands alone.
pub const MEMBER_CHUNK_BYTES_MAX: usize = 16 << 10;
/// Most entries that a chunk of a stream has ever held.
pub const STREAM_CHUNK_ENTRIES_MAX: usize = 256;
/// Most encoded bytes of such a chunk, but for an entry that stands alone.
pub const STREAM_CHUNK_BYTES_MAX: usize = 16 << 10;
/// Largest payload of one physical log fragment, in bytes.
pub const FRAGMENT_BYTES_MAX: usize = 1 << 20;
/// Most logical databases (`databases`).
pub const DATABASES_MAX: u32 = 1 << 16;
/// Target size of a value block or key block in a part before compression, in bytes.
pub const BLOCK_BYTES: usize = 16 << 10;
/// Filter bits for each key of a part.
pub const FILTER_BITS_PER_KEY: usize = 10;
