//! Steps that wait for a human: no restart lets them go, and what a human says is done.

use std::{fs, path::Path};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::site::{Site, Stops};
use crate::stories::{
    Narrator,
    drill::{Drill, Fault, Needs},
};

/// How often daemon and recovery are started while a step waits.
const RESTARTS: usize = 5;

/// A step that waits.
pub(super) const REVIEWED: Drill = Drill {
    name: "SW-12",
    hypothesis: "a step that waits for a human goes on waiting, until one speaks or the world shows it done",
    fault: "a tool says that all is well, and has left something else than was expected",
    expected: "exit code 4, STEP_NEEDS_REVIEW, however often it is started again",
    needs: Needs::Nothing,
    lines: &[],
    play: reviewed,
};

/// A step whose tool leaves something else, and says that all is well.
fn wrong(site: &Site, id: &str) -> Value {
    let mut step = site.step(id, "confirmable", Stops::Never);
    step["params"] = json!({ "argv": ["sh", "-c", "echo wrong > \"$1\"", "sh", site.path(id)] });
    step
}

fn reviewed(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let mut site = Site::new(dir)?;
    let step = |site: &Site, id: &str| match fault {
        Fault::Injected => wrong(site, id),
        Fault::LeftOut => site.step(id, "confirmable", Stops::Never),
    };
    let plan = site.plan("sw12", &[step(&site, "s"), site.step("next", "none", Stops::Never)])?;
    let first = narrator.check("a plan is run", || site.run(&plan, &[]));
    narrator.check("proof: its first step waits for a human, and says why", || {
        ensure!(first.as_ref().is_some_and(|it| it.code == 4), "{first:?}");
        let step = site.shown()?["steps"][0].clone();
        ensure!(step["status"] == "needs_review", "{step}");
        ensure!(step["evidence"]["expected_post_hash"] != step["evidence"]["observed"], "{step}");
        Ok(())
    });
    narrator.check("with the world as before the step, five restarts change nothing", || {
        fs::remove_file(site.path("s"))?;
        let before = fs::read(site.log()?)?;
        for _ in 0..RESTARTS {
            let said = site.steps(&["recover"])?.ended(0)?;
            ensure!(said.json["reset_count"] == 0, "{said:?}");
            let said = site.run(&plan, &[])?.ended(4)?;
            ensure!(said.json["error"]["code"] == "STEP_NEEDS_REVIEW", "{said:?}");
            ensure!(said.json["report"]["calls"] == 0, "{said:?}");
        }
        ensure!(fs::read(site.log()?)? == before, "the log has changed");
        ensure!(!site.path("s").exists() && site.effects("next") == 0, "something ran");
        Ok(())
    });
    narrator.check("with the world as expected after it, it is done, and the plan goes on", || {
        fs::write(site.path("s"), "s\n")?;
        let said = site.run(&plan, &[])?.ended(0)?;
        let found = (&said.json["calls"], &said.json["confirmed"]);
        ensure!(found == (&1.into(), &1.into()) && site.effects("next") == 1, "{said:?}");
        Ok(())
    });
    spoken(&mut site, narrator);
    narrator.check("the runtime ends", || site.stop());
    Ok(())
}

/// What a human says is done.
fn spoken(site: &mut Site, narrator: &mut Narrator) {
    narrator.check("a human says that one is done: it is not run, and that is on record", || {
        let plan = waiting(site, "done")?;
        let mandate = site.mandate()?;
        let complete = [
            "complete",
            "done",
            "--mandate",
            &mandate,
            "--reason",
            "seen",
            "--evidence",
            r#"{"ticket": 7}"#,
        ];
        site.steps(&complete)?.ended(0)?;
        let said = site.run(&plan, &[])?.ended(0)?;
        ensure!(said.json["calls"] == 0 && said.json["state"] == "succeeded", "{said:?}");
        let step = site.shown()?["steps"][0].clone();
        ensure!(step["evidence"]["evidence"] == json!({ "ticket": 7 }), "{step}");
        ensure!(step["evidence"]["reason"] == "seen", "{step}");
        let said = site.steps(&complete)?;
        ensure!(said.code != 0, "a step that waits for nobody: {said:?}");
        Ok(())
    });
    narrator.check("a human says that one has failed: its plan ends, and never runs", || {
        let plan = waiting(site, "failed")?;
        let mandate = site.mandate()?;
        site.steps(&["fail", "failed", "--mandate", &mandate, "--reason", "refused"])?.ended(0)?;
        for _ in 0..2 {
            let said = site.run(&plan, &[])?.ended(1)?;
            ensure!(said.json["error"]["code"] == "PLAN_FAILED", "{said:?}");
            ensure!(said.json["report"]["calls"] == 0, "{said:?}");
            let message = said.json["error"]["message"].as_str().unwrap_or_default();
            ensure!(message.contains("refused"), "{message}");
        }
        Ok(())
    });
}

/// Runs a plan of one step that then waits for a human, in a directory of its own.
fn waiting(site: &mut Site, id: &str) -> Result<std::path::PathBuf> {
    site.logs = site.path(&format!("steps-{id}"));
    let plan = site.plan(&format!("sw12-{id}"), &[wrong(site, id)])?;
    site.run(&plan, &[])?.ended(4)?;
    Ok(plan)
}
