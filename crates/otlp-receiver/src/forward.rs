//! The way to the control plane: `POST /v1/events`.
//!
//! Its answer holds for a whole request: all events of it are stored, or none.
//!
//! | answer                                        | what it means here                            |
//! |-----------------------------------------------|-----------------------------------------------|
//! | 2xx with a count of all events sent           | stored                                        |
//! | 2xx with anything else                        | unavailable: that was no control plane        |
//! | 400, 413, 422 with problem JSON               | an event is refused: halve to find it         |
//! | everything else, no answer                    | unavailable                                   |
//!
//! # Invariants
//!
//! * **F1** An event counts as refused only when it was sent alone and refused in the words of a
//!   control plane: a proxy that answers 400 to everything loses nothing.
//! * **F2** More than [`REFUSED_MAX`] refused events in one request are no accident of single events:
//!   the search ends and the sender is told to stop.
//! * **F3** The token is shown to nobody but the control plane (T1 and T2 of `api::token`).

use std::{fmt::Write as _, ops::Range};

use api::{
    control::{EVENTS_PER_REQUEST_MAX, Ingested},
    problem::Problem,
    token::TokenError,
    url::without_secrets,
};
use reqwest::{Client, StatusCode, Url, header, redirect};
use thiserror::Error;

use crate::{Forward, event::to_event, received::Received};

/// Most bytes of events in one request, within what the control plane takes by default.
const REQUEST_LEN_MAX: usize = 4 << 20;
/// Most refused events that are looked for in one request (F2).
const REFUSED_MAX: usize = 16;
/// Refused events whose texts stand in an answer.
const REFUSED_SHOWN_MAX: usize = 3;
/// Largest answer that is worth reading, in bytes.
const ANSWER_LEN_MAX: usize = 64 << 10;

/// An event as it is sent.
struct Outgoing {
    id: String,
    json: Vec<u8>,
}

/// An event that the control plane refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) event_id: String,
    pub(crate) reason: String,
}

/// Why forwarding ended early.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// Try again later.
    Unavailable { reason: String },
    /// F2.
    TooManyRefused { limit: usize, reason: String },
}

/// What one request came to.
enum Sent {
    Stored,
    Refused { reason: String },
    Unavailable { reason: String },
}

/// The client.
#[derive(Debug)]
pub(crate) struct Forwarder {
    client: Client,
    url: Url,
    /// The URL in answers and logs: whoever sends records must not learn a password from them.
    shown: String,
}

impl Forwarder {
    pub(crate) fn new(forward: &Forward) -> Result<Self, ForwardError> {
        let bad = |reason| ForwardError::Url { url: without_secrets(&forward.url), reason };
        let url = Url::parse(&forward.url).map_err(|error| bad(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad(format!("`{}` is not http or https", url.scheme())));
        }
        let client = Client::builder()
            .tls_backend_preconfigured(trusted(forward)?)
            .default_headers(headers(forward, &url)?)
            // A redirected POST may lose its body.
            .redirect(redirect::Policy::none())
            .no_proxy()
            .timeout(forward.timeout)
            .build()
            .map_err(ForwardError::Client)?;
        let shown = without_secrets(url.as_str());
        Ok(Self { client, url, shown })
    }

    /// Sends the events of one request. Returns those that are refused; the others are stored.
    pub(crate) async fn send(&self, received: &[Received]) -> Result<Vec<Refused>, Stopped> {
        let outgoing: Vec<_> = received.iter().map(outgoing).collect();
        // The parts that are left, the next one on top.
        let mut parts: Vec<_> = split(&outgoing);
        parts.reverse();
        let mut refused = Vec::new();
        while let Some(part) = parts.pop() {
            let events = outgoing.get(part.clone()).unwrap_or_default();
            match (self.post(events).await, events) {
                (Sent::Stored, _) => {}
                (Sent::Unavailable { reason }, _) => return Err(Stopped::Unavailable { reason }),
                (Sent::Refused { reason }, [_]) if refused.len() == REFUSED_MAX => {
                    return Err(Stopped::TooManyRefused { limit: REFUSED_MAX, reason });
                }
                (Sent::Refused { reason }, [event]) => {
                    refused.push(Refused { event_id: event.id.clone(), reason });
                }
                (Sent::Refused { .. }, _) => {
                    let middle = part.start + events.len() / 2;
                    parts.push(middle..part.end);
                    parts.push(part.start..middle);
                }
            }
        }
        Ok(refused)
    }

    async fn post(&self, events: &[Outgoing]) -> Sent {
        let request = self
            .client
            .post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .body(body(events));
        // The client names the URL as it is, with what may be a secret.
        let unavailable = |error: reqwest::Error| Sent::Unavailable {
            reason: format!("{}: {}", self.shown, chain(&error.without_url())),
        };
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => return unavailable(error),
        };
        let mut answer = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if answer.len() + chunk.len() <= ANSWER_LEN_MAX => {
                    answer.extend_from_slice(&chunk);
                }
                Ok(_) => break,
                Err(error) => return unavailable(error),
            }
        }
        let content_type = response.headers().get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|it| it.to_str().ok()).unwrap_or_default();
        let sent = judge(response.status(), content_type, &answer, events.len() as u64);
        match sent {
            Sent::Unavailable { reason } => {
                Sent::Unavailable { reason: format!("{}: {reason}", self.shown) }
            }
            sent => sent,
        }
    }
}

/// Whom the connection trusts, and what it shows there.
fn trusted(forward: &Forward) -> Result<tls::ClientConfig, ForwardError> {
    if let Some(named) = &forward.tls {
        return Ok(named.client_config()?);
    }
    let trust = tls::client_config();
    if let Some(problem) = trust.problem {
        tracing::warn!(error = problem, "no trust store; https will fail");
    }
    Ok(trust.config)
}

/// Who forwards (F3).
fn headers(forward: &Forward, url: &Url) -> Result<header::HeaderMap, ForwardError> {
    let mut headers = header::HeaderMap::new();
    if let Some(token) = &forward.token {
        let bearer = token.bearer(url.scheme(), url.host_str().unwrap_or_default())?;
        let value = header::HeaderValue::from_str(&bearer);
        let mut value = value.map_err(|_| TokenError::Unsendable)?;
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
    Ok(headers)
}

/// The table of the module.
fn judge(status: StatusCode, content_type: &str, answer: &[u8], sent: u64) -> Sent {
    if status.is_success() {
        return match serde_json::from_slice::<Ingested>(answer) {
            Ok(it) if it.received == sent && it.inserted.checked_add(it.deduped) == Some(sent) => {
                Sent::Stored
            }
            Ok(it) => Sent::Unavailable {
                reason: format!(
                    "{status}, but {} of {sent} events received, {} inserted, {} deduped",
                    it.received, it.inserted, it.deduped
                ),
            },
            Err(error) => {
                Sent::Unavailable { reason: format!("{status} without a count: {error}") }
            }
        };
    }
    let refuses = matches!(
        status,
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY
    );
    match serde_json::from_slice::<Problem>(answer) {
        Ok(problem) if refuses => {
            let text = otlp::error_text(problem.detail.as_bytes(), "text/plain");
            Sent::Refused { reason: format!("{} {text}", problem.code) }
        }
        _ => {
            let text = otlp::error_text(answer, content_type);
            Sent::Unavailable { reason: format!("{status} {text}") }
        }
    }
}

fn outgoing(received: &Received) -> Outgoing {
    let event = to_event(received);
    // Strings, numbers and maps with string keys always serialize.
    Outgoing { json: serde_json::to_vec(&event).unwrap_or_default(), id: event.event_id }
}

/// Cuts events into parts that fit a request; an event that alone does not fit is tried alone.
fn split(events: &[Outgoing]) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let (mut start, mut len) = (0, 0);
    for (index, event) in events.iter().enumerate() {
        let full =
            index - start == EVENTS_PER_REQUEST_MAX || len + event.json.len() > REQUEST_LEN_MAX;
        if full && index > start {
            parts.push(start..index);
            (start, len) = (index, 0);
        }
        len += event.json.len() + 1;
    }
    if start < events.len() {
        parts.push(start..events.len());
    }
    parts
}

/// The JSON of [`api::control::EventBatch`].
fn body(events: &[Outgoing]) -> Vec<u8> {
    let mut body = br#"{"events":["#.to_vec();
    for (index, event) in events.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(&event.json);
    }
    body.extend_from_slice(b"]}");
    body
}

/// The error and its causes: `connection refused` stands at the bottom.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        // Writing to a string cannot fail.
        _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

/// Returns one line about refused events.
pub(crate) fn summary(refused: &[Refused]) -> String {
    let shown: Vec<_> = refused
        .iter()
        .take(REFUSED_SHOWN_MAX)
        .map(|it| format!("event {}: {}", it.event_id, it.reason))
        .collect();
    let mut text = shown.join("; ");
    if refused.len() > REFUSED_SHOWN_MAX {
        // Writing to a string cannot fail.
        _ = write!(text, "; and {} more", refused.len() - REFUSED_SHOWN_MAX);
    }
    text
}

/// Why nothing can be forwarded.
#[derive(Debug, Error)]
pub enum ForwardError {
    /// The URL cannot be used.
    #[error("forward URL `{url}` cannot be used: {reason}")]
    Url {
        /// What was given, without what may be a secret.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The token cannot be sent there.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The certificates cannot be used.
    #[error(transparent)]
    Certificate(#[from] tls::MaterialError),
    /// The HTTP client could not be made.
    #[error("cannot set up an HTTP client")]
    Client(#[source] reqwest::Error),
}

impl ForwardError {
    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Url { .. } | Self::Client(_) => "BAD_FORWARD_URL",
            Self::Token(error) => error.code(),
            Self::Certificate(_) => "BAD_CERTIFICATE",
        }
    }

    /// Returns what to do next.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Url { .. } | Self::Client(_) => {
                "give the whole URL, for example http://127.0.0.1:8888/v1/events"
            }
            Self::Token(error) => error.hint(),
            Self::Certificate(_) => "the files that are named for the control plane hold PEM",
        }
    }
}

#[cfg(test)]
mod tests {
    use api::control::{ControlEvent, EventBatch};

    use super::*;

    fn event(len: usize) -> Outgoing {
        Outgoing { id: "x".to_owned(), json: vec![b'1'; len] }
    }

    #[test]
    fn requests_hold_no_more_than_the_control_plane_takes() {
        let small: Vec<_> = (0..25_000).map(|_| event(10)).collect();
        assert_eq!(split(&small), [0..10_000, 10_000..20_000, 20_000..25_000]);
        let big = [event(10), event(REQUEST_LEN_MAX + 1), event(10), event(REQUEST_LEN_MAX - 20)];
        assert_eq!(split(&big), [0..1, 1..2, 2..4]);
        assert_eq!(split(&[]), []);
    }

    #[test]
    fn the_body_is_the_wire_type() {
        let event = ControlEvent {
            event_id: "a".to_owned(),
            event_type: "t".to_owned(),
            node_id: "n".to_owned(),
            timestamp: "2026-01-02T03:04:05Z".to_owned(),
            rest: serde_json::Map::new(),
        };
        let json = serde_json::to_vec(&event).unwrap();
        let outgoing = || Outgoing { id: "a".to_owned(), json: json.clone() };
        let batch = EventBatch { events: vec![event.clone(), event] };
        assert_eq!(body(&[outgoing(), outgoing()]), serde_json::to_vec(&batch).unwrap());
    }

    #[test]
    fn answers_are_judged_by_the_table() {
        let problem = br#"{"type":"t","title":"t","status":400,"detail":"events[0].node_id: missing","code":"INVALID_EVENTS"}"#;
        let json = "application/json";
        let good = |it: &str| judge(StatusCode::OK, json, it.as_bytes(), 3);
        assert!(matches!(good(r#"{"received":3,"inserted":2,"deduped":1}"#), Sent::Stored));
        for bad in [
            r#"{"received":2,"inserted":2,"deduped":0}"#,
            r#"{"received":3,"inserted":1,"deduped":1}"#,
            r#"{"received":3,"inserted":18446744073709551615,"deduped":4}"#,
            "{}",
            "",
            "<html>",
        ] {
            assert!(matches!(good(bad), Sent::Unavailable { .. }), "{bad}");
        }
        for status in [400, 413, 422] {
            let status = StatusCode::from_u16(status).unwrap();
            let Sent::Refused { reason } = judge(status, "application/problem+json", problem, 3)
            else {
                panic!("{status}")
            };
            assert_eq!(reason, "INVALID_EVENTS events[0].node_id: missing");
            let unavailable = judge(status, "text/html", b"<html>bad gateway</html>", 3);
            assert!(matches!(unavailable, Sent::Unavailable { .. }), "F1 {status}");
        }
        for status in [301, 401, 403, 404, 408, 409, 429, 500, 502, 503] {
            let status = StatusCode::from_u16(status).unwrap();
            let sent = judge(status, "application/problem+json", problem, 3);
            assert!(matches!(sent, Sent::Unavailable { .. }), "{status}");
        }
    }

    /// F3.
    #[test]
    fn a_token_is_not_sent_in_clear_and_is_shown_nowhere() {
        let to = |url: &str| {
            let token = Some(api::token::Token::new("SECRET").unwrap());
            let (timeout, loss) = (Forward::TIMEOUT_DEFAULT, crate::Loss::Never);
            Forwarder::new(&Forward { url: url.to_owned(), timeout, loss, token, tls: None })
        };
        let refused = to("http://control.example:8888/v1/events").unwrap_err();
        assert!(matches!(refused, ForwardError::Token(TokenError::InClear)));
        assert!(!refused.to_string().contains("SECRET"));
        for url in ["http://127.0.0.1:8888/v1/events", "https://control.example/v1/events"] {
            assert!(!format!("{:?}", to(url).unwrap()).contains("SECRET"));
        }
    }

    #[test]
    fn a_summary_shows_a_few_and_counts_the_rest() {
        let refused = |n| vec![Refused { event_id: "a".to_owned(), reason: "no".to_owned() }; n];
        assert_eq!(summary(&refused(1)), "event a: no");
        assert_eq!(summary(&refused(5)), "event a: no; event a: no; event a: no; and 2 more");
    }
}
