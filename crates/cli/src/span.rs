//! Lengths of time on a command line, in whole seconds.
//!
//! | text            | seconds                     |
//! |-----------------|-----------------------------|
//! | `3600`          | 3600                        |
//! | `30s`, `15m`    | as written                  |
//! | `1h`, `30d`     | a day is 24 hours           |
//! | `1h30m`         | the sum, largest unit first |

/// Units, the largest first.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// Reads a length of time that is not zero.
pub(crate) fn parse_seconds(text: &str) -> Result<u64, String> {
    let bad = || format!("`{text}` is not a length of time (30s, 15m, 1h, 24h, 30d, or seconds)");
    let seconds = match text.parse::<u64>() {
        // A sign is no digit, although `parse` takes one.
        Ok(seconds) if text.bytes().all(|it| it.is_ascii_digit()) => Some(seconds),
        _ => sum(text),
    };
    seconds.filter(|it| *it > 0).ok_or_else(bad)
}

/// Adds up numbers with units; `None` for anything else.
fn sum(text: &str) -> Option<u64> {
    let (mut rest, mut sum) = (text, 0_u64);
    let mut units = UNITS.iter();
    while !rest.is_empty() {
        let end = rest.find(|it: char| !it.is_ascii_digit())?;
        let (digits, behind) = rest.split_at_checked(end)?;
        let unit = behind.chars().next()?;
        // Units that were passed do not come again.
        let (_, seconds) = units.by_ref().find(|it| it.0 == unit)?;
        sum = sum.checked_add(digits.parse::<u64>().ok()?.checked_mul(*seconds)?)?;
        rest = behind.strip_prefix(unit)?;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_has_units_or_is_seconds_and_is_never_zero() {
        for (text, want) in [
            ("3600", 3600),
            ("30s", 30),
            ("15m", 900),
            ("1h", 3600),
            ("24h", 86_400),
            ("30d", 2_592_000),
            ("1h30m", 5400),
            ("1d1s", 86_401),
        ] {
            assert_eq!(parse_seconds(text), Ok(want), "{text}");
        }
        for bad in [
            "",
            "0",
            "0s",
            "h",
            "-1",
            "+1",
            "1.5h",
            "1x",
            "1m1h",
            "1h1h",
            "1h5",
            " 1h",
            "1 h",
            "99999999999999999999",
            "999999999999999999d",
        ] {
            assert!(parse_seconds(bad).is_err(), "{bad}");
        }
    }
}
