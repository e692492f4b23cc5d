//! Compaction: neighbouring runs of parts are merged, so that a cold key has few parts to ask, and
//! what nobody can see any more leaves the disk.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use crate::error::{Error, Result};
use crate::snapshot::merge::{Merge, merge};
use crate::snapshot::part_reader::PartReader;
use crate::snapshot::part_set::PartSet;
use crate::snapshot::sweep::{Survey, Sweep};
use crate::snapshot::{Manifest, PartMeta};

use super::background::{Haste, Pacer};
use super::core::Core;
use super::stats::add;

/// Outputs of a merge are cut at this size, in bytes.
const PART_BYTES_MAX: u64 = 1 << 30;

/// Runs that may stand before any merge.
const RUNS_RELAXED: usize = 4;
/// Runs at which a merge is due whatever the sizes.
const RUNS_MAX: usize = 8;
/// A merge takes in the next older run while it is at most this many times what it has gathered.
const SIZE_RATIO: u64 = 2;

/// A part is swept when at least this share of it is dead.
const SWEPT_SHARE: u64 = 64;

/// With so many runs, checkpoints for the sake of memory wait for the merge under way.
const RUNS_STALLED: usize = 2 * RUNS_MAX;

impl Core {
    /// Whether a merge is under way that should end before there are more runs. A merge that fails
    /// keeps nobody waiting.
    pub fn merge_is_behind(&self) -> Result<bool> {
        let parts = self.lock(0)?.parts.clone();
        Ok(self.stats.compaction_running.load(Relaxed) > 0 && runs(&parts).len() >= RUNS_STALLED)
    }

    /// Merges the runs that [`plan`] names; whether there were any. Checkpoints go on meanwhile:
    /// they only add newer runs.
    pub fn compact(&self, haste: Haste) -> Result<bool> {
        let _turn = self.compacting.lock().map_err(|_| Core::closed())?;
        let mut swept = false;
        if self.log.is_full() {
            self.release_previous()?;
            swept = self.reclaim(haste)?;
        }
        let (parts, installed) = self.installed()?;
        let runs = runs(&parts);
        let sizes: Vec<u64> = runs.iter().map(|(_, bytes)| *bytes).collect();
        let Some(range) = plan(&sizes, self.room_for_merge()) else {
            return Ok(swept);
        };
        let bottom = range.end == runs.len();
        let chosen: Vec<u64> = runs[range].iter().map(|(run, _)| *run).collect();
        let is_input = |part: &&Arc<PartReader>| chosen.contains(&part.meta().run);
        let inputs: Vec<_> = parts.parts().iter().filter(is_input).cloned().collect();
        let merge = Merge {
            inputs: &inputs,
            bottom,
            is_dead: &|keyspace| installed.is_dead(keyspace),
            part_bytes_max: PART_BYTES_MAX,
            storage: &self.storage,
        };
        self.stats.compaction_running.store(1, Relaxed);
        let merged = self.merge_and_install(&merge, &chosen, haste);
        self.stats.compaction_running.store(0, Relaxed);
        add(if merged.is_ok() { &self.stats.compactions } else { &self.stats.compaction_failures });
        merged
    }

    /// The installed snapshot as it stands.
    fn installed(&self) -> Result<(Arc<PartSet>, Manifest)> {
        let snapshots = self.lock_snapshots()?;
        Ok((snapshots.parts.clone(), snapshots.manifest().clone()))
    }

    /// What a merge may write, in bytes. It gives as much back in the end, so where writes are
    /// refused for lack of room it may use what is kept for sweeps.
    fn room_for_merge(&self) -> u64 {
        match self.log.is_full() {
            true => self.log.room_beside_checkpoint(),
            false => self.log.room_for_segments(),
        }
    }

    /// Brings space back where the disk has no room for a merge (D6): parts are written anew one
    /// by one, the oldest first, without what nobody can see any more, until the log has room.
    /// Whether any was.
    fn reclaim(&self, haste: Haste) -> Result<bool> {
        let parts = self.lock_snapshots()?.parts.clone();
        let ids: Vec<u64> = parts.parts().iter().rev().map(|part| part.meta().id).collect();
        drop(parts);
        let mut outcome = Ok(false);
        for id in ids {
            match self.sweep(id, haste) {
                Ok(false) => continue,
                Ok(true) => outcome = outcome.map(|_| true),
                // What stands in the way of one part may not in that of another.
                Err(error) => outcome = Err(error),
            }
            // A failure shows in what is asked next.
            let _ = self.log.prepare_ahead();
            if !self.log.is_full() || self.closing.load(Acquire) {
                break;
            }
        }
        outcome
    }

    /// Sweeps a part where that is worth its while; whether it was. Nothing is left open: the old
    /// file goes at once.
    fn sweep(&self, id: u64, haste: Haste) -> Result<bool> {
        let mut pacer = Pacer::start(self, haste);
        let mut pace = || self.step(&mut pacer);
        let (parts, installed) = self.installed()?;
        let parts = parts.parts();
        let Some(part) = parts.iter().find(|part| part.meta().id == id) else {
            return Ok(false);
        };
        let PartMeta { run, file_bytes, .. } = *part.meta();
        let sweep = Sweep {
            part,
            newer: &parts[..parts.partition_point(|newer| newer.meta().run > run)],
            bottom: parts.last().is_some_and(|oldest| oldest.meta().run == run),
            is_dead: &|keyspace| installed.is_dead(keyspace),
        };
        let Some(Survey { live_bytes, dead_bytes }) = sweep.survey(&mut pace)? else {
            return Ok(false);
        };
        let all_bytes = live_bytes + dead_bytes;
        if dead_bytes == 0 || dead_bytes < all_bytes / SWEPT_SHARE {
            return Ok(false);
        }
        let output_bytes = file_bytes as u128 * live_bytes as u128 / all_bytes as u128;
        if output_bytes > self.log.room_beside_checkpoint() as u128 {
            return Err(Error::DiskFull);
        }
        let writer = self.new_part(&mut *self.lock_snapshots()?)?;
        let Some(output) = sweep.write(writer, &mut pace)? else {
            return Ok(false);
        };
        let mut snapshots = self.lock_snapshots()?;
        let mut next = snapshots.manifest().clone();
        next.parts.retain(|part| part.id != id);
        next.parts.push(output);
        // Twice, so that the MANIFEST before does not need the old part either.
        self.install(&mut snapshots, next.clone())?;
        self.install(&mut snapshots, next)?;
        add(&self.stats.compactions);
        Ok(true)
    }

    fn step(&self, pacer: &mut Pacer<'_>) -> ControlFlow<()> {
        pacer.step();
        match self.closing.load(Acquire) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    fn merge_and_install(&self, plan: &Merge<'_>, chosen: &[u64], haste: Haste) -> Result<bool> {
        let mut new_part = || self.new_part(&mut *self.lock_snapshots()?);
        let mut pacer = Pacer::start(self, haste);
        let mut pace = |_| self.step(&mut pacer);
        let Some(outputs) = merge(plan, &mut new_part, &mut pace)? else {
            return Ok(false);
        };
        let mut snapshots = self.lock_snapshots()?;
        let mut next = snapshots.manifest().clone();
        next.parts.retain(|part| !chosen.contains(&part.run));
        next.parts.extend(outputs);
        self.install(&mut snapshots, next)?;
        Ok(true)
    }
}

/// The runs of the installed snapshot with their bytes, newest first.
fn runs(parts: &PartSet) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for part in parts.parts() {
        let meta = part.meta();
        match runs.last_mut() {
            Some((run, bytes)) if *run == meta.run => *bytes += meta.file_bytes,
            _ => runs.push((meta.run, meta.file_bytes)),
        }
    }
    runs
}

/// Which runs to merge next, as a range of `sizes` (newest first), by the size-tiered rule:
/// starting from the newest, older runs join while they are not much larger than what has been
/// gathered. What is merged has at most `room_bytes` in all.
pub fn plan(sizes: &[u64], room_bytes: u64) -> Option<Range<usize>> {
    if sizes.len() <= RUNS_RELAXED {
        return None;
    }
    let fits = |range: &Range<usize>| sizes[range.clone()].iter().sum::<u64>() <= room_bytes;
    let tiers = (0..sizes.len() - 1).map(|start| start..start + tier_len(&sizes[start..]));
    tiers.filter(|tier| tier.len() > 2).find(fits).or_else(|| {
        let most = tier_len(sizes).max(RUNS_RELAXED);
        let is_due = sizes.len() >= RUNS_MAX;
        (2..=most).rev().map(|len| 0..len).find(|range| is_due && fits(range))
    })
}

fn tier_len(sizes: &[u64]) -> usize {
    let mut gathered = sizes[0];
    let mut len = 1;
    for &size in &sizes[1..] {
        if size > gathered.saturating_mul(SIZE_RATIO) {
            break;
        }
        gathered += size;
        len += 1;
    }
    len
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_runs_are_left_alone() {
        assert_eq!(plan(&[], u64::MAX), None);
        assert_eq!(plan(&[5, 5, 5, 5], u64::MAX), None);
    }

    #[test]
    fn runs_of_one_size_are_merged_and_a_large_old_one_is_not() {
        assert_eq!(plan(&[5, 5, 5, 5, 1000], u64::MAX), Some(0..4));
        assert_eq!(plan(&[1, 100, 100, 100, 1000], u64::MAX), Some(1..4));
    }

    #[test]
    fn the_number_of_runs_stays_bounded_whatever_the_sizes() {
        let doubling: Vec<u64> = (0..8).map(|i| 10u64.pow(i)).collect();
        assert_eq!(plan(&doubling, u64::MAX), Some(0..4));
        let mut sizes = vec![];
        for flush in [1u64, 7, 3, 100, 2, 2, 50, 1, 9].into_iter().cycle().take(500) {
            sizes.insert(0, flush);
            while let Some(range) = plan(&sizes, u64::MAX) {
                let merged = sizes.drain(range.clone()).sum();
                sizes.insert(range.start, merged);
            }
            assert!(sizes.len() < RUNS_MAX);
        }
    }
}
