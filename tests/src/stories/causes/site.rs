//! A node with a log, the copies that a careful operator has of it, and what its callers were answered.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::harness::{
    Answers, Bin, Client, Ports, Process, RuntimeOptions, Stack, autonomy, program,
};

use super::log;

/// Calls of each kind before the fault: of the tool that is allowed, of the one that is denied.
const CALLS: usize = 4;

/// A node. The order of the fields is the order in which they go.
pub(super) struct Site {
    pub(super) runtime: Option<Process>,
    pub(super) stack: Stack,
    client: Client,
    /// What was answered before the fault.
    pub(super) before: Answers,
}

impl Site {
    pub(super) fn new(dir: &Path) -> Result<Self> {
        let stack = Stack::new(dir, Ports::free()?);
        stack.load_demo_policy()?;
        let (client, before) = (Client::new()?, Answers::default());
        Ok(Self { runtime: None, stack, client, before })
    }

    /// The log directory.
    pub(super) fn dir(&self) -> PathBuf {
        self.stack.wal_dir()
    }

    /// A copy of the log directory from before the fault.
    pub(super) fn backup(&self) -> PathBuf {
        self.stack.dir.join("backup")
    }

    /// A copy of the log directory with the fault in it.
    pub(super) fn evidence(&self) -> PathBuf {
        self.stack.dir.join("evidence")
    }

    /// The key that a log is sealed with, without its extension.
    fn keys(&self) -> PathBuf {
        self.stack.dir.join("keys")
    }

    pub(super) fn start(&mut self, env: &[(&str, &str)]) -> Result<()> {
        self.runtime = Some(self.stack.runtime(&RuntimeOptions { env, args: &[] })?);
        Ok(())
    }

    pub(super) fn runtime(&mut self) -> Result<Process> {
        self.runtime.take().context("no runtime")
    }

    /// Calls that the policy allows and calls that it denies. Each is decided, recorded and told where.
    pub(super) fn calls(&self) -> Result<Answers> {
        let mut answers = Answers::default();
        let url = self.stack.runtime_url();
        let kinds = [
            ("tool.echo", json!({ "message": "hello" }), "allow"),
            ("tool.shell", json!({ "argv": ["true"] }), "deny"),
        ];
        for (kind, params, want) in kinds.iter().cycle().take(2 * CALLS) {
            let (status, answer) = self.client.tool(&url, kind, params)?;
            let decided = answer.decision.as_str() == *want && answer.seq.is_some();
            ensure!(decided, "{kind}: {status} {answer:?}");
            answers.add(status, answer);
        }
        Ok(answers)
    }

    /// A start that does not serve: its exit code, and everything it said.
    pub(super) fn start_in_vain(&self) -> Result<(Option<i32>, String)> {
        // A port of its own: what stops it is the log.
        let stack = Stack::new(&self.stack.dir, Ports::free()?);
        let mut command = stack.runtime_command(&RuntimeOptions::default())?;
        let mut process = Process::start("runtime", &mut command)?;
        // The hint is its last line.
        process.wait_for("hint: ")?;
        Ok((process.wait()?.code(), process.output()))
    }

    /// The same, where it must succeed.
    pub(super) fn done(&self, words: &[&str]) -> Result<Value> {
        let (code, told) = wal(words, &self.dir())?;
        ensure!(code == Some(0), "{words:?}: {code:?} {told}");
        Ok(told)
    }

    /// Makes a key pair and seals the log.
    pub(super) fn seal(&self) -> Result<()> {
        let keys = self.keys();
        let made = autonomy(&["keys", "generate", "--out", text(&keys)?])?;
        ensure!(made.code() == Some(0), "{made:?}");
        self.done(&["seal", "--key", text(&keys.join("autonomy.key"))?]).map(drop)
    }

    /// `autonomy wal verify` against the seal.
    pub(super) fn verify(&self) -> Result<(Option<i32>, Value)> {
        wal(&["verify", "--pub", text(&self.keys().join("autonomy.pub"))?], &self.dir())
    }

    /// Delivers everything in the log to a collector, which goes away again.
    pub(super) fn deliver(&self) -> Result<()> {
        let mut command = program(Bin::Sink)?;
        let address = self.stack.sink_url().replace("http://", "");
        command.args(["--listen", &address, "--out"]).arg(self.collected());
        let mut sink = Process::start("otel-sink", &mut command)?;
        sink.wait_for("otel-sink listening")?;
        let drained = self.stack.drain()?;
        ensure!(drained.code() == Some(0), "{drained:?}");
        sink.stop()
    }

    /// What the collector has received.
    pub(super) fn collected(&self) -> PathBuf {
        self.stack.dir.join("sink.jsonl")
    }

    /// Makes the log directory what it was when the fault was in it.
    pub(super) fn damaged_again(&self) -> Result<()> {
        log::copy(&self.evidence(), &self.dir())
    }

    /// Puts a file back as it was before the fault.
    pub(super) fn put_back(&self, name: &str) -> Result<()> {
        fs::copy(self.backup().join(name), self.dir().join(name))?;
        Ok(())
    }
}

/// Runs `autonomy wal <words> --output json` over a directory and returns its exit code and its document.
pub(super) fn wal(words: &[&str], dir: &Path) -> Result<(Option<i32>, Value)> {
    let more = ["--dir", text(dir)?, "--output", "json"];
    let ended = autonomy(&[&["wal"], words, &more].concat())?;
    let told = serde_json::from_str(&ended.stdout).with_context(|| format!("{ended:?}"))?;
    Ok((ended.code(), told))
}

/// What can still be read of a log: the lines, however the export ends.
/// What an operator saves of a log that is refused.
pub(super) fn salvaged(dir: &Path) -> Result<Vec<String>> {
    let words = ["telemetry", "export", "--salvage", "--dir", text(dir)?, "--out", "-"];
    let exported = autonomy(&words)?;
    ensure!(exported.code() == Some(0), "{exported:?}");
    Ok(exported.stdout.lines().map(str::to_owned).collect())
}

pub(super) fn exported(dir: &Path) -> Result<Vec<String>> {
    let exported = autonomy(&["telemetry", "export", "--dir", text(dir)?, "--out", "-"])?;
    Ok(exported.stdout.lines().map(str::to_owned).collect())
}

pub(super) fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path in UTF-8")
}
