//! What is kept, where it is forwarded, and the limits.

use std::{fmt, io, path::PathBuf, sync::Arc, time::Duration};

use api::token::Token;
use vfs::{OsVfs, Vfs};

/// Settings of a receiver.
#[derive(Debug)]
pub struct Config {
    /// What the program is called in its log.
    pub name: &'static str,
    /// Where each record is kept.
    pub keep: Keep,
    /// Where each record is forwarded; `None` forwards nothing.
    pub forward: Option<Forward>,
    /// The bounds.
    pub limits: Limits,
}

/// Where each record is kept as a line of JSON.
pub enum Keep {
    /// Nowhere.
    Nothing,
    /// Appended to a file, synced before the answer.
    File {
        /// The file; created when it does not exist. `<file>.lock` beside it keeps others out.
        path: PathBuf,
        /// Who we are, for whoever finds the lock taken.
        holder: String,
        /// The file system.
        vfs: Arc<dyn Vfs>,
    },
    /// Written to a stream, flushed before the answer.
    Stream(Box<dyn io::Write + Send>),
}

impl Keep {
    /// Keeps records in a file of the operating system.
    pub fn file(path: PathBuf, holder: String) -> Self {
        Self::File { path, holder, vfs: Arc::new(OsVfs) }
    }
}

impl fmt::Debug for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("Nothing"),
            Self::File { path, .. } => write!(f, "File({})", path.display()),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

/// Where each record is forwarded.
#[derive(Clone, Debug)]
pub struct Forward {
    /// Full URL of `POST /v1/events` of the control plane.
    pub url: String,
    /// Time for one request to it.
    pub timeout: Duration,
    /// What becomes of records that it does not take.
    pub loss: Loss,
    /// What proves to it who forwards.
    pub token: Option<Token>,
    /// Whom to trust for the connection, and what to show there; as the machine has it when nothing is named.
    pub tls: Option<tls::Material>,
}

impl Forward {
    /// Time for one request when nobody says.
    pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
}

/// What becomes of records that the control plane does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The sender is told, and keeps them.
    Never,
    /// The failure is logged, the sender is told that all is well, and they are lost.
    Accepted,
}

/// Bounds on what clients can make the receiver do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bounds of one request, its body before and after decompression among them.
    pub request: otlp::Limits,
    /// Connections at once; more wait.
    pub connections: usize,
    /// Requests in work at once; more are told to try again.
    pub requests: usize,
    /// Time for the head of a request.
    pub head_timeout: Duration,
    /// Time for the body of a request.
    pub body_timeout: Duration,
    /// Time for requests in work after the receiver was told to stop.
    pub shutdown_grace: Duration,
}

impl Limits {
    /// The bounds of the released program.
    pub const STANDARD: Self = Self {
        request: otlp::Limits::STANDARD,
        connections: 1024,
        requests: 16,
        head_timeout: Duration::from_secs(30),
        body_timeout: Duration::from_secs(30),
        shutdown_grace: Duration::from_secs(10),
    };
}
