//! What a unit does to the whole keyspace: counts, flushes, swaps and scans. All shards are locked,
//! but for a unit that only scans.

use std::sync::Arc;

use crate::error::Error;
use crate::format::record::Record;
use crate::types::{KeyspaceId, Lsn};
use crate::value::string::PROVISIONAL_LSN;

use super::begin::Guards;
use super::core::{Core, Waste};
use super::databases::Databases;
use super::scan::{self, ScanPage};
use super::stats::add;
use super::unit::Unit;

/// Deadlines that are looked at in each partition for their mean.
const TTL_SAMPLE: usize = 8;

impl<'e> Unit<'e> {
    /// A unit that locks one shard at a time, to scan.
    pub(super) fn scanning(core: &'e Core) -> Unit<'e> {
        Unit::new(core, Guards::new(), core.now_ms(), None, None)
    }

    /// Number of logical databases.
    pub fn databases(&self) -> u32 {
        self.core.options.databases
    }

    /// Live keys of a database, and how many of them have a deadline. (All partitions are locked.)
    pub fn counts(&mut self, db: u32) -> (u64, u64) {
        self.assert_all_locked();
        self.observe_all();
        let keyspace = self.guards[0].1.databases.keyspace(db);
        let each = self.guards.iter().map(|(_, shard)| shard.partition.totals(keyspace));
        each.fold((0, 0), |sum, one| (sum.0 + one.keys, sum.1 + one.expires))
    }

    /// About the mean time that is left to the keys of a database with a deadline, in
    /// milliseconds, from a sample of those in memory. (All partitions are locked.)
    pub fn mean_ttl_ms(&self, db: u32) -> u64 {
        self.assert_all_locked();
        let keyspace = self.guards[0].1.databases.keyspace(db);
        let (mut sum, mut keys) = (0, 0);
        for (_, shard) in &self.guards {
            let sample = shard.partition.sample_ttl(keyspace, self.now_ms, TTL_SAMPLE);
            sum += u128::from(sample.0) * u128::from(sample.1);
            keys += u128::from(sample.1);
        }
        (sum / keys.max(1)) as u64
    }

    /// Empties a database in O(1). (All partitions are locked.)
    pub fn flush_db(&mut self, db: u32) {
        let fresh = self.guards[0].1.databases.next();
        self.change_databases(vec![(db, fresh)]);
    }

    /// Empties all databases. (All partitions are locked.)
    pub fn flush_all(&mut self) {
        let databases = &self.guards[0].1.databases;
        let fresh = databases.next();
        let count = databases.keyspaces().len() as u32;
        self.change_databases((0..count).map(|db| (db, fresh + db)).collect());
    }

    /// Exchanges two databases. (All partitions are locked.)
    pub fn swap_db(&mut self, a: u32, b: u32) {
        let databases = &self.guards[0].1.databases;
        let changed = vec![(a, databases.keyspace(b)), (b, databases.keyspace(a))];
        self.change_databases(changed);
    }

    fn change_databases(&mut self, changed: Vec<(u32, KeyspaceId)>) {
        self.assert_all_locked();
        let mut map = Databases::clone(&self.guards[0].1.databases);
        self.mark_watched(&map, &changed);
        let record = Record::Databases { changed };
        self.frame.push(&record);
        if let Record::Databases { changed } = &record {
            map.set(changed, PROVISIONAL_LSN);
        }
        self.databases_changed = true;
        self.exchange_databases(Arc::new(map));
    }

    /// Watched keys that exist before or after the change count as changed. Watches, and those who
    /// wait for keys, follow their database to its new keyspace.
    fn mark_watched(&mut self, map: &Databases, changed: &[(u32, KeyspaceId)]) {
        let moves: Vec<(KeyspaceId, KeyspaceId)> =
            changed.iter().map(|&(db, to)| (map.keyspace(db), to)).collect();
        for (_, shard) in &mut self.guards {
            shard.waiting.move_keyspaces(&moves);
            if shard.partition.watches().is_empty() {
                continue;
            }
            for &(from, to) in &moves {
                let (partition, parts) = (&shard.partition, &shard.parts);
                partition.mark_watched(from, to, self.now_ms, |keyspace, position, _| {
                    partition.cold_keys(keyspace, position.slot()) > 0
                        && parts.may_contain(keyspace, position)
                });
            }
            shard.partition.watches_mut().move_keyspaces(&moves);
        }
    }

    /// Gives all shards the new map and takes dead keyspaces out of memory, to be freed elsewhere.
    fn exchange_databases(&mut self, map: Arc<Databases>) {
        for (_, shard) in &mut self.guards {
            let held: Vec<KeyspaceId> = shard.partition.keyspaces().collect();
            for keyspace in held.into_iter().filter(|&keyspace| !map.is_live(keyspace)) {
                let dropped = shard.partition.remove_keyspace(keyspace);
                self.core.free_later(Waste::Keyspace(dropped));
            }
            shard.databases = map.clone();
        }
    }

    pub(super) fn stamp_databases(&mut self, lsn: Lsn) {
        let mut map = Databases::clone(&self.guards[0].1.databases);
        map.stamp(PROVISIONAL_LSN, lsn);
        let map = Arc::new(map);
        for (_, shard) in &mut self.guards {
            shard.databases = map.clone();
        }
    }

    /// The page of a scan at `cursor`, of about `count` keys. May read the disk: commands that call
    /// it carry the flag `SCANS` and run off the worker when keys are cold.
    pub fn scan(&mut self, db: u32, cursor: u64, count: usize) -> Result<ScanPage, Error> {
        let core = self.core;
        let mut page = scan::Page::new(cursor, count, self.now_ms);
        while !page.is_done() {
            let index = core.shard_of(page.position());
            let granule = if self.guards.is_empty() {
                page.gather(&*core.lock(index)?, db)
            } else {
                page.gather(&self.guards[index].1, db)
            };
            if !self.guards.is_empty() && granule.has_cold() {
                add(&core.stats.reads_under_lock);
            }
            page.finish_granule(granule)?;
        }
        self.observed = self.observed.max(page.observed());
        if let Some(deadline_ms) = page.hidden_ms() {
            self.observed = self.observed.max(core.mark_time(deadline_ms, self.now_ms));
        }
        Ok(page.into_page())
    }

    /// A live key at random, or none when the database is empty. As for [`Unit::scan`].
    pub fn random_key(&mut self, db: u32) -> Result<Option<Vec<u8>>, Error> {
        let start = self.core.random() >> (64 - scan::CURSOR_BITS);
        for begin in [start, 0] {
            let mut cursor = begin;
            loop {
                let mut page = self.scan(db, cursor, 16)?;
                if !page.keys.is_empty() {
                    let chosen = self.core.random() as usize % page.keys.len();
                    return Ok(Some(page.keys.swap_remove(chosen)));
                }
                cursor = page.next;
                if cursor == 0 {
                    break;
                }
            }
        }
        Ok(None)
    }

    /// The reply tells of the whole keyspace: it waits for the last frame (D2).
    fn observe_all(&mut self) {
        self.observed = self.observed.max(self.core.log.last_lsn());
    }

    fn assert_all_locked(&self) {
        assert_eq!(self.guards.len(), self.core.shards.len(), "needs all partitions locked");
    }
}
