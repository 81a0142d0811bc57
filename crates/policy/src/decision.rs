//! What an evaluator answers.
//!
//! # Codes
//!
//! | code                 | when                                                                   |
//! |----------------------|------------------------------------------------------------------------|
//! | `policy_denied`      | the policy said no                                                     |
//! | `no_rule_matched`    | the policy said nothing about this request                             |
//! | `no_policy`          | no usable policy is loaded                                             |
//! | `strict_mode`        | the operator denies everything                                         |
//! | `bad_policy_result`  | the policy answered with something that is not a decision              |
//! | `evaluation_error`   | the policy failed on this request                                      |
//! | `evaluation_timeout` | the policy took longer than [`EVALUATION_TIME_MAX`](crate::EVALUATION_TIME_MAX) |
//! | `evaluator_panicked` | the engine broke; the process goes on                                  |
//! | `request_too_large`  | the request is beyond [`REQUEST_LEN_MAX`](crate::REQUEST_LEN_MAX) or [`REQUEST_DEPTH_MAX`](crate::REQUEST_DEPTH_MAX) |
//!
//! # Invariants
//!
//! * **D1** An allow has no reason and a deny has no obligations; a deny always has a code and a
//!   reason that is not empty.
//! * **D2** A reason and a rule name fit a log line: they are cut at [`TEXT_LEN_MAX`] bytes.

use std::fmt;

use serde_json::Value;

/// Longest reason or rule name in bytes; what is longer is cut and ends in `…` (D2).
pub const TEXT_LEN_MAX: usize = 4096;

/// Marks a cut text.
const CUT: &str = "…";

/// The answer to a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// The tool may run, under the obligations.
    Allow(Allow),
    /// The tool must not run.
    Deny(Deny),
}

impl Decision {
    /// Makes an allow.
    pub fn allow(rule: Option<&str>, obligations: Vec<Value>) -> Self {
        Self::Allow(Allow { rule: rule.map(cut), obligations })
    }

    /// Makes a deny; without a reason the text of the code stands in (D1).
    pub fn deny(code: DenyCode, reason: Option<&str>, rule: Option<&str>) -> Self {
        let reason = match reason.map(str::trim) {
            None | Some("") => code.text().to_owned(),
            Some(text) => cut(text),
        };
        Self::Deny(Deny { code, reason, rule: rule.map(cut) })
    }

    /// Whether the tool may run.
    pub const fn is_allow(&self) -> bool {
        matches!(self, Self::Allow(_))
    }

    /// Returns the name of the rule that decided, when the policy gave one.
    pub fn rule(&self) -> Option<&str> {
        match self {
            Self::Allow(allow) => allow.rule(),
            Self::Deny(deny) => deny.rule(),
        }
    }
}

/// A yes (D1).
#[derive(Clone, Debug, PartialEq)]
pub struct Allow {
    rule: Option<String>,
    obligations: Vec<Value>,
}

impl Allow {
    /// Returns the name of the rule that allowed, when the policy gave one.
    pub fn rule(&self) -> Option<&str> {
        self.rule.as_deref()
    }

    /// Returns what the policy demands of whoever runs the tool, in its order.
    ///
    /// Who does not know an obligation cannot meet it and must not run the tool.
    pub fn obligations(&self) -> &[Value] {
        &self.obligations
    }
}

/// A no (D1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deny {
    code: DenyCode,
    reason: String,
    rule: Option<String>,
}

impl Deny {
    /// Returns why, for programs.
    pub const fn code(&self) -> DenyCode {
        self.code
    }

    /// Returns why, for people.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Returns the name of the rule that denied, when the policy gave one.
    pub fn rule(&self) -> Option<&str> {
        self.rule.as_deref()
    }
}

/// Why a request was denied, for programs. The texts are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DenyCode {
    /// The policy said no.
    PolicyDenied,
    /// The policy said nothing about this request.
    NoRuleMatched,
    /// No usable policy is loaded.
    NoPolicy,
    /// The operator denies everything.
    StrictMode,
    /// The policy answered with something that is not a decision.
    BadPolicyResult,
    /// The policy failed on this request.
    EvaluationError,
    /// The policy took too long.
    EvaluationTimeout,
    /// The engine broke.
    EvaluatorPanicked,
    /// The request is too large to be looked at.
    RequestTooLarge,
}

impl DenyCode {
    /// Every code, in the order of the table.
    pub const ALL: [Self; 9] = [
        Self::PolicyDenied,
        Self::NoRuleMatched,
        Self::NoPolicy,
        Self::StrictMode,
        Self::BadPolicyResult,
        Self::EvaluationError,
        Self::EvaluationTimeout,
        Self::EvaluatorPanicked,
        Self::RequestTooLarge,
    ];

    /// Returns the stable text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PolicyDenied => "policy_denied",
            Self::NoRuleMatched => "no_rule_matched",
            Self::NoPolicy => "no_policy",
            Self::StrictMode => "strict_mode",
            Self::BadPolicyResult => "bad_policy_result",
            Self::EvaluationError => "evaluation_error",
            Self::EvaluationTimeout => "evaluation_timeout",
            Self::EvaluatorPanicked => "evaluator_panicked",
            Self::RequestTooLarge => "request_too_large",
        }
    }

    /// Returns the reason that stands in when nobody gave a better one.
    pub const fn text(self) -> &'static str {
        match self {
            Self::PolicyDenied => "denied by policy",
            Self::NoRuleMatched => "no rule of the policy matched",
            Self::NoPolicy => "no policy is loaded",
            Self::StrictMode => "strict mode denies every call",
            Self::BadPolicyResult => "the policy did not answer with a decision",
            Self::EvaluationError => "the policy failed on this request",
            Self::EvaluationTimeout => "the policy took too long",
            Self::EvaluatorPanicked => "the policy engine failed",
            Self::RequestTooLarge => "the request is too large",
        }
    }
}

impl fmt::Display for DenyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Cuts a text at [`TEXT_LEN_MAX`] bytes, between characters (D2).
fn cut(text: &str) -> String {
    if text.len() <= TEXT_LEN_MAX {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(TEXT_LEN_MAX - CUT.len());
    let mut res = text.get(..end).unwrap_or_default().to_owned();
    res.push_str(CUT);
    res
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_has_its_own_stable_text() {
        let texts: BTreeSet<_> = DenyCode::ALL.iter().map(|it| it.as_str()).collect();
        assert_eq!(texts.len(), DenyCode::ALL.len());
        for text in texts {
            assert!(text.bytes().all(|it| it.is_ascii_lowercase() || it == b'_'), "{text}");
        }
        // A code that is added to the enum and not to the list breaks this match or this count.
        for code in DenyCode::ALL {
            match code {
                DenyCode::PolicyDenied
                | DenyCode::NoRuleMatched
                | DenyCode::NoPolicy
                | DenyCode::StrictMode
                | DenyCode::BadPolicyResult
                | DenyCode::EvaluationError
                | DenyCode::EvaluationTimeout
                | DenyCode::EvaluatorPanicked
                | DenyCode::RequestTooLarge => {}
            }
        }
    }

    #[track_caller]
    fn denied(code: DenyCode, text: Option<&str>) -> Deny {
        match Decision::deny(code, text, text) {
            Decision::Deny(deny) => deny,
            Decision::Allow(allow) => panic!("a deny became {allow:?}"),
        }
    }

    #[test]
    fn a_deny_always_has_a_reason() {
        for code in DenyCode::ALL {
            for reason in [None, Some(""), Some("  \n")] {
                let deny = denied(code, reason);
                assert_eq!((deny.code(), deny.reason()), (code, code.text()));
            }
        }
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        for filler in ["a", "ä", "€", "🦀"] {
            let deny = denied(DenyCode::PolicyDenied, Some(&filler.repeat(TEXT_LEN_MAX + 1)));
            assert!(deny.reason().len() <= TEXT_LEN_MAX && deny.reason().ends_with(CUT));
            assert_eq!(deny.rule(), Some(deny.reason()));
        }
    }
}
