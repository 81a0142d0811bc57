//! One request to an OTLP collector, and what came of it.

use std::{
    error::Error,
    io::{self, Write as _},
};

use api::url::without_secrets;
use drain::{ANSWER_BYTES_MAX, Answer, Input, Request, Silence};
use flate2::write::GzEncoder;
use otlp::Encoding;
use percent_encoding::percent_decode_str;
use reqwest::{
    Client, Response,
    header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
    redirect::Policy,
};
use rustls::ClientConfig;
use thiserror::Error;
use tls::MaterialError;
use url::Url;

use super::settings::CollectorSettings;

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
    encoding: Encoding,
    compression: Compression,
}

impl Collector {
    /// Prepares requests.
    ///
    /// # Errors
    ///
    /// [`CollectorError`] when the URL, a header, or a certificate is none.
    pub fn new(settings: &CollectorSettings) -> Result<Self, CollectorError> {
        let url = settings.endpoint.logs_url()?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls_config(&url, &settings.tls)?)
            // Proxies of the environment are not for telemetry of this machine.
            .no_proxy()
            // A redirected POST may lose its body; a collector that moved is a wrong endpoint.
            .redirect(Policy::none())
            .timeout(settings.timeout)
            .build()
            .map_err(CollectorError::Client)?;
        let mut headers = parse_headers(&settings.headers)?;
        for pair in &settings.more_headers {
            let (name, value) = pair.split_once('=').ok_or_else(nameless)?;
            insert_header(&mut headers, name, value.trim())?;
        }
        let compression = settings.compression;
        Ok(Self { client, url, headers, encoding: settings.encoding, compression })
    }

    /// The encoding that requests are to have.
    pub const fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The URL that requests go to, fit for a log: without what it may hold of a password.
    pub fn shown(&self) -> String {
        without_secrets(self.url.as_str())
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
            Err(error) => Err(silence(error)),
        };
        answered.map_or_else(Input::Unanswered, Input::Answered)
    }
}

/// Where a collector is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Base URL of the collector; the path of the logs signal is appended, once.
    Base(String),
    /// URL of the logs signal, used as it is.
    Whole(String),
}

impl Endpoint {
    fn logs_url(&self) -> Result<Url, CollectorError> {
        let (Self::Base(endpoint) | Self::Whole(endpoint)) = self;
        let bad = |why| CollectorError::Endpoint { endpoint: without_secrets(endpoint), why };
        let mut url = Url::parse(endpoint).map_err(|error| bad(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad(format!("`{}` is not http or https", url.scheme())));
        }
        let path = url.path().trim_end_matches('/');
        if matches!(self, Self::Base(_)) && !path.ends_with(LOGS_PATH) {
            url.set_path(&format!("{path}{LOGS_PATH}"));
        }
        Ok(url)
    }
}

/// A collector without TLS must be reachable from a machine that has no trust store.
fn tls_config(url: &Url, named: &tls::Material) -> Result<ClientConfig, CollectorError> {
    let nothing_named = named.authorities.is_none() && named.client.is_none();
    if nothing_named || url.scheme() == "http" {
        return Ok(tls::client_config().config);
    }
    named.client_config().map_err(CollectorError::Tls)
}

fn parse_headers(text: &str) -> Result<HeaderMap, CollectorError> {
    let mut headers = HeaderMap::new();
    for (index, pair) in text.split(',').map(str::trim).filter(|it| !it.is_empty()).enumerate() {
        // The value may be a secret, so an error shows the name only, if there is one.
        let place = format!("number {}", index + 1);
        let (name, value) = pair.split_once('=').ok_or(CollectorError::Header { name: place })?;
        let bad = || CollectorError::Header { name: name.to_owned() };
        let value = percent_decode_str(value.trim()).decode_utf8().map_err(|_| bad())?;
        insert_header(&mut headers, name, &value)?;
    }
    Ok(headers)
}

fn insert_header(headers: &mut HeaderMap, name: &str, value: &str) -> Result<(), CollectorError> {
    let bad = || CollectorError::Header { name: name.to_owned() };
    let key = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| bad())?;
    let mut value = HeaderValue::from_str(value).map_err(|_| bad())?;
    value.set_sensitive(true);
    headers.insert(key, value);
    Ok(())
}

/// A header without a name: what is there may be a secret, and is not shown.
fn nameless() -> CollectorError {
    CollectorError::Header { name: "without a name".to_owned() }
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
    while let Some(chunk) = response.chunk().await.map_err(silence)? {
        if answer.body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(Silence::Other(format!("answer longer than {ANSWER_BYTES_MAX} bytes")));
        }
        answer.body.extend_from_slice(&chunk);
    }
    Ok(answer)
}

/// Names the reason of a silence by the error at the bottom of the chain.
fn silence(error: reqwest::Error) -> Silence {
    // The client names the URL as it is, with what may be a secret.
    let error = error.without_url();
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
        /// What was given, without what may be a secret.
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
    /// A certificate or key that was named cannot be used.
    #[error(transparent)]
    Tls(MaterialError),
}

impl CollectorError {
    /// Every stable code.
    pub const CODES: [&str; 4] = ["BAD_ENDPOINT", "BAD_HEADER", "HTTP_CLIENT", "BAD_CERTIFICATE"];

    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Endpoint { .. } => "BAD_ENDPOINT",
            Self::Header { .. } => "BAD_HEADER",
            Self::Client(_) => "HTTP_CLIENT",
            Self::Tls(_) => "BAD_CERTIFICATE",
        }
    }
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
            let base = Endpoint::Base(endpoint.to_owned());
            assert_eq!(base.logs_url().unwrap().as_str(), want);
        }
        for bad in ["", "h:4318", "ftp://h", "http://"] {
            assert!(Endpoint::Base(bad.to_owned()).logs_url().is_err(), "{bad}");
            assert!(Endpoint::Whole(bad.to_owned()).logs_url().is_err(), "{bad}");
        }
        let whole = Endpoint::Whole("http://h:4318/other".to_owned());
        assert_eq!(whole.logs_url().unwrap().as_str(), "http://h:4318/other");
    }

    #[test]
    fn an_endpoint_is_shown_without_its_secrets_also_when_it_cannot_be_used() {
        let settings = CollectorSettings::plain("http://me:SECRET@h:1/p?key=SECRET");
        let collector = Collector::new(&settings).unwrap();
        assert_eq!(collector.shown(), "http://h:1/p/v1/logs?…");
        for bad in
            ["ftp://me:SECRET@h", "http://me:SECRET@h:port/", "me:SECRET@h", "http://@?SECRET"]
        {
            let error = Collector::new(&CollectorSettings::plain(bad)).unwrap_err();
            assert_eq!(error.code(), "BAD_ENDPOINT", "{bad}");
            assert!(!error.to_string().contains("SECRET"), "{error}");
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
            let more_headers = vec![bad.replace("%0A", "x\n")];
            let settings =
                CollectorSettings { more_headers, ..CollectorSettings::plain("http://h") };
            let error = Collector::new(&settings).unwrap_err();
            assert_eq!(error.code(), "BAD_HEADER");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
