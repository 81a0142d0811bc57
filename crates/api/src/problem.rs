//! Error bodies.
//!
//! Over HTTP an error is RFC 9457 problem JSON (`application/problem+json`) with a stable `code`.
//! In the JSON mode of a command it is one object on stdout.

use serde::{Deserialize, Serialize};

/// Content type of [`Problem`].
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Code of a control plane that does not lead any more: the one conflict that ends by itself.
pub const STALE_EPOCH: &str = "STALE_EPOCH";

/// An HTTP error body (RFC 9457, section 3.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// URI reference of the page about `code`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The class of the error in a few words.
    pub title: String,
    /// HTTP status, repeated.
    pub status: u16,
    /// What is wrong in this request: field, index, value.
    pub detail: String,
    /// Stable code for programs.
    pub code: String,
}

impl Problem {
    /// Makes a problem whose page is `docs/reference/codes#<code>`.
    pub fn new(status: u16, code: &str, title: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("docs/reference/codes#{code}"),
            title: title.to_owned(),
            status,
            detail: detail.into(),
            code: code.to_owned(),
        }
    }
}

/// The one object a command prints on stdout when it fails in JSON mode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandError {
    /// The error.
    pub error: CommandErrorBody,
    /// What the command found out nevertheless: the report of a verification that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<serde_json::Value>,
}

/// Content of [`CommandError`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandErrorBody {
    /// Stable code for programs.
    pub code: String,
    /// What went wrong, with place and values.
    pub message: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The chain of causes, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cause: Vec<String>,
}
