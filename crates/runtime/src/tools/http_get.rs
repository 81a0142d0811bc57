//! `tool.http_get` fetches an endpoint of the allow list.
//!
//! * The URL is held against the list before anything is resolved, and every address it resolves to
//!   is held against the reach of the list before anything is connected (rules N1, N2 of
//!   [`AllowList`]). The connection uses the addresses that were checked.
//! * Redirects are not followed: the answer is returned with its status and `location`.
//! * Proxies of the environment are not used; they would see and reach what the list forbids.

use std::{error::Error as _, net::SocketAddr, time::Duration};

use reqwest::{Client, Response, header::LOCATION, redirect::Policy};
use serde_json::{Map, Value, json};
use url::Url;

use super::{Tool, ToolCall, ToolError, ToolErrorCode, ToolFuture, only_text};
use crate::allow_list::{AllowList, Reach};

/// Most bytes of an answer.
const BODY_LEN_MAX: usize = 1 << 20;
/// Longest time to a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time of a whole request.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Fetches endpoints of an allow list.
#[derive(Clone, Debug)]
pub struct HttpGet {
    allowed: AllowList,
    tls: rustls::ClientConfig,
}

impl HttpGet {
    /// Makes the tool for an allow list.
    pub fn new(allowed: AllowList) -> Self {
        Self { allowed, tls: tls::client_config().config }
    }

    async fn get(&self, endpoint: &str) -> Result<Value, ToolError> {
        let url = Url::parse(endpoint)
            .map_err(|error| super::bad(format!("`endpoint` is not a URL: {error}")))?;
        let reach =
            self.allowed.reach(&url).ok_or_else(|| refused(&url, "not in the allow list"))?;
        let addresses = resolve(&url, reach).await?;
        let client = self.client(&url, &addresses).map_err(|error| failed(&error))?;
        let response = client.get(url).send().await.map_err(|error| failed(&error))?;
        read(response).await
    }

    /// One client a call: it knows the checked addresses of this one host and nothing else.
    fn client(&self, url: &Url, addresses: &[SocketAddr]) -> reqwest::Result<Client> {
        let builder = Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .no_proxy()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT);
        match url.domain() {
            Some(name) => builder.resolve_to_addrs(name, addresses).build(),
            None => builder.build(),
        }
    }
}

impl Tool for HttpGet {
    fn kind(&self) -> &'static str {
        "tool.http_get"
    }

    fn schema(&self) -> Value {
        json!({
            "type": "object",
            "properties": { "endpoint": { "type": "string", "format": "uri" } },
            "required": ["endpoint"],
            "additionalProperties": false,
        })
    }

    fn run<'a>(&'a self, call: &'a ToolCall) -> ToolFuture<'a> {
        Box::pin(async move { self.get(only_text(&call.params, "endpoint")?).await })
    }
}

async fn resolve(url: &Url, reach: Reach) -> Result<Vec<SocketAddr>, ToolError> {
    let Some(name) = url.domain() else { return Ok(Vec::new()) };
    let port = url.port_or_known_default().unwrap_or_default();
    let found = tokio::net::lookup_host((name, port)).await.map_err(|error| {
        ToolError::new(ToolErrorCode::Failed, format!("cannot resolve `{name}`: {error}"))
    })?;
    let addresses: Vec<_> = found.filter(|it| reach.takes(it.ip())).collect();
    if addresses.is_empty() {
        return Err(refused(url, "it resolves to no address that may be reached"));
    }
    Ok(addresses)
}

async fn read(mut response: Response) -> Result<Value, ToolError> {
    let status = response.status().as_u16();
    let location = response.headers().get(LOCATION).and_then(|it| it.to_str().ok());
    let location = location.map(str::to_owned);
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failed(&error))? {
        if body.len() + chunk.len() > BODY_LEN_MAX {
            let message = format!("the answer is longer than {BODY_LEN_MAX} bytes");
            return Err(ToolError::new(ToolErrorCode::OutputTooLarge, message));
        }
        body.extend_from_slice(&chunk);
    }
    let body = String::from_utf8(body).map_err(|_| {
        ToolError::new(ToolErrorCode::Failed, "the answer is not UTF-8 text".to_owned())
    })?;
    let mut output = Map::from_iter([
        ("status".to_owned(), Value::from(status)),
        ("body".to_owned(), Value::from(body)),
    ]);
    if let Some(location) = location {
        output.insert("location".to_owned(), Value::from(location));
    }
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
