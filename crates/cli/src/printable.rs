//! Text of others for a terminal.
//!
//! Names, reasons and answers come from agents, collectors, and files that anybody may have written. A
//! control character in one of them would move the cursor, change colours, or hide what was printed; a
//! line break would begin a line that nobody wrote.

use std::borrow::Cow;

/// Replaces what a terminal obeys instead of showing it. Line feeds are replaced, too.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, obeyed)
}

/// The same for a text of several lines.
pub(crate) fn printable_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |it| it != '\n' && obeyed(it))
}

fn escaped(text: &str, obeyed: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&obeyed) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for it in text.chars() {
        if obeyed(it) {
            out.extend(it.escape_default());
        } else {
            out.push(it);
        }
    }
    Cow::Owned(out)
}

/// Control characters, line separators, and what turns the direction of text around.
fn obeyed(it: char) -> bool {
    it.is_control()
        || matches!(it, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_shown_and_the_rest_stays() {
        for plain in ["", "tool.echo", "grün — ✓", "{\"a\":1}"] {
            assert!(matches!(printable(plain), Cow::Borrowed(it) if it == plain));
        }
        assert_eq!(
            printable("a\u{1b}[2J\nb\u{9b}c\u{202e}d\0"),
            "a\\u{1b}[2J\\nb\\u{9b}c\\u{202e}d\\u{0}"
        );
        assert_eq!(printable_lines("a\r\nb"), "a\\r\nb");
    }
}
