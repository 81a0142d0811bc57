//! Drills: a fault under real processes, and what must be true then.
//!
//! A drill says what it believes, injects its fault, proves from outside that the fault is there,
//! checks what the programs did, and cleans up. One whose fault is left out must fail, and a test
//! holds every drill to that: otherwise it would prove nothing. Skipped is not passed.

use std::{fs, path::Path};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::{
    harness::{Disk, Mount, mounts_below},
    stories::{
        Narrator, Verdicts, attest, collector, control_plane, disk, last_good, release, replaced,
    },
};

/// A fault and what is believed about it.
#[derive(Clone, Copy, Debug)]
pub struct Drill {
    /// Name on the command line.
    pub name: &'static str,
    /// What must be true.
    pub hypothesis: &'static str,
    /// What is done.
    pub fault: &'static str,
    /// What the operator sees.
    pub expected: &'static str,
    /// What the machine must let us do for it.
    pub needs: Needs,
    /// What is said about it when it passed, where that is documented; else name and hypothesis.
    pub lines: &'static [&'static str],
    /// Tells it in an empty directory.
    pub play: fn(&Path, Fault, &mut Narrator) -> Result<()>,
}

/// What the machine must let a drill do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// What every user may do.
    Nothing,
    /// Being root.
    Root,
    /// Mounting such a disk.
    Mount(Disk),
}

impl Needs {
    /// Why it is not possible here.
    fn impossible(self) -> Option<String> {
        match self {
            Self::Nothing => None,
            Self::Root => {
                let root = rustix::process::geteuid().is_root();
                (!root).then(|| "modes bind whoever is not root".to_owned())
            }
            Self::Mount(disk) => Mount::impossible(disk),
        }
    }
}

/// Whether the fault is injected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// As it should be.
    Injected,
    /// Left out, to see that the drill notices.
    LeftOut,
}

/// How a drill ended.
#[derive(Debug)]
pub enum Ended {
    /// It was told; the verdicts say how it went.
    Told(Verdicts),
    /// The machine does not let us.
    Skipped(String),
}

/// Every drill.
pub const ALL: &[Drill] = &[
    disk::FULL,
    disk::READ_ONLY,
    disk::UNREACHABLE,
    replaced::REMOVED,
    replaced::REPLACED,
    disk::FULL_AT_FIRST_START,
    disk::READ_ONLY_AT_FIRST_START,
    disk::FULL_AT_RECOVERY,
    last_good::REGISTRY_GONE,
    last_good::BUNDLE_REJECTED,
    collector::OFFLINE,
    release::TAMPERED,
    control_plane::KILLED,
];

impl Drill {
    /// Runs it in a directory of its own, and checks that nothing is left.
    ///
    /// # Errors
    ///
    /// When the machine has no resources for it; what the drill found is in the result.
    pub fn run(&self, fault: Fault, mut narrator: Narrator) -> Result<Ended> {
        if let Some(why) = self.needs.impossible() {
            return Ok(Ended::Skipped(why));
        }
        narrator.part(&format!("Drill {}", self.name));
        narrator.say(&format!("   hypothesis: {}", self.hypothesis));
        narrator.say(&format!("   fault:      {}", self.fault));
        narrator.say(&format!("   operator:   {}", self.expected));
        let dir = tempfile::Builder::new().prefix("drill-").tempdir()?;
        (self.play)(dir.path(), fault, &mut narrator)?;
        narrator.check("clean-up: no process, no mount and no file is left", || {
            let (processes, mounts) = (processes_about(dir.path())?, mounts_below(dir.path())?);
            ensure!(processes.is_empty(), "{processes:?}");
            ensure!(mounts.is_empty(), "{mounts:?}");
            let path = dir.path().to_owned();
            dir.close()?;
            ensure!(!path.exists(), "{} is still there", path.display());
            Ok(())
        });
        Ok(Ended::Told(narrator.finish()))
    }
}

/// Runs drills aloud, says a line about each, and writes a report. Returns whether all of them passed; one
/// that was skipped has not, where nothing may be skipped.
///
/// # Errors
///
/// When the machine has no resources for it.
pub fn run(drills: &[Drill], fault: Fault, no_skip: bool, report: &Path) -> Result<bool> {
    let (mut lines, mut told) = (Vec::new(), Vec::new());
    let mut good = true;
    for drill in drills {
        let Drill { name, hypothesis, .. } = drill;
        let ended = drill.run(fault, Narrator::loud())?;
        told.push(ended.to_json(drill));
        lines.push(match ended {
            Ended::Told(verdicts) if !verdicts.failed() => match drill.lines {
                [] => format!("[DRILL PASS] {name}: {hypothesis} ({} checks)", verdicts.passed()),
                lines => {
                    let lines = lines.iter().map(|it| format!("[DRILL PASS] {it}"));
                    lines.collect::<Vec<_>>().join("\n")
                }
            },
            Ended::Told(verdicts) => {
                good = false;
                format!("[DRILL FAIL] {name}: {}", verdicts.first_failure().unwrap_or_default())
            }
            Ended::Skipped(why) => {
                good &= !no_skip;
                format!("[DRILL SKIP] {name}: {why}")
            }
        });
    }
    let whole = json!({
        "format": "autonomy.drills/1",
        "fault": if fault == Fault::Injected { "injected" } else { "left_out" },
        "passed": good,
        "drills": told,
    });
    fs::create_dir_all(report.parent().unwrap_or(report))?;
    attest::discard(report)?;
    fs::write(report, format!("{whole:#}\n"))?;
    let lines = lines.join("\n");
    Narrator::loud().say(&format!("\n{lines}\nreport: {}", report.display()));
    Ok(good)
}

impl Ended {
    /// What the report says about a drill.
    fn to_json(&self, drill: &Drill) -> Value {
        let Drill { name, hypothesis, fault, expected, .. } = drill;
        let (result, reason, checks) = match self {
            Self::Told(verdicts) => {
                let check = |(what, error): (&str, Option<String>)| json!({ "check": what, "error": error });
                let result = if verdicts.failed() { "failed" } else { "passed" };
                (result, verdicts.first_failure(), verdicts.each().map(check).collect())
            }
            Self::Skipped(why) => ("skipped", Some(why.clone()), Vec::new()),
        };
        json!({
            "name": name,
            "hypothesis": hypothesis,
            "fault": fault,
            "expected": expected,
            "result": result,
            "reason": reason,
            "checks": checks,
        })
    }
}

/// Command lines of processes that name `dir`, by the kernel's own list.
pub(super) fn processes_about(dir: &Path) -> Result<Vec<String>> {
    let own = std::process::id().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        // A process that ended meanwhile is not one that is left.
        let Ok(line) = fs::read(entry.path().join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&*dir.to_string_lossy()) && entry.file_name() != *own {
            found.push(line);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_says_what_was_checked_and_what_failed() -> Result<()> {
        let drill = Drill {
            name: "x",
            hypothesis: "h",
            fault: "f",
            expected: "e",
            needs: Needs::Nothing,
            lines: &[],
            // Holds when its fault is injected.
            play: |_, fault, narrator| {
                narrator.check("the fault is there", || {
                    ensure!(fault == Fault::Injected, "it is not");
                    Ok(())
                });
                Ok(())
            },
        };
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("target/report.json");
        let report = |fault| -> Result<(bool, Value)> {
            let good = run(&[drill], fault, true, &path)?;
            Ok((good, serde_json::from_slice(&fs::read(&path)?)?))
        };
        let (good, said) = report(Fault::Injected)?;
        ensure!(good && said["passed"] == true && said["fault"] == "injected", "{said}");
        let told = &said["drills"][0];
        ensure!((&told["name"], &told["result"]) == (&json!("x"), &json!("passed")), "{said}");
        let check = json!({ "check": "the fault is there", "error": null });
        ensure!(told["checks"][0] == check && told["reason"].is_null(), "{said}");

        let (good, said) = report(Fault::LeftOut)?;
        ensure!(!good && said["passed"] == false && said["fault"] == "left_out", "{said}");
        let told = &said["drills"][0];
        ensure!(told["result"] == "failed", "{said}");
        ensure!(told["reason"] == "the fault is there: it is not", "{said}");
        let skipped = Ended::Skipped("why".to_owned()).to_json(&drill);
        ensure!((&skipped["result"], &skipped["reason"]) == (&json!("skipped"), &json!("why")));
        Ok(())
    }
}
