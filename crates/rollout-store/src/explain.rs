//! Why a plan does not go on, whose turn it is, and the command to copy.
//!
//! # Table
//!
//! | phase       | fact                              | owner            | command                        |
//! |-------------|-----------------------------------|------------------|--------------------------------|
//! | `draft`     | not published                     | creator          | `rollout plan publish`         |
//! | `published` | no node has acted                 | creator          | `rollback execute … retry`     |
//! | `active`    | a manual gate waits               | an operator      | `rollout gate approve`         |
//! | `active`    | another gate does not pass        | time, or nodes   | `rollout plan describe`, or `… skip_failed` |
//! | `active`    | every gate passes                 | the promoter     | `rollout plan describe`        |
//! | `paused`    | a person paused it                | that person      | `rollout plan resume`          |
//! | `failed`    | the reason of the failure         | creator          | `rollback execute … retry`, or `rollback` when halted |
//! | terminal    | it has ended                      | nobody           | –                              |
//!
//! # Invariants
//!
//! * **W1** The fact is never empty, and names gate, nodes and what is missing where there are any.
//! * **W2** A command is one that the plan takes in its phase.

use crate::{
    evidence::{Evidence, spell_nodes},
    gate::{GateReport, Outcome, Verdict},
    moment::Moment,
    name::{PlanId, StageId},
    phase::Phase,
    promote::unmet,
    rollout::Rollout,
    stage::StagePhase,
};

/// What keeps a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The blocking fact.
    pub fact: String,
    /// Since when.
    pub since: Moment,
    /// Whose turn it is.
    pub owner: String,
    /// What they can do.
    pub next_action: String,
    /// The commands that do it, the first one first; empty when nothing is left to do.
    pub commands: Vec<String>,
}

/// The commands of an operator, spelled once.
mod command {
    use super::{GateReport, PlanId, StageId};

    pub(super) fn recover(plan: &PlanId, strategy: &str) -> String {
        let target = if strategy == "skip_failed" { "rollout_stage" } else { "rollout_plan" };
        format!(
            "autonomy rollback execute --target {target} --resource {plan} --strategy {strategy} \
             --reason \"<why>\""
        )
    }

    pub(super) fn plan(verb: &str, plan: &PlanId) -> String {
        format!("autonomy rollout plan {verb} {plan}")
    }

    pub(super) fn approve(plan: &PlanId, stage: &StageId, gate: &GateReport) -> String {
        format!("autonomy rollout gate approve {plan} {stage} {} --reason \"<why>\"", gate.id)
    }
}

/// Picks the row of the table. Without evidence nodes are not counted.
pub fn explain(rollout: &Rollout, evidence: Option<&Evidence>, now: Moment) -> Explanation {
    let id = rollout.id();
    let creator = rollout.created_by().to_string();
    let since = rollout.quiet_since();
    let explanation = |fact: String, owner: String, next_action: &str, commands: Vec<String>| {
        Explanation { fact, since, owner, next_action: next_action.to_owned(), commands }
    };
    match rollout.phase() {
        Phase::Draft => explanation(
            "the plan is a draft: no node sees it".to_owned(),
            creator,
            "publish it, or cancel it",
            vec![command::plan("publish", id), command::plan("cancel", id)],
        ),
        Phase::Published => explanation(
            published(rollout, evidence),
            creator,
            "check that the nodes poll; retry starts the plan without them",
            vec![command::recover(id, "retry"), command::recover(id, "rollback")],
        ),
        Phase::Active => active(rollout, evidence, now),
        Phase::Paused(_) => explanation(
            format!("paused by {}{}", rollout.changed_by(), because(rollout)),
            rollout.changed_by().to_string(),
            "resume it, or cancel it",
            vec![command::plan("resume", id), command::plan("cancel", id)],
        ),
        Phase::Failed => {
            let halted = rollout.state().is_some_and(|it| it.phase == StagePhase::Halted);
            let stage = stage_text(rollout);
            let (fact, next, first) = if halted {
                let by = rollout.changed_by();
                let fact = format!("{stage} was halted by {by}{}", because(rollout));
                (fact, "a halted stage stays halted: roll the plan back", "rollback")
            } else {
                let fact = format!("{stage} failed{}", because(rollout));
                (fact, "retry the stage, go past it, or roll the plan back", "retry")
            };
            let rest = if halted { &[][..] } else { &["skip_failed", "rollback"][..] };
            let commands = [first].iter().chain(rest).map(|it| command::recover(id, it)).collect();
            explanation(fact, creator, next, commands)
        }
        Phase::Completed | Phase::Cancelled | Phase::RolledBack => explanation(
            format!("the plan is {}{}", rollout.phase(), because(rollout)),
            "nobody".to_owned(),
            "nothing: the plan has ended",
            Vec::new(),
        ),
    }
}

fn published(rollout: &Rollout, evidence: Option<&Evidence>) -> String {
    let rejected = rollout
        .state()
        .and_then(|it| it.rulings.iter().find(|it| it.1.verdict == Verdict::Rejected));
    let rejected = rejected.map_or_else(String::new, |(gate, it)| {
        format!(
            "; gate {gate} was rejected by {}: {}: the plan fails as soon as it starts",
            it.actor, it.reason
        )
    });
    format!("no node has acted on the plan yet; {}{rejected}", silent_nodes(rollout, evidence))
}

fn active(rollout: &Rollout, evidence: Option<&Evidence>, now: Moment) -> Explanation {
    let none = Evidence::default();
    let gates = rollout.gates(rollout.current(), evidence.unwrap_or(&none), now);
    let id = rollout.id();
    let describe = || command::plan("describe", id);
    let manual = gates.iter().find(|it| it.kind == "manual" && it.outcome != Outcome::Pass);
    let health = gates.iter().any(|it| it.kind == "health" && it.outcome != Outcome::Pass);
    let deadline = rollout.state().and_then(|it| it.deadline_at);
    let deadline = deadline.map_or_else(String::new, |it| format!("; fails at {it}"));
    let (owner, next_action, commands) = match (manual, rollout.current_stage_id()) {
        (Some(gate), Some(stage)) => {
            let commands = vec![command::approve(id, stage, gate), describe()];
            ("an operator", "approve or reject the gate", commands)
        }
        _ if health => {
            let strategies = ["retry", "skip_failed", "rollback"];
            let commands = strategies.map(|it| command::recover(id, it)).to_vec();
            ("the nodes of the stage", "look at the nodes that are named", commands)
        }
        _ if gates.iter().any(|it| it.outcome != Outcome::Pass) => {
            ("time", "wait", vec![describe()])
        }
        _ => ("the promoter", "nothing: the next pass promotes it", vec![describe()]),
    };
    let unmet = unmet(&gates);
    let waits = if unmet.is_empty() { "every gate passes".to_owned() } else { unmet };
    let not_counted = if evidence.is_none() && health { " (nodes not counted)" } else { "" };
    Explanation {
        fact: format!("{} waits: {waits}{not_counted}{deadline}", stage_text(rollout)),
        since: rollout.quiet_since(),
        owner: owner.to_owned(),
        next_action: next_action.to_owned(),
        commands,
    }
}

fn stage_text(rollout: &Rollout) -> String {
    let number = rollout.current() + 1;
    let stages = rollout.plan().stages.len();
    match rollout.current_stage_id() {
        Some(id) => format!("stage {id} ({number} of {stages})"),
        None => format!("stage {number} of {stages}"),
    }
}

fn because(rollout: &Rollout) -> String {
    rollout.reason().map_or_else(String::new, |it| format!(": {it}"))
}

fn silent_nodes(rollout: &Rollout, evidence: Option<&Evidence>) -> String {
    let stage = stage_text(rollout);
    let Some(evidence) = evidence else {
        return format!("{stage} waits for a first report (nodes not counted)");
    };
    let nodes = evidence.nodes();
    if nodes.is_empty() {
        return format!("{stage} targets no node that is known");
    }
    let first: Vec<_> = nodes.iter().take(5).map(|it| it.0.clone()).collect();
    let count = nodes.len();
    format!("{stage} waits for a first report of {}", spell_nodes(&first, count as u64))
}
