//! Secrets in texts of no known form: messages, logs, JSON that was cut off.

use std::ops::Range;

use regex::{Captures, Regex};

use super::{
    REDACTED,
    names::{IN_QUERY, OF_LINE, WHOLE, WORDS, pattern},
};

/// How far a secret goes behind what announces it.
#[derive(Clone, Copy, Debug)]
enum Until {
    /// The match is all of it.
    Match,
    /// To the end of the value that begins there.
    Value,
}

/// Ways that secrets stand in texts. The first group of each pattern stays.
#[derive(Debug)]
pub(super) struct Patterns(Vec<(Regex, Until)>);

impl Patterns {
    pub(super) fn new() -> Self {
        // Each of them compiles: a test looks.
        let all = sources().into_iter();
        Self(all.filter_map(|(it, until)| Some((Regex::new(&it).ok()?, until))).collect())
    }

    /// The text without secrets.
    pub(super) fn text(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (pattern, until)| match until {
            Until::Match => pattern.replace_all(&text, kept).into_owned(),
            Until::Value => without_values(&text, pattern),
        })
    }
}

fn sources() -> [(String, Until); 8] {
    let name = "[A-Za-z0-9_.-]*";
    let (secret, whole) = (pattern(&WORDS), pattern(&WHOLE));
    let (of_line, in_query) = (pattern(&OF_LINE), pattern(&IN_QUERY));
    // A quoted name ends with as many backslashes as its text was quoted once more.
    let is = r#"\\*["']?\s*[:=]\s*"#;
    let bound = |what| format!("-----{what} [A-Z0-9 ]*PRIVATE KEY[A-Z0-9 ]*-----");
    let (key, end) = (bound("(?:BEGIN)"), bound("(?:END)"));
    let known = [
        "sk-[A-Za-z0-9_-]{4,}",
        "gh[a-z]_[A-Za-z0-9_]{4,}",
        "github_pat_[A-Za-z0-9_]{4,}",
        "glpat-[A-Za-z0-9_-]{4,}",
        "xox[a-z]-[A-Za-z0-9-]{4,}",
        "A[KS]IA[A-Z0-9]{8,}",
        r"eyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_.-]*",
    ];
    [
        (format!(r"(?s)({key}).*?(?:{end}|\z)"), Until::Match),
        (r#"(://)[^\s"<>`]*@"#.to_owned(), Until::Match),
        (format!(r"(?i)({name}{of_line}{name}[ \t]*[:=][ \t]*)[^\r\n]+"), Until::Match),
        (r"(?i)(\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]+".to_owned(), Until::Match),
        (
            format!(r#"(?i)([?&#;]{name}(?:{secret}|{whole}|{in_query}){name}=)[^&#\s"'<>]+"#),
            Until::Match,
        ),
        (format!(r"(?i)(?:{name}{secret}{name}|(?-u:\b){whole}){is}"), Until::Value),
        (format!(r"(?i)(?:^|[^a-z0-9_-])(?:-p|--?{name}{secret}{name})\s+"), Until::Value),
        (format!(r"(?-u:\b)()(?:{})", known.join("|")), Until::Match),
    ]
}

/// What stays of a match: its first group, and the end of the part of a URL.
fn kept(found: &Captures<'_>) -> String {
    let kept = found.get(1).map_or("", |it| it.as_str());
    let at = if kept == "://" { "@" } else { "" };
    format!("{kept}{REDACTED}{at}")
}

/// The text without the values that stand behind what the pattern finds.
fn without_values(text: &str, pattern: &Regex) -> String {
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    while let Some(found) = pattern.find_at(text, done) {
        let behind = text.get(found.end()..).unwrap_or_default();
        // Behind a quoted name a value without quotes ends where JSON says.
        let secret = secret(behind, found.as_str().contains(['"', '\'']));
        let (from, to) = (found.end() + secret.start, found.end() + secret.end);
        out.push_str(text.get(done..from).unwrap_or_default());
        if from < to {
            out.push_str(REDACTED);
        }
        done = to;
    }
    out.push_str(text.get(done..).unwrap_or_default());
    out
}

/// Where in a text that begins with a value the secret is: without its quotes.
fn secret(text: &str, in_json: bool) -> Range<usize> {
    let open = text.find(|it| it != '\\').filter(|at| {
        let first = text.get(*at..).and_then(|it| it.chars().next());
        first.is_some_and(|it| matches!(it, '"' | '\''))
    });
    if let Some(slashes) = open {
        let start = slashes + 1;
        let end = start + closing(text, slashes);
        let behind = end + start;
        return match rest_of_word(text, behind) {
            0 => start..end,
            more => start..behind + more,
        };
    }
    if text.starts_with(['[', '{']) {
        let end = balanced(text);
        return 0..end + rest_of_word(text, end);
    }
    let ends = |it: char| it.is_whitespace() || in_json && matches!(it, ',' | ']' | '}');
    0..text.find(ends).unwrap_or(text.len())
}

/// Length of a quoted text: as far as its quote with as many backslashes before it, or all of it.
fn closing(text: &str, slashes: usize) -> usize {
    let quote = text.chars().nth(slashes);
    let inner = text.get(slashes + 1..).unwrap_or_default();
    let mut run = 0;
    for (at, it) in inner.char_indices() {
        if Some(it) == quote && (run <= slashes || slashes == 0 && run % 2 == 0) {
            return at - run.min(slashes);
        }
        run = if it == '\\' { run + 1 } else { 0 };
    }
    inner.len()
}

/// Length of what begins with a bracket: as far as the one that closes it, or all of it.
fn balanced(text: &str) -> usize {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for (at, it) in text.char_indices() {
        match it {
            _ if escaped => escaped = false,
            '\\' => escaped = in_text,
            '"' => in_text = !in_text,
            '[' | '{' if !in_text => depth += 1,
            ']' | '}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at + it.len_utf8();
        }
    }
    text.len()
}

/// How far a word goes on at `at`: a shell puts `"a"b` together.
fn rest_of_word(text: &str, at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    let ends = |it: char| it.is_whitespace() || ",;&#]})\"'\\".contains(it);
    rest.find(ends).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pattern_compiles() {
        assert_eq!(Patterns::new().0.len(), sources().len());
    }

    /// S2
    #[test]
    fn no_way_to_write_a_secret_leaves_any_of_it() {
        let it = Patterns::new();
        for text in [
            "http://bob:SECRET@SECRETtail@host/x",
            "http://bob:SE/SECRET@host/x",
            "cmd --token SECRET",
            "cmd --db-password 'SECRET SECRET' -v",
            "cmd --api-key SECRET --x",
            "cmd -p SECRET",
            "cmd --token=SECRET,SECRET;SECRET",
            "x-api-key: SECRET",
            "X_API-KEY = SECRET",
            "private_key=SECRET",
            "passphrase=SECRET of SECRET words",
            "Authorization: Token SECRET",
            "Proxy-Authorization: Digest a=\"SECRET\", b=SECRET",
            "Cookie: a=SECRET; b=SECRET",
            "set-cookie: SECRET; HttpOnly",
            "get /x?sig=SECRET&n=1",
            "get /x?a=1&X-Goog-Signature=SECRET",
            "get /x?key=SECRET",
            "get /x?a&token=SECRET",
            "{\"a\": {\"password\": \"SECRET\\\" SECRET\"",
            "{\"password\": \"SECRET",
            "{\"password\": \"\\\\\", \"token\": \"SECRET\"",
            "{\"passwords\": [\"SECRET\", {\"x\": \"]SECRET\"}], \"b\": 1",
            "{\"session\": {\"id\": \"SECRET\"",
            "{\"text\": \"{\\\"token\\\": \\\"SECRET\\\", \\\"b\\\": 1}\", \"c\":",
            "password=\"SECRET\"SECRET",
            "password=[SECRET]SECRET",
            "PASSWORD=a\"SECRET",
            "pwd: SECRET",
            "-----BEGIN PGP PRIVATE KEY BLOCK-----\nSECRET\n-----END PGP PRIVATE KEY BLOCK-----",
            "-----BEGIN OPENSSH PRIVATE KEY-----\nSECRET",
            "a sk-SECRET b",
            "ghp_SECRET1",
            "github_pat_SECRET_1",
            "\"xoxb-1-SECRET\"",
            "AKIASECRETSECRET",
            "eyJSECRET.eyJSECRET.SECRET-_",
        ] {
            let told = it.text(text);
            assert!(!told.contains("SECRET") && told.contains(REDACTED), "{text}: {told}");
            assert_eq!(it.text(&told), told, "twice is as good as once");
        }
    }

    /// A part has up to 8 MiB: were the time a square of it, nobody would wait for this.
    #[test]
    fn a_long_text_without_a_break_takes_no_longer_than_its_length() {
        let it = Patterns::new();
        for piece in ["abc", "a-", "{\"a\":[", "?a=", "eyJ.", "--p", "\\\""] {
            let text = piece.repeat((1 << 20) / piece.len());
            assert_eq!(it.text(&text), text, "{piece}");
        }
    }

    #[test]
    fn what_stands_beside_a_secret_stays() {
        let it = Patterns::new();
        for (text, want) in [
            ("http://u:p@h:1/x and y", "http://[redacted]@h:1/x and y"),
            ("/x?sig=abc&n=1 z", "/x?sig=[redacted]&n=1 z"),
            ("a --token x --v", "a --token [redacted] --v"),
            ("Cookie: a\nnext: b", "Cookie: [redacted]\nnext: b"),
            (r#"{"token": 5, "b": "c"#, r#"{"token": [redacted], "b": "c"#),
            (r#"{"token":"x","b":"c"#, r#"{"token":"[redacted]","b":"c"#),
            (r#"{"tokens":["x"],"b":"c"#, r#"{"tokens":[redacted],"b":"c"#),
            ("token=\"x\",node=\"n\"", "token=\"[redacted]\",node=\"n\""),
            (
                "design: a; risk-averse task-12345; monkey=1",
                "design: a; risk-averse task-12345; monkey=1",
            ),
            ("token=", "token="),
            ("ü passwört=ß", "ü passwört=ß"),
        ] {
            assert_eq!(it.text(text), want);
        }
    }
}
