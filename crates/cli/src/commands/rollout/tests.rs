//! Plans as text against what the control plane answers, and the commands that it spells.

use std::io::{self, Write};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::text;

fn shown<T: DeserializeOwned>(
    value: Value,
    write: fn(&T, &mut dyn Write) -> io::Result<()>,
) -> String {
    let mut out = Vec::new();
    write(&serde_json::from_value(value).unwrap(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn rollout() -> Value {
    json!({
        "plan": {
            "metadata": { "id": "arm-1.2.0", "labels": { "team": "arms" } },
            "artifact_ref": "corrupt://x", "target_lock_fingerprint": "blake3:0",
            "rollout_kind": "os_reconstruction", "channel": "stable",
            "stages": [{ "id": "canary", "percent": 5, "gates": [] },
                { "id": "rest", "nodes": ["a", "b"], "gates": [] }],
        },
        "plan_digest": "blake3:d", "phase": "paused", "current_stage_id": "canary",
        "stages": [
            { "id": "canary", "phase": "open", "entered_at": "2026-01-02T03:04:05Z",
              "nodes": { "targeted": 10, "verified": 9, "failed": 1 } },
            { "id": "rest", "phase": "pending", "nodes": { "targeted": 2, "verified": 0, "failed": 0 } },
        ],
        "attempt": 1, "generation": 4, "created_at": "2026-01-02T03:04:05Z", "created_by": "ann",
        "updated_at": "2026-01-02T04:00:00Z", "updated_by": "bob\u{1b}[2J", "reason": "lunch\nbreak",
        "warnings": [{ "code": "ARTIFACT_SCHEME", "field": "artifact_ref", "message": "odd" }],
    })
}

#[test]
fn a_plan_is_shown_with_stages_and_warnings_and_obeyed_by_no_terminal() {
    let want = "\
plan        arm-1.2.0
phase       paused
stage       canary
generation  4
updated     2026-01-02T04:00:00Z by bob\\u{1b}[2J
reason      lunch\\nbreak
attempt     1
created     2026-01-02T03:04:05Z by ann
artifact    corrupt://x
lock        blake3:0
kind        os_reconstruction
channel     stable
digest      blake3:d
labels      team=arms

STAGE   PHASE    SHARE    NODES  HEALTHY  FAILED  ENTERED               DEADLINE
canary  open     5%       10     9        1       2026-01-02T03:04:05Z  -
rest    pending  2 nodes  2      0        0       -                     -
warning: artifact_ref: odd (ARTIFACT_SCHEME)
";
    assert_eq!(shown(rollout(), text::plan), want);
}

#[test]
fn a_list_has_a_line_a_plan() {
    let list = json!({ "rollouts": [rollout()], "count": 1, "total": 7 });
    let want = "\
PLAN_ID    PHASE   STAGE   CHANNEL  GENERATION  UPDATED
arm-1.2.0  paused  canary  stable   4           2026-01-02T04:00:00Z
";
    assert_eq!(shown(list, text::list), want);
}

#[test]
fn a_stuck_plan_is_shown_with_its_diagnosis_and_the_commands_to_copy() {
    let list = json!({ "count": 2, "threshold_seconds": 2, "more": false, "stuck_plans": [
        { "plan_id": "p", "phase": "published", "current_stage_id": "all",
          "stuck_since": "2026-01-02T03:04:05Z", "stuck_reason": "published without progress for 3s",
          "diagnosis": "no node has acted on the plan yet",
          "next_actions": ["autonomy rollback execute --target rollout_plan"] },
        { "plan_id": "q", "stuck_since": "t", "stuck_reason": "r", "diagnosis": "d",
          "next_actions": [] },
    ]});
    let want = "\
PLAN_ID  PHASE      STAGE  STUCK_SINCE           REASON
p        published  all    2026-01-02T03:04:05Z  published without progress for 3s
q        -          -      t                     r

p: no node has acted on the plan yet
  autonomy rollback execute --target rollout_plan

q: d
";
    assert_eq!(shown(list, text::stuck), want);
}

#[test]
fn an_explanation_and_gates_and_a_ruling_are_shown() {
    let explanation = json!({ "plan_id": "p", "phase": "active", "fact": "waits", "since": "t",
        "owner": "an operator", "next_action": "approve", "commands": ["autonomy x"] });
    let want = "\
plan   p
phase  active
fact   waits
since  t
owner  an operator
next   approve
  autonomy x
";
    assert_eq!(shown(explanation, text::explanation), want);
    let gates = json!({ "plan_id": "p", "plan_digest": "blake3:d", "stage_id": "s",
        "stage_phase": "open", "manual_approved": false, "all_passed": false, "gates": [
            { "id": "soak", "kind": "time_soak", "outcome": "pass", "passed": true,
              "detail": "soak elapsed 30m of required 30m" },
            { "id": "m", "kind": "manual", "outcome": "inconclusive", "passed": false,
              "detail": "awaiting operator approval" }]});
    let want = "\
plan    p
stage   s (open)
digest  blake3:d

GATE  KIND       OUTCOME       EXPIRES  DETAIL
soak  time_soak  pass          -        soak elapsed 30m of required 30m
m     manual     inconclusive  -        awaiting operator approval
";
    assert_eq!(shown(gates, text::gates), want);
    let answer = json!({ "approved": true, "promoted": false, "message": "approved",
        "rollout": rollout() });
    let text = shown(answer, text::ruled);
    assert!(text.starts_with("approved\napproved  yes\npromoted  no\nplan        arm-1.2.0\n"));
}
