//! What the workspace was when a session ended, and what changed since.
//!
//! A digest names the commit, and the content of every file that differs from it. `git` says which those are.
//!
//! * **W1** What cannot be compared counts as changed where a goal demands to know.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Stdio},
};

use serde::{Deserialize, Serialize};
use vfs::{OsVfs, Vfs as _, read_whole, replace};
use wal_format::step::sha256;

/// Longest file that is hashed, in bytes; of a longer one the length counts.
const HASHED_MAX: u64 = 64 << 20;
/// Most files that differ.
const FILES_MAX: usize = 20_000;
/// Longest digest on the disk, in bytes.
const DIGEST_LEN_MAX: u64 = 16 << 20;
/// Names that are shown.
const SHOWN_MAX: usize = 5;

/// What a workspace is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Workspace {
    version: u32,
    head: String,
    changed: BTreeMap<String, String>,
}

impl Workspace {
    /// Looks at it.
    pub(super) fn look(root: &Path, state: &Path) -> Result<Self, String> {
        // A repository without a commit has no head.
        let head = git(root, &["rev-parse", "-q", "--verify", "HEAD"]).unwrap_or_default();
        let listed = git(root, &["status", "--porcelain=v1", "-z", "-uall", "--no-renames"])?;
        let mut changed = BTreeMap::new();
        for entry in listed.split('\0').filter(|it| it.len() > 3) {
            let name = entry.get(3..).unwrap_or_default();
            let path = root.join(name);
            if path.starts_with(state) {
                continue;
            }
            if changed.len() >= FILES_MAX {
                return Err(format!("more than {FILES_MAX} files differ from the commit"));
            }
            changed.insert(name.to_owned(), content(&path));
        }
        Ok(Self { version: 1, head: head.trim().to_owned(), changed })
    }

    /// Writes it.
    pub(super) fn save(&self, path: &Path) -> Result<(), String> {
        let bytes = serde_json::to_vec_pretty(self).map_err(|it| it.to_string())?;
        replace(&OsVfs, path, &bytes).map_err(|it| it.to_string())
    }

    /// Reads one; `None` when there is none.
    pub(super) fn load(path: &Path) -> Result<Option<Self>, String> {
        let bytes = read_whole(&OsVfs, path, DIGEST_LEN_MAX).map_err(|it| it.to_string())?;
        bytes.map(|it| serde_json::from_slice(&it).map_err(|it| it.to_string())).transpose()
    }

    /// Says what is different in a later one; `None` when nothing is.
    pub(super) fn difference(&self, later: &Self) -> Option<String> {
        let mut said = Vec::new();
        if self.head != later.head {
            said.push("another commit".to_owned());
        }
        let names: std::collections::BTreeSet<&String> =
            self.changed.keys().chain(later.changed.keys()).collect();
        let differ: Vec<&str> = names
            .into_iter()
            .filter(|it| self.changed.get(*it) != later.changed.get(*it))
            .map(String::as_str)
            .collect();
        if !differ.is_empty() {
            let shown: Vec<&str> = differ.iter().take(SHOWN_MAX).copied().collect();
            let more = differ.len().saturating_sub(SHOWN_MAX);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            said.push(format!("{} file(s): {}{more}", differ.len(), shown.join(", ")));
        }
        (!said.is_empty()).then(|| said.join("; "))
    }
}

/// What changed since the session ended: `Ok(None)` when nothing did, or there is nothing to compare with.
pub(super) fn since(root: &Path, state: &Path, digest: &Path) -> Result<Option<String>, String> {
    let Some(before) = Workspace::load(digest)? else { return Ok(None) };
    Ok(before.difference(&Workspace::look(root, state)?))
}

fn git(root: &Path, words: &[&str]) -> Result<String, String> {
    let done = Command::new("git")
        .arg("-C")
        .arg(root)
        .args(words)
        .env("GIT_OPTIONAL_LOCKS", "0")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("git cannot be started: {error}"))?;
    if !done.status.success() {
        return Err(format!("git: {}", String::from_utf8_lossy(&done.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// What stands for the content of a file.
fn content(path: &Path) -> String {
    match OsVfs.stat(path) {
        Ok(None) => "absent".to_owned(),
        Ok(Some(stat)) if stat.is_dir => "directory".to_owned(),
        Ok(Some(stat)) if stat.len > HASHED_MAX => format!("{} bytes", stat.len),
        _ => match read_whole(&OsVfs, path, HASHED_MAX) {
            Ok(Some(bytes)) => sha256(&bytes),
            Ok(None) => "absent".to_owned(),
            Err(error) => format!("unreadable: {error}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn sh(dir: &Path, script: &str) {
        let done = Command::new("sh").args(["-ec", script]).current_dir(dir).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    }

    #[test]
    fn a_change_is_seen_whether_it_is_committed_or_not_and_the_state_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let (root, state) = (dir.path(), dir.path().join(".octogent"));
        sh(root, "git init -q; git config user.email a@b; git config user.name a; mkdir .octogent");
        sh(
            root,
            "echo 1 > a; git add a; git commit -qm a; echo 2 > b; echo x > .octogent/goal.json",
        );
        let first = Workspace::look(root, &state).unwrap();
        assert_eq!(first.changed.keys().collect::<Vec<_>>(), ["b"]);
        fs::write(state.join("goal.json"), "y").unwrap();
        assert_eq!(first.difference(&Workspace::look(root, &state).unwrap()), None);
        fs::write(root.join("b"), "3").unwrap();
        fs::remove_file(root.join("a")).unwrap();
        let said = first.difference(&Workspace::look(root, &state).unwrap()).unwrap();
        assert_eq!(said, "2 file(s): a, b");
        sh(root, "git checkout -q a; echo 2 > b; git commit -qm c --allow-empty");
        let said = first.difference(&Workspace::look(root, &state).unwrap()).unwrap();
        assert_eq!(said, "another commit");
        let path = state.join("digest");
        first.save(&path).unwrap();
        assert_eq!(Workspace::load(&path).unwrap(), Some(first));
        fs::write(&path, "{").unwrap();
        assert!(since(root, &state, &path).is_err());
        assert_eq!(since(root, &state, &state.join("none")), Ok(None));
    }
}
