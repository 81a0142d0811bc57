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
