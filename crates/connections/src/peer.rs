//! Who is at the other end of a connection.

use std::{fmt, net::SocketAddr, sync::Arc};

/// The other end of the connection that a request came by: an extension of every request (H5).
#[derive(Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub addr: SocketAddr,
    /// The certificate that it showed (DER), verified by the handshake. `None` without TLS, and under TLS
    /// where no client is asked for one.
    pub certificate: Option<Arc<[u8]>>,
}

impl fmt::Debug for Peer {
    /// Shows whether there is a certificate: its bytes say nothing to a reader.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("addr", &self.addr)
            .field("certificate", &self.certificate.is_some())
            .finish()
    }
}
