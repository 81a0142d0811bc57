//! The record of a plan as a store keeps it: part of the format.
//!
//! The file in `golden` was written once. When a field is added, the old file must still be read.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use rollout_store::{
    Act, Actor, Moment, Phase, PlanRequest, Progress, Rollout, RolloutReader as _,
    RolloutStore as _, Strictness, Verdict, Write,
    rollout::Stamp,
    store::{GateRuling, Order},
};

const GOLDEN: &str = include_str!("golden/rollout-v1.json");

/// A plan in whose record every kind of field is in use.
fn rollout() -> Rollout {
    let body = br#"{"metadata":{"id":"p","labels":{"team":"arms"}},"artifact_ref":"corrupt://x",
        "target_lock_fingerprint":"f","rollout_kind":"os_reconstruction","channel":"canary","stages":[
        {"id":"a","nodes":["n1"],"gates":[{"kind":"manual","id":"m"},{"kind":"time_soak","soak_seconds":5},
            {"kind":"health","min_verified_percent":90,"max_failures":2,"window_seconds":60}]},
        {"id":"b","percent":25}]}"#;
    let mut store = rollout_store::MemoryStore::new();
    let epoch = store.acquire().unwrap();
    let now = Moment::from_unix_ms(1_767_323_045_678);
    let by = Actor::new("ann").unwrap();
    let request = Box::new(PlanRequest::parse(body, Strictness::Warn).unwrap());
    let plan = request.plan.id().clone();
    let node = rollout_store::NodeId::new("n1").unwrap();
    let reason = Some(rollout_store::Reason::new("seen").unwrap());
    let order = Order { plan: plan.clone(), if_match: None, by: by.clone(), reason };
    let ruling = GateRuling {
        stage: rollout_store::StageId::new("a").unwrap(),
        gate: rollout_store::GateId::new("m").unwrap(),
        verdict: Verdict::Approved,
        digest: None,
        expires_after_seconds: None,
    };
    let progress = Progress::Healthy;
    let report = Write::Report { plan: plan.clone(), node, progress, detail: String::new() };
    let batch = [
        Write::Create { request, by: by.clone() }.into(),
        report.into(),
        Write::Rule { order, ruling }.into(),
    ];
    assert!(store.apply(epoch, now, &batch).unwrap().iter().all(Result::is_ok));
    let later = now.plus_seconds(5);
    assert_eq!(rollout_store::promote_once(&mut store, epoch, later).unwrap().stepped, 1);
    let promoted = store.rollout(&plan).unwrap().unwrap();
    // The step stays in the record only until the next change.
    assert!(promoted.last_step().is_some());
    promoted
}

#[test]
fn a_record_is_written_as_it_was_and_read_back() {
    let rollout = rollout();
    let written = serde_json::to_string_pretty(&rollout).unwrap();
    assert_eq!(written, GOLDEN.trim_end());
    let read: Rollout = serde_json::from_str(GOLDEN).unwrap();
    assert_eq!(read, rollout);
    assert!(read.is_sound());
}

#[test]
fn a_paused_record_remembers_where_it_was() {
    let stamp = Stamp::new(Moment::from_unix_ms(1_767_323_051_000), Actor::new("bob").unwrap());
    let paused = rollout().act(Act::Pause, &stamp).unwrap();
    let body = serde_json::to_string(&paused).unwrap();
    assert!(body.contains(r#""phase":{"paused":"active"}"#), "{body}");
    let read: Rollout = serde_json::from_str(&body).unwrap();
    assert_eq!(read.act(Act::Resume, &stamp).unwrap().phase(), Phase::Active);
}
