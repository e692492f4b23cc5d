//! Clients that all write to one partition are gathered on one worker.
//!
//! Whoever writes to a hot key has to take turns anyway. On several workers each turn costs lines
//! of memory that go from core to core, and waits for the lock; on one it costs nothing. So a
//! client whose pipelines all write to one partition, to which another worker's clients write too,
//! moves to the worker that the partition is assigned to, and back when it does something else.
//! Readers stay where they are: they leave nothing behind that another core would have to fetch.

/// Batches between two decisions.
const WINDOW: u32 = 64;
/// Of them, how many have to come after another worker's before a client moves. Workers that share
/// a core take long turns.
const SHARED_MIN: u32 = 2;
/// A client that moved stays as long as so many batches went to its partition.
const STAYS_MIN: u32 = WINDOW / 2;

/// How the latest batches of a client went.
#[derive(Debug)]
pub struct Crowding {
    /// The worker that the client belongs to.
    home: usize,
    partition: Option<usize>,
    batches: u32,
    alike: u32,
    shared: u32,
}

impl Crowding {
    /// A client of this worker.
    pub fn new(home: usize) -> Crowding {
        Crowding { home, partition: None, batches: 0, alike: 0, shared: 0 }
    }

    /// Notes a batch, which wrote to this partition alone, or did anything else; `is_shared` says
    /// that another worker had written there since the one before.
    pub fn note(&mut self, partition: Option<usize>, is_shared: bool) {
        self.batches += 1;
        if partition.is_some() && partition == self.partition {
            self.alike += 1;
            self.shared += u32::from(is_shared);
        } else {
            self.partition = partition;
            (self.alike, self.shared) = (0, 0);
        }
    }

    /// Which of `workers` had better serve the client than worker `here`, if one.
    pub fn better_worker(&mut self, here: usize, workers: usize) -> Option<usize> {
        if self.batches < WINDOW {
            return None;
        }
        let assigned = self.partition.map(|partition| partition % workers);
        let is_crowded = self.alike + 1 >= WINDOW && self.shared >= SHARED_MIN;
        let stays = self.alike >= STAYS_MIN && assigned == Some(here);
        let wanted = match assigned {
            Some(assigned) if is_crowded => assigned,
            _ if here == self.home || stays => here,
            _ => self.home,
        };
        (self.batches, self.alike, self.shared) = (0, 0, 0);
        (wanted != here).then_some(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(crowding: &mut Crowding, count: u32, partition: Option<usize>, is_shared: bool) {
        (0..count).for_each(|_| crowding.note(partition, is_shared));
    }

    #[test]
    fn who_crowds_a_partition_goes_to_its_worker_and_comes_back() {
        let mut crowding = Crowding::new(0);
        note(&mut crowding, WINDOW - 1, Some(7), true);
        assert_eq!(crowding.better_worker(0, 4), None, "too early to say");
        note(&mut crowding, 1, Some(7), true);
        assert_eq!(crowding.better_worker(0, 4), Some(3));
        // There, nobody is in the way any more.
        note(&mut crowding, WINDOW, Some(7), false);
        assert_eq!(crowding.better_worker(3, 4), None);
        note(&mut crowding, WINDOW, None, false);
        assert_eq!(crowding.better_worker(3, 4), Some(0));
    }

    #[test]
    fn who_is_alone_or_wants_many_partitions_stays() {
        let mut crowding = Crowding::new(0);
        note(&mut crowding, WINDOW, Some(7), false);
        assert_eq!(crowding.better_worker(0, 4), None);
        for partition in 0..WINDOW as usize {
            crowding.note(Some(partition), true);
        }
        assert_eq!(crowding.better_worker(0, 4), None);
        note(&mut crowding, WINDOW, None, true);
        assert_eq!(crowding.better_worker(0, 4), None);
    }

    #[test]
    fn a_client_at_the_worker_of_its_partition_stays() {
        let mut crowding = Crowding::new(3);
        note(&mut crowding, WINDOW, Some(7), true);
        assert_eq!(crowding.better_worker(3, 4), None);
    }
}
