//! Where a page ended, as a text that clients hand back unread.
//!
//! `1` (the version of this form) and the id of the last event as 16 hexadecimal digits. The form
//! may change; a cursor of another form is refused, never guessed at.

use std::{fmt, str::FromStr};

use thiserror::Error;

const VERSION: char = '1';
const DIGITS: usize = 16;

/// A position in the order of insertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The next page begins before the event with this id; at least 1.
    pub(super) before: i64,
}

/// The text is not a cursor of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a cursor that this service gave out")]
pub(super) struct CursorError;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VERSION}{:0width$x}", self.before, width = DIGITS)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let digits = text.strip_prefix(VERSION).ok_or(CursorError)?;
        let cursor = i64::from_str_radix(digits, 16).map(|before| Self { before });
        // Comparing with what would be written refuses signs, upper case and other lengths.
        cursor.ok().filter(|it| it.before > 0 && it.to_string() == text).ok_or(CursorError)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_is_read_back(before in 1..=i64::MAX) {
            let cursor = Cursor { before };
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }

        #[test]
        fn any_other_text_is_refused(text in "\\PC{0,24}") {
            if let Ok(cursor) = text.parse::<Cursor>() {
                prop_assert_eq!(cursor.to_string(), text);
            }
        }
    }

    #[test]
    fn texts_close_to_a_cursor_are_refused() {
        for text in [
            "",
            "1",
            "0000000000000002a",
            "2000000000000002a",
            "1000000000000000",
            "10000000000000000",
            "1000000000000002A",
            "1+00000000000002a",
            "1-00000000000002a",
            "1ffffffffffffffff",
            "1000000000000002a ",
            "100000000000000002a",
        ] {
            assert_eq!(text.parse::<Cursor>(), Err(CursorError), "{text}");
        }
    }
}
