//! How a unit stores whole values: copies, renames and collections made elsewhere, by handle where
//! they are large.

use bytes::Bytes;

use crate::format::edit::Edit;
use crate::format::record::{DeleteReason, Record, StringValue};
use crate::keyspace::object::ValueHandle;
use crate::limits::VALUE_INLINE_BYTES_MAX;
use crate::types::{KeyspaceId, Lsn, ValueKind};
use crate::value::collection::Collection;
use crate::value::string::StringHandle;

use super::unit::{Key, Unit};

/// A string on its way into the keyspace.
#[derive(Clone, Debug)]
pub enum NewString<'a> {
    /// Copied.
    Copied(&'a [u8]),
    /// Kept by reference where it is large.
    Shared(Bytes),
}

impl NewString<'_> {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            NewString::Copied(bytes) => bytes,
            NewString::Shared(bytes) => bytes,
        }
    }

    /// A handle for a large value; small ones are copied into their entry.
    pub(super) fn handle(&self) -> Option<ValueHandle> {
        if self.bytes().len() <= VALUE_INLINE_BYTES_MAX {
            return None;
        }
        Some(ValueHandle::String(StringHandle::from(match self {
            NewString::Shared(bytes) => bytes.clone(),
            NewString::Copied(bytes) => Bytes::copy_from_slice(bytes),
        })))
    }
}

impl Unit<'_> {
    /// Moves a live value with its deadline over `to`. Nothing is copied but the log's record.
    pub fn rename(&mut self, from: &Key<'_>, to: &Key<'_>) {
        self.copy(from, to);
        self.remove(from, DeleteReason::Command);
    }

    /// Copies a live value with its deadline over `to`, by reference where it is large.
    pub fn copy(&mut self, from: &Key<'_>, to: &Key<'_>) {
        let partition = &self.guards[self.guard_of(from.position)].1.partition;
        let keyspace = self.keyspace(from);
        let source = partition.find(keyspace, from.position, from.bytes);
        let source = source.expect("the source of a copy is live");
        let (expire_at_ms, raw, lsn) = (source.expire_at_ms(), source.raw(), source.lsn());
        match source.handle().expect("the source of a copy has a value") {
            ValueHandle::String(StringHandle::Flat(bytes))
                if bytes.len() <= VALUE_INLINE_BYTES_MAX =>
            {
                let value = StringValue { bytes: &bytes, raw };
                self.put_value(to, value, None, expire_at_ms);
            }
            ValueHandle::String(string) => {
                let (value, handle) =
                    (StringValue { bytes: &[], raw }, ValueHandle::String(string));
                self.put_value(to, value, Some(handle), expire_at_ms);
            }
            collection => match self.publish((keyspace, from.bytes, lsn), to.bytes) {
                Some(stage) => self.put_staged(to, stage, collection, expire_at_ms),
                None => self.put_collection(to, collection, expire_at_ms),
            },
        }
    }

    /// The number of the stage that holds a source as it is, for this destination. It stays open
    /// until the frame that publishes it has its LSN.
    fn publish(&self, source: (KeyspaceId, &[u8], Lsn), to: &[u8]) -> Option<u64> {
        self.staged.iter().find_map(|staged| staged.publish(source, to))
    }

    /// As [`Unit::put_collection`], of a collection that the log holds already.
    fn put_staged(
        &mut self,
        key: &Key<'_>,
        stage: u64,
        collection: ValueHandle,
        expire_at_ms: Option<u64>,
    ) {
        let before = self.before_write(key);
        let record = Record::PutStaged {
            keyspace: self.keyspace(key),
            key: key.bytes,
            expire_at_ms,
            stage,
            counts: before.counts_of_put(expire_at_ms),
        };
        self.write(key.position, &record, before.seat, Some(collection));
    }

    /// The key now holds this collection with this deadline, whatever it held. The collection is
    /// not empty.
    pub fn put_collection(&mut self, key: &Key<'_>, value: ValueHandle, expire_at_ms: Option<u64>) {
        let before = self.before_write(key);
        let (keyspace, key_bytes, position) = (self.keyspace(key), key.bytes, key.position);
        let seat = before.seat;
        match value {
            ValueHandle::String(_) => unreachable!("a string is no collection"),
            ValueHandle::Packed(blob) => {
                let counts = before.counts_of_put(expire_at_ms);
                let (key, blob) = (key_bytes, &blob[..]);
                let record = Record::PutPacked { keyspace, key, expire_at_ms, blob, counts };
                self.write(position, &record, seat, None);
            }
            ValueHandle::Collection(collection) => {
                let record = Record::Edit {
                    keyspace,
                    key: key_bytes,
                    creates: true,
                    shape: collection.shape(),
                    edit: whole(&collection),
                    counts: before.counts_of_put(None),
                };
                let handle = Some(ValueHandle::Collection(collection));
                self.write(key.position, &record, seat, handle);
                if expire_at_ms.is_some() {
                    self.set_expiry(key, expire_at_ms);
                }
            }
        }
    }
}

/// The change that makes an empty collection this one; its bytes follow by reference.
pub(super) fn whole(collection: &Collection) -> Edit<'static> {
    match collection.kind() {
        ValueKind::List => Edit::Push { front: false, elements: &[] },
        ValueKind::Stream => Edit::Stream { whole: &[] },
        _ => Edit::Put { items: &[] },
    }
}
