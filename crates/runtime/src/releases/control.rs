//! One request to the control plane, and its answer.
//!
//! * **M1** An answer is bounded: [`ANSWER_LEN_MAX`] bytes, [`TIMEOUT`], no redirect, no proxy.
//! * **M2** What is not understood is a failure and never "nothing is desired".

use std::{error::Error as _, time::Duration};

use api::{
    release::{Ack, Desired, Release, TEXT_LEN_MAX},
    url::without_secrets,
};
use reqwest::{Client, Response, StatusCode, redirect::Policy};
use thiserror::Error;
use url::Url;

/// Most bytes of an answer.
const ANSWER_LEN_MAX: usize = 64 << 10;
/// Time for one request.
const TIMEOUT: Duration = Duration::from_secs(10);

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
    /// The client could not be made.
    #[error("cannot make an HTTP client")]
    Client(#[source] reqwest::Error),
}

impl ControlPlaneError {
    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Url { .. } => "BAD_CONTROL_PLANE_URL",
            Self::Client(_) => "HTTP_CLIENT",
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
            Self::Refused { .. } => "CONTROL_PLANE_REFUSED",
            Self::Unreadable { .. } => "CONTROL_PLANE_UNREADABLE",
        }
    }
}

impl ControlPlane {
    /// Prepares requests of a node.
    pub(crate) fn new(url: &str, node: &str) -> Result<Self, ControlPlaneError> {
        let shown = without_secrets(url);
        let bad = || ControlPlaneError::Url { shown: shown.clone() };
        let base = Url::parse(url).map_err(|_| bad())?;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(bad());
        }
        let route = |name: &str| {
            let mut url = base.clone();
            url.path_segments_mut()
                .map_err(|()| bad())?
                .pop_if_empty()
                .extend(["v1", "nodes", node, name]);
            Ok(url)
        };
        let (desired, ack) = (route("desired")?, route("ack")?);
        let client = Client::builder()
            .tls_backend_preconfigured(tls::client_config().config)
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
            StatusCode::NOT_FOUND => return Err(PollError::NotOffered),
            other => return Err(PollError::Refused { status: other.as_u16() }),
        }
        let body = bounded(response).await?;
        let unreadable = |text: String| PollError::Unreadable { text };
        let desired: Desired =
            serde_json::from_slice(&body).map_err(|error| unreadable(error.to_string()))?;
        match desired.release.as_ref().and_then(flaw) {
            Some(text) => Err(unreadable(text.to_owned())),
            None => Ok(desired.release),
        }
    }

    /// Says what came of a release.
    pub(crate) async fn acknowledge(&self, ack: &Ack) -> Result<(), PollError> {
        let response = self.client.post(self.ack.clone()).json(ack).send().await;
        let status = response.map_err(|error| unreachable(&error))?.status();
        match status {
            status if status.is_success() => Ok(()),
            StatusCode::NOT_FOUND => Err(PollError::NotOffered),
            other => Err(PollError::Refused { status: other.as_u16() }),
        }
    }
}

/// What is wrong with a release that is JSON all the same.
fn flaw(release: &Release) -> Option<&'static str> {
    let Release { id, artifact_ref, lock_fingerprint, .. } = release;
    let texts = [id, artifact_ref, lock_fingerprint];
    if texts.iter().any(|it| it.is_empty() || it.len() > TEXT_LEN_MAX) {
        return Some("a text of the release is empty or too long");
    }
    if texts.iter().any(|it| it.contains(char::is_control)) {
        return Some("a text of the release has control characters");
    }
    let digits = lock_fingerprint.strip_prefix("blake3:").unwrap_or_default();
    let is_digit = |it: u8| it.is_ascii_digit() || (b'a'..=b'f').contains(&it);
    if digits.len() != 64 || !digits.bytes().all(is_digit) {
        return Some("the lock fingerprint is not `blake3:` and 64 hex digits");
    }
    None
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
    use super::*;

    #[test]
    fn the_node_is_one_segment_of_the_path_whatever_it_is_called() {
        let plane = ControlPlane::new("http://me:SECRET@h:1/base/", "a/../b?c").unwrap();
        assert_eq!(plane.desired.path(), "/base/v1/nodes/a%2F..%2Fb%3Fc/desired");
        assert_eq!(plane.shown(), "http://h:1/base/");
        for bad in ["", "h:1", "ftp://h", "http://", "/v1", "http://me:SECRET@h:port"] {
            let error = ControlPlane::new(bad, "n").unwrap_err();
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
        let with = |change: &dyn Fn(&mut Release)| {
            let mut release = good.clone();
            change(&mut release);
            release
        };
        for bad in [
            with(&|it| it.id.clear()),
            with(&|it| it.id = "\u{1b}[31m".to_owned()),
            with(&|it| it.artifact_ref = "x".repeat(TEXT_LEN_MAX + 1)),
            with(&|it| it.lock_fingerprint = "sha256:".to_owned() + &"0a".repeat(32)),
            with(&|it| it.lock_fingerprint = "blake3:".to_owned() + &"0A".repeat(32)),
            with(&|it| it.lock_fingerprint = "blake3:".to_owned() + &"0a".repeat(31)),
        ] {
            assert!(flaw(&bad).is_some(), "{bad:?}");
        }
    }
}
