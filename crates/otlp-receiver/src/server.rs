//! `POST /v1/logs` and `GET /health`; start and end.
//!
//! | what happened                                 | answer                                         |
//! |-----------------------------------------------|------------------------------------------------|
//! | kept, and taken by the control plane            | 200                                              |
//! | some events refused by it for good              | 200, partial success with their count             |
//! | not taken by it                                 | 503, `Retry-After`                                |
//! | not kept                                        | 503, `Retry-After`                                |
//! | too many requests at once                       | 503, `Retry-After`                                |
//! | body too long                                   | 413                                              |
//! | content type or encoding not known              | 415                                              |
//! | body is not an export request                   | 400                                              |
//! | another method                                  | 405                                              |
//!
//! Every error carries a `Status` in the encoding of the request (OTLP/HTTP, "Failures").

use std::{
    future::{Future, IntoFuture as _},
    io,
    sync::Arc,
    time::Duration,
};

use api::control::ControlEvent;
use axum::{
    Router,
    body::Body,
    extract::State,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CONTENT_TYPE, RETRY_AFTER},
    },
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use otlp::{
    Encoding, Limits, PartialSuccess, StatusCode as RpcCode, decode, encode_response, encode_status,
};
use thiserror::Error;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, oneshot},
    time::sleep,
};

use crate::{
    body::{self, BodyError},
    control_event,
    forward::{ForwardUrlError, Forwarder},
    keep::{Keep, Keeper},
};

/// Requests at once; one more is answered with 503. Bounds the memory for bodies.
const REQUESTS_MAX: usize = 16;
/// Seconds after which a sender may try again.
const RETRY_AFTER_SECONDS: &str = "2";
/// Time for requests in work after the end was asked for.
const GRACE: Duration = Duration::from_secs(20);

/// What a receiver does with records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where records are kept.
    pub keep: Keep,
    /// Where events are forwarded to: the full URL of `POST /v1/events`.
    pub forward_url: Option<String>,
    /// Answer success although the control plane has not taken the events.
    pub lossy: bool,
    /// Most bytes of a body, before and after decompression.
    pub max_body: usize,
}

impl Config {
    /// Most bytes of a body unless the operator says otherwise.
    pub const MAX_BODY: usize = Limits::STANDARD.bytes;
}

/// Why a receiver did not start or ended early.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The control plane cannot be addressed.
    #[error(transparent)]
    ForwardUrl(#[from] ForwardUrlError),
    /// The file cannot be written.
    #[error("{0}")]
    Keep(String),
    /// The listener failed.
    #[error("cannot serve: {0}")]
    Listener(#[source] io::Error),
}

#[derive(Clone, Debug)]
struct App {
    keeper: Arc<Keeper>,
    forwarder: Option<Arc<Forwarder>>,
    lossy: bool,
    limits: Limits,
    permits: Arc<Semaphore>,
}

/// Serves until `shutdown` completes, then finishes the requests in work.
///
/// # Errors
///
/// [`ServeError`]; a file that cannot be written is noticed before the first request.
pub async fn serve(
    listener: TcpListener,
    config: Config,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let keeper = Arc::new(Keeper::new(config.keep));
    // An empty append creates the file and shows that it can be written.
    keep(&keeper, Vec::new()).await.map_err(ServeError::Keep)?;
    let forwarder = config.forward_url.as_deref().map(Forwarder::new).transpose()?;
    let app = App {
        keeper,
        forwarder: forwarder.map(Arc::new),
        lossy: config.lossy,
        limits: Limits { bytes: config.max_body, ..Limits::STANDARD },
        permits: Arc::new(Semaphore::new(REQUESTS_MAX)),
    };
    let router = Router::new()
        .route("/v1/logs", post(logs).fallback(other_method))
        .route("/health", get(health))
        .with_state(app);
    let addr = listener.local_addr().map_err(ServeError::Listener)?;
    tracing::info!(%addr, forward_url = config.forward_url, "otel-sink listening");
    let (ending, ended) = oneshot::channel::<()>();
    let shutdown = async move {
        shutdown.await;
        // Nobody listens any more when serving has ended for another reason.
        ending.send(()).ok();
    };
    let served = axum::serve(listener, router).with_graceful_shutdown(shutdown).into_future();
    // A peer that never finishes its request must not keep the process alive.
    let grace = async {
        ended.await.ok();
        sleep(GRACE).await;
    };
    tokio::select! {
        served = served => served.map_err(ServeError::Listener)?,
        () = grace => tracing::warn!("connections left open at the end of the grace period"),
    }
    tracing::info!("otel-sink stopped");
    Ok(())
}

async fn health() -> &'static str {
    r#"{"status":"ok"}"#
}

async fn other_method() -> Response {
    let text = "logs are exported by POST";
    let mut response =
        failure(StatusCode::METHOD_NOT_ALLOWED, RpcCode::Unimplemented, text, Encoding::Json);
    response.headers_mut().insert("allow", HeaderValue::from_static("POST"));
    response
}

async fn logs(State(app): State<App>, headers: HeaderMap, body: Body) -> Response {
    let content_type = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let Some(encoding) = content_type.and_then(Encoding::from_content_type) else {
        let found = content_type.unwrap_or("none");
        let text = format!(
            "content type `{found}` is not known (application/x-protobuf or application/json)"
        );
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return failure(status, RpcCode::InvalidArgument, &text, Encoding::Json);
    };
    let Ok(_permit) = app.permits.try_acquire() else {
        return busy("too many requests at once", encoding);
    };
    match body::read(&headers, body, app.limits.bytes).await {
        Ok(body) => export(&app, &body, encoding).await,
        Err(error) => {
            let status = match &error {
                BodyError::TooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                BodyError::UnknownEncoding { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
                BodyError::Unreadable { .. } => StatusCode::BAD_REQUEST,
            };
            failure(status, RpcCode::InvalidArgument, &error.to_string(), encoding)
        }
    }
}

async fn export(app: &App, body: &[u8], encoding: Encoding) -> Response {
    let groups = match decode(body, encoding, &app.limits) {
        Ok(groups) => groups,
        Err(error) => {
            let text = error.to_string();
            return failure(StatusCode::BAD_REQUEST, RpcCode::InvalidArgument, &text, encoding);
        }
    };
    let events: Vec<ControlEvent> = groups
        .iter()
        .flat_map(|group| group.records.iter().map(|it| control_event(&group.resource, it)))
        .collect();
    if let Err(text) = keep(&app.keeper, events.clone()).await {
        tracing::error!(error = text, "records not kept");
        return busy(&text, encoding);
    }
    let Some(forwarder) = &app.forwarder else { return success(None, encoding) };
    match forwarder.send(&events).await {
        Ok(taken) if taken.refused == 0 => success(None, encoding),
        Ok(taken) => {
            tracing::warn!(refused = taken.refused, error = taken.text, "events refused");
            let partial = PartialSuccess { rejected: taken.refused, message: taken.text };
            success(Some(&partial), encoding)
        }
        Err(error) if app.lossy => {
            let lost = events.len();
            tracing::warn!(lost, error = %error, "events lost, as --lossy allows");
            success(None, encoding)
        }
        Err(error) => {
            tracing::warn!(events = events.len(), error = %error, "events not forwarded");
            busy(&error.to_string(), encoding)
        }
    }
}

/// Writing waits for the disk, so it has a thread of its own.
async fn keep(keeper: &Arc<Keeper>, events: Vec<ControlEvent>) -> Result<(), String> {
    let keeper = Arc::clone(keeper);
    let written = tokio::task::spawn_blocking(move || keeper.write(&events)).await;
    written.unwrap_or_else(|error| Err(error.to_string()))
}

fn success(partial: Option<&PartialSuccess>, encoding: Encoding) -> Response {
    typed(StatusCode::OK, encode_response(partial, encoding), encoding)
}

fn busy(text: &str, encoding: Encoding) -> Response {
    let mut response =
        failure(StatusCode::SERVICE_UNAVAILABLE, RpcCode::Unavailable, text, encoding);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
    response
}

fn failure(status: StatusCode, code: RpcCode, text: &str, encoding: Encoding) -> Response {
    typed(status, encode_status(code, text, encoding), encoding)
}

fn typed(status: StatusCode, body: Vec<u8>, encoding: Encoding) -> Response {
    let content_type = HeaderValue::from_static(encoding.content_type());
    (status, [(CONTENT_TYPE, content_type)], body).into_response()
}
