//! What the integration tests share: requests, bundles and decisions in few words.

#![allow(dead_code, reason = "every test file uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;

use jiff::Timestamp;
use policy::{
    Bundle, BundleError, Context, Decision, DenyCode, Evaluator, ModuleError, Recipe,
    RegoEvaluator, Request, RuntimeRequirement, build,
};
use serde_json::{Map, Value, json};

/// A request with these parameters, at a fixed time.
pub(crate) fn request(kind: &str, params: &Value) -> Request {
    Request {
        kind: kind.to_owned(),
        params: params.as_object().unwrap().clone(),
        context: Context {
            node: "n1".to_owned(),
            operator: "op".to_owned(),
            time: "2026-03-01T09:30:00Z".parse().unwrap(),
            mode: "normal".to_owned(),
        },
        agent_context: None,
    }
}

/// A request without parameters.
pub(crate) fn echo() -> Request {
    request("tool.echo", &Value::Object(Map::new()))
}

/// Files of a bundle.
pub(crate) fn files(files: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
    files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect()
}

/// A bundle of version 1.0.0 for any runtime.
pub(crate) fn try_bundle(list: &[(&str, &str)]) -> Result<Bundle, BundleError> {
    Ok(build(&files(list), &recipe("1.0.0", &RuntimeRequirement::default()))?.bundle)
}

pub(crate) fn recipe<'a>(version: &'a str, requirement: &'a RuntimeRequirement) -> Recipe<'a> {
    Recipe { version, name: Some("test"), requirement, created_at: Timestamp::UNIX_EPOCH }
}

/// A policy with its index and without, which must always say the same (X1).
#[derive(Debug)]
pub(crate) struct Both {
    pub(crate) indexed: RegoEvaluator,
    pub(crate) whole: RegoEvaluator,
}

impl Both {
    pub(crate) fn of(bundle: &Bundle) -> Result<Self, ModuleError> {
        Ok(Self { indexed: bundle.evaluator()?, whole: bundle.evaluator()?.without_index() })
    }
}

impl Evaluator for Both {
    fn evaluate(&self, request: &Request) -> Decision {
        let decision = self.indexed.evaluate(request);
        assert_eq!(decision, self.whole.evaluate(request), "{request:?}");
        decision
    }

    fn policy_ref(&self) -> &str {
        self.indexed.policy_ref()
    }

    fn policy_digest(&self) -> &str {
        self.indexed.policy_digest()
    }
}

/// The evaluator of one module of package `autonomy` and data.
pub(crate) fn evaluator(rules: &str, data: &Value) -> Both {
    match try_evaluator(rules, data) {
        Ok(evaluator) => evaluator,
        Err(error) => panic!("{rules}\n{error}"),
    }
}

pub(crate) fn try_evaluator(rules: &str, data: &Value) -> Result<Both, BundleError> {
    let module = format!("package autonomy\n\n{rules}\n");
    let bundle = try_bundle(&[("policy.rego", &module), ("data.json", &data.to_string())])?;
    Ok(Both::of(&bundle)?)
}

/// What one module of package `autonomy` decides about a request, in one word.
pub(crate) fn ask(rules: &str, request: &Request) -> String {
    word(&evaluator(rules, &json!({})).evaluate(request))
}

/// `allow`, or the code of a deny.
pub(crate) fn word(decision: &Decision) -> String {
    match decision {
        Decision::Allow(_) => "allow".to_owned(),
        Decision::Deny(deny) => deny.code().to_string(),
    }
}

/// The code and the reason of a deny.
pub(crate) fn denial(decision: &Decision) -> (DenyCode, String) {
    match decision {
        Decision::Deny(deny) => (deny.code(), deny.reason().to_owned()),
        Decision::Allow(allow) => panic!("{allow:?}"),
    }
}
