//! State of a simulated machine: inodes, names, space and faults, behind the one lock.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::fault::{FaultPlan, Operation, Survival, Verdict, no_space_error, power_error};
use super::random::Random;
use super::sim_file::{SECTOR_BYTES, SimInode};
use super::sim_names::{InodeId, Names};

/// What `free_bytes` tells of a disk without a capacity.
const UNBOUNDED_BYTES: u64 = 1 << 50;

pub(super) struct SimState {
    seed: u64,
    pub(super) names: Names,
    inodes: BTreeMap<InodeId, SimInode>,
    next_inode: InodeId,
    /// Number of the next change, across all files and names.
    next_change: u64,
    pub(super) plan: FaultPlan,
    pub(super) capacity_bytes: Option<u64>,
}

impl SimState {
    pub(super) fn new(seed: u64) -> SimState {
        SimState {
            seed,
            names: Names::new(),
            inodes: BTreeMap::new(),
            next_inode: 1,
            next_change: 0,
            plan: FaultPlan::default(),
            capacity_bytes: None,
        }
    }

    pub(super) fn inode(&self, id: InodeId) -> &SimInode {
        self.inodes.get(&id).expect("a name or handle keeps its inode")
    }

    pub(super) fn inode_mut(&mut self, id: InodeId) -> &mut SimInode {
        let inode = self.inodes.get_mut(&id);
        inode.expect("a name or handle keeps its inode")
    }

    /// Runs an operation without bytes of its own under the fault plan.
    pub(super) fn run<T>(
        &mut self,
        operation: Operation,
        path: &Path,
        effect: impl FnOnce(&mut SimState) -> io::Result<T>,
    ) -> io::Result<T> {
        match self.plan.judge(operation, path) {
            Verdict::Succeeds | Verdict::Short => effect(self),
            Verdict::Fails(error) => Err(error),
            Verdict::CutShort => {
                effect(self)?;
                Err(power_error())
            }
            Verdict::Off => Err(power_error()),
        }
    }

    pub(super) fn open(&mut self, path: &Path) -> io::Result<InodeId> {
        let id = self.names.find(path)?;
        self.inode_mut(id).handle_count += 1;
        Ok(id)
    }

    pub(super) fn create(&mut self, path: &Path) -> io::Result<InodeId> {
        let id = self.next_inode;
        self.names.link(path, id, &mut self.next_change)?;
        self.next_inode += 1;
        self.inodes.insert(id, SimInode::default());
        Ok(id)
    }

    pub(super) fn close(&mut self, id: InodeId) {
        self.inode_mut(id).handle_count -= 1;
        self.collect();
    }

    pub(super) fn link(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let id = self.names.find(from)?;
        self.names.link(to, id, &mut self.next_change)
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.names.rename(from, to, &mut self.next_change)?;
        self.collect();
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.names.unlink(path, &mut self.next_change)?;
        self.collect();
        Ok(())
    }

    pub(super) fn create_folder(&mut self, folder: &Path) -> io::Result<()> {
        self.names.create_folder(folder, &mut self.next_change)
    }

    pub(super) fn sync_folder(&mut self, folder: &Path) -> io::Result<()> {
        match self.plan.judge(Operation::SyncFolder, folder) {
            Verdict::Succeeds | Verdict::Short => {
                self.names.sync(folder)?;
                self.collect();
                Ok(())
            }
            Verdict::Fails(error) => Err(error),
            Verdict::CutShort | Verdict::Off => Err(power_error()),
        }
    }

    /// Forgets inodes that nothing can lead to any more.
    fn collect(&mut self) {
        let reachable = self.names.reachable();
        self.inodes.retain(|id, inode| inode.handle_count > 0 || reachable.contains(id));
    }

    pub(super) fn write(
        &mut self,
        id: InodeId,
        path: &Path,
        bytes: &[u8],
        offset: u64,
    ) -> io::Result<()> {
        match self.plan.judge(Operation::Write, path) {
            Verdict::Succeeds | Verdict::Short => self.write_fitting(id, bytes, offset),
            Verdict::Fails(error) => {
                let sector_count = (bytes.len() as u64).div_ceil(SECTOR_BYTES);
                let mut random = Random::new(self.seed ^ self.plan.operations);
                let kept_bytes = random.below(sector_count + 1) * SECTOR_BYTES;
                let kept_bytes = kept_bytes.min(bytes.len() as u64) as usize;
                // The injected error is the one to report, whether or not these fit.
                let _ = self.write_fitting(id, &bytes[..kept_bytes], offset);
                Err(error)
            }
            Verdict::CutShort => {
                self.write_fitting(id, bytes, offset)?;
                Err(power_error())
            }
            Verdict::Off => Err(power_error()),
        }
    }

    /// Writes what there is space for, as the kernel does before it says ENOSPC.
    fn write_fitting(&mut self, id: InodeId, bytes: &[u8], offset: u64) -> io::Result<()> {
        let space_end = self.inode(id).reserved_bytes.saturating_add(self.free_bytes());
        let fitting = space_end.saturating_sub(offset).min(bytes.len() as u64) as usize;
        let SimState { inodes, next_change, .. } = self;
        let inode = inodes.get_mut(&id).expect("a handle keeps its inode");
        inode.write(&bytes[..fitting], offset, next_change);
        if fitting < bytes.len() {
            return Err(no_space_error());
        }
        Ok(())
    }

    pub(super) fn sync(&mut self, id: InodeId, path: &Path) -> io::Result<()> {
        match self.plan.judge(Operation::Sync, path) {
            Verdict::Succeeds | Verdict::Short => {
                self.inode_mut(id).sync();
                Ok(())
            }
            Verdict::Fails(error) => {
                self.inode_mut(id).drop_changes();
                Err(error)
            }
            // Under way, so each sector may or may not be on the disk, like any unsynced one.
            Verdict::CutShort | Verdict::Off => Err(power_error()),
        }
    }

    pub(super) fn allocate(&mut self, id: InodeId, len: u64) -> io::Result<()> {
        let reserved_bytes = self.inode(id).reserved_bytes;
        let needed_bytes = len.div_ceil(SECTOR_BYTES) * SECTOR_BYTES;
        if needed_bytes.saturating_sub(reserved_bytes) > self.free_bytes() {
            return Err(no_space_error());
        }
        if len > self.inode(id).current().len() {
            self.set_len(id, len);
        }
        self.inode_mut(id).reserve(len);
        Ok(())
    }

    pub(super) fn set_len(&mut self, id: InodeId, len: u64) {
        let SimState { inodes, next_change, .. } = self;
        let inode = inodes.get_mut(&id).expect("a handle keeps its inode");
        inode.set_len(len, next_change);
    }

    pub(super) fn used_bytes(&self) -> u64 {
        let holds_space = |id: &InodeId, inode: &SimInode| {
            inode.handle_count > 0 || self.names.link_count(*id) > 0
        };
        let holding = self.inodes.iter().filter(|(id, inode)| holds_space(id, inode));
        holding.map(|(_, inode)| inode.reserved_bytes).sum()
    }

    pub(super) fn free_bytes(&self) -> u64 {
        match self.capacity_bytes {
            Some(capacity_bytes) => capacity_bytes.saturating_sub(self.used_bytes()),
            None => UNBOUNDED_BYTES,
        }
    }

    /// What may be left when the power goes now.
    pub(super) fn after_power_cut(&self, seed: u64) -> SimState {
        let mut random = Random::new(seed);
        let in_files = self.inodes.values().filter_map(SimInode::oldest_change);
        let oldest = in_files.chain(self.names.oldest_change()).min();
        let pending = oldest.unwrap_or(self.next_change)..self.next_change;
        let mut survival = Survival::draw(&mut random, pending);
        let names = self.names.after_power_cut(&mut survival);
        let left = |(id, inode): (&InodeId, &SimInode)| (*id, inode.after_power_cut(&mut survival));
        let inodes = self.inodes.iter().map(left).collect();
        self.reborn(seed, names, inodes)
    }

    /// What is there for the next process when this one is killed now.
    pub(super) fn after_kill(&self) -> SimState {
        let mut inodes = self.inodes.clone();
        for inode in inodes.values_mut() {
            inode.handle_count = 0;
        }
        self.reborn(self.seed, self.names.clone(), inodes)
    }

    fn reborn(&self, seed: u64, names: Names, inodes: BTreeMap<InodeId, SimInode>) -> SimState {
        let mut state = SimState {
            seed,
            names,
            inodes,
            next_inode: self.next_inode,
            next_change: self.next_change,
            plan: FaultPlan::default(),
            capacity_bytes: self.capacity_bytes,
        };
        state.collect();
        state
    }

    pub(super) fn file_names(&self) -> Vec<PathBuf> {
        let paths = self.names.files().map(|(path, _)| path.to_path_buf());
        paths.collect()
    }
}
