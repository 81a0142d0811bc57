//! Every error answer: status, code, text. The body is problem JSON (RFC 9457).

use std::time::Duration;

use api::problem::{PROBLEM_JSON, Problem};
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use connections::BodyError;
use rollout_store::{ApplyError, PlanError, ReadError, WriteError};
use serde::Serialize;
use thiserror::Error;

use crate::{
    auth::{
        access::{AccessError, Kind},
        decide::{Class, Denied},
        file::FileError,
        identity::OperatorInvalid,
        slow::Wait,
    },
    events::IntakeError,
    rollouts::{AskError, QueryError},
    routes::ask::AskedWrong,
    store::{AppendError, PageError},
};

/// What `Retry-After` says: the writer commits many times a second.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");
/// Longest part of a text that is shown as it was sent, in characters.
const FOUND_LEN_MAX: usize = 100;
/// How to come back with a credential.
const BEARER: HeaderValue = HeaderValue::from_static("Bearer");

/// Why a request is not answered with 2xx.
#[derive(Debug, Error)]
pub(crate) enum Refusal {
    #[error("{0}")]
    Intake(#[from] IntakeError),
    #[error("{0}")]
    InvalidQuery(String),
    #[error("no route {path}")]
    NotFound { path: String },
    #[error("{method} is not a method of {path}")]
    MethodNotAllowed { method: String, path: String },
    #[error("the body did not arrive within {} s", .limit.as_secs_f64())]
    BodyTimeout { limit: Duration },
    #[error("the body ended early: {reason}")]
    BodyIncomplete { reason: String },
    #[error("the body is longer than {limit} bytes; send less in one request")]
    BodyTooLarge { limit: usize },
    #[error("content type {}; send application/json", .0.as_ref().map_or("missing".to_owned(), |it| format!("`{it}`")))]
    UnsupportedMediaType(Option<String>),
    #[error("content encoding `{0}`; send the body as it is")]
    UnsupportedEncoding(String),
    #[error("{limit} {what} already")]
    Overloaded { what: &'static str, limit: usize },
    #[error("not answered within {} s; the result is unknown, sending again is safe", .limit.as_secs_f64())]
    RequestTimeout { limit: Duration },
    #[error("{0}")]
    Append(#[from] AppendError),
    #[error("{0}")]
    Page(#[from] PageError),
    #[error("{0}")]
    Internal(String),
    #[error("{0}")]
    Asked(#[from] AskedWrong),
    #[error("{0}")]
    Plan(#[from] PlanError),
    #[error("{0}")]
    Rollout(#[from] AskError),
    #[error("{0}")]
    Query(#[from] QueryError),
    #[error("{0}")]
    Denied(#[from] Denied),
    #[error("{0}")]
    Wait(#[from] Wait),
    #[error("{0}")]
    Operator(#[from] OperatorInvalid),
    #[error("{0}")]
    Access(#[from] AccessError),
    #[error("the roles could not be stored: {0}")]
    AccessFile(#[from] FileError),
    #[error("{0}")]
    Trail(audit::QueryError),
    #[error("{field}: `{}` is {flaw}, which no node can read; the lock has it as `behavioral_fingerprint`", shown(.found))]
    Fingerprint { field: &'static str, found: String, flaw: api::release::Flaw },
    #[error("a node sends events of its own; `{node}` is another one")]
    OtherNode { node: String },
    #[error("a page of somebody else may not change anything here")]
    Browser,
    #[error("no token of this name")]
    NoToken,
    #[error("the channel `{channel}` has no release")]
    NoRelease { channel: String },
    #[error("this control plane has its store alone: nobody else can lead")]
    Standalone,
    #[error("the service is being stopped")]
    Stopping,
}

impl From<WriteError> for Refusal {
    fn from(error: WriteError) -> Self {
        Self::Rollout(AskError::Refused(error))
    }
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
    /// The one table of statuses, codes and titles.
    fn row(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Intake(IntakeError::NotJson { .. } | IntakeError::NotAnObject) => {
                (StatusCode::BAD_REQUEST, "INVALID_JSON", "The body is not a JSON object")
            }
            Self::Intake(_) => {
                (StatusCode::BAD_REQUEST, "INVALID_EVENTS", "The events are not valid")
            }
            Self::InvalidQuery(_) => {
                (StatusCode::BAD_REQUEST, "INVALID_QUERY", "A parameter is not valid")
            }
            Self::NotFound { .. } => (StatusCode::NOT_FOUND, "NOT_FOUND", "Not found"),
            Self::MethodNotAllowed { .. } => {
                (StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", "Method not allowed")
            }
            Self::BodyTimeout { .. }
            | Self::BodyIncomplete { .. }
            | Self::BodyTooLarge { .. }
            | Self::UnsupportedMediaType(_)
            | Self::UnsupportedEncoding(_)
            | Self::Fingerprint { .. } => self.of_body(),
            Self::Overloaded { .. } => overloaded(),
            Self::RequestTimeout { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "REQUEST_TIMEOUT", "The request took too long")
            }
            Self::Append(error) => of_append(error),
            Self::Page(error) => of_page(error),
            Self::Internal(_) => internal(),
            Self::Asked(error) => {
                (StatusCode::BAD_REQUEST, error.code(), "The request is not valid")
            }
            Self::Plan(error) => of_plan(error),
            Self::Rollout(error) => of_ask(error),
            Self::Query(error) => of_query(error),
            Self::Denied(denied) => match denied.class() {
                Class::Unauthenticated => {
                    (StatusCode::UNAUTHORIZED, denied.code(), "Nobody is known to ask")
                }
                Class::Forbidden => (StatusCode::FORBIDDEN, denied.code(), "Not allowed"),
            },
            Self::Wait(wait) => {
                (StatusCode::TOO_MANY_REQUESTS, wait.code(), "Too many failed credentials")
            }
            Self::Operator(error) => {
                (StatusCode::BAD_REQUEST, error.code(), "The request is not valid")
            }
            Self::Access(error) => of_access(error),
            Self::AccessFile(error) => {
                (StatusCode::SERVICE_UNAVAILABLE, error.code(), "The roles could not be stored")
            }
            Self::Trail(error) => {
                (StatusCode::SERVICE_UNAVAILABLE, error.code(), "The audit trail cannot be read")
            }
            Self::OtherNode { .. } => (StatusCode::FORBIDDEN, "NOT_THIS_NODE", "Not allowed"),
            Self::Browser => (StatusCode::FORBIDDEN, "BROWSER_REFUSED", "Not allowed"),
            Self::NoToken => (StatusCode::NOT_FOUND, "TOKEN_NOT_FOUND", "Not found"),
            Self::NoRelease { .. } => (StatusCode::NOT_FOUND, "RELEASE_UNKNOWN", "Not found"),
            Self::Standalone => (StatusCode::CONFLICT, "HA_STANDALONE", "Nobody else can lead"),
            Self::Stopping => stopped(),
        }
    }

    /// The rows of bodies that were not taken.
    const fn of_body(&self) -> Row {
        match self {
            Self::BodyTimeout { .. } => {
                (StatusCode::REQUEST_TIMEOUT, "BODY_TIMEOUT", "The body took too long")
            }
            Self::BodyIncomplete { .. } => {
                (StatusCode::BAD_REQUEST, "BODY_INCOMPLETE", "The body is not whole")
            }
            Self::BodyTooLarge { .. } => {
                (StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE", "The body is too large")
            }
            Self::Fingerprint { .. } => {
                (StatusCode::BAD_REQUEST, "FINGERPRINT_FORM", "No node can read the fingerprint")
            }
            _ => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "UNSUPPORTED_MEDIA_TYPE",
                "The body is of another type",
            ),
        }
    }

    /// What `Retry-After` says, where it says something.
    fn retry_after(&self, status: StatusCode) -> Option<HeaderValue> {
        match self {
            Self::Wait(wait) => HeaderValue::from_str(&wait.seconds().to_string()).ok(),
            _ if status == StatusCode::SERVICE_UNAVAILABLE => Some(RETRY_AFTER),
            _ => None,
        }
    }
}

/// The beginning of a text that may be long.
fn shown(text: &str) -> String {
    text.chars().take(FOUND_LEN_MAX).collect()
}

type Row = (StatusCode, &'static str, &'static str);

const fn of_plan(error: &PlanError) -> Row {
    let status = match error {
        PlanError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        PlanError::Artifact { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::BAD_REQUEST,
    };
    (status, error.code(), "The plan is not valid")
}

fn of_ask(error: &AskError) -> Row {
    match error {
        AskError::Refused(error) => of_write(error),
        AskError::Batch(error) => of_batch(error),
        AskError::Overloaded { .. } => overloaded(),
        AskError::Stopped => stopped(),
        AskError::NotOnRecord { .. } => (
            StatusCode::SERVICE_UNAVAILABLE,
            "AUDIT_UNAVAILABLE",
            "What is asked for cannot be put on record",
        ),
    }
}

fn of_batch(error: &ApplyError) -> Row {
    match error {
        ApplyError::StaleEpoch { .. } => {
            (StatusCode::CONFLICT, error.code(), "Somebody else leads")
        }
        ApplyError::Busy => busy(),
        ApplyError::Full { .. } => {
            (StatusCode::INSUFFICIENT_STORAGE, error.code(), "The disk is full")
        }
        _ => stopped(),
    }
}

fn of_write(error: &WriteError) -> Row {
    let (status, title) = match error {
        WriteError::NotFound { .. }
        | WriteError::StageUnknown { .. }
        | WriteError::GateUnknown { .. }
        | WriteError::ReleaseUnknown { .. } => (StatusCode::NOT_FOUND, "Not found"),
        WriteError::Generation { .. } => (StatusCode::PRECONDITION_FAILED, "The plan has changed"),
        WriteError::Expiry { .. } | WriteError::ReasonMissing | WriteError::TooLong { .. } => {
            (StatusCode::BAD_REQUEST, "The request is not valid")
        }
        WriteError::FleetFull { .. } => (StatusCode::INSUFFICIENT_STORAGE, "No room"),
        WriteError::Unreadable { .. } | WriteError::Database { .. } => {
            (StatusCode::INTERNAL_SERVER_ERROR, "The store could not be used")
        }
        _ => (StatusCode::CONFLICT, "Not as things are"),
    };
    (status, error.code(), title)
}

fn of_query(error: &QueryError) -> Row {
    match error {
        QueryError::Read(ReadError::Busy) => busy(),
        QueryError::Read(error) => {
            (StatusCode::INTERNAL_SERVER_ERROR, error.code(), "The store could not be read")
        }
        QueryError::TimedOut { .. } => {
            (StatusCode::SERVICE_UNAVAILABLE, "QUERY_TIMEOUT", "The query took too long")
        }
        QueryError::Stopped => stopped(),
    }
}

const fn of_access(error: &AccessError) -> Row {
    let (status, title) = match error.kind() {
        Kind::Invalid => (StatusCode::BAD_REQUEST, "The request is not valid"),
        Kind::Forbidden => (StatusCode::FORBIDDEN, "Not allowed"),
        Kind::NotFound => (StatusCode::NOT_FOUND, "Not found"),
        Kind::Conflict => (StatusCode::CONFLICT, "Not as things are"),
        Kind::Full => (StatusCode::INSUFFICIENT_STORAGE, "No room"),
    };
    (status, error.code(), title)
}

const fn overloaded() -> (StatusCode, &'static str, &'static str) {
    (StatusCode::SERVICE_UNAVAILABLE, "OVERLOADED", "Too much at once")
}

const fn busy() -> (StatusCode, &'static str, &'static str) {
    (StatusCode::SERVICE_UNAVAILABLE, "STORE_BUSY", "The store is busy")
}

const fn stopped() -> (StatusCode, &'static str, &'static str) {
    (StatusCode::SERVICE_UNAVAILABLE, "STORE_STOPPED", "The store is not available")
}

const fn internal() -> (StatusCode, &'static str, &'static str) {
    (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "Internal error")
}

const fn of_append(error: &AppendError) -> (StatusCode, &'static str, &'static str) {
    match error {
        AppendError::Overloaded { .. } => overloaded(),
        AppendError::Busy => busy(),
        AppendError::Full { .. } => {
            (StatusCode::INSUFFICIENT_STORAGE, "STORE_FULL", "The disk is full")
        }
        AppendError::Stopped => stopped(),
        AppendError::Other { .. } => internal(),
    }
}

const fn of_page(error: &PageError) -> (StatusCode, &'static str, &'static str) {
    match error {
        PageError::Busy => busy(),
        PageError::TimedOut { .. } => {
            (StatusCode::SERVICE_UNAVAILABLE, "QUERY_TIMEOUT", "The query took too long")
        }
        PageError::Stopped => stopped(),
        PageError::Failed { .. } => {
            (StatusCode::INTERNAL_SERVER_ERROR, "STORE_READ_FAILED", "The store could not be read")
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, code, title) = self.row();
        let detail = self.to_string();
        // A line for each refusal would add to the overload that they are an answer to.
        let expected = self.row().1 == overloaded().1;
        if status.is_server_error() && !expected {
            tracing::warn!(status = status.as_u16(), code, %detail, "request refused");
        } else {
            tracing::debug!(status = status.as_u16(), code, %detail, "request refused");
        }
        let problem = Problem::new(status.as_u16(), code, title, detail);
        // Strings and numbers always serialize; if they did not, the status is still told.
        let mut response = to_json(&problem, PROBLEM_JSON).unwrap_or_default();
        *response.status_mut() = status;
        if let Some(value) = self.retry_after(status) {
            response.headers_mut().insert(header::RETRY_AFTER, value);
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, BEARER);
        }
        response
    }
}

/// Makes a 200 answer.
pub(crate) fn json_response(body: &impl Serialize) -> Result<Response, Refusal> {
    to_json(body, "application/json").map_err(|error| Refusal::Internal(error.to_string()))
}

fn to_json(
    body: &impl Serialize,
    content_type: &'static str,
) -> Result<Response, serde_json::Error> {
    let bytes = serde_json::to_vec(body)?;
    let mut response = bytes.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    Ok(response)
}
