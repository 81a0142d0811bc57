//! VAL 09: which plans a scan for stuck ones names, and when.

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::json;

use super::{
    Plan,
    lab::{Found, Lab, json_of, shown},
    report::Section,
};
use crate::{harness::eventually, stories::drill::Fault};

/// Age at which a plan counts as stuck: longer than a few requests take, so that a fresh plan is fresh.
const THRESHOLD_SECONDS: u64 = 5;
const PLANS: [&str; 5] = ["val09-a", "val09-b", "val09-c", "val09-d", "val09-e"];

pub(super) const PLAN: Plan = Plan {
    name: "val09",
    title: "Stuck Detection",
    port: 18994,
    operator: "val09-stuck-op",
    sections: &[
        Section {
            title: "Detection",
            claim: "A live plan is named once it is old enough, and not before",
            checks: &["VAL09-01", "VAL09-02", "VAL09-03"],
            if_failed: "compare the clocks of plan and scan in the JSON files",
            always: None,
        },
        Section {
            title: "Leaving the scan",
            claim: "Pause, cancel, rollback and retry make a plan leave the scan",
            checks: &["VAL09-04", "VAL09-05", "VAL09-06"],
            if_failed: "read the last scan and the execute files",
            always: None,
        },
    ],
    minimum: &[],
    play,
};

fn play(lab: &mut Lab) -> Result<()> {
    lab.start()?;
    scan_is(lab, "VAL09-01", "1-empty", "without plans nothing is stuck", &[])?;
    for id in PLANS {
        let (status, text) = lab.create(id)?;
        ensure!(status == 201, "{id}: HTTP {status} {text}");
    }
    scan_is(lab, "VAL09-02", "2-fresh", "fresh plans are not stuck", &[])?;
    if lab.fault == Fault::Injected {
        // What the check below finds missing counts, not how long it was waited for.
        eventually("every plan is stale", || {
            scan(lab).is_ok_and(|it| it.0.len() == PLANS.len()).then_some(())
        })
        .ok();
    }
    scan_is(lab, "VAL09-03", "3-stale", "stale plans are stuck, all of them", &PLANS)?;
    turn(lab, "val09-a", "pause")?;
    let what = "a paused plan is not stuck";
    scan_is(lab, "VAL09-04", "4-paused", what, &["val09-b", "val09-c", "val09-d", "val09-e"])?;
    turn(lab, "val09-b", "cancel")?;
    let what = "a cancelled plan is not stuck";
    scan_is(lab, "VAL09-05", "5-cancelled", what, &["val09-c", "val09-d", "val09-e"])?;
    for (id, strategy) in [("val09-d", "rollback"), ("val09-c", "retry")] {
        let done = lab.execute(id, strategy, "val09")?;
        lab.keep(&format!("val09-execute-{strategy}.txt"), &shown(&done))?;
        ensure!(done.code() == Some(0), "{strategy} of {id}: {done:?}");
    }
    let what = "retry and rollback make plans leave the scan";
    scan_is(lab, "VAL09-06", "6-final", what, &["val09-e"])
}

fn turn(lab: &Lab, id: &str, verb: &str) -> Result<()> {
    let path = format!("/v1/rollouts/{id}/{verb}");
    let (status, text) = lab.ask(Method::POST, &path, &json!({ "reason": "val09" }))?;
    ensure!(status == 200, "{verb} of {id}: HTTP {status} {text}");
    Ok(())
}

/// The plans that the scan names, whether each has a diagnosis, and the answer.
fn scan(lab: &Lab) -> Result<(Vec<String>, bool, String)> {
    let path = format!("/v1/rollouts/stuck?threshold_seconds={THRESHOLD_SECONDS}");
    let (status, text) = lab.get(&path)?;
    ensure!(status == 200, "HTTP {status} {text}");
    let answer = json_of(&text)?;
    let plans = answer["stuck_plans"].as_array().context("no list")?;
    let text = |it: &serde_json::Value, key: &str| it[key].as_str().unwrap_or_default().to_owned();
    let mut ids: Vec<_> = plans.iter().map(|it| text(it, "plan_id")).collect();
    ids.sort();
    let diagnosed = plans.iter().all(|it| !text(it, "diagnosis").trim().is_empty());
    Ok((ids, diagnosed, format!("{answer:#}")))
}

fn scan_is(
    lab: &mut Lab,
    id: &'static str,
    name: &str,
    what: &'static str,
    wanted: &[&str],
) -> Result<()> {
    lab.check(id, what, &format!("val09-scan-{name}.txt"), |lab| {
        let (ids, diagnosed, answer) = scan(lab)?;
        lab.keep(&format!("val09-scan-{name}.json"), &answer)?;
        let facts = vec![
            ("stuck_count", ids.len().to_string()),
            ("stuck", ids.join(",")),
            ("diagnosis_ok", diagnosed.to_string()),
        ];
        Ok(Found { holds: ids == wanted && diagnosed, facts })
    })
}
