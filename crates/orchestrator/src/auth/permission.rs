//! What may be asked for: every permission, by its name.
//!
//! | group      | permissions                                                                        |
//! |------------|------------------------------------------------------------------------------------|
//! | reads      | `fleet activation telemetry lock release_channel wal policy_eval audit_history cert`, each `:read` |
//! | operations | `signature:verify bundle:build simulation:run cert:manage rbac:manage`               |
//! | mutations  | `rollout:write ha:write`: a read permission must not allow a rollback                |
//! | machines   | `telemetry:write` (events come in) and `node:act` (a node asks, acknowledges, reports) |

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// One thing that a caller may be allowed to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub(crate) enum Permission {
    FleetRead,
    ActivationRead,
    TelemetryRead,
    LockRead,
    ReleaseChannelRead,
    WalRead,
    PolicyEvalRead,
    AuditHistoryRead,
    SignatureVerify,
    BundleBuild,
    CertRead,
    CertManage,
    RbacManage,
    SimulationRun,
    RolloutWrite,
    HaWrite,
    TelemetryWrite,
    NodeAct,
}

impl Permission {
    /// Every permission.
    pub(crate) const ALL: [Self; 18] = [
        Self::FleetRead,
        Self::ActivationRead,
        Self::TelemetryRead,
        Self::LockRead,
        Self::ReleaseChannelRead,
        Self::WalRead,
        Self::PolicyEvalRead,
        Self::AuditHistoryRead,
        Self::SignatureVerify,
        Self::BundleBuild,
        Self::CertRead,
        Self::CertManage,
        Self::RbacManage,
        Self::SimulationRun,
        Self::RolloutWrite,
        Self::HaWrite,
        Self::TelemetryWrite,
        Self::NodeAct,
    ];

    /// Returns its name.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::FleetRead => "fleet:read",
            Self::ActivationRead => "activation:read",
            Self::TelemetryRead => "telemetry:read",
            Self::LockRead => "lock:read",
            Self::ReleaseChannelRead => "release_channel:read",
            Self::WalRead => "wal:read",
            Self::PolicyEvalRead => "policy_eval:read",
            Self::AuditHistoryRead => "audit_history:read",
            Self::SignatureVerify => "signature:verify",
            Self::BundleBuild => "bundle:build",
            Self::CertRead => "cert:read",
            Self::CertManage => "cert:manage",
            Self::RbacManage => "rbac:manage",
            Self::SimulationRun => "simulation:run",
            Self::RolloutWrite => "rollout:write",
            Self::HaWrite => "ha:write",
            Self::TelemetryWrite => "telemetry:write",
            Self::NodeAct => "node:act",
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<Permission> for &'static str {
    fn from(permission: Permission) -> Self {
        permission.as_str()
    }
}

impl FromStr for Permission {
    type Err = UnknownPermission;

    fn from_str(text: &str) -> Result<Self, UnknownPermission> {
        let found = Self::ALL.into_iter().find(|it| it.as_str() == text);
        found.ok_or(UnknownPermission { len: text.len() })
    }
}

impl TryFrom<String> for Permission {
    type Error = UnknownPermission;

    fn try_from(text: String) -> Result<Self, UnknownPermission> {
        text.parse()
    }
}

/// A name that is none of a permission. It is not repeated: it may be as long as a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a text of {len} bytes is not the name of a permission")]
pub(crate) struct UnknownPermission {
    len: usize,
}

impl UnknownPermission {
    /// Returns the stable code.
    #[expect(clippy::unused_self, reason = "every error of the project answers this question")]
    pub(crate) const fn code(self) -> &'static str {
        "PERMISSION_UNKNOWN"
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_permission_is_found_by_its_own_name_and_by_no_other() {
        let names: BTreeSet<_> = Permission::ALL.iter().map(|it| it.as_str()).collect();
        assert_eq!(names.len(), Permission::ALL.len());
        for permission in Permission::ALL {
            assert_eq!(permission.as_str().parse(), Ok(permission));
            let text = serde_json::to_string(&permission).unwrap();
            assert_eq!(text, format!("\"{permission}\""));
            assert_eq!(serde_json::from_str::<Permission>(&text).unwrap(), permission);
        }
        for text in ["", "fleet", "FLEET:READ", "fleet:read ", "rollout:*", "*"] {
            assert_eq!(
                text.parse::<Permission>().map_err(UnknownPermission::code),
                Err("PERMISSION_UNKNOWN")
            );
        }
    }

    #[test]
    fn the_fourteen_names_of_the_interface_are_all_there() {
        let names = "fleet:read activation:read telemetry:read lock:read release_channel:read wal:read \
                     policy_eval:read audit_history:read signature:verify bundle:build cert:read \
                     cert:manage rbac:manage simulation:run";
        let found: Vec<Permission> = names.split(' ').map(|it| it.parse().unwrap()).collect();
        assert_eq!(found, Permission::ALL[..14]);
    }
}
