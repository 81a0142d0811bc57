//! What is a plan and what is not.
#![expect(clippy::too_many_lines, reason = "a table of requests is as long as it is")]

use proptest::prelude::*;
use rollout_store::{
    Phase, Plan, PlanError, PlanRequest, Strictness,
    plan::{GATES_MAX, GateRule, Kind, LABELS_MAX, NODES_MAX, PLAN_LEN_MAX, STAGES_MAX, Target},
};

fn parse(body: &str) -> Result<PlanRequest, PlanError> {
    PlanRequest::parse(body.as_bytes(), Strictness::Warn)
}

/// A plan with these members beside those that are needed.
fn with(members: &str) -> Result<PlanRequest, PlanError> {
    parse(&format!(
        r#"{{"metadata":{{"id":"p"}},"artifact_ref":"a","target_lock_fingerprint":"f"{members}}}"#
    ))
}

fn with_stage(members: &str) -> Result<PlanRequest, PlanError> {
    with(&format!(r#","stages":[{{"id":"s"{members}}}]"#))
}

fn with_gate(gate: &str) -> Result<PlanRequest, PlanError> {
    with_stage(&format!(r#","percent":10,"gates":[{gate}]"#))
}

#[test]
fn what_is_left_out_has_the_documented_default() {
    let request = with("").unwrap();
    assert_eq!(request.initial_phase, Phase::Published);
    let plan = request.plan;
    assert_eq!((plan.rollout_kind, plan.channel.as_str()), (Kind::Behavior, "stable"));
    assert_eq!(plan.stages.len(), 1);
    assert_eq!(plan.stages[0].target, Target::Percent(100));
    assert_eq!(plan.stages[0].gates[0].rule, GateRule::STANDARD);
    assert_eq!(plan.stages[0].deadline_seconds, 86_400);
    let soaking = with_gate(r#"{"kind":"time_soak","soak_seconds":100000}"#).unwrap();
    assert_eq!(
        soaking.plan.stages[0].deadline_seconds, 186_400,
        "a soak does not eat the deadline"
    );
    assert_eq!(with(r#","initial_phase":"draft""#).unwrap().initial_phase, Phase::Draft);
}

#[test]
fn the_id_stands_in_metadata_or_at_the_top() {
    let body = |top: &str, meta: &str| {
        parse(&format!(r#"{{{top}{meta}"artifact_ref":"a","target_lock_fingerprint":"f"}}"#))
    };
    let of = |id: &str| format!(r#""id":"{id}","#);
    let meta = |id: &str| format!(r#""metadata":{{"id":"{id}"}},"#);
    for (top, inner) in [(of("x"), String::new()), (String::new(), meta("x")), (of("x"), meta("x"))]
    {
        assert_eq!(body(&top, &inner).unwrap().plan.id().as_str(), "x");
    }
    assert_eq!(body(&of("x"), &meta("y")), Err(PlanError::Id { found: 2 }));
    assert_eq!(body("", ""), Err(PlanError::Id { found: 0 }));
    assert_eq!(body("", r#""metadata":{},"#), Err(PlanError::Id { found: 0 }));
    for reserved in [".", "..", "stuck"] {
        assert_eq!(body(&of(reserved), "").unwrap_err().code(), "PLAN_ID_RESERVED");
    }
    for bad in ["", "a b", "a/b", &"a".repeat(129)] {
        assert_eq!(body(&of(bad), "").unwrap_err().code(), "PLAN_NAME", "{bad}");
    }
}

#[test]
fn a_nonsense_artifact_is_accepted_with_warnings_or_refused_on_request() {
    let body = br#"{"id":"val11-corrupt-1",
        "artifact_ref":"corrupt://chaos/artifact@sha256:deadbeefcorrupt",
        "target_lock_fingerprint":"blake3:0000000000000000corruption"}"#;
    let request = PlanRequest::parse(body, Strictness::Warn).unwrap();
    let codes: Vec<_> = request.warnings.iter().map(|it| it.code.as_str()).collect();
    assert_eq!(codes, ["ARTIFACT_SCHEME", "ARTIFACT_DIGEST", "FINGERPRINT_FORM"]);
    let error = PlanRequest::parse(body, Strictness::Artifacts).unwrap_err();
    assert_eq!(error.code(), "PLAN_ARTIFACT");
    assert!(error.to_string().starts_with("artifact_ref: scheme `corrupt`"), "{error}");

    let hex = "0123456789abcdef".repeat(4);
    let good = format!(
        r#"{{"id":"p","artifact_ref":"oci://r/a@sha256:{hex}","target_lock_fingerprint":"blake3:{hex}",
           "stages":[{{"id":"s","percent":50}}]}}"#
    );
    let request = PlanRequest::parse(good.as_bytes(), Strictness::Artifacts).unwrap();
    assert_eq!(request.warnings[0].code, "LAST_STAGE_PARTIAL");
    let unpinned = with("").unwrap();
    assert_eq!(unpinned.warnings[0].code, "ARTIFACT_UNPINNED");
}

#[test]
fn what_is_no_plan_is_refused_and_the_text_names_the_field() {
    let many =
        |count: usize, one: fn(usize) -> String| (0..count).map(one).collect::<Vec<_>>().join(",");
    let stages = |count| {
        let one = |it| format!(r#"{{"id":"s{it}","percent":1}}"#);
        with(&format!(r#","stages":[{}]"#, many(count, one)))
    };
    let nodes =
        |count| with_stage(&format!(r#","nodes":[{}]"#, many(count, |it| format!("\"n{it}\""))));
    let gates = |count| {
        let one = |it| format!(r#"{{"kind":"manual","id":"g{it}"}}"#);
        with_gate(&many(count, one))
    };
    let labels = |count| {
        let one = |it| format!(r#""k{it}":"v""#);
        parse(&format!(
            r#"{{"metadata":{{"id":"p","labels":{{{}}}}},"artifact_ref":"a","target_lock_fingerprint":"f"}}"#,
            many(count, one)
        ))
    };
    for good in [stages(STAGES_MAX), nodes(NODES_MAX), gates(GATES_MAX), labels(LABELS_MAX)] {
        good.unwrap();
    }
    let table = [
        (parse("[]"), "PLAN_SHAPE", "not a plan: invalid type"),
        (with(r#","stages":[["s",5]]"#), "PLAN_SHAPE", "not a plan: invalid type: sequence"),
        (parse("{}"), "PLAN_SHAPE", "not a plan: missing field `artifact_ref`"),
        (with(r#","stagess":[]"#), "PLAN_SHAPE", "not a plan: unknown field `stagess`"),
        (with(r#","channel":"a","channel":"b""#), "PLAN_SHAPE", "not a plan: duplicate field"),
        (with(r#","initial_phase":"active""#), "PLAN_SHAPE", "not a plan: unknown variant"),
        (with(r#","rollout_kind":"x""#), "PLAN_SHAPE", "not a plan: unknown variant `x`"),
        (with(r#","channel":"a b""#), "PLAN_NAME", "channel: a channel contains ' '"),
        (with(r#","stages":[]"#), "PLAN_COUNT", "stages has 0 entries"),
        (stages(STAGES_MAX + 1), "PLAN_COUNT", "stages has 65 entries; 1 to 64"),
        (nodes(NODES_MAX + 1), "PLAN_COUNT", "stages[0].nodes has 4097 entries"),
        (gates(GATES_MAX + 1), "PLAN_COUNT", "stages[0].gates has 17 entries"),
        (labels(LABELS_MAX + 1), "PLAN_COUNT", "metadata.labels has 65 entries"),
        (with_stage(""), "PLAN_FIELDS", "stages[0] needs either `percent` or `nodes`"),
        (with_stage(r#","percent":5,"nodes":["n"]"#), "PLAN_FIELDS", "stages[0] needs either"),
        (with_stage(r#","percent":0"#), "PLAN_RANGE", "stages[0].percent is 0; 1 to 100"),
        (with_stage(r#","percent":101"#), "PLAN_RANGE", "stages[0].percent is 101"),
        (with_stage(r#","percent":1.5"#), "PLAN_SHAPE", "not a plan: invalid type"),
        (with_stage(r#","percent":-1"#), "PLAN_SHAPE", "not a plan: invalid value"),
        (with_stage(r#","nodes":["n","n"]"#), "PLAN_TWICE", "stages[0].nodes stands twice: `n`"),
        (with_stage(r#","percent":5,"deadline_seconds":0"#), "PLAN_RANGE", "stages[0].deadline"),
        (with_stage(r#","percent":5,"when":1"#), "PLAN_SHAPE", "not a plan: unknown field `when`"),
        (
            with(r#","stages":[{"id":"a","percent":5},{"id":"a","percent":6}]"#),
            "PLAN_TWICE",
            "stages[1].id stands twice: `a`",
        ),
        (
            with(r#","stages":[{"id":"a","percent":50},{"id":"b","percent":10}]"#),
            "PLAN_PERCENT_FALLS",
            "stages[1].percent is 10 % after 50 %",
        ),
        (with_gate(r#"{"kind":"magic"}"#), "PLAN_SHAPE", "not a plan: unknown variant `magic`"),
        (with_gate(r#"{"kind":"manual"},{"kind":"manual"}"#), "PLAN_TWICE", "stages[0].gates"),
        (with_gate(r#"{"kind":"manual","soak_seconds":5}"#), "PLAN_FIELDS", "stages[0].gates[0]"),
        (with_gate(r#"{"kind":"time_soak"}"#), "PLAN_FIELDS", "stages[0].gates[0] takes"),
        (with_gate(r#"{"kind":"health","soak_seconds":5}"#), "PLAN_FIELDS", "stages[0].gates[0]"),
        (
            with_gate(r#"{"kind":"health","min_verified_percent":0}"#),
            "PLAN_RANGE",
            "stages[0].gates[0].min_verified_percent is 0",
        ),
        (
            with_stage(
                r#","percent":5,"deadline_seconds":60,"gates":[{"kind":"time_soak","soak_seconds":60}]"#,
            ),
            "PLAN_NEVER_PASSES",
            "stages[0].gates waits for 60 s and the stage ends after 60 s",
        ),
        (
            parse(r#"{"id":"p","artifact_ref":"","target_lock_fingerprint":"f"}"#),
            "PLAN_TEXT",
            "artifact_ref must have 1 to 1024 bytes",
        ),
        (
            parse(
                r#"{"metadata":{"id":"p","labels":{"a":"1","a":"2"}},"artifact_ref":"a","target_lock_fingerprint":"f"}"#,
            ),
            "PLAN_SHAPE",
            "not a plan: a label stands twice",
        ),
        (parse(&" ".repeat(PLAN_LEN_MAX + 1)), "PLAN_TOO_LARGE", "the request has 1048577 bytes"),
        (parse(&"[".repeat(100_000)), "PLAN_SHAPE", "not a plan"),
    ];
    for (found, code, text) in table {
        let error = found.expect_err(text);
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().starts_with(text), "{error}");
        assert!(error.to_string().len() < 400);
    }
}

/// L2.
#[test]
fn the_digest_is_that_of_the_content_however_it_is_written() {
    let a = with_stage(r#","nodes":["n2","n1"],"deadline_seconds":60"#).unwrap().plan;
    let b = parse(
        r#"{"target_lock_fingerprint":"f","stages":[{"deadline_seconds":60,"nodes":["n1","n2"],
            "gates":[{"kind":"health","window_seconds":3600}],"id":"s"}],
            "rollout_kind":"behavior","artifact_ref":"a","id":"p","initial_phase":"draft"}"#,
    );
    let b = b.unwrap().plan;
    assert_eq!(a, b);
    assert_eq!(a.digest(), b.digest());
    let golden = "blake3:fa24052ad1297990ec299439ac957a97dc190224edfb831253235bbc85517c5c";
    assert_eq!(a.digest().to_string(), golden, "approvals are bound to this number");
    let other = with_stage(r#","nodes":["n1"],"deadline_seconds":60"#).unwrap().plan;
    assert_ne!(a.digest(), other.digest());
}

#[test]
fn a_plan_is_shown_as_it_is_asked_for() {
    let plan = with_gate(r#"{"kind":"time_soak","soak_seconds":60}"#).unwrap().plan;
    let shown = serde_json::to_value(&plan).unwrap();
    let want = serde_json::json!({
        "metadata": {"id": "p"},
        "artifact_ref": "a",
        "target_lock_fingerprint": "f",
        "rollout_kind": "behavior",
        "channel": "stable",
        "stages": [{
            "id": "s",
            "percent": 10,
            "gates": [{"id": "time_soak", "kind": "time_soak", "soak_seconds": 60}],
            "deadline_seconds": 86_460,
        }],
    });
    assert_eq!(shown, want);
    let again = PlanRequest::parse(shown.to_string().as_bytes(), Strictness::Warn).unwrap();
    assert_eq!(again.plan, plan);
    assert_eq!(serde_json::from_value::<Plan>(shown).unwrap(), plan);
}

proptest! {
    /// R2.
    #[test]
    fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..400)) {
        _ = PlanRequest::parse(&body, Strictness::Artifacts);
    }

    #[test]
    fn no_json_makes_it_panic(text in "[\\[\\]{}:,\"a-z0-9 ]{0,200}") {
        _ = with_stage(&format!(",{text}"));
        _ = with(&format!(",{text}"));
    }
}
