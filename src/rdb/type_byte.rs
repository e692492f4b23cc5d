//! The first byte of a payload: the type of the value and how it is encoded.

/// A string.
pub const STRING: u8 = 0;
/// A list, its elements as strings.
pub const LIST: u8 = 1;
/// A set, its members as strings.
pub const SET: u8 = 2;
/// A sorted set, its members as strings and its scores as text.
pub const ZSET: u8 = 3;
/// A hash, its fields and values as strings.
pub const HASH: u8 = 4;
/// A sorted set, its members as strings and its scores as eight bytes each. Since RDB version 8.
pub const ZSET_BINARY: u8 = 5;
/// A hash in a zipmap, as Redis before 2.6 wrote small ones.
pub const HASH_ZIPMAP: u8 = 9;
/// A list in one ziplist.
pub const LIST_ZIPLIST: u8 = 10;
/// A set of integers.
pub const SET_INTSET: u8 = 11;
/// A sorted set in a ziplist.
pub const ZSET_ZIPLIST: u8 = 12;
/// A hash in a ziplist.
pub const HASH_ZIPLIST: u8 = 13;
/// A list in ziplists.
pub const LIST_QUICKLIST: u8 = 14;
/// A stream without what Redis 7.0 added. Since RDB version 9.
pub const STREAM: u8 = 15;
/// A hash in a listpack.
pub const HASH_LISTPACK: u8 = 16;
/// A sorted set in a listpack.
pub const ZSET_LISTPACK: u8 = 17;
/// A list in listpacks and single elements.
pub const LIST_QUICKLIST_2: u8 = 18;
/// A stream with first ID, highest deleted ID and counts. Since RDB version 10.
pub const STREAM_2: u8 = 19;
/// A set in a listpack.
pub const SET_LISTPACK: u8 = 20;
/// A stream that also tells when consumers were active. Since RDB version 11.
pub const STREAM_3: u8 = 21;
/// A hash whose fields have deadlines, as release candidates of Redis 7.4 wrote it.
pub const HASH_METADATA_EARLY: u8 = 22;
/// The same in a listpack.
pub const HASH_LISTPACK_EX_EARLY: u8 = 23;
/// A hash whose fields have deadlines, relative to the first of them. Since RDB version 12.
pub const HASH_METADATA: u8 = 24;
/// A hash whose fields have deadlines, in a listpack.
pub const HASH_LISTPACK_EX: u8 = 25;
/// A stream that also knows which entries are added once. Since RDB version 13.
pub const STREAM_4: u8 = 26;
/// A stream that also knows what is pending and nobody has. Since RDB version 14.
pub const STREAM_5: u8 = 27;

/// Whether a stream is encoded like this. What came later tells more, in the same order.
pub fn is_stream(kind: u8) -> bool {
    matches!(kind, STREAM | STREAM_2 | STREAM_3 | STREAM_4 | STREAM_5)
}
