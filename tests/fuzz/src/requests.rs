//! Any body of a tool call: refused, or decided as the engine itself decides; a policy that fails never
//! allows.
//!
//! The bytes are the body.

use std::sync::OnceLock;

use policy::{
    Context, Decision, Evaluator, REQUEST_LEN_MAX, Recipe, RegoEvaluator, Request,
    RuntimeRequirement, build,
};
use serde_json::{Value, json};

use crate::{
    modules::quietly,
    plain_policy::{allows, engine},
};

#[path = "../../../crates/runtime/src/shape.rs"]
mod shape;

/// Policies that look at requests in every way; those that begin with `# never` cannot allow.
pub const POLICIES: [&str; 14] = [
    "decision := {\"allow\": true, \"rule\": \"echo\"} if input.kind == \"tool.echo\"
     decision := {\"allow\": false, \"reason\": \"no\"} if input.kind == \"tool.shell\"",
    "default allow := false\nallow if startswith(input.kind, \"tool.\")
     deny contains \"long\" if count(input.params) > 3",
    "allow if to_number(input.params.n) >= 1",
    "allow if not to_number(input.params.n) >= 1",
    "allow if { every x in input.params.list { is_number(x); x < 10 } }",
    "allow if { some x in input.params.list; x > 1.5 }",
    "allow if regex.match(`^[a-z]+$`, input.params.text)\ndeny contains input.params.text if count(input.params.text) > 9",
    "decision := {\"allow\": true, \"obligations\": [input.params]} if input.params.text",
    "decision := {\"allow\": input.params.allow, \"reason\": input.params.text}",
    "allow if { x := lower(input.params.text); indexof(x, \"a\") >= 0; substring(x, 0, 3) != \"\" }",
    "allow if json.marshal(input.params) != sprintf(\"%v\", [input.params.text])
     deny contains sprintf(\"%s\", [input.params.text])",
    "allow if { input.params.n + 1 > input.params.n; input.params.n % 2 == 0 }",
    "# never\nallow if { to_number(\"x\") > 0 }\nallow if input.kind != \"\"",
    "# never\nallow := true\nallow := false if input.kind != null",
];

/// One policy, and its text for the engine.
struct Known {
    evaluator: RegoEvaluator,
    text: String,
}

fn known() -> &'static [Known] {
    static KNOWN: OnceLock<Vec<Known>> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let known = POLICIES.iter().map(|rules| {
            let text = format!("package autonomy\n{rules}\n");
            let files = [("policy.rego".to_owned(), text.clone().into_bytes())].into();
            let requirement = RuntimeRequirement::default();
            let created_at = jiff::Timestamp::UNIX_EPOCH;
            let version = "1.0.0";
            let recipe = Recipe { version, name: None, requirement: &requirement, created_at };
            let evaluator = build(&files, &recipe).unwrap().bundle.evaluator().unwrap();
            Known { evaluator, text }
        });
        known.collect()
    })
}

/// Checks one body.
pub fn check(bytes: &[u8]) {
    let Ok(call) = shape::parse(bytes) else { return };
    // What is accepted means the same when it is written and read again.
    let text = serde_json::to_string(&call).unwrap();
    assert_eq!(serde_json::from_str::<api::tool::ToolRequest>(&text).unwrap(), call);
    decide(&call.kind, &call.params, (!call.context.is_empty()).then_some(&call.context));
}

/// Decides by every policy, and returns how many of them allow.
pub fn decide(
    kind: &str,
    params: &serde_json::Map<String, Value>,
    agent: Option<&serde_json::Map<String, Value>>,
) -> usize {
    let mut input = json!({"kind": kind, "params": params, "context": {
        "node": "n1", "operator": "op", "time": "2026-03-01T09:30:00.000Z", "mode": "normal",
    }});
    if let Some(agent) = agent {
        input["context"]["agent"] = Value::Object(agent.clone());
    }
    let request = Request {
        kind: kind.to_owned(),
        params: params.clone(),
        context: Context {
            node: "n1".to_owned(),
            operator: "op".to_owned(),
            time: "2026-03-01T09:30:00Z".parse().unwrap(),
            mode: "normal".to_owned(),
        },
        agent_context: agent.cloned(),
    };
    let mut allowed = 0;
    for Known { evaluator, text } in known() {
        match quietly(|| evaluator.evaluate(&request)) {
            Decision::Allow(_) => {
                allowed += 1;
                assert!(!text.contains("# never"), "a policy that fails allows: {text}");
                assert!(input.to_string().len() <= 8 * REQUEST_LEN_MAX);
                let mut plain = engine(&[("policy.rego", text)], &json!({})).unwrap();
                assert!(allows(&mut plain, &input), "the engine does not allow it: {text}");
            }
            Decision::Deny(deny) => {
                assert!(!deny.reason().is_empty() && !deny.code().as_str().is_empty(), "D1");
            }
        }
    }
    allowed
}
