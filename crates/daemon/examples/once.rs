//! A plan whose process dies in the middle of a step, after the effect and before anybody knew. The next run looks at
//! the world, does what is left, and nothing twice.
//!
//! `cargo run -p daemon --example once`
//!
//! The program starts itself as the process that dies. Its tools write lines into a file; a runtime in earnest
//! decides each call by policy and puts it on record.
#![expect(clippy::print_stdout, reason = "an example talks to a terminal")]

use std::{
    env,
    error::Error,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{self, Command},
    time::Duration,
};

use daemon::{ABSENT, Call, Called, Ended, Mandate, Plan, Ran, Runner, Tools, Unreachable};
use jiff::Timestamp;
use serde_json::{Value, json};
use vfs::OsVfs;
use wal_format::step::sha256;

/// Exit code of the process that dies.
const DEAD: i32 = 9;
/// What the step `publish` leaves.
const PAGE: &[u8] = b"v2 is out\n";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    if let Some(dir) = env::args_os().nth(1) {
        let dir = PathBuf::from(dir);
        let ran = run(&dir, true)?;
        return Err(format!("it should have died: {:?}", ran.ended).into());
    }
    let dir = tempfile::tempdir()?;
    let child = Command::new(env::current_exe()?).arg(dir.path()).status()?;
    println!("first run: died with {:?}, and did {:?}", child.code(), done(dir.path())?);
    if child.code() != Some(DEAD) {
        return Err("it died of something else".into());
    }

    let ran = run(dir.path(), false)?;
    println!("second run: {} calls, {} steps found to be done", ran.calls, ran.confirmed);
    println!("  {:?}", ran.ended);
    let ran = run(dir.path(), false)?;
    println!("third run: {} calls, {:?}", ran.calls, ran.ended);

    let done = done(dir.path())?;
    println!("what happened to the world: {done:?}");
    // `look` has no effect and may run again; the others did not.
    let once = |step: &str| done.iter().filter(|it| *it == step).count() == 1;
    if !(once("publish") && once("announce") && matches!(ran.ended, Ended::Finished { .. })) {
        return Err("a step was dropped, or done twice".into());
    }
    Ok(())
}

/// The plan: the same file gives the same mandate and the same keys, whoever runs it.
fn mandate(dir: &Path) -> Result<Mandate> {
    let page = dir.join("page.txt");
    let plan = json!({
        "version": 1, "name": "release", "fired_at": "2026-04-20T12:00:00Z",
        "steps": [
            { "id": "announce", "tool": "tool.mail", "effect": "opaque", "depends_on": ["publish"] },
            { "id": "publish", "tool": "tool.file", "effect": "confirmable", "depends_on": ["look"],
              "params": { "path": page },
              "confirm": { "file": page, "before": ABSENT, "after": sha256(PAGE) } },
            { "id": "look", "tool": "tool.look", "effect": "none" },
        ],
    });
    Ok(Plan::parse(plan.to_string().as_bytes())?.mandate(None)?)
}

fn run(dir: &Path, dies: bool) -> Result<Ran> {
    let runner = Runner {
        vfs: &OsVfs,
        world: &OsVfs,
        dir: &dir.join("steps"),
        pid: process::id(),
        tools: &Desk { dir, dies },
        clock: &Timestamp::now,
        stop: &|| false,
        began: &|| {},
        say: &|it| println!("  recovery: {}", it.name()),
        rest_wait_max: Duration::from_secs(1),
        archive: false,
    };
    Ok(runner.run(&mandate(dir)?)?)
}

/// The tools, in place of a runtime.
struct Desk<'a> {
    dir: &'a Path,
    dies: bool,
}

impl Tools for Desk<'_> {
    fn ready(&self) -> std::result::Result<(), Unreachable> {
        Ok(())
    }

    /// No call outlives the process here.
    fn at_rest(&self, _since: Timestamp) -> std::result::Result<bool, Unreachable> {
        Ok(true)
    }

    fn call(&self, call: &Call<'_>) -> Called {
        if let Err(error) = self.act(call) {
            let (code, message) = ("tool_failed".to_owned(), error.to_string());
            return Called::Failed { code, message, output: None };
        }
        if self.dies && call.step_id == "publish" {
            process::exit(DEAD);
        }
        Called::Done { output: Value::Null }
    }
}

impl Desk<'_> {
    fn act(&self, call: &Call<'_>) -> io::Result<()> {
        let mut lines = File::options().append(true).create(true).open(self.dir.join("done"))?;
        writeln!(lines, "{}", call.step_id)?;
        match call.params.get("path").and_then(Value::as_str) {
            Some(path) => fs::write(path, PAGE),
            None => Ok(()),
        }
    }
}

/// Each time that a tool did something.
fn done(dir: &Path) -> io::Result<Vec<String>> {
    Ok(fs::read_to_string(dir.join("done"))?.lines().map(str::to_owned).collect())
}
