//! Decompressed blocks of parts, so that a block asked for again costs no read. Bounded in bytes;
//! eviction is second chance (CLOCK), in shards so that readers rarely meet.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

const SHARD_COUNT: usize = 16;
/// A block may take at most one part in this many of its shard.
const SHARE_MAX: usize = 4;
/// What an entry costs beside its bytes, about.
const ENTRY_BYTES: usize = 96;

/// Part id and offset of a block.
type BlockId = (u64, u64);

/// A cache of blocks with a budget in bytes.
#[derive(Debug)]
pub struct BlockCache {
    shards: Vec<Mutex<Shard>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Debug, Default)]
struct Shard {
    blocks: HashMap<BlockId, (Bytes, bool)>,
    clock: VecDeque<BlockId>,
    used_bytes: usize,
    budget_bytes: usize,
}

impl BlockCache {
    /// A cache that holds about `budget_bytes`.
    pub fn new(budget_bytes: usize) -> BlockCache {
        let shard = || Shard { budget_bytes: budget_bytes / SHARD_COUNT, ..Shard::default() };
        BlockCache {
            shards: (0..SHARD_COUNT).map(|_| Mutex::new(shard())).collect(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    fn with_shard<R>(&self, (part, offset): BlockId, act: impl FnOnce(&mut Shard) -> R) -> R {
        let mixed = (part ^ offset.rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let shard = &self.shards[(mixed >> 32) as usize % SHARD_COUNT];
        act(&mut shard.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    /// The content of the block at `offset` of a part.
    pub fn get(&self, part_id: u64, offset: u64) -> Option<Bytes> {
        let found = self.with_shard((part_id, offset), |shard| {
            shard.blocks.get_mut(&(part_id, offset)).map(|(content, used)| {
                *used = true;
                content.clone()
            })
        });
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// Keeps the content of a block, unless it is too large to be worth the room.
    pub fn insert(&self, part_id: u64, offset: u64, content: Bytes) {
        let id = (part_id, offset);
        self.with_shard(id, |shard| shard.insert(id, content));
    }

    /// Forgets the blocks of a part.
    pub fn remove_part(&self, part_id: u64) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let shard = &mut *shard;
            shard.clock.retain(|id| id.0 != part_id);
            let used_bytes = &mut shard.used_bytes;
            shard.blocks.retain(|id, (content, _)| {
                let stays = id.0 != part_id;
                *used_bytes -= if stays { 0 } else { cost(content) };
                stays
            });
        }
    }

    /// Sets the budget; what is too much leaves with the next insertions.
    pub fn set_budget(&self, budget_bytes: usize) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            shard.budget_bytes = budget_bytes / SHARD_COUNT;
            shard.make_room(0);
        }
    }

    /// Memory in use, in bytes.
    pub fn memory_bytes(&self) -> usize {
        let used = |shard: &Mutex<Shard>| {
            shard.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).used_bytes
        };
        self.shards.iter().map(used).sum()
    }

    /// Blocks found and not found so far.
    pub fn hits_and_misses(&self) -> (u64, u64) {
        (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed))
    }
}

fn cost(content: &Bytes) -> usize {
    content.len() + ENTRY_BYTES
}

impl Shard {
    fn insert(&mut self, id: BlockId, content: Bytes) {
        let bytes = cost(&content);
        if bytes > self.budget_bytes / SHARE_MAX || self.blocks.contains_key(&id) {
            return;
        }
        self.make_room(bytes);
        self.used_bytes += bytes;
        self.blocks.insert(id, (content, false));
        self.clock.push_back(id);
    }

    fn make_room(&mut self, bytes: usize) {
        while self.used_bytes + bytes > self.budget_bytes {
            let Some(id) = self.clock.pop_front() else {
                return;
            };
            let (content, used) = self.blocks.get_mut(&id).expect("the clock names what is kept");
            if std::mem::take(used) {
                self.clock.push_back(id);
                continue;
            }
            self.used_bytes -= cost(content);
            self.blocks.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(bytes: usize) -> Bytes {
        Bytes::from(vec![7; bytes])
    }

    #[test]
    fn the_budget_is_kept_and_used_blocks_stay_longer() {
        let cache = BlockCache::new(16 * 100_000);
        for offset in 0..2_000 {
            cache.insert(1, offset, block(1_000));
            assert!(cache.get(1, 0).is_some(), "block 0 is in use, gone after {offset}");
        }
        assert!(cache.memory_bytes() <= 16 * 100_000);
        assert!(cache.memory_bytes() > 8 * 100_000);
        assert!((1..2_000).any(|offset| cache.get(1, offset).is_none()));
        cache.set_budget(0);
        assert_eq!(cache.memory_bytes(), 0);
    }

    #[test]
    fn large_blocks_do_not_wash_the_cache_out() {
        let cache = BlockCache::new(16 * 100_000);
        cache.insert(1, 0, block(30_000));
        assert!(cache.get(1, 0).is_none());
    }

    #[test]
    fn a_removed_part_leaves_nothing() {
        let cache = BlockCache::new(1 << 20);
        cache.insert(1, 8, block(10));
        cache.insert(2, 8, block(10));
        cache.remove_part(1);
        assert_eq!(cache.get(1, 8), None);
        assert_eq!(cache.get(2, 8), Some(block(10)));
        assert_eq!(cache.memory_bytes(), 10 + ENTRY_BYTES);
        assert_eq!(cache.hits_and_misses(), (1, 1));
    }
}
