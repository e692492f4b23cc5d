//! Clients that all use one partition are gathered on few workers.
//!
//! Whoever writes to a hot key has to take turns anyway. On several workers each turn costs lines
//! of memory that go from core to core, and waits for the lock; on one it costs nothing. So a
//! client whose pipelines all write to one partition, which another worker's clients use too, moves
//! to the worker that the partition is assigned to, and back when it does something else. Readers
//! take turns as well, but what they do beside takes longer than their turns: they share half of
//! the workers, beginning with that one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::spread::Team;

/// Batches between two decisions.
const WINDOW: u32 = 64;
/// Of them, how many have to come after another worker's before a client moves. Workers that share
/// a core take long turns.
const SHARED_MIN: u32 = 2;
/// A client that moved stays as long as so many batches went to its partition.
const STAYS_MIN: u32 = WINDOW / 2;

/// The worker that a client belongs to.
#[derive(Debug)]
pub struct Home {
    index: usize,
    /// How many belong there.
    count: Arc<AtomicUsize>,
}

impl Home {
    /// One client more belongs to worker `index`; `count` counts them.
    pub fn new(index: usize, count: Arc<AtomicUsize>) -> Home {
        count.fetch_add(1, Ordering::Relaxed);
        Home { index, count }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How the latest batches of a client went.
#[derive(Debug)]
pub struct Crowding {
    home: Home,
    partition: Option<usize>,
    /// Whether a batch since the last decision wrote there.
    writes: bool,
    batches: u32,
    /// Of them, how many left replies that wait for the disk.
    waited: u32,
    alike: u32,
    shared: u32,
}

impl Crowding {
    /// A client that belongs to this worker.
    pub fn new(home: Home) -> Crowding {
        Crowding {
            home,
            partition: None,
            writes: false,
            batches: 0,
            waited: 0,
            alike: 0,
            shared: 0,
        }
    }

    /// Notes a batch, which used this partition alone and may have written there, or did anything
    /// else; `is_shared` says that another worker was there since the one before, `waits` that its
    /// replies wait for the disk.
    pub fn note(&mut self, used: Option<(usize, bool)>, is_shared: bool, waits: bool) {
        self.batches += 1;
        self.waited += u32::from(waits);
        let (partition, writes) = used.unzip();
        self.writes |= writes == Some(true);
        if partition.is_some() && partition == self.partition {
            self.alike += 1;
            self.shared += u32::from(is_shared);
        } else {
            self.partition = partition;
            (self.alike, self.shared) = (0, 0);
        }
    }

    /// Which worker had better serve the client than worker `here`, if one.
    pub fn better_worker(&mut self, here: usize, team: Team) -> Option<usize> {
        if self.batches < WINDOW {
            return None;
        }
        // Who does both stays where it is.
        let quarters = if here == team.place(self.home.index, true) { 1 } else { 3 };
        let waits = 4 * self.waited > quarters * self.batches;
        let home = team.place(self.home.index, waits);
        let beside = if self.writes { 0 } else { home % (team.serving / 2).max(1) };
        let assigned = self.partition.map(|partition| (partition + beside) % team.serving);
        let is_crowded = self.alike + 1 >= WINDOW && self.shared >= SHARED_MIN;
        let stays = self.alike >= STAYS_MIN && assigned == Some(here);
        let wanted = match assigned {
            Some(assigned) if is_crowded => assigned,
            _ if here == home || stays => here,
            _ => home,
        };
        (self.writes, self.batches, self.waited) = (false, 0, 0);
        (self.alike, self.shared) = (0, 0);
        (wanted != here).then_some(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITES: Option<(usize, bool)> = Some((7, true));
    const READS: Option<(usize, bool)> = Some((7, false));

    fn all(workers: usize) -> Team {
        Team { workers, serving: workers }
    }

    fn at(home: usize) -> Crowding {
        Crowding::new(Home::new(home, Arc::default()))
    }

    fn note(crowding: &mut Crowding, count: u32, used: Option<(usize, bool)>, is_shared: bool) {
        (0..count).for_each(|_| crowding.note(used, is_shared, false));
    }

    #[test]
    fn who_crowds_a_partition_goes_to_its_worker_and_comes_back() {
        let mut crowding = at(0);
        note(&mut crowding, WINDOW - 1, WRITES, true);
        assert_eq!(crowding.better_worker(0, all(4)), None, "too early to say");
        note(&mut crowding, 1, WRITES, true);
        assert_eq!(crowding.better_worker(0, all(4)), Some(3));
        // There, nobody is in the way any more.
        note(&mut crowding, WINDOW, WRITES, false);
        assert_eq!(crowding.better_worker(3, all(4)), None);
        note(&mut crowding, WINDOW, None, false);
        assert_eq!(crowding.better_worker(3, all(4)), Some(0));
    }

    #[test]
    fn readers_share_half_of_the_workers_and_writers_one() {
        let worker_of = |home: usize, used| {
            let mut crowding = at(home);
            // One batch more than a window: the first only names the partition.
            note(&mut crowding, WINDOW + 1, used, true);
            crowding.better_worker(home, all(8)).unwrap_or(home)
        };
        let workers = |used| {
            let mut workers: Vec<_> = (0..8).map(|home| worker_of(home, used)).collect();
            workers.sort_unstable();
            workers.dedup();
            workers
        };
        assert_eq!(workers(READS), [0, 1, 2, 7]);
        assert_eq!(workers(WRITES), [7]);
        let mut mixed = at(2);
        note(&mut mixed, WINDOW, READS, true);
        note(&mut mixed, 1, WRITES, true);
        assert_eq!(mixed.better_worker(2, all(8)), Some(7), "who also writes counts as a writer");
    }

    #[test]
    fn who_is_alone_or_wants_many_partitions_stays() {
        let mut crowding = at(0);
        note(&mut crowding, WINDOW, WRITES, false);
        assert_eq!(crowding.better_worker(0, all(4)), None);
        for partition in 0..WINDOW as usize {
            crowding.note(Some((partition, true)), true, false);
        }
        assert_eq!(crowding.better_worker(0, all(4)), None);
        note(&mut crowding, WINDOW, None, true);
        assert_eq!(crowding.better_worker(0, all(4)), None);
    }

    #[test]
    fn a_client_at_the_worker_of_its_partition_stays() {
        let mut crowding = at(3);
        note(&mut crowding, WINDOW, WRITES, true);
        assert_eq!(crowding.better_worker(3, all(4)), None);
    }

    #[test]
    fn clients_move_to_the_workers_that_serve_their_kind() {
        let few = Team { workers: 8, serving: 2 };
        let mut crowding = at(5);
        note(&mut crowding, WINDOW, None, false);
        assert_eq!(crowding.better_worker(5, few), Some(7));
        let half = |crowding: &mut Crowding| {
            (0..WINDOW).for_each(|number| crowding.note(None, false, number % 2 == 0));
        };
        half(&mut crowding);
        assert_eq!(crowding.better_worker(7, few), None, "it reads as much as it writes");
        (0..WINDOW).for_each(|_| crowding.note(None, false, true));
        assert_eq!(crowding.better_worker(7, few), Some(1), "its batches wait for the disk");
        half(&mut crowding);
        assert_eq!(crowding.better_worker(1, few), None, "it writes as much as it reads");
        note(&mut crowding, WINDOW, None, false);
        assert_eq!(crowding.better_worker(1, few), Some(7));
        note(&mut crowding, WINDOW, None, false);
        assert_eq!(crowding.better_worker(7, all(8)), Some(5));
    }
}
