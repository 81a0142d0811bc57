//! Roles: named sets of permissions.
//!
//! | predefined   | permissions                                                                          |
//! |--------------|--------------------------------------------------------------------------------------|
//! | `operator`   | `fleet activation telemetry release_channel` reads, `rollout:write`, `ha:write`            |
//! | `analyst`    | the reads of `operator`, `wal lock policy_eval` reads, `bundle:build signature:verify simulation:run` |
//! | `auditor`    | every read, with the history of the audit, and `rbac:manage`                             |
//! | `integrator` | `telemetry:read telemetry:write release_channel:read`                                  |
//! | `node`       | `node:act telemetry:write`                                                           |
//!
//! # Invariants
//!
//! * **L1** A predefined role is what this table says; no role can be made with its name.
//! * **L2** No role is called [`FORBIDDEN`], in whatever case: there is no role that may do everything.
//! * **L3** A role that is made has at least one permission and never `node:act`: no role gives authority
//!   over what runs on a node.
//! * **L4** `node` belongs to the names of nodes (`node:<id>`), which hold it without an assignment and
//!   hold nothing else. A fleet needs no entry for each node, and a stolen node is no operator.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::permission::Permission;

/// Names that no role may have (L2).
pub(crate) const FORBIDDEN: [&str; 4] = ["admin", "superuser", "root", "system"];
/// Longest name of a role in bytes.
pub(crate) const ROLE_NAME_LEN_MAX: usize = 64;

/// The roles that are always there (L1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Predefined {
    Operator,
    Analyst,
    Auditor,
    Integrator,
    Node,
}

impl Predefined {
    /// Every predefined role.
    pub(crate) const ALL: [Self; 5] =
        [Self::Operator, Self::Analyst, Self::Auditor, Self::Integrator, Self::Node];

    /// Returns its name.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Analyst => "analyst",
            Self::Auditor => "auditor",
            Self::Integrator => "integrator",
            Self::Node => "node",
        }
    }

    /// Returns what it allows.
    pub(crate) const fn permissions(self) -> &'static [Permission] {
        use Permission as P;
        match self {
            Self::Operator => &[
                P::FleetRead,
                P::ActivationRead,
                P::TelemetryRead,
                P::ReleaseChannelRead,
                P::RolloutWrite,
                P::HaWrite,
            ],
            Self::Analyst => &[
                P::FleetRead,
                P::ActivationRead,
                P::TelemetryRead,
                P::ReleaseChannelRead,
                P::WalRead,
                P::LockRead,
                P::PolicyEvalRead,
                P::BundleBuild,
                P::SignatureVerify,
                P::SimulationRun,
            ],
            Self::Auditor => &[
                P::FleetRead,
                P::ActivationRead,
                P::TelemetryRead,
                P::LockRead,
                P::ReleaseChannelRead,
                P::WalRead,
                P::PolicyEvalRead,
                P::AuditHistoryRead,
                P::CertRead,
                P::RbacManage,
            ],
            Self::Integrator => &[P::TelemetryRead, P::TelemetryWrite, P::ReleaseChannelRead],
            Self::Node => &[P::NodeAct, P::TelemetryWrite],
        }
    }

    /// Finds the predefined role of this name.
    pub(crate) fn named(name: &RoleName) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name.as_str())
    }
}

/// The checked name of a role: 1 to [`ROLE_NAME_LEN_MAX`] of `a-z 0-9 _ -`, a letter first (L2).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct RoleName(String);

impl RoleName {
    /// Checks a name.
    pub(crate) fn new(text: &str) -> Result<Self, RoleError> {
        let plain = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || b"_-".contains(&it);
        if FORBIDDEN.iter().any(|it| it.eq_ignore_ascii_case(text)) {
            return Err(RoleError::NameForbidden);
        }
        let starts = text.starts_with(|it: char| it.is_ascii_lowercase());
        if !starts || text.len() > ROLE_NAME_LEN_MAX || !text.bytes().all(plain) {
            return Err(RoleError::NameInvalid);
        }
        Ok(Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<RoleName> for String {
    fn from(name: RoleName) -> Self {
        name.0
    }
}

impl From<Predefined> for RoleName {
    fn from(role: Predefined) -> Self {
        Self(role.as_str().to_owned())
    }
}

impl TryFrom<String> for RoleName {
    type Error = RoleError;

    fn try_from(text: String) -> Result<Self, RoleError> {
        Self::new(&text)
    }
}

/// Checks that a role may be made (L1, L3).
pub(crate) fn check(name: &RoleName, permissions: &BTreeSet<Permission>) -> Result<(), RoleError> {
    if Predefined::named(name).is_some() {
        return Err(RoleError::Predefined);
    }
    if permissions.is_empty() {
        return Err(RoleError::Empty);
    }
    if permissions.contains(&Permission::NodeAct) {
        return Err(RoleError::ActsForNodes);
    }
    Ok(())
}

/// Why a role cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum RoleError {
    #[error("not the name of a role: 1 to {ROLE_NAME_LEN_MAX} of a-z 0-9 _ -, a letter first")]
    NameInvalid,
    #[error("no role may be called admin, superuser, root or system")]
    NameForbidden,
    #[error("a predefined role cannot be redefined or deleted")]
    Predefined,
    #[error("a role needs at least one permission")]
    Empty,
    #[error("no role may act for a node (node:act); that is what the token of a node is for")]
    ActsForNodes,
}

impl RoleError {
    /// Returns the stable code.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::NameInvalid => "ROLE_NAME_INVALID",
            Self::NameForbidden => "ROLE_NAME_FORBIDDEN",
            Self::Predefined => "ROLE_PREDEFINED",
            Self::Empty => "ROLE_EMPTY",
            Self::ActsForNodes => "ROLE_ACTS_FOR_NODES",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(role: Predefined) -> BTreeSet<&'static str> {
        role.permissions().iter().map(|it| it.as_str()).collect()
    }

    fn set(text: &'static str) -> BTreeSet<&'static str> {
        text.split(' ').collect()
    }

    #[test]
    fn every_predefined_role_allows_what_the_table_says() {
        let reads = "fleet:read activation:read telemetry:read release_channel:read";
        let operator = set(
            "fleet:read activation:read telemetry:read release_channel:read rollout:write ha:write",
        );
        assert_eq!(names(Predefined::Operator), operator);
        let mut analyst = set(reads);
        analyst.extend(set(
            "wal:read bundle:build lock:read policy_eval:read signature:verify simulation:run",
        ));
        assert_eq!(names(Predefined::Analyst), analyst);
        let all = Permission::ALL.iter().map(|it| it.as_str());
        let mut auditor: BTreeSet<_> = all.filter(|it| it.ends_with(":read")).collect();
        auditor.insert("rbac:manage");
        assert_eq!(names(Predefined::Auditor), auditor);
        assert_eq!(
            names(Predefined::Integrator),
            set("telemetry:read telemetry:write release_channel:read")
        );
        assert_eq!(names(Predefined::Node), set("node:act telemetry:write"));
    }

    #[test]
    fn only_the_role_of_nodes_acts_for_nodes() {
        for role in Predefined::ALL {
            let acts = role.permissions().contains(&Permission::NodeAct);
            assert_eq!(acts, role == Predefined::Node, "L3");
            assert_eq!(Predefined::named(&role.into()), Some(role));
        }
    }

    #[test]
    fn a_name_is_plain_and_not_one_that_promises_everything() {
        for text in ["a", "night-shift", "qa_2"] {
            assert_eq!(RoleName::new(text).unwrap().as_str(), text);
        }
        for text in ["admin", "Admin", "ROOT", "superuser", "system"] {
            assert_eq!(RoleName::new(text), Err(RoleError::NameForbidden), "L2");
        }
        let long = "x".repeat(ROLE_NAME_LEN_MAX + 1);
        for text in ["", "1a", "-a", "a b", "a:b", "A", "\u{e4}", &long] {
            assert_eq!(RoleName::new(text), Err(RoleError::NameInvalid), "{text}");
        }
    }

    #[test]
    fn what_a_role_may_not_be_is_refused_by_name() {
        let role = |name: &str, permissions: &[Permission]| {
            check(&RoleName::new(name).unwrap(), &permissions.iter().copied().collect())
                .map_err(RoleError::code)
        };
        assert_eq!(role("night", &[Permission::FleetRead, Permission::RbacManage]), Ok(()));
        assert_eq!(role("night", &[]), Err("ROLE_EMPTY"));
        let acts = [Permission::FleetRead, Permission::NodeAct];
        assert_eq!(role("night", &acts), Err("ROLE_ACTS_FOR_NODES"), "L3");
        for predefined in Predefined::ALL {
            let refused = role(predefined.as_str(), &[Permission::FleetRead]);
            assert_eq!(refused, Err("ROLE_PREDEFINED"), "L1");
        }
    }
}
