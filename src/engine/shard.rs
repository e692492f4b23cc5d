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
    /// Remembers a key that must be fetched before a handler may look at it: a delta that waits for
    /// its base, or a key that memory does not know and some part may hold.
    pub fn note_if_cold(&self, key: &Key<'_>, cold: &mut Vec<ColdKey>) {
        if !self.partition.has_cold() {
            return;
        }
        let keyspace = self.databases.keyspace(key.db);
        let known = self.partition.find(keyspace, key.position, key.bytes);
        let has_deltas = known.is_some_and(|entry| entry.is_pending());
        let is_cold = match known {
            Some(_) => has_deltas,
            None => {
                self.partition.cold_keys(keyspace, key.position.slot()) > 0
                    && self.parts.may_contain(keyspace, key.position)
            }
        };
        if is_cold {
            cold.push(self.cold_key(keyspace, key.position, key.bytes.into(), has_deltas));
        }
    }

    /// A key that is to be fetched, as it was missed now.
    pub fn cold_key(
        &self,
        keyspace: KeyspaceId,
        position: Position,
        key: Box<[u8]>,
        has_deltas: bool,
    ) -> ColdKey {
        let departures = self.partition.departures(keyspace, position);
        ColdKey { keyspace, position, key, parts: self.parts.clone(), departures, has_deltas }
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
