//! A copy of a database that has no name yet.
//!
//! * **H1** A draft is filled from one snapshot, by `SQLite`'s online backup: what was committed while it is copied is in
//!   it whole or not at all.
//! * **H2** It takes its name only after its bytes alone passed a full check and were synced.
//! * **H3** Until then nothing has the name but what had it; a draft that fails is removed. One that a kill left
//!   behind is used again by the next.
//! * **H4** Two processes never write one draft: whoever comes second is told that it is busy.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
    sync::Arc,
};

use rusqlite::{
    Connection, OpenFlags,
    backup::{Backup, StepResult},
};
use vfs::{File, OpenMode, OsVfs, Vfs as _};

use super::{
    Check, DatabaseError,
    error::ANOTHER,
    open::{check, connect_alone},
    place::{SIDECARS, beside, dir_of, look, plain},
};

/// Pages that are copied in one step.
const PAGES_PER_STEP: i32 = 1024;
/// What of the mode of a file is copied.
const MODE_BITS: u32 = 0o777;

/// A copy on its way.
#[derive(Debug)]
pub(super) struct Draft {
    path: PathBuf,
    file: Arc<dyn File>,
    done: bool,
}

impl Draft {
    /// Opens it, empty, with mode, and as asked owner, of the file `like`.
    pub(super) fn begin(
        path: PathBuf,
        like: Option<&fs::Metadata>,
        owner: bool,
    ) -> Result<Self, DatabaseError> {
        look(&path)?;
        let failed = |error| DatabaseError::io("write", &path, error);
        let busy = || DatabaseError::Busy { path: path.clone(), holder: ANOTHER.to_owned() };
        let file = OsVfs.open(&path, OpenMode::CreatePrivate).map_err(failed)?;
        // H4; the one before may have given it its name meanwhile.
        if !file.try_lock().map_err(failed)? || !file.is_named(&path).map_err(failed)? {
            return Err(busy());
        }
        // Its name may be one of something else, too.
        vfs::check_own(&*file, u64::MAX).map_err(failed)?;
        file.set_len(0).map_err(failed)?;
        let draft = Self { path, file, done: false };
        draft.remove_sidecars()?;
        if let Some(like) = like {
            draft.look_like(like, owner)?;
        }
        Ok(draft)
    }

    fn look_like(&self, like: &fs::Metadata, owner: bool) -> Result<(), DatabaseError> {
        let failed = |error| DatabaseError::io("set owner and mode of", &self.path, error);
        let own = fs::metadata(&self.path).map_err(failed)?;
        if owner && (own.uid(), own.gid()) != (like.uid(), like.gid()) {
            chown(&self.path, Some(like.uid()), Some(like.gid())).map_err(failed)?;
        }
        let mode = fs::Permissions::from_mode(like.mode() & MODE_BITS);
        fs::set_permissions(&self.path, mode).map_err(failed)
    }

    fn remove_sidecars(&self) -> Result<(), DatabaseError> {
        for suffix in SIDECARS {
            let path = beside(&self.path, suffix);
            if look(&path)?.is_some() {
                OsVfs.remove(&path).map_err(|error| DatabaseError::io("remove", &path, error))?;
            }
        }
        Ok(())
    }

    /// Copies what `source` sees (H1), checks the bytes and makes them durable (H2).
    pub(super) fn fill(&self, source: &Connection, from: &Path) -> Result<(), DatabaseError> {
        self.copy(source, from)?;
        check(&connect_alone(&self.path)?, from, Check::Full)?;
        self.file.sync_data().map_err(|error| DatabaseError::io("sync", &self.path, error))
    }

    fn copy(&self, source: &Connection, from: &Path) -> Result<(), DatabaseError> {
        let failed = |error| DatabaseError::sqlite(from, error);
        let of_draft = |error| DatabaseError::sqlite(&self.path, error);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut draft = Connection::open_with_flags(plain(&self.path), flags).map_err(of_draft)?;
        // It is synced once, at the end, and nobody needs half of it.
        draft
            .execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")
            .map_err(of_draft)?;
        // The snapshot (H1): without it, each commit in between would begin the copy again.
        let snapshot = source.unchecked_transaction().map_err(failed)?;
        snapshot.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map_err(failed)?;
        let backup = Backup::new(source, &mut draft).map_err(of_draft)?;
        while let step = backup.step(PAGES_PER_STEP).map_err(of_draft)?
            && step != StepResult::Done
        {
            // Each lock was waited for as long as the connection waits.
            if step != StepResult::More {
                let holder = ANOTHER.to_owned();
                return Err(DatabaseError::Busy { path: from.to_owned(), holder });
            }
        }
        drop(backup);
        draft.close().map_err(|(_, error)| of_draft(error))?;
        snapshot.finish().map_err(failed)
    }

    /// How long it is, in bytes.
    pub(super) fn len(&self) -> Result<u64, DatabaseError> {
        let stat = self.file.stat();
        stat.map(|it| it.len).map_err(|error| DatabaseError::io("look at", &self.path, error))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it its name, durably, in the place of what had it.
    pub(super) fn take_name(&mut self, name: &Path) -> Result<(), DatabaseError> {
        let failed = |error| DatabaseError::io("rename to", name, error);
        OsVfs.rename(&self.path, name).map_err(failed)?;
        self.done = true;
        let dir = dir_of(name);
        OsVfs.sync_dir(&dir).map_err(|error| DatabaseError::io("sync", &dir, error))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.done {
            // As far as the file system lets us (H3); the next draft copes with what is left.
            OsVfs.remove(&self.path).ok();
            self.remove_sidecars().ok();
        }
    }
}
