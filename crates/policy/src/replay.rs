//! Recorded calls, decided again.
//!
//! A decision entry of the log carries everything that the policy was shown, so another policy can be asked
//! what it would have said. Pure: attributes of an entry come in, a value goes out.
//!
//! # What cannot be decided again
//!
//! The first row that fits counts.
//!
//! | entry                                                            | [`NotReplayable`]    |
//! |------------------------------------------------------------------|----------------------|
//! | a field is missing or of another type than the runtime writes    | `Unreadable`         |
//! | no `context`: no policy was asked                                | `NotAsked`           |
//! | `code` is one that does not depend on the policy's text          | `NotByPolicy`        |
//! | no `params`, and `params_omitted_bytes`                          | `ParamsOmitted`      |
//! | no `params`                                                      | `ParamsRedacted`     |
//! | `context.agent_omitted_bytes`                                    | `AgentContextOmitted` |
//!
//! # What changes
//!
//! | recorded                        | now                   | [`Change`]            |
//! |---------------------------------|-----------------------|-----------------------|
//! | allow                           | deny                  | `WouldDeny`           |
//! | allow                           | allow, other obligations | `OtherObligations` |
//! | deny                            | allow                 | `WouldAllow`          |
//! | deny: an obligation was not met | allow, the same obligations | see below       |
//! | deny: an obligation was not met | allow, others         | `WouldAllow`          |
//! | the same                        | the same, other rule, code or reason | `OtherReason` |
//! | the same                        | the same              | `Nothing`             |
//!
//! A call that was denied because its tool does not meet an obligation was allowed by the policy: it is the same
//! when the obligations are. With others nobody knows what the tool would do, so it counts as a change.
//!
//! # Invariants
//!
//! * **Z1** Asked is what was asked then: nothing of the machine or the time of the replay goes in.

use std::fmt;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{Context, Decision, DenyCode, Evaluator, Request};

/// A recorded decision that can be made again.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    request: Request,
    said: Said,
    policy_ref: String,
    /// Whether the policy allowed what the runtime then denied.
    unmet: bool,
}

/// A decision, as far as two are compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// Whether the tool might run.
    pub allow: bool,
    /// Why not, for programs.
    pub code: Option<String>,
    /// Why not, for people.
    pub reason: Option<String>,
    /// The rule that decided.
    pub rule: Option<String>,
    /// What the policy demanded.
    pub obligations: Vec<Value>,
}

/// Why a recorded decision cannot be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NotReplayable {
    /// The entry is not what the runtime writes.
    Unreadable,
    /// No policy was asked: the request was refused before.
    NotAsked,
    /// The decision does not follow from the text of the policy.
    NotByPolicy,
    /// The parameters were too large for the log.
    ParamsOmitted,
    /// The parameters were kept out of the log.
    ParamsRedacted,
    /// What the agent said about itself was kept out of the log.
    AgentContextOmitted,
}

impl NotReplayable {
    /// Every reason, in the order of the table.
    pub const ALL: [Self; 6] = [
        Self::Unreadable,
        Self::NotAsked,
        Self::NotByPolicy,
        Self::ParamsOmitted,
        Self::ParamsRedacted,
        Self::AgentContextOmitted,
    ];

    /// Returns the stable text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::NotAsked => "not_asked",
            Self::NotByPolicy => "not_by_policy",
            Self::ParamsOmitted => "params_omitted",
            Self::ParamsRedacted => "params_redacted",
            Self::AgentContextOmitted => "agent_context_omitted",
        }
    }

    /// Returns what that means.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Unreadable => "the entry is not what a runtime writes",
            Self::NotAsked => "refused before a policy was asked",
            Self::NotByPolicy => "decided without the text of a policy",
            Self::ParamsOmitted => "the parameters were too large for the log",
            Self::ParamsRedacted => "the parameters were kept out of the log",
            Self::AgentContextOmitted => "the agent's context was kept out of the log",
        }
    }
}

impl fmt::Display for NotReplayable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a decision differs from the recorded one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Not at all.
    Nothing,
    /// In nothing but its rule, code, or reason.
    OtherReason,
    /// It was denied and would be allowed.
    WouldAllow,
    /// It was allowed and would be denied.
    WouldDeny,
    /// It would be allowed under other obligations.
    OtherObligations,
}

impl Change {
    /// Every change.
    pub const ALL: [Self; 5] = [
        Self::Nothing,
        Self::OtherReason,
        Self::WouldAllow,
        Self::WouldDeny,
        Self::OtherObligations,
    ];

    /// Returns the stable text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "unchanged",
            Self::OtherReason => "other_reason",
            Self::WouldAllow => "would_allow",
            Self::WouldDeny => "would_deny",
            Self::OtherObligations => "other_obligations",
        }
    }

    /// Whether what an agent may do differs.
    pub const fn is_effective(self) -> bool {
        match self {
            Self::Nothing | Self::OtherReason => false,
            Self::WouldAllow | Self::WouldDeny | Self::OtherObligations => true,
        }
    }
}

/// A decision made again.
#[derive(Clone, Debug, PartialEq)]
pub struct Replayed {
    /// What was said then.
    pub then: Said,
    /// What is said now.
    pub now: Said,
    /// How they differ.
    pub change: Change,
}

impl Recorded {
    /// Reads the attributes of a decision entry. `unmet` is the code of a deny that stands for an allow whose
    /// obligations the tool does not meet.
    ///
    /// # Errors
    ///
    /// [`NotReplayable`] by the table.
    pub fn read(attrs: &Map<String, Value>, unmet: &str) -> Result<Self, NotReplayable> {
        let text = |key| optional(attrs, key);
        let allow = match text("decision")?.as_deref() {
            Some("allow") => true,
            Some("deny") => false,
            _ => return Err(NotReplayable::Unreadable),
        };
        let code = text("code")?;
        let kind = text("kind")?.ok_or(NotReplayable::Unreadable)?;
        let obligations = match attrs.get("obligations") {
            None => Vec::new(),
            Some(Value::Array(items)) => items.clone(),
            Some(_) => return Err(NotReplayable::Unreadable),
        };
        let context = object(attrs, "context")?.ok_or(NotReplayable::NotAsked)?;
        if code.as_deref().is_some_and(not_by_policy) {
            return Err(NotReplayable::NotByPolicy);
        }
        let omitted = attrs.contains_key("params_omitted_bytes");
        let params = match (object(attrs, "params")?, omitted) {
            (Some(params), _) => params.clone(),
            (None, true) => return Err(NotReplayable::ParamsOmitted),
            (None, false) => return Err(NotReplayable::ParamsRedacted),
        };
        if context.contains_key("agent_omitted_bytes") {
            return Err(NotReplayable::AgentContextOmitted);
        }
        let need = |key| optional(context, key)?.ok_or(NotReplayable::Unreadable);
        let time: Timestamp = need("time")?.parse().map_err(|_| NotReplayable::Unreadable)?;
        let operator = text("operator")?.unwrap_or_default();
        let request = Request {
            kind,
            params,
            context: Context { node: need("node")?, operator, time, mode: need("mode")? },
            agent_context: object(context, "agent")?.cloned(),
        };
        let unmet = code.as_deref() == Some(unmet);
        let (reason, rule) = (text("reason")?, text("rule")?);
        let said = Said { allow, code, reason, rule, obligations };
        let policy_ref = text("policy_ref")?.unwrap_or_default();
        Ok(Self { request, said, policy_ref, unmet })
    }

    /// Returns the kind of the call.
    pub fn kind(&self) -> &str {
        &self.request.kind
    }

    /// Returns the version of the policy that decided then.
    pub fn policy_ref(&self) -> &str {
        &self.policy_ref
    }

    /// Decides again (Z1).
    pub fn replay(self, evaluator: &dyn Evaluator) -> Replayed {
        let now = Said::of(evaluator.evaluate(&self.request));
        let change = compare(&self.said, &now, self.unmet);
        Replayed { then: self.said, now, change }
    }
}

impl Said {
    fn of(decision: Decision) -> Self {
        let rule = decision.rule().map(str::to_owned);
        match decision {
            Decision::Allow(allow) => {
                let obligations = allow.obligations().to_vec();
                Self { allow: true, code: None, reason: None, rule, obligations }
            }
            Decision::Deny(deny) => {
                let (code, reason) = (deny.code().as_str(), deny.reason());
                let (code, reason) = (Some(code.to_owned()), Some(reason.to_owned()));
                Self { allow: false, code, reason, rule, obligations: Vec::new() }
            }
        }
    }
}

/// Looks up the row of the table.
fn compare(then: &Said, now: &Said, unmet: bool) -> Change {
    let same_obligations = then.obligations == now.obligations;
    match (then.allow, now.allow) {
        (true, false) => Change::WouldDeny,
        (false, true) if unmet && same_obligations && then.rule == now.rule => Change::Nothing,
        (false, true) if unmet && same_obligations => Change::OtherReason,
        (false, true) => Change::WouldAllow,
        (true, true) if !same_obligations => Change::OtherObligations,
        _ if then == now => Change::Nothing,
        _ => Change::OtherReason,
    }
}

/// Whether a code says nothing about the text of a policy: there was none, the operator decided, or the engine
/// and its clock did.
fn not_by_policy(code: &str) -> bool {
    let Some(code) = DenyCode::ALL.into_iter().find(|it| it.as_str() == code) else { return false };
    match code {
        DenyCode::NoPolicy
        | DenyCode::StrictMode
        | DenyCode::EvaluationTimeout
        | DenyCode::EvaluatorPanicked => true,
        DenyCode::PolicyDenied
        | DenyCode::NoRuleMatched
        | DenyCode::BadPolicyResult
        | DenyCode::EvaluationError
        | DenyCode::RequestTooLarge => false,
    }
}

fn optional(attrs: &Map<String, Value>, key: &str) -> Result<Option<String>, NotReplayable> {
    match attrs.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(NotReplayable::Unreadable),
    }
}

fn object<'a>(
    attrs: &'a Map<String, Value>,
    key: &str,
) -> Result<Option<&'a Map<String, Value>>, NotReplayable> {
    match attrs.get(key) {
        None => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(_) => Err(NotReplayable::Unreadable),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const UNMET: &str = "OBLIGATION_UNKNOWN";

    /// Allows as a call with these obligations says, else denies with its own reason.
    #[derive(Debug)]
    struct Answers(Decision);

    impl Evaluator for Answers {
        fn evaluate(&self, _: &Request) -> Decision {
            self.0.clone()
        }

        fn policy_ref(&self) -> &'static str {
            "2.0.0"
        }

        fn policy_digest(&self) -> &'static str {
            ""
        }
    }

    fn entry(change: impl FnOnce(&mut Map<String, Value>)) -> Map<String, Value> {
        let Value::Object(mut attrs) = json!({
            "decision": "deny", "kind": "tool.x", "code": "policy_denied", "reason": "no",
            "rule": "r", "policy_ref": "1.0.0", "params": {"a": 1}, "operator": "op",
            "context": {"node": "n", "time": "2026-03-01T09:30:00.000Z", "mode": "normal",
                "agent": {"goal": "g"}},
        }) else {
            panic!("it is an object")
        };
        change(&mut attrs);
        attrs
    }

    #[test]
    fn what_is_asked_is_what_was_asked() {
        let read = Recorded::read(&entry(|_| ()), UNMET).unwrap();
        let Value::Object(params) = json!({"a": 1}) else { panic!("it is an object") };
        let Value::Object(agent) = json!({"goal": "g"}) else { panic!("it is an object") };
        let time = "2026-03-01T09:30:00Z".parse().unwrap();
        let (node, operator, mode) = ("n".to_owned(), "op".to_owned(), "normal".to_owned());
        let want = Request {
            kind: "tool.x".to_owned(),
            params,
            context: Context { node, operator, time, mode },
            agent_context: Some(agent),
        };
        assert_eq!(
            (read.request.clone(), read.kind(), read.policy_ref()),
            (want, "tool.x", "1.0.0")
        );
        let bare = entry(|it| {
            it.remove("operator");
            it["context"].as_object_mut().unwrap().remove("agent");
        });
        let bare = Recorded::read(&bare, UNMET).unwrap().request;
        assert_eq!((bare.context.operator.as_str(), bare.agent_context), ("", None));
    }

    #[track_caller]
    fn refused(want: NotReplayable, change: impl FnOnce(&mut Map<String, Value>)) {
        assert_eq!(Recorded::read(&entry(change), UNMET), Err(want));
    }

    #[test]
    fn each_reason_is_found_and_the_first_row_counts() {
        refused(NotReplayable::NotAsked, |it| _ = it.remove("context"));
        refused(NotReplayable::ParamsRedacted, |it| _ = it.remove("params"));
        refused(NotReplayable::ParamsOmitted, |it| {
            it.remove("params");
            it.insert("params_omitted_bytes".to_owned(), 70_000.into());
        });
        refused(NotReplayable::AgentContextOmitted, |it| {
            it["context"]
                .as_object_mut()
                .unwrap()
                .insert("agent_omitted_bytes".to_owned(), 9.into());
        });
        refused(NotReplayable::NotAsked, |it| {
            it.remove("context");
            it.insert("code".to_owned(), "BAD_REQUEST".into());
        });
        for code in DenyCode::ALL {
            let read = Recorded::read(
                &entry(|it| _ = it.insert("code".into(), code.as_str().into())),
                UNMET,
            );
            let by_text = matches!(
                code,
                DenyCode::PolicyDenied
                    | DenyCode::NoRuleMatched
                    | DenyCode::BadPolicyResult
                    | DenyCode::EvaluationError
                    | DenyCode::RequestTooLarge
            );
            assert_eq!(read.err(), (!by_text).then_some(NotReplayable::NotByPolicy), "{code}");
        }
    }

    #[test]
    fn a_field_that_is_missing_or_of_another_type_is_unreadable() {
        for key in [
            "decision",
            "kind",
            "code",
            "reason",
            "rule",
            "params",
            "operator",
            "context",
            "obligations",
            "policy_ref",
        ] {
            refused(NotReplayable::Unreadable, |it| _ = it.insert(key.to_owned(), 7.into()));
        }
        for key in ["decision", "kind"] {
            refused(NotReplayable::Unreadable, |it| _ = it.remove(key));
        }
        for key in ["node", "time", "mode"] {
            refused(NotReplayable::Unreadable, |it| {
                it["context"].as_object_mut().unwrap().remove(key);
            });
        }
        for (key, value) in [("time", json!("soon")), ("agent", json!("x")), ("node", json!(1))] {
            refused(NotReplayable::Unreadable, |it| it["context"][key] = value);
        }
        refused(NotReplayable::Unreadable, |it| it["decision"] = "perhaps".into());
    }

    #[track_caller]
    fn change(attrs: Value, now: Decision, want: Change) {
        let Value::Object(changes) = attrs else { panic!("it is an object") };
        let mut attrs = entry(|_| ());
        attrs.extend(changes);
        attrs.retain(|_, value| !value.is_null());
        let replayed = Recorded::read(&attrs, UNMET).unwrap().replay(&Answers(now));
        assert_eq!(replayed.change, want, "{replayed:?}");
    }

    #[test]
    fn every_row_of_the_table_of_changes_is_as_it_says() {
        let deny = |reason, rule| Decision::deny(DenyCode::PolicyDenied, Some(reason), Some(rule));
        let allow = |obligations: &[&str]| {
            Decision::allow(Some("r"), obligations.iter().map(|it| (*it).into()).collect())
        };
        let allowed = |obligations: Value| json!({"decision": "allow", "code": null, "reason": null, "obligations": obligations});
        let unmet = json!({"code": UNMET, "obligations": ["log"]});

        change(json!({}), deny("no", "r"), Change::Nothing);
        change(json!({}), deny("never", "r"), Change::OtherReason);
        change(json!({}), deny("no", "s"), Change::OtherReason);
        change(
            json!({}),
            Decision::deny(DenyCode::NoRuleMatched, Some("no"), Some("r")),
            Change::OtherReason,
        );
        change(json!({}), allow(&[]), Change::WouldAllow);
        change(allowed(Value::Null), deny("no", "r"), Change::WouldDeny);
        change(allowed(json!(["log"])), deny("no", "r"), Change::WouldDeny);
        change(allowed(Value::Null), allow(&[]), Change::Nothing);
        change(allowed(json!(["log"])), allow(&["log"]), Change::Nothing);
        change(allowed(json!(["log"])), allow(&[]), Change::OtherObligations);
        change(allowed(Value::Null), allow(&["log"]), Change::OtherObligations);
        change(allowed(Value::Null), Decision::allow(None, Vec::new()), Change::OtherReason);
        change(unmet.clone(), allow(&["log"]), Change::Nothing);
        change(unmet.clone(), allow(&[]), Change::WouldAllow);
        change(unmet.clone(), allow(&["mask"]), Change::WouldAllow);
        change(unmet, deny("no", "r"), Change::OtherReason);
    }
}
