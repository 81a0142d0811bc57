//! The file of dispatch markers: who works for which repository now.
//!
//! * **M1** Whoever changes it has the lock beside it, and replaces it as a whole; without entries there is no file.

use std::path::{Path, PathBuf};

use api::{env, exit::Exit};
use goal::{MarkerFile, MarkerFileError, change_markers, read_markers};
use vfs::{OsVfs, Vfs as _};

use crate::{beside, context::Context, failure::Failure};

/// The file: the one that was named, or that of the user.
pub(in crate::commands) fn path(
    given: Option<&Path>,
    context: Context<'_>,
) -> Result<PathBuf, Failure> {
    if let Some(path) = given {
        return Ok(path.to_owned());
    }
    let home = context.var(env::HOME).ok_or_else(|| {
        let message = format!("no default file of markers: {} is not set", env::HOME);
        Failure::new(Exit::Usage, "NO_DEFAULT_DIRECTORY", message).hint("pass --marker FILE")
    })?;
    Ok(PathBuf::from(home).join(".copilot/markers/dispatched-subagent-active"))
}

/// Reads it; one that is absent has no entries.
pub(in crate::commands) fn read(path: &Path) -> Result<MarkerFile, Failure> {
    read_markers(&OsVfs, path).map_err(failure)
}

/// Changes it (M1). What `change` returns goes to the caller.
pub(in crate::commands) fn change<T>(
    path: &Path,
    change: impl FnOnce(&mut MarkerFile) -> T,
) -> Result<T, Failure> {
    let held = lock(path)?;
    change_markers(&OsVfs, &held, path, change).map_err(failure)
}

#[expect(clippy::needless_pass_by_value, reason = "map_err gives it away")]
fn failure(error: MarkerFileError) -> Failure {
    match &error {
        MarkerFileError::Io { action, path, source } => Failure::file(action, path, source),
        other => Failure::of(Exit::Failed, other.code(), other),
    }
}

fn lock(path: &Path) -> Result<vfs::Lock, Failure> {
    if let Some(dir) = path.parent() {
        let made = OsVfs.create_dir_all(dir);
        made.map_err(|error| Failure::file("create", dir, &error))?;
    }
    beside::lock(path).map_err(|error| {
        let failure = Failure::of(Exit::Failed, "MARKER_LOCKED", &error);
        failure.hint("wait for it, then try again")
    })
}
