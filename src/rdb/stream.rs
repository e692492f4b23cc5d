//! A stream as payloads carry it.

use bytes::Bytes;

pub use crate::value::stream_id::StreamId;

/// Fields and values of an entry, in order; a field may come twice. Entries share the bytes of
/// fields that their payload has once.
pub type Fields = Vec<(Bytes, Bytes)>;

/// A stream with its groups.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct StreamData {
    /// Its entries, in ascending order, from 0-1 on.
    pub entries: Vec<(StreamId, Fields)>,
    /// The last ID that was given out, not below that of the last entry.
    pub last_id: StreamId,
    /// The ID of the first entry; zero without entries.
    pub first_id: StreamId,
    /// The highest ID that was deleted by name.
    pub max_deleted_id: StreamId,
    /// How many entries were ever added.
    pub entries_added: u64,
    /// Its groups; no name comes twice.
    pub groups: Vec<Group>,
    /// How entries are added once.
    pub idempotence: Idempotence,
}

/// How entries are added once, and which were.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Idempotence {
    /// Seconds for which the name of an entry is known.
    pub duration_s: u64,
    /// Names that are known of a producer at most.
    pub max_ids: u64,
    /// Who added entries; no name comes twice.
    pub producers: Vec<Producer>,
    /// Entries that were ever added under a name.
    pub added: u64,
    /// Entries that were not, because their name was known.
    pub duplicates: u64,
}

impl Default for Idempotence {
    /// That of a new stream, where no directive says otherwise.
    fn default() -> Idempotence {
        Idempotence { duration_s: 100, max_ids: 100, producers: vec![], added: 0, duplicates: 0 }
    }
}

/// Who adds entries under names.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Producer {
    /// Its name.
    pub name: Bytes,
    /// The names of what it added, each once and the oldest first, and the entries.
    pub added: Vec<(Bytes, StreamId)>,
}

/// A consumer group.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Group {
    /// Its name.
    pub name: Bytes,
    /// The last ID that it delivered.
    pub last_id: StreamId,
    /// How many entries it read, where that is known.
    pub entries_read: Option<u64>,
    /// What was delivered and not acknowledged, by ID.
    pub pending: Vec<Pending>,
    /// Its consumers; no name comes twice. Each pending entry is that of exactly one of them, or
    /// of nobody.
    pub consumers: Vec<Consumer>,
    /// What is pending and nobody has, in the order in which it was given back. It has no time of
    /// delivery.
    pub released: Vec<StreamId>,
}

/// An entry that waits for its acknowledgement. It may have been deleted meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Pending {
    /// The entry.
    pub id: StreamId,
    /// When it was delivered last, in milliseconds since 1970.
    pub delivery_ms: u64,
    /// How often it was delivered.
    pub delivery_count: u64,
}

/// A consumer.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Consumer {
    /// Its name.
    pub name: Bytes,
    /// When it was heard of last, in milliseconds since 1970.
    pub seen_ms: u64,
    /// When it got or claimed something last, in milliseconds since 1970, if it ever did.
    pub active_ms: Option<u64>,
    /// What it has not acknowledged, by ID.
    pub pending: Vec<StreamId>,
}

impl StreamData {
    /// What `first_id` is of these entries.
    pub fn lowest_id(&self) -> StreamId {
        self.entries.first().map_or(StreamId::ZERO, |(id, _)| *id)
    }

    /// How many entries a group has read that stands at `id`, as Redis 7 guesses for streams from
    /// servers that did not count; they deleted nothing, as far as anybody knows.
    pub fn guessed_entries_read(&self, id: StreamId) -> Option<u64> {
        let count = self.entries.len() as u64;
        if count == 0 || id < self.lowest_id() {
            Some(0)
        } else if id == self.last_id {
            Some(count)
        } else {
            (id == self.lowest_id()).then_some(1)
        }
    }
}
