//! One simulated file: what reads see, what the disk surely holds, and the changes between.
//!
//! Data is kept or lost by the sector. Changes of the length are metadata: a file system
//! journals them in order, so one survives only when those before it do.

use super::fault::Survival;
use super::sim_image::Image;

/// Unit in which a disk writes atomically, in bytes.
pub(super) const SECTOR_BYTES: u64 = 512;

#[derive(Clone)]
enum Change {
    Len {
        number: u64,
        len: u64,
    },
    /// Whole sectors, as they read after the write: a disk never holds a later write of a
    /// sector without the earlier ones.
    Sectors {
        number: u64,
        offset: u64,
        bytes: Vec<u8>,
    },
}

/// A file without its names.
#[derive(Clone, Default)]
pub(super) struct SimInode {
    current: Image,
    durable: Image,
    changes: Vec<Change>,
    /// Disk space taken: up to the furthest byte ever written or reserved.
    pub(super) reserved_bytes: u64,
    /// Open handles.
    pub(super) handle_count: usize,
}

impl SimInode {
    pub(super) fn current(&self) -> &Image {
        &self.current
    }

    /// Writes without syncing; `numbers` is the source of change numbers.
    pub(super) fn write(&mut self, bytes: &[u8], offset: u64, numbers: &mut u64) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len() as u64;
        if end > self.current.len() {
            self.set_len(end, numbers);
        }
        self.current.put(bytes, offset);
        let first = offset / SECTOR_BYTES * SECTOR_BYTES;
        let sector_count = (end - first).div_ceil(SECTOR_BYTES);
        let mut sectors = vec![0; (sector_count * SECTOR_BYTES) as usize];
        self.current.copy(&mut sectors, first);
        self.changes.push(Change::Sectors { number: *numbers, offset: first, bytes: sectors });
        *numbers += sector_count;
        self.reserve(end);
    }

    pub(super) fn set_len(&mut self, len: u64, numbers: &mut u64) {
        if len < self.current.len() {
            self.reserved_bytes = self.reserved_bytes.min(round_up(len));
        }
        self.current.set_len(len);
        self.changes.push(Change::Len { number: *numbers, len });
        *numbers += 1;
    }

    /// Takes space for the first `len` bytes.
    pub(super) fn reserve(&mut self, len: u64) {
        self.reserved_bytes = self.reserved_bytes.max(round_up(len));
    }

    /// Makes every change durable.
    pub(super) fn sync(&mut self) {
        for change in self.changes.drain(..) {
            match change {
                Change::Len { len, .. } => self.durable.set_len(len),
                Change::Sectors { offset, bytes, .. } => self.durable.put(&bytes, offset),
            }
        }
    }

    /// A failed sync: the changes stay readable, and no later sync will write them.
    pub(super) fn drop_changes(&mut self) {
        self.changes.clear();
    }

    /// Number of the oldest change that is not durable.
    pub(super) fn oldest_change(&self) -> Option<u64> {
        self.changes.first().map(|change| match change {
            Change::Len { number, .. } | Change::Sectors { number, .. } => *number,
        })
    }

    /// The file as a power cut leaves it.
    pub(super) fn after_power_cut(&self, survival: &mut Survival) -> SimInode {
        let mut image = self.durable.clone();
        let mut journal_goes_on = true;
        for change in &self.changes {
            match change {
                Change::Len { number, len } => {
                    journal_goes_on = journal_goes_on && survival.keeps_name(*number);
                    if journal_goes_on {
                        image.set_len(*len);
                    }
                }
                Change::Sectors { number, offset, bytes } => {
                    let sectors = bytes.chunks(SECTOR_BYTES as usize);
                    for (index, sector) in (0..).zip(sectors) {
                        if survival.keeps_data(number + index) {
                            image.put(sector, offset + index * SECTOR_BYTES);
                        }
                    }
                }
            }
        }
        image.trim();
        SimInode {
            reserved_bytes: round_up(image.len()),
            current: image.clone(),
            durable: image,
            changes: Vec::new(),
            handle_count: 0,
        }
    }

    /// Inverts bits of one byte wherever it is kept, as decay of the medium would.
    pub(super) fn flip(&mut self, byte_offset: u64, mask: u8) {
        self.current.flip(byte_offset, mask);
        self.durable.flip(byte_offset, mask);
        for change in &mut self.changes {
            if let Change::Sectors { offset, bytes, .. } = change
                && let Some(index) = byte_offset.checked_sub(*offset)
                && let Some(byte) = bytes.get_mut(index as usize)
            {
                *byte ^= mask;
            }
        }
    }
}

fn round_up(len: u64) -> u64 {
    len.div_ceil(SECTOR_BYTES) * SECTOR_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::random::Random;

    const SECTOR: usize = SECTOR_BYTES as usize;

    fn synced(bytes: &[u8], numbers: &mut u64) -> SimInode {
        let mut inode = SimInode::default();
        inode.write(bytes, 0, numbers);
        inode.sync();
        inode
    }

    /// What crashes with many seeds leave.
    fn crashes(inode: &SimInode, numbers: u64) -> Vec<Vec<u8>> {
        let crash = |seed| {
            let oldest = inode.oldest_change().unwrap_or(numbers);
            let mut survival = Survival::draw(&mut Random::new(seed), oldest..numbers);
            inode.after_power_cut(&mut survival).current.to_vec()
        };
        (0..200).map(crash).collect()
    }

    #[test]
    fn synced_bytes_survive_every_crash() {
        let mut numbers = 0;
        let inode = synced(&[7; 2000], &mut numbers);
        assert!(crashes(&inode, numbers).iter().all(|left| *left == [7; 2000]));
    }

    #[test]
    fn unsynced_sectors_are_old_or_new_and_tear_between() {
        let mut numbers = 0;
        let mut inode = synced(&[1; 4 * SECTOR], &mut numbers);
        inode.write(&[2; 2 * SECTOR], 300, &mut numbers);
        let old = inode.durable.to_vec();
        let new = inode.current.to_vec();
        let (mut kept, mut lost, mut torn, mut reordered) = (0, 0, 0, 0);
        for left in crashes(&inode, numbers) {
            let is_new: Vec<bool> = (0..3)
                .map(|sector| {
                    let range = sector * SECTOR..(sector + 1) * SECTOR;
                    assert!(
                        left[range.clone()] == old[range.clone()]
                            || left[range.clone()] == new[range.clone()]
                    );
                    left[range.clone()] == new[range]
                })
                .collect();
            assert_eq!(left[3 * SECTOR..], [1; SECTOR]);
            match is_new[..] {
                [true, true, true] => kept += 1,
                [false, false, false] => lost += 1,
                [false, _, true] => reordered += 1,
                _ => torn += 1,
            }
        }
        assert!(kept > 0 && lost > 0 && torn > 0 && reordered > 0);
    }

    #[test]
    fn power_cut_in_order_tears_a_write_at_its_moment() {
        let mut numbers = 0;
        let mut inode = synced(&[1; 3 * SECTOR], &mut numbers);
        let first = numbers;
        inode.write(&[2; 3 * SECTOR], 0, &mut numbers);
        for kept in 0..=3 {
            let mut survival = Survival::Before(first + kept as u64);
            let left = inode.after_power_cut(&mut survival).current.to_vec();
            let expected = [vec![2; kept * SECTOR], vec![1; (3 - kept) * SECTOR]].concat();
            assert_eq!(left, expected);
        }
    }

    #[test]
    fn sector_written_twice_may_hold_any_of_its_versions() {
        let mut numbers = 0;
        let mut inode = synced(&[1; 10], &mut numbers);
        inode.write(&[2; 5], 0, &mut numbers);
        inode.write(&[3; 5], 5, &mut numbers);
        let versions = [[1; 10], [2, 2, 2, 2, 2, 1, 1, 1, 1, 1], [2, 2, 2, 2, 2, 3, 3, 3, 3, 3]];
        let left = crashes(&inode, numbers);
        assert!(left.iter().all(|left| versions.iter().any(|v| left == v)));
        assert!(versions.iter().all(|v| left.iter().any(|left| left == v)));
    }

    #[test]
    fn unsynced_growth_may_be_lost_or_read_as_zeros() {
        let mut numbers = 0;
        let mut inode = synced(&[1; SECTOR], &mut numbers);
        inode.write(&[2; SECTOR], SECTOR as u64, &mut numbers);
        let left = crashes(&inode, numbers);
        let tails: Vec<&[u8]> = left.iter().map(|left| &left[SECTOR..]).collect();
        assert!(tails.contains(&[].as_slice()));
        assert!(tails.contains(&[0; SECTOR].as_slice()));
        assert!(tails.contains(&[2; SECTOR].as_slice()));
    }

    #[test]
    fn lost_length_change_takes_later_ones_with_it() {
        let mut numbers = 0;
        let mut inode = synced(&[1; 100], &mut numbers);
        inode.set_len(50, &mut numbers);
        inode.set_len(80, &mut numbers);
        let possible =
            [[1; 100].to_vec(), [1; 50].to_vec(), [[1; 50].as_slice(), &[0; 30]].concat()];
        let left = crashes(&inode, numbers);
        assert!(left.iter().all(|left| possible.contains(left)));
        assert!(possible.iter().all(|possible| left.contains(possible)));
    }

    #[test]
    fn failed_sync_drops_its_changes_for_good() {
        let mut numbers = 0;
        let mut inode = synced(&[1; 2 * SECTOR], &mut numbers);
        inode.write(&[2; SECTOR], 0, &mut numbers);
        inode.drop_changes();
        assert_eq!(inode.current.to_vec()[..SECTOR], [2; SECTOR]);
        inode.write(&[3; SECTOR], SECTOR as u64, &mut numbers);
        inode.sync();
        for left in crashes(&inode, numbers) {
            assert_eq!(left, [[1; SECTOR], [3; SECTOR]].concat());
        }
    }

    #[test]
    fn flipped_bit_outlives_a_later_sync() {
        let mut numbers = 0;
        let mut inode = synced(&[0; 600], &mut numbers);
        inode.write(&[0; 600], 0, &mut numbers);
        inode.flip(599, 0x80);
        inode.sync();
        assert_eq!(inode.durable.to_vec()[598..], [0, 0x80]);
    }
}
