use proptest::prelude::*;
use serde_json::json;

use super::*;

fn file(steps: &Value) -> Vec<u8> {
    json!({"version": 1, "name": "n", "steps": steps}).to_string().into_bytes()
}

fn step(id: &str, depends_on: &[&str]) -> Value {
    json!({"id": id, "tool": "tool.echo", "effect": "none", "depends_on": depends_on})
}

#[track_caller]
fn refused(bytes: &[u8], want: &str) {
    let error = Plan::parse(bytes).unwrap_err();
    assert!(error.to_string().contains(want), "{error}");
    assert_eq!(error.code(), "PLAN_FILE_BAD");
}

#[test]
fn ties_are_broken_by_the_order_of_the_file() {
    let steps = json!([
        step("d", &["c", "b"]),
        step("c", &["a"]),
        step("a", &[]),
        step("z", &[]),
        step("b", &["a", "a"])
    ]);
    let plan = Plan::parse(&file(&steps)).unwrap();
    let order: Vec<_> = plan.steps.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(order, ["a", "c", "z", "b", "d"]);
}

#[test]
fn circles_unknown_dependencies_and_ids_that_stand_twice_are_refused_with_their_place() {
    refused(
        &file(&json!([step("a", &["b"]), step("b", &["a"]), step("c", &[])])),
        "steps wait for each other: a, b",
    );
    refused(&file(&json!([step("a", &["a"])])), "steps wait for each other: a");
    refused(
        &file(&json!([step("a", &[]), step("b", &["x"])])),
        "steps[1] `b`: depends on `x`, and there is no such step",
    );
    refused(
        &file(&json!([step("a", &[]), step("a", &[])])),
        "steps[1] `a`: steps[0] has the same id",
    );
    refused(&file(&json!([])), "it has 0 steps");
    refused(&file(&json!([step("a b", &[])])), "an id has 1 to 128");
}

#[test]
fn what_is_not_understood_is_refused_with_line_and_column() {
    refused(b"{", "line 1 column 1");
    refused(br#"{"version": 2, "name": "n", "new": 1}"#, "version 2 is not known here");
    refused(br#"{"version": 1, "name": "n", "steps": [], "stepz": 1}"#, "unknown field `stepz`");
    refused(br#"{"version": 1, "name": "", "steps": []}"#, "`name` has 1 to 100 bytes");
    let fired = json!({"version": 1, "name": "n", "fired_at": "noon", "steps": [step("a", &[])]});
    refused(fired.to_string().as_bytes(), "`fired_at` is `noon`");
    let cycle = json!({"version": 1, "name": "n", "cycle": 0, "steps": [step("a", &[])]});
    refused(cycle.to_string().as_bytes(), "`cycle` counts from 1");
    let params = json!([{"id": "a", "tool": "t", "effect": "none", "params": 1}]);
    refused(&file(&params), "steps[0] `a`: `params` is no object");
    let long = vec![b' '; usize::try_from(PLAN_LEN_MAX).unwrap() + 1];
    refused(&long, "at most 1048576 are read");
    let effect = json!([{"id": "a", "tool": "t", "effect": "maybe"}]);
    refused(&file(&effect), "unknown variant `maybe`");
}

#[test]
fn only_a_file_with_a_known_content_confirms() {
    let confirmed = |effect: &str, confirm: Value| {
        file(&json!([{"id": "a", "tool": "t", "effect": effect, "confirm": confirm}]))
    };
    let hash = sha256(b"x");
    Plan::parse(&confirmed("confirmable", json!({"file": "/f", "after": hash}))).unwrap();
    for (effect, confirm, want) in [
        ("confirmable", json!(null), "`confirmable` needs `confirm`"),
        ("opaque", json!({"file": "/f", "after": hash}), "is for the effect `confirmable`"),
        ("confirmable", json!({"file": "f", "after": hash}), "an absolute path"),
        ("confirmable", json!({"file": "/f"}), "needs `before`, `after`, or both"),
        ("confirmable", json!({"file": "/f", "after": "x"}), "`confirm.after` is sha256-"),
        (
            "confirmable",
            json!({"file": "/f", "before": "absent", "after": "absent"}),
            "are the same",
        ),
    ] {
        refused(&confirmed(effect, confirm), want);
    }
}

#[test]
fn the_same_file_gives_the_same_mandate_and_another_time_another_one() {
    let plan = || Plan::parse(&file(&json!([step("a", &[])]))).unwrap();
    let one = plan().mandate(None).unwrap();
    assert_eq!(one, plan().mandate(None).unwrap());
    let spaced = Plan::parse(br#" {"steps":[{"effect":"none","tool":"tool.echo","id":"a","depends_on":[]}],"name":"n","version":1} "#);
    assert_eq!(one.id, spaced.unwrap().mandate(None).unwrap().id, "spaces do not count");
    let fired = plan().mandate(Some("2026-04-20T12:00:00Z")).unwrap();
    assert_eq!(fired.id, mandate_id(&plan_id("n", "2026-04-20T12:00:00Z")));
    assert_ne!(fired.id, one.id);
    assert!(plan().mandate(Some("noon")).is_err());
}

#[test]
fn a_key_names_mandate_cycle_step_and_parameters() {
    let steps = json!([{"id": "a", "tool": "t", "effect": "opaque", "params": {"x": 1}}]);
    let whole = json!({"version": 1, "name": "n", "cycle": 2, "steps": steps});
    let mandate = Plan::parse(whole.to_string().as_bytes()).unwrap().mandate(None).unwrap();
    let step = &mandate.commit.steps[0];
    let hash = step.params_hash.as_deref().unwrap();
    assert_eq!(mandate.idem_key(step), format!("{}:2:a:{hash}", mandate.id));
    assert!(mandate.commit.plan_id.ends_with("_002"), "{}", mandate.commit.plan_id);
    assert_eq!((&step.pre_hash, &step.expected_post_hash), (&None, &None));
}

#[test]
fn parameters_without_a_hash_are_refused_with_their_step() {
    let steps = json!([{"id": "a", "tool": "t", "effect": "none", "params": {"x": 0.5}}]);
    let error = Plan::parse(&file(&steps)).unwrap().mandate(None).unwrap_err();
    assert!(error.to_string().starts_with("step `a`: `params`: the float 0.5"), "{error}");
}

proptest! {
    #[test]
    fn every_order_has_each_step_behind_what_it_depends_on(
        edges in prop::collection::vec((0usize..12, 0usize..12), 0..30),
    ) {
        let name = |it: usize| format!("s{it}");
        // Edges to smaller numbers only: no circle. The file has them the other way round.
        let steps: Vec<Value> = (0..12)
            .rev()
            .map(|at| {
                let on = edges.iter().filter(|it| it.0 == at && it.1 < at).map(|it| name(it.1));
                let on: Vec<String> = on.collect();
                json!({"id": name(at), "tool": "t", "effect": "none", "depends_on": on})
            })
            .collect();
        let plan = Plan::parse(&file(&Value::Array(steps))).unwrap();
        prop_assert_eq!(plan.steps.len(), 12);
        for (at, step) in plan.steps.iter().enumerate() {
            for before in &step.depends_on {
                prop_assert!(plan.steps[..at].iter().any(|it| it.id == *before));
            }
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        drop(Plan::parse(&bytes));
    }
}
