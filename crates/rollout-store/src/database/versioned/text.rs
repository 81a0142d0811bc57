//! What of a text `SQLite` would leave out without a word.
//!
//! | in the text                          | what `SQLite` does                                    | here    |
//! |--------------------------------------|-------------------------------------------------------|---------|
//! | a byte 0                             | what follows it is not looked at                       | refused |
//! | `/*` without `*/`                    | what follows it is a comment                           | refused |
//! | a name or text without its end        | an error                                              | as it is |
//! | a statement without `;` at the end    | it is run                                             | as it is |
//! | half a statement at the end           | an error                                              | as it is |

/// Why not all of a text would be run.
pub(super) fn left_out(sql: &str) -> Option<String> {
    if let Some(at) = sql.find('\0') {
        return Some(format!("has a byte 0 at offset {at}, and what follows it would not be run"));
    }
    let at = open_comment(sql)?;
    Some(format!(
        "has a comment at offset {at} that does not end, and what follows it would not be run"
    ))
}

/// Where a comment begins that does not end.
fn open_comment(sql: &str) -> Option<usize> {
    let mut rest = sql;
    loop {
        let at = rest.find(['\'', '"', '`', '[', '-', '/'])?;
        let from = rest.get(at..)?;
        let end = match from.as_bytes() {
            [b'-', b'-', ..] => "\n",
            [b'/', b'*', ..] => "*/",
            [b'-' | b'/', ..] => {
                rest = from.get(1..)?;
                continue;
            }
            [b'[', ..] => "]",
            [b'\'', ..] => "'",
            [b'"', ..] => "\"",
            _ => "`",
        };
        let opened = if end == "*/" || end == "\n" { 2 } else { 1 };
        // A quote that stands twice inside of a text ends it and begins the next: that comes to the same.
        match from.get(opened..)?.split_once(end) {
            Some((_, behind)) => rest = behind,
            None if end == "*/" => return Some(sql.len() - from.len()),
            None => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_left_out_is_found_and_nothing_else() {
        for (sql, at) in [
            ("CREATE TABLE a (x);\0 DROP TABLE a;", Some(19)),
            ("SELECT 1; /* DROP TABLE a;", Some(10)),
            ("SELECT 'it''s' /* /* */ -- /*\n; /*/", Some(32)),
            ("SELECT 4 / 2 - 1, \"a/*\", [/*], `/*`, '/*' -- /*", None),
            ("/* */ SELECT 1 /**/", None),
            ("SELECT 'open /*", None),
            ("SELECT 'é' /* é */ -", None),
            ("", None),
        ] {
            let want = at.map(|it| format!("offset {it} "));
            let found = left_out(sql).map(|it| it.replace(',', " "));
            match (&want, &found) {
                (Some(want), Some(found)) => assert!(found.contains(want), "{sql:?}: {found}"),
                _ => assert_eq!(want, found, "{sql:?}"),
            }
        }
    }
}
