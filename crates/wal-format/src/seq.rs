//! Sequence numbers.

use std::{fmt, num::NonZeroU64};

use serde::{Deserialize, Serialize};

use crate::WalId;

/// Position of a frame in the log: 1, 2, 3, … without gaps.
///
/// Zero is not a sequence number; "nothing yet" is `Option<Seq>`, which costs no extra byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(NonZeroU64);

impl Seq {
    /// The sequence number of the first frame of every log.
    pub const FIRST: Self = Self(NonZeroU64::MIN);

    /// Returns `None` for zero.
    pub const fn new(raw: u64) -> Option<Self> {
        match NonZeroU64::new(raw) {
            Some(raw) => Some(Self(raw)),
            None => None,
        }
    }

    /// Returns the number as stored on disk.
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// Returns the number the next frame must carry, or `None` once the numbers are exhausted.
    pub const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(raw) => Some(Self(raw)),
            None => None,
        }
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Returns the stable id of an entry, `<node>:<wal_id>:<seq>`, by which every receiver
/// deduplicates.
pub fn event_id(node: &str, wal_id: WalId, seq: Seq) -> String {
    format!("{node}:{wal_id}:{seq}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_start_at_one_and_end_without_wrapping() {
        assert_eq!(Seq::new(0), None);
        assert_eq!(Seq::FIRST.get(), 1);
        assert_eq!(Seq::FIRST.next().map(Seq::get), Some(2));
        assert_eq!(Seq::new(u64::MAX).and_then(Seq::next), None);
    }
}
