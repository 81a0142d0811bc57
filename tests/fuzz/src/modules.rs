//! Any module: it never ends the process, it decides the same with an index and without, and it allows
//! nothing that the engine, asked directly, does not allow.
//!
//! The bytes are the text of the rules; `\x01` separates a second module of package `library`.

use std::{
    collections::BTreeMap,
    panic,
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;
use policy::{Context, Decision, DenyCode, Evaluator, Recipe, Request, RuntimeRequirement, build};
use serde_json::{Value, json};

use crate::plain_policy::{allows, engine};

const KINDS: [&str; 3] = ["tool.echo", "a", ""];

/// A request and its input document, made here a second time.
pub fn request(kind: &str, params: &Value) -> (Request, Value) {
    let context = Context {
        node: "n1".to_owned(),
        operator: "op".to_owned(),
        time: "2026-03-01T09:30:00Z".parse().unwrap(),
        mode: "normal".to_owned(),
    };
    let input = json!({"kind": kind, "params": params, "context": {
        "node": "n1", "operator": "op", "time": "2026-03-01T09:30:00.000Z", "mode": "normal",
    }});
    let params = params.as_object().unwrap().clone();
    (Request { kind: kind.to_owned(), params, context, agent_context: None }, input)
}

/// Checks one text.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (rules, library) = text.split_once('\u{1}').unwrap_or((text, ""));
    let modules = [
        ("policy.rego", format!("package autonomy\n\n{rules}\n")),
        ("site.rego", format!("package library\n\n{library}\n")),
    ];
    let files: BTreeMap<_, _> = modules
        .iter()
        .map(|(name, text)| ((*name).to_owned(), text.clone().into_bytes()))
        .collect();
    let requirement = RuntimeRequirement::default();
    let created_at = Timestamp::UNIX_EPOCH;
    let recipe = Recipe { version: "1.0.0", name: None, requirement: &requirement, created_at };
    let built = match build(&files, &recipe) {
        Ok(built) => built,
        Err(error) => {
            assert!(!error.code().is_empty() && !error.to_string().is_empty());
            return;
        }
    };
    let indexed = built.bundle.evaluator().unwrap();
    let whole = built.bundle.evaluator().unwrap().without_index();
    let texts = modules.each_ref().map(|(name, text)| (*name, text.as_str()));
    let mut plain = engine(&texts, &json!({}));
    for kind in KINDS {
        let (request, input) = request(kind, &json!({"n": 3, "text": "7", "list": [1, "a", null]}));
        let decision = quietly(|| indexed.evaluate(&request));
        let again = quietly(|| whole.evaluate(&request));
        // Time is the one thing that may differ.
        if !timed_out(&decision) && !timed_out(&again) {
            assert_eq!(decision, again, "X1");
        }
        if decision.is_allow() {
            let plain = plain.as_mut().expect("the engine takes it");
            assert!(allows(plain, &input), "the engine does not allow it");
        }
    }
}

fn timed_out(decision: &Decision) -> bool {
    matches!(decision, Decision::Deny(deny) if deny.code() == DenyCode::EvaluationTimeout)
}

/// A panic of the engine is caught and is a deny; only its noise is kept away, and from a fuzzer, which
/// would take it for a finding, its hook.
pub fn quietly<T>(work: impl FnOnce() -> T) -> T {
    // There is one hook for all threads.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let res = work();
    panic::set_hook(hook);
    res
}
