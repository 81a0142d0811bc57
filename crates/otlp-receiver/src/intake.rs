//! A request body, from bytes to records, within its limits.
//!
//! The limit on the length holds twice: for the body as it comes, and for what it decompresses to.

use std::io::Read as _;

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, header},
};
use flate2::read::MultiGzDecoder;
use otlp::{Encoding, Group};

use crate::{Limits, refusal::Refusal};

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
}

/// Reads the encoding from the headers.
pub(crate) fn encoding(headers: &HeaderMap) -> Result<Encoding, Refusal> {
    let text = text(headers, &header::CONTENT_TYPE);
    let encoding = text.as_deref().and_then(Encoding::from_content_type);
    encoding.ok_or(Refusal::UnsupportedMediaType(text))
}

/// Reads the compression from the headers.
pub(crate) fn compression(headers: &HeaderMap) -> Result<Compression, Refusal> {
    let text = text(headers, &header::CONTENT_ENCODING).unwrap_or_default();
    match text.trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(Compression::None),
        "gzip" | "x-gzip" => Ok(Compression::Gzip),
        _ => Err(Refusal::UnsupportedEncoding(text)),
    }
}

fn text(headers: &HeaderMap, name: &header::HeaderName) -> Option<String> {
    headers.get(name).map(|it| String::from_utf8_lossy(it.as_bytes()).into_owned())
}

/// Reads the whole body as it comes.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: Body,
    limits: &Limits,
) -> Result<Bytes, Refusal> {
    let read = connections::read_body(headers, body, limits.request.bytes, limits.body_timeout);
    Ok(read.await?)
}

/// Decompresses and decodes a body.
pub(crate) fn decode(
    body: Bytes,
    compression: Compression,
    encoding: Encoding,
    limits: &otlp::Limits,
) -> Result<Vec<Group>, Refusal> {
    let body = match compression {
        Compression::None => body,
        Compression::Gzip => gunzip(&body, limits.bytes)?.into(),
    };
    otlp::decode(&body, encoding, limits).map_err(Refusal::Decode)
}

fn gunzip(body: &[u8], len_max: usize) -> Result<Vec<u8>, Refusal> {
    let mut plain = Vec::new();
    MultiGzDecoder::new(body)
        .take(len_max as u64 + 1)
        .read_to_end(&mut plain)
        .map_err(|error| Refusal::NotGzip { reason: error.to_string() })?;
    if plain.len() > len_max { Err(Refusal::BodyTooLarge { limit: len_max }) } else { Ok(plain) }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use axum::http::HeaderValue;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn headers_say_how_a_body_is_encoded() {
        let mut headers = HeaderMap::new();
        assert!(matches!(encoding(&headers), Err(Refusal::UnsupportedMediaType(None))));
        assert_eq!(compression(&headers).unwrap(), Compression::None);
        for (value, want) in [
            ("gzip", Some(Compression::Gzip)),
            ("GZIP", Some(Compression::Gzip)),
            ("identity", Some(Compression::None)),
            ("br", None),
            ("gzip, gzip", None),
        ] {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(value));
            assert_eq!(compression(&headers).ok(), want, "{value}");
        }
    }

    #[test]
    fn a_compressed_body_is_bounded_by_what_it_becomes() {
        let bomb = gzip(&vec![0; 100_000]);
        assert!(bomb.len() < 1_000);
        assert!(matches!(gunzip(&bomb, 99_999), Err(Refusal::BodyTooLarge { limit: 99_999 })));
        assert_eq!(gunzip(&bomb, 100_000).unwrap().len(), 100_000);
        let two_members = [gzip(b"a"), gzip(b"b")].concat();
        assert_eq!(gunzip(&two_members, 10).unwrap(), b"ab");
        for damaged in [&bomb[..bomb.len() - 1], b"plain", b""] {
            assert!(matches!(gunzip(damaged, 100_000), Err(Refusal::NotGzip { .. })));
        }
    }
}
