//! Every error answer: status, and a `google.rpc.Status` in the encoding of the request.

use std::time::Duration;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use connections::BodyError;
use otlp::{DecodeError, Encoding, StatusCode as RpcCode};
use thiserror::Error;

/// What `Retry-After` says. Senders back off by themselves; this is their lower bound.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// Why a request is not answered with success.
#[derive(Debug, Error)]
pub(crate) enum Refusal {
    #[error("no route {path}; logs go to POST /v1/logs")]
    NotFound { path: String },
    #[error("{method} is not a method of {path}")]
    MethodNotAllowed { method: String, path: String },
    #[error("content type {}; send application/x-protobuf or application/json", .0.as_ref().map_or("missing".to_owned(), |it| format!("`{it}`")))]
    UnsupportedMediaType(Option<String>),
    #[error("content encoding `{0}`; send gzip, or the body as it is")]
    UnsupportedEncoding(String),
    #[error("the body is longer than {limit} bytes; send fewer records in one request")]
    BodyTooLarge { limit: usize },
    #[error("the body did not arrive within {} s", .limit.as_secs_f64())]
    BodyTimeout { limit: Duration },
    #[error("the body ended early: {reason}")]
    BodyIncomplete { reason: String },
    #[error("the body is not gzip: {reason}")]
    NotGzip { reason: String },
    #[error(transparent)]
    Decode(DecodeError),
    #[error("{limit} requests in work already")]
    Overloaded { limit: usize },
    #[error("records could not be kept: {reason}")]
    NotKept { reason: String },
    #[error("records could not be forwarded: {reason}")]
    NotForwarded { reason: String },
    #[error("the control plane refuses more than {limit} events of this request: {reason}")]
    TooManyRefused { limit: usize, reason: String },
    #[error("internal error: {reason}")]
    Internal { reason: String },
}

/// A body that was not read within its bounds.
impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge { limit } => Self::BodyTooLarge { limit },
            BodyError::Incomplete { reason } => Self::BodyIncomplete { reason },
            BodyError::Timeout { limit } => Self::BodyTimeout { limit },
        }
    }
}

impl Refusal {
    /// The one table of statuses.
    const fn row(&self) -> (StatusCode, RpcCode) {
        match self {
            Self::NotFound { .. } => (StatusCode::NOT_FOUND, RpcCode::Unimplemented),
            Self::MethodNotAllowed { .. } => {
                (StatusCode::METHOD_NOT_ALLOWED, RpcCode::Unimplemented)
            }
            Self::UnsupportedMediaType(_) | Self::UnsupportedEncoding(_) => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, RpcCode::InvalidArgument)
            }
            Self::BodyTooLarge { .. } | Self::Decode(DecodeError::TooLarge { .. }) => {
                (StatusCode::PAYLOAD_TOO_LARGE, RpcCode::ResourceExhausted)
            }
            Self::BodyTimeout { .. } => (StatusCode::REQUEST_TIMEOUT, RpcCode::InvalidArgument),
            Self::BodyIncomplete { .. }
            | Self::NotGzip { .. }
            | Self::Decode(_)
            | Self::TooManyRefused { .. } => (StatusCode::BAD_REQUEST, RpcCode::InvalidArgument),
            Self::Overloaded { .. } | Self::NotKept { .. } | Self::NotForwarded { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, RpcCode::Unavailable)
            }
            Self::Internal { .. } => (StatusCode::INTERNAL_SERVER_ERROR, RpcCode::Internal),
        }
    }

    /// Makes the answer. Requests of no known encoding are answered in JSON, for people.
    pub(crate) fn into_response(self, encoding: Option<Encoding>) -> Response {
        let (status, code) = self.row();
        let encoding = encoding.unwrap_or(Encoding::Json);
        tracing::debug!(status = status.as_u16(), reason = %self, "request refused");
        let body = otlp::encode_status(code, &self.to_string(), encoding);
        let content_type = HeaderValue::from_static(encoding.content_type());
        let mut response = (status, [(header::CONTENT_TYPE, content_type)], body).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}
