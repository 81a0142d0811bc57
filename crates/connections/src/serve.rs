//! Accepting connections, bounds on slow clients, ending in order.
//!
//! A connection is driven by its own task from its first byte: a handshake that takes its time holds one
//! of the slots and nobody else.

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
    server::graceful::{GracefulShutdown, Watcher},
    service::TowerToHyperService,
};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use crate::{handshake::Handshake, peer::Peer, stalled::Stalled};

/// Longest head of a request, in bytes.
const HEAD_LEN_MAX: usize = 64 << 10;
/// Pause after a failed accept. Such failures (no file descriptors) last until a connection ends.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bounds on clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Connections at once; more wait in the backlog of the listener.
    pub connections: usize,
    /// Time for the head of a request, and for the next request on an open connection. Under TLS also,
    /// once more, for the handshake, unless that is longer than a handshake may take.
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

/// Answers requests. Each carries a [`Peer`] among its extensions (H5).
pub trait Answers: Clone + Send + 'static {
    /// Answers a request of `peer`.
    fn answer(
        self,
        peer: SocketAddr,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response> + Send;
}

/// Its routes see the peer as [`ConnectInfo`], too.
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
    run(listener, None, answers, bounds, stop).await;
}

/// Does what [`serve`] does over TLS: `config` says what is shown and who is let in.
pub async fn serve_tls(
    listener: TcpListener,
    config: Arc<ServerConfig>,
    answers: impl Answers,
    bounds: &Bounds,
    stop: impl Future<Output = ()>,
) {
    run(listener, Some(TlsAcceptor::from(config)), answers, bounds, stop).await;
}

async fn run(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    answers: impl Answers,
    bounds: &Bounds,
    stop: impl Future<Output = ()>,
) {
    let slots = Arc::new(Semaphore::new(bounds.connections));
    let graceful = GracefulShutdown::new();
    let (stopping, stopped) = watch::channel(());
    let handshake = tls.map(|tls| Handshake::new(tls, bounds.head_timeout, stopped));
    let mut running = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        let ((stream, addr), slot) = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        let stream = Stalled::new(stream, bounds.write_timeout);
        let http = Http::new(bounds, answers.clone(), graceful.watcher());
        let handshake = handshake.clone();
        running.spawn(async move {
            http.meet(stream, addr, handshake).await;
            drop(slot);
        });
        while running.try_join_next().is_some() {}
    }
    drop(listener);
    // Ends the handshakes: after them nothing would be begun (H2).
    drop(stopping);
    let finished = async {
        graceful.shutdown().await;
        while running.join_next().await.is_some() {}
    };
    if timeout(bounds.grace, finished).await.is_err() {
        tracing::warn!(connections = running.len(), "cutting off connections that did not end");
        running.shutdown().await;
    }
}

/// One connection above its transport.
struct Http<A> {
    builder: http1::Builder,
    answers: A,
    watcher: Watcher,
}

impl<A: Answers> Http<A> {
    fn new(bounds: &Bounds, answers: A, watcher: Watcher) -> Self {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(bounds.head_timeout)
            .max_buf_size(HEAD_LEN_MAX);
        Self { builder, answers, watcher }
    }

    /// Shakes hands where that is asked for, then answers.
    async fn meet<S>(self, stream: S, addr: SocketAddr, handshake: Option<Handshake>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Some(handshake) = handshake else {
            return self.drive(stream, Peer { addr, certificate: None }).await;
        };
        if let Some((stream, certificate)) = handshake.accept(stream).await {
            self.drive(stream, Peer { addr, certificate }).await;
        }
    }

    /// Answers the requests of a connection until it ends.
    async fn drive<S>(self, stream: S, peer: Peer)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { builder, answers, watcher } = self;
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer.clone());
            let answer = answers.clone().answer(peer.addr, request);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%error, "connection ended early");
        }
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
