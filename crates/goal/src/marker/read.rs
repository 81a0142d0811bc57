//! Reading marker files, also those of older writers.
//!
//! | form                                      | read as                            |
//! |-------------------------------------------|------------------------------------|
//! | `"active_tentacles": [{…}]`               | as it is                           |
//! | `"active_tentacles": ["a", "b"]`          | entries with a name and nothing else |
//! | `"tentacle": "a"`, no `active_tentacles`  | one entry with that name           |
//! | times as numbers                          | the same as text                   |

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use thiserror::Error;

use super::{MarkerEntry, MarkerFile};

/// Longest marker file, in bytes.
pub const MARKER_LEN_MAX: usize = 4 << 20;

/// Why a marker file cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MarkerError {
    /// It is not the JSON of a marker.
    #[error("the dispatch marker is damaged: {source}; move it away when no worker is out")]
    Corrupt {
        /// What is wrong, and where.
        source: serde_json::Error,
    },
    /// It is longer than [`MARKER_LEN_MAX`].
    #[error("the dispatch marker has {len} bytes; at most {MARKER_LEN_MAX} are read")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
}

impl MarkerError {
    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Corrupt { .. } => "MARKER_CORRUPT",
            Self::TooLong { .. } => "MARKER_TOO_LONG",
        }
    }
}

impl MarkerFile {
    /// Reads the bytes of a marker file; no file is an empty one.
    ///
    /// # Errors
    ///
    /// [`MarkerError`] when there is a file and it cannot be read.
    pub fn parse(file: Option<&[u8]>) -> Result<Self, MarkerError> {
        let Some(bytes) = file else { return Ok(Self::default()) };
        if bytes.len() > MARKER_LEN_MAX {
            return Err(MarkerError::TooLong { len: bytes.len() });
        }
        let corrupt = |source| MarkerError::Corrupt { source };
        let mut file: Self = serde_json::from_slice(bytes).map_err(corrupt)?;
        if let Some(Value::String(name)) = file.extra.get("tentacle") {
            if file.active_tentacles.is_empty() {
                let entry = MarkerEntry { name: name.clone(), ..MarkerEntry::default() };
                file.active_tentacles.push(entry);
            }
            // From now on the list says it; twice would bring a removed entry back.
            file.extra.remove("tentacle");
        }
        Ok(file)
    }
}

/// Reads seconds that are text or a number.
pub(super) fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(from)? {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

/// Reads entries that are objects or names.
pub(super) fn entries<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<MarkerEntry>, D::Error> {
    let entry = |it: Form| match it {
        Form::Name(name) => MarkerEntry { name, ..MarkerEntry::default() },
        Form::Entry(entry) => *entry,
    };
    Ok(Vec::<Form>::deserialize(from)?.into_iter().map(entry).collect())
}

/// Both forms of an entry.
#[derive(Deserialize)]
#[serde(untagged)]
enum Form {
    Name(String),
    Entry(Box<MarkerEntry>),
}
