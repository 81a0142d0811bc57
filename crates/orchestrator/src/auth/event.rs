//! What the audit trail says about access: the names are an interface.

/// One event of the category `auth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    AccessDenied,
    BootstrapAccess,
    BreakGlassUsed,
    RoleCreated,
    RoleDeleted,
    RoleAssigned,
    RoleUnassigned,
    TokenCreated,
    TokenRevoked,
}

impl Event {
    /// Returns its name.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::AccessDenied => "auth.access.denied",
            Self::BootstrapAccess => "auth.bootstrap.access",
            Self::BreakGlassUsed => "auth.break_glass.used",
            Self::RoleCreated => "auth.role.created",
            Self::RoleDeleted => "auth.role.deleted",
            Self::RoleAssigned => "auth.role.assigned",
            Self::RoleUnassigned => "auth.role.unassigned",
            Self::TokenCreated => "auth.token.created",
            Self::TokenRevoked => "auth.token.revoked",
        }
    }
}
