//! What a row of the command table says.

use smallvec::SmallVec;

use crate::engine::staging::WholeCopy;
use crate::engine::unit::{Unit, ValueRef, ValueSize};
use crate::resp::write::Reply;

use super::args::Args;
use super::block::Block;
use super::encodings::Encodings;

/// Flags of COMMAND INFO, and a few of our own. Bits.
pub mod flag {
    /// May change data.
    pub const WRITE: u32 = 1 << 0;
    /// Never changes data.
    pub const READONLY: u32 = 1 << 1;
    /// Refused when memory is short.
    pub const DENYOOM: u32 = 1 << 2;
    /// An administrator's command.
    pub const ADMIN: u32 = 1 << 3;
    /// Belongs to publish/subscribe.
    pub const PUBSUB: u32 = 1 << 4;
    /// Not allowed in scripts.
    pub const NOSCRIPT: u32 = 1 << 5;
    /// May block the client.
    pub const BLOCKING: u32 = 1 << 6;
    /// Allowed while loading.
    pub const LOADING: u32 = 1 << 7;
    /// Allowed on a stale replica.
    pub const STALE: u32 = 1 << 8;
    /// Not fed to MONITOR.
    pub const SKIP_MONITOR: u32 = 1 << 9;
    /// Not kept in the slow log.
    pub const SKIP_SLOWLOG: u32 = 1 << 10;
    /// Answers ASKING's slot.
    pub const ASKING: u32 = 1 << 11;
    /// Constant or logarithmic time.
    pub const FAST: u32 = 1 << 12;
    /// Allowed before authentication.
    pub const NO_AUTH: u32 = 1 << 13;
    /// May replicate although it is not a write.
    pub const MAY_REPLICATE: u32 = 1 << 14;
    /// Allowed while a script or another command keeps the server busy.
    pub const ALLOW_BUSY: u32 = 1 << 15;
    /// Must not be queued in MULTI.
    pub const NO_MULTI: u32 = 1 << 16;
    /// Keys cannot be found from the table alone.
    pub const MOVABLE_KEYS: u32 = 1 << 17;
    /// Does not wait for asynchronous loading.
    pub const NO_ASYNC_LOADING: u32 = 1 << 18;
    /// Firn: touches the whole keyspace; every partition is locked.
    pub const ALL_KEYS: u32 = 1 << 19;
    /// Firn: reads the keyspace page by page ([`crate::engine::unit::Unit::scan`]); runs off the
    /// worker, with no partition locked.
    pub const SCANS: u32 = 1 << 21;
    /// Firn: frees space; may use the log's reserve when the disk is full.
    pub const FREES: u32 = 1 << 20;
    /// Firn: logs values, or items of values, that are not in the request; their size bounds its
    /// frame ([`super::Copies`]).
    pub const COPIES: u32 = 1 << 22;
    /// Firn: moves items between its keys, whose values together stay as long as they were. With
    /// [`COPIES`], because the items are logged.
    pub const POOLS: u32 = 1 << 24;
    /// Firn: may come upon keys that no argument names, when it has options.
    pub const REACHES: u32 = 1 << 25;
    /// Firn: reads nothing but the members that its arguments behind the key name.
    pub const MEMBERS: u32 = 1 << 26;
    /// Firn: a command for the system, not for applications (COMMAND DOCS `syscmd`).
    pub const SYSTEM: u32 = 1 << 27;
    /// Firn: looks at none of its keys' values, which it removes or puts others in the place of,
    /// unless [`super::Spec::looks`] says so.
    pub const REPLACES: u32 = 1 << 28;
    /// Firn: an argument names another database, where it has a key too.
    pub const OTHER_DATABASE: u32 = 1 << 23;
}

/// Families, in Redis's names (COMMAND DOCS `group`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Group {
    /// `generic`
    Generic,
    /// `string`
    String,
    /// `list`
    List,
    /// `hash`
    Hash,
    /// `set`
    Set,
    /// `sorted-set`
    SortedSet,
    /// `bitmap`
    Bitmap,
    /// `hyperloglog`
    HyperLogLog,
    /// `geo`
    Geo,
    /// `stream`
    Stream,
    /// `connection`
    Connection,
    /// `server`
    Server,
    /// `transactions`
    Transactions,
}

/// Flags of a key specification. Bits.
pub mod key_flag {
    /// RO
    pub const RO: u32 = 1 << 0;
    /// RW
    pub const RW: u32 = 1 << 1;
    /// OW
    pub const OW: u32 = 1 << 2;
    /// RM
    pub const RM: u32 = 1 << 3;
    /// access
    pub const ACCESS: u32 = 1 << 4;
    /// update
    pub const UPDATE: u32 = 1 << 5;
    /// insert
    pub const INSERT: u32 = 1 << 6;
    /// delete
    pub const DELETE: u32 = 1 << 7;
    /// not_key
    pub const NOT_KEY: u32 = 1 << 8;
    /// incomplete
    pub const INCOMPLETE: u32 = 1 << 9;
    /// variable_flags
    pub const VARIABLE_FLAGS: u32 = 1 << 10;
}

/// Where a search for keys begins.
#[derive(Clone, Copy, Debug)]
pub enum BeginSearch {
    /// At an argument index (the command's name is 0).
    Index(i32),
    /// Behind a keyword, searched from an index (negative: from the end).
    Keyword(&'static str, i32),
    /// Told by no rule: see [`Spec::more_keys`].
    Unknown,
}

/// How keys follow the begin.
#[derive(Clone, Copy, Debug)]
pub enum FindKeys {
    /// From the begin to `last` (relative; -1 is the last argument), every `step`; `limit` as in
    /// Redis.
    Range {
        /// Last, relative to the begin.
        last: i32,
        /// Step.
        step: i32,
        /// Limit.
        limit: i32,
    },
    /// A count stands at `count` (relative to the begin), keys from `first`, every `step`.
    KeyNum {
        /// Index of the count.
        count: i32,
        /// Index of the first key.
        first: i32,
        /// Step.
        step: i32,
    },
    /// Told by no rule.
    Unknown,
}

/// One key specification.
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    /// Where the search begins.
    pub begin: BeginSearch,
    /// How keys follow.
    pub find: FindKeys,
    /// [`key_flag`] bits.
    pub flags: u32,
    /// A note for COMMAND INFO.
    pub notes: &'static str,
}

/// Type of an argument in COMMAND DOCS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ArgKind {
    /// `string`
    String,
    /// `integer`
    Integer,
    /// `double`
    Double,
    /// `key`
    Key,
    /// `pattern`
    Pattern,
    /// `unix-time`
    UnixTime,
    /// `pure-token`
    PureToken,
    /// `oneof`
    OneOf,
    /// `block`
    Block,
}

/// One argument in COMMAND DOCS.
#[derive(Clone, Copy, Debug)]
pub struct Arg {
    /// Name.
    pub name: &'static str,
    /// Type.
    pub kind: ArgKind,
    /// What a syntax shows in its place, or "" for the name.
    pub display: &'static str,
    /// The token in front of it, or "".
    pub token: &'static str,
    /// Whether it may be left out.
    pub optional: bool,
    /// Whether it may be repeated.
    pub multiple: bool,
    /// Whether its token is repeated with it.
    pub multiple_token: bool,
    /// Index of its key specification, for keys.
    pub key_spec: Option<u8>,
    /// First version, where later than the command's, or "".
    pub since: &'static str,
    /// Arguments inside (`oneof`, `block`).
    pub inner: &'static [Arg],
}

impl Arg {
    /// A required argument without a token; the other constructors of a row start from it.
    pub const fn new(name: &'static str, kind: ArgKind) -> Arg {
        Arg {
            name,
            kind,
            display: "",
            token: "",
            optional: false,
            multiple: false,
            multiple_token: false,
            key_spec: None,
            since: "",
            inner: &[],
        }
    }
}

/// One row: everything that COMMAND, COMMAND DOCS, ACL categories and the dispatch need to know.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Lower case; a subcommand's is its own word (`usage`).
    pub name: &'static str,
    /// Arguments with the name: exactly n, or at least -n.
    pub arity: i32,
    /// [`flag`] bits.
    pub flags: u32,
    /// ACL categories beyond those that flags and group imply, as Redis names them (`keyspace`,
    /// `dangerous`).
    pub acl: &'static [&'static str],
    /// Where its keys are.
    pub keys: &'static [KeySpec],
    /// Family.
    pub group: Group,
    /// First version of Redis that had it.
    pub since: &'static str,
    /// Big O.
    pub complexity: &'static str,
    /// One sentence of our own.
    pub summary: &'static str,
    /// Arguments, for COMMAND DOCS.
    pub args: &'static [Arg],
    /// Tips, as Redis names them (`nondeterministic_output`).
    pub tips: &'static [&'static str],
    /// Version and words of a deprecation, and the replacement.
    pub deprecated: Option<(&'static str, &'static str)>,
    /// (version, what changed).
    pub history: &'static [(&'static str, &'static str)],
    /// Rows of subcommands, for containers.
    pub subcommands: &'static [Spec],
    /// A key that specifications find not, or not in every call.
    pub more_keys: Option<MoreKeys>,
    /// For a command whose frame may be longer than its request; see [`Spec::extra_frame_bytes`].
    pub extra_bytes: Option<ExtraBytes>,
    /// For a command that may make a value longer than what it logs; see
    /// [`Spec::value_bytes_after`].
    pub length_after: Option<LengthAfter>,
    /// For a command with [`flag::COPIES`]: what of the values of its keys enters its frame.
    pub copies: Copies,
    /// Which member of its first key it looks up first. A hint.
    pub first_member: FirstMember,
    /// For a command with [`flag::REPLACES`]: whether a call looks at the values nevertheless.
    pub looks: Option<fn(&Args<'_>) -> bool>,
}

/// Which member of a collection a call looks up first, mostly.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FirstMember {
    /// None, or the arguments do not tell.
    Unknown,
    /// The one that the argument with this index names.
    Named(usize),
    /// One at random, by the first number that the unit gives it.
    Random,
}

/// From the arguments of a call to the index of a key among them, and its [`key_flag`] bits.
pub type MoreKeys = fn(args: &Args<'_>) -> Option<(usize, u32)>;

/// From the arguments of a call and the number of databases to bytes of its frame.
pub type ExtraBytes = fn(args: &Args<'_>, databases: u32) -> u64;

/// From the arguments of a call, the length of a value before it and a bound of its frame, in
/// bytes, to the length of the value after it.
pub type LengthAfter = fn(args: &Args<'_>, before: u64, frame_bytes: u64) -> u64;

/// [`LengthAfter`] of a command that adds what it logs to the value.
pub const GROWS: LengthAfter = |_, before, frame_bytes| before.saturating_add(frame_bytes);

/// What of the values of its keys a call logs at most (D6).
#[derive(Clone, Copy, Debug)]
pub enum Copies {
    /// One of them, or a value as long as the longest.
    Longest,
    /// That of the first key, which goes as a whole to the last. Whether nothing is copied where
    /// the last holds something; none where the arguments make no sense.
    Whole(fn(args: &Args<'_>) -> Option<bool>),
    /// All but that of the first key, over which one is written that is made of them.
    Sources,
    /// What the arguments say of the sizes of the values, in the order of their keys, in bytes.
    Sized(fn(args: &Args<'_>, sizes: &[ValueSize]) -> u64),
    /// What the arguments choose of one of them, in bytes: removals.
    Chosen(fn(args: &Args<'_>, value: ValueRef<'_>) -> u64),
}

impl Spec {
    /// An empty row to override with struct update syntax.
    pub const EMPTY: Spec = Spec {
        name: "",
        arity: 1,
        flags: 0,
        acl: &[],
        keys: &[],
        group: Group::Generic,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "",
        args: &[],
        tips: &[],
        deprecated: None,
        history: &[],
        subcommands: &[],
        more_keys: None,
        extra_bytes: None,
        length_after: None,
        copies: Copies::Longest,
        first_member: FirstMember::Unknown,
        looks: None,
    };

    /// Whether a call looks at none of its keys' values.
    #[inline]
    pub fn replaces(&self, args: &Args<'_>) -> bool {
        self.flags & flag::REPLACES != 0 && !self.looks.is_some_and(|looks| looks(args))
    }

    /// A bound of the bytes that the frame of a call has beyond those of its request, on a server
    /// with so many databases. The log's room is reserved by it before anything changes (D6).
    #[inline]
    pub fn extra_frame_bytes(&self, args: &Args<'_>, databases: u32) -> u64 {
        self.extra_bytes.map_or(0, |extra_bytes| extra_bytes(args, databases))
    }

    /// A bound of what a call with [`flag::COPIES`] logs of the values of its keys, in their order.
    pub fn copied_bytes<'v>(
        &self,
        args: &Args<'_>,
        values: impl Iterator<Item = Option<ValueRef<'v>>>,
    ) -> u64 {
        if let Copies::Chosen(chosen) = self.copies {
            return values.flatten().map(|value| chosen(args, value)).max().unwrap_or(0);
        }
        let size = |value: Option<ValueRef<'_>>| value.map_or(ValueSize::default(), |v| v.size());
        let sizes: SmallVec<[ValueSize; 8]> = values.map(size).collect();
        self.copied_bytes_of(args, &sizes)
    }

    /// As [`Spec::copied_bytes`], of values of which only the sizes are known.
    pub fn copied_bytes_of(&self, args: &Args<'_>, sizes: &[ValueSize]) -> u64 {
        let bytes = sizes.iter().map(|size| size.bytes);
        match self.copies {
            Copies::Longest | Copies::Whole(_) | Copies::Chosen(_) => bytes.max().unwrap_or(0),
            Copies::Sources => bytes.skip(1).fold(0, u64::saturating_add),
            Copies::Sized(copied) => copied(args, sizes),
        }
    }

    /// The value that a call carries as a whole from one of its `count` keys to another.
    pub fn whole_copy(&self, args: &Args<'_>, count: usize) -> Option<WholeCopy> {
        let Copies::Whole(keeps) = self.copies else { return None };
        let keeps = keeps(args)?;
        (count > 1).then(|| WholeCopy { from: 0, to: count - 1, keeps })
    }

    /// A bound of the length of a value after a call that does not copy other values, when it had
    /// at most `before` bytes and the frame of the call has at most `frame_bytes`.
    pub fn value_bytes_after(&self, args: &Args<'_>, before: u64, frame_bytes: u64) -> u64 {
        match self.length_after {
            Some(length_after) => length_after(args, before, frame_bytes),
            None => before.max(frame_bytes),
        }
    }
}

/// What a data command is handed.
pub struct Call<'c, 'e, 'o> {
    /// The locked partitions of its keys, and the frame its effects go to.
    pub unit: &'c mut Unit<'e>,
    /// The logical database.
    pub db: u32,
    /// Arguments; 0 is the command's name.
    pub args: &'c Args<'c>,
    /// The directives about encodings.
    pub encodings: &'c Encodings,
    /// Longest string that a command may make, in bytes.
    pub string_bytes_max: u64,
    /// Where the reply goes.
    pub reply: &'c mut Reply<'o>,
    /// Whether the call may wait for a key.
    pub may_block: bool,
    /// What the call waits for, instead of a reply.
    pub block: Option<Block>,
}

/// A failure that becomes an error reply. Nothing was changed or logged by the command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// `WRONGTYPE Operation against a key holding the wrong kind of value`
    WrongType,
    /// `ERR syntax error`
    Syntax,
    /// `ERR value is not an integer or out of range`
    NotInteger,
    /// `ERR value is not a valid float`
    NotFloat,
    /// `ERR no such key`
    NoSuchKey,
    /// Any other text, with its prefix (`ERR ...`).
    Text(std::borrow::Cow<'static, str>),
    /// Any other text that quotes bytes of the client.
    Quoting(Vec<u8>),
}

impl Failure {
    /// A fixed text with its prefix.
    pub const fn text(text: &'static str) -> Failure {
        Failure::Text(std::borrow::Cow::Borrowed(text))
    }

    /// A text of pieces, some of which are [`quoted`] words of the client.
    pub fn quoting(pieces: &[&[u8]]) -> Failure {
        Failure::Quoting(pieces.concat())
    }
}

/// A word of the client as errors quote it: up to its first zero byte.
pub fn quoted(word: &[u8]) -> &[u8] {
    word.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// A data command's function.
pub type Run = fn(&mut Call<'_, '_, '_>) -> Result<(), Failure>;

/// A row and its function.
pub struct Command {
    /// The row.
    pub spec: Spec,
    /// The function.
    pub run: Run,
}

#[cfg(test)]
mod tests {
    use super::super::testing::with_args;
    use super::Spec;
    use crate::engine::unit::ValueSize;

    #[test]
    fn copies_are_bounded_by_the_sizes_of_values() {
        let size = |bytes, item_bytes| ValueSize { bytes, item_bytes };
        let sizes = [size(10, 10), size(20, 5), size(30, 3)];
        let copied = |args: &[&str], sizes: &[ValueSize]| {
            let row = crate::catalog::table::lookup(args[0].as_bytes()).expect("a command");
            with_args(args, |args| row.spec.copied_bytes_of(args, sizes))
        };
        assert_eq!(copied(&["SUNIONSTORE", "d", "a", "b"], &sizes), 50);
        assert_eq!(copied(&["SDIFFSTORE", "d", "a", "b"], &sizes), 30);
        let pop = |args: &[&str]| copied(args, &[size(1000, 30)]);
        assert_eq!((pop(&["SPOP", "s"]), pop(&["SPOP", "s", "3"])), (30, 90));
        assert_eq!(pop(&["SPOP", "s", "9223372036854775807"]), 1000);
        assert_eq!((pop(&["SPOP", "s", "x"]), pop(&["SPOP", "s", "-1"])), (0, 0));
    }

    #[test]
    fn a_value_is_no_longer_than_what_is_logged_of_it() {
        let after = |before| {
            with_args(&["SET", "a", "abc"], |args| Spec::EMPTY.value_bytes_after(args, before, 300))
        };
        assert_eq!(after(7), 300);
        assert_eq!(after(400), 400);
    }
}
