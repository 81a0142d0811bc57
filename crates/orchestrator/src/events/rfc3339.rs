//! Timestamps as a sortable number.
//!
//! # Layout
//!
//! `YYYY-MM-DD` `T` `hh:mm:ss` [`.` 1–9 digits] (`Z` | `±hh:mm`), the `T` and `Z` in either case.
//! This is RFC 3339, section 5.6, with two bounds: at most nine digits of a second, and a leap
//! second `:60` counts as the second before it.

use jiff::civil::{DateTime, date};
use thiserror::Error;

/// The number of the first and last moment that nanoseconds in 64 bits can say (years 1677 and
/// 2262). Moments outside compare equal to the bound.
const NS_PER_SECOND: i128 = 1_000_000_000;
const DATE_TIME_LEN: usize = "2026-01-02T03:04:05".len();
const FRACTION_DIGITS_MAX: usize = 9;

/// The text is not a timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Rfc3339Error {
    /// Not the form of RFC 3339.
    #[error("not RFC 3339; an example: 2026-01-02T03:04:05.678Z")]
    Form,
    /// No such day or time.
    #[error("no such date or time")]
    NoSuchTime,
    /// A space where the offset begins.
    #[error("not RFC 3339; in a query the `+` of an offset is written %2B")]
    SpaceForPlus,
}

/// Returns nanoseconds since 1970 (UTC), within the bounds of `i64`.
pub(super) fn to_unix_ns(text: &str) -> Result<i64, Rfc3339Error> {
    let (date_time, rest) = text.split_at_checked(DATE_TIME_LEN).ok_or(Rfc3339Error::Form)?;
    check_form(date_time)?;
    let (fraction_ns, offset) = split_fraction(rest)?;
    let offset_seconds = offset_seconds(offset)?;
    let date_time: DateTime = date_time.parse().map_err(|_| Rfc3339Error::NoSuchTime)?;
    let since_1970 = date(1970, 1, 1).at(0, 0, 0, 0).duration_until(date_time);
    let seconds = i128::from(since_1970.as_secs()) - i128::from(offset_seconds);
    let ns = seconds * NS_PER_SECOND + i128::from(fraction_ns);
    Ok(i64::try_from(ns).unwrap_or(if ns < 0 { i64::MIN } else { i64::MAX }))
}

fn check_form(date_time: &str) -> Result<(), Rfc3339Error> {
    let form = b"dddd-dd-ddTdd:dd:dd";
    let fits = |(found, want): (u8, &u8)| match want {
        b'd' => found.is_ascii_digit(),
        want => found.eq_ignore_ascii_case(want),
    };
    if date_time.bytes().zip(form).all(fits) { Ok(()) } else { Err(Rfc3339Error::Form) }
}

/// Returns the fraction in nanoseconds, and what follows it.
fn split_fraction(rest: &str) -> Result<(u32, &str), Rfc3339Error> {
    let Some(after_dot) = rest.strip_prefix('.') else { return Ok((0, rest)) };
    let offset = after_dot.trim_start_matches(|it: char| it.is_ascii_digit());
    let digits = after_dot.strip_suffix(offset).unwrap_or("");
    if digits.is_empty() || digits.len() > FRACTION_DIGITS_MAX {
        return Err(Rfc3339Error::Form);
    }
    let padded = format!("{digits:0<FRACTION_DIGITS_MAX$}");
    padded.parse().map(|ns| (ns, offset)).map_err(|_| Rfc3339Error::Form)
}

fn offset_seconds(offset: &str) -> Result<i32, Rfc3339Error> {
    let (sign, digits) = match offset.split_at_checked(1) {
        Some(("Z" | "z", "")) => return Ok(0),
        Some(("+", digits)) => (1, digits),
        Some(("-", digits)) => (-1, digits),
        Some((" ", digits)) if hours_minutes(digits).is_some() => {
            return Err(Rfc3339Error::SpaceForPlus);
        }
        _ => return Err(Rfc3339Error::Form),
    };
    let (hours, minutes) = hours_minutes(digits).ok_or(Rfc3339Error::Form)?;
    if hours > 23 || minutes > 59 {
        return Err(Rfc3339Error::NoSuchTime);
    }
    Ok(sign * (hours * 3600 + minutes * 60))
}

fn hours_minutes(text: &str) -> Option<(i32, i32)> {
    let two = |it: &str| {
        (it.len() == 2 && it.bytes().all(|it| it.is_ascii_digit())).then(|| it.parse().ok())?
    };
    let (hours, minutes) = text.split_once(':')?;
    Some((two(hours)?, two(minutes)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_same_moment_is_the_same_number_however_it_is_written() {
        let table = [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:00.000000001Z", 1),
            ("1969-12-31T23:59:59.999999999Z", -1),
            ("1970-01-01t01:30:00+01:30", 0),
            ("1969-12-31T22:30:00.0-01:30", 0),
            ("1970-01-01T00:00:00-00:00", 0),
            ("2026-01-02T03:04:05z", 1_767_323_045_000_000_000),
            ("2026-01-02T03:04:05.5Z", 1_767_323_045_500_000_000),
            ("2026-06-30T23:59:60Z", 1_782_863_999_000_000_000),
            ("0001-01-01T00:00:00Z", i64::MIN),
            ("0000-01-01T00:00:00+23:59", i64::MIN),
            ("9999-12-31T23:59:59-23:59", i64::MAX),
        ];
        for (text, want) in table {
            assert_eq!(to_unix_ns(text), Ok(want), "{text}");
        }
    }

    #[test]
    fn what_is_not_rfc_3339_is_refused() {
        use Rfc3339Error::{Form, NoSuchTime, SpaceForPlus};
        let table = [
            ("", Form),
            ("2026-01-02", Form),
            ("2026-01-02T03:04:05", Form),
            ("2026-01-02 03:04:05Z", Form),
            ("2026-01-02T03:04Z", Form),
            ("2026-01-02T03:04:05.Z", Form),
            ("2026-01-02T03:04:05,5Z", Form),
            ("2026-01-02T03:04:05.1234567890Z", Form),
            ("2026-01-02T03:04:05Z[UTC]", Form),
            ("2026-01-02T03:04:05+0100", Form),
            ("2026-01-02T03:04:05+01", Form),
            ("2026-01-02T03:04:05+1:00", Form),
            ("2026-01-02T03:04:05 01:00", SpaceForPlus),
            ("2026-01-02T03:04:05ZZ", Form),
            ("+2026-01-02T03:04:05Z", Form),
            ("20260102T030405Z", Form),
            ("1767323045", Form),
            ("2026-01-02T03:04:0５Z", Form),
            ("2026-02-30T03:04:05Z", NoSuchTime),
            ("2026-13-01T03:04:05Z", NoSuchTime),
            ("2026-01-02T24:00:00Z", NoSuchTime),
            ("2026-01-02T03:04:61Z", NoSuchTime),
            ("2026-01-02T03:04:05+24:00", NoSuchTime),
            ("2026-01-02T03:04:05+00:60", NoSuchTime),
        ];
        for (text, want) in table {
            assert_eq!(to_unix_ns(text), Err(want), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_moment_agrees_with_the_library(ns in any::<i64>(), minutes in -1439..=1439_i32) {
            let moment = jiff::Timestamp::from_nanosecond(i128::from(ns)).unwrap();
            let offset = jiff::tz::Offset::from_seconds(minutes * 60).unwrap();
            let local = offset.to_datetime(moment);
            let text = format!(
                "{local:.9}{}{:02}:{:02}",
                if minutes < 0 { '-' } else { '+' },
                minutes.abs() / 60,
                minutes.abs() % 60,
            );
            prop_assert_eq!(to_unix_ns(&text), Ok(ns), "{}", text);
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}") {
            _ = to_unix_ns(&text);
        }
    }
}
