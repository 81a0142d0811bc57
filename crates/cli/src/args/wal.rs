//! The commands that look into a log, and the list of all commands about logs.
#![expect(clippy::doc_markdown, reason = "these comments are the help texts that users read")]

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{FilterArgs, Output, OutputArg, WalArchive, WalRepair, WalSeal, WalSteps};

#[derive(Debug, Subcommand)]
pub(crate) enum Wal {
    /// Says what a log holds, how far it was delivered, and whether it would open (exit code 8).
    #[command(after_help = "Examples:
  autonomy wal status --dir ./wal
  autonomy wal status --dir ./wal --output json")]
    Status(WalStatus),
    /// Lists committed entries, once or as they come.
    #[command(after_help = "Examples:
  autonomy wal inspect --dir ./wal --since 1h --kind error
  autonomy wal inspect --dir ./wal --seq 100..120 --output json
  autonomy wal inspect --dir ./wal --follow --kind error")]
    Inspect(WalInspect),
    /// Moves a delivered log to the archive, packs it, and begins a new one.
    ///
    /// Refused while the log is in use or entries of it wait for a consumer. What an earlier call has
    /// left is finished, also when there is nothing new to archive.
    #[command(after_help = "Examples:
  autonomy wal archive --dir ./wal
  autonomy wal archive --dir ./wal --keep-age 30d --keep-bytes 10GiB --output json")]
    Archive(WalArchive),
    /// Puts a damaged log aside, whole, and begins a new one that is linked to it.
    #[command(after_help = "Examples:
  autonomy wal repair --dir ./wal --dry-run
  autonomy wal repair --dir ./wal --reason 'disk replaced, ticket 4711'")]
    Repair(WalRepair),
    /// Signs how far a log goes: its id, last entry and chain value, with an Ed25519 key.
    #[command(after_help = "Examples:
  openssl genpkey -algorithm ed25519 -out seal.pem && autonomy wal seal --dir ./wal --key seal.pem
  autonomy wal seal --dir ./wal --key seal.pem --output json")]
    Seal(WalSeal),
    /// Reads every byte of a log and says that it is whole, or the first thing wrong with it and what
    /// was done (exit code 8): edit, delete, insert, reorder, truncate, fork.
    #[command(after_help = "Examples:
  autonomy wal verify --dir ./wal
  openssl pkey -in seal.pem -pubout -out pub.pem && autonomy wal verify --dir ./wal --pub pub.pem")]
    Verify(WalVerify),
    /// Looks after step logs: how far plans came, and what waits for a human.
    #[command(subcommand)]
    Steps(WalSteps),
}

impl Wal {
    /// The directory that is named; step logs have another.
    pub(super) fn log_dir(&self) -> Option<&PathBuf> {
        match self {
            Self::Status(it) => it.dir.as_ref(),
            Self::Inspect(it) => it.dir.as_ref(),
            Self::Archive(it) => it.dir.as_ref(),
            Self::Repair(it) => it.dir.as_ref(),
            Self::Seal(it) => it.dir.as_ref(),
            Self::Verify(it) => it.dir.as_ref(),
            Self::Steps(_) => None,
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct WalVerify {
    /// Directory of the log [default: $XDG_STATE_HOME/autonomyops/telemetry].
    #[arg(long, alias = "wal-dir")]
    pub(crate) dir: Option<PathBuf>,
    /// Public Ed25519 key in PEM that must have made the seal of the log. Without it a seal is checked
    /// against its own key: that finds damage, not a forger.
    #[arg(long = "pub", value_name = "FILE")]
    pub(crate) public_key: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

#[derive(Args, Debug)]
pub(crate) struct WalStatus {
    /// Directory of the log [default: $XDG_STATE_HOME/autonomyops/telemetry].
    #[arg(long, alias = "wal-dir")]
    pub(crate) dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

#[derive(Args, Debug)]
pub(crate) struct WalInspect {
    /// Directory of the log [default: $XDG_STATE_HOME/autonomyops/telemetry].
    #[arg(long, alias = "wal-dir")]
    pub(crate) dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// Goes on with new entries as they come, until SIGINT or SIGTERM; also when the log is replaced.
    #[arg(long)]
    pub(crate) follow: bool,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

impl Wal {
    pub(super) fn output(&self) -> Output {
        match self {
            Self::Status(args) => args.output.output,
            Self::Inspect(args) => args.output.output,
            Self::Archive(args) => args.output.output,
            Self::Repair(args) => args.output.output,
            Self::Seal(args) => args.output.output,
            Self::Verify(args) => args.output.output,
            Self::Steps(command) => command.output(),
        }
    }
}
