//! Round after round, for as long as the runtime serves.
//!
//! A round: ask; record what is new; activate what is wanted and not in force; record what came of it; tell the
//! control plane, if it answered. A runtime is well that decides by its policy (mode `normal`) and whose log takes
//! entries.
//!
//! * **Z1** No record, no effect: a candidate is activated only when the entry about it is durable.
//! * **Z2** Whatever the control plane does, calls are decided as before: the poller shares nothing with them but
//!   the log and the policy.
//! * **Z3** A failure costs one WARN when it begins, not one a round.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use api::{
    health::Mode,
    release::{Release, ReleaseProblem, ReleaseStatus},
};
use jiff::Timestamp;
use tokio::time::sleep;
use uuid::Uuid;
use wal_format::Event;

use super::{
    Activator,
    control::{ControlPlane, NotTaken, PollError},
    course::{Course, Next, Node},
};
use crate::interceptor::Interceptor;

/// Longest wait before the first poll: a fleet that gets power at once does not ask at once.
const FIRST_WAIT_MAX: Duration = Duration::from_secs(5);

/// What everybody else sees of it.
#[derive(Clone, Debug)]
pub(crate) struct Shown(Arc<Mutex<ReleaseStatus>>);

impl Shown {
    pub(crate) fn status(&self) -> ReleaseStatus {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, ReleaseStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Polls for releases.
#[derive(Debug)]
pub(crate) struct Poller {
    control_plane: ControlPlane,
    interval: Duration,
    activator: Box<dyn Activator>,
    interceptor: Arc<Interceptor>,
    course: Course,
    shown: Shown,
}

impl Poller {
    pub(crate) fn new(
        control_plane: ControlPlane,
        interval: Duration,
        activator: Box<dyn Activator>,
        interceptor: Arc<Interceptor>,
    ) -> Self {
        let status = ReleaseStatus {
            control_plane: control_plane.shown().to_owned(),
            last_answer: None,
            desired: None,
            problem: None,
        };
        let shown = Shown(Arc::new(Mutex::new(status)));
        Self { control_plane, interval, activator, interceptor, course: Course::default(), shown }
    }

    pub(crate) fn shown(&self) -> Shown {
        self.shown.clone()
    }

    /// Polls until it is dropped. That can happen at any await point; what is recorded then stands.
    pub(crate) async fn run(mut self) {
        sleep(first_wait(self.interval, random())).await;
        loop {
            self.round().await;
            sleep(wait(self.interval, random())).await;
        }
    }

    async fn round(&mut self) {
        let answer = self.control_plane.desired().await;
        self.show(&answer);
        let in_force = self.interceptor.policy.in_force().lock_fingerprint;
        let unwell = self.unwell();
        let node = Node { in_force: in_force.as_deref(), unwell: unwell.as_deref() };
        let Next { record, candidate } = self.course.polled(&answer, node);
        let news = !record.is_empty();
        if let (true, Err(error)) = (news, &answer) {
            let url = self.control_plane.shown();
            tracing::warn!(code = error.code(), %error, url, "no release from the control plane");
        }
        for event in &record {
            if !self.record(event).await {
                return;
            }
        }
        if let Some(release) = candidate {
            self.activate(&release).await;
        }
        self.show_problem(&answer);
        if answer.is_ok() {
            self.acknowledge().await;
        }
    }

    /// Why this runtime is not well, if it is not.
    fn unwell(&self) -> Option<String> {
        let mode = self.interceptor.policy.mode();
        if mode != Mode::Normal {
            return Some(format!("its mode is {}", self.interceptor.policy.mode_name()));
        }
        let failure = self.interceptor.journal.status().failure;
        failure.map(|it| format!("its log takes no entries: {}", it.code()))
    }

    async fn activate(&mut self, release: &Release) {
        let result = self.activator.activate(release).await;
        let Some(event) = self.course.ended(release, result) else { return };
        match self.course.failure() {
            None => tracing::info!(release_id = release.id, "release activated"),
            Some(failure) => tracing::warn!(
                release_id = release.id,
                code = failure.code,
                error = failure.text,
                "release not activated; what was in force still is"
            ),
        }
        self.record(&event).await;
    }

    /// Tells the control plane what waits, until it does not take it.
    async fn acknowledge(&mut self) {
        while let Some(ack) = self.course.unacknowledged().cloned() {
            let answer = self.control_plane.acknowledge(&ack).await;
            let goes_on = !matches!(answer, Err(NotTaken::Later(_)));
            if let Some(event) = self.course.acknowledged(answer) {
                let (release_id, plan_id) = (&ack.release_id, ack.plan_id.as_deref());
                let why = (event.attrs.get("code"), event.attrs.get("error"));
                let (code, error) =
                    (why.0.and_then(|it| it.as_str()), why.1.and_then(|it| it.as_str()));
                tracing::warn!(release_id, plan_id, code, error, "acknowledgement not taken");
                self.record(&event).await;
            }
            if !goes_on {
                return;
            }
        }
    }

    /// Whether an entry is durable (Z1).
    async fn record(&self, event: &Event) -> bool {
        let appended = self.interceptor.journal.append(event).await;
        if let Err(error) = &appended {
            tracing::error!(%error, "release not recorded, so nothing is done about it");
        }
        appended.is_ok()
    }

    fn show(&self, answer: &Result<Option<Release>, PollError>) {
        if let Ok(release) = answer {
            let mut status = self.shown.lock();
            status.last_answer = Some(Timestamp::now().to_string());
            status.desired.clone_from(release);
        }
        self.show_problem(answer);
    }

    fn show_problem(&self, answer: &Result<Option<Release>, PollError>) {
        let failure = self.course.failure();
        self.shown.lock().problem = match answer {
            Ok(None) => None,
            Ok(Some(_)) => {
                failure.map(|it| ReleaseProblem { code: it.code.to_owned(), text: it.text.clone() })
            }
            Err(error) => {
                let (code, text) = (error.code().to_owned(), error.to_string());
                Some(ReleaseProblem { code, text })
            }
        };
    }
}

/// Thirty-two bits of chance.
fn random() -> u32 {
    Uuid::new_v4()
        .as_u64_pair()
        .0
        .to_be_bytes()
        .first_chunk()
        .map_or(0, |it| u32::from_be_bytes(*it))
}

/// The interval, and up to a tenth of it less or more.
fn wait(interval: Duration, random: u32) -> Duration {
    let share = f64::from(random) / f64::from(u32::MAX);
    interval.mul_f64(0.9 + 0.2 * share)
}

/// Up to an interval, and to [`FIRST_WAIT_MAX`].
fn first_wait(interval: Duration, random: u32) -> Duration {
    interval.min(FIRST_WAIT_MAX).mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_is_the_interval_and_a_tenth_of_it_at_most() {
        let interval = Duration::from_secs(30);
        assert_eq!(wait(interval, 0), Duration::from_secs(27));
        assert_eq!(wait(interval, u32::MAX), Duration::from_secs(33));
        assert_eq!(first_wait(interval, u32::MAX), FIRST_WAIT_MAX);
        assert_eq!(first_wait(Duration::from_secs(2), u32::MAX).as_secs(), 2);
        assert_eq!(first_wait(interval, 0), Duration::ZERO);
    }
}
