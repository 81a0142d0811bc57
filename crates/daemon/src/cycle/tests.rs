use wal_recovery::steps::fold;

use super::*;
use crate::Plan;

fn word(what: Do) -> &'static str {
    match what {
        Do::Append => "append",
        Do::Execute => "execute",
        Do::Confirm => "confirm",
        Do::Review => "review",
        Do::Wait => "wait",
        Do::Unknown => "unknown",
        Do::GiveUp => "give up",
        Do::Nothing => "–",
    }
}

#[test]
fn every_cell_is_that_of_the_table() {
    let source = include_str!("../cycle.rs");
    let rows: Vec<Vec<&str>> = source
        .lines()
        .filter_map(|it| it.strip_prefix("//! | ")?.strip_suffix('|'))
        .map(|it| it.split('|').map(str::trim).collect())
        .collect();
    let titles: Vec<String> =
        VerdictKind::ALL.map(|it| it.as_str().replace('_', " ")).into_iter().collect();
    assert_eq!(rows[0][1..], titles, "the columns are the verdicts");
    let mut cells = 0;
    for status in std::iter::once(None).chain(StepStatus::ALL.map(Some)) {
        let name = status.map_or("(none)".to_owned(), |it| format!("`{}`", it.as_str()));
        let row = rows.iter().find(|it| it[0] == name).unwrap();
        for (at, verdict) in VerdictKind::ALL.into_iter().enumerate() {
            assert_eq!(word(decide(status, verdict)), row[at + 1], "{name} {verdict:?}");
            cells += 1;
        }
    }
    assert_eq!(cells, 8 * 3);
}

#[test]
fn only_a_pending_step_that_is_safe_to_retry_is_executed() {
    for status in std::iter::once(None).chain(StepStatus::ALL.map(Some)) {
        for verdict in VerdictKind::ALL {
            let executed = decide(status, verdict) == Do::Execute;
            let want = status == Some(StepStatus::Pending) && verdict == VerdictKind::SafeToRetry;
            assert_eq!(executed, want, "{status:?} {verdict:?}");
        }
    }
}

fn commit() -> PlanCommit {
    let file = br#"{"version":1,"name":"n","steps":[{"id":"a","tool":"t","effect":"none"},{"id":"b","tool":"t","effect":"none"}]}"#;
    Plan::parse(file).unwrap().mandate(None).unwrap().commit
}

#[track_caller]
fn check(log: &str, want: Action<'_>) {
    let commit = commit();
    let plans = fold(log.replace("PLAN", &commit.plan_id).as_bytes()).plans;
    let found = front(&commit, &plans).action(VerdictKind::ManualReview);
    match (found, want) {
        (Action::Conflict(plan), Action::Conflict(_)) => assert_eq!(plan.plan_id, "other"),
        (found, want) => assert_eq!(found, want),
    }
}

const COMMIT: &str = r#"{"op":"plan_commit","plan_id":"PLAN","mandate_id":"m","cycle":1,"plan_hash":"h","steps":[{"step_id":"a"},{"step_id":"b"}]}"#;
const ENDED: &str = r#"{"op":"plan_finalize","plan_id":"PLAN","status":"failed"}"#;

fn done(step: &str) -> String {
    format!(
        r#"{{"op":"transition","step_id":"{step}","plan_id":"PLAN","status":"completed","post_hash":null,"result_hash":null}}"#
    )
}

#[test]
fn around_the_steps_the_plan_decides() {
    check("", Action::Commit);
    check(&format!("{COMMIT}\n{ENDED}\n"), Action::Done(FinalizeStatus::Failed));
    check(
        &format!("{COMMIT}\n{}\n{}\n", done("a"), done("b")),
        Action::Finalize(FinalizeStatus::Succeeded),
    );
    let orphan = r#"{"op":"append","step_id":"s","plan_id":"p","idem_key":"k","status":"pending"}"#;
    check(&format!("{orphan}\n"), Action::Orphans);
    check(&format!("{COMMIT}\n{orphan}\n"), Action::Orphans);
    let other = COMMIT.replace("PLAN", "other");
    let plans = fold(format!("{other}\n").as_bytes()).plans;
    check(&format!("{other}\n"), Action::Conflict(&plans.all()[0]));
    let failed = done("a").replace(
        r#""completed","post_hash":null,"result_hash":null"#,
        r#""failed","error_class":"x","error_msg":"y""#,
    );
    check(&format!("{COMMIT}\n{failed}\n"), Action::Finalize(FinalizeStatus::Failed));
}

#[test]
fn the_front_is_the_first_step_that_is_not_completed() {
    let commit = commit();
    let log = format!("{COMMIT}\n{}\n", done("a")).replace("PLAN", &commit.plan_id);
    let plans = fold(log.as_bytes()).plans;
    match front(&commit, &plans) {
        Front::Step(step) => assert_eq!(step.step_id(), "b"),
        other => panic!("{other:?}"),
    }
}
