//! The files beside `goal.json`: tentacles, their handoffs, the retry queue, the breadcrumb.
//!
//! * **B1** A file that cannot be read is an error that names it, and is never written over.
//! * **B3** Nothing is written that could not be read again, and nothing through a link.
//! * **B2** Each file is replaced as a whole; whoever writes has the lock of the goal.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
};

use jiff::Timestamp;
use serde::de::DeserializeOwned;

use crate::{
    breadcrumb::BREADCRUMB_LEN_MAX,
    handoff::{Handoff, Parsed, parse, section},
    lock::Held,
    ops::OpError,
    retry::{MirrorEntry, RETRY_QUEUE_LEN_MAX, RetryQueue},
    state::Goal,
    store::{Store, StoreError},
    tentacle::{Meta, Tentacle, check_name, todos},
};

/// Longest `meta.json`, in bytes.
pub const META_LEN_MAX: u64 = 1 << 20;
/// Longest `todo.md`, in bytes.
pub const TODO_LEN_MAX: u64 = 1 << 20;
/// Longest `handoff.md`, in bytes.
pub const HANDOFF_LEN_MAX: u64 = 4 << 20;
/// Key of the mirror of the retry queue in `goal.json`.
pub(crate) const MIRROR: &str = "quota_retry_queue";

impl Store {
    /// Reads a tentacle; `None` when there is none.
    ///
    /// # Errors
    ///
    /// A name that is none, and files that cannot be read (B1).
    pub fn tentacle(&self, name: &str) -> Result<Option<Tentacle>, OpError> {
        check_name(name)?;
        let Some(meta) = self.json(name, "meta.json", META_LEN_MAX)? else { return Ok(None) };
        let todo = self.text(name, "todo.md", TODO_LEN_MAX)?;
        Ok(Some(Tentacle { meta, todos: todos(&todo.unwrap_or_default()) }))
    }

    /// Reads every tentacle.
    ///
    /// # Errors
    ///
    /// Files that cannot be read (B1).
    pub fn every_tentacle(&self) -> Result<BTreeMap<String, Tentacle>, OpError> {
        let dir = self.place().tentacles().to_owned();
        let names = match self.vfs().list(&dir) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => {
                return Err(StoreError::Io { action: "list", path: dir, source }.into());
            }
        };
        let mut found = BTreeMap::new();
        for name in names {
            if let Some(tentacle) = self.tentacle_if_there(&name)? {
                found.insert(name, tentacle);
            }
        }
        Ok(found)
    }

    /// Reads the tentacles with these names, and those that they depend on; the others have no part in what becomes of
    /// them, however many there are. What is not there is left out.
    ///
    /// # Errors
    ///
    /// Files that cannot be read (B1).
    pub(crate) fn tentacles_behind(
        &self,
        names: &[String],
    ) -> Result<BTreeMap<String, Tentacle>, OpError> {
        let (mut found, mut looked_for) = (BTreeMap::new(), BTreeSet::new());
        let mut next = names.to_vec();
        while let Some(name) = next.pop() {
            if !looked_for.insert(name.clone()) {
                continue;
            }
            if let Some(tentacle) = self.tentacle_if_there(&name)? {
                next.extend(tentacle.meta.dependencies().map(str::to_owned));
                found.insert(name, tentacle);
            }
        }
        Ok(found)
    }

    /// What has no name of a tentacle is none: locks, hidden files, notes of people.
    fn tentacle_if_there(&self, name: &str) -> Result<Option<Tentacle>, OpError> {
        if check_name(name).is_err() {
            return Ok(None);
        }
        let path = self.place().tentacle(name, "meta.json");
        match self.vfs().stat(&path) {
            Ok(Some(_)) => self.tentacle(name),
            Ok(None) => Ok(None),
            // A file of somebody has the name.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(None),
            Err(source) => Err(StoreError::Io { action: "look at", path, source }.into()),
        }
    }

    /// Reads what a tentacle said last, since it was made idle if it was.
    ///
    /// # Errors
    ///
    /// A name that is none, and a file that cannot be read.
    pub fn last_handoff(&self, name: &str) -> Result<Option<Parsed>, OpError> {
        check_name(name)?;
        let heard = self.tentacle(name)?.and_then(|it| it.meta.heard).unwrap_or(0);
        let Some(text) = self.text(name, "handoff.md", HANDOFF_LEN_MAX)? else { return Ok(None) };
        // A file that somebody made shorter says what it says.
        let new = usize::try_from(heard).ok().and_then(|it| text.get(it..)).unwrap_or(&text);
        Ok((heard == 0 || !new.trim().is_empty()).then(|| parse(new)))
    }

    /// How long the file is in which a tentacle speaks, in bytes: it grows with each word.
    ///
    /// # Errors
    ///
    /// A name that is none, and a file that cannot be read.
    pub fn handoff_len(&self, name: &str) -> Result<usize, OpError> {
        check_name(name)?;
        Ok(self.text(name, "handoff.md", HANDOFF_LEN_MAX)?.map_or(0, |it| it.len()))
    }

    /// Reads the retry queue: the file, or what the goal lists without one.
    ///
    /// # Errors
    ///
    /// A file that cannot be read (B1).
    pub fn retry_queue(&self, goal: Option<&Goal>) -> Result<RetryQueue, OpError> {
        let path = self.place().retry_queue();
        let bytes = self.read(path.clone(), RETRY_QUEUE_LEN_MAX as u64)?;
        let file = RetryQueue::parse(bytes.as_deref());
        let file = file.map_err(|source| OpError::Queue { path, source })?;
        let mirror = goal.map(mirror_of).unwrap_or_default();
        let (id, iteration) = goal.map_or(("", 0), |it| (it.goal_id(), it.iteration()));
        Ok(RetryQueue::merged(file, &mirror, id, iteration, self.now()))
    }

    /// The breadcrumb, as it is; `None` when there is none or it cannot be read, since nothing depends on it.
    pub fn breadcrumb(&self) -> Option<Vec<u8>> {
        self.read(self.place().breadcrumb(), BREADCRUMB_LEN_MAX).ok().flatten()
    }

    /// Writes what is known about a tentacle (B2).
    pub(crate) fn save_meta(&self, held: &Held, name: &str, meta: &Meta) -> Result<(), OpError> {
        let path = self.place().tentacle(name, "meta.json");
        let mut text = serde_json::to_string_pretty(meta)
            .map_err(|source| OpError::Meta { path: path.clone(), source })?;
        text.push('\n');
        self.write_within(held, path, text.as_bytes(), META_LEN_MAX)
    }

    /// Writes a file that can be read again: one that would be too long for that is refused (B3).
    fn write_within(
        &self,
        held: &Held,
        path: PathBuf,
        bytes: &[u8],
        limit: u64,
    ) -> Result<(), OpError> {
        let len = bytes.len() as u64;
        if len > limit {
            return Err(OpError::Full { path, len, limit });
        }
        Ok(self.write(held, path, bytes)?)
    }

    /// Begins the directory of a tentacle.
    pub(crate) fn make_tentacle_dir(&self, name: &str) -> Result<(), OpError> {
        let path = self.place().tentacles().join(name);
        let made = self.vfs().create_dir_all(&path);
        Ok(made.map_err(|source| StoreError::Io { action: "create", path, source })?)
    }

    /// Writes a text of a tentacle.
    pub(crate) fn save_text(
        &self,
        held: &Held,
        name: &str,
        file: &str,
        text: &str,
    ) -> Result<(), OpError> {
        self.write_within(held, self.place().tentacle(name, file), text.as_bytes(), TODO_LEN_MAX)
    }

    /// Refuses to write over a file that holds something else: it was not made by an attempt that was cut short.
    pub(crate) fn refuse_foreign(&self, name: &str, file: &str, text: &str) -> Result<(), OpError> {
        match self.text(name, file, TODO_LEN_MAX)? {
            Some(found) if found != text => {
                Err(OpError::FileExists { path: self.place().tentacle(name, file) })
            }
            _ => Ok(()),
        }
    }

    /// Appends what a tentacle says.
    pub(crate) fn append_handoff(
        &self,
        held: &Held,
        name: &str,
        handoff: &Handoff,
        now: Timestamp,
    ) -> Result<(), OpError> {
        let path = self.place().tentacle(name, "handoff.md");
        // What others wrote stays as it is, byte for byte.
        let mut bytes = self.read(path.clone(), HANDOFF_LEN_MAX)?.unwrap_or_default();
        bytes.extend_from_slice(section(handoff, now).as_bytes());
        self.write_within(held, path, &bytes, HANDOFF_LEN_MAX)
    }

    /// Writes the retry queue, and its mirror into the goal, which the caller saves behind it.
    pub(crate) fn save_queue(
        &self,
        held: &Held,
        queue: &RetryQueue,
        goal: Option<&mut Goal>,
    ) -> Result<(), OpError> {
        let path = self.place().retry_queue();
        let failed = |source| OpError::Meta { path: path.clone(), source };
        let mut text = serde_json::to_string_pretty(queue).map_err(failed)?;
        text.push('\n');
        self.write_within(held, path.clone(), text.as_bytes(), RETRY_QUEUE_LEN_MAX as u64)?;
        goal.map_or(Ok(()), |it| self.mirror(queue, it))
    }

    /// Takes a tentacle out of the retry queue, and out of the mirror, where it stands alone when a crash came
    /// between the two.
    pub(crate) fn leave_queue(
        &self,
        held: &Held,
        names: &[&str],
        mut goal: Option<&mut Goal>,
    ) -> Result<(), OpError> {
        let mut queue = self.retry_queue(goal.as_deref())?;
        let before = queue.entries.len();
        queue.entries.retain(|it| !names.contains(&it.tentacle.as_str()));
        if queue.entries.len() < before {
            return self.save_queue(held, &queue, goal);
        }
        match goal.as_mut().filter(|it| names_of(&mirror_of(it)) != names_of(&queue.mirror())) {
            Some(goal) => self.mirror(&queue, goal),
            None => Ok(()),
        }
    }

    fn mirror(&self, queue: &RetryQueue, goal: &mut Goal) -> Result<(), OpError> {
        let failed = |source| OpError::Meta { path: self.place().goal(), source };
        goal.set_foreign(MIRROR, &queue.mirror()).map_err(failed)
    }

    fn json<T: DeserializeOwned>(
        &self,
        name: &str,
        file: &str,
        limit: u64,
    ) -> Result<Option<T>, OpError> {
        let path = self.place().tentacle(name, file);
        let Some(bytes) = self.read(path.clone(), limit)? else { return Ok(None) };
        let read = serde_json::from_slice(&bytes);
        read.map(Some).map_err(|source| OpError::Meta { path, source })
    }

    fn text(&self, name: &str, file: &str, limit: u64) -> Result<Option<String>, OpError> {
        let bytes = self.read(self.place().tentacle(name, file), limit)?;
        Ok(bytes.map(|it| String::from_utf8_lossy(&it).into_owned()))
    }
}

/// What a goal lists as waiting.
fn mirror_of(goal: &Goal) -> Vec<MirrorEntry> {
    let raw = goal.foreign(MIRROR);
    raw.and_then(|it| serde_json::from_str(it.get()).ok()).unwrap_or_default()
}

fn names_of(mirror: &[MirrorEntry]) -> BTreeSet<&str> {
    mirror.iter().map(|it| it.tentacle.as_str()).collect()
}
