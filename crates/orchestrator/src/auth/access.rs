//! Roles, assignments and tokens: the whole state as one document.
//!
//! # Invariants
//!
//! * **A1** A state is changed by [`Access::apply`] alone, which is pure: it gives the next state or an
//!   error, and the old one is as it was.
//! * **A2** Every assigned role exists; a predefined one is not among those that were made; a node has no
//!   assignments. [`Access::check`] says so of what was read back.
//! * **A3** The door of the bootstrap closes for good as soon as somebody holds a key: a subject with a live
//!   token and `rbac:manage`, or a caller who was let in by that permission. Neither a role alone nor a
//!   token alone closes it, and no combination that cannot manage roles: nobody can lock himself out.
//! * **A4** The last key is not taken away by mistake: what would leave nobody with it is refused unless
//!   it is forced.
//! * **A5** Everything is bounded. When there is no room for a token, the one that has been dead for longest
//!   makes room; live ones never do.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    permission::Permission,
    role::{self, Predefined, RoleName},
    subject::Subject,
    token::{Presented, TokenHash, TokenId},
};

mod change;
mod error;

pub(crate) use change::{Change, Effect};
pub(crate) use error::{AccessError, Kind};

/// Most roles beside the predefined ones.
pub(crate) const ROLES_MAX: usize = 200;
/// Most assignments.
pub(crate) const ASSIGNMENTS_MAX: usize = 5_000;
/// Most tokens, dead ones that are still known included. A larger fleet uses client certificates.
pub(crate) const TOKENS_MAX: usize = 20_000;
/// Longest reason in bytes.
pub(crate) const REASON_LEN_MAX: usize = 256;

/// The state. Its fields are private, so that everything passes [`Access::apply`] (A1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Access {
    /// Counts the changes.
    generation: u64,
    /// Whether somebody holds a key, or once did (A3).
    bootstrap_closed: bool,
    roles: BTreeMap<RoleName, Role>,
    assignments: BTreeMap<Subject, BTreeMap<RoleName, Assignment>>,
    tokens: BTreeMap<TokenId, Token>,
    /// How many assignments there are.
    #[serde(skip)]
    assigned: usize,
}

/// A role that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Role {
    pub(crate) permissions: BTreeSet<Permission>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    pub(crate) by: String,
    pub(crate) at: Timestamp,
}

/// That a subject has a role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Assignment {
    pub(crate) by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    pub(crate) at: Timestamp,
}

/// What is kept of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Token {
    pub(crate) subject: Subject,
    hash: TokenHash,
    pub(crate) by: String,
    pub(crate) created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) revoked_at: Option<Timestamp>,
}

impl Token {
    /// Since when it counts for nothing.
    fn dead_since(&self) -> Option<Timestamp> {
        [self.revoked_at, self.expires_at].into_iter().flatten().min()
    }

    /// Whether it counts. The moment of its expiry is after its life.
    pub(crate) fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|it| now < it)
    }
}

/// Why a token counts for nothing. Whether it expired or was revoked learns only who has its secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenState {
    Unknown,
    Expired,
    Revoked,
}

impl Access {
    /// How many changes there were.
    pub(crate) const fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether somebody holds a key, or once did (A3).
    pub(crate) const fn bootstrap_closed(&self) -> bool {
        self.bootstrap_closed
    }

    /// The roles that were made.
    pub(crate) const fn roles(&self) -> &BTreeMap<RoleName, Role> {
        &self.roles
    }

    /// Who has which roles.
    pub(crate) const fn assignments(&self) -> &BTreeMap<Subject, BTreeMap<RoleName, Assignment>> {
        &self.assignments
    }

    /// The tokens, dead ones included.
    pub(crate) const fn tokens(&self) -> &BTreeMap<TokenId, Token> {
        &self.tokens
    }

    /// Whether a role of `subject` has the permission. A node has its own role and no other.
    pub(crate) fn permits(&self, subject: &Subject, permission: Permission) -> bool {
        if subject.is_node() {
            return Predefined::Node.permissions().contains(&permission);
        }
        let roles = self.assignments.get(subject);
        roles.into_iter().flat_map(BTreeMap::keys).any(|it| self.role_has(it, permission))
    }

    fn role_has(&self, name: &RoleName, permission: Permission) -> bool {
        match Predefined::named(name) {
            Some(role) => role.permissions().contains(&permission),
            None => self.roles.get(name).is_some_and(|it| it.permissions.contains(&permission)),
        }
    }

    /// Finds out whose token it is.
    pub(crate) fn verify(
        &self,
        presented: &Presented,
        now: Timestamp,
    ) -> Result<&Subject, TokenState> {
        let token = self.tokens.get(&presented.id).filter(|it| it.hash == presented.hash);
        let token = token.ok_or(TokenState::Unknown)?;
        if token.revoked_at.is_some() {
            return Err(TokenState::Revoked);
        }
        if !token.is_live(now) {
            return Err(TokenState::Expired);
        }
        Ok(&token.subject)
    }

    /// Who can manage roles, and who of them has a live token (A3, A4).
    fn keys(&self, now: Timestamp) -> Keys {
        let managers: BTreeSet<&Subject> =
            self.assignments.keys().filter(|it| self.permits(it, Permission::RbacManage)).collect();
        let live = self.tokens.values().filter(|it| it.is_live(now));
        let holds = live.into_iter().any(|it| managers.contains(&it.subject));
        Keys { managed: !managers.is_empty(), held: holds }
    }

    /// Checks what no type says (A2), and counts, after the state was read back.
    pub(crate) fn check(mut self) -> Result<Self, &'static str> {
        self.assigned = self.assignments.values().map(BTreeMap::len).sum();
        let known = |it: &RoleName| Predefined::named(it).is_some() || self.roles.contains_key(it);
        if self.roles.iter().any(|(name, role)| role::check(name, &role.permissions).is_err()) {
            return Err("a role that cannot be made");
        }
        if self.assignments.values().any(|it| it.is_empty() || !it.keys().all(known)) {
            return Err("an assignment of a role that does not exist");
        }
        if self.assignments.iter().any(|(who, roles)| !roles.keys().all(|it| fits(it, who))) {
            return Err("an assignment that nobody can make");
        }
        if self.roles.len() > ROLES_MAX
            || self.assigned > ASSIGNMENTS_MAX
            || self.tokens.len() > TOKENS_MAX
        {
            return Err("more than there may be");
        }
        Ok(self)
    }
}

/// Whether somebody of this name may be given the role: neither `node` nor a node (L4).
fn fits(role: &RoleName, subject: &Subject) -> bool {
    Predefined::named(role) != Some(Predefined::Node) && !subject.is_node()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Keys {
    /// Somebody has a role with `rbac:manage`.
    managed: bool,
    /// Somebody who has one has a live token.
    held: bool,
}

#[cfg(test)]
pub(crate) mod tests;
