//! The programs under test.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use anyhow::{Context as _, Result, bail};

use super::workspace;

/// A program of the workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bin {
    /// `autonomy`.
    Autonomy,
    /// `autonomy-orchestrator`.
    Orchestrator,
    /// `otel-sink`.
    Sink,
}

impl Bin {
    /// Name of the program.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Autonomy => "autonomy",
            Self::Orchestrator => "autonomy-orchestrator",
            Self::Sink => "otel-sink",
        }
    }

    /// Builds the programs once and returns the path of this one.
    ///
    /// # Errors
    ///
    /// When they cannot be built.
    pub fn path(self) -> Result<PathBuf> {
        static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        match BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}"))) {
            Ok(dir) => Ok(dir.join(self.name())),
            Err(error) => bail!("{error}"),
        }
    }
}

/// Builds the programs and returns the directory they are in. `cargo test` does not build the
/// binaries of packages that have nothing else.
///
/// # Errors
///
/// When cargo fails.
pub fn build() -> Result<PathBuf> {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(workspace::root()).args(["build", "--quiet", "--message-format=short"]);
    for bin in [Bin::Autonomy, Bin::Orchestrator, Bin::Sink] {
        command.args(["-p", bin.name()]);
    }
    let status = command.status().context("cannot start cargo")?;
    if !status.success() {
        bail!("building the programs failed: {status}");
    }
    Ok(target().join("debug"))
}

/// The target directory of the running program: two levels above `target/debug/deps/<test>`, one
/// above `target/debug/<bin>`.
fn target() -> PathBuf {
    let fallback = || workspace::root().join("target");
    let Ok(exe) = std::env::current_exe() else { return fallback() };
    let debug = exe.ancestors().find(|it| it.file_name().is_some_and(|name| name == "debug"));
    debug.and_then(Path::parent).map_or_else(fallback, Path::to_owned)
}
