//! Accepting connections, bounds on slow clients, ending in order.

use std::{
    convert::Infallible, future::Future, net::SocketAddr, pin::pin, sync::Arc, time::Duration,
};

use axum::{Router, extract::ConnectInfo, http::Request, response::Response};
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::stalled::Stalled;

/// Longest head of a request, in bytes.
const HEAD_LEN_MAX: usize = 64 << 10;
/// Pause after a failed accept. Such failures (no file descriptors) last until a connection ends.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bounds on clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Connections at once; more wait in the backlog of the listener.
    pub connections: usize,
    /// Time for the head of a request, and for the next request on an open connection.
    pub head_timeout: Duration,
    /// Time that a client may take without reading any of its answer.
    pub write_timeout: Duration,
    /// Time for requests in work after the end was asked for.
    pub grace: Duration,
}

impl Bounds {
    /// The bounds that the services use when nobody says.
    pub const STANDARD: Self = Self {
        connections: 1024,
        head_timeout: Duration::from_secs(30),
        write_timeout: Duration::from_secs(20),
        grace: Duration::from_secs(10),
    };
}

/// Answers requests.
pub trait Answers: Clone + Send + 'static {
    /// Answers a request of `peer`.
    fn answer(
        self,
        peer: SocketAddr,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response> + Send;
}

/// Its routes see the peer as [`ConnectInfo`].
impl Answers for Router {
    fn answer(
        self,
        peer: SocketAddr,
        mut request: Request<Incoming>,
    ) -> impl Future<Output = Response> + Send {
        request.extensions_mut().insert(ConnectInfo(peer));
        let answer = TowerToHyperService::new(self).call(request);
        async move {
            match answer.await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        }
    }
}

/// Serves on `listener` until `stop` ends, then lets what runs finish for a while.
pub async fn serve(
    listener: TcpListener,
    answers: impl Answers,
    bounds: &Bounds,
    stop: impl Future<Output = ()>,
) {
    let slots = Arc::new(Semaphore::new(bounds.connections));
    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(bounds.head_timeout)
        .max_buf_size(HEAD_LEN_MAX);
    let mut running = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        let ((stream, peer), slot) = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        let io = TokioIo::new(Stalled::new(stream, bounds.write_timeout));
        let answers = answers.clone();
        let service = service_fn(move |request| {
            let answer = answers.clone().answer(peer, request);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        let connection = graceful.watch(http.serve_connection(io, service));
        running.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended early");
            }
            drop(slot);
        });
        while running.try_join_next().is_some() {}
    }
    drop(listener);
    let finished = async {
        graceful.shutdown().await;
        while running.join_next().await.is_some() {}
    };
    if timeout(bounds.grace, finished).await.is_err() {
        tracing::warn!(connections = running.len(), "cutting off connections that did not end");
        running.shutdown().await;
    }
}

/// Waits for a free slot first, so that more connections than allowed wait in the backlog.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> ((TcpStream, SocketAddr), Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed.
    let slot = Arc::clone(slots).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Answers are small; without it they would wait for acknowledgements.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "no TCP_NODELAY");
                }
                return ((stream, peer), slot);
            }
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
