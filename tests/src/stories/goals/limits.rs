//! Quotas, budgets, stalls, gates, and the way back.

use std::{fs, path::Path};

use anyhow::{Result, ensure};
use serde_json::Value;

use super::Lab;
use crate::{
    harness::{Process, eventually},
    stories::{Narrator, drill::Fault},
};

/// What waits for a quota.
fn queue(lab: &Lab) -> Result<Vec<Value>> {
    let text = fs::read(lab.state("retry-queue.json"))?;
    let value: Value = serde_json::from_slice(&text)?;
    Ok(value["entries"].as_array().cloned().unwrap_or_default())
}

/// FM-5a to FM-5e.
pub(super) fn quota(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let lab = Lab::with_goal(dir, &[])?;
    lab.linked("t")?;
    lab.linked("u")?;
    let blocked = ["tentacle", "handoff", "t", "HTTP 429 too many requests", "--status", "BLOCKED"];
    if fault == Fault::Injected {
        lab.done(&blocked)?;
        lab.done(&blocked)?;
    }
    let queue = || queue(&lab);
    narrator.check("proof: the tentacle waits in the queue, once", || {
        let entries = queue()?;
        ensure!(entries.len() == 1, "{entries:?}");
        ensure!(entries[0]["quota_reason"] == "rate_limit" && entries[0]["attempts"] == 2);
        ensure!(entries[0]["not_before"].is_string(), "{entries:?}");
        Ok(())
    });
    narrator.check("a pause asks neither gates nor tentacles", || {
        lab.done(&["goal", "gate", "add", "G"])?;
        lab.done(&["goal", "eval", "--decision", "pause", "--notes", "quota; cooldown"])?;
        ensure!((lab.text("status")?, lab.iteration()?) == ("paused".to_owned(), 1));
        let health = lab.json(&["goal", "resilience-status"])?;
        ensure!(health["health"] == "needs-action", "{health}");
        ensure!(health["tentacles"][0]["quota_reason"] == "rate_limit", "{health}");
        Ok(())
    });
    narrator.check("a note behind it does not hide the quota", || {
        lab.done(&["tentacle", "handoff", "t", "still waiting"])?;
        lab.done(&["tentacle", "complete", "t"])?;
        ensure!(lab.meta("t")?["quota_reason"] == "rate_limit", "{}", lab.meta("t")?);
        ensure!(queue()?.len() == 1, "it is blocked still");
        Ok(())
    });
    narrator.check("a reset makes idle what was blocked, and not what is too big", || {
        lab.done(&["tentacle", "handoff", "u", "split it", "--status", "TOO_BIG"])?;
        let before = lab.meta("u")?;
        lab.done(&["goal", "resume", "--reset-failed"])?;
        let meta = lab.meta("t")?;
        ensure!(meta["status"] == "idle" && meta["quota_reason"].is_null(), "{meta}");
        ensure!(meta["terminal_status"].is_null() && queue()?.is_empty());
        ensure!(lab.meta("u")? == before && lab.text("status")? == "active");
        Ok(())
    });
    narrator.check("eval and next-iter show what waits apart from the rest", || {
        lab.done(&blocked)?;
        lab.done(&["goal", "gate", "approve", "G"])?;
        ensure!(lab.done(&["goal", "next-iter"])?.contains("quota-blocked: t (rate_limit"));
        let eval = lab.json(&["goal", "eval"])?;
        ensure!(eval["retry_blocked"][0]["tentacle"] == "t", "{eval}");
        Ok(())
    });
    narrator.check("a later word that is not blocked ends the wait", || {
        lab.done(&["tentacle", "handoff", "t", "done", "--status", "DONE"])?;
        lab.done(&["tentacle", "complete", "t"])?;
        ensure!(queue()?.is_empty() && lab.meta("t")?["quota_reason"].is_null());
        Ok(())
    });
    Ok(())
}

/// FM-6a to FM-6e.
pub(super) fn stalls(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let lab = Lab::with_goal(dir, &[])?;
    let fails = if fault == Fault::Injected { "exit 1" } else { "exit 0" };
    let command = format!("echo \"$(date -u +%Y-%m-%dT%H:%M:%S.%NZ) boom in pid $$\"; {fails}");
    lab.done(&["goal", "criteria", "add", "--desc", "x", "--verify-cmd", &command])?;
    let verify = ["goal", "verify-loop", "--max-retries", "3", "--retry-delay", "0"];
    narrator.check("proof: three attempts are made, not four", || {
        lab.refused(&verify)?;
        ensure!(lab.count("verify_loop_history")? == 3, "{}", lab.goal()?);
        Ok(())
    });
    narrator.check("without --escalate the status is as it was", || {
        ensure!(lab.text("status")? == "active");
        Ok(())
    });
    narrator.check("with --escalate a human is asked for, and nothing else goes on", || {
        lab.refused(&[&verify[..], &["--escalate"]].concat())?;
        let goal = lab.goal()?;
        ensure!(goal["status"] == "needs-human" && goal["needs_human_reason"] == "stall", "{goal}");
        ensure!(goal["needs_human_failing_criteria"][0] == "sc-1", "{goal}");
        ensure!(lab.refused(&["goal", "eval"])?.contains("GOAL_STATUS"));
        ensure!(lab.refused(&["goal", "gate", "pass", "G"])?.contains("GOAL_STATUS"));
        ensure!(lab.refused(&verify)?.contains("GOAL_STATUS"));
        Ok(())
    });
    narrator.check("a resume takes the reasons away", || {
        lab.done(&["goal", "resume"])?;
        let goal = lab.goal()?;
        ensure!(goal["status"] == "active" && goal["needs_human_reason"].is_null(), "{goal}");
        Ok(())
    });
    narrator.check("two attempts are no stall", || {
        let before = lab.count("verify_loop_history")?;
        let once =
            ["goal", "verify-loop", "--max-retries", "1", "--retry-delay", "0", "--escalate"];
        lab.refused(&once)?;
        ensure!(lab.count("verify_loop_history")? == before + 2);
        ensure!(lab.text("needs_human_reason")? == "retry_exhausted");
        Ok(())
    });
    Ok(())
}

/// FM-7a to FM-7e.
pub(super) fn over_budget(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let lab = Lab::with_goal(dir, &["--max-iterations", "2", "--max-tentacles", "1"])?;
    lab.done(&["goal", "eval"])?;
    lab.done(&["goal", "eval"])?;
    if fault == Fault::Injected {
        lab.done(&["goal", "eval"])?;
    }
    narrator.check("proof: a human is asked for, in the same iteration, without an entry", || {
        let goal = lab.goal()?;
        ensure!(goal["status"] == "needs-human", "{goal}");
        ensure!(goal["needs_human_reason"] == "over_budget:iterations", "{goal}");
        ensure!(lab.iteration()? == 3 && lab.count("eval_history")? == 2, "{goal}");
        Ok(())
    });
    narrator.check("a resume alone does not help", || {
        lab.done(&["goal", "resume"])?;
        let strict = lab.run(&["goal", "eval", "--strict-exit"])?;
        ensure!(strict.code() == Some(10), "{strict:?}");
        Ok(())
    });
    narrator.check("force goes on, and says so", || {
        lab.done(&["goal", "resume"])?;
        let said = lab.done(&["goal", "eval", "--force-over-budget"])?;
        ensure!(said.starts_with("WARNING: over budget (iterations), forced"), "{said}");
        ensure!(lab.iteration()? == 4);
        Ok(())
    });
    narrator.check("all that is passed is named, in its order", || {
        lab.linked("a")?;
        lab.linked("b")?;
        lab.done(&["goal", "eval"])?;
        ensure!(lab.text("needs_human_reason")? == "over_budget:iterations,tentacles");
        lab.done(&["goal", "resume"])?;
        Ok(())
    });
    narrator.check("a larger budget goes on", || {
        lab.done(&["goal", "budget", "--max-iterations", "10", "--max-tentacles", "10"])?;
        for name in ["a", "b"] {
            lab.done(&["tentacle", "handoff", name, "done", "--status", "DONE"])?;
        }
        let said = lab.refused(&["goal", "eval"])?;
        ensure!(said.contains("a (ready), b (ready)"), "a handoff is no end of the work: {said}");
        for name in ["a", "b"] {
            lab.done(&["tentacle", "complete", name])?;
        }
        lab.done(&["goal", "eval"])?;
        ensure!(lab.iteration()? == 5);
        Ok(())
    });
    narrator.check("giving up does not ask the budget", || {
        lab.done(&["goal", "budget", "--max-iterations", "1"])?;
        lab.done(&["goal", "eval", "--decision", "abandon"])?;
        ensure!(lab.text("status")? == "abandoned");
        ensure!(lab.refused(&["goal", "resume"])?.contains("goal init"));
        Ok(())
    });
    Ok(())
}

/// FM-8.
pub(super) fn one_changes(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let lab = Lab::with_goal(dir, &[])?;
    let changing = if fault == Fault::Injected {
        "n=$(cat n 2>/dev/null || echo x); echo $n; echo ${n}x > n; exit 1"
    } else {
        "echo same; exit 1"
    };
    for command in ["echo same; exit 1", changing] {
        lab.done(&["goal", "criteria", "add", "--desc", "x", "--verify-cmd", command])?;
    }
    let ended = lab.run(&["goal", "verify-loop", "--max-retries", "4", "--retry-delay", "0"])?;
    narrator.check("proof: the outputs of one criterion change", || {
        let text = fs::read_to_string(lab.root().join("n"))?;
        ensure!(text.len() > 3, "{text}");
        Ok(())
    });
    narrator.check("all five attempts are made", || {
        ensure!(ended.code() == Some(1) && lab.count("verify_loop_history")? == 5, "{ended:?}");
        Ok(())
    });
    Ok(())
}

/// FM-9.
pub(super) fn completed_meanwhile(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let lab = Lab::with_goal(dir, &[])?;
    let script = "n=$(cat n 2>/dev/null || echo 0); n=$((n+1)); echo $n > n; \
                  [ $n != 3 ] || { mkfifo hold; cat hold; }; echo same; exit 1";
    lab.done(&["goal", "criteria", "add", "--desc", "x", "--verify-cmd", script])?;
    let words = ["goal", "verify-loop", "--escalate", "--retry-delay", "0"];
    let mut running = Process::start("verify-loop", &mut lab.command(&words)?)?;
    eventually("the third attempt", || lab.root().join("hold").exists().then_some(()))?;
    if fault == Fault::Injected {
        lab.done(&["goal", "eval", "--decision", "complete"])?;
    }
    fs::write(lab.root().join("hold"), "")?;
    let status = running.wait()?;
    narrator.check("proof: the goal was completed while the loop ran", || {
        ensure!(!lab.text("completed_at")?.is_empty(), "{}", lab.goal()?);
        Ok(())
    });
    narrator.check("the loop stalled, and the goal stays completed", || {
        ensure!(status.code() == Some(1), "{status:?}");
        let goal = lab.goal()?;
        ensure!(goal["status"] == "completed" && goal["needs_human_reason"].is_null(), "{goal}");
        ensure!(lab.count("verify_loop_history")? == 3, "{goal}");
        Ok(())
    });
    Ok(())
}

/// G-gate.
pub(super) fn gated(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let lab = Lab::with_goal(dir, &[])?;
    if fault == Fault::Injected {
        lab.done(&["goal", "gate", "add", "G1", "--desc", "review"])?;
    }
    let eval = lab.run(&["goal", "eval", "--strict-exit", "--format", "json"])?;
    narrator.check("proof: the eval is stopped by the gate", || {
        ensure!(eval.code() == Some(11), "{eval:?}");
        let value: Value = serde_json::from_str(&eval.stdout)?;
        ensure!(value["outcome"] == "blocked" && value["blocked_by_gates"][0] == "G1", "{value}");
        ensure!((lab.text("status")?, lab.iteration()?) == ("awaiting-gate".to_owned(), 1));
        Ok(())
    });
    narrator.check("a rejection needs a reason, and does not wake a paused goal", || {
        ensure!(lab.run(&["goal", "gate", "reject", "G1"])?.code() == Some(2));
        lab.done(&["session", "end"])?;
        lab.done(&["goal", "gate", "reject", "G1", "--reason", "no tests"])?;
        ensure!(lab.text("status")? == "paused");
        Ok(())
    });
    narrator.check("a resume goes on waiting for the gate that the session waited for", || {
        lab.done(&["goal", "resume"])?;
        ensure!(lab.text("status")? == "awaiting-gate", "{}", lab.goal()?);
        Ok(())
    });
    narrator.check("the approval goes on, and a resume behind it works, too", || {
        lab.done(&["goal", "gate", "approve", "G1", "--reason", "x"])?;
        ensure!(lab.text("status")? == "active" && lab.text("awaiting_gate_id")?.is_empty());
        lab.done(&["goal", "resume"])?;
        lab.done(&["goal", "eval"])?;
        ensure!(lab.iteration()? == 2);
        Ok(())
    });
    Ok(())
}

/// G-rewind.
pub(super) fn rewound(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let lab = Lab::with_goal(dir, &[])?;
    lab.done(&["goal", "eval"])?;
    if fault == Fault::Injected {
        for name in ["second", "third"] {
            lab.worked(name, "DONE")?;
            lab.done(&["goal", "eval"])?;
        }
        lab.worked("fourth", "DONE")?;
    }
    narrator.check("proof: there are four iterations, with work in three", || {
        ensure!(lab.iteration()? == 4 && lab.count("tentacles")? == 3, "{}", lab.goal()?);
        Ok(())
    });
    narrator.check("an iteration that there is not is refused, and nothing is changed", || {
        let before = fs::read(lab.state("goal.json"))?;
        for given in ["0", "5"] {
            let said = lab.refused(&["goal", "resume", "--from-iteration", given])?;
            ensure!(said.contains("1 to 4"), "{said}");
        }
        ensure!(fs::read(lab.state("goal.json"))? == before);
        Ok(())
    });
    narrator.check("the work from there on is idle, and what was before is as it was", || {
        let before = lab.meta("second")?;
        lab.done(&["goal", "resume", "--from-iteration", "3"])?;
        ensure!(lab.iteration()? == 3 && lab.count("eval_history")? == 3, "{}", lab.goal()?);
        for name in ["third", "fourth"] {
            let meta = lab.meta(name)?;
            ensure!(meta["status"] == "idle" && meta["terminal_status"].is_null(), "{meta}");
        }
        ensure!(lab.meta("second")? == before);
        Ok(())
    });
    Ok(())
}
