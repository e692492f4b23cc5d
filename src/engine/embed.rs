//! The engine as a library: plain calls that block until their durability is reached.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::format::record::DeleteReason;
use crate::limits::{KEY_BYTES_MAX, STRING_BYTES_MAX};
use crate::types::{Durability, Lsn};

use super::Engine;
use super::begin::{Begin, Intent};
use super::unit::{Key, NewString, ScanPage, Unit, ValueRef};

/// Bytes that a record takes beyond its key and value, at most.
const RECORD_OVERHEAD_BYTES: u64 = 64;

/// How long one wait for room is at most; then it is asked again.
const ROOM_WAIT: Duration = Duration::from_millis(100);

/// One change of a [`Batch`].
#[derive(Clone, Debug)]
enum Change {
    Set { value: Vec<u8>, ttl: Option<Duration> },
    Delete,
}

/// Changes that are applied together or not at all, in order.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    changes: Vec<(u32, Vec<u8>, Change)>,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Adds: the key of database `db` holds `value`, without a deadline.
    pub fn set(&mut self, db: u32, key: &[u8], value: &[u8]) -> &mut Batch {
        self.push(db, key, Change::Set { value: value.to_vec(), ttl: None })
    }

    /// Adds: the key holds `value` for `ttl`.
    pub fn set_for(&mut self, db: u32, key: &[u8], value: &[u8], ttl: Duration) -> &mut Batch {
        self.push(db, key, Change::Set { value: value.to_vec(), ttl: Some(ttl) })
    }

    /// Adds: the key is gone.
    pub fn delete(&mut self, db: u32, key: &[u8]) -> &mut Batch {
        self.push(db, key, Change::Delete)
    }

    fn push(&mut self, db: u32, key: &[u8], change: Change) -> &mut Batch {
        self.changes.push((db, key.to_vec(), change));
        self
    }

    /// Upper bound of the batch's frame, in bytes.
    fn frame_bytes(&self) -> u64 {
        let each = self.changes.iter().map(|(_, key, change)| match change {
            Change::Set { value, .. } => (key.len() + value.len()) as u64 + RECORD_OVERHEAD_BYTES,
            Change::Delete => key.len() as u64 + RECORD_OVERHEAD_BYTES,
        });
        // A key past its deadline is removed in the same frame before it is written.
        2 * each.sum::<u64>()
    }
}

impl Engine {
    /// The value of a key. Waits until the write it shows is durable, at level `always`.
    ///
    /// # Errors
    /// `WrongType` when the key holds no string, `Io` or `Corrupt` when its block cannot be read.
    pub fn get(&self, db: u32, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.check(db, key, 0)?;
        let keys = [self.key(db, key)];
        self.run(&keys, Intent::read(self.now_ms()), |unit| {
            Ok(unit.get(&keys[0]).map(|view| match view.value {
                ValueRef::String(value) => Ok(value.to_vec()),
                ValueRef::Packed(_) | ValueRef::Collection(_) => Err(Error::WrongType),
            }))
        })?
        .transpose()
    }

    /// Sets a key. On return the write is as durable as the options say (on disk by default).
    ///
    /// # Errors
    /// `DiskFull` (nothing changed), `LimitExceeded`, `Poisoned`.
    pub fn set(&self, db: u32, key: &[u8], value: &[u8]) -> Result<()> {
        let mut batch = Batch::new();
        batch.set(db, key, value);
        self.apply(&batch).map(drop)
    }

    /// Sets a key that is gone after `ttl`. Durable as [`Engine::set`].
    ///
    /// # Errors
    /// As [`Engine::set`].
    pub fn set_for(&self, db: u32, key: &[u8], value: &[u8], ttl: Duration) -> Result<()> {
        let mut batch = Batch::new();
        batch.set_for(db, key, value, ttl);
        self.apply(&batch).map(drop)
    }

    /// Removes a key; whether it was there. Durable as [`Engine::set`].
    ///
    /// # Errors
    /// As [`Engine::set`].
    pub fn delete(&self, db: u32, key: &[u8]) -> Result<bool> {
        let mut batch = Batch::new();
        batch.delete(db, key);
        self.apply(&batch).map(|removed| removed > 0)
    }

    /// Applies a batch as one frame: after a crash all of it is there, or nothing. Returns how many
    /// of its deletions met a key. Durable as [`Engine::set`].
    ///
    /// # Errors
    /// As [`Engine::set`]; nothing was changed then.
    pub fn apply(&self, batch: &Batch) -> Result<usize> {
        for (db, key, change) in &batch.changes {
            let value_bytes = if let Change::Set { value, .. } = change { value.len() } else { 0 };
            self.check(*db, key, value_bytes)?;
        }
        let keys: Vec<Key<'_>> =
            batch.changes.iter().map(|(db, key, _)| self.key(*db, key)).collect();
        let now_ms = self.now_ms();
        let frees = batch.changes.iter().all(|(.., change)| matches!(change, Change::Delete));
        let intent = Intent { frees, replaces: true, ..Intent::write(now_ms, batch.frame_bytes()) };
        self.run(&keys, intent, |unit| {
            let mut removed = 0;
            for (key, (.., change)) in keys.iter().zip(&batch.changes) {
                match change {
                    Change::Delete => {
                        removed += usize::from(unit.delete(key, DeleteReason::Command));
                    }
                    Change::Set { value, ttl } => {
                        let deadline = ttl.map(|ttl| now_ms.saturating_add(ttl.as_millis() as u64));
                        unit.put(key, NewString::Copied(value), deadline);
                    }
                }
            }
            Ok(removed)
        })
    }

    /// One page of all keys of a database in position order: start with cursor 0, go on with
    /// [`ScanPage::next`] until it is 0. A key that stays is met exactly once, whatever else
    /// changes, also across a reopening.
    ///
    /// # Errors
    /// `Io` or `Corrupt` when a block cannot be read.
    pub fn scan(&self, db: u32, cursor: u64, count: usize) -> Result<ScanPage> {
        self.check(db, b"", 0)?;
        let mut unit = self.begin_scan();
        let page = unit.scan(db, cursor, count)?;
        self.settle(unit.finish().observed)?;
        Ok(page)
    }

    fn run<T>(
        &self,
        keys: &[Key<'_>],
        intent: Intent,
        body: impl Fn(&mut Unit<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut pins = Vec::new();
        loop {
            match self.begin(keys, intent) {
                Begin::Ready(mut unit) => {
                    let result = body(&mut unit);
                    self.settle(unit.finish().observed)?;
                    return result;
                }
                Begin::Cold(fetch) => {
                    pins.push(self.pin(&fetch));
                    self.core.fetch_now(fetch)?;
                }
                Begin::Wait => self.core.wait_for_room(ROOM_WAIT),
                Begin::Refused(error) => return Err(error),
            }
        }
    }

    /// Waits for what a reply reveals (D1, D2).
    fn settle(&self, observed: Lsn) -> Result<()> {
        match self.core.options.durability {
            Durability::Always => self.core.wait_durable(observed),
            Durability::EverySec | Durability::No => Ok(()),
        }
    }

    fn check(&self, db: u32, key: &[u8], value_bytes: usize) -> Result<()> {
        let limit = |what| Err(Error::LimitExceeded { what });
        if db >= self.core.options.databases {
            return limit("database number");
        }
        if key.len() > KEY_BYTES_MAX {
            return limit("key length");
        }
        if value_bytes as u64 > STRING_BYTES_MAX {
            return limit("value length");
        }
        Ok(())
    }
}
