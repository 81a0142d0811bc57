//! Takes secrets out of texts.
//!
//! | what                                                                 | where              |
//! |----------------------------------------------------------------------|--------------------|
//! | the value of a variable that holds a secret                           | anywhere           |
//! | what follows the first word of the command that handles goals         | anywhere           |
//! | whatever is behind a name such as `password`, `x-api-key`, `session` (`names`) | JSON, `name=value`, `--name value` |
//! | user and password of a URL, and what is secret in its query           | anywhere           |
//! | lines such as `Authorization:` and `Cookie:`                          | anywhere           |
//! | private keys in PEM, and tokens that begin as known ones do (`text`)  | anywhere           |
//!
//! Rather too much is taken than too little.

mod names;
mod text;

use api::env;
use serde_json::{Map, Value};

use self::{
    names::{is_secret, is_secret_option},
    text::Patterns,
};
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
/// Members of an object that name what its member `value` is.
const NAMING: [&str; 3] = ["key", "name", "variable"];
/// Shortest value that is looked for; a shorter one would be found in every text.
const LEN_LEAST: usize = 4;

/// Knows what is secret.
pub(super) struct Redactor {
    /// Texts, and what stands in their place.
    known: Vec<(String, String)>,
    patterns: Patterns,
}

impl Redactor {
    /// Takes the secrets of the environment.
    pub(super) fn new(context: Context<'_>) -> Self {
        let named = SECRETS.into_iter().chain([env::OTLP_HEADERS.logs]);
        let values = named.filter_map(|it| context.var(it)).collect();
        Self::with(values, context.var(env::DISPATCH_CMD))
    }

    fn with(values: Vec<String>, command: Option<String>) -> Self {
        // A list of headers is a secret, and each of them is.
        let parts = values.iter().flat_map(|it| it.split(','));
        let parts = parts.filter_map(|it| Some(it.split_once('=')?.1.trim().to_owned()));
        let parts: Vec<String> = parts.collect();
        let secrets = values.into_iter().chain(parts).filter(|it| it.len() >= LEN_LEAST);
        let mut known: Vec<_> = secrets.map(|it| (it, REDACTED.to_owned())).collect();
        known.extend(command.map(|it| (it.clone(), command_shown(&it))));
        // Where JSON was cut off it is still quoted.
        let quoted: Vec<_> = known.iter().map(|(it, shown)| (quoted(it), shown.clone())).collect();
        known.extend(quoted);
        // The longest first: one secret may be part of another.
        known.sort_by_key(|it| std::cmp::Reverse(it.0.len()));
        Self { known, patterns: Patterns::new() }
    }

    /// The text without secrets.
    pub(super) fn text(&self, text: &str) -> String {
        let known = self.known.iter();
        let text = known.fold(text.to_owned(), |text, (it, shown)| text.replace(it, shown));
        self.patterns.text(&text)
    }

    /// The same for JSON, which stays JSON.
    pub(super) fn json(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(all) => self.list(all),
            Value::Object(members) => self.object(members),
            other => other,
        }
    }

    /// A list may be a command line.
    fn list(&self, all: Vec<Value>) -> Value {
        let mut behind_option = false;
        let told = all.into_iter().map(|it| {
            let next = it.as_str().is_some_and(is_secret_option);
            let secret = std::mem::replace(&mut behind_option, next);
            if secret { hidden(it) } else { self.json(it) }
        });
        told.collect()
    }

    fn object(&self, members: Map<String, Value>) -> Value {
        let named = |it: &&str| members.get(*it).and_then(Value::as_str).is_some_and(is_secret);
        let value_is_secret = NAMING.iter().any(named);
        let told = members.into_iter().map(|(key, value)| {
            let secret = is_secret(&key) || value_is_secret && key == "value";
            let value = if secret { hidden(value) } else { self.json(value) };
            (self.text(&key), value)
        });
        Value::Object(told.collect())
    }
}

/// Whatever is behind a name of a secret; a switch, and that there is nothing, is none.
fn hidden(value: Value) -> Value {
    match value {
        Value::Null | Value::Bool(_) => value,
        _ => Value::String(REDACTED.to_owned()),
    }
}

/// A text as it stands between the quotes of JSON.
fn quoted(text: &str) -> String {
    let json = Value::from(text).to_string();
    let inner = json.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
    inner.unwrap_or(text).to_owned()
}

/// The first word of a command: what follows may be anything.
fn command_shown(command: &str) -> String {
    match command.trim_start().split_once(char::is_whitespace) {
        Some((first, _)) => format!("{first} {REDACTED}"),
        None => command.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn redactor() -> Redactor {
        let values = ["s3cr3t-value", "abc", "x-key=h3ader-1, y=h3ader-2"].map(str::to_owned);
        Redactor::with(values.to_vec(), Some("claude --key \"SECRET\" and more".to_owned()))
    }

    /// S2
    #[test]
    fn no_secret_stays_in_a_text_and_the_rest_does() {
        let it = redactor();
        for (text, want) in [
            ("x s3cr3t-value y", "x [redacted] y"),
            ("of a header: h3ader-2", "of a header: [redacted]"),
            ("Authorization: Bearer abc.def-g", "Authorization: [redacted]"),
            ("a Bearer abc.def-g", "a Bearer [redacted]"),
            ("http://ann:pw@host:1/x", "http://[redacted]@host:1/x"),
            ("PASSWORD=hunter2 next", "PASSWORD=[redacted] next"),
            ("api_key: k1 b", "api_key: [redacted] b"),
            ("an abc stays: too short to look for", "an abc stays: too short to look for"),
            ("cannot run claude --key \"SECRET\" and more: x", "cannot run claude [redacted]: x"),
            (r#"{"v":"claude --key \"SECRET\" and more","b"#, r#"{"v":"claude [redacted]","b"#),
            (
                "a\n-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\nb",
                "a\n-----BEGIN PRIVATE KEY-----[redacted]\nb",
            ),
        ] {
            assert_eq!(it.text(text), want);
        }
    }

    /// S2
    #[test]
    fn json_stays_json_and_loses_what_its_names_call_secret() {
        let it = redactor();
        let value = json!({
            "token": "t", "n": [{"Client-Secret": "x", "tokens": 5, "session": {"id": "x"}}],
            "x-api-key": ["x"], "private_key": 7, "cookie": null, "has_password": true,
            "url": "https://u:p@h", "note": "s3cr3t-value", "good": "stays", "count": 5,
            "argv": ["a", "--token", "x", "--good", "y"],
            "set": [{"key": "db_password", "value": "x"}, {"key": "good", "value": "y"}],
            "cmd": "claude --key \"SECRET\" and more", "s3cr3t-value": 1, "name": "dump-ghp_1234abcd",
        });
        let want = json!({
            "token": "[redacted]",
            "n": [{"Client-Secret": "[redacted]", "tokens": "[redacted]", "session": "[redacted]"}],
            "x-api-key": "[redacted]", "private_key": "[redacted]", "cookie": null, "has_password": true,
            "url": "https://[redacted]@h", "note": "[redacted]", "good": "stays", "count": 5,
            "argv": ["a", "--token", "[redacted]", "--good", "y"],
            "set": [{"key": "db_password", "value": "[redacted]"}, {"key": "good", "value": "y"}],
            "cmd": "claude [redacted]", "[redacted]": 1, "name": "dump-[redacted]",
        });
        assert_eq!(it.json(value), want);
    }
}
