//! `autonomy wal steps`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{FormatArg, Output, StepsDirArg, parse_reason};

#[derive(Debug, Subcommand)]
pub(crate) enum WalSteps {
    /// Says what the step logs of a directory hold: plans, steps by status, and what is wrong.
    #[command(after_help = "Examples:
  autonomy wal steps status
  autonomy wal steps status --wal-dir ./steps --output json")]
    Status(StepsLook),
    /// Shows every step of one log, and why it is where it is.
    #[command(after_help = "Examples:
  autonomy wal steps inspect mnd_plan_505e993c2390
  autonomy wal steps inspect ./steps/mnd_plan_505e993c2390.wal.jsonl --output json")]
    Inspect(StepsInspect),
    /// Makes steps eligible again that a crash has interrupted. Executes nothing.
    ///
    /// Done by every `daemon run`, too. Exit code 9 means that a log was left alone.
    #[command(after_help = "Examples:
  autonomy wal steps recover
  autonomy wal steps recover --wal-dir ./steps --output json")]
    Recover(StepsLook),
    /// Reads every line of every step log, and says that they hold or which do not (exit code 8).
    #[command(after_help = "Examples:
  autonomy wal steps verify
  autonomy wal steps verify --wal-dir ./steps --output json")]
    Verify(StepsLook),
    /// Packs a step log away whose plans have all ended.
    #[command(after_help = "Examples:
  autonomy wal steps archive mnd_plan_505e993c2390
  autonomy wal steps archive mnd_plan_505e993c2390 --dest /backup/steps --output json")]
    Archive(StepsArchive),
    /// Lets a step run that waits for a human: whoever approves vouches that it has not happened.
    #[command(after_help = "Examples:
  autonomy wal steps approve copy --mandate mnd_plan_505e993c2390 --reason 'no file there, ticket 4711'
  autonomy wal steps approve copy --mandate mnd_plan_505e993c2390 --reason 'looked' --output json")]
    Approve(StepsApprove),
    /// Says that a step that waits for a human is done, with evidence. It is not run.
    #[command(after_help = "Examples:
  autonomy wal steps complete pay --mandate mnd_plan_505e993c2390 --reason 'booked' --evidence '{\"id\": 7}'
  autonomy wal steps complete pay --mandate mnd_plan_505e993c2390 --reason 'seen on the account'")]
    Complete(StepsComplete),
    /// Says that a step that waits for a human has failed. Its plan ends with the next run.
    #[command(after_help = "Examples:
  autonomy wal steps fail pay --mandate mnd_plan_505e993c2390 --reason 'the bank refused it'
  autonomy wal steps fail pay --mandate mnd_plan_505e993c2390 --reason 'refused' --output json")]
    Fail(StepsApprove),
    /// Gives up a plan for good: what has not begun never does. The way out of orphans.
    #[command(after_help = "Examples:
  autonomy wal steps abandon plan_505e993c2390 --mandate mnd_plan_505e993c2390 --reason 'its commit is lost'
  autonomy wal steps abandon plan_505e993c2390 --mandate mnd_plan_505e993c2390 --reason x --output json")]
    Abandon(StepsAbandon),
}

#[derive(Args, Debug)]
pub(crate) struct StepsLook {
    #[command(flatten)]
    pub(crate) dir: StepsDirArg,
    #[command(flatten)]
    pub(crate) output: FormatArg,
}

#[derive(Args, Debug)]
pub(crate) struct StepsInspect {
    /// The log: its file, or its mandate.
    #[arg(value_name = "FILE|MANDATE")]
    pub(crate) log: String,
    #[command(flatten)]
    pub(crate) dir: StepsDirArg,
    #[command(flatten)]
    pub(crate) output: FormatArg,
}

#[derive(Args, Debug)]
pub(crate) struct StepsArchive {
    /// The mandate whose log it is.
    pub(crate) mandate: String,
    /// Archives it also when a plan has not ended; its steps never run.
    #[arg(long)]
    pub(crate) force: bool,
    /// Directory of the archive [default: beside the log].
    #[arg(long, value_name = "DIR")]
    pub(crate) dest: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) dir: StepsDirArg,
    #[command(flatten)]
    pub(crate) output: FormatArg,
}

/// Which step a human has looked at.
#[derive(Args, Debug)]
pub(crate) struct StepOfMandate {
    /// The step.
    pub(crate) step: String,
    /// The mandate whose step it is.
    #[arg(long, value_name = "ID")]
    pub(crate) mandate: String,
    /// The plan that it is in; needed when steps of more than one plan have the name and wait.
    #[arg(long, value_name = "ID")]
    pub(crate) plan: Option<String>,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) dir: StepsDirArg,
}

#[derive(Args, Debug)]
pub(crate) struct StepsApprove {
    #[command(flatten)]
    pub(crate) of: StepOfMandate,
    #[command(flatten)]
    pub(crate) output: FormatArg,
}

#[derive(Args, Debug)]
pub(crate) struct StepsComplete {
    #[command(flatten)]
    pub(crate) of: StepOfMandate,
    /// What shows that it is done, as JSON.
    #[arg(long, value_name = "JSON")]
    pub(crate) evidence: Option<String>,
    #[command(flatten)]
    pub(crate) output: FormatArg,
}

#[derive(Args, Debug)]
pub(crate) struct StepsAbandon {
    /// The plan.
    pub(crate) plan: String,
    /// The mandate whose plan it is.
    #[arg(long, value_name = "ID")]
    pub(crate) mandate: String,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) dir: StepsDirArg,
    #[command(flatten)]
    pub(crate) output: FormatArg,
}

impl WalSteps {
    pub(super) fn output(&self) -> Output {
        match self {
            Self::Status(it) | Self::Recover(it) | Self::Verify(it) => it.output.output,
            Self::Inspect(it) => it.output.output,
            Self::Archive(it) => it.output.output,
            Self::Approve(it) | Self::Fail(it) => it.output.output,
            Self::Complete(it) => it.output.output,
            Self::Abandon(it) => it.output.output,
        }
    }
}
