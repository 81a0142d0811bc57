//! One question to the control plane and its answer over HTTP.

use std::{error::Error as _, io, time::Duration};

use reqwest::{
    Client, Method, Request, Response, StatusCode, Url,
    header::{HeaderMap, LOCATION, RETRY_AFTER},
};
use serde::de::DeserializeOwned;

use super::answer::{AskError, Effect, Refused};
use crate::failure::causes;

/// Most bytes of an answer: a page of a thousand plans.
pub(super) const ANSWER_LEN_MAX: usize = 64 << 20;
/// Time to reach the control plane.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for a whole question.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);
/// How often a question is sent: once more when the connection broke (Q2).
const ATTEMPTS_MAX: u32 = 2;

/// An answer that was read whole.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// The answer as a refusal.
    pub(super) fn refused(&self, request: String) -> Refused {
        let text = |name| Some(self.headers.get(name)?.to_str().ok()?.to_owned());
        Refused {
            retry_after: text(RETRY_AFTER).and_then(|it| it.parse().ok()),
            location: text(LOCATION),
            ..Refused::new(request, self.status, &self.body)
        }
    }
}

/// How a request is called in messages.
pub(super) fn request_name(method: &Method, url: &Url) -> String {
    let mut name = method.as_str().to_ascii_lowercase();
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    format!("{name} \"{url}\"")
}

/// Sends a request and reads the answer, whatever it is. Once more when the connection broke after it was
/// sent (Q2).
pub(super) async fn exchange(
    client: &Client,
    request: Request,
    name: &str,
    timeout: Duration,
) -> Result<Answer, AskError> {
    let mut attempt = 1;
    loop {
        // Bodies are in memory, so every request can be sent again.
        let Some(mut this) = request.try_clone() else {
            let text = "it cannot be sent twice".to_owned();
            return Err(AskError::Unreadable { request: name.to_owned(), text });
        };
        *this.timeout_mut() = Some(timeout);
        let error = match once(client, this).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let broke = matches!(&error, Broken::Http(it) if !it.is_connect() && !it.is_timeout());
        if broke && attempt < ATTEMPTS_MAX {
            attempt += 1;
            continue;
        }
        return Err(error.told(name, &request, timeout));
    }
}

/// Why there is no whole answer.
pub(super) enum Broken {
    Http(reqwest::Error),
    TooLong,
}

impl Broken {
    pub(super) fn told(self, name: &str, asked: &Request, timeout: Duration) -> AskError {
        let request = name.to_owned();
        match self {
            Self::Http(error) => {
                let error = error.without_url();
                let effect = if asked.method() == Method::GET {
                    Effect::Nothing
                } else if error.is_connect() {
                    Effect::NotSent
                } else {
                    Effect::Unknown
                };
                let text = spelled(&error, asked.url(), timeout);
                AskError::Unreachable { request, text, chain: causes(&error), effect }
            }
            Self::TooLong => {
                let text = format!("it is longer than {} MiB", ANSWER_LEN_MAX >> 20);
                AskError::Unreadable { request, text }
            }
        }
    }
}

async fn once(client: &Client, request: Request) -> Result<Answer, Broken> {
    let response = client.execute(request).await.map_err(Broken::Http)?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = bounded(response).await?;
    Ok(Answer { status, headers, body })
}

/// Reads a body, up to the limit (Q3).
pub(super) async fn bounded(mut response: Response) -> Result<Vec<u8>, Broken> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Broken::Http)? {
        if body.len() + chunk.len() > ANSWER_LEN_MAX {
            return Err(Broken::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Makes a value of an answer (Q1).
pub(super) fn parsed<T: DeserializeOwned>(name: String, answer: &Answer) -> Result<T, AskError> {
    let status = StatusCode::from_u16(answer.status).unwrap_or_default();
    if !status.is_success() {
        return Err(AskError::Refused(Box::new(answer.refused(name))));
    }
    serde_json::from_slice(&answer.body)
        .map_err(|error| AskError::Unreadable { request: name, text: error.to_string() })
}

/// What happened, in the words of a dial: `dial tcp 127.0.0.1:1: connect: connection refused`.
fn spelled(error: &reqwest::Error, url: &Url, timeout: Duration) -> String {
    let innermost = innermost(error);
    if !error.is_connect() {
        return if error.is_timeout() {
            format!("no answer within {timeout:?}")
        } else {
            format!("the connection broke: {innermost}")
        };
    }
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    let why = if error.is_timeout() {
        format!("no connection within {CONNECT_TIMEOUT:?}")
    } else {
        innermost
    };
    format!("dial tcp {host}:{port}: connect: {why}")
}

/// The text of the cause behind all others.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    let mut text = error.to_string();
    while let Some(error) = cause {
        text = match error.downcast_ref::<io::Error>().map(io::Error::kind) {
            // As every other program spells it.
            Some(io::ErrorKind::ConnectionRefused) => "connection refused".to_owned(),
            _ => error.to_string(),
        };
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_called_by_method_and_url() {
        let url: Url = "http://h:1/v1/rollouts/x/recover".parse().unwrap();
        let name = request_name(&Method::POST, &url);
        assert_eq!(name, "Post \"http://h:1/v1/rollouts/x/recover\"");
    }
}
