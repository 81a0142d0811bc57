//! `autonomy db`.
#![expect(clippy::doc_markdown, reason = "these comments are the help texts that users read")]

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum};

use super::{Output, parse_duration};
use crate::span::parse_seconds;

#[derive(Debug, Subcommand)]
pub(crate) enum Db {
    /// Copies a database as it is at one moment, also while somebody writes it.
    ///
    /// The copy takes its name only after it passed a full check and was synced. The database is not changed.
    #[command(after_help = "Examples:
  autonomy db backup
  autonomy db backup /var/lib/app/app.db --backup-path /backup/app.db --output json")]
    Backup(DbBackup),
    /// Brings a database to its newest version, one transaction a migration.
    ///
    /// Stops at the first migration that fails: that one is taken back, later ones are not tried, and the exit code is 1.
    #[command(after_help = "Examples:
  autonomy db migrate --backup-only
  autonomy db migrate app.db --migrations migrations --backup-path app.db.before")]
    Migrate(DbMigrate),
    /// Puts a backup in the place of a database; the old files are kept beside it.
    ///
    /// Stop whoever writes the database first. While somebody has it, it is refused.
    #[command(after_help = "Examples:
  autonomy db restore --from /backup/rollouts.db
  autonomy db restore app.db --from app.db.before --output json")]
    Restore(DbRestore),
    /// Shows size, version, files beside it, and as asked whether its pages are sound.
    #[command(after_help = "Examples:
  autonomy db status
  autonomy db status app.db --check full --output json")]
    Status(DbStatus),
    /// Gives unused pages back to the file system and empties the log of a database.
    ///
    /// A database that somebody uses is left alone: it says `busy`, ends with 0, and is due at the next run.
    #[command(after_help = "Examples:
  autonomy db maintain --every 7d
  autonomy db maintain app.db --output json")]
    Maintain(DbMaintain),
}

/// Which database.
#[derive(Args, Debug)]
pub(crate) struct DbPlace {
    /// The database file; without one, those of the control plane that are there.
    #[arg(value_name = "DB")]
    pub(crate) database: Option<PathBuf>,
    /// Directory of the control plane's databases [default: $XDG_CACHE_HOME/autonomyops/orchestrator].
    #[arg(long, value_name = "DIR", conflicts_with = "database")]
    pub(crate) data_dir: Option<PathBuf>,
}

/// What every command has.
#[derive(Args, Debug)]
pub(crate) struct DbCommon {
    /// How long a lock of somebody else is waited for.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = parse_duration)]
    pub(crate) wait: Duration,
    /// Ends with 75 when the database is busy.
    #[arg(long)]
    pub(crate) strict_exit: bool,
    /// How results are printed.
    #[arg(long, visible_alias = "format", value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Args, Debug)]
pub(crate) struct DbBackup {
    #[command(flatten)]
    pub(crate) place: DbPlace,
    /// Name of the copy [default: DB.backup-<time>].
    #[arg(long, value_name = "FILE")]
    pub(crate) backup_path: Option<PathBuf>,
    /// Replaces a file of that name.
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) common: DbCommon,
}

#[derive(Args, Debug)]
pub(crate) struct DbMigrate {
    #[command(flatten)]
    pub(crate) place: DbPlace,
    /// Directory of migrations NNNN_name.sql; databases of the control plane bring their own.
    #[arg(long, value_name = "DIR", requires = "database")]
    pub(crate) migrations: Option<PathBuf>,
    /// Makes a backup and applies nothing.
    #[arg(long, conflicts_with = "migrations")]
    pub(crate) backup_only: bool,
    /// Makes a backup of this name first.
    #[arg(long, value_name = "FILE")]
    pub(crate) backup_path: Option<PathBuf>,
    /// Replaces a file that has the name of the backup.
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) common: DbCommon,
}

#[derive(Args, Debug)]
pub(crate) struct DbRestore {
    #[command(flatten)]
    pub(crate) place: DbPlace,
    /// The backup.
    #[arg(long, value_name = "FILE")]
    pub(crate) from: PathBuf,
    #[command(flatten)]
    pub(crate) common: DbCommon,
}

/// How closely pages are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DbCheck {
    /// Pages and tables.
    Quick,
    /// Indexes against tables, too.
    Full,
}

#[derive(Args, Debug)]
pub(crate) struct DbStatus {
    #[command(flatten)]
    pub(crate) place: DbPlace,
    /// Looks through the pages, too; exit code 8 means that they are damaged.
    #[arg(long, value_enum, value_name = "HOW")]
    pub(crate) check: Option<DbCheck>,
    #[command(flatten)]
    pub(crate) common: DbCommon,
}

#[derive(Args, Debug)]
pub(crate) struct DbMaintain {
    #[command(flatten)]
    pub(crate) place: DbPlace,
    /// Does nothing before this much time has passed since the last run: 24h, 7d.
    #[arg(long, value_name = "DURATION", value_parser = parse_seconds)]
    pub(crate) every: Option<u64>,
    #[command(flatten)]
    pub(crate) common: DbCommon,
}

impl Db {
    pub(super) fn output(&self) -> Output {
        match self {
            Self::Backup(args) => args.common.output,
            Self::Migrate(args) => args.common.output,
            Self::Restore(args) => args.common.output,
            Self::Status(args) => args.common.output,
            Self::Maintain(args) => args.common.output,
        }
    }
}
