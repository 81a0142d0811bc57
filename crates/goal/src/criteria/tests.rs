use super::*;
use crate::state::NewGoal;

fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

fn named(id: &str) -> Criterion {
    Criterion { id: id.to_owned(), description: "d".to_owned(), ..Criterion::default() }
}

#[test]
fn a_criterion_gets_an_id_and_none_is_used_twice() {
    let mut goal = Goal::new(NewGoal::default(), now());
    assert_eq!(goal.add_criterion(named(""), now()).unwrap().id, "sc-1");
    assert_eq!(goal.add_criterion(named("x"), now()).unwrap().id, "x");
    let before = goal.to_text().unwrap();
    assert_eq!(goal.add_criterion(named("x"), now()).unwrap_err().code(), "GOAL_CRITERION_TAKEN");
    assert_eq!(goal.add_criterion(named("a\u{7}"), now()).unwrap_err().code(), "GOAL_BAD_ID");
    let empty = Criterion::default();
    assert_eq!(goal.add_criterion(empty, now()).unwrap_err().code(), "GOAL_CRITERION_EMPTY");
    assert_eq!(goal.to_text().unwrap(), before);
}

#[test]
fn an_attempt_is_written_down_with_what_each_criterion_said() {
    let mut goal = Goal::new(NewGoal::default(), now());
    goal.add_criterion(named("a"), now()).unwrap();
    goal.add_criterion(named("b"), now()).unwrap();
    let run = |id: &str, exit_code, output: &str| Run {
        id: id.to_owned(),
        command: None,
        exit_code,
        output: output.to_owned(),
    };
    let long = "ä".repeat(EVIDENCE_LEN_MAX + 1);
    let runs = [run("a", 0, "fine\n"), run("b", 1, &long), run("gone", 1, "x")];
    goal.record_attempt(1, &runs, now()).unwrap();
    goal.record_attempt(2, &[], now()).unwrap();
    let status: Vec<_> = goal.criteria().iter().map(|it| it.status).collect();
    assert_eq!(status, [CriterionStatus::Verified, CriterionStatus::Failed]);
    let evidence = goal.criteria()[1].evidence.clone().unwrap();
    assert_eq!(evidence.chars().count(), EVIDENCE_LEN_MAX);
    let attempts: Vec<Attempt> =
        goal.attempts().unwrap().iter().map(|it| serde_json::from_str(it.get()).unwrap()).collect();
    assert_eq!(attempts[0].results[1].output_len, long.len());
    assert_eq!((attempts[0].attempt, attempts[0].all_passed), (1, false));
    assert!(!attempts[1].all_passed, "an attempt in which nothing ran is no success");
}
