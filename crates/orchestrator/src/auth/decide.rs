//! Who may do what: the one decision.
//!
//! # Table
//!
//! The first column is what the route needs. `on` is enforcement, `holds` whether the roles of the caller
//! have the permission, or the caller is the node, or an identity is all that is needed. `any` is written as `–`.
//!
//! | row | need              | caller      | on  | holds | further                     | decision                        |
//! |-----|-------------------|-------------|-----|-------|-----------------------------|---------------------------------|
//! | A   | nothing           | –           | –   | –     |                             | allowed: open                   |
//! | B   | anything          | invalid     | –   | –     |                             | denied: `INVALID_CREDENTIAL`    |
//! | C   | anything          | valid, none | no  | –     |                             | allowed: enforcement off        |
//! | D   | anything          | valid       | yes | –     | names somebody else         | denied: `OPERATOR_MISMATCH`     |
//! | E   | anything          | valid       | yes | yes   |                             | allowed: permission             |
//! | K   | bootstrap or more | valid       | yes | no    | open, from this machine     | allowed: bootstrap              |
//! | F   | a permission      | valid       | yes | no    | break-glass, and no node    | allowed: break-glass            |
//! | G   | a permission      | valid       | yes | no    | otherwise                   | denied: `PERMISSION_MISSING`    |
//! | H   | a node            | valid       | yes | no    |                             | denied: `NOT_THIS_NODE`         |
//! | I   | bootstrap or more | none        | yes | –     | open, from this machine     | allowed: bootstrap              |
//! | J   | anything          | none        | yes | –     | otherwise                   | denied: `UNAUTHENTICATED`       |
//!
//! # Invariants
//!
//! * **D1** Whoever shows a credential means to be somebody. One that is wrong, expired or revoked is refused
//!   wherever a credential could count, also when enforcement is off and although nobody without one would
//!   be: a revoked token must not become an anonymous pass.
//! * **D2** The name in a header is a name and no identity. It is the actor only when enforcement is off
//!   and nobody was identified; where both are known and differ, somebody is mistaken and is told so.
//! * **D3** Break-glass gives an identified person or program the permission that is missing and nothing
//!   else: nothing to strangers or to nodes, and not the part of a node, which no role gives either.
//! * **D4** Everything that is refused, allowed by bootstrap or by break-glass leaves an event.

use std::fmt;

use thiserror::Error;

use super::{
    access::Access,
    event::Event,
    identity::Invalid,
    permission::Permission,
    subject::{ANONYMOUS, BOOTSTRAP, Subject, may_act_for},
    switches::Switches,
};

/// Who the caller was found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// Showed nothing.
    Anonymous,
    /// Showed a token of this subject.
    Token(Subject),
    /// Showed a certificate of this subject.
    Certificate(Subject),
    /// Showed something that counts for nothing (D1).
    Invalid(Invalid),
}

impl Identity {
    /// Who it is, when it is somebody.
    pub(crate) const fn subject(&self) -> Option<&Subject> {
        match self {
            Self::Token(subject) | Self::Certificate(subject) => Some(subject),
            Self::Anonymous | Self::Invalid(_) => None,
        }
    }
}

/// What is known about a caller.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller<'a> {
    pub(crate) identity: &'a Identity,
    /// What the header says (D2).
    pub(crate) claimed: Option<&'a str>,
    /// Whether the request comes from this machine and from nobody through it.
    pub(crate) loopback: bool,
}

/// What a route needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need<'a> {
    /// Nothing: it says no more than that the service runs.
    Nothing,
    /// To be somebody.
    Identity,
    /// A permission.
    Permission(Permission),
    /// To be this node.
    Node(&'a str),
    /// A permission, or to come first, from this machine.
    BootstrapOr(Permission),
}

/// Why somebody is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Because {
    Open,
    EnforcementOff,
    Permission,
    Bootstrap,
    BreakGlass,
}

/// That somebody may go on. Nothing but [`decide`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) struct Allowed {
    actor: String,
    because: Because,
}

impl Allowed {
    /// Who does it, for the audit trail.
    pub(crate) fn actor(&self) -> &str {
        &self.actor
    }

    /// Why it is allowed.
    pub(crate) const fn because(&self) -> Because {
        self.because
    }

    /// The event that must be written before it is done (D4).
    pub(crate) const fn event(&self) -> Option<Event> {
        match self.because {
            Because::Open | Because::EnforcementOff | Because::Permission => None,
            Because::Bootstrap => Some(Event::BootstrapAccess),
            Because::BreakGlass => Some(Event::BreakGlassUsed),
        }
    }
}

/// That somebody may not, and who it was.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{why}")]
pub(crate) struct Denied {
    actor: String,
    why: Why,
}

/// What kind of answer a refusal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// 401: come back with a credential.
    Unauthenticated,
    /// 403: this credential does not allow it.
    Forbidden,
}

/// Why somebody may not.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Why {
    Invalid(Invalid),
    OperatorMismatch,
    PermissionMissing(Permission),
    NotThisNode,
    Unauthenticated { may_bootstrap: bool },
}

impl Denied {
    /// Who it was, for the audit trail.
    pub(crate) fn actor(&self) -> &str {
        &self.actor
    }

    /// The event that must be written (D4).
    #[expect(clippy::unused_self, reason = "the counterpart of the same question to `Allowed`")]
    pub(crate) const fn event(&self) -> Event {
        Event::AccessDenied
    }

    /// Returns the stable code.
    pub(crate) const fn code(&self) -> &'static str {
        match self.why {
            Why::Invalid(_) => "INVALID_CREDENTIAL",
            Why::OperatorMismatch => "OPERATOR_MISMATCH",
            Why::PermissionMissing(_) => "PERMISSION_MISSING",
            Why::NotThisNode => "NOT_THIS_NODE",
            Why::Unauthenticated { .. } => "UNAUTHENTICATED",
        }
    }

    /// What kind of answer it is.
    pub(crate) const fn class(&self) -> Class {
        match self.why {
            Why::Invalid(_) | Why::Unauthenticated { .. } => Class::Unauthenticated,
            Why::OperatorMismatch | Why::PermissionMissing(_) | Why::NotThisNode => {
                Class::Forbidden
            }
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(invalid) => invalid.fmt(f),
            Self::OperatorMismatch => {
                f.write_str("the operator in the header is not who the credential belongs to")
            }
            Self::PermissionMissing(permission) => {
                write!(f, "no role of the caller has the permission {permission}")
            }
            Self::NotThisNode => f.write_str("only the node itself may do this"),
            Self::Unauthenticated { may_bootstrap: false } => {
                f.write_str("a bearer token or a client certificate is needed")
            }
            Self::Unauthenticated { may_bootstrap: true } => f.write_str(
                "nobody can manage roles yet: run `autonomy rbac role assign` (an auditor manages \
                 roles) and `autonomy rbac token create` on this machine first",
            ),
        }
    }
}

/// Decides by the table.
pub(crate) fn decide(
    access: &Access,
    switches: Switches,
    caller: Caller<'_>,
    need: Need<'_>,
) -> Result<Allowed, Denied> {
    let subject = match (need, caller.identity) {
        (Need::Nothing, identity) => {
            let actor = identity.subject().map_or(ANONYMOUS, Subject::as_str);
            return Ok(allow(actor, Because::Open));
        }
        (_, Identity::Invalid(invalid)) => return Err(deny(ANONYMOUS, Why::Invalid(*invalid))),
        (_, Identity::Anonymous) => None,
        (_, Identity::Token(subject) | Identity::Certificate(subject)) => Some(subject),
    };
    if !switches.enforcement {
        let actor = subject.map(Subject::as_str).or(caller.claimed).unwrap_or(ANONYMOUS);
        return Ok(allow(actor, Because::EnforcementOff));
    }
    match subject {
        Some(subject) => of_somebody(access, switches, subject, caller, need),
        None => of_nobody(access, caller.loopback, need),
    }
}

/// Rows D to H.
fn of_somebody(
    access: &Access,
    switches: Switches,
    subject: &Subject,
    caller: Caller<'_>,
    need: Need<'_>,
) -> Result<Allowed, Denied> {
    let actor = subject.as_str();
    if caller.claimed.is_some_and(|it| it != actor) {
        return Err(deny(actor, Why::OperatorMismatch));
    }
    match need {
        Need::Nothing => Ok(allow(actor, Because::Open)),
        Need::Identity => Ok(allow(actor, Because::Permission)),
        Need::Permission(permission) | Need::BootstrapOr(permission) => {
            if access.permits(subject, permission) {
                Ok(allow(actor, Because::Permission))
            } else if may_bootstrap(access, caller, need) && !subject.is_node() {
                Ok(allow(actor, Because::Bootstrap))
            } else if switches.break_glass && !subject.is_node() {
                Ok(allow(actor, Because::BreakGlass))
            } else {
                Err(deny(actor, Why::PermissionMissing(permission)))
            }
        }
        Need::Node(node) => {
            if access.permits(subject, Permission::NodeAct) && may_act_for(subject, node) {
                Ok(allow(actor, Because::Permission))
            } else {
                Err(deny(actor, Why::NotThisNode))
            }
        }
    }
}

/// Whether somebody with an identity comes first: where every client has to show a certificate, nobody is without.
fn may_bootstrap(access: &Access, caller: Caller<'_>, need: Need<'_>) -> bool {
    matches!(need, Need::BootstrapOr(_)) && caller.loopback && !access.bootstrap_closed()
}

/// Rows I and J. Strangers elsewhere do not learn that the door is open.
fn of_nobody(access: &Access, loopback: bool, need: Need<'_>) -> Result<Allowed, Denied> {
    let may_bootstrap = loopback && !access.bootstrap_closed();
    match need {
        Need::BootstrapOr(_) if may_bootstrap => Ok(allow(BOOTSTRAP, Because::Bootstrap)),
        _ => Err(deny(ANONYMOUS, Why::Unauthenticated { may_bootstrap })),
    }
}

fn allow(actor: &str, because: Because) -> Allowed {
    Allowed { actor: actor.to_owned(), because }
}

fn deny(actor: &str, why: Why) -> Denied {
    Denied { actor: actor.to_owned(), why }
}

#[cfg(test)]
mod tests;
