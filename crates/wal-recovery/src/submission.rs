//! What a caller brings, and what it gets.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use wal_format::{Chain, Event, MAX_PAYLOAD_LEN, Seq, encode_entry};

use crate::AppendError;

/// Bytes of a payload besides the event: keys, number, time, chain. Rounded up.
const ENVELOPE_LEN: usize = 256;
/// Most bytes of an event.
pub(crate) const EVENT_LEN_MAX: usize = MAX_PAYLOAD_LEN as usize - ENVELOPE_LEN;

/// An event to be written, serialized.
#[derive(Clone, Debug)]
pub struct Submission {
    at: Timestamp,
    event: Vec<u8>,
}

impl Submission {
    /// Prepares `event`, submitted at `at`.
    ///
    /// # Errors
    ///
    /// [`AppendError::TooLarge`] when it does not fit a frame.
    pub fn new<A: Serialize>(event: &Event<A>, at: Timestamp) -> Result<Self, AppendError> {
        let event = event.to_json();
        if event.len() > EVENT_LEN_MAX {
            return Err(AppendError::TooLarge { len: event.len() });
        }
        Ok(Self { at, event })
    }

    /// Appends the frame to `out` and returns its chain value.
    pub(crate) fn encode(
        &self,
        seq: Seq,
        previous: Chain,
        out: &mut Vec<u8>,
    ) -> Result<Chain, AppendError> {
        encode_entry(seq, self.at, &self.event, previous, out)
            .map_err(|_| AppendError::TooLarge { len: self.event.len() })
    }

    /// When it was submitted.
    pub(crate) fn at(&self) -> Timestamp {
        self.at
    }

    /// Length of the serialized event in bytes.
    pub fn len(&self) -> usize {
        self.event.len()
    }

    /// Never true: an event has at least its braces.
    pub fn is_empty(&self) -> bool {
        self.event.is_empty()
    }
}

/// Proof that an entry is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Its place in the log.
    pub seq: Seq,
    /// Its chain value.
    pub chain: Chain,
    /// How far the clock went back, when it did so between the entry before and this one
    /// (`WAL_CLOCK_BACKWARDS`). Entries are ordered by their number, never by their time.
    pub clock_back: Option<Duration>,
}
