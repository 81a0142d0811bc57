//! Takes secrets out of texts.
//!
//! | what                                                    | where                        |
//! |---------------------------------------------------------|------------------------------|
//! | the value of a variable that holds a secret             | anywhere                     |
//! | a value behind a key such as `password`, `token`, `secret` | JSON, and `key=value` in text |
//! | user and password of a URL                              | anywhere                     |
//! | what follows `Bearer` or `Basic`                         | anywhere                     |
//! | a private key in PEM                                     | anywhere                     |

use api::env;
use regex::{Captures, Regex};
use serde_json::Value;

use crate::context::Context;

/// What stands in the place of a secret.
const REDACTED: &str = "[redacted]";
/// Variables that hold secrets.
const SECRETS: [&str; 5] = [
    env::TOKEN,
    env::KEY_PASSWORD,
    env::COSIGN_PASSWORD,
    env::REGISTRY_PASSWORD,
    env::OTLP_HEADERS.all,
];
/// Words in a key that make its value a secret.
const KEYS: [&str; 8] =
    ["password", "passwd", "secret", "token", "api_key", "apikey", "authorization", "credential"];
/// Shortest value that is looked for; a shorter one would be found in every text.
const LEN_LEAST: usize = 4;

/// Knows what is secret.
pub(super) struct Redactor {
    values: Vec<String>,
    /// Patterns, and the group that stays.
    patterns: Vec<Regex>,
}

impl Redactor {
    /// Takes the secrets of the environment.
    pub(super) fn new(context: Context<'_>) -> Self {
        let named = SECRETS.into_iter().chain([env::OTLP_HEADERS.logs]);
        Self::with(named.filter_map(|it| context.var(it)))
    }

    fn with(values: impl Iterator<Item = String>) -> Self {
        let mut values: Vec<String> = values.filter(|it| it.len() >= LEN_LEAST).collect();
        // The longest first: one secret may be part of another.
        values.sort_by_key(|it| std::cmp::Reverse(it.len()));
        let sources = [
            r"(?s)(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(-----END [A-Z ]*PRIVATE KEY-----|$)",
            r"(?i)(\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]+",
            r"(://)[^/\s@]+@",
            r"(?i)(\b[\w-]*(?:password|passwd|secret|token|api_?key|credential)[\w-]*\s*[=:]\s*)[^\s,;]+",
        ];
        // Each of them compiles: a test looks.
        let patterns = sources.into_iter().filter_map(|it| Regex::new(it).ok()).collect();
        Self { values, patterns }
    }

    /// The text without secrets.
    pub(super) fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for value in &self.values {
            text = text.replace(value, REDACTED);
        }
        for pattern in &self.patterns {
            text = pattern.replace_all(&text, kept).into_owned();
        }
        text
    }

    fn member(&self, key: String, value: Value) -> (String, Value) {
        if is_secret(&key, &value) {
            return (key, Value::String(REDACTED.to_owned()));
        }
        let value = self.json(value);
        (key, value)
    }

    /// The same for JSON, which stays JSON.
    pub(super) fn json(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(all) => all.into_iter().map(|it| self.json(it)).collect(),
            Value::Object(members) => {
                let members = members.into_iter();
                Value::Object(members.map(|(key, value)| self.member(key, value)).collect())
            }
            other => other,
        }
    }
}

/// What stays of a match: its first group, and the end of the part of a URL.
fn kept(found: &Captures<'_>) -> String {
    let kept = found.get(1).map_or("", |it| it.as_str());
    let at = if kept == "://" { "@" } else { "" };
    format!("{kept}{REDACTED}{at}")
}

/// Whether a key says that its value is a secret. A number or a switch beside such a key is none.
fn is_secret(key: &str, value: &Value) -> bool {
    let key = key.to_lowercase();
    value.is_string() && KEYS.iter().any(|it| key.contains(it))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn redactor() -> Redactor {
        let it = Redactor::with(["s3cr3t-value".to_owned(), "abc".to_owned()].into_iter());
        assert_eq!(it.patterns.len(), 4, "each pattern compiles");
        it
    }

    #[test]
    fn no_secret_stays_in_a_text_and_the_rest_does() {
        let it = redactor();
        for (text, want) in [
            ("x s3cr3t-value y", "x [redacted] y"),
            ("Authorization: Bearer abc.def-g", "Authorization: Bearer [redacted]"),
            ("http://ann:pw@host:1/x", "http://[redacted]@host:1/x"),
            ("PASSWORD=hunter2 next", "PASSWORD=[redacted] next"),
            ("api_key: k1, b", "api_key: [redacted], b"),
            ("an abc stays: too short to look for", "an abc stays: too short to look for"),
            (
                "a\n-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\nb",
                "a\n-----BEGIN PRIVATE KEY-----[redacted]\nb",
            ),
        ] {
            assert_eq!(it.text(text), want);
        }
        assert!(!it.text("-----BEGIN EC PRIVATE KEY-----\nMIIB cut").contains("MIIB"));
    }

    #[test]
    fn json_stays_json_and_loses_what_its_keys_call_secret() {
        let it = redactor();
        let value = json!({
            "token": "t", "n": [{"Client-Secret": "x", "tokens": 5}],
            "url": "https://u:p@h", "note": "s3cr3t-value", "good": "stays",
        });
        let want = json!({
            "token": "[redacted]", "n": [{"Client-Secret": "[redacted]", "tokens": 5}],
            "url": "https://[redacted]@h", "note": "[redacted]", "good": "stays",
        });
        assert_eq!(it.json(value), want);
    }
}
