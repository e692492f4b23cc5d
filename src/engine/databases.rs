//! Which keyspace each logical database stands for.
//!
//! FLUSHDB and SWAPDB only change this map; every shard keeps a reference to the current one, and
//! it is exchanged while all shards are locked. Compaction never looks here: it judges by the
//! MANIFEST.

use crate::format::manifest::FIRST_FRESH_KEYSPACE;
use crate::snapshot::DatabaseMap;
use crate::types::{KeyspaceId, Lsn};

/// The map at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Databases {
    keyspaces: Vec<KeyspaceId>,
    /// LSN of the last flush or swap of each database: the gate of a miss (D2).
    changed_at: Vec<Lsn>,
    next: KeyspaceId,
    lsn: Lsn,
}

impl Databases {
    /// Database n on keyspace n.
    pub fn new(count: u32) -> Databases {
        Databases {
            keyspaces: (0..count).collect(),
            changed_at: vec![0; count as usize],
            next: FIRST_FRESH_KEYSPACE,
            lsn: 0,
        }
    }

    /// The map that a MANIFEST holds, for at least `count` databases.
    pub fn restore(count: u32, map: &DatabaseMap) -> Databases {
        let mut databases = Databases::new(count);
        databases.set(&map.changed, map.lsn);
        databases.next = databases.next.max(map.next_keyspace);
        databases
    }

    /// The map as a MANIFEST holds it: the databases that do not stand on their own number.
    pub fn to_manifest(&self) -> DatabaseMap {
        let all = self.keyspaces.iter().enumerate().map(|(db, &keyspace)| (db as u32, keyspace));
        let changed = all.filter(|&(db, keyspace)| db != keyspace).collect();
        DatabaseMap { lsn: self.lsn, changed, next_keyspace: self.next }
    }

    /// The keyspace of a database.
    pub fn keyspace(&self, db: u32) -> KeyspaceId {
        self.keyspaces[db as usize]
    }

    /// LSN of the last flush or swap of a database.
    pub fn changed_at(&self, db: u32) -> Lsn {
        self.changed_at[db as usize]
    }

    /// LSN of the last change of the map.
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// The id that the next flush takes.
    pub fn next(&self) -> KeyspaceId {
        self.next
    }

    /// Whether some database stands for `keyspace`.
    pub fn is_live(&self, keyspace: KeyspaceId) -> bool {
        self.keyspaces.contains(&keyspace)
    }

    /// The databases' keyspaces in order.
    pub fn keyspaces(&self) -> &[KeyspaceId] {
        &self.keyspaces
    }

    /// Replaces the provisional LSN of the unit that has just been logged.
    pub fn stamp(&mut self, provisional: Lsn, lsn: Lsn) {
        for at in self.changed_at.iter_mut().chain([&mut self.lsn]) {
            if *at == provisional {
                *at = lsn;
            }
        }
    }

    /// Applies a `Databases` record. Databases beyond the configured count are kept too, so that
    /// lowering `databases` and raising it again loses nothing.
    pub fn set(&mut self, changed: &[(u32, KeyspaceId)], lsn: Lsn) {
        for &(db, keyspace) in changed {
            let known = self.keyspaces.len() as u32;
            for missing in known..=db {
                self.keyspaces.push(missing);
                self.changed_at.push(0);
            }
            self.keyspaces[db as usize] = keyspace;
            self.changed_at[db as usize] = lsn;
            if keyspace >= FIRST_FRESH_KEYSPACE {
                self.next = self.next.max(keyspace + 1);
            }
        }
        self.lsn = self.lsn.max(lsn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_takes_a_fresh_id_and_moves_the_gate() {
        let mut map = Databases::new(4);
        map.set(&[(1, map.next())], 7);
        assert_eq!(map.keyspace(1), FIRST_FRESH_KEYSPACE);
        assert_eq!((map.changed_at(0), map.changed_at(1), map.lsn()), (0, 7, 7));
        assert_eq!(map.next(), FIRST_FRESH_KEYSPACE + 1);
        assert!(!map.is_live(1) && map.is_live(0));
    }

    #[test]
    fn restored_pairs_give_the_same_map() {
        let mut map = Databases::new(3);
        map.set(&[(0, 2), (2, 0)], 9);
        let again = Databases::restore(3, &map.to_manifest());
        assert_eq!(again.keyspaces(), map.keyspaces());
    }

    #[test]
    fn a_database_beyond_the_count_is_kept() {
        let pairs = DatabaseMap { lsn: 3, changed: vec![(5, 70_000)], next_keyspace: 70_001 };
        let map = Databases::restore(2, &pairs);
        assert_eq!(map.keyspace(5), 70_000);
        assert_eq!(map.keyspace(4), 4);
    }
}
