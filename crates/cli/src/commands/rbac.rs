//! `autonomy rbac`: who may do what, decided by the control plane.

use std::io::{self, Write};

use api::{
    exit::Exit,
    rbac::{
        Assignment, Assignments, CreatedToken, NewAssignment, NewRole, NewToken, Role as WireRole,
        Roles, Tokens, WhoAmI,
    },
};
use serde_json::json;

use crate::{
    args::{
        ControlArgs, Output, Rbac, Role, RoleAssign, RoleCreate, RoleUnassign, Token, TokenCreate,
    },
    commands::{note, tell, write_pairs},
    context::Context,
    control::{ControlPlane, Route},
    failure::Failure,
    printable::printable,
    table::{Table, optional},
};

pub(crate) fn run(command: Rbac, context: Context<'_>) -> Result<Exit, Failure> {
    match command {
        Rbac::Role(command) => role(command, context),
        Rbac::Token(command) => token(command, context),
        Rbac::Whoami(args) => show::<WhoAmI>(&route("whoami"), &args.control, whoami, context),
    }
}

fn role(command: Role, context: Context<'_>) -> Result<Exit, Failure> {
    match command {
        Role::List(args) => show::<Roles>(&route("roles"), &args.control, roles, context),
        Role::Create(args) => create_role(args, context),
        Role::Delete(args) => {
            let what = format!("role {}", args.role);
            remove(&route("roles").at(&args.role), &args.control, &what, context)
        }
        Role::Assignments(args) => {
            let route = route("assignments");
            show::<Assignments>(&route, &args.control, assignments, context)
        }
        Role::Assign(args) => assign(args, context),
        Role::Unassign(args) => unassign(&args, context),
    }
}

fn token(command: Token, context: Context<'_>) -> Result<Exit, Failure> {
    match command {
        Token::Create(args) => create_token(args, context),
        Token::List(args) => show::<Tokens>(&route("tokens"), &args.control, tokens, context),
        Token::Revoke(args) => {
            let what = format!("token {}", args.id);
            let route = forced(route("tokens").at(&args.id), args.force);
            remove(&route, &args.control, &what, context)
        }
    }
}

fn route(what: &str) -> Route {
    Route::new("rbac").at(what)
}

fn forced(route: Route, force: bool) -> Route {
    if force { route.with("force", true) } else { route }
}

/// Asks for something and prints it.
fn show<T: serde::Serialize + serde::de::DeserializeOwned>(
    route: &Route,
    args: &ControlArgs,
    text: fn(&T, &mut dyn Write) -> io::Result<()>,
    context: Context<'_>,
) -> Result<Exit, Failure> {
    let plane = ControlPlane::new(args, context)?;
    tell(&plane.get::<T>(route)?, args.format(), text)?;
    Ok(Exit::Done)
}

/// Removes something and says so.
fn remove(
    route: &Route,
    args: &ControlArgs,
    what: &str,
    context: Context<'_>,
) -> Result<Exit, Failure> {
    ControlPlane::new(args, context)?.remove(route)?;
    tell(&json!({ "removed": what }), args.format(), |_, out| {
        writeln!(out, "removed {}", printable(what))
    })?;
    Ok(Exit::Done)
}

fn create_role(args: RoleCreate, context: Context<'_>) -> Result<Exit, Failure> {
    let plane = ControlPlane::new(&args.control, context)?;
    let RoleCreate { name, permissions, description, control } = args;
    let body = NewRole { name, permissions, description };
    let created = plane.change::<WireRole>(&route("roles"), &body, None)?;
    tell(&created.value, control.format(), |it, out| {
        let permissions = it.permissions.join(", ");
        write_pairs(out, &[("role", it.name.clone()), ("permissions", permissions)])
    })?;
    Ok(Exit::Done)
}

fn assign(args: RoleAssign, context: Context<'_>) -> Result<Exit, Failure> {
    let plane = ControlPlane::new(&args.control, context)?;
    let RoleAssign { role, subject, reason, control } = args;
    let body = NewAssignment { role, subject, reason };
    let assigned = plane.change::<Assignment>(&route("assignments"), &body, None)?;
    if !assigned.created {
        note("it had the role already; nothing was changed");
    }
    tell(&assigned.value, control.format(), |it, out| {
        let by = format!("{} at {}", it.by, it.at);
        write_pairs(out, &[("role", it.role.clone()), ("subject", it.subject.clone()), ("by", by)])
    })?;
    Ok(Exit::Done)
}

fn unassign(args: &RoleUnassign, context: Context<'_>) -> Result<Exit, Failure> {
    let what = format!("role {} of {}", args.role, args.subject);
    let route = route("assignments").at(&args.role).at(&args.subject);
    remove(&forced(route, args.force), &args.control, &what, context)
}

fn create_token(args: TokenCreate, context: Context<'_>) -> Result<Exit, Failure> {
    let plane = ControlPlane::new(&args.control, context)?;
    let output = args.control.format();
    let body = NewToken { subject: args.subject, ttl_seconds: args.ttl };
    let created = plane.change::<CreatedToken>(&route("tokens"), &body, None)?.value;
    // The secret alone, so that a variable can take it.
    tell(&created, output, |it, out| writeln!(out, "{}", printable(&it.secret)))?;
    if output == Output::Text {
        let it = &created.token;
        let until = it.expires_at.as_deref().unwrap_or("it is revoked");
        note(&format!("token {} of {} counts until {until}", it.id, it.subject));
        note("the secret is shown this once: keep it where only its holder reads it");
    }
    Ok(Exit::Done)
}

fn roles(roles: &Roles, out: &mut dyn Write) -> io::Result<()> {
    let mut table = Table::new("ROLE PREDEFINED PERMISSIONS DESCRIPTION");
    for it in &roles.roles {
        let predefined = if it.predefined { "yes" } else { "no" };
        let permissions = it.permissions.join(",");
        table.row([&it.name, predefined, &permissions, optional(it.description.as_ref())]);
    }
    table.write(out)
}

fn assignments(assignments: &Assignments, out: &mut dyn Write) -> io::Result<()> {
    let mut table = Table::new("SUBJECT ROLE BY AT REASON");
    for it in &assignments.assignments {
        table.row([&it.subject, &it.role, &it.by, &it.at, optional(it.reason.as_ref())]);
    }
    table.write(out)
}

fn tokens(tokens: &Tokens, out: &mut dyn Write) -> io::Result<()> {
    let mut table = Table::new("TOKEN_ID SUBJECT STATUS CREATED EXPIRES BY");
    for it in &tokens.tokens {
        let expires = optional(it.expires_at.as_ref());
        table.row([&it.id, &it.subject, &it.status, &it.created_at, expires, &it.created_by]);
    }
    table.write(out)
}

fn whoami(it: &WhoAmI, out: &mut dyn Write) -> io::Result<()> {
    let list = |items: &[String]| match items {
        [] => "none".to_owned(),
        items => items.join(", "),
    };
    let enforcement = if it.enforcement { "on" } else { "off: everybody may do everything" };
    write_pairs(
        out,
        &[
            ("subject", it.subject.clone()),
            ("identity", it.identity.clone()),
            ("enforcement", enforcement.to_owned()),
            ("roles", list(&it.roles)),
            ("permissions", list(&it.permissions)),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text<T>(value: &T, write: fn(&T, &mut dyn Write) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(value, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_list_of_roles_and_of_tokens_shows_what_counts() {
        let roles_of: Roles = serde_json::from_value(json!({ "count": 2, "roles": [
            { "name": "operator", "permissions": ["fleet:read", "rollout:write"], "predefined": true },
            { "name": "viewer", "permissions": ["fleet:read"], "description": "sees \u{1b}[31m" },
        ]}))
        .unwrap();
        let want = "\
ROLE      PREDEFINED  PERMISSIONS               DESCRIPTION
operator  yes         fleet:read,rollout:write  -
viewer    no          fleet:read                sees \\u{1b}[31m
";
        assert_eq!(text(&roles_of, roles), want);
        let tokens_of: Tokens = serde_json::from_value(json!({ "count": 1, "tokens": [{
            "id": "7f3a", "subject": "ann", "created_at": "2026-01-02T03:04:05Z",
            "created_by": "root", "status": "live",
        }]}))
        .unwrap();
        let want = "\
TOKEN_ID  SUBJECT  STATUS  CREATED               EXPIRES  BY
7f3a      ann      live    2026-01-02T03:04:05Z  -        root
";
        assert_eq!(text(&tokens_of, tokens), want);
    }

    #[test]
    fn whoever_asks_sees_when_nothing_is_enforced() {
        let me: WhoAmI = serde_json::from_value(json!({
            "subject": "ann", "identity": "name", "enforcement": false, "roles": [],
            "permissions": [],
        }))
        .unwrap();
        let shown = text(&me, whoami);
        assert!(shown.contains("enforcement  off: everybody may do everything\n"), "{shown}");
        assert!(shown.contains("roles        none\n"), "{shown}");
    }
}
