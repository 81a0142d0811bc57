use super::*;
use crate::{
    eval::{Decision, EvalRequest},
    gate::Word,
    state::NewGoal,
};

fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

fn linked(name: &str, goal_iteration: u64, resettable: bool) -> Linked {
    Linked { name: name.to_owned(), resettable, goal_iteration: Some(goal_iteration) }
}

fn fourth() -> Goal {
    let mut goal = Goal::new(NewGoal::default(), now());
    for _ in 0..3 {
        goal.eval(EvalRequest::default(), &[], now()).unwrap();
    }
    goal
}

/// G-rewind, R2, R3
#[test]
fn going_back_opens_the_iterations_from_there_on_and_no_other() {
    let mut goal = fourth();
    let before = goal.to_text().unwrap();
    for given in [0, 5] {
        let request = ResumeRequest { from_iteration: Some(given), ..ResumeRequest::default() };
        let error = goal.resume(request, &[], now()).unwrap_err();
        assert_eq!(error, ResumeError::NoIteration { given, last: 4 });
    }
    assert_eq!(goal.to_text().unwrap(), before);
    let all = [linked("b", 2, false), linked("c", 3, false), linked("d", 4, false)];
    let request = ResumeRequest { from_iteration: Some(3), ..ResumeRequest::default() };
    let done = goal.resume(request, &all, now()).unwrap();
    assert_eq!((done.iteration, done.reset), (3, vec!["c".to_owned(), "d".to_owned()]));
    let entry = |number: u64| goal.iterations()[&number].clone();
    assert!(entry(2).completed_at.is_some());
    assert!(entry(3).completed_at.is_none() && entry(3).started_at.is_some());
    assert!(entry(4).started_at.is_none());
    assert_eq!(goal.eval_history().unwrap().len(), 3);
}

/// FM-5d
#[test]
fn failed_work_is_reset_where_it_makes_sense() {
    let mut goal = fourth();
    goal.eval(EvalRequest { decision: Decision::Pause, ..EvalRequest::default() }, &[], now())
        .unwrap();
    let all = [linked("blocked", 1, true), linked("too-big", 4, false)];
    let request = ResumeRequest { reset_failed: true, ..ResumeRequest::default() };
    let done = goal.resume(request, &all, now()).unwrap();
    assert_eq!((done.before, done.status), (Status::Paused, Status::Active));
    assert_eq!((done.reset, goal.pause_reason()), (vec!["blocked".to_owned()], None));
}

#[test]
fn a_goal_that_was_awaiting_a_gate_does_so_again_while_one_blocks() {
    let mut goal = fourth();
    goal.say("G", Word::Add { description: "" }, None, now()).unwrap();
    goal.eval(EvalRequest::default(), &[], now()).unwrap();
    assert_eq!(goal.end_session("normal", now()), Some(Status::AwaitingGate));
    assert_eq!(goal.end_session("normal", now()), None, "FM-1d");
    let request = ResumeRequest { was_awaiting_gate: true, ..ResumeRequest::default() };
    assert_eq!(goal.resume(request, &[], now()).unwrap().status, Status::AwaitingGate);
    assert_eq!(goal.awaiting_gate().map(|it| it.0), Some("G"));
    goal.say("G", Word::Approve, None, now()).unwrap();
    goal.end_session("normal", now()).unwrap();
    assert_eq!(goal.resume(request, &[], now()).unwrap().status, Status::Active);
}

#[test]
fn an_end_is_not_resumed() {
    for decision in [Decision::Complete, Decision::Abandon] {
        let mut goal = fourth();
        goal.eval(EvalRequest { decision, ..EvalRequest::default() }, &[], now()).unwrap();
        let before = goal.to_text().unwrap();
        let error = goal.resume(ResumeRequest::default(), &[], now()).unwrap_err();
        assert_eq!(error.code(), "GOAL_STATUS");
        assert_eq!(goal.to_text().unwrap(), before);
    }
}
