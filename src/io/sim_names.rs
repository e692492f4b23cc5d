//! Names of a simulated directory: what is seen, what is surely on the disk, and the changes
//! between, which a power cut may take back one by one.
//!
//! A change survives only when the earlier pending ones that share a name with it do: a journal
//! may lose its end, and separate folders may be behind each other, but no file system shows
//! the second half of a name's history.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::fault::Survival;

/// Names of a file's inode.
pub(super) type InodeId = u64;

#[derive(Clone)]
struct Change {
    number: u64,
    kind: ChangeKind,
}

#[derive(Clone)]
enum ChangeKind {
    Folder(PathBuf),
    Link(PathBuf, InodeId),
    Unlink(PathBuf),
    Rename { from: PathBuf, to: PathBuf, inode: InodeId },
}

impl ChangeKind {
    fn names(&self) -> [&Path; 2] {
        match self {
            ChangeKind::Folder(name) | ChangeKind::Link(name, _) | ChangeKind::Unlink(name) => {
                [name, name]
            }
            ChangeKind::Rename { from, to, .. } => [from, to],
        }
    }

    /// The folder whose sync makes the change durable; of a rename, the target's.
    fn folder(&self) -> &Path {
        folder_of(self.names()[1])
    }
}

#[derive(Clone)]
struct Tree {
    files: BTreeMap<PathBuf, InodeId>,
    folders: BTreeSet<PathBuf>,
}

impl Tree {
    fn apply(&mut self, kind: &ChangeKind) {
        match kind {
            ChangeKind::Folder(path) => {
                self.folders.insert(path.clone());
            }
            ChangeKind::Link(path, inode) => {
                self.files.insert(path.clone(), *inode);
            }
            ChangeKind::Unlink(path) => {
                self.files.remove(path);
            }
            ChangeKind::Rename { from, to, inode } => {
                self.files.remove(from);
                self.files.insert(to.clone(), *inode);
            }
        }
    }
}

/// Files and folders by path, relative to the root (the empty path).
#[derive(Clone)]
pub(super) struct Names {
    current: Tree,
    durable: Tree,
    pending: Vec<Change>,
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

fn error(kind: ErrorKind, path: &Path) -> io::Error {
    io::Error::new(kind, format!("{kind}: {}", path.display()))
}

impl Names {
    pub(super) fn new() -> Names {
        let tree = Tree { files: BTreeMap::new(), folders: BTreeSet::from([PathBuf::new()]) };
        Names { current: tree.clone(), durable: tree, pending: Vec::new() }
    }

    pub(super) fn files(&self) -> impl Iterator<Item = (&Path, InodeId)> {
        let files = self.current.files.iter();
        files.map(|(path, inode)| (path.as_path(), *inode))
    }

    pub(super) fn find(&self, path: &Path) -> io::Result<InodeId> {
        let inode = self.current.files.get(path);
        inode.copied().ok_or_else(|| error(ErrorKind::NotFound, path))
    }

    pub(super) fn link_count(&self, inode: InodeId) -> u64 {
        self.files().filter(|(_, other)| *other == inode).count() as u64
    }

    /// The inodes to which a name leads, now or after some power cut.
    pub(super) fn reachable(&self) -> BTreeSet<InodeId> {
        let linked = self.pending.iter().filter_map(|change| match change.kind {
            ChangeKind::Link(_, linked) => Some(linked),
            ChangeKind::Rename { inode, .. } => Some(inode),
            ChangeKind::Folder(_) | ChangeKind::Unlink(_) => None,
        });
        let now = self.files().map(|(_, inode)| inode);
        now.chain(self.durable.files.values().copied()).chain(linked).collect()
    }

    pub(super) fn list(&self, folder: &Path) -> Vec<String> {
        let inside = self.files().filter(|(path, _)| folder_of(path) == folder);
        let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into());
        inside.filter_map(|(path, _)| name(path)).collect()
    }

    pub(super) fn create_folder(&mut self, folder: &Path, numbers: &mut u64) -> io::Result<()> {
        if self.current.files.contains_key(folder) {
            return Err(error(ErrorKind::AlreadyExists, folder));
        }
        if self.current.folders.contains(folder) {
            return Ok(());
        }
        self.create_folder(folder_of(folder), numbers)?;
        self.change(ChangeKind::Folder(folder.to_path_buf()), numbers);
        Ok(())
    }

    /// Checks that a file of this name could be created.
    pub(super) fn check_vacant(&self, path: &Path) -> io::Result<()> {
        if self.current.files.contains_key(path) || self.current.folders.contains(path) {
            return Err(error(ErrorKind::AlreadyExists, path));
        }
        self.check_folder(path)
    }

    fn check_folder(&self, path: &Path) -> io::Result<()> {
        if self.current.folders.contains(folder_of(path)) {
            Ok(())
        } else {
            Err(error(ErrorKind::NotFound, path))
        }
    }

    pub(super) fn link(
        &mut self,
        path: &Path,
        inode: InodeId,
        numbers: &mut u64,
    ) -> io::Result<()> {
        self.check_vacant(path)?;
        self.change(ChangeKind::Link(path.to_path_buf(), inode), numbers);
        Ok(())
    }

    pub(super) fn unlink(&mut self, path: &Path, numbers: &mut u64) -> io::Result<()> {
        self.find(path)?;
        self.change(ChangeKind::Unlink(path.to_path_buf()), numbers);
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path, numbers: &mut u64) -> io::Result<()> {
        let inode = self.find(from)?;
        self.check_folder(to)?;
        if self.current.folders.contains(to) {
            return Err(error(ErrorKind::IsADirectory, to));
        }
        // POSIX: two names of one file stay as they are.
        if self.current.files.get(to) == Some(&inode) {
            return Ok(());
        }
        let (from, to) = (from.to_path_buf(), to.to_path_buf());
        self.change(ChangeKind::Rename { from, to, inode }, numbers);
        Ok(())
    }

    fn change(&mut self, kind: ChangeKind, numbers: &mut u64) {
        self.current.apply(&kind);
        self.pending.push(Change { number: *numbers, kind });
        *numbers += 1;
    }

    /// Makes the changes of one folder durable, and those of others that they rest on.
    pub(super) fn sync(&mut self, folder: &Path) -> io::Result<()> {
        if !self.current.folders.contains(folder) {
            return Err(error(ErrorKind::NotFound, folder));
        }
        let mut settled_names: BTreeSet<PathBuf> = BTreeSet::new();
        let mut settled_numbers: BTreeSet<u64> = BTreeSet::new();
        for change in self.pending.iter().rev() {
            let names = change.kind.names();
            let needed = names.iter().any(|name| settled_names.contains(*name));
            if needed || change.kind.folder() == folder {
                settled_names.extend(names.iter().map(|name| name.to_path_buf()));
                settled_numbers.insert(change.number);
            }
        }
        for change in std::mem::take(&mut self.pending) {
            if settled_numbers.contains(&change.number) {
                self.durable.apply(&change.kind);
            } else {
                self.pending.push(change);
            }
        }
        Ok(())
    }

    /// Number of the oldest change that is not durable.
    pub(super) fn oldest_change(&self) -> Option<u64> {
        self.pending.first().map(|change| change.number)
    }

    /// The names as a power cut leaves them.
    pub(super) fn after_power_cut(&self, survival: &mut Survival) -> Names {
        let mut tree = self.durable.clone();
        let mut lost_names: BTreeSet<&Path> = BTreeSet::new();
        for change in &self.pending {
            let names = change.kind.names();
            let rests_on_lost = names.iter().any(|name| lost_names.contains(name));
            if !rests_on_lost && survival.keeps_name(change.number) {
                tree.apply(&change.kind);
            } else {
                lost_names.extend(names);
            }
        }
        tree.drop_orphans();
        Names { current: tree.clone(), durable: tree, pending: Vec::new() }
    }
}

impl Tree {
    /// Takes away what stands in a folder that is not there.
    fn drop_orphans(&mut self) {
        let Tree { files, folders } = self;
        let exists = folders.clone();
        let reachable = |path: &Path| path.ancestors().skip(1).all(|up| exists.contains(up));
        folders.retain(|path| reachable(path));
        files.retain(|path, _| reachable(path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::random::Random;

    struct Rig {
        names: Names,
        numbers: u64,
    }

    impl Rig {
        fn new() -> Rig {
            Rig { names: Names::new(), numbers: 0 }
        }

        fn link(&mut self, path: &str, inode: InodeId) {
            self.names.link(Path::new(path), inode, &mut self.numbers).unwrap();
        }

        fn rename(&mut self, from: &str, to: &str) {
            let (from, to) = (Path::new(from), Path::new(to));
            self.names.rename(from, to, &mut self.numbers).unwrap();
        }

        fn unlink(&mut self, path: &str) {
            self.names.unlink(Path::new(path), &mut self.numbers).unwrap();
        }

        fn folder(&mut self, path: &str) {
            self.names.create_folder(Path::new(path), &mut self.numbers).unwrap();
        }

        fn sync(&mut self, folder: &str) {
            self.names.sync(Path::new(folder)).unwrap();
        }

        /// The distinct sets of names that crashes leave, as `name=inode` words.
        fn crashes(&self) -> BTreeSet<String> {
            let crash = |seed| {
                let oldest = self.names.oldest_change().unwrap_or(self.numbers);
                let mut survival = Survival::draw(&mut Random::new(seed), oldest..self.numbers);
                let left = self.names.after_power_cut(&mut survival);
                let word = |(path, inode): (&Path, InodeId)| format!("{}={inode}", path.display());
                left.files().map(word).collect::<Vec<_>>().join(" ")
            };
            (0..300).map(crash).collect()
        }
    }

    fn set(expected: &[&str]) -> BTreeSet<String> {
        expected.iter().map(|words| words.to_string()).collect()
    }

    #[test]
    fn unsynced_creation_may_vanish_and_a_synced_one_never() {
        let mut rig = Rig::new();
        rig.link("a", 1);
        assert_eq!(rig.crashes(), set(&["", "a=1"]));
        rig.sync("");
        assert_eq!(rig.crashes(), set(&["a=1"]));
    }

    #[test]
    fn unsynced_rename_leaves_the_old_name_or_the_new() {
        let mut rig = Rig::new();
        rig.link("old", 1);
        rig.link("target", 2);
        rig.sync("");
        rig.rename("old", "target");
        assert_eq!(rig.crashes(), set(&["old=1 target=2", "target=1"]));
        rig.sync("");
        assert_eq!(rig.crashes(), set(&["target=1"]));
    }

    #[test]
    fn unsynced_removal_may_come_back() {
        let mut rig = Rig::new();
        rig.link("a", 1);
        rig.sync("");
        rig.unlink("a");
        assert_eq!(rig.crashes(), set(&["", "a=1"]));
        rig.sync("");
        assert_eq!(rig.crashes(), set(&[""]));
    }

    #[test]
    fn changes_of_different_names_survive_independently() {
        let mut rig = Rig::new();
        rig.link("a", 1);
        rig.link("b", 2);
        assert_eq!(rig.crashes(), set(&["", "a=1", "b=2", "a=1 b=2"]));
    }

    #[test]
    fn history_of_one_name_is_never_skipped() {
        let mut rig = Rig::new();
        rig.link("temporary", 1);
        rig.rename("temporary", "manifest");
        rig.link("temporary", 2);
        let possible = set(&["", "temporary=1", "manifest=1", "manifest=1 temporary=2"]);
        assert_eq!(rig.crashes(), possible);
    }

    #[test]
    fn sync_of_one_folder_leaves_the_others_pending() {
        let mut rig = Rig::new();
        rig.folder("log");
        rig.folder("parts");
        rig.sync("");
        rig.link("log/1", 1);
        rig.link("parts/1", 2);
        rig.sync("parts");
        assert_eq!(rig.crashes(), set(&["parts/1=2", "log/1=1 parts/1=2"]));
    }

    #[test]
    fn rename_between_folders_is_settled_with_what_it_rests_on() {
        let mut rig = Rig::new();
        rig.folder("log");
        rig.folder("spare");
        rig.sync("");
        rig.link("spare/1", 1);
        rig.rename("spare/1", "log/1");
        rig.sync("log");
        assert_eq!(rig.crashes(), set(&["log/1=1"]));
    }

    #[test]
    fn files_of_a_lost_folder_are_lost() {
        let mut rig = Rig::new();
        rig.folder("log");
        rig.link("log/1", 1);
        rig.sync("log");
        assert_eq!(rig.crashes(), set(&["", "log/1=1"]));
        rig.sync("");
        assert_eq!(rig.crashes(), set(&["log/1=1"]));
    }

    #[test]
    fn inode_is_reachable_while_a_power_cut_could_bring_its_name_back() {
        let mut rig = Rig::new();
        rig.link("a", 1);
        rig.sync("");
        rig.unlink("a");
        assert!(rig.names.reachable().contains(&1));
        rig.sync("");
        assert!(!rig.names.reachable().contains(&1));
    }
}
