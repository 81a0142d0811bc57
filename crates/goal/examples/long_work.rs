//! A goal from its beginning to its end, through a gate that a human opens and a process that is gone in between.
//!
//! `cargo run -p goal --example long_work`
#![expect(clippy::print_stdout, reason = "an example talks to a terminal")]

use std::{error::Error, path::Path, process::Command, sync::Arc};

use goal::{
    Clock, Criterion, Decision, EXIT_NONE, EvalRequest, Goal, Held, LinuxLiveness, NewGoal, Place,
    Run, Status, Store, Word,
};
use jiff::{SignedDuration, Timestamp};
use vfs::OsVfs;

/// Longest wait for whoever else has the lock.
const PATIENCE: SignedDuration = SignedDuration::from_secs(30);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The clock of this machine. The crate has none, so that a test can be in any year.
struct Wall;

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn pause(&self, duration: SignedDuration) {
        std::thread::sleep(duration.unsigned_abs());
    }
}

fn main() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let anchor = begin(dir.path())?;
    // Here the process may die. Nothing of the goal is in memory: the next one opens the same directory.
    go_on(dir.path(), &anchor)?;
    let text = std::fs::read_to_string(Place::in_state_dir(dir.path()).goal())?;
    println!(
        "goal.json: {} bytes, ends with status {}",
        text.len(),
        open(dir.path())?.load()?.status()
    );
    Ok(())
}

fn open(dir: &Path) -> Result<Store> {
    let alive = Arc::new(LinuxLiveness::new()?);
    let place = Place::in_state_dir(dir);
    Ok(Store::new(Arc::new(OsVfs), place, std::process::id(), alive, Arc::new(Wall)))
}

/// The first session: a goal with one criterion and one gate, and one iteration. Returns the anchor before it ended.
fn begin(dir: &Path) -> Result<String> {
    let store = open(dir)?;
    let held = store.lock(PATIENCE)?;
    let criterion = Criterion {
        description: "the release notes are there".to_owned(),
        verification_command: "test -s NOTES.md".to_owned(),
        ..Criterion::default()
    };
    let new = NewGoal {
        goal_id: "0d1f6c7e-9a53-4a40-8f0e-6f1f6c1f0a11".to_owned(),
        title: "Ship v2".to_owned(),
        criteria: vec![criterion],
        ..NewGoal::default()
    };
    store.begin(&held, &Goal::new(new, store.now()), false)?;
    let mut goal = store.load()?;
    goal.say("legal", Word::Add { description: "licences are looked at" }, None, store.now())?;
    let anchor = goal.anchor();
    let blocked = eval(&store, &held, &mut goal, &anchor, Decision::Continue)?;
    println!("first session: {blocked}, waits for {:?}", goal.awaiting_gate().map(|it| it.0));
    Ok(anchor)
}

fn go_on(dir: &Path, old: &str) -> Result<()> {
    let store = open(dir)?;
    let held = store.lock(PATIENCE)?;
    let mut goal = store.load()?;
    // A caller that never heard the answer asks again, about the same moment: it is told, and nothing happens twice.
    let again = goal.eval(request(Decision::Continue, old), &[], store.now())?;
    println!("second session: asked again, replayed = {}", again.replayed);

    goal.say("legal", Word::Approve, Some("seen by ada"), store.now())?;
    let anchor = goal.anchor();
    println!("gate approved: {}", eval(&store, &held, &mut goal, &anchor, Decision::Continue)?);

    for work in ["", "Everything is faster.\n"] {
        std::fs::write(dir.join("NOTES.md"), work)?;
        let runs = check(dir, &goal)?;
        goal.record_attempt(1, &runs, store.now())?;
        let met = runs.iter().all(Run::passed);
        println!("iteration {}: criterion met = {met}", goal.iteration());
        let anchor = goal.anchor();
        let decision = if met { Decision::Complete } else { Decision::Continue };
        println!("  {}", eval(&store, &held, &mut goal, &anchor, decision)?);
    }
    let after = goal.eval(EvalRequest::default(), &[], store.now());
    match (goal.status(), after) {
        (Status::Completed, Err(error)) => println!("an end is an end: {error}"),
        other => return Err(format!("not the end: {other:?}").into()),
    }
    Ok(())
}

fn request(decision: Decision, anchor: &str) -> EvalRequest<'_> {
    EvalRequest { decision, if_anchor: Some(anchor), ..EvalRequest::default() }
}

/// Decides, and puts it on the disk before anybody is told.
fn eval(
    store: &Store,
    held: &Held,
    goal: &mut Goal,
    anchor: &str,
    decision: Decision,
) -> Result<String> {
    let done = goal.eval(request(decision, anchor), &[], store.now())?;
    store.save(held, goal)?;
    Ok(format!("{} in iteration {}", done.recorded.outcome.as_str(), done.recorded.iteration))
}

/// Running commands is the business of whoever uses the crate.
fn check(dir: &Path, goal: &Goal) -> Result<Vec<Run>> {
    let run = |it: &Criterion| {
        let mut shell = Command::new("sh");
        let output = shell.args(["-c", &it.verification_command]).current_dir(dir).output()?;
        Ok(Run {
            id: it.id.clone(),
            command: Some(it.verification_command.clone()),
            exit_code: output.status.code().unwrap_or(EXIT_NONE),
            output: String::from_utf8_lossy(&output.stdout).into_owned(),
        })
    };
    goal.criteria().iter().map(run).collect()
}
