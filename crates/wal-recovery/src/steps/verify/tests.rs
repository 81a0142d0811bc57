use wal_format::step::PlannedStep;

use super::*;

fn text(it: &str) -> String {
    it.to_owned()
}

/// Reset after it began: the case that the whole table is for.
fn interrupted() -> StepState {
    let planned = PlannedStep {
        step_id: "s".to_owned(),
        tool: None,
        params_hash: None,
        pre_hash: Some(text("pre")),
        expected_post_hash: Some(text("post")),
        effect: None,
    };
    StepState {
        status: Some(StepStatus::Pending),
        reached: true,
        observed_pre_hash: Some(text("pre")),
        ..StepState::new(planned, false)
    }
}

const NOBODY_LOOKED: World<'_> = World { pre_hash: None, post_hash: None };

fn before() -> World<'static> {
    World { pre_hash: Some("pre"), post_hash: Some("pre") }
}

fn after() -> World<'static> {
    World { pre_hash: Some("post"), post_hash: Some("post") }
}

#[track_caller]
fn check(change: impl FnOnce(&mut StepState), world: World<'_>, want: Reason) -> Verdict {
    let mut step = interrupted();
    change(&mut step);
    let verdict = verify(&step, world);
    assert_eq!(verdict.reason, want);
    assert_eq!(verdict.kind, want.kind());
    assert_eq!(verdict.evidence["reason"], want.as_str());
    verdict
}

#[test]
fn rule_1_a_recorded_completion_beats_any_world() {
    for world in [NOBODY_LOOKED, before(), after()] {
        let done = |it: &mut StepState| {
            (it.post_hash, it.result_hash) = (Some(text("recorded")), Some(text("r")));
            it.status = Some(StepStatus::NeedsReview);
        };
        let verdict = check(done, world, Reason::RecordedCompletion);
        assert_eq!(verdict.post_hash, Some(text("recorded")));
        assert_eq!(verdict.evidence["result_hash"], "r");
    }
    check(|it| it.post_hash = Some(text("")), NOBODY_LOOKED, Reason::Interrupted);
}

#[test]
fn rule_2_the_expected_world_after_it_shows_that_it_is_done() {
    let verdict = check(|_| (), after(), Reason::ExpectedPost);
    assert_eq!(verdict.post_hash, Some(text("post")));
    check(|it| it.status = Some(StepStatus::NeedsReview), after(), Reason::ExpectedPost);
    check(|it| it.planned.expected_post_hash = None, after(), Reason::Interrupted);
    // What nobody knows is equal to nothing.
    let unknown = World { pre_hash: Some(""), post_hash: Some("") };
    let empty = |it: &mut StepState| {
        (it.planned.expected_post_hash, it.planned.pre_hash) = (Some(text("")), Some(text("")));
    };
    check(empty, unknown, Reason::Interrupted);
}

#[test]
fn rule_3_a_review_is_not_overruled_by_the_world_before_the_step() {
    check(|it| it.status = Some(StepStatus::NeedsReview), before(), Reason::NeedsReview);
}

#[test]
fn rule_4_a_step_that_never_began_may_run() {
    let never = |status| {
        move |it: &mut StepState| {
            (it.status, it.reached, it.observed_pre_hash) = (status, false, None);
        }
    };
    let verdict = check(never(None), NOBODY_LOOKED, Reason::NeverReached);
    assert_eq!(verdict.evidence["status"], Value::Null);
    check(never(Some(StepStatus::Pending)), NOBODY_LOOKED, Reason::NeverReached);
    for status in [StepStatus::Executing, StepStatus::Completed] {
        check(never(Some(status)), NOBODY_LOOKED, Reason::Interrupted);
    }
    // Others write a beginning without what was observed: it began all the same.
    check(|it| it.observed_pre_hash = None, NOBODY_LOOKED, Reason::Interrupted);
}

#[test]
fn rule_5_the_expected_world_before_it_shows_that_it_did_nothing() {
    check(|_| (), before(), Reason::ExpectedPre);
    check(|it| it.status = Some(StepStatus::Executing), before(), Reason::ExpectedPre);
    check(|it| it.planned.pre_hash = None, before(), Reason::Interrupted);
}

#[test]
fn rule_6_a_reset_alone_allows_nothing() {
    let verdict = check(|_| (), NOBODY_LOOKED, Reason::Interrupted);
    assert_eq!(
        verdict.evidence,
        json!({
            "reason": "interrupted_during_execution",
            "status": "pending",
            "observed_pre_hash": "pre",
            "expected_pre_hash": "pre",
        })
    );
}

#[test]
fn an_opaque_step_is_shown_by_no_world_and_one_without_effect_needs_none() {
    for world in [NOBODY_LOOKED, before(), after()] {
        check(|it| it.planned.effect = Some(Effect::Opaque), world, Reason::Interrupted);
    }
    check(|it| it.planned.effect = Some(Effect::None), NOBODY_LOOKED, Reason::NoEffect);
    let review = |it: &mut StepState| {
        (it.planned.effect, it.status) = (Some(Effect::None), Some(StepStatus::NeedsReview));
    };
    check(review, NOBODY_LOOKED, Reason::NeedsReview);
}

#[test]
fn the_kinds_are_a_closed_set() {
    let kinds = VerdictKind::ALL.map(VerdictKind::as_str);
    assert_eq!(kinds, ["already_done", "safe_to_retry", "manual_review"]);
}

/// Rows of the table: whether each holds, on its own.
type Row = (fn(&StepState, World<'_>) -> bool, Reason);

const ROWS: [Row; 7] = [
    (|it, _| it.post_hash.as_ref().is_some_and(|it| !it.is_empty()), Reason::RecordedCompletion),
    (
        |it, world| {
            it.planned.effect != Some(Effect::Opaque)
                && world.post_hash == Some("post")
                && it.planned.expected_post_hash == Some(text("post"))
        },
        Reason::ExpectedPost,
    ),
    (|it, _| it.status == Some(StepStatus::NeedsReview), Reason::NeedsReview),
    (
        |it, _| {
            let ran = [Some(StepStatus::Executing), Some(StepStatus::Completed)];
            !it.reached && it.observed_pre_hash.is_none() && !ran.contains(&it.status)
        },
        Reason::NeverReached,
    ),
    (
        |it, world| {
            it.planned.effect != Some(Effect::Opaque)
                && world.pre_hash == Some("pre")
                && it.planned.pre_hash == Some(text("pre"))
        },
        Reason::ExpectedPre,
    ),
    (|it, _| it.planned.effect == Some(Effect::None), Reason::NoEffect),
    (|_, _| true, Reason::Interrupted),
];

/// Values of what is recorded: none, one that is empty, one that says something.
fn recorded(it: &str) -> [Option<String>; 3] {
    [None, Some(String::new()), Some(it.to_owned())]
}

/// Every combination of what the lines of a step can say.
fn every_step() -> Vec<StepState> {
    let mut steps = vec![interrupted()];
    let mut vary = |values: &[fn(&mut StepState)]| {
        let each = steps.iter().flat_map(|step| {
            values.iter().map(|change| {
                let mut step = step.clone();
                change(&mut step);
                step
            })
        });
        steps = each.collect();
    };
    vary(&[
        |it| it.post_hash = recorded("recorded")[0].clone(),
        |it| it.post_hash = recorded("recorded")[1].clone(),
        |it| it.post_hash = recorded("recorded")[2].clone(),
    ]);
    vary(&[
        |it| it.planned.expected_post_hash = recorded("post")[0].clone(),
        |it| it.planned.expected_post_hash = recorded("post")[1].clone(),
        |it| it.planned.expected_post_hash = recorded("post")[2].clone(),
    ]);
    vary(&[
        |it| it.planned.pre_hash = recorded("pre")[0].clone(),
        |it| it.planned.pre_hash = recorded("pre")[1].clone(),
        |it| it.planned.pre_hash = recorded("pre")[2].clone(),
    ]);
    vary(&[
        |it| it.observed_pre_hash = recorded("pre")[0].clone(),
        |it| it.observed_pre_hash = recorded("pre")[2].clone(),
    ]);
    vary(&[|it| it.reached = false, |it| it.reached = true]);
    vary(&[
        |it| it.planned.effect = None,
        |it| it.planned.effect = Some(Effect::None),
        |it| it.planned.effect = Some(Effect::Confirmable),
        |it| it.planned.effect = Some(Effect::Opaque),
    ]);
    let statuses = std::iter::once(None).chain(StepStatus::ALL.map(Some));
    let each =
        statuses.flat_map(|status| steps.iter().map(move |it| StepState { status, ..it.clone() }));
    each.collect()
}

#[test]
fn the_first_row_that_holds_wins_in_every_case() {
    let hashes = [None, Some(""), Some("pre"), Some("post"), Some("x")];
    let worlds: Vec<_> = hashes
        .iter()
        .flat_map(|pre| hashes.map(|post_hash| World { pre_hash: *pre, post_hash }))
        .collect();
    let steps = every_step();
    assert_eq!((steps.len(), worlds.len()), (27 * 2 * 2 * 4 * 8, 25));
    let mut seen = [0; ROWS.len()];
    for step in &steps {
        for world in &worlds {
            let row = ROWS.iter().position(|it| it.0(step, *world)).unwrap();
            assert_eq!(verify(step, *world).reason, ROWS[row].1, "{step:?} {world:?}");
            seen[row] += 1;
        }
    }
    assert!(seen.iter().all(|it| *it > 0), "{seen:?}");
}
