//! What a delta record does to a collection.

use crate::error::DecodeError;

use super::decoder::Decoder;
use super::varint;

/// One change of a collection. Items are encoded as `format-spec/values.md` says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Edit<'a> {
    /// Hash, set, sorted set, facts of a stream: these items are there now, in place of those of
    /// the same member.
    Put {
        /// Member items, end to end.
        items: &'a [u8],
    },
    /// Hash, set, sorted set, facts of a stream: these members are gone.
    Remove {
        /// Member items without payload, end to end.
        members: &'a [u8],
    },
    /// List: these elements are at an end now, pushed one after the other.
    Push {
        /// Whether at the head.
        front: bool,
        /// Elements, end to end.
        elements: &'a [u8],
    },
    /// List: these elements are gone.
    Cut {
        /// Index of the first.
        index: u64,
        /// How many.
        count: u64,
    },
    /// List: this element stands at an index now, in place of another.
    Set {
        /// Its index.
        index: u64,
        /// The element.
        element: &'a [u8],
    },
    /// List: this element stands at an index now; those from there on have moved.
    Insert {
        /// Its index.
        index: u64,
        /// The element.
        element: &'a [u8],
    },
    /// Stream: this entry is the last now.
    Append {
        /// Whether it begins a chunk.
        begins_chunk: bool,
        /// The entry.
        entry: &'a [u8],
    },
    /// Stream: the entries of these IDs are gone, deleted by name.
    Delete {
        /// IDs, end to end.
        ids: &'a [u8],
    },
    /// Stream: so many of the first entries are gone.
    Trim {
        /// How many.
        count: u64,
    },
    /// Stream: its numbers are these now.
    Renumber {
        /// The numbers.
        numbers: &'a [u8],
    },
    /// Stream: it is this one now, whatever it was.
    Stream {
        /// All of it.
        whole: &'a [u8],
    },
}

/// Operation bytes on disk; none is ever reused.
mod operation {
    pub const PUT: u8 = 1;
    pub const REMOVE: u8 = 2;
    pub const PUSH_BACK: u8 = 3;
    pub const PUSH_FRONT: u8 = 4;
    pub const CUT: u8 = 5;
    pub const SET: u8 = 6;
    pub const INSERT: u8 = 7;
    pub const APPEND: u8 = 8;
    pub const APPEND_CHUNK: u8 = 9;
    pub const DELETE: u8 = 10;
    pub const TRIM: u8 = 11;
    pub const RENUMBER: u8 = 12;
    pub const STREAM: u8 = 13;
}

impl<'a> Edit<'a> {
    /// The bytes that it ends with.
    pub fn trailing_bytes(&self) -> &'a [u8] {
        match *self {
            Edit::Put { items: bytes }
            | Edit::Remove { members: bytes }
            | Edit::Push { elements: bytes, .. }
            | Edit::Set { element: bytes, .. }
            | Edit::Insert { element: bytes, .. }
            | Edit::Append { entry: bytes, .. }
            | Edit::Delete { ids: bytes }
            | Edit::Renumber { numbers: bytes }
            | Edit::Stream { whole: bytes } => bytes,
            Edit::Cut { .. } | Edit::Trim { .. } => &[],
        }
    }

    /// Appends all but the bytes that it ends with, of which `trailing_len` follow.
    pub(super) fn encode_head(&self, trailing_len: u64, out: &mut Vec<u8>) {
        let (operation, numbers) = match *self {
            Edit::Put { .. } => (operation::PUT, [None, None]),
            Edit::Remove { .. } => (operation::REMOVE, [None, None]),
            Edit::Push { front: false, .. } => (operation::PUSH_BACK, [None, None]),
            Edit::Push { front: true, .. } => (operation::PUSH_FRONT, [None, None]),
            Edit::Cut { index, count } => (operation::CUT, [Some(index), Some(count)]),
            Edit::Set { index, .. } => (operation::SET, [Some(index), None]),
            Edit::Insert { index, .. } => (operation::INSERT, [Some(index), None]),
            Edit::Append { begins_chunk: false, .. } => (operation::APPEND, [None, None]),
            Edit::Append { begins_chunk: true, .. } => (operation::APPEND_CHUNK, [None, None]),
            Edit::Delete { .. } => (operation::DELETE, [None, None]),
            Edit::Trim { count } => (operation::TRIM, [Some(count), None]),
            Edit::Renumber { .. } => (operation::RENUMBER, [None, None]),
            Edit::Stream { .. } => (operation::STREAM, [None, None]),
        };
        out.push(operation);
        numbers.into_iter().flatten().for_each(|number| varint::encode(number, out));
        if !matches!(operation, operation::CUT | operation::TRIM) {
            varint::encode(trailing_len, out);
        }
    }

    /// The whole change in bytes of its own.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let trailing = self.trailing_bytes();
        self.encode_head(trailing.len() as u64, &mut bytes);
        bytes.extend_from_slice(trailing);
        bytes
    }

    /// What [`Edit::to_bytes`] gave.
    ///
    /// # Errors
    /// When the bytes are no change of a collection.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Edit<'a>, DecodeError> {
        let mut input = Decoder::new(bytes);
        let edit = Edit::decode(&mut input)?;
        input.end()?;
        Ok(edit)
    }

    pub(super) fn decode(input: &mut Decoder<'a>) -> Result<Edit<'a>, DecodeError> {
        Ok(match input.u8()? {
            operation::PUT => Edit::Put { items: input.prefixed()? },
            operation::REMOVE => Edit::Remove { members: input.prefixed()? },
            operation::PUSH_BACK => Edit::Push { front: false, elements: input.prefixed()? },
            operation::PUSH_FRONT => Edit::Push { front: true, elements: input.prefixed()? },
            operation::CUT => Edit::Cut { index: input.varint()?, count: input.varint()? },
            operation::SET => Edit::Set { index: input.varint()?, element: input.prefixed()? },
            operation::INSERT => {
                Edit::Insert { index: input.varint()?, element: input.prefixed()? }
            }
            operation::APPEND => Edit::Append { begins_chunk: false, entry: input.prefixed()? },
            operation::APPEND_CHUNK => {
                Edit::Append { begins_chunk: true, entry: input.prefixed()? }
            }
            operation::DELETE => Edit::Delete { ids: input.prefixed()? },
            operation::TRIM => Edit::Trim { count: input.varint()? },
            operation::RENUMBER => Edit::Renumber { numbers: input.prefixed()? },
            operation::STREAM => Edit::Stream { whole: input.prefixed()? },
            _ => return Err(input.error(1, "unknown change of a collection")),
        })
    }
}
