//! What follows from an answer of the control plane. No I/O, no clock.
//!
//! | the poll says                     | as the one before       | recorded                       | then               |
//! |-----------------------------------|-------------------------|--------------------------------|--------------------|
//! | nothing is desired                | no                      | `polled`                       | –                  |
//! | a release that is in force        | no                      | `polled`                       | –                  |
//! | a release that is not in force    | no                      | `polled`, `candidate_detected` | it is activated    |
//! | a release that is not in force    | yes                     | nothing                        | it is tried again  |
//! | it failed                         | no                      | `poll_failed`                  | –                  |
//! | anything else                     | yes                     | nothing                        | –                  |
//!
//! | the activation | as the one before, of this release | recorded                    | acknowledged |
//! |----------------|------------------------------------|-----------------------------|--------------|
//! | succeeded      | –                                  | `activated`                 | `activated`  |
//! | failed         | no                                 | the step that failed        | `failed`     |
//! | failed         | yes                                | nothing                     | nothing more |
//!
//! * **K1** A poll that says what the one before said is not recorded: a node that is told the same every half
//!   minute for a year must not fill its disk with it. When the control plane answered last is in the status.
//! * **K2** An acknowledgement is sent until the control plane has taken it; a newer one takes its place.
//! * **K3** What is in force changes only by an activation that succeeded.

use api::release::{Ack, AckState, Release};
use wal_format::Event;

use super::{ActivationError, control::PollError};
use crate::records::lifecycle;

/// Name of the events about releases; their attribute `step` says which.
pub(super) const EVENT: &str = "ai.deployment.lifecycle";

/// What is known from round to round.
#[derive(Debug, Default)]
pub(crate) struct Course {
    /// What the last poll said.
    last: Option<Said>,
    /// The release that the control plane was told is in force.
    told: Option<String>,
    /// Why the desired release is not in force.
    failed: Option<(Release, ActivationError)>,
    unacknowledged: Option<Ack>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Desired(Option<Release>),
    /// The code of a failure.
    Failed(&'static str),
}

/// What to do after a poll, in this order.
#[derive(Debug, PartialEq)]
pub(crate) struct Next {
    pub(crate) record: Vec<Event>,
    /// The release to be activated, once the entries are durable.
    pub(crate) candidate: Option<Release>,
}

impl Course {
    /// Takes what a poll said (the first table of the module).
    /// `in_force` is the fingerprint of the lock whose policy decides, if it came with one (K3).
    pub(crate) fn polled(
        &mut self,
        answer: &Result<Option<Release>, PollError>,
        in_force: Option<&str>,
    ) -> Next {
        let said = match answer {
            Ok(release) => Said::Desired(release.clone()),
            Err(error) => Said::Failed(error.code()),
        };
        let news = self.last.as_ref() != Some(&said);
        self.last = Some(said);
        let mut record = Vec::new();
        let candidate = match answer {
            Err(error) => {
                record.push(
                    step("poll_failed").with("code", error.code()).with("error", error.to_string()),
                );
                None
            }
            Ok(None) => {
                record.push(step("polled"));
                None
            }
            Ok(Some(release)) => {
                record.push(about(step("polled"), release));
                let other = in_force != Some(release.lock_fingerprint.as_str());
                if !other {
                    self.holds(release);
                }
                other.then(|| {
                    record.push(about(step("candidate_detected"), release));
                    release.clone()
                })
            }
        };
        if !news {
            record.clear();
        }
        Next { record, candidate }
    }

    /// What is desired is in force already: by an earlier process, or again after a failure (K2).
    fn holds(&mut self, release: &Release) {
        self.failed = None;
        if self.told.as_ref() != Some(&release.id) {
            self.told = Some(release.id.clone());
            self.unacknowledged = Some(ack(release, AckState::Activated, None));
        }
    }

    /// Takes what came of an activation (the second table of the module).
    pub(crate) fn ended(
        &mut self,
        release: &Release,
        result: Result<(), ActivationError>,
    ) -> Option<Event> {
        match result {
            Ok(()) => {
                self.failed = None;
                self.told = Some(release.id.clone());
                self.unacknowledged = Some(ack(release, AckState::Activated, None));
                Some(about(step("activated"), release))
            }
            Err(error) => {
                let failed = Some((release.clone(), error.clone()));
                if self.failed == failed {
                    return None;
                }
                self.failed = failed;
                self.told = None;
                self.unacknowledged = Some(ack(release, AckState::Failed, Some(&error)));
                let event = about(step(error.step), release);
                Some(event.with("code", error.code).with("error", error.text))
            }
        }
    }

    /// What the control plane has to be told (K2).
    pub(crate) const fn unacknowledged(&self) -> Option<&Ack> {
        self.unacknowledged.as_ref()
    }

    /// The control plane has taken it.
    pub(crate) fn acknowledged(&mut self) {
        self.unacknowledged = None;
    }

    /// Why the desired release is not in force.
    pub(crate) fn failure(&self) -> Option<&ActivationError> {
        self.failed.as_ref().map(|it| &it.1)
    }
}

fn step(name: &str) -> Event {
    lifecycle(EVENT).with("step", name)
}

pub(super) fn about(event: Event, release: &Release) -> Event {
    event
        .with("release_id", release.id.as_str())
        .with("release_sequence", release.sequence)
        .with("artifact_ref", release.artifact_ref.as_str())
        .with("lock_fingerprint", release.lock_fingerprint.as_str())
}

fn ack(release: &Release, state: AckState, error: Option<&ActivationError>) -> Ack {
    Ack {
        release_id: release.id.clone(),
        plan_id: release.plan_id.clone(),
        lock_fingerprint: release.lock_fingerprint.clone(),
        state,
        code: error.map(|it| it.code.to_owned()),
        detail: error.map(|it| it.text.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(id: &str) -> Release {
        Release {
            id: id.to_owned(),
            sequence: 4,
            artifact_ref: "registry.example/agents/arm:1.2.0".to_owned(),
            lock_fingerprint: format!("blake3:{id}"),
            plan_id: None,
        }
    }

    fn unreachable() -> PollError {
        PollError::Unreachable { text: "connection refused".to_owned() }
    }

    fn refused(code: &'static str) -> Result<(), ActivationError> {
        Err(ActivationError { step: "verify_refused", code, text: "no".to_owned() })
    }

    fn steps<'a>(events: impl IntoIterator<Item = &'a Event>) -> Vec<&'a str> {
        events.into_iter().map(|it| it.attrs["step"].as_str().unwrap()).collect()
    }

    /// Every row of the first table, each answer after each other one and after itself.
    #[test]
    fn only_news_are_recorded_and_only_what_is_not_in_force_is_activated() {
        let answers = || {
            vec![
                (Ok(None), vec!["polled"], None),
                (Ok(Some(release("a"))), vec!["polled"], None),
                (Ok(Some(release("b"))), vec!["polled", "candidate_detected"], Some(release("b"))),
                (Err(unreachable()), vec!["poll_failed"], None),
                (Err(PollError::Refused { status: 500 }), vec!["poll_failed"], None),
            ]
        };
        for (before, (first, ..)) in answers().into_iter().enumerate() {
            for (after, (second, recorded, candidate)) in answers().into_iter().enumerate() {
                let mut course = Course::default();
                course.polled(&first, Some("blake3:a"));
                let next = course.polled(&second, Some("blake3:a"));
                let recorded: Vec<_> = recorded.into_iter().filter(|_| before != after).collect();
                assert_eq!(steps(&next.record), recorded, "{first:?}, then {second:?}");
                assert_eq!(next.candidate, candidate, "{first:?}, then {second:?}");
            }
        }
    }

    #[test]
    fn a_failure_is_recorded_and_acknowledged_once_and_tried_again_for_ever() {
        let mut course = Course::default();
        let wanted = release("b");
        for round in 0..5 {
            let next = course.polled(&Ok(Some(wanted.clone())), Some("blake3:a"));
            assert_eq!(next.candidate.as_ref(), Some(&wanted), "{round}");
            let event = course.ended(&wanted, refused("RELEASE_UNVERIFIED"));
            assert_eq!(steps(&event), if round == 0 { vec!["verify_refused"] } else { vec![] });
            assert_eq!(course.unacknowledged().is_some(), round == 0);
            course.acknowledged();
        }
        assert_eq!(steps(&course.ended(&wanted, refused("OTHER"))), ["verify_refused"]);
        let ack = course.unacknowledged().unwrap();
        assert_eq!((ack.state, ack.code.as_deref()), (AckState::Failed, Some("OTHER")));
    }

    #[test]
    fn what_is_in_force_already_is_acknowledged_once_and_clears_a_failure() {
        let mut course = Course::default();
        let desired = || Ok(Some(release("b")));
        course.polled(&desired(), Some("blake3:b"));
        assert_eq!(course.unacknowledged().unwrap().state, AckState::Activated, "after a restart");
        course.acknowledged();
        course.polled(&desired(), Some("blake3:b"));
        assert_eq!(course.unacknowledged(), None, "once");
        course.ended(&release("c"), refused("OTHER"));
        course.acknowledged();
        course.polled(&desired(), Some("blake3:b"));
        assert_eq!(course.failure(), None, "the other one is not desired any more");
        assert_eq!(course.unacknowledged().unwrap().state, AckState::Activated);
    }

    #[test]
    fn what_was_activated_is_in_force_and_the_newest_acknowledgement_counts() {
        let mut course = Course::default();
        course.ended(&release("b"), refused("OTHER"));
        assert_eq!(steps(&course.ended(&release("b"), Ok(()))), ["activated"]);
        assert_eq!(course.failure(), None);
        assert_eq!(course.unacknowledged().unwrap().state, AckState::Activated);
        assert_eq!(course.polled(&Ok(Some(release("b"))), Some("blake3:b")).candidate, None);
        // K3: another one that fails leaves it in force.
        course.ended(&release("c"), refused("OTHER"));
        assert_eq!(course.polled(&Ok(Some(release("b"))), Some("blake3:b")).candidate, None);
    }
}
