//! `tool.http_get` fetches an endpoint of the allow list.
//!
//! * **H1** The URL is held against the list before anything is resolved, and every address it resolves to
//!   is held against the reach of the list before anything is connected (rules N1, N2 of
//!   [`AllowList`]).
//! * **H2** The name is resolved once, and the connection knows the checked addresses alone: a name that
//!   resolves to something else a moment later changes nothing.
//! * **H3** One request is sent, once. Redirects are not followed: the answer is returned with its status
//!   and `location`, and following it is another call, which is decided and held against the list again.
//! * **H4** Time, length and headers of an answer are bounded, whatever the server says about them. Nothing
//!   is unpacked: a compressed body is returned as it came.
//! * **H5** Nothing that was not asked for is sent: no credentials, no cookies, no proxy of the
//!   environment.
//!
//! Every call has a client and a connection of its own. A shared pool would hand a connection that one
//! check opened to a call with another check.

use std::{error::Error as _, net::SocketAddr, sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use reqwest::{Client, Response, header::LOCATION, redirect::Policy};
use serde_json::{Map, Value, json};
use tokio::time::timeout;
use url::Url;

use self::lookup::{MachineLookup, Pinned};
use super::{Tool, ToolCall, ToolError, ToolErrorCode, ToolFuture, only_text};
use crate::allow_list::{AllowList, Reach};

mod lookup;

pub use lookup::{Lookup, LookupFuture};

/// Longest time to a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time of a lookup, the wait for a free one included.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// Most addresses of a name that are tried.
const ADDRESSES_MAX: usize = 16;

/// Fetches endpoints of an allow list.
#[derive(Clone, Debug)]
pub struct HttpGet {
    allowed: AllowList,
    tls: rustls::ClientConfig,
    timeout: Duration,
    lookup: Arc<dyn Lookup>,
}

impl HttpGet {
    /// Most bytes of the body of an answer.
    pub const BODY_LEN_MAX: usize = 1 << 20;
    /// Longest time of a call unless the embedder says otherwise.
    pub const TIMEOUT: Duration = Duration::from_secs(20);
    /// Most bytes of a URL.
    pub const URL_LEN_MAX: usize = 8 << 10;

    /// Makes the tool for an allow list.
    pub fn new(allowed: AllowList) -> Self {
        Self {
            allowed,
            tls: tls::client_config().config,
            timeout: Self::TIMEOUT,
            lookup: Arc::new(MachineLookup::default()),
        }
    }

    /// Bounds a call. The limit of the runtime counts too, if it is the smaller one.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Replaces the resolver of the machine.
    #[must_use]
    pub fn with_lookup(self, lookup: impl Lookup + 'static) -> Self {
        Self { lookup: Arc::new(lookup), ..self }
    }

    async fn get(&self, endpoint: &str) -> Result<Value, ToolError> {
        let url = parse(endpoint)?;
        let reach =
            self.allowed.reach(&url).ok_or_else(|| refused(&url, "not in the allow list"))?;
        let addresses = self.resolve(&url, reach).await?;
        let client = self.client(&url, addresses).map_err(|error| failed(&error))?;
        let response = client.get(url).send().await.map_err(|error| failed(&error))?;
        read(response).await
    }

    async fn resolve(&self, url: &Url, reach: Reach) -> Result<Vec<SocketAddr>, ToolError> {
        let Some(name) = url.domain() else { return Ok(Vec::new()) };
        let port = url.port_or_known_default().unwrap_or_default();
        let code = ToolErrorCode::Failed;
        let found = timeout(LOOKUP_TIMEOUT, self.lookup.lookup(name)).await.map_err(|_| {
            let seconds = LOOKUP_TIMEOUT.as_secs();
            ToolError::new(ToolErrorCode::Timeout, format!("`{name}` not resolved in {seconds} s"))
        })?;
        let found = found
            .map_err(|error| ToolError::new(code, format!("cannot resolve `{name}`: {error}")))?;
        let taken = found.into_iter().filter(|it| reach.takes(*it)).take(ADDRESSES_MAX);
        let addresses: Vec<_> = taken.map(|it| SocketAddr::new(it, port)).collect();
        if addresses.is_empty() {
            return Err(refused(url, "it resolves to no address that may be reached"));
        }
        Ok(addresses)
    }

    /// The client of one call (H2, H3, H5).
    fn client(&self, url: &Url, addresses: Vec<SocketAddr>) -> reqwest::Result<Client> {
        // A URL with an address has no name; then no name is known at all.
        let name = url.domain().unwrap_or_default().to_owned();
        Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .dns_resolver(Arc::new(Pinned { name, addresses }))
            .no_proxy()
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_gzip()
            .no_brotli()
            .no_deflate()
            .no_zstd()
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
    }
}

impl Tool for HttpGet {
    fn kind(&self) -> &'static str {
        "tool.http_get"
    }

    fn schema(&self) -> Value {
        json!({
            "type": "object",
            "properties": {
                "endpoint": { "type": "string", "format": "uri", "maxLength": Self::URL_LEN_MAX },
            },
            "required": ["endpoint"],
            "additionalProperties": false,
        })
    }

    fn run<'a>(&'a self, call: &'a ToolCall) -> ToolFuture<'a> {
        Box::pin(async move {
            let endpoint = only_text(&call.params, "endpoint")?;
            let limit = call.time_for(self.timeout);
            timeout(limit, self.get(endpoint)).await.unwrap_or_else(|_| {
                let message = format!("no whole answer within {} s", limit.as_secs_f64());
                Err(ToolError::new(ToolErrorCode::Timeout, message))
            })
        })
    }
}

fn parse(endpoint: &str) -> Result<Url, ToolError> {
    if endpoint.len() > HttpGet::URL_LEN_MAX {
        let max = HttpGet::URL_LEN_MAX;
        return Err(super::bad(format!("`endpoint` has {} bytes, over {max}", endpoint.len())));
    }
    let url = Url::parse(endpoint)
        .map_err(|error| super::bad(format!("`endpoint` is not a URL: {error}")))?;
    if !url.username().is_empty() || url.password().is_some() {
        // What it is must not be repeated: the text goes to the log.
        return Err(super::bad("`endpoint` has a user or a password, pass none".to_owned()));
    }
    Ok(url)
}

async fn read(mut response: Response) -> Result<Value, ToolError> {
    let max = HttpGet::BODY_LEN_MAX;
    let too_long = || {
        let message = format!("the answer is longer than {max} bytes");
        ToolError::new(ToolErrorCode::OutputTooLarge, message)
    };
    if response.content_length().is_some_and(|it| it > max as u64) {
        return Err(too_long());
    }
    let mut output = Map::new();
    output.insert("status".to_owned(), response.status().as_u16().into());
    if let Some(location) = response.headers().get(LOCATION) {
        let location = String::from_utf8_lossy(location.as_bytes()).into_owned();
        output.insert("location".to_owned(), location.into());
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failed(&error))? {
        if body.len() + chunk.len() > max {
            return Err(too_long());
        }
        body.extend_from_slice(&chunk);
    }
    let (key, text) = match String::from_utf8(body) {
        Ok(text) => ("body", text),
        Err(error) => ("body_base64", BASE64_STANDARD.encode(error.as_bytes())),
    };
    output.insert(key.to_owned(), text.into());
    Ok(Value::Object(output))
}

fn refused(url: &Url, why: &str) -> ToolError {
    let origin = url.origin().ascii_serialization();
    ToolError::new(ToolErrorCode::EndpointNotAllowed, format!("endpoint {origin}: {why}"))
}

/// Prints the whole chain of causes: the outermost error of the client says little.
fn failed(error: &reqwest::Error) -> ToolError {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    let code = if error.is_timeout() { ToolErrorCode::Timeout } else { ToolErrorCode::Failed };
    ToolError::new(code, text)
}
