//! Keys that are kept in memory from their fetch until the command that asked for them has run.
//!
//! Without that a command on more cold keys than fit the budget would never find all of them at
//! once: what was loaded first would leave before the last had come.

use std::sync::Arc;

use crate::types::{KeyspaceId, Position};

use super::begin::ColdFetch;
use super::core::Core;

/// Keeps the keys of a fetch in memory until it is dropped.
pub struct Pinned {
    core: Arc<Core>,
    keys: Vec<(KeyspaceId, Position)>,
}

impl Pinned {
    pub(super) fn new(core: &Arc<Core>, fetch: &ColdFetch) -> Pinned {
        let places = fetch.keys.iter().map(|key| (key.keyspace, key.position));
        let pinned = |&(keyspace, position): &(KeyspaceId, Position)| {
            let shard = core.lock(core.shard_of(position));
            shard.map(|mut shard| shard.partition.pin(keyspace, position)).is_ok()
        };
        let keys = places.filter(pinned).collect();
        Pinned { core: core.clone(), keys }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        for &(keyspace, position) in &self.keys {
            // A poisoned engine has no use for pins.
            if let Ok(mut shard) = self.core.lock(self.core.shard_of(position)) {
                shard.partition.unpin(keyspace, position);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::{Begin, Engine, Intent};
    use crate::options::Options;

    #[test]
    fn a_command_on_more_cold_keys_than_fit_the_budget_runs() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { background: false, ..Options::new(dir.path()) };
        let engine = Engine::open(options).unwrap();
        let names: Vec<String> = (0..2000).map(|number| format!("key:{number}")).collect();
        for name in &names {
            engine.set(0, name.as_bytes(), &[b'v'; 500]).unwrap();
        }
        engine.reload().unwrap();
        engine.set_memory_bytes(1);
        let keys: Vec<_> = names.iter().map(|name| engine.key(0, name.as_bytes())).collect();
        let intent = Intent::read(engine.now_ms());
        let mut pins = Vec::new();
        loop {
            assert!(pins.len() < 100, "the keys never come together");
            match engine.begin(&keys, intent) {
                Begin::Ready(_) => break,
                Begin::Cold(fetch) => {
                    pins.push(engine.pin(&fetch));
                    engine.fetch(fetch, Box::new(|done| done.unwrap()));
                    engine.shrink_to_budget().unwrap();
                }
                Begin::Wait | Begin::Refused(_) => panic!("a read needs no room"),
            }
        }
        drop(pins);
        let before = engine.stats().resident_keys;
        engine.shrink_to_budget().unwrap();
        assert!(engine.stats().resident_keys < before);
    }
}
