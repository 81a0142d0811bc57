//! What can be changed, and how.

use std::{collections::BTreeSet, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::{
    ASSIGNMENTS_MAX, Access, AccessError, Assignment, REASON_LEN_MAX, ROLES_MAX, Role, TOKENS_MAX,
    Token, fits,
};
use crate::auth::{
    decide::{Allowed, Because},
    event::Event,
    permission::Permission,
    role::{self, Predefined, RoleError, RoleName},
    subject::Subject,
    token::{TokenHash, TokenId},
};

/// Longest life of a token that has an end: ten years.
pub(crate) const TTL_MAX: Duration = Duration::from_hours(10 * 366 * 24);

/// A change of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    CreateRole { role: RoleName, permissions: BTreeSet<Permission>, description: Option<String> },
    DeleteRole { role: RoleName },
    Assign { role: RoleName, subject: Subject, reason: Option<String> },
    Unassign { role: RoleName, subject: Subject, force: bool },
    CreateToken { id: TokenId, hash: TokenHash, subject: Subject, ttl: Option<Duration> },
    RevokeToken { id: TokenId, force: bool },
}

/// What a change did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The state is another; this must be in the audit trail.
    Changed(Event),
    /// It was so already.
    Unchanged,
}

impl Change {
    /// The event of it.
    const fn event(&self) -> Event {
        match self {
            Self::CreateRole { .. } => Event::RoleCreated,
            Self::DeleteRole { .. } => Event::RoleDeleted,
            Self::Assign { .. } => Event::RoleAssigned,
            Self::Unassign { .. } => Event::RoleUnassigned,
            Self::CreateToken { .. } => Event::TokenCreated,
            Self::RevokeToken { .. } => Event::TokenRevoked,
        }
    }

    /// Whether it is one of the two that come first.
    const fn is_bootstrap(&self) -> bool {
        matches!(self, Self::Assign { .. } | Self::CreateToken { .. })
    }

    /// Whether it may take a key away, unless it is forced (A4).
    const fn may_lock_out(&self) -> bool {
        matches!(self, Self::Unassign { force: false, .. } | Self::RevokeToken { force: false, .. })
    }
}

impl Access {
    /// Makes the next state (A1). That somebody is allowed was decided about a state that may have changed
    /// since, so the bootstrap is looked at again.
    pub(crate) fn apply(
        &self,
        change: &Change,
        by: &Allowed,
        now: Timestamp,
    ) -> Result<(Self, Effect), AccessError> {
        let bootstrap = by.because() == Because::Bootstrap;
        if bootstrap && (self.bootstrap_closed || !change.is_bootstrap()) {
            return Err(AccessError::NotInBootstrap);
        }
        let mut next = self.clone();
        let changed = next.make(change, by.actor(), now)?;
        let (before, after) = (self.keys(now), next.keys(now));
        let locks_out = (before.held && !after.held) || (before.managed && !after.managed);
        if change.may_lock_out() && locks_out {
            return Err(AccessError::LastKey);
        }
        next.bootstrap_closed |= after.held || by.because() == Because::Permission;
        if !changed && next == *self {
            return Ok((next, Effect::Unchanged));
        }
        next.generation = self.generation.saturating_add(1);
        let effect = if changed { Effect::Changed(change.event()) } else { Effect::Unchanged };
        Ok((next, effect))
    }

    /// Returns whether anything is another.
    pub(super) fn make(
        &mut self,
        change: &Change,
        by: &str,
        now: Timestamp,
    ) -> Result<bool, AccessError> {
        let by = by.to_owned();
        match change {
            Change::CreateRole { role, permissions, description } => {
                if description.as_deref().is_some_and(|it| !is_reason(it)) {
                    return Err(AccessError::Reason);
                }
                let (permissions, description) = (permissions.clone(), description.clone());
                self.create_role(role, Role { permissions, description, by, at: now })
            }
            Change::DeleteRole { role } => self.delete_role(role),
            Change::Assign { role, subject, reason } => {
                let reason = reason.clone();
                self.assign(role, subject, Assignment { by, reason, at: now })
            }
            Change::Unassign { role, subject, .. } => self.unassign(role, subject),
            Change::CreateToken { id, hash, subject, ttl } => {
                let expires_at = ttl.map(|it| end_of_life(now, it)).transpose()?;
                let (subject, hash) = (subject.clone(), *hash);
                let token =
                    Token { subject, hash, by, created_at: now, expires_at, revoked_at: None };
                self.create_token(id, token, now)
            }
            Change::RevokeToken { id, .. } => self.revoke_token(id, now),
        }
    }

    fn create_role(&mut self, name: &RoleName, role: Role) -> Result<bool, AccessError> {
        role::check(name, &role.permissions)?;
        match self.roles.get(name) {
            Some(found) if found.permissions == role.permissions => return Ok(false),
            Some(_) => return Err(AccessError::RoleExists { role: name.clone() }),
            None if self.roles.len() >= ROLES_MAX => return Err(AccessError::RolesFull),
            None => {}
        }
        self.roles.insert(name.clone(), role);
        Ok(true)
    }

    fn delete_role(&mut self, name: &RoleName) -> Result<bool, AccessError> {
        if Predefined::named(name).is_some() {
            return Err(RoleError::Predefined.into());
        }
        let subjects = self.assignments.values().filter(|it| it.contains_key(name)).count();
        if subjects > 0 {
            return Err(AccessError::RoleAssigned { role: name.clone(), subjects });
        }
        let removed = self.roles.remove(name);
        removed.map(|_| true).ok_or_else(|| AccessError::RoleUnknown { role: name.clone() })
    }

    fn assign(
        &mut self,
        role: &RoleName,
        subject: &Subject,
        assignment: Assignment,
    ) -> Result<bool, AccessError> {
        if assignment.reason.as_deref().is_some_and(|it| !is_reason(it)) {
            return Err(AccessError::Reason);
        }
        let predefined = Predefined::named(role);
        if predefined.is_none() && !self.roles.contains_key(role) {
            return Err(AccessError::RoleUnknown { role: role.clone() });
        }
        if predefined == Some(Predefined::Node) && subject.is_node() {
            return Ok(false); // It has it by its name.
        }
        if !fits(role, subject) {
            let (role, subject) = (role.clone(), subject.clone());
            return Err(AccessError::NotForSubject { role, subject });
        }
        if self.assignments.get(subject).is_some_and(|it| it.contains_key(role)) {
            return Ok(false);
        }
        if self.assigned >= ASSIGNMENTS_MAX {
            return Err(AccessError::AssignmentsFull);
        }
        self.assignments.entry(subject.clone()).or_default().insert(role.clone(), assignment);
        self.assigned += 1;
        Ok(true)
    }

    fn unassign(&mut self, role: &RoleName, subject: &Subject) -> Result<bool, AccessError> {
        let missing = || AccessError::NotAssigned { role: role.clone(), subject: subject.clone() };
        let roles = self.assignments.get_mut(subject).ok_or_else(missing)?;
        roles.remove(role).ok_or_else(missing)?;
        if roles.is_empty() {
            self.assignments.remove(subject);
        }
        self.assigned = self.assigned.saturating_sub(1);
        Ok(true)
    }

    fn create_token(
        &mut self,
        id: &TokenId,
        token: Token,
        now: Timestamp,
    ) -> Result<bool, AccessError> {
        if self.tokens.contains_key(id) {
            return Err(AccessError::TokenExists { id: id.clone() });
        }
        if self.tokens.len() >= TOKENS_MAX {
            let dead = self.tokens.iter().filter(|(_, it)| !it.is_live(now));
            let longest = dead.min_by_key(|(_, it)| it.dead_since()).map(|(id, _)| id.clone());
            self.tokens.remove(&longest.ok_or(AccessError::TokensFull)?);
        }
        self.tokens.insert(id.clone(), token);
        Ok(true)
    }

    fn revoke_token(&mut self, id: &TokenId, now: Timestamp) -> Result<bool, AccessError> {
        let token =
            self.tokens.get_mut(id).ok_or_else(|| AccessError::TokenUnknown { id: id.clone() })?;
        if token.revoked_at.is_some() {
            return Ok(false);
        }
        token.revoked_at = Some(now);
        Ok(true)
    }
}

fn end_of_life(now: Timestamp, ttl: Duration) -> Result<Timestamp, AccessError> {
    if ttl < Duration::from_secs(1) || TTL_MAX < ttl {
        return Err(AccessError::Ttl);
    }
    let ttl = SignedDuration::try_from(ttl).map_err(|_| AccessError::Ttl)?;
    now.checked_add(ttl).map_err(|_| AccessError::Ttl)
}

fn is_reason(text: &str) -> bool {
    (1..=REASON_LEN_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}
