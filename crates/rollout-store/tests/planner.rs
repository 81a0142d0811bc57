//! The planner: equal inputs, equal steps; the table of `promote`, row by row.
#![expect(
    clippy::unwrap_used,
    reason = "a failed unwrap is a failed test, and its text is the complaint"
)]

use proptest::prelude::*;
use rollout_store::{
    Act, Actor, Evidence, Moment, NodeId, Phase, PlanRequest, Progress, Rollout, Step, Strictness,
    evidence::Report,
    promote::{plan, plan_all},
    rollout::Stamp,
};

const NOW: Moment = Moment::from_unix_ms(1_767_323_045_000);

fn rollout(id: &str, soak: u32, deadline: u32) -> Rollout {
    let body = format!(
        r#"{{"id":"{id}","artifact_ref":"a","target_lock_fingerprint":"f","stages":[
            {{"id":"s1","percent":50,"deadline_seconds":{deadline},"gates":[
                {{"kind":"time_soak","soak_seconds":{soak}}},{{"kind":"health","max_failures":1,"min_verified_percent":50}}]}},
            {{"id":"s2","percent":100}}]}}"#
    );
    let request = PlanRequest::parse(body.as_bytes(), Strictness::Warn).unwrap();
    Rollout::begin(request, NOW, Actor::new("ann").unwrap())
}

fn stamp(now: Moment) -> Stamp {
    Stamp::new(now, Actor::new("ann").unwrap())
}

fn nodes(progress: &[Option<Progress>], at: Moment) -> Vec<(NodeId, Option<Report>)> {
    let node = |(index, progress): (usize, &Option<Progress>)| {
        let report = |progress| Report { progress, attempt: 1, at, detail: String::new() };
        (NodeId::new(&format!("n{index}")).unwrap(), progress.map(report))
    };
    progress.iter().enumerate().map(node).collect()
}

#[test]
fn each_row_of_the_table_gives_its_step() {
    let healthy = Evidence::new(nodes(&[Some(Progress::Healthy); 2], NOW.plus_seconds(60)));
    let failed = Evidence::new(nodes(&[Some(Progress::Failed); 2], NOW));
    let none = Evidence::default();
    let published = rollout("p", 60, 100);
    let active = published.act(Act::Start, &stamp(NOW)).unwrap();
    let paused = active.act(Act::Pause, &stamp(NOW)).unwrap();
    let at = |seconds| NOW.plus_seconds(seconds);
    let step = |it: &Rollout, evidence, now| plan(it, evidence, now).unwrap().map(|it| it.step);
    assert_eq!(step(&active, &healthy, NOW.minus_seconds(301)), Some(Step::Reanchor), "B");
    assert_eq!(step(&published, &healthy, at(1000)), None, "C");
    let Some(Step::Fail { because, .. }) = step(&active, &failed, at(60)) else {
        unreachable!("D")
    };
    assert!(because.starts_with("gate health: 0 of 2"), "{because}");
    let promote = step(&active, &healthy, at(60));
    assert!(matches!(promote, Some(Step::Promote { then: Some(_), .. })), "E: {promote:?}");
    assert_eq!(step(&active, &healthy, at(1000)), promote, "E stands before F");
    let Some(Step::Fail { because, .. }) = step(&active, &none, at(100)) else { unreachable!("F") };
    assert_eq!(because, "deadline passed; gate health: no node of the stage is known");
    assert_eq!(step(&active, &healthy, at(59)), None, "G");
    assert_eq!(step(&paused, &failed, at(9999)), None);
}

/// Q3, row A.
#[test]
fn a_record_that_breaks_its_invariants_is_set_aside_and_the_others_are_planned() {
    let mut rollouts: Vec<_> = (0..1000)
        .map(|it| rollout(&format!("p{it}"), 1, 100).act(Act::Start, &stamp(NOW)).unwrap())
        .collect();
    let mut broken = serde_json::to_value(&rollouts[500]).unwrap();
    broken["current"] = 9.into();
    rollouts[500] = serde_json::from_value(broken).unwrap();
    let evidence = Evidence::new(nodes(&[Some(Progress::Healthy)], NOW));
    let planned = plan_all(rollouts.iter().map(|it| (it, &evidence)), NOW.plus_seconds(1));
    assert_eq!(planned.steps.len(), 999);
    assert_eq!(planned.poisoned.len(), 1);
    assert_eq!(planned.poisoned[0].plan_id.as_str(), "p500");
    assert!(rollouts.iter().all(|it| it.phase() == Phase::Active));
}

fn progress() -> impl Strategy<Value = Option<Progress>> {
    prop::option::of(prop::sample::select(Progress::ALL.to_vec()))
}

proptest! {
    /// Q1: the order in which facts arrive does not matter either.
    #[test]
    fn equal_inputs_give_equal_steps(
        plans in prop::collection::vec((prop::collection::vec(progress(), 0..8), 1..100_u32, any::<bool>()), 1..20),
        elapsed in 0..300_u64,
    ) {
        let now = NOW.plus_seconds(elapsed);
        let build = |reverse: bool| -> Vec<(Rollout, Evidence)> {
            let one = |(index, (progress, soak, start)): (usize, &(Vec<_>, u32, bool))| {
                let mut it = rollout(&format!("p{index}"), *soak, 200);
                if *start {
                    it = it.act(Act::Start, &stamp(NOW)).unwrap();
                }
                let mut nodes = nodes(progress, NOW);
                if reverse {
                    nodes.reverse();
                }
                (it, Evidence::new(nodes))
            };
            plans.iter().enumerate().map(one).collect()
        };
        let (first, second) = (build(false), build(true));
        let planned = plan_all(first.iter().map(|it| (&it.0, &it.1)), now);
        prop_assert_eq!(&planned, &plan_all(second.iter().map(|it| (&it.0, &it.1)), now));
        // Each plan alone gives the same step as among the others.
        let alone: Vec<_> =
            first.iter().filter_map(|it| plan(&it.0, &it.1, now).unwrap()).collect();
        prop_assert_eq!(planned.steps, alone);
    }
}
