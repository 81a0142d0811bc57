//! A rollback on record in the audit trail of this machine.
//!
//! | record               | outcome              | when                                                  |
//! |----------------------|----------------------|-------------------------------------------------------|
//! | `rollback.requested` | `pending`            | before the control plane is asked                     |
//! | `rollback.executed`  | `success`, `failure` | it has answered, or was never reached                 |
//! | `rollback.executed`  | `pending`            | nobody here knows what came of it: `result` is `unknown` (B3) |
//!
//! The first one proves that the trail takes records, and stays when this process is killed in between.

use std::path::Path;

use api::exit::Exit;
use audit::{Category, NewRecord, Outcome, Source, Trail};
use jiff::Timestamp;

use crate::{
    commands::audit::{append, open_trail},
    failure::Failure,
};

/// Longest text of somebody else in a record, in characters.
const TEXT_LEN_MAX: usize = 2048;
/// The result that nobody knows.
pub(super) const UNKNOWN: &str = "unknown";
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
            // What does not fit a record is a mistake in the command line, and the trail is well.
            if failure.exit != Exit::Usage {
                "AUDIT_UNAVAILABLE".clone_into(&mut failure.code);
            }
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
        let record = said.record(EXECUTED, Outcome::Success, now).with("answer", cut(answer));
        append(&mut self.0, record, now)
    }

    /// It was not, or nobody knows (B3).
    pub(super) fn failed(&mut self, said: &Said<'_>, failure: &Failure) -> Result<(), Failure> {
        let now = Timestamp::now();
        let record = if failure.may_be_done {
            said.record(EXECUTED, Outcome::Pending, now).with("result", UNKNOWN)
        } else {
            said.record(EXECUTED, Outcome::Failure, now)
        };
        let record = record.with("code", failure.code.as_str());
        append(&mut self.0, record.with("error", cut(&failure.message)), now)
    }
}

/// What the control plane says has no bound of its own.
fn cut(text: &str) -> String {
    text.chars().take(TEXT_LEN_MAX).collect()
}
