//! Where the log of a run is.
//!
//! | `--dir` | variable | `--keep` | place                       | at the end |
//! |---------|----------|----------|-----------------------------|------------|
//! | given   | any      | any      | that directory              | stays      |
//! | –       | set      | any      | that directory              | stays      |
//! | –       | –        | yes      | a new one below `$TMPDIR`   | stays      |
//! | –       | –        | no       | a new one below `$TMPDIR`   | deleted    |

use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use api::env;
use tempfile::TempDir;

use crate::{context::Context, failure::Failure};

/// Beginning of the names of temporary logs.
const PREFIX: &str = "autonomy-run-";
/// Where temporary files are when nobody says.
const TMP: &str = "/tmp";

/// What the command line says about the place.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::commands) struct Asked<'a> {
    pub(in crate::commands) dir: Option<&'a Path>,
    pub(in crate::commands) keep: bool,
}

/// The directory of a log, and what becomes of it.
#[derive(Debug)]
pub(in crate::commands) enum Place {
    Stays(PathBuf),
    Temporary(TempDir),
}

impl Place {
    /// Chooses it; a temporary one is created, for this user alone.
    pub(in crate::commands) fn choose(
        asked: Asked<'_>,
        context: Context<'_>,
    ) -> Result<Self, Failure> {
        match (asked.dir, context.var(env::RUN_WAL_DIR)) {
            (None, Some(dir)) => Ok(Self::Stays(dir.into())),
            _ => Self::apart(asked, context),
        }
    }

    /// The same without the variable.
    pub(in crate::commands) fn apart(
        asked: Asked<'_>,
        context: Context<'_>,
    ) -> Result<Self, Failure> {
        if let Some(dir) = asked.dir {
            return Ok(Self::Stays(dir.to_owned()));
        }
        let below = PathBuf::from(context.var(env::TMPDIR).unwrap_or_else(|| TMP.to_owned()));
        let mut making = tempfile::Builder::new();
        // What agents send is nobody else's business.
        making.prefix(PREFIX).permissions(Permissions::from_mode(0o700));
        let made = making.tempdir_in(&below);
        let made = made.map_err(|error| {
            Failure::file("create a directory in", &below, &error).hint("pass --dir")
        })?;
        Ok(if asked.keep { Self::Stays(made.keep()) } else { Self::Temporary(made) })
    }

    pub(in crate::commands) fn dir(&self) -> &Path {
        match self {
            Self::Stays(dir) => dir,
            Self::Temporary(dir) => dir.path(),
        }
    }

    /// What becomes of it, in a few words.
    pub(in crate::commands) const fn fate(&self) -> &'static str {
        match self {
            Self::Stays(_) => "stays",
            Self::Temporary(_) => "deleted at the end; --keep or --dir keeps it",
        }
    }

    /// Deletes what is temporary.
    pub(in crate::commands) fn clear(self) -> Result<(), Failure> {
        match self {
            Self::Stays(_) => Ok(()),
            Self::Temporary(dir) => {
                let path = dir.path().to_owned();
                dir.close().map_err(|error| Failure::file("delete", &path, &error))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_place_is_for_this_user_alone() {
        let tmp = tempfile::tempdir().unwrap();
        let lookup = |name: &str| (name == "TMPDIR").then(|| tmp.path().display().to_string());
        for keep in [false, true] {
            let asked = Asked { dir: None, keep };
            let place = Place::apart(asked, Context::new(&lookup, false)).unwrap();
            let mode = std::fs::metadata(place.dir()).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{mode:o}");
        }
    }

    /// Whether the place is temporary, and whether it is there at the end.
    fn chosen(tmp: &Path, dir: Option<&Path>, var: Option<&str>, keep: bool) -> (bool, bool) {
        let lookup = |name: &str| match name {
            "AUTONOMY_RUN_WAL_DIR" => var.map(str::to_owned),
            "TMPDIR" => tmp.to_str().map(str::to_owned),
            _ => None,
        };
        let place = Place::choose(Asked { dir, keep }, Context::new(&lookup, false)).unwrap();
        let at = place.dir().to_owned();
        match dir.or(var.map(Path::new)) {
            Some(named) => assert_eq!(at, named),
            None => assert!(at.starts_with(tmp) && at.is_dir(), "{at:?}"),
        }
        let temporary = matches!(place, Place::Temporary(_));
        place.clear().unwrap();
        (temporary, at.is_dir())
    }

    /// Every row of the table.
    #[test]
    fn the_flag_wins_over_the_variable_and_only_what_nobody_named_is_temporary() {
        let tmp = tempfile::tempdir().unwrap();
        let (flag, var) = (tmp.path().join("flag"), Some("/var-dir"));
        for keep in [false, true] {
            assert_eq!(chosen(tmp.path(), Some(&flag), None, keep), (false, false));
            assert_eq!(chosen(tmp.path(), Some(&flag), var, keep), (false, false));
            assert_eq!(chosen(tmp.path(), None, var, keep), (false, false));
            assert_eq!(chosen(tmp.path(), None, None, keep), (!keep, keep));
        }
    }
}
