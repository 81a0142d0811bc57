//! The gate before every route: who asks, whether they may, and what of that is put on record.
//!
//! # Invariants
//!
//! * **Q1** No handler runs before `auth::decide` has allowed it, for what its row in the table of routes needs.
//! * **Q2** What is allowed only because nobody has a key yet, or by break-glass, is on record before it is done;
//!   what cannot be put on record is not done.
//! * **Q3** Refusals are on record too. Whoever is refused cannot fill the disk with it: beyond a rate they are
//!   counted, and the next one that is written says how many were not.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use api::env;
use audit::{Category, Outcome};
use axum::{
    extract::{RawPathParams, Request, State},
    middleware::Next,
    response::Response,
};
use connections::Peer;
use jiff::Timestamp;
use tokio::time::{Instant, timeout};

use super::table::Needs;
use crate::{
    auth::{
        decide::{Allowed, Because, Caller, Denied, Identity, Need, decide},
        event::Event,
        identity::{Now, Shown, claimed, from_this_machine, identify},
    },
    rollouts::Draft,
    server::{App, Refusal},
};

/// Refusals that are written at once.
const DENIALS_BURST: u32 = 50;
/// How long a refusal waits for its record; it is written later then.
const RECORD_WAIT: Duration = Duration::from_secs(1);
/// Characters of a path in the trail.
const PATH_LEN_MAX: usize = 512;
/// Characters of a method in the trail.
const METHOD_LEN_MAX: usize = 16;
/// Time after which one more refusal is written.
const DENIAL_EVERY: Duration = Duration::from_millis(200);

/// Who asks, for handlers.
#[derive(Clone, Debug)]
pub(crate) struct Who(pub(crate) String);

/// That it was allowed, for changes of roles and tokens.
#[derive(Clone, Debug)]
pub(crate) struct Permit(pub(crate) Allowed);

/// How the caller was identified.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How(pub(crate) &'static str);

/// Bounds how many refusals are written (Q3).
#[derive(Debug)]
pub(crate) struct Denials {
    state: Mutex<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    left: u32,
    filled_at: Instant,
    skipped: u64,
}

impl Denials {
    pub(crate) fn new() -> Self {
        let bucket = Bucket { left: DENIALS_BURST, filled_at: Instant::now(), skipped: 0 };
        Self { state: Mutex::new(bucket) }
    }

    /// How many were not written since the last one, when this one is written.
    fn take(&self) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = state.filled_at.elapsed();
        let filled =
            u32::try_from(passed.as_millis() / DENIAL_EVERY.as_millis()).unwrap_or(u32::MAX);
        if filled > 0 {
            state.left = state.left.saturating_add(filled).min(DENIALS_BURST);
            state.filled_at = Instant::now();
        }
        if state.left == 0 {
            state.skipped += 1;
            return None;
        }
        state.left -= 1;
        Some(std::mem::take(&mut state.skipped))
    }
}

/// Lets a request pass, or answers it (Q1).
pub(crate) async fn pass(
    State((app, needs)): State<(App, Needs)>,
    params: RawPathParams,
    mut request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    if needs == Needs::Nothing {
        return Ok(next.run(request).await);
    }
    if from_a_page(&request) {
        return Err(Refusal::Browser);
    }
    let peer = request.extensions().get::<Peer>().cloned();
    let address = peer.as_ref().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |it| it.addr.ip());
    let certificate = peer.as_ref().and_then(|it| it.certificate.as_deref());
    let shown = Shown { headers: request.headers(), certificate, peer: address };
    let now = Now { wall: Timestamp::now(), since_start: app.access.since_start() };
    let access = app.access.current();
    let identity = app.access.with_brake(|brake| identify(shown, &access, brake, now))?;
    let claimed = claimed(request.headers())?;
    let loopback = from_this_machine(address, request.headers());
    let caller = Caller { identity: &identity, claimed: claimed.as_deref(), loopback };
    let node = params.iter().find(|it| it.0 == "id").map(|it| it.1.to_owned());
    let decided = ask(&app, &access, caller, needs, node.as_deref().unwrap_or_default());
    let asked = Wanted::of(&request);
    match decided {
        Ok(allowed) => {
            loudly(&app, &allowed, asked).await?;
            let how = match (&identity, allowed.because()) {
                (Identity::Token(_), _) => "token",
                (Identity::Certificate(_), _) => "certificate",
                (_, Because::Bootstrap) => "bootstrap",
                _ if claimed.is_some() => "name",
                _ => "anonymous",
            };
            request.extensions_mut().insert(Who(allowed.actor().to_owned()));
            request.extensions_mut().insert(How(how));
            request.extensions_mut().insert(Permit(allowed));
            Ok(next.run(request).await)
        }
        Err(denied) => {
            refused(&app, &denied, asked).await;
            Err(denied.into())
        }
    }
}

/// Whether a page of somebody else lets a browser change something. Its user may hold a certificate, or be on this
/// machine; the page must not act for him.
fn from_a_page(request: &Request) -> bool {
    let site = request.headers().get("sec-fetch-site").map(axum::http::HeaderValue::as_bytes);
    let own = matches!(site, None | Some(b"same-origin" | b"none"));
    let foreign = !own || request.headers().contains_key(axum::http::header::ORIGIN);
    foreign && !request.method().is_safe()
}

fn ask(
    app: &App,
    access: &crate::auth::access::Access,
    caller: Caller<'_>,
    needs: Needs,
    node: &str,
) -> Result<Allowed, Denied> {
    let decided = |need| decide(access, app.access.switches(), caller, need);
    match needs {
        Needs::Nothing => decided(Need::Nothing),
        Needs::Identity => decided(Need::Identity),
        Needs::BootstrapOr(permission) => decided(Need::BootstrapOr(permission)),
        Needs::Node => decided(Need::Node(node)),
        Needs::NodeOr(permission) => {
            decided(Need::Node(node)).or_else(|_| decided(Need::Permission(permission)))
        }
        Needs::Here(permission) if caller.loopback && *caller.identity == Identity::Anonymous => {
            decided(Need::Nothing).or_else(|_| decided(Need::Permission(permission)))
        }
        Needs::Permission(permission) | Needs::Here(permission) => {
            decided(Need::Permission(permission))
        }
    }
}

/// What is asked for, for the trail. The path has no secrets; the query is left out.
struct Wanted {
    method: String,
    path: String,
}

impl Wanted {
    fn of(request: &Request) -> Self {
        let path = request.uri().path().chars().filter(|it| !it.is_control());
        let path: String = path.take(PATH_LEN_MAX).collect();
        let method = request.method().as_str().chars().take(METHOD_LEN_MAX).collect();
        Self { method, path: if path.is_empty() { "/".to_owned() } else { path } }
    }

    fn draft(self, event: Event, actor: &str) -> Draft {
        let resource = ("route", self.path.as_str());
        Draft::new(event.as_str(), (Category::Auth, "access"), resource, actor)
            .with("method", self.method)
    }
}

/// Q2.
async fn loudly(app: &App, allowed: &Allowed, wanted: Wanted) -> Result<(), Refusal> {
    let Some(event) = allowed.event() else { return Ok(()) };
    let (actor, path) = (allowed.actor(), wanted.path.as_str());
    tracing::warn!(event = event.as_str(), actor, path, "allowed without a role");
    let record = wanted.draft(event, actor).record(Outcome::Success, app.now());
    app.rollouts.record(vec![record]).await?;
    Ok(())
}

/// Q3.
async fn refused(app: &App, denied: &Denied, wanted: Wanted) {
    let (actor, path) = (denied.actor(), wanted.path.as_str());
    tracing::debug!(actor, code = denied.code(), path, "access denied");
    let Some(skipped) = app.access.denials().take() else { return };
    let record = wanted
        .draft(denied.event(), denied.actor())
        .with("code", denied.code())
        .with_some("not_written_before", Some(skipped).filter(|it| *it > 0))
        .record(Outcome::Denied, app.now());
    let recorded = timeout(RECORD_WAIT, app.rollouts.record(vec![record])).await;
    if let Ok(Err(error)) = recorded {
        // The answer is a refusal all the same.
        tracing::warn!(%error, "a refusal is not on record");
    }
}

/// What the log says about enforcement at every start.
pub(crate) fn announce(app: &App) {
    let switches = app.access.switches();
    if !switches.enforcement {
        let variable = env::RBAC_ENFORCEMENT;
        tracing::warn!(variable, "permissions are NOT enforced: everybody may do everything");
    }
    if switches.enforcement && !app.access.current().bootstrap_closed() {
        tracing::warn!(
            "nobody can manage roles yet: whoever is on this machine can assign the first role and create the first token"
        );
    }
    if switches.break_glass {
        let variable = env::RBAC_BREAK_GLASS;
        tracing::warn!(variable, "break-glass is on: everybody with an identity may do everything");
    }
}
