//! The attributes of a decision.
//!
//! Every call has one, so it is written from what it is about without a copy of that.
//!
//! * **O5** The fields stand in byte order of their names, as the attributes of every other entry do.

use std::{fmt, io};

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use wal_format::canonical_object;

use super::{About, Call};
use crate::interceptor::Judgement;

/// Most bytes of parameters, as JSON, that stand in an entry.
const PARAMS_LEN_MAX: usize = 64 << 10;

/// What was decided about a call (O5).
#[derive(Debug, Serialize)]
pub(crate) struct Decision<'a> {
    audit_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<Shown<'a>>,
    #[serde(rename = "decision")]
    verdict: &'static str,
    eval_us: u64,
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    lock_fingerprint: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    obligations: &'a [Value],
    #[serde(skip_serializing_if = "Option::is_none")]
    operator: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<&'a Map<String, Value>>,
    #[serde(serialize_with = "text")]
    params_digest: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    params_omitted_bytes: Option<usize>,
    policy_digest: &'a str,
    policy_ref: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
}

/// What the policy was shown besides the call and its operator: with it the decision can be made again (O4).
#[derive(Debug, Serialize)]
struct Shown<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<&'a Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_omitted_bytes: Option<usize>,
    mode: &'a str,
    node: &'a str,
    #[serde(serialize_with = "text")]
    time: Time,
}

impl<'a> Decision<'a> {
    pub(super) fn of(call: &'a Call, judged: &'a Judgement, about: &'a About) -> Self {
        let (params, params_omitted_bytes) = bounded(&call.params, about.redact_params);
        Self {
            audit_id: &call.audit_id,
            code: judged.code,
            context: judged.asked.as_ref().map(|it| Shown::to(it, about)),
            verdict: judged.verdict.as_str(),
            eval_us: judged.eval_us,
            kind: &call.kind,
            lock_fingerprint: judged.lock_fingerprint.as_deref(),
            obligations: &judged.obligations,
            operator: about.operator.as_deref(),
            params,
            params_digest: Digest(blake3::hash(&canonical_object(&call.params))),
            // That something was left out says the digest, which stands alone then (O2).
            params_omitted_bytes: params_omitted_bytes.filter(|_| !about.redact_params),
            policy_digest: &judged.policy_digest,
            policy_ref: &judged.policy_ref,
            reason: judged.reason.as_deref(),
            rule: judged.rule.as_deref(),
        }
    }
}

impl<'a> Shown<'a> {
    fn to(asked: &'a policy::Request, about: &About) -> Self {
        let policy::Context { node, time, mode, .. } = &asked.context;
        let agent = asked.agent_context.as_ref().map(|it| bounded(it, about.redact_params));
        let (agent, agent_omitted_bytes) = agent.unwrap_or_default();
        Self { agent, agent_omitted_bytes, mode, node, time: Time(*time) }
    }
}

/// An object, or how long it is when it stands in no entry (O2, O3).
fn bounded(
    object: &Map<String, Value>,
    redact: bool,
) -> (Option<&Map<String, Value>>, Option<usize>) {
    match json_len(object) {
        len if redact || len > PARAMS_LEN_MAX => (None, Some(len)),
        _ => (Some(object), None),
    }
}

/// Bytes of an object as JSON.
fn json_len(object: &Map<String, Value>) -> usize {
    struct Count(usize);

    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let mut count = Count(0);
    // Strings, numbers and maps with string keys always serialize.
    serde_json::to_writer(&mut count, object).map_or(0, |()| count.0)
}

fn text<S: Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Of the canonical parameters.
#[derive(Debug)]
struct Digest(blake3::Hash);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blake3:{}", self.0.to_hex())
    }
}

/// As exactly as the policy sees it.
#[derive(Debug)]
struct Time(Timestamp);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use api::tool::Verdict;
    use serde_json::json;

    use super::*;

    fn object(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn written(agent: &Value, redact_params: bool) -> String {
        let call = Call {
            audit_id: "id".to_owned(),
            kind: "tool.x".to_owned(),
            params: object(&json!({ "b": 1, "a": "s3cr3t" })),
            trace: None,
        };
        let asked = policy::Request {
            kind: call.kind.clone(),
            params: call.params.clone(),
            context: policy::Context {
                node: "n".to_owned(),
                operator: "op".to_owned(),
                time: Timestamp::UNIX_EPOCH,
                mode: "normal".to_owned(),
            },
            agent_context: Some(object(agent)),
        };
        let judged = Judgement {
            lock_fingerprint: None,
            verdict: Verdict::Deny,
            reason: Some("no".to_owned()),
            code: Some("policy_denied"),
            rule: Some("r".to_owned()),
            policy_ref: "1.0.0".to_owned(),
            policy_digest: "sha256:00".to_owned(),
            eval_us: 7,
            obligations: vec![json!("log")],
            asked: Some(asked),
        };
        let about = About { operator: Some("op".to_owned()), redact_params };
        serde_json::to_string(&Decision::of(&call, &judged, &about)).unwrap()
    }

    #[test]
    fn the_bytes_of_a_decision_are_pinned() {
        let digest = blake3::hash(br#"{"a":"s3cr3t","b":1}"#).to_hex();
        let (head, tail) = (
            r#"{"audit_id":"id","code":"policy_denied","context":{"#,
            r#""mode":"normal","node":"n","time":"1970-01-01T00:00:00.000Z"},"decision":"deny","eval_us":7,"kind":"tool.x","obligations":["log"],"operator":"op","#,
        );
        let end = format!(
            r#""params_digest":"blake3:{digest}","policy_digest":"sha256:00","policy_ref":"1.0.0","reason":"no","rule":"r"}}"#
        );
        let params = r#""params":{"a":"s3cr3t","b":1},"#;
        let whole = format!(r#"{head}"agent":{{"x":1}},{tail}{params}{end}"#);
        assert_eq!(written(&json!({ "x": 1 }), false), whole);
        let redacted = format!(r#"{head}"agent_omitted_bytes":7,{tail}{end}"#);
        assert_eq!(written(&json!({ "x": 1 }), true), redacted);
    }

    /// O5.
    #[test]
    fn a_decision_is_written_as_a_map_of_its_attributes_would_be() {
        let long = json!({ "x": "y".repeat(PARAMS_LEN_MAX) });
        for (agent, redact) in [(json!({ "x": 1 }), false), (long, false), (json!({}), true)] {
            let text = written(&agent, redact);
            let map: Map<String, Value> = serde_json::from_str(&text).unwrap();
            assert_eq!(serde_json::to_string(&map).unwrap(), text);
        }
    }
}
