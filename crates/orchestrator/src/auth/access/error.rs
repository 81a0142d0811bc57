//! Why a state is not changed.

use thiserror::Error;

use super::{ASSIGNMENTS_MAX, REASON_LEN_MAX, ROLES_MAX, TOKENS_MAX, change::TTL_MAX};
use crate::auth::{
    permission::UnknownPermission,
    role::{RoleError, RoleName},
    subject::{Subject, SubjectError},
    token::TokenId,
};

/// Why a change is refused. What a request says is checked on the way to a change, hence the first three.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum AccessError {
    #[error(transparent)]
    Role(#[from] RoleError),
    #[error(transparent)]
    Subject(#[from] SubjectError),
    #[error(transparent)]
    Permission(#[from] UnknownPermission),
    #[error(
        "the reason or description is empty, longer than {REASON_LEN_MAX} bytes, or has control characters"
    )]
    Reason,
    #[error("the life of a token is 1 to {} seconds", TTL_MAX.as_secs())]
    Ttl,
    #[error("no role `{role}`")]
    RoleUnknown { role: RoleName },
    #[error("there is a role `{role}` with other permissions")]
    RoleExists { role: RoleName },
    #[error("{subjects} subjects have the role `{role}`; unassign it first")]
    RoleAssigned { role: RoleName, subjects: usize },
    #[error(
        "`{subject}` cannot have the role `{role}`: a node has the role `node` and nothing else, and nobody else has it"
    )]
    NotForSubject { role: RoleName, subject: Subject },
    #[error("`{subject}` does not have the role `{role}`")]
    NotAssigned { role: RoleName, subject: Subject },
    #[error("no token `{id}`")]
    TokenUnknown { id: TokenId },
    #[error(
        "there is a token `{id}` already, perhaps by an earlier try of this request; its secret was shown once: revoke it and make another"
    )]
    TokenExists { id: TokenId },
    #[error("{ROLES_MAX} roles already")]
    RolesFull,
    #[error("{ASSIGNMENTS_MAX} assignments already")]
    AssignmentsFull,
    #[error("{TOKENS_MAX} live tokens already; larger fleets use client certificates")]
    TokensFull,
    #[error(
        "after this nobody could manage roles any more; give somebody else that permission and a token first, or force it"
    )]
    LastKey,
    #[error(
        "without an identity only roles are assigned and tokens created, and only until somebody can manage roles"
    )]
    NotInBootstrap,
}

/// What kind of answer a refusal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// 400: the request itself.
    Invalid,
    /// 403: not by this caller any more.
    Forbidden,
    /// 404: what it is about does not exist.
    NotFound,
    /// 409: the state.
    Conflict,
    /// 507: no room.
    Full,
}

impl AccessError {
    /// Returns the stable code.
    pub(crate) const fn code(&self) -> &'static str {
        self.row().0
    }

    /// What kind of answer it is.
    pub(crate) const fn kind(&self) -> Kind {
        self.row().1
    }

    /// The one table of codes and kinds.
    const fn row(&self) -> (&'static str, Kind) {
        match self {
            Self::Role(error) => (error.code(), Kind::Invalid),
            Self::Subject(error) => (error.code(), Kind::Invalid),
            Self::Permission(error) => (error.code(), Kind::Invalid),
            Self::Reason => ("REASON_INVALID", Kind::Invalid),
            Self::Ttl => ("TTL_OUT_OF_RANGE", Kind::Invalid),
            Self::NotForSubject { .. } => ("ROLE_NOT_FOR_SUBJECT", Kind::Invalid),
            Self::RoleUnknown { .. } => ("ROLE_NOT_FOUND", Kind::NotFound),
            Self::NotAssigned { .. } => ("ASSIGNMENT_NOT_FOUND", Kind::NotFound),
            Self::TokenUnknown { .. } => ("TOKEN_NOT_FOUND", Kind::NotFound),
            Self::RoleExists { .. } => ("ROLE_EXISTS", Kind::Conflict),
            Self::RoleAssigned { .. } => ("ROLE_ASSIGNED", Kind::Conflict),
            Self::TokenExists { .. } => ("TOKEN_EXISTS", Kind::Conflict),
            Self::LastKey => ("LAST_KEY", Kind::Conflict),
            Self::RolesFull | Self::AssignmentsFull | Self::TokensFull => {
                ("ACCESS_FULL", Kind::Full)
            }
            Self::NotInBootstrap => ("BOOTSTRAP_CLOSED", Kind::Forbidden),
        }
    }
}
