//! Tells the stories from the command line; `cargo xtask` starts this.

use std::process::ExitCode;

use anyhow::Result;
use api::exit::Exit;
use clap::{Parser, Subcommand, builder::PossibleValuesParser};
use e2e::{
    harness::{NO_SKIP, demo_dir, drill_report},
    stories::{
        demo,
        drill::{self, Drill, Fault},
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
    /// Injects real faults and checks what the programs do; every drill, or one.
    Drill {
        /// Which one.
        #[arg(value_parser = names())]
        name: Option<String>,
        /// Leaves the faults out, to see that every drill notices.
        #[arg(long)]
        without_fault: bool,
    },
}

fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(drill::ALL.iter().map(|it| it.name))
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
        Story::Drill { name, without_fault } => {
            let asked = |it: &&Drill| name.as_deref().is_none_or(|name| name == it.name);
            let drills: Vec<_> = drill::ALL.iter().filter(asked).copied().collect();
            let fault = if without_fault { Fault::LeftOut } else { Fault::Injected };
            let no_skip = std::env::var_os(NO_SKIP).is_some();
            let passed = drill::run(&drills, fault, no_skip, &drill_report())?;
            Ok(if passed { ExitCode::SUCCESS } else { ExitCode::from(Exit::Partial.code()) })
        }
    }
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
