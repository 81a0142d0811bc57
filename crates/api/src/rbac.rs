//! Who may do what: roles, assignments, tokens.

use serde::{Deserialize, Serialize};

/// A role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Role {
    /// Its name.
    pub name: String,
    /// What it permits.
    pub permissions: Vec<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether it is given and cannot be changed.
    #[serde(default)]
    pub predefined: bool,
}

/// Answer of `GET /v1/rbac/roles`, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Roles {
    /// The roles.
    pub roles: Vec<Role>,
    /// How many stand in `roles`.
    pub count: u64,
}

/// Body of `POST /v1/rbac/roles`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewRole {
    /// Its name.
    pub name: String,
    /// What it permits; at least one.
    pub permissions: Vec<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A role that a subject has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Assignment {
    /// The role.
    pub role: String,
    /// Who has it.
    pub subject: String,
    /// Who gave it.
    pub by: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When.
    pub at: String,
}

/// Answer of `GET /v1/rbac/assignments`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Assignments {
    /// The assignments, by subject and role.
    pub assignments: Vec<Assignment>,
    /// How many stand in `assignments`.
    pub count: u64,
}

/// Body of `POST /v1/rbac/assignments`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewAssignment {
    /// The role.
    pub role: String,
    /// Who gets it; `node:<id>` for a node.
    pub subject: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Token {
    /// Its name.
    pub id: String,
    /// Whose.
    pub subject: String,
    /// When it was made.
    pub created_at: String,
    /// Who made it.
    pub created_by: String,
    /// Until when it counts; for ever when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<String>,
    /// `live`, `expired` or `revoked`.
    pub status: String,
}

/// Answer of `GET /v1/rbac/tokens`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Tokens {
    /// The tokens, by creation.
    pub tokens: Vec<Token>,
    /// How many stand in `tokens`.
    pub count: u64,
}

/// Body of `POST /v1/rbac/tokens`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// Whose.
    pub subject: String,
    /// How long it counts; for ever when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u64>,
}

/// Answer of `POST /v1/rbac/tokens`: the only time the secret is seen.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreatedToken {
    /// The token.
    pub token: Token,
    /// What goes into `Authorization: Bearer`.
    pub secret: String,
}

impl std::fmt::Debug for CreatedToken {
    /// Shows the token and never its secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreatedToken").field("token", &self.token).finish_non_exhaustive()
    }
}

/// Answer of `GET /v1/rbac/whoami`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WhoAmI {
    /// As whom the caller acts.
    pub subject: String,
    /// `token`, `certificate`, `name` (enforcement is off) or `anonymous`.
    pub identity: String,
    /// Whether permissions are enforced.
    pub enforcement: bool,
    /// The roles of the subject.
    pub roles: Vec<String>,
    /// What they permit.
    pub permissions: Vec<String>,
}
