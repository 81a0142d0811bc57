//! How a collector is reached.
#![expect(clippy::doc_markdown, reason = "these comments are the help texts that users read")]

use std::{path::PathBuf, time::Duration};

use api::{
    node::{NodeFlaw, node_flaw},
    size::parse_size,
};
use clap::{Args, ValueEnum};
use otlp::Encoding;

use super::parse_duration;

/// How a collector is reached and how much it gets at once.
#[derive(Args, Debug)]
pub(crate) struct CollectorArgs {
    /// Base URL of the collector, for example http://127.0.0.1:4318; /v1/logs is appended
    /// [env: OTEL_EXPORTER_OTLP_ENDPOINT].
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// Time limit of one request, for example 10s or 500ms [default: 10s].
    #[arg(long, value_parser = parse_duration)]
    pub(crate) timeout: Option<Duration>,
    /// Most entries in one request.
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) batch: u32,
    /// Most bytes of entries in one request; a single entry may be larger.
    #[arg(long, default_value = "4MiB", value_name = "SIZE", value_parser = parse_size)]
    pub(crate) batch_bytes: usize,
    /// How often a request is repeated when the collector may recover.
    #[arg(long, default_value_t = 3)]
    pub(crate) retries: u32,
    /// Encoding of requests [default: http/protobuf].
    #[arg(long, value_enum)]
    pub(crate) protocol: Option<Protocol>,
    /// Compression of requests [default: none].
    #[arg(long, value_enum)]
    pub(crate) compression: Option<Compression>,
    /// Header of every request, as name=value; may be given more than once. A secret belongs into
    /// OTEL_EXPORTER_OTLP_HEADERS: others on this machine can see a command line.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) header: Vec<String>,
    /// File with the certificate authorities (PEM) to trust, instead of those of the machine.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// File with the certificate chain (PEM) to show to the collector.
    #[arg(long, value_name = "FILE", requires = "client_key")]
    pub(crate) client_cert: Option<PathBuf>,
    /// File with the private key (PEM) of that certificate.
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    pub(crate) client_key: Option<PathBuf>,
}

impl CollectorArgs {
    /// What these options ask for.
    pub(crate) fn asked(&self) -> runtime::Asked {
        runtime::Asked {
            endpoint: self.endpoint.clone(),
            encoding: self.protocol.map(|it| match it {
                Protocol::Protobuf => Encoding::Protobuf,
                Protocol::Json => Encoding::Json,
            }),
            compression: self.compression.map(|it| match it {
                Compression::None => runtime::Compression::None,
                Compression::Gzip => runtime::Compression::Gzip,
            }),
            timeout: self.timeout,
            headers: self.header.clone(),
            authorities: self.ca_file.clone(),
            client_certificate: self.client_cert.clone(),
            client_key: self.client_key.clone(),
        }
    }
}

/// Encoding of requests to a collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    /// Binary protobuf.
    #[value(name = "http/protobuf")]
    Protobuf,
    /// JSON.
    #[value(name = "http/json")]
    Json,
}

/// Compression of requests to a collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compression {
    /// As it is.
    None,
    /// gzip.
    Gzip,
}

/// Age beyond which an entry goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MaxAge(pub(crate) Option<Duration>);

impl MaxAge {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text == "never" {
            return Ok(Self(None));
        }
        parse_duration(text)
            .map(|it| Self(Some(it)))
            .map_err(|_| format!("`{text}` is not an age (10m, 1h, never)"))
    }
}

/// Reads the name of a node.
pub(super) fn parse_node(text: &str) -> Result<String, String> {
    match node_flaw(text) {
        None => Ok(text.to_owned()),
        Some(flaw) => Err(format!("it {flaw}: {}", NodeFlaw::HINT)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_a_duration_or_never() {
        assert_eq!(MaxAge::parse("1h"), Ok(MaxAge(Some(Duration::from_hours(1)))));
        assert_eq!(MaxAge::parse("never"), Ok(MaxAge(None)));
        for bad in ["", "0s", "-1h", "soon"] {
            assert!(MaxAge::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_node_is_named_as_the_control_plane_takes_it() {
        assert_eq!(parse_node("edge-1").as_deref(), Ok("edge-1"));
        let long = "n".repeat(257);
        for bad in ["", "a:b", "a b", "a\nb", &long] {
            assert!(parse_node(bad).is_err(), "{bad}");
        }
    }
}
