//! WATCH: flags that go up when a key changes.
//!
//! The registry holds flags, not connections. Watches stay with their database: when a flush gives
//! it a fresh keyspace, they move along.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::types::{KeyspaceId, Position};

/// One watcher of one key.
struct Watch {
    key: Box<[u8]>,
    flag: Arc<AtomicBool>,
}

/// Watched keys.
#[derive(Default)]
pub struct Watches {
    by_place: BTreeMap<(KeyspaceId, Position), Vec<Watch>>,
}

impl Watches {
    /// Sets `flag` when the key changes from here on.
    pub fn watch(
        &mut self,
        keyspace: KeyspaceId,
        position: Position,
        key: &[u8],
        flag: Arc<AtomicBool>,
    ) {
        let key = key.into();
        let watches = self.by_place.entry((keyspace, position)).or_default();
        watches.push(Watch { key, flag });
    }

    /// Forgets what `watch` was told, once for each call of it.
    pub fn unwatch(
        &mut self,
        keyspace: KeyspaceId,
        position: Position,
        key: &[u8],
        flag: &Arc<AtomicBool>,
    ) {
        let place = (keyspace, position);
        let Some(watches) = self.by_place.get_mut(&place) else {
            return;
        };
        let is_it = |watch: &Watch| &*watch.key == key && Arc::ptr_eq(&watch.flag, flag);
        if let Some(index) = watches.iter().position(is_it) {
            watches.swap_remove(index);
        }
        if watches.is_empty() {
            self.by_place.remove(&place);
        }
    }

    /// Whether nobody watches anything.
    pub fn is_empty(&self) -> bool {
        self.by_place.is_empty()
    }

    /// A key changed.
    pub fn mark(&self, keyspace: KeyspaceId, position: Position, key: &[u8]) {
        if self.by_place.is_empty() {
            return;
        }
        for watch in self.by_place.get(&(keyspace, position)).into_iter().flatten() {
            if &*watch.key == key {
                watch.flag.store(true, Ordering::Release);
            }
        }
    }

    /// Sets the flags of a keyspace's watched keys for which `changed` holds.
    pub fn mark_where(
        &self,
        keyspace: KeyspaceId,
        mut changed: impl FnMut(Position, &[u8]) -> bool,
    ) {
        let all = (keyspace, Position(0))..=(keyspace, Position(u64::MAX));
        for ((_, position), watches) in self.by_place.range(all) {
            for watch in watches {
                if changed(*position, &watch.key) {
                    watch.flag.store(true, Ordering::Release);
                }
            }
        }
    }

    /// Databases that stood for one keyspace stand for another: (from, to), all at once.
    pub fn move_keyspaces(&mut self, moves: &[(KeyspaceId, KeyspaceId)]) {
        if self.by_place.is_empty() {
            return;
        }
        for ((keyspace, position), watches) in std::mem::take(&mut self.by_place) {
            let moved = moves.iter().find(|(from, _)| *from == keyspace);
            let keyspace = moved.map_or(keyspace, |(_, to)| *to);
            let there = self.by_place.entry((keyspace, position)).or_default();
            there.extend(watches);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Position = Position(7);

    fn flag() -> Arc<AtomicBool> {
        Arc::new(AtomicBool::new(false))
    }

    #[test]
    fn only_the_watched_key_raises_the_flag() {
        let (mut watches, flag) = (Watches::default(), flag());
        watches.watch(1, AT, b"a", flag.clone());
        watches.mark(1, AT, b"b");
        watches.mark(2, AT, b"a");
        assert!(!flag.load(Ordering::Acquire));
        watches.mark(1, AT, b"a");
        assert!(flag.load(Ordering::Acquire));
    }

    #[test]
    fn unwatch_forgets_one_watcher() {
        let (mut watches, one, other) = (Watches::default(), flag(), flag());
        watches.watch(1, AT, b"a", one.clone());
        watches.watch(1, AT, b"a", other.clone());
        watches.unwatch(1, AT, b"a", &one);
        watches.mark(1, AT, b"a");
        assert!(!one.load(Ordering::Acquire));
        assert!(other.load(Ordering::Acquire));
        watches.unwatch(1, AT, b"a", &other);
        assert!(watches.is_empty());
    }

    #[test]
    fn watches_follow_swapped_databases() {
        let (mut watches, one, two) = (Watches::default(), flag(), flag());
        watches.watch(1, AT, b"a", one.clone());
        watches.watch(2, AT, b"a", two.clone());
        watches.move_keyspaces(&[(1, 2), (2, 1)]);
        watches.mark(2, AT, b"a");
        assert!(one.load(Ordering::Acquire));
        assert!(!two.load(Ordering::Acquire));
        watches.mark_where(1, |_, key| key == b"a");
        assert!(two.load(Ordering::Acquire));
    }
}
