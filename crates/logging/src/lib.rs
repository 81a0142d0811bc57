//! How every process of ours logs: text on a terminal, JSON lines otherwise, always on stderr.
//!
//! A JSON line has the keys `time`, `level`, `msg` and `target`, then the fields of the event. The
//! names are an interface: runbooks and alerts quote `level`, `msg`, `cause`, `dir`, `error`.

mod json;

use std::{fmt, io, str::FromStr};

use tracing_subscriber::EnvFilter;

/// What is logged when nobody says: `info` and above.
pub const FILTER_DEFAULT: &str = "info";

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
/// [`InitError::Filter`] when `filter` is none; [`InitError::Started`] when the process logs
/// already.
pub fn init(format: Format, filter: &str) -> Result<(), InitError> {
    use tracing_subscriber::util::SubscriberInitExt as _;

    let parsed = EnvFilter::try_new(filter).map_err(|error| InitError::Filter {
        filter: filter.to_owned(),
        reason: error.to_string(),
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(parsed).with_writer(io::stderr);
    let started = match format {
        Format::Text { ansi } => builder.with_ansi(ansi).finish().try_init(),
        Format::Json => builder.event_format(json::JsonLines).finish().try_init(),
    };
    started.map_err(|_| InitError::Started)
}

/// Why the process does not log as asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InitError {
    /// The filter is none.
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The process logs already.
    Started,
}

impl InitError {
    /// Returns what an operator does next.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Filter { .. } => "set RUST_LOG to a filter such as info, or unset it",
            Self::Started => "start logging once in a process",
        }
    }
}

impl fmt::Display for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filter { filter, reason } => write!(f, "log filter `{filter}`: {reason}"),
            Self::Started => f.write_str("the process logs already"),
        }
    }
}

impl std::error::Error for InitError {}

/// A format that does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownFormat(String);

impl fmt::Display for UnknownFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown log format `{}` (text or json)", self.0)
    }
}

impl std::error::Error for UnknownFormat {}

/// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_text_and_everything_else_json() {
        assert_eq!(Format::detect(true, false), Format::Text { ansi: true });
        assert_eq!(Format::detect(true, true), Format::Text { ansi: false });
        assert_eq!(Format::detect(false, false), Format::Json);
        assert_eq!("json".parse(), Ok(Format::Json));
        assert_eq!(
            "xml".parse::<Format>().unwrap_err().to_string(),
            "unknown log format `xml` (text or json)"
        );
    }

    #[test]
    fn a_filter_that_is_none_is_named() {
        let error = init(Format::Json, "a=b=c").unwrap_err();
        assert!(error.to_string().starts_with("log filter `a=b=c`: "), "{error}");
    }
}
