//! What every backend of the store must do: one suite, run against each of them.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test, and its text is the complaint"
)]

mod scene;

use rollout_store::{
    Act, Channel, Epoch, Idempotency, ListQuery, MemoryStore, NodeId, Phase, PlanId, Progress,
    ReleaseId, Request, RolloutStore, Step, Strategy, Verb, Verdict, Write, WriteError, Written,
    node::Heartbeat,
    promote_once,
    release::NewRelease,
    store::{BATCH_MAX, GateRuling, NOTE_LEN_MAX, Note, Order},
};
use scene::*;

/// Runs the suite against one backend; `$open` makes an empty store and what keeps it alive.
macro_rules! contract {
    ($backend:ident, $open:expr) => {
        mod $backend {
            use super::*;

            contract!(@each $open;
                a_plan_is_created_once_and_a_repeat_is_told_apart_from_a_conflict
                a_list_is_newest_first_in_pages_with_a_total
                a_filter_lists_one_phase_with_its_own_total
                a_transition_needs_the_generation_that_it_names
                a_published_plan_starts_with_the_first_report_of_a_targeted_node
                a_plan_goes_through_its_stages_by_itself
                a_failure_stops_a_stage_and_a_retry_begins_it_again
                a_step_is_executed_once_and_refused_at_another_generation
                an_approval_is_bound_to_content_stage_and_time
                a_halted_stage_leaves_only_rollback_and_cancel
                skip_failed_goes_past_the_current_stage_only
                a_node_that_failed_in_a_skipped_stage_does_not_keep_later_ones
                a_word_about_a_gate_does_not_hide_why_the_plan_stands
                what_a_node_says_about_its_failure_stands_in_the_gate
                the_stuck_scan_goes_through_the_six_steps_of_the_drill
                a_plan_that_was_recovered_leaves_the_stuck_scan
                a_deadline_fails_a_stage_and_a_pause_does_not_count
                a_clock_that_was_ahead_does_not_hold_a_plan_for_ever
                the_same_key_gives_the_same_answer_and_other_content_a_conflict
                a_batch_of_another_epoch_changes_nothing
                a_refused_request_harms_no_other_of_its_batch
                releases_have_a_growing_sequence_and_nodes_see_the_latest
                a_node_sees_the_plans_of_its_stages_only
                the_fleet_is_up_stale_or_unknown
                every_phase_explains_itself
                a_batch_has_a_limit
                a_note_stands_with_its_change_and_with_nothing_else
                every_committed_batch_is_counted
                a_plan_that_passed_every_gate_becomes_the_release_of_its_channel
                a_node_keeps_what_a_plan_gave_it_until_a_newer_release);
        }
    };
    (@each $open:expr; $($name:ident)*) => {
        $(#[test]
        fn $name() {
            let (mut store, _home) = $open;
            let epoch = store.acquire().unwrap();
            super::$name(&mut Scene::new(&mut store, epoch));
        })*
    };
}

contract!(memory, (MemoryStore::new(), ()));
#[cfg(feature = "sqlite")]
contract!(sqlite, {
    let home = tempfile::tempdir().unwrap();
    (rollout_store::SqliteStore::open(&home.path().join("rollouts.db")).unwrap(), home)
});

fn a_note_stands_with_its_change_and_with_nothing_else(scene: &mut Scene<'_>) {
    let noted = |id: &str, note: &str, key: Option<&str>| Request {
        write: create(&plan(id)).write,
        idempotency: key.map(|it| Idempotency::new("s", it, id.as_bytes()).unwrap()),
        note: Some(Note::new(note.to_owned()).unwrap()),
    };
    let refused = Request {
        write: create(&plan("a").replace("deadbeef", "beefdead")).write,
        ..noted("a", "refused", None)
    };
    let batch = [
        noted("a", "first", Some("k")),
        noted("a", "again", Some("k")),
        refused,
        noted("b", "second", None),
        noted("b", "existing", None),
    ];
    let answers = scene.store.apply(scene.epoch, scene.now, &batch).unwrap();
    let numbers: Vec<_> =
        answers.iter().map(|it| it.as_ref().ok().and_then(|it| it.note)).collect();
    assert_eq!(numbers, [Some(1), None, None, Some(2), Some(3)]);
    let told: Vec<_> = scene.store.reader().notes(0, 10).unwrap();
    let texts: Vec<_> =
        told.iter().map(|it| (it.text.as_str(), it.about.result.as_str())).collect();
    assert_eq!(texts, [("first", "created"), ("second", "created"), ("existing", "existing")]);
    assert_eq!((told[0].about.phase, told[0].about.generation), (Some(Phase::Published), Some(1)));
    assert_eq!(scene.store.reader().notes(1, 1).unwrap()[0].text, "second");
    // Numbers are not used twice, also when every note was dropped.
    scene.one(Write::Told { through: 3 }).unwrap();
    assert_eq!(scene.store.reader().notes(0, 10).unwrap(), []);
    let answers = scene.store.apply(scene.epoch, scene.now, &[noted("c", "later", None)]).unwrap();
    assert_eq!(answers[0].as_ref().unwrap().note, Some(4));
    assert!(Note::new("x".repeat(NOTE_LEN_MAX + 1)).is_err());
}

fn a_plan_that_passed_every_gate_becomes_the_release_of_its_channel(scene: &mut Scene<'_>) {
    scene.beat("n1", None);
    scene.create(&plan("p1")).unwrap();
    scene.report("p1", "n1", Progress::Healthy).unwrap();
    scene.promote();
    assert_eq!(scene.get("p1").phase(), Phase::Completed);
    let release = scene.reader().latest_release(&Channel::standard()).unwrap().unwrap();
    assert_eq!((release.asked.id.as_str(), release.sequence), ("p1", 1));
    assert_eq!(release.created_by.as_str(), "promoter");
    // A plan of the same name as a release of somebody else.
    let taken = NewRelease { id: ReleaseId::new("p2").unwrap(), ..release.asked.clone() };
    let other = NewRelease { artifact_ref: "oci:elsewhere".to_owned(), ..taken };
    scene.one(Write::Release { release: Box::new(other), by: actor() }).unwrap();
    scene.create(&plan("p2")).unwrap();
    scene.report("p2", "n1", Progress::Healthy).unwrap();
    scene.promote();
    let release = scene.reader().latest_release(&Channel::standard()).unwrap().unwrap();
    assert_eq!((release.asked.id.as_str(), release.sequence), ("p2.3", 3));
    // Part of the channel, and a stage that was skipped: no release.
    scene.create(&staged("p3", r#"[{"id":"a","nodes":["n1"]}]"#)).unwrap();
    scene.report("p3", "n1", Progress::Healthy).unwrap();
    scene.promote();
    assert_eq!(scene.get("p3").phase(), Phase::Completed);
    scene.create(&plan("p4")).unwrap();
    scene.report("p4", "n1", Progress::Failed).unwrap();
    scene.recover("p4", Strategy::SkipFailed).unwrap();
    assert_eq!(scene.get("p4").phase(), Phase::Completed);
    let release = scene.reader().latest_release(&Channel::standard()).unwrap().unwrap();
    assert_eq!(release.sequence, 3);
}

fn a_node_keeps_what_a_plan_gave_it_until_a_newer_release(scene: &mut Scene<'_>) {
    let release = |id: &str| Write::Release {
        release: Box::new(NewRelease {
            id: ReleaseId::new(id).unwrap(),
            channel: Channel::standard(),
            sequence: None,
            artifact_ref: "oci:x".to_owned(),
            lock_fingerprint: format!("blake3:{id}"),
            policy: None,
        }),
        by: actor(),
    };
    scene.beat("n1", None);
    scene.beat("n2", None);
    scene.one(release("r1")).unwrap();
    scene.pass_seconds(1);
    scene.create(&plan("p1")).unwrap();
    scene.report("p1", "n1", Progress::Activated).unwrap();
    assert_eq!(scene.reader().desired(&node("n1")).unwrap().rollouts.len(), 1);
    scene.recover("p1", Strategy::Rollback).unwrap();
    assert_eq!(scene.reader().desired(&node("n1")).unwrap().release, None);
    let of = |scene: &Scene<'_>, name: &str| {
        let release = scene.reader().desired(&node(name)).unwrap().release;
        release.map(|it| it.asked.id.to_string())
    };
    assert_eq!(of(scene, "n2").as_deref(), Some("r1"), "no further node activates");
    scene.pass_seconds(1);
    scene.one(release("r2")).unwrap();
    assert_eq!(of(scene, "n1").as_deref(), Some("r2"));
    let r2 = ReleaseId::new("r2").unwrap();
    scene.one(Write::Ack { node: node("n1"), release: r2 }).unwrap();
    let seen = scene.reader().node(&node("n1")).unwrap().unwrap();
    assert_eq!((seen.plan, seen.lock_fingerprint.as_deref()), (None, Some("blake3:r2")));
}

fn every_committed_batch_is_counted(scene: &mut Scene<'_>) {
    let before = scene.store.reader().commits().unwrap();
    scene.create(&plan("a")).unwrap();
    scene.create(&plan("a").replace("deadbeef", "beefdead")).unwrap_err();
    assert_eq!(scene.store.reader().commits().unwrap(), before + 2);
    scene.store.apply(Epoch(77), scene.now, &[create(&plan("b"))]).unwrap_err();
    assert_eq!(scene.store.reader().commits().unwrap(), before + 2);
    assert!(!scene.store.reader().store_id().unwrap().is_empty());
}

fn a_plan_is_created_once_and_a_repeat_is_told_apart_from_a_conflict(scene: &mut Scene<'_>) {
    let Written::Created(first) = scene.create(&plan("val11-corrupt-1")).unwrap() else { panic!() };
    assert_eq!((first.phase(), first.generation()), (Phase::Published, 1));
    assert_eq!(first.warnings().len(), 2, "{:?}", first.warnings());
    scene.pass_seconds(5);
    let again = scene.create(&plan("val11-corrupt-1")).unwrap();
    assert_eq!(again, Written::Existing(first.clone()));
    let other = plan("val11-corrupt-1").replace("deadbeef", "beefdead");
    assert_eq!(scene.create(&other).unwrap_err().code(), "PLAN_EXISTS");
    let draft = plan("val11-corrupt-1").replacen('{', r#"{"initial_phase":"draft","#, 1);
    assert_eq!(scene.create(&draft).unwrap_err().code(), "PLAN_EXISTS");
    assert_eq!(scene.get("val11-corrupt-1"), *first);
    assert_eq!(scene.reader().rollout(&PlanId::new("none").unwrap()), Ok(None));
}

fn a_list_is_newest_first_in_pages_with_a_total(scene: &mut Scene<'_>) {
    for n in 0..25 {
        scene.create(&plan(&format!("p{n}"))).unwrap();
    }
    let mut query = ListQuery { phase: None, after: None, limit: 10 };
    let mut seen = Vec::new();
    for len in [10, 10, 5] {
        let page = scene.reader().rollouts(&query).unwrap();
        assert_eq!((page.rollouts.len(), page.total), (len, 25 + u64::from(len == 5)));
        seen.extend(page.rollouts.iter().map(|it| it.id().to_string()));
        query.after = page.next;
        if seen.len() == 20 {
            // Newer plans do not move the pages that follow.
            scene.create(&plan("newer")).unwrap();
        }
    }
    assert_eq!(query.after, None);
    let want: Vec<_> = (0..25).rev().map(|it| format!("p{it}")).collect();
    assert_eq!(seen, want);
    query.limit = 0;
    assert_eq!(scene.reader().rollouts(&query).unwrap().rollouts.len(), 1);
    query.limit = u32::MAX;
    assert_eq!(scene.reader().rollouts(&query).unwrap().rollouts.len(), 26);
}

fn a_filter_lists_one_phase_with_its_own_total(scene: &mut Scene<'_>) {
    for n in 0..6 {
        scene.create(&plan(&format!("p{n}"))).unwrap();
    }
    scene.verb("p1", Verb::Pause).unwrap();
    scene.verb("p4", Verb::Pause).unwrap();
    scene.verb("p2", Verb::Cancel).unwrap();
    for (phase, want) in [
        ("paused", &["p4", "p1"][..]),
        ("cancelled", &["p2"]),
        ("published", &["p5", "p3", "p0"]),
        ("failed", &[]),
    ] {
        let query = ListQuery { phase: Phase::parse_name(phase), after: None, limit: 100 };
        let page = scene.reader().rollouts(&query).unwrap();
        let ids: Vec<_> = page.rollouts.iter().map(|it| it.id().as_str()).collect();
        assert_eq!((ids.as_slice(), page.total), (want, want.len() as u64), "{phase}");
        let first = scene.reader().rollouts(&ListQuery { limit: 1, ..query }).unwrap();
        assert_eq!(first.next.is_some(), want.len() > 1);
    }
}

fn a_transition_needs_the_generation_that_it_names(scene: &mut Scene<'_>) {
    scene.create(&plan("p")).unwrap();
    let order = Order { if_match: Some(7), ..order("p") };
    let pause = |order| Write::Transition { order, verb: Verb::Pause };
    assert_eq!(scene.one(pause(order.clone())).unwrap_err().code(), "GENERATION_MISMATCH");
    let matching = Order { if_match: Some(1), ..order };
    scene.one(pause(matching.clone())).unwrap();
    let paused = scene.get("p");
    assert_eq!((paused.phase().name(), paused.generation()), ("paused", 2));
    assert_eq!(scene.one(pause(matching)).unwrap_err().code(), "GENERATION_MISMATCH");
    let error = scene.verb("p", Verb::Pause).unwrap_err();
    assert_eq!(
        (error.code(), error.to_string().as_str()),
        ("PHASE_CONFLICT", "a plan that is paused does not take `pause`")
    );
    scene.verb("p", Verb::Resume).unwrap();
    assert_eq!(scene.get("p").phase(), Phase::Published);
    assert_eq!(scene.verb("none", Verb::Pause).unwrap_err().code(), "PLAN_NOT_FOUND");
}

fn a_published_plan_starts_with_the_first_report_of_a_targeted_node(scene: &mut Scene<'_>) {
    scene.create(&staged("p", r#"[{"id":"a","nodes":["n1"]},{"id":"b","nodes":["n2"]}]"#)).unwrap();
    assert_eq!(scene.report("p", "n9", Progress::Healthy).unwrap_err().code(), "NODE_NOT_TARGETED");
    scene.report("p", "n2", Progress::Downloaded).unwrap();
    assert_eq!(scene.get("p").phase(), Phase::Published, "n2 is in a later stage");
    let written = scene.report("p", "n1", Progress::Downloaded).unwrap();
    assert_eq!(written, Written::Reported { started: true });
    let started = scene.get("p");
    assert_eq!((started.phase(), started.changed_by().as_str()), (Phase::Active, "node:n1"));
    let written = scene.report("p", "n1", Progress::Healthy).unwrap();
    assert_eq!(written, Written::Reported { started: false });
    assert_eq!(scene.get("p").generation(), started.generation(), "good news is no change");
    let draft = staged("d", r#"[{"id":"a","nodes":["n1"]}]"#).replacen(
        '{',
        r#"{"initial_phase":"draft","#,
        1,
    );
    scene.create(&draft).unwrap();
    assert_eq!(scene.report("d", "n1", Progress::Healthy).unwrap_err().code(), "NODE_NOT_TARGETED");
}

const TWO_STAGES: &str = r#"[
    {"id":"canary","nodes":["n1","n2"],"gates":[
        {"kind":"health","max_failures":1,"min_verified_percent":50},
        {"kind":"time_soak","soak_seconds":1800}]},
    {"id":"all","nodes":["n3"]}]"#;

fn a_plan_goes_through_its_stages_by_itself(scene: &mut Scene<'_>) {
    scene.create(&staged("p", TWO_STAGES)).unwrap();
    assert_eq!(scene.promote().stepped, 0);
    scene.report("p", "n1", Progress::Healthy).unwrap();
    assert_eq!(scene.promote().stepped, 0, "the soak has not passed");
    let gates = scene.gates("p");
    assert_eq!(gates[1].detail, "soak elapsed 0s of required 30m");
    scene.pass_seconds(1800);
    assert_eq!(scene.promote().stepped, 1);
    let next = scene.get("p");
    assert_eq!(next.current_stage_id().unwrap().as_str(), "all");
    assert_eq!(next.stages()[1].entered_at, Some(scene.now));
    assert_eq!(scene.promote().stepped, 0);
    scene.report("p", "n3", Progress::Activated).unwrap();
    assert_eq!(scene.promote().stepped, 0, "only healthy counts");
    scene.report("p", "n3", Progress::Healthy).unwrap();
    assert_eq!(scene.promote().stepped, 1);
    assert_eq!(scene.get("p").phase(), Phase::Completed);
    assert_eq!(scene.promote().looked_at, 0);
}

fn a_failure_stops_a_stage_and_a_retry_begins_it_again(scene: &mut Scene<'_>) {
    scene.create(&staged("p", r#"[{"id":"a","nodes":["n1","n2"]}]"#)).unwrap();
    scene.report("p", "n1", Progress::Healthy).unwrap();
    let before = scene.get("p").generation();
    scene.report("p", "n2", Progress::Failed).unwrap();
    assert_eq!(scene.get("p").generation(), before + 1, "bad news outdates planned steps");
    scene.report("p", "n2", Progress::Failed).unwrap();
    assert_eq!(scene.get("p").generation(), before + 1, "once");
    assert_eq!(scene.promote().stepped, 1);
    let failed = scene.get("p");
    assert_eq!(failed.phase(), Phase::Failed);
    let reason = failed.reason().unwrap();
    assert!(
        reason.starts_with("gate health: 1 of 2 nodes healthy (50% of required 100%)"),
        "{reason}"
    );
    assert!(reason.contains("failed: n2"), "{reason}");
    scene.recover("p", Strategy::Retry).unwrap();
    assert_eq!((scene.get("p").phase(), scene.get("p").attempt()), (Phase::Active, 2));
    assert_eq!(scene.promote().stepped, 0, "an old failure does not count");
    scene.report("p", "n2", Progress::Healthy).unwrap();
    assert_eq!(scene.promote().stepped, 1);
    assert_eq!(scene.get("p").phase(), Phase::Completed);
}

fn a_step_is_executed_once_and_refused_at_another_generation(scene: &mut Scene<'_>) {
    scene.create(&staged("p", r#"[{"id":"a","nodes":["n1"]},{"id":"b","nodes":["n1"]}]"#)).unwrap();
    scene.report("p", "n1", Progress::Healthy).unwrap();
    let rollout = scene.get("p");
    let evidence = scene.reader().evidence(&rollout, 0).unwrap();
    let step = rollout_store::promote::plan(&rollout, &evidence, scene.now).unwrap().unwrap();
    assert!(matches!(step.step, Step::Promote { .. }));
    let stale = rollout_store::PlannedStep { generation: step.generation + 5, ..step.clone() };
    assert_eq!(scene.one(Write::Step(stale)).unwrap_err().code(), "STALE_STEP");
    assert!(matches!(scene.one(Write::Step(step.clone())), Ok(Written::Changed(_))));
    let after = scene.get("p");
    assert_eq!(
        scene.one(Write::Step(step.clone())),
        Ok(Written::Unchanged(Box::new(after.clone())))
    );
    scene.verb("p", Verb::Pause).unwrap();
    assert_eq!(scene.one(Write::Step(step)).unwrap_err().code(), "STALE_STEP");
    assert_eq!(scene.get("p").current(), 1);
}

fn ruling(gate: &str, verdict: Verdict) -> GateRuling {
    GateRuling {
        stage: stage("a"),
        gate: rollout_store::GateId::new(gate).unwrap(),
        verdict,
        digest: None,
        expires_after_seconds: Some(60),
    }
}

fn an_approval_is_bound_to_content_stage_and_time(scene: &mut Scene<'_>) {
    let stages = r#"[{"id":"a","nodes":["n1"],"gates":[{"kind":"manual"},
        {"kind":"time_soak","soak_seconds":100}]},{"id":"b","nodes":["n2"]}]"#;
    scene.create(&staged("p", stages)).unwrap();
    scene.create(&staged("q", r#"[{"id":"a","nodes":["n1"]}]"#)).unwrap();
    scene.report("p", "n1", Progress::Healthy).unwrap();
    assert_eq!(scene.gates("p")[0].detail, "awaiting operator approval");
    let other = scene.get("q").digest();
    let approved = ruling("manual", Verdict::Approved);
    let rule = |ruling| Write::Rule { order: order("p"), ruling };
    for (bad, code) in [
        (GateRuling { digest: Some(other), ..approved.clone() }, "PLAN_DIGEST_MISMATCH"),
        (GateRuling { stage: stage("c"), ..approved.clone() }, "STAGE_UNKNOWN"),
        (GateRuling { expires_after_seconds: Some(0), ..approved.clone() }, "APPROVAL_EXPIRY"),
        (ruling("time_soak", Verdict::Approved), "GATE_NOT_MANUAL"),
        (ruling("none", Verdict::Approved), "GATE_UNKNOWN"),
    ] {
        assert_eq!(scene.one(rule(bad)).unwrap_err().code(), code);
    }
    let silent = Order { reason: None, ..order("p") };
    let write = Write::Rule { order: silent, ruling: approved.clone() };
    assert_eq!(scene.one(write).unwrap_err().code(), "REASON_MISSING");
    let digest = Some(scene.get("p").digest());
    scene.one(rule(GateRuling { digest, ..approved.clone() })).unwrap();
    assert_eq!(scene.gates("p")[0].detail, "approved by ann: because");
    scene.pass_seconds(100);
    assert_eq!(scene.promote().stepped, 0, "the approval has expired before the soak has passed");
    scene.one(rule(approved.clone())).unwrap();
    assert_eq!(scene.promote().stepped, 1);
    assert_eq!(scene.one(rule(approved)).unwrap_err().code(), "STAGE_NOT_CURRENT");
    scene.create(&staged("r", stages)).unwrap();
    scene.report("r", "n1", Progress::Healthy).unwrap();
    let rejected = ruling("manual", Verdict::Rejected);
    scene.one(Write::Rule { order: order("r"), ruling: rejected }).unwrap();
    assert_eq!(scene.promote().stepped, 1);
    assert_eq!(scene.get("r").reason(), Some("gate manual: rejected by ann: because"));
    scene.recover("r", Strategy::Retry).unwrap();
    assert_eq!(scene.gates("r")[0].detail, "awaiting operator approval");
}

fn a_halted_stage_leaves_only_rollback_and_cancel(scene: &mut Scene<'_>) {
    for id in ["p", "q"] {
        scene
            .create(&staged(id, r#"[{"id":"a","nodes":["n1"]},{"id":"b","nodes":["n2"]}]"#))
            .unwrap();
    }
    let halt = |id: &str, name: &str| Write::Halt { order: order(id), stage: stage(name) };
    assert_eq!(scene.one(halt("p", "b")).unwrap_err().code(), "STAGE_NOT_CURRENT");
    scene.report("p", "n1", Progress::Healthy).unwrap();
    scene.verb("p", Verb::Pause).unwrap();
    scene.one(halt("p", "a")).unwrap();
    scene.one(halt("q", "a")).unwrap();
    assert_eq!(scene.get("p").phase(), Phase::Failed);
    assert_eq!(scene.recover("p", Strategy::Retry).unwrap_err().code(), "STAGE_CONFLICT");
    assert_eq!(scene.recover("p", Strategy::SkipFailed).unwrap_err().code(), "STAGE_CONFLICT");
    scene.recover("p", Strategy::Rollback).unwrap();
    assert_eq!(scene.get("p").phase(), Phase::RolledBack);
    scene.verb("q", Verb::Cancel).unwrap();
}

fn skip_failed_goes_past_the_current_stage_only(scene: &mut Scene<'_>) {
    scene.create(&staged("p", r#"[{"id":"a","nodes":["n1"]},{"id":"b","nodes":["n2"]}]"#)).unwrap();
    assert_eq!(scene.recover("p", Strategy::SkipFailed).unwrap_err().code(), "PHASE_CONFLICT");
    scene.report("p", "n1", Progress::Failed).unwrap();
    scene.promote();
    let skip = |name| Write::Recover {
        order: order("p"),
        strategy: Strategy::SkipFailed,
        stage: Some(stage(name)),
    };
    assert_eq!(scene.one(skip("b")).unwrap_err().code(), "STAGE_NOT_CURRENT");
    assert_eq!(scene.one(skip("z")).unwrap_err().code(), "STAGE_UNKNOWN");
    scene.one(skip("a")).unwrap();
    assert_eq!((scene.get("p").phase(), scene.get("p").current()), (Phase::Active, 1));
    scene.one(skip("b")).unwrap();
    assert_eq!(scene.get("p").phase(), Phase::Completed);
}

fn a_node_that_failed_in_a_skipped_stage_does_not_keep_later_ones(scene: &mut Scene<'_>) {
    scene.beat("n1", None);
    scene.beat("n2", None);
    let stages = r#"[{"id":"a","nodes":["n1"]},{"id":"b","percent":100}]"#;
    scene.create(&staged("p", stages)).unwrap();
    scene.report("p", "n1", Progress::Failed).unwrap();
    scene.promote();
    scene.recover("p", Strategy::SkipFailed).unwrap();
    assert_eq!(scene.promote().stepped, 0, "{:?}", scene.gates("p"));
    scene.report("p", "n2", Progress::Healthy).unwrap();
    scene.promote();
    assert_eq!(scene.get("p").phase(), Phase::Completed);
    // As soon as it does well it counts again.
    let counted = scene.reader().tallies(&scene.get("p"), scene.now).unwrap()[1].targeted;
    assert_eq!(counted, 1);
}

fn a_word_about_a_gate_does_not_hide_why_the_plan_stands(scene: &mut Scene<'_>) {
    let stages = r#"[{"id":"a","nodes":["n1"],"gates":[{"kind":"manual"}]}]"#;
    scene.create(&staged("p", stages)).unwrap();
    scene.report("p", "n1", Progress::Activated).unwrap();
    scene.verb("p", Verb::Pause).unwrap();
    let ruling = GateRuling {
        stage: stage("a"),
        gate: rollout_store::GateId::new("manual").unwrap(),
        verdict: Verdict::Approved,
        digest: None,
        expires_after_seconds: None,
    };
    let by = rollout_store::Actor::new("bo").unwrap();
    let reason = Some(rollout_store::Reason::new("it is good").unwrap());
    let word = Order { by, reason, ..order("p") };
    let before = scene.get("p");
    scene.one(Write::Rule { order: word, ruling }).unwrap();
    let after = scene.get("p");
    assert_eq!((after.reason(), after.changed_by()), (before.reason(), before.changed_by()));
    assert!(after.generation() > before.generation());
}

fn what_a_node_says_about_its_failure_stands_in_the_gate(scene: &mut Scene<'_>) {
    scene.create(&staged("p", r#"[{"id":"a","nodes":["n1"]}]"#)).unwrap();
    let (id, detail) = (PlanId::new("p").unwrap(), "ErrDigestMismatch: digest differs".to_owned());
    let progress = Progress::Failed;
    scene.one(Write::Report { plan: id, node: node("n1"), progress, detail }).unwrap();
    let said = &scene.gates("p")[0].detail;
    assert!(said.ends_with("failed: n1 (ErrDigestMismatch: digest differs)"), "{said}");
}

fn stuck_ids(scene: &Scene<'_>, threshold: u64) -> Vec<String> {
    let list = scene.reader().stuck(threshold, scene.now, 1000).unwrap();
    for it in &list.plans {
        assert!(!it.diagnosis.is_empty() && !it.stuck_reason.is_empty(), "{it:?}");
        assert!(it.next_actions.iter().all(|it| it.starts_with("autonomy ro")), "{it:?}");
        assert!(it.current_stage_id.is_some());
    }
    list.plans.iter().map(|it| it.plan_id.to_string()).collect()
}

fn the_stuck_scan_goes_through_the_six_steps_of_the_drill(scene: &mut Scene<'_>) {
    assert_eq!(stuck_ids(scene, 2), Vec::<String>::new(), "empty");
    for id in ["a", "b", "c", "d", "e"] {
        scene.create(&plan(id)).unwrap();
    }
    assert_eq!(stuck_ids(scene, 2), Vec::<String>::new(), "fresh");
    scene.pass_seconds(3);
    assert_eq!(stuck_ids(scene, 2), ["a", "b", "c", "d", "e"], "stale");
    assert_eq!(stuck_ids(scene, 3600), Vec::<String>::new(), "below the threshold");
    scene.verb("b", Verb::Pause).unwrap();
    scene.pass_seconds(3);
    assert_eq!(stuck_ids(scene, 2), ["a", "c", "d", "e"], "paused");
    scene.verb("c", Verb::Cancel).unwrap();
    assert_eq!(stuck_ids(scene, 2), ["a", "d", "e"], "cancelled");
    scene.recover("d", Strategy::Retry).unwrap();
    scene.recover("e", Strategy::Rollback).unwrap();
    assert_eq!(stuck_ids(scene, 2), ["a"], "final");
    let limited = scene.reader().stuck(0, scene.now, 1).unwrap();
    assert_eq!((limited.plans.len(), limited.more), (1, true));
}

fn a_plan_that_was_recovered_leaves_the_stuck_scan(scene: &mut Scene<'_>) {
    scene.create(&staged("p", TWO_STAGES)).unwrap();
    scene.pass_seconds(10);
    let list = scene.reader().stuck(2, scene.now, 10).unwrap();
    let text = "no node has acted on the plan yet; stage canary (1 of 2) waits for a first report of n1, n2";
    assert_eq!(list.plans[0].diagnosis, text);
    scene.recover("p", Strategy::Retry).unwrap();
    assert_eq!(scene.get("p").phase(), Phase::Active);
    assert_eq!(stuck_ids(scene, 2), Vec::<String>::new());
    scene.pass_seconds(10);
    let list = scene.reader().stuck(2, scene.now, 10).unwrap();
    let diagnosis = &list.plans[0].diagnosis;
    for part in
        ["stage canary (1 of 2) waits", "gate health", "n1, n2", "soak elapsed 10s of required 30m"]
    {
        assert!(diagnosis.contains(part), "{diagnosis}");
    }
    assert_eq!(list.plans[0].stuck_since, scene.get("p").updated_at());
}

fn a_deadline_fails_a_stage_and_a_pause_does_not_count(scene: &mut Scene<'_>) {
    let stages = r#"[{"id":"a","nodes":["n1"],"deadline_seconds":100}]"#;
    scene.create(&staged("p", stages)).unwrap();
    scene.report("p", "n1", Progress::Downloaded).unwrap();
    scene.pass_seconds(60);
    scene.verb("p", Verb::Pause).unwrap();
    scene.pass_seconds(10_000);
    assert_eq!(scene.promote().stepped, 0);
    scene.verb("p", Verb::Resume).unwrap();
    assert_eq!(scene.promote().stepped, 0);
    scene.pass_seconds(39);
    assert_eq!(scene.promote().stepped, 0);
    scene.pass_seconds(1);
    assert_eq!(scene.promote().stepped, 1);
    let failed = scene.get("p");
    assert_eq!(failed.phase(), Phase::Failed);
    assert!(failed.reason().unwrap().starts_with("deadline passed; gate health: 0 of 1"));
}

fn a_clock_that_was_ahead_does_not_hold_a_plan_for_ever(scene: &mut Scene<'_>) {
    let stages = r#"[{"id":"a","nodes":["n1"],"gates":[{"kind":"time_soak","soak_seconds":60}]}]"#;
    let right = scene.now;
    scene.pass_seconds(365 * 86_400);
    scene.create(&staged("p", stages)).unwrap();
    scene.report("p", "n1", Progress::Healthy).unwrap();
    scene.now = right;
    assert_eq!(scene.promote().stepped, 1, "its clock begins again");
    assert_eq!(scene.get("p").stages()[0].entered_at, Some(right));
    scene.pass_seconds(60);
    assert_eq!(scene.promote().stepped, 1);
    assert_eq!(scene.get("p").phase(), Phase::Completed);
}

fn the_same_key_gives_the_same_answer_and_other_content_a_conflict(scene: &mut Scene<'_>) {
    scene.create(&plan("p")).unwrap();
    let key = |content: &[u8]| Some(Idempotency::new("ann recover", "k-1", content).unwrap());
    let recover = |strategy| Write::Recover { order: order("p"), strategy, stage: None };
    let first = scene.keyed(recover(Strategy::Retry), key(b"retry")).unwrap();
    assert!(!first.replayed);
    scene.pass_seconds(5);
    let again = scene.keyed(recover(Strategy::Retry), key(b"retry")).unwrap();
    assert!(again.replayed);
    assert_eq!(again.written, first.written);
    assert_eq!(scene.get("p").attempt(), 2, "done once");
    let other = scene.keyed(recover(Strategy::Rollback), key(b"rollback"));
    assert_eq!(other.unwrap_err().code(), "IDEMPOTENCY_CONFLICT");
    let stranger = Some(Idempotency::new("bob recover", "k-1", b"retry").unwrap());
    assert!(!scene.keyed(recover(Strategy::Retry), stranger).unwrap().replayed);
    let missing = Write::Transition { order: order("none"), verb: Verb::Pause };
    let key2 = Some(Idempotency::new("ann", "k-2", b"x").unwrap());
    assert!(scene.keyed(missing, key2.clone()).is_err());
    let there = Write::Transition { order: order("p"), verb: Verb::Pause };
    assert!(!scene.keyed(there, key2).unwrap().replayed, "a refused request leaves no record");
    scene.pass_seconds(24 * 3600);
    let late = scene.keyed(recover(Strategy::Rollback), key(b"rollback")).unwrap();
    assert!(!late.replayed, "the key was forgotten");
}

fn a_batch_of_another_epoch_changes_nothing(scene: &mut Scene<'_>) {
    let old = scene.epoch;
    scene.epoch = scene.store.acquire().unwrap();
    assert!(scene.epoch > old);
    assert_eq!(scene.reader().epoch(), Ok(scene.epoch));
    for stale in [old, Epoch(scene.epoch.0 + 1)] {
        let error = scene.store.apply(stale, scene.now, &[create(&plan("p"))]).unwrap_err();
        assert_eq!(error.code(), "STALE_EPOCH");
        assert!(promote_once(scene.store, stale, scene.now).is_ok(), "nothing to write");
    }
    assert_eq!(scene.reader().rollout(&PlanId::new("p").unwrap()), Ok(None));
    scene.create(&plan("p")).unwrap();
}

fn a_refused_request_harms_no_other_of_its_batch(scene: &mut Scene<'_>) {
    let pause = |id: &str| Write::Transition { order: order(id), verb: Verb::Pause }.into();
    let batch = [create(&plan("a")), pause("none"), pause("a"), pause("a"), create(&plan("b"))];
    let answers = scene.store.apply(scene.epoch, scene.now, &batch).unwrap();
    let codes: Vec<_> = answers.iter().map(|it| it.as_ref().err().map(WriteError::code)).collect();
    assert_eq!(codes, [None, Some("PLAN_NOT_FOUND"), None, Some("PHASE_CONFLICT"), None]);
    assert_eq!(scene.get("a").phase().name(), "paused");
    assert_eq!(scene.get("b").phase(), Phase::Published);
}

fn release(id: &str, channel: &str, sequence: Option<u64>) -> Write {
    let release = NewRelease {
        id: ReleaseId::new(id).unwrap(),
        channel: Channel::new(channel).unwrap(),
        sequence,
        artifact_ref: "oci://r/a".to_owned(),
        lock_fingerprint: "blake3:1".to_owned(),
        policy: Some("arm-safety:v1.2.0".to_owned()),
    };
    Write::Release { release: Box::new(release), by: actor() }
}

fn releases_have_a_growing_sequence_and_nodes_see_the_latest(scene: &mut Scene<'_>) {
    let stable = Channel::standard();
    assert_eq!(scene.reader().latest_release(&stable), Ok(None));
    for (write, want) in [
        (release("r1", "stable", None), 1),
        (release("r2", "stable", None), 2),
        (release("r9", "stable", Some(9)), 9),
        (release("c1", "canary", None), 1),
    ] {
        let Written::Released(it) = scene.one(write).unwrap() else { panic!() };
        assert_eq!(it.sequence, want);
    }
    assert_eq!(scene.one(release("r5", "stable", Some(9))).unwrap_err().code(), "RELEASE_SEQUENCE");
    assert_eq!(
        scene.one(release("rx", "stable", Some(u64::MAX))).unwrap_err().code(),
        "RELEASE_SEQUENCE"
    );
    assert_eq!(scene.one(release("r1", "canary", None)).unwrap_err().code(), "RELEASE_EXISTS");
    assert!(matches!(scene.one(release("r1", "stable", None)), Ok(Written::ReleasedBefore(_))));
    assert_eq!(scene.reader().latest_release(&stable).unwrap().unwrap().asked.id.as_str(), "r9");
    scene.beat("n1", None);
    scene.beat("n2", Some("canary"));
    let desired = |scene: &Scene<'_>, id| {
        scene.reader().desired(&node(id)).unwrap().release.unwrap().asked.id.to_string()
    };
    assert_eq!((desired(scene, "n1"), desired(scene, "n2")), ("r9".to_owned(), "c1".to_owned()));
    assert_eq!(desired(scene, "stranger"), "r9");
    let ack =
        |release: &str| Write::Ack { node: node("n1"), release: ReleaseId::new(release).unwrap() };
    assert_eq!(scene.one(ack("none")).unwrap_err().code(), "RELEASE_UNKNOWN");
    scene.one(ack("r9")).unwrap();
    let summary = scene.reader().fleet_summary(scene.now, 60).unwrap();
    assert_eq!(summary.releases.get("r9"), Some(&1));
}

fn a_node_sees_the_plans_of_its_stages_only(scene: &mut Scene<'_>) {
    scene
        .create(&staged("old", r#"[{"id":"a","nodes":["n1"]},{"id":"b","nodes":["n2"]}]"#))
        .unwrap();
    scene.create(&staged("new", r#"[{"id":"a","percent":100}]"#)).unwrap();
    let of = |scene: &Scene<'_>, id: &str| -> Vec<String> {
        let desired = scene.reader().desired(&node(id)).unwrap();
        desired.rollouts.iter().map(|it| it.plan_id.to_string()).collect()
    };
    assert_eq!(of(scene, "n1"), ["new", "old"]);
    assert_eq!(of(scene, "n2"), ["new"], "its stage has not begun");
    scene.verb("new", Verb::Pause).unwrap();
    assert_eq!(of(scene, "n1"), ["old"], "a paused plan activates nobody");
    scene.report("old", "n1", Progress::Healthy).unwrap();
    scene.promote();
    assert_eq!(of(scene, "n2"), ["old"]);
    scene.recover("old", Strategy::Rollback).unwrap();
    assert_eq!(of(scene, "n2"), Vec::<String>::new());
}

fn the_fleet_is_up_stale_or_unknown(scene: &mut Scene<'_>) {
    scene
        .create(&staged("p", r#"[{"id":"a","nodes":["never"]},{"id":"b","percent":100}]"#))
        .unwrap();
    scene.beat("n1", None);
    scene.pass_seconds(60);
    let up = |scene: &Scene<'_>| scene.reader().fleet_summary(scene.now, 60).unwrap().up;
    assert_eq!(up(scene), 1, "a minute is not too long");
    scene.pass_seconds(1);
    assert_eq!(up(scene), 0, "but a second more is");
    scene.beat("n2", None);
    let summary = scene.reader().fleet_summary(scene.now, 60).unwrap();
    assert_eq!((summary.up, summary.stale, summary.unknown), (1, 1, 1));
    assert_eq!(scene.reader().fleet_of(&Channel::standard()).unwrap(), [node("n1"), node("n2")]);
    let tallies = scene.reader().tallies(&scene.get("p"), scene.now).unwrap();
    assert_eq!((tallies[0].targeted, tallies[1].targeted), (1, 2));
    let page = scene.reader().fleet(Some(&node("n1")), 10).unwrap();
    assert_eq!(page.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), ["n2", "never"]);
    let long = Heartbeat {
        node: node("n3"),
        channel: None,
        lock_fingerprint: None,
        version: Some("v".repeat(999)),
    };
    assert_eq!(scene.one(Write::Heartbeat(long)).unwrap_err().code(), "TEXT_TOO_LONG");
    assert_eq!(scene.reader().node(&node("n3")), Ok(None));
}

fn every_phase_explains_itself(scene: &mut Scene<'_>) {
    scene
        .create(&staged("p", r#"[{"id":"a","nodes":["n1"],"gates":[{"kind":"manual"}]}]"#))
        .unwrap();
    let says = |scene: &mut Scene<'_>, fact: &str, owner: &str, command: &str| {
        let it = scene.reader().explain(&scene.get("p"), scene.now).unwrap();
        assert!(it.fact.starts_with(fact), "{it:?}");
        assert_eq!(it.owner, owner);
        let first = it.commands.first().map_or("", String::as_str);
        assert!(first.starts_with(command), "{it:?}");
    };
    says(
        scene,
        "no node has acted",
        "ann",
        "autonomy rollback execute --target rollout_plan --resource p --strategy retry",
    );
    scene.report("p", "n1", Progress::Healthy).unwrap();
    says(
        scene,
        "stage a (1 of 1) waits: gate manual: awaiting operator approval",
        "an operator",
        "autonomy rollout gate approve p a manual",
    );
    scene.verb("p", Verb::Pause).unwrap();
    says(scene, "paused by ann: because", "ann", "autonomy rollout plan resume p");
    scene.one(Write::Halt { order: order("p"), stage: stage("a") }).unwrap();
    says(
        scene,
        "stage a (1 of 1) was halted by ann",
        "ann",
        "autonomy rollback execute --target rollout_plan --resource p --strategy rollback",
    );
    scene.recover("p", Strategy::Rollback).unwrap();
    says(scene, "the plan is rolled_back", "nobody", "");
    assert!(scene.get("p").life().apply(Act::Retry).is_err());
}

fn a_batch_has_a_limit(scene: &mut Scene<'_>) {
    let many = vec![create(&plan("p")); BATCH_MAX + 1];
    let error = scene.store.apply(scene.epoch, scene.now, &many).unwrap_err();
    assert_eq!(error.code(), "BATCH_TOO_LARGE");
    let answers = scene.store.apply(scene.epoch, scene.now, &many[1..]).unwrap();
    assert_eq!(answers.iter().filter(|it| it.is_ok()).count(), BATCH_MAX);
    let _: NodeId = node("n");
}
