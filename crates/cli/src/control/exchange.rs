//! One question to the control plane and its answer over HTTP.

use std::{error::Error as _, io, time::Duration};

use reqwest::{
    Client, Method, Request, Response, StatusCode, Url,
    header::{CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER},
};
use serde::de::DeserializeOwned;

use super::answer::{AskError, Effect, Refused, TlsFault};
use super::asked::Asked;
use crate::failure::causes;

/// Most bytes of an answer: a page of a thousand plans.
pub(super) const ANSWER_LEN_MAX: usize = 64 << 20;
/// Time to reach the control plane.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for a whole question.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);
/// How often a question is sent: once more when the connection broke (Q2).
const ATTEMPTS_MAX: u32 = 2;

/// How hyper calls an answer that does not begin as HTTP does.
const NO_HTTP: &str = "invalid HTTP version parsed";

/// An answer that was read whole.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// What came of the question if the answer does not say it.
    effect: Effect,
    /// Whether an earlier attempt may have arrived, too (Q2).
    repeated: bool,
}

impl Answer {
    /// What it says it is.
    fn content_type(&self) -> Option<String> {
        Some(self.headers.get(CONTENT_TYPE)?.to_str().ok()?.to_owned())
    }

    /// The answer as a refusal.
    pub(super) fn refused(&self, request: String, asked: &Asked) -> Refused {
        let text = |name| Some(self.headers.get(name)?.to_str().ok()?.to_owned());
        let refused = Refused::new(request, self.status, &self.body);
        let is_open = match &refused.problem {
            // The control plane looks at the key after it has decided whether it takes requests at all.
            Some(_) => self.repeated && matches!(self.status, 401 | 403 | 429 | 500..),
            // Somebody on the way does not know what became of it.
            None => self.repeated || self.status >= 500,
        };
        Refused {
            retry_after: text(RETRY_AFTER).and_then(|it| it.parse().ok()),
            location: text(LOCATION),
            content_type: self.content_type(),
            asked: Some(asked.clone()),
            may_be_done: is_open && self.effect == Effect::Unknown,
            ..refused
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
    let mut repeated = false;
    let effect = Effect::of_lost(request.method());
    loop {
        // Bodies are in memory, so every request can be sent again.
        let Some(mut this) = request.try_clone() else {
            let text = "it cannot be sent twice".to_owned();
            return Err(AskError::Unreadable { request: name.to_owned(), text, effect });
        };
        *this.timeout_mut() = Some(timeout);
        let error = match once(client, this).await {
            Ok((status, headers, body)) => {
                return Ok(Answer { status, headers, body, effect, repeated });
            }
            Err(error) => error,
        };
        let broke = match &error {
            Broken::Http(it) => {
                !it.is_connect() && !it.is_timeout() && tls_fault(it, request.url()).is_none()
            }
            Broken::TooLong => false,
        };
        if broke && attempt < ATTEMPTS_MAX {
            attempt += 1;
            repeated = true;
            continue;
        }
        return Err(error.told(name, &request, timeout, repeated));
    }
}

/// Why there is no whole answer.
pub(super) enum Broken {
    Http(reqwest::Error),
    TooLong,
}

impl Broken {
    /// The failure of the last attempt; `repeated` when an earlier one may have arrived.
    pub(super) fn told(
        self,
        name: &str,
        asked: &Request,
        timeout: Duration,
        repeated: bool,
    ) -> AskError {
        let request = name.to_owned();
        let effect = Effect::of_lost(asked.method());
        match self {
            Self::Http(error) => {
                let error = error.without_url();
                let text = spelled(&error, asked.url(), timeout);
                // What may have arrived before is what counts.
                if let Some(fault) = tls_fault(&error, asked.url()).filter(|_| !repeated) {
                    return AskError::Tls { request, text, fault, effect };
                }
                let effect = match effect {
                    Effect::Unknown if error.is_connect() && !repeated => Effect::NotSent,
                    effect => effect,
                };
                AskError::Unreachable { request, text, chain: causes(&error), effect }
            }
            Self::TooLong => {
                let text = format!("it is longer than {} MiB", ANSWER_LEN_MAX >> 20);
                AskError::Unreadable { request, text, effect }
            }
        }
    }
}

/// Status, headers and body of an answer.
type Whole = (u16, HeaderMap, Vec<u8>);

async fn once(client: &Client, request: Request) -> Result<Whole, Broken> {
    let response = client.execute(request).await.map_err(Broken::Http)?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = bounded(response).await?;
    Ok((status, headers, body))
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
pub(super) fn parsed<T: DeserializeOwned>(
    name: String,
    answer: &Answer,
    asked: &Asked,
) -> Result<T, AskError> {
    let status = StatusCode::from_u16(answer.status).unwrap_or_default();
    if !status.is_success() {
        return Err(AskError::Refused(Box::new(answer.refused(name, asked))));
    }
    serde_json::from_slice(&answer.body).map_err(|error| AskError::Unreadable {
        request: name,
        text: match answer.content_type() {
            Some(kind) if !kind.contains("json") => format!("it is {kind} and no JSON"),
            _ => error.to_string(),
        },
        effect: answer.effect,
    })
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

/// What is wrong about TLS, if that is what is wrong. A request that meets it was not received.
fn tls_fault(error: &reqwest::Error, url: &Url) -> Option<TlsFault> {
    match tls::Fault::of(error) {
        Some(tls::Fault::Untrusted) => Some(TlsFault::Untrusted),
        Some(tls::Fault::ClientCertificate) => Some(TlsFault::ClientCertificate),
        Some(tls::Fault::NoTls) => Some(TlsFault::NoTls),
        // A server of TLS answers with an alert, which is no version of HTTP.
        None if url.scheme() == "http" && innermost(error) == NO_HTTP => Some(TlsFault::OnlyTls),
        None => None,
    }
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
