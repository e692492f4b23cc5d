//! What an entry points to when its value does not stand inside it.

use bytes::Bytes;

use crate::limits::PACKED_ITEMS_MAX;
use crate::types::{Lsn, ValueKind};
use crate::value::collection::Collection;
use crate::value::packed;
use crate::value::score;
use crate::value::string::{PagedString, StringHandle, StringRef};
use crate::value::view::{self, AnyItem};

use super::entry::EntryRef;

/// A value outside its entry.
#[derive(Clone, Debug)]
pub enum Object {
    /// A string.
    String(StringHandle),
    /// A large collection.
    Collection(Box<Collection>),
    /// A value that nobody has read yet.
    Pending(Pending),
}

/// What memory has instead of a cold value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pending {
    /// Deltas that wait for their base (only after recovery).
    pub deltas: Vec<Delta>,
    /// Whether it is known that the parts hold the key, and its entry has its deadline: enough to
    /// remove it or to put something else in its place.
    pub is_known: bool,
}

/// A delta record, kept until the value that it changes has been read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delta {
    /// LSN of its frame.
    pub lsn: Lsn,
    /// What it does.
    pub change: DeltaChange,
}

/// What a delta does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DeltaChange {
    /// The deadline is now this.
    Expire(Option<u64>),
    /// These bytes stand at this offset.
    WriteRange {
        /// First byte written.
        offset: u64,
        /// The bytes.
        bytes: Bytes,
    },
    /// A collection changes.
    Edit {
        /// Kind and encoding afterwards.
        shape: u8,
        /// The change, encoded.
        edit: Box<[u8]>,
    },
}

/// A live value as a reader sees it.
#[derive(Clone, Copy, Debug)]
pub enum ValueRef<'a> {
    /// A string.
    String(StringRef<'a>),
    /// A small collection: kind and encoding, then the items.
    Packed(&'a [u8]),
    /// A large collection.
    Collection(&'a Collection),
}

/// How much of a value a record may hold, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ValueSize {
    /// A bound of what a record of the whole value has beyond its head, and one of a sorted set
    /// with these members and any scores; 0 where there is none.
    pub bytes: u64,
    /// A bound of the same for one item of a collection.
    pub item_bytes: u64,
}

impl ValueSize {
    /// A bound of what a record of so many items of the value has beyond its head.
    pub fn of_items(&self, count: u64) -> u64 {
        self.item_bytes.saturating_mul(count).min(self.bytes)
    }
}

impl<'a> ValueRef<'a> {
    /// What it is.
    pub fn kind(&self) -> ValueKind {
        match self {
            ValueRef::String(_) => ValueKind::String,
            ValueRef::Packed(blob) => packed::kind(blob).expect("a blob in memory is valid"),
            ValueRef::Collection(collection) => collection.kind(),
        }
    }

    /// The items of a collection, in its order where it has one; none of a string.
    pub fn items(&self) -> Box<dyn Iterator<Item = AnyItem<'a>> + 'a> {
        match *self {
            ValueRef::String(_) => Box::new(std::iter::empty()),
            ValueRef::Packed(blob) => view::packed_items(blob),
            ValueRef::Collection(collection) => view::items(collection),
        }
    }

    /// Bytes that it takes, as a part counts them, or in memory where it is a large collection.
    pub fn stored_bytes(&self) -> u64 {
        match self {
            ValueRef::String(string) => string.len(),
            ValueRef::Packed(blob) => blob.len() as u64 - 1,
            ValueRef::Collection(collection) => collection.memory_bytes(),
        }
    }

    /// Its size, as a record of it would have it.
    pub fn size(&self) -> ValueSize {
        let whole = |bytes| ValueSize { bytes, item_bytes: bytes };
        match self {
            ValueRef::String(string) => whole(string.len()),
            ValueRef::Packed(blob) => {
                let scores = PACKED_ITEMS_MAX * score::SCORE_BYTES_MAX;
                whole((packed::plain_len(blob) + scores) as u64)
            }
            // More than scores take, and in a list what uniform elements take beyond it when each
            // is encoded for itself.
            ValueRef::Collection(collection) => ValueSize {
                bytes: collection.memory_bytes() + collection.len() * score::SCORE_BYTES_MAX as u64,
                item_bytes: collection.longest_item_bytes(),
            },
        }
    }
}

impl ValueHandle {
    /// The value as a reader sees it.
    pub fn as_value(&self) -> ValueRef<'_> {
        match self {
            ValueHandle::String(string) => ValueRef::String(string.as_string()),
            ValueHandle::Packed(blob) => ValueRef::Packed(blob),
            ValueHandle::Collection(collection) => ValueRef::Collection(collection),
        }
    }
}

/// A value by handle: cloning it copies nothing that is large.
#[derive(Clone, Debug)]
pub enum ValueHandle {
    /// A string.
    String(StringHandle),
    /// A small collection.
    Packed(Vec<u8>),
    /// A large collection.
    Collection(Box<Collection>),
}

impl Object {
    /// Memory behind the pointer, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        let inner = match self {
            Object::String(StringHandle::Flat(bytes)) => bytes.len() as u64,
            Object::String(StringHandle::Paged(paged)) => paged.memory_bytes(),
            Object::Collection(collection) => {
                size_of::<Collection>() as u64 + collection.memory_bytes()
            }
            Object::Pending(waiting) => waiting.deltas.iter().map(Delta::memory_bytes).sum(),
        };
        size_of::<Object>() as u64 + inner
    }

    /// Whether it takes long to free.
    pub fn is_large(&self) -> bool {
        match self {
            Object::String(StringHandle::Paged(_)) | Object::Collection(_) => true,
            Object::String(StringHandle::Flat(_)) | Object::Pending(_) => false,
        }
    }

    /// What a checkpoint would write of it, about, in bytes; none for what is written as a whole.
    pub fn dirty_bytes(&self) -> Option<u64> {
        match self {
            Object::String(StringHandle::Paged(paged)) => Some(paged.dirty_bytes()),
            Object::Collection(collection) => Some(collection.chunks().dirty_bytes()),
            Object::String(StringHandle::Flat(_)) | Object::Pending(_) => None,
        }
    }

    /// Gives everything changed under a provisional LSN its LSN.
    pub fn stamp(&mut self, lsn: Lsn) {
        match self {
            Object::String(StringHandle::Paged(paged)) => paged.stamp(lsn),
            // Its chunks have the LSN of their entry when they are taken.
            Object::Collection(_) | Object::String(StringHandle::Flat(_)) | Object::Pending(_) => {}
        }
    }

    /// Ends a capture: when what it took was not installed, it is dirty again.
    pub fn end_capture(&mut self, installed: bool) {
        match self {
            Object::String(StringHandle::Paged(paged)) => paged.end_capture(installed),
            Object::Collection(collection) => collection.chunks_mut().end_capture(installed),
            Object::String(StringHandle::Flat(_)) | Object::Pending(_) => {}
        }
    }

    /// The pages, for a large string.
    pub fn paged(&self) -> Option<&PagedString> {
        match self {
            Object::String(StringHandle::Paged(paged)) => Some(paged),
            _ => None,
        }
    }

    /// The pages, for a large string.
    pub fn paged_mut(&mut self) -> Option<&mut PagedString> {
        match self {
            Object::String(StringHandle::Paged(paged)) => Some(paged),
            _ => None,
        }
    }
}

impl Delta {
    fn memory_bytes(&self) -> u64 {
        let bytes = match &self.change {
            DeltaChange::Expire(_) => 0,
            DeltaChange::WriteRange { bytes, .. } => bytes.len() as u64,
            DeltaChange::Edit { edit, .. } => edit.len() as u64,
        };
        size_of::<Delta>() as u64 + bytes
    }
}

impl<'a> EntryRef<'a> {
    /// The deadline that the newest pending delta sets, with its LSN.
    pub fn pending_deadline(self) -> Option<(Lsn, Option<u64>)> {
        let Some(Object::Pending(waiting)) = self.object() else {
            return None;
        };
        waiting.deltas.iter().rev().find_map(|delta| match delta.change {
            DeltaChange::Expire(expire_at_ms) => Some((delta.lsn, expire_at_ms)),
            DeltaChange::WriteRange { .. } | DeltaChange::Edit { .. } => None,
        })
    }

    /// Whether deltas wait for their base.
    pub fn has_deltas(self) -> bool {
        matches!(self.object(), Some(Object::Pending(waiting)) if !waiting.deltas.is_empty())
    }

    /// Whether all is known of a pending key but its value.
    pub fn is_known(self) -> bool {
        matches!(self.object(), Some(Object::Pending(Pending { is_known: true, .. })))
    }

    /// The value, unless this is a tombstone or pending.
    pub fn value(self) -> Option<ValueRef<'a>> {
        let raw = self.raw();
        let string = match self.object() {
            None if self.is_packed() => return self.packed().map(ValueRef::Packed),
            None => StringRef::Flat { bytes: self.inline()?, shared: None, raw },
            Some(Object::Pending(_)) => return None,
            Some(Object::Collection(collection)) => return Some(ValueRef::Collection(collection)),
            Some(Object::String(StringHandle::Paged(paged))) => StringRef::Paged(paged),
            Some(Object::String(StringHandle::Flat(bytes))) => {
                StringRef::Flat { bytes, shared: Some(bytes), raw }
            }
        };
        Some(ValueRef::String(string))
    }

    /// The value by handle, unless this is a tombstone or pending.
    pub fn handle(self) -> Option<ValueHandle> {
        Some(match self.object() {
            Some(Object::String(handle)) => ValueHandle::String(handle.clone()),
            Some(Object::Collection(collection)) => ValueHandle::Collection(collection.clone()),
            Some(Object::Pending(_)) => return None,
            None => match self.packed() {
                Some(blob) => ValueHandle::Packed(blob.to_vec()),
                None => {
                    let bytes = Bytes::copy_from_slice(self.inline()?);
                    ValueHandle::String(StringHandle::Flat(bytes))
                }
            },
        })
    }

    /// The value, when it is a string.
    pub fn string(self) -> Option<StringRef<'a>> {
        match self.value()? {
            ValueRef::String(string) => Some(string),
            _ => None,
        }
    }
}
