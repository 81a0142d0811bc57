use super::*;
use crate::{eval::EvalRequest, state::NewGoal};

fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

fn goal() -> Goal {
    Goal::new(NewGoal::default(), now())
}

fn gate(
    goal: &mut Goal,
    id: &str,
    word: Word<'_>,
    reason: Option<&str>,
) -> Result<Said, GateError> {
    goal.say(id, word, reason, now())
}

const ADD: Word<'static> = Word::Add { description: "look" };

#[test]
fn a_gate_that_blocks_is_waited_for_and_the_last_approval_goes_on() {
    let mut goal = goal();
    gate(&mut goal, "G1", ADD, None).unwrap();
    gate(&mut goal, "G2", ADD, None).unwrap();
    assert!(gate(&mut goal, "G1", ADD, None).unwrap().existed);
    let blocked = goal.eval(EvalRequest::default(), &[], now()).unwrap();
    assert_eq!(blocked.blocked_by, ["G1", "G2"]);
    assert_eq!(goal.awaiting_gate(), Some(("G1", Some("gate G1 is pending"))));
    let said = gate(&mut goal, "G1", Word::Approve, Some("x")).unwrap();
    assert_eq!((said.status, said.gate), (Status::AwaitingGate, GateStatus::Passed));
    assert_eq!(goal.awaiting_gate().map(|it| it.0), Some("G2"));
    let said = gate(&mut goal, "G2", Word::Fail, None).unwrap();
    assert_eq!((said.status, goal.awaiting_gate()), (Status::Active, None));
    assert_eq!(goal.iteration(), 1);
    goal.eval(EvalRequest::default(), &[], now()).unwrap();
    assert_eq!(goal.iteration(), 2);
}

#[test]
fn a_rejection_needs_a_reason_and_a_gate_that_did_not_pass() {
    let mut goal = goal();
    gate(&mut goal, "G1", ADD, None).unwrap();
    for reason in [None, Some(" ")] {
        let error = gate(&mut goal, "G1", Word::Reject, reason).unwrap_err();
        assert_eq!(error.code(), "GOAL_GATE_REASON");
    }
    assert_eq!(
        gate(&mut goal, "G9", Word::Reject, Some("x")).unwrap_err().code(),
        "GOAL_GATE_UNKNOWN"
    );
    assert_eq!(gate(&mut goal, "G9", Word::Approve, None).unwrap_err().code(), "GOAL_GATE_UNKNOWN");
    assert_eq!(gate(&mut goal, "a\nb", Word::Pass, None).unwrap_err().code(), "GOAL_BAD_ID");
    let said = gate(&mut goal, "G1", Word::Reject, Some("no")).unwrap();
    assert_eq!((said.status, said.gate), (Status::AwaitingGate, GateStatus::Rejected));
    assert_eq!(goal.awaiting_gate(), Some(("G1", Some("gate G1 is rejected"))));
    gate(&mut goal, "G2", Word::Pass, None).unwrap();
    let error = gate(&mut goal, "G2", Word::Reject, Some("x")).unwrap_err();
    assert_eq!(error.code(), "GOAL_GATE_PASSED");
}

#[test]
fn a_rejection_does_not_wake_a_paused_goal_and_an_ended_one_takes_no_word() {
    let mut goal = goal();
    gate(&mut goal, "G1", ADD, None).unwrap();
    goal.end_session("x", now()).unwrap();
    assert_eq!(gate(&mut goal, "G1", Word::Reject, Some("no")).unwrap().status, Status::Paused);
    assert_eq!(goal.awaiting_gate(), None);
    goal.known.status = Status::NeedsHuman;
    let before = goal.to_text().unwrap();
    for word in [ADD, Word::Approve, Word::Reject, Word::Pass, Word::Fail] {
        assert_eq!(gate(&mut goal, "G1", word, Some("x")).unwrap_err().code(), "GOAL_STATUS");
    }
    assert_eq!(goal.to_text().unwrap(), before);
}
