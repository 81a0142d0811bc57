//! The control plane, as a receiver of events.
//!
//! | answer of the control plane   | what it means for the events                                |
//! |-------------------------------|-------------------------------------------------------------|
//! | 2xx                           | taken                                                         |
//! | 400, 413, 422                 | something in the request: halves, down to the one at fault    |
//! | the same, a single event      | refused for good                                              |
//! | anything else, or none        | not taken; the sender keeps them                              |

use std::{error::Error as _, time::Duration};

use api::control::{ControlEvent, EVENTS_PER_REQUEST_MAX};
use reqwest::{Client, header::CONTENT_TYPE, redirect::Policy};
use serde_json::Value;
use thiserror::Error;
use url::Url;

/// Most bytes of events in one request. A control plane takes 8 MiB unless it is told otherwise.
const REQUEST_LEN_MAX: usize = 4 << 20;
/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Most characters of an answer that are repeated to the sender.
const TEXT_CHARS_MAX: usize = 500;

/// Sends events to a control plane.
#[derive(Debug)]
pub(crate) struct Forwarder {
    client: Client,
    url: Url,
}

/// What the control plane did with events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Events that it refused for good.
    pub(crate) refused: u64,
    /// Why, for the first of them.
    pub(crate) text: String,
}

/// The control plane has not taken the events.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("control plane {url}: {text}")]
pub(crate) struct NotTaken {
    url: String,
    text: String,
}

/// The address of the control plane is none.
#[derive(Debug, Error)]
#[error("forward URL `{url}` cannot be used: {why}")]
pub struct ForwardUrlError {
    /// What was given.
    url: String,
    /// What is wrong with it.
    why: String,
}

impl Forwarder {
    pub(crate) fn new(url: &str) -> Result<Self, ForwardUrlError> {
        let bad = |why: String| ForwardUrlError { url: url.to_owned(), why };
        let parsed = Url::parse(url).map_err(|error| bad(error.to_string()))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(bad("it is neither http nor https".to_owned()));
        }
        let client = Client::builder()
            .tls_backend_preconfigured(tls::client_config().config)
            .redirect(Policy::none())
            .timeout(TIMEOUT)
            .build()
            .map_err(|error| bad(error.to_string()))?;
        Ok(Self { client, url: parsed })
    }

    /// Sends events in as few requests as the bounds allow, in their order.
    pub(crate) async fn send(&self, events: &[ControlEvent]) -> Result<Taken, NotTaken> {
        let encoded: Vec<String> =
            events.iter().map(|it| serde_json::to_string(it).unwrap_or_default()).collect();
        let mut taken = Taken::default();
        // Parts still to be sent, the next one last.
        let mut parts = portions(&encoded);
        parts.reverse();
        while let Some(part) = parts.pop() {
            let Some(fault) = self.post(part).await? else { continue };
            if part.len() > 1 {
                let (first, second) = part.split_at(part.len() / 2);
                parts.push(second);
                parts.push(first);
                continue;
            }
            if taken.refused == 0 {
                taken.text = fault;
            }
            taken.refused += 1;
        }
        Ok(taken)
    }

    /// Sends one request; `Some` when the control plane finds fault with its content.
    async fn post(&self, events: &[String]) -> Result<Option<String>, NotTaken> {
        let body = format!(r#"{{"events":[{}]}}"#, events.join(","));
        let request = self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/json");
        let response = request.body(body).send().await.map_err(|error| self.not_taken(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(None);
        }
        // The words matter less than the status: without them the status stands alone.
        let text = explain(&response.text().await.unwrap_or_default());
        let text = format!("HTTP {}: {text}", status.as_u16());
        if matches!(status.as_u16(), 400 | 413 | 422) {
            return Ok(Some(text));
        }
        Err(NotTaken { url: self.url.to_string(), text })
    }

    fn not_taken(&self, error: &reqwest::Error) -> NotTaken {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text = cause.to_string();
            source = cause.source();
        }
        NotTaken { url: self.url.to_string(), text }
    }
}

/// Cuts events into requests within both bounds; one event alone may be larger.
fn portions(events: &[String]) -> Vec<&[String]> {
    let mut portions = Vec::new();
    let mut rest = events;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = rest.iter().take(EVENTS_PER_REQUEST_MAX).take_while(|it| {
            bytes += it.len() + 1;
            bytes <= REQUEST_LEN_MAX
        });
        let (portion, after) = rest.split_at(fits.count().max(1));
        portions.push(portion);
        rest = after;
    }
    portions
}

/// The detail of a problem body, or the beginning of any other.
fn explain(body: &str) -> String {
    let problem = serde_json::from_str::<Value>(body).ok();
    let detail = problem.as_ref().and_then(|it| it.get("detail")).and_then(Value::as_str);
    detail.unwrap_or(body).chars().take(TEXT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portions_keep_order_and_both_bounds() {
        let many: Vec<_> = (0..25_000).map(|it| it.to_string()).collect();
        let lens: Vec<_> = portions(&many).iter().map(|it| it.len()).collect();
        assert_eq!(lens, [10_000, 10_000, 5_000]);
        assert_eq!(portions(&many).concat(), many);
        let large = vec!["x".repeat(3 << 20), "y".repeat(9 << 20), "z".to_owned(), "z".to_owned()];
        let lens: Vec<_> = portions(&large).iter().map(|it| it.len()).collect();
        assert_eq!(lens, [1, 1, 2]);
        assert!(portions(&[]).is_empty());
    }

    #[test]
    fn an_address_that_is_none_is_named() {
        for bad in ["", "nowhere", "ftp://h/x", "http://"] {
            assert!(Forwarder::new(bad).unwrap_err().to_string().contains(bad));
        }
    }

    #[test]
    fn a_problem_is_explained_by_its_detail() {
        assert_eq!(explain(r#"{"detail":"events[3].timestamp: bad"}"#), "events[3].timestamp: bad");
        assert_eq!(explain("plain"), "plain");
    }
}
