//! Where a page ended, as a text that clients hand back unread.
//!
//! `1` (the version of this form) and the position of the last entry as 16 hexadecimal digits. The
//! form may change; a cursor of another form is refused, never guessed at.

use std::{fmt, str::FromStr};

use thiserror::Error;

const VERSION: char = '1';
const DIGITS: usize = 16;

/// A position in the order of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(i64);

/// The text is not a cursor of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a cursor that this service gave out")]
pub struct CursorError;

impl CursorError {
    /// The stable code.
    #[expect(clippy::unused_self, reason = "asked like every other error")]
    pub const fn code(self) -> &'static str {
        "BAD_CURSOR"
    }
}

impl Cursor {
    /// A position, from 1.
    pub(crate) fn new(position: i64) -> Option<Self> {
        (position > 0).then_some(Self(position))
    }

    pub(crate) const fn position(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VERSION}{:0width$x}", self.0, width = DIGITS)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let digits = text.strip_prefix(VERSION).ok_or(CursorError)?;
        let position = i64::from_str_radix(digits, 16).ok().and_then(Self::new);
        // Comparing with what would be written refuses signs, upper case and other lengths.
        position.filter(|it| it.to_string() == text).ok_or(CursorError)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_is_read_back_and_nothing_else_is(position in 1..=i64::MAX, text in "\\PC{0,24}") {
            let cursor = Cursor(position);
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
            if let Ok(cursor) = text.parse::<Cursor>() {
                prop_assert_eq!(cursor.to_string(), text);
            }
        }
    }

    #[test]
    fn texts_close_to_a_cursor_are_refused() {
        for text in ["", "1", "1+00000000000002a", "1000000000000002A", "1000000000000000"] {
            assert_eq!(text.parse::<Cursor>(), Err(CursorError), "{text}");
        }
    }
}
