//! Durability: the only code of the system that opens, writes, syncs, renames, locks, truncates.
//!
//! | module    | what it holds                                                              |
//! |-----------|----------------------------------------------------------------------------|
//! | `port`    | the traits [`Vfs`] and [`File`]: what a log needs of a file system           |
//! | `os`      | [`OsVfs`]: the real one                                                      |
//! | `own`     | what is a file of ours, before anything in it is overwritten                 |
//! | `replace` | the one routine that replaces a file as a whole, and its reading counterpart |
//! | `sector`  | [`SectorFile`]: a small file that is overwritten in place where that cannot tear |
//! | `append`  | the one routine that appends lines                                           |
//! | `lock`    | advisory locks that name their holder                                        |
//! | `mem`     | `MemVfs` (feature `testing`): written and synced state kept apart            |
//! | `mutants` | (feature `mutants`) operations that `MemVfs` only pretends to do                |
//! | `fault`   | `FaultPlan` (feature `testing`): which operation fails, and how              |

mod append;
#[cfg(feature = "testing")]
mod fault;
mod lock;
#[cfg(feature = "testing")]
mod mem;
#[cfg(feature = "mutants")]
mod mutants;
mod os;
mod own;
mod port;
mod replace;
mod sector;

pub use append::append_lines;
#[cfg(feature = "testing")]
pub use fault::{Fault, FaultPlan, Op};
pub use lock::{Lock, LockError, lock_records};
#[cfg(feature = "testing")]
pub use mem::{CrashPolicy, MemVfs};
pub use os::OsVfs;
pub use own::{NotOwn, check_own};
pub use port::{File, FileId, OpenMode, Stat, Vfs, write_all_at};
pub use replace::{
    TEMP_SUFFIX, read_whole, read_whole_own, replace, replace_private, replace_with,
};
pub use sector::{SECTOR_LEN, SectorFile};

/// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
