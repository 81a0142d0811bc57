//! Latencies of single calls, percentiles, medians.

use std::time::{Duration, Instant};

use serde::Serialize;

/// How long a contestant runs: a tenth of the time to warm up, then the time that counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    warm: Duration,
    measured: Duration,
}

impl Window {
    pub(crate) fn of(round: Duration) -> Self {
        Self { warm: round / 10, measured: round }
    }

    /// The same, at least so long.
    pub(crate) fn at_least(self, measured: Duration) -> Self {
        if self.measured < measured { Self::of(measured) } else { self }
    }
}

/// What one contestant did in one round.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Sample {
    /// Median latency of a call.
    pub(crate) p50_us: f64,
    /// Latency that one call in a hundred exceeds.
    pub(crate) p99_us: f64,
    /// Calls per second, or what else the case counts.
    pub(crate) rate: f64,
    /// All calls, those outside of the window included.
    #[serde(skip)]
    pub(crate) calls: u64,
}

/// The calls of one caller. A call belongs to the round when it ends inside the window.
#[derive(Debug)]
pub(crate) struct Recorder {
    from: Instant,
    until: Instant,
    measured: Duration,
    latencies: Vec<Duration>,
    calls: u64,
}

impl Recorder {
    /// Starts to record; `begin` is the same for all callers.
    pub(crate) fn new(begin: Instant, window: Window) -> Self {
        let from = begin + window.warm;
        Self {
            from,
            until: from + window.measured,
            measured: window.measured,
            latencies: Vec::with_capacity(1 << 14),
            calls: 0,
        }
    }

    /// Notes a call that began at `start` and ended just now; returns whether there is time for
    /// another.
    pub(crate) fn ended(&mut self, start: Instant) -> bool {
        let end = Instant::now();
        self.calls += 1;
        if end >= self.from && end < self.until {
            self.latencies.push(end - start);
        }
        end < self.until
    }

    /// Puts the calls of all callers together.
    pub(crate) fn sum(callers: Vec<Self>) -> anyhow::Result<Sample> {
        let measured = callers.first().map_or(Duration::ZERO, |it| it.measured);
        let calls = callers.iter().map(|it| it.calls).sum();
        let mut all: Vec<Duration> = callers.into_iter().flat_map(|it| it.latencies).collect();
        anyhow::ensure!(!all.is_empty(), "no call ended in time; make the round longer");
        all.sort_unstable();
        Ok(Sample {
            p50_us: percentile(&all, 50).as_secs_f64() * 1e6,
            p99_us: percentile(&all, 99).as_secs_f64() * 1e6,
            rate: all.len() as f64 / measured.as_secs_f64(),
            calls,
        })
    }
}

/// The smallest value that `percent` of the sorted values do not exceed.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// The middle value; the mean of the two in the middle when there is no one middle.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        at(middle)
    } else {
        f64::midpoint(at(middle.wrapping_sub(1)), at(middle))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let sorted: Vec<Duration> = (1..=200).map(Duration::from_micros).collect();
        assert_eq!(percentile(&sorted, 50), Duration::from_micros(100));
        assert_eq!(percentile(&sorted, 99), Duration::from_micros(198));
        assert_eq!(percentile(&sorted[..1], 99), Duration::from_micros(1));
    }

    #[test]
    fn the_median_ignores_one_wild_value() {
        assert!((median([3.0, 1.0, 900.0]) - 3.0).abs() < 1e-9);
        assert!((median([4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!(median([]).is_nan());
    }

    #[test]
    fn only_calls_that_end_inside_the_window_count_but_all_are_known() {
        let window = Window { warm: Duration::ZERO, measured: Duration::from_hours(1) };
        let mut inside = Recorder::new(Instant::now(), window);
        assert!(inside.ended(Instant::now()));
        let warm = Window { warm: Duration::from_hours(1), measured: Duration::from_secs(1) };
        let mut before = Recorder::new(Instant::now(), warm);
        assert!(before.ended(Instant::now()));
        let over = Window { warm: Duration::ZERO, measured: Duration::ZERO };
        let mut after = Recorder::new(Instant::now(), over);
        assert!(!after.ended(Instant::now()));
        let sample = Recorder::sum(vec![inside, before, after]).unwrap();
        assert_eq!(sample.calls, 3);
        assert!((sample.rate - 1.0 / 3600.0).abs() < 1e-9);
    }
}
