//! VAL 10: previews, retries and rollbacks of operators, and what stays on record.

use anyhow::{Context as _, Result, ensure};

use super::{
    Plan,
    lab::{Found, Lab, json_of, shown},
    report::{Section, exit_code},
};
use crate::stories::drill::Fault;

const TARGETS: [&str; 4] =
    ["rollout_plan", "rollout_stage", "ha_leader_resign", "relay_deadletter"];
/// What every preview must say.
const FIELDS: [&str; 6] =
    ["safety_class", "orchestrated", "valid_strategies", "manual_path", "triggers", "limitations"];
/// Strategy, phase afterwards.
const EXECUTED: [(&str, &str); 2] = [("retry", "active"), ("rollback", "rolled_back")];
/// Plans of each strategy.
const EACH: usize = 5;

pub(super) const PLAN: Plan = Plan {
    name: "val10",
    title: "Rollback Reliability",
    port: 18995,
    operator: "val10-rollback-op",
    sections: &[
        Section {
            title: "Previews",
            claim: "Every target has a preview with all of its fields",
            checks: &["VAL10-01"],
            if_failed: "read val10-preview-*.json",
            always: None,
        },
        Section {
            title: "Execution",
            claim: "Every retry and every rollback succeeds",
            checks: &["VAL10-02", "VAL10-03"],
            if_failed: "read the execute files",
            always: None,
        },
        Section {
            title: "Audit",
            claim: "CLI and control plane have each of them on record",
            checks: &["VAL10-04", "VAL10-05"],
            if_failed: "verify that AUTONOMY_AUDIT_DIR is the same path for CLI and CP",
            always: None,
        },
    ],
    minimum: &[],
    play,
};

fn play(lab: &mut Lab) -> Result<()> {
    lab.check(
        "VAL10-01",
        "four previews exit 0 and say everything",
        "val10-previews.txt",
        previews,
    )?;
    lab.start()?;
    let checks = ["VAL10-02", "VAL10-03"];
    let whats = ["five retries succeed", "five rollbacks succeed"];
    for (((strategy, phase), id), what) in EXECUTED.into_iter().zip(checks).zip(whats) {
        let file = format!("val10-{strategy}.txt");
        lab.check(id, what, &file, |lab| execute(lab, strategy, phase))?;
    }
    let what = "the trail has every execution, as the CLI saw it";
    lab.check("VAL10-04", what, "val10-audit-cli.txt", |lab| on_record(lab, "cli"))?;
    let what = "the trail has every execution, as the control plane saw it";
    lab.check("VAL10-05", what, "val10-audit-orchestrator.txt", |lab| {
        on_record(lab, "orchestrator")
    })
}

/// Asks nobody: no control plane runs yet.
fn previews(lab: &mut Lab) -> Result<Found> {
    let mut good = 0;
    for target in TARGETS {
        let done =
            lab.autonomy(&["rollback", "preview", "--target", target, "--output", "json"])?;
        lab.keep(&format!("val10-preview-{target}.json"), &done.stdout)?;
        let said = json_of(&done.stdout)?;
        let missing: Vec<_> = FIELDS.into_iter().filter(|it| said[it].is_null()).collect();
        ensure!(missing.is_empty(), "{target}: {missing:?} missing");
        let by_hand = said["manual_path"].as_str().is_some_and(|it| it.contains("edgectl"));
        ensure!(target != "relay_deadletter" || by_hand, "{target}: {said}");
        good += usize::from(done.code() == Some(0));
    }
    Ok(Found { holds: good == TARGETS.len(), facts: vec![("previews_ok", good.to_string())] })
}

fn execute(lab: &mut Lab, strategy: &str, phase: &str) -> Result<Found> {
    let mut good = 0;
    for number in 1..=EACH {
        let id = format!("val10-{strategy}-{number}");
        let (status, text) = lab.create(&id)?;
        ensure!(status == 201, "{id}: HTTP {status} {text}");
        if lab.fault == Fault::LeftOut {
            continue;
        }
        let done = lab.execute(&id, strategy, "val10")?;
        lab.keep(&format!("execute/{strategy}-{number}.txt"), &shown(&done))?;
        let now = json_of(&lab.get(&format!("/v1/rollouts/{id}"))?.1)?;
        let said = done.stdout.contains("outcome=success");
        good += usize::from(done.code() == Some(0) && said && now["phase"] == phase);
    }
    let rate = good * 100 / EACH;
    let facts =
        vec![("ok", good.to_string()), ("of", EACH.to_string()), ("percent", rate.to_string())];
    Ok(Found { holds: good == EACH, facts })
}

fn on_record(lab: &mut Lab, source: &str) -> Result<Found> {
    let (actor, began) = (lab.operator, lab.began());
    let what = ["audit", "query", "--event-type", "rollback.executed", "--actor", actor];
    let more = ["--source", source, "--outcome", "success", "--start-time", &began];
    let asked = lab.autonomy(&[&what[..], &more[..], &["--output", "json"]].concat())?;
    lab.keep(&format!("val10-audit-{source}.json"), &asked.stdout)?;
    let records = json_of(&asked.stdout)?;
    let records = records.as_array().or(records["records"].as_array()).context("no list")?;
    let facts = vec![("exit_code", exit_code(&asked)), ("count", records.len().to_string())];
    let holds = asked.code() == Some(0) && records.len() == EXECUTED.len() * EACH;
    Ok(Found { holds, facts })
}
