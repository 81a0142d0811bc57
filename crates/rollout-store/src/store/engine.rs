//! What a request means, once for all backends.
//!
//! # Invariants
//!
//! * **Y1** Everything is read and checked before the first row is written. A backend may show or hide
//!   the rows of the request in hand; the outcome is the same.
//! * **Y2** Equal rows, request and time give an equal outcome.

use super::{
    About, Applied, GateRuling, Order, Request, Write, WriteError, Written,
    rows::{RowError, Rows},
};
use crate::{
    evidence::{DETAIL_LEN_MAX, Progress, Report},
    gate::{APPROVAL_SECONDS_DEFAULT, APPROVAL_SECONDS_MAX, Ruling},
    idempotency::{Judgement, REMEMBERED_SECONDS, judge},
    moment::Moment,
    name::{Actor, NodeId, PlanId, Reason, ReleaseId, StageId},
    node::{Heartbeat, NODES_IN_STORE_MAX, Node, VERSION_LEN_MAX},
    phase::Phase,
    plan::{GateRule, PlanRequest},
    promote::{NotStepped, PlannedStep, execute},
    release::{NewRelease, Publication, Release, publication},
    rollout::{Rollout, Stamp},
    stage::{Act, ActRefused},
};

/// Expired keys that one request with a key clears away.
const FORGOTTEN_PER_REQUEST: u32 = 4;

/// Why a request was not applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotApplied {
    /// It was refused.
    Refused(WriteError),
    /// Rows could not be read or written.
    Row(RowError),
}

impl From<WriteError> for NotApplied {
    fn from(it: WriteError) -> Self {
        Self::Refused(it)
    }
}

impl From<RowError> for NotApplied {
    fn from(it: RowError) -> Self {
        match it {
            RowError::Unreadable { plan_id, why } => {
                Self::Refused(WriteError::Unreadable { plan_id, why })
            }
            RowError::Refused { detail } => Self::Refused(WriteError::Database { detail }),
            other => Self::Row(other),
        }
    }
}

/// Applies one request.
///
/// # Errors
///
/// [`NotApplied`]; the backend takes back what was written.
pub fn apply<R: Rows>(rows: &mut R, request: &Request, now: Moment) -> Result<Applied, NotApplied> {
    let Some(key) = &request.idempotency else {
        let written = write(rows, &request.write, now)?;
        let note = noted(rows, request, &written, now)?;
        return Ok(Applied { written, replayed: false, note });
    };
    let filed_under = key.filed_under();
    match judge(key, rows.remembered(&filed_under)?, now) {
        Judgement::Again(written) => Ok(Applied { written: *written, replayed: true, note: None }),
        Judgement::OtherContent => Err(WriteError::KeyReused.into()),
        Judgement::New => {
            let written = write(rows, &request.write, now)?;
            rows.forget(now.minus_seconds(REMEMBERED_SECONDS), FORGOTTEN_PER_REQUEST)?;
            rows.remember(&filed_under, &key.record(written.clone(), now))?;
            let note = noted(rows, request, &written, now)?;
            Ok(Applied { written, replayed: false, note })
        }
    }
}

/// B6.
fn noted<R: Rows>(
    rows: &mut R,
    request: &Request,
    written: &Written,
    now: Moment,
) -> Result<Option<u64>, NotApplied> {
    let Some(note) = &request.note else { return Ok(None) };
    Ok(Some(rows.put_note(note.as_str(), &About::of(written), now)?))
}

fn write<R: Rows>(rows: &mut R, write: &Write, now: Moment) -> Result<Written, NotApplied> {
    match write {
        Write::Create { request, by } => create(rows, request, by, now),
        Write::Transition { order, verb } => transition(rows, order, verb.act(), now),
        Write::Recover { order, strategy, stage } => {
            let rollout = ordered(rows, order)?;
            reason(order)?;
            if let Some(stage) = stage {
                at_current(&rollout, stage)?;
            }
            change(rows, &rollout, strategy.act(), &stamp(order, now))
        }
        Write::Halt { order, stage } => {
            let rollout = ordered(rows, order)?;
            reason(order)?;
            at_current(&rollout, stage)?;
            change(rows, &rollout, Act::Halt, &stamp(order, now))
        }
        Write::Rule { order, ruling } => rule(rows, order, ruling, now),
        Write::Report { plan, node, progress, detail } => {
            report(rows, (plan, node), *progress, detail, now)
        }
        Write::Step(step) => step_of(rows, step, now),
        Write::Release { release, by } => publish(rows, release, by, now),
        Write::Heartbeat(beat) => heartbeat(rows, beat, now),
        Write::Ack { node, release } => ack(rows, node, release, now),
        Write::Told { through } => {
            rows.drop_notes(*through)?;
            Ok(Written::Dropped)
        }
    }
}

fn create<R: Rows>(
    rows: &mut R,
    request: &PlanRequest,
    by: &Actor,
    now: Moment,
) -> Result<Written, NotApplied> {
    let plan = &request.plan;
    if let Some(it) = rows.rollout(plan.id())? {
        let same = it.digest() == plan.digest() && it.initial_phase() == request.initial_phase;
        let (plan_id, phase) = (plan.id().clone(), it.phase());
        return if same {
            Ok(Written::Existing(Box::new(it)))
        } else {
            Err(WriteError::Exists { plan_id, phase }.into())
        };
    }
    let mut expected = Vec::new();
    for node in plan.named_nodes() {
        if rows.node(node)?.is_none() {
            expected.push(Node::expected(node.clone(), plan.channel.clone()));
        }
    }
    room_for(rows, expected.len() as u64)?;
    let rollout = Rollout::begin(request.clone(), now, by.clone());
    rows.insert_rollout(&rollout)?;
    for node in &expected {
        rows.put_node(node)?;
    }
    Ok(Written::Created(Box::new(rollout)))
}

fn room_for<R: Rows>(rows: &R, nodes: u64) -> Result<(), NotApplied> {
    let max = NODES_IN_STORE_MAX;
    if nodes > 0 && rows.node_count()?.saturating_add(nodes) > max {
        return Err(WriteError::FleetFull { max }.into());
    }
    Ok(())
}

/// The plan of an order, at the generation that it names.
fn ordered<R: Rows>(rows: &R, order: &Order) -> Result<Rollout, NotApplied> {
    let not_found = || WriteError::NotFound { plan_id: order.plan.clone() };
    let rollout = rows.rollout(&order.plan)?.ok_or_else(not_found)?;
    match order.if_match {
        Some(expected) if expected != rollout.generation() => {
            Err(WriteError::Generation { expected, found: rollout.generation() }.into())
        }
        _ => Ok(rollout),
    }
}

fn reason(order: &Order) -> Result<&Reason, NotApplied> {
    order.reason.as_ref().ok_or_else(|| WriteError::ReasonMissing.into())
}

fn stamp(order: &Order, now: Moment) -> Stamp {
    Stamp::new(now, order.by.clone()).because(order.reason.as_ref())
}

fn at_current(rollout: &Rollout, stage: &StageId) -> Result<(), NotApplied> {
    let stage_id = || stage.clone();
    if rollout.plan().stage(stage).is_none() {
        return Err(WriteError::StageUnknown { stage: stage_id() }.into());
    }
    if rollout.current_stage_id() != Some(stage) {
        return Err(WriteError::StageNotCurrent { stage: stage_id() }.into());
    }
    Ok(())
}

fn transition<R: Rows>(
    rows: &mut R,
    order: &Order,
    act: Act,
    now: Moment,
) -> Result<Written, NotApplied> {
    let rollout = ordered(rows, order)?;
    change(rows, &rollout, act, &stamp(order, now))
}

fn change<R: Rows>(
    rows: &mut R,
    rollout: &Rollout,
    act: Act,
    stamp: &Stamp,
) -> Result<Written, NotApplied> {
    let next = rollout.act(act, stamp).map_err(WriteError::Refused)?;
    if next == *rollout {
        return Ok(Written::Unchanged(Box::new(next)));
    }
    rows.update_rollout(&next)?;
    Ok(Written::Changed(Box::new(next)))
}

fn rule<R: Rows>(
    rows: &mut R,
    order: &Order,
    ruling: &GateRuling,
    now: Moment,
) -> Result<Written, NotApplied> {
    let rollout = ordered(rows, order)?;
    let reason = reason(order)?.clone();
    let unknown = || WriteError::StageUnknown { stage: ruling.stage.clone() };
    let (index, stage) = rollout.plan().stage(&ruling.stage).ok_or_else(unknown)?;
    let gate = stage.gates.iter().find(|it| it.id == ruling.gate);
    let gate = gate.ok_or_else(|| WriteError::GateUnknown { gate: ruling.gate.clone() })?;
    if gate.rule != GateRule::Manual {
        let kind = gate.rule.kind();
        return Err(WriteError::GateNotManual { gate: ruling.gate.clone(), kind }.into());
    }
    if rollout.phase().is_terminal() {
        let refused = ActRefused::Phase { phase: rollout.phase(), act: Act::Promote };
        return Err(WriteError::Refused(refused).into());
    }
    if rollout.stages().get(index).is_some_and(|it| it.phase.is_terminal()) {
        return Err(WriteError::StageNotCurrent { stage: ruling.stage.clone() }.into());
    }
    if ruling.digest.is_some_and(|it| it != rollout.digest()) {
        return Err(WriteError::DigestMismatch.into());
    }
    let seconds = ruling.expires_after_seconds.unwrap_or(APPROVAL_SECONDS_DEFAULT);
    if seconds == 0 || seconds > APPROVAL_SECONDS_MAX {
        return Err(WriteError::Expiry { found: seconds, max: APPROVAL_SECONDS_MAX }.into());
    }
    let word = Ruling {
        verdict: ruling.verdict,
        digest: rollout.digest(),
        actor: order.by.clone(),
        reason,
        at: now,
        expires_at: now.plus_seconds(seconds),
    };
    let next = rollout.ruled(index, ruling.gate.clone(), word, &stamp(order, now));
    rows.update_rollout(&next)?;
    Ok(Written::Changed(Box::new(next)))
}

fn report<R: Rows>(
    rows: &mut R,
    (plan, node): (&PlanId, &NodeId),
    progress: Progress,
    detail: &str,
    now: Moment,
) -> Result<Written, NotApplied> {
    fits("detail", detail, DETAIL_LEN_MAX)?;
    let not_found = || WriteError::NotFound { plan_id: plan.clone() };
    let rollout = rows.rollout(plan)?.ok_or_else(not_found)?;
    if !rollout.plan().targets(node) || rollout.phase() == Phase::Draft {
        return Err(WriteError::NotTargeted { node: node.clone() }.into());
    }
    let before = rows.report(plan, node)?;
    let known = rows.node(node)?;
    room_for(rows, u64::from(known.is_none()))?;
    let acts = rollout.phase() == Phase::Published
        && rollout.stage().is_some_and(|it| it.target.contains(plan, node));
    let failed_before =
        before.is_some_and(|it| it.progress == Progress::Failed && it.attempt == rollout.attempt());
    let news = progress == Progress::Failed && !failed_before;
    if acts {
        let stamp = Stamp::new(now, Actor::node(node));
        rows.update_rollout(&rollout.act(Act::Start, &stamp).map_err(WriteError::Refused)?)?;
    } else if news && !rollout.phase().is_terminal() {
        // A step that was planned before this failure must not be executed after it.
        rows.update_rollout(&rollout.disturbed())?;
    }
    let attempt = rollout.attempt();
    rows.put_report(plan, node, &Report { progress, attempt, at: now, detail: detail.to_owned() })?;
    let new = || Node::expected(node.clone(), rollout.plan().channel.clone());
    let mut seen = known.unwrap_or_else(new);
    seen.last_seen = Some(now);
    if matches!(progress, Progress::Activated | Progress::Healthy) {
        seen.plan = Some(plan.clone());
        seen.release = None;
        seen.lock_fingerprint = Some(rollout.plan().target_lock_fingerprint.clone());
    }
    rows.put_node(&seen)?;
    Ok(Written::Reported { started: acts })
}

fn fits(field: &'static str, text: &str, max: usize) -> Result<(), NotApplied> {
    let len = text.len();
    if len > max { Err(WriteError::TooLong { field, len, max }.into()) } else { Ok(()) }
}

fn step_of<R: Rows>(
    rows: &mut R,
    planned: &PlannedStep,
    now: Moment,
) -> Result<Written, NotApplied> {
    let not_found = || WriteError::NotFound { plan_id: planned.plan_id.clone() };
    let rollout = rows.rollout(&planned.plan_id)?.ok_or_else(not_found)?;
    let (planned_for, found) = (planned.generation, rollout.generation());
    match execute(&rollout, planned, Stamp::new(now, Actor::promoter())) {
        Ok(next) => {
            rows.update_rollout(&next)?;
            completed(rows, &next, now)?;
            Ok(Written::Changed(Box::new(next)))
        }
        Err(NotStepped::Repeated) => Ok(Written::Unchanged(Box::new(rollout))),
        Err(NotStepped::Stale) => Err(WriteError::StaleStep { planned: planned_for, found }.into()),
        Err(NotStepped::Refused(it)) => Err(WriteError::Refused(it).into()),
    }
}

fn publish<R: Rows>(
    rows: &mut R,
    new: &NewRelease,
    by: &Actor,
    now: Moment,
) -> Result<Written, NotApplied> {
    let texts = [
        ("artifact_ref", Some(&new.artifact_ref)),
        ("lock_fingerprint", Some(&new.lock_fingerprint)),
        ("policy", new.policy.as_ref()),
    ];
    for (field, text) in texts {
        fits(field, text.map_or("", String::as_str), crate::plan::TEXT_LEN_MAX)?;
    }
    let same_id = rows.release(&new.id)?;
    let latest = rows.latest_sequence(&new.channel)?;
    match (publication(new, same_id.as_ref(), latest), same_id) {
        (Publication::New(sequence), _) => {
            let by = by.clone();
            let release = Release { asked: new.clone(), sequence, created_at: now, created_by: by };
            rows.insert_release(&release)?;
            Ok(Written::Released(Box::new(release)))
        }
        (Publication::Existing, Some(it)) => Ok(Written::ReleasedBefore(Box::new(it))),
        (Publication::NotBehind { latest }, _) => Err(WriteError::Sequence { latest }.into()),
        (Publication::OtherContent | Publication::Existing, _) => {
            Err(WriteError::ReleaseExists { release: new.id.clone() }.into())
        }
    }
}

/// A plan that passed the gates of every stage, the last of which is the whole channel, is what the channel runs
/// from now on: without a release, nodes that come later would be given the one before it. A stage that was
/// skipped passed no gate, so skipping publishes nothing.
fn completed<R: Rows>(rows: &mut R, next: &Rollout, now: Moment) -> Result<(), NotApplied> {
    if next.phase() != Phase::Completed {
        return Ok(());
    }
    for new in NewRelease::of_plan(next) {
        match publish(rows, &new, &Actor::promoter(), now) {
            // The name is taken by another release: the next name.
            Err(NotApplied::Refused(WriteError::ReleaseExists { .. })) => {}
            other => return other.map(drop),
        }
    }
    Ok(())
}

fn heartbeat<R: Rows>(rows: &mut R, beat: &Heartbeat, now: Moment) -> Result<Written, NotApplied> {
    for (field, text) in [("lock_fingerprint", &beat.lock_fingerprint), ("version", &beat.version)]
    {
        fits(field, text.as_deref().unwrap_or(""), VERSION_LEN_MAX)?;
    }
    let before = rows.node(&beat.node)?;
    room_for(rows, u64::from(before.is_none()))?;
    let node = Node::heard(before, beat, now);
    rows.put_node(&node)?;
    Ok(Written::Seen(Box::new(node)))
}

fn ack<R: Rows>(
    rows: &mut R,
    node: &NodeId,
    release: &ReleaseId,
    now: Moment,
) -> Result<Written, NotApplied> {
    let unknown = || WriteError::ReleaseUnknown { release: release.clone() };
    let release = rows.release(release)?.ok_or_else(unknown)?;
    let before = rows.node(node)?;
    room_for(rows, u64::from(before.is_none()))?;
    let new = || Node::expected(node.clone(), release.asked.channel.clone());
    let mut seen = before.unwrap_or_else(new);
    seen.last_seen = Some(now);
    seen.release = Some(release.asked.id.clone());
    seen.plan = None;
    seen.lock_fingerprint = Some(release.asked.lock_fingerprint.clone());
    rows.put_node(&seen)?;
    Ok(Written::Seen(Box::new(seen)))
}
