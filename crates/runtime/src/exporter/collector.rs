//! One request to an OTLP collector, and what came of it.

use std::{
    error::Error,
    io::{self, Write as _},
    time::Duration,
};

use drain::{ANSWER_BYTES_MAX, Answer, Input, Request, Silence};
use flate2::write::GzEncoder;
use percent_encoding::percent_decode_str;
use reqwest::{
    Client, Response,
    header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
    redirect::Policy,
};
use thiserror::Error;
use url::Url;

/// Path of the logs signal (OTLP/HTTP specification).
const LOGS_PATH: &str = "/v1/logs";

/// Compression of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// As it is.
    #[default]
    None,
    /// gzip.
    Gzip,
}

/// A collector that takes OTLP logs over HTTP.
#[derive(Clone, Debug)]
pub struct Collector {
    client: Client,
    url: Url,
    headers: HeaderMap,
    compression: Compression,
}

impl Collector {
    /// Prepares requests to `endpoint`, the base URL of a collector. `headers` has the form of
    /// `OTEL_EXPORTER_OTLP_HEADERS`: `key=value,key=value`, values percent-encoded.
    ///
    /// # Errors
    ///
    /// [`CollectorError`] when the URL or a header is none.
    pub fn new(
        endpoint: &str,
        headers: &str,
        compression: Compression,
        timeout: Duration,
    ) -> Result<Self, CollectorError> {
        let client = Client::builder()
            .tls_backend_preconfigured(tls::client_config().config)
            // Proxies of the environment are not for telemetry of this machine.
            .no_proxy()
            // A redirected POST may lose its body; a collector that moved is a wrong endpoint.
            .redirect(Policy::none())
            .timeout(timeout)
            .build()
            .map_err(CollectorError::Client)?;
        Ok(Self { client, url: logs_url(endpoint)?, headers: parse_headers(headers)?, compression })
    }

    /// The URL that requests go to.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Sends a request and says what came of it.
    pub(super) async fn send(&self, request: &Request) -> Input {
        let mut post = self
            .client
            .post(self.url.clone())
            .headers(self.headers.clone())
            .header(CONTENT_TYPE, request.encoding.content_type());
        post = match self.compression {
            Compression::None => post.body(request.body.clone()),
            Compression::Gzip => match gzip(&request.body) {
                Ok(body) => post.header(CONTENT_ENCODING, "gzip").body(body),
                Err(error) => return Input::Failed(format!("cannot compress: {error}")),
            },
        };
        let answered = match post.send().await {
            Ok(response) => answer(response).await,
            Err(error) => Err(silence(&error)),
        };
        answered.map_or_else(Input::Unanswered, Input::Answered)
    }
}

fn logs_url(endpoint: &str) -> Result<Url, CollectorError> {
    let bad = |why: String| CollectorError::Endpoint { endpoint: endpoint.to_owned(), why };
    let mut url = Url::parse(endpoint).map_err(|error| bad(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(bad(format!("`{}` is not http or https", url.scheme())));
    }
    let path = url.path().trim_end_matches('/');
    if !path.ends_with(LOGS_PATH) {
        url.set_path(&format!("{path}{LOGS_PATH}"));
    }
    Ok(url)
}

fn parse_headers(text: &str) -> Result<HeaderMap, CollectorError> {
    let mut headers = HeaderMap::new();
    for (index, pair) in text.split(',').map(str::trim).filter(|it| !it.is_empty()).enumerate() {
        // The value may be a secret, so an error shows the name only, if there is one.
        let place = format!("number {}", index + 1);
        let (name, value) = pair.split_once('=').ok_or(CollectorError::Header { name: place })?;
        let bad = || CollectorError::Header { name: name.to_owned() };
        let value = percent_decode_str(value.trim()).decode_utf8().map_err(|_| bad())?;
        let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| bad())?;
        let mut value = HeaderValue::from_str(&value).map_err(|_| bad())?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

fn gzip(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

/// Reads an answer. One that is too long is none: its beginning might read like a success.
async fn answer(mut response: Response) -> Result<Answer, Silence> {
    let header = |name| {
        let value = response.headers().get(name).and_then(|it: &HeaderValue| it.to_str().ok());
        value.map(str::to_owned)
    };
    let mut answer = Answer {
        status: response.status().as_u16(),
        retry_after: header(RETRY_AFTER),
        content_type: header(CONTENT_TYPE),
        body: Vec::new(),
    };
    while let Some(chunk) = response.chunk().await.map_err(|error| silence(&error))? {
        if answer.body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(Silence::Other(format!("answer longer than {ANSWER_BYTES_MAX} bytes")));
        }
        answer.body.extend_from_slice(&chunk);
    }
    Ok(answer)
}

/// Names the reason of a silence by the error at the bottom of the chain.
fn silence(error: &reqwest::Error) -> Silence {
    if error.is_timeout() {
        return Silence::TimedOut;
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        match cause.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(io::ErrorKind::ConnectionRefused) => return Silence::ConnectionRefused,
            Some(
                io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof,
            ) => return Silence::ConnectionReset,
            Some(io::ErrorKind::TimedOut) => return Silence::TimedOut,
            _ => {}
        }
        text = cause.to_string();
        source = cause.source();
    }
    // The innermost text of the client when the peer closes instead of answering.
    if text.contains("connection closed before message completed") {
        return Silence::ConnectionReset;
    }
    Silence::Other(text)
}

/// Why there is no collector to send to.
#[derive(Debug, Error)]
pub enum CollectorError {
    /// The endpoint is no URL of a collector.
    #[error("endpoint `{endpoint}` cannot be used: {why}")]
    Endpoint {
        /// What was given.
        endpoint: String,
        /// What is wrong with it.
        why: String,
    },
    /// A header cannot be sent.
    #[error("header `{name}` cannot be used (key=value, value percent-encoded)")]
    Header {
        /// Its name; the value may be a secret.
        name: String,
    },
    /// The HTTP client could not be made.
    #[error("cannot set up an HTTP client")]
    Client(#[source] reqwest::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_the_logs_signal_is_appended_once() {
        for (endpoint, want) in [
            ("http://h:4318", "http://h:4318/v1/logs"),
            ("http://h:4318/", "http://h:4318/v1/logs"),
            ("https://h/otlp", "https://h/otlp/v1/logs"),
            ("https://h/v1/logs", "https://h/v1/logs"),
        ] {
            assert_eq!(logs_url(endpoint).unwrap().as_str(), want);
        }
        for bad in ["", "h:4318", "ftp://h", "http://"] {
            assert!(logs_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn headers_are_decoded_and_an_error_never_shows_a_value() {
        let headers = parse_headers("api-key=a%20b, x=1,").unwrap();
        assert_eq!(headers.get("api-key").unwrap(), "a b");
        assert_eq!(headers.len(), 2);
        for bad in ["secret", "a b=secret", "a=%0Asecret"] {
            let error = parse_headers(bad).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
