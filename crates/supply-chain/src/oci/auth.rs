//! Challenges, and tokens (H3).
//!
//! Source: RFC 7235 (challenges), RFC 7617 (`Basic`), RFC 6750 (`Bearer`), and how the Distribution project gives tokens.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http_auth::{ChallengeParser, ChallengeRef};
use reqwest::{
    StatusCode,
    header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE},
};
use serde::Deserialize;
use url::Url;
use zeroize::{Zeroize as _, Zeroizing};

use crate::{
    RegistryError,
    oci::{
        http::{Ask, Http},
        options::Credentials,
    },
};

/// Longest answer that brings a token, in bytes.
const TOKEN_ANSWER_LEN_MAX: u64 = 64 << 10;

/// What a registry wants to see.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Challenge {
    /// Name and password.
    Basic,
    /// A token from `realm`.
    Bearer { realm: String, service: Option<String> },
}

/// An answer that brings a token.
#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
}

impl Http {
    /// Answers the challenges of a registry with the value of a header.
    pub(super) async fn answer(
        &self,
        headers: &HeaderMap,
        ask: &Ask,
    ) -> Result<HeaderValue, RegistryError> {
        let refused = || self.refused(StatusCode::UNAUTHORIZED, &ask.what);
        match (choose(headers), &self.credentials) {
            (Some(Challenge::Bearer { realm, service }), _) => {
                self.token(&realm, service.as_deref(), ask.writes).await
            }
            (Some(Challenge::Basic), Some(it)) => basic(it).ok_or_else(refused),
            _ => Err(refused()),
        }
    }

    async fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        writes: bool,
    ) -> Result<HeaderValue, RegistryError> {
        let what = "a token";
        let malformed =
            |text: &str| RegistryError::Malformed { what: what.to_owned(), text: text.to_owned() };
        let mut url = Url::parse(realm).map_err(|_| malformed("its realm is no URL"))?;
        if !self.address.may_ask_for_token(&url, self.credentials.is_some()) {
            return Err(self.redirected(&url));
        }
        // The scope is ours: a token for anything else than this repository is never asked for.
        let rights = if writes { "pull,push" } else { "pull" };
        let scope = format!("repository:{}:{rights}", self.address.repository());
        if let Some(service) = service {
            url.query_pairs_mut().append_pair("service", service);
        }
        url.query_pairs_mut().append_pair("scope", &scope);
        let mut request = self.client.get(url.clone());
        if let Some(value) = self.credentials.as_ref().and_then(basic) {
            request = request.header(AUTHORIZATION, value);
        }
        let response = request.send().await.map_err(|error| self.failed(error))?;
        match response.status() {
            StatusCode::OK => {}
            status if status.is_redirection() => return Err(self.redirected(&url)),
            status => return Err(self.refused(status, what)),
        }
        let body = Zeroizing::new(self.bounded(response, TOKEN_ANSWER_LEN_MAX, what).await?);
        let answer: TokenAnswer =
            serde_json::from_slice(&body).map_err(|_| malformed("it is no JSON with a token"))?;
        let token = answer.token.or(answer.access_token).map(Zeroizing::new);
        let token = token.filter(|it| !it.is_empty()).ok_or_else(|| malformed("there is none"))?;
        header(format!("Bearer {}", *token)).ok_or_else(|| malformed("it fits no header"))
    }
}

/// The challenge that is answered: a token before a password, because a token is worth less to whoever steals it.
fn choose(headers: &HeaderMap) -> Option<Challenge> {
    let texts = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|it| it.to_str().ok());
    let all: Vec<_> = texts
        .flat_map(|it| ChallengeParser::new(it).map_while(Result::ok).collect::<Vec<_>>())
        .filter_map(|it| read(&it))
        .collect();
    let bearer = all.iter().find(|it| matches!(it, Challenge::Bearer { .. }));
    bearer.or(all.first()).cloned()
}

fn read(challenge: &ChallengeRef<'_>) -> Option<Challenge> {
    if challenge.scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    let param = |name: &str| {
        let found = challenge.params.iter().find(|it| it.0.eq_ignore_ascii_case(name));
        found.map(|it| it.1.to_unescaped())
    };
    let is_bearer = challenge.scheme.eq_ignore_ascii_case("bearer");
    let realm = param("realm").filter(|_| is_bearer)?;
    Some(Challenge::Bearer { realm, service: param("service") })
}

fn basic(credentials: &Credentials) -> Option<HeaderValue> {
    let Credentials { user, password } = credentials;
    let pair = Zeroizing::new(format!("{user}:{}", **password));
    header(format!("Basic {}", STANDARD.encode(pair.as_bytes())))
}

/// A header that no log shows.
fn header(mut text: String) -> Option<HeaderValue> {
    let value = HeaderValue::from_str(&text).ok();
    text.zeroize();
    value.map(|mut it| {
        it.set_sensitive(true);
        it
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(texts: &[&'static str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for text in texts {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(text));
        }
        choose(&headers)
    }

    #[test]
    fn a_token_is_preferred_and_what_is_not_understood_is_passed_over() {
        let bearer = |realm: &str, service: Option<&str>| {
            let (realm, service) = (realm.to_owned(), service.map(ToOwned::to_owned));
            Some(Challenge::Bearer { realm, service })
        };
        assert_eq!(chosen(&[]), None);
        assert_eq!(chosen(&["Negotiate"]), None);
        assert_eq!(chosen(&["Basic realm=\"x\""]), Some(Challenge::Basic));
        let both =
            "Basic realm=\"x\", Bearer realm=\"https://a.example/t\",service=\"s\",scope=\"a b\"";
        assert_eq!(chosen(&[both]), bearer("https://a.example/t", Some("s")));
        let second = ["Basic realm=\"x\"", "bearer REALM=\"https://a.example/t?x=\\\"1\\\"\""];
        assert_eq!(chosen(&second), bearer("https://a.example/t?x=\"1\"", None));
        assert_eq!(chosen(&["Bearer service=\"s\""]), None, "no realm, no token");
        assert_eq!(chosen(&["\"\"\"", ",,,", "Basic realm=\"x\""]), Some(Challenge::Basic));
    }

    #[test]
    fn credentials_are_shown_to_nobody() {
        let password = Zeroizing::new("SECRET".to_owned());
        let credentials = Credentials { user: "me".to_owned(), password };
        assert!(!format!("{credentials:?}").contains("SECRET"));
        let value = basic(&credentials).unwrap();
        assert_eq!(value.to_str().unwrap(), "Basic bWU6U0VDUkVU");
        assert_eq!(format!("{value:?}"), "Sensitive");
        assert_eq!(header("Bearer a\r\nX: b".to_owned()), None, "no token adds a header");
    }
}
