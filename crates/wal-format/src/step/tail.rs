//! Where the lines of a file end, and what a crash has left behind them.
//!
//! | last line                               | ends with a line feed | it is               |
//! |-----------------------------------------|-----------------------|---------------------|
//! | a JSON object                           | yes                   | whole               |
//! | a JSON object                           | no                    | whole, to be ended  |
//! | anything else                           | no                    | torn                |
//! | no JSON object, with a zero byte in it  | yes                   | torn                |
//! | no JSON object, without a zero byte     | yes                   | damaged: no tail    |
//!
//! A disk writes the sectors of a line in any order: the last one can be there and the ones before
//! it be zeros. No line of anybody has a zero byte, and only the last line was ever not synced.

use super::line::{LineError, StepLine};

/// What stands at the end of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Nothing but whole lines.
    Ended,
    /// A whole line without its line feed.
    Unended,
    /// What is left of a line that was never acknowledged.
    Torn {
        /// Where it begins, in bytes.
        at: usize,
    },
}

/// Splits what was read into its lines and the bytes of a torn one behind them (G3).
///
/// # Examples
///
/// ```
/// use wal_format::step::{Tail, split_tail};
///
/// assert_eq!(split_tail(b"{}\n{\"op\":"), (&b"{}\n"[..], Tail::Torn { at: 3 }));
/// assert_eq!(split_tail(b"{}\n{}"), (&b"{}\n{}"[..], Tail::Unended));
/// ```
pub fn split_tail(bytes: &[u8]) -> (&[u8], Tail) {
    let (ended, body) = match bytes.split_last() {
        None => return (bytes, Tail::Ended),
        Some((b'\n', body)) => (true, body),
        Some(_) => (false, bytes),
    };
    let at = body.iter().rposition(|it| *it == b'\n').map_or(0, |it| it + 1);
    let line = body.get(at..).unwrap_or_default();
    let whole = is_object(line);
    match (whole, ended) {
        (true, false) => (bytes, Tail::Unended),
        (false, false) => (bytes.get(..at).unwrap_or_default(), Tail::Torn { at }),
        (false, true) if line.contains(&0) => {
            (bytes.get(..at).unwrap_or_default(), Tail::Torn { at })
        }
        (_, true) => (bytes, Tail::Ended),
    }
}

/// A record that is known and malformed is still an object: it was written so, and is not torn.
fn is_object(line: &[u8]) -> bool {
    matches!(StepLine::parse(line), Ok(_) | Err(LineError::Malformed { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_of_the_table_is_told_apart() {
        let check = |bytes: &[u8], lines: &[u8], want| {
            assert_eq!(split_tail(bytes), (lines, want), "{}", bytes.escape_ascii());
        };
        check(b"", b"", Tail::Ended);
        check(b"{}\n", b"{}\n", Tail::Ended);
        check(b"\n", b"\n", Tail::Ended);
        check(b"{}\n\n", b"{}\n\n", Tail::Ended);
        check(b"{}\n{}", b"{}\n{}", Tail::Unended);
        check(b"{}\n{", b"{}\n", Tail::Torn { at: 3 });
        check(b"{", b"", Tail::Torn { at: 0 });
        check(b"7", b"", Tail::Torn { at: 0 });
        check(b"{}\n\0\0\"}\n", b"{}\n", Tail::Torn { at: 3 });
        check(b"{}\n\0\0", b"{}\n", Tail::Torn { at: 3 });
        check(b"{}\nx\"}\n", b"{}\nx\"}\n", Tail::Ended);
        check(b"\0\n{}\n", b"\0\n{}\n", Tail::Ended);
    }
}
