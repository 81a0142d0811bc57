//! Reading a request body within its bounds.

use axum::{
    body::Bytes,
    extract::Request,
    http::{HeaderMap, header},
};
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use super::Refusal;
use crate::config::Limits;

/// How much of a body that is too large is read and dropped. A client that is still sending when
/// the connection closes would see a broken connection instead of the answer.
const DISCARDED_LEN_MAX: usize = 64 << 20;

/// Reads the whole body.
pub(crate) async fn read_body(request: Request, limits: &Limits) -> Result<Bytes, Refusal> {
    let limit = limits.body_timeout;
    let read = timeout(limit, read(request, limits.body_len_max)).await;
    read.unwrap_or(Err(Refusal::BodyTimeout { limit }))
}

async fn read(request: Request, len_max: usize) -> Result<Bytes, Refusal> {
    let too_large = Refusal::BodyTooLarge { limit: len_max };
    if waits_for_consent(request.headers()) && announced(request.headers()) > Some(len_max) {
        return Err(too_large);
    }
    let mut body = request.into_body();
    let (mut kept, mut len) = (Vec::new(), 0_usize);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Refusal::BodyIncomplete { reason: error.to_string() })?;
        let Ok(data) = frame.into_data() else { continue };
        len = len.saturating_add(data.len());
        if len <= len_max {
            kept.extend_from_slice(&data);
            continue;
        }
        kept = Vec::new();
        if len - len_max > DISCARDED_LEN_MAX {
            break;
        }
    }
    if len > len_max { Err(too_large) } else { Ok(kept.into()) }
}

fn waits_for_consent(headers: &HeaderMap) -> bool {
    headers
        .get(header::EXPECT)
        .is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
