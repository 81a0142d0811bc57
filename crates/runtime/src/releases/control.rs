//! One request to the control plane, and its answer.
//!
//! * **M1** An answer is bounded: [`ANSWER_LEN_MAX`] bytes, [`TIMEOUT`], no redirect, no proxy.
//! * **M2** What is not understood is a failure and never "nothing is desired".
//! * **M3** The token is shown to nobody but the control plane (T1 and T2 of `api::token`).
//! * **M4** An acknowledgement is refused for good in the words of a control plane alone: what a proxy answers is "not now".

use std::{error::Error as _, time::Duration};

use api::{
    node::{NodeFlaw, node_flaw},
    problem::{Problem, STALE_EPOCH},
    release::{Ack, Desired, Release, fingerprint_flaw, text_flaw},
    token::TokenError,
    url::without_secrets,
};
use reqwest::{
    Client, Response, StatusCode,
    header::{AUTHORIZATION, HeaderMap, HeaderValue},
    redirect::Policy,
};
use thiserror::Error;
use url::Url;

use super::ReleaseSource;

/// Most bytes of an answer.
const ANSWER_LEN_MAX: usize = 64 << 10;
/// Time for one request.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Most characters of a code that are shown.
const CODE_LEN_MAX: usize = 64;

/// The control plane, as a node sees it.
#[derive(Clone, Debug)]
pub(crate) struct ControlPlane {
    client: Client,
    desired: Url,
    ack: Url,
    shown: String,
}

/// Why there is no control plane to ask.
#[derive(Debug, Error)]
pub enum ControlPlaneError {
    /// The URL is none.
    #[error("the control plane `{shown}` is no http or https URL")]
    Url {
        /// The text, without what it may hold of a password.
        shown: String,
    },
    /// The node has a name that the control plane does not take, or that a URL would change.
    #[error("the name of the node {node:?} {flaw}")]
    Node {
        /// The name.
        node: String,
        /// What is wrong with it.
        flaw: NodeFlaw,
    },
    /// The token cannot be sent there (M3).
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The certificates cannot be used.
    #[error(transparent)]
    Certificate(#[from] tls::MaterialError),
    /// The client could not be made.
    #[error("cannot make an HTTP client")]
    Client(#[source] reqwest::Error),
}

impl ControlPlaneError {
    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Url { .. } => "BAD_CONTROL_PLANE_URL",
            Self::Node { .. } => NodeFlaw::CODE,
            Self::Token(error) => error.code(),
            Self::Certificate(_) => "BAD_CERTIFICATE",
            Self::Client(_) => "HTTP_CLIENT",
        }
    }

    /// What an operator does next.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Node { .. } => NodeFlaw::HINT,
            Self::Token(error) => error.hint(),
            Self::Certificate(_) => "the files that are named for the control plane hold PEM",
            Self::Url { .. } | Self::Client(_) => {
                "pass --orchestrator-url http://HOST:PORT, the address of autonomy-orchestrator"
            }
        }
    }
}

/// Why a poll brought no answer that can be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum PollError {
    #[error("no answer: {text}")]
    Unreachable { text: String },
    #[error("it knows no releases: answered 404")]
    NotOffered,
    #[error("it does not know this node, or does not let it ask: answered {status} {code}")]
    Denied { status: u16, code: String },
    #[error("answered {status}")]
    Refused { status: u16 },
    #[error("its answer cannot be used: {text}")]
    Unreadable { text: String },
}

impl PollError {
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "CONTROL_PLANE_UNREACHABLE",
            Self::NotOffered => "RELEASES_NOT_OFFERED",
            Self::Denied { .. } => "CONTROL_PLANE_DENIED",
            Self::Refused { .. } => "CONTROL_PLANE_REFUSED",
            Self::Unreadable { .. } => "CONTROL_PLANE_UNREADABLE",
        }
    }
}

/// Why an acknowledgement was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// It never will be: what it is about has ended, or was never for this node. The code is that of the control plane.
    Final { status: u16, code: String },
    /// It may be later.
    Later(PollError),
}

impl ControlPlane {
    /// Prepares requests of a node.
    pub(crate) fn new(source: &ReleaseSource, node: &str) -> Result<Self, ControlPlaneError> {
        let url = source.url.as_str();
        let shown = without_secrets(url);
        let bad = || ControlPlaneError::Url { shown: shown.clone() };
        let base = Url::parse(url).map_err(|_| bad())?;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(bad());
        }
        if let Some(flaw) = node_flaw(node) {
            return Err(ControlPlaneError::Node { node: node.to_owned(), flaw });
        }
        let route = |name: &str| {
            let mut url = base.clone();
            url.path_segments_mut()
                .map_err(|()| bad())?
                .pop_if_empty()
                .extend(["v1", "nodes", node, name]);
            Ok::<_, ControlPlaneError>(url)
        };
        let (desired, ack) = (route("desired")?, route("ack")?);
        let tls = match &source.tls {
            None => tls::client_config().config,
            Some(it) => it.client_config()?,
        };
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .default_headers(headers(source, &base)?)
            .no_proxy()
            .redirect(Policy::none())
            .timeout(TIMEOUT)
            .build()
            .map_err(ControlPlaneError::Client)?;
        Ok(Self { client, desired, ack, shown })
    }

    /// Its URL, fit for a log.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// Asks what this node should run.
    pub(crate) async fn desired(&self) -> Result<Option<Release>, PollError> {
        let response = self.client.get(self.desired.clone()).send().await;
        let response = response.map_err(|error| unreachable(&error))?;
        match response.status() {
            StatusCode::OK => {}
            status => {
                let code = code_of(response).await;
                return Err(refused(status, code));
            }
        }
        let body = bounded(response).await?;
        let unreadable = |text: String| PollError::Unreadable { text };
        let desired: Desired =
            serde_json::from_slice(&body).map_err(|error| unreadable(error.to_string()))?;
        match desired.release.as_ref().and_then(flaw) {
            Some(text) => Err(unreadable(text)),
            None => Ok(desired.release),
        }
    }

    /// Says what came of a release.
    pub(crate) async fn acknowledge(&self, ack: &Ack) -> Result<(), NotTaken> {
        let response = self.client.post(self.ack.clone()).json(ack).send().await;
        let response = response.map_err(|error| NotTaken::Later(unreachable(&error)))?;
        match response.status() {
            status if status.is_success() => Ok(()),
            status => Err(not_taken(status, code_of(response).await)),
        }
    }
}

/// Who asks (M3).
fn headers(source: &ReleaseSource, base: &Url) -> Result<HeaderMap, ControlPlaneError> {
    let mut headers = HeaderMap::new();
    if let Some(token) = &source.token {
        let bearer = token.bearer(base.scheme(), base.host_str().unwrap_or_default())?;
        let mut value = HeaderValue::from_str(&bearer).map_err(|_| TokenError::Unsendable)?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

/// The code of an error answer, when it is one of a control plane.
async fn code_of(response: Response) -> Option<String> {
    let body = bounded(response).await.ok()?;
    let problem: Problem = serde_json::from_slice(&body).ok()?;
    let code = problem.code.chars().filter(char::is_ascii_graphic).take(CODE_LEN_MAX);
    Some(code.collect())
}

fn refused(status: StatusCode, code: Option<String>) -> PollError {
    match status {
        StatusCode::NOT_FOUND => PollError::NotOffered,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            PollError::Denied { status: status.as_u16(), code: code.unwrap_or_default() }
        }
        other => PollError::Refused { status: other.as_u16() },
    }
}

/// M4.
fn not_taken(status: StatusCode, code: Option<String>) -> NotTaken {
    match (status, code) {
        (StatusCode::NOT_FOUND | StatusCode::CONFLICT, Some(code)) if code != STALE_EPOCH => {
            NotTaken::Final { status: status.as_u16(), code }
        }
        (status, code) => NotTaken::Later(refused(status, code)),
    }
}

/// What is wrong with a release that is JSON all the same.
fn flaw(release: &Release) -> Option<String> {
    let Release { id, artifact_ref, lock_fingerprint, plan_id, .. } = release;
    let plan = plan_id.as_deref().map(|it| ("plan_id", text_flaw(it)));
    let looked_at = [
        ("id", text_flaw(id)),
        ("artifact_ref", text_flaw(artifact_ref)),
        ("lock_fingerprint", fingerprint_flaw(lock_fingerprint)),
    ];
    let mut looked_at = looked_at.into_iter().chain(plan);
    looked_at.find_map(|(field, flaw)| Some(format!("{field} of the release is {}", flaw?)))
}

async fn bounded(mut response: Response) -> Result<Vec<u8>, PollError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(&error))? {
        if body.len() + chunk.len() > ANSWER_LEN_MAX {
            let text = format!("it is longer than {ANSWER_LEN_MAX} bytes");
            return Err(PollError::Unreadable { text });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The innermost cause says what happened; what is around it names the URL, and with it its secrets.
fn unreachable(error: &reqwest::Error) -> PollError {
    if error.is_timeout() {
        return PollError::Unreachable { text: format!("none within {} s", TIMEOUT.as_secs()) };
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let text =
        if error.source().is_some() { cause.to_string() } else { "the request failed".to_owned() };
    PollError::Unreachable { text }
}

#[cfg(test)]
mod tests {
    use api::token::Token;

    use super::*;

    fn at(url: &str) -> ReleaseSource {
        let (url, interval) = (url.to_owned(), ReleaseSource::INTERVAL);
        ReleaseSource { url, interval, trust: None, token: None, tls: None }
    }

    #[test]
    fn a_token_is_not_sent_in_clear_and_is_shown_nowhere() {
        let with_token = |url: &str| {
            let token = Some(Token::new("SECRET").unwrap());
            ControlPlane::new(&ReleaseSource { token, ..at(url) }, "n")
        };
        let error = with_token("http://control.example:8888").unwrap_err();
        assert_eq!(error.code(), "TOKEN_IN_CLEAR");
        assert!(error.hint().contains("https") && !error.to_string().contains("SECRET"));
        for url in ["http://127.0.0.1:8888", "https://control.example"] {
            assert!(!format!("{:?}", with_token(url).unwrap()).contains("SECRET"), "M3 {url}");
        }
    }

    #[test]
    fn certificates_that_cannot_be_used_are_an_error() {
        let tls = Some(tls::Material { authorities: Some(b"x".to_vec()), client: None });
        let source = ReleaseSource { tls, ..at("https://h") };
        assert_eq!(ControlPlane::new(&source, "n").unwrap_err().code(), "BAD_CERTIFICATE");
    }

    #[test]
    fn only_a_control_plane_refuses_an_acknowledgement_for_good() {
        let said = |status: u16, code: Option<&str>| {
            not_taken(StatusCode::from_u16(status).unwrap(), code.map(str::to_owned))
        };
        for (status, code) in [(404, "PLAN_NOT_FOUND"), (409, "NODE_NOT_TARGETED")] {
            let code_owned = code.to_owned();
            assert_eq!(said(status, Some(code)), NotTaken::Final { status, code: code_owned });
            assert!(matches!(said(status, None), NotTaken::Later(_)), "M4 {status}");
        }
        for (status, code, want) in [
            (409, STALE_EPOCH, "CONTROL_PLANE_REFUSED"),
            (400, "INVALID_JSON", "CONTROL_PLANE_REFUSED"),
            (401, "UNAUTHENTICATED", "CONTROL_PLANE_DENIED"),
            (403, "NOT_THIS_NODE", "CONTROL_PLANE_DENIED"),
            (503, "OVERLOADED", "CONTROL_PLANE_REFUSED"),
        ] {
            let NotTaken::Later(error) = said(status, Some(code)) else { panic!("{status}") };
            assert_eq!(error.code(), want, "{status}");
        }
        let denied = refused(StatusCode::FORBIDDEN, Some("NOT_THIS_NODE".to_owned()));
        assert!(denied.to_string().ends_with("answered 403 NOT_THIS_NODE"), "{denied}");
    }

    #[test]
    fn the_node_is_one_segment_of_the_path_and_never_another_node() {
        let plane = ControlPlane::new(&at("http://me:SECRET@h:1/base/"), "a.b_c-1").unwrap();
        assert_eq!(plane.desired.path(), "/base/v1/nodes/a.b_c-1/desired");
        for bad in [".", "..", "a\nb", "ab\n", "\tab", "a/../b?c", "", "a b"] {
            let error = ControlPlane::new(&at("http://h:1"), bad).unwrap_err();
            assert_eq!(error.code(), "BAD_NODE_ID", "{bad:?}");
            assert!(!error.to_string().contains(char::is_control), "{error}");
        }
        assert_eq!(plane.shown(), "http://h:1/base/");
        for bad in ["", "h:1", "ftp://h", "http://", "/v1", "http://me:SECRET@h:port"] {
            let error = ControlPlane::new(&at(bad), "n").unwrap_err();
            assert_eq!(error.code(), "BAD_CONTROL_PLANE_URL", "{bad}");
            assert!(!error.to_string().contains("SECRET"));
        }
    }

    #[test]
    fn a_release_with_texts_that_cannot_be_meant_is_no_release() {
        let good = Release {
            id: "rel-004".to_owned(),
            sequence: 4,
            artifact_ref: "registry.example/agents/arm:1.2.0".to_owned(),
            lock_fingerprint: format!("blake3:{}", "0a".repeat(32)),
            plan_id: None,
        };
        assert_eq!(flaw(&good), None);
        let of_plan = Release { plan_id: Some("arm-1.2.0".to_owned()), ..good.clone() };
        assert_eq!(flaw(&of_plan), None);
        let with = |change: &dyn Fn(&mut Release)| {
            let mut release = good.clone();
            change(&mut release);
            release
        };
        for bad in [
            with(&|it| it.id.clear()),
            with(&|it| it.plan_id = Some(String::new())),
            with(&|it| it.plan_id = Some("a\nb".to_owned())),
            with(&|it| it.id = "\u{1b}[31m".to_owned()),
            with(&|it| it.artifact_ref = "x".repeat(api::release::TEXT_LEN_MAX + 1)),
            with(&|it| it.lock_fingerprint = "sha256:".to_owned() + &"0a".repeat(32)),
            with(&|it| it.lock_fingerprint = "blake3:".to_owned() + &"0A".repeat(32)),
            with(&|it| it.lock_fingerprint = "blake3:".to_owned() + &"0a".repeat(31)),
        ] {
            assert!(flaw(&bad).is_some(), "{bad:?}");
        }
    }
}
