//! A runtime whose log lies on a disk of its own.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::harness::{
    Answers, Client, Disk, Finished, Mount, Ports, Process, RuntimeOptions, Stack, audit,
    call_until_refused, run_to_end,
};

/// Callers at once.
pub(super) const CALLERS: usize = 8;
/// Most calls of each; far more than fit once the room is taken, far fewer than fill the disk alone.
pub(super) const CALLS: usize = 100;
/// Length of a message that is to find no room.
pub(super) const DENIED_LEN: usize = 32 << 10;
/// Size of a disk: room for everything the callers can do, and for zeros ahead of it.
pub(super) const DISK_KIB: u32 = 32 << 10;

/// A runtime whose log lies on a disk of its own. The order of the fields is the order in which they
/// go: the process before its disk.
pub(super) struct Node {
    pub(super) runtime: Option<Process>,
    pub(super) disk: Option<Mount>,
    pub(super) stack: Stack,
    pub(super) client: Client,
    pub(super) answers: Answers,
}

impl Node {
    pub(super) fn new(dir: &Path, disk: Option<Disk>) -> Result<Self> {
        let stack = Stack::new(dir, Ports::free()?);
        let disk = disk.map(|it| Mount::new(it, &stack.wal_dir(), DISK_KIB)).transpose()?;
        stack.load_demo_policy()?;
        let (client, answers) = (Client::new()?, Answers::default());
        Ok(Self { runtime: None, disk, stack, client, answers })
    }

    pub(super) fn disk(&self) -> Result<&Mount> {
        self.disk.as_ref().context("there is no disk")
    }

    pub(super) fn start(&mut self) -> Result<()> {
        self.runtime = Some(self.stack.runtime(&RuntimeOptions::default())?);
        Ok(())
    }

    pub(super) fn runtime(&mut self) -> Result<Process> {
        self.runtime.take().context("no runtime")
    }

    /// Starts a runtime that cannot serve.
    pub(super) fn start_in_vain(&self, env: &[(&str, &str)]) -> Result<Finished> {
        let options = RuntimeOptions { env, args: &[] };
        let ended = run_to_end(&mut self.stack.runtime_command(&options)?)?;
        ensure!(ended.code() == Some(1), "{ended:?}");
        ensure!(ended.stderr.lines().any(|it| it.starts_with("hint: ")), "no hint: {ended:?}");
        Ok(ended)
    }

    /// One call that the policy allows, whose decision takes `len` bytes and more.
    pub(super) fn call(&mut self, len: usize) -> Result<(u16, api::tool::ToolResponse)> {
        let params = json!({ "message": "x".repeat(len) });
        let (status, answer) = self.client.tool(&self.stack.runtime_url(), "tool.echo", &params)?;
        self.answers.add(status, answer.clone());
        Ok((status, answer))
    }

    pub(super) fn serves(&mut self) -> Result<()> {
        let (status, answer) = self.call(2)?;
        ensure!(status == 200, "{status} {answer:?}");
        let health = self.wal()?;
        ensure!(health["health"] == "ok", "{health}");
        Ok(())
    }

    /// The call is denied, nothing ran, and the answer has no number.
    pub(super) fn denied(&mut self, code: &str) -> Result<String> {
        // A small one could fit into what is left of the last block.
        let (status, answer) = self.call(DENIED_LEN)?;
        ensure!(status == 503 && answer.decision.as_str() == "deny", "{status} {answer:?}");
        ensure!(answer.code.as_deref() == Some(code), "{answer:?}");
        ensure!(answer.seq.is_none() && answer.output.is_none(), "{answer:?}");
        answer.reason.context("no reason")
    }

    pub(super) fn wal(&self) -> Result<Value> {
        let url = format!("{}/v1/status", self.stack.runtime_url());
        Ok(self.client.get_json(&url)?["wal"].clone())
    }

    pub(super) fn health_is(&self, want: &str) -> Result<()> {
        let wal = self.wal()?;
        ensure!(wal["health"] == want, "{wal}");
        Ok(())
    }

    pub(super) fn many_calls(&mut self) -> Result<()> {
        let url = self.stack.runtime_url();
        let answers = call_until_refused(&self.client, &url, CALLERS, CALLS)?;
        self.answers.recorded.extend(answers.recorded);
        self.answers.unrecorded.extend(answers.unrecorded);
        Ok(())
    }

    /// Every answered decision stands in the log where the answer said, and nothing that was denied
    /// without a number stands there at all. Holds at any time.
    pub(super) fn nothing_lost(&self) -> Result<usize> {
        let lines = self.stack.export()?;
        for (id, (seq, _)) in &self.answers.recorded {
            let index = usize::try_from(*seq)?.checked_sub(1).context("entry 0")?;
            let line = lines.get(index).with_context(|| format!("entry {seq} is gone"))?;
            ensure!(line.contains(id.as_str()), "entry {seq} is not {id}: {line}");
        }
        for (_, answer) in &self.answers.unrecorded {
            let found = lines.iter().find(|it| it.contains(&answer.audit_id));
            ensure!(found.is_none(), "denied without a number, yet there: {found:?}");
        }
        Ok(lines.len())
    }

    /// After a start and a stop: the whole account.
    pub(super) fn account(&mut self) -> Result<usize> {
        self.runtime()?.stop()?;
        audit(&self.stack.export()?, &self.answers.recorded)?;
        self.nothing_lost()
    }
}
