//! A control plane that enforces permissions, and nodes that ask it with tokens of their own.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::harness::{
    Bin, Client, Finished, Ports, Process, RuntimeOptions, Stack, eventually, program, run_to_end,
};

/// The person who sets the fleet up.
const ADMIN: &str = "ann";

/// A node.
#[derive(Debug)]
pub struct Node {
    /// Its name.
    pub name: &'static str,
    /// Where its runtime is.
    pub stack: Stack,
    runtime: Process,
}

/// The control plane with its nodes.
#[derive(Debug)]
pub struct Fleet {
    /// The nodes.
    pub nodes: Vec<Node>,
    client: Client,
    plane: Stack,
    orchestrator: Option<Process>,
    token: String,
}

impl Fleet {
    /// Starts a control plane below a directory; there is no node yet.
    ///
    /// # Errors
    ///
    /// When it does not start, or does not let the first one in.
    pub fn begin(dir: &Path) -> Result<Self> {
        let plane = Stack::new(&dir.join("plane"), Ports::free()?);
        let client = Client::new()?;
        let (nodes, token) = (Vec::new(), String::new());
        let mut fleet = Self { nodes, client, plane, orchestrator: None, token };
        fleet.start_control_plane()?;
        // Nobody has a role, so this works from this machine without a token, and never again.
        let token = fleet.token_of(ADMIN)?;
        fleet.good(&["rbac", "role", "assign", "--role", "auditor", "--subject", ADMIN])?;
        let closed = fleet.cli(&["rbac", "token", "create", "--subject", "mallory"])?;
        ensure!(closed.code() != Some(0), "the way in is still open: {closed:?}");
        fleet.token = token;
        fleet.good(&["rbac", "role", "assign", "--role", "operator", "--subject", ADMIN])?;
        Ok(fleet)
    }

    /// Where releases of this fleet are made.
    pub const fn workshop(&self) -> &Stack {
        &self.plane
    }

    fn start_control_plane(&mut self) -> Result<()> {
        let mut command = self.plane.orchestrator_command()?;
        command.env("AUTONOMY_RBAC_ENFORCEMENT", "1");
        let mut process = Process::start("orchestrator", &mut command)?;
        process.wait_for("orchestrator listening")?;
        self.orchestrator = Some(process);
        Ok(())
    }

    /// Kills the control plane without a chance to clean up, and starts it again.
    ///
    /// # Errors
    ///
    /// When it does not come back.
    pub fn kill_control_plane(&mut self) -> Result<()> {
        self.orchestrator.take().context("no control plane")?.kill()?;
        self.answered()?;
        self.start_control_plane()
    }

    fn token_of(&self, subject: &str) -> Result<String> {
        let secret = self.good(&["rbac", "token", "create", "--subject", subject])?;
        Ok(secret.trim().to_owned())
    }

    /// Starts a node that trusts `key`, with a token of its own.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub fn join(&mut self, name: &'static str, key: &Path) -> Result<()> {
        let token = self.token_of(&format!("node:{name}"))?;
        let dir = self.plane.dir.parent().context("no parent")?.join(name);
        let (stack, url) = (Stack::new(&dir, Ports::free()?), self.plane.orchestrator_url());
        let key = key.to_str().context("a UTF-8 name")?;
        let args = ["--poll-interval", "100ms", "--cosign-pubkey", key, "--node-id", name];
        let env = [("AUTONOMY_ORCHESTRATOR_URL", url.as_str()), ("AUTONOMY_TOKEN", &token)];
        let mut command = stack.runtime_command(&RuntimeOptions { args: &args, env: &env })?;
        let mut runtime = Process::start(name, &mut command)?;
        runtime.wait_for("runtime listening")?;
        self.nodes.push(Node { name, stack, runtime });
        Ok(())
    }

    fn command(&self, words: &[&str]) -> Result<Command> {
        let mut command = program(Bin::Autonomy)?;
        command.args(words).env("AUTONOMY_ORCHESTRATOR_URL", self.plane.orchestrator_url());
        command.env("AUTONOMY_AUDIT_DIR", self.plane.dir.join("audit-of-commands"));
        if !self.token.is_empty() {
            command.env("AUTONOMY_TOKEN", &self.token);
        }
        Ok(command)
    }

    /// Runs `autonomy` against the control plane.
    ///
    /// # Errors
    ///
    /// When it cannot be started; how it ended is in the result.
    pub fn cli(&self, words: &[&str]) -> Result<Finished> {
        run_to_end(&mut self.command(words)?)
    }

    /// The output of a command that ended well.
    ///
    /// # Errors
    ///
    /// When it did not.
    pub fn good(&self, words: &[&str]) -> Result<String> {
        let ended = self.cli(words)?;
        ensure!(ended.code() == Some(0), "{words:?}: {ended:?}");
        Ok(ended.stdout)
    }

    /// Asks the control plane.
    ///
    /// # Errors
    ///
    /// When it does not answer with JSON.
    pub fn ask(&self, path: &str) -> Result<Value> {
        let url = format!("{}{path}", self.plane.orchestrator_url());
        let text = self.client.block_on(async {
            let request = self.client.http().get(&url).bearer_auth(&self.token);
            request.send().await?.text().await
        })?;
        serde_json::from_str(&text).with_context(|| format!("{url}: {text}"))
    }

    /// Creates a plan from its JSON.
    ///
    /// # Errors
    ///
    /// When it is refused.
    pub fn create(&self, plan: &Value) -> Result<()> {
        let id = plan["id"].as_str().context("a plan has an id")?;
        let file: PathBuf = self.plane.dir.join(format!("{id}.json"));
        std::fs::write(&file, plan.to_string())?;
        let path = file.to_str().context("a UTF-8 name")?;
        self.good(&["rollout", "plan", "create", path]).map(drop)
    }

    /// What the control plane says about a plan.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub fn plan(&self, id: &str) -> Result<Value> {
        self.ask(&format!("/v1/rollouts/{id}"))
    }

    /// Waits until something is so; every node answers calls all the while.
    ///
    /// # Errors
    ///
    /// When it does not become so, or a call is not answered. The error shows what was seen last.
    pub fn until(
        &self,
        what: &str,
        mut look: impl FnMut(&Self) -> Result<Option<Value>>,
    ) -> Result<Value> {
        let mut last = String::new();
        let found = eventually(what, || {
            if let Err(error) = self.answered() {
                return Some(Err(error));
            }
            match look(self) {
                Ok(found) => found.map(Ok),
                Err(error) => {
                    last = format!("{error:#}");
                    None
                }
            }
        });
        match found {
            Ok(found) => found,
            Err(error) => bail!("{error:#}: {last}\n{}", self.said()),
        }
    }

    /// Waits until a plan is in a phase.
    ///
    /// # Errors
    ///
    /// When it does not get there.
    pub fn until_phase(&self, id: &str, phase: &str) -> Result<Value> {
        self.until(&format!("{id} is {phase}"), |fleet| {
            let plan = fleet.plan(id)?;
            ensure!(plan["phase"] == phase, "{plan}");
            Ok(Some(plan))
        })
    }

    /// Waits until every node was heard of.
    ///
    /// # Errors
    ///
    /// When one is not.
    pub fn until_heard(&self) -> Result<Value> {
        let count = self.nodes.len() as u64;
        self.until("every node was heard of", |fleet| {
            let summary = fleet.ask("/v1/fleet/summary")?;
            ensure!(summary["up"] == count, "{summary}");
            Ok(Some(summary))
        })
    }

    /// Waits until every node has had another answer of the control plane, and was shown it.
    ///
    /// # Errors
    ///
    /// When one has not.
    pub fn until_asked(&self) -> Result<()> {
        let answers = |fleet: &Self| -> Result<Vec<Value>> {
            let urls = fleet.nodes.iter().map(|it| it.stack.runtime_url() + "/v1/status");
            urls.map(|it| Ok(fleet.client.get_json(&it)?["releases"]["last_answer"].clone()))
                .collect()
        };
        // The first answer that is new may have been on its way before.
        for _ in 0..2 {
            let before = answers(self)?;
            self.until("every node has asked again", |fleet| {
                let now = answers(fleet)?;
                let all = now.iter().zip(&before).all(|(now, before)| now != before);
                Ok(all.then_some(Value::Null))
            })?;
        }
        Ok(())
    }

    /// Calls a tool of every node: each is decided, whatever the control plane does.
    ///
    /// # Errors
    ///
    /// When a call is not answered with a decision that is on record.
    pub fn answered(&self) -> Result<()> {
        for node in &self.nodes {
            let (status, answer) = self.call(node)?;
            let decided = matches!(status, 200 | 403) && answer.seq.is_some();
            ensure!(decided, "{}: {status} {answer:?}", node.name);
        }
        Ok(())
    }

    fn call(&self, node: &Node) -> Result<(u16, api::tool::ToolResponse)> {
        let params = json!({ "message": "loop" });
        self.client.tool(&node.stack.runtime_url(), "tool.echo", &params)
    }

    /// Whether a node decides by this version and says so on record with this lock.
    ///
    /// # Errors
    ///
    /// When it does not.
    pub fn runs(&self, name: &str, version: &str, fingerprint: &str) -> Result<()> {
        let node = self.nodes.iter().find(|it| it.name == name).context("no such node")?;
        let (status, answer) = self.call(node)?;
        ensure!((status, &*answer.policy_ref) == (200, version), "{name}: {status} {answer:?}");
        let url = format!("{}/v1/decisions/{}", node.stack.runtime_url(), answer.audit_id);
        let record = self.client.get_json(&url)?.to_string();
        ensure!(record.contains(fingerprint), "{name} does not name {fingerprint}: {record}");
        Ok(())
    }

    /// Steps that a node has on record about a plan.
    ///
    /// # Errors
    ///
    /// When its log cannot be read.
    pub fn steps(&self, name: &str, plan: &str) -> Result<Vec<String>> {
        let node = self.nodes.iter().find(|it| it.name == name).context("no such node")?;
        let entries = node.stack.export()?;
        let entries = entries.iter().filter_map(|it| serde_json::from_str::<Value>(it).ok());
        let attrs = entries.map(|it| it["event"]["attrs"].clone());
        let about = attrs.filter(|it| it["plan_id"] == plan);
        Ok(about.filter_map(|it| it["step"].as_str().map(str::to_owned)).collect())
    }

    /// Brings the log of a node to the control plane through a sink that has a token of the node, and returns the
    /// entries about its life that the control plane has then.
    ///
    /// # Errors
    ///
    /// When something does not take them.
    pub fn forwarded(&self, name: &str) -> Result<Value> {
        let node = self.nodes.iter().find(|it| it.name == name).context("no such node")?;
        let mut command = self.plane.sink_command()?;
        command.env("AUTONOMY_TOKEN", self.token_of(&format!("node:{name}"))?);
        let mut sink = Process::start("otel-sink", &mut command)?;
        sink.wait_for("otel-sink listening")?;
        let (dir, sink_url) = (node.stack.wal_dir(), self.plane.sink_url());
        let dir = dir.to_str().context("a UTF-8 name")?;
        self.good(&["telemetry", "drain", "--dir", dir, "--endpoint", &sink_url])?;
        sink.stop()?;
        self.ask(&format!("/v1/events?node_id={name}&event_type=ai.agent.lifecycle&limit=1000"))
    }

    /// What the processes said, for a story that failed.
    fn said(&self) -> String {
        let nodes = self.nodes.iter().map(|it| format!("{}:\n{}", it.name, it.runtime.output()));
        let plane = self.orchestrator.as_ref().map(Process::output).unwrap_or_default();
        nodes.chain([format!("control plane:\n{plane}")]).collect::<Vec<_>>().join("\n")
    }

    /// Stops everything, and fails when something does not stop well.
    ///
    /// # Errors
    ///
    /// When a process does not end with 0, or a token was said aloud.
    pub fn end(mut self) -> Result<()> {
        let said = self.said();
        ensure!(!said.contains(&self.token), "a token is in a log");
        for node in self.nodes {
            node.runtime.stop()?;
        }
        self.orchestrator.take().context("no control plane")?.stop()
    }
}
