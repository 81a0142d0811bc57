//! Plans as text.

use std::io::{self, Write};

use api::rollout::{
    Explanation, GateAnswer, NodeCounts, Rollout, RolloutList, StageGates, StuckList,
};

use crate::{
    commands::write_pairs,
    counted::counted,
    printable::printable,
    table::{Table, optional},
};

/// Where a plan is, after a change.
pub(super) fn brief(rollout: &Rollout, out: &mut dyn Write) -> io::Result<()> {
    write_pairs(out, &life(rollout))
}

fn life(rollout: &Rollout) -> Vec<(&'static str, String)> {
    let mut pairs = vec![
        ("plan", rollout.plan.metadata.id.clone()),
        ("phase", rollout.phase.clone()),
        ("stage", rollout.current_stage_id.clone().unwrap_or_else(|| "-".to_owned())),
        ("generation", rollout.generation.to_string()),
        ("updated", format!("{} by {}", rollout.updated_at, rollout.updated_by)),
    ];
    pairs.extend(rollout.reason.clone().map(|it| ("reason", it)));
    pairs
}

/// All about a plan.
pub(super) fn plan(rollout: &Rollout, out: &mut dyn Write) -> io::Result<()> {
    let plan = &rollout.plan;
    let mut pairs = life(rollout);
    pairs.extend([
        ("attempt", rollout.attempt.to_string()),
        ("created", format!("{} by {}", rollout.created_at, rollout.created_by)),
        ("artifact", plan.artifact_ref.clone()),
        ("lock", plan.target_lock_fingerprint.clone()),
        ("kind", word(&plan.rollout_kind)),
        ("channel", plan.channel.clone()),
        ("digest", rollout.plan_digest.clone()),
    ]);
    let labels = plan.metadata.labels.iter().map(|(key, value)| format!("{key}={value}"));
    let labels: Vec<_> = labels.collect();
    if !labels.is_empty() {
        pairs.push(("labels", labels.join(", ")));
    }
    write_pairs(out, &pairs)?;
    writeln!(out)?;
    stages(rollout, out)?;
    warnings(rollout, out)
}

fn stages(rollout: &Rollout, out: &mut dyn Write) -> io::Result<()> {
    let mut table = Table::new("STAGE PHASE SHARE NODES HEALTHY FAILED ENTERED DEADLINE");
    for (number, stage) in rollout.stages.iter().enumerate() {
        let share = rollout.plan.stages.get(number).map_or_else(String::new, |it| {
            match (it.percent, &it.nodes) {
                (Some(percent), _) => format!("{percent}%"),
                (None, Some(nodes)) => counted(nodes.len(), "node"),
                (None, None) => String::new(),
            }
        });
        let count = |of: fn(&NodeCounts) -> u64| {
            stage.nodes.as_ref().map_or_else(|| "-".to_owned(), |it| of(it).to_string())
        };
        let (targeted, healthy) = (count(|it| it.targeted), count(|it| it.verified));
        let (entered, deadline) = (stage.entered_at.as_ref(), stage.deadline_at.as_ref());
        table.row([
            &stage.id,
            &stage.phase,
            &share,
            &targeted,
            &healthy,
            &count(|it| it.failed),
            optional(entered),
            optional(deadline),
        ]);
    }
    table.write(out)
}

fn warnings(rollout: &Rollout, out: &mut dyn Write) -> io::Result<()> {
    for it in &rollout.warnings {
        let (field, message) = (printable(&it.field), printable(&it.message));
        writeln!(out, "warning: {field}: {message} ({})", printable(&it.code))?;
    }
    Ok(())
}

/// A plan that was created, with what looked wrong.
pub(super) fn created(rollout: &Rollout, out: &mut dyn Write) -> io::Result<()> {
    brief(rollout, out)?;
    warnings(rollout, out)
}

pub(super) fn list(list: &RolloutList, out: &mut dyn Write) -> io::Result<()> {
    let mut table = Table::new("PLAN_ID PHASE STAGE CHANNEL GENERATION UPDATED");
    for it in &list.rollouts {
        table.row([
            &it.plan.metadata.id,
            &it.phase,
            optional(it.current_stage_id.as_ref()),
            &it.plan.channel,
            &it.generation.to_string(),
            &it.updated_at,
        ]);
    }
    table.write(out)
}

pub(super) fn stuck(list: &StuckList, out: &mut dyn Write) -> io::Result<()> {
    let mut table = Table::new("PLAN_ID PHASE STAGE STUCK_SINCE REASON");
    for it in &list.stuck_plans {
        let (phase, stage) = (optional(it.phase.as_ref()), optional(it.current_stage_id.as_ref()));
        table.row([&it.plan_id, phase, stage, &it.stuck_since, &it.stuck_reason]);
    }
    table.write(out)?;
    for it in &list.stuck_plans {
        writeln!(out, "\n{}: {}", printable(&it.plan_id), printable(&it.diagnosis))?;
        commands(&it.next_actions, out)?;
    }
    Ok(())
}

pub(super) fn explanation(it: &Explanation, out: &mut dyn Write) -> io::Result<()> {
    let pairs = [
        ("plan", it.plan_id.clone()),
        ("phase", it.phase.clone()),
        ("fact", it.fact.clone()),
        ("since", it.since.clone()),
        ("owner", it.owner.clone()),
        ("next", it.next_action.clone()),
    ];
    write_pairs(out, &pairs)?;
    commands(&it.commands, out)
}

/// Commands to copy.
fn commands(commands: &[String], out: &mut dyn Write) -> io::Result<()> {
    commands.iter().try_for_each(|it| writeln!(out, "  {}", printable(it)))
}

pub(super) fn gates(gates: &StageGates, out: &mut dyn Write) -> io::Result<()> {
    let pairs = [
        ("plan", gates.plan_id.clone()),
        ("stage", format!("{} ({})", gates.stage_id, gates.stage_phase)),
        ("digest", gates.plan_digest.clone()),
    ];
    write_pairs(out, &pairs)?;
    writeln!(out)?;
    let mut table = Table::new("GATE KIND OUTCOME EXPIRES DETAIL");
    for it in &gates.gates {
        let expires = it.ruling.as_ref().map(|it| &it.expires_at);
        table.row([&it.id, &it.kind, &it.outcome, optional(expires), &it.detail]);
    }
    table.write(out)
}

pub(super) fn ruled(answer: &GateAnswer, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", printable(&answer.message))?;
    let pairs =
        [("approved", yes_or_no(answer.approved)), ("promoted", yes_or_no(answer.promoted))];
    write_pairs(out, &pairs)?;
    brief(&answer.rollout, out)
}

fn yes_or_no(it: bool) -> String {
    if it { "yes" } else { "no" }.to_owned()
}

/// The name of a value as it is on the wire.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}
