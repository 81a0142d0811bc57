//! Roles, assignments and tokens: looking at them and changing them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use api::rbac::{
    Assignment as WireAssignment, Assignments, CreatedToken, NewAssignment, NewRole, NewToken,
    Role as WireRole, Roles, Token as WireToken, Tokens, WhoAmI,
};
use audit::Category;
use axum::{
    extract::{Path, Request, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use jiff::Timestamp;
use zeroize::Zeroizing;

use super::{
    ask::{BODY_LEN_MAX, Change as Asked, Params},
    gate::{How, Permit, Who},
};
use crate::{
    auth::{
        access::{AccessError, Assignment, Change, Effect, Token},
        decide::Allowed,
        permission::Permission,
        role::{Predefined, RoleName},
        subject::Subject,
        token::{ID_BYTES, SECRET_BYTES, TokenId, mint},
    },
    rollouts::Draft,
    server::{App, Refusal, json_response},
};

/// What a change is asked with.
fn permit(request: &Request) -> Result<Allowed, Refusal> {
    let permit = request.extensions().get::<Permit>().cloned();
    permit.map(|it| it.0).ok_or_else(|| Refusal::Internal("a route without a gate".to_owned()))
}

fn draft(event: &str, action: &str, resource: (&str, &str), by: &Allowed) -> Draft {
    Draft::new(event, (Category::Auth, action), resource, by.actor())
}

fn permissions(role: &BTreeSet<Permission>) -> Vec<String> {
    role.iter().map(|it| it.as_str().to_owned()).collect()
}

fn predefined(role: Predefined) -> WireRole {
    let permissions = role.permissions().iter().map(|it| it.as_str().to_owned()).collect();
    let name = role.as_str().to_owned();
    WireRole { name, permissions, description: None, predefined: true }
}

/// List roles.
#[utoipa::path(get, path = "/v1/rbac/roles", tag = "rbac", responses((status = 200, body = Roles)))]
pub(crate) async fn roles(State(app): State<App>) -> Result<Response, Refusal> {
    let access = app.access.current();
    let made = access.roles().iter().map(|(name, role)| WireRole {
        name: name.as_str().to_owned(),
        permissions: permissions(&role.permissions),
        description: role.description.clone(),
        predefined: false,
    });
    let roles: Vec<_> = Predefined::ALL.into_iter().map(predefined).chain(made).collect();
    json_response(&Roles { count: roles.len() as u64, roles })
}

/// Make a role.
#[utoipa::path(post, path = "/v1/rbac/roles", tag = "rbac", request_body = NewRole,
    responses((status = 201, body = WireRole), (status = 200, body = WireRole)))]
pub(crate) async fn create_role(
    State(app): State<App>,
    request: Request,
) -> Result<Response, Refusal> {
    let by = permit(&request)?;
    let NewRole { name, permissions: asked, description } =
        Asked::read(&app, request, BODY_LEN_MAX).await?.json()?;
    let role = RoleName::new(&name).map_err(AccessError::from)?;
    let named: Result<BTreeSet<Permission>, _> = asked.iter().map(|it| it.parse()).collect();
    let named = named.map_err(AccessError::from)?;
    let draft = draft("auth.role.created", "create", ("role", role.as_str()), &by)
        .with("permissions", permissions(&named));
    let shown = WireRole {
        name,
        permissions: permissions(&named),
        description: description.clone(),
        predefined: false,
    };
    let change = Change::CreateRole { role, permissions: named, description };
    let (_, effect) = app.access.change(&app, change, &by, draft).await?;
    created(&shown, effect)
}

fn created(body: &impl serde::Serialize, effect: Effect) -> Result<Response, Refusal> {
    let mut response = json_response(body)?;
    if matches!(effect, Effect::Changed(_)) {
        *response.status_mut() = StatusCode::CREATED;
    }
    Ok(response)
}

/// Delete a role that nobody has.
#[utoipa::path(delete, path = "/v1/rbac/roles/{name}", tag = "rbac",
    params(("name" = String, Path, description = "The role.")), responses((status = 204)))]
pub(crate) async fn delete_role(
    State(app): State<App>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let by = permit(&request)?;
    let role = RoleName::new(&name).map_err(AccessError::from)?;
    let draft = draft("auth.role.deleted", "delete", ("role", role.as_str()), &by);
    app.access.change(&app, Change::DeleteRole { role }, &by, draft).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn assignment(subject: &Subject, role: &RoleName, it: &Assignment) -> WireAssignment {
    WireAssignment {
        role: role.as_str().to_owned(),
        subject: subject.as_str().to_owned(),
        by: it.by.clone(),
        reason: it.reason.clone(),
        at: it.at.to_string(),
    }
}

/// List who has which roles.
#[utoipa::path(get, path = "/v1/rbac/assignments", tag = "rbac", responses((status = 200, body = Assignments)))]
pub(crate) async fn assignments(State(app): State<App>) -> Result<Response, Refusal> {
    let access = app.access.current();
    let of = |(subject, roles): (&Subject, &BTreeMap<RoleName, Assignment>)| {
        roles.iter().map(|(role, it)| assignment(subject, role, it)).collect::<Vec<_>>()
    };
    let assignments: Vec<_> = access.assignments().iter().flat_map(of).collect();
    json_response(&Assignments { count: assignments.len() as u64, assignments })
}

/// Give a role to a subject.
#[utoipa::path(post, path = "/v1/rbac/assignments", tag = "rbac", request_body = NewAssignment,
    responses((status = 201, body = WireAssignment), (status = 200, body = WireAssignment)))]
pub(crate) async fn assign(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    let by = permit(&request)?;
    let NewAssignment { role, subject, reason } =
        Asked::read(&app, request, BODY_LEN_MAX).await?.json()?;
    let role = RoleName::new(&role).map_err(AccessError::from)?;
    let subject = Subject::new(&subject).map_err(AccessError::from)?;
    let draft = draft("auth.role.assigned", "assign", ("subject", subject.as_str()), &by)
        .with("role", role.as_str())
        .with_some("reason", reason.clone().filter(|it| it.len() <= BODY_LEN_MAX / 64));
    let change = Change::Assign { role: role.clone(), subject: subject.clone(), reason };
    let (access, effect) = app.access.change(&app, change, &by, draft).await?;
    let made = access.assignments().get(&subject).and_then(|it| it.get(&role));
    // A node has its role by its name: nothing is kept, and nothing has to be.
    let shown = made.map_or_else(
        || WireAssignment {
            role: role.as_str().to_owned(),
            subject: subject.as_str().to_owned(),
            by: "predefined".to_owned(),
            reason: None,
            at: app.now().to_string(),
        },
        |it| assignment(&subject, &role, it),
    );
    created(&shown, effect)
}

/// Take a role from a subject.
#[utoipa::path(delete, path = "/v1/rbac/assignments/{role}/{subject}", tag = "rbac",
    params(("role" = String, Path, description = "The role."), ("subject" = String, Path, description = "Who has it."),
           ("force" = Option<bool>, Query, description = "Also when nobody can manage roles afterwards.")),
    responses((status = 204)))]
pub(crate) async fn unassign(
    State(app): State<App>,
    Path((role, subject)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Refusal> {
    let by = permit(&request)?;
    let force = Params::of(request.uri(), &["force"])?.switch("force")?;
    let role = RoleName::new(&role).map_err(AccessError::from)?;
    let subject = Subject::new(&subject).map_err(AccessError::from)?;
    let draft = draft("auth.role.unassigned", "unassign", ("subject", subject.as_str()), &by)
        .with("role", role.as_str());
    app.access.change(&app, Change::Unassign { role, subject, force }, &by, draft).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn token(id: &TokenId, it: &Token, now: Timestamp) -> WireToken {
    let status = match (it.revoked_at, it.is_live(now)) {
        (Some(_), _) => "revoked",
        (None, true) => "live",
        (None, false) => "expired",
    };
    WireToken {
        id: id.as_str().to_owned(),
        subject: it.subject.as_str().to_owned(),
        created_at: it.created_at.to_string(),
        created_by: it.by.clone(),
        expires_at: it.expires_at.map(|it| it.to_string()),
        revoked_at: it.revoked_at.map(|it| it.to_string()),
        status: status.to_owned(),
    }
}

/// List tokens, without their secrets.
#[utoipa::path(get, path = "/v1/rbac/tokens", tag = "rbac", responses((status = 200, body = Tokens)))]
pub(crate) async fn tokens(State(app): State<App>) -> Result<Response, Refusal> {
    let (access, now) = (app.access.current(), Timestamp::now());
    let mut tokens: Vec<_> = access.tokens().iter().map(|(id, it)| token(id, it, now)).collect();
    tokens.sort_by(|a, b| (&a.created_at, &a.id).cmp(&(&b.created_at, &b.id)));
    json_response(&Tokens { count: tokens.len() as u64, tokens })
}

/// Make a token. Its secret is in this answer and nowhere else; the same key again is answered with 409.
#[utoipa::path(post, path = "/v1/rbac/tokens", tag = "rbac", request_body = NewToken,
    responses((status = 201, body = CreatedToken)))]
pub(crate) async fn create_token(
    State(app): State<App>,
    request: Request,
) -> Result<Response, Refusal> {
    let by = permit(&request)?;
    let asked = Asked::read(&app, request, BODY_LEN_MAX).await?;
    let NewToken { subject, ttl_seconds } = asked.json()?;
    let subject = Subject::new(&subject).map_err(AccessError::from)?;
    let mut id = [0; ID_BYTES];
    let mut secret = Zeroizing::new([0; SECRET_BYTES]);
    let random = getrandom::fill(&mut id).and_then(|()| getrandom::fill(&mut secret[..]));
    random.map_err(|error| Refusal::Internal(format!("no randomness: {error}")))?;
    if let Some(key) = &asked.idempotency {
        // The secret is shown once, so a request that is sent again cannot be answered with it. It must not make
        // a second token that nobody knows of either: it finds the name taken.
        id.iter_mut().zip(key.filed_under()).for_each(|(byte, of_key)| *byte = of_key);
    }
    let minted = mint(id, &secret);
    let draft = draft("auth.token.created", "create", ("token", minted.id.as_str()), &by)
        .with("subject", subject.as_str())
        .with_some("ttl_seconds", ttl_seconds);
    let change = Change::CreateToken {
        id: minted.id.clone(),
        hash: minted.hash,
        subject,
        ttl: ttl_seconds.map(Duration::from_secs),
    };
    let (access, effect) = app.access.change(&app, change, &by, draft).await?;
    let made = access.tokens().get(&minted.id);
    let made = made.ok_or_else(|| Refusal::Internal("a token that is not there".to_owned()))?;
    let shown = CreatedToken {
        token: token(&minted.id, made, Timestamp::now()),
        secret: minted.secret.expose().to_owned(),
    };
    created(&shown, effect)
}

/// Revoke a token.
#[utoipa::path(delete, path = "/v1/rbac/tokens/{id}", tag = "rbac",
    params(("id" = String, Path, description = "The token."),
           ("force" = Option<bool>, Query, description = "Also when nobody can manage roles afterwards.")),
    responses((status = 204)))]
pub(crate) async fn revoke_token(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let by = permit(&request)?;
    let force = Params::of(request.uri(), &["force"])?.switch("force")?;
    let id = TokenId::new(&id).map_err(|_| Refusal::NoToken)?;
    let draft = draft("auth.token.revoked", "revoke", ("token", id.as_str()), &by);
    app.access.change(&app, Change::RevokeToken { id, force }, &by, draft).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Say as whom the caller acts.
#[utoipa::path(get, path = "/v1/rbac/whoami", tag = "rbac", responses((status = 200, body = WhoAmI)))]
pub(crate) async fn whoami(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    let who = request.extensions().get::<Who>().map(|it| it.0.clone()).unwrap_or_default();
    let how = request.extensions().get::<How>().map_or("anonymous", |it| it.0);
    let access = app.access.current();
    let subject = Subject::new(&who).ok().filter(|_| matches!(how, "token" | "certificate"));
    let (roles, held) = match &subject {
        None => (Vec::new(), Vec::new()),
        Some(subject) => {
            let roles = access.assignments().get(subject).into_iter().flat_map(|it| it.keys());
            let mut roles: Vec<_> = roles.map(|it| it.as_str().to_owned()).collect();
            if subject.is_node() {
                roles.push(Predefined::Node.as_str().to_owned());
            }
            let held = Permission::ALL.iter().filter(|it| access.permits(subject, **it));
            (roles, held.map(|it| it.as_str().to_owned()).collect())
        }
    };
    json_response(&WhoAmI {
        subject: who,
        identity: how.to_owned(),
        enforcement: app.access.switches().enforcement,
        roles,
        permissions: held,
    })
}
