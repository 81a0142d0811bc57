//! What the control plane is told, and how often. No I/O, no clock.
//!
//! A release that a plan brings is told in steps, each when it has become true. A round finds it in force:
//!
//! | told so far | the node                                          | told now                  | recorded   |
//! |-------------|---------------------------------------------------|---------------------------|------------|
//! | nothing     | any                                               | `activated`               | –          |
//! | `activated` | is well                                           | `healthy`                 | `healthy`  |
//! | `activated` | is not, for fewer than [`UNWELL_ROUNDS_MAX`] rounds | –                       | –          |
//! | `activated` | is not, for as many                               | `failed`: [`NOT_WELL`]    | `not_well` |
//! | `healthy`   | is well, [`SAID_AGAIN_ROUNDS`] rounds later       | `healthy`                 | –          |
//! | `healthy`   | anything else                                     | –                         | –          |
//! | `failed`    | is well                                           | `healthy`                 | `healthy`  |
//! | `failed`    | is not, [`SAID_AGAIN_ROUNDS`] rounds later        | `failed`: [`NOT_WELL`]    | –          |
//! | `failed`    | is not, before that                               | –                         | –          |
//! | dismissed   | any                                               | –                         | –          |
//!
//! A release without a plan is told `activated`, and nothing more.
//!
//! | the acknowledgement                    | as the one before | recorded      | then                        |
//! |----------------------------------------|-------------------|---------------|-----------------------------|
//! | was taken                              | –                 | –             | the next one                |
//! | was refused for good                   | –                 | `ack_refused` | dismissed, and the next one |
//! | was not taken                          | no                | `ack_failed`  | it is sent again            |
//! | was not taken                          | yes               | –             | it is sent again            |
//!
//! * **H1** A round tells one step: a policy that a node has just begun to decide by has not shown yet how it does.
//! * **H2** What is told waits until it is taken, in its order. About one plan only the last word waits, because it
//!   implies those before; so it is with the releases of the channel, of which a node runs one.
//! * **H3** At most [`WAITING_MAX`] of them wait; the oldest makes room.
//! * **H4** The last word about a plan is said again now and then: gates take a report of health for some time only, and
//!   a plan that is tried again wants to hear again of what fails.

use std::collections::VecDeque;

use api::release::{Ack, AckState, Release};
use wal_format::Event;

use super::{
    ActivationError,
    control::NotTaken,
    course::{about, step},
};

/// Rounds that a node may be unwell before it says that the release failed on it: five minutes by default.
pub(super) const UNWELL_ROUNDS_MAX: u32 = 10;
/// Rounds after which the last word about a plan is said again: ten minutes by default.
pub(super) const SAID_AGAIN_ROUNDS: u32 = 20;
/// Acknowledgements that wait at once.
const WAITING_MAX: usize = 8;
/// Code of a node that runs what a plan brought, and is not well.
const NOT_WELL: &str = "NODE_NOT_WELL";

/// What is told, and what waits.
#[derive(Debug, Default)]
pub(super) struct Reports {
    standing: Option<Standing>,
    waiting: VecDeque<Ack>,
    /// Code of the last acknowledgement that was not taken.
    not_taken: Option<String>,
}

/// How far a release is that was in force when somebody looked last.
#[derive(Debug)]
struct Standing {
    release: Release,
    told: Told,
    /// Rounds since then.
    rounds: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Activated,
    Healthy,
    Failed,
    Dismissed,
}

/// What a look at a release that is in force brought.
#[derive(Debug, PartialEq)]
pub(super) enum Found {
    /// Nothing that was not so before.
    Same,
    /// The node does well.
    Well(Event),
    /// It does not.
    NotWell(Event, ActivationError),
}

impl Reports {
    /// Something else is desired, or nothing (H4).
    pub(super) fn desired(&mut self, release: Option<&Release>) {
        if self.standing.as_ref().map(|it| &it.release) != release {
            self.standing = None;
        }
    }

    /// A release was put in force.
    pub(super) fn activated(&mut self, release: &Release) {
        let told = Told::Activated;
        self.standing = Some(Standing { release: release.clone(), told, rounds: 0 });
        self.tell(release, AckState::Activated, None);
    }

    /// A release is not in force.
    pub(super) fn failed(&mut self, release: &Release, error: &ActivationError) {
        self.standing = None;
        self.tell(release, AckState::Failed, Some(error));
    }

    /// A round finds a release in force (the first table of the module).
    pub(super) fn in_force(&mut self, release: &Release, unwell: Option<&str>) -> Found {
        let Some(standing) = self.standing.as_mut().filter(|it| it.release == *release) else {
            self.activated(release);
            return Found::Same;
        };
        if release.plan_id.is_none() {
            return Found::Same;
        }
        standing.rounds = standing.rounds.saturating_add(1);
        let again = standing.rounds >= SAID_AGAIN_ROUNDS;
        let (told, news) = match (standing.told, unwell) {
            (Told::Activated | Told::Failed, None) => (Told::Healthy, true),
            (Told::Activated, Some(_)) if standing.rounds >= UNWELL_ROUNDS_MAX => {
                (Told::Failed, true)
            }
            (Told::Healthy, None) if again => (Told::Healthy, false),
            (Told::Failed, Some(_)) if again => (Told::Failed, false),
            (Told::Activated | Told::Healthy | Told::Failed, Some(_))
            | (Told::Healthy, None)
            | (Told::Dismissed, _) => return Found::Same,
        };
        (standing.told, standing.rounds) = (told, 0);
        let error = unwell.map(not_well);
        let state = if error.is_some() { AckState::Failed } else { AckState::Healthy };
        self.tell(release, state, error.as_ref());
        match error {
            _ if !news => Found::Same,
            None => Found::Well(about(step("healthy"), release)),
            Some(error) => {
                let event = about(step(error.step), release).with("code", error.code);
                Found::NotWell(event.with("error", error.text.as_str()), error)
            }
        }
    }

    /// H2, H3.
    fn tell(&mut self, release: &Release, state: AckState, error: Option<&ActivationError>) {
        self.waiting.retain(|it| it.plan_id != release.plan_id);
        if self.waiting.len() >= WAITING_MAX {
            self.waiting.pop_front();
        }
        self.waiting.push_back(ack(release, state, error));
    }

    /// What has to be told next.
    pub(super) fn next(&self) -> Option<&Ack> {
        self.waiting.front()
    }

    /// What came of the one that was next (the second table of the module).
    pub(super) fn answered(&mut self, answer: Result<(), NotTaken>) -> Option<Event> {
        let told = self.waiting.front()?.clone();
        let (code, name, text) = match answer {
            Ok(()) => {
                self.not_taken = None;
                self.waiting.pop_front();
                return None;
            }
            Err(NotTaken::Final { status, code }) => {
                self.waiting.pop_front();
                self.dismiss(&told);
                (code, "ack_refused", format!("answered {status}"))
            }
            Err(NotTaken::Later(error)) => {
                let code = error.code().to_owned();
                if self.not_taken.as_ref() == Some(&code) {
                    return None;
                }
                self.not_taken = Some(code.clone());
                (code, "ack_failed", error.to_string())
            }
        };
        let event = step(name)
            .with("release_id", told.release_id.as_str())
            .with_some("plan_id", told.plan_id)
            .with("lock_fingerprint", told.lock_fingerprint);
        Some(event.with("code", code).with("error", text))
    }

    /// Nobody wants to hear more about a plan.
    fn dismiss(&mut self, told: &Ack) {
        let standing = self.standing.as_mut();
        if let Some(it) = standing.filter(|it| it.release.plan_id == told.plan_id) {
            it.told = Told::Dismissed;
        }
    }
}

fn not_well(why: &str) -> ActivationError {
    let text = format!("it is in force, and the runtime is not well: {why}");
    ActivationError { step: "not_well", code: NOT_WELL, text }
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
    use crate::releases::control::PollError;

    const UNWELL: Option<&str> = Some("WAL_DISK_FULL");

    fn release(id: &str, plan: Option<&str>) -> Release {
        Release {
            id: id.to_owned(),
            sequence: 0,
            artifact_ref: "oci:images:1".to_owned(),
            lock_fingerprint: format!("blake3:{id}"),
            plan_id: plan.map(str::to_owned),
        }
    }

    fn planned() -> Release {
        release("a", Some("a"))
    }

    fn told(reports: &Reports) -> Vec<(AckState, Option<&str>)> {
        reports.waiting.iter().map(|it| (it.state, it.code.as_deref())).collect()
    }

    fn standing(told: Told, rounds: u32) -> Reports {
        let standing = Some(Standing { release: planned(), told, rounds });
        Reports { standing, ..Reports::default() }
    }

    /// Every row of the first table behind the first.
    #[test]
    fn each_step_is_told_when_it_has_become_true() {
        let healthy = Some((AckState::Healthy, None));
        let failed = Some((AckState::Failed, Some(NOT_WELL)));
        let (unwell, again) = (UNWELL_ROUNDS_MAX - 1, SAID_AGAIN_ROUNDS - 1);
        for (before, rounds, health, want, recorded) in [
            (Told::Activated, 0, None, healthy, Some("healthy")),
            (Told::Activated, unwell - 1, UNWELL, None, None),
            (Told::Activated, unwell, UNWELL, failed, Some("not_well")),
            (Told::Healthy, again - 1, None, None, None),
            (Told::Healthy, again, None, healthy, None),
            (Told::Healthy, again, UNWELL, None, None),
            (Told::Failed, 0, None, healthy, Some("healthy")),
            (Told::Failed, again - 1, UNWELL, None, None),
            (Told::Failed, again, UNWELL, failed, None),
            (Told::Dismissed, again, None, None, None),
            (Told::Dismissed, again, UNWELL, None, None),
        ] {
            let mut reports = standing(before, rounds);
            let found = reports.in_force(&planned(), health);
            let step = match &found {
                Found::Same => None,
                Found::Well(event) | Found::NotWell(event, _) => event.attrs["step"].as_str(),
            };
            assert_eq!(step, recorded, "{before:?} {rounds} {health:?}");
            let want: Vec<_> = want.into_iter().collect();
            assert_eq!(told(&reports), want, "{before:?} {rounds} {health:?}");
        }
    }

    /// H1, and a restart.
    #[test]
    fn a_release_that_is_in_force_when_it_is_first_seen_is_activated_and_a_round_later_healthy() {
        let mut reports = Reports::default();
        assert_eq!(reports.in_force(&planned(), None), Found::Same);
        assert_eq!(told(&reports), [(AckState::Activated, None)]);
        assert!(matches!(reports.in_force(&planned(), None), Found::Well(_)));
        assert_eq!(told(&reports), [(AckState::Healthy, None)], "H2: it implies the other");
        reports.answered(Ok(()));
        for _ in 0..SAID_AGAIN_ROUNDS - 1 {
            assert_eq!(reports.in_force(&planned(), None), Found::Same);
        }
        assert_eq!(told(&reports), [], "once");
    }

    #[test]
    fn a_release_of_the_channel_is_activated_and_nothing_more() {
        let (mut reports, wanted) = (Reports::default(), release("a", None));
        for _ in 0..2 * SAID_AGAIN_ROUNDS {
            assert_eq!(reports.in_force(&wanted, UNWELL), Found::Same);
        }
        assert_eq!(told(&reports), [(AckState::Activated, None)]);
        // The plan became the release of its channel: that is another thing to say.
        reports.answered(Ok(()));
        let mut reports = standing(Told::Healthy, 0);
        reports.in_force(&wanted, None);
        assert_eq!(reports.next().unwrap().plan_id, None);
    }

    /// H2, H3.
    #[test]
    fn what_waits_keeps_its_order_and_has_a_bound() {
        let mut reports = Reports::default();
        for name in ["a", "b", "a"] {
            reports.activated(&release(name, Some(name)));
        }
        for name in ["r1", "r2"] {
            reports.activated(&release(name, None));
        }
        let waiting: Vec<_> = reports.waiting.iter().map(|it| it.release_id.as_str()).collect();
        assert_eq!(waiting, ["b", "a", "r2"]);
        for number in 0..2 * WAITING_MAX {
            let name = number.to_string();
            reports.activated(&release(&name, Some(&name)));
        }
        assert_eq!(reports.waiting.len(), WAITING_MAX);
    }

    /// The second table.
    #[test]
    fn what_is_refused_for_good_is_recorded_and_dropped_and_what_is_not_taken_is_sent_again() {
        let mut reports = Reports::default();
        let later = || Err(NotTaken::Later(PollError::Refused { status: 503 }));
        let gone = || Err(NotTaken::Final { status: 404, code: "PLAN_NOT_FOUND".to_owned() });
        assert_eq!(reports.answered(Ok(())), None, "nothing waits");
        reports.in_force(&planned(), None);
        let event = reports.answered(later()).unwrap();
        assert_eq!(event.attrs["step"], "ack_failed");
        assert_eq!(event.attrs["code"], "CONTROL_PLANE_REFUSED");
        assert_eq!(reports.answered(later()), None, "as the one before");
        assert_eq!(told(&reports), [(AckState::Activated, None)]);
        let event = reports.answered(gone()).unwrap();
        assert_eq!(
            (&event.attrs["step"], &event.attrs["plan_id"]),
            (&"ack_refused".into(), &"a".into())
        );
        assert_eq!(event.attrs["code"], "PLAN_NOT_FOUND");
        for _ in 0..2 * SAID_AGAIN_ROUNDS {
            reports.in_force(&planned(), None);
        }
        assert_eq!(told(&reports), [], "dismissed");
        reports.desired(None);
        reports.in_force(&planned(), None);
        assert_eq!(told(&reports), [(AckState::Activated, None)], "desired again: told again");
    }
}
