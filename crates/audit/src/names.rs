//! The files of a trail.
//!
//! | file                            | what it is                                                     |
//! |---------------------------------|----------------------------------------------------------------|
//! | `audit.jsonl`                   | the open segment: one record a line                            |
//! | `audit-<first number>.jsonl`    | a sealed segment, never written again; 20 digits               |
//! | `audit.head`                    | how far the trail goes                                         |
//! | `audit.lock`                    | who appends now; never removed                                 |

/// The open segment.
pub const OPEN: &str = "audit.jsonl";
/// How far the trail goes.
pub const HEAD: &str = "audit.head";
/// The lock of whoever appends.
pub const LOCK: &str = "audit.lock";

/// What a sealed name begins with.
const SEALED_START: &str = "audit-";
/// What a sealed name ends with.
const SEALED_END: &str = ".jsonl";
/// Digits of the number in a sealed name: names sort like numbers.
const SEALED_DIGITS: usize = 20;

/// The name of the sealed segment that begins with this record.
pub(crate) fn sealed(first: u64) -> String {
    format!("{SEALED_START}{first:0SEALED_DIGITS$}{SEALED_END}")
}

/// The number of the first record of a sealed segment; `None` for any other name.
pub(crate) fn first_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(SEALED_START)?.strip_suffix(SEALED_END)?;
    let all = digits.len() == SEALED_DIGITS && digits.bytes().all(|it| it.is_ascii_digit());
    digits.parse().ok().filter(|first| all && *first > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_name_has_one_spelling() {
        assert_eq!(sealed(7), "audit-00000000000000000007.jsonl");
        for first in [1, 7, u64::MAX] {
            assert_eq!(first_of(&sealed(first)), Some(first));
        }
        for other in [OPEN, HEAD, "audit-7.jsonl", "audit-+0000000000000000007.jsonl"] {
            assert_eq!(first_of(other), None, "{other}");
        }
        assert_eq!(first_of(&sealed(0)), None);
        assert_eq!(first_of("audit-99999999999999999999.jsonl"), None, "no such number");
    }
}
