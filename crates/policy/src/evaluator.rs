//! The port through which everything is decided, and the answer when there is no policy.
//!
//! # Invariants
//!
//! * **E1** An evaluator answers every request, from any number of threads at once, and never
//!   fails: what goes wrong is a [`Decision::Deny`] with a code that says what.
//! * **E2** Whatever is not a clear yes of the policy is a deny.

use std::fmt;

use crate::{Decision, DenyCode, Request};

/// Decides requests (E1, E2).
pub trait Evaluator: fmt::Debug + Send + Sync {
    /// Decides one request.
    fn evaluate(&self, request: &Request) -> Decision;

    /// Returns the version of the bundle that decides; empty when there is none.
    fn policy_ref(&self) -> &str;

    /// Returns `sha256:…` of the bundle file that decides; empty when there is none.
    fn policy_digest(&self) -> &str;
}

/// Denies every request: there is no policy, or the operator asked for it.
///
/// # Examples
///
/// ```
/// use policy::{Decision, DenyAll, DenyCode, Evaluator};
/// # let request = policy::Request {
/// #     kind: "tool.echo".to_owned(),
/// #     params: serde_json::Map::new(),
/// #     context: policy::Context {
/// #         node: "n1".to_owned(),
/// #         operator: "op".to_owned(),
/// #         time: jiff::Timestamp::UNIX_EPOCH,
/// #         mode: "strict".to_owned(),
/// #     },
/// #     agent_context: None,
/// # };
///
/// let Decision::Deny(deny) = DenyAll::strict_mode().evaluate(&request) else {
///     unreachable!("it never allows");
/// };
/// assert_eq!(deny.code(), DenyCode::StrictMode);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DenyAll {
    code: DenyCode,
}

impl DenyAll {
    /// Denies because no policy is loaded.
    pub const fn no_policy() -> Self {
        Self { code: DenyCode::NoPolicy }
    }

    /// Denies because the operator switched strict mode on.
    pub const fn strict_mode() -> Self {
        Self { code: DenyCode::StrictMode }
    }

    /// Returns the code of every decision.
    pub const fn code(self) -> DenyCode {
        self.code
    }
}

impl Evaluator for DenyAll {
    fn evaluate(&self, _request: &Request) -> Decision {
        Decision::deny(self.code, None, None)
    }

    fn policy_ref(&self) -> &'static str {
        ""
    }

    fn policy_digest(&self) -> &'static str {
        ""
    }
}
