//! One partition with what is exchanged under its lock: the parts behind it and the database map.

use std::sync::Arc;

use crate::io::random::Random;
use crate::keyspace::partition::Partition;
use crate::snapshot::part_set::PartSet;
use crate::types::{KeyspaceId, Lsn, Position};
use crate::value::string::PROVISIONAL_LSN;

use super::begin::{ColdFetch, ColdKey};
use super::databases::Databases;
use super::unit::Key;
use super::waiting::Waiting;

/// A partition behind its mutex. The set of parts is taken under the same lock hold that saw a
/// miss.
pub struct Shard {
    pub partition: Partition,
    pub parts: Arc<PartSet>,
    pub databases: Arc<Databases>,
    pub waiting: Waiting,
    /// What units pick at random by.
    pub random: Random,
    /// The thread that used it last.
    pub last_user: u32,
}

impl Shard {
    /// Remembers a key that must be fetched before a handler may look at it: a value that waits to
    /// be read, or a key that memory does not know and some part may hold. A handler that only
    /// `replaces` values needs none.
    pub fn note_if_cold(&self, key: &Key<'_>, replaces: bool, cold: &mut Vec<ColdKey>) {
        if !self.partition.has_cold() {
            return;
        }
        let keyspace = self.databases.keyspace(key.db);
        let known = self.partition.find(keyspace, key.position, key.bytes);
        let is_cold = match known {
            Some(entry) => entry.is_pending() && !(replaces && entry.is_known()),
            None => {
                self.partition.cold_keys(keyspace, key.position.slot()) > 0
                    && self.parts.may_contain(keyspace, key.position)
            }
        };
        if is_cold {
            cold.push(self.cold_key(keyspace, key.position, key.bytes.into(), !replaces));
        }
    }

    /// A key that is to be fetched, as it was missed now, with its value or without.
    pub fn cold_key(
        &self,
        keyspace: KeyspaceId,
        position: Position,
        key: Box<[u8]>,
        needs_value: bool,
    ) -> ColdKey {
        let departures = self.partition.departures(keyspace, position);
        let known = self.partition.find(keyspace, position, &key);
        let has_deltas = known.is_some_and(|entry| entry.has_deltas());
        let parts = self.parts.clone();
        ColdKey { keyspace, position, key, parts, departures, has_deltas, needs_value }
    }

    /// A fetch of keys whose deltas wait for their base.
    pub fn pending_fetch(&self, keys: Vec<(KeyspaceId, Position, Box<[u8]>)>) -> ColdFetch {
        let cold = |(keyspace, position, key)| self.cold_key(keyspace, position, key, true);
        ColdFetch { keys: keys.into_iter().map(cold).collect() }
    }

    /// LSN that a miss of this database reveals: its last flush (D2).
    pub fn floor(&self, db: u32) -> Lsn {
        known_lsn(self.databases.changed_at(db))
    }
}

/// An LSN that other units may know; what the unit under way has just changed has none yet, and its
/// replies wait for its own frame anyway.
pub fn known_lsn(lsn: Lsn) -> Lsn {
    if lsn == PROVISIONAL_LSN { 0 } else { lsn }
}
