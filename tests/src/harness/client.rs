//! HTTP, as an agent or an operator would use it.

use std::{future::Future, time::Duration};

use anyhow::{Context as _, Result};
use api::tool::ToolResponse;
use serde_json::{Value, json};

/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_mins(1);

/// A client that waits for its answers.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    executor: tokio::runtime::Runtime,
}

impl Client {
    /// Makes a client.
    ///
    /// # Errors
    ///
    /// When the machine has no resources for one.
    pub fn new() -> Result<Self> {
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::client_config().config)
            .no_proxy()
            .timeout(TIMEOUT)
            .build()?;
        let executor =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        Ok(Self { http, executor })
    }

    /// Runs a future to its end.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.executor.block_on(future)
    }

    /// Runs a future beside everything else.
    pub fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.executor.spawn(future)
    }

    /// The client underneath, for many requests at once.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Fetches a text.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub fn get(&self, url: &str) -> Result<(u16, String)> {
        self.block_on(async {
            let response = self.http.get(url).send().await.with_context(|| url.to_owned())?;
            Ok((response.status().as_u16(), response.text().await?))
        })
    }

    /// Fetches JSON.
    ///
    /// # Errors
    ///
    /// When there is no answer or it is not JSON.
    pub fn get_json(&self, url: &str) -> Result<Value> {
        let (_, text) = self.get(url)?;
        serde_json::from_str(&text).with_context(|| format!("{url}: {text}"))
    }

    /// Sends a body.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub fn post(&self, url: &str, body: impl Into<reqwest::Body>) -> Result<(u16, String)> {
        self.block_on(async {
            let request = self.http.post(url).header("content-type", "application/json").body(body);
            let response = request.send().await.with_context(|| url.to_owned())?;
            Ok((response.status().as_u16(), response.text().await?))
        })
    }

    /// Calls a tool and returns the status and the answer.
    ///
    /// # Errors
    ///
    /// When there is no answer or it is not one of the runtime.
    pub fn tool(&self, runtime: &str, kind: &str, params: &Value) -> Result<(u16, ToolResponse)> {
        let body = json!({ "kind": kind, "params": params }).to_string();
        let (status, text) = self.post(&format!("{runtime}/v1/tool"), body)?;
        Ok((status, serde_json::from_str(&text).with_context(|| text.clone())?))
    }
}
