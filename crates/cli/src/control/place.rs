//! Where the control plane is, and what is asked there.
//!
//! # Invariants
//!
//! * **P1** A name is one segment of a path, whatever is in it. One that no path can hold (empty, `.`,
//!   `..`) is refused and never dropped: the rest would name something else. The same holds for one with control
//!   characters, of which a URL drops tabs and line ends.
//! * **P2** A token goes over plain HTTP to this machine only (T2 of `api::token`), unless the operator says so.

use std::fmt::Display;

use api::{
    token::{Token, TokenError},
    url::without_secrets,
};
use reqwest::Url;

/// What every path of a route begins with.
const VERSION: &str = "v1";

/// Base URL of a control plane.
#[derive(Clone, Debug)]
pub(crate) struct Base(Url);

/// A base URL that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BaseError {
    /// It is no http or https URL.
    Url { shown: String },
    /// Its path ends with the version, which every route brings along.
    Versioned { shown: String, root: String },
    /// It has a password, a query or a fragment.
    Surplus { shown: String },
}

impl BaseError {
    /// The code of each.
    pub(crate) const CODE: &str = "BAD_CONTROL_PLANE_URL";
}

impl std::fmt::Display for BaseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Url { shown } => {
                write!(f, "the control plane `{shown}` is no http or https URL")
            }
            Self::Versioned { shown, .. } => {
                write!(
                    f,
                    "the control plane `{shown}` has `/{VERSION}` in it, which is added to every request"
                )
            }
            Self::Surplus { shown } => {
                write!(f, "the control plane `{shown}` has a user, a query or a fragment")
            }
        }
    }
}

impl Base {
    /// Reads a base URL.
    pub(crate) fn parse(text: &str) -> Result<Self, BaseError> {
        let shown = without_secrets(text);
        let Ok(url) = Url::parse(text) else { return Err(BaseError::Url { shown }) };
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(BaseError::Url { shown });
        }
        let named = !url.username().is_empty() || url.password().is_some();
        if named || url.query().is_some() || url.fragment().is_some() {
            return Err(BaseError::Surplus { shown });
        }
        let last = url.path_segments().and_then(|mut it| it.rfind(|it| !it.is_empty()));
        if last == Some(VERSION) {
            let root = without_path(&url);
            return Err(BaseError::Versioned { shown, root });
        }
        Ok(Self(url))
    }

    /// The URL of a path that is no route.
    pub(crate) fn path(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(path);
        url
    }

    /// Its URL without a path; `None` when it has none.
    pub(crate) fn root(&self) -> Option<String> {
        (self.0.path() != "/").then(|| without_path(&self.0))
    }

    /// What says there who asks (P2).
    pub(crate) fn bearer(&self, token: &Token) -> Result<String, TokenError> {
        token.bearer(self.0.scheme(), self.0.host_str().unwrap_or_default())
    }

    /// Whether TLS is spoken there.
    pub(crate) fn is_tls(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Its URL, fit for a message.
    pub(crate) fn shown(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    /// The URL of a route (P1).
    pub(crate) fn url(&self, route: &Route) -> Result<Url, RouteError> {
        if let Some(error) = route.segments.iter().find_map(|it| RouteError::of(it)) {
            return Err(error);
        }
        let mut url = self.0.clone();
        // A URL with a host has segments.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(VERSION).extend(&route.segments);
        }
        if !route.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&route.query);
        }
        Ok(url)
    }
}

fn without_path(url: &Url) -> String {
    let mut root = url.clone();
    root.set_path("");
    root.as_str().trim_end_matches('/').to_owned()
}

/// A name that no path can hold (P1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RouteError {
    /// It is empty, `.` or `..`.
    NoSegment { name: String },
    /// It has control characters.
    Control { name: String },
}

impl RouteError {
    fn of(name: &str) -> Option<Self> {
        let owned = || name.to_owned();
        match name {
            "" | "." | ".." => Some(Self::NoSegment { name: owned() }),
            _ if name.contains(char::is_control) => Some(Self::Control { name: owned() }),
            _ => None,
        }
    }

    /// The stable code; for what the control plane would refuse, that of the control plane.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::NoSegment { .. } => "BAD_NAME",
            Self::Control { .. } => "INVALID_NAME",
        }
    }
}

impl std::fmt::Display for RouteError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoSegment { name } => write!(f, "`{name}` is no name"),
            Self::Control { name } => {
                write!(f, "{name:?} is no name: it has control characters; nothing was asked")
            }
        }
    }
}

/// What is asked, below `/v1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    segments: Vec<String>,
    query: Vec<(&'static str, String)>,
}

impl Route {
    /// Begins a route.
    pub(crate) fn new(first: &str) -> Self {
        Self { segments: vec![first.to_owned()], query: Vec::new() }
    }

    /// Goes one segment down (P1).
    #[must_use]
    pub(crate) fn at(mut self, segment: &str) -> Self {
        self.segments.push(segment.to_owned());
        self
    }

    /// Adds a parameter.
    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: impl Display) -> Self {
        self.query.push((name, format!("{value}")));
        self
    }

    /// Adds a parameter that was given.
    #[must_use]
    pub(crate) fn maybe(self, name: &'static str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_segment_whatever_is_in_it() {
        let base = Base::parse("http://h:1/base/").unwrap();
        let url = |name: &str| base.url(&Route::new("rollouts").at(name).at("recover"));
        for (name, want) in [
            ("p-1", "p-1"),
            ("a/../b?c#d%", "a%2F..%2Fb%3Fc%23d%25"),
            ("ü …", "%C3%BC%20%E2%80%A6"),
            ("%2e%2e", "%252e%252e"),
        ] {
            assert_eq!(url(name).unwrap().path(), format!("/base/v1/rollouts/{want}/recover"));
        }
        for name in ["", ".", ".."] {
            assert_eq!(url(name).unwrap_err(), RouteError::NoSegment { name: name.to_owned() });
        }
        for name in ["a\nb", "ab\n", "\tab", "a\rb", "a\u{1b}b", "a\u{7f}", "a\u{85}b"] {
            let error = url(name).unwrap_err();
            assert_eq!(error.code(), "INVALID_NAME", "P1 {name:?}");
            assert!(!error.to_string().contains(char::is_control), "P1 {error}");
        }
        let route = Route::new("events").with("since", "a&b=c d").maybe("limit", None::<u32>);
        assert_eq!(base.url(&route).unwrap().query(), Some("since=a%26b%3Dc+d"));
    }

    #[test]
    fn a_base_with_the_version_in_it_is_refused_with_the_one_that_is_meant() {
        for bad in ["http://h:1/v1", "http://h:1/v1/", "http://h:1/base/v1"] {
            let root = match Base::parse(bad).unwrap_err() {
                BaseError::Versioned { root, .. } => root,
                other => unreachable!("{other}"),
            };
            assert_eq!(root, "http://h:1");
        }
        assert_eq!(Base::parse("http://h:1/v1x").unwrap().root().as_deref(), Some("http://h:1"));
        assert_eq!(Base::parse("http://h:1/").unwrap().root(), None);
    }

    #[test]
    fn a_base_is_an_http_url_and_nothing_more() {
        for good in ["http://h", "https://h:8888/", "http://[::1]:8888/base"] {
            assert!(Base::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "h:1",
            "localhost:8888",
            "ftp://h",
            "http://",
            "/v1",
            "http://me:SECRET@h",
            "http://SECRET@h",
            "http://h?key=SECRET",
            "http://h#SECRET",
            "http://me:SECRET@h:port",
        ] {
            let error = Base::parse(bad).unwrap_err();
            assert!(!error.to_string().contains("SECRET"), "{error}");
        }
    }

    #[test]
    fn only_plain_http_to_another_machine_is_in_clear() {
        let token = Token::new("SECRET").unwrap();
        for (url, want) in [
            ("http://127.0.0.1:8888", false),
            ("http://127.8.8.8", false),
            ("http://localhost:8888", false),
            ("http://[::1]:8888", false),
            ("https://control.example", false),
            ("http://control.example", true),
            ("http://10.0.0.1", true),
            ("http://localhost.example", true),
            ("http://0.0.0.0", true),
            ("http://[::]", true),
        ] {
            assert_eq!(Base::parse(url).unwrap().bearer(&token).is_err(), want, "{url}");
        }
    }
}
