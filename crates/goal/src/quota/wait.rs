//! When to try again.
//!
//! | hint                                       | read as                                     |
//! |--------------------------------------------|---------------------------------------------|
//! | `2026-03-01T10:00:00Z` anywhere in the hint | that time                                   |
//! | `60`, `Retry-After: 120`                    | seconds                                     |
//! | `2h`, `1m30s`, `in 5 minutes`, `500 ms`     | the sum of all numbers with a unit          |
//! | anything else                               | not read: the default of the reason applies |

use jiff::{SignedDuration, Timestamp};

use super::QuotaReason;

/// Longest wait. A time further away is more likely a misread hint than a plan.
pub const WAIT_MAX: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Bytes of a hint that are read.
pub const HINT_LEN_MAX: usize = 512;
/// Most digits of a number in a hint. Bounds the arithmetic.
const DIGITS_MAX: usize = 12;

/// Returns the wait of a reason without a hint.
const fn default_wait(reason: QuotaReason) -> SignedDuration {
    match reason {
        QuotaReason::RateLimit => SignedDuration::from_mins(1),
        QuotaReason::DailyQuota => SignedDuration::from_hours(24),
        QuotaReason::MonthlyQuota => WAIT_MAX,
        QuotaReason::TokenQuota | QuotaReason::QuotaExceeded => SignedDuration::from_hours(1),
        QuotaReason::ContextLimit => SignedDuration::ZERO,
    }
}

/// Returns the time before which blocked work is not tried again (Q5).
///
/// # Examples
///
/// ```
/// use goal::{QuotaReason, not_before};
/// use jiff::{SignedDuration, Timestamp};
///
/// let at = Timestamp::UNIX_EPOCH;
/// let again = not_before(QuotaReason::RateLimit, Some("retry after 90 seconds"), at);
/// assert_eq!(again, at + SignedDuration::from_secs(90));
/// ```
pub fn not_before(reason: QuotaReason, hint: Option<&str>, blocked_at: Timestamp) -> Timestamp {
    let wait = hint.and_then(|it| hinted_wait(it, blocked_at));
    let wait = wait.unwrap_or_else(|| default_wait(reason)).clamp(SignedDuration::ZERO, WAIT_MAX);
    blocked_at.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// Returns the wait that a hint asks for, if it can be read.
fn hinted_wait(hint: &str, blocked_at: Timestamp) -> Option<SignedDuration> {
    let hint = hint.get(..hint.floor_char_boundary(HINT_LEN_MAX)).unwrap_or_default().trim();
    if let Some(time) = time_in(hint) {
        return Some(time.duration_since(blocked_at));
    }
    let lower = hint.to_ascii_lowercase();
    let bare = lower.strip_prefix("retry-after").unwrap_or(&lower);
    let bare = bare.trim_start_matches([':', '=', ' ']);
    if !bare.is_empty() && bare.bytes().all(|it| it.is_ascii_digit()) {
        return number(bare).map(|it| SignedDuration::from_millis(it.saturating_mul(1000)));
    }
    amounts(&lower)
}

/// Returns the first RFC 3339 time of a hint.
fn time_in(hint: &str) -> Option<Timestamp> {
    let edges = ['"', '\'', '(', ')', '[', ']', ',', ';', '.'];
    hint.split_whitespace().find_map(|word| word.trim_matches(edges).parse().ok())
}

/// Returns the sum of all amounts of time in `text`, or nothing when there is none.
fn amounts(text: &str) -> Option<SignedDuration> {
    let mut millis: Option<i64> = None;
    let mut rest = text;
    while let Some(start) = rest.find(|it: char| it.is_ascii_digit()) {
        let before = rest.get(..start).unwrap_or_default();
        rest = rest.get(start..).unwrap_or_default();
        let end = rest.find(|it: char| !it.is_ascii_digit()).unwrap_or(rest.len());
        let (whole, after) = rest.split_at_checked(end)?;
        let (fraction, after) = fraction(after);
        let unit_at = after.trim_start_matches([' ', '-']);
        let len = unit_at.find(|it: char| !it.is_ascii_alphabetic()).unwrap_or(unit_at.len());
        let (unit, behind) = unit_at.split_at_checked(len)?;
        rest = after;
        let negative = before.ends_with('-') && !before.ends_with("--");
        let (Some(unit), false) = (unit_millis(unit), negative) else { continue };
        let whole = number(whole)?.saturating_mul(unit);
        let part = unit.saturating_mul(fraction) / 1000;
        millis = Some(millis.unwrap_or(0).saturating_add(whole).saturating_add(part));
        rest = behind;
    }
    millis.map(SignedDuration::from_millis)
}

/// Reads `.5` at the start of `text` as thousandths.
fn fraction(text: &str) -> (i64, &str) {
    let Some(digits) = text.strip_prefix('.') else { return (0, text) };
    let end = digits.find(|it: char| !it.is_ascii_digit()).unwrap_or(digits.len());
    let Some((digits, rest)) = digits.split_at_checked(end) else { return (0, text) };
    if digits.is_empty() {
        return (0, text);
    }
    let thousandths = digits.bytes().chain(*b"000").take(3);
    (thousandths.fold(0, |sum, it| sum * 10 + i64::from(it - b'0')), rest)
}

/// Reads a number of at most [`DIGITS_MAX`] digits.
fn number(digits: &str) -> Option<i64> {
    if digits.len() > DIGITS_MAX { None } else { digits.parse().ok() }
}

/// Returns how many milliseconds a unit has.
fn unit_millis(unit: &str) -> Option<i64> {
    match unit {
        "ms" | "msec" | "msecs" | "millisecond" | "milliseconds" => Some(1),
        "s" | "sec" | "secs" | "second" | "seconds" => Some(1000),
        "m" | "min" | "mins" | "minute" | "minutes" => Some(60_000),
        "h" | "hr" | "hrs" | "hour" | "hours" => Some(3_600_000),
        "d" | "day" | "days" => Some(86_400_000),
        "w" | "week" | "weeks" => Some(7 * 86_400_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> Timestamp {
        "2026-03-01T10:00:00Z".parse().unwrap()
    }

    /// Seconds between the block and the time to try again.
    fn wait(reason: QuotaReason, hint: Option<&str>) -> i64 {
        not_before(reason, hint, at()).duration_since(at()).as_secs()
    }

    #[test]
    fn hints_are_read() {
        for (hint, secs) in [
            ("retry after 60 seconds", 60),
            ("in 5 minutes", 300),
            ("Retry-After: 120", 120),
            ("retry-after=7", 7),
            ("2026-03-01T10:30:00Z", 1800),
            ("resets at 2026-03-01T12:30:00+02:00.", 1800),
            ("2h", 7200),
            ("1m30s", 90),
            ("1 hour 5 min", 3900),
            ("90", 90),
            ("try again in 1.5s", 1),
            ("try again in 1.5m", 90),
            ("1500 ms", 1),
            ("1 day", 86_400),
            ("request 17 failed; wait 20 secs", 20),
            ("5-minute window", 300),
        ] {
            assert_eq!(wait(QuotaReason::TokenQuota, Some(hint)), secs, "{hint}");
        }
    }

    #[test]
    fn a_hint_that_cannot_be_read_leaves_the_default_of_the_reason() {
        let hints = ["", "later", "after lunch", "-5 minutes", "5 fortnights", "99999999999999"];
        for hint in hints {
            assert_eq!(wait(QuotaReason::TokenQuota, Some(hint)), 3600, "{hint}");
        }
    }

    #[test]
    fn every_reason_has_its_own_default() {
        let waits = QuotaReason::ALL.map(|it| wait(it, None));
        assert_eq!(waits, [60, 86_400, WAIT_MAX.as_secs(), 3600, 0, 3600]);
    }

    #[test]
    fn no_wait_is_negative_or_longer_than_the_longest() {
        assert_eq!(wait(QuotaReason::RateLimit, Some("2020-01-01T00:00:00Z")), 0);
        for far in ["9000-01-01T00:00:00Z", "999999999999 weeks", "400 days", "999999999999"] {
            assert_eq!(wait(QuotaReason::RateLimit, Some(far)), WAIT_MAX.as_secs(), "{far}");
        }
        let end = not_before(QuotaReason::RateLimit, Some("1h"), Timestamp::MAX);
        assert_eq!(end, Timestamp::MAX);
    }

    #[test]
    fn only_the_start_of_a_long_hint_is_read() {
        let long = format!("{}é 5 minutes", "x".repeat(HINT_LEN_MAX - 1));
        assert_eq!(wait(QuotaReason::RateLimit, Some(&long)), 60);
    }
}
