//! `autonomy audit`.
#![expect(clippy::doc_markdown, reason = "these comments are the help texts that users read")]

use std::path::PathBuf;

use audit::{Category, Outcome, Source};
use clap::{Args, Subcommand, ValueEnum};

use super::{Output, OutputArg};
use crate::{
    filter::{Since, parse_since},
    span::parse_seconds,
};

#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Lists records of the audit trail of this machine that match, oldest first.
    ///
    /// Takes no lock and changes nothing. Conditions count together.
    #[command(after_help = "Examples:
  autonomy audit query --event-type rollback.executed --start-time 24h
  autonomy audit query --actor ann --outcome failure --limit 0 --output json")]
    Query(AuditQuery),
    /// Writes records that match into a file, as JSON or CSV.
    #[command(after_help = "Examples:
  autonomy audit export --format csv --output audit.csv
  autonomy audit export --format json --output audit.json --start-time 2026-01-01T00:00:00Z --force")]
    Export(AuditExport),
    /// Reads every byte of the trail and names the first record that is not what was written.
    ///
    /// Exit code 8 means that it was changed. Keep the last number and its hash elsewhere: whoever cuts
    /// off the end and forges what says how far it goes is found by them alone.
    #[command(after_help = "Examples:
  autonomy audit verify
  autonomy audit verify --audit-dir /var/lib/autonomy/audit --output json")]
    Verify(AuditVerify),
    /// Removes old files of the trail, whole ones only, and leaves a record about it.
    #[command(after_help = "Examples:
  autonomy audit prune --older-than 90d
  autonomy audit prune --older-than 8760h --audit-dir /var/lib/autonomy/audit --output json")]
    Prune(AuditPrune),
}

/// Where the trail is.
#[derive(Args, Clone, Debug)]
pub(crate) struct AuditDirArg {
    /// Directory of the audit trail [default: $AUTONOMY_AUDIT_DIR, else
    /// $XDG_STATE_HOME/autonomyops/audit].
    #[arg(long, value_name = "DIR")]
    pub(crate) audit_dir: Option<PathBuf>,
}

/// Which records are meant, all conditions together.
#[derive(Args, Debug)]
pub(crate) struct AuditFilterArgs {
    /// Only this event, for example rollback.executed.
    #[arg(long, value_name = "NAME")]
    pub(crate) event_type: Option<String>,
    /// Only what this person or program did.
    #[arg(long, value_name = "NAME")]
    pub(crate) actor: Option<String>,
    /// Only this category: rollout, ha, relay, cert, auth, system, rollback, goal, wal.
    #[arg(long)]
    pub(crate) category: Option<Category>,
    /// Only what ended so: success, failure, denied, pending.
    #[arg(long)]
    pub(crate) outcome: Option<Outcome>,
    /// Only what was written by: orchestrator, edge, cli.
    #[arg(long)]
    pub(crate) source: Option<Source>,
    /// Not before this: an RFC 3339 time, or how long ago (90s, 1h, 2d).
    #[arg(long, value_name = "TIME", value_parser = parse_since)]
    pub(crate) start_time: Option<Since>,
    /// Not after this: an RFC 3339 time, or how long ago.
    #[arg(long, value_name = "TIME", value_parser = parse_since)]
    pub(crate) end_time: Option<Since>,
    #[command(flatten)]
    pub(crate) dir: AuditDirArg,
}

#[derive(Args, Debug)]
pub(crate) struct AuditQuery {
    #[command(flatten)]
    pub(crate) filter: AuditFilterArgs,
    /// The newest so many; 0 lists all.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) limit: usize,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

#[derive(Args, Debug)]
pub(crate) struct AuditExport {
    #[command(flatten)]
    pub(crate) filter: AuditFilterArgs,
    /// The newest so many; 0 writes all.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) limit: usize,
    /// How records are written.
    #[arg(long, value_enum)]
    pub(crate) format: ExportFormat,
    /// File to write to; whole or not at all.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Replaces a file that is there.
    #[arg(long)]
    pub(crate) force: bool,
}

/// How records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// A pretty-printed array, exact.
    Json,
    /// For spreadsheets: a cell that they would take for a formula has a ' in front.
    Csv,
}

#[derive(Args, Debug)]
pub(crate) struct AuditVerify {
    #[command(flatten)]
    pub(crate) dir: AuditDirArg,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

#[derive(Args, Debug)]
pub(crate) struct AuditPrune {
    /// Removes files all of whose records are older than this: 90d, 8760h.
    #[arg(long, value_name = "AGE", value_parser = parse_seconds)]
    pub(crate) older_than: u64,
    #[command(flatten)]
    pub(crate) dir: AuditDirArg,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

impl Audit {
    pub(super) fn output(&self) -> Output {
        match self {
            Self::Query(args) => args.output.output,
            Self::Export(_) => Output::Text,
            Self::Verify(args) => args.output.output,
            Self::Prune(args) => args.output.output,
        }
    }
}
