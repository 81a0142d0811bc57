//! The state on the disk: `access.json`, and `access.used` beside it.
//!
//! # Layout
//!
//! `access.json` is one JSON object: `format`, `version`, `blake3` (of the text of `access`, hexadecimal)
//! and `access`. `access.used` is a text that ends in the number of changes the state has seen.
//!
//! # Boot table
//!
//! | row | `access.json`    | `access.used`            | decision                                        |
//! |-----|------------------|--------------------------|-------------------------------------------------|
//! | A   | absent           | absent                   | a new state: nobody was ever let in             |
//! | B   | absent           | present                  | refuse: `ACCESS_MISSING`                        |
//! | C   | sound            | absent, or not ahead     | this state                                      |
//! | D   | sound            | ahead                    | refuse: `ACCESS_ROLLED_BACK`                    |
//! | E   | newer            | –                        | refuse: `ACCESS_NEWER`                          |
//! | F   | anything else    | –                        | refuse: `ACCESS_CORRUPT`                        |
//! | G   | –                | neither                  | refuse: `ACCESS_CORRUPT`                        |
//!
//! # Invariants
//!
//! * **X1** A lost file is never taken for a new installation, whose door is open, nor an older copy for the
//!   present state, in which revoked tokens would live again. Both names would have to be lost.
//! * **X2** When [`save`] returned `Ok` the state survives any crash. When it failed, the state on the disk
//!   is the old one or the new one, whole; the caller goes on with the old one and says so.
//! * **X3** `access.json` first, `access.used` second: the evidence is never ahead of the state. [`open`]
//!   makes up for a crash in between before anything is answered from the state.
//! * **X4** One changed byte anywhere in `access.json` is refused: what a flipped bit makes of a role or a
//!   subject may be valid, too.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;
use vfs::Vfs;

use super::access::Access;

/// The state.
pub(crate) const ACCESS: &str = "access.json";
/// Evidence that there is a state, and how many changes it has seen.
pub(crate) const ACCESS_USED: &str = "access.used";
/// Longest state: every limit of it reached.
const ACCESS_LEN_MAX: u64 = 32 << 20;
/// Longest evidence.
const USED_LEN_MAX: u64 = 512;
/// What the state calls itself.
const FORMAT: &str = "autonomy-access";
/// The version that is written, and the newest that is read.
const VERSION: u32 = 1;
/// What the evidence says to whoever reads it.
const USED_TEXT: &str =
    "Roles and tokens were kept in access.json of this directory. While this file exists, a missing
access.json, or one that has seen fewer changes, is refused as a loss. Remove it only to accept that
loss on purpose: then whoever is on this machine may give himself a role. Changes:
";

/// What every version has.
#[derive(Debug, Deserialize)]
struct Head {
    format: String,
    version: u32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    format: String,
    version: u32,
    blake3: String,
    #[serde(borrow)]
    access: &'a RawValue,
}

/// Reads the state of the data directory by the boot table.
pub(crate) fn open(vfs: &dyn Vfs, dir: &Path) -> Result<Access, FileError> {
    let (path, used_path) = (dir.join(ACCESS), dir.join(ACCESS_USED));
    let used = read(vfs, &used_path, USED_LEN_MAX)?
        .map(|it| parse_used(&it).map_err(|finding| FileError::corrupt(&used_path, finding)))
        .transpose()?;
    let Some(bytes) = read(vfs, &path, ACCESS_LEN_MAX)? else {
        return match used {
            None => Ok(Access::default()),
            Some(_) => Err(FileError::Missing { path, evidence: used_path }),
        };
    };
    let access = decode(&bytes, &path)?;
    let found = access.generation();
    if let Some(used) = used.filter(|it| found < *it) {
        return Err(FileError::RolledBack { path, found, used });
    }
    if used != Some(found) {
        leave_used(vfs, dir, found)?; // X3; the directory with the name of the state is synced by it.
    }
    Ok(access)
}

/// Makes the state durable (X2). One at a time: whoever calls it holds the state.
pub(crate) fn save(vfs: &dyn Vfs, dir: &Path, access: &Access) -> Result<(), FileError> {
    let path = dir.join(ACCESS);
    let bytes = encode(access).map_err(|error| FileError::corrupt(&path, error.to_string()))?;
    if bytes.len() as u64 > ACCESS_LEN_MAX {
        return Err(FileError::io(&path, io::ErrorKind::FileTooLarge.into()));
    }
    vfs::replace_private(vfs, &path, &bytes).map_err(|source| FileError::io(&path, source))?;
    leave_used(vfs, dir, access.generation())
}

fn leave_used(vfs: &dyn Vfs, dir: &Path, generation: u64) -> Result<(), FileError> {
    let (path, text) = (dir.join(ACCESS_USED), format!("{USED_TEXT}{generation}\n"));
    vfs::replace_private(vfs, &path, text.as_bytes()).map_err(|source| FileError::io(&path, source))
}

fn read(vfs: &dyn Vfs, path: &Path, limit: u64) -> Result<Option<Vec<u8>>, FileError> {
    vfs::read_whole(vfs, path, limit).map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => {
            FileError::corrupt(path, format!("it is longer than {limit} bytes"))
        }
        _ => FileError::io(path, error),
    })
}

fn parse_used(bytes: &[u8]) -> Result<u64, String> {
    let text = str::from_utf8(bytes).ok().and_then(|it| it.strip_prefix(USED_TEXT));
    let number = text.and_then(|it| it.strip_suffix('\n')).ok_or("its text was changed")?;
    let parsed = number.parse().ok().filter(|it: &u64| it.to_string() == number);
    parsed.ok_or_else(|| "it does not end in a number of changes".to_owned())
}

fn encode(access: &Access) -> Result<Vec<u8>, serde_json::Error> {
    let access = serde_json::value::to_raw_value(access)?;
    let blake3 = digest(access.get());
    let envelope =
        Envelope { format: FORMAT.to_owned(), version: VERSION, blake3, access: &access };
    let mut bytes = serde_json::to_vec(&envelope)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn decode(bytes: &[u8], path: &Path) -> Result<Access, FileError> {
    let corrupt = |finding: String| FileError::corrupt(path, finding);
    let head: Head = serde_json::from_slice(bytes).map_err(|error| corrupt(shape(&error)))?;
    if head.format != FORMAT {
        return Err(corrupt("it is a file of something else".to_owned()));
    }
    if head.version > VERSION {
        let path = path.to_owned();
        return Err(FileError::Newer { path, found: head.version, supported: VERSION });
    }
    let envelope: Envelope<'_> =
        serde_json::from_slice(bytes).map_err(|error| corrupt(shape(&error)))?;
    let text = envelope.access.get();
    if envelope.version != VERSION || envelope.blake3 != digest(text) {
        return Err(corrupt("it is not what was written (blake3)".to_owned()));
    }
    let access: Access = serde_json::from_str(text).map_err(|error| corrupt(shape(&error)))?;
    let access = access.check().map_err(|finding| corrupt(format!("it has {finding}")))?;
    // Something between the fields, or an end that is another: harmless, and not what was written.
    match encode(&access) {
        Ok(again) if again == bytes => Ok(access),
        _ => Err(corrupt("it is not as it is written".to_owned())),
    }
}

fn digest(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

/// Where a text stops being a state. What stands there is not repeated.
fn shape(error: &serde_json::Error) -> String {
    format!("line {} column {}: {:?}", error.line(), error.column(), error.classify())
}

/// Why the state is not read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FileError {
    /// It is not what was written.
    #[error("{path} is damaged: {finding}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        finding: String,
    },
    /// A newer program wrote it.
    #[error("{path} has version {found}, newer than {supported}")]
    Newer {
        /// The file.
        path: PathBuf,
        /// What it has.
        found: u32,
        /// What is known.
        supported: u32,
    },
    /// It was here and is gone.
    #[error("{path} is gone; {evidence} says that it was here")]
    Missing {
        /// The file.
        path: PathBuf,
        /// The file that says so.
        evidence: PathBuf,
    },
    /// Changes that were answered are not in it.
    #[error("{path} has seen {found} changes and there were {used}: it is an older copy")]
    RolledBack {
        /// The file.
        path: PathBuf,
        /// What it has.
        found: u64,
        /// What there were.
        used: u64,
    },
    /// The operating system refused something.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What it says.
        source: io::Error,
    },
}

impl FileError {
    fn corrupt(path: &Path, finding: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_owned(), finding: finding.into() }
    }

    fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    /// Returns the stable code.
    pub(crate) const fn code(&self) -> &'static str {
        self.row().0
    }

    /// Returns what to do next.
    pub(crate) const fn hint(&self) -> &'static str {
        self.row().1
    }

    /// The one table of codes and next steps.
    const fn row(&self) -> (&'static str, &'static str) {
        match self {
            Self::Corrupt { .. } => (
                "ACCESS_CORRUPT",
                "restore access.json and access.used together from a backup; removing both makes every role and token void",
            ),
            Self::Newer { .. } => {
                ("ACCESS_NEWER", "start the newer version of autonomy-orchestrator")
            }
            Self::Missing { .. } => (
                "ACCESS_MISSING",
                "restore access.json from a backup; or remove access.used to begin without roles and tokens",
            ),
            Self::RolledBack { .. } => (
                "ACCESS_ROLLED_BACK",
                "restore access.json and access.used together; or remove access.used to accept the older state, with tokens that were revoked since",
            ),
            Self::Io { .. } => {
                ("ACCESS_IO", "check owner, mode and free space of the data directory")
            }
        }
    }
}

#[cfg(test)]
mod tests;
