//! A node with a runtime whose tools do as they are told, plan files, and a directory of step logs.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use wal_format::step::sha256;

use crate::{
    harness::{
        Bin, Finished, Ports, Process, RuntimeOptions, Stack, eventually, program, run_to_end,
    },
    stories::drill::{Fault, processes_about},
};

const POLICY: &str = r#"package autonomy

decision := {"allow": true, "rule": "steps"} if input.kind in {"tool.shell", "tool.echo"}
"#;

/// Where a step stops and waits to be let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stops {
    /// Nowhere.
    Never,
    /// Before its effect.
    Before,
    /// After its effect, and before it answers.
    After,
}

/// A node. The order of the fields is the order in which they go.
pub(super) struct Site {
    pub(super) runtime: Option<Process>,
    pub(super) stack: Stack,
    pub(super) logs: PathBuf,
    /// Held open, so that nobody waits for the other end of the pipe, and nothing in it is lost.
    valve: File,
}

impl Site {
    /// A node whose step logs are in `steps` below `dir`, with its runtime running.
    pub(super) fn new(dir: &Path) -> Result<Self> {
        let policies = dir.join("policies");
        fs::create_dir(&policies)?;
        fs::write(policies.join("steps.rego"), POLICY)?;
        let stack = Stack::new(dir, Ports::free()?);
        stack.load_policy(&policies)?;
        let pipe = dir.join("valve");
        let made = run_to_end(Command::new("mkfifo").arg(&pipe))?;
        ensure!(made.code() == Some(0), "{made:?}");
        let valve = OpenOptions::new().read(true).write(true).open(pipe)?;
        let mut site = Self { runtime: None, stack, logs: dir.join("steps"), valve };
        site.start()?;
        Ok(site)
    }

    pub(super) fn start(&mut self) -> Result<()> {
        let options = RuntimeOptions { env: &[], args: &["--enable-shell"] };
        self.runtime = Some(self.stack.runtime(&options)?);
        Ok(())
    }

    /// Kills the runtime, and waits until what it ran is gone, too.
    pub(super) fn kill_runtime(&mut self) -> Result<()> {
        self.runtime.take().context("no runtime")?.kill()?;
        eventually("nothing is left of the runtime", || {
            processes_about(&self.stack.dir).ok()?.is_empty().then_some(())
        })
    }

    /// Runs a plan until one of its steps stands where it stops, and kills daemon and runtime there. With the
    /// fault left out, the step is let go, and the plan ends.
    pub(super) fn interrupt(&mut self, plan: &Path, id: &str, fault: Fault) -> Result<()> {
        let daemon = self.daemon(plan)?;
        self.stands(id)?;
        if fault == Fault::LeftOut {
            self.let_go(1)?;
            return ended(daemon);
        }
        daemon.kill()?;
        self.kill_runtime()
    }

    /// Ends the runtime as an operator would.
    pub(super) fn stop(&mut self) -> Result<()> {
        self.runtime.take().context("no runtime")?.stop()
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.stack.dir.join(name)
    }

    /// A step that appends its id to the file of that name; says where it stands in `<id>.at`.
    pub(super) fn step(&self, id: &str, effect: &str, stops: Stops) -> Value {
        let halt = r#": > "$1/$2.at"; read -r go < "$1/valve""#;
        let act = r#"echo "$2" >> "$1/$2""#;
        let script = match stops {
            Stops::Never => act.to_owned(),
            Stops::Before => format!("{halt}; {act}"),
            Stops::After => format!("{act}; {halt}"),
        };
        let mut step = json!({
            "id": id,
            "tool": "tool.shell",
            "params": { "argv": ["sh", "-c", script, "sh", &self.stack.dir, id] },
            "effect": effect,
        });
        if effect == "confirmable" {
            let after = sha256(format!("{id}\n").as_bytes());
            step["confirm"] = json!({ "file": self.path(id), "before": "absent", "after": after });
        }
        step
    }

    /// Lets `steps` of those go that wait, or will.
    pub(super) fn let_go(&mut self, steps: usize) -> Result<()> {
        Ok(self.valve.write_all("go\n".repeat(steps).as_bytes())?)
    }

    /// Waits until a step stands where it stops.
    pub(super) fn stands(&self, id: &str) -> Result<()> {
        let mark = self.path(&format!("{id}.at"));
        eventually(&format!("the step {id} stands"), || mark.exists().then_some(()))
    }

    /// How often a step had its effect.
    pub(super) fn effects(&self, id: &str) -> usize {
        fs::read_to_string(self.path(id)).unwrap_or_default().lines().count()
    }

    /// Writes a plan file.
    pub(super) fn plan(&self, name: &str, steps: &[Value]) -> Result<PathBuf> {
        let path = self.path(&format!("{name}.json"));
        let plan = json!({
            "version": 1, "name": name, "fired_at": "2026-04-20T12:00:00Z", "steps": steps,
        });
        fs::write(&path, plan.to_string())?;
        Ok(path)
    }

    fn daemon_command(&self, plan: &Path, url: &str, more: &[&str]) -> Result<Command> {
        let mut command = program(Bin::Autonomy)?;
        command.args(["daemon", "run", "--output", "json", "--runtime-url", url]);
        command.arg("--wal-dir").arg(&self.logs).arg("--plan").arg(plan).args(more);
        Ok(command)
    }

    /// Starts a daemon that is not waited for.
    pub(super) fn daemon(&self, plan: &Path) -> Result<Process> {
        self.daemon_through(plan, &self.stack.runtime_url())
    }

    /// Starts a daemon that reaches the runtime by another address.
    pub(super) fn daemon_through(&self, plan: &Path, url: &str) -> Result<Process> {
        Process::start("daemon", &mut self.daemon_command(plan, url, &[])?)
    }

    /// Runs a daemon to its end.
    pub(super) fn run(&self, plan: &Path, more: &[&str]) -> Result<Said> {
        let command = &mut self.daemon_command(plan, &self.stack.runtime_url(), more)?;
        Said::of(run_to_end(command)?)
    }

    /// Runs `autonomy wal steps` to its end.
    pub(super) fn steps(&self, args: &[&str]) -> Result<Said> {
        steps_in(&self.logs, args)
    }

    /// The only log of the directory.
    pub(super) fn log(&self) -> Result<PathBuf> {
        let mut logs = logs_in(&self.logs)?;
        ensure!(logs.len() == 1, "{logs:?}");
        logs.pop().context("no log")
    }

    /// Mandate of the only log.
    pub(super) fn mandate(&self) -> Result<String> {
        let log = self.log()?;
        let name = log.file_name().and_then(|it| it.to_str()).context("a name")?;
        Ok(name.strip_suffix(".wal.jsonl").context("a step log")?.to_owned())
    }

    /// Records of the only log.
    pub(super) fn records(&self) -> Result<Vec<Value>> {
        let text = fs::read_to_string(self.log()?)?;
        text.lines().map(|it| serde_json::from_str(it).with_context(|| it.to_owned())).collect()
    }

    /// The steps of the first plan of the only log, as a human is shown them.
    pub(super) fn shown(&self) -> Result<Value> {
        Ok(self.steps(&["inspect", &self.mandate()?])?.json["plans"][0].clone())
    }

    /// Where a step of the first plan is.
    pub(super) fn status(&self, id: &str) -> Result<String> {
        let plan = self.shown()?;
        let steps = plan["steps"].as_array().context("no steps")?;
        let step = steps.iter().find(|it| it["step_id"] == id);
        let step = step.with_context(|| format!("no {id} in {plan}"))?;
        Ok(step["status"].as_str().context("no status")?.to_owned())
    }
}

/// What a command said.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) code: i32,
    pub(super) json: Value,
    pub(super) stderr: String,
}

impl Said {
    /// Exactly one JSON document.
    fn of(ended: Finished) -> Result<Self> {
        let code = ended.code().with_context(|| format!("{ended:?}"))?;
        let json = serde_json::from_str(&ended.stdout).with_context(|| format!("{ended:?}"))?;
        Ok(Self { code, json, stderr: ended.stderr })
    }

    /// It ended with this exit code.
    pub(super) fn ended(self, code: i32) -> Result<Self> {
        ensure!(
            self.code == code,
            "exit code {}, not {code}: {}\n{}",
            self.code,
            self.json,
            self.stderr
        );
        Ok(self)
    }

    /// Names of the events of a recovery.
    pub(super) fn events(&self) -> Vec<&str> {
        let events = self.json["events"].as_array().map(Vec::as_slice).unwrap_or_default();
        events.iter().filter_map(|it| it["event"].as_str()).collect()
    }
}

/// Runs `autonomy wal steps` about a directory to its end.
pub(super) fn steps_in(dir: &Path, args: &[&str]) -> Result<Said> {
    let mut command = program(Bin::Autonomy)?;
    command.args(["wal", "steps"]).args(args).arg("--wal-dir").arg(dir);
    Said::of(run_to_end(command.args(["--output", "json"]))?)
}

/// Waits for a daemon that nobody kills.
pub(super) fn ended(mut daemon: Process) -> Result<()> {
    let status = daemon.wait()?;
    ensure!(status.code() == Some(0), "{status}: {}", daemon.output());
    Ok(())
}

/// The plan has succeeded, a further run does nothing, and every step had its effect exactly once.
pub(super) fn ends_once(site: &Site, plan: &Path, steps: &[&str]) -> Result<()> {
    let before = fs::read(site.log()?)?;
    let said = site.run(plan, &[])?.ended(0)?;
    let found = (&said.json["state"], &said.json["already"], &said.json["calls"]);
    ensure!(found == (&"succeeded".into(), &true.into(), &0.into()), "{said:?}");
    ensure!(fs::read(site.log()?)? == before, "the log has changed");
    for step in steps {
        ensure!(site.effects(step) == 1, "{step} had {} effects", site.effects(step));
    }
    Ok(())
}

/// The step logs of a directory, in the order of their names.
pub(super) fn logs_in(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| dir.display().to_string())?;
    let paths = entries.map(|it| Ok(it?.path())).collect::<Result<Vec<_>>>()?;
    let mut logs: Vec<_> =
        paths.into_iter().filter(|it| it.to_string_lossy().ends_with(".wal.jsonl")).collect();
    logs.sort();
    Ok(logs)
}
