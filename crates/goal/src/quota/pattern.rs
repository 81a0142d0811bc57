//! A text to look for: letters in both cases, `.` for any one character or none (Q1).
//!
//! Regular expressions would do more than a table of phrases needs, and could be written wrongly by
//! whoever configures them. The search takes at most text × pattern steps, whatever both are.

use thiserror::Error;

/// Longest pattern, in characters.
pub const PATTERN_LEN_MAX: usize = 200;

/// Why a pattern cannot be looked for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PatternError {
    /// It would be found in every text.
    #[error("pattern {text:?} has no letter and no digit: it would match every text")]
    Empty {
        /// The pattern.
        text: String,
    },
    /// It is longer than [`PATTERN_LEN_MAX`].
    #[error("a pattern has {len} characters; at most {PATTERN_LEN_MAX}")]
    TooLong {
        /// Its length in characters.
        len: usize,
    },
    /// There are more than [`EXTRA_PATTERNS_MAX`](super::EXTRA_PATTERNS_MAX).
    #[error("{len} patterns are configured; at most {max}", max = super::EXTRA_PATTERNS_MAX)]
    TooMany {
        /// How many there are.
        len: usize,
    },
}

impl PatternError {
    /// Returns the stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Empty { .. } => "QUOTA_PATTERN_EMPTY",
            Self::TooLong { .. } => "QUOTA_PATTERN_TOO_LONG",
            Self::TooMany { .. } => "QUOTA_PATTERNS_TOO_MANY",
        }
    }
}

/// One element of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    /// This character, in lower case.
    Exactly(char),
    /// Any one character, or none.
    MaybeAny,
}

/// A text to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    elements: Vec<Element>,
    /// The pattern ends in a digit: what follows must not be one (Q3).
    ends_in_digit: bool,
    /// The pattern begins with a letter or digit: it begins where a word does (Q2).
    begins_word: bool,
}

impl Pattern {
    /// Reads a pattern of a configuration.
    pub(super) fn new(text: &str) -> Result<Self, PatternError> {
        let len = text.chars().count();
        if len > PATTERN_LEN_MAX {
            return Err(PatternError::TooLong { len });
        }
        if !text.chars().any(char::is_alphanumeric) {
            return Err(PatternError::Empty { text: text.to_owned() });
        }
        Ok(Self::built_in(text))
    }

    /// Reads a pattern of the table, which a test has looked through.
    pub(super) fn built_in(text: &str) -> Self {
        let element = |it: char| match it {
            '.' => Element::MaybeAny,
            it => Element::Exactly(it.to_ascii_lowercase()),
        };
        Self {
            elements: text.chars().map(element).collect(),
            ends_in_digit: text.ends_with(|it: char| it.is_ascii_digit()),
            begins_word: text.starts_with(char::is_alphanumeric),
        }
    }

    /// Returns whether the pattern is found in `text`.
    ///
    /// All places are tried at once: `alive` holds how many elements may be done before the next
    /// character, so no place is gone back to.
    pub(super) fn is_in(&self, text: &str) -> bool {
        let mut alive = vec![false; self.elements.len() + 1];
        let mut before = None;
        let mut rest = text.chars().peekable();
        while let Some(at) = rest.next() {
            if !self.begins_word || begins_word(before, at, rest.peek().copied()) {
                self.begin(&mut alive);
            }
            if alive.last() == Some(&true) && !(self.ends_in_digit && is_number(at)) {
                return true;
            }
            alive = self.step(&alive, at);
            before = Some(at);
        }
        alive.last() == Some(&true)
    }

    /// Starts the pattern here.
    fn begin(&self, alive: &mut [bool]) {
        if let Some(first) = alive.first_mut() {
            *first = true;
        }
        self.skip(alive);
    }

    /// Leaves out optional characters.
    fn skip(&self, alive: &mut [bool]) {
        let mut open = false;
        for (index, state) in alive.iter_mut().enumerate() {
            *state |= open;
            open = *state && self.elements.get(index) == Some(&Element::MaybeAny);
        }
    }

    /// Takes one character.
    fn step(&self, alive: &[bool], at: char) -> Vec<bool> {
        let takes = |element: &Element| match element {
            Element::Exactly(want) => *want == at.to_ascii_lowercase(),
            Element::MaybeAny => true,
        };
        let mut next = vec![false];
        next.extend(alive.iter().zip(&self.elements).map(|(open, it)| *open && takes(it)));
        self.skip(&mut next);
        next
    }
}

/// Characters that a number goes on with.
const fn is_number(at: char) -> bool {
    at.is_ascii_alphanumeric() || at == '_'
}

/// Returns whether a word begins with `at`: behind something that is no letter or digit, or as the
/// hump of a camel (`HTTPRateLimit`).
fn begins_word(before: Option<char>, at: char, after: Option<char>) -> bool {
    let Some(before) = before else { return true };
    if at.is_ascii_digit() {
        return !is_number(before) && before != '.';
    }
    let hump = at.is_uppercase() && after.is_some_and(char::is_lowercase);
    !before.is_alphanumeric() || hump
}
