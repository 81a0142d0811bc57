//! Stalls: whether a criterion fails in the same way again and again.
//!
//! | after an attempt                     | count |
//! |--------------------------------------|-------|
//! | success                              | gone  |
//! | failure, same key as the last one     | + 1   |
//! | failure, another key or the first one | 1     |
//!
//! # Invariants
//!
//! * **T1** The key is over the exit code and the whole output, not over its start.
//! * **T2** What differs between two runs of the same command (times, durations, addresses, temporary
//!   paths, process ids) does not change the key; every other word does.
//! * **T3** `normalise(normalise(x)) == normalise(x)`.
//! * **T4** A loop stops early only when all failing criteria are stalled.
//! * **T5** The reason for a failure plays no part: the same rate limit three times in a row is a
//!   stall, since waiting has not helped.

mod normal;
mod scan;

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

pub use normal::normalise;

/// Failures in a row with one key that make a stall.
pub const STALL_AT: u32 = 3;
/// Hexadecimal digits of a key.
pub const KEY_LEN: usize = 16;

/// What makes two failures the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StallKey(String);

impl StallKey {
    /// Returns the key of a failure, over the normalised output (T1, T2).
    pub fn new(exit_code: i32, output: &str) -> Self {
        Self(raw_key(exit_code, &normalise(output)))
    }

    /// Returns the [`KEY_LEN`] digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Returns the key of a failure over the output as it is: what other tools compute.
pub fn raw_key(exit_code: i32, output: &str) -> String {
    digest(&[exit_code.to_string().as_bytes(), b":", output.as_bytes()])
}

/// Returns the short hash of an output that histories carry.
pub fn output_hash(output: &str) -> String {
    digest(&[output.as_bytes()])
}

/// Returns the first [`KEY_LEN`] digits of the SHA-256 of the parts.
fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    let mut text = hex::encode(hash.finalize());
    text.truncate(KEY_LEN);
    text
}

/// How often each criterion failed in the same way, in one run of a loop.
#[derive(Clone, Debug, Default)]
pub struct StallTracker {
    last: BTreeMap<String, (StallKey, u32)>,
}

impl StallTracker {
    /// Notes a failure and returns how often in a row it happened now.
    pub fn failed(&mut self, criterion: &str, key: StallKey) -> u32 {
        let count = match self.last.get(criterion) {
            Some((last, count)) if *last == key => count.saturating_add(1),
            _ => 1,
        };
        self.last.insert(criterion.to_owned(), (key, count));
        count
    }

    /// Notes a success.
    pub fn passed(&mut self, criterion: &str) {
        self.last.remove(criterion);
    }

    /// Returns how often in a row the criterion failed in the same way.
    pub fn count(&self, criterion: &str) -> u32 {
        self.last.get(criterion).map_or(0, |(_, count)| *count)
    }

    /// Returns whether the criterion is stalled.
    pub fn is_stalled(&self, criterion: &str) -> bool {
        self.count(criterion) >= STALL_AT
    }

    /// Returns whether every one of the `failing` criteria is stalled, and there is one (T4).
    pub fn all_stalled<'a>(&self, failing: impl IntoIterator<Item = &'a str>) -> bool {
        let mut failing = failing.into_iter().peekable();
        failing.peek().is_some() && failing.all(|it| self.is_stalled(it))
    }
}

#[cfg(test)]
mod tests;
