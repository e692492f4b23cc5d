//! The words every layer shares: LSN, position, durability.

/// Log sequence number. Frames are numbered from 1 without gaps; 0 stands for "before any write".
pub type Lsn = u64;

/// Highest LSN that a file may state. Entries keep 56 bits of it; a log that starts at the bound
/// can still grow for longer than anybody will write to it.
pub const LSN_MAX: Lsn = 1 << 55;

/// Highest epoch of the log that a file may state. Each recovery takes one.
pub const EPOCH_MAX: u32 = 1 << 31;

/// Identity of one incarnation of a logical database. FLUSHDB takes a fresh one.
pub type KeyspaceId = u32;

/// Cluster slots, as in Redis Cluster.
pub const SLOT_COUNT: usize = 16384;

/// Bits of the keyed hash inside a [`Position`].
pub const HASH_BITS: u32 = 50;

/// Bits of a [`Position`] that a SCAN cursor leaves out, so that cursors stay below 2^53.
pub const CURSOR_SHIFT: u32 = 16;

/// Place of a key in the one order that tables, parts and cursors share:
/// cluster slot (14 bits) above a keyed 50-bit hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Position(pub u64);

impl Position {
    /// Puts a slot and a hash together. Only the low 50 bits of `hash` count.
    pub const fn new(slot: u16, hash: u64) -> Position {
        Position((slot as u64) << HASH_BITS | (hash & ((1 << HASH_BITS) - 1)))
    }

    /// The cluster slot, 0..16384.
    pub const fn slot(self) -> u16 {
        (self.0 >> HASH_BITS) as u16
    }

    /// The keyed hash, 50 bits.
    pub const fn hash(self) -> u64 {
        self.0 & ((1 << HASH_BITS) - 1)
    }

    /// The SCAN cursor granule that holds this position (48 bits).
    pub const fn cursor(self) -> u64 {
        self.0 >> CURSOR_SHIFT
    }

    /// The lowest position of a cursor granule.
    pub const fn from_cursor(cursor: u64) -> Position {
        Position(cursor << CURSOR_SHIFT)
    }
}

/// When a write counts as acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Durability {
    /// After fdatasync of its log frame.
    #[default]
    Always,
    /// At once; the log is synced about every second.
    EverySec,
    /// At once; the operating system decides when bytes reach the disk.
    No,
}

/// Identity of a chunk inside its collection, in the order of the collection's items.
pub type ChunkId = u128;

/// What a value is. The numbers stand in files.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum ValueKind {
    /// Bytes.
    String = 0,
    /// A list.
    List = 1,
    /// A set.
    Set = 2,
    /// A sorted set.
    Zset = 3,
    /// A hash.
    Hash = 4,
    /// A stream.
    Stream = 6,
}

/// The bit of a packed collection's first byte that says that its items are uniform: all have the
/// same lengths, which stand there once.
pub const UNIFORM: u8 = 0x80;

impl ValueKind {
    /// The kind that a number of a file stands for.
    pub const fn from_number(number: u8) -> Option<ValueKind> {
        match number {
            0 => Some(ValueKind::String),
            1 => Some(ValueKind::List),
            2 => Some(ValueKind::Set),
            3 => Some(ValueKind::Zset),
            4 => Some(ValueKind::Hash),
            6 => Some(ValueKind::Stream),
            _ => None,
        }
    }

    /// The name that TYPE answers.
    pub const fn name(self) -> &'static str {
        match self {
            ValueKind::String => "string",
            ValueKind::List => "list",
            ValueKind::Set => "set",
            ValueKind::Zset => "zset",
            ValueKind::Hash => "hash",
            ValueKind::Stream => "stream",
        }
    }

    /// The kind in the upper half of a byte that holds kind and encoding of a collection.
    pub const fn of_shape(shape: u8) -> Option<ValueKind> {
        match ValueKind::from_number(shape >> 4) {
            None | Some(ValueKind::String) => None,
            kind => kind,
        }
    }

    /// The kind of a packed collection whose first byte this is: a shape, and maybe [`UNIFORM`].
    pub const fn of_packed(head: u8) -> Option<ValueKind> {
        ValueKind::of_shape(head & !UNIFORM)
    }

    /// The byte that holds kind and encoding.
    ///
    /// # Panics
    /// When the encoding takes more than four bits.
    pub const fn shape(self, encoding: u8) -> u8 {
        assert!(encoding < 16);
        (self as u8) << 4 | encoding
    }
}

/// Seed of the keyed hash, drawn once for a database and kept in its MANIFEST.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HashSeed(pub [u8; 16]);

/// Identity of a database; every file of its directory carries it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DatabaseId(pub [u8; 16]);
