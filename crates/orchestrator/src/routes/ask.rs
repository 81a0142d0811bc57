//! What every request brings: parameters, conditions, a body.
//!
//! What is not understood is refused and named: a parameter that is silently ignored would answer a question that
//! nobody asked.

use axum::{
    body::Bytes,
    extract::{Query, Request},
    http::{HeaderMap, Uri, header},
};
use connections::read_body;
use rollout_store::{Actor, Idempotency, Reason};
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::gate::Who;
use crate::server::{App, Refusal};

/// Longest body of a request that is no plan and no batch of events, in bytes.
pub(crate) const BODY_LEN_MAX: usize = 64 << 10;
/// Header with a key of the client under which a request is done once.
pub(crate) const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// What is wrong with a request, before anybody looks at what it asks for.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum AskedWrong {
    /// Not one of ours.
    #[error("{name}: unknown parameter; known are {known}")]
    Unknown { name: String, known: String },
    /// More than once.
    #[error("{name}: given twice")]
    Twice { name: String },
    /// A value that cannot be meant.
    #[error("{name}: `{found}` is not {wanted}")]
    Value { name: &'static str, found: String, wanted: &'static str },
    /// Not a query string.
    #[error("query string: {reason}")]
    Form { reason: String },
    /// A part of the path.
    #[error("{what} in the path: {why}")]
    Path { what: &'static str, why: String },
    /// A header.
    #[error("{name}: {why}")]
    Header { name: &'static str, why: String },
    /// The body.
    #[error("body: {reason}")]
    Body { reason: String },
}

impl AskedWrong {
    /// The stable code.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } | Self::Twice { .. } | Self::Value { .. } | Self::Form { .. } => {
                "INVALID_QUERY"
            }
            Self::Path { .. } => "INVALID_NAME",
            Self::Header { .. } => "INVALID_HEADER",
            Self::Body { .. } => "INVALID_JSON",
        }
    }
}

/// The parameters of a request.
#[derive(Debug)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Reads them; others than `known` are refused.
    pub(crate) fn of(uri: &Uri, known: &[&str]) -> Result<Self, AskedWrong> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|error| AskedWrong::Form { reason: error.body_text() })?;
        for (at, (name, _)) in pairs.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let (name, known) = (name.clone(), known.join(", "));
                return Err(AskedWrong::Unknown { name, known });
            }
            if pairs.iter().take(at).any(|it| it.0 == *name) {
                return Err(AskedWrong::Twice { name: name.clone() });
            }
        }
        Ok(Self(pairs))
    }

    /// The text of a parameter.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|it| it.0 == name).map(|it| it.1.as_str())
    }

    /// A parameter that is read by `parse`.
    pub(crate) fn read<T>(
        &self,
        name: &'static str,
        wanted: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, AskedWrong> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let wrong = || AskedWrong::Value { name, found: text.to_owned(), wanted };
        parse(text).map(Some).ok_or_else(wrong)
    }

    /// A whole number; digits that do not fit are a large one.
    pub(crate) fn number(&self, name: &'static str) -> Result<Option<u64>, AskedWrong> {
        let digits = |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit());
        self.read(name, "a whole number", |it| digits(it).then(|| it.parse().unwrap_or(u64::MAX)))
    }

    /// How many entries: at least 1, and more than `max` counts as `max`.
    pub(crate) fn limit(&self, default: u32, max: u32) -> Result<u32, AskedWrong> {
        match self.number("limit")? {
            None => Ok(default),
            Some(0) => Err(AskedWrong::Value {
                name: "limit",
                found: "0".to_owned(),
                wanted: "a whole number from 1",
            }),
            Some(limit) => Ok(u32::try_from(limit).unwrap_or(max).min(max)),
        }
    }

    /// A switch.
    pub(crate) fn switch(&self, name: &'static str) -> Result<bool, AskedWrong> {
        let known = |it: &str| match it {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        };
        Ok(self.read(name, "true or false", known)?.unwrap_or(false))
    }
}

/// Reads a part of the path.
pub(crate) fn named<T>(
    what: &'static str,
    text: &str,
    parse: impl FnOnce(&str) -> Result<T, rollout_store::NameError>,
) -> Result<T, AskedWrong> {
    parse(text).map_err(|error| AskedWrong::Path { what, why: error.to_string() })
}

/// A request that changes something.
#[derive(Debug)]
pub(crate) struct Change {
    /// Who asks.
    pub(crate) by: Actor,
    /// The generation that the plan must have.
    pub(crate) if_match: Option<u64>,
    /// The key of the client.
    pub(crate) idempotency: Option<Idempotency>,
    /// The bytes.
    pub(crate) body: Bytes,
}

impl Change {
    /// Reads it whole, within `len_max` bytes.
    pub(crate) async fn read(app: &App, request: Request, len_max: usize) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        let by = who(&parts.extensions)?;
        let if_match = if_match(&parts.headers)?;
        let body = read_body(&parts.headers, body, len_max, app.limits.body_timeout).await?;
        if !body.is_empty() {
            require_json(&parts.headers)?;
        }
        // A key belongs to whoever uses it, on this route and with these parameters.
        let scope = format!("{by}\n{} {}", parts.method, parts.uri);
        let idempotency = idempotency(&parts.headers, &scope, &body)?;
        Ok(Self { by, if_match, idempotency, body })
    }

    /// The body; `T::default()` for none.
    pub(crate) fn optional<T: DeserializeOwned + Default>(&self) -> Result<T, AskedWrong> {
        if self.body.is_empty() { Ok(T::default()) } else { self.json() }
    }

    /// The body.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, AskedWrong> {
        // A derived reader would also take an array in place of the object.
        if !self.body.trim_ascii_start().starts_with(b"{") {
            return Err(AskedWrong::Body { reason: "not a JSON object".to_owned() });
        }
        serde_json::from_slice(&self.body)
            .map_err(|error| AskedWrong::Body { reason: error.to_string() })
    }
}

/// Reads a reason.
pub(crate) fn reason(text: &str) -> Result<Reason, AskedWrong> {
    Reason::new(text).map_err(|error| AskedWrong::Body { reason: format!("reason: {error}") })
}

/// Who asks; the gate has put it there.
pub(crate) fn who(extensions: &axum::http::Extensions) -> Result<Actor, Refusal> {
    let who = extensions.get::<Who>();
    let who = who.ok_or_else(|| Refusal::Internal("a route without a gate".to_owned()))?;
    let unfit = |error: rollout_store::NameError| AskedWrong::Header {
        name: "x-autonomy-operator",
        why: error.to_string(),
    };
    Ok(Actor::new(&who.0).map_err(unfit)?)
}

fn single<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<Option<&'h str>, AskedWrong> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let wrong = |why: &str| AskedWrong::Header { name, why: why.to_owned() };
    if values.next().is_some() {
        return Err(wrong("given twice"));
    }
    value.to_str().map(Some).map_err(|_| wrong("not printable ASCII"))
}

/// Reads `If-Match: "<generation>"`, or `*` for any.
fn if_match(headers: &HeaderMap) -> Result<Option<u64>, AskedWrong> {
    let Some(text) = single(headers, "if-match")? else { return Ok(None) };
    let text = text.trim();
    if text == "*" {
        return Ok(None);
    }
    let digits = text.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or(text);
    let why = format!("`{text}` is not a generation; take the ETag of the plan");
    let plain = !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit());
    let number = Some(digits).filter(|_| plain).and_then(|it| it.parse().ok());
    number.map(Some).ok_or(AskedWrong::Header { name: "if-match", why })
}

fn idempotency(
    headers: &HeaderMap,
    scope: &str,
    body: &[u8],
) -> Result<Option<Idempotency>, AskedWrong> {
    let Some(key) = single(headers, IDEMPOTENCY_KEY)? else { return Ok(None) };
    let unfit = |error: rollout_store::idempotency::KeyError| AskedWrong::Header {
        name: IDEMPOTENCY_KEY,
        why: error.to_string(),
    };
    Idempotency::new(scope, key, body).map(Some).map_err(unfit)
}

/// Browsers send other types across sites without asking; JSON they do not.
pub(crate) fn require_json(headers: &HeaderMap) -> Result<(), Refusal> {
    if let Some(encoding) = headers.get(header::CONTENT_ENCODING)
        && encoding.as_bytes() != b"identity"
    {
        let encoding = String::from_utf8_lossy(encoding.as_bytes()).into_owned();
        return Err(Refusal::UnsupportedEncoding(encoding));
    }
    let found = headers.get(header::CONTENT_TYPE).map(|it| String::from_utf8_lossy(it.as_bytes()));
    let essence = found.as_deref().unwrap_or("").split(';').next().unwrap_or("").trim();
    let essence = essence.to_ascii_lowercase();
    let json = essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"));
    if json { Ok(()) } else { Err(Refusal::UnsupportedMediaType(found.map(Into::into))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_is_taken() {
        let table = [
            (Some("application/json"), true),
            (Some("Application/JSON; charset=utf-8"), true),
            (Some("application/cloudevents+json"), true),
            (Some("text/plain"), false),
            (Some("application/x-www-form-urlencoded"), false),
            (Some("text/x+json"), false),
            (Some(""), false),
            (None, false),
        ];
        for (content_type, want) in table {
            let mut headers = HeaderMap::new();
            if let Some(value) = content_type {
                headers.insert(header::CONTENT_TYPE, value.parse().unwrap());
            }
            assert_eq!(require_json(&headers).is_ok(), want, "{content_type:?}");
        }
    }
}
