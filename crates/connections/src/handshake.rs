//! The handshake of TLS, in bounded time.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// Longest time of a handshake. It holds a slot, and its client has said nothing yet.
const LIMIT_MAX: Duration = Duration::from_secs(10);

/// How hands are shaken.
#[derive(Clone)]
pub(crate) struct Handshake {
    tls: TlsAcceptor,
    limit: Duration,
    stopped: watch::Receiver<()>,
}

impl Handshake {
    /// Within `limit`, and no more after the other end of `stopped` was dropped.
    pub(crate) fn new(tls: TlsAcceptor, limit: Duration, stopped: watch::Receiver<()>) -> Self {
        Self { tls, limit: limit.min(LIMIT_MAX), stopped }
    }

    /// Shakes hands, and returns the stream with the certificate that the client showed (H2, H4).
    ///
    /// `None` when there is nobody to talk to; why is of interest to whoever looks for it only, since
    /// anybody can make it happen.
    pub(crate) async fn accept<S>(mut self, stream: S) -> Option<(TlsStream<S>, Option<Arc<[u8]>>)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let shaken = tokio::select! {
            biased;
            _ = self.stopped.changed() => return None,
            shaken = timeout(self.limit, self.tls.accept(stream)) => shaken,
        };
        match shaken {
            Ok(Ok(stream)) => {
                let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                let certificate = shown.map(|it| Arc::from(it.as_ref()));
                Some((stream, certificate))
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "handshake refused");
                None
            }
            Err(_) => {
                tracing::debug!(limit_ms = self.limit.as_millis(), "handshake took too long");
                None
            }
        }
    }
}
