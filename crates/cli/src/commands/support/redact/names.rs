//! Names that say that what they name is a secret.
//!
//! Letters count in either case, and `-` and `_` do not count: `X-Api-Key` has `apikey` in it.

/// Words in a name that make its value a secret.
pub(super) const WORDS: [&str; 13] = [
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "authorization",
    "credential",
    "cookie",
    "session",
];
/// Names that do, and mean something else as a part of another name.
pub(super) const WHOLE: [&str; 3] = ["sig", "pwd", "jwt"];
/// Words that do in the query of a URL.
pub(super) const IN_QUERY: [&str; 3] = ["key", "signature", "code"];
/// Words in the name of a line whose whole rest is the secret: a scheme and its parameters, or several words.
pub(super) const OF_LINE: [&str; 3] = ["authorization", "cookie", "passphrase"];

/// Whether a name says that its value is a secret.
pub(super) fn is_secret(name: &str) -> bool {
    let plain: String =
        name.chars().filter(|it| !matches!(it, '-' | '_')).flat_map(char::to_lowercase).collect();
    WORDS.iter().any(|it| plain.contains(it)) || WHOLE.contains(&plain.as_str())
}

/// The option that a word of a command line is, when the word behind it is its secret.
pub(super) fn is_secret_option(word: &str) -> bool {
    word == "-p" || word.strip_prefix('-').is_some_and(|it| !it.contains('=') && is_secret(it))
}

/// A pattern that finds any of the words, with `-` and `_` in it or not.
pub(super) fn pattern(words: &[&str]) -> String {
    let spread = |word: &&str| {
        let letters: Vec<String> = word.chars().map(String::from).collect();
        letters.join("[-_]?")
    };
    format!("(?:{})", words.iter().map(spread).collect::<Vec<_>>().join("|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_secret_however_it_is_spelled() {
        for name in [
            "password",
            "X-Api-Key",
            "api-key",
            "API_KEY",
            "private_key",
            "passphrase",
            "Set-Cookie",
            "credentials",
            "aws_secret_access_key",
            "sig",
            "SIG",
            "session",
            "Client-Secret",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in ["key", "value", "signature", "design", "path", "node", "passed"] {
            assert!(!is_secret(name), "{name}");
        }
        for option in ["--token", "--api-key", "-p", "--db-password"] {
            assert!(is_secret_option(option), "{option}");
        }
        for option in ["token", "--token=x", "--port", "-v", "-"] {
            assert!(!is_secret_option(option), "{option}");
        }
    }
}
