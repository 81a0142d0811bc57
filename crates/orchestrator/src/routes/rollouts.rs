//! Plans: create, list, look at, and what operators do about them.

use api::{
    release::{FINGERPRINT_ALGORITHM, Flaw},
    rollout::{
        Because, Explanation, Halt, LIMIT_DEFAULT, LIMIT_MAX, Recover, RecoverStrategy,
        Rollout as WireRollout, RolloutList, STUCK_THRESHOLD_SECONDS_DEFAULT, StuckList,
        UnreadableRollout,
    },
};
use audit::Category;
use axum::{
    extract::{Path, Request, State},
    http::{HeaderValue, StatusCode, Uri, header},
    response::Response,
};
use rollout_store::{
    Applied, Cursor, ListQuery, Phase, PlanId, PlanRequest, Rollout, RolloutReader as _, Strategy,
    Strictness, Verb, Write, Written, plan::PLAN_LEN_MAX, store::Order, stuck::STUCK_MAX,
};

use super::{
    ask::{AskedWrong, BODY_LEN_MAX, Change, Params, named, reason},
    view,
};
use crate::{
    rollouts::{Ask, Draft},
    server::{App, Refusal, json_response},
};

/// Header of an answer that was given before.
const REPLAYED: &str = "idempotency-replayed";

/// Reads the name of a plan in the path.
pub(crate) fn plan_id(text: &str) -> Result<PlanId, AskedWrong> {
    named("the plan", text, PlanId::new)
}

/// The answer about one plan.
pub(crate) fn answer(
    rollout: &Rollout,
    status: StatusCode,
    replayed: bool,
) -> Result<Response, Refusal> {
    let response = json_response(&view::rollout(rollout, None))?;
    Ok(stamped(response, rollout, status, replayed))
}

/// Gives an answer the generation of its plan.
pub(crate) fn stamped(
    mut response: Response,
    rollout: &Rollout,
    status: StatusCode,
    replayed: bool,
) -> Response {
    *response.status_mut() = status;
    let etag = HeaderValue::from_str(&format!("\"{}\"", rollout.generation()));
    if let Ok(etag) = etag {
        response.headers_mut().insert(header::ETAG, etag);
    }
    say_replayed(&mut response, replayed);
    response
}

/// Says that an answer was given before.
pub(crate) fn say_replayed(response: &mut Response, replayed: bool) {
    if replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
}

/// The plan in a result.
pub(crate) fn changed(applied: Applied) -> Result<(Box<Rollout>, bool), Refusal> {
    let Applied { written, replayed, .. } = applied;
    match written {
        Written::Created(it)
        | Written::Existing(it)
        | Written::Changed(it)
        | Written::Unchanged(it) => Ok((it, replayed)),
        other => Err(Refusal::Internal(format!("not the result of a plan: {other:?}"))),
    }
}

/// Create a plan. The same plan again is answered with 200, another one under the same name with 409.
#[utoipa::path(post, path = "/v1/rollouts", tag = "rollouts",
    params(("strict_artifacts" = Option<bool>, Query, description = "Refuse what would be a warning.")),
    request_body = api::plan::CreatePlan,
    responses((status = 201, body = WireRollout), (status = 200, body = WireRollout)))]
pub(crate) async fn create(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    let params = Params::of(request.uri(), &["strict_artifacts"])?;
    let strict = app.limits.strict_artifacts || params.switch("strict_artifacts")?;
    let strictness = if strict { Strictness::Artifacts } else { Strictness::Warn };
    let change = Change::read(&app, request, PLAN_LEN_MAX).await?;
    let plan = PlanRequest::parse(&change.body, strictness)?;
    names_algorithm(&plan.plan.target_lock_fingerprint)?;
    let id = plan.plan.id().clone();
    let draft = Draft::new(
        "rollout.plan.created",
        (Category::Rollout, "create"),
        ("rollout_plan", id.as_str()),
        change.by.as_str(),
    )
    .with("plan_digest", plan.plan.digest().to_string());
    let write = Write::Create { request: Box::new(plan), by: change.by };
    let ask = Ask { write, idempotency: change.idempotency, draft: Some(draft) };
    let applied = app.rollouts.ask(ask).await?;
    let new = matches!(applied.written, Written::Created(_));
    let (rollout, replayed) = changed(applied)?;
    if new && !replayed {
        app.measures.plans_created.inc();
    }
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    answer(&rollout, status, replayed)
}

/// A fingerprint without its algorithm is a variable that was empty, or that of something else. One that has it, and wrong digits,
/// is stored with a warning: an operator can look at the plan, and roll it back.
fn names_algorithm(fingerprint: &str) -> Result<(), Refusal> {
    if fingerprint.starts_with(FINGERPRINT_ALGORITHM) {
        return Ok(());
    }
    let (field, found) = ("target_lock_fingerprint", fingerprint.to_owned());
    Err(Refusal::Fingerprint { field, found, flaw: Flaw::Fingerprint })
}

/// List plans, newest first.
#[utoipa::path(get, path = "/v1/rollouts", tag = "rollouts",
    params(("phase" = Option<String>, Query, description = "Only plans in this phase."),
           ("limit" = Option<u32>, Query, description = "Entries of a page.", minimum = 1),
           ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before.")),
    responses((status = 200, body = RolloutList)))]
pub(crate) async fn list(State(app): State<App>, uri: Uri) -> Result<Response, Refusal> {
    let params = Params::of(&uri, &["phase", "limit", "cursor"])?;
    let phase = |text: &str| Phase::NAMES.into_iter().find(|it| *it == text);
    let query = ListQuery {
        phase: params.read("phase", "a phase", phase)?,
        after: params
            .read("cursor", "a cursor that this service gave out", |it| it.parse().ok())?,
        limit: params.limit(LIMIT_DEFAULT, LIMIT_MAX)?,
    };
    let page = app.rollouts.read(move |reader| reader.rollouts(&query)).await?;
    let unreadable = page
        .unreadable
        .into_iter()
        .map(|it| UnreadableRollout { plan_id: it.plan_id.to_string(), why: it.why });
    json_response(&RolloutList {
        count: page.rollouts.len() as u64,
        rollouts: page.rollouts.iter().map(|it| view::rollout(it, None)).collect(),
        total: page.total,
        unreadable: unreadable.collect(),
        next_cursor: page.next.map(|it: Cursor| it.to_string()),
    })
}

/// Find plans that do not go on although they should.
#[utoipa::path(get, path = "/v1/rollouts/stuck", tag = "rollouts",
    params(("threshold_seconds" = Option<u64>, Query, description = "Age at which a plan counts as stuck."),
           ("limit" = Option<u32>, Query, description = "Entries of the answer.", minimum = 1)),
    responses((status = 200, body = StuckList)))]
pub(crate) async fn stuck(State(app): State<App>, uri: Uri) -> Result<Response, Refusal> {
    let params = Params::of(&uri, &["threshold_seconds", "limit"])?;
    let threshold = params.number("threshold_seconds")?.unwrap_or(STUCK_THRESHOLD_SECONDS_DEFAULT);
    let limit = params.limit(STUCK_MAX, STUCK_MAX)?;
    let now = app.now();
    let found = app.rollouts.read(move |reader| reader.stuck(threshold, now, limit)).await?;
    let plans: Vec<_> = found.plans.into_iter().map(view::stuck).collect();
    json_response(&StuckList {
        count: plans.len() as u64,
        stuck_plans: plans,
        threshold_seconds: threshold,
        more: found.more,
    })
}

/// Reads a plan.
pub(crate) async fn find(app: &App, id: PlanId) -> Result<Rollout, Refusal> {
    let wanted = id.clone();
    let found = app.rollouts.read(move |reader| reader.rollout(&wanted)).await?;
    found.ok_or_else(|| rollout_store::WriteError::NotFound { plan_id: id }.into())
}

/// Look at a plan, with the nodes of its stages in numbers.
#[utoipa::path(get, path = "/v1/rollouts/{id}", tag = "rollouts",
    params(("id" = String, Path, description = "The plan.", example = "p1")),
    responses((status = 200, body = WireRollout)))]
pub(crate) async fn show(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let rollout = find(&app, plan_id(&id)?).await?;
    let (now, copy) = (app.now(), rollout.clone());
    let tallies = app.rollouts.read(move |reader| reader.tallies(&copy, now)).await?;
    let response = json_response(&view::rollout(&rollout, Some(&tallies)))?;
    Ok(stamped(response, &rollout, StatusCode::OK, false))
}

/// Say what keeps a plan, whose turn it is, and the command to copy.
#[utoipa::path(get, path = "/v1/rollouts/{id}/explain", tag = "rollouts",
    params(("id" = String, Path, description = "The plan.", example = "p1")),
    responses((status = 200, body = Explanation)))]
pub(crate) async fn explain(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let rollout = find(&app, plan_id(&id)?).await?;
    let (now, copy) = (app.now(), rollout.clone());
    let explained = app.rollouts.read(move |reader| reader.explain(&copy, now)).await?;
    json_response(&view::explanation(&rollout, explained))
}

/// What the verbs of operators put on record.
const fn event_of(verb: Verb) -> (&'static str, &'static str) {
    match verb {
        Verb::Publish => ("rollout.plan.published", "publish"),
        Verb::Pause => ("rollout.plan.paused", "pause"),
        Verb::Resume => ("rollout.plan.resumed", "resume"),
        Verb::Cancel => ("rollout.plan.cancelled", "cancel"),
    }
}

async fn transition(app: App, id: &str, request: Request, verb: Verb) -> Result<Response, Refusal> {
    let plan = plan_id(id)?;
    let change = Change::read(&app, request, BODY_LEN_MAX).await?;
    let Because { reason: why } = change.optional()?;
    let why = why.as_deref().map(reason).transpose()?;
    let (event, action) = event_of(verb);
    let draft = Draft::new(
        event,
        (Category::Rollout, action),
        ("rollout_plan", plan.as_str()),
        change.by.as_str(),
    )
    .with_some("reason", why.as_ref().map(|it| it.as_str().to_owned()));
    let order = Order { plan, if_match: change.if_match, by: change.by, reason: why };
    let write = Write::Transition { order, verb };
    let ask = Ask { write, idempotency: change.idempotency, draft: Some(draft) };
    let (rollout, replayed) = changed(app.rollouts.ask(ask).await?)?;
    answer(&rollout, StatusCode::OK, replayed)
}

/// Release a draft to nodes.
#[utoipa::path(post, path = "/v1/rollouts/{id}/publish", tag = "rollouts",
    params(("id" = String, Path, description = "The plan.", example = "p1")), request_body = Option<Because>,
    responses((status = 200, body = WireRollout)))]
pub(crate) async fn publish(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    transition(app, &id, request, Verb::Publish).await
}

/// Stop a plan for a while.
#[utoipa::path(post, path = "/v1/rollouts/{id}/pause", tag = "rollouts",
    params(("id" = String, Path, description = "The plan.", example = "p1")), request_body = Option<Because>,
    responses((status = 200, body = WireRollout)))]
pub(crate) async fn pause(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    transition(app, &id, request, Verb::Pause).await
}

/// Let a paused plan go on where it was.
#[utoipa::path(post, path = "/v1/rollouts/{id}/resume", tag = "rollouts",
    params(("id" = String, Path, description = "The plan.", example = "p1")), request_body = Option<Because>,
    responses((status = 200, body = WireRollout)))]
pub(crate) async fn resume(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    transition(app, &id, request, Verb::Resume).await
}

/// Withdraw a plan for good.
#[utoipa::path(post, path = "/v1/rollouts/{id}/cancel", tag = "rollouts",
    params(("id" = String, Path, description = "The plan.", example = "p1")), request_body = Option<Because>,
    responses((status = 200, body = WireRollout)))]
pub(crate) async fn cancel(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    transition(app, &id, request, Verb::Cancel).await
}

/// Recover a plan: begin its stage again, go past its stage, or give it up.
#[utoipa::path(post, path = "/v1/rollouts/{id}/recover", tag = "rollouts",
    params(("id" = String, Path, description = "The plan.", example = "p1")), request_body = Recover,
    responses((status = 200, body = WireRollout)))]
pub(crate) async fn recover(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let plan = plan_id(&id)?;
    let change = Change::read(&app, request, BODY_LEN_MAX).await?;
    let asked: Recover = change.json()?;
    let strategy = match asked.strategy {
        RecoverStrategy::Retry => Strategy::Retry,
        RecoverStrategy::Rollback => Strategy::Rollback,
        RecoverStrategy::SkipFailed => Strategy::SkipFailed,
    };
    let why = reason(&asked.reason)?;
    let stage = asked.stage_id.as_deref().map(super::gates::stage_in_body).transpose()?;
    let draft = Draft::new(
        "rollback.executed",
        (Category::Rollback, strategy.name()),
        ("rollout_plan", plan.as_str()),
        change.by.as_str(),
    )
    .with("strategy", strategy.name())
    .with("reason", why.as_str());
    let order = Order { plan, if_match: change.if_match, by: change.by, reason: Some(why) };
    let write = Write::Recover { order, strategy, stage };
    let ask = Ask { write, idempotency: change.idempotency, draft: Some(draft) };
    let (rollout, replayed) = changed(app.rollouts.ask(ask).await?)?;
    answer(&rollout, StatusCode::OK, replayed)
}

/// Stop the current stage for good; the plan can then only be rolled back or cancelled.
#[utoipa::path(post, path = "/v1/rollouts/{id}/stages/{stage}/halt", tag = "gates",
    params(("id" = String, Path, description = "The plan.", example = "p1"), ("stage" = String, Path, description = "Its current stage.", example = "all")),
    request_body = Halt, responses((status = 200, body = WireRollout)))]
pub(crate) async fn halt(
    State(app): State<App>,
    Path((id, stage)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Refusal> {
    let plan = plan_id(&id)?;
    let stage = super::gates::stage_id(&stage)?;
    let change = Change::read(&app, request, BODY_LEN_MAX).await?;
    let Halt { reason: why } = change.json()?;
    let why = reason(&why)?;
    let draft = Draft::new(
        "rollout.stage.halted",
        (Category::Rollout, "halt"),
        ("rollout_stage", plan.as_str()),
        change.by.as_str(),
    )
    .with("halted_stage", stage.as_str())
    .with("reason", why.as_str());
    let order = Order { plan, if_match: change.if_match, by: change.by, reason: Some(why) };
    let ask = Ask {
        write: Write::Halt { order, stage },
        idempotency: change.idempotency,
        draft: Some(draft),
    };
    let (rollout, replayed) = changed(app.rollouts.ask(ask).await?)?;
    answer(&rollout, StatusCode::OK, replayed)
}
