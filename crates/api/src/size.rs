//! Numbers of bytes on a command line: `4096`, `64KiB`, `8MiB`, `1GiB`.

use std::{error::Error, fmt};

/// Units, with the power of two that each stands for.
const UNITS: [(&str, u32); 3] = [("KiB", 10), ("MiB", 20), ("GiB", 30)];

/// Reads a number of bytes: digits, then a binary unit or none. Never zero.
///
/// # Errors
///
/// [`SizeError`] when `text` is something else or more than the machine can count.
///
/// # Examples
///
/// ```
/// assert_eq!(api::size::parse_size("8MiB"), Ok(8 << 20));
/// assert!(api::size::parse_size("8MB").is_err(), "a decimal unit is not guessed to be a binary one");
/// ```
pub fn parse_size(text: &str) -> Result<usize, SizeError> {
    let (digits, shift) = UNITS
        .iter()
        .find_map(|(unit, shift)| text.strip_suffix(unit).map(|it| (it.trim_end(), *shift)))
        .unwrap_or((text, 0));
    if digits.is_empty() || !digits.bytes().all(|it| it.is_ascii_digit()) {
        return Err(SizeError::NotASize);
    }
    match digits.parse::<usize>().ok().and_then(|it| it.checked_mul(1 << shift)) {
        None => Err(SizeError::TooLarge),
        Some(0) => Err(SizeError::Zero),
        Some(bytes) => Ok(bytes),
    }
}

/// Why a text is not a number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeError {
    /// Not digits with an optional unit.
    NotASize,
    /// Zero bytes.
    Zero,
    /// More than the machine can count.
    TooLarge,
}

impl fmt::Display for SizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotASize => "not a number of bytes; examples: 4096, 64KiB, 8MiB",
            Self::Zero => "zero bytes are no limit",
            Self::TooLarge => "more bytes than this machine can count",
        })
    }
}

impl Error for SizeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_digits_with_a_binary_unit_and_never_zero() {
        for (text, want) in [
            ("4096", Ok(4096)),
            ("64KiB", Ok(64 << 10)),
            ("1 MiB", Ok(1 << 20)),
            ("2GiB", Ok(2 << 30)),
            ("0", Err(SizeError::Zero)),
            ("0KiB", Err(SizeError::Zero)),
            ("99999999999999999999", Err(SizeError::TooLarge)),
            ("99999999999999999GiB", Err(SizeError::TooLarge)),
            ("", Err(SizeError::NotASize)),
            ("KiB", Err(SizeError::NotASize)),
            ("1MB", Err(SizeError::NotASize)),
            ("-1", Err(SizeError::NotASize)),
            ("+1", Err(SizeError::NotASize)),
            (" 1", Err(SizeError::NotASize)),
            ("1 ", Err(SizeError::NotASize)),
            ("1.5MiB", Err(SizeError::NotASize)),
        ] {
            assert_eq!(parse_size(text), want, "{text}");
        }
    }
}
