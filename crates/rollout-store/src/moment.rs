//! A point in time, given by whoever calls.
//!
//! # Invariants
//!
//! * **M1** No arithmetic here fails or wraps: clocks jump, and a jump must not stop a plan.
//! * **M2** Time that runs backwards counts as no time passed.

use std::fmt;

use serde::{Deserialize, Serialize};

const MS_PER_SECOND: i64 = 1000;

/// Milliseconds since 1970 (UTC).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(i64);

impl Moment {
    /// The moment at this many milliseconds since 1970.
    pub const fn from_unix_ms(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since 1970.
    pub const fn unix_ms(self) -> i64 {
        self.0
    }

    /// Whole seconds from `earlier` until this; 0 when `earlier` is later (M2).
    pub const fn seconds_since(self, earlier: Self) -> u64 {
        let ms = self.0.saturating_sub(earlier.0);
        if ms <= 0 { 0 } else { (ms / MS_PER_SECOND).unsigned_abs() }
    }

    /// This many seconds later.
    #[must_use]
    pub fn plus_seconds(self, seconds: u64) -> Self {
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(seconds.saturating_mul(MS_PER_SECOND)))
    }

    /// This many seconds earlier.
    #[must_use]
    pub fn minus_seconds(self, seconds: u64) -> Self {
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(seconds.saturating_mul(MS_PER_SECOND)))
    }

    /// Later by as much as lies between `from` and `until`; the same when nothing does (M2).
    #[must_use]
    pub const fn shifted(self, from: Self, until: Self) -> Self {
        let ms = until.0.saturating_sub(from.0);
        Self(self.0.saturating_add(if ms < 0 { 0 } else { ms }))
    }
}

impl From<jiff::Timestamp> for Moment {
    fn from(it: jiff::Timestamp) -> Self {
        Self(it.as_millisecond())
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(it) => write!(f, "{it}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

/// A length of time as operators write it: `45s`, `30m`, `2h5m`, `3d`; the two largest parts.
pub fn spell_seconds(seconds: u64) -> String {
    let parts = [(seconds / 86_400, 'd'), (seconds / 3600 % 24, 'h'), (seconds / 60 % 60, 'm')];
    let parts = parts.into_iter().chain([(seconds % 60, 's')]);
    let parts = parts.skip_while(|(count, _)| *count == 0).take(2);
    let parts = parts.filter(|it| it.0 > 0).map(|(count, unit)| format!("{count}{unit}"));
    let text = parts.collect::<Vec<_>>().concat();
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_are_spelled_by_their_largest_parts() {
        let table = [
            (0, "0s"),
            (45, "45s"),
            (60, "1m"),
            (1800, "30m"),
            (1830, "30m30s"),
            (3600, "1h"),
            (3601, "1h"),
            (7500, "2h5m"),
            (259_200, "3d"),
            (90_061, "1d1h"),
        ];
        for (seconds, want) in table {
            assert_eq!(spell_seconds(seconds), want);
        }
    }

    #[test]
    fn a_moment_is_shown_as_rfc_3339() {
        assert_eq!(Moment::from_unix_ms(1_767_323_045_678).to_string(), "2026-01-02T03:04:05.678Z");
    }

    proptest! {
        /// M1, M2.
        #[test]
        fn no_clock_makes_arithmetic_fail(a: i64, b: i64, seconds: u64) {
            let (a, b) = (Moment::from_unix_ms(a), Moment::from_unix_ms(b));
            prop_assert!(a <= b || b.seconds_since(a) == 0);
            prop_assert!(a.plus_seconds(seconds) >= a);
            prop_assert!(a.minus_seconds(seconds) <= a);
            prop_assert!(a.shifted(a, b) >= a);
            _ = (a.to_string(), spell_seconds(seconds));
        }
    }
}
