//! The names in one directory: what is seen, what is synced, and the changes between the two.

use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct Names {
    seen: BTreeMap<String, u64>,
    synced: BTreeMap<String, u64>,
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Link(String, u64),
    Unlink(String),
    Rename { from: String, to: String, inode: u64 },
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Link(name, inode) => _ = names.insert(name.clone(), *inode),
            Self::Unlink(name) => _ = names.remove(name),
            Self::Rename { from, to, inode } => {
                names.remove(from);
                names.insert(to.clone(), *inode);
            }
        }
    }
}

impl Names {
    pub(super) fn get(&self, name: &str) -> Option<u64> {
        self.seen.get(name).copied()
    }

    pub(super) fn list(&self) -> Vec<String> {
        self.seen.keys().cloned().collect()
    }

    /// How many names a file has here.
    pub(super) fn count(&self, inode: u64) -> u64 {
        self.seen.values().filter(|it| **it == inode).count() as u64
    }

    pub(super) fn link(&mut self, name: String, inode: u64) {
        self.change(Change::Link(name, inode));
    }

    pub(super) fn unlink(&mut self, name: String) {
        self.change(Change::Unlink(name));
    }

    pub(super) fn rename(&mut self, from: &str, to: String, inode: u64) {
        self.change(Change::Rename { from: from.to_owned(), to, inode });
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.seen);
        self.pending.push(change);
    }

    pub(super) fn sync(&mut self) {
        self.pending.clear();
        self.synced = self.seen.clone();
    }

    pub(super) fn crash(&mut self, mut survives: impl FnMut() -> bool) {
        for change in std::mem::take(&mut self.pending) {
            if survives() {
                change.apply(&mut self.synced);
            }
        }
        self.seen = self.synced.clone();
    }
}
