//! Who a caller is, from what he shows: a token, a certificate, a name.
//!
//! | row | `Authorization`       | certificate        | identity                                        |
//! |-----|-----------------------|--------------------|-------------------------------------------------|
//! | A   | absent                | absent             | anonymous                                       |
//! | B   | a live token          | –                  | the subject of the token                        |
//! | C   | anything else         | –                  | invalid                                         |
//! | D   | absent                | names one subject  | that subject                                    |
//! | E   | absent                | names none or many | invalid                                         |
//!
//! # Invariants
//!
//! * **Y1** A credential is one whole header of one form: nothing is guessed from half of one or from two.
//! * **Y2** A token says more than the certificate of the connection, which may belong to the machine that
//!   it comes through. Certificates are verified by the TLS side; what is read here is only the name.
//! * **Y3** A caller is on this machine when the connection is, and nothing in the request says that
//!   somebody else is behind it: no proxy, no web page.

use std::{fmt, net::IpAddr, time::Duration};

use axum::http::{HeaderMap, HeaderName, header};
use jiff::Timestamp;
use thiserror::Error;

use super::{
    access::{Access, TokenState},
    certificate,
    decide::Identity,
    slow::{Brake, Wait},
    subject::is_reserved,
    token::Presented,
};

/// The header with the name of the operator.
pub(crate) const OPERATOR_HEADER: HeaderName = HeaderName::from_static("x-autonomy-operator");
/// Longest name of an operator in bytes.
pub(crate) const OPERATOR_LEN_MAX: usize = 128;
/// What a proxy adds, and what a browser does: the connection is not all there is to know.
const FROM_ELSEWHERE: [&str; 7] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-real-ip",
    "via",
    "origin",
    "sec-fetch-site",
];

/// What a request shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown<'a> {
    pub(crate) headers: &'a HeaderMap,
    /// The verified leaf certificate of the connection, DER.
    pub(crate) certificate: Option<&'a [u8]>,
    pub(crate) peer: IpAddr,
}

/// What time it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Now {
    /// By the calendar, for the life of tokens.
    pub(crate) wall: Timestamp,
    /// Since the start of the service, for the brake: it never goes back.
    pub(crate) since_start: Duration,
}

/// Finds out who the caller is, unless he has to wait.
pub(crate) fn identify(
    shown: Shown<'_>,
    access: &Access,
    brake: &mut Brake,
    now: Now,
) -> Result<Identity, Wait> {
    let mut counted = None;
    let token = match bearer(shown.headers) {
        Ok(None) => return Ok(of_certificate(shown.certificate)),
        Ok(Some(presented)) => {
            counted = Some(presented.id.clone()).filter(|it| access.tokens().contains_key(it));
            Ok(presented)
        }
        Err(invalid) => Err(invalid),
    };
    // Before the token is looked at: whoever has to wait does not learn whether this one was right.
    brake.check(shown.peer, counted.as_ref(), now.since_start)?;
    let found = token.and_then(|it| access.verify(&it, now.wall).map_err(Invalid::from));
    Ok(match found {
        Ok(subject) => Identity::Token(subject.clone()),
        Err(invalid) => {
            brake.failed(shown.peer, counted, now.since_start);
            Identity::Invalid(invalid)
        }
    })
}

fn bearer(headers: &HeaderMap) -> Result<Option<Presented>, Invalid> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Invalid::Header);
    }
    let text = value.to_str().map_err(|_| Invalid::Header)?;
    let (scheme, token) = text.split_once(' ').ok_or(Invalid::Header)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Invalid::Header);
    }
    Presented::parse(token).map(Some).map_err(|_| Invalid::Malformed)
}

fn of_certificate(der: Option<&[u8]>) -> Identity {
    match der.map(certificate::subject) {
        None => Identity::Anonymous,
        Some(Some(subject)) => Identity::Certificate(subject),
        Some(None) => Identity::Invalid(Invalid::Certificate),
    }
}

/// Reads the name that the caller gives himself. It proves nothing.
pub(crate) fn claimed(headers: &HeaderMap) -> Result<Option<String>, OperatorInvalid> {
    let mut values = headers.get_all(OPERATOR_HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = str::from_utf8(value.as_bytes()).map_err(|_| OperatorInvalid)?.trim();
    let plain = text.len() <= OPERATOR_LEN_MAX && !text.chars().any(char::is_control);
    if values.next().is_some() || !plain || is_reserved(text) {
        return Err(OperatorInvalid);
    }
    Ok(Some(text).filter(|it| !it.is_empty()).map(str::to_owned))
}

/// Whether a request comes from this machine and from nobody through it (Y3).
pub(crate) fn from_this_machine(peer: IpAddr, headers: &HeaderMap) -> bool {
    peer.to_canonical().is_loopback() && !FROM_ELSEWHERE.iter().any(|it| headers.contains_key(*it))
}

/// Why what a caller shows counts for nothing. Nothing of it is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Invalid {
    Header,
    Malformed,
    Unknown,
    Expired,
    Revoked,
    Certificate,
}

impl From<TokenState> for Invalid {
    fn from(state: TokenState) -> Self {
        match state {
            TokenState::Unknown => Self::Unknown,
            TokenState::Expired => Self::Expired,
            TokenState::Revoked => Self::Revoked,
        }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "send one header `Authorization: Bearer <token>`",
            Self::Malformed => "the bearer token is not one of this service",
            Self::Unknown => "the token is not known",
            Self::Expired => "the token has expired",
            Self::Revoked => "the token was revoked",
            Self::Certificate => "the client certificate does not name one subject",
        })
    }
}

/// A name of an operator that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "X-Autonomy-Operator is not one name of at most {OPERATOR_LEN_MAX} bytes without control characters, or is a reserved one"
)]
pub(crate) struct OperatorInvalid;

impl OperatorInvalid {
    /// Returns the stable code; the answer is a 400.
    #[expect(clippy::unused_self, reason = "every error of the project answers this question")]
    pub(crate) const fn code(self) -> &'static str {
        "OPERATOR_INVALID"
    }
}

#[cfg(test)]
mod tests;
