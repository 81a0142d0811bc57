//! A plan in three stages, and a fleet of twenty, without a clock: nodes ask and report, the promoter looks, and the store
//! says at each moment why the plan does not go on.
//!
//! `cargo run -p rollout-store --example canary`
#![expect(clippy::print_stdout, reason = "an example talks to a terminal")]

use std::error::Error;

use rollout_store::{
    Actor, MemoryStore, Moment, NodeId, Phase, PlanId, PlanRequest, Progress, Request,
    RolloutReader as _, RolloutStore as _, Strictness, Write, node::Heartbeat, promote_once,
};

const PLAN: &str = r#"{"metadata":{"id":"arm-7"},"artifact_ref":"oci://registry/arm","target_lock_fingerprint":"blake3:77",
    "stages":[{"id":"canary","nodes":["robot-1"],"gates":[{"kind":"health"},{"kind":"time_soak","soak_seconds":1800}]},
              {"id":"half","percent":50,"gates":[{"kind":"health"}]},
              {"id":"all","percent":100,"gates":[{"kind":"health"}]}]}"#;
/// Nodes of the fleet.
const FLEET: u32 = 20;
/// When it begins: any moment will do, time is an argument.
const BEGIN: Moment = Moment::from_unix_ms(1_767_323_045_000);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let request = PlanRequest::parse(PLAN.as_bytes(), Strictness::Warn)?;
    for warning in &request.warnings {
        println!("accepted, with a warning: {warning:?}");
    }
    let plan = request.plan.id().clone();
    let mut store = MemoryStore::new();
    // Whoever has the newest epoch writes; an older one is refused from now on.
    let epoch = store.acquire()?;
    let mut first: Vec<Request> = Vec::new();
    for number in 1..=FLEET {
        let node = NodeId::new(&format!("robot-{number}"))?;
        let beat = Heartbeat { node, channel: None, lock_fingerprint: None, version: None };
        first.push(Write::Heartbeat(beat).into());
    }
    first.push(Write::Create { request: Box::new(request), by: Actor::new("ann")? }.into());
    for answer in store.apply(epoch, BEGIN, &first)? {
        answer?;
    }

    // Every twenty minutes nodes ask, run what they are told, and say so; then the promoter looks.
    for minute in (0..=80).step_by(20) {
        let now = BEGIN.plus_seconds(minute * 60);
        let told = reports(&store, &plan)?;
        let heard = store.apply(epoch, now, &told)?.into_iter().flatten().count();
        let stepped = promote_once(&mut store, epoch, now)?.stepped;
        println!(
            "minute {minute:>2}: {heard} nodes healthy, {stepped} steps; {}",
            why(&store, &plan, now)?
        );
    }
    let end = BEGIN.plus_seconds(3 * 3600);
    let rollout = store.rollout(&plan)?.ok_or("the plan is gone")?;
    if rollout.phase() != Phase::Completed {
        return Err(format!("the plan is {:?}", rollout.phase()).into());
    }

    let late = store.acquire()?;
    let beat = Heartbeat {
        node: NodeId::new("robot-1")?,
        channel: None,
        lock_fingerprint: None,
        version: None,
    };
    let refused = store.apply(epoch, end, &[Write::Heartbeat(beat).into()]);
    println!("after {late:?} began, {epoch:?} is told: {:?}", refused.err().ok_or("it wrote")?);
    Ok(())
}

/// What the nodes say that the plan concerns now: it is each node that asks.
fn reports(store: &MemoryStore, plan: &PlanId) -> Result<Vec<Request>> {
    let mut reports = Vec::new();
    for number in 1..=FLEET {
        let node = NodeId::new(&format!("robot-{number}"))?;
        if store.desired(&node)?.rollouts.iter().any(|it| it.plan_id == *plan) {
            let (plan, progress, detail) = (plan.clone(), Progress::Healthy, String::new());
            reports.push(Write::Report { plan, node, progress, detail }.into());
        }
    }
    Ok(reports)
}

fn why(store: &MemoryStore, plan: &PlanId, now: Moment) -> Result<String> {
    let rollout = store.rollout(plan)?.ok_or("the plan is gone")?;
    Ok(store.explain(&rollout, now)?.fact)
}
