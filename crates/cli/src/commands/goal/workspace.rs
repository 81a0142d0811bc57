//! What the workspace was when a session ended, and what changed since.
//!
//! A digest names the commit, and the content of every file that differs from it. `git` says which those are.
//!
//! * **W1** What cannot be compared counts as changed where a goal demands to know.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::{Deserialize, Serialize};
use vfs::{OsVfs, Vfs as _, read_whole, replace};
use wal_format::step::sha256;

/// Longest file that is hashed, in bytes; of a longer one length and time of change count.
const HASHED_MAX: u64 = 64 << 20;
/// How deep repositories are looked into that lie in each other.
const DEPTH_MAX: u32 = 8;
/// Names of the state beside those that begin with `goal`.
const OWN_NAMES: [&str; 3] = ["retry-queue.json", "workspace-digest.json", "tentacles"];
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
        Self::look_into(root, state, 0)
    }

    fn look_into(root: &Path, state: &Path, depth: u32) -> Result<Self, String> {
        // A repository without a commit has no head.
        let head = git(root, &["rev-parse", "-q", "--verify", "HEAD"]).unwrap_or_default();
        let listed = git(root, &["status", "--porcelain=v1", "-z", "-uall", "--no-renames"])?;
        let mut changed = BTreeMap::new();
        let own = Own::of(root, state);
        for entry in listed.split(|it| *it == 0).filter(|it| it.len() > 3) {
            let name = entry.get(3..).unwrap_or_default();
            let path = root.join(OsStr::from_bytes(name));
            if own.has(&path) {
                continue;
            }
            if changed.len() >= FILES_MAX {
                return Err(format!("more than {FILES_MAX} files differ from the commit"));
            }
            changed.insert(shown(name), content(&path, state, depth)?);
        }
        let head = String::from_utf8_lossy(&head).trim().to_owned();
        Ok(Self { version: 1, head, changed })
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

/// What of a workspace is the state of the goal: that changes by itself.
struct Own {
    state: PathBuf,
    /// The state lies in the root itself, or above it: files of the workspace lie beside those of the goal.
    mixed: bool,
}

impl Own {
    fn of(root: &Path, state: &Path) -> Self {
        let real = |it: &Path| it.canonicalize().unwrap_or_else(|_| it.to_owned());
        let (real_root, real_state) = (real(root), real(state));
        let mixed = real_root.starts_with(&real_state);
        // Names of files begin with the root as it was given.
        let below = real_state.strip_prefix(&real_root).map(|it| root.join(it));
        Self { state: below.unwrap_or(real_state), mixed }
    }

    fn has(&self, path: &Path) -> bool {
        let Ok(below) = path.strip_prefix(&self.state) else { return false };
        let first = below.components().next().map(|it| it.as_os_str().to_string_lossy());
        let first = first.unwrap_or_default();
        !self.mixed || first.starts_with("goal") || OWN_NAMES.contains(&&*first)
    }
}

/// The name of a file, one for each; what is no text is told by its bytes.
fn shown(name: &[u8]) -> String {
    match std::str::from_utf8(name) {
        Ok(text) => text.to_owned(),
        Err(_) => name.escape_ascii().to_string(),
    }
}

/// Runs `git` so that it runs nothing that the repository names.
fn git(root: &Path, words: &[&str]) -> Result<Vec<u8>, String> {
    let done = Command::new("git")
        .args(["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"])
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
    Ok(done.stdout)
}

/// What stands for the content of a file.
fn content(path: &Path, state: &Path, depth: u32) -> Result<String, String> {
    let unreadable = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    if let Ok(link) = std::fs::read_link(path) {
        return Ok(format!("link to {}", shown(link.as_os_str().as_bytes())));
    }
    match OsVfs.stat(path).map_err(|it| unreadable(&it))? {
        None => Ok("absent".to_owned()),
        // A repository of its own.
        Some(stat) if stat.is_dir && path.join(".git").exists() => {
            if depth >= DEPTH_MAX {
                return Err(unreadable(&"repositories lie too deep in each other"));
            }
            let inner = Workspace::look_into(path, state, depth + 1)?;
            Ok(sha256(&serde_json::to_vec(&inner).map_err(|it| unreadable(&it))?))
        }
        Some(stat) if stat.is_dir => Err(unreadable(&"a directory that is no repository")),
        Some(stat) if stat.len > HASHED_MAX => {
            let modified = std::fs::metadata(path).and_then(|it| it.modified());
            let modified = modified.map_err(|it| unreadable(&it))?;
            Ok(format!("{} bytes, {modified:?}", stat.len))
        }
        Some(_) => match read_whole(&OsVfs, path, HASHED_MAX) {
            Ok(Some(bytes)) => Ok(sha256(&bytes)),
            Ok(None) => Ok("absent".to_owned()),
            Err(error) => Err(unreadable(&error)),
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
        // What is no text, and what lies in a repository within, is told apart too.
        sh(
            root,
            "mkdir sub; cd sub; git init -q; git config user.email a@b; git config user.name a; echo 1 > x; git add x; git commit -qm s",
        );
        let odd = root.join(OsStr::from_bytes(b"odd\xff"));
        fs::write(&odd, "1").unwrap();
        let before = Workspace::look(root, &state).unwrap();
        assert_eq!(before.difference(&Workspace::look(root, &state).unwrap()), None);
        for change in [odd, root.join("sub/x"), root.join("sub/new")] {
            let before = Workspace::look(root, &state).unwrap();
            fs::write(&change, "2").unwrap();
            assert!(
                before.difference(&Workspace::look(root, &state).unwrap()).is_some(),
                "{change:?}"
            );
        }
        // A state in the root hides nothing but itself; a relative one is the same.
        fs::write(root.join("goal.json"), "1").unwrap();
        let before = Workspace::look(root, root).unwrap();
        fs::write(root.join("goal.json"), "2").unwrap();
        assert_eq!(before.difference(&Workspace::look(root, root).unwrap()), None);
        fs::write(root.join("b"), "another").unwrap();
        assert!(before.difference(&Workspace::look(root, root).unwrap()).is_some());
        // What a repository names is not run.
        sh(
            root,
            "printf '#!/bin/sh\\ntouch ran\\n' > hook; chmod +x hook; git config core.fsmonitor $PWD/hook",
        );
        Workspace::look(root, &state).unwrap();
        assert!(!root.join("ran").exists());
        let path = state.join("digest");
        first.save(&path).unwrap();
        assert_eq!(Workspace::load(&path).unwrap(), Some(first));
        fs::write(&path, "{").unwrap();
        assert!(since(root, &state, &path).is_err());
        assert_eq!(since(root, &state, &state.join("none")), Ok(None));
    }
}
