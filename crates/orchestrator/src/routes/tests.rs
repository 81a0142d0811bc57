//! The table of routes, asked over HTTP by everybody.

use std::{collections::BTreeMap, net::SocketAddr, path::Path};

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
    response::Response,
};
use connections::Peer;
use http_body_util::BodyExt as _;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};

use super::*;
use crate::{
    config::{Config, Limits},
    server::{App, open_all, router},
};

const NEAR: &str = "127.0.0.1:40000";
const FAR: &str = "192.0.2.7:40000";

struct World {
    app: App,
    router: Router,
    _opened: crate::server::Opened,
    dir: tempfile::TempDir,
}

fn world(change: impl FnOnce(&mut Config)) -> World {
    let dir = tempfile::tempdir().unwrap();
    let opened = open_all(&config(dir.path(), change)).unwrap();
    let app = opened.app.clone();
    World { router: router(&app, true), app, _opened: opened, dir }
}

fn config(dir: &Path, change: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::from_lookup(Some(dir.to_owned()), &|_| None).unwrap();
    config.audit_dir = dir.join("audit");
    config.limits = Limits { check_timeout: std::time::Duration::from_mins(1), ..Limits::STANDARD };
    change(&mut config);
    config
}

impl World {
    async fn send(
        &self,
        (method, path): (&str, &str),
        token: Option<&str>,
        peer: &str,
        body: Option<Value>,
    ) -> Response {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = body.map_or_else(Body::empty, |it| Body::from(it.to_string()));
        let mut request = request.body(body).unwrap();
        let addr: SocketAddr = peer.parse().unwrap();
        request.extensions_mut().insert(Peer { addr, certificate: None });
        TowerToHyperService::new(self.router.clone()).call(request).await.unwrap()
    }

    async fn ask(
        &self,
        what: (&str, &str),
        token: Option<&str>,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let response = self.send(what, token, NEAR, body).await;
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// Gives the first keys from this machine, then a token to each subject with its role.
    async fn settle(&self) -> BTreeMap<&'static str, String> {
        let assign = ("POST", "/v1/rbac/assignments");
        let body = json!({ "role": "auditor", "subject": "auditor" });
        assert_eq!(self.ask(assign, None, Some(body)).await.0, StatusCode::CREATED);
        let mut tokens = BTreeMap::new();
        let mut first = None;
        for subject in
            ["auditor", "operator", "analyst", "integrator", "node:n1", "node:n2", "guest"]
        {
            let manager = first.as_deref();
            let body = json!({ "subject": subject });
            let (status, made) = self.ask(("POST", "/v1/rbac/tokens"), manager, Some(body)).await;
            assert_eq!(status, StatusCode::CREATED, "{subject}: {made}");
            let secret = made["secret"].as_str().unwrap().to_owned();
            first.get_or_insert_with(|| secret.clone());
            if matches!(subject, "operator" | "analyst" | "integrator") {
                let body = json!({ "role": subject, "subject": subject });
                let (status, body) = self.ask(assign, first.as_deref(), Some(body)).await;
                assert_eq!(status, StatusCode::CREATED, "{subject}: {body}");
            }
            tokens.insert(subject, secret);
        }
        tokens
    }

    fn trail(&self, event: &str) -> Vec<::audit::Record> {
        let filter = ::audit::Filter { event_name: Some(event.to_owned()), ..Default::default() };
        ::audit::query(&self.app.vfs, &self.app.audit_dir, &filter, 0).unwrap()
    }
}

/// Who may use which route, written from what operators are promised: `o`perator, `a`nalyst, a`u`ditor,
/// `i`ntegrator, `n` the node in the path, `m` another node, `g` somebody without a role, `-` nobody in particular.
const PROMISED: &str = "
GET /v1/health                                                  oauinmg-
GET /v1/health/read-ready                                       oauinmg-
GET /v1/health/write-ready                                      oauinmg-
POST /v1/events                                                 inm
GET /v1/events                                                  oaui
GET /v1/events/stream                                           oaui
POST /v1/rollouts                                               o
GET /v1/rollouts                                                oau
GET /v1/rollouts/stuck                                          oau
GET /v1/rollouts/{id}                                           oau
GET /v1/rollouts/{id}/explain                                   oau
POST /v1/rollouts/{id}/publish                                  o
POST /v1/rollouts/{id}/pause                                    o
POST /v1/rollouts/{id}/resume                                   o
POST /v1/rollouts/{id}/cancel                                   o
POST /v1/rollouts/{id}/recover                                  o
GET /v1/rollouts/{id}/stages/{stage}/gates                      oau
POST /v1/rollouts/{id}/stages/{stage}/gates/{gate}/approve      o
POST /v1/rollouts/{id}/stages/{stage}/gates/{gate}/reject       o
POST /v1/rollouts/{id}/stages/{stage}/halt                      o
POST /v1/releases                                               o
GET /v1/releases/latest                                         oaui
GET /v1/nodes/{id}/desired                                      oaun
POST /v1/nodes/{id}/ack                                         n
POST /v1/nodes/{id}/heartbeat                                   n
GET /v1/fleet                                                   oau
GET /v1/fleet/summary                                           oau
GET /v1/ha/status                                               oau
POST /v1/ha/resign                                              o
GET /v1/audit                                                   u
POST /v1/audit                                                  inm
GET /v1/rbac/whoami                                             oauinmg
GET /v1/rbac/roles                                              oauinmg
POST /v1/rbac/roles                                             u
DELETE /v1/rbac/roles/{name}                                    u
GET /v1/rbac/assignments                                        u
POST /v1/rbac/assignments                                       u
DELETE /v1/rbac/assignments/{role}/{subject}                    u
GET /v1/rbac/tokens                                             u
POST /v1/rbac/tokens                                            u
DELETE /v1/rbac/tokens/{id}                                     u
GET /metrics                                                    oaui
GET /openapi.json                                               oauinmg
";

fn promised() -> Vec<(&'static str, &'static str, &'static str)> {
    let rows = PROMISED.lines().filter(|it| !it.is_empty()).map(|line| {
        let mut words = line.split_whitespace();
        (words.next().unwrap(), words.next().unwrap(), words.next().unwrap())
    });
    rows.collect()
}

const CALLERS: [(char, Option<&str>); 8] = [
    ('o', Some("operator")),
    ('a', Some("analyst")),
    ('u', Some("auditor")),
    ('i', Some("integrator")),
    ('n', Some("node:n1")),
    ('m', Some("node:n2")),
    ('g', Some("guest")),
    ('-', None),
];

#[test]
fn the_promises_are_about_the_routes_that_there_are() {
    let mut have: Vec<_> = table::routes().iter().map(|it| (it.method, it.path)).collect();
    let mut want: Vec<_> = promised().iter().map(|it| (it.0, it.1)).collect();
    have.sort_unstable();
    want.sort_unstable();
    assert_eq!(have, want);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_open_to_those_it_was_promised_to_and_to_nobody_else() {
    let world = world(|_| {});
    let tokens = world.settle().await;
    let mut wrong = Vec::new();
    for (method, path, who) in promised() {
        let place = path.replace("{id}", "n1").replace("{stage}", "s").replace("{gate}", "g");
        let place = place.replace("{name}", "x").replace("{role}", "x").replace("{subject}", "x");
        for (letter, subject) in CALLERS {
            let token = subject.map(|it| tokens[it].as_str());
            let status = world.send((method, &place), token, FAR, None).await.status();
            let want = match (who.contains(letter), subject) {
                (true, _) => None,
                (false, None) => Some(StatusCode::UNAUTHORIZED),
                (false, Some(_)) => Some(StatusCode::FORBIDDEN),
            };
            let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
            let found = Some(status).filter(|it| refused.contains(it));
            let differs = (found != want).then(|| format!("{method} {path} {letter}: {status}"));
            wrong.extend(differs);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_counts_for_nothing_is_refused_everywhere_but_at_the_health_checks() {
    for enforcement in [true, false] {
        let world = world(|it| it.enforcement = enforcement);
        for (method, path, who) in promised() {
            let token = Some("aut_0000000000000000_0000000000000000000000000000000000000000000");
            let status = world.send((method, path), token, FAR, None).await.status();
            let open = who.contains('-');
            let refused =
                matches!(status, StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS);
            assert_eq!(refused, !open, "{method} {path}: {status}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_enforcement_everything_is_allowed_and_the_name_is_the_actor() {
    let world = world(|it| it.enforcement = false);
    for (method, path, _) in promised() {
        let place = path.replace(['{', '}'], "");
        let status = world.send((method, &place), None, FAR, None).await.status();
        assert!(!matches!(status.as_u16(), 401 | 403), "{method} {path}: {status}");
    }
    let mut request = Request::get("/v1/rbac/whoami").body(Body::empty()).unwrap();
    request.headers_mut().insert("x-autonomy-operator", "ada".parse().unwrap());
    let response = TowerToHyperService::new(world.router.clone()).call(request).await.unwrap();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let who: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!((&who["subject"], &who["identity"]), (&json!("ada"), &json!("name")));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_this_machine_comes_first_and_both_keys_close_the_door() {
    let world = world(|_| {});
    let (assign, token) = (("POST", "/v1/rbac/assignments"), ("POST", "/v1/rbac/tokens"));
    let auditor = || Some(json!({ "role": "auditor", "subject": "ada" }));
    let status = world.send(assign, None, FAR, auditor()).await.status();
    assert_eq!(status, StatusCode::UNAUTHORIZED, "from elsewhere");
    let status = world.ask(("GET", "/v1/rbac/tokens"), None, None).await.0;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "nothing but the two");
    assert_eq!(world.ask(assign, None, auditor()).await.0, StatusCode::CREATED);
    let body = Some(json!({ "subject": "ada" }));
    assert_eq!(world.ask(token, None, body.clone()).await.0, StatusCode::CREATED);
    assert_eq!(world.ask(token, None, body).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(world.ask(assign, None, auditor()).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(world.trail("auth.bootstrap.access").len(), 2);
    let made = world.trail("auth.token.created");
    assert!(made.iter().all(|it| it.event.actor.as_deref() == Some("bootstrap")), "{made:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn break_glass_needs_an_identity_and_is_on_record() {
    let world = world(|it| it.break_glass = true);
    let tokens = world.settle().await;
    let create = ("POST", "/v1/rollouts");
    assert_eq!(world.ask(create, None, None).await.0, StatusCode::UNAUTHORIZED);
    let status = world.ask(create, Some(&tokens["guest"]), None).await.0;
    assert_eq!(status, StatusCode::BAD_REQUEST, "past the gate");
    assert_eq!(world.ask(create, Some(&tokens["node:n1"]), None).await.0, StatusCode::FORBIDDEN);
    let used = world.trail("auth.break_glass.used");
    assert_eq!(used.len(), 1);
    assert_eq!(used[0].event.actor.as_deref(), Some("guest"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_sends_events_of_its_own_and_an_integrator_those_of_all() {
    let world = world(|_| {});
    let tokens = world.settle().await;
    let events = json!({ "events": [{
        "event_id": "e1", "event_type": "t", "node_id": "n1", "timestamp": "2026-01-02T03:04:05Z",
    }]});
    for (subject, want) in [("node:n1", 200), ("node:n2", 403), ("integrator", 200)] {
        let body = Some(events.clone());
        let (status, body) = world.ask(("POST", "/v1/events"), Some(&tokens[subject]), body).await;
        assert_eq!(status.as_u16(), want, "{subject}: {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_nobody_and_the_last_key_is_kept() {
    let world = world(|_| {});
    let tokens = world.settle().await;
    let auditor = tokens["auditor"].as_str();
    let id = |secret: &str| secret.split('_').nth(1).unwrap().to_owned();
    let path = format!("/v1/rbac/tokens/{}", id(&tokens["operator"]));
    assert_eq!(world.ask(("DELETE", &path), Some(auditor), None).await.0, StatusCode::NO_CONTENT);
    let (status, body) = world.ask(("GET", "/v1/rollouts"), Some(&tokens["operator"]), None).await;
    assert_eq!((status, &body["code"]), (StatusCode::UNAUTHORIZED, &json!("INVALID_CREDENTIAL")));
    let path = format!("/v1/rbac/tokens/{}", id(auditor));
    let (status, body) = world.ask(("DELETE", &path), Some(auditor), None).await;
    assert_eq!((status, &body["code"]), (StatusCode::CONFLICT, &json!("LAST_KEY")), "{body}");
    assert_eq!(world.ask(("GET", "/v1/rbac/tokens"), Some(auditor), None).await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_asked_for_twice_with_one_key_is_made_once() {
    let world = world(|it| it.enforcement = false);
    let mut answers = Vec::new();
    for key in ["k1", "k1", "k2"] {
        let mut request = Request::post("/v1/rbac/tokens");
        request = request.header("content-type", "application/json").header("idempotency-key", key);
        let request = request.body(Body::from(r#"{"subject":"ada"}"#)).unwrap();
        let service = TowerToHyperService::new(world.router.clone());
        answers.push(service.call(request).await.unwrap().status().as_u16());
    }
    assert_eq!(answers, [201, 409, 201]);
    let (_, tokens) = world.ask(("GET", "/v1/rbac/tokens"), None, None).await;
    assert_eq!(tokens["count"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_refused_cannot_fill_the_trail_with_it() {
    let world = world(|_| {});
    for _ in 0..400 {
        world.ask(("GET", "/v1/rollouts"), None, None).await;
    }
    let written = world.trail("auth.access.denied").len();
    assert!((50..200).contains(&written), "{written} of 400");
}

/// Everything that a router can answer stands in the document, and the other way round.
#[test]
fn the_openapi_document_has_exactly_the_routes_of_the_table() {
    let document = serde_json::to_value(openapi::document()).unwrap();
    let mut described = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            described.push((method.to_uppercase(), path.clone()));
        }
    }
    let rows = table::routes();
    let mut have: Vec<_> =
        rows.iter().map(|it| (it.method.to_owned(), it.path.to_owned())).collect();
    have.sort();
    described.sort();
    assert_eq!(described, have);
    let mut ids = std::collections::BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(operation["responses"]["default"].is_object(), "{method} {path}");
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id), "{method} {path}: {id} stands twice");
        }
    }
}

/// U2: a caller that goes away neither ends a change in the middle nor lets the next one meet it.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_roles_outlives_its_caller() {
    let world = world(|_| {});
    let tokens = world.settle().await;
    let auditor = tokens["auditor"].as_str();
    for number in 0..20 {
        let body = json!({ "role": "analyst", "subject": format!("w-{number}") });
        let asked = world.ask(("POST", "/v1/rbac/assignments"), Some(auditor), Some(body));
        // Long enough for the change to begin, too short for its syncs.
        let wait = std::time::Duration::from_micros(200 * number);
        _ = tokio::time::timeout(wait, asked).await;
    }
    let body = json!({ "role": "analyst", "subject": "last" });
    let (status, _) = world.ask(("POST", "/v1/rbac/assignments"), Some(auditor), Some(body)).await;
    assert_eq!(status, StatusCode::CREATED);
    let on_disk = crate::auth::file::open(&vfs::OsVfs, world.dir.path()).unwrap();
    assert_eq!(
        on_disk,
        *world.app.access.current(),
        "what is in force is what the next start reads"
    );
    let of = |outcome| {
        let all = world.trail("auth.role.assigned");
        all.iter().filter(|it| it.event.outcome == outcome).count()
    };
    assert_eq!(of(::audit::Outcome::Pending), of(::audit::Outcome::Success));
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_at_a_node_is_no_sign_of_its_life() {
    let world = world(|_| {});
    let tokens = world.settle().await;
    let desired = ("GET", "/v1/nodes/n1/desired");
    let node = rollout_store::NodeId::new("n1").unwrap();
    assert_eq!(world.ask(desired, Some(&tokens["analyst"]), None).await.0, StatusCode::OK);
    assert_eq!(world.app.presence.of(&node), None);
    assert_eq!(world.ask(desired, Some(&tokens["node:n1"]), None).await.0, StatusCode::OK);
    assert!(world.app.presence.of(&node).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_somebody_else_changes_nothing() {
    let world = world(|it| it.enforcement = false);
    let foreign = [("origin", "https://elsewhere.example"), ("sec-fetch-site", "cross-site")];
    for (name, value) in foreign {
        let request = Request::post("/v1/nodes/n1/heartbeat").header(name, value);
        let request = request.body(Body::empty()).unwrap();
        let service = TowerToHyperService::new(world.router.clone());
        assert_eq!(service.call(request).await.unwrap().status(), StatusCode::FORBIDDEN, "{name}");
    }
    let (status, _) = world.ask(("POST", "/v1/nodes/n1/heartbeat"), None, None).await;
    assert_eq!(status, StatusCode::OK);
}

/// What a node refuses to read is refused before a node sees it.
#[tokio::test(flavor = "multi_thread")]
async fn a_fingerprint_that_no_node_can_read_is_refused_with_its_place() {
    let world = world(|it| it.enforcement = false);
    let good = format!("blake3:{}", "0a".repeat(32));
    for (bad, of_plan) in
        [("null", 400), ("", 400), (&*"0a".repeat(32), 400), ("blake3:0000corruption", 201)]
    {
        let release = json!({ "id": "r", "artifact_ref": "r/a:1", "lock_fingerprint": bad });
        let (status, told) = world.ask(("POST", "/v1/releases"), None, Some(release)).await;
        assert_eq!((status.as_u16(), &told["code"]), (400, &json!("FINGERPRINT_FORM")), "{told}");
        let detail = told["detail"].as_str().unwrap();
        assert!(detail.starts_with("lock_fingerprint: "), "{detail}");
        let id = format!("p{}", bad.len());
        let plan = json!({ "id": id, "artifact_ref": "r/a:1", "target_lock_fingerprint": bad });
        let (status, told) = world.ask(("POST", "/v1/rollouts"), None, Some(plan)).await;
        assert_eq!(status.as_u16(), of_plan, "{told}");
        let warned = told["warnings"]
            .as_array()
            .is_some_and(|all| all.iter().any(|it| it["code"] == "FINGERPRINT_FORM"));
        assert_eq!(warned, of_plan == 201, "a plan that is odd can be looked at: {told}");
    }
    let release = json!({ "id": "r", "artifact_ref": "r/a:1", "lock_fingerprint": good });
    assert_eq!(world.ask(("POST", "/v1/releases"), None, Some(release)).await.0.as_u16(), 201);
}

/// A node and its control plane know each rule from a crate of their own; here they are one.
#[test]
fn what_a_node_may_be_called_is_what_the_store_takes() {
    let chars = ('\0'..='\u{17f}').map(|it| format!("a{it}b"));
    let lengths = [0, 1, 127, 128, 129, 257].map(|it| "n".repeat(it));
    // A node is stricter with these, which no URL can have as a part of its path.
    for name in [".", ".."] {
        assert!(api::node::node_flaw(name).is_some() && rollout_store::NodeId::new(name).is_ok());
    }
    for name in chars.chain(lengths).chain(["-".to_owned(), "...".to_owned()]) {
        let taken = rollout_store::NodeId::new(name.as_str()).is_ok();
        assert_eq!(api::node::node_flaw(&name).is_none(), taken, "{name:?}");
    }
    let good = format!("blake3:{}", "0a".repeat(32));
    for odd in [
        good.clone(),
        good.to_uppercase(),
        "null".to_owned(),
        good.replace("blake3", "sha256"),
        good + "0",
    ] {
        let body = json!({
            "metadata": { "id": "p" }, "artifact_ref": "oci://r/a", "target_lock_fingerprint": odd,
            "stages": [{ "id": "all", "percent": 100 }],
        });
        let strict = rollout_store::Strictness::Warn;
        let request =
            rollout_store::PlanRequest::parse(body.to_string().as_bytes(), strict).unwrap();
        let warned = request.warnings.iter().any(|it| it.code == "FINGERPRINT_FORM");
        assert_eq!(api::release::fingerprint_flaw(&odd).is_some(), warned, "{odd}");
    }
}
