//! One question to a registry, and its answer (H1, H2, H3).

use std::{
    error::Error as _,
    future::Future,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use hyper::body::Bytes;
use reqwest::{
    Client, Method, Response, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, LOCATION},
    redirect::Policy,
};
use tokio::time::timeout;
use url::Url;

use crate::{
    RegistryError,
    oci::{
        address::{Address, shown},
        options::{Credentials, Limits, Options},
    },
};

/// Most redirects that one question follows.
const REDIRECTS_MAX: usize = 5;
/// Most challenges that one question answers.
const CHALLENGES_MAX: usize = 2;
/// Who asks.
const USER_AGENT: &str = concat!("autonomy/", env!("CARGO_PKG_VERSION"));

/// A client of one repository.
pub(super) struct Http {
    pub(super) client: Client,
    pub(super) address: Address,
    pub(super) limits: Limits,
    pub(super) credentials: Option<Credentials>,
    /// What was found to be accepted; for the registry itself alone (H3).
    authorization: Mutex<Option<HeaderValue>>,
}

/// A question.
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) url: Url,
    /// What it is called in errors.
    pub(super) what: String,
    pub(super) accept: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) body: Bytes,
    /// Whether it needs the right to write.
    pub(super) writes: bool,
}

impl Ask {
    pub(super) const fn new(method: Method, url: Url, what: String) -> Self {
        let body = Bytes::new();
        Self { method, url, what, accept: None, content_type: None, body, writes: false }
    }
}

impl Http {
    pub(super) fn new(address: Address, options: Options) -> Result<Self, RegistryError> {
        let client = Client::builder()
            .tls_backend_preconfigured(options.tls)
            .user_agent(USER_AGENT)
            .no_proxy()
            .referer(false)
            .redirect(Policy::none())
            .connect_timeout(options.limits.connect)
            .build()
            .map_err(|error| RegistryError::Unreachable {
                place: address.place(),
                text: chain(error),
            })?;
        let (limits, credentials) = (options.limits, options.credentials);
        Ok(Self { client, address, limits, credentials, authorization: Mutex::new(None) })
    }

    /// Bounds everything that is not the stream of a content (H1).
    pub(super) async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, RegistryError>>,
    ) -> Result<T, RegistryError> {
        self.wait(self.limits.answer, work).await?
    }

    /// Waits for `work`, and no longer than `patience`.
    pub(super) async fn wait<T>(
        &self,
        patience: Duration,
        work: impl Future<Output = T>,
    ) -> Result<T, RegistryError> {
        let late =
            |_| self.unreachable(&format!("nothing came within {} ms", patience.as_millis()));
        timeout(patience, work).await.map_err(late)
    }

    /// Asks, answers challenges, follows redirects. The body of the answer is not read.
    pub(super) async fn send(&self, ask: &Ask) -> Result<Response, RegistryError> {
        let mut url = ask.url.clone();
        let (mut challenges, mut redirects) = (0, 0);
        loop {
            let response = self.once(ask, &url).await?;
            let status = response.status();
            if status == StatusCode::UNAUTHORIZED
                && self.address.is_home(&url)
                && challenges < CHALLENGES_MAX
            {
                challenges += 1;
                let answer = self.answer(response.headers(), ask).await?;
                *self.authorization.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
                continue;
            }
            if !follows(status) {
                return Ok(response);
            }
            redirects += 1;
            url = self.target(ask, &response, redirects)?;
        }
    }

    async fn once(&self, ask: &Ask, url: &Url) -> Result<Response, RegistryError> {
        let mut request = self.client.request(ask.method.clone(), url.clone());
        if let Some(accept) = &ask.accept {
            request = request.header(ACCEPT, accept);
        }
        if let Some(content_type) = &ask.content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        if let Some(value) = self.authorization_for(url) {
            request = request.header(AUTHORIZATION, value);
        }
        if ask.writes {
            request = request.body(ask.body.clone());
        }
        request.send().await.map_err(|error| self.failed(error))
    }

    /// H3.
    pub(super) fn authorization_for(&self, url: &Url) -> Option<HeaderValue> {
        let held = self.authorization.lock().unwrap_or_else(PoisonError::into_inner);
        held.clone().filter(|_| self.address.is_home(url))
    }

    fn target(
        &self,
        ask: &Ask,
        response: &Response,
        redirects: usize,
    ) -> Result<Url, RegistryError> {
        let reads = matches!(ask.method, Method::GET | Method::HEAD);
        // What is written goes where it was meant to go: a registry says where that is in the answer before.
        let target = self.location(response)?;
        if !reads {
            return Err(self.redirected(&target));
        }
        if redirects > REDIRECTS_MAX {
            let place = self.address.place();
            let target = format!("{} for the {redirects}th time", shown(&target));
            return Err(RegistryError::Redirect { place, target });
        }
        Ok(target)
    }

    /// Where an answer sends us, if we go there (H2).
    pub(super) fn location(&self, response: &Response) -> Result<Url, RegistryError> {
        let text = response.headers().get(LOCATION).and_then(|it| it.to_str().ok());
        let Some(target) = text.and_then(|it| response.url().join(it).ok()) else {
            let what = format!("an answer {} of {}", response.status(), self.address.place());
            let text = "it names no place to go to".to_owned();
            return Err(RegistryError::Malformed { what, text });
        };
        let goes = self.address.may_go(response.url(), &target);
        if goes { Ok(target) } else { Err(self.redirected(&target)) }
    }

    /// Reads an answer of at most `limit` bytes (H1).
    pub(super) async fn bounded(
        &self,
        mut response: Response,
        limit: u64,
        what: &str,
    ) -> Result<Vec<u8>, RegistryError> {
        let too_long = || RegistryError::TooLong { what: what.to_owned(), limit };
        if response.content_length().is_some_and(|it| it > limit) {
            return Err(too_long());
        }
        let mut bytes = Vec::new();
        while let Some(piece) = self.piece(&mut response, self.limits.idle).await? {
            if (bytes.len() + piece.len()) as u64 > limit {
                return Err(too_long());
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    /// The next piece of a body.
    pub(super) async fn piece(
        &self,
        response: &mut Response,
        patience: Duration,
    ) -> Result<Option<Bytes>, RegistryError> {
        self.wait(patience, response.chunk()).await?.map_err(|error| self.failed(error))
    }

    pub(super) fn unreachable(&self, text: &str) -> RegistryError {
        RegistryError::Unreachable { place: self.address.place(), text: text.to_owned() }
    }

    pub(super) fn failed(&self, error: reqwest::Error) -> RegistryError {
        self.unreachable(&chain(error))
    }

    pub(super) fn refused(&self, status: StatusCode, what: &str) -> RegistryError {
        let (place, status) = (self.address.place(), status.as_u16());
        RegistryError::Refused { place, status, what: what.to_owned() }
    }

    pub(super) fn redirected(&self, target: &Url) -> RegistryError {
        RegistryError::Redirect { place: self.address.place(), target: shown(target) }
    }
}

fn follows(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// The chain of causes, without the URL and what may be secret in it.
fn chain(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(it) = cause {
        text = format!("{text}: {it}");
        cause = it.source();
    }
    text
}
