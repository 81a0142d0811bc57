use std::{cell::RefCell, collections::BTreeMap};

use proptest::prelude::*;
use serde_json::{Value, json};
use vfs::{CrashPolicy, Fault, FaultPlan, MemVfs, replace};
use wal_format::step::sha256;
use wal_recovery::steps::fold;

use super::*;
use crate::{ABSENT, Call, Called, PidLock, Plan, Unreachable};

const DIR: &str = "/steps";

/// What a call does instead of answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mishap {
    None,
    LostBefore,
    LostAfter,
    Denied,
}

/// A runtime whose tools write files, and which remembers under which key.
#[derive(Debug)]
struct FakeTools {
    world: MemVfs,
    /// How often each key had its effect.
    effects: RefCell<BTreeMap<String, u32>>,
    keys_of: RefCell<BTreeMap<String, Vec<String>>>,
    mishaps: RefCell<Vec<Mishap>>,
    up: bool,
}

impl FakeTools {
    fn new(mishaps: Vec<Mishap>) -> Self {
        Self {
            world: MemVfs::default(),
            effects: RefCell::default(),
            keys_of: RefCell::default(),
            mishaps: RefCell::new(mishaps),
            up: true,
        }
    }

    fn effects(&self) -> u32 {
        self.effects.borrow().values().sum()
    }
}

impl Tools for FakeTools {
    fn ready(&self) -> Result<(), Unreachable> {
        if self.up { Ok(()) } else { Err(Unreachable { why: "down".to_owned() }) }
    }

    fn at_rest(&self, _since: Timestamp) -> Result<bool, Unreachable> {
        Ok(true)
    }

    fn call(&self, call: &Call<'_>) -> Called {
        let mishap = self.mishaps.borrow_mut().pop().unwrap_or(Mishap::None);
        let mut keys = self.keys_of.borrow_mut();
        keys.entry(call.step_id.to_owned()).or_default().push(call.idem_key.to_owned());
        match mishap {
            Mishap::Denied => {
                return Called::Denied {
                    code: "policy_denied".to_owned(),
                    reason: "no".to_owned(),
                };
            }
            Mishap::LostBefore => return Called::Lost { why: "cut".to_owned() },
            Mishap::None | Mishap::LostAfter => {}
        }
        *self.effects.borrow_mut().entry(call.idem_key.to_owned()).or_default() += 1;
        if let Some(file) = call.params.get("file").and_then(Value::as_str) {
            replace(&self.world, Path::new(file), file.as_bytes()).unwrap();
        }
        match mishap {
            Mishap::LostAfter => Called::Lost { why: "cut".to_owned() },
            _ => Called::Done { output: json!({ "ok": 0.5 }) },
        }
    }
}

fn clock() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

fn run(vfs: &MemVfs, tools: &FakeTools, mandate: &Mandate) -> Result<Ran, RunError> {
    run_until(vfs, tools, mandate, &|| false)
}

fn run_until(
    vfs: &MemVfs,
    tools: &FakeTools,
    mandate: &Mandate,
    stop: &dyn Fn() -> bool,
) -> Result<Ran, RunError> {
    runner(vfs, tools, stop, &|| {}).run(mandate)
}

fn runner<'a>(
    vfs: &'a MemVfs,
    tools: &'a FakeTools,
    stop: &'a dyn Fn() -> bool,
    began: &'a dyn Fn(),
) -> Runner<'a> {
    Runner {
        vfs,
        world: &tools.world,
        dir: Path::new(DIR),
        pid: 1,
        tools,
        clock: &clock,
        stop,
        began,
        say: &|_| {},
        rest_wait_max: Duration::ZERO,
        archive: false,
    }
}

fn mandate(effects: &[&str]) -> Mandate {
    let steps: Vec<Value> = effects
        .iter()
        .enumerate()
        .map(|(at, effect)| {
            let file = format!("/w{at}");
            let confirm = (*effect == "confirmable").then(|| {
                json!({"file": file, "before": ABSENT, "after": sha256(file.as_bytes())})
            });
            let params = if confirm.is_some() { json!({ "file": file }) } else { json!({}) };
            json!({"id": format!("s{at}"), "tool": "t", "params": params, "effect": effect, "confirm": confirm})
        })
        .collect();
    let file = json!({"version": 1, "name": "n", "steps": steps});
    Plan::parse(file.to_string().as_bytes()).unwrap().mandate(None).unwrap()
}

fn bytes(vfs: &MemVfs, mandate: &Mandate) -> Vec<u8> {
    let path = log_path(Path::new(DIR), &mandate.id).unwrap();
    vfs::read_whole(vfs, &path, 1 << 20).unwrap().unwrap_or_default()
}

fn succeeded(already: bool) -> Ended {
    Ended::Finished { status: FinalizeStatus::Succeeded, already }
}

#[test]
fn a_plan_runs_once_and_a_second_run_does_nothing() {
    let (vfs, tools) = (MemVfs::default(), FakeTools::new(vec![]));
    let mandate = mandate(&["confirmable", "none", "opaque"]);
    let ran = run(&vfs, &tools, &mandate).unwrap();
    assert_eq!((ran.ended, ran.calls, tools.effects()), (succeeded(false), 3, 3));
    let before = bytes(&vfs, &mandate);
    let ran = run(&vfs, &tools, &mandate).unwrap();
    assert_eq!((ran.ended, ran.calls, tools.effects()), (succeeded(true), 0, 3));
    assert_eq!(bytes(&vfs, &mandate), before);
}

#[test]
fn a_run_begins_when_it_has_the_place_and_not_before() {
    let (vfs, tools) = (MemVfs::default(), FakeTools::new(vec![]));
    let mandate = mandate(&["none"]);
    let count = std::cell::Cell::new(0);
    let began = || count.set(count.get() + 1);
    let place = PidLock::take(&vfs, Path::new(DIR), 7).unwrap();
    let refused = runner(&vfs, &tools, &|| false, &began).run(&mandate).unwrap_err();
    assert_eq!((refused.code(), count.get()), ("DAEMON_LOCKED", 0));
    drop(place);
    runner(&vfs, &tools, &|| false, &began).run(&mandate).unwrap();
    assert_eq!(count.get(), 1);
}

#[test]
fn a_denied_step_ends_its_plan_and_what_follows_never_begins() {
    let (vfs, tools) = (MemVfs::default(), FakeTools::new(vec![Mishap::Denied]));
    let ran = run(&vfs, &tools, &mandate(&["opaque", "opaque"])).unwrap();
    let failed = Ended::Finished { status: FinalizeStatus::Failed, already: false };
    assert_eq!((ran.ended, tools.effects(), ran.calls), (failed, 0, 1));
    let [first, second] = ran.plans.all()[0].steps.as_slice() else { panic!() };
    assert_eq!(first.error_class.as_deref(), Some("policy_denied"));
    assert_eq!(second.status, None);
}

#[test]
fn a_lost_answer_is_settled_by_the_world_by_the_declaration_or_by_a_human() {
    for (effect, mishap, want_ended, want_effects) in [
        ("confirmable", Mishap::LostBefore, Some(succeeded(false)), 1),
        ("confirmable", Mishap::LostAfter, Some(succeeded(false)), 1),
        ("none", Mishap::LostAfter, Some(succeeded(false)), 2),
        ("opaque", Mishap::LostBefore, None, 0),
        ("opaque", Mishap::LostAfter, None, 1),
    ] {
        let (vfs, tools) = (MemVfs::default(), FakeTools::new(vec![mishap]));
        let mandate = mandate(&[effect]);
        let error = run(&vfs, &tools, &mandate).unwrap_err();
        assert_eq!(error.code(), "STEP_OUTCOME_UNKNOWN");
        let ran = run(&vfs, &tools, &mandate).unwrap();
        assert_eq!(ran.recovery.reset_count, 1);
        match want_ended {
            Some(want) => assert_eq!(ran.ended, want, "{effect} {mishap:?}"),
            None => assert!(matches!(ran.ended, Ended::NeedsHuman { .. }), "{:?}", ran.ended),
        }
        assert_eq!(tools.effects(), want_effects, "{effect} {mishap:?}");
        let keys = tools.keys_of.borrow();
        assert!(keys["s0"].iter().all(|it| *it == keys["s0"][0]), "{keys:?}");
    }
}

#[test]
fn a_runtime_that_is_down_costs_nothing() {
    let vfs = MemVfs::default();
    let tools = FakeTools { up: false, ..FakeTools::new(vec![]) };
    let mandate = mandate(&["opaque"]);
    let error = run(&vfs, &tools, &mandate).unwrap_err();
    assert_eq!(error.code(), "RUNTIME_UNREACHABLE");
    let tools = FakeTools::new(vec![]);
    let ran = run(&vfs, &tools, &mandate).unwrap();
    assert_eq!((ran.recovery.reset_count, ran.ended, tools.effects()), (0, succeeded(false), 1));
}

#[test]
fn who_asks_for_the_end_gets_it_between_two_steps() {
    let (vfs, tools) = (MemVfs::default(), FakeTools::new(vec![]));
    let mandate = mandate(&["opaque", "opaque"]);
    let ran = run_until(&vfs, &tools, &mandate, &|| tools.effects() == 1).unwrap();
    assert_eq!(ran.ended, Ended::Interrupted { step_id: "s1".to_owned() });
    let ran = run(&vfs, &tools, &mandate).unwrap();
    assert_eq!((ran.ended, ran.recovery.reset_count, tools.effects()), (succeeded(false), 0, 2));
}

#[test]
fn a_tool_that_says_it_is_done_and_is_not_needs_a_human() {
    let (vfs, tools) = (MemVfs::default(), FakeTools::new(vec![]));
    let confirm = json!({"file": "/other", "before": ABSENT, "after": sha256(b"x")});
    let step = json!({"id": "a", "tool": "t", "effect": "confirmable", "confirm": confirm});
    let file = json!({"version": 1, "name": "n", "steps": [step]});
    let mandate = Plan::parse(file.to_string().as_bytes()).unwrap().mandate(None).unwrap();
    let ran = run(&vfs, &tools, &mandate).unwrap();
    assert!(
        matches!(&ran.ended, Ended::NeedsHuman { reason, .. } if reason.contains("not the one"))
    );
    // The world is as expected later on: nobody has to attest it.
    replace(&tools.world, Path::new("/other"), b"x").unwrap();
    let ran = run(&vfs, &tools, &mandate).unwrap();
    assert_eq!((ran.ended, ran.confirmed, tools.effects()), (succeeded(false), 1, 1));
}

#[test]
fn a_world_that_is_as_it_was_before_says_that_nothing_happened() {
    let (vfs, tools) = (MemVfs::default(), FakeTools::new(Vec::new()));
    let confirm = json!({"file": "/never", "before": ABSENT});
    let step = json!({"id": "a", "tool": "t", "effect": "confirmable", "confirm": confirm});
    let file = json!({"version": 1, "name": "n", "steps": [step]}).to_string();
    let mandate = Plan::parse(file.as_bytes()).unwrap().mandate(None).unwrap();
    let ran = run(&vfs, &tools, &mandate).unwrap();
    assert!(matches!(ran.ended, Ended::NeedsHuman { .. }), "{:?}", ran.ended);
    assert_eq!(tools.effects(), 1);
}

#[test]
fn what_the_world_shows_already_is_not_done_again() {
    let (vfs, tools) = (MemVfs::default(), FakeTools::new(vec![]));
    replace(&tools.world, Path::new("/w0"), b"/w0").unwrap();
    let ran = run(&vfs, &tools, &mandate(&["confirmable"])).unwrap();
    assert_eq!((ran.ended, ran.calls, ran.confirmed), (succeeded(false), 0, 1));
}

#[test]
fn orphans_are_marked_and_never_executed() {
    let (vfs, tools) = (MemVfs::default(), FakeTools::new(vec![]));
    let mandate = mandate(&["none"]);
    vfs.create_dir_all(Path::new(DIR)).unwrap();
    let path = log_path(Path::new(DIR), &mandate.id).unwrap();
    let orphan = "{\"op\":\"append\",\"step_id\":\"s\",\"plan_id\":\"p\",\"idem_key\":\"k\",\"status\":\"pending\"}\n";
    replace(&vfs, &path, orphan.as_bytes()).unwrap();
    for _ in 0..2 {
        let ran = run(&vfs, &tools, &mandate).unwrap();
        assert_eq!(ran.ended, Ended::Orphaned { plans: vec!["p".to_owned()] });
        assert_eq!((ran.recovery.orphan_plans, tools.effects()), (1, 0));
        assert_eq!(ran.plans.all()[0].steps[0].status, Some(StepStatus::NeedsReview));
    }
}

#[test]
fn a_log_that_does_not_hold_is_not_run_and_not_changed() {
    let (vfs, tools) = (MemVfs::default(), FakeTools::new(vec![]));
    let mandate = mandate(&["none"]);
    vfs.create_dir_all(Path::new(DIR)).unwrap();
    let path = log_path(Path::new(DIR), &mandate.id).unwrap();
    replace(&vfs, &path, b"{}garbage\n{}\n").unwrap();
    let error = run(&vfs, &tools, &mandate).unwrap_err();
    assert_eq!((error.code(), tools.effects()), ("STEPS_CORRUPT", 0));
    assert_eq!(bytes(&vfs, &mandate), b"{}garbage\n{}\n");
}

#[test]
fn a_second_daemon_changes_no_byte() {
    let (vfs, tools) = (MemVfs::default(), FakeTools::new(vec![]));
    let _first = PidLock::take(&vfs, Path::new(DIR), 7).unwrap();
    let error = run(&vfs, &tools, &mandate(&["none"])).unwrap_err();
    assert!(error.to_string().ends_with("held by pid 7"), "{error}");
    assert!(vfs.list(Path::new(DIR)).unwrap().iter().all(|it| it == "run"));
}

#[test]
fn a_later_cycle_waits_for_the_one_before() {
    let (vfs, tools) = (MemVfs::default(), FakeTools::new(vec![Mishap::LostAfter]));
    let cycle = |number: u64| {
        let step = json!({"id": "a", "tool": "t", "effect": "opaque"});
        let file = json!({"version": 1, "name": "n", "cycle": number, "fired_at": "2026-01-02T03:04:05Z", "steps": [step]});
        Plan::parse(file.to_string().as_bytes()).unwrap().mandate(None).unwrap()
    };
    run(&vfs, &tools, &cycle(1)).unwrap_err();
    assert_eq!(cycle(1).id, cycle(2).id);
    let error = run(&vfs, &tools, &cycle(2)).unwrap_err();
    assert_eq!(error.code(), "PLAN_OPEN");
    assert_eq!(tools.effects(), 1);
}

#[test]
fn an_append_that_fails_is_followed_by_no_call() {
    let mandate = mandate(&["opaque"]);
    let clean = MemVfs::default();
    run(&clean, &FakeTools::new(vec![]), &mandate).unwrap();
    let mut stopped = 0;
    for step in 0..clean.steps() {
        let vfs = MemVfs::new(FaultPlan::new(move |at, _| (at == step).then_some(Fault::Enospc)));
        let tools = FakeTools::new(vec![]);
        let Err(error) = run(&vfs, &tools, &mandate) else { continue };
        stopped += 1;
        let executing = String::from_utf8_lossy(&bytes(&vfs, &mandate)).contains("\"executing\"");
        assert!(tools.effects() == 0 || executing, "step {step}: {error}");
    }
    assert!(stopped > 5, "only {stopped}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// The process or the power goes at any operation, answers are lost, and the plan is run again until it
    /// has ended or a human is needed.
    #[test]
    fn each_effect_happens_at_most_once_and_none_is_silently_dropped(
        effects in prop::collection::vec(
            prop_oneof![Just("confirmable"), Just("confirmable"), Just("opaque"), Just("none")], 1..5),
        kills in prop::collection::vec((0u64..90, any::<bool>(), any::<u64>()), 0..4),
        mishaps in prop::collection::vec(
            prop_oneof![Just(Mishap::None), Just(Mishap::LostBefore), Just(Mishap::LostAfter)], 0..4),
    ) {
        let vfs = MemVfs::default();
        let tools = FakeTools::new(mishaps);
        let mandate = mandate(&effects);
        for (at, power, seed) in kills {
            vfs.set_plan(FaultPlan::crash_at(at));
            run(&vfs, &tools, &mandate).ok();
            if power {
                vfs.power_loss(CrashPolicy::Random(seed));
            } else {
                vfs.process_kill();
            }
        }
        vfs.set_plan(FaultPlan::none());
        let mut ended = None;
        for _ in 0..10 {
            match run(&vfs, &tools, &mandate) {
                Ok(ran) => { ended = Some(ran); break; }
                Err(error) => prop_assert_eq!(error.code(), "STEP_OUTCOME_UNKNOWN"),
            }
        }
        let ended = ended.unwrap();
        let counts = tools.effects.borrow();
        let keys = tools.keys_of.borrow();
        let steps = &ended.plans.all()[0].steps;
        for (step, effect) in steps.iter().zip(&effects) {
            let key = mandate.idem_key(&step.planned);
            let times = counts.get(&key).copied().unwrap_or_default();
            prop_assert!(times <= 1 || *effect == "none", "{} {} times", key, times);
            let used = keys.get(step.step_id()).into_iter().flatten();
            prop_assert!(used.clone().all(|it| *it == key), "another key");
            if step.status == Some(StepStatus::Completed) {
                prop_assert!(times >= 1, "{} is said to be done and never was", key);
            }
        }
        match &ended.ended {
            Ended::Finished { status, .. } => {
                prop_assert_eq!(*status, FinalizeStatus::Succeeded);
                prop_assert!(steps.iter().all(|it| it.status == Some(StepStatus::Completed)));
            }
            // Only what nobody can see waits for a human.
            Ended::NeedsHuman { step_id, .. } => {
                let at = steps.iter().position(|it| it.step_id() == step_id).unwrap();
                prop_assert_eq!(effects[at], "opaque");
            }
            other => prop_assert!(false, "{:?}", other),
        }
        let found = fold(&bytes(&vfs, &mandate));
        prop_assert!(found.counts.irregular == 0 && found.counts.corrupt == 0);
    }
}
