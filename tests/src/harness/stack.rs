//! The three processes of the demo, on ports that are free.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{Bin, Finished, Process, demo_policies, run_to_end};

/// Where the processes listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Control plane.
    pub orchestrator: u16,
    /// OTLP sink.
    pub sink: u16,
    /// Runtime.
    pub runtime: u16,
}

impl Ports {
    /// The documented ports.
    pub const DOCUMENTED: Self = Self { orchestrator: 8888, sink: 4318, runtime: 7777 };

    /// The documented ports, and free ones in place of those that are taken.
    ///
    /// # Errors
    ///
    /// When there is no free port.
    pub fn documented_or_free() -> Result<Self> {
        let Self { orchestrator, sink, runtime } = Self::DOCUMENTED;
        Ok(Self {
            orchestrator: or_free(orchestrator)?,
            sink: or_free(sink)?,
            runtime: or_free(runtime)?,
        })
    }

    /// Free ports.
    ///
    /// # Errors
    ///
    /// When there is no free port.
    pub fn free() -> Result<Self> {
        Ok(Self { orchestrator: free()?, sink: free()?, runtime: free()? })
    }
}

fn or_free(port: u16) -> Result<u16> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Ok(port),
        Err(_) => free(),
    }
}

fn free() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?.port())
}

/// Directories and ports of one node with its control plane.
#[derive(Debug)]
pub struct Stack {
    /// Everything the processes write is below this.
    pub dir: PathBuf,
    /// Where they listen.
    pub ports: Ports,
}

/// How a runtime is started besides its directories.
#[derive(Clone, Debug, Default)]
pub struct RuntimeOptions<'a> {
    /// Environment variables.
    pub env: &'a [(&'a str, &'a str)],
    /// Further arguments.
    pub args: &'a [&'a str],
}

impl Stack {
    /// Plans a stack below `dir`; starts nothing.
    pub fn new(dir: &Path, ports: Ports) -> Self {
        Self { dir: dir.to_owned(), ports }
    }

    /// Directory of the log.
    pub fn wal_dir(&self) -> PathBuf {
        self.dir.join("wal")
    }

    /// Directory of the policy slots.
    pub fn policy_dir(&self) -> PathBuf {
        self.dir.join("policy")
    }

    /// Directory of the audit trail.
    pub fn audit_dir(&self) -> PathBuf {
        self.dir.join("audit")
    }

    /// Base URL of the runtime.
    pub fn runtime_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.runtime)
    }

    /// Base URL of the sink.
    pub fn sink_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.sink)
    }

    /// Base URL of the control plane.
    pub fn orchestrator_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.orchestrator)
    }

    /// The command that starts the control plane.
    ///
    /// # Errors
    ///
    /// When it cannot be built.
    pub fn orchestrator_command(&self) -> Result<Command> {
        let mut command = program(Bin::Orchestrator)?;
        command.args(["serve", "--listen", &format!("127.0.0.1:{}", self.ports.orchestrator)]);
        command.arg("--data-dir").arg(self.dir.join("orchestrator"));
        command.arg("--audit-dir").arg(self.audit_dir());
        command.args(["--log-format", "json"]);
        // Everything is on this machine and for one person; what roles allow has tests of its own.
        command.env("AUTONOMY_RBAC_ENFORCEMENT", "0");
        Ok(command)
    }

    /// The command that starts the sink.
    ///
    /// # Errors
    ///
    /// When it cannot be built.
    pub fn sink_command(&self) -> Result<Command> {
        let mut command = program(Bin::Sink)?;
        command.args(["--listen", &format!("127.0.0.1:{}", self.ports.sink)]);
        command.arg("--out").arg(self.dir.join("sink.jsonl"));
        command.args(["--forward-url", &format!("{}/v1/events", self.orchestrator_url())]);
        command.args(["--log-format", "json"]);
        Ok(command)
    }

    /// The command that starts the runtime.
    ///
    /// # Errors
    ///
    /// When it cannot be built.
    pub fn runtime_command(&self, options: &RuntimeOptions<'_>) -> Result<Command> {
        let mut command = program(Bin::Autonomy)?;
        command.args(["runtime", "start", "--log-format", "json"]);
        if !options.args.contains(&"--node-id") {
            command.args(["--node-id", "demo-node"]);
        }
        command.args(["--listen", &format!("127.0.0.1:{}", self.ports.runtime)]);
        command.arg("--wal-dir").arg(self.wal_dir());
        command.arg("--policy-dir").arg(self.policy_dir());
        command.args(options.args).envs(options.env.iter().copied());
        Ok(command)
    }

    /// Starts the control plane and waits until it listens.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub fn orchestrator(&self) -> Result<Process> {
        started("orchestrator", self.orchestrator_command()?, "orchestrator listening")
    }

    /// Starts the sink and waits until it listens.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub fn sink(&self) -> Result<Process> {
        started("otel-sink", self.sink_command()?, "otel-sink listening")
    }

    /// Starts the runtime and waits until it listens.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub fn runtime(&self, options: &RuntimeOptions<'_>) -> Result<Process> {
        started("runtime", self.runtime_command(options)?, "runtime listening")
    }

    /// Exports the log and returns its lines.
    ///
    /// # Errors
    ///
    /// When the export fails.
    pub fn export(&self) -> Result<Vec<String>> {
        let wal_dir = self.wal_dir();
        let dir = wal_dir.to_str().context("the directory has a UTF-8 name")?;
        let exported = autonomy(&["telemetry", "export", "--dir", dir, "--out", "-"])?;
        anyhow::ensure!(exported.code() == Some(0), "export failed: {exported:?}");
        Ok(exported.stdout.lines().map(str::to_owned).collect())
    }

    /// Drains the log to the sink.
    ///
    /// # Errors
    ///
    /// When the command cannot be started; how it ended is in the result.
    pub fn drain(&self) -> Result<Finished> {
        let wal_dir = self.wal_dir();
        let dir = wal_dir.to_str().context("the directory has a UTF-8 name")?;
        let sink = self.sink_url();
        autonomy(&["telemetry", "drain", "--dir", dir, "--endpoint", &sink])
    }

    /// Builds the demo policy and loads it into the slots.
    ///
    /// # Errors
    ///
    /// When one of the commands fails.
    pub fn load_demo_policy(&self) -> Result<String> {
        self.load_policy(&demo_policies())
    }

    /// Builds the Rego files of a directory and loads them into the slots.
    ///
    /// # Errors
    ///
    /// When one of the commands fails.
    pub fn load_policy(&self, sources: &Path) -> Result<String> {
        std::fs::create_dir_all(&self.dir)?;
        let bundle = self.dir.join("bundle.tar.gz");
        let mut builder = program(Bin::Autonomy)?;
        builder.args(["policy", "build", "--version", "1.0.0", "--name", "demo", "--in"]);
        builder.arg(sources).arg("--out").arg(&bundle);
        let built = run_to_end(&mut builder)?;
        anyhow::ensure!(built.code() == Some(0), "policy build failed: {built:?}");
        let mut activate = program(Bin::Autonomy)?;
        activate.args(["policy", "load", "--bundle"]).arg(&bundle);
        activate.arg("--policy-dir").arg(self.policy_dir());
        let loaded = run_to_end(&mut activate)?;
        anyhow::ensure!(loaded.code() == Some(0), "policy load failed: {loaded:?}");
        Ok(format!("{}{}", built.stdout, loaded.stdout))
    }
}

/// Runs `autonomy` with these arguments to its end.
///
/// # Errors
///
/// When it cannot be started.
pub fn autonomy(args: &[&str]) -> Result<Finished> {
    run_to_end(program(Bin::Autonomy)?.args(args))
}

fn started(name: &str, mut command: Command, ready: &str) -> Result<Process> {
    let mut process = Process::start(name, &mut command)?;
    process.wait_for(ready)?;
    Ok(process)
}

/// A program with an environment of its own: what the developer has set must not leak in.
///
/// # Errors
///
/// When it cannot be built.
pub fn program(bin: Bin) -> Result<Command> {
    let mut command = Command::new(bin.path()?);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", "/nonexistent");
    Ok(command)
}
