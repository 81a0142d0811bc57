//! Domain values as they go over the wire.

use api::{
    fleet::{FleetNode, PublishedRelease},
    plan::{GateKind, GateSpec, Metadata, Plan as WirePlan, PlanKind, StageSpec},
    release::Assigned,
    rollout::{
        Explanation as WireExplanation, Gate as WireGate, GateRuling as WireRuling, NodeCounts,
        PlanWarning, Rollout as WireRollout, StageState, StuckPlan as WireStuck,
    },
};
use rollout_store::{
    GateReport, Moment, Outcome, Plan, Rollout, StuckPlan, Verdict,
    evidence::Tally,
    explain::Explanation,
    gate::Ruling,
    node::{Node, NodeState},
    plan::{Gate, GateRule, Kind, Stage, Target},
    release::{Assignment, Release},
};

pub(crate) const fn kind(kind: Kind) -> PlanKind {
    match kind {
        Kind::Behavior => PlanKind::Behavior,
        Kind::Model => PlanKind::Model,
        Kind::OsReconstruction => PlanKind::OsReconstruction,
    }
}

fn gate_spec(gate: &Gate) -> GateSpec {
    let mut spec = GateSpec {
        id: Some(gate.id.to_string()),
        kind: GateKind::Manual,
        soak_seconds: None,
        min_verified_percent: None,
        max_failures: None,
        window_seconds: None,
    };
    match gate.rule {
        GateRule::Manual => {}
        GateRule::TimeSoak { soak_seconds } => {
            spec.kind = GateKind::TimeSoak;
            spec.soak_seconds = Some(soak_seconds);
        }
        GateRule::Health { min_verified_percent, max_failures, window_seconds } => {
            spec.kind = GateKind::Health;
            spec.min_verified_percent = Some(min_verified_percent);
            spec.max_failures = Some(max_failures);
            spec.window_seconds = Some(window_seconds);
        }
    }
    spec
}

fn stage_spec(stage: &Stage) -> StageSpec {
    let (percent, nodes) = match &stage.target {
        Target::Percent(percent) => (Some(*percent), None),
        Target::Nodes(nodes) => (None, Some(nodes.iter().map(ToString::to_string).collect())),
    };
    StageSpec {
        id: stage.id.to_string(),
        percent,
        nodes,
        gates: stage.gates.iter().map(gate_spec).collect(),
        deadline_seconds: Some(stage.deadline_seconds),
    }
}

fn plan(plan: &Plan) -> WirePlan {
    WirePlan {
        metadata: Metadata {
            id: plan.metadata.id.to_string(),
            labels: plan.metadata.labels.clone(),
        },
        artifact_ref: plan.artifact_ref.clone(),
        target_lock_fingerprint: plan.target_lock_fingerprint.clone(),
        rollout_kind: kind(plan.rollout_kind),
        channel: plan.channel.to_string(),
        stages: plan.stages.iter().map(stage_spec).collect(),
    }
}

/// A plan with its life; `tallies` are those of its stages, where they were counted.
pub(crate) fn rollout(it: &Rollout, tallies: Option<&[Tally]>) -> WireRollout {
    let counts = |index: usize| {
        tallies.and_then(|it| it.get(index)).map(|it| NodeCounts {
            targeted: it.targeted,
            verified: it.verified,
            failed: it.failed,
        })
    };
    let specs = it.plan().stages.iter();
    let stage = |(index, (spec, state)): (usize, (&Stage, &rollout_store::rollout::StageState))| {
        StageState {
            id: spec.id.to_string(),
            phase: state.phase.name().to_owned(),
            entered_at: moment(state.entered_at),
            deadline_at: moment(state.deadline_at),
            nodes: counts(index),
        }
    };
    let warning = |it: &rollout_store::Warning| PlanWarning {
        code: it.code.clone(),
        field: it.field.clone(),
        message: it.message.clone(),
    };
    WireRollout {
        plan: plan(it.plan()),
        plan_digest: it.digest().to_string(),
        phase: it.phase().name().to_owned(),
        current_stage_id: it.current_stage_id().map(ToString::to_string),
        stages: specs.zip(it.stages()).enumerate().map(stage).collect(),
        attempt: it.attempt(),
        generation: it.generation(),
        created_at: it.created_at().to_string(),
        created_by: it.created_by().to_string(),
        updated_at: it.updated_at().to_string(),
        updated_by: it.changed_by().to_string(),
        reason: it.reason().map(str::to_owned),
        warnings: it.warnings().iter().map(warning).collect(),
    }
}

fn moment(it: Option<Moment>) -> Option<String> {
    it.map(|it| it.to_string())
}

pub(crate) fn stuck(it: StuckPlan) -> WireStuck {
    WireStuck {
        plan_id: it.plan_id.to_string(),
        phase: it.phase.map(|it| it.name().to_owned()),
        current_stage_id: it.current_stage_id.map(|it| it.to_string()),
        stuck_since: it.stuck_since.to_string(),
        stuck_reason: it.stuck_reason,
        diagnosis: it.diagnosis,
        next_actions: it.next_actions,
    }
}

pub(crate) fn explanation(it: &Rollout, explanation: Explanation) -> WireExplanation {
    WireExplanation {
        plan_id: it.id().to_string(),
        phase: it.phase().name().to_owned(),
        fact: explanation.fact,
        since: explanation.since.to_string(),
        owner: explanation.owner,
        next_action: explanation.next_action,
        commands: explanation.commands,
    }
}

fn ruling(it: &Ruling) -> WireRuling {
    let verdict = match it.verdict {
        Verdict::Approved => "approved",
        Verdict::Rejected => "rejected",
    };
    WireRuling {
        verdict: verdict.to_owned(),
        by: it.actor.to_string(),
        reason: it.reason.to_string(),
        at: it.at.to_string(),
        expires_at: it.expires_at.to_string(),
        plan_digest: it.digest.to_string(),
    }
}

pub(crate) fn gate(it: GateReport, said: Option<&Ruling>) -> WireGate {
    WireGate {
        id: it.id.to_string(),
        kind: it.kind.to_owned(),
        outcome: it.outcome.name().to_owned(),
        passed: it.outcome == Outcome::Pass,
        detail: it.detail,
        ruling: said.map(ruling),
    }
}

pub(crate) fn release(it: &Release) -> PublishedRelease {
    PublishedRelease {
        id: it.asked.id.to_string(),
        channel: it.asked.channel.to_string(),
        sequence: it.sequence,
        artifact_ref: it.asked.artifact_ref.clone(),
        lock_fingerprint: it.asked.lock_fingerprint.clone(),
        policy: it.asked.policy.clone(),
        created_at: it.created_at.to_string(),
        created_by: it.created_by.to_string(),
    }
}

pub(crate) fn assigned(it: &Assignment) -> Assigned {
    Assigned {
        plan_id: it.plan_id.to_string(),
        stage_id: it.stage_id.to_string(),
        rollout_kind: kind(it.rollout_kind),
        artifact_ref: it.artifact_ref.clone(),
        target_lock_fingerprint: it.target_lock_fingerprint.clone(),
    }
}

/// A node; `release` is the one that it acknowledged.
pub(crate) fn node(
    it: &Node,
    release: Option<&Release>,
    now: Moment,
    stale_seconds: u64,
) -> FleetNode {
    FleetNode {
        node_id: it.id.to_string(),
        node_status: NodeState::of(it.last_seen, now, stale_seconds).name().to_owned(),
        channel: it.channel.to_string(),
        last_seen: moment(it.last_seen),
        release_id: it.release.as_ref().map(ToString::to_string),
        sequence: release.map(|it| it.sequence),
        policy: release.and_then(|it| it.asked.policy.clone()),
        plan_id: it.plan.as_ref().map(ToString::to_string),
        lock_fingerprint: it.lock_fingerprint.clone(),
        version: it.version.clone(),
    }
}
