//! URLs in logs, answers and errors.

/// Returns a URL as it may be shown: without a name and password before the host, and without a query or
/// fragment, which may be a key.
///
/// It is text that is shortened and no URL that is read, so it holds for one with a mistake in it as well.
/// An `@` behind the host costs what stands before it: rather too little is shown than too much.
///
/// # Examples
///
/// ```
/// use api::url::without_secrets;
///
/// assert_eq!(without_secrets("https://h:4318/v1/logs"), "https://h:4318/v1/logs");
/// assert_eq!(without_secrets("https://me:secret@h/v1/logs?key=secret"), "https://h/v1/logs?…");
/// ```
pub fn without_secrets(url: &str) -> String {
    let (scheme, rest) =
        url.find("//").map_or(("", url), |at| url.split_at_checked(at + 2).unwrap_or(("", url)));
    let rest = rest.rsplit_once('@').map_or(rest, |(_, behind)| behind);
    match rest.split_once(['?', '#']) {
        Some((shown, _)) => format!("{scheme}{shown}?…"),
        None => format!("{scheme}{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_that_may_be_a_secret_is_shown_also_of_a_url_with_a_mistake() {
        for (url, want) in [
            ("http://h", "http://h"),
            ("http://h:1/p/q", "http://h:1/p/q"),
            ("", ""),
            ("h:4318", "h:4318"),
            ("http://u:SECRET@h/p", "http://h/p"),
            ("http://SECRET@h", "http://h"),
            ("http://u:SE@CRET@h", "http://h"),
            ("http://u:SE/CR?ET@h/p", "http://h/p"),
            ("http:/u:SECRET@h", "h"),
            ("u:SECRET@h/p?SECRET", "h/p?…"),
            ("ftp://h/p?key=SECRET#SECRET", "ftp://h/p?…"),
            ("http://h/p#SECRET", "http://h/p?…"),
        ] {
            assert_eq!(without_secrets(url), want);
        }
    }
}
