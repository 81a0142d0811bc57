//! The demo: the tutorial in one go, or a standing stack to play with.
//!
//! A standing stack lives in a directory, `target/demo` for `cargo xtask`: logs, data, and `demo.json` with ports and process ids.
//! A process is signalled only when the id still belongs to the program that was started.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::{
    harness::{Bin, Client, Ports, RuntimeOptions, Stack, eventually},
    stories::{Narrator, release::Release, tutorial},
};

/// Tells tutorial 03 on a stack of its own and removes everything afterwards.
///
/// # Errors
///
/// When the machine has no resources for it.
pub fn whole() -> Result<bool> {
    let dir = tempfile::tempdir()?;
    let ports = Ports::documented_or_free()?;
    let mut narrator = Narrator::loud();
    narrator.say("autonomy demo: tutorial 03, crash and recovery");
    if ports != Ports::DOCUMENTED {
        narrator.say("(a documented port is taken; free ones are used instead)");
    }
    tutorial::tell(&Stack::new(dir.path(), ports), &mut narrator)?;
    let verdicts = narrator.finish();
    println(&format!("\n{}", verdicts.table()))?;
    Ok(!verdicts.failed())
}

/// Starts a standing stack.
///
/// # Errors
///
/// When a process does not start; those that did are stopped again.
pub fn up(dir: &Path) -> Result<bool> {
    if let Some(standing) = Standing::load(dir)? {
        println("the demo is up already")?;
        standing.print()?;
        return Ok(true);
    }
    fs::create_dir_all(dir)?;
    let standing =
        Standing { stack: Stack::new(dir, Ports::documented_or_free()?), pids: BTreeMap::new() };
    let started = standing.start_all();
    match started {
        Ok(standing) => {
            standing.save()?;
            standing.print()?;
            println("next: cargo xtask demo run-unsigned")?;
            Ok(true)
        }
        Err((standing, error)) => {
            standing.stop_all()?;
            Err(error)
        }
    }
}

/// Stops the standing stack; its data stay for a look.
///
/// # Errors
///
/// When a process does not end.
pub fn down(dir: &Path) -> Result<bool> {
    let Some(standing) = Standing::load(dir)? else {
        println("the demo is not up")?;
        return Ok(true);
    };
    standing.stop_all()?;
    fs::remove_file(state_file(dir))?;
    println(&format!("the demo is down; its data are in {}", standing.stack.dir.display()))?;
    Ok(true)
}

/// Says what runs where. Fails when the demo is not up or a process of it is gone.
///
/// # Errors
///
/// When the state cannot be read.
pub fn status(dir: &Path) -> Result<bool> {
    let Some(standing) = Standing::load(dir)? else {
        println("the demo is not up; start it with: cargo xtask demo up")?;
        return Ok(false);
    };
    standing.print()?;
    Ok(ROLES.iter().all(|it| standing.alive(*it)))
}

/// Builds the demo policy, loads it, and makes the running runtime take it.
///
/// # Errors
///
/// When the demo is not up or a step fails.
pub fn run_unsigned(dir: &Path) -> Result<bool> {
    let standing = Standing::required(dir)?;
    print_text(&standing.stack.load_demo_policy()?)?;
    let client = Client::new()?;
    let url = standing.stack.runtime_url();
    let (status, body) = client.post(&format!("{url}/v1/policy/reload"), "")?;
    ensure!(status == 200, "the runtime did not take the policy: {status} {body}");
    let status = client.get_json(&format!("{url}/v1/status"))?;
    ensure!(status["policy_ref"] == "1.0.0", "{status}");
    println("the runtime decides by policy 1.0.0")?;
    println(&format!(
        "try: curl -s {url}/v1/tool -d '{{\"kind\":\"tool.echo\",\"params\":{{\"message\":\"hi\"}}}}'"
    ))?;
    Ok(true)
}

/// Publishes a signed release in a layout, verifies it, loads its policy, and makes the running runtime take it.
///
/// # Errors
///
/// When the demo is not up or a step fails.
pub fn run_signed(dir: &Path) -> Result<bool> {
    let standing = Standing::required(dir)?;
    let (stack, client) = (&standing.stack, Client::new()?);
    // Each run is a release of its own, newer than the ones before.
    let counter = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let release = Release::publish(stack, "1.0.0", counter)?;
    let verified = release.verify(&[])?;
    print_text(&verified.stdout)?;
    ensure!(verified.code() == Some(0), "{verified:?}");
    let loaded = release.load(stack)?;
    ensure!(loaded.code() == Some(0), "{loaded:?}");
    print_text(&loaded.stdout)?;
    let url = stack.runtime_url();
    let (status, body) = client.post(&format!("{url}/v1/policy/reload"), "")?;
    ensure!(status == 200, "the runtime did not take the policy: {status} {body}");
    let status = client.get_json(&format!("{url}/v1/status"))?;
    let lock = status["lock_fingerprint"].as_str().context("decisions name no lock")?;
    println(&format!("the runtime decides by policy 1.0.0 of the lock {lock}"))?;
    Ok(true)
}

/// Steps 1 to 3 of the tutorial on the standing stack.
///
/// # Errors
///
/// When the demo is not up or a process does not do as told.
pub fn offline_drain(dir: &Path) -> Result<bool> {
    let mut standing = Standing::required(dir)?;
    let client = Client::new()?;
    let mut narrator = Narrator::loud();
    narrator.part("The collector goes away, the log fills");
    narrator.check("the sink stops", || standing.stop(Role::Sink));
    narrator.check("3 × tool.echo, 2 × tool.shell", || {
        let url = standing.stack.runtime_url();
        for n in 1..=3 {
            let params = json!({ "message": format!("offline-call-{n}") });
            let (status, answer) = client.tool(&url, "tool.echo", &params)?;
            ensure!(status == 200, "{answer:?}; is the policy loaded (demo run-unsigned)?");
        }
        for _ in 1..=2 {
            let (status, answer) = client.tool(&url, "tool.shell", &json!({ "command": "id" }))?;
            ensure!(status == 403, "{answer:?}");
        }
        Ok(())
    });
    let before = narrator.check("a drain fails and moves nothing", || {
        let before = standing.stack.export()?;
        let drained = standing.stack.drain()?;
        ensure!(drained.code() == Some(7), "{drained:?}");
        ensure!(standing.stack.export()? == before, "the export changed");
        Ok(before)
    });
    narrator.say(&format!("   {} entries in the log", before.map_or(0, |it| it.len())));
    narrator.part("The collector is back");
    narrator.check("the sink starts", || standing.start(Role::Sink));
    let output = narrator.check("the drain sends everything", || {
        let drained = standing.stack.drain()?;
        ensure!(drained.code() == Some(0), "{drained:?}");
        Ok(format!("{}{}", drained.stdout, drained.stderr))
    });
    narrator.show(&output.unwrap_or_default());
    narrator.check("the control plane has the decisions", || {
        let url = standing.stack.orchestrator_url();
        let page = client.get_json(&format!("{url}/v1/events?event_type=ai.policy.decision"))?;
        let count = page["count"].as_u64().context("no count")?;
        ensure!(count >= 5 && count % 5 == 0, "{count}");
        Ok(())
    });
    standing.save()?;
    let verdicts = narrator.finish();
    println(&format!("\n{}", verdicts.table()))?;
    Ok(!verdicts.failed())
}

/// A process of the standing stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Orchestrator,
    Sink,
    Runtime,
}

const ROLES: [Role; 3] = [Role::Orchestrator, Role::Sink, Role::Runtime];

impl Role {
    const fn bin(self) -> Bin {
        match self {
            Self::Orchestrator => Bin::Orchestrator,
            Self::Sink => Bin::Sink,
            Self::Runtime => Bin::Autonomy,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Orchestrator => "orchestrator",
            Self::Sink => "sink",
            Self::Runtime => "runtime",
        }
    }
}

/// Processes in the background.
struct Standing {
    stack: Stack,
    pids: BTreeMap<Role, u32>,
}

fn state_file(dir: &Path) -> PathBuf {
    dir.join("demo.json")
}

impl Standing {
    /// The standing stack, if there is one with a process alive.
    fn load(dir: &Path) -> Result<Option<Self>> {
        let Ok(text) = fs::read_to_string(state_file(dir)) else { return Ok(None) };
        let state: Value = serde_json::from_str(&text).context("demo.json")?;
        let port = |role: Role| -> Result<u16> {
            let port = state[role.name()]["port"].as_u64().context("no port in demo.json")?;
            Ok(u16::try_from(port)?)
        };
        let ports = Ports {
            orchestrator: port(Role::Orchestrator)?,
            sink: port(Role::Sink)?,
            runtime: port(Role::Runtime)?,
        };
        let pids = ROLES.into_iter().filter_map(|role| {
            let pid = state[role.name()]["pid"].as_u64()?;
            Some((role, u32::try_from(pid).ok()?))
        });
        let standing = Self { stack: Stack::new(dir, ports), pids: pids.collect() };
        Ok(ROLES.iter().any(|it| standing.alive(*it)).then_some(standing))
    }

    fn required(dir: &Path) -> Result<Self> {
        Self::load(dir)?.context("the demo is not up; start it with: cargo xtask demo up")
    }

    fn save(&self) -> Result<()> {
        let state = ROLES.map(|role| {
            let pid = self.pids.get(&role);
            (role.name().to_owned(), json!({ "port": self.port(role), "pid": pid }))
        });
        let state = Value::Object(state.into_iter().collect());
        Ok(fs::write(state_file(&self.stack.dir), format!("{state}\n"))?)
    }

    fn print(&self) -> Result<()> {
        for role in ROLES {
            let pid = self.pids.get(&role).map_or("-".to_owned(), u32::to_string);
            let state = if self.alive(role) { "running" } else { "gone" };
            let (name, url) = (role.name(), self.url(role));
            println(&format!("{name:<13} {url:<24} pid {pid:<8} {state}"))?;
        }
        println(&format!("data and logs in {}", self.stack.dir.display()))
    }

    const fn port(&self, role: Role) -> u16 {
        match role {
            Role::Orchestrator => self.stack.ports.orchestrator,
            Role::Sink => self.stack.ports.sink,
            Role::Runtime => self.stack.ports.runtime,
        }
    }

    fn url(&self, role: Role) -> String {
        format!("http://127.0.0.1:{}", self.port(role))
    }

    /// Whether the process that was started is still there, and not another under its id.
    fn alive(&self, role: Role) -> bool {
        let Some(pid) = self.pids.get(&role) else { return false };
        let exe = fs::read_link(format!("/proc/{pid}/exe"));
        exe.is_ok_and(|it| {
            // A rebuilt program leaves ` (deleted)` behind its name.
            let name = it.file_name().map(|it| it.to_string_lossy().into_owned());
            name.is_some_and(|it| it.trim_end_matches(" (deleted)") == role.bin().name())
        })
    }

    fn start_all(mut self) -> Result<Self, (Self, anyhow::Error)> {
        for role in ROLES {
            if let Err(error) = self.start(role) {
                return Err((self, error));
            }
        }
        Ok(self)
    }

    fn start(&mut self, role: Role) -> Result<()> {
        let command = match role {
            Role::Orchestrator => self.stack.orchestrator_command()?,
            Role::Sink => self.stack.sink_command()?,
            Role::Runtime => self.stack.runtime_command(&RuntimeOptions::default())?,
        };
        let log = self.stack.dir.join(format!("{}.log", role.name()));
        self.pids.insert(role, detach(command, &log)?);
        let client = Client::new()?;
        let path = if role == Role::Orchestrator { "/v1/health" } else { "/health" };
        let url = format!("{}{path}", self.url(role));
        let ready = eventually(&format!("{} answers", role.name()), || {
            if !self.alive(role) {
                return Some(false);
            }
            client.get(&url).is_ok_and(|(status, _)| status == 200).then_some(true)
        })?;
        ensure!(ready, "{} ended; its log is {}", role.name(), log.display());
        Ok(())
    }

    fn stop(&mut self, role: Role) -> Result<()> {
        if self.alive(role) {
            let pid = self.pids.get(&role).copied().unwrap_or_default();
            let pid = Pid::from_raw(i32::try_from(pid)?).context("no process id")?;
            kill_process(pid, Signal::TERM)?;
        }
        eventually(&format!("{} ends", role.name()), || (!self.alive(role)).then_some(()))?;
        self.pids.remove(&role);
        Ok(())
    }

    fn stop_all(&self) -> Result<()> {
        let mut this =
            Self { stack: Stack::new(&self.stack.dir, self.stack.ports), pids: self.pids.clone() };
        [Role::Runtime, Role::Sink, Role::Orchestrator].into_iter().try_for_each(|it| this.stop(it))
    }
}

/// Starts a program that outlives this one.
fn detach(mut command: Command, log: &Path) -> Result<u32> {
    let file = File::options().create(true).append(true).open(log)?;
    let child = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .process_group(0)
        .spawn()
        .with_context(|| format!("{command:?}"))?;
    Ok(child.id())
}

fn println(text: &str) -> Result<()> {
    print_text(&format!("{text}\n"))
}

fn print_text(text: &str) -> Result<()> {
    Ok(std::io::stdout().lock().write_all(text.as_bytes())?)
}
