//! VAL 11: kills of the control plane, a corrupt artifact, silent nodes, and the way back from all of them.
//!
//! The ten checks are made in the order of the original plan, not of their numbers. What it sleeps for is waited
//! for here: that the scan names the plans.

use std::net::TcpStream;

use anyhow::{Context as _, Result};
use reqwest::Method;
use serde_json::Value;

use super::{
    Plan,
    lab::{Found, Lab, json_of, plan, shown},
    report::{Section, exit_code},
};
use crate::{harness::eventually, stories::drill::Fault};

/// Age at which a plan counts as stuck.
const THRESHOLD_SECONDS: u64 = 2;
/// What nodes that do not answer look like from here.
const SILENT: [&str; 3] = ["val11-dev-1", "val11-dev-2", "val11-dev-3"];
const CORRUPT: &str = "val11-corrupt-1";
const GATE: &str = "val11-gate-1";
/// Plans before the first kill.
const PLANS: usize = 10;
/// Kills in quick succession.
const CYCLES: usize = 3;

pub(super) const PLAN: Plan = Plan {
    name: "val11",
    title: "Chaos Run",
    port: 18996,
    operator: "val11-chaos-op",
    sections: &[
        Section {
            title: "Baseline",
            claim: "The control plane answers before any fault",
            checks: &["VAL11-01"],
            if_failed: "see val11-cp.log; stop what listens on the port",
            always: None,
        },
        Section {
            title: "Durability",
            claim: "All pre-kill plans recovered after restart",
            checks: &["VAL11-03", "VAL11-04", "VAL11-05"],
            if_failed: "check the data directory and what the start says about it in val11-cp.log",
            always: None,
        },
        Section {
            title: "Client Error Handling",
            claim: "CLI exits non-zero with connection error after CP kill",
            checks: &["VAL11-02"],
            if_failed: "verify that the CLI does not swallow connection errors",
            always: None,
        },
        Section {
            title: "Artifact Corruption",
            claim: "CP accepts and stores corrupt-artifact plan; rollback succeeds",
            checks: &["VAL11-07", "VAL11-08"],
            if_failed: "read val11-corrupt-plan-create.txt and val11-execute-rollback-corrupt.txt",
            always: Some(
                "Consider adding artifact URI scheme validation at plan-creation time: \
                 strict_artifacts=true refuses such a plan",
            ),
        },
        Section {
            title: "Cascade Recovery",
            claim: "All 3 stuck (device-unresponsive proxy) plans recovered via retry",
            checks: &["VAL11-06", "VAL11-09"],
            if_failed: "compare the threshold of the scan with the real age of the plans",
            always: None,
        },
        Section {
            title: "Audit Integrity",
            claim: "Rollback events captured across CP kill boundary",
            checks: &["VAL11-10"],
            if_failed: "verify that AUTONOMY_AUDIT_DIR is the same path for CLI and CP",
            always: None,
        },
    ],
    minimum: &["VAL11-01", "VAL11-02", "VAL11-03", "VAL11-05"],
    play,
};

fn play(lab: &mut Lab) -> Result<()> {
    let what = "the control plane answers";
    lab.check("VAL11-01", what, "val11-health.txt", |lab| {
        lab.start()?;
        let (status, text) = lab.get("/v1/health")?;
        let said = json_of(&text)?["status"].as_str().unwrap_or("unreachable").to_owned();
        let holds = status == 200 && said == "ok";
        Ok(Found { holds, facts: vec![("http", status.to_string()), ("status", said)] })
    })?;
    let created = create_plans(lab)?;
    find_stuck(lab)?;
    act_on_corrupt(lab, created)?;
    recover_all(lab)?;
    let before = count(lab)?.1;
    let pid = lab.pid();
    lab.end(lab.kill.signal())?;
    see_client_fail(lab)?;
    lab.start()?;
    find_everything(lab, pid)?;
    restart_rapidly(lab, before)?;
    query_audit(lab)
}

/// Creates the plans; returns the status that the corrupt one got.
fn create_plans(lab: &Lab) -> Result<u16> {
    let durable = (1..=5).map(|it| format!("val11-dur-{it}"));
    let others = [GATE, CORRUPT].into_iter().chain(SILENT).map(str::to_owned);
    let (mut codes, mut corrupt_code) = (Vec::new(), 0);
    for id in durable.chain(others) {
        let (status, text) = if id == CORRUPT {
            let mut body = plan(&id);
            body["artifact_ref"] = "corrupt://chaos/artifact@sha256:deadbeefcorrupt".into();
            body["target_lock_fingerprint"] = "blake3:0000000000000000corruption".into();
            lab.ask(Method::POST, "/v1/rollouts", &body)?
        } else {
            lab.create(&id)?
        };
        codes.push(format!("{id} {status}"));
        if id == CORRUPT {
            corrupt_code = status;
            lab.keep("val11-corrupt-plan-create.txt", &format!("HTTP {status}\n{text}"))?;
        }
    }
    lab.keep("val11-plans-created.txt", &codes.join("\n"))?;
    Ok(corrupt_code)
}

fn find_stuck(lab: &mut Lab) -> Result<()> {
    let what = "the scan names nodes that do not answer, with a diagnosis";
    lab.check("VAL11-06", what, "val11-stuck-check.txt", |lab| {
        let path = format!("/v1/rollouts/stuck?threshold_seconds={THRESHOLD_SECONDS}");
        let named = |scan: &Value, id: &str| {
            let plans = scan["stuck_plans"].as_array();
            plans.is_some_and(|it| it.iter().any(|it| it["plan_id"] == id))
        };
        let scan = eventually("the scan names the silent nodes", || {
            let text = lab.get(&path).ok()?.1;
            let scan = json_of(&text).ok()?;
            SILENT.iter().all(|it| named(&scan, it)).then_some(scan)
        })?;
        lab.keep("val11-scan-stuck.json", &format!("{scan:#}"))?;
        let plans = scan["stuck_plans"].as_array().context("no list")?;
        let text = |it: &Value| it["diagnosis"].as_str().is_some_and(|it| !it.trim().is_empty());
        let diagnosed = plans.iter().all(text);
        let count = plans.len();
        let facts =
            vec![("stuck_count", count.to_string()), ("diagnosis_ok", diagnosed.to_string())];
        Ok(Found { holds: count >= SILENT.len() && diagnosed, facts })
    })
}

fn act_on_corrupt(lab: &mut Lab, created: u16) -> Result<()> {
    let what = "a plan with a corrupt artifact is stored and can be read";
    lab.check("VAL11-07", what, "val11-corrupt-check.txt", |lab| {
        let (status, text) = lab.get(&format!("/v1/rollouts/{CORRUPT}"))?;
        let read = json_of(&text)?;
        lab.keep("val11-corrupt-plan.json", &format!("{read:#}"))?;
        let got = status == 200 && read["plan"]["metadata"]["id"] == CORRUPT;
        let facts = vec![("create_code", created.to_string()), ("get_ok", got.to_string())];
        Ok(Found { holds: created == 201 && got, facts })
    })?;
    let what = "a plan with a corrupt artifact can be rolled back";
    lab.check("VAL11-08", what, "val11-rollback-corrupt-check.txt", |lab| {
        let done = lab.execute(CORRUPT, "rollback", "chaos-artifact-corruption")?;
        lab.keep("val11-execute-rollback-corrupt.txt", &shown(&done))?;
        let success = done.stdout.contains("outcome=success");
        let facts = vec![("exit_code", exit_code(&done)), ("outcome_success", success.to_string())];
        Ok(Found { holds: done.code() == Some(0) && success, facts })
    })
}

fn recover_all(lab: &mut Lab) -> Result<()> {
    let what = "every plan of a silent node can be retried";
    lab.check("VAL11-09", what, "val11-cascade-check.txt", |lab| {
        let mut good = 0;
        for id in SILENT {
            let done = lab.execute(id, "retry", "chaos-cascade-recovery")?;
            let device = id.trim_start_matches("val11-");
            lab.keep(&format!("cascade/execute-retry-{device}.txt"), &shown(&done))?;
            good += usize::from(done.code() == Some(0));
        }
        let bad = SILENT.len() - good;
        let facts = vec![("cascade_ok", good.to_string()), ("cascade_fail", bad.to_string())];
        Ok(Found { holds: bad == 0, facts })
    })
}

fn see_client_fail(lab: &mut Lab) -> Result<()> {
    let what = "a client of a killed control plane fails with a connection error";
    lab.check("VAL11-02", what, "val11-kill-check.txt", |lab| {
        let address = lab.url("").replace("http://", "");
        let gone = TcpStream::connect(&address).is_err();
        let done = lab.execute("val11-dur-1", "retry", "chaos-test")?;
        let said = shown(&done);
        lab.keep("val11-kill-client-error.txt", &said)?;
        let said = said.to_lowercase();
        let named = ["connection refused", "dial", "connect"].iter().any(|it| said.contains(it));
        let facts = vec![
            ("nobody_listens", gone.to_string()),
            ("exit_code", exit_code(&done)),
            ("has_connection_error", named.to_string()),
        ];
        Ok(Found { holds: gone && done.code().is_some_and(|it| it != 0) && named, facts })
    })
}

/// The text of the list, and how many plans it has.
fn count(lab: &Lab) -> Result<(String, usize)> {
    let (_, text) = lab.get("/v1/rollouts")?;
    let count = json_of(&text)?["rollouts"].as_array().context("no list")?.len();
    Ok((text, count))
}

fn find_everything(lab: &mut Lab, killed: u32) -> Result<()> {
    let what = "every plan is there after the restart";
    lab.check("VAL11-03", what, "val11-durability-check.txt", |lab| {
        let (text, count) = count(lab)?;
        lab.keep("val11-durability-list.json", &text)?;
        let other = lab.pid() != killed;
        let facts = vec![("list_count", count.to_string()), ("new_process", other.to_string())];
        Ok(Found { holds: count >= PLANS && other, facts })
    })?;
    let what = "a plan that waits at its gate waits after the restart";
    lab.check("VAL11-05", what, "val11-gate-check.txt", |lab| {
        let (status, text) = lab.get(&format!("/v1/rollouts/{GATE}"))?;
        let read = json_of(&text)?;
        lab.keep("val11-gate-plan.json", &format!("{read:#}"))?;
        let phase = read["phase"].as_str().unwrap_or("missing").to_owned();
        let holds = status == 200 && phase == "published";
        Ok(Found { holds, facts: vec![("phase", phase)] })
    })
}

fn restart_rapidly(lab: &mut Lab, before: usize) -> Result<()> {
    let what = "three quick kills and starts cost nothing, and a plan can be created";
    lab.check("VAL11-04", what, "val11-rapid-restart.txt", |lab| {
        let mut ended = Vec::new();
        for cycle in 1..=CYCLES {
            let status = lab.end(lab.kill.signal())?;
            lab.start()?;
            ended.push(format!("{cycle}: {status}, now pid {}", lab.pid()));
        }
        let after = count(lab)?.1;
        let (status, _) = lab.create("val11-post-chaos-1")?;
        let facts = vec![
            ("cycles", ended.join("; ")),
            ("list_count_before", before.to_string()),
            ("list_count_final", after.to_string()),
            ("new_plan_code", status.to_string()),
        ];
        let killed = lab.fault == Fault::Injected;
        Ok(Found { holds: killed && after >= before && status == 201, facts })
    })
}

fn query_audit(lab: &mut Lab) -> Result<()> {
    let what = "the rollbacks of this operator are on record across the kills";
    lab.check("VAL11-10", what, "val11-audit-check.txt", |lab| {
        let (actor, began) = (lab.operator, lab.began());
        let what = ["audit", "query", "--event-type", "rollback.executed", "--actor", actor];
        let more = ["--start-time", &began, "--output", "json"];
        let asked = lab.autonomy(&[&what[..], &more[..]].concat())?;
        lab.keep("val11-audit-executed.json", &asked.stdout)?;
        let records = json_of(&asked.stdout)?;
        let records = records.as_array().or(records["records"].as_array()).context("no list")?;
        let good = records.iter().filter(|it| it["outcome"] == "success").count();
        let facts = vec![
            ("exit_code", exit_code(&asked)),
            ("count", records.len().to_string()),
            ("success", good.to_string()),
            ("actor", actor.to_owned()),
            ("start_time", began),
        ];
        Ok(Found { holds: asked.code() == Some(0) && good >= 1, facts })
    })
}
