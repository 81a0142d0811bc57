//! The command line.
#![expect(clippy::doc_markdown, reason = "these comments are the help texts that users read")]

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};

use crate::filter::{SeqRange, Since, parse_since};

mod audit;
mod bridge;
mod bundle;
mod collector;
mod config;
mod control;
mod daemon;
mod db;
mod demo;
mod doctor;
mod fleet;
mod gate;
mod goal;
mod goal_words;
mod goal_work;
mod keys;
mod known;
mod lock;
mod oci;
mod policy;
mod rbac;
mod registry;
mod rollback;
mod rollout;
mod ros2;
mod run;
mod runtime;
mod shell;
mod support;
mod telemetry;
mod tentacle;
mod tool;
mod verify;
mod wal;
mod wal_life;
mod wal_steps;

#[cfg(test)]
mod spelled;

pub(crate) use audit::{
    Audit, AuditDirArg, AuditExport, AuditFilterArgs, AuditPrune, AuditQuery, AuditVerify,
    ExportFormat,
};
pub(crate) use bridge::Bridge;
pub(crate) use bundle::{Bundle, BundleInspect, BundlePull, BundlePush, BundleStage, BundleVerify};
pub(crate) use collector::CollectorArgs;
pub(crate) use config::{Config, ConfigKey, ConfigLook, ConfigSet};
pub(crate) use control::ControlArgs;
pub(crate) use daemon::{Daemon, DaemonRun, DaemonStatus, FormatArg, StepsDirArg};
pub(crate) use db::{
    Db, DbBackup, DbCheck, DbCommon, DbMaintain, DbMigrate, DbPlace, DbRestore, DbStatus,
};
pub(crate) use demo::{Demo, DemoGazebo, DemoPolicy};
pub(crate) use doctor::Doctor;
pub(crate) use fleet::{
    Fleet, FleetRelease, FleetStatus, Ha, HaShow, Logs, ReleaseLatest, ReleasePublish, Status,
};
pub(crate) use gate::{Gate, GateApprove, GateList, GateWord};
pub(crate) use goal::{
    DecisionArg, Goal, GoalBudget, GoalCreate, GoalEval, GoalGoverned, GoalInit, GoalLimits,
    GoalLink, GoalLook, GoalPlace, GoalResume, GoalReverify, GoalText, GoalValidate,
    GoalVerifyLoop, GoalWait,
};
pub(crate) use goal_words::{CriteriaAdd, CriteriaCheck, GoalCriteria, GoalGate};
pub(crate) use goal_work::{GoalContext, GoalDispatch, GoalLoop, GoalWork};
pub(crate) use keys::{Keys, KeysGenerate, KeysShow};
pub(crate) use lock::{Lock, LockCreate, LockPermit, LockShow, LockVerify};
pub(crate) use oci::{
    Oci, OciAttachLock, OciAttachPolicy, OciImage, OciPull, OciPullSidecar, OciPush,
};
pub(crate) use policy::{
    Policy, PolicyBuild, PolicyCheck, PolicyDiff, PolicyEval, PolicyLoad, PolicyReplay,
    PolicyStatus, PolicyTest,
};
pub(crate) use rbac::{Rbac, Role, RoleAssign, RoleCreate, RoleUnassign, Token, TokenCreate};
pub(crate) use registry::RegistryArgs;
pub(crate) use rollback::{Rollback, RollbackExecute, RollbackPreview, TargetArg};
pub(crate) use rollout::{
    PlanArg, PlanCreate, PlanList, PlanTurn, Rollout, RolloutHalt, RolloutPlan, RolloutRecover,
    RolloutShow, RolloutStuck, StageArg, StrategyArg,
};
pub(crate) use ros2::{Ros2, Ros2Run};
pub(crate) use run::{Governing, Run};
pub(crate) use runtime::{DurabilityArg, OnCorruption, ReleaseTrustArgs, Runtime, RuntimeStart};
pub(crate) use shell::{Capabilities, Completions, Man};
pub(crate) use support::{SupportBundle, SupportGenerate};
pub(crate) use telemetry::{
    DeadLetter, DeadLetterList, DeadLetterPurge, DeadLetterRetry, Drain, Export, Telemetry,
};
pub(crate) use tentacle::{
    MarkerCleanup, Session, SessionEnd, Tentacle, TentacleComplete, TentacleCreate, TentacleHandoff,
};
pub(crate) use tool::{OpenIntents, Tool};
pub(crate) use verify::{LookArgs, Sign, StatementArgs, TrustArgs, Verify};
pub(crate) use wal::{Wal, WalInspect, WalStatus, WalVerify};
pub(crate) use wal_life::{WalArchive, WalRepair, WalSeal};
pub(crate) use wal_steps::{
    StepOfMandate, StepsAbandon, StepsApprove, StepsArchive, StepsComplete, StepsInspect,
    StepsLook, WalSteps,
};

/// Governs what autonomous agents may do, on machines that are often offline.
#[derive(Debug, Parser)]
#[command(name = "autonomy", version, subcommand_required = true)]
#[command(arg_required_else_help = true, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 usage, 3 denied, 4 needs a human, 5 not found, 6 conflict, 7 unreachable, \
8 integrity failure, 9 partial, 75 busy."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Text,
    /// JSON on stdout, errors included.
    Json,
}

#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct OutputArg {
    /// How results are printed.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs the local runtime that agents ask for every tool call.
    #[command(subcommand)]
    Runtime(Runtime),
    /// Runs a command under governance: with a runtime of its own, for as long as it runs.
    ///
    /// The command finds the runtime in AUTONOMY_RUNTIME_URL. Its exit code is kept; 128 + n after
    /// signal n. Signals are passed on.
    #[command(after_help = "Examples:
  autonomy run -- python3 agent.py
  autonomy run --policy ./policies --dir ./wal --allowed-domains api.example.org -- ./agent --fast")]
    Run(Run),
    /// Starts ROS 2 under governance.
    #[command(subcommand)]
    Ros2(Ros2),
    /// Reads telemetry out of a log and sends it to a collector.
    #[command(subcommand)]
    Telemetry(Telemetry),
    /// Looks into a write-ahead log, archives, repairs and seals it.
    #[command(subcommand)]
    Wal(Wal),
    /// Runs plans of steps through the runtime, with recovery before the first step.
    #[command(subcommand)]
    Daemon(Daemon),
    /// Checks, tests, builds, loads, compares and tries policies.
    #[command(subcommand)]
    Policy(Policy),
    /// Makes and shows keys.
    #[command(subcommand)]
    Keys(Keys),
    /// Makes, shows and checks locks: what a release is made of.
    #[command(subcommand)]
    Lock(Lock),
    /// Signs an image, and as asked its lock and its policy bundle.
    ///
    /// Signatures that are there stay. The time is signed, too, unless AUTONOMY_TRUST_TIME=false.
    #[command(after_help = "Examples:
  autonomy sign --image oci:./layout:1.0.0 --key keys/autonomy.key --lock --policy
  autonomy sign --image registry.example/agents/arm:1.0.0@sha256:… --key keys/autonomy.key --output json")]
    Sign(Sign),
    /// Verifies an image: signatures, digests, fingerprint, version. Fails closed.
    ///
    /// Exit code 8 means that it is not verified, 7 that its place gave no whole answer.
    #[command(after_help = "Examples:
  autonomy verify --image oci:./layout:1.0.0 --pub keys/autonomy.pub --require-lock --require-policy
  autonomy verify --image registry.example/agents/arm:1.0.0 --pub a.pub --pub b.pub --threshold 2 --output json
  autonomy verify --image oci:/media/usb/arm:1.0.0 --pub keys/autonomy.pub --require-lock --offline")]
    Verify(Box<Verify>),
    /// Moves images and their sidecars between registries and layouts on disk.
    #[command(subcommand)]
    Oci(Oci),
    /// Publishes policy bundles beside images, verifies and stages them.
    #[command(subcommand)]
    Bundle(Box<Bundle>),
    /// Asks the log about calls of tools.
    #[command(subcommand)]
    Tool(Tool),
    /// Keeps long agent work: its iterations, gates, criteria and budget, across kills and lost context.
    ///
    /// Works on files alone, without any service. `autonomy tentacle goal` is the same.
    #[command(subcommand)]
    Goal(Goal),
    /// Keeps the pieces of work of a goal.
    #[command(subcommand)]
    Tentacle(Tentacle),
    /// Tells a goal that a session begins or ends.
    #[command(subcommand)]
    Session(Session),
    /// Shows the product in one command, without services.
    #[command(subcommand)]
    Demo(Demo),
    /// Plans rollouts, and says why they do not go on.
    #[command(subcommand)]
    Rollout(Rollout),
    /// Goes back, on record: previews and executes rollbacks.
    #[command(subcommand)]
    Rollback(Rollback),
    /// Shows the fleet, and publishes what it should run.
    #[command(subcommand)]
    Fleet(Fleet),
    /// Shows who leads the control plane.
    #[command(subcommand)]
    Ha(Ha),
    /// Prints events that nodes reported, oldest first, or as they come.
    ///
    /// With --follow it ends with 0 at Ctrl-C, and with 7 when the stream breaks.
    #[command(after_help = "Examples:
  autonomy logs --node arm-7 --since 1h
  autonomy logs --follow --type ai.policy.decision --limit 20")]
    Logs(Logs),
    /// Shows control plane, fleet, runtime and audit trail on one screen.
    ///
    /// Each part may fail alone and says so; then the exit code is 9.
    #[command(after_help = "Examples:
  autonomy status
  AUTONOMY_ORCHESTRATOR_URL=http://control:8888 autonomy status --output json")]
    Status(Status),
    /// Asks the audit trail of this machine: who did what.
    #[command(subcommand)]
    Audit(Audit),
    /// Backs up, migrates, restores and maintains databases.
    #[command(subcommand)]
    Db(Db),
    /// Says who may do what at the control plane.
    #[command(subcommand)]
    Rbac(Rbac),
    /// Says what is wrong with this machine, and what mends it.
    ///
    /// Looks at environment, log, disk, clock, policy, databases, audit trail, keys, and who answers. Exit code 9 means that
    /// something failed.
    #[command(after_help = "Examples:
  autonomy doctor
  autonomy doctor --wal-dir /var/lib/autonomy/telemetry --output json")]
    Doctor(Doctor),
    /// Collects what somebody needs who helps.
    #[command(subcommand)]
    SupportBundle(SupportBundle),
    /// Keeps settings in a file: what a variable says when it is not set.
    #[command(subcommand)]
    Config(Config),
    /// Prints the page about a code: symptom, cause, recovery.
    #[command(after_help = "Examples:
  autonomy explain SEQ_GAP
  autonomy explain --list
  autonomy explain wal_disk_full --output json")]
    Explain(Explain),
    /// Prints what a shell needs to complete commands and options.
    #[command(after_help = "Examples:
  autonomy completions bash > /etc/bash_completion.d/autonomy
  autonomy completions zsh > ~/.zfunc/_autonomy")]
    Completions(Completions),
    /// Prints the manual page, or writes one for each command.
    #[command(after_help = "Examples:
  autonomy man | man -l -
  autonomy man --dir ~/.local/share/man/man1")]
    Man(Man),
    /// Lists commands, options, exit codes and variables, for programs that call this one.
    #[command(after_help = "Examples:
  autonomy capabilities
  autonomy capabilities --output json")]
    Capabilities(Capabilities),
}

#[derive(Args, Debug)]
pub(crate) struct Explain {
    /// The code, in upper or lower case; without one, every code is listed.
    #[arg(value_parser = known::CODES, hide_possible_values = true)]
    pub(crate) code: Option<String>,
    /// Lists every code with one line each.
    #[arg(long, conflicts_with = "code")]
    pub(crate) list: bool,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

#[derive(Args, Debug)]
pub(crate) struct FilterArgs {
    /// Only entries not older than this: a duration (90s, 1h, 2d) or an RFC 3339 time.
    #[arg(long, value_parser = parse_since)]
    pub(crate) since: Option<Since>,
    /// Only entries of this kind: error, decision, action, lifecycle, or any other.
    #[arg(long)]
    pub(crate) kind: Option<String>,
    /// Only these sequence numbers: 7, 7.., ..9 or 7..9.
    #[arg(long, value_parser = SeqRange::parse)]
    pub(crate) seq: Option<SeqRange>,
}

impl Command {
    /// How this command prints, so that its failure is printed alike.
    pub(crate) fn output(&self) -> Output {
        match self {
            Self::Runtime(command) => command.output(),
            Self::Run(_) | Self::Ros2(_) | Self::Completions(_) | Self::Man(_) => Output::Text,
            Self::Telemetry(command) => command.output(),
            Self::Wal(command) => command.output(),
            Self::Daemon(command) => command.output(),
            Self::Policy(command) => command.output(),
            Self::Keys(command) => command.output(),
            Self::Lock(command) => command.output(),
            Self::Sign(args) => args.output.output,
            Self::Verify(args) => args.output.output,
            Self::Oci(command) => command.output(),
            Self::Bundle(command) => command.output(),
            Self::Tool(command) => command.output(),
            Self::Goal(command) => command.output(),
            Self::Tentacle(command) => command.output(),
            Self::Session(command) => command.output(),
            Self::Demo(command) => command.output(),
            Self::Doctor(args) => args.output.output,
            Self::SupportBundle(command) => command.output(),
            Self::Config(command) => command.output(),
            Self::Explain(args) => args.output.output,
            Self::Capabilities(args) => args.output.output,
            Self::Rollout(command) => command.output(),
            Self::Rollback(command) => command.output(),
            Self::Fleet(command) => command.output(),
            Self::Ha(command) => command.output(),
            Self::Logs(args) => args.control.format(),
            Self::Status(args) => args.control.format(),
            Self::Audit(command) => command.output(),
            Self::Db(command) => command.output(),
            Self::Rbac(command) => command.output(),
        }
    }
}

impl Command {
    /// The directory of the log that the command line names.
    pub(crate) fn log_dir(&self) -> Option<&std::path::Path> {
        let dir = match self {
            Self::Runtime(command) => command.log_dir(),
            Self::Telemetry(command) => command.log_dir(),
            Self::Wal(command) => command.log_dir(),
            Self::Tool(Tool::OpenIntents(it)) => it.wal_dir.as_ref(),
            Self::Policy(Policy::Replay(it)) => it.dir.as_ref(),
            Self::Policy(Policy::Load(it)) => it.wal_dir.as_ref(),
            _ => None,
        };
        dir.map(std::path::PathBuf::as_path)
    }
}

/// A reason goes on record: one without a word says nothing.
fn parse_reason(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("a reason needs words".to_owned());
    }
    Ok(text.to_owned())
}

fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    let duration = text.parse::<jiff::SignedDuration>().ok();
    let duration = duration.and_then(|it| std::time::Duration::try_from(it).ok());
    duration.filter(|it| !it.is_zero()).ok_or_else(|| {
        format!("`{text}` is not a duration (500ms, 10s, 2m; days in hours: 24h, 8760h)")
    })
}

/// Returns the definition of the command line, for documentation.
pub fn command() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        command().debug_assert();
    }

    /// Every command a user can run shows two examples.
    #[test]
    fn every_command_has_two_examples() {
        fn leaves(command: &clap::Command, found: &mut Vec<clap::Command>) {
            if command.has_subcommands() {
                command.get_subcommands().for_each(|it| leaves(it, found));
            } else {
                found.push(command.clone());
            }
        }
        let mut found = Vec::new();
        leaves(&command(), &mut found);
        assert!(found.len() >= 9);
        for command in found {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples = help.lines().filter(|it| it.contains("autonomy ")).count();
            assert!(examples >= 2, "{}: {help}", command.get_name());
        }
    }

    #[test]
    fn readers_take_the_option_of_the_runtime_too() {
        for words in [
            "wal status",
            "wal inspect",
            "telemetry export --out -",
            "telemetry drain",
            "telemetry deadletter list",
            "telemetry deadletter retry",
        ] {
            let args = format!("autonomy {words} --wal-dir d");
            assert!(Cli::try_parse_from(args.split(' ')).is_ok(), "{args}");
        }
    }

    #[test]
    fn a_duration_has_a_unit_and_is_never_zero() {
        assert_eq!(parse_duration("500ms"), Ok(std::time::Duration::from_millis(500)));
        assert!(parse_duration("0s").is_err() && parse_duration("-1s").is_err());
    }
}
