//! A rollback on record in the audit trail of this machine.
//!
//! | record               | outcome             | when                             |
//! |----------------------|---------------------|----------------------------------|
//! | `rollback.requested` | `pending`           | before the control plane is asked |
//! | `rollback.executed`  | `success`, `failure` | after it has answered, or has not |
//!
//! The first one proves that the trail takes records, and stays when this process is killed in between.

use std::path::Path;

use audit::{Category, NewRecord, Outcome, Source, Trail};
use jiff::Timestamp;

use crate::{
    commands::audit::{append, open_trail},
    failure::Failure,
};

/// Before it.
const REQUESTED: &str = "rollback.requested";
/// After it.
const EXECUTED: &str = "rollback.executed";

/// Who wants what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said<'a> {
    pub(super) target: &'static str,
    pub(super) resource: &'a str,
    pub(super) strategy: Option<&'static str>,
    pub(super) reason: &'a str,
    pub(super) actor: &'a str,
}

impl Said<'_> {
    fn record(&self, event: &str, outcome: Outcome, now: Timestamp) -> NewRecord {
        let record =
            NewRecord::new(event, (Category::Rollback, "execute"), outcome, Source::Cli, now)
                .by(self.actor)
                .on(self.target, self.resource)
                .with("reason", self.reason);
        match self.strategy {
            Some(strategy) => record.with("strategy", strategy),
            None => record,
        }
    }
}

/// The trail, ready for the outcome.
#[derive(Debug)]
pub(super) struct Log(Trail);

impl Log {
    /// Opens the trail and writes that it begins.
    pub(super) fn open(dir: &Path, said: &Said<'_>) -> Result<Self, Failure> {
        let refused = |mut failure: Failure| {
            failure.message = format!("nothing was begun: {}", failure.message);
            failure.code = "AUDIT_UNAVAILABLE".to_owned();
            failure
        };
        let mut trail = open_trail(dir).map_err(refused)?;
        let now = Timestamp::now();
        append(&mut trail, said.record(REQUESTED, Outcome::Pending, now), now).map_err(refused)?;
        Ok(Self(trail))
    }

    /// It was done.
    pub(super) fn succeeded(&mut self, said: &Said<'_>, answer: &str) -> Result<(), Failure> {
        let now = Timestamp::now();
        let record = said.record(EXECUTED, Outcome::Success, now).with("answer", answer);
        append(&mut self.0, record, now)
    }

    /// It was not.
    pub(super) fn failed(&mut self, said: &Said<'_>, failure: &Failure) -> Result<(), Failure> {
        let now = Timestamp::now();
        let record = said.record(EXECUTED, Outcome::Failure, now);
        let record = record.with("code", failure.code.as_str());
        append(&mut self.0, record.with("error", failure.message.as_str()), now)
    }
}
