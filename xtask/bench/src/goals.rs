//! The cases of goals: what `autonomy goal status` takes, and a transition as the goal grows.
//!
//! A transition makes the goal grow, so each one begins with the same files, put back while no clock runs. A goal that
//! lived long has most of its history in a file beside it; of what stays inside, it has as much as there can be.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use goal::{
    Clock, EvalRequest, Goal, HISTORY_KEPT_LEN_MAX, HandoffStatus, History, LOCK_WAIT_MAX,
    LinuxLiveness, Meta, NewGoal, Outcome, Place, Store,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use vfs::OsVfs;

use crate::{
    callers,
    rounds::{Case, Contestant, Role, interleaved},
    sample::{Recorder, Sample, Window},
    targets::name,
};

/// Name of the benchmark; those of its cases begin with it.
pub(crate) const BENCH: &str = "goal";

/// Longest `autonomy goal status`.
const STATUS_MAX_US: f64 = 10_000.0;
const NOTES: &str = "the login works, the tests of the session are next";
/// How many tentacles of an iteration are resolved and looked at when it ends.
const CURRENT_TENTACLES: usize = 10;
/// How an empty history stands in the file.
const NO_HISTORY: &str = "\"eval_history\": []";
/// What an entry has around it in the file, in bytes.
const AROUND: usize = 6;
/// What the next one may have around it, with the brackets of the list.
const NEXT: usize = 24;
/// The file of the entries that were moved.
const MOVED: &str = "goal-history-1.jsonl";

/// How much a goal has been through.
#[derive(Clone, Copy, Debug)]
struct Past {
    /// Entries of the history of evals.
    entries: u64,
    /// Iterations, the current one included; at least two.
    iterations: u64,
    /// Tentacles, of the first iteration, which is over.
    tentacles: u64,
    /// Whether these have directories, too; the last [`CURRENT_TENTACLES`] are of the current iteration then.
    on_disk: bool,
    /// Where the entries are.
    kept: Kept,
}

#[derive(Clone, Copy, Debug)]
enum Kept {
    /// All of them in `goal.json`: another program wrote it.
    All,
    /// As many as there can be without a move at the next eval.
    Room,
    /// More than that.
    Brim,
}

impl Kept {
    /// How many of so many entries, each as long as this in bytes, are in `goal.json`.
    fn of(self, entries: usize, len: usize) -> usize {
        // The next entry has to fit, too.
        let room = (HISTORY_KEPT_LEN_MAX - len - NEXT) / (len + AROUND);
        match self {
            Self::All => entries,
            Self::Room => entries.min(room),
            // The time of the next entry may be shorter by some digits: one more does not always do.
            Self::Brim => entries.min(room + 2),
        }
    }
}

/// The files of a goal.
#[derive(Clone, Debug)]
struct Files {
    goal: String,
    moved: Option<String>,
}

const YOUNG: Past =
    Past { entries: 10, iterations: 2, tentacles: 0, on_disk: false, kept: Kept::Room };
const ENTRIES: Past = Past { entries: 10_000, ..YOUNG };
const TENTACLES: Past = Past { tentacles: 1_000, ..YOUNG };
const OLD: Past = Past { entries: 10_000, tentacles: 1_000, ..YOUNG };

/// The cases; those that need the program `autonomy` only with one.
pub(crate) fn cases(program: Option<&Path>) -> Result<Vec<Case>> {
    let case = |name: &str, contestants| Case {
        name: name.to_owned(),
        unit: "per s",
        contestants: interleaved(contestants),
    };
    Ok(vec![case(name::GOAL_STATUS, looks(program)?), case(name::GOAL_CHANGE, changes()?)])
}

fn looks(program: Option<&Path>) -> Result<Vec<Contestant>> {
    let mut all = vec![look(name::STATUS_READ, YOUNG.files()?)];
    match program {
        Some(program) => {
            all.push(process(name::STATUS, program, YOUNG.files()?));
            all.push(process("autonomy goal status, 10 000 entries", program, OLD.files()?));
        }
        None => eprintln!("skipped by name: {} (no --program)", name::STATUS),
    }
    all.push(Contestant::new("a process that does nothing", Role::Floor, |_, window| {
        callers::one(window, || run(&mut Command::new("true")).map(drop))
    }));
    all.push(Contestant::new(name::TEN_MS, Role::Floor, |_, _| {
        let (p50_us, p99_us) = (STATUS_MAX_US, STATUS_MAX_US);
        Ok(Sample { p50_us, p99_us, rate: 1e6 / STATUS_MAX_US, calls: 0 })
    }));
    Ok(all)
}

fn look(name: &'static str, files: Files) -> Contestant {
    Contestant::new(name, Role::Ours, move |dir, window| {
        let store = store(dir)?;
        put(&store, &files)?;
        callers::one(window, || {
            let goal = store.look()?.context("there is no goal")?;
            ensure!(!goal.to_text()?.is_empty(), "a goal without text");
            Ok(())
        })
    })
}

/// A new process for each call.
fn process(name: &'static str, program: &Path, files: Files) -> Contestant {
    let program = program.to_owned();
    Contestant::new(name, Role::Ours, move |dir, window| {
        put(&store(dir)?, &files)?;
        callers::one(window, || {
            let mut command = Command::new(&program);
            let said = run(command.args(["goal", "status", "--state-dir"]).arg(dir))?;
            ensure!(!said.is_empty(), "nothing was shown");
            Ok(())
        })
    })
}

/// Runs a program to its end and returns what it printed.
fn run(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("start {}", command.get_program().display()))?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}", error.trim());
    Ok(output.stdout)
}

fn changes() -> Result<Vec<Contestant>> {
    Ok(vec![
        change(name::ENTRIES_10, YOUNG)?,
        change(name::ENTRIES_10000, ENTRIES)?,
        change(name::TENTACLES_1000, TENTACLES)?,
        change("1 000 tentacles, on the disk too", Past { on_disk: true, ..TENTACLES })?,
        change("10 000 entries and iterations", Past { iterations: 10_000, ..ENTRIES })?,
        change("10 000 entries, older ones are moved", Past { kept: Kept::Brim, ..ENTRIES })?,
        change("10 000 entries of another program", Past { kept: Kept::All, ..ENTRIES })?,
        plain("10 entries, plain", YOUNG)?,
        plain("10 000 entries, plain", ENTRIES)?,
        plain("1 000 tentacles, plain", TENTACLES)?,
        bytes("10 entries, bytes alone", YOUNG)?,
        bytes("10 000 entries, bytes alone", ENTRIES)?,
    ])
}

/// Locked, read, evaluated, written, durable.
fn change(name: &'static str, past: Past) -> Result<Contestant> {
    let files = past.files()?;
    Ok(Contestant::new(name, Role::Ours, move |dir, window| {
        let store = store(dir)?;
        past.write_tentacles(&store)?;
        put(&store, &files)?;
        let found = store.whole_history(&store.load()?, History::Evals)?.len() as u64;
        ensure!(found == past.entries, "{found} of {} entries", past.entries);
        alone(window, || put(&store, &files), || advance(&store))
    }))
}

fn advance(store: &Store) -> Result<()> {
    let request = EvalRequest { notes: NOTES, ..EvalRequest::default() };
    let done = store.eval(LOCK_WAIT_MAX, request)?;
    ensure!(done.recorded.outcome == Outcome::Advanced, "{done:?}");
    Ok(())
}

/// What a program without a lock and without a machine does to the same file.
fn plain(name: &'static str, past: Past) -> Result<Contestant> {
    let files = Past { kept: Kept::All, ..past }.files()?;
    Ok(Contestant::new(name, Role::Floor, move |dir, window| {
        let (store, path) = (store(dir)?, dir.join("goal.json"));
        alone(window, || put(&store, &files), || rewrite(dir, &path))
    }))
}

/// What no program that replaces the file as a whole is spared: its bytes are read, written and synced.
fn bytes(name: &'static str, past: Past) -> Result<Contestant> {
    let files = Past { kept: Kept::All, ..past }.files()?;
    Ok(Contestant::new(name, Role::Floor, move |dir, window| {
        let (store, path) = (store(dir)?, dir.join("goal.json"));
        alone(window, || put(&store, &files), || replace(dir, &path, &fs::read(&path)?))
    }))
}

fn rewrite(dir: &Path, path: &Path) -> Result<()> {
    let mut goal: Value = serde_json::from_slice(&fs::read(path)?)?;
    let at = Timestamp::now().to_string();
    let iteration = goal.get("iteration").and_then(Value::as_u64).context("an iteration")?;
    let history = goal.get_mut("eval_history").and_then(Value::as_array_mut);
    history.context("a history")?.push(entry(iteration, &at));
    let keys = goal.as_object_mut().context("an object")?;
    keys.insert("iteration".to_owned(), json!(iteration + 1));
    keys.insert("updated_at".to_owned(), json!(at));
    replace(dir, path, serde_json::to_string_pretty(&goal)?.as_bytes())
}

fn replace(dir: &Path, path: &Path, bytes: &[u8]) -> Result<()> {
    let temp = dir.join("goal.json.new");
    let mut file = File::create(&temp)?;
    file.write_all(bytes)?;
    // As ours does; of a new file everything is synced by that.
    file.sync_data()?;
    fs::rename(&temp, path)?;
    Ok(File::open(dir)?.sync_all()?)
}

/// One caller whose calls count without what is prepared for each of them. The rate is that of calls that last as
/// long as the median.
fn alone(
    window: Window,
    mut prepare: impl FnMut() -> Result<()>,
    mut call: impl FnMut() -> Result<()>,
) -> Result<Sample> {
    let mut recorder = Recorder::new(Instant::now(), window);
    loop {
        prepare()?;
        let start = Instant::now();
        call()?;
        if !recorder.ended(start) {
            let sample = Recorder::sum(vec![recorder])?;
            return Ok(Sample { rate: 1e6 / sample.p50_us, ..sample });
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Wall;

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn pause(&self, duration: SignedDuration) {
        std::thread::sleep(duration.unsigned_abs());
    }
}

fn store(dir: &Path) -> Result<Store> {
    let (place, alive) = (Place::in_state_dir(dir), Arc::new(LinuxLiveness::new()?));
    Ok(Store::new(Arc::new(OsVfs), place, std::process::id(), alive, Arc::new(Wall)))
}

/// Puts a goal in its place, synced: no call syncs what another has left.
fn put(store: &Store, files: &Files) -> Result<()> {
    let path: PathBuf = store.place().goal();
    let moved = store.place().state().join(MOVED);
    let found = fs::metadata(&moved).ok().map(|it| it.len());
    match &files.moved {
        None if found.is_some() => fs::remove_file(&moved)?,
        // No transition changes what was in it.
        Some(lines) if found > Some(lines.len() as u64) => {
            let file = File::options().write(true).open(&moved)?;
            file.set_len(lines.len() as u64)?;
            file.sync_all()?;
        }
        Some(lines) if found.is_none() => vfs::replace(&OsVfs, &moved, lines.as_bytes())?,
        _ => {}
    }
    Ok(vfs::replace(&OsVfs, &path, files.goal.as_bytes())?)
}

/// An entry of the history, as an eval writes it.
fn entry(iteration: u64, at: &str) -> Value {
    json!({
        "iteration": iteration,
        "decision": "continue",
        "notes": NOTES,
        "evaluated_at": at,
        "gates_passed": 0,
        "gates_total": 0,
        "criteria_verified": 0,
        "criteria_total": 0,
    })
}

impl Past {
    fn names(self) -> impl Iterator<Item = String> {
        (0..self.tentacles).map(|it| format!("fix-the-session-{it:04}"))
    }

    /// The files of such a goal.
    fn files(self) -> Result<Files> {
        let now = Timestamp::now();
        let at = format!("{now:.3}");
        let new = NewGoal {
            goal_id: "00000000-0000-4000-8000-000000000001".to_owned(),
            title: "Ship v2".to_owned(),
            ..NewGoal::default()
        };
        let mut keys: serde_json::Map<String, Value> =
            serde_json::from_str(&Goal::new(new, now).to_text()?)?;
        let tentacles: Vec<String> = self.names().collect();
        let current_len = if self.on_disk { CURRENT_TENTACLES } else { 0 };
        let (past, current) = tentacles.split_at(tentacles.len().saturating_sub(current_len));
        let iteration = |number: u64| {
            let of: &[String] = match number {
                1 => past,
                it if it == self.iterations => current,
                _ => &[],
            };
            let (mut res, over) =
                (json!({ "tentacles": of, "started_at": at }), number < self.iterations);
            if let Some(res) = res.as_object_mut().filter(|_| over) {
                res.insert("completed_at".to_owned(), json!(at));
                res.insert("eval_decision".to_owned(), json!("continue"));
            }
            (number.to_string(), res)
        };
        let iterations: serde_json::Map<String, Value> =
            (1..=self.iterations).map(iteration).collect();
        keys.insert("iterations".to_owned(), Value::Object(iterations));
        keys.insert("iteration".to_owned(), json!(self.iterations));
        keys.insert("tentacles".to_owned(), json!(tentacles));
        let entries: Vec<String> = (1..=self.entries)
            .map(|it| entry(it.min(self.iterations - 1), &at).to_string())
            .collect();
        let longest = entries.iter().map(String::len).max().unwrap_or_default();
        let kept = self.kept.of(entries.len(), longest);
        let (moved, kept) = entries.split_at(entries.len() - kept);
        let moved: String = moved.iter().flat_map(|it| [it, "\n"]).collect();
        if !moved.is_empty() {
            let part = json!({
                "file": MOVED,
                "entries": entries.len() - kept.len(),
                "bytes": moved.len(),
            });
            keys.insert("history_moved".to_owned(), json!({ History::Evals.key(): part }));
        }
        let text = serde_json::to_string_pretty(&keys)?;
        let kept: Vec<String> = kept.iter().map(|it| format!("\n    {it}")).collect();
        let history = format!("\"eval_history\": [{}\n  ]", kept.join(","));
        let goal = Goal::parse(text.replacen(NO_HISTORY, &history, 1).as_bytes())?;
        let found = goal.history_len(History::Evals)?;
        ensure!(found == self.entries, "{found} of {} entries", self.entries);
        let moved = (!moved.is_empty()).then_some(moved);
        Ok(Files { goal: goal.to_text()?, moved })
    }

    /// Writes the directories of the tentacles, if there are any.
    fn write_tentacles(self, store: &Store) -> Result<()> {
        if !self.on_disk {
            return Ok(());
        }
        for name in self.names() {
            let path = store.place().tentacle(&name, "meta.json");
            fs::create_dir_all(path.parent().context("a directory")?)?;
            let about = "keeps the session after a restart";
            let mut meta = Meta::new(&name, format!("t-{name}"), about);
            meta.terminal_status = Some(HandoffStatus::Done);
            fs::write(&path, serde_json::to_vec_pretty(&meta)?)?;
        }
        rustix::fs::syncfs(File::open(store.place().state())?)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::{Against, targets};

    #[test]
    fn every_target_of_the_goals_names_contestants_that_run() {
        let cases = cases(Some(Path::new("autonomy"))).unwrap();
        for target in targets(BENCH) {
            let case = cases.iter().find(|it| it.name == target.case).unwrap();
            let runs = |name: &str| case.contestants.iter().any(|it| it.name == name);
            assert!(runs(target.ours), "{target:?}");
            assert!(!matches!(target.against, Against::Named(name) if !runs(name)), "{target:?}");
        }
        assert_eq!(targets(BENCH).count(), 3);
    }

    #[test]
    fn without_a_program_no_process_of_ours_is_measured() {
        let cases = cases(None).unwrap();
        let all = cases.iter().flat_map(|it| &it.contestants);
        assert!(all.into_iter().all(|it| !it.name.starts_with(name::STATUS)));
    }

    #[test]
    fn a_transition_of_either_kind_adds_one_entry_to_the_history_that_was_put_there() {
        let dir = std::env::temp_dir().join(format!("autonomy-bench-goal-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let store = store(&dir).unwrap();
        let past = Past { tentacles: 3, on_disk: true, iterations: 4, ..YOUNG };
        past.write_tentacles(&store).unwrap();
        assert_eq!(store.every_tentacle().unwrap().len(), 3);
        let path = dir.join("goal.json");
        let ways: [&dyn Fn() -> Result<()>; 2] = [&|| advance(&store), &|| rewrite(&dir, &path)];
        for way in ways {
            put(&store, &past.files().unwrap()).unwrap();
            let before = store.load().unwrap();
            assert_eq!((before.iteration(), before.tentacles().len()), (4, 3));
            assert_eq!(before.iterations().len(), 4);
            way().unwrap();
            let after = store.load().unwrap();
            assert_eq!(after.iteration(), 5);
            assert_eq!(after.eval_history().unwrap().len(), 11);
        }
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_goal_that_lived_long_moves_entries_when_and_only_when_it_is_meant_to() {
        let dir = std::env::temp_dir().join(format!("autonomy-bench-moved-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let store = store(&dir).unwrap();
        for (kept, moves) in [(Kept::Room, false), (Kept::Brim, true), (Kept::All, true)] {
            let files = Past { kept, ..ENTRIES }.files().unwrap();
            for _ in 0..2 {
                put(&store, &files).unwrap();
                let before = store.load().unwrap();
                assert_eq!(store.whole_history(&before, History::Evals).unwrap().len(), 10_000);
                advance(&store).unwrap();
                let after = store.load().unwrap();
                let (was, is) =
                    (before.eval_history().unwrap().len(), after.eval_history().unwrap().len());
                assert_eq!(is < was, moves, "{kept:?}: {was} then {is}");
                assert_eq!(store.whole_history(&after, History::Evals).unwrap().len(), 10_001);
            }
        }
        fs::remove_dir_all(&dir).unwrap();
    }
}
