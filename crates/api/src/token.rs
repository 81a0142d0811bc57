//! The secret that proves to the control plane who asks.
//!
//! * **T1** It is shown nowhere: not by `Debug`, and not by an error about it.
//! * **T2** It goes over plain HTTP to this machine only. This is the one place that decides it, for commands, runtimes
//!   and sinks.

use std::{fmt, net::IpAddr};

use crate::env;

/// A secret that can be sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl fmt::Debug for Token {
    /// T1.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    /// Takes a secret.
    ///
    /// # Errors
    ///
    /// [`TokenError::Unsendable`] when no header can hold it.
    pub fn new(secret: &str) -> Result<Self, TokenError> {
        let sendable = !secret.is_empty() && secret.bytes().all(|it| it.is_ascii_graphic());
        if sendable { Ok(Self(secret.to_owned())) } else { Err(TokenError::Unsendable) }
    }

    /// The value of `Authorization` for a service (T2).
    ///
    /// # Errors
    ///
    /// [`TokenError::InClear`] when others could read it on the way.
    ///
    /// # Examples
    ///
    /// ```
    /// use api::token::Token;
    ///
    /// let token = Token::new("s3cret")?;
    /// assert_eq!(token.bearer("https", "control.example")?, "Bearer s3cret");
    /// assert!(token.bearer("http", "control.example").is_err());
    /// # Ok::<(), api::token::TokenError>(())
    /// ```
    pub fn bearer(&self, scheme: &str, host: &str) -> Result<String, TokenError> {
        if in_clear(scheme, host) { Err(TokenError::InClear) } else { Ok(self.even_in_clear()) }
    }

    /// The value of `Authorization` where the operator said that nobody else is on that network.
    pub fn even_in_clear(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

/// Whether what is sent to a host can be read on the way (T2).
fn in_clear(scheme: &str, host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let this_machine = host == "localhost" || address.is_ok_and(|it| it.is_loopback());
    scheme != "https" && !this_machine
}

/// Why a token is not sent. None of them shows it (T1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// A header cannot hold it.
    Unsendable,
    /// Others could read it on the way.
    InClear,
}

impl TokenError {
    /// Returns the stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unsendable => "BAD_ENVIRONMENT",
            Self::InClear => "TOKEN_IN_CLEAR",
        }
    }

    /// What to do about it.
    pub const fn hint(self) -> &'static str {
        match self {
            Self::Unsendable => "set it to what `autonomy rbac token create` prints",
            Self::InClear => "use https, or the address of a control plane on this machine",
        }
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = env::TOKEN;
        match self {
            Self::Unsendable => write!(f, "{token} has a character that cannot be sent"),
            Self::InClear => write!(
                f,
                "{token} is not sent over plain HTTP to another machine: whoever is on the way could read it"
            ),
        }
    }
}

impl std::error::Error for TokenError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_in_clear_to_this_machine_only() {
        let token = Token::new("SECRET").unwrap();
        for (scheme, host, sent) in [
            ("https", "control.example", true),
            ("http", "127.0.0.1", true),
            ("http", "127.9.9.9", true),
            ("http", "[::1]", true),
            ("http", "localhost", true),
            ("http", "control.example", false),
            ("http", "localhost.example", false),
            ("http", "10.0.0.1", false),
            ("http", "[::ffff:10.0.0.1]", false),
            ("http", "0.0.0.0", false),
            ("http", "", false),
            ("ftp", "control.example", false),
        ] {
            let said = token.bearer(scheme, host);
            let want = if sent { Ok("Bearer SECRET".to_owned()) } else { Err(TokenError::InClear) };
            assert_eq!(said, want, "{scheme} {host}");
        }
    }

    #[test]
    fn what_no_header_can_hold_is_refused_and_nothing_shows_it() {
        for bad in ["", "SEC\nRET", "SEC RET", "SECRET\u{e9}", "\u{7f}SECRET"] {
            let error = Token::new(bad).unwrap_err();
            assert_eq!(error, TokenError::Unsendable);
            assert!(!error.to_string().contains("SEC"));
        }
        let token = Token::new("SECRET").unwrap();
        assert_eq!(format!("{token:?}"), "Token(…)");
        assert!(!TokenError::InClear.to_string().contains("SECRET"));
    }
}
