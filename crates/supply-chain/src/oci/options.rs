//! What an operator decides about registries.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use rustls::ClientConfig;
use vfs::Vfs;
use zeroize::Zeroizing;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How a registry is spoken to.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whom https trusts.
    pub tls: ClientConfig,
    /// Where plain HTTP is spoken.
    pub plain_http: PlainHttp,
    /// Who we are; nobody when absent.
    pub credentials: Option<Credentials>,
    /// Hosts that a registry may send us to for content: `host` (https on its usual port) or `host:port`. None of them
    /// ever gets credentials.
    pub redirect_hosts: Vec<String>,
    /// Hosts that give tokens for this registry and may see the credentials: `host` or `host:port`.
    pub token_hosts: Vec<String>,
    /// Times and rates.
    pub limits: Limits,
    /// Where it is remembered which registries list referrers; asked every time when absent.
    pub capabilities: Option<Capabilities>,
}

impl Options {
    /// The usual ones, for somebody without credentials.
    pub const fn new(tls: ClientConfig) -> Self {
        Self {
            tls,
            plain_http: PlainHttp::OnThisMachine,
            credentials: None,
            redirect_hosts: Vec::new(),
            token_hosts: Vec::new(),
            limits: Limits::USUAL,
            capabilities: None,
        }
    }
}

/// Where plain HTTP is spoken instead of https.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainHttp {
    /// To `localhost`, `127.0.0.0/8` and `::1`: nobody else hears it.
    OnThisMachine,
    /// To this registry wherever it is: whoever is on the way reads and changes everything, credentials too. What is
    /// signed stays what it is.
    Everywhere,
    /// Nowhere, not even on this machine.
    Nowhere,
}

/// Name and password.
#[derive(Clone)]
pub struct Credentials {
    /// Name.
    pub user: String,
    /// Password or token.
    pub password: Zeroizing<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Times and rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// For a whole small answer: a manifest, a list, a token, the beginning of a content.
    pub answer: Duration,
    /// For the next piece of a content, either way.
    pub idle: Duration,
    /// Bytes a second that a content has to move at in the mean; [`Self::answer`] comes on top. Counted is the time in
    /// which the registry is waited for, not what is done with the content in between.
    pub rate_min: u64,
}

impl Limits {
    /// Ten seconds for a connection, a minute for an answer, half a minute for a piece, 16 KiB/s.
    pub const USUAL: Self = Self {
        connect: Duration::from_secs(10),
        answer: Duration::from_mins(1),
        idle: Duration::from_secs(30),
        rate_min: 16 << 10,
    };

    /// Longest time that a content of `len` bytes may be waited for.
    pub(super) fn whole(&self, len: u64) -> Duration {
        self.answer + Duration::from_secs(len / self.rate_min.max(1))
    }
}

/// A small file that remembers which registries list referrers, for an hour.
#[derive(Clone)]
pub struct Capabilities {
    /// The file system of the file.
    pub vfs: Arc<dyn Vfs>,
    /// The file; its directory has to be there.
    pub path: PathBuf,
    /// Tells the time.
    pub now: Clock,
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capabilities").field("path", &self.path).finish_non_exhaustive()
    }
}
