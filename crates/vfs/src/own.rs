//! What is a file of ours, before anything in it is overwritten.
//!
//! | what has the name              | answer              |
//! |--------------------------------|---------------------|
//! | a file with this name alone    | ours                |
//! | a symbolic link                | [`NotOwn::Link`]    |
//! | a file with another name, too  | [`NotOwn::Names`]   |
//! | a file longer than ours ever are | [`NotOwn::Long`]  |

use std::{fmt, io};

use crate::{File, Stat};

/// Why a file is not taken for one of ours. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotOwn {
    /// The name is that of a symbolic link.
    Link,
    /// The file has other names, too.
    Names {
        /// How many.
        names: u64,
    },
    /// The file is longer than any of ours.
    Long {
        /// Its length in bytes.
        len: u64,
        /// The longest of ours.
        max: u64,
    },
}

impl fmt::Display for NotOwn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link => f.write_str("a symbolic link, not the file itself"),
            Self::Names { names } => {
                write!(f, "the file has {names} names, and under another it may be anything")
            }
            Self::Long { len, max } => {
                write!(f, "{len} bytes, where at most {max} are ever written")
            }
        }
    }
}

impl std::error::Error for NotOwn {}

impl NotOwn {
    /// What an error of [`Vfs`](crate::Vfs) says about it, if that is what it says.
    pub fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }

    pub(crate) fn names(stat: &Stat) -> Result<(), Self> {
        // None is a file that has just been removed: whoever asks for its name will see.
        if stat.names > 1 { Err(Self::Names { names: stat.names }) } else { Ok(()) }
    }
}

impl From<NotOwn> for io::Error {
    fn from(why: NotOwn) -> Self {
        Self::new(io::ErrorKind::InvalidInput, why)
    }
}

/// Refuses an open file that has other names, or is longer than `len_max` bytes. To be asked when the file is locked,
/// and before anything is written.
///
/// # Errors
///
/// [`NotOwn`], or what the file system reports.
pub fn check_own(file: &dyn File, len_max: u64) -> io::Result<()> {
    let stat = file.stat()?;
    NotOwn::names(&stat)?;
    if stat.len > len_max {
        return Err(NotOwn::Long { len: stat.len, max: len_max }.into());
    }
    Ok(())
}
