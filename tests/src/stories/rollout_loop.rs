//! The loop between nodes and the control plane: a plan is made, nodes follow it and say how far they are, gates pass
//! or fail by what they say, and a person approves or rolls back.

use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::{Narrator, fleet::Fleet, release::Release};

const NODES: [&str; 3] = ["node-a", "node-b", "node-c"];
const OTHERS: [&str; 2] = ["node-b", "node-c"];

/// A plan of two stages: `node-a` alone, approved by a person, then everybody.
fn staged(id: &str, release: &Release) -> Result<Value> {
    Ok(json!({
        "id": id,
        "artifact_ref": release.image,
        "target_lock_fingerprint": release.fingerprint()?,
        "stages": [
            {
                "id": "canary",
                "nodes": ["node-a"],
                "gates": [{ "kind": "health" }, { "kind": "manual" }],
            },
            { "id": "rest", "percent": 100, "gates": [{ "kind": "health" }] },
        ],
    }))
}

fn approve(fleet: &Fleet, id: &str) -> Result<()> {
    let words = ["rollout", "gate", "approve", id, "canary", "manual", "--reason", "it does well"];
    fleet.good(&words).map(drop)
}

/// Waits until the canary of a plan is healthy.
fn until_canary(fleet: &Fleet, id: &str) -> Result<()> {
    fleet.until("the canary is healthy", |fleet| {
        let plan = fleet.plan(id)?;
        ensure!(plan["stages"][0]["nodes"]["verified"] == 1, "{plan}");
        Ok(Some(plan))
    })?;
    Ok(())
}

fn fleet_of_three(dir: &Path) -> Result<(Fleet, Release)> {
    let mut fleet = Fleet::begin(dir)?;
    let release = Release::publish(fleet.workshop(), "1.0.0", 1)?;
    for name in NODES {
        fleet.join(name, &release.key())?;
    }
    fleet.until_heard()?;
    Ok((fleet, release))
}

/// A staged plan goes to its end by itself, but for the one approval that it asks for, although the control plane is
/// killed twice meanwhile.
///
/// # Errors
///
/// When the machine has no resources for it; what was found is with the narrator.
pub fn completed(dir: &Path, narrator: &mut Narrator) -> Result<()> {
    const PLAN: &str = "arm-1.0.0";
    let (mut fleet, release) = fleet_of_three(dir)?;
    let fingerprint = release.fingerprint()?;
    narrator.check("a staged plan begins, and its canary reports that it is healthy", || {
        fleet.create(&staged(PLAN, &release)?)?;
        until_canary(&fleet, PLAN)?;
        fleet.runs("node-a", "1.0.0", &fingerprint)
    });
    narrator.check("nobody else has it while the approval is missing", || {
        fleet.answered()?;
        for name in OTHERS {
            ensure!(fleet.runs(name, "1.0.0", &fingerprint).is_err(), "{name} has it already");
        }
        let gates = fleet.ask(&format!("/v1/rollouts/{PLAN}/stages/canary/gates"))?.to_string();
        ensure!(gates.contains("awaiting operator approval"), "{gates}");
        Ok(())
    });
    narrator.check("the control plane is killed, and knows what it was told", || {
        fleet.kill_control_plane()?;
        let plan = fleet.plan(PLAN)?;
        ensure!(plan["phase"] == "active" && plan["stages"][0]["nodes"]["verified"] == 1, "{plan}");
        Ok(())
    });
    narrator.check("it is approved, killed again, and the plan is completed all the same", || {
        approve(&fleet, PLAN)?;
        fleet.kill_control_plane()?;
        fleet.until_phase(PLAN, "completed").map(drop)
    });
    settled(&fleet, PLAN, &fingerprint, narrator);
    narrator.check("a sink with a token brings each step to the control plane", || {
        let events = fleet.forwarded("node-a")?;
        let steps = events["events"].to_string();
        let all = ["activated", "healthy"].iter().all(|it| steps.contains(&format!("\"{it}\"")));
        ensure!(all, "{steps}");
        Ok(())
    });
    narrator.check("everything ends well, and no log has a token", || fleet.end());
    Ok(())
}

/// What is so when a plan has passed its gates.
fn settled(fleet: &Fleet, plan: &str, fingerprint: &str, narrator: &mut Narrator) {
    narrator.check("every node decides by it, and says so on record", || {
        for name in NODES {
            fleet.runs(name, "1.0.0", fingerprint)?;
        }
        Ok(())
    });
    narrator.check(
        "the plan became the release of its channel, and every node says that it runs it",
        || {
            let latest = fleet.ask("/v1/releases/latest?channel=stable")?;
            ensure!(
                (&latest["id"], &latest["lock_fingerprint"]) == (&json!(plan), &json!(fingerprint)),
                "{latest}"
            );
            fleet
                .until("every node acknowledged the release", |fleet| {
                    let summary = fleet.ask("/v1/fleet/summary")?;
                    ensure!(summary["releases"][plan] == 3, "{summary}");
                    Ok(Some(summary))
                })
                .map(drop)
        },
    );
    narrator.check("each node has each step on record once", || {
        for name in NODES {
            let mut steps = fleet.steps(name, plan)?;
            // How often a control plane that was killed was missed is chance.
            steps.retain(|it| !matches!(it.as_str(), "polled" | "ack_failed"));
            ensure!(
                steps == ["candidate_detected", "accepted", "activated", "healthy"],
                "{name}: {steps:?}"
            );
        }
        Ok(())
    });
}

/// A release that is tampered with between its stages is refused by the nodes of the second; the plan fails and is
/// rolled back; each node keeps what it runs.
///
/// # Errors
///
/// When the machine has no resources for it; what was found is with the narrator.
pub fn rolled_back(dir: &Path, narrator: &mut Narrator) -> Result<()> {
    const FIRST: &str = "arm-1.0.0";
    const SECOND: &str = "arm-1.1.0";
    let (mut fleet, first) = fleet_of_three(dir)?;
    let old = first.fingerprint()?;
    narrator.check("the fleet runs a release that a plan brought", || {
        let (artifact, target) = (&first.image, &old);
        fleet.create(
            &json!({ "id": FIRST, "artifact_ref": artifact, "target_lock_fingerprint": target }),
        )?;
        fleet.until_phase(FIRST, "completed")?;
        NODES.iter().try_for_each(|it| fleet.runs(it, "1.0.0", &old))
    });
    let second = Release::publish(fleet.workshop(), "1.1.0", 2)?;
    let new = second.fingerprint()?;
    narrator.check("the canary of the next one is healthy", || {
        fleet.create(&staged(SECOND, &second)?)?;
        until_canary(&fleet, SECOND)?;
        fleet.runs("node-a", "1.1.0", &new)
    });
    narrator.check("the release is tampered with, and approved", || {
        second.tamper()?;
        approve(&fleet, SECOND)
    });
    narrator.check("the nodes of the next stage refuse it, and the plan fails", || {
        let plan = fleet.until_phase(SECOND, "failed")?;
        let failed = plan["stages"][1]["nodes"]["failed"].as_u64();
        ensure!(failed >= Some(1), "{plan}");
        let explained = fleet.good(&["rollout", "explain", SECOND, "--output", "json"])?;
        ensure!(OTHERS.iter().any(|it| explained.contains(it)), "{explained}");
        Ok(())
    });
    let keep = |fleet: &Fleet| {
        fleet.runs("node-a", "1.1.0", &new)?;
        OTHERS.iter().try_for_each(|it| fleet.runs(it, "1.0.0", &old))
    };
    narrator.check("the plan is rolled back, and that is on record", || give_up(&fleet, SECOND));
    narrator.check(
        "the control plane is killed; each node keeps what it runs, and none activates more",
        || {
            keep(&fleet)?;
            fleet.kill_control_plane()?;
            fleet.until_asked()?;
            keep(&fleet)?;
            for name in OTHERS {
                let steps = fleet.steps(name, SECOND)?;
                ensure!(
                    !steps.iter().any(|it| it == "accepted" || it == "activated"),
                    "{name}: {steps:?}"
                );
            }
            Ok(())
        },
    );
    narrator.check("everything ends well, and no log has a token", || fleet.end());
    Ok(())
}

/// Rolls a plan back.
fn give_up(fleet: &Fleet, plan: &str) -> Result<()> {
    let words = ["rollback", "execute", "--target", "rollout_plan", "--resource", plan];
    let how = ["--strategy", "rollback", "--reason", "it was tampered with"];
    let said = fleet.good(&[&words[..], &how[..]].concat())?;
    ensure!(said.contains("outcome=success"), "{said}");
    fleet.until_phase(plan, "rolled_back")?;
    let audit = fleet.ask("/v1/audit?event_name=rollback.executed")?.to_string();
    ensure!(audit.contains(plan), "{audit}");
    Ok(())
}
