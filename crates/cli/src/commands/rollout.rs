//! `autonomy rollout`: plans and their life.

mod create;
mod gate;
mod text;

use api::{
    exit::Exit,
    rollout::{Because, Explanation, Halt, Recover, Rollout as Plan, RolloutList, StuckList},
};

use crate::{
    args::{
        PlanList, PlanTurn, Rollout, RolloutHalt, RolloutPlan, RolloutRecover, RolloutShow,
        RolloutStuck,
    },
    commands::{note, tell},
    context::Context,
    control::{ControlPlane, Page, Route, follow},
    failure::Failure,
};

pub(crate) fn run(command: Rollout, context: Context<'_>) -> Result<Exit, Failure> {
    match command {
        Rollout::Plan(command) => plan(command, context),
        Rollout::Gate(command) => gate::run(&command, context),
        Rollout::Recover(args) => recover(args, context),
        Rollout::Halt(args) => halt(args, context),
        Rollout::Explain(args) => explain(&args, context),
        Rollout::Stuck(args) => stuck(&args, context),
    }
}

fn plan(command: RolloutPlan, context: Context<'_>) -> Result<Exit, Failure> {
    match command {
        RolloutPlan::Create(args) => create::run(*args, context),
        RolloutPlan::List(args) => list(&args, context),
        RolloutPlan::Describe(args) => describe(&args, context),
        RolloutPlan::Publish(args) => turn(args, "publish", context),
        RolloutPlan::Pause(args) => turn(args, "pause", context),
        RolloutPlan::Resume(args) => turn(args, "resume", context),
        RolloutPlan::Cancel(args) => turn(args, "cancel", context),
    }
}

/// The route of one plan.
pub(super) fn route(plan: &str) -> Route {
    Route::new("rollouts").at(plan)
}

fn list(args: &PlanList, context: Context<'_>) -> Result<Exit, Failure> {
    let plane = ControlPlane::new(&args.control, context)?;
    let limit = if args.all { usize::MAX } else { args.limit as usize };
    let (mut total, mut unreadable) = (0, Vec::new());
    let (rollouts, more) = follow(limit, |size, cursor| {
        let route = Route::new("rollouts").with("limit", size);
        let route = route.maybe("phase", args.phase.as_ref()).maybe("cursor", cursor);
        let page: RolloutList = plane.get(&route)?;
        total = page.total;
        unreadable.extend(page.unreadable);
        Ok(Page { items: page.rollouts, next_cursor: page.next_cursor })
    })?;
    let count = rollouts.len() as u64;
    let list = RolloutList { rollouts, count, total, unreadable, next_cursor: None };
    tell(&list, args.control.format(), text::list)?;
    for it in &list.unreadable {
        note(&format!("the record of plan {} cannot be read: {}", it.plan_id, it.why));
    }
    if more {
        note(&format!("{count} of {total} plans are listed: pass --all, or a larger --limit"));
    }
    Ok(Exit::Done)
}

fn describe(args: &RolloutShow, context: Context<'_>) -> Result<Exit, Failure> {
    let plane = ControlPlane::new(&args.control, context)?;
    let plan: Plan = plane.get(&route(args.plan.id())).map_err(known_plans)?;
    tell(&plan, args.control.format(), text::plan)?;
    Ok(Exit::Done)
}

fn turn(args: PlanTurn, verb: &str, context: Context<'_>) -> Result<Exit, Failure> {
    let plane = ControlPlane::new(&args.control, context)?;
    let because = Because { reason: args.reason };
    let route = route(args.plan.id()).at(verb);
    let changed = plane.change::<Plan>(&route, &because, args.if_match).map_err(known_plans)?;
    tell(&changed.value, args.control.format(), text::brief)?;
    Ok(Exit::Done)
}

fn recover(args: RolloutRecover, context: Context<'_>) -> Result<Exit, Failure> {
    let plane = ControlPlane::new(&args.control, context)?;
    let body =
        Recover { strategy: args.strategy.into(), reason: args.reason, stage_id: args.stage };
    let route = route(args.plan.id()).at("recover");
    let changed = plane.change::<Plan>(&route, &body, args.if_match).map_err(known_plans)?;
    tell(&changed.value, args.control.format(), text::brief)?;
    Ok(Exit::Done)
}

fn halt(args: RolloutHalt, context: Context<'_>) -> Result<Exit, Failure> {
    let plane = ControlPlane::new(&args.control, context)?;
    let route = route(args.plan.id()).at("stages").at(args.stage.id()).at("halt");
    let body = Halt { reason: args.reason };
    let changed = plane.change::<Plan>(&route, &body, args.if_match).map_err(known_plans)?;
    tell(&changed.value, args.control.format(), text::brief)?;
    Ok(Exit::Done)
}

fn explain(args: &RolloutShow, context: Context<'_>) -> Result<Exit, Failure> {
    let plane = ControlPlane::new(&args.control, context)?;
    let route = route(args.plan.id()).at("explain");
    let explanation: Explanation = plane.get(&route).map_err(known_plans)?;
    tell(&explanation, args.control.format(), text::explanation)?;
    Ok(Exit::Done)
}

fn stuck(args: &RolloutStuck, context: Context<'_>) -> Result<Exit, Failure> {
    let plane = ControlPlane::new(&args.control, context)?;
    let list: StuckList = plane.get(&stuck_route(args.threshold, args.limit))?;
    tell(&list, args.control.format(), text::stuck)?;
    if list.more {
        note(&format!("the {} longest quiet are listed: there are more", list.count));
    }
    Ok(Exit::Done)
}

/// The route of a scan.
pub(super) fn stuck_route(threshold_seconds: u64, limit: u32) -> Route {
    let route = Route::new("rollouts").at("stuck");
    route.with("threshold_seconds", threshold_seconds).with("limit", limit)
}

/// Says where plans are named, when one is not found.
pub(super) fn known_plans(mut failure: Failure) -> Failure {
    if failure.exit == Exit::NotFound && failure.hint.is_none() {
        failure.hint = Some("see what there is: autonomy rollout plan list --all, autonomy rollout plan describe PLAN".to_owned());
    }
    failure
}

#[cfg(test)]
mod tests;
