//! Modules nobody wrote: they never end the process, and they are never allowed more than the
//! engine, asked directly, allows.

#![expect(clippy::unwrap_used, reason = "tests")]

mod kit;

use std::collections::BTreeSet;

use kit::{echo, try_evaluator, word};
use policy::Evaluator;
use proptest::prelude::*;
use regorus::Value;
use serde_json::json;

/// What modules are made of.
const PARTS: [&str; 72] = [
    "allow",
    "deny",
    "decision",
    "contains",
    "if",
    "else",
    "not",
    "some",
    "every",
    "in",
    "with",
    "as",
    "default",
    "import",
    "package",
    "input",
    "data",
    "input.kind",
    "input.params",
    "true",
    "false",
    "null",
    "x",
    "y",
    "_",
    "f",
    "g",
    "f(",
    "g(",
    "count(",
    "sprintf(",
    "print(",
    "trace(",
    "rand.intn(",
    "data.autonomy",
    "data.autonomy.allow",
    "0",
    "1",
    "-1",
    "1.5",
    "\"a\"",
    "\"allow\"",
    "`raw`",
    "[",
    "]",
    "{",
    "}",
    "(",
    ")",
    ":=",
    "=",
    "==",
    "!=",
    "<",
    ">=",
    "+",
    "-",
    "*",
    "/",
    "%",
    "|",
    "&",
    ",",
    ";",
    ":",
    ".",
    "\n",
    "\n",
    "\n",
    "x | x",
    "#",
    "\"",
];

/// Statements that are close to something that makes sense.
const RULES: [&str; 24] = [
    "allow := true",
    "allow if input.kind == \"tool.echo\"",
    "default allow := false",
    "deny contains \"x\"",
    "deny contains x if some x in input.params",
    "deny := {1}",
    "decision := {\"allow\": true}",
    "decision := {\"allow\": false, \"reason\": \"r\"}",
    "decision := {\"allow\": 1}",
    "decision := x if { x := {\"allow\": true} }",
    "f(x) := x + 1",
    "f(x) := g(x)",
    "g(x) := f(x)",
    "y := f(1)",
    "allow if y == 2",
    "allow if every k, v in input { k != v }",
    "deny contains \"y\" if count(data.autonomy.deny) > 0",
    "p[x] := 1 if some x in [1, 2]",
    "allow if p[1]",
    "import input.kind as kind",
    "allow if kind",
    "deny contains f(y)",
    "allow if { not deny[\"x\"] }",
    "decision.allow := true",
];

fn module() -> impl Strategy<Value = String> {
    let soup = prop::collection::vec(prop::sample::select(&PARTS[..]), 0..40)
        .prop_map(|parts| parts.join(" "));
    let rules = prop::collection::vec(prop::sample::select(&RULES[..]), 0..6)
        .prop_map(|rules| rules.join("\n"));
    let cut = (rules.clone(), any::<prop::sample::Index>(), prop::sample::select(&PARTS[..]))
        .prop_map(|(text, at, part)| {
            let at = if text.is_empty() { 0 } else { at.index(text.len()) };
            let (before, after) = text.split_at(at);
            format!("{before} {part} {after}")
        });
    prop_oneof![soup, rules, cut, ".{0,60}"]
}

/// What the engine says when it is asked for the whole package, by the rule that every one of the
/// three that is there must say yes.
fn engine_allows(rules: &str) -> bool {
    let mut engine = regorus::Engine::new();
    engine.set_gather_prints(true);
    let text = format!("package autonomy\n\n{rules}\n");
    if engine.add_policy("policy.rego".to_owned(), text).is_err() {
        return false;
    }
    let input = json!({"kind": "tool.echo", "params": {}, "context": {
        "node": "n1", "operator": "op", "time": "2026-03-01T09:30:00.000Z", "mode": "normal",
    }});
    engine.set_input(Value::from_json_str(&input.to_string()).unwrap());
    let mut ask = |rule: &str| match engine.eval_rule(format!("data.autonomy.{rule}")) {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.to_string() == "not a valid rule path" => Ok(None),
        Err(error) => Err(error),
    };
    let (Ok(decision), Ok(allow), Ok(deny)) = (ask("decision"), ask("allow"), ask("deny")) else {
        return false;
    };
    let whole = decision.map(|it| it.as_object().is_ok() && it["allow"] == Value::from(true));
    let flag = allow.map(|it| it == Value::from(true));
    let veto = deny.is_some_and(|it| it != Value::Undefined && it != Value::from(BTreeSet::new()));
    let declared: Vec<_> = whole.into_iter().chain(flag).collect();
    !veto && !declared.is_empty() && declared.iter().all(|it| *it)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn a_random_module_never_ends_the_process_and_never_allows_more_than_the_engine(
        rules in module(),
    ) {
        if let Ok(evaluator) = try_evaluator(&rules, &json!({})) {
            let decision = evaluator.evaluate(&echo());
            prop_assert!(word(&decision) != "evaluator_panicked", "{}", rules);
            if decision.is_allow() {
                prop_assert!(engine_allows(&rules), "{}", rules);
            }
        }
    }
}
