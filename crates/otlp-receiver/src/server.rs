//! Routes, start, stop.
//!
//! | route          | answer                                                                      |
//! |----------------|-----------------------------------------------------------------------------|
//! | `POST /v1/logs`| `ExportLogsServiceResponse` in the encoding of the request                    |
//! | `GET /health`  | `{"status":"ok"}`; 503 with the cause when records cannot be kept any more    |

use std::{
    future::Future,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use jiff::Timestamp;
use otlp::{Encoding, PartialSuccess};
use serde_json::json;
use thiserror::Error;
use tokio::{net::TcpListener, sync::Semaphore, task};

use crate::{
    Config, Keep, KeepError, Limits, Loss,
    forward::{ForwardError, Forwarder, Refused, Stopped, summary},
    intake::{self, Compression},
    keep::Keeper,
    line,
    received::{Received, receive},
    refusal::Refusal,
};

/// What every handler can reach.
struct App {
    keeper: Mutex<Keeper>,
    /// Why nothing can be kept any more; beside the keeper, which is locked while it syncs.
    broken: OnceLock<String>,
    forward: Option<(Forwarder, Loss)>,
    /// Whether the last request could not be forwarded: only the first failure is worth a warning.
    cut_off: AtomicBool,
    slots: Semaphore,
    limits: Limits,
}

/// Listens on an address; port 0 lets the system choose.
///
/// # Errors
///
/// [`BindError`] when the address cannot be had.
pub async fn bind(addr: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(addr).await.map_err(|source| BindError { addr, source })
}

/// Serves on `listener` until `shutdown` ends, then finishes what runs.
///
/// # Errors
///
/// [`ServeError`] when the receiver does not start.
pub async fn serve(
    listener: TcpListener,
    config: Config,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let addr = listener.local_addr().map_err(ServeError::Listener)?;
    if matches!(config.keep, Keep::Nothing) && config.forward.is_none() {
        tracing::warn!("records are neither kept nor forwarded: they are lost when they arrive");
    }
    let forward = match &config.forward {
        Some(forward) => Some((Forwarder::new(forward)?, forward.loss)),
        None => None,
    };
    let app = Arc::new(App {
        keeper: Mutex::new(Keeper::open(config.keep)?),
        broken: OnceLock::new(),
        forward,
        cut_off: AtomicBool::new(false),
        slots: Semaphore::new(config.limits.requests),
        limits: config.limits.clone(),
    });
    let name = config.name;
    tracing::info!(%addr, "{name} listening");
    let bounds = connections::Bounds {
        connections: config.limits.connections,
        head_timeout: config.limits.head_timeout,
        grace: config.limits.shutdown_grace,
        ..connections::Bounds::STANDARD
    };
    connections::serve(listener, router(app), &bounds, shutdown).await;
    tracing::info!(%addr, "{name} stopped");
    Ok(())
}

fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/v1/logs", post(logs))
        .route("/health", get(health))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(app)
}

async fn not_found(uri: Uri) -> Response {
    Refusal::NotFound { path: uri.path().to_owned() }.into_response(None)
}

async fn method_not_allowed(method: Method, uri: Uri) -> Response {
    let (method, path) = (method.to_string(), uri.path().to_owned());
    Refusal::MethodNotAllowed { method, path }.into_response(None)
}

async fn health(State(app): State<Arc<App>>) -> Response {
    match app.broken.get() {
        None => Json(json!({"status": "ok"})).into_response(),
        Some(error) => {
            let body = Json(json!({"status": "failed", "error": error}));
            (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
        }
    }
}

async fn logs(State(app): State<Arc<App>>, request: Request) -> Response {
    let encoding = match intake::encoding(request.headers()) {
        Ok(encoding) => encoding,
        Err(refusal) => return refusal.into_response(None),
    };
    match take(&app, request, encoding).await {
        Ok(refused) => accepted(&refused, encoding),
        Err(refusal) => refusal.into_response(Some(encoding)),
    }
}

/// Takes in one request (S1); returns the events that the control plane refuses.
async fn take(
    app: &Arc<App>,
    request: Request,
    encoding: Encoding,
) -> Result<Vec<Refused>, Refusal> {
    let Ok(_slot) = app.slots.try_acquire() else {
        return Err(Refusal::Overloaded { limit: app.limits.requests });
    };
    let compression = intake::compression(request.headers())?;
    let (parts, body) = request.into_parts();
    let body = intake::read(&parts.headers, body, &app.limits).await?;
    let work = {
        let app = Arc::clone(app);
        move || app.decode_and_keep(body, compression, encoding)
    };
    let received = task::spawn_blocking(work)
        .await
        .map_err(|error| Refusal::Internal { reason: error.to_string() })??;
    app.forward(&received).await
}

impl App {
    fn decode_and_keep(
        &self,
        body: Bytes,
        compression: Compression,
        encoding: Encoding,
    ) -> Result<Vec<Received>, Refusal> {
        let groups = intake::decode(body, compression, encoding, &self.limits.request)?;
        let received = receive(groups, Timestamp::now());
        self.keep(&received)?;
        Ok(received)
    }

    fn keep(&self, received: &[Received]) -> Result<(), Refusal> {
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        if !keeper.is_needed() || received.is_empty() {
            return Ok(());
        }
        let mut lines = Vec::new();
        for it in received {
            line::write(it, &mut lines);
        }
        keeper.append(&lines).map_err(|reason| {
            tracing::error!(error = reason, records = received.len(), "records not kept");
            if let Some(cause) = keeper.broken() {
                self.broken.get_or_init(|| cause.to_owned());
            }
            Refusal::NotKept { reason }
        })
    }

    async fn forward(&self, received: &[Received]) -> Result<Vec<Refused>, Refusal> {
        let Some((forwarder, loss)) = &self.forward else { return Ok(Vec::new()) };
        let stopped = match forwarder.send(received).await {
            Ok(refused) => {
                if self.cut_off.swap(false, Ordering::Relaxed) {
                    tracing::info!("control plane takes events again");
                }
                if !refused.is_empty() {
                    let (count, error) = (refused.len(), summary(&refused));
                    tracing::warn!(count, error, "control plane refused events");
                }
                return Ok(if *loss == Loss::Accepted { Vec::new() } else { refused });
            }
            Err(stopped) => stopped,
        };
        let (reason, refusal) = match stopped {
            Stopped::Unavailable { reason } => (reason.clone(), Refusal::NotForwarded { reason }),
            Stopped::TooManyRefused { limit, reason } => {
                (reason.clone(), Refusal::TooManyRefused { limit, reason })
            }
        };
        let events = received.len();
        if *loss == Loss::Accepted {
            tracing::error!(events, error = reason, "events lost: not forwarded");
            return Ok(Vec::new());
        }
        // Senders come back every second or so; one line says it until it is over.
        if self.cut_off.swap(true, Ordering::Relaxed) {
            tracing::debug!(events, error = reason, "events not forwarded");
        } else {
            tracing::error!(events, error = reason, "events not forwarded; senders keep them");
        }
        Err(refusal)
    }
}

fn accepted(refused: &[Refused], encoding: Encoding) -> Response {
    let partial = (!refused.is_empty())
        .then(|| PartialSuccess { rejected: refused.len() as u64, message: summary(refused) });
    let body = otlp::encode_response(partial.as_ref(), encoding);
    let content_type = HeaderValue::from_static(encoding.content_type());
    ([(header::CONTENT_TYPE, content_type)], body).into_response()
}

/// The address cannot be listened on.
#[derive(Debug, Error)]
#[error("cannot listen on {addr}: {source}")]
pub struct BindError {
    /// The address.
    pub addr: SocketAddr,
    /// What the operating system reports.
    pub source: io::Error,
}

impl BindError {
    /// Returns what to do next.
    pub fn hint(&self) -> &'static str {
        match self.source.kind() {
            io::ErrorKind::AddrInUse => {
                "another process listens there: stop it, or choose another port (0 lets the system choose)"
            }
            io::ErrorKind::AddrNotAvailable => "choose an address of this machine",
            io::ErrorKind::PermissionDenied => "choose a port above 1023",
            _ => "choose another address",
        }
    }
}

/// Why the receiver did not start.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The listener does not know its address.
    #[error("listener: {0}")]
    Listener(#[source] io::Error),
    /// Records cannot be kept.
    #[error(transparent)]
    Keep(#[from] KeepError),
    /// Records cannot be forwarded.
    #[error(transparent)]
    Forward(#[from] ForwardError),
}

impl ServeError {
    /// Returns what to do next.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Listener(_) => "start again",
            Self::Keep(error) => error.hint(),
            Self::Forward(error) => error.hint(),
        }
    }
}
