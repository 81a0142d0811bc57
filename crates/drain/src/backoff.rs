//! How long to wait before the next attempt.
//!
//! The wait is drawn evenly between nothing and `base × 2^(attempt-1)`, at most `max` ("full
//! jitter"): senders that failed together do not return together. A `Retry-After` of the server is
//! a lower bound, itself bounded: a server must not be able to stop delivery for ever.

use std::time::Duration;

use jiff::{Timestamp, fmt::rfc2822};

/// Bounds of the waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Upper bound of the first wait.
    pub base: Duration,
    /// Upper bound of every wait that the server does not ask for.
    pub max: Duration,
    /// Longest `Retry-After` that is honoured.
    pub retry_after_max: Duration,
}

impl Backoff {
    /// Half a second, doubling to 30 seconds; up to two minutes when the server asks for it.
    pub const STANDARD: Self = Self {
        base: Duration::from_millis(500),
        max: Duration::from_secs(30),
        retry_after_max: Duration::from_mins(2),
    };

    /// Returns the wait after attempt number `attempt`, from 1.
    pub(crate) fn delay(
        &self,
        attempt: u32,
        retry_after: Option<Duration>,
        random: &mut Random,
    ) -> Duration {
        let factor = 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        let cap = self.base.saturating_mul(factor).min(self.max);
        let jitter = cap.mul_f64(random.unit());
        retry_after.map_or(jitter, |it| it.min(self.retry_after_max).max(jitter))
    }
}

/// Reads a `Retry-After` header: seconds, or the date of RFC 9110 (`Sun, 06 Nov 1994 08:49:37 GMT`).
pub(crate) fn retry_after(header: &str, now: Timestamp) -> Option<Duration> {
    let header = header.trim();
    if !header.is_empty() && header.bytes().all(|it| it.is_ascii_digit()) {
        // Digits beyond 64 bits are a long time all the same.
        return Some(Duration::from_secs(header.parse().unwrap_or(u64::MAX)));
    }
    let date = rfc2822::DateTimeParser::new().parse_timestamp(header).ok()?;
    Some(date.duration_since(now).try_into().unwrap_or(Duration::ZERO))
}

/// The generator `SplitMix64`: enough to spread waits, and the same for the same seed.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a number between 0 and 1.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let high = u32::try_from((z ^ (z >> 31)) >> 32).unwrap_or(0);
        f64::from(high) / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_retry_after_is_seconds_or_a_date() {
        let now = "1994-11-06T08:49:07Z".parse().unwrap();
        for (header, want) in [
            ("0", Some(0)),
            (" 30 ", Some(30)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(30)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("1.5", None),
            ("-1", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(retry_after(header, now), want.map(Duration::from_secs), "{header}");
        }
    }

    proptest! {
        #[test]
        fn a_wait_is_within_its_bounds(
            seed in any::<u64>(), attempt in 1..100_u32, asked in prop::option::of(0..1_000_u64)
        ) {
            let backoff = Backoff { base: SECOND, max: 20 * SECOND, retry_after_max: 60 * SECOND };
            let asked = asked.map(Duration::from_secs);
            let delay = backoff.delay(attempt, asked, &mut Random::new(seed));
            let cap = (SECOND * 2_u32.saturating_pow(attempt - 1).min(1_000)).min(20 * SECOND);
            match asked {
                None => prop_assert!(delay <= cap),
                Some(asked) => {
                    prop_assert!(delay >= asked.min(60 * SECOND));
                    prop_assert!(delay <= asked.min(60 * SECOND).max(cap));
                }
            }
        }
    }

    #[test]
    fn waits_of_one_seed_spread_over_the_whole_range() {
        let mut random = Random::new(1);
        let backoff = Backoff::STANDARD;
        let waits: Vec<_> = (0..1_000).map(|_| backoff.delay(4, None, &mut random)).collect();
        let cap = backoff.base * 8;
        assert!(
            waits.iter().any(|it| *it < cap / 20) && waits.iter().any(|it| *it > cap / 20 * 19)
        );
    }
}
