//! How the answers of the rules become one decision.
//!
//! Three rules of package `autonomy` are asked, as far as the modules declare them:
//!
//! | rule       | says yes          | says no              | says nothing     | anything else |
//! |------------|-------------------|----------------------|------------------|---------------|
//! | `decision` | `{"allow": true}` | `{"allow": false}`   | undefined        | bad           |
//! | `allow`    | `true`            | `false`              | undefined        | bad           |
//! | `deny`     | —                 | a set with a reason  | undefined, empty | bad           |
//!
//! `decision` may also have `"reason"` and `"rule"` (texts) and `"obligations"` (an array or set);
//! any other field is bad, since a misspelt or newer one would otherwise be overlooked. A reason in
//! `deny` that is no text is bad.
//!
//! # Truth table
//!
//! The first row that fits decides. A rule that is not declared fits no cell but `any`.
//!
//! | row | `decision` | `allow`   | `deny`    | decision                                     |
//! |-----|------------|-----------|-----------|----------------------------------------------|
//! | A   | no         | any       | any       | deny `policy_denied`, its rule, all reasons  |
//! | B   | any        | any       | no        | deny `policy_denied`, the reasons in order   |
//! | C   | bad        | any       | any       | deny `bad_policy_result`                     |
//! | D   | any        | bad       | any       | deny `bad_policy_result`                     |
//! | E   | any        | any       | bad       | deny `bad_policy_result`                     |
//! | F   | any        | no        | any       | deny `policy_denied`                         |
//! | G   | nothing    | any       | any       | deny `no_rule_matched`                       |
//! | H   | any        | nothing   | any       | deny `no_rule_matched`                       |
//! | I   | yes        | any       | any       | allow, its rule and obligations              |
//! | J   | any        | yes       | any       | allow                                        |
//! | K   | any        | any       | any       | deny `no_rule_matched`                       |
//!
//! So it is a yes exactly when `decision` or `allow` is declared, every one of the two that is
//! declared says yes, and `deny` says nothing (T1).

use regorus::Value;

use super::value::{Budget, NotConverted, to_json};
use crate::{Decision, DenyCode};

/// Largest obligations of one decision, counted as JSON texts plus eight bytes a value.
pub const OBLIGATIONS_LEN_MAX: usize = 64 << 10;
/// Deepest nesting of obligations.
const OBLIGATIONS_DEPTH_MAX: usize = 32;
/// Between the reasons of several denials.
const BETWEEN_REASONS: &str = "; ";

/// What the three rules said.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answers {
    pub(super) decision: Whole,
    pub(super) allow: Flag,
    pub(super) deny: Vetoes,
}

/// What `decision` said.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Whole {
    NotDeclared,
    Nothing,
    Yes { rule: Option<String>, obligations: Vec<serde_json::Value> },
    No { rule: Option<String>, reason: Option<String> },
    Bad(&'static str),
}

/// What `allow` said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flag {
    NotDeclared,
    Nothing,
    Yes,
    No,
    Bad,
}

/// What `deny` said; whether it is declared makes no difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Vetoes {
    Nothing,
    No(Vec<String>),
    Bad(&'static str),
}

/// Looks up the row of the table (T1).
pub(super) fn decide(answers: Answers) -> Decision {
    let Answers { decision, allow, deny } = answers;
    match (decision, allow, deny) {
        (Whole::No { rule, reason }, _, vetoes) => {
            let reasons = if let Vetoes::No(reasons) = vetoes { reasons } else { Vec::new() };
            let all: Vec<_> = reason.into_iter().chain(reasons).collect();
            policy_denied(&all, rule.as_deref())
        }
        (_, _, Vetoes::No(reasons)) => policy_denied(&reasons, None),
        (Whole::Bad(what), _, _) => bad(&format!("`autonomy.decision` {what}")),
        (_, Flag::Bad, _) => bad("`autonomy.allow` is not a boolean"),
        (_, _, Vetoes::Bad(what)) => bad(&format!("`autonomy.deny` {what}")),
        (_, Flag::No, _) => policy_denied(&[], None),
        (Whole::Nothing, _, _)
        | (_, Flag::Nothing, _)
        | (Whole::NotDeclared, Flag::NotDeclared, Vetoes::Nothing) => {
            Decision::deny(DenyCode::NoRuleMatched, None, None)
        }
        (Whole::Yes { rule, obligations }, _, Vetoes::Nothing) => {
            Decision::allow(rule.as_deref(), obligations)
        }
        (Whole::NotDeclared, Flag::Yes, Vetoes::Nothing) => Decision::allow(None, Vec::new()),
    }
}

fn policy_denied(reasons: &[String], rule: Option<&str>) -> Decision {
    Decision::deny(DenyCode::PolicyDenied, Some(&reasons.join(BETWEEN_REASONS)), rule)
}

fn bad(what: &str) -> Decision {
    Decision::deny(DenyCode::BadPolicyResult, Some(what), None)
}

/// Reads the answer of `decision`.
pub(super) fn read_decision(value: &Value) -> Whole {
    match value {
        Value::Undefined => Whole::Nothing,
        Value::Object(_) => read_object(value).unwrap_or_else(Whole::Bad),
        _ => Whole::Bad("is not an object"),
    }
}

fn read_object(value: &Value) -> Result<Whole, &'static str> {
    let fields = value.as_object().map_err(|_| "is not an object")?;
    let (mut allow, mut reason, mut rule, mut obligations) = (None, None, None, Vec::new());
    for (key, value) in fields.iter_sorted() {
        match (key, value) {
            (Value::String(key), Value::Bool(it)) if &**key == "allow" => allow = Some(*it),
            (Value::String(key), Value::String(it)) if &**key == "reason" => {
                reason = Some(it.to_string());
            }
            (Value::String(key), Value::String(it)) if &**key == "rule" => {
                rule = Some(it.to_string());
            }
            (Value::String(key), _) if &**key == "obligations" => {
                obligations = read_obligations(value)?;
            }
            (Value::String(key), _) if matches!(&**key, "allow" | "reason" | "rule") => {
                return Err("has a field of the wrong type");
            }
            _ => return Err("has a field beside allow, reason, rule and obligations"),
        }
    }
    match allow {
        Some(true) => Ok(Whole::Yes { rule, obligations }),
        Some(false) => Ok(Whole::No { rule, reason }),
        None => Err("has no field allow"),
    }
}

fn read_obligations(value: &Value) -> Result<Vec<serde_json::Value>, &'static str> {
    if !matches!(value, Value::Array(_) | Value::Set(_)) {
        return Err("has obligations that are no array");
    }
    let mut budget = Budget::new(OBLIGATIONS_LEN_MAX, OBLIGATIONS_DEPTH_MAX);
    match to_json(value, &mut budget) {
        Ok(serde_json::Value::Array(items)) => Ok(items),
        Ok(_) | Err(NotConverted::NoCounterpart) => Err("has obligations that are no JSON"),
        Err(NotConverted::TooLarge) => Err("has obligations that are too large"),
    }
}

/// Reads the answer of `allow`.
pub(super) const fn read_allow(value: &Value) -> Flag {
    match value {
        Value::Undefined => Flag::Nothing,
        Value::Bool(true) => Flag::Yes,
        Value::Bool(false) => Flag::No,
        _ => Flag::Bad,
    }
}

/// Reads the answer of `deny`.
pub(super) fn read_deny(value: &Value) -> Vetoes {
    let reasons = match value {
        Value::Undefined => return Vetoes::Nothing,
        Value::Set(reasons) => reasons,
        _ => return Vetoes::Bad("is not a set"),
    };
    let texts: Option<Vec<_>> = reasons.iter().map(text).collect();
    match texts {
        None => Vetoes::Bad("has a reason that is not a text"),
        Some(texts) if texts.is_empty() => Vetoes::Nothing,
        Some(texts) => Vetoes::No(texts),
    }
}

fn text(value: &Value) -> Option<String> {
    if let Value::String(text) = value { Some(text.to_string()) } else { None }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const RULE: Option<&str> = Some("r");

    fn wholes() -> Vec<Whole> {
        vec![
            Whole::NotDeclared,
            Whole::Nothing,
            Whole::Yes { rule: RULE.map(str::to_owned), obligations: vec![json!("log")] },
            Whole::No { rule: RULE.map(str::to_owned), reason: Some("no".to_owned()) },
            Whole::Bad("is not an object"),
        ]
    }

    const FLAGS: [Flag; 5] = [Flag::NotDeclared, Flag::Nothing, Flag::Yes, Flag::No, Flag::Bad];

    fn vetoes() -> [Vetoes; 3] {
        let reasons = vec!["a".to_owned(), "b".to_owned()];
        [Vetoes::Nothing, Vetoes::No(reasons), Vetoes::Bad("is not a set")]
    }

    /// The table, row by row, as a second and independent reading of it.
    fn expected(
        decision: &Whole,
        allow: Flag,
        deny: &Vetoes,
    ) -> Result<Option<&'static str>, DenyCode> {
        let says_no = matches!(decision, Whole::No { .. }) || matches!(deny, Vetoes::No(_));
        let is_bad = matches!(decision, Whole::Bad(_))
            || allow == Flag::Bad
            || matches!(deny, Vetoes::Bad(_));
        if says_no {
            return Err(DenyCode::PolicyDenied);
        }
        if is_bad {
            return Err(DenyCode::BadPolicyResult);
        }
        if allow == Flag::No {
            return Err(DenyCode::PolicyDenied);
        }
        let yes = [matches!(decision, Whole::Yes { .. }), allow == Flag::Yes];
        let declared = [*decision != Whole::NotDeclared, allow != Flag::NotDeclared];
        if declared.contains(&true) && yes == declared {
            return Ok(if yes[0] { RULE } else { None });
        }
        Err(DenyCode::NoRuleMatched)
    }

    #[test]
    fn all_seventy_five_combinations_follow_the_table() {
        let cases = wholes().into_iter().flat_map(|decision| {
            FLAGS.into_iter().flat_map(move |allow| {
                let decision = decision.clone();
                vetoes().map(|deny| Answers { decision: decision.clone(), allow, deny })
            })
        });
        let mut allowed = 0;
        let mut count = 0;
        for answers in cases {
            count += 1;
            let want = expected(&answers.decision, answers.allow, &answers.deny);
            match (decide(answers.clone()), want) {
                (Decision::Allow(got), Ok(rule)) => {
                    allowed += 1;
                    assert_eq!(got.rule(), rule, "{answers:?}");
                    assert_eq!(got.obligations().len(), usize::from(rule.is_some()));
                }
                (Decision::Deny(got), Err(code)) => assert_eq!(got.code(), code, "{answers:?}"),
                (got, want) => panic!("{answers:?}: {got:?}, not {want:?}"),
            }
        }
        assert_eq!(count, 75);
        assert_eq!(allowed, 3, "yes and not declared, yes and yes, not declared and yes");
    }

    #[test]
    fn the_reasons_of_all_who_deny_are_told() {
        let [_, no, _] = vetoes();
        let [_, _, _, whole_no, _] = wholes().try_into().unwrap();
        let answers = Answers { decision: whole_no, allow: Flag::Yes, deny: no.clone() };
        let Decision::Deny(deny) = decide(answers) else { panic!("it is a deny") };
        assert_eq!((deny.reason(), deny.rule()), ("no; a; b", RULE));
        let answers = Answers { decision: Whole::Bad("x"), allow: Flag::Bad, deny: no };
        let Decision::Deny(deny) = decide(answers) else { panic!("it is a deny") };
        assert_eq!((deny.reason(), deny.rule()), ("a; b", None));
    }

    #[track_caller]
    fn decision(json: &str, want: &Whole) {
        let value =
            if json.is_empty() { Value::Undefined } else { Value::from_json_str(json).unwrap() };
        assert_eq!(&read_decision(&value), want, "{json}");
    }

    #[test]
    fn a_decision_has_exactly_the_known_fields() {
        let yes = |rule: Option<&str>, obligations| Whole::Yes {
            rule: rule.map(str::to_owned),
            obligations,
        };
        decision("", &Whole::Nothing);
        decision(r#"{"allow":true}"#, &yes(None, vec![]));
        decision(r#"{"allow":true,"rule":"r","reason":"why not"}"#, &yes(RULE, vec![]));
        let obligations = vec![json!("log"), json!({"redact": ["params.key"]})];
        decision(
            r#"{"allow":true,"obligations":["log",{"redact":["params.key"]}]}"#,
            &yes(None, obligations),
        );
        decision(
            r#"{"allow":false,"reason":"because","obligations":[]}"#,
            &Whole::No { rule: None, reason: Some("because".to_owned()) },
        );
        for (json, what) in [
            ("true", "is not an object"),
            ("[]", "is not an object"),
            ("null", "is not an object"),
            (r#""allow""#, "is not an object"),
            ("{}", "has no field allow"),
            (r#"{"allow":"true"}"#, "has a field of the wrong type"),
            (r#"{"allow":1}"#, "has a field of the wrong type"),
            (r#"{"allow":null}"#, "has a field of the wrong type"),
            (r#"{"allow":true,"reason":1}"#, "has a field of the wrong type"),
            (r#"{"allow":true,"rule":["r"]}"#, "has a field of the wrong type"),
            (r#"{"allow":true,"obligations":{"log":1}}"#, "has obligations that are no array"),
            (r#"{"allow":true,"obligations":"log"}"#, "has obligations that are no array"),
            (
                r#"{"allow":true,"obligation":[]}"#,
                "has a field beside allow, reason, rule and obligations",
            ),
            (r#"{"Allow":true}"#, "has a field beside allow, reason, rule and obligations"),
        ] {
            decision(json, &Whole::Bad(what));
        }
        let large = json!({"allow": true, "obligations": ["x".repeat(OBLIGATIONS_LEN_MAX)]});
        decision(&large.to_string(), &Whole::Bad("has obligations that are too large"));
    }

    #[test]
    fn a_denial_is_a_set_of_texts() {
        let set = |items: &[Value]| {
            Value::from(items.iter().cloned().collect::<std::collections::BTreeSet<_>>())
        };
        assert_eq!(read_deny(&Value::Undefined), Vetoes::Nothing);
        assert_eq!(read_deny(&set(&[])), Vetoes::Nothing);
        let two = set(&[Value::from("b"), Value::from("a")]);
        assert_eq!(read_deny(&two), Vetoes::No(vec!["a".to_owned(), "b".to_owned()]));
        let mixed = set(&[Value::from("a"), Value::from(1_u64)]);
        assert_eq!(read_deny(&mixed), Vetoes::Bad("has a reason that is not a text"));
        for json in ["true", "false", "[]", r#"["a"]"#, "{}", r#"{"a":"b"}"#, "null", r#""a""#] {
            let value = Value::from_json_str(json).unwrap();
            assert_eq!(read_deny(&value), Vetoes::Bad("is not a set"), "{json}");
        }
    }

    #[test]
    fn only_true_is_true() {
        for (json, want) in [
            ("true", Flag::Yes),
            ("false", Flag::No),
            ("null", Flag::Bad),
            ("1", Flag::Bad),
            (r#""true""#, Flag::Bad),
            ("{}", Flag::Bad),
            ("[true]", Flag::Bad),
        ] {
            assert_eq!(read_allow(&Value::from_json_str(json).unwrap()), want, "{json}");
        }
        assert_eq!(read_allow(&Value::Undefined), Flag::Nothing);
    }
}
