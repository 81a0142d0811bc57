//! The control plane, as a command sees it.
//!
//! | module     | what it holds                                                        |
//! |------------|----------------------------------------------------------------------|
//! | `place`    | base URL and routes                                                  |
//! | `exchange` | one question and its answer over HTTP                                |
//! | `answer`   | what an answer that is not the wanted one means                      |
//! | `asked`    | who was asked, for messages about somebody else                       |
//! | `sse`      | events out of a stream of bytes                                      |
//! | `stream`   | a stream that is followed                                            |
//! | `pages`    | lists that come in pages                                             |
//!
//! # Invariants
//!
//! * **Q1** Success is an answer with a status 2xx whose body was read whole and is of the type that was
//!   asked for. Anything else is a failure.
//! * **Q2** Every change carries an `Idempotency-Key`. When the connection breaks after it was sent, it is
//!   sent once more under the same key; the control plane does it once. When a request of a change may have
//!   arrived, no later attempt takes that back: a failure says that it may have been done.
//! * **Q3** No proxy, no redirect, no answer longer than [`exchange::ANSWER_LEN_MAX`], none later than
//!   [`exchange::TIMEOUT`].
//! * **Q4** No message shows the token.

mod answer;
mod asked;
mod exchange;
mod pages;
mod place;
mod sse;
mod stream;

pub(crate) use answer::AskError;
pub(crate) use pages::{Page, follow};
pub(crate) use place::Route;
pub(crate) use sse::SseEvent;

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use api::{
    env,
    exit::Exit,
    token::{Token, TokenError},
};
use reqwest::{
    Client, Method, RequestBuilder,
    header::{AUTHORIZATION, HeaderMap, HeaderValue, IF_MATCH},
    redirect::Policy,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use uuid::Uuid;
use vfs::{OsVfs, read_whole};

use self::{
    answer::{Effect, foreign},
    asked::{Asked, Service},
    exchange::{Answer, CONNECT_TIMEOUT, TIMEOUT, exchange, parsed, request_name},
    place::{Base, BaseError},
};
use crate::{args::ControlArgs, context::Context, failure::Failure};

/// Code of a control plane that nobody names.
pub(crate) const NO_CONTROL_PLANE: &str = "NO_CONTROL_PLANE";
/// Code of a URL of a runtime that cannot be used.
pub(crate) const BAD_RUNTIME_URL: &str = "BAD_RUNTIME_URL";
/// Texts that a runtime says about itself.
const OF_RUNTIME: [&str; 2] = ["node", "mode"];
/// Texts that a control plane says about itself.
const OF_CONTROL_PLANE: [&str; 1] = ["status"];
/// Header that names whoever asks, where names count.
const OPERATOR: &str = "x-autonomy-operator";
/// Header that makes a change one that is done once (Q2).
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// A control plane that can be asked.
pub(crate) struct ControlPlane {
    executor: tokio::runtime::Runtime,
    client: Client,
    base: Base,
    /// What answers there.
    service: Service,
    /// Time for a whole question.
    timeout: Duration,
}

/// An answer to a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Changed<T> {
    /// What it says.
    pub(crate) value: T,
    /// Whether something was made that was not there before (201).
    pub(crate) created: bool,
}

impl ControlPlane {
    /// Prepares questions. Nothing is sent yet.
    pub(crate) fn new(args: &ControlArgs, context: Context<'_>) -> Result<Self, Failure> {
        let base = base(args, context)?;
        let headers = headers(&base, args.insecure_http, context)?;
        Self::with(base, headers, context)
    }

    /// Prepares questions to a service of this machine that must not learn who asks.
    pub(crate) fn without_identity(url: &str) -> Result<Self, Failure> {
        let base = Base::parse(url).map_err(|error| bad_base(&error))?;
        let nothing = |_: &str| None;
        Self::with(base, HeaderMap::new(), Context::new(&nothing, false))
    }

    /// The same for the runtime of a node, whose routes begin alike.
    pub(crate) fn of_runtime(url: &str) -> Result<Self, Failure> {
        let plane = Self::without_identity(url).map_err(|mut failure| {
            failure.message = failure.message.replace("control plane", "runtime");
            if failure.code == BaseError::CODE {
                BAD_RUNTIME_URL.clone_into(&mut failure.code);
            }
            failure
        })?;
        Ok(Self { service: Service::Runtime, ..plane })
    }

    /// A failure with the name of what was asked: a runtime that is not there is no control plane.
    fn told(&self, mut failure: Failure) -> Failure {
        if self.service == Service::Runtime && failure.exit == Exit::Unreachable {
            "RUNTIME_UNREACHABLE".clone_into(&mut failure.code);
            let hint =
                "start it (autonomy runtime start), or name another place: --runtime-url URL";
            failure.hint = Some(hint.to_owned());
        }
        failure
    }

    fn asked(&self) -> Asked {
        Asked { what: self.service, at: self.shown().to_owned(), root: self.base.root() }
    }

    fn with(base: Base, headers: HeaderMap, context: Context<'_>) -> Result<Self, Failure> {
        let material = if base.is_tls() { material(context)? } else { None };
        let tls = match material {
            None => tls::client_config().config,
            Some(it) => it.client_config().map_err(|error| bad_certificate(&error))?,
        };
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .default_headers(headers)
            .no_proxy()
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .map_err(|error| Failure::of(Exit::Usage, "HTTP_CLIENT", &error))?;
        let executor = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let executor = executor.map_err(|it| Failure::process(&it))?;
        Ok(Self { executor, client, base, service: Service::ControlPlane, timeout: TIMEOUT })
    }

    /// Its URL, fit for a message.
    pub(crate) fn shown(&self) -> &str {
        self.base.shown()
    }

    /// The same, with another time for a whole question.
    #[must_use]
    pub(crate) fn within(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Asks for a path that is no route, and returns what is answered with a status 2xx.
    pub(crate) fn plain(&self, path: &str) -> Result<Vec<u8>, Failure> {
        let url = self.base.path(path);
        let name = request_name(&Method::GET, &url);
        let request = self.client.get(url).build();
        let request = request.map_err(|it| Failure::of(Exit::Usage, "HTTP_CLIENT", &it))?;
        let asked = self.executor.block_on(exchange(&self.client, request, &name, self.timeout));
        let answer = asked.map_err(|it| self.told(it.into()))?;
        match answer.status {
            200..300 => Ok(answer.body),
            _ => Err(AskError::Refused(Box::new(answer.refused(name, &self.asked()))).into()),
        }
    }

    /// Asks for something.
    pub(crate) fn get<T: DeserializeOwned>(&self, route: &Route) -> Result<T, Failure> {
        Ok(self.ask(&Method::GET, route, |it| it).map_err(|it| self.told(it))?.0)
    }

    /// Asks whoever is there what it says about itself. One that says nothing of what one of ours says is
    /// somebody else, whatever its status.
    pub(crate) fn itself(&self) -> Result<Map<String, Value>, Failure> {
        let (route, texts) = match self.service {
            Service::ControlPlane => (Route::new("health"), OF_CONTROL_PLANE.as_slice()),
            Service::Runtime => (Route::new("status"), OF_RUNTIME.as_slice()),
        };
        let asked = self.answer(&Method::GET, &route, |it| it);
        let (name, answer) = asked.map_err(|it| self.told(it))?;
        let said = match answer.status {
            200..300 => serde_json::from_slice(&answer.body).unwrap_or_default(),
            _ => parsed::<Map<String, Value>>(name.clone(), &answer, &self.asked())?,
        };
        match texts.iter().find(|it| !said.get(**it).is_some_and(Value::is_string)) {
            None => Ok(said),
            Some(text) => {
                let said = format!("{name}: answered {} without `{text}`", answer.status);
                Err(foreign(Some(&self.asked()), &said))
            }
        }
    }

    /// The same; an answer with this status is one, too.
    pub(crate) fn get_also<T: DeserializeOwned>(
        &self,
        route: &Route,
        status: u16,
    ) -> Result<T, Failure> {
        let (name, answer) = self.answer(&Method::GET, route, |it| it)?;
        if answer.status == status
            && let Ok(value) = serde_json::from_slice(&answer.body)
        {
            return Ok(value);
        }
        Ok(parsed(name, &answer, &self.asked())?)
    }

    /// Changes something (Q2). `if_match` is the generation that the caller knows.
    pub(crate) fn change<T: DeserializeOwned>(
        &self,
        route: &Route,
        body: &impl Serialize,
        if_match: Option<u64>,
    ) -> Result<Changed<T>, Failure> {
        let key = Uuid::new_v4().to_string();
        let (value, status) = self.ask(&Method::POST, route, |request| {
            let request = request.header(IDEMPOTENCY_KEY, &key).json(body);
            match if_match {
                Some(generation) => request.header(IF_MATCH, format!("\"{generation}\"")),
                None => request,
            }
        })?;
        Ok(Changed { value, created: status == 201 })
    }

    /// Removes something (Q2). Only 204 says that it is gone.
    pub(crate) fn remove(&self, route: &Route) -> Result<(), Failure> {
        let key = Uuid::new_v4().to_string();
        let with_key = |it: RequestBuilder| it.header(IDEMPOTENCY_KEY, &key);
        let (request, answer) = self.answer(&Method::DELETE, route, with_key)?;
        match answer.status {
            204 => Ok(()),
            status if (200..300).contains(&status) => {
                let text = format!("it is {status} and not 204");
                Err(AskError::Unreadable { request, text, effect: Effect::Unknown }.into())
            }
            _ => Err(AskError::Refused(Box::new(answer.refused(request, &self.asked()))).into()),
        }
    }

    /// Follows a stream of events until `take` fails, the stream breaks, or SIGINT or SIGTERM comes.
    pub(crate) fn follow_events(
        &self,
        route: &Route,
        take: &mut dyn FnMut(SseEvent) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let url = self.url(route)?;
        let name = request_name(&Method::GET, &url);
        self.executor.block_on(stream::follow(self.client.get(url), name, take))
    }

    fn ask<T: DeserializeOwned>(
        &self,
        method: &Method,
        route: &Route,
        fill: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<(T, u16), Failure> {
        let (name, answer) = self.answer(method, route, fill)?;
        Ok((parsed(name, &answer, &self.asked())?, answer.status))
    }

    fn answer(
        &self,
        method: &Method,
        route: &Route,
        fill: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<(String, Answer), Failure> {
        let url = self.url(route)?;
        let name = request_name(method, &url);
        let request = fill(self.client.request(method.clone(), url)).build();
        let request = request.map_err(|it| Failure::of(Exit::Usage, "HTTP_CLIENT", &it))?;
        let answer =
            self.executor.block_on(exchange(&self.client, request, &name, self.timeout))?;
        Ok((name, answer))
    }

    fn url(&self, route: &Route) -> Result<reqwest::Url, Failure> {
        self.base.url(route).map_err(|error| {
            Failure::new(Exit::Usage, error.code(), error.to_string())
                .hint("names have 1 to 128 of A-Z a-z 0-9 . _ -")
        })
    }
}

/// The base URL: the option wins over the variable, and there is no default.
fn base(args: &ControlArgs, context: Context<'_>) -> Result<Base, Failure> {
    let text = args.orchestrator_url.clone().or_else(|| context.var(env::ORCHESTRATOR_URL));
    let text = text.ok_or_else(|| {
        let message = "nobody says where the control plane is";
        Failure::new(Exit::Usage, NO_CONTROL_PLANE, message).hint(format!(
            "autonomy config set orchestrator_url http://HOST:8888, or pass --orchestrator-url, or set {}",
            env::ORCHESTRATOR_URL
        ))
    })?;
    Base::parse(&text).map_err(|error| bad_base(&error))
}

/// Why a URL of a control plane or a runtime would be refused when it counts.
pub(crate) fn unusable_url(text: &str) -> Option<&'static str> {
    match Base::parse(text).err()? {
        BaseError::Url { .. } => Some("an http or https URL"),
        BaseError::Versioned { .. } => Some("the root, without `/v1`"),
        BaseError::Surplus { .. } => Some("a URL without a user, a query or a fragment"),
    }
}

fn bad_base(error: &BaseError) -> Failure {
    Failure::new(Exit::Usage, BaseError::CODE, error.to_string()).hint(match error {
        BaseError::Versioned { root, .. } => format!("the URL is the root, without a path: {root}"),
        _ => "pass http://HOST:PORT or https://HOST:PORT and nothing more".to_owned(),
    })
}

/// Who asks: token and name.
fn headers(base: &Base, insecure: bool, context: Context<'_>) -> Result<HeaderMap, Failure> {
    // What cannot be sent is not shown: it may be a secret (Q4).
    let unsendable = |name: &str| {
        let message = format!("{name} has a character that cannot be sent");
        Failure::new(Exit::Usage, "BAD_ENVIRONMENT", message)
    };
    let mut headers = HeaderMap::new();
    if let Some(operator) = context.var(env::OPERATOR) {
        let value = HeaderValue::from_bytes(operator.as_bytes());
        headers.insert(OPERATOR, value.map_err(|_| unsendable(env::OPERATOR))?);
    }
    let Some(token) = token(context)? else { return Ok(headers) };
    let bearer = if insecure { Ok(token.even_in_clear()) } else { base.bearer(&token) };
    let bearer = bearer.map_err(|error| {
        unsent(error).hint("use https, or pass --insecure-http if nobody else is on that network")
    })?;
    let value = HeaderValue::from_str(&bearer);
    let mut value = value.map_err(|_| unsendable(env::TOKEN))?;
    value.set_sensitive(true);
    headers.insert(AUTHORIZATION, value);
    Ok(headers)
}

/// The secret that proves who asks (Q4).
pub(crate) fn token(context: Context<'_>) -> Result<Option<Token>, Failure> {
    context.var(env::TOKEN).map(|it| Token::new(&it)).transpose().map_err(unsent)
}

fn unsent(error: TokenError) -> Failure {
    Failure::new(Exit::Usage, error.code(), error.to_string()).hint(error.hint())
}

/// Whom is trusted, and what is shown, where that is not as the machine has it.
pub(crate) fn material(context: Context<'_>) -> Result<Option<tls::Material>, Failure> {
    let path = |name: &str| context.var(name).map(PathBuf::from);
    let files = tls::Files {
        authorities: path(env::CA_FILE),
        certificate: path(env::CLIENT_CERTIFICATE),
        key: path(env::CLIENT_KEY),
    };
    files.read(&read_pem).map_err(|error| bad_certificate(&error))
}

fn bad_certificate(error: &dyn std::error::Error) -> Failure {
    Failure::of(Exit::Usage, "BAD_CERTIFICATE", error).hint(format!(
        "{}, {} and {} name files in PEM",
        env::CA_FILE,
        env::CLIENT_CERTIFICATE,
        env::CLIENT_KEY
    ))
}

fn read_pem(path: &Path) -> io::Result<Vec<u8>> {
    read_whole(&OsVfs, path, tls::PEM_LEN_MAX)?.ok_or_else(|| io::ErrorKind::NotFound.into())
}

#[cfg(test)]
mod tests;
