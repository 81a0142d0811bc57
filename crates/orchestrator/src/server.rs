//! The HTTP service: routes, start, stop.
//!
//! | module        | what it holds                                                     |
//! |---------------|-------------------------------------------------------------------|
//! | `refusal`     | every error answer: status, code, text                            |
//! | `body`        | reading a request body within its bounds                          |
//! | `connections` | accepting, bounds on slow clients, ending in order                |
//! | `stalled`     | a stream that gives up on a client that does not read             |
//! | `error`       | why the service did not start or ended early                      |
//!
//! # Order
//!
//! Start: lock of the data directory, store, listener, log line `orchestrator listening`. Stop: listener, requests in
//! work, store. The service ends by itself when the store cannot be trusted (O5).

mod body;
mod connections;
mod error;
mod refusal;
mod stalled;

use std::{future::Future, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    http::{Method, Uri},
    middleware::{self, Next},
    response::Response,
    routing::get,
};
use serde_json::json;
use tokio::{net::TcpListener, sync::Semaphore, task, time::timeout};

use crate::{
    config::{Config, Limits},
    events,
    store::{DataDir, Store},
};
pub(crate) use body::read_body;
pub use error::ServeError;
pub(crate) use refusal::{Refusal, json_response};

/// What every handler can reach.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) store: Arc<Store>,
    pub(crate) limits: Arc<Limits>,
    slots: Arc<Semaphore>,
}

/// Opens the store, listens on `config.listen`, and serves until `shutdown` ends.
///
/// # Errors
///
/// [`ServeError`] when the service does not start, or ends before `shutdown` does.
pub async fn run(
    config: Config,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let store = open(&config).await?;
    let bound = TcpListener::bind(config.listen).await;
    let served = match bound {
        Ok(listener) => serve_store(&config, &store, listener, shutdown).await,
        Err(source) => Err(ServeError::Bind { addr: config.listen, source }),
    };
    close(store, served).await
}

/// Opens the store and serves on `listener` until `shutdown` ends; `config.listen` is not used.
///
/// # Errors
///
/// [`ServeError`] when the service does not start, or ends before `shutdown` does.
pub async fn serve(
    config: Config,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let store = open(&config).await?;
    let served = serve_store(&config, &store, listener, shutdown).await;
    close(store, served).await
}

async fn open(config: &Config) -> Result<Arc<Store>, ServeError> {
    let (dir, limits) = (config.data_dir.clone(), config.limits.clone());
    // Whatever else lives in the directory is recovered between its lock and the store.
    let work = move || Store::open(DataDir::take(&dir)?, &limits);
    let opened = task::spawn_blocking(work).await;
    let store = opened.map_err(|error| ServeError::Task { reason: error.to_string() })??;
    Ok(Arc::new(store))
}

async fn close(store: Arc<Store>, served: Result<(), ServeError>) -> Result<(), ServeError> {
    let closed = task::spawn_blocking(move || store.close()).await;
    let closed = closed.map_err(|error| ServeError::Task { reason: error.to_string() })?;
    served?;
    closed.map_err(|error| ServeError::Close { reason: error.to_string() })?;
    tracing::info!("orchestrator stopped");
    Ok(())
}

async fn serve_store(
    config: &Config,
    store: &Arc<Store>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let addr = listener.local_addr().map_err(|source| ServeError::Listener { source })?;
    let app = App {
        store: Arc::clone(store),
        limits: Arc::new(config.limits.clone()),
        slots: Arc::new(Semaphore::new(config.limits.requests_max)),
    };
    tracing::info!(%addr, dir = %config.data_dir.display(), "orchestrator listening");
    let mut failure = None;
    let stop = async {
        tokio::select! {
            () = shutdown => {}
            reason = store.failed() => failure = Some(reason),
        }
    };
    connections::serve(listener, router(app), &config.limits, stop).await;
    failure.map_or(Ok(()), |failure| Err(ServeError::Store { failure }))
}

fn router(app: App) -> Router {
    Router::new()
        .route("/v1/events", get(events::list).post(events::ingest))
        .route_layer(middleware::from_fn_with_state(app.clone(), admit))
        // Not behind the bound on requests: a busy service is a healthy one.
        .route("/v1/health", get(health))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(app)
}

/// Bounds how many requests are in work, and for how long.
async fn admit(State(app): State<App>, request: Request, next: Next) -> Result<Response, Refusal> {
    let Ok(_slot) = app.slots.try_acquire() else {
        return Err(Refusal::Overloaded {
            what: "requests in work",
            limit: app.limits.requests_max,
        });
    };
    let limit = app.limits.request_timeout;
    timeout(limit, next.run(request)).await.map_err(|_| Refusal::RequestTimeout { limit })
}

async fn health() -> Result<Response, Refusal> {
    json_response(&json!({ "status": "ok" }))
}

async fn not_found(uri: Uri) -> Refusal {
    Refusal::NotFound { path: uri.path().to_owned() }
}

async fn method_not_allowed(method: Method, uri: Uri) -> Refusal {
    Refusal::MethodNotAllowed { method: method.to_string(), path: uri.path().to_owned() }
}

#[cfg(test)]
mod tests;
