//! Gates: what they say, and what people say about them.

use api::rollout::{GateAnswer, RuleGate, StageGates};
use audit::Category;
use axum::{
    extract::{Path, Request, State},
    http::StatusCode,
    response::Response,
};
use rollout_store::{
    GateId, PlanDigest, Rollout, RolloutReader as _, StageId, Verdict, Write, WriteError,
    plan::GateRule,
    rollout::all_passed,
    store::{GateRuling, Order},
};

use super::{
    ask::{AskedWrong, BODY_LEN_MAX, Change, named, reason},
    rollouts::{changed, find, plan_id, stamped},
    view,
};
use crate::{
    rollouts::{Ask, Draft},
    server::{App, Refusal, json_response},
};

/// Reads the name of a stage in the path.
pub(crate) fn stage_id(text: &str) -> Result<StageId, AskedWrong> {
    named("the stage", text, StageId::new)
}

/// Reads the name of a stage in a body.
pub(crate) fn stage_in_body(text: &str) -> Result<StageId, AskedWrong> {
    StageId::new(text).map_err(|error| AskedWrong::Body { reason: format!("stage_id: {error}") })
}

/// Say what the gates of a stage say now.
#[utoipa::path(get, path = "/v1/rollouts/{id}/stages/{stage}/gates", tag = "gates",
    params(("id" = String, Path, description = "The plan.", example = "p1"), ("stage" = String, Path, description = "Its stage.", example = "all")),
    responses((status = 200, body = StageGates)))]
pub(crate) async fn list(
    State(app): State<App>,
    Path((id, stage)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let rollout = find(&app, plan_id(&id)?).await?;
    let stage = stage_id(&stage)?;
    let unknown = || WriteError::StageUnknown { stage: stage.clone() };
    let index = rollout.plan().stage(&stage).ok_or_else(unknown)?.0;
    let (now, copy) = (app.now(), rollout.clone());
    let evidence = app.rollouts.read(move |reader| reader.evidence(&copy, index)).await?;
    let reports = rollout.gates(index, &evidence, now);
    let spec = rollout.plan().stages.get(index).ok_or_else(unknown)?;
    let life = rollout.stages().get(index).ok_or_else(unknown)?;
    let all = all_passed(&reports);
    let is_manual =
        |id: &GateId| spec.gates.iter().any(|it| it.id == *id && it.rule == GateRule::Manual);
    let mut manual = reports.iter().filter(|it| is_manual(&it.id)).peekable();
    let manual_approved =
        manual.peek().is_some() && manual.all(|it| it.outcome == rollout_store::Outcome::Pass);
    json_response(&StageGates {
        plan_id: rollout.id().to_string(),
        plan_digest: rollout.digest().to_string(),
        stage_id: stage.to_string(),
        stage_phase: life.phase.name().to_owned(),
        gates: reports
            .into_iter()
            .map(|it| {
                let said = life.rulings.get(&it.id);
                view::gate(it, said)
            })
            .collect(),
        manual_approved,
        all_passed: all,
    })
}

/// Approve a manual gate for the content that was looked at. When every gate passes then, the stage is promoted.
#[utoipa::path(post, path = "/v1/rollouts/{id}/stages/{stage}/gates/{gate}/approve", tag = "gates",
    params(("id" = String, Path, description = "The plan.", example = "p1"), ("stage" = String, Path, description = "Its stage.", example = "all"),
           ("gate" = String, Path, description = "The gate.", example = "health")),
    request_body = RuleGate, responses((status = 200, body = GateAnswer)))]
pub(crate) async fn approve(
    State(app): State<App>,
    Path(names): Path<(String, String, String)>,
    request: Request,
) -> Result<Response, Refusal> {
    rule(app, names, request, Verdict::Approved).await
}

/// Reject a manual gate: the stage fails.
#[utoipa::path(post, path = "/v1/rollouts/{id}/stages/{stage}/gates/{gate}/reject", tag = "gates",
    params(("id" = String, Path, description = "The plan.", example = "p1"), ("stage" = String, Path, description = "Its stage.", example = "all"),
           ("gate" = String, Path, description = "The gate.", example = "health")),
    request_body = RuleGate, responses((status = 200, body = GateAnswer)))]
pub(crate) async fn reject(
    State(app): State<App>,
    Path(names): Path<(String, String, String)>,
    request: Request,
) -> Result<Response, Refusal> {
    rule(app, names, request, Verdict::Rejected).await
}

async fn rule(
    app: App,
    (id, stage, gate): (String, String, String),
    request: Request,
    verdict: Verdict,
) -> Result<Response, Refusal> {
    let (plan, stage) = (plan_id(&id)?, stage_id(&stage)?);
    let gate = named("the gate", &gate, GateId::new)?;
    let change = Change::read(&app, request, BODY_LEN_MAX).await?;
    let asked: RuleGate = change.json()?;
    let digest = asked.plan_digest.as_deref().map(digest).transpose()?;
    let why = reason(&asked.reason)?;
    let (event, action) = match verdict {
        Verdict::Approved => ("rollout.gate.approved", "approve"),
        Verdict::Rejected => ("rollout.gate.rejected", "reject"),
    };
    let resource = ("rollout_gate", plan.as_str());
    let draft = Draft::new(event, (Category::Rollout, action), resource, change.by.as_str())
        .with("gate_stage", stage.as_str())
        .with("gate", gate.as_str())
        .with("reason", why.as_str());
    let ruling = GateRuling {
        stage: stage.clone(),
        gate: gate.clone(),
        verdict,
        digest,
        expires_after_seconds: asked.expires_after_seconds,
    };
    let order = Order { plan, if_match: change.if_match, by: change.by, reason: Some(why) };
    let write = Write::Rule { order, ruling };
    let ask = Ask { write, idempotency: change.idempotency, draft: Some(draft) };
    let (ruled, replayed) = changed(app.rollouts.ask(ask).await?)?;
    let rollout = step_now(&app, *ruled.clone()).await?;
    let promoted = rollout.current() > ruled.current() || rollout.phase().is_terminal();
    let promoted = promoted && verdict == Verdict::Approved;
    let message = message(&gate, &stage, verdict, &rollout, promoted);
    let body = GateAnswer {
        approved: verdict == Verdict::Approved,
        promoted,
        message,
        rollout: view::rollout(&rollout, None),
    };
    Ok(stamped(json_response(&body)?, &rollout, StatusCode::OK, replayed))
}

fn digest(text: &str) -> Result<PlanDigest, AskedWrong> {
    let wrong = || AskedWrong::Body {
        reason: "plan_digest: not `blake3:` and 64 hexadecimal digits".to_owned(),
    };
    PlanDigest::parse(text).ok_or_else(wrong)
}

/// Moves the plan by the step that its gates allow now, as the promoter would.
async fn step_now(app: &App, ruled: Rollout) -> Result<Rollout, Refusal> {
    let (now, copy) = (app.now(), ruled.clone());
    let evidence = app.rollouts.read(move |reader| reader.evidence(&copy, copy.current())).await?;
    let Ok(Some(step)) = rollout_store::promote::plan(&ruled, &evidence, now) else {
        return Ok(ruled);
    };
    match app.rollouts.ask(crate::rollouts::step(&step)).await {
        Ok(applied) => changed(applied).map(|it| *it.0),
        // Somebody else moved it in between; what was said about the gate stands.
        Err(_) => find(app, ruled.id().clone()).await,
    }
}

fn message(
    gate: &GateId,
    stage: &StageId,
    verdict: Verdict,
    rollout: &Rollout,
    promoted: bool,
) -> String {
    match verdict {
        Verdict::Rejected => {
            format!("gate {gate} of stage {stage} rejected; the plan is {}", rollout.phase())
        }
        Verdict::Approved if promoted => {
            format!(
                "gate {gate} approved and stage {stage} promoted; the plan is {}",
                rollout.phase()
            )
        }
        Verdict::Approved => {
            let waits = match rollout.phase().name() {
                "active" => "the stage waits for its other gates",
                "published" => "the plan waits for the first report of a node",
                "paused" => "the plan is paused",
                "failed" => "the plan has failed and has to be recovered",
                _ => "the plan is no longer live",
            };
            format!("gate {gate} of stage {stage} approved; {waits}")
        }
    }
}
