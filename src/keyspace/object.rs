//! What an entry points to when its value does not stand inside it.

use bytes::Bytes;

use crate::types::Lsn;
use crate::value::string::{PagedString, StringHandle, StringRef};

use super::entry::EntryRef;

/// A value outside its entry.
#[derive(Clone, Debug)]
pub enum Object {
    /// A string.
    String(StringHandle),
    /// Deltas that wait for their cold base (only after recovery).
    Pending(Vec<Delta>),
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
}

impl Object {
    /// Memory behind the pointer, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        let inner = match self {
            Object::String(StringHandle::Flat(bytes)) => bytes.len() as u64,
            Object::String(StringHandle::Paged(paged)) => paged.memory_bytes(),
            Object::Pending(deltas) => deltas.iter().map(Delta::memory_bytes).sum(),
        };
        size_of::<Object>() as u64 + inner
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
        };
        size_of::<Delta>() as u64 + bytes
    }
}

impl<'a> EntryRef<'a> {
    /// The deadline that the newest pending delta sets, with its LSN.
    pub fn pending_deadline(self) -> Option<(Lsn, Option<u64>)> {
        let Some(Object::Pending(deltas)) = self.object() else {
            return None;
        };
        deltas.iter().rev().find_map(|delta| match delta.change {
            DeltaChange::Expire(expire_at_ms) => Some((delta.lsn, expire_at_ms)),
            DeltaChange::WriteRange { .. } => None,
        })
    }

    /// The string, unless this is a tombstone or pending.
    pub fn value(self) -> Option<StringRef<'a>> {
        let raw = self.raw();
        match self.object() {
            None => self.inline().map(|bytes| StringRef::Flat { bytes, shared: None, raw }),
            Some(Object::Pending(_)) => None,
            Some(Object::String(StringHandle::Paged(paged))) => Some(StringRef::Paged(paged)),
            Some(Object::String(StringHandle::Flat(bytes))) => {
                Some(StringRef::Flat { bytes, shared: Some(bytes), raw })
            }
        }
    }
}
