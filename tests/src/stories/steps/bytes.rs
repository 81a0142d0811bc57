//! A log with other records than a daemon left.
//!
//! | drill   | the log                                             | then                                   |
//! |---------|-----------------------------------------------------|----------------------------------------|
//! | `SW-5`  | has lost the record that commits its plan           | nothing of it ever runs                |
//! | `SW-5b` | has records about steps that nobody introduced      | they are counted, and mean nothing     |
//! | `SW-7`  | has a plan that has ended, with a step that began    | it stays as it is                      |

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{
    gate::Gate,
    site::{Site, Stops, ends_once},
};
use crate::stories::{
    Narrator,
    drill::{Drill, Fault, Needs},
};

/// The commit is gone.
pub(super) const TORN_COMMIT: Drill = Drill {
    name: "SW-5",
    hypothesis: "steps whose plan nobody committed are reported and never executed",
    fault: "the first line of a log is torn, then taken away",
    expected: "exit code 8 for the torn line; exit code 4, STEPS_ORPHANED; abandon is the way out",
    needs: Needs::Nothing,
    lines: &[],
    play: torn_commit,
};

/// Records about nothing.
pub(super) const STRAYS: Drill = Drill {
    name: "SW-5b",
    hypothesis: "records about steps that nobody introduced change nothing and are counted",
    fault: "two such records in the log of an interrupted daemon",
    expected: "strays 2 in recover, status and inspect",
    needs: Needs::Nothing,
    lines: &[],
    play: strays,
};

/// The end is there, and the step began.
pub(super) const ENDED: Drill = Drill {
    name: "SW-7",
    hypothesis: "a plan that has ended is left alone, also when one of its steps is executing",
    fault: "a plan ends, by a human or by another program, while one of its steps is executing",
    expected: "nothing is reset; exit code 1 for the abandoned plan, 0 for the one that succeeded",
    needs: Needs::Nothing,
    lines: &[],
    play: plan_ended,
};

pub(super) fn append(path: &Path, bytes: &[u8]) -> Result<()> {
    File::options().append(true).open(path)?.write_all(bytes)?;
    Ok(())
}

pub(super) fn two_steps(site: &Site, name: &str) -> Result<std::path::PathBuf> {
    let a = site.step("a", "confirmable", Stops::Never);
    site.plan(name, &[a, site.step("b", "confirmable", Stops::Before)])
}

fn torn_commit(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let mut site = Site::new(dir)?;
    let plan = site.plan("sw5", &[site.step("s", "none", Stops::Never)])?;
    let lines = narrator.check("a daemon is killed after it committed its plan", || {
        let gate = Gate::closed(site.stack.ports.runtime)?;
        let daemon = site.daemon_through(&plan, &gate.url())?;
        gate.wait_for_somebody()?;
        daemon.kill()?;
        let text = fs::read_to_string(site.log()?)?;
        let (first, rest) = text.split_once('\n').context("no line")?;
        Ok((first.to_owned(), rest.to_owned()))
    });
    let (first, rest) = lines.unwrap_or_default();
    narrator.check("the first line of the log is torn", || {
        let (half, _) = first.split_at_checked(first.len() / 2).context("no half")?;
        let half = if fault == Fault::Injected { half } else { &first };
        Ok(fs::write(site.log()?, format!("{half}\n{rest}"))?)
    });
    let plan_id =
        narrator.check("proof: the line does not hold, and its step is an orphan", || {
            let said = site.steps(&["inspect", &site.mandate()?])?.ended(8)?;
            ensure!(said.json["corrupt_lines"] == 1 && said.json["orphan_plans"] == 1, "{said:?}");
            let plan = &said.json["plans"][0];
            ensure!(plan["reason"] == "orphan_steps_detected", "{plan}");
            ensure!(plan["steps"][0]["status"] == "pending", "{plan}");
            Ok(plan["plan_id"].as_str().context("no plan_id")?.to_owned())
        });
    narrator.check("recovery and daemon leave the log alone, and nothing runs", || {
        let before = fs::read(site.log()?)?;
        let said = site.steps(&["recover"])?.ended(9)?;
        ensure!(said.json["files_failed"][0]["code"] == "STEPS_CORRUPT", "{said:?}");
        let said = site.run(&plan, &[])?.ended(8)?;
        ensure!(said.json["error"]["code"] == "STEPS_CORRUPT", "{said:?}");
        ensure!(fs::read(site.log()?)? == before, "the log has changed");
        ensure!(site.effects("s") == 0, "it ran");
        Ok(())
    });
    orphaned(&site, &plan, &rest, plan_id.as_deref(), narrator);
    narrator.check("the runtime ends", || site.stop());
    Ok(())
}

/// What is left of the log without the line that commits.
fn orphaned(site: &Site, plan: &Path, rest: &str, plan_id: Option<&str>, narrator: &mut Narrator) {
    narrator.check(
        "without the line, the next one is out of turn, and that is damage, too",
        || {
            fs::write(site.log()?, rest)?;
            let said = site.run(plan, &[])?.ended(8)?;
            ensure!(said.json["error"]["code"] == "STEPS_CORRUPT", "{said:?}");
            Ok(())
        },
    );
    narrator.check("in a log without turns its step is an orphan, and never executed", || {
        let mut record: Value = serde_json::from_str(rest)?;
        let map = record.as_object_mut().context("no record")?;
        map.retain(|key, _| !["v", "seq"].contains(&key.as_str()));
        fs::write(site.log()?, format!("{record}\n"))?;
        for _ in 0..2 {
            let said = site.run(plan, &[])?.ended(4)?;
            ensure!(said.json["error"]["code"] == "STEPS_ORPHANED", "{said:?}");
            let report = &said.json["report"];
            ensure!(report["recovery"]["orphan_plans"] == 1 && report["calls"] == 0, "{said:?}");
        }
        ensure!(site.status("s")? == "needs_review" && site.effects("s") == 0, "it ran");
        Ok(())
    });
    narrator.check("a human gives it up, and then it never runs", || {
        let plan_id = plan_id.context("no plan")?;
        let mandate = site.mandate()?;
        let abandon = ["abandon", plan_id, "--mandate", &mandate, "--reason", "lost"];
        site.steps(&abandon)?.ended(0)?;
        let said = site.run(plan, &[])?.ended(1)?;
        ensure!(said.json["error"]["code"] == "PLAN_FAILED", "{said:?}");
        ensure!(site.effects("s") == 0, "it ran");
        Ok(())
    });
}

fn strays(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let mut site = Site::new(dir)?;
    let plan = two_steps(&site, "sw5b")?;
    narrator.check("daemon and runtime are killed, and somebody else writes into the log", || {
        site.interrupt(&plan, "b", Fault::Injected)?;
        let records = site.records()?;
        let seq = records.last().and_then(|it| it["seq"].as_u64()).context("no seq")?;
        let stray = |plan_id: &Value, seq| {
            let line = json!({
                "op": "transition", "step_id": "ghost", "plan_id": plan_id, "status": "executing",
                "pre_hash": null, "v": 1, "seq": seq, "ts": "2026-04-20T12:00:00.000Z",
            });
            format!("{line}\n")
        };
        if fault == Fault::Injected {
            append(&site.log()?, stray(&records[0]["plan_id"], seq + 1).as_bytes())?;
            append(&site.log()?, stray(&"plan_ghost".into(), seq + 2).as_bytes())?;
        }
        Ok(())
    });
    narrator.check("proof: both are counted, and no step has come of them", || {
        let said = site.steps(&["inspect", &site.mandate()?])?.ended(0)?;
        ensure!(said.json["strays"] == 2, "{said:?}");
        let plans = said.json["plans"].as_array().context("no plans")?;
        let steps = plans.iter().filter_map(|it| it["steps"].as_array()).flatten();
        ensure!(plans.len() == 1 && steps.count() == 2, "{said:?}");
        Ok(())
    });
    narrator.check("a recovery counts them, and resets what did begin", || {
        let said = site.steps(&["recover"])?.ended(0)?;
        ensure!(said.json["reset_count"] == 1 && said.json["strays"] == 2, "{said:?}");
        ensure!(said.json["orphan_plans"] == 0, "{said:?}");
        Ok(())
    });
    narrator.check("the plan goes on to its end", || {
        site.start()?;
        site.let_go(1)?;
        site.run(&plan, &[])?.ended(0)?;
        ends_once(&site, &plan, &["a", "b"])
    });
    narrator.check("the runtime ends", || site.stop());
    Ok(())
}

fn plan_ended(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let mut site = Site::new(dir)?;
    let plan = two_steps(&site, "sw7")?;
    let saved = narrator.check("daemon and runtime are killed while a step is executing", || {
        site.interrupt(&plan, "b", Fault::Injected)?;
        Ok(fs::read(site.log()?)?)
    });
    narrator.check("a human abandons the plan", || {
        let (mandate, plan_id) = (site.mandate()?, site.shown()?["plan_id"].clone());
        let plan_id = plan_id.as_str().context("no plan_id")?;
        if fault == Fault::Injected {
            let abandon = ["abandon", plan_id, "--mandate", &mandate, "--reason", "too late"];
            site.steps(&abandon)?.ended(0)?;
        }
        Ok(())
    });
    narrator.check("proof: the plan has ended, and its step is executing", || {
        let plan = site.shown()?;
        ensure!(plan["state"] == "abandoned", "{plan}");
        ensure!(site.status("b")? == "executing", "{plan}");
        Ok(())
    });
    narrator.check("nothing is reset, no byte changes, and it is not run", || {
        untouched(&site)?;
        site.start()?;
        let said = site.run(&plan, &[])?.ended(1)?;
        ensure!(said.json["error"]["code"] == "PLAN_FAILED", "{said:?}");
        ensure!(site.effects("b") == 0, "it ran");
        Ok(())
    });
    narrator.check("nor when another program has written that it succeeded", || {
        let mut log = saved.context("no log")?;
        let last = log.trim_ascii_end().rsplit(|it| *it == b'\n').next().context("no line")?;
        let last: Value = serde_json::from_slice(last)?;
        let end = json!({
            "op": "plan_finalize", "plan_id": last["plan_id"], "status": "succeeded", "v": 1,
            "seq": last["seq"].as_u64().map(|it| it + 1), "ts": "2026-04-20T12:00:00.000Z",
        });
        log.extend_from_slice(format!("{end}\n").as_bytes());
        fs::write(site.log()?, log)?;
        ensure!(site.status("b")? == "executing", "{}", site.shown()?);
        untouched(&site)?;
        let said = site.run(&plan, &[])?.ended(0)?;
        ensure!(said.json["already"] == true && said.json["calls"] == 0, "{said:?}");
        ensure!(site.effects("b") == 0, "it ran");
        Ok(())
    });
    narrator.check("the runtime ends", || site.stop());
    Ok(())
}

fn untouched(site: &Site) -> Result<()> {
    let before = fs::read(site.log()?)?;
    let said = site.steps(&["recover"])?.ended(0)?;
    ensure!(said.json["reset_count"] == 0, "{said:?}");
    ensure!(said.events() == ["wal_recovery_complete"], "{said:?}");
    ensure!(fs::read(site.log()?)? == before, "the log has changed");
    Ok(())
}
