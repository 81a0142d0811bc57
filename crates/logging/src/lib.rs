//! How every process of ours logs: text on a terminal, JSON lines otherwise, always on stderr.
//!
//! A JSON line has the keys `time`, `level`, `msg` and `target`, then the fields of the event. The
//! names are an interface: runbooks and alerts quote `level`, `msg`, `cause`, `dir`, `error`.

mod json;

use std::{fmt, io, str::FromStr};

use tracing_subscriber::{EnvFilter, util::TryInitError};

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text {
        /// Whether to use colours.
        ansi: bool,
    },
    /// One JSON object a line.
    Json,
}

impl Format {
    /// The format when nobody asked for one: text on a terminal, JSON otherwise.
    pub fn detect(terminal: bool, no_color: bool) -> Self {
        if terminal { Self::Text { ansi: !no_color } } else { Self::Json }
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text { ansi: false }),
            "json" => Ok(Self::Json),
            other => Err(UnknownFormat(other.to_owned())),
        }
    }
}

/// Starts logging to stderr. `filter` is a `RUST_LOG` directive such as `info`.
///
/// # Errors
///
/// When the process logs already.
pub fn init(format: Format, filter: &str) -> Result<(), TryInitError> {
    use tracing_subscriber::util::SubscriberInitExt as _;

    let filter = EnvFilter::builder().parse_lossy(filter);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        Format::Text { ansi } => builder.with_ansi(ansi).finish().try_init(),
        Format::Json => builder.event_format(json::JsonLines).finish().try_init(),
    }
}

/// A format that does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownFormat(String);

impl fmt::Display for UnknownFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown log format `{}` (text or json)", self.0)
    }
}

impl std::error::Error for UnknownFormat {}
