use super::*;
use crate::{budget::Budget, gate::Word, resume::ResumeRequest, state::NewGoal};

fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

fn goal(budget: Budget) -> Goal {
    Goal::new(NewGoal { goal_id: "g".to_owned(), budget, ..NewGoal::default() }, now())
}

fn decide(goal: &mut Goal, decision: Decision) -> Result<Evaluated, EvalError> {
    goal.eval(EvalRequest { decision, ..EvalRequest::default() }, &[], now())
}

fn seen(resolved: bool) -> [Seen; 1] {
    [Seen { name: "t".to_owned(), state: "running".to_owned(), resolved }]
}

/// FM-7a, FM-7c, FM-7d, FM-7e
#[test]
fn over_budget_a_human_decides_and_the_history_has_no_entry() {
    let mut goal = goal(Budget { max_iterations: Some(2), ..Budget::default() });
    decide(&mut goal, Decision::Continue).unwrap();
    let last = decide(&mut goal, Decision::Continue).unwrap();
    assert!(last.warnings.iter().any(|it| it.contains("last iteration")), "{last:?}");
    let entries = goal.eval_history().unwrap().len();
    for _ in 0..2 {
        // What is not finished does not hide that the budget is spent.
        let over = goal.eval(EvalRequest::default(), &seen(false), now()).unwrap();
        assert_eq!(over.recorded.outcome, Outcome::Escalated);
        assert_eq!(goal.needs_human_reason(), Some("over_budget:iterations"));
        assert_eq!((goal.status(), goal.iteration()), (Status::NeedsHuman, 3));
        assert_eq!(goal.eval_history().unwrap().len(), entries);
        assert_eq!(decide(&mut goal, Decision::Abandon).unwrap_err().code(), "GOAL_STATUS");
        goal.resume(ResumeRequest::default(), &[], now()).unwrap();
        assert_eq!(goal.needs_human_reason(), None);
    }
    let forced = EvalRequest { force_over_budget: true, ..EvalRequest::default() };
    let done = goal.eval(forced, &[], now()).unwrap();
    assert!(done.warnings.iter().any(|it| it.starts_with("WARNING: over budget")), "{done:?}");
    assert_eq!((goal.status(), goal.iteration()), (Status::Active, 4));
    goal.set_budget(Budget { max_iterations: Some(10), ..Budget::default() }, now());
    decide(&mut goal, Decision::Continue).unwrap();
    assert_eq!(goal.iteration(), 5);
    goal.set_budget(Budget { max_iterations: Some(1), ..Budget::default() }, now());
    decide(&mut goal, Decision::Abandon).unwrap();
    assert_eq!(goal.status(), Status::Abandoned);
}

/// FM-4, FM-5a, E1
#[test]
fn what_is_not_finished_is_named_and_only_pause_and_abandon_do_not_ask() {
    let mut goal = goal(Budget::default());
    goal.say("G1", Word::Add { description: "" }, None, now()).unwrap();
    let before = goal.to_text().unwrap();
    for decision in [Decision::Continue, Decision::Complete] {
        let request = EvalRequest { decision, ..EvalRequest::default() };
        let error = goal.eval(request, &seen(false), now()).unwrap_err();
        assert_eq!(error.to_string(), "iteration 1 is not finished: t (running)");
        assert_eq!(goal.to_text().unwrap(), before);
    }
    let request = EvalRequest {
        decision: Decision::Pause,
        notes: "quota; cooldown",
        ..EvalRequest::default()
    };
    goal.eval(request, &seen(false), now()).unwrap();
    assert_eq!((goal.status(), goal.iteration()), (Status::Paused, 1));
    assert_eq!(goal.pause_reason(), Some("eval:quota; cooldown"));
    assert_eq!(goal.eval_history().unwrap().len(), 1);
    let blocked = goal.eval(EvalRequest::default(), &seen(true), now()).unwrap();
    assert_eq!((blocked.recorded.outcome, goal.status()), (Outcome::Blocked, Status::AwaitingGate));
    let entry = goal.eval_history().unwrap().pop().unwrap().get().to_owned();
    assert!(entry.contains("\"blocked_by_gates\":[\"G1\"]"), "{entry}");
}

#[test]
fn completing_with_doubts_warns_and_completes() {
    let mut goal = goal(Budget::default());
    goal.say("G1", Word::Fail, None, now()).unwrap();
    let criterion =
        crate::criteria::Criterion { description: "x".to_owned(), ..Default::default() };
    goal.add_criterion(criterion, now()).unwrap();
    let done = decide(&mut goal, Decision::Complete).unwrap();
    assert_eq!(done.warnings, ["WARNING: gate G1 failed", "WARNING: criterion sc-1 is unverified"]);
    assert_eq!(goal.status(), Status::Completed);
    for decision in Decision::ALL {
        assert_eq!(decide(&mut goal, decision).unwrap_err().code(), "GOAL_STATUS");
    }
}

/// E2
#[test]
fn an_anchor_moves_a_goal_once_and_who_asks_again_is_told_what_happened() {
    let mut goal = goal(Budget::default());
    let anchor = goal.anchor();
    assert!(anchor.starts_with("1:active:1:"), "{anchor}");
    assert_ne!(anchor, Goal::new(NewGoal::default(), now()).anchor(), "no anchor of another goal");
    let request = EvalRequest { if_anchor: Some(&anchor), ..EvalRequest::default() };
    let first = goal.eval(request, &[], now()).unwrap();
    assert!(!first.replayed);
    let text = goal.to_text().unwrap();
    let again = goal.eval(request, &seen(false), now()).unwrap();
    assert!(again.replayed);
    assert_eq!((again.recorded, again.anchor), (first.recorded, first.anchor));
    let other = EvalRequest { decision: Decision::Complete, ..request };
    assert_eq!(goal.eval(other, &[], now()).unwrap_err().code(), "GOAL_ANCHOR_SPENT");
    let stale = EvalRequest { if_anchor: Some("9:active:1"), ..EvalRequest::default() };
    assert_eq!(goal.eval(stale, &[], now()).unwrap_err().code(), "GOAL_ANCHOR_STALE");
    assert_eq!(goal.to_text().unwrap(), text);
    // Also after a gate or a budget stopped it, and after a restart.
    let mut goal = Goal::parse(text.as_bytes()).unwrap();
    assert!(goal.eval(request, &[], now()).unwrap().replayed);
    for _ in 0..OUTCOMES_MAX {
        decide(&mut goal, Decision::Continue).unwrap();
    }
    assert_eq!(goal.outcomes().len(), OUTCOMES_MAX);
    assert_eq!(goal.eval(request, &[], now()).unwrap_err().code(), "GOAL_ANCHOR_STALE");
}

#[test]
fn a_goal_that_demands_it_waits_for_a_verification_after_its_workspace_changed() {
    let new = NewGoal { require_reverify: true, ..NewGoal::default() };
    let mut goal = Goal::new(new, now());
    goal.workspace_changed("2 files changed");
    let error = decide(&mut goal, Decision::Continue).unwrap_err();
    assert_eq!(error.code(), "GOAL_REVERIFY_NEEDED");
    goal.reverified(now());
    decide(&mut goal, Decision::Continue).unwrap();
    let mut lax = Goal::new(NewGoal::default(), now());
    lax.workspace_changed("2 files changed");
    decide(&mut lax, Decision::Continue).unwrap();
}
