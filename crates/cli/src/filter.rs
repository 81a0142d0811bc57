//! Which entries of a log are meant.

use jiff::{SignedDuration, Timestamp};
use wal_format::Entry;

/// Conditions that an entry must meet, all of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// Not older than this.
    pub(crate) since: Option<Timestamp>,
    /// Of this kind, with or without the `autonomy.` prefix.
    pub(crate) kind: Option<String>,
    /// Inside this range of numbers.
    pub(crate) seq: Option<SeqRange>,
}

impl Filter {
    /// Whether every entry is meant, so that none needs to be parsed.
    pub(crate) fn takes_all(&self) -> bool {
        self.since.is_none() && self.kind.is_none() && self.seq.is_none()
    }

    /// Whether the entry with this payload is meant. One that others wrote and that is no event is not
    /// meant when a filter asks what is in it.
    pub(crate) fn takes_payload(&self, payload: &[u8]) -> bool {
        self.takes_all() || Entry::parse(payload).is_ok_and(|it| self.takes(&it))
    }

    /// Whether an entry is meant. One without a readable time is never too old: it is better seen
    /// twice than missed.
    pub(crate) fn takes(&self, entry: &Entry<'_>) -> bool {
        let since = match (self.since, entry.time()) {
            (Some(since), Some(time)) => time >= since,
            _ => true,
        };
        let stored = entry.event.kind();
        let kind =
            self.kind.as_deref().is_none_or(|it| it == stored.short() || it == stored.as_str());
        since && kind && self.seq.is_none_or(|it| it.contains(entry.seq.get()))
    }
}

/// An inclusive range of sequence numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SeqRange {
    first: u64,
    last: u64,
}

impl SeqRange {
    fn contains(self, seq: u64) -> bool {
        (self.first..=self.last).contains(&seq)
    }

    /// Reads `7`, `7..`, `..9` or `7..9`; both ends count.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a range (7, 7.., ..9, or 7..9)");
        let number = |part: &str, open: u64| match part {
            "" => Ok(open),
            digits => digits.parse().map_err(|_| bad()),
        };
        let (first, last) = match text.split_once("..") {
            None if text.is_empty() => return Err(bad()),
            None => (number(text, 1)?, number(text, 1)?),
            Some((first, last)) => (number(first, 1)?, number(last, u64::MAX)?),
        };
        if first > last { Err(bad()) } else { Ok(Self { first, last }) }
    }
}

/// Reads a point in the past: a duration before now (`90s`, `1h`, `2d`) or an RFC 3339 time.
pub(crate) fn parse_since(text: &str) -> Result<Since, String> {
    if let Ok(time) = text.parse() {
        return Ok(Since::At(time));
    }
    match text.parse::<SignedDuration>() {
        Ok(ago) if !ago.is_negative() => Ok(Since::Ago(ago)),
        _ => days(text).map(Since::Ago).ok_or_else(|| {
            format!("`{text}` is neither a duration (90s, 1h, 2d) nor an RFC 3339 time")
        }),
    }
}

/// A day of telemetry is 24 hours, whatever the clocks of a time zone do.
fn days(text: &str) -> Option<SignedDuration> {
    let days: i64 = text.strip_suffix('d')?.parse().ok()?;
    (days >= 0).then(|| days.checked_mul(24).map(SignedDuration::from_hours))?
}

/// A point in the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// This long before now.
    Ago(SignedDuration),
    /// At this time.
    At(Timestamp),
}

impl Since {
    /// Returns the point in time.
    pub(crate) fn resolve(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::Ago(ago) => now.checked_sub(ago).unwrap_or(Timestamp::MIN),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_include_both_ends() {
        for (text, first, last) in
            [("7", 7, 7), ("7..", 7, u64::MAX), ("..9", 1, 9), ("7..9", 7, 9), ("..", 1, u64::MAX)]
        {
            assert_eq!(SeqRange::parse(text), Ok(SeqRange { first, last }), "{text}");
        }
        for bad in ["", "x", "9..7", "-1", "1..x", "1...2"] {
            assert!(SeqRange::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn since_is_a_duration_or_a_time() {
        let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        for (text, want) in [
            ("1h", "2026-01-01T23:00:00Z"),
            ("90s", "2026-01-01T23:58:30Z"),
            ("1d", "2026-01-01T00:00:00Z"),
            ("2025-05-05T05:05:05Z", "2025-05-05T05:05:05Z"),
        ] {
            assert_eq!(parse_since(text).unwrap().resolve(now), want.parse().unwrap(), "{text}");
        }
        for bad in ["", "h", "-1h", "-1d", "yesterday", "99999999999999999999d"] {
            assert!(parse_since(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn all_conditions_count() {
        let payload =
            br#"{"seq":7,"written_at":"2026-01-02T00:00:00Z","event":{"kind":"autonomy.error"}}"#;
        let entry = Entry::parse(payload).unwrap();
        let filter = |kind: &str, seq: &str, since: &str| Filter {
            since: Some(since.parse().unwrap()),
            kind: Some(kind.to_owned()),
            seq: SeqRange::parse(seq).ok(),
        };
        assert!(filter("error", "7", "2026-01-02T00:00:00Z").takes(&entry));
        assert!(filter("autonomy.error", "1..", "2026-01-01T00:00:00Z").takes(&entry));
        assert!(!filter("decision", "7", "2026-01-02T00:00:00Z").takes(&entry));
        assert!(!filter("error", "8..", "2026-01-02T00:00:00Z").takes(&entry));
        assert!(!filter("error", "7", "2026-01-02T00:00:01Z").takes(&entry));
        assert!(Filter::default().takes_all());
    }
}
