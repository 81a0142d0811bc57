//! Database files: whose they are, and how they are migrated, copied, restored and kept small.
//!
//! Two kinds are served: databases of the control plane, by their `application_id`, and any file of `SQLite` with a table
//! `schema_version`. Every function here blocks, takes the time as an argument and prints nothing.
//!
//! | module      | what it holds                                                        |
//! |-------------|----------------------------------------------------------------------|
//! | `layout`    | the databases of the control plane, and the steps that make them     |
//! | `migrate`   | how an older one becomes a current one                               |
//! | `versioned` | `schema_version`, and directories of migrations                      |
//! | `update`    | a file of either kind brought to its newest version                  |
//! | `backup`    | a copy while others write                                            |
//! | `restore`   | a backup in the place of a database, with nothing lost               |
//! | `maintain`  | `VACUUM`, and the log emptied                                        |
//! | `status`    | what there is to know                                                |
//! | `draft`     | a copy that has no name yet                                          |
//! | `open`      | connections, and what a database says about itself                   |
//! | `place`     | names of files: what may have them, what lies beside a database      |
//! | `error`     | the codes                                                            |

mod backup;
mod draft;
mod error;
mod layout;
mod maintain;
mod migrate;
mod open;
mod place;
mod restore;
mod status;
mod update;
mod versioned;

pub use backup::{BackedUp, BackupOrder, backup, default_backup};
pub use error::DatabaseError;
pub use layout::{EVENTS, EVENTS_PER_BLOCK, LOCK, Layout, OURS, ROLLOUTS};
pub use maintain::{MaintainOrder, Maintained, last_run_at, maintain};
pub use migrate::{Identity, MigrationError, identity, migrate};
pub use open::{Check, Found, Kind, layout_of};
pub use place::SIDECARS;
pub use restore::{RestoreOrder, Restored, restore};
pub use status::{Pages, Status, status};
pub use update::{UpdateOrder, Updated, update};
pub use versioned::{Migration, migrations};

/// Makes a database with one row, and beside it the journal of a writer that was killed in the middle of a second one.
#[cfg(test)]
fn hot_journal(path: &std::path::Path) {
    use std::fs;

    let (living, journal) =
        (path.with_extension("living"), place_beside(&path.with_extension("living")));
    let conn = rusqlite::Connection::open(&living).unwrap();
    conn.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (zeroblob(50000))").unwrap();
    // So that pages go to the file before the end, and the journal is synced and says how many it has.
    conn.execute_batch("PRAGMA cache_size = 1; BEGIN; UPDATE t SET x = randomblob(50000);")
        .unwrap();
    conn.execute_batch("INSERT INTO t VALUES (randomblob(90000));").unwrap();
    fs::copy(&living, path).unwrap();
    fs::copy(&journal, place_beside(path)).unwrap();
    drop(conn);
    fs::remove_file(living).unwrap();
}

#[cfg(test)]
fn place_beside(path: &std::path::Path) -> std::path::PathBuf {
    place::beside(path, "-journal")
}
