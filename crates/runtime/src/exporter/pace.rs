//! When the next pass begins, and when a failure is worth a line.
//!
//! | pass                                         | next one after                                   |
//! |----------------------------------------------|--------------------------------------------------|
//! | sent everything                              | [`PAUSE`]                                        |
//! | failed, and may succeed by itself later      | a wait that doubles from [`PAUSE`] to [`WAIT_MAX`] |
//! | failed otherwise                             | [`WAIT_MAX`]                                     |

use std::time::Duration;

use tokio::time::Instant;

/// Pause between two passes when all is well.
pub(super) const PAUSE: Duration = Duration::from_secs(1);
/// Longest wait between two passes.
pub(super) const WAIT_MAX: Duration = Duration::from_mins(1);
/// Shortest time between two lines about a collector that does not take events.
pub(super) const SAID_INTERVAL: Duration = Duration::from_mins(1);

/// How the passes before went.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// Passes in a row that failed.
    failures: u32,
    said: Option<Instant>,
}

impl Pace {
    /// Notes a pass that sent everything; returns the wait.
    pub const fn well(&mut self) -> Duration {
        *self = Self { failures: 0, said: None };
        PAUSE
    }

    /// Notes a pass that failed; returns the wait.
    pub fn failed(&mut self, may_pass: bool) -> Duration {
        let doubled = 1_u32.checked_shl(self.failures).map(|it| PAUSE.saturating_mul(it));
        self.failures = self.failures.saturating_add(1);
        doubled.filter(|it| may_pass && *it < WAIT_MAX).unwrap_or(WAIT_MAX)
    }

    /// Whether the pass before failed.
    pub const fn in_trouble(&self) -> bool {
        self.failures > 0
    }

    /// Whether a failure at `now` is worth a line: the first, and then one in each
    /// `SAID_INTERVAL`.
    pub fn is_worth_saying(&mut self, now: Instant) -> bool {
        let worth = self.said.is_none_or(|it| now.duration_since(it) >= SAID_INTERVAL);
        if worth {
            self.said = Some(now);
        }
        worth
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute_and_start_over_after_a_success() {
        let mut pace = Pace::default();
        let waits: Vec<_> = (0..40).map(|_| pace.failed(true).as_secs()).collect();
        assert_eq!(waits[..8], [1, 2, 4, 8, 16, 32, 60, 60]);
        assert!(waits[6..].iter().all(|it| *it == 60));
        assert!(pace.in_trouble());
        assert_eq!(pace.well(), PAUSE);
        assert!(!pace.in_trouble());
        assert_eq!(pace.failed(true), PAUSE);
        assert_eq!(pace.failed(false), WAIT_MAX);
    }

    #[test]
    fn a_failure_is_said_at_once_and_then_once_a_minute() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let said: Vec<_> = (0..180)
            .filter(|second| pace.is_worth_saying(start + Duration::from_secs(*second)))
            .collect();
        assert_eq!(said, [0, 60, 120]);
        pace.well();
        assert!(pace.is_worth_saying(start + Duration::from_secs(181)));
    }
}
