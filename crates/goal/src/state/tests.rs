use super::*;

fn now() -> Timestamp {
    "2026-01-02T03:04:05.6789Z".parse().unwrap()
}

#[test]
fn the_keys_that_are_owned_are_those_that_are_written() {
    let mut goal = Goal::new(NewGoal { require_reverify: true, ..NewGoal::default() }, now());
    let known = &mut goal.known;
    let text = || Some("x".to_owned());
    for key in [
        &mut known.resumed_at,
        &mut known.completed_at,
        &mut known.paused_at,
        &mut known.pause_reason,
        &mut known.needs_human_at,
        &mut known.needs_human_reason,
        &mut known.awaiting_gate_id,
        &mut known.awaiting_gate_reason,
        &mut known.budget_limited_at,
        &mut known.budget_limited_reason,
        &mut known.reverify_needed,
    ] {
        *key = text();
    }
    known.needs_human_failing_criteria = Some(Vec::new());
    known.eval_outcomes.push(RecordedOutcome {
        anchor: String::new(),
        decision: crate::eval::Decision::Pause,
        outcome: crate::eval::Outcome::Paused,
        status: Status::Paused,
        iteration: 1,
        at: String::new(),
    });
    known.history_moved = serde_json::from_value(serde_json::json!({
        "eval_history": {"file": "goal-history-1.jsonl", "entries": 1, "bytes": 2},
    }))
    .unwrap();
    let written = serde_json::to_value(&goal.known).unwrap();
    let mut written: Vec<&str> = written.as_object().unwrap().keys().map(String::as_str).collect();
    let mut owned = OWNED.to_vec();
    written.sort_unstable();
    owned.sort_unstable();
    assert_eq!(written, owned);
}

/// S1
#[test]
fn a_file_of_another_program_keeps_what_is_only_its_own() {
    let text = r#"{"goal_id":"g","created_at":"2026-01-01T00:00:00+00:00","status":"paused",
        "iteration":"many","pause_metadata":{"reason":"quota"},"budget":{"status":"spent","max_iterations":3},
        "eval_history":[{"iteration":1,"decision":"continue"}],"tentacles":["a"]}"#;
    let goal = Goal::parse(text.as_bytes()).unwrap();
    assert_eq!((goal.iteration(), goal.title()), (1, UNTITLED));
    assert_eq!(goal.current_tentacles(), ["a"], "iterations are rebuilt");
    let back: serde_json::Value = serde_json::from_str(&goal.to_text().unwrap()).unwrap();
    assert_eq!(back["pause_metadata"]["reason"], "quota");
    assert_eq!(back["budget"]["max_iterations"], 3);
    let again = Goal::parse(goal.to_text().unwrap().as_bytes()).unwrap();
    assert_eq!(again.to_text().unwrap(), goal.to_text().unwrap());
}

#[test]
fn what_lacks_its_identity_or_status_is_no_goal() {
    for text in [
        "{}",
        "[]",
        r#"{"goal_id":"g","created_at":"x","status":"odd"}"#,
        r#"{"goal_id":"g","created_at":"x"}"#,
        r#"{"goal_id":"g","created_at":"x","status":"active","gates":3}"#,
    ] {
        assert!(Goal::parse(text.as_bytes()).is_err(), "{text}");
    }
}

/// S2
#[test]
fn linking_again_changes_nothing_and_the_list_is_the_union() {
    let mut goal = Goal::new(NewGoal::default(), now());
    for name in ["a", "b", "a"] {
        goal.link(name, now());
    }
    goal.eval(crate::eval::EvalRequest::default(), &[], now()).unwrap();
    goal.link("b", now());
    goal.link("c", now());
    assert_eq!(goal.tentacles(), ["a", "b", "c"]);
    assert_eq!(goal.current_tentacles(), ["b", "c"]);
}

/// FM-6b, FM-6d, FM-9
#[test]
fn an_escalation_asks_for_a_human_where_the_goal_is_open_and_is_skipped_elsewhere() {
    let mut goal = Goal::new(NewGoal::default(), now());
    assert!(goal.escalate("stall", &["a".to_owned()], now()));
    assert_eq!((goal.status(), goal.needs_human_reason()), (Status::NeedsHuman, Some("stall")));
    assert_eq!(goal.needs_human_failing(), ["a"]);
    assert!(!goal.escalate("stall", &[], now()));
    for status in [Status::Completed, Status::Abandoned, Status::BudgetLimited] {
        goal.known.status = status;
        assert!(!goal.escalate("stall", &[], now()));
        assert_eq!(goal.status(), status);
        assert!(!goal.limit("steps", now()).unwrap());
    }
    goal.known.status = Status::Active;
    assert!(goal.limit("steps", now()).unwrap());
    assert_eq!(goal.status(), Status::BudgetLimited);
}

/// S3
#[test]
fn times_are_kept_to_the_millisecond() {
    assert_eq!(stamp(now()), "2026-01-02T03:04:05.679Z");
}
