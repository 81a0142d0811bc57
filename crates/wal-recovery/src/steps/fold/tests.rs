use super::*;
use crate::steps::StepKey;

const COMMIT: &str = r#"{"op":"plan_commit","plan_id":"p","mandate_id":"m","cycle":1,"plan_hash":"h","steps":[{"step_id":"s"},{"step_id":"t"}]}"#;

fn folded(lines: &[&str]) -> Folded {
    fold((lines.join("\n") + "\n").as_bytes())
}

fn step<'a>(folded: &'a Folded, plan_id: &str, step_id: &str) -> &'a StepState {
    folded.plans.step(StepKey { plan_id, step_id }).unwrap().1
}

/// A transition as others write it: without a plan, a version and a number.
fn moved(step_id: &str, rest: &str) -> String {
    format!(r#"{{"op":"transition","step_id":"{step_id}",{rest}}}"#)
}

#[test]
fn an_empty_file_has_no_plans() {
    for file in [&b""[..], b"\n", b"\n \n\r\n"] {
        let folded = fold(file);
        assert_eq!((folded.plans.all().len(), folded.counts), (0, Counts::default()));
    }
}

#[test]
fn a_step_takes_what_a_line_has_and_keeps_the_rest() {
    let begun = moved("s", r#""status":"executing","pre_hash":"w0""#);
    let reset = moved("s", r#""status":"pending","reset":true"#);
    let found = folded(&[COMMIT, &begun, &reset]);
    let it = step(&found, "p", "s");
    assert_eq!((it.status, it.reached), (Some(StepStatus::Pending), true));
    assert_eq!(it.observed_pre_hash.as_deref(), Some("w0"), "a reset keeps what was observed");
    assert!(step(&found, "p", "t").status.is_none() && step(&found, "p", "t").is_pending());

    let done = moved(
        "s",
        r#""status":"completed","post_hash":"w1","result_hash":"r","recovered":true,"evidence":[1]"#,
    );
    let found = folded(&[COMMIT, &begun, &done]);
    let it = step(&found, "p", "s");
    assert!(it.is_final() && it.recovered);
    assert_eq!((it.post_hash.as_deref(), it.result_hash.as_deref()), (Some("w1"), Some("r")));
    let failed = moved("s", r#""status":"failed","error_class":"E","error_msg":"m""#);
    let found = folded(&[COMMIT, &begun, &failed]);
    let it = step(&found, "p", "s");
    assert_eq!((it.error_class.as_deref(), it.error_msg.as_deref()), (Some("E"), Some("m")));
}

#[test]
fn the_reason_of_a_review_is_kept_and_an_approval_forgets_what_was_observed() {
    let begun = moved("s", r#""status":"executing","pre_hash":"w0""#);
    let review = moved("s", r#""status":"needs_review","reason":"why","evidence":{"a":1}"#);
    let found = folded(&[COMMIT, &begun, &review]);
    let it = step(&found, "p", "s");
    assert_eq!(it.reason.as_deref(), Some("why"));
    assert_eq!(it.evidence.as_ref().unwrap()["a"], 1);
    assert!(!it.is_final() && !it.is_pending(), "needs_review is neither");
    let approved = moved("s", r#""status":"pending""#);
    let found = folded(&[COMMIT, &begun, &review, &approved]);
    let it = step(&found, "p", "s");
    assert_eq!((it.reached, it.observed_pre_hash.as_deref()), (false, None));
    // Without a human before it, it is the reset of somebody else.
    let found = folded(&[COMMIT, &begun, &approved]);
    assert!(step(&found, "p", "s").reached);
}

#[test]
fn two_plans_may_have_steps_of_one_name() {
    let other = COMMIT.replace(r#""plan_id":"p""#, r#""plan_id":"q""#);
    let begun = moved("s", r#""plan_id":"p","status":"executing","pre_hash":"w""#);
    let found = folded(&[COMMIT, &other, &begun]);
    assert_eq!(step(&found, "p", "s").status, Some(StepStatus::Executing));
    assert_eq!(step(&found, "q", "s").status, None);
    // Without a plan it is the latest.
    let found = folded(&[COMMIT, &other, &moved("s", r#""status":"executing""#)]);
    assert_eq!(step(&found, "p", "s").status, None);
    assert_eq!(step(&found, "q", "s").status, Some(StepStatus::Executing));
    let ids: Vec<_> = found.plans.all().iter().map(|it| it.plan_id.as_str()).collect();
    assert_eq!(ids, ["p", "q"]);
}

#[test]
fn a_repeated_commit_changes_nothing_and_another_plan_of_its_name_is_corrupt() {
    let begun = moved("s", r#""status":"executing","pre_hash":"w""#);
    let end = r#"{"op":"plan_finalize","plan_id":"p","status":"failed"}"#;
    let found = folded(&[COMMIT, &begun, end, COMMIT]);
    assert_eq!(step(&found, "p", "s").status, Some(StepStatus::Executing));
    assert!(found.plans.not_finalized().next().is_none() && found.corrupt.is_empty());
    let other = COMMIT.replace(r#""plan_hash":"h""#, r#""plan_hash":"h2""#);
    let found = folded(&[COMMIT, &begun, &other]);
    let cause = CorruptCause::PlanConflict { plan_id: "p".to_owned() };
    assert_eq!(found.corrupt, [CorruptLine { line: 3, cause }]);
    assert_eq!(step(&found, "p", "s").status, Some(StepStatus::Executing));
}

#[test]
fn steps_without_a_commit_are_orphans_of_their_plan_or_of_none() {
    let append =
        |rest: &str| format!(r#"{{"op":"append","step_id":"s","status":"pending"{rest}}}"#);
    let named = append(r#","plan_id":"p","idem_key":"k""#);
    let found = folded(&[&append(""), &named]);
    let plans = found.plans.all();
    assert_eq!((plans.len(), found.plans.orphans()), (2, 2));
    assert_eq!((plans[0].plan_id.as_str(), plans[1].plan_id.as_str()), ("__orphan_s", "p"));
    for plan in plans {
        assert!(plan.is_orphan() && plan.finalized.is_none() && plan.steps[0].orphan);
        assert_eq!(plan.mandate_id, "unknown");
        assert_eq!(plan.finalize_reason.as_deref(), Some(ORPHAN_REASON));
        assert_eq!(plan.steps[0].status, Some(StepStatus::Pending));
    }
    assert_eq!(plans[1].steps[0].idem_key.as_deref(), Some("k"));
    // A commit that comes after its steps is not believed.
    assert!(matches!(
        folded(&[&named, COMMIT]).corrupt[0].cause,
        CorruptCause::PlanConflict { .. }
    ));
    // A step that its plan does not have joins it and stays an orphan.
    let stranger = named.replace(r#""step_id":"s""#, r#""step_id":"x""#);
    let found = folded(&[COMMIT, &stranger]);
    assert!(step(&found, "p", "x").orphan && !step(&found, "p", "s").orphan);
    assert_eq!(found.plans.orphans(), 1);
    let end = r#"{"op":"plan_finalize","plan_id":"p","status":"abandoned","reason":"r"}"#;
    assert_eq!(folded(&[&named, end]).plans.orphans(), 0, "a human has given it up");
}

#[test]
fn sw_5b_what_no_record_has_introduced_is_ignored_and_counted() {
    let stray = moved("x", r#""status":"executing""#);
    let found = folded(&[&stray, COMMIT, &stray, r#"{"op":"plan_finalize","plan_id":"x"}"#]);
    assert_eq!(found.counts.strays, 3);
    assert_eq!((found.plans.all().len(), found.corrupt.len()), (1, 0));
    assert_eq!(found.plans.interrupted().count(), 0);
}

#[test]
fn what_later_versions_say_is_counted_and_ignored() {
    let found = folded(&[COMMIT, r#"{"op":"lease","v":2,"x":1}"#]);
    assert_eq!((found.counts.unknown_ops, found.newer), (1, Some(2)));
    assert!(found.corrupt.is_empty());
}

#[test]
fn a_move_that_the_table_does_not_have_is_read_and_counted() {
    let done = moved("s", r#""status":"completed","post_hash":"w""#);
    let found = folded(&[COMMIT, &done, &moved("s", r#""status":"executing""#)]);
    assert_eq!(found.counts.irregular, 2);
    assert_eq!(step(&found, "p", "s").status, Some(StepStatus::Executing));
}

#[test]
fn every_line_that_does_not_hold_is_told_with_its_number() {
    for (bad, want) in [
        ("7", "line 3: not a JSON object"),
        ("null", "line 3: not a JSON object"),
        ("[]", "line 3: not a JSON object"),
        ("{\"op\":", "line 3: not JSON at column 6"),
        (r#"{"op":"append"}"#, "line 3: not a record: missing field `step_id`"),
    ] {
        let found = folded(&[COMMIT, "", bad, &moved("s", r#""status":"executing""#)]);
        assert_eq!(found.corrupt.len(), 1);
        assert_eq!(found.corrupt[0].to_string(), want);
        assert_eq!(step(&found, "p", "s").status, Some(StepStatus::Executing), "it goes on");
    }
    let many = "7\n".repeat(CORRUPT_LINES_MAX + 7) + "{}\n";
    let found = fold(many.as_bytes());
    assert_eq!((found.corrupt.len(), found.counts.corrupt), (CORRUPT_LINES_MAX, 107));
}

#[test]
fn numbers_follow_each_other_and_a_line_that_is_missing_is_noticed() {
    let line = |seq: u64| format!(r#"{{"op":"x","seq":{seq}}}"#);
    let check = |seqs: &[&str], want: &[&str]| {
        let found = folded(seqs);
        let told: Vec<_> = found.corrupt.iter().map(ToString::to_string).collect();
        assert_eq!(told, want);
        found.last.map(Seq::get)
    };
    let (one, two, four, none) = (line(1), line(2), line(4), r#"{"op":"x"}"#);
    assert_eq!(check(&[&one, &two], &[]), Some(2));
    assert_eq!(check(&[none, none, &line(3)], &[]), Some(3), "lines of others count");
    assert_eq!(check(&[&one, &four], &["line 2: seq=4 follows seq=1"]), Some(4));
    assert_eq!(check(&[&two], &["line 1: the first line has seq=2"]), Some(2));
    assert_eq!(check(&[&one, &two, &one], &["line 3: seq=1 follows seq=2"]), Some(2));
    let hole = check(&[&one, "x", &four], &["line 2: not JSON at column 1"]);
    assert_eq!(hole, Some(4), "behind a hole numbers may jump");
}
