//! A control plane of its own with a fresh data directory, and where its evidence goes.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Check, Kill, Options, Plan, Port, Report, report};
use crate::{
    harness::{Bin, Client, Finished, Ports, Process, program, run_to_end},
    stories::{Narrator, drill::Fault},
};

/// What a check found.
#[derive(Debug)]
pub(super) struct Found {
    /// Whether it is as it must be.
    pub(super) holds: bool,
    /// What the file of the check says.
    pub(super) facts: Vec<(&'static str, String)>,
}

/// A control plane and what is known about it so far.
#[derive(Debug)]
pub(super) struct Lab {
    pub(super) fault: Fault,
    pub(super) kill: Kill,
    pub(super) operator: &'static str,
    pub(super) client: Client,
    name: &'static str,
    port: u16,
    began: jiff::Timestamp,
    work: TempDir,
    evidence: PathBuf,
    process: Option<Process>,
    checks: Vec<Check>,
    narrator: Narrator,
}

impl Lab {
    /// Makes the directories; starts nothing.
    pub(super) fn open(plan: &Plan, options: &Options, narrator: Narrator) -> Result<Self> {
        let evidence = options.evidence.join(plan.evidence_name(options.kill));
        if evidence.exists() {
            fs::remove_dir_all(&evidence)?;
        }
        fs::create_dir_all(&evidence)?;
        let port = match options.port {
            Port::Free => Ports::free()?.orchestrator,
            Port::Documented => plan.port,
        };
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err() {
            let file = evidence.join(format!("{}-health.txt", plan.name));
            fs::write(file, format!("status=unreachable\nport {port} is already in use\n"))?;
            bail!("{}: port {port} is already in use; stop what listens there", plan.name);
        }
        narrator.part(&format!("{}: {}", plan.name, plan.title));
        Ok(Self {
            fault: options.fault,
            kill: options.kill,
            operator: plan.operator,
            client: Client::new()?,
            name: plan.name,
            port,
            began: jiff::Timestamp::now(),
            work: tempfile::Builder::new().prefix(plan.name).tempdir()?,
            evidence,
            process: None,
            checks: Vec::new(),
            narrator,
        })
    }

    /// Starts the control plane, unless it runs, and waits until it listens.
    pub(super) fn start(&mut self) -> Result<()> {
        if self.process.is_some() {
            return Ok(());
        }
        let mut command = program(Bin::Orchestrator)?;
        command.args(["serve", "--listen", &format!("127.0.0.1:{}", self.port)]);
        command.arg("--data-dir").arg(self.work.path().join("data"));
        command.args(["--log-format", "json"]);
        command.env("AUTONOMY_AUDIT_DIR", self.audit_dir());
        command.env("AUTONOMY_RBAC_ENFORCEMENT", "0");
        let log = self.evidence.join(format!("{}-cp.log", self.name));
        let mut process = Process::start_copied("orchestrator", &mut command, &log)?;
        process.wait_for("orchestrator listening")?;
        self.process = Some(process);
        Ok(())
    }

    /// Ends the control plane and waits until it is gone; does nothing when the fault is left out.
    pub(super) fn end(&mut self, signal: Signal) -> Result<String> {
        if self.fault == Fault::LeftOut {
            return Ok("left out".to_owned());
        }
        let mut process = self.process.take().context("no control plane runs")?;
        process.signal(signal)?;
        Ok(process.wait()?.to_string())
    }

    /// Id of the process.
    pub(super) fn pid(&self) -> u32 {
        self.process.as_ref().map_or(0, Process::id)
    }

    /// When it began, RFC 3339.
    pub(super) fn began(&self) -> String {
        self.began.to_string()
    }

    fn audit_dir(&self) -> PathBuf {
        self.work.path().join("audit")
    }

    /// URL of a route.
    pub(super) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Asks the control plane as the operator; status and text of the answer.
    pub(super) fn ask(&self, method: Method, path: &str, body: &Value) -> Result<(u16, String)> {
        let request = self.client.http().request(method, self.url(path));
        let request = request.header("x-autonomy-operator", self.operator);
        let request = if body.is_null() { request } else { request.json(body) };
        self.client.block_on(async {
            let response = request.send().await?;
            Ok((response.status().as_u16(), response.text().await?))
        })
    }

    /// Reads a route.
    pub(super) fn get(&self, path: &str) -> Result<(u16, String)> {
        self.ask(Method::GET, path, &Value::Null)
    }

    /// Creates a plan of no particular content.
    pub(super) fn create(&self, id: &str) -> Result<(u16, String)> {
        self.ask(Method::POST, "/v1/rollouts", &plan(id))
    }

    /// Runs `autonomy` as the operator, with the same audit trail.
    pub(super) fn autonomy(&self, args: &[&str]) -> Result<Finished> {
        let mut command = program(Bin::Autonomy)?;
        command.args(args);
        command.env("AUTONOMY_OPERATOR", self.operator);
        command.env("AUTONOMY_AUDIT_DIR", self.audit_dir());
        command.env("AUTONOMY_ORCHESTRATOR_URL", self.url(""));
        command.env("AUTONOMY_RBAC_ENFORCEMENT", "0");
        run_to_end(&mut command)
    }

    /// `autonomy rollback execute` on a plan.
    pub(super) fn execute(&self, plan: &str, strategy: &str, reason: &str) -> Result<Finished> {
        let what = ["rollback", "execute", "--target", "rollout_plan", "--resource", plan];
        self.autonomy(&[&what[..], &["--strategy", strategy, "--reason", reason]].concat())
    }

    /// Keeps a file of evidence; directories in its name are made.
    pub(super) fn keep(&self, file: &str, text: &str) -> Result<()> {
        let path = self.evidence.join(file);
        fs::create_dir_all(path.parent().unwrap_or(&self.evidence))?;
        fs::write(&path, format!("{}\n", text.trim_end())).with_context(|| file.to_owned())
    }

    /// Makes a check and keeps what it found in `file`.
    pub(super) fn check(
        &mut self,
        id: &'static str,
        what: &'static str,
        file: &str,
        look: impl FnOnce(&mut Self) -> Result<Found>,
    ) -> Result<()> {
        let (passed, facts) = match look(self) {
            Ok(Found { holds, facts }) => (holds, facts),
            Err(error) => (false, vec![("error", format!("{error:#}"))]),
        };
        let mut lines: Vec<_> = facts.iter().map(|(key, value)| format!("{key}={value}")).collect();
        lines.push(format!("pass={passed}"));
        self.keep(file, &lines.join("\n"))?;
        let check = Check { id, what, passed, facts };
        self.narrator.say(&format!("   {}", check.line()));
        self.checks.push(check);
        Ok(())
    }

    /// Says that a step could not be taken.
    pub(super) fn interrupted(&mut self, error: &anyhow::Error) {
        let facts = vec![("error", format!("{error:#}"))];
        let check = Check { id: "STEP", what: "every step can be taken", passed: false, facts };
        self.narrator.say(&format!("   {}", check.line()));
        self.checks.push(check);
    }

    /// Ends what runs and writes the reports.
    pub(super) fn close(mut self, plan: &Plan) -> Result<Report> {
        if let Some(process) = self.process.take() {
            process.stop()?;
        }
        let report = Report {
            plan: *plan,
            date: self.began(),
            port: self.port,
            kill: plan.kills().then_some(self.kill),
            checks: self.checks,
        };
        let write = |end: &str, text: String| {
            fs::write(self.evidence.join(format!("{}-report.{end}", plan.name)), text)
        };
        write("txt", report.to_text())?;
        write("json", format!("{:#}\n", report.to_json(&files_below(&self.evidence)?)))?;
        self.narrator.say(&format!("   evidence: {}", self.evidence.display()));
        Ok(report)
    }
}

/// A plan of no particular content.
pub(super) fn plan(id: &str) -> Value {
    json!({
        "metadata": { "id": id },
        "artifact_ref": "registry.example/agents/arm:1.2.0",
        "target_lock_fingerprint": format!("blake3:{}", "5e".repeat(32)),
        "rollout_kind": "behavior",
    })
}

/// Names of the files below a directory.
fn files_below(dir: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let (path, name) = entry.map(|it| (it.path(), it.file_name()))?;
        let name = name.to_string_lossy().into_owned();
        if path.is_dir() {
            names.extend(files_below(&path)?.into_iter().map(|it| format!("{name}/{it}")));
        } else {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Reads an answer that must be JSON.
pub(super) fn json_of(text: &str) -> Result<Value> {
    serde_json::from_str(text).with_context(|| text.to_owned())
}

/// Everything that a program wrote, with its exit code.
pub(super) fn shown(it: &Finished) -> String {
    let code = report::exit_code(it);
    format!("{}{}exit_code={code}", it.stdout, it.stderr)
}
