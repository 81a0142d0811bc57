//! What follows from an answer of the control plane. No I/O, no clock.
//!
//! | the poll says                     | as the one before       | recorded                       | then               |
//! |-----------------------------------|-------------------------|--------------------------------|--------------------|
//! | nothing is desired                | no                      | `polled`                       | –                  |
//! | a release that is in force        | no                      | `polled`                       | see `reports`      |
//! | a release that is in force        | yes                     | what `reports` says            | see `reports`      |
//! | a release that is not in force    | no                      | `polled`, `candidate_detected` | it is activated    |
//! | a release that is not in force    | yes                     | nothing                        | it is tried again  |
//! | it failed                         | no                      | `poll_failed`                  | –                  |
//! | anything else                     | yes                     | nothing                        | –                  |
//!
//! | the activation | as the one before, of this release | recorded                    | acknowledged                             |
//! |----------------|------------------------------------|-----------------------------|------------------------------------------|
//! | succeeded      | –                                  | `activated`                 | `activated`                              |
//! | failed         | no                                 | the step that failed        | `failed`                                 |
//! | failed         | yes                                | nothing                     | of a plan: `failed`, now and then (H4)   |
//!
//! * **K1** A poll that says what the one before said is not recorded: a node that is told the same every half
//!   minute for a year must not fill its disk with it. When the control plane answered last is in the status.
//! * **K2** An acknowledgement is sent until the control plane has taken it, or refused it for good (see `reports`).
//! * **K3** What is in force changes only by an activation that succeeded.
//! * **K4** What is desired again after something else was is a new matter: all of it is said again.

use api::release::{Ack, Release};
use wal_format::Event;

use super::{
    ActivationError,
    control::{NotTaken, PollError},
    reports::{Found, Reports, SAID_AGAIN_ROUNDS},
};
use crate::records::lifecycle;

/// Name of the events about releases; their attribute `step` says which.
pub(super) const EVENT: &str = "ai.deployment.lifecycle";

/// What is known from round to round.
#[derive(Debug, Default)]
pub(crate) struct Course {
    /// What the last poll said.
    last: Option<Said>,
    /// Why the desired release is not in force, or not well.
    failed: Option<Failure>,
    reports: Reports,
}

#[derive(Debug)]
struct Failure {
    release: Release,
    error: ActivationError,
    /// How often it was so since it was acknowledged.
    rounds: u32,
}

/// What a poll finds on the node.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Node<'a> {
    /// Fingerprint of the lock whose policy decides, if it came with one (K3).
    pub(crate) in_force: Option<&'a str>,
    /// Why the runtime is not well, if it is not.
    pub(crate) unwell: Option<&'a str>,
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
    pub(crate) fn polled(
        &mut self,
        answer: &Result<Option<Release>, PollError>,
        node: Node<'_>,
    ) -> Next {
        let said = match answer {
            Ok(release) => Said::Desired(release.clone()),
            Err(error) => Said::Failed(error.code()),
        };
        let news = self.last.as_ref() != Some(&said);
        self.last = Some(said);
        let desired = match answer {
            Err(error) => {
                let event = step("poll_failed").with("code", error.code());
                let record = news.then(|| event.with("error", error.to_string()));
                return Next { record: record.into_iter().collect(), candidate: None };
            }
            Ok(desired) => desired.as_ref(),
        };
        self.wants(desired);
        let polled = desired.map_or_else(|| step("polled"), |it| about(step("polled"), it));
        let mut record: Vec<_> = news.then_some(polled).into_iter().collect();
        let missing = |it: &&Release| node.in_force != Some(it.lock_fingerprint.as_str());
        let candidate = desired.filter(missing).cloned();
        match (desired, &candidate) {
            (None, _) => {}
            (Some(release), None) => record.extend(self.holds(release, node.unwell)),
            (_, Some(release)) if news => record.push(about(step("candidate_detected"), release)),
            (_, Some(_)) => {}
        }
        Next { record, candidate }
    }

    /// K4.
    fn wants(&mut self, desired: Option<&Release>) {
        self.reports.desired(desired);
        if self.failed.as_ref().is_some_and(|it| Some(&it.release) != desired) {
            self.failed = None;
        }
    }

    /// What is desired is in force: activated in this process or by an earlier one.
    fn holds(&mut self, release: &Release, unwell: Option<&str>) -> Option<Event> {
        match self.reports.in_force(release, unwell) {
            Found::Same => None,
            Found::Well(event) => {
                self.failed = None;
                Some(event)
            }
            Found::NotWell(event, error) => {
                self.failed = Some(Failure { release: release.clone(), error, rounds: 0 });
                Some(event)
            }
        }
    }

    /// Takes what came of an activation (the second table of the module).
    pub(crate) fn ended(
        &mut self,
        release: &Release,
        result: Result<(), ActivationError>,
    ) -> Option<Event> {
        let Err(error) = result else {
            self.failed = None;
            self.reports.activated(release);
            return Some(about(step("activated"), release));
        };
        if let Some(known) = &mut self.failed
            && (&known.release, &known.error) == (release, &error)
        {
            known.rounds = known.rounds.saturating_add(1);
            if known.rounds >= SAID_AGAIN_ROUNDS && release.plan_id.is_some() {
                known.rounds = 0;
                self.reports.failed(release, &error);
            }
            return None;
        }
        self.reports.failed(release, &error);
        let event = about(step(error.step), release).with("code", error.code);
        let event = event.with("error", error.text.as_str());
        self.failed = Some(Failure { release: release.clone(), error, rounds: 0 });
        Some(event)
    }

    /// What the control plane has to be told next (K2).
    pub(crate) fn unacknowledged(&self) -> Option<&Ack> {
        self.reports.next()
    }

    /// What came of telling it.
    pub(crate) fn acknowledged(&mut self, answer: Result<(), NotTaken>) -> Option<Event> {
        self.reports.answered(answer)
    }

    /// Why the desired release is not in force, or not well.
    pub(crate) fn failure(&self) -> Option<&ActivationError> {
        self.failed.as_ref().map(|it| &it.error)
    }
}

pub(super) fn step(name: &str) -> Event {
    lifecycle(EVENT).with("step", name)
}

pub(super) fn about(event: Event, release: &Release) -> Event {
    event
        .with("release_id", release.id.as_str())
        .with("release_sequence", release.sequence)
        .with("artifact_ref", release.artifact_ref.as_str())
        .with("lock_fingerprint", release.lock_fingerprint.as_str())
        .with_some("plan_id", release.plan_id.as_deref())
}

#[cfg(test)]
mod tests {
    use api::release::AckState;

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

    fn has(in_force: &str) -> Node<'_> {
        Node { in_force: Some(in_force), unwell: None }
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
                course.polled(&first, has("blake3:a"));
                let next = course.polled(&second, has("blake3:a"));
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
            let next = course.polled(&Ok(Some(wanted.clone())), has("blake3:a"));
            assert_eq!(next.candidate.as_ref(), Some(&wanted), "{round}");
            let event = course.ended(&wanted, refused("RELEASE_UNVERIFIED"));
            assert_eq!(steps(&event), if round == 0 { vec!["verify_refused"] } else { vec![] });
            assert_eq!(course.unacknowledged().is_some(), round == 0);
            course.acknowledged(Ok(()));
        }
        assert_eq!(steps(&course.ended(&wanted, refused("OTHER"))), ["verify_refused"]);
        let ack = course.unacknowledged().unwrap();
        assert_eq!((ack.state, ack.code.as_deref()), (AckState::Failed, Some("OTHER")));
    }

    #[test]
    fn what_is_in_force_already_is_acknowledged_once_and_clears_a_failure() {
        let mut course = Course::default();
        let desired = || Ok(Some(release("b")));
        course.polled(&desired(), has("blake3:b"));
        assert_eq!(course.unacknowledged().unwrap().state, AckState::Activated, "after a restart");
        course.acknowledged(Ok(()));
        course.polled(&desired(), has("blake3:b"));
        assert_eq!(course.unacknowledged(), None, "once");
        course.ended(&release("c"), refused("OTHER"));
        course.acknowledged(Ok(()));
        course.polled(&desired(), has("blake3:b"));
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
        assert_eq!(course.polled(&Ok(Some(release("b"))), has("blake3:b")).candidate, None);
        // K3: another one that fails leaves it in force.
        course.ended(&release("c"), refused("OTHER"));
        assert_eq!(course.polled(&Ok(Some(release("b"))), has("blake3:b")).candidate, None);
    }

    /// H4.
    #[test]
    fn a_failure_under_a_plan_is_said_again_now_and_then_and_recorded_once() {
        let wanted = Release { plan_id: Some("b".to_owned()), ..release("b") };
        let mut course = Course::default();
        let (mut recorded, mut told) = (0, 0);
        for _ in 0..=2 * SAID_AGAIN_ROUNDS {
            course.polled(&Ok(Some(wanted.clone())), has("blake3:a"));
            recorded += usize::from(course.ended(&wanted, refused("OTHER")).is_some());
            told += usize::from(course.unacknowledged().is_some());
            course.acknowledged(Ok(()));
        }
        assert_eq!((recorded, told), (1, 3));
    }

    /// K4.
    #[test]
    fn a_plan_that_is_tried_again_hears_again_of_what_fails() {
        let wanted = Release { plan_id: Some("b".to_owned()), ..release("b") };
        let mut course = Course::default();
        for _ in 0..2 {
            course.polled(&Ok(Some(wanted.clone())), has("blake3:a"));
            let event = course.ended(&wanted, refused("OTHER"));
            assert_eq!(steps(&event), ["verify_refused"]);
            assert_eq!(course.unacknowledged().unwrap().state, AckState::Failed);
            course.acknowledged(Ok(()));
            course.polled(&Ok(None), has("blake3:a"));
            assert_eq!(course.failure(), None);
        }
    }

    #[test]
    fn a_plan_is_activated_then_healthy_and_a_node_that_is_not_well_says_so_after_a_while() {
        let wanted = Release { plan_id: Some("b".to_owned()), ..release("b") };
        let desired = Ok(Some(wanted.clone()));
        let mut course = Course::default();
        course.polled(&desired, has("blake3:a"));
        course.ended(&wanted, Ok(()));
        let unwell = Node { unwell: Some("WAL_DISK_FULL"), ..has("blake3:b") };
        let mut recorded = Vec::new();
        while recorded.is_empty() {
            assert_eq!(course.unacknowledged().unwrap().state, AckState::Activated);
            recorded = course.polled(&desired, unwell).record;
        }
        assert_eq!(steps(&recorded), ["not_well"]);
        assert_eq!(course.failure().unwrap().code, "NODE_NOT_WELL");
        let ack = course.unacknowledged().unwrap();
        assert_eq!((ack.state, ack.plan_id.as_deref()), (AckState::Failed, Some("b")));
        assert_eq!(steps(&course.polled(&desired, has("blake3:b")).record), ["healthy"]);
        assert_eq!(course.unacknowledged().unwrap().state, AckState::Healthy);
        assert_eq!(course.failure(), None);
    }
}
