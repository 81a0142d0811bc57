//! Releases: what a node should run, and what it says about it.
//!
//! A node asks `GET /v1/nodes/{id}/desired` and reports with `POST /v1/nodes/{id}/ack`; the control plane never
//! calls a node.

use serde::{Deserialize, Serialize};

/// Longest text in a release or an acknowledgement, in bytes.
pub const TEXT_LEN_MAX: usize = 1024;

/// What a lock fingerprint begins with: the algorithm.
pub const FINGERPRINT_ALGORITHM: &str = "blake3:";
/// Hex digits behind it.
const FINGERPRINT_DIGITS: usize = 64;

/// Why no node could read a text of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It is empty, or longer than [`TEXT_LEN_MAX`].
    Length,
    /// It has control characters.
    Control,
    /// It is a lock fingerprint in another form than `blake3:` and 64 hex digits in lower case.
    Fingerprint,
}

impl std::fmt::Display for Flaw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Length => write!(f, "empty, or longer than {TEXT_LEN_MAX} bytes"),
            Self::Control => f.write_str("with control characters"),
            Self::Fingerprint => {
                write!(f, "not `{FINGERPRINT_ALGORITHM}` and {FINGERPRINT_DIGITS} hex digits")
            }
        }
    }
}

/// Looks at a text of a release as a node does: what the control plane takes in, nodes can read.
pub fn text_flaw(text: &str) -> Option<Flaw> {
    if text.is_empty() || text.len() > TEXT_LEN_MAX {
        return Some(Flaw::Length);
    }
    text.contains(char::is_control).then_some(Flaw::Control)
}

/// The same for a lock fingerprint.
///
/// # Examples
///
/// ```
/// use api::release::{Flaw, fingerprint_flaw};
///
/// assert_eq!(fingerprint_flaw(&format!("blake3:{}", "0a".repeat(32))), None);
/// assert_eq!(fingerprint_flaw("null"), Some(Flaw::Fingerprint));
/// ```
pub fn fingerprint_flaw(text: &str) -> Option<Flaw> {
    let digits = text.strip_prefix(FINGERPRINT_ALGORITHM).unwrap_or_default();
    let is_digit = |it: u8| it.is_ascii_digit() || (b'a'..=b'f').contains(&it);
    let fits = digits.len() == FINGERPRINT_DIGITS && digits.bytes().all(is_digit);
    text_flaw(text).or_else(|| (!fits).then_some(Flaw::Fingerprint))
}

/// What nodes of a channel should run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Release {
    /// Id, for example `rel-004`.
    pub id: String,
    /// Number that grows with each release of a channel.
    pub sequence: u64,
    /// Where the artifact is: `registry/repository:tag@digest` or `oci:PATH`.
    pub artifact_ref: String,
    /// Behavioral fingerprint of the lock that describes it: `blake3:` and 64 hex digits.
    pub lock_fingerprint: String,
    /// The plan that brings it to this node, when one does: the node then says how far it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_id: Option<String>,
}

/// Answer of `GET /v1/nodes/{id}/desired`. Unknown members are for later versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Desired {
    /// The release; `null` when nothing is desired of this node.
    pub release: Option<Release>,
    /// Every live plan that targets the node, the newest first; `release` is the first of them that it can run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rollouts: Vec<Assigned>,
}

/// A live plan that targets a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Assigned {
    /// Which plan.
    pub plan_id: String,
    /// The first stage that targets the node.
    pub stage_id: String,
    /// What changes on the node.
    pub rollout_kind: crate::plan::PlanKind,
    /// What to load.
    pub artifact_ref: String,
    /// The lock fingerprint to reach.
    pub target_lock_fingerprint: String,
}

/// What came of a release on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum AckState {
    /// It is on the node.
    Downloaded,
    /// It is what it claims to be.
    Verified,
    /// It decides now.
    Activated,
    /// It decides, and the node does well.
    Healthy,
    /// It does not, and what was in force still is.
    Failed,
}

/// Body of `POST /v1/nodes/{id}/ack`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Ack {
    /// Id of the release.
    pub release_id: String,
    /// The plan that the release named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_id: Option<String>,
    /// Fingerprint that the release named.
    pub lock_fingerprint: String,
    /// What came of it.
    pub state: AckState,
    /// Why it failed, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why it failed, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What a node knows of releases; part of its status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseStatus {
    /// The control plane that is asked, without credentials.
    pub control_plane: String,
    /// When it answered last, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_answer: Option<String>,
    /// The release that it wants here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired: Option<Release>,
    /// What is wrong: with the last poll, or with the desired release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<ReleaseProblem>,
}

/// Why a node does not run what is desired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseProblem {
    /// Stable code.
    pub code: String,
    /// What happened.
    pub text: String,
}
