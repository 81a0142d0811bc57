//! The HTTP service: start, stop, bounds on what is in work.
//!
//! | module        | what it holds                                                     |
//! |---------------|-------------------------------------------------------------------|
//! | `app`         | what every handler can reach                                      |
//! | `opened`      | everything that is open while the service runs                    |
//! | `refusal`     | every error answer: status, code, text                            |
//! | `error`       | why the service did not start or ended early                      |
//!
//! # Order
//!
//! Start: lock of the data directory, lifecycle log, stores, audit trail, roles, listener, log line
//! `orchestrator listening`. Stop: listener, streams, requests in work, promoter, stores, lifecycle log. The service
//! ends by itself when a store cannot be trusted (O5).

mod app;
mod error;
mod opened;
mod refusal;

use std::{future::Future, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    http::{Method, Uri},
    middleware::{self, Next},
    response::Response,
};
use tokio::{
    net::TcpListener,
    task::JoinHandle,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::{
    config::Config,
    presence::FLUSH_INTERVAL,
    routes::{gate, metrics, table},
};
pub(crate) use app::{App, Parts, wall_clock};
pub use error::ServeError;
pub(crate) use opened::Opened;
#[cfg(test)]
pub(crate) use opened::open_all;
use opened::{close, open};
pub(crate) use refusal::{Refusal, json_response};

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
    let served = match bind(config.listen).await {
        Ok(listener) => serve_app(&config, &opened, listener, shutdown).await,
        Err(error) => Err(error),
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
    let served = serve_app(&config, &opened, listener, shutdown).await;
    close(opened, served).await
}

async fn bind(addr: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(addr).await.map_err(|source| ServeError::Bind { addr, source })
}

async fn serve_app(
    config: &Config,
    opened: &Opened,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let address =
        |it: &TcpListener| it.local_addr().map_err(|source| ServeError::Listener { source });
    let addr = address(&listener)?;
    let app = &opened.app;
    let metrics = metrics_service(config, app).await?;
    gate::announce(app);
    let presence = keep_presence(app.clone());
    let tls = opened.tls.is_some();
    tracing::info!(%addr, tls, dir = %config.data_dir.display(), "orchestrator listening");
    let mut failure = None;
    let stop = async {
        tokio::select! {
            () = shutdown => {}
            reason = app.store.failed() => failure = Some(reason),
            reason = app.rollouts.failed() => failure = Some(reason),
        }
        // Streams have no end of their own.
        opened.stop.send_replace(true);
    };
    let answers = router(app, config.metrics_listen.is_none());
    let bounds = config.limits.bounds();
    match &opened.tls {
        Some(tls) => {
            connections::serve_tls(listener, Arc::clone(tls), answers, &bounds, stop).await;
        }
        None => connections::serve(listener, answers, &bounds, stop).await,
    }
    presence.abort();
    app.presence.flush(&app.rollouts).await;
    if let Some(metrics) = metrics {
        // It ends with the same word.
        _ = metrics.await;
    }
    failure.map_or(Ok(()), |failure| Err(ServeError::Store { failure }))
}

/// Serves the metrics alone, where the operator wants them.
async fn metrics_service(config: &Config, app: &App) -> Result<Option<JoinHandle<()>>, ServeError> {
    let Some(addr) = config.metrics_listen else { return Ok(None) };
    let listener = bind(addr).await?;
    let addr = listener.local_addr().map_err(|source| ServeError::Listener { source })?;
    tracing::info!(%addr, "metrics listening");
    let rows = table::routes().into_iter().filter(|it| it.path == "/metrics");
    let answers = finished(table::guarded(app, rows), app);
    let (bounds, mut stopping) = (config.limits.bounds(), app.stopping.clone());
    let stop = async move {
        // A sender that is gone is an end, too.
        _ = stopping.wait_for(|it| *it).await;
    };
    Ok(Some(tokio::spawn(async move {
        connections::serve(listener, answers, &bounds, stop).await;
    })))
}

fn keep_presence(app: App) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut ticks = interval(FLUSH_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            app.presence.flush(&app.rollouts).await;
        }
    })
}

pub(crate) fn router(app: &App, with_metrics: bool) -> Router {
    let rows = table::routes().into_iter().filter(|it| with_metrics || it.path != "/metrics");
    let (unbounded, bounded): (Vec<_>, Vec<_>) = rows.partition(|it| it.unbounded);
    let bounded = table::guarded(app, bounded)
        .route_layer(middleware::from_fn_with_state(app.clone(), admit));
    finished(bounded.merge(table::guarded(app, unbounded)), app)
}

fn finished(routes: Router<App>, app: &App) -> Router {
    routes
        .route_layer(middleware::from_fn_with_state(app.clone(), metrics::measure))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(app.clone())
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

async fn not_found(uri: Uri) -> Refusal {
    Refusal::NotFound { path: uri.path().to_owned() }
}

async fn method_not_allowed(method: Method, uri: Uri) -> Refusal {
    Refusal::MethodNotAllowed { method: method.to_string(), path: uri.path().to_owned() }
}

#[cfg(test)]
mod tests;
