//! The HTTP service: routes, start, stop.
//!
//! | module        | what it holds                                                     |
//! |---------------|-------------------------------------------------------------------|
//! | `refusal`     | every error answer: status, code, text                            |
//! | `error`       | why the service did not start or ended early                      |
//!
//! # Order
//!
//! Start: lock of the data directory, store, lifecycle log, listener, log line `orchestrator listening`. Stop: listener, requests in
//! work, store. The service ends by itself when the store cannot be trusted (O5).

mod error;
mod refusal;

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
    lifecycle::Lifecycle,
    store::{DataDir, Store},
};
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
    let opened = open(&config).await?;
    let bound = TcpListener::bind(config.listen).await;
    let served = match bound {
        Ok(listener) => serve_store(&config, &opened.store, listener, shutdown).await,
        Err(source) => Err(ServeError::Bind { addr: config.listen, source }),
    };
    close(opened, served).await
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
    let opened = open(&config).await?;
    let served = serve_store(&config, &opened.store, listener, shutdown).await;
    close(opened, served).await
}

/// What is open while the service runs.
struct Opened {
    store: Arc<Store>,
    lifecycle: Lifecycle,
}

async fn open(config: &Config) -> Result<Opened, ServeError> {
    let config = config.clone();
    let work = move || -> Result<Opened, ServeError> {
        let dir = DataDir::take(&config.data_dir)?;
        Lifecycle::examine(&config.data_dir, config.overrides)?;
        let store = Store::open(dir, &config.limits)?;
        let lifecycle = Lifecycle::open(&config.data_dir, config.overrides);
        let begun = lifecycle.map_err(ServeError::from).and_then(|it| {
            it.started()?;
            Ok(it)
        });
        match begun {
            Ok(lifecycle) => Ok(Opened { store: Arc::new(store), lifecycle }),
            Err(error) => {
                // The refusal is what the operator must see; the store is sound either way.
                store.close().ok();
                Err(error)
            }
        }
    };
    let opened = task::spawn_blocking(work).await;
    opened.map_err(|error| ServeError::Task { reason: error.to_string() })?
}

async fn close(opened: Opened, served: Result<(), ServeError>) -> Result<(), ServeError> {
    let work = move || (opened.store.close(), opened.lifecycle.close());
    let closed = task::spawn_blocking(work).await;
    let (store, lifecycle) =
        closed.map_err(|error| ServeError::Task { reason: error.to_string() })?;
    served?;
    store.map_err(|error| ServeError::Close { reason: error.to_string() })?;
    lifecycle?;
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
    connections::serve(listener, router(app), &config.limits.bounds(), stop).await;
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
