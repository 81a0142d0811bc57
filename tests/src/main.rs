//! Tells the stories from the command line; `cargo xtask` starts this.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use e2e::{harness::demo_dir, stories::demo};

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
    /// Stops the sink, makes 5 calls, fails to drain, starts the sink, drains.
    OfflineDrain,
}

fn main() -> Result<ExitCode> {
    let Story::Demo { part } = Cli::parse().story;
    let passed = match part {
        None => demo::whole()?,
        Some(Demo::Up) => demo::up(&demo_dir())?,
        Some(Demo::Down) => demo::down(&demo_dir())?,
        Some(Demo::Status) => demo::status(&demo_dir())?,
        Some(Demo::RunUnsigned) => demo::run_unsigned(&demo_dir())?,
        Some(Demo::OfflineDrain) => demo::offline_drain(&demo_dir())?,
    };
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
