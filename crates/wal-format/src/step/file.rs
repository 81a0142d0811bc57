//! Names of the files of a step directory.
//!
//! | name                                | what it is                                      |
//! |-------------------------------------|-------------------------------------------------|
//! | `<mandate_id>.wal.jsonl`            | the step log of a mandate                       |
//! | `<mandate_id>.wal.jsonl.lock`       | who writes it                                   |
//! | `<mandate_id>.wal.jsonl.torn-<ms>`  | a line that a crash has torn, put aside         |
//! | `<mandate_id>.wal.jsonl.gz`         | the log after it was archived                   |
//!
//! Only the first is what a recovery looks at ([`WAL_GLOB`]).

use thiserror::Error;

/// Which files a recovery looks at, one directory level deep.
pub const WAL_GLOB: &str = "*.wal.jsonl";
/// What follows the id of the mandate.
const SUFFIX: &str = ".wal.jsonl";
/// What follows the name of a log in the name of its archive.
pub const ARCHIVE_SUFFIX: &str = ".gz";
/// What follows the name of a log in the name of its lock.
pub const LOCK_SUFFIX: &str = ".lock";
/// Longest id of a mandate in bytes: every name above has to fit 255 bytes.
pub const MANDATE_ID_LEN_MAX: usize = 200;

/// Returns the name of the log of a mandate.
///
/// # Errors
///
/// [`NameError`] when the id would leave the directory, be hidden, or be too long.
pub fn file_name(mandate_id: &str) -> Result<String, NameError> {
    let bad = |it: char| it == '/' || it == '\\' || it.is_control();
    if mandate_id.is_empty() {
        return Err(NameError::Empty);
    }
    if mandate_id.len() > MANDATE_ID_LEN_MAX {
        return Err(NameError::TooLong { len: mandate_id.len() });
    }
    if mandate_id.starts_with('.') {
        return Err(NameError::Character { found: '.' });
    }
    match mandate_id.chars().find(|it| bad(*it)) {
        Some(found) => Err(NameError::Character { found }),
        None => Ok(format!("{mandate_id}{SUFFIX}")),
    }
}

/// Whether [`WAL_GLOB`] matches a name. As in a shell, `*` does not match a leading dot.
pub fn is_step_file(name: &str) -> bool {
    mandate_of(name).is_some()
}

/// Returns the mandate whose log has this name.
pub fn mandate_of(name: &str) -> Option<&str> {
    name.strip_suffix(SUFFIX).filter(|it| !it.is_empty() && !it.starts_with('.'))
}

/// What follows the name of a log in the name of a torn line that was put aside.
pub fn torn_suffix(unix_ms: i64) -> String {
    format!(".torn-{unix_ms}")
}

/// Why an id names no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// There is no id.
    #[error("the id of the mandate is empty")]
    Empty,
    /// It does not fit a file name.
    #[error("the id of the mandate has {len} bytes, at most {MANDATE_ID_LEN_MAX} fit a file name")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// It has a character that a file name must not have, or not there.
    #[error("the id of the mandate must not contain {found:?} here")]
    Character {
        /// The character.
        found: char,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_match_and_what_lies_beside_them_does_not() {
        let name = file_name("mnd_plan_505e993c2390").unwrap();
        assert_eq!(name, "mnd_plan_505e993c2390.wal.jsonl");
        assert_eq!(mandate_of(&name), Some("mnd_plan_505e993c2390"));
        let torn = torn_suffix(1_767_323_045_000);
        for beside in [ARCHIVE_SUFFIX, LOCK_SUFFIX, ".gz.tmp", ".tmp", torn.as_str(), "x"] {
            assert!(!is_step_file(&format!("{name}{beside}")), "{beside}");
        }
        for other in [".wal.jsonl", ".hidden.wal.jsonl", "wal.jsonl", "telemetry.wal"] {
            assert!(!is_step_file(other), "{other}");
        }
    }

    #[test]
    fn an_id_never_leaves_the_directory() {
        for (id, want) in [
            ("", NameError::Empty),
            ("..", NameError::Character { found: '.' }),
            ("a/b", NameError::Character { found: '/' }),
            ("a\\b", NameError::Character { found: '\\' }),
            ("a\0b", NameError::Character { found: '\0' }),
        ] {
            assert_eq!(file_name(id), Err(want), "{id}");
        }
        let long = "m".repeat(MANDATE_ID_LEN_MAX + 1);
        assert_eq!(file_name(&long), Err(NameError::TooLong { len: 201 }));
        let most =
            file_name(&"m".repeat(MANDATE_ID_LEN_MAX)).unwrap() + &torn_suffix(i64::MAX) + ".tmp";
        assert!(most.len() <= 255, "{}", most.len());
    }
}
