//! The files of moved entries.

use std::io;

use serde_json::value::RawValue;
use vfs::{OpenMode, read_whole, write_all_at};

use super::{HISTORY_FILES_MAX, HISTORY_LEN_MAX, History, HistoryError, Leaving, Part, is_left_of};
use crate::{
    lock::Held,
    state::Goal,
    store::{Store, StoreError},
};

impl Store {
    /// Every entry of a history, oldest first: those in the file beside the goal, then those inside it. Nobody has to
    /// have the lock: what counts for this goal is not written again (H2).
    ///
    /// # Errors
    ///
    /// A file that has less than counts (H4) or something else than entries, and what the file system reports.
    pub fn whole_history(
        &self,
        goal: &Goal,
        which: History,
    ) -> Result<Vec<Box<RawValue>>, StoreError> {
        let mut all = match goal.known.history_moved.part(which) {
            Some(part) => self.moved_entries(part)?,
            None => Vec::new(),
        };
        let kept = goal.entries(which.key());
        let kept =
            kept.map_err(|source| StoreError::Corrupt { path: self.place().goal(), source })?;
        all.extend(kept.into_iter().map(ToOwned::to_owned));
        Ok(all)
    }

    fn moved_entries(&self, part: &Part) -> Result<Vec<Box<RawValue>>, StoreError> {
        let path = self.place().history(&part.file);
        let wrong = |source| StoreError::History { path: path.clone(), source };
        let bytes = self.read(path.clone(), HISTORY_LEN_MAX)?.unwrap_or_default();
        let len = bytes.len() as u64;
        let short = || wrong(HistoryError::Short { len, counted: part.bytes });
        let counted = usize::try_from(part.bytes).ok().and_then(|it| bytes.get(..it));
        let lines = counted.ok_or_else(short)?.split_inclusive(|it| *it == b'\n');
        let mut entries = Vec::new();
        for (position, line) in lines.enumerate() {
            let entry = serde_json::from_slice(line);
            let bad = |source| wrong(HistoryError::Line { line: position + 1, source });
            entries.push(entry.map_err(bad)?);
        }
        let found = entries.len() as u64;
        if found != part.entries {
            return Err(wrong(HistoryError::Count { found, counted: part.entries }));
        }
        Ok(entries)
    }

    /// Moves what has to leave `goal.json`, steps 1 and 2; returns the goal that step 3 writes, or `None` when all of
    /// it stays.
    pub(crate) fn move_histories(
        &self,
        held: &Held,
        goal: &Goal,
    ) -> Result<Option<Goal>, StoreError> {
        let mut moved: Option<Goal> = None;
        for which in History::ALL {
            let leaving = goal.leaving(which).map_err(|source| {
                let path = self.place().goal();
                StoreError::Corrupt { path, source }
            })?;
            let Some(leaving) = leaving else { continue };
            self.check_ours(held)?;
            let part = match goal.known.history_moved.part(which) {
                Some(part) => part.clone(),
                None => Part::begin(self.free_name(which, &leaving)?),
            };
            let part = self.append_entries(part, &leaving)?;
            let moved = moved.get_or_insert_with(|| goal.clone());
            moved.leave(which, leaving.stays, part);
        }
        Ok(moved)
    }

    /// H5
    fn free_name(&self, which: History, leaving: &Leaving) -> Result<String, StoreError> {
        let names = (1..=HISTORY_FILES_MAX).map(|number| which.file(number));
        for name in names {
            let path = self.place().history(&name);
            match self.is_free(&name, leaving) {
                Ok(true) => return Ok(name),
                Ok(false) => {}
                Err(source) => return Err(StoreError::Io { action: "look at", path, source }),
            }
        }
        let path = self.place().history(&which.file(HISTORY_FILES_MAX));
        let source = io::ErrorKind::AlreadyExists.into();
        Err(StoreError::Io { action: "create", path, source })
    }

    fn is_free(&self, name: &str, leaving: &Leaving) -> io::Result<bool> {
        let (path, len) = (self.place().history(name), leaving.lines.len() as u64);
        match self.vfs().stat(&path)? {
            None => Ok(true),
            Some(it) if it.is_dir || it.len > len => Ok(false),
            Some(_) => {
                let found = read_whole(self.vfs(), &path, len)?;
                Ok(is_left_of(&found.unwrap_or_default(), &leaving.lines))
            }
        }
    }

    /// Steps 1 and 2 (H2, H4); returns what counts then.
    fn append_entries(&self, part: Part, leaving: &Leaving) -> Result<Part, StoreError> {
        let path = self.place().history(&part.file);
        let failed = |source| StoreError::Io { action: "write", path: path.clone(), source };
        let short = |len| {
            let source = HistoryError::Short { len, counted: part.bytes };
            StoreError::History { path: path.clone(), source }
        };
        let begins = part.bytes == 0;
        let mode = if begins { OpenMode::Create } else { OpenMode::ReadWrite };
        let file = match self.vfs().open(&path, mode) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(short(0)),
            opened => opened.map_err(failed)?,
        };
        let len = file.stat().map_err(failed)?.len;
        if len < part.bytes {
            return Err(short(len));
        }
        // The whole is written also where the same lies there: a process that was killed need not have synced it.
        write_all_at(&*file, &leaving.lines, part.bytes).map_err(failed)?;
        let end = part.bytes.saturating_add(leaving.lines.len() as u64);
        if len > end {
            file.set_len(end).map_err(failed)?;
        }
        file.sync_data().map_err(failed)?;
        if begins {
            self.vfs().sync_dir(self.place().state()).map_err(failed)?;
        }
        let entries = part.entries.saturating_add(leaving.entries);
        Ok(Part { file: part.file, entries, bytes: end })
    }
}
