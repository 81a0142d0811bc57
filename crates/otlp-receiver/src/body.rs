//! A request body within its bounds, before and after decompression.

use std::io::Read as _;

use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, header::CONTENT_ENCODING},
};
use flate2::read::MultiGzDecoder;
use http_body_util::LengthLimitError;
use thiserror::Error;

/// Why a body was not read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum BodyError {
    #[error("the body is longer than {limit} bytes")]
    TooLong { limit: usize },
    #[error("content encoding `{found}` is not known (gzip or identity)")]
    UnknownEncoding { found: String },
    #[error("the body could not be read: {reason}")]
    Unreadable { reason: String },
}

/// Reads a body and undoes its compression; neither form may be longer than `limit`.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
) -> Result<Vec<u8>, BodyError> {
    let bytes = to_bytes(body, limit).await.map_err(|error| {
        let source = std::error::Error::source(&error);
        if source.is_some_and(|it| it.downcast_ref::<LengthLimitError>().is_some()) {
            BodyError::TooLong { limit }
        } else {
            BodyError::Unreadable { reason: error.to_string() }
        }
    })?;
    let encoding = headers.get(CONTENT_ENCODING).map_or(Ok("identity"), |it| it.to_str());
    match encoding.unwrap_or("not text").to_ascii_lowercase().as_str() {
        "identity" | "" => Ok(bytes.into()),
        "gzip" => unzip(&bytes, limit),
        other => Err(BodyError::UnknownEncoding { found: other.to_owned() }),
    }
}

/// Stops as soon as the limit is passed: a small body can unpack to anything.
fn unzip(bytes: &[u8], limit: usize) -> Result<Vec<u8>, BodyError> {
    let mut unpacked = Vec::new();
    let beyond = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut decoder = MultiGzDecoder::new(bytes).take(beyond);
    decoder
        .read_to_end(&mut unpacked)
        .map_err(|error| BodyError::Unreadable { reason: format!("not gzip: {error}") })?;
    if unpacked.len() > limit { Err(BodyError::TooLong { limit }) } else { Ok(unpacked) }
}
