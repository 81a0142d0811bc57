//! A request body, read within its bounds.

use std::{error::Error, fmt, pin::pin, time::Duration};

use axum::{
    body::{Bytes, HttpBody},
    http::{HeaderMap, header},
};
use http_body_util::BodyExt as _;
use tokio::time::timeout;

/// How much of a body that is too large is read and dropped. A client that is still sending when
/// the connection closes would see a broken connection instead of the answer.
const DISCARDED_LEN_MAX: usize = 64 << 20;

/// Reads a whole body of at most `len_max` bytes that comes within `limit` (H3).
///
/// A client that waits for consent (`Expect: 100-continue`) and announces too much is refused
/// before it sends anything.
///
/// # Errors
///
/// [`BodyError`]; what was read is dropped.
pub async fn read_body<B>(
    headers: &HeaderMap,
    body: B,
    len_max: usize,
    limit: Duration,
) -> Result<Bytes, BodyError>
where
    B: HttpBody<Data = Bytes>,
    B::Error: fmt::Display,
{
    if waits_for_consent(headers) && announced(headers) > Some(len_max) {
        return Err(BodyError::TooLarge { limit: len_max });
    }
    let read = timeout(limit, read_frames(body, len_max)).await;
    read.unwrap_or(Err(BodyError::Timeout { limit }))
}

async fn read_frames<B>(body: B, len_max: usize) -> Result<Bytes, BodyError>
where
    B: HttpBody<Data = Bytes>,
    B::Error: fmt::Display,
{
    let (mut body, mut kept, mut len) = (pin!(body), Vec::new(), 0_usize);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| BodyError::Incomplete { reason: error.to_string() })?;
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
    if len > len_max { Err(BodyError::TooLarge { limit: len_max }) } else { Ok(kept.into()) }
}

fn waits_for_consent(headers: &HeaderMap) -> bool {
    headers
        .get(header::EXPECT)
        .is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Why there is no body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// It is longer than the limit.
    TooLarge {
        /// Most bytes allowed.
        limit: usize,
    },
    /// It ended before its announced end.
    Incomplete {
        /// What the connection said.
        reason: String,
    },
    /// It took longer than the limit.
    Timeout {
        /// Longest time allowed.
        limit: Duration,
    },
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { limit } => write!(f, "the body is longer than {limit} bytes"),
            Self::Incomplete { reason } => write!(f, "the body ended early: {reason}"),
            Self::Timeout { limit } => write!(f, "the body took longer than {limit:?}"),
        }
    }
}

impl Error for BodyError {}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    fn run<T>(future: impl Future<Output = T>) -> T {
        let executor = tokio::runtime::Builder::new_current_thread().enable_time().build();
        executor.unwrap().block_on(future)
    }

    #[test]
    fn a_body_is_kept_up_to_its_limit_and_never_beyond() {
        let read =
            |len: usize| run(read_body(&HeaderMap::new(), Body::from(vec![b'x'; len]), 4, LONG));
        for len in 0..=4 {
            assert_eq!(read(len).unwrap().len(), len);
        }
        assert_eq!(read(5), Err(BodyError::TooLarge { limit: 4 }));
    }

    #[test]
    fn who_waits_for_consent_is_refused_before_sending() {
        let mut headers = HeaderMap::new();
        headers.insert(header::EXPECT, "100-Continue".parse().unwrap());
        for (announced, want) in [(4, Ok(0)), (5, Err(BodyError::TooLarge { limit: 4 }))] {
            headers.insert(header::CONTENT_LENGTH, announced.into());
            // Nothing is sent: a reader that asked the body first would see an empty one.
            let read = run(read_body(&headers, Body::empty(), 4, LONG));
            assert_eq!(read.map(|it| it.len()), want);
        }
    }

    #[test]
    fn an_error_says_what_the_limit_is() {
        let limit = Duration::from_secs(20);
        for (error, want) in [
            (BodyError::TooLarge { limit: 8 }, "the body is longer than 8 bytes"),
            (BodyError::Incomplete { reason: "gone".to_owned() }, "the body ended early: gone"),
            (BodyError::Timeout { limit }, "the body took longer than 20s"),
        ] {
            assert_eq!(error.to_string(), want);
        }
    }

    #[test]
    fn a_body_that_never_ends_is_given_up() {
        let never = Body::new(Never);
        let read = run(read_body(&HeaderMap::new(), never, 4, Duration::from_millis(1)));
        assert_eq!(read, Err(BodyError::Timeout { limit: Duration::from_millis(1) }));
    }

    struct Never;

    impl axum::body::HttpBody for Never {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
            std::task::Poll::Pending
        }
    }
}
