//! Tells the stories from the command line; `cargo xtask` starts this.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use api::exit::Exit;
use clap::{
    Args, CommandFactory as _, Parser, Subcommand, ValueEnum, builder::PossibleValuesParser,
    error::ErrorKind,
};
use e2e::{
    harness::{NO_SKIP, demo_dir, drill_report, evidence_dir},
    stories::{
        Narrator,
        attest::Signer,
        demo,
        drill::{self, Drill, Fault},
        packs,
        val::{self, Kill, Plan},
    },
};

/// Stories of autonomy, told with real processes.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    story: Story,
}

#[derive(Debug, Subcommand)]
enum Story {
    /// Tutorial 03 from beginning to end, or a standing demo.
    Demo {
        #[command(subcommand)]
        part: Option<Demo>,
    },
    /// Injects real faults and checks what the programs do; every drill and validation plan, or one.
    Drill(DrillArgs),
}

#[derive(Args, Debug)]
struct DrillArgs {
    /// Which one.
    #[arg(value_parser = names())]
    name: Option<String>,
    /// Leaves the faults out, to see that every drill notices.
    #[arg(long)]
    without_fault: bool,
    /// Signs the report of the drills with this private key, as a statement beside it; its password comes from
    /// `AUTONOMY_KEY_PASSWORD`.
    #[arg(long, value_name = "KEY")]
    sign: Option<PathBuf>,
    /// How val11 ends the control plane; both ways, one after the other, when not given.
    #[arg(long, value_enum)]
    signal: Option<SignalArg>,
    /// Where validation plans leave their evidence, each run in a directory of its own, made anew [default:
    /// evidence in the checkout].
    #[arg(long, value_name = "DIR")]
    evidence: Option<PathBuf>,
}

/// How val11 ends the control plane.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum SignalArg {
    /// SIGTERM.
    Term,
    /// SIGKILL.
    Kill,
}

fn names() -> PossibleValuesParser {
    let drills = packs::every_drill().map(|it| it.name);
    let packs = packs::ALL.iter().map(|it| it.name);
    PossibleValuesParser::new(drills.chain(packs).chain(val::ALL.iter().map(|it| it.name)))
}

#[derive(Debug, Subcommand)]
enum Demo {
    /// Starts control plane, sink and runtime in the background.
    Up,
    /// Stops them.
    Down,
    /// Says what runs where.
    Status,
    /// Builds the demo policy, loads it, and makes the runtime take it.
    RunUnsigned,
    /// Publishes a signed release, verifies it, loads its policy, and makes the runtime take it.
    RunSigned,
    /// Stops the sink, makes 5 calls, fails to drain, starts the sink, drains.
    OfflineDrain,
}

fn main() -> Result<ExitCode> {
    match Cli::parse().story {
        Story::Demo { part } => tell(part.as_ref()),
        Story::Drill(args) => play(&args),
    }
}

fn play(args: &DrillArgs) -> Result<ExitCode> {
    let asked = |name: &str| args.name.as_deref().is_none_or(|it| it == name);
    let drills: Vec<Drill> = match args.name.as_deref() {
        Some(name) => packs::named(name).copied().collect(),
        None => packs::every_drill().copied().collect(),
    };
    let plans: Vec<Plan> = val::ALL.iter().filter(|it| asked(it.name)).copied().collect();
    let kills = match args.signal {
        None => &Kill::ALL[..],
        Some(SignalArg::Term) => &[Kill::Term],
        Some(SignalArg::Kill) => &[Kill::Kill],
    };
    if args.signal.is_some() && !plans.iter().any(Plan::kills) {
        let why =
            "--signal is for val11: nothing else ends the control plane by a signal of choice";
        Cli::command().error(ErrorKind::ArgumentConflict, why).exit();
    }
    if args.sign.is_some() && drills.is_empty() {
        let why = "--sign is for drills: a validation plan leaves evidence of its own";
        Cli::command().error(ErrorKind::ArgumentConflict, why).exit();
    }
    // A key that cannot be used is said before anything is run.
    let signer = args.sign.as_deref().map(Signer::new).transpose()?;
    // A plan that ends nothing is run once.
    let runs: Vec<_> = plans
        .iter()
        .flat_map(|plan| kills.iter().take(if plan.kills() { 2 } else { 1 }).map(|it| (*plan, *it)))
        .collect();
    let fault = if args.without_fault { Fault::LeftOut } else { Fault::Injected };
    let no_skip = std::env::var_os(NO_SKIP).is_some();
    let mut passed = true;
    if !drills.is_empty() {
        passed &= drill::run(&drills, fault, no_skip, &drill_report())?;
    }
    if let Some(signer) = signer {
        let path = signer.sign(&drill_report())?;
        Narrator::loud().say(&format!("signed: {}", path.display()));
    }
    if !runs.is_empty() {
        let evidence = args.evidence.clone().unwrap_or_else(evidence_dir);
        passed &= val::run(&runs, fault, &evidence)?;
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::from(Exit::Partial.code()) })
}

fn tell(part: Option<&Demo>) -> Result<ExitCode> {
    let passed = match part {
        None => demo::whole()?,
        Some(Demo::Up) => demo::up(&demo_dir())?,
        Some(Demo::Down) => demo::down(&demo_dir())?,
        Some(Demo::Status) => demo::status(&demo_dir())?,
        Some(Demo::RunUnsigned) => demo::run_unsigned(&demo_dir())?,
        Some(Demo::RunSigned) => demo::run_signed(&demo_dir())?,
        Some(Demo::OfflineDrain) => demo::offline_drain(&demo_dir())?,
    };
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
