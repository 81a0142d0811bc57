//! What failures about databases mean for an operator.
//!
//! | exit | when                                                            |
//! |-----:|-----------------------------------------------------------------|
//! |    1 | refused or failed; busy                                         |
//! |    2 | the command line makes no sense: a file onto itself, a directory of migrations that cannot be followed |
//! |    5 | the file is not there                                           |
//! |    8 | damaged, or no database                                         |
//! |   75 | busy, with `--strict-exit`                                      |

use api::exit::Exit;
use rollout_store::database::DatabaseError;
use serde_json::json;

use crate::failure::Failure;

/// Gives an error its exit code, its next step, and what programs need of it.
pub(super) fn failure(error: &DatabaseError, strict: bool) -> Failure {
    let mut failure = Failure::of(exit(error, strict), error.code(), error);
    failure.report = match error {
        DatabaseError::Migration { version, reached, .. }
        | DatabaseError::Refused { version, reached, .. } => {
            Some(Box::new(json!({ "failed_version": version, "schema_version": reached })))
        }
        DatabaseError::Gap { version, missing, .. } => {
            Some(Box::new(json!({ "schema_version": version, "missing_version": missing })))
        }
        _ => None,
    };
    failure.hint(hint(error))
}

const fn exit(error: &DatabaseError, strict: bool) -> Exit {
    match error {
        DatabaseError::NotFound { .. } => Exit::NotFound,
        DatabaseError::NotADatabase { .. } | DatabaseError::Corrupt { .. } => Exit::Integrity,
        DatabaseError::SameFile { .. } | DatabaseError::Migrations { .. } => Exit::Usage,
        DatabaseError::Busy { .. } if strict => Exit::Busy,
        _ => Exit::Failed,
    }
}

const fn hint(error: &DatabaseError) -> &'static str {
    match error {
        DatabaseError::NotFound { .. } => {
            "is it the right path? only `db migrate DB --migrations DIR` makes a database"
        }
        DatabaseError::NotAFile { .. } => "name the file itself",
        DatabaseError::NotADatabase { .. } => {
            "is it the right file? if it is, restore it: autonomy db restore DB --from BACKUP"
        }
        DatabaseError::Corrupt { .. } => {
            "do not write it any more; restore it: autonomy db restore DB --from BACKUP"
        }
        DatabaseError::HotJournal { .. } => {
            "nothing was changed; whatever writes it next takes back what was begun: start its program, or autonomy db maintain DB"
        }
        DatabaseError::Foreign { .. } => "leave it to its own program",
        DatabaseError::Unversioned { .. } => {
            "its program has to record its version in such a table before it can be migrated here"
        }
        DatabaseError::Newer { .. } => "use that version, or restore a backup of this one",
        DatabaseError::Busy { .. } => {
            "stop whoever uses it (fuser DB), or try again later; --wait waits longer"
        }
        DatabaseError::Exists { .. } => "name another file; --force replaces a backup",
        DatabaseError::SameFile { .. } => "name two files",
        DatabaseError::Mismatch { .. } => "name the backup of this database",
        DatabaseError::Migration { .. } => {
            "do not run it again as it is: mend the migration, or restore the backup, then run it"
        }
        DatabaseError::Refused { .. } => {
            "every migration has a transaction of its own: take that statement out of it"
        }
        DatabaseError::Migrations { .. } => "mend the directory; nothing was applied",
        DatabaseError::Gap { .. } => {
            "restore a backup from before it, and migrate that; nothing was applied"
        }
        DatabaseError::Full { .. } => {
            "make room: a backup or a restore needs as much as the database, maintenance twice that"
        }
        DatabaseError::Permission { .. } => "check owner and mode of the file and of its directory",
        _ => "check path, owner, mode and the disk",
    }
}
