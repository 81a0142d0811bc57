//! How a collector is reached: what the operator asks for, and what the environment says.
//!
//! The variables are those of the OpenTelemetry specification ("OTLP exporter configuration"). For
//! each setting, the first that is there counts:
//!
//! | setting     | asked for    | variable for logs                          | variable for all signals              | default         |
//! |-------------|--------------|--------------------------------------------|---------------------------------------|-----------------|
//! | endpoint    | base URL     | `OTEL_EXPORTER_OTLP_LOGS_ENDPOINT` (whole) | `OTEL_EXPORTER_OTLP_ENDPOINT` (base)  | –               |
//! | protocol    | `Encoding`   | `…_LOGS_PROTOCOL`                          | `…_PROTOCOL`                          | `http/protobuf` |
//! | compression | `Compression`| `…_LOGS_COMPRESSION`                       | `…_COMPRESSION`                       | none            |
//! | timeout     | duration     | `…_LOGS_TIMEOUT` (ms)                      | `…_TIMEOUT` (ms)                      | 10 s            |
//! | headers     | added        | `…_LOGS_HEADERS`                           | `…_HEADERS`                           | none            |
//! | authorities | file         | `…_LOGS_CERTIFICATE`                       | `…_CERTIFICATE`                       | of the machine  |
//! | client      | two files    | `…_LOGS_CLIENT_CERTIFICATE`, `…_LOGS_CLIENT_KEY` | `…_CLIENT_CERTIFICATE`, `…_CLIENT_KEY` | none      |
//!
//! **E1** A value that is not understood is refused. Telemetry that was meant to be encrypted,
//! compressed or authorized is not sent in another way.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::Duration,
};

use api::env::{self, Signal};
use otlp::Encoding;
use thiserror::Error;

use super::collector::{Compression, Endpoint};

/// Time limit of one request when nobody asks for another (OpenTelemetry specification).
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// Longest file with certificates or a key that is read, in bytes.
const PEM_LEN_MAX: u64 = 1 << 20;

/// What the operator asks for, over the environment.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Base URL of the collector; `/v1/logs` is appended.
    pub endpoint: Option<String>,
    /// Encoding of requests.
    pub encoding: Option<Encoding>,
    /// Compression of requests.
    pub compression: Option<Compression>,
    /// Time limit of one request.
    pub timeout: Option<Duration>,
    /// Headers, `key=value` with the value as it is; they win over those of the environment.
    pub headers: Vec<String>,
    /// File with the authorities to trust.
    pub authorities: Option<PathBuf>,
    /// File with the certificate to show.
    pub client_certificate: Option<PathBuf>,
    /// File with its key.
    pub client_key: Option<PathBuf>,
}

/// Everything that a collector is reached by.
#[derive(Clone, Debug)]
pub struct CollectorSettings {
    /// Where it is.
    pub endpoint: Endpoint,
    /// Encoding of requests.
    pub encoding: Encoding,
    /// Compression of requests.
    pub compression: Compression,
    /// Time limit of one request.
    pub timeout: Duration,
    /// Headers in the form of `OTEL_EXPORTER_OTLP_HEADERS`, values percent-encoded.
    pub headers: String,
    /// More headers, `key=value`, values as they are.
    pub more_headers: Vec<String>,
    /// Certificates and keys.
    pub tls: tls::Material,
}

impl CollectorSettings {
    /// The settings of a collector that nothing else is known about.
    pub fn plain(endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: Endpoint::Base(endpoint.into()),
            encoding: Encoding::Protobuf,
            compression: Compression::None,
            timeout: TIMEOUT_DEFAULT,
            headers: String::new(),
            more_headers: Vec::new(),
            tls: tls::Material::default(),
        }
    }

    /// Puts together what was asked for and what the environment says (the table of the module).
    /// `None` when there is no endpoint. An empty variable counts as not set.
    ///
    /// # Errors
    ///
    /// [`SettingsError`] for a value that is not understood, or a file that cannot be read (E1).
    pub fn resolve(
        asked: &Asked,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, SettingsError> {
        let Some(endpoint) = endpoint(asked, lookup) else { return Ok(None) };
        let (encoding, compression) = (encoding(asked, lookup)?, compression(asked, lookup)?);
        Ok(Some(Self {
            endpoint,
            encoding,
            compression,
            timeout: timeout(asked, lookup)?,
            headers: variable(&env::OTLP_HEADERS, lookup).map(|it| it.text).unwrap_or_default(),
            more_headers: asked.headers.clone(),
            tls: material(asked, lookup)?,
        }))
    }
}

/// A variable that is set.
struct Found {
    name: &'static str,
    text: String,
}

impl Found {
    fn not_understood(&self, expected: &'static str) -> SettingsError {
        SettingsError::Variable { name: self.name, text: self.text.clone(), expected }
    }
}

/// Returns the variable for logs, or else the one for all signals.
fn variable(signal: &Signal, lookup: &dyn Fn(&str) -> Option<String>) -> Option<Found> {
    [signal.logs, signal.all].into_iter().find_map(|name| {
        let text = lookup(name).filter(|it| !it.is_empty())?;
        Some(Found { name, text })
    })
}

fn endpoint(asked: &Asked, lookup: &dyn Fn(&str) -> Option<String>) -> Option<Endpoint> {
    if let Some(base) = &asked.endpoint {
        return Some(Endpoint::Base(base.clone()));
    }
    let found = variable(&env::OTLP_ENDPOINT, lookup)?;
    Some(if found.name == env::OTLP_ENDPOINT.logs {
        Endpoint::Whole(found.text)
    } else {
        Endpoint::Base(found.text)
    })
}

fn encoding(
    asked: &Asked,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Encoding, SettingsError> {
    if let Some(encoding) = asked.encoding {
        return Ok(encoding);
    }
    let Some(found) = variable(&env::OTLP_PROTOCOL, lookup) else { return Ok(Encoding::Protobuf) };
    match &*found.text.to_ascii_lowercase() {
        "http/protobuf" => Ok(Encoding::Protobuf),
        "http/json" => Ok(Encoding::Json),
        _ => Err(found.not_understood("http/protobuf or http/json")),
    }
}

fn compression(
    asked: &Asked,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Compression, SettingsError> {
    if let Some(compression) = asked.compression {
        return Ok(compression);
    }
    let Some(found) = variable(&env::OTLP_COMPRESSION, lookup) else {
        return Ok(Compression::None);
    };
    match &*found.text.to_ascii_lowercase() {
        "gzip" => Ok(Compression::Gzip),
        "none" => Ok(Compression::None),
        _ => Err(found.not_understood("gzip or none")),
    }
}

fn timeout(
    asked: &Asked,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Duration, SettingsError> {
    if let Some(timeout) = asked.timeout {
        return Ok(timeout);
    }
    let Some(found) = variable(&env::OTLP_TIMEOUT, lookup) else { return Ok(TIMEOUT_DEFAULT) };
    match found.text.parse::<u64>() {
        Ok(millis) if millis > 0 => Ok(Duration::from_millis(millis)),
        _ => Err(found.not_understood("milliseconds, more than 0")),
    }
}

fn material(
    asked: &Asked,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<tls::Material, SettingsError> {
    let file = |asked: &Option<PathBuf>, signal: &Signal| {
        let path = asked.clone();
        path.or_else(|| variable(signal, lookup).map(|it| it.text.into()))
    };
    let authorities = file(&asked.authorities, &env::OTLP_CERTIFICATE);
    let certificate = file(&asked.client_certificate, &env::OTLP_CLIENT_CERTIFICATE);
    let key = file(&asked.client_key, &env::OTLP_CLIENT_KEY);
    let client = match (certificate, key) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some((read_pem(&certificate)?, read_pem(&key)?)),
        (Some(_), None) => return Err(SettingsError::HalfClient { missing: "key" }),
        (None, Some(_)) => return Err(SettingsError::HalfClient { missing: "certificate" }),
    };
    Ok(tls::Material { authorities: authorities.as_deref().map(read_pem).transpose()?, client })
}

fn read_pem(path: &Path) -> Result<Vec<u8>, SettingsError> {
    let at = |source| SettingsError::File { path: path.to_owned(), source };
    let mut pem = Vec::new();
    let file = File::open(path).map_err(at)?;
    file.take(PEM_LEN_MAX + 1).read_to_end(&mut pem).map_err(at)?;
    if pem.len() as u64 > PEM_LEN_MAX {
        let why = format!("longer than {PEM_LEN_MAX} bytes");
        return Err(at(io::Error::new(io::ErrorKind::FileTooLarge, why)));
    }
    Ok(pem)
}

/// Why it is not known how to reach a collector.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// A variable holds something else than it may.
    #[error("{name} is `{text}` ({expected})")]
    Variable {
        /// The variable.
        name: &'static str,
        /// What it holds.
        text: String,
        /// What it may hold.
        expected: &'static str,
    },
    /// A certificate without a key, or the reverse.
    #[error("there is no client {missing}: certificate and key are given together")]
    HalfClient {
        /// What is missing.
        missing: &'static str,
    },
    /// A file with certificates or a key cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

impl SettingsError {
    /// Every stable code.
    pub const CODES: [&str; 2] = ["BAD_ENVIRONMENT", "BAD_CERTIFICATE"];

    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Variable { .. } => "BAD_ENVIRONMENT",
            Self::HalfClient { .. } | Self::File { .. } => "BAD_CERTIFICATE",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs};

    use super::*;

    fn resolve(
        asked: &Asked,
        variables: &[(&'static str, &str)],
    ) -> Result<Option<CollectorSettings>, SettingsError> {
        let variables: BTreeMap<_, _> = variables.iter().copied().collect();
        CollectorSettings::resolve(asked, &|name| variables.get(name).map(|it| (*it).to_owned()))
    }

    const AT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all");

    #[test]
    fn without_an_endpoint_there_is_no_collector_and_nothing_else_is_looked_at() {
        assert!(resolve(&Asked::default(), &[]).unwrap().is_none());
        let other = [("OTEL_EXPORTER_OTLP_ENDPOINT", ""), ("OTEL_EXPORTER_OTLP_TIMEOUT", "x")];
        assert!(resolve(&Asked::default(), &other).unwrap().is_none());
    }

    #[test]
    fn what_is_asked_for_wins_over_logs_and_logs_over_all_signals() {
        let all = [
            AT,
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1500"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=1"),
        ];
        let got = resolve(&Asked::default(), &all).unwrap().unwrap();
        assert_eq!(got.endpoint, Endpoint::Base("http://all".to_owned()));
        assert_eq!((got.encoding, got.compression), (Encoding::Json, Compression::Gzip));
        assert_eq!((got.timeout, &*got.headers), (Duration::from_millis(1_500), "a=1"));

        let mut both = all.to_vec();
        both.extend([
            ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://logs/x"),
            ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "HTTP/PROTOBUF"),
            ("OTEL_EXPORTER_OTLP_LOGS_COMPRESSION", "none"),
            ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "7"),
            ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "b=2"),
        ]);
        let got = resolve(&Asked::default(), &both).unwrap().unwrap();
        assert_eq!(got.endpoint, Endpoint::Whole("http://logs/x".to_owned()));
        assert_eq!((got.encoding, got.compression), (Encoding::Protobuf, Compression::None));
        assert_eq!((got.timeout, &*got.headers), (Duration::from_millis(7), "b=2"));

        let asked = Asked {
            endpoint: Some("http://asked".to_owned()),
            encoding: Some(Encoding::Json),
            compression: Some(Compression::Gzip),
            timeout: Some(Duration::from_secs(3)),
            ..Asked::default()
        };
        let got = resolve(&asked, &both).unwrap().unwrap();
        assert_eq!(got.endpoint, Endpoint::Base("http://asked".to_owned()));
        assert_eq!((got.encoding, got.compression), (Encoding::Json, Compression::Gzip));
        assert_eq!(got.timeout, Duration::from_secs(3));
    }

    #[test]
    fn a_value_that_is_not_understood_is_refused_by_the_name_of_its_variable() {
        for (name, text) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
            ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "0"),
            ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "http"),
        ] {
            let error = resolve(&Asked::default(), &[AT, (name, text)]).unwrap_err();
            assert_eq!(error.code(), "BAD_ENVIRONMENT");
            assert!(error.to_string().starts_with(&format!("{name} is `{text}`")), "{error}");
        }
    }

    #[test]
    fn files_are_read_and_a_missing_half_or_a_missing_file_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        fs::write(&path, "pem").unwrap();
        let path = path.to_str().unwrap();
        let ca = [AT, ("OTEL_EXPORTER_OTLP_CERTIFICATE", path)];
        let got = resolve(&Asked::default(), &ca).unwrap().unwrap();
        assert_eq!(got.tls.authorities.as_deref(), Some(&b"pem"[..]));

        let half = [AT, ("OTEL_EXPORTER_OTLP_CLIENT_KEY", path)];
        assert_eq!(resolve(&Asked::default(), &half).unwrap_err().code(), "BAD_CERTIFICATE");
        let gone = [AT, ("OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE", "/nowhere/ca.pem")];
        let error = resolve(&Asked::default(), &gone).unwrap_err();
        assert_eq!(error.to_string(), "cannot read /nowhere/ca.pem");
        fs::write(path, vec![b'x'; 1 << 20 | 1]).unwrap();
        assert!(matches!(resolve(&Asked::default(), &ca), Err(SettingsError::File { .. })));
    }
}
