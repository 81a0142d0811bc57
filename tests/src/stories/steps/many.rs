//! Many logs, no logs, and a recovery that is killed.
//!
//! | drill     | the directory                                    | then                                     |
//! |-----------|--------------------------------------------------|------------------------------------------|
//! | `SW-6`    | one of its logs cannot be read                   | the others are recovered                 |
//! | `SW-8`    | its recovery is killed half way                  | the next one does the rest, each step once |
//! | `SW-zero` | is not there, or empty                           | there is nothing to do                   |

use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use jiff::Timestamp;
use serde_json::Value;
use vfs::OsVfs;
use wal_format::step::{Effect, PlanCommit, PlannedStep};
use wal_recovery::steps::{DamagePolicy, StepKey, StepLog, StepOpening};

use super::site::steps_in;
use crate::{
    harness::{Bin, Process, program},
    stories::{
        Narrator,
        drill::{Drill, Fault, Needs},
    },
};

/// Plan of every log that is made here.
pub(super) const PLAN: &str = "plan_drill";
/// Steps of the log whose recovery is killed: as many as a plan may have, so that it takes its time.
pub(super) const STEPS: usize = 1000;
/// How often a recovery is tried that was over before it could be killed.
pub(super) const TRIES: usize = 20;

/// One bad log among good ones.
pub(super) const ONE_OF_THREE: Drill = Drill {
    name: "SW-6",
    hypothesis: "a log that cannot be read keeps no other one from being recovered",
    fault: "the second of three logs: a line that is no UTF-8, then a directory in its place",
    expected: "exit code 9, one wal_recovery_file_failed; the total is that of the others",
    needs: Needs::Nothing,
    lines: &[],
    play: one_of_three,
};

/// A recovery that is killed.
pub(super) const KILLED_RECOVERY: Drill = Drill {
    name: "SW-8",
    hypothesis: "a recovery that is killed is finished by the next, and no step is reset twice",
    fault: "SIGKILL after the first of 1000 resets is in the log",
    expected: "the two counts add up; the third recovery says 0",
    needs: Needs::Nothing,
    lines: &[],
    play: killed_recovery,
};

/// Nothing to recover.
pub(super) const NOTHING_THERE: Drill = Drill {
    name: "SW-zero",
    hypothesis: "a start without a directory is a clean start, and makes none",
    fault: "there is no directory of step logs",
    expected: "exit code 0, nothing is said; an empty directory: wal_recovery_complete with 0",
    needs: Needs::Nothing,
    lines: &[],
    play: nothing_there,
};

/// The bytes of a log with one plan, whose first steps are completed and whose others are executing.
pub(super) fn log(mandate: &str, completed: usize, executing: usize) -> Result<Vec<u8>> {
    let now: Timestamp = "2026-04-20T12:00:00Z".parse()?;
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("m.wal.jsonl");
    let how = StepOpening { now, holder: "a drill".to_owned(), damage: DamagePolicy::Isolate };
    let names: Vec<_> = (0..completed + executing).map(|it| format!("s{it:04}")).collect();
    let steps = names.iter().map(|it| PlannedStep {
        step_id: it.clone(),
        tool: Some("tool.echo".to_owned()),
        params_hash: None,
        pre_hash: None,
        expected_post_hash: None,
        effect: Some(Effect::Opaque),
    });
    let opened = StepLog::open(&OsVfs, &path, &how)?.log;
    opened.commit_plan(&PlanCommit::new(PLAN, mandate, 1, steps.collect())?, now)?;
    for (at, step_id) in names.iter().enumerate() {
        let key = StepKey { plan_id: PLAN, step_id };
        opened.append_pending(key, &format!("{mandate}:1:{step_id}:x"), now)?;
        opened.mark_executing(key, "unobserved", now)?;
        if at < completed {
            opened.mark_completed(key, wal_recovery::steps::Completion::default(), now)?;
        }
    }
    opened.close();
    Ok(fs::read(path)?)
}

/// How often each step of a log was reset.
fn resets(path: &Path) -> Result<BTreeMap<String, usize>> {
    let mut counts = BTreeMap::new();
    // The last line may be half a record, after a kill.
    let records = fs::read_to_string(path)?;
    for record in records.lines().filter_map(|it| serde_json::from_str::<Value>(it).ok()) {
        if record["reset"] == true {
            let step = record["step_id"].as_str().context("no step")?.to_owned();
            *counts.entry(step).or_default() += 1;
        }
    }
    Ok(counts)
}

fn one_of_three(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let logs = dir.join("steps");
    let path = |name: &str| logs.join(format!("{name}.wal.jsonl"));
    fs::create_dir(&logs)?;
    narrator.check("three logs, with one, one and two steps executing", || {
        for (name, executing) in [("a", 1), ("b", 1), ("c", 2)] {
            fs::write(path(name), log(name, 1, executing)?)?;
        }
        if fault == Fault::Injected {
            let mut bytes = fs::read(path("b"))?;
            let middle = bytes.len() / 2;
            *bytes.get_mut(middle).context("a middle")? = 0xff;
            fs::write(path("b"), bytes)?;
        }
        Ok(())
    });
    narrator.check("proof: one log does not hold, and verify names its line", || {
        let said = steps_in(&logs, &["verify"])?.ended(8)?;
        let refused = said.json["refused"].as_array().context("no refused")?;
        ensure!(refused.len() == 1 && refused[0]["corrupt_lines"] == 1, "{said:?}");
        ensure!(refused[0]["mandate_id"] == "b", "{said:?}");
        Ok(())
    });
    narrator.check("the others are recovered, and it stays as it is", || {
        let before = fs::read(path("b"))?;
        let said = steps_in(&logs, &["recover"])?.ended(9)?;
        ensure!(said.json["reset_count"] == 3 && said.json["files_scanned"] == 3, "{said:?}");
        only_b_failed(&said.json)?;
        ensure!(
            said.json["events"].as_array().and_then(|it| it.last()).is_some_and(|it| {
                it["event"] == "wal_recovery_complete" && it["details"]["reset_count"] == 3
            }),
            "{said:?}"
        );
        ensure!(fs::read(path("b"))? == before, "it has changed");
        Ok(())
    });
    narrator.check("nor does a directory with the name of a log", || {
        fs::remove_file(path("b"))?;
        fs::create_dir(path("b"))?;
        for name in ["a", "c"] {
            fs::write(path(name), log(name, 0, 2)?)?;
        }
        let said = steps_in(&logs, &["recover"])?.ended(9)?;
        ensure!(said.json["reset_count"] == 4, "{said:?}");
        only_b_failed(&said.json)
    });
    narrator.check("nor one that nobody may read, where modes bind", || {
        fs::remove_dir(path("b"))?;
        fs::write(path("b"), log("b", 0, 1)?)?;
        fs::set_permissions(path("b"), Permissions::from_mode(0o000))?;
        let said = steps_in(&logs, &["recover"])?;
        if rustix::process::geteuid().is_root() {
            // Modes do not bind root: it is a log like any other.
            ensure!(said.code == 0 && said.json["reset_count"] == 1, "{said:?}");
            return Ok(());
        }
        ensure!(said.code == 9 && said.json["reset_count"] == 0, "{said:?}");
        only_b_failed(&said.json)
    });
    Ok(())
}

fn only_b_failed(report: &Value) -> Result<()> {
    let failed = report["files_failed"].as_array().context("no files_failed")?;
    ensure!(failed.len() == 1, "{report}");
    ensure!(failed[0]["path"].as_str().is_some_and(|it| it.ends_with("/b.wal.jsonl")), "{report}");
    let events = report["events"].as_array().context("no events")?;
    let said = events.iter().filter(|it| it["event"] == "wal_recovery_file_failed");
    ensure!(said.count() == 1, "{report}");
    Ok(())
}

fn killed_recovery(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let logs = dir.join("steps");
    let path = logs.join("m.wal.jsonl");
    fs::create_dir(&logs)?;
    let bytes = log("m", 1, STEPS - 1)?;
    narrator.check("a recovery is killed when the first reset is in the log", || match fault {
        Fault::Injected => kill_half_way(&logs, &path, &bytes),
        Fault::LeftOut => {
            fs::write(&path, &bytes)?;
            steps_in(&logs, &["recover"])?.ended(0).map(drop)
        }
    });
    let before = narrator.check("proof: some steps are reset and some are not", || {
        let done = resets(&path)?.len();
        ensure!(done > 0 && done < STEPS - 1, "{done} of {}", STEPS - 1);
        Ok(done)
    });
    narrator.check("the next recovery does the rest", || {
        let before = before.context("no count")?;
        let said = steps_in(&logs, &["recover"])?.ended(0)?;
        // A reset that was written and torn is none.
        ensure!(
            said.json["reset_count"] == STEPS - 1 - before,
            "{before}: {}",
            said.json["reset_count"]
        );
        Ok(())
    });
    narrator.check("every interrupted step was reset once, and is pending", || {
        let resets = resets(&path)?;
        ensure!(resets.len() == STEPS - 1, "{} steps", resets.len());
        ensure!(resets.values().all(|it| *it == 1), "{resets:?}");
        let said = steps_in(&logs, &["status"])?.ended(0)?;
        let counts = &said.json["logs"][0]["plans"][0]["by_status"];
        ensure!(counts["pending"] == STEPS - 1 && counts["completed"] == 1, "{counts}");
        Ok(())
    });
    narrator.check("a third one finds nothing to do", || {
        let said = steps_in(&logs, &["recover"])?.ended(0)?;
        ensure!(said.json["reset_count"] == 0, "{}", said.json["reset_count"]);
        Ok(())
    });
    Ok(())
}

/// Starts recoveries until one is killed that had begun, and had not ended.
fn kill_half_way(logs: &Path, path: &Path, bytes: &[u8]) -> Result<()> {
    for _ in 0..TRIES {
        fs::write(path, bytes)?;
        let mut command = program(Bin::Autonomy)?;
        command.args(["wal", "steps", "recover", "--wal-dir"]).arg(logs);
        let recovery = Process::start("recovery", &mut command)?;
        grown(path, bytes.len() as u64)?;
        recovery.kill()?;
        if resets(path)?.len() < STEPS - 1 {
            return Ok(());
        }
    }
    bail!("{TRIES} recoveries were over before they could be killed")
}

/// Waits until a whole record more is in a file, without a pause: what is waited for is soon over.
fn grown(path: &Path, len: u64) -> Result<()> {
    let deadline = std::time::Instant::now() + crate::harness::SOON;
    while fs::metadata(path)?.len() <= len {
        ensure!(std::time::Instant::now() < deadline, "{} does not grow", path.display());
        std::thread::yield_now();
    }
    Ok(())
}

fn nothing_there(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let logs: PathBuf = dir.join("steps");
    if fault == Fault::LeftOut {
        fs::create_dir(&logs)?;
        fs::write(logs.join("m.wal.jsonl"), log("m", 0, 1)?)?;
    }
    narrator.check("proof: there is no directory", || {
        ensure!(!logs.exists(), "{} is there", logs.display());
        Ok(())
    });
    narrator.check("nothing is reset, nothing is said, and none is made", || {
        let said = steps_in(&logs, &["recover"])?.ended(0)?;
        ensure!(said.json["reset_count"] == 0 && said.events().is_empty(), "{said:?}");
        ensure!(!logs.exists(), "it was made");
        Ok(())
    });
    narrator.check("nor for a file in its place", || {
        fs::write(&logs, "no directory")?;
        let said = steps_in(&logs, &["recover"])?.ended(0)?;
        ensure!(said.json["reset_count"] == 0 && said.events().is_empty(), "{said:?}");
        ensure!(fs::read(&logs)? == b"no directory", "it has changed");
        Ok(fs::remove_file(&logs)?)
    });
    narrator.check("an empty directory is looked at, and that is said once", || {
        fs::create_dir(&logs)?;
        let said = steps_in(&logs, &["recover"])?.ended(0)?;
        ensure!(said.json["reset_count"] == 0, "{said:?}");
        ensure!(said.events() == ["wal_recovery_complete"], "{said:?}");
        Ok(())
    });
    Ok(())
}
